//! Handlers: plain synchronous functions, and the executor that runs each.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value;

use super::error::{Error, Result};
use super::input::Input;
use super::media_type::BodyKind;
use super::openapi::Operation;
use super::request::{Request, no_principal};
use super::response::{ApiResponse, IntoResponse};
use crate::auth::{Caller, Principal, TokenInUse};
use crate::executors::Executor;
use crate::instance::Instance;
use crate::storage::File;
use crate::tenancy::ChangeRecorder;
use crate::values::Timestamp;

/// A handler, with code to read its inputs and to write its reply.
pub trait Handler: Sync {
    /// The executor that runs the handler.
    fn executor(&self) -> Executor;

    /// Reads the inputs. This happens before the turn, so no other request of the file waits for it.
    fn read(&self, request: &Request) -> Inputs;

    /// Runs the handler with its inputs, for a caller who meets the needs of the route. `db` is given if the handler
    /// runs in a turn.
    fn respond(
        &self,
        request: &Arc<Request>,
        inputs: Inputs,
        caller: &Caller,
        db: Option<&Connection>,
    ) -> Result<ApiResponse>;

    /// The type of the resource in the response, if the response is a resource.
    fn resource(&self) -> Option<TypeId>;

    /// The media types of the body.
    fn body(&self) -> BodyKind;

    /// Adds the inputs and replies to the OpenAPI description.
    fn describe(&self, operation: &mut Operation<'_>);

    /// The names of the secret fields of the page's form, if the form can be shown again as it was typed.
    fn secret_fields(&self) -> Option<Vec<String>> {
        None
    }

    /// The value of an empty body, with its defaults. `None` if there is no body, or it has no value of its own.
    fn blank(&self) -> Option<Value> {
        None
    }
}

/// The inputs of a handler, or the reason why they cannot be read. Only that handler knows their type.
pub type Inputs = Result<Box<dyn Any + Send>>;

/// The context of a handler in a turn: one transaction, the caller, and the time.
pub struct Ctx<'a> {
    pub db: &'a Connection,
    pub caller: &'a Caller,
    pub now: Timestamp,
    pub request: &'a Arc<Request>,
}

/// The context of a handler outside the lanes: the instance, the caller, and the time.
pub struct BlockingCtx<'a> {
    pub instance: &'a Arc<Instance>,
    pub caller: &'a Caller,
    pub now: Timestamp,
    pub request: &'a Arc<Request>,
}

impl Ctx<'_> {
    /// The caller. Present on every route of the workspace layer that needs one.
    pub fn principal(&self) -> Result<&Principal> {
        require_principal(self.caller)
    }

    /// A change recorder for the caller.
    pub fn recorder(&self) -> Result<ChangeRecorder> {
        self.request.recorder(self.caller)
    }

    /// Requires a permission besides that of the route.
    pub fn require_permission(&self, name: &'static str) -> Result<()> {
        if self.principal()?.has_permission(name) { Ok(()) } else { Err(Error::MissingPermission(name.into())) }
    }
}

impl BlockingCtx<'_> {
    /// The user's token that the request carries.
    pub fn token(&self) -> Result<&Arc<TokenInUse>> {
        self.request.token()
    }

    /// The caller. Present on every route of the workspace layer that needs one.
    pub fn principal(&self) -> Result<&Principal> {
        require_principal(self.caller)
    }

    /// A change recorder for the caller in the workspace.
    pub fn recorder(&self) -> Result<ChangeRecorder> {
        self.request.recorder(self.caller)
    }

    /// Reads in a turn of the layer's file, as the same caller.
    pub fn read<T: Send + 'static>(&self, work: impl FnMut(&mut Ctx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.read_in(self.request.file(), work)
    }

    /// Reads in a turn of the central file, as the same caller.
    pub fn read_central<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Ctx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read_in(self.instance.central.file(), work)
    }

    fn read_in<T: Send + 'static>(
        &self,
        file: &Arc<File>,
        mut work: impl FnMut(&mut Ctx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (request, caller) = (Arc::clone(self.request), self.caller.clone());
        file.read(move |db| work(&mut Ctx { db, caller: &caller, now: request.now, request: &request }))
    }
}

fn require_principal(caller: &Caller) -> Result<&Principal> {
    match caller {
        Caller::Principal(principal) => Ok(principal),
        Caller::Anonymous => Err(no_principal()),
    }
}

/// A function that runs in a turn. Created by [`run`].
pub struct TransactionHandler<F, I> {
    function: F,
    inputs: PhantomData<fn(I)>,
}

/// A function that runs outside the lanes. Created by [`blocking`], [`hashing`], [`long_running`],
/// [`with_provider`] and [`inline`].
pub struct BlockingHandler<F, I> {
    function: F,
    executor: Executor,
    inputs: PhantomData<fn(I)>,
}

/// Runs `fn(&mut Ctx, inputs…) -> Result<reply>` in a turn of the layer's file.
pub const fn run<F, I>(function: F) -> TransactionHandler<F, I> {
    TransactionHandler { function, inputs: PhantomData }
}

/// Runs `fn(&BlockingCtx, inputs…) -> Result<reply>` on a blocking thread.
pub const fn blocking<F, I>(function: F) -> BlockingHandler<F, I> {
    BlockingHandler { function, executor: Executor::Blocking, inputs: PhantomData }
}

/// Runs `fn(&BlockingCtx, inputs…) -> Result<reply>` on a thread for password hashing.
pub const fn hashing<F, I>(function: F) -> BlockingHandler<F, I> {
    BlockingHandler { function, executor: Executor::Hashing, inputs: PhantomData }
}

/// Runs `fn(&BlockingCtx, inputs…) -> Result<reply>` on a thread for long-running work.
pub const fn long_running<F, I>(function: F) -> BlockingHandler<F, I> {
    BlockingHandler { function, executor: Executor::LongRunning, inputs: PhantomData }
}

/// Runs `fn(&BlockingCtx, inputs…) -> Result<reply>` on a thread that may wait for an identity provider.
pub const fn with_provider<F, I>(function: F) -> BlockingHandler<F, I> {
    BlockingHandler { function, executor: Executor::Provider, inputs: PhantomData }
}

/// Runs `fn(&BlockingCtx, inputs…) -> Result<reply>` at once.
pub const fn inline<F, I>(function: F) -> BlockingHandler<F, I> {
    BlockingHandler { function, executor: Executor::Inline, inputs: PhantomData }
}

/// The parts that both kinds of handler share.
macro_rules! handler {
    ($inputs:ty, $reply:ty, $executor:expr) => {
        fn executor(&self) -> Executor {
            let executor: fn(&Self) -> Executor = $executor;
            executor(self)
        }

        fn body(&self) -> BodyKind {
            <$inputs>::BODY
        }

        fn resource(&self) -> Option<TypeId> {
            <$reply>::resource()
        }

        fn read(&self, request: &Request) -> Inputs {
            Ok(Box::new(<$inputs>::read(request)?))
        }

        fn describe(&self, operation: &mut Operation<'_>) {
            <$inputs>::describe(operation);
            <$reply>::describe(operation);
        }

        fn blank(&self) -> Option<Value> {
            <$inputs>::blank()
        }
    };
}

/// Handlers with up to four inputs. Together the inputs are one input: a tuple.
macro_rules! handlers {
    ($($input:ident $value:ident),*) => {
        impl<$($input: Input),*> Input for ($($input,)*) {
            const BODY: BodyKind = BodyKind::None$(.combine($input::BODY))*;

            fn read(_request: &Request) -> Result<Self> {
                Ok(($($input::read(_request)?,)*))
            }

            fn describe(_operation: &mut Operation<'_>) {
                $($input::describe(_operation);)*
            }

            fn blank() -> Option<Value> {
                None$(.or_else($input::blank))*
            }
        }

        impl<F, R, $($input),*> Handler for TransactionHandler<F, ($($input,)*)>
        where
            F: Fn(&mut Ctx<'_>, $($input),*) -> Result<R> + Sync,
            R: IntoResponse,
            $($input: Input + Send + 'static,)*
        {
            handler!(($($input,)*), R, |_| Executor::Transaction);

            fn respond(
                &self,
                request: &Arc<Request>,
                inputs: Inputs,
                caller: &Caller,
                db: Option<&Connection>,
            ) -> Result<ApiResponse> {
                let db = db.expect("a handler in a turn gets its file");
                let ($($value,)*) = *inputs?.downcast::<($($input,)*)>().expect("the inputs of this handler");
                let mut ctx = Ctx { db, caller, now: request.now, request };
                (self.function)(&mut ctx, $($value),*)?.into_response(request)
            }
        }

        impl<F, R, $($input),*> Handler for BlockingHandler<F, ($($input,)*)>
        where
            F: Fn(&BlockingCtx<'_>, $($input),*) -> Result<R> + Sync,
            R: IntoResponse,
            $($input: Input + Send + 'static,)*
        {
            handler!(($($input,)*), R, |handler: &Self| handler.executor);

            fn respond(
                &self,
                request: &Arc<Request>,
                inputs: Inputs,
                caller: &Caller,
                _: Option<&Connection>,
            ) -> Result<ApiResponse> {
                let ($($value,)*) = *inputs?.downcast::<($($input,)*)>().expect("the inputs of this handler");
                let ctx = BlockingCtx { instance: &request.instance, caller, now: request.now, request };
                (self.function)(&ctx, $($value),*)?.into_response(request)
            }
        }
    };
}
handlers!();
handlers!(A a);
handlers!(A a, B b);
handlers!(A a, B b, C c);
handlers!(A a, B b, C c, D d);

//! Handlers: plain synchronous functions, and the executor that runs each.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;

use rusqlite::Connection;

use super::call::{Call, nobody};
use super::error::Result;
use super::input::Input;
use super::media_type::Body;
use super::openapi::Operation;
use super::reply::{Answer, Reply};
use crate::auth::{Insider, TokenInUse, Who};
use crate::engine::Engine;
use crate::executors::Place;
use crate::storage::File;
use crate::tenancy::Author;
use crate::values::Timestamp;

/// A handler, with code to read its inputs and to write its reply.
pub trait Handler: Sync {
    /// The executor that runs the handler.
    fn place(&self) -> Place;

    /// Reads the inputs. This happens before the turn, so no other request of the file waits for it.
    fn read(&self, call: &Call) -> Inputs;

    /// Runs the handler with its inputs, for a caller who meets the needs of the route. `db` is given if the handler
    /// runs in a turn.
    fn answer(&self, call: &Arc<Call>, inputs: Inputs, who: &Who, db: Option<&Connection>) -> Result<Answer>;

    /// The type of the resource in the response, if the response is a resource.
    fn resource(&self) -> Option<TypeId>;

    /// The media types of the body.
    fn body(&self) -> Body;

    /// Adds the inputs and replies to the OpenAPI description.
    fn describe(&self, operation: &mut Operation<'_>);
}

/// The inputs of a handler, or the reason why they cannot be read. Only that handler knows their type.
pub type Inputs = Result<Box<dyn Any + Send>>;

/// The context of a handler in a turn: one transaction, the caller, and the time.
pub struct Ctx<'a> {
    pub db: &'a Connection,
    pub who: &'a Who,
    pub now: Timestamp,
    pub call: &'a Arc<Call>,
}

/// The context of a handler outside the lanes: the instance, the caller, and the time.
pub struct Steps<'a> {
    pub engine: &'a Arc<Engine>,
    pub who: &'a Who,
    pub now: Timestamp,
    pub call: &'a Arc<Call>,
}

impl Ctx<'_> {
    /// The caller. Present on every route of the workspace layer that needs one.
    pub fn insider(&self) -> Result<&Insider> {
        insider(self.who)
    }

    /// A change recorder for the caller.
    pub fn author(&self) -> Result<Author> {
        self.call.author(self.who)
    }
}

impl Steps<'_> {
    /// The user's token that the request carries.
    pub fn token(&self) -> Result<&Arc<TokenInUse>> {
        self.call.token()
    }

    /// The caller. Present on every route of the workspace layer that needs one.
    pub fn insider(&self) -> Result<&Insider> {
        insider(self.who)
    }

    /// A change recorder for the caller in the workspace.
    pub fn author(&self) -> Result<Author> {
        self.call.author(self.who)
    }

    /// Reads in a turn of the layer's file, as the same caller.
    pub fn read<T: Send + 'static>(&self, work: impl FnMut(&mut Ctx<'_>) -> Result<T> + Send + 'static) -> Result<T> {
        self.read_in(self.call.file(), work)
    }

    /// Reads in a turn of the central file, as the same caller.
    pub fn read_central<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Ctx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read_in(self.engine.central.file(), work)
    }

    fn read_in<T: Send + 'static>(
        &self,
        file: &Arc<File>,
        mut work: impl FnMut(&mut Ctx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (call, who) = (Arc::clone(self.call), self.who.clone());
        file.read(move |db| work(&mut Ctx { db, who: &who, now: call.now, call: &call }))
    }
}

fn insider(who: &Who) -> Result<&Insider> {
    match who {
        Who::Insider(insider) => Ok(insider),
        Who::Outsider => Err(nobody()),
    }
}

/// A function that runs in a turn. Created by [`run`].
pub struct InTurn<F, I> {
    function: F,
    inputs: PhantomData<fn(I)>,
}

/// A function that runs outside the lanes. Created by [`steps`], [`hashing`], [`bulk`] and [`here`].
pub struct Beside<F, I> {
    function: F,
    place: Place,
    inputs: PhantomData<fn(I)>,
}

/// Runs `fn(&mut Ctx, inputs…) -> Result<reply>` in a turn of the layer's file.
pub const fn run<F, I>(function: F) -> InTurn<F, I> {
    InTurn { function, inputs: PhantomData }
}

/// Runs `fn(&Steps, inputs…) -> Result<reply>` on a blocking thread.
pub const fn steps<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Steps, inputs: PhantomData }
}

/// Runs `fn(&Steps, inputs…) -> Result<reply>` on a thread for password hashing.
pub const fn hashing<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Hashing, inputs: PhantomData }
}

/// Runs `fn(&Steps, inputs…) -> Result<reply>` on a thread for long-running work.
pub const fn bulk<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Bulk, inputs: PhantomData }
}

/// Runs `fn(&Steps, inputs…) -> Result<reply>` at once.
pub const fn here<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Here, inputs: PhantomData }
}

/// The parts that both kinds of handler share.
macro_rules! handler {
    ($inputs:ty, $reply:ty, $place:expr) => {
        fn place(&self) -> Place {
            let place: fn(&Self) -> Place = $place;
            place(self)
        }

        fn body(&self) -> Body {
            <$inputs>::BODY
        }

        fn resource(&self) -> Option<TypeId> {
            <$reply>::resource()
        }

        fn read(&self, call: &Call) -> Inputs {
            Ok(Box::new(<$inputs>::read(call)?))
        }

        fn describe(&self, operation: &mut Operation<'_>) {
            <$inputs>::describe(operation);
            <$reply>::describe(operation);
        }
    };
}

/// Handlers with up to four inputs. Together the inputs are one input: a tuple.
macro_rules! handlers {
    ($($input:ident $value:ident),*) => {
        impl<$($input: Input),*> Input for ($($input,)*) {
            const BODY: Body = Body::None$(.or($input::BODY))*;

            fn read(_call: &Call) -> Result<Self> {
                Ok(($($input::read(_call)?,)*))
            }

            fn describe(_operation: &mut Operation<'_>) {
                $($input::describe(_operation);)*
            }
        }

        impl<F, R, $($input),*> Handler for InTurn<F, ($($input,)*)>
        where
            F: Fn(&mut Ctx<'_>, $($input),*) -> Result<R> + Sync,
            R: Reply,
            $($input: Input + Send + 'static,)*
        {
            handler!(($($input,)*), R, |_| Place::Turn);

            fn answer(
                &self,
                call: &Arc<Call>,
                inputs: Inputs,
                who: &Who,
                db: Option<&Connection>,
            ) -> Result<Answer> {
                let db = db.expect("a handler in a turn gets its file");
                let ($($value,)*) = *inputs?.downcast::<($($input,)*)>().expect("the inputs of this handler");
                let mut ctx = Ctx { db, who, now: call.now, call };
                (self.function)(&mut ctx, $($value),*)?.into_response(call)
            }
        }

        impl<F, R, $($input),*> Handler for Beside<F, ($($input,)*)>
        where
            F: Fn(&Steps<'_>, $($input),*) -> Result<R> + Sync,
            R: Reply,
            $($input: Input + Send + 'static,)*
        {
            handler!(($($input,)*), R, |beside: &Self| beside.place);

            fn answer(
                &self,
                call: &Arc<Call>,
                inputs: Inputs,
                who: &Who,
                _: Option<&Connection>,
            ) -> Result<Answer> {
                let ($($value,)*) = *inputs?.downcast::<($($input,)*)>().expect("the inputs of this handler");
                let steps = Steps { engine: &call.engine, who, now: call.now, call };
                (self.function)(&steps, $($value),*)?.into_response(call)
            }
        }
    };
}
handlers!();
handlers!(A a);
handlers!(A a, B b);
handlers!(A a, B b, C c);
handlers!(A a, B b, C c, D d);

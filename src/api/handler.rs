//! Handlers: plain synchronous functions, and where each is run.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;

use rusqlite::Connection;

use super::call::{Call, nobody};
use super::error::Result;
use super::input::{Body, Input};
use super::openapi::Operation;
use super::reply::{Answer, Reply};
use crate::auth::{Insider, TokenInUse, Who};
use crate::engine::Engine;
use crate::executors::Place;
use crate::storage::File;
use crate::tenancy::Author;
use crate::values::Timestamp;

/// A handler with its inputs read and its reply written.
pub trait Handler: Sync {
    /// Where it is run.
    fn place(&self) -> Place;

    /// Reads its inputs: before the turn, so that no other request of the file waits for it.
    fn read(&self, call: &Call) -> Inputs;

    /// Runs it with the inputs it has read, for a caller of whom the route's needs were found met. The connection is
    /// there where the place is a turn.
    fn answer(&self, call: &Arc<Call>, inputs: Inputs, who: &Who, db: Option<&Connection>) -> Result<Answer>;

    /// The type of the resource that it answers, where that is one.
    fn resource(&self) -> Option<TypeId>;

    /// What it takes for a body.
    fn body(&self) -> Body;

    /// Adds its inputs and replies to the description of the API.
    fn describe(&self, operation: &mut Operation<'_>);
}

/// What a handler has read of a call, or why it cannot: known to that handler alone.
pub type Inputs = Result<Box<dyn Any + Send>>;

/// What a handler in a turn sees: one transaction, who asks, and the time.
pub struct Ctx<'a> {
    pub db: &'a Connection,
    pub who: &'a Who,
    pub now: Timestamp,
    pub call: &'a Arc<Call>,
}

/// What a handler beside the lanes sees: the whole instance, who asks, and the time.
pub struct Steps<'a> {
    pub engine: &'a Arc<Engine>,
    pub who: &'a Who,
    pub now: Timestamp,
    pub call: &'a Arc<Call>,
}

impl Ctx<'_> {
    /// The caller, wherever the route is of the workspace layer and needs somebody.
    pub fn insider(&self) -> Result<&Insider> {
        insider(self.who)
    }

    /// The caller, as the author of what it changes.
    pub fn author(&self) -> Result<Author> {
        self.call.author(self.who)
    }
}

impl Steps<'_> {
    /// The person's token that the call came with.
    pub fn token(&self) -> Result<&Arc<TokenInUse>> {
        self.call.token()
    }

    /// The caller, wherever the route is of the workspace layer and needs somebody.
    pub fn insider(&self) -> Result<&Insider> {
        insider(self.who)
    }

    /// The caller, as the author of what it changes in the workspace.
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

/// A function in a turn. Made by [`run`].
pub struct InTurn<F, I> {
    function: F,
    inputs: PhantomData<fn(I)>,
}

/// A function beside the lanes. Made by [`steps`], [`hashing`], [`bulk`] and [`here`].
pub struct Beside<F, I> {
    function: F,
    place: Place,
    inputs: PhantomData<fn(I)>,
}

/// `fn(&mut Ctx, inputs…) -> Result<reply>`, run in a turn of the layer's file.
pub const fn run<F, I>(function: F) -> InTurn<F, I> {
    InTurn { function, inputs: PhantomData }
}

/// `fn(&Steps, inputs…) -> Result<reply>`, run beside the lanes.
pub const fn steps<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Steps, inputs: PhantomData }
}

/// `fn(&Steps, inputs…) -> Result<reply>`, run where passwords are hashed.
pub const fn hashing<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Hashing, inputs: PhantomData }
}

/// `fn(&Steps, inputs…) -> Result<reply>`, run where what takes long is.
pub const fn bulk<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Bulk, inputs: PhantomData }
}

/// `fn(&Steps, inputs…) -> Result<reply>`, run at once.
pub const fn here<F, I>(function: F) -> Beside<F, I> {
    Beside { function, place: Place::Here, inputs: PhantomData }
}

/// What the two kinds of handler have in common.
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

/// Handlers of none to four inputs, which together are one input: a tuple.
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
                let db = db.expect("a handler in a turn is handed its file");
                let ($($value,)*) = *inputs?.downcast::<($($input,)*)>().expect("what this handler has read");
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
                let ($($value,)*) = *inputs?.downcast::<($($input,)*)>().expect("what this handler has read");
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

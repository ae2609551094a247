//! Handlers: plain synchronous functions, and where each is run.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use rusqlite::Connection;

use super::call::Call;
use super::error::Result;
use super::input::Input;
use super::openapi::Operation;
use super::reply::Reply;
use crate::auth::{TokenInUse, Who};
use crate::engine::Engine;
use crate::values::Timestamp;

/// A handler with its inputs read and its reply written.
pub trait Handler: Sync {
    /// Where it is run.
    fn place(&self) -> Place;

    /// Reads its inputs: before the turn, so that no other request of the file waits for it.
    fn read(&self, call: &Call) -> Inputs;

    /// Runs it with the inputs it has read. The connection is there where the place is a turn.
    fn answer(&self, call: &Call, inputs: Inputs, turn: Option<(&Connection, &Who)>) -> Result<Response<Bytes>>;

    /// Whether it reads the body; where it does not, the body is not read.
    fn takes_body(&self) -> bool;

    /// Adds its inputs and replies to the description of the API.
    fn describe(&self, operation: &mut Operation<'_>);
}

/// What a handler has read of a call, or why it cannot: known to that handler alone.
pub type Inputs = Result<Box<dyn Any + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In one turn of the layer's file: a `GET` reads, all others write.
    Turn,
    /// On a thread beside the lanes, for what touches two files, or the file system: it takes its turns itself.
    Steps,
    /// As `Steps`, on the few threads that hash passwords, which are slow and hungry.
    Hashing,
    /// At once, on the connection's own thread: it needs neither a file nor time.
    Here,
}

/// What a handler in a turn sees: one transaction, who asks, and the time.
pub struct Ctx<'a> {
    pub db: &'a Connection,
    pub who: &'a Who,
    pub now: Timestamp,
    pub call: &'a Call,
}

/// What a handler beside the lanes sees: the whole instance, who asks, and the time.
pub struct Steps<'a> {
    pub engine: &'a Arc<Engine>,
    pub now: Timestamp,
    pub call: &'a Call,
}

impl Steps<'_> {
    /// The token that the call came with.
    pub fn token(&self) -> Result<&TokenInUse> {
        self.call.token()
    }
}

/// A function in a turn. Made by [`run`].
pub struct InTurn<F, I> {
    function: F,
    inputs: PhantomData<fn(I)>,
}

/// A function beside the lanes. Made by [`steps`], [`hashing`] and [`here`].
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

        fn takes_body(&self) -> bool {
            <$inputs>::BODY
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

/// Handlers of none to three inputs, which together are one input: a tuple.
macro_rules! handlers {
    ($($input:ident $value:ident),*) => {
        impl<$($input: Input),*> Input for ($($input,)*) {
            const BODY: bool = false $(|| $input::BODY)*;

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

            fn answer(&self, call: &Call, inputs: Inputs, turn: Option<(&Connection, &Who)>) -> Result<Response<Bytes>> {
                let (db, who) = turn.expect("a handler in a turn is handed one");
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

            fn answer(&self, call: &Call, inputs: Inputs, _: Option<(&Connection, &Who)>) -> Result<Response<Bytes>> {
                let ($($value,)*) = *inputs?.downcast::<($($input,)*)>().expect("what this handler has read");
                let steps = Steps { engine: &call.engine, now: call.now, call };
                (self.function)(&steps, $($value),*)?.into_response(call)
            }
        }
    };
}
handlers!();
handlers!(A a);
handlers!(A a, B b);
handlers!(A a, B b, C c);

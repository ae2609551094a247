//! Tries that are counted: an input of the handlers that somebody could use to guess a secret, or to have work done.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;

use super::call::Call;
use super::error::Result;
use super::input::Input;
use super::openapi::Operation;
use crate::auth::{Key, Purpose, Throttled};
use crate::engine::Engine;
use crate::values::Timestamp;

/// Those of a caller's address, and of an email once it is known. There is no other way to the throttle: so a handler
/// that may answer 429 has this among its inputs, and its description says so.
pub struct Tries {
    engine: Arc<Engine>,
    client: IpAddr,
    now: Timestamp,
}

/// Tries of one kind, by the keys that they count for.
pub struct Counted {
    engine: Arc<Engine>,
    keys: Vec<Key>,
    now: Timestamp,
}

impl Tries {
    pub fn at(&self, purpose: Purpose) -> Counted {
        self.counted(vec![Key::address(purpose, self.client)])
    }

    /// Counted together with those of an email, whether or not anybody has it.
    pub fn of(&self, purpose: Purpose, email: &str) -> Counted {
        self.counted(vec![Key::address(purpose, self.client), Key::email(purpose, email)])
    }

    /// Counted by the caller's session alone: strangers who guess elsewhere do not shut out somebody who is signed in.
    pub fn of_session(&self, purpose: Purpose, token_id: i64) -> Counted {
        self.counted(vec![Key::Session(purpose, token_id)])
    }

    /// Counted by the account alone, for what only somebody can try who has its password.
    pub fn of_account(&self, purpose: Purpose, account_id: i64) -> Counted {
        self.counted(vec![Key::Account(purpose, account_id)])
    }

    fn counted(&self, keys: Vec<Key>) -> Counted {
        Counted { keys, engine: Arc::clone(&self.engine), now: self.now }
    }
}

impl Counted {
    /// Refuses where too many have failed lately: to be asked before a password is hashed.
    pub fn check(&self) -> Result<(), Throttled> {
        self.engine.node.throttle.check(&self.keys, self.now)
    }

    /// Counts this one as failed.
    pub fn count(&self) {
        self.engine.node.throttle.count(&self.keys, self.now);
    }

    /// Forgets those of the email, session or account. Those of the address stay: one good password of one's own would
    /// else clear the way to guess at others.
    pub fn forgive(&self) {
        let own = self.keys.iter().filter(|key| !matches!(key, Key::Address(..)));
        own.for_each(|key| self.engine.node.throttle.forgive(key));
    }
}

impl Input for Tries {
    fn read(call: &Call) -> Result<Self> {
        Ok(Self { engine: Arc::clone(&call.engine), client: call.client, now: call.now })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.refusal(StatusCode::TOO_MANY_REQUESTS);
    }
}

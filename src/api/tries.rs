//! Rate limits: an input for handlers that could be used to guess a secret or to cause expensive work.

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

/// Rate limits by the caller's address, and by email once it is known. This is the only access to the throttle, so
/// every handler that may answer 429 has this input, and OpenAPI documents the 429.
pub struct Tries {
    engine: Arc<Engine>,
    client: IpAddr,
    now: Timestamp,
}

/// The rate limit of one purpose, by the keys that attempts count for.
pub struct Counted {
    engine: Arc<Engine>,
    keys: Vec<Key>,
    now: Timestamp,
}

impl Tries {
    pub fn at(&self, purpose: Purpose) -> Counted {
        self.counted(vec![Key::address(purpose, self.client)])
    }

    /// Counted by address and by email, whether or not the email has an account.
    pub fn of(&self, purpose: Purpose, email: &str) -> Counted {
        self.counted(vec![Key::address(purpose, self.client), Key::email(purpose, email)])
    }

    /// Counted only by the caller's session, so a stranger who guesses elsewhere cannot lock a signed-in user out.
    pub fn of_session(&self, purpose: Purpose, token_id: i64) -> Counted {
        self.counted(vec![Key::Session(purpose, token_id)])
    }

    /// Counted only by account, for attempts that require its password.
    pub fn of_account(&self, purpose: Purpose, account_id: i64) -> Counted {
        self.counted(vec![Key::Account(purpose, account_id)])
    }

    fn counted(&self, keys: Vec<Key>) -> Counted {
        Counted { keys, engine: Arc::clone(&self.engine), now: self.now }
    }
}

impl Counted {
    /// Rejects the request if too many attempts failed recently. Call this before hashing a password.
    pub fn check(&self) -> Result<(), Throttled> {
        self.engine.node.throttle.check(&self.keys, self.now)
    }

    /// Counts a failed attempt.
    pub fn count(&self) {
        self.engine.node.throttle.count(&self.keys, self.now);
    }

    /// Forgets the failures of the email, session or account. Those of the address stay. Otherwise an attacker could
    /// reset the limit with a login to an account of their own.
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

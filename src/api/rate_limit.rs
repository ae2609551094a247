//! Rate limits: an input for handlers that could be used to guess a secret or to cause expensive work.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;

use super::error::Result;
use super::input::Input;
use super::openapi::Operation;
use super::request::Request;
use crate::auth::{Purpose, ThrottleKey, Throttled};
use crate::instance::Instance;
use crate::values::Timestamp;

/// Rate limits by the caller's address, and by email once it is known. This is the only access to the throttle, so
/// every handler that may return 429 has this input, and OpenAPI documents the 429.
pub struct RateLimit {
    instance: Arc<Instance>,
    client: IpAddr,
    now: Timestamp,
}

/// The rate limit of one purpose, by the keys that attempts count for.
pub struct RateLimitedAttempt {
    instance: Arc<Instance>,
    keys: Vec<ThrottleKey>,
    now: Timestamp,
}

impl RateLimit {
    pub fn for_address(&self, purpose: Purpose) -> RateLimitedAttempt {
        self.counted(vec![ThrottleKey::address(purpose, self.client)])
    }

    /// Counted by address and by email, whether or not the email has an account.
    pub fn for_email(&self, purpose: Purpose, email: &str) -> RateLimitedAttempt {
        self.counted(vec![ThrottleKey::address(purpose, self.client), ThrottleKey::email(purpose, email)])
    }

    /// Counted only by the caller's session, so a stranger who guesses elsewhere cannot lock a signed-in user out.
    pub fn for_session(&self, purpose: Purpose, token_id: i64) -> RateLimitedAttempt {
        self.counted(vec![ThrottleKey::Session(purpose, token_id)])
    }

    /// Counted only by account, for attempts that require its password.
    pub fn for_account(&self, purpose: Purpose, account_id: i64) -> RateLimitedAttempt {
        self.counted(vec![ThrottleKey::Account(purpose, account_id)])
    }

    fn counted(&self, keys: Vec<ThrottleKey>) -> RateLimitedAttempt {
        RateLimitedAttempt { keys, instance: Arc::clone(&self.instance), now: self.now }
    }
}

impl RateLimitedAttempt {
    /// Rejects the request if too many attempts failed recently. Call this before hashing a password.
    pub fn check(&self) -> Result<(), Throttled> {
        self.instance.node.throttle.check(&self.keys, self.now)
    }

    /// Counts a failed attempt.
    pub fn count(&self) {
        self.instance.node.throttle.count(&self.keys, self.now);
    }

    /// Forgets the failures of the email, session or account. Those of the address stay. Otherwise an attacker could
    /// reset the limit with a login to their own account.
    pub fn reset(&self) {
        let own = self.keys.iter().filter(|key| !matches!(key, ThrottleKey::Address(..)));
        own.for_each(|key| self.instance.node.throttle.reset(key));
    }
}

impl Input for RateLimit {
    fn read(request: &Request) -> Result<Self> {
        Ok(Self { instance: Arc::clone(&request.instance), client: request.client, now: request.now })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.error_response(StatusCode::TOO_MANY_REQUESTS);
    }
}

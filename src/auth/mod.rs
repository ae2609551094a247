//! Who is asking: passwords, tokens and the keys that seal them, permissions, and the throttle of who guesses.

mod keys;
mod passwords;
pub mod permissions;
pub mod seal;
pub mod secret;
mod throttle;
mod token;

pub use keys::Keys;
pub use passwords::{PasswordCost, Passwords, Verified};
pub use permissions::{Member, Who};
pub use throttle::{Key, Throttle, Throttled};
pub use token::{Scope, TokenFault, TokenInUse};

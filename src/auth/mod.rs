//! Authentication and authorization: passwords, tokens and the keys that encrypt them, integration keys, permissions,
//! and the throttle for failed attempts.

pub mod callers;
mod host_names;
mod key_uses;
mod keys;
mod nonce;
mod origin;
mod passwords;
pub mod permissions;
pub mod scopes;
pub mod seal;
pub mod secret;
mod signing;
mod throttle;
mod token;

pub use callers::{Actor, Insider, LOOK_UP, Who};
pub use host_names::HostNames;
pub use key_uses::KeyUses;
pub use keys::Keys;
pub use nonce::Nonce;
pub use origin::{Origin, OriginActor, network_of};
pub use passwords::{PasswordCost, Passwords, Verified};
pub use permissions::Permissions;
pub use scopes::Scopes;
pub use signing::SigningSecret;
pub use throttle::{Key, Purpose, Throttle, Throttled, network};
pub use token::{AccessToken, CALL_FLOW_PREFIX, Credential, KEY_PREFIX, Scope, TokenFault, TokenInUse, TokenKind};

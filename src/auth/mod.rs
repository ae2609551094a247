//! Authentication and authorization: passwords, tokens and the keys that encrypt them, integration keys, permissions,
//! and the throttle for failed attempts.

mod credential;
pub mod encryption;
mod host_names;
pub mod identity;
mod key_uses;
mod keys;
mod node_key;
mod nonce;
mod origin;
mod passwords;
pub mod permissions;
pub mod scopes;
pub mod secret;
mod signing;
mod throttle;

pub use credential::{
    AccessToken, CALL_FLOW_PREFIX, Credential, KEY_PREFIX, SignInMethod, TokenFault, TokenInUse, TokenKind, TokenScope,
};
pub use host_names::HostNames;
pub use identity::{Caller, Identity, LOOK_UP, Principal};
pub use key_uses::KeyUses;
pub use keys::Keys;
pub use node_key::{NODE_HEADER, NOTIFY_PATH, NodeKey, RequestOrigin};
pub use nonce::Nonce;
pub use origin::{Origin, OriginActor, network_of};
pub use passwords::{PasswordCost, Passwords, Verified};
pub use permissions::Permissions;
pub use scopes::Scopes;
pub use signing::SigningSecret;
pub use throttle::{Purpose, Throttle, ThrottleKey, Throttled, network};

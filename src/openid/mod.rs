//! Single sign-on with OpenID Connect 1.0: the providers, and what they say about a person.

mod identity_claims;
mod provider_client;
mod provider_settings;

pub use identity_claims::ProviderIdentity;
pub use provider_client::{Attempt, ProviderClients, ProviderError, Return};
pub use provider_settings::{ClientSecret, GroupRole, Provider, check_issuer, providers_of_file};

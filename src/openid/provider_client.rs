//! The client of a provider: the authorization code flow with PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636; RFC 9207).

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreSubjectIdentifierType, CoreTokenType,
};
use openidconnect::{
    AccessToken, AdditionalProviderMetadata, AuthType, AuthorizationCode, ClaimsVerificationError, Client, ClientId,
    ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    ProviderMetadata, RedirectUrl, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenIntrospectionResponse, StandardTokenResponse, SubjectIdentifier, TokenResponse, UserInfoClaims,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::Uri;
use url::Url;

use super::identity_claims::{Claims, MoreClaims};
use super::{Provider, ProviderIdentity};
use crate::outgoing::{agent_config, guarded_agent, system_roots};
use crate::values::Timestamp;

/// Time limits of one request to a provider.
const CONNECT: Duration = Duration::from_secs(5);
const LONGEST_REQUEST: Duration = Duration::from_secs(10);

/// Bytes of a response to read.
const MOST_RESPONSE: u64 = 1 << 20;

/// Seconds for which the metadata and keys of a provider are used before they are read again.
const METADATA_TTL: i64 = 3600;

/// Minimum seconds between two readings because of an unknown key.
const KEYS_READ_EVERY: i64 = 60;

/// Seconds for which a provider that did not respond is not asked again.
const FAILURE_TTL: i64 = 5;

/// Providers of workspaces that may be waited for at the same time, each once. The other threads stay free for those of
/// the instance.
const OF_WORKSPACES: usize = 2;

/// Seconds by which the clock of a provider may differ from this one.
const LEEWAY: i64 = 60;

/// The clients of all providers. They remember metadata and keys.
pub struct ProviderClients {
    /// Whether providers of workspaces may be in the server's own network.
    private: bool,
    agent: OnceLock<Agent>,
    guarded: OnceLock<Agent>,
    /// By the name of the provider.
    known: Mutex<HashMap<String, KnownMetadata>>,
    /// The providers of workspaces with a sign-in under way.
    busy: Mutex<HashSet<String>>,
}

/// A sign-in that has begun. The browser keeps it until the provider sends it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub state: String,
    nonce: String,
    /// The secret of PKCE.
    verifier: String,
}

/// The parameters with which a provider sends a browser back.
#[derive(Debug, Clone, Copy)]
pub struct Return<'a> {
    pub code: &'a str,
    /// The issuer (RFC 9207), if the provider sends it.
    pub issuer: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider cannot be reached or has trouble. A repeat may succeed.
    #[error("the provider does not respond: {0}")]
    Unreachable(String),
    /// The settings are wrong, or the provider does not follow the standard.
    #[error("the provider cannot be used: {0}")]
    Unusable(String),
    /// The provider rejects the code, or what it says is not valid.
    #[error("the sign-in is not valid: {0}")]
    Invalid(String),
}

/// The last reading of a provider's metadata, or why it failed.
#[derive(Clone)]
struct KnownMetadata {
    issuer: String,
    metadata: Result<Arc<Metadata>, ProviderError>,
    read_at: Timestamp,
}

/// The place of a provider of a workspace among those that may wait at the same time.
struct Permit<'c> {
    busy: &'c Mutex<HashSet<String>>,
    provider: String,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.provider);
    }
}

type Metadata = ProviderMetadata<
    MoreMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Metadata of RFC 9207, and of OpenID Connect RP-Initiated Logout 1.0.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct MoreMetadata {
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    end_session_endpoint: Option<Url>,
}

impl AdditionalProviderMetadata for MoreMetadata {}

type TokenFields = IdTokenFields<
    MoreClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Tokens = StandardTokenResponse<TokenFields, CoreTokenType>;

type OpenIdClient = Client<
    MoreClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    StandardTokenIntrospectionResponse<EmptyExtraTokenFields, CoreTokenType>,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The claims of an ID token or of UserInfo. Both types have these methods, without a common trait.
macro_rules! claims {
    ($claims:expr) => {
        Claims {
            subject: $claims.subject().to_string(),
            email: $claims.email().map(|email| email.to_string()),
            email_verified: $claims.email_verified(),
            name: $claims.name().and_then(|name| name.get(None)).map(|name| name.to_string()),
            more: $claims.additional_claims().0.clone(),
        }
    };
}

/// A request that did not get a response.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0}")]
    Failed(#[from] ureq::Error),
    #[error("{0} is not an https:// URL")]
    Plain(Uri),
    #[error("status {0}")]
    Status(u16),
}

impl ProviderClients {
    pub fn new(private: bool) -> Self {
        let (agent, guarded) = (OnceLock::new(), OnceLock::new());
        Self { private, agent, guarded, known: Mutex::default(), busy: Mutex::default() }
    }

    /// The URL at the provider where a person signs in, and the attempt to keep until the return.
    pub fn begin(
        &self,
        provider: &Provider,
        return_url: &str,
        now: Timestamp,
    ) -> Result<(Url, Attempt), ProviderError> {
        let _permit = self.permit(provider)?;
        let client = client(provider, &*self.metadata(provider, now)?, return_url)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(provider.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge)
            .url();
        let attempt =
            Attempt { state: state.into_secret(), nonce: nonce.secret().clone(), verifier: verifier.into_secret() };
        Ok((url, attempt))
    }

    /// Exchanges the code of a return, and returns who the person is.
    pub fn finish(
        &self,
        provider: &Provider,
        return_url: &str,
        attempt: Attempt,
        returned: Return<'_>,
        now: Timestamp,
    ) -> Result<ProviderIdentity, ProviderError> {
        let _permit = self.permit(provider)?;
        let metadata = self.metadata(provider, now)?;
        check_issuer(provider, &metadata, returned.issuer)?;
        let openid = client(provider, &metadata, return_url)?;
        let send = self.sender(provider);
        let tokens = openid
            .exchange_code(AuthorizationCode::new(returned.code.to_owned()))
            .map_err(|error| unusable(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier))
            .request(&send)
            .map_err(|error| request_failed(&error))?;
        let nonce = Nonce::new(attempt.nonce);
        let claims = match id_token_claims(&openid, &tokens, &nonce, now) {
            // The provider may have new keys.
            Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) => {
                let metadata = self.metadata_read_after(provider, now.plus(-KEYS_READ_EVERY), now)?;
                id_token_claims(&client(provider, &metadata, return_url)?, &tokens, &nonce, now)
            }
            claims => claims,
        };
        let claims = claims.map_err(|error| ProviderError::Invalid(explain(&error)))?;
        let claims = self.with_user_info(provider, &openid, tokens.access_token(), claims);
        Ok(claims.identity(provider))
    }

    /// The URL at which the session at the provider ends (OpenID Connect RP-Initiated Logout 1.0), if the provider has
    /// one and its metadata is known.
    pub fn end_session_url(&self, provider: &Provider, return_url: &str) -> Option<Url> {
        let mut url = self.known(provider)?.metadata.ok()?.additional_metadata().end_session_endpoint.clone()?;
        url.query_pairs_mut()
            .append_pair("client_id", &provider.client_id)
            .append_pair("post_logout_redirect_uri", return_url);
        Some(url)
    }

    /// Adds the claims from UserInfo, if the ID token has no address or no groups. Some providers tell them only there.
    fn with_user_info(
        &self,
        provider: &Provider,
        client: &OpenIdClient,
        token: &AccessToken,
        claims: Claims,
    ) -> Claims {
        let has_all = claims.email.is_some() && claims.name.is_some();
        if has_all && (provider.roles.is_empty() || claims.more.contains_key(&provider.groups_claim)) {
            return claims;
        }
        let subject = SubjectIdentifier::new(claims.subject.clone());
        let Ok(request) = client.user_info(token.clone(), Some(subject)) else { return claims };
        let told: Result<UserInfoClaims<MoreClaims, CoreGenderClaim>, _> = request.request(&self.sender(provider));
        match told {
            Ok(told) => claims.or(claims!(told)),
            Err(error) => {
                tracing::warn!(
                    provider = provider.id,
                    error = explain(&error),
                    "cannot read UserInfo from the provider"
                );
                claims
            }
        }
    }

    /// Waits for a provider of a workspace only if few others do: it may be slow on purpose.
    fn permit(&self, provider: &Provider) -> Result<Option<Permit<'_>>, ProviderError> {
        if !provider.is_of_workspace {
            return Ok(None);
        }
        let mut busy = self.busy.lock();
        if busy.len() >= OF_WORKSPACES || !busy.insert(provider.id.clone()) {
            return Err(ProviderError::Unreachable("other sign-ins with providers of workspaces are waiting".into()));
        }
        Ok(Some(Permit { busy: &self.busy, provider: provider.id.clone() }))
    }

    fn metadata(&self, provider: &Provider, now: Timestamp) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata_read_after(provider, now.plus(-METADATA_TTL), now)
    }

    /// The metadata, which is read if the last reading was before `after`. If that fails, old metadata is better than
    /// none.
    fn metadata_read_after(
        &self,
        provider: &Provider,
        after: Timestamp,
        now: Timestamp,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let known = self.known(provider);
        if let Some(KnownMetadata { metadata, read_at, .. }) = &known {
            let is_fresh = if metadata.is_ok() { *read_at > after } else { *read_at > now.plus(-FAILURE_TTL) };
            // A reading in the future means that the clock was set back.
            if is_fresh && *read_at <= now {
                return metadata.clone();
            }
        }
        let metadata = match (self.read_metadata(provider), known) {
            (Err(error), Some(KnownMetadata { metadata: Ok(old), .. })) => {
                tracing::warn!(provider = provider.id, %error, "cannot read the metadata of the provider again");
                Ok(old)
            }
            (metadata, _) => metadata,
        };
        let known = KnownMetadata { issuer: provider.issuer.clone(), metadata: metadata.clone(), read_at: now };
        self.known.lock().insert(provider.id.clone(), known);
        metadata
    }

    /// The last reading. One of another issuer, which the provider had before, is of no use.
    fn known(&self, provider: &Provider) -> Option<KnownMetadata> {
        self.known.lock().get(&provider.id).filter(|known| known.issuer == provider.issuer).cloned()
    }

    fn read_metadata(&self, provider: &Provider) -> Result<Arc<Metadata>, ProviderError> {
        let issuer = IssuerUrl::new(provider.issuer.clone()).map_err(|error| unusable(&error))?;
        let metadata = Metadata::discover(&issuer, &self.sender(provider)).map_err(|error| match &error {
            openidconnect::DiscoveryError::Request(_) => ProviderError::Unreachable(explain(&error)),
            _ => unusable(&error),
        })?;
        Ok(Arc::new(metadata))
    }

    /// Sends requests to a provider. They are encrypted, unless the provider runs on this machine.
    fn sender(&self, provider: &Provider) -> impl Fn(HttpRequest) -> Result<HttpResponse, SendError> {
        let (agent, private) = match provider.is_of_workspace {
            true => (&self.guarded, self.private),
            false => (&self.agent, true),
        };
        let agent = agent.get_or_init(|| {
            let config = agent_config(system_roots());
            guarded_agent(config.timeout_connect(Some(CONNECT)).timeout_global(Some(LONGEST_REQUEST)), private)
        });
        let needs_tls = provider.issuer.starts_with("https:");
        move |request| {
            if needs_tls && request.uri().scheme_str() != Some("https") {
                return Err(SendError::Plain(request.uri().clone()));
            }
            let mut response = agent.run(request)?;
            if response.status().is_server_error() {
                return Err(SendError::Status(response.status().as_u16()));
            }
            let body = response.body_mut().with_config().limit(MOST_RESPONSE).read_to_vec()?;
            Ok(response.map(|_| body))
        }
    }
}

fn client(provider: &Provider, metadata: &Metadata, return_url: &str) -> Result<OpenIdClient, ProviderError> {
    let secret = provider.client_secret.read().map_err(|error| ProviderError::Unusable(format!("{error:#}")))?;
    let return_url = RedirectUrl::new(return_url.to_owned()).map_err(|error| unusable(&error))?;
    // The default is HTTP Basic (OpenID Connect Discovery 1.0, 3).
    let methods = metadata.token_endpoint_auth_methods_supported();
    let auth_type = match methods {
        Some(methods) if !methods.contains(&CoreClientAuthMethod::ClientSecretBasic) => AuthType::RequestBody,
        _ => AuthType::BasicAuth,
    };
    let client = OpenIdClient::from_provider_metadata(
        metadata.clone(),
        ClientId::new(provider.client_id.clone()),
        secret.map(ClientSecret::new),
    );
    Ok(client.set_auth_type(auth_type).set_redirect_uri(return_url))
}

/// A return with the issuer of another provider is rejected, also if it is missing and this provider always sends it
/// (RFC 9207, 2.4).
fn check_issuer(provider: &Provider, metadata: &Metadata, returned: Option<&str>) -> Result<(), ProviderError> {
    let is_required = metadata.additional_metadata().authorization_response_iss_parameter_supported;
    let is_right = returned.map_or(!is_required, |issuer| issuer == provider.issuer);
    if is_right { Ok(()) } else { Err(ProviderError::Invalid("the response is from another issuer".into())) }
}

/// The verified claims of the ID token.
fn id_token_claims(
    client: &OpenIdClient,
    tokens: &Tokens,
    nonce: &Nonce,
    now: Timestamp,
) -> Result<Claims, ClaimsVerificationError> {
    let Some(id_token) = tokens.id_token() else {
        return Err(ClaimsVerificationError::Other("the provider sent no ID token".into()));
    };
    let at = DateTime::from_timestamp(now.seconds(), 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let leeway = TimeDelta::seconds(LEEWAY);
    let is_issued = move |issued: DateTime<Utc>| {
        if issued <= at + leeway { Ok(()) } else { Err("the ID token is from the future".to_owned()) }
    };
    let verifier = client.id_token_verifier().set_time_fn(move || at - leeway).set_issue_time_verifier_fn(is_issued);
    let claims = id_token.claims(&verifier, nonce)?;
    Ok(claims!(claims))
}

fn request_failed<T>(error: &openidconnect::RequestTokenError<SendError, T>) -> ProviderError
where
    T: openidconnect::ErrorResponse + 'static,
{
    match error {
        openidconnect::RequestTokenError::Request(error) => ProviderError::Unreachable(explain(error)),
        error => ProviderError::Invalid(explain(error)),
    }
}

fn unusable(error: &dyn Error) -> ProviderError {
    ProviderError::Unusable(explain(error))
}

/// An error with its causes.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

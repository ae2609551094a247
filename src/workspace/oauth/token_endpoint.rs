//! OAuth endpoints: get, refresh, revoke and introspect tokens, and the server metadata.
//!
//! Every error is one of RFC 6749, 5.2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::clients::{GrantType, OAuthClient};
use super::grants::{self, Grant, IssuedTokens, Issuer};
use super::protocol::{
    BAD_CLIENT, BAD_SCOPE, Basic, EmptyResponse, OAuthError, OAuthResult, TokenResponse, answer, authenticate,
    oauth_error,
};
use crate::api::resource::{Resource, Section};
use crate::api::{BlockingCtx, Ctx, Needs, OAuthForm, Ok200, Result, Route, get, inline, post, run};
use crate::auth::Scopes;
use crate::auth::encryption::{self, DecryptedToken};
use crate::tenancy::journal::Actor;
use crate::tenancy::{ChangeRecorder, members};
use crate::values::{Text, TokenTtl};

pub const RESOURCE: Resource =
    Resource::new("OAuth", "Get, renew, revoke and introspect OAuth tokens (RFC 6749, 7009, 7662, 8414).", ROUTES)
        .section(Section::Integrations);

const ROUTES: &[Route] = &[
    post("/oauth/token", &run(token), Needs::Anyone, "Get an access token").named("getOauthToken"),
    post("/oauth/revoke", &run(revoke), Needs::Anyone, "Revoke a token and its whole grant").named("revokeOauthToken"),
    post("/oauth/introspect", &run(introspect), Needs::Anyone, "Introspect a token").named("introspectOauthToken"),
    get("/.well-known/oauth-authorization-server", &inline(metadata), Needs::Anyone, "Show the OAuth server metadata")
        .named("getOauthMetadata"),
];

const BAD_CODE: OAuthError = oauth_error("invalid_grant", "The code is invalid or has expired.");
const BAD_REFRESH_TOKEN: OAuthError = oauth_error("invalid_grant", "The refresh token is invalid or has expired.");

/// A token request (RFC 6749). The required fields depend on `grant_type`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OAuthToken")]
#[serde(default)]
pub struct TokenRequest {
    /// `authorization_code`, `client_credentials` or `refresh_token`.
    #[schemars(example = &"client_credentials")]
    grant_type: Option<Text<100>>,
    /// Authorization code from the redirect. Required for `authorization_code`.
    code: Option<Text<500>>,
    /// The `redirect_uri` of the authorization request. Required for `authorization_code`.
    redirect_uri: Option<Text<2000>>,
    /// PKCE code verifier (RFC 7636). Required if the authorization request had a `code_challenge`.
    code_verifier: Option<Text<128>>,
    /// Refresh token to exchange. Required for `refresh_token`. It can be used once.
    refresh_token: Option<Text<500>>,
    /// Scopes, separated by spaces. Defaults to the scopes of the client, or of the refresh token.
    #[schemars(example = &"client crm")]
    scope: Option<Text<5000>>,
    /// Public identifier of the client. Not required if the client authenticates with HTTP Basic.
    client_id: Option<Text<200>>,
    /// Secret of a confidential client. Not required if the client authenticates with HTTP Basic.
    client_secret: Option<Text<200>>,
}

/// A token to revoke or to introspect.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OAuthTokenNamed")]
#[serde(default)]
pub struct TokenNamed {
    /// The token.
    #[schemars(example = &"v4.local.…")]
    token: Option<Text<2000>>,
    /// Accepted, but not required: the server recognizes every token.
    token_type_hint: Option<Text<100>>,
    /// Public identifier of the client. Not required if the client authenticates with HTTP Basic.
    client_id: Option<Text<200>>,
    /// Secret of a confidential client. Not required if the client authenticates with HTTP Basic.
    client_secret: Option<Text<200>>,
}

/// An access token (RFC 6749).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub struct GrantedToken {
    /// The token. Send it as `Authorization: Bearer {access_token}`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    expires_in: i64,
    /// Token to get the next pair of tokens. It can be used once. Absent for `client_credentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    refresh_token: Option<String>,
    /// Granted scopes, separated by spaces.
    scope: String,
}

/// The state of a token (RFC 7662). An invalid token, or one of another client, has only `active: false`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Introspection {
    /// Whether the token is valid.
    active: bool,
    /// Effective scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Client that the token was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Email address of the user who approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// `Bearer` for an access token. Absent for a refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// Time of expiry, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// Time of the approval, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// Id of the user who approved, or the `client_id` if the client acts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// Address of the workspace that issued the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
}

/// Metadata of the OAuth server (RFC 8414).
#[derive(Debug, Serialize, JsonSchema)]
pub struct Metadata {
    /// Address of the workspace, which is the issuer of its tokens.
    issuer: String,
    /// URL of the page on which users approve access.
    authorization_endpoint: String,
    /// URL to get tokens.
    token_endpoint: String,
    /// URL to revoke tokens.
    revocation_endpoint: String,
    /// URL to introspect tokens.
    introspection_endpoint: String,
    /// All scopes.
    scopes_supported: Vec<String>,
    /// Supported response types.
    response_types_supported: [&'static str; 1],
    /// Supported response modes.
    response_modes_supported: [&'static str; 1],
    /// Supported grant types.
    grant_types_supported: [&'static str; 3],
    /// Client authentication methods of the token endpoint.
    token_endpoint_auth_methods_supported: [&'static str; 3],
    /// Client authentication methods of the revocation endpoint.
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    /// Client authentication methods of the introspection endpoint.
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// Supported PKCE methods.
    code_challenge_methods_supported: [&'static str; 1],
    /// Whether redirects carry the `iss` parameter (RFC 9207).
    authorization_response_iss_parameter_supported: bool,
    /// URL of the documentation.
    service_documentation: String,
    /// Languages of the pages.
    ui_locales_supported: [&'static str; 2],
}

fn token(
    ctx: &mut Ctx<'_>,
    basic: Basic,
    OAuthForm(asked): OAuthForm<TokenRequest>,
) -> Result<TokenResponse<GrantedToken>> {
    answer(asked, |asked| {
        let client = match authenticate(ctx.db, &basic, asked.client_id.as_deref(), asked.client_secret.as_deref())? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let given = match asked.grant_type.as_deref() {
            Some("authorization_code") => by_code(ctx, &client, asked)?,
            Some("refresh_token") => by_refresh_token(ctx, &client, asked)?,
            Some("client_credentials") => client_credentials(ctx, &client, asked)?,
            None => Err(oauth_error("invalid_request", "The grant_type is missing.")),
            Some(_) => Err(oauth_error("unsupported_grant_type", "The grant_type is not supported.")),
        };
        Ok(given.map(|pair| GrantedToken {
            access_token: pair.access_token,
            token_type: "Bearer",
            expires_in: access_good_for(ctx, &client),
            refresh_token: pair.refresh_token,
            scope: pair.scopes.to_string(),
        }))
    })
}

/// Revoking either token revokes the whole grant. RFC 7009, 2.1 allows that for an access token and requires it for a
/// refresh token. An unknown token counts as revoked.
fn revoke(
    ctx: &mut Ctx<'_>,
    basic: Basic,
    OAuthForm(asked): OAuthForm<TokenNamed>,
) -> Result<TokenResponse<EmptyResponse>> {
    answer(asked, |asked| {
        let client = match authenticate(ctx.db, &basic, asked.client_id.as_deref(), asked.client_secret.as_deref())? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(token) = asked.token.as_deref() else {
            return Ok(Err(oauth_error("invalid_request", "The token is missing.")));
        };
        match grant_of(ctx, token)? {
            Some((grant, _)) if grant.client_id != client.id => {
                Ok(Err(oauth_error("invalid_grant", "The token belongs to another client.")))
            }
            Some((grant, _)) => {
                grants::end(ctx.db, &client_recorder(ctx, &client)?, &grant)?;
                Ok(Ok(EmptyResponse {}))
            }
            None => Ok(Ok(EmptyResponse {})),
        }
    })
}

fn introspect(
    ctx: &mut Ctx<'_>,
    basic: Basic,
    OAuthForm(asked): OAuthForm<TokenNamed>,
) -> Result<TokenResponse<Introspection>> {
    answer(asked, |asked| {
        let client = match authenticate(ctx.db, &basic, asked.client_id.as_deref(), asked.client_secret.as_deref())? {
            // An unauthenticated client could test stolen tokens (RFC 7662, 2.1).
            Ok(client) if client.confidential => client,
            Ok(_) | Err(_) => return Ok(Err(BAD_CLIENT)),
        };
        let Some(token) = asked.token.as_deref() else {
            return Ok(Err(oauth_error("invalid_request", "The token is missing.")));
        };
        let found = grant_of(ctx, token)?.filter(|(grant, _)| grant.client_id == client.id && !grant.is_revoked);
        let Some((grant, seen)) = found.filter(|(_, seen)| seen.is_newest && seen.expires_at > ctx.now) else {
            return Ok(Ok(Introspection::default()));
        };
        let scopes = if seen.is_access { &grant.access_scopes } else { &grant.scopes };
        let person = grant.user_id.map(|id| members::find(ctx.db, id)).transpose()?.flatten();
        Ok(Ok(Introspection {
            active: true,
            scope: Some(grants::effective_scopes(ctx.db, &client, &grant, scopes)?.to_string()),
            sub: Some(person.as_ref().map_or_else(|| client.client_id.to_string(), |person| person.id.to_string())),
            username: person.map(|person| person.email),
            client_id: Some(client.client_id.to_string()),
            token_type: seen.is_access.then_some("Bearer"),
            exp: Some(seen.expires_at.seconds()),
            iat: Some(grant.created_at.seconds()),
            iss: Some(ctx.request.workspace_url()?),
        }))
    })
}

fn metadata(ctx: &BlockingCtx<'_>) -> Result<Ok200<Metadata>> {
    let issuer = ctx.request.workspace_url()?;
    let at = |path: &str| format!("{issuer}{path}");
    Ok(Ok200(Metadata {
        authorization_endpoint: at("/oauth/authorize"),
        token_endpoint: at("/oauth/token"),
        revocation_endpoint: at("/oauth/revoke"),
        introspection_endpoint: at("/oauth/introspect"),
        scopes_supported: Scopes::all().collect(),
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: ["authorization_code", "client_credentials", "refresh_token"],
        token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        revocation_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
        code_challenge_methods_supported: ["S256"],
        authorization_response_iss_parameter_supported: true,
        service_documentation: at("/docs"),
        ui_locales_supported: ["en", "fr"],
        issuer,
    }))
}

fn by_code(ctx: &Ctx<'_>, client: &OAuthClient, asked: &TokenRequest) -> Result<OAuthResult<IssuedTokens>> {
    if !client.may_use(GrantType::AUTHORIZATION_CODE) {
        return Ok(Err(oauth_error("unauthorized_client", "The client may not use codes.")));
    }
    let (Some(code), Some(redirect_uri)) = (asked.code.as_deref(), asked.redirect_uri.as_deref()) else {
        return Ok(Err(oauth_error("invalid_request", "The code or the redirect_uri is missing.")));
    };
    let Some(code) = grants::find_code(ctx.db, code)?.filter(|code| code.grant.client_id == client.id) else {
        return Ok(Err(BAD_CODE));
    };
    if code.is_used {
        grants::end(ctx.db, &server_recorder(ctx)?, &code.grant)?;
        return Ok(Err(BAD_CODE));
    }
    if code.grant.is_revoked || code.expires_at <= ctx.now || code.redirect_uri != redirect_uri {
        return Ok(Err(BAD_CODE));
    }
    match (&code.challenge, asked.code_verifier.as_deref()) {
        (None, None) => {}
        (Some(challenge), Some(verifier)) if challenge_of(verifier) == *challenge => {}
        // This includes a verifier without a challenge: an attacker removed the challenge (RFC 9700, 2.1.1).
        _ => return Ok(Err(oauth_error("invalid_grant", "The code_verifier does not match the code_challenge."))),
    }
    issuer(ctx, client)?.exchange(code).map(Ok)
}

fn by_refresh_token(ctx: &Ctx<'_>, client: &OAuthClient, asked: &TokenRequest) -> Result<OAuthResult<IssuedTokens>> {
    let Some(token) = asked.refresh_token.as_deref() else {
        return Ok(Err(oauth_error("invalid_request", "The refresh_token is missing.")));
    };
    let found = grants::of_refresh_token(ctx.db, token)?.filter(|(grant, _)| grant.client_id == client.id);
    let Some((grant, is_newest)) = found else { return Ok(Err(BAD_REFRESH_TOKEN)) };
    if !is_newest {
        grants::end(ctx.db, &server_recorder(ctx)?, &grant)?;
        return Ok(Err(BAD_REFRESH_TOKEN));
    }
    if grant.is_revoked || grant.expires_at <= ctx.now || !client.may_use(GrantType::AUTHORIZATION_CODE) {
        return Ok(Err(BAD_REFRESH_TOKEN));
    }
    let scopes =
        match resolve_scopes(asked.scope.as_deref(), &grants::effective_scopes(ctx.db, client, &grant, &grant.scopes)?)
        {
            Ok(scopes) => scopes,
            Err(refusal) => return Ok(Err(refusal)),
        };
    issuer(ctx, client)?.renew(grant, scopes).map(Ok)
}

fn client_credentials(ctx: &Ctx<'_>, client: &OAuthClient, asked: &TokenRequest) -> Result<OAuthResult<IssuedTokens>> {
    if !client.confidential || !client.may_use(GrantType::CLIENT_CREDENTIALS) {
        return Ok(Err(oauth_error("unauthorized_client", "The client may not use client_credentials.")));
    }
    let scopes = match resolve_scopes(asked.scope.as_deref(), &client.scopes) {
        Ok(scopes) => scopes,
        Err(refusal) => return Ok(Err(refusal)),
    };
    issuer(ctx, client)?.client_credentials(&scopes).map(Ok)
}

fn issuer<'a>(ctx: &'a Ctx<'_>, client: &'a OAuthClient) -> Result<Issuer<'a>> {
    let (recorder, access_good_for) = (client_recorder(ctx, client)?, access_good_for(ctx, client));
    Ok(Issuer { db: ctx.db, keys: &ctx.request.instance.keys, client, recorder, access_good_for })
}

/// Lifetime of the client's access tokens in seconds.
fn access_good_for(ctx: &Ctx<'_>, client: &OAuthClient) -> i64 {
    client.access_token_ttl.map_or(ctx.request.instance.config.oauth_access_token_ttl, TokenTtl::get)
}

/// The client, as the actor of changes to its grants.
fn client_recorder(ctx: &Ctx<'_>, client: &OAuthClient) -> Result<ChangeRecorder> {
    let actor = Actor::Client { id: client.id, name: client.name.to_string() };
    Ok(ctx.request.recorder_for(ctx.request.workspace()?.id(), actor))
}

/// The server, as the actor that revokes a grant after a second use.
fn server_recorder(ctx: &Ctx<'_>) -> Result<ChangeRecorder> {
    Ok(ctx.request.recorder_for(ctx.request.workspace()?.id(), Actor::System))
}

/// The requested scopes, which must be within those allowed. Defaults to all that are allowed.
pub fn resolve_scopes(asked: Option<&str>, may_have: &Scopes) -> OAuthResult<Scopes> {
    let scopes = Scopes::parse(asked.unwrap_or_default()).ok_or(BAD_SCOPE)?;
    match scopes.is_empty() {
        true => Ok(may_have.clone()),
        false if scopes.are_within(may_have) => Ok(scopes),
        false => Err(BAD_SCOPE),
    }
}

/// The challenge of a verifier by `S256` (RFC 7636, 4.2).
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// The status of a token within its grant.
struct TokenStatus {
    is_access: bool,
    is_newest: bool,
    expires_at: crate::values::Timestamp,
}

/// The grant of an access token or refresh token.
fn grant_of(ctx: &Ctx<'_>, token: &str) -> Result<Option<(Grant, TokenStatus)>> {
    if let Some((grant, is_newest)) = grants::of_refresh_token(ctx.db, token)? {
        let expires_at = grant.expires_at;
        return Ok(Some((grant, TokenStatus { is_access: false, is_newest, expires_at })));
    }
    let workspace = ctx.request.workspace()?.id();
    match encryption::decrypt_token(token, &ctx.request.instance.keys) {
        Ok(DecryptedToken::Client(access)) if access.workspace == workspace => {
            let grant = grants::find(ctx.db, access.grant_id)?;
            Ok(grant.map(|grant| {
                let is_newest = (grant.serial, grant.nonce) == (access.serial, access.nonce);
                (grant, TokenStatus { is_access: true, is_newest, expires_at: access.expires_at })
            }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;

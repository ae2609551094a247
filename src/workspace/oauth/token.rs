//! OAuth endpoints: get, refresh, revoke and introspect tokens, and the server metadata.
//!
//! Every error is one of RFC 6749, 5.2.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::clients::{self, Client, GrantType};
use super::grants::{self, Grant, Issuer, Pair};
use crate::api::resource::{Resource, Section};
use crate::api::{
    Answer, Call, Ctx, Error, Input, Needs, OAuthForm, Ok200, Operation, Reply, Result, Route, Steps, get, here, json,
    post, run,
};
use crate::auth::seal::{self, Opened};
use crate::auth::{Scopes, secret};
use crate::tenancy::journal::Actor;
use crate::tenancy::{Author, members};
use crate::values::{Text, TokenTtl};

pub const RESOURCE: Resource =
    Resource::new("OAuth", "Get, renew, revoke and introspect OAuth tokens (RFC 6749, 7009, 7662, 8414).", ROUTES)
        .section(Section::Integrations);

const ROUTES: &[Route] = &[
    post("/oauth/token", &run(token), Needs::Anyone, "Get an access token").named("getOauthToken"),
    post("/oauth/revoke", &run(revoke), Needs::Anyone, "Revoke a token and its whole grant").named("revokeOauthToken"),
    post("/oauth/introspect", &run(introspect), Needs::Anyone, "Introspect a token").named("introspectOauthToken"),
    get("/.well-known/oauth-authorization-server", &here(metadata), Needs::Anyone, "Show the OAuth server metadata")
        .named("getOauthMetadata"),
];

/// An OAuth error (RFC 6749, 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub why: &'static str,
}

type Judged<T> = Result<T, Refusal>;

const fn refuse(code: &'static str, why: &'static str) -> Refusal {
    Refusal { code, why }
}

const BAD_CLIENT: Refusal = refuse("invalid_client", "The client is unknown, or its secret is wrong.");
const BAD_CODE: Refusal = refuse("invalid_grant", "The code is invalid or has expired.");
const BAD_REFRESH_TOKEN: Refusal = refuse("invalid_grant", "The refresh token is invalid or has expired.");
pub const BAD_SCOPE: Refusal = refuse("invalid_scope", "The scope is unknown, or the client may not have it.");

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

/// HTTP Basic credentials. In OAuth, name and secret are form-encoded inside (RFC 6749, 2.3.1).
#[derive(Debug, Clone)]
pub enum Basic {
    None,
    Named { client_id: String, client_secret: String },
    Malformed,
}

/// An access token (RFC 6749).
#[derive(Debug, Serialize, JsonSchema)]
pub struct Token {
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

/// A response: 200 with a `T`, or an OAuth error. The handler returns the error as a value, so that its transaction
/// commits the revocation.
pub struct ToClient<T>(Judged<T>);

fn token(ctx: &mut Ctx<'_>, basic: Basic, OAuthForm(asked): OAuthForm<TokenRequest>) -> Result<ToClient<Token>> {
    answer(asked, |asked| {
        let client = match authenticate(ctx.db, &basic, asked.client_id.as_deref(), asked.client_secret.as_deref())? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let given = match asked.grant_type.as_deref() {
            Some("authorization_code") => by_code(ctx, &client, asked)?,
            Some("refresh_token") => by_refresh_token(ctx, &client, asked)?,
            Some("client_credentials") => for_itself(ctx, &client, asked)?,
            None => Err(refuse("invalid_request", "The grant_type is missing.")),
            Some(_) => Err(refuse("unsupported_grant_type", "The grant_type is not supported.")),
        };
        Ok(given.map(|pair| Token {
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
fn revoke(ctx: &mut Ctx<'_>, basic: Basic, OAuthForm(asked): OAuthForm<TokenNamed>) -> Result<ToClient<NoBody>> {
    answer(asked, |asked| {
        let client = match authenticate(ctx.db, &basic, asked.client_id.as_deref(), asked.client_secret.as_deref())? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(token) = asked.token.as_deref() else {
            return Ok(Err(refuse("invalid_request", "The token is missing.")));
        };
        match grant_of(ctx, token)? {
            Some((grant, _)) if grant.client_id != client.id => {
                Ok(Err(refuse("invalid_grant", "The token belongs to another client.")))
            }
            Some((grant, _)) => {
                grants::end(ctx.db, &author(ctx, &client)?, &grant)?;
                Ok(Ok(NoBody {}))
            }
            None => Ok(Ok(NoBody {})),
        }
    })
}

fn introspect(
    ctx: &mut Ctx<'_>,
    basic: Basic,
    OAuthForm(asked): OAuthForm<TokenNamed>,
) -> Result<ToClient<Introspection>> {
    answer(asked, |asked| {
        let client = match authenticate(ctx.db, &basic, asked.client_id.as_deref(), asked.client_secret.as_deref())? {
            // An unauthenticated client could test stolen tokens (RFC 7662, 2.1).
            Ok(client) if client.confidential => client,
            Ok(_) | Err(_) => return Ok(Err(BAD_CLIENT)),
        };
        let Some(token) = asked.token.as_deref() else {
            return Ok(Err(refuse("invalid_request", "The token is missing.")));
        };
        let found = grant_of(ctx, token)?.filter(|(grant, _)| grant.client_id == client.id && !grant.is_revoked);
        let Some((grant, seen)) = found.filter(|(_, seen)| seen.is_newest && seen.expires_at > ctx.now) else {
            return Ok(Ok(Introspection::default()));
        };
        let scopes = if seen.is_access { &grant.access_scopes } else { &grant.scopes };
        let person = grant.user_id.map(|id| members::find(ctx.db, id)).transpose()?.flatten();
        Ok(Ok(Introspection {
            active: true,
            scope: Some(grants::holding(ctx.db, &client, &grant, scopes)?.to_string()),
            sub: Some(person.as_ref().map_or_else(|| client.client_id.to_string(), |person| person.id.to_string())),
            username: person.map(|person| person.email),
            client_id: Some(client.client_id.to_string()),
            token_type: seen.is_access.then_some("Bearer"),
            exp: Some(seen.expires_at.seconds()),
            iat: Some(grant.created_at.seconds()),
            iss: Some(ctx.call.workspace_url()?),
        }))
    })
}

fn metadata(steps: &Steps<'_>) -> Result<Ok200<Metadata>> {
    let issuer = steps.call.workspace_url()?;
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

fn by_code(ctx: &Ctx<'_>, client: &Client, asked: &TokenRequest) -> Result<Judged<Pair>> {
    if !client.may_use(GrantType::AUTHORIZATION_CODE) {
        return Ok(Err(refuse("unauthorized_client", "The client may not use codes.")));
    }
    let (Some(code), Some(redirect_uri)) = (asked.code.as_deref(), asked.redirect_uri.as_deref()) else {
        return Ok(Err(refuse("invalid_request", "The code or the redirect_uri is missing.")));
    };
    let Some(code) = grants::code(ctx.db, code)?.filter(|code| code.grant.client_id == client.id) else {
        return Ok(Err(BAD_CODE));
    };
    if code.is_used {
        grants::end(ctx.db, &server(ctx)?, &code.grant)?;
        return Ok(Err(BAD_CODE));
    }
    if code.grant.is_revoked || code.expires_at <= ctx.now || code.redirect_uri != redirect_uri {
        return Ok(Err(BAD_CODE));
    }
    match (&code.challenge, asked.code_verifier.as_deref()) {
        (None, None) => {}
        (Some(challenge), Some(verifier)) if challenge_of(verifier) == *challenge => {}
        // This includes a verifier without a challenge: an attacker removed the challenge (RFC 9700, 2.1.1).
        _ => return Ok(Err(refuse("invalid_grant", "The code_verifier does not match the code_challenge."))),
    }
    issuer(ctx, client)?.exchange(code).map(Ok)
}

fn by_refresh_token(ctx: &Ctx<'_>, client: &Client, asked: &TokenRequest) -> Result<Judged<Pair>> {
    let Some(token) = asked.refresh_token.as_deref() else {
        return Ok(Err(refuse("invalid_request", "The refresh_token is missing.")));
    };
    let found = grants::of_refresh_token(ctx.db, token)?.filter(|(grant, _)| grant.client_id == client.id);
    let Some((grant, is_newest)) = found else { return Ok(Err(BAD_REFRESH_TOKEN)) };
    if !is_newest {
        grants::end(ctx.db, &server(ctx)?, &grant)?;
        return Ok(Err(BAD_REFRESH_TOKEN));
    }
    if grant.is_revoked || grant.expires_at <= ctx.now || !client.may_use(GrantType::AUTHORIZATION_CODE) {
        return Ok(Err(BAD_REFRESH_TOKEN));
    }
    let scopes = match wanted(asked.scope.as_deref(), &grants::holding(ctx.db, client, &grant, &grant.scopes)?) {
        Ok(scopes) => scopes,
        Err(refusal) => return Ok(Err(refusal)),
    };
    issuer(ctx, client)?.renew(grant, scopes).map(Ok)
}

fn for_itself(ctx: &Ctx<'_>, client: &Client, asked: &TokenRequest) -> Result<Judged<Pair>> {
    if !client.confidential || !client.may_use(GrantType::CLIENT_CREDENTIALS) {
        return Ok(Err(refuse("unauthorized_client", "The client may not use client_credentials.")));
    }
    let scopes = match wanted(asked.scope.as_deref(), &client.scopes) {
        Ok(scopes) => scopes,
        Err(refusal) => return Ok(Err(refusal)),
    };
    issuer(ctx, client)?.for_itself(&scopes).map(Ok)
}

fn issuer<'a>(ctx: &'a Ctx<'_>, client: &'a Client) -> Result<Issuer<'a>> {
    let (author, access_good_for) = (author(ctx, client)?, access_good_for(ctx, client));
    Ok(Issuer { db: ctx.db, keys: &ctx.call.engine.keys, client, author, access_good_for })
}

/// Lifetime of the client's access tokens in seconds.
fn access_good_for(ctx: &Ctx<'_>, client: &Client) -> i64 {
    client.access_token_ttl.map_or(ctx.call.engine.config.oauth_access_token_ttl, TokenTtl::get)
}

/// The client, as the actor of changes to its grants.
fn author(ctx: &Ctx<'_>, client: &Client) -> Result<Author> {
    let actor = Actor::Client { id: client.id, name: client.name.to_string() };
    Ok(ctx.call.author_in(ctx.call.workspace()?.id(), actor))
}

/// The server, as the actor that revokes a grant after a second use.
fn server(ctx: &Ctx<'_>) -> Result<Author> {
    Ok(ctx.call.author_in(ctx.call.workspace()?.id(), Actor::System))
}

/// The requested scopes, which must be within those allowed. Defaults to all that are allowed.
pub fn wanted(asked: Option<&str>, may_have: &Scopes) -> Judged<Scopes> {
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
struct Seen {
    is_access: bool,
    is_newest: bool,
    expires_at: crate::values::Timestamp,
}

/// The grant of an access token or refresh token.
fn grant_of(ctx: &Ctx<'_>, token: &str) -> Result<Option<(Grant, Seen)>> {
    if let Some((grant, is_newest)) = grants::of_refresh_token(ctx.db, token)? {
        let expires_at = grant.expires_at;
        return Ok(Some((grant, Seen { is_access: false, is_newest, expires_at })));
    }
    let workspace = ctx.call.workspace()?.id();
    match seal::open(token, &ctx.call.engine.keys) {
        Ok(Opened::Client(access)) if access.workspace == workspace => {
            let grant = grants::find(ctx.db, access.grant_id)?;
            Ok(grant.map(|grant| {
                let is_newest = (grant.serial, grant.nonce) == (access.serial, access.nonce);
                (grant, Seen { is_access: true, is_newest, expires_at: access.expires_at })
            }))
        }
        _ => Ok(None),
    }
}

/// The client of a request, if it authenticates.
fn authenticate(
    db: &Connection,
    basic: &Basic,
    client_id: Option<&str>,
    client_secret: Option<&str>,
) -> Result<Judged<Client>> {
    let (id, secret) = match basic {
        Basic::Malformed => return Ok(Err(BAD_CLIENT)),
        Basic::Named { client_id: named, client_secret: secret } => {
            if client_secret.is_some() || client_id.is_some_and(|id| id != named) {
                return Ok(Err(refuse("invalid_request", "The client authenticates in two ways.")));
            }
            (named.as_str(), Some(secret.as_str()))
        }
        Basic::None => match client_id {
            Some(id) => (id, client_secret),
            None => return Ok(Err(BAD_CLIENT)),
        },
    };
    // A public client has no secret. With Basic it sends an empty one.
    let secret = secret.filter(|secret| !secret.is_empty());
    let proves_it = |client: &Client| match (&client.secret_digest, secret) {
        (Some(kept), Some(secret)) => kept[..] == secret::digest(secret)[..],
        (None, None) => !client.confidential,
        _ => false,
    };
    Ok(clients::named(db, id)?.filter(proves_it).ok_or(BAD_CLIENT))
}

/// Runs an endpoint. An unreadable body is an `invalid_request` of OAuth too.
fn answer<A, T>(asked: Result<A>, work: impl FnOnce(&A) -> Result<Judged<T>>) -> Result<ToClient<T>> {
    let judged = match asked {
        Ok(asked) => work(&asked)?,
        Err(Error::UnsupportedMediaType(_)) => {
            Err(refuse("invalid_request", "The body must be a form, sent as application/x-www-form-urlencoded."))
        }
        Err(Error::Invalid(_) | Error::MalformedJson(_) | Error::BadRequest(_)) => {
            Err(refuse("invalid_request", "The body is malformed, or a field is repeated or too long."))
        }
        Err(other) => return Err(other),
    };
    Ok(ToClient(judged))
}

impl Input for Basic {
    fn read(call: &Call) -> Result<Self> {
        let Some((scheme, encoded)) = call.header(&header::AUTHORIZATION).and_then(|value| value.split_once(' '))
        else {
            return Ok(Self::None);
        };
        if !scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::None);
        }
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let unform = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned());
        Ok(match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((id, secret)) => Self::Named {
                client_id: unform(id).unwrap_or_default(),
                client_secret: unform(secret).unwrap_or_default(),
            },
            None => Self::Malformed,
        })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.refusal(StatusCode::UNAUTHORIZED);
    }
}

/// An empty object.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Empty")]
pub struct NoBody {}

impl<T: Serialize + JsonSchema> Reply for ToClient<T> {
    fn into_response(self, _: &Call) -> Result<Answer> {
        let Self(judged) = self;
        let mut answer = match &judged {
            Ok(given) => json(StatusCode::OK, given)?,
            Err(Refusal { code, why }) => {
                let is_unknown = *code == BAD_CLIENT.code;
                let status = if is_unknown { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
                let body = serde_json::json!({"error": code, "error_description": why, "message": why});
                let mut answer = json(status, &body)?;
                // RFC 9110, 15.5.2, for either way of authentication.
                if is_unknown {
                    let challenge = HeaderValue::from_static("Basic realm=\"oauth\"");
                    answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                answer
            }
        };
        // RFC 6749, 5.1.
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<T>(StatusCode::OK);
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::MediaType;
    use crate::testing::{Bench, Client as Caller};
    use crate::values::Timestamp;
    use crate::workspace::oauth::grants::Approval;

    const URI: &str = "https://pbx.example.com/callback";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    /// The challenge of that verifier (RFC 7636, appendix B).
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    /// Creates a client in `acme`. The response has its id, `client_id` and secret.
    fn client(bench: &Bench, more: Value) -> Value {
        let mut body = json!({
            "name": "3CX", "redirect_uris": [URI], "grants": ["authorization_code", "client_credentials"],
            "scopes": ["client", "crm", "contact.view", "contact.create"],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.admin().post("/oauth-clients", body).created()
    }

    fn public(bench: &Bench) -> Value {
        client(bench, json!({"confidential": false, "grants": ["authorization_code"]}))
    }

    /// The code of an approval by user 1, the owner and an admin.
    fn code(bench: &Bench, client: &Value, challenge: Option<&str>) -> String {
        code_at(bench, client, challenge, 1, Timestamp::now())
    }

    fn code_at(bench: &Bench, client: &Value, challenge: Option<&str>, user_id: i64, now: Timestamp) -> String {
        let approval = Approval {
            client_id: client["id"].as_i64().unwrap(),
            user_id,
            redirect_uri: URI.into(),
            scopes: Scopes::parse("contact.view crm client").unwrap(),
            challenge: challenge.map(str::to_owned),
        };
        let author = Author { at: now, ..bench.author() };
        bench.in_file(move |db| grants::approve(db, &author, &approval))
    }

    fn anyone(bench: &Bench) -> Caller<'_> {
        bench.nobody().at("acme.localhost")
    }

    fn ask(bench: &Bench, client: &Value, path: &str, body: Value) -> crate::testing::Answer {
        let mut all = json!({"client_id": client["client_id"]});
        if let Some(secret) = client["client_secret"].as_str() {
            all["client_secret"] = json!(secret);
        }
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        anyone(bench).post(path, all)
    }

    fn exchange(bench: &Bench, client: &Value, code: &str) -> crate::testing::Answer {
        let body = json!({"grant_type": "authorization_code", "redirect_uri": URI, "code": code});
        ask(bench, client, "/oauth/token", body)
    }

    fn refresh(bench: &Bench, client: &Value, token: &Value) -> crate::testing::Answer {
        ask(bench, client, "/oauth/token", json!({"grant_type": "refresh_token", "refresh_token": token}))
    }

    fn with<'b>(bench: &'b Bench, pair: &Value) -> Caller<'b> {
        anyone(bench).with_token(pair["access_token"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn refused(answer: &crate::testing::Answer, status: u16, code: &str) {
        answer.refused(status, code);
        assert!(answer.json()["error_description"].is_string() && answer.json()["message"].is_string());
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn a_code_is_exchanged_once_and_its_second_use_ends_what_it_gave() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let code = code(&bench, &client, None);
        let answer = exchange(&bench, &client, &code);
        let pair = answer.ok();
        assert_eq!((&pair["token_type"], &pair["expires_in"]), (&json!("Bearer"), &json!(31_536_000)));
        assert_eq!(pair["scope"], "contact.view crm client");
        assert_eq!(
            (&answer.headers[header::CACHE_CONTROL], &answer.headers[header::PRAGMA]),
            (&HeaderValue::from_static("no-store"), &HeaderValue::from_static("no-cache"))
        );
        with(&bench, &pair).get("/contacts").ok();
        with(&bench, &pair).post("/contacts", json!({"last_name": "B"})).refused(403, "missing_permission");

        refused(&exchange(&bench, &client, &code), 400, "invalid_grant");
        with(&bench, &pair).get("/contacts").refused(401, "token_revoked");
        refused(&refresh(&bench, &client, &pair["refresh_token"]), 400, "invalid_grant");
    }

    #[test]
    fn a_code_is_for_its_client_its_uri_and_a_minute() {
        let bench = Bench::new();
        let (client, other) = (client(&bench, json!({})), client(&bench, json!({"name": "Other"})));
        let good = code(&bench, &client, None);
        refused(&exchange(&bench, &other, &good), 400, "invalid_grant");
        let elsewhere = json!({"grant_type": "authorization_code", "redirect_uri": format!("{URI}/"), "code": good});
        refused(&ask(&bench, &client, "/oauth/token", elsewhere), 400, "invalid_grant");
        let unsaid = json!({"grant_type": "authorization_code", "code": good});
        refused(&ask(&bench, &client, "/oauth/token", unsaid), 400, "invalid_request");
        let old = code_at(&bench, &client, None, 1, Timestamp::now().plus(-61));
        refused(&exchange(&bench, &client, &old), 400, "invalid_grant");
        refused(&exchange(&bench, &client, "made-up"), 400, "invalid_grant");
        // The failed attempts did not use the code.
        exchange(&bench, &client, &good).ok();
    }

    #[test]
    fn a_challenge_wants_its_verifier_and_a_verifier_its_challenge() {
        let bench = Bench::new();
        let client = public(&bench);
        let try_with = |code: &str, verifier: Option<&str>| {
            let body = json!({"grant_type": "authorization_code", "redirect_uri": URI, "code": code, "code_verifier": verifier});
            ask(&bench, &client, "/oauth/token", body)
        };
        let challenged = code(&bench, &client, Some(CHALLENGE));
        refused(&try_with(&challenged, None), 400, "invalid_grant");
        refused(&try_with(&challenged, Some(CHALLENGE)), 400, "invalid_grant");
        try_with(&challenged, Some(VERIFIER)).ok();
        let plain = code(&bench, &client, None);
        refused(&try_with(&plain, Some(VERIFIER)), 400, "invalid_grant");
    }

    #[test]
    fn a_refresh_token_gives_the_next_pair_once_and_its_reuse_ends_the_family() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let first = exchange(&bench, &client, &code(&bench, &client, None)).ok();
        let second = refresh(&bench, &client, &first["refresh_token"]).ok();
        assert_eq!(second["scope"], first["scope"]);
        with(&bench, &first).get("/contacts").refused(401, "token_revoked");
        with(&bench, &second).get("/contacts").ok();

        let other = self::client(&bench, json!({"name": "Other"}));
        refused(&refresh(&bench, &other, &second["refresh_token"]), 400, "invalid_grant");
        let narrower = json!({"grant_type": "refresh_token", "refresh_token": second["refresh_token"], "scope": "crm"});
        let third = ask(&bench, &client, "/oauth/token", narrower).ok();
        assert_eq!(third["scope"], "crm");
        with(&bench, &third).get("/contacts").refused(403, "missing_permission");
        let wider =
            json!({"grant_type": "refresh_token", "refresh_token": third["refresh_token"], "scope": "customer.view"});
        refused(&ask(&bench, &client, "/oauth/token", wider), 400, "invalid_scope");
        // The scopes of the grant itself were not reduced (RFC 6749, 6).
        let fourth = refresh(&bench, &client, &third["refresh_token"]).ok();
        assert_eq!(fourth["scope"], first["scope"]);

        refused(&refresh(&bench, &client, &second["refresh_token"]), 400, "invalid_grant");
        with(&bench, &fourth).get("/contacts").refused(401, "token_revoked");
        refused(&refresh(&bench, &client, &fourth["refresh_token"]), 400, "invalid_grant");
    }

    #[test]
    fn a_client_asks_for_itself_within_its_scopes() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let body = |scope: &str| json!({"grant_type": "client_credentials", "scope": scope});
        let all = ask(&bench, &client, "/oauth/token", body("")).ok();
        assert_eq!((&all["scope"], all.get("refresh_token")), (&json!("client crm contact.view contact.create"), None));
        with(&bench, &all).post("/contacts", json!({"last_name": "B"})).created();
        let few = ask(&bench, &client, "/oauth/token", body("contact.view")).ok();
        with(&bench, &few).post("/contacts", json!({"last_name": "B"})).refused(403, "missing_permission");
        for scope in ["customer.view", "contact.*", "*", "nonsense"] {
            refused(&ask(&bench, &client, "/oauth/token", body(scope)), 400, "invalid_scope");
        }
        let public = public(&bench);
        refused(&ask(&bench, &public, "/oauth/token", body("")), 400, "unauthorized_client");
        let told = bench.admin().get("/audit-log?filter[resource]=contact").ok();
        assert_eq!(told["data"][0]["actor"], json!({"type": "oauth-client", "id": client["id"], "name": "3CX"}));
    }

    #[test]
    fn a_token_does_no_more_than_the_person_may_and_ends_with_them() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let user = bench.join_acme("zoe@example.com", "agent");
        let pair = exchange(&bench, &client, &code_at(&bench, &client, None, user, Timestamp::now())).ok();
        with(&bench, &pair).get("/contacts").ok();
        let whoami = with(&bench, &pair).get("/whoami").ok();
        assert_eq!((&whoami["user"]["id"], &whoami["role"]), (&json!(user), &Value::Null));
        assert_eq!(whoami["permissions"], json!(["contact.view", "crm.lookup"]));
        let nothing =
            bench.admin().post("/roles", json!({"name": "Nothing", "permissions": []})).created()["id"].clone();
        bench.admin().put(&format!("/users/{user}"), json!({"role_id": nothing})).created();
        with(&bench, &pair).get("/contacts").refused(403, "missing_permission");
        bench.admin().delete(&format!("/users/{user}")).ok();
        with(&bench, &pair).get("/contacts").refused(401, "token_revoked");
    }

    #[test]
    fn a_client_that_may_less_has_less_with_the_tokens_that_it_has() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let pair = exchange(&bench, &client, &code(&bench, &client, None)).ok();
        let own = ask(&bench, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
        let shown =
            |token: &Value| ask(&bench, &client, "/oauth/introspect", json!({"token": token})).ok()["scope"].clone();
        let path = format!("/oauth-clients/{}", client["id"]);
        bench.admin().put(&path, json!({"scopes": ["client", "crm"]})).created();
        for token in [&pair, &own] {
            with(&bench, token).get("/contacts").refused(403, "missing_permission");
            with(&bench, token).post("/contacts", json!({"last_name": "B"})).refused(403, "missing_permission");
        }
        assert_eq!(shown(&pair["access_token"]), "crm client");
        assert_eq!(shown(&pair["refresh_token"]), "crm client");
        let wider =
            json!({"grant_type": "refresh_token", "refresh_token": pair["refresh_token"], "scope": "contact.view"});
        refused(&ask(&bench, &client, "/oauth/token", wider), 400, "invalid_scope");
        let next = refresh(&bench, &client, &pair["refresh_token"]).ok();
        assert_eq!(next["scope"], "crm client");
        // The approved scopes are effective again once the client may have them again.
        bench.admin().put(&path, json!({"scopes": ["client", "crm", "contact.view", "customer.view"]})).created();
        let again = refresh(&bench, &client, &next["refresh_token"]).ok();
        assert_eq!(again["scope"], "contact.view crm client");
        with(&bench, &again).get("/contacts").ok();
    }

    #[test]
    fn a_grant_is_what_its_page_showed_whatever_the_person_may_later() {
        let bench = Bench::new();
        let client = client(&bench, json!({"scopes": ["contact.view", "contact.delete", "role.manage"]}));
        let user = bench.join_acme("zoe@example.com", "agent");
        let page = format!(
            "/oauth/authorize?client_id={}&redirect_uri={URI}&response_type=code",
            client["client_id"].as_str().unwrap()
        );
        let pair = exchange(&bench, &client, &bench.approve("zoe@example.com", &page)).ok();
        assert_eq!(pair["scope"], "contact.view");
        bench.admin().put(&format!("/users/{user}"), json!({"role_id": 1})).created();
        let next = refresh(&bench, &client, &pair["refresh_token"]).ok();
        assert_eq!(next["scope"], "contact.view");
        with(&bench, &next).get("/contacts").ok();
        with(&bench, &next).post("/roles", json!({"name": "Mine"})).refused(403, "missing_permission");
        let approved = bench.admin().get("/audit-log?filter[action]=oauth-grant.created").ok()["data"][0].clone();
        assert_eq!((&approved["actor"]["id"], &approved["address"]), (&json!(user), &json!("127.0.0.1")));
        assert_eq!(approved["changes"]["scopes"], json!([null, ["contact.view"]]));
    }

    #[test]
    fn everybody_sees_and_ends_their_own_grants_and_who_changes_clients_all() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let user = bench.join_acme("agent@example.com", "agent");
        let get = |user: i64| exchange(&bench, &client, &code_at(&bench, &client, None, user, Timestamp::now())).ok();
        let (owners, agents) = (get(1), get(user));
        let agent = bench.with_role("agent");
        let seen = |who: &Caller<'_>| {
            let listed = who.get("/oauth-grants?sort=id").ok();
            listed["data"].as_array().unwrap().iter().map(|grant| grant["user"]["id"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(seen(&bench.admin()), [json!(1), json!(user)]);
        assert_eq!(seen(&agent), [json!(user)]);
        let shown = agent.get("/oauth-grants").ok()["data"][0].clone();
        assert_eq!(
            (&shown["client"]["name"], &shown["scopes"]),
            (&json!("3CX"), &json!(["contact.view", "crm", "client"]))
        );
        agent.delete("/oauth-grants/1").refused(403, "missing_permission");
        agent.delete("/oauth-grants/9").refused(403, "missing_permission");
        agent.delete(&format!("/oauth-grants/{}", shown["id"])).ok();
        with(&bench, &agents).get("/contacts").refused(401, "token_revoked");
        refused(&refresh(&bench, &client, &agents["refresh_token"]), 400, "invalid_grant");
        assert!(seen(&agent).is_empty());
        with(&bench, &owners).get("/contacts").ok();
        // A user cannot revoke a grant with scopes that they do not have.
        bench.with_only(&["oauth-client.update"]).delete("/oauth-grants/1").refused(403, "missing_permission");
        bench.admin().delete("/oauth-grants/1").ok();
        bench.admin().delete("/oauth-grants/1").refused(404, "not_found");
        with(&bench, &owners).get("/contacts").refused(401, "token_revoked");
        assert_eq!(bench.admin().get("/audit-log?filter[action]=oauth-grant.deleted").ok()["total"], 2);
    }

    #[test]
    fn every_grant_of_an_account_ends_with_its_codes() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let user = bench.join_acme("zoe@example.com", "agent");
        let new_code = |user: i64| code_at(&bench, &client, None, user, Timestamp::now());
        let (theirs, others) =
            (exchange(&bench, &client, &new_code(user)).ok(), exchange(&bench, &client, &new_code(1)).ok());
        let unused = new_code(user);
        let author = Author { at: Timestamp::now(), ..bench.author() };
        bench.in_file(move |db| {
            let account = db.query_row("SELECT account_id FROM users WHERE id = ?1", [user], |row| row.get(0))?;
            Ok(crate::tenancy::grants::end_all_of(db, &author, account)?)
        });
        with(&bench, &theirs).get("/contacts").refused(401, "token_revoked");
        refused(&refresh(&bench, &client, &theirs["refresh_token"]), 400, "invalid_grant");
        refused(&exchange(&bench, &client, &unused), 400, "invalid_grant");
        with(&bench, &others).get("/contacts").ok();
    }

    /// As after a restore: later grants are gone, and their ids are reused.
    #[test]
    fn a_token_of_a_grant_that_was_undone_is_not_the_next_grants() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let before = exchange(&bench, &client, &code(&bench, &client, None)).ok();
        bench.in_file(|db| {
            db.execute("DELETE FROM oauth_grants", [])?;
            Ok(db.execute("DELETE FROM sqlite_sequence WHERE name = 'oauth_grants'", [])?)
        });
        let after = exchange(&bench, &client, &code(&bench, &client, None)).ok();
        with(&bench, &after).get("/contacts").ok();
        with(&bench, &before).get("/contacts").refused(401, "token_revoked");
        let look =
            |token: &Value| ask(&bench, &client, "/oauth/introspect", json!({"token": token})).ok()["active"].clone();
        assert_eq!((look(&before["access_token"]), look(&after["access_token"])), (json!(false), json!(true)));
        refused(&refresh(&bench, &client, &before["refresh_token"]), 400, "invalid_grant");
    }

    #[test]
    fn a_client_or_the_server_says_how_long_a_token_is_good() {
        let bench = Bench::with(&[("oauth_access_token_ttl", "7200")]);
        let client = client(&bench, json!({}));
        let wish = json!({"grant_type": "client_credentials"});
        let lasts = || ask(&bench, &client, "/oauth/token", wish.clone()).ok();
        assert_eq!(lasts()["expires_in"], 7200);
        let path = format!("/oauth-clients/{}", client["id"]);
        assert_eq!(bench.admin().put(&path, json!({"access_token_ttl": 60})).created()["access_token_ttl"], 60);
        let short = lasts();
        assert_eq!(short["expires_in"], 60);
        let end =
            ask(&bench, &client, "/oauth/introspect", json!({"token": short["access_token"]})).ok()["exp"].clone();
        assert!((50..=60).contains(&(end.as_i64().unwrap() - Timestamp::now().seconds())), "{end}");
        bench
            .admin()
            .put(&path, json!({"access_token_ttl": 59}))
            .invalid(&["The access token ttl must be between 60 and 31536000."]);
        bench.admin().put(&path, json!({"access_token_ttl": null})).created();
        assert_eq!(lasts()["expires_in"], 7200);
    }

    #[test]
    fn a_client_that_is_off_or_gone_takes_its_tokens_with_it() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let token = ask(&bench, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
        let path = format!("/oauth-clients/{}", client["id"]);
        bench.admin().put(&path, json!({"active": false})).created();
        with(&bench, &token).get("/contacts").refused(401, "token_revoked");
        refused(
            &ask(&bench, &client, "/oauth/token", json!({"grant_type": "client_credentials"})),
            401,
            "invalid_client",
        );
        bench.admin().put(&path, json!({"active": true})).created();
        with(&bench, &token).get("/contacts").ok();
        bench.admin().delete(&path).ok();
        with(&bench, &token).get("/contacts").refused(401, "token_revoked");
    }

    #[test]
    fn an_access_token_is_a_workspaces_alone_and_no_persons() {
        let bench = Bench::new();
        let client = client(&bench, json!({"scopes": ["customer.view"]}));
        let token = ask(&bench, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
        let text = token["access_token"].as_str().unwrap().to_owned();
        let token = with(&bench, &token);
        token.get("/customers").ok();
        // From the central host the token reaches routes that only a workspace has.
        bench.nobody().with_token(text.clone()).get("/customers").ok();
        bench.nobody().with_token(text.clone()).get("/workspaces").refused(401, "wrong_token_scope");
        bench
            .nobody()
            .at("other.localhost")
            .with_token(text.clone())
            .get("/customers")
            .refused(401, "wrong_token_scope");
        token.post("/switch-to", json!({})).refused(403, "forbidden");
        token.post("/logout", json!({})).refused(403, "forbidden");
    }

    #[test]
    fn a_client_proves_who_it_is_by_basic_or_in_the_body_and_not_by_both() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let (id, secret) = (client["client_id"].as_str().unwrap(), client["client_secret"].as_str().unwrap());
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let try_with = |authorization: &str, body: Value| {
            anyone(&bench).with_header("authorization", authorization).post("/oauth/token", body)
        };
        let wish = json!({"grant_type": "client_credentials"});
        try_with(&basic(&format!("{id}:{secret}")), wish.clone()).ok();
        // Form-encoded inside (RFC 6749, 2.3.1).
        try_with(&basic(&format!("{}:{secret}", id.replace('_', "%5F"))), wish.clone()).ok();
        let unknown = try_with(&basic(&format!("{id}:wrong")), wish.clone());
        refused(&unknown, 401, "invalid_client");
        assert_eq!(unknown.headers[header::WWW_AUTHENTICATE], "Basic realm=\"oauth\"");
        for malformed in ["Basic ????", "Basic bm9jb2xvbg=="] {
            refused(&try_with(malformed, wish.clone()), 401, "invalid_client");
        }
        let twice = json!({"grant_type": "client_credentials", "client_secret": secret});
        refused(&try_with(&basic(&format!("{id}:{secret}")), twice), 400, "invalid_request");
        for (named, with_secret) in [
            (json!(id), json!("wrong")),
            (json!(id), Value::Null),
            (json!("nobody"), json!(secret)),
            (Value::Null, Value::Null),
        ] {
            let body = json!({"grant_type": "client_credentials", "client_id": named, "client_secret": with_secret});
            let answer = anyone(&bench).post("/oauth/token", body);
            refused(&answer, 401, "invalid_client");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Basic realm=\"oauth\"");
        }
        // A parameter without a value counts as absent (RFC 6749, 3.2). A public client has no secret.
        let form = [("grant_type", "client_credentials"), ("client_secret", ""), ("client_id", ""), ("scope", "")];
        let by_basic = anyone(&bench).with_header("authorization", &basic(&format!("{id}:{secret}")));
        by_basic.submit("/oauth/token", &form).ok();
        let public = public(&bench);
        let code = code(&bench, &public, None);
        let named = basic(&format!("{}:", public["client_id"].as_str().unwrap()));
        let form =
            [("grant_type", "authorization_code"), ("redirect_uri", URI), ("code", &code), ("client_secret", "")];
        anyone(&bench).with_header("authorization", &named).submit("/oauth/token", &form).ok();
        refused(&try_with(&basic(&format!("{id}:")), wish.clone()), 401, "invalid_client");
        let new = bench.admin().post(&format!("/oauth-clients/{}/rotate-secret", client["id"]), json!({})).created();
        refused(&try_with(&basic(&format!("{id}:{secret}")), wish.clone()), 401, "invalid_client");
        ask(&bench, &new, "/oauth/token", wish).ok();
    }

    #[test]
    fn what_is_no_request_for_a_token_is_refused_in_the_words_of_oauth() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        refused(&ask(&bench, &client, "/oauth/token", json!({})), 400, "invalid_request");
        refused(
            &ask(&bench, &client, "/oauth/token", json!({"grant_type": "password"})),
            400,
            "unsupported_grant_type",
        );
        refused(&ask(&bench, &client, "/oauth/token", json!({"grant_type": 1})), 400, "invalid_request");
        refused(&ask(&bench, &client, "/oauth/token", json!({"grant_type": "refresh_token"})), 400, "invalid_request");
        refused(&anyone(&bench).ask(Method::POST, "/oauth/token", "application/json", "{"), 400, "invalid_request");
        for kind in ["", "text/plain", "application/xml"] {
            let form = format!("grant_type=client_credentials&client_id={}", client["client_id"].as_str().unwrap());
            for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
                refused(&anyone(&bench).ask(Method::POST, path, kind, form.clone()), 400, "invalid_request");
            }
        }
        let bad = b"grant_type=\xff".to_vec();
        refused(&anyone(&bench).ask(Method::POST, "/oauth/token", MediaType::Form.name(), bad), 400, "invalid_request");
        let twice = [("grant_type", "client_credentials"), ("grant_type", "client_credentials")];
        refused(&anyone(&bench).submit("/oauth/token", &twice), 400, "invalid_request");
        let limited = self::client(&bench, json!({"grants": ["client_credentials"], "redirect_uris": []}));
        refused(&exchange(&bench, &limited, "x"), 400, "unauthorized_client");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client["client_id"].as_str().unwrap()),
            ("client_secret", client["client_secret"].as_str().unwrap()),
        ];
        anyone(&bench).submit("/oauth/token", &form).ok();
    }

    #[test]
    fn either_token_is_given_back_and_ends_its_grant() {
        let bench = Bench::new();
        let (client, other) = (client(&bench, json!({})), client(&bench, json!({"name": "Other"})));
        for which in ["access_token", "refresh_token"] {
            let pair = exchange(&bench, &client, &code(&bench, &client, None)).ok();
            let give_back = |client: &Value| ask(&bench, client, "/oauth/revoke", json!({"token": pair[which]}));
            refused(&give_back(&other), 400, "invalid_grant");
            with(&bench, &pair).get("/contacts").ok();
            give_back(&client).ok();
            with(&bench, &pair).get("/contacts").refused(401, "token_revoked");
            refused(&refresh(&bench, &client, &pair["refresh_token"]), 400, "invalid_grant");
            give_back(&client).ok();
        }
        ask(&bench, &client, "/oauth/revoke", json!({"token": "made up"})).ok();
        refused(&ask(&bench, &client, "/oauth/revoke", json!({})), 400, "invalid_request");
        refused(&anyone(&bench).post("/oauth/revoke", json!({"token": "x"})), 401, "invalid_client");
    }

    #[test]
    fn a_client_looks_into_its_own_tokens_alone() {
        let bench = Bench::new();
        let (client, other) = (client(&bench, json!({})), client(&bench, json!({"name": "Other"})));
        let pair = exchange(&bench, &client, &code(&bench, &client, None)).ok();
        let look = |client: &Value, token: &Value| ask(&bench, client, "/oauth/introspect", json!({"token": token}));
        let seen = look(&client, &pair["access_token"]).ok();
        assert_eq!(
            (&seen["active"], &seen["scope"], &seen["client_id"]),
            (&json!(true), &pair["scope"], &client["client_id"])
        );
        assert_eq!((&seen["username"], &seen["sub"]), (&json!("owner@example.com"), &json!("1")));
        assert_eq!((&seen["token_type"], &seen["iss"]), (&json!("Bearer"), &json!("http://acme.localhost")));
        assert_eq!(look(&client, &pair["refresh_token"]).ok()["active"], true);
        let inactive = json!({"active": false});
        assert_eq!(look(&other, &pair["access_token"]).ok(), inactive);
        assert_eq!(look(&client, &json!("made up")).ok(), inactive);
        refused(&look(&public(&bench), &pair["access_token"]), 401, "invalid_client");
        let next = refresh(&bench, &client, &pair["refresh_token"]).ok();
        assert_eq!(look(&client, &pair["access_token"]).ok(), inactive);
        assert_eq!(look(&client, &next["access_token"]).ok()["active"], true);
        ask(&bench, &client, "/oauth/revoke", json!({"token": next["access_token"]})).ok();
        assert_eq!(look(&client, &next["access_token"]).ok(), inactive);
    }

    #[test]
    fn no_secret_and_no_token_is_kept_as_it_is() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let code = code(&bench, &client, None);
        let pair = exchange(&bench, &client, &code).ok();
        let kept = bench.in_file(|db| {
            let mut all = String::new();
            for table in ["oauth_clients", "oauth_grants", "oauth_codes", "oauth_refresh_tokens", "audit_log"] {
                let mut statement = db.prepare(&format!("SELECT * FROM {table}"))?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    (0..columns).for_each(|column| all.push_str(&format!("{:?}", row.get_ref(column))));
                }
            }
            Ok(all)
        });
        for secret in [&client["client_secret"], &pair["access_token"], &pair["refresh_token"], &json!(code)] {
            let bytes = format!("{:?}", secret.as_str().unwrap().as_bytes());
            assert!(!kept.contains(secret.as_str().unwrap()) && !kept.contains(&bytes), "{secret}");
        }
    }

    #[test]
    fn what_a_client_got_for_itself_does_not_pile_up() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let first = ask(&bench, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
        for _ in 0..100 {
            ask(&bench, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
        }
        with(&bench, &first).get("/contacts").refused(401, "token_revoked");
        let grants =
            bench.in_file(|db| Ok(db.query_row("SELECT count(*) FROM oauth_grants", [], |row| row.get::<_, i64>(0))?));
        assert_eq!(grants, 100);
    }

    #[test]
    fn programs_find_out_where_everything_is() {
        let bench = Bench::new();
        let told = anyone(&bench).get("/.well-known/oauth-authorization-server").ok();
        assert_eq!(told["issuer"], "http://acme.localhost");
        assert_eq!(told["token_endpoint"], "http://acme.localhost/oauth/token");
        assert_eq!(told["code_challenge_methods_supported"], json!(["S256"]));
        assert!(told["scopes_supported"].as_array().unwrap().contains(&json!("crm")));
    }
}

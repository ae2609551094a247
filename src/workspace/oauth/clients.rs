//! OAuth clients: programs that can request tokens of this workspace (RFC 6749, 2).

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::client_view;
use crate::api::field::{flag, integer, moment, text};
use crate::api::list::{List, ListSpec, Listable, for_each_row};
use crate::api::resource::{MANAGER_AND_AGENT, PermissionGroup, Resource, Section, action};
use crate::api::{
    Changes, Ctx, Done, Error, Id, Json, Needs, Ok200, Page, Result, Route, Saved, check_customer, delete, get, post,
    put, require_grantable, run,
};
use crate::auth::{Scopes, secret};
use crate::storage::{Stored, record};
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::values::{Name, Text, Timestamp, TokenTtl, choice, distinct, stored_as_json};

pub const RESOURCE: Resource =
    Resource::new("OAuth clients", "Programs that can request tokens of this workspace (RFC 6749).", ROUTES)
        .french("Clients OAuth")
        .section(Section::Integrations)
        .permissions(&PERMISSIONS)
        .recorded(&[RECORDED])
        .fields(client_view::FIELDS)
        .view(client_view::VIEW);

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "oauth-client",
    actions: &[
        action("view", "see OAuth clients", "voir les clients OAuth", MANAGER_AND_AGENT),
        action("create", "create OAuth clients", "créer des clients OAuth", &[]),
        action("update", "change OAuth clients", "modifier les clients OAuth", &[]),
        action("delete", "delete OAuth clients", "supprimer des clients OAuth", &[]),
    ],
};

const ROUTES: &[Route] = &[
    get("/oauth-clients", &run(list), Needs::Permission("oauth-client.view"), "List OAuth clients"),
    get("/oauth-clients/{id}", &run(show), Needs::Permission("oauth-client.view"), "Show an OAuth client"),
    post(
        "/oauth-clients",
        &run(create),
        Needs::Permission("oauth-client.create"),
        "Register an OAuth client; its secret is shown only once",
    ),
    put(
        "/oauth-clients/{id}",
        &run(update),
        Needs::Permission("oauth-client.update"),
        "Change an OAuth client, or disable it",
    ),
    post(
        "/oauth-clients/{id}/rotate-secret",
        &run(rotate_secret),
        Needs::Permission("oauth-client.update"),
        "Replace the secret of an OAuth client; the old one stops working at once",
    )
    .named("rotateOauthClientSecret"),
    delete(
        "/oauth-clients/{id}",
        &run(remove),
        Needs::Permission("oauth-client.delete"),
        "Delete an OAuth client and revoke all its tokens",
    ),
];

/// Prefixes that make client ids and secrets recognizable.
const ID_PREFIX: &str = "cxc_";
const SECRET_PREFIX: &str = "cxs_";

choice! {
    /// A way to get a token (RFC 6749).
    GrantType { AUTHORIZATION_CODE = "authorization_code", CLIENT_CREDENTIALS = "client_credentials" }
}

/// A program that can request tokens of this workspace.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct OAuthClient {
    /// Id of the client in this API.
    pub id: i64,
    /// Name of the client. Users see it when they approve access.
    pub name: Name<255>,
    /// Public identifier of the client in OAuth requests.
    pub client_id: Text<64>,
    /// URIs that users are sent back to.
    pub redirect_uris: RedirectUris,
    /// Ways in which the client can get a token.
    pub grants: Grants,
    /// Scopes that its tokens can have.
    pub scopes: Scopes,
    /// Id of the only customer that its tokens can access. Null: all customers. The client is deleted with that
    /// customer.
    pub customer_id: Option<i64>,
    /// Whether the client can keep a secret. A public client has no secret and must use PKCE.
    pub confidential: bool,
    /// Whether the client and its tokens are accepted.
    pub active: bool,
    /// Lifetime of an access token in seconds. Null: the server's `oauth_access_token_ttl`.
    pub access_token_ttl: Option<TokenTtl>,
    /// Time of creation (UTC).
    pub created_at: Timestamp,
    /// Time of the last change (UTC).
    pub updated_at: Timestamp,
    /// Last four characters of the secret, to tell secrets apart. Null for a public client.
    pub secret_last_four: Option<Text<4>>,
    #[serde(skip)]
    pub secret_digest: Option<Vec<u8>>,
}

/// An OAuth client together with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OAuthClientShown {
    #[serde(flatten)]
    client: OAuthClient,
    /// The secret. It is shown only in this response. Null for a public client.
    client_secret: Option<String>,
}

/// An OAuth client to register.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewOAuthClient {
    /// Name of the client. Users see it when they approve access.
    #[schemars(example = &"3CX")]
    name: Name<255>,
    /// URIs that users are sent back to. Required for `authorization_code`. Each is absolute, `https` (or `http` on the
    /// loopback address) and without a fragment.
    redirect_uris: RedirectUris,
    /// Ways in which the client can get a token.
    grants: Grants,
    /// Scopes that its tokens can have. None that the caller does not have.
    scopes: Scopes,
    /// Restricts its tokens to this customer. It cannot be changed later.
    customer_id: Option<i64>,
    /// Whether the client can keep a secret. It cannot be changed later.
    #[schemars(example = true)]
    confidential: bool,
    /// Whether the client and its tokens are accepted.
    active: bool,
    /// Lifetime of an access token in seconds, 60 to 31536000. Null: the server's `oauth_access_token_ttl`.
    access_token_ttl: Option<TokenTtl>,
}

/// The fields of an OAuth client that can change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "OAuthClient")]
pub struct OAuthClientChanges {
    /// Name of the client. Users see it when they approve access.
    #[schemars(example = &"3CX")]
    name: Name<255>,
    /// URIs that users are sent back to. Required for `authorization_code`. Each is absolute, `https` (or `http` on the
    /// loopback address) and without a fragment.
    redirect_uris: RedirectUris,
    /// Ways in which the client can get a token.
    grants: Grants,
    /// Scopes that its tokens can have. None that the caller does not have.
    scopes: Scopes,
    /// A client that is not active gets no tokens. Its existing tokens get 401 `token_revoked`.
    active: bool,
    /// Lifetime of an access token in seconds, 60 to 31536000. Null: the server's `oauth_access_token_ttl`. A change
    /// applies to new tokens.
    access_token_ttl: Option<TokenTtl>,
}

/// Redirect URIs. They match exactly.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RedirectUris(Vec<String>);

/// The grant types of a client, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Grants(Vec<GrantType>);

fn list(ctx: &mut Ctx<'_>, list: List<OAuthClient>) -> Result<Page<OAuthClient>> {
    list.page(ctx)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<OAuthClient>> {
    find(ctx.db, id).map(Ok200)
}

fn create(ctx: &mut Ctx<'_>, Json(new): Json<NewOAuthClient>) -> Result<Saved<OAuthClientShown>> {
    check_customer(ctx.db, new.customer_id)?;
    let mut client = OAuthClient {
        id: 0,
        name: new.name,
        client_id: Text::parse(format!("{ID_PREFIX}{}", &secret::random()?[..24])).map_err(Error::Internal)?,
        redirect_uris: new.redirect_uris,
        grants: new.grants,
        scopes: new.scopes,
        customer_id: new.customer_id,
        confidential: new.confidential,
        active: new.active,
        access_token_ttl: new.access_token_ttl,
        created_at: ctx.now,
        updated_at: ctx.now,
        secret_last_four: None,
        secret_digest: None,
    };
    client.check()?;
    require_grantable(ctx.principal()?, [&client.scopes.permissions()])?;
    let client_secret = client.take_new_secret()?;
    client.id = client.insert(ctx.db)?;
    ctx.recorder()?.created(ctx.db, RECORDED, &client)?;
    Ok(Saved(OAuthClientShown { client, client_secret }))
}

fn update(ctx: &mut Ctx<'_>, Id(id): Id, changes: Changes<OAuthClientChanges>) -> Result<Saved<OAuthClient>> {
    let old = find(ctx.db, id)?;
    let new = changes.apply(&OAuthClientChanges {
        name: old.name.clone(),
        redirect_uris: old.redirect_uris.clone(),
        grants: old.grants.clone(),
        scopes: old.scopes.clone(),
        active: old.active,
        access_token_ttl: old.access_token_ttl,
    })?;
    let client = OAuthClient {
        name: new.name,
        redirect_uris: new.redirect_uris,
        grants: new.grants,
        scopes: new.scopes,
        active: new.active,
        access_token_ttl: new.access_token_ttl,
        updated_at: ctx.now,
        ..old.clone()
    };
    client.check()?;
    require_grantable(ctx.principal()?, [&old.scopes.permissions(), &client.scopes.permissions()])?;
    client.save(ctx.db, &old)?;
    ctx.recorder()?.updated(ctx.db, RECORDED, &old, &client)?;
    Ok(Saved(client))
}

fn rotate_secret(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Saved<OAuthClientShown>> {
    let old = find(ctx.db, id)?;
    require_grantable(ctx.principal()?, [&old.scopes.permissions()])?;
    if !old.confidential {
        return Err(Error::rejected("client_is_public", "A public client has no secret."));
    }
    let mut client = OAuthClient { updated_at: ctx.now, ..old.clone() };
    let client_secret = client.take_new_secret()?;
    client.save(ctx.db, &old)?;
    ctx.recorder()?.updated(ctx.db, RECORDED, &old, &client)?;
    Ok(Saved(OAuthClientShown { client, client_secret }))
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let client = find(ctx.db, id)?;
    require_grantable(ctx.principal()?, [&client.scopes.permissions()])?;
    delete_one(ctx.db, &ctx.recorder()?, &client)?;
    Ok(Done)
}

pub const RECORDED: &Recorded = &Recorded::new("oauth-client", Some("oauth-client.view"));
const UPDATE: &str = "oauth-client.update";

record!(OAuthClient in "oauth_clients" {
    id, name, client_id, redirect_uris, grants, scopes, customer_id, confidential, active, access_token_ttl, created_at,
    updated_at, secret_last_four, secret_digest,
});

fn find(db: &Connection, id: i64) -> Result<OAuthClient> {
    OAuthClient::find(db, id)?.ok_or_else(Error::not_found)
}

/// The active client with this `client_id`.
pub fn named(db: &Connection, client_id: &str) -> rusqlite::Result<Option<OAuthClient>> {
    db.prepare_cached(&format!("SELECT {} FROM oauth_clients WHERE client_id = ?1 AND active", OAuthClient::COLUMNS))?
        .query_row([client_id], OAuthClient::from_row)
        .optional()
}

/// Deletes the clients that are bound to this customer.
pub fn delete_all(db: &Connection, recorder: &ChangeRecorder, customer: i64) -> Result<()> {
    for_each_row(db, "customer_id", customer, |client| Ok(delete_one(db, recorder, &client)?))
}

/// Binds the clients of one customer to another. They gain access to other rows, so this requires the same permissions
/// as a change of the clients.
pub fn move_all(ctx: &Ctx<'_>, from: i64, to: i64) -> Result<()> {
    let (principal, recorder) = (ctx.principal()?, ctx.recorder()?);
    for_each_row(ctx.db, "customer_id", from, |old: OAuthClient| {
        ctx.require_permission(UPDATE)?;
        require_grantable(principal, [&old.scopes.permissions()])?;
        let new = OAuthClient { customer_id: Some(to), updated_at: ctx.now, ..old.clone() };
        new.save(ctx.db, &old)?;
        Ok(recorder.updated(ctx.db, RECORDED, &old, &new)?)
    })
}

fn delete_one(db: &Connection, recorder: &ChangeRecorder, client: &OAuthClient) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM oauth_clients WHERE id = ?1")?.execute([client.id])?;
    recorder.deleted(db, RECORDED, client)
}

impl OAuthClient {
    /// Creates a secret and sets its digest and last four characters. None for a public client.
    fn take_new_secret(&mut self) -> Result<Option<String>> {
        if !self.confidential {
            return Ok(None);
        }
        let secret = format!("{SECRET_PREFIX}{}", secret::random()?);
        self.secret_last_four =
            Text::parse(secret[secret.len() - 4..].to_owned()).map(Some).map_err(Error::Internal)?;
        self.secret_digest = Some(secret::digest(&secret).to_vec());
        Ok(Some(secret))
    }

    /// Checks rules that involve several fields.
    fn check(&self) -> Result<()> {
        if self.may_use(GrantType::AUTHORIZATION_CODE) && self.redirect_uris.0.is_empty() {
            return Err(Error::invalid("The redirect uris field is required."));
        }
        if !self.confidential && self.may_use(GrantType::CLIENT_CREDENTIALS) {
            return Err(Error::invalid("The grants may not have client_credentials if the client is public."));
        }
        Ok(())
    }

    pub fn may_use(&self, grant: GrantType) -> bool {
        self.grants.0.contains(&grant)
    }

    /// Whether this is a registered redirect URI, compared exactly (RFC 9700, 2.1).
    pub fn allows_redirect(&self, uri: &str) -> bool {
        self.redirect_uris.0.iter().any(|registered| registered == uri)
    }
}

impl Default for NewOAuthClient {
    fn default() -> Self {
        Self {
            name: Name::default(),
            redirect_uris: RedirectUris::default(),
            grants: Grants::default(),
            scopes: Scopes::default(),
            customer_id: None,
            confidential: true,
            active: true,
            access_token_ttl: None,
        }
    }
}

/// No client needs more, and each is compared at each approval.
const MOST_URIS: usize = 20;
const LONGEST_URI: usize = 2000;

/// Pattern of redirect URIs for the OpenAPI description.
const REDIRECT_URI: &str = r##"^(https://|http://(localhost|127\.0\.0\.1|\[::1\])([:/]|$))[^\s\\*<>"#@]+$"##;

/// Whether a text is an acceptable redirect URI (RFC 8252, 7.3; RFC 9700, 2.1 and 4.1.1): another machine only over
/// TLS, and nothing that a browser parses differently.
fn is_redirect_uri(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let scheme = url.scheme();
    text.len() <= LONGEST_URI
        && text.is_ascii()
        && text.starts_with(&format!("{scheme}://"))
        && !text.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control() || "\\*<>\"".contains(c))
        && (scheme == "https" || (scheme == "http" && is_loopback))
        && has_plain_host(&url)
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

/// A host of letters, digits, `-`, `_` and dots, or an IP address. Browsers accept other characters, which could end
/// the source list of a Content-Security-Policy.
fn has_plain_host(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        address => address.is_some(),
    }
}

stored_as_json!(RedirectUris);
stored_as_json!(Grants);

impl<'de> Deserialize<'de> for RedirectUris {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let uris: Vec<RedirectUri> = distinct(input)?;
        if uris.len() > MOST_URIS {
            return Err(de::Error::custom(format!("may not be more than {MOST_URIS}.")));
        }
        Ok(Self(uris.into_iter().map(|RedirectUri(uri)| uri).collect()))
    }
}

/// A single URI, so that an error names its position in the list.
#[derive(PartialEq)]
struct RedirectUri(String);

impl<'de> Deserialize<'de> for RedirectUri {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let uri = String::deserialize(input)?;
        let rule = "must be an absolute https URL (or http on the loopback address) without a fragment or a wildcard.";
        if is_redirect_uri(&uri) { Ok(Self(uri)) } else { Err(de::Error::custom(rule)) }
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let grants: Vec<GrantType> = distinct(input)?;
        if grants.is_empty() { Err(de::Error::custom("field is required.")) } else { Ok(Self(grants)) }
    }
}

impl JsonSchema for RedirectUris {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RedirectUris".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array", "maxItems": MOST_URIS, "items": {"type": "string", "maxLength": LONGEST_URI, "pattern": REDIRECT_URI},
            "examples": [["https://pbx.example.com/oauth/callback"]]
        })
    }
}

impl JsonSchema for Grants {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Grants".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "minItems": 1, "items": {"type": "string", "enum": GrantType::WORDS}, "examples": [["authorization_code"]]})
    }
}

impl Listable for OAuthClient {
    const LISTING: ListSpec = ListSpec {
        table: "oauth_clients",
        columns: Self::COLUMNS,
        fields: &[
            integer("id").only_sorted(),
            text("name").sorted_by("fold(name)"),
            text("client_id"),
            integer("customer_id"),
            flag("active"),
            moment("created_at").sorted(),
        ],
        plain_filters: false,
        newest_first: false,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_columns(row)
    }
}

#[cfg(test)]
mod tests;

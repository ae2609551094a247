//! OAuth grants: the access of a client, approved by a user or for itself; and the state machine of codes, access
//! tokens and refresh tokens. Each step is one transaction of one file.
//!
//! An approval creates a grant with the scopes that the page showed, and a code. The code is exchanged for an access
//! token and a refresh token. A refresh token is exchanged for the next pair, which invalidates the previous pair. A
//! code or refresh token that is used twice was stolen. Then the whole grant and all its tokens are revoked (RFC 9700,
//! 4.13 and 4.14).
//!
//! At each use, a grant is limited to the scopes that were approved, that the client may have now, and that the user's
//! permissions allow now.

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;

use super::clients::OAuthClient;
use crate::api::field::{Field, integer, labelled, moment};
use crate::api::list::{List, ListSpec, Listable};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{Ctx, Done, Error, Id, Needs, Page, Result, Route, delete, get, require_grantable, run};
use crate::auth::{AccessToken, Keys, Nonce, Permissions, Scopes, encryption, secret};
use crate::tenancy::ChangeRecorder;
use crate::tenancy::grant_revocation::RECORDED;
use crate::tenancy::journal::Actor;
use crate::values::Timestamp;

pub const RESOURCE: Resource =
    Resource::new("OAuth grants", "Access that users have approved for OAuth clients.", ROUTES)
        .french("Accès OAuth")
        .section(Section::Integrations)
        .recorded(&[RECORDED])
        .fields(FIELDS)
        .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("client", "Program", "Application"),
    labelled("client_id", "Program", "Application"),
    labelled("user", "User", "Utilisateur"),
    labelled("user_id", "User", "Utilisateur"),
    labelled("scopes", "Scopes", "Portées"),
    labelled("expires_at", "Expiry", "Expiration"),
];

const VIEW: ResourceView = ResourceView {
    title: &["client"],
    columns: &["client", "user", "scopes", "created_at", "expires_at"],
    groups: &[group("Access", "Accès", &["client", "user", "scopes", "expires_at"])],
    widgets: &[("scopes", Widget::Scopes)],
    purpose: label(
        "Programs that act for a person, because that person approved it.",
        "Les applications qui agissent pour une personne, parce qu’elle l’a accepté.",
    ),
    singular: label("granted access", "un accès"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/oauth-grants", &run(list), Needs::OwnOr(MANAGE), "List your OAuth grants, or all of them if permitted"),
    delete(
        "/oauth-grants/{id}",
        &run(remove),
        Needs::OwnOr(MANAGE),
        "Revoke an OAuth grant; its tokens stop working at once",
    )
    .named("revokeOauthGrant"),
];

/// Permission to list and revoke the grants of other users.
const MANAGE: &str = "oauth-client.update";

/// Lifetime of a code in seconds (RFC 6749, 4.1.2: at most ten minutes).
const CODE_GOOD_FOR: i64 = 60;
/// Lifetime of a refresh token in seconds: two years, so that a program can renew after an access token has expired.
const REFRESH_GOOD_FOR: i64 = 2 * 31_536_000;

/// Retention of used and expired codes in seconds, to detect a second use.
const CODES_ARE_KEPT: i64 = 86_400;

/// Maximum number of grants that a client has for itself. A client that requests a token each time loses the oldest.
const MOST_OF_ITS_OWN: i64 = 100;

const REFRESH_PREFIX: &str = "cxr_";

/// Access that a user approved for an OAuth client, or that a client obtained for itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OAuthGrant {
    /// Id of the grant.
    pub id: i64,
    /// The OAuth client.
    pub client: OAuthGrantParty,
    /// The user who approved it. Null if the client acts for itself.
    pub user: Option<OAuthGrantParty>,
    /// Scopes that are effective now: those that were approved, that the client may have and that the user's
    /// permissions allow.
    pub scopes: Scopes,
    /// Time of the approval (UTC).
    pub created_at: Timestamp,
    /// Time at which the last token of the grant expires (UTC).
    pub expires_at: Timestamp,
}

/// A client or user of a grant.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OAuthGrantParty {
    /// Id of the client or user.
    pub id: i64,
    /// Name of the client or user.
    pub name: String,
}

/// An approval by a user.
#[derive(Debug, Clone)]
pub struct Approval {
    pub client_id: i64,
    pub user_id: i64,
    pub redirect_uri: String,
    /// The scopes that the page showed.
    pub scopes: Scopes,
    pub challenge: Option<String>,
}

/// A stored code.
#[derive(Debug)]
pub struct AuthorizationCode {
    digest: [u8; 32],
    pub grant: Grant,
    pub redirect_uri: String,
    pub challenge: Option<String>,
    pub expires_at: Timestamp,
    pub is_used: bool,
}

/// A grant. The audit log shows it without its times and the fields for tokens.
#[derive(Debug, Clone, Serialize)]
pub struct Grant {
    pub id: i64,
    pub client_id: i64,
    pub user_id: Option<i64>,
    pub scopes: Scopes,
    /// The scopes of the newest access token: all scopes of the grant or fewer.
    pub access_scopes: Scopes,
    #[serde(skip)]
    pub serial: i64,
    #[serde(skip)]
    pub nonce: Option<Nonce>,
    #[serde(skip)]
    pub created_at: Timestamp,
    #[serde(skip)]
    pub expires_at: Timestamp,
    #[serde(skip)]
    pub is_revoked: bool,
}

/// The tokens in a response.
#[derive(Debug)]
pub struct IssuedTokens {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub scopes: Scopes,
}

/// The context for issuing tokens to a client.
pub struct Issuer<'a> {
    pub db: &'a Connection,
    pub keys: &'a Keys,
    pub client: &'a OAuthClient,
    /// The client, as the actor of the changes.
    pub recorder: ChangeRecorder,
    /// Lifetime of an access token in seconds.
    pub access_good_for: i64,
}

fn list(ctx: &mut Ctx<'_>, list: List<OAuthGrant>) -> Result<Page<OAuthGrant>> {
    let principal = ctx.principal()?;
    match principal.user_id().filter(|_| !principal.has_permission(MANAGE)) {
        Some(own) => list.restrict("user_id", own).page(ctx),
        None => list.page(ctx),
    }
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let principal = ctx.principal()?;
    let grant = find(ctx.db, id)?.filter(|grant| !grant.is_revoked);
    let is_own = grant.as_ref().is_some_and(|grant| grant.user_id.is_some() && grant.user_id == principal.user_id());
    if !is_own {
        ctx.require_permission(MANAGE)?;
    }
    let grant = grant.ok_or_else(Error::not_found)?;
    if !is_own {
        require_grantable(principal, [&grant.scopes.permissions()])?;
    }
    end(ctx.db, &ctx.recorder()?, &grant)?;
    Ok(Done)
}

/// Stores an approval as a grant. Returns its code.
pub fn approve(db: &Connection, recorder: &ChangeRecorder, approval: &Approval) -> Result<String> {
    let (code, now) = (secret::random()?, recorder.at);
    let until = now.plus(CODE_GOOD_FOR);
    db.prepare_cached("DELETE FROM oauth_codes WHERE expires_at < ?1")?.execute([now.plus(-CODES_ARE_KEPT)])?;
    let grant = begin(db, approval.client_id, Some(approval.user_id), &approval.scopes, until, now)?;
    recorder.created(db, RECORDED, &grant)?;
    db.prepare_cached(
        "INSERT INTO oauth_codes (digest, grant_id, redirect_uri, challenge, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((secret::digest(&code), grant.id, &approval.redirect_uri, &approval.challenge, until))?;
    Ok(code)
}

pub fn find_code(db: &Connection, code: &str) -> rusqlite::Result<Option<AuthorizationCode>> {
    let digest = secret::digest(code);
    let found = db
        .prepare_cached(
            "SELECT grant_id, redirect_uri, challenge, expires_at, used FROM oauth_codes WHERE digest = ?1",
        )?
        .query_row([digest], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((grant_id, redirect_uri, challenge, expires_at, is_used)) = found else { return Ok(None) };
    let grant = find(db, grant_id)?;
    Ok(grant.map(|grant| AuthorizationCode { digest, grant, redirect_uri, challenge, expires_at, is_used }))
}

impl Issuer<'_> {
    /// Exchanges a code for the first tokens of its grant.
    pub fn exchange(&self, code: AuthorizationCode) -> Result<IssuedTokens> {
        self.db.prepare_cached("UPDATE oauth_codes SET used = 1 WHERE digest = ?1")?.execute([code.digest])?;
        let scopes = effective_scopes(self.db, self.client, &code.grant, &code.grant.scopes)?;
        self.renew(code.grant, scopes)
    }

    /// Issues the next pair of tokens of a grant, with these scopes for the access token. The previous pair becomes
    /// invalid.
    pub fn renew(&self, grant: Grant, access_scopes: Scopes) -> Result<IssuedTokens> {
        let until = self.recorder.at.plus(REFRESH_GOOD_FOR.max(self.access_good_for));
        let (grant, access_token) = self.access_token(grant, access_scopes, until)?;
        let refresh_token = Some(new_refresh_token(self.db, &grant)?);
        Ok(IssuedTokens { access_token, refresh_token, scopes: grant.access_scopes })
    }

    /// Issues a token to the client itself, without a user and without a refresh token (RFC 6749, 4.4.3).
    pub fn client_credentials(&self, scopes: &Scopes) -> Result<IssuedTokens> {
        let (now, client_id) = (self.recorder.at, self.client.id);
        let until = now.plus(self.access_good_for);
        let grant = begin(self.db, client_id, None, scopes, until, now)?;
        self.db
            .prepare_cached(
                "DELETE FROM oauth_grants WHERE client_id = ?1 AND user_id IS NULL AND id <= (
                     SELECT id FROM oauth_grants WHERE client_id = ?1 AND user_id IS NULL
                     ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute((client_id, MOST_OF_ITS_OWN))?;
        let (grant, access_token) = self.access_token(grant, scopes.clone(), until)?;
        Ok(IssuedTokens { access_token, refresh_token: None, scopes: grant.access_scopes })
    }

    /// Issues the next access token of a grant. The previous ones become invalid.
    fn access_token(&self, old: Grant, access_scopes: Scopes, expires_at: Timestamp) -> Result<(Grant, String)> {
        let ChangeRecorder { at: now, workspace, .. } = self.recorder;
        let nonce = Nonce::random()?;
        let grant = Grant { serial: old.serial + 1, nonce: Some(nonce), access_scopes, expires_at, ..old.clone() };
        self.db
            .prepare_cached(
                "UPDATE oauth_grants SET serial = ?2, access_scopes = ?3, expires_at = ?4, nonce = ?5 WHERE id = ?1",
            )?
            .execute((grant.id, grant.serial, &grant.access_scopes, expires_at, nonce))?;
        if grant.user_id.is_some() {
            self.recorder.updated(self.db, RECORDED, &old, &grant)?;
        }
        let token = AccessToken {
            grant_id: grant.id,
            serial: grant.serial,
            nonce: grant.nonce,
            workspace,
            expires_at: now.plus(self.access_good_for),
        };
        let text = encryption::encrypt_access_token(token, self.keys)?;
        Ok((grant, text))
    }
}

/// The scopes that are effective now.
pub fn effective_scopes(
    db: &Connection,
    client: &OAuthClient,
    grant: &Grant,
    scopes: &Scopes,
) -> rusqlite::Result<Scopes> {
    let sql = "SELECT r.permissions FROM users u JOIN roles r ON r.id = u.role_id WHERE u.id = ?1";
    let person: Option<Permissions> = match grant.user_id {
        Some(id) => Some(db.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?.unwrap_or_default()),
        None => None,
    };
    Ok(scopes.effective(&client.scopes, person.as_ref()))
}

/// The grant of a refresh token, and whether the token is its newest.
pub fn of_refresh_token(db: &Connection, token: &str) -> rusqlite::Result<Option<(Grant, bool)>> {
    let found: Option<(i64, i64)> = db
        .prepare_cached("SELECT grant_id, serial FROM oauth_refresh_tokens WHERE digest = ?1")?
        .query_row([secret::digest(token)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((grant_id, serial)) = found else { return Ok(None) };
    Ok(find(db, grant_id)?.map(|grant| {
        let is_newest = grant.serial == serial;
        (grant, is_newest)
    }))
}

/// Revokes a grant with its code and all its tokens. A revoked grant stays unchanged.
pub fn end(db: &Connection, recorder: &ChangeRecorder, grant: &Grant) -> rusqlite::Result<()> {
    let ended = db
        .prepare_cached("UPDATE oauth_grants SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute((grant.id, recorder.at))?;
    // A client may get and revoke a token for each request. No user approved it, so the audit log leaves it out.
    let is_its_own = grant.user_id.is_none() && matches!(recorder.actor, Actor::Client { .. });
    if ended > 0 && !is_its_own { recorder.deleted(db, RECORDED, grant) } else { Ok(()) }
}

pub fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Grant>> {
    db.prepare_cached(
        "SELECT id, client_id, user_id, scopes, access_scopes, serial, nonce, created_at, expires_at,
                revoked_at IS NOT NULL
         FROM oauth_grants WHERE id = ?1",
    )?
    .query_row([id], |row| {
        Ok(Grant {
            id: row.get(0)?,
            client_id: row.get(1)?,
            user_id: row.get(2)?,
            scopes: row.get(3)?,
            access_scopes: row.get(4)?,
            serial: row.get(5)?,
            nonce: row.get(6)?,
            created_at: row.get(7)?,
            expires_at: row.get(8)?,
            is_revoked: row.get(9)?,
        })
    })
    .optional()
}

/// Deletes at most `most` grants whose last token has expired. Returns their number.
pub fn delete_expired(db: &Connection, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM oauth_grants WHERE id IN (SELECT id FROM oauth_grants WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
    )?
    .execute((before, i64::try_from(most).unwrap_or(i64::MAX)))
}

/// Inserts a grant without tokens.
fn begin(
    db: &Connection,
    client_id: i64,
    user_id: Option<i64>,
    scopes: &Scopes,
    expires_at: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Grant> {
    let id = db
        .prepare_cached(
            "INSERT INTO oauth_grants (client_id, user_id, scopes, access_scopes, serial, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?3, 0, ?4, ?5)",
        )?
        .insert((client_id, user_id, scopes, now, expires_at))?;
    Ok(Grant {
        id,
        client_id,
        user_id,
        scopes: scopes.clone(),
        access_scopes: scopes.clone(),
        serial: 0,
        nonce: None,
        created_at: now,
        expires_at,
        is_revoked: false,
    })
}

fn new_refresh_token(db: &Connection, grant: &Grant) -> Result<String> {
    let token = format!("{REFRESH_PREFIX}{}", secret::random()?);
    db.prepare_cached("INSERT INTO oauth_refresh_tokens (digest, grant_id, serial) VALUES (?1, ?2, ?3)")?.execute((
        secret::digest(&token),
        grant.id,
        grant.serial,
    ))?;
    Ok(token)
}

impl Listable for OAuthGrant {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT g.*, c.name AS client_name, c.scopes AS client_scopes, u.name AS user_name, r.permissions
                 FROM oauth_grants g JOIN oauth_clients c ON c.id = g.client_id
                 LEFT JOIN users u ON u.id = g.user_id LEFT JOIN roles r ON r.id = u.role_id
                 WHERE g.revoked_at IS NULL)",
        columns: "id, client_id, client_name, user_id, user_name, scopes, client_scopes, permissions, created_at, expires_at",
        fields: &[
            integer("id").only_sorted(),
            integer("client_id"),
            integer("user_id"),
            moment("created_at").sorted(),
            moment("expires_at").only_sorted(),
        ],
        plain_filters: false,
        newest_first: true,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let person: Option<Permissions> = row.get(7)?;
        let user_id: Option<i64> = row.get(3)?;
        Ok(Self {
            id: row.get(0)?,
            client: OAuthGrantParty { id: row.get(1)?, name: row.get(2)? },
            user: user_id.map(|id| row.get(4).map(|name| OAuthGrantParty { id, name })).transpose()?,
            scopes: row.get::<_, Scopes>(5)?.effective(&row.get(6)?, person.as_ref()),
            created_at: row.get(8)?,
            expires_at: row.get(9)?,
        })
    }
}

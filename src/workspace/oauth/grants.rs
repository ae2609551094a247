//! OAuth grants: what a client may do for a person who approved it, or for itself; and the state machine of codes, access
//! tokens and refresh tokens, each step in one transaction of one file.
//!
//! A person approves: a grant, with the scopes that the page showed, and a code. The code is exchanged: an access token and a
//! refresh token. The refresh token is used: the next pair of the same grant, and the pair before it is dead. A code or a
//! refresh token that comes a second time has been stolen from somebody: the grant ends, and with it whatever came of it
//! (RFC 9700, 4.13 and 4.14).
//!
//! A grant gives at each use what was approved, what the client may have now and what the person may do now: all three.

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;

use super::clients::Client;
use crate::api::list::{By, Filter, List, Listed, Listing, Sort};
use crate::api::{Ctx, Done, Error, Id, Needs, Page, Result, Route, delete, get, may_touch, run};
use crate::auth::{AccessToken, Keys, Nonce, Permissions, Scopes, seal, secret};
use crate::tenancy::Author;
use crate::tenancy::grants::RESOURCE;
use crate::tenancy::journal::Actor;
use crate::values::Timestamp;

pub const ROUTES: &[Route] = &[
    get("/oauth-grants", &run(list), Needs::Own(MANAGE), "List your OAuth grants, or all of them if permitted"),
    delete(
        "/oauth-grants/{id}",
        &run(remove),
        Needs::Own(MANAGE),
        "Revoke an OAuth grant; its tokens stop working at once",
    )
    .named("revokeOauthGrant"),
];

/// Who has it sees and ends the grants of others too.
const MANAGE: &str = "oauth-client.update";

/// A code's life, in seconds (RFC 6749, 4.1.2: ten minutes at the most).
const CODE_GOOD_FOR: i64 = 60;
/// A refresh token's: two years, so that a program that sleeps for the life of an access token can still wake up.
const REFRESH_GOOD_FOR: i64 = 2 * 31_536_000;

/// How long a code that is over is kept, so that its second use is noticed.
const CODES_ARE_KEPT: i64 = 86_400;

/// Grants that a client may have got for itself: one that asks anew for each call loses its oldest.
const MOST_OF_ITS_OWN: i64 = 100;

const REFRESH_PREFIX: &str = "cxr_";

/// Access that a user approved for an OAuth client, or that a client obtained for itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OAuthGrant")]
pub struct Shown {
    /// Id of the grant.
    pub id: i64,
    /// The OAuth client.
    pub client: Named,
    /// The user who approved it. Null if the client acts for itself.
    pub user: Option<Named>,
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
#[schemars(rename = "OAuthGrantParty")]
pub struct Named {
    /// Id of the client or user.
    pub id: i64,
    /// Name of the client or user.
    pub name: String,
}

/// What a person has approved.
#[derive(Debug, Clone)]
pub struct Approval {
    pub client_id: i64,
    pub user_id: i64,
    pub redirect_uri: String,
    /// As the page showed them.
    pub scopes: Scopes,
    pub challenge: Option<String>,
}

/// A code that was found.
#[derive(Debug)]
pub struct Code {
    digest: [u8; 32],
    pub grant: Grant,
    pub redirect_uri: String,
    pub challenge: Option<String>,
    pub expires_at: Timestamp,
    pub is_used: bool,
}

/// What a client was granted; as the audit log has it, without its times and what only tokens need.
#[derive(Debug, Clone, Serialize)]
pub struct Grant {
    pub id: i64,
    pub client_id: i64,
    pub user_id: Option<i64>,
    pub scopes: Scopes,
    /// Of the newest access token: the same, or fewer.
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

/// What a client is handed.
#[derive(Debug)]
pub struct Pair {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub scopes: Scopes,
}

/// Whatever it takes to give a client tokens.
pub struct Issuer<'a> {
    pub db: &'a Connection,
    pub keys: &'a Keys,
    pub client: &'a Client,
    /// The client, as the author of what changes.
    pub author: Author,
    /// Seconds for which an access token is good.
    pub access_good_for: i64,
}

fn list(ctx: &mut Ctx<'_>, list: List<Shown>) -> Result<Page<Shown>> {
    let insider = ctx.insider()?;
    match insider.user_id().filter(|_| !insider.may(MANAGE)) {
        Some(own) => list.only("user_id", own).page(ctx),
        None => list.page(ctx),
    }
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let insider = ctx.insider()?;
    let grant = find(ctx.db, id)?.filter(|grant| !grant.is_revoked);
    let is_own = grant.as_ref().is_some_and(|grant| grant.user_id.is_some() && grant.user_id == insider.user_id());
    if !is_own && !insider.may(MANAGE) {
        return Err(Error::MissingPermission(MANAGE.into()));
    }
    let grant = grant.ok_or_else(Error::not_found)?;
    if !is_own {
        may_touch(insider, [&grant.scopes.permissions()])?;
    }
    end(ctx.db, &ctx.author()?, &grant)?;
    Ok(Done)
}

/// Keeps an approval, which is a grant from now on; answers the code that stands for it.
pub fn approve(db: &Connection, author: &Author, approval: &Approval) -> Result<String> {
    let (code, now) = (secret::make()?, author.at);
    let until = now.plus(CODE_GOOD_FOR);
    db.prepare_cached("DELETE FROM oauth_codes WHERE expires_at < ?1")?.execute([now.plus(-CODES_ARE_KEPT)])?;
    let grant = begin(db, approval.client_id, Some(approval.user_id), &approval.scopes, until, now)?;
    author.created(db, RESOURCE, &grant)?;
    db.prepare_cached(
        "INSERT INTO oauth_codes (digest, grant_id, redirect_uri, challenge, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((secret::digest(&code), grant.id, &approval.redirect_uri, &approval.challenge, until))?;
    Ok(code)
}

pub fn code(db: &Connection, code: &str) -> rusqlite::Result<Option<Code>> {
    let digest = secret::digest(code);
    let found = db
        .prepare_cached(
            "SELECT grant_id, redirect_uri, challenge, expires_at, used FROM oauth_codes WHERE digest = ?1",
        )?
        .query_row([digest], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((grant_id, redirect_uri, challenge, expires_at, is_used)) = found else { return Ok(None) };
    let grant = find(db, grant_id)?;
    Ok(grant.map(|grant| Code { digest, grant, redirect_uri, challenge, expires_at, is_used }))
}

impl Issuer<'_> {
    /// Uses a code up: the first tokens of its grant.
    pub fn exchange(&self, code: Code) -> Result<Pair> {
        self.db.prepare_cached("UPDATE oauth_codes SET used = 1 WHERE digest = ?1")?.execute([code.digest])?;
        let scopes = holding(self.db, self.client, &code.grant, &code.grant.scopes)?;
        self.renew(code.grant, scopes)
    }

    /// The next pair of tokens of a grant, with these scopes for the access token; the pair before it is dead.
    pub fn renew(&self, grant: Grant, access_scopes: Scopes) -> Result<Pair> {
        let until = self.author.at.plus(REFRESH_GOOD_FOR.max(self.access_good_for));
        let (grant, access_token) = self.access_token(grant, access_scopes, until)?;
        let refresh_token = Some(new_refresh_token(self.db, &grant)?);
        Ok(Pair { access_token, refresh_token, scopes: grant.access_scopes })
    }

    /// A token for the client itself, without a person and without a refresh token (RFC 6749, 4.4.3).
    pub fn for_itself(&self, scopes: &Scopes) -> Result<Pair> {
        let (now, client_id) = (self.author.at, self.client.id);
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
        Ok(Pair { access_token, refresh_token: None, scopes: grant.access_scopes })
    }

    /// Makes a grant's next access token; those before it are dead.
    fn access_token(&self, old: Grant, access_scopes: Scopes, expires_at: Timestamp) -> Result<(Grant, String)> {
        let Author { at: now, workspace, .. } = self.author;
        let nonce = Nonce::make()?;
        let grant = Grant { serial: old.serial + 1, nonce: Some(nonce), access_scopes, expires_at, ..old.clone() };
        self.db
            .prepare_cached(
                "UPDATE oauth_grants SET serial = ?2, access_scopes = ?3, expires_at = ?4, nonce = ?5 WHERE id = ?1",
            )?
            .execute((grant.id, grant.serial, &grant.access_scopes, expires_at, nonce))?;
        if grant.user_id.is_some() {
            self.author.updated(self.db, RESOURCE, &old, &grant)?;
        }
        let token = AccessToken {
            grant_id: grant.id,
            serial: grant.serial,
            nonce: grant.nonce,
            workspace,
            expires_at: now.plus(self.access_good_for),
        };
        let text = seal::seal_access(token, self.keys)?;
        Ok((grant, text))
    }
}

/// Those of some scopes of a grant that hold now.
pub fn holding(db: &Connection, client: &Client, grant: &Grant, scopes: &Scopes) -> rusqlite::Result<Scopes> {
    let sql = "SELECT r.permissions FROM users u JOIN roles r ON r.id = u.role_id WHERE u.id = ?1";
    let person: Option<Permissions> = match grant.user_id {
        Some(id) => Some(db.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?.unwrap_or_default()),
        None => None,
    };
    Ok(scopes.holding(&client.scopes, person.as_ref()))
}

/// The grant that a refresh token is of, and whether the token is its newest.
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

/// Ends a grant: its code and every token of it are dead. One that has ended stays so.
pub fn end(db: &Connection, author: &Author, grant: &Grant) -> rusqlite::Result<()> {
    let ended = db
        .prepare_cached("UPDATE oauth_grants SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute((grant.id, author.at))?;
    // A client may get a token for itself and give it back at each call: that is nobody's approval.
    let is_its_own = grant.user_id.is_none() && matches!(author.actor, Actor::Client { .. });
    if ended > 0 && !is_its_own { author.deleted(db, RESOURCE, grant) } else { Ok(()) }
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

/// Deletes grants whose last token has ended, at most so many; answers how many they were.
pub fn forget(db: &Connection, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM oauth_grants WHERE id IN (SELECT id FROM oauth_grants WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
    )?
    .execute((before, i64::try_from(most).unwrap_or(i64::MAX)))
}

/// A grant that has no tokens yet.
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
    let token = format!("{REFRESH_PREFIX}{}", secret::make()?);
    db.prepare_cached("INSERT INTO oauth_refresh_tokens (digest, grant_id, serial) VALUES (?1, ?2, ?3)")?.execute((
        secret::digest(&token),
        grant.id,
        grant.serial,
    ))?;
    Ok(token)
}

impl Listed for Shown {
    const LISTING: Listing = Listing {
        table: "(SELECT g.*, c.name AS client_name, c.scopes AS client_scopes, u.name AS user_name, r.permissions
                 FROM oauth_grants g JOIN oauth_clients c ON c.id = g.client_id
                 LEFT JOIN users u ON u.id = g.user_id LEFT JOIN roles r ON r.id = u.role_id
                 WHERE g.revoked_at IS NULL)",
        columns: "id, client_id, client_name, user_id, user_name, scopes, client_scopes, permissions, created_at, expires_at",
        filters: &[
            Filter { name: "client_id", by: By::Integer("client_id") },
            Filter { name: "user_id", by: By::Integer("user_id") },
            Filter { name: "created_at", by: By::Moment("created_at") },
        ],
        plain_filters: false,
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "created_at", column: "created_at" },
            Sort { name: "expires_at", column: "expires_at" },
        ],
        newest_first: true,
        counted_by_triggers: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let person: Option<Permissions> = row.get(7)?;
        let user_id: Option<i64> = row.get(3)?;
        Ok(Self {
            id: row.get(0)?,
            client: Named { id: row.get(1)?, name: row.get(2)? },
            user: user_id.map(|id| row.get(4).map(|name| Named { id, name })).transpose()?,
            scopes: row.get::<_, Scopes>(5)?.holding(&row.get(6)?, person.as_ref()),
            created_at: row.get(8)?,
            expires_at: row.get(9)?,
        })
    }
}

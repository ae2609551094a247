//! Codes, grants and refresh tokens: the state machine of OAuth, all of it in one file and each step in one transaction.
//!
//! A person approves: a code. The code is exchanged: a grant, an access token and a refresh token. The refresh token is
//! used: the next pair of the same grant, and the pair before it is dead. A code or a refresh token that comes a second
//! time has been stolen from somebody: the grant is revoked, and with it whatever came of it (RFC 9700, 4.13 and 4.14).

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::api::Result;
use crate::auth::{AccessToken, Keys, Scopes, seal, secret};
use crate::values::Timestamp;

/// A code's life, in seconds (RFC 6749, 4.1.2: ten minutes at the most).
const CODE_GOOD_FOR: i64 = 60;
/// An access token's: a year (the contract).
pub const ACCESS_GOOD_FOR: i64 = 31_536_000;
/// A refresh token's: so that a program that sleeps for the life of an access token can still wake up.
const REFRESH_GOOD_FOR: i64 = 2 * ACCESS_GOOD_FOR;

/// How long a code that is over is kept, so that its second use is noticed.
const CODES_ARE_KEPT: i64 = 86_400;

/// Grants that a client may have got for itself: one that asks anew for each call loses its oldest.
const MOST_OF_ITS_OWN: i64 = 100;

const REFRESH_PREFIX: &str = "cxr_";

/// What a person has approved.
#[derive(Debug, Clone)]
pub struct Approval {
    pub client_id: i64,
    pub user_id: i64,
    pub redirect_uri: String,
    pub scopes: Scopes,
    pub challenge: Option<String>,
}

/// A code that was found, and the grant that it gave already, if it was used before.
#[derive(Debug)]
pub struct Code {
    digest: [u8; 32],
    pub approval: Approval,
    pub expires_at: Timestamp,
    pub used_for: Option<i64>,
}

/// What a client was granted.
#[derive(Debug, Clone)]
pub struct Grant {
    pub id: i64,
    pub client_id: i64,
    pub user_id: Option<i64>,
    pub scopes: Scopes,
    pub access_scopes: Scopes,
    pub serial: i64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub is_revoked: bool,
}

/// What a client is handed.
#[derive(Debug)]
pub struct Pair {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub scopes: Scopes,
}

/// Keeps an approval; answers the code that stands for it.
pub fn approve(db: &Connection, approval: &Approval, now: Timestamp) -> Result<String> {
    let code = secret::make()?;
    db.prepare_cached("DELETE FROM oauth_codes WHERE expires_at < ?1")?.execute([now.plus(-CODES_ARE_KEPT)])?;
    db.prepare_cached(
        "INSERT INTO oauth_codes (digest, client_id, user_id, redirect_uri, scopes, challenge, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        secret::digest(&code),
        approval.client_id,
        approval.user_id,
        &approval.redirect_uri,
        &approval.scopes,
        &approval.challenge,
        now.plus(CODE_GOOD_FOR),
    ))?;
    Ok(code)
}

pub fn code(db: &Connection, code: &str) -> rusqlite::Result<Option<Code>> {
    let digest = secret::digest(code);
    db.prepare_cached(
        "SELECT client_id, user_id, redirect_uri, scopes, challenge, expires_at, grant_id FROM oauth_codes WHERE digest = ?1",
    )?
    .query_row([digest], |row| {
        let approval = Approval {
            client_id: row.get(0)?,
            user_id: row.get(1)?,
            redirect_uri: row.get(2)?,
            scopes: row.get(3)?,
            challenge: row.get(4)?,
        };
        Ok(Code { digest, approval, expires_at: row.get(5)?, used_for: row.get(6)? })
    })
    .optional()
}

/// Uses a code up: the grant that it stood for, and its first tokens.
pub fn exchange(db: &Connection, keys: &Keys, workspace: Uuid, code: &Code, now: Timestamp) -> Result<Pair> {
    let Approval { client_id, user_id, scopes, .. } = &code.approval;
    let grant = begin(db, *client_id, Some(*user_id), scopes, now.plus(REFRESH_GOOD_FOR), now)?;
    db.prepare_cached("UPDATE oauth_codes SET grant_id = ?2 WHERE digest = ?1")?.execute((code.digest, grant.id))?;
    let refresh_token = Some(new_refresh_token(db, &grant)?);
    Ok(Pair { access_token: access_token(&grant, keys, workspace, now)?, refresh_token, scopes: grant.access_scopes })
}

/// A token for the client itself, without a person and without a refresh token (RFC 6749, 4.4.3).
pub fn for_itself(
    db: &Connection,
    keys: &Keys,
    workspace: Uuid,
    client_id: i64,
    scopes: &Scopes,
    now: Timestamp,
) -> Result<Pair> {
    let grant = begin(db, client_id, None, scopes, now.plus(ACCESS_GOOD_FOR), now)?;
    db.prepare_cached(
        "DELETE FROM oauth_grants WHERE client_id = ?1 AND user_id IS NULL AND id <= (
             SELECT id FROM oauth_grants WHERE client_id = ?1 AND user_id IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute((client_id, MOST_OF_ITS_OWN))?;
    Ok(Pair {
        access_token: access_token(&grant, keys, workspace, now)?,
        refresh_token: None,
        scopes: grant.access_scopes,
    })
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

/// The next pair of tokens of a grant, with these scopes for the access token; the pair before it is dead.
pub fn renew(
    db: &Connection,
    keys: &Keys,
    workspace: Uuid,
    grant: Grant,
    access_scopes: Scopes,
    now: Timestamp,
) -> Result<Pair> {
    let expires_at = now.plus(REFRESH_GOOD_FOR);
    let grant = Grant { serial: grant.serial + 1, access_scopes, expires_at, ..grant };
    db.prepare_cached("UPDATE oauth_grants SET serial = ?2, access_scopes = ?3, expires_at = ?4 WHERE id = ?1")?
        .execute((grant.id, grant.serial, &grant.access_scopes, expires_at))?;
    let refresh_token = Some(new_refresh_token(db, &grant)?);
    Ok(Pair { access_token: access_token(&grant, keys, workspace, now)?, refresh_token, scopes: grant.access_scopes })
}

/// Ends a grant: every token of it is dead.
pub fn revoke(db: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE oauth_grants SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute((id, now))?;
    Ok(())
}

pub fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Grant>> {
    db.prepare_cached(
        "SELECT id, client_id, user_id, scopes, access_scopes, serial, created_at, expires_at, revoked_at IS NOT NULL
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
            created_at: row.get(6)?,
            expires_at: row.get(7)?,
            is_revoked: row.get(8)?,
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

fn begin(
    db: &Connection,
    client_id: i64,
    user_id: Option<i64>,
    scopes: &Scopes,
    expires_at: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Grant> {
    let serial = 1;
    let id = db
        .prepare_cached(
            "INSERT INTO oauth_grants (client_id, user_id, scopes, access_scopes, serial, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)",
        )?
        .insert((client_id, user_id, scopes, serial, now, expires_at))?;
    Ok(Grant {
        id,
        client_id,
        user_id,
        scopes: scopes.clone(),
        access_scopes: scopes.clone(),
        serial,
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

fn access_token(grant: &Grant, keys: &Keys, workspace: Uuid, now: Timestamp) -> Result<String> {
    let token =
        AccessToken { grant_id: grant.id, serial: grant.serial, workspace, expires_at: now.plus(ACCESS_GOOD_FOR) };
    Ok(seal::seal_access(token, keys)?)
}

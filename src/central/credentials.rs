//! Credentials: compares passwords, issues and revokes tokens. Memberships decide which workspaces an account may
//! enter.

use rusqlite::{Connection, ToSql};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::accounts;
use crate::api::{Error, RateLimitedAttempt, Result};
use crate::auth::encryption::{self, Claims};
use crate::auth::{Nonce, Origin, SignInMethod, TokenInUse, TokenKind, TokenScope, Verified};
use crate::instance::Instance;
use crate::tenancy::Central;
use crate::values::Timestamp;

/// A new token. Its text is not stored.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Issued {
    /// The token. Send it as `Authorization: Bearer {token}`.
    pub token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Lifetime in seconds.
    pub expires_in: i64,
    #[serde(skip)]
    pub id: i64,
}

/// Compares a password with its hash. After too many failures, every password is rejected without hashing.
pub fn compare(instance: &Instance, tries: &RateLimitedAttempt, given: &str, kept: Option<&str>) -> Result<Verified> {
    tries.check()?;
    match instance.passwords.verify(given, kept)? {
        Verified::No => {
            tries.count();
            Err(Error::InvalidCredentials)
        }
        verified => {
            tries.reset();
            Ok(verified)
        }
    }
}

/// A token to be issued.
pub struct TokenSpec<'a> {
    pub account_id: i64,
    pub scope: TokenScope,
    pub label: &'a str,
    pub kind: TokenKind,
    /// Lifetime in seconds.
    pub ttl: i64,
    /// The token from which it is switched. Revoking that token revokes this one.
    pub parent_id: Option<i64>,
    /// The latest time of expiry.
    pub latest: Option<Timestamp>,
    pub method: SignInMethod,
}

impl<'a> TokenSpec<'a> {
    /// The token of a login.
    pub fn is_session(account_id: i64, scope: TokenScope, label: &'a str, ttl: i64) -> Self {
        let method = SignInMethod::default();
        Self { account_id, scope, label, kind: TokenKind::SESSION, ttl, parent_id: None, latest: None, method }
    }

    /// A token switched from another one. It expires with that one at the latest.
    pub fn switched(from: &TokenInUse, scope: TokenScope, ttl: i64) -> Self {
        Self {
            kind: from.kind,
            parent_id: Some(from.id),
            latest: Some(from.expires_at),
            method: from.method.clone(),
            ..Self::is_session(from.account_id, scope, "switch", ttl)
        }
    }
}

/// Inserts a token's row and encrypts the token. Rejects a disabled account. Every login needs a token, so this check
/// suffices.
pub fn issue(db: &Connection, instance: &Instance, new: &TokenSpec<'_>, origin: &Origin) -> Result<Issued> {
    let TokenSpec { account_id, scope, .. } = *new;
    if accounts::is_disabled(db, account_id)? {
        return Err(Error::forbidden("account_disabled", "This account is disabled. Ask an operator of the server."));
    }
    let expires_at = new.latest.map_or(origin.at.plus(new.ttl), |latest| latest.min(origin.at.plus(new.ttl)));
    let nonce = Nonce::random()?;
    let id = db
        .prepare_cached(
            "INSERT INTO tokens (account_id, workspace_id, label, created_at, expires_at, nonce, kind, parent_id, address,
                                 user_agent, provider, provider_second_factor)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .insert((
            account_id,
            scope.workspace().map(|id| id.to_string()),
            new.label,
            origin.at,
            expires_at,
            nonce,
            new.kind,
            new.parent_id,
            origin.address.map(|address| address.to_string()),
            &origin.user_agent,
            &new.method.provider,
            new.method.second_factor,
        ))?;
    let token = encryption::encrypt_token(
        Claims { token_id: id, account_id, scope, expires_at, nonce: Some(nonce) },
        &instance.keys,
    )?;
    let expires_in = expires_at.seconds() - origin.at.seconds();
    Ok(Issued { token, token_type: "Bearer", expires_in, id })
}

/// Revokes a token and the tokens that were switched from it. Returns whether any was revoked.
pub fn revoke_one(db: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<bool> {
    Ok(revoke_with_children(db, "id = ?2", &[&now, &id])? > 0)
}

/// Revokes the tokens that meet a condition, and all tokens switched from them, directly or indirectly. The first value
/// is the time.
fn revoke_with_children(db: &Connection, condition: &'static str, values: &[&dyn ToSql]) -> rusqlite::Result<usize> {
    db.prepare_cached(&format!(
        "WITH RECURSIVE ended (id) AS (
             SELECT id FROM tokens WHERE {condition} AND revoked_at IS NULL
             UNION SELECT t.id FROM tokens t JOIN ended ON t.parent_id = ended.id
         )
         UPDATE tokens SET revoked_at = ?1 WHERE id IN ended AND revoked_at IS NULL"
    ))?
    .execute(values)
}

/// Revokes every token of an account, except one if given. Returns the number revoked.
pub fn revoke_all(db: &Connection, account_id: i64, except: Option<i64>, now: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE tokens SET revoked_at = ?3 WHERE account_id = ?1 AND id IS NOT ?2 AND revoked_at IS NULL",
    )?
    .execute((account_id, except, now))
}

/// Revokes the tokens of an account for a workspace, and the tokens that were switched from them.
pub fn revoke_member(db: &Connection, account_id: i64, workspace: Uuid, now: Timestamp) -> rusqlite::Result<()> {
    let workspace = workspace.to_string();
    revoke_with_children(db, "account_id = ?2 AND workspace_id = ?3", &[&now, &account_id, &workspace])?;
    Ok(())
}

/// Revokes every token for a workspace, and the tokens that were switched from them.
pub fn revoke_workspace(db: &Connection, workspace: Uuid, now: Timestamp) -> rusqlite::Result<usize> {
    revoke_with_children(db, "workspace_id = ?2", &[&now, &workspace.to_string()])
}

impl Central {
    /// Revokes a token and the tokens that were switched from it.
    pub fn revoke_token(&self, id: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| Ok(revoke_one(db, id, now).map(|_| ())?))
    }

    /// Writes the times of last use.
    pub fn write_token_uses(&self, uses: Vec<(i64, Timestamp)>) -> Result<()> {
        self.write(move |db| {
            let mut statement = db.prepare_cached("UPDATE tokens SET last_used_at = ?2 WHERE id = ?1")?;
            Ok(uses.iter().try_for_each(|used| statement.execute(*used).map(|_| ()))?)
        })
    }

    /// Deletes the tokens that expired or were revoked before this time.
    pub fn delete_ended_tokens(&self, before: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM tokens WHERE expires_at < ?1 OR revoked_at < ?1")?.execute([before])?;
            Ok(())
        })
    }
}

//! Who calls, as the files know them: a user, an integration key, an OAuth client. Each is looked up by one indexed row.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::permissions::Permissions;
use super::scopes::Scopes;
use super::token::{AccessToken, TokenFault, TokenInUse, TokenKind};
use crate::values::{AllowedHost, Several, Timestamp};

/// Who a call is made by, as far as the workspace's file knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Nobody of this file's: a stranger, or an account on the central host.
    Outsider,
    Insider(Insider),
}

/// Somebody whom the workspace knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insider {
    pub actor: Actor,
    /// The user's, or the key's.
    pub name: String,
    pub permissions: Permissions,
    /// The only customer whose rows it sees; all of them where there is none.
    pub customer_id: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    User {
        id: i64,
        /// The role's name.
        role: String,
    },
    /// An integration key: a program without a person.
    Key { id: i64, last_used_at: Option<Timestamp> },
    /// An OAuth client, for the user who approved it, or for itself.
    Client { id: i64, user_id: Option<i64>, token: AccessToken },
    /// A call flow, which asks where a call goes.
    CallFlow { id: i64 },
}

/// The right to look up where calls go: all that a call flow's token may have.
pub const LOOK_UP: &str = "routing.view";

impl Insider {
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.cover(permission)
    }

    /// The user that it is, if it is a person.
    pub fn user_id(&self) -> Option<i64> {
        match self.actor {
            Actor::User { id, .. } => Some(id),
            Actor::Key { .. } | Actor::Client { .. } | Actor::CallFlow { .. } => None,
        }
    }
}

/// What a person is in this workspace.
#[derive(Debug, Clone)]
pub enum Person {
    Member(Insider),
    /// A member who has no second factor, which the workspace requires.
    WithoutSecondFactor,
    NotAMember,
}

/// What the person is in this workspace whose token this is. Tokens of programs need no second factor.
pub fn person(db: &Connection, token: &TokenInUse) -> rusqlite::Result<Person> {
    let found = db
        .prepare_cached(
            "SELECT u.id, r.name, r.permissions, u.name,
                    EXISTS (SELECT 1 FROM settings WHERE name = 'require_second_factor' AND value = '1')
             FROM users u JOIN roles r ON r.id = u.role_id WHERE u.account_id = ?1",
        )?
        .query_row([token.account_id], |row| {
            let is_required: bool = row.get(4)?;
            if is_required && !token.second_factor && token.kind == TokenKind::SESSION {
                return Ok(Person::WithoutSecondFactor);
            }
            Ok(Person::Member(Insider {
                actor: Actor::User { id: row.get(0)?, role: row.get(1)? },
                name: row.get(3)?,
                permissions: row.get(2)?,
                customer_id: None,
            }))
        })
        .optional()?;
    Ok(found.unwrap_or(Person::NotAMember))
}

/// Whether the workspace requires a second factor of its members.
pub fn requires_second_factor(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM settings WHERE name = 'require_second_factor' AND value = '1'")?.exists([])
}

/// The integration key with this digest, if it is good at this moment.
pub fn key(db: &Connection, digest: &[u8; 32], now: Timestamp) -> rusqlite::Result<Result<Insider, TokenFault>> {
    let found = db
        .prepare_cached(
            "SELECT k.id, k.permissions, k.customer_id, k.last_used_at, k.active, k.expires_at, s.expires_at, k.name
             FROM integration_key_secrets s JOIN integration_keys k ON k.id = s.key_id WHERE s.digest = ?1",
        )?
        .query_row([digest], |row| {
            if !row.get::<_, bool>(4)? {
                return Ok(Err(TokenFault::Revoked));
            }
            // The key's own end, and that of a secret which another has taken the place of.
            let ends: [Option<Timestamp>; 2] = [row.get(5)?, row.get(6)?];
            if ends.iter().flatten().any(|end| *end <= now) {
                return Ok(Err(TokenFault::Expired));
            }
            Ok(Ok(Insider {
                actor: Actor::Key { id: row.get(0)?, last_used_at: row.get(3)? },
                name: row.get(7)?,
                permissions: row.get(1)?,
                customer_id: row.get(2)?,
            }))
        })
        .optional()?;
    Ok(found.unwrap_or(Err(TokenFault::Invalid)))
}

/// The client that an OAuth access token was given to, if the token is good at this moment. It may do what was granted, what
/// the client may have now, and, where somebody approved it, what they may do now: all three at each use.
pub fn client(db: &Connection, token: &AccessToken, now: Timestamp) -> rusqlite::Result<Result<Insider, TokenFault>> {
    let found = db
        .prepare_cached(
            "SELECT c.id, c.name, c.customer_id, g.user_id, g.access_scopes, r.permissions,
                    c.active AND g.revoked_at IS NULL AND g.serial = ?2 AND g.nonce IS ?3, c.scopes
             FROM oauth_grants g JOIN oauth_clients c ON c.id = g.client_id
             LEFT JOIN users u ON u.id = g.user_id LEFT JOIN roles r ON r.id = u.role_id WHERE g.id = ?1",
        )?
        .query_row((token.grant_id, token.serial, token.nonce), |row| {
            if !row.get::<_, bool>(6)? {
                return Ok(Err(TokenFault::Revoked));
            }
            if token.expires_at <= now {
                return Ok(Err(TokenFault::Expired));
            }
            let persons: Option<Permissions> = row.get(5)?;
            let holding = row.get::<_, Scopes>(4)?.holding(&row.get(7)?, persons.as_ref());
            Ok(Ok(Insider {
                actor: Actor::Client { id: row.get(0)?, user_id: row.get(3)?, token: *token },
                name: row.get(1)?,
                permissions: holding.permissions(),
                customer_id: row.get(2)?,
            }))
        })
        .optional()?;
    Ok(found.unwrap_or(Err(TokenFault::Revoked)))
}

/// The call flow with the token of this digest, if the token is good at this moment, and from where it may be used. It may
/// look up, as far as the user whom it is of may.
pub fn call_flow(
    db: &Connection,
    digest: &[u8; 32],
    now: Timestamp,
) -> rusqlite::Result<Result<(Insider, Several<AllowedHost>), TokenFault>> {
    let found = db
        .prepare_cached(
            "SELECT t.id, t.name, t.customer_id, t.hosts, t.expires_at, r.permissions, t.maker_type, t.maker_id
             FROM cfd_tokens t LEFT JOIN users u ON u.id = t.user_id LEFT JOIN roles r ON r.id = u.role_id
             WHERE t.digest = ?1",
        )?
        .query_row([digest], |row| {
            let Some(persons) = row.get::<_, Option<Permissions>>(5)? else { return Ok(Err(TokenFault::Revoked)) };
            if row.get::<_, Option<Timestamp>>(4)?.is_some_and(|end| end <= now) {
                return Ok(Err(TokenFault::Expired));
            }
            let insider = Insider {
                actor: Actor::CallFlow { id: row.get(0)? },
                name: row.get(1)?,
                permissions: Permissions::of([LOOK_UP]).within(&persons),
                customer_id: row.get(2)?,
            };
            if let Some(maker) = row.get::<_, Option<String>>(6)?
                && !maker_may_look_up(db, &maker, row.get(7)?, now)?
            {
                return Ok(Err(TokenFault::Revoked));
            }
            Ok(Ok((insider, row.get(3)?)))
        })
        .optional()?;
    Ok(found.unwrap_or(Err(TokenFault::Invalid)))
}

/// Whether who made a call flow's token is still here, and may still look up.
fn maker_may_look_up(db: &Connection, maker: &str, id: i64, now: Timestamp) -> rusqlite::Result<bool> {
    let permissions: Option<Permissions> = match maker {
        "user" => db
            .prepare_cached("SELECT r.permissions FROM users u JOIN roles r ON r.id = u.role_id WHERE u.id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?,
        "integration-key" => db
            .prepare_cached(
                "SELECT permissions FROM integration_keys
                 WHERE id = ?1 AND active AND (expires_at IS NULL OR expires_at > ?2)",
            )?
            .query_row((id, now), |row| row.get(0))
            .optional()?,
        _ => db
            .prepare_cached(
                "SELECT g.scopes, c.scopes, r.permissions FROM oauth_grants g JOIN oauth_clients c ON c.id = g.client_id
                 LEFT JOIN users u ON u.id = g.user_id LEFT JOIN roles r ON r.id = u.role_id
                 WHERE g.id = ?1 AND c.active AND g.revoked_at IS NULL AND g.expires_at > ?2",
            )?
            .query_row((id, now), |row| {
                let person: Option<Permissions> = row.get(2)?;
                Ok(row.get::<_, Scopes>(0)?.holding(&row.get(1)?, person.as_ref()).permissions())
            })
            .optional()?,
    };
    Ok(permissions.is_some_and(|permissions| permissions.cover(LOOK_UP)))
}

/// Whether an account owns a workspace that is in service; nothing where it is no member of it. In the central file.
pub fn owns(db: &Connection, account_id: i64, workspace: Uuid) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached(
        "SELECT w.owner_id = m.account_id FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
         WHERE m.account_id = ?1 AND w.id = ?2 AND w.status IN ('active', 'suspended')",
    )?
    .query_row((account_id, workspace.to_string()), |row| row.get(0))
    .optional()
}

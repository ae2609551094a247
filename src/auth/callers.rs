//! The caller of a request, as the files know it: a user, an integration key, an OAuth client or a call flow. Each
//! look-up reads one indexed row.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::permissions::Permissions;
use super::scopes::Scopes;
use super::token::{AccessToken, TokenFault, TokenInUse, TokenKind};
use crate::values::{AllowedHost, Several, Timestamp};

/// The caller of a request, as the workspace's file knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Not known in this file: an anonymous caller, or an account on the central host.
    Outsider,
    Insider(Insider),
}

/// A caller that the workspace knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insider {
    pub actor: Actor,
    /// The name of the user, key or client.
    pub name: String,
    pub permissions: Permissions,
    /// The only customer whose rows the caller sees. `None` means all.
    pub customer_id: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    User {
        id: i64,
        /// The name of the role.
        role: String,
    },
    /// An integration key: a program without a person.
    Key { id: i64, last_used_at: Option<Timestamp> },
    /// An OAuth client, for the user who approved it or for itself.
    Client { id: i64, user_id: Option<i64>, token: AccessToken },
    /// A call flow that looks up the destination of a call.
    CallFlow { id: i64 },
}

/// The permission to look up call destinations. A call flow's token has no other.
pub const LOOK_UP: &str = "routing.view";

impl Insider {
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.cover(permission)
    }

    /// The id of the user, if the caller is a person.
    pub fn user_id(&self) -> Option<i64> {
        match self.actor {
            Actor::User { id, .. } => Some(id),
            Actor::Key { .. } | Actor::Client { .. } | Actor::CallFlow { .. } => None,
        }
    }
}

/// The status of a person in this workspace.
#[derive(Debug, Clone)]
pub enum Person {
    Member(Insider),
    /// A member without a second factor, in a workspace that requires one.
    WithoutSecondFactor,
    NotAMember,
}

/// Finds the person of a token in this workspace. Tokens of programs need no second factor.
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

/// Finds the integration key with this digest, if it is valid at this moment.
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
            // The expiry of the key, and the expiry of a secret that was replaced.
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

/// Finds the OAuth client of an access token, if the token is valid at this moment. Each use checks three limits: the
/// grant, the current scopes of the client, and the current permissions of the user who approved the grant, if any.
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

/// Finds the call flow whose token has this digest, if the token is valid at this moment, and the hosts that may use
/// it. The call flow may look up destinations, limited by its owner's permissions.
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

/// Whether the creator of a call flow's token still exists and may still look up destinations.
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

/// Whether an account owns a workspace that is in service. `None` if it is no member. Reads the central file.
pub fn owns(db: &Connection, account_id: i64, workspace: Uuid) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached(
        "SELECT w.owner_id = m.account_id FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
         WHERE m.account_id = ?1 AND w.id = ?2 AND w.status IN ('active', 'suspended')",
    )?
    .query_row((account_id, workspace.to_string()), |row| row.get(0))
    .optional()
}

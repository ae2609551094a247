//! The caller of a request, as the files know it: a user, an integration key, an OAuth client or a call flow. Each
//! look-up reads one indexed row.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::credential::{AccessToken, TokenFault, TokenInUse, TokenKind};
use super::permissions::Permissions;
use super::scopes::Scopes;
use crate::values::{AllowedHost, Timestamp, UniqueList};

/// The caller of a request, as the workspace's file knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Not known in this file: an anonymous caller, or an account on the central host.
    Anonymous,
    Principal(Principal),
}

/// A caller that the workspace knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub actor: Identity,
    /// The name of the user, key or client.
    pub name: String,
    pub permissions: Permissions,
    /// The only customer whose rows the caller sees. `None` means all.
    pub customer_id: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
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

impl Principal {
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions.grants(permission)
    }

    /// The id of the user, if the caller is a person.
    pub fn user_id(&self) -> Option<i64> {
        match self.actor {
            Identity::User { id, .. } => Some(id),
            Identity::Key { .. } | Identity::Client { .. } | Identity::CallFlow { .. } => None,
        }
    }
}

/// The status of a person in this workspace.
#[derive(Debug, Clone)]
pub enum MemberCheck {
    Member(Principal),
    /// A member without a second factor, in a workspace that requires one.
    WithoutSecondFactor,
    /// A member who signed in with a password, in a workspace that requires single sign-on.
    WithoutSingleSignOn,
    NotAMember,
}

/// Finds the person of a token in this workspace. Tokens of programs need neither a second factor nor single sign-on.
pub fn member(db: &Connection, token: &TokenInUse) -> rusqlite::Result<MemberCheck> {
    let found = db
        .prepare_cached(
            "SELECT u.id, r.name, r.permissions, u.name,
                    EXISTS (SELECT 1 FROM settings WHERE name = 'require_second_factor' AND value = '1'),
                    EXISTS (SELECT 1 FROM settings WHERE name = 'require_single_sign_on' AND value = '1')
             FROM users u JOIN roles r ON r.id = u.role_id WHERE u.account_id = ?1",
        )?
        .query_row([token.account_id], |row| {
            let is_session = token.kind == TokenKind::SESSION;
            if is_session && token.method.provider.is_none() && row.get(5)? {
                return Ok(MemberCheck::WithoutSingleSignOn);
            }
            if is_session && !token.second_factor && row.get(4)? {
                return Ok(MemberCheck::WithoutSecondFactor);
            }
            Ok(MemberCheck::Member(Principal {
                actor: Identity::User { id: row.get(0)?, role: row.get(1)? },
                name: row.get(3)?,
                permissions: row.get(2)?,
                customer_id: None,
            }))
        })
        .optional()?;
    Ok(found.unwrap_or(MemberCheck::NotAMember))
}

/// Whether the workspace requires a second factor of its members.
pub fn requires_second_factor(db: &Connection) -> rusqlite::Result<bool> {
    is_on(db, "require_second_factor")
}

/// Whether the workspace rejects members who signed in with a password.
pub fn requires_single_sign_on(db: &Connection) -> rusqlite::Result<bool> {
    is_on(db, "require_single_sign_on")
}

/// Whether a setting of the workspace is on.
fn is_on(db: &Connection, setting: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM settings WHERE name = ?1 AND value = '1'")?.exists([setting])
}

/// Finds the integration key with this digest, if it is valid at this moment.
pub fn integration_key(
    db: &Connection,
    digest: &[u8; 32],
    now: Timestamp,
) -> rusqlite::Result<Result<Principal, TokenFault>> {
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
            Ok(Ok(Principal {
                actor: Identity::Key { id: row.get(0)?, last_used_at: row.get(3)? },
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
pub fn oauth_client(
    db: &Connection,
    token: &AccessToken,
    now: Timestamp,
) -> rusqlite::Result<Result<Principal, TokenFault>> {
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
            let holding = row.get::<_, Scopes>(4)?.effective(&row.get(7)?, persons.as_ref());
            Ok(Ok(Principal {
                actor: Identity::Client { id: row.get(0)?, user_id: row.get(3)?, token: *token },
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
) -> rusqlite::Result<Result<(Principal, UniqueList<AllowedHost>), TokenFault>> {
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
            let principal = Principal {
                actor: Identity::CallFlow { id: row.get(0)? },
                name: row.get(1)?,
                permissions: Permissions::of([LOOK_UP]).intersection(&persons),
                customer_id: row.get(2)?,
            };
            if let Some(maker) = row.get::<_, Option<String>>(6)?
                && !creator_may_look_up(db, &maker, row.get(7)?, now)?
            {
                return Ok(Err(TokenFault::Revoked));
            }
            Ok(Ok((principal, row.get(3)?)))
        })
        .optional()?;
    Ok(found.unwrap_or(Err(TokenFault::Invalid)))
}

/// Whether the creator of a call flow's token still exists and may still look up destinations.
fn creator_may_look_up(db: &Connection, maker: &str, id: i64, now: Timestamp) -> rusqlite::Result<bool> {
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
                Ok(row.get::<_, Scopes>(0)?.effective(&row.get(1)?, person.as_ref()).permissions())
            })
            .optional()?,
    };
    Ok(permissions.is_some_and(|permissions| permissions.grants(LOOK_UP)))
}

/// Whether an account owns a workspace that is in service. `None` if it is no member. Reads the central file.
pub fn is_owner(db: &Connection, account_id: i64, workspace: Uuid) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached(
        "SELECT w.owner_id = m.account_id FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
         WHERE m.account_id = ?1 AND w.id = ?2 AND w.status IN ('active', 'suspended')",
    )?
    .query_row((account_id, workspace.to_string()), |row| row.get(0))
    .optional()
}

//! What somebody in a workspace may do: `{resource}.{action}`, with `{resource}.*` and `*` in roles; and who that is.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use super::catalogue;
use super::scopes::Scopes;
use super::token::{AccessToken, TokenFault};
use crate::values::{Timestamp, stored_as_json};

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
}

impl Insider {
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.cover(permission)
    }

    /// The user that it is, if it is a person.
    pub fn user_id(&self) -> Option<i64> {
        match self.actor {
            Actor::User { id, .. } => Some(id),
            Actor::Key { .. } | Actor::Client { .. } => None,
        }
    }
}

/// Permissions as a role or a key has them, wildcards and all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Permissions(Vec<String>);

impl Permissions {
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Those of them that the others cover too.
    #[must_use]
    pub fn within(self, others: &Self) -> Self {
        Self(self.0.into_iter().filter(|permission| others.cover(permission)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this permission, or all that this wildcard stands for, is among them.
    pub fn cover(&self, permission: &str) -> bool {
        self.0.iter().any(|granted| covers(granted, permission))
    }

    /// One of the others that these do not cover: what somebody who has these must not give away.
    pub fn lacks<'o>(&self, others: &'o Self) -> Option<&'o str> {
        others.0.iter().map(String::as_str).find(|other| !self.cover(other))
    }

    /// How many of the catalogue they grant.
    pub fn count(&self) -> usize {
        catalogue::names().filter(|name| self.cover(name)).count()
    }
}

fn covers(granted: &str, permission: &str) -> bool {
    match granted.strip_suffix('*') {
        Some("") => true,
        Some(resource) => resource.ends_with('.') && permission.starts_with(resource),
        None => granted == permission,
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut permissions = Vec::new();
        for Permission(name) in Vec::<Permission>::deserialize(input)? {
            if !permissions.contains(&name) {
                permissions.push(name);
            }
        }
        Ok(Self(permissions))
    }
}

/// One of them, so that a name that is unknown is told by its place in the list.
struct Permission(String);

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let name = String::deserialize(input)?;
        if catalogue::knows(&name) { Ok(Self(name)) } else { Err(de::Error::custom("unknown permission")) }
    }
}

impl JsonSchema for Permissions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Permissions".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let wildcards = catalogue::CATALOGUE.iter().map(|group| format!("{}.*", group.resource));
        let names: Vec<String> = std::iter::once("*".to_owned()).chain(wildcards).chain(catalogue::names()).collect();
        json_schema!({"type": "array", "items": {"type": "string", "enum": names}, "examples": [["customer.view", "contact.*"]]})
    }
}

stored_as_json!(Permissions);

/// The user that an account is in this workspace, if any.
pub fn user(db: &Connection, account_id: i64) -> rusqlite::Result<Option<Insider>> {
    db.prepare_cached(
        "SELECT u.id, r.name, r.permissions, u.name FROM users u JOIN roles r ON r.id = u.role_id WHERE u.account_id = ?1",
    )?
    .query_row([account_id], |row| {
        Ok(Insider {
            actor: Actor::User { id: row.get(0)?, role: row.get(1)? },
            name: row.get(3)?,
            permissions: row.get(2)?,
            customer_id: None,
        })
    })
    .optional()
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

/// Whether an account owns a workspace that is in service; nothing where it is no member of it. In the central file.
pub fn owns(db: &Connection, account_id: i64, workspace: Uuid) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached(
        "SELECT w.owner_id = m.account_id FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
         WHERE m.account_id = ?1 AND w.id = ?2 AND w.status IN ('active', 'suspended')",
    )?
    .query_row((account_id, workspace.to_string()), |row| row.get(0))
    .optional()
}

/// The client that an OAuth access token was given to, if the token is good at this moment: what it was granted, and where
/// somebody approved it, no more than they may themselves.
pub fn client(db: &Connection, token: &AccessToken, now: Timestamp) -> rusqlite::Result<Result<Insider, TokenFault>> {
    let found = db
        .prepare_cached(
            "SELECT c.id, c.name, c.customer_id, g.user_id, g.access_scopes, r.permissions,
                    c.active AND g.revoked_at IS NULL AND g.serial = ?2
             FROM oauth_grants g JOIN oauth_clients c ON c.id = g.client_id
             LEFT JOIN users u ON u.id = g.user_id LEFT JOIN roles r ON r.id = u.role_id WHERE g.id = ?1",
        )?
        .query_row((token.grant_id, token.serial), |row| {
            if !row.get::<_, bool>(6)? {
                return Ok(Err(TokenFault::Revoked));
            }
            if token.expires_at <= now {
                return Ok(Err(TokenFault::Expired));
            }
            let granted = row.get::<_, Scopes>(4)?.permissions();
            let persons: Option<Permissions> = row.get(5)?;
            Ok(Ok(Insider {
                actor: Actor::Client { id: row.get(0)?, user_id: row.get(3)?, token: *token },
                name: row.get(1)?,
                permissions: match persons {
                    Some(persons) => granted.within(&persons),
                    None => granted,
                },
                customer_id: row.get(2)?,
            }))
        })
        .optional()?;
    Ok(found.unwrap_or(Err(TokenFault::Revoked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_whole_names_only() {
        for (granted, permission, covered) in [
            ("*", "customer.view", true),
            ("*", "customer.*", true),
            ("customer.*", "customer.view", true),
            ("customer.*", "customer.*", true),
            ("customer.*", "customers.view", false),
            ("customer.*", "*", false),
            ("customer.view", "customer.view", true),
            ("customer.view", "customer.viewer", false),
            ("customer.view", "customer.*", false),
            ("cust*", "customer.view", false),
        ] {
            assert_eq!(covers(granted, permission), covered, "{granted} {permission}");
        }
    }

    #[test]
    fn only_names_of_the_catalogue_are_taken_each_once() {
        let read = |text: &str| serde_json::from_str::<Permissions>(text);
        assert_eq!(read(r#"["customer.view","*","customer.view"]"#).unwrap().0, ["customer.view", "*"]);
        for bad in [r#"["customer.fly"]"#, r#"["dragon.*"]"#, r#"["customer"]"#, r#"[""]"#, r#"["cust*"]"#, r#""*""#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

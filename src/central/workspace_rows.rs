//! The rows of workspaces in the central file: who owns one, its name, its subdomain and its status.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::central_audit_log::{self, CentralAuditEvent};
use crate::api::Result;
use crate::api::field::{moment, text};
use crate::api::list::{ListSpec, Listable, find_row};
use crate::auth::Origin;
use crate::instance::Instance;
use crate::storage::uuid_column;
use crate::tenancy::Central;
use crate::values::{Name, Subdomain, Timestamp};

/// A workspace as one of its members sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Workspace {
    /// Id of the workspace.
    pub id: Uuid,
    /// Name of the workspace.
    pub name: String,
    /// Subdomain of the workspace.
    pub subdomain: String,
    /// Base URL of the workspace, without `/api`.
    pub url: String,
    /// Name of the caller's role; null in an operator's list of all workspaces.
    pub role: Option<String>,
    /// Whether the caller owns the workspace.
    pub owner: bool,
    /// `active` or `suspended`.
    pub status: String,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change to the workspace's name, subdomain, status or owner.
    pub updated_at: Timestamp,
}

impl Workspace {
    pub fn set_url(&mut self, instance: &Instance) {
        self.url = instance.public_url().workspace(&self.subdomain);
    }
}

/// The account that owns a workspace.
pub fn owner(db: &Connection, id: Uuid) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT owner_id FROM workspaces WHERE id = ?1")?.query_row([id.to_string()], |row| row.get(0))
}

/// The name of a workspace.
pub fn name(db: &Connection, id: Uuid) -> rusqlite::Result<String> {
    db.prepare_cached("SELECT name FROM workspaces WHERE id = ?1")?.query_row([id.to_string()], |row| row.get(0))
}

impl Central {
    pub fn workspace_owner(&self, id: Uuid) -> Result<i64> {
        self.read(move |db| Ok(owner(db, id)?))
    }

    pub fn workspace_name(&self, id: Uuid) -> Result<String> {
        self.read(move |db| Ok(name(db, id)?))
    }

    /// The workspace, if the account is a member of it.
    pub fn workspace_of_member(&self, account_id: i64, id: Uuid) -> Result<Option<Workspace>> {
        self.read(move |db| Ok(find_for(db, account_id, id)?))
    }

    /// The workspaces that an account is a member of.
    pub fn workspaces_of(&self, account_id: i64) -> Result<Vec<Workspace>> {
        self.read(move |db| Ok(of_account(db, account_id)?))
    }

    /// Every workspace except those with status `creating`, with the owner's address.
    pub fn all_workspaces(&self) -> Result<Vec<(Workspace, String)>> {
        self.read(|db| Ok(all(db)?))
    }

    /// The status of every workspace, by id.
    pub fn workspace_statuses(&self) -> Result<Vec<(Uuid, String)>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT id, status FROM workspaces ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((uuid_column(row, 0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The subdomains of all workspaces that have a host.
    pub fn subdomains(&self) -> Result<HashSet<String>> {
        self.read(|db| {
            let sql = "SELECT subdomain FROM workspaces WHERE status IN ('active', 'suspended')";
            Ok(db.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The status of a workspace. `None` if it does not exist.
    pub fn workspace_status(&self, id: Uuid) -> Result<Option<String>> {
        self.read(move |db| {
            let sql = "SELECT status FROM workspaces WHERE id = ?1";
            Ok(db.prepare_cached(sql)?.query_row([id.to_string()], |row| row.get(0)).optional()?)
        })
    }

    /// The subdomains of some workspaces, by id.
    pub fn subdomains_of(&self, ids: Vec<String>) -> Result<HashMap<String, String>> {
        let ids = serde_json::Value::from(ids).to_string();
        self.read(move |db| {
            let sql = "SELECT id, subdomain FROM workspaces WHERE id IN (SELECT value FROM json_each(?1))";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map([&ids], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The active workspace at this position in the order of ids. Positions past the end start again at the first id.
    pub fn active_workspace(&self, place: i64) -> Result<Option<Uuid>> {
        self.read(move |db| {
            let sql = "SELECT id FROM workspaces WHERE status = 'active' ORDER BY id
                       LIMIT 1 OFFSET ?1 % max(1, (SELECT count(*) FROM workspaces WHERE status = 'active'))";
            Ok(db.prepare_cached(sql)?.query_row([place], |row| uuid_column(row, 0)).optional()?)
        })
    }

    /// The active workspace whose id follows another one.
    pub fn active_workspace_after(&self, last: Uuid) -> Result<Option<Uuid>> {
        self.read(move |db| {
            let sql = "SELECT id FROM workspaces WHERE status = 'active' AND id > ?1 ORDER BY id LIMIT 1";
            Ok(db.prepare_cached(sql)?.query_row([last.to_string()], |row| uuid_column(row, 0)).optional()?)
        })
    }

    pub fn rename_workspace(&self, id: Uuid, name: Name<255>, subdomain: Subdomain, origin: Origin) -> Result<()> {
        self.write(move |db| rename(db, id, &name, &subdomain, &origin))
    }

    /// Sets the status to `active` or `suspended`. Returns whether the workspace exists and is not deleted.
    pub fn set_workspace_status(&self, id: Uuid, status: &'static str, origin: Origin) -> Result<bool> {
        self.write(move |db| Ok(set_status(db, id, status, &origin)?))
    }
}

pub fn rename(db: &Connection, id: Uuid, name: &str, subdomain: &str, origin: &Origin) -> Result<()> {
    db.execute(
        "UPDATE workspaces SET name = ?2, subdomain = ?3, updated_at = ?4 WHERE id = ?1",
        (id.to_string(), name, subdomain, origin.at),
    )?;
    let event = CentralAuditEvent::new("workspace.updated")
        .of_workspace(id)
        .with(json!({"name": name, "subdomain": subdomain}));
    Ok(central_audit_log::record(db, origin, event)?)
}

/// Sets the status to `active` or `suspended`. Returns whether the workspace exists and is not deleted.
pub fn set_status(db: &Connection, id: Uuid, status: &str, origin: &Origin) -> rusqlite::Result<bool> {
    let changed = db.execute(
        "UPDATE workspaces SET status = ?2, updated_at = ?3 WHERE id = ?1 AND status IN ('active', 'suspended')",
        (id.to_string(), status, origin.at),
    )?;
    let action = if status == "suspended" { "workspace.suspended" } else { "workspace.resumed" };
    central_audit_log::record(db, origin, CentralAuditEvent::new(action).of_workspace(id))?;
    Ok(changed > 0)
}

/// Every workspace except those with status `creating`, with the owner's address. For the command line.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<(Workspace, String)>> {
    let mut statement = db.prepare(
        "SELECT w.id, w.name, w.subdomain, NULL, 0, w.status, w.created_at, w.updated_at, a.email
         FROM workspaces w JOIN accounts a ON a.id = w.owner_id WHERE w.status <> 'creating' ORDER BY w.created_at, w.id",
    )?;
    statement.query_map([], |row| Ok((Workspace::from_row(row)?, row.get(8)?)))?.collect()
}

/// The workspace with this subdomain or id. Several workspaces in the trash may have had the same subdomain. A
/// workspace in service takes precedence, then the one that was deleted last.
pub fn named(all: Vec<(Workspace, String)>, which: &str) -> Option<(Workspace, String)> {
    let id = which.parse::<Uuid>().ok();
    let is_meant = |workspace: &Workspace| Some(workspace.id) == id || workspace.subdomain == which;
    all.into_iter()
        .filter(|(workspace, _)| is_meant(workspace))
        .max_by_key(|(workspace, _)| (workspace.status != "trashed", workspace.updated_at))
}

/// The workspaces of which the account is a member.
pub fn of_account(db: &Connection, account_id: i64) -> rusqlite::Result<Vec<Workspace>> {
    let ListSpec { table, columns, .. } = Workspace::LISTING;
    db.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE account_id = ?1 ORDER BY id"))?
        .query_map([account_id], Workspace::from_row)?
        .collect()
}

/// The workspace, if the account is a member of it.
pub fn find_for(db: &Connection, account_id: i64, id: Uuid) -> rusqlite::Result<Option<Workspace>> {
    find_row(db, "account_id = ?1 AND id = ?2", (account_id, id.to_string()))
}

impl Listable for Workspace {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT w.id, w.name, w.subdomain, m.role, w.owner_id = m.account_id AS owner, w.status, w.created_at,
                        w.updated_at, m.account_id
                 FROM workspaces w JOIN memberships m ON m.workspace_id = w.id
                 WHERE w.status IN ('active', 'suspended')
                 UNION ALL
                 SELECT id, name, subdomain, NULL, 0, status, created_at, updated_at, 0 FROM workspaces
                 WHERE status IN ('active', 'suspended'))",
        columns: "id, name, subdomain, role, owner, status, created_at, updated_at",
        fields: &[text("name").sorted_by("fold(name)"), text("subdomain").sorted(), moment("created_at").sorted()],
        plain_filters: false,
        newest_first: false,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: uuid_column(row, 0)?,
            name: row.get(1)?,
            subdomain: row.get(2)?,
            url: String::new(),
            role: row.get(3)?,
            owner: row.get(4)?,
            status: row.get(5)?,
            created_at: row.get(6)?,
            updated_at: row.get(7)?,
        })
    }
}

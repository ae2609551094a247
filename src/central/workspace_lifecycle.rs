//! The lifecycle of a workspace: created, activated, in the trash, restored, deleted.
//!
//! A workspace is a row in the central file and a separate file. The row is written first: it reserves the subdomain,
//! and its status is `creating` until the file exists.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::central_audit_log::{self, CentralAuditEvent};
use super::quotas::Quotas;
use super::workspace_rows::Workspace;
use super::{accounts, credentials, memberships};
use crate::api::{Error, Result};
use crate::auth::Origin;
use crate::instance::Instance;
use crate::storage::uuid_column;
use crate::tenancy::lifecycle::{self, NewWorkspaceFile, OWNERS_ROLE, Owner};
use crate::tenancy::{Central, kept_uploads};
use crate::values::{Name, Subdomain, Timestamp};

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewWorkspace {
    /// Name of the workspace.
    #[schemars(example = &"Acme")]
    pub name: Name<255>,
    /// Subdomain. Default: derived from the name.
    pub subdomain: Option<Subdomain>,
}

/// Creates a workspace with its row and file, for an account whose quota allows it. The caller chooses an id that this server
/// serves.
pub fn create_workspace(
    instance: &Arc<Instance>,
    id: Uuid,
    new: NewWorkspace,
    account_id: i64,
    quotas: Quotas,
    origin: &Origin,
) -> Result<Workspace> {
    let now = origin.at;
    let (owner, workspace) = instance.central.write(move |db| {
        quotas.check_workspaces(db, account_id)?;
        let account = accounts::find(db, account_id)?;
        let workspace = reserve(db, id, &new, account_id, now)?;
        Ok::<_, Error>((Owner { account_id, name: account.name, email: account.email }, workspace))
    })?;
    create_file(instance, workspace, owner, origin)
}

/// Writes the row of a workspace whose file does not exist yet, and its owner's membership.
pub fn reserve(db: &Connection, id: Uuid, new: &NewWorkspace, owner_id: i64, now: Timestamp) -> Result<Workspace> {
    let subdomain = match &new.subdomain {
        Some(subdomain) => subdomain.clone(),
        None => free_subdomain(db, &new.name)?,
    };
    db.execute(
        "INSERT INTO workspaces (id, name, subdomain, status, owner_id, created_at, updated_at)
         VALUES (?1, ?2, ?3, 'creating', ?4, ?5, ?5)",
        (id.to_string(), &new.name, &subdomain, owner_id, now),
    )?;
    memberships::save(db, owner_id, id, OWNERS_ROLE, now)?;
    Ok(Workspace {
        id,
        name: new.name.to_string(),
        subdomain: subdomain.to_string(),
        url: String::new(),
        role: Some(OWNERS_ROLE.into()),
        owner: true,
        status: "active".into(),
        created_at: now,
        updated_at: now,
    })
}

/// Creates the file of a reserved workspace and activates the workspace. If that fails, the row is deleted.
pub fn create_file(instance: &Arc<Instance>, workspace: Workspace, owner: Owner, origin: &Origin) -> Result<Workspace> {
    let (id, account_id) = (workspace.id, owner.account_id);
    let beginning = NewWorkspaceFile {
        id,
        name: workspace.name.clone(),
        owner,
        default_country: instance.config.default_country.clone(),
        timezone: instance.config.timezone.clone(),
        now: origin.at,
    };
    let origin = origin.clone();
    let event = CentralAuditEvent::new("workspace.created").about(account_id).of_workspace(id);
    let event = event.with(json!({"name": workspace.name, "subdomain": workspace.subdomain}));
    let open = move |db: &Connection| {
        activate(db, id)?;
        Ok::<_, Error>(central_audit_log::record(db, &origin, event.clone())?)
    };
    let made = instance.template.make(&instance.registry.path(id), &beginning).map_err(Error::from);
    let stored = made.and_then(|()| Ok(instance.store_workspace(id)?));
    match stored.and_then(|()| instance.central.write(open)) {
        Ok(()) => Ok(workspace),
        Err(error) => {
            undo_reservation(instance, id)?;
            Err(error)
        }
    }
}

/// Activates a reserved workspace after its file was created.
pub fn activate(db: &Connection, id: Uuid) -> rusqlite::Result<()> {
    db.execute("UPDATE workspaces SET status = 'active' WHERE id = ?1 AND status = 'creating'", [id.to_string()])?;
    Ok(())
}

/// Deletes a reservation and its partial file. The file is deleted first, because deleting the row may need its disk
/// space.
pub fn undo_reservation(instance: &Instance, id: Uuid) -> Result<()> {
    let is_reserved = instance.central.read(move |db| {
        let sql = "SELECT 1 FROM workspaces WHERE id = ?1 AND status = 'creating'";
        Ok::<_, Error>(db.prepare_cached(sql)?.exists([id.to_string()])?)
    })?;
    if !is_reserved {
        return Ok(());
    }
    let path = instance.registry.path(id);
    lifecycle::delete_file(&path)?;
    lifecycle::delete_file(&path.with_extension("new"))?;
    instance.central.write(move |db| {
        db.execute("DELETE FROM workspaces WHERE id = ?1 AND status = 'creating'", [id.to_string()])?;
        Ok(())
    })
}

/// Seconds after which an unfinished creation counts as aborted.
const RESERVATION_TIMEOUT: i64 = 3600;

/// Deletes aborted reservations, left by a crash or by a disk that was too full to delete them at once.
pub fn undo_abandoned_reservations(instance: &Instance, now: Timestamp) -> Result<()> {
    let unfinished: Vec<Uuid> = instance.central.read(move |db| {
        let sql = "SELECT id FROM workspaces WHERE status = 'creating' AND created_at <= ?1";
        let mut statement = db.prepare_cached(sql)?;
        let ids = statement.query_map([now.plus(-RESERVATION_TIMEOUT)], |row| uuid_column(row, 0))?;
        Ok::<_, Error>(ids.collect::<rusqlite::Result<_>>()?)
    })?;
    unfinished.into_iter().try_for_each(|id| undo_reservation(instance, id))
}

/// The first free subdomain of `name`, `name-2`, `name-3`, …
fn free_subdomain(db: &Connection, name: &str) -> Result<Subdomain> {
    let first = Subdomain::from_name(name);
    let mut taken = db.prepare_cached("SELECT 1 FROM workspaces WHERE subdomain = ?1 AND status <> 'trashed'")?;
    let mut candidate = first.clone();
    for n in 2.. {
        if !taken.exists([&candidate])? {
            break;
        }
        candidate = first.numbered(n);
    }
    Ok(candidate)
}

/// The first half of a deletion: from now on, requests are rejected. [`move_to_trash`] then moves the file.
pub fn trash(db: &Connection, id: Uuid, origin: &Origin) -> Result<()> {
    let now = origin.at;
    credentials::revoke_workspace(db, id, now)?;
    db.execute(
        "UPDATE workspaces SET status = 'trashed', trashed_at = ?2, updated_at = ?2 WHERE id = ?1",
        (id.to_string(), now),
    )?;
    Ok(central_audit_log::record(db, origin, CentralAuditEvent::new("workspace.deleted").of_workspace(id))?)
}

/// Takes a workspace out of service like a deletion, but keeps its tokens. Its trash date is in the future, so that the
/// trash cannot be emptied meanwhile.
pub fn take_offline(db: &Connection, id: Uuid, now: Timestamp) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE workspaces SET status = 'trashed', trashed_at = ?2, updated_at = ?3 WHERE id = ?1",
        (id.to_string(), now.plus(86_400), now),
    )?;
    Ok(())
}

/// The second half of a deletion, once the last request has finished. Idempotent.
///
/// The file is moved inside a write to the central file, so that no restore in any process can interfere.
pub fn move_to_trash(instance: &Arc<Instance>, id: Uuid) -> Result<()> {
    instance.registry.close(id, instance.config.statement_timeout)?;
    let inside = Arc::clone(instance);
    instance.central.write(move |db| {
        let trashed: bool = db.query_row(
            "SELECT EXISTS (SELECT 1 FROM workspaces WHERE id = ?1 AND status = 'trashed')",
            [id.to_string()],
            |row| row.get(0),
        )?;
        if trashed {
            kept_uploads::delete_of_workspace(&inside.config.data_dir, id)?;
            lifecycle::move_file(&inside.registry.path(id), &inside.trash_path(id))?;
        }
        Ok(())
    })
}

/// Restores a workspace from the trash, under its old subdomain or another one.
pub fn restore(instance: &Arc<Instance>, id: Uuid, subdomain: Option<Subdomain>, origin: &Origin) -> Result<()> {
    let (inside, origin) = (Arc::clone(instance), origin.clone());
    instance.central.write(move |db| {
        let old: Option<String> = db
            .query_row(
                "SELECT subdomain FROM workspaces WHERE id = ?1 AND status = 'trashed'",
                [id.to_string()],
                |row| row.get(0),
            )
            .optional()?;
        let old = old.ok_or_else(Error::workspace_not_found)?;
        db.execute(
            "UPDATE workspaces SET status = 'active', trashed_at = NULL, subdomain = ?2, updated_at = ?3 WHERE id = ?1",
            (id.to_string(), subdomain.as_deref().unwrap_or(&old), origin.at),
        )?;
        central_audit_log::record(db, &origin, CentralAuditEvent::new("workspace.restored").of_workspace(id))?;
        lifecycle::move_file(&inside.trash_path(id), &inside.registry.path(id))?;
        Ok(())
    })
}

impl Central {
    /// The first half of a deletion: see [`trash`].
    pub fn trash_workspace(&self, id: Uuid, origin: Origin) -> Result<()> {
        self.write(move |db| trash(db, id, &origin))
    }

    pub fn workspaces_trashed_before(&self, moment: i64) -> Result<Vec<Uuid>> {
        self.read(move |db| {
            let sql = "SELECT id FROM workspaces WHERE status = 'trashed' AND trashed_at <= ?1";
            let mut statement = db.prepare_cached(sql)?;
            let ids = statement.query_map([moment], |row| uuid_column(row, 0))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Deletes a workspace that is in the trash, and its file there.
    pub fn delete_trashed_workspace(&self, id: Uuid, file: PathBuf) -> Result<()> {
        self.write(move |db| {
            let gone = db.execute("DELETE FROM workspaces WHERE id = ?1 AND status = 'trashed'", [id.to_string()])?;
            if gone > 0 {
                lifecycle::delete_file(&file)?;
            }
            Ok(())
        })
    }
}

//! Export of a workspace to one file as a consistent snapshot, and import of such a file on another server.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::central_audit_log::{self, CentralAuditEvent};
use super::invitations::{self, Guest, InviteRole, Inviter};
use super::quotas::Quotas;
use super::workspace_lifecycle::{self, NewWorkspace};
use super::workspace_rows::Workspace;
use super::{accounts, memberships, webhook_workspaces};
use crate::api::resource::Resource;
use crate::api::{self, BlockingCtx, Error, FileResponse, Needs, Result, Route, get, long_running, require_active};
use crate::auth::Origin;
use crate::durable_fs;
use crate::instance::Instance;
use crate::storage;
use crate::tenancy::lifecycle::{self, Owner};
use crate::tenancy::workspace_import::{Candidate, ImportedUsers, Rejoined};
use crate::values::{Email, Name, Subdomain, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Workspace files", "Export a whole workspace as one file.", ROUTES).french("Fichiers des espaces");

const ROUTES: &[Route] =
    &[get("/workspaces/{id}/export", &long_running(export), Needs::Owner, "Export a workspace as its SQLite file")
        .named("exportWorkspace")];

/// Exports a copy, so that a slow client blocks nothing. A copy needs as much disk space as the workspace, so it runs
/// on the few threads for long-running work.
fn export(ctx: &BlockingCtx<'_>, api::Uuid(id): api::Uuid) -> Result<FileResponse> {
    let listed = ctx.instance.directory.current(&ctx.instance.keys)?.by_id(id)?;
    let subdomain = listed.as_ref().map(|listed| listed.subdomain.clone()).unwrap_or_default();
    require_active(listed)?;
    let temp_dir = ctx.instance.temp_dir()?;
    let path = temp_dir.file("copy.sqlite");
    snapshot(ctx.instance, id, &path)?;
    let event = CentralAuditEvent::new("workspace.exported").of_workspace(id);
    ctx.instance.central.record_event(ctx.request.origin(), event)?;
    // The copy has no name any more while it is sent. It exists as long as it is open, even if the server crashes.
    let copy = File::open(&path).context("cannot read the copy")?;
    Ok(FileResponse { file: copy, kind: "application/octet-stream", name: format!("{subdomain}.sqlite") })
}

/// Writes a consistent snapshot of a workspace to a separate file. Writers are not blocked.
pub fn snapshot(instance: &Instance, id: Uuid, to: &Path) -> Result<()> {
    let lease = instance.registry.lease(id);
    lease.file().open()?;
    let copied = storage::snapshot(lease.file().path(), to);
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    Ok(copied?)
}

/// Name, subdomain and owner for an imported workspace.
pub struct PlacementOptions {
    pub name: Option<Name<255>>,
    pub subdomain: Option<Subdomain>,
    pub owner: Email,
}

/// The result of an import.
pub struct ImportedWorkspace {
    pub workspace: Workspace,
    pub adopted: ImportedUsers,
    /// Whether the id of the workspace in the file is already in use here. The import then gets a new id.
    pub is_copy: bool,
}

/// Imports a workspace from a file. The file stays unchanged. As for a new workspace, the row is written first.
pub fn import(
    instance: &Arc<Instance>,
    source: &Path,
    wish: PlacementOptions,
    now: Timestamp,
) -> anyhow::Result<ImportedWorkspace> {
    with_copy(instance, source, |copy| import_copy(instance, copy, wish, now))
}

/// Runs `work` on a copy of a file. The copy is deleted afterwards, unless `work` has moved it.
fn with_copy<T>(
    instance: &Instance,
    source: &Path,
    work: impl FnOnce(&Path) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let log = storage::companion_path(source, "-wal");
    anyhow::ensure!(
        fs::metadata(&log).map_or(true, |log| log.len() == 0),
        "{} has a write-ahead log: it is in use or was not closed. Export the workspace instead",
        source.display()
    );
    let temp_dir = instance.temp_dir()?;
    let copy = temp_dir.file("copy.sqlite");
    fs::copy(source, &copy).with_context(|| format!("cannot copy {}", source.display()))?;
    work(&copy)
}

fn import_copy(
    instance: &Arc<Instance>,
    copy: &Path,
    wish: PlacementOptions,
    now: Timestamp,
) -> anyhow::Result<ImportedWorkspace> {
    let candidate = Candidate::open(copy, instance.template.path_or_create()?)?;
    let name = match wish.name {
        Some(name) => name,
        None => Name::parse(candidate.name.clone()).map_err(anyhow::Error::msg)?,
    };
    let new = NewWorkspace { name, subdomain: wish.subdomain };
    let (said, emails) = (candidate.id, candidate.users.iter().map(|user| user.email.clone()).collect::<Vec<_>>());
    let (owner, ours, workspace) = instance.central.write(move |db| {
        let owner = accounts::find_by_email(db, &wish.owner)?.map(|(account, _)| account);
        let owner = owner.ok_or_else(|| Error::NotFound {
            code: "not_found",
            message: format!("There is no account {}.", &*wish.owner),
        })?;
        let mut ours = HashMap::new();
        for email in &emails {
            // Any account may have entered any address. Only a verified address gives access.
            if let Some(account) = accounts::find_by_verified_email(db, email)? {
                ours.insert(email.to_lowercase(), account.id);
            }
        }
        ours.insert(owner.email.to_lowercase(), owner.id);
        let sql = "SELECT 1 FROM workspaces WHERE id = ?1";
        let is_here = db.query_row(sql, [said.to_string()], |_| Ok(())).optional()?.is_some();
        let id = if is_here { Uuid::now_v7() } else { said };
        let workspace = workspace_lifecycle::reserve(db, id, &new, owner.id, now)?;
        Ok::<_, Error>((owner, ours, workspace))
    })?;
    let id = workspace.id;
    let owner = Owner { account_id: owner.id, name: owner.name, email: owner.email };
    let recorder = instance.system_recorder(id, now);
    let adopted = candidate.import(&recorder, &owner, &ours).and_then(|adopted| {
        lifecycle::put_in_place(&instance.config.data_dir, copy, &instance.registry.path(id))?;
        instance.store_workspace(id)?;
        Ok(adopted)
    });
    let adopted = match adopted {
        Ok(adopted) => adopted,
        Err(error) => {
            workspace_lifecycle::undo_reservation(instance, id)?;
            return Err(error);
        }
    };
    let (members, guests) = (adopted.members.clone(), adopted.guests.clone());
    let opened = instance.central.write(move |db| {
        workspace_lifecycle::activate(db, id)?;
        for (account_id, role) in &members {
            memberships::save(db, *account_id, id, role, now)?;
        }
        for user in &guests {
            let guest = Guest {
                workspace: id,
                email: user.email.parse().map_err(Error::Internal)?,
                name: Name::parse(user.name.clone()).ok(),
                role: InviteRole { id: user.role.id, name: user.role.name.clone() },
                inviter: Inviter { id: None, name: owner.name.clone() },
            };
            invitations::create(db, &guest, Quotas::default(), now)?;
        }
        let event = CentralAuditEvent::new("workspace.imported").about(owner.account_id).of_workspace(id);
        central_audit_log::record(db, &Origin::system(now), event)?;
        Ok::<_, Error>(webhook_workspaces::add(db, id)?)
    });
    if let Err(error) = opened {
        workspace_lifecycle::undo_reservation(instance, id)?;
        return Err(error.into());
    }
    Ok(ImportedWorkspace { workspace, adopted, is_copy: id != said })
}

/// The result of putting a file back.
pub struct RestoredWorkspace {
    pub users: Rejoined,
    /// Path of the replaced file, if there was one.
    pub replaced: Option<PathBuf>,
}

/// Maximum time for a running server to close a file.
const LETTING_GO: Duration = Duration::from_secs(30);

/// Interval of the checks whether the file is closed.
const LOOK: Duration = Duration::from_millis(50);

/// Replaces a damaged or lost file of a workspace by an earlier export. The name, the subdomain and the members of the
/// workspace stay as they are now. Its data are those of the export.
///
/// The workspace goes through the trash like a deletion and a restore. A running server therefore closes the file, and
/// no request reaches the workspace meanwhile. If the operation is interrupted, the workspace is in the trash, and
/// repeating the command continues.
pub fn restore_from(
    instance: &Arc<Instance>,
    workspace: &Workspace,
    source: &Path,
    now: Timestamp,
) -> anyhow::Result<RestoredWorkspace> {
    let id = workspace.id;
    with_copy(instance, source, |copy| {
        let candidate = Candidate::open(copy, instance.template.path_or_create()?)?;
        anyhow::ensure!(
            candidate.id == id,
            "the file belongs to workspace {}, not to {id}. Use `import-file` to import it as another workspace",
            candidate.id
        );
        instance.central.write(move |db| Ok::<_, Error>(workspace_lifecycle::take_offline(db, id, now)?))?;
        let exchanged = replace_file(instance, id, candidate, copy, now);
        // Restored in either case. If the exchange failed, the old file is still in place.
        workspace_lifecycle::restore(instance, id, None, &Origin::system(now))?;
        if workspace.status == "suspended" {
            instance.central.set_workspace_status(id, "suspended", Origin::system(now))?;
        }
        exchanged
    })
}

/// Replaces the file of a deleted workspace by the copy, and keeps the old file under another name.
fn replace_file(
    instance: &Arc<Instance>,
    id: Uuid,
    candidate: Candidate,
    copy: &Path,
    now: Timestamp,
) -> anyhow::Result<RestoredWorkspace> {
    let members = instance.central.read(move |db| Ok::<_, Error>(memberships::of_workspace(db, id)?))?;
    let users = candidate.restore_users(&instance.system_recorder(id, now), &members)?;
    let old = instance.trash_path(id);
    // Looked at before a placeholder takes the place of a lost file: a server that opens the placeholder writes into it.
    let is_there = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() > 0);
    let had_one = is_there(&instance.registry.path(id)) || is_there(&old);
    take_out_of_service(instance, id)?;
    let aside = old.with_file_name(format!("{id}-replaced-{}.sqlite", now.seconds()));
    if had_one {
        lifecycle::move_file(&old, &aside)?;
    } else {
        lifecycle::delete_file(&old)?;
    }
    lifecycle::put_in_place(&instance.config.data_dir, copy, &old)?;
    instance.central.add_webhook_workspace(id)?;
    Ok(RestoredWorkspace { users, replaced: had_one.then_some(aside) })
}

/// Moves the file of a deleted workspace to the trash, or waits until a running server has closed and moved it.
fn take_out_of_service(instance: &Arc<Instance>, id: Uuid) -> anyhow::Result<()> {
    let live = instance.registry.path(id);
    // The server may have the file open although it is gone from its folder. A placeholder shows when the server has
    // closed the file.
    if instance.is_running() && !live.exists() {
        durable_fs::create_folder(durable_fs::folder_of(&live)?)?;
        File::create(&live).with_context(|| format!("cannot create {}", live.display()))?;
    }
    let until = Instant::now() + LETTING_GO;
    while instance.is_running() && live.exists() {
        anyhow::ensure!(Instant::now() < until, "the running server has not closed the workspace's file. Try again");
        std::thread::sleep(LOOK);
    }
    Ok(workspace_lifecycle::move_to_trash(instance, id)?)
}

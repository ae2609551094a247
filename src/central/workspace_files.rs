//! Workspaces as files that are carried about: taken from one server, whole and at one moment, and brought in on another.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::audit_log::{self, Event};
use super::invitations::{self, Guest, InviteRole, Inviter};
use super::quotas::Quotas;
use super::workspaces::{self, NewWorkspace, Workspace};
use super::{accounts, memberships, webhook_workspaces};
use crate::api::{self, Error, FileReply, Needs, Result, Route, Steps, bulk, get, in_service};
use crate::auth::Origin;
use crate::durable_fs;
use crate::engine::Engine;
use crate::storage;
use crate::tenancy::adoption::{Adopted, Candidate, Rejoined};
use crate::tenancy::life::{self, Owner};
use crate::values::{Email, Name, Subdomain, Timestamp};

pub const ROUTES: &[Route] =
    &[get("/workspaces/{id}/export", &bulk(export), Needs::Owner, "Export a workspace as its SQLite file")
        .named("exportWorkspace")];

/// A copy is made first: whoever reads slowly then keeps nothing from going on. Few at a time, as of all that is done in
/// bulk, since it takes as much of the disk as the workspace does.
fn export(steps: &Steps<'_>, api::Uuid(id): api::Uuid) -> Result<FileReply> {
    let listed = steps.engine.directory.current(&steps.engine.keys)?.identified(id)?;
    let subdomain = listed.as_ref().map(|listed| listed.subdomain.clone()).unwrap_or_default();
    in_service(listed)?;
    let scratch = steps.engine.scratch()?;
    let path = scratch.file("copy.sqlite");
    snapshot(steps.engine, id, &path)?;
    let event = Event::new("workspace.exported").of_workspace(id);
    steps.engine.central.record_event(steps.call.origin(), event)?;
    // It has no name any more when it is sent: it is there as long as it is being read, whatever becomes of the server.
    let copy = File::open(&path).context("cannot read the copy")?;
    Ok(FileReply { file: copy, kind: "application/octet-stream", name: format!("{subdomain}.sqlite") })
}

/// Writes a workspace as it is at this moment into a file of its own, while others go on writing.
pub fn snapshot(engine: &Engine, id: Uuid, to: &Path) -> Result<()> {
    let lease = engine.registry.lease(id);
    lease.file().open()?;
    let copied = storage::snapshot(lease.file().path(), to);
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    Ok(copied?)
}

/// What a workspace that is brought in is to be called, and whose it is to be.
pub struct Wish {
    pub name: Option<Name<255>>,
    pub subdomain: Option<Subdomain>,
    pub owner: Email,
}

/// What became of the file.
pub struct BroughtIn {
    pub workspace: Workspace,
    pub adopted: Adopted,
    /// Whether the workspace that the file says it is, is here already: then this is another one.
    pub is_copy: bool,
}

/// Brings in a workspace by its file, which stays as it is. The row is written first, as for a new one.
pub fn bring_in(engine: &Arc<Engine>, source: &Path, wish: Wish, now: Timestamp) -> anyhow::Result<BroughtIn> {
    with_copy(engine, source, |copy| bring_in_copy(engine, copy, wish, now))
}

/// Works on a copy of a file, which is gone in the end unless the work has moved it to where it belongs.
fn with_copy<T>(engine: &Engine, source: &Path, work: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let log = storage::beside(source, "-wal");
    anyhow::ensure!(
        fs::metadata(&log).map_or(true, |log| log.len() == 0),
        "{} has a log beside it: it is in use, or was not closed; export the workspace instead",
        source.display()
    );
    let scratch = engine.scratch()?;
    let copy = scratch.file("copy.sqlite");
    fs::copy(source, &copy).with_context(|| format!("cannot copy {}", source.display()))?;
    work(&copy)
}

fn bring_in_copy(engine: &Arc<Engine>, copy: &Path, wish: Wish, now: Timestamp) -> anyhow::Result<BroughtIn> {
    let candidate = Candidate::open(copy, engine.template.ready()?)?;
    let name = match wish.name {
        Some(name) => name,
        None => Name::parse(candidate.name.clone()).map_err(anyhow::Error::msg)?,
    };
    let new = NewWorkspace { name, subdomain: wish.subdomain };
    let (said, emails) = (candidate.id, candidate.users.iter().map(|user| user.email.clone()).collect::<Vec<_>>());
    let (owner, ours, workspace) = engine.central.write(move |db| {
        let owner = accounts::find_by_email(db, &wish.owner)?.map(|(account, _)| account);
        let owner = owner.ok_or_else(|| Error::NotFound {
            code: "not_found",
            message: format!("There is no account {}.", &*wish.owner),
        })?;
        let mut ours = HashMap::new();
        for email in &emails {
            // Anybody may have entered an address; only who has proven it is let in by it.
            if let Some(account) = accounts::find_by_verified_email(db, email)? {
                ours.insert(email.to_lowercase(), account.id);
            }
        }
        ours.insert(owner.email.to_lowercase(), owner.id);
        let sql = "SELECT 1 FROM workspaces WHERE id = ?1";
        let is_here = db.query_row(sql, [said.to_string()], |_| Ok(())).optional()?.is_some();
        let id = if is_here { Uuid::now_v7() } else { said };
        let workspace = workspaces::reserve(db, id, &new, owner.id, now)?;
        Ok::<_, Error>((owner, ours, workspace))
    })?;
    let id = workspace.id;
    let owner = Owner { account_id: owner.id, name: owner.name, email: owner.email };
    let author = engine.system(id, now);
    let adopted = candidate.adopt(&author, &owner, &ours).and_then(|adopted| {
        durable_fs::rename(copy, &engine.registry.path(id))?;
        Ok(adopted)
    });
    let adopted = match adopted {
        Ok(adopted) => adopted,
        Err(error) => {
            workspaces::give_up(engine, id)?;
            return Err(error);
        }
    };
    let (members, guests) = (adopted.members.clone(), adopted.guests.clone());
    let opened = engine.central.write(move |db| {
        workspaces::activate(db, id)?;
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
        let event = Event::new("workspace.imported").about(owner.account_id).of_workspace(id);
        audit_log::record(db, &Origin::system(now), event)?;
        Ok::<_, Error>(webhook_workspaces::add(db, id)?)
    });
    if let Err(error) = opened {
        workspaces::give_up(engine, id)?;
        return Err(error.into());
    }
    Ok(BroughtIn { workspace, adopted, is_copy: id != said })
}

/// What became of a workspace that has another file now.
pub struct PutBack {
    pub users: Rejoined,
    /// Where the file is that it had, if it had one.
    pub replaced: Option<PathBuf>,
}

/// How long a server that runs may take to let go of a file.
const LETTING_GO: Duration = Duration::from_secs(30);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Gives a workspace the file that was exported of it, in the place of one that is damaged, or lost. What it is called, and
/// who belongs to it, stays as it is; what is in it is as it was then.
///
/// It goes the way of a deletion and a restore: so a server that runs closes the file, and nobody is in it meanwhile.
/// Where that is interrupted, the workspace is in the trash, and the same again goes on from there.
pub fn put_back(engine: &Arc<Engine>, workspace: &Workspace, source: &Path, now: Timestamp) -> anyhow::Result<PutBack> {
    let id = workspace.id;
    with_copy(engine, source, |copy| {
        let candidate = Candidate::open(copy, engine.template.ready()?)?;
        anyhow::ensure!(
            candidate.id == id,
            "the file is that of workspace {}, and not of {id}: `import-file` brings it in beside it",
            candidate.id
        );
        engine.central.write(move |db| Ok::<_, Error>(workspaces::set_aside(db, id, now)?))?;
        let exchanged = exchange(engine, id, candidate, copy, now);
        // In either case: where it failed, the old file is what there is.
        workspaces::restore(engine, id, None, &Origin::system(now))?;
        if workspace.status == "suspended" {
            engine.central.set_workspace_status(id, "suspended", Origin::system(now))?;
        }
        exchanged
    })
}

/// Puts the copy where the file of a deleted workspace lies, and that file beside it.
fn exchange(
    engine: &Arc<Engine>,
    id: Uuid,
    candidate: Candidate,
    copy: &Path,
    now: Timestamp,
) -> anyhow::Result<PutBack> {
    let members = engine.central.read(move |db| Ok::<_, Error>(memberships::of_workspace(db, id)?))?;
    let users = candidate.rejoin(&engine.system(id, now), &members)?;
    take_out_of_service(engine, id)?;
    let old = engine.trash_path(id);
    let aside = old.with_file_name(format!("{id}-replaced-{}.sqlite", now.seconds()));
    let had_one = fs::metadata(&old).is_ok_and(|old| old.len() > 0);
    if had_one {
        life::move_file(&old, &aside)?;
    } else {
        life::delete_file(&old)?;
    }
    durable_fs::rename(copy, &old)?;
    engine.central.add_webhook_workspace(id)?;
    Ok(PutBack { users, replaced: had_one.then_some(aside) })
}

/// Moves the file of a deleted workspace to the trash, or waits until a server that runs has closed it and done so.
fn take_out_of_service(engine: &Arc<Engine>, id: Uuid) -> anyhow::Result<()> {
    let live = engine.registry.path(id);
    // The server has a file open though it is gone from its folder; one that stands in for it is seen to go.
    if engine.is_served() && !live.exists() {
        durable_fs::create_folder(durable_fs::folder_of(&live)?)?;
        File::create(&live).with_context(|| format!("cannot make {}", live.display()))?;
    }
    let until = Instant::now() + LETTING_GO;
    while engine.is_served() && live.exists() {
        anyhow::ensure!(
            Instant::now() < until,
            "the server that runs has not let go of the workspace's file: try again"
        );
        std::thread::sleep(LOOK);
    }
    Ok(workspaces::move_to_trash(engine, id)?)
}

//! Workspaces as files that are carried about: taken from one server, whole and at one moment, and brought in on another.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::invitations::{self, Guest, InviteRole, Inviter};
use super::workspaces::{self, NewWorkspace, Workspace};
use super::{accounts, memberships, webhook_workspaces};
use crate::api::{self, Error, FileReply, Needs, Result, Route, Steps, bulk, get, in_service};
use crate::engine::Engine;
use crate::storage;
use crate::tenancy::adoption::{Adopted, Candidate};
use crate::tenancy::life::{self, Owner};
use crate::values::{Email, Name, Subdomain, Timestamp};

pub const ROUTES: &[Route] =
    &[get("/workspaces/{id}/export", &bulk(export), Needs::Owner, "Export a workspace as its SQLite file")];

/// A copy is made first: whoever reads slowly then keeps nothing from going on. Few at a time, as of all that is done in
/// bulk, since it takes as much of the disk as the workspace does.
fn export(steps: &Steps<'_>, api::Uuid(id): api::Uuid) -> Result<FileReply> {
    let listed = steps.engine.directory.current(&steps.engine.keys)?.identified(id)?;
    let subdomain = listed.as_ref().map(|listed| listed.subdomain.clone()).unwrap_or_default();
    in_service(listed)?;
    let path = steps.engine.snapshot_path();
    snapshot(steps.engine, id, &path)?;
    let copy = File::open(&path).context("cannot read the copy")?;
    // It is there as long as it is being read, whatever becomes of the server.
    fs::remove_file(&path).context("cannot delete the copy")?;
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
    let log = life::beside(source, "-wal");
    anyhow::ensure!(
        fs::metadata(&log).map_or(true, |log| log.len() == 0),
        "{} has a log beside it: it is in use, or was not closed; export the workspace instead",
        source.display()
    );
    let copy = engine.snapshot_path();
    fs::copy(source, &copy).with_context(|| format!("cannot copy {}", source.display()))?;
    let done = bring_in_copy(engine, &copy, wish, now);
    life::delete_file(&copy)?;
    done
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
            if let Some((account, _)) = accounts::find_by_email(db, email)? {
                ours.insert(email.to_lowercase(), account.id);
            }
        }
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
        life::settle_file(copy, &engine.registry.path(id))?;
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
    engine.central.write(move |db| {
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
            invitations::create(db, &guest, now)?;
        }
        Ok::<_, Error>(webhook_workspaces::add(db, id)?)
    })?;
    Ok(BroughtIn { workspace, adopted, is_copy: id != said })
}

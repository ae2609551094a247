//! `cx-engine workspace`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::bulk;
use super::table::aligned;
use crate::auth::Origin;
use crate::central::quotas::Quotas;
use crate::central::workspace_files::{self, BroughtIn, PutBack, Wish};
use crate::central::workspaces::{self, NewWorkspace, Workspace};
use crate::cli::output::{out, outln};
use crate::engine::Engine;
use crate::tenancy::life;
use crate::values::{Name, Subdomain, Timestamp};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Create a workspace for an account
    Create {
        /// Name of the workspace
        #[arg(long)]
        name: String,
        /// Subdomain [default: derived from the name]
        #[arg(long)]
        subdomain: Option<String>,
        /// Email address of the account that owns it
        #[arg(long, value_name = "EMAIL")]
        owner: String,
    },
    /// List workspaces, including those in the trash
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Rename a workspace or change its subdomain; the old subdomain gets 404 at once
    Rename {
        /// Subdomain or id of the workspace
        workspace: String,
        /// The new name
        #[arg(long, required_unless_present = "subdomain")]
        name: Option<String>,
        /// The new subdomain
        #[arg(long)]
        subdomain: Option<String>,
    },
    /// Suspend a workspace: everyone gets 403 until it is resumed
    Suspend {
        /// Subdomain or id of the workspace
        workspace: String,
    },
    /// Resume a suspended workspace
    Resume {
        /// Subdomain or id of the workspace
        workspace: String,
    },
    /// Move a workspace to the trash; restore it with `workspace restore`
    Delete {
        /// Subdomain or id of the workspace
        workspace: String,
        /// The subdomain again, to confirm
        #[arg(long, value_name = "SUBDOMAIN")]
        confirm: String,
    },
    /// Import rows from a file into a workspace, all or none
    Import(bulk::Import),
    /// Export all rows of a workspace to stdout or a file
    Export(bulk::Export),
    /// Export a whole workspace to a file, to import it on another server
    ExportFile {
        /// Subdomain or id of the workspace
        workspace: String,
        /// The file to write; it must not exist
        file: PathBuf,
    },
    /// Import a workspace from a file of `export-file` or of the API; users without an account here are invited
    ImportFile {
        /// The file to import
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// Email address of the account that will own it
        #[arg(long, value_name = "EMAIL")]
        owner: String,
        /// Name of the workspace [default: the name of its first organisation]
        #[arg(long)]
        name: Option<String>,
        /// Subdomain [default: derived from the name]
        #[arg(long)]
        subdomain: Option<String>,
    },
    /// Replace the damaged file of a workspace with one exported from it by `export-file` or the API
    RestoreFile {
        /// Subdomain or id of the workspace
        workspace: String,
        /// The exported file
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Restore a workspace from the trash
    Restore {
        /// Subdomain or id of the workspace
        workspace: String,
        /// Another subdomain, if the old one is taken
        #[arg(long)]
        subdomain: Option<String>,
    },
}

pub fn run(command: &Command, engine: &Arc<Engine>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        Command::Create { name, subdomain, owner } => {
            let new = NewWorkspace { name: parse_name(name)?, subdomain: parse_subdomain(subdomain.as_ref())? };
            let account = engine.central.account_by_email(owner)?;
            let workspace = workspaces::make(engine, new, account.id, Quotas::default(), &Origin::system(now))?;
            outln!("workspace {} created as {}", workspace.id, workspace.subdomain);
        }
        Command::List { json } => list(engine, *json)?,
        Command::Rename { workspace, name, subdomain } => {
            let old = find(engine, workspace, |status| status != "trashed")?;
            let name = parse_name(name.as_ref().unwrap_or(&old.name))?;
            let subdomain = parse_subdomain(Some(subdomain.as_ref().unwrap_or(&old.subdomain)))?.unwrap_or_default();
            let shown = format!("{} is {name} at {subdomain}", old.subdomain);
            let origin = Origin::system(now);
            engine.central.rename_workspace(old.id, name, subdomain, origin)?;
            outln!("{shown}");
        }
        Command::Suspend { workspace } => set_status(engine, workspace, "suspended", now)?,
        Command::Resume { workspace } => set_status(engine, workspace, "active", now)?,
        Command::Delete { workspace, confirm } => {
            let found = find(engine, workspace, |status| status != "trashed")?;
            if *confirm != found.subdomain {
                bail!("--confirm must be {}", found.subdomain);
            }
            let origin = Origin::system(now);
            engine.central.trash_workspace(found.id, origin)?;
            // A running server has the file open and moves it itself.
            if !engine.is_served() {
                workspaces::move_to_trash(engine, found.id)?;
            }
            outln!("{} is in the trash for {} days", found.subdomain, engine.config.trash_days);
        }
        Command::Import(import) => import.run(engine, now)?,
        Command::Export(export) => export.run(engine)?,
        Command::ExportFile { workspace, file } => {
            let found = find(engine, workspace, |status| status != "trashed")?;
            export_file(engine, found.id, file)?;
            outln!("{} exported to {}", found.subdomain, file.display());
        }
        Command::ImportFile { file, owner, name, subdomain } => {
            let wish = Wish {
                name: name.as_deref().map(parse_name).transpose()?,
                subdomain: parse_subdomain(subdomain.as_ref())?,
                owner: owner.parse().map_err(|said| anyhow!("The owner {said}"))?,
            };
            tell(&workspace_files::bring_in(engine, file, wish, now)?);
        }
        Command::RestoreFile { workspace, file } => {
            let found = find(engine, workspace, |_| true)?;
            let done = workspace_files::put_back(engine, &found, file, now)?;
            outln!("restored {} from {}", found.subdomain, file.display());
            tell_put_back(&done);
            tell_of_replication(engine, found.id);
        }
        Command::Restore { workspace, subdomain } => {
            let found = find(engine, workspace, |status| status == "trashed")?;
            let subdomain = parse_subdomain(subdomain.as_ref())?;
            let shown = subdomain.as_deref().unwrap_or(&found.subdomain).to_owned();
            workspaces::restore(engine, found.id, subdomain, &Origin::system(now))?;
            outln!("{shown} is restored");
            tell_of_replication(engine, found.id);
        }
    }
    Ok(())
}

/// Writes the file atomically.
fn export_file(engine: &Engine, id: Uuid, file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        bail!("{} already exists", file.display());
    }
    let unfinished = file.with_extension("new");
    workspace_files::snapshot(engine, id, &unfinished)?;
    std::fs::rename(&unfinished, file).with_context(|| format!("cannot write {}", file.display()))
}

pub fn tell(done: &BroughtIn) {
    let BroughtIn { workspace, adopted, is_copy } = done;
    outln!("workspace {} imported as {}", workspace.id, workspace.subdomain);
    if *is_copy {
        outln!("  the workspace in the file already exists here: this is a copy with a new id");
    }
    outln!("  users with an account here: {}", adopted.members.len());
    for guest in &adopted.guests {
        outln!("  invited, as {}: {}", guest.role.name, guest.email);
    }
    if adopted.webhooks > 0 {
        outln!("  webhooks disabled, because the other server may still send to them: {}", adopted.webhooks);
    }
}

/// Prints the result for users and for the old file.
pub fn tell_put_back(done: &PutBack) {
    for user in &done.users.left {
        outln!("  removed, because no longer a member: {}", user.email);
    }
    for email in &done.users.joined {
        outln!("  added, because now a member: {email}");
    }
    if let Some(replaced) = &done.replaced {
        outln!("  the old file is {}: delete it when you no longer need it", replaced.display());
    }
}

/// Prints a hint about replication after a workspace's file was replaced.
pub fn tell_of_replication(engine: &Engine, id: Uuid) {
    if life::was_replicated(&engine.registry.path(id)) {
        outln!("  Litestream no longer replicates this file: restart Litestream, or new changes are not replicated");
    }
}

fn list(engine: &Engine, as_json: bool) -> anyhow::Result<()> {
    let all = engine.central.all_workspaces()?;
    if as_json {
        let rows: Vec<Value> = all
            .iter()
            .map(|(w, owner)| {
                json!({"id": w.id, "name": w.name, "subdomain": w.subdomain, "status": w.status, "owner": owner,
                       "created_at": w.created_at})
            })
            .collect();
        outln!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|(w, owner)| vec![w.subdomain, w.status, owner, w.name, w.created_at.to_string(), w.id.to_string()])
        .collect();
    out!("{}", aligned(&["SUBDOMAIN", "STATUS", "OWNER", "NAME", "MADE", "ID"], &rows));
    Ok(())
}

fn set_status(engine: &Engine, which: &str, status: &'static str, now: Timestamp) -> anyhow::Result<()> {
    let found = find(engine, which, |status| status != "trashed")?;
    let origin = Origin::system(now);
    engine.central.set_workspace_status(found.id, status, origin)?;
    outln!("{} is {status}", found.subdomain);
    Ok(())
}

/// The workspace with this subdomain or id, among those with a matching status.
pub fn find(engine: &Engine, which: &str, status: fn(&str) -> bool) -> anyhow::Result<Workspace> {
    let mut all = engine.central.all_workspaces()?;
    all.retain(|(workspace, _)| status(&workspace.status));
    let found = workspaces::named(all, which).map(|(workspace, _)| workspace);
    found.with_context(|| format!("no such workspace: {which}"))
}

pub fn parse_name(name: &str) -> anyhow::Result<Name<255>> {
    Name::parse(name.to_owned()).map_err(|said| anyhow!("The name {said}"))
}

pub fn parse_subdomain(subdomain: Option<&String>) -> anyhow::Result<Option<Subdomain>> {
    subdomain.map(|text| text.parse()).transpose().map_err(|said| anyhow!("The subdomain {said}"))
}

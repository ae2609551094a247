//! `cx-engine workspace`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::import_export;
use super::table::aligned;
use crate::auth::Origin;
use crate::central::quotas::Quotas;
use crate::central::workspace_files::{self, ImportedWorkspace, PlacementOptions, RestoredWorkspace};
use crate::central::workspace_lifecycle::{self, NewWorkspace};
use crate::central::workspace_rows::{self, Workspace};
use crate::cli::output::{out, outln};
use crate::instance::Instance;
use crate::tenancy::lifecycle;
use crate::values::{Name, Subdomain, Timestamp};
use crate::workspace::settings;

#[derive(clap::Subcommand)]
pub enum WorkspaceCommand {
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
    /// Accept passwords again in a workspace that requires single sign-on, for example if its provider is gone
    AllowPasswords {
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
    Import(import_export::ImportArgs),
    /// Export all rows of a workspace to stdout or a file
    Export(import_export::ExportArgs),
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

pub fn run(command: &WorkspaceCommand, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        WorkspaceCommand::Create { name, subdomain, owner } => {
            let new = NewWorkspace { name: parse_name(name)?, subdomain: parse_subdomain(subdomain.as_ref())? };
            let account = instance.central.account_by_email(owner)?;
            let workspace = workspace_lifecycle::create_workspace(
                instance,
                Uuid::now_v7(),
                new,
                account.id,
                Quotas::default(),
                &Origin::system(now),
            )?;
            outln!("workspace {} created as {}", workspace.id, workspace.subdomain);
        }
        WorkspaceCommand::List { json } => list(instance, *json)?,
        WorkspaceCommand::Rename { workspace, name, subdomain } => {
            let old = find(instance, workspace, |status| status != "trashed")?;
            let name = parse_name(name.as_ref().unwrap_or(&old.name))?;
            let subdomain = parse_subdomain(Some(subdomain.as_ref().unwrap_or(&old.subdomain)))?.unwrap_or_default();
            let shown = format!("{} is {name} at {subdomain}", old.subdomain);
            let origin = Origin::system(now);
            instance.central.rename_workspace(old.id, name, subdomain, origin)?;
            outln!("{shown}");
        }
        WorkspaceCommand::Suspend { workspace } => set_status(instance, workspace, "suspended", now)?,
        WorkspaceCommand::Resume { workspace } => set_status(instance, workspace, "active", now)?,
        WorkspaceCommand::AllowPasswords { workspace } => {
            let found = find(instance, workspace, |status| status != "trashed")?;
            let recorder = instance.system_recorder(found.id, now);
            let file = instance.registry.lease(found.id);
            let was_required = file.file().write(move |db| settings::allow_passwords(db, &recorder))?;
            let before = if was_required { "now accepts" } else { "accepted them already; it accepts" };
            outln!("{} {before} sign-ins with a password", found.subdomain);
        }
        WorkspaceCommand::Delete { workspace, confirm } => {
            let found = find(instance, workspace, |status| status != "trashed")?;
            if *confirm != found.subdomain {
                bail!("--confirm must be {}", found.subdomain);
            }
            let origin = Origin::system(now);
            instance.central.trash_workspace(found.id, origin)?;
            // A running server has the file open and moves it itself.
            if !instance.is_running() {
                workspace_lifecycle::move_to_trash(instance, found.id)?;
            }
            outln!("{} is in the trash for {} days", found.subdomain, instance.config.trash_days);
        }
        WorkspaceCommand::Import(import) => import.run(instance, now)?,
        WorkspaceCommand::Export(export) => export.run(instance)?,
        WorkspaceCommand::ExportFile { workspace, file } => {
            let found = find(instance, workspace, |status| status != "trashed")?;
            export_file(instance, found.id, file)?;
            outln!("{} exported to {}", found.subdomain, file.display());
        }
        WorkspaceCommand::ImportFile { file, owner, name, subdomain } => {
            let wish = PlacementOptions {
                name: name.as_deref().map(parse_name).transpose()?,
                subdomain: parse_subdomain(subdomain.as_ref())?,
                owner: owner.parse().map_err(|said| anyhow!("The owner {said}"))?,
            };
            print_imported(&workspace_files::import(instance, file, wish, now)?);
        }
        WorkspaceCommand::RestoreFile { workspace, file } => {
            let found = find(instance, workspace, |_| true)?;
            let done = workspace_files::restore_from(instance, &found, file, now)?;
            outln!("restored {} from {}", found.subdomain, file.display());
            print_restored(&done);
            print_replication_note(instance, found.id);
        }
        WorkspaceCommand::Restore { workspace, subdomain } => {
            let found = find(instance, workspace, |status| status == "trashed")?;
            let subdomain = parse_subdomain(subdomain.as_ref())?;
            let shown = subdomain.as_deref().unwrap_or(&found.subdomain).to_owned();
            workspace_lifecycle::restore(instance, found.id, subdomain, &Origin::system(now))?;
            outln!("{shown} is restored");
            print_replication_note(instance, found.id);
        }
    }
    Ok(())
}

/// Writes the file atomically.
fn export_file(instance: &Instance, id: Uuid, file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        bail!("{} already exists", file.display());
    }
    let unfinished = file.with_extension("new");
    workspace_files::snapshot(instance, id, &unfinished)?;
    std::fs::rename(&unfinished, file).with_context(|| format!("cannot write {}", file.display()))
}

pub fn print_imported(done: &ImportedWorkspace) {
    let ImportedWorkspace { workspace, adopted, is_copy } = done;
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
pub fn print_restored(done: &RestoredWorkspace) {
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
pub fn print_replication_note(instance: &Instance, id: Uuid) {
    if lifecycle::was_replicated(&instance.registry.path(id)) {
        outln!("  Litestream no longer replicates this file: restart Litestream, or new changes are not replicated");
    }
}

fn list(instance: &Instance, as_json: bool) -> anyhow::Result<()> {
    let all = instance.central.all_workspaces()?;
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

fn set_status(instance: &Instance, which: &str, status: &'static str, now: Timestamp) -> anyhow::Result<()> {
    let found = find(instance, which, |status| status != "trashed")?;
    let origin = Origin::system(now);
    instance.central.set_workspace_status(found.id, status, origin)?;
    outln!("{} is {status}", found.subdomain);
    Ok(())
}

/// The workspace with this subdomain or id, among those with a matching status.
pub fn find(instance: &Instance, which: &str, status: fn(&str) -> bool) -> anyhow::Result<Workspace> {
    let mut all = instance.central.all_workspaces()?;
    all.retain(|(workspace, _)| status(&workspace.status));
    let found = workspace_rows::named(all, which).map(|(workspace, _)| workspace);
    found.with_context(|| format!("no such workspace: {which}"))
}

pub fn parse_name(name: &str) -> anyhow::Result<Name<255>> {
    Name::parse(name.to_owned()).map_err(|said| anyhow!("The name {said}"))
}

pub fn parse_subdomain(subdomain: Option<&String>) -> anyhow::Result<Option<Subdomain>> {
    subdomain.map(|text| text.parse()).transpose().map_err(|said| anyhow!("The subdomain {said}"))
}

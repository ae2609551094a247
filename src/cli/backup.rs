//! `cx-engine backup`, `backups` and `restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::settings::Settings;
use super::table::aligned;
use super::workspace::{parse_subdomain, tell, tell_of_replication, tell_put_back};
use crate::api::Error;
use crate::auth::Origin;
use crate::backups::{self, Backup, Keep, Packed, PackedWorkspace, Repository, Scope};
use crate::central::audit_log::{self, Event};
use crate::central::workspace_files::{self, Wish};
use crate::central::workspaces;
use crate::cli::output::{errln, out, outln};
use crate::config::{Config, Setting, Typed};
use crate::engine::Engine;
use crate::tenancy::Scratch;
use crate::values::Timestamp;

#[derive(clap::Args)]
pub struct Take {
    /// Only this workspace, by its subdomain or id
    workspace: Option<String>,
    #[command(flatten)]
    keep: Keep,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(clap::Args)]
pub struct List {
    /// One of them, and what is in it
    name: Option<String>,
    /// Unpack and look over every file
    #[arg(long)]
    verify: bool,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(clap::Args)]
pub struct Restore {
    /// The workspace, by the subdomain or id that it has, or had when it was backed up
    #[arg(required_unless_present = "into", conflicts_with = "into")]
    workspace: Option<String>,
    /// Everything, as a data directory in this folder, which must be new or empty
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// The backup [default: the newest that has it]
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    backup: Option<String>,
    /// The newest backup of this day (UTC) or moment, or before
    #[arg(long, value_name = "WHEN")]
    at: Option<String>,
    /// Beside what there is now, as a workspace of its own with this subdomain
    #[arg(long = "as", value_name = "SUBDOMAIN", conflicts_with = "into")]
    beside: Option<String>,
    /// The account that owns it, where it is beside or gone for good [default: who owned it then]
    #[arg(long, value_name = "EMAIL", conflicts_with = "into")]
    owner: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

/// Where backups are.
#[derive(clap::Args)]
pub struct Place {
    /// The folder of backups [default: data/backups] [env: CX_BACKUP_DIR]
    #[arg(long, value_name = "FOLDER")]
    pub backup_dir: Option<String>,
}

impl Place {
    /// What was typed of it.
    pub fn settings(&self) -> Settings {
        let mut typed = Typed::default();
        if let (Some(folder), Some(setting)) = (&self.backup_dir, Setting::named("backup_dir")) {
            typed.insert(setting, folder.clone(), "the flag --backup-dir".into());
        }
        Settings(typed)
    }
}

pub fn take(command: &Take, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    let repository = Repository::new(config);
    let scope = command.workspace.as_deref().map_or(Scope::Everything, Scope::Workspace);
    let bar = bar(0)?;
    let backup = backups::take(&config.data_dir, &repository, scope, now, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let backup = backup.context("there is no backup")?;
    note(&config.data_dir, "backup.created", &backup, now);
    let deleted = repository.prune(&command.keep, &backup)?;
    if command.json {
        let mut shown = summary(&backup);
        shown["deleted"] = json!(deleted);
        outln!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        let sizes = sizes(&backup);
        let (workspaces, packed) = (counted(backup.manifest.workspaces.len()), HumanBytes(sizes.packed));
        outln!("{}: {workspaces}, {packed} of {}, all of it looked over", backup.name, HumanBytes(sizes.bytes));
        outln!(
            "  in {}; files that are as they were in the last one: {}",
            repository.folder().display(),
            sizes.unchanged
        );
        deleted.iter().for_each(|name| outln!("  deleted: {name}"));
    }
    incomplete(&backup)
}

pub fn list(command: &List, config: &Config) -> anyhow::Result<()> {
    let repository = Repository::new(config);
    let all = match &command.name {
        Some(name) => vec![repository.named(name)?],
        None => repository.all()?,
    };
    let problems = if command.verify { verify(&all, &config.data_dir)? } else { Vec::new() };
    match (&command.name, all.as_slice()) {
        (Some(_), [backup]) if command.json => outln!("{}", serde_json::to_string_pretty(&backup.manifest)?),
        (Some(_), [backup]) => out!("{}", table_of(backup)),
        _ if command.json => {
            let all: Vec<Value> = all.iter().map(summary).collect();
            outln!("{}", serde_json::to_string_pretty(&all)?);
        }
        _ => out!("{}", table(&all)),
    }
    problems.iter().for_each(|problem| errln!("{problem}"));
    if !problems.is_empty() {
        bail!("{} of what was packed cannot be restored", problems.len());
    }
    if command.verify && !command.json {
        outln!("{} looked over, and sound", all.len());
    }
    Ok(())
}

/// Makes a data directory of everything.
pub fn restore_all(command: &Restore, into: &Path, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    let backup = command.backup(config, |backup| backup.manifest.central.is_some())?;
    let bar = bar(backup.manifest.workspaces.len())?;
    let restored = backups::restore(&backup, into, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    restored.with_context(|| format!("{} cannot be served", into.display()))?;
    note(into, "backup.restored", &backup, now);
    let workspaces = counted(backup.manifest.workspaces.len());
    outln!("{} is in {}: the central file, its keys, {workspaces}", backup.name, into.display());
    for failure in &backup.manifest.failures {
        outln!("  {} was not in it: look for it with `cx-engine restore {}`", failure.subdomain, failure.id);
    }
    outln!("  serve it: cx-engine serve --data-dir {}", into.display());
    Ok(())
}

/// Puts one workspace into an instance, which may be served meanwhile.
pub fn restore_one(command: &Restore, which: &str, engine: &Arc<Engine>, now: Timestamp) -> anyhow::Result<()> {
    let ours = engine.central.read(|db| Ok::<_, Error>(workspaces::all(db)?))?;
    let ours = workspaces::named(ours, which).map(|(workspace, _)| workspace);
    let packed = |backup: &Backup| match &ours {
        Some(ours) => backup.workspace(ours.id).cloned(),
        None => backup.workspaces_named(which).next().cloned(),
    };
    let backup = command.backup(&engine.config, |backup| packed(backup).is_some())?;
    let packed = packed(&backup).with_context(|| format!("{which} is not in {}", backup.name))?;
    let scratch = Scratch::new(&engine.config.data_dir)?;
    let file = scratch.file("restored.sqlite");
    backup.unpack(&packed.file, &file)?;
    let event = Event::new("backup.restored").of_workspace(packed.id).with(json!({"backup": backup.name}));
    engine.central.write(move |db| Ok::<_, Error>(audit_log::record(db, &Origin::system(now), event.clone())?))?;
    match (ours, &command.beside) {
        (Some(ours), None) => {
            let done = workspace_files::put_back(engine, &ours, &file, now)?;
            outln!("{} is as it was in {}", ours.subdomain, backup.name);
            tell_put_back(&done);
            tell_of_replication(engine, ours.id);
        }
        (_, beside) => {
            let wish = command.wish(&packed, beside.as_ref())?;
            tell(&workspace_files::bring_in(engine, &file, wish, now)?);
        }
    }
    Ok(())
}

/// Notes in the audit log what was done. That is done, be it that it cannot be noted.
fn note(data: &Path, action: &'static str, backup: &Backup, now: Timestamp) {
    let event = Event::new(action).with(json!({"backup": backup.name, "workspaces": backup.manifest.workspaces.len()}));
    if let Err(error) = audit_log::record_beside(&data.join("central.sqlite"), &Origin::system(now), event) {
        errln!("cx-engine: the audit log does not have this: {error:#}");
    }
}

impl Restore {
    pub fn target(&self) -> (Option<&Path>, &str) {
        (self.into.as_deref(), self.workspace.as_deref().unwrap_or_default())
    }

    /// The backup that is meant, or the newest that is wanted.
    fn backup(&self, config: &Config, wanted: impl Fn(&Backup) -> bool) -> anyhow::Result<Backup> {
        let repository = Repository::new(config);
        if let Some(name) = &self.backup {
            return repository.named(name);
        }
        let at = self.at.as_deref().map(Timestamp::first_and_last).transpose();
        let at = at.map_err(|said| anyhow!("--at {said}"))?.map(|(_, last)| last);
        repository.newest(at, wanted)
    }

    fn wish(&self, packed: &PackedWorkspace, beside: Option<&String>) -> anyhow::Result<Wish> {
        let owner = self.owner.as_ref().unwrap_or(&packed.owner);
        Ok(Wish {
            name: Some(super::workspace::parse_name(&packed.name)?),
            subdomain: parse_subdomain(Some(beside.unwrap_or(&packed.subdomain)))?,
            owner: owner.parse().map_err(|said| anyhow!("the owner {said}"))?,
        })
    }
}

/// What was found wrong.
fn verify(all: &[Backup], data: &Path) -> anyhow::Result<Vec<String>> {
    let bar = bar(all.iter().map(|backup| backup.files().count()).sum())?;
    let mut problems = Vec::new();
    for backup in all {
        let found = backup.verify(data, || bar.inc(1))?;
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", backup.name)));
    }
    bar.finish_and_clear();
    Ok(problems)
}

/// Says on stderr what is not in a backup, and makes the command fail.
fn incomplete(backup: &Backup) -> anyhow::Result<()> {
    let failures = &backup.manifest.failures;
    for failure in failures {
        errln!("cx-engine: {} ({}) is not in it: {}", failure.subdomain, failure.id, failure.problem);
    }
    if !failures.is_empty() {
        bail!("the backup lacks {}; older ones are kept", counted(failures.len()));
    }
    Ok(())
}

fn counted(workspaces: usize) -> String {
    if workspaces == 1 { "1 workspace".into() } else { format!("{workspaces} workspaces") }
}

struct Sizes {
    bytes: u64,
    packed: u64,
    unchanged: usize,
}

fn sizes(backup: &Backup) -> Sizes {
    let mut sizes = Sizes { bytes: 0, packed: 0, unchanged: 0 };
    for (_, _, Packed { bytes, packed_bytes, is_unchanged, .. }) in backup.files() {
        sizes.bytes += bytes;
        sizes.packed += packed_bytes;
        sizes.unchanged += usize::from(*is_unchanged);
    }
    sizes
}

/// A backup in a list of them.
fn summary(backup: &Backup) -> Value {
    let (sizes, manifest) = (sizes(backup), &backup.manifest);
    json!({
        "name": backup.name, "taken_at": manifest.taken_at, "everything": manifest.central.is_some(),
        "workspaces": manifest.workspaces.len(), "bytes": sizes.bytes, "packed_bytes": sizes.packed,
        "failures": manifest.failures,
    })
}

fn table(all: &[Backup]) -> String {
    let row = |backup: &Backup| {
        let manifest = &backup.manifest;
        let lacking = match manifest.failures.len() {
            0 => String::new(),
            count => format!("lacks {count}"),
        };
        vec![
            backup.name.clone(),
            backup.of_one().map_or("everything", |workspace| &workspace.subdomain).to_owned(),
            manifest.workspaces.len().to_string(),
            HumanBytes(sizes(backup).packed).to_string(),
            manifest.program.clone(),
            lacking,
        ]
    };
    aligned(&["NAME", "OF", "WORKSPACES", "SIZE", "VERSION", ""], &all.iter().map(row).collect::<Vec<_>>())
}

fn table_of(backup: &Backup) -> String {
    let row = |workspace: &PackedWorkspace| {
        let rows: i64 = workspace.file.contents.rows.values().sum();
        vec![
            workspace.subdomain.clone(),
            workspace.status.clone(),
            workspace.owner.clone(),
            rows.to_string(),
            HumanBytes(workspace.file.packed_bytes).to_string(),
            workspace.id.to_string(),
        ]
    };
    let lacking = backup.manifest.failures.iter().map(|failure| {
        let missing = format!("not in it: {}", failure.problem);
        vec![failure.subdomain.clone(), missing, String::new(), String::new(), String::new(), failure.id.to_string()]
    });
    let rows: Vec<_> = backup.manifest.workspaces.iter().map(row).chain(lacking).collect();
    aligned(&["SUBDOMAIN", "STATUS", "OWNER", "ROWS", "SIZE", "ID"], &rows)
}

fn bar(length: usize) -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::new(length as u64)
        .with_style(ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} files {eta}")?))
}

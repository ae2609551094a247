//! `cx-engine backup`, `backups` and `restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use uuid::Uuid;

use super::owner;
use super::setting_flags::SettingArgs;
use super::table::aligned;
use super::workspace::{parse_subdomain, print_imported, print_replication_note, print_restored};
use crate::auth::Origin;
use crate::backups::{
    self, Backup, BackupScope, Keep, Ownership, PackedWorkspace, Repository, Sorted, Verification, count_by_instance,
};
use crate::central::central_audit_log::{self, CentralAuditEvent};
use crate::central::workspace_files::{self, PlacementOptions};
use crate::central::workspace_rows;
use crate::cli::output::{errln, out, outln};
use crate::config::{Config, RawSettings, Setting};
use crate::instance::{self, Instance};
use crate::tenancy::InstanceTempDir;
use crate::values::Timestamp;

#[derive(clap::Args)]
pub struct TakeArgs {
    /// Back up only this workspace, by its subdomain or id
    workspace: Option<String>,
    #[command(flatten)]
    keep: Keep,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub place: BackupDir,
}

#[derive(clap::Args)]
pub struct ListArgs {
    /// Show the contents of this backup
    name: Option<String>,
    /// List the backups of all instances in the folder; requires no data directory
    #[arg(long)]
    pub all: bool,
    /// Unpack and verify every file
    #[arg(long)]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub place: BackupDir,
}

#[derive(clap::Args)]
pub struct RestoreArgs {
    /// The workspace: its current subdomain or id, or the one at the time of the backup
    #[arg(required_unless_present = "into", conflicts_with = "into")]
    workspace: Option<String>,
    /// Restore everything into this folder as a data directory; the folder must be new or empty
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// The instance to restore, if the folder contains backups of several
    #[arg(long, value_name = "ID", requires = "into", conflicts_with = "backup")]
    instance: Option<Uuid>,
    /// The backup [default: the newest of this instance that has the workspace]
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    backup: Option<String>,
    /// Use the newest backup at or before this day (UTC) or moment
    #[arg(long, value_name = "WHEN")]
    at: Option<String>,
    /// Restore into a new workspace with this subdomain and keep the current one
    #[arg(long = "as", value_name = "SUBDOMAIN", conflicts_with = "into")]
    beside: Option<String>,
    /// Owner of the workspace if it is new here [default: its owner at the time of the backup]
    #[arg(long, value_name = "EMAIL", conflicts_with = "into")]
    owner: Option<String>,
    #[command(flatten)]
    pub place: BackupDir,
}

/// The folder for backups.
#[derive(clap::Args)]
pub struct BackupDir {
    /// Folder for backups [default: backups in the data directory] [env: CX_BACKUP_DIR]
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    pub backup_dir: Option<String>,
}

impl BackupDir {
    /// The settings given by these flags.
    pub fn settings(&self) -> SettingArgs {
        let mut typed = RawSettings::default();
        if let (Some(folder), Some(setting)) = (&self.backup_dir, Setting::named("backup_dir")) {
            typed.insert(setting, folder.clone(), "the flag --backup-dir".into());
        }
        SettingArgs(typed)
    }
}

pub fn take(command: &TakeArgs, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    let repository = own_repository(config)?;
    let scope = command.workspace.as_deref().map_or(BackupScope::Everything, BackupScope::Workspace);
    let bar = bar(0)?;
    let backup = backups::take(&config.data_dir, None, &repository, scope, now, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let backup = backup.context("the backup failed")?;
    note(&config.data_dir, "backup.created", &backup, now);
    let deleted = repository.prune(&command.keep, &backup)?;
    let others = repository.list()?.others;
    if command.json {
        let mut shown = summary(&backup);
        shown["deleted"] = json!(deleted);
        shown["not_of_this_instance"] = json!(others.len());
        outln!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        let sizes = backup.sizes();
        let (workspaces, packed) = (counted(backup.manifest.workspaces.len(), "workspace"), HumanBytes(sizes.packed));
        outln!("{}: {workspaces}, {packed} packed of {}, verified", backup.name, HumanBytes(sizes.bytes));
        outln!("  in {}; files unchanged since the last backup: {}", repository.folder().display(), sizes.unchanged);
        deleted.iter().for_each(|name| outln!("  deleted: {name}"));
        others_in(&repository, &others).iter().for_each(|line| outln!("  {line}"));
    }
    incomplete(&backup)
}

pub fn list(command: &ListArgs, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    let repository = if command.all { Repository::new(config, Ownership::default()) } else { own_repository(config)? };
    let Sorted { own, others } = repository.list()?;
    let lines = if command.all { Vec::new() } else { others_in(&repository, &others) };
    let found = match &command.name {
        Some(name) => {
            let named = repository.named(name)?;
            if !command.all && others.iter().any(|other| other.name == *name) {
                bail!("{name} is not a backup of this instance: add --all to show it");
            }
            vec![named]
        }
        None if command.all => repository.all()?,
        None => own,
    };
    let problems = if command.verify { verify(&found, command, config, now)? } else { Vec::new() };
    match (&command.name, found.as_slice()) {
        (Some(_), [backup]) if command.json => outln!("{}", serde_json::to_string_pretty(&backup.manifest)?),
        (Some(_), [backup]) => out!("{}", table_of(backup)),
        _ if command.json => {
            let found: Vec<Value> = found.iter().map(summary).collect();
            outln!("{}", serde_json::to_string_pretty(&found)?);
            lines.iter().for_each(|line| errln!("{line}"));
        }
        _ => {
            out!("{}", table(&found, command.all));
            lines.iter().for_each(|line| outln!("{line}"));
        }
    }
    problems.iter().for_each(|problem| errln!("{problem}"));
    if !problems.is_empty() {
        bail!("{} packed files are damaged", problems.len());
    }
    if command.verify && !command.json {
        outln!("{} backups verified, no problems found", found.len());
    }
    Ok(())
}

/// The backup folder, seen from the instance in the data directory.
pub fn own_repository(config: &Config) -> anyhow::Result<Repository> {
    instance::require_instance(&config.data_dir)?;
    Ok(Repository::new(config, Ownership::of_data_dir(&config.data_dir)?))
}

/// One line per other instance with backups in the folder. Their backups are not listed, restored or deleted.
fn others_in(repository: &Repository, others: &[Backup]) -> Vec<String> {
    let folder = repository.folder().display();
    let counts = count_by_instance(others).into_iter();
    let line = |(instance, count): (Option<Uuid>, usize)| match instance {
        Some(id) => format!("{folder} also contains {} of the instance {id}", counted(count, "backup")),
        None => format!(
            "{folder} also contains {} of an earlier version, which may belong to another instance; they are never \
             deleted",
            counted(count, "backup")
        ),
    };
    counts.map(line).collect()
}

/// Restores everything into a new data directory.
pub fn restore_all(command: &RestoreArgs, into: &Path, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    let backup = command.whole_backup(config)?;
    let bar = bar(backup.manifest.workspaces.len())?;
    let restored = backups::restore(&backup, into, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    restored.with_context(|| format!("cannot restore into {}", into.display()))?;
    note(into, "backup.restored", &backup, now);
    let workspaces = counted(backup.manifest.workspaces.len(), "workspace");
    outln!("restored {} into {}: the central file, its keys, {workspaces}", backup.name, into.display());
    for failure in &backup.manifest.failures {
        outln!(
            "  {} is missing from this backup; look for it in others with `cx-engine restore {}`",
            failure.subdomain,
            failure.id
        );
    }
    outln!("  start it: cx-engine serve --data-dir {}", into.display());
    Ok(())
}

/// Restores one workspace into an instance, which may be running.
pub fn restore_one(command: &RestoreArgs, which: &str, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
    let ours = instance.central.all_workspaces()?;
    let ours = workspace_rows::named(ours, which).map(|(workspace, _)| workspace);
    let packed = |backup: &Backup| match &ours {
        Some(ours) => backup.workspace(ours.id).cloned(),
        None => backup.workspaces_named(which).next().cloned(),
    };
    let backup = command
        .backup_of_one(&own_repository(&instance.config)?, which, ours.is_some(), |backup| packed(backup).is_some())?;
    let packed = packed(&backup).with_context(|| format!("{} does not contain {which}", backup.name))?;
    let temp_dir = InstanceTempDir::new(&instance.config.data_dir)?;
    let file = temp_dir.file("restored.sqlite");
    backup.unpack(&packed.file, &file)?;
    let event = CentralAuditEvent::new("backup.restored").of_workspace(packed.id).with(json!({"backup": backup.name}));
    instance.central.record_event(Origin::system(now), event)?;
    match (ours, &command.beside) {
        (Some(ours), None) => {
            let done = workspace_files::restore_from(instance, &ours, &file, now)?;
            outln!("restored {} from {}", ours.subdomain, backup.name);
            print_restored(&done);
            print_replication_note(instance, ours.id);
        }
        (_, beside) => {
            let wish = command.wish(&packed, beside.as_ref())?;
            print_imported(&workspace_files::import(instance, &file, wish, now)?);
        }
    }
    Ok(())
}

/// Records the operation in the audit log. The operation is done even if recording fails.
fn note(data: &Path, action: &'static str, backup: &Backup, now: Timestamp) {
    let event = CentralAuditEvent::new(action)
        .with(json!({"backup": backup.name, "workspaces": backup.manifest.workspaces.len()}));
    if let Err(error) = central_audit_log::record_by_command(&data.join("central.sqlite"), &Origin::system(now), event)
    {
        errln!("cx-engine: cannot record this in the audit log: {error:#}");
    }
}

impl RestoreArgs {
    pub fn target(&self) -> (Option<&Path>, &str) {
        (self.into.as_deref(), self.workspace.as_deref().unwrap_or_default())
    }

    /// The latest moment that `--at` allows.
    fn latest(&self) -> anyhow::Result<Option<Timestamp>> {
        let at = self.at.as_deref().map(|at| Timestamp::first_and_last(at, &TimeZone::UTC)).transpose();
        Ok(at.map_err(|said| anyhow!("--at {said}"))?.map(|(_, last)| last))
    }

    /// The backup to restore one workspace from. It must be of this instance; a backup of an earlier version does not
    /// name its instance and must be given by name.
    fn backup_of_one(
        &self,
        repository: &Repository,
        which: &str,
        is_here: bool,
        has_it: impl Fn(&Backup) -> bool,
    ) -> anyhow::Result<Backup> {
        let at = self.latest()?;
        let Sorted { own, others } = repository.list()?;
        if let Some(name) = &self.backup {
            let named = own.into_iter().chain(others).find(|backup| backup.name == *name);
            let named = named.with_context(|| format!("no backup {name} in {}", repository.folder().display()))?;
            let instance = named.manifest.instance;
            if let Some(other) = instance.filter(|_| instance != repository.instance()) {
                bail!(
                    "{name} is a backup of another instance ({other}): restore it with --into a new folder, \
                     and export {which} from there with `workspace export-file`"
                );
            }
            return Ok(named);
        }
        newest(own, at, &has_it).with_context(|| {
            let when = at.map(|at| format!(" at or before {at}")).unwrap_or_default();
            let missing = if is_here {
                format!("no backup of {which}{when}")
            } else {
                format!("no workspace {which}, and no backup of it{when}")
            };
            let lines = others_in(repository, &others);
            let elsewhere = if lines.is_empty() { String::new() } else { format!(". {}", lines.join(". ")) };
            format!("{missing} in {}{elsewhere}", repository.folder().display())
        })
    }

    /// The backup to restore everything from. Without an instance in the data directory, the choice must be
    /// unambiguous.
    fn whole_backup(&self, config: &Config) -> anyhow::Result<Backup> {
        let at = self.latest()?;
        let data = &config.data_dir;
        // Reading a central file creates a WAL next to it, which root must not own. A damaged file has no readable
        // instance id.
        let may_read = data.join("central.sqlite").exists() && owner::check(data).is_ok();
        let ownership = if may_read { Ownership::of_data_dir(data).unwrap_or_default() } else { Ownership::default() };
        let repository = Repository::new(config, ownership);
        if let Some(name) = &self.backup {
            return repository.named(name);
        }
        let Sorted { own, others } = repository.list()?;
        let folder = repository.folder().display();
        let is_whole = |backup: &Backup| backup.manifest.central.is_some();
        let missing = || match at {
            Some(at) => format!("no backup of everything at or before {at} in {folder}"),
            None => format!("no backup of everything in {folder}"),
        };
        if let Some(instance) = self.instance {
            let all = own.into_iter().chain(others).collect();
            let wanted = |backup: &Backup| is_whole(backup) && backup.manifest.instance == Some(instance);
            return newest(all, at, wanted).with_context(|| format!("{} of the instance {instance}", missing()));
        }
        if repository.instance().is_some() {
            return newest(own, at, is_whole).with_context(|| {
                let lines = others_in(&repository, &others);
                format!("{} of the instance in {}. {}", missing(), data.display(), lines.join(". "))
            });
        }
        let all: Vec<Backup> = own.into_iter().chain(others).filter(is_whole).collect();
        let named: Vec<Uuid> = count_by_instance(&all).into_keys().flatten().collect();
        if named.len() > 1 {
            let ids: Vec<String> = named.iter().map(Uuid::to_string).collect();
            bail!(
                "{folder} contains backups of several instances: choose an instance with --instance ({}) or a backup \
                 with --backup; `cx-engine backups --all` lists them",
                ids.join(", ")
            );
        }
        let instance = named.first().copied();
        newest(all, at, |backup| backup.manifest.instance == instance).with_context(missing)
    }

    fn wish(&self, packed: &PackedWorkspace, beside: Option<&String>) -> anyhow::Result<PlacementOptions> {
        let owner = self.owner.as_ref().unwrap_or(&packed.owner);
        Ok(PlacementOptions {
            name: Some(super::workspace::parse_name(&packed.name)?),
            subdomain: parse_subdomain(Some(beside.unwrap_or(&packed.subdomain)))?,
            owner: owner.parse().map_err(|said| anyhow!("The owner {said}"))?,
        })
    }
}

/// The newest matching backup at or before a moment.
fn newest(backups: Vec<Backup>, at: Option<Timestamp>, wanted: impl Fn(&Backup) -> bool) -> Option<Backup> {
    let is_early = |backup: &Backup| at.is_none_or(|at| backup.manifest.taken_at <= at);
    backups.into_iter().rev().find(|backup| is_early(backup) && wanted(backup))
}

/// The problems found. They are saved with each backup, if this process may write there.
fn verify(all: &[Backup], command: &ListArgs, config: &Config, now: Timestamp) -> anyhow::Result<Vec<String>> {
    let temp_dir = if command.all { InstanceTempDir::temporary()? } else { InstanceTempDir::new(&config.data_dir)? };
    let bar = bar(all.iter().map(|backup| backup.files().count()).sum())?;
    let mut problems = Vec::new();
    for backup in all {
        let found = backup.verify(&temp_dir, || bar.inc(1))?;
        if let Err(error) = backup.save_verification(&Verification { at: now, problems: found.clone() }) {
            errln!("cx-engine: the result of the verification is not saved: {error:#}");
        }
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", backup.name)));
    }
    bar.finish_and_clear();
    Ok(problems)
}

/// Reports workspaces that are missing from a backup on stderr and fails.
fn incomplete(backup: &Backup) -> anyhow::Result<()> {
    let failures = &backup.manifest.failures;
    for failure in failures {
        errln!("cx-engine: {} ({}) is not in the backup: {}", failure.subdomain, failure.id, failure.problem);
    }
    if !failures.is_empty() {
        bail!("the backup is incomplete: {} missing; older backups were kept", counted(failures.len(), "workspace"));
    }
    Ok(())
}

pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// One backup in the JSON list.
fn summary(backup: &Backup) -> Value {
    let (sizes, manifest) = (backup.sizes(), &backup.manifest);
    let last = backup.last_verification();
    json!({
        "name": backup.name, "instance": manifest.instance, "taken_at": manifest.taken_at, "everything": manifest.central.is_some(),
        "workspaces": manifest.workspaces.len(), "bytes": sizes.bytes, "packed_bytes": sizes.packed,
        "failures": manifest.failures, "verified_at": last.as_ref().map_or(manifest.taken_at, |last| last.at),
        "problems": last.map_or_else(Vec::new, |last| last.problems),
    })
}

fn table(all: &[Backup], with_instance: bool) -> String {
    let row = |backup: &Backup| {
        let manifest = &backup.manifest;
        let instance = manifest.instance.map_or_else(|| "unknown".into(), |id| id.to_string());
        let lacking = match manifest.failures.len() {
            0 => String::new(),
            count => format!("{count} missing"),
        };
        let mut row = vec![
            backup.name.clone(),
            backup.single_workspace().map_or("everything", |workspace| &workspace.subdomain).to_owned(),
            manifest.workspaces.len().to_string(),
            HumanBytes(backup.sizes().packed).to_string(),
            manifest.program.clone(),
            lacking,
        ];
        if with_instance {
            row.push(instance);
        }
        row
    };
    let mut headings = vec!["NAME", "OF", "WORKSPACES", "SIZE", "VERSION", ""];
    if with_instance {
        headings.push("INSTANCE");
    }
    aligned(&headings, &all.iter().map(row).collect::<Vec<_>>())
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
        let missing = format!("missing: {}", failure.problem);
        vec![failure.subdomain.clone(), missing, String::new(), String::new(), String::new(), failure.id.to_string()]
    });
    let rows: Vec<_> = backup.manifest.workspaces.iter().map(row).chain(lacking).collect();
    aligned(&["SUBDOMAIN", "STATUS", "OWNER", "ROWS", "SIZE", "ID"], &rows)
}

pub fn bar(length: usize) -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::new(length as u64)
        .with_style(ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} files {eta}")?))
}

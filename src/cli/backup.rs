//! `cx-engine backup` and `backups`.

use std::path::Path;

use anyhow::{Context, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::offsite_args::{BucketArgs, RemoteArgs, settings_of};
use super::remote_list;
use super::setting_flags::SettingArgs;
use super::table::aligned;
use crate::auth::Origin;
use crate::backups::{
    self, Backup, BackupScope, Keep, Ownership, PackedWorkspace, RemoteBackup, RemoteRepository, Repository, Sorted,
    Verification, count_by_instance,
};
use crate::central::backup_status::{self, BackupOutcome};
use crate::central::central_audit_log::{self, CentralAuditEvent};
use crate::cli::output::{errln, out, outln};
use crate::cluster;
use crate::config::Config;
use crate::instance;
use crate::offsite::OffsiteSettings;
use crate::tenancy::InstanceTempDir;
use crate::values::Timestamp;

#[derive(clap::Args)]
pub struct TakeArgs {
    /// Back up only this workspace, by its subdomain or id
    workspace: Option<String>,
    #[command(flatten)]
    keep: Keep,
    /// Also copy the backup, encrypted, to this place outside this machine: s3://BUCKET/PREFIX for AWS,
    /// https://HOST/BUCKET/PREFIX, or command:/PATH of a program; an empty text copies nowhere [env: CX_BACKUP_TO]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Encrypt the copy for this public key of age; can be repeated [env: CX_BACKUP_RECIPIENTS]
    #[arg(long, value_name = "KEY")]
    recipient: Vec<String>,
    #[command(flatten)]
    bucket: BucketArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: BackupDir,
}

#[derive(clap::Args)]
pub struct ListArgs {
    /// Show the contents of this backup
    pub name: Option<String>,
    /// List the backups of all instances in the folder; requires no data directory
    #[arg(long, conflicts_with = "remote")]
    pub all: bool,
    /// Unpack and verify every file; of encrypted backups without --identity, compare the checksum of each object
    #[arg(long)]
    pub verify: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    place: BackupDir,
    #[command(flatten)]
    pub remote: RemoteArgs,
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
        settings_of([("backup_dir", "backup-dir", self.backup_dir.clone())])
    }
}

impl TakeArgs {
    /// The settings given by the flags.
    pub fn settings(&self) -> SettingArgs {
        let recipients = (!self.recipient.is_empty()).then(|| self.recipient.join(","));
        let mut typed =
            settings_of([("backup_to", "to", self.to.clone()), ("backup_recipients", "recipient", recipients)]);
        typed.0.override_with(self.bucket.settings().0);
        typed.0.override_with(self.place.settings().0);
        typed
    }

    /// Whether the backup is copied to the place in the settings. One of a single workspace is copied only if a flag says
    /// so.
    fn is_copied(&self) -> bool {
        self.workspace.is_none() || self.to.is_some()
    }
}

impl ListArgs {
    /// The settings given by the flags.
    pub fn settings(&self) -> SettingArgs {
        let mut typed = self.place.settings();
        typed.0.override_with(self.remote.settings().0);
        typed
    }
}

/// The place outside this machine, with its settings.
struct Offsite {
    settings: OffsiteSettings,
    place: RemoteRepository,
}

/// A copy outside this machine.
struct Copied {
    place: String,
    backup: RemoteBackup,
    /// The names of older copies that were deleted.
    deleted: Vec<String>,
}

pub fn take(command: &TakeArgs, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    let repository = own_repository(config)?;
    let taken = take_and_copy(command, config, &repository, now);
    let outcome = match &taken {
        Ok((backup, copied)) => BackupOutcome::Complete {
            name: backup.name.clone(),
            taken_at: backup.manifest.taken_at,
            place: copied.as_ref().map(|copied| copied.place.clone()),
        },
        Err(error) => BackupOutcome::Failed { problem: format!("{error:#}") },
    };
    // A backup that was told to stay here does not replace the one that is expected elsewhere.
    let is_local_by_flag = taken.is_ok() && command.to.as_deref().is_some_and(str::is_empty);
    // The central file of several nodes is written by them alone.
    if command.workspace.is_none() && !is_local_by_flag && !cluster::is_shared(&config.data_dir) {
        let central = config.data_dir.join("central.sqlite");
        if let Err(error) = backup_status::record_by_command(&central, &outcome, now) {
            errln!("cx-engine: cannot record the outcome of the backup: {error:#}");
        }
    }
    taken.map(drop)
}

/// Takes a backup and prints it. Fails if it is incomplete, or not copied.
fn take_and_copy(
    command: &TakeArgs,
    config: &Config,
    repository: &Repository,
    now: Timestamp,
) -> anyhow::Result<(Backup, Option<Copied>)> {
    let offsite = config.offsite()?.filter(|_| command.is_copied());
    let open = |settings: OffsiteSettings| {
        Ok::<_, anyhow::Error>(Offsite { place: RemoteRepository::open(&settings)?, settings })
    };
    let offsite = offsite.map(open).transpose()?;
    let scope = command.workspace.as_deref().map_or(BackupScope::Everything, BackupScope::Workspace);
    let bar = bar(0)?;
    let backup = backups::take(&config.data_dir, None, repository, scope, now, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let backup = backup.context("the backup failed")?;
    note(&config.data_dir, "backup.created", &backup, now);
    let deleted = repository.prune(&command.keep, &backup)?;
    let copied = offsite.map(|offsite| offsite.copy(&backup, repository, config, &command.keep, now)).transpose();
    let others = repository.list()?.others;
    let place = copied.as_ref().ok().and_then(Option::as_ref);
    if command.json {
        let mut shown = summary(&backup);
        shown["deleted"] = json!(deleted);
        shown["not_of_this_instance"] = json!(others.len());
        shown["copied_to"] = json!(place.map(|copied| &copied.place));
        shown["deleted_there"] = json!(place.map(|copied| &copied.deleted));
        outln!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        let sizes = backup.sizes();
        let (workspaces, packed) = (counted(backup.manifest.workspaces.len(), "workspace"), HumanBytes(sizes.packed));
        outln!("{}: {workspaces}, {packed} packed of {}, verified", backup.name, HumanBytes(sizes.bytes));
        outln!("  in {}; files unchanged since the last backup: {}", repository.folder().display(), sizes.unchanged);
        deleted.iter().for_each(|name| outln!("  deleted: {name}"));
        others_in(repository, &others).iter().for_each(|line| outln!("  {line}"));
        if let Some(Copied { place, backup, deleted }) = place {
            let (size, objects) = (HumanBytes(backup.manifest.bytes()), backup.manifest.parts.len());
            outln!("  in {place}: {size}, {}, encrypted, read again and compared", counted(objects, "object"));
            deleted.iter().for_each(|name| outln!("  deleted there: {name}"));
        }
    }
    incomplete(&backup)?;
    Ok((backup, copied?))
}

impl Offsite {
    fn copy(
        &self,
        backup: &Backup,
        repository: &Repository,
        config: &Config,
        keep: &Keep,
        now: Timestamp,
    ) -> anyhow::Result<Copied> {
        let (place, bar) = (self.place.place(), bytes_bar(backup.sizes().packed)?);
        let copy =
            self.place.upload(backup, repository, &self.settings, &config.data_dir, |bytes| bar.set_position(bytes));
        bar.finish_and_clear();
        let copy =
            copy.with_context(|| format!("{} is on this machine, but was not copied to {place}", backup.name))?;
        note(&config.data_dir, "backup.copied", backup, now);
        let deleted = self.place.prune(keep, &copy);
        let deleted =
            deleted.with_context(|| format!("{} was copied, but older copies were not deleted", backup.name))?;
        Ok(Copied { place, backup: copy, deleted })
    }
}

pub fn list(command: &ListArgs, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    if command.remote.is_set() {
        return remote_list::list(command, config);
    }
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
pub fn others_in(repository: &Repository, others: &[Backup]) -> Vec<String> {
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

/// Records the operation in the audit log. The operation is done even if recording fails.
pub fn note(data: &Path, action: &'static str, backup: &Backup, now: Timestamp) {
    let event = CentralAuditEvent::new(action)
        .with(json!({"backup": backup.name, "workspaces": backup.manifest.workspaces.len()}));
    if let Err(error) = central_audit_log::record_by_command(&data.join("central.sqlite"), &Origin::system(now), event)
    {
        errln!("cx-engine: cannot record this in the audit log: {error:#}");
    }
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

pub fn table_of(backup: &Backup) -> String {
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

pub fn bytes_bar(length: u64) -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::new(length).with_style(ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}")?))
}

//! `cx-engine restore`: one workspace, or everything, from the backup folder or from a place outside this machine.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use jiff::tz::TimeZone;
use serde_json::json;
use uuid::Uuid;

use super::backup::{BackupDir, bar, bytes_bar, counted, note, others_in, own_repository};
use super::offsite_args::RemoteArgs;
use super::owner;
use super::setting_flags::SettingArgs;
use super::workspace::{parse_subdomain, print_imported, print_replication_note, print_restored};
use crate::auth::Origin;
use crate::backups::{
    self, Backup, Fetch, Ownership, PackedWorkspace, RemoteBackup, RemoteRepository, Repository, Sorted,
    count_by_instance,
};
use crate::central::backup_status::{self, BackupOutcome};
use crate::central::central_audit_log::CentralAuditEvent;
use crate::central::workspace_files::{self, PlacementOptions};
use crate::central::workspace_rows;
use crate::cli::output::{errln, outln};
use crate::config::Config;
use crate::durable_fs;
use crate::instance::Instance;
use crate::offsite::Identities;
use crate::tenancy::InstanceTempDir;
use crate::values::Timestamp;

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
    place: BackupDir,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Restores everything into a new data directory.
pub fn restore_all(command: &RestoreArgs, into: &Path, config: &Config, now: Timestamp) -> anyhow::Result<()> {
    // A fetched backup is on the disk of the data directory, until it is unpacked.
    let mut fetched = None;
    let place = command.remote.is_set().then(|| command.remote.place(config)).transpose()?;
    let backup = if let Some(place) = &place {
        backups::require_free(into)?;
        let identities = command.remote.identities()?;
        let remote = command.whole_remote_backup(place)?;
        let above = durable_fs::folder_of(into)?;
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        durable_fs::create_folder(above)?;
        let folder = tempfile::tempdir_in(above).with_context(|| format!("cannot write to {}", above.display()))?;
        let folder = fetched.insert(folder);
        fetch(place, &remote, &identities, folder.path(), &|_| Fetch::Everything)?
    } else {
        command.whole_backup(config)?
    };
    let bar = bar(backup.manifest.workspaces.len())?;
    let restored = backups::restore(&backup, into, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    restored.with_context(|| format!("cannot restore into {}", into.display()))?;
    note(into, "backup.restored", &backup, now);
    // The central file was copied before the outcome of its own backup was known.
    let outcome = BackupOutcome::Complete {
        name: backup.name.clone(),
        taken_at: backup.manifest.taken_at,
        place: place.map(|place| place.place()),
    };
    if backup.manifest.failures.is_empty() {
        backup_status::record_by_command(&into.join("central.sqlite"), &outcome, now)?;
    }
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
    let temp_dir = InstanceTempDir::new(&instance.config.data_dir)?;
    let backup = if command.remote.is_set() {
        command.remote_backup_of_one(instance, which, &packed, temp_dir.path())?
    } else {
        let repository = own_repository(&instance.config)?;
        command.backup_of_one(&repository, which, ours.is_some(), |backup| packed(backup).is_some())?
    };
    let packed = packed(&backup).with_context(|| format!("{} does not contain {which}", backup.name))?;
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

/// Fetches a backup, or some of its files, into a folder, and shows the progress.
fn fetch(
    place: &RemoteRepository,
    remote: &RemoteBackup,
    identities: &Identities,
    folder: &Path,
    choose: &dyn Fn(&Backup) -> Fetch,
) -> anyhow::Result<Backup> {
    let bar = bytes_bar(remote.manifest.bytes())?;
    let fetched = place.fetch(remote, identities, folder, choose, &mut |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    fetched.with_context(|| format!("{} cannot be restored; --backup chooses another one", remote.name))
}

impl RestoreArgs {
    /// The settings given by the flags.
    pub fn settings(&self) -> SettingArgs {
        let mut typed = self.place.settings();
        typed.0.override_with(self.remote.settings().0);
        typed
    }

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

    /// The backups in a place outside this machine that the options allow, newest first. Those that cannot be used are
    /// reported.
    fn remote_backups(&self, place: &RemoteRepository) -> anyhow::Result<Vec<RemoteBackup>> {
        let at = self.latest()?;
        let content = place.list()?;
        for problem in &content.problems {
            errln!("cx-engine: this backup cannot be used: {problem}");
        }
        let is_allowed = |backup: &RemoteBackup| match &self.backup {
            Some(name) => backup.name == *name,
            None => at.is_none_or(|at| backup.manifest.taken_at <= at),
        };
        let mut found = content.backups;
        found.retain(is_allowed);
        found.reverse();
        if let (Some(name), true) = (&self.backup, found.is_empty()) {
            bail!("there is no backup {name} in {}", place.place());
        }
        Ok(found)
    }

    /// The newest backup of everything in a place outside this machine.
    fn whole_remote_backup(&self, place: &RemoteRepository) -> anyhow::Result<RemoteBackup> {
        let found = self.remote_backups(place)?.into_iter().find(|backup| backup.manifest.workspace.is_none());
        let when = self.at.as_ref().map(|at| format!(" at or before {at}")).unwrap_or_default();
        let found = found.with_context(|| format!("no backup of everything{when} in {}", place.place()))?;
        let instance = found.manifest.instance;
        ensure!(
            self.instance.is_none_or(|wanted| wanted == instance),
            "{} has backups of the instance {instance}",
            place.place()
        );
        Ok(found)
    }

    /// The newest backup in a place outside this machine that has a workspace, with the file of the workspace.
    fn remote_backup_of_one(
        &self,
        instance: &Instance,
        which: &str,
        packed: &dyn Fn(&Backup) -> Option<PackedWorkspace>,
        folder: &Path,
    ) -> anyhow::Result<Backup> {
        let (place, identities) = (self.remote.place(&instance.config)?, self.remote.identities()?);
        for remote in self.remote_backups(&place)? {
            ensure!(
                remote.manifest.instance == instance.record.id,
                "{} is a backup of another instance ({}): restore it with --into a new folder, and export {which} from \
                 there with `workspace export-file`",
                remote.name,
                remote.manifest.instance
            );
            let file = |backup: &Backup| {
                let paths = packed(backup).map(|packed| packed.file.path().to_owned());
                Fetch::Files(paths.into_iter().collect::<HashSet<_>>())
            };
            let fetched = fetch(&place, &remote, &identities, folder, &file)?;
            if packed(&fetched).is_some() {
                return Ok(fetched);
            }
        }
        let when = self.at.as_ref().map(|at| format!(" at or before {at}")).unwrap_or_default();
        bail!("no backup of {which}{when} in {}", place.place())
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

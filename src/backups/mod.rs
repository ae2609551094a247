//! Backups: folders from which an instance, or one workspace of it, can be restored.
//!
//! A backup can be taken while a server runs, of files of any version. Each file is a SQLite file, compressed with
//! zstd: `zstd -d` and any SQLite program can read it. The manifest lists the files. It is written last, so a folder
//! without a manifest is not a backup.
//!
//! ```text
//! 20270329T020007Z/
//!   manifest.json
//!   central.sqlite.zst
//!   keys/…                   as they are in the data directory
//!   workspaces/{id}.sqlite.zst
//!   verified.json            once it was verified again
//! ```
//!
//! The central file is copied first, then each workspace. Each copy shows one moment. Changes between two of these
//! moments leave the state that a crash would leave: no one gains access, and `doctor --fix` completes interrupted
//! operations.
//!
//! An encrypted copy of a backup can be in a place outside this machine; see `remote_backups.rs`.
//!
//! A backup names its instance. An instance lists, restores and deletes only its own backups, so several instances can
//! share a folder.

mod download;
pub mod instance_backups;
mod ownership;
mod pack;
mod remote_backups;
mod restore;
mod retention;
mod take;
mod upload;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::Resource;
use crate::config::Config;
use crate::durable_fs;
use crate::storage::FileKind;
use crate::tenancy::InstanceTempDir;
use crate::values::Timestamp;

pub use download::Fetch;
pub use ownership::{Ownership, count_by_instance};
pub use pack::Packed;
pub use remote_backups::{RemoteBackup, RemoteManifest, RemoteRepository};
pub use restore::{require_free, restore};
pub use retention::Keep;
pub use take::{BackupScope, take};

/// All resources of the module, in the central API.
pub const RESOURCES: &[Resource] = &[instance_backups::RESOURCE];

const MANIFEST: &str = "manifest.json";
const CENTRAL: &str = "central.sqlite.zst";
const KEYS: &str = "keys";
const WORKSPACES: &str = "workspaces";

/// The file with the result of the last verification since the backup was taken.
const VERIFIED: &str = "verified.json";

/// Suffix of a folder that is being written or deleted.
const UNFINISHED: &str = ".unfinished";

/// The version of the manifest format.
const FORMAT: u32 = 1;

/// The folder with the backups, as seen by one instance.
pub struct Repository {
    folder: PathBuf,
    ownership: Ownership,
}

/// The backups in a folder, oldest first.
pub struct Sorted {
    pub own: Vec<Backup>,
    /// Backups of other instances, and backups that name no instance.
    pub others: Vec<Backup>,
}

/// A complete backup.
pub struct Backup {
    /// The name of its folder: the time, and the subdomain in a backup of one workspace.
    pub name: String,
    folder: PathBuf,
    pub manifest: Manifest,
}

/// The sizes of the files of a backup.
#[derive(Default)]
pub struct Sizes {
    pub bytes: u64,
    pub packed: u64,
    /// Number of files that an older backup has as well.
    pub unchanged: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The instance. Versions before 0.2 did not write it.
    #[serde(default)]
    pub instance: Option<Uuid>,
    /// The version of the program that took the backup.
    pub program: String,
    pub taken_at: Timestamp,
    /// Distinguishes backups of the same second.
    number: u32,
    /// `None` in a backup of one workspace.
    pub central: Option<Packed>,
    pub workspaces: Vec<PackedWorkspace>,
    /// Workspaces that could not be read.
    pub failures: Vec<WorkspaceFailure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackedWorkspace {
    pub id: Uuid,
    pub name: String,
    pub subdomain: String,
    pub status: String,
    /// The email address of its owner.
    pub owner: String,
    pub file: Packed,
}

/// A workspace that could not be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceFailure {
    /// Id of the workspace.
    pub id: Uuid,
    /// Subdomain of the workspace.
    pub subdomain: String,
    /// Reason, in English.
    pub problem: String,
}

/// A verification of a backup, after the one when it was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verification {
    pub at: Timestamp,
    /// One line for each damaged file.
    pub problems: Vec<String>,
}

impl Repository {
    pub fn new(config: &Config, ownership: Ownership) -> Self {
        Self { folder: config.backup_dir.clone().unwrap_or_else(|| config.data_dir.join("backups")), ownership }
    }

    /// The id of this instance, if it has one.
    pub fn instance(&self) -> Option<Uuid> {
        self.ownership.id()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads every backup in the folder, and separates the backups of this instance from the others.
    pub fn list(&self) -> anyhow::Result<Sorted> {
        let (own, others) = self.all()?.into_iter().partition(|backup| self.ownership.owns(backup));
        Ok(Sorted { own, others })
    }

    /// Reads every backup in the folder, of any instance, oldest first.
    pub fn all(&self) -> anyhow::Result<Vec<Backup>> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).with_context(|| format!("cannot read {}", self.folder.display()))? {
            let folder = entry?.path();
            if folder.join(MANIFEST).is_file() && !is_unfinished(&folder) {
                found.push(Backup::open(folder)?);
            }
        }
        found.sort_by_key(|backup| (backup.manifest.taken_at, backup.manifest.number));
        Ok(found)
    }

    /// Finds a backup of any instance by its name.
    pub fn named(&self, name: &str) -> anyhow::Result<Backup> {
        let found = self.all()?.into_iter().find(|backup| backup.name == name);
        found.with_context(|| format!("there is no backup {name} in {}", self.folder.display()))
    }

    /// Creates the folder if necessary and locks it: only one process at a time takes, copies or deletes backups.
    /// Deletes the remains of an interrupted one.
    fn lock(&self) -> anyhow::Result<File> {
        durable_fs::create_private_folder(&self.folder)?;
        let path = self.folder.join("lock");
        let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                bail!("another backup is being taken or copied in {}", self.folder.display())
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if is_unfinished(&path) {
                fs::remove_dir_all(&path).with_context(|| format!("cannot delete {}", path.display()))?;
            }
        }
        Ok(lock)
    }
}

impl Manifest {
    /// Creates an empty manifest that follows the others.
    fn new(instance: Option<Uuid>, now: Timestamp, others: &[Backup]) -> Self {
        let of_this_second = others.iter().filter(|backup| backup.manifest.taken_at == now);
        Self {
            format: FORMAT,
            instance,
            program: env!("CARGO_PKG_VERSION").into(),
            taken_at: now,
            number: of_this_second.map(|backup| backup.manifest.number).max().unwrap_or(0) + 1,
            central: None,
            workspaces: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The name of the folder. It has no colons, because some systems and programs reject them.
    fn name(&self) -> String {
        let moment = self.taken_at.to_string().replace(['-', ':'], "");
        if self.number == 1 { moment } else { format!("{moment}.{}", self.number) }
    }
}

impl Backup {
    fn open(folder: PathBuf) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).with_context(|| format!("{} is malformed", path.display()))?;
        ensure!(
            manifest.format == FORMAT,
            "{} has format {}, but this program supports {FORMAT}: run a newer cx-engine",
            path.display(),
            manifest.format
        );
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, folder, manifest })
    }

    /// Finds a workspace by its id.
    pub fn workspace(&self, id: Uuid) -> Option<&PackedWorkspace> {
        self.manifest.workspaces.iter().find(|workspace| workspace.id == id)
    }

    /// Finds the workspaces that had this subdomain or id at the time of the backup.
    pub fn workspaces_named(&self, which: &str) -> impl Iterator<Item = &PackedWorkspace> {
        let id = which.parse::<Uuid>().ok();
        let all = self.manifest.workspaces.iter();
        all.filter(move |workspace| Some(workspace.id) == id || workspace.subdomain == which)
    }

    /// The workspace, in a backup of one workspace.
    pub fn single_workspace(&self) -> Option<&PackedWorkspace> {
        self.manifest.workspaces.first().filter(|_| self.manifest.central.is_none())
    }

    /// Every file in the backup: its name, its kind, and its packed form.
    pub fn files(&self) -> impl Iterator<Item = (&str, FileKind, &Packed)> {
        let central = self.manifest.central.iter().map(|packed| ("central", FileKind::Central, packed));
        let workspaces = self.manifest.workspaces.iter();
        central.chain(workspaces.map(|workspace| (workspace.subdomain.as_str(), FileKind::Workspace, &workspace.file)))
    }

    /// The names of its keys.
    fn key_files(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.folder.join(KEYS);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        entries.map(name).collect()
    }

    /// Unpacks a file to an unused path and verifies it, byte for byte.
    pub fn unpack(&self, packed: &Packed, to: &Path) -> anyhow::Result<()> {
        packed.unpack(&self.folder, to)
    }

    /// Unpacks every file, verifies it and deletes the unpacked copy. Calls `done` after each file.
    pub fn verify(&self, temp_dir: &InstanceTempDir, mut done: impl FnMut()) -> anyhow::Result<Vec<String>> {
        let mut problems = Vec::new();
        for (what, _, packed) in self.files() {
            if let Err(error) = packed.verify(&self.folder, temp_dir) {
                problems.push(format!("{what}: {error:#}"));
            }
            done();
        }
        Ok(problems)
    }

    /// The last verification since the backup was taken. `None` also if its result cannot be read.
    pub fn last_verification(&self) -> Option<Verification> {
        serde_json::from_slice(&fs::read(self.folder.join(VERIFIED)).ok()?).ok()
    }

    /// Saves the result of a verification in the folder of the backup.
    pub fn save_verification(&self, verification: &Verification) -> anyhow::Result<()> {
        durable_fs::write_private_file(&self.folder.join(VERIFIED), &serde_json::to_vec_pretty(verification)?)
    }

    /// Whether everything could be restored from the backup, as far as its last verification tells.
    pub fn is_good(&self, last: Option<&Verification>) -> bool {
        let is_complete = self.manifest.central.is_some() && self.manifest.failures.is_empty();
        is_complete && last.is_none_or(|last| last.problems.is_empty())
    }

    /// The sizes of its files together.
    pub fn sizes(&self) -> Sizes {
        let mut sizes = Sizes::default();
        for (_, _, Packed { bytes, packed_bytes, is_unchanged, .. }) in self.files() {
            sizes.bytes += bytes;
            sizes.packed += packed_bytes;
            sizes.unchanged += usize::from(*is_unchanged);
        }
        sizes
    }

    /// Deletes the backup. If that is interrupted, the rest no longer counts as a backup.
    fn delete(self) -> anyhow::Result<()> {
        let going = unfinished(&self.folder);
        let deleted = fs::rename(&self.folder, &going).and_then(|()| fs::remove_dir_all(&going));
        deleted.with_context(|| format!("cannot delete {}", self.folder.display()))
    }
}

fn unfinished(folder: &Path) -> PathBuf {
    crate::storage::companion_path(folder, UNFINISHED)
}

fn is_unfinished(folder: &Path) -> bool {
    folder.to_string_lossy().ends_with(UNFINISHED)
}

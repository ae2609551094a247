//! Backups: all that an instance holds at a moment, or one workspace of it, as a folder that can be put back.
//!
//! A backup is made beside a server that runs, and of whatever version the files are. Each file is one of SQLite, packed by
//! zstd: `zstd -d` and any program that reads SQLite are enough to get at it. The manifest says what there is, and
//! is written last: a folder without one is no backup.
//!
//! ```text
//! 20270329T020007Z/
//!   manifest.json
//!   central.sqlite.zst
//!   keys/…                   as they are in the data directory
//!   workspaces/{id}.sqlite.zst
//! ```
//!
//! The central file is copied first, then each workspace, each as it is at one moment. What happens between two of these
//! moments is what a crash at that moment would leave: nobody gets in who may not, and `doctor --fix` finishes the rest.
//!
//! A backup names its instance. An instance lists, restores and deletes only its own backups, so that several can share a folder.

mod ownership;
mod pack;
mod restore;
mod retention;
mod take;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Config;
use crate::durable_fs;
use crate::storage::Kind;
use crate::tenancy::Scratch;
use crate::values::Timestamp;

pub use ownership::{Ownership, count_by_instance};
pub use pack::Packed;
pub use restore::restore;
pub use retention::Keep;
pub use take::{Scope, take};

const MANIFEST: &str = "manifest.json";
const CENTRAL: &str = "central.sqlite.zst";
const KEYS: &str = "keys";
const WORKSPACES: &str = "workspaces";

/// What the name of a folder ends in that is being written, or deleted.
const UNFINISHED: &str = ".unfinished";

/// The version of the manifest.
const FORMAT: u32 = 1;

/// The folder that holds backups, as one instance sees it.
pub struct Repository {
    folder: PathBuf,
    ownership: Ownership,
}

/// The backups in a folder, the oldest first.
pub struct Sorted {
    pub own: Vec<Backup>,
    /// Backups of other instances, and backups that name no instance.
    pub others: Vec<Backup>,
}

/// A backup that is whole.
pub struct Backup {
    /// That of its folder: the moment, and the workspace where it is of one alone.
    pub name: String,
    folder: PathBuf,
    pub manifest: Manifest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The instance that it is of. Versions before 0.2 did not write this.
    #[serde(default)]
    pub instance: Option<Uuid>,
    /// The version of the program that made it.
    pub program: String,
    pub taken_at: Timestamp,
    /// The how-manieth of its second.
    number: u32,
    /// None in the backup of one workspace.
    pub central: Option<Packed>,
    pub workspaces: Vec<PackedWorkspace>,
    /// Workspaces that could not be read.
    pub failures: Vec<Failure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackedWorkspace {
    pub id: Uuid,
    pub name: String,
    pub subdomain: String,
    pub status: String,
    /// The address of its owner.
    pub owner: String,
    pub file: Packed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub id: Uuid,
    pub subdomain: String,
    pub problem: String,
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

    /// Reads every backup in the folder, and separates this instance's from the others.
    pub fn sorted(&self) -> anyhow::Result<Sorted> {
        let (own, others) = self.all()?.into_iter().partition(|backup| self.ownership.owns(backup));
        Ok(Sorted { own, others })
    }

    /// Every backup in the folder, whosever it is, the oldest first.
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

    /// A backup by its name, whosever it is.
    pub fn named(&self, name: &str) -> anyhow::Result<Backup> {
        let found = self.all()?.into_iter().find(|backup| backup.name == name);
        found.with_context(|| format!("there is no backup {name} in {}", self.folder.display()))
    }

    /// Makes the folder where it is not there, and claims it: backups are made and deleted by one at a time. What one that
    /// was interrupted has left goes now.
    fn claim(&self) -> anyhow::Result<File> {
        durable_fs::create_private_folder(&self.folder)?;
        let path = self.folder.join("lock");
        let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => bail!("another backup is being made in {}", self.folder.display()),
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
    /// Of nothing yet, as the next one after others.
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

    /// What its folder is called: no colons, which some systems and programs do not take.
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
            serde_json::from_slice(&text).with_context(|| format!("{} makes no sense", path.display()))?;
        ensure!(
            manifest.format == FORMAT,
            "{} is of format {}, and this program knows {FORMAT}: run a newer cx-engine",
            path.display(),
            manifest.format
        );
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, folder, manifest })
    }

    /// A workspace in it, by its id.
    pub fn workspace(&self, id: Uuid) -> Option<&PackedWorkspace> {
        self.manifest.workspaces.iter().find(|workspace| workspace.id == id)
    }

    /// Those that had this subdomain or id then.
    pub fn workspaces_named(&self, which: &str) -> impl Iterator<Item = &PackedWorkspace> {
        let id = which.parse::<Uuid>().ok();
        let all = self.manifest.workspaces.iter();
        all.filter(move |workspace| Some(workspace.id) == id || workspace.subdomain == which)
    }

    /// The only workspace in it, where it is of one alone.
    pub fn of_one(&self) -> Option<&PackedWorkspace> {
        self.manifest.workspaces.first().filter(|_| self.manifest.central.is_none())
    }

    /// Every file in it: what it is of, its kind, how it is packed.
    pub fn files(&self) -> impl Iterator<Item = (&str, Kind, &Packed)> {
        let central = self.manifest.central.iter().map(|packed| ("central", Kind::Central, packed));
        let workspaces = self.manifest.workspaces.iter();
        central.chain(workspaces.map(|workspace| (workspace.subdomain.as_str(), Kind::Workspace, &workspace.file)))
    }

    /// Unpacks one of its files to a path that is free: it is then the same as it was, to the byte, and sound.
    pub fn unpack(&self, packed: &Packed, to: &Path) -> anyhow::Result<()> {
        packed.unpack(&self.folder, to)
    }

    /// Unpacks every file, verifies it and deletes the unpacked copy. Calls `done` after each file.
    pub fn verify(&self, scratch: &Scratch, mut done: impl FnMut()) -> anyhow::Result<Vec<String>> {
        let mut problems = Vec::new();
        for (what, _, packed) in self.files() {
            if let Err(error) = packed.verify(&self.folder, scratch) {
                problems.push(format!("{what}: {error:#}"));
            }
            done();
        }
        Ok(problems)
    }

    /// Deletes it. Where that is interrupted, what is left is no backup any more.
    fn delete(self) -> anyhow::Result<()> {
        let going = unfinished(&self.folder);
        let deleted = fs::rename(&self.folder, &going).and_then(|()| fs::remove_dir_all(&going));
        deleted.with_context(|| format!("cannot delete {}", self.folder.display()))
    }
}

fn unfinished(folder: &Path) -> PathBuf {
    crate::storage::beside(folder, UNFINISHED)
}

fn is_unfinished(folder: &Path) -> bool {
    folder.to_string_lossy().ends_with(UNFINISHED)
}

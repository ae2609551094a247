//! Places outside this machine that keep backups: an object store, or a command that copies objects elsewhere. They are
//! not trusted: all content is encrypted before it leaves, and read again afterwards.
//!
//! An object has a name without slashes, and is at most as large as one part of a backup.

mod age_key;
mod command_hook;
mod offsite_settings;
mod part_reader;
mod part_writer;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::object_store::{ObjectStore, StoreError};
use crate::values::checksum::sha256_of;
pub use age_key::{Identities, NewKey, Recipient};
pub use command_hook::CommandHook;
pub use offsite_settings::{BackupTarget, OffsiteSettings};
pub use part_reader::PartReader;
pub use part_writer::PartWriter;

/// Waits before the next attempts.
const WAITS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// The largest object that is read into memory, in bytes.
const MAX_IN_MEMORY: u64 = 32 << 20;

/// Where backups go.
pub struct Destination {
    target: BackupTarget,
    access: Access,
}

enum Access {
    Store(Box<ObjectStore>),
    Command(CommandHook),
}

/// An object with a part of an encrypted backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Destination {
    /// Reads the key files and checks the address. Reaches nothing.
    pub fn open(settings: &OffsiteSettings) -> anyhow::Result<Self> {
        let access = match settings.store() {
            Some(store) => Access::Store(Box::new(ObjectStore::open(&store)?)),
            None => Access::Command(CommandHook::open(&settings.target)?),
        };
        Ok(Self { target: settings.target.clone(), access })
    }

    /// The address, as people typed it.
    pub fn target(&self) -> &BackupTarget {
        &self.target
    }

    /// Stores a file as a new object.
    pub fn put(&self, name: &str, path: &Path, bytes: u64) -> anyhow::Result<()> {
        let stored = match &self.access {
            Access::Store(store) => create(store, name, path),
            Access::Command(hook) => hook.put(name, path, bytes),
        };
        stored.with_context(|| format!("cannot store {name} in {}", self.target))
    }

    /// Reads a part into a file, which is created or replaced, and verifies its checksum.
    pub fn fetch(&self, name: &str, part: &Part, path: &Path) -> anyhow::Result<File> {
        attempted(|| {
            let opened = File::options().read(true).write(true).create(true).truncate(true).open(path);
            let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
            self.read(name, part.bytes, &mut file)?;
            ensure!(sha256_of(&mut file)?.1 == part.sha256, "{name} is damaged: it does not match its checksum");
            file.rewind()?;
            Ok(file)
        })
    }

    /// Reads a small object.
    pub fn read_small(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        attempted(|| {
            let mut file = tempfile::tempfile().context("cannot create a temporary file")?;
            self.read(name, MAX_IN_MEMORY, &mut file)?;
            let mut body = Vec::new();
            file.read_to_end(&mut body)?;
            Ok(body)
        })
    }

    /// Reads an object of at most this many bytes into an empty file, and rewinds the file.
    fn read(&self, name: &str, bytes: u64, file: &mut File) -> anyhow::Result<()> {
        let read = match &self.access {
            Access::Store(store) => read_from_store(store, name, bytes, file),
            Access::Command(hook) => hook.get(name, bytes, file),
        };
        read.with_context(|| format!("cannot read {name} from {}", self.target))?;
        Ok(file.rewind()?)
    }

    /// The names of all objects.
    pub fn list(&self) -> anyhow::Result<Vec<String>> {
        let listed = match &self.access {
            Access::Store(store) => repeated(|| store.list("", None))
                .map(|found| found.into_iter().map(|object| object.key).collect())
                .map_err(anyhow::Error::from),
            Access::Command(hook) => hook.list(),
        };
        // An object store may have objects of others in folders below.
        let is_name = |name: &String| !name.is_empty() && !name.contains('/');
        listed
            .map(|names: Vec<String>| names.into_iter().filter(is_name).collect())
            .with_context(|| format!("cannot list the backups in {}", self.target))
    }

    /// Deletes an object.
    pub fn delete(&self, name: &str) -> anyhow::Result<()> {
        let deleted = match &self.access {
            Access::Store(store) => repeated(|| store.delete(name)).map_err(anyhow::Error::from),
            Access::Command(hook) => hook.delete(name),
        };
        deleted.with_context(|| format!("cannot delete {name} in {}", self.target))
    }
}

/// Creates an object. After an attempt without a final answer, the object may be there; its content is verified later.
fn create(store: &ObjectStore, name: &str, path: &Path) -> anyhow::Result<()> {
    let mut is_first = true;
    let created = repeated(|| {
        let created = store.create_from_file(name, path).map(drop);
        let was_first = std::mem::replace(&mut is_first, false);
        if created == Err(StoreError::Precondition) && !was_first { Ok(()) } else { created }
    });
    match created {
        Err(StoreError::Precondition) => bail!("there is such an object already: another server uses this place too"),
        created => Ok(created?),
    }
}

fn read_from_store(store: &ObjectStore, name: &str, bytes: u64, file: &mut File) -> anyhow::Result<()> {
    let mut written: io::Result<()> = Ok(());
    let found = store.read_up_to(name, bytes, &mut |piece| {
        if written.is_ok() {
            written = file.write_all(piece);
        }
        Ok(())
    })?;
    written.context("cannot write to the local disk")?;
    if found { Ok(()) } else { Err(anyhow!("there is no such object")) }
}

/// Repeats work that failed.
fn attempted<T>(mut work: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    for wait in WAITS {
        match work() {
            Err(_) => thread::sleep(wait),
            done => return done,
        }
    }
    work()
}

/// Repeats a request that gave no final answer.
fn repeated<T>(mut request: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for wait in WAITS {
        match request() {
            Err(StoreError::Unknown(_)) => thread::sleep(wait),
            done => return done,
        }
    }
    request()
}

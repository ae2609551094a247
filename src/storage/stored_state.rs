//! The note next to a file whose commits are kept in a store: what the store had when the WAL was last copied into the
//! file. With the WAL behind it, the note proves that the local file goes on where the store ends.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::snapshot::companion_path;
use super::wal::WalPosition;
use crate::durable_fs;

/// The end of the name of a note. A connection to a file with a note does not checkpoint when it closes.
pub(super) const SUFFIX: &str = ".stored";

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredState {
    /// The file is newer than all that the store has of it. The store has nothing, or another file was put in its place.
    Newer,
    /// The file with its WAL, up to a position, is the state after a segment.
    At(StoredAt),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAt {
    /// Number of the last segment, and its digest.
    pub segment: u64,
    pub digest: String,
    /// The end of the WAL at that segment. `None` if the WAL was empty.
    pub wal: Option<WalPosition>,
    /// Whether the WAL up to there is in the file, so that a writer may start the WAL again.
    pub is_copied: bool,
    /// The file on disk: its size, and its time of change in nanoseconds.
    file: (u64, i128),
}

impl StoredState {
    /// `None` if there is no note.
    pub fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let path = companion_path(file, SUFFIX);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.with_context(|| format!("cannot read {}", path.display()))?;
                // A note that cannot be read proves nothing.
                Ok(serde_json::from_slice(&text).ok())
            }
        }
    }

    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        durable_fs::write_private_file(&companion_path(file, SUFFIX), &serde_json::to_vec(self)?)
    }
}

impl StoredAt {
    /// Describes a file as it is now.
    pub fn new(
        file: &Path,
        (segment, digest): (u64, String),
        wal: Option<WalPosition>,
        is_copied: bool,
    ) -> anyhow::Result<Self> {
        Ok(Self { segment, digest, wal, is_copied, file: on_disk(file)? })
    }

    /// Whether the file without its WAL is the state after the segment.
    pub fn is_file_alone(&self, file: &Path) -> anyhow::Result<bool> {
        Ok(self.is_copied && on_disk(file)? == self.file)
    }
}

fn on_disk(file: &Path) -> anyhow::Result<(u64, i128)> {
    let data = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok((data.len(), i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec())))
}

/// Whether the commits of a file are kept in a store.
pub fn is_stored(file: &Path) -> bool {
    companion_path(file, SUFFIX).exists()
}

/// Deletes the note of a file, so that its connections checkpoint again when they close. Returns whether there was one.
pub fn forget_store(file: &Path) -> anyhow::Result<bool> {
    let is = is_stored(file);
    durable_fs::if_there(fs::remove_file(companion_path(file, SUFFIX)))?;
    Ok(is)
}

//! Scratch: a folder of one's own for files that are being copied or looked over, gone when it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::durable_fs;

pub struct Scratch {
    folder: TempDir,
    /// Locked for as long as somebody works in it.
    _claim: File,
}

impl Scratch {
    /// In a data directory: there is room where the files themselves are, and SQLite can work there.
    pub fn new(data: &Path) -> anyhow::Result<Self> {
        let place = place(data);
        durable_fs::create_folder(&place)?;
        // A command that was killed leaves its files to the next one, and not to the next start of a server.
        if let Err(error) = clear(data) {
            tracing::warn!(%error, "what a killed command left behind could not be cleared");
        }
        loop {
            let folder = TempDir::new_in(&place).with_context(|| format!("cannot write to {}", place.display()))?;
            let claim = File::open(folder.path())?;
            // A server that starts just now may have taken it for one that was left behind.
            if claim.try_lock().is_ok() && folder.path().exists() {
                return Ok(Self { folder, _claim: claim });
            }
        }
    }

    /// In the system's folder for temporary files, for work without a data directory.
    pub fn temporary() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        Ok(Self { _claim: File::open(folder.path())?, folder })
    }

    /// A file in it, which nobody else has.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Deletes what crashes have left behind. What somebody works in is locked.
pub fn clear(data: &Path) -> anyhow::Result<()> {
    let place = place(data);
    for entry in fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))? {
        let path = entry?.path();
        // It may be gone, since whoever worked in it is done.
        let Ok(left) = File::open(&path) else { continue };
        if left.try_lock().is_ok() {
            let deleted = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            deleted.with_context(|| format!("cannot delete {}", path.display()))?;
        }
    }
    Ok(())
}

fn place(data: &Path) -> PathBuf {
    data.join("copies")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_cleared_and_what_is_worked_in_is_not() {
        let data = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(data.path()).unwrap();
        fs::write(scratch.file("one"), "being written").unwrap();
        let left = data.path().join("copies/left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("two"), "of a crash").unwrap();
        clear(data.path()).unwrap();
        assert!(scratch.file("one").exists() && !left.exists());
        drop(scratch);
        assert_eq!(fs::read_dir(data.path().join("copies")).unwrap().count(), 0);

        // Whoever comes next clears too.
        fs::create_dir(&left).unwrap();
        let _next = Scratch::new(data.path()).unwrap();
        assert!(!left.exists());
    }
}

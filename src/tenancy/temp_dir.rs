//! A temporary folder for files that are being copied or verified. Dropping it deletes the folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::durable_fs;

pub struct InstanceTempDir {
    folder: TempDir,
    /// Locked while the folder is in use.
    _claim: File,
}

impl InstanceTempDir {
    /// Creates it in a data directory, which has space for large files and where SQLite can work.
    pub fn new(data: &Path) -> anyhow::Result<Self> {
        let place = parent_dir(data);
        durable_fs::create_folder(&place)?;
        // Clear here too: a killed command must not leave its files until the next start of a server.
        if let Err(error) = delete_abandoned(data) {
            tracing::warn!(%error, "cannot delete the temporary files of a killed command");
        }
        loop {
            let folder = TempDir::new_in(&place).with_context(|| format!("cannot write to {}", place.display()))?;
            let claim = File::open(folder.path())?;
            // A server that is starting may have taken the folder for an abandoned one.
            if claim.try_lock().is_ok() && folder.path().exists() {
                return Ok(Self { folder, _claim: claim });
            }
        }
    }

    /// Creates it in the system's temporary folder, for work without a data directory.
    pub fn temporary() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
        Ok(Self { _claim: File::open(folder.path())?, folder })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in this folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Deletes folders that crashes have left behind. Folders in use are locked.
pub fn delete_abandoned(data: &Path) -> anyhow::Result<()> {
    let place = parent_dir(data);
    for entry in fs::read_dir(&place).with_context(|| format!("cannot read {}", place.display()))? {
        let path = entry?.path();
        // The process that used the folder may have deleted it.
        let Ok(left) = File::open(&path) else { continue };
        if left.try_lock().is_ok() {
            let deleted = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            deleted.with_context(|| format!("cannot delete {}", path.display()))?;
        }
    }
    Ok(())
}

fn parent_dir(data: &Path) -> PathBuf {
    data.join("copies")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_cleared_and_what_is_worked_in_is_not() {
        let data = tempfile::tempdir().unwrap();
        let temp_dir = InstanceTempDir::new(data.path()).unwrap();
        fs::write(temp_dir.file("one"), "being written").unwrap();
        let left = data.path().join("copies/left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("two"), "of a crash").unwrap();
        delete_abandoned(data.path()).unwrap();
        assert!(temp_dir.file("one").exists() && !left.exists());
        drop(temp_dir);
        assert_eq!(fs::read_dir(data.path().join("copies")).unwrap().count(), 0);

        // A new temporary folder clears abandoned ones too.
        fs::create_dir(&left).unwrap();
        let _next = InstanceTempDir::new(data.path()).unwrap();
        assert!(!left.exists());
    }
}

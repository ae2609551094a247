//! Uploaded files that outlive their request: those that are imported in steps. They are deleted after a day, and with
//! their workspace.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use uuid::Uuid;

use crate::durable_fs::{self, if_there};
use crate::values::Timestamp;

/// Seconds for which a file is kept.
pub const KEPT: i64 = 86_400;

/// The path of a file.
pub fn path(data: &Path, workspace: Uuid, name: &str) -> PathBuf {
    folder(data, workspace).join(name)
}

fn folder(data: &Path, workspace: Uuid) -> PathBuf {
    data.join("imports").join(workspace.to_string())
}

/// Keeps a file. When this returns, it is on disk.
pub fn keep(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    durable_fs::create_private_folder(durable_fs::folder_of(path)?)?;
    durable_fs::write_private_file(path, content)
}

/// Deletes a file, if it is there.
pub fn delete(path: &Path) -> anyhow::Result<()> {
    if_there(fs::remove_file(path)).with_context(|| format!("cannot delete {}", path.display()))
}

/// Deletes the files of a workspace.
pub fn delete_of_workspace(data: &Path, workspace: Uuid) -> anyhow::Result<()> {
    let folder = folder(data, workspace);
    if_there(fs::remove_dir_all(&folder)).with_context(|| format!("cannot delete {}", folder.display()))
}

/// Deletes the files that were kept for a day, and folders that are empty.
pub fn delete_expired(data: &Path, now: Timestamp) -> anyhow::Result<()> {
    let before = u64::try_from(now.plus(-KEPT).seconds()).unwrap_or_default();
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(before);
    for folder in fs::read_dir(data.join("imports"))? {
        let folder = folder?.path();
        for file in fs::read_dir(&folder)? {
            let file = file?;
            if file.metadata()?.modified()? < before {
                delete(&file.path())?;
            }
        }
        match fs::remove_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => if_there(Err(error))?,
            _ => {}
        }
    }
    Ok(())
}

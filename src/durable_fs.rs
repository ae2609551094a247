//! Writes files and folders so that they survive a power loss: syncs the content, renames, syncs the folder.
//!
//! A new file is on disk only after its folder is synced. A new folder is on disk only after its parent folder is
//! synced.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;

/// Creates a folder with the folders above it, unless it exists.
pub fn create_folder(folder: &Path) -> anyhow::Result<()> {
    create_folder_with(&mut DirBuilder::new(), folder)
}

/// Creates a folder that only its owner can open, unless it exists.
pub fn create_private_folder(folder: &Path) -> anyhow::Result<()> {
    create_folder_with(DirBuilder::new().mode(0o700), folder)
}

fn create_folder_with(builder: &mut DirBuilder, folder: &Path) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    builder.recursive(true).create(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    sync(folder_of(folder)?)
}

/// Creates a file that only its owner can read. The caller syncs the folder, once for all files that it creates there.
pub fn create_private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Writes a file that only its owner can read, completely or not at all. Replaces an existing file at the path.
pub fn write_private_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    if_there(fs::remove_file(&unfinished))
        .and_then(|()| create_private_file(&unfinished, content))
        .with_context(|| format!("cannot write {}", path.display()))?;
    rename(&unfinished, path)
}

/// The result of a deletion. What is not there counts as deleted.
pub fn if_there(deleted: io::Result<()>) -> io::Result<()> {
    deleted.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Syncs a file or a folder, renames it, and syncs the target folder. Creates the target folder if it does not exist.
pub fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    let folder = folder_of(to)?;
    create_folder(folder)?;
    sync(from)?;
    fs::rename(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    sync(folder)
}

/// Syncs a file, or the names in a folder.
pub fn sync(path: &Path) -> anyhow::Result<()> {
    // The parent of a bare file name is the working directory.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot write {}", path.display()))
}

pub fn folder_of(path: &Path) -> anyhow::Result<&Path> {
    path.parent().with_context(|| format!("{} has no parent folder", path.display()))
}

//! The lifecycle of a workspace file: copied from a template, in service, in the trash, restored, deleted.
//!
//! The central file determines the state of a workspace; the place of its file follows. The next round of jobs finishes
//! a step that a crash interrupted, or `doctor` reports it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use uuid::Uuid;

use super::indexing;
use crate::durable_fs;
use crate::storage::{self, FileKind, StoredState};
use crate::values::Timestamp;

/// A migrated workspace file without an owner. Copying it takes a tenth of the time of migrating a new file.
pub struct Template {
    path: PathBuf,
    /// Held during the creation, so that two first workspaces do not create it at once.
    making: Mutex<()>,
}

/// The initial content of a workspace file.
#[derive(Debug, Clone)]
pub struct NewWorkspaceFile {
    pub id: Uuid,
    /// The name of the workspace and of its first organisation.
    pub name: String,
    pub owner: Owner,
    pub default_country: String,
    pub timezone: String,
    pub now: Timestamp,
}

/// The account that owns a new workspace and is its first user.
#[derive(Debug, Clone)]
pub struct Owner {
    pub account_id: i64,
    pub name: String,
    pub email: String,
}

/// The permission bits of the group and of others.
const OTHERS: u32 = 0o077;

/// The role of the owner of a new workspace.
pub const OWNERS_ROLE: &str = "admin";

impl Template {
    pub fn new(folder: PathBuf) -> Self {
        let version = FileKind::Workspace.version();
        Self { path: folder.join(format!("template-{version}.sqlite")), making: Mutex::default() }
    }

    /// Creates a workspace file at `path`. When this returns, the whole file is on disk, or none of it.
    pub fn make(&self, path: &Path, beginning: &NewWorkspaceFile) -> anyhow::Result<()> {
        let unfinished = path.with_extension("new");
        let made = self.copy_to(&unfinished, beginning).and_then(|()| durable_fs::rename(&unfinished, path));
        if made.is_err() {
            // Free the space, because the disk may be full. Nothing else deletes this file.
            delete_file(&unfinished)?;
            delete_file(path)?;
        }
        made
    }

    fn copy_to(&self, unfinished: &Path, beginning: &NewWorkspaceFile) -> anyhow::Result<()> {
        let template = self.path_or_create()?;
        durable_fs::create_folder(durable_fs::folder_of(unfinished)?)?;
        fs::copy(template, unfinished).with_context(|| format!("cannot write {}", unfinished.display()))?;
        let mut db = storage::open_writer(unfinished)?;
        storage::transaction(&mut db, |db| initialize(db, beginning))?;
        db.close().map_err(|(_, error)| error.into())
    }

    /// Returns the path of the template, and creates it if it does not exist.
    pub fn path_or_create(&self) -> anyhow::Result<&Path> {
        let _making = self.making.lock();
        if !self.path.exists() {
            // Another process may create it too. Each writes its own file, and the last rename wins.
            let unfinished = self.path.with_extension(format!("{}.new", std::process::id()));
            delete_file(&unfinished)?;
            let made = storage::create(&unfinished, FileKind::Workspace);
            if made.is_err() {
                delete_file(&unfinished)?;
            }
            made?;
            fs::rename(&unfinished, &self.path)?;
        }
        Ok(&self.path)
    }
}

fn initialize(db: &rusqlite::Connection, new: &NewWorkspaceFile) -> rusqlite::Result<()> {
    db.execute("INSERT INTO workspace (id, created_at) VALUES (?1, ?2)", (new.id.to_string(), new.now))?;
    for (name, value) in [
        ("default_country", new.default_country.clone()),
        ("phones_indexed_for", indexing::number_rules_for(&new.default_country)),
        ("texts_indexed_by", indexing::text_rules()),
        ("timezone", new.timezone.clone()),
    ] {
        db.execute("INSERT INTO settings (name, value) VALUES (?1, ?2)", (name, value))?;
    }
    db.execute("INSERT INTO organisations (name, created_at, updated_at) VALUES (?1, ?2, ?2)", (&new.name, new.now))?;
    db.execute(
        "INSERT INTO users (account_id, name, account_name, email, role_id, created_at, updated_at)
         SELECT ?1, ?2, ?2, ?3, id, ?5, ?5 FROM roles WHERE name = ?4",
        (new.owner.account_id, &new.owner.name, &new.owner.email, OWNERS_ROLE, new.now),
    )?;
    Ok(())
}

/// The path of a workspace file in service. The files are spread over 256 folders, since a folder of thousands is slow
/// to list.
pub fn live_path(data: &Path, id: Uuid) -> PathBuf {
    let name = id.to_string();
    // Use the last digits: the first digits of a UUID v7 are the time, so workspaces of the same year share them.
    data.join("workspaces").join(&name[name.len() - 2..]).join(format!("{name}.sqlite"))
}

/// The path of a workspace file in the trash.
pub fn trash_path(data: &Path, id: Uuid) -> PathBuf {
    data.join("trash").join(format!("{id}.sqlite"))
}

/// The files of workspaces in service.
pub fn live_files(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in entries(&data.join("workspaces"))?.into_iter().filter(|path| path.is_dir()) {
        files.extend(entries(&folder)?.into_iter().filter(|path| is_file_of_workspace(path)));
    }
    Ok(files)
}

/// The files in the trash.
pub fn trashed_files(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(entries(&data.join("trash"))?.into_iter().filter(|path| is_file_of_workspace(path)).collect())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn is_file_of_workspace(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "sqlite")
}

/// Whether Litestream has replicated the file at a path. Its metadata folder next to the file shows that. Litestream
/// stops when the file is moved away, and does not notice a new file at the same path.
pub fn was_replicated(path: &Path) -> bool {
    let folder = path.file_name().map(|name| format!(".{}-litestream", name.to_string_lossy()));
    folder.is_some_and(|folder| path.with_file_name(folder).is_dir())
}

/// Removes the permissions of group and others from a folder and its direct entries. Fails if a permission cannot be
/// changed.
pub fn make_private(folder: &Path) -> anyhow::Result<()> {
    close_to_others(folder)?;
    let unreadable = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let kind = entry.file_type().with_context(unreadable)?;
        if kind.is_dir() || kind.is_file() {
            close_to_others(&entry.path())?;
        }
    }
    Ok(())
}

fn close_to_others(path: &Path) -> anyhow::Result<()> {
    let rights = || fs::metadata(path).map(|found| found.permissions().mode() & 0o7777);
    let open = match rights() {
        Ok(mode) if mode & OTHERS != 0 => mode,
        Ok(_) => return Ok(()),
        // The file may be gone by now, such as the WAL of a database that is being closed.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let closed = fs::set_permissions(path, fs::Permissions::from_mode(open & !OTHERS));
    if closed.is_err() || rights().is_ok_and(|mode| mode & OTHERS != 0) {
        bail!("{} is open to others (mode {open:03o}), and its permissions cannot be changed", path.display());
    }
    tracing::warn!(path = %path.display(), mode = format!("{open:03o}"), "was open to others; access removed");
    Ok(())
}

/// Moves a file that no one has open, with the WAL that a crash may have left. When this returns, the move is on disk.
/// A missing file counts as moved.
pub fn move_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    durable_fs::create_folder(durable_fs::folder_of(to)?)?;
    let mut moved = false;
    // Move the WAL first. A file without its WAL lacks its last writes; a WAL without its file is harmless.
    for suffix in [".stored", "-wal", "-shm", ""] {
        match fs::rename(storage::companion_path(from, suffix), storage::companion_path(to, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot move {}", from.display()));
            }
            renamed => moved |= renamed.is_ok(),
        }
    }
    if moved {
        durable_fs::sync(durable_fs::folder_of(to)?)?;
        durable_fs::sync(durable_fs::folder_of(from)?)?;
    }
    Ok(())
}

/// Puts a finished file in the place of a workspace. If the files of the instance are kept in a store, the file is noted
/// as newer than what the store has under its id.
pub fn put_in_place(data: &Path, finished: &Path, path: &Path) -> anyhow::Result<()> {
    if storage::is_stored(&data.join("central.sqlite")) {
        durable_fs::create_folder(durable_fs::folder_of(path)?)?;
        StoredState::Newer.write(path)?;
    }
    durable_fs::rename(finished, path)
}

/// Deletes a file that no one has open, with its WAL. If the parent path is not a folder, the file does not exist.
pub fn delete_file(path: &Path) -> anyhow::Result<()> {
    for suffix in ["", "-wal", "-shm", ".stored"] {
        match fs::remove_file(storage::companion_path(path, suffix)) {
            Err(error) if ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                return Err(error).with_context(|| format!("cannot delete {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

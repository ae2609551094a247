//! The life of a workspace's file: copied from a template, in service, in the trash, back, gone.
//!
//! The central file says what a workspace is; where its file lies follows. A step that a crash interrupted is finished
//! by the server's next round of jobs, or found by `doctor`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use uuid::Uuid;

use super::indexing;
use crate::durable_fs;
use crate::storage::{self, Kind};
use crate::values::Timestamp;

/// A migrated workspace without an owner: to copy it takes a tenth of the time that migrating a new one does.
pub struct Template {
    path: PathBuf,
    /// Held while it is made, so that two first workspaces do not make it at once.
    making: Mutex<()>,
}

/// What a new workspace's file begins with.
#[derive(Debug, Clone)]
pub struct Beginning {
    pub id: Uuid,
    /// What the workspace is called, and with it its first organisation.
    pub name: String,
    pub owner: Owner,
    pub default_country: String,
    pub timezone: String,
    pub now: Timestamp,
}

/// The account that a new workspace is made for; it is the workspace's first user.
#[derive(Debug, Clone)]
pub struct Owner {
    pub account_id: i64,
    pub name: String,
    pub email: String,
}

/// The rights of other users than the owner of a file.
const OTHERS: u32 = 0o077;

/// The role of whoever makes a workspace.
pub const OWNERS_ROLE: &str = "admin";

impl Template {
    pub fn new(folder: PathBuf) -> Self {
        let version = Kind::Workspace.version();
        Self { path: folder.join(format!("template-{version}.sqlite")), making: Mutex::default() }
    }

    /// Makes a workspace's file at `path`: all of it is there and on disk when this returns, or nothing.
    pub fn make(&self, path: &Path, beginning: &Beginning) -> anyhow::Result<()> {
        let unfinished = path.with_extension("new");
        let made = self.copy_to(&unfinished, beginning).and_then(|()| durable_fs::rename(&unfinished, path));
        if made.is_err() {
            // On a full disk its room is wanted, and nobody else knows of it.
            delete_file(&unfinished)?;
            delete_file(path)?;
        }
        made
    }

    fn copy_to(&self, unfinished: &Path, beginning: &Beginning) -> anyhow::Result<()> {
        let template = self.ready()?;
        durable_fs::create_folder(durable_fs::folder_of(unfinished)?)?;
        fs::copy(template, unfinished).with_context(|| format!("cannot write {}", unfinished.display()))?;
        let mut db = storage::open_writer(unfinished)?;
        storage::transaction(&mut db, |db| begin(db, beginning))?;
        db.close().map_err(|(_, error)| error.into())
    }

    /// Where it lies, made if it is not there yet.
    pub fn ready(&self) -> anyhow::Result<&Path> {
        let _making = self.making.lock();
        if !self.path.exists() {
            // Another process may be at it too: each makes its own, and the last to finish wins.
            let unfinished = self.path.with_extension(format!("{}.new", std::process::id()));
            delete_file(&unfinished)?;
            let made = storage::create(&unfinished, Kind::Workspace);
            if made.is_err() {
                delete_file(&unfinished)?;
            }
            made?;
            fs::rename(&unfinished, &self.path)?;
        }
        Ok(&self.path)
    }
}

fn begin(db: &rusqlite::Connection, new: &Beginning) -> rusqlite::Result<()> {
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

/// Where a workspace's file is in service: a folder for every 256th of them, since thousands in one folder are slow to list.
pub fn live_path(data: &Path, id: Uuid) -> PathBuf {
    let name = id.to_string();
    // The last digits: the first of a UUID v7 are the time, which all workspaces of a year share.
    data.join("workspaces").join(&name[name.len() - 2..]).join(format!("{name}.sqlite"))
}

/// Where it is while the workspace is in the trash.
pub fn trash_path(data: &Path, id: Uuid) -> PathBuf {
    data.join("trash").join(format!("{id}.sqlite"))
}

/// Whether Litestream has replicated the file at a path, by the folder that it keeps beside it. When the file is moved away,
/// it lets go of it, and does not see that another one comes.
pub fn was_replicated(path: &Path) -> bool {
    let folder = path.file_name().map(|name| format!(".{}-litestream", name.to_string_lossy()));
    folder.is_some_and(|folder| path.with_file_name(folder).is_dir())
}

/// Closes a folder, and what lies in it directly, to other users: their rights are taken away, and a folder whose rights
/// cannot be changed is refused.
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
        // A file may be gone by now, such as the log of a database that somebody closes.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let closed = fs::set_permissions(path, fs::Permissions::from_mode(open & !OTHERS));
    if closed.is_err() || rights().is_ok_and(|mode| mode & OTHERS != 0) {
        bail!("{} is open to others (mode {open:03o}), and its rights cannot be changed", path.display());
    }
    tracing::warn!(path = %path.display(), mode = format!("{open:03o}"), "was open to others, and is no more");
    Ok(())
}

/// Moves a file that nobody has open, with its log where a crash left one: it is moved on disk when this returns. One that
/// is not there has been moved before.
pub fn move_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    durable_fs::create_folder(durable_fs::folder_of(to)?)?;
    let mut moved = false;
    // The log first: without it the file lacks its last writes, without the file the log is nothing.
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(storage::beside(from, suffix), storage::beside(to, suffix)) {
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

/// Deletes a file that nobody has open, with its log. There is none where what should be its folder is something else.
pub fn delete_file(path: &Path) -> anyhow::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(storage::beside(path, suffix)) {
            Err(error) if ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                return Err(error).with_context(|| format!("cannot delete {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

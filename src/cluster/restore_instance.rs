//! Restores the files of an instance from its store, as they are there or as they were at a time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::key_copies;
use super::position::Position;
use super::rebuild::FileLog;
use super::store_log::CENTRAL;
use crate::durable_fs;
use crate::object_store::ObjectStore;
use crate::storage::{self, uuid_column};
use crate::tenancy::lifecycle;
use crate::values::Timestamp;

/// A restored file.
pub struct Restored {
    /// `central`, or the id of a workspace.
    pub file: String,
    /// The files that are restored, with this one, and the number of all.
    pub done: usize,
    pub of: usize,
    /// The time of its last commit. `None` if the store had nothing of it at that time.
    pub at: Option<Timestamp>,
    /// Why a workspace could not be restored. The others are.
    pub problem: Option<String>,
}

/// Restores keys, workspaces and the central file into a new data directory. The central file comes last: without it, no
/// server uses the folder. The files do not continue their logs: a server that uses them needs another store.
pub fn restore(
    store: &ObjectStore,
    data: &Path,
    until: Option<Timestamp>,
    progress: &mut dyn FnMut(&Restored),
) -> anyhow::Result<()> {
    durable_fs::create_private_folder(data)?;
    key_copies::restore(store, data)?;
    let unfinished = data.join("central.restored");
    let central = FileLog::of(store, CENTRAL)?.rebuild(&unfinished, until)?;
    let central = central.with_context(|| match until {
        Some(until) => format!("the store has nothing from {until} or before"),
        None => "the store has no central file".into(),
    })?;
    let workspaces = workspaces(&unfinished)?;
    let of = workspaces.len() + 1;
    for (n, (id, is_trashed)) in workspaces.into_iter().enumerate() {
        let path = if is_trashed { lifecycle::trash_path(data, id) } else { lifecycle::live_path(data, id) };
        let (file, done) = (id.to_string(), n + 1);
        let rebuilt = FileLog::of(store, &file).and_then(|log| log.rebuild(&path, until));
        let (at, problem) = match rebuilt {
            Ok(rebuilt) => (rebuilt.map(|rebuilt| rebuilt.at), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        progress(&Restored { file, done, of, at, problem });
    }
    lifecycle::move_file(&unfinished, &data.join("central.sqlite"))?;
    progress(&Restored { file: CENTRAL.into(), done: of, of, at: Some(central.at), problem: None });
    Ok(())
}

/// Restores the central file into a data directory without one.
pub fn restore_central(store: &ObjectStore, data: &Path) -> anyhow::Result<()> {
    let path = data.join("central.sqlite");
    let central = FileLog::of(store, CENTRAL)?.rebuild(&path, None)?.context("the store has no central file")?;
    Position::of_file_alone(central.head).note(&path)?.write(&path)
}

/// The workspaces of a central file, and whether each is in the trash.
fn workspaces(central: &Path) -> anyhow::Result<Vec<(Uuid, bool)>> {
    let db = storage::open_reader(central)?;
    let mut rows =
        db.prepare("SELECT id, status = 'trashed' FROM workspaces WHERE status <> 'creating' ORDER BY id")?;
    let rows = rows.query_map([], |row| Ok((uuid_column(row, 0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The paths of all files of a data directory.
pub fn files_of(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let central = data.join("central.sqlite");
    ensure!(central.exists(), "no data directory at {}", data.display());
    let mut found = vec![central];
    let mut folders = vec![data.join("workspaces"), data.join("trash")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("sqlite") => found.push(path),
                _ => {}
            }
        }
    }
    Ok(found)
}

//! Copies of a whole file at one moment, and their content in figures.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use serde::{Deserialize, Serialize};

use super::wal::{Wal, WalPosition};
use crate::durable_fs;

/// Copies the current state of a file to a new file while others continue to write. The copy has no WAL and no unused
/// pages.
pub fn snapshot(from: &Path, to: &Path) -> anyhow::Result<()> {
    let db = super::open_writer(from)?;
    let name = to.to_str().context("the path of the copy is not UTF-8")?;
    db.execute("VACUUM INTO ?1", [name])
        .with_context(|| format!("cannot copy {} into {}", from.display(), to.display()))?;
    durable_fs::sync(to)
}

/// The content of a file, in figures. A copy with equal figures has lost nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The version of the schema.
    pub version: i64,
    /// The number of rows of each table.
    pub rows: BTreeMap<String, i64>,
}

/// Copies a file of any version page by page, as it is at one moment, while others continue to write. Returns the
/// content at that moment. Two copies without a write between them are equal, byte for byte.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<Contents> {
    let source = super::open_reader(from).with_context(|| format!("cannot open {}", from.display()))?;
    let mut copy =
        super::sqlite_connection::create_empty(to).with_context(|| format!("cannot write {}", to.display()))?;
    // This transaction fixes the moment: the copy and the counts see the same state.
    let moment = source.unchecked_transaction()?;
    let contents = contents(&moment)?;
    Backup::new(&moment, &mut copy)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    moment.commit()?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(contents)
}

/// The state of a file at one moment, which a reader holds while others continue to write.
pub struct Moment {
    db: Connection,
    /// The end of the WAL at that moment. `None` if the WAL is empty.
    pub end: Option<WalPosition>,
}

impl Moment {
    pub fn fix(path: &Path) -> anyhow::Result<Self> {
        let db = super::open_reader(path).with_context(|| format!("cannot open {}", path.display()))?;
        for _ in 0..MOST_TRIES {
            let before = end_of_wal(path)?;
            db.execute_batch("BEGIN")?;
            // The first read takes the lock that fixes the moment.
            db.query_row("PRAGMA user_version", [], |_| Ok(()))?;
            // If the end is the same before and after, the moment is the one in between.
            if end_of_wal(path)? == before {
                return Ok(Self { db, end: before });
            }
            db.execute_batch("ROLLBACK")?;
        }
        bail!("{} is written to without a pause", path.display())
    }

    /// Copies the file page by page.
    pub fn copy(self, to: &Path) -> anyhow::Result<()> {
        let mut copy =
            super::sqlite_connection::create_empty(to).with_context(|| format!("cannot write {}", to.display()))?;
        Backup::new(&self.db, &mut copy)?.run_to_completion(PAGES, Duration::ZERO, None)?;
        copy.close().map_err(|(_, error)| error.into())
    }
}

/// Tries to fix a moment.
const MOST_TRIES: usize = 1000;

fn end_of_wal(path: &Path) -> anyhow::Result<Option<WalPosition>> {
    let Some(mut wal) = Wal::open(path)? else { return Ok(None) };
    let end = wal.end(wal.start())?;
    Ok((end.frames > 0).then_some(end))
}

/// Pages copied per step.
const PAGES: i32 = 1024;

pub fn contents(db: &Connection) -> rusqlite::Result<Contents> {
    let version = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let sql =
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables: Vec<String> = db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let count = |table: String| {
        let sql = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
        Ok((table, db.query_row(&sql, [], |row| row.get(0))?))
    };
    Ok(Contents { version, rows: tables.into_iter().map(count).collect::<rusqlite::Result<_>>()? })
}

/// Whether a file has no WAL, or an empty one.
pub fn is_checkpointed(path: &Path) -> bool {
    std::fs::metadata(companion_path(path, "-wal")).map_or(true, |wal| wal.len() == 0)
}

/// The path of a companion file of SQLite, such as the WAL.
pub fn companion_path(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

//! Copies of a whole file at one moment, and their content in figures.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rusqlite::Connection;
use rusqlite::backup::Backup;
use serde::{Deserialize, Serialize};

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

/// The path of a companion file of SQLite, such as the WAL.
pub fn companion_path(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

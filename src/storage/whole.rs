//! A file as a whole: copied at one moment, looked over for damage, compared with what it should be.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rusqlite::Connection;
use rusqlite::backup::Backup;
use serde::{Deserialize, Serialize};

use crate::durable_fs;

/// Copies a file as it is at this moment into one that is not there yet, while others go on writing. The copy has no log,
/// and no room that is not used.
pub fn snapshot(from: &Path, to: &Path) -> anyhow::Result<()> {
    let db = super::open_writer(from)?;
    let name = to.to_str().context("the name of the copy is no text")?;
    db.execute("VACUUM INTO ?1", [name])
        .with_context(|| format!("cannot copy {} into {}", from.display(), to.display()))?;
    durable_fs::sync(to)
}

/// What is in a file: a copy that has the same has lost nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// That of its migrations.
    pub version: i64,
    /// The rows of each table.
    pub rows: BTreeMap<String, i64>,
}

/// Copies a file page by page as it is at one moment, while others go on writing, and whatever its version; answers what
/// was in it then. The copy is the same, to the byte, where nothing was written since the last one.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<Contents> {
    let source = super::open_reader(from).with_context(|| format!("cannot open {}", from.display()))?;
    let mut copy = super::connection::blank(to).with_context(|| format!("cannot write {}", to.display()))?;
    // What is copied and what is counted is what this one sees.
    let moment = source.unchecked_transaction()?;
    let contents = contents(&moment)?;
    Backup::new(&moment, &mut copy)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    moment.commit()?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(contents)
}

/// Pages that are copied in one go.
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

/// The file that SQLite keeps beside another.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// What is wrong with a file, as far as SQLite can tell: damage, rows that refer to nothing.
pub fn problems(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        problems.push(said);
    }
    if db.prepare("PRAGMA foreign_key_check")?.exists([])? {
        problems.push("a row refers to one that is not there".into());
    }
    Ok(problems)
}

/// Every table, index, view and trigger, as SQL: two files of one version have the same.
pub fn schema(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', type, name, tbl_name, sql) FROM sqlite_schema ORDER BY type, name";
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

//! A file as a whole: copied at one moment, looked over for damage, compared with what it should be.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rusqlite::Connection;

/// Copies a file as it is at this moment into one that is not there yet, while others go on writing. The copy has no log,
/// and no room that is not used.
pub fn snapshot(from: &Path, to: &Path) -> anyhow::Result<()> {
    let db = super::open_writer(from)?;
    let name = to.to_str().context("the name of the copy is no text")?;
    db.execute("VACUUM INTO ?1", [name])
        .with_context(|| format!("cannot copy {} into {}", from.display(), to.display()))?;
    std::fs::File::open(to)?.sync_all()?;
    Ok(())
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

//! Untrusted database files. Nothing in such a file is executed until its schema is verified: an attacker can put code
//! into triggers, views and defaults.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rusqlite::Connection;

use super::integrity;
use super::migrate::{self, FileKind, create_of_version};
use super::sqlite_connection::open_foreign;

/// Bookkeeping tables that Litestream adds to the files that it replicates.
const LITESTREAM: [&str; 2] = ["_litestream_seq", "_litestream_lock"];

/// Time limit for all work on an uploaded file.
const LONGEST: Duration = Duration::from_secs(600);

/// SQLite instructions between two looks at the clock.
const LOOK_EVERY: i32 = 100_000;

/// A migration may double the number of pages and add this many.
const ROOM: i64 = 25_000;

/// The schema of the file differs from the schema of its version.
#[derive(Debug, thiserror::Error)]
#[error("its schema differs from the schema of version {0}")]
pub struct Unlike(i64);

/// Rejects a file whose schema is not exactly the schema that this program creates for the file's version. `folder`
/// holds template files for the comparison, and can be reused.
pub fn verify_schema(path: &Path, kind: FileKind, folder: &Path) -> anyhow::Result<()> {
    let db = open_foreign(path)?;
    limit(&db, LONGEST)?;
    let version = migrate::check_version(&db, kind)?;
    let found = integrity::schema(&db)?;
    drop(db);
    let template = folder.join(format!("template-{version}.sqlite"));
    if !template.exists() {
        create_of_version(&template, kind, version)?;
    }
    let expected = integrity::schema(&super::open_reader(&template)?)?;
    let is_litestreams =
        |line: &&String| LITESTREAM.iter().any(|table| line.starts_with(&format!("table {table} {table} ")));
    ensure!(found.iter().filter(|line| !is_litestreams(line)).eq(&expected), Unlike(version));
    Ok(())
}

/// Opens a file with a verified schema for migration and inspection, with a time limit and a size limit.
pub fn open_verified(path: &Path) -> anyhow::Result<Connection> {
    let db = super::open_writer(path)?;
    limit(&db, LONGEST)?;
    let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let most = pages.saturating_mul(2).saturating_add(ROOM);
    db.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))?;
    for table in LITESTREAM {
        db.execute(&format!("DROP TABLE IF EXISTS {table}"), [])?;
    }
    Ok(db)
}

/// Interrupts any statement on the connection after this time.
fn limit(db: &Connection, longest: Duration) -> rusqlite::Result<()> {
    let until = Instant::now() + longest;
    db.progress_handler(LOOK_EVERY, Some(move || Instant::now() > until))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Creates a file of this version and changes it as an attacker would.
    fn changed(folder: &Path, version: i64, sql: &str) -> std::path::PathBuf {
        let path = folder.join(format!("foreign-{version}.sqlite"));
        create_of_version(&path, FileKind::Workspace, version).unwrap();
        let db = super::super::open_writer(&path).unwrap();
        db.execute_batch(sql).unwrap();
        db.close().map_err(|(_, error)| error).unwrap();
        path
    }

    fn bytes(folder: &Path) -> u64 {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    /// A trigger that the migrations of that version would fire, and that never ends.
    const ENDLESS: &str = "CREATE TABLE junk (value BLOB);
        CREATE TRIGGER endless AFTER UPDATE ON roles BEGIN
            INSERT INTO junk WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT zeroblob(10000) FROM n;
        END";

    #[test]
    fn a_trigger_of_a_stranger_is_refused_before_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = changed(folder.path(), 1, ENDLESS);
        let before = fs::read(&path).unwrap();
        let refused = verify_schema(&path, FileKind::Workspace, folder.path()).unwrap_err();
        assert!(refused.is::<Unlike>(), "{refused:#}");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(bytes(folder.path()) < 10_000_000);
    }

    #[test]
    fn what_is_not_to_the_letter_the_schema_of_its_version_is_refused() {
        for sql in [
            "CREATE VIEW calls AS SELECT * FROM users",
            "DROP TABLE settings; CREATE VIEW settings AS SELECT 1 AS name, 2 AS value",
            "ALTER TABLE users ADD COLUMN more TEXT DEFAULT (hex(zeroblob(10)))",
            "CREATE INDEX by_name ON users (upper(name))",
            "CREATE TABLE _litestream_seq (id INTEGER); CREATE TRIGGER t AFTER DELETE ON _litestream_seq BEGIN SELECT 1; END",
            "PRAGMA user_version = 2",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = changed(folder.path(), 1, sql);
            assert!(verify_schema(&path, FileKind::Workspace, folder.path()).unwrap_err().is::<Unlike>(), "{sql}");
        }
    }

    #[test]
    fn a_file_of_every_version_is_ours_and_comes_to_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let newest = FileKind::Workspace.version();
        let versions = (1..=newest).filter(|version| FileKind::Workspace.has(*version));
        let litestreams = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
                           CREATE TABLE _litestream_lock (id INTEGER)";
        for version in versions {
            let path = changed(folder.path(), version, litestreams);
            verify_schema(&path, FileKind::Workspace, folder.path()).unwrap();
            let mut db = open_verified(&path).unwrap();
            migrate::migrate(&mut db, FileKind::Workspace).unwrap();
            let template = folder.path().join(format!("template-{newest}.sqlite"));
            if version == newest {
                assert_eq!(
                    integrity::schema(&db).unwrap(),
                    integrity::schema(&super::super::open_reader(&template).unwrap()).unwrap()
                );
            }
        }
    }

    #[test]
    fn what_takes_too_long_is_interrupted() {
        let db = Connection::open_in_memory().unwrap();
        limit(&db, Duration::ZERO).unwrap();
        let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let interrupted = db.query_row(endless, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert_eq!(interrupted.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    }
}

//! Migrations: the steps, embedded in the program, that bring an older file to the current version.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, ensure};
use rusqlite::Connection;

use super::snapshot::is_checkpointed;
use super::sqlite_connection::open_reader;
use crate::durable_fs;

mod central {
    refinery::embed_migrations!("migrations/central");
}

mod workspace {
    refinery::embed_migrations!("migrations/workspace");
}

/// The two kinds of file. Each has its own migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Central,
    Workspace,
}

/// A newer version of the program wrote the file, and may have changed what this version relies on.
#[derive(Debug, thiserror::Error)]
#[error("the file has version {found}, but this program supports versions up to {known}: run a newer cx-engine")]
pub struct NewerVersion {
    found: i64,
    known: i64,
}

/// The file has no version: another program created it, or it lost its content. Migrating it would treat it as a new
/// file.
#[derive(Debug, thiserror::Error)]
#[error("the file is empty or was not created by cx-engine")]
pub struct NotOurs;

impl FileKind {
    fn runner(self) -> refinery::Runner {
        match self {
            Self::Central => central::migrations::runner(),
            Self::Workspace => workspace::migrations::runner(),
        }
    }

    /// Whether a migration with this number exists.
    #[cfg(test)]
    pub fn has(self, version: i64) -> bool {
        self.runner().get_migrations().iter().any(|migration| i64::from(migration.version()) == version)
    }

    /// The version of a file after all migrations.
    pub fn version(self) -> i64 {
        // Every opening of a file asks for it, and a runner parses the names of all migrations.
        static CENTRAL: LazyLock<i64> = LazyLock::new(|| last_version(&FileKind::Central.runner()));
        static WORKSPACE: LazyLock<i64> = LazyLock::new(|| last_version(&FileKind::Workspace.runner()));
        match self {
            Self::Central => *CENTRAL,
            Self::Workspace => *WORKSPACE,
        }
    }
}

fn last_version(runner: &refinery::Runner) -> i64 {
    runner.get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
}

/// Migrates an open file to the current version. If it is current, this costs only a read of the file's header.
pub fn migrate(db: &mut Connection, kind: FileKind) -> anyhow::Result<()> {
    if check_version(db, kind)? == kind.version() {
        return Ok(());
    }
    apply(db, kind)
}

/// Returns the version of a file, or an error if this program does not support it.
pub fn check_version(db: &Connection, kind: FileKind) -> anyhow::Result<i64> {
    let (found, known) = (db.query_row("PRAGMA user_version", [], |row| row.get(0))?, kind.version());
    match found {
        1.. if found > known => Err(NewerVersion { found, known }.into()),
        1.. => Ok(found),
        _ => Err(NotOurs.into()),
    }
}

/// The version of a file that may be in use, without opening it where that is possible.
pub fn read_version(path: &Path) -> anyhow::Result<i64> {
    // Otherwise the WAL may have a newer header.
    if !is_checkpointed(path) {
        return Ok(open_reader(path)?.query_row("PRAGMA user_version", [], |row| row.get(0))?);
    }
    let mut header = [0; 64];
    fs::File::open(path)?.read_exact(&mut header).map_err(|_| NotOurs)?;
    let (magic, [.., a, b, c, d]) = (&header[..16], header);
    // SQLite, "Database File Format", 1.3: the magic text, and the user version at byte 60.
    ensure!(magic == b"SQLite format 3\0", NotOurs);
    Ok(i64::from(i32::from_be_bytes([a, b, c, d])))
}

fn apply(db: &mut Connection, kind: FileKind) -> anyhow::Result<()> {
    let known = kind.version();
    kind.runner().set_grouped(true).run(db).context("a migration failed; the file is unchanged")?;
    db.pragma_update(None, "user_version", known)?;
    Ok(())
}

/// Creates a new, migrated file. When this returns, the file is complete without a WAL and on disk.
pub fn create(path: &Path, kind: FileKind) -> anyhow::Result<()> {
    let mut db = super::sqlite_connection::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    apply(&mut db, kind)?;
    db.close().map_err(|(_, error)| error)?;
    durable_fs::sync(path)
}

/// Creates a file as that version of the program did.
pub fn create_of_version(path: &Path, kind: FileKind, version: i64) -> anyhow::Result<()> {
    let mut db = super::sqlite_connection::create(path)?;
    kind.runner().set_target(refinery::Target::Version(version.try_into()?)).set_grouped(true).run(&mut db)?;
    db.pragma_update(None, "user_version", version)?;
    db.close().map_err(|(_, error)| error.into())
}

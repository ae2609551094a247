//! Migrations: the steps that bring a file of an earlier version to this one, embedded in the program.

use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;

mod central {
    refinery::embed_migrations!("migrations/central");
}

mod workspace {
    refinery::embed_migrations!("migrations/workspace");
}

/// The two kinds of file, each with migrations of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Central,
    Workspace,
}

/// The file was written by a later version of the program, which may have changed what this one relies on.
#[derive(Debug, thiserror::Error)]
#[error("the file is of version {found}, and this program knows versions up to {known}: run a newer cx-engine")]
pub struct NewerVersion {
    pub found: i64,
    pub known: i64,
}

impl Kind {
    fn runner(self) -> refinery::Runner {
        match self {
            Self::Central => central::migrations::runner(),
            Self::Workspace => workspace::migrations::runner(),
        }
    }

    /// The version a file has after every migration.
    pub fn version(self) -> i64 {
        self.runner().get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
    }
}

/// Brings an open file to this program's version. Costs one look at the file's header when it is there already.
pub fn migrate(db: &mut Connection, kind: Kind) -> anyhow::Result<()> {
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = kind.version();
    if found == known {
        return Ok(());
    }
    if found > known {
        return Err(NewerVersion { found, known }.into());
    }
    kind.runner().set_grouped(true).run(db).context("a migration failed; the file is as it was")?;
    db.pragma_update(None, "user_version", known)?;
    Ok(())
}

/// Makes a new, migrated file: all of it is in the one file, and on disk, when this returns.
pub fn create(path: &Path, kind: Kind) -> anyhow::Result<()> {
    let mut db = super::connection::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    migrate(&mut db, kind)?;
    db.close().map_err(|(_, error)| error)?;
    std::fs::File::open(path)?.sync_all()?;
    Ok(())
}

/// Makes a file as an earlier version of the program made it.
#[cfg(test)]
pub fn create_of_version(path: &Path, kind: Kind, version: i32) -> anyhow::Result<()> {
    let mut db = super::connection::create(path)?;
    kind.runner().set_target(refinery::Target::Version(version)).run(&mut db)?;
    db.pragma_update(None, "user_version", version)?;
    db.close().map_err(|(_, error)| error.into())
}

//! Migrations: the steps that bring a file of an earlier version to this one, embedded in the program.

use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;

use crate::durable_fs;

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
    found: i64,
    known: i64,
}

/// The file has no version: another program made it, or it has lost what was in it. To migrate it would be to take it for
/// a new one.
#[derive(Debug, thiserror::Error)]
#[error("the file is empty, or not one that a cx-engine has made")]
pub struct NotOurs;

impl Kind {
    fn runner(self) -> refinery::Runner {
        match self {
            Self::Central => central::migrations::runner(),
            Self::Workspace => workspace::migrations::runner(),
        }
    }

    /// Whether there is a migration of this number.
    #[cfg(test)]
    pub fn has(self, version: i64) -> bool {
        self.runner().get_migrations().iter().any(|migration| i64::from(migration.version()) == version)
    }

    /// The version a file has after every migration.
    pub fn version(self) -> i64 {
        self.runner().get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
    }
}

/// Brings an open file to this program's version. Costs one look at the file's header when it is there already.
pub fn migrate(db: &mut Connection, kind: Kind) -> anyhow::Result<()> {
    if check_version(db, kind)? == kind.version() {
        return Ok(());
    }
    apply(db, kind)
}

/// The version that a file has; refused where this program does not know it.
pub fn check_version(db: &Connection, kind: Kind) -> anyhow::Result<i64> {
    let (found, known) = (db.query_row("PRAGMA user_version", [], |row| row.get(0))?, kind.version());
    match found {
        1.. if found > known => Err(NewerVersion { found, known }.into()),
        1.. => Ok(found),
        _ => Err(NotOurs.into()),
    }
}

fn apply(db: &mut Connection, kind: Kind) -> anyhow::Result<()> {
    let known = kind.version();
    kind.runner().set_grouped(true).run(db).context("a migration failed; the file is as it was")?;
    db.pragma_update(None, "user_version", known)?;
    Ok(())
}

/// Makes a new, migrated file: all of it is in the one file, and on disk, when this returns.
pub fn create(path: &Path, kind: Kind) -> anyhow::Result<()> {
    let mut db = super::connection::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    apply(&mut db, kind)?;
    db.close().map_err(|(_, error)| error)?;
    durable_fs::sync(path)
}

/// Makes a file as the program of a version made it.
pub fn create_of_version(path: &Path, kind: Kind, version: i64) -> anyhow::Result<()> {
    let mut db = super::connection::create(path)?;
    kind.runner().set_target(refinery::Target::Version(version.try_into()?)).set_grouped(true).run(&mut db)?;
    db.pragma_update(None, "user_version", version)?;
    db.close().map_err(|(_, error)| error.into())
}

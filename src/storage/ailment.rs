//! What ails a disk or a file, of all that SQLite or the operating system may report: what whoever is told can act upon.

use std::io;

use rusqlite::{ErrorCode, ffi};

/// No more files may be open in this process, or on this machine: one number each wherever this runs.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// The disk is full. What was to be written is not, what was there is.
    NoRoom,
    /// The disk takes no writes, be it that it is mounted so or that it has failed.
    NotWritable,
    /// What is in the file makes no sense, or cannot be read.
    Damaged,
    /// No more files may be open.
    NoDescriptors,
}

impl Ailment {
    pub fn of_sqlite(error: &rusqlite::Error) -> Option<Self> {
        let rusqlite::Error::SqliteFailure(failure, _) = error else { return None };
        match (failure.code, failure.extended_code) {
            // Where the index of a log cannot grow, SQLite does not say why: for want of room, as a rule.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Some(Self::NoRoom),
            (ErrorCode::ReadOnly, _)
            | (
                _,
                ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_TRUNCATE
                | ffi::SQLITE_IOERR_SHMOPEN,
            ) => Some(Self::NotWritable),
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)
            | (_, ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS) => {
                Some(Self::Damaged)
            }
            _ => None,
        }
    }

    /// The same, wherever it stands in a chain of causes.
    pub fn of(error: &anyhow::Error) -> Option<Self> {
        error.chain().find_map(|cause| match cause.downcast_ref::<rusqlite::Error>() {
            Some(error) => Self::of_sqlite(error),
            None => cause.downcast_ref::<io::Error>().and_then(Self::of_system),
        })
    }

    fn of_system(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::NoRoom),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::NotWritable),
            _ if [EMFILE, ENFILE].map(Some).contains(&error.raw_os_error()) => Some(Self::NoDescriptors),
            _ => None,
        }
    }
}

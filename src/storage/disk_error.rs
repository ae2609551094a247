//! Disk and file errors that an operator can act on, recognized among all errors of SQLite and the operating system.

use std::io;

use rusqlite::{ErrorCode, ffi};

/// Errno values for too many open files in this process and on this machine. They are the same on each supported
/// platform.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// The disk is full. The write did not happen; existing data is unchanged.
    Full,
    /// The disk rejects writes: it is mounted read-only or has failed.
    ReadOnly,
    /// The file content is malformed or cannot be read.
    Damaged,
    /// The process or the machine has too many open files.
    NoDescriptors,
}

impl DiskError {
    pub fn of_sqlite(error: &rusqlite::Error) -> Option<Self> {
        let rusqlite::Error::SqliteFailure(failure, _) = error else { return None };
        match (failure.code, failure.extended_code) {
            // SQLite gives no reason when the WAL index cannot grow. Usually the disk is full.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Some(Self::Full),
            (ErrorCode::ReadOnly, _)
            | (
                _,
                ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_TRUNCATE
                | ffi::SQLITE_IOERR_SHMOPEN,
            ) => Some(Self::ReadOnly),
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)
            | (_, ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS) => {
                Some(Self::Damaged)
            }
            _ => None,
        }
    }

    /// Finds a disk error anywhere in a chain of causes.
    pub fn of(error: &anyhow::Error) -> Option<Self> {
        error.chain().find_map(|cause| match cause.downcast_ref::<rusqlite::Error>() {
            Some(error) => Self::of_sqlite(error),
            None => cause.downcast_ref::<io::Error>().and_then(Self::of_system),
        })
    }

    fn of_system(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            _ if [EMFILE, ENFILE].map(Some).contains(&error.raw_os_error()) => Some(Self::NoDescriptors),
            _ => None,
        }
    }
}

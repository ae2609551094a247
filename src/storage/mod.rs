//! One SQLite file: opening, reading, writing in batches, migrating and closing it. Only this module opens connections
//! and begins transactions.
//!
//! A `File` takes jobs and runs them on the database threads. Reads run concurrently, up to a limit per file. Writes
//! run one after the other; all that wait share one transaction and one sync to disk. This module knows nothing of
//! requests: the submitter of a job decides how to wait for its result.

mod batch;
mod change_detector;
mod commit_log;
mod disk_error;
mod file;
mod foreign;
mod integrity;
mod lane;
mod migrate;
mod page_writer;
mod record;
mod share;
mod snapshot;
mod sqlite_connection;
mod storage_metrics;
mod stored_state;
mod threads;
mod update_copies;
mod wal;

pub use batch::{Fault, Job, Verdict};
pub use change_detector::ChangeDetector;
pub use commit_log::{CommitLog, PendingCommit, WaitingJobs};
pub use disk_error::DiskError;
pub use file::{File, Limits, Storage};
pub use foreign::{open_verified, verify_schema};
pub use integrity::{integrity_problems, schema};
#[cfg(test)]
pub use migrate::create_of_version;
pub use migrate::{FileKind, NewerVersion, check_version, create, migrate, read_version};
pub use page_writer::overwrite_pages;
pub(crate) use record::record;
pub use record::{Stored, uuid_column};
pub use share::Share;
pub use snapshot::{Contents, Moment, companion_path, contents, copy, is_checkpointed, snapshot};
pub use sqlite_connection::{apart, copy_wal, open_reader, open_writer, transaction, truncate_wal};
pub use storage_metrics::StorageMetrics;
pub use stored_state::{StoredAt, StoredState, forget_store, is_stored};
pub use threads::{DATABASE_THREADS, STACK, Supervisor, Threads};
pub use update_copies::{UpdateCopies, UpdateCopy};
pub use wal::{CommittedPages, FilePages, Wal, WalPosition, pages_at};

#[cfg(test)]
mod tests;

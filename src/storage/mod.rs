//! One SQLite file: opening, reading, writing in batches, migrating and closing it. Only this module opens connections
//! and begins transactions.
//!
//! A `File` takes jobs and runs them on the database threads. Reads run concurrently, up to a limit per file. Writes
//! run one after the other; all that wait share one transaction and one sync to disk. This module knows nothing of
//! requests: the submitter of a job decides how to wait for its result.

mod batch;
mod change_detector;
mod disk_error;
mod file;
mod foreign;
mod integrity;
mod lane;
mod migrate;
mod record;
mod share;
mod snapshot;
mod sqlite_connection;
mod storage_metrics;
mod threads;

pub use batch::{Fault, Job, Verdict};
pub use change_detector::ChangeDetector;
pub use disk_error::DiskError;
pub use file::{File, Limits, Storage};
pub use foreign::{open_verified, verify_schema};
pub use integrity::{integrity_problems, schema};
#[cfg(test)]
pub use migrate::create_of_version;
pub use migrate::{FileKind, NewerVersion, check_version, create, migrate};
pub(crate) use record::record;
pub use record::{Stored, uuid_column};
pub use share::Share;
pub use snapshot::{Contents, companion_path, contents, copy, snapshot};
pub use sqlite_connection::{apart, open_reader, open_writer, transaction};
pub use storage_metrics::StorageMetrics;
pub use threads::{DATABASE_THREADS, STACK, Supervisor, Threads};

#[cfg(test)]
mod tests;

//! One SQLite file: opening, reading, writing in batches, migrating and closing it. Only this module opens connections
//! and begins transactions.
//!
//! A `File` takes jobs and runs them on the database threads. Reads run concurrently, up to a limit per file. Writes
//! run one after the other; all that wait share one transaction and one sync to disk. This module knows nothing of
//! requests: the submitter of a job decides how to wait for its result.

mod ailment;
mod batch;
mod connection;
mod file;
mod foreign;
mod lane;
mod meter;
mod migrate;
mod record;
mod share;
mod threads;
mod watch;
mod whole;

pub use ailment::Ailment;
pub use batch::{Fault, Job, Verdict};
pub use connection::{open_reader, open_writer, transaction};
pub use file::{File, Limits, Storage};
pub use foreign::{open_verified, verify_schema};
pub use meter::Meter;
#[cfg(test)]
pub use migrate::create_of_version;
pub use migrate::{Kind, NewerVersion, check_version, create, migrate};
pub(crate) use record::record;
pub use record::{Stored, uuid_column};
pub use share::Share;
pub use threads::{DATABASE_THREADS, STACK, Supervisor, Threads};
pub use watch::Watch;
pub use whole::{Contents, beside, contents, copy, problems, schema, snapshot};

#[cfg(test)]
mod tests;

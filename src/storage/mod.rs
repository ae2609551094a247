//! One SQLite file: how it is opened, read, written in batches, migrated and closed. The only room that opens a
//! connection or begins a transaction.
//!
//! A `File` is handed `Job`s and runs them on the database threads: reads side by side, up to a bound for each file;
//! writes one after the other, all that wait at a time in one transaction with one flush to disk. It knows nothing of
//! requests: whoever brings a job decides how its answer is awaited.

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
pub use record::uuid_column;
pub use share::Share;
pub use threads::{DATABASE_THREADS, STACK, Supervisor, Threads};
pub use watch::Watch;
pub use whole::{Contents, beside, contents, copy, problems, schema, snapshot};

#[cfg(test)]
mod tests;

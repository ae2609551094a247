//! What a file needs of a log that keeps its commits outside its disk. Without such a log nothing here is used.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::batch::{Fault, FinishedJob};
use super::file::File;

/// Pages in the WAL after which it is copied into the file. The writer copies them itself, since a copy by another thread
/// could have pages that are not stored.
pub(super) const LONG_LOG: i64 = 1_000;

/// Keeps the commits of the files of an instance in a store.
pub trait CommitLog: Send + Sync {
    /// Brings a file up to date before it is opened, and passes the outcome to `then`, on any thread.
    fn prepare(self: Arc<Self>, path: &Path, then: Box<dyn FnOnce(Result<(), Fault>) + Send>);

    /// Stores a commit, in the turn of the write lane. The turn ends when `commit` is dropped.
    fn store(self: Arc<Self>, path: &Path, commit: PendingCommit);

    /// Copies the WAL into the file if the whole WAL is stored. `to_end` also removes the WAL from the disk. The caller
    /// holds the write connection.
    fn checkpoint(&self, path: &Path, db: &Connection, to_end: bool) -> anyhow::Result<()>;
}

/// The commits of one file that are not stored yet, and the reads that may have seen them.
#[derive(Default)]
pub(super) struct UnstoredCommits(Mutex<Unstored>);

#[derive(Default)]
struct Unstored {
    /// Batches that have begun, and the last one that is stored or has changed nothing.
    begun: u64,
    stored: u64,
    /// The store has not responded in time. Reads do not wait for it.
    is_late: bool,
    waiting: Vec<FinishedJob>,
}

impl UnstoredCommits {
    /// Notes that a batch begins. From now on a read may see its changes.
    pub fn begin(&self) {
        self.0.lock().begun += 1;
    }

    /// Responds to a read once everything that it may have seen is stored.
    pub fn answer_read(&self, read: FinishedJob) {
        let mut unstored = self.0.lock();
        if unstored.begun > unstored.stored && !unstored.is_late {
            unstored.waiting.push(read);
            return;
        }
        let is_late = unstored.begun > unstored.stored;
        drop(unstored);
        if is_late { read.fail(not_stored()) } else { read.answer() }
    }

    /// Notes that everything is stored, and responds to the reads that waited for it.
    pub fn end(&self) {
        let mut unstored = self.0.lock();
        (unstored.stored, unstored.is_late) = (unstored.begun, false);
        let waiting = std::mem::take(&mut unstored.waiting);
        drop(unstored);
        waiting.into_iter().for_each(FinishedJob::answer);
    }

    /// Rejects the reads that wait, and those that come before the end.
    pub fn reject_reads(&self) {
        let mut unstored = self.0.lock();
        unstored.is_late = true;
        let waiting = std::mem::take(&mut unstored.waiting);
        drop(unstored);
        waiting.into_iter().for_each(|read| read.fail(not_stored()));
    }
}

/// The fault of a file that another server has taken over.
pub(super) fn overtaken() -> Fault {
    Fault::Uncommitted("another server writes to the same store".into())
}

fn not_stored() -> Fault {
    Fault::Uncommitted("the store does not respond".into())
}

/// A batch that is committed on disk and not stored yet. It holds the turn of the write lane.
pub struct PendingCommit {
    pub(super) file: Arc<File>,
    pub(super) jobs: Vec<FinishedJob>,
    /// The length of the WAL.
    pub(super) pages: i64,
}

impl PendingCommit {
    /// Whether the WAL should be copied into the file soon.
    pub fn is_log_long(&self) -> bool {
        self.pages > LONG_LOG
    }

    /// Responds: the commit is stored, or does not need to be.
    pub fn answer(&mut self) {
        self.file.answer(std::mem::take(&mut self.jobs));
    }

    /// Responds that the outcome is unknown, because the store has not responded in time. The turn goes on.
    pub fn give_up(&mut self) {
        self.fail(&Fault::OutcomeUnknown);
        self.file.unstored().reject_reads();
    }

    /// Responds that the commit will never be stored. The file has it, so it is used no more.
    pub fn refuse(mut self) {
        self.file.close_lanes();
        self.fail(&overtaken());
    }

    fn fail(&mut self, fault: &Fault) {
        std::mem::take(&mut self.jobs).into_iter().for_each(|job| job.fail(fault.clone()));
    }
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        // A panic of the log must not cost the lane its turn.
        self.fail(&Fault::OutcomeUnknown);
        self.file.resume_writes(self.is_log_long());
    }
}

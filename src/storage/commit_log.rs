//! What a file needs of a log that keeps its commits outside its disk. Without such a log nothing here is used.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::batch::{Fault, FinishedJob};
use super::file::{File, LONG_LOG};

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

/// The jobs that are expected after a commit: its clients send their next ones, and others wait already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected {
    pub jobs: usize,
    /// How long the commit took.
    pub after: Duration,
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
    /// How often commits were undone.
    undone: u64,
    waiting: Vec<FinishedJob>,
    /// For the next batch.
    expected: Expected,
}

impl UnstoredCommits {
    /// How often commits were undone. A read takes this before it begins.
    pub fn undone(&self) -> u64 {
        self.0.lock().undone
    }

    /// Notes that a batch begins. From now on a read may see its changes. Returns the jobs that are expected for it.
    pub fn begin(&self) -> Expected {
        let mut unstored = self.0.lock();
        unstored.begun += 1;
        std::mem::take(&mut unstored.expected)
    }

    /// Notes the jobs that are expected for the next batch.
    fn expect(&self, expected: Expected) {
        self.0.lock().expected = expected;
    }

    /// Responds to a read once everything that it may have seen is stored. `undone` is from before it began. Returns a read
    /// that may have seen commits that were undone.
    pub fn answer_read(&self, read: FinishedJob, undone: u64) -> Option<FinishedJob> {
        let mut unstored = self.0.lock();
        if unstored.undone != undone {
            return Some(read);
        }
        if unstored.begun > unstored.stored && !unstored.is_late {
            unstored.waiting.push(read);
            return None;
        }
        let is_late = unstored.begun > unstored.stored;
        drop(unstored);
        if is_late {
            read.fail(not_stored())
        } else {
            read.answer()
        }
        None
    }

    /// Notes that everything is stored, and responds to the reads that waited for it.
    pub fn end(&self) {
        let mut unstored = self.0.lock();
        (unstored.stored, unstored.is_late) = (unstored.begun, false);
        let waiting = std::mem::take(&mut unstored.waiting);
        drop(unstored);
        waiting.into_iter().for_each(FinishedJob::answer);
    }

    /// Notes that the commits that are not stored were undone. Returns the reads that may have seen them.
    fn undo(&self) -> Vec<FinishedJob> {
        let mut unstored = self.0.lock();
        unstored.undone += 1;
        (unstored.stored, unstored.is_late) = (unstored.begun, false);
        std::mem::take(&mut unstored.waiting)
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
    waiting: Arc<WaitingJobs>,
    /// The length of the WAL in pages.
    pages: i64,
    begun: Instant,
    is_stored: bool,
}

/// The jobs of a commit, which wait for the store.
pub struct WaitingJobs {
    file: Arc<File>,
    jobs: Mutex<Vec<FinishedJob>>,
}

impl PendingCommit {
    pub(super) fn new(file: Arc<File>, jobs: Vec<FinishedJob>, pages: i64) -> Self {
        Self {
            waiting: Arc::new(WaitingJobs { file, jobs: Mutex::new(jobs) }),
            pages,
            begun: Instant::now(),
            is_stored: false,
        }
    }

    /// Whether the WAL should be copied into the file soon.
    pub fn is_log_long(&self) -> bool {
        self.pages > LONG_LOG
    }

    /// The jobs, for whoever watches the time.
    pub fn waiting(&self) -> Weak<WaitingJobs> {
        Arc::downgrade(&self.waiting)
    }

    /// Responds: the commit is stored, or does not need to be.
    pub fn answer(&mut self) {
        self.is_stored = true;
        let (file, jobs) = (&self.waiting.file, self.waiting.take());
        let expected = jobs.len() + file.waiting().1;
        file.unstored().expect(Expected { jobs: expected, after: self.begun.elapsed() });
        file.answer(jobs);
    }

    /// Does the work of the jobs again. The commit was undone, since another machine has written to the file before.
    pub fn work_again(self) {
        let reads = self.waiting.file.unstored().undo();
        reads.into_iter().for_each(|read| self.waiting.file.read_again(read));
        self.waiting.file.write_again(self.waiting.take());
    }

    /// Whether another machine serves the file by now.
    pub fn is_overtaken(&self) -> bool {
        self.waiting.file.is_overtaken()
    }

    /// Responds that the commit will never be stored. The file has it, so it is used no more.
    pub fn refuse(self) {
        self.waiting.file.close_lanes();
        self.waiting.fail(&overtaken());
    }
}

impl WaitingJobs {
    /// Responds that the outcome is unknown, because the store has not responded in time. The turn goes on.
    pub fn give_up(&self) {
        if self.fail(&Fault::OutcomeUnknown) {
            self.file.unstored().reject_reads();
        }
    }

    /// Whether jobs still waited.
    fn fail(&self, fault: &Fault) -> bool {
        let jobs = self.take();
        let has_waited = !jobs.is_empty();
        jobs.into_iter().for_each(|job| job.fail(fault.clone()));
        has_waited
    }

    fn take(&self) -> Vec<FinishedJob> {
        std::mem::take(&mut *self.jobs.lock())
    }
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        // A panic of the log must not cost the lane its turn.
        self.waiting.give_up();
        self.waiting.file.resume_writes(self.is_log_long(), self.is_stored);
    }
}

//! Jobs, and how many writes run in one transaction.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use uuid::Uuid;

use super::disk_error::DiskError;

/// A small read is checked every `STEPS_BETWEEN_LOOKS` steps of SQLite's virtual machine. At check number `FEW_LOOKS`,
/// after about a millisecond, the read has taken too long.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;
const FEW_LOOKS: u32 = 20;

/// One piece of work on one file. It holds its result until [`Job::answer`] sends it.
pub trait Job: Send {
    /// Called once, just before the work. Returns false if the work is no longer wanted.
    fn begin(&mut self) -> bool;

    /// Time limit of its statements, if longer than the default. Such a job runs in a separate transaction, after the
    /// jobs that waited with it.
    fn limit(&self) -> Option<Duration> {
        None
    }

    /// Does the work, inside a transaction. A write may run again, but only after all its changes were undone.
    fn work(&mut self, db: &Connection) -> Verdict;

    /// Sends the response. Called once: after the commit, or when it is certain that there will be no commit.
    fn answer(self: Box<Self>, outcome: Result<(), Fault>);
}

/// Whether the changes of a job are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Commit,
    Rollback,
}

/// Why the work of a job failed or was not kept. In each case the file contains none of its changes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    #[error("too many requests wait for this file")]
    Full,
    #[error("the work panicked: {0}")]
    Panicked(String),
    #[error("the file cannot be opened: {0}")]
    Unopened(String),
    #[error("the work was not committed: {0}")]
    Uncommitted(String),
    /// The exception: the changes are in the file, and the store that keeps them may never have them.
    #[error("the store has not responded, so the outcome is unknown")]
    OutcomeUnknown,
    /// Another node serves the workspace with this file. Nothing was done.
    #[error("another node serves this workspace")]
    Elsewhere(Uuid),
    /// The disk or the file is at fault, not the job.
    #[error("{1}")]
    Ailing(DiskError, String),
}

impl Fault {
    pub fn unopened(error: &anyhow::Error) -> Self {
        if let Some(Self::Elsewhere(workspace)) = error.downcast_ref() {
            return Self::Elsewhere(*workspace);
        }
        let said = format!("{error:#}");
        match DiskError::of(error) {
            Some(ailment) => Self::Ailing(ailment, said),
            None => Self::Unopened(said),
        }
    }

    fn uncommitted(error: &rusqlite::Error) -> Self {
        let said = error.to_string();
        match DiskError::of_sqlite(error) {
            Some(ailment) => Self::Ailing(ailment, said),
            None => Self::Uncommitted(said),
        }
    }

    /// Takes the message out of a caught panic.
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "no message".into()))
    }
}

/// A job in a batch, and its panic if it had one.
struct BatchEntry {
    job: Box<dyn Job>,
    panicked: Option<Fault>,
}

/// Why a batch as a whole was not committed.
enum BatchError {
    /// SQLite failed to begin or to commit.
    Refused(rusqlite::Error),
    /// A statement of one job ended the whole transaction. SQLite does so when a write is interrupted or the disk is
    /// full.
    TakenAlong,
    /// The same, in a batch of one job that requested a rollback anyway. The job reports the reason itself.
    Undone,
    /// A job without a savepoint has changed something and requested a rollback.
    NeedsSavepoints,
}

/// A job that has begun and has not done its work yet.
pub struct Begun(Box<dyn Job>);

impl Begun {
    /// Returns `None` if the job is no longer wanted.
    pub fn new(mut job: Box<dyn Job>) -> Option<Self> {
        job.begin().then_some(Self(job))
    }

    pub fn answer(self, outcome: Result<(), Fault>) {
        self.0.answer(outcome);
    }
}

/// Runs one job in a read transaction.
pub fn read(db: &Connection, mut job: Begun, limit: Duration) -> FinishedJob {
    let outcome = read_transaction(db, || work(db, &mut *job.0, limit));
    FinishedJob { job: job.0, outcome }
}

/// Runs one job in a read transaction on the write connection, for as long as writers can be kept waiting. The caller
/// sends the response after it has released the connection. A job that needs longer is handed back, and may run again.
pub fn read_small(db: &Connection, mut job: Begun) -> Result<FinishedJob, Begun> {
    let needs_longer = Arc::new(AtomicBool::new(false));
    let (noted, mut looks) = (Arc::clone(&needs_longer), 0);
    let written = db.total_changes();
    let outcome = read_transaction(db, || {
        let look = move || {
            looks += 1;
            noted.store(looks >= FEW_LOOKS, Ordering::Relaxed);
            looks >= FEW_LOOKS
        };
        let _ = db.progress_handler(STEPS_BETWEEN_LOOKS, Some(look));
        run_caught(db, &mut *job.0)
    });
    if needs_longer.load(Ordering::Relaxed) {
        return Err(job);
    }
    // This connection can write, so a write of the job was rolled back above. Report it as an error, as a read
    // connection would.
    let has_written = db.total_changes() != written;
    let outcome = if has_written { Err(Fault::Panicked("a read has written".into())) } else { outcome };
    Ok(FinishedJob { job: job.0, outcome })
}

fn read_transaction(db: &Connection, work: impl FnOnce() -> Result<Verdict, Fault>) -> Result<(), Fault> {
    let begun = execute(db, "BEGIN").map_err(|error| Fault::uncommitted(&error));
    let outcome = begun.and_then(|()| work().map(|_| ()));
    if !db.is_autocommit() {
        let _ = execute(db, "ROLLBACK");
    }
    outcome
}

/// A job that has done its work, and its outcome.
pub struct FinishedJob {
    job: Box<dyn Job>,
    outcome: Result<(), Fault>,
}

impl FinishedJob {
    pub fn answer(self) {
        self.job.answer(self.outcome);
    }

    /// Responds with a fault in place of the outcome.
    pub fn fail(self, fault: Fault) {
        self.job.answer(Err(fault));
    }

    /// The job, to do its work again: its changes were undone.
    pub fn again(self) -> Box<dyn Job> {
        Box::new(Again(self.job))
    }
}

/// A job that has begun, and does its work again.
struct Again(Box<dyn Job>);

impl Job for Again {
    fn begin(&mut self) -> bool {
        true
    }

    fn limit(&self) -> Option<Duration> {
        self.0.limit()
    }

    fn work(&mut self, db: &Connection) -> Verdict {
        self.0.work(db)
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        self.0.answer(outcome);
    }
}

/// Runs writes in one transaction. A job that requests a rollback is rolled back alone. When this returns, all kept
/// changes are on disk, so the responses may be sent.
///
/// A savepoint copies each page that the job changes, and few jobs need one: who is refused has usually changed nothing.
/// So the jobs run without savepoints first. If a job with changes requests a rollback, all run again, with savepoints.
///
/// `more` gets the size of the batch and returns jobs that have come since. They join it, until there are none.
pub fn write(
    db: &Connection,
    jobs: Vec<Box<dyn Job>>,
    limit: Duration,
    mut more: impl FnMut(usize) -> Vec<Box<dyn Job>>,
) -> Vec<FinishedJob> {
    let batch = begin(jobs);
    if batch.is_empty() { Vec::new() } else { write_all(db, batch, limit, &mut |size| begin(more(size))) }
}

/// The jobs that are still wanted.
fn begin(jobs: Vec<Box<dyn Job>>) -> Vec<BatchEntry> {
    let begun = jobs.into_iter().filter_map(|mut job| job.begin().then_some(job));
    begun.map(|job| BatchEntry { job, panicked: None }).collect()
}

fn write_all(
    db: &Connection,
    mut batch: Vec<BatchEntry>,
    limit: Duration,
    more: &mut dyn FnMut(usize) -> Vec<BatchEntry>,
) -> Vec<FinishedJob> {
    let mut result = commit_together(db, &mut batch, limit, false, more);
    if let Err(BatchError::NeedsSavepoints) = result {
        result = roll_back(db)
            .map_err(BatchError::Refused)
            .and_then(|()| commit_together(db, &mut batch, limit, true, more));
    }
    let _ = roll_back(db);
    match result {
        Ok(()) | Err(BatchError::Undone) => with_outcomes(batch, None),
        // Run each job again by itself, so that only the faulty one fails.
        Err(BatchError::TakenAlong) if batch.len() > 1 => {
            let alone = batch.into_iter().map(|entry| vec![BatchEntry { panicked: None, ..entry }]);
            alone.flat_map(|entry| write_all(db, entry, limit, &mut |_| Vec::new())).collect()
        }
        Err(BatchError::Refused(error)) => with_outcomes(batch, Some(Fault::uncommitted(&error))),
        Err(BatchError::TakenAlong | BatchError::NeedsSavepoints) => {
            with_outcomes(batch, Some(Fault::Uncommitted("a statement ended the transaction".into())))
        }
    }
}

/// Gives each job the fault of the whole batch, or else its own.
fn with_outcomes(batch: Vec<BatchEntry>, fault: Option<Fault>) -> Vec<FinishedJob> {
    let outcome = |own: Option<Fault>| own.or_else(|| fault.clone()).map_or(Ok(()), Err);
    batch.into_iter().map(|BatchEntry { job, panicked }| FinishedJob { job, outcome: outcome(panicked) }).collect()
}

/// Ends a transaction that is still open.
fn roll_back(db: &Connection) -> rusqlite::Result<()> {
    if db.is_autocommit() { Ok(()) } else { execute(db, "ROLLBACK") }
}

fn commit_together(
    db: &Connection,
    batch: &mut Vec<BatchEntry>,
    limit: Duration,
    has_savepoints: bool,
    more: &mut dyn FnMut(usize) -> Vec<BatchEntry>,
) -> Result<(), BatchError> {
    execute(db, "BEGIN IMMEDIATE").map_err(BatchError::Refused)?;
    let mut kept = false;
    let mut next = 0;
    loop {
        let alone = batch.len() == 1;
        for entry in &mut batch[next..] {
            match run_in_batch(db, entry, limit, alone, has_savepoints)? {
                JobEffect::Kept => kept = true,
                JobEffect::Undone => {}
                // The changes of this only job are still there, so no other may join it.
                JobEffect::ToUndo => return execute(db, "ROLLBACK").map_err(BatchError::Refused),
            }
        }
        next = batch.len();
        batch.extend(more(next));
        if batch.len() == next {
            break;
        }
    }
    let end = if kept { "COMMIT" } else { "ROLLBACK" };
    execute(db, end).map_err(BatchError::Refused)
}

/// What a job in a batch has left in the transaction.
enum JobEffect {
    Kept,
    Undone,
    /// Changes that it wants to have undone.
    ToUndo,
}

fn run_in_batch(
    db: &Connection,
    entry: &mut BatchEntry,
    limit: Duration,
    alone: bool,
    has_savepoints: bool,
) -> Result<JobEffect, BatchError> {
    if has_savepoints {
        execute(db, "SAVEPOINT job").map_err(|_| BatchError::TakenAlong)?;
    }
    let before = db.total_changes();
    let verdict = match work(db, &mut *entry.job, limit) {
        Ok(verdict) => {
            entry.panicked = None;
            verdict
        }
        Err(fault) => {
            entry.panicked = Some(fault);
            Verdict::Rollback
        }
    };
    if db.is_autocommit() {
        let says_why = alone && verdict == Verdict::Rollback;
        return Err(if says_why { BatchError::Undone } else { BatchError::TakenAlong });
    }
    let effect = match verdict {
        Verdict::Commit => JobEffect::Kept,
        Verdict::Rollback if has_savepoints => {
            execute(db, "ROLLBACK TO job").map_err(|_| BatchError::TakenAlong)?;
            JobEffect::Undone
        }
        Verdict::Rollback if db.total_changes() == before => JobEffect::Undone,
        Verdict::Rollback if alone => JobEffect::ToUndo,
        Verdict::Rollback => return Err(BatchError::NeedsSavepoints),
    };
    if has_savepoints {
        execute(db, "RELEASE job").map_err(|_| BatchError::TakenAlong)?;
    }
    Ok(effect)
}

/// Runs the work under its own time limit or the default. A panic becomes a fault.
fn work(db: &Connection, job: &mut dyn Job, limit: Duration) -> Result<Verdict, Fault> {
    let deadline = Instant::now() + job.limit().unwrap_or(limit);
    // 20,000 virtual machine steps take about a millisecond: that is the interval between two looks at the clock.
    let _ = db.progress_handler(20_000, Some(move || Instant::now() > deadline));
    run_caught(db, job)
}

/// Runs the work under the current progress handler. A panic becomes a fault.
fn run_caught(db: &Connection, job: &mut dyn Job) -> Result<Verdict, Fault> {
    let verdict = catch_unwind(AssertUnwindSafe(|| job.work(db)));
    let _ = db.progress_handler(0, None::<fn() -> bool>);
    verdict.map_err(|panic| Fault::panicked(&*panic))
}

fn execute(db: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(|_| ())
}

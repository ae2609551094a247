//! Jobs, and the running of many writes in one transaction.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::ailment::Ailment;

/// Steps of SQLite's machine between two looks at how long a small read takes, and the look at which it has taken too long:
/// after about a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;
const FEW_LOOKS: u32 = 20;

/// One piece of work on one file, which leaves its result in itself until it may be told.
pub trait Job: Send {
    /// Asked once, just before the work: is it still wanted?
    fn begin(&mut self) -> bool;

    /// How long its statements may run, where that is longer than is usual. It is then in a transaction of its own, after
    /// those that waited beside it.
    fn limit(&self) -> Option<Duration> {
        None
    }

    /// The work, inside a transaction. A write may be asked to work again: only where all it did before was undone.
    fn work(&mut self, db: &Connection) -> Verdict;

    /// Told once, after the commit (or when there will be none): the moment to answer.
    fn answer(self: Box<Self>, outcome: Result<(), Fault>);
}

/// What becomes of what a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Undo,
}

/// Why a job's work could not be done, or not be kept. In each case nothing of it is in the file.
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
    /// The disk or the file is to blame, whoever asks.
    #[error("{1}")]
    Ailing(Ailment, String),
}

impl Fault {
    pub fn unopened(error: &anyhow::Error) -> Self {
        let said = format!("{error:#}");
        match Ailment::of(error) {
            Some(ailment) => Self::Ailing(ailment, said),
            None => Self::Unopened(said),
        }
    }

    fn uncommitted(error: &rusqlite::Error) -> Self {
        let said = error.to_string();
        match Ailment::of_sqlite(error) {
            Some(ailment) => Self::Ailing(ailment, said),
            None => Self::Uncommitted(said),
        }
    }

    /// What a caught panic said.
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "no message".into()))
    }
}

/// A job in a batch, with what came of it so far.
struct Entry {
    job: Box<dyn Job>,
    panicked: Option<Fault>,
}

/// Why a batch as a whole is not in the file.
enum Broken {
    /// SQLite refused to begin or to commit.
    Refused(rusqlite::Error),
    /// A statement of one job took the whole transaction with it (SQLite does so when a write is interrupted, or the
    /// disk is full).
    TakenAlong,
    /// The same, where there is only that job, and it wants nothing kept: it says itself why.
    Undone,
}

/// A job that was begun, and has not worked yet.
pub struct Begun(Box<dyn Job>);

impl Begun {
    /// Nothing where it is no longer wanted.
    pub fn new(mut job: Box<dyn Job>) -> Option<Self> {
        job.begin().then_some(Self(job))
    }

    pub fn answer(self, outcome: Result<(), Fault>) {
        self.0.answer(outcome);
    }
}

/// One job in a read transaction.
pub fn read(db: &Connection, mut job: Begun, limit: Duration) {
    let outcome = read_transaction(db, || work(db, &mut *job.0, limit));
    job.answer(outcome);
}

/// One job in a read transaction, on the connection that writes: for as long as writers can be kept waiting. It may be
/// answered once that connection is free; one that needs longer is handed back, and may work again.
pub fn read_little(db: &Connection, mut job: Begun) -> Result<Worked, Begun> {
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
        caught(db, &mut *job.0)
    });
    if needs_longer.load(Ordering::Relaxed) {
        return Err(job);
    }
    // What a reader's own connection would have refused has been undone here.
    let has_written = db.total_changes() != written;
    let outcome = if has_written { Err(Fault::Panicked("a read has written".into())) } else { outcome };
    Ok(Worked { job: job.0, outcome })
}

fn read_transaction(db: &Connection, work: impl FnOnce() -> Result<Verdict, Fault>) -> Result<(), Fault> {
    let begun = execute(db, "BEGIN").map_err(|error| Fault::uncommitted(&error));
    let outcome = begun.and_then(|()| work().map(|_| ()));
    if !db.is_autocommit() {
        let _ = execute(db, "ROLLBACK");
    }
    outcome
}

/// A job that has worked, and what it is to be told.
pub struct Worked {
    job: Box<dyn Job>,
    outcome: Result<(), Fault>,
}

impl Worked {
    pub fn answer(self) {
        self.job.answer(self.outcome);
    }
}

/// Writes, in one transaction, each undone by itself where it asks so. They may be answered: what is kept is on disk.
pub fn write(db: &Connection, jobs: Vec<Box<dyn Job>>, limit: Duration) -> Vec<Worked> {
    let mut batch: Vec<Entry> = Vec::with_capacity(jobs.len());
    for mut job in jobs {
        if job.begin() {
            batch.push(Entry { job, panicked: None });
        }
    }
    if batch.is_empty() { Vec::new() } else { write_all(db, batch, limit) }
}

fn write_all(db: &Connection, mut batch: Vec<Entry>, limit: Duration) -> Vec<Worked> {
    let result = commit_together(db, &mut batch, limit);
    if !db.is_autocommit() {
        let _ = execute(db, "ROLLBACK");
    }
    match result {
        Ok(()) | Err(Broken::Undone) => told(batch, None),
        // The innocent are tried again, each by itself, so that only the one to blame fails.
        Err(Broken::TakenAlong) if batch.len() > 1 => {
            let alone = batch.into_iter().map(|entry| vec![Entry { panicked: None, ..entry }]);
            alone.flat_map(|entry| write_all(db, entry, limit)).collect()
        }
        Err(Broken::Refused(error)) => told(batch, Some(Fault::uncommitted(&error))),
        Err(Broken::TakenAlong) => told(batch, Some(Fault::Uncommitted("a statement ended the transaction".into()))),
    }
}

/// Each with the fault of the whole batch, where there is one, or with its own.
fn told(batch: Vec<Entry>, fault: Option<Fault>) -> Vec<Worked> {
    let outcome = |own: Option<Fault>| own.or_else(|| fault.clone()).map_or(Ok(()), Err);
    batch.into_iter().map(|Entry { job, panicked }| Worked { job, outcome: outcome(panicked) }).collect()
}

fn commit_together(db: &Connection, batch: &mut [Entry], limit: Duration) -> Result<(), Broken> {
    execute(db, "BEGIN IMMEDIATE").map_err(Broken::Refused)?;
    let alone = batch.len() == 1;
    let mut kept = false;
    for entry in batch {
        if !alone {
            execute(db, "SAVEPOINT job").map_err(|_| Broken::TakenAlong)?;
        }
        let verdict = work(db, &mut *entry.job, limit).unwrap_or_else(|fault| {
            entry.panicked = Some(fault);
            Verdict::Undo
        });
        if db.is_autocommit() {
            let says_why = alone && verdict == Verdict::Undo;
            return Err(if says_why { Broken::Undone } else { Broken::TakenAlong });
        }
        match (verdict, alone) {
            (Verdict::Keep, true) => kept = true,
            (Verdict::Undo, true) => {}
            (Verdict::Keep, false) => {
                kept = true;
                execute(db, "RELEASE job").map_err(|_| Broken::TakenAlong)?;
            }
            (Verdict::Undo, false) => {
                execute(db, "ROLLBACK TO job").map_err(|_| Broken::TakenAlong)?;
                execute(db, "RELEASE job").map_err(|_| Broken::TakenAlong)?;
            }
        }
    }
    let end = if kept { "COMMIT" } else { "ROLLBACK" };
    execute(db, end).map_err(Broken::Refused)
}

/// The work under its time limit, or the usual one; a panic becomes a fault.
fn work(db: &Connection, job: &mut dyn Job, limit: Duration) -> Result<Verdict, Fault> {
    let deadline = Instant::now() + job.limit().unwrap_or(limit);
    // About a millisecond of virtual machine steps between two looks at the clock.
    let _ = db.progress_handler(20_000, Some(move || Instant::now() > deadline));
    caught(db, job)
}

/// The work under the progress handler that is set; a panic becomes a fault.
fn caught(db: &Connection, job: &mut dyn Job) -> Result<Verdict, Fault> {
    let verdict = catch_unwind(AssertUnwindSafe(|| job.work(db)));
    let _ = db.progress_handler(0, None::<fn() -> bool>);
    verdict.map_err(|panic| Fault::panicked(&*panic))
}

fn execute(db: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(|_| ())
}

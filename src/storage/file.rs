//! A file in service: its lanes, its connections, its migrations, its checkpoints.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::{Mutex, MutexGuard};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use scheduled_thread_pool::ScheduledThreadPool;

use super::ailment::Ailment;
use super::batch::{self, Begun, Fault, Job, Verdict, Worked};
use super::connection::{self, Readers};
use super::lane::{Joined, Lane};
use super::meter::Meter;
use super::migrate::{self, Kind};
use super::share::Share;
use super::threads::{DATABASE_THREADS, Supervisor, Threads};
use super::whole::beside;

/// Writes that go into one transaction at the most: past that a batch no longer gets cheaper, only longer.
const LARGEST_BATCH: usize = 256;

/// Answers that are worth a thread of their own.
const MANY_ANSWERS: usize = 4;

/// Pages in the write-ahead log (16 MiB) after which it is brought into the file.
const LONG_LOG: i64 = 4_000;

/// How far the log is on its way into the file.
const LOG_GROWS: u8 = 0;
const LOG_BEING_COPIED: u8 = 1;
const LOG_COPIED: u8 = 2;

/// What one file may take of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Reads of one file that run at once; fewer than there are threads, so that no workspace takes them all.
    pub read_turns: usize,
    /// Jobs that may wait in one lane of one file.
    pub longest_lane: usize,
    /// How long one request's statements may run.
    pub statement: Duration,
}

/// What all files share: the threads, and the limits of each.
pub struct Storage {
    threads: Threads,
    thread_count: usize,
    openers: Arc<ScheduledThreadPool>,
    limits: Limits,
    supervisor: Arc<Supervisor>,
    pub meter: Meter,
}

impl Storage {
    pub fn start(threads: usize, limits: Limits, supervisor: &Arc<Supervisor>) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            threads: Threads::start(DATABASE_THREADS, threads, supervisor)?,
            thread_count: threads,
            // It catches what a task raises, and goes on.
            openers: Arc::new(ScheduledThreadPool::builder().num_threads(1).thread_name_pattern("opener").build()),
            limits,
            supervisor: Arc::clone(supervisor),
            meter: Meter::default(),
        }))
    }

    /// Answers a batch. To wake many who wait takes as long as to write a few rows: then another thread does it, and
    /// the next batch need not wait for that.
    fn answer(&self, worked: Vec<Worked>) {
        let supervisor = Arc::clone(&self.supervisor);
        let few = worked.len() < MANY_ANSWERS;
        let answer_all = move || {
            for worked in worked {
                // One that panics keeps no other of the batch from its answer.
                let _ = supervisor.run(DATABASE_THREADS, || worked.answer());
            }
        };
        if few {
            answer_all();
        } else {
            self.threads.run(answer_all);
        }
    }

    /// Lets a file go on a database thread: whoever is the last to hold it closes it, which may flush its log.
    pub fn close(&self, file: Arc<File>) {
        self.threads.run(move || drop(file));
    }
}

/// One SQLite file. It is opened and migrated by the first job that reaches it, once.
pub struct File {
    path: PathBuf,
    kind: Kind,
    reads: Lane,
    writes: Lane,
    // Closed in this order: the last connection to close is the one that can write, and brings the log into the file.
    readers: Readers,
    writer: Mutex<Option<Connection>>,
    log: AtomicU8,
    /// Set once the file has been opened and migrated: from then on a read need not wait for the writer.
    ready: OnceLock<()>,
    storage: Arc<Storage>,
    /// The threads that work on it count to this.
    share: Mutex<Arc<Share>>,
    /// Those who wait for the file to be closed: told by being dropped, after the connections.
    waiting_for_end: Mutex<Vec<Sender<()>>>,
}

impl File {
    pub fn new(storage: &Arc<Storage>, path: PathBuf, kind: Kind) -> Arc<Self> {
        let limits = storage.limits;
        let most = u32::try_from(limits.read_turns).unwrap_or(u32::MAX);
        Arc::new(Self {
            reads: Lane::new(limits.read_turns, limits.longest_lane),
            writes: Lane::new(1, limits.longest_lane),
            readers: connection::readers(&path, most, Arc::clone(&storage.openers)),
            writer: Mutex::new(None),
            log: AtomicU8::new(LOG_GROWS),
            ready: OnceLock::new(),
            waiting_for_end: Mutex::default(),
            storage: Arc::clone(storage),
            share: Mutex::new(match kind {
                Kind::Central => Share::new(usize::MAX),
                Kind::Workspace => Share::of(storage.thread_count),
            }),
            path,
            kind,
        })
    }

    /// Lets the threads that work on it from now on count to this share.
    pub fn count_to(&self, share: &Arc<Share>) {
        *self.share.lock() = Arc::clone(share);
    }

    fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share.lock())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Jobs that wait in the lanes: to read, and to write.
    pub fn waiting(&self) -> (usize, usize) {
        (self.reads.waiting(), self.writes.waiting())
    }

    /// What it takes on the disk, in bytes, and what its log takes beside it; nothing where there is none.
    pub fn sizes(&self) -> (u64, u64) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
        (size(&self.path), size(&beside(&self.path, "-wal")))
    }

    /// What disconnects when the last who holds the file has let it go and it is closed.
    pub fn end(&self) -> Receiver<()> {
        let (sender, end) = channel();
        self.waiting_for_end.lock().push(sender);
        end
    }

    /// Lets a job read in a turn of its own, beside other reads and the writer.
    pub fn submit_read(self: &Arc<Self>, job: Box<dyn Job>) {
        match self.reads.join(job) {
            Joined::SendThread => self.send_reader(),
            Joined::Waits => {}
            Joined::Full(job) => job.answer(Err(Fault::Full)),
        }
    }

    /// Lets a job write, in one transaction with all that wait beside it.
    pub fn submit_write(self: &Arc<Self>, job: Box<dyn Job>) {
        match self.writes.join(job) {
            Joined::SendThread => self.send_writer(),
            Joined::Waits => {}
            Joined::Full(job) => job.answer(Err(Fault::Full)),
        }
    }

    /// Reads on a database thread and waits for it. Not to be called from one.
    pub fn read<T, E>(self: &Arc<Self>, work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        wait(work, None, |job| self.submit_read(job))
    }

    /// Writes on a database thread and waits until it is on disk. Not to be called from one.
    pub fn write<T, E>(self: &Arc<Self>, work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        wait(work, None, |job| self.submit_write(job))
    }

    /// The same where it may take longer than is usual: others of the file that wait to write do so all that time.
    pub fn write_within<T, E>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        wait(work, Some(limit), |job| self.submit_write(job))
    }

    /// Opens and migrates now, where a command or the start of the server wants to hear of a bad file at once.
    pub fn open(&self) -> anyhow::Result<()> {
        self.opened().map(|_| ())
    }

    /// Brings the log into the file, so that the file alone is the whole of it, and lets the pages in memory go: in most
    /// workspaces nobody asks for them again soon.
    pub fn rest(&self) -> anyhow::Result<()> {
        let writer = self.writer.lock();
        if let Some(db) = writer.as_ref() {
            connection::empty_log(db)?;
            db.execute_batch("PRAGMA shrink_memory")?;
        }
        Ok(())
    }

    fn send_reader(self: &Arc<Self>) {
        let file = Arc::clone(self);
        self.share().run(&self.storage.threads, move || {
            let again = OnPanic(|| file.send_reader());
            file.serve_reads();
            drop(again);
        });
    }

    fn send_writer(self: &Arc<Self>) {
        let file = Arc::clone(self);
        self.share().run(&self.storage.threads, move || {
            let again = OnPanic(|| file.send_writer());
            file.serve_writes();
            drop(again);
        });
    }

    /// A thread's turn in the read lane: it stays while nobody else wants the thread, and goes to the back of the
    /// queue otherwise, so that busy files take turns with quiet ones.
    fn serve_reads(self: &Arc<Self>) {
        loop {
            let jobs = self.reads.next(1);
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                self.read_one(job);
            }
            if self.is_thread_wanted() {
                return self.send_reader();
            }
        }
    }

    /// Whether others wait for a thread: files of any account, or of the same.
    fn is_thread_wanted(&self) -> bool {
        self.storage.threads.waiting() > 0 || self.share().waiting() > 0
    }

    fn read_one(&self, job: Box<dyn Job>) {
        let Some(job) = Begun::new(job) else { return };
        let limit = self.storage.limits.statement;
        if let Some(db) = self.readers.try_get() {
            return batch::read(&db, job, limit);
        }
        let Some(job) = self.read_on_writer(job) else { return };
        match self.reader() {
            Ok(db) => batch::read(&db, job, limit),
            Err(error) if Ailment::of(&error) == Some(Ailment::NoDescriptors) => {
                // The connection that writes is open already: a small read can wait for it.
                let writer = self.writer.lock();
                if let Some(job) = read_little_on(Some(writer), job) {
                    job.answer(Err(Fault::unopened(&error)));
                }
            }
            Err(error) => job.answer(Err(Fault::unopened(&error))),
        }
    }

    /// Where no reader is open and nobody writes, a small read needs no connection of its own: each has a copy of the
    /// schema, which is most of the memory that an open workspace takes, and to read it is most of what opening takes.
    fn read_on_writer(&self, job: Begun) -> Option<Begun> {
        let writer = match self.ready.get() {
            Some(()) => self.writer.try_lock(),
            None => match self.opened() {
                Ok(writer) => Some(writer),
                Err(error) => {
                    job.answer(Err(Fault::unopened(&error)));
                    return None;
                }
            },
        };
        read_little_on(writer, job)
    }

    fn reader(&self) -> anyhow::Result<r2d2::PooledConnection<SqliteConnectionManager>> {
        // The pool opens one, or tries until its time is up and forgets why it could not: that is seen here, at once.
        self.connect(connection::open_reader)?;
        Ok(self.readers.get()?)
    }

    /// Opens a connection; or says why not, also where that is for want of descriptors, which SQLite does not tell from a
    /// file that is not there.
    fn connect(&self, open: fn(&Path) -> rusqlite::Result<Connection>) -> anyhow::Result<Connection> {
        let opened = open(&self.path).map_err(|error| {
            // As many as SQLite opens: the file, its log, the index of that.
            let probes: Vec<_> = (0..3).map(|_| std::fs::File::open(&self.path)).collect();
            probes.into_iter().find_map(Result::err).map_or_else(|| error.into(), anyhow::Error::from)
        });
        opened.with_context(|| format!("cannot open {}", self.path.display()))
    }

    /// The thread's turn in the write lane; there is only one.
    fn serve_writes(self: &Arc<Self>) {
        loop {
            let jobs = self.writes.next(LARGEST_BATCH);
            if jobs.is_empty() {
                return;
            }
            match self.opened() {
                Ok(writer) => {
                    let db = writer.as_ref().expect("just opened");
                    for batch in batches(jobs) {
                        let begun = Instant::now();
                        let worked = batch::write(db, batch, self.storage.limits.statement);
                        self.storage.meter.group_written(worked.len(), begun);
                        self.storage.answer(worked);
                        self.tend_log(db);
                    }
                }
                Err(error) => {
                    let fault = Fault::unopened(&error);
                    jobs.into_iter().for_each(|job| job.answer(Err(fault.clone())));
                }
            }
            if self.is_thread_wanted() {
                return self.send_writer();
            }
        }
    }

    /// Keeps the log from growing without end, which makes every read slower and the next start long.
    ///
    /// Another thread copies it into the file while writes go on; they add to it meanwhile. When that is done, what
    /// was added is copied between two batches, and the next one begins the log anew. The batch before has been
    /// answered: nobody waits for this but the batch that comes next, and for little.
    fn tend_log(self: &Arc<Self>, db: &Connection) {
        match self.log.load(Ordering::Acquire) {
            LOG_GROWS if pages_in_log(db) > LONG_LOG => {
                self.log.store(LOG_BEING_COPIED, Ordering::Release);
                let file = Arc::clone(self);
                self.storage.threads.run(move || {
                    // What cannot be copied now is copied next time.
                    let _ = connection::open_writer(&file.path).and_then(|db| copy_log(&db));
                    file.log.store(LOG_COPIED, Ordering::Release);
                });
            }
            LOG_COPIED => {
                let _ = copy_log(db);
                self.log.store(LOG_GROWS, Ordering::Release);
            }
            _ => {}
        }
    }

    /// The connection that writes: opened, and the file migrated, by whoever comes first; the others wait here.
    fn opened(&self) -> anyhow::Result<MutexGuard<'_, Option<Connection>>> {
        let mut writer = self.writer.lock();
        if writer.is_none() {
            let mut db = self.connect(connection::open_writer)?;
            migrate::migrate(&mut db, self.kind).with_context(|| format!("cannot use {}", self.path.display()))?;
            // Of the pages that the schema was read from, none is needed again.
            db.execute_batch("PRAGMA shrink_memory")?;
            *writer = Some(db);
            self.storage.meter.file_opened();
            let _ = self.ready.set(());
        }
        Ok(writer)
    }
}

/// Hands a turn on where its thread panics: with a turn that is never given back, a lane would stand still in the end.
struct OnPanic<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Reads on the connection that writes, if it is there; gives back a job that needs longer.
fn read_little_on(writer: Option<MutexGuard<'_, Option<Connection>>>, job: Begun) -> Option<Begun> {
    let Some(db) = writer.as_ref().and_then(|writer| writer.as_ref()) else { return Some(job) };
    let read = batch::read_little(db, job);
    // Whoever has the answer may ask again at once, and is to find the connection free.
    drop(writer);
    match read {
        Ok(worked) => {
            worked.answer();
            None
        }
        Err(job) => Some(job),
    }
}

/// What waits together is written together. Nobody is to wait for a long job who came with it: such come last, each by
/// itself.
fn batches(jobs: Vec<Box<dyn Job>>) -> impl Iterator<Item = Vec<Box<dyn Job>>> {
    let (long, short): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.limit().is_some());
    let short = (!short.is_empty()).then_some(short);
    short.into_iter().chain(long.into_iter().map(|job| vec![job]))
}

fn pages_in_log(db: &Connection) -> i64 {
    let pages = db
        .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
        .and_then(|mut statement| statement.query_row([], |row| row.get(1)));
    pages.unwrap_or(0)
}

/// As much of the log as no reader still needs.
fn copy_log(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Lets a closure be submitted as a job, and waits for what came of it.
fn wait<T, E>(
    work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static,
    limit: Option<Duration>,
    submit: impl FnOnce(Box<dyn Job>),
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Fault> + Send + 'static,
{
    let (told, result) = sync_channel(1);
    submit(Box::new(Call { work, limit, result: None, told }));
    result.recv().unwrap_or_else(|_| Err(Fault::Uncommitted("the file was closed".into()).into()))
}

/// A closure as a job, for callers that wait on a thread of their own.
struct Call<W, T, E> {
    work: W,
    limit: Option<Duration>,
    result: Option<Result<T, E>>,
    told: SyncSender<Result<T, E>>,
}

impl<W, T, E> Job for Call<W, T, E>
where
    W: FnMut(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<Fault> + Send,
{
    fn begin(&mut self) -> bool {
        true
    }

    fn limit(&self) -> Option<Duration> {
        self.limit
    }

    fn work(&mut self, db: &Connection) -> Verdict {
        let result = (self.work)(db);
        let verdict = if result.is_ok() { Verdict::Keep } else { Verdict::Undo };
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Self { work, result, told, .. } = *self;
        // With the work goes what it holds: whoever has the answer may count on that.
        drop(work);
        let result = match outcome {
            Ok(()) => result.expect("a job that was not faulty has worked"),
            Err(fault) => Err(fault.into()),
        };
        let _ = told.send(result);
    }
}

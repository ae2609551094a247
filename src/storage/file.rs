//! A file in service: its lanes, connections, migrations and checkpoints.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::{Mutex, MutexGuard};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use scheduled_thread_pool::ScheduledThreadPool;

use super::batch::{self, Begun, Fault, FinishedJob, Job, Verdict};
use super::commit_log::{CommitLog, Expected, PendingCommit, UnstoredCommits, overtaken};
use super::disk_error::DiskError;
use super::lane::{Joined, Lane};
use super::migrate::{self, FileKind};
use super::share::Share;
use super::snapshot::companion_path;
use super::sqlite_connection::{self, Readers};
use super::storage_metrics::StorageMetrics;
use super::threads::{DATABASE_THREADS, Supervisor, Threads};
use super::update_copies::UpdateCopies;

/// Maximum writes in one transaction. A larger batch takes longer and is not cheaper per write.
const LARGEST_BATCH: usize = 256;

/// From this number of responses on, another thread sends them.
const MANY_RESULTS: usize = 4;

/// Pages in the WAL (16 MiB) after which it is checkpointed.
pub(super) const LONG_LOG: i64 = 4_000;

/// Pages that are copied fast enough for writers to wait for it: about two milliseconds.
const SHORT_COPY: i64 = 200;

/// Copies of a WAL that grows as fast as it is copied.
const MOST_COPIES: usize = 5;

/// A batch whose commit a store keeps waits for the jobs that are expected: at most this part of the time that the commit
/// before took, and only while jobs come in such intervals. It works while they come. A job that misses the batch waits for two
/// requests to the store.
const WAITS_AT_MOST: u32 = 2;
const LONGEST_INTERVAL: Duration = Duration::from_millis(4);

/// Interval in which a batch looks for the next job.
const LOOKS_EVERY: Duration = Duration::from_micros(250);

/// Progress of the checkpoint.
const LOG_GROWS: u8 = 0;
const LOG_BEING_COPIED: u8 = 1;
const LOG_COPIED: u8 = 2;

/// Limits on the resources that one file may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Concurrent reads per file. Fewer than there are threads, so that no workspace takes all of them.
    pub read_turns: usize,
    /// Jobs that may wait in one lane of one file.
    pub longest_lane: usize,
    /// Time limit for the statements of one job.
    pub statement: Duration,
}

/// State that all files share: the threads, and the limits per file.
pub struct Storage {
    threads: Threads,
    thread_count: usize,
    openers: Arc<ScheduledThreadPool>,
    limits: Limits,
    supervisor: Arc<Supervisor>,
    /// Keeps the commits of the files in service.
    log: Option<Arc<dyn CommitLog>>,
    /// Where the files in service are copied to before they are migrated.
    copies: UpdateCopies,
    pub metrics: StorageMetrics,
}

impl Storage {
    pub fn start(
        threads: usize,
        limits: Limits,
        supervisor: &Arc<Supervisor>,
        log: Option<Arc<dyn CommitLog>>,
        copies: UpdateCopies,
    ) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            threads: Threads::start(DATABASE_THREADS, threads, supervisor)?,
            thread_count: threads,
            // This pool catches the panics of its tasks.
            openers: Arc::new(ScheduledThreadPool::builder().num_threads(1).thread_name_pattern("opener").build()),
            limits,
            supervisor: Arc::clone(supervisor),
            log,
            copies,
            metrics: StorageMetrics::default(),
        }))
    }

    /// Sends the responses of a batch. Waking many waiters takes as long as writing a few rows, so another thread does
    /// that, and the next batch starts at once.
    fn answer(&self, worked: Vec<FinishedJob>) {
        let supervisor = Arc::clone(&self.supervisor);
        let few = worked.len() < MANY_RESULTS;
        let answer_all = move || {
            for worked in worked {
                // If one response panics, the others must still be sent.
                let _ = supervisor.run(DATABASE_THREADS, || worked.answer());
            }
        };
        if few {
            answer_all();
        } else {
            self.threads.run(answer_all);
        }
    }

    /// Releases a file on a database thread. The last holder closes the file, which may checkpoint its WAL.
    pub fn close(&self, file: Arc<File>) {
        self.threads.run(move || {
            // SQLite does not checkpoint a file whose commits are kept.
            if file.kept.is_some()
                && let Err(error) = file.checkpoint()
            {
                tracing::warn!(error = format!("{error:#}"), path = %file.path.display(), "the WAL was not copied");
            }
            drop(file);
        });
    }
}

/// One SQLite file. The first job that reaches it opens and migrates it, once.
pub struct File {
    path: PathBuf,
    kind: FileKind,
    reads: Lane,
    writes: Lane,
    // Fields drop in this order. The write connection must close last, because only it can checkpoint the WAL.
    readers: Readers,
    writer: Mutex<Option<Connection>>,
    log: AtomicU8,
    /// The number of batches that were written.
    batches: AtomicU64,
    /// Set once the file was opened and migrated. From then on a read need not wait for the writer.
    ready: OnceLock<()>,
    storage: Arc<Storage>,
    /// The share that limits the threads for this file.
    share: Mutex<Arc<Share>>,
    /// Waiters for the closing of the file. Dropping these senders, after the connections, notifies them.
    waiting_for_end: Mutex<Vec<Sender<()>>>,
    /// Whether it is the file of a data directory, and not a copy of one.
    is_in_service: bool,
    /// For a file whose commits are kept.
    kept: Option<KeptFile>,
}

/// The part of a file whose commits a log keeps.
struct KeptFile {
    log: Arc<dyn CommitLog>,
    /// Set once the log has brought the file up to date.
    is_prepared: AtomicBool,
    unstored: UnstoredCommits,
    /// Whether the WAL is long and stored.
    is_long: AtomicBool,
    /// Another server has taken over the file. Every job is rejected.
    is_overtaken: AtomicBool,
}

impl File {
    /// A file in service. If there is a log, it keeps the commits of the file.
    pub fn in_service(storage: &Arc<Storage>, path: PathBuf, kind: FileKind) -> Arc<Self> {
        let kept = storage.log.as_ref().map(|log| KeptFile {
            log: Arc::clone(log),
            is_prepared: AtomicBool::new(false),
            unstored: UnstoredCommits::default(),
            is_long: AtomicBool::new(false),
            is_overtaken: AtomicBool::new(false),
        });
        Self::with_log(storage, path, kind, true, kept)
    }

    /// A file whose commits are not kept, such as a copy.
    pub fn new(storage: &Arc<Storage>, path: PathBuf, kind: FileKind) -> Arc<Self> {
        Self::with_log(storage, path, kind, false, None)
    }

    fn with_log(
        storage: &Arc<Storage>,
        path: PathBuf,
        kind: FileKind,
        is_in_service: bool,
        kept: Option<KeptFile>,
    ) -> Arc<Self> {
        let limits = storage.limits;
        let most = u32::try_from(limits.read_turns).unwrap_or(u32::MAX);
        Arc::new(Self {
            reads: Lane::new(limits.read_turns, limits.longest_lane),
            writes: Lane::new(1, limits.longest_lane),
            readers: sqlite_connection::readers(&path, most, Arc::clone(&storage.openers)),
            writer: Mutex::new(None),
            log: AtomicU8::new(LOG_GROWS),
            batches: AtomicU64::new(0),
            ready: OnceLock::new(),
            waiting_for_end: Mutex::default(),
            is_in_service,
            kept,
            storage: Arc::clone(storage),
            share: Mutex::new(match kind {
                FileKind::Central => Share::new(usize::MAX),
                FileKind::Workspace => Share::of(storage.thread_count),
            }),
            path,
            kind,
        })
    }

    /// Assigns the file to a share. Threads that start on the file from now on count towards it.
    pub fn set_share(&self, share: &Arc<Share>) {
        *self.share.lock() = Arc::clone(share);
    }

    fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share.lock())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Jobs waiting in the read lane and in the write lane.
    pub fn waiting(&self) -> (usize, usize) {
        (self.reads.waiting(), self.writes.waiting())
    }

    /// Changes with every batch of writes.
    pub fn batches_written(&self) -> u64 {
        self.batches.load(Ordering::Acquire)
    }

    /// Bytes on disk of the file and of its WAL. 0 if missing.
    pub fn sizes(&self) -> (u64, u64) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
        (size(&self.path), size(&companion_path(&self.path, "-wal")))
    }

    /// Returns a receiver that disconnects when the last holder has released the file and it is closed.
    pub fn closed(&self) -> Receiver<()> {
        let (sender, end) = channel();
        self.waiting_for_end.lock().push(sender);
        end
    }

    /// Queues a job in the read lane. It runs concurrently with other reads and the writer.
    pub fn submit_read(self: &Arc<Self>, job: Box<dyn Job>) {
        match self.reads.join(job) {
            Joined::SendThread => self.send_reader(),
            Joined::Waits => {}
            Joined::Full(job) => job.answer(Err(Fault::Full)),
        }
    }

    /// Queues a job in the write lane. It shares a transaction with the jobs that wait with it.
    pub fn submit_write(self: &Arc<Self>, job: Box<dyn Job>) {
        match self.writes.join(job) {
            Joined::SendThread => self.send_writer(),
            Joined::Waits => {}
            Joined::Full(job) => job.answer(Err(Fault::Full)),
        }
    }

    /// Reads on a database thread and waits for the result. Do not call this on a database thread.
    pub fn read<T, E>(self: &Arc<Self>, work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        wait(work, None, |job| self.submit_read(job))
    }

    /// Writes on a database thread and waits until the change is on disk. Do not call this on a database thread.
    pub fn write<T, E>(self: &Arc<Self>, work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        wait(work, None, |job| self.submit_write(job))
    }

    /// Like `write`, with a longer time limit. Other writes of the file wait all that time.
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

    /// Opens and migrates the file now, so that a command or a starting server sees a bad file at once.
    pub fn open(self: &Arc<Self>) -> anyhow::Result<()> {
        if let Some(kept) = &self.kept {
            let (told, prepared) = sync_channel(1);
            kept.prepare(&self.path, Arc::clone(self), move |_, done| drop(told.send(done)));
            prepared.recv().context("the store was closed")??;
        }
        self.opened().map(|_| ())
    }

    /// Checkpoints the WAL, so that the file is complete by itself, and frees cached pages. Most workspaces do not need
    /// them again soon.
    pub fn checkpoint(&self) -> anyhow::Result<()> {
        let writer = self.writer.lock();
        if let Some(db) = writer.as_ref() {
            match &self.kept {
                Some(kept) => kept.log.checkpoint(&self.path, db, true)?,
                None => sqlite_connection::truncate_wal(db)?,
            }
            db.execute_batch("PRAGMA shrink_memory")?;
        }
        Ok(())
    }

    fn send_reader(self: &Arc<Self>) {
        if self.is_sent_when_prepared(Self::send_reader, &self.reads) {
            return;
        }
        let file = Arc::clone(self);
        self.share().run(&self.storage.threads, move || {
            let again = OnPanic(|| file.send_reader());
            file.serve_reads();
            drop(again);
        });
    }

    fn send_writer(self: &Arc<Self>) {
        if self.is_sent_when_prepared(Self::send_writer, &self.writes) {
            return;
        }
        let file = Arc::clone(self);
        self.share().run(&self.storage.threads, move || {
            let again = OnPanic(|| {
                // A batch that panicked may have a commit that is not stored. No read may show it.
                if let Some(kept) = &file.kept {
                    kept.unstored.reject_reads();
                }
                file.send_writer();
            });
            file.serve_writes();
            drop(again);
        });
    }

    /// Whether a thread is sent later: the log first brings the file up to date, on a thread of its own. If it fails, the
    /// jobs that wait in the lane are rejected.
    fn is_sent_when_prepared(self: &Arc<Self>, send: fn(&Arc<Self>), lane: &Lane) -> bool {
        let Some(kept) = self.kept.as_ref().filter(|kept| !kept.is_prepared.load(Ordering::Acquire)) else {
            return false;
        };
        let is_read = std::ptr::eq(lane, &raw const self.reads);
        kept.prepare(&self.path, Arc::clone(self), move |file, done| match done {
            Ok(()) => send(file),
            Err(fault) => {
                let lane = if is_read { &file.reads } else { &file.writes };
                loop {
                    let jobs = lane.next(usize::MAX);
                    if jobs.is_empty() {
                        break;
                    }
                    jobs.into_iter().for_each(|job| job.answer(Err(fault.clone())));
                }
            }
        });
        true
    }

    /// Runs a turn in the read lane. The thread keeps the turn until another file wants a thread; then it goes to the
    /// back of the queue, so that busy files alternate with quiet ones.
    fn serve_reads(self: &Arc<Self>) {
        loop {
            let jobs = self.reads.next(1);
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                self.read_one(job);
            }
            if self.should_yield() {
                return self.send_reader();
            }
        }
    }

    /// Whether other work waits for a thread, in the pool or in this share.
    fn should_yield(&self) -> bool {
        self.storage.threads.waiting() > 0 || self.share().waiting() > 0
    }

    fn read_one(self: &Arc<Self>, job: Box<dyn Job>) {
        let Some(job) = Begun::new(job) else { return };
        let limit = self.storage.limits.statement;
        let undone = self.kept.as_ref().map_or(0, |kept| kept.unstored.undone());
        if let Some(db) = self.readers.try_get() {
            return self.answer_read(batch::read(&db, job, limit), undone);
        }
        let Some(job) = self.read_on_writer(job, undone) else { return };
        match self.reader() {
            Ok(db) => self.answer_read(batch::read(&db, job, limit), undone),
            Err(error) if DiskError::of(&error) == Some(DiskError::NoDescriptors) => {
                // The write connection is already open, so a small read can wait for it.
                let writer = self.writer.lock();
                if let Some(job) = self.read_small_on(Some(writer), job, undone) {
                    job.answer(Err(Fault::unopened(&error)));
                }
            }
            Err(error) => job.answer(Err(Fault::unopened(&error))),
        }
    }

    /// Runs a small read on the write connection while no read connection is open and no write runs. Each connection
    /// has a copy of the schema: that is most of the memory of an open workspace, and most of the time to open it.
    fn read_on_writer(self: &Arc<Self>, job: Begun, undone: u64) -> Option<Begun> {
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
        self.read_small_on(writer, job, undone)
    }

    /// Runs a small read on the write connection, if there is one. Returns a job that needs longer.
    fn read_small_on(
        self: &Arc<Self>,
        writer: Option<MutexGuard<'_, Option<Connection>>>,
        job: Begun,
        undone: u64,
    ) -> Option<Begun> {
        let Some(db) = writer.as_ref().and_then(|writer| writer.as_ref()) else { return Some(job) };
        let read = batch::read_small(db, job);
        // Release the connection before the response: the client may send its next request at once and must find it
        // free.
        drop(writer);
        match read {
            Ok(read) => {
                self.answer_read(read, undone);
                None
            }
            Err(job) => Some(job),
        }
    }

    /// Responds to a read, with a log only once the commits that it may have seen are stored.
    fn answer_read(self: &Arc<Self>, read: FinishedJob, undone: u64) {
        match &self.kept {
            Some(_) if self.is_overtaken() => read.fail(overtaken()),
            Some(kept) => {
                if let Some(read) = kept.unstored.answer_read(read, undone) {
                    self.read_again(read);
                }
            }
            None => read.answer(),
        }
    }

    /// Queues a read again: what it has seen was undone.
    pub(super) fn read_again(self: &Arc<Self>, read: FinishedJob) {
        self.submit_read(read.again());
    }

    fn reader(&self) -> anyhow::Result<r2d2::PooledConnection<SqliteConnectionManager>> {
        // When the pool cannot open a connection, it retries until its timeout and loses the reason. Try once here to
        // report the reason at once.
        self.connect(sqlite_connection::open_reader)?;
        Ok(self.readers.get()?)
    }

    /// Opens a connection. SQLite does not distinguish a lack of file descriptors from a missing file, so the failure
    /// is probed to tell them apart.
    fn connect(&self, open: fn(&Path) -> rusqlite::Result<Connection>) -> anyhow::Result<Connection> {
        let opened = open(&self.path).map_err(|error| {
            // SQLite needs three descriptors: the file, its WAL, and the WAL index.
            let probes: Vec<_> = (0..3).map(|_| std::fs::File::open(&self.path)).collect();
            probes.into_iter().find_map(Result::err).map_or_else(|| error.into(), anyhow::Error::from)
        });
        opened.with_context(|| format!("cannot open {}", self.path.display()))
    }

    /// Runs the turn in the write lane. There is only one such turn.
    fn serve_writes(self: &Arc<Self>) {
        loop {
            let jobs = self.writes.next(LARGEST_BATCH);
            if jobs.is_empty() {
                return;
            }
            if self.is_overtaken() {
                jobs.into_iter().for_each(|job| job.answer(Err(overtaken())));
                continue;
            }
            match self.opened() {
                Ok(writer) => {
                    let db = writer.as_ref().expect("just opened");
                    let mut batches = batches(jobs);
                    while let Some(batch) = batches.next() {
                        let worked = self.write_batch(db, batch);
                        match &self.kept {
                            None => {
                                self.storage.answer(worked);
                                self.maintain_log(db);
                            }
                            Some(kept) => {
                                let Some(commit) = self.pending_commit(worked) else { continue };
                                // The log has the turn now, and gives it back.
                                self.writes.put_back(batches.flatten().collect::<Vec<_>>().into_iter());
                                drop(writer);
                                return Arc::clone(&kept.log).store(&self.path, commit);
                            }
                        }
                    }
                }
                Err(error) => {
                    let fault = Fault::unopened(&error);
                    jobs.into_iter().for_each(|job| job.answer(Err(fault.clone())));
                }
            }
            if self.should_yield() {
                return self.send_writer();
            }
        }
    }

    fn write_batch(&self, db: &Connection, batch: Vec<Box<dyn Job>>) -> Vec<FinishedJob> {
        let mut expected = Expected::default();
        if let Some(kept) = &self.kept {
            if kept.is_long.swap(false, Ordering::AcqRel)
                && let Err(error) = kept.log.checkpoint(&self.path, db, false)
            {
                tracing::warn!(error = format!("{error:#}"), path = %self.path.display(), "the WAL was not copied");
            }
            expected = kept.unstored.begin();
        }
        // A long job has its batch for itself.
        let most = if batch.iter().any(|job| job.limit().is_some()) { 0 } else { LARGEST_BATCH.min(expected.jobs) };
        let begun = Instant::now();
        let worked = batch::write(db, batch, self.storage.limits.statement, |size| {
            self.gather(most.saturating_sub(size), begun + expected.after / WAITS_AT_MOST)
        });
        self.batches.fetch_add(1, Ordering::Release);
        self.storage.metrics.group_written(worked.len(), begun);
        worked
    }

    /// Up to `most` jobs that came since the batch began. Waits for them until then, but not while another file needs the
    /// thread.
    fn gather(&self, most: usize, until: Instant) -> Vec<Box<dyn Job>> {
        let until = until.min(Instant::now() + LONGEST_INTERVAL);
        if most == 0 {
            return Vec::new();
        }
        loop {
            let jobs = self.writes.next_short(most);
            if !jobs.is_empty() || self.writes.waiting() > 0 || Instant::now() >= until {
                return jobs;
            }
            thread::sleep(LOOKS_EVERY);
            // Looked at now and not before: a task that a thread is about to take does not count.
            if self.should_yield() {
                return self.writes.next_short(most);
            }
        }
    }

    /// The commit of a batch, for the log. A batch that changed nothing is answered.
    fn pending_commit(self: &Arc<Self>, worked: Vec<FinishedJob>) -> Option<PendingCommit> {
        let pages = sqlite_connection::take_pages_in_log();
        if pages > 0 {
            return Some(PendingCommit::new(Arc::clone(self), worked, pages));
        }
        self.storage.answer(worked);
        self.unstored().end();
        None
    }

    pub(super) fn answer(&self, worked: Vec<FinishedJob>) {
        self.storage.answer(worked);
    }

    pub(super) fn unstored(&self) -> &UnstoredCommits {
        &self.kept.as_ref().expect("the commits of the file are kept").unstored
    }

    pub(super) fn is_overtaken(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_overtaken.load(Ordering::Acquire))
    }

    /// Puts jobs to the front of the write lane, for the thread that will have the turn: their commit was undone.
    pub(super) fn write_again(&self, jobs: Vec<FinishedJob>) {
        self.writes.put_back(jobs.into_iter().map(FinishedJob::again));
    }

    /// Rejects every job from now on, and the reads that wait: another machine serves the file.
    pub fn close_lanes(&self) {
        if let Some(kept) = &self.kept {
            kept.is_overtaken.store(true, Ordering::Release);
            kept.unstored.reject_reads();
        }
    }

    /// Goes on with the write lane when the log gives its turn back.
    pub(super) fn resume_writes(self: &Arc<Self>, is_log_long: bool, is_stored: bool) {
        if let Some(kept) = &self.kept {
            kept.is_long.fetch_or(is_log_long, Ordering::AcqRel);
            if is_stored {
                kept.unstored.end();
            }
        }
        self.send_writer();
    }

    /// Keeps the WAL short: a long WAL slows down every read and the next start.
    ///
    /// Another thread copies the WAL into the file while writes continue and append to it, until little is left. After
    /// that, the writer copies the remainder between two batches, and the next batch restarts the WAL. The responses of
    /// the previous batch are already sent, so only the next batch waits, and only briefly.
    fn maintain_log(self: &Arc<Self>, db: &Connection) {
        let pages = sqlite_connection::take_pages_in_log();
        match self.log.load(Ordering::Acquire) {
            LOG_GROWS if pages > LONG_LOG => {
                self.log.store(LOG_BEING_COPIED, Ordering::Release);
                let file = Arc::clone(self);
                self.storage.threads.run(move || {
                    // A failed checkpoint is repeated next time.
                    let _ = sqlite_connection::open_writer(&file.path).and_then(|db| copy_most_of_log(&db));
                    file.log.store(LOG_COPIED, Ordering::Release);
                });
            }
            LOG_COPIED => {
                let begun = Instant::now();
                let _ = sqlite_connection::copy_wal(db);
                self.storage.metrics.checkpointed(begun);
                self.log.store(LOG_GROWS, Ordering::Release);
            }
            _ => {}
        }
    }

    /// Returns the write connection. The first caller opens it and migrates the file; the others wait here.
    fn opened(&self) -> anyhow::Result<MutexGuard<'_, Option<Connection>>> {
        let mut writer = self.writer.lock();
        if writer.is_none() {
            let mut db = self.connect(sqlite_connection::open_writer)?;
            self.migrate(&mut db).with_context(|| format!("cannot use {}", self.path.display()))?;
            // The pages from which the schema was read are not needed again.
            db.execute_batch("PRAGMA shrink_memory")?;
            *writer = Some(db);
            self.storage.metrics.file_opened();
            let _ = self.ready.set(());
        }
        Ok(writer)
    }

    fn migrate(&self, db: &mut Connection) -> anyhow::Result<()> {
        let version = migrate::check_version(db, self.kind)?;
        // A log has all states of the file.
        if self.is_in_service && self.kept.is_none() && version < self.kind.version() {
            self.storage.copies.keep(&self.path, version)?;
        }
        migrate::migrate(db, self.kind)
    }
}

impl KeptFile {
    /// Has the log bring the file up to date, once, and passes the outcome to `then`.
    fn prepare(&self, path: &Path, file: Arc<File>, then: impl FnOnce(&Arc<File>, Result<(), Fault>) + Send + 'static) {
        let done = move |done: Result<(), Fault>| {
            if let (Ok(()), Some(kept)) = (&done, &file.kept) {
                kept.is_prepared.store(true, Ordering::Release);
            }
            then(&file, done);
        };
        Arc::clone(&self.log).prepare(path, Box::new(done));
    }
}

/// Passes the turn to a new thread if this thread panics. Each lost turn would slow the lane, and finally stop it.
struct OnPanic<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Groups waiting writes into batches. Short jobs form one batch. Each long job forms its own, after them, so that
/// short jobs do not wait for it.
fn batches(jobs: Vec<Box<dyn Job>>) -> impl Iterator<Item = Vec<Box<dyn Job>>> {
    let (long, short): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.limit().is_some());
    let short = (!short.is_empty()).then_some(short);
    short.into_iter().chain(long.into_iter().map(|job| vec![job]))
}

/// Copies the WAL again and again, until only what came during the last copy is left, and that was short.
fn copy_most_of_log(db: &Connection) -> rusqlite::Result<()> {
    let mut copied = 0;
    for _ in 0..MOST_COPIES {
        let (length, _) = sqlite_connection::copy_wal(db)?;
        if length - copied < SHORT_COPY {
            break;
        }
        copied = length;
    }
    Ok(())
}

/// Submits a closure as a job and waits for its result.
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
    submit(Box::new(ClosureJob { work, limit, result: None, told }));
    result.recv().unwrap_or_else(|_| Err(Fault::Uncommitted("the file was closed".into()).into()))
}

/// A closure as a job, for callers that wait on their own thread.
struct ClosureJob<W, T, E> {
    work: W,
    limit: Option<Duration>,
    result: Option<Result<T, E>>,
    told: SyncSender<Result<T, E>>,
}

impl<W, T, E> Job for ClosureJob<W, T, E>
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
        let verdict = if result.is_ok() { Verdict::Commit } else { Verdict::Rollback };
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Self { work, result, told, .. } = *self;
        // Drop the closure with all it holds first: the caller relies on that when it has the result.
        drop(work);
        let result = match outcome {
            Ok(()) => result.expect("a job without a fault has a result"),
            Err(fault) => Err(fault.into()),
        };
        let _ = told.send(result);
    }
}

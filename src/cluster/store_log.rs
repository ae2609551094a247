//! The log of a server: stores each commit as a segment before its response is sent, or within a second.
//!
//! Only one segment of a file is under way at a time. A segment is created, never replaced, so two servers cannot both
//! continue the same log.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use uuid::Uuid;

use super::command_log;
use super::key_copies::KeyCopies;
use super::last_success::LastSuccess;
use super::lease::Lease;
use super::nodes::{Nodes, Owner};
use super::placement::shard_of;
use super::position::{Head, Position, Unstored};
use super::rebuild::{FileLog, Rebuilt, segment_key, snapshot_key};
use super::segment::{
    SegmentContent, SegmentHeader, SnapshotHeader, digest, read_segment_header, write_segment, write_snapshot,
};
use super::shared_central::LONGEST_UNREAD;
use super::store_metrics::StoreMetrics;
use crate::config::Acknowledge;
use crate::object_store::{ObjectStore, StoreError};
use crate::storage::{
    self, CommitLog, CommittedPages, Fault, Moment, PendingCommit, StoredState, Supervisor, Threads, WaitingJobs,
};
use crate::tenancy::{InstanceTempDir, lifecycle};
use crate::values::Timestamp;

/// Threads that wait for the store. Each stores the segments of one file at a time.
const THREADS: usize = 16;

/// Interval at which commits are stored that were acknowledged before.
const EVERY: Duration = Duration::from_millis(500);

/// The first and the longest pause before a request to the store is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The number of segments after which a snapshot is written.
pub const SNAPSHOT_AFTER: u64 = 500;

/// A snapshot is also written once the segments are larger than half of the last one, unless they have fewer bytes.
const FEW_BYTES: u64 = 8 * 1024 * 1024;

/// Segments of at most this many bytes are never deleted. A fence is one: a late writer must find it.
const LARGEST_FENCE: u64 = 1024;

/// Interval in seconds at which old objects of a file are deleted.
const PRUNED_EVERY: i64 = 3600;

/// Commits with more bytes are stored as a copy of the file.
const LARGEST_SEGMENT: usize = 64 * 1024 * 1024;

/// The name of the central file in the store.
pub const CENTRAL: &str = "central";

/// How the log stores commits.
#[derive(Debug, Clone)]
pub struct LogOptions {
    pub data_dir: PathBuf,
    /// The name of this server in segments.
    pub node: String,
    pub acknowledge: Acknowledge,
    /// How long a client waits for the store.
    pub patience: Duration,
    /// Seconds for which old states can be restored.
    pub keep: i64,
    /// The number of segments after which a snapshot is written.
    pub snapshot_after: u64,
}

/// By which right this process serves.
pub enum Claim {
    /// Nothing keeps a second server away. The epoch is 0 unless somebody counts the owners.
    Alone(u64),
    Lease(Arc<Lease>),
    Nodes(Arc<Nodes>),
}

pub struct StoreLog {
    pub(super) store: Arc<ObjectStore>,
    pub(super) claim: Claim,
    pub(super) options: LogOptions,
    /// When the end of the log of the central file was known last.
    pub(super) central_read: LastSuccess,
    /// Tells the segments of this process from those of an earlier one.
    nonce: String,
    clock: fn() -> Timestamp,
    supervisor: Arc<Supervisor>,
    pub(super) threads: Threads,
    keys: KeyCopies,
    metrics: StoreMetrics,
    files: Mutex<HashMap<String, Arc<Mutex<FileState>>>>,
    waiting: Mutex<WaitingFiles>,
    /// The names of the files that another server has overtaken.
    overtaken: Mutex<Vec<String>>,
    /// Commits, with the time at which their clients wait no longer.
    late: Mutex<VecDeque<(Instant, Weak<WaitingJobs>)>>,
    trouble: Mutex<Option<String>>,
    stop: (Mutex<bool>, Condvar),
}

/// Files with acknowledged commits that are not stored yet.
#[derive(Default)]
struct WaitingFiles {
    next: HashSet<PathBuf>,
    /// A thread stores their commits.
    running: HashSet<PathBuf>,
    /// Files with a commit that waits for the store, and files that another server has overtaken.
    committed: HashSet<PathBuf>,
}

/// What this process knows about a file in the store.
#[derive(Default)]
pub(super) struct FileState {
    pub(super) position: Option<Position>,
    /// Segments behind the last snapshot, their bytes, and the bytes of the snapshot.
    pub(super) segments: u64,
    pub(super) segment_bytes: u64,
    snapshot_bytes: u64,
    is_snapshot_running: bool,
    pruned_at: Option<Timestamp>,
    /// Only a copy of the whole file is certain.
    needs_copy: bool,
}

/// A snapshot to write: the moment, the segment that it follows.
struct DueSnapshot {
    moment: Moment,
    head: Head,
}

impl StoreLog {
    pub fn start(
        store: Arc<ObjectStore>,
        claim: Claim,
        options: LogOptions,
        supervisor: &Arc<Supervisor>,
        clock: fn() -> Timestamp,
    ) -> anyhow::Result<Arc<Self>> {
        let log = Arc::new(Self {
            store,
            claim,
            options,
            central_read: LastSuccess::at(Instant::now()),
            nonce: super::nonce()?,
            clock,
            supervisor: Arc::clone(supervisor),
            threads: Threads::start("store", THREADS, supervisor)?,
            keys: KeyCopies::default(),
            metrics: StoreMetrics::default(),
            files: Mutex::default(),
            waiting: Mutex::default(),
            overtaken: Mutex::default(),
            late: Mutex::default(),
            trouble: Mutex::default(),
            stop: Default::default(),
        });
        let follower = Arc::clone(&log);
        supervisor.spawn("store".into(), move || follower.follow())?;
        if let Claim::Nodes(nodes) = &log.claim {
            let follower = Arc::clone(&log);
            supervisor.spawn("central".into(), move || follower.follow_central())?;
            nodes.keep(supervisor, Arc::downgrade(&log))?;
        }
        Ok(log)
    }

    pub fn store(&self) -> &Arc<ObjectStore> {
        &self.store
    }

    /// Whether this server may serve: it has the lease, or takes part as a node.
    pub fn may_serve(&self) -> bool {
        match &self.claim {
            Claim::Alone(_) => true,
            Claim::Lease(lease) => lease.is_valid(),
            Claim::Nodes(nodes) => nodes.is_valid() && self.central_read.is_within(LONGEST_UNREAD),
        }
    }

    /// The nodes that serve together, if it is not this server alone.
    pub fn nodes(&self) -> Option<&Arc<Nodes>> {
        match &self.claim {
            Claim::Nodes(nodes) => Some(nodes),
            Claim::Alone(_) | Claim::Lease(_) => None,
        }
    }

    /// The epoch of this server as the owner of a file.
    fn epoch_of(&self, file: &str) -> u64 {
        match &self.claim {
            Claim::Alone(epoch) => *epoch,
            Claim::Lease(lease) => lease.epoch(),
            Claim::Nodes(nodes) => file.parse().map_or(nodes.shared_epoch(), |id| nodes.epoch_of(id)),
        }
    }

    /// The workspace of a file, if another node owns it.
    fn elsewhere(&self, path: &Path) -> Option<Uuid> {
        let id = name_of(path).parse().ok()?;
        self.nodes().filter(|nodes| nodes.owner_of(id) != Owner::ThisNode).map(|_| id)
    }

    /// Forgets what is known of the files of shards that other nodes own.
    pub fn forget_shards(&self, shards: &BTreeSet<u8>) {
        let is_of_them = |file: &String| file.parse().is_ok_and(|id| shards.contains(&shard_of(id)));
        self.files.lock().retain(|file, _| !is_of_them(file));
    }

    /// Supervises the threads of the server.
    pub fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// The problem that keeps commits from the store at the moment.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// The number of files with commits that are not stored yet.
    pub fn waiting_files(&self) -> usize {
        let WaitingFiles { next, running, committed } = &*self.waiting.lock();
        next.iter().chain(running).chain(committed).collect::<HashSet<_>>().len()
    }

    /// The names of the files that another server has overtaken: this server neither reads nor writes them any more.
    pub fn overtaken_files(&self) -> Vec<String> {
        self.overtaken.lock().clone()
    }

    /// Stores what is acknowledged and not stored, when the server stops. Gives up after a time.
    pub fn stop(&self, limit: Duration) {
        let last = Instant::now() + limit;
        let files = {
            let mut waiting = self.waiting.lock();
            let next = std::mem::take(&mut waiting.next);
            next.into_iter().chain(waiting.running.iter().cloned()).collect::<HashSet<_>>()
        };
        for path in files {
            if let Err(error) = self.update(&path, last) {
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "the last commits are not stored");
            }
        }
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        match &self.claim {
            Claim::Alone(_) => {}
            Claim::Lease(lease) => lease.release(),
            Claim::Nodes(nodes) => {
                nodes.leave();
                self.tell_nodes();
            }
        }
    }

    /// Stores acknowledged commits in short intervals, and the commits of commands.
    fn follow(self: Arc<Self>) {
        while !self.pause(EVERY) {
            self.give_up_late(Instant::now());
            for path in command_log::take_changed(&self.options.data_dir) {
                self.store_soon(&path);
            }
            let mut waiting = self.waiting.lock();
            let WaitingFiles { next, running, .. } = &mut *waiting;
            for path in next.extract_if(|path| !running.contains(path)).collect::<Vec<_>>() {
                running.insert(path.clone());
                let log = Arc::clone(&self);
                self.threads.run(move || log.store_now(&path));
            }
        }
    }

    /// How long the clients of a commit wait for the store, and for the other nodes.
    fn patience_for(&self, path: &Path) -> Duration {
        let is_shared = name_of(path) == CENTRAL && self.nodes().is_some();
        self.options.patience + if is_shared { LONGEST_UNREAD } else { Duration::ZERO }
    }

    fn give_up_at(&self, at: Instant, jobs: Weak<WaitingJobs>) {
        let mut late = self.late.lock();
        let place = late.partition_point(|(other, _)| *other <= at);
        late.insert(place, (at, jobs));
    }

    fn give_up_late(&self, now: Instant) {
        let mut late = self.late.lock();
        while late.front().is_some_and(|(at, _)| *at <= now) {
            if let Some(jobs) = late.pop_front().and_then(|(_, jobs)| jobs.upgrade()) {
                jobs.give_up();
            }
        }
    }

    fn store_soon(&self, path: &Path) {
        self.waiting.lock().next.insert(path.to_owned());
    }

    fn store_now(&self, path: &Path) {
        let done = catch_unwind(AssertUnwindSafe(|| self.update(path, Instant::now() + LONGEST_PAUSE)));
        self.waiting.lock().running.remove(path);
        match done.unwrap_or_else(|panic| Err(Fault::panicked(&*panic).into())) {
            Ok(()) => {}
            Err(error) if error.is::<StoreError>() => {
                self.report(&error);
                self.store_soon(path);
            }
            Err(error) => {
                tracing::error!(path = %path.display(), error = format!("{error:#}"), "a file is no longer stored");
            }
        }
    }

    /// Waits, and returns whether the server stops.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let mut stopped = self.stop.0.lock();
        if !*stopped {
            self.stop.1.wait_for(&mut stopped, time);
        }
        *stopped
    }

    fn report(&self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        let mut trouble = self.trouble.lock();
        if trouble.is_none() {
            tracing::error!(error = text, "commits cannot be stored; this is repeated");
        }
        *trouble = Some(text);
    }

    fn recover(&self) {
        if self.trouble.lock().take().is_some() {
            tracing::info!("commits are stored again");
        }
    }

    pub(super) fn state(&self, file: &str) -> Arc<Mutex<FileState>> {
        Arc::clone(self.files.lock().entry(file.to_owned()).or_default())
    }

    /// Fetches a file that is only in the store so far, and stores the commits that only the file has.
    pub fn bring_up_to_date(&self, path: &Path) -> anyhow::Result<()> {
        self.update(path, Instant::now() + self.options.patience)
    }

    /// Brings a file and its log in the store to the same state, and writes a snapshot if one is due.
    fn update(&self, path: &Path, last: Instant) -> anyhow::Result<()> {
        let file = name_of(path);
        let state = self.state(&file);
        let mut known = state.lock();
        self.join(&file, path, &mut known)?;
        if known.position.is_none() {
            return Ok(());
        }
        let due = self.append_all(&file, path, &mut known, &mut || Instant::now() < last)?;
        drop(known);
        self.write_due_snapshot(&file, &state, due);
        Ok(())
    }

    /// Finds the position of a local file in its log. A file that is not there, or that nothing proves to go on where
    /// the log ends, is built from the log.
    fn join(&self, file: &str, path: &Path, known: &mut FileState) -> anyhow::Result<()> {
        let note = StoredState::read(path)?;
        if note == Some(StoredState::Newer) && known.position.is_some() {
            known.needs_copy = true;
        }
        if known.position.is_some() && note.is_some() && path.exists() {
            return Ok(());
        }
        let log = FileLog::of(&self.store, file)?;
        let first = log.snapshots().last().map_or(0, |snapshot| snapshot.segment);
        let segments = log.segments(first)?;
        let last = segments.keys().next_back().copied();
        if !path.exists() && (last.is_none() || self.is_trashed(file)) {
            return Ok(());
        }
        let last = last.map(|number| Ok::<_, anyhow::Error>((number, log.segment(number)?))).transpose()?;
        let position = match (path.exists(), &last, note) {
            (false, _, _) => self.rebuild(&log, path)?,
            (true, None, Some(StoredState::At(_))) => bail!(
                "the store has nothing of {file}, but had it before: name the store that has it, or run `cx-engine \
                 cluster leave`"
            ),
            (true, Some(_), None) => bail!("the store has another {file}: choose an empty bucket or prefix"),
            (true, None, _) => {
                StoredState::Newer.write(path)?;
                known.needs_copy = true;
                Position { head: Head { number: 0, digest: String::new() }, wal: None, is_copied: false }
            }
            (true, Some((number, segment)), Some(StoredState::Newer)) => {
                known.needs_copy = true;
                let head = Head { number: *number, digest: digest(segment) };
                Position { head, wal: None, is_copied: false }
            }
            (true, Some((number, segment)), Some(note)) => match Position::prove(path, *number, segment, &note)? {
                Some(position) => position,
                None => {
                    if !is_behind(&log, path, &note)? {
                        self.set_aside(file, path)?;
                    }
                    self.rebuild(&log, path)?
                }
            },
        };
        known.segments = u64::try_from(segments.len()).unwrap_or(0);
        known.segment_bytes = segments.values().sum();
        known.snapshot_bytes = log.snapshots().last().map_or(0, |snapshot| snapshot.bytes);
        known.position = Some(position);
        if let Some((_, segment)) = last
            && read_segment_header(&segment)?.epoch < self.epoch_of(file)
        {
            return match self.append_fence(file, path, known) {
                // A request of the earlier owner arrived late. Its segment is part of the log.
                Err(error) if error.is::<Overtaken>() => self.join(file, path, known),
                fenced => fenced,
            };
        }
        Ok(())
    }

    /// Ends the turn of an earlier owner of the file.
    fn append_fence(&self, file: &str, path: &Path, known: &mut FileState) -> anyhow::Result<()> {
        let Some(Position { wal, is_copied, .. }) = known.position.clone() else { return Ok(()) };
        // An outcome that stays unknown is looked into when the file is used again.
        if let Err(error) = self.append(file, known, SegmentContent::Fence { wal }, None, &mut || false) {
            known.position = None;
            return Err(error);
        }
        if let Some(position) = &mut known.position {
            position.is_copied = is_copied;
            position.note(path)?.write(path)?;
        }
        Ok(())
    }

    /// Builds a copy of a workspace from the store. False if the store has nothing of it.
    pub fn build_copy(&self, id: Uuid, to: &Path) -> anyhow::Result<bool> {
        let file = id.to_string();
        Ok(FileLog::of(&self.store, &file)?.rebuild(to, None)?.is_some())
    }

    /// Whether a workspace is in the trash of this disk. Of several nodes, each may have an older file there.
    fn is_trashed(&self, file: &str) -> bool {
        self.nodes().is_none()
            && file.parse().is_ok_and(|id| lifecycle::trash_path(&self.options.data_dir, id).exists())
    }

    fn rebuild(&self, log: &FileLog<'_>, path: &Path) -> anyhow::Result<Position> {
        let rebuilt = log.rebuild(path, None)?.context("the store has nothing of this file")?;
        let Rebuilt { head, at, .. } = rebuilt;
        tracing::info!(path = %path.display(), segment = head.number, %at, "built from the store");
        let position = Position::of_file_alone(head);
        position.note(path)?.write(path)?;
        Ok(position)
    }

    /// Keeps a file that does not continue the log, for people to look at.
    fn set_aside(&self, file: &str, path: &Path) -> anyhow::Result<()> {
        let name = format!("{file}-{}.sqlite", (self.clock)().seconds());
        let to = self.options.data_dir.join("set-aside").join(name);
        lifecycle::move_file(path, &to)?;
        tracing::warn!(
            path = %path.display(), kept = %to.display(),
            "the file does not continue its log in the store; it is built from the store again"
        );
        Ok(())
    }

    /// Stores all commits of a file. `wait` is asked before each repeated request; false gives up.
    fn append_all(
        &self,
        file: &str,
        path: &Path,
        known: &mut FileState,
        wait: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Option<DueSnapshot>> {
        let position = known.position.clone().context("the file has no position in its log")?;
        self.keys.store(&self.store, &self.options.data_dir)?;
        let is_due = !known.is_snapshot_running
            && (known.segments >= self.options.snapshot_after
                || known.segment_bytes > FEW_BYTES.max(known.snapshot_bytes / 2));
        // The moment must come before the segment, so that the segment ends exactly there.
        let moment = if is_due { Some(Moment::fix(path)?) } else { None };
        let end = moment.as_ref().and_then(|moment| moment.end);
        let unstored = if known.needs_copy { Unstored::Everything } else { position.unstored(path, end.as_ref())? };
        match unstored {
            Unstored::Nothing => {}
            Unstored::Pages(committed) if committed.bytes() <= LARGEST_SEGMENT => {
                if self.append_pages(file, known, &committed, wait)? == Appended::Before {
                    return self.append_all(file, path, known, wait);
                }
            }
            Unstored::Pages(_) | Unstored::Everything => {
                if self.append_copy(file, path, known, wait)? == Appended::Before {
                    return self.append_all(file, path, known, wait);
                }
                return Ok(None);
            }
        }
        let (Some(moment), Some(position)) = (moment, &known.position) else { return Ok(None) };
        // Otherwise commits came in between, and the next segment tries again.
        if position.wal != moment.end {
            return Ok(None);
        }
        known.is_snapshot_running = true;
        Ok(Some(DueSnapshot { moment, head: position.head.clone() }))
    }

    fn append_pages(
        &self,
        file: &str,
        known: &mut FileState,
        committed: &CommittedPages,
        wait: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Appended> {
        let content = SegmentContent::Pages {
            page_size: committed.page_size,
            pages: u32::try_from(committed.pages.len())?,
            pages_in_file: committed.pages_in_file,
            wal: committed.end,
        };
        self.append(file, known, content, Some(committed), wait)
    }

    /// Stores a copy of the whole file, and a segment that names it.
    fn append_copy(
        &self,
        file: &str,
        path: &Path,
        known: &mut FileState,
        wait: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Appended> {
        let moment = Moment::fix(path)?;
        let wal = moment.end;
        let number = known.position.as_ref().map_or(1, |position| position.head.number + 1);
        let (key, bytes) = self.store_snapshot(file, number, None, moment)?;
        if self.append(file, known, SegmentContent::Snapshot { key, wal }, None, wait)? == Appended::Before {
            return Ok(Appended::Before);
        }
        note_position(path, known)?;
        (known.segments, known.segment_bytes, known.snapshot_bytes, known.needs_copy) = (0, 0, bytes, false);
        Ok(Appended::Now)
    }

    /// Creates the next segment of a file. An unknown outcome is looked into and repeated.
    fn append(
        &self,
        file: &str,
        known: &mut FileState,
        content: SegmentContent,
        committed: Option<&CommittedPages>,
        wait: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Appended> {
        let position = known.position.as_mut().context("the file has no position in its log")?;
        let header = SegmentHeader {
            node: self.options.node.clone(),
            nonce: self.nonce.clone(),
            epoch: self.epoch_of(file),
            previous: position.head.digest.clone(),
            at: (self.clock)(),
            content,
        };
        let segment = write_segment(&header, committed)?;
        let number = position.head.number + 1;
        let earlier = self.create(&segment_key(file, number), &segment, wait)?;
        let appended = if earlier.is_some() { Appended::Before } else { Appended::Now };
        let stored = earlier.unwrap_or(segment);
        let wal = read_segment_header(&stored)?.wal();
        *position = Position { head: Head { number, digest: digest(&stored) }, wal, is_copied: wal.is_none() };
        known.segments += 1;
        known.segment_bytes += stored.len() as u64;
        Ok(appended)
    }

    /// Creates a segment. Returns the segment of an earlier attempt if that is stored already.
    fn create(&self, key: &str, segment: &[u8], wait: &mut dyn FnMut() -> bool) -> anyhow::Result<Option<Vec<u8>>> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let earlier = loop {
            let error = match self.store.create(key, segment) {
                Ok(_) => break None,
                Err(StoreError::Precondition) => match self.store.get(key) {
                    Ok(Some(stored)) if stored.body == segment => break None,
                    Ok(Some(stored)) if self.is_own(&stored.body) => break Some(stored.body),
                    Ok(Some(_)) => return Err(Overtaken(key.to_owned()).into()),
                    Ok(None) => anyhow::anyhow!("{key} was deleted"),
                    Err(error) => error.into(),
                },
                Err(error) => error.into(),
            };
            self.report(&error);
            if !wait() || self.pause(pause) {
                return Err(error);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.metrics.segment_stored(segment.len(), begun);
        self.recover();
        Ok(earlier)
    }

    /// Whether this process wrote a segment.
    fn is_own(&self, segment: &[u8]) -> bool {
        read_segment_header(segment).is_ok_and(|header| header.nonce == self.nonce)
    }

    fn write_due_snapshot(&self, file: &str, state: &Mutex<FileState>, due: Option<DueSnapshot>) {
        let Some(DueSnapshot { moment, head }) = due else { return };
        let written = self.store_snapshot(file, head.number, Some(head.digest), moment);
        let mut known = state.lock();
        known.is_snapshot_running = false;
        // After a failure, the next attempt follows as many segments later.
        (known.segments, known.segment_bytes) = (0, 0);
        match written {
            Ok((_, bytes)) => known.snapshot_bytes = bytes,
            Err(error) => {
                return tracing::warn!(file, error = format!("{error:#}"), "a snapshot was not written");
            }
        }
        let now = (self.clock)();
        if known.pruned_at.is_some_and(|at| at.plus(PRUNED_EVERY) > now) {
            return;
        }
        known.pruned_at = Some(now);
        drop(known);
        if let Err(error) = self.prune(file) {
            tracing::warn!(file, error = format!("{error:#}"), "old segments were not deleted");
        }
    }

    /// Stores a copy of a file at a moment. Returns its key, and the size of the object.
    fn store_snapshot(
        &self,
        file: &str,
        number: u64,
        segment: Option<String>,
        moment: Moment,
    ) -> anyhow::Result<(String, u64)> {
        let folder = InstanceTempDir::new(&self.options.data_dir)?;
        let (copy, packed) = (folder.file("copy.sqlite"), folder.file("copy.zst"));
        moment.copy(&copy)?;
        let at = (self.clock)();
        let header = SnapshotHeader { segment, at, bytes: fs::metadata(&copy)?.len() };
        write_snapshot(&header, &copy, &packed)?;
        let key = snapshot_key(file, number, at);
        self.store.create_from_file(&key, &packed).with_context(|| format!("cannot store {key}"))?;
        let bytes = fs::metadata(&packed)?.len();
        self.metrics.snapshot_stored(bytes);
        Ok((key, bytes))
    }

    /// Deletes the logs of workspaces that no longer exist. A log stays until its last commit is old enough.
    pub fn delete_logs_except(&self, known: &HashSet<Uuid>) -> anyhow::Result<()> {
        let oldest = (self.clock)().plus(-self.options.keep);
        for file in self.store.list_folders("files/")? {
            if !file.parse().is_ok_and(|id: Uuid| !known.contains(&id)) {
                continue;
            }
            let log = FileLog::of(&self.store, &file)?;
            let Some(last) = log.segments(0)?.into_keys().next_back() else { continue };
            if read_segment_header(&log.segment(last)?)?.at <= oldest {
                for object in self.store.list(&format!("files/{file}/"), None)? {
                    self.store.delete(&object.key)?;
                }
            }
        }
        Ok(())
    }

    /// Deletes what no kept state needs: the snapshots before the last one that is old enough, and the segments before
    /// it.
    fn prune(&self, file: &str) -> anyhow::Result<()> {
        let log = FileLog::of(&self.store, file)?;
        let oldest = (self.clock)().plus(-self.options.keep);
        let Some(base) = log.snapshots().iter().rfind(|snapshot| snapshot.at <= oldest) else { return Ok(()) };
        for snapshot in log.snapshots().iter().filter(|snapshot| snapshot.segment < base.segment) {
            self.store.delete(&snapshot.key)?;
        }
        let is_old = |(number, bytes): &(u64, u64)| *number < base.segment && *bytes > LARGEST_FENCE;
        for (number, _) in log.segments(0)?.into_iter().filter(is_old) {
            self.store.delete(&segment_key(file, number))?;
        }
        Ok(())
    }
}

/// Which attempt to create a segment was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appended {
    /// This one.
    Now,
    /// An earlier one. The answer of the store was lost. The segment does not have later commits.
    Before,
}

/// Another server has created the next segment.
#[derive(Debug, thiserror::Error)]
#[error("another server writes to the same store: it has created {0}")]
struct Overtaken(String);

impl CommitLog for StoreLog {
    fn prepare(self: Arc<Self>, path: &Path, then: Box<dyn FnOnce(Result<(), Fault>) + Send>) {
        if let Some(id) = self.elsewhere(path) {
            return then(Err(Fault::Elsewhere(id)));
        }
        let (log, path) = (Arc::clone(&self), path.to_owned());
        self.threads.run(move || {
            let updated = log.update(&path, Instant::now() + log.options.patience);
            then(updated.map_err(|error| {
                if error.is::<StoreError>() {
                    log.report(&error);
                    // The store may respond again soon.
                    return Fault::Uncommitted(format!("{error:#}"));
                }
                Fault::unopened(&error)
            }));
        });
    }

    fn store(self: Arc<Self>, path: &Path, mut commit: PendingCommit) {
        if self.options.acknowledge == Acknowledge::Local {
            // Noted before the response, so that a server that stops stores it.
            self.store_soon(path);
            commit.answer();
            // Before the WAL is copied into the file, all of it must be stored. If the store does not respond, the WAL
            // grows.
            if !commit.is_log_long() || self.trouble().is_some() {
                return;
            }
        }
        self.give_up_at(Instant::now() + self.patience_for(path), commit.waiting());
        let (log, path) = (Arc::clone(&self), path.to_owned());
        self.waiting.lock().committed.insert(path.clone());
        self.threads.run(move || log.store_commit(&path, commit));
    }

    fn checkpoint(&self, path: &Path, db: &Connection, to_end: bool) -> anyhow::Result<()> {
        let state = self.state(&name_of(path));
        // A thread that waits for the store holds the lock. Then the WAL is not stored yet.
        let Some(mut known) = state.try_lock() else { return Ok(()) };
        let known = &mut *known;
        let Some(position) = known.position.as_mut().filter(|_| !known.needs_copy) else { return Ok(()) };
        if !matches!(position.unstored(path, None)?, Unstored::Nothing) {
            return Ok(());
        }
        // The file alone is the stored state already.
        if position.wal.is_none() {
            return Ok(());
        }
        let version = data_version(db)?;
        let (pages, copied) = storage::copy_wal(db)?;
        if pages != copied {
            return Ok(());
        }
        // A command may have written meanwhile, and its commit may be copied before it is stored.
        if i64::from(position.wal.map_or(0, |wal| wal.frames)) == pages {
            let copied = Position { is_copied: true, ..position.clone() };
            copied.note(path)?.write(path)?;
            *position = copied;
            if !to_end {
                return Ok(());
            }
            storage::truncate_wal(db)?;
            position.wal = None;
        }
        if data_version(db)? != version {
            known.needs_copy = true;
            StoredState::Newer.write(path)?;
        }
        Ok(())
    }
}

impl StoreLog {
    fn store_commit(&self, path: &Path, mut commit: PendingCommit) {
        let file = name_of(path);
        let state = self.state(&file);
        let mut known = state.lock();
        let is_local = self.options.acknowledge == Acknowledge::Local;
        let is_shared = file == CENTRAL && self.nodes().is_some();
        let mut pause = FIRST_PAUSE;
        let due = loop {
            if commit.is_overtaken() {
                self.waiting.lock().committed.remove(path);
                return commit.refuse();
            }
            let attempted = Instant::now();
            // Acknowledged by the disk: what fails is stored later.
            let joined = self.join(&file, path, &mut known);
            let appended = joined.and_then(|()| self.append_all(&file, path, &mut known, &mut || !is_local));
            let error = match appended {
                Ok(due) => {
                    if is_shared {
                        self.central_read.note(attempted);
                    }
                    break due;
                }
                Err(error) if !error.is::<Overtaken>() => error,
                Err(_) if is_shared => match self.follow_others(path, &mut known, true) {
                    Ok(_) => {
                        self.waiting.lock().committed.remove(path);
                        return commit.work_again();
                    }
                    Err(error) => error,
                },
                Err(_) if self.nodes().is_some() => {
                    tracing::info!(file, "another node has taken over a workspace");
                    self.waiting.lock().committed.remove(path);
                    return commit.refuse();
                }
                Err(error) => {
                    tracing::error!(%error, "this server stores nothing more of this file; stop one of the two servers");
                    self.overtaken.lock().push(file);
                    return commit.refuse();
                }
            };
            self.report(&error);
            if is_local {
                self.store_soon(path);
                break None;
            }
            if self.pause(pause) {
                // The server stops. The commit is stored at its next start.
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        if is_shared && let Err(error) = note_position(path, &known) {
            tracing::warn!(error = format!("{error:#}"), "the position of the central file was not noted");
        }
        drop(known);
        // Before the turn goes on, since the next commit may come at once.
        self.waiting.lock().committed.remove(path);
        if is_shared {
            self.tell_nodes();
        }
        commit.answer();
        drop(commit);
        self.write_due_snapshot(&file, &state, due);
    }
}

/// Whether a file is the state after an earlier segment, and has nothing else.
fn is_behind(log: &FileLog<'_>, path: &Path, note: &StoredState) -> anyhow::Result<bool> {
    let StoredState::At(at) = note else { return Ok(false) };
    let Some(segment) = log.find_segment(at.segment)? else { return Ok(false) };
    match Position::prove(path, at.segment, &segment, note)? {
        Some(position) => Ok(matches!(position.unstored(path, None)?, Unstored::Nothing)),
        None => Ok(false),
    }
}

/// Notes how far the store has followed a file. Without a note only the own last segment proves the position.
fn note_position(path: &Path, known: &FileState) -> anyhow::Result<()> {
    match &known.position {
        Some(position) => position.note(path)?.write(path),
        None => Ok(()),
    }
}

fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// The name of a file in the store.
pub fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| CENTRAL.into(), |name| name.to_string_lossy().into_owned())
}

/// The path of a file with a name in the store.
pub fn path_of(data: &Path, name: &str) -> Option<PathBuf> {
    if name == CENTRAL {
        return Some(data.join("central.sqlite"));
    }
    name.parse().ok().map(|id| lifecycle::live_path(data, id))
}

//! The central file of several nodes. Every node reads its own copy and may write to it; the segments in the store decide
//! the order.
//!
//! A node that finds its next segment taken undoes its commit, writes the pages of the others, and does its work again.
//! It tells the others of each segment, and responds once they have it. A node that does not know the end of the log
//! answers nothing. So a token that was revoked at one node is rejected by all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::key_copies;
use super::nodes::Nodes;
use super::position::{Head, Position, Unstored};
use super::rebuild::{at_once, segment_key};
use super::segment::{SegmentContent, add_pages, digest, read_segment_header};
use super::store_log::{CENTRAL, Claim, FileState, StoreLog, path_of};
use crate::storage;

/// Interval at which a node reads the end of the log.
const READ_EVERY: Duration = Duration::from_millis(1200);

/// A node that has not read the end of the log for so long answers nothing.
pub const LONGEST_UNREAD: Duration = Duration::from_secs(2);

/// Pause before looking again whether a commit of this node is stored or undone.
const OWN_COMMIT_PAUSE: Duration = Duration::from_millis(2);

/// How far the segments of other nodes were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    ToEnd,
    /// Nothing was written, since this node has a commit that is not stored.
    OwnCommitWaits,
}

/// A segment that another node has written.
struct OthersSegment {
    head: Head,
    body: Vec<u8>,
}

impl StoreLog {
    /// Follows the log of the central file until the server stops.
    pub(super) fn follow_central(self: Arc<Self>) {
        let mut has_failed = false;
        while !self.pause(READ_EVERY) {
            let read = self.catch_up();
            if let Err(error) = &read
                && !has_failed
            {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the central file does not follow its log; this is repeated"
                );
            }
            has_failed = read.is_err();
        }
    }

    /// Writes what other nodes have committed to the central file. Returns when the file has all that the store had at the
    /// call.
    pub fn catch_up(&self) -> anyhow::Result<()> {
        let Some(path) = path_of(&self.options.data_dir, CENTRAL) else { return Ok(()) };
        let state = self.state(CENTRAL);
        let last = Instant::now() + LONGEST_UNREAD;
        loop {
            let began = Instant::now();
            let mut known = state.lock();
            ensure!(known.position.is_some(), "the central file has no position in its log yet");
            if self.follow_others(&path, &mut known, false)? == Followed::ToEnd {
                self.central_read.note(began);
                return Ok(());
            }
            drop(known);
            ensure!(began < last, "a commit of this node waits for the store");
            self.pause(OWN_COMMIT_PAUSE);
        }
    }

    /// Writes the segments of other nodes into the central file. `undoes` first undoes the commits that are not stored;
    /// otherwise such commits are left to their writer, which finds the same segments.
    pub(super) fn follow_others(&self, path: &Path, known: &mut FileState, undoes: bool) -> anyhow::Result<Followed> {
        let Some(position) = known.position.clone() else { return Ok(Followed::ToEnd) };
        let segments = self.segments_behind(&position.head)?;
        let Some(last) = segments.last() else { return Ok(Followed::ToEnd) };
        // A commit may depend on a new key.
        key_copies::restore(&self.store, &self.options.data_dir)?;
        let end = storage::overwrite_pages(path, || {
            let undone = match position.unstored(path, None)? {
                Unstored::Nothing => BTreeSet::new(),
                Unstored::Pages(committed) if undoes => committed.pages.into_keys().collect(),
                Unstored::Pages(_) => return Ok(None),
                Unstored::Everything => bail!("the central file has changes that no log has: restart this server"),
            };
            let mut pages = storage::pages_at(path, position.stored_wal(path)?.as_ref(), &undone)?;
            segments.iter().try_for_each(|segment| add_pages(&segment.body, &mut pages))?;
            Ok(Some(pages))
        })?;
        let Some(end) = end else { return Ok(Followed::OwnCommitWaits) };
        known.segments += segments.len() as u64;
        known.segment_bytes += segments.iter().map(|segment| segment.body.len() as u64).sum::<u64>();
        let position = Position { head: last.head.clone(), wal: Some(end), is_copied: false };
        position.note(path)?.write(path)?;
        known.position = Some(position);
        if let (true, Claim::Nodes(nodes)) = (undoes, &self.claim) {
            nodes.forget_central();
        }
        Ok(Followed::ToEnd)
    }

    fn segments_behind(&self, head: &Head) -> anyhow::Result<Vec<OthersSegment>> {
        let mut segments: Vec<OthersSegment> = Vec::new();
        loop {
            let head = segments.last().map_or(head, |segment| &segment.head);
            let number = head.number + 1;
            let Some(object) = self.store.get(&segment_key(CENTRAL, number))? else { return Ok(segments) };
            let header = read_segment_header(&object.body)?;
            ensure!(header.previous == head.digest, "segment {number} of the central file does not follow");
            if self.nodes().is_some_and(|nodes| header.epoch > nodes.shared_epoch()) {
                bail!("one server serves alone by now: restart this one");
            }
            if let SegmentContent::Snapshot { .. } = header.content {
                bail!("another node has replaced the central file: restart this server");
            }
            segments.push(OthersSegment { head: Head { number, digest: digest(&object.body) }, body: object.body });
        }
    }

    /// Tells the other nodes that this one takes part, and then reads what they have committed before they knew it.
    pub fn announce(&self) -> anyhow::Result<()> {
        let Claim::Nodes(nodes) = &self.claim else { return Ok(()) };
        if !tell_all(nodes) {
            // They find this node in their next round.
            self.pause(nodes.interval());
        }
        self.catch_up()
    }

    /// Tells the other nodes that the placement has changed, and does not wait for them.
    pub(super) fn tell_soon(self: &Arc<Self>) {
        let log = Arc::clone(self);
        self.threads.run(move || {
            if let Claim::Nodes(nodes) = &log.claim {
                tell_all(nodes);
            }
        });
    }

    /// Tells the other nodes that the central file has changed. Returns when they know it. A node that
    /// does not respond either knows it after [`LONGEST_UNREAD`], or answers nothing by then.
    pub(super) fn tell_nodes(&self) {
        let Claim::Nodes(nodes) = &self.claim else { return };
        let began = Instant::now();
        if !tell_stored(nodes) {
            self.pause(LONGEST_UNREAD.saturating_sub(began.elapsed()));
        }
    }
}

/// Tells the nodes that take part, and returns whether all know it. A node that has joined a moment ago may have read the
/// end of the log before this commit, and this node may not know it yet. So the placement is read after the commit.
fn tell_stored(nodes: &Nodes) -> bool {
    let known = nodes.other_urls();
    let (told, stored) = thread::scope(|scope| {
        let stored = scope.spawn(|| nodes.stored_urls());
        (at_once(&known, |url| nodes.tell(url)), stored.join())
    });
    let Ok(Ok(stored)) = stored else { return false };
    let unknown: Vec<String> = stored.into_iter().filter(|url| !known.contains(url)).collect();
    told.into_iter().chain(at_once(&unknown, |url| nodes.tell(url))).all(|told| told.is_ok())
}

/// Tells the other nodes, and returns whether all know it.
fn tell_all(nodes: &Nodes) -> bool {
    at_once(&nodes.other_urls(), |url| nodes.tell(url)).iter().all(Result::is_ok)
}

//! Builds a file from its log in the store: the last snapshot, and the segments behind it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use parking_lot::Mutex;

use super::position::Head;
use super::segment::{SegmentContent, SegmentHeader, apply_segment, digest, read_segment_header, read_snapshot};
use crate::durable_fs;
use crate::object_store::ObjectStore;
use crate::tenancy::lifecycle;
use crate::values::Timestamp;

/// Requests to the store that run at the same time.
const AT_ONCE: usize = 16;

/// Segments that are held in memory.
const WINDOW: usize = 64;

/// The log of a file, as the store lists it.
pub struct FileLog<'a> {
    store: &'a ObjectStore,
    /// The name of the file: `central`, or the id of a workspace.
    file: &'a str,
    /// Keys of snapshots, by the number of the segment and the time.
    snapshots: Vec<SnapshotKey>,
}

/// A snapshot in the store.
#[derive(Debug)]
pub struct SnapshotKey {
    pub key: String,
    /// The segment after which the file was so.
    pub segment: u64,
    pub at: Timestamp,
    /// Size of the object in bytes.
    pub bytes: u64,
}

/// A file that was built.
pub struct Rebuilt {
    pub head: Head,
    /// The time of the last segment.
    pub at: Timestamp,
}

pub fn segment_key(file: &str, number: u64) -> String {
    format!("files/{file}/seg/{number:08}")
}

pub fn snapshot_key(file: &str, segment: u64, at: Timestamp) -> String {
    format!("files/{file}/snap/{segment:08}-{:011}", at.seconds())
}

fn parse_snapshot(key: &str, bytes: u64) -> Option<SnapshotKey> {
    let (segment, at) = key.rsplit_once('/')?.1.split_once('-')?;
    let at = Timestamp::from_seconds(at.parse().ok()?);
    Some(SnapshotKey { key: key.to_owned(), segment: segment.parse().ok()?, at, bytes })
}

impl<'a> FileLog<'a> {
    pub fn of(store: &'a ObjectStore, file: &'a str) -> anyhow::Result<Self> {
        let listed = store.list(&format!("files/{file}/snap/"), None)?;
        let snapshots = listed.iter().filter_map(|object| parse_snapshot(&object.key, object.size)).collect();
        Ok(Self { store, file, snapshots })
    }

    /// The snapshots, oldest first.
    pub fn snapshots(&self) -> &[SnapshotKey] {
        &self.snapshots
    }

    /// The numbers and sizes of the segments from a number on.
    pub fn segments(&self, from: u64) -> anyhow::Result<BTreeMap<u64, u64>> {
        let folder = format!("files/{}/seg/", self.file);
        let before = from.checked_sub(1).map(|number| segment_key(self.file, number));
        let listed = self.store.list(&folder, before.as_deref())?;
        let number = |key: &str| key.strip_prefix(&folder)?.parse().ok();
        Ok(listed.iter().filter_map(|object| Some((number(&object.key)?, object.size))).collect())
    }

    pub fn segment(&self, number: u64) -> anyhow::Result<Vec<u8>> {
        self.find_segment(number)?.with_context(|| format!("the store has lost segment {number} of {}", self.file))
    }

    pub fn find_segment(&self, number: u64) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.store.get(&segment_key(self.file, number))?.map(|object| object.body))
    }

    /// Builds the file as it is in the store, or as it was at a time. `None` if the store had nothing of it then.
    pub fn rebuild(&self, path: &Path, until: Option<Timestamp>) -> anyhow::Result<Option<Rebuilt>> {
        let unfinished = path.with_extension("rebuilt");
        let built = self.build(&unfinished, until);
        let built = built.with_context(|| format!("cannot build {} from the store", self.file));
        if let Ok(Some(_)) = &built {
            lifecycle::delete_file(path)?;
            durable_fs::rename(&unfinished, path)?;
        } else {
            lifecycle::delete_file(&unfinished)?;
        }
        built
    }

    fn build(&self, path: &Path, until: Option<Timestamp>) -> anyhow::Result<Option<Rebuilt>> {
        durable_fs::create_folder(durable_fs::folder_of(path)?)?;
        // A snapshot that no segment confirms was left by a writer that lost its turn.
        for snapshot in self.snapshots.iter().rev().filter(|snapshot| until.is_none_or(|until| snapshot.at <= until)) {
            let Some((head, header)) = self.begin(snapshot, path)? else { continue };
            return Ok(Some(self.follow(path, (head, header), until)?));
        }
        ensure!(
            until.is_some() || self.segments(0)?.is_empty(),
            "the store has segments, but no snapshot that they confirm"
        );
        Ok(None)
    }

    /// Unpacks a snapshot, if its segment confirms it.
    fn begin(&self, snapshot: &SnapshotKey, path: &Path) -> anyhow::Result<Option<(Head, SegmentHeader)>> {
        let Some(object) = self.store.get(&segment_key(self.file, snapshot.segment))? else { return Ok(None) };
        let head = Head { number: snapshot.segment, digest: digest(&object.body) };
        let header = read_segment_header(&object.body)?;
        let packed = path.with_extension("packed");
        let fetched = self.store.get_to_file(&snapshot.key, &packed)?;
        ensure!(fetched, "the store has lost {}", snapshot.key);
        let unpacked = read_snapshot(&packed, path);
        durable_fs::if_there(fs::remove_file(&packed))?;
        let unpacked = unpacked.with_context(|| format!("cannot unpack {}", snapshot.key))?;
        let names = matches!(&header.content, SegmentContent::Snapshot { key, .. } if *key == snapshot.key);
        let is_confirmed = names || unpacked.segment.as_ref() == Some(&head.digest);
        Ok(is_confirmed.then_some((head, header)))
    }

    /// Writes the pages of the segments behind this one into the file.
    fn follow(
        &self,
        path: &Path,
        (mut head, header): (Head, SegmentHeader),
        until: Option<Timestamp>,
    ) -> anyhow::Result<Rebuilt> {
        let file = File::options().write(true).open(path)?;
        let numbers: Vec<u64> = self.segments(head.number + 1)?.into_keys().collect();
        let mut at = header.at;
        'all: for window in numbers.chunks(WINDOW) {
            let fetched = at_once(window, |number| self.segment(*number));
            for (number, segment) in window.iter().zip(fetched) {
                let segment = segment?;
                ensure!(*number == head.number + 1, "the store has lost segment {} of {}", head.number + 1, self.file);
                let header = read_segment_header(&segment).with_context(|| format!("segment {number}"))?;
                ensure!(header.previous == head.digest, "segment {number} of {} does not follow", self.file);
                if until.is_some_and(|until| header.at > until) {
                    break 'all;
                }
                // A segment that names a snapshot is behind it only if a newer snapshot was not confirmed.
                ensure!(
                    !matches!(header.content, SegmentContent::Snapshot { .. }),
                    "segment {number} of {} names a snapshot that is lost",
                    self.file
                );
                apply_segment(&segment, &file).with_context(|| format!("segment {number} of {}", self.file))?;
                (head, at) = (Head { number: *number, digest: digest(&segment) }, header.at);
            }
        }
        file.sync_all()?;
        Ok(Rebuilt { head, at })
    }
}

/// Does the work for each item on a few threads, which wait for the store. The results are in the order of the items.
pub fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(n) else { break };
                    let result = work(item);
                    done.lock().insert(n, result);
                }
            });
        }
    });
    done.into_inner().into_values().collect()
}

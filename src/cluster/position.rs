//! How far the store has followed a file, and the proof that a local file goes on where the store ends.

use std::path::Path;

use anyhow::ensure;

use super::segment::{digest, read_segment_header};
use crate::storage::{CommittedPages, StoredAt, StoredState, Wal, WalPosition};

/// The last segment of a file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub digest: String,
}

/// The state of a file that the store has.
#[derive(Debug, Clone)]
pub struct Position {
    pub head: Head,
    /// The end of the stored part of the WAL. `None`: the file without its WAL is the stored state.
    pub wal: Option<WalPosition>,
    /// Whether the WAL up to there is in the file, so that a writer may start the WAL again.
    pub is_copied: bool,
}

/// The commits that the store does not have yet.
#[derive(Debug)]
pub enum Unstored {
    Nothing,
    Pages(CommittedPages),
    /// The WAL was started again before all of it was stored. Only a copy of the whole file is certain.
    Everything,
}

impl Position {
    /// The position of a file without a WAL that is the state after a segment.
    pub fn of_file_alone(head: Head) -> Self {
        Self { head, wal: None, is_copied: true }
    }

    /// The commits behind this position, at most up to `end`.
    pub fn unstored(&self, path: &Path, end: Option<&WalPosition>) -> anyhow::Result<Unstored> {
        let Some(mut wal) = Wal::open(path)? else {
            let is_all = self.wal.is_none() || self.is_copied;
            return Ok(if is_all { Unstored::Nothing } else { Unstored::Everything });
        };
        let from = match self.wal {
            None => wal.start(),
            Some(known) if wal.contains(&known)? => known,
            Some(known) if self.is_copied && is_next(&wal, &known) => wal.start(),
            Some(_) => return Ok(Unstored::Everything),
        };
        if end.is_some_and(|end| end.frames <= from.frames) {
            return Ok(Unstored::Nothing);
        }
        Ok(wal.read(from, end)?.map_or(Unstored::Nothing, Unstored::Pages))
    }

    /// The end of the stored part of the WAL. `None` if the file alone is the stored state.
    pub fn stored_wal(&self, path: &Path) -> anyhow::Result<Option<WalPosition>> {
        let Some((mut wal, known)) = Wal::open(path)?.zip(self.wal) else { return Ok(None) };
        ensure!(wal.contains(&known)? || self.is_copied, "the WAL was started again before all of it was stored");
        Ok(Some(known).filter(|_| wal.contains(&known).unwrap_or(false)))
    }

    /// The position of a local file in relation to the last segment in the store. `None` if nothing proves that the file
    /// goes on where the segment ends.
    pub fn prove(path: &Path, number: u64, segment: &[u8], note: &StoredState) -> anyhow::Result<Option<Self>> {
        let head = Head { number, digest: digest(segment) };
        let mut wal = Wal::open(path)?;
        if let (Some(wal), Some(stored)) = (&mut wal, read_segment_header(segment)?.wal())
            && wal.contains(&stored)?
        {
            return Ok(Some(Self { head, wal: Some(stored), is_copied: false }));
        }
        let StoredState::At(at) = note else { return Ok(None) };
        if (at.segment, &at.digest) != (number, &head.digest) {
            return Ok(None);
        }
        let is_file_alone = at.is_file_alone(path)?;
        let wal_is_known = match (&mut wal, &at.wal) {
            (Some(wal), Some(known)) => wal.contains(known)? || (at.is_copied && is_next(wal, known)),
            (None, None) => is_file_alone,
            _ => false,
        };
        Ok(match () {
            () if wal_is_known => Some(Self { head, wal: at.wal, is_copied: at.is_copied }),
            () if is_file_alone => Some(Self::of_file_alone(head)),
            () => None,
        })
    }

    pub fn note(&self, path: &Path) -> anyhow::Result<StoredState> {
        let head = (self.head.number, self.head.digest.clone());
        Ok(StoredState::At(StoredAt::new(path, head, self.wal, self.is_copied)?))
    }
}

/// Whether the WAL was started again once since this position. SQLite adds one to the first salt.
fn is_next(wal: &Wal, known: &WalPosition) -> bool {
    wal.start().salts.0 == known.salts.0.wrapping_add(1)
}

//! Imports that write in parts. Each part is one short transaction, so that other writers of the file come in between.
//!
//! The rows are parsed between the turns. Part and progress are saved in one transaction, so an import that was interrupted
//! goes on with the next row.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::entity::Editable;
use super::error::{Error, Result};
use super::import::{ImportCounts, ImportFollower, Importer, LONGEST};
use super::import_file::{ImportRows, KeptRow};
use super::row_writer::RowWriter;
use crate::storage::File;
use crate::values::Timestamp;

/// Maximum rows of a part. A part takes about as long as `LONGEST_PART` then.
const MOST_ROWS_OF_PART: usize = 2_000;

/// A part ends after the row that reaches this time. Other writers of the file wait that long, and for the commit.
const LONGEST_PART: Duration = Duration::from_millis(100);

/// Tries to write a part while the file is overloaded, and the pause before the next try.
const TRIES: usize = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// What an import in parts has done before, and the time of change of its rows.
pub struct ImportStart {
    pub counts: ImportCounts,
    pub at: Timestamp,
}

/// The parts of an import. A turn locks this, and the thread that parses the rows does between the turns.
struct Parts {
    importer: Importer,
    rows: Arc<ImportRows>,
    follower: Box<dyn ImportFollower>,
    at: Timestamp,
    /// Rows that are parsed and not written.
    waiting: VecDeque<KeptRow>,
    /// The counts of the committed parts.
    counts: ImportCounts,
}

/// A part that was written.
struct WrittenPart {
    rows: usize,
    counts: ImportCounts,
}

impl Importer {
    /// Writes the rows that `start` does not count, in parts. Refused rows are left out.
    pub fn import_in_parts<T: Editable>(
        self,
        file: &Arc<File>,
        rows: ImportRows,
        start: ImportStart,
        follower: Box<dyn ImportFollower>,
    ) -> Result<ImportCounts> {
        let (rows, done) = (Arc::new(rows), start.counts.sum());
        let parts = Arc::new(Mutex::new(Parts {
            importer: Self { leaves_out: true, ..self },
            rows: Arc::clone(&rows),
            follower,
            at: start.at,
            waiting: VecDeque::new(),
            counts: start.counts,
        }));
        rows.for_each(|row| {
            if row.number <= done {
                return Ok(());
            }
            if parts.lock().waiting.len() == MOST_ROWS_OF_PART {
                write_part::<T>(file, &parts, false)?;
            }
            parts.lock().waiting.push_back(row.keep());
            Ok(())
        })?;
        while !write_part::<T>(file, &parts, true)? {}
        let parts = parts.lock();
        Ok(parts.counts.clone())
    }
}

/// Writes a part of the waiting rows in one turn. Returns whether all of them are written. Waits while the file is
/// overloaded.
fn write_part<T: Editable>(file: &Arc<File>, parts: &Arc<Mutex<Parts>>, is_end: bool) -> Result<bool> {
    let mut tries = TRIES;
    loop {
        let shared = Arc::clone(parts);
        // With a limit of its own, the part is a transaction of its own, after the writes that wait with it.
        match file.write_within(LONGEST, move |db| shared.lock().write::<T>(db, is_end)) {
            Ok(WrittenPart { rows, counts }) => {
                let mut parts = parts.lock();
                parts.waiting.drain(..rows);
                parts.counts = counts;
                return Ok(parts.waiting.is_empty());
            }
            Err(Error::Overloaded) if tries > 0 => {
                tries -= 1;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

impl Parts {
    /// Writes waiting rows until the part has taken long enough. `is_end`: no more rows come.
    fn write<T: Editable>(&mut self, db: &Connection, is_end: bool) -> Result<WrittenPart> {
        let begun = Instant::now();
        let Self { importer, rows, follower, at, waiting, counts } = self;
        let mut part = WrittenPart { rows: 0, counts: counts.clone() };
        follower.begins_part(counts)?;
        let writer = RowWriter::new::<T>(importer, db, rows, *at)?;
        for row in waiting.iter() {
            writer.write::<T>(&row.row(), &mut part.counts, &mut **follower)?;
            part.rows += 1;
            if begun.elapsed() >= LONGEST_PART {
                break;
            }
        }
        if is_end && part.rows == waiting.len() {
            follower.finished(db, &part.counts)?;
        } else {
            follower.part_written(db, &part.counts)?;
        }
        Ok(part)
    }
}

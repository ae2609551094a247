//! Reads committed pages from a write-ahead log (SQLite, "Database File Format", section 4).
//!
//! Only a checkpoint that copied the whole log lets a writer start it again from its first frame. So a reader that knows
//! a position in the log finds all later frames behind it, or finds that the log was started again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::snapshot::companion_path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The magic number of a log with little-endian checksums. The last bit is set for big-endian checksums.
const MAGIC: u32 = 0x377f_0682;

/// The end of a commit in a log. The checksum covers all frames up to it, so it identifies their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalPosition {
    /// Two numbers that change when the log is started again. The first grows by one.
    pub salts: (u32, u32),
    /// The number of frames up to here.
    pub frames: u32,
    pub checksum: (u32, u32),
}

/// The pages that commits wrote, each with its last content.
#[derive(Debug, PartialEq, Eq)]
pub struct CommittedPages {
    pub page_size: u32,
    pub pages: BTreeMap<u32, Vec<u8>>,
    /// The length of the database file after the last commit.
    pub pages_in_file: u32,
    pub end: WalPosition,
}

/// Some pages of a file, and its length in pages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FilePages {
    pub pages: BTreeMap<u32, Vec<u8>>,
    pub pages_in_file: u32,
}

impl CommittedPages {
    pub fn bytes(&self) -> usize {
        self.pages.len() * self.page_size as usize
    }
}

/// A log, opened for reading. Others may append to it meanwhile.
pub struct Wal {
    file: File,
    start: WalPosition,
    page_size: u32,
    is_big_endian: bool,
}

impl Wal {
    /// Opens the log of a database. `None` if there is no log, or if it has no frames yet.
    pub fn open(database: &Path) -> io::Result<Option<Self>> {
        let mut file = match File::open(companion_path(database, "-wal")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut header = [0; HEADER];
        if !fill(&mut file, &mut header)? {
            return Ok(None);
        }
        let [magic, _, page_size, _, salt, other_salt, sum, other_sum] = words(&header);
        let is_big_endian = magic & 1 == 1;
        let checksum = (sum, other_sum);
        // SQLite ignores such a log as well.
        if magic & !1 != MAGIC || checksum != add((0, 0), &header[..HEADER - 8], is_big_endian) {
            return Ok(None);
        }
        let start = WalPosition { salts: (salt, other_salt), frames: 0, checksum };
        Ok(Some(Self { file, start, page_size, is_big_endian }))
    }

    /// The position before the first frame.
    pub fn start(&self) -> WalPosition {
        self.start
    }

    /// Whether this log has the frames up to a position.
    pub fn contains(&mut self, position: &WalPosition) -> io::Result<bool> {
        if position.salts != self.start.salts {
            return Ok(false);
        }
        if position.frames == 0 {
            return Ok(position.checksum == self.start.checksum);
        }
        if self.file.metadata()?.len() < self.offset(position.frames) {
            return Ok(false);
        }
        self.file.seek(SeekFrom::Start(self.offset(position.frames - 1)))?;
        let mut header = [0; FRAME_HEADER];
        self.file.read_exact(&mut header)?;
        let [_, _, salt, other_salt, sum, other_sum] = words(&header);
        Ok((salt, other_salt) == position.salts && (sum, other_sum) == position.checksum)
    }

    /// The pages of all commits behind a position in this log, at most up to `end`. `None` if there is no commit.
    pub fn read(&mut self, from: WalPosition, end: Option<&WalPosition>) -> io::Result<Option<CommittedPages>> {
        let mut committed = None;
        // Pages of the transaction that is being read.
        let mut pages = Vec::new();
        self.walk(from, |position, number, pages_in_file, page| {
            pages.push((number, page.to_vec()));
            if pages_in_file > 0 {
                let known: &mut CommittedPages = committed.get_or_insert_with(|| CommittedPages {
                    page_size: u32::try_from(page.len()).unwrap_or(0),
                    pages: BTreeMap::new(),
                    pages_in_file,
                    end: position,
                });
                known.pages.extend(pages.drain(..));
                (known.pages_in_file, known.end) = (pages_in_file, position);
            }
            end.is_none_or(|end| position.frames < end.frames)
        })?;
        if let Some(known) = &mut committed {
            // A page that a later commit cut off is no longer in the file.
            known.pages.split_off(&(known.pages_in_file + 1));
        }
        Ok(committed)
    }

    /// The end of the last commit behind a position.
    pub fn end(&mut self, from: WalPosition) -> io::Result<WalPosition> {
        let mut end = from;
        self.walk(from, |position, _, pages_in_file, _| {
            if pages_in_file > 0 {
                end = position;
            }
            true
        })?;
        Ok(end)
    }

    /// The end of the first commit behind a position.
    pub fn end_of_first(&mut self, from: WalPosition) -> io::Result<Option<WalPosition>> {
        let mut end = None;
        self.walk(from, |position, _, pages_in_file, _| {
            end = (pages_in_file > 0).then_some(position);
            end.is_none()
        })?;
        Ok(end)
    }

    /// Passes each valid frame behind a position to `see`, until it returns false: the position after the frame, the
    /// number of the page, the length of the file in pages if the frame ends a commit, else 0, and the page.
    fn walk(&mut self, from: WalPosition, mut see: impl FnMut(WalPosition, u32, u32, &[u8]) -> bool) -> io::Result<()> {
        let mut at = from;
        let mut frame = vec![0; FRAME_HEADER + self.page_size as usize];
        let mut log = io::BufReader::with_capacity(1 << 18, &self.file);
        log.seek(SeekFrom::Start(self.offset(at.frames)))?;
        while fill(&mut log, &mut frame)? {
            let (header, page) = frame.split_at(FRAME_HEADER);
            let [number, pages_in_file, salt, other_salt, sum, other_sum] = words(header);
            let checksum = add(add(at.checksum, &header[..8], self.is_big_endian), page, self.is_big_endian);
            // A frame of the log before it was started again, or one that is being written.
            if (salt, other_salt) != at.salts || (sum, other_sum) != checksum {
                break;
            }
            at = WalPosition { frames: at.frames + 1, checksum, ..at };
            if !see(at, number, pages_in_file, page) {
                break;
            }
        }
        Ok(())
    }

    fn offset(&self, frames: u32) -> u64 {
        HEADER as u64 + u64::from(frames) * (FRAME_HEADER as u64 + u64::from(self.page_size))
    }
}

/// The pages of a file with some numbers, as they were at a position in its log. `None`: as they are in the file alone. No
/// later commit may be in the file.
pub fn pages_at(database: &Path, at: Option<&WalPosition>, numbers: &BTreeSet<u32>) -> io::Result<FilePages> {
    let mut found = FilePages::default();
    if let Some((mut wal, at)) = Wal::open(database)?.zip(at) {
        if !wal.contains(at)? {
            return Err(io::Error::other("the log was started again"));
        }
        let start = wal.start();
        wal.walk(start, |position, number, pages_in_file, page| {
            if numbers.contains(&number) {
                found.pages.insert(number, page.to_vec());
            }
            if pages_in_file > 0 {
                found.pages_in_file = pages_in_file;
            }
            position.frames < at.frames
        })?;
    }
    let mut file = File::open(database)?;
    let mut header = [0; HEADER];
    file.read_exact(&mut header)?;
    // "Database File Format", section 1.3: the page size is in the bytes 16 and 17, and 1 means 65,536.
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    if found.pages_in_file == 0 {
        found.pages_in_file = u32::try_from(file.metadata()?.len() / page_size).unwrap_or(u32::MAX);
    }
    for number in numbers.iter().filter(|number| **number <= found.pages_in_file) {
        if let Entry::Vacant(entry) = found.pages.entry(*number) {
            let mut page = vec![0; page_size as usize];
            file.seek(SeekFrom::Start(u64::from(number - 1) * page_size))?;
            file.read_exact(&mut page)?;
            entry.insert(page);
        }
    }
    found.pages.split_off(&(found.pages_in_file + 1));
    Ok(found)
}

/// Fills the buffer. False if the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    std::array::from_fn(|n| u32::from_be_bytes(bytes[4 * n..4 * n + 4].try_into().expect("four bytes")))
}

/// Continues a checksum ("Database File Format", section 4.2).
fn add(sum: (u32, u32), bytes: &[u8], is_big_endian: bool) -> (u32, u32) {
    let read = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    bytes.chunks_exact(8).fold(sum, |(first, second), pair| {
        let [x, y] = [&pair[..4], &pair[4..]].map(|word| read(word.try_into().expect("four bytes")));
        let first = first.wrapping_add(x).wrapping_add(second);
        (first, second.wrapping_add(y).wrapping_add(first))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;
    use crate::storage::{FileKind, create, open_writer};

    /// Writes pages into a database file that nobody has open.
    fn apply(path: &Path, committed: &CommittedPages) {
        let mut file = fs::read(path).unwrap();
        let size = committed.page_size as usize;
        file.resize(committed.pages_in_file as usize * size, 0);
        for (number, page) in &committed.pages {
            let start = (*number as usize - 1) * size;
            file[start..start + size].copy_from_slice(page);
        }
        fs::write(path, file).unwrap();
    }

    fn dump(db: &Connection) -> Vec<(i64, i64)> {
        let mut rows = db.prepare("SELECT id, length(text) FROM some ORDER BY id").unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(u16),
        Delete,
        Vacuum,
        Checkpoint,
        Ship,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1_u16..9_000).prop_map(Step::Write),
            1 => Just(Step::Delete),
            1 => Just(Step::Vacuum),
            1 => Just(Step::Checkpoint),
            3 => Just(Step::Ship),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn pages_of_a_log_turn_a_copy_into_the_file(steps in prop::collection::vec(step(), 1..30)) {
            let folder = tempfile::tempdir().unwrap();
            let (path, copy) = (folder.path().join("one.sqlite"), folder.path().join("two.sqlite"));
            create(&path, FileKind::Workspace).unwrap();
            fs::copy(&path, &copy).unwrap();
            let db = open_writer(&path).unwrap();
            let mut shipped: Option<WalPosition> = None;
            let mut ship = || {
                if let Some(mut wal) = Wal::open(&path).unwrap() {
                    let from = match shipped {
                        Some(position) if wal.contains(&position).unwrap() => position,
                        _ => wal.start(),
                    };
                    if let Some(committed) = wal.read(from, None).unwrap() {
                        assert_eq!(wal.end(from).unwrap(), committed.end);
                        apply(&copy, &committed);
                        shipped = Some(committed.end);
                    }
                }
            };
            db.execute_batch("CREATE TABLE some (id INTEGER PRIMARY KEY, text TEXT NOT NULL)").unwrap();
            for step in steps {
                match step {
                    Step::Write(size) => {
                        db.execute("INSERT INTO some (text) VALUES (?1)", ["x".repeat(size.into())]).unwrap();
                    }
                    Step::Delete => {
                        db.execute("DELETE FROM some WHERE id % 2 = 0", []).unwrap();
                    }
                    Step::Vacuum => db.execute_batch("VACUUM").unwrap(),
                    // The log is started again only after all of it was read.
                    Step::Checkpoint => {
                        ship();
                        db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
                    }
                    Step::Ship => ship(),
                }
            }
            ship();
            let copied = open_writer(&copy).unwrap();
            prop_assert_eq!(dump(&copied), dump(&db));
            let intact: String = copied.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            prop_assert_eq!(intact, "ok");
        }
    }

    #[test]
    fn a_transaction_without_its_commit_and_a_torn_frame_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.sqlite");
        create(&path, FileKind::Workspace).unwrap();
        assert!(Wal::open(&path).unwrap().is_none(), "there is no log yet");
        let db = open_writer(&path).unwrap();
        db.execute_batch("CREATE TABLE some (id INTEGER PRIMARY KEY, text TEXT)").unwrap();
        let mut wal = Wal::open(&path).unwrap().unwrap();
        let end = wal.end(wal.start()).unwrap();
        db.execute("INSERT INTO some (text) VALUES (?1)", ["x".repeat(50_000)]).unwrap();
        let all = wal.end(end).unwrap();
        assert!(all.frames > end.frames + 10);
        // Cut off in the last frame.
        let log = companion_path(&path, "-wal");
        let length = wal.offset(all.frames);
        File::options().write(true).open(&log).unwrap().set_len(length - 1).unwrap();
        assert_eq!(wal.end(end).unwrap(), end);
        assert!(wal.read(end, None).unwrap().is_none());
        assert!(wal.contains(&end).unwrap() && !wal.contains(&all).unwrap());
    }
}

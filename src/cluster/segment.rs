//! The objects of the log of a file: segments with the pages of commits, and snapshots of the whole file.
//!
//! An object begins with a magic number, the length of its header, and the header in JSON. zstd packs the rest. Its
//! checksum shows damage.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zstd::zstd_safe::CParameter;

use super::rebuild::at_once;
use crate::storage::{CommittedPages, FilePages, WalPosition};
use crate::values::Timestamp;
use crate::values::checksum::hexadecimal;

const SEGMENT: &[u8; 8] = b"CXSEGM01";
const SNAPSHOT: &[u8; 8] = b"CXSNAP01";

/// The level of zstd: a commit is packed while its clients wait.
const LEVEL: i32 = 1;

/// Pages that are packed together. A larger commit has several frames, which are packed at the same time.
const PAGES_IN_FRAME: usize = 128;

/// Maximum length of a header in bytes.
const LONGEST_HEADER: usize = 4096;

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHeader {
    /// The process that wrote it: name of the node, and a random number.
    pub node: String,
    pub nonce: String,
    /// The epoch of the server's lease. 0 without a lease.
    pub epoch: u64,
    /// The digest of the segment before. Empty in the first.
    pub previous: String,
    /// When the pages were read from the disk.
    pub at: Timestamp,
    pub content: SegmentContent,
}

/// The content of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentContent {
    /// The pages that commits wrote. `wal` is the end of the last commit in the WAL of the node.
    Pages { page_size: u32, pages: u32, pages_in_file: u32, wal: WalPosition },
    /// The whole file, in the snapshot with this key. The segments before do not matter.
    Snapshot { key: String, wal: Option<WalPosition> },
    /// Nothing: the next owner of the file was here. A late writer finds its next segment taken.
    Fence { wal: Option<WalPosition> },
}

impl SegmentHeader {
    /// The position in the node's WAL up to which the store has all commits.
    pub fn wal(&self) -> Option<WalPosition> {
        match &self.content {
            SegmentContent::Pages { wal, .. } => Some(*wal),
            SegmentContent::Snapshot { wal, .. } | SegmentContent::Fence { wal } => *wal,
        }
    }
}

/// The digest of a segment, which the next one names.
pub fn digest(segment: &[u8]) -> String {
    hexadecimal(Sha256::digest(segment))
}

/// A segment with pages, or one that names a snapshot.
pub fn write_segment(header: &SegmentHeader, committed: Option<&CommittedPages>) -> anyhow::Result<Vec<u8>> {
    let mut segment = Vec::new();
    write_header(&mut segment, SEGMENT, header)?;
    let pages: Vec<_> = committed.iter().flat_map(|committed| &committed.pages).collect();
    let frames: Vec<_> = pages.chunks(PAGES_IN_FRAME).collect();
    let packed = if frames.len() > 1 { at_once(&frames, |pages| pack(pages)) } else { vec![pack(&pages)] };
    for frame in packed {
        segment.extend(frame?);
    }
    Ok(segment)
}

/// A frame of zstd with these pages, each after its number.
fn pack(pages: &[(&u32, &Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(pages.iter().map(|(_, page)| size_of::<u32>() + page.len()).sum());
    for (number, page) in pages {
        plain.extend_from_slice(&number.to_be_bytes());
        plain.extend_from_slice(page);
    }
    let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
    packer.set_parameter(CParameter::ChecksumFlag(true))?;
    packer.compress(&plain)
}

pub fn read_segment_header(segment: &[u8]) -> anyhow::Result<SegmentHeader> {
    read_header(&mut &segment[..], SEGMENT)
}

/// Writes the pages of a segment into a database file that nobody has open.
pub fn apply_segment(segment: &[u8], file: &File) -> anyhow::Result<()> {
    let sizes = each_page(segment, |number, page| {
        file.write_all_at(page, u64::from(number - 1) * page.len() as u64)?;
        Ok(())
    })?;
    let Some((page_size, pages_in_file)) = sizes else { return Ok(()) };
    Ok(file.set_len(u64::from(pages_in_file) * u64::from(page_size))?)
}

/// Adds the pages of a segment to others.
pub fn add_pages(segment: &[u8], to: &mut FilePages) -> anyhow::Result<()> {
    let sizes = each_page(segment, |number, page| {
        to.pages.insert(number, page.to_vec());
        Ok(())
    })?;
    if let Some((_, pages_in_file)) = sizes {
        to.pages_in_file = pages_in_file;
        to.pages.split_off(&(pages_in_file + 1));
    }
    Ok(())
}

/// Passes each page of a segment to `take`. Returns the size of a page and the number of pages of the file, if the segment
/// has pages.
fn each_page(
    mut segment: &[u8],
    mut take: impl FnMut(u32, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<Option<(u32, u32)>> {
    let header: SegmentHeader = read_header(&mut segment, SEGMENT)?;
    let SegmentContent::Pages { page_size, pages, pages_in_file, .. } = header.content else { return Ok(None) };
    ensure!(page_size.is_power_of_two() && (512..=65_536).contains(&page_size), "a segment has an invalid page size");
    let mut unpacked = zstd::Decoder::new(segment)?;
    let mut page = vec![0; page_size as usize];
    for _ in 0..pages {
        let mut number = [0; 4];
        unpacked.read_exact(&mut number).context("a segment is incomplete")?;
        unpacked.read_exact(&mut page).context("a segment is incomplete")?;
        let number = u32::from_be_bytes(number);
        ensure!((1..=pages_in_file).contains(&number), "a segment has a page that the file does not have");
        take(number, &page)?;
    }
    ensure!(unpacked.read(&mut [0])? == 0, "a segment has more pages than its header says");
    Ok(Some((page_size, pages_in_file)))
}

/// The header of a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The digest of the segment after which the file was so. `None` if the segment names the snapshot.
    pub segment: Option<String>,
    pub at: Timestamp,
    /// The size of the file in bytes.
    pub bytes: u64,
}

/// Packs a database file into a snapshot.
pub fn write_snapshot(header: &SnapshotHeader, from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut snapshot = BufWriter::new(File::create(to).with_context(|| format!("cannot write {}", to.display()))?);
    write_header(&mut snapshot, SNAPSHOT, header)?;
    let mut packer = packer(snapshot)?;
    io::copy(&mut File::open(from)?, &mut packer).with_context(|| format!("cannot write {}", to.display()))?;
    packer.finish()?.flush().with_context(|| format!("cannot write {}", to.display()))
}

/// Unpacks a snapshot into a database file.
pub fn read_snapshot(from: &Path, to: &Path) -> anyhow::Result<SnapshotHeader> {
    let mut snapshot = BufReader::new(File::open(from)?);
    let header: SnapshotHeader = read_header(&mut snapshot, SNAPSHOT)?;
    let mut unpacked = zstd::Decoder::with_buffer(snapshot)?;
    let written = io::copy(&mut unpacked, &mut File::create(to)?).context("cannot unpack a snapshot")?;
    ensure!(written == header.bytes, "a snapshot is incomplete");
    Ok(header)
}

fn packer<W: Write>(to: W) -> io::Result<zstd::Encoder<'static, W>> {
    let mut packer = zstd::Encoder::new(to, LEVEL)?;
    packer.include_checksum(true)?;
    Ok(packer)
}

fn write_header(to: &mut impl Write, magic: &[u8; 8], header: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_vec(header)?;
    to.write_all(magic)?;
    to.write_all(&u32::try_from(text.len())?.to_be_bytes())?;
    Ok(to.write_all(&text)?)
}

fn read_header<T: for<'a> Deserialize<'a>>(from: &mut impl Read, magic: &[u8; 8]) -> anyhow::Result<T> {
    let mut start = [0; 12];
    from.read_exact(&mut start).context("an object of the log is incomplete")?;
    if start[..8] != *magic {
        bail!("an object of the log is damaged, or was written by a newer version");
    }
    let length = u32::from_be_bytes(start[8..].try_into()?) as usize;
    ensure!(length <= LONGEST_HEADER, "an object of the log is damaged");
    let mut text = vec![0; length];
    from.read_exact(&mut text).context("an object of the log is incomplete")?;
    serde_json::from_slice(&text).context("an object of the log is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A large commit, of several frames.
    fn committed() -> CommittedPages {
        let page = |number: u32| (number, number.to_be_bytes().repeat(128));
        let end = WalPosition { salts: (1, 2), frames: 700, checksum: (3, 4) };
        CommittedPages { page_size: 512, pages: (1..=700).map(page).collect(), pages_in_file: 900, end }
    }

    #[test]
    fn a_large_segment_is_read_back_and_one_that_was_cut_off_anywhere_is_not() {
        let committed = committed();
        let header = SegmentHeader {
            node: "one".into(),
            nonce: "1".into(),
            epoch: 1,
            previous: String::new(),
            at: Timestamp::from_seconds(1_800_000_000),
            content: SegmentContent::Pages { page_size: 512, pages: 700, pages_in_file: 900, wal: committed.end },
        };
        let segment = write_segment(&header, Some(&committed)).unwrap();
        let mut read = FilePages::default();
        add_pages(&segment, &mut read).unwrap();
        assert_eq!(read, FilePages { pages: committed.pages, pages_in_file: 900 });
        for length in 0..segment.len() {
            assert!(add_pages(&segment[..length], &mut FilePages::default()).is_err(), "{length} bytes");
        }
    }
}

//! A SQLite file, packed: what it takes to know that it comes out as it went in.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::storage::{self, Contents};
use crate::tenancy::{Scratch, life};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// Where it is, below the folder of its backup.
    path: String,
    /// Of the SQLite file.
    pub bytes: u64,
    /// Of what there is of it here.
    pub packed_bytes: u64,
    /// SHA-256 of the SQLite file, in hexadecimal digits.
    sha256: String,
    #[serde(flatten)]
    pub contents: Contents,
    /// Whether the backup before has the same, which then is one file with two names.
    #[serde(skip)]
    pub is_unchanged: bool,
}

impl Packed {
    /// Packs a copy of a file below a folder. Where it is as it was in an older backup, whose folder is given too, it is not
    /// packed again.
    pub fn pack(
        copy: &Path,
        contents: Contents,
        folder: &Path,
        path: String,
        older: Option<(&Path, &Self)>,
    ) -> anyhow::Result<Self> {
        let (bytes, sha256) = digest(copy)?;
        let to = folder.join(&path);
        if let Some((older_folder, older)) = older.filter(|(_, older)| older.sha256 == sha256)
            // A disk without hard links has it twice.
            && fs::hard_link(older_folder.join(&older.path), &to).is_ok()
        {
            return Ok(Self { path, is_unchanged: true, ..older.clone() });
        }
        let packed = File::create_new(&to)
            .and_then(|packed| zstd::stream::copy_encode(File::open(copy)?, &packed, LEVEL).map(|()| packed))
            .and_then(|packed| packed.sync_all().map(|()| packed))
            .with_context(|| format!("cannot write {}", to.display()))?;
        let packed_bytes = packed.metadata()?.len();
        Ok(Self { path, bytes, packed_bytes, sha256, contents, is_unchanged: false })
    }

    /// Unpacks the file to a path that is free: it is on disk when this returns, the same to the byte, sound, and with as
    /// many rows as it had.
    pub fn unpack(&self, folder: &Path, to: &Path) -> anyhow::Result<()> {
        let from = folder.join(&self.path);
        let packed = File::open(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let file = File::create_new(to).with_context(|| format!("cannot write {}", to.display()))?;
        // Not more than there was, whatever is there now.
        let mut unpacked = zstd::Decoder::new(packed)?.take(self.bytes + 1);
        io::copy(&mut unpacked, &mut &file).with_context(|| format!("cannot unpack {}", from.display()))?;
        file.sync_all()?;
        ensure!(digest(to)? == (self.bytes, self.sha256.clone()), "{} is not what was packed", from.display());
        let db = storage::open_reader(to)?;
        let problems = storage::problems(&db)?;
        ensure!(problems.is_empty(), "the file is damaged: {}", problems.join("; "));
        ensure!(storage::contents(&db)? == self.contents, "the file has not the rows that it had");
        Ok(())
    }

    /// Unpacks the file for a look, and lets it go again.
    pub fn verify(&self, folder: &Path, scratch: &Scratch) -> anyhow::Result<()> {
        let unpacked = scratch.file("unpacked.sqlite");
        let sound = self.unpack(folder, &unpacked);
        life::delete_file(&unpacked)?;
        sound
    }
}

/// zstd's own choice.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;

/// The length of a file, and its SHA-256.
fn digest(path: &Path) -> anyhow::Result<(u64, String)> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut digest, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => {
                digest.update(&piece[..length]);
                bytes += length as u64;
            }
        }
    }
    Ok((bytes, digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

//! A compressed SQLite file, with the checksums that verify it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::storage::{self, Contents};
use crate::tenancy::{InstanceTempDir, lifecycle};
use crate::values::checksum::sha256_of;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// The path, relative to the folder of the backup.
    path: String,
    /// Size of the SQLite file.
    pub bytes: u64,
    /// Size of the compressed file.
    pub packed_bytes: u64,
    /// SHA-256 of the SQLite file, in hexadecimal digits.
    sha256: String,
    #[serde(flatten)]
    pub contents: Contents,
    /// Whether the file is a hard link to an equal file in an older backup.
    #[serde(skip)]
    pub is_unchanged: bool,
}

impl Packed {
    /// Compresses a copy of a file into a backup folder. If an older backup has the same file, links to that one
    /// instead.
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
            // A disk without hard links stores a second copy.
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

    /// The path, relative to the folder of the backup.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Unpacks the file to an unused path and verifies its checksum, its integrity and its row counts. When this
    /// returns, the file is on disk.
    pub fn unpack(&self, folder: &Path, to: &Path) -> anyhow::Result<()> {
        let from = folder.join(&self.path);
        let packed = File::open(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let file = File::create_new(to).with_context(|| format!("cannot write {}", to.display()))?;
        // Limit the output to the expected size, even if the file was tampered with.
        let mut unpacked = zstd::Decoder::new(packed)?.take(self.bytes + 1);
        io::copy(&mut unpacked, &mut &file).with_context(|| format!("cannot unpack {}", from.display()))?;
        file.sync_all()?;
        ensure!(digest(to)? == (self.bytes, self.sha256.clone()), "{} does not match its checksum", from.display());
        let db = storage::open_reader(to)?;
        let problems = storage::integrity_problems(&db)?;
        ensure!(problems.is_empty(), "the file is damaged: {}", problems.join("; "));
        ensure!(storage::contents(&db)? == self.contents, "the file does not have the expected number of rows");
        Ok(())
    }

    /// Unpacks and verifies the file, then deletes the unpacked copy.
    pub fn verify(&self, folder: &Path, temp_dir: &InstanceTempDir) -> anyhow::Result<()> {
        let unpacked = temp_dir.file("unpacked.sqlite");
        let sound = self.unpack(folder, &unpacked);
        lifecycle::delete_file(&unpacked)?;
        sound
    }
}

/// The default of zstd.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;

/// The length and the SHA-256 of a file.
fn digest(path: &Path) -> anyhow::Result<(u64, String)> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(sha256_of(file)?)
}

//! Copies of files as they were before a newer program migrated them, so that the previous program can go on with them.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;

use super::snapshot::Moment;
use crate::durable_fs::{self, if_there};
use crate::values::Timestamp;

/// Seconds for which a copy is kept: 30 days.
const KEPT: u64 = 30 * 86_400;

/// The folder of the copies of a data directory.
#[derive(Debug, Clone)]
pub struct UpdateCopies {
    folder: PathBuf,
}

/// The copy of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateCopy {
    pub path: PathBuf,
    /// The name of the file without its extension: the id of a workspace, or `central`.
    pub file: String,
    /// The version of the file.
    pub version: i64,
}

impl UpdateCopies {
    pub fn of_data_dir(data: &Path) -> Self {
        Self { folder: data.join("before-update") }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies a file that will be migrated. When this returns, the copy is on disk. It replaces an earlier copy of the same
    /// version: the previous program may have written since.
    pub(super) fn keep(&self, path: &Path, version: i64) -> anyhow::Result<()> {
        let file = path.file_stem().and_then(OsStr::to_str).context("the name of the file is not UTF-8")?;
        let copy = self.folder.join(format!("{file}-{version}.sqlite"));
        let unfinished = copy.with_extension("new");
        durable_fs::create_private_folder(&self.folder)?;
        if_there(fs::remove_file(&unfinished))?;
        let copied = Moment::fix(path).and_then(|moment| moment.copy(&unfinished));
        let kept = copied.and_then(|()| durable_fs::rename(&unfinished, &copy));
        if kept.is_err() {
            // The disk may be full.
            if_there(fs::remove_file(&unfinished))?;
        }
        kept.with_context(|| format!("cannot copy {} before its update", path.display()))
    }

    /// All copies, those of the newest versions first.
    pub fn list(&self) -> anyhow::Result<Vec<UpdateCopy>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read {}", self.folder.display()))?,
        };
        let mut copies = Vec::new();
        for entry in entries {
            copies.extend(UpdateCopy::of(entry?.path()));
        }
        copies.sort_by(|one, other| (other.version, &one.file).cmp(&(one.version, &other.file)));
        Ok(copies)
    }

    /// Deletes the copies of a workspace that is deleted for good.
    pub fn delete_of(&self, file: &str) -> anyhow::Result<()> {
        self.list()?.iter().filter(|copy| copy.file == file).try_for_each(UpdateCopy::delete)
    }

    /// Deletes the copies that are older than 30 days.
    pub fn delete_expired(&self, now: Timestamp) -> anyhow::Result<()> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now.seconds()).unwrap_or_default());
        for copy in self.list()? {
            let written = fs::metadata(&copy.path)?.modified()?;
            if now.duration_since(written).is_ok_and(|age| age > Duration::from_secs(KEPT)) {
                copy.delete()?;
            }
        }
        Ok(())
    }
}

impl UpdateCopy {
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".sqlite")?;
        let (file, version) = name.rsplit_once('-')?;
        Some(Self { file: file.to_owned(), version: version.parse().ok()?, path })
    }

    fn delete(&self) -> anyhow::Result<()> {
        if_there(fs::remove_file(&self.path)).with_context(|| format!("cannot delete {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{FileKind, create_of_version, open_writer};

    #[test]
    fn copies_are_whole_and_end_after_a_month_or_with_their_workspace() {
        let folder = tempfile::tempdir().unwrap();
        let copies = UpdateCopies::of_data_dir(folder.path());
        assert_eq!(copies.list().unwrap(), []);
        for file in ["one", "two-with-dash"] {
            let path = folder.path().join(format!("{file}.sqlite"));
            create_of_version(&path, FileKind::Workspace, 7).unwrap();
            let db = open_writer(&path).unwrap();
            db.execute("INSERT INTO settings (name, value) VALUES ('timezone', 'Europe/Paris')", []).unwrap();
            // The row is only in the WAL.
            copies.keep(&path, 7).unwrap();
            copies.keep(&path, 7).unwrap();
        }
        let kept = copies.list().unwrap();
        let names: Vec<_> = kept.iter().map(|copy| (copy.file.as_str(), copy.version)).collect();
        assert_eq!(names, [("one", 7), ("two-with-dash", 7)]);
        for copy in &kept {
            let db = open_writer(&copy.path).unwrap();
            let zones: i64 =
                db.query_row("SELECT count(*) FROM settings WHERE name = 'timezone'", [], |row| row.get(0)).unwrap();
            assert_eq!(zones, 1);
        }
        let written = fs::metadata(&kept[0].path).unwrap().modified().unwrap();
        let written = written.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let after = |seconds: u64| Timestamp::from_seconds(i64::try_from(written + seconds).unwrap());
        copies.delete_expired(after(KEPT - 60)).unwrap();
        assert_eq!(copies.list().unwrap().len(), 2);
        copies.delete_of("one").unwrap();
        assert_eq!(copies.list().unwrap().len(), 1);
        copies.delete_expired(after(KEPT + 60)).unwrap();
        assert_eq!(copies.list().unwrap(), []);
    }
}

//! The log of a command. A command writes only to the disk and leaves a mark for the server, which stores the commits of
//! the file within a second, or at its next start.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::store_log::path_of;
use crate::durable_fs;
use crate::storage::{CommitLog, Fault, PendingCommit};

/// The folder of the marks: empty files, each with the name of a changed file.
const FOLDER: &str = "changed";

pub struct CommandLog {
    data: PathBuf,
}

impl CommandLog {
    pub fn new(data: PathBuf) -> Self {
        Self { data }
    }

    fn mark(&self, path: &Path) -> anyhow::Result<()> {
        let folder = self.data.join(FOLDER);
        durable_fs::create_folder(&folder)?;
        fs::write(folder.join(path.file_stem().unwrap_or_default()), "")?;
        durable_fs::sync(&folder)
    }
}

impl CommitLog for CommandLog {
    fn prepare(self: Arc<Self>, _: &Path, then: Box<dyn FnOnce(Result<(), Fault>) + Send>) {
        then(Ok(()));
    }

    fn store(self: Arc<Self>, path: &Path, mut commit: PendingCommit) {
        if let Err(error) = self.mark(path) {
            tracing::warn!(path = %path.display(), error = format!("{error:#}"), "the server stores this later");
        }
        commit.answer();
    }

    /// Only the server knows how much of the WAL is stored.
    fn checkpoint(&self, _: &Path, _: &Connection, _: bool) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Takes the marks, and returns the paths of the changed files.
pub fn take_changed(data: &Path) -> Vec<PathBuf> {
    let marks = fs::read_dir(data.join(FOLDER)).into_iter().flatten().flatten();
    marks
        .filter_map(|mark| {
            let name = mark.file_name();
            fs::remove_file(mark.path()).ok()?;
            path_of(data, name.to_str()?)
        })
        .collect()
}

//! The work on backups that the server does in the background. There is one at a time, and the last one is remembered.

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use crate::values::{Timestamp, choice};

choice! {
    /// The work: a backup is taken, or the files of one are verified again.
    BackupWork { BACKUP = "backup", VERIFICATION = "verification" }
}

choice! {
    /// The state of the work.
    BackupJobState { RUNNING = "running", DONE = "done", FAILED = "failed" }
}

/// Work on a backup: it runs, or it was the last to run since the server started.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BackupJob {
    /// `backup`: a backup is taken. `verification`: the files of one are verified again.
    pub work: BackupWork,
    /// Name of the backup. Null until it is taken.
    pub backup: Option<String>,
    /// `running`, `done` or `failed`.
    pub state: BackupJobState,
    /// Number of finished workspaces; in a verification, of finished files.
    pub done: usize,
    /// Number of all of them. 0 until they are counted.
    pub of: usize,
    /// Start time (UTC).
    pub began_at: Timestamp,
    /// Reason of the failure, in English. Null unless it failed.
    pub problem: Option<String>,
}

#[derive(Default)]
pub struct BackupJobs(Mutex<Option<BackupJob>>);

impl BackupJobs {
    pub fn last(&self) -> Option<BackupJob> {
        self.0.lock().clone()
    }

    /// Begins work on a backup. `None` if other work is running.
    pub fn begin(&self, work: BackupWork, backup: Option<String>, of: usize, now: Timestamp) -> Option<BackupJob> {
        let mut last = self.0.lock();
        if last.as_ref().is_some_and(|job| job.state == BackupJobState::RUNNING) {
            return None;
        }
        let state = BackupJobState::RUNNING;
        *last = Some(BackupJob { work, backup, state, done: 0, of, began_at: now, problem: None });
        last.clone()
    }

    pub fn progress(&self, done: usize, of: usize) {
        if let Some(job) = self.0.lock().as_mut() {
            (job.done, job.of) = (done, of);
        }
    }

    /// Ends the work with the name of the backup, or with the reason of the failure.
    pub fn end(&self, result: Result<String, String>) {
        let mut last = self.0.lock();
        let Some(job) = last.as_mut() else { return };
        match result {
            Ok(backup) => (job.state, job.backup) = (BackupJobState::DONE, Some(backup)),
            Err(problem) => (job.state, job.problem) = (BackupJobState::FAILED, Some(problem)),
        }
    }
}

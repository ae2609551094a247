//! Work that the server does in the background for its operators. Each kind of work has a slot: it runs once at a time, and
//! the last one is remembered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use crate::storage::{Fault, Threads};
use crate::values::{Timestamp, choice};

choice! {
    /// The state of work in the background.
    JobState { RUNNING = "running", DONE = "done", FAILED = "failed" }
}

/// How far work is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct JobProgress {
    /// `running`, `done` or `failed`.
    pub state: JobState,
    /// Number of finished parts: workspaces, or the files of a backup that is verified.
    pub done: usize,
    /// Number of all parts. 0 until they are counted.
    pub of: usize,
    /// Start time (UTC).
    pub began_at: Timestamp,
    /// Reason of the failure, in English. Null unless it failed.
    pub problem: Option<String>,
}

/// The slot of one kind of work. `T` says what exactly runs, or ran last since the server started.
pub struct JobSlot<T> {
    /// The kind of work, for the log.
    name: &'static str,
    last: Mutex<Option<(T, JobProgress)>>,
}

impl<T: Clone + Send + 'static> JobSlot<T> {
    pub fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, last: Mutex::default() })
    }

    pub fn last(&self) -> Option<(T, JobProgress)> {
        self.last.lock().clone()
    }

    /// Begins work, which goes on after the response. Its result says what ran. `None` if work is running.
    pub fn begin(
        self: &Arc<Self>,
        threads: &Threads,
        what: T,
        of: usize,
        now: Timestamp,
        run: impl FnOnce(&Self) -> anyhow::Result<T> + Send + 'static,
    ) -> Option<(T, JobProgress)> {
        let begun = self.occupy(what, of, now)?;
        let slot = Arc::clone(self);
        threads.run(move || {
            let result = catch_unwind(AssertUnwindSafe(|| run(&slot)));
            slot.end(result.unwrap_or_else(|panic| Err(Fault::panicked(&*panic).into())));
        });
        Some(begun)
    }

    pub fn progress(&self, done: usize, of: usize) {
        if let Some((_, job)) = self.last.lock().as_mut() {
            (job.done, job.of) = (done, of);
        }
    }

    fn occupy(&self, what: T, of: usize, now: Timestamp) -> Option<(T, JobProgress)> {
        let mut last = self.last.lock();
        if last.as_ref().is_some_and(|(_, job)| job.state == JobState::RUNNING) {
            return None;
        }
        let job = JobProgress { state: JobState::RUNNING, done: 0, of, began_at: now, problem: None };
        *last = Some((what, job));
        last.clone()
    }

    fn end(&self, result: anyhow::Result<T>) {
        let mut last = self.last.lock();
        let Some((what, job)) = last.as_mut() else { return };
        match result {
            Ok(done) => (*what, job.state) = (done, JobState::DONE),
            Err(error) => {
                let problem = format!("{error:#}");
                tracing::error!(error = problem, "{} of the instance failed", self.name);
                (job.state, job.problem) = (JobState::FAILED, Some(problem));
            }
        }
    }
}

//! A lane: the queue of jobs for one file, and the number of threads that may work on them.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

use super::batch::Job;

pub struct Lane {
    /// The turns of this lane: the number of threads that may be in the lane at once.
    turns: usize,
    /// Jobs that may wait. More are rejected.
    longest: usize,
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    waiting: VecDeque<Box<dyn Job>>,
    /// Threads in the lane or on their way to it.
    taken: usize,
}

/// The caller's next step after a job joined the lane.
pub enum Joined {
    /// A turn was free: send a thread.
    SendThread,
    /// All turns are taken. One of those threads will run the job.
    Waits,
    /// The lane is full. The job is handed back.
    Full(Box<dyn Job>),
}

impl Lane {
    pub fn new(turns: usize, longest: usize) -> Self {
        Self { turns, longest, state: Mutex::default() }
    }

    pub fn join(&self, job: Box<dyn Job>) -> Joined {
        let mut state = self.state();
        if state.waiting.len() >= self.longest {
            return Joined::Full(job);
        }
        state.waiting.push_back(job);
        if state.taken == self.turns {
            return Joined::Waits;
        }
        state.taken += 1;
        Joined::SendThread
    }

    /// Takes up to `most` jobs for the thread that has a turn. An empty result ends the turn.
    pub fn next(&self, most: usize) -> Vec<Box<dyn Job>> {
        let mut state = self.state();
        let many = state.waiting.len().min(most);
        if many == 0 {
            state.taken -= 1;
        }
        state.waiting.drain(..many).collect()
    }

    /// Takes up to `most` jobs for a batch that has begun. A job with a time limit of its own ends them: it runs alone.
    pub fn next_short(&self, most: usize) -> Vec<Box<dyn Job>> {
        let mut state = self.state();
        let short = state.waiting.iter().take(most).take_while(|job| job.limit().is_none()).count();
        state.waiting.drain(..short).collect()
    }

    /// Puts jobs back to the front, for the thread that will have the turn.
    pub fn put_back(&self, jobs: impl DoubleEndedIterator<Item = Box<dyn Job>>) {
        let mut state = self.state();
        jobs.rev().for_each(|job| state.waiting.push_front(job));
    }

    /// Jobs that no thread has taken yet.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        // No code panics while it holds the lock, so a poisoned lock still guards a valid state.
        self.state.lock()
    }
}

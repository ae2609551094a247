//! A lane: the jobs that wait for one file, and how many threads may work on them at once.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

use super::batch::Job;

pub struct Lane {
    /// How many threads may be in the lane at once: the turns of this file.
    turns: usize,
    /// How many jobs may wait; one more is refused.
    longest: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Job>>,
    /// Threads in the lane, or on their way to it.
    taken: usize,
}

/// What to do after a job has joined the lane.
pub enum Joined {
    /// A turn was free: send a thread.
    SendThread,
    /// All turns are taken: one of those threads will come to it.
    Waits,
    /// The lane is full; the job is handed back.
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

    /// The next jobs, at most `most`, for the thread that has a turn. An empty answer ends its turn.
    pub fn next(&self, most: usize) -> Vec<Box<dyn Job>> {
        let mut state = self.state();
        let many = state.waiting.len().min(most);
        if many == 0 {
            state.taken -= 1;
        }
        state.waiting.drain(..many).collect()
    }

    /// Jobs that no thread has come to yet.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock, so a poisoned one is as sound as any other.
        self.state.lock()
    }
}

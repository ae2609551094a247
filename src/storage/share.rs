//! A share of the threads of a pool. Tasks that count together, such as those for the workspaces of one account, run on
//! at most so many threads at once. Further tasks wait here and leave the other threads free.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::threads::{Task, Threads};

pub struct Share {
    most: usize,
    state: Mutex<ShareState>,
}

#[derive(Default)]
struct ShareState {
    running: usize,
    waiting: VecDeque<Task>,
}

/// A thread in use by the share. Dropping it starts the next task of the share or frees the thread.
struct ShareGuard {
    share: Arc<Share>,
    threads: Threads,
}

impl Share {
    /// A share of `most` threads.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), state: Mutex::default() })
    }

    /// A share of all threads of a pool but one, which stays free for others. A pool of one thread is shared whole.
    pub fn of(threads: usize) -> Arc<Self> {
        Self::new(threads.saturating_sub(1))
    }

    /// Runs a task on these threads as soon as the share has room.
    pub fn run(self: &Arc<Self>, threads: &Threads, task: impl FnOnce() + Send + 'static) {
        let task: Task = Box::new(task);
        let mut state = self.state();
        if state.running == self.most {
            state.waiting.push_back(task);
            return;
        }
        state.running += 1;
        drop(state);
        self.send(threads, task);
    }

    /// Tasks that wait for room.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn send(self: &Arc<Self>, threads: &Threads, task: Task) {
        let taken = ShareGuard { share: Arc::clone(self), threads: threads.clone() };
        threads.run(move || {
            let _taken = taken;
            task();
        });
    }

    fn state(&self) -> MutexGuard<'_, ShareState> {
        self.state.lock()
    }
}

impl Drop for ShareGuard {
    fn drop(&mut self) {
        let mut state = self.share.state();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.running -= 1;
        }
        drop(state);
        if let Some(next) = next {
            self.share.send(&self.threads, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_share_leaves_threads_to_others_and_all_of_it_is_done_in_the_end() {
        let threads = Threads::start("tested", 2, &Arc::default()).unwrap();
        let (hog, other) = (Share::new(1), Share::new(1));
        let (begun, begins) = channel();
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for n in 0..3 {
            let (begun, held) = (begun.clone(), Arc::clone(&held));
            hog.run(&threads, move || {
                begun.send(n).unwrap();
                let _ = held.lock().recv();
                assert_ne!(n, 1, "on purpose: a panic frees its thread too");
            });
        }
        assert_eq!(begins.recv(), Ok(0));
        assert_eq!(hog.waiting(), 2);
        let (told, done) = channel();
        other.run(&threads, move || told.send(()).unwrap());
        done.recv().unwrap();
        assert!(begins.try_recv().is_err(), "the other tasks of the share wait");
        drop(release);
        assert_eq!(begins.iter().take(2).collect::<Vec<_>>(), [1, 2]);
    }
}

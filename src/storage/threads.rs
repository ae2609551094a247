//! Threads that live as long as the process. A supervisor counts their panics and knows which threads have ended.
//! Thread pools run tasks in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Share;
use super::batch::Fault;

/// Enough for SQLite and a handler, and less than a huge page: a thread with a huge-page stack holds all of it in
/// memory.
pub const STACK: usize = 1024 * 1024;

/// The kind of the threads that work in turns.
pub const DATABASE_THREADS: &str = "database";

/// State of the threads of an instance.
#[derive(Default)]
pub struct Supervisor(Mutex<ThreadHealth>);

#[derive(Default)]
struct ThreadHealth {
    /// Threads that have ended.
    missing: BTreeSet<String>,
    /// Caught panics, by kind of thread.
    panics: BTreeMap<&'static str, u64>,
}

/// Marks a running thread. Dropping it reports the thread as missing.
struct Alive {
    name: String,
    supervisor: Arc<Supervisor>,
}

impl Supervisor {
    /// Starts a thread that is to run as long as the process.
    pub fn spawn(self: &Arc<Self>, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let alive = Alive { name: name.clone(), supervisor: Arc::clone(self) };
        thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
            let _alive = alive;
            body();
        })?;
        Ok(())
    }

    /// Runs one round or one task of such a thread. A panic is counted, and the thread continues.
    pub fn run<T>(&self, kind: &'static str, work: impl FnOnce() -> T) -> Result<T, Fault> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            *self.known().panics.entry(kind).or_default() += 1;
            Fault::panicked(&*panic)
        })
    }

    /// Names of threads that have ended.
    pub fn missing_threads(&self) -> Vec<String> {
        self.known().missing.iter().cloned().collect()
    }

    /// Caught panics, by kind of thread.
    pub fn panics(&self) -> BTreeMap<&'static str, u64> {
        self.known().panics.clone()
    }

    fn known(&self) -> MutexGuard<'_, ThreadHealth> {
        self.0.lock()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.supervisor.known().missing.insert(std::mem::take(&mut self.name));
    }
}

pub(super) type Task = Box<dyn FnOnce() + Send>;

/// Threads for blocking work. They end when the last clone of this is dropped and all submitted tasks are done.
#[derive(Clone)]
pub struct Threads(Arc<Submitter>);

/// The tasks of a pool, and its threads that wait for one.
struct TaskQueue {
    state: Mutex<QueueState>,
    /// One for each thread.
    wakers: Vec<Condvar>,
}

#[derive(Default)]
struct QueueState {
    tasks: VecDeque<Task>,
    /// The waiting threads. The last one has worked last, so it gets the next task: its caches are still warm.
    idle: Vec<usize>,
    is_closed: bool,
}

/// Closes the queue when dropped.
struct Submitter(Arc<TaskQueue>);

impl Threads {
    pub fn start(name: &'static str, count: usize, supervisor: &Arc<Supervisor>) -> io::Result<Self> {
        let wakers = (0..count).map(|_| Condvar::new()).collect();
        let queue = Arc::new(TaskQueue { state: Mutex::default(), wakers });
        let threads = Self(Arc::new(Submitter(Arc::clone(&queue))));
        for n in 0..count {
            let (queue, panics) = (Arc::clone(&queue), Arc::clone(supervisor));
            supervisor.spawn(format!("{name}-{n}"), move || {
                while let Some(task) = queue.next(n) {
                    let _ = panics.run(name, task);
                }
            })?;
        }
        Ok(threads)
    }

    pub fn run(&self, task: impl FnOnce() + Send + 'static) {
        self.0.0.add(Box::new(task));
    }

    /// Runs a task within a share of these threads, if there is one.
    pub fn run_within(&self, share: Option<&Arc<Share>>, task: impl FnOnce() + Send + 'static) {
        match share {
            Some(share) => share.run(self, task),
            None => self.run(task),
        }
    }

    /// Tasks that wait before a new one within this share.
    pub fn waiting_within(&self, share: Option<&Arc<Share>>) -> usize {
        self.waiting().max(share.map_or(0, |share| share.waiting()))
    }

    /// Tasks that no thread has taken yet.
    pub fn waiting(&self) -> usize {
        self.0.0.state.lock().tasks.len()
    }
}

impl TaskQueue {
    fn add(&self, task: Task) {
        let idle = {
            let mut state = self.state.lock();
            state.tasks.push_back(task);
            state.idle.pop()
        };
        if let Some(n) = idle {
            self.wakers[n].notify_one();
        }
    }

    /// The next task for a thread, once there is one. `None` ends the thread.
    fn next(&self, n: usize) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            if state.is_closed {
                return None;
            }
            state.idle.push(n);
            // The caller that removes this thread from `idle` wakes it.
            self.wakers[n].wait(&mut state);
        }
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        for n in std::mem::take(&mut state.idle) {
            self.0.wakers[n].notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_panic_ends_no_thread_and_is_counted() {
        let supervisor = Arc::new(Supervisor::default());
        let threads = Threads::start("tested", 1, &supervisor).unwrap();
        for _ in 0..3 {
            threads.run(|| panic!("on purpose"));
        }
        let (told, done) = channel();
        threads.run(move || told.send(()).unwrap());
        done.recv().unwrap();
        assert_eq!(supervisor.panics(), BTreeMap::from([("tested", 3)]));
        assert!(supervisor.missing_threads().is_empty());
    }

    #[test]
    fn a_thread_that_has_ended_is_missing() {
        let supervisor = Arc::new(Supervisor::default());
        let (begun, begins) = channel();
        let (end, ends) = channel::<()>();
        supervisor
            .spawn("tested".into(), move || {
                begun.send(()).unwrap();
                let _ = ends.recv();
                panic!("on purpose");
            })
            .unwrap();
        begins.recv().unwrap();
        assert!(supervisor.missing_threads().is_empty());
        drop(end);
        while supervisor.missing_threads().is_empty() {
            thread::yield_now();
        }
        assert_eq!(supervisor.missing_threads(), ["tested"]);
    }
}

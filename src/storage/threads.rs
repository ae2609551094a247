//! Threads that live as long as the process: supervised, so that a panic ends none of them and one that is missing is
//! known; and pools of them that run what they are handed, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::{Mutex, MutexGuard};

use super::batch::Fault;

/// Enough for SQLite and a handler, and less than a huge page: a thread that is given one holds all of it.
pub const STACK: usize = 1024 * 1024;

/// The kind of the threads that work in turns.
pub const DATABASE_THREADS: &str = "database";

/// What is known of the threads of an instance.
#[derive(Default)]
pub struct Supervisor(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Threads that have ended.
    missing: BTreeSet<String>,
    /// Panics that were caught, by the kind of thread.
    panics: BTreeMap<&'static str, u64>,
}

/// A thread that runs for as long as this is there.
struct Alive {
    name: String,
    supervisor: Arc<Supervisor>,
}

impl Supervisor {
    /// Starts a thread that is to run for as long as the process does.
    pub fn spawn(self: &Arc<Self>, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let alive = Alive { name: name.clone(), supervisor: Arc::clone(self) };
        thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
            let _alive = alive;
            body();
        })?;
        Ok(())
    }

    /// One round, or one task, of such a thread: a panic is counted, and the thread goes on.
    pub fn run<T>(&self, kind: &'static str, work: impl FnOnce() -> T) -> Result<T, Fault> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            *self.known().panics.entry(kind).or_default() += 1;
            Fault::panicked(&*panic)
        })
    }

    /// Threads that have ended, by name.
    pub fn missing(&self) -> Vec<String> {
        self.known().missing.iter().cloned().collect()
    }

    /// Panics that were caught, by the kind of thread.
    pub fn panics(&self) -> BTreeMap<&'static str, u64> {
        self.known().panics.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.supervisor.known().missing.insert(std::mem::take(&mut self.name));
    }
}

pub(super) type Task = Box<dyn FnOnce() + Send>;

/// Threads that blocking work runs on. They end when the last copy of this is dropped and what was handed over is done.
#[derive(Clone)]
pub struct Threads {
    queue: Sender<Task>,
}

impl Threads {
    pub fn start(name: &'static str, count: usize, supervisor: &Arc<Supervisor>) -> io::Result<Self> {
        let (queue, tasks) = unbounded::<Task>();
        for n in 0..count {
            let tasks: Receiver<Task> = tasks.clone();
            let panics = Arc::clone(supervisor);
            supervisor.spawn(format!("{name}-{n}"), move || {
                for task in tasks {
                    let _ = panics.run(name, task);
                }
            })?;
        }
        Ok(Self { queue })
    }

    pub fn run(&self, task: impl FnOnce() + Send + 'static) {
        // The receivers live as long as the sender: no task ends a thread.
        let _ = self.queue.send(Box::new(task));
    }

    /// Tasks that no thread has come to yet.
    pub fn waiting(&self) -> usize {
        self.queue.len()
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
        assert!(supervisor.missing().is_empty());
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
        assert!(supervisor.missing().is_empty());
        drop(end);
        while supervisor.missing().is_empty() {
            thread::yield_now();
        }
        assert_eq!(supervisor.missing(), ["tested"]);
    }
}

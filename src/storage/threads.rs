//! A fixed number of named threads that run what they are handed, in order.

use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Enough for SQLite and a handler, and less than a huge page: a thread that is given one holds all of it.
pub const STACK: usize = 1024 * 1024;

type Task = Box<dyn FnOnce() + Send>;

/// Threads that blocking work runs on. They end when the value is dropped and what was handed over is done.
pub struct Threads {
    queue: Sender<Task>,
}

impl Threads {
    pub fn start(name: &str, count: usize) -> std::io::Result<Self> {
        let (queue, tasks) = unbounded::<Task>();
        for n in 0..count {
            let tasks: Receiver<Task> = tasks.clone();
            thread::Builder::new()
                .name(format!("{name}-{n}"))
                .stack_size(STACK)
                .spawn(move || tasks.iter().for_each(|task| task()))?;
        }
        Ok(Self { queue })
    }

    pub fn run(&self, task: impl FnOnce() + Send + 'static) {
        // The receivers live as long as the sender: sending fails only where every thread has died, and none panics,
        // for whoever hands over a task catches what it may raise.
        let _ = self.queue.send(Box::new(task));
    }

    /// Tasks that no thread has come to yet.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}

//! The log writer. Lines go into a bounded queue, and a thread writes them to stderr, so logging never waits and never
//! fails. Lines that do not fit or cannot be written are dropped and counted.
//!
//! tracing-appender does the same, but if the writer is stuck at the end, its guard prints to stdout, which can itself
//! block or panic.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::storage::STACK;

/// Capacity of the queue, in lines.
const QUEUE: usize = 4096;

/// Longest wait for the queue at the end of the process.
const FAREWELL: Duration = Duration::from_secs(1);

/// Lines that this process dropped.
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum LogItem {
    Line(Vec<u8>),
    /// Signals when everything before it is written.
    Flush(Sender<()>),
}

#[derive(Clone)]
pub struct LogWriter(Sender<LogItem>);

/// On drop, waits up to `FAREWELL` until the queued lines are written.
pub struct LogGuard(Option<LogWriter>);

/// Lines dropped since the process started.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_line() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

impl LogWriter {
    /// Starts the thread that writes to stderr.
    pub fn start() -> io::Result<Self> {
        // Uses its own handle. The lock of the standard handle would be held while a write blocks.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (queue, items) = bounded(QUEUE);
        thread::Builder::new().name("log".into()).stack_size(STACK).spawn(move || write_all(stderr, &items))?;
        Ok(Self(queue))
    }

    fn flush(&self) {
        let (written, wait) = bounded(1);
        if self.0.try_send(LogItem::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(FAREWELL);
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(LogItem::Line(line.to_vec())).is_err() {
            drop_line();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogGuard {
    pub fn new(writer: Option<LogWriter>) -> Self {
        Self(writer)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some(writer) = &self.0 {
            writer.flush();
        }
    }
}

fn write_all(mut to: impl Write, items: &Receiver<LogItem>) {
    for item in items {
        match item {
            LogItem::Line(line) if to.write_all(&line).is_err() => drop_line(),
            LogItem::Line(_) => {}
            LogItem::Flush(written) => {
                let _ = written.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_room_is_dropped_and_counted_and_the_writer_never_waits() {
        let (queue, items) = bounded(2);
        let mut writer = LogWriter(queue);
        let before = dropped();
        for line in ["1", "2", "3", "4"] {
            assert_eq!(writer.write(line.as_bytes()).unwrap(), 1);
        }
        assert_eq!(dropped() - before, 2);
        let mut written = Vec::new();
        drop(writer);
        write_all(&mut written, &items);
        assert_eq!(written, b"12");
    }
}

//! The log writer. Lines go into a bounded buffer, and a thread writes the buffer to stderr, so logging never waits and
//! never fails. Lines that do not fit or cannot be written are dropped and counted.
//!
//! tracing-appender does the same, but if the writer is stuck at the end, its guard prints to stdout, which can itself
//! block or panic. It also wakes its thread for each line.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::storage::STACK;

/// Capacity of the buffer, in bytes: about 4,000 lines of requests.
const CAPACITY: usize = 1024 * 1024;

/// Time from the first line to its write. Lines that come meanwhile are written with it, for one wake-up and one system
/// call.
const GATHER: Duration = Duration::from_millis(5);

/// Longest wait for the buffer at the end of the process.
const FAREWELL: Duration = Duration::from_secs(1);

/// Lines that this process dropped.
static DROPPED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Default)]
pub struct LogWriter(Arc<LogBuffer>);

#[derive(Default)]
struct LogBuffer {
    state: Mutex<BufferState>,
    /// Wakes the thread.
    has_lines: Condvar,
    /// Wakes who waits for the end.
    is_written: Condvar,
}

#[derive(Default)]
struct BufferState {
    text: Vec<u8>,
    lines: u64,
    is_writing: bool,
}

/// On drop, waits up to `FAREWELL` until the lines are written.
pub struct LogGuard(Option<LogWriter>);

/// Lines dropped since the process started.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_lines(lines: u64) {
    DROPPED.fetch_add(lines, Ordering::Relaxed);
}

impl LogWriter {
    /// Starts the thread that writes to stderr.
    pub fn start() -> io::Result<Self> {
        // Uses its own handle. The lock of the standard handle would be held while a write blocks.
        let mut stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let writer = Self::default();
        let buffer = Arc::clone(&writer.0);
        let write_all = move || {
            let mut spare = Vec::new();
            loop {
                buffer.wait();
                thread::sleep(GATHER);
                spare = buffer.write_to(&mut stderr, spare);
            }
        };
        thread::Builder::new().name("log".into()).stack_size(STACK).spawn(write_all)?;
        Ok(writer)
    }

    fn flush(&self) {
        let mut state = self.0.state.lock();
        let end = Instant::now() + FAREWELL;
        while !state.text.is_empty() || state.is_writing {
            if self.0.is_written.wait_until(&mut state, end).timed_out() {
                return;
            }
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogBuffer {
    fn add(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.text.len() + line.len() > CAPACITY {
            drop(state);
            return drop_lines(1);
        }
        let is_first = state.text.is_empty();
        state.text.extend_from_slice(line);
        state.lines += 1;
        drop(state);
        if is_first {
            self.has_lines.notify_one();
        }
    }

    /// Waits until there are lines.
    fn wait(&self) {
        self.has_lines.wait_while(&mut self.state.lock(), |state| state.text.is_empty());
    }

    /// Writes all lines in one piece, while others gather in the `spare` buffer. Returns the written one, empty.
    fn write_to(&self, to: &mut impl Write, spare: Vec<u8>) -> Vec<u8> {
        let (mut text, lines) = {
            let mut state = self.state.lock();
            state.is_writing = true;
            (std::mem::replace(&mut state.text, spare), std::mem::take(&mut state.lines))
        };
        if to.write_all(&text).is_err() {
            drop_lines(lines);
        }
        text.clear();
        self.state.lock().is_writing = false;
        self.is_written.notify_all();
        text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_room_is_dropped_and_counted_and_the_writer_never_waits() {
        let mut writer = LogWriter::default();
        let before = dropped();
        let half = [vec![b'x'; CAPACITY / 2 - 1], b"\n".to_vec()].concat();
        for _ in 0..4 {
            assert_eq!(writer.write(&half).unwrap(), half.len());
        }
        assert_eq!(dropped() - before, 2);
        let mut written = Vec::new();
        let spare = writer.0.write_to(&mut written, Vec::new());
        assert_eq!(written, [half.clone(), half].concat());
        assert!(spare.is_empty());
        LogGuard::new(Some(writer.clone()));
        assert_eq!(writer.write(b"again\n").unwrap(), 6);
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_later_ones_are_tried_again() {
        let mut writer = LogWriter::default();
        let before = dropped();
        writer.write_all(b"1\n").unwrap();
        writer.write_all(b"2\n").unwrap();
        let spare = writer.0.write_to(&mut Broken, Vec::new());
        assert_eq!(dropped() - before, 2);
        writer.write_all(b"3\n").unwrap();
        let mut written = Vec::new();
        writer.0.write_to(&mut written, spare);
        assert_eq!(written, b"3\n");
    }
}

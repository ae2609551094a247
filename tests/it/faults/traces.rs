//! The system calls of a process in order, from `strace`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Process, not_run};
use crate::test_server::TestServer;

/// Calls that write, sync or set up sockets.
const WATCHED: &str =
    "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2,ftruncate,unlink,setsockopt";

/// A tracer attached to a test server.
pub struct Tracer {
    process: Process,
    folder: TempDir,
}

/// One system call, at its start or its end.
#[derive(Debug, Clone)]
pub struct Event {
    pub moment: Moment,
    pub call: String,
    /// The arguments, with paths for files.
    pub with: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Begun,
    Ended,
}

impl Tracer {
    /// Traces a server from now on. Returns `None`, with a message, if `strace` is missing or not allowed.
    pub fn of(server: &TestServer) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let process = strace(&folder.path().join("trace"))
            .args(["-p", &server.process().to_string()])
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut process) = process else {
            not_run("there is no strace, which sees what is written when");
            return None;
        };
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let is_attached = said.next().is_some_and(|line| line.is_ok_and(|line| line.contains("attached")));
        // strace reports each thread, and its pipe must be drained.
        std::thread::spawn(move || said.for_each(drop));
        let tracer = Self { process: Process(process), folder };
        if !is_attached {
            not_run("strace may not look at another process here");
            return None;
        }
        Some(tracer)
    }

    /// All events until the process exited.
    pub fn until_the_end(mut self) -> Vec<Event> {
        self.process.0.wait().unwrap();
        self.events()
    }

    /// All events until now.
    pub fn until_now(mut self) -> Vec<Event> {
        // SIGINT instead of SIGKILL, so that strace writes its output and detaches.
        let told = Command::new("sh").args(["-c", &format!("kill -INT {}", self.process.0.id())]).status().unwrap();
        assert!(told.success());
        self.process.0.wait().unwrap();
        self.events()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    fn events(&self) -> Vec<Event> {
        read(&self.path())
    }
}

/// Parses a line: `7 fsync(3</a>) = 0` is a complete call; `7 fsync(3</a> <unfinished ...>` is a start and `7 <...
/// fsync resumed>) = 0` its end, if other calls came in between.
fn events(line: &str) -> Vec<Event> {
    let Some((thread, rest)) = line.split_once(' ') else { return Vec::new() };
    let rest = rest.trim_start();
    if let Some(resumed) = rest.strip_prefix("<... ") {
        let call = resumed.split(' ').next().unwrap_or_default().to_owned();
        return vec![Event { moment: Moment::Ended, call, with: thread.to_owned() }];
    }
    let Some((call, with)) = rest.split_once('(') else { return Vec::new() };
    let event = |moment| Event { moment, call: call.to_owned(), with: format!("{thread} {with}") };
    match with.contains("<unfinished ...>") {
        true => vec![event(Moment::Begun)],
        false => vec![event(Moment::Begun), event(Moment::Ended)],
    }
}

/// All events of a command.
pub fn of_command(server: &TestServer, arguments: &[&str]) -> Option<Vec<Event>> {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let program = env!("CARGO_BIN_EXE_cx-engine");
    let data = server.data();
    match strace(&trace).arg(program).arg("--data-dir").arg(&data).args(arguments).output() {
        Ok(output) if output.status.success() => Some(read(&trace)),
        Ok(output) => panic!("{output:?}"),
        Err(_) => {
            not_run("there is no strace, which sees what is written when");
            None
        }
    }
}

/// Builds a `strace` command that writes to this file.
fn strace(trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "40", "-e", "signal=none", "-e", WATCHED, "-o"]).arg(trace);
    strace
}

fn read(trace: &Path) -> Vec<Event> {
    let lines = BufReader::new(File::open(trace).unwrap()).lines();
    joined(lines.flat_map(|line| events(&line.unwrap())).collect())
}

/// Adds the arguments from the start of a call to its end.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut joined: Vec<Event> = Vec::with_capacity(events.len());
    for mut event in events {
        if event.moment == Moment::Ended && !event.with.contains(' ') {
            let begun = |known: &&Event| {
                known.moment == Moment::Begun
                    && known.call == event.call
                    && known.with.split(' ').next() == Some(event.with.as_str())
            };
            if let Some(known) = joined.iter().rev().find(begun) {
                event.with = known.with.clone();
            }
        }
        joined.push(event);
    }
    joined
}

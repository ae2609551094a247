//! The program as a process: start it and wait until it listens, stop it or kill it; or run a command to its end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use crate::client::PATIENCE;

/// Cheapest password hashes, and no rate limit: a test logs in more often than a person.
const CHEAP_PASSWORDS: [(&str, &str); 3] =
    [("CX_PASSWORD_MEMORY_KIB", "64"), ("CX_PASSWORD_PASSES", "1"), ("CX_THROTTLE_ATTEMPTS", "0")];

/// The file for the program's stderr, in its working folder.
pub const LOG: &str = "log";

/// A process that serves. Killed when dropped.
pub struct Server {
    pub address: SocketAddr,
    /// The output before the listening line.
    pub greeting: String,
    process: Process,
    /// Kept open, so that later output has a reader.
    _stdout: BufReader<ChildStdout>,
}

/// A process, killed when dropped.
pub struct Process(pub Child);

/// The result of a command.
#[derive(Debug)]
pub struct Typed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Server {
    /// Starts a command that serves. Waits until it listens.
    pub fn start(command: Command, folder: &Path) -> Self {
        let log = fs::File::options().create(true).append(true).open(folder.join(LOG)).unwrap();
        Self::start_with_log(command, folder, log.into())
    }

    /// Like `start`, with another target for the log.
    pub fn start_with_log(mut command: Command, folder: &Path, log: Stdio) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process = Process(command.spawn().unwrap());
        let mut stdout = BufReader::new(process.0.stdout.take().unwrap());
        let mut greeting = String::new();
        loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                panic!("it does not serve: {}", fs::read_to_string(folder.join(LOG)).unwrap_or_default());
            }
            let listens = line.trim_end().strip_prefix("listening on ").and_then(|url| url.split_once("://"));
            if let Some((_, address)) = listens {
                return Self { address: address.parse().unwrap(), greeting, process, _stdout: stdout };
            }
            greeting += &line;
        }
    }

    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Sends a signal such as `TERM` or `KILL`. Does not wait for its effect.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits until the process has exited. A process that does not exit is killed, which its status shows.
    pub fn ended(&mut self) -> ExitStatus {
        within_patience(self.id(), || self.process.0.wait().unwrap())
    }

    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Typed {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Asserts exit code 1. Returns stderr.
    #[track_caller]
    pub fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.err
    }
}

impl Typed {
    /// Asserts exit code 2. Returns stderr.
    #[track_caller]
    pub fn wrong_use(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{self:?}");
        self.err
    }
}

/// The program in a folder, without settings from the environment or the machine.
pub fn program(folder: &Path) -> Command {
    let settings = folder.join("cx-engine.toml");
    if !settings.exists() {
        fs::write(settings, "").unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_cx-engine"));
    command.current_dir(folder).env_clear().envs(CHEAP_PASSWORDS);
    command
}

/// The same command in a network namespace, by util-linux' `nsenter`, which becomes the command.
pub fn within(namespace: &str, command: &Command) -> Command {
    let mut entering = Command::new("nsenter");
    entering.arg(format!("--net=/run/netns/{namespace}")).arg(command.get_program()).args(command.get_args());
    entering.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        entering.current_dir(folder);
    }
    entering
}

/// Runs a command to its end. A command that does not end, such as an unexpected server, is killed.
pub fn run(command: &mut Command, input: &str) -> Typed {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads no input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = within_patience(child.id(), || child.wait_with_output().unwrap());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Typed { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command on a terminal, by util-linux' `script`, and types the lines. `out` has all output.
pub fn run_on_terminal(command: &Command, lines: &str) -> Typed {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"));
    let words: Vec<String> = [command.get_program()].into_iter().chain(command.get_args()).map(quoted).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]).env_clear();
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
    if let Some(folder) = command.get_current_dir() {
        script.current_dir(folder);
    }
    run(&mut script, lines)
}

/// Sends a request over TLS with curl, which trusts this certificate.
pub fn curl(certificate: &Path, arguments: &[&str]) -> Typed {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--globoff", "--cacert"]).arg(certificate).args(arguments);
    run(&mut curl, "")
}

/// The path of a file of `packaging/`.
pub fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

/// The text of a document in the repository.
pub fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Ports of closed listeners. The system does not reuse them at once.
pub fn free_ports<const MANY: usize>() -> [u16; MANY] {
    let listeners = [(); MANY].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Prints on stderr that a test was not run, and why.
pub fn not_run(why: &str) {
    eprintln!("NOT RUN: {why}");
}

/// Waits for a process. Kills it after a time limit.
fn within_patience<T>(process: u32, wait: impl FnOnce() -> T) -> T {
    let (ended, waits) = channel::<()>();
    let watchdog = thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            signal(process, "KILL");
        }
    });
    let came = wait();
    drop(ended);
    watchdog.join().unwrap();
    came
}

/// Uses the shell's `kill`: the standard library sends only `KILL`.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(sent.success(), "SIG{name} to {process}");
}

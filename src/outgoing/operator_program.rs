//! Runs a program of the operator. One that takes too long is ended with all of its children.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};

/// Interval in which the end of a program is noticed.
const POLL: Duration = Duration::from_millis(5);

/// How a program ended.
pub struct EndedProgram {
    /// `None` if it took too long.
    pub status: Option<ExitStatus>,
    /// What it wrote to stderr.
    pub errors: File,
}

/// Whether a path is an executable file. Fails if it cannot be read.
pub fn is_executable(path: &Path) -> io::Result<bool> {
    let found = fs::metadata(path)?;
    Ok(found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Runs a program to its end. Its files are handed to it, so that no pipe can fill up.
pub fn run(
    program: &Path,
    arguments: &[&str],
    input: Stdio,
    output: Stdio,
    limit: Duration,
) -> anyhow::Result<EndedProgram> {
    let errors = tempfile::tempfile().context("cannot create a temporary file")?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(input)
        .stdout(output)
        .stderr(errors.try_clone()?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    Ok(EndedProgram { status: ended(child, limit)?, errors })
}

/// Waits for a child. After the limit, it is killed with its own children, and the result is `None`.
fn ended(mut child: Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let last = Instant::now() + limit;
    while Instant::now() < last {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A program that hangs holds nobody up, and its children end with it.
    #[test]
    fn a_program_that_does_not_end_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("child");
        let script = format!("sh -c 'echo $$ >{}; exec tail -f /dev/null' & wait", marker.display());
        let child = Command::new("sh").args(["-c", &script]).process_group(0).spawn().unwrap();
        while fs::read_to_string(&marker).map_or(true, |text| !text.ends_with('\n')) {
            thread::yield_now();
        }
        assert_eq!(ended(child, Duration::ZERO).unwrap(), None);
        let process = fs::read_to_string(&marker).unwrap();
        let status = PathBuf::from(format!("/proc/{}/stat", process.trim()));
        let has_ended = || fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        while !has_ended() {
            thread::yield_now();
        }
    }
}

//! A command that keeps objects elsewhere, for example in a folder that SFTP reaches.
//!
//! `COMMAND put NAME` stores its input, `COMMAND get NAME` prints an object, `COMMAND list` prints the names of all
//! objects, one on each line, and `COMMAND delete NAME` deletes one. An exit code other than 0 is a failure, and the last
//! line on stderr is the reason. A name with `.new` at its end is an object that is being written. A command that takes
//! too long is ended with all of its children.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::BackupTarget;

/// Time limit for a command, without the time for its data.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that even a slow command moves in a second.
const SLOWEST_RATE: u64 = 32 << 10;
/// Interval in which the end of a command is noticed.
const POLL: Duration = Duration::from_millis(5);
/// The longest list that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;
/// Bytes of the end of stderr that are read for the reason of a failure.
const MAX_REASON: u64 = 2000;

pub struct CommandHook(PathBuf);

impl CommandHook {
    /// Checks that there is such a program.
    pub fn open(target: &BackupTarget) -> anyhow::Result<Self> {
        let BackupTarget::Command(path) = target else { bail!("{target} is not a command") };
        let found = fs::metadata(path).with_context(|| format!("backup_to: cannot use {}", path.display()))?;
        let is_program = found.is_file() && found.permissions().mode() & 0o111 != 0;
        ensure!(is_program, "backup_to: {} is not executable: run chmod +x", path.display());
        Ok(Self(path.clone()))
    }

    pub fn put(&self, name: &str, path: &Path, bytes: u64) -> anyhow::Result<()> {
        let input = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.run(&["put", name], input.into(), Stdio::null(), bytes)
    }

    /// Reads an object of at most this many bytes into a file.
    pub fn get(&self, name: &str, bytes: u64, file: &File) -> anyhow::Result<()> {
        self.run(&["get", name], Stdio::null(), file.try_clone()?.into(), bytes)?;
        let found = file.metadata()?.len();
        ensure!(found <= bytes, "the command printed {found} bytes, more than were stored");
        Ok(())
    }

    pub fn list(&self) -> anyhow::Result<Vec<String>> {
        let mut output = tempfile::tempfile().context("cannot create a temporary file")?;
        self.run(&["list"], Stdio::null(), output.try_clone()?.into(), 0)?;
        output.rewind()?;
        let mut names = String::new();
        Read::take(&mut output, MAX_LIST).read_to_string(&mut names).context("the list is not UTF-8")?;
        Ok(names.lines().map(|line| line.trim().to_owned()).collect())
    }

    pub fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.run(&["delete", name], Stdio::null(), Stdio::null(), 0)
    }

    /// Runs the command to its end. Its files are handed to it, so that no pipe can fill up.
    fn run(&self, arguments: &[&str], input: Stdio, output: Stdio, bytes: u64) -> anyhow::Result<()> {
        let mut errors = tempfile::tempfile().context("cannot create a temporary file")?;
        let child = Command::new(&self.0)
            .args(arguments)
            .stdin(input)
            .stdout(output)
            .stderr(errors.try_clone()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", self.0.display()))?;
        let limit = PATIENCE + Duration::from_secs(bytes / SLOWEST_RATE);
        let Some(status) = ended(child, limit)? else {
            bail!("`{}` did not end within {} seconds", arguments.join(" "), limit.as_secs());
        };
        if status.success() {
            return Ok(());
        }
        bail!("`{}` failed ({status}): {}", arguments.join(" "), reason(&mut errors)?)
    }
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

/// The last line that a command wrote to stderr.
fn reason(errors: &mut File) -> anyhow::Result<String> {
    let length = errors.metadata()?.len();
    errors.seek(std::io::SeekFrom::Start(length.saturating_sub(MAX_REASON)))?;
    let mut text = Vec::new();
    Read::take(&mut *errors, MAX_REASON).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it gave no reason");
    Ok(last.chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that hangs holds nobody up, and its children end with it.
    #[test]
    fn a_command_that_does_not_end_is_ended_with_its_children() {
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

//! A command that keeps objects elsewhere, for example in a folder that SFTP reaches.
//!
//! `COMMAND put NAME` stores its input, `COMMAND get NAME` prints an object, `COMMAND list` prints the names of all
//! objects, one on each line, and `COMMAND delete NAME` deletes one. An exit code other than 0 is a failure, and the last
//! line on stderr is the reason. A name with `.new` at its end is an object that is being written. A command that takes
//! too long is ended with all of its children.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::BackupTarget;
use crate::outgoing::{self, EndedProgram};

/// Time limit for a command, without the time for its data.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that even a slow command moves in a second.
const SLOWEST_RATE: u64 = 32 << 10;
/// The longest list that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;
/// Bytes of the end of stderr that are read for the reason of a failure.
const MAX_REASON: u64 = 2000;

pub struct CommandHook(PathBuf);

impl CommandHook {
    /// Checks that there is such a program.
    pub fn open(target: &BackupTarget) -> anyhow::Result<Self> {
        let BackupTarget::Command(path) = target else { bail!("{target} is not a command") };
        let is_program =
            outgoing::is_executable(path).with_context(|| format!("backup_to: cannot use {}", path.display()))?;
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

    /// Runs the command to its end.
    fn run(&self, arguments: &[&str], input: Stdio, output: Stdio, bytes: u64) -> anyhow::Result<()> {
        let limit = PATIENCE + Duration::from_secs(bytes / SLOWEST_RATE);
        let EndedProgram { status, mut errors } = outgoing::run(&self.0, arguments, input, output, limit)?;
        let Some(status) = status else {
            bail!("`{}` did not end within {} seconds", arguments.join(" "), limit.as_secs());
        };
        if status.success() {
            return Ok(());
        }
        bail!("`{}` failed ({status}): {}", arguments.join(" "), reason(&mut errors)?)
    }
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

//! Sets DNS records by a program of the operator, for DNS-01 (RFC 8555, section 8.4).

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// Time limit for one call. A record must be visible everywhere when the program ends.
const LONGEST: Duration = Duration::from_secs(600);

/// Interval between two looks whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bytes of its errors to show.
const MOST_ERROR: u64 = 1000;

pub struct DnsHook(PathBuf);

impl DnsHook {
    /// Fails if there is no such program.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let data = path.metadata().with_context(|| format!("acme_dns_hook: cannot read {}", path.display()))?;
        let is_program = data.is_file() && data.permissions().mode() & 0o111 != 0;
        ensure!(is_program, "acme_dns_hook: {} is not an executable file", path.display());
        let path = path.canonicalize().with_context(|| format!("acme_dns_hook: cannot read {}", path.display()))?;
        Ok(Self(path))
    }

    /// Calls the program with `set` or `remove`, the name and the value of a TXT record. Waits until it ends.
    pub fn call(&self, action: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let mut errors = tempfile::tempfile()?;
        let mut command = Command::new(&self.0);
        command.args([action, name, value]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?);
        let mut process = command.spawn().with_context(|| format!("{} cannot be started", self.0.display()))?;
        let ended = wait(&mut process);
        let mut said = String::new();
        errors.seek(SeekFrom::Start(0))?;
        // Text in another encoding is left out.
        let _ = errors.take(MOST_ERROR).read_to_string(&mut said);
        match ended? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{} {action} failed ({status}): {}", self.0.display(), said.trim()),
            None => bail!("{} {action} did not end within {} s", self.0.display(), LONGEST.as_secs()),
        }
    }
}

/// Waits for a program, and kills it after the time limit.
fn wait(process: &mut Child) -> anyhow::Result<Option<ExitStatus>> {
    let last = Instant::now() + LONGEST;
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > last {
            process.kill()?;
            process.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

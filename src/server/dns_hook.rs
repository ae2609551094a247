//! Sets DNS records by a program of the operator, for DNS-01 (RFC 8555, section 8.4).

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::outgoing::{self, EndedProgram};

/// Time limit for one call. A record must be visible everywhere when the program ends.
const LONGEST: Duration = Duration::from_secs(600);

/// Bytes of its errors to show.
const MOST_ERROR: u64 = 1000;

pub struct DnsHook(PathBuf);

impl DnsHook {
    /// Fails if there is no such program.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let unreadable = || format!("acme_dns_hook: cannot read {}", path.display());
        let is_program = outgoing::is_executable(path).with_context(unreadable)?;
        ensure!(is_program, "acme_dns_hook: {} is not an executable file", path.display());
        let path = path.canonicalize().with_context(unreadable)?;
        Ok(Self(path))
    }

    /// Calls the program with `set` or `remove`, the name and the value of a TXT record. Waits until it ends.
    pub fn call(&self, action: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let arguments = [action, name, value];
        let ended = outgoing::run(&self.0, &arguments, Stdio::null(), Stdio::null(), LONGEST)?;
        let EndedProgram { status, mut errors } = ended;
        let mut said = String::new();
        errors.seek(SeekFrom::Start(0))?;
        // Text in another encoding is left out.
        let _ = errors.take(MOST_ERROR).read_to_string(&mut said);
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{} {action} failed ({status}): {}", self.0.display(), said.trim()),
            None => bail!("{} {action} did not end within {} s", self.0.display(), LONGEST.as_secs()),
        }
    }
}

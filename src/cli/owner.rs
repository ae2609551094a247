//! Checks the owner of a data directory. Files that root creates there, even the WAL of a file that it only reads,
//! would belong to root, and the server's user could not open them. So root is rejected before anything is opened, and
//! gets a hint.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::bail;

const ROOT: u32 = 0;

/// Rejects root if the directory or its central file belongs to another user. Missing paths are fine.
pub fn check(data: &Path) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for path in [data, &data.join("central.sqlite")] {
        let owner = fs::metadata(path).map_or(ROOT, |found| found.uid());
        if owner != ROOT {
            let user = name(owner).unwrap_or_else(|| format!("'#{owner}'"));
            bail!(
                "{} belongs to {user}, who could not open files that root creates there: run `sudo -u {user} cx-engine …`",
                path.display()
            );
        }
    }
    Ok(())
}

/// The name of a user in `/etc/passwd`. `sudo` accepts the number of any other user.
fn name(owner: u32) -> Option<String> {
    let known = fs::read_to_string("/etc/passwd").ok()?;
    let owner = owner.to_string();
    let line = known.lines().find(|line| line.split(':').nth(2) == Some(&owner))?;
    line.split(':').next().map(str::to_owned)
}

//! Whose a data directory is. What root makes in that of another user, a log beside a file that it only reads too, is root's,
//! and the server of that user cannot open it: so root is refused before anything is opened, and told what to type.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::bail;

const ROOT: u32 = 0;

/// Refuses root where the directory, or the central file in it, is another user's. What is not there yet is nobody's.
pub fn check(data: &Path) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for path in [data, &data.join("central.sqlite")] {
        let owner = fs::metadata(path).map_or(ROOT, |found| found.uid());
        if owner != ROOT {
            let user = name(owner).unwrap_or_else(|| format!("'#{owner}'"));
            bail!(
                "{} belongs to {user}, who could not open what root makes there: type `sudo -u {user} cx-engine …`",
                path.display()
            );
        }
    }
    Ok(())
}

/// The name of a user that the machine itself knows; `sudo` takes the number of any other.
fn name(owner: u32) -> Option<String> {
    let known = fs::read_to_string("/etc/passwd").ok()?;
    let owner = owner.to_string();
    let line = known.lines().find(|line| line.split(':').nth(2) == Some(&owner))?;
    line.split(':').next().map(str::to_owned)
}

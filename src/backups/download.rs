//! Fetches a backup, or a part of it, from a place outside this machine, and decrypts it into a folder.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use uuid::Uuid;

use super::remote_backups::part_name;
use super::{Backup, CENTRAL, KEYS, MANIFEST, RemoteBackup, RemoteRepository, WORKSPACES};
use crate::durable_fs;
use crate::offsite::{Identities, PartReader};

/// Decides by the manifest which files of a backup are fetched.
pub type Choice<'c> = &'c dyn Fn(&Backup) -> Fetch;

/// The files that are fetched.
pub enum Fetch {
    Everything,
    /// Only these paths, relative to the folder of the backup.
    Files(HashSet<String>),
}

impl RemoteRepository {
    /// Fetches a backup into a folder below `place`, which is empty and temporary. Without all files, the result can
    /// only unpack those that were chosen. `progress` gets the bytes that were read.
    pub fn fetch(
        &self,
        remote: &RemoteBackup,
        identities: &Identities,
        place: &Path,
        choose: Choice<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<Backup> {
        let name = |number| part_name(&remote.name, number);
        let parts = PartReader::new(&self.destination, &name, &remote.manifest.parts, place.join("part"), progress);
        let stream = identities.decrypt(parts, &remote.manifest.recipients)?;
        let folder = place.join(&remote.name);
        for folder in [&folder, &folder.join(KEYS), &folder.join(WORKSPACES)] {
            durable_fs::create_private_folder(folder)?;
        }
        unpack(stream, &folder, choose).with_context(|| format!("cannot read the backup {}", remote.name))
    }

    /// Reads all parts of a backup and verifies their checksums, without a key. Returns the problems.
    pub fn verify(
        &self,
        remote: &RemoteBackup,
        place: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<Vec<String>> {
        let name = |number| part_name(&remote.name, number);
        PartReader::new(&self.destination, &name, &remote.manifest.parts, place.join("part"), progress).verify()
    }
}

/// Unpacks the chosen files of an archive. Anyone with the public key can make an archive, so only files of a backup are
/// written.
fn unpack(stream: impl Read, folder: &Path, choose: Choice<'_>) -> anyhow::Result<Backup> {
    let mut archive = tar::Archive::new(stream);
    let mut found: Option<(Backup, Fetch)> = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_str().map(str::to_owned).context("the archive has a name that is not UTF-8")?;
        ensure!(
            entry.header().entry_type().is_file() && is_file_of_backup(&path),
            "the archive has an unknown {path:?}"
        );
        match &mut found {
            None => {
                ensure!(path == MANIFEST, "the archive does not begin with {MANIFEST}");
                write(&mut entry, &folder.join(&path))?;
                let backup = Backup::open(folder.to_owned())?;
                let wanted = choose(&backup);
                found = Some((backup, wanted));
            }
            Some((_, Fetch::Everything)) => write(&mut entry, &folder.join(&path))?,
            Some((_, Fetch::Files(wanted))) => {
                if wanted.remove(&path) {
                    write(&mut entry, &folder.join(&path))?;
                }
            }
        }
        if let Some((backup, Fetch::Files(_))) = found.take_if(|(_, wanted)| is_done(wanted)) {
            return Ok(backup);
        }
    }
    match found {
        Some((backup, Fetch::Everything)) => {
            // The end of the stream shows that nothing was cut off.
            io::copy(&mut archive.into_inner(), &mut io::sink())?;
            Ok(backup)
        }
        Some((_, Fetch::Files(missing))) => bail!("it lacks {}", missing.into_iter().collect::<Vec<_>>().join(", ")),
        None => bail!("the archive is empty"),
    }
}

fn is_done(wanted: &Fetch) -> bool {
    matches!(wanted, Fetch::Files(left) if left.is_empty())
}

fn write(entry: &mut impl Read, to: &Path) -> anyhow::Result<()> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(to);
    let mut file = file.with_context(|| format!("cannot write {}", to.display()))?;
    // The error is of the archive or of the disk, and says which.
    io::copy(entry, &mut file)?;
    Ok(())
}

/// Whether a path is one of a backup, so that it cannot lead out of the folder.
fn is_file_of_backup(path: &str) -> bool {
    match path.split_once('/') {
        None => [MANIFEST, CENTRAL].contains(&path),
        Some((KEYS, name)) => !name.is_empty() && name != "." && name != ".." && !name.contains('/'),
        Some((WORKSPACES, name)) => name.strip_suffix(".sqlite.zst").is_some_and(|id| id.parse::<Uuid>().is_ok()),
        Some(_) => false,
    }
}

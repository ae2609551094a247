//! Takes a backup while a server may run, without using its lanes and without migrating anything.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use uuid::Uuid;

use super::{
    Backup, CENTRAL, KEYS, MANIFEST, Manifest, Packed, PackedWorkspace, Repository, WORKSPACES, WorkspaceFailure,
    unfinished,
};
use crate::central::workspace_rows::{self, Workspace};
use crate::cluster::{self, NodeDirectory, Owner, StoreLog};
use crate::durable_fs;
use crate::storage::{self, Contents, DiskError};
use crate::tenancy::{InstanceTempDir, lifecycle};
use crate::values::Timestamp;

/// What to back up.
pub enum BackupScope<'a> {
    Everything,
    /// One workspace, by its subdomain or id.
    Workspace(&'a str),
}

/// Maximum attempts to copy a file that is being moved into or out of the trash.
const TRIES: usize = 5;

/// Takes a backup and verifies each file of it. When this returns, the backup is complete, or there is none. Unreadable
/// workspaces are listed as failures. `progress` gets the number of finished workspaces and the total.
pub fn take(
    data: &Path,
    log: Option<&StoreLog>,
    repository: &Repository,
    scope: BackupScope<'_>,
    now: Timestamp,
    progress: impl FnMut(usize, usize),
) -> anyhow::Result<Backup> {
    ensure!(
        log.is_some() || !cluster::is_shared(data),
        "several nodes serve this instance, and this one does not have all files: take the backup in the console"
    );
    let _claim = repository.lock()?;
    let before = repository.all()?;
    let own = repository.list()?.own;
    let temp_dir = InstanceTempDir::new(data)?;
    let central = data.join("central.sqlite");
    let copy = temp_dir.file("central.sqlite");
    let contents = storage::copy(&central, &copy)?;
    let mut wanted = workspace_rows::all(&storage::open_reader(&copy)?)?;
    let manifest = Manifest::new(repository.instance(), now, &before);
    let mut name = manifest.name();
    if let BackupScope::Workspace(which) = scope {
        let found =
            workspace_rows::named(wanted, which).with_context(|| format!("there is no such workspace: {which}"))?;
        name = format!("{name}-{}", found.0.subdomain);
        wanted = vec![found];
    }
    let folder = repository.folder().join(&name);
    let making = BackupInProgress { data, log, folder: unfinished(&folder), temp_dir, older: PreviousBackup::of(&own) };
    let central = matches!(scope, BackupScope::Everything).then_some((copy.as_path(), contents));
    let made = making.write_contents(manifest, central, wanted, progress).and_then(|manifest| {
        making.commit(&manifest, &folder)?;
        Ok(manifest)
    });
    if made.is_err() {
        // Free the space, because the disk may be full. If this fails, the next backup deletes the folder.
        let _ = fs::remove_dir_all(&making.folder);
    }
    Ok(Backup { manifest: made?, name, folder })
}

/// A backup in progress.
struct BackupInProgress<'a> {
    data: &'a Path,
    /// If a store keeps the files.
    log: Option<&'a StoreLog>,
    folder: PathBuf,
    temp_dir: InstanceTempDir,
    older: PreviousBackup<'a>,
}

/// The newest packed files in older backups. A file may be unchanged since then.
#[derive(Default)]
struct PreviousBackup<'a> {
    central: Option<(&'a Path, &'a Packed)>,
    workspaces: HashMap<Uuid, (&'a Path, &'a Packed)>,
}

impl<'a> PreviousBackup<'a> {
    /// Reads backups that are in order, oldest first.
    fn of(backups: &'a [Backup]) -> Self {
        let mut older = Self::default();
        for backup in backups {
            let folder = backup.folder.as_path();
            older.central = backup.manifest.central.as_ref().map(|packed| (folder, packed)).or(older.central);
            let workspaces = backup.manifest.workspaces.iter();
            older.workspaces.extend(workspaces.map(|workspace| (workspace.id, (folder, &workspace.file))));
        }
        older
    }
}

impl BackupInProgress<'_> {
    /// Packs all files. Without `central`, only the workspaces.
    fn write_contents(
        &self,
        mut manifest: Manifest,
        central: Option<(&Path, Contents)>,
        wanted: Vec<(Workspace, String)>,
        mut progress: impl FnMut(usize, usize),
    ) -> anyhow::Result<Manifest> {
        durable_fs::create_private_folder(&self.folder)?;
        durable_fs::create_private_folder(&self.folder.join(WORKSPACES))?;
        if let Some((copy, contents)) = central {
            manifest.central = Some(self.store(copy, contents, CENTRAL.into(), self.older.central)?);
        }
        let (count, is_everything) = (wanted.len(), manifest.central.is_some());
        for (n, (workspace, owner)) in wanted.into_iter().enumerate() {
            progress(n, count);
            let Workspace { id, name, subdomain, status, .. } = workspace;
            let problem = match self.workspace(id) {
                Ok(Some(file)) => {
                    manifest.workspaces.push(PackedWorkspace { id, name, subdomain, status, owner, file });
                    continue;
                }
                // The workspace was in the trash, and was deleted after the central file was copied.
                Ok(None) if status == "trashed" => continue,
                Ok(None) => "its file is missing".into(),
                Err(error) => match DiskError::of(&error) {
                    Some(DiskError::Full | DiskError::ReadOnly) => return Err(error),
                    _ => format!("{error:#}"),
                },
            };
            manifest.failures.push(WorkspaceFailure { id, subdomain, problem });
        }
        progress(count, count);
        if let (false, [failure]) = (is_everything, manifest.failures.as_slice()) {
            bail!("{}: {}", failure.subdomain, failure.problem);
        }
        if is_everything {
            // Copy the keys last, so that they include each key that encrypted data in the copies above.
            let keys = self.folder.join(KEYS);
            durable_fs::create_private_folder(&keys)?;
            copy_keys(&self.data.join(KEYS), &keys)?;
        }
        Ok(manifest)
    }

    /// Packs the file of a workspace. `None` if there is no such file.
    fn workspace(&self, id: Uuid) -> anyhow::Result<Option<Packed>> {
        let copy = self.temp_dir.file("copy.sqlite");
        let kept = self.copy(id, &copy).and_then(|contents| {
            let keep = |contents| {
                let path = format!("{WORKSPACES}/{id}.sqlite.zst");
                self.store(&copy, contents, path, self.older.workspaces.get(&id).copied())
            };
            contents.map(keep).transpose()
        });
        lifecycle::delete_file(&copy)?;
        kept
    }

    /// Copies a workspace file, or builds it from the store if another node serves it.
    fn copy(&self, id: Uuid, to: &Path) -> anyhow::Result<Option<Contents>> {
        match self.log.filter(|log| log.owner_of_workspace(id) != Owner::ThisNode) {
            Some(log) => match log.build_copy(id, to)? {
                true => Ok(Some(storage::contents(&storage::open_reader(to)?)?)),
                false => Ok(None),
            },
            None => self.copy_local(id, to),
        }
    }

    /// Copies a workspace file from its place in service or in the trash. A copy is discarded if the file moved
    /// meanwhile, since it may lack the content of the WAL.
    fn copy_local(&self, id: Uuid, to: &Path) -> anyhow::Result<Option<Contents>> {
        let places = [lifecycle::live_path(self.data, id), lifecycle::trash_path(self.data, id)];
        for _ in 0..TRIES {
            let Some((place, file)) = places.iter().find_map(|place| Some((place, inode(place)?))) else { continue };
            let copied = storage::copy(place, to);
            if inode(place) == Some(file) {
                return copied.map(Some);
            }
            lifecycle::delete_file(to)?;
        }
        Ok(None)
    }

    /// Packs a copy and verifies the packed file.
    fn store(
        &self,
        copy: &Path,
        contents: Contents,
        path: String,
        older: Option<(&Path, &Packed)>,
    ) -> anyhow::Result<Packed> {
        let to = self.folder.join(&path);
        let packed = Packed::pack(copy, contents, &self.folder, path, older)?;
        if let Err(error) = packed.verify(&self.folder, &self.temp_dir) {
            fs::remove_file(&to).with_context(|| format!("cannot delete {}", to.display()))?;
            return Err(error);
        }
        Ok(packed)
    }

    /// Writes the manifest and renames the folder. From then on it is a backup, and on disk.
    fn commit(&self, manifest: &Manifest, folder: &Path) -> anyhow::Result<()> {
        create_private_file(&self.folder.join(MANIFEST), &serde_json::to_vec_pretty(manifest)?)?;
        durable_fs::sync(&self.folder.join(WORKSPACES))?;
        durable_fs::rename(&self.folder, folder)
    }
}

/// Copies keys to another folder. Only the owner can read the copies.
pub(super) fn copy_keys(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let key = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
        create_private_file(&to.join(entry.file_name()), &key)?;
    }
    durable_fs::sync(to)
}

fn create_private_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    durable_fs::create_private_file(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// The inode of the file at a path, if there is one.
fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.ino())
}

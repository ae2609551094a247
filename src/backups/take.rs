//! Takes a backup while a server may run, without using its lanes and without migrating anything.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use uuid::Uuid;

use super::{
    Backup, CENTRAL, Failure, KEYS, MANIFEST, Manifest, Packed, PackedWorkspace, Repository, WORKSPACES, unfinished,
};
use crate::central::workspaces::{self, Workspace};
use crate::durable_fs;
use crate::storage::{self, Ailment, Contents};
use crate::tenancy::{Scratch, life};
use crate::values::Timestamp;

/// What to back up.
pub enum Scope<'a> {
    Everything,
    /// One workspace, by its subdomain or id.
    Workspace(&'a str),
}

/// How often to look for a file that is being moved into or out of the trash.
const TRIES: usize = 5;

/// Takes a backup and verifies each file of it. When this returns, the backup is complete, or there is none. Unreadable
/// workspaces are listed as failures. `progress` gets the number of finished workspaces and the total.
pub fn take(
    data: &Path,
    repository: &Repository,
    scope: Scope<'_>,
    now: Timestamp,
    progress: impl FnMut(usize, usize),
) -> anyhow::Result<Backup> {
    let _claim = repository.claim()?;
    let before = repository.all()?;
    let own = repository.sorted()?.own;
    let scratch = Scratch::new(data)?;
    let central = data.join("central.sqlite");
    let copy = scratch.file("central.sqlite");
    let contents = storage::copy(&central, &copy)?;
    let mut wanted = workspaces::all(&storage::open_reader(&copy)?)?;
    let manifest = Manifest::new(repository.instance(), now, &before);
    let mut name = manifest.name();
    if let Scope::Workspace(which) = scope {
        let found = workspaces::named(wanted, which).with_context(|| format!("there is no such workspace: {which}"))?;
        name = format!("{name}-{}", found.0.subdomain);
        wanted = vec![found];
    }
    let folder = repository.folder().join(&name);
    let making = Making { data, folder: unfinished(&folder), scratch, older: Older::of(&own) };
    let central = matches!(scope, Scope::Everything).then_some((copy.as_path(), contents));
    let made = making.fill(manifest, central, wanted, progress).and_then(|manifest| {
        making.settle(&manifest, &folder)?;
        Ok(manifest)
    });
    if made.is_err() {
        // On a full disk this space is needed. The next backup deletes what cannot be deleted now.
        let _ = fs::remove_dir_all(&making.folder);
    }
    Ok(Backup { manifest: made?, name, folder })
}

/// A backup in progress.
struct Making<'a> {
    data: &'a Path,
    folder: PathBuf,
    scratch: Scratch,
    older: Older<'a>,
}

/// The newest packed files in older backups. A file may be unchanged since then.
#[derive(Default)]
struct Older<'a> {
    central: Option<(&'a Path, &'a Packed)>,
    workspaces: HashMap<Uuid, (&'a Path, &'a Packed)>,
}

impl<'a> Older<'a> {
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

impl Making<'_> {
    /// Packs all files. Without `central`, only the workspaces.
    fn fill(
        &self,
        mut manifest: Manifest,
        central: Option<(&Path, Contents)>,
        wanted: Vec<(Workspace, String)>,
        mut progress: impl FnMut(usize, usize),
    ) -> anyhow::Result<Manifest> {
        durable_fs::create_private_folder(&self.folder)?;
        durable_fs::create_private_folder(&self.folder.join(WORKSPACES))?;
        if let Some((copy, contents)) = central {
            manifest.central = Some(self.keep(copy, contents, CENTRAL.into(), self.older.central)?);
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
                Err(error) => match Ailment::of(&error) {
                    Some(Ailment::NoRoom | Ailment::NotWritable) => return Err(error),
                    _ => format!("{error:#}"),
                },
            };
            manifest.failures.push(Failure { id, subdomain, problem });
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
        let copy = self.scratch.file("copy.sqlite");
        let kept = self.copy(id, &copy).and_then(|contents| {
            let keep = |contents| {
                let path = format!("{WORKSPACES}/{id}.sqlite.zst");
                self.keep(&copy, contents, path, self.older.workspaces.get(&id).copied())
            };
            contents.map(keep).transpose()
        });
        life::delete_file(&copy)?;
        kept
    }

    /// Copies a workspace file from its place in service or in the trash. A copy is discarded if the file moved
    /// meanwhile, since it may lack the content of the WAL.
    fn copy(&self, id: Uuid, to: &Path) -> anyhow::Result<Option<Contents>> {
        let places = [life::live_path(self.data, id), life::trash_path(self.data, id)];
        for _ in 0..TRIES {
            let Some((place, file)) = places.iter().find_map(|place| Some((place, inode(place)?))) else { continue };
            let copied = storage::copy(place, to);
            if inode(place) == Some(file) {
                return copied.map(Some);
            }
            life::delete_file(to)?;
        }
        Ok(None)
    }

    /// Packs a copy and verifies the packed file.
    fn keep(
        &self,
        copy: &Path,
        contents: Contents,
        path: String,
        older: Option<(&Path, &Packed)>,
    ) -> anyhow::Result<Packed> {
        let to = self.folder.join(&path);
        let packed = Packed::pack(copy, contents, &self.folder, path, older)?;
        if let Err(error) = packed.verify(&self.folder, &self.scratch) {
            fs::remove_file(&to).with_context(|| format!("cannot delete {}", to.display()))?;
            return Err(error);
        }
        Ok(packed)
    }

    /// Writes the manifest and renames the folder. From then on it is a backup, and on disk.
    fn settle(&self, manifest: &Manifest, folder: &Path) -> anyhow::Result<()> {
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

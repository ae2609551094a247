//! Restores a complete backup into an empty folder, for a server that does not run yet.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use super::take::copy_keys;
use super::{Backup, CENTRAL, KEYS};
use crate::durable_fs;
use crate::storage::{self, FileKind};
use crate::tenancy::lifecycle;

/// Fails unless a folder is new or empty.
pub fn require_free(data: &Path) -> anyhow::Result<()> {
    let is_free = !data.exists() || fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(is_free, "{} is not empty: restore the backup into a new folder", data.display());
    Ok(())
}

/// Creates a data directory from a complete backup. Each file is verified. The central file comes last: without it, no
/// server can use the folder. `progress` gets the number of finished workspaces.
pub fn restore(backup: &Backup, data: &Path, mut progress: impl FnMut(usize)) -> anyhow::Result<()> {
    let name = &backup.name;
    let central = backup.manifest.central.as_ref();
    let central =
        central.with_context(|| format!("{name} is the backup of one workspace: restore it into an instance"))?;
    for (what, kind, packed) in backup.files() {
        let (found, known) = (packed.contents.version, kind.version());
        ensure!(found <= known, "{what} has version {found}, but this program supports {known}: run a newer cx-engine");
    }
    require_free(data)?;
    durable_fs::create_private_folder(data)?;
    let keys = data.join(KEYS);
    durable_fs::create_private_folder(&keys)?;
    copy_keys(&backup.folder.join(KEYS), &keys)?;
    // A server must not migrate files with triggers of an attacker.
    let templates = tempfile::tempdir_in(data).context("cannot write to the new folder")?;
    for (n, workspace) in backup.manifest.workspaces.iter().enumerate() {
        progress(n);
        let path = match workspace.status.as_str() {
            "trashed" => lifecycle::trash_path(data, workspace.id),
            _ => lifecycle::live_path(data, workspace.id),
        };
        durable_fs::create_folder(durable_fs::folder_of(&path)?)?;
        backup.unpack(&workspace.file, &path).with_context(|| format!("cannot restore {}", workspace.subdomain))?;
        let verified = storage::verify_schema(&path, FileKind::Workspace, templates.path());
        verified.with_context(|| format!("{} is not a workspace file", workspace.subdomain))?;
        durable_fs::sync(durable_fs::folder_of(&path)?)?;
    }
    drop(templates);
    let unfinished = data.join(CENTRAL);
    backup.unpack(central, &unfinished).context("cannot restore the central file")?;
    durable_fs::rename(&unfinished, &data.join("central.sqlite"))
}

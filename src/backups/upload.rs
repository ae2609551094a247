//! Copies a backup to a place outside this machine: an archive, encrypted for keys that are elsewhere, in parts.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use tar::HeaderMode;
use uuid::Uuid;

use super::remote_backups::{OWNER, OwnerRecord, is_part_of, manifest_name, part_name};
use super::{Backup, KEYS, MANIFEST, RemoteBackup, RemoteManifest, RemoteRepository, Repository};
use crate::offsite::{OffsiteSettings, Part, PartWriter, Recipient};
use crate::tenancy::InstanceTempDir;

impl RemoteRepository {
    /// Copies a backup of this instance, and reads each part of the copy again. An incomplete copy is not listed. `data` is
    /// the data directory. Its disk needs space for one part. `progress` gets the number of stored bytes.
    pub fn upload(
        &self,
        backup: &Backup,
        repository: &Repository,
        settings: &OffsiteSettings,
        data: &Path,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<RemoteBackup> {
        let instance = backup.manifest.instance.context("the backup names no instance: start the server once")?;
        let temp_dir = InstanceTempDir::new(data)?;
        // Nobody else of this instance copies or deletes.
        let _claim = repository.lock()?;
        let before = self.list()?;
        self.claim(instance, before.has_owner, &temp_dir)?;
        let is_there = before.backups.iter().any(|other| other.name == backup.name);
        ensure!(!is_there, "{} already has a backup {}", self.place(), backup.name);
        for leftover in &before.leftovers {
            self.destination.delete(leftover)?;
        }
        let stored = self.store(backup, instance, settings, &temp_dir, &mut progress);
        if stored.is_err() {
            // If this fails too, the next copy deletes the parts.
            let _ = self.delete_parts_of(&backup.name);
        }
        stored
    }

    /// Takes the place for this instance, unless another one has it.
    fn claim(&self, instance: Uuid, has_owner: bool, temp_dir: &InstanceTempDir) -> anyhow::Result<()> {
        let stored = match has_owner {
            true => Ok(()),
            false => self.put_small(OWNER, &serde_json::to_vec(&OwnerRecord { instance })?, temp_dir),
        };
        // Another instance may have been faster: its name says more than the error.
        let owner = self.owner().map_err(|error| stored.err().unwrap_or(error))?;
        ensure!(
            owner == instance,
            "{} belongs to another instance ({owner}), and this is {instance}: choose another bucket, prefix or folder",
            self.place()
        );
        Ok(())
    }

    fn store(
        &self,
        backup: &Backup,
        instance: Uuid,
        settings: &OffsiteSettings,
        temp_dir: &InstanceTempDir,
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<RemoteBackup> {
        let name = |number| part_name(&backup.name, number);
        let parts = PartWriter::new(&self.destination, &name, settings.part_bytes, temp_dir.file("part"), progress);
        let parts = encrypted_archive(backup, &settings.recipients, parts)?;
        let recipients = settings.recipients.iter().map(ToString::to_string).collect();
        let manifest = RemoteManifest::new(backup, instance, recipients, parts);
        let text = serde_json::to_vec_pretty(&manifest)?;
        self.put_small(&manifest_name(&backup.name), &text, temp_dir)?;
        Ok(RemoteBackup { name: backup.name.clone(), manifest })
    }

    /// Stores a small object, and reads it again.
    fn put_small(&self, name: &str, content: &[u8], temp_dir: &InstanceTempDir) -> anyhow::Result<()> {
        let path = temp_dir.file("small");
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        self.destination.put(name, &path, content.len() as u64)?;
        let is_same = self.destination.read_small(name)? == content;
        ensure!(is_same, "{name} is not the same when it is read again: {} does not keep it", self.place());
        Ok(())
    }

    fn delete_parts_of(&self, backup: &str) -> anyhow::Result<()> {
        let objects = self.destination.list()?;
        objects
            .iter()
            .filter(|object| is_part_of(object, backup))
            .try_for_each(|object| self.destination.delete(object))
    }
}

/// Writes the archive of a backup. The manifest comes first, so that a reader knows what follows.
fn encrypted_archive(backup: &Backup, recipients: &[Recipient], to: PartWriter<'_>) -> anyhow::Result<Vec<Part>> {
    let mut archive = tar::Builder::new(Recipient::encrypt(recipients, to)?);
    archive.mode(HeaderMode::Deterministic);
    let mut add = |path: &str| {
        archive
            .append_path_with_name(backup.folder.join(path), path)
            .with_context(|| format!("cannot copy {path} of the backup {}", backup.name))
    };
    add(MANIFEST)?;
    for key in backup.key_files()? {
        add(&format!("{KEYS}/{key}"))?;
    }
    for (_, _, packed) in backup.files() {
        add(packed.path())?;
    }
    let mut encrypted = archive.into_inner()?;
    encrypted.flush()?;
    encrypted.finish()?.finish()
}

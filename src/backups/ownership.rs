//! Determines which backups in a folder belong to this instance. Several instances may share a backup folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use uuid::Uuid;

use super::{Backup, KEYS};
use crate::tenancy::InstanceRecord;

/// The data by which an instance recognizes its own backups.
#[derive(Debug, Default)]
pub struct Ownership {
    /// `None` without an instance, and for a central file of an earlier version.
    id: Option<Uuid>,
    keys: Vec<Vec<u8>>,
}

impl Ownership {
    /// Reads the ownership of the instance in a data directory.
    pub fn of_data_dir(data: &Path) -> anyhow::Result<Self> {
        let record = InstanceRecord::of_data_dir(data);
        let record = record.with_context(|| format!("cannot read the central file in {}", data.display()))?;
        Ok(Self { id: record.map(|record| record.id), keys: keys(&data.join(KEYS)) })
    }

    pub fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// Whether a backup belongs to this instance. Backups of earlier versions do not name their instance. Such a backup
    /// belongs to this instance if both have a key in common: keys are random, and only copies of an instance share
    /// them.
    pub fn owns(&self, backup: &Backup) -> bool {
        match backup.manifest.instance {
            Some(id) => self.id == Some(id),
            None => keys(&backup.folder.join(KEYS)).iter().any(|key| self.keys.contains(key)),
        }
    }
}

/// The contents of the key files in a folder. An unreadable folder proves nothing.
fn keys(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read(entry.path()).ok()).filter(|key| !key.is_empty()).collect()
}

/// Counts these backups by instance. Backups that name no instance are counted under `None`.
pub fn count_by_instance(backups: &[Backup]) -> BTreeMap<Option<Uuid>, usize> {
    let mut counts = BTreeMap::new();
    for backup in backups {
        *counts.entry(backup.manifest.instance).or_default() += 1;
    }
    counts
}

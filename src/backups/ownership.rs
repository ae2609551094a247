//! Which backups in a folder are an instance's own. Several instances may keep their backups in one folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use uuid::Uuid;

use super::{Backup, KEYS};
use crate::tenancy::InstanceRecord;

/// By what an instance knows its own backups.
#[derive(Debug, Default)]
pub struct Ownership {
    /// None while the central file is one of an earlier version, and where there is no instance.
    id: Option<Uuid>,
    keys: Vec<Vec<u8>>,
}

impl Ownership {
    /// Of the instance in a data directory.
    pub fn of_data_dir(data: &Path) -> anyhow::Result<Self> {
        let record = InstanceRecord::of_data_dir(data);
        let record = record.with_context(|| format!("cannot read the central file in {}", data.display()))?;
        Ok(Self { id: record.map(|record| record.id), keys: keys(&data.join(KEYS)) })
    }

    pub fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// Whether a backup is one of this instance. Backups of earlier versions do not name their instance. One of those is
    /// this instance's if it holds a key that this instance has: keys are random, and leave an instance only in a copy of it.
    pub fn owns(&self, backup: &Backup) -> bool {
        match backup.manifest.instance {
            Some(id) => self.id == Some(id),
            None => keys(&backup.folder.join(KEYS)).iter().any(|key| self.keys.contains(key)),
        }
    }
}

/// What the files in a folder of keys hold. A folder that cannot be read proves nothing.
fn keys(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read(entry.path()).ok()).filter(|key| !key.is_empty()).collect()
}

/// How many of these backups each instance has; those that name no instance are under `None`.
pub fn count_by_instance(backups: &[Backup]) -> BTreeMap<Option<Uuid>, usize> {
    let mut counts = BTreeMap::new();
    for backup in backups {
        *counts.entry(backup.manifest.instance).or_default() += 1;
    }
    counts
}

//! Encrypted copies of backups outside this machine, in a place that belongs to one instance.
//!
//! ```text
//! owner.json                        the instance
//! 20270329T020007Z.000001.age       the archive of a backup, encrypted, in parts
//! 20270329T020007Z.000002.age
//! 20270329T020007Z.json             the parts with their checksums; written last
//! ```
//!
//! The parts of a backup together are a tar archive of its folder, encrypted by age: `cat NAME.*.age | age -d -i KEY |
//! tar x`. Parts without a list of parts are the remains of an interrupted copy.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Backup, Keep};
use crate::offsite::{Destination, OffsiteSettings, Part};
use crate::values::Timestamp;

/// The object that names the instance to which the place belongs.
pub(super) const OWNER: &str = "owner.json";

/// The version of the format.
const FORMAT: u32 = 1;

/// The place with the copies.
pub struct RemoteRepository {
    pub(super) destination: Destination,
}

/// A complete copy.
#[derive(Debug, Clone)]
pub struct RemoteBackup {
    pub name: String,
    pub manifest: RemoteManifest,
}

/// The list of the parts of a copy. It is not encrypted, so it says no more than the server needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoteManifest {
    format: u32,
    pub instance: Uuid,
    /// The version of the program that took the backup.
    pub program: String,
    pub taken_at: Timestamp,
    /// Distinguishes backups of the same second.
    number: u32,
    /// `None` in a backup of everything.
    pub workspace: Option<Uuid>,
    /// Number of workspaces in the backup.
    pub workspaces: usize,
    /// Number of workspaces that could not be read.
    pub failures: usize,
    /// The public keys that the backup is encrypted for.
    pub recipients: Vec<String>,
    pub parts: Vec<Part>,
}

/// The instance to which a place belongs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OwnerRecord {
    pub instance: Uuid,
}

/// The content of a place.
pub struct RemoteContent {
    /// The complete copies, oldest first.
    pub backups: Vec<RemoteBackup>,
    /// Copies that cannot be used, a line each.
    pub problems: Vec<String>,
    /// Parts of interrupted copies.
    pub(super) leftovers: Vec<String>,
    pub(super) has_owner: bool,
}

impl RemoteRepository {
    /// Checks the settings. Reaches nothing.
    pub fn open(settings: &OffsiteSettings) -> anyhow::Result<Self> {
        Ok(Self { destination: Destination::open(settings)? })
    }

    /// The address, for people.
    pub fn place(&self) -> String {
        self.destination.target().to_string()
    }

    /// Reads the list of parts of every copy. Objects of others are ignored.
    pub fn list(&self) -> anyhow::Result<RemoteContent> {
        let objects = self.destination.list()?;
        let has_owner = objects.iter().any(|object| object == OWNER);
        let mut parts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut manifests = Vec::new();
        for object in &objects {
            match ObjectName::parse(object) {
                Some(ObjectName::Part(name)) => _ = parts.entry(name).or_default().insert(object),
                Some(ObjectName::Manifest(name)) => manifests.push(name),
                None => {}
            }
        }
        let (mut backups, mut problems) = (Vec::new(), Vec::new());
        for name in manifests {
            let there = parts.remove(name).unwrap_or_default();
            match self.read_manifest(name, &there) {
                Ok(manifest) => backups.push(RemoteBackup { name: name.to_owned(), manifest }),
                Err(error) => problems.push(format!("{name}: {error:#}")),
            }
        }
        backups.sort_by_key(|backup| (backup.manifest.taken_at, backup.manifest.number));
        let leftovers = parts.into_values().flatten().map(str::to_owned).collect();
        Ok(RemoteContent { backups, problems, leftovers, has_owner })
    }

    fn read_manifest(&self, name: &str, there: &BTreeSet<&str>) -> anyhow::Result<RemoteManifest> {
        let text = self.destination.read_small(&manifest_name(name))?;
        let manifest: RemoteManifest = serde_json::from_slice(&text).context("its list of parts is malformed")?;
        ensure!(
            manifest.format == FORMAT,
            "it has format {}, but this program supports {FORMAT}: run a newer cx-engine",
            manifest.format
        );
        let missing =
            (1..=manifest.parts.len()).map(|n| part_name(name, n)).find(|part| !there.contains(part.as_str()));
        ensure!(missing.is_none(), "{} is missing", missing.unwrap_or_default());
        Ok(manifest)
    }

    /// The instance to which the place belongs.
    pub(super) fn owner(&self) -> anyhow::Result<Uuid> {
        let text = self.destination.read_small(OWNER)?;
        let owner: OwnerRecord =
            serde_json::from_slice(&text).with_context(|| format!("{OWNER} in {} is malformed", self.place()))?;
        Ok(owner.instance)
    }

    /// Deletes the copies that the options do not keep, by the rules of [`super::Repository::prune`]. Returns their
    /// names. Copies that cannot be used are not deleted.
    pub fn prune(&self, keep: &Keep, made: &RemoteBackup) -> anyhow::Result<Vec<String>> {
        if keep.is_empty() || made.manifest.failures > 0 {
            return Ok(Vec::new());
        }
        let mut alike = self.list()?.backups;
        let RemoteManifest { instance, workspace, taken_at, .. } = made.manifest;
        alike.retain(|backup| {
            let other = &backup.manifest;
            (other.instance, other.workspace) == (instance, workspace) && other.taken_at <= taken_at
        });
        let going =
            keep.select_deleted(alike, |backup| backup.manifest.taken_at, |backup| backup.manifest.failures == 0);
        for backup in &going {
            self.delete(backup)?;
        }
        Ok(going.into_iter().map(|backup| backup.name).collect())
    }

    /// Deletes a copy. If that is interrupted, the rest no longer counts as a copy.
    fn delete(&self, backup: &RemoteBackup) -> anyhow::Result<()> {
        self.destination.delete(&manifest_name(&backup.name))?;
        (1..=backup.manifest.parts.len()).try_for_each(|n| self.destination.delete(&part_name(&backup.name, n)))
    }
}

impl RemoteManifest {
    pub(super) fn new(backup: &Backup, instance: Uuid, recipients: Vec<String>, parts: Vec<Part>) -> Self {
        let manifest = &backup.manifest;
        Self {
            format: FORMAT,
            instance,
            program: manifest.program.clone(),
            taken_at: manifest.taken_at,
            number: manifest.number,
            workspace: backup.single_workspace().map(|workspace| workspace.id),
            workspaces: manifest.workspaces.len(),
            failures: manifest.failures.len(),
            recipients,
            parts,
        }
    }

    /// The size of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// The name of an object of a copy.
enum ObjectName<'n> {
    Part(&'n str),
    Manifest(&'n str),
}

impl<'n> ObjectName<'n> {
    /// Returns `None` for objects of others.
    fn parse(object: &'n str) -> Option<Self> {
        // A command may write a file under another name first.
        if let Some(unfinished) = object.strip_suffix(".new") {
            return Self::parse(unfinished).map(|(Self::Part(name) | Self::Manifest(name))| Self::Part(name));
        }
        if let Some(name) = object.strip_suffix(".json") {
            return is_backup_name(name).then_some(Self::Manifest(name));
        }
        let (name, number) = object.strip_suffix(".age")?.rsplit_once('.')?;
        let is_number = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && is_backup_name(name)).then_some(Self::Part(name))
    }
}

/// Whether a name begins with the time of a backup, as in `20270329T020007Z`.
fn is_backup_name(name: &str) -> bool {
    const PATTERN: &str = "00000000T000000Z";
    let Some((time, rest)) = name.split_at_checked(PATTERN.len()) else { return false };
    let is_time = time.bytes().zip(PATTERN.bytes()).all(|(byte, pattern)| match pattern {
        b'0' => byte.is_ascii_digit(),
        letter => byte == letter,
    });
    is_time && (rest.is_empty() || rest.starts_with(['.', '-']))
}

pub(super) fn is_part_of(object: &str, backup: &str) -> bool {
    matches!(ObjectName::parse(object), Some(ObjectName::Part(name)) if name == backup)
}

pub(super) fn part_name(backup: &str, number: usize) -> String {
    format!("{backup}.{number:06}.age")
}

pub(super) fn manifest_name(backup: &str) -> String {
    format!("{backup}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_others_are_not_taken_for_parts_of_a_backup() {
        let kind = |object: &str| match ObjectName::parse(object) {
            Some(ObjectName::Part(name)) => format!("part of {name}"),
            Some(ObjectName::Manifest(name)) => format!("manifest of {name}"),
            None => "none".into(),
        };
        for name in ["20270329T020007Z", "20270329T020007Z.2", "20270329T020007Z-acme", "20270329T020007Z.2-acme"] {
            assert_eq!(kind(&part_name(name, 1)), format!("part of {name}"));
            assert_eq!(kind(&part_name(name, 1_234_567)), format!("part of {name}"));
            assert_eq!(kind(&manifest_name(name)), format!("manifest of {name}"));
            assert_eq!(kind(&format!("{}.new", manifest_name(name))), format!("part of {name}"));
        }
        for other in [
            OWNER,
            "holidays.age",
            "20270329T020007Z.age",
            "20270329T020007Z.1.age",
            "20270329T020007Z.zip",
            "20270329.000001.age",
            "2027é329T020007Z.json",
            "20270329T020007Zone.json",
        ] {
            assert_eq!(kind(other), "none", "{other}");
        }
    }
}

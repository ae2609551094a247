//! The settings of off-site backups.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Recipient;
use crate::object_store::{StorePurpose, StoreSettings, StoreUrl};

/// The settings of a destination.
#[derive(Debug, Clone)]
pub struct OffsiteSettings {
    pub target: BackupTarget,
    pub region: String,
    /// The file with the access key id, if the target is an object store.
    pub key_file: PathBuf,
    /// The file with the secret access key.
    pub secret_file: PathBuf,
    /// The public keys for which backups are encrypted. Empty while one is restored.
    pub recipients: Vec<Recipient>,
    /// The size of the objects of a backup.
    pub part_bytes: u64,
}

/// The address of a destination: a folder in a bucket, as `store_url` takes it, or `command:` and the path of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupTarget {
    Store(StoreUrl),
    Command(PathBuf),
}

/// The allowed addresses, for errors and help.
pub const TARGETS: &str = "s3://BUCKET/PREFIX for AWS, https://HOST/BUCKET/PREFIX, or command:/PATH of a program";

impl OffsiteSettings {
    pub(super) fn store(&self) -> Option<StoreSettings> {
        let BackupTarget::Store(url) = &self.target else { return None };
        Some(StoreSettings {
            url: url.clone(),
            region: self.region.clone(),
            key_file: self.key_file.clone(),
            secret_file: self.secret_file.clone(),
            purpose: StorePurpose::Backups,
        })
    }
}

impl FromStr for BackupTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("it must be {TARGETS}");
        match text.strip_prefix("command:") {
            Some(path) if path.starts_with('/') => Ok(Self::Command(path.into())),
            Some(_) => Err(wrong()),
            None => text.parse().map(Self::Store).map_err(|()| wrong()),
        }
    }
}

impl fmt::Display for BackupTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(url) => url.fmt(f),
            Self::Command(path) => write!(f, "command:{}", path.display()),
        }
    }
}

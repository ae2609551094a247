//! The flags by which commands reach backups outside this machine.

use std::path::PathBuf;

use anyhow::Context;

use super::setting_flags::SettingArgs;
use crate::backups::RemoteRepository;
use crate::config::{Config, RawSettings, Setting};
use crate::offsite::{BackupTarget, Identities};

/// The keys of a bucket.
#[derive(clap::Args)]
pub struct BucketArgs {
    /// Region of the bucket [default: us-east-1] [env: CX_BACKUP_REGION]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// File with the access key id of the bucket [env: CX_BACKUP_KEY_FILE]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    key_file: Option<String>,
    /// File with the secret access key of the bucket [env: CX_BACKUP_SECRET_FILE]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    secret_file: Option<String>,
}

/// The place of backups outside this machine, and the key that decrypts them.
#[derive(clap::Args)]
pub struct RemoteArgs {
    /// Read the backups from this place instead of the folder: s3://BUCKET/PREFIX for AWS, https://HOST/BUCKET/PREFIX, or
    /// command:/PATH of a program
    #[arg(long, value_name = "URL", group = "remote", conflicts_with = "backup_dir")]
    from: Option<BackupTarget>,
    /// Read the backups from the place in the setting backup_to
    #[arg(long, group = "remote", conflicts_with = "backup_dir")]
    offsite: bool,
    /// File with the secret key that decrypts the backups (age)
    #[arg(long, value_name = "FILE", requires = "remote", value_hint = clap::ValueHint::FilePath)]
    identity: Option<PathBuf>,
    #[command(flatten)]
    bucket: BucketArgs,
}

/// Settings from flags, with the name of each setting and of its flag.
pub fn settings_of<const MANY: usize>(flags: [(&str, &str, Option<String>); MANY]) -> SettingArgs {
    let mut typed = RawSettings::default();
    for (name, flag, value) in flags {
        if let (Some(value), Some(setting)) = (value, Setting::named(name)) {
            typed.insert(setting, value, format!("the flag --{flag}"));
        }
    }
    SettingArgs(typed)
}

impl BucketArgs {
    /// The settings given by these flags.
    pub fn settings(&self) -> SettingArgs {
        settings_of([
            ("backup_region", "region", self.region.clone()),
            ("backup_key_file", "key-file", self.key_file.clone()),
            ("backup_secret_file", "secret-file", self.secret_file.clone()),
        ])
    }
}

impl RemoteArgs {
    /// The settings given by these flags.
    pub fn settings(&self) -> SettingArgs {
        self.bucket.settings()
    }

    /// Whether the backups outside this machine are meant.
    pub fn is_set(&self) -> bool {
        self.offsite || self.from.is_some()
    }

    /// The place. Reaches nothing.
    pub fn place(&self, config: &Config) -> anyhow::Result<RemoteRepository> {
        let mut config = config.clone();
        if let Some(from) = &self.from {
            config.backup_to = Some(from.clone());
        }
        let settings = config.offsite()?.context("--offsite needs the setting backup_to: name the place by --from")?;
        RemoteRepository::open(&settings)
    }

    pub fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Reads the secret key.
    pub fn identities(&self) -> anyhow::Result<Identities> {
        let path = self.identity.as_deref();
        Identities::read(path.context("the backups are encrypted: name the file with the secret key by --identity")?)
    }
}

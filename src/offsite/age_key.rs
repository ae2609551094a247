//! Keys of age (age-encryption.org): public ones that encrypt backups, and secret ones that are not on the server.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::{DecryptError, Decryptor, Encryptor, x25519};
use anyhow::{Context, anyhow, ensure};

use crate::values::Timestamp;

/// A public key, `age1…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient(x25519::Recipient);

/// Secret keys, read from a file.
pub struct Identities {
    path: PathBuf,
    keys: Vec<x25519::Identity>,
}

/// A new pair of keys.
pub struct NewKey(x25519::Identity);

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err("this is the secret key: give the public one, which begins with age1".into());
        }
        text.parse().map(Self).map_err(|_| "it must be a public key of age, which begins with age1".into())
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Recipient {
    /// Encrypts a stream for these keys. The stream ends with `finish`.
    pub fn encrypt<W: Write>(recipients: &[Self], to: W) -> anyhow::Result<age::stream::StreamWriter<W>> {
        let keys = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
        Encryptor::with_recipients(keys)
            .context("there is no public key to encrypt the backup for")?
            .wrap_output(to)
            .context("cannot begin the encryption")
    }
}

impl Identities {
    /// Reads a file as `age-keygen` writes it: a secret key on each line, and comments.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        // The message has no part of the line, which may be a secret.
        let key = |line: &str| {
            line.parse().map_err(|_| {
                anyhow!(
                    "{} must have secret keys of age, which begin with AGE-SECRET-KEY-1, one on each line",
                    path.display()
                )
            })
        };
        let keys = lines.map(key).collect::<anyhow::Result<Vec<x25519::Identity>>>()?;
        ensure!(!keys.is_empty(), "{} has no secret key", path.display());
        Ok(Self { path: path.to_owned(), keys })
    }

    /// Decrypts a stream. `recipients` are the keys that it was encrypted for, as its manifest says.
    pub fn decrypt<R: Read>(&self, from: R, recipients: &[String]) -> anyhow::Result<impl Read + use<R>> {
        let decryptor = Decryptor::new(from).map_err(|error| match error {
            DecryptError::Io(error) => anyhow::Error::from(error),
            error => anyhow!("the backup is damaged: {error}"),
        })?;
        let keys = self.keys.iter().map(|key| key as &dyn age::Identity);
        decryptor.decrypt(keys).map_err(|error| match error {
            DecryptError::NoMatchingKeys => anyhow!(
                "no key in {} decrypts this backup: it was encrypted for {}",
                self.path.display(),
                recipients.join(", ")
            ),
            DecryptError::Io(error) => error.into(),
            error => anyhow!("the backup is damaged: {error}"),
        })
    }
}

impl NewKey {
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    pub fn public(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    /// The file with the secret key, as `age-keygen` writes it.
    pub fn file(&self, now: Timestamp) -> String {
        let secret = self.0.to_string();
        format!("# created: {now}\n# public key: {}\n{}\n", self.public(), secret.expose_secret())
    }
}

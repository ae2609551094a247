//! The keys that encrypt tokens: one file each in `data/keys/`, readable only by its owner.
//!
//! A file is named by its creation time and holds one PASERK line (`k4.local.…`). The newest key encrypts; every
//! existing key decrypts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;
use pasetors::keys::{Generate, SymmetricKey};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;

use crate::durable_fs;
use crate::values::Timestamp;

type EncryptionKey = Arc<SymmetricKey<V4>>;

pub struct Keys {
    folder: PathBuf,
    /// By name, oldest first. Read again after [`Keys::reload`].
    loaded: Mutex<Option<Vec<(String, EncryptionKey)>>>,
}

impl Keys {
    /// Opens the keys in a folder, and creates a key if there is none.
    pub fn open(folder: &Path, now: Timestamp) -> anyhow::Result<Self> {
        durable_fs::create_private_folder(folder)?;
        let keys = Self { folder: folder.to_owned(), loaded: Mutex::new(None) };
        if keys.load()?.is_empty() {
            keys.create(now)?;
        }
        Ok(keys)
    }

    /// Opens the keys in a folder that already had one. Fails if there is none: creating another one silently would
    /// make all encrypted data unreadable.
    pub fn reopen(folder: &Path) -> anyhow::Result<Self> {
        let keys = Self { folder: folder.to_owned(), loaded: Mutex::new(None) };
        ensure!(
            folder.exists() && !keys.load()?.is_empty(),
            "{} has no key, but tokens are encrypted with the key that it had: restore the file from a backup, or, if \
             there is none, run `cx-engine token rotate-keys --lost`; everyone must then log in again",
            folder.display()
        );
        Ok(keys)
    }

    /// Creates a key that encrypts from now on, and returns its name. The other keys still decrypt.
    pub fn create(&self, now: Timestamp) -> anyhow::Result<String> {
        let key = SymmetricKey::<V4>::generate()?;
        let mut text = String::new();
        key.fmt(&mut text)?;
        // The newest key must be the last by name, even if the clock was set back. The number at the end distinguishes
        // keys of the same second.
        let newest = self.paths()?.last().and_then(|path| path.file_name()?.to_str()?.get(..12)?.parse().ok());
        let second = newest.unwrap_or(0).max(now.seconds());
        for n in 0.. {
            let path = self.folder.join(format!("{second:012}-{n:03}.key"));
            match durable_fs::create_private_file(&path, format!("{text}\n").as_bytes()) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
            }
        }
        durable_fs::sync(&self.folder)?;
        self.reload();
        name(&key)
    }

    /// Deletes every key but the newest, so that what they encrypted becomes unreadable. Returns the number of deleted
    /// keys.
    pub fn delete_old(&self) -> anyhow::Result<usize> {
        let mut paths = self.paths()?;
        paths.pop();
        for path in &paths {
            fs::remove_file(path).with_context(|| format!("cannot delete {}", path.display()))?;
        }
        self.reload();
        Ok(paths.len())
    }

    /// Makes the next access read the folder again.
    pub fn reload(&self) {
        *self.loaded.lock() = None;
    }

    pub(super) fn newest(&self) -> anyhow::Result<(String, EncryptionKey)> {
        self.load()?.last().cloned().context("there is no key to encrypt tokens with")
    }

    pub(super) fn named(&self, name: &str) -> Option<EncryptionKey> {
        self.load().ok()?.iter().find(|(known, _)| known == name).map(|(_, key)| Arc::clone(key))
    }

    fn load(&self) -> anyhow::Result<Vec<(String, EncryptionKey)>> {
        let mut loaded = self.loaded.lock();
        if let Some(keys) = &*loaded {
            return Ok(keys.clone());
        }
        let mut keys = Vec::new();
        for path in self.paths()? {
            let unreadable = || format!("cannot read {}", path.display());
            let mode = fs::metadata(&path).with_context(unreadable)?.permissions().mode();
            if mode & 0o077 != 0 {
                bail!("{} is open to others (mode {:03o}): chmod 600 it", path.display(), mode & 0o777);
            }
            let text = fs::read_to_string(&path).with_context(unreadable)?;
            let Ok(key) = SymmetricKey::<V4>::try_from(text.trim()) else {
                bail!("{} is not a key (a line that begins with k4.local.)", path.display());
            };
            keys.push((name(&key)?, Arc::new(key)));
        }
        *loaded = Some(keys.clone());
        Ok(keys)
    }

    fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let folder = fs::read_dir(&self.folder).with_context(|| format!("cannot read {}", self.folder.display()))?;
        let mut paths = Vec::new();
        for entry in folder {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "key") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// The key's PASERK id (`k4.lid.…`), which reveals nothing of the key.
fn name(key: &SymmetricKey<V4>) -> anyhow::Result<String> {
    let mut name = String::new();
    Id::from(key).fmt(&mut name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::auth::TokenFault;
    use crate::auth::TokenScope;
    use crate::auth::encryption::{Claims, DecryptedToken, decrypt_text, decrypt_token, encrypt_text, encrypt_token};

    fn claims() -> Claims {
        Claims {
            token_id: 7,
            account_id: 3,
            scope: TokenScope::Central,
            expires_at: Timestamp::from_seconds(1_700_000_000),
            nonce: serde_json::from_str("\"AAECAwQFBgcICQoLDA0ODw\"").ok(),
        }
    }

    #[test]
    fn a_key_is_its_owners_alone_and_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let token = encrypt_token(claims(), &Keys::open(&folder, Timestamp::default()).unwrap()).unwrap();

        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            decrypt_token(&token, &Keys::open(&folder, Timestamp::default()).unwrap()),
            Ok(DecryptedToken::Person(claims()))
        );
    }

    #[test]
    fn rotation_keeps_old_tokens_until_their_key_is_retired() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), Timestamp::default()).unwrap();
        let old = encrypt_token(claims(), &keys).unwrap();
        keys.create(Timestamp::default()).unwrap();
        let new = encrypt_token(claims(), &keys).unwrap();

        assert_eq!(decrypt_token(&old, &keys), Ok(DecryptedToken::Person(claims())));
        assert_eq!(keys.delete_old().unwrap(), 1);
        assert_eq!(decrypt_token(&old, &keys), Err(TokenFault::Invalid));
        assert_eq!(decrypt_token(&new, &keys), Ok(DecryptedToken::Person(claims())));
    }

    #[test]
    fn a_key_that_is_made_after_the_clock_was_put_back_is_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), Timestamp::from_seconds(1_700_000_000)).unwrap();
        let old = encrypt_token(claims(), &keys).unwrap();
        keys.create(Timestamp::from_seconds(1_600_000_000)).unwrap();
        let new = encrypt_token(claims(), &keys).unwrap();
        keys.delete_old().unwrap();
        assert_eq!(decrypt_token(&old, &keys), Err(TokenFault::Invalid));
        assert_eq!(decrypt_token(&new, &keys), Ok(DecryptedToken::Person(claims())));
    }

    #[test]
    fn a_file_that_others_can_read_and_one_that_is_no_key_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path(), Timestamp::default()).unwrap();
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let said = || Keys::reopen(folder.path()).err().unwrap().to_string();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(said().contains(path.to_str().unwrap()) && said().contains("mode 640"), "{}", said());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(said().contains(path.to_str().unwrap()), "{}", said());
        fs::remove_file(&path).unwrap();
        assert!(said().contains(folder.path().to_str().unwrap()) && said().contains("--lost"), "{}", said());
    }

    #[test]
    fn what_is_sealed_for_one_place_opens_in_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), Timestamp::default()).unwrap();
        let token = encrypt_token(claims(), &keys).unwrap();
        let text = decrypt_text(&token, b"", &keys).unwrap();
        let sealed = encrypt_text(&text, b"a", &keys).unwrap();
        assert_eq!(decrypt_text(&sealed, b"a", &keys), Some(text));
        assert_eq!(
            (decrypt_text(&sealed, b"b", &keys), decrypt_token(&sealed, &keys)),
            (None, Err(TokenFault::Invalid))
        );
        assert!(!sealed.contains("jti"), "{sealed}");
    }

    #[test]
    fn what_was_not_sealed_here_does_not_open() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let keys = Keys::open(ours.path(), Timestamp::default()).unwrap();
        let foreign = encrypt_token(claims(), &Keys::open(theirs.path(), Timestamp::default()).unwrap()).unwrap();
        let mut changed = encrypt_token(claims(), &keys).unwrap();
        changed.replace_range(20..21, if &changed[20..21] == "A" { "B" } else { "A" });
        for bad in ["", "v4.local.", "v4.local.AAAA", "v4.public.AAAA.e30", "nonsense", &foreign, &changed] {
            assert_eq!(decrypt_token(bad, &keys), Err(TokenFault::Invalid), "{bad}");
        }
    }
}

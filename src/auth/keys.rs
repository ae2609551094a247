//! The keys that seal tokens: one file each in `data/keys/`, readable by their owner alone.
//!
//! A file is named by the moment it was made and holds one PASERK line (`k4.local.…`). The newest seals; every one that
//! is there opens.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use pasetors::keys::{Generate, SymmetricKey};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;

use crate::values::Timestamp;

type Key = Arc<SymmetricKey<V4>>;

pub struct Keys {
    folder: PathBuf,
    /// By name, oldest first; read again after [`Keys::forget`].
    loaded: Mutex<Option<Vec<(String, Key)>>>,
}

impl Keys {
    /// The keys in a folder; one is made where there is none.
    pub fn open(folder: &Path, now: Timestamp) -> anyhow::Result<Self> {
        if !folder.exists() {
            fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
        }
        let keys = Self { folder: folder.to_owned(), loaded: Mutex::new(None) };
        if keys.load()?.is_empty() {
            keys.make(now)?;
        }
        Ok(keys)
    }

    /// Makes a key that seals from now on, and answers its name. The others go on opening what they sealed.
    pub fn make(&self, now: Timestamp) -> anyhow::Result<String> {
        let key = SymmetricKey::<V4>::generate()?;
        let mut text = String::new();
        key.fmt(&mut text)?;
        // Two keys of one second differ by the number behind.
        for n in 0.. {
            let path = self.folder.join(format!("{:012}-{n:03}.key", now.seconds()));
            match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    writeln!(file, "{text}")?;
                    file.sync_all()?;
                    break;
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            }
        }
        fs::File::open(&self.folder)?.sync_all()?;
        self.forget();
        name(&key)
    }

    /// Deletes every key but the newest: what they sealed opens no more. Answers how many went.
    pub fn retire(&self) -> anyhow::Result<usize> {
        let mut paths = self.paths()?;
        paths.pop();
        for path in &paths {
            fs::remove_file(path).with_context(|| format!("cannot delete {}", path.display()))?;
        }
        self.forget();
        Ok(paths.len())
    }

    /// Reads the folder again when a key is next asked for.
    pub fn forget(&self) {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn newest(&self) -> anyhow::Result<(String, Key)> {
        self.load()?.last().cloned().context("there is no key to seal tokens with")
    }

    pub(super) fn named(&self, name: &str) -> Option<Key> {
        self.load().ok()?.iter().find(|(known, _)| known == name).map(|(_, key)| Arc::clone(key))
    }

    fn load(&self) -> anyhow::Result<Vec<(String, Key)>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*loaded {
            return Ok(keys.clone());
        }
        let mut keys = Vec::new();
        for path in self.paths()? {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
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

/// The key's PASERK id (`k4.lid.…`), which gives nothing of it away.
fn name(key: &SymmetricKey<V4>) -> anyhow::Result<String> {
    let mut name = String::new();
    Id::from(key).fmt(&mut name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::auth::Scope;
    use crate::auth::TokenFault;
    use crate::auth::seal::{Claims, Opened, open, open_text, seal, seal_text};

    fn claims() -> Claims {
        Claims { token_id: 7, account_id: 3, scope: Scope::Central, expires_at: Timestamp::from_seconds(1_700_000_000) }
    }

    #[test]
    fn a_key_is_its_owners_alone_and_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let token = seal(claims(), &Keys::open(&folder, Timestamp::default()).unwrap()).unwrap();

        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open(&token, &Keys::open(&folder, Timestamp::default()).unwrap()), Ok(Opened::Person(claims())));
    }

    #[test]
    fn rotation_keeps_old_tokens_until_their_key_is_retired() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), Timestamp::default()).unwrap();
        let old = seal(claims(), &keys).unwrap();
        keys.make(Timestamp::default()).unwrap();
        let new = seal(claims(), &keys).unwrap();

        assert_eq!(open(&old, &keys), Ok(Opened::Person(claims())));
        assert_eq!(keys.retire().unwrap(), 1);
        assert_eq!(open(&old, &keys), Err(TokenFault::Invalid));
        assert_eq!(open(&new, &keys), Ok(Opened::Person(claims())));
    }

    #[test]
    fn what_is_sealed_for_one_place_opens_in_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), Timestamp::default()).unwrap();
        let token = seal(claims(), &keys).unwrap();
        let text = open_text(&token, b"", &keys).unwrap();
        let sealed = seal_text(&text, b"a", &keys).unwrap();
        assert_eq!(open_text(&sealed, b"a", &keys), Some(text));
        assert_eq!((open_text(&sealed, b"b", &keys), open(&sealed, &keys)), (None, Err(TokenFault::Invalid)));
        assert!(!sealed.contains("jti"), "{sealed}");
    }

    #[test]
    fn what_was_not_sealed_here_does_not_open() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let keys = Keys::open(ours.path(), Timestamp::default()).unwrap();
        let foreign = seal(claims(), &Keys::open(theirs.path(), Timestamp::default()).unwrap()).unwrap();
        let mut changed = seal(claims(), &keys).unwrap();
        changed.replace_range(20..21, if &changed[20..21] == "A" { "B" } else { "A" });
        for bad in ["", "v4.local.", "v4.local.AAAA", "v4.public.AAAA.e30", "nonsense", &foreign, &changed] {
            assert_eq!(open(bad, &keys), Err(TokenFault::Invalid), "{bad}");
        }
    }
}

//! The keys that encrypt tokens, in the store: `keys/{file}`. A key is stored before the first commit that may depend on
//! it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use parking_lot::Mutex;

use crate::durable_fs;
use crate::object_store::{ObjectStore, StoreError};

const FOLDER: &str = "keys/";

/// The names of the keys that the store has.
#[derive(Default)]
pub struct KeyCopies(Mutex<BTreeSet<String>>);

impl KeyCopies {
    /// Stores the keys that came since the last call.
    pub fn store(&self, store: &ObjectStore, data: &Path) -> anyhow::Result<()> {
        let mut stored = self.0.lock();
        for entry in fs::read_dir(data.join("keys"))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.ends_with(".key")) else { continue };
            if !stored.contains(name) {
                store_key(store, name, &fs::read(entry.path())?)?;
                stored.insert(name.to_owned());
            }
        }
        Ok(())
    }
}

fn store_key(store: &ObjectStore, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let key = format!("{FOLDER}{name}");
    match store.create(&key, content) {
        Err(StoreError::Precondition) => match store.get(&key)? {
            Some(stored) if stored.body == content => Ok(()),
            _ => bail!("the store has another key with the name {name}"),
        },
        created => created.map(|_| ()).with_context(|| format!("cannot store the key {name}")),
    }
}

/// Restores all keys into a data directory.
pub fn restore(store: &ObjectStore, data: &Path) -> anyhow::Result<()> {
    let folder = data.join("keys");
    durable_fs::create_private_folder(&folder)?;
    for listed in store.list(FOLDER, None)? {
        let key = store.get(&listed.key)?.with_context(|| format!("the store has lost {}", listed.key))?;
        let name = listed.key.strip_prefix(FOLDER).filter(|name| !name.contains('/')).unwrap_or("unnamed.key");
        durable_fs::write_private_file(&folder.join(name), &key.body)?;
    }
    Ok(())
}

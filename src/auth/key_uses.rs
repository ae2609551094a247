//! Times of last use of integration keys, until the jobs write them. A request that only reads must not write for this.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::values::Timestamp;

/// Minimum seconds between two writes of a key's last use.
const WRITTEN_EVERY: i64 = 60;

/// The last unwritten use of each key, by workspace.
#[derive(Default)]
pub struct KeyUses(Mutex<HashMap<Uuid, HashMap<i64, Timestamp>>>);

impl KeyUses {
    /// Notes a use, unless the written one is less than a minute old.
    pub fn record(&self, workspace: Uuid, key: i64, written: Option<Timestamp>, now: Timestamp) {
        let age = written.map(|written| now.seconds() - written.seconds());
        // A written use in the future means that the clock was set back.
        if age.is_none_or(|age| !(0..WRITTEN_EVERY).contains(&age)) {
            self.lock().entry(workspace).or_default().insert(key, now);
        }
    }

    /// Takes all unwritten uses. The caller must write them.
    pub fn take(&self) -> HashMap<Uuid, HashMap<i64, Timestamp>> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, HashMap<i64, Timestamp>>> {
        self.0.lock()
    }
}

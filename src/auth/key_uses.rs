//! When integration keys were last used, until the jobs write it: a request that reads must not write for that.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::values::Timestamp;

/// How often a use is worth a write, in seconds.
const WRITTEN_EVERY: i64 = 60;

/// The last use of each key that is not written yet, by workspace.
#[derive(Default)]
pub struct KeyUses(Mutex<HashMap<Uuid, HashMap<i64, Timestamp>>>);

impl KeyUses {
    /// Notes a use, unless the one that is written is of the last minute.
    pub fn note(&self, workspace: Uuid, key: i64, written: Option<Timestamp>, now: Timestamp) {
        let age = written.map(|written| now.seconds() - written.seconds());
        // One of later than now is of before the clock was put back.
        if age.is_none_or(|age| !(0..WRITTEN_EVERY).contains(&age)) {
            self.lock().entry(workspace).or_default().insert(key, now);
        }
    }

    /// All of them; whoever takes them writes them.
    pub fn take(&self) -> HashMap<Uuid, HashMap<i64, Timestamp>> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, HashMap<i64, Timestamp>>> {
        self.0.lock()
    }
}

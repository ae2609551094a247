//! Brings the indexes of workspaces to the rules of this program, after an update or a restore: of those that are open at
//! once, of all others one after the other.

use std::sync::{Arc, Weak};

use rusqlite::OptionalExtension;
use uuid::Uuid;

use crate::api::{Error, Result};
use crate::engine::Engine;
use crate::storage::{File, uuid_column};
use crate::workspace::indexes;

/// Rounds before workspaces are looked at in which nobody works: who works comes first.
const ROUNDS_BEFORE_SWEEP: u64 = 60;

pub struct Indexer {
    engine: Arc<Engine>,
    /// Open files that are known to be up to date.
    current: Vec<Weak<File>>,
    /// The last workspace of all that was looked at; nothing once each had its turn.
    swept: Option<Uuid>,
}

impl Indexer {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, current: Vec::new(), swept: Some(Uuid::nil()) }
    }

    /// A file that cannot be read or written does not keep the others waiting.
    pub fn round(&mut self, n: u64) -> Result<()> {
        self.current.retain(|file| file.strong_count() > 0);
        let mut result = Ok(());
        for file in self.engine.registry.files() {
            let weak = Arc::downgrade(&file);
            if self.current.iter().any(|known| known.ptr_eq(&weak)) {
                continue;
            }
            match indexes::bring_up_to_date(&file) {
                Ok(()) => self.current.push(weak),
                failed => result = result.and(failed),
            }
        }
        if n >= ROUNDS_BEFORE_SWEEP {
            result = result.and(self.sweep());
        }
        result
    }

    fn sweep(&mut self) -> Result<()> {
        let Some(last) = self.swept else { return Ok(()) };
        self.swept = self.engine.central.read(move |db| {
            let sql = "SELECT id FROM workspaces WHERE status = 'active' AND id > ?1 ORDER BY id LIMIT 1";
            let mut statement = db.prepare_cached(sql)?;
            Ok::<_, Error>(statement.query_row([last.to_string()], |row| uuid_column(row, 0)).optional()?)
        })?;
        self.swept.map_or(Ok(()), |id| indexes::bring_up_to_date(self.engine.registry.lease(id).file()))
    }
}

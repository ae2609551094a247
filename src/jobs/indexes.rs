//! Brings the indexes of workspaces to the rules of this program, after an update or a restore: of those that are open at
//! once, of all others one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use uuid::Uuid;

use crate::api::Result;
use crate::engine::Engine;
use crate::storage::File;
use crate::workspace::indexes;

/// Turns in one round: about half a second, for which a server that stops waits.
const TURNS: usize = 50;

/// Rounds before workspaces are looked at in which nobody works: a minute, since who works comes first.
const ROUNDS_BEFORE_SWEEP: u64 = 300;

pub struct Indexer {
    engine: Arc<Engine>,
    /// Open files that are known to be up to date, by their places in memory, which they keep as long as they are here.
    current: HashMap<usize, Weak<File>>,
    /// The workspace that is looked at of those in which nobody works; nothing once each had its turn.
    swept: Option<Uuid>,
}

impl Indexer {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, current: HashMap::new(), swept: Some(Uuid::nil()) }
    }

    /// A file that cannot be read or written does not keep the others waiting.
    pub fn round(&mut self, n: u64) -> Result<()> {
        self.current.retain(|_, file| file.strong_count() > 0);
        let (mut result, mut turns) = (Ok(()), TURNS);
        for file in self.engine.registry.files() {
            let place = Arc::as_ptr(&file).addr();
            if turns == 0 || self.current.contains_key(&place) {
                continue;
            }
            match indexes::bring_up_to_date(&file, &mut turns) {
                Ok(true) => _ = self.current.insert(place, Arc::downgrade(&file)),
                Ok(false) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        if n >= ROUNDS_BEFORE_SWEEP && turns > 0 {
            result = result.and(self.sweep(&mut turns));
        }
        result
    }

    /// Goes on to the next workspace. One that is not finished is open now, and has its turn in the next round.
    fn sweep(&mut self, turns: &mut usize) -> Result<()> {
        let Some(last) = self.swept else { return Ok(()) };
        self.swept = self.engine.central.active_workspace_after(last)?;
        let Some(id) = self.swept else { return Ok(()) };
        indexes::bring_up_to_date(self.engine.registry.lease(id).file(), turns).map(|_| ())
    }
}

//! Reindexes workspaces by the rules of this program, after an update or a restore: open workspaces at once, all others
//! one by one.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use uuid::Uuid;

use crate::api::Result;
use crate::instance::Instance;
use crate::storage::File;
use crate::workspace::search_indexes;

/// Turns per round: about half a second, which a stopping server has to wait.
const TURNS: usize = 50;

/// Rounds before idle workspaces are checked (a minute), since active ones come first.
const ROUNDS_BEFORE_SWEEP: u64 = 300;

pub struct Indexer {
    instance: Arc<Instance>,
    /// Open files that are up to date, by address. A live `Weak` keeps the address from being reused.
    current: HashMap<usize, Weak<File>>,
    /// The idle workspace that was checked last; `None` once all are checked.
    swept: Option<Uuid>,
}

impl Indexer {
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, current: HashMap::new(), swept: Some(Uuid::nil()) }
    }

    /// Continues with the other files if one cannot be read or written.
    pub fn round(&mut self, n: u64) -> Result<()> {
        self.current.retain(|_, file| file.strong_count() > 0);
        let (mut result, mut turns) = (Ok(()), TURNS);
        for file in self.instance.registry.files() {
            let place = Arc::as_ptr(&file).addr();
            if turns == 0 || self.current.contains_key(&place) {
                continue;
            }
            match search_indexes::bring_up_to_date(&file, &mut turns) {
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

    /// Checks the next idle workspace. If it needs more turns, it is open now and continues in the next round.
    fn sweep(&mut self, turns: &mut usize) -> Result<()> {
        let Some(last) = self.swept else { return Ok(()) };
        self.swept = self.instance.central.active_workspace_after(last)?;
        let Some(id) = self.swept else { return Ok(()) };
        search_indexes::bring_up_to_date(self.instance.registry.lease(id).file(), turns).map(|_| ())
    }
}

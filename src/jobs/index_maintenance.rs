//! Indexes the texts and counts the rows that writes left waiting, and reindexes workspaces by the rules of this program
//! after an update or a restore: open workspaces at once, all others one by one.

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
    /// Open files that follow the rules, by address. A live `Weak` keeps the address from being reused.
    current: HashMap<usize, Visited>,
    /// The idle workspace that was checked last; `None` once all are checked.
    swept: Option<Uuid>,
}

struct Visited {
    file: Weak<File>,
    /// The number of written batches when no text was missing and few rows were not counted. `None` before.
    complete_at: Option<u64>,
}

impl Indexer {
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, current: HashMap::new(), swept: Some(Uuid::nil()) }
    }

    /// Continues with the other files if one cannot be read or written.
    pub fn round(&mut self, n: u64) -> Result<()> {
        self.current.retain(|_, visited| visited.file.strong_count() > 0);
        let (mut result, mut turns) = (Ok(()), TURNS);
        for file in self.instance.registry.files() {
            if turns > 0 {
                result = result.and(self.visit(&file, &mut turns));
            }
        }
        if n >= ROUNDS_BEFORE_SWEEP && turns > 0 {
            result = result.and(self.sweep(&mut turns));
        }
        result
    }

    fn visit(&mut self, file: &Arc<File>, turns: &mut usize) -> Result<()> {
        let place = Arc::as_ptr(file).addr();
        let batches = file.batches_written();
        match self.current.get(&place) {
            Some(visited) if visited.complete_at == Some(batches) => return Ok(()),
            None if !search_indexes::bring_up_to_date(file, turns)? => return Ok(()),
            _ => {}
        }
        // If somebody writes meanwhile, the next round indexes that too.
        let is_complete =
            search_indexes::index_missing_texts(file, turns)? && search_indexes::count_new_rows(file, turns)?;
        let complete_at = is_complete.then_some(batches);
        self.current.insert(place, Visited { file: Arc::downgrade(file), complete_at });
        Ok(())
    }

    /// Checks the next idle workspace. If it needs more turns, it is open now and continues in the next round.
    fn sweep(&mut self, turns: &mut usize) -> Result<()> {
        let Some(last) = self.swept else { return Ok(()) };
        self.swept = self.instance.central.active_workspace_after(last)?;
        let Some(id) = self.swept.filter(|id| self.instance.serves(*id)) else { return Ok(()) };
        search_indexes::bring_up_to_date(self.instance.registry.lease(id).file(), turns).map(|_| ())
    }
}

//! Wakes the streams of a workspace when it may have something new: a commit, or a call that rings.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use uuid::Uuid;

/// Called on the thread that committed, so it must not wait.
type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub struct StreamSignals {
    /// The number of entries below. Without streams, a commit costs one load.
    watched: AtomicUsize,
    wakers: Mutex<HashMap<Uuid, Wake>>,
}

impl StreamSignals {
    /// Calls `wake` from now on whenever the workspace may have something new.
    pub fn watch(&self, workspace: Uuid, wake: impl Fn() + Send + Sync + 'static) {
        let mut wakers = self.wakers.lock();
        wakers.insert(workspace, Arc::new(wake));
        self.watched.store(wakers.len(), Ordering::Release);
    }

    pub fn forget(&self, workspace: Uuid) {
        let mut wakers = self.wakers.lock();
        wakers.remove(&workspace);
        self.watched.store(wakers.len(), Ordering::Release);
    }

    /// Wakes the streams of a workspace, if it has any.
    pub fn wake(&self, workspace: Uuid) {
        if self.watched.load(Ordering::Acquire) == 0 {
            return;
        }
        let wake = self.wakers.lock().get(&workspace).map(Arc::clone);
        if let Some(wake) = wake {
            wake();
        }
    }
}

//! What the workspaces of one account may take of the server together: never all threads of a kind, and not all room for
//! large bodies. An account that makes more workspaces gets no more of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::storage::Share;

/// Large bodies of one account that are in memory at once: half of all.
const LARGE_BODIES: usize = 4;

/// So many threads of each kind there are.
#[derive(Debug, Clone, Copy)]
pub struct Pools {
    pub database: usize,
    pub steps: usize,
    pub bulk: usize,
}

pub struct Group {
    pub database: Arc<Share>,
    pub steps: Arc<Share>,
    pub bulk: Arc<Share>,
    large_bodies: AtomicUsize,
}

/// Room for one large body, given back when this is dropped.
pub struct LargeBody(Arc<Group>);

impl Group {
    pub fn new(pools: Pools) -> Arc<Self> {
        Arc::new(Self {
            database: Share::of(pools.database),
            steps: Share::of(pools.steps),
            bulk: Share::of(pools.bulk),
            large_bodies: AtomicUsize::new(0),
        })
    }

    /// Room for one more large body, if the group has any left.
    pub fn large_body(self: &Arc<Self>) -> Option<LargeBody> {
        let taken = self
            .large_bodies
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < LARGE_BODIES).then_some(taken + 1));
        taken.ok().map(|_| LargeBody(Arc::clone(self)))
    }
}

impl Drop for LargeBody {
    fn drop(&mut self) {
        self.0.large_bodies.fetch_sub(1, Ordering::AcqRel);
    }
}

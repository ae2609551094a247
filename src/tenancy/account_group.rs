//! Limits the resources that the workspaces of one account use together, so that an account never takes all threads of
//! a kind or all memory for large bodies. More workspaces do not give an account more resources.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::storage::Share;

/// Large bodies of one account that may be in memory at once: half of all.
const LARGE_BODIES: usize = 4;

/// The number of threads of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Pools {
    pub database: usize,
    pub blocking: usize,
    pub long_running: usize,
}

pub struct AccountGroup {
    pub database: Arc<Share>,
    pub blocking: Arc<Share>,
    pub long_running: Arc<Share>,
    large_bodies: AtomicUsize,
}

/// A permit for one large body. Dropping it returns the permit.
pub struct LargeBody(Arc<AccountGroup>);

impl AccountGroup {
    pub fn new(pools: Pools) -> Arc<Self> {
        Arc::new(Self {
            database: Share::of(pools.database),
            blocking: Share::of(pools.blocking),
            long_running: Share::of(pools.long_running),
            large_bodies: AtomicUsize::new(0),
        })
    }

    /// Takes a permit for a large body, if the group has one left.
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

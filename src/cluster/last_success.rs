//! When something succeeded last, read without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub struct LastSuccess {
    start: Instant,
    /// Milliseconds from `start` to the last success.
    last: AtomicU64,
}

impl LastSuccess {
    pub fn at(start: Instant) -> Self {
        Self { start, last: AtomicU64::new(0) }
    }

    /// Notes a success. An attempt counts from its beginning. An earlier success than the last one changes nothing.
    pub fn note(&self, began: Instant) {
        let since = began.saturating_duration_since(self.start).as_millis();
        self.last.fetch_max(u64::try_from(since).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// Whether the last success is less than `limit` ago.
    pub fn is_within(&self, limit: Duration) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Acquire));
        self.start.elapsed().saturating_sub(last) < limit
    }
}

//! Metrics of all files together: size and duration of write batches, waits for checkpoints, and files opened.

use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub struct StorageMetrics {
    group_size: Histogram,
    group_seconds: Histogram,
    checkpoint_seconds: Histogram,
    opened: Counter,
}

impl Default for StorageMetrics {
    fn default() -> Self {
        Self {
            // Up to the largest batch, 256.
            group_size: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            group_seconds: durations(),
            checkpoint_seconds: durations(),
            opened: Counter::default(),
        }
    }
}

/// From an eighth of a millisecond to four seconds.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.000_125, 2.0, 16))
}

impl StorageMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("write_group_size", "Writes committed in one transaction", self.group_size.clone());
        registry.register_with_unit(
            "write_group_duration",
            "Time from the first statement of a group of writes until the group is on disk",
            Unit::Seconds,
            self.group_seconds.clone(),
        );
        registry.register_with_unit(
            "checkpoint_wait",
            "Time that the next group of writes waits while the rest of the log is copied into the file",
            Unit::Seconds,
            self.checkpoint_seconds.clone(),
        );
        registry.register("files_opened", "Files opened: the central file and workspaces", self.opened.clone());
    }

    pub(super) fn file_opened(&self) {
        self.opened.inc();
    }

    pub(super) fn checkpointed(&self, begun: Instant) {
        self.checkpoint_seconds.observe(begun.elapsed().as_secs_f64());
    }

    pub(super) fn group_written(&self, size: usize, begun: Instant) {
        if size > 0 {
            self.group_size.observe(size as f64);
            self.group_seconds.observe(begun.elapsed().as_secs_f64());
        }
    }
}

//! Metrics of the log of a server: segments and snapshots that the store has received.

use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub struct StoreMetrics {
    segment_seconds: Histogram,
    segment_bytes: Counter,
    snapshots: Counter,
    snapshot_bytes: Counter,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            // From a millisecond to sixteen seconds.
            segment_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            segment_bytes: Counter::default(),
            snapshots: Counter::default(),
            snapshot_bytes: Counter::default(),
        }
    }
}

impl StoreMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "store_segment_duration",
            "Time from the first request for a segment until the store has it, repeated requests included",
            Unit::Seconds,
            self.segment_seconds.clone(),
        );
        registry.register_with_unit(
            "store_segment",
            "Packed size of the stored segments",
            Unit::Bytes,
            self.segment_bytes.clone(),
        );
        registry.register("store_snapshots", "Stored snapshots", self.snapshots.clone());
        registry.register_with_unit(
            "store_snapshot",
            "Packed size of the stored snapshots",
            Unit::Bytes,
            self.snapshot_bytes.clone(),
        );
    }

    pub(super) fn segment_stored(&self, bytes: usize, begun: Instant) {
        self.segment_seconds.observe(begun.elapsed().as_secs_f64());
        self.segment_bytes.inc_by(bytes as u64);
    }

    pub(super) fn snapshot_stored(&self, bytes: u64) {
        self.snapshots.inc();
        self.snapshot_bytes.inc_by(bytes);
    }
}

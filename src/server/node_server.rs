//! The part of a server that works with other nodes: it closes the files that they are to have, and tells them of changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::log::LogLimiter;
use super::service;
use crate::cluster::{NodeNotifier, NodeServer, shard_of};
use crate::instance::Instance;

/// Running requests of workspaces that another node is to have may take so long to finish.
const LONGEST_HAND_OVER: Duration = Duration::from_secs(1);

pub struct InstanceNode {
    pub instance: Arc<Instance>,
    pub notifier: NodeNotifier,
    pub failed_log: Mutex<LogLimiter>,
}

impl NodeServer for InstanceNode {
    fn close_shards(&self, shards: &BTreeSet<u8>) {
        let is_leaving = |id| shards.contains(&shard_of(id));
        self.instance.registry.hand_over(is_leaving, LONGEST_HAND_OVER);
        if let Some(log) = &self.instance.store_log {
            log.forget_shards(shards);
        }
    }

    fn forget_central(&self) {
        self.instance.directory.forget();
    }

    fn tell(&self, url: &str) -> anyhow::Result<()> {
        self.notifier.notify(url, service::now()).inspect_err(|error| {
            if let Some(times) = self.failed_log.lock().times(Instant::now()) {
                tracing::warn!(error = format!("{error:#}"), times, "another node was not told of a change");
            }
        })
    }
}

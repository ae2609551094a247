//! State in memory only. It ends with the process. A second machine would have a separate state.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::{HostNames, KeyUses, Throttle};
use crate::config::Config;
use crate::tenancy::{PendingDeliveries, RingingCalls, StreamSignals};

pub struct NodeState {
    pub throttle: Throttle,
    pub key_uses: KeyUses,
    pub host_names: HostNames,
    pub pending: Arc<PendingDeliveries>,
    pub ringing_calls: RingingCalls,
    pub stream_signals: StreamSignals,
    /// Digests of idempotency keys whose requests are running outside the lanes.
    pub running_keys: Mutex<HashSet<[u8; 32]>>,
}

impl NodeState {
    pub fn new(config: &Config) -> Self {
        Self {
            throttle: Throttle::new(config.throttle_attempts, config.throttle_window),
            key_uses: KeyUses::default(),
            host_names: HostNames::default(),
            pending: Arc::new(PendingDeliveries::new(config.quotas.max_pending_deliveries)),
            ringing_calls: RingingCalls::default(),
            stream_signals: StreamSignals::default(),
            running_keys: Mutex::default(),
        }
    }
}

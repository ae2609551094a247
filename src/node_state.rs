//! State in memory only. It ends with the process. A second machine would have a separate state.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::auth::{HostNames, KeyUses, Throttle};
use crate::config::Config;
use crate::metrics::MetricTotals;
use crate::openid::ProviderClients;
use crate::tenancy::{JobSlot, PendingDeliveries, RingingCalls, StreamSignals};
use crate::values::{Timestamp, choice};

pub struct NodeState {
    /// Names this process, among those that have had the same files open.
    pub process: Uuid,
    pub throttle: Throttle,
    pub providers: ProviderClients,
    pub key_uses: KeyUses,
    pub host_names: HostNames,
    pub pending: Arc<PendingDeliveries>,
    pub ringing_calls: RingingCalls,
    pub stream_signals: StreamSignals,
    /// Digests of idempotency keys whose requests are running outside the lanes.
    pub running_keys: Mutex<HashSet<[u8; 32]>>,
    /// For each import that runs, by workspace and id, the number of the row that it is at.
    pub running_imports: Mutex<HashMap<(Uuid, i64), Arc<AtomicUsize>>>,
    pub backup_jobs: Arc<JobSlot<BackupTask>>,
    pub checks: Arc<JobSlot<()>>,
    /// Number of workspaces that the server has not updated to its version yet.
    pub waiting_updates: AtomicUsize,
    /// The figures of the last hour, read once a minute, oldest first.
    pub figures: Mutex<VecDeque<FiguresReading>>,
}

choice! {
    /// The work on backups.
    BackupWork { BACKUP = "backup", VERIFICATION = "verification" }
}

/// Work on a backup.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BackupTask {
    /// `backup`: a backup is taken. `verification`: the files of one are verified again.
    pub work: BackupWork,
    /// Name of the backup. Null until it is taken.
    pub backup: Option<String>,
}

/// Figures of the instance at one moment.
#[derive(Debug, Clone, Copy)]
pub struct FiguresReading {
    pub at: Timestamp,
    /// `None` while metrics are disabled.
    pub totals: Option<MetricTotals>,
    pub open_workspaces: usize,
    pub resident_bytes: Option<u64>,
}

impl NodeState {
    pub fn new(config: &Config) -> Self {
        Self {
            process: Uuid::now_v7(),
            throttle: Throttle::new(config.throttle_attempts, config.throttle_window),
            providers: ProviderClients::new(config.private_webhooks),
            key_uses: KeyUses::default(),
            host_names: HostNames::default(),
            pending: Arc::new(PendingDeliveries::new(config.quotas.max_pending_deliveries)),
            ringing_calls: RingingCalls::default(),
            stream_signals: StreamSignals::default(),
            running_keys: Mutex::default(),
            running_imports: Mutex::default(),
            backup_jobs: JobSlot::new("work on a backup"),
            checks: JobSlot::new("a check"),
            waiting_updates: AtomicUsize::new(0),
            figures: Mutex::default(),
        }
    }
}

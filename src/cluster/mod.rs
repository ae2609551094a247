//! Keeps the files of an instance in an object store.
//!
//! Each file has a log in the store: a snapshot of the file, and segments with the pages that later commits wrote. With
//! `acknowledge = "stored"` a response to a write is sent after its segment is stored.
//!
//! ```text
//! instance                      the id of the instance
//! lease                         the server that serves alone, or that nodes serve together
//! nodes/{name}                  a node
//! placement                     which node owns which workspaces
//! keys/{file}                   the keys that encrypt tokens
//! files/{id}/seg/{number}       segments; `id` is `central` or the id of a workspace
//! files/{id}/snap/{number}-{at} snapshots: the file after that segment
//! ```

mod command_log;
mod key_copies;
mod last_success;
mod lease;
mod node_directory;
#[cfg(test)]
mod node_tests;
mod nodes;
mod placement;
mod position;
mod rebuild;
mod restore_instance;
mod segment;
mod shared_central;
mod store_log;
mod store_metrics;
mod store_status;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{Acknowledge, Config};
use crate::durable_fs;
use crate::object_store::{ObjectStore, StoreError};
use crate::storage::{self, Supervisor};
use crate::tenancy::InstanceRecord;
use crate::values::Timestamp;
use crate::values::checksum::hexadecimal;
pub use command_log::CommandLog;
use lease::{Attempt, LeaseWaiter};
pub use node_directory::{NodeDirectory, NodeNotifier, UNTRUSTED_NODE};
use nodes::{NodeOptions, NodeWaiter};
pub use nodes::{NodeServer, Nodes, Owner, StoredNode, change_placement, read_nodes, read_placement};
pub use placement::{Placement, shard_of};
pub use rebuild::FileLog;
pub use restore_instance::{Restored, restore};
pub use store_log::{Claim, LogOptions, StoreLog};
pub use store_status::{DataDirStatus, LocalFile, NodeStatus, StoreStatus, StoredFile, store_status};

/// The object that names the instance of a store.
const INSTANCE: &str = "instance";

/// The file in a data directory that says that several nodes serve the instance.
const SHARED: &str = "shared";

#[derive(Debug, Serialize, Deserialize)]
struct StoredInstance {
    id: Uuid,
}

/// Opens the store of a server, if one is set, and verifies that it honours conditions and belongs to the instance.
pub fn open_store(config: &Config) -> anyhow::Result<Option<Arc<ObjectStore>>> {
    let data = &config.data_dir;
    let central = data.join("central.sqlite");
    let Some(settings) = &config.store else {
        ensure!(
            !storage::is_stored(&central),
            "{} is kept in a store: set store_url again, or run `cx-engine cluster leave` to go on without it",
            data.display()
        );
        return Ok(None);
    };
    let store = ObjectStore::open(settings)?;
    store.probe(&config.node_name, &mut |_| {}).context("the store cannot be used; see `cx-engine cluster check`")?;
    match (central.exists(), stored_instance(&store)?) {
        (false, _) => {}
        (true, None) => {
            let is_empty = storage::is_stored(&central) || store.list_folders("files/")?.is_empty();
            ensure!(
                is_empty,
                "the store has files, but does not name their instance: choose an empty bucket or prefix"
            );
        }
        (true, Some(stored)) => {
            check_instance(data, stored)?;
            ensure!(
                storage::is_stored(&central),
                "the store has an earlier state of this instance, and {} was used without the store since: choose an \
                 empty bucket or prefix, or start with an empty data directory to restore that state",
                data.display()
            );
        }
    }
    Ok(Some(Arc::new(store)))
}

/// A server that waits until it may serve.
pub struct ClaimWaiter {
    lease: LeaseWaiter,
    /// If several nodes serve together.
    node: Option<NodeWaiter>,
}

impl ClaimWaiter {
    /// `None` with `acknowledge = "local"`: what the disk alone has would be lost if another server took over.
    pub fn new(config: &Config, store: &Arc<ObjectStore>) -> anyhow::Result<Option<Self>> {
        if config.acknowledge == Acknowledge::Local {
            return Ok(None);
        }
        let nonce = lease::nonce_of(&config.data_dir)?;
        let lease = LeaseWaiter::new(Arc::clone(store), &config.node_name, nonce.clone(), config.lease);
        let node = config.node.as_ref().map(|node| {
            let options =
                NodeOptions { name: config.node_name.clone(), nonce, url: node.url.clone(), length: config.lease };
            NodeWaiter::new(Arc::clone(store), options)
        });
        Ok(Some(Self { lease, node }))
    }

    /// The interval between two attempts.
    pub fn interval(&self) -> Duration {
        self.lease.interval()
    }

    /// The claim of this server, or who serves instead.
    pub fn attempt(&mut self, now: Instant) -> anyhow::Result<Result<Claim, String>> {
        let Some(node) = &mut self.node else {
            return Ok(match self.lease.attempt(now)? {
                Attempt::Taken(lease) => Ok(Claim::Lease(Arc::new(lease))),
                Attempt::HeldBy(name) => Err(name),
            });
        };
        let epoch = match self.lease.share(now)? {
            Ok(epoch) => epoch,
            Err(name) => return Ok(Err(name)),
        };
        Ok(node.attempt(epoch, now)?.map(Claim::Nodes).ok_or_else(|| "an earlier node".into()))
    }
}

/// Starts the log of a server. In an empty data directory the central file is restored first; each workspace is
/// restored when it is used.
pub fn start(
    config: &Config,
    store: Arc<ObjectStore>,
    claim: Claim,
    clock: fn() -> Timestamp,
) -> anyhow::Result<Arc<StoreLog>> {
    let data = &config.data_dir;
    if stored_instance(&store)?.is_some() {
        // Another server may have created a key.
        key_copies::restore(&store, data)?;
        if !data.join("central.sqlite").exists() {
            tracing::info!("the data directory is empty; it is restored from the store");
            restore_instance::restore_central(&store, data)?;
        }
    }
    note_sharing(data, matches!(claim, Claim::Nodes(_)))?;
    let supervisor = Arc::<Supervisor>::default();
    if let Claim::Lease(lease) = &claim {
        lease.keep(&supervisor)?;
    }
    let options = LogOptions {
        data_dir: data.clone(),
        node: config.node_name.clone(),
        acknowledge: config.acknowledge,
        patience: config.turn_timeout,
        keep: config.cluster_keep,
        snapshot_after: store_log::SNAPSHOT_AFTER,
    };
    StoreLog::start(store, claim, options, &supervisor, clock)
}

/// Notes in the data directory whether several nodes serve the instance. Then no command may open it.
fn note_sharing(data: &Path, is_shared: bool) -> anyhow::Result<()> {
    let note = data.join(SHARED);
    if is_shared {
        durable_fs::write_private_file(&note, b"")
    } else {
        Ok(durable_fs::if_there(fs::remove_file(note))?)
    }
}

/// Whether several nodes serve the instance of a data directory. What it has may be old, and changes would be lost.
pub fn is_shared(data: &Path) -> bool {
    data.join(SHARED).exists()
}

/// Names the instance in its store.
pub fn claim(store: &ObjectStore, id: Uuid) -> anyhow::Result<()> {
    match store.create(INSTANCE, &serde_json::to_vec(&StoredInstance { id })?) {
        Err(StoreError::Precondition) => {
            let stored = stored_instance(store)?;
            ensure!(stored == Some(id), "the store belongs to another instance: choose an empty bucket or prefix");
            Ok(())
        }
        created => created.map(|_| ()).context("cannot write to the store"),
    }
}

/// The instance that a store belongs to. `None` for an empty store.
pub fn stored_instance(store: &ObjectStore) -> anyhow::Result<Option<Uuid>> {
    let Some(object) = store.get(INSTANCE).context("cannot read from the store")? else { return Ok(None) };
    let stored: StoredInstance = serde_json::from_slice(&object.body)
        .context("the object `instance` of the store was not written by cx-engine: choose another bucket or prefix")?;
    Ok(Some(stored.id))
}

fn check_instance(data: &Path, stored: Uuid) -> anyhow::Result<()> {
    let record = InstanceRecord::of_data_dir(data).context("cannot read the central file")?;
    match record {
        Some(record) if record.id == stored => Ok(()),
        _ => bail!(
            "the store belongs to another instance ({stored}) than {}: choose an empty bucket or prefix",
            data.display()
        ),
    }
}

/// Makes a data directory independent of its store. The store keeps what it has.
pub fn leave(data: &Path) -> anyhow::Result<usize> {
    note_sharing(data, false)?;
    let mut left = 0;
    for path in restore_instance::files_of(data)? {
        left += usize::from(storage::forget_store(&path)?);
    }
    Ok(left)
}

/// A random name of a process or a data directory.
fn nonce() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(hexadecimal(bytes))
}

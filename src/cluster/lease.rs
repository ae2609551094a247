//! The lease of an instance: the object `lease` names the server that serves. Another server stands by, and takes over
//! when the lease is released or no longer renewed.
//!
//! The lease only decides who serves. That no answered write is lost depends on the segments, which are created and never
//! replaced: the next owner of a file writes a fence, at which a late writer fails.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::durable_fs;
use crate::object_store::{ETag, ObjectStore, StoreError};
use crate::storage::Supervisor;

const LEASE: &str = "lease";

/// The file in the data directory that has the nonce of the lease. The process that holds the lock of the data directory
/// knows by it that the last holder has ended.
const NONCE: &str = "lease";

/// Renewals in the time of a lease.
const RENEWALS: u32 = 3;

/// A lease that was released is noticed after this time.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// The object in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredLease {
    node: String,
    /// Names the data directory of the holder.
    nonce: String,
    /// Grows by one with each new holder.
    epoch: u64,
    /// Grows by one with each renewal.
    counter: u64,
    /// The time in milliseconds after which the lease expires.
    length_ms: u64,
    is_released: bool,
}

/// A server that waits for the lease.
pub struct LeaseWaiter {
    store: Arc<ObjectStore>,
    node: String,
    nonce: String,
    nonce_path: PathBuf,
    length: Duration,
    /// The lease of another server, and when it was seen first.
    seen: Option<(StoredLease, Instant)>,
}

/// The result of an attempt to take the lease.
pub enum Attempt {
    Taken(Lease),
    /// This server holds it.
    HeldBy(String),
}

/// The lease, held by this server.
pub struct Lease {
    store: Arc<ObjectStore>,
    epoch: u64,
    length: Duration,
    state: Mutex<Held>,
    /// Milliseconds since `began` of the last renewal.
    renewed: AtomicU64,
    began: Instant,
    stop: (Mutex<bool>, Condvar),
}

struct Held {
    lease: StoredLease,
    tag: ETag,
}

impl LeaseWaiter {
    /// The caller holds the lock of the data directory.
    pub fn new(store: Arc<ObjectStore>, node: &str, data: &std::path::Path, length: Duration) -> anyhow::Result<Self> {
        let nonce_path = data.join(NONCE);
        let nonce = match fs::read_to_string(&nonce_path) {
            Ok(nonce) => nonce,
            Err(_) => {
                let nonce = super::nonce()?;
                durable_fs::write_private_file(&nonce_path, nonce.as_bytes())?;
                nonce
            }
        };
        Ok(Self { store, node: node.to_owned(), nonce, nonce_path, length, seen: None })
    }

    /// The interval between two attempts.
    pub fn interval(&self) -> Duration {
        (self.length / RENEWALS).min(LONGEST_INTERVAL)
    }

    /// Takes the lease if nobody holds it, if it was released, or if its holder has not renewed it for the time of a
    /// lease. Only this server's own clock counts.
    pub fn attempt(&mut self, now: Instant) -> anyhow::Result<Attempt> {
        let began = Instant::now();
        let Some(object) = self.store.get(LEASE).context("cannot read the lease")? else {
            let lease = self.own(1);
            let created = self.store.create(LEASE, &serde_json::to_vec(&lease)?);
            return self.taken(lease, created, began);
        };
        let held: StoredLease = serde_json::from_slice(&object.body).context("the lease in the store is damaged")?;
        let is_own = held.nonce == self.nonce;
        if !is_own && !held.is_released {
            let first_seen = match &self.seen {
                Some((seen, at)) if *seen == held => *at,
                Some((seen, _)) if seen.counter != held.counter && held.node == self.node => bail!(
                    "another server with the name {} serves: give each server its own node_name ({} names the data \
                     directory of this one)",
                    held.node,
                    self.nonce_path.display()
                ),
                _ => {
                    self.seen = Some((held.clone(), now));
                    now
                }
            };
            // The lease is as long as its holder believes.
            if now.duration_since(first_seen) < self.length.max(Duration::from_millis(held.length_ms)) {
                return Ok(Attempt::HeldBy(held.node));
            }
        }
        // A new epoch for the own lease as well: a copy of the data directory may hold it.
        let lease = self.own(held.epoch + 1);
        let replaced = self.store.replace(LEASE, &serde_json::to_vec(&lease)?, &object.tag);
        self.taken(lease, replaced, began)
    }

    fn own(&self, epoch: u64) -> StoredLease {
        StoredLease {
            node: self.node.clone(),
            nonce: self.nonce.clone(),
            epoch,
            counter: 0,
            length_ms: u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX),
            is_released: false,
        }
    }

    fn taken(&self, lease: StoredLease, written: Result<ETag, StoreError>, began: Instant) -> anyhow::Result<Attempt> {
        match written {
            Ok(tag) => Ok(Attempt::Taken(Lease {
                store: Arc::clone(&self.store),
                epoch: lease.epoch,
                length: self.length,
                state: Mutex::new(Held { lease, tag }),
                renewed: AtomicU64::new(0),
                began,
                stop: Default::default(),
            })),
            // Another server was faster. The next attempt sees which one.
            Err(StoreError::Precondition) => Ok(Attempt::HeldBy("another server".into())),
            Err(error) => Err(error).context("cannot write the lease"),
        }
    }
}

impl Lease {
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the lease was renewed in time. Otherwise another server may serve already.
    pub fn is_valid(&self) -> bool {
        let last = Duration::from_millis(self.renewed.load(Ordering::Acquire));
        self.began.elapsed().saturating_sub(last) < self.length
    }

    /// Renews the lease until the server stops. When another server has taken it, this process ends.
    pub fn keep(self: &Arc<Self>, supervisor: &Arc<Supervisor>) -> std::io::Result<()> {
        let lease = Arc::clone(self);
        supervisor.spawn("lease".into(), move || {
            while !lease.pause() {
                if let Err(Lost) = lease.renew() {
                    tracing::error!("another server has taken the lease; this one ends");
                    std::process::exit(1);
                }
            }
        })
    }

    /// Waits until the next renewal, and returns whether the server stops.
    fn pause(&self) -> bool {
        let mut stopped = self.stop.0.lock();
        if !*stopped {
            self.stop.1.wait_for(&mut stopped, self.length / RENEWALS);
        }
        *stopped
    }

    /// An attempt to renew. If the store does not respond, the next attempt follows.
    fn renew(&self) -> Result<(), Lost> {
        let mut held = self.state.lock();
        let began = self.began.elapsed();
        let next = StoredLease { counter: held.lease.counter + 1, ..held.lease.clone() };
        let tag = match self.replace(&next, &held.tag) {
            Ok(tag) => tag,
            Err(StoreError::Precondition) => match self.current() {
                // An earlier attempt was carried out, and its answer was lost.
                Ok(Some((lease, tag))) if (&lease.nonce, lease.epoch) == (&next.nonce, next.epoch) => {
                    *held = Held { lease, tag };
                    return Ok(());
                }
                Ok(_) => return Err(Lost),
                Err(error) => {
                    tracing::warn!(%error, "the lease was not renewed");
                    return Ok(());
                }
            },
            Err(error) => {
                tracing::warn!(%error, "the lease was not renewed");
                return Ok(());
            }
        };
        *held = Held { lease: next, tag };
        self.renewed.store(u64::try_from(began.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
        Ok(())
    }

    fn replace(&self, lease: &StoredLease, tag: &ETag) -> Result<ETag, StoreError> {
        let text = serde_json::to_vec(lease).map_err(|error| StoreError::Unknown(error.to_string()))?;
        self.store.replace(LEASE, &text, tag)
    }

    fn current(&self) -> Result<Option<(StoredLease, ETag)>, StoreError> {
        let Some(object) = self.store.get(LEASE)? else { return Ok(None) };
        let lease = serde_json::from_slice(&object.body).map_err(|error| StoreError::Unknown(error.to_string()))?;
        Ok(Some((lease, object.tag)))
    }

    /// Gives the lease back when the server stops, so that another takes over at once.
    pub fn release(&self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        let held = self.state.lock();
        let released = StoredLease { is_released: true, ..held.lease.clone() };
        if let Err(error) = self.replace(&released, &held.tag) {
            tracing::warn!(%error, "the lease was not released; another server takes over when it expires");
        }
    }
}

/// Another server has the lease.
struct Lost;

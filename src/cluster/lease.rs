//! The lease of an instance: the object `lease` names the server that serves. Another server stands by, and takes over
//! when the lease is released or no longer renewed.
//!
//! The lease only decides who serves. That no answered write is lost depends on the segments, which are created and never
//! replaced: the next owner of a file writes a fence, at which a late writer fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::last_success::LastSuccess;
use super::nodes;
use crate::durable_fs;
use crate::object_store::{ETag, ObjectStore, StoreError};
use crate::storage::Supervisor;

const LEASE: &str = "lease";

/// The file in the data directory that has its nonce.
const NONCE: &str = "lease";

/// Stands for the name of a server that nobody has read yet.
const ANOTHER: &str = "another server";

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
    /// Several nodes serve together; each has an object of its own. Nobody renews this one.
    #[serde(default)]
    is_shared: bool,
}

/// A server that waits for the lease.
pub struct LeaseWaiter {
    store: Arc<ObjectStore>,
    node: String,
    nonce: String,
    length: Duration,
    /// The lease of another server.
    seen: FirstSeen<StoredLease>,
    /// The counters of the nodes that serve together.
    seen_nodes: FirstSeen<BTreeMap<String, u64>>,
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
    /// When it was renewed last.
    renewed: LastSuccess,
    stop: (Mutex<bool>, Condvar),
}

struct Held {
    lease: StoredLease,
    tag: ETag,
}

/// Asks the store at `now`. Also returns the time of the response. The time of a lease counts from then: its holder may
/// have renewed it just before.
pub(super) fn until_response<T>(now: Instant, ask: impl FnOnce() -> T) -> (T, Instant) {
    let asked = Instant::now();
    let response = ask();
    (response, now + asked.elapsed())
}

/// A value of another server, and when it was seen first.
struct FirstSeen<T>(Option<(T, Instant)>);

impl<T: PartialEq> FirstSeen<T> {
    /// Returns since when the value is unchanged.
    fn note(&mut self, value: T, now: Instant) -> Instant {
        match &self.0 {
            Some((seen, at)) if *seen == value => *at,
            _ => {
                self.0 = Some((value, now));
                now
            }
        }
    }
}

impl LeaseWaiter {
    /// `nonce` is that of the data directory.
    pub fn new(store: Arc<ObjectStore>, node: &str, nonce: String, length: Duration) -> Self {
        Self { store, node: node.to_owned(), nonce, length, seen: FirstSeen(None), seen_nodes: FirstSeen(None) }
    }

    /// The interval between two attempts.
    pub fn interval(&self) -> Duration {
        (self.length / RENEWALS).min(LONGEST_INTERVAL)
    }

    /// Takes the lease if nobody holds it, if it was released, or if its holder has not renewed it for the time of a
    /// lease. Only this server's own clock counts.
    pub fn attempt(&mut self, now: Instant) -> anyhow::Result<Attempt> {
        let began = Instant::now();
        let (held, seen) = until_response(now, || read_lease(&self.store));
        let (held, tag) = held?.unzip();
        let epoch = match held {
            None => 0,
            Some(held) if held.is_shared => {
                if !self.are_nodes_gone(now)? {
                    return Ok(Attempt::HeldBy(held.node));
                }
                let Some(placed) = nodes::end_sharing(&self.store)? else { return Ok(Attempt::HeldBy(held.node)) };
                held.epoch.max(placed)
            }
            Some(held) if self.is_free(&held, now, seen)? => held.epoch,
            Some(held) => return Ok(Attempt::HeldBy(held.node)),
        };
        // A new epoch for the own lease as well: a copy of the data directory may hold it.
        let lease = self.own(epoch + 1);
        let written = self.store.write(LEASE, &serde_json::to_vec(&lease)?, tag.as_ref());
        self.taken(lease, written, began)
    }

    /// Notes that several nodes serve together, unless one server serves alone. Returns the epoch, or that server.
    pub fn share(&mut self, now: Instant) -> anyhow::Result<Result<u64, String>> {
        let (held, seen) = until_response(now, || read_lease(&self.store));
        let (held, tag) = held?.unzip();
        let epoch = match held {
            None => 0,
            Some(held) if held.is_shared => return Ok(Ok(held.epoch)),
            Some(held) if self.is_free(&held, now, seen)? => held.epoch,
            Some(held) => return Ok(Err(held.node)),
        };
        let lease = StoredLease { is_shared: true, ..self.own(epoch + 1) };
        match self.store.write(LEASE, &serde_json::to_vec(&lease)?, tag.as_ref()) {
            Ok(_) => Ok(Ok(lease.epoch)),
            Err(StoreError::Precondition) => Ok(Err(ANOTHER.into())),
            Err(error) => Err(error).context("cannot write the lease"),
        }
    }

    /// Whether nobody holds a lease any more, or only this data directory. `now` is the time before it was read, `seen` the
    /// time afterwards.
    fn is_free(&mut self, held: &StoredLease, now: Instant, seen: Instant) -> anyhow::Result<bool> {
        if held.nonce == self.nonce || held.is_released {
            return Ok(true);
        }
        if let FirstSeen(Some((seen, _))) = &self.seen
            && seen.counter != held.counter
            && held.node == self.node
        {
            bail!(
                "another server with the name {} serves: give each server its own node_name (the file `{NONCE}` in the \
                 data directory names this one)",
                held.node
            );
        }
        let first_seen = self.seen.note(held.clone(), seen);
        // The lease is as long as its holder believes.
        Ok(now.duration_since(first_seen) >= self.length.max(Duration::from_millis(held.length_ms)))
    }

    /// Whether the nodes that served together have left, or have not renewed their objects for the time of a lease.
    fn are_nodes_gone(&mut self, now: Instant) -> anyhow::Result<bool> {
        let (nodes, seen) = until_response(now, || nodes::read_nodes(&self.store));
        let nodes = nodes?;
        let present = || nodes.iter().filter(|(_, (node, _))| !node.has_left && node.nonce != self.nonce);
        let counters: BTreeMap<String, u64> = present().map(|(name, (node, _))| (name.clone(), node.counter)).collect();
        let longest = present().map(|(_, (node, _))| node.length_ms).max();
        let Some(longest) = longest else { return Ok(true) };
        let first_seen = self.seen_nodes.note(counters, seen);
        Ok(now.duration_since(first_seen) >= self.length.max(Duration::from_millis(longest)))
    }

    fn own(&self, epoch: u64) -> StoredLease {
        StoredLease {
            node: self.node.clone(),
            nonce: self.nonce.clone(),
            epoch,
            counter: 0,
            length_ms: u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX),
            is_released: false,
            is_shared: false,
        }
    }

    fn taken(&self, lease: StoredLease, written: Result<ETag, StoreError>, began: Instant) -> anyhow::Result<Attempt> {
        match written {
            Ok(tag) => Ok(Attempt::Taken(Lease {
                store: Arc::clone(&self.store),
                epoch: lease.epoch,
                length: self.length,
                state: Mutex::new(Held { lease, tag }),
                renewed: LastSuccess::at(began),
                stop: Default::default(),
            })),
            // Another server was faster. The next attempt sees which one.
            Err(StoreError::Precondition) => Ok(Attempt::HeldBy(ANOTHER.into())),
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
        self.renewed.is_within(self.length)
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
        let began = Instant::now();
        let next = StoredLease { counter: held.lease.counter + 1, ..held.lease.clone() };
        let tag = match self.replace(&next, &held.tag) {
            Ok(tag) => tag,
            Err(StoreError::Precondition) => match read_lease(&self.store) {
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
        self.renewed.note(began);
        Ok(())
    }

    fn replace(&self, lease: &StoredLease, tag: &ETag) -> Result<ETag, StoreError> {
        let text = serde_json::to_vec(lease).map_err(|error| StoreError::Unknown(error.to_string()))?;
        self.store.replace(LEASE, &text, tag)
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

fn read_lease(store: &ObjectStore) -> anyhow::Result<Option<(StoredLease, ETag)>> {
    let Some(object) = store.get(LEASE).context("cannot read the lease")? else { return Ok(None) };
    let lease = serde_json::from_slice(&object.body).context("the lease in the store is damaged")?;
    Ok(Some((lease, object.tag)))
}

/// The nonce of a data directory. The process that holds the lock of the directory knows by it that the last holder of a
/// lease has ended.
pub fn nonce_of(data: &Path) -> anyhow::Result<String> {
    let path = data.join(NONCE);
    if let Ok(nonce) = fs::read_to_string(&path) {
        return Ok(nonce);
    }
    let nonce = super::nonce()?;
    durable_fs::write_private_file(&path, nonce.as_bytes())?;
    Ok(nonce)
}

/// Another server has the lease, or the name of this node.
#[derive(Debug)]
pub struct Lost;

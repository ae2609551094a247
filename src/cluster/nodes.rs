//! The nodes that serve an instance together. Each renews its own object `nodes/{name}`, watches those of the others, and
//! reads the placement.
//!
//! A node that does not renew its object in time answers nothing; the others take its shards. They judge by their own
//! clocks how long the object has not changed. As with the lease, no answered write depends on a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::last_success::LastSuccess;
use super::lease::{Lost, until_response};
use super::placement::{Placement, shard_of};
use super::rebuild::at_once;
use super::store_log::StoreLog;
use crate::object_store::{ETag, ObjectStore, StoreError};
use crate::storage::{FileKind, Supervisor};

const FOLDER: &str = "nodes/";
const PLACEMENT: &str = "placement";

/// Renewals in the time of a lease.
const RENEWALS: u32 = 3;

/// A renewal may be seen this much later without a longer fail-over.
const SEEN_LATE: Duration = Duration::from_millis(1500);

/// The object of a node in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredNode {
    /// Names the data directory of the node.
    pub nonce: String,
    /// Names the process.
    pub process: String,
    /// How the other nodes reach it.
    pub url: String,
    pub version: String,
    /// The versions of the files that it reads and writes: the central file, and a workspace.
    pub schema: (i64, i64),
    /// Grows by one with each renewal.
    pub counter: u64,
    /// The time in milliseconds after which the others take over.
    pub length_ms: u64,
    pub has_left: bool,
}

/// How a node takes part.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    pub name: String,
    pub nonce: String,
    pub url: String,
    pub length: Duration,
}

/// The owner of a workspace, or of the central file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    ThisNode,
    Node {
        name: String,
        url: String,
    },
    /// Its node is gone, and no other has taken over yet.
    Nobody,
}

/// What the other parts of a server do for the nodes.
pub trait NodeServer: Send + Sync {
    /// Closes the files of shards, which another node is about to own or owns already. Takes a second at most.
    fn close_shards(&self, shards: &BTreeSet<u8>);

    /// Drops what is remembered of the central file: commits that it had were undone.
    fn forget_central(&self);

    /// Tells another node that the central file or the placement has changed. Returns when it knows it.
    fn tell(&self, url: &str) -> anyhow::Result<()>;
}

/// A node that waits until it may take part.
pub struct NodeWaiter {
    store: Arc<ObjectStore>,
    options: NodeOptions,
    /// Nodes in the way: their counters, and since when they are known.
    seen: BTreeMap<String, (u64, Instant)>,
}

/// This node, and what it knows of the others.
pub struct Nodes {
    store: Arc<ObjectStore>,
    options: NodeOptions,
    own: Mutex<(StoredNode, ETag)>,
    others: Mutex<BTreeMap<String, KnownNode>>,
    placement: RwLock<KnownPlacement>,
    /// Held while the placement is read or written, so that an older one never replaces a newer one.
    reading: Mutex<()>,
    server: OnceLock<Weak<dyn NodeServer>>,
    /// The last round that has renewed the node and read the placement.
    renewed: LastSuccess,
    /// The epoch with which the nodes began to share the central file.
    shared_epoch: u64,
    wake: (Mutex<Wake>, Condvar),
}

#[derive(Default)]
struct Wake {
    is_early: bool,
    is_stopping: bool,
}

struct KnownNode {
    node: StoredNode,
    changed: Instant,
}

struct KnownPlacement {
    placement: Placement,
    tag: ETag,
    /// Shards of this node that are being handed over.
    leaving: BTreeSet<u8>,
}

impl NodeWaiter {
    pub fn new(store: Arc<ObjectStore>, options: NodeOptions) -> Self {
        Self { store, options, seen: BTreeMap::new() }
    }

    /// Takes part in the placement. `epoch` is that of the lease. `None` while another node with the same name, or one of
    /// another version, may be alive.
    pub fn attempt(&mut self, epoch: u64, now: Instant) -> anyhow::Result<Option<Arc<Nodes>>> {
        let (stored, seen) = until_response(now, || read_nodes(&self.store));
        let stored = stored?;
        let own = StoredNode {
            nonce: self.options.nonce.clone(),
            process: super::nonce()?,
            url: self.options.url.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: (FileKind::Central.version(), FileKind::Workspace.version()),
            counter: 0,
            length_ms: u64::try_from(valid_for(self.options.length).as_millis()).unwrap_or(u64::MAX),
            has_left: false,
        };
        let mut own_tag = None;
        let mut must_wait = false;
        for (name, (node, tag)) in &stored {
            let has_own_name = *name == self.options.name;
            if has_own_name {
                own_tag = Some(tag.clone());
            }
            let is_in_the_way =
                (has_own_name && node.nonce != own.nonce) || (!has_own_name && node.schema != own.schema);
            if node.has_left || !is_in_the_way {
                continue;
            }
            let (counter, since) = *self.seen.entry(name.clone()).or_insert((node.counter, seen));
            ensure!(
                counter == node.counter || !has_own_name,
                "another node with the name {name} serves: give each node its own node_name"
            );
            ensure!(
                counter == node.counter,
                "the node {name} has version {} and another schema than this version {}: stop all nodes of the older \
                 version first",
                node.version,
                own.version
            );
            must_wait |= now.duration_since(since) < self.options.length.max(Duration::from_millis(node.length_ms));
        }
        if must_wait {
            return Ok(None);
        }
        let began = Instant::now();
        let key = format!("{FOLDER}{}", self.options.name);
        let text = serde_json::to_vec(&own)?;
        let tag = match self.store.write(&key, &text, own_tag.as_ref()) {
            // Another attempt was faster.
            Err(StoreError::Precondition) => return Ok(None),
            written => written.context("cannot write the object of this node")?,
        };
        let (placement, placement_tag) = self.join(epoch)?;
        let others = stored.into_iter().filter(|(name, _)| *name != self.options.name);
        Ok(Some(Arc::new(Nodes {
            store: Arc::clone(&self.store),
            options: self.options.clone(),
            own: Mutex::new((own, tag)),
            others: Mutex::new(others.map(|(name, (node, _))| (name, KnownNode { node, changed: seen })).collect()),
            placement: RwLock::new(KnownPlacement { placement, tag: placement_tag, leaving: BTreeSet::new() }),
            reading: Mutex::default(),
            server: OnceLock::new(),
            renewed: LastSuccess::at(began),
            shared_epoch: epoch,
            wake: Default::default(),
        })))
    }

    /// Adds this node to the placement. Tries again if another node has changed it.
    fn join(&self, epoch: u64) -> anyhow::Result<(Placement, ETag)> {
        let name = &self.options.name;
        loop {
            let (stored, tag) = read_placement(&self.store)?.unzip();
            let placement = match stored {
                None => Placement::of_one(name, epoch),
                Some(stored) if stored.is_over => Placement::of_one(name, epoch.max(stored.version + 1)),
                Some(mut stored) => {
                    stored.join(name);
                    stored.version += 1;
                    stored
                }
            };
            match self.store.write(PLACEMENT, &serde_json::to_vec(&placement)?, tag.as_ref()) {
                Ok(tag) => return Ok((placement, tag)),
                Err(StoreError::Precondition) => {}
                Err(error) => return Err(error).context("cannot write the placement"),
            }
        }
    }
}

impl Nodes {
    /// Sets the server of this node, once.
    pub fn serve(&self, server: Weak<dyn NodeServer>) {
        let _ = self.server.set(server);
    }

    fn server(&self) -> Option<Arc<dyn NodeServer>> {
        self.server.get().and_then(Weak::upgrade)
    }

    pub(super) fn forget_central(&self) {
        if let Some(server) = self.server() {
            server.forget_central();
        }
    }

    /// Tells another node that the central file or the placement has changed.
    pub(super) fn tell(&self, url: &str) -> anyhow::Result<()> {
        self.server().map_or(Ok(()), |server| server.tell(url))
    }

    /// The interval between two rounds.
    pub fn interval(&self) -> Duration {
        self.options.length / RENEWALS
    }

    /// Whether this node was renewed and read the placement in time. Otherwise others may own its shards.
    pub fn is_valid(&self) -> bool {
        self.renewed.is_within(valid_for(self.options.length))
    }

    pub fn owner_of(&self, workspace: Uuid) -> Owner {
        let known = self.placement.read();
        let number = shard_of(workspace);
        let shard = known.placement.shard(number);
        let is_leaving = known.leaving.contains(&number);
        let owner = shard.next.as_ref().filter(|_| is_leaving).unwrap_or(&shard.owner);
        self.owner_named(owner)
    }

    /// The node that prefers the requests of the central host.
    pub fn central_node(&self) -> Owner {
        self.owner_named(&self.placement.read().placement.central)
    }

    fn owner_named(&self, name: &str) -> Owner {
        if name == self.options.name {
            return Owner::ThisNode;
        }
        match self.others.lock().get(name) {
            Some(known) if !known.node.has_left => Owner::Node { name: name.to_owned(), url: known.node.url.clone() },
            _ => Owner::Nobody,
        }
    }

    pub fn placement_version(&self) -> u64 {
        self.placement.read().placement.version
    }

    /// The epoch of all nodes for the central file. A server that serves alone afterwards has a later one.
    pub fn shared_epoch(&self) -> u64 {
        self.shared_epoch
    }

    /// The epoch with which this node owns a workspace.
    pub fn epoch_of(&self, workspace: Uuid) -> u64 {
        self.placement.read().placement.shard(shard_of(workspace)).epoch
    }

    /// The addresses of the other nodes that take part. One that seems to be gone may only be late.
    pub fn other_urls(&self) -> Vec<String> {
        let known = self.placement.read();
        let others = self.others.lock();
        let taking_part = known.placement.nodes.iter().filter_map(|name| others.get(name));
        taking_part.filter(|other| !other.node.has_left).map(|other| other.node.url.clone()).collect()
    }

    /// The addresses of the other nodes that take part by the placement in the store. This node may not know them yet.
    pub fn stored_urls(&self) -> anyhow::Result<Vec<String>> {
        let (placement, _) = read_placement(&self.store)?.context("the store has lost the placement")?;
        let mut urls = Vec::new();
        for name in placement.nodes.iter().filter(|name| **name != self.options.name) {
            match self.owner_named(name) {
                Owner::Node { url, .. } => urls.push(url),
                _ => urls.extend(read_node(&self.store, name)?.map(|(node, _)| node.url)),
            }
        }
        Ok(urls)
    }

    /// Repeats rounds until the server stops. If another data directory has taken the name of this node, the process
    /// ends.
    pub fn keep(self: &Arc<Self>, supervisor: &Arc<Supervisor>, log: Weak<StoreLog>) -> std::io::Result<()> {
        let nodes = Arc::clone(self);
        supervisor.spawn("nodes".into(), move || {
            while !nodes.pause() {
                let Some(log) = log.upgrade() else { return };
                match nodes.round(Instant::now(), || log.catch_up()) {
                    // On another thread: a node that does not respond must not keep this one from its renewal.
                    Ok(true) => log.tell_soon(),
                    Ok(false) => {}
                    Err(RoundError::Lost(Lost)) => {
                        tracing::error!("another server uses the name of this node; this one ends");
                        std::process::exit(1);
                    }
                    Err(RoundError::Store(error)) => {
                        tracing::warn!(error = format!("{error:#}"), "a round of the nodes failed")
                    }
                }
            }
        })
    }

    #[cfg(test)]
    pub fn round_now(&self) {
        self.round_at(Instant::now());
    }

    #[cfg(test)]
    pub fn round_at(&self, now: Instant) {
        self.round_with(now, || Ok(()));
    }

    #[cfg(test)]
    pub fn round_with(&self, now: Instant, catch_up: impl FnOnce() -> anyhow::Result<()>) {
        self.round(now, catch_up).unwrap();
    }

    /// Waits until the next round, and returns whether the server stops. A node that expires meanwhile is taken over then.
    fn pause(&self) -> bool {
        let now = Instant::now();
        let expires = self.others.lock().values().filter_map(|known| known.expires_after(now)).min();
        let limit = expires.map_or(self.interval(), |expires| expires.min(self.interval()));
        let mut wake = self.wake.0.lock();
        if !wake.is_early && !wake.is_stopping {
            self.wake.1.wait_for(&mut wake, limit);
        }
        wake.is_early = false;
        wake.is_stopping
    }

    /// Begins the next round now.
    fn wake(&self) {
        self.wake.0.lock().is_early = true;
        self.wake.1.notify_all();
    }

    /// Renews this node, reads the placement, looks at the others, and does this node's part of the changes. Returns whether
    /// it has changed the placement. A node that was late may serve again once it takes part, so that the others tell it
    /// of their commits, and has caught up with the central file since.
    fn round(&self, now: Instant, catch_up: impl FnOnce() -> anyhow::Result<()>) -> Result<bool, RoundError> {
        let began = Instant::now();
        self.renew(false)?;
        let (takes_part, is_late, seen) = {
            let reading = self.reading.lock();
            self.read(&reading)?;
            self.look_at(|| now + began.elapsed(), |_| true)?;
            let placement = self.placement.read().placement.clone();
            let takes_part = placement.nodes.contains(&self.options.name);
            // Another node may have found this one late, and may be about to take over. Then only one of the two changes
            // of the placement succeeds.
            let is_late = !self.is_valid();
            if takes_part && is_late && !self.change(&reading, placement)? {
                return Ok(false);
            }
            (takes_part, is_late, self.placement.read().tag.clone())
        };
        if takes_part {
            if is_late {
                catch_up()?;
            }
            self.renewed.note(began);
        }
        let reading = self.reading.lock();
        // The objects of the nodes were read before the placement that is known by now.
        if self.placement.read().tag != seen {
            self.wake();
            return Ok(false);
        }
        Ok(self.act(&reading, now)?)
    }

    /// Renews the object of this node.
    fn renew(&self, has_left: bool) -> Result<(), RoundError> {
        let mut own = self.own.lock();
        let key = format!("{FOLDER}{}", self.options.name);
        let next = StoredNode { counter: own.0.counter + 1, has_left, ..own.0.clone() };
        let text = serde_json::to_vec(&next).map_err(anyhow::Error::from)?;
        let tag = match self.store.replace(&key, &text, &own.1) {
            Err(StoreError::Precondition) => match read_node(&self.store, &self.options.name)? {
                // An earlier attempt was carried out, and its answer was lost.
                Some((node, tag)) if node.process == next.process => {
                    *own = (node, tag);
                    return Ok(());
                }
                _ => return Err(RoundError::Lost(Lost)),
            },
            replaced => replaced.context("this node was not renewed")?,
        };
        *own = (next, tag);
        Ok(())
    }

    /// Reads the objects of other nodes. The time of a lease counts from the response: the node may have renewed its object
    /// just before.
    fn look_at(&self, now: impl Fn() -> Instant, is_wanted: impl Fn(&String) -> bool) -> anyhow::Result<()> {
        let names: Vec<String> = self.placement.read().placement.nodes.iter().cloned().collect();
        let names: Vec<&String> = names.iter().filter(|name| **name != self.options.name && is_wanted(name)).collect();
        let read = at_once(&names, |name| read_node(&self.store, name));
        let now = now();
        let mut others = self.others.lock();
        for (name, node) in names.into_iter().zip(read) {
            let Some((node, _)) = node? else { continue };
            match others.get_mut(name) {
                Some(known) if known.node == node => {}
                _ => drop(others.insert(name.clone(), KnownNode { node, changed: now })),
            }
        }
        Ok(())
    }

    /// Reads the placement again, because another node has changed it or a request suggests so.
    pub fn refresh(&self) -> anyhow::Result<()> {
        let reading = self.reading.lock();
        self.read(&reading)?;
        let known: BTreeSet<String> = self.others.lock().keys().cloned().collect();
        self.look_at(Instant::now, |name| !known.contains(name))?;
        let placement = &self.placement.read().placement;
        if placement.owned_by(&self.options.name).any(|number| placement.shard(number).next.is_some()) {
            self.wake();
        }
        Ok(())
    }

    fn read(&self, _reading: &MutexGuard<'_, ()>) -> anyhow::Result<()> {
        let (placement, tag) = read_placement(&self.store)?.context("the store has lost the placement")?;
        ensure!(!placement.is_over, "one server serves alone by now: restart this one");
        self.replace_known(placement, tag);
        Ok(())
    }

    /// Notes a placement, and closes the files of the shards that this node no longer owns.
    fn replace_known(&self, placement: Placement, tag: ETag) {
        let mut known = self.placement.write();
        if known.tag == tag {
            return;
        }
        let own = &self.options.name;
        let lost: BTreeSet<u8> =
            known.placement.owned_by(own).filter(|number| placement.shard(*number).owner != *own).collect();
        let is_leaving =
            |number: &u8| placement.shard(*number).owner == *own && placement.shard(*number).next.is_some();
        known.leaving.retain(is_leaving);
        (known.placement, known.tag) = (placement, tag);
        drop(known);
        self.close(&lost);
    }

    fn close(&self, shards: &BTreeSet<u8>) {
        if let Some(server) = self.server().filter(|_| !shards.is_empty()) {
            server.close_shards(shards);
        }
    }

    /// Takes over from nodes that are gone, and hands over what other nodes are to have.
    fn act(&self, reading: &MutexGuard<'_, ()>, now: Instant) -> anyhow::Result<bool> {
        let own = &self.options.name;
        let live = self.live(now);
        let mut next = self.placement.read().placement.clone();
        let before = next.clone();
        if !next.nodes.contains(own) {
            next.join(own);
        }
        if !next.nodes.is_subset(&live) {
            next.take_over(&live);
        }
        if next.draining.contains(own) {
            next.drain(own);
        }
        let leaving: BTreeSet<u8> = next.owned_by(own).filter(|number| next.shard(*number).next.is_some()).collect();
        if !leaving.is_empty() {
            // Requests go to the next owner from now on. It waits for the new placement.
            self.placement.write().leaving.clone_from(&leaving);
            self.close(&leaving);
            next.hand_over(&leaving);
        }
        if next == before {
            return Ok(false);
        }
        self.change(reading, next)
    }

    /// Replaces the placement. False if another node was faster: the next round sees its change.
    fn change(&self, reading: &MutexGuard<'_, ()>, mut next: Placement) -> anyhow::Result<bool> {
        next.version += 1;
        let tag = self.placement.read().tag.clone();
        match self.store.replace(PLACEMENT, &serde_json::to_vec(&next)?, &tag) {
            Ok(tag) => {
                self.replace_known(next, tag);
                Ok(true)
            }
            Err(StoreError::Precondition) => {
                self.read(reading)?;
                self.wake();
                Ok(false)
            }
            Err(error) => Err(error).context("cannot write the placement"),
        }
    }

    /// The names of this node and of the other nodes that are alive.
    fn live(&self, now: Instant) -> BTreeSet<String> {
        let others = self.others.lock();
        let live = others.iter().filter(|(_, known)| known.is_live(now)).map(|(name, _)| name.clone());
        live.chain([self.options.name.clone()]).collect()
    }

    /// Ends the rounds, gives everything to the other nodes, and leaves. All files of this node are closed.
    pub fn leave(&self) {
        {
            let mut wake = self.wake.0.lock();
            wake.is_stopping = true;
            self.wake.1.notify_all();
        }
        if let Err(error) = self.give_away() {
            tracing::warn!(
                error = format!("{error:#}"),
                "this node has not left; the others take over when it expires"
            );
        }
    }

    fn give_away(&self) -> anyhow::Result<()> {
        let reading = self.reading.lock();
        let live: BTreeSet<String> =
            self.live(Instant::now()).into_iter().filter(|name| *name != self.options.name).collect();
        loop {
            self.read(&reading)?;
            let mut next = self.placement.read().placement.clone();
            if next.nodes.is_disjoint(&live) {
                break;
            }
            next.take_over(&live);
            if self.change(&reading, next)? {
                break;
            }
        }
        match self.renew(true) {
            Err(RoundError::Store(error)) => Err(error),
            Ok(()) | Err(RoundError::Lost(Lost)) => Ok(()),
        }
    }
}

/// How long a node serves after it began its last renewal, for a length of the lease. The others see a renewal in their next
/// round, up to a third of a lease later, and count from then. So a node gives up earlier where that is long: another has
/// taken over when a lease and two seconds are over.
pub fn valid_for(length: Duration) -> Duration {
    length - (length / RENEWALS).saturating_sub(SEEN_LATE)
}

impl KnownNode {
    fn is_live(&self, now: Instant) -> bool {
        self.expires_after(now).is_some()
    }

    /// The time until the node expires. `None` if it is gone.
    fn expires_after(&self, now: Instant) -> Option<Duration> {
        let length = Duration::from_millis(self.node.length_ms);
        let left = length.saturating_sub(now.saturating_duration_since(self.changed));
        (!self.node.has_left && !left.is_zero()).then_some(left)
    }
}

/// Why a round was not done.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("another server uses the name of this node")]
    Lost(Lost),
    #[error(transparent)]
    Store(#[from] anyhow::Error),
}

/// All nodes that the store names, with those that are gone.
pub fn read_nodes(store: &ObjectStore) -> anyhow::Result<BTreeMap<String, (StoredNode, ETag)>> {
    let listed = store.list(FOLDER, None).context("cannot list the nodes")?;
    let names: Vec<String> =
        listed.iter().filter_map(|object| object.key.strip_prefix(FOLDER).map(str::to_owned)).collect();
    let read = at_once(&names, |name| read_node(store, name));
    let mut nodes = BTreeMap::new();
    for (name, node) in names.into_iter().zip(read) {
        nodes.extend(node?.map(|node| (name, node)));
    }
    Ok(nodes)
}

fn read_node(store: &ObjectStore, name: &str) -> anyhow::Result<Option<(StoredNode, ETag)>> {
    let Some(object) = store.get(&format!("{FOLDER}{name}")).context("cannot read a node")? else { return Ok(None) };
    let node =
        serde_json::from_slice(&object.body).with_context(|| format!("the node {name} in the store is damaged"))?;
    Ok(Some((node, object.tag)))
}

/// The placement in the store. `None` if no nodes serve the instance together.
pub fn read_placement(store: &ObjectStore) -> anyhow::Result<Option<(Placement, ETag)>> {
    let Some(object) = store.get(PLACEMENT).context("cannot read the placement")? else { return Ok(None) };
    let placement: Placement = serde_json::from_slice(&object.body).context("the placement in the store is damaged")?;
    ensure!(placement.is_whole(), "the placement in the store is damaged");
    Ok(Some((placement, object.tag)))
}

/// Ends the placement, because one server serves alone from now on. Returns its last version, or `None` if another process
/// was faster.
pub fn end_sharing(store: &ObjectStore) -> anyhow::Result<Option<u64>> {
    let Some((mut placement, tag)) = read_placement(store)? else { return Ok(Some(0)) };
    if !placement.is_over {
        placement.is_over = true;
        placement.version += 1;
        match store.replace(PLACEMENT, &serde_json::to_vec(&placement)?, &tag) {
            Ok(_) => {}
            Err(StoreError::Precondition) => return Ok(None),
            Err(error) => return Err(error).context("cannot write the placement"),
        }
    }
    Ok(Some(placement.version))
}

/// Changes the placement by a command. `change` may be called again if a node was faster.
pub fn change_placement(
    store: &ObjectStore,
    mut change: impl FnMut(&mut Placement) -> anyhow::Result<()>,
) -> anyhow::Result<Placement> {
    loop {
        let stored = read_placement(store)?;
        let stored = stored.filter(|(placement, _)| !placement.is_over);
        let (mut placement, tag) = stored.context("no nodes serve this instance together: see node_url")?;
        change(&mut placement)?;
        placement.version += 1;
        match store.replace(PLACEMENT, &serde_json::to_vec(&placement)?, &tag) {
            Ok(_) => return Ok(placement),
            Err(StoreError::Precondition) => {}
            Err(error) => return Err(error).context("cannot write the placement"),
        }
    }
}

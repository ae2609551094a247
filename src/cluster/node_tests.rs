//! Tests of several nodes with one store: the shared central file, and the placement of workspaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use proptest::prelude::*;
use tempfile::TempDir;

use super::nodes::NodeWaiter;
use super::tests::end_process;
use super::*;
use crate::api::Error;
use crate::object_store::s3_stub::{Fault, S3Stub};
use crate::object_store::{StorePurpose, StoreSettings};
use crate::storage::{File, FileKind, Limits, Storage, UpdateCopies};

const NOW: fn() -> Timestamp = || Timestamp::from_seconds(1_800_000_000);
/// Longer than the tests take on a busy machine. Where a lease expires, the test says the time.
const LENGTH: Duration = Duration::from_secs(60);

/// The servers of all nodes, by URL.
type Servers = Arc<Mutex<BTreeMap<String, Arc<StoreLog>>>>;

/// A server that tells others by a call.
struct CallingServer(Servers);

impl NodeServer for CallingServer {
    fn close_shards(&self, _: &BTreeSet<u8>) {}

    fn forget_central(&self) {}

    fn tell(&self, url: &str) -> anyhow::Result<()> {
        let log = self.0.lock().get(url).cloned();
        log.with_context(|| format!("{url} is down"))?.catch_up()
    }
}

/// Nodes on disks of their own, with one store.
struct Cluster {
    stub: Arc<S3Stub>,
    folder: TempDir,
    servers: Servers,
    running: BTreeMap<usize, RunningNode>,
    answered: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

struct RunningNode {
    log: Arc<StoreLog>,
    file: Arc<File>,
    _server: Arc<dyn NodeServer>,
}

impl Cluster {
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Self {
            stub: S3Stub::start().into(),
            folder,
            servers: Servers::default(),
            running: BTreeMap::new(),
            answered: BTreeSet::new(),
            unknown: BTreeSet::new(),
        };
        fs::create_dir_all(cluster.data(0).join("keys")).unwrap();
        storage::create(&cluster.data(0).join("central.sqlite"), FileKind::Central).unwrap();
        for node in 0..count {
            cluster.start(node);
        }
        let made = cluster.running[&0].file.write(move |db| {
            // The tallies are on pages of their own: only their node writes them.
            for node in 0..count {
                let sql = format!("CREATE TABLE tally_{node} (count INTEGER); INSERT INTO tally_{node} VALUES (0)");
                db.execute_batch(&sql)?;
            }
            let sql = "CREATE TABLE written (name TEXT PRIMARY KEY, node INTEGER NOT NULL, filler TEXT NOT NULL)";
            Ok::<_, Error>(db.execute_batch(sql)?)
        });
        made.unwrap();
        cluster
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("data-{node}"))
    }

    fn store(&self) -> Arc<ObjectStore> {
        let (key_file, secret_file) = self.stub.key_files(self.folder.path());
        let url = self.stub.url().parse().unwrap();
        let settings =
            StoreSettings { url, region: "us-east-1".into(), key_file, secret_file, purpose: StorePurpose::Commits };
        Arc::new(ObjectStore::open(&settings).unwrap())
    }

    fn waiter(&self, node: usize) -> NodeWaiter {
        self.waiter_with(node, LENGTH)
    }

    fn waiter_with(&self, node: usize, length: Duration) -> NodeWaiter {
        fs::create_dir_all(self.data(node).join("keys")).unwrap();
        let options = nodes::NodeOptions {
            name: format!("node-{node}"),
            nonce: lease::nonce_of(&self.data(node)).unwrap(),
            url: format!("http://node-{node}"),
            length,
        };
        NodeWaiter::new(self.store(), options)
    }

    fn start(&mut self, node: usize) {
        self.start_unannounced(node);
        // As a server that announces itself.
        for other in self.running.values() {
            other.log.nodes().unwrap().refresh().unwrap();
        }
    }

    fn start_unannounced(&mut self, node: usize) {
        let nodes = self.waiter(node).attempt(1, Instant::now()).unwrap().expect("nobody is in the way");
        let server: Arc<dyn NodeServer> = Arc::new(CallingServer(Arc::clone(&self.servers)));
        nodes.serve(Arc::downgrade(&server));
        let path = self.data(node).join("central.sqlite");
        if !path.exists() {
            restore_instance::restore_central(&self.store(), &self.data(node)).unwrap();
        }
        let options = LogOptions {
            data_dir: self.data(node),
            node: format!("node-{node}"),
            acknowledge: Acknowledge::Stored,
            patience: Duration::from_secs(20),
            keep: 86_400,
            snapshot_after: 5,
        };
        let supervisor = Arc::<Supervisor>::default();
        let log = StoreLog::start(self.store(), Claim::Nodes(nodes), options, &supervisor, NOW).unwrap();
        let limits = Limits { read_turns: 2, longest_lane: 100, statement: Duration::from_secs(20) };
        let copies = UpdateCopies::of_data_dir(&self.data(node));
        let storage = Storage::start(2, limits, &supervisor, Some(Arc::clone(&log) as _), copies).unwrap();
        let file = File::in_service(&storage, path, FileKind::Central);
        file.open().unwrap();
        self.servers.lock().insert(format!("http://node-{node}"), Arc::clone(&log));
        self.running.insert(node, RunningNode { log, file, _server: server });
    }

    /// Does rounds until each node knows the last placement, and nothing is left to be handed over. The nodes also do
    /// rounds of their own, which may be faster than those of the test.
    #[track_caller]
    fn settle(&self) {
        let nodes: Vec<_> = self.running.values().map(|node| node.log.nodes().unwrap()).collect();
        let is_settled = || {
            let (placement, _) = nodes::read_placement(&self.store()).unwrap().unwrap();
            placement.shards.iter().all(|shard| shard.next.is_none())
                && nodes.iter().all(|known| known.placement_version() == placement.version)
        };
        let settled = (0..20).any(|_| {
            nodes.iter().for_each(|node| node.round_now());
            is_settled()
        });
        assert!(settled, "the nodes hand over without an end");
    }

    /// Ends a node without a step of its own.
    fn kill(&mut self, node: usize) {
        let Some(RunningNode { log, file, .. }) = self.running.remove(&node) else { return };
        self.servers.lock().remove(&format!("http://node-{node}"));
        end_process(&self.stub, log, file);
    }

    fn names(&self, node: usize) -> BTreeSet<String> {
        let nodes: Vec<usize> = self.running.keys().copied().collect();
        let read = self.running[&node].file.read(move |db| {
            for node in &nodes {
                let sql =
                    format!("SELECT (SELECT count FROM tally_{node}), (SELECT count(*) FROM written WHERE node = ?1)");
                let counts: (i64, i64) = db.query_row(&sql, [*node as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
                assert_eq!(counts.0, counts.1, "the tally of node {node}");
            }
            let mut rows = db.prepare("SELECT name FROM written")?;
            let names = rows.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok::<_, Error>(names)
        });
        read.unwrap()
    }

    fn write(&mut self, node: usize, name: &str, bytes: usize) {
        if !self.running.contains_key(&node) {
            return;
        }
        match insert(&self.running[&node].file, node, name, bytes) {
            Ok(()) => self.answered.insert(name.to_owned()),
            Err(Error::OutcomeUnknown) => self.unknown.insert(name.to_owned()),
            Err(error) => panic!("{name}: {error}"),
        };
    }

    /// Each node has every answered write, and nothing that was never written.
    #[track_caller]
    fn check(&self) {
        for node in self.running.keys() {
            let names = self.names(*node);
            let lost: Vec<_> = self.answered.difference(&names).collect();
            assert!(lost.is_empty(), "node {node} lacks {lost:?}");
            let known = |name: &&String| self.answered.contains(*name) || self.unknown.contains(*name);
            assert!(names.iter().all(|name| known(&name)), "node {node} has {names:?}");
        }
    }

    #[track_caller]
    fn check_files(&self) {
        for node in self.running.values() {
            let db = storage::open_reader(node.file.path()).unwrap();
            assert_eq!(storage::integrity_problems(&db).unwrap(), Vec::<String>::new());
        }
        let path = self.folder.path().join("built.sqlite");
        let store = self.store();
        FileLog::of(&store, "central").unwrap().rebuild(&path, None).unwrap().unwrap();
        let db = storage::open_reader(&path).unwrap();
        let mut rows = db.prepare("SELECT name FROM written").unwrap();
        let stored: BTreeSet<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for node in self.running.keys() {
            assert_eq!(self.names(*node), stored, "node {node}");
        }
    }
}

fn insert(file: &Arc<File>, node: usize, name: &str, bytes: usize) -> Result<(), Error> {
    let (inserted, filler) = (name.to_owned(), "x".repeat(bytes));
    file.write(move |db| {
        db.execute("INSERT INTO written (name, node, filler) VALUES (?1, ?2, ?3)", (&inserted, node as i64, &filler))?;
        db.execute(&format!("UPDATE tally_{node} SET count = count + 1"), [])?;
        Ok::<_, Error>(())
    })
}

/// As the directory reads: beside the lanes, without waiting for a commit of the node.
fn has(file: &File, name: &str) -> bool {
    let db = storage::open_reader(file.path()).unwrap();
    db.query_row("SELECT EXISTS (SELECT 1 FROM written WHERE name = ?1)", [name], |row| row.get(0)).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize),
    /// All nodes at once. Every node has each write when it is answered.
    WriteAll,
    Checkpoint(usize),
    Restart(usize),
    LoseDisk(usize),
    Fail(Fault),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 1..20_000_usize).prop_map(|(node, bytes)| Step::Write(node, bytes)),
        3 => Just(Step::WriteAll),
        2 => (0..3_usize).prop_map(Step::Checkpoint),
        1 => (0..3_usize).prop_map(Step::Restart),
        1 => (0..3_usize).prop_map(Step::LoseDisk),
        1 => (1_usize..3).prop_map(|many| Step::Fail(Fault::Unanswered(many))),
        1 => (1_usize..3).prop_map(|many| Step::Fail(Fault::Answer(503, many))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn every_node_has_what_any_node_has_answered(steps in prop::collection::vec(step(), 1..16)) {
        let mut cluster = Cluster::new(3);
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write(node, bytes) => cluster.write(node, &format!("{n}"), bytes),
                Step::WriteAll => {
                    let files = cluster.running.iter().map(|(node, running)| (*node, Arc::clone(&running.file)));
                    let files: Vec<_> = files.collect();
                    let written: Vec<Vec<String>> = thread::scope(|scope| {
                        let threads: Vec<_> = files.iter().map(|(node, file)| {
                            let files = &files;
                            scope.spawn(move || {
                                let names = (0..4).map(|write| format!("{n}-{node}-{write}"));
                                names.inspect(|name| {
                                    insert(file, *node, name, 100).unwrap();
                                    for (other, file) in files {
                                        assert!(has(file, name), "node {other} lacks {name}, which was answered");
                                    }
                                }).collect()
                            })
                        }).collect();
                        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                    });
                    cluster.answered.extend(written.into_iter().flatten());
                }
                Step::Checkpoint(node) => cluster.running[&node].file.checkpoint().unwrap(),
                Step::Restart(node) => {
                    cluster.kill(node);
                    cluster.start(node);
                }
                Step::LoseDisk(node) => {
                    cluster.kill(node);
                    fs::remove_dir_all(cluster.data(node)).unwrap();
                    // The name of the lost disk is free when the time of its lease is over.
                    let mut waiter = cluster.waiter(node);
                    prop_assert!(waiter.attempt(1, Instant::now()).unwrap().is_none());
                    prop_assert!(waiter.attempt(1, Instant::now() + LENGTH).unwrap().is_some());
                    cluster.start(node);
                }
                Step::Fail(fault) => cluster.stub.fault(fault),
            }
            cluster.check();
        }
        cluster.stub.heal();
        cluster.write(1, "last", 100);
        cluster.check();
        cluster.check_files();
    }
}

#[test]
fn shards_move_to_a_node_that_joins_and_from_one_that_leaves_or_dies() {
    let mut cluster = Cluster::new(1);
    let nodes = |cluster: &Cluster, node: usize| Arc::clone(cluster.running[&node].log.nodes().unwrap());
    let owned = |cluster: &Cluster, node: usize| {
        let nodes = nodes(cluster, node);
        (0..=u8::MAX).filter(|byte| nodes.owner_of(id_of(*byte)) == Owner::ThisNode).count()
    };
    assert_eq!(owned(&cluster, 0), 256);
    cluster.start(1);
    cluster.settle();
    assert_eq!((owned(&cluster, 0), owned(&cluster, 1)), (128, 128));
    cluster.start(2);
    cluster.settle();
    assert_eq!((0..3).map(|node| owned(&cluster, node)).sum::<usize>(), 256);
    assert!(
        (0..3).all(|node| owned(&cluster, node) >= 84),
        "{:?}",
        (0..3).map(|node| owned(&cluster, node)).collect::<Vec<_>>()
    );
    // One leaves: at once.
    cluster.running[&2].log.stop(Duration::from_secs(5));
    cluster.running.remove(&2);
    cluster.settle();
    assert_eq!(owned(&cluster, 0) + owned(&cluster, 1), 256);
    // One dies: when its object has not changed for the time of its lease.
    cluster.kill(1);
    let first = nodes(&cluster, 0);
    first.round_at(Instant::now());
    assert!(owned(&cluster, 0) < 256);
    assert_eq!(first.other_urls(), ["http://node-1"], "it may only be late, so a commit waits for it");
    first.round_at(Instant::now() + LENGTH);
    assert_eq!(owned(&cluster, 0), 256);
    assert_eq!(first.other_urls(), [""; 0]);
}

/// A new node reads the central log to its end. The other nodes tell it of later commits.
#[test]
fn a_commit_waits_for_a_node_that_its_node_does_not_know_yet() {
    let mut cluster = Cluster::new(2);
    cluster.start_unannounced(2);
    cluster.running[&2].log.catch_up().unwrap();
    let known = cluster.running[&0].log.nodes().unwrap().other_urls();
    assert_eq!(known, ["http://node-1"]);
    cluster.write(0, "one", 100);
    assert!(has(&cluster.running[&2].file, "one"));
}

#[test]
fn a_node_gives_up_so_early_that_the_others_take_over_in_time() {
    for length in [1, 5, 10, 300].map(Duration::from_secs) {
        let (valid, interval) = (nodes::valid_for(length), length / 3);
        assert!(valid + interval < length + Duration::from_secs(2), "{length:?}: {valid:?}");
        assert!(valid > interval * 2 && valid <= length, "{length:?}: {valid:?} for two attempts to renew");
    }
}

/// A node renews its object at the moment at which another takes over from it.
#[test]
fn a_node_that_was_late_serves_only_what_nobody_takes_over() {
    let cluster = Cluster::new(1);
    let length = Duration::from_millis(500);
    let start = |node| cluster.waiter_with(node, length).attempt(1, Instant::now()).unwrap().unwrap();
    let (first, second) = (start(1), start(2));
    second.round_now();
    while first.is_valid() || second.is_valid() {
        thread::yield_now();
    }
    // The second has looked at the first, and is about to take over.
    second.round_with(Instant::now() + length, || {
        first.round_now();
        assert!(first.is_valid());
        Ok(())
    });
    let (stored, _) = nodes::read_placement(&cluster.store()).unwrap().unwrap();
    assert!(stored.nodes.contains("node-1"), "it serves, and the others have taken over");
}

fn id_of(last: u8) -> Uuid {
    let mut bytes = [7; 16];
    bytes[15] = last;
    Uuid::from_bytes(bytes)
}

#[test]
fn a_second_node_with_the_same_name_is_refused_and_an_expired_one_is_replaced() {
    let cluster = Cluster::new(1);
    let folder = tempfile::tempdir().unwrap();
    let options = nodes::NodeOptions {
        name: "node-0".into(),
        nonce: lease::nonce_of(folder.path()).unwrap(),
        url: "http://other".into(),
        length: LENGTH,
    };
    let mut other = NodeWaiter::new(cluster.store(), options);
    let now = Instant::now();
    assert!(other.attempt(1, now).unwrap().is_none());
    cluster.running[&0].log.nodes().unwrap().round_now();
    let refused = other.attempt(1, now).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("give each node its own node_name"), "{refused}");
}

#[test]
fn a_server_that_serves_alone_after_the_nodes_is_not_disturbed_by_one_that_was_paused() {
    let cluster = Cluster::new(1);
    let disk = tempfile::tempdir().unwrap();
    let nonce = lease::nonce_of(disk.path()).unwrap();
    let mut alone = LeaseWaiter::new(cluster.store(), "alone", nonce, LENGTH);
    assert_eq!(alone.share(Instant::now()).unwrap(), Ok(1));
    assert!(matches!(alone.attempt(Instant::now()).unwrap(), Attempt::HeldBy(_)), "the node may be alive");
    let Attempt::Taken(lease) = alone.attempt(Instant::now() + LENGTH).unwrap() else { panic!("the node is gone") };
    let node = &cluster.running[&0];
    let nodes = node.log.nodes().unwrap();
    assert!(lease.epoch() > nodes.placement_version());
    assert!(nodes.refresh().is_err(), "the placement is over");
    // The server that serves alone writes its fence.
    let store = cluster.store();
    let log = FileLog::of(&store, "central").unwrap();
    let last = *log.segments(0).unwrap().keys().next_back().unwrap();
    let header = segment::SegmentHeader {
        node: "alone".into(),
        nonce: "alone".into(),
        epoch: lease.epoch(),
        previous: segment::digest(&log.segment(last).unwrap()),
        at: NOW(),
        content: segment::SegmentContent::Fence { wal: None },
    };
    let fence = segment::write_segment(&header, None).unwrap();
    store.create(&rebuild::segment_key("central", last + 1), &fence).unwrap();
    let late = node.log.catch_up().unwrap_err().to_string();
    assert!(late.contains("one server serves alone"), "{late}");
}

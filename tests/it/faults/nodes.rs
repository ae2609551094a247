//! Three nodes that serve one instance: requests to any of them, and what happens when one dies, is paused, is cut off, moves
//! or leaves.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::lost_disk::Store;
use crate::process::{Typed, free_ports, program, run, signal};
use crate::s3_stub::{Fault, S3Stub};
use crate::test_server::{PASSWORD, Team, TestServer, Who, central, email, eventually, text};

pub const NODES: usize = 3;

/// The lease of a node in seconds, where a test waits for its end.
pub const SHORT: &str = "1";

pub struct Cluster {
    pub nodes: Vec<TestServer>,
    pub store: Store,
    _secret: TempDir,
}

impl Cluster {
    pub fn start(lease: &str) -> Self {
        let addresses = free_ports::<NODES>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Self::of(S3Stub::start(), &["--lease", lease], "http", &addresses, |_, flags| TestServer::with(flags))
    }

    /// Nodes that listen on these addresses, which `start` starts by their numbers and flags.
    pub fn of(
        stub: S3Stub,
        flags: &[&str],
        scheme: &str,
        addresses: &[SocketAddr],
        start: impl Fn(usize, &[&str]) -> TestServer,
    ) -> Self {
        let secret = tempfile::tempdir().unwrap();
        let file = secret.path().join("node.secret");
        fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
        let store = Store::of(stub, &[flags, &["--node-secret-file", file.to_str().unwrap()]].concat());
        let nodes = addresses.iter().enumerate().map(|(n, address)| {
            let (name, listen) = (format!("node-{n}"), address.to_string());
            let url = format!("{scheme}://{listen}");
            let own = ["--listen", &listen, "--node-url", &url];
            start(n, &[&store.flags_of(&name)[..], &own].concat())
        });
        let cluster = Self { nodes: nodes.collect(), store, _secret: secret };
        cluster.is_balanced();
        cluster
    }

    /// Runs a command with the settings of the nodes.
    pub fn command(&self, arguments: &[&str]) -> Typed {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(folder.path());
        let flags = self.store.flags_of("operator");
        for pair in flags.chunks(2) {
            let name = pair[0].trim_start_matches('-').replace('-', "_").to_uppercase();
            command.env(format!("CX_{name}"), pair[1]);
        }
        run(command.args(arguments).env("CX_NODE_URL", "http://127.0.0.1:1"), "")
    }

    fn status(&self) -> Value {
        let printed = self.command(&["cluster", "status", "--json"]).ok();
        serde_json::from_str(&printed).unwrap()
    }

    /// The number of shards of each node.
    fn shards(&self) -> Vec<u64> {
        self.status()["nodes"].as_array().unwrap().iter().map(|node| node["shards"].as_u64().unwrap()).collect()
    }

    pub fn is_balanced(&self) {
        eventually("each node serves a third", || self.shards().iter().all(|shards| (84..=88).contains(shards)));
    }

    /// The number of the node that serves a workspace, by the placement in the store.
    pub fn owner(&self, workspace: &str) -> usize {
        let placement = self.store.stub().object("placement").unwrap();
        let placement: Value = serde_json::from_slice(&placement).unwrap();
        let shard = usize::from_str_radix(&workspace[workspace.len() - 2..], 16).unwrap();
        let name = text(&placement["shards"][shard]["owner"]);
        name.strip_prefix("node-").unwrap().parse().unwrap()
    }

    /// A team with several workspaces, so that each node serves some.
    pub fn teams(&self) -> Vec<Team> {
        (0..6).map(|n| self.nodes[n % NODES].team(&format!("team-{n}"))).collect()
    }

    /// Whether a node answers a request for each team.
    pub fn serves(&self, node: usize, teams: &[Team]) -> bool {
        teams.iter().all(|team| self.nodes[node].get(&team.inside, "/customers").status == 200)
    }
}

/// Creates a customer of each team at each node in turn, until told to stop. Returns the names that were answered.
fn write_until(cluster: &Cluster, teams: &[Team], nodes: &[usize], is_over: impl Fn() -> bool) -> Vec<(usize, String)> {
    let mut answered = Vec::new();
    for n in 0.. {
        if is_over() {
            break;
        }
        for (number, team) in teams.iter().enumerate() {
            let name = format!("customer-{n}");
            let node = &cluster.nodes[nodes[(n + number) % nodes.len()]];
            let Ok(answer) = node.try_post(&team.inside, "/customers", &json!({"name": name})) else { continue };
            match answer.status {
                201 => answered.push((number, name)),
                status => assert!([503, 504].contains(&status), "{answer:?}"),
            }
        }
    }
    answered
}

#[track_caller]
pub fn has_all(server: &TestServer, teams: &[Team], answered: &[(usize, String)]) {
    for (number, team) in teams.iter().enumerate() {
        let there = server.customers(&team.inside);
        let lost: Vec<_> = answered.iter().filter(|(of, name)| *of == number && !there.contains(name)).collect();
        assert!(lost.is_empty(), "answered and lost: {lost:?}");
    }
}

#[test]
fn every_node_answers_every_request_and_rejects_what_any_node_has_revoked() {
    let cluster = Cluster::start("10");
    let teams = cluster.teams();
    for (n, team) in teams.iter().enumerate() {
        for node in &cluster.nodes {
            node.customer(&team.inside, &format!("customer of {n}"));
        }
        for node in &cluster.nodes {
            assert_eq!(node.customers(&team.inside).len(), NODES);
        }
    }
    for revoking in 0..NODES {
        let login = json!({"email": email("team-0"), "password": PASSWORD});
        let token = text(&cluster.nodes[revoking].post(&central(), "/login", login).ok()["token"]);
        let who = Who { token: Some(token), ..central() };
        for node in &cluster.nodes {
            node.get(&who, "/whoami").ok();
        }
        cluster.nodes[(revoking + 1) % NODES].post(&who, "/logout", json!({})).ok();
        for node in &cluster.nodes {
            node.get(&who, "/whoami").refused(401, "token_revoked");
        }
    }
}

#[test]
fn a_node_that_is_killed_loses_nothing_and_the_others_serve_on() {
    let mut cluster = Cluster::start(SHORT);
    let teams = cluster.teams();
    let is_killed = AtomicBool::new(false);
    let is_over = || is_killed.load(Ordering::Relaxed) && cluster.serves(0, &teams);
    let answered = thread::scope(|scope| {
        let client = scope.spawn(|| write_until(&cluster, &teams, &[0, 1], is_over));
        eventually("some are there", || cluster.nodes[0].customers(&teams[0].inside).len() > 5);
        cluster.nodes[2].kill();
        is_killed.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    eventually("all are served", || cluster.serves(0, &teams) && cluster.serves(1, &teams));
    has_all(&cluster.nodes[0], &teams, &answered);
    has_all(&cluster.nodes[1], &teams, &answered);
    // It comes back and gets its part again.
    cluster.nodes[2].start();
    cluster.is_balanced();
    has_all(&cluster.nodes[2], &teams, &answered);
}

#[test]
fn a_node_that_was_paused_beyond_its_lease_answers_nothing_old() {
    let cluster = Cluster::start(SHORT);
    let teams = cluster.teams();
    signal(cluster.nodes[2].process(), "STOP");
    eventually("all are served", || cluster.serves(0, &teams));
    let answered: Vec<(usize, String)> = teams
        .iter()
        .enumerate()
        .map(|(number, team)| {
            cluster.nodes[0].customer(&team.inside, "while it was paused");
            (number, "while it was paused".to_owned())
        })
        .collect();
    signal(cluster.nodes[2].process(), "CONT");
    eventually("it takes part again", || cluster.serves(2, &teams));
    has_all(&cluster.nodes[2], &teams, &answered);
}

#[test]
fn without_the_store_no_node_answers_and_nothing_is_lost() {
    let cluster = Cluster::start(SHORT);
    let teams = cluster.teams();
    cluster.nodes[0].customer(&teams[0].inside, "before");
    cluster.store.stub().fault(Fault::CutOff);
    eventually("nobody serves", || {
        cluster.nodes.iter().all(|node| node.get(&teams[0].inside, "/customers").status == 503)
    });
    cluster.store.stub().heal();
    eventually("all serve", || (0..NODES).all(|node| cluster.serves(node, &teams)));
    assert_eq!(cluster.nodes[1].customers(&teams[0].inside), ["before"]);
}

#[test]
fn shards_move_while_clients_write_and_a_drained_node_can_be_stopped() {
    let mut cluster = Cluster::start("10");
    let teams = cluster.teams();
    let is_over = AtomicBool::new(false);
    let (answered, drained) = thread::scope(|scope| {
        let client = scope.spawn(|| write_until(&cluster, &teams, &[0, 1], || is_over.load(Ordering::Relaxed)));
        for node in ["node-1", "node-2", "node-0"] {
            let moved = cluster.command(&["cluster", "move", &teams[0].workspace, node]).ok();
            assert!(moved.contains(&format!("{node} serves the shard")), "{moved}");
        }
        let drained = cluster.command(&["cluster", "drain", "node-2"]).ok();
        is_over.store(true, Ordering::Relaxed);
        (client.join().unwrap(), drained)
    });
    assert!(drained.contains("node-2 serves no workspace any more"), "{drained}");
    assert!(answered.len() > 10);
    assert!(cluster.nodes[2].stop().success());
    for node in [0, 1] {
        has_all(&cluster.nodes[node], &teams, &answered);
    }
    let said = cluster.command(&["cluster", "drain", "node-7"]).failed();
    assert!(said.contains("no node has the name node-7"), "{said}");
}

#[test]
fn a_command_that_would_open_the_files_of_a_shared_instance_is_refused() {
    let cluster = Cluster::start("10");
    let said = cluster.nodes[1].cli(&["workspace", "list"]).failed();
    assert!(said.contains("several nodes serve this instance"), "{said}");
}

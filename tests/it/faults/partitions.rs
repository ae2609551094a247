//! Three nodes in network namespaces of their own, and links that are cut: from a node to the store, or between nodes.
//! Packets vanish, and nobody is told.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::networks::Network;
use super::nodes::{Cluster, NODES, SHORT, has_all};
use crate::client::{PATIENCE, Request};
use crate::events::Stream;
use crate::s3_stub::S3Stub;
use crate::test_server::{PASSWORD, Team, TestServer, Who, central, email, eventually, sqlite};

/// The test cuts the links of this node. Another node handles the central requests.
const CUT: usize = 2;

/// A node that does not get through to another is noticed in a few seconds, on a busy machine too.
const FEW_SECONDS: Duration = Duration::from_secs(8);

/// Each node is a machine of the network. The store and the clients are at its bridge.
fn start(network: &Network, lease: &str) -> Cluster {
    let addresses = [0, 1, 2].map(|node| SocketAddr::from((network.address(node), 8080)));
    let flags = ["--lease", lease, "--turn-timeout", "2"];
    Cluster::of(S3Stub::at(network.store()), &flags, "http", &addresses, |node, flags| {
        TestServer::in_namespace(&network.machine(node as u8), flags)
    })
}

/// The teams by the node that serves their workspace.
fn teams_by_node(cluster: &Cluster) -> [Vec<Team>; NODES] {
    let mut teams = [const { Vec::new() }; NODES];
    for n in 0.. {
        if teams.iter().all(|teams| !teams.is_empty()) {
            return teams;
        }
        let team = cluster.nodes[n % NODES].team(&format!("team-{n}"));
        teams[cluster.owner(&team.workspace)].push(team);
    }
    teams
}

/// Clients that write and read at all nodes while links are cut.
struct Clients {
    /// A server has answered the creation of these customers. Each has the number of its team.
    answered: Mutex<Vec<(usize, String)>>,
    /// The id of the last customer in `answered`, for each team. 0 if the team has none.
    newest: Vec<AtomicI64>,
    is_over: AtomicBool,
}

/// Ends the clients, also when a test fails.
struct End<'c>(&'c Clients);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Clients {
    fn of(teams: &[Team]) -> Self {
        let newest = teams.iter().map(|_| AtomicI64::new(0)).collect();
        Self { answered: Mutex::default(), newest, is_over: AtomicBool::new(false) }
    }

    /// Whether so many customers of each team were created since a moment.
    fn have_created(&self, many: usize, since: usize) -> bool {
        let answered = self.answered.lock();
        let of_team = |team: usize| answered[since..].iter().filter(|(of, _)| *of == team).count();
        (0..self.newest.len()).all(|team| of_team(team) >= many)
    }

    /// Creates a customer of each team in turn.
    fn write(&self, node: usize, server: &TestServer, teams: &[Team]) {
        for n in 0.. {
            for (number, team) in teams.iter().enumerate() {
                if self.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let name = format!("customer-{node}-{n}");
                let answer = server.post(&team.inside, "/customers", json!({"name": name}));
                if [503, 504].contains(&answer.status) {
                    continue;
                }
                let id = answer.created()["id"].as_i64().unwrap();
                self.newest[number].store(id, Ordering::SeqCst);
                self.answered.lock().push((number, name));
            }
        }
    }

    /// Reads the newest customer of each team in turn. It is there, if its creation was answered before.
    fn read(&self, node: usize, server: &TestServer, teams: &[Team]) {
        while !self.is_over.load(Ordering::Relaxed) {
            for (newest, team) in self.newest.iter().zip(teams) {
                let id = newest.load(Ordering::SeqCst);
                let status = server.get(&team.inside, &format!("/customers/{id}")).status;
                assert!(id == 0 || [200, 503].contains(&status), "node {node} answers what is old: {status}");
            }
        }
    }
}

/// Whether a node rejects reads and writes of workspaces and of the central host.
fn answers_nothing(server: &TestServer, teams: &[Team]) -> bool {
    let login = json!({"email": email("team-0"), "password": PASSWORD});
    let of_team = |team: &Team| {
        server.get(&team.inside, "/customers").status == 503
            && server.post(&team.inside, "/customers", json!({"name": "refused"})).status == 503
            && server.get(&team.owner, "/whoami").status == 503
    };
    teams.iter().all(of_team) && server.post(&central(), "/login", login).status == 503
}

#[test]
fn a_node_that_is_cut_off_from_the_store_answers_nothing_and_takes_part_again() {
    let Some(network) = Network::new(NODES as u8) else { return };
    let cluster = start(&network, SHORT);
    let [first, second, third] = teams_by_node(&cluster);
    let team_of_cut = first.len() + second.len();
    let teams: Vec<Team> = first.into_iter().chain(second).chain(third).collect();
    let (clients, node) = (Clients::of(&teams), &cluster.nodes[CUT]);
    let mut stream = Stream::open(node, &teams[team_of_cut].inside);
    stream.until("retry").unwrap();
    thread::scope(|scope| {
        let _end = End(&clients);
        for (number, server) in cluster.nodes.iter().enumerate() {
            let (clients, teams) = (&clients, &teams);
            scope.spawn(move || clients.write(number, server, teams));
            scope.spawn(move || clients.read(number, server, teams));
        }
        eventually("some are answered", || clients.have_created(2, 0));
        network.cut(CUT as u8, network.store());
        eventually("it answers nothing", || answers_nothing(node, &teams));
        assert_eq!(
            node.ask(&Request { method: "GET", path: "/readyz", host: "localhost", ..Request::default() }).status,
            503
        );
        eventually("the others serve all", || [0, 1].iter().all(|other| cluster.serves(*other, &teams)));
        let now = clients.answered.lock().len();
        eventually("clients go on", || clients.have_created(2, now));
        assert!(answers_nothing(node, &teams));
        ends(stream);
        network.heal();
        eventually("it takes part again", || cluster.serves(CUT, &teams));
    });
    cluster.is_balanced();
    let answered = clients.answered.lock();
    for server in &cluster.nodes {
        has_all(server, &teams, &answered);
    }
    files_are_those_of_the_store(&cluster, &teams);
}

#[track_caller]
fn files_are_those_of_the_store(cluster: &Cluster, teams: &[Team]) {
    let mut differing = Vec::new();
    let last = Instant::now() + PATIENCE;
    // Jobs may write for a moment.
    while Instant::now() < last {
        differing = differing_files(cluster, teams);
        if differing.is_empty() {
            return;
        }
    }
    panic!("the store has something else: {differing:?}");
}

/// The files of nodes that differ from what the store has. Of a workspace, only the node that serves it has the last
/// state.
fn differing_files(cluster: &Cluster, teams: &[Team]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("restored");
    cluster.command(&["cluster", "restore", "--into", into.to_str().unwrap()]).ok();
    let mut differing = Vec::new();
    let mut compare = |node: usize, name: &str| {
        let file = cluster.nodes[node].data().join(name);
        if bytes(&file, folder.path()) != bytes(&into.join(name), folder.path()) {
            differing.push(format!("{name} of node {node}"));
        }
    };
    (0..NODES).for_each(|node| compare(node, "central.sqlite"));
    for team in teams {
        let (node, id) = (cluster.owner(&team.workspace), &team.workspace);
        compare(node, &format!("workspaces/{}/{id}.sqlite", &id[id.len() - 2..]));
    }
    differing
}

/// The pages of a file, with those in its log. Without the counters of changes in its header, which a copy of a file does
/// not share: SQLite compares them only with those of the same file.
fn bytes(path: &Path, folder: &Path) -> Vec<u8> {
    let copy = folder.join("copy.sqlite");
    for ending in ["", "-wal"] {
        let (from, to) = (format!("{}{ending}", path.display()), format!("{}{ending}", copy.display()));
        if Path::new(&from).exists() {
            fs::copy(from, to).unwrap();
        }
    }
    sqlite(&copy).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    for counter in [24, 40, 92] {
        bytes[counter..counter + 4].fill(0);
    }
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", copy.display()));
    }
    bytes
}

#[test]
fn nodes_that_are_cut_off_from_each_other_serve_what_is_theirs_and_reject_what_any_of_them_has_revoked() {
    let Some(network) = Network::new(NODES as u8) else { return };
    let cluster = start(&network, "10");
    let teams = teams_by_node(&cluster);
    // Connections between the nodes are open.
    for node in 0..NODES {
        assert!(teams.iter().all(|teams| cluster.serves(node, teams)));
    }
    let (of_cut, of_first) = (&teams[CUT][0], &teams[0][0]);
    let mut relayed = Stream::open(&cluster.nodes[0], &of_cut.inside);
    relayed.until("retry").unwrap();
    network.cut_between(CUT as u8, 0);
    network.cut_between(CUT as u8, 1);

    let customer = json!({"name": "Renault"});
    for (node, team) in [(0, of_cut), (1, of_cut), (CUT, of_first)] {
        let node = &cluster.nodes[node];
        // A connection may be open, and then nobody knows whether the request was received.
        let (created, took) = timed(|| node.post(&team.inside, "/customers", customer.clone()));
        assert!([503, 504].contains(&created.status) && took < FEW_SECONDS, "{took:?} {created:?}");
        let (read, took) = timed(|| node.get(&team.inside, "/customers"));
        assert!(read.status == 503 && took < FEW_SECONDS, "{took:?} {read:?}");
        let (created, _) = timed(|| node.post(&team.inside, "/customers", customer.clone()));
        created.refused(503, "elsewhere");
    }
    for (node, teams) in teams.iter().enumerate() {
        cluster.nodes[node].customer(&teams[0].inside, "at the node that serves it");
    }
    ends(relayed);

    for (here, there) in [(0, CUT), (CUT, 0), (1, CUT)] {
        revoke_while_others_use_it(&cluster, here, there, &teams[there][0]);
    }
    network.heal();
    eventually("all serve all", || (0..NODES).all(|node| teams.iter().all(|teams| cluster.serves(node, teams))));
    teams.iter().for_each(|teams| files_are_those_of_the_store(&cluster, teams));
}

/// Logs in at one node, and revokes the token at another, while it is used at a third. It is accepted before and
/// rejected afterwards, each time by all nodes.
fn revoke_while_others_use_it(cluster: &Cluster, here: usize, there: usize, team: &Team) {
    let address = team.inside.host.strip_suffix(".localhost").unwrap();
    let login = json!({"email": email(address), "password": PASSWORD});
    let (answer, took) = timed(|| cluster.nodes[here].post(&central(), "/login", login));
    let token = central().with(&answer.ok()["token"]);
    assert!(took < FEW_SECONDS, "{took:?}");
    let inside = cluster.nodes[there].enter(&token, &team.workspace);
    // A node that does not know the newest state responds with 503 for a moment.
    let status = |node: usize, who: &Who, path: &str| {
        let mut status = 503;
        eventually("the node knows the newest state", || {
            status = cluster.nodes[node].get(who, path).status;
            status != 503
        });
        status
    };
    assert_eq!(status(there, &inside, "/customers"), 200);
    assert_eq!(status(there, &token, "/whoami"), 200);
    let is_revoked = AtomicBool::new(false);
    let use_token = |node: usize, who: &Who, path: &str| {
        loop {
            let was_revoked = is_revoked.load(Ordering::SeqCst);
            match cluster.nodes[node].get(who, path).status {
                200 => assert!(!was_revoked, "node {node} accepts a token that was revoked"),
                401 if was_revoked => return,
                401 | 503 => {}
                status => panic!("{status}"),
            }
        }
    };
    thread::scope(|scope| {
        let users =
            [(0, &token, "/whoami"), (1, &token, "/whoami"), (CUT, &token, "/whoami"), (there, &inside, "/customers")];
        for (node, who, path) in users {
            let use_token = &use_token;
            scope.spawn(move || use_token(node, who, path));
        }
        let (answer, took) = timed(|| cluster.nodes[here].post(&token, "/logout", json!({})));
        is_revoked.store(true, Ordering::SeqCst);
        answer.ok();
        assert!(took < FEW_SECONDS, "{took:?}");
    });
}

/// A stream ends. While it goes on, it has a comment every ten seconds.
#[track_caller]
fn ends(mut stream: Stream) {
    let began = Instant::now();
    while stream.until("\n").is_some() && began.elapsed() < PATIENCE / 2 {}
    assert!(began.elapsed() < PATIENCE / 2, "it goes on");
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (work(), began.elapsed())
}

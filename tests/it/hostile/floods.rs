//! Floods of connections, and of requests whose responses nobody reads.

use std::process::Command;

use super::GOOD;
use crate::client::Connection;
use crate::process::run;
use crate::test_server::{TestServer, central, eventually};

/// Opens connections that the server accepts.
fn open(server: &TestServer, many: usize) -> Vec<Connection> {
    let mut open: Vec<Connection> = (0..many).map(|_| server.connect()).collect();
    for connection in &mut open {
        connection.send(GOOD).unwrap();
        connection.receive().unwrap().unwrap().ok();
    }
    open
}

/// True if a new connection is closed at once.
fn is_turned_away(server: &TestServer) -> bool {
    let mut connection = server.connect();
    // The connection may be closed already.
    let _ = connection.send(GOOD);
    connection.receive().unwrap().is_none()
}

#[test]
fn an_address_may_have_so_many_connections_open_and_others_are_served() {
    let server = TestServer::with(&["--max-connections-per-address", "3"]);
    let mut kept = open(&server, 3);
    for _ in 0..20 {
        assert!(is_turned_away(&server));
    }
    eventually("it is said", || server.log().contains("too many connections"));
    assert_eq!(server.log().matches("too many connections").count(), 1, "{}", server.log());
    let url = format!("http://{}/api", server.address());
    let other = ["-s", "--noproxy", "*", "--interface", "127.0.0.2", "-H", "Host: localhost", &url];
    assert!(run(Command::new("curl").args(other), "").ok().contains("central"));
    for connection in &mut kept {
        connection.send(GOOD).unwrap();
        connection.receive().unwrap().unwrap().ok();
    }
    kept.pop();
    eventually("there is room again", || !is_turned_away(&server));
}

#[test]
fn there_are_so_many_connections_in_all_and_a_proxy_may_have_them() {
    let flags = ["--max-connections", "5", "--max-connections-per-address", "2", "--trusted-proxies", "127.0.0.1"];
    let server = TestServer::with(&flags);
    let kept = open(&server, 5);
    assert!(is_turned_away(&server));
    drop(kept);
    eventually("there is room again", || !is_turned_away(&server));
}

/// Without descriptors no connection is accepted; the server neither exits nor spins until there are some again.
#[test]
fn a_server_without_descriptors_waits_until_it_has_some() {
    let server = TestServer::new();
    let mut kept = open(&server, 1);
    server.limit_descriptors(2);
    let waiting: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    let said = || -> Vec<u64> {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("cannot accept a connection"));
        lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["times"].as_u64().unwrap()).collect()
    };
    // Logged at once, and again after ten seconds with the number of failures.
    eventually("it is said twice", || said().len() == 2);
    assert!((50..200).contains(&said()[1]), "{:?}", said());
    kept[0].send(GOOD).unwrap();
    kept[0].receive().unwrap().unwrap().ok();
    drop(waiting);
    eventually("others are let in", || !is_turned_away(&server));
    server.get(&central(), "").ok();
}

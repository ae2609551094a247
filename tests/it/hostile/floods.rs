//! Floods of connections, and of requests whose responses nobody reads.

use std::process::Command;

use super::GOOD;
use crate::bench::{Bench, central, eventually};
use crate::client::Connection;
use crate::process::run;

/// Opens connections that the server accepts.
fn open(bench: &Bench, many: usize) -> Vec<Connection> {
    let mut open: Vec<Connection> = (0..many).map(|_| bench.connect()).collect();
    for connection in &mut open {
        connection.send(GOOD).unwrap();
        connection.receive().unwrap().unwrap().ok();
    }
    open
}

/// True if a new connection is closed at once.
fn is_turned_away(bench: &Bench) -> bool {
    let mut connection = bench.connect();
    // The connection may be closed already.
    let _ = connection.send(GOOD);
    connection.receive().unwrap().is_none()
}

#[test]
fn an_address_may_have_so_many_connections_open_and_others_are_served() {
    let bench = Bench::with(&["--max-connections-per-address", "3"]);
    let mut kept = open(&bench, 3);
    for _ in 0..20 {
        assert!(is_turned_away(&bench));
    }
    eventually("it is said", || bench.log().contains("too many connections"));
    assert_eq!(bench.log().matches("too many connections").count(), 1, "{}", bench.log());
    let url = format!("http://{}/api", bench.address());
    let other = ["-s", "--noproxy", "*", "--interface", "127.0.0.2", "-H", "Host: localhost", &url];
    assert!(run(Command::new("curl").args(other), "").ok().contains("central"));
    for connection in &mut kept {
        connection.send(GOOD).unwrap();
        connection.receive().unwrap().unwrap().ok();
    }
    kept.pop();
    eventually("there is room again", || !is_turned_away(&bench));
}

#[test]
fn there_are_so_many_connections_in_all_and_a_proxy_may_have_them() {
    let flags = ["--max-connections", "5", "--max-connections-per-address", "2", "--trusted-proxies", "127.0.0.1"];
    let bench = Bench::with(&flags);
    let kept = open(&bench, 5);
    assert!(is_turned_away(&bench));
    drop(kept);
    eventually("there is room again", || !is_turned_away(&bench));
}

/// Without descriptors no connection is accepted; the server neither exits nor spins until there are some again.
#[test]
fn a_server_without_descriptors_waits_until_it_has_some() {
    let bench = Bench::new();
    let mut kept = open(&bench, 1);
    bench.limit_descriptors(2);
    let waiting: Vec<Connection> = (0..20).map(|_| bench.connect()).collect();
    let said = || -> Vec<u64> {
        let log = bench.log();
        let lines = log.lines().filter(|line| line.contains("cannot accept a connection"));
        lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["times"].as_u64().unwrap()).collect()
    };
    // Logged at once, and again after ten seconds with the number of failures.
    eventually("it is said twice", || said().len() == 2);
    assert!((50..200).contains(&said()[1]), "{:?}", said());
    kept[0].send(GOOD).unwrap();
    kept[0].receive().unwrap().unwrap().ok();
    drop(waiting);
    eventually("others are let in", || !is_turned_away(&bench));
    bench.get(&central(), "").ok();
}

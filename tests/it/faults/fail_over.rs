//! The time from the death of a server until another one answers for it. The lease is the default of ten seconds.
//!
//! `cargo test --test it faults::fail_over -- --ignored --nocapture` prints the figures of `benches/README.md`.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::lost_disk::Store;
use super::nodes::{Cluster, NODES};
use super::standby::ask;
use crate::process::free_ports;
use crate::test_server::{TestServer, Who, central, eventually};

const LEASE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(12);
const TIMES: usize = 5;

fn is_answered(address: SocketAddr, who: &Who) -> bool {
    ask(address, who, ("GET", "/api/customers"), None).is_ok_and(|answer| answer.status == 200)
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let [min, median, max] = [took[0], took[TIMES / 2], took[TIMES - 1]].map(|took| took.as_secs_f64());
    println!("{what}: {min:.1} / {median:.1} / {max:.1} s (min / median / max of {TIMES})");
    assert!(took[TIMES - 1] <= LIMIT, "{what}: longer than the lease of {LEASE:?} and two seconds");
}

#[test]
#[ignore = "the long form"]
fn a_server_that_stands_by_answers_two_seconds_after_the_lease_at_the_latest() {
    let took = (0..TIMES).map(|_| {
        let store = Store::new(&[]);
        let first = store.server();
        let acme = first.team("acme");
        let address = SocketAddr::from(([127, 0, 0, 1], free_ports::<1>()[0]));
        let listen = address.to_string();
        thread::scope(|scope| {
            let flags = [&store.flags_of("two")[..], &["--listen", &listen]].concat();
            let second = scope.spawn(move || TestServer::with(&flags));
            let stands_by = || ask(address, &central(), ("GET", "/readyz"), None).is_ok_and(|said| said.status == 503);
            eventually("it stands by", stands_by);
            first.kill();
            let killed = Instant::now();
            eventually("it answers", || is_answered(address, &acme.inside));
            let took = killed.elapsed();
            second.join().unwrap();
            took
        })
    });
    report("standby", took.collect());
}

#[test]
#[ignore = "the long form"]
fn another_node_answers_two_seconds_after_the_lease_at_the_latest() {
    let mut cluster = Cluster::start(&LEASE.as_secs().to_string());
    let team = cluster.nodes[0].team("acme");
    let took = (0..TIMES).map(|_| {
        let owner = cluster.owner(&team.workspace);
        let other = cluster.nodes[(owner + 1) % NODES].address();
        cluster.nodes[owner].kill();
        let killed = Instant::now();
        eventually("another node answers", || is_answered(other, &team.inside));
        let took = killed.elapsed();
        cluster.nodes[owner].start();
        cluster.is_balanced();
        took
    });
    let took = took.collect();
    report("three nodes", took);
}

//! No more files may be open: who needs one more waits, or is asked to come again; all others are served.

use std::process::Command;

use crate::bench::{Bench, Who, eventually};
use crate::client::Request;

/// Lets the server have files below this number, be it that it has some above.
fn allow(bench: &Bench, files: usize) {
    let limit = format!("--nofile={files}:20000");
    let lowered = Command::new("prlimit").args(["--pid", &bench.process_id().to_string(), &limit]).status();
    assert!(lowered.unwrap().success());
}

#[test]
fn a_workspace_for_which_there_are_no_descriptors_is_not_taken_for_damaged() {
    let mut bench = Bench::new();
    let (acme, zeta) = (bench.team("acme").inside, bench.team("zeta").inside);
    bench.customer(&acme, "Renault");
    bench.restart();
    let quiet = bench.open_sockets();
    let mut connection = bench.connect();
    let mut ask = |who: &Who, path| {
        let Who { host, token } = who;
        let request = Request { method: "GET", path, host, token: token.as_deref(), ..Request::default() };
        connection.ask(&request).unwrap()
    };
    ask(&acme, "/api/customers/1").ok();
    assert_eq!(bench.open_sockets(), quiet + 1);
    // Too few for the file, its log and the log's index.
    for spare in 0..3 {
        allow(&bench, bench.files_with(spare));
        let answer = ask(&zeta, "/api/customers");
        answer.refused(503, "overloaded");
        assert!(answer.header("retry-after").is_some());
        ask(&acme, "/api/customers/1").ok();
    }
    allow(&bench, 20_000);
    ask(&zeta, "/api/customers").ok();
    assert_eq!(bench.cli(&["doctor"]).code, Some(0));
}

#[test]
fn a_connection_for_which_there_is_no_descriptor_waits_until_there_is_one() {
    let bench = Bench::new();
    let quiet = bench.open_sockets();
    let acme = bench.team("acme").inside;
    bench.customer(&acme, "Renault");
    let request = Request {
        method: "GET",
        path: "/api/customers/1",
        host: &acme.host,
        token: acme.token.as_deref(),
        ..Request::default()
    };
    let mut served = bench.connect();
    served.ask(&request).unwrap().ok();
    eventually("other connections are gone", || bench.open_sockets() == quiet + 1);
    allow(&bench, bench.files_with(0));
    let mut waiting = bench.connect();
    waiting.send(request.text()).unwrap();
    eventually("the log says why", || bench.log().contains("a connection could not be accepted"));
    served.ask(&request).unwrap().ok();
    allow(&bench, 20_000);
    waiting.receive().unwrap().unwrap().ok();
    assert_eq!(bench.log().matches("a connection could not be accepted").count(), 1, "it is not said over and over");
}

#[test]
fn a_server_takes_as_many_as_it_may_have_and_says_so() {
    let bench = Bench::new();
    let log = bench.log();
    assert!(log.contains("files that may be open"), "{log}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bench.process_id())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "{limits}");
}

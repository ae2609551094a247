//! No more files may be open: who needs one more is asked to come again, and all others are served. Connections are in
//! `hostile/floods.rs`.

use std::process::Command;

use crate::bench::{Bench, Who};
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
fn a_server_takes_as_many_as_it_may_have_and_says_so() {
    let bench = Bench::new();
    let log = bench.log();
    assert!(log.contains("files that may be open"), "{log}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bench.process_id())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "{limits}");
}

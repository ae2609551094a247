//! Two servers on one object store: one serves, the other stands by and takes over.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStdout, Stdio};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::lost_disk::Store;
use crate::client::{Answer, Connection, Request};
use crate::process::{Process, program, run, signal};
use crate::test_server::Who;

/// A server that stands by. It has its own data directory.
struct Standby {
    process: Process,
    stdout: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Standby {
    /// Starts a server, and waits until it stands by.
    fn start(store: &Store) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(store.flags_of("two"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process(command.spawn().unwrap());
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        let mut standby = Self { process, stdout, _folder: folder };
        assert_eq!(standby.line(), "standing by");
        standby
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "it has ended");
        line.trim_end().to_owned()
    }

    /// Waits until it has taken over.
    fn takes_over(&mut self) -> SocketAddr {
        let line = self.line();
        line.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}")).parse().unwrap()
    }
}

pub fn ask(
    address: SocketAddr,
    who: &Who,
    (method, path): (&str, &str),
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    let (host, body) = (format!("{}:{}", who.host, address.port()), body.map(Value::to_string));
    let token = who.token.as_deref();
    let request = Request { method, path, host: &host, token, headers: &[], body: body.as_deref() };
    Connection::open(address)?.ask(&request)
}

fn customers(address: SocketAddr, who: &Who) -> Vec<String> {
    let list = ask(address, who, ("GET", "/api/customers?per_page=500"), None).unwrap().ok();
    list["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// Creates customers until the server does not answer any more. Returns the names that it answered.
fn write_until_gone(address: SocketAddr, who: &Who) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0.. {
        let name = format!("customer-{n}");
        match ask(address, who, ("POST", "/api/customers"), Some(&json!({"name": name}))) {
            Ok(answer) if answer.status == 201 => answered.push(name),
            Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
            Err(_) => break,
        }
    }
    answered
}

#[track_caller]
fn has_all(address: SocketAddr, who: &Who, answered: &[String]) {
    let there = customers(address, who);
    let lost: Vec<_> = answered.iter().filter(|name| !there.contains(name)).collect();
    assert!(lost.is_empty(), "answered and lost: {lost:?}");
    assert!(there.len() <= answered.len() + 1, "at most one is there without an answer");
}

#[test]
fn a_server_that_stops_hands_over_at_once() {
    // Its lease would be long.
    let store = Store::new(&["--lease", "300"]);
    let mut first = store.server();
    let acme = first.team("acme");
    first.customer(&acme.inside, "Renault");
    let mut second = Standby::start(&store);
    assert!(first.stop().success(), "{}", first.log());
    let address = second.takes_over();
    assert_eq!(customers(address, &acme.inside), ["Renault"]);
}

#[test]
fn a_killed_server_is_taken_over_and_nothing_that_it_answered_is_lost() {
    let store = Store::new(&["--lease", "1"]);
    let mut first = store.server();
    let acme = first.team("acme");
    let mut second = Standby::start(&store);
    let address = first.address();
    let answered = thread::scope(|scope| {
        let client = scope.spawn(|| write_until_gone(address, &acme.inside));
        while first.customers(&acme.inside).len() < 20 {}
        first.kill();
        client.join().unwrap()
    });
    first.ended();
    let address = second.takes_over();
    has_all(address, &acme.inside, &answered);
    let created = ask(address, &acme.inside, ("POST", "/api/customers"), Some(&json!({"name": "Renault"})));
    created.unwrap().created();
}

#[test]
fn a_paused_server_answers_nothing_more_when_it_goes_on() {
    let store = Store::new(&["--lease", "1"]);
    let mut first = store.server();
    let acme = first.team("acme");
    let mut second = Standby::start(&store);
    let address = first.address();
    let (answered, after) = thread::scope(|scope| {
        let client = scope.spawn(|| write_until_gone(address, &acme.inside));
        while first.customers(&acme.inside).len() < 20 {}
        signal(first.process(), "STOP");
        let now = second.takes_over();
        let created = ask(now, &acme.inside, ("POST", "/api/customers"), Some(&json!({"name": "Renault"})));
        created.unwrap().created();
        signal(first.process(), "CONT");
        assert!(!first.ended().success(), "it ends when it sees that another server serves");
        (client.join().unwrap(), now)
    });
    let there = customers(after, &acme.inside);
    let lost: Vec<_> = answered.iter().filter(|name| !there.contains(name)).collect();
    assert!(lost.is_empty(), "answered and lost: {lost:?}");
    // It starts again, and stands by.
    let mut again = Standby::start(&store);
    second.process.0.kill().unwrap();
    let address = again.takes_over();
    assert_eq!(customers(address, &acme.inside), there);
}

#[test]
fn a_server_that_stands_by_says_so() {
    let store = Store::new(&[]);
    let first = store.server();
    let port = crate::process::free_ports::<1>()[0];
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]).args(store.flags_of("two"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut standby = Process(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(standby.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let who = Who { host: "localhost".into(), token: None };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let get = |path: &str| ask(address, &who, ("GET", path), None).unwrap();
    assert_eq!(get("/healthz").status, 200);
    for path in ["/readyz", "/api/workspaces", "/docs"] {
        let answer = get(path);
        answer.refused(503, "standby");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    drop(first);
}

#[test]
fn two_servers_with_one_name_are_refused() {
    let store = Store::new(&["--lease", "1"]);
    let _first = store.server();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(store.flags());
    let said = run(&mut command, "").failed();
    assert!(said.contains("another server with the name one serves"), "{said}");
}

#[test]
fn a_server_that_was_killed_starts_again_at_once() {
    let store = Store::new(&["--lease", "300"]);
    let mut server = store.server();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.kill();
    server.start();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
}

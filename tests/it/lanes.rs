//! A workspace whose file is locked by another program: requests wait in its lane, up to a number and a time. All
//! others are rejected at once, and a rejected request has changed nothing.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, Scope};
use std::time::Duration;

use serde_json::json;

use crate::client::Answer;
use crate::test_server::{Team, TestServer, sqlite};

/// Much longer than a `turn_timeout` of 0.3, and much shorter than the five seconds that a started write waits.
const A_WHILE: Duration = Duration::from_secs(1);

#[test]
fn a_full_lane_refuses_at_once_and_what_it_refused_is_not_written() {
    let server = &TestServer::with(&["--max-waiting", "2"]);
    let (acme, zeta) = (&server.team("acme"), &server.team("zeta"));
    let lock = Lock::on(server, acme);
    let answers: Vec<(String, Answer)> = thread::scope(|scope| {
        let (told, heard) = channel();
        for n in 0..8 {
            let told = told.clone();
            scope.spawn(move || told.send(create(server, acme, format!("customer {n}"))).unwrap());
        }
        drop(told);
        // At most two wait, and the working thread may have taken as many.
        let mut answers: Vec<(String, Answer)> = heard.iter().take(4).collect();
        assert!(answers.iter().all(|(_, answer)| answer.status == 503), "the lock is still held: {answers:?}");
        server.get(&acme.inside, "/customers").ok();
        server.customer(&zeta.inside, "a neighbour's");
        lock.release();
        answers.extend(heard);
        answers
    });

    let mut written = Vec::new();
    for (name, answer) in answers {
        if answer.status == 201 {
            written.push(name);
        } else {
            answer.refused(503, "overloaded");
            assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
        }
    }
    assert!((2..=4).contains(&written.len()), "{written:?}");
    let mut there = server.customers(&acme.inside);
    written.sort();
    there.sort();
    assert_eq!(there, written);
}

#[test]
fn a_write_that_waited_too_long_is_refused_and_never_done_after_all() {
    let server = &TestServer::with(&["--turn-timeout", "0.3"]);
    let acme = &server.team("acme");
    let lock = Lock::on(server, acme);
    thread::scope(|scope| {
        let begun = send(scope, server, acme, "begun");
        assert!(matches!(begun.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout)), "its turn has come: it waits");
        for name in ["waiting", "waiting too"] {
            let (_, answer) = send(scope, server, acme, name).recv().unwrap();
            answer.refused(503, "overloaded");
            assert!(answer.header("retry-after").is_some());
        }
        lock.release();
        begun.recv().unwrap().1.created();
    });
    // The lane is first in, first out: when this write is done, all earlier ones are done.
    server.customer(&acme.inside, "the next");
    assert_eq!(server.customers(&acme.inside), ["begun", "the next"]);
}

#[test]
fn a_write_that_found_the_file_locked_for_too_long_is_refused_and_not_written() {
    let server = &TestServer::new();
    let acme = &server.team("acme");
    let lock = Lock::on(server, acme);
    let (_, answer) = create(server, acme, "too long".into());
    answer.refused(503, "overloaded");
    lock.release();
    server.customer(&acme.inside, "the next");
    assert_eq!(server.customers(&acme.inside), ["the next"]);
}

#[test]
fn writes_that_wait_together_are_each_answered_for_themselves() {
    let server = &TestServer::new();
    let acme = &server.team("acme");
    let lock = Lock::on(server, acme);
    let answers: Vec<(String, Answer)> = thread::scope(|scope| {
        // The first has its turn. The others become one batch after it.
        let first = send(scope, server, acme, "customer 0");
        assert!(first.recv_timeout(A_WHILE / 4).is_err());
        let waiting: Vec<_> = (0..20).map(|n| send(scope, server, acme, ["", "good"][n % 2])).collect();
        lock.release();
        [first].iter().chain(&waiting).map(|answer| answer.recv().unwrap()).collect()
    });
    for (name, answer) in answers {
        match name.as_str() {
            "" => answer.invalid(&["The name field is required."]),
            _ => assert_eq!(answer.created()["name"], name),
        }
    }
    assert_eq!(server.customers(&acme.inside).len(), 11);
}

/// The write lock of a workspace's file, taken by another program.
struct Lock(rusqlite::Connection);

impl Lock {
    fn on(server: &TestServer, team: &Team) -> Self {
        let file = sqlite(&server.file(&team.workspace));
        file.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(file)
    }

    fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

fn create(server: &TestServer, team: &Team, name: String) -> (String, Answer) {
    let answer = server.post(&team.inside, "/customers", json!({"name": name}));
    (name, answer)
}

/// Starts a write on its own thread. Returns a receiver of its response.
fn send<'s>(
    scope: &'s Scope<'s, '_>,
    server: &'s TestServer,
    team: &'s Team,
    name: &'static str,
) -> Receiver<(String, Answer)> {
    let (told, heard) = channel();
    scope.spawn(move || told.send(create(server, team, name.into())).unwrap());
    heard
}

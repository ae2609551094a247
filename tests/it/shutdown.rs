//! Shutdown: the server completes running requests, rejects all others, and leaves nothing half done.

use std::io::ErrorKind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Answer, Connection, Request};
use crate::test_server::{Team, TestServer, central, eventually};
use crate::writers::{End, write_until_gone};

#[test]
fn every_write_that_was_answered_before_the_end_is_there_after_it() {
    let mut server = TestServer::with(&["--shutdown-timeout", "20"]);
    let acme = server.team("acme");
    let (written, ends) = stop_while_clients_write(&server, &acme);
    assert!(server.ended().success(), "{}", server.log());
    assert!(!server.log().contains("did not finish in time"), "{}", server.log());

    server.start();
    let there = server.customers(&acme.inside);
    for name in &written {
        assert!(there.contains(name), "{name} was answered 201");
    }
    for end in ends {
        match end {
            End::Closed => {}
            End::Refused(name, answer) => {
                answer.refused(503, "shutting_down");
                assert!(answer.header("retry-after").is_some());
                assert!(!there.contains(&name), "{name} was answered 503");
            }
            End::HalfAnswered(error) => panic!("half an answer: {error}"),
        }
    }
    assert_eq!(server.cli(&["doctor"]).code, Some(0));
}

fn stop_while_clients_write(server: &TestServer, acme: &Team) -> (Vec<String>, Vec<End>) {
    let (told, heard) = channel();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|n| {
                let told = told.clone();
                scope.spawn(move || write_until_gone(server, &acme.inside, &format!("client {n}"), &told))
            })
            .collect();
        drop(told);
        let mut written: Vec<String> = heard.iter().take(100).collect();
        server.terminate();
        let ends = clients.into_iter().map(|client| client.join().unwrap()).collect();
        written.extend(heard);
        (written, ends)
    })
}

/// One request holds the drain open. Requests that arrive meanwhile are rejected. Then the first gets its response.
#[test]
fn a_request_that_was_begun_is_answered_and_those_that_come_meanwhile_are_refused() {
    let mut server = TestServer::with(&["--header-timeout", "3600"]);
    let acme = server.team("acme");
    let mut slow = server.begin(&acme.inside, &json!({"name": "Renault"}).to_string());
    let mut idle = server.connect();
    idle.ask(&Request { method: "GET", path: "/api", host: "localhost", ..Request::default() }).unwrap();

    server.terminate();
    assert!(idle.receive().unwrap().is_none(), "a connection without a request is closed");
    eventually("new requests are refused", || refused_or_unreachable(&server));

    slow.send(json!({"name": "Renault"}).to_string()).unwrap();
    let answer = slow.receive().unwrap().unwrap();
    assert_eq!(answer.created()["name"], "Renault");
    assert!(slow.receive().unwrap().is_none());
    assert!(server.ended().success());

    server.start();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
}

#[test]
fn a_request_that_does_not_end_is_waited_for_no_longer_than_the_timeout() {
    let mut server = TestServer::with(&["--shutdown-timeout", "0.5"]);
    let acme = server.team("acme");
    let mut slow = server.begin(&acme.inside, &json!({"name": "Renault"}).to_string());
    let told = Instant::now();
    assert!(server.stop().success(), "{}", server.log());
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert!(matches!(slow.receive(), Ok(None)), "no half answer");
    assert!(server.log().contains("did not finish in time"));
    server.start();
    assert_eq!(server.customers(&acme.inside), [""; 0]);
}

#[test]
fn a_server_without_requests_stops_at_once_whatever_connections_are_open() {
    let mut server = TestServer::with(&["--shutdown-timeout", "3600", "--header-timeout", "3600"]);
    let _silent: Vec<Connection> = (0..5).map(|_| server.connect()).collect();
    server.get(&central(), "").ok();
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn after_the_end_the_file_alone_is_the_whole_of_a_workspace() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    assert!(server.stop().success());
    for suffix in ["-wal", "-shm"] {
        let log = server.file(&acme.workspace).with_extension(format!("sqlite{suffix}"));
        assert!(!log.exists(), "{} is left", log.display());
    }
}

/// Whether a new connection gets a 503, or cannot connect. A truncated response fails the test.
fn refused_or_unreachable(server: &TestServer) -> bool {
    let request = Request { method: "GET", path: "/api", host: "localhost", ..Request::default() };
    let answer: Result<Answer, _> = Connection::open(server.address()).and_then(|mut new| new.ask(&request));
    match answer {
        Ok(answer) if answer.status == 200 => false,
        Ok(answer) => {
            answer.refused(503, "shutting_down");
            answer.header("retry-after").is_some()
        }
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::UnexpectedEof, "half an answer");
            true
        }
    }
}

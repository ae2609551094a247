//! Slow or silent clients block nobody and are disconnected.

use serde_json::json;

use super::GOOD;
use crate::client::{Connection, Request};
use crate::test_server::{TestServer, eventually};

#[test]
fn clients_that_are_slow_with_their_bodies_delay_nobody() {
    // The server's own work, such as indexing, may take some of the waiting places.
    let server = TestServer::with(&["--max-waiting", "4", "--database-threads", "2", "--read-turns", "1"]);
    let acme = server.team("acme").inside;
    let body = |n: usize| json!({"name": format!("slow {n:02}")}).to_string();
    let mut slow: Vec<Connection> = (0..20).map(|n| server.begin(&acme, &body(n))).collect();
    for (n, connection) in slow.iter_mut().enumerate() {
        connection.send(&body(n).as_bytes()[..5]).unwrap();
    }

    // Twenty requests are in the middle of their bodies, with only two threads and four waiting places.
    for n in 0..10 {
        server.customer(&acme, &format!("fast {n}"));
    }
    assert_eq!(server.customers(&acme).len(), 10);

    for (n, connection) in slow.iter_mut().enumerate() {
        for byte in &body(n).as_bytes()[5..] {
            connection.send([*byte]).unwrap();
        }
        let answer = connection.receive().unwrap().unwrap();
        assert_eq!(answer.created()["name"], format!("slow {n:02}"));
    }
    assert_eq!(server.customers(&acme).len(), 30);
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let server = TestServer::with(&["--body-timeout", "0.5"]);
    let acme = server.team("acme").inside;
    let mut stalled = server.begin(&acme, r#"{"name":"never"}"#);
    stalled.send(r#"{"name":"#).unwrap();
    server.customer(&acme, "Renault");
    let answer = stalled.receive().unwrap().unwrap();
    answer.refused(408, "request_timeout");
    assert!(answer.header("x-request-id").is_some());
    assert!(stalled.receive().unwrap().is_none(), "what may still arrive is not taken for a request");
    assert_eq!(server.customers(&acme), ["Renault"]);
}

#[test]
fn a_body_that_ends_early_changes_nothing() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    // The received part would be a complete customer.
    let mut gone = server.begin(&acme, r#"{"name":"never"}   "#);
    gone.send(r#"{"name":"never"}"#).unwrap();
    drop(gone);
    server.customer(&acme, "Renault");
    assert_eq!(server.customers(&acme), ["Renault"]);
}

#[test]
fn a_connection_that_never_sends_a_whole_head_is_closed() {
    let server = TestServer::with(&["--header-timeout", "0.5"]);
    let begun = ["", "G", "PRI * HT", "GET /api HTTP/1.1\r\n", "GET /api HTTP/1.1\r\nHost: localhost\r\n"];
    let mut silent: Vec<Connection> = begun.iter().map(|_| server.connect()).collect();
    for (connection, begun) in silent.iter_mut().zip(begun) {
        connection.send(begun).unwrap();
    }
    for (connection, begun) in silent.iter_mut().zip(begun) {
        match connection.receive() {
            Ok(None) => {}
            Ok(Some(answer)) => assert_eq!(answer.status, 408, "after {begun:?}: {answer:?}"),
            Err(error) => panic!("after {begun:?}: {error}"),
        }
    }
}

#[test]
fn a_connection_on_which_nothing_is_asked_any_more_is_closed() {
    let server = TestServer::with(&["--header-timeout", "0.5"]);
    let mut kept = server.connect();
    for _ in 0..2 {
        kept.send(GOOD).unwrap();
        kept.receive().unwrap().unwrap().ok();
    }
    assert!(kept.receive().unwrap().is_none());
}

/// A client that does not read its responses occupies memory and a connection.
#[test]
fn a_client_that_does_not_read_is_let_go_and_harms_nobody() {
    let server = TestServer::with(&["--write-timeout", "1"]);
    let acme = server.team("acme").inside;
    let (memory, sockets) = (server.resident_mib(), server.open_sockets());
    let asked = Request { method: "GET", path: "/api/openapi.json", host: "localhost", ..Request::default() }.text();
    let mut deaf: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
    for connection in &mut deaf {
        // Several gigabytes, if all responses were buffered.
        connection.send(asked.repeat(2_000)).unwrap();
    }
    for n in 0..20 {
        server.customer(&acme, &format!("customer {n}"));
    }
    let grown = server.resident_mib().saturating_sub(memory);
    assert!(grown < 64, "{grown} MiB");
    eventually("they are let go", || server.open_sockets() <= sockets);
    drop(deaf);
}

//! Clients that are slow, or silent: nobody waits because of them, and they are not waited for without end.

use serde_json::json;

use crate::bench::Bench;
use crate::client::Connection;

#[test]
fn clients_that_are_slow_with_their_bodies_delay_nobody() {
    let bench = Bench::with(&["--max-waiting", "1", "--database-threads", "2", "--read-turns", "1"]);
    let acme = bench.team("acme").inside;
    let body = |n: usize| json!({"name": format!("slow {n:02}")}).to_string();
    let mut slow: Vec<Connection> = (0..20).map(|n| bench.begin(&acme, &body(n))).collect();
    for (n, connection) in slow.iter_mut().enumerate() {
        connection.send(&body(n).as_bytes()[..5]).unwrap();
    }

    // Twenty requests are in the middle of their bodies, and there are no more than two threads and one place to wait.
    for n in 0..10 {
        bench.customer(&acme, &format!("fast {n}"));
    }
    assert_eq!(bench.customers(&acme).len(), 10);

    for (n, connection) in slow.iter_mut().enumerate() {
        for byte in &body(n).as_bytes()[5..] {
            connection.send([*byte]).unwrap();
        }
        let answer = connection.receive().unwrap().unwrap();
        assert_eq!(answer.created()["name"], format!("slow {n:02}"));
    }
    assert_eq!(bench.customers(&acme).len(), 30);
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let bench = Bench::with(&["--body-timeout", "0.5"]);
    let acme = bench.team("acme").inside;
    let mut stalled = bench.begin(&acme, r#"{"name":"never"}"#);
    stalled.send(r#"{"name":"#).unwrap();
    bench.customer(&acme, "Renault");
    let answer = stalled.receive().unwrap().unwrap();
    answer.refused(408, "request_timeout");
    assert!(answer.header("x-request-id").is_some());
    assert!(stalled.receive().unwrap().is_none(), "what may still arrive is not taken for a request");
    assert_eq!(bench.customers(&acme), ["Renault"]);
}

#[test]
fn a_body_that_ends_early_changes_nothing() {
    let bench = Bench::new();
    let acme = bench.team("acme").inside;
    // What arrived would be a whole customer.
    let mut gone = bench.begin(&acme, r#"{"name":"never"}   "#);
    gone.send(r#"{"name":"never"}"#).unwrap();
    drop(gone);
    bench.customer(&acme, "Renault");
    assert_eq!(bench.customers(&acme), ["Renault"]);
}

#[test]
fn a_connection_that_never_sends_a_whole_head_is_closed() {
    let bench = Bench::with(&["--header-timeout", "0.5"]);
    let begun = ["", "G", "PRI * HT", "GET /api HTTP/1.1\r\n", "GET /api HTTP/1.1\r\nHost: localhost\r\n"];
    let mut silent: Vec<Connection> = begun.iter().map(|_| bench.connect()).collect();
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

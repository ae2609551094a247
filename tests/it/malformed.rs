//! What is no HTTP, or more than there should be: refused, and never mixed up with what came before it or comes after.

use crate::bench::{Bench, central};
use crate::client::Request;

const GOOD: &str = "GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The head of a request, at most.
const LONGEST_HEAD: usize = 32 * 1024;

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let bench = Bench::new();
    let (beginning, rest) = GOOD.split_at(10);
    let mut connection = bench.connect();
    connection.send(format!("{GOOD}{beginning}")).unwrap();
    connection.receive().unwrap().unwrap().ok();
    connection.send(rest).unwrap();
    connection.receive().unwrap().unwrap().ok();
}

#[test]
fn what_is_no_http_is_refused_after_what_was_good_is_answered() {
    let bench = Bench::new();
    for bad in [
        "NONSENSE\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "GET /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost : localhost\r\n\r\n",
    ] {
        let mut connection = bench.connect();
        connection.send(format!("{GOOD}{bad}")).unwrap();
        connection.receive().unwrap().unwrap().ok();
        assert_eq!(connection.receive().unwrap().unwrap().status, 400, "{bad:?}");
        assert!(connection.receive().unwrap().is_none(), "{bad:?}");
    }
    bench.get(&central(), "").ok();
}

#[test]
fn a_head_that_has_no_end_is_refused() {
    let bench = Bench::new();
    let mut connection = bench.connect();
    let head = "GET /api HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
    connection.send(format!("{head:x<LONGEST_HEAD$}")).unwrap();
    assert_eq!(connection.receive().unwrap().unwrap().status, 431);
    assert!(connection.receive().unwrap().is_none());
}

/// A proxy might have gone by the length and taken the rest for the next request (RFC 9112, 6.3).
#[test]
fn a_body_with_a_length_and_in_chunks_ends_the_connection() {
    let bench = Bench::new();
    let request = Request {
        method: "POST",
        path: "/api/login",
        host: "localhost",
        headers: &[("Content-Type", "application/json"), ("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        ..Request::default()
    };
    let mut connection = bench.connect();
    connection.send(format!("{}0\r\n\r\n{GOOD}", request.text())).unwrap();
    assert_eq!(connection.receive().unwrap().unwrap().status, 400);
    assert!(connection.receive().unwrap().is_none(), "what follows is not answered");
}

/// What nobody reads is not taken for the next request.
#[test]
fn a_body_where_none_is_wanted_does_not_become_a_request() {
    let bench = Bench::new();
    let ada = bench.register("ada");
    let whoami = Request { method: "GET", path: "/api/whoami", host: "localhost", ..Request::default() };
    let hidden = Request { method: "POST", path: "/api/logout", token: ada.token.as_deref(), ..whoami }.text();
    let mut connection = bench.connect();
    connection.send(Request { body: Some(&hidden), ..whoami }.text()).unwrap();
    connection.send(GOOD).unwrap();
    connection.receive().unwrap().unwrap().refused(401, "token_missing");
    if let Some(answer) = connection.receive().unwrap() {
        answer.ok();
    }
    bench.get(&ada, "/whoami").ok();
}

//! Malformed or oversized input is rejected, and never mixed up with the requests before or after it.

use crate::client::Request;
use crate::test_server::TestServer;

use super::GOOD;

/// Maximum size of a request's head.
const LONGEST_HEAD: usize = 32 * 1024;

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let server = TestServer::new();
    let (beginning, rest) = GOOD.split_at(10);
    let mut connection = server.connect();
    connection.send(format!("{GOOD}{beginning}")).unwrap();
    connection.receive().unwrap().unwrap().ok();
    connection.send(rest).unwrap();
    connection.receive().unwrap().unwrap().ok();
}

#[test]
fn a_head_that_has_no_end_is_refused() {
    let server = TestServer::new();
    let mut connection = server.connect();
    let head = "GET /api HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
    connection.send(format!("{head:x<LONGEST_HEAD$}")).unwrap();
    assert_eq!(connection.receive().unwrap().unwrap().status, 431);
    assert!(connection.receive().unwrap().is_none());
}

#[test]
fn a_path_may_be_as_long_as_a_head() {
    let server = TestServer::new();
    let path = format!("/api/{}?{}", "x".repeat(15_000), "y=1&".repeat(3_000));
    server
        .ask(&Request { method: "GET", path: &path, host: "localhost", ..Request::default() })
        .refused(404, "route_not_found");
    let mut connection = server.connect();
    connection.send(format!("GET /{:x<LONGEST_HEAD$}", "")).unwrap();
    assert_eq!(connection.receive().unwrap().unwrap().status, 431);
}

#[test]
fn a_head_has_a_hundred_fields_and_no_more() {
    let server = TestServer::new();
    for (more, status) in [(99, 200), (100, 431)] {
        let mut connection = server.connect();
        connection.send(GOOD.trim_end()).unwrap();
        connection.send(format!("{}\r\n\r\n", "\r\nX-Many: 1".repeat(more))).unwrap();
        assert_eq!(connection.receive().unwrap().unwrap().status, status, "{more}");
    }
}

/// An unread body is not taken for the next request.
#[test]
fn a_body_where_none_is_wanted_does_not_become_a_request() {
    let server = TestServer::new();
    let ada = server.register("ada");
    let whoami = Request { method: "GET", path: "/api/whoami", host: "localhost", ..Request::default() };
    let hidden = Request { method: "POST", path: "/api/logout", token: ada.token.as_deref(), ..whoami }.text();
    let mut connection = server.connect();
    connection.send(Request { body: Some(&hidden), ..whoami }.text()).unwrap();
    connection.send(GOOD).unwrap();
    connection.receive().unwrap().unwrap().refused(401, "token_missing");
    if let Some(answer) = connection.receive().unwrap() {
        answer.ok();
    }
    server.get(&ada, "/whoami").ok();
}

/// A few kilobytes could expand to gigabytes, so nothing is decompressed.
#[test]
fn a_body_that_is_packed_is_refused() {
    let server = TestServer::new();
    for encoding in ["gzip", "br", "deflate, gzip", "zstd"] {
        let headers = [("Content-Encoding", encoding)];
        let request =
            Request { method: "POST", path: "/api/login", host: "localhost", headers: &headers, ..Request::default() };
        server.ask(&Request { body: Some("{}"), ..request }).refused(415, "unsupported_content_encoding");
    }
}

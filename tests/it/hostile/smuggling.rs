//! Requests that a proxy and this server could parse differently. All are rejected, and everything after them on the
//! connection is ignored.

use super::GOOD;
use crate::client::{Answer, Connection, Request};
use crate::test_server::{TestServer, central};

/// Sends a good, a bad and another good request: the first succeeds, the second is rejected, the third is ignored.
fn refuse(server: &TestServer, bad: &str) -> Answer {
    let mut connection = server.connect();
    connection.send(format!("{GOOD}{bad}{GOOD}")).unwrap();
    connection.receive().unwrap().unwrap().ok();
    let answer = connection.receive().unwrap().unwrap_or_else(|| panic!("no answer to {bad:?}"));
    assert_eq!(answer.status, 400, "{bad:?}: {answer:?}");
    assert!(connection.receive().unwrap().is_none(), "{bad:?} does not end the connection");
    answer
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n\r\n{body}")
}

/// hyper itself rejects these.
#[test]
fn what_is_no_http_is_refused_after_what_was_good_is_answered() {
    let server = TestServer::new();
    for bad in [
        "NONSENSE\r\n\r\n",
        "GET /api\r\n\r\n",
        "GET /api HTTP/0.9\r\nHost: localhost\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost: localhost\r\n X-Folded: 1\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost: localhost\r\nX-Folded: 1\r\n 2\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost: local\rhost\r\n\r\n",
        "GET /api HTTP/1.1\rHost: localhost\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost: localhost\r\nX-Nul: a\0b\r\n\r\n",
        "GET /api\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost: localhost\r\n: nameless\r\n\r\n",
        "GET /api HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    ] {
        refuse(&server, bad);
    }
    server.get(&central(), "").ok();
}

#[test]
fn the_length_of_a_body_is_beyond_doubt() {
    let server = TestServer::new();
    for (headers, body) in [
        ("Content-Length: 1\r\nContent-Length: 2", "ab"),
        ("Content-Length: 2\r\nContent-Length: 2", "{}"),
        ("Content-Length: 2, 2", "{}"),
        ("Content-Length: x", ""),
        ("Content-Length: -1", ""),
        ("Content-Length: +2", "{}"),
        ("Content-Length: 0x2", "{}"),
        ("Content-Length: 2 2", "{}"),
        ("Content-Length: 99999999999999999999", ""),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: gzip", ""),
        ("Transfer-Encoding: identity", ""),
        ("Transfer-Encoding: xchunked", ""),
        ("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        ("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", "0\r\n\r\n"),
    ] {
        refuse(&server, &post(headers, body));
    }
    refuse(&server, "POST /api/login HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

#[test]
fn the_size_of_a_chunk_is_beyond_doubt() {
    let server = TestServer::new();
    for chunks in [
        "x\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}xx0\r\n\r\n",
        "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
    ] {
        refuse(&server, &post("Transfer-Encoding: chunked", chunks));
    }
    // Unlimited chunk extensions and trailers.
    refuse(&server, &post("Transfer-Encoding: chunked", &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(20_000))));
    let trailers = "X-Trailer: 1\r\n".repeat(2_000);
    refuse(&server, &post("Transfer-Encoding: chunked", &format!("2\r\n{{}}\r\n0\r\n{trailers}\r\n")));
}

/// Only hyper, which counted the chunks, knows where the body ends.
#[test]
fn after_a_body_in_chunks_there_is_no_other_request() {
    let server = TestServer::new();
    for chunked in ["chunked", "Chunked"] {
        let mut connection = server.connect();
        let request = post(&format!("Transfer-Encoding: {chunked}"), "2;name=value\r\n{}\r\n0\r\n\r\n");
        connection.send(format!("{request}{GOOD}")).unwrap();
        let answer = connection.receive().unwrap().unwrap();
        answer.invalid(&["The email field is required.", "The password field is required."]);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.receive().unwrap().is_none());
    }
}

#[test]
fn each_line_of_a_head_ends_in_crlf() {
    let server = TestServer::new();
    let whole = post("Content-Length: 2", "{}");
    let heads = GOOD.to_owned() + whole.trim_end_matches("{}");
    for (at, _) in heads.match_indices("\r\n").filter(|(at, _)| *at >= GOOD.len()) {
        let bad = format!("{}{}{{}}", &heads[GOOD.len()..at], &heads[at + 1..]);
        let said = refuse(&server, &bad);
        said.refused(400, "bad_request");
    }
    refuse(&server, &format!("\n{GOOD}"));
    // Line endings in a body are not checked, and an empty line before a request is allowed.
    let mut connection = server.connect();
    connection.send(format!("{}\r\n{GOOD}", post("Content-Length: 4", "{\n\n}"))).unwrap();
    connection
        .receive()
        .unwrap()
        .unwrap()
        .invalid(&["The email field is required.", "The password field is required."]);
    connection.receive().unwrap().unwrap().ok();
}

#[test]
fn a_request_names_one_host_and_nothing_else() {
    let server = TestServer::new();
    let head = |head: &str| format!("{head}\r\n\r\n");
    for bad in [
        "GET /api HTTP/1.1",
        "GET /api HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
        "GET /api HTTP/1.1\r\nHost: localhost\r\nHost: acme.localhost",
        "GET /api HTTP/1.1\r\nHost: ",
        "GET /api HTTP/1.1\r\nHost: ada@localhost",
        "GET /api HTTP/1.1\r\nHost: local host",
        "GET /api HTTP/1.1\r\nHost: localhost, acme.localhost",
        "GET /api HTTP/1.1\r\nHost: localhost/api",
        "GET /api HTTP/1.1\r\nHost: http://localhost",
        "GET /api HTTP/1.1\r\nHost: localhost#a",
        "GET /api HTTP/1.1\r\nHost: localhost:80:80",
        "GET http://localhost/api HTTP/1.1\r\nHost: example.com",
        "GET http://localhost/api HTTP/1.1\r\nHost: localhost:80",
        "GET http://ada@localhost/api HTTP/1.1\r\nHost: ada@localhost",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
        "GET localhost:80 HTTP/1.1\r\nHost: localhost:80",
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80",
        "CONNECT http://localhost/healthz HTTP/1.1\r\nHost: localhost",
    ] {
        refuse(&server, &head(bad));
    }
    let mut whole = server.connect();
    whole.send(head("GET http://localhost/api HTTP/1.1\r\nHost: LocalHost")).unwrap();
    assert_eq!(whole.receive().unwrap().unwrap().ok()["layer"], "central");
}

/// A request through a trusted proxy is checked like any other.
#[test]
fn a_proxy_forwards_one_host_and_nothing_else() {
    let server = TestServer::with(&["--trusted-proxies", "127.0.0.1"]);
    for host in ["localhost, ada@acme.localhost", "ada@localhost", "local host", ""] {
        let headers = [("X-Forwarded-Host", host)];
        let request =
            Request { method: "GET", path: "/api", host: "localhost", headers: &headers, ..Request::default() };
        server.ask(&request).refused(400, "bad_request");
    }
}

#[test]
fn what_follows_a_body_is_another_request() {
    let server = TestServer::new();
    let mut connection = server.connect();
    connection.send(format!("{}garbage\r\n\r\n{GOOD}", post("Content-Length: 2", "{}"))).unwrap();
    connection
        .receive()
        .unwrap()
        .unwrap()
        .invalid(&["The email field is required.", "The password field is required."]);
    assert_eq!(connection.receive().unwrap().unwrap().status, 400);
    assert!(connection.receive().unwrap().is_none());
}

#[test]
fn http_1_0_is_answered_and_kept_open_for_whoever_asks_for_that() {
    let server = TestServer::new();
    let old = |connection: &mut Connection, headers: &str| {
        connection.send(format!("GET /api HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n")).unwrap();
        connection.receive().unwrap().unwrap().ok();
    };
    let mut connection = server.connect();
    old(&mut connection, "Connection: keep-alive\r\n");
    old(&mut connection, "");
    assert!(connection.receive().unwrap().is_none());
}

#[test]
fn no_other_protocol_is_changed_to() {
    let server = TestServer::new();
    let mut connection = server.connect();
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    for _ in 0..2 {
        connection.send(format!("{}\r\n{upgrade}", GOOD.trim_end())).unwrap();
        connection.receive().unwrap().unwrap().ok();
    }
}

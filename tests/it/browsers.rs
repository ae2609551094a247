//! CORS: only configured origins get access.

use crate::client::{Answer, Request};
use crate::test_server::TestServer;

const OURS: &str = "https://app.example.com";

fn preflight(server: &TestServer, host: &str, origin: &str) -> Answer {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    server.ask(&Request { method: "OPTIONS", path: "/api/customers/1", host, headers: &headers, ..Request::default() })
}

#[test]
fn a_preflight_from_a_configured_origin_is_let_through() {
    let server = TestServer::with(&["--cors-origins", "https://app.example.com, http://localhost:5173"]);
    server.team("acme");
    for origin in [OURS, "http://localhost:5173"] {
        let answer = preflight(&server, "acme.localhost", origin);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(["GET", "POST", "PUT", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
        let headers = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[test]
fn a_preflight_from_anywhere_else_is_not() {
    let (server, without) = (TestServer::with(&["--cors-origins", OURS]), TestServer::new());
    server.team("acme");
    without.team("acme");
    for (server, origin) in [
        (&server, "https://evil.example.com"),
        (&server, "null"),
        (&server, "https://app.example.com.evil.com"),
        (&without, OURS),
    ] {
        let answer = preflight(server, "acme.localhost", origin);
        answer.refused(405, "method_not_allowed");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
}

#[test]
fn a_page_of_a_configured_origin_may_read_answers_and_errors() {
    let server = TestServer::with(&["--cors-origins", OURS]);
    let acme = server.team("acme").inside;
    let from = |origin: &str, token: Option<&str>| {
        let headers = [("Origin", origin)];
        let request =
            Request { method: "GET", path: "/customers", host: &acme.host, token, headers: &headers, body: None };
        server.ask(&request)
    };
    let (read, refused) = (from(OURS, acme.token.as_deref()), from(OURS, None));
    assert_eq!((read.status, refused.status), (200, 401));
    for answer in [read, refused] {
        assert_eq!(answer.header("access-control-allow-origin"), Some(OURS));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(
            ["X-Request-Id", "ETag", "Idempotency-Replayed"].iter().all(|name| exposed.contains(name)),
            "{exposed}"
        );
    }
    let other = from("https://evil.example.com", acme.token.as_deref());
    assert_eq!(other.header("access-control-allow-origin"), None);
    assert_eq!(other.header("vary"), Some("Origin"));
}

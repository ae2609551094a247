//! HTTP: kept connections, pipelined requests, HTTP/2, HEAD, size limits, and the headers of every response.

use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Connection, Request};
use crate::faults::traces::Tracer;
use crate::process::run;
use crate::test_server::{TestServer, central, text};

/// Maximum size of a body.
const MIB: usize = 1024 * 1024;

const WHOAMI: Request<'_> =
    Request { method: "GET", path: "/api/whoami", host: "localhost", token: None, headers: &[], body: None };

#[test]
fn a_connection_serves_one_request_after_another() {
    let server = TestServer::new();
    let ada = server.register("ada");
    let mut connection = server.connect();
    for _ in 0..3 {
        connection.ask(&WHOAMI).unwrap().refused(401, "token_missing");
        connection.ask(&Request { token: ada.token.as_deref(), ..WHOAMI }).unwrap().ok();
        connection
            .ask(&Request { method: "PUT", body: Some("{}"), ..WHOAMI })
            .unwrap()
            .refused(405, "method_not_allowed");
    }
    let last = connection.ask(&Request { headers: &[("Connection", "close")], ..WHOAMI }).unwrap();
    last.refused(401, "token_missing");
    assert!(connection.receive().unwrap().is_none());
}

#[test]
fn requests_in_one_write_are_answered_in_order() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let mut all = String::new();
    for n in 0..20 {
        let body = json!({"name": format!("customer {n}")}).to_string();
        let request = Request {
            method: "POST",
            path: "/api/customers",
            host: &acme.host,
            token: acme.token.as_deref(),
            body: Some(&body),
            ..WHOAMI
        };
        all += &request.text();
        all += &Request { path: "/api/nowhere", ..WHOAMI }.text();
    }
    let mut connection = server.connect();
    connection.send(all).unwrap();
    for n in 0..20 {
        let created = connection.receive().unwrap().unwrap().created();
        assert_eq!(created["name"], format!("customer {n}"));
        connection.receive().unwrap().unwrap().refused(404, "route_not_found");
    }
}

#[test]
fn http_2_is_spoken_to_whoever_begins_with_it() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let url = format!("http://acme.localhost:{}/api/customers", server.address().port());
    let token = format!("Authorization: Bearer {}", acme.token.unwrap());
    let (json, body) = ("Content-Type: application/json", r#"{"name":"Renault"}"#);
    let curl = |arguments: &[&str]| {
        let common = ["-s", "--noproxy", "*", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}\n"];
        run(Command::new("curl").args(common).args(["-H", &token]).args(arguments), "").ok()
    };

    let made = curl(&[&url, "-H", json, "-d", body]);
    assert!(made.ends_with("\n2 201\n") && made.contains("Renault"), "{made}");
    let listed = curl(&[&url]);
    assert!(listed.ends_with("\n2 200\n") && listed.contains("Renault"), "{listed}");
    let two_hosts = curl(&[&url, "-H", "Host: zeta.localhost"]);
    assert!(two_hosts.ends_with("\n2 404\n") && two_hosts.contains("workspace_not_found"), "{two_hosts}");
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let server = TestServer::new();
    let ada = server.register("ada");
    let mut connection = server.connect();
    for (token, path) in [(ada.token.as_deref(), "/api/whoami"), (None, "/api/whoami"), (None, "/api/nowhere")] {
        let got = connection.ask(&Request { token, path, ..WHOAMI }).unwrap();
        let head = connection.ask(&Request { method: "HEAD", token, path, ..WHOAMI }).unwrap();
        assert_eq!(head.status, got.status);
        for name in ["content-type", "content-length"] {
            assert_eq!(head.header(name), got.header(name), "{name} of {path}");
        }
        assert_eq!(got.header("content-length"), Some(got.text.len().to_string().as_str()));
    }
}

#[test]
fn what_a_client_has_already_is_not_sent_and_the_connection_goes_on() {
    let server = TestServer::new();
    let ada = server.register("ada");
    let ask = Request { token: ada.token.as_deref(), ..WHOAMI };
    let mut connection = server.connect();
    let first = connection.ask(&ask).unwrap();
    let headers = [("If-None-Match", first.header("etag").unwrap())];
    for method in ["GET", "HEAD"] {
        let known = connection.ask(&Request { method, headers: &headers, ..ask }).unwrap();
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        assert_eq!(known.header("etag"), first.header("etag"));
    }
    assert_eq!(connection.ask(&ask).unwrap().text, first.text);
}

#[test]
fn every_answer_carries_an_id_of_its_own() {
    let server = TestServer::new();
    let asked = [
        Request { path: "/api", ..WHOAMI },
        WHOAMI,
        Request { path: "/api/nowhere", ..WHOAMI },
        Request { host: "example.com", ..WHOAMI },
        Request { host: "", ..WHOAMI },
        Request { method: "DELETE", ..WHOAMI },
        Request { path: "/healthz", ..WHOAMI },
        Request { path: "/", ..WHOAMI },
        Request { method: "POST", path: "/login", body: Some("{"), ..WHOAMI },
    ];
    let mut ids: Vec<String> = asked
        .iter()
        .map(|request| {
            let answer = server.ask(request);
            answer.header("x-request-id").unwrap_or_else(|| panic!("{request:?}: {answer:?}")).to_owned()
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), asked.len());
}

#[test]
fn a_body_may_be_a_mebibyte_and_no_byte_more() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let empty = json!({"name": "Renault", "unknown": ""}).to_string();
    let body = json!({"name": "Renault", "unknown": "x".repeat(MIB - empty.len())});
    assert_eq!(body.to_string().len(), MIB);
    server.post(&acme, "/customers", body).created();

    let announced = [("Content-Type", "application/json"), ("Content-Length", "1048577")];
    let request = Request {
        method: "POST",
        path: "/api/customers",
        host: &acme.host,
        token: acme.token.as_deref(),
        headers: &announced,
        body: None,
    };
    server.ask(&request).refused(413, "payload_too_large");

    let chunked = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")];
    let mut connection = server.connect();
    connection.send(Request { headers: &chunked, ..request }.text()).unwrap();
    // The server reads the first piece completely before the last byte arrives.
    send_chunk(&mut connection, &"x".repeat(MIB));
    send_chunk(&mut connection, "x");
    connection.receive().unwrap().unwrap().refused(413, "payload_too_large");
    assert_eq!(server.customers(&acme), ["Renault"]);
}

fn send_chunk(connection: &mut Connection, chunk: &str) {
    connection.send(format!("{:x}\r\n{chunk}\r\n", chunk.len())).unwrap();
}

#[test]
fn a_body_in_chunks_is_read_like_any_other() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let request = Request {
        method: "POST",
        path: "/api/customers",
        host: &acme.host,
        token: acme.token.as_deref(),
        headers: &[("Content-Type", "application/json; charset=utf-8"), ("Transfer-Encoding", "chunked")],
        body: None,
    };
    let mut connection = server.connect();
    connection.send(request.text()).unwrap();
    for chunk in [r#"{"na"#, r#"me":"Ren"#, r#"ault"}"#] {
        send_chunk(&mut connection, chunk);
    }
    connection.send("0\r\n\r\n").unwrap();
    assert_eq!(connection.receive().unwrap().unwrap().created()["name"], "Renault");
}

#[test]
fn the_server_says_what_it_is_and_whether_it_is_well() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    for (host, layer) in [("localhost", "central"), (acme.host.as_str(), "workspace")] {
        let front = server.ask(&Request { path: "/api", host, ..WHOAMI }).ok();
        assert_eq!((&front["name"], &front["layer"]), (&json!("cx-engine"), &json!(layer)));
        assert_eq!(front["version"], env!("CARGO_PKG_VERSION"));
    }
    for host in ["localhost", "acme.localhost", "nobody.localhost", "10.0.0.1:8080"] {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(server.ask(&Request { path, host, ..WHOAMI }).status, 200, "{path} at {host}");
        }
    }
    let root = server.ask(&Request { path: "/", ..WHOAMI });
    assert!((300..400).contains(&root.status) && root.header("location").is_some(), "{root:?}");
    let described: Value = server.get(&central(), "/openapi.json").ok();
    assert!(described["paths"]["/register"].is_object());
}

/// With Nagle's algorithm, the second half of a response would wait until the client acknowledges the first.
#[test]
fn what_is_written_is_sent_at_once() {
    let server = TestServer::new();
    let Some(tracer) = Tracer::of(&server) else { return };
    server.ask(&Request { method: "GET", path: "/healthz", host: "localhost", ..Request::default() });
    let events = tracer.until_now();
    assert!(events.iter().any(|event| event.call == "setsockopt" && event.with.contains("TCP_NODELAY, [1]")));
}

/// Requests every route with `GET` by curl. Over HTTP/2, a response to `HEAD` with content is a protocol error.
#[test]
fn head_is_answered_alike_and_without_content_over_both_protocols() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.post(&acme.inside, "/contacts", json!({"last_name": "Ada"})).created();
    let routes: Vec<Value> = serde_json::from_str(&server.cli(&["routes", "--json"]).ok()).unwrap();
    let get = routes.iter().filter(|route| route["method"] == "GET");
    let mut answered = 0;
    for (layer, who) in [("central", &acme.owner), ("workspace", &acme.inside)] {
        // A mail is deleted when it is sent, which may happen between two requests. A response of events has no end.
        let urls: Vec<String> = get
            .clone()
            .filter(|route| route["layer"] == layer)
            .filter(|route| !["/instance/mails/{id}", "/events"].iter().any(|left_out| route["path"] == *left_out))
            .map(|route| {
                let path = text(&route["path"]);
                let path: Vec<&str> =
                    path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
                format!("http://{}{}", server.address(), path.join("/"))
            })
            .chain(["healthz", "readyz", "nowhere"].map(|path| format!("http://{}/{path}", server.address())))
            .collect();
        // One connection each: some versions of curl do not reuse a connection for HTTP/2 without TLS.
        let ask = |version: &str, method: &str| {
            let mut answers = Vec::new();
            for url in &urls {
                let mut curl = Command::new("curl");
                curl.args([
                    "-s",
                    "-S",
                    "--globoff",
                    version,
                    method,
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code} %{size_download}",
                ]);
                curl.args(["-H", &format!("Host: {}", who.host)]);
                curl.args(["-H", &format!("Authorization: Bearer {}", who.token.as_deref().unwrap())]);
                answers.push(run(curl.arg(url), "").ok());
            }
            answers
        };
        let (old, new) = (ask("--http1.1", "--head"), ask("--http2-prior-knowledge", "--head"));
        let read = ask("--http2-prior-knowledge", "--get");
        for (((old, new), read), url) in old.iter().zip(&new).zip(&read).zip(&urls) {
            assert_eq!(old, new, "{url}");
            assert!(new.ends_with(" 0"), "{url}: {new}");
            assert_eq!(read.split(' ').next(), new.split(' ').next(), "{url}");
            answered += usize::from(new.starts_with("200"));
        }
    }
    assert!(answered > 20, "{answered}");
}

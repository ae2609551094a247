//! Streams of Server-Sent Events on real connections.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Connection, Request};
use crate::test_server::{TestServer, Who};

/// An open stream.
pub struct Stream(Connection);

impl Stream {
    pub fn open(server: &TestServer, who: &Who) -> Self {
        let mut connection = server.connect();
        let asked = Request {
            method: "GET",
            path: "/api/events",
            host: &who.host,
            token: who.token.as_deref(),
            ..Request::default()
        };
        connection.send(asked.text()).unwrap();
        let head = connection.receive_head().unwrap().unwrap();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        Self(connection)
    }

    /// Reads until a text is there. `None` if the stream ends before.
    pub fn until(&mut self, wanted: &str) -> Option<String> {
        let mut read = String::new();
        loop {
            let chunk = self.0.receive_chunk().ok()?;
            if chunk.is_empty() {
                return None;
            }
            read += std::str::from_utf8(&chunk).unwrap();
            if read.contains(wanted) {
                return Some(read);
            }
        }
    }
}

#[test]
fn a_stream_ends_soon_after_its_token_is_revoked() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let other = server.enter(&server.log_in("acme"), &acme.workspace);
    let (mut ends, mut goes_on) = (Stream::open(&server, &acme.inside), Stream::open(&server, &other));
    server.post(&acme.inside, "/logout", json!({})).ok();
    let revoked = Instant::now();
    ends.until("event: bye").expect("the stream says that it ends");
    assert!(revoked.elapsed() < Duration::from_secs(15), "{:?}", revoked.elapsed());
    server.customer(&other, "Renault");
    assert!(goes_on.until("customer.created").is_some());
}

/// The server disconnects clients that take nothing of a response. A stream on which nothing happens is none.
#[test]
fn a_quiet_stream_stays_open() {
    let server = TestServer::with(&["--write-timeout", "1", "--header-timeout", "1"]);
    let acme = server.team("acme").inside;
    let mut stream = Stream::open(&server, &acme);
    stream.until("retry").unwrap();
    stream.until(":\n\n").expect("a comment, after many times the timeouts");
    server.customer(&acme, "Renault");
    assert!(stream.until("customer.created").is_some());
}

#[test]
fn a_command_beside_the_server_is_told_too() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.register("ida");
    let mut stream = Stream::open(&server, &acme.inside);
    server.cli(&["user", "add", "ida@example.com", "--workspace", "acme"]).ok();
    assert!(stream.until("user.created").is_some());
}

#[test]
fn a_stopping_server_does_not_wait_for_streams() {
    let mut server = TestServer::with(&["--shutdown-timeout", "20"]);
    let acme = server.team("acme").inside;
    let mut stream = Stream::open(&server, &acme);
    stream.until("retry").unwrap();
    let told = Instant::now();
    assert!(server.stop().success());
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert!(stream.until("bye").is_none(), "a client connects again after a restart");
}

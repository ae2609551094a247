//! Out of file descriptors: requests that need one get an error and can retry; all others are served.
//! `hostile/floods.rs` covers connections.

use crate::client::Request;
use crate::test_server::{TestServer, Who};

#[test]
fn a_workspace_for_which_there_are_no_descriptors_is_not_taken_for_damaged() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme").inside, server.team("zeta").inside);
    server.customer(&acme, "Renault");
    server.restart();
    let quiet = server.open_sockets();
    let mut connection = server.connect();
    let mut ask = |who: &Who, path| {
        let Who { host, token } = who;
        let request = Request { method: "GET", path, host, token: token.as_deref(), ..Request::default() };
        connection.ask(&request).unwrap()
    };
    ask(&acme, "/api/customers/1").ok();
    assert_eq!(server.open_sockets(), quiet + 1);
    // Too few for the file, its WAL and the WAL index.
    for spare in 0..3 {
        server.limit_descriptors(spare);
        let answer = ask(&zeta, "/api/customers");
        answer.refused(503, "overloaded");
        assert!(answer.header("retry-after").is_some());
        ask(&acme, "/api/customers/1").ok();
    }
    server.lift_descriptor_limit();
    ask(&zeta, "/api/customers").ok();
    server.is_sound();
}

#[test]
fn a_server_takes_as_many_as_it_may_have_and_says_so() {
    let server = TestServer::with(&["--log", "debug"]);
    let log = server.whole_log();
    assert!(log.contains("limit of open files"), "{log}");
    let (allowed, most) = server.descriptor_limits();
    assert_eq!(allowed, most);
}

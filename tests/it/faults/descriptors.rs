//! Out of file descriptors: requests that need one get an error and can retry; all others are served.
//! `hostile/floods.rs` covers connections.

use crate::bench::{Bench, Who};
use crate::client::Request;

#[test]
fn a_workspace_for_which_there_are_no_descriptors_is_not_taken_for_damaged() {
    let mut bench = Bench::new();
    let (acme, zeta) = (bench.team("acme").inside, bench.team("zeta").inside);
    bench.customer(&acme, "Renault");
    bench.restart();
    let quiet = bench.open_sockets();
    let mut connection = bench.connect();
    let mut ask = |who: &Who, path| {
        let Who { host, token } = who;
        let request = Request { method: "GET", path, host, token: token.as_deref(), ..Request::default() };
        connection.ask(&request).unwrap()
    };
    ask(&acme, "/api/customers/1").ok();
    assert_eq!(bench.open_sockets(), quiet + 1);
    // Too few for the file, its WAL and the WAL index.
    for spare in 0..3 {
        bench.limit_descriptors(spare);
        let answer = ask(&zeta, "/api/customers");
        answer.refused(503, "overloaded");
        assert!(answer.header("retry-after").is_some());
        ask(&acme, "/api/customers/1").ok();
    }
    bench.lift_descriptor_limit();
    ask(&zeta, "/api/customers").ok();
    bench.is_sound();
}

#[test]
fn a_server_takes_as_many_as_it_may_have_and_says_so() {
    let bench = Bench::with(&["--log", "debug"]);
    let log = bench.whole_log();
    assert!(log.contains("limit of open files"), "{log}");
    let (allowed, most) = bench.descriptor_limits();
    assert_eq!(allowed, most);
}

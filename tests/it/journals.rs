//! A PBX that journals the same call several times at once, over a server that is killed in between.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::test_server::TestServer;

#[test]
fn a_call_that_is_journalled_by_many_at_once_is_there_once() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    for round in ["Missed", "Inbound"] {
        let (inside, start) = (&acme.inside, &Barrier::new(16));
        let at_once = |server: &TestServer, n: usize| {
            start.wait();
            let call = json!({"call_type": round, "number": "0142000000", "external_id": format!("call {}", n % 4)});
            server.post(inside, "/crm/lookup/phone-calls", call).created();
        };
        thread::scope(|scope| {
            for n in 0..16 {
                let server = &server;
                scope.spawn(move || at_once(server, n));
            }
        });
        server.kill();
        server.start();
    }
    let calls = server.get(&acme.inside, "/phone-calls").ok();
    assert_eq!(calls["total"], 4);
    for call in calls["data"].as_array().unwrap() {
        assert_eq!(call["status"], "completed");
    }
}

//! `Idempotency-Key`: requests that are sent again at once, after a restart, and after a kill.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::client::{Answer, Request};
use crate::test_server::{TestServer, Who};

/// Creates a customer with a key.
fn create(server: &TestServer, who: &Who, key: &str) -> Answer {
    send(server, who, key, "/api/customers", &json!({"name": key}).to_string())
}

fn send(server: &TestServer, who: &Who, key: &str, path: &str, body: &str) -> Answer {
    let headers = [("Idempotency-Key", key)];
    let token = who.token.as_deref();
    server.ask(&Request { method: "POST", path, host: &who.host, token, headers: &headers, body: Some(body) })
}

#[test]
fn the_same_sent_many_times_at_once_makes_one_row() {
    let server = &TestServer::new();
    let acme = server.team("acme");
    let start = &Barrier::new(16);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    create(server, &acme.inside, "Renault")
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    assert!(answers.iter().all(|answer| answer.created() == answers[0].created()), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count(), 1);
}

#[test]
fn workspaces_that_are_asked_for_many_times_at_once_are_made_once() {
    let server = &TestServer::new();
    let owner = &server.register("ada");
    let start = &Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let answer = send(server, owner, "k", "/api/workspaces", r#"{"name":"Acme"}"#);
                match answer.status {
                    201 => assert_eq!(answer.json()["subdomain"], "acme"),
                    _ => answer.refused(422, "idempotency_key_in_use"),
                }
            });
        }
    });
    assert_eq!(server.get(owner, "/workspaces").ok()["total"], 1);
}

#[test]
fn an_answer_outlives_a_restart_and_a_kill() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    let first = create(&server, &acme.inside, "Renault");
    server.restart();
    let after_restart = create(&server, &acme.inside, "Renault");
    let second = create(&server, &acme.inside, "Peugeot");
    server.kill();
    server.start();
    let after_kill = create(&server, &acme.inside, "Peugeot");
    for (first, again) in [(first, after_restart), (second, after_kill)] {
        assert_eq!(first.created(), again.created());
        assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    }
    assert_eq!(server.customers(&acme.inside), ["Renault", "Peugeot"]);
}

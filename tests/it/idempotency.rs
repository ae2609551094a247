//! `Idempotency-Key`: requests that are sent again at once, after a restart, and after a kill.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::bench::{Bench, Who};
use crate::client::{Answer, Request};

/// Creates a customer with a key.
fn create(bench: &Bench, who: &Who, key: &str) -> Answer {
    send(bench, who, key, "/api/customers", &json!({"name": key}).to_string())
}

fn send(bench: &Bench, who: &Who, key: &str, path: &str, body: &str) -> Answer {
    let headers = [("Idempotency-Key", key)];
    let token = who.token.as_deref();
    bench.ask(&Request { method: "POST", path, host: &who.host, token, headers: &headers, body: Some(body) })
}

#[test]
fn the_same_sent_many_times_at_once_makes_one_row() {
    let bench = &Bench::new();
    let acme = bench.team("acme");
    let start = &Barrier::new(16);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    create(bench, &acme.inside, "Renault")
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    assert!(answers.iter().all(|answer| answer.created() == answers[0].created()), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count(), 1);
}

#[test]
fn workspaces_that_are_asked_for_many_times_at_once_are_made_once() {
    let bench = &Bench::new();
    let owner = &bench.register("ada");
    let start = &Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let answer = send(bench, owner, "k", "/api/workspaces", r#"{"name":"Acme"}"#);
                match answer.status {
                    201 => assert_eq!(answer.json()["subdomain"], "acme"),
                    _ => answer.refused(422, "idempotency_key_in_use"),
                }
            });
        }
    });
    assert_eq!(bench.get(owner, "/workspaces").ok()["total"], 1);
}

#[test]
fn an_answer_outlives_a_restart_and_a_kill() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    let first = create(&bench, &acme.inside, "Renault");
    bench.restart();
    let after_restart = create(&bench, &acme.inside, "Renault");
    let second = create(&bench, &acme.inside, "Peugeot");
    bench.kill();
    bench.start();
    let after_kill = create(&bench, &acme.inside, "Peugeot");
    for (first, again) in [(first, after_restart), (second, after_kill)] {
        assert_eq!(first.created(), again.created());
        assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    }
    assert_eq!(bench.customers(&acme.inside), ["Renault", "Peugeot"]);
}

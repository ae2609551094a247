//! `kill -9` at any moment: acknowledged writes are kept, nothing is duplicated, requests without a response can be
//! repeated, and nothing is damaged.
//!
//! The long form: `cargo test --test it faults::kills -- --ignored`.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde_json::{Value, json};

use crate::client::Request;
use crate::test_server::{Team, TestServer, Who, eventually, text};

/// Number of responses per client to repeat after a kill.
const ASKED_AGAIN: usize = 3;

#[test]
fn every_write_that_was_answered_survives_a_kill() {
    kill_while_customers_are_made(TestServer::new(), 8, |server| server.is_sound());
}

#[test]
#[ignore = "the long form"]
fn every_write_that_was_answered_survives_a_hundred_kills() {
    kill_while_customers_are_made(TestServer::new(), 100, |server| server.is_sound());
}

#[test]
fn workspaces_that_were_answered_survive_a_kill_and_doctor_clears_the_one_half_made() {
    kill_while_workspaces_are_made(3);
}

#[test]
#[ignore = "the long form"]
fn workspaces_that_were_answered_survive_thirty_kills() {
    kill_while_workspaces_are_made(30);
}

#[test]
fn an_import_that_was_killed_continues_with_the_next_record() {
    kill_while_a_file_is_imported(3);
}

#[test]
#[ignore = "the long form"]
fn an_import_that_is_killed_again_and_again_has_every_record_once() {
    kill_while_a_file_is_imported(20);
}

/// The requests of a client, each of which created a customer with an idempotency key.
struct Sent {
    client: usize,
    /// Requests with their responses.
    answered: Vec<(String, Value)>,
    /// The last request, whose outcome is unknown.
    unanswered: String,
}

/// Kills a server while clients write, and calls `dead` before it starts again. Checks what the clients know.
pub fn kill_while_customers_are_made(mut server: TestServer, rounds: usize, dead: impl Fn(&TestServer)) {
    let teams = [server.team("acme"), server.team("zeta")];
    let mut written = [BTreeSet::new(), BTreeSet::new()];
    for round in 0..rounds {
        let sent = write_until_killed(&server, &teams, round);
        server.ended();
        dead(&server);
        server.start();
        for Sent { client, answered, unanswered } in sent {
            let inside = &teams[client % 2].inside;
            for (name, first) in answered.iter().rev().take(ASKED_AGAIN) {
                let again = server.keyed_customer(inside, name);
                assert_eq!((&again.created(), again.header("idempotency-replayed")), (first, Some("true")), "{name}");
            }
            let first = server.keyed_customer(inside, &unanswered).created();
            assert_eq!(server.keyed_customer(inside, &unanswered).created(), first);
            written[client % 2].extend(answered.into_iter().map(|(name, _)| name));
            written[client % 2].insert(unanswered);
        }
        for (team, written) in teams.iter().zip(&written) {
            let there = server.customers(&team.inside);
            let once: BTreeSet<String> = there.iter().cloned().collect();
            assert_eq!(&once, written, "what was answered, or asked for again, and nothing else: round {round}");
            assert_eq!(once.len(), there.len(), "nothing is there twice: round {round}");
            let found = server.get(&team.inside, "/customers?filter[term]=round&per_page=1").ok()["total"].clone();
            assert_eq!(found, there.len(), "a search finds all of it: round {round}");
        }
    }
    server.is_sound();
}

/// Six clients write to two workspaces until the server is killed.
fn write_until_killed(server: &TestServer, teams: &[Team; 2], round: usize) -> Vec<Sent> {
    let (told, heard) = channel();
    thread::scope(|scope| {
        let client = |client: usize| {
            let (told, who) = (told.clone(), &teams[client % 2].inside);
            scope.spawn(move || make_customers_until_gone(server, who, client, round, &told))
        };
        let clients: Vec<_> = (0..6).map(client).collect();
        // A different number of requests in each round, so that the kill comes at another moment.
        heard.iter().take(40 + round % 30).for_each(drop);
        server.kill();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

fn make_customers_until_gone(server: &TestServer, who: &Who, client: usize, round: usize, told: &Sender<()>) -> Sent {
    let mut connection = server.connect();
    let mut answered = Vec::new();
    for n in 0.. {
        let name = format!("round-{round}-client-{client}-customer-{n}");
        let body = json!({"name": name}).to_string();
        let asked = connection.ask(&Request {
            method: "POST",
            path: "/api/customers",
            host: &who.host,
            token: who.token.as_deref(),
            headers: &[("Idempotency-Key", &name)],
            body: Some(&body),
        });
        match asked {
            Ok(answer) => answered.push((name, answer.created())),
            Err(_) => return Sent { client, answered, unanswered: name },
        }
        told.send(()).unwrap();
    }
    unreachable!("the server is killed")
}

fn kill_while_workspaces_are_made(rounds: usize) {
    let mut server = TestServer::new();
    let owner = server.register("ada");
    for round in 0..rounds {
        let made = make_workspaces_until_killed(&server, &owner, round);
        server.ended();
        assert_eq!(server.cli(&["doctor", "--fix"]).code, Some(0), "round {round}");
        server.is_sound();
        server.start();
        for id in made {
            let inside = server.enter(&owner, &id);
            server.customer(&inside, "Renault");
        }
        // A workspace without a response either exists completely, or its name is free.
        let listed = server.get(&owner, "/workspaces?per_page=500").ok();
        for workspace in listed["data"].as_array().unwrap() {
            server.enter(&owner, &text(&workspace["id"]));
        }
    }
}

fn make_workspaces_until_killed(server: &TestServer, owner: &Who, round: usize) -> Vec<String> {
    let (told, heard) = channel();
    thread::scope(|scope| {
        for n in 0..2 {
            let told = told.clone();
            scope.spawn(move || make_workspaces_until_gone(server, owner, &format!("round-{round}-client-{n}"), &told));
        }
        drop(told);
        let mut made: Vec<String> = heard.iter().take(6).collect();
        server.kill();
        made.extend(heard);
        made
    })
}

fn make_workspaces_until_gone(server: &TestServer, owner: &Who, label: &str, told: &Sender<String>) {
    let mut connection = server.connect();
    for n in 0.. {
        let name = format!("{label}-{n}");
        let body = json!({"name": name, "subdomain": name}).to_string();
        let request = Request {
            method: "POST",
            path: "/api/workspaces",
            host: "localhost",
            token: owner.token.as_deref(),
            body: Some(&body),
            ..Request::default()
        };
        let Ok(answer) = connection.ask(&request) else { return };
        told.send(text(&answer.created()["id"])).unwrap();
    }
}

/// Kills the server after a part of a file is imported, as often as `rounds` says, and continues the import.
fn kill_while_a_file_is_imported(rounds: usize) {
    const RECORDS: usize = 20_000;
    let mut server = TestServer::new();
    let acme = server.team("acme");
    let is_bad = |n: usize| n % 100 == 7;
    let rows = (1..=RECORDS).map(|n| if is_bad(n) { format!(",bad {n}\n") } else { format!("Name {n},\n") });
    let csv = format!("last_name,note\n{}", rows.collect::<String>());
    let upload = Request {
        method: "POST",
        path: "/api/imports?resource=contacts",
        host: &acme.inside.host,
        token: acme.inside.token.as_deref(),
        headers: &[("Content-Type", "text/csv")],
        body: Some(&csv),
    };
    let path = format!("/imports/{}", server.ask(&upload).created()["id"]);
    let step = |server: &TestServer, step: &str| {
        let begun = server.post(&acme.inside, &format!("{path}/{step}"), json!({"leave_out_refused": true}));
        assert_eq!(begun.status, 202, "{begun:?}");
    };
    let done = |import: &Value| {
        import["counts"].as_object().map_or(0, |counts| counts.values().filter_map(Value::as_i64).sum())
    };
    let total = |server: &TestServer| server.get(&acme.inside, "/contacts?per_page=1").ok()["total"].clone();
    let show = |server: &TestServer| server.get(&acme.inside, &path).ok();
    step(&server, "check");
    eventually("the check ends", || show(&server)["state"] == "checked");
    let bad_rows = server.download(&acme.inside, &format!("{path}/refused.csv"));

    let mut interruptions = 0;
    for round in 0..rounds {
        let before = if round == 0 { 0 } else { done(&show(&server)) };
        step(&server, "run");
        eventually("a part is in", || done(&show(&server)) > before);
        server.kill();
        server.ended();
        server.is_sound();
        server.start();
        let import = show(&server);
        if import["state"] == "done" {
            break;
        }
        assert_eq!((&import["state"], &import["progress"]["done"]), (&json!("interrupted"), &json!(done(&import))));
        assert_eq!(total(&server), import["counts"]["created"], "as many as it says: round {round}");
        interruptions += 1;
    }
    assert!(interruptions > 1, "{interruptions} interruptions");
    if show(&server)["state"] == "interrupted" {
        step(&server, "run");
    }
    eventually("the rest is in", || show(&server)["state"] == "done");
    let import = show(&server);
    let bad = (1..=RECORDS).filter(|n| is_bad(*n)).count();
    let counts = json!({"created": RECORDS - bad, "changed": 0, "unchanged": 0, "refused": bad});
    assert_eq!(import["counts"], counts, "{import}");
    assert_eq!(server.download(&acme.inside, &format!("{path}/refused.csv")), bad_rows);
    let exported = server.download(&acme.inside, "/contacts/export");
    let exported: Vec<Value> = serde_json::from_str(&exported).unwrap();
    let names: BTreeSet<String> = exported.iter().map(|row| text(&row["last_name"])).collect();
    assert_eq!((names.len(), exported.len()), (RECORDS - bad, RECORDS - bad), "every record is there once");
    server.is_sound();
}

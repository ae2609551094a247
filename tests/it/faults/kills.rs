//! `kill -9` at any moment: acknowledged writes are kept, nothing is duplicated, requests without a response can be
//! repeated, and nothing is damaged.
//!
//! The long form: `cargo test --test it faults::kills -- --ignored`.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde_json::{Value, json};

use crate::bench::{Bench, Team, Who, text};
use crate::client::Request;

/// Number of responses per client to repeat after a kill.
const ASKED_AGAIN: usize = 3;

#[test]
fn every_write_that_was_answered_survives_a_kill() {
    kill_while_customers_are_made(8);
}

#[test]
#[ignore = "the long form"]
fn every_write_that_was_answered_survives_a_hundred_kills() {
    kill_while_customers_are_made(100);
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

/// The requests of a client, each of which created a customer with an idempotency key.
struct Sent {
    client: usize,
    /// Requests with their responses.
    answered: Vec<(String, Value)>,
    /// The last request, whose outcome is unknown.
    unanswered: String,
}

fn kill_while_customers_are_made(rounds: usize) {
    let mut bench = Bench::new();
    let teams = [bench.team("acme"), bench.team("zeta")];
    let mut written = [BTreeSet::new(), BTreeSet::new()];
    for round in 0..rounds {
        let sent = write_until_killed(&bench, &teams, round);
        bench.ended();
        bench.is_sound();
        bench.start();
        for Sent { client, answered, unanswered } in sent {
            let inside = &teams[client % 2].inside;
            for (name, first) in answered.iter().rev().take(ASKED_AGAIN) {
                let again = bench.keyed_customer(inside, name);
                assert_eq!((&again.created(), again.header("idempotency-replayed")), (first, Some("true")), "{name}");
            }
            let first = bench.keyed_customer(inside, &unanswered).created();
            assert_eq!(bench.keyed_customer(inside, &unanswered).created(), first);
            written[client % 2].extend(answered.into_iter().map(|(name, _)| name));
            written[client % 2].insert(unanswered);
        }
        for (team, written) in teams.iter().zip(&written) {
            let there = bench.customers(&team.inside);
            let once: BTreeSet<String> = there.iter().cloned().collect();
            assert_eq!(&once, written, "what was answered, or asked for again, and nothing else: round {round}");
            assert_eq!(once.len(), there.len(), "nothing is there twice: round {round}");
        }
    }
    bench.is_sound();
}

/// Six clients write to two workspaces until the server is killed.
fn write_until_killed(bench: &Bench, teams: &[Team; 2], round: usize) -> Vec<Sent> {
    let (told, heard) = channel();
    thread::scope(|scope| {
        let client = |client: usize| {
            let (told, who) = (told.clone(), &teams[client % 2].inside);
            scope.spawn(move || make_customers_until_gone(bench, who, client, round, &told))
        };
        let clients: Vec<_> = (0..6).map(client).collect();
        // A different number of requests in each round, so that the kill comes at another moment.
        heard.iter().take(40 + round % 30).for_each(drop);
        bench.kill();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

fn make_customers_until_gone(bench: &Bench, who: &Who, client: usize, round: usize, told: &Sender<()>) -> Sent {
    let mut connection = bench.connect();
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
    let mut bench = Bench::new();
    let owner = bench.register("ada");
    for round in 0..rounds {
        let made = make_workspaces_until_killed(&bench, &owner, round);
        bench.ended();
        assert_eq!(bench.cli(&["doctor", "--fix"]).code, Some(0), "round {round}");
        bench.is_sound();
        bench.start();
        for id in made {
            let inside = bench.enter(&owner, &id);
            bench.customer(&inside, "Renault");
        }
        // A workspace without a response either exists completely, or its name is free.
        let listed = bench.get(&owner, "/workspaces?per_page=500").ok();
        for workspace in listed["data"].as_array().unwrap() {
            bench.enter(&owner, &text(&workspace["id"]));
        }
    }
}

fn make_workspaces_until_killed(bench: &Bench, owner: &Who, round: usize) -> Vec<String> {
    let (told, heard) = channel();
    thread::scope(|scope| {
        for n in 0..2 {
            let told = told.clone();
            scope.spawn(move || make_workspaces_until_gone(bench, owner, &format!("round-{round}-client-{n}"), &told));
        }
        drop(told);
        let mut made: Vec<String> = heard.iter().take(6).collect();
        bench.kill();
        made.extend(heard);
        made
    })
}

fn make_workspaces_until_gone(bench: &Bench, owner: &Who, label: &str, told: &Sender<String>) {
    let mut connection = bench.connect();
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

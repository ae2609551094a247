//! `kill -9` in the middle of everything: what was answered is there afterwards, and nothing is damaged.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde_json::json;

use crate::bench::{Bench, Who, text};
use crate::client::Request;
use crate::writers::write_until_gone;

#[test]
fn every_write_that_was_answered_survives_a_kill() {
    let mut bench = Bench::new();
    let teams = [bench.team("acme"), bench.team("zeta")];
    let mut written = [Vec::new(), Vec::new()];
    for round in 0..3 {
        let inside = [&teams[0].inside, &teams[1].inside];
        for (all, new) in written.iter_mut().zip(kill_while_clients_write(&bench, inside, round)) {
            all.extend(new);
        }
        bench.ended();
        assert_eq!(bench.cli(&["doctor"]).code, Some(0), "round {round}");
        bench.start();
        for (team, written) in teams.iter().zip(&written) {
            let there = bench.customers(&team.inside);
            for name in written {
                assert!(there.contains(name), "{name} was answered 201");
            }
            let once: BTreeSet<&String> = there.iter().collect();
            assert_eq!(once.len(), there.len(), "nothing is there twice");
        }
    }
    assert_eq!(bench.cli(&["doctor"]).code, Some(0));
}

/// Six clients write to two workspaces until the server is killed; answers what was answered, by workspace.
fn kill_while_clients_write(bench: &Bench, inside: [&Who; 2], round: usize) -> [Vec<String>; 2] {
    let ((told, heard), (told_other, heard_other)) = (channel(), channel());
    thread::scope(|scope| {
        for n in 0..3 {
            for (who, told) in inside.into_iter().zip([told.clone(), told_other.clone()]) {
                scope.spawn(move || write_until_gone(bench, who, &format!("round {round}, client {n}"), &told));
            }
        }
        drop((told, told_other));
        let mut written = [&heard, &heard_other].map(|heard| heard.iter().take(50).collect::<Vec<String>>());
        bench.kill();
        written[0].extend(heard);
        written[1].extend(heard_other);
        written
    })
}

#[test]
fn workspaces_that_were_answered_survive_a_kill_and_doctor_clears_the_one_half_made() {
    let mut bench = Bench::new();
    let owner = bench.register("ada");
    for round in 0..3 {
        let made = kill_while_workspaces_are_made(&bench, &owner, round);
        bench.ended();
        assert_eq!(bench.cli(&["doctor", "--fix"]).code, Some(0), "round {round}");
        assert_eq!(bench.cli(&["doctor"]).code, Some(0), "round {round}");
        bench.start();
        for id in made {
            let inside = bench.enter(&owner, &id);
            bench.customer(&inside, "Renault");
        }
        // What was not answered is either whole, or its name is free again.
        let listed = bench.get(&owner, "/workspaces?per_page=500").ok();
        for workspace in listed["data"].as_array().unwrap() {
            bench.enter(&owner, &text(&workspace["id"]));
        }
    }
}

fn kill_while_workspaces_are_made(bench: &Bench, owner: &Who, round: usize) -> Vec<String> {
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

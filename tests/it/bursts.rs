//! Many requests at once to a workspace that is not open, and more workspaces than may stay open.

use std::sync::Barrier;
use std::thread;

use crate::test_server::{TestServer, Who};

/// A file has one connection that writes and at most `read_turns` that read.
const MOST_CONNECTIONS: usize = 1 + 3;

#[test]
fn a_hundred_requests_at_once_open_a_workspace_once() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.restart();
    assert_eq!(server.instance(&acme.owner)["open_workspaces"], 0);

    let (server, start) = (&server, &Barrier::new(100));
    thread::scope(|scope| {
        for n in 0..100 {
            let inside = &acme.inside;
            scope.spawn(move || {
                start.wait();
                read_or_write(server, inside, n);
            });
        }
    });
    assert_eq!(server.instance(&acme.owner)["open_workspaces"], 1);
    let files = server.open_files(&format!("{}.sqlite", acme.workspace));
    assert!((1..=MOST_CONNECTIONS).contains(&files), "{files} connections to one file");
    assert_eq!(server.customers(&acme.inside).len(), 1 + 20);
}

/// Every fifth request writes.
fn read_or_write(server: &TestServer, who: &Who, n: usize) {
    if n.is_multiple_of(5) {
        server.customer(who, &format!("customer {n}"));
    } else {
        server.get(who, "/customers").ok();
    }
}

#[test]
fn more_workspaces_than_may_stay_open_all_answer_right() {
    let server = TestServer::with(&["--max-open-workspaces", "2"]);
    let owner = server.register("ada");
    let rooms: Vec<Who> =
        (0..20).map(|n| server.enter(&owner, &server.workspace(&owner, &format!("room-{n}")))).collect();
    for round in ["first", "second"] {
        for room in &rooms {
            server.customer(room, &format!("{round} of {}", room.host));
            assert!(server.instance(&owner)["open_workspaces"].as_u64().unwrap() <= 2);
        }
    }
    for room in rooms.iter().rev() {
        assert_eq!(server.customers(room), [format!("first of {}", room.host), format!("second of {}", room.host)]);
        assert!(server.instance(&owner)["open_workspaces"].as_u64().unwrap() <= 2);
    }
}

#[test]
fn workspaces_are_closed_and_opened_while_many_ask_and_lose_nothing() {
    let server = &TestServer::with(&["--max-open-workspaces", "2"]);
    let owner = server.register("ada");
    let rooms: Vec<Who> =
        (0..8).map(|n| server.enter(&owner, &server.workspace(&owner, &format!("room-{n}")))).collect();
    let rooms = &rooms;
    thread::scope(|scope| {
        for client in 0..4 {
            scope.spawn(move || {
                for n in 0..40 {
                    server.customer(&rooms[(client + n) % rooms.len()], &format!("{n} of client {client}"));
                }
            });
        }
    });
    let written: usize = rooms.iter().map(|room| server.customers(room).len()).sum();
    assert_eq!(written, 4 * 40);
    assert!(server.instance(&owner)["open_workspaces"].as_u64().unwrap() <= 2);
    assert_eq!(server.cli(&["doctor"]).code, Some(0));
}

//! Full disk: writes get 507 and change nothing, acknowledged writes are kept, reads work, and everything works again
//! once there is space.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;

use serde_json::json;

use super::disks::{Disk, files_below};
use crate::client::{Answer, Request};
use crate::smtp::Smtp;
use crate::test_server::{PASSWORD, Team, TestServer, Who, central, email, eventually};
use crate::writers::{End, write_until_gone};

fn log_in(server: &TestServer, name: &str, password: &str) -> Answer {
    server.post(&central(), "/login", json!({"email": email(name), "password": password}))
}

fn import(server: &TestServer, who: &Who, rows: usize) -> Answer {
    let csv: String = (0..rows).map(|n| format!("imported {n}\n")).collect();
    server.ask(&Request {
        method: "POST",
        path: "/api/customers/import",
        host: &who.host,
        token: who.token.as_deref(),
        headers: &[("Content-Type", "text/csv")],
        body: Some(&format!("name\n{csv}")),
    })
}

/// The names of a team's customers; fails on duplicates.
fn names(server: &TestServer, team: &Team) -> BTreeSet<String> {
    let there = server.customers(&team.inside);
    let names: BTreeSet<String> = there.iter().cloned().collect();
    assert_eq!(names.len(), there.len(), "{there:?}");
    names
}

#[test]
fn writes_are_refused_reads_go_on_and_all_goes_on_once_there_is_room() {
    let Some(disk) = Disk::in_memory(24) else { return };
    let mut server = TestServer::on(&disk.data(), &[]);
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let known = server.customer(&acme.inside, "Renault");
    server.customer(&zeta.inside, "a neighbour's");
    let mut written = write_until_full(&server, &acme, &disk);
    written.insert("Renault".into());

    let inside = &acme.inside;
    let path = format!("/customers/{known}");
    server.post(inside, "/customers", json!({"name": "refused"})).refused(507, "storage_full");
    server.put(inside, &path, json!({"name": "refused"})).refused(507, "storage_full");
    server.delete(inside, &path).refused(507, "storage_full");
    server.keyed_customer(inside, "a-key").refused(507, "storage_full");
    import(&server, inside, 50).refused(507, "storage_full");
    log_in(&server, "acme", PASSWORD).refused(507, "storage_full");
    log_in(&server, "acme", "a wrong password").refused(401, "invalid_credentials");
    let new = json!({"name": "Grace", "email": email("grace"), "password": PASSWORD, "workspace_name": "Grace"});
    server.post(&central(), "/register", new.clone()).refused(507, "storage_full");
    server.post(&acme.owner, "/workspaces", json!({"name": "refused"})).refused(507, "storage_full");

    assert_eq!(server.get(inside, &path).ok()["name"], "Renault");
    assert_eq!(names(&server, &acme), written);
    assert_eq!(server.customers(&zeta.inside), ["a neighbour's"]);
    assert_eq!(server.get(&acme.owner, "/workspaces").ok()["total"], 1);

    disk.free();
    server.customer(inside, "after");
    let keyed = server.keyed_customer(inside, "a-key");
    assert_eq!((keyed.created()["name"].clone(), keyed.header("idempotency-replayed")), (json!("a-key"), None));
    import(&server, inside, 50).created();
    log_in(&server, "acme", PASSWORD).ok();
    server.post(&central(), "/register", new).created();
    written.extend(["after".to_owned(), "a-key".into()]);
    written.extend((0..50).map(|n| format!("imported {n}")));
    assert_eq!(names(&server, &acme), written);
    server.restart();
    assert_eq!(names(&server, &acme), written);
    server.is_sound();
}

/// Clients write concurrently while the disk fills up; returns what was written before each client got an error.
fn write_until_full(server: &TestServer, team: &Team, disk: &Disk) -> BTreeSet<String> {
    let (told, heard) = channel();
    thread::scope(|scope| {
        let client = |n: usize| {
            let told = told.clone();
            scope.spawn(move || write_until_gone(server, &team.inside, &format!("client {n}"), &told))
        };
        let clients: Vec<_> = (0..4).map(client).collect();
        drop(told);
        let mut written: BTreeSet<String> = heard.iter().take(50).collect();
        disk.fill_but(0);
        for client in clients {
            match client.join().unwrap() {
                End::Refused(_, answer) => answer.refused(507, "storage_full"),
                end => panic!("{end:?}"),
            }
        }
        written.extend(heard);
        written
    })
}

#[test]
fn a_new_workspace_is_whole_or_not_there_however_little_room_is_left() {
    let Some(disk) = Disk::in_memory(16) else { return };
    let server = TestServer::on(&disk.data(), &[]);
    let acme = server.team("acme");
    let workspaces = server.data().join("workspaces");
    let files = || files_below(&workspaces, &[".sqlite", ".new"]);
    let before = files();
    let new = || server.post(&acme.owner, "/workspaces", json!({"name": "New", "subdomain": "new"}));
    let mut refused = 0;
    for kibibytes in (0..).step_by(48) {
        disk.fill_but(kibibytes << 10);
        let answer = new();
        disk.free();
        if answer.status == 201 {
            break;
        }
        answer.refused(507, "storage_full");
        refused += 1;
        assert_eq!(files(), before, "with {kibibytes} KiB left");
        assert_eq!(server.get(&acme.owner, "/workspaces").ok()["total"], 1, "with {kibibytes} KiB left");
        server.is_sound();
    }
    assert!(refused > 3, "{refused}");
    assert_eq!(files().len(), before.len() + 1);
    server.is_sound();
}

#[test]
fn an_import_for_which_there_is_no_room_leaves_nothing() {
    let Some(disk) = Disk::in_memory(24) else { return };
    let server = TestServer::on(&disk.data(), &[]);
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    // More than a writer keeps in memory, so that the disk fills up during the import and not at its end.
    disk.fill_but(2 << 20);
    import(&server, &acme.inside, 20_000).refused(507, "storage_full");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    disk.free();
    import(&server, &acme.inside, 2_000).created();
    assert_eq!(server.get(&acme.inside, "/customers").ok()["total"], 2_001);
}

/// SQLite needs space for the WAL index before it writes anything.
#[test]
fn a_workspace_that_was_not_open_says_so_and_opens_once_there_is_room() {
    let Some(disk) = Disk::in_memory(16) else { return };
    let mut server = TestServer::on(&disk.data(), &[]);
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.restart();
    disk.fill_but(0);
    server.get(&acme.inside, "/customers").refused(507, "storage_full");
    disk.free();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
}

/// A mail that was sent but not marked as sent would be sent again each second.
#[test]
fn a_mail_waits_until_it_can_be_noted_that_it_was_sent() {
    let Some(disk) = Disk::in_memory(16) else { return };
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let server = TestServer::on(&disk.data(), &["--smtp-url", &format!("smtp://{address}")]);
    server.verified("ada");
    server.post(&central(), "/password/forgot", json!({"email": email("ada")})).ok();
    eventually("a first try has failed, since nobody listens", || {
        server.log().contains("sending a mail failed; it is retried")
    });
    disk.fill_but(0);
    let smtp = Smtp::on(TcpListener::bind(address).unwrap());
    eventually("a round has failed", || server.log().contains("a round of mail failed"));
    assert_eq!(smtp.others().len(), 0);
    disk.free();
    eventually("the rounds go on", || server.log().contains("the rounds of mail work again"));
    assert_eq!(smtp.next().letter().to, email("ada"));
    assert_eq!(smtp.others().len(), 0);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

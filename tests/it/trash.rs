//! A workspace is moved to the trash and restored with all its data, while the server runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::test_server::{Team, TestServer, eventually};

#[test]
fn deleting_wants_the_subdomain_as_a_confirmation() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let path = format!("/workspaces/{}", acme.workspace);
    for unconfirmed in [None, Some(json!({})), Some(json!({"subdomain": "zeta"}))] {
        assert_eq!(server.send(&acme.owner, "DELETE", &path, unconfirmed).status, 400);
    }
    server.get(&acme.inside, "/customers").ok();
    let said = server.cli(&["workspace", "delete", "acme", "--confirm", "zeta"]).failed();
    assert!(said.contains("acme"), "{said}");
    server.get(&acme.inside, "/customers").ok();
}

#[test]
fn a_deleted_workspace_is_gone_at_once_and_restored_with_all_that_was_in_it() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    delete(&server, &acme);

    let trashed = server.data().join("trash").join(format!("{}.sqlite", acme.workspace));
    assert!(trashed.exists() && !server.file(&acme.workspace).exists());
    assert!(!trashed.with_extension("sqlite-wal").exists(), "all of it is in the one file");
    assert_eq!(server.open_files(&format!("{}.sqlite", acme.workspace)), 0);
    server.get(&acme.inside, "/customers").refused(404, "workspace_not_found");
    server.get(&acme.inside.on("localhost"), "/customers").refused(401, "token_revoked");
    server.get(&acme.owner, &format!("/workspaces/{}", acme.workspace)).refused(404, "workspace_not_found");
    let switch = json!({"workspace_id": acme.workspace});
    server.post(&acme.owner, "/switch-to", switch).refused(404, "workspace_not_found");
    assert_eq!(server.get(&acme.owner, "/workspaces").ok()["total"], 0);
    assert_eq!(server.instance(&acme.owner)["workspaces_in_trash"], 1);

    server.cli(&["workspace", "restore", "acme"]).ok();
    server.get(&acme.inside, "/customers").refused(401, "token_revoked");
    let inside = server.enter(&acme.owner, &acme.workspace);
    assert_eq!(server.customers(&inside), ["Renault"]);
    server.customer(&inside, "Peugeot");
    assert_eq!(server.cli(&["doctor"]).code, Some(0));
}

#[test]
fn a_workspace_whose_subdomain_was_taken_meanwhile_comes_back_under_another() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    delete(&server, &acme);
    server.workspace(&acme.owner, "acme");

    let said = server.cli(&["workspace", "restore", &acme.workspace]).failed();
    assert!(said.contains("taken"), "{said}");
    assert!(!server.file(&acme.workspace).exists(), "a restore that failed has moved nothing");
    server.cli(&["workspace", "restore", &acme.workspace, "--subdomain", "old-acme"]).ok();
    let inside = server.enter(&acme.owner, &acme.workspace);
    assert_eq!(inside.host, "old-acme.localhost");
    assert_eq!(server.customers(&inside), ["Renault"]);
}

#[test]
fn deleting_by_the_command_line_is_felt_by_the_running_server_which_moves_the_file() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    server.get(&acme.inside, "/customers").refused(404, "workspace_not_found");
    eventually("the file is in the trash", || !server.file(&acme.workspace).exists());

    server.cli(&["workspace", "restore", "acme"]).ok();
    assert_eq!(server.customers(&server.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

#[test]
fn deleting_and_restoring_at_once_by_the_command_line_loses_nothing() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    for _ in 0..3 {
        server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
        server.cli(&["workspace", "restore", "acme"]).ok();
    }
    assert_eq!(server.customers(&server.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

#[test]
fn deleting_without_a_server_moves_the_file_too() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.stop();
    server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    assert!(!server.file(&acme.workspace).exists());
    assert_eq!(server.cli(&["doctor"]).code, Some(0));
    server.cli(&["workspace", "restore", "acme"]).ok();
    server.start();
    assert_eq!(server.customers(&server.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

/// A write with response 201 exists after the restore, even if it was right before the deletion.
#[test]
fn a_deletion_while_clients_write_loses_nothing_that_was_answered() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let deleted = AtomicBool::new(false);
    let (server, acme, deleted) = (&server, &acme, &deleted);
    let written: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|n| scope.spawn(move || write_until_refused(server, acme, n, deleted))).collect();
        eventually("some are written", || server.customers(&acme.inside).len() > 20);
        delete(server, acme);
        deleted.store(true, Ordering::Release);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    server.cli(&["workspace", "restore", "acme"]).ok();
    let there = server.customers(&server.enter(&acme.owner, &acme.workspace));
    for name in written {
        assert!(there.contains(&name), "{name} was answered 201");
    }
    assert_eq!(server.cli(&["doctor"]).code, Some(0));
}

/// Writes until the workspace is gone. Returns the names that got a 201.
fn write_until_refused(server: &TestServer, acme: &Team, client: usize, deleted: &AtomicBool) -> Vec<String> {
    let mut written = Vec::new();
    for n in 0..100_000 {
        let was_deleted = deleted.load(Ordering::Acquire);
        let name = format!("customer {n} of client {client}");
        let answer = server.post(&acme.inside, "/customers", json!({"name": name}));
        match answer.status {
            201 => written.push(name),
            401 | 404 => break,
            503 => {}
            _ => panic!("{answer:?}"),
        }
        assert!(!was_deleted, "after the deletion was answered: {answer:?}");
    }
    written
}

fn delete(server: &TestServer, team: &Team) {
    let subdomain = server.get(&team.owner, &format!("/workspaces/{}", team.workspace)).ok()["subdomain"].clone();
    let confirmed = Some(json!({"subdomain": subdomain}));
    server.send(&team.owner, "DELETE", &format!("/workspaces/{}", team.workspace), confirmed).ok();
}

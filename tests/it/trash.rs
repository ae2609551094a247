//! A workspace is moved to the trash and restored with all its data, while the server runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::bench::{Bench, Team, eventually};

#[test]
fn deleting_wants_the_subdomain_as_a_confirmation() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let path = format!("/workspaces/{}", acme.workspace);
    for unconfirmed in [None, Some(json!({})), Some(json!({"subdomain": "zeta"}))] {
        assert_eq!(bench.send(&acme.owner, "DELETE", &path, unconfirmed).status, 400);
    }
    bench.get(&acme.inside, "/customers").ok();
    let said = bench.cli(&["workspace", "delete", "acme", "--confirm", "zeta"]).failed();
    assert!(said.contains("acme"), "{said}");
    bench.get(&acme.inside, "/customers").ok();
}

#[test]
fn a_deleted_workspace_is_gone_at_once_and_restored_with_all_that_was_in_it() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    delete(&bench, &acme);

    let trashed = bench.data().join("trash").join(format!("{}.sqlite", acme.workspace));
    assert!(trashed.exists() && !bench.file(&acme.workspace).exists());
    assert!(!trashed.with_extension("sqlite-wal").exists(), "all of it is in the one file");
    assert_eq!(bench.open_files(&format!("{}.sqlite", acme.workspace)), 0);
    bench.get(&acme.inside, "/customers").refused(404, "workspace_not_found");
    bench.get(&acme.inside.on("localhost"), "/customers").refused(401, "token_revoked");
    bench.get(&acme.owner, &format!("/workspaces/{}", acme.workspace)).refused(404, "workspace_not_found");
    let switch = json!({"workspace_id": acme.workspace});
    bench.post(&acme.owner, "/switch-to", switch).refused(404, "workspace_not_found");
    assert_eq!(bench.get(&acme.owner, "/workspaces").ok()["total"], 0);
    assert_eq!(bench.instance(&acme.owner)["workspaces_in_trash"], 1);

    bench.cli(&["workspace", "restore", "acme"]).ok();
    bench.get(&acme.inside, "/customers").refused(401, "token_revoked");
    let inside = bench.enter(&acme.owner, &acme.workspace);
    assert_eq!(bench.customers(&inside), ["Renault"]);
    bench.customer(&inside, "Peugeot");
    assert_eq!(bench.cli(&["doctor"]).code, Some(0));
}

#[test]
fn a_workspace_whose_subdomain_was_taken_meanwhile_comes_back_under_another() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    delete(&bench, &acme);
    bench.workspace(&acme.owner, "acme");

    let said = bench.cli(&["workspace", "restore", &acme.workspace]).failed();
    assert!(said.contains("taken"), "{said}");
    assert!(!bench.file(&acme.workspace).exists(), "a restore that failed has moved nothing");
    bench.cli(&["workspace", "restore", &acme.workspace, "--subdomain", "old-acme"]).ok();
    let inside = bench.enter(&acme.owner, &acme.workspace);
    assert_eq!(inside.host, "old-acme.localhost");
    assert_eq!(bench.customers(&inside), ["Renault"]);
}

#[test]
fn deleting_by_the_command_line_is_felt_by_the_running_server_which_moves_the_file() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    bench.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    bench.get(&acme.inside, "/customers").refused(404, "workspace_not_found");
    eventually("the file is in the trash", || !bench.file(&acme.workspace).exists());

    bench.cli(&["workspace", "restore", "acme"]).ok();
    assert_eq!(bench.customers(&bench.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

#[test]
fn deleting_and_restoring_at_once_by_the_command_line_loses_nothing() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    for _ in 0..3 {
        bench.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
        bench.cli(&["workspace", "restore", "acme"]).ok();
    }
    assert_eq!(bench.customers(&bench.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

#[test]
fn deleting_without_a_server_moves_the_file_too() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    bench.stop();
    bench.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    assert!(!bench.file(&acme.workspace).exists());
    assert_eq!(bench.cli(&["doctor"]).code, Some(0));
    bench.cli(&["workspace", "restore", "acme"]).ok();
    bench.start();
    assert_eq!(bench.customers(&bench.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

/// A write with response 201 exists after the restore, even if it was right before the deletion.
#[test]
fn a_deletion_while_clients_write_loses_nothing_that_was_answered() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let deleted = AtomicBool::new(false);
    let (bench, acme, deleted) = (&bench, &acme, &deleted);
    let written: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|n| scope.spawn(move || write_until_refused(bench, acme, n, deleted))).collect();
        eventually("some are written", || bench.customers(&acme.inside).len() > 20);
        delete(bench, acme);
        deleted.store(true, Ordering::Release);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    bench.cli(&["workspace", "restore", "acme"]).ok();
    let there = bench.customers(&bench.enter(&acme.owner, &acme.workspace));
    for name in written {
        assert!(there.contains(&name), "{name} was answered 201");
    }
    assert_eq!(bench.cli(&["doctor"]).code, Some(0));
}

/// Writes until the workspace is gone. Returns the names that got a 201.
fn write_until_refused(bench: &Bench, acme: &Team, client: usize, deleted: &AtomicBool) -> Vec<String> {
    let mut written = Vec::new();
    for n in 0..100_000 {
        let was_deleted = deleted.load(Ordering::Acquire);
        let name = format!("customer {n} of client {client}");
        let answer = bench.post(&acme.inside, "/customers", json!({"name": name}));
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

fn delete(bench: &Bench, team: &Team) {
    let subdomain = bench.get(&team.owner, &format!("/workspaces/{}", team.workspace)).ok()["subdomain"].clone();
    let confirmed = Some(json!({"subdomain": subdomain}));
    bench.send(&team.owner, "DELETE", &format!("/workspaces/{}", team.workspace), confirmed).ok();
}

//! `cx-engine status`: how the instance and its server are.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::process::Typed;
use crate::test_server::{TestServer, eventually, sqlite};

/// The exit code if something needs attention.
const ATTENTION: i32 = 3;

/// A server that has reported.
fn reporting() -> TestServer {
    let server = TestServer::new();
    server.team("acme");
    eventually("the server reports", || server.data().join("status.json").exists());
    server
}

fn status(server: &TestServer) -> (Typed, Value) {
    let typed = server.cli(&["status", "--json"]);
    let said = serde_json::from_str(&typed.out).unwrap_or_else(|_| panic!("{typed:?}"));
    (typed, said)
}

#[test]
fn an_instance_with_a_server_and_a_backup_needs_no_attention() {
    let server = reporting();
    assert_eq!(status(&server).1["problems"], json!(["there is no backup"]));
    server.cli(&["backup"]).ok();
    let (typed, said) = status(&server);
    assert_eq!((typed.code, &said["problems"]), (Some(0), &json!([])), "{said}");
    assert_eq!((&said["is_running"], &said["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(said["server"]["url"], format!("http://localhost:{}", server.address().port()));
    assert_eq!(
        (&said["workspaces"]["active"], &said["check"], &said["store_url"]),
        (&json!(1), &json!(null), &json!(null))
    );
    assert_eq!(said["backup"]["failures"], 0);
    let screen = server.cli(&["status"]).ok();
    for part in ["running since", "1 active, ", "0 dead", "not counted yet", "never checked"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(!screen.contains("attention"), "{screen}");
    // The report names counts and no secret, and still nobody else reads it.
    let report = server.data().join("status.json");
    assert_eq!(fs::metadata(report).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_needs_attention_is_named_and_is_the_exit_code() {
    let mut server = reporting();
    server.cli(&["backup"]).ok();
    // A server that has not reported for an hour.
    let report = server.data().join("status.json");
    let mut reported: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    reported["at"] = json!("2026-01-01T00:00:00Z");
    reported["ended_threads"] = json!(["mail"]);
    reported["store"] = json!({"waiting_files": 2, "trouble": "the store does not respond"});
    fs::write(&report, reported.to_string()).unwrap();
    let (typed, said) = status(&server);
    let problems = said["problems"].to_string();
    assert_eq!(typed.code, Some(ATTENTION), "{said}");
    for part in ["has not reported for", "have ended: mail", "commits cannot be stored: the store does not respond"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }

    assert!(server.stop().success());
    sqlite(&server.data().join("central.sqlite"))
        .execute_batch(
            "INSERT INTO outbox (message_id, recipient, subject, text, html, created_at, tries, due_at, last_error, last_tried_at)
             VALUES ('m', 'ada@example.com', 'S', 'T', 'H', 0, 5, NULL, '550 no such user', 0)",
        )
        .unwrap();
    let found = server.cli(&["doctor"]);
    assert!(found.code == Some(ATTENTION) && found.out.contains("ada@example.com"), "{found:?}");
    let (typed, said) = status(&server);
    assert_eq!((typed.code, &said["is_running"], &said["server"]), (Some(ATTENTION), &json!(false), &json!(null)));
    let problems = said["problems"].to_string();
    for part in ["no server runs", "1 mail could not be sent", "the last check found 1 problem"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    let typed = server.cli(&["status"]);
    assert!(typed.code == Some(ATTENTION) && typed.out.contains("attention    no server runs"), "{}", typed.out);
}

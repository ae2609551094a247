//! `cx-engine user`, while a server runs, and what `doctor` finds about users.

use serde_json::{Value, json};

use crate::test_server::{TestServer, email, sqlite};

#[test]
fn a_user_is_added_listed_and_removed_with_effect_on_the_next_request() {
    let server = TestServer::new();
    let (acme, bob) = (server.team("acme"), server.register("bob"));
    let add = ["user", "add", "bob@example.com", "--workspace", "acme", "--role", "manager"];
    assert!(server.cli(&add).ok().contains("is now a user of acme, as manager"));
    let again = server.cli(&add).failed();
    assert!(again.contains("already a user of acme, as manager") && again.contains("set-role"), "{again}");
    let inside = server.enter(&bob, &acme.workspace);
    assert_eq!(server.get(&inside, "/whoami").ok()["role"], "manager");
    assert_eq!(server.get(&bob, "/workspaces").ok()["data"][0]["role"], "manager");

    let table = server.cli(&["user", "list", "--workspace", "acme"]).ok();
    assert!(table.starts_with("ID") && table.contains("bob@example.com") && table.lines().count() == 3, "{table}");
    let rows: Value =
        serde_json::from_str(&server.cli(&["user", "list", "--workspace", "acme", "--json"]).ok()).unwrap();
    assert_eq!((&rows[1]["email"], &rows[1]["role"]["name"]), (&json!(email("bob")), &json!("manager")));

    server.cli(&["user", "remove", "bob@example.com", "--workspace", "acme"]).ok();
    server.get(&inside, "/customers").refused(401, "token_revoked");
    server.post(&bob, "/switch-to", json!({"workspace_id": acme.workspace})).refused(403, "not_a_member");
}

#[test]
fn a_user_gets_another_role_with_effect_on_the_next_request() {
    let server = TestServer::new();
    let (acme, bob) = (server.team("acme"), server.register("bob"));
    server.cli(&["user", "add", "bob@example.com", "--workspace", "acme"]).ok();
    let inside = server.enter(&bob, &acme.workspace);
    let set_role =
        |email: &str, role: &str| server.cli(&["user", "set-role", email, "--workspace", "acme", "--role", role]);
    assert!(set_role("bob@example.com", "manager").ok().contains("manager in acme, and was agent"));
    assert_eq!(server.get(&inside, "/whoami").ok()["role"], "manager");
    assert_eq!(server.get(&bob, "/workspaces").ok()["data"][0]["role"], "manager");
    let journal = server.get(&acme.inside, "/audit-log").ok();
    assert!(journal["data"][0].to_string().contains("manager"), "{journal}");
    assert!(set_role("bob@example.com", "boss").failed().contains("no role boss"));
    assert!(set_role("eve@example.com", "agent").failed().contains("no account"));
    let last = set_role("acme@example.com", "agent").failed();
    assert!(last.contains("admin"), "the last admin stays one: {last}");
    server.register("eve");
    assert!(set_role("eve@example.com", "agent").failed().contains("user add"));
    server.is_sound();
}

#[test]
fn a_user_that_cannot_be_added_or_removed_is_told_why() {
    let server = TestServer::new();
    server.team("acme");
    let typed = |words: &str| server.cli(&words.split(' ').collect::<Vec<_>>()).failed();
    assert!(typed("user add eve@example.com --workspace acme").contains("no account eve@example.com"));
    assert!(typed("user add acme@example.com --workspace acme --role boss").contains("no role boss"));
    assert!(typed("user list --workspace zeta").contains("no such workspace: zeta"));
    assert!(typed("user remove acme@example.com --workspace acme").contains("owner"));
}

#[test]
fn doctor_mends_what_a_crash_left_between_the_two_files() {
    let mut server = TestServer::new();
    let (acme, bob, eve) = (server.team("acme"), server.register("bob"), server.register("eve"));
    for name in ["bob", "eve"] {
        server.cli(&["user", "add", &email(name), "--workspace", "acme"]).ok();
    }
    server.stop();
    sqlite(&server.data().join("central.sqlite")).execute("DELETE FROM memberships WHERE account_id = 2", []).unwrap();
    sqlite(&server.file(&acme.workspace)).execute("DELETE FROM users WHERE account_id = 3", []).unwrap();

    let found = server.cli(&["doctor"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    assert!(found.out.contains("account 2 is a user but not a member"), "{found:?}");
    assert!(found.out.contains("account 3 is a member but not a user"), "{found:?}");
    assert_eq!(server.cli(&["doctor", "--fix"]).code, Some(0));
    assert!(server.cli(&["doctor"]).ok().contains("no problems found"));
    server.start();
    for who in [bob, eve] {
        assert_eq!(server.get(&who, "/workspaces").ok()["total"], 0);
    }
}

//! `cx-engine user`, beside a running server, and what `doctor` says of users.

use serde_json::{Value, json};

use crate::bench::{Bench, email, sqlite};

#[test]
fn a_user_is_added_listed_and_removed_with_effect_on_the_next_request() {
    let bench = Bench::new();
    let (acme, bob) = (bench.team("acme"), bench.register("bob"));
    let add = ["user", "add", "bob@example.com", "--workspace", "acme", "--role", "manager"];
    assert!(bench.cli(&add).ok().contains("is now a user of acme, as manager"));
    assert!(bench.cli(&add).ok().contains("was already a user of acme, as manager"));
    let inside = bench.enter(&bob, &acme.workspace);
    assert_eq!(bench.get(&inside, "/whoami").ok()["role"], "manager");
    assert_eq!(bench.get(&bob, "/workspaces").ok()["data"][0]["role"], "manager");

    let table = bench.cli(&["user", "list", "--workspace", "acme"]).ok();
    assert!(table.starts_with("ID") && table.contains("bob@example.com") && table.lines().count() == 3, "{table}");
    let rows: Value =
        serde_json::from_str(&bench.cli(&["user", "list", "--workspace", "acme", "--json"]).ok()).unwrap();
    assert_eq!((&rows[1]["email"], &rows[1]["role"]["name"]), (&json!(email("bob")), &json!("manager")));

    bench.cli(&["user", "remove", "bob@example.com", "--workspace", "acme"]).ok();
    bench.get(&inside, "/customers").refused(401, "token_revoked");
    bench.post(&bob, "/switch-to", json!({"workspace_id": acme.workspace})).refused(403, "not_a_member");
}

#[test]
fn a_user_that_cannot_be_added_or_removed_is_told_why() {
    let bench = Bench::new();
    bench.team("acme");
    let typed = |words: &str| bench.cli(&words.split(' ').collect::<Vec<_>>()).failed();
    assert!(typed("user add eve@example.com --workspace acme").contains("no account eve@example.com"));
    assert!(typed("user add acme@example.com --workspace acme --role boss").contains("no role boss"));
    assert!(typed("user list --workspace zeta").contains("no such workspace: zeta"));
    assert!(typed("user remove acme@example.com --workspace acme").contains("owner"));
}

#[test]
fn doctor_mends_what_a_crash_left_between_the_two_files() {
    let mut bench = Bench::new();
    let (acme, bob, eve) = (bench.team("acme"), bench.register("bob"), bench.register("eve"));
    for name in ["bob", "eve"] {
        bench.cli(&["user", "add", &email(name), "--workspace", "acme"]).ok();
    }
    bench.stop();
    sqlite(&bench.data().join("central.sqlite")).execute("DELETE FROM memberships WHERE account_id = 2", []).unwrap();
    sqlite(&bench.file(&acme.workspace)).execute("DELETE FROM users WHERE account_id = 3", []).unwrap();

    let found = bench.cli(&["doctor"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    assert!(found.out.contains("account 2 is a user and no member"), "{found:?}");
    assert!(found.out.contains("account 3 is a member and no user"), "{found:?}");
    assert_eq!(bench.cli(&["doctor", "--fix"]).code, Some(0));
    assert!(bench.cli(&["doctor"]).ok().contains("sound"));
    bench.start();
    for who in [bob, eve] {
        assert_eq!(bench.get(&who, "/workspaces").ok()["total"], 0);
    }
}

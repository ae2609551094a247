//! `cx-engine user`, while a server runs, and what `doctor` finds about users.

use serde_json::{Value, json};

use crate::bench::{Bench, email, sqlite};

#[test]
fn a_user_is_added_listed_and_removed_with_effect_on_the_next_request() {
    let bench = Bench::new();
    let (acme, bob) = (bench.team("acme"), bench.register("bob"));
    let add = ["user", "add", "bob@example.com", "--workspace", "acme", "--role", "manager"];
    assert!(bench.cli(&add).ok().contains("is now a user of acme, as manager"));
    let again = bench.cli(&add).failed();
    assert!(again.contains("already a user of acme, as manager") && again.contains("set-role"), "{again}");
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
fn a_user_gets_another_role_with_effect_on_the_next_request() {
    let bench = Bench::new();
    let (acme, bob) = (bench.team("acme"), bench.register("bob"));
    bench.cli(&["user", "add", "bob@example.com", "--workspace", "acme"]).ok();
    let inside = bench.enter(&bob, &acme.workspace);
    let set_role =
        |email: &str, role: &str| bench.cli(&["user", "set-role", email, "--workspace", "acme", "--role", role]);
    assert!(set_role("bob@example.com", "manager").ok().contains("manager in acme, and was agent"));
    assert_eq!(bench.get(&inside, "/whoami").ok()["role"], "manager");
    assert_eq!(bench.get(&bob, "/workspaces").ok()["data"][0]["role"], "manager");
    let journal = bench.get(&acme.inside, "/audit-log").ok();
    assert!(journal["data"][0].to_string().contains("manager"), "{journal}");
    assert!(set_role("bob@example.com", "boss").failed().contains("no role boss"));
    assert!(set_role("eve@example.com", "agent").failed().contains("no account"));
    let last = set_role("acme@example.com", "agent").failed();
    assert!(last.contains("admin"), "the last admin stays one: {last}");
    bench.register("eve");
    assert!(set_role("eve@example.com", "agent").failed().contains("user add"));
    bench.is_sound();
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
    assert!(found.out.contains("account 2 is a user but not a member"), "{found:?}");
    assert!(found.out.contains("account 3 is a member but not a user"), "{found:?}");
    assert_eq!(bench.cli(&["doctor", "--fix"]).code, Some(0));
    assert!(bench.cli(&["doctor"]).ok().contains("no problems found"));
    bench.start();
    for who in [bob, eve] {
        assert_eq!(bench.get(&who, "/workspaces").ok()["total"], 0);
    }
}

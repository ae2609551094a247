//! `cx-engine account`, `token`, `routes`, `openapi` and `completions`, with and without a running server.

use serde_json::{Value, json};

use crate::bench::{Bench, PASSWORD, at, central, email, eventually};
use crate::client::Answer;
use crate::process::{program, run_on_terminal};

#[test]
fn an_account_made_by_the_command_line_logs_in_at_the_running_server() {
    let bench = Bench::new();
    let create = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
    let said = bench.cli_with(&create, &format!("{PASSWORD}\n")).ok();
    assert!(said.contains("ada@example.com") && said.contains("http://localhost:8080/api/login"), "{said}");
    let ada = bench.log_in("ada");
    assert!(bench.instance(&ada)["version"].is_string(), "the first account is an operator");

    assert!(bench.cli_with(&create, &format!("{PASSWORD}\n")).failed().contains("taken"));
    let bad = ["account", "create", "--name", "Eve", "--email", "eve"];
    assert!(bench.cli_with(&bad, &format!("{PASSWORD}\n")).failed().contains("email"));
    let short = ["account", "create", "--name", "Eve", "--email", "eve@example.com"];
    let said = bench.cli_with(&short, "short\n").failed();
    assert!(said.contains("password") && said.contains('8'), "{said}");
    assert!(!said.contains("short\n"), "a password is not repeated: {said}");
}

/// An unseen typing mistake would lock the account.
#[test]
fn at_a_terminal_a_new_password_is_asked_for_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut create = program(folder.path());
    create.args(["account", "create", "--name", "Ada", "--email", "ada@example.com"]);
    let typed = run_on_terminal(&create, &format!("{PASSWORD}\nanother long one\n"));
    assert!(typed.code == Some(1) && typed.out.contains("passwords differ"), "{typed:?}");
    assert!(!folder.path().join("data").exists());
    let typed = run_on_terminal(&create, &format!("{PASSWORD}\n{PASSWORD}\n"));
    assert!(typed.code == Some(0) && typed.out.contains("account 1 created"), "{typed:?}");
}

#[test]
fn accounts_are_listed_for_people_and_for_programs() {
    let bench = Bench::new();
    bench.register("ada");
    bench.register("bob");
    let operator = ["account", "create", "--name", "Eve", "--email", "eve@example.com", "--operator"];
    bench.cli_with(&operator, &format!("{PASSWORD}\n")).ok();
    let listed: Value = serde_json::from_str(&bench.cli(&["account", "list", "--json"]).ok()).unwrap();
    let row = |n: usize| (listed[n]["email"].clone(), listed[n]["operator"].clone());
    assert_eq!(row(0), (json!(email("ada")), json!(true)));
    assert_eq!(row(1), (json!(email("bob")), json!(false)));
    assert_eq!(row(2), (json!(email("eve")), json!(true)));
    let table = bench.cli(&["account", "list"]).ok();
    assert!(table.lines().count() == 4 && table.contains("EMAIL"), "{table}");
    assert!(!table.contains("$argon2"), "{table}");
}

#[test]
fn a_new_password_by_the_command_line_ends_the_old_one_and_its_tokens() {
    let bench = Bench::new();
    let ada = bench.register("ada");
    bench.cli_with(&["account", "set-password", "ada@example.com"], "quite another one\n").ok();
    bench.get(&ada, "/whoami").refused(401, "token_revoked");
    let login = |password: &str| -> Answer {
        bench.post(&central(), "/login", json!({"email": email("ada"), "password": password}))
    };
    login(PASSWORD).refused(401, "invalid_credentials");
    login("quite another one").ok();
    let said = bench.cli_with(&["account", "set-password", "nobody@example.com"], "whatever else\n").failed();
    assert!(said.contains("nobody@example.com"), "{said}");
}

#[test]
fn an_account_is_renamed_and_logs_in_by_its_new_address() {
    let bench = Bench::new();
    let (ada, _) = (bench.register("ada"), bench.register("bob"));
    let said =
        bench.cli(&["account", "rename", "ada@example.com", "--name", "Ada L.", "--email", "al@example.com"]).ok();
    assert!(said.contains("Ada L. <al@example.com>"), "{said}");
    let user = bench.get(&ada, "/whoami").ok()["user"].clone();
    assert_eq!((&user["name"], &user["email_verified"]), (&json!("Ada L."), &json!(true)));
    bench.log_in("al");
    assert!(
        bench.cli(&["account", "rename", "al@example.com", "--email", "bob@example.com"]).failed().contains("taken")
    );
    assert!(bench.cli(&["account", "rename", "ada@example.com", "--name", "x"]).failed().contains("no account"));
    assert_eq!(bench.cli(&["account", "rename", "al@example.com"]).code, Some(2));
    bench.cli(&["account", "rename", "AL@example.com", "--email", "Al@Example.com"]).ok();
}

#[test]
fn a_disabled_account_gets_in_nowhere_until_it_is_unlocked() {
    let bench = Bench::new();
    let (acme, ada) = (bench.team("acme"), bench.register("ada"));
    bench.cli(&["user", "add", "ada@example.com", "--workspace", "acme"]).ok();
    let inside = bench.enter(&ada, &acme.workspace);
    assert!(bench.cli(&["account", "disable", "ada@example.com"]).ok().contains("2 tokens revoked"));
    bench.get(&ada, "/whoami").refused(401, "token_revoked");
    bench.get(&inside, "/whoami").refused(401, "token_revoked");
    let credentials = json!({"email": email("ada"), "password": PASSWORD});
    for host in [central(), at("acme")] {
        bench.post(&host, "/login", credentials.clone()).refused(403, "account_disabled");
    }
    let wrong = json!({"email": email("ada"), "password": "wrong password"});
    bench.post(&central(), "/login", wrong).refused(401, "invalid_credentials");
    assert!(bench.cli(&["account", "list"]).ok().contains("disabled"));
    assert!(bench.cli(&["account", "disable", &email("acme")]).failed().contains("only enabled operator"));

    assert!(bench.cli(&["account", "unlock", "ada@example.com"]).ok().contains("it was disabled"));
    bench.get(&bench.log_in("ada"), "/whoami").ok();
    bench.get(&ada, "/whoami").refused(401, "token_revoked");
    assert!(bench.cli(&["account", "unlock", "nobody@example.com"]).failed().contains("no account"));
}

#[test]
fn an_account_with_too_many_failed_logins_is_unlocked_beside_the_server() {
    let bench = Bench::within(&[("CX_THROTTLE_ATTEMPTS", "3")], &[]);
    bench.register("ada");
    let login =
        |password: &str| bench.post(&central(), "/login", json!({"email": email("ada"), "password": password})).status;
    while login("wrong password") != 429 {}
    assert_eq!(login(PASSWORD), 429);
    assert!(bench.cli(&["account", "unlock", "ada@example.com"]).ok().contains("were reset"));
    eventually("the server lets it in", || login(PASSWORD) == 200);
}

#[test]
fn an_account_is_deleted_with_its_users_unless_it_owns_a_workspace() {
    let bench = Bench::new();
    let (acme, ada) = (bench.team("acme"), bench.register("ada"));
    bench.cli(&["user", "add", "ada@example.com", "--workspace", "acme"]).ok();
    let delete = |email: &str, confirm: &str| bench.cli(&["account", "delete", email, "--confirm", confirm]);
    assert!(delete("ada@example.com", "bob@example.com").failed().contains("--confirm must be ada@example.com"));
    delete("ada@example.com", "ada@example.com").ok();
    bench.get(&ada, "/whoami").refused(401, "token_revoked");
    assert_eq!(bench.get(&acme.inside, "/users").ok()["total"], 1);
    bench.cli_with(&["account", "create", "--name", "Op", "--email", "op@example.com", "--operator"], PASSWORD).ok();
    assert!(delete("acme@example.com", "acme@example.com").failed().contains("own"));
    bench.is_sound();
}

#[test]
fn tokens_are_listed_without_being_shown() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let listed: Value = serde_json::from_str(&bench.cli(&["token", "list", &email("acme"), "--json"]).ok()).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let scopes: Vec<&Value> = listed.as_array().unwrap().iter().map(|token| &token["scope"]).collect();
    assert!(scopes.contains(&&json!("central")) && scopes.contains(&&json!("workspace")), "{listed}");
    assert!(!listed.to_string().contains("v4.local"));
    let table = bench.cli(&["token", "list", &email("acme")]).ok();
    assert!(table.contains("central") && table.contains("acme"), "{table}");
    bench.get(&acme.inside, "/whoami").ok();
}

#[test]
fn routes_and_descriptions_are_printed_as_they_are_served() {
    let bench = Bench::new();
    bench.team("acme");
    let routes: Value = serde_json::from_str(&bench.cli(&["routes", "--json"]).ok()).unwrap();
    let row = |layer: &str, method: &str, path: &str| {
        let wanted = |route: &&Value| route["layer"] == layer && route["method"] == method && route["path"] == path;
        routes.as_array().unwrap().iter().find(wanted).unwrap_or_else(|| panic!("no {method} {path}")).clone()
    };
    assert_eq!(row("central", "POST", "/login")["needs"], "-");
    assert_eq!(row("workspace", "DELETE", "/customers/{id}")["needs"], "customer.delete");
    let table = bench.cli(&["routes"]).ok();
    assert_eq!(table.lines().count(), routes.as_array().unwrap().len() + 1);

    for (layer, who) in [("central", central()), ("workspace", at("acme"))] {
        // The command does not know the port of the server.
        let printed = bench.cli(&["openapi", layer]).ok();
        let printed = printed.replace("localhost:8080", &format!("localhost:{}", bench.address().port()));
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed, bench.get(&who, "/openapi.json").ok(), "{layer}");
        assert!(printed["openapi"].as_str().unwrap().starts_with("3.1"));
    }
    assert!(bench.cli(&["completions", "bash"]).ok().contains("cx-engine"));
}

#[test]
fn wrong_use_is_told_apart_from_failure() {
    let bench = Bench::new();
    for wrong in [
        ["serve", "--no-such-flag"].as_slice(),
        &["dance"],
        &["token", "revoke", "x"],
        &["openapi"],
        &["workspace", "rename", "acme"],
        &["completions", "tcsh"],
        &[],
    ] {
        let typed = bench.cli(wrong);
        assert_eq!((typed.code, typed.out.as_str()), (Some(2), ""), "{wrong:?}: {typed:?}");
    }
    let said = bench.cli(&["token", "revoke", "99"]).failed();
    assert!(said.starts_with("cx-engine: ") && said.contains("99"), "{said}");
    assert!(bench.cli(&["--help"]).ok().contains("Exit codes"));
    assert_eq!(bench.cli(&["--version"]).ok().trim(), format!("cx-engine {}", env!("CARGO_PKG_VERSION")));
}

//! `cx-engine account`, `token`, `routes`, `openapi` and `completions`, beside a running server and without one.

use serde_json::{Value, json};

use crate::bench::{Bench, PASSWORD, at, central, email};
use crate::client::Answer;

#[test]
fn an_account_made_by_the_command_line_logs_in_at_the_running_server() {
    let bench = Bench::new();
    let create = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
    let said = bench.cli_with(&create, &format!("{PASSWORD}\n")).ok();
    assert!(said.contains("ada@example.com"), "{said}");
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
        let printed: Value = serde_json::from_str(&bench.cli(&["openapi", layer]).ok()).unwrap();
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

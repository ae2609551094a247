//! `cx-engine account`, `token`, `routes`, `openapi` and `completions`, with and without a running server.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::process::{program, run_on_terminal};
use crate::test_server::{PASSWORD, TestServer, at, central, email, eventually};

#[test]
fn an_account_made_by_the_command_line_logs_in_at_the_running_server() {
    let server = TestServer::new();
    let create = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
    let said = server.cli_with(&create, &format!("{PASSWORD}\n")).ok();
    assert!(said.contains("ada@example.com") && said.contains("http://localhost:8080/api/login"), "{said}");
    let ada = server.log_in("ada");
    assert!(server.instance(&ada)["version"].is_string(), "the first account is an operator");

    assert!(server.cli_with(&create, &format!("{PASSWORD}\n")).failed().contains("taken"));
    let bad = ["account", "create", "--name", "Eve", "--email", "eve"];
    assert!(server.cli_with(&bad, &format!("{PASSWORD}\n")).failed().contains("email"));
    let short = ["account", "create", "--name", "Eve", "--email", "eve@example.com"];
    let said = server.cli_with(&short, "short\n").failed();
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
    let server = TestServer::new();
    server.register("ada");
    server.register("bob");
    let operator = ["account", "create", "--name", "Eve", "--email", "eve@example.com", "--operator"];
    server.cli_with(&operator, &format!("{PASSWORD}\n")).ok();
    let listed: Value = serde_json::from_str(&server.cli(&["account", "list", "--json"]).ok()).unwrap();
    let row = |n: usize| (listed[n]["email"].clone(), listed[n]["operator"].clone());
    assert_eq!(row(0), (json!(email("ada")), json!(true)));
    assert_eq!(row(1), (json!(email("bob")), json!(false)));
    assert_eq!(row(2), (json!(email("eve")), json!(true)));
    let table = server.cli(&["account", "list"]).ok();
    assert!(table.lines().count() == 4 && table.contains("EMAIL"), "{table}");
    assert!(!table.contains("$argon2"), "{table}");
}

#[test]
fn a_new_password_by_the_command_line_ends_the_old_one_and_its_tokens() {
    let server = TestServer::new();
    let ada = server.register("ada");
    server.cli_with(&["account", "set-password", "ada@example.com"], "quite another one\n").ok();
    server.get(&ada, "/whoami").refused(401, "token_revoked");
    let login = |password: &str| -> Answer {
        server.post(&central(), "/login", json!({"email": email("ada"), "password": password}))
    };
    login(PASSWORD).refused(401, "invalid_credentials");
    login("quite another one").ok();
    let said = server.cli_with(&["account", "set-password", "nobody@example.com"], "whatever else\n").failed();
    assert!(said.contains("nobody@example.com"), "{said}");
}

#[test]
fn an_account_is_renamed_and_logs_in_by_its_new_address() {
    let server = TestServer::new();
    let (ada, _) = (server.register("ada"), server.register("bob"));
    let said =
        server.cli(&["account", "rename", "ada@example.com", "--name", "Ada L.", "--email", "al@example.com"]).ok();
    assert!(said.contains("Ada L. <al@example.com>"), "{said}");
    let user = server.get(&ada, "/whoami").ok()["user"].clone();
    assert_eq!((&user["name"], &user["email_verified"]), (&json!("Ada L."), &json!(true)));
    server.log_in("al");
    assert!(
        server.cli(&["account", "rename", "al@example.com", "--email", "bob@example.com"]).failed().contains("taken")
    );
    assert!(server.cli(&["account", "rename", "ada@example.com", "--name", "x"]).failed().contains("no account"));
    assert_eq!(server.cli(&["account", "rename", "al@example.com"]).code, Some(2));
    server.cli(&["account", "rename", "AL@example.com", "--email", "Al@Example.com"]).ok();
}

#[test]
fn a_disabled_account_gets_in_nowhere_until_it_is_unlocked() {
    let server = TestServer::new();
    let (acme, ada) = (server.team("acme"), server.register("ada"));
    server.cli(&["user", "add", "ada@example.com", "--workspace", "acme"]).ok();
    let inside = server.enter(&ada, &acme.workspace);
    assert!(server.cli(&["account", "disable", "ada@example.com"]).ok().contains("2 tokens revoked"));
    server.get(&ada, "/whoami").refused(401, "token_revoked");
    server.get(&inside, "/whoami").refused(401, "token_revoked");
    let credentials = json!({"email": email("ada"), "password": PASSWORD});
    for host in [central(), at("acme")] {
        server.post(&host, "/login", credentials.clone()).refused(403, "account_disabled");
    }
    let wrong = json!({"email": email("ada"), "password": "wrong password"});
    server.post(&central(), "/login", wrong).refused(401, "invalid_credentials");
    assert!(server.cli(&["account", "list"]).ok().contains("disabled"));
    assert!(server.cli(&["account", "disable", &email("acme")]).failed().contains("only enabled operator"));

    assert!(server.cli(&["account", "unlock", "ada@example.com"]).ok().contains("it was disabled"));
    server.get(&server.log_in("ada"), "/whoami").ok();
    server.get(&ada, "/whoami").refused(401, "token_revoked");
    assert!(server.cli(&["account", "unlock", "nobody@example.com"]).failed().contains("no account"));
}

#[test]
fn an_account_with_too_many_failed_logins_is_unlocked_beside_the_server() {
    let server = TestServer::within(&[("CX_THROTTLE_ATTEMPTS", "3")], &[]);
    server.register("ada");
    let login =
        |password: &str| server.post(&central(), "/login", json!({"email": email("ada"), "password": password})).status;
    while login("wrong password") != 429 {}
    assert_eq!(login(PASSWORD), 429);
    assert!(server.cli(&["account", "unlock", "ada@example.com"]).ok().contains("were reset"));
    eventually("the server lets it in", || login(PASSWORD) == 200);
}

#[test]
fn an_account_is_deleted_with_its_users_unless_it_owns_a_workspace() {
    let server = TestServer::new();
    let (acme, ada) = (server.team("acme"), server.register("ada"));
    server.cli(&["user", "add", "ada@example.com", "--workspace", "acme"]).ok();
    let delete = |email: &str, confirm: &str| server.cli(&["account", "delete", email, "--confirm", confirm]);
    assert!(delete("ada@example.com", "bob@example.com").failed().contains("--confirm must be ada@example.com"));
    delete("ada@example.com", "ada@example.com").ok();
    server.get(&ada, "/whoami").refused(401, "token_revoked");
    assert_eq!(server.get(&acme.inside, "/users").ok()["total"], 1);
    server.cli_with(&["account", "create", "--name", "Op", "--email", "op@example.com", "--operator"], PASSWORD).ok();
    assert!(delete("acme@example.com", "acme@example.com").failed().contains("own"));
    server.is_sound();
}

#[test]
fn tokens_are_listed_without_being_shown() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let listed: Value = serde_json::from_str(&server.cli(&["token", "list", &email("acme"), "--json"]).ok()).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let scopes: Vec<&Value> = listed.as_array().unwrap().iter().map(|token| &token["scope"]).collect();
    assert!(scopes.contains(&&json!("central")) && scopes.contains(&&json!("workspace")), "{listed}");
    assert!(!listed.to_string().contains("v4.local"));
    let table = server.cli(&["token", "list", &email("acme")]).ok();
    assert!(table.contains("central") && table.contains("acme"), "{table}");
    server.get(&acme.inside, "/whoami").ok();
}

#[test]
fn routes_and_descriptions_are_printed_as_they_are_served() {
    let server = TestServer::new();
    server.team("acme");
    let routes: Value = serde_json::from_str(&server.cli(&["routes", "--json"]).ok()).unwrap();
    let row = |layer: &str, method: &str, path: &str| {
        let wanted = |route: &&Value| route["layer"] == layer && route["method"] == method && route["path"] == path;
        routes.as_array().unwrap().iter().find(wanted).unwrap_or_else(|| panic!("no {method} {path}")).clone()
    };
    assert_eq!(row("central", "POST", "/login")["needs"], "-");
    assert_eq!(row("workspace", "DELETE", "/customers/{id}")["needs"], "customer.delete");
    let table = server.cli(&["routes"]).ok();
    assert_eq!(table.lines().count(), routes.as_array().unwrap().len() + 1);

    for (layer, who) in [("central", central()), ("workspace", at("acme"))] {
        // The command does not know the port of the server.
        let printed = server.cli(&["openapi", layer]).ok();
        let printed = printed.replace("localhost:8080", &format!("localhost:{}", server.address().port()));
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed, server.get(&who, "/openapi.json").ok(), "{layer}");
        assert!(printed["openapi"].as_str().unwrap().starts_with("3.1"));
    }
    assert!(server.cli(&["completions", "bash"]).ok().contains("cx-engine"));
}

#[test]
fn wrong_use_is_told_apart_from_failure() {
    let server = TestServer::new();
    for wrong in [
        ["serve", "--no-such-flag"].as_slice(),
        &["dance"],
        &["token", "revoke", "x"],
        &["openapi"],
        &["workspace", "rename", "acme"],
        &["completions", "tcsh"],
        &[],
    ] {
        let typed = server.cli(wrong);
        assert_eq!((typed.code, typed.out.as_str()), (Some(2), ""), "{wrong:?}: {typed:?}");
    }
    let said = server.cli(&["token", "revoke", "99"]).failed();
    assert!(said.starts_with("cx-engine: ") && said.contains("99"), "{said}");
    assert!(server.cli(&["--help"]).ok().contains("Exit codes"));
    assert_eq!(server.cli(&["--version"]).ok().trim(), format!("cx-engine {}", env!("CARGO_PKG_VERSION")));
}

//! A revoked token is invalid from the next request on, for every way to revoke it.

use serde_json::{Value, json};

use crate::bench::{Bench, PASSWORD, Who, at, central, email, text};

#[test]
fn revoking_by_the_api_is_felt_at_once() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let token = token_id(&bench, &acme.inside);
    bench.delete(&acme.owner, &format!("/tokens/{token}")).ok();
    bench.get(&acme.inside, "/customers").refused(401, "token_revoked");
    bench.delete(&acme.owner, &format!("/tokens/{token}")).refused(404, "not_found");
    bench.get(&acme.owner, "/whoami").ok();
}

#[test]
fn logging_out_revokes_the_token_of_the_call_alone() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let elsewhere = bench.log_in("acme");
    for who in [&acme.inside, &acme.owner] {
        bench.post(who, "/logout", json!({})).ok();
        bench.get(who, "/whoami").refused(401, "token_revoked");
        bench.get(&elsewhere, "/whoami").ok();
    }
}

#[test]
fn revoking_by_the_command_line_is_felt_by_the_running_server() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let token = token_id(&bench, &acme.inside);
    bench.get(&acme.inside, "/customers").ok();
    bench.cli(&["token", "revoke", &token]).ok();
    bench.get(&acme.inside, "/customers").refused(401, "token_revoked");

    let said = bench.cli(&["token", "revoke", &token]).failed();
    assert!(said.contains(&token), "{said}");
    assert_eq!(bench.cli(&["token", "revoke"]).code, Some(2));

    bench.log_in("acme");
    assert!(bench.cli(&["token", "revoke", "--account", &email("acme")]).ok().contains('2'));
    bench.get(&acme.owner, "/whoami").refused(401, "token_revoked");
}

#[test]
fn a_new_password_revokes_every_other_token() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let other = bench.register("zeta");
    let elsewhere = bench.log_in("acme");
    let new = json!({"password": "quite another one"});
    bench.put(&acme.owner, "/account", new.clone()).invalid(&["The current password field is required."]);
    bench.get(&elsewhere, "/whoami").ok();

    let mut new = new;
    new["current_password"] = json!(PASSWORD);
    bench.put(&acme.owner, "/account", new).created();
    bench.get(&acme.owner, "/whoami").ok();
    bench.get(&other, "/whoami").ok();
    for revoked in [&elsewhere, &acme.inside] {
        bench.get(revoked, "/whoami").refused(401, "token_revoked");
    }
    let login =
        |password: &str| bench.post(&central(), "/login", json!({"email": email("acme"), "password": password}));
    login(PASSWORD).refused(401, "invalid_credentials");
    login("quite another one").ok();
}

#[test]
fn keys_rotate_beside_a_running_server() {
    let bench = Bench::new();
    let first = bench.register("ada");
    let said = bench.cli(&["token", "rotate-keys"]).ok();
    assert!(said.contains("0 older keys deleted"), "{said}");
    let second = bench.log_in("ada");
    assert_ne!(key_of(&first), key_of(&second), "sealed with the new key");
    for who in [&first, &second] {
        bench.get(who, "/whoami").ok();
    }

    let said = bench.cli(&["token", "rotate-keys", "--retire"]).ok();
    assert!(said.contains("2 older keys deleted"), "{said}");
    let third = bench.log_in("ada");
    for who in [&first, &second] {
        bench.get(who, "/whoami").refused(401, "token_invalid");
    }
    bench.get(&third, "/whoami").ok();
}

#[test]
fn tokens_and_revocations_outlive_a_restart() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    let leaving = bench.log_in("acme");
    bench.post(&leaving, "/logout", json!({})).ok();
    bench.restart();
    bench.get(&leaving, "/whoami").refused(401, "token_revoked");
    bench.get(&acme.owner, "/whoami").ok();
    bench.get(&acme.inside, "/whoami").ok();
}

#[test]
fn deleting_an_account_ends_its_tokens() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let zeta = bench.register("zeta");
    let farewell = Some(json!({"current_password": PASSWORD}));
    bench.send(&acme.owner, "DELETE", "/account", farewell.clone()).refused(422, "owns_workspaces");
    bench.get(&acme.inside, "/customers").ok();
    bench.send(&zeta, "DELETE", "/account", farewell).ok();
    bench.get(&zeta, "/whoami").refused(401, "token_revoked");
    let credentials = json!({"email": email("zeta"), "password": PASSWORD});
    bench.post(&at("acme"), "/login", credentials).refused(401, "invalid_credentials");
}

/// The id of a token, for the command line.
fn token_id(bench: &Bench, who: &Who) -> String {
    let whoami: Value = bench.get(who, "/whoami").ok();
    whoami["token"]["id"].to_string()
}

/// The footer of a token, which names its encryption key.
fn key_of(who: &Who) -> String {
    let token = text(&json!(who.token));
    token.rsplit('.').next().unwrap().to_owned()
}

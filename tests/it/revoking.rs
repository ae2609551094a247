//! A revoked token is invalid from the next request on, for every way to revoke it.

use serde_json::{Value, json};

use crate::test_server::{PASSWORD, TestServer, Who, at, central, email, text};

#[test]
fn revoking_by_the_api_is_felt_at_once() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let token = token_id(&server, &acme.inside);
    server.delete(&acme.owner, &format!("/tokens/{token}")).ok();
    server.get(&acme.inside, "/customers").refused(401, "token_revoked");
    server.delete(&acme.owner, &format!("/tokens/{token}")).refused(404, "not_found");
    server.get(&acme.owner, "/whoami").ok();
}

#[test]
fn logging_out_revokes_the_token_of_the_call_alone() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let elsewhere = server.log_in("acme");
    for who in [&acme.inside, &acme.owner] {
        server.post(who, "/logout", json!({})).ok();
        server.get(who, "/whoami").refused(401, "token_revoked");
        server.get(&elsewhere, "/whoami").ok();
    }
}

#[test]
fn revoking_by_the_command_line_is_felt_by_the_running_server() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let token = token_id(&server, &acme.inside);
    server.get(&acme.inside, "/customers").ok();
    server.cli(&["token", "revoke", &token]).ok();
    server.get(&acme.inside, "/customers").refused(401, "token_revoked");

    let said = server.cli(&["token", "revoke", &token]).failed();
    assert!(said.contains(&token), "{said}");
    assert_eq!(server.cli(&["token", "revoke"]).code, Some(2));

    server.log_in("acme");
    assert!(server.cli(&["token", "revoke", "--account", &email("acme")]).ok().contains('2'));
    server.get(&acme.owner, "/whoami").refused(401, "token_revoked");
}

#[test]
fn a_new_password_revokes_every_other_token() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let other = server.register("zeta");
    let elsewhere = server.log_in("acme");
    let new = json!({"password": "quite another one"});
    server.put(&acme.owner, "/account", new.clone()).invalid(&["The current password field is required."]);
    server.get(&elsewhere, "/whoami").ok();

    let mut new = new;
    new["current_password"] = json!(PASSWORD);
    server.put(&acme.owner, "/account", new).created();
    server.get(&acme.owner, "/whoami").ok();
    server.get(&other, "/whoami").ok();
    for revoked in [&elsewhere, &acme.inside] {
        server.get(revoked, "/whoami").refused(401, "token_revoked");
    }
    let login =
        |password: &str| server.post(&central(), "/login", json!({"email": email("acme"), "password": password}));
    login(PASSWORD).refused(401, "invalid_credentials");
    login("quite another one").ok();
}

#[test]
fn keys_rotate_beside_a_running_server() {
    let server = TestServer::new();
    let first = server.register("ada");
    let said = server.cli(&["token", "rotate-keys"]).ok();
    assert!(said.contains("0 older keys deleted"), "{said}");
    let second = server.log_in("ada");
    assert_ne!(key_of(&first), key_of(&second), "sealed with the new key");
    for who in [&first, &second] {
        server.get(who, "/whoami").ok();
    }

    let said = server.cli(&["token", "rotate-keys", "--retire"]).ok();
    assert!(said.contains("2 older keys deleted"), "{said}");
    let third = server.log_in("ada");
    for who in [&first, &second] {
        server.get(who, "/whoami").refused(401, "token_invalid");
    }
    server.get(&third, "/whoami").ok();
}

#[test]
fn tokens_and_revocations_outlive_a_restart() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    let leaving = server.log_in("acme");
    server.post(&leaving, "/logout", json!({})).ok();
    server.restart();
    server.get(&leaving, "/whoami").refused(401, "token_revoked");
    server.get(&acme.owner, "/whoami").ok();
    server.get(&acme.inside, "/whoami").ok();
}

#[test]
fn deleting_an_account_ends_its_tokens() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let zeta = server.register("zeta");
    let farewell = Some(json!({"current_password": PASSWORD}));
    server.send(&acme.owner, "DELETE", "/account", farewell.clone()).refused(422, "owns_workspaces");
    server.get(&acme.inside, "/customers").ok();
    server.send(&zeta, "DELETE", "/account", farewell).ok();
    server.get(&zeta, "/whoami").refused(401, "token_revoked");
    let credentials = json!({"email": email("zeta"), "password": PASSWORD});
    server.post(&at("acme"), "/login", credentials).refused(401, "invalid_credentials");
}

/// The id of a token, for the command line.
fn token_id(server: &TestServer, who: &Who) -> String {
    let whoami: Value = server.get(who, "/whoami").ok();
    whoami["token"]["id"].to_string()
}

/// The footer of a token, which names its encryption key.
fn key_of(who: &Who) -> String {
    let token = text(&json!(who.token));
    token.rsplit('.').next().unwrap().to_owned()
}

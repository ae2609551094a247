use std::time::Duration;

use serde_json::{Value, json};

use super::answer_requests;
use crate::auth::{Origin, TokenScope};
use crate::central::workspace_lifecycle;
use crate::jobs::{self, mail_sender};
use crate::tests::{AuthenticatorApp, PASSWORD, TestClient, TestResponse, TestServer};
use crate::values::Timestamp;

const NEW: &str = "quite-another-one";

/// The mailed codes, oldest first.
fn mailed(server: &TestServer) -> Vec<String> {
    let code =
        |text: &str| text.split_once("&code=").and_then(|(_, code)| code.split_whitespace().next()).map(str::to_owned);
    server.mails().iter().filter_map(|mail| code(&mail.text)).collect()
}

fn forgot(server: &TestServer, email: &str) -> Value {
    server.anonymous().post("/password/forgot", json!({"email": email})).ok()
}

fn reset(server: &TestServer, email: &str, code: &str) -> TestResponse {
    server.anonymous().post("/password/reset", json!({"email": email, "code": code, "password": NEW}))
}

fn login(server: &TestServer, password: &str) -> TestResponse {
    server.anonymous().post("/login", json!({"email": "owner@example.com", "password": password}))
}

#[test]
fn a_code_that_was_mailed_sets_a_new_password_once_and_ends_every_token() {
    let server = TestServer::new();
    let old = server.central();
    forgot(&server, "OWNER@example.com");
    let code = mailed(&server).pop().unwrap();
    reset(&server, "owner@example.com", &code).ok();
    old.get("/whoami").rejected(401, "token_revoked");
    login(&server, PASSWORD).rejected(401, "invalid_credentials");
    login(&server, NEW).ok();
    reset(&server, "owner@example.com", &code).invalid(&["The selected code is invalid."]);
}

/// A stranger registered with another person's address. That person takes the account over by mail.
#[test]
fn a_code_that_comes_back_verifies_the_address_and_drops_what_was_set_up_before() {
    let server = TestServer::new();
    let squatter = json!({"name": "S", "email": "ceo@acme.test", "password": PASSWORD});
    let squatter = server.anonymous().signed_in(&server.anonymous().post("/register", squatter).created());
    AuthenticatorApp::enroll(&squatter);
    squatter.put("/account", json!({"email": "mine@example.com", "current_password": PASSWORD})).created();
    forgot(&server, "ceo@acme.test");
    let code = mailed(&server).pop().unwrap();
    reset(&server, "ceo@acme.test", &code).ok();
    squatter.get("/whoami").rejected(401, "token_revoked");
    let login = server.anonymous().post("/login", json!({"email": "ceo@acme.test", "password": NEW})).ok();
    assert_eq!(login["user"]["email_verified"], true);
    assert_eq!(login["user"].get("pending_email"), None);
}

/// A program that a member of Acme approved.
fn approved<'bench>(server: &'bench TestServer, email: &str) -> TestClient<'bench> {
    let body = json!({
        "name": "P", "redirect_uris": ["https://example.com/"], "grants": ["authorization_code"],
        "scopes": ["customer.view"],
    });
    let client = server.admin().post("/oauth-clients", body).created();
    let id = client["client_id"].as_str().unwrap();
    let query = format!("client_id={id}&redirect_uri=https%3A%2F%2Fexample.com%2F&response_type=code");
    let code = server.approve(email, &format!("/oauth/authorize?{query}"));
    let exchange = json!({
        "grant_type": "authorization_code", "code": code, "redirect_uri": "https://example.com/",
        "client_id": id, "client_secret": client["client_secret"],
    });
    let program = server.anonymous().at("acme.localhost");
    let token = program.post("/oauth/token", exchange).ok()["access_token"].as_str().unwrap().to_owned();
    program.with_token(token)
}

fn change(server: &TestServer, email: &str) {
    let account = server.anonymous().with_token(server.token(email, TokenScope::Central));
    account.put("/account", json!({"password": NEW, "current_password": PASSWORD})).created();
}

/// An attacker with the old password may have approved a program.
#[test]
fn another_password_ends_what_was_approved_with_the_old_one() {
    let server = TestServer::new();
    server.with_role("agent");
    let (theirs, mine) = (approved(&server, "agent@example.com"), approved(&server, "owner@example.com"));
    mine.get("/customers").ok();
    forgot(&server, "owner@example.com");
    reset(&server, "owner@example.com", &mailed(&server).pop().unwrap()).ok();
    mine.get("/customers").rejected(401, "token_revoked");
    theirs.get("/customers").ok();
    change(&server, "agent@example.com");
    theirs.get("/customers").rejected(401, "token_revoked");
}

#[test]
fn another_password_reaches_a_workspace_when_it_comes_out_of_the_trash() {
    let server = TestServer::new();
    let (instance, id, now) = (&server.instance, server.acme.id, Timestamp::now());
    server.with_role("agent");
    let program = approved(&server, "agent@example.com");
    server.central().delete_with(&format!("/workspaces/{id}"), json!({"subdomain": "acme"})).ok();
    change(&server, "agent@example.com");
    jobs::round(instance, now, true).unwrap();
    workspace_lifecycle::restore(instance, id, None, &Origin::system(now)).unwrap();
    jobs::round(instance, now, false).unwrap();
    program.get("/customers").rejected(401, "token_revoked");
}

/// For a damaged file, the grants end after the repair. Meanwhile the trash is emptied.
#[test]
fn a_workspace_that_cannot_be_written_holds_up_no_other_work() {
    let server = TestServer::new();
    let (instance, now) = (&server.instance, Timestamp::now());
    server.with_role("agent");
    let other = server.other.id;
    server.central().delete_with(&format!("/workspaces/{other}"), json!({"subdomain": "other"})).ok();
    let path = instance.registry.path(server.acme.id);
    instance.registry.close(server.acme.id, Duration::from_secs(5)).unwrap();
    std::fs::write(&path, [0x55; 8192]).unwrap();
    change(&server, "agent@example.com");
    let error = jobs::round(instance, now.plus(31 * 86_400), true).unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(!instance.trash_path(other).exists());
}

#[test]
fn a_second_factor_of_a_verified_account_outlives_a_forgotten_password() {
    let server = TestServer::new();
    let app = AuthenticatorApp::enroll(&server.central());
    forgot(&server, "owner@example.com");
    reset(&server, "owner@example.com", &mailed(&server).pop().unwrap()).ok();
    let answer = login(&server, NEW);
    answer.rejected(401, "second_factor_required");
    let challenge = answer.json()["challenge"].clone();
    server.anonymous().post("/login/second-factor", json!({"challenge": challenge, "code": app.code()})).ok();
}

#[test]
fn the_link_leads_to_the_public_url_whatever_port_was_asked() {
    let server = TestServer::new();
    server.anonymous().at("localhost:8080").post("/password/forgot", json!({"email": "owner@example.com"})).ok();
    let text = &server.mails()[0].text;
    assert!(text.contains("http://localhost/ui/password-reset?email=owner%40example.com&code="), "{text}");
}

#[test]
fn who_is_unknown_is_answered_alike_and_mailed_nothing() {
    let server = TestServer::new();
    assert_eq!(forgot(&server, "nobody@example.com"), forgot(&server, "owner@example.com"));
    assert_eq!(mailed(&server).len(), 1);
    mail_sender::round(&server.instance, Timestamp::now()).unwrap();
    assert_eq!(mailed(&server).len(), 0, "what was answered is not answered again");
}

#[test]
fn whatever_is_wrong_with_a_code_is_said_alike() {
    let server = TestServer::new();
    server.with_role("agent");
    forgot(&server, "owner@example.com");
    let code = mailed(&server).pop().unwrap();
    for (email, code) in [
        ("nobody@example.com", code.as_str()),
        ("agent@example.com", &code),
        ("owner@example.com", "wrong"),
        ("owner@example.com", &code.to_lowercase()),
    ] {
        reset(&server, email, code).invalid(&["The selected code is invalid."]);
    }
    let weak = json!({"email": "owner@example.com", "code": code, "password": "password1"});
    let answer = server.anonymous().post("/password/reset", weak);
    answer.invalid(&["The password is too common: choose one that is harder to guess."]);
    reset(&server, "owner@example.com", &code).ok();
}

#[test]
fn a_code_is_good_for_an_hour() {
    let server = TestServer::new();
    let made_at = |moment: Timestamp| {
        forgot(&server, "owner@example.com");
        answer_requests(&server.instance, moment).unwrap();
        mailed(&server).pop().unwrap()
    };
    let now = Timestamp::now();
    let old = made_at(now.plus(-3601));
    reset(&server, "owner@example.com", &old).invalid(&["The selected code is invalid."]);
    let young = made_at(now.plus(-3500));
    reset(&server, "owner@example.com", &young).ok();
}

#[test]
fn guesses_at_a_code_are_throttled() {
    let server = TestServer::with(&[("throttle_attempts", "3")]);
    forgot(&server, "owner@example.com");
    let code = mailed(&server).pop().unwrap();
    for wrong in ["one", "two", "three"] {
        reset(&server, "owner@example.com", wrong).invalid(&["The selected code is invalid."]);
    }
    reset(&server, "owner@example.com", &code).rejected(429, "too_many_requests");
}

#[test]
fn nobody_is_mailed_without_end() {
    let server = TestServer::with(&[("throttle_attempts", "2")]);
    let ask = |email: &str| server.anonymous().post("/password/forgot", json!({"email": email}));
    ask("owner@example.com").ok();
    ask("nobody@example.com").ok();
    ask("owner@example.com").rejected(429, "too_many_requests");
    assert_eq!(mailed(&server).len(), 1);
}

#[test]
fn another_password_or_address_ends_the_codes_of_before() {
    let server = TestServer::new();
    forgot(&server, "owner@example.com");
    forgot(&server, "owner@example.com");
    let codes = mailed(&server);
    reset(&server, "owner@example.com", &codes[0]).ok();
    reset(&server, "owner@example.com", &codes[1]).invalid(&["The selected code is invalid."]);

    forgot(&server, "owner@example.com");
    let code = mailed(&server).pop().unwrap();
    let moved = json!({"email": "new@example.com", "current_password": NEW});
    server.central().put("/account", moved).created();
    server.verify_email(&server.central());
    reset(&server, "new@example.com", &code).invalid(&["The selected code is invalid."]);
}

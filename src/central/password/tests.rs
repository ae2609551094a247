use std::time::Duration;

use serde_json::{Value, json};

use super::answer_requests;
use crate::auth::{Origin, Scope};
use crate::central::workspace_lifecycle;
use crate::jobs::{self, mail};
use crate::testing::{Answer, App, Bench, Client, PASSWORD};
use crate::values::Timestamp;

const NEW: &str = "quite-another-one";

/// The mailed codes, oldest first.
fn mailed(bench: &Bench) -> Vec<String> {
    let code =
        |text: &str| text.split_once("&code=").and_then(|(_, code)| code.split_whitespace().next()).map(str::to_owned);
    bench.mails().iter().filter_map(|mail| code(&mail.text)).collect()
}

fn forgot(bench: &Bench, email: &str) -> Value {
    bench.nobody().post("/password/forgot", json!({"email": email})).ok()
}

fn reset(bench: &Bench, email: &str, code: &str) -> Answer {
    bench.nobody().post("/password/reset", json!({"email": email, "code": code, "password": NEW}))
}

fn login(bench: &Bench, password: &str) -> Answer {
    bench.nobody().post("/login", json!({"email": "owner@example.com", "password": password}))
}

#[test]
fn a_code_that_was_mailed_sets_a_new_password_once_and_ends_every_token() {
    let bench = Bench::new();
    let old = bench.central();
    forgot(&bench, "OWNER@example.com");
    let code = mailed(&bench).pop().unwrap();
    reset(&bench, "owner@example.com", &code).ok();
    old.get("/whoami").refused(401, "token_revoked");
    login(&bench, PASSWORD).refused(401, "invalid_credentials");
    login(&bench, NEW).ok();
    reset(&bench, "owner@example.com", &code).invalid(&["The selected code is invalid."]);
}

/// A stranger registered with another person's address. That person takes the account over by mail.
#[test]
fn a_code_that_comes_back_verifies_the_address_and_drops_what_was_set_up_before() {
    let bench = Bench::new();
    let squatter = json!({"name": "S", "email": "ceo@acme.test", "password": PASSWORD});
    let squatter = bench.nobody().signed_in(&bench.nobody().post("/register", squatter).created());
    App::enroll(&squatter);
    squatter.put("/account", json!({"email": "mine@example.com", "current_password": PASSWORD})).created();
    forgot(&bench, "ceo@acme.test");
    let code = mailed(&bench).pop().unwrap();
    reset(&bench, "ceo@acme.test", &code).ok();
    squatter.get("/whoami").refused(401, "token_revoked");
    let login = bench.nobody().post("/login", json!({"email": "ceo@acme.test", "password": NEW})).ok();
    assert_eq!(login["user"]["email_verified"], true);
    assert_eq!(login["user"].get("pending_email"), None);
}

/// A program that a member of Acme approved.
fn approved<'bench>(bench: &'bench Bench, email: &str) -> Client<'bench> {
    let body = json!({
        "name": "P", "redirect_uris": ["https://example.com/"], "grants": ["authorization_code"],
        "scopes": ["customer.view"],
    });
    let client = bench.admin().post("/oauth-clients", body).created();
    let id = client["client_id"].as_str().unwrap();
    let query = format!("client_id={id}&redirect_uri=https%3A%2F%2Fexample.com%2F&response_type=code");
    let code = bench.approve(email, &format!("/oauth/authorize?{query}"));
    let exchange = json!({
        "grant_type": "authorization_code", "code": code, "redirect_uri": "https://example.com/",
        "client_id": id, "client_secret": client["client_secret"],
    });
    let program = bench.nobody().at("acme.localhost");
    let token = program.post("/oauth/token", exchange).ok()["access_token"].as_str().unwrap().to_owned();
    program.with_token(token)
}

fn change(bench: &Bench, email: &str) {
    let account = bench.nobody().with_token(bench.token(email, Scope::Central));
    account.put("/account", json!({"password": NEW, "current_password": PASSWORD})).created();
}

/// An attacker with the old password may have approved a program.
#[test]
fn another_password_ends_what_was_approved_with_the_old_one() {
    let bench = Bench::new();
    bench.with_role("agent");
    let (theirs, mine) = (approved(&bench, "agent@example.com"), approved(&bench, "owner@example.com"));
    mine.get("/customers").ok();
    forgot(&bench, "owner@example.com");
    reset(&bench, "owner@example.com", &mailed(&bench).pop().unwrap()).ok();
    mine.get("/customers").refused(401, "token_revoked");
    theirs.get("/customers").ok();
    change(&bench, "agent@example.com");
    theirs.get("/customers").refused(401, "token_revoked");
}

#[test]
fn another_password_reaches_a_workspace_when_it_comes_out_of_the_trash() {
    let bench = Bench::new();
    let (engine, id, now) = (&bench.engine, bench.acme.id, Timestamp::now());
    bench.with_role("agent");
    let program = approved(&bench, "agent@example.com");
    bench.central().delete_with(&format!("/workspaces/{id}"), json!({"subdomain": "acme"})).ok();
    change(&bench, "agent@example.com");
    jobs::round(engine, now, true).unwrap();
    workspace_lifecycle::restore(engine, id, None, &Origin::system(now)).unwrap();
    jobs::round(engine, now, false).unwrap();
    program.get("/customers").refused(401, "token_revoked");
}

/// For a damaged file, the grants end after the repair. Meanwhile the trash is emptied.
#[test]
fn a_workspace_that_cannot_be_written_holds_up_no_other_work() {
    let bench = Bench::new();
    let (engine, now) = (&bench.engine, Timestamp::now());
    bench.with_role("agent");
    let other = bench.other.id;
    bench.central().delete_with(&format!("/workspaces/{other}"), json!({"subdomain": "other"})).ok();
    let path = engine.registry.path(bench.acme.id);
    engine.registry.close(bench.acme.id, Duration::from_secs(5)).unwrap();
    std::fs::write(&path, [0x55; 8192]).unwrap();
    change(&bench, "agent@example.com");
    let error = jobs::round(engine, now.plus(31 * 86_400), true).unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(!engine.trash_path(other).exists());
}

#[test]
fn a_second_factor_of_a_verified_account_outlives_a_forgotten_password() {
    let bench = Bench::new();
    let app = App::enroll(&bench.central());
    forgot(&bench, "owner@example.com");
    reset(&bench, "owner@example.com", &mailed(&bench).pop().unwrap()).ok();
    let answer = login(&bench, NEW);
    answer.refused(401, "second_factor_required");
    let challenge = answer.json()["challenge"].clone();
    bench.nobody().post("/login/second-factor", json!({"challenge": challenge, "code": app.code()})).ok();
}

#[test]
fn the_link_leads_to_the_public_url_whatever_port_was_asked() {
    let bench = Bench::new();
    bench.nobody().at("localhost:8080").post("/password/forgot", json!({"email": "owner@example.com"})).ok();
    let text = &bench.mails()[0].text;
    assert!(text.contains("http://localhost/ui/password-reset?email=owner%40example.com&code="), "{text}");
}

#[test]
fn who_is_unknown_is_answered_alike_and_mailed_nothing() {
    let bench = Bench::new();
    assert_eq!(forgot(&bench, "nobody@example.com"), forgot(&bench, "owner@example.com"));
    assert_eq!(mailed(&bench).len(), 1);
    mail::round(&bench.engine, Timestamp::now()).unwrap();
    assert_eq!(mailed(&bench).len(), 0, "what was answered is not answered again");
}

#[test]
fn whatever_is_wrong_with_a_code_is_said_alike() {
    let bench = Bench::new();
    bench.with_role("agent");
    forgot(&bench, "owner@example.com");
    let code = mailed(&bench).pop().unwrap();
    for (email, code) in [
        ("nobody@example.com", code.as_str()),
        ("agent@example.com", &code),
        ("owner@example.com", "wrong"),
        ("owner@example.com", &code.to_lowercase()),
    ] {
        reset(&bench, email, code).invalid(&["The selected code is invalid."]);
    }
    let weak = json!({"email": "owner@example.com", "code": code, "password": "password1"});
    let answer = bench.nobody().post("/password/reset", weak);
    answer.invalid(&["The password is too common: choose one that is harder to guess."]);
    reset(&bench, "owner@example.com", &code).ok();
}

#[test]
fn a_code_is_good_for_an_hour() {
    let bench = Bench::new();
    let made_at = |moment: Timestamp| {
        forgot(&bench, "owner@example.com");
        answer_requests(&bench.engine, moment).unwrap();
        mailed(&bench).pop().unwrap()
    };
    let now = Timestamp::now();
    let old = made_at(now.plus(-3601));
    reset(&bench, "owner@example.com", &old).invalid(&["The selected code is invalid."]);
    let young = made_at(now.plus(-3500));
    reset(&bench, "owner@example.com", &young).ok();
}

#[test]
fn guesses_at_a_code_are_throttled() {
    let bench = Bench::with(&[("throttle_attempts", "3")]);
    forgot(&bench, "owner@example.com");
    let code = mailed(&bench).pop().unwrap();
    for wrong in ["one", "two", "three"] {
        reset(&bench, "owner@example.com", wrong).invalid(&["The selected code is invalid."]);
    }
    reset(&bench, "owner@example.com", &code).refused(429, "too_many_requests");
}

#[test]
fn nobody_is_mailed_without_end() {
    let bench = Bench::with(&[("throttle_attempts", "2")]);
    let ask = |email: &str| bench.nobody().post("/password/forgot", json!({"email": email}));
    ask("owner@example.com").ok();
    ask("nobody@example.com").ok();
    ask("owner@example.com").refused(429, "too_many_requests");
    assert_eq!(mailed(&bench).len(), 1);
}

#[test]
fn another_password_or_address_ends_the_codes_of_before() {
    let bench = Bench::new();
    forgot(&bench, "owner@example.com");
    forgot(&bench, "owner@example.com");
    let codes = mailed(&bench);
    reset(&bench, "owner@example.com", &codes[0]).ok();
    reset(&bench, "owner@example.com", &codes[1]).invalid(&["The selected code is invalid."]);

    forgot(&bench, "owner@example.com");
    let code = mailed(&bench).pop().unwrap();
    let moved = json!({"email": "new@example.com", "current_password": NEW});
    bench.central().put("/account", moved).created();
    bench.verify_email(&bench.central());
    reset(&bench, "new@example.com", &code).invalid(&["The selected code is invalid."]);
}

use serde_json::{Value, json};

use crate::api::Error;
use crate::auth::TokenScope;
use crate::tests::{AuthenticatorApp, PASSWORD, TestClient, TestResponse, TestServer};

fn login(server: &TestServer, host: &str) -> TestResponse {
    let body = json!({"email": "owner@example.com", "password": PASSWORD});
    server.anonymous().at(host).post("/login", body)
}

fn challenge(server: &TestServer, host: &str) -> Value {
    let answer = login(server, host);
    answer.rejected(401, "second_factor_required");
    answer.json()["challenge"].clone()
}

fn answer(server: &TestServer, host: &str, challenge: &Value, code: &str) -> TestResponse {
    server.anonymous().at(host).post("/login/second-factor", json!({"challenge": challenge, "code": code}))
}

#[test]
fn a_login_takes_two_steps_on_both_layers_and_tokens_that_exist_go_on() {
    let server = TestServer::new();
    let (me, key) = (server.central(), server.key(&["customer.view"], None));
    let app = AuthenticatorApp::enroll(&me);
    assert_eq!(app.recovery_codes.len(), 10);
    let said = answer(&server, "localhost", &challenge(&server, "localhost"), &app.code()).ok();
    assert_eq!((&said["token_type"], &said["user"]["email"]), (&json!("Bearer"), &json!("owner@example.com")));
    server.anonymous().signed_in(&said).get("/whoami").ok();
    let inside = answer(&server, "acme.localhost", &challenge(&server, "acme.localhost"), &app.code()).ok();
    server.anonymous().at("acme.localhost").signed_in(&inside).get("/customers").ok();
    me.get("/whoami").ok();
    key.get("/customers").ok();
    server.oauth(&["customer.view"], None).get("/customers").ok();
    // A challenge is valid only on the host that issued it.
    let elsewhere = challenge(&server, "acme.localhost");
    for host in ["localhost", "other.localhost"] {
        answer(&server, host, &elsewhere, &app.recovery_codes[0]).rejected(401, "invalid_challenge");
    }
}

#[test]
fn no_code_is_good_twice() {
    let server = TestServer::new();
    let app = AuthenticatorApp::enroll(&server.central());
    let (code, recovery) = (app.code(), app.recovery_codes[0].replace('-', " ").to_uppercase());
    for code in [&code, &recovery] {
        let spaced = format!(" {} {}", &code[..3], &code[3..]);
        answer(&server, "localhost", &challenge(&server, "localhost"), &spaced).ok();
        answer(&server, "localhost", &challenge(&server, "localhost"), code).rejected(401, "invalid_code");
    }
    assert_eq!(server.central().get("/account/second-factor").ok()["recovery_codes_left"], 9);
}

#[test]
fn a_challenge_is_good_for_five_codes_and_five_minutes_and_once() {
    let server = TestServer::new();
    let app = AuthenticatorApp::enroll(&server.central());
    let given = challenge(&server, "localhost");
    for wrong in ["000000", "x", "000001", "a b", "12345"] {
        answer(&server, "localhost", &given, wrong).rejected(401, "invalid_code");
    }
    answer(&server, "localhost", &given, &app.recovery_codes[0]).rejected(401, "invalid_challenge");
    let old = challenge(&server, "localhost");
    let sql = "UPDATE login_challenges SET expires_at = expires_at - 301";
    server.instance.central.write(move |db| Ok::<_, Error>(db.execute(sql, [])?)).unwrap();
    answer(&server, "localhost", &old, &app.recovery_codes[0]).rejected(401, "invalid_challenge");
    let good = challenge(&server, "localhost");
    answer(&server, "localhost", &good, &app.recovery_codes[0]).ok();
    answer(&server, "localhost", &good, &app.recovery_codes[1]).rejected(401, "invalid_challenge");
    answer(&server, "localhost", &json!("made-up"), &app.recovery_codes[1]).rejected(401, "invalid_challenge");
}

#[test]
fn guesses_at_codes_are_throttled_over_all_challenges() {
    let server = TestServer::with(&[("throttle_attempts", "3")]);
    let app = AuthenticatorApp::enroll(&server.central());
    for wrong in ["000000", "000001", "000002"] {
        answer(&server, "localhost", &challenge(&server, "localhost"), wrong).rejected(401, "invalid_code");
    }
    let given = challenge(&server, "localhost");
    answer(&server, "localhost", &given, &app.recovery_codes[0]).rejected(429, "too_many_requests");
}

#[test]
fn it_is_added_with_the_password_and_a_code_and_removed_with_both() {
    let server = TestServer::new();
    let me = server.central();
    let enroll = |body: Value| me.post("/account/second-factor", body);
    enroll(json!({})).invalid(&["The current password field is required."]);
    enroll(json!({"current_password": "wrong"})).rejected(401, "invalid_credentials");
    enroll(json!({"code": "123456"})).rejected(422, "no_enrollment");
    let begun = enroll(json!({"current_password": PASSWORD})).created();
    let url = begun["otpauth_url"].as_str().unwrap();
    assert!(url.starts_with("otpauth://totp/") && url.contains(begun["secret"].as_str().unwrap()), "{url}");
    assert!(begun["qr_code"].as_str().unwrap().starts_with("<svg "), "{begun}");
    enroll(json!({"code": "000000"})).invalid(&["The selected code is invalid."]);
    login(&server, "localhost").ok();

    let app = AuthenticatorApp::enroll(&me);
    enroll(json!({"current_password": PASSWORD})).rejected(422, "second_factor_enabled");
    let remove = |password: &str, code: &str| {
        me.delete_with("/account/second-factor", json!({"current_password": password, "code": code}))
    };
    remove("wrong", &app.recovery_codes[0]).rejected(401, "invalid_credentials");
    remove(PASSWORD, "000000").rejected(401, "invalid_code");
    let renewed = me.post("/account/second-factor/recovery-codes", json!({"code": app.code()})).created();
    remove(PASSWORD, &app.recovery_codes[0]).rejected(401, "invalid_code");
    remove(PASSWORD, renewed["recovery_codes"][0].as_str().unwrap()).ok();
    assert_eq!(me.get("/account/second-factor").ok()["enabled"], false);
    login(&server, "localhost").ok();
    remove(PASSWORD, "000000").rejected(422, "no_second_factor");
    let subjects: Vec<String> = server.mails().into_iter().map(|mail| mail.subject).collect();
    for told in ["was added", "recovery codes", "was removed"] {
        assert!(subjects.iter().any(|subject| subject.contains(told)), "{told}: {subjects:?}");
    }
}

#[test]
fn a_workspace_may_require_it_of_its_members() {
    let server = TestServer::new();
    let (agent, key) = (server.with_role("agent"), server.key(&["*"], None));
    let central = server.anonymous().with_token(server.token("agent@example.com", TokenScope::Central));
    let program = central.post("/tokens", json!({"label": "nightly", "workspace_id": server.acme.id})).created();
    let app = AuthenticatorApp::enroll(&server.central());
    let admin = server.admin();
    admin.put("/settings", json!({"require_second_factor": true})).created();
    agent.get("/customers").rejected(403, "second_factor_required");
    agent.get("/whoami").rejected(403, "second_factor_required");
    let enter = |client: &TestClient<'_>| client.post("/switch-to", json!({"workspace_id": server.acme.id}));
    enter(&central).rejected(403, "second_factor_required");
    let made = json!({"label": "n", "workspace_id": server.acme.id});
    central.post("/tokens", made).rejected(403, "second_factor_required");
    let body = json!({"email": "agent@example.com", "password": PASSWORD});
    server.anonymous().at("acme.localhost").post("/login", body).rejected(403, "second_factor_required");
    // Other members are not affected, and neither is the agent in other workspaces or with a second factor.
    admin.get("/customers").ok();
    key.get("/customers").ok();
    server.anonymous().at("acme.localhost").signed_in(&program).get("/customers").ok();
    agent.post("/switch-to", json!({})).ok();
    AuthenticatorApp::enroll(&central);
    agent.get("/customers").ok();
    enter(&central).ok();
    drop(app);
}

#[test]
fn a_server_may_require_it_of_its_operators() {
    let server = TestServer::with(&[("operator_second_factor", "true")]);
    let me = server.central();
    for path in ["/instance", "/accounts", "/workspaces?scope=all"] {
        me.get(path).rejected(403, "second_factor_required");
    }
    me.get("/workspaces").ok();
    AuthenticatorApp::enroll(&me);
    for path in ["/instance", "/accounts", "/workspaces?scope=all"] {
        me.get(path).ok();
    }
}

#[test]
fn an_operator_resets_what_somebody_has_lost_and_the_log_says_so() {
    let server = TestServer::new();
    let stranger = server.stranger();
    AuthenticatorApp::enroll(&stranger);
    let id = stranger.get("/whoami").ok()["user"]["id"].clone();
    let path = format!("/accounts/{id}/second-factor");
    stranger.delete(&path).rejected(403, "forbidden");
    server.central().delete(&path).ok();
    server.central().delete(&path).rejected(422, "no_second_factor");
    server.central().delete("/accounts/999/second-factor").rejected(404, "not_found");
    let log = stranger.get("/audit-log?filter[action]=second_factor.reset").ok();
    let entry = &log["data"][0];
    assert_eq!((&entry["actor"]["email"], &entry["account"]["id"]), (&json!("owner@example.com"), &id));
    assert_eq!(server.mails().pop().unwrap().to.to_string(), "stranger@example.com");
}

#[test]
fn it_outlives_the_keys_that_sealed_it() {
    let server = TestServer::new();
    let app = AuthenticatorApp::enroll(&server.central());
    server.instance.keys.create(crate::values::Timestamp::now()).unwrap();
    super::reseal(&server.instance).unwrap();
    server.instance.keys.delete_old().unwrap();
    answer(&server, "localhost", &challenge(&server, "localhost"), &app.code()).ok();
}

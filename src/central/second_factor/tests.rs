use serde_json::{Value, json};

use crate::api::Error;
use crate::auth::Scope;
use crate::testing::{Answer, App, Bench, Client, PASSWORD};

fn login(bench: &Bench, host: &str) -> Answer {
    let body = json!({"email": "owner@example.com", "password": PASSWORD});
    bench.nobody().at(host).post("/login", body)
}

fn challenge(bench: &Bench, host: &str) -> Value {
    let answer = login(bench, host);
    answer.refused(401, "second_factor_required");
    answer.json()["challenge"].clone()
}

fn answer(bench: &Bench, host: &str, challenge: &Value, code: &str) -> Answer {
    bench.nobody().at(host).post("/login/second-factor", json!({"challenge": challenge, "code": code}))
}

#[test]
fn a_login_takes_two_steps_on_both_layers_and_tokens_that_exist_go_on() {
    let bench = Bench::new();
    let (me, key) = (bench.central(), bench.key(&["customer.view"], None));
    let app = App::enroll(&me);
    assert_eq!(app.recovery_codes.len(), 10);
    let said = answer(&bench, "localhost", &challenge(&bench, "localhost"), &app.code()).ok();
    assert_eq!((&said["token_type"], &said["user"]["email"]), (&json!("Bearer"), &json!("owner@example.com")));
    bench.nobody().signed_in(&said).get("/whoami").ok();
    let inside = answer(&bench, "acme.localhost", &challenge(&bench, "acme.localhost"), &app.code()).ok();
    bench.nobody().at("acme.localhost").signed_in(&inside).get("/customers").ok();
    me.get("/whoami").ok();
    key.get("/customers").ok();
    bench.oauth(&["customer.view"], None).get("/customers").ok();
    // A challenge is valid only on the host that issued it.
    let elsewhere = challenge(&bench, "acme.localhost");
    for host in ["localhost", "other.localhost"] {
        answer(&bench, host, &elsewhere, &app.recovery_codes[0]).refused(401, "invalid_challenge");
    }
}

#[test]
fn no_code_is_good_twice() {
    let bench = Bench::new();
    let app = App::enroll(&bench.central());
    let (code, recovery) = (app.code(), app.recovery_codes[0].replace('-', " ").to_uppercase());
    for code in [&code, &recovery] {
        let spaced = format!(" {} {}", &code[..3], &code[3..]);
        answer(&bench, "localhost", &challenge(&bench, "localhost"), &spaced).ok();
        answer(&bench, "localhost", &challenge(&bench, "localhost"), code).refused(401, "invalid_code");
    }
    assert_eq!(bench.central().get("/account/second-factor").ok()["recovery_codes_left"], 9);
}

#[test]
fn a_challenge_is_good_for_five_codes_and_five_minutes_and_once() {
    let bench = Bench::new();
    let app = App::enroll(&bench.central());
    let given = challenge(&bench, "localhost");
    for wrong in ["000000", "x", "000001", "a b", "12345"] {
        answer(&bench, "localhost", &given, wrong).refused(401, "invalid_code");
    }
    answer(&bench, "localhost", &given, &app.recovery_codes[0]).refused(401, "invalid_challenge");
    let old = challenge(&bench, "localhost");
    let sql = "UPDATE login_challenges SET expires_at = expires_at - 301";
    bench.engine.central.write(move |db| Ok::<_, Error>(db.execute(sql, [])?)).unwrap();
    answer(&bench, "localhost", &old, &app.recovery_codes[0]).refused(401, "invalid_challenge");
    let good = challenge(&bench, "localhost");
    answer(&bench, "localhost", &good, &app.recovery_codes[0]).ok();
    answer(&bench, "localhost", &good, &app.recovery_codes[1]).refused(401, "invalid_challenge");
    answer(&bench, "localhost", &json!("made-up"), &app.recovery_codes[1]).refused(401, "invalid_challenge");
}

#[test]
fn guesses_at_codes_are_throttled_over_all_challenges() {
    let bench = Bench::with(&[("throttle_attempts", "3")]);
    let app = App::enroll(&bench.central());
    for wrong in ["000000", "000001", "000002"] {
        answer(&bench, "localhost", &challenge(&bench, "localhost"), wrong).refused(401, "invalid_code");
    }
    let given = challenge(&bench, "localhost");
    answer(&bench, "localhost", &given, &app.recovery_codes[0]).refused(429, "too_many_requests");
}

#[test]
fn it_is_added_with_the_password_and_a_code_and_removed_with_both() {
    let bench = Bench::new();
    let me = bench.central();
    let enroll = |body: Value| me.post("/account/second-factor", body);
    enroll(json!({})).invalid(&["The current password field is required."]);
    enroll(json!({"current_password": "wrong"})).refused(401, "invalid_credentials");
    enroll(json!({"code": "123456"})).refused(422, "no_enrollment");
    let begun = enroll(json!({"current_password": PASSWORD})).created();
    let url = begun["otpauth_url"].as_str().unwrap();
    assert!(url.starts_with("otpauth://totp/") && url.contains(begun["secret"].as_str().unwrap()), "{url}");
    assert!(begun["qr_code"].as_str().unwrap().starts_with("<svg "), "{begun}");
    enroll(json!({"code": "000000"})).invalid(&["The selected code is invalid."]);
    login(&bench, "localhost").ok();

    let app = App::enroll(&me);
    enroll(json!({"current_password": PASSWORD})).refused(422, "second_factor_enabled");
    let remove = |password: &str, code: &str| {
        me.delete_with("/account/second-factor", json!({"current_password": password, "code": code}))
    };
    remove("wrong", &app.recovery_codes[0]).refused(401, "invalid_credentials");
    remove(PASSWORD, "000000").refused(401, "invalid_code");
    let renewed = me.post("/account/second-factor/recovery-codes", json!({"code": app.code()})).created();
    remove(PASSWORD, &app.recovery_codes[0]).refused(401, "invalid_code");
    remove(PASSWORD, renewed["recovery_codes"][0].as_str().unwrap()).ok();
    assert_eq!(me.get("/account/second-factor").ok()["enabled"], false);
    login(&bench, "localhost").ok();
    remove(PASSWORD, "000000").refused(422, "no_second_factor");
    let subjects: Vec<String> = bench.mails().into_iter().map(|mail| mail.subject).collect();
    for told in ["was added", "recovery codes", "was removed"] {
        assert!(subjects.iter().any(|subject| subject.contains(told)), "{told}: {subjects:?}");
    }
}

#[test]
fn a_workspace_may_require_it_of_its_members() {
    let bench = Bench::new();
    let (agent, key) = (bench.with_role("agent"), bench.key(&["*"], None));
    let central = bench.nobody().with_token(bench.token("agent@example.com", Scope::Central));
    let program = central.post("/tokens", json!({"label": "nightly", "workspace_id": bench.acme.id})).created();
    let app = App::enroll(&bench.central());
    let admin = bench.admin();
    admin.put("/settings", json!({"require_second_factor": true})).created();
    agent.get("/customers").refused(403, "second_factor_required");
    agent.get("/whoami").refused(403, "second_factor_required");
    let enter = |client: &Client<'_>| client.post("/switch-to", json!({"workspace_id": bench.acme.id}));
    enter(&central).refused(403, "second_factor_required");
    let made = json!({"label": "n", "workspace_id": bench.acme.id});
    central.post("/tokens", made).refused(403, "second_factor_required");
    let body = json!({"email": "agent@example.com", "password": PASSWORD});
    bench.nobody().at("acme.localhost").post("/login", body).refused(403, "second_factor_required");
    // Other members are not affected, and neither is the agent in other workspaces or with a second factor.
    admin.get("/customers").ok();
    key.get("/customers").ok();
    bench.nobody().at("acme.localhost").signed_in(&program).get("/customers").ok();
    agent.post("/switch-to", json!({})).ok();
    App::enroll(&central);
    agent.get("/customers").ok();
    enter(&central).ok();
    drop(app);
}

#[test]
fn a_server_may_require_it_of_its_operators() {
    let bench = Bench::with(&[("operator_second_factor", "true")]);
    let me = bench.central();
    for path in ["/instance", "/accounts", "/workspaces?scope=all"] {
        me.get(path).refused(403, "second_factor_required");
    }
    me.get("/workspaces").ok();
    App::enroll(&me);
    for path in ["/instance", "/accounts", "/workspaces?scope=all"] {
        me.get(path).ok();
    }
}

#[test]
fn an_operator_resets_what_somebody_has_lost_and_the_log_says_so() {
    let bench = Bench::new();
    let stranger = bench.stranger();
    App::enroll(&stranger);
    let id = stranger.get("/whoami").ok()["user"]["id"].clone();
    let path = format!("/accounts/{id}/second-factor");
    stranger.delete(&path).refused(403, "forbidden");
    bench.central().delete(&path).ok();
    bench.central().delete(&path).refused(422, "no_second_factor");
    bench.central().delete("/accounts/999/second-factor").refused(404, "not_found");
    let log = stranger.get("/audit-log?filter[action]=second_factor.reset").ok();
    let entry = &log["data"][0];
    assert_eq!((&entry["actor"]["email"], &entry["account"]["id"]), (&json!("owner@example.com"), &id));
    assert_eq!(bench.mails().pop().unwrap().to.to_string(), "stranger@example.com");
}

#[test]
fn it_outlives_the_keys_that_sealed_it() {
    let bench = Bench::new();
    let app = App::enroll(&bench.central());
    bench.engine.keys.make(crate::values::Timestamp::now()).unwrap();
    super::reseal(&bench.engine).unwrap();
    bench.engine.keys.retire().unwrap();
    answer(&bench, "localhost", &challenge(&bench, "localhost"), &app.code()).ok();
}

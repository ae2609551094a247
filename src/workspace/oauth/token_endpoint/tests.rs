use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use super::*;
use crate::api::MediaType;
use crate::tests::{TestClient as Caller, TestServer};
use crate::values::Timestamp;
use crate::workspace::oauth::grants::Approval;

const URI: &str = "https://pbx.example.com/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The challenge of that verifier (RFC 7636, appendix B).
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Creates a client in `acme`. The response has its id, `client_id` and secret.
fn client(server: &TestServer, more: Value) -> Value {
    let mut body = json!({
        "name": "3CX", "redirect_uris": [URI], "grants": ["authorization_code", "client_credentials"],
        "scopes": ["client", "crm", "contact.view", "contact.create"],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.admin().post("/oauth-clients", body).created()
}

fn public(server: &TestServer) -> Value {
    client(server, json!({"confidential": false, "grants": ["authorization_code"]}))
}

/// The code of an approval by user 1, the owner and an admin.
fn code(server: &TestServer, client: &Value, challenge: Option<&str>) -> String {
    code_at(server, client, challenge, 1, Timestamp::now())
}

fn code_at(server: &TestServer, client: &Value, challenge: Option<&str>, user_id: i64, now: Timestamp) -> String {
    let approval = Approval {
        client_id: client["id"].as_i64().unwrap(),
        user_id,
        redirect_uri: URI.into(),
        scopes: Scopes::parse("contact.view crm client").unwrap(),
        challenge: challenge.map(str::to_owned),
    };
    let recorder = ChangeRecorder { at: now, ..server.recorder() };
    server.in_file(move |db| grants::approve(db, &recorder, &approval))
}

fn anyone(server: &TestServer) -> Caller<'_> {
    server.anonymous().at("acme.localhost")
}

fn ask(server: &TestServer, client: &Value, path: &str, body: Value) -> crate::tests::TestResponse {
    let mut all = json!({"client_id": client["client_id"]});
    if let Some(secret) = client["client_secret"].as_str() {
        all["client_secret"] = json!(secret);
    }
    all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    anyone(server).post(path, all)
}

fn exchange(server: &TestServer, client: &Value, code: &str) -> crate::tests::TestResponse {
    let body = json!({"grant_type": "authorization_code", "redirect_uri": URI, "code": code});
    ask(server, client, "/oauth/token", body)
}

fn refresh(server: &TestServer, client: &Value, token: &Value) -> crate::tests::TestResponse {
    ask(server, client, "/oauth/token", json!({"grant_type": "refresh_token", "refresh_token": token}))
}

fn with<'b>(server: &'b TestServer, pair: &Value) -> Caller<'b> {
    anyone(server).with_token(pair["access_token"].as_str().unwrap().to_owned())
}

#[track_caller]
fn refused(answer: &crate::tests::TestResponse, status: u16, code: &str) {
    answer.rejected(status, code);
    assert!(answer.json()["error_description"].is_string() && answer.json()["message"].is_string());
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
}

#[test]
fn a_code_is_exchanged_once_and_its_second_use_ends_what_it_gave() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let code = code(&server, &client, None);
    let answer = exchange(&server, &client, &code);
    let pair = answer.ok();
    assert_eq!((&pair["token_type"], &pair["expires_in"]), (&json!("Bearer"), &json!(31_536_000)));
    assert_eq!(pair["scope"], "contact.view crm client");
    assert_eq!(
        (&answer.headers[header::CACHE_CONTROL], &answer.headers[header::PRAGMA]),
        (&HeaderValue::from_static("no-store"), &HeaderValue::from_static("no-cache"))
    );
    with(&server, &pair).get("/contacts").ok();
    with(&server, &pair).post("/contacts", json!({"last_name": "B"})).rejected(403, "missing_permission");

    refused(&exchange(&server, &client, &code), 400, "invalid_grant");
    with(&server, &pair).get("/contacts").rejected(401, "token_revoked");
    refused(&refresh(&server, &client, &pair["refresh_token"]), 400, "invalid_grant");
}

#[test]
fn a_code_is_for_its_client_its_uri_and_a_minute() {
    let server = TestServer::new();
    let (client, other) = (client(&server, json!({})), client(&server, json!({"name": "Other"})));
    let good = code(&server, &client, None);
    refused(&exchange(&server, &other, &good), 400, "invalid_grant");
    let elsewhere = json!({"grant_type": "authorization_code", "redirect_uri": format!("{URI}/"), "code": good});
    refused(&ask(&server, &client, "/oauth/token", elsewhere), 400, "invalid_grant");
    let unsaid = json!({"grant_type": "authorization_code", "code": good});
    refused(&ask(&server, &client, "/oauth/token", unsaid), 400, "invalid_request");
    let old = code_at(&server, &client, None, 1, Timestamp::now().plus(-61));
    refused(&exchange(&server, &client, &old), 400, "invalid_grant");
    refused(&exchange(&server, &client, "made-up"), 400, "invalid_grant");
    // The failed attempts did not use the code.
    exchange(&server, &client, &good).ok();
}

#[test]
fn a_challenge_wants_its_verifier_and_a_verifier_its_challenge() {
    let server = TestServer::new();
    let client = public(&server);
    let try_with = |code: &str, verifier: Option<&str>| {
        let body =
            json!({"grant_type": "authorization_code", "redirect_uri": URI, "code": code, "code_verifier": verifier});
        ask(&server, &client, "/oauth/token", body)
    };
    let challenged = code(&server, &client, Some(CHALLENGE));
    refused(&try_with(&challenged, None), 400, "invalid_grant");
    refused(&try_with(&challenged, Some(CHALLENGE)), 400, "invalid_grant");
    try_with(&challenged, Some(VERIFIER)).ok();
    let plain = code(&server, &client, None);
    refused(&try_with(&plain, Some(VERIFIER)), 400, "invalid_grant");
}

#[test]
fn a_refresh_token_gives_the_next_pair_once_and_its_reuse_ends_the_family() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let first = exchange(&server, &client, &code(&server, &client, None)).ok();
    let second = refresh(&server, &client, &first["refresh_token"]).ok();
    assert_eq!(second["scope"], first["scope"]);
    with(&server, &first).get("/contacts").rejected(401, "token_revoked");
    with(&server, &second).get("/contacts").ok();

    let other = self::client(&server, json!({"name": "Other"}));
    refused(&refresh(&server, &other, &second["refresh_token"]), 400, "invalid_grant");
    let narrower = json!({"grant_type": "refresh_token", "refresh_token": second["refresh_token"], "scope": "crm"});
    let third = ask(&server, &client, "/oauth/token", narrower).ok();
    assert_eq!(third["scope"], "crm");
    with(&server, &third).get("/contacts").rejected(403, "missing_permission");
    let wider =
        json!({"grant_type": "refresh_token", "refresh_token": third["refresh_token"], "scope": "customer.view"});
    refused(&ask(&server, &client, "/oauth/token", wider), 400, "invalid_scope");
    // The scopes of the grant itself were not reduced (RFC 6749, 6).
    let fourth = refresh(&server, &client, &third["refresh_token"]).ok();
    assert_eq!(fourth["scope"], first["scope"]);

    refused(&refresh(&server, &client, &second["refresh_token"]), 400, "invalid_grant");
    with(&server, &fourth).get("/contacts").rejected(401, "token_revoked");
    refused(&refresh(&server, &client, &fourth["refresh_token"]), 400, "invalid_grant");
}

#[test]
fn a_client_asks_for_itself_within_its_scopes() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let body = |scope: &str| json!({"grant_type": "client_credentials", "scope": scope});
    let all = ask(&server, &client, "/oauth/token", body("")).ok();
    assert_eq!((&all["scope"], all.get("refresh_token")), (&json!("client crm contact.view contact.create"), None));
    with(&server, &all).post("/contacts", json!({"last_name": "B"})).created();
    let few = ask(&server, &client, "/oauth/token", body("contact.view")).ok();
    with(&server, &few).post("/contacts", json!({"last_name": "B"})).rejected(403, "missing_permission");
    for scope in ["customer.view", "contact.*", "*", "nonsense"] {
        refused(&ask(&server, &client, "/oauth/token", body(scope)), 400, "invalid_scope");
    }
    let public = public(&server);
    refused(&ask(&server, &public, "/oauth/token", body("")), 400, "unauthorized_client");
    let told = server.admin().get("/audit-log?filter[resource]=contact").ok();
    assert_eq!(told["data"][0]["actor"], json!({"type": "oauth-client", "id": client["id"], "name": "3CX"}));
}

#[test]
fn a_token_does_no_more_than_the_person_may_and_ends_with_them() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let user = server.join_acme("zoe@example.com", "agent");
    let pair = exchange(&server, &client, &code_at(&server, &client, None, user, Timestamp::now())).ok();
    with(&server, &pair).get("/contacts").ok();
    let whoami = with(&server, &pair).get("/whoami").ok();
    assert_eq!((&whoami["user"]["id"], &whoami["role"]), (&json!(user), &Value::Null));
    assert_eq!(whoami["permissions"], json!(["contact.view", "crm.lookup"]));
    let nothing = server.admin().post("/roles", json!({"name": "Nothing", "permissions": []})).created()["id"].clone();
    server.admin().put(&format!("/users/{user}"), json!({"role_id": nothing})).created();
    with(&server, &pair).get("/contacts").rejected(403, "missing_permission");
    server.admin().delete(&format!("/users/{user}")).ok();
    with(&server, &pair).get("/contacts").rejected(401, "token_revoked");
}

#[test]
fn a_client_that_may_less_has_less_with_the_tokens_that_it_has() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let pair = exchange(&server, &client, &code(&server, &client, None)).ok();
    let own = ask(&server, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
    let shown =
        |token: &Value| ask(&server, &client, "/oauth/introspect", json!({"token": token})).ok()["scope"].clone();
    let path = format!("/oauth-clients/{}", client["id"]);
    server.admin().put(&path, json!({"scopes": ["client", "crm"]})).created();
    for token in [&pair, &own] {
        with(&server, token).get("/contacts").rejected(403, "missing_permission");
        with(&server, token).post("/contacts", json!({"last_name": "B"})).rejected(403, "missing_permission");
    }
    assert_eq!(shown(&pair["access_token"]), "crm client");
    assert_eq!(shown(&pair["refresh_token"]), "crm client");
    let wider = json!({"grant_type": "refresh_token", "refresh_token": pair["refresh_token"], "scope": "contact.view"});
    refused(&ask(&server, &client, "/oauth/token", wider), 400, "invalid_scope");
    let next = refresh(&server, &client, &pair["refresh_token"]).ok();
    assert_eq!(next["scope"], "crm client");
    // The approved scopes are effective again once the client may have them again.
    server.admin().put(&path, json!({"scopes": ["client", "crm", "contact.view", "customer.view"]})).created();
    let again = refresh(&server, &client, &next["refresh_token"]).ok();
    assert_eq!(again["scope"], "contact.view crm client");
    with(&server, &again).get("/contacts").ok();
}

#[test]
fn a_grant_is_what_its_page_showed_whatever_the_person_may_later() {
    let server = TestServer::new();
    let client = client(&server, json!({"scopes": ["contact.view", "contact.delete", "role.manage"]}));
    let user = server.join_acme("zoe@example.com", "agent");
    let page = format!(
        "/oauth/authorize?client_id={}&redirect_uri={URI}&response_type=code",
        client["client_id"].as_str().unwrap()
    );
    let pair = exchange(&server, &client, &server.approve("zoe@example.com", &page)).ok();
    assert_eq!(pair["scope"], "contact.view");
    server.admin().put(&format!("/users/{user}"), json!({"role_id": 1})).created();
    let next = refresh(&server, &client, &pair["refresh_token"]).ok();
    assert_eq!(next["scope"], "contact.view");
    with(&server, &next).get("/contacts").ok();
    with(&server, &next).post("/roles", json!({"name": "Mine"})).rejected(403, "missing_permission");
    let approved = server.admin().get("/audit-log?filter[action]=oauth-grant.created").ok()["data"][0].clone();
    assert_eq!((&approved["actor"]["id"], &approved["address"]), (&json!(user), &json!("127.0.0.1")));
    assert_eq!(approved["changes"]["scopes"], json!([null, ["contact.view"]]));
}

#[test]
fn everybody_sees_and_ends_their_own_grants_and_who_changes_clients_all() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let user = server.join_acme("agent@example.com", "agent");
    let get = |user: i64| exchange(&server, &client, &code_at(&server, &client, None, user, Timestamp::now())).ok();
    let (owners, agents) = (get(1), get(user));
    let agent = server.with_role("agent");
    let seen = |who: &Caller<'_>| {
        let listed = who.get("/oauth-grants?sort=id").ok();
        listed["data"].as_array().unwrap().iter().map(|grant| grant["user"]["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&server.admin()), [json!(1), json!(user)]);
    assert_eq!(seen(&agent), [json!(user)]);
    let shown = agent.get("/oauth-grants").ok()["data"][0].clone();
    assert_eq!(
        (&shown["client"]["name"], &shown["scopes"]),
        (&json!("3CX"), &json!(["contact.view", "crm", "client"]))
    );
    agent.delete("/oauth-grants/1").rejected(403, "missing_permission");
    agent.delete("/oauth-grants/9").rejected(403, "missing_permission");
    agent.delete(&format!("/oauth-grants/{}", shown["id"])).ok();
    with(&server, &agents).get("/contacts").rejected(401, "token_revoked");
    refused(&refresh(&server, &client, &agents["refresh_token"]), 400, "invalid_grant");
    assert!(seen(&agent).is_empty());
    with(&server, &owners).get("/contacts").ok();
    // A user cannot revoke a grant with scopes that they do not have.
    server.with_only(&["oauth-client.update"]).delete("/oauth-grants/1").rejected(403, "missing_permission");
    server.admin().delete("/oauth-grants/1").ok();
    server.admin().delete("/oauth-grants/1").rejected(404, "not_found");
    with(&server, &owners).get("/contacts").rejected(401, "token_revoked");
    assert_eq!(server.admin().get("/audit-log?filter[action]=oauth-grant.deleted").ok()["total"], 2);
}

#[test]
fn every_grant_of_an_account_ends_with_its_codes() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let user = server.join_acme("zoe@example.com", "agent");
    let new_code = |user: i64| code_at(&server, &client, None, user, Timestamp::now());
    let (theirs, others) =
        (exchange(&server, &client, &new_code(user)).ok(), exchange(&server, &client, &new_code(1)).ok());
    let unused = new_code(user);
    let recorder = ChangeRecorder { at: Timestamp::now(), ..server.recorder() };
    server.in_file(move |db| {
        let account = db.query_row("SELECT account_id FROM users WHERE id = ?1", [user], |row| row.get(0))?;
        Ok(crate::tenancy::grant_revocation::end_all_of(db, &recorder, account)?)
    });
    with(&server, &theirs).get("/contacts").rejected(401, "token_revoked");
    refused(&refresh(&server, &client, &theirs["refresh_token"]), 400, "invalid_grant");
    refused(&exchange(&server, &client, &unused), 400, "invalid_grant");
    with(&server, &others).get("/contacts").ok();
}

/// As after a restore: later grants are gone, and their ids are reused.
#[test]
fn a_token_of_a_grant_that_was_undone_is_not_the_next_grants() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let before = exchange(&server, &client, &code(&server, &client, None)).ok();
    server.in_file(|db| {
        db.execute("DELETE FROM oauth_grants", [])?;
        Ok(db.execute("DELETE FROM sqlite_sequence WHERE name = 'oauth_grants'", [])?)
    });
    let after = exchange(&server, &client, &code(&server, &client, None)).ok();
    with(&server, &after).get("/contacts").ok();
    with(&server, &before).get("/contacts").rejected(401, "token_revoked");
    let look =
        |token: &Value| ask(&server, &client, "/oauth/introspect", json!({"token": token})).ok()["active"].clone();
    assert_eq!((look(&before["access_token"]), look(&after["access_token"])), (json!(false), json!(true)));
    refused(&refresh(&server, &client, &before["refresh_token"]), 400, "invalid_grant");
}

#[test]
fn a_client_or_the_server_says_how_long_a_token_is_good() {
    let server = TestServer::with(&[("oauth_access_token_ttl", "7200")]);
    let client = client(&server, json!({}));
    let wish = json!({"grant_type": "client_credentials"});
    let lasts = || ask(&server, &client, "/oauth/token", wish.clone()).ok();
    assert_eq!(lasts()["expires_in"], 7200);
    let path = format!("/oauth-clients/{}", client["id"]);
    assert_eq!(server.admin().put(&path, json!({"access_token_ttl": 60})).created()["access_token_ttl"], 60);
    let short = lasts();
    assert_eq!(short["expires_in"], 60);
    let end = ask(&server, &client, "/oauth/introspect", json!({"token": short["access_token"]})).ok()["exp"].clone();
    assert!((50..=60).contains(&(end.as_i64().unwrap() - Timestamp::now().seconds())), "{end}");
    server
        .admin()
        .put(&path, json!({"access_token_ttl": 59}))
        .invalid(&["The access token ttl must be between 60 and 31536000."]);
    server.admin().put(&path, json!({"access_token_ttl": null})).created();
    assert_eq!(lasts()["expires_in"], 7200);
}

#[test]
fn a_client_that_is_off_or_gone_takes_its_tokens_with_it() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let token = ask(&server, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
    let path = format!("/oauth-clients/{}", client["id"]);
    server.admin().put(&path, json!({"active": false})).created();
    with(&server, &token).get("/contacts").rejected(401, "token_revoked");
    refused(&ask(&server, &client, "/oauth/token", json!({"grant_type": "client_credentials"})), 401, "invalid_client");
    server.admin().put(&path, json!({"active": true})).created();
    with(&server, &token).get("/contacts").ok();
    server.admin().delete(&path).ok();
    with(&server, &token).get("/contacts").rejected(401, "token_revoked");
}

#[test]
fn an_access_token_is_a_workspaces_alone_and_no_persons() {
    let server = TestServer::new();
    let client = client(&server, json!({"scopes": ["customer.view"]}));
    let token = ask(&server, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
    let text = token["access_token"].as_str().unwrap().to_owned();
    let token = with(&server, &token);
    token.get("/customers").ok();
    // From the central host the token reaches routes that only a workspace has.
    server.anonymous().with_token(text.clone()).get("/customers").ok();
    server.anonymous().with_token(text.clone()).get("/workspaces").rejected(401, "wrong_token_scope");
    server
        .anonymous()
        .at("other.localhost")
        .with_token(text.clone())
        .get("/customers")
        .rejected(401, "wrong_token_scope");
    token.post("/switch-to", json!({})).rejected(403, "forbidden");
    token.post("/logout", json!({})).rejected(403, "forbidden");
}

#[test]
fn a_client_proves_who_it_is_by_basic_or_in_the_body_and_not_by_both() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let (id, secret) = (client["client_id"].as_str().unwrap(), client["client_secret"].as_str().unwrap());
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let try_with = |authorization: &str, body: Value| {
        anyone(&server).with_header("authorization", authorization).post("/oauth/token", body)
    };
    let wish = json!({"grant_type": "client_credentials"});
    try_with(&basic(&format!("{id}:{secret}")), wish.clone()).ok();
    // Form-encoded inside (RFC 6749, 2.3.1).
    try_with(&basic(&format!("{}:{secret}", id.replace('_', "%5F"))), wish.clone()).ok();
    let unknown = try_with(&basic(&format!("{id}:wrong")), wish.clone());
    refused(&unknown, 401, "invalid_client");
    assert_eq!(unknown.headers[header::WWW_AUTHENTICATE], "Basic realm=\"oauth\"");
    for malformed in ["Basic ????", "Basic bm9jb2xvbg=="] {
        refused(&try_with(malformed, wish.clone()), 401, "invalid_client");
    }
    let twice = json!({"grant_type": "client_credentials", "client_secret": secret});
    refused(&try_with(&basic(&format!("{id}:{secret}")), twice), 400, "invalid_request");
    for (named, with_secret) in [
        (json!(id), json!("wrong")),
        (json!(id), Value::Null),
        (json!("nobody"), json!(secret)),
        (Value::Null, Value::Null),
    ] {
        let body = json!({"grant_type": "client_credentials", "client_id": named, "client_secret": with_secret});
        let answer = anyone(&server).post("/oauth/token", body);
        refused(&answer, 401, "invalid_client");
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Basic realm=\"oauth\"");
    }
    // A parameter without a value counts as absent (RFC 6749, 3.2). A public client has no secret.
    let form = [("grant_type", "client_credentials"), ("client_secret", ""), ("client_id", ""), ("scope", "")];
    let by_basic = anyone(&server).with_header("authorization", &basic(&format!("{id}:{secret}")));
    by_basic.submit("/oauth/token", &form).ok();
    let public = public(&server);
    let code = code(&server, &public, None);
    let named = basic(&format!("{}:", public["client_id"].as_str().unwrap()));
    let form = [("grant_type", "authorization_code"), ("redirect_uri", URI), ("code", &code), ("client_secret", "")];
    anyone(&server).with_header("authorization", &named).submit("/oauth/token", &form).ok();
    refused(&try_with(&basic(&format!("{id}:")), wish.clone()), 401, "invalid_client");
    let new = server.admin().post(&format!("/oauth-clients/{}/rotate-secret", client["id"]), json!({})).created();
    refused(&try_with(&basic(&format!("{id}:{secret}")), wish.clone()), 401, "invalid_client");
    ask(&server, &new, "/oauth/token", wish).ok();
}

#[test]
fn what_is_no_request_for_a_token_is_refused_in_the_words_of_oauth() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    refused(&ask(&server, &client, "/oauth/token", json!({})), 400, "invalid_request");
    refused(&ask(&server, &client, "/oauth/token", json!({"grant_type": "password"})), 400, "unsupported_grant_type");
    refused(&ask(&server, &client, "/oauth/token", json!({"grant_type": 1})), 400, "invalid_request");
    refused(&ask(&server, &client, "/oauth/token", json!({"grant_type": "refresh_token"})), 400, "invalid_request");
    refused(&anyone(&server).ask(Method::POST, "/oauth/token", "application/json", "{"), 400, "invalid_request");
    for kind in ["", "text/plain", "application/xml"] {
        let form = format!("grant_type=client_credentials&client_id={}", client["client_id"].as_str().unwrap());
        for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
            refused(&anyone(&server).ask(Method::POST, path, kind, form.clone()), 400, "invalid_request");
        }
    }
    let bad = b"grant_type=\xff".to_vec();
    refused(&anyone(&server).ask(Method::POST, "/oauth/token", MediaType::Form.name(), bad), 400, "invalid_request");
    let twice = [("grant_type", "client_credentials"), ("grant_type", "client_credentials")];
    refused(&anyone(&server).submit("/oauth/token", &twice), 400, "invalid_request");
    let limited = self::client(&server, json!({"grants": ["client_credentials"], "redirect_uris": []}));
    refused(&exchange(&server, &limited, "x"), 400, "unauthorized_client");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client["client_id"].as_str().unwrap()),
        ("client_secret", client["client_secret"].as_str().unwrap()),
    ];
    anyone(&server).submit("/oauth/token", &form).ok();
}

#[test]
fn either_token_is_given_back_and_ends_its_grant() {
    let server = TestServer::new();
    let (client, other) = (client(&server, json!({})), client(&server, json!({"name": "Other"})));
    for which in ["access_token", "refresh_token"] {
        let pair = exchange(&server, &client, &code(&server, &client, None)).ok();
        let give_back = |client: &Value| ask(&server, client, "/oauth/revoke", json!({"token": pair[which]}));
        refused(&give_back(&other), 400, "invalid_grant");
        with(&server, &pair).get("/contacts").ok();
        give_back(&client).ok();
        with(&server, &pair).get("/contacts").rejected(401, "token_revoked");
        refused(&refresh(&server, &client, &pair["refresh_token"]), 400, "invalid_grant");
        give_back(&client).ok();
    }
    ask(&server, &client, "/oauth/revoke", json!({"token": "made up"})).ok();
    refused(&ask(&server, &client, "/oauth/revoke", json!({})), 400, "invalid_request");
    refused(&anyone(&server).post("/oauth/revoke", json!({"token": "x"})), 401, "invalid_client");
}

#[test]
fn a_client_looks_into_its_own_tokens_alone() {
    let server = TestServer::new();
    let (client, other) = (client(&server, json!({})), client(&server, json!({"name": "Other"})));
    let pair = exchange(&server, &client, &code(&server, &client, None)).ok();
    let look = |client: &Value, token: &Value| ask(&server, client, "/oauth/introspect", json!({"token": token}));
    let seen = look(&client, &pair["access_token"]).ok();
    assert_eq!(
        (&seen["active"], &seen["scope"], &seen["client_id"]),
        (&json!(true), &pair["scope"], &client["client_id"])
    );
    assert_eq!((&seen["username"], &seen["sub"]), (&json!("owner@example.com"), &json!("1")));
    assert_eq!((&seen["token_type"], &seen["iss"]), (&json!("Bearer"), &json!("http://acme.localhost")));
    assert_eq!(look(&client, &pair["refresh_token"]).ok()["active"], true);
    let inactive = json!({"active": false});
    assert_eq!(look(&other, &pair["access_token"]).ok(), inactive);
    assert_eq!(look(&client, &json!("made up")).ok(), inactive);
    refused(&look(&public(&server), &pair["access_token"]), 401, "invalid_client");
    let next = refresh(&server, &client, &pair["refresh_token"]).ok();
    assert_eq!(look(&client, &pair["access_token"]).ok(), inactive);
    assert_eq!(look(&client, &next["access_token"]).ok()["active"], true);
    ask(&server, &client, "/oauth/revoke", json!({"token": next["access_token"]})).ok();
    assert_eq!(look(&client, &next["access_token"]).ok(), inactive);
}

#[test]
fn no_secret_and_no_token_is_kept_as_it_is() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let code = code(&server, &client, None);
    let pair = exchange(&server, &client, &code).ok();
    let kept = server.in_file(|db| {
        let mut all = String::new();
        for table in ["oauth_clients", "oauth_grants", "oauth_codes", "oauth_refresh_tokens", "audit_log"] {
            let mut statement = db.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                (0..columns).for_each(|column| all.push_str(&format!("{:?}", row.get_ref(column))));
            }
        }
        Ok(all)
    });
    for secret in [&client["client_secret"], &pair["access_token"], &pair["refresh_token"], &json!(code)] {
        let bytes = format!("{:?}", secret.as_str().unwrap().as_bytes());
        assert!(!kept.contains(secret.as_str().unwrap()) && !kept.contains(&bytes), "{secret}");
    }
}

#[test]
fn what_a_client_got_for_itself_does_not_pile_up() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let first = ask(&server, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
    for _ in 0..100 {
        ask(&server, &client, "/oauth/token", json!({"grant_type": "client_credentials"})).ok();
    }
    with(&server, &first).get("/contacts").rejected(401, "token_revoked");
    let grants =
        server.in_file(|db| Ok(db.query_row("SELECT count(*) FROM oauth_grants", [], |row| row.get::<_, i64>(0))?));
    assert_eq!(grants, 100);
}

#[test]
fn programs_find_out_where_everything_is() {
    let server = TestServer::new();
    let told = anyone(&server).get("/.well-known/oauth-authorization-server").ok();
    assert_eq!(told["issuer"], "http://acme.localhost");
    assert_eq!(told["token_endpoint"], "http://acme.localhost/oauth/token");
    assert_eq!(told["code_challenge_methods_supported"], json!(["S256"]));
    assert!(told["scopes_supported"].as_array().unwrap().contains(&json!("crm")));
}

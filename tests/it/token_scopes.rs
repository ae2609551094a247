//! Token scopes: every kind of token, on every host, on every kind of path.

use serde_json::{Value, json};

use crate::client::Request;
use crate::test_server::{TestServer, Who, at, central, sqlite};

/// A status, and the code of the error if it is one.
type Expected = (u16, &'static str);

const GOOD: Expected = (200, "");
const MISSING: Expected = (401, "token_missing");
const INVALID: Expected = (401, "token_invalid");
const WRONG: Expected = (401, "wrong_token_scope");
const NO_ROUTE: Expected = (404, "route_not_found");

/// A route of the central API alone; a route of both layers that follows the token; a route of a workspace alone; a
/// route of both layers that exchanges tokens.
const PATHS: [(&str, &str); 4] =
    [("GET", "/workspaces"), ("GET", "/whoami"), ("GET", "/customers"), ("POST", "/switch-to")];

/// For each host and each of `PATHS`: no token, garbage, a central token, a token of acme, a token of zeta.
#[rustfmt::skip]
const TABLE: [(&str, [[Expected; 5]; 4]); 3] = [
    ("localhost", [
        [MISSING,  INVALID,  GOOD,     WRONG,    WRONG],
        [MISSING,  INVALID,  GOOD,     GOOD,     GOOD],
        [MISSING,  INVALID,  WRONG,    GOOD,     GOOD],
        [MISSING,  INVALID,  GOOD,     GOOD,     GOOD],
    ]),
    ("acme.localhost", [
        [NO_ROUTE, NO_ROUTE, NO_ROUTE, NO_ROUTE, NO_ROUTE],
        [MISSING,  INVALID,  WRONG,    GOOD,     WRONG],
        [MISSING,  INVALID,  WRONG,    GOOD,     WRONG],
        [MISSING,  INVALID,  WRONG,    GOOD,     WRONG],
    ]),
    ("zeta.localhost", [
        [NO_ROUTE, NO_ROUTE, NO_ROUTE, NO_ROUTE, NO_ROUTE],
        [MISSING,  INVALID,  WRONG,    WRONG,    GOOD],
        [MISSING,  INVALID,  WRONG,    WRONG,    GOOD],
        [MISSING,  INVALID,  WRONG,    WRONG,    GOOD],
    ]),
];

#[test]
fn a_token_opens_what_its_scope_says_and_nothing_else() {
    let server = TestServer::new();
    let owner = server.register("ada");
    let [acme, zeta] = ["acme", "zeta"].map(|name| server.enter(&owner, &server.workspace(&owner, name)));
    let tokens = [None, Some("v4.local.garbage".to_owned()), owner.token, acme.token, zeta.token];

    for (host, rows) in TABLE {
        for ((method, path), row) in PATHS.into_iter().zip(rows) {
            for (n, (token, expected)) in tokens.iter().zip(row).enumerate() {
                let who = Who { host: host.into(), token: token.clone() };
                let answer = server.send(&who, method, path, None);
                let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
                assert_eq!((answer.status, error.as_str()), expected, "{method} {path} at {host} with token {n}");
                let challenge = (answer.status == 401).then_some("Bearer");
                assert_eq!(answer.header("www-authenticate"), challenge, "{method} {path} at {host}");
            }
        }
    }
}

#[test]
fn a_workspace_token_reaches_its_own_workspace_from_the_central_host() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let (from_acme, from_zeta) = (acme.inside.on("localhost"), zeta.inside.on("localhost"));
    server.customer(&from_acme, "Renault");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    assert_eq!(server.customers(&from_zeta), [""; 0]);
    server.get(&from_zeta, "/customers/1").refused(404, "not_found");

    server.cli(&["workspace", "suspend", "acme"]).ok();
    server.get(&from_acme, "/customers").refused(403, "workspace_suspended");
    assert_eq!(server.customers(&from_zeta), [""; 0]);
}

#[test]
fn switching_leads_anywhere_the_account_may_go_and_the_old_token_stays_good() {
    let server = TestServer::new();
    let owner = server.register("ada");
    let [acme, zeta] = ["acme", "zeta"].map(|name| server.workspace(&owner, name));
    let in_acme = server.enter(&owner, &acme);
    let in_zeta = server.enter(&in_acme, &zeta);
    let back = server.post(&in_zeta, "/switch-to", json!({"workspace_id": null})).ok();
    assert_eq!((&back["scope"], &back["workspace"]), (&json!("central"), &Value::Null));
    for (who, scope) in [
        (&owner, "central"),
        (&in_acme, "workspace"),
        (&in_zeta, "workspace"),
        (&central().with(&back["token"]), "central"),
    ] {
        assert_eq!(server.get(who, "/whoami").ok()["scope"], scope);
    }
    let nowhere = json!({"workspace_id": "018f0000-0000-7000-8000-000000000000"});
    server.post(&owner, "/switch-to", nowhere).refused(404, "workspace_not_found");
}

#[test]
fn what_is_no_bearer_token_is_invalid() {
    let server = TestServer::new();
    let owner = server.register("ada");
    let token = owner.token.clone().unwrap();
    let shortened = token[..token.len() - 1].to_owned();
    let changed = token.replacen("v4.local.", "v4.local.A", 1);
    for bad in [String::new(), shortened, changed, token.to_uppercase(), "v4.public.e30".into(), "x".repeat(9000)] {
        let answer = server.get(&Who { token: Some(bad.clone()), ..central() }, "/whoami");
        answer.refused(401, "token_invalid");
    }
    let basic = [("Authorization", "Basic YWRhOnNlY3JldA==")];
    let request = Request { method: "GET", path: "/whoami", host: "localhost", headers: &basic, ..Request::default() };
    server.ask(&request).refused(401, "token_invalid");
    server.get(&owner, "/whoami").ok();
}

#[test]
fn a_token_made_for_a_program_opens_its_workspace_until_it_expires() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let made = |seconds: u32| {
        let body = json!({"label": "importer", "workspace_id": acme.workspace, "expires_in": seconds});
        server.post(&acme.owner, "/tokens", body).created()
    };
    let (good, expired) = (made(3600), made(60));
    assert_eq!((&good["label"], &good["expires_in"]), (&json!("importer"), &json!(3600)));
    assert_eq!(server.customers(&at("acme").with(&good["token"])), [""; 0]);

    let file = sqlite(&server.data().join("central.sqlite"));
    file.execute("UPDATE tokens SET expires_at = 1 WHERE id = ?1", [expired["id"].as_i64()]).unwrap();
    server.get(&at("acme").with(&expired["token"]), "/customers").refused(401, "token_expired");
    let listed = server.get(&acme.owner, "/tokens").ok();
    assert!(!listed.to_string().contains("v4.local"), "a token's text is shown once: {listed}");
}

//! What programs send for tokens, and what browsers are sent with to approve.

use http::header::LOCATION;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::odd::{self, Slip};
use super::{World, each};

const REDIRECT: &str = "https://example.com/back";

/// Fields as a form has them, changed: `field` of `good` becomes another text, or the text with slips.
type Changes = Vec<(usize, Option<String>, Vec<Slip>)>;

fn changes(fields: usize) -> impl Strategy<Value = Changes> {
    vec((0..fields, prop::option::of(odd::text()), vec(odd::slip(), 0..3)), 0..4)
}

fn changed(good: &[(&str, String)], changes: &Changes) -> String {
    let mut fields: Vec<(String, Vec<u8>)> =
        good.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    for (which, instead, slips) in changes {
        let (_, value) = &mut fields[which % good.len()];
        let text = instead.clone().unwrap_or_else(|| String::from_utf8_lossy(value).into_owned());
        *value = odd::slipped(&text, slips);
    }
    let pair = |(name, value): &(String, Vec<u8>)| -> String {
        format!("{name}={}", form_urlencoded::byte_serialize(value).collect::<String>())
    };
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[test]
fn a_program_gets_a_token_by_its_own_secret_alone() {
    let world = World::new();
    let client = json!({"name": "Fuzz", "grants": ["client_credentials", "authorization_code"],
        "redirect_uris": [REDIRECT], "scopes": ["customer.view"]});
    let client = world.bench.admin().post("/oauth-clients", client).created();
    let text = |name: &str| client[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let program = world.bench.nobody().at("acme.localhost");
    let good = [
        ("client_id", id.clone()),
        ("client_secret", secret.clone()),
        ("grant_type", "client_credentials".to_owned()),
        ("scope", "customer.view".to_owned()),
        ("token", "walked".to_owned()),
        ("code", "walked".to_owned()),
        ("code_verifier", "x".repeat(43)),
        ("refresh_token", "walked".to_owned()),
        ("redirect_uri", REDIRECT.to_owned()),
    ];
    let paths = vec!["/oauth/token", "/oauth/introspect", "/oauth/revoke"];
    let inputs = (select(paths).prop_map(str::to_owned), changes(good.len()));
    each("oauth_tokens", inputs, |(path, changes): &(String, Changes)| {
        let form = changed(&good, changes);
        let kind = "application/x-www-form-urlencoded";
        let answer = world.holds(|| program.ask(http::Method::POST, path, kind, form.clone()));
        let sent = |name: &str| form_urlencoded::parse(form.as_bytes()).find(|(field, _)| field == name).unwrap().1;
        let is_known = sent("client_id") == id && sent("client_secret") == secret;
        // Spaces around it do not matter.
        let is_almost = sent("client_id").trim() == id && sent("client_secret").trim() == secret;
        assert!(!answer.status.is_success() || is_known || is_almost, "{form}: {answer:?}");
    });
}

#[test]
fn a_browser_is_sent_to_sign_in_or_to_where_the_client_said() {
    let world = World::new();
    let client = json!({"name": "Fuzz", "grants": ["authorization_code"], "redirect_uris": [REDIRECT],
        "scopes": ["customer.view"]});
    let client = world.bench.admin().post("/oauth-clients", client).created();
    let good = [
        ("response_type", "code".to_owned()),
        ("client_id", client["client_id"].as_str().unwrap().to_owned()),
        ("redirect_uri", REDIRECT.to_owned()),
        ("scope", "customer.view".to_owned()),
        ("state", "a state".to_owned()),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned()),
        ("code_challenge_method", "S256".to_owned()),
    ];
    let visitors = [world.bench.nobody().at("acme.localhost"), world.bench.browser("owner@example.com")];
    each("oauth_pages", (0..visitors.len(), changes(good.len())), |(who, changes): &(usize, Changes)| {
        let path = format!("/oauth/authorize?{}", changed(&good, changes));
        if !odd::is_target(&path) {
            return;
        }
        let answer = world.holds(|| visitors[*who].get(&path));
        if let Some(location) = answer.headers.get(LOCATION) {
            let location = location.to_str().unwrap();
            let is_ours = location.starts_with("/ui/sign-in") || location.starts_with(&format!("{REDIRECT}?"));
            assert!(is_ours, "{path}: {location}");
        }
        assert!(!answer.text.contains("<script"), "{answer:?}");
    });
}

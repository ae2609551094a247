//! Fuzzes the OAuth requests of programs and browsers.

use http::Method;
use http::header::{LOCATION, SET_COOKIE};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::odd_inputs::{self, Slip};
use super::{WatchedServer, each};
use crate::tests::PASSWORD;
use crate::values::email;

const REDIRECT: &str = "https://example.com/back";

/// The media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// Changes to the fields of a valid form: the index of the field, its new text if any, and the corruption.
type FormMutations = Vec<(usize, Option<String>, Vec<Slip>)>;

fn changes(fields: usize) -> impl Strategy<Value = FormMutations> {
    vec((0..fields, prop::option::of(odd_inputs::text()), vec(odd_inputs::slip(), 0..3)), 0..4)
}

fn changed(good: &[(&str, String)], changes: &FormMutations) -> String {
    let mut fields: Vec<(String, Vec<u8>)> =
        good.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    for (which, instead, slips) in changes {
        let (_, value) = &mut fields[which % good.len()];
        let text = instead.clone().unwrap_or_else(|| String::from_utf8_lossy(value).into_owned());
        *value = odd_inputs::slipped(&text, slips);
    }
    let pair = |(name, value): &(String, Vec<u8>)| -> String {
        format!("{name}={}", form_urlencoded::byte_serialize(value).collect::<String>())
    };
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[test]
fn a_program_gets_a_token_by_its_own_secret_alone() {
    let world = WatchedServer::new();
    let client = json!({"name": "Fuzz", "grants": ["client_credentials", "authorization_code"],
        "redirect_uris": [REDIRECT], "scopes": ["customer.view"]});
    let client = world.server.admin().post("/oauth-clients", client).created();
    let text = |name: &str| client[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let program = world.server.anonymous().at("acme.localhost");
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
    each("oauth_tokens", inputs, |(path, changes): &(String, FormMutations)| {
        let form = changed(&good, changes);
        let answer = world.holds(|| program.ask(Method::POST, path, FORM, form.clone()));
        let sent = |name: &str| form_urlencoded::parse(form.as_bytes()).find(|(field, _)| field == name).unwrap().1;
        let is_known = sent("client_id") == id && sent("client_secret") == secret;
        // Blanks around the values do not matter.
        let is_almost = sent("client_id").trim() == id && sent("client_secret").trim() == secret;
        assert!(!answer.status.is_success() || is_known || is_almost, "{form}: {answer:?}");
    });
}

#[test]
fn a_browser_is_sent_to_sign_in_or_to_where_the_client_said() {
    let world = WatchedServer::new();
    let client = json!({"name": "Fuzz", "grants": ["authorization_code"], "redirect_uris": [REDIRECT],
        "scopes": ["customer.view"]});
    let client = world.server.admin().post("/oauth-clients", client).created();
    let good = [
        ("response_type", "code".to_owned()),
        ("client_id", client["client_id"].as_str().unwrap().to_owned()),
        ("redirect_uri", REDIRECT.to_owned()),
        ("scope", "customer.view".to_owned()),
        ("state", "a state".to_owned()),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned()),
        ("code_challenge_method", "S256".to_owned()),
    ];
    let visitors = [world.server.anonymous().at("acme.localhost"), world.server.browser("owner@example.com")];
    each("oauth_pages", (0..visitors.len(), changes(good.len())), |(who, changes): &(usize, FormMutations)| {
        let path = format!("/oauth/authorize?{}", changed(&good, changes));
        if !odd_inputs::is_target(&path) {
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

#[test]
fn a_form_does_nothing_without_the_key_of_its_page() {
    let world = WatchedServer::new();
    let client = json!({"name": "Fuzz", "grants": ["authorization_code"], "redirect_uris": [REDIRECT],
        "scopes": ["customer.view"]});
    let client = world.server.admin().post("/oauth-clients", client).created();
    let paths = vec!["/oauth/authorize", "/ui/sign-in", "/ui/sign-out"];
    let inputs = (select(paths).prop_map(str::to_owned), changes(FIELDS.len()));
    each("oauth_forms", inputs, |(path, changes): &(String, FormMutations)| {
        // Signing out ends a session, so each request has its own.
        let browser = world.server.browser("owner@example.com");
        let asked = |key: &str| {
            FIELDS.map(|(name, value)| match name {
                "client_id" => (name, client["client_id"].as_str().unwrap().to_owned()),
                "form_key" => (name, key.to_owned()),
                _ => (name, value.to_owned()),
            })
        };
        let page = browser.get(&format!("/oauth/authorize?{}", changed(&asked(""), &Vec::new())));
        let (_, key) = page.text.split_once("name=\"form_key\" value=\"").expect("the page has a form");
        let good = asked(key.split('"').next().unwrap());
        let form = changed(&good, changes);
        let answer = world.holds(|| browser.ask(Method::POST, path, FORM, form.clone()));
        let is_as_it_was = |name: &str| {
            let sent = form_urlencoded::parse(form.as_bytes()).find(|(field, _)| field == name).unwrap().1;
            let meant = &good.iter().find(|(field, _)| *field == name).unwrap().1;
            let is_same_address = || email::spellings(&sent)[1].eq_ignore_ascii_case(&email::spellings(meant)[1]);
            let is_same_word = || sent.trim().eq_ignore_ascii_case(meant);
            sent == meant.as_str() || name == "email" && is_same_address() || name != "form_key" && is_same_word()
        };
        let location = answer.headers.get(LOCATION).map(|location| location.to_str().unwrap());
        let is_approved = location.is_some_and(|location| location.contains("?code=") || location.contains("&code="));
        let has_cookie = answer.headers.contains_key(SET_COOKIE);
        // Without changes the request must succeed, or the test would check nothing.
        assert!(!changes.is_empty() || has_cookie || is_approved, "{path}: {answer:?}");
        if has_cookie || is_approved {
            assert!(is_as_it_was("form_key"), "{path} {form}: {answer:?}");
        }
        assert!(!is_approved || is_as_it_was("decision"), "{path} {form}: {answer:?}");
        let is_in = path == "/ui/sign-in" && has_cookie;
        assert!(!is_in || is_as_it_was("email") && is_as_it_was("password"), "{path} {form}: {answer:?}");
        if let Some(location) = location {
            let is_here = location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\");
            assert!(is_here || location.starts_with(&format!("{REDIRECT}?")), "{path} {form}: {location}");
        }
    });
}

/// All fields of the forms on these pages.
const FIELDS: [(&str, &str); 11] = [
    ("form_key", ""),
    ("decision", "approve"),
    ("email", "owner@example.com"),
    ("password", PASSWORD),
    ("to", "/docs"),
    ("response_type", "code"),
    ("client_id", ""),
    ("redirect_uri", REDIRECT),
    ("scope", "customer.view"),
    ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
    ("code_challenge_method", "S256"),
];

use http::header;
use proptest::prelude::*;
use serde_json::json;

use crate::auth::TokenScope;
use crate::tests::{AuthenticatorApp, PASSWORD, TestBrowser, TestServer};

const LOGIN: [(&str, &str); 2] = [("email", "owner@example.com"), ("password", PASSWORD)];

/// A browser in `acme` whose session ends while a form is open.
fn in_the_middle_of<'b>(server: &'b TestServer, page: &str) -> TestBrowser<'b> {
    let mut browser = TestBrowser::signed_in(server, "owner@example.com");
    browser.go("http://acme.localhost/ui/enter").go(page);
    assert_eq!(browser.page.status, 200, "{browser:?}");
    browser.forget("acme.localhost", "cx_session");
    browser
}

/// The text of the textarea with this name, as a browser reads it: without one leading newline.
fn textarea(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" rows")).unwrap_or_else(|| panic!("no {name} in {page}"));
    let (_, rest) = rest.split_once('>').unwrap();
    let text = rest.split("</textarea>").next().unwrap();
    crate::tests::unescaped(text.strip_prefix('\n').unwrap_or(text))
}

#[test]
fn a_form_comes_back_filled_in_after_the_sign_in_and_one_click_sends_it() {
    let server = TestServer::new();
    let comment = "\nFirst line\n\"quoted\" <b> & é 漢\n\n";
    let mut browser = in_the_middle_of(&server, "/ui/contacts/new");
    browser.submit("/ui/contacts/new", &[("last_name", "O’Brien \"X\""), ("comment", comment)]);
    assert_eq!((browser.page.status.as_u16(), browser.way.len()), (401, 0), "{browser:?}");
    assert!(browser.page.text.contains("what you typed is kept"), "{browser:?}");
    assert!(!browser.page.text.contains("/ui/enter?"), "a link carries no form: {browser:?}");
    browser.submit("/ui/sign-in", &[("email", "owner@example.com"), ("password", "wrong")]);
    assert_eq!(browser.page.status, 401);
    browser.submit("/ui/sign-in", &LOGIN);
    assert_eq!((browser.page.status.as_u16(), browser.way.len()), (200, 0), "{browser:?}");
    assert!(browser.page.text.contains("Signed in again. Your text is still here."), "{browser:?}");
    assert_eq!(browser.page.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(textarea(&browser.page.text, "comment"), comment);
    assert_eq!(server.admin().get("/contacts").ok()["data"].as_array().unwrap().len(), 0, "not sent yet");
    browser.submit("/ui/contacts/new", &[("comment", comment)]);
    assert_eq!(browser.page.status, 200, "{browser:?}");
    let made = server.admin().get("/contacts").ok();
    assert_eq!(
        (&made["data"][0]["last_name"], &made["data"][0]["comment"]),
        (&json!("O’Brien \"X\""), &json!(comment))
    );
}

#[test]
fn a_second_factor_and_the_central_host_keep_the_form_too() {
    let server = TestServer::new();
    let app = AuthenticatorApp::enroll(&server.central());
    let mut browser = TestBrowser::new(&server).in_french();
    browser.go("/ui/sign-in").submit("/ui/sign-in", &LOGIN).submit("/ui/sign-in/code", &[("code", &app.code())]);
    browser.go("/ui/account/name");
    browser.forget("localhost", "cx_session");
    browser.submit("/ui/account/name", &[("name", "Zoé & Cie")]);
    assert_eq!(browser.page.status, 401);
    browser.submit("/ui/sign-in", &LOGIN).submit("/ui/sign-in/code", &[("code", "000000")]);
    assert_eq!(browser.page.status, 401);
    browser.submit("/ui/sign-in/code", &[("code", &app.code())]);
    assert!(browser.page.text.contains("Votre texte est toujours là"), "{browser:?}");
    assert!(browser.page.text.contains("value=\"Zoé &#38; Cie\""), "{browser:?}");
    browser.submit("/ui/account/name", &[]);
    assert!(browser.page.text.contains("<dd>Zoé &#38; Cie</dd>"), "{browser:?}");
}

#[test]
fn secrets_are_never_carried() {
    let server = TestServer::new();
    let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
    browser.go("/ui/account/email");
    browser.forget("localhost", "cx_session");
    browser.submit("/ui/account/email", &[("email", "new@example.com"), ("current_password", "typed-secret")]);
    assert!(browser.page.text.contains("new%40example.com"), "{browser:?}");
    assert!(!browser.page.text.contains("typed-secret") && !browser.page.text.contains("form_key%3D"), "{browser:?}");
}

#[test]
fn deletions_are_asked_again_and_other_forms_lead_back() {
    let server = TestServer::new();
    server.admin().post("/contacts", json!({"last_name": "Ada"})).created();
    let mut browser = in_the_middle_of(&server, "/ui/contacts/1/delete");
    browser.submit("/ui/contacts/1/delete", &[]).submit("/ui/sign-in", &LOGIN);
    assert!(browser.page.text.contains("Delete Ada?"), "{browser:?}");
    let mut browser = in_the_middle_of(&server, "/ui/contacts/bulk?ids=1");
    browser.submit("/ui/contacts/bulk", &[]).submit("/ui/sign-in", &LOGIN);
    assert!(browser.page.text.contains("Delete 1 contacts?"), "{browser:?}");
    server.admin().get("/contacts/1").ok();
    browser.submit("/ui/contacts/bulk", &[]);
    server.admin().get("/contacts/1").rejected(404, "not_found");
    // A form that keeps nothing, and a form of another site.
    let visitor = server.anonymous().at("acme.localhost");
    assert_eq!(visitor.submit("/ui/second-factor", &[("action", "begin")]).status, 303);
    let other_site = visitor.with_header("sec-fetch-site", "cross-site");
    assert_eq!(other_site.submit("/ui/contacts/new", &[("last_name", "Evil")]).status, 303);
    assert_eq!(visitor.submit("/ui/sign-in/again", &[("last_name", "Evil")]).status, 303);
}

#[test]
fn a_person_who_may_not_use_the_page_is_signed_in_and_told_so() {
    let server = TestServer::new();
    server.join_acme("zoe@example.com", "agent");
    let mut browser = in_the_middle_of(&server, "/ui/roles/new");
    browser.submit("/ui/roles/new", &[("name", "Mine")]);
    browser.submit("/ui/sign-in", &[("email", "zoe@example.com"), ("password", PASSWORD)]);
    assert_eq!(browser.page.status, 403, "{browser:?}");
    assert!(browser.has_session("acme.localhost"));
}

#[test]
fn a_form_that_is_too_long_is_not_kept_and_the_page_says_so() {
    let server = TestServer::new();
    let mut browser = in_the_middle_of(&server, "/ui/contacts/new");
    browser.submit("/ui/contacts/new", &[("comment", &"x".repeat(300 * 1024))]);
    assert!(browser.page.status == 401 && browser.page.text.contains("too long to be kept"), "{browser:?}");
    browser.submit("/ui/sign-in", &LOGIN);
    assert_eq!(browser.url, "http://acme.localhost/ui/contacts/new");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// What was typed comes back byte by byte. Browsers send line breaks as CRLF.
    #[test]
    fn typed_bytes_come_back_unchanged(text in "[\\PC\n\"'<>&%+=]{0,60}", line in "[\\PC\"'<>&%+=]{0,30}") {
        static SERVER: std::sync::LazyLock<TestServer> = std::sync::LazyLock::new(TestServer::new);
        let server = &*SERVER;
        let token = server.token("owner@example.com", TokenScope::Workspace(server.acme.id));
        let mut browser = TestBrowser::new(server);
        browser.sign_in_with("acme.localhost", &token);
        browser.go("http://acme.localhost/ui/contacts/new");
        browser.forget("acme.localhost", "cx_session");
        let sent = text.replace('\n', "\r\n");
        browser.submit("/ui/contacts/new", &[("company", &line), ("comment", &sent)]);
        browser.submit("/ui/sign-in", &LOGIN);
        prop_assert_eq!(browser.page.status.as_u16(), 200);
        prop_assert_eq!(textarea(&browser.page.text, "comment"), text);
        let fields = browser.fields("/ui/contacts/new");
        let company = fields.iter().find(|(name, _)| name == "company").map(|(_, value)| value.clone());
        prop_assert_eq!(company, Some(line));
    }
}

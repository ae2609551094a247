use http::header;
use serde_json::json;

use crate::api::Error;
use crate::auth::TokenScope;
use crate::tests::{PASSWORD, TestBrowser, TestServer};

const ACME: &str = "http://acme.localhost";

/// The query of the last redirect into `acme`, with its code.
fn code_of(browser: &TestBrowser<'_>) -> String {
    let arrival = browser.way.iter().find(|url| url.contains("/ui/enter?code="));
    arrival.unwrap_or_else(|| panic!("no code in {:?}", browser.way)).clone()
}

/// Takes the way to `acme` up to the redirect with the code, and returns that URL.
fn almost_in(browser: &mut TestBrowser<'_>) -> String {
    let location = |browser: &TestBrowser<'_>| browser.page.headers[header::LOCATION].to_str().unwrap().to_owned();
    browser.step(&format!("{ACME}/ui/enter?to=%2Fui%2Fsecond-factor"));
    let central = location(browser);
    browser.step(&central);
    location(browser)
}

/// Checks that a URL with a code opens nothing for a browser.
#[track_caller]
fn opens_nothing(browser: &mut TestBrowser<'_>, url: &str) {
    let host = url::Url::parse(url).unwrap().host_str().unwrap().to_owned();
    browser.go(url);
    let has_session = browser.has_session(&host);
    assert!(!has_session && browser.page.status.is_client_error(), "{url}: {:?}", browser.page);
}

#[test]
fn a_person_who_is_signed_in_centrally_enters_a_workspace_without_a_password() {
    let server = TestServer::new();
    let mut browser = TestBrowser::new(&server);
    browser.go(&format!("{ACME}/ui/second-factor"));
    assert!(browser.page.text.contains("Sign in with your account at localhost"), "{:?}", browser.page);
    let to = "%2Fui%2Fsecond-factor";
    assert!(browser.page.text.contains(&format!("href=\"/ui/enter?to={to}\"")), "{:?}", browser.page);
    browser.go(&format!("{ACME}/ui/enter?to={to}"));
    assert!(browser.url.starts_with("http://localhost/ui/sign-in?to=%2Fui%2Fenter%2F"), "{}", browser.url);
    // The form leads to another origin, which browsers allow only if the page names it.
    let policy = browser.page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://acme.localhost;"), "{policy}");

    browser.submit("/ui/sign-in", &[("email", "owner@example.com"), ("password", PASSWORD)]);
    assert_eq!((browser.page.status.as_u16(), browser.url.as_str()), (200, "http://acme.localhost/ui/second-factor"));
    assert!(browser.has_session("localhost") && browser.has_session("acme.localhost"));
    code_of(&browser);

    browser.go("http://other.localhost/ui/enter?to=%2Fui%2Fsecond-factor");
    assert_eq!(browser.url, "http://other.localhost/ui/second-factor", "no password for the next workspace");
    assert_eq!(browser.way.len(), 3, "{:?}", browser.way);
    browser.go("http://other.localhost/ui/enter?to=%2Fui%2Fsecond-factor");
    assert_eq!(browser.way, ["/ui/second-factor"], "not over the central host while a session is there");
}

#[test]
fn a_code_opens_one_workspace_for_one_browser_once() {
    let server = TestServer::new();
    let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
    let arrival = almost_in(&mut browser);
    let mut thief = TestBrowser::signed_in(&server, "owner@example.com");
    opens_nothing(&mut thief, &arrival);
    thief.step(&format!("{ACME}/ui/enter"));
    opens_nothing(&mut thief, &arrival);
    opens_nothing(&mut browser, &arrival.replace("acme", "other"));
    browser.go(&arrival);
    assert!(browser.has_session("acme.localhost"), "{:?}", browser.page);
    browser.forget("acme.localhost", "cx_session");
    opens_nothing(&mut browser, &arrival);
    assert!(browser.page.text.contains("belongs to another browser"), "{:?}", browser.page);
    opens_nothing(&mut browser, &format!("{ACME}/ui/enter?code=nothing"));
}

/// Changes the central file.
fn change(server: &TestServer, sql: &'static str) {
    server.instance.central.write(move |db| Ok::<_, Error>(db.execute(sql, [])?)).unwrap();
}

#[test]
fn a_code_opens_nothing_after_its_time_or_after_the_end_of_what_it_came_from() {
    for (end, is_named) in [
        ("UPDATE entry_codes SET expires_at = unixepoch()", false),
        ("UPDATE tokens SET revoked_at = 1", false),
        ("UPDATE tokens SET expires_at = unixepoch()", false),
        ("DELETE FROM memberships WHERE account_id = 2", true),
        ("UPDATE accounts SET disabled_at = 1", true),
        ("UPDATE workspaces SET status = 'suspended'", true),
    ] {
        let server = TestServer::new();
        server.join_acme("zoe@example.com", "agent");
        let mut browser = TestBrowser::signed_in(&server, "zoe@example.com");
        let arrival = almost_in(&mut browser);
        change(&server, end);
        opens_nothing(&mut browser, &arrival);
        assert_eq!(browser.page.text.contains("no longer works"), !is_named, "{end}: {:?}", browser.page);
    }
    let server = TestServer::new();
    server.join_acme("zoe@example.com", "agent");
    let mut browser = TestBrowser::signed_in(&server, "zoe@example.com");
    let arrival = almost_in(&mut browser);
    server.admin().delete("/users/2").ok();
    opens_nothing(&mut browser, &arrival);
}

#[test]
fn whoever_is_no_member_does_not_get_in_and_learns_nothing() {
    let server = TestServer::new();
    server.stranger();
    let mut browser = TestBrowser::signed_in(&server, "stranger@example.com");
    browser.go(&format!("{ACME}/ui/enter"));
    assert!(browser.page.status == 404 && browser.page.text.contains("You cannot enter"), "{:?}", browser.page);
    let of_acme = browser.page.text.clone();
    browser.go(&format!("http://localhost/ui/enter/{}?visit=x", uuid::Uuid::now_v7()));
    assert_eq!((browser.page.status.as_u16(), &browser.page.text), (404, &of_acme));
    // A central session is none of a workspace, and the reverse.
    browser.go(&format!("{ACME}/ui/second-factor"));
    assert!(browser.url.contains("/ui/sign-in?to="), "{}", browser.url);
    let inside = server.token("owner@example.com", TokenScope::Workspace(server.acme.id));
    let central = server.anonymous().with_header("cookie", &format!("cx_session={inside}"));
    assert_eq!(central.get(&format!("/ui/enter/{}", server.acme.id)).status, 303);
}

#[test]
fn the_session_of_a_workspace_ends_with_the_central_one() {
    let server = TestServer::new();
    let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
    browser.go(&format!("{ACME}/ui/enter?to=%2Fui%2Fsecond-factor"));
    assert_eq!(browser.url, "http://acme.localhost/ui/second-factor");
    browser.go("http://localhost/ui/second-factor");
    let form_key = browser.fields("/ui/second-factor").into_iter().find(|(name, _)| name == "form_key").unwrap().1;
    let out = [("form_key", form_key.as_str()), ("to", "")];
    let session = server.central().get("/tokens").ok();
    let labels = session["data"].as_array().unwrap().iter().filter(|token| token["label"] == "browser").count();
    assert_eq!(labels, 2, "{session}");
    browser.page.text = "<form action=\"/ui/sign-out\"></form>".into();
    browser.submit("/ui/sign-out", &out);
    assert!(!browser.has_session("localhost"));
    browser.go(&format!("{ACME}/ui/second-factor"));
    assert!(browser.url.starts_with("http://acme.localhost/ui/sign-in"), "{}", browser.url);
}

#[test]
fn a_second_factor_that_the_workspace_requires_is_added_on_the_way() {
    let server = TestServer::new();
    server.join_acme("zoe@example.com", "agent");
    crate::tests::AuthenticatorApp::enroll(&server.central());
    server.admin().put("/settings", json!({"require_second_factor": true})).created();
    let mut browser = TestBrowser::signed_in(&server, "zoe@example.com");
    browser.go(&format!("{ACME}/ui/enter?to=%2Fui%2Fcontacts"));
    assert_eq!(browser.url, "http://acme.localhost/ui/second-factor?to=%2Fui%2Fcontacts");
}

#[test]
fn a_long_way_is_not_carried_over_the_central_host() {
    let server = TestServer::new();
    let mut browser = TestBrowser::new(&server);
    let long = format!("%2Foauth%2Fauthorize%3Fstate%3D{}", "a".repeat(2000));
    browser.go(&format!("{ACME}/ui/sign-in?to={long}"));
    assert!(!browser.page.text.contains("/ui/enter") && browser.page.text.contains("name=\"password\""));
}

//! From an invitation to a user at work: mailed by SMTP, opened in a browser, accepted on the page.

use serde_json::json;

use crate::client::{Answer, Request};
use crate::smtp::Smtp;
use crate::test_server::{PASSWORD, TestServer, at, email, text};

#[test]
fn an_invited_colleague_reads_the_mail_fills_in_the_page_and_works() {
    let smtp = Smtp::start();
    let server = TestServer::with(&["--smtp-url", &smtp.url(), "--registration", "open"]);
    let acme = server.team("acme");
    let role = json!({"name": "Front desk", "permissions": ["customer.view"]});
    let role = server.post(&acme.inside, "/roles", role).created()["id"].clone();
    let guest = json!({"email": email("grace"), "role_id": role, "name": "Grace"});
    server.post(&acme.inside, "/user-invites", guest).created();

    assert_eq!(smtp.next().letter().subject, "Confirm your email address");
    let letter = smtp.next().letter();
    assert_eq!((letter.to.as_str(), letter.subject.as_str()), ("grace@example.com", "acme invites you to acme"));
    assert!(letter.text.starts_with("Hello Grace,") && letter.text.contains("Front desk"), "{}", letter.text);
    let here = format!("http://localhost:{}", server.address().port());
    let path = letter.link().strip_prefix(&here).unwrap_or_else(|| panic!("{}", letter.link())).to_owned();

    let page = ask(&server, "GET", &path, None);
    assert_eq!(page.status, 200);
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(page.text.contains("<form method=\"post\">") && page.text.contains("Join acme"), "{}", page.text);
    let form = format!("name=Grace+Hopper&password={}", PASSWORD.replace(' ', "+"));
    let done = ask(&server, "POST", &path, Some(&form));
    assert!(done.status == 200 && done.text.contains("You are now a member of acme"), "{done:?}");

    let login = json!({"email": email("grace"), "password": PASSWORD});
    let answer = server.post(&at("acme"), "/login", login).ok();
    assert_eq!(text(&answer["user"]["name"]), "Grace Hopper");
    let grace = at("acme").with(&answer["token"]);
    server.get(&grace, "/customers").ok();
    let refused = server.post(&grace, "/customers", json!({"name": "A"}));
    refused.refused(403, "missing_permission");
    assert!(refused.text.contains("customer.create"), "{}", refused.text);
    assert!(
        !server.whole_log().contains("grace@") && !server.log().contains(&path[path.len() - 43..]),
        "{}",
        server.log()
    );
}

/// Submits a form like a browser.
fn ask(server: &TestServer, method: &str, path: &str, form: Option<&str>) -> Answer {
    let host = format!("localhost:{}", server.address().port());
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let headers: &[(&str, &str)] = if form.is_some() { &kind } else { &[] };
    server.ask(&Request { method, path, host: &host, headers, body: form, ..Request::default() })
}

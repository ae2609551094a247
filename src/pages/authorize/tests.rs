use http::header;
use serde_json::{Value, json};

use crate::auth::TokenScope;
use crate::tests::{PASSWORD, TestClient, TestResponse, TestServer};

const SCRIPT_IN_URL: &str = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
const URI: &str = "https://pbx.example.com/callback?a=b";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn client(server: &TestServer, more: Value) -> Value {
    let mut body = json!({
        "name": "3CX <b>", "redirect_uris": [URI, "http://127.0.0.1:1234/"], "grants": ["authorization_code"],
        "scopes": ["client", "crm", "contact.view", "customer.delete"],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.admin().post("/oauth-clients", body).created()
}

fn query(client: &Value, more: &[(&str, &str)]) -> String {
    let mut pairs = vec![
        ("client_id", client["client_id"].as_str().unwrap().to_owned()),
        ("redirect_uri", URI.to_owned()),
        ("response_type", "code".to_owned()),
        ("state", "a b&c".to_owned()),
    ];
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, (*value).to_owned()));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn anyone(server: &TestServer) -> TestClient<'_> {
    server.anonymous().at("acme.localhost").with_header("accept-language", "en;q=0.5")
}

fn location(answer: &TestResponse) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.headers[header::LOCATION].to_str().unwrap().to_owned()
}

fn cookie(answer: &TestResponse) -> String {
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

fn hidden(page: &TestResponse, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.text.split_once(&start).unwrap_or_else(|| panic!("no {name} in {}", page.text));
    rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&")
}

/// A browser with a session.
fn signed_in<'b>(server: &'b TestServer, email: &str) -> TestClient<'b> {
    let page = anyone(server).get("/ui/sign-in?to=/docs");
    let visiting = anyone(server).with_header("cookie", &cookie(&page));
    let form = [("email", email), ("password", PASSWORD), ("to", "/docs"), ("form_key", &hidden(&page, "form_key"))];
    let done = visiting.submit("/ui/sign-in", &form);
    assert_eq!(location(&done), "/docs");
    anyone(server).with_header("cookie", &cookie(&done))
}

/// The form as the page sends it when a button is pressed.
fn decide(browser: &TestClient<'_>, page: &TestResponse, client: &Value, decision: &str) -> TestResponse {
    let mut form = vec![("decision", decision.to_owned()), ("form_key", hidden(page, "form_key"))];
    let names = ["redirect_uri", "response_type", "state", "scope", "code_challenge", "code_challenge_method", "shown"];
    let there = names.iter().filter(|name| page.text.contains(&format!("name=\"{name}\"")));
    form.extend(there.map(|name| (*name, hidden(page, name))));
    form.push(("client_id", client["client_id"].as_str().unwrap().to_owned()));
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.submit("/oauth/authorize", &form)
}

fn told(location: &str) -> std::collections::BTreeMap<String, String> {
    url::Url::parse(location).unwrap().query_pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
}

#[test]
fn a_person_signs_in_approves_and_the_program_gets_its_token() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let path = format!("/oauth/authorize?{}", query(&client, &[("scope", "client crm")]));
    let to_sign_in = location(&anyone(&server).get(&path));
    assert!(to_sign_in.starts_with("/ui/sign-in?to=%2Foauth%2Fauthorize%3Fclient_id%3D"), "{to_sign_in}");

    let page = anyone(&server).get(&to_sign_in);
    let to = hidden(&page, "to");
    let visiting = anyone(&server).with_header("cookie", &cookie(&page));
    let form = |password: &str| -> Vec<(&str, String)> {
        vec![
            ("email", "owner@example.com".into()),
            ("password", password.into()),
            ("to", to.clone()),
            ("form_key", hidden(&page, "form_key")),
        ]
    };
    let submit = |filled: &[(&str, String)]| {
        let filled: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        visiting.submit("/ui/sign-in", &filled)
    };
    let wrong = submit(&form("not the password"));
    assert!(wrong.status == 401 && wrong.text.contains("The email or the password is wrong."), "{wrong:?}");
    assert_eq!(hidden(&wrong, "to"), to);
    let done = submit(&form(PASSWORD));
    let browser = anyone(&server).with_header("cookie", &cookie(&done));
    let page = browser.get(&location(&done));
    assert_eq!(page.status, 200);
    assert!(page.text.contains("3CX &#60;b&#62;") && page.text.contains("owner@example.com"), "{}", page.text);
    assert!(page.text.contains("https://pbx.example.com"), "{}", page.text);
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("form-action 'self' https://pbx.example.com;"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");

    let back = location(&decide(&browser, &page, &client, "approve"));
    assert!(back.starts_with("https://pbx.example.com/callback?a=b&code="), "{back}");
    let told = told(&back);
    assert_eq!((told["state"].as_str(), told["iss"].as_str()), ("a b&c", "http://acme.localhost"));
    let exchange = json!({
        "grant_type": "authorization_code", "code": told["code"], "redirect_uri": URI,
        "client_id": client["client_id"], "client_secret": client["client_secret"],
    });
    let token = anyone(&server).post("/oauth/token", exchange).ok();
    assert_eq!(token["scope"], "client crm");
    let whoami = anyone(&server).with_token(token["access_token"].as_str().unwrap().into()).get("/whoami").ok();
    assert_eq!((&whoami["permissions"], &whoami["user"]["id"]), (&json!(["crm.lookup"]), &json!(1)));
}

#[test]
fn a_page_leads_to_where_its_program_is() {
    for (uri, source) in [
        ("https://pbx.example.com/cb", "https://pbx.example.com"),
        ("http://127.0.0.1:5000/cb", "http://127.0.0.1:5000"),
        ("http://[::1]:5000/cb", "http:"),
        ("https://[2001:db8::1]/cb", "https:"),
    ] {
        assert_eq!(super::source_of(uri), source);
    }
}

#[test]
fn a_person_denies() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let browser = signed_in(&server, "owner@example.com");
    let page = browser.get(&format!("/oauth/authorize?{}", query(&client, &[])));
    let told = told(&location(&decide(&browser, &page, &client, "deny")));
    assert_eq!((told["error"].as_str(), told["state"].as_str()), ("access_denied", "a b&c"));
    assert!(!told.contains_key("code") && told.contains_key("iss"));
}

#[test]
fn nobody_is_sent_where_the_program_has_not_registered() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let browser = signed_in(&server, "owner@example.com");
    let off = self::client(&server, json!({"active": false}));
    let mut bad = vec![query(&off, &[]), query(&client, &[("client_id", "nobody")]), String::new()];
    for uri in [
        "https://pbx.example.com/callback",
        "https://pbx.example.com/callback?a=b&c",
        "https://pbx.example.com/callback/../callback?a=b",
        "https://PBX.example.com/callback?a=b",
        "https://pbx.example.com.evil.example/callback?a=b",
        "http://127.0.0.1:1235/",
        "javascript:alert(1)",
        "//evil.example",
    ] {
        bad.push(query(&client, &[("redirect_uri", uri)]));
    }
    bad.push(format!("{}&redirect_uri=https%3A%2F%2Fevil.example", query(&client, &[])));
    bad.push(format!("{}&client_id=other", query(&client, &[])));
    for query in bad {
        for who in [anyone(&server), browser.clone()] {
            let answer = who.get(&format!("/oauth/authorize?{query}"));
            assert!(answer.status == 400 && answer.headers.get(header::LOCATION).is_none(), "{query}: {answer:?}");
        }
    }
}

#[test]
fn the_program_is_told_what_is_wrong_with_what_it_asks() {
    let server = TestServer::new();
    let browser = signed_in(&server, "owner@example.com");
    let confidential = client(&server, json!({}));
    let public = client(&server, json!({"confidential": false}));
    let none = client(&server, json!({"grants": ["client_credentials"]}));
    for (client, more, error) in [
        (&confidential, vec![("response_type", "token")], "unsupported_response_type"),
        (&confidential, vec![("response_type", "")], "invalid_request"),
        (&confidential, vec![("scope", "contact.delete")], "invalid_scope"),
        (&confidential, vec![("scope", "nonsense")], "invalid_scope"),
        (&confidential, vec![("code_challenge", CHALLENGE)], "invalid_request"),
        (&confidential, vec![("code_challenge", CHALLENGE), ("code_challenge_method", "plain")], "invalid_request"),
        (&confidential, vec![("code_challenge", "short"), ("code_challenge_method", "S256")], "invalid_request"),
        (&public, vec![], "invalid_request"),
        (&none, vec![], "unauthorized_client"),
    ] {
        let told = told(&location(&browser.get(&format!("/oauth/authorize?{}", query(client, &more)))));
        assert_eq!((told["error"].as_str(), told["state"].as_str()), (error, "a b&c"), "{more:?}");
        assert_eq!(told["iss"], "http://acme.localhost");
    }
    let good = query(&public, &[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
    assert_eq!(browser.get(&format!("/oauth/authorize?{good}")).status, 200);
}

#[test]
fn a_form_of_another_site_or_of_nobody_approves_nothing() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let browser = signed_in(&server, "owner@example.com");
    let page = browser.get(&format!("/oauth/authorize?{}", query(&client, &[])));
    let cross = |browser: &TestClient<'_>| {
        let answer = decide(browser, &page, &client, "approve");
        assert!(answer.status == 400 && answer.headers.get(header::LOCATION).is_none(), "{answer:?}");
    };
    let nobody = location(&decide(&anyone(&server), &page, &client, "approve"));
    assert!(nobody.starts_with("/ui/sign-in?to="), "{nobody}");
    for site in ["cross-site", "same-site"] {
        cross(&browser.with_header("sec-fetch-site", site));
    }
    // Another user's session does not make the form valid.
    server.join_acme("zoe@example.com", "agent");
    cross(&signed_in(&server, "zoe@example.com"));
    let form_key = hidden(&page, "form_key");
    let form = [
        ("form_key", form_key.as_str()),
        ("decision", "maybe"),
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", URI),
        ("response_type", "code"),
    ];
    assert_eq!(browser.submit("/oauth/authorize", &form).status, 400);
    let codes =
        server.in_file(|db| Ok(db.query_row("SELECT count(*) FROM oauth_codes", [], |row| row.get::<_, i64>(0))?));
    assert_eq!(codes, 0);
}

#[test]
fn the_page_says_what_the_person_gives_and_no_more() {
    let server = TestServer::new();
    let customer = server.admin().post("/customers", json!({"name": "Renault"})).created()["id"].clone();
    let client = client(&server, json!({"customer_id": customer}));
    server.join_acme("zoe@example.com", "agent");
    let path = format!("/oauth/authorize?{}", query(&client, &[]));
    let agents = signed_in(&server, "zoe@example.com").get(&path);
    assert!(agents.text.contains("see contacts") && !agents.text.contains("delete customers"), "{}", agents.text);
    assert!(agents.text.contains("Renault"), "{}", agents.text);
    let admins = signed_in(&server, "owner@example.com").get(&path);
    assert!(admins.text.contains("delete customers"), "{}", admins.text);
    let french = signed_in(&server, "zoe@example.com").with_header("accept-language", "fr").get(&path);
    for said in ["demande un accès à acme", "<li>voir les contacts</li>", "pour le client Renault", ">Refuser<"] {
        assert!(french.text.contains(said), "{said} is not in {}", french.text);
    }
    // The user can grant none of the requested scopes.
    server.admin().post("/roles", json!({"name": "auditor", "permissions": ["audit.view"]})).created();
    server.join_acme("eve@example.com", "auditor");
    let nothing = signed_in(&server, "eve@example.com").get(&path);
    assert!(nothing.text.contains("You have none of the rights") && !nothing.text.contains("<li>"), "{}", nothing.text);
}

#[test]
fn a_session_ends_by_signing_out_and_with_the_membership() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let user = server.join_acme("zoe@example.com", "agent");
    let path = format!("/oauth/authorize?{}", query(&client, &[]));
    let browser = signed_in(&server, "zoe@example.com");
    let page = browser.get(&path);
    let form = [("form_key", hidden(&page, "form_key")), ("to", "/docs".to_owned())];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let out = browser.submit("/ui/sign-out", &form);
    assert_eq!(location(&out), "/ui/sign-in?to=%2Fdocs");
    assert!(location(&browser.get(&path)).starts_with("/ui/sign-in"));
    // Repeated from the page that the browser still has, or sent by another site, whose form comes without the
    // cookie.
    for who in [browser.clone(), anyone(&server)] {
        let again = who.submit("/ui/sign-out", &form);
        assert_eq!(location(&again), "/ui/sign-in?to=%2Fdocs");
        assert!(again.headers.get(header::SET_COOKIE).is_none(), "{again:?}");
    }

    let browser = signed_in(&server, "zoe@example.com");
    assert_eq!(browser.get(&path).status, 200);
    server.admin().delete(&format!("/users/{user}")).ok();
    assert!(location(&browser.get(&path)).starts_with("/ui/sign-in"));
}

/// An attacker signs the victim's browser in as the attacker. Otherwise the attacker would receive what the victim
/// does next.
#[test]
fn nobody_is_signed_in_by_a_form_that_they_did_not_load() {
    let server = TestServer::new();
    server.join_acme("mallory@example.com", "agent");
    let mallorys = anyone(&server).get("/ui/sign-in");
    let form_key = hidden(&mallorys, "form_key");
    let form = [("email", "mallory@example.com"), ("password", PASSWORD), ("form_key", &form_key)];
    let victims_own = cookie(&anyone(&server).get("/ui/sign-in"));
    for victim in [
        anyone(&server),
        anyone(&server).with_header("cookie", &victims_own),
        // Even with a planted cookie, browsers report the origin of the form.
        anyone(&server).with_header("cookie", &cookie(&mallorys)).with_header("sec-fetch-site", "cross-site"),
        anyone(&server).with_header("cookie", &cookie(&mallorys)).with_header("sec-fetch-site", "same-site"),
    ] {
        let answer = victim.submit("/ui/sign-in", &form);
        assert_eq!(answer.status, 403, "{answer:?}");
        let set = answer.headers.get(header::SET_COOKIE).map_or("", |set| set.to_str().unwrap());
        assert!(!set.contains("cx_session"), "{set}");
    }
    let hers = anyone(&server).with_header("cookie", &cookie(&mallorys)).submit("/ui/sign-in", &form);
    assert_eq!(location(&hers), "/ui");
}

#[test]
fn only_a_persons_token_for_this_workspace_is_a_session() {
    let server = TestServer::new();
    let client = client(&server, json!({"grants": ["authorization_code", "client_credentials"]}));
    let path = format!("/oauth/authorize?{}", query(&client, &[]));
    let wish = json!({
        "grant_type": "client_credentials", "client_id": client["client_id"],
        "client_secret": client["client_secret"],
    });
    let access = anyone(&server).post("/oauth/token", wish).ok()["access_token"].as_str().unwrap().to_owned();
    let key = server.admin().post("/integration-keys", json!({"name": "k", "permissions": ["*"]})).created();
    let key = key["key"].as_str().unwrap().to_owned();
    let owner = "owner@example.com";
    for (token, is_session) in [
        (server.token(owner, TokenScope::Workspace(server.acme.id)), true),
        (server.token(owner, TokenScope::Workspace(server.other.id)), false),
        (server.token(owner, TokenScope::Central), false),
        (access, false),
        (key, false),
        ("made-up".into(), false),
        (String::new(), false),
    ] {
        let answer = anyone(&server).with_header("cookie", &format!("cx_session={token}")).get(&path);
        assert_eq!(answer.status == 200, is_session, "{token}: {answer:?}");
        assert!(is_session || location(&answer).starts_with("/ui/sign-in?"), "{token}: {answer:?}");
    }
}

#[test]
fn whatever_is_shown_is_text_and_whatever_is_sent_back_one_line() {
    const SCRIPT: &str = "\"'><script>alert(1)</script>";
    let server = TestServer::new();
    let customer = server.admin().post("/customers", json!({"name": SCRIPT})).created()["id"].clone();
    let client = client(&server, json!({"name": SCRIPT, "customer_id": customer}));
    server.central().put(&format!("/workspaces/{}", server.acme.id), json!({"name": SCRIPT})).created();
    let state = format!("{SCRIPT}\r\nSet-Cookie: a=b");
    let path = format!("/oauth/authorize?{}", query(&client, &[("state", &state)]));
    let browser = signed_in(&server, "owner@example.com");
    let page = browser.get(&path);
    assert!(page.status == 200 && page.text.matches("&#60;script&#62;").count() >= 4, "{}", page.text);
    let visiting = anyone(&server).get(&format!("/ui/sign-in?{}", query(&client, &[("to", SCRIPT)])));
    let tried = [("email", SCRIPT), ("to", SCRIPT), ("form_key", SCRIPT)];
    let refused = anyone(&server).submit("/ui/sign-in", &tried);
    for page in [&page, &visiting, &refused, &browser.get(&format!("/oauth/authorize?client_id={SCRIPT_IN_URL}"))] {
        assert!(page.text.contains("<h1>") && !page.text.contains("<script"), "{}", page.text);
    }

    let form_key = hidden(&page, "form_key");
    let form = [
        ("form_key", form_key.as_str()),
        ("decision", "deny"),
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", URI),
        ("response_type", "code"),
        ("state", &state),
    ];
    let denied = browser.submit("/oauth/authorize", &form);
    assert_eq!(told(&location(&denied))["state"], state);
    assert!(denied.headers.get(header::SET_COOKIE).is_none(), "{denied:?}");
    let form = [("form_key", form_key.as_str()), ("to", "/docs\r\nSet-Cookie: a=b")];
    let out = browser.submit("/ui/sign-out", &form);
    assert_eq!(location(&out), "/ui/sign-in?to=%2Fdocs%0D%0ASet-Cookie%3A+a%3Db");
    let split = query(&client, &[("redirect_uri", &format!("{URI}\r\nSet-Cookie: a=b"))]);
    assert_eq!(browser.get(&format!("/oauth/authorize?{split}")).status, 400);
}

#[test]
fn what_a_person_may_no_more_they_cannot_give() {
    let server = TestServer::new();
    let client = client(&server, json!({}));
    let user = server.join_acme("zoe@example.com", "admin");
    let reader = json!({"name": "reader", "permissions": ["contact.view"]});
    let reader = server.admin().post("/roles", reader).created()["id"].clone();
    let browser = signed_in(&server, "zoe@example.com");
    let page = browser.get(&format!("/oauth/authorize?{}", query(&client, &[])));
    assert!(page.text.contains("delete customers"), "{}", page.text);
    // Between loading the page and pressing the button.
    server.admin().put(&format!("/users/{user}"), json!({"role_id": reader})).created();
    let told = told(&location(&decide(&browser, &page, &client, "approve")));
    let exchange = json!({
        "grant_type": "authorization_code", "code": told["code"], "redirect_uri": URI,
        "client_id": client["client_id"], "client_secret": client["client_secret"],
    });
    let token = anyone(&server).post("/oauth/token", exchange).ok()["access_token"].as_str().unwrap().to_owned();
    let program = anyone(&server).with_token(token);
    program.get("/contacts").ok();
    program.delete("/customers/1").rejected(403, "missing_permission");
    assert_eq!(program.get("/whoami").ok()["permissions"], json!(["contact.view"]));
}

#[test]
fn a_stranger_does_not_get_in_and_a_session_is_one_workspaces() {
    let server = TestServer::new();
    server.stranger();
    let page = anyone(&server).get("/ui/sign-in");
    let visiting = anyone(&server).with_header("cookie", &cookie(&page));
    let form = [("email", "stranger@example.com"), ("password", PASSWORD), ("form_key", &hidden(&page, "form_key"))];
    let refused = visiting.submit("/ui/sign-in", &form);
    assert!(refused.status == 403 && refused.text.contains("not a member"), "{refused:?}");
    let client = client(&server, json!({}));
    let at_other = signed_in(&server, "owner@example.com").at("other.localhost");
    assert_eq!(at_other.get(&format!("/oauth/authorize?{}", query(&client, &[]))).status, 400);
    // Under https the cookie's name has a prefix that no other host can set.
    let secure = TestServer::with(&[("trusted_proxies", "127.0.0.1")]);
    let page = anyone(&secure).with_header("x-forwarded-proto", "https").get("/ui/sign-in");
    let set = page.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("__Host-cx_visit=") && set.contains("Secure"), "{set}");
}

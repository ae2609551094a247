use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::api::Error;
use crate::openid::{ProviderClients, ProviderError, Return, providers_of_file};
use crate::tests::{AuthenticatorApp, PASSWORD, StubProvider, TestBrowser, TestServer, TokenFault};
use crate::values::Timestamp;

const START: &str = "/ui/sign-in/with/company";

/// The secret that the provider of these tests knows.
const SECRET: &str = "a secret / with + signs";

fn ada() -> Value {
    json!({"sub": "ada", "email": "ada@example.com", "email_verified": true, "name": "Ada Lovelace"})
}

fn owner() -> Value {
    json!({"sub": "owner-1", "email": "owner@example.com", "email_verified": true})
}

/// Goes to the provider by a link, and comes back as somebody.
fn by_link(browser: &mut TestBrowser<'_>, provider: &StubProvider, link: &str, claims: Value) {
    browser.step(link);
    assert_eq!(browser.page.status, 303, "{:?}", browser.page);
    let sent = browser.page.headers["location"].to_str().unwrap().to_owned();
    let back = provider.sign_in(&sent, claims);
    browser.go(&back);
}

fn sign_in<'s>(server: &'s TestServer, provider: &StubProvider, claims: Value) -> TestBrowser<'s> {
    let mut browser = TestBrowser::new(server);
    by_link(&mut browser, provider, &format!("{START}?to=/ui/account"), claims);
    browser
}

fn shows(browser: &TestBrowser<'_>, status: u16, text: &str) {
    assert_eq!((browser.page.status.as_u16(), browser.has_session("localhost")), (status, false), "{:?}", browser.page);
    assert!(browser.page.text.contains(text), "{text} is not in {}", browser.page.text);
}

fn accounts(server: &TestServer) -> i64 {
    server.central().get("/accounts").ok()["total"].as_i64().unwrap()
}

fn is_unverified(server: &TestServer, email: &'static str) {
    let sql = "UPDATE accounts SET email_verified = 0 WHERE email = ?1";
    server.instance.central.write(move |db| Ok::<_, Error>(db.execute(sql, [email])?)).unwrap();
}

#[test]
fn a_proven_address_joins_the_account_and_the_identity_stays_with_it() {
    let provider = StubProvider::start();
    let server = provider.server("", &[("registration", "closed")]);
    let page = TestBrowser::new(&server).go("/ui/sign-in").page.text.clone();
    assert!(page.contains("Continue with Example Ltd") && page.contains("type=\"password\""), "{page}");
    let browser = sign_in(&server, &provider, owner());
    assert_eq!((browser.url.as_str(), browser.page.status), ("http://localhost/ui/account", StatusCode::OK));
    assert!(browser.page.text.contains("Example Ltd"), "{}", browser.page.text);
    let event = &server.central().get("/audit-log?filter[action]=login.succeeded").ok()["data"][0];
    assert_eq!(event["details"], json!({"provider": "company"}));
    let mails = server.mails();
    assert_eq!(mails.last().unwrap().subject, "A way to sign in was added to your account");
    // From now on, the subject counts and not the address.
    let moved = json!({"sub": "owner-1", "email": "ada@example.com", "email_verified": false});
    assert_eq!(sign_in(&server, &provider, moved).url, "http://localhost/ui/account");
    let listed = server.central().get("/account/identities").ok();
    let identity = &listed["data"][0];
    assert_eq!(
        (&listed["total"], &identity["provider"], &identity["issuer"], &identity["email"]),
        (&json!(1), &json!("Example Ltd"), &json!(provider.issuer), &json!("ada@example.com"))
    );
    server.stranger().delete(&format!("/account/identities/{}", identity["id"])).rejected(404, "not_found");
    server.central().delete(&format!("/account/identities/{}", identity["id"])).ok();
    let stranger = json!({"sub": "owner-1", "email": "ada@example.com", "email_verified": false});
    shows(&sign_in(&server, &provider, stranger), 422, "does not answer for an email address");
}

/// Whether a person gets in, for each state of the account, of the address, of the registration and of an invitation.
#[test]
fn only_what_is_proven_on_both_sides_joins_and_only_who_is_invited_is_new() {
    let provider = StubProvider::start();
    for registration in ["open", "invite", "closed"] {
        for account in [None, Some(false), Some(true)] {
            for is_proven in [false, true] {
                for is_invited in [false, true] {
                    let server = provider.server("", &[("registration", registration)]);
                    if let Some(is_verified) = account {
                        server.join_acme("ada@example.com", "agent");
                        if !is_verified {
                            is_unverified(&server, "ada@example.com");
                        }
                    }
                    if is_invited {
                        server.invited("ada@example.com");
                    }
                    let before = accounts(&server);
                    let claims = json!({"sub": "ada", "email": "ada@example.com", "email_verified": is_proven});
                    let browser = sign_in(&server, &provider, claims);
                    let expected = match (account, is_proven) {
                        (_, false) | (Some(false), _) => false,
                        (Some(true), true) => true,
                        (None, true) => is_invited || registration == "open",
                    };
                    let case = format!("{registration}, {account:?}, proven {is_proven}, invited {is_invited}");
                    assert_eq!(browser.has_session("localhost"), expected, "{case}: {:?}", browser.page);
                    assert_eq!(accounts(&server) - before, i64::from(expected && account.is_none()), "{case}");
                    assert!(!browser.page.status.is_server_error(), "{case}: {:?}", browser.page);
                }
            }
        }
    }
}

#[test]
fn a_new_account_has_no_password_until_its_owner_asks_for_one() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    sign_in(&server, &provider, ada());
    for password in ["", PASSWORD, "*"] {
        let answer = server.anonymous().post("/login", json!({"email": "ada@example.com", "password": password}));
        assert!([400, 401].contains(&answer.status.as_u16()), "{answer:?}");
    }
    let found = server.central().get("/accounts?filter[email]=ada@example.com").ok();
    assert_eq!(
        (&found["data"][0]["name"], &found["data"][0]["email_verified"]),
        (&json!("Ada Lovelace"), &json!(true))
    );
    server.anonymous().post("/password/forgot", json!({"email": "ada@example.com"})).ok();
    assert!(server.mails().iter().any(|mail| mail.subject.contains("password")), "no mail");
}

#[test]
fn an_id_token_with_any_fault_signs_nobody_in() {
    let provider = StubProvider::start();
    let server = provider.server("", &[("throttle_attempts", "0")]);
    for fault in TokenFault::ALL {
        provider.set_fault(Some(fault));
        let browser = sign_in(&server, &provider, owner());
        assert_eq!(
            (browser.page.status, browser.has_session("localhost")),
            (StatusCode::FORBIDDEN, false),
            "{fault:?}"
        );
    }
    provider.set_fault(None);
    assert!(sign_in(&server, &provider, owner()).has_session("localhost"));
}

#[test]
fn a_return_belongs_to_one_attempt_in_one_browser() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    let sent = |browser: &TestBrowser<'_>| browser.page.headers["location"].to_str().unwrap().to_owned();
    let mut attacker = TestBrowser::new(&server);
    attacker.step(START);
    let back = provider.sign_in(&sent(&attacker), owner());
    // A victim who follows the attacker's link is not signed in as the attacker.
    let mut victim = TestBrowser::new(&server);
    victim.go(&back);
    shows(&victim, 403, "was begun in another browser");
    victim.step(START);
    victim.go(&back);
    shows(&victim, 403, "was begun in another browser");
    attacker.go(&back);
    assert!(attacker.has_session("localhost"));
    attacker.go(&back);
    assert_eq!(attacker.page.status, 403, "once");
    for path in ["/callback", "/callback?code=a&state=b", "/callback?state=", "?connect=x"] {
        let mut browser = TestBrowser::new(&server);
        browser.go(&format!("{START}{path}"));
        shows(&browser, 403, "was begun in another browser");
    }
    for path in ["/ui/sign-in/with/nobody", "/ui/sign-in/with/nobody/callback?code=a&state=b"] {
        assert_eq!(TestBrowser::new(&server).go(path).page.status, 404);
    }
}

/// Another provider must not be able to pass off its code (RFC 9207).
#[test]
fn the_issuer_of_a_return_is_checked() {
    let provider = StubProvider::start();
    for is_announced in [false, true] {
        provider.set_metadata("authorization_response_iss_parameter_supported", json!(is_announced));
        let server = provider.server("", &[("throttle_attempts", "0")]);
        for (issuer, is_right) in [
            (None, !is_announced),
            (Some(provider.issuer.as_str()), true),
            (Some("https://other.example"), false),
            (Some(""), false),
        ] {
            let mut browser = TestBrowser::new(&server);
            browser.step(START);
            let sent = browser.page.headers["location"].to_str().unwrap().to_owned();
            let mut back = Url::parse(&provider.sign_in(&sent, owner())).unwrap();
            if let Some(issuer) = issuer {
                back.query_pairs_mut().append_pair("iss", issuer);
            }
            browser.go(back.as_str());
            assert_eq!(browser.has_session("localhost"), is_right, "{is_announced} {issuer:?}: {:?}", browser.page);
        }
    }
}

#[test]
fn what_goes_wrong_at_the_provider_is_told() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    for (error, text) in
        [("access_denied", "You were not signed in"), ("server_error", "(server_error)"), ("<b>", "(&#60;b&#62;)")]
    {
        let mut browser = TestBrowser::new(&server);
        browser.step(START);
        let sent = Url::parse(browser.page.headers["location"].to_str().unwrap()).unwrap();
        let state = sent.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        browser.go(&format!("{START}/callback?error={error}&state={state}"));
        shows(&browser, 403, text);
    }
    let mut browser = TestBrowser::new(&server);
    browser.step(START);
    let sent = browser.page.headers["location"].to_str().unwrap().to_owned();
    let back = provider.sign_in(&sent, owner());
    provider.set_down(true);
    browser.go(&back);
    shows(&browser, 503, "does not respond");
    let other = provider.server("", &[]);
    let mut browser = TestBrowser::new(&other);
    browser.go(START);
    shows(&browser, 503, "does not respond");
    // It is not asked again at once.
    provider.set_down(false);
    browser.go(START);
    shows(&browser, 503, "does not respond");
    provider.set_metadata("issuer", json!("https://other.example"));
    let third = provider.server("", &[]);
    let mut browser = TestBrowser::new(&third);
    browser.go(START);
    shows(&browser, 503, "is not set up correctly");
}

#[test]
fn providers_differ_in_how_they_know_clients_and_where_they_tell_addresses() {
    let provider = StubProvider::start();
    provider.set_metadata("token_endpoint_auth_methods_supported", json!(["client_secret_post"]));
    let server = provider.server("", &[]);
    provider.set_userinfo(owner());
    assert!(sign_in(&server, &provider, json!({"sub": "owner-1"})).has_session("localhost"));
    // The tokens of another person, injected at the provider (OpenID Connect Core 1.0, 5.3.2).
    let server = provider.server("", &[]);
    shows(&sign_in(&server, &provider, json!({"sub": "somebody"})), 422, "does not answer");
    // Booleans as text, as Apple and Amazon Cognito write them.
    let text = json!({"sub": "1", "email": "owner@example.com", "email_verified": "true", "name": "A"});
    assert!(sign_in(&server, &provider, text).has_session("localhost"));
}

#[test]
fn new_keys_are_read_when_one_is_unknown_and_metadata_once_an_hour() {
    const RETURN: &str = "http://localhost/callback";
    let stub = StubProvider::start();
    let provider = providers_of_file(Path::new(&stub.file(""))).unwrap().remove(0);
    let (clients, start) = (ProviderClients::new(false), Timestamp::now());
    let sign_in = |seconds: i64| {
        let now = start.plus(seconds);
        let (url, attempt) = clients.begin(&provider, RETURN, now)?;
        let back = Url::parse(&stub.sign_in(url.as_str(), owner())).unwrap();
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        clients.finish(&provider, RETURN, attempt, Return { code: &code, issuer: None }, now)
    };
    let readings = || (stub.requests("/.well-known/openid-configuration"), stub.requests("/jwks"));
    assert!(sign_in(0).is_ok() && sign_in(10).is_ok());
    assert_eq!(readings(), (1, 1));
    // Unknown keys cause no request within a minute of the last reading.
    stub.rotate_key();
    assert!(matches!(sign_in(30), Err(ProviderError::Invalid(_))));
    assert_eq!(readings(), (1, 1));
    assert!(sign_in(61).is_ok() && sign_in(200).is_ok());
    assert_eq!(readings(), (2, 2));
    // The tokens of the stub have the time of this machine, so an hour later they have expired.
    assert!(matches!(sign_in(61 + 3600), Err(ProviderError::Invalid(_))));
    assert_eq!(readings(), (3, 3));
    stub.set_metadata("jwks_uri", json!("no URL"));
    assert!(clients.begin(&provider, RETURN, start.plus(10_000)).is_ok(), "what is known is better than nothing");
}

#[test]
fn an_identity_is_connected_by_the_person_who_is_signed_in() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    server.join_acme("zoe@example.com", "agent");
    let mut browser = TestBrowser::signed_in(&server, "zoe@example.com");
    browser.go("/ui/account");
    let link =
        browser.page.text.split("href=\"").find(|rest| rest.starts_with(START)).unwrap().split('"').next().unwrap();
    let link = link.to_owned();
    // A site that has its visitor follow such a link does not know the key.
    let mut other = TestBrowser::signed_in(&server, "owner@example.com");
    other.go(&link);
    assert_eq!(other.page.status, 403, "{:?}", other.page);
    let unproven = json!({"sub": "z", "email": "other@example.com", "email_verified": false});
    by_link(&mut browser, &provider, &link, unproven.clone());
    assert_eq!(browser.url, "http://localhost/ui/account");
    let zoe = sign_in(&server, &provider, unproven.clone());
    assert!(zoe.page.text.contains("zoe@example.com"), "{:?}", zoe.page);
    other.go("/ui/account");
    let link =
        other.page.text.split("href=\"").find(|rest| rest.starts_with(START)).unwrap().split('"').next().unwrap();
    let link = link.to_owned();
    by_link(&mut other, &provider, &link, unproven.clone());
    assert!(other.page.status == 422 && other.page.text.contains("signs in with this identity already"), "{other:?}");
    // Whoever signs out meanwhile connects nothing.
    other.go("/ui/account");
    other.step(&link);
    let sent = other.page.headers["location"].to_str().unwrap().to_owned();
    other.forget("localhost", "cx_session");
    other.go(&provider.sign_in(&sent, ada()));
    shows(&other, 403, "was begun in another browser");
    browser.go("/ui/account");
    let remove = "/ui/account/identities/1/delete";
    assert!(browser.page.text.contains(remove), "{}", browser.page.text);
    browser.go(remove).submit(remove, &[]);
    assert!(browser.page.text.contains("Not connected"), "{}", browser.page.text);
}

#[test]
fn an_invitation_is_accepted_with_a_provider() {
    let provider = StubProvider::start();
    let server = provider.server("", &[("registration", "closed")]);
    // The code proves the address, so the provider need not.
    let (_, code) = server.invited("ada@example.com");
    let mut browser = TestBrowser::new(&server);
    browser.go(&format!("/ui/invitations/{code}"));
    let link = format!("{START}?invitation={code}");
    assert!(browser.page.text.contains(&link), "{}", browser.page.text);
    browser.step(&link);
    let sent = browser.page.headers["location"].to_str().unwrap().to_owned();
    let back = provider.sign_in(&sent, json!({"sub": "ada", "email": "a.lovelace@example.com"}));
    browser.step(&back);
    let to = browser.page.headers["location"].to_str().unwrap();
    assert!(to.starts_with("http://hosts-") && to.ends_with("/ui/enter?to=%2Fui"), "{to}");
    let found = server.central().get("/accounts?filter[email]=ada@example.com").ok();
    assert_eq!(found["total"], 1);
    // It enters no existing account, and no other person's invitation.
    let (_, code) = server.invited("owner@example.com");
    let mut browser = TestBrowser::new(&server);
    by_link(
        &mut browser,
        &provider,
        &format!("{START}?invitation={code}"),
        json!({"sub": "x", "email": "owner@example.com"}),
    );
    shows(&browser, 422, "connect Example Ltd");
    let mut browser = TestBrowser::new(&server);
    by_link(&mut browser, &provider, &format!("{START}?invitation={code}"), json!({"sub": "ada"}));
    shows(&browser, 422, "The invitation is for owner@example.com");
    let mut browser = TestBrowser::new(&server);
    by_link(&mut browser, &provider, &format!("{START}?invitation=nothing"), json!({"sub": "ada"}));
    shows(&browser, 404, "");
}

#[test]
fn only_allowed_domains_sign_in() {
    let provider = StubProvider::start();
    let server = provider.server("allowed_domains = [\"example.com\"]", &[]);
    assert!(sign_in(&server, &provider, ada()).has_session("localhost"));
    for claims in [
        json!({"sub": "1", "email": "eve@other.example", "email_verified": true}),
        json!({"sub": "2", "email": "eve@example.com", "email_verified": false}),
        json!({"sub": "3"}),
        // Who left the company.
        json!({"sub": "ada", "email": "ada@other.example", "email_verified": true}),
    ] {
        shows(&sign_in(&server, &provider, claims), 403, "does not let this address sign in");
    }
}

#[test]
fn a_second_factor_is_asked_for_unless_the_provider_checks_one() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    let app = AuthenticatorApp::enroll(&server.central());
    let mut browser = sign_in(&server, &provider, owner());
    assert!(!browser.has_session("localhost") && browser.page.text.contains("authenticator app"), "{:?}", browser.page);
    browser.submit("/ui/sign-in/code", &[("code", &app.code())]);
    assert_eq!(browser.url, "http://localhost/ui/account");
    let event = &server.central().get("/audit-log?filter[action]=login.succeeded").ok()["data"][0];
    assert_eq!(event["details"]["provider"], "company");
    server.admin().put("/settings", json!({"require_second_factor": true})).created();
    server.join_acme("zoe@example.com", "agent");
    let zoe = || json!({"sub": "zoe", "email": "zoe@example.com", "email_verified": true});
    let enter = |browser: &mut TestBrowser<'_>| browser.go("http://acme.localhost/ui/enter?to=/ui").url.clone();
    let mut browser = sign_in(&server, &provider, zoe());
    assert!(enter(&mut browser).contains("/ui/second-factor"), "{}", browser.url);
    let strong = provider.file("second_factor = true");
    let server = server.beside(&[("single_sign_on", &strong)]);
    let mut browser = sign_in(&server, &provider, zoe());
    assert_eq!(enter(&mut browser), "http://acme.localhost/ui");
}

#[test]
fn an_operator_requires_single_sign_on() {
    let provider = StubProvider::start();
    let server = provider.server("", &[("require_single_sign_on", "true")]);
    let login = json!({"email": "owner@example.com", "password": PASSWORD});
    server.anonymous().post("/login", login.clone()).rejected(403, "single_sign_on_required");
    server.anonymous().at("acme.localhost").post("/login", login).rejected(403, "single_sign_on_required");
    let new = json!({"name": "Ada", "email": "ada@example.com", "password": "quite-a-long-one"});
    server.anonymous().post("/register", new).rejected(403, "single_sign_on_required");
    let (_, code) = server.invited("ada@example.com");
    for path in ["/ui/sign-in", &format!("/ui/invitations/{code}"), "http://acme.localhost/ui/sign-in"] {
        let mut browser = TestBrowser::new(&server);
        browser.go(path);
        let text = &browser.page.text;
        assert!(!text.contains("type=\"password\"") && text.contains("Continue with Example Ltd"), "{path}: {text}");
    }
    let mut browser = TestBrowser::new(&server);
    browser.go("http://acme.localhost/ui/sign-in?to=/ui/customers");
    let link = browser.page.text.split("href=\"").find(|rest| rest.contains("provider=company")).unwrap();
    let link = link.split('"').next().unwrap().replace("&#38;", "&");
    browser.step(&link);
    let central = browser.page.headers["location"].to_str().unwrap().to_owned();
    by_link(&mut browser, &provider, &central, owner());
    assert_eq!((browser.url.as_str(), browser.page.status), ("http://acme.localhost/ui/customers", StatusCode::OK));
}

#[test]
fn a_workspace_requires_single_sign_on() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    // An administrator must not lock themselves out.
    let setting = json!({"require_single_sign_on": true});
    server.admin().put("/settings", setting.clone()).rejected(422, "single_sign_on_unused");
    let key = server.key(&["workspace.manage", "customer.view"], None);
    key.put("/settings", setting).created();
    let acme = || server.anonymous().at("acme.localhost");
    let login = json!({"email": "owner@example.com", "password": PASSWORD});
    acme().post("/login", login).rejected(403, "single_sign_on_required");
    server.admin().get("/customers").rejected(403, "single_sign_on_required");
    let switch = json!({"workspace_id": server.acme.id});
    server.central().post("/switch-to", switch.clone()).rejected(403, "single_sign_on_required");
    key.get("/customers").ok();
    let mut browser = TestBrowser::new(&server);
    browser.go("http://acme.localhost/ui/sign-in");
    browser.submit("/ui/sign-in", &[("email", "owner@example.com"), ("password", PASSWORD)]);
    assert!(browser.page.status == 403 && browser.page.text.contains("requires single sign-on"), "{:?}", browser.page);
    let mut browser = sign_in(&server, &provider, owner());
    browser.go("http://acme.localhost/ui/enter?to=/ui/customers");
    assert_eq!((browser.url.as_str(), browser.page.status), ("http://acme.localhost/ui/customers", StatusCode::OK));
}

#[test]
fn groups_give_roles() {
    let provider = StubProvider::start();
    let roles = "roles = [{ group = \"leads\", workspace = \"acme\", role = \"admin\" }, \
                 { group = \"*\", workspace = \"acme\", role = \"agent\" }, \
                 { group = \"leads\", workspace = \"missing\", role = \"admin\" }]";
    let server = provider.server(roles, &[]);
    let role = |email: &str| {
        let users = server.admin().get(&format!("/users?filter[email]={email}")).ok();
        users["data"][0]["role"]["name"].as_str().map(str::to_owned)
    };
    let with_groups = |claims: Value, groups: Value| {
        let mut claims = claims;
        claims["groups"] = groups;
        assert!(sign_in(&server, &provider, claims).has_session("localhost"));
    };
    with_groups(ada(), json!(["leads"]));
    assert_eq!(role("ada@example.com").as_deref(), Some("admin"));
    with_groups(ada(), json!(["others"]));
    assert_eq!(role("ada@example.com").as_deref(), Some("agent"));
    // Groups that the provider does not tell change nothing.
    with_groups(ada(), json!(null));
    assert_eq!(role("ada@example.com").as_deref(), Some("agent"));
    // The last administrator stays one.
    with_groups(owner(), json!([]));
    assert_eq!(role("owner@example.com").as_deref(), Some("admin"));
    let entry = &server.admin().get("/audit-log?filter[resource]=user&sort=-id").ok()["data"][0];
    assert_eq!(entry["changes"]["role"][1]["name"], "agent", "{entry}");
}

#[test]
fn a_person_signs_out_here_and_at_the_provider() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    let mut browser = sign_in(&server, &provider, owner());
    browser.submit("/ui/sign-out", &[]);
    assert!(
        !browser.has_session("localhost") && browser.url.starts_with("http://localhost/ui/signed-out"),
        "{browser:?}"
    );
    let link = format!(
        "{}/logout?client_id=cx-engine&#38;post_logout_redirect_uri=http%3A%2F%2Flocalhost%2Fui%2Fsign-in",
        provider.issuer
    );
    assert!(browser.page.text.contains(&link), "{}", browser.page.text);
    let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
    browser.go("/ui/account").submit("/ui/sign-out", &[]);
    assert!(browser.url.starts_with("http://localhost/ui/sign-in"), "{}", browser.url);
}

/// The provider of a workspace, which its owner runs, signs in the addresses of its domains and no others.
#[test]
fn a_workspace_has_a_provider_for_its_own_addresses() {
    let provider = StubProvider::start();
    let server = TestServer::with(&[("private_webhooks", "true")]);
    server.join_acme("zoe@acme.example", "agent");
    let (operator, owner) = (server.central(), server.central());
    let path = format!("/workspaces/{}/identity-provider", server.acme.id);
    let new =
        |issuer: &str| json!({"name": "Acme", "issuer": issuer, "client_id": "cx-engine", "client_secret": SECRET});
    owner.put(&path, new(&provider.issuer)).rejected(422, "identity_provider_not_allowed");
    let domains = |domains: Value| {
        let path = format!("/instance{}", path.replace("provider", "domains"));
        operator.put(&path, json!({"identity_domains": domains}))
    };
    server
        .stranger()
        .put(&format!("/instance{}", path.replace("provider", "domains")), json!({}))
        .rejected(403, "forbidden");
    domains(json!(["acme"])).invalid(&["The identity domains 0 must be a domain of email addresses."]);
    assert_eq!(domains(json!(["Acme.example"])).created()["identity_domains"], json!(["acme.example"]));
    server.stranger().put(&path, new(&provider.issuer)).rejected(404, "workspace_not_found");
    for issuer in ["ftp://login.example.com", "https://login.example.com/?a", "login"] {
        assert_eq!(owner.put(&path, new(issuer)).status, 400, "{issuer}");
    }
    let shown = owner.put(&path, new(&provider.issuer)).created();
    assert_eq!((&shown["has_client_secret"], shown.to_string().contains(SECRET)), (&json!(true), false));
    // A change without the secret keeps it.
    let mut change = new(&provider.issuer);
    change.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(owner.put(&path, change).created()["has_client_secret"], true);

    let enter = |claims: Value| {
        let mut browser = TestBrowser::new(&server);
        browser.go("http://acme.localhost/ui/sign-in?to=/ui/customers");
        let link = browser.page.text.split("href=\"").find(|rest| rest.contains("provider=")).unwrap();
        let link = link.split('"').next().unwrap().replace("&#38;", "&");
        browser.step(&link);
        let central = browser.page.headers["location"].to_str().unwrap().to_owned();
        by_link(&mut browser, &provider, &central, claims);
        browser
    };
    let browser = enter(json!({"sub": "zoe", "email": "zoe@acme.example"}));
    assert_eq!(browser.url, "http://acme.localhost/ui/customers");
    // It is no provider of the instance, and cannot be anybody else.
    for claims in [
        json!({"sub": "zoe", "email": "owner@example.com", "email_verified": true}),
        json!({"sub": "eve", "email": "owner@example.com", "email_verified": true}),
        json!({"sub": "eve"}),
    ] {
        shows(&enter(claims), 403, "does not let this address sign in");
    }
    assert!(!TestBrowser::new(&server).go("/ui/sign-in").page.text.contains("Continue with"));
    assert!(
        !TestBrowser::new(&server).go("http://other.localhost/ui/sign-in").page.text.contains("Continue with Acme")
    );
    let start = format!("/ui/sign-in/with/{}", server.acme.id);
    domains(json!([])).created();
    assert_eq!(TestBrowser::new(&server).go(&start).page.status, 404);
    domains(json!(["acme.example"])).created();
    owner.delete(&path).ok();
    owner.delete(&path).rejected(404, "not_found");
    assert_eq!(TestBrowser::new(&server).go(&start).page.status, 404);
    assert_eq!(owner.get(&path).ok()["issuer"], Value::Null);
}

/// Two providers with one issuer, of which one cannot be reached from where it is asked.
#[test]
fn a_provider_of_a_workspace_does_not_disturb_one_of_the_instance() {
    let provider = StubProvider::start();
    let server = provider.server("", &[]);
    let sql = "INSERT INTO workspace_providers (workspace_id, domains, name, issuer, client_id)
               VALUES (?1, '[\"acme.example\"]', 'Acme', ?2, 'cx-engine')";
    let (acme, issuer) = (server.acme.id.to_string(), provider.issuer.clone());
    server.instance.central.write(move |db| Ok::<_, Error>(db.execute(sql, (&acme, &issuer))?)).unwrap();
    let mut browser = TestBrowser::new(&server);
    browser.go(&format!("/ui/sign-in/with/{}", server.acme.id));
    shows(&browser, 503, "does not respond");
    assert!(sign_in(&server, &provider, owner()).has_session("localhost"));
}

/// A provider of a workspace in the server's own network is not asked.
#[test]
fn a_provider_of_a_workspace_is_on_the_public_internet() {
    let provider = StubProvider::start();
    let server = TestServer::new();
    let path = format!("/workspaces/{}/identity-provider", server.acme.id);
    let domains = json!({"identity_domains": ["acme.example"]});
    server.central().put(&format!("/instance{}", path.replace("provider", "domains")), domains).created();
    let new = |issuer: &str| json!({"name": "Acme", "issuer": issuer, "client_id": "cx-engine"});
    server.central().put(&path, new(&provider.issuer)).invalid(&["The issuer must be an https URL."]);
    server.central().put(&path, new(&provider.issuer.replace("http:", "https:"))).created();
    let mut browser = TestBrowser::new(&server);
    browser.go(&format!("/ui/sign-in/with/{}", server.acme.id));
    shows(&browser, 503, "does not respond");
    assert_eq!(provider.requests("/.well-known/openid-configuration"), 0);
}

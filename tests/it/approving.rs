//! From the link of a PBX to its token, by a person in a real browser: sign in, approve, deny, and errors on the way.
//! Checks appearance, keyboard use, phone width, dark mode and French.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::chromium::{Chromium, Scheme};
use crate::client::Request;
use crate::receiver::Receiver;
use crate::test_server::{PASSWORD, Team, TestServer, email, text};

/// A workspace, a PBX registered with it, and the PBX's redirect address.
struct Scene {
    server: TestServer,
    acme: Team,
    pbx: Value,
    callback: Receiver,
}

impl Scene {
    fn new() -> Self {
        Self::with(Receiver::start())
    }

    fn with(callback: Receiver) -> Self {
        let server = TestServer::new();
        let acme = server.team("acme");
        let pbx = json!({
            "name": "3CX", "redirect_uris": [callback.url()], "grants": ["authorization_code"],
            "scopes": ["client", "crm", "contact.view", "contact.create"],
        });
        let pbx = server.post(&acme.inside, "/oauth-clients", pbx).created();
        Self { server, acme, pbx, callback }
    }

    fn url(&self, path: &str) -> String {
        format!("http://acme.localhost:{}{path}", self.server.address().port())
    }

    /// The link on the PBX's own page.
    fn link(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("response_type", "code"), ("state", "a b&c=<d>")])
            .append_pair("client_id", self.pbx["client_id"].as_str().unwrap())
            .append_pair("redirect_uri", &self.callback.url())
            .finish();
        self.url(&format!("/oauth/authorize?{query}"))
    }

    fn sign_in(&self, browser: &mut Chromium, password: &str) {
        browser.fill("#email", &email("acme"));
        browser.fill("#password", password);
        browser.click("form button");
    }

    /// The requests to the PBX's redirect address, without favicons and the like.
    fn told(&self) -> Vec<Vec<(String, String)>> {
        let came = self.callback.others().into_iter();
        let queries = came.filter_map(|message| message.path.strip_prefix("/hook?").map(str::to_owned));
        queries.map(|query| form_urlencoded::parse(query.as_bytes()).into_owned().collect()).collect()
    }

    fn told_once(&self, name: &str) -> String {
        let told = self.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&("state".into(), "a b&c=<d>".into())), "{told:?}");
        let found = told[0].iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {told:?}")).1.clone()
    }
}

#[test]
fn a_person_comes_from_the_pbx_signs_in_approves_and_it_gets_its_token() {
    let Some(mut browser) = Chromium::start("en") else { return };
    let scene = Scene::new();
    browser.go(&scene.link());
    assert!(browser.text().starts_with("Sign in to acme"), "{}", browser.text());
    scene.sign_in(&mut browser, "not the password");
    assert!(browser.text().contains("The email or the password is wrong."), "{}", browser.text());
    assert_eq!(browser.focused(), "password");
    scene.sign_in(&mut browser, PASSWORD);
    let page = browser.text();
    for said in ["3CX asks for access to acme", &email("acme"), "see contacts", "look up callers"] {
        assert!(page.contains(said), "{said} is not in {page}");
    }
    assert!(!page.contains("delete"), "{page}");

    // A double click may submit twice; each response has its own code.
    browser.double_click("button[value=approve]");
    assert!(browser.url().starts_with(&scene.callback.url()), "{}", browser.url());
    let codes = scene.told();
    let code = codes.last().unwrap().iter().find(|(name, _)| name == "code").unwrap().1.clone();
    let exchange = json!({
        "grant_type": "authorization_code", "code": code, "redirect_uri": scene.callback.url(),
        "client_id": scene.pbx["client_id"], "client_secret": scene.pbx["client_secret"],
    });
    let exchange = || {
        let host = format!("acme.localhost:{}", scene.server.address().port());
        let body = exchange.to_string();
        let request =
            Request { method: "POST", path: "/oauth/token", host: &host, body: Some(&body), ..Request::default() };
        scene.server.ask(&request)
    };
    let token = exchange().ok();
    let pbx = scene.acme.inside.clone().with(&token["access_token"]);
    assert_eq!(scene.server.get(&pbx, "/contacts").ok()["total"], 0);
    assert_eq!(exchange().status, 400);
}

#[test]
fn a_person_denies_or_whose_session_is_over_signs_in_again() {
    let Some(mut browser) = Chromium::start("en") else { return };
    let scene = Scene::new();
    browser.go(&scene.link());
    scene.sign_in(&mut browser, PASSWORD);
    // Revoked elsewhere while the page waits for a decision.
    let tokens = scene.server.get(&scene.acme.owner, "/tokens").ok();
    let session = tokens["data"].as_array().unwrap().iter().find(|token| token["label"] == "browser");
    scene.server.delete(&scene.acme.owner, &format!("/tokens/{}", session.expect("a session")["id"])).ok();
    browser.click("button[value=approve]");
    assert!(browser.text().starts_with("Sign in to acme"), "{}", browser.text());
    assert!(scene.told().is_empty());

    scene.sign_in(&mut browser, PASSWORD);
    browser.click("button[value=deny]");
    assert_eq!(scene.told_once("error"), "access_denied");
    // Another person uses the same browser.
    browser.go(&scene.link());
    browser.click("button.link");
    assert!(browser.text().starts_with("Sign in to acme"), "{}", browser.text());
}

/// A CSP source cannot name an IPv6 address, but the browser must still get there.
#[test]
fn a_program_that_waits_at_an_ipv6_address_is_told_too() {
    // No server of another test may have the same port at 127.0.0.1: its browser would come here.
    let taken: &'static TcpListener = Box::leak(Box::new(TcpListener::bind("127.0.0.1:0").unwrap()));
    let Ok(listener) = TcpListener::bind(("::1", taken.local_addr().unwrap().port())) else { return };
    let Some(mut browser) = Chromium::start("en") else { return };
    let scene = Scene::with(Receiver::on(listener));
    browser.go(&scene.link());
    scene.sign_in(&mut browser, PASSWORD);
    browser.click("button[value=approve]");
    assert!(browser.url().starts_with(&scene.callback.url()), "{}", browser.url());
    assert!(!scene.told_once("code").is_empty());
}

#[test]
fn a_person_without_a_mouse_reaches_everything() {
    let Some(mut browser) = Chromium::start("en") else { return };
    let scene = Scene::new();
    browser.go(&scene.link());
    while browser.focused() != "email" {
        browser.tab();
    }
    browser.type_text(&email("acme"));
    browser.tab();
    browser.type_text(PASSWORD);
    browser.enter();
    for button in ["Approve", "Deny", "Sign in as somebody else", "Approve"] {
        while browser.focused() != button {
            browser.tab();
        }
        let outline = browser.look("parseFloat(getComputedStyle(document.activeElement).outlineWidth)");
        assert!(outline.as_f64() >= Some(2.0), "{button}: {outline}");
    }
    browser.enter();
    assert!(!scene.told_once("code").is_empty());
}

#[test]
fn no_page_of_another_origin_has_ours_in_a_frame() {
    let Some(mut browser) = Chromium::start("en") else { return };
    let scene = Scene::new();
    for path in ["/ui/sign-in", "/oauth/authorize", "/docs"] {
        scene.callback.shows(&format!("<iframe src=\"{}\"></iframe>", scene.url(path)));
        browser.go(&scene.callback.url());
        assert_eq!(browser.frames(), ["chrome-error://chromewebdata/"], "{path}");
    }
    // A page that allows framing can be framed.
    let elsewhere = Receiver::start();
    scene.callback.shows(&format!("<iframe src=\"{}\"></iframe>", elsewhere.url()));
    browser.go(&scene.callback.url());
    assert_eq!(browser.frames(), [elsewhere.url()]);
}

#[test]
fn pages_are_fit_to_be_read_by_day_by_night_and_on_a_phone_in_both_languages() {
    let scene = Scene::new();
    let invited = json!({"email": email("grace"), "role_id": 3, "name": "Grace"});
    scene.server.post(&scene.acme.inside, "/user-invites", invited).created();
    let invitation = link_in_the_only_mail(&scene.server);
    let caller = json!({
        "civility": "Mme", "first_name": "Zoé", "last_name": "Lefèvre", "role": "Achats", "company": "Acme Télécom",
        "phone_mobile_1": "06 12 34 56 78", "phone_business_1": "01 42 00 00 00", "email": "zoe.lefevre@example.com",
        "comment": "Rappeler le matin.\nParle anglais.",
    });
    scene.server.post(&scene.acme.inside, "/contacts", caller).created();
    for (language, title) in [("en", "asks for access to"), ("fr", "demande un accès à")] {
        let Some(mut browser) = Chromium::start(language) else { return };
        browser.go(&scene.link());
        scene.sign_in(&mut browser, "not the password");
        look_at(&mut browser, language, "sign-in");
        scene.sign_in(&mut browser, PASSWORD);
        assert!(browser.text().contains(title), "{}", browser.text());
        look_at(&mut browser, language, "approve");
        browser.go(&scene.url("/oauth/authorize?client_id=nobody"));
        look_at(&mut browser, language, "message");
        browser.go(&scene.url("/ui/contacts/1"));
        assert!(browser.text().contains("Mme Zoé Lefèvre"), "{}", browser.text());
        look_at(&mut browser, language, "contact");
        browser.go(&invitation);
        look_at(&mut browser, language, "invitation");
        let reset = invitation.split("/invitations").next().unwrap().to_owned();
        browser.go(&format!("{reset}/password-reset?email=ada@example.com&code=c"));
        look_at(&mut browser, language, "password-reset");
    }
}

fn link_in_the_only_mail(server: &TestServer) -> String {
    let outbox = server.data().join("outbox");
    let mut found = None;
    crate::test_server::eventually("a mail in the outbox", || {
        let mails = std::fs::read_dir(&outbox).into_iter().flatten().flatten();
        found = mails.map(|mail| std::fs::read_to_string(mail.path()).unwrap()).find(|mail| mail.contains("/ui/"));
        found.is_some()
    });
    let mail = found.unwrap().replace("=\r\n", "").replace("=3D", "=");
    let (_, rest) = mail.split_once("http://").unwrap();
    format!("http://{}", rest.split_whitespace().next().unwrap())
}

/// Checks on each kind of screen: no line is cut off, every word has enough contrast (WCAG 2.2, 1.4.3), every field has
/// a label.
fn look_at(browser: &mut Chromium, language: &str, name: &str) {
    for (screen, width, scheme) in
        [("light", 900, Scheme::Light), ("dark", 900, Scheme::Dark), ("phone", 360, Scheme::Light)]
    {
        browser.show(width, scheme);
        browser.photograph(&format!("{name}-{language}-{screen}"));
        assert_eq!(browser.look("document.documentElement.scrollWidth <= innerWidth"), json!(true), "{name}: {screen}");
        assert_eq!(browser.look(FAINT), json!([]), "{name}: {screen}");
    }
    assert_eq!(text(&browser.look("document.documentElement.lang")), language);
    let unlabelled = "[...document.querySelectorAll('input:not([type=hidden])')].filter(i => !i.labels.length).length";
    assert_eq!(browser.look(unlabelled), json!(0), "{name}");
    assert_eq!(browser.look("document.querySelectorAll('h1').length"), json!(1), "{name}");
    let problems =
        "document.querySelectorAll('.wrong').length === document.querySelectorAll('.wrong[role=alert]').length";
    assert_eq!(browser.look(problems), json!(true), "{name}");
}

/// The words of a page with a contrast below 4.5 to 1.
const FAINT: &str = "(() => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = colour => channels(colour).slice(0, 3).map(c => c / 255)
        .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (channels(colour)[3] !== 0) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const words = [...document.querySelectorAll('body *')].filter(element => element.matches('input:not([type=hidden])')
        || [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
    return words.filter(element => {
        const [less, more] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => a - b);
        return (more + .05) / (less + .05) < 4.5;
    }).map(element => element.outerHTML);
})()";

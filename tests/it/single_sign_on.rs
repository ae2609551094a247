//! Single sign-on in a browser, with a provider that others have written: `oidc-provider-mock` from PyPI. It is small,
//! needs no network, and is built on Authlib, which checks PKCE, the client and the redirect URL.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::chromium::Chromium;
use crate::client::Request;
use crate::process::{Process, free_ports, not_run, program, run};
use crate::test_server::{TestServer, Who, central, email, eventually};

/// A provider with one person, stopped when dropped.
struct Provider {
    _process: Process,
    folder: TempDir,
    issuer: String,
}

impl Provider {
    /// Starts the provider. `None`, with a message, if it is not installed.
    fn start() -> Option<Self> {
        let [port] = free_ports();
        let person = json!({
            "sub": "zoe", "email": email("zoe"), "email_verified": true, "name": "Zoé Lefèvre", "groups": ["desk"],
        });
        let mut command = Command::new("oidc-provider-mock");
        command.args(["--port", &port.to_string(), "--user-claims", &person.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = match command.spawn() {
            Ok(process) => Process(process),
            Err(error) => {
                not_run(&format!("there is no oidc-provider-mock here ({error})"));
                return None;
            }
        };
        let provider = Self {
            _process: process,
            folder: tempfile::tempdir().unwrap(),
            issuer: format!("http://127.0.0.1:{port}"),
        };
        eventually("the provider answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(provider)
    }

    /// Describes the provider for a server. Everybody is an agent of `acme`.
    fn description(&self) -> String {
        let secret = self.folder.path().join("secret");
        fs::write(&secret, "a-client-secret").unwrap();
        let path = self.folder.path().join("single-sign-on.toml");
        let text = format!(
            "[company]\nname = \"Example Ltd\"\nissuer = {:?}\nclient_id = \"cx-engine\"\nclient_secret_file = {secret:?}\n\
             roles = [{{ group = \"*\", workspace = \"acme\", role = \"agent\" }}]\n",
            self.issuer
        );
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn sees(browser: &mut Chromium, text: &str) {
    let shown = browser.text();
    assert!(shown.contains(text), "{text} is not on {}: {shown}", browser.url());
}

#[test]
fn a_person_signs_in_to_a_workspace_with_a_provider_and_out_again() {
    let Some(provider) = Provider::start() else { return };
    let Some(mut browser) = Chromium::start("en") else { return };
    let server = TestServer::with(&["--single-sign-on", &provider.description()]);
    let acme = server.team("acme");
    let at = |host: &str, path: &str| format!("http://{host}:{}{path}", server.address().port());
    browser.go(&at("acme.localhost", "/ui/contacts"));
    browser.click("a[href*=company]");
    assert!(browser.url().starts_with(&provider.issuer), "{}", browser.url());
    browser.click("button[value=zoe]");
    assert_eq!(browser.url(), at("acme.localhost", "/ui/contacts"));
    let users = server.get(&acme.inside, "/users?filter[email]=zoe").ok();
    let role = &users["data"][0]["role"]["name"];
    assert_eq!((&users["data"][0]["name"], role), (&json!("Zoé Lefèvre"), &json!("agent")));
    // The second time, the central session suffices.
    browser.go(&at("localhost", "/ui/account"));
    sees(&mut browser, "Example Ltd");
    browser.press("details.me > summary");
    browser.click("form[action='/ui/sign-out'] button");
    sees(&mut browser, "You are still signed in at Example Ltd");
    browser.click("a.button");
    assert!(browser.url().starts_with(&provider.issuer), "{}", browser.url());
    browser.go(&at("localhost", "/ui/account"));
    assert!(browser.url().starts_with(&at("localhost", "/ui/sign-in")), "{}", browser.url());
    let log = server.log();
    assert!(!log.contains("a-client-secret") && !log.contains("zoe@"), "{log}");
}

/// A person who connects a provider reaches it although the content security policy forbids forms to other hosts.
#[test]
fn a_person_connects_a_provider_to_an_account() {
    let Some(provider) = Provider::start() else { return };
    let Some(mut browser) = Chromium::start("fr") else { return };
    let server = TestServer::with(&["--single-sign-on", &provider.description()]);
    server.register("ada");
    let url = |path: &str| format!("http://localhost:{}{path}", server.address().port());
    browser.go(&url("/ui/sign-in?to=/ui/account"));
    browser.fill("#email", &email("ada"));
    browser.fill("#password", crate::test_server::PASSWORD);
    browser.click("main form button");
    browser.click("a[href*='connect=']");
    browser.click("button[value=zoe]");
    assert_eq!(browser.url(), url("/ui/account"));
    sees(&mut browser, &email("zoe"));
    let ada = server.log_in("ada");
    assert_eq!(server.get(&ada, "/account/identities").ok()["data"][0]["email"], email("zoe"));
    browser.click("a[href*='/identities/']");
    browser.click("main form button");
    sees(&mut browser, "Non connecté");
}

/// The provider of a workspace that requires single sign-on is gone for good.
#[test]
fn an_operator_lets_people_with_passwords_in_again() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let key = json!({"name": "settings", "permissions": ["workspace.manage"]});
    let key = server.post(&acme, "/integration-keys", key).created();
    let program = Who { token: None, ..acme.clone() }.with(&key["key"]);
    server.put(&program, "/settings", json!({"require_single_sign_on": true})).created();
    server.get(&acme, "/settings").refused(403, "single_sign_on_required");
    let said = server.cli(&["workspace", "allow-passwords", "acme"]).ok();
    assert!(said.contains("acme now accepts sign-ins with a password"), "{said}");
    assert_eq!(server.get(&acme, "/settings").ok()["require_single_sign_on"], false);
    let entry = &server.get(&acme, "/audit-log?filter[resource]=settings&sort=-id").ok()["data"][0];
    assert_eq!(
        (&entry["actor"]["type"], &entry["changes"]["require_single_sign_on"]),
        (&json!("system"), &json!([true, false]))
    );
}

/// What the file of the providers gets wrong is said at the start.
#[test]
fn a_wrong_description_is_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    let start = |text: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let done = run(program(folder.path()).args(["serve", "--single-sign-on", path]).args(more), "");
        assert!(done.code != Some(0) && !Path::new(&folder.path().join("data")).exists(), "{done:?}");
        done.err
    };
    assert!(start("[company]\nname = \"A\"\n", &[]).contains("issuer"));
    let said = start("[company]\nname = \"A\"\nissuer = \"http://login.example.com\"\nclient_id = \"a\"\n", &[]);
    assert!(said.contains("company") && said.contains("https://"), "{said}");
    let said = run(program(folder.path()).args(["serve", "--require-single-sign-on", "true"]), "").err;
    assert!(said.contains("single_sign_on"), "{said}");
}

/// Signing in is a link, so it works where the provider is down: the page says so.
#[test]
fn a_provider_that_is_down_is_told_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let ([port], file) = (free_ports(), folder.path().join("providers.toml"));
    let text = format!("[company]\nname = \"Example Ltd\"\nissuer = \"http://127.0.0.1:{port}\"\nclient_id = \"a\"\n");
    fs::write(&file, text).unwrap();
    let server = TestServer::with(&["--single-sign-on", file.to_str().unwrap()]);
    let team = server.team("acme");
    let ask = |path| server.ask(&Request { method: "GET", path, host: &central().host, ..Request::default() });
    let answer = ask("/ui/sign-in/with/company");
    assert_eq!((answer.status, answer.text.contains("Example Ltd does not respond")), (503, true), "{answer:?}");
    server.get(&team.inside, "/customers").ok();
    eventually("the log says why", || server.log().contains("single sign-on failed"));
}

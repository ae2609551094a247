//! TLS without a proxy, with curl: both versions of HTTP and TLS, certificates that change, and redirects from plain
//! HTTP.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Connection, Request};
use crate::process::{Typed, curl, program, run};
use crate::test_server::{PASSWORD, TestServer, eventually};

/// A server with TLS, and its certificate.
struct Secure {
    server: TestServer,
    files: Files,
}

/// The folder of a certificate and its key.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.renew();
        files
    }

    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// Replaces the certificate by another self-signed one.
    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".into(), "acme.localhost".into()]).unwrap();
        put(&self.certificate(), &made.cert.pem());
        put(&self.key(), &made.signing_key.serialize_pem());
    }

    /// The files as flags for `serve`.
    fn flags(&self) -> [String; 4] {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        ["--tls-certificate".into(), text(self.certificate()), "--tls-key".into(), text(self.key())]
    }
}

/// Replaces a file atomically.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

impl Secure {
    fn with(flags: &[&str]) -> Self {
        let files = Files::new();
        let of_files = files.flags();
        let flags: Vec<&str> = of_files.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        Self { server: TestServer::with(&flags), files }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.server.address().port())
    }

    fn curl(&self, arguments: &[&str]) -> Typed {
        curl(&self.files.certificate(), arguments)
    }

    fn post(&self, url: &str, body: &Value) -> Value {
        let body = body.to_string();
        let said = self.curl(&[url, "-H", "Content-Type: application/json", "-d", &body]).ok();
        serde_json::from_str(&said).unwrap()
    }

    /// Whether curl trusts the served certificate.
    fn is_trusted(&self) -> bool {
        self.curl(&[&self.url("localhost", "/healthz")]).code == Some(0)
    }
}

#[test]
fn both_versions_of_http_and_of_tls_are_spoken_and_no_older_ones() {
    let secure = Secure::with(&[]);
    let url = secure.url("localhost", "/healthz");
    let told = |arguments: &[&str]| secure.curl(&[arguments, &["-w", "%{http_version}", &url]].concat());
    assert_eq!(told(&[]).ok(), "ok\n2");
    assert_eq!(told(&["--http1.1"]).ok(), "ok\n1.1");
    assert_eq!(told(&["--tls-max", "1.2"]).ok(), "ok\n2");
    assert_eq!(told(&["--tlsv1.3"]).ok(), "ok\n2");
    let old = told(&["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"]);
    assert!(old.code != Some(0) && old.err.contains("alert"), "{old:?}");
    // A client without TLS gets no response.
    let request = Request { method: "GET", path: "/healthz", host: "localhost", ..Request::default() };
    let plain = secure.server.connect().ask(&request);
    assert!(plain.is_err(), "{plain:?}");
}

#[test]
fn links_are_those_of_tls_and_a_workspace_works_by_them() {
    let secure = Secure::with(&[]);
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "workspace_name": "Acme"});
    let made = secure.post(&secure.url("localhost", "/api/register"), &body);
    let url = made["workspace"]["url"].as_str().unwrap();
    assert_eq!(url, secure.url("acme.localhost", ""));
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let token = secure.post(&format!("{url}/api/login"), &login)["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}");
    let list = secure.curl(&[&format!("{url}/api/customers?per_page=1"), "-H", &bearer]).ok();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["path"], format!("{url}/api/customers"));
    // After sign-in on a page, the cookie is sent over TLS only.
    let folder = tempfile::tempdir().unwrap();
    let jar = folder.path().join("cookies").display().to_string();
    let sign_in = format!("{url}/ui/sign-in");
    let form = secure.curl(&[&sign_in, "--cookie-jar", &jar]).ok();
    let form_key = form.split("name=\"form_key\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let page = secure.curl(&[
        &sign_in,
        "--dump-header",
        "-",
        "--cookie",
        &jar,
        "-H",
        &format!("Origin: {url}"),
        "--data-urlencode",
        &format!("form_key={form_key}"),
        "--data-urlencode",
        "email=ada@example.com",
        "--data-urlencode",
        &format!("password={PASSWORD}"),
    ]);
    let page = page.ok().to_ascii_lowercase();
    let cookie = page.lines().find(|line| line.starts_with("set-cookie:")).unwrap_or_else(|| panic!("{page}"));
    assert!(cookie.contains("; secure"), "{cookie}");
}

#[test]
fn health_asks_over_tls() {
    let secure = Secure::with(&[]);
    let address = secure.server.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let flags = secure.files.flags();
    let mut health = program(folder.path());
    health.env("CX_LISTEN", &address).env("CX_TLS_CERTIFICATE", &flags[1]).env("CX_TLS_KEY", &flags[3]);
    assert_eq!(run(health.arg("health"), "").ok(), format!("https://{address} is ready\n"));
}

#[test]
fn another_certificate_is_served_when_the_files_change_and_a_bad_one_is_not() {
    let secure = Secure::with(&[]);
    assert!(secure.is_trusted());
    let files = &secure.files;
    let (certificate, key) =
        (fs::read_to_string(files.certificate()).unwrap(), fs::read_to_string(files.key()).unwrap());
    put(&files.key(), "no key");
    eventually("it is said that the key is bad", || secure.server.log().contains("still serving the old one"));
    assert!(secure.is_trusted());
    // The key of another certificate, as in the middle of a renewal.
    Files::renew(files);
    put(&files.certificate(), &certificate);
    eventually("it is said that they do not belong together", || {
        secure.server.log().contains("do not belong together")
    });
    assert!(secure.is_trusted());
    Files::renew(files);
    eventually("the new one is served", || secure.is_trusted());
    put(&files.key(), &key);
    put(&files.certificate(), &certificate);
    eventually("the first one is served again", || secure.is_trusted());
}

#[test]
fn what_cannot_be_served_keeps_the_server_from_starting() {
    let (files, other) = (Files::new(), Files::new());
    let folder = tempfile::tempdir().unwrap();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (certificate, key) = (path(files.certificate()), path(files.key()));
    let refused = |flags: &[&str]| {
        let typed = run(program(folder.path()).args(["serve", "--listen", "127.0.0.1:0"]).args(flags), "");
        // Contradicting settings are a usage error. Unusable files are a failure.
        assert!(matches!(typed.code, Some(1 | 2)), "{typed:?}");
        typed.err
    };
    for (flags, said) in [
        (vec!["--tls-certificate", &certificate], "tls_key"),
        (vec!["--tls-key", &key], "tls_key"),
        (vec!["--redirect-listen", "127.0.0.1:0"], "redirect_listen"),
        (vec!["--tls-certificate", &certificate, "--tls-key", "nowhere.pem"], "nowhere.pem cannot be read"),
        (vec!["--tls-certificate", &key, "--tls-key", &key], "no certificate in"),
        (vec!["--tls-certificate", &certificate, "--tls-key", &path(other.key())], "do not belong together"),
    ] {
        let refusal = refused(&flags);
        assert!(refusal.contains(said), "{flags:?}: {refusal}");
    }
}

#[test]
fn plain_http_leads_to_tls_with_what_was_asked() {
    let secure = Secure::with(&["--redirect-listen", "127.0.0.1:0"]);
    eventually("it is said where", || secure.server.log().contains("plain HTTP is redirected to TLS"));
    let log = secure.server.log();
    let line: Value = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|line: &Value| line["message"] == "plain HTTP is redirected to TLS")
        .unwrap();
    let mut plain = Connection::open(line["address"].as_str().unwrap().parse().unwrap()).unwrap();
    let post = |host, path| Request { method: "POST", path, host, body: Some("{}"), ..Request::default() };
    let answer = plain.ask(&post("acme.localhost:80", "/api/login?a=b%20c")).unwrap();
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, Some(&*secure.url("acme.localhost", "/api/login?a=b%20c")))
    );
    // No redirect leads to another server.
    plain.ask(&post("example.com", "/")).unwrap().refused(404, "unknown_host");
    let health = plain.ask(&Request { method: "GET", ..post("localhost", "/healthz") }).unwrap();
    assert_eq!(health.status, 308);
}

#[test]
fn a_handshake_that_does_not_come_is_given_up_and_keeps_no_server_from_stopping() {
    let secure = Secure::with(&["--header-timeout", "0.5"]);
    let mut silent = secure.server.connect();
    assert!(silent.receive().unwrap().is_none(), "it is closed without a word");
    let mut secure = Secure::with(&["--header-timeout", "3600", "--shutdown-timeout", "3600"]);
    let _silent = secure.server.connect();
    assert!(secure.is_trusted(), "the silent one was let in before");
    assert!(secure.server.stop().success());
}

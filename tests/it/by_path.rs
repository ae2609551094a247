//! Workspaces on the central host, named by path or header.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::client::{Answer, Connection, Request};
use crate::process::{Server, program};
use crate::test_server::PASSWORD;

struct Shared {
    server: Server,
    /// A token for each workspace.
    tokens: HashMap<&'static str, String>,
    _folder: tempfile::TempDir,
}

impl Shared {
    fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(settings);
        let server = Server::start(command, folder.path());
        let mut shared = Self { server, tokens: HashMap::new(), _folder: folder };
        for name in ["acme", "other"] {
            let account = json!({
                "name": name, "email": format!("{name}@example.com"), "password": PASSWORD,
                "workspace_name": name, "subdomain": name,
            });
            shared.ask("POST", "/api/register", &[], Some(account)).created();
            let login = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
            let answer = shared.at(&format!("{name}.localhost"), "POST", "/api/login", &[], Some(login)).ok();
            shared.tokens.insert(name, answer["token"].as_str().unwrap().to_owned());
        }
        shared
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        self.at("127.0.0.1", method, path, headers, body)
    }

    fn at(&self, host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string());
        let host = format!("{host}:{}", self.server.address.port());
        let request = Request { method, path, host: &host, headers, body: body.as_deref(), ..Request::default() };
        Connection::open(self.server.address).unwrap().ask(&request).unwrap()
    }

    fn bearer(&self, name: &str) -> String {
        format!("Bearer {}", self.tokens[name])
    }
}

#[test]
fn a_path_or_a_header_names_the_workspace_for_its_own_tokens_alone() {
    let shared = Shared::start(&["--workspace-by-path", "true"]);
    let (acme, other) = (shared.bearer("acme"), shared.bearer("other"));
    let own = [("Authorization", acme.as_str())];
    let made = shared.ask("POST", "/w/acme/api/customers", &own, Some(json!({"name": "Ada"}))).created();
    assert_eq!(made["name"], "Ada");

    let list = shared.ask("GET", "/w/acme/api/customers?per_page=1", &own, None).ok();
    let port = shared.server.address.port();
    assert_eq!(list["path"], format!("http://127.0.0.1:{port}/w/acme/api/customers"));
    assert_eq!(list["total"], 1);
    let named = [("Authorization", acme.as_str()), ("X-Workspace", "Acme")];
    assert_eq!(shared.ask("GET", "/api/customers", &named, None).ok()["total"], 1);
    assert_eq!(shared.ask("GET", "/w/acme/api/customers", &named, None).ok()["total"], 1);

    // Another workspace's token is rejected, as on the workspace's own host.
    let foreign = [("Authorization", other.as_str())];
    shared.ask("GET", "/w/acme/api/customers", &foreign, None).refused(401, "wrong_token_scope");
    let foreign = [("Authorization", other.as_str()), ("X-Workspace", "acme")];
    shared.ask("GET", "/api/customers", &foreign, None).refused(401, "wrong_token_scope");
    shared.ask("GET", "/w/acme/api/customers", &[], None).refused(401, "token_missing");
    shared.ask("GET", "/w/nothing/api/customers", &own, None).refused(404, "workspace_not_found");
    let two = [("Authorization", acme.as_str()), ("X-Workspace", "other")];
    shared.ask("GET", "/w/acme/api/customers", &two, None).refused(400, "bad_request");

    let whoami = shared.ask("GET", "/w/acme/api/whoami", &own, None).ok();
    assert_eq!(whoami["workspace"]["url"], format!("http://localhost:{port}/w/acme"));
    let metadata = shared.ask("GET", "/.well-known/oauth-authorization-server/w/acme", &[], None).ok();
    assert_eq!(metadata["issuer"], format!("http://localhost:{port}/w/acme"));
    assert_eq!(metadata["token_endpoint"], format!("http://localhost:{port}/w/acme/oauth/token"));
}

#[test]
fn pages_and_cookies_keep_to_the_path_of_their_workspace() {
    let shared = Shared::start(&["--workspace-by-path", "true"]);
    let page = shared.ask("GET", "/w/acme/ui/sign-in", &[], None);
    assert!(page.text.contains("action=\"/w/acme/ui/sign-in\""), "{}", page.text);
    let visit = page.header("set-cookie").unwrap().to_owned();
    assert!(visit.contains("Path=/w/acme"), "{visit}");
    let form_key = page.text.split("name=\"form_key\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = json!({"email": "acme@example.com", "password": PASSWORD, "to": "/ui/contacts/1", "form_key": form_key});
    let cookie = visit.split(';').next().unwrap();
    let signed_in = shared.ask("POST", "/w/acme/ui/sign-in", &[("Cookie", cookie)], Some(form));
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/w/acme/ui/contacts/1")), "{signed_in:?}");
    let session = signed_in.header("set-cookie").unwrap().to_owned();
    assert!(session.contains("Path=/w/acme") && session.contains("HttpOnly"), "{session}");

    // The session grants nothing in another workspace.
    let session = session.split(';').next().unwrap();
    let elsewhere = shared.ask("GET", "/w/other/ui/contacts/1", &[("Cookie", session)], None);
    assert!(elsewhere.header("location").unwrap().starts_with("/w/other/ui/sign-in?to="), "{elsewhere:?}");
}

#[test]
fn by_default_neither_path_nor_header_names_a_workspace() {
    let shared = Shared::start(&[]);
    let own = shared.bearer("acme");
    let own = [("Authorization", own.as_str()), ("X-Workspace", "acme")];
    shared.ask("GET", "/w/acme/api/customers", &own, None).refused(404, "route_not_found");
    shared.ask("GET", "/api/whoami", &[("X-Workspace", "acme")], None).refused(401, "token_missing");
    // A workspace's own host does not serve other workspaces.
    let foreign = [("Authorization", own[0].1), ("X-Workspace", "other")];
    assert_eq!(
        shared.at("acme.localhost", "GET", "/api/whoami", &foreign, None).ok()["workspace"]["subdomain"],
        "acme"
    );
}

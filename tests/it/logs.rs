//! The log: one line of JSON per request, with useful fields and without secrets.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{free_ports, program, run_on_terminal};
use crate::test_server::{PASSWORD, TestServer, Who, at, central, email};

#[test]
fn each_request_gives_one_line_that_says_what_it_was_and_what_it_took() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let account = server.get(&acme.owner, "/whoami").ok()["user"]["id"].clone();
    let answers = [
        ("/customers", server.post(&acme.inside, "/customers", json!({"name": "Renault"})), true, true),
        ("/customers/{id}", server.get(&acme.inside, "/customers/1"), true, true),
        ("/customers/{id}", server.get(&acme.inside, "/customers/99"), true, true),
        ("/whoami", server.get(&acme.owner, "/whoami"), false, true),
        ("/customers", server.get(&at("acme"), "/customers"), true, false),
        ("/login", server.post(&central(), "/login", json!({})), false, false),
    ];
    let lines = request_lines(&server);
    for (route, answer, in_workspace, signed_in) in answers {
        let line = &lines[answer.header("x-request-id").unwrap()];
        assert_eq!(line["route"], route);
        assert_eq!((&line["status"], &line["bytes"]), (&json!(answer.status), &json!(answer.text.len())), "{line}");
        assert_eq!(line.get("workspace"), in_workspace.then(|| json!(acme.workspace)).as_ref(), "{line}");
        assert_eq!(line.get("subdomain"), in_workspace.then(|| json!("acme")).as_ref(), "{line}");
        assert_eq!(line.get("path"), None, "the route says it: {line}");
        assert_eq!(line.get("account"), signed_in.then_some(&account), "{line}");
        assert!(line["waited_us"].is_u64() && line["worked_us"].is_u64(), "{line}");
        assert_eq!(line["level"], "INFO");
    }
    let written = lines.values().find(|line| line["route"] == "/customers").unwrap();
    assert!(written["worked_us"].as_u64() > Some(0), "{written}");
}

#[test]
fn requests_that_lead_nowhere_are_logged_too() {
    let server = TestServer::new();
    let nowhere = [
        server.get(&at("nobody"), "/customers"),
        server.get(&central(), "/nothing"),
        server.get(&Who { host: "example.com".into(), token: None }, "/whoami"),
    ];
    let lines = request_lines(&server);
    assert_eq!(lines.len(), nowhere.len());
    for (answer, path) in nowhere.iter().zip([json!(null), json!("/api/nothing"), json!(null)]) {
        let line = &lines[answer.header("x-request-id").unwrap()];
        assert_eq!(line["status"], 404);
        if !path.is_null() {
            assert_eq!(line["path"], path);
        }
    }
}

#[test]
fn a_start_leaves_one_line_that_says_what_is_served_and_from_where() {
    let server = TestServer::with(&["--central-domain", "cx.example.com"]);
    let log = server.whole_log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [line] = lines.as_slice() else { unreachable!("not one line: {log}") };
    assert_eq!((&line["version"], &line["data"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("data")));
    assert_eq!((&line["settings"], &line["workspaces"]), (&json!("cx-engine.toml"), &json!("*.cx.example.com")));
    assert_eq!(line["listening"], json!(format!("http://{}", server.address())));
}

/// A server on a terminal, and requests to it from the same terminal.
#[test]
fn on_a_terminal_each_request_is_one_short_line() {
    let folder = tempfile::tempdir().unwrap();
    let cx_engine = program(folder.path());
    let [port] = free_ports();
    let script = format!(
        "export CX_LISTEN=127.0.0.1:{port}; \"$0\" serve & server=$!
         until \"$0\" health; do sleep 0.1; done
         curl -s -o /dev/null http://localhost:{port}/api/whoami
         curl -s -o /dev/null http://localhost:{port}/api/whoarewe?token=secret
         kill $server; wait $server"
    );
    let mut terminal = Command::new("sh");
    terminal.current_dir(folder.path()).args(["-c", &script]).arg(cx_engine.get_program());
    terminal.env("PATH", "/usr/bin:/bin");
    let printed = run_on_terminal(&terminal, "").ok();
    let line = |part: &str| {
        printed.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part} in {printed}"))
    };
    assert!(line("GET /whoami \u{1b}[33m401\u{1b}[0m").trim_end().ends_with(" ms"), "{printed}");
    assert!(line("GET /api/whoarewe").len() < 80 && !printed.contains("secret"), "{printed}");
    assert!(line("cx-engine started").contains("data=data settings=cx-engine.toml"), "{printed}");
}

#[test]
fn no_secret_and_no_personal_datum_is_ever_logged() {
    let server = TestServer::with(&["--log", "trace"]);
    let secrets = do_everything_with_secrets(&server);
    let log = server.whole_log();
    assert!(log.lines().count() > 10, "{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
}

/// Sends good and bad requests, with a secret in every place that can hold one. Returns the secrets.
fn do_everything_with_secrets(server: &TestServer) -> Vec<String> {
    let acme = server.team("acme");
    server.post(&central(), "/login", json!({"email": email("acme"), "password": "a-wrong-password"}));
    server.post(&central(), "/register", json!({"name": "x", "email": email("acme"), "password": PASSWORD}));
    server.post(&central(), "/register", json!({"name": "x", "email": "no-address", "password": "shrt-pw"}));
    server.send(&central(), "POST", "/login", Some(json!([PASSWORD, "in-a-list"])));
    server.get(&central().with(&json!("v4.local.garbage-token")), "/whoami");
    server.post(&acme.inside, "/customers", json!({"name": "Mrs Private", "email_address": "private@example.org"}));
    server.post(&acme.inside, "/customers", json!({"name": "Mrs Private", "vip": "private-wrong-value"}));
    server.get(&acme.inside, "/customers?filter[email_address]=private@example.org&token=in-the-query");
    server.get(&acme.inside, "/nowhere/Mrs-Private/code/cxi_Zm9v-private-in-the-path/private%40example.org");
    server.post(&acme.inside, "/contacts", json!({"last_name": "Private", "customer_id": 999}));
    let new = json!({"name": "PBX", "permissions": ["crm.caller-name"]});
    let key = server.post(&acme.inside, "/integration-keys", new).created()["key"].as_str().unwrap().to_owned();
    server.get(&at("acme"), &format!("/crm/lookup/caller-name/{key}?number=1"));
    let mut body = server.begin(&acme.inside, r#"{"name":"half-a-body"}   "#);
    body.send(r#"{"name":"half-a-body"}"#).unwrap();
    drop(body);
    server.cli(&["token", "revoke", "--account", &email("acme")]).ok();
    server.get(&acme.inside, "/customers").refused(401, "token_revoked");

    let tokens = [acme.owner.token, acme.inside.token, Some(key)].into_iter().flatten();
    let bodies = ["half-a-body", "private", "Private", "in-the-query", "in-a-list", "no-address", "shrt-pw"];
    let known = [PASSWORD, "a-wrong-password", "garbage-token", "@example"];
    tokens.chain(bodies.into_iter().chain(known).map(str::to_owned)).collect()
}

/// The lines about requests, by request id. Checks that every line of the log is JSON.
fn request_lines(server: &TestServer) -> BTreeMap<String, Value> {
    let log = server.whole_log();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let requests: Vec<Value> = lines.filter(|line: &Value| line["message"] == "request").collect();
    let by_id: BTreeMap<String, Value> =
        requests.iter().map(|line| (line["request_id"].as_str().unwrap().to_owned(), line.clone())).collect();
    assert_eq!(by_id.len(), requests.len(), "one line a request");
    by_id
}

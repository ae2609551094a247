//! Requests that are rejected before their body is read, from clients that send the whole body before they read: the
//! response arrives, over HTTP/1.1 and HTTP/2.

use std::process::Command;

use serde_json::{Value, json};

use crate::process::{not_run, run};
use crate::test_server::TestServer;

const THREE_MB: usize = 3_000_000;

/// Posts 3 MB with Python's own client or `requests`, and prints the status and error of each response.
const CLIENT: &str = "
import http.client, json, sys
port, asked = int(sys.argv[2]), json.loads(sys.argv[3])
body = b' ' * 3_000_000
def by_http_client(method, path, headers):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()
def by_requests(method, path, headers):
    import requests
    answer = requests.request(method, f'http://127.0.0.1:{port}{path}', data=body, headers=headers, timeout=20)
    return answer.status_code, answer.content
send = by_requests if sys.argv[1] == 'requests' else by_http_client
print(json.dumps([[status, json.loads(text)['error']] for status, text in (send(*one) for one in asked)]))
";

/// Requests and the errors that they get.
fn refusals(server: &TestServer) -> Vec<([&'static str; 2], Value, Value)> {
    let acme = server.team("acme").inside;
    let key = json!({"name": "reads", "permissions": ["contact.view"]});
    let key = server.post(&acme, "/integration-keys", key).created()["key"].as_str().unwrap().to_owned();
    let own = acme.token.unwrap();
    let headers = |token: &str, kind: &str, host: &str| {
        let mut headers = json!({"Host": host, "Content-Type": kind});
        if !token.is_empty() {
            headers["Authorization"] = json!(format!("Bearer {token}"));
        }
        headers
    };
    let (json_type, host) = ("application/json", "acme.localhost");
    vec![
        (["POST", "/api/customers"], headers("", json_type, host), json!([401, "token_missing"])),
        (["POST", "/api/contacts/import"], headers("cxk_nobody", "text/csv", host), json!([401, "token_invalid"])),
        (["POST", "/api/contacts/import"], headers(&key, "text/csv", host), json!([403, "missing_permission"])),
        (["POST", "/api/nowhere"], headers(&own, json_type, host), json!([404, "route_not_found"])),
        (["POST", "/api/customers"], headers(&own, json_type, "nobody.localhost"), json!([404, "workspace_not_found"])),
        (["PUT", "/api/customers"], headers(&own, json_type, host), json!([405, "method_not_allowed"])),
        (["POST", "/api/customers"], headers(&own, json_type, host), json!([413, "payload_too_large"])),
        (["POST", "/api/contacts/import"], headers(&own, "image/png", host), json!([415, "unsupported_media_type"])),
    ]
}

#[test]
fn python_reads_why_a_body_of_3_mb_was_refused() {
    let server = TestServer::new();
    let refusals = refusals(&server);
    let asked: Vec<Value> =
        refusals.iter().map(|([method, path], headers, _)| json!([method, path, headers])).collect();
    let expected: Vec<&Value> = refusals.iter().map(|(_, _, answer)| answer).collect();
    for library in ["http.client", "requests"] {
        if run(Command::new("python3").args(["-c", &format!("import {library}")]), "").code != Some(0) {
            not_run(&format!("Python has no {library} here, which sends all before it reads"));
            continue;
        }
        // Several times, because a reset would race with the response.
        for _ in 0..3 {
            let port = server.address().port().to_string();
            let arguments = ["-c", CLIENT, library, &port, &json!(asked).to_string()];
            let said = run(Command::new("python3").args(arguments), "").ok();
            assert_eq!(
                serde_json::from_str::<Vec<Value>>(&said).unwrap().iter().collect::<Vec<_>>(),
                expected,
                "{library}"
            );
        }
    }
}

#[test]
fn curl_reads_it_over_http_2_as_well() {
    let server = TestServer::new();
    let body = " ".repeat(THREE_MB);
    for ([method, path], headers, answer) in refusals(&server) {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let mut curl = Command::new("curl");
            curl.args([
                "-s",
                "-S",
                version,
                "-X",
                method,
                "--data-binary",
                "@-",
                "-w",
                "\n%{http_code}",
                "-H",
                "Expect:",
            ]);
            for (name, value) in headers.as_object().unwrap() {
                curl.args(["-H", &format!("{name}: {}", value.as_str().unwrap())]);
            }
            let said = run(curl.arg(format!("http://{}{path}", server.address())), &body).ok();
            let (text, status) = said.rsplit_once('\n').unwrap();
            let error = serde_json::from_str::<Value>(text).unwrap()["error"].clone();
            assert_eq!(json!([status.parse::<u16>().unwrap(), error]), answer, "{version} {method} {path}");
        }
    }
}

//! The API reference: each of its `curl` commands is typed into a shell, against the demo.

use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Connection, Request};
use crate::process::{Server, program};

/// Statuses that a reader must not get for an example: they mean that the example is wrong.
const FAULTS: [&str; 8] = ["400", "405", "408", "411", "412", "413", "414", "415"];

/// Exit status of curl when the time of `-m` has passed.
const CURL_TIMED_OUT: i32 = 28;

#[test]
fn the_examples_of_the_reference_work_as_they_are_typed() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no curl here: apt-get install curl");
        eprintln!("skipped: there is no curl here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.args(["demo", "--listen", "127.0.0.1:0"]);
    let server = Server::start(command, folder.path());
    let port = server.address.port();
    let printed = |label: &str| {
        let line = server.greeting.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let login = json!({"email": printed("Email"), "password": printed("Password")}).to_string();
    let at = |host: &str, method, path: &str, body| {
        let host = format!("{host}:{port}");
        let request = Request { method, path, host: &host, body, ..Request::default() };
        Connection::open(server.address).unwrap().ask(&request).unwrap()
    };

    let index = at("localhost", "GET", "/docs", None).text;
    let mut statuses: Vec<String> = Vec::new();
    for path in index.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let host = match path.split('/').nth(2) {
            Some("central") => "localhost",
            Some("workspace") => "acme.localhost",
            _ => continue,
        };
        let page = at("localhost", "GET", path, None).text;
        for example in page.split("<pre class=\"curl\" tabindex=\"0\">").skip(1) {
            let example = unescaped(example.split("</pre>").next().unwrap());
            // Some examples revoke the token that they use, so each gets a new one.
            let answer: Value = serde_json::from_str(&at(host, "POST", "/login", Some(&login)).text).unwrap();
            // A response of events does not end by itself.
            let is_stream = example.contains("$CX/events");
            let limits = if is_stream { "-m 1" } else { "" };
            let typed = example.replacen("curl ", &format!("curl {limits} -s -w '\\n%{{http_code}}' "), 1);
            let output = Command::new("bash")
                .args(["-c", &typed])
                .env("CX", format!("http://{host}:{port}/api"))
                .env("TOKEN", answer["token"].as_str().unwrap())
                .env("CLIENT_ID", "phones")
                .env("CLIENT_SECRET", "a secret")
                .output()
                .unwrap();
            let is_timed_out = output.status.code() == Some(CURL_TIMED_OUT);
            assert!(output.status.success() || (is_stream && is_timed_out), "{example}: {output:?}");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let (body, status) = said.rsplit_once('\n').unwrap();
            let is_bad = FAULTS.contains(&status) || status.starts_with('5');
            assert!(!is_bad || only_names_what_is_not_there(body), "{example}\n{said}");
            statuses.push(status.to_owned());
        }
    }
    let good = statuses.iter().filter(|status| status.starts_with('2')).count();
    assert!(good * 10 > statuses.len() * 6, "{good} of {}: {statuses:?}", statuses.len());
}

/// Some examples contain a code that was never mailed, or a row that the demo lacks or already has.
fn only_names_what_is_not_there(body: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<Value>(body) else { return false };
    let hints: Vec<&str> = answer["hint"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    !hints.is_empty()
        && hints.iter().all(|hint| hint.contains("The selected ") || hint.ends_with(" has already been taken."))
}

/// The text of a page without HTML escapes.
fn unescaped(text: &str) -> String {
    let text = text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">");
    text.replace("&#38;", "&")
}

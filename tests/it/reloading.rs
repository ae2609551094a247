//! SIGHUP: settings that can change are applied, the others are named, and the server continues.

use std::fs;

use serde_json::json;

use crate::test_server::{PASSWORD, TestServer, central, email, eventually};

fn write_settings(server: &TestServer, text: &str) {
    fs::write(server.data().with_file_name("cx-engine.toml"), text).unwrap();
}

/// Makes the server reload its settings. Returns the line that it logs.
fn reload(server: &TestServer) -> String {
    let said =
        |log: &str| log.matches("were reloaded").count() + log.matches("cannot be reloaded; the old ones stay").count();
    let before = said(&server.log());
    server.hang_up();
    eventually("it says what came of it", || said(&server.log()) > before);
    server.log().lines().rfind(|line| said(line) > 0).unwrap().to_owned()
}

#[test]
fn a_hang_up_applies_what_can_change_and_names_what_needs_a_restart() {
    let mut server = TestServer::new();
    let register = |name: &str| {
        let body = json!({"name": name, "email": email(name), "password": PASSWORD});
        server.post(&central(), "/register", body)
    };
    register("ada").created();
    let line = reload(&server);
    assert!(line.contains(r#""applied":"none","need_restart":"none""#), "{line}");

    write_settings(
        &server,
        "registration = \"closed\"\nread_turns = 1\ncentral_domain = \"example.com\"\nlog = \"warn\"\n",
    );
    let line = reload(&server);
    assert!(line.contains(r#""applied":"registration, log","need_restart":"central_domain, read_turns""#), "{line}");
    register("bob").refused(403, "registration_closed");
    let requests = || server.log().matches("\"request\"").count();
    let before = requests();
    register("bob").refused(403, "registration_closed");
    write_settings(&server, "log = \"info\"\n");
    reload(&server);
    assert_eq!(requests(), before, "requests are logged at info, and warn was asked for");
    register("bob").created();
    eventually("requests are logged again", || requests() > before);
    assert!(server.stop().success());
}

#[test]
fn settings_that_cannot_be_used_change_nothing() {
    let server = TestServer::new();
    for wrong in
        ["registration = \"closed\"\ntoken_ttl = 1\n", "registration = \"closed\"\nlog_lvl = 1\n", "registration = "]
    {
        write_settings(&server, wrong);
        let line = reload(&server);
        assert!(line.contains("ERROR") && line.contains("cx-engine.toml"), "{line}");
    }
    let body = json!({"name": "Ada", "email": email("ada"), "password": PASSWORD});
    server.post(&central(), "/register", body).created();
}

/// A flag overrides the file on reload, as at the start.
#[test]
fn a_hang_up_never_ends_the_server_and_flags_go_on_to_win() {
    let mut server = TestServer::with(&["--registration", "open"]);
    write_settings(&server, "registration = \"closed\"\n");
    for _ in 0..20 {
        server.hang_up();
    }
    assert!(reload(&server).contains(r#""applied":"none""#));
    server.register("ada");
    assert!(server.stop().success());
}

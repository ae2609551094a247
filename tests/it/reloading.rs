//! SIGHUP: settings that can change are applied, the others are named, and the server continues.

use std::fs;

use serde_json::json;

use crate::bench::{Bench, PASSWORD, central, email, eventually};

fn write_settings(bench: &Bench, text: &str) {
    fs::write(bench.data().with_file_name("cx-engine.toml"), text).unwrap();
}

/// Makes the server reload its settings. Returns the line that it logs.
fn reload(bench: &Bench) -> String {
    let said =
        |log: &str| log.matches("were reloaded").count() + log.matches("cannot be reloaded; the old ones stay").count();
    let before = said(&bench.log());
    bench.hang_up();
    eventually("it says what came of it", || said(&bench.log()) > before);
    bench.log().lines().rfind(|line| said(line) > 0).unwrap().to_owned()
}

#[test]
fn a_hang_up_applies_what_can_change_and_names_what_needs_a_restart() {
    let mut bench = Bench::new();
    let register = |name: &str| {
        let body = json!({"name": name, "email": email(name), "password": PASSWORD});
        bench.post(&central(), "/register", body)
    };
    register("ada").created();
    let line = reload(&bench);
    assert!(line.contains(r#""applied":"none","need_restart":"none""#), "{line}");

    write_settings(
        &bench,
        "registration = \"closed\"\nread_turns = 1\ncentral_domain = \"example.com\"\nlog = \"warn\"\n",
    );
    let line = reload(&bench);
    assert!(line.contains(r#""applied":"registration, log","need_restart":"central_domain, read_turns""#), "{line}");
    register("bob").refused(403, "registration_closed");
    let requests = || bench.log().matches("\"request\"").count();
    let before = requests();
    register("bob").refused(403, "registration_closed");
    write_settings(&bench, "log = \"info\"\n");
    reload(&bench);
    assert_eq!(requests(), before, "requests are logged at info, and warn was asked for");
    register("bob").created();
    eventually("requests are logged again", || requests() > before);
    assert!(bench.stop().success());
}

#[test]
fn settings_that_cannot_be_used_change_nothing() {
    let bench = Bench::new();
    for wrong in
        ["registration = \"closed\"\ntoken_ttl = 1\n", "registration = \"closed\"\nlog_lvl = 1\n", "registration = "]
    {
        write_settings(&bench, wrong);
        let line = reload(&bench);
        assert!(line.contains("ERROR") && line.contains("cx-engine.toml"), "{line}");
    }
    let body = json!({"name": "Ada", "email": email("ada"), "password": PASSWORD});
    bench.post(&central(), "/register", body).created();
}

/// A flag overrides the file on reload, as at the start.
#[test]
fn a_hang_up_never_ends_the_server_and_flags_go_on_to_win() {
    let mut bench = Bench::with(&["--registration", "open"]);
    write_settings(&bench, "registration = \"closed\"\n");
    for _ in 0..20 {
        bench.hang_up();
    }
    assert!(reload(&bench).contains(r#""applied":"none""#));
    bench.register("ada");
    assert!(bench.stop().success());
}

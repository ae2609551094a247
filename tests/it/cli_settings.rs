//! Settings: flags override the environment, which overrides the file; invalid settings are rejected.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::process::{Typed, not_run, program, run};
use crate::test_server::{PASSWORD, TestServer, central, email};

#[test]
fn a_wrong_value_is_refused_by_its_name_the_value_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, value, allowed) in [
        ("max-waiting", "0", "a number from 1 to 1000000"),
        ("listen", "8080", "an address and a port"),
        ("registration", "maybe", "open, invite or closed"),
        ("body-timeout", "-1", "seconds from 0.1 to 3600"),
        ("cors-origins", "example.com", "origins like https://app.example.com"),
        ("central-domain", "a..b", "a domain name"),
    ] {
        let said = serve(folder.path(), &[&format!("--{flag}={value}")]).wrong_use();
        for part in [&flag.replace('-', "_"), value, allowed, &format!("--{flag}")] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
    assert!(!folder.path().join("data").exists(), "nothing is made before all is found good");
}

#[test]
fn a_wrong_value_is_refused_with_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(program(folder.path()).arg("serve").env("CX_MAX_WAITING", "many"), "").wrong_use();
    assert!(said.contains("CX_MAX_WAITING") && said.contains("many"), "{said}");
    // Every command rejects a misspelled variable.
    for command in ["serve", "demo", "backup", "health"] {
        let said = run(program(folder.path()).arg(command).env("CX_MAX_WAITNG", "10"), "").wrong_use();
        assert!(said.contains("CX_MAX_WAITNG") && said.contains("did you mean CX_MAX_WAITING?"), "{said}");
    }
    let mut command = program(folder.path());
    command.args(["serve", "--print-config"]).env("CX_DOMAIN", "for Caddy").env("CX_REPLICA", "for Litestream");
    run(&mut command, "").ok();

    let file = folder.path().join("cx-engine.toml");
    fs::write(&file, "token_ttl = 1\n").unwrap();
    let said = serve(folder.path(), &[]).wrong_use();
    assert!(said.contains("token_ttl") && said.contains("cx-engine.toml"), "{said}");
    fs::write(&file, "token_tll = 3600\n").unwrap();
    let said = serve(folder.path(), &[]).wrong_use();
    assert!(said.contains("token_tll") && said.contains("token_ttl"), "{said}");
    fs::write(&file, "token_ttl = \n").unwrap();
    assert!(serve(folder.path(), &[]).wrong_use().contains("TOML"));
    let said = serve(folder.path(), &["--config", "nowhere.toml"]).wrong_use();
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = "max_waiting = 11\nread_turns = 1\nbody_timeout = 12.5\ncors_origins = [\"https://a.example.com\"]\n";
    fs::write(folder.path().join("cx-engine.toml"), file).unwrap();
    let mut command = program(folder.path());
    command.args(["serve", "--print-config", "--max-waiting", "33"]);
    command.envs([("CX_MAX_WAITING", "22"), ("CX_READ_TURNS", "2")]);
    let printed = run(&mut command, "").ok();

    for (setting, origin) in [
        ("max_waiting = 33", "the flag --max-waiting"),
        ("read_turns = 2", "the environment variable CX_READ_TURNS"),
        ("body_timeout = 12.5", "cx-engine.toml"),
        ("cors_origins = [\"https://a.example.com\"]", "cx-engine.toml"),
        ("database_threads = 4", "the default"),
        ("metrics = false", "the default"),
        ("trusted_proxies = []", "the default"),
    ] {
        let lines: Vec<&str> = printed.lines().collect();
        let at = lines.iter().position(|line| *line == setting).unwrap_or_else(|| panic!("no {setting} in {printed}"));
        assert!(lines[at - 1].contains(origin), "{setting}: {}", lines[at - 1]);
    }
    assert!(!folder.path().join("data").exists(), "it serves nothing");
}

/// Uses a separate file system, with only this file in `/etc`.
#[test]
fn the_machines_file_is_read_where_neither_a_flag_nor_this_folder_names_another() {
    let folder = tempfile::tempdir().unwrap();
    let cx_engine = program(folder.path()).get_program().to_owned();
    let script =
        "mount -t tmpfs tmpfs /etc && mkdir /etc/cx-engine && cat >/etc/cx-engine/cx-engine.toml && exec \"$@\"";
    let printed = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(&cx_engine).args(["serve", "--print-config"]);
        run(command.args(flags).current_dir(folder.path()).env_clear(), "central_domain = \"cx.example.com\"\n")
    };
    if !Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|done| done.status.success()) {
        not_run("this machine lets this user have no file system of its own");
        return;
    }
    assert!(printed(&[]).ok().contains("central_domain = \"localhost\""), "the folder's own file, which is empty");
    fs::rename(folder.path().join("cx-engine.toml"), folder.path().join("other.toml")).unwrap();
    let said = printed(&["--config", "other.toml"]).ok();
    assert!(said.contains("central_domain = \"localhost\""), "{said}");
    let said = printed(&[]).ok();
    assert!(said.contains("From /etc/cx-engine/cx-engine.toml.\ncentral_domain = \"cx.example.com\""), "{said}");
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        |text: &str| -> Vec<String> { text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect() };
    let printed = serve(folder.path(), &["--print-config", "--timezone", "Asia/Tokyo"]).ok();
    fs::write(folder.path().join("other.toml"), &printed).unwrap();
    let again = serve(folder.path(), &["--print-config", "--config", "other.toml"]).ok();
    assert_eq!(settings(&again), settings(&printed));
}

/// A misspelled level would be taken for a target, and nothing would be logged.
#[test]
fn a_log_filter_that_would_log_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in ["inof", "info,wran", "cx_engin=debug", "info,cx_engine=inof", ""] {
        let said = serve(folder.path(), &[&format!("--log={wrong}")]).wrong_use();
        assert!(said.contains("log") && said.contains("off, error, warn, info"), "{wrong}: {said}");
    }
    for right in ["INFO", "off", "warn,cx_engine::jobs=debug"] {
        serve(folder.path(), &["--print-config", "--log", right]).ok();
    }
}

#[test]
fn a_log_of_text_in_a_file_has_no_codes_of_colors() {
    let server = TestServer::with(&["--log-format", "text"]);
    server.register("ada");
    let log = server.whole_log();
    assert!(log.contains("/register") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn registration_is_closed_where_it_is_configured_so() {
    for (how, code) in [("closed", "registration_closed"), ("invite", "registration_closed")] {
        let server = TestServer::with(&["--registration", how]);
        let body = json!({"name": "Ada", "email": email("ada"), "password": PASSWORD});
        server.post(&central(), "/register", body).refused(403, code);
    }
}

fn serve(folder: &Path, flags: &[&str]) -> Typed {
    run(program(folder).arg("serve").args(flags), "")
}

//! The clock is set back while the server runs, by an hour and by a year: tokens stay valid, written order is kept, and
//! waiting work does not wait for the old time to come again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::disks::files_below;
use crate::process::not_run;
use crate::test_server::{TestServer, Who, central, email, eventually, text};

/// A preloaded library that shifts the program's time by the seconds in a file.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    int file = failed || clock != CLOCK_REALTIME ? -1 : open(getenv("AHEAD_BY"), O_RDONLY);
    if (file >= 0) {
        char text[32] = {0};
        if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
        close(file);
    }
    return failed;
}
"#;

const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;

/// A clock that a test sets, for one server.
pub struct Clock(TempDir);

impl Clock {
    /// A clock ahead of the machine's. Returns `None`, with a message, without a C compiler.
    pub fn ahead_by(seconds: u32) -> Option<Self> {
        let clock = Self(tempfile::tempdir().unwrap());
        let source = clock.file("shim.c");
        fs::write(&source, SHIM).unwrap();
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(clock.file("shim.so")).arg(source).output();
        if !compiled.is_ok_and(|output| output.status.success()) {
            not_run("there is no C compiler, with which the clock of one process is set");
            return None;
        }
        clock.set(seconds);
        Some(clock)
    }

    pub fn set(&self, ahead_by: u32) {
        fs::write(self.file("new"), ahead_by.to_string()).unwrap();
        fs::rename(self.file("new"), self.file("clock")).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The environment of a server with this clock.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let path = |name| self.file(name).to_str().unwrap().to_owned();
        [("LD_PRELOAD", path("shim.so")), ("AHEAD_BY", path("clock"))]
    }

    /// A server with this clock.
    fn server(&self) -> TestServer {
        let [(preload, shim), (ahead_by, clock)] = &self.environment();
        let environment = [(*preload, shim.as_str()), (*ahead_by, clock.as_str()), ("CX_THROTTLE_ATTEMPTS", "2")];
        TestServer::within(&environment, &[])
    }
}

#[test]
fn after_the_clock_was_put_back_everything_goes_on() {
    let Some(clock) = Clock::ahead_by(400 * DAY) else { return };
    let server = clock.server();
    let acme = server.team("acme");
    let inside = &acme.inside;
    let first = server.keyed_customer(inside, "Renault").created();
    let year = |value: &Value| text(&value["created_at"])[..4].parse::<i32>().unwrap();
    let forgot = || server.post(&central(), "/password/forgot", json!({"email": email("acme")}));
    let mails = || files_below(&server.data(), &[".eml"]).len();
    forgot().ok();
    eventually("both mails are written: the one of the registration too", || mails() == 2);
    let wrong = |name: &str| {
        let body = json!({"email": email(name), "password": "a wrong password"});
        server.post(&central(), "/login", body)
    };
    for _ in 0..2 {
        wrong("nobody").refused(401, "invalid_credentials");
    }
    wrong("nobody").refused(429, "too_many_requests");

    // Now 35 instead of 400 days ahead, and then an hour less.
    let mut names = vec!["Renault".to_owned()];
    for (ahead_by, name) in [(35 * DAY, "Peugeot"), (35 * DAY - HOUR, "Citroën")] {
        clock.set(ahead_by);
        let made = server.post(inside, "/customers", json!({"name": name})).created();
        assert!(year(&made) < year(&first), "the clock of the server was put back: {made}");
        names.push(name.into());
        assert_eq!(server.customers(inside), names);
        let again = server.keyed_customer(inside, "Renault");
        assert_eq!((&again.created(), again.header("idempotency-replayed")), (&first, Some("true")));
        for who in [inside, &server.log_in("acme"), &acme.owner] {
            server.get(who, "/whoami").ok();
        }
        assert_eq!(walk(&server, inside, "/customers?sort=-created_at").len(), names.len());
        let entries = walk(&server, inside, "/audit-log?per_page=1");
        assert_eq!(entries.len(), names.len(), "{entries:?}");
        server.get(&acme.owner, "/instance").ok();
    }
    wrong("nobody").refused(401, "invalid_credentials");
    forgot().ok();
    eventually("a mail is written", || mails() == 3);
    assert!(!server.log().contains("panicked") && !server.log().contains("ERROR"), "{}", server.log());
    server.is_sound();
}

/// All rows of a list, by cursor.
fn walk(server: &TestServer, who: &Who, list: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let between = if list.contains('?') { '&' } else { '?' };
        let page = server.get(who, &format!("{list}{between}cursor={cursor}")).ok();
        found.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return found,
        }
    }
}

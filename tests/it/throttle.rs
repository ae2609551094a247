//! The throttle: it stops password guesses and nothing else.

use serde_json::json;

use crate::client::{Answer, Request};
use crate::test_server::{PASSWORD, TestServer, email, eventually};

/// The requests come through a trusted proxy on this machine.
fn server() -> TestServer {
    TestServer::with(&["--throttle-attempts", "10", "--trusted-proxies", "127.0.0.1"])
}

fn login(server: &TestServer, address: &str, host: &str, name: &str, password: &str) -> Answer {
    login_for(server, &[("X-Forwarded-For", address)], host, name, password)
}

fn login_for(server: &TestServer, headers: &[(&str, &str)], host: &str, name: &str, password: &str) -> Answer {
    let body = json!({"email": email(name), "password": password}).to_string();
    server.ask(&Request { method: "POST", path: "/api/login", host, headers, body: Some(&body), ..Request::default() })
}

#[test]
fn strangers_who_guess_from_elsewhere_shut_nobody_out() {
    let server = server();
    let ada = server.team("ada");
    for n in 0..12 {
        // On both layers, and from several addresses.
        let host = if n % 2 == 0 { "localhost" } else { "ada.localhost" };
        let answer = login(&server, &format!("192.0.2.{n}"), host, "ada", "a wrong one");
        answer.refused(401, "invalid_credentials");
    }
    for host in ["localhost", "ada.localhost"] {
        login(&server, "203.0.113.77", host, "ada", PASSWORD).ok();
    }
    let change = json!({"email": "new@example.com", "current_password": PASSWORD});
    server.put(&ada.owner, "/account", change).created();
}

#[test]
fn twenty_times_as_many_shut_an_email_except_where_it_is_at_home() {
    let server = TestServer::with(&["--throttle-attempts", "1", "--trusted-proxies", "127.0.0.1"]);
    let ada = server.verified("ada");
    let workspace = server.workspace(&ada, "ada");
    server.enter(&ada, &workspace);
    server.verified("grace");
    login(&server, "203.0.113.1", "localhost", "ada", PASSWORD).ok();
    for n in 0..20 {
        let answer = login(&server, &format!("192.0.2.{n}"), "localhost", "ada", "a wrong one");
        answer.refused(401, "invalid_credentials");
    }
    for (host, password) in [("localhost", "a wrong one"), ("localhost", PASSWORD), ("ada.localhost", PASSWORD)] {
        let answer = login(&server, "192.0.2.77", host, "ADA", password);
        answer.refused(429, "too_many_requests");
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((800..=900).contains(&wait), "{wait}");
    }
    login(&server, "192.0.2.77", "localhost", "grace", PASSWORD).ok();
    // She can log in from a network that she used before. Requests with a session are counted separately.
    login(&server, "203.0.113.9", "localhost", "ada", PASSWORD).ok();
    let change = json!({"email": "new@example.com", "current_password": PASSWORD});
    server.put(&ada, "/account", change).created();
}

#[test]
fn an_address_that_fails_ten_times_is_stopped_and_others_get_in() {
    let server = server();
    server.register("ada");
    for n in 0..10 {
        // These accounts do not exist. The responses do not reveal that, and the attempts count.
        let answer = login(&server, &format!("2001:db8::{n}"), "localhost", &format!("nobody{n}"), PASSWORD);
        answer.refused(401, "invalid_credentials");
    }
    login(&server, "2001:db8::ffff", "localhost", "ada", PASSWORD).refused(429, "too_many_requests");
    login(&server, "2001:db8:0:1::1", "localhost", "ada", PASSWORD).ok();
    login(&server, "192.0.2.1", "localhost", "ada", PASSWORD).ok();
}

#[test]
fn a_good_login_clears_the_email_and_not_the_address() {
    let server = server();
    server.register("ada");
    for round in 0..2 {
        for n in 0..9 {
            login(&server, &format!("192.0.2.{n}"), "localhost", "ada", "a wrong one")
                .refused(401, "invalid_credentials");
        }
        login(&server, &format!("198.51.100.{round}"), "localhost", "ada", PASSWORD).ok();
    }
    for n in 0..10 {
        login(&server, "203.0.113.1", "localhost", "ada", PASSWORD).ok();
        login(&server, "203.0.113.1", "localhost", &format!("nobody{n}"), "x").refused(401, "invalid_credentials");
    }
    login(&server, "203.0.113.1", "localhost", "ada", PASSWORD).refused(429, "too_many_requests");
}

#[test]
fn an_address_that_nobody_trusted_vouches_for_counts_for_nothing() {
    let server = TestServer::with(&["--throttle-attempts", "10"]);
    for n in 0..10 {
        login(&server, &format!("192.0.2.{n}"), "localhost", &format!("nobody{n}"), "x")
            .refused(401, "invalid_credentials");
    }
    login(&server, "192.0.2.77", "localhost", "ada", PASSWORD).refused(429, "too_many_requests");
}

/// Some proxies add their own line below a forged one (RFC 9110, 5.3: the lines form one list).
#[test]
fn an_address_that_a_client_makes_up_is_not_believed_because_a_proxy_adds_its_own_line() {
    let server = server();
    let login = |n: usize, real: &str| {
        let forged = format!("192.0.2.{n}");
        let headers = [("X-Forwarded-For", forged.as_str()), ("X-Forwarded-For", real)];
        login_for(&server, &headers, "localhost", &format!("nobody{n}"), "x")
    };
    for n in 0..10 {
        login(n, "198.51.100.1").refused(401, "invalid_credentials");
    }
    login(10, "198.51.100.1").refused(429, "too_many_requests");
    login(11, "198.51.100.2").refused(401, "invalid_credentials");
}

#[test]
fn it_opens_again_when_the_window_has_passed() {
    let server = TestServer::with(&["--throttle-attempts", "1", "--throttle-window", "1"]);
    login(&server, "", "localhost", "ada", "x").refused(401, "invalid_credentials");
    eventually("it is open again", || login(&server, "", "localhost", "ada", "x").status == 401);
}

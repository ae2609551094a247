//! Responses to mistakes of a client: the status, the code, and the problem of each field.

use serde_json::json;

use crate::client::{Answer, Request};
use crate::test_server::{TestServer, Who};

#[test]
fn a_body_that_is_no_json_is_malformed() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    for bad in ["{", "nonsense", r#"{"name":"x""#, r#"{"name":"x"} and more"#, "{'name':'x'}", "\u{1}"] {
        post_text(&server, &acme, "application/json", bad).refused(400, "malformed_json");
    }
    assert_eq!(server.customers(&acme), [""; 0]);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(post_text(&server, &acme, "application/json", &deep).status, 400);
}

#[test]
fn a_body_that_is_not_utf_8_is_malformed() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let headers = [("Content-Type", "application/json"), ("Content-Length", "12")];
    let head = request(&acme, &headers, None).text();
    let mut connection = server.connect();
    connection.send([head.as_bytes(), b"{\"name\":\"\xff\"}"].concat()).unwrap();
    connection.receive().unwrap().unwrap().refused(400, "malformed_json");
}

#[test]
fn an_empty_body_and_an_empty_list_are_an_empty_object() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    for empty in ["", "[]", " [ ] ", "{}", "\n"] {
        let answer = post_text(&server, &acme, "application/json", empty);
        answer.invalid(&["The name field is required."]);
        assert_eq!(answer.json()["response"], "bad request: please check body parameters.");
    }
    server.ask(&request(&acme, &[], None)).invalid(&["The name field is required."]);
    for other in ["[1]", "1", "null", r#""x""#] {
        assert_eq!(post_text(&server, &acme, "application/json", other).status, 400, "{other}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let body = json!({"email_address": "nobody", "active": "perhaps", "website": "x".repeat(256), "vip": 7, "fax": {}});
    let answer = server.post(&acme, "/customers", body);
    assert_eq!(answer.status, 400, "{answer:?}");
    let answer = answer.json();
    let mut hint: Vec<&str> = answer["hint"].as_array().unwrap().iter().map(|said| said.as_str().unwrap()).collect();
    hint.sort_unstable();
    assert_eq!(
        hint,
        [
            "The active must be true or false.",
            "The email address must be a valid email address.",
            "The fax must be a string.",
            "The name field is required.",
            "The vip must be true or false.",
            "The website may not be greater than 255 characters.",
        ]
    );
}

#[test]
fn what_the_server_keeps_and_what_it_does_not_know_is_ignored() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let body =
        json!({"id": 99, "created_at": "1999-01-01T00:00:00Z", "updated_at": null, "name": "Renault", "colour": 1});
    let made = server.post(&acme, "/customers", body).created();
    assert_eq!((&made["id"], made.get("colour")), (&json!(1), None));
    assert!(!made["created_at"].as_str().unwrap().starts_with("1999"));
}

#[test]
fn a_body_of_another_kind_is_not_supported() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let body = r#"{"name":"Renault"}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "json"] {
        post_text(&server, &acme, kind, body).refused(415, "unsupported_media_type");
    }
    let length = body.len().to_string();
    let bare = format!("{}{body}", request(&acme, &[("Content-Length", &length)], None).text());
    let mut connection = server.connect();
    connection.send(bare).unwrap();
    connection.receive().unwrap().unwrap().refused(415, "unsupported_media_type");
    for kind in ["application/json", "Application/JSON; charset=UTF-8"] {
        post_text(&server, &acme, kind, body).created();
    }
}

#[test]
fn a_method_that_a_path_does_not_have_is_told_those_it_has() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    for (method, path, allowed) in [
        ("DELETE", "/customers", ["GET", "HEAD", "POST"].as_slice()),
        ("PATCH", "/customers/1", &["DELETE", "GET", "HEAD", "PUT"]),
        ("GET", "/login", &["POST"]),
        ("OPTIONS", "/whoami", &["GET", "HEAD"]),
    ] {
        let answer = server.send(&acme, method, path, None);
        answer.refused(405, "method_not_allowed");
        let mut told: Vec<&str> = answer.header("allow").unwrap().split(", ").collect();
        told.sort_unstable();
        assert_eq!(told, allowed, "{method} {path}");
    }
}

#[test]
fn an_id_that_is_none_and_a_path_that_is_none_are_not_found() {
    let server = TestServer::new();
    let acme = server.team("acme");
    for id in ["0", "-1", "x", "1.5", "99999999999999999999", "%31%00", "1%2F2"] {
        server.get(&acme.inside, &format!("/customers/{id}")).refused(404, "not_found");
    }
    for path in ["/nothing", "/customers/1/nothing", "/..", "/%2e%2e/customers"] {
        server.get(&acme.inside, path).refused(404, "route_not_found");
    }
    server.get(&acme.owner, "/workspaces/x").refused(404, "not_found");
}

#[test]
fn what_an_account_of_a_customer_may_be_is_kept_unique() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let made = server.post(&acme, "/customers", json!({"name": "Renault"})).created();
    assert_eq!(made["customer_account"], "CL000001");
    let again = json!({"name": "Peugeot", "customer_account": "CL000001"});
    let answer = server.post(&acme, "/customers", again);
    answer.refused(422, "customer_account_taken");
    assert_eq!(answer.json()["hint"], json!(["The customer account has already been taken."]));
    server.get(&acme, "/customers/resolve?customer_account=CL000009").refused(404, "customer_not_found");
    let found = server.get(&acme, "/customers/resolve?customer_account=CL000001").ok();
    assert_eq!(found, json!({"id": 1, "customer_account": "CL000001"}));
}

fn post_text(server: &TestServer, who: &Who, kind: &str, body: &str) -> Answer {
    server.ask(&request(who, &[("Content-Type", kind)], Some(body)))
}

fn request<'r>(who: &'r Who, headers: &'r [(&'r str, &'r str)], body: Option<&'r str>) -> Request<'r> {
    Request { method: "POST", path: "/api/customers", host: &who.host, token: who.token.as_deref(), headers, body }
}

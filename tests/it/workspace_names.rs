//! A workspace changes its subdomain, is suspended and resumed: each takes effect with the next request.

use serde_json::json;

use crate::test_server::{TestServer, at, central};

#[test]
fn renaming_by_the_api_moves_the_workspace_at_once() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    let path = format!("/workspaces/{}", acme.workspace);
    let renamed = server.put(&acme.owner, &path, json!({"subdomain": "nova"})).created();
    assert_eq!((&renamed["subdomain"], &renamed["name"]), (&json!("nova"), &json!("acme")));
    server.get(&acme.inside, "/customers").refused(404, "workspace_not_found");
    assert_eq!(server.customers(&acme.inside.on("nova.localhost")), ["Renault"]);
}

#[test]
fn renaming_by_the_command_line_is_felt_by_the_running_server() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.cli(&["workspace", "rename", "acme", "--subdomain", "nova", "--name", "Nova"]).ok();
    server.get(&acme.inside, "/customers").refused(404, "workspace_not_found");
    assert_eq!(server.customers(&acme.inside.on("nova.localhost")), ["Renault"]);
    let shown = server.get(&acme.owner, &format!("/workspaces/{}", acme.workspace)).ok();
    assert_eq!((&shown["name"], &shown["subdomain"]), (&json!("Nova"), &json!("nova")));
}

#[test]
fn a_subdomain_that_was_left_is_free_and_one_in_use_is_not() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let path = format!("/workspaces/{}", zeta.workspace);
    server.put(&zeta.owner, &path, json!({"subdomain": "acme"})).refused(422, "subdomain_taken");
    assert!(server.cli(&["workspace", "rename", "zeta", "--subdomain", "acme"]).failed().contains("taken"));
    server.post(&zeta.owner, "/workspaces", json!({"name": "x", "subdomain": "acme"})).refused(422, "subdomain_taken");

    server.cli(&["workspace", "rename", "acme", "--subdomain", "nova"]).ok();
    server.put(&zeta.owner, &path, json!({"subdomain": "acme"})).created();
    server.customer(&zeta.inside.on("acme.localhost"), "Citroën");
    server.get(&acme.inside, "/customers").refused(401, "wrong_token_scope");
    assert_eq!(server.customers(&acme.inside.on("nova.localhost")), [""; 0]);
}

#[test]
fn a_subdomain_follows_its_rules() {
    let server = TestServer::new();
    let ada = server.register("ada");
    for bad in ["ab", "-acme", "acme-", "ac--me", "ac_me", "www", "admin", "oauth", "é", &"a".repeat(64)] {
        let answer = server.post(&ada, "/workspaces", json!({"name": "x", "subdomain": bad}));
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        assert!(answer.json()["hint"][0].is_string(), "{bad}: {answer:?}");
    }
    server.workspace(&ada, &"a".repeat(63));
}

#[test]
fn a_suspended_workspace_answers_nobody_until_it_is_resumed() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.cli(&["workspace", "suspend", "acme"]).ok();
    server.get(&acme.inside, "/customers").refused(403, "workspace_suspended");
    server.post(&acme.inside, "/customers", json!({"name": "Peugeot"})).refused(403, "workspace_suspended");
    server.post(&at("acme"), "/login", json!({})).refused(403, "workspace_suspended");
    let switch = json!({"workspace_id": acme.workspace});
    server.post(&acme.owner, "/switch-to", switch).refused(403, "workspace_suspended");
    assert_eq!(server.get(&acme.owner, "/workspaces").ok()["data"][0]["status"], "suspended");

    server.cli(&["workspace", "resume", &acme.workspace]).ok();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    let said = server.cli(&["workspace", "suspend", "nobody"]).failed();
    assert!(said.contains("nobody"), "{said}");
    server.get(&central(), "/whoami").refused(401, "token_missing");
}

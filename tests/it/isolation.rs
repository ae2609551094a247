//! Two workspaces of two people on one server never see each other.

use serde_json::json;

use crate::test_server::{PASSWORD, TestServer, email};

#[test]
fn ids_of_another_workspace_are_not_there() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let customer = server.customer(&acme.inside, "Renault");
    let contact = server.post(&acme.inside, "/contacts", json!({"last_name": "Durand"})).created()["id"].clone();

    for path in [format!("/customers/{customer}"), format!("/contacts/{contact}")] {
        server.get(&zeta.inside, &path).refused(404, "not_found");
        server.put(&zeta.inside, &path, json!({"comment": "mine now"})).refused(404, "not_found");
        server.delete(&zeta.inside, &path).refused(404, "not_found");
        assert!(server.get(&acme.inside, &path).ok()["comment"].is_null());
    }
    let bulk = server.send(&zeta.inside, "DELETE", "/customers/bulk", Some(json!({"ids": [customer]})));
    bulk.refused(422, "unknown_ids");
    server.get(&zeta.inside, &format!("/customers/{customer}/contacts")).refused(404, "not_found");
}

#[test]
fn lists_hold_the_rows_of_one_workspace_alone() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    for name in ["Renault", "Peugeot"] {
        server.customer(&acme.inside, name);
    }
    server.customer(&zeta.inside, "Citroën");
    assert_eq!(server.customers(&acme.inside), ["Renault", "Peugeot"]);
    assert_eq!(server.customers(&zeta.inside), ["Citroën"]);
    let searched = server.get(&zeta.inside, "/customers?filter[term]=renault").ok();
    assert_eq!((&searched["total"], &searched["data"]), (&json!(0), &json!([])));
    server.delete(&acme.inside, "/customers/1").ok();
    assert_eq!(server.customers(&zeta.inside), ["Citroën"]);
}

#[test]
fn tokens_of_one_workspace_are_refused_by_the_other() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.customer(&acme.inside, "Renault");
    for (method, path) in [("GET", "/customers"), ("POST", "/customers"), ("GET", "/customers/1"), ("GET", "/whoami")] {
        let answer = server.send(&zeta.inside.on("acme.localhost"), method, path, Some(json!({"name": "x"})));
        answer.refused(401, "wrong_token_scope");
        assert!(!answer.text.contains("Renault"));
    }
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
}

#[test]
fn a_stranger_neither_sees_nor_enters_nor_changes_a_workspace() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let path = format!("/workspaces/{}", acme.workspace);

    let listed = server.get(&zeta.owner, "/workspaces").ok();
    assert_eq!((&listed["total"], &listed["data"][0]["subdomain"]), (&json!(1), &json!("zeta")));
    server.get(&zeta.owner, &path).refused(404, "workspace_not_found");
    server.put(&zeta.owner, &path, json!({"name": "mine"})).refused(404, "workspace_not_found");
    let confirmed = Some(json!({"subdomain": "acme"}));
    server.send(&zeta.owner, "DELETE", &path, confirmed).refused(404, "workspace_not_found");
    server.post(&zeta.owner, "/switch-to", json!({"workspace_id": acme.workspace})).refused(403, "not_a_member");
    let token = json!({"label": "mine", "workspace_id": acme.workspace});
    server.post(&zeta.owner, "/tokens", token).refused(403, "not_a_member");
    let credentials = json!({"email": email("zeta"), "password": PASSWORD});
    server.post(&zeta.inside.on("acme.localhost"), "/login", credentials).refused(403, "not_a_member");
    assert_eq!(server.get(&acme.owner, &path).ok()["name"], "acme");
}

#[test]
fn a_stranger_neither_sees_nor_revokes_tokens() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let tokens = server.get(&acme.owner, "/tokens").ok();
    let ids = tokens["data"].as_array().unwrap().iter().map(|token| &token["id"]);
    let others = server.get(&zeta.owner, "/tokens").ok();
    for id in ids {
        assert!(others["data"].as_array().unwrap().iter().all(|token| token["id"] != *id));
        server.delete(&zeta.owner, &format!("/tokens/{id}")).refused(404, "not_found");
    }
    server.get(&acme.owner, "/whoami").ok();
    server.get(&acme.inside, "/whoami").ok();
}

#[test]
fn only_an_operator_sees_the_instance_and_all_workspaces() {
    let server = TestServer::new();
    let (first, second) = (server.team("acme"), server.team("zeta"));
    let all = server.get(&first.owner, "/workspaces?scope=all").ok();
    assert_eq!(all["total"], 2);
    assert_eq!(server.instance(&first.owner)["workspaces"], 2);
    server.get(&second.owner, "/workspaces?scope=all").refused(403, "forbidden");
    server.get(&second.owner, "/instance").refused(403, "forbidden");
}

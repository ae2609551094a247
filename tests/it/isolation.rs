//! Two workspaces of two people on one server never see each other.

use serde_json::json;

use crate::bench::{Bench, PASSWORD, email};

#[test]
fn ids_of_another_workspace_are_not_there() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    let customer = bench.customer(&acme.inside, "Renault");
    let contact = bench.post(&acme.inside, "/contacts", json!({"last_name": "Durand"})).created()["id"].clone();

    for path in [format!("/customers/{customer}"), format!("/contacts/{contact}")] {
        bench.get(&zeta.inside, &path).refused(404, "not_found");
        bench.put(&zeta.inside, &path, json!({"comment": "mine now"})).refused(404, "not_found");
        bench.delete(&zeta.inside, &path).refused(404, "not_found");
        assert!(bench.get(&acme.inside, &path).ok()["comment"].is_null());
    }
    let bulk = bench.send(&zeta.inside, "DELETE", "/customers/bulk", Some(json!({"ids": [customer]})));
    bulk.refused(422, "unknown_ids");
    bench.get(&zeta.inside, &format!("/customers/{customer}/contacts")).refused(404, "not_found");
}

#[test]
fn lists_hold_the_rows_of_one_workspace_alone() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    for name in ["Renault", "Peugeot"] {
        bench.customer(&acme.inside, name);
    }
    bench.customer(&zeta.inside, "Citroën");
    assert_eq!(bench.customers(&acme.inside), ["Renault", "Peugeot"]);
    assert_eq!(bench.customers(&zeta.inside), ["Citroën"]);
    let searched = bench.get(&zeta.inside, "/customers?filter[term]=renault").ok();
    assert_eq!((&searched["total"], &searched["data"]), (&json!(0), &json!([])));
    bench.delete(&acme.inside, "/customers/1").ok();
    assert_eq!(bench.customers(&zeta.inside), ["Citroën"]);
}

#[test]
fn tokens_of_one_workspace_are_refused_by_the_other() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.customer(&acme.inside, "Renault");
    for (method, path) in [("GET", "/customers"), ("POST", "/customers"), ("GET", "/customers/1"), ("GET", "/whoami")] {
        let answer = bench.send(&zeta.inside.on("acme.localhost"), method, path, Some(json!({"name": "x"})));
        answer.refused(401, "wrong_token_scope");
        assert!(!answer.text.contains("Renault"));
    }
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
}

#[test]
fn a_stranger_neither_sees_nor_enters_nor_changes_a_workspace() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    let path = format!("/workspaces/{}", acme.workspace);

    let listed = bench.get(&zeta.owner, "/workspaces").ok();
    assert_eq!((&listed["total"], &listed["data"][0]["subdomain"]), (&json!(1), &json!("zeta")));
    bench.get(&zeta.owner, &path).refused(404, "workspace_not_found");
    bench.put(&zeta.owner, &path, json!({"name": "mine"})).refused(404, "workspace_not_found");
    let confirmed = Some(json!({"subdomain": "acme"}));
    bench.send(&zeta.owner, "DELETE", &path, confirmed).refused(404, "workspace_not_found");
    bench.post(&zeta.owner, "/switch-to", json!({"workspace_id": acme.workspace})).refused(403, "not_a_member");
    let token = json!({"label": "mine", "workspace_id": acme.workspace});
    bench.post(&zeta.owner, "/tokens", token).refused(403, "not_a_member");
    let credentials = json!({"email": email("zeta"), "password": PASSWORD});
    bench.post(&zeta.inside.on("acme.localhost"), "/login", credentials).refused(403, "not_a_member");
    assert_eq!(bench.get(&acme.owner, &path).ok()["name"], "acme");
}

#[test]
fn a_stranger_neither_sees_nor_revokes_tokens() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    let tokens = bench.get(&acme.owner, "/tokens").ok();
    let ids = tokens["data"].as_array().unwrap().iter().map(|token| &token["id"]);
    let others = bench.get(&zeta.owner, "/tokens").ok();
    for id in ids {
        assert!(others["data"].as_array().unwrap().iter().all(|token| token["id"] != *id));
        bench.delete(&zeta.owner, &format!("/tokens/{id}")).refused(404, "not_found");
    }
    bench.get(&acme.owner, "/whoami").ok();
    bench.get(&acme.inside, "/whoami").ok();
}

#[test]
fn only_an_operator_sees_the_instance_and_all_workspaces() {
    let bench = Bench::new();
    let (first, second) = (bench.team("acme"), bench.team("zeta"));
    let all = bench.get(&first.owner, "/workspaces?scope=all").ok();
    assert_eq!(all["total"], 2);
    assert_eq!(bench.instance(&first.owner)["workspaces"], 2);
    bench.get(&second.owner, "/workspaces?scope=all").refused(403, "forbidden");
    bench.get(&second.owner, "/instance").refused(403, "forbidden");
}

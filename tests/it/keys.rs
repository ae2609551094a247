//! Integration keys on the real program: across a restart, in another workspace, and the time of last use.

use serde_json::{Value, json};

use crate::test_server::{TestServer, Who, sqlite, text};

fn key(server: &TestServer, maker: &Who, body: Value) -> (Who, i64) {
    let made = server.post(maker, "/integration-keys", body).created();
    (Who { token: Some(text(&made["key"])), ..maker.clone() }, made["id"].as_i64().unwrap())
}

#[test]
fn a_key_opens_its_own_workspace_alone_and_outlives_the_process() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let (program, id) = key(&server, &acme.inside, json!({"name": "importer", "permissions": ["customer.*"]}));
    server.customer(&program, "Renault");
    server.get(&program.on("zeta.localhost"), "/customers").refused(401, "token_invalid");
    server.get(&program.on("localhost"), "/customers").refused(401, "wrong_token_scope");
    server.get(&program.on("localhost"), "/whoami").refused(401, "wrong_token_scope");
    assert_eq!(server.customers(&zeta.inside), [""; 0]);

    server.restart();
    assert_eq!(server.customers(&program), ["Renault"]);
    server.restart();
    let listed = server.get(&acme.inside, "/integration-keys").ok();
    assert!(listed["data"][0]["last_used_at"].is_string(), "a stop writes what was used: {listed}");
    server.delete(&acme.inside, &format!("/integration-keys/{id}")).ok();
    server.get(&program, "/customers").refused(401, "token_invalid");
    assert!(!server.whole_log().contains("cxk_"), "{}", server.log());
}

#[test]
fn a_key_of_a_customer_is_gone_with_it_and_never_sees_more() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let (own, other) = (server.customer(&acme, "Own"), server.customer(&acme, "Other"));
    let contact = |customer: i64| {
        let body = json!({"last_name": "Durand", "customer_id": customer, "phone_mobile_1": "06 12 34 56 78"});
        server.post(&acme, "/contacts", body).created()["id"].clone()
    };
    let (mine, theirs) = (contact(own), contact(other));
    for contact in [&mine, &theirs] {
        let call = json!({"direction": "inbound", "contact_id": contact, "number_from": "0612345678"});
        server.post(&acme, "/phone-calls", call).created();
    }
    let (program, _) = key(&server, &acme, json!({"name": "theirs", "permissions": ["*"], "customer_id": own}));
    for (path, seen) in [
        ("/customers", json!([own])),
        ("/contacts?filter[phone]=%2B33612345678", json!([mine])),
        ("/contacts?filter[term]=durand&sort=-id", json!([mine])),
        ("/phone-calls?filter[phone]=0612345678", json!([1])),
    ] {
        let list = server.get(&program, path).ok();
        let ids: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
        assert_eq!(json!(ids), seen, "{path}");
        assert_eq!(list["total"], 1, "{path}");
    }
    server.get(&program, &format!("/contacts/{theirs}")).refused(404, "not_found");
    server.get(&program, "/users").refused(403, "forbidden");
    let attach = json!({"direction": "inbound", "contact_id": theirs});
    server.post(&program, "/phone-calls", attach).invalid(&["The selected contact id is invalid."]);
    server.delete(&acme, &format!("/customers/{own}?cascade=1")).ok();
    server.get(&program, "/customers").refused(401, "token_invalid");
}

/// A read waits for no write: the time of last use is written in the background, at most once a minute.
#[test]
fn a_busy_key_is_written_once() {
    let mut server = TestServer::new();
    let team = server.team("acme");
    let (program, _) = key(&server, &team.inside, json!({"name": "busy", "permissions": ["customer.view"]}));
    for _ in 0..50 {
        server.get(&program, "/customers").ok();
    }
    assert!(server.stop().success());
    let file = sqlite(&server.file(&team.workspace));
    let used = || file.query_row("SELECT last_used_at FROM integration_keys", [], |row| row.get::<_, i64>(0)).unwrap();
    let first = used();
    server.start();
    server.get(&program, "/customers").ok();
    assert!(server.stop().success());
    assert_eq!(used(), first);
}

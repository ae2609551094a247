use serde_json::{Value, json};

use crate::tests::TestServer;

fn good() -> Value {
    json!({
        "name": "3CX", "redirect_uris": ["https://pbx.example.com/cb", "http://127.0.0.1:5000/cb"],
        "grants": ["authorization_code"], "scopes": ["client", "crm"],
    })
}

fn with(change: &Value) -> Value {
    let mut body = good();
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

#[test]
fn a_client_is_answered_whole_and_its_secret_is_shown_once() {
    let server = TestServer::new();
    let mut made = server.admin().post("/oauth-clients", good()).created();
    let secret = made.as_object_mut().unwrap().remove("client_secret").unwrap();
    let secret = secret.as_str().unwrap();
    assert!(secret.starts_with("cxs_") && secret.len() == 47, "{secret}");
    assert!(made["client_id"].as_str().unwrap().starts_with("cxc_"));
    assert_eq!(made["secret_last_four"], &secret[43..]);
    for (field, value) in good().as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!((&made["confidential"], &made["active"]), (&json!(true), &json!(true)));
    assert_eq!(server.admin().get("/oauth-clients/1").ok(), made);
    assert_eq!(server.admin().get("/oauth-clients").ok()["data"], json!([made]));
    let changed = server.admin().put("/oauth-clients/1", json!({"name": "PBX", "scopes": ["crm"]})).created();
    assert_eq!((&changed["name"], &changed["client_id"]), (&json!("PBX"), &made["client_id"]));
    let rotated = server.admin().post("/oauth-clients/1/rotate-secret", json!({})).created();
    assert_ne!(rotated["client_secret"], secret);
    assert_eq!(server.admin().get("/audit-log?filter[action]=oauth-client.updated").ok()["total"], 2);
    server.admin().delete("/oauth-clients/1").ok();
    server.admin().get("/oauth-clients/1").rejected(404, "not_found");
}

#[test]
fn a_public_client_has_no_secret() {
    let server = TestServer::new();
    let made = server.admin().post("/oauth-clients", with(&json!({"confidential": false}))).created();
    assert_eq!((&made["client_secret"], &made["secret_last_four"]), (&Value::Null, &Value::Null));
    server.admin().post("/oauth-clients/1/rotate-secret", json!({})).rejected(422, "client_is_public");
    let says = "The grants may not have client_credentials if the client is public.";
    server.admin().put("/oauth-clients/1", json!({"grants": ["client_credentials"]})).invalid(&[says]);
}

#[test]
fn what_is_not_as_it_should_be_is_refused() {
    let server = TestServer::new();
    server.admin().post("/oauth-clients", good()).created();
    let uri = "The redirect uris 0 must be an absolute https URL (or http on the loopback address) without a fragment or a wildcard.";
    for (change, says) in [
        (json!({"name": ""}), "The name field is required."),
        (json!({"grants": []}), "The grants field is required."),
        (json!({"grants": ["password"]}), "The selected grants 0 is invalid."),
        (json!({"scopes": ["contact.*"]}), "The selected scopes 0 is invalid."),
        (json!({"redirect_uris": []}), "The redirect uris field is required."),
        (json!({"redirect_uris": ["http://pbx.example.com/"]}), uri),
        (json!({"redirect_uris": ["https://pbx.example.com/#f"]}), uri),
        (json!({"redirect_uris": ["https://*.example.com/"]}), uri),
        (json!({"redirect_uris": ["/callback"]}), uri),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), uri),
        (json!({"redirect_uris": ["com.example.app:/cb"]}), uri),
        (json!({"redirect_uris": ["https://ada:b@pbx.example.com/"]}), uri),
        (json!({"redirect_uris": ["https://pbx.example.com/a b"]}), uri),
        (json!({"redirect_uris": ["https:/pbx.example.com/"]}), uri),
        (json!({"redirect_uris": ["https://a;script-src.example.com/"]}), uri),
        (json!({"redirect_uris": ["https://a,b.example.com/"]}), uri),
        (json!({"customer_id": 9}), "The selected customer id is invalid."),
    ] {
        server.admin().post("/oauth-clients", with(&change)).invalid(&[says]);
        if change.get("customer_id").is_none() {
            server.admin().put("/oauth-clients/1", change).invalid(&[says]);
        }
    }
    let public = json!({"confidential": false, "grants": ["client_credentials"]});
    let says = "The grants may not have client_credentials if the client is public.";
    server.admin().post("/oauth-clients", with(&public)).invalid(&[says]);
    server.admin().post("/customers", json!({"name": "A"})).created();
    let kept = server.admin().put("/oauth-clients/1", json!({"confidential": false, "customer_id": 1})).created();
    assert_eq!((&kept["confidential"], &kept["customer_id"]), (&json!(true), &Value::Null));
    assert_eq!(server.admin().get("/oauth-clients").ok()["total"], 1);
}

#[test]
fn nobody_gives_a_client_more_than_they_have() {
    let server = TestServer::new();
    let limited = server.with_only(&["oauth-client.*", "contact.view"]);
    limited.post("/oauth-clients", with(&json!({"scopes": ["contact.view"]}))).created();
    for scopes in [json!(["contact.view", "contact.delete"]), json!(["client", "crm"])] {
        limited.post("/oauth-clients", with(&json!({"scopes": scopes}))).rejected(403, "missing_permission");
        limited.put("/oauth-clients/1", json!({"scopes": scopes})).rejected(403, "missing_permission");
    }
    server.admin().post("/oauth-clients", good()).created();
    limited.post("/oauth-clients/2/rotate-secret", json!({})).rejected(403, "missing_permission");
    limited
        .put("/oauth-clients/2", json!({"redirect_uris": ["https://evil.example/"]}))
        .rejected(403, "missing_permission");
}

#[test]
fn a_client_goes_with_its_customer() {
    let server = TestServer::new();
    server.admin().post("/customers", json!({"name": "A"})).created();
    server.admin().post("/oauth-clients", with(&json!({"customer_id": 1}))).created();
    server.admin().delete("/customers/1").ok();
    server.admin().get("/oauth-clients/1").rejected(404, "not_found");
    assert_eq!(server.admin().get("/audit-log?filter[action]=oauth-client.deleted").ok()["total"], 1);
}

use serde_json::{Value, json};

use super::*;
use crate::central::workspace_lifecycle;
use crate::tests::{PASSWORD, TestClient, TestServer};

/// Invites into `acme` as an agent. Returns the path of the invitation and its code.
fn invited(server: &TestServer, email: &str) -> (String, String) {
    let made = server.admin().post("/user-invites", json!({"email": email, "role_id": 3})).created();
    let text = server.mails().pop().unwrap().text;
    let (_, rest) = text.split_once("/ui/invitations/").unwrap();
    (format!("/user-invites/{}", made["id"]), rest[..43].to_owned())
}

fn registering(email: &str, code: &str) -> Value {
    json!({"name": "Grace", "email": email, "password": PASSWORD, "invite": code})
}

fn enter<'b>(server: &'b TestServer, client: &TestClient<'_>) -> TestClient<'b> {
    let switched = client.post("/switch-to", json!({"workspace_id": server.acme.id})).ok();
    server.anonymous().signed_in(&switched).at("acme.localhost")
}

#[test]
fn who_has_an_account_accepts_and_is_in() {
    let server = TestServer::new();
    let guest = server.stranger();
    let (path, code) = invited(&server, "Stranger@Example.com");
    assert_eq!(server.anonymous().get(&format!("/user-invites/code/{code}")).ok()["account_exists"], true);
    assert_eq!(guest.get("/user-invites").ok()["data"][0]["workspace"]["name"], "acme");
    assert_eq!(server.central().get("/user-invites").ok()["total"], 0);
    server.central().post(&format!("{path}/accept"), json!({})).rejected(404, "not_found");

    assert_eq!(guest.post(&format!("{path}/accept"), json!({})).created()["status"], "accepted");
    let inside = enter(&server, &guest);
    let me = inside.get("/whoami").ok();
    assert_eq!((&me["role"], &me["user"]["email"]), (&json!("agent"), &json!("stranger@example.com")));
    assert_eq!(guest.get("/user-invites").ok()["total"], 0);
    guest.post(&format!("{path}/accept"), json!({})).rejected(422, "invite_accepted");
}

/// Any account may enter any address. Reading its mail is what counts.
#[test]
fn an_address_that_is_not_verified_opens_no_invitation() {
    let server = TestServer::new();
    let mallory = json!({"name": "Mallory", "email": "mallory@example.com", "password": PASSWORD});
    let mallory = server.anonymous().signed_in(&server.anonymous().post("/register", mallory).created());
    let change = json!({"email": "ceo@acme.test", "current_password": PASSWORD});
    assert_eq!(mallory.put("/account", change).created()["email"], "mallory@example.com");
    let squatter = json!({"name": "S", "email": "squatted@acme.test", "password": PASSWORD});
    let squatter = server.anonymous().signed_in(&server.anonymous().post("/register", squatter).created());
    for (thief, email) in [(&mallory, "ceo@acme.test"), (&squatter, "squatted@acme.test")] {
        let (path, code) = invited(&server, email);
        assert_eq!(thief.get("/user-invites").ok()["total"], 0);
        for answer in ["accept", "decline"] {
            thief.post(&format!("{path}/{answer}"), json!({})).rejected(404, "not_found");
            thief.post(&format!("{path}/{answer}"), json!({"code": "guessed"})).rejected(404, "not_found");
            server.stranger().post(&format!("{path}/{answer}"), json!({"code": code})).rejected(404, "not_found");
        }
    }
    assert_eq!(server.admin().get("/users").ok()["total"], 1);
}

#[test]
fn the_code_of_an_invitation_verifies_the_address_that_it_went_to() {
    let server = TestServer::new();
    let register = |email: &str| {
        let body = json!({"name": "Grace", "email": email, "password": PASSWORD});
        server.anonymous().signed_in(&server.anonymous().post("/register", body).created())
    };
    let (grace, ada) = (register("grace@example.com"), register("ada@example.com"));
    let (path, code) = invited(&server, "Grace@example.com");
    grace.post(&format!("{path}/accept"), json!({"code": code})).created();
    assert_eq!(grace.get("/whoami").ok()["user"]["email_verified"], true);
    enter(&server, &grace).get("/customers").ok();

    // The code also completes a pending change of address.
    ada.put("/account", json!({"email": "ada@acme.test", "current_password": PASSWORD})).created();
    let (path, code) = invited(&server, "ada@acme.test");
    ada.post(&format!("{path}/decline"), json!({"code": code})).created();
    let me = ada.get("/whoami").ok()["user"].clone();
    assert_eq!((&me["email"], &me["email_verified"]), (&json!("ada@acme.test"), &json!(true)));
    assert_eq!(me.get("pending_email"), None);
}

#[test]
fn who_has_none_registers_with_the_code_and_is_in() {
    let server = TestServer::with(&[("registration", "invite")]);
    let (_, code) = invited(&server, "grace@example.com");
    let shown = server.anonymous().get(&format!("/user-invites/code/{code}")).ok();
    assert_eq!((&shown["account_exists"], &shown["email"]), (&json!(false), &json!("grace@example.com")));
    let register = |body: Value| server.anonymous().post("/register", body);
    let without = json!({"name": "Grace", "email": "grace@example.com", "password": PASSWORD});
    register(without).rejected(403, "registration_closed");
    register(registering("grace@example.com", "x")).invalid(&["The selected invite is invalid."]);
    register(registering("eve@example.com", &code)).invalid(&["The selected invite is invalid."]);

    let made = register(registering("grace@example.com", &code)).created();
    assert_eq!((&made["workspace"]["subdomain"], &made["workspace"]["role"]), (&json!("acme"), &json!("agent")));
    let inside = enter(&server, &server.anonymous().signed_in(&made));
    assert_eq!(inside.get("/whoami").ok()["user"]["name"], "Grace");
    register(registering("other@example.com", &code)).invalid(&["The selected invite is invalid."]);
}

#[test]
fn a_closed_server_takes_nobody_with_a_code_either() {
    let server = TestServer::with(&[("registration", "closed")]);
    let (_, code) = invited(&server, "grace@example.com");
    server.anonymous().post("/register", registering("grace@example.com", &code)).rejected(403, "registration_closed");
}

#[test]
fn what_is_declined_withdrawn_or_over_is_not_accepted() {
    let server = TestServer::new();
    let guest = server.stranger();
    let (declined, _) = invited(&server, "stranger@example.com");
    assert_eq!(guest.post(&format!("{declined}/decline"), json!({})).created()["status"], "declined");
    guest.post(&format!("{declined}/accept"), json!({})).rejected(422, "invite_declined");

    let (withdrawn, code) = invited(&server, "stranger@example.com");
    server.admin().delete(&withdrawn).ok();
    guest.post(&format!("{withdrawn}/accept"), json!({})).rejected(422, "invite_cancelled");
    guest.post(&format!("{withdrawn}/decline"), json!({})).rejected(422, "invite_cancelled");
    server.anonymous().post("/register", registering("stranger@example.com", &code)).rejected(422, "invite_cancelled");

    let (over, _) = invited(&server, "stranger@example.com");
    server
        .instance
        .central
        .write(|db| Ok::<_, Error>(db.execute("UPDATE user_invites SET expires_at = 1", [])?))
        .unwrap();
    guest.post(&format!("{over}/accept"), json!({})).rejected(422, "invite_expired");
    guest.post(&format!("{over}/decline"), json!({})).rejected(422, "invite_expired");
    assert_eq!(server.admin().get("/users").ok()["total"], 1);
}

/// The workspace's file has the user, but the central file was not written before the crash.
#[test]
fn an_acceptance_that_a_crash_interrupted_is_repeated() {
    let server = TestServer::new();
    let guest = server.stranger();
    let (path, _) = invited(&server, "stranger@example.com");
    let account_id = guest.get("/whoami").ok()["user"]["id"].as_i64().unwrap();
    let recorder = server.recorder();
    server.in_file(move |db| Ok(members::add(db, &recorder, account_id, "S", "stranger@example.com", 3)?));
    guest.post("/switch-to", json!({"workspace_id": server.acme.id})).rejected(403, "not_a_member");
    guest.post(&format!("{path}/accept"), json!({})).created();
    enter(&server, &guest).get("/customers").ok();
}

#[test]
fn nobody_joins_a_workspace_that_is_suspended_or_gone() {
    let server = TestServer::new();
    let guest = server.stranger();
    let (path, _) = invited(&server, "stranger@example.com");
    let (id, origin) = (server.acme.id, Origin::system(Timestamp::now()));
    let write = |status: &'static str| {
        let origin = origin.clone();
        let set = move |db: &Connection| Ok::<_, Error>(workspace_rows::set_status(db, id, status, &origin)?);
        let done = server.instance.central.write(set);
        assert!(done.unwrap());
    };
    write("suspended");
    guest.post(&format!("{path}/accept"), json!({})).rejected(403, "workspace_suspended");
    write("active");
    server.instance.central.write(move |db| workspace_lifecycle::trash(db, id, &origin)).unwrap();
    guest.post(&format!("{path}/accept"), json!({})).rejected(404, "not_found");
    assert_eq!(guest.get("/user-invites").ok()["total"], 0);
}

#[test]
fn a_deleted_account_leaves_no_user_behind() {
    let server = TestServer::new();
    let guest = server.stranger();
    let (path, _) = invited(&server, "stranger@example.com");
    guest.post(&format!("{path}/accept"), json!({})).created();
    assert_eq!(server.admin().get("/users").ok()["total"], 2);
    guest.delete_with("/account", json!({"current_password": PASSWORD})).ok();
    assert_eq!(server.admin().get("/users").ok()["total"], 1);
}

use serde_json::{Value, json};

use super::*;
use crate::central::workspace_lifecycle;
use crate::testing::{Bench, Client, PASSWORD};

/// Invites into `acme` as an agent. Returns the path of the invitation and its code.
fn invited(bench: &Bench, email: &str) -> (String, String) {
    let made = bench.admin().post("/user-invites", json!({"email": email, "role_id": 3})).created();
    let text = bench.mails().pop().unwrap().text;
    let (_, rest) = text.split_once("/ui/invitations/").unwrap();
    (format!("/user-invites/{}", made["id"]), rest[..43].to_owned())
}

fn registering(email: &str, code: &str) -> Value {
    json!({"name": "Grace", "email": email, "password": PASSWORD, "invite": code})
}

fn enter<'b>(bench: &'b Bench, client: &Client<'_>) -> Client<'b> {
    let switched = client.post("/switch-to", json!({"workspace_id": bench.acme.id})).ok();
    bench.nobody().signed_in(&switched).at("acme.localhost")
}

#[test]
fn who_has_an_account_accepts_and_is_in() {
    let bench = Bench::new();
    let guest = bench.stranger();
    let (path, code) = invited(&bench, "Stranger@Example.com");
    assert_eq!(bench.nobody().get(&format!("/user-invites/code/{code}")).ok()["account_exists"], true);
    assert_eq!(guest.get("/user-invites").ok()["data"][0]["workspace"]["name"], "acme");
    assert_eq!(bench.central().get("/user-invites").ok()["total"], 0);
    bench.central().post(&format!("{path}/accept"), json!({})).refused(404, "not_found");

    assert_eq!(guest.post(&format!("{path}/accept"), json!({})).created()["status"], "accepted");
    let inside = enter(&bench, &guest);
    let me = inside.get("/whoami").ok();
    assert_eq!((&me["role"], &me["user"]["email"]), (&json!("agent"), &json!("stranger@example.com")));
    assert_eq!(guest.get("/user-invites").ok()["total"], 0);
    guest.post(&format!("{path}/accept"), json!({})).refused(422, "invite_accepted");
}

/// Any account may enter any address. Reading its mail is what counts.
#[test]
fn an_address_that_is_not_verified_opens_no_invitation() {
    let bench = Bench::new();
    let mallory = json!({"name": "Mallory", "email": "mallory@example.com", "password": PASSWORD});
    let mallory = bench.nobody().signed_in(&bench.nobody().post("/register", mallory).created());
    let change = json!({"email": "ceo@acme.test", "current_password": PASSWORD});
    assert_eq!(mallory.put("/account", change).created()["email"], "mallory@example.com");
    let squatter = json!({"name": "S", "email": "squatted@acme.test", "password": PASSWORD});
    let squatter = bench.nobody().signed_in(&bench.nobody().post("/register", squatter).created());
    for (thief, email) in [(&mallory, "ceo@acme.test"), (&squatter, "squatted@acme.test")] {
        let (path, code) = invited(&bench, email);
        assert_eq!(thief.get("/user-invites").ok()["total"], 0);
        for answer in ["accept", "decline"] {
            thief.post(&format!("{path}/{answer}"), json!({})).refused(404, "not_found");
            thief.post(&format!("{path}/{answer}"), json!({"code": "guessed"})).refused(404, "not_found");
            bench.stranger().post(&format!("{path}/{answer}"), json!({"code": code})).refused(404, "not_found");
        }
    }
    assert_eq!(bench.admin().get("/users").ok()["total"], 1);
}

#[test]
fn the_code_of_an_invitation_verifies_the_address_that_it_went_to() {
    let bench = Bench::new();
    let register = |email: &str| {
        let body = json!({"name": "Grace", "email": email, "password": PASSWORD});
        bench.nobody().signed_in(&bench.nobody().post("/register", body).created())
    };
    let (grace, ada) = (register("grace@example.com"), register("ada@example.com"));
    let (path, code) = invited(&bench, "Grace@example.com");
    grace.post(&format!("{path}/accept"), json!({"code": code})).created();
    assert_eq!(grace.get("/whoami").ok()["user"]["email_verified"], true);
    enter(&bench, &grace).get("/customers").ok();

    // The code also completes a pending change of address.
    ada.put("/account", json!({"email": "ada@acme.test", "current_password": PASSWORD})).created();
    let (path, code) = invited(&bench, "ada@acme.test");
    ada.post(&format!("{path}/decline"), json!({"code": code})).created();
    let me = ada.get("/whoami").ok()["user"].clone();
    assert_eq!((&me["email"], &me["email_verified"]), (&json!("ada@acme.test"), &json!(true)));
    assert_eq!(me.get("pending_email"), None);
}

#[test]
fn who_has_none_registers_with_the_code_and_is_in() {
    let bench = Bench::with(&[("registration", "invite")]);
    let (_, code) = invited(&bench, "grace@example.com");
    let shown = bench.nobody().get(&format!("/user-invites/code/{code}")).ok();
    assert_eq!((&shown["account_exists"], &shown["email"]), (&json!(false), &json!("grace@example.com")));
    let register = |body: Value| bench.nobody().post("/register", body);
    let without = json!({"name": "Grace", "email": "grace@example.com", "password": PASSWORD});
    register(without).refused(403, "registration_closed");
    register(registering("grace@example.com", "x")).invalid(&["The selected invite is invalid."]);
    register(registering("eve@example.com", &code)).invalid(&["The selected invite is invalid."]);

    let made = register(registering("grace@example.com", &code)).created();
    assert_eq!((&made["workspace"]["subdomain"], &made["workspace"]["role"]), (&json!("acme"), &json!("agent")));
    let inside = enter(&bench, &bench.nobody().signed_in(&made));
    assert_eq!(inside.get("/whoami").ok()["user"]["name"], "Grace");
    register(registering("other@example.com", &code)).invalid(&["The selected invite is invalid."]);
}

#[test]
fn a_closed_server_takes_nobody_with_a_code_either() {
    let bench = Bench::with(&[("registration", "closed")]);
    let (_, code) = invited(&bench, "grace@example.com");
    bench.nobody().post("/register", registering("grace@example.com", &code)).refused(403, "registration_closed");
}

#[test]
fn what_is_declined_withdrawn_or_over_is_not_accepted() {
    let bench = Bench::new();
    let guest = bench.stranger();
    let (declined, _) = invited(&bench, "stranger@example.com");
    assert_eq!(guest.post(&format!("{declined}/decline"), json!({})).created()["status"], "declined");
    guest.post(&format!("{declined}/accept"), json!({})).refused(422, "invite_declined");

    let (withdrawn, code) = invited(&bench, "stranger@example.com");
    bench.admin().delete(&withdrawn).ok();
    guest.post(&format!("{withdrawn}/accept"), json!({})).refused(422, "invite_cancelled");
    guest.post(&format!("{withdrawn}/decline"), json!({})).refused(422, "invite_cancelled");
    bench.nobody().post("/register", registering("stranger@example.com", &code)).refused(422, "invite_cancelled");

    let (over, _) = invited(&bench, "stranger@example.com");
    bench.engine.central.write(|db| Ok::<_, Error>(db.execute("UPDATE user_invites SET expires_at = 1", [])?)).unwrap();
    guest.post(&format!("{over}/accept"), json!({})).refused(422, "invite_expired");
    guest.post(&format!("{over}/decline"), json!({})).refused(422, "invite_expired");
    assert_eq!(bench.admin().get("/users").ok()["total"], 1);
}

/// The workspace's file has the user, but the central file was not written before the crash.
#[test]
fn an_acceptance_that_a_crash_interrupted_is_repeated() {
    let bench = Bench::new();
    let guest = bench.stranger();
    let (path, _) = invited(&bench, "stranger@example.com");
    let account_id = guest.get("/whoami").ok()["user"]["id"].as_i64().unwrap();
    let author = bench.author();
    bench.in_file(move |db| Ok(members::add(db, &author, account_id, "S", "stranger@example.com", 3)?));
    guest.post("/switch-to", json!({"workspace_id": bench.acme.id})).refused(403, "not_a_member");
    guest.post(&format!("{path}/accept"), json!({})).created();
    enter(&bench, &guest).get("/customers").ok();
}

#[test]
fn nobody_joins_a_workspace_that_is_suspended_or_gone() {
    let bench = Bench::new();
    let guest = bench.stranger();
    let (path, _) = invited(&bench, "stranger@example.com");
    let (id, origin) = (bench.acme.id, Origin::system(Timestamp::now()));
    let write = |status: &'static str| {
        let origin = origin.clone();
        let set = move |db: &Connection| Ok::<_, Error>(workspace_rows::set_status(db, id, status, &origin)?);
        let done = bench.engine.central.write(set);
        assert!(done.unwrap());
    };
    write("suspended");
    guest.post(&format!("{path}/accept"), json!({})).refused(403, "workspace_suspended");
    write("active");
    bench.engine.central.write(move |db| workspace_lifecycle::trash(db, id, &origin)).unwrap();
    guest.post(&format!("{path}/accept"), json!({})).refused(404, "not_found");
    assert_eq!(guest.get("/user-invites").ok()["total"], 0);
}

#[test]
fn a_deleted_account_leaves_no_user_behind() {
    let bench = Bench::new();
    let guest = bench.stranger();
    let (path, _) = invited(&bench, "stranger@example.com");
    guest.post(&format!("{path}/accept"), json!({})).created();
    assert_eq!(bench.admin().get("/users").ok()["total"], 2);
    guest.delete_with("/account", json!({"current_password": PASSWORD})).ok();
    assert_eq!(bench.admin().get("/users").ok()["total"], 1);
}

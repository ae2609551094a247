use serde_json::{Value, json};

use crate::api::Error;
use crate::tests::{PASSWORD, TestClient, TestServer};

fn registered<'b>(server: &'b TestServer, email: &str) -> TestClient<'b> {
    let body = json!({"name": "Zoé", "email": email, "password": PASSWORD});
    server.anonymous().signed_in(&server.anonymous().post("/register", body).created())
}

fn me(client: &TestClient<'_>) -> Value {
    client.get("/whoami").ok()["user"].clone()
}

fn code(server: &TestServer) -> String {
    server.mailed("/ui/verify-email?code=")
}

/// Lets some seconds pass for the mailed codes.
fn later(server: &TestServer, seconds: i64) {
    let sql = format!(
        "UPDATE email_codes SET sent_at = sent_at - {seconds}, expires_at = expires_at - {seconds};
             UPDATE email_undo_codes SET expires_at = expires_at - {seconds};"
    );
    server.instance.central.write(move |db| Ok::<_, Error>(db.execute_batch(&sql)?)).unwrap();
}

#[test]
fn who_registers_is_mailed_a_code_and_verifies_the_address_once() {
    let server = TestServer::new();
    let zoe = registered(&server, "zoe@example.com");
    assert_eq!(me(&zoe)["email_verified"], false);
    let code = code(&server);
    let verify = |client: &TestClient<'_>, code: &str| client.post("/account/email/verify", json!({"code": code}));
    // The code is valid for one account only.
    verify(&server.stranger(), &code).invalid(&["The selected code is invalid."]);
    verify(&zoe, "guessed").invalid(&["The selected code is invalid."]);
    assert_eq!(verify(&zoe, &code).created()["email_verified"], true);
    verify(&zoe, &code).invalid(&["The selected code is invalid."]);
    zoe.post("/account/email/resend", json!({})).rejected(422, "email_verified");
}

#[test]
fn a_code_is_good_for_half_an_hour_and_sent_again_after_five_minutes() {
    let server = TestServer::new();
    let zoe = registered(&server, "zoe@example.com");
    let old = code(&server);
    let soon = zoe.post("/account/email/resend", json!({}));
    soon.rejected(429, "too_many_requests");
    let wait: i64 = soon.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((290..=300).contains(&wait), "{wait}");
    later(&server, 301);
    zoe.post("/account/email/resend", json!({})).ok();
    let verify = |code: &str| zoe.post("/account/email/verify", json!({"code": code}));
    verify(&old).invalid(&["The selected code is invalid."]);
    later(&server, 1801);
    verify(&code(&server)).invalid(&["The selected code is invalid."]);
    zoe.post("/account/email/resend", json!({})).ok();
    verify(&code(&server)).created();
}

#[test]
fn a_new_address_takes_effect_with_its_code_and_the_former_one_is_told() {
    let server = TestServer::new();
    let owner = server.central();
    let change = json!({"email": "new@example.com", "current_password": PASSWORD});
    owner.put("/account", change).created();
    let told = server.mails();
    let recipients: Vec<String> = told.iter().rev().take(2).map(|mail| mail.to.to_string()).collect();
    assert_eq!(recipients, ["owner@example.com", "new@example.com"]);
    assert_eq!(me(&owner)["email"], "owner@example.com");

    let verified = server.verify_email(&owner);
    assert_eq!((&verified["email"], &verified["email_verified"]), (&json!("new@example.com"), &json!(true)));
    assert_eq!(verified.get("pending_email"), None);
    let login = |email: &str| server.anonymous().post("/login", json!({"email": email, "password": PASSWORD}));
    login("owner@example.com").rejected(401, "invalid_credentials");
    login("new@example.com").ok();
}

#[test]
fn the_former_address_undoes_a_change_for_seven_days_also_once_it_took_effect() {
    for takes_effect in [false, true] {
        let server = TestServer::new();
        let thief = server.central();
        let change = |email: &str| json!({"email": email, "current_password": PASSWORD});
        thief.put("/account", change("thief@example.com")).created();
        let undo = server.mailed("/ui/undo-email-change?code=");
        if takes_effect {
            server.verify_email(&thief);
            // Another change does not help the attacker: its undo code goes to the attacker's address.
            later(&server, 60);
            thief.put("/account", change("thief2@example.com")).created();
        }
        let theirs = server.mailed("/ui/undo-email-change?code=");
        let bring_back = |code: &str| server.anonymous().post("/account/email/undo", json!({"code": code}));
        bring_back("guessed").invalid(&["The selected code is invalid."]);
        bring_back(&undo).ok();
        thief.get("/whoami").rejected(401, "token_revoked");
        let owner = server.anonymous().post("/login", change("")).status;
        assert!(owner.is_client_error());
        let login = json!({"email": "owner@example.com", "password": PASSWORD});
        let user = server.anonymous().post("/login", login).ok()["user"].clone();
        assert_eq!((&user["email_verified"], user.get("pending_email")), (&json!(true), None));
        bring_back(&theirs).invalid(&["The selected code is invalid."]);
        bring_back(&undo).invalid(&["The selected code is invalid."]);
    }
    let server = TestServer::new();
    let change = json!({"email": "new@example.com", "current_password": PASSWORD});
    server.central().put("/account", change).created();
    later(&server, 7 * 86_400 + 1);
    let undo = json!({"code": server.mailed("/ui/undo-email-change?code=")});
    server.anonymous().post("/account/email/undo", undo).invalid(&["The selected code is invalid."]);
}

#[test]
fn an_account_mails_no_more_strangers_than_its_quota_says() {
    let server = TestServer::with(&[("mails_per_hour", "3")]);
    let zoe = registered(&server, "zoe@example.com");
    let change = |n: usize| {
        zoe.put("/account", json!({"email": format!("victim{n}@example.com"), "current_password": PASSWORD}))
    };
    change(1).created();
    change(2).created();
    change(3).rejected(429, "too_many_requests");
    assert_eq!(me(&zoe)["pending_email"], "victim2@example.com");
}

#[test]
fn the_page_verifies_with_the_password_of_the_account_alone() {
    let server = TestServer::new();
    let zoe = registered(&server, "zoe@example.com");
    let path = format!("/ui/verify-email?code={}", code(&server));
    let page = server.anonymous().get(&path);
    assert!(page.status == 200 && page.text.contains("zoe@example.com"), "{page:?}");
    let submit = |password: &str| server.anonymous().submit(&path, &[("code", &code(&server)), ("password", password)]);
    let wrong = submit("somebody-elses");
    assert!(wrong.status == 401 && wrong.text.contains("The email or the password is wrong."), "{wrong:?}");
    assert_eq!(me(&zoe)["email_verified"], false);
    assert!(submit(PASSWORD).text.contains("The address is confirmed"));
    assert_eq!(me(&zoe)["email_verified"], true);
    assert_eq!(server.anonymous().get(&path).status, 404);
    let french = server.anonymous().with_header("accept-language", "fr").get(&path);
    assert!(french.text.contains("Ce lien ne fonctionne plus"), "{french:?}");
}

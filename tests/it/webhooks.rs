//! Webhooks: receivers get signed messages about changes, with retries, and never inside the server's own network.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::receiver::{Message, Receiver};
use crate::test_server::{Team, TestServer, email, eventually};

fn server() -> TestServer {
    TestServer::with(&["--private-webhooks", "true"])
}

/// Creates a webhook of a team for these events. Returns its path and its secret.
fn webhook(server: &TestServer, team: &Team, url: &str, events: &[&str]) -> (String, String) {
    let made = server.post(&team.inside, "/webhooks", json!({"url": url, "events": events})).created();
    (format!("/webhooks/{}", made["id"]), made["secret"].as_str().unwrap().to_owned())
}

fn deliveries(server: &TestServer, team: &Team, webhook: &str) -> Vec<Value> {
    server.get(&team.inside, &format!("{webhook}/deliveries?sort=id")).ok()["data"].as_array().unwrap().clone()
}

/// Waits until the deliveries have these statuses.
fn settled(server: &TestServer, team: &Team, webhook: &str, statuses: &[&str]) -> Vec<Value> {
    eventually("settled", || {
        let found = deliveries(server, team, webhook);
        found.len() == statuses.len()
            && found.iter().zip(statuses).all(|(delivery, status)| delivery["status"] == *status)
    });
    deliveries(server, team, webhook)
}

/// Checks a signature as the Standard Webhooks convention describes.
pub fn is_signed(message: &Message, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let (id, at) = (message.header("webhook-id"), message.header("webhook-timestamp"));
    mac.update(format!("{id}.{at}.{}", message.body).as_bytes());
    message.header("webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_change_is_told_at_once_signed_and_whole() {
    let (server, receiver) = (server(), Receiver::start());
    let acme = server.team("acme");
    let (path, secret) = webhook(&server, &acme, &receiver.url(), &["customer.*", "contact.created"]);

    let began = Instant::now();
    let made = server.post(&acme.inside, "/customers", json!({"name": "Zoé"})).created();
    let created = receiver.next();
    // Not by a later retry, even on a busy machine.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!((created.path.as_str(), created.header("content-type")), ("/hook", "application/json"));
    assert!(created.header("user-agent").starts_with("cx-engine/"), "{created:?}");
    assert!(is_signed(&created, &secret), "{created:?}");
    let told = created.json();
    assert_eq!(
        (&told["type"], &told["data"], &told["timestamp"]),
        (&json!("customer.created"), &made, &made["created_at"])
    );
    assert_eq!(told["workspace_id"], acme.workspace);

    // Other events and rejected requests cause no message.
    server.post(&acme.inside, "/organisations", json!({"name": "O"})).created();
    server
        .post(&acme.inside, "/contacts", json!({"last_name": "C", "customer_id": 99}))
        .invalid(&["The selected customer id is invalid."]);
    server.put(&acme.inside, "/customers/1", json!({"name": "Ada"})).created();
    let updated = receiver.next();
    assert_eq!(updated.json()["type"], "customer.updated");
    assert_eq!(updated.json()["data"]["changes"], json!({"name": ["Zoé", "Ada"]}));
    server.delete(&acme.inside, "/customers/1").ok();
    assert_eq!(receiver.next().json()["type"], "customer.deleted");

    let log = settled(&server, &acme, &path, &["delivered", "delivered", "delivered"]);
    assert_eq!(
        (&log[0]["message_id"], &log[0]["response_status"]),
        (&json!(created.header("webhook-id")), &json!(200))
    );
    assert_eq!((&log[0]["response_body"], &log[0]["error"]), (&json!("read"), &Value::Null));
    let whole = server.get(&acme.inside, &format!("{path}/deliveries/{}", log[0]["id"])).ok();
    assert_eq!(whole["body"], told);
    assert!(receiver.others().is_empty());
    assert!(!server.whole_log().contains(&secret), "the secret is in the log");
}

#[test]
fn what_fails_is_told_again_under_the_same_id_and_replayed_on_demand() {
    let (server, receiver) = (server(), Receiver::start());
    let acme = server.team("acme");
    let (path, secret) = webhook(&server, &acme, &receiver.url(), &["*"]);
    receiver.answers("503 Service Unavailable", "");
    server.customer(&acme.inside, "Ada");
    let first = receiver.next();
    let failed = &settled(&server, &acme, &path, &["pending"])[0];
    eventually("noted", || deliveries(&server, &acme, &path)[0]["tries"] == 1);
    assert!(failed["next_try_at"].is_string(), "{failed}");
    receiver.answers("204 No Content", "");
    let second = receiver.next();
    assert_eq!((second.header("webhook-id"), &second.body), (first.header("webhook-id"), &first.body));
    assert!(is_signed(&second, &secret));
    let told = &settled(&server, &acme, &path, &["delivered"])[0];
    assert_eq!((&told["tries"], &told["next_try_at"]), (&json!(1), &Value::Null));

    server.post(&acme.inside, &format!("{path}/deliveries/{}/replay", told["id"]), json!({})).created();
    assert_eq!(receiver.next().header("webhook-id"), first.header("webhook-id"));
    server.post(&acme.inside, &format!("{path}/test"), json!({})).created();
    let test = receiver.next();
    assert_eq!(test.json()["type"], "webhook.test");
    assert!(is_signed(&test, &secret));
}

#[test]
fn what_was_committed_is_told_after_a_crash() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = away.local_addr().unwrap();
    drop(away);
    let mut server = server();
    let acme = server.team("acme");
    let (path, _) = webhook(&server, &acme, &format!("http://{address}/"), &["customer.created"]);
    server.customer(&acme.inside, "Ada");
    eventually("tried", || deliveries(&server, &acme, &path)[0]["tries"] == 1);
    assert!(deliveries(&server, &acme, &path)[0]["error"].is_string());
    server.kill();
    let receiver = Receiver::on(TcpListener::bind(address).unwrap());
    server.start();
    assert_eq!(receiver.next().json()["data"]["name"], "Ada");
    settled(&server, &acme, &path, &["delivered"]);
}

#[test]
fn the_servers_own_network_is_told_nothing() {
    let (server, receiver) = (TestServer::new(), Receiver::start());
    let acme = server.team("acme");
    for url in
        [&receiver.url(), "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/", "http://2130706433/"]
    {
        let body = json!({"url": url, "events": ["*"]});
        server.post(&acme.inside, "/webhooks", body).invalid(&["The url may not lead to a private address."]);
    }
    // A name is resolved when it is used. The delivery reveals nothing more.
    let (path, _) = webhook(&server, &acme, &format!("http://localhost:{}/", receiver.address.port()), &["*"]);
    server.customer(&acme.inside, "Ada");
    eventually("tried", || deliveries(&server, &acme, &path)[0]["tries"] == 1);
    let refused = &deliveries(&server, &acme, &path)[0];
    assert!(refused["error"].as_str().unwrap().contains("private address"), "{refused}");
    assert_eq!(refused["response_status"], Value::Null);
    assert!(receiver.others().is_empty());
}

#[test]
fn a_receiver_that_is_gone_switches_its_webhook_off_and_one_that_has_moved_is_not_followed() {
    let (server, gone, moved, elsewhere) = (server(), Receiver::start(), Receiver::start(), Receiver::start());
    let acme = server.team("acme");
    gone.answers("410 Gone", "");
    moved.answers("307 Temporary Redirect", &format!("Location: {}\r\n", elsewhere.url()));
    let (off, _) = webhook(&server, &acme, &gone.url(), &["*"]);
    let (kept, _) = webhook(&server, &acme, &moved.url(), &["*"]);
    server.customer(&acme.inside, "Ada");
    gone.next();
    moved.next();
    settled(&server, &acme, &off, &["failed"]);
    assert_eq!(server.get(&acme.inside, &off).ok()["active"], false);
    server.post(&acme.inside, &format!("{off}/test"), json!({})).refused(422, "webhook_inactive");
    eventually("tried", || deliveries(&server, &acme, &kept)[0]["response_status"] == 307);
    assert!(elsewhere.others().is_empty());
    let told = server.get(&acme.inside, "/audit-log?filter[action]=webhook.updated").ok();
    assert_eq!((&told["data"][0]["actor"]["type"], &told["total"]), (&json!("system"), &json!(1)));
    server.customer(&acme.inside, "Zoé");
    moved.next();
    assert!(gone.others().is_empty());
}

#[test]
fn a_receiver_that_never_answers_keeps_no_other_waiting() {
    let (server, receiver) = (server(), Receiver::start());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (acme, other) = (server.team("acme"), server.team("other"));
    for _ in 0..20 {
        webhook(&server, &acme, &format!("http://{}/", silent.local_addr().unwrap()), &["*"]);
    }
    webhook(&server, &other, &receiver.url(), &["*"]);
    server.customer(&acme.inside, "Ada");
    let _first = silent.accept().unwrap();
    let began = Instant::now();
    server.customer(&other.inside, "Zoé");
    assert_eq!(receiver.next().json()["data"]["name"], "Zoé");
    // Long before the other requests time out.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn what_a_command_changes_is_told_by_the_server_beside_it() {
    let (server, receiver) = (server(), Receiver::start());
    let acme = server.team("acme");
    server.register("zoe");
    webhook(&server, &acme, &receiver.url(), &["user.*"]);
    server.cli(&["user", "add", &email("zoe"), "--workspace", "acme", "--role", "agent"]).ok();
    let told = receiver.next().json();
    assert_eq!((&told["type"], &told["data"]["email"]), (&json!("user.created"), &json!(email("zoe"))));
    server.cli(&["user", "remove", &email("zoe"), "--workspace", "acme"]).ok();
    assert_eq!(receiver.next().json()["type"], "user.deleted");
    let told = server.get(&acme.inside, "/audit-log").ok();
    assert_eq!(told["data"][0]["actor"], json!({"type": "system", "id": null, "name": "cx-engine"}));
    assert_eq!(told["data"][0]["address"], Value::Null);
}

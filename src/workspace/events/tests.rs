use proptest::prelude::*;
use serde_json::{Value, json};

use super::MOST_MISSED;
use crate::tests::{TestClient, TestServer};

/// Looks a caller up, as a PBX does while a phone rings.
fn ring(server: &TestServer, query: &str) {
    server.key(&["crm.lookup"], None).get(&format!("/crm/lookup/contacts/search?{query}")).ok();
}

/// The changes that the audit log has after an entry, oldest first.
fn recorded(client: &TestClient<'_>, after: i64) -> Vec<String> {
    let listed = client.get("/audit-log?per_page=500&sort=id").ok();
    let entries = listed["data"].as_array().unwrap().iter().filter(|entry| entry["id"].as_i64() > Some(after));
    entries.map(|entry| format!("{} {}", entry["action"].as_str().unwrap(), entry["resource_id"])).collect()
}

#[test]
fn a_stream_tells_of_changes_that_its_caller_may_see() {
    let server = TestServer::new();
    let admin = server.admin();
    let mut all = admin.stream();
    let mut customers = server.key(&["customer.view"], None).stream();
    admin.post("/contacts", json!({"last_name": "Zoé"})).created();
    admin.post("/customers", json!({"name": "Ada"})).created();
    admin.put("/customers/1", json!({"name": "Ada Ltd"})).created();
    admin.put("/customers/1", json!({"name": "Ada Ltd"})).created();
    admin.delete("/customers/1").ok();
    let of_customers = ["customer.created 1", "customer.updated 1", "customer.deleted 1"];
    assert_eq!(customers.changes(3), of_customers);
    // The key for the other stream is a change too.
    assert_eq!(all.changes(5), [["integration-key.created 1", "contact.created 1"].as_slice(), &of_customers].concat());
    let (_, id, data) = {
        admin.post("/customers", json!({"name": "Eve"})).created();
        customers.next_event().unwrap()
    };
    assert!(id.is_some());
    let mut names: Vec<&String> = data.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["action", "at", "resource", "resource_id"], "an event has no value of a record");
}

#[test]
fn a_key_of_a_customer_hears_of_calls_to_that_customer_alone() {
    let server = TestServer::new();
    let customer = |name: &str| server.admin().post("/customers", json!({"name": name})).created()["id"].as_i64();
    let (own, other) = (customer("Ada"), customer("Eve"));
    let mut stream = server.key(&["*"], own).stream();
    server.key(&["crm.lookup"], other).get("/crm/lookup/contacts/search?phone=0142000001").ok();
    server.key(&["crm.lookup"], None).get("/crm/lookup/contacts/search?phone=0142000002").ok();
    server.admin().put(&format!("/customers/{}", own.unwrap()), json!({"vip": true})).created();
    server.key(&["crm.lookup"], own).get("/crm/lookup/contacts/search?phone=0142000003").ok();
    let (name, _, data) = stream.next_event().unwrap();
    assert_eq!((name.as_str(), &data["number"]), ("ring", &json!("0142000003")), "{data}");
}

#[test]
fn a_stream_needs_a_token_and_a_place_to_begin() {
    let server = TestServer::new();
    server.anonymous().at("acme.localhost").get("/events").rejected(401, "token_missing");
    server.admin().with_header("last-event-id", "x").get("/events").invalid(&["The last event id must be an integer."]);
    let opened = server.admin().get("/events");
    assert_eq!(opened.headers["content-type"], "text/event-stream");
    assert_eq!(
        (&opened.headers["x-accel-buffering"], opened.text.as_str()),
        (&"no".parse().unwrap(), "retry: 3000\n\n")
    );
}

#[test]
fn a_stream_that_missed_too_much_says_so() {
    let server = TestServer::new();
    let admin = server.admin();
    let rows = |number: u16| (0..number).fold("name\n".to_owned(), |file, row| format!("{file}Customer {row}\n"));
    let mut open = admin.stream();
    admin.post_csv("/customers/import", rows(MOST_MISSED + 1)).created();
    let resumed = admin.with_header("last-event-id", "0");
    let mut late = resumed.stream();
    for stream in [&mut open, &mut late] {
        let (name, id, data) = stream.next_event().unwrap();
        assert_eq!((name.as_str(), data), ("reset", json!({})));
        assert!(id >= Some(i64::from(MOST_MISSED)), "{id:?}");
        admin.post("/contacts", json!({"last_name": "Zoé"})).created();
        assert!(stream.changes(1)[0].starts_with("contact.created"));
    }
    // An entry that the file does not have: it was replaced by an older one.
    let mut ahead = admin.with_header("last-event-id", "999999").stream();
    assert_eq!(ahead.next_event().unwrap().0, "reset");
}

#[test]
fn a_call_pops_up_for_its_agent_alone_and_for_those_who_want_all() {
    let server = TestServer::new();
    let admin = server.admin();
    let contact = json!({"last_name": "Martin", "phone_home_1": "01 42 00 00 00"});
    let contact = admin.post("/contacts", contact).created()["id"].clone();
    let person = |name: &str, changes: Value| {
        let email = format!("{name}@example.com");
        let id = server.join_acme(&email, "agent");
        admin.put(&format!("/users/{id}"), changes).created();
        server
            .anonymous()
            .at("acme.localhost")
            .with_token(server.token(&email, crate::auth::TokenScope::Workspace(server.acme.id)))
    };
    let mine = person("mine", json!({"extension": "204", "pops": "mine"}));
    let all = person("all", json!({"extension": "205", "pops": "all"}));
    let none = person("none", json!({"extension": "206", "pops": "none"}));
    let program = server.key(&["contact.view", "customer.view"], None);
    let blind = server.key(&["customer.view"], None);
    let calls: [(&str, &[&str]); 7] = [
        ("phone=0142000000&agent_extension=204", &["mine", "program"]),
        ("phone=0142000001", &["all", "program"]),
        ("phone=0142000002&queue=Support", &["all", "program"]),
        ("phone=0142000003&agent_email=ALL@example.com", &["all", "program"]),
        ("phone=0142000004&agent_extension=206", &["program"]),
        ("phone=anonymous", &[]),
        ("email=zoe@example.com", &[]),
    ];
    let mut streams = [
        ("mine", mine.stream()),
        ("all", all.stream()),
        ("none", none.stream()),
        ("program", program.stream()),
        ("blind", blind.stream()),
    ];
    for (asked, _) in calls {
        ring(&server, asked);
        ring(&server, asked);
    }
    // A change that all of them may see is the end of what each stream has to tell.
    admin.post("/customers", json!({"name": "End"})).created();
    for (name, stream) in &mut streams {
        let mut heard = Vec::new();
        while let Some((event, id, data)) = stream.next_event() {
            match event.as_str() {
                "ring" => {
                    assert_eq!(id, None);
                    if data["pops"] == true {
                        heard.push(data["number"].as_str().unwrap().to_owned());
                    }
                    assert_ne!(*name, "blind");
                    let known = if data["number"] == "0142000000" { contact.clone() } else { Value::Null };
                    assert_eq!(data["contact_id"], known);
                }
                _ if data["resource"] == "customer" => break,
                _ => {}
            }
        }
        let expected = calls.iter().filter(|(_, who)| who.contains(name));
        let expected: Vec<&str> =
            expected.map(|(asked, _)| asked.trim_start_matches("phone=").split('&').next().unwrap()).collect();
        assert_eq!(heard, expected, "{name}");
    }
    let listed = program.get("/ringing-calls").ok();
    let numbers: Vec<&str> =
        listed["calls"].as_array().unwrap().iter().map(|call| call["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["0142000004", "0142000003", "0142000002", "0142000001", "0142000000"], "newest first");
    blind.get("/ringing-calls").rejected(403, "missing_permission");
    // A page that is opened while the phone rings gets the call too.
    assert_eq!(mine.stream().next_event().unwrap().2["number"], "0142000000");
}

#[test]
fn streams_are_bounded_and_a_closed_one_makes_room() {
    let server = TestServer::new();
    let admin = server.admin();
    let mut open: Vec<_> = (0..4).map(|_| admin.stream()).collect();
    let refused = admin.get("/events");
    refused.rejected(429, "too_many_streams");
    assert_eq!(refused.headers["retry-after"], "30");
    server.key(&["customer.view"], None).stream();
    open.pop();
    // The stream ends as soon as its task runs.
    assert!((0..10_000).any(|_| admin.get("/events").status == 200));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever happens, and however often a client connects again: the stream is the audit log, in order, once.
    #[test]
    fn a_client_that_resumes_misses_nothing_and_hears_nothing_twice(steps in proptest::collection::vec(0..5_u8, 1..25)) {
        let server = TestServer::new();
        let admin = server.admin();
        let mut stream = admin.stream();
        let (mut heard, mut made, mut pending, mut last) = (Vec::new(), 0, 0, 0);
        for step in steps.into_iter().chain([3]) {
            match step {
                0..=2 => {
                    made += 1;
                    pending += 1;
                    let name = format!("Customer {made}");
                    admin.post("/customers", json!({"name": name})).created();
                }
                // Reads all that is there.
                3 => {
                    for _ in 0..pending {
                        let (name, id, data) = stream.next_event().unwrap();
                        assert_eq!(name, "changed");
                        last = id.unwrap();
                        heard.push(format!("{} {}", data["action"].as_str().unwrap(), data["resource_id"]));
                    }
                    pending = 0;
                }
                // The connection breaks. The server counts the stream until its task has run.
                _ => {
                    drop(stream);
                    let client = admin.with_header("last-event-id", &last.to_string());
                    stream = (0..10_000).find_map(|_| client.try_stream()).unwrap();
                }
            }
        }
        prop_assert_eq!(heard, recorded(&admin, 0));
    }
}

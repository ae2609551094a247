use serde_json::json;

use super::*;
use crate::auth::{Identity, Permissions};
use crate::tests::{RoutingClient, TestClient, TestServer};

const KINDS: [&str; 7] = ["contacts", "customers", "phone_calls", "call_queues", "routing_contacts", "ctis", "users"];

/// The names that a search finds, by kind.
#[track_caller]
fn found(client: &TestClient<'_>, query: &str) -> Vec<String> {
    let query = form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>();
    let answer = client.get(&format!("/search?q={query}")).ok();
    let names = |kind: &str| {
        let hits = answer[kind].as_array().unwrap().clone();
        hits.into_iter().map(move |hit| hit["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    KINDS.iter().flat_map(|kind| names(kind).into_iter().map(move |name| format!("{kind}: {name}"))).collect()
}

/// A record of each kind, all of the customer `CL000001`.
fn fill(server: &TestServer) {
    let admin = server.admin();
    let customer = json!({"name": "Zoé SARL", "phone": "01 42 00 00 01", "email_address": "info@zoe.example"});
    admin.post("/customers", customer).created();
    admin.post("/customers", json!({"name": "Zoé Other"})).created();
    let contact = json!({
        "first_name": "Zoé", "last_name": "Lefèvre", "phone_mobile_1": "06 12 34 56 78", "email": "zoe@example.com",
        "customer_id": 1,
    });
    admin.post("/contacts", contact).created();
    admin.post("/contacts", json!({"last_name": "Zoéline", "email": "a.zoe@example.com"})).created();
    let call = json!({
        "direction": "inbound", "subject": "Zoé called", "number_from": "+33612345678", "customer_id": 1,
        "started_at": "2027-03-29T12:05:00Z",
    });
    admin.post("/phone-calls", call).created();
    let routing = RoutingClient::of(server, "1");
    routing
        .post("/call-queues/queues", json!({"name": "Zoé queue", "code": "ZQ", "did_number": "0142000002"}))
        .created();
    let person = json!({"last_name": "Zoé routed", "telecoms": ["0612345678"], "emails": ["Zoe@Example.com"]});
    routing.post("/contacts", person).created();
    routing.post("/ctis", json!({"name": "Zoé CTI"})).created();
    admin.put("/users/1", json!({"name": "Zoé admin"})).created();
}

#[test]
fn everything_is_found_by_the_beginnings_of_its_words() {
    let server = TestServer::new();
    fill(&server);
    let all = found(&server.admin(), "ZOE");
    let expected = [
        "contacts: Zoéline",
        "contacts: Zoé Lefèvre",
        "customers: Zoé Other",
        "customers: Zoé SARL",
        "phone_calls: Zoé called",
        "call_queues: Zoé queue",
        "routing_contacts: Zoé routed",
        "ctis: Zoé CTI",
        "users: Zoé admin",
    ];
    assert_eq!(all, expected);
    assert_eq!(found(&server.admin(), "zoé lef"), ["contacts: Zoé Lefèvre"]);
    assert_eq!(found(&server.admin(), "nobody"), [""; 0]);
    assert_eq!(found(&server.admin(), "\"* OR -"), [""; 0]);
    server.admin().put("/smart-routings/ctis/1?customer_account=CL000001", json!({"name": "Renamed"})).created();
    server.admin().delete("/smart-routings/call-queues/queues/1?customer_account=CL000001").ok();
    assert_eq!(found(&server.admin(), "zoé cti"), [""; 0]);
    assert_eq!(found(&server.admin(), "renam"), ["ctis: Renamed"]);
    assert_eq!(found(&server.admin(), "zoé queue"), [""; 0]);
}

#[test]
fn a_number_is_found_in_any_format_and_by_its_last_digits() {
    let server = TestServer::new();
    fill(&server);
    let expected = ["contacts: Zoé Lefèvre", "phone_calls: Zoé called", "routing_contacts: Zoé routed"];
    for number in ["0612345678", "+33 6 12 34 56 78", "06.12.34.56.78", "345678"] {
        assert_eq!(found(&server.admin(), number), expected, "{number}");
    }
    assert_eq!(found(&server.admin(), "01 42 00 00 02"), ["call_queues: Zoé queue"]);
}

#[test]
fn an_address_or_an_account_is_found_alone() {
    let server = TestServer::new();
    fill(&server);
    for address in ["zoe@example.com", "ZOE@example.com "] {
        let expected = ["contacts: Zoé Lefèvre", "routing_contacts: Zoé routed"];
        assert_eq!(found(&server.admin(), address), expected, "{address}");
    }
    assert_eq!(found(&server.admin(), "info@zoe.example"), ["customers: Zoé SARL"]);
    let beginning = found(&server.admin(), "zoe@exam");
    assert!(beginning.starts_with(&["contacts: Zoéline".into(), "contacts: Zoé Lefèvre".into()]), "{beginning:?}");
    assert_eq!(found(&server.admin(), "cl000002"), ["customers: Zoé Other"]);
}

#[test]
fn a_result_leads_to_its_page_in_the_console() {
    let server = TestServer::new();
    fill(&server);
    let answer = server.admin().get("/search?q=zoe").ok();
    let urls: Vec<&str> = KINDS.iter().map(|kind| answer[kind][0]["url"].as_str().unwrap()).collect();
    let expected = [
        "/ui/contacts/2",
        "/ui/customers/2",
        "/ui/phone-calls/1",
        "/ui/routing/CL000001/call-queues/queues/1",
        "/ui/routing/CL000001/contacts/1",
        "/ui/routing/CL000001/ctis/1",
        "/ui/users/1",
    ];
    assert_eq!(urls, expected);
    assert_eq!(answer["phone_calls"][0]["line"], "+33612345678 · 2027-03-29 14:05");
    assert_eq!(answer["contacts"][1]["line"], "06 12 34 56 78 · zoe@example.com");
    let agent = server.with_role("agent").get("/search?q=zoe").ok();
    assert_eq!(agent["users"][0]["url"], "/ui/users?filter%5Bemail%5D=owner%40example.com");
}

#[test]
fn a_caller_finds_only_the_kinds_that_it_may_view() {
    let server = TestServer::new();
    fill(&server);
    for (permission, kinds) in [
        ("contact.view", vec!["contacts"]),
        ("customer.view", vec!["customers"]),
        ("phone-call.view", vec!["phone_calls"]),
        ("routing.view", vec!["call_queues", "routing_contacts", "ctis"]),
        ("user.view", vec!["users"]),
        ("audit.view", vec![]),
    ] {
        let all = found(&server.with_only(&[permission]), "zoe");
        let mut seen: Vec<&str> = all.iter().filter_map(|hit| hit.split(':').next()).collect();
        seen.dedup();
        assert_eq!(seen, kinds, "{permission}");
    }
}

#[test]
fn a_caller_that_is_bound_to_a_customer_finds_only_its_rows() {
    let server = TestServer::new();
    fill(&server);
    let own = server.key(&["*"], Some(1));
    let expected = [
        "contacts: Zoé Lefèvre",
        "customers: Zoé SARL",
        "phone_calls: Zoé called",
        "call_queues: Zoé queue",
        "routing_contacts: Zoé routed",
        "ctis: Zoé CTI",
    ];
    assert_eq!(found(&own, "zoe"), expected);
    let other = server.key(&["*"], Some(2));
    assert_eq!(found(&other, "zoe"), ["customers: Zoé Other"]);
    for text in ["0612345678", "345678", "zoe@example.com", "CL000001", "0142000001"] {
        assert_eq!(found(&other, text), [""; 0], "{text}");
    }
}

#[test]
fn the_number_of_results_and_the_words_are_limited() {
    let server = TestServer::new();
    for n in 0..25 {
        server.admin().post("/contacts", json!({"last_name": format!("Martin {n}"), "fax": "0142000000"})).created();
    }
    let count = |query: &str| server.admin().get(query).ok()["contacts"].as_array().unwrap().len();
    assert_eq!(count("/search?q=martin"), 5);
    assert_eq!(count("/search?q=martin&per=20"), 20);
    assert_eq!(count("/search?q=0142000000&per=7"), 7);
    for per in ["0", "21", "x"] {
        server.admin().get(&format!("/search?q=a&per={per}")).invalid(&["The per must be between 1 and 20."]);
    }
    server.admin().get("/search").invalid(&["The q field is required."]);
    server.admin().get("/search?q=%20").invalid(&["The q field is required."]);
    let many = "a+".repeat(21);
    server.admin().get(&format!("/search?q={many}")).invalid(&["The q may not have more than 20 words."]);
}

/// SQLite looks into indexes alone, and sorts nothing.
#[test]
fn no_search_scans_a_table() {
    let server = TestServer::new();
    let plans = server.in_file(|db| {
        let mut plans = Vec::new();
        for customer_id in [None, Some(1)] {
            let actor = Identity::User { id: 1, role: "admin".into() };
            let principal = Principal { actor, name: "A".into(), permissions: Permissions::of(["*"]), customer_id };
            for wanted in ["0612345678", "5678", "zoe@example.com", "zoe lefevre"] {
                let number = NumberKeys::of(wanted, WorkspaceLocale::of(db)?.country).filter(|_| is_number(wanted));
                let found = Found { db, principal: &principal, wanted, number, per: 5, zone: TimeZone::UTC };
                for kind in [&CONTACTS, &CUSTOMERS, &PHONE_CALLS, &CALL_QUEUES, &ROUTING_CONTACTS, &CTIS, &USERS] {
                    for finder in found.numbers(kind).into_iter().chain(found.addresses(kind)).chain(found.words(kind))
                    {
                        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {}", finder.sql))?;
                        let plan =
                            statement.query_map(params_from_iter(&finder.bound), |row| row.get::<_, String>(3))?;
                        plans.push((finder.sql, plan.collect::<rusqlite::Result<Vec<_>>>()?.join("\n")));
                    }
                }
            }
        }
        Ok(plans)
    });
    assert!(plans.len() > 50, "{}", plans.len());
    for (sql, plan) in plans {
        let mut scans = plan.lines().filter(|line| line.contains("SCAN") && !line.contains("VIRTUAL TABLE INDEX"));
        assert!(scans.next().is_none() && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

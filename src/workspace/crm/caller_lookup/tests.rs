use rusqlite::StatementStatus;
use serde_json::{Value, json};

use super::*;
use crate::tests::{TestClient, TestServer};

/// A client for a PBX of the whole workspace.
fn pbx(server: &TestServer) -> TestClient<'_> {
    server.key(&["crm.lookup"], None)
}

fn contact(server: &TestServer, fields: Value) -> String {
    let mut contact = json!({"last_name": "B"});
    contact.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    server.admin().post("/contacts", contact).created()["id"].to_string()
}

fn search(client: &TestClient<'_>, query: &str) -> Vec<Value> {
    let found = client.get(&format!("/crm/lookup/contacts/search?{query}")).ok();
    found["contacts"].as_array().unwrap().clone()
}

fn ids(client: &TestClient<'_>, query: &str) -> Vec<String> {
    search(client, query).iter().map(|contact| contact["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_caller_is_shown_in_texts_alone() {
    let server = TestServer::new();
    contact(
        &server,
        json!({"first_name": "Zoé", "last_name": "Lefèvre", "email": "zoe@example.com", "company": "Acme",
                               "phone_business_1": "01 42 00 00 00", "phone_mobile_1": "06 12 34 56 78"}),
    );
    contact(&server, json!({"phone_home_1": "01 43 00 00 00"}));
    assert_eq!(
        search(&pbx(&server), "phone=0142000000"),
        [json!({"id": "1", "first_name": "Zoé", "last_name": "Lefèvre", "email": "zoe@example.com",
                    "phone_business_1": "01 42 00 00 00", "phone_mobile_1": "06 12 34 56 78", "company": "Acme",
                    "entity_url": "http://acme.localhost/ui/contacts/1"})]
    );
    assert_eq!(
        search(&pbx(&server), "phone=0143000000"),
        [json!({"id": "2", "first_name": "", "last_name": "B", "email": "", "phone_business_1": "",
                    "phone_mobile_1": "", "company": "", "entity_url": "http://acme.localhost/ui/contacts/2"})]
    );
}

#[test]
fn the_best_match_comes_first_and_each_once() {
    let server = TestServer::new();
    let by_end = contact(&server, json!({"fax": "+49 142000000"}));
    let same = contact(&server, json!({"phone_home_1": "0142000000", "phone_mobile_2": "+33 1 42 00 00 00"}));
    let exact = contact(&server, json!({"phone_business_2": "+33142000000", "email": "a@example.com"}));
    let by_email = contact(&server, json!({"email": "A@example.com"}));
    contact(&server, json!({"phone_business_1": "0142000001", "email": "aa@example.com"}));
    let pbx = pbx(&server);
    let best_first = [&exact, &same, &by_end, &by_email];
    assert_eq!(ids(&pbx, "phone=%2B33142000000&email=a@EXAMPLE.com"), best_first.map(String::as_str));
    assert_eq!(ids(&pbx, "phone=0142000000"), [&same, &exact, &by_end].map(String::as_str));
    assert_eq!(ids(&pbx, "email=a@example.com"), [&exact, &by_email].map(String::as_str));
}

#[test]
fn a_number_is_read_in_any_format_and_few_digits_as_they_are() {
    let server = TestServer::new();
    contact(&server, json!({"phone_mobile_1": "06 12 34 56 78"}));
    contact(&server, json!({"phone_business_1": "204"}));
    contact(&server, json!({"phone_business_1": "1204"}));
    let pbx = pbx(&server);
    for format in
        ["0612345678", "+33612345678", "%2B33612345678", "0033%206%2012%2034%2056%2078", "06.12.34.56.78", "612345678"]
    {
        assert_eq!(ids(&pbx, &format!("phone={format}")), ["1"], "{format}");
    }
    assert_eq!(ids(&pbx, "phone=204"), ["2"]);
    assert_eq!(ids(&pbx, "phone=12345678"), ["0"]);
}

#[test]
fn somebody_whom_nobody_knows_has_a_stand_in() {
    let server = TestServer::new();
    let pbx = pbx(&server);
    let stand_in = |query: &str| search(&pbx, query).remove(0);
    assert_eq!(
        stand_in("phone=0142000000&email=a@example.com&display_name=Ada"),
        json!({"id": "0", "first_name": "", "last_name": "Ada", "email": "a@example.com",
                   "phone_business_1": "0142000000", "phone_mobile_1": "", "company": "",
                   "entity_url": "http://acme.localhost/ui/contacts/0"})
    );
    for (query, name) in [("phone=anonymous", "anonymous"), ("email=a", "a"), ("phone=+33142000000", "+33142000000")] {
        assert_eq!(stand_in(query)["last_name"], name);
    }
    server
        .admin()
        .put("/settings", json!({"contact_url_template": "https://crm.example.com/?n={display_name}&p={phone}"}))
        .created();
    assert_eq!(
        stand_in("phone=%2B33142000000&display_name=Ada%20%26%20Co")["entity_url"],
        "https://crm.example.com/?n=Ada%20%26%20Co&p=%2B33142000000"
    );
}

#[test]
fn a_link_is_made_of_the_workspaces_template() {
    let server = TestServer::new();
    contact(&server, json!({"first_name": "Zoé", "email": "z@example.com", "phone_mobile_1": "06 12 34 56 78"}));
    let template = "https://crm.example.com/{id}?p={phone}&e={email}&n={display_name}";
    server.admin().put("/settings", json!({"contact_url_template": template})).created();
    let link = |query: &str| search(&pbx(&server), query)[0]["entity_url"].clone();
    assert_eq!(link("phone=0612345678"), "https://crm.example.com/1?p=0612345678&e=z%40example.com&n=Zo%C3%A9%20B");
    let by_email = "https://crm.example.com/1?p=06%2012%2034%2056%2078&e=z%40example.com&n=Zo%C3%A9%20B";
    assert_eq!(link("email=z@example.com"), by_email);
}

#[test]
fn a_workspace_that_looks_nobody_up_knows_nobody() {
    let server = TestServer::new();
    contact(&server, json!({"phone_business_1": "0142000000"}));
    server.admin().put("/settings", json!({"features": {"contact_lookup": false}})).created();
    assert_eq!(ids(&pbx(&server), "phone=0142000000"), ["0"]);
}

#[test]
fn something_to_look_for_is_needed() {
    let server = TestServer::new();
    for query in ["", "phone=&email=", "phone=%20&display_name=Ada"] {
        let answer = pbx(&server).get(&format!("/crm/lookup/contacts/search?{query}"));
        answer.invalid(&["The phone field is required when email is not present."]);
    }
}

#[test]
fn a_pbx_knows_its_customers_contacts_alone() {
    let server = TestServer::new();
    let customer = |account: &str| {
        let body = json!({"name": "N", "customer_account": account});
        server.admin().post("/customers", body).created()["id"].as_i64()
    };
    let (own, other) = (customer("OWN"), customer("OTHER"));
    let same = |customer: Option<i64>| {
        contact(&server, json!({"customer_id": customer, "phone_business_1": "0142000000", "email": "a@example.com"}))
    };
    let (theirs, ours, _nobodys) = (same(other), same(own), same(None));
    let bound = server.key(&["crm.lookup"], own);
    for query in ["phone=0142000000", "email=a@example.com", "phone=0142000000&customer_account=OWN"] {
        assert_eq!(ids(&bound, query), [ours.as_str()], "{query}");
    }
    let foreign = bound.get("/crm/lookup/contacts/search?phone=0142000000&customer_account=OTHER");
    foreign.rejected(404, "customer_not_found");
    assert_eq!(ids(&pbx(&server), "phone=0142000000").len(), 3);
    assert_eq!(ids(&pbx(&server), "phone=0142000000&customer_account=OTHER"), [theirs.as_str()]);
    assert_eq!(ids(&pbx(&server), "phone=0142000000&customer_account=").len(), 3);
    let unknown = pbx(&server).get("/crm/lookup/contacts/search?phone=0142000000&customer_account=NONE");
    unknown.rejected(404, "customer_not_found");
}

#[test]
fn no_more_are_shown_than_somebody_reads() {
    let server = TestServer::new();
    for _ in 0..MOST + 5 {
        contact(&server, json!({"phone_business_1": "0142000000", "phone_home_1": "+33142000000"}));
    }
    let found = ids(&pbx(&server), "phone=0142000000");
    assert_eq!((found.len(), found.last().map(String::as_str)), (MOST, Some("50")));
}

/// Among many contacts, a look-up takes few SQLite steps and scans no table.
#[test]
fn a_look_up_reads_what_it_finds_and_no_more() {
    let server = TestServer::new();
    server.in_file(|db| {
        db.execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
                 INSERT INTO contacts (id, last_name, email, phone_business_1, custom_fields, created_at, updated_at)
                 SELECT n, 'C', 'c' || n || '@example.com', format('014200%04d', n), '{}', 0, 0 FROM n;
                 INSERT INTO phone_numbers (resource, resource_id, field, reversed)
                 SELECT 'contacts', id, 'phone_business_1',
                     format('%d%d%d%d0024133', id % 10, id / 10 % 10, id / 100 % 10, id / 1000) FROM contacts;",
        )?;
        let range = NumberRange::of("0142001234", Id::FR).unwrap();
        let by_number = params![range.from, range.end, None::<i64>, "0142001234", range.digits];
        let by_email = params![None::<i64>, "C1234@example.com", "C1234@example.com", "C1234@example.com"];
        for (sql, bound) in [(WITH_NUMBER, by_number), (WITH_EMAIL, by_email)] {
            let mut statement = db.prepare(sql)?;
            let found: Vec<PbxCaller> =
                statement.query_map(bound, PbxCaller::from_row)?.collect::<rusqlite::Result<_>>()?;
            assert_eq!(found.iter().map(|caller| &*caller.id).collect::<Vec<_>>(), ["1234"]);
            assert_eq!(statement.get_status(StatementStatus::FullscanStep), 0, "{sql}");
            let steps = statement.get_status(StatementStatus::VmStep);
            assert!(steps < 120, "{steps}: {sql}");
        }
        Ok(())
    });
}

#[test]
fn a_new_caller_is_kept_with_all_that_is_said() {
    let server = TestServer::new();
    let pbx = pbx(&server);
    let said = json!({"civility": "Mme", "first_name": "Zoé", "last_name": "Lefèvre", "email": "zoe@example.com",
                          "phone": "01 42 00 00 00", "phone_business": "01 43 00 00 00", "phone_mobile": "06 12 34 56 78",
                          "custom_value": "gold", "call_direction": "inbound"});
    let made = pbx.post("/crm/lookup/contacts", said).created();
    assert_eq!(made["response"], "ok");
    let kept = server.admin().get("/contacts/1").ok();
    let fields = json!({"id": "1", "entity_url": "http://acme.localhost/ui/contacts/1", "company": "", "civility": "Mme",
                            "phone_business_1": "01 43 00 00 00", "phone_mobile_1": "06 12 34 56 78",
                            "phone_business_2": "01 42 00 00 00", "custom_fields": {"custom_value": "gold"}});
    for (field, value) in fields.as_object().unwrap() {
        assert_eq!(&made["contact"][field], value, "{field}");
    }
    // The response has every field that the API shows of a contact.
    for (field, value) in kept.as_object().unwrap() {
        let told = &made["contact"][field];
        let as_text = value.as_str().map_or_else(String::new, str::to_owned);
        assert!(told == value || *told == json!(as_text) || field == "id", "{field}: {told}");
    }
    assert_eq!(search(&pbx, "phone=0142000000")[0]["id"], "1");
}

#[test]
fn a_number_goes_where_there_is_room_and_once() {
    let server = TestServer::new();
    let numbers = |said: Value| {
        let made = pbx(&server).post("/crm/lookup/contacts", said).created();
        ["phone_business_1", "phone_mobile_1", "phone_business_2"].map(|field| made["contact"][field].clone())
    };
    let (first, second) = ("01 42 00 00 00", "06 12 34 56 78");
    assert_eq!(numbers(json!({"last_name": "A", "phone": first})), [json!(first), json!(""), Value::Null]);
    assert_eq!(
        numbers(json!({"last_name": "B", "phone_business": first, "phone": second})),
        [json!(first), json!(second), Value::Null]
    );
    assert_eq!(
        numbers(json!({"last_name": "C", "phone_business": first, "phone": "+33142000000"})),
        [json!(first), json!(""), Value::Null]
    );
    let blank = json!({"last_name": "D", "email": "", "phone": "", "first_name": "", "call_direction": "", "phone_mobile": null});
    assert_eq!(numbers(blank), [json!(""), json!(""), Value::Null]);
}

#[test]
fn a_caller_who_is_known_is_not_added_again() {
    let server = TestServer::new();
    let customer =
        server.admin().post("/customers", json!({"name": "N", "customer_account": "N"})).created()["id"].as_i64();
    let bound = server.key(&["crm.lookup"], customer);
    let id = |client: &TestClient<'_>, name: &str, phone: &str| {
        let made = client.post("/crm/lookup/contacts", json!({"last_name": name, "phone": phone})).created();
        made["contact"]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id(&bound, "Lefèvre", "01 42 00 00 00"), "1");
    assert_eq!(id(&bound, "LEFEVRE", "sip:+33142000000@10.0.0.1"), "1");
    assert_eq!(id(&bound, "Martin", "+33142000000"), "2");
    assert_eq!(id(&bound, "Lefèvre", "+33142000001"), "3");
    // A PBX of the whole workspace finds every contact. A PBX of another customer finds none of these.
    assert_eq!(id(&pbx(&server), "lefevre", "0142000000"), "1");
    let other = server.admin().post("/customers", json!({"name": "O"})).created()["id"].as_i64();
    assert_eq!(id(&server.key(&["crm.lookup"], other), "Lefèvre", "0142000000"), "4");
    assert_eq!(server.admin().get("/contacts/1").ok()["customer_id"].as_i64(), customer);
    let path = "/crm/lookup/contacts?customer_account=N";
    let made = pbx(&server).post(path, json!({"last_name": "New", "phone": "0143000000"})).created();
    assert_eq!(made["contact"]["customer_id"].as_i64(), customer);
    assert_eq!(server.admin().get("/audit-log?filter[action]=contact.created").ok()["total"], 5);
}

#[test]
fn what_is_no_caller_is_refused_and_adds_nobody() {
    let server = TestServer::new();
    let answer = pbx(&server).post("/crm/lookup/contacts", json!({"email": "x", "phone": 1, "call_direction": "up"}));
    answer.invalid(&[
        "The last name field is required.",
        "The email must be a valid email address.",
        "The phone must be a string.",
        "The selected call direction is invalid.",
    ]);
    let unknown = pbx(&server).post("/crm/lookup/contacts?customer_account=X", json!({"last_name": "B"}));
    unknown.rejected(404, "customer_not_found");
    assert_eq!(server.admin().get("/contacts").ok()["total"], 0);
}

use serde_json::{Value, json};

use crate::tests::{TestClient, TestResponse, TestServer};

/// Creates a customer and a contact of it.
fn customer_and_contact(server: &TestServer) -> (i64, i64) {
    let customer = server.admin().post("/customers", json!({"name": "Ada"})).created()["id"].as_i64().unwrap();
    let contact = json!({"last_name": "B", "customer_id": customer});
    (customer, server.admin().post("/contacts", contact).created()["id"].as_i64().unwrap())
}

fn record(client: &TestClient<'_>, body: Value) -> TestResponse {
    let mut call = json!({"direction": "inbound"});
    call.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    client.post("/phone-calls", call)
}

fn ids(answer: &TestResponse) -> Vec<i64> {
    answer.ok()["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn a_call_is_answered_whole_and_kept_as_it_was_sent() {
    let server = TestServer::new();
    let (customer, contact) = customer_and_contact(&server);
    let sent = json!({
        "direction": "outbound", "status": "voicemail", "answered": true, "number_from": "01 42 00 00 00",
        "number_to": "+49 30 123456", "agent_extension": "204", "agent_name": "Zoé Lefèvre", "queue": "Support",
        "contact_id": contact, "customer_id": customer, "user_id": 1, "subject": "Devis", "body": "Rappeler",
        "started_at": "2024-01-19T09:00:00Z", "ended_at": "2024-01-19T09:02:00Z", "duration_s": 95,
        "recording_url": "https://pbx.example.com/7.wav", "transcription": "Bonjour", "summary": "Un devis",
    });
    let made = server.admin().post("/phone-calls", sent.clone()).created();
    for (field, value) in sent.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    // All sent fields, and the three that the server sets.
    assert_eq!(made.as_object().unwrap().len(), sent.as_object().unwrap().len() + 3);
    assert_eq!(server.admin().get("/phone-calls/1").ok(), made);
    assert_eq!(server.admin().get("/phone-calls").ok()["data"][0], made);

    let changed = server.admin().put("/phone-calls/1", json!({"subject": "Facture", "queue": null})).created();
    assert_eq!((&changed["subject"], &changed["queue"]), (&json!("Facture"), &Value::Null));
    assert_eq!((&changed["duration_s"], &changed["answered"]), (&json!(95), &json!(true)));
    assert_eq!(server.admin().get("/phone-calls/1").ok(), changed);
    assert_eq!(server.admin().delete("/phone-calls/1").ok(), json!({"response": "ok"}));
    server.admin().get("/phone-calls/1").rejected(404, "not_found");
}

#[test]
fn only_the_direction_must_be_said() {
    let server = TestServer::new();
    server.admin().post("/phone-calls", json!({})).invalid(&["The direction field is required."]);
    let made = record(&server.admin(), json!({})).created();
    assert_eq!((&made["status"], &made["answered"]), (&json!("completed"), &json!(true)));
    assert_eq!(made["started_at"], made["created_at"]);
    for (field, value) in made.as_object().unwrap() {
        let said = ["id", "direction", "status", "answered", "started_at", "created_at", "updated_at"];
        assert!(said.contains(&field.as_str()) || value.is_null(), "{field}");
    }
}

#[test]
fn what_is_not_as_it_should_be_is_refused() {
    let server = TestServer::new();
    let too_long = i64::from(i32::MAX) + 1;
    for (body, says) in [
        (json!({"direction": "sideways"}), "The selected direction is invalid."),
        (json!({"direction": null}), "The direction field is required."),
        (json!({"direction": ""}), "The direction field is required."),
        (json!({"status": "ringing"}), "The selected status is invalid."),
        (json!({"status": 1}), "The status must be a string."),
        (json!({"answered": "yes"}), "The answered must be true or false."),
        (json!({"number_from": 33142000000_i64}), "The number from must be a string."),
        (json!({"contact_id": 7}), "The selected contact id is invalid."),
        (json!({"customer_id": 7}), "The selected customer id is invalid."),
        (json!({"user_id": 7}), "The selected user id is invalid."),
        (json!({"user_id": "me"}), "The user id must be an integer."),
        (json!({"started_at": "soon"}), "The started at must be a valid date and time, like 2024-01-20T12:00:00Z."),
        (
            json!({"started_at": "2024-01-19T09:00:00Z", "ended_at": "2024-01-19T08:59:59Z"}),
            "The ended at may not be before the started at.",
        ),
        (
            json!({"started_at": "1900-01-01T00:00:00Z", "ended_at": "2024-01-01T00:00:00Z"}),
            "The duration s may not be greater than 2147483647.",
        ),
        (json!({"duration_s": -1}), "The duration s must be at least 0."),
        (json!({"duration_s": too_long}), "The duration s may not be greater than 2147483647."),
        (json!({"duration_s": 1.5}), "The duration s must be an integer."),
        (json!({"recording_url": "ftp://pbx/7.wav"}), "The recording url must be an absolute http or https URL."),
        (json!({"recording_url": "javascript:alert(1)"}), "The recording url must be an absolute http or https URL."),
    ] {
        record(&server.admin(), body.clone()).invalid(&[says]);
        record(&server.admin(), json!({})).created();
        let made = server.admin().get("/phone-calls").ok()["data"][0].clone();
        server.admin().put(&format!("/phone-calls/{}", made["id"]), body).invalid(&[says]);
        assert_eq!(server.admin().get(&format!("/phone-calls/{}", made["id"])).ok(), made);
    }
    record(&server.admin(), json!({"customer_id": 7, "user_id": 7}))
        .invalid(&["The selected customer id is invalid.", "The selected user id is invalid."]);
}

#[test]
fn what_a_call_says_of_its_times_tells_the_rest() {
    let server = TestServer::new();
    let times = |call: &Value| [call["started_at"].clone(), call["ended_at"].clone(), call["duration_s"].clone()];
    let (nine, two_past) = ("2024-01-19T09:00:00Z", "2024-01-19T09:02:00Z");
    let made = record(&server.admin(), json!({"started_at": nine, "ended_at": two_past})).created();
    assert_eq!(times(&made), [json!(nine), json!(two_past), json!(120)]);
    let made = record(&server.admin(), json!({"ended_at": two_past, "duration_s": 120})).created();
    assert_eq!(times(&made), [json!(nine), json!(two_past), json!(120)]);
    let made = record(&server.admin(), json!({"ended_at": two_past})).created();
    assert_eq!(times(&made), [json!(two_past), json!(two_past), json!(0)]);
    let made = record(&server.admin(), json!({"started_at": nine, "duration_s": 5})).created();
    assert_eq!(times(&made), [json!(nine), Value::Null, json!(5)]);
    // A call at the limit of the calendar is recorded too.
    record(&server.admin(), json!({"ended_at": "-009999-01-03T00:00:00Z", "duration_s": 2_000_000_000})).created();
}

#[test]
fn what_was_told_from_the_rest_follows_it_and_what_was_said_stays() {
    let server = TestServer::new();
    let change = |body: Value| server.admin().put("/phone-calls/1", body).created();
    let begun = record(&server.admin(), json!({"started_at": "2024-01-19T09:00:00Z"})).created();
    assert_eq!(begun["duration_s"], Value::Null);
    assert_eq!(change(json!({"ended_at": "2024-01-19T09:01:00Z"}))["duration_s"], 60);
    assert_eq!(change(json!({"started_at": "2024-01-19T09:00:30Z"}))["duration_s"], 30);
    assert_eq!(change(json!({"started_at": null}))["started_at"], "2024-01-19T09:00:30Z");
    assert_eq!(change(json!({"duration_s": 25}))["duration_s"], 25);
    assert_eq!(change(json!({"ended_at": "2024-01-19T09:02:00Z"}))["duration_s"], 25);
    assert_eq!(change(json!({"duration_s": null}))["duration_s"], 90);
    assert_eq!(change(json!({"ended_at": null}))["duration_s"], Value::Null);

    assert_eq!(change(json!({"status": "missed"}))["answered"], false);
    assert_eq!(change(json!({"status": "completed"}))["answered"], true);
    assert_eq!(change(json!({"status": "voicemail", "answered": true}))["answered"], true);
    assert_eq!(change(json!({"status": "busy"}))["answered"], true);
    assert_eq!(change(json!({"answered": null}))["answered"], false);
}

#[test]
fn a_call_is_of_the_customer_its_contact_had_then() {
    let server = TestServer::new();
    let (first, contact) = customer_and_contact(&server);
    let (second, other) = customer_and_contact(&server);
    let made = record(&server.admin(), json!({"contact_id": contact, "customer_id": second})).created();
    assert_eq!(made["customer_id"], first, "the contact's, whatever is sent");
    let change = |body: Value| server.admin().put("/phone-calls/1", body).created()["customer_id"].clone();
    assert_eq!(change(json!({"customer_id": second})), first);

    server.admin().put(&format!("/contacts/{contact}"), json!({"customer_id": second})).created();
    assert_eq!(server.admin().get("/phone-calls/1").ok()["customer_id"], first);
    assert_eq!(change(json!({"subject": "s", "contact_id": contact})), first);
    assert_eq!(record(&server.admin(), json!({"contact_id": contact})).created()["customer_id"], second);

    assert_eq!(change(json!({"contact_id": other})), second);
    assert_eq!(change(json!({"contact_id": null})), second);
    assert_eq!(change(json!({"customer_id": first})), first);
    assert_eq!(change(json!({"customer_id": null})), Value::Null);
    let nobodys = server.admin().post("/contacts", json!({"last_name": "N"})).created()["id"].clone();
    let made = record(&server.admin(), json!({"contact_id": nobodys, "customer_id": first})).created();
    assert_eq!(made["customer_id"], Value::Null);
}

#[test]
fn the_journal_outlives_whom_it_is_about() {
    let server = TestServer::new();
    let (customer, contact) = customer_and_contact(&server);
    let (kept, second) = customer_and_contact(&server);
    let user = server.join_acme("leaver@example.com", "agent");
    record(&server.admin(), json!({"contact_id": contact, "user_id": user})).created();
    record(&server.admin(), json!({"contact_id": second})).created();
    let of = |id: i64| {
        let call = server.admin().get(&format!("/phone-calls/{id}")).ok();
        [call["contact_id"].as_i64(), call["customer_id"].as_i64(), call["user_id"].as_i64()]
    };
    server.admin().delete(&format!("/users/{user}")).ok();
    assert_eq!(of(1), [Some(contact), Some(customer), None]);
    server.admin().delete(&format!("/contacts/{second}")).ok();
    assert_eq!(of(2), [None, Some(kept), None]);

    server.admin().delete(&format!("/customers/{customer}")).rejected(422, "customer_has_contacts");
    let bound = server.key(&["*"], Some(kept));
    server.admin().delete(&format!("/customers/{customer}?cascade=1")).ok();
    assert_eq!(of(1), [None, None, None]);
    assert_eq!(ids(&bound.get("/phone-calls")), [2], "what has become nobody's is no other customer's");
    bound.get("/phone-calls/1").rejected(404, "not_found");
    // Calls do not prevent the deletion of their customer.
    server.admin().delete(&format!("/customers/{kept}")).ok();
    assert_eq!((of(2), ids(&server.admin().get("/phone-calls"))), ([None, None, None], vec![2, 1]));
}

#[test]
fn a_customers_key_sees_and_changes_that_customers_calls_alone() {
    let server = TestServer::new();
    let (own, contact) = customer_and_contact(&server);
    let (others, foreign) = customer_and_contact(&server);
    let nobodys = server.admin().post("/contacts", json!({"last_name": "N"})).created()["id"].clone();
    record(&server.admin(), json!({"contact_id": foreign})).created();
    record(&server.admin(), json!({})).created();
    let key = server.key(&["phone-call.*"], Some(own));
    assert_eq!(record(&key, json!({})).created()["customer_id"], own);
    assert_eq!(record(&key, json!({"contact_id": contact})).created()["customer_id"], own);
    record(&key, json!({"customer_id": others})).rejected(403, "forbidden");
    for contact in [json!(foreign), nobodys, json!(99)] {
        record(&key, json!({"contact_id": contact})).invalid(&["The selected contact id is invalid."]);
        key.put("/phone-calls/3", json!({"contact_id": contact})).invalid(&["The selected contact id is invalid."]);
    }
    key.put("/phone-calls/3", json!({"customer_id": others})).rejected(403, "forbidden");
    assert_eq!(key.put("/phone-calls/3", json!({"customer_id": null})).created()["customer_id"], own);
    assert_eq!(key.put("/phone-calls/4", json!({"contact_id": null})).created()["customer_id"], own);
    for id in [1, 2] {
        key.get(&format!("/phone-calls/{id}")).rejected(404, "not_found");
        key.put(&format!("/phone-calls/{id}"), json!({"subject": "mine"})).rejected(404, "not_found");
        key.delete(&format!("/phone-calls/{id}")).rejected(404, "not_found");
    }
    assert_eq!(ids(&key.get("/phone-calls")), [4, 3]);
    assert_eq!(ids(&key.get(&format!("/phone-calls?filter[customer_id]={others}"))), [0_i64; 0]);
    key.delete("/phone-calls/3").ok();
    assert_eq!(
        (key.get("/phone-calls").ok()["total"].clone(), ids(&server.admin().get("/phone-calls"))),
        (json!(1), vec![4, 2, 1])
    );
}

#[test]
fn an_agent_records_and_changes_and_does_not_delete() {
    let server = TestServer::new();
    let agent = server.with_role("agent");
    record(&agent, json!({})).created();
    agent.put("/phone-calls/1", json!({"subject": "s"})).created();
    agent.delete("/phone-calls/1").rejected(403, "missing_permission");
    server.with_role("manager").delete("/phone-calls/1").ok();
}

#[test]
fn every_filter_selects_and_every_order_orders() {
    let server = TestServer::new();
    let (customer, contact) = customer_and_contact(&server);
    let admin = server.admin();
    record(&admin, json!({
            "number_from": "01 42 00 00 00", "number_to": "204", "contact_id": contact, "user_id": 1, "agent_extension": "204",
            "agent_name": "Zoé Lefèvre", "queue": "Ventes", "subject": "Devis", "body": "Rappeler demain",
            "started_at": "2024-01-18T09:00:00Z", "ended_at": "2024-01-18T09:10:00Z", "summary": "Prix",
            "recording_url": "https://pbx.example.com/1.wav", "transcription": "Bonjour",
        }))
        .created();
    record(
        &admin,
        json!({
            "direction": "outbound", "status": "no_answer", "number_to": "+49 30 123456",
            "started_at": "2024-01-16T09:00:00Z", "ended_at": "2024-01-19T09:00:00Z", "duration_s": 7,
        }),
    )
    .created();
    record(&admin, json!({"number_to": "+33142000000", "started_at": "2024-01-17T22:59:59Z"})).created();
    for (query, expected) in [
        ("", vec![3, 2, 1]),
        ("filter[direction]=outbound", vec![2]),
        ("filter[status]=completed", vec![3, 1]),
        ("filter[answered]=0", vec![2]),
        ("filter[answered]=true", vec![3, 1]),
        ("filter[phone]=0033142000000", vec![3, 1]),
        ("filter[phone]=01.42.00.00.00", vec![3, 1]),
        ("filter[phone]=030123456", vec![]),
        ("filter[phone]=004930123456", vec![2]),
        ("filter[phone]=204", vec![1]),
        ("filter[number_from]=42", vec![1]),
        ("filter[number_to]=%2B", vec![3, 2]),
        ("filter[agent_extension]=204", vec![1]),
        ("filter[agent_name]=lefevre", vec![1]),
        ("filter[queue]=VENTE", vec![1]),
        (&format!("filter[contact_id]={contact}"), vec![1]),
        (&format!("filter[customer_id]={customer}"), vec![1]),
        ("filter[user_id]=1", vec![1]),
        ("filter[subject]=devis", vec![1]),
        ("filter[body]=demain", vec![1]),
        ("filter[started_at]=2024-01-17", vec![3]),
        ("filter[started_at][gte]=2024-01-17&filter[started_at][lte]=2024-01-18", vec![3, 1]),
        ("filter[ended_at][gte]=2024-01-18T09:10:01Z", vec![2]),
        ("filter[duration_s]=600", vec![1]),
        ("filter[recording_url]=1.wav", vec![1]),
        ("filter[transcription]=bonjour", vec![1]),
        ("filter[summary]=prix", vec![1]),
        ("filter[created_at]=2001-01-01", vec![]),
        ("filter[updated_at][gte]=2024-01-20", vec![3, 2, 1]),
        ("filter[term]=zoe%20dev", vec![1]),
        ("filter[term]=bonj%20prix%20rappeler%20ventes", vec![1]),
        ("filter[term]=martin", vec![]),
        ("filter[direction]=inbound&filter[answered]=1&filter[phone]=0142000000", vec![3, 1]),
        ("sort=started_at", vec![2, 3, 1]),
        ("sort=-started_at", vec![1, 3, 2]),
        ("sort=-duration_s", vec![1, 2, 3]),
        ("sort=ended_at", vec![3, 1, 2]),
        ("sort=id", vec![1, 2, 3]),
        ("sort=created_at", vec![1, 2, 3]),
        ("sort=-updated_at,-id", vec![3, 2, 1]),
    ] {
        assert_eq!(ids(&admin.get(&format!("/phone-calls?{query}"))), expected, "{query}");
    }
    for query in ["filter[direction]=up", "filter[status]=ringing", "filter[contact_id]=x", "sort=subject"] {
        assert_eq!(admin.get(&format!("/phone-calls?{query}")).status, 400, "{query}");
    }
}

#[test]
fn the_indexes_follow_what_is_changed_and_deleted() {
    let server = TestServer::new();
    let admin = server.admin();
    record(&admin, json!({"number_from": "0142000000", "subject": "Devis"})).created();
    let found = |query: &str| admin.get(&format!("/phone-calls?{query}")).ok()["total"].clone();
    admin.put("/phone-calls/1", json!({"number_from": "0143000000", "subject": "Facture"})).created();
    for (query, many) in [
        ("filter[phone]=0142000000", 0),
        ("filter[phone]=0143000000", 1),
        ("filter[term]=devis", 0),
        ("filter[term]=fact", 1),
        ("", 1),
    ] {
        assert_eq!(found(query), many, "{query}");
    }
    admin.delete("/phone-calls/1").ok();
    for query in ["filter[phone]=0143000000", "filter[term]=fact", ""] {
        assert_eq!(found(query), 0, "{query}");
    }
    let left = "SELECT count(*) FROM phone_numbers";
    assert_eq!(server.in_file(move |db| Ok(db.query_row(left, [], |row| row.get::<_, i64>(0))?)), 0);
}

/// With a million calls, the newest page and the calls of a time, contact, customer or user need no scan.
#[test]
fn what_people_look_for_is_found_by_an_index() {
    let server = TestServer::new();
    for (tail, index) in [
        ("ORDER BY id DESC LIMIT 20", "SCAN phone_calls"),
        ("ORDER BY started_at DESC, id DESC LIMIT 20", "phone_calls_period"),
        ("WHERE customer_id = 1 ORDER BY id DESC LIMIT 20", "phone_calls_customer"),
        ("WHERE contact_id = 1 ORDER BY id DESC LIMIT 20", "phone_calls_contact"),
        ("WHERE user_id = 1 ORDER BY id DESC LIMIT 20", "phone_calls_user"),
    ] {
        let plan = server.in_file(move |db| {
            let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM phone_calls {tail}");
            let steps =
                db.prepare(&sql)?.query_map([], |row| row.get::<_, String>(3))?.collect::<Result<Vec<_>, _>>()?;
            Ok(steps.join("; "))
        });
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{tail}: {plan}");
    }
}
#[test]
fn an_imported_call_is_of_whom_the_file_says_else_of_its_contact() {
    let server = TestServer::new();
    let (own, contact) = customer_and_contact(&server);
    let (other, _) = customer_and_contact(&server);
    let call = |fields: Value| {
        let mut call = json!({"direction": "inbound", "contact_id": contact});
        call.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        call
    };
    let rows = json!([call(json!({})), call(json!({"customer_id": other})), call(json!({"customer_id": null}))]);
    server.admin().post("/phone-calls/import", rows).created();
    let customers = || {
        let rows = server.admin().get("/phone-calls/export").ok();
        rows.as_array().unwrap().iter().map(|row| row["customer_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(customers(), [json!(own), json!(other), json!(own)]);
    let bad = json!([call(json!({"customer_id": 9, "user_id": 9})), call(json!({"contact_id": 9}))]);
    server.admin().post("/phone-calls/import", bad).invalid(&[
        "row 1: The selected customer id is invalid. The selected user id is invalid.",
        "row 2: The selected contact id is invalid.",
    ]);
    // Omitted fields keep their values, including those derived from an omitted contact.
    let upsert = json!([{"id": 2, "subject": "Devis"}, {"id": 3, "contact_id": contact}]);
    server.admin().post("/phone-calls/import?mode=upsert", upsert).created();
    assert_eq!(customers(), [json!(own), json!(other), json!(own)]);
}

#[test]
fn what_was_told_from_the_rest_follows_an_imported_change_too() {
    let server = TestServer::new();
    let (nine, two_past) = ("2024-01-19T09:00:00Z", "2024-01-19T09:02:00Z");
    record(&server.admin(), json!({"started_at": nine, "ended_at": two_past})).created();
    let upsert = |row: Value| server.admin().post("/phone-calls/import?mode=upsert", json!([row]));
    upsert(json!({"id": 1, "status": "missed", "ended_at": nine})).created();
    let changed = server.admin().get("/phone-calls/1").ok();
    assert_eq!((&changed["answered"], &changed["duration_s"]), (&json!(false), &json!(0)));
    let backwards = upsert(json!({"id": 1, "started_at": two_past}));
    backwards.invalid(&["row 1: The ended at may not be before the started at."]);
}

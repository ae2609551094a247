use std::collections::BTreeMap;

use http::header;
use serde_json::{Value, json};

use crate::tests::routing_endpoints::CreatedRows;
use crate::tests::{RoutingClient, TestClient, TestServer};

/// The columns of each table that refer to a customer or a contact: foreign keys to its table, and columns with its name.
fn references(server: &TestServer, of: &'static str, named: &'static [&'static str]) -> BTreeMap<String, Vec<String>> {
    server.in_file(move |db| {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut statement = db.prepare(
            "SELECT t.name, c.name, f.\"table\" FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             LEFT JOIN pragma_foreign_key_list(t.name) f ON f.\"from\" = c.name
             WHERE t.type = 'table' AND t.name NOT LIKE '%_fts%'",
        )?;
        let columns = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
        })?;
        for column in columns {
            let (table, column, target) = column?;
            let is_named = target.is_none() && named.contains(&column.as_str()) && table != of;
            if is_named || target.as_deref() == Some(of) {
                found.entry(table).or_default().push(column);
            }
        }
        Ok(found)
    })
}

/// The number of rows of each table that refer to a record.
fn counts(server: &TestServer, references: &BTreeMap<String, Vec<String>>, id: i64) -> BTreeMap<String, i64> {
    let references = references.clone();
    server.in_file(move |db| {
        let mut counts = BTreeMap::new();
        for (table, columns) in &references {
            let any = columns.iter().map(|column| format!("{column} = ?1")).collect::<Vec<_>>().join(" OR ");
            let sql = format!("SELECT count(*) FROM {table} WHERE {any}");
            counts.insert(table.clone(), db.query_row(&sql, [id], |row| row.get(0))?);
        }
        Ok(counts)
    })
}

/// All rows of the file that a rejected request must not change.
fn state(server: &TestServer) -> Vec<String> {
    server.in_file(|db| {
        let mut statement = db.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%_fts%' AND name NOT LIKE 'sqlite_%'",
        )?;
        let tables: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut rows = Vec::new();
        for table in tables {
            let mut statement = db.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let values = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap()));
                rows.push(format!("{table} {}", values.collect::<Vec<_>>().join(", ")));
            }
        }
        Ok(rows)
    })
}

fn customer(client: &TestClient<'_>, fields: Value) -> i64 {
    client.post("/customers", fields).created()["id"].as_i64().unwrap()
}

fn entries(client: &TestClient<'_>, resource: &str, id: i64) -> Vec<Value> {
    let listed =
        client.get(&format!("/audit-log?per_page=500&sort=id&filter[resource]={resource}&filter[resource_id]={id}"));
    listed.ok()["data"].as_array().unwrap().clone()
}

/// A table that refers to customers and is added later must be in this test, and in the merge.
#[test]
fn every_reference_to_the_merged_customer_becomes_one_to_the_kept_customer() {
    let server = TestServer::new();
    let admin = server.admin();
    let (gone, kept) = (RoutingClient::new(&server), RoutingClient::new(&server));
    let apart = customer(&admin, json!({"name": "Apart"}));
    for (of, name) in [(&gone, "A"), (&kept, "B")] {
        admin.post("/contacts", json!({"last_name": name, "customer_id": of.customer})).created();
        let pbx = server.key(&["crm.lookup"], Some(of.customer));
        pbx.post(
            "/crm/lookup/phone-calls",
            json!({"call_type": "Missed", "number": "01 42 00 00 00", "external_id": name}),
        )
        .created();
        pbx.post("/crm/lookup/chats", json!({"number": "01 42 00 00 00", "external_id": "same"})).created();
        admin.post("/customers/duplicates/dismiss", json!({"a": apart, "b": of.customer})).ok();
        let account = admin.get(&format!("/customers/{}", of.customer)).ok()["customer_account"].clone();
        let upload = format!("/imports?resource=routing-contacts&customer_account={}", account.as_str().unwrap());
        admin.post_csv(&upload, "last_name\nAda\n").created();
    }
    let client = json!({
        "name": "PBX", "redirect_uris": ["https://pbx.example.com/"], "grants": ["authorization_code"],
        "scopes": ["client", "crm"], "customer_id": gone.customer,
    });
    admin.post("/oauth-clients", client).created();
    CreatedRows::make(&gone);
    gone.put("/contacts/1", json!({"emails": ["zoe@example.com"]})).created();

    let references = references(&server, "customers", &["customer_id", "customer_account"]);
    let (of_gone, of_kept) = (counts(&server, &references, gone.customer), counts(&server, &references, kept.customer));
    let unused: Vec<_> = of_gone.iter().filter(|(_, count)| **count == 0).collect();
    assert!(unused.is_empty(), "no row of the merged customer in {unused:?}");
    let path = format!("/customers/{}/merge?move_keys=1", kept.customer);
    let merged = admin.post(&path, json!({"with": gone.customer})).created();
    assert_eq!(merged["moved"]["contacts"], 1);
    assert_eq!(merged["ended"], json!({"integration_keys": 0, "oauth_clients": 0, "cfd_tokens": 0}));
    assert!(counts(&server, &references, gone.customer).values().all(|count| *count == 0));
    for (table, count) in counts(&server, &references, kept.customer) {
        let same = match table.as_str() {
            // Both had these: the same external id, and the same pair.
            "external_ids" => 1,
            "dismissed_customer_pairs" => 1,
            _ => 0,
        };
        assert_eq!(count, of_gone[&table] + of_kept[&table] - same, "{table}");
    }
    assert_eq!(kept.get("/contacts/lookup?email=zoe@example.com").ok()["destination"], Value::Null);
}

#[test]
fn every_reference_to_the_merged_contact_becomes_one_to_the_kept_contact() {
    let server = TestServer::new();
    let admin = server.admin();
    for name in ["Kept", "Gone", "Apart"] {
        admin.post("/contacts", json!({"last_name": name})).created();
    }
    for contact in [1, 2, 2] {
        let call = json!({"direction": "inbound", "contact_id": contact, "number_from": "01 42 00 00 00"});
        admin.post("/phone-calls", call).created();
        admin.post("/crm/lookup/chats", json!({"contact_id": contact, "body": "Bonjour"})).created();
    }
    admin.post("/contacts/duplicates/dismiss", json!({"a": 2, "b": 3})).ok();
    admin.post("/contacts/duplicates/dismiss", json!({"a": 1, "b": 2})).ok();
    let references = references(&server, "contacts", &["contact_id"]);
    let of_gone = counts(&server, &references, 2);
    assert!(of_gone.values().all(|count| *count > 0), "no row of the merged contact in {of_gone:?}");
    let merged = admin.post("/contacts/1/merge", json!({"with": 2})).created();
    assert_eq!(merged["moved"], json!({"phone_calls": 2, "chats": 2}));
    assert!(counts(&server, &references, 2).values().all(|count| *count == 0));
    let of_kept = counts(&server, &references, 1);
    assert_eq!((of_kept["phone_calls"], of_kept["chats"], of_kept["dismissed_contact_pairs"]), (3, 3, 1));
    assert_eq!(admin.get("/phone-calls?filter[contact_id]=1&filter[phone]=0142000000").ok()["total"], 3);
}

#[test]
fn both_records_say_what_they_were_merged_with() {
    let server = TestServer::new();
    let admin = server.admin();
    admin.post("/webhooks", json!({"url": "https://example.com/", "events": ["contact.*"]})).created();
    for body in [json!({"last_name": "A"}), json!({"last_name": "A", "email": "a@example.com"})] {
        admin.post("/contacts", body).created();
    }
    let merged = admin.post("/contacts/1/merge", json!({"with": 2})).created();
    assert_eq!((&merged["id"], &merged["email"]), (&json!(1), &json!("a@example.com")));
    let told = |id: i64| entries(&admin, "contact", id).pop().unwrap();
    assert_eq!(told(1)["action"], "contact.updated");
    assert_eq!(told(1)["changes"], json!({"email": [null, "a@example.com"], "merged_from": [null, 2]}));
    assert_eq!(told(2)["action"], "contact.deleted");
    assert_eq!(told(2)["changes"]["merged_into"], json!([null, 1]));
    assert_eq!(told(2)["changes"]["email"], json!(["a@example.com", null]));
    let messages: Vec<String> = server.in_file(|db| {
        let mut statement = db.prepare("SELECT body FROM webhook_messages ORDER BY id DESC LIMIT 2")?;
        let bodies = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(bodies)
    });
    let [updated, deleted] = messages.as_slice() else { panic!("{messages:?}") };
    let (updated, deleted): (Value, Value) =
        (serde_json::from_str(updated).unwrap(), serde_json::from_str(deleted).unwrap());
    assert_eq!((&deleted["type"], &deleted["data"]["id"]), (&json!("contact.deleted"), &json!(2)));
    assert_eq!(deleted["data"]["merged_into"], 1);
    assert_eq!((&updated["type"], &updated["data"]["merged_from"]), (&json!("contact.updated"), &json!(2)));
    // The numbers and words of the deleted contact lead to the kept one.
    assert_eq!(admin.get("/contacts?filter[term]=a@example.com").ok()["data"][0]["id"], 1);
}

#[test]
fn a_rejected_merge_of_contacts_changes_nothing() {
    let server = TestServer::new();
    let admin = server.admin();
    for name in ["A", "B"] {
        customer(&admin, json!({"name": name}));
    }
    for (name, fax, customer) in [("A", "0142000000", 1), ("B", "0143000000", 1), ("C", "0144000000", 2)] {
        admin.post("/contacts", json!({"last_name": name, "fax": fax, "customer_id": customer})).created();
    }
    admin.post("/phone-calls", json!({"direction": "inbound", "contact_id": 2})).created();
    let tag = admin.get("/contacts/1").headers[header::ETAG].to_str().unwrap().to_owned();
    let bound = server.key(&["contact.*"], Some(1));
    let (no_delete, no_update) =
        (server.with_only(&["contact.view", "contact.update"]), server.with_only(&["contact.view", "contact.delete"]));
    let before = state(&server);
    let path = "/contacts/1/merge";
    let with = |id: i64| json!({"with": id});
    for (body, said) in [
        (with(1), "The selected with is invalid."),
        (with(99), "The selected with is invalid."),
        (json!({}), "The with field is required."),
        (with(2), "The fax fits in no free field: 0143000000. Choose one of the two numbers."),
        (json!({"with": 2, "fields": {"fax": "kept", "age": "kept"}}), "The selected fields age is invalid."),
        (json!({"with": 2, "fields": {"fax": "kept", "role": "both"}}), "The role cannot be both values."),
    ] {
        admin.post(path, body).invalid(&[said]);
    }
    assert_eq!(admin.post(path, json!({"with": 2, "fields": {"fax": "neither"}})).status, 400);
    assert_eq!(admin.post(path, json!({"with": 2, "fields": ["fax"]})).status, 400);
    bound.post(path, with(3)).invalid(&["The selected with is invalid."]);
    bound.post("/contacts/3/merge", with(1)).rejected(404, "not_found");
    admin.post("/contacts/99/merge", with(1)).rejected(404, "not_found");
    no_delete.post(path, with(2)).rejected(403, "missing_permission");
    no_update.post(path, with(2)).rejected(403, "missing_permission");
    admin.with_header("If-Match", "\"another\"").post(path, with(2)).rejected(412, "stale_write");
    assert_eq!(state(&server), before);

    // The same key and tag give the same response, although the contact has changed since.
    let merge = json!({"with": 2, "fields": {"fax": "other"}});
    let keyed = bound.with_header("If-Match", &tag).with_header("Idempotency-Key", "once");
    let first = keyed.post(path, merge.clone()).created();
    assert_eq!((&first["fax"], &first["moved"]["phone_calls"]), (&json!("0143000000"), &json!(1)));
    assert_eq!(keyed.post(path, merge).created(), first);
    bound.with_header("If-Match", &tag).post(path, with(3)).rejected(412, "stale_write");
}

#[test]
fn a_rejected_merge_of_customers_changes_nothing() {
    let server = TestServer::new();
    let admin = server.admin();
    let (kept, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
    for routing in [&kept, &other] {
        routing.create("/contacts", json!({"id_code": "W1"}));
        routing.create("/geo/lists", json!({"list_id": "L1", "geo_routing_model_id": 1}));
    }
    kept.create(
        "/call-queues/queues",
        json!({"name": "A", "code": "Q1", "number": "801", "did_number": "01 42 00 00 00"}),
    );
    other.create(
        "/call-queues/queues",
        json!({"name": "B", "code": "Q2", "number": "801", "did_number": "+33142000000"}),
    );
    admin.post("/contacts", json!({"last_name": "A", "customer_id": other.customer})).created();
    server.key(&["*"], Some(other.customer));
    let bound = server.key(&["customer.*"], Some(kept.customer));
    let no_delete = server.with_only(&["customer.view", "customer.update"]);
    let no_keys = server.with_only(&["customer.*", "routing.*"]);
    let (path, with) = (format!("/customers/{}/merge", kept.customer), json!({"with": other.customer}));
    let before = state(&server);

    let conflict = admin.post(&path, with.clone());
    conflict.rejected(422, "id_code_taken");
    let named = [
        "Both customers have a routing contact with the same id code: W1.",
        "Both customers have a geo list with the same list id: L1.",
        "Both customers have a call queue with the same number: 801.",
        "Both customers have a call queue with the same did number: +33142000000.",
    ];
    assert_eq!(conflict.json()["hint"], json!(named));
    for (body, said) in [
        (json!({"with": kept.customer}), "The selected with is invalid."),
        (json!({"with": 99}), "The selected with is invalid."),
        (json!({"into": 99}), "The selected into is invalid."),
        (json!({}), "The with field is required when into is not present."),
        (json!({"with": other.customer, "into": other.customer}), "The with field is prohibited when into is present."),
        (
            json!({"into": other.customer, "fields": {"name": "kept"}}),
            "The fields field is prohibited when into is present.",
        ),
        (json!({"with": other.customer, "fields": {"id": "other"}}), "The selected fields id is invalid."),
    ] {
        admin.post(&path, body).invalid(&[said]);
    }
    bound.post(&path, with.clone()).rejected(403, "forbidden");
    no_delete.post(&path, with.clone()).rejected(403, "missing_permission");
    admin.with_header("If-Match", "\"another\"").post(&path, with.clone()).rejected(412, "stale_write");
    assert_eq!(state(&server), before);

    for list in ["/contacts", "/geo/lists", "/call-queues/queues"] {
        for id in other.ids(list) {
            other.delete(&format!("{list}/{id}")).ok();
        }
    }
    let before = state(&server);
    no_keys.post(&format!("{path}?move_keys=1"), with).rejected(403, "missing_permission");
    assert_eq!(state(&server), before);
}

#[test]
fn a_merged_customer_can_take_the_account_of_the_other() {
    let server = TestServer::new();
    let admin = server.admin();
    let kept = customer(&admin, json!({"name": "Acme", "vip": true}));
    let other = customer(
        &admin,
        json!({"name": "ACME SA", "customer_account": "A-7", "phone": "01 42 00 00 00", "type": "SA"}),
    );
    let body = json!({"with": other, "fields": {"customer_account": "other", "vip": "other", "type": "kept"}});
    let merged = admin.post(&format!("/customers/{kept}/merge"), body).created();
    for (field, value) in [
        ("id", json!(kept)),
        ("customer_account", json!("A-7")),
        ("name", json!("Acme")),
        ("vip", json!(false)),
        ("type", json!(null)),
        ("phone", json!("01 42 00 00 00")),
        ("moved", json!({"contacts": 0, "phone_calls": 0, "chats": 0, "routing": 0})),
    ] {
        assert_eq!(merged[field], value, "{field}");
    }
    assert_eq!(admin.get("/customers/resolve?customer_account=A-7").ok()["id"], kept);
    assert_eq!(admin.get("/customers?filter[phone]=%2B33142000000").ok()["data"][0]["id"], kept);
    assert_eq!(entries(&admin, "customer", other).pop().unwrap()["changes"]["merged_into"], json!([null, kept]));
}

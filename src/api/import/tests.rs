use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LARGEST_ID, MOST_HINTS, MOST_ROWS};
use crate::tests::{TestClient, TestServer};

fn contacts(client: &TestClient<'_>) -> Vec<Value> {
    client.get("/contacts/export").ok().as_array().unwrap().clone()
}

/// Rows by the fields that a test needs.
fn picked(rows: &[Value], fields: &[&str]) -> Value {
    rows.iter().map(|row| fields.iter().map(|field| row[field].clone()).collect::<Value>()).collect()
}

#[test]
fn rows_are_made_of_json_and_of_csv_and_told_how_many() {
    let server = TestServer::new();
    let rows = json!([{"last_name": "Ada", "email": "ada@example.com"}, {"last_name": "Bo", "id": null, "created_at": null, "unknown": 1}]);
    let made = server.admin().post("/contacts/import", rows.clone()).created();
    assert_eq!(made, json!({"response": "ok", "created": 2, "updated": 0, "ignored_columns": ["unknown"]}));
    let second = server.admin().get("/contacts/2").ok();
    assert_eq!((&second["last_name"], &second["updated_at"]), (&json!("Bo"), &second["created_at"]));
    assert!(second["created_at"].as_str() > Some("2020"), "{second}");
    server.admin().post("/contacts/import", json!({"contacts": rows})).created();
    let text = "last_name;phone_mobile_1;custom_fields;unknown\r\n\"Zoé; \"\"L\"\"\";'+33 6 12 34 56 78;\"{\"\"tier\"\":\"\"gold\"\"}\";x\r\n";
    assert_eq!(server.admin().post_csv("/contacts/import", text).created()["created"], 1);
    let last = server.admin().get("/contacts/5").ok();
    assert_eq!((&last["last_name"], &last["phone_mobile_1"]), (&json!("Zoé; \"L\""), &json!("+33 6 12 34 56 78")));
    assert_eq!((&last["custom_fields"], &last["email"]), (&json!({"tier": "gold"}), &Value::Null));
    assert_eq!(server.admin().get("/contacts?filter[phone]=0612345678").ok()["total"], 1);
    assert_eq!(server.admin().get("/contacts?filter[term]=zoe").ok()["total"], 1);
    assert_eq!(server.admin().post("/contacts/import", json!([])).created()["created"], 0);
}

#[test]
fn with_a_bad_row_nothing_is_kept_and_every_bad_row_is_named() {
    let server = TestServer::new();
    let rows = json!([
        {"last_name": "Ada"}, {"last_name": " ", "email": "ada"}, 7, {"last_name": "Bo", "customer_id": 9},
        {"last_name": "Cy", "id": 1}, {"last_name": "Di", "id": LARGEST_ID + 1}, {"last_name": "Ed", "id": 0},
        {"last_name": "Fi", "id": "x", "created_at": "soon"}, {"last_name": "Gu", "id": 1.5},
    ]);
    let answer = server.admin().post("/contacts/import", rows);
    answer.invalid(&[
        "row 2: The last name field is required. The email must be a valid email address.",
        "row 3: The row must be an object.",
        "row 4: The selected customer id is invalid.",
        "row 5: The id has already been taken.",
        "row 6: The id must be between 1 and 4503599627370496.",
        "row 7: The id must be between 1 and 4503599627370496.",
        "row 8: The id must be an integer. The created at must be a valid date and time, like 2024-01-20T12:00:00Z.",
        "row 9: The id must be an integer.",
    ]);
    assert_eq!(answer.json()["count"], 8);
    let csv = server.admin().post_csv("/contacts/import", "last_name,customer_id\nAda,\n,one\nBo,,x\n");
    csv.invalid(&[
        "row 2: The customer id must be an integer. The last name field is required.",
        "row 3: The row has 3 cells, but there are 2 columns.",
    ]);
    assert!(contacts(&server.admin()).is_empty());
    assert_eq!(server.admin().get("/audit-log?filter[resource]=contact").ok()["total"], 0);
    // No id is used up either.
    assert_eq!(server.admin().post("/contacts", json!({"last_name": "Ada"})).created()["id"], 1);
}

#[test]
fn of_many_bad_rows_the_first_are_named_and_all_are_counted() {
    let server = TestServer::new();
    let rows: Vec<Value> = (0..MOST_HINTS + 2).map(|_| json!({})).collect();
    let answer = server.admin().post("/contacts/import", json!(rows)).json();
    assert_eq!(answer["hint"].as_array().map(Vec::len), Some(MOST_HINTS));
    assert_eq!(
        (&answer["count"], &answer["hint"][0]),
        (&json!(MOST_HINTS + 2), &json!("row 1: The last name field is required."))
    );
}

#[test]
fn a_file_that_is_none_is_refused_as_a_whole() {
    let server = TestServer::new();
    server
        .admin()
        .post("/contacts/import", json!({"rows": []}))
        .invalid(&["The body must be a list of rows, or an object with one under data or contacts."]);
    server.admin().send(http::Method::POST, "/contacts/import", None).rejected(400, "malformed_json");
    let known = server.admin().post_csv("/contacts/import", "Nom,Prénom\nAda,Bo\n");
    assert!(known.text.contains("they may be id, customer_id, civility,"), "{known:?}");
    server
        .admin()
        .post_csv("/contacts/import", *b"\xFF\xFEx")
        .invalid(&["The file begins as UTF-16 but is not valid UTF-16."]);
    let many = format!("last_name\n{}", "x\n".repeat(MOST_ROWS + 1));
    server
        .admin()
        .post_csv("/contacts/import", many)
        .invalid(&["The file may not have more than 250000 rows. Send it in parts."]);
    server.admin().post_csv("/contacts", "last_name\nAda").rejected(415, "unsupported_media_type");
    let form = server.admin().submit("/contacts/import", &[("last_name", "Ada")]);
    form.rejected(415, "unsupported_media_type");
    assert!(form.text.contains("text/csv"), "{form:?}");
    for (query, says) in [
        ("mode=replace", "The selected mode is invalid; it may be create, upsert."),
        ("dry_run=perhaps", "The dry run must be true or false."),
    ] {
        server.admin().post(&format!("/contacts/import?{query}"), json!([{"last_name": "Ada"}])).invalid(&[says]);
    }
    assert!(contacts(&server.admin()).is_empty());
}

#[test]
fn a_dry_run_says_what_would_be_and_does_nothing() {
    let server = TestServer::new();
    server.admin().post("/contacts", json!({"last_name": "Ada"})).created();
    let before = contacts(&server.admin());
    let rows = json!([{"id": 1, "last_name": "Bo"}, {"last_name": "Cy"}, {"last_name": "Di"}]);
    let told = server.admin().post("/contacts/import?mode=upsert&dry_run=1", rows.clone()).ok();
    assert_eq!(told, json!({"response": "ok", "created": 2, "updated": 1}));
    server.admin().post("/contacts/import?dry_run=1", rows.clone()).invalid(&["row 1: The id has already been taken."]);
    assert_eq!(contacts(&server.admin()), before);
    assert_eq!(server.admin().post("/contacts/import?mode=upsert&dry_run=0", rows).created(), told);
}

#[test]
fn an_id_may_be_text_and_is_the_same_id() {
    let server = TestServer::new();
    let row = |id: Value, name: &str| json!([{"id": id, "last_name": name}]);
    server.admin().post("/contacts/import", row(json!("7"), "Ada")).created();
    let changed = server.admin().post("/contacts/import?mode=upsert", row(json!("7"), "Bo")).created();
    assert_eq!((&changed["created"], &changed["updated"]), (&json!(0), &json!(1)));
    for id in [json!("9223372036854775807"), json!("0"), json!("4503599627370497.0"), json!(4_503_599_627_370_497.0)] {
        let refused = server.admin().post("/contacts/import", row(id, "Cy"));
        refused.invalid(&["row 1: The id must be between 1 and 4503599627370496."]);
    }
    assert_eq!(server.admin().post("/contacts", json!({"last_name": "Di"})).created()["id"], 8);
}

#[test]
fn an_upsert_changes_what_it_names_of_the_rows_that_are_there() {
    let server = TestServer::new();
    for (name, email) in
        [("Ada", "Ada@Example.com"), ("Bo", "bo@example.com"), ("Twin", "t@example.com"), ("Twin", "T@example.com")]
    {
        let contact = json!({"last_name": name, "email": email, "company": "Acme", "phone_home_1": "0142000000"});
        server.admin().post("/contacts", contact).created();
    }
    let rows = json!([
        {"email": "ada@example.COM", "first_name": "Zoé"},
        {"id": 2, "email": "ada@example.com", "company": null},
        {"id": 2, "last_name": "Bob"},
        {"id": 9, "email": "ada@example.com", "role": "CEO"},
        {"email": "new@example.com", "last_name": "New"},
        {"email": "NEW@example.com", "role": "CTO"},
        {"email": null, "last_name": "Blank"},
        {"email": 7, "last_name": "Number"},
    ]);
    let refused = server.admin().post("/contacts/import?mode=upsert", rows.clone());
    // By then the second row has Ada's address.
    refused.invalid(&["row 4: The email matches several contacts: use an id.", "row 8: The email must be a string."]);
    let mut rows = rows.as_array().unwrap().clone();
    rows.truncate(6);
    rows[1]["email"] = json!("bob@example.com");
    let done = server.admin().post("/contacts/import?mode=upsert", json!(rows)).created();
    assert_eq!(done, json!({"response": "ok", "created": 1, "updated": 5}));
    let now = contacts(&server.admin());
    let fields = ["id", "last_name", "first_name", "email", "company", "role"];
    assert_eq!(
        picked(&now, &fields),
        json!([
            [1, "Ada", "Zoé", "ada@example.com", "Acme", "CEO"],
            [2, "Bob", null, "bob@example.com", "Acme", null],
            [3, "Twin", null, "t@example.com", "Acme", null],
            [4, "Twin", null, "T@example.com", "Acme", null],
            [5, "New", null, "NEW@example.com", null, "CTO"],
        ])
    );
    assert_eq!(server.admin().get("/contacts?filter[phone]=0142000000").ok()["total"], 4);
    let twins = server.admin().post("/contacts/import?mode=upsert", json!([{"email": "t@example.com"}]));
    twins.invalid(&["row 1: The email matches several contacts: use an id."]);
}

#[test]
fn a_change_is_dated_and_what_is_as_the_file_has_it_is_no_change() {
    let server = TestServer::new();
    let old = "2020-01-01T00:00:00Z";
    let row = json!({"id": 7, "last_name": "Ada", "created_at": old, "updated_at": old});
    server.admin().post("/contacts/import", json!([row])).created();
    let kept = server.admin().get("/contacts/7").ok();
    assert_eq!((&kept["created_at"], &kept["updated_at"]), (&json!(old), &json!(old)));
    let upsert = |row: Value| {
        assert_eq!(server.admin().post("/contacts/import?mode=upsert", json!([row])).created()["updated"], 1);
        server.admin().get("/contacts/7").ok()
    };
    assert_eq!(upsert(json!({"id": 7, "last_name": "Ada"})), kept);
    assert_eq!(server.admin().get("/audit-log?filter[action]=contact.updated").ok()["total"], 0);
    // An export in which a name was edited.
    let renamed = upsert(json!({"id": 7, "last_name": "Bo", "created_at": old, "updated_at": old}));
    assert!(renamed["updated_at"].as_str() > Some(old) && renamed["created_at"] == old, "{renamed}");
    // A file that is older or newer than the row.
    assert_eq!(upsert(kept.clone()), kept);
    assert_eq!(server.admin().get("/audit-log?filter[action]=contact.updated").ok()["total"], 2);
}

#[test]
fn whoever_may_not_change_rows_makes_new_ones() {
    let server = TestServer::new();
    let creator = server.with_only(&["contact.create"]);
    let rows = json!([{"email": "ada@example.com", "last_name": "Ada"}]);
    assert_eq!(creator.post("/contacts/import?mode=upsert", rows.clone()).created()["created"], 1);
    let refused = creator.post("/contacts/import?mode=upsert", rows.clone());
    refused.rejected(403, "missing_permission");
    assert!(refused.text.contains("contact.update"), "{refused:?}");
    assert_eq!(server.with_role("agent").post("/contacts/import?mode=upsert", rows).created()["updated"], 1);
    assert_eq!(contacts(&server.admin()).len(), 1);
}

/// A caller who is bound to a customer neither sees nor changes rows of other customers.
#[test]
fn a_customers_key_imports_into_that_customer_alone() {
    let server = TestServer::new();
    for name in ["Own", "Other"] {
        server.admin().post("/customers", json!({"name": name})).created();
    }
    let theirs = json!({"last_name": "Theirs", "email": "x@example.com", "customer_id": 2});
    let theirs = server.admin().post("/contacts", theirs).created();
    let key = server.key(&["contact.*", "phone-call.*"], Some(1));
    let upsert = |rows: Value| key.post("/contacts/import?mode=upsert", rows);
    assert_eq!(upsert(json!([{"last_name": "Ours", "email": "X@example.com"}])).created()["created"], 1);
    assert_eq!(upsert(json!([{"role": "CEO", "email": "x@example.com"}])).created()["updated"], 1);
    // An error for another customer's row equals the error for a row that does not exist.
    for mode in ["upsert", "create"] {
        for id in [1, 99] {
            let rows = json!([{"id": id, "last_name": "Ours"}]);
            let answer = key.post(&format!("/contacts/import?mode={mode}"), rows);
            answer.invalid(&["row 1: The selected id is invalid."]);
        }
    }
    upsert(json!([{"last_name": "Ours", "customer_id": 2}])).rejected(403, "forbidden");
    let call = json!([{"direction": "inbound", "contact_id": 1}]);
    key.post("/phone-calls/import", call).invalid(&["row 1: The selected contact id is invalid."]);
    let call = json!([{"direction": "inbound", "contact_id": 2}, {"direction": "inbound"}]);
    key.post("/phone-calls/import", call).created();
    assert_eq!(server.admin().get("/phone-calls?filter[customer_id]=1").ok()["total"], 2);
    let all = contacts(&server.admin());
    assert_eq!(all[0], theirs);
    assert_eq!(picked(&all[1..], &["id", "customer_id", "role"]), json!([[2, 1, "CEO"]]));
    server.key(&["*"], Some(1)).post("/customers/import", json!([{"name": "Mine"}])).rejected(403, "forbidden");
}

#[test]
fn every_row_is_accounted_for() {
    let server = TestServer::new();
    server.admin().post("/contacts/import", json!([{"last_name": "Ada"}, {"last_name": "Bo"}])).created();
    server.admin().post("/contacts/import?mode=upsert", json!([{"id": 2, "last_name": "Bob"}])).created();
    let log = server.admin().get("/audit-log?filter[resource]=contact&sort=id").ok();
    let rows = log["data"].as_array().unwrap();
    assert_eq!(
        picked(rows, &["action", "resource_id"]),
        json!([["contact.created", 1], ["contact.created", 2], ["contact.updated", 2]])
    );
    assert_eq!(rows[2]["changes"]["last_name"], json!(["Bo", "Bob"]));
    assert_eq!(rows[0]["actor"]["type"], "user");
}

/// Texts of people and programs that CSV, JSON and spreadsheets treat specially.
fn text() -> impl Strategy<Value = Value> {
    let odd = prop::sample::select(vec![
        "", "'", "''=x", "=1+1", "+33 1", "-", "@", "\t", "\r\n", "\"", ";", ",", "#", "é", "\u{feff}", " ", "null",
        "0", "a",
    ]);
    let texts = prop::collection::vec(odd, 0..4).prop_map(|parts| json!(parts.concat()));
    prop_oneof![1 => Just(Value::Null), 4 => texts]
}

fn custom_fields() -> impl Strategy<Value = Value> {
    let values = prop_oneof![text(), any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)];
    prop::collection::btree_map("[a-z='\"]{1,3}", values, 0..3).prop_map(|fields| json!(fields))
}

/// A customer, one contact and one call of the contact.
fn rows() -> impl Strategy<Value = [Value; 3]> {
    (text(), text(), text(), custom_fields(), any::<bool>()).prop_map(|(a, b, c, fields, flag)| {
        let name = format!("Name{}", a.as_str().unwrap_or_default());
        [
            json!({"name": name, "comment": b, "fax": c, "vip": flag, "custom_fields": fields}),
            json!({"last_name": name, "company": b, "role": c, "comment": a, "custom_fields": fields}),
            json!({"direction": "inbound", "answered": flag, "subject": a, "summary": b, "number_from": c}),
        ]
    })
}

const RESOURCES: [&str; 3] = ["/customers", "/contacts", "/phone-calls"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_an_export_writes_the_import_reads_back_to_the_same_rows(all in prop::collection::vec(rows(), 1..4)) {
        let server = TestServer::new();
        for (number, rows) in all.into_iter().enumerate() {
            for (path, mut row) in RESOURCES.iter().zip(rows) {
                if *path == "/contacts" { row["customer_id"] = json!(number + 1); }
                if *path == "/phone-calls" { row["contact_id"] = json!(number + 1); }
                server.admin().post(path, row).created();
            }
        }
        // A moved contact leaves its calls behind. A deleted row leaves a gap.
        server.admin().put("/contacts/1", json!({"customer_id": null})).created();
        server.admin().post("/contacts", json!({"last_name": "Gone"})).created();
        let exports = |client: &TestClient<'_>, format: &str| RESOURCES.map(|path| client.get(&format!("{path}/export?format={format}")).text);
        let (json, csv) = (exports(&server.admin(), "json"), exports(&server.admin(), "csv"));
        for format in ["json", "csv"] {
            let empty = TestServer::new();
            for (path, (json, csv)) in RESOURCES.iter().zip(json.iter().zip(&csv)) {
                let path = format!("{path}/import");
                let answer = match format {
                    "json" => empty.admin().post(&path, serde_json::from_str(json).unwrap()),
                    _ => empty.admin().post_csv(&path, csv.as_str()),
                };
                answer.created();
            }
            prop_assert_eq!(exports(&empty.admin(), "json"), json.clone());
            prop_assert_eq!(exports(&empty.admin(), "csv"), csv.clone());
        }
    }
}

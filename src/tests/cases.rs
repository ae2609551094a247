//! Runs the tables in `tests/cases` against the API. Anyone can add a row there.

use std::path::{Path, PathBuf};

use form_urlencoded::byte_serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::tests::{TestClient, TestServer};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

fn table<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let rows: Result<Vec<T>, _> = csv::Reader::from_path(path(name)).unwrap().deserialize().collect();
    rows.unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn total(client: &TestClient<'_>, query: &str) -> i64 {
    client.get(query).ok()["total"].as_i64().unwrap()
}

/// Fails with all wrong cases at once.
fn none_of(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn numbers_are_found_as_the_table_says() {
    let server = TestServer::new();
    let (admin, pbx) = (server.admin(), server.key(&["crm.lookup"], None));
    let mut wrong = Vec::new();
    for row in table::<[String; 5]>("numbers.csv") {
        let [country, stored, asked, crm, filter] = &row;
        admin.put("/settings", json!({"default_country": country})).created();
        let contact = json!({"last_name": "B", "phone_mobile_2": stored});
        let id = admin.post("/contacts", contact).created()["id"].to_string();
        let found = pbx.get(&format!("/crm/lookup/contacts/search?phone={}", encoded(asked))).ok();
        let by_filter = total(&admin, &format!("/contacts?filter[phone]={}", encoded(asked)));
        let is = |yes: bool| if yes { "yes" } else { "no" };
        if (is(found["contacts"][0]["id"] == id.as_str()), is(by_filter == 1)) != (crm.as_str(), filter.as_str()) {
            wrong.push(format!("{row:?}: {} {by_filter}", found["contacts"][0]["id"]));
        }
        admin.delete(&format!("/contacts/{id}")).ok();
    }
    none_of(wrong);
}

#[test]
fn texts_are_found_as_the_table_says() {
    let server = TestServer::new();
    let admin = server.admin();
    let mut wrong = Vec::new();
    for row in table::<[String; 4]>("text.csv") {
        let [stored, asked, filter, term] = &row;
        let id = admin.post("/contacts", json!({"last_name": stored})).created()["id"].to_string();
        let found = |filter: &str| total(&admin, &format!("/contacts?filter[{filter}]={}", encoded(asked))) == 1;
        let is = |yes: bool| if yes { "yes" } else { "no" };
        if (is(found("last_name")), is(found("term"))) != (filter.as_str(), term.as_str()) {
            wrong.push(format!("{row:?}"));
        }
        admin.delete(&format!("/contacts/{id}")).ok();
    }
    none_of(wrong);
}

#[test]
fn names_are_sorted_as_the_file_has_them() {
    let server = TestServer::new();
    let admin = server.admin();
    let text = std::fs::read_to_string(path("sorted.txt")).unwrap();
    let sorted: Vec<&str> = text.lines().collect();
    for name in sorted.iter().rev() {
        admin.post("/contacts", json!({"last_name": name, "first_name": name})).created();
        admin.post("/customers", json!({"name": name})).created();
    }
    for (path, field) in [("/contacts", "last_name"), ("/contacts", "first_name"), ("/customers", "name")] {
        let listed = admin.get(&format!("{path}?sort={field}&per_page=100")).ok();
        let names: Vec<&str> =
            listed["data"].as_array().unwrap().iter().map(|row| row[field].as_str().unwrap()).collect();
        assert_eq!(names, sorted, "{path}");
    }
}

/// True if a value contains everything that is expected. More fields are fine.
fn has(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields.iter().all(|(name, value)| has(&found[name], value)),
        Value::Array(items) => found.as_array().is_some_and(|found| {
            found.len() == items.len() && items.iter().zip(found).all(|(item, found)| has(found, item))
        }),
        value => found == value,
    }
}

#[test]
fn files_are_imported_as_the_table_says() {
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path("files.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let server = TestServer::new();
        let (file, resource) = (case["file"].as_str().unwrap(), case["import"].as_str().unwrap());
        let text = std::fs::read(path("files").join(file)).unwrap();
        let answer = server.admin().post_csv(&format!("{resource}/import"), text);
        let rows = server.admin().get(&format!("{resource}/export")).ok();
        let is_status = json!(answer.status.as_u16()) == case["status"];
        if !(is_status && has(&answer.json(), &case["answer"]) && has(&rows, &case["rows"])) {
            wrong.push(format!("{file}: {} {rows}", answer.text));
        }
    }
    none_of(wrong);
}

/// Covers the changes that Excel makes to an export: delimiter, encoding, and localized true and false.
#[test]
fn an_export_that_a_french_excel_has_saved_comes_back() {
    let server = TestServer::new();
    for n in 0..3 {
        let customer = json!({"name": format!("Café {n}"), "vip": n == 1, "phone": "+33 1 42 00 00 00", "comment": "a; \"b\"\n=c"});
        server.admin().post("/customers", customer).created();
    }
    let exported = server.admin().get("/customers/export?format=csv").text;
    let mut saved = csv::WriterBuilder::new().delimiter(b';').terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(exported.trim_start_matches('\u{feff}').as_bytes())
        .records()
    {
        let french = |cell: &str| match cell {
            "true" => "VRAI".to_owned(),
            "false" => "FAUX".to_owned(),
            other => other.to_owned(),
        };
        saved.write_record(row.unwrap().iter().map(french).chain([String::new()])).unwrap();
    }
    let saved = String::from_utf8(saved.into_inner().unwrap()).unwrap() + ";;;\r\n";
    let (saved, ..) = encoding_rs::WINDOWS_1252.encode(&saved);
    let empty = TestServer::new();
    let answer = empty.admin().post_csv("/customers/import", saved.into_owned()).created();
    assert_eq!(
        answer,
        json!({"response": "ok", "created": 3, "updated": 0, "encoding": "Windows-1252", "ignored_columns": []})
    );
    assert_eq!(empty.admin().get("/customers/export?format=csv").text, exported);
}

#[test]
fn addresses_are_accepted_as_the_table_says() {
    let server = TestServer::new();
    let admin = server.admin();
    let mut wrong = Vec::new();
    for row in table::<[String; 2]>("emails.csv") {
        let [email, accepted] = &row;
        let answer = admin.post("/contacts", json!({"last_name": "B", "email": email}));
        let expected = if accepted == "yes" { 201 } else { 400 };
        if answer.status.as_u16() != expected || accepted == "yes" && answer.json()["email"] != email.as_str() {
            wrong.push(format!("{row:?}: {}", answer.text));
        }
    }
    none_of(wrong);
}

/// An address stays the same, however its domain is spelled.
#[test]
fn an_address_is_one_in_every_spelling_of_its_domain() {
    let server = TestServer::new();
    let (admin, pbx) = (server.admin(), server.key(&["crm.lookup"], None));
    let spellings = ["bob@münchen.example", "bob@xn--mnchen-3ya.example"];
    for stored in spellings {
        let id = admin.post("/contacts", json!({"last_name": "B", "email": stored})).created()["id"].to_string();
        for asked in spellings {
            let found = pbx.get(&format!("/crm/lookup/contacts/search?email={}", encoded(asked))).ok();
            assert_eq!(found["contacts"][0]["id"], id.as_str(), "{stored} {asked}");
        }
        admin.delete(&format!("/contacts/{id}")).ok();
    }
    let register = |email: &str| {
        server
            .anonymous()
            .at("localhost")
            .post("/register", json!({"name": "Bob", "email": email, "password": "a long enough one"}))
    };
    register(spellings[0]).created();
    register(spellings[1]).rejected(422, "email_taken");
}

#[test]
fn a_plus_that_is_not_encoded_is_one_in_addresses_numbers_and_moments() {
    let server = TestServer::new();
    let (admin, pbx) = (server.admin(), server.key(&["crm.lookup"], None));
    let contact =
        json!({"last_name": "Dupont Durand", "email": "zoe+crm@example.com", "phone_fax": null, "fax": "0142000017"});
    admin.post("/contacts", contact).created();
    for query in [
        "email=zoe+crm@example.com",
        "email=zoe%2Bcrm@example.com",
        "email=zoe+crm%40example.com",
        "phone=+33142000017",
        "phone=+33+1+42+00+00+17",
        "phone=sip:+33142000017@10.0.0.1",
    ] {
        assert_eq!(pbx.get(&format!("/crm/lookup/contacts/search?{query}")).ok()["contacts"][0]["id"], "1", "{query}");
    }
    for (query, many) in [
        ("filter[email]=zoe+crm@example.com", 1),
        ("filter[phone]=+33142000017", 1),
        ("filter[term]=dupont+durand", 1),
        ("filter[term]=dupont+zoe+crm@example.com", 1),
        ("filter[last_name]=dupont+durand", 1),
        ("filter[created_at][gte]=2020-01-01T00:00:00+02:00", 1),
        ("filter[created_at][gte]=2020-01-01+00:00:00+02:00", 1),
        ("filter[created_at][lte]=2020-01-01T00:00:00+02:00", 0),
    ] {
        assert_eq!(total(&admin, &format!("/contacts?{query}")), many, "{query}");
    }
}

#[test]
fn requests_as_real_clients_send_them_are_answered_as_the_table_says() {
    let text = std::fs::read_to_string(path("requests.json")).unwrap();
    let scenarios: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    for scenario in scenarios {
        let server = TestServer::new();
        for step in scenario["steps"].as_array().unwrap() {
            let (method, target) = step[0].as_str().unwrap().split_once(' ').unwrap();
            // As written in the table, except for characters that no client can send.
            let target = target.replace(' ', "%20").replace('\\', "%5C");
            let body = Some(step[1].clone()).filter(|body| !body.is_null());
            let answer = server.admin().send(method.parse().unwrap(), &target, body);
            if Some(u64::from(answer.status.as_u16())) != step[2].as_u64() || !has(&answer.json(), &step[3]) {
                wrong.push(format!("{step}: {} {}", answer.status, answer.text));
            }
        }
    }
    none_of(wrong);
}

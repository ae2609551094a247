//! The tables in `tests/cases`, read and held against the API: anyone adds a row there.

use std::path::{Path, PathBuf};

use form_urlencoded::byte_serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::testing::{Bench, Client};

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

fn total(client: &Client<'_>, query: &str) -> i64 {
    client.get(query).ok()["total"].as_i64().unwrap()
}

/// What a case got wrong, all of them at once.
fn none_of(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn numbers_are_found_as_the_table_says() {
    let bench = Bench::new();
    let (admin, pbx) = (bench.admin(), bench.key(&["crm.lookup"], None));
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
    let bench = Bench::new();
    let admin = bench.admin();
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
    let bench = Bench::new();
    let admin = bench.admin();
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

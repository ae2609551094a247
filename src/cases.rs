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

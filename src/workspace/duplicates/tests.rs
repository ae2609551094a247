use std::collections::BTreeSet;

use proptest::collection;
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use super::*;
use crate::tests::{TestClient, TestServer};
use crate::workspace::contacts::Contact;
use crate::workspace::customers::Customer;

/// The pairs of a page: both ids and the reasons.
fn pairs(page: &Value) -> Vec<(i64, i64, String)> {
    let id = |record: &Value| record["id"].as_i64().unwrap();
    let reasons = |pair: &Value| {
        let reasons = pair["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap());
        reasons.collect::<Vec<_>>().join(" ")
    };
    let pairs = page["pairs"].as_array().unwrap();
    pairs.iter().map(|pair| (id(&pair["a"]), id(&pair["b"]), reasons(pair))).collect()
}

fn found(client: &TestClient<'_>, path: &str) -> Vec<(i64, i64, String)> {
    pairs(&client.get(path).ok())
}

/// The pairs of all pages.
fn all(client: &TestClient<'_>, path: &str, limit: usize) -> Vec<(i64, i64, String)> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?limit={limit}&cursor={cursor}")).ok();
        all.extend(pairs(&page));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return all,
        }
    }
}

fn pair(a: i64, b: i64, reasons: &str) -> (i64, i64, String) {
    (a, b, reasons.to_owned())
}

fn contact(client: &TestClient<'_>, fields: Value) -> i64 {
    let mut body = json!({"last_name": "Nobody"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    client.post("/contacts", body).created()["id"].as_i64().unwrap()
}

#[test]
fn contacts_with_the_same_number_address_or_name_are_pairs_the_surest_first() {
    let server = TestServer::new();
    let admin = server.admin();
    for fields in [
        json!({"last_name": "Lefèvre", "first_name": "Zoé", "company": "Acme"}),
        json!({"last_name": "LEFEVRE", "first_name": "zoe", "company": "ACME"}),
        json!({"last_name": "A", "email": "Zoe@example.com"}),
        json!({"last_name": "B", "email": "zoe@EXAMPLE.com", "phone_mobile_1": "06 12 34 56 78"}),
        json!({"last_name": "C", "fax": "+33 6 12 34 56 78"}),
        // The same extension, company or last name alone are not the same person.
        json!({"last_name": "D", "phone_business_1": "204", "company": "Acme"}),
        json!({"last_name": "Lefèvre", "phone_business_1": "204", "company": "Acme"}),
    ] {
        contact(&admin, fields);
    }
    let expected = [pair(4, 5, "phone"), pair(3, 4, "email"), pair(1, 2, "name")];
    assert_eq!(found(&admin, "/contacts/duplicates"), expected);
    assert_eq!(all(&admin, "/contacts/duplicates", 1), expected);
    assert_eq!(found(&admin, "/contacts/duplicates?of=4"), [pair(4, 5, "phone"), pair(3, 4, "email")]);
    assert_eq!(found(&admin, "/contacts/duplicates?of=6"), []);
    admin.get("/contacts/duplicates?of=99").invalid(&["The selected of is invalid."]);
    admin.get("/contacts/duplicates?limit=101").invalid(&["The limit must be between 1 and 100."]);
    admin.get("/contacts/duplicates?cursor=x").invalid(&["The cursor does not belong to this list."]);

    contact(
        &admin,
        json!({"last_name": "lefèvre", "first_name": "Zoé", "company": "Acme", "fax": "0612345678", "email": "zoe@example.com"}),
    );
    let first = &found(&admin, "/contacts/duplicates")[0];
    assert_eq!(*first, pair(4, 8, "phone email"));
}

#[test]
fn customers_with_the_same_number_address_or_name_are_pairs() {
    let server = TestServer::new();
    let admin = server.admin();
    for fields in [
        json!({"name": "Électricité Lefèvre"}),
        json!({"name": "electricite lefevre", "email_address": "a@example.com"}),
        json!({"name": "C", "email_address": "A@example.com", "phone": "01 42 00 00 00"}),
        json!({"name": "D", "mobile_phone": "+33142000000"}),
    ] {
        admin.post("/customers", fields).created();
    }
    let expected = [pair(3, 4, "phone"), pair(2, 3, "email"), pair(1, 2, "name")];
    assert_eq!(found(&admin, "/customers/duplicates"), expected);
    // Whoever is bound to a customer learns of no other one.
    assert_eq!(all(&server.key(&["customer.view"], Some(3)), "/customers/duplicates", 1), []);
}

#[test]
fn a_number_that_many_share_gives_few_pairs_and_hides_no_surer_ones() {
    let server = TestServer::new();
    let admin = server.admin();
    for n in 0..60 {
        contact(&admin, json!({"last_name": format!("Agent {n}"), "phone_business_1": "01 42 00 00 00"}));
    }
    let same = json!({"phone_business_1": "01 42 00 00 00", "email": "zoe@example.com"});
    let (a, b) = (contact(&admin, same.clone()), contact(&admin, same));
    let page = admin.get("/contacts/duplicates?limit=100").ok();
    let numbers = pairs(&page).into_iter().filter(|(.., reasons)| reasons == "phone").count();
    assert_eq!((numbers, &page["next_cursor"]), (MOST_OF_ONE_VALUE, &Value::Null));
    assert_eq!(pairs(&page)[0], pair(a, b, "phone email name"));
    assert_eq!(page["pairs"].as_array().unwrap().last().unwrap()["shared_by"], MOST_RECORDS);
    // What is dismissed makes room for others.
    for (a, b, _) in pairs(&page).into_iter().skip(1) {
        admin.post("/contacts/duplicates/dismiss", json!({"a": a, "b": b})).ok();
    }
    let others = found(&admin, "/contacts/duplicates?limit=100");
    assert_eq!(others.len(), MOST_OF_ONE_VALUE + 1);
    assert!(others[1..].iter().all(|pair| !pairs(&page).contains(pair)));
}

#[test]
fn a_dismissed_pair_does_not_return_until_it_is_restored() {
    let server = TestServer::new();
    let admin = server.admin();
    for _ in 0..3 {
        contact(&admin, json!({"fax": "01 42 00 00 00"}));
    }
    let seen = || found(&admin, "/contacts/duplicates").into_iter().map(|(a, b, _)| (a, b)).collect::<Vec<_>>();
    for body in [json!({"a": 3, "b": 1}), json!({"a": 1, "b": 3})] {
        assert_eq!(admin.post("/contacts/duplicates/dismiss", body).ok(), json!({"response": "ok"}));
    }
    assert_eq!(seen(), [(1, 2), (2, 3)]);
    assert_eq!(found(&admin, "/contacts/duplicates?of=3"), [pair(2, 3, "phone name")]);
    for path in ["/contacts/duplicates?dismissed=1", "/contacts/duplicates?dismissed=1&of=3"] {
        assert_eq!(found(&admin, path).iter().map(|(a, b, _)| (*a, *b)).collect::<Vec<_>>(), [(1, 3)], "{path}");
    }
    let entries = || admin.get("/audit-log?filter[resource]=contact-dismissal&sort=id").ok()["data"].clone();
    assert_eq!(entries().as_array().unwrap().len(), 1);
    assert_eq!(entries()[0]["changes"], json!({"a": [null, 1], "b": [null, 3]}));
    // Whoever merges one of them does not see the pair again.
    contact(&admin, json!({"last_name": "Other", "email": "a@example.com"}));
    admin.post("/contacts/4/merge", json!({"with": 1})).created();
    assert_eq!(seen(), [(2, 3), (2, 4)]);
    for body in [json!({"a": 4, "b": 3}), json!({"a": 3, "b": 4})] {
        admin.post("/contacts/duplicates/restore", body).ok();
    }
    assert_eq!(entries().as_array().unwrap().len(), 2);
    assert_eq!(seen().len(), 3);
}

#[test]
fn only_two_records_that_the_caller_sees_are_dismissed() {
    let server = TestServer::new();
    let admin = server.admin();
    for name in ["A", "B"] {
        admin.post("/customers", json!({"name": name})).created();
    }
    for customer in [1, 1, 2] {
        contact(&admin, json!({"customer_id": customer, "fax": "01 42 00 00 00"}));
    }
    let bound = server.key(&["contact.*"], Some(1));
    assert_eq!(all(&bound, "/contacts/duplicates", 1), [pair(1, 2, "phone name")]);
    assert_eq!(found(&bound, "/contacts/duplicates?of=1"), [pair(1, 2, "phone name")]);
    bound.get("/contacts/duplicates?of=3").invalid(&["The selected of is invalid."]);
    for (body, said) in [
        (json!({"a": 1, "b": 3}), &["The selected b is invalid."][..]),
        (json!({"a": 9, "b": 3}), &["The selected a is invalid.", "The selected b is invalid."]),
        (json!({"a": 1, "b": 1}), &["The a and b must be different."]),
        (json!({}), &["The a field is required.", "The b field is required."]),
    ] {
        bound.post("/contacts/duplicates/dismiss", body.clone()).invalid(said);
        bound.post("/contacts/duplicates/restore", body).invalid(said);
    }
    admin.post("/contacts/duplicates/dismiss", json!({"a": 1, "b": 3})).ok();
    assert_eq!(found(&bound, "/contacts/duplicates?dismissed=1"), []);
    server
        .with_only(&["contact.view"])
        .post("/contacts/duplicates/dismiss", json!({"a": 1, "b": 2}))
        .rejected(403, "missing_permission");
    // What is deleted is not remembered.
    admin.delete("/contacts/3").ok();
    let left: i64 =
        server.in_file(|db| Ok(db.query_row("SELECT count(*) FROM dismissed_contact_pairs", [], |row| row.get(0))?));
    assert_eq!(left, 0);
}

/// The steps of a statement.
fn plan(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let blank = vec![rusqlite::types::Value::Null; statement.parameter_count()];
    let rows = statement.query_map(rusqlite::params_from_iter(blank), |row| row.get(3)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn check_plans<T: Duplicated>(db: &Connection) {
    for criterion in T::CRITERIA {
        let in_order = plan(db, &criterion.in_order());
        assert!(in_order.len() == 1 && in_order[0].contains("USING COVERING INDEX"), "{in_order:?}");
        assert!(in_order[0].starts_with("SEARCH"), "{in_order:?}");
        for sql in [criterion.others(), criterion.shared(), criterion.count()] {
            let others = plan(db, &sql);
            let scans = |step: &String| step.starts_with("SCAN") && !step.contains("subquery");
            assert!(!others.iter().any(scans), "{sql}: {others:?}");
        }
    }
    let dismissed = format!("SELECT a, b FROM {} WHERE (a, b) > (?1, ?2) ORDER BY a, b LIMIT ?3", T::DISMISSED);
    let dismissed = plan(db, &dismissed);
    assert!(dismissed.len() == 1 && dismissed[0].starts_with("SEARCH"), "{dismissed:?}");
}

#[test]
fn every_search_uses_an_index_in_its_order() {
    let server = TestServer::new();
    server.in_file(|db| {
        check_plans::<Contact>(db);
        check_plans::<Customer>(db);
        Ok(())
    });
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    /// Pages of any size list each pair of few records once, and nothing else.
    #[test]
    fn the_pages_are_all_pairs(
        rows in collection::vec((0..6_usize, 0..4_usize, 0..3_usize), 2..14),
        limit in 1..5_usize,
    ) {
        let server = TestServer::new();
        let admin = server.admin();
        let numbers = [None, Some("01 42 00 00 00"), Some("+33142000000"), Some("06 12 34 56 78"), Some("204"), Some("x")];
        let emails = [None, Some("a@example.com"), Some("A@example.com"), Some("b@example.com")];
        let names = ["Ann", "ann", "Bob"];
        for (number, email, name) in &rows {
            contact(&admin, json!({"last_name": names[*name], "email": emails[*email], "fax": numbers[*number]}));
        }
        let same = |a: &(usize, usize, usize), b: &(usize, usize, usize)| {
            let number = |n: usize| [0, 1, 1, 2, 0, 0][n];
            let email = |n: usize| [0, 1, 1, 2][n];
            let mut reasons = Vec::new();
            if number(a.0) > 0 && number(a.0) == number(b.0) {
                reasons.push("phone");
            }
            if email(a.1) > 0 && email(a.1) == email(b.1) {
                reasons.push("email");
            }
            if names[a.2].eq_ignore_ascii_case(names[b.2]) {
                reasons.push("name");
            }
            reasons.join(" ")
        };
        let mut expected = BTreeSet::new();
        for (a, one) in rows.iter().enumerate() {
            for (b, other) in rows.iter().enumerate().skip(a + 1) {
                let reasons = same(one, other);
                if !reasons.is_empty() {
                    expected.insert((i64::try_from(a).unwrap() + 1, i64::try_from(b).unwrap() + 1, reasons));
                }
            }
        }
        let listed = all(&admin, "/contacts/duplicates", limit);
        let seen: BTreeSet<_> = listed.iter().cloned().collect();
        prop_assert!(seen.is_subset(&expected), "{:?} {:?}", seen, expected);
        let size = |pair: &(i64, i64, String)| {
            let of = |keys: &dyn Fn(&(usize, usize, usize)) -> usize, at: i64| {
                let own = keys(&rows[usize::try_from(at).unwrap() - 1]);
                rows.iter().filter(|row| keys(row) == own).count()
            };
            let number = |row: &(usize, usize, usize)| [0, 1, 1, 2, 0, 0][row.0];
            let email = |row: &(usize, usize, usize)| [0, 1, 1, 2][row.1];
            let name = |row: &(usize, usize, usize)| row.2 / 2;
            match pair.2.split(' ').next().unwrap() {
                "phone" => of(&number, pair.0),
                "email" => of(&email, pair.0),
                _ => of(&name, pair.0),
            }
        };
        for pair in &expected {
            if i64::try_from(size(pair)).unwrap() <= FEW_RECORDS {
                let times = listed.iter().filter(|listed| *listed == pair).count();
                prop_assert_eq!(times, 1, "{:?} in {:?}", pair, listed);
            }
        }
    }
}

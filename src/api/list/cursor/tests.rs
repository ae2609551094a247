use std::sync::OnceLock;

use crate::workspace::contacts::Contact;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::{option, sample};
use rusqlite::{StatementStatus, params};
use serde_json::json;

use super::*;
use crate::tests::TestServer;
use crate::workspace::customers::Customer;

/// Reads all pages and returns the ids on each. Calls `between` after each page.
fn walk(server: &TestServer, list: &str, from: Value, way: &str, mut between: impl FnMut()) -> Walked {
    let mut walked = Walked { pages: Vec::new(), last: json!({"prev_cursor": null, "next_cursor": null}) };
    let mut cursor = from;
    while let Some(from) = cursor.as_str() {
        walked.last = server.admin().get(&format!("{list}&cursor={from}")).ok();
        walked.pages.push(ids(&walked.last));
        between();
        cursor = walked.last[way].clone();
    }
    walked
}

struct Walked {
    pages: Vec<Vec<i64>>,
    last: Value,
}

fn ids(page: &Value) -> Vec<i64> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// A row with few distinct values, so that many rows tie.
type CursorRow = (Option<u8>, u8, Option<u8>, i64);

fn row() -> impl Strategy<Value = CursorRow> {
    (option::of(0..3u8), 0..3u8, option::of(0..2u8), 0..3i64)
}

fn add(server: &TestServer, row: CursorRow) -> i64 {
    let name = |n: u8| ["zoé", "Ada", "ada"][usize::from(n)];
    server.in_file(move |db| {
        let (first, last, company, created) = row;
        Ok(db
            .prepare(
                "INSERT INTO contacts (first_name, last_name, company, custom_fields, created_at, updated_at)
                     VALUES (?1, ?2, ?3, '{}', ?4, 0)",
            )?
            .insert(params![first.map(name), name(last), company.map(name), created])?)
    })
}

fn sort() -> impl Strategy<Value = String> {
    let key = (any::<bool>(), sample::select(vec!["id", "first_name", "last_name", "company", "created_at"]));
    let keys = vec(key.prop_map(|(down, name)| format!("{}{name}", if down { "-" } else { "" })), 0..4);
    keys.prop_map(|keys| keys.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Rows are added and deleted between two pages. A row that is there from beginning to end is seen once, in
    /// order, in both directions. If nothing changes, the pages equal those by number, in both directions.
    #[test]
    fn a_walk_misses_nothing_and_sees_nothing_twice(
        before in vec(row(), 0..14),
        between in vec(vec((any::<sample::Index>(), option::of(row())), 0..3), 0..12),
        sort in sort(),
        per_page in 1..4usize,
    ) {
        let server = shared();
        server.in_file(|db| Ok(db.execute("DELETE FROM contacts", [])?));
        let mut there: Vec<i64> = before.into_iter().map(|row| add(server, row)).collect();
        let mut stays = there.clone();
        let mut changes = between.into_iter();
        let mut change = || {
            for (which, new) in changes.next().into_iter().flatten() {
                match new {
                    Some(row) => there.push(add(server, row)),
                    None if there.is_empty() => {}
                    None => {
                        let id = there.swap_remove(which.index(there.len()));
                        stays.retain(|kept| *kept != id);
                        server.in_file(move |db| Ok(db.execute("DELETE FROM contacts WHERE id = ?1", [id])?));
                    }
                }
            }
        };
        let list = format!("/contacts?sort={sort}&per_page={per_page}");
        let forth = walk(server, &list, json!(""), "next_cursor", &mut change);
        let back = walk(server, &list, forth.last["prev_cursor"].clone(), "prev_cursor", &mut change);

        let numbered = ids(&server.admin().get(&format!("/contacts?sort={sort}&per_page=500")).ok());
        let in_order: Vec<i64> = numbered.iter().copied().filter(|id| stays.contains(id)).collect();
        let seen_back: Vec<i64> = back.pages.iter().rev().chain(forth.pages.last()).flatten().copied().collect();
        for seen in [forth.pages.concat(), seen_back] {
            let of_those: Vec<i64> = seen.iter().copied().filter(|id| stays.contains(id)).collect();
            prop_assert_eq!(&of_those, &in_order);
            let mut once = seen.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), seen.len());
        }

        let expected: Vec<Vec<i64>> = numbered.chunks(per_page).map(<[i64]>::to_vec).collect();
        let forth = walk(server, &list, json!(""), "next_cursor", || {});
        prop_assert_eq!(forth.pages.concat(), numbered);
        let mut back = walk(server, &list, forth.last["prev_cursor"].clone(), "prev_cursor", || {}).pages;
        back.reverse();
        back.extend(forth.pages.last().cloned());
        prop_assert_eq!(&back, &forth.pages);
        prop_assert!(expected.is_empty() || expected == back);
    }
}

/// Shared by all cases, because creating it takes longer than a case.
fn shared() -> &'static TestServer {
    static BENCH: OnceLock<TestServer> = OnceLock::new();
    BENCH.get_or_init(TestServer::new)
}

#[test]
fn a_page_by_cursor_says_where_it_goes_on_and_counts_nothing() {
    let server = TestServer::new();
    for name in ["C", "a", "B"] {
        server.admin().post("/customers", json!({"name": name, "vip": true})).created();
    }
    let first = server.admin().get("/customers?filter[vip]=1&sort=name&per_page=2&page=7&cursor=").ok();
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["data", "per_page", "next_cursor", "prev_cursor", "next_page_url"]);
    assert_eq!((ids(&first), &first["prev_cursor"], &first["per_page"]), (vec![2, 3], &Value::Null, &json!(2)));
    let url = first["next_page_url"].as_str().unwrap();
    let (_, query) = url.split_once("/api").unwrap();
    assert_eq!(
        query.split_once("&cursor=").unwrap(),
        ("/customers?filter%5Bvip%5D=1&sort=name&per_page=2", first["next_cursor"].as_str().unwrap())
    );
    let last = server.admin().get(query).ok();
    assert_eq!((ids(&last), &last["next_cursor"], &last["next_page_url"]), (vec![1], &Value::Null, &Value::Null));
    let again = server.admin().get(&format!("{query}&cursor={}", last["prev_cursor"].as_str().unwrap())).ok();
    assert_eq!(again["data"], first["data"]);
    let counted = server.admin().get("/customers?with=contacts_count&cursor=&per_page=1").ok();
    assert_eq!((&counted["data"][0]["contacts_count"], ids(&counted)), (&json!(0), vec![1]));
}

#[test]
fn who_comes_to_an_end_that_has_gone_finds_the_way_back() {
    let server = TestServer::new();
    for name in ["A", "B", "C"] {
        server.admin().post("/customers", json!({"name": name})).created();
    }
    let get =
        |cursor: &Value| server.admin().get(&format!("/customers?per_page=1&cursor={}", cursor.as_str().unwrap())).ok();
    let second = get(&get(&json!(""))["next_cursor"]);
    assert_eq!(ids(&second), [2]);
    server.admin().delete_with("/customers/bulk", json!({"ids": [1, 3]})).ok();
    for (out, home) in [("next_cursor", "prev_cursor"), ("prev_cursor", "next_cursor")] {
        let beyond = get(&second[out]);
        assert_eq!((ids(&beyond), &beyond[out]), (vec![], &Value::Null));
        assert_eq!(ids(&get(&beyond[home])), [2]);
    }
}

#[test]
fn a_cursor_of_another_list_or_none_at_all_is_refused() {
    let server = TestServer::new();
    for name in ["A", "B"] {
        server.admin().post("/customers", json!({"name": name})).created();
    }
    let by_name = server.admin().get("/customers?sort=name&per_page=1&cursor=").ok();
    let by_name = by_name["next_cursor"].as_str().unwrap();
    let forged = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let keys = |keys: Value| forged(json!({"sort": "name", "keys": keys, "back": false, "including": false}));
    let bad = [
        "x".into(),
        "%00".into(),
        "e30".into(),
        forged(json!([])),
        keys(json!(["A"])),
        keys(json!(["A", [1]])),
        keys(json!([true, 1])),
    ];
    for cursor in bad {
        let answer = server.admin().get(&format!("/customers?sort=name&cursor={cursor}"));
        answer.invalid(&["The cursor does not belong to this list."]);
    }
    for sort in ["", "sort=-name", "sort=name,-id", "sort=customer_account"] {
        let answer = server.admin().get(&format!("/customers?{sort}&cursor={by_name}"));
        answer.invalid(&["The cursor does not belong to this list."]);
    }
    // Values of other types are compared as SQLite compares them, and none is executed as SQL.
    for strange in [json!([1.5, "x"]), json!([null, null]), json!(["' OR 1 --", 9e300])] {
        server.admin().get(&format!("/customers?sort=name&cursor={}", keys(strange))).ok();
    }
}

#[test]
fn lists_inside_another_and_lists_by_uuid_have_them_too_and_who_is_bound_stays_so() {
    let server = TestServer::new();
    for name in ["A", "B", "A"] {
        let id = server.admin().post("/customers", json!({"name": name})).created()["id"].clone();
        for n in 0..3 {
            let contact = json!({"last_name": format!("{n}"), "customer_id": id});
            server.admin().post("/contacts", contact).created();
        }
    }
    let list = "/customers/2/contacts?sort=-last_name&per_page=2";
    assert_eq!(walk(&server, list, json!(""), "next_cursor", || {}).pages, [vec![6, 5], vec![4]]);
    let bound = server.key(&["*"], Some(2));
    let first = bound.get("/contacts?per_page=1&cursor=").ok();
    let other = server.admin().get("/contacts?per_page=1&cursor=").ok();
    assert_eq!((ids(&first), ids(&other)), (vec![4], vec![1]));
    let next = bound.get(&format!("/contacts?cursor={}", other["next_cursor"].as_str().unwrap())).ok();
    assert_eq!(ids(&next), [4, 5, 6]);

    let first = server.central().get("/workspaces?per_page=1&sort=created_at&cursor=").ok();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server.central().get(&format!("/workspaces?per_page=1&sort=created_at&cursor={cursor}")).ok();
    assert_eq!((&first["data"][0]["subdomain"], &second["data"][0]["subdomain"]), (&json!("acme"), &json!("other")));
    assert_eq!(second["next_cursor"], Value::Null);
}

/// SQLite's counters show no scan, no sort and few steps.
#[test]
fn a_page_is_sought_and_neither_scanned_for_nor_sorted() {
    let server = TestServer::new();
    server.in_file(|db| {
        db.execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                 INSERT INTO customers (customer_account, name, active, vip, custom_fields, created_at, updated_at)
                 SELECT i, iif(i < 1000, 'Ada', 'Name ' || i), 1, 0, '{}', 0, 0 FROM n;
                 UPDATE customers SET folded_name = fold(name)",
        )?;
        Ok(())
    });
    for (sort, keys) in [
        ("", vec![json!(1500)]),
        ("-id", vec![json!(1500)]),
        ("name", vec![json!("ada"), json!(500)]),
        ("name", vec![json!("name 2000"), json!(2000)]),
        ("-name", vec![json!("ada"), json!(500)]),
        ("-name", vec![json!("name 2000"), json!(2000)]),
    ] {
        for back in [false, true] {
            let order = List::<Customer>::parse(&format!("sort={sort}"), &jiff::tz::TimeZone::UTC).unwrap().order(back);
            let cursor = Cursor { sort: sort.into(), keys: keys.clone(), back, including: false };
            let (rows, steps) = server.in_file(move |db| {
                let (mut rows, mut steps) = (0, 0);
                for range in ranges(&order, &cursor) {
                    let mut statement = db.prepare(&select::<Customer>(None, &[], &range, &order))?;
                    let bound = range.bound.iter().cloned().chain([Sql::Integer(20)]);
                    rows += statement.query_map(params_from_iter(bound), |_| Ok(()))?.count();
                    let wasted = [StatementStatus::FullscanStep, StatementStatus::Sort];
                    let wasted = wasted.map(|status| statement.get_status(status));
                    assert_eq!(wasted, [0, 0], "{}", range.conditions.join(" AND "));
                    steps += statement.get_status(StatementStatus::VmStep);
                }
                Ok((rows, steps))
            });
            assert!(rows >= 20, "{sort} {rows}");
            assert!(steps < 5000, "{sort} {steps}");
        }
    }
}

#[test]
fn a_search_walks_through_its_hits_by_id_and_keeps_to_the_other_filters() {
    let server = TestServer::new();
    for n in 0..25 {
        let name = if n % 2 == 0 { "Zoé Martin" } else { "Martine" };
        let contact = json!({"last_name": name, "company": if n % 3 == 0 { "Acme" } else { "Other" }});
        server.admin().post("/contacts", contact).created();
    }
    for (filter, expected) in [
        ("filter[term]=martin", (1..=25).collect::<Vec<i64>>()),
        ("filter[term]=zoe", (1..=25).filter(|id| id % 2 == 1).collect()),
        ("filter[term]=zoe&filter[company]=acme", (1..=25).filter(|id| id % 2 == 1 && id % 3 == 1).collect()),
        ("filter[term]=zoe&filter[term]=martin", (1..=25).filter(|id| id % 2 == 1).collect()),
        ("filter[term]=nobody", vec![]),
    ] {
        let walked = walk(&server, &format!("/contacts?sort=id&per_page=4&{filter}"), json!(""), "next_cursor", || {});
        assert_eq!(walked.pages.concat(), expected, "{filter}");
        let down = walk(&server, &format!("/contacts?sort=-id&per_page=4&{filter}"), json!(""), "next_cursor", || {});
        assert_eq!(down.pages.concat(), expected.into_iter().rev().collect::<Vec<_>>(), "{filter}");
    }
}

#[test]
fn every_list_that_can_be_searched_walks_through_its_hits() {
    let server = TestServer::new();
    let document = crate::tests::description(crate::api::Layer::Workspace);
    let mut searched = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parameters = operations["get"]["parameters"].as_array().into_iter().flatten();
        let names = parameters.map(|parameter| &crate::api::openapi::resolve(&document, parameter)["name"]);
        if names.clone().any(|name| name == "filter[term]") && names.clone().any(|name| name == "cursor") {
            let path = path.replace("{id}", "1");
            let answer = server.admin().get(&format!("{path}?cursor=&sort=-id&filter[term]=a&customer_account=A"));
            assert!(!answer.status.is_server_error(), "{path}: {}", answer.text);
            searched += 1;
        }
    }
    assert!(searched >= 4, "{searched}");
}

/// SQLite neither collects all hits before the first row nor sorts them.
#[test]
fn a_search_streams_from_the_index() {
    let server = TestServer::new();
    for offset in ["", " OFFSET 40"] {
        let plan = server.in_file(move |db| {
            let hits = TextHits { place: 0, index: "contacts_fts", words: "\"a\"*".into() };
            let mut range = KeyRange::default();
            range.require("id", ">", &json!(7));
            let order = [SortKey { column: "id", unindexed: None, down: false }];
            let sql = select::<Contact>(Some(&hits), &[], &range, &order);
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}{offset}"))?;
            let plan = statement.query_map(params!["\"a\"*", 7, 21], |row| row.get::<_, String>(3))?;
            Ok(plan.collect::<rusqlite::Result<Vec<String>>>()?.join("\n"))
        });
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("LIST SUBQUERY"), "{plan}");
        assert!(plan.contains("VIRTUAL TABLE") && plan.contains("INTEGER PRIMARY KEY"), "{plan}");
    }
}

#[test]
fn a_page_by_cursor_counts_up_to_a_limit() {
    let server = TestServer::new();
    for n in 0..12 {
        server
            .admin()
            .post("/contacts", json!({"last_name": "Martin", "company": if n % 2 == 0 { "Acme" } else { "Other" }}))
            .created();
    }
    let counted =
        |query: &str| server.admin().get(&format!("/contacts?cursor=&per_page=3&{query}")).ok()["count"].clone();
    for (query, count) in [
        // Triggers count the rows: the number is exact.
        ("count_to=5", json!(12)),
        ("count_to=5&filter[term]=martin", json!(5)),
        ("count_to=100&filter[term]=martin", json!(12)),
        ("count_to=100&filter[term]=martin&filter[company]=acme", json!(6)),
        ("count_to=4&filter[term]=martin&filter[company]=acme&sort=last_name", json!(4)),
        ("count_to=4&filter[company]=acme", json!(4)),
        ("count_to=100&filter[company]=acme", json!(6)),
        ("count_to=100&filter[term]=nobody", json!(0)),
        ("", Value::Null),
    ] {
        assert_eq!(counted(query), count, "{query}");
    }
    // Every page counts all rows, and the links keep the parameter.
    let first = server.admin().get("/contacts?cursor=&per_page=3&count_to=9&filter[company]=acme").ok();
    assert!(first["next_page_url"].as_str().unwrap().contains("count_to=9"), "{first}");
    let next = first["next_cursor"].as_str().unwrap();
    assert_eq!(counted(&format!("count_to=9&filter[company]=acme&cursor={next}")), 6);
    // A list that no trigger counts.
    for email in ["a@example.com", "b@example.com"] {
        server.join_acme(email, "agent");
    }
    let users = |most: i64| server.admin().get(&format!("/users?cursor=&count_to={most}")).ok()["count"].clone();
    assert_eq!((users(2), users(100)), (json!(2), json!(3)));
    assert_eq!(server.admin().get("/contacts?count_to=5").ok()["count"], Value::Null);
    for bad in ["0", "10001", "x"] {
        let answer = server.admin().get(&format!("/contacts?cursor=&count_to={bad}"));
        answer.invalid(&["The count to must be between 1 and 10000."]);
    }
}

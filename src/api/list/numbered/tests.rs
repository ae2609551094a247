use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::{option, prelude::*, sample};
use serde_json::{Value, json};

use crate::tests::TestServer;

/// More rows than `total=estimate` counts.
const ROWS: i64 = 10_050;

/// A workspace with `ROWS` contacts. The time of creation of each is its id.
fn filled() -> &'static TestServer {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = TestServer::new();
        server.admin().post("/customers", json!({"name": "Owner"})).created();
        server.in_file(|db| {
            db.execute_batch(&format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
                 INSERT INTO contacts (last_name, company, customer_id, custom_fields, created_at, updated_at)
                 SELECT iif(i % 3 = 0, 'Zoé Martin', 'Martine ' || i), iif(i % 2 = 0, 'Acme', 'Other'),
                        iif(i > 40, 1, NULL), '{{}}', i, 0 FROM n;
                 UPDATE contacts SET folded_last_name = fold(last_name)"
            ))?;
            Ok(())
        });
        server
    })
}

/// A filter for the first rows.
fn up_to(row: i64) -> String {
    format!("filter[created_at][lte]={}", crate::values::Timestamp::from_seconds(row))
}

fn page(server: &TestServer, list: &str, total: &str) -> Value {
    server.admin().get(&format!("{list}&total={total}")).ok()
}

fn ids(page: &Value) -> Vec<i64> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// The ids on all pages, by `next_page_url`.
fn walk(server: &TestServer, list: &str) -> Vec<i64> {
    let mut seen = Vec::new();
    let mut next = Some(format!("{list}&total=estimate"));
    while let Some(list) = next {
        let page = server.admin().get(&list).ok();
        seen.extend(ids(&page));
        next = page["next_page_url"].as_str().map(|url| url.split_once("/api").unwrap().1.to_owned());
    }
    seen
}

fn filters() -> impl Strategy<Value = String> {
    let rows = prop_oneof![Just(0), 1..60_i64, 9_990..=ROWS];
    let terms = sample::select(vec!["martin", "mart", "martin+zoe", "martine+4000", "nobody", "-"]);
    let filters = (
        option::weighted(0.6, rows.prop_map(up_to)),
        option::weighted(0.4, terms.prop_map(|words| format!("filter[term]={words}"))),
        option::weighted(0.2, Just("filter[company]=cm".to_owned())),
        option::weighted(0.2, Just("filter[term]=mar".to_owned())),
    );
    filters.prop_map(|(a, b, c, d)| [a, b, c, d].into_iter().flatten().collect::<Vec<_>>().join("&"))
}

/// A page of a list, or one relative to its last page.
#[derive(Debug, Clone)]
enum Place {
    Inside(sample::Index),
    Behind(i64),
}

fn place() -> impl Strategy<Value = Place> {
    let behind = sample::select(vec![0, 0, 1, 7, i64::MAX]);
    prop_oneof![2 => any::<sample::Index>().prop_map(Place::Inside), 1 => behind.prop_map(Place::Behind)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// An estimate changes no row of a page, and nothing else if there are no more rows than it counts.
    #[test]
    fn a_page_with_an_estimate_has_the_rows_of_the_exact_page(
        list in sample::select(vec!["/contacts", "/customers/1/contacts"]),
        filters in filters(),
        sort in sample::select(vec!["", "id", "-id", "last_name", "-created_at"]),
        per_page in prop_oneof![1..40_i64, 400..=500_i64],
        place in place(),
    ) {
        let server = filled();
        let list = format!("{list}?{filters}&sort={sort}&per_page={per_page}");
        let all = page(server, &list, "exact")["total"].as_i64().unwrap();
        let last = ((all + per_page - 1) / per_page).max(1);
        let number = match place {
            Place::Inside(page) => 1 + i64::try_from(page.index(usize::try_from(last).unwrap())).unwrap(),
            Place::Behind(pages) => last.saturating_add(pages),
        };
        let numbered = format!("{list}&page={number}");
        let (exact, estimate) = (page(server, &numbered, "exact"), page(server, &numbered, "estimate"));

        let is_counted_already = filters.is_empty() && list.starts_with("/contacts");
        if all <= 10_000 || is_counted_already {
            let as_exact = estimate.to_string().replace("total=estimate", "total=exact");
            prop_assert_eq!(as_exact, exact.to_string());
        } else {
            prop_assert_eq!((&estimate["total"], &estimate["total_is_minimum"]), (&json!(10_000), &json!(true)));
            for member in ["data", "from", "to", "current_page"] {
                prop_assert_eq!(&estimate[member], &exact[member]);
            }
            prop_assert_eq!(estimate["next_page_url"].is_null(), exact["next_page_url"].is_null());
            let last = ((10_000 + per_page - 1) / per_page).max(number);
            prop_assert_eq!(&estimate["last_page"], &json!(last));
            let url = estimate["last_page_url"].as_str().unwrap();
            prop_assert!(url.ends_with(&format!("&page={last}")), "{}", url);
        }

        if last <= 26 {
            let mut seen = walk(server, &list);
            let visits = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!((seen.len(), i64::try_from(visits).unwrap()), (visits, all));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rows are deleted at both ends and between them, or added with an id of their own.
    #[test]
    fn a_page_has_the_rows_at_its_place_whichever_ids_are_missing(
        count in 0..40_i64,
        changes in vec(prop_oneof![
            (0..5_i64).prop_map(|rows| format!("DELETE FROM contacts WHERE id < (SELECT min(id) FROM contacts) + {rows}")),
            (0..5_i64).prop_map(|rows| format!("DELETE FROM contacts WHERE id > (SELECT max(id) FROM contacts) - {rows}")),
            (1..50_i64).prop_map(|id| format!("DELETE FROM contacts WHERE id = {id}")),
            (1..50_i64).prop_map(|id| format!("INSERT OR IGNORE INTO contacts (id, last_name, custom_fields, created_at, updated_at) VALUES ({id}, '', '{{}}', 0, 0)")),
        ], 0..4),
        down in any::<bool>(),
        per_page in 1..9_usize,
    ) {
        let server = emptied();
        let mut ids_there = server.in_file(move |db| {
            db.execute_batch(&format!(
                "DELETE FROM contacts;
                 DELETE FROM sqlite_sequence WHERE name = 'contacts';
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
                 INSERT INTO contacts (last_name, custom_fields, created_at, updated_at)
                 SELECT '', '{{}}', 0, 0 FROM n WHERE i <= {count};
                 {}", changes.join(";")
            ))?;
            let mut statement = db.prepare("SELECT id FROM contacts ORDER BY id")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?)
        });
        if down {
            ids_there.reverse();
        }
        let list = format!("/contacts?sort={}id&per_page={per_page}", if down { "-" } else { "" });
        for (number, expected) in (1..).zip(ids_there.chunks(per_page)) {
            prop_assert_eq!(ids(&server.admin().get(&format!("{list}&page={number}")).ok()), expected);
        }
    }
}

/// A workspace. Each case replaces all its contacts.
fn emptied() -> &'static TestServer {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    SERVER.get_or_init(TestServer::new)
}

#[test]
fn an_estimate_is_a_minimum_only_beyond_ten_thousand_rows() {
    let server = filled();
    for filter in ["filter[company]=", "filter[term]=mar"] {
        for (rows, total, is_minimum) in
            [(9_999, 9_999, None), (10_000, 10_000, None), (10_001, 10_000, Some(true)), (ROWS, 10_000, Some(true))]
        {
            let list = format!("/contacts?{filter}&{}", up_to(rows));
            for number in [1, 2, 250, 500, 501] {
                let page = page(server, &format!("{list}&page={number}"), "estimate");
                let known = (page["total"].as_i64(), page.get("total_is_minimum").and_then(Value::as_bool));
                assert_eq!(known, (Some(total), is_minimum), "{list} {number}");
                let last = if is_minimum.is_some() { number.max(500) } else { 500 };
                assert_eq!(page["last_page"], last, "{list} {number}");
                assert_eq!(page["next_page_url"].is_null(), number * 20 >= rows, "{list} {number}");
                let from = (number * 20 <= rows + 19).then_some(number * 20 - 19);
                assert_eq!(page["from"].as_i64(), from, "{list} {number}");
            }
        }
    }
}

#[test]
fn the_links_of_a_page_keep_the_kind_of_its_total() {
    let server = TestServer::new();
    for name in ["A", "B", "C"] {
        server.admin().post("/customers", json!({"name": name})).created();
    }
    let page = server.admin().get("/customers?total=estimate&filter[active]=1&per_page=1&page=2").ok();
    for link in ["first_page_url", "last_page_url", "next_page_url", "prev_page_url"] {
        assert!(page[link].as_str().unwrap().contains("total=estimate"), "{link}");
    }
    assert_eq!((&page["total"], page.get("total_is_minimum")), (&json!(3), None));
    // A list that no trigger counts.
    assert_eq!(server.admin().get("/users?total=estimate").ok()["total"], 1);
    let by_cursor = server.admin().get("/customers?total=estimate&cursor=").ok();
    assert_eq!((by_cursor.get("total"), ids(&by_cursor)), (None, vec![1, 2, 3]));
    for total in ["", "Exact", "0"] {
        server.admin().get(&format!("/customers?total={total}")).invalid(&["The total must be exact or estimate."]);
    }
    assert_eq!(server.admin().get("/customers?total[]=estimate").status, 400);
}

use proptest::prelude::*;

use super::*;
use crate::tests::TestServer;

#[test]
fn what_one_request_may_ask_of_a_list_has_an_end() {
    let server = TestServer::new();
    server.admin().post("/customers", json!({"name": "Renault"})).created();
    let get = |query: String| server.admin().get(&format!("/customers?{query}"));
    get(format!("sort={}", ["name,-id"; 5].join(","))).ok();
    get(format!("sort={}", ["name"; 11].join(","))).invalid(&["The sort may not have more than 10 keys."]);
    for filter in ["phone", "name", "custom_fields.tier", "term"] {
        let filtered = |many| vec![format!("filter[{filter}]=1"); many].join("&");
        let many = if filter == "term" { 20 } else { MOST_FILTERS };
        get(filtered(many)).ok();
        assert_eq!(get(filtered(many + 1)).status, 400, "{filter}");
    }
    get(vec!["filter[phone]=1"; 60].join("&")).invalid(&["There may not be more than 50 filters."]);
    let too_much = ["The term filters may not have more than 20 words and 100 characters in all."];
    get(format!("filter[term]={}", vec!["a"; 20].join("+"))).ok();
    get(format!("filter[term]={}", vec!["a"; 21].join("+"))).invalid(&too_much);
    get(format!("filter[term]={}", vec!["a"; 21].join("-"))).invalid(&too_much);
    get(format!("filter[term]={0}&filter[term]={0}", ["a"; 11].join("+"))).invalid(&too_much);
    get(format!("filter[term]={}", "a".repeat(101))).invalid(&too_much);
    get(vec!["filter[term]=a"; 60].join("&")).invalid(&["There may not be more than 50 filters.", too_much[0]]);
    get(format!("filter[name]={}", "a".repeat(4096))).invalid(&["The query may not be longer than 4096 bytes."]);
}

/// Contacts with many equal texts, numbers and times.
fn contacts() -> impl Strategy<Value = Vec<(String, Option<String>, bool, i64)>> {
    let text = || prop::sample::select(vec!["Zoé", "zoe", "ZOË L", "Łuk", "o'Neil", "50 %", "a_b", "É", "x", "-"]);
    let one = (text(), prop::option::of(text()), any::<bool>(), 0..4_i64);
    let owned = |(name, company, is_own, day): (&str, Option<&str>, bool, i64)| {
        (name.to_owned(), company.map(str::to_owned), is_own, day)
    };
    prop::collection::vec(one.prop_map(owned), 0..12)
}

/// Compares without case and accents, letter by letter, independent of the function that filters use.
fn plain(text: &str) -> String {
    let letter = |letter: char| match letter {
        'é' | 'ë' | 'É' | 'Ë' => 'e',
        other => other.to_lowercase().next().unwrap_or(other),
    };
    text.chars().map(letter).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Several filters select the rows that match each of them.
    #[test]
    fn filters_select_the_rows_that_fit_all_of_them(
        contacts in contacts(), name in "[zoée'_%-]{0,2}", company in "[éx ]{0,1}", own in any::<bool>(), from in 0..4_i64, to in 0..4_i64,
    ) {
        const DAY: i64 = 86_400;
        let server = TestServer::new();
        server.admin().post("/customers", serde_json::json!({"name": "Own"})).created();
        let rows = contacts.clone();
        server.in_file(move |db| {
            let sql = "INSERT INTO contacts (last_name, company, customer_id, created_at, custom_fields, updated_at)
                       VALUES (?1, ?2, ?3, ?4, '{}', 0)";
            for (name, company, is_own, day) in &rows {
                db.execute(sql, (name, company, is_own.then_some(1), day * DAY))?;
            }
            Ok(())
        });
        let at = |day: i64| crate::values::Timestamp::from_seconds(day * DAY).to_string();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("filter[last_name]", &name).append_pair("filter[company]", &company);
        query.append_pair("filter[created_at][gte]", &at(from)).append_pair("filter[created_at][lte]", &at(to));
        if own {
            query.append_pair("filter[customer_id]", "1");
        }
        let listed = server.admin().get(&format!("/contacts?sort=id&{}", query.finish())).ok();
        let found: Vec<i64> =
            listed["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
        let has = |text: &str, part: &str| plain(text).contains(&plain(part.trim()));
        let fits = |(last_name, of, is_own, day): &(String, Option<String>, bool, i64)| {
            has(last_name, &name)
                && (company.trim().is_empty() || of.as_deref().is_some_and(|of| has(of, &company)))
                && (!own || *is_own)
                && (from..=to).contains(day)
        };
        let expected: Vec<i64> = (1..).zip(&contacts).filter(|(_, contact)| fits(contact)).map(|(id, _)| id).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn nothing_in_a_term_is_an_operator() {
    assert_eq!(search_words("Zoé OR (x* \"y\")").as_deref(), Some("\"zoe\"* \"or\"* \"x\"* \"y\"*"));
    assert_eq!(search_words(" *-\" "), None);
}

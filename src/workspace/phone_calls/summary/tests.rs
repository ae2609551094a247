use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::tests::{TestClient, TestServer};

fn total(client: &TestClient<'_>, query: &str) -> Value {
    client.get(&format!("/phone-calls?per_page=1&{query}")).ok()["total"].clone()
}

fn summary(client: &TestClient<'_>, query: &str) -> Value {
    client.get(&format!("/phone-calls/summary?{query}")).ok()
}

fn groups(summary: &Value) -> &Vec<Value> {
    summary["groups"].as_array().unwrap()
}

fn keys(summary: &Value) -> Vec<&str> {
    groups(summary).iter().map(|group| group["key"].as_str().unwrap_or("-")).collect()
}

fn in_zone(server: &TestServer, zone: &str) {
    server.admin().put("/settings", json!({"timezone": zone})).created();
}

fn call(direction: &str, status: &str, number: &str, started_at: &str) -> Value {
    let (from, to) = if direction == "inbound" { (number, "0142000000") } else { ("0142000000", number) };
    json!({"direction": direction, "status": status, "number_from": from, "number_to": to, "started_at": started_at})
}

#[test]
fn a_summary_counts_the_calls_of_a_period() {
    let server = TestServer::new();
    let admin = server.admin();
    let calls = json!([
        {"direction": "inbound", "started_at": "2027-03-29T08:00:00Z", "duration_s": 60, "agent_name": "Ada"},
        {"direction": "inbound", "started_at": "2027-03-29T08:30:00Z", "duration_s": 90, "agent_name": "Zoé", "queue": "A"},
        {"direction": "outbound", "started_at": "2027-03-29T09:00:00Z", "status": "busy", "agent_name": "Ada"},
        {"direction": "inbound", "started_at": "2027-03-29T09:00:00Z", "status": "missed", "number_from": "0612345678"},
        {"direction": "outbound", "started_at": "2027-03-29T21:59:59Z", "status": "voicemail", "answered": true},
        {"direction": "inbound", "started_at": "2027-03-29T22:00:00Z"},
    ]);
    admin.post("/phone-calls/import", calls).created();
    let day = summary(&admin, "from=2027-03-29&to=2027-03-29");
    assert_eq!((&day["from"], &day["to"]), (&json!("2027-03-28T22:00:00Z"), &json!("2027-03-29T21:59:59Z")));
    assert_eq!((&day["total"], &day["answered"], &day["missed"]), (&json!(5), &json!(3), &json!(1)));
    assert_eq!(day["by_direction"], json!({"inbound": 3, "outbound": 2}));
    let statuses =
        json!({"completed": 2, "missed": 1, "no_answer": 0, "busy": 1, "rejected": 0, "voicemail": 1, "failed": 0});
    assert_eq!(day["by_status"], statuses);
    assert_eq!((&day["mean_duration_s"], &day["not_called_back"]), (&json!(75.0), &json!(1)));
    assert!(day.get("groups").is_none(), "{day}");

    let counts = |group: &Value| [group["total"].clone(), group["answered"].clone(), group["missed"].clone()];
    let agents = summary(&admin, "from=2027-03-29&to=2027-03-29&by=agent");
    assert_eq!(keys(&agents), ["-", "Ada", "Zoé"]);
    assert_eq!(counts(&groups(&agents)[0]), [json!(2), json!(1), json!(1)]);
    assert_eq!((&groups(&agents)[1]["from"], &groups(&agents)[1]["to"]), (&day["from"], &day["to"]));
    let queues = summary(&admin, "from=2027-03-29&to=2027-03-29&by=queue&filter[direction]=inbound");
    assert_eq!((keys(&queues), counts(&groups(&queues)[1])), (vec!["-", "A"], [json!(1), json!(1), json!(0)]));

    // Filters of the list apply. Its paging and order do not.
    let inbound = summary(&admin, "from=2027-03-29&filter[direction]=inbound&to=2027-03-29&per_page=1&page=2&sort=-id");
    assert_eq!((&inbound["total"], &inbound["by_direction"]["outbound"]), (&json!(3), &json!(0)));
    let none = summary(&admin, "from=2027-03-29&to=2027-03-29&filter[status]=failed&by=agent");
    assert_eq!((&none["mean_duration_s"], groups(&none).len()), (&Value::Null, 0));

    // Without a period it is today.
    let recorded = admin.post("/phone-calls", json!({"direction": "inbound"})).created();
    let today = summary(&admin, "");
    assert_eq!(today["total"], 1);
    assert!(today["to"].as_str() >= recorded["started_at"].as_str(), "{today}");
    assert_eq!(summary(&admin, "by=hour")["from"], today["from"]);
}

#[test]
fn hours_and_days_are_complete_and_those_of_the_local_clock() {
    let server = TestServer::new();
    let admin = server.admin();
    for (day, hours, first) in [
        ("2027-03-28", 23, ["2027-03-28T01:00+01:00", "2027-03-28T03:00+02:00", "2027-03-28T04:00+02:00"]),
        ("2027-10-31", 25, ["2027-10-31T01:00+02:00", "2027-10-31T02:00+02:00", "2027-10-31T02:00+01:00"]),
        ("2027-05-01", 24, ["2027-05-01T01:00+02:00", "2027-05-01T02:00+02:00", "2027-05-01T03:00+02:00"]),
    ] {
        let by_hour = summary(&admin, &format!("from={day}&to={day}&by=hour"));
        assert_eq!((groups(&by_hour).len(), &keys(&by_hour)[1..4]), (hours, &first[..]));
    }
    // The ends of the period cut the first and the last part.
    let part = summary(&admin, "from=2027-05-01T10:30&to=2027-05-01T11:10&by=hour");
    let ends = groups(&part).iter().map(|group| [group["from"].as_str().unwrap(), group["to"].as_str().unwrap()]);
    let expected = [["2027-05-01T08:30:00Z", "2027-05-01T08:59:59Z"], ["2027-05-01T09:00:00Z", "2027-05-01T09:10:00Z"]];
    assert_eq!(ends.collect::<Vec<_>>(), expected);
    let days = summary(&admin, "from=2027-03-27&to=2027-03-29&by=day");
    assert_eq!(keys(&days), ["2027-03-27", "2027-03-28", "2027-03-29"]);
    assert_eq!(groups(&days)[1]["to"], "2027-03-28T21:59:59Z");
    // The first day begins at 01:00. The second has midnight twice. On the third the clock goes back over midnight. The day
    // after the fourth does not exist.
    for (zone, day, from, next) in [
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        ("America/Havana", "2027-11-07", "2027-11-07T04:00:00Z", "2027-11-08T05:00:00Z"),
        ("America/St_Johns", "2006-10-29", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z"),
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
    ] {
        in_zone(&server, zone);
        let days = summary(&admin, &format!("from={from}&to={next}&by=day"));
        let begins = |at: usize| (keys(&days)[at], groups(&days)[at]["from"].as_str().unwrap());
        assert_eq!((begins(0), begins(1).1), ((day, from), next), "{zone}");
        assert!(groups(&days).len() == 2, "{zone}: {days}");
    }
}

#[test]
fn a_wrong_period_is_refused_with_a_reason() {
    let server = TestServer::new();
    let admin = server.admin();
    let summary = |query: &str| admin.get(&format!("/phone-calls/summary?{query}"));
    let a_time = "must be a valid date and time, like 2024-01-20T12:00:00Z.";
    summary("from=soon").invalid(&[&format!("The from {a_time}")]);
    summary("to=2027-02-30").invalid(&[&format!("The to {a_time}")]);
    summary("by=week").invalid(&["The selected by is invalid."]);
    let backwards = "The to may not be before the from.";
    summary("from=2027-03-29&to=2027-03-28").invalid(&[backwards]);
    summary("from=9999-01-01").invalid(&[backwards]);
    let unknown = summary("filter[colour]=red");
    assert!(unknown.status == 400 && unknown.text.contains("The selected filter colour is invalid"), "{unknown:?}");
    for (query, fits) in [
        ("from=2027-01-01&to=2028-02-04&by=day", true),
        ("from=2027-01-01&to=2028-02-05&by=day", false),
        ("from=2027-01-01T00:00&to=2027-01-17T15:59:59&by=hour", true),
        ("from=2027-01-01T00:00&to=2027-01-17T16:00&by=hour", false),
        ("from=-009999-01-03T00:00:00Z&to=9999-12-28&by=day", false),
        ("from=9999-12-25&to=9999-12-28&by=day", true),
        ("from=-009999-01-03T00:00:00Z&to=9999-12-28", true),
    ] {
        let answer = summary(query);
        if fits {
            answer.ok();
        } else {
            answer.rejected(422, "too_many_groups");
        }
    }
}

#[test]
fn a_call_is_called_back_by_a_later_answered_call_with_the_number() {
    let server = TestServer::new();
    let admin = server.admin();
    let calls = json!([
        // 1: nobody called back. An earlier call and one that was not answered do not count.
        call("inbound", "missed", "06 12 34 56 70", "2027-03-29T08:00:00Z"),
        call("inbound", "completed", "+33612345670", "2027-03-29T07:59:59Z"),
        call("outbound", "no_answer", "+33612345670", "2027-03-29T09:00:00Z"),
        // 4: an agent called back.
        call("inbound", "missed", "0612345671", "2027-03-29T08:00:00Z"),
        call("outbound", "completed", "+33 6 12 34 56 71", "2027-03-29T08:00:01Z"),
        // 6: the caller tried again, and was missed again later.
        call("inbound", "missed", "0033612345672", "2027-03-29T08:00:00Z"),
        call("inbound", "completed", "06.12.34.56.72", "2027-03-29T08:10:00Z"),
        call("inbound", "missed", "0612345672", "2027-03-29T08:20:00Z"),
        // 9: no number.
        {"direction": "inbound", "status": "missed", "started_at": "2027-03-29T08:00:00Z"},
        // 10: the number of the workspace is not that of the caller.
        call("inbound", "missed", "0142000000", "2027-03-29T07:00:00Z"),
    ]);
    admin.post("/phone-calls/import", calls).created();
    let ids = |query: &str| -> Vec<i64> {
        let list = admin.get(&format!("/phone-calls?filter[status]=missed&sort=id&{query}")).ok();
        list["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("filter[called_back]=false"), [1, 8, 10]);
    assert_eq!(ids("filter[called_back]=1"), [4, 6]);
    // With words, pages and counts come from the text index.
    for paging in ["cursor=", "cursor=&count_to=10", "total=estimate", "page=1"] {
        let found = admin.get(&format!("/phone-calls?filter[called_back]=1&filter[term]=nobody&{paging}")).ok();
        assert_eq!(found["data"], json!([]), "{paging}");
    }
    let day = summary(&admin, "from=2027-03-29&to=2027-03-29");
    assert_eq!((&day["missed"], &day["not_called_back"]), (&json!(6), &json!(3)));
    // A later call counts also after the period, and if the filter does not select it.
    let minute = summary(&admin, "from=2027-03-29T08:00:00Z&to=2027-03-29T08:00:00Z&filter[status]=missed");
    assert_eq!((&minute["missed"], &minute["not_called_back"]), (&json!(4), &json!(1)));
    admin.put("/phone-calls/1", json!({"answered": true})).created();
    admin.post("/phone-calls", call("outbound", "completed", "0612345670", "2027-04-29T08:00:00Z")).created();
    assert_eq!(ids("filter[called_back]=false"), [8, 10]);
    admin.get("/phone-calls?filter[called_back]=maybe").invalid(&["The called_back must be true or false."]);
}

#[test]
fn a_caller_of_a_customer_counts_the_calls_of_that_customer() {
    let server = TestServer::new();
    let admin = server.admin();
    let ids = [0, 1].map(|_| admin.post("/customers", json!({"name": "C"})).created()["id"].as_i64().unwrap());
    for (customer, number) in [(Some(ids[0]), "0612345670"), (Some(ids[1]), "0612345671"), (None, "0612345672")] {
        let mut missed = call("inbound", "missed", number, "2027-03-29T08:00:00Z");
        missed["customer_id"] = json!(customer);
        missed["agent_name"] = json!(number);
        admin.post("/phone-calls", missed).created();
    }
    let back = |customer: i64| {
        let mut back = call("outbound", "completed", "0612345670", "2027-03-29T09:00:00Z");
        back["customer_id"] = json!(customer);
        admin.post("/phone-calls", back).created();
    };
    // What another customer does with the number does not show.
    back(ids[1]);
    let key = server.key(&["phone-call.view"], Some(ids[0]));
    let waiting = || key.get("/phone-calls?filter[status]=missed&filter[called_back]=false").ok()["total"].clone();
    assert_eq!(waiting(), 1);
    for by in ["hour", "day", "agent", "queue"] {
        let query = format!("from=2027-03-29&to=2027-03-29&by={by}");
        let own = summary(&key, &query);
        assert_eq!((&own["total"], &own["by_status"]["missed"]), (&json!(1), &json!(1)));
        assert!(own.get("not_called_back").is_none(), "{own}");
        assert_eq!(groups(&own).iter().filter_map(|group| group["total"].as_u64()).sum::<u64>(), 1, "{own}");
        assert!(!own.to_string().contains("0612345671"), "{own}");
        assert_eq!(summary(&admin, &query)["total"], 4);
    }
    let own = || summary(&key, "from=2027-03-29&to=2027-03-29")["not_called_back"].clone();
    assert_eq!(own(), 1);
    back(ids[0]);
    assert_eq!((waiting(), own()), (json!(0), json!(0)));
    server.with_only(&["contact.view"]).get("/phone-calls/summary").rejected(403, "missing_permission");
}

/// A call: seconds after the start of its days, direction, status, number and its format.
fn calls() -> impl Strategy<Value = Vec<(i64, bool, &'static str, usize, usize)>> {
    let status = prop::sample::select(super::Status::WORDS);
    prop::collection::vec((0..3 * 86_400_i64, any::<bool>(), status, 0..5_usize, 0..3_usize), 1..40)
}

/// A number of a caller in one of the formats in which people write it. The last caller has none.
fn number(caller: usize, format: usize) -> Option<String> {
    let formats = [format!("061234567{caller}"), format!("+33 6 12 34 56 7{caller}"), format!("06.12.34.56.7{caller}")];
    (caller < 4).then(|| formats[format].clone())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    /// The groups add up to the total, and each equals the list with the same filters. Who was not called back follows
    /// from the list too.
    #[test]
    fn a_summary_equals_the_list(
        calls in calls(),
        (zone, begins, days) in prop::sample::select(vec![
            ("Europe/Paris", 1_806_015_600, ["2027-03-25", "2027-03-29"]),
            ("Europe/Paris", 1_824_760_800, ["2027-10-28", "2027-11-01"]),
            ("Australia/Lord_Howe", 1_806_670_800, ["2027-04-02", "2027-04-06"]),
        ]),
        filter in prop::sample::select(vec!["", "filter[direction]=inbound", "filter[queue]=a", "filter[answered]=1"]),
    ) {
        let server = TestServer::new();
        let admin = server.admin();
        in_zone(&server, zone);
        let rows = calls.iter().map(|(second, is_inbound, status, caller, format)| {
            let (number, own) = (number(*caller, *format), Some("0142000000".to_owned()));
            let (from, to) = if *is_inbound { (number, own) } else { (own, number) };
            json!({
                "direction": if *is_inbound { "inbound" } else { "outbound" }, "status": status, "number_from": from,
                "number_to": to, "started_at": crate::values::Timestamp::from_seconds(begins + second),
                "queue": ([Some("A"), None, Some("b c")][*format]), "agent_name": number_name(*caller),
                "duration_s": (*caller > 1).then_some(second / 7),
            })
        });
        admin.post("/phone-calls/import", Value::Array(rows.collect())).created();
        for (by, from, to) in [
            ("hour", days[0].to_owned(), days[1].to_owned()),
            ("day", days[0].to_owned(), days[1].to_owned()),
            ("hour", format!("{}T11:17", days[0]), format!("{}T03:05:07", days[1])),
            ("agent", days[0].to_owned(), days[1].to_owned()),
            ("queue", days[0].to_owned(), days[1].to_owned()),
        ] {
            let sum = summary(&admin, &format!("from={from}&to={to}&by={by}&{filter}"));
            let of = |name: &str| groups(&sum).iter().map(|group| group[name].as_u64().unwrap()).sum::<u64>();
            for name in ["total", "answered", "missed"] {
                prop_assert_eq!(&json!(of(name)), &sum[name], "{} by {}", name, by);
            }
            prop_assert_eq!(&sum["total"], &total(&admin, &format!("filter[started_at][gte]={from}&filter[started_at][lte]={to}&{filter}")));
            for group in groups(&sum) {
                let period = format!(
                    "filter[started_at][gte]={}&filter[started_at][lte]={}&{filter}",
                    group["from"].as_str().unwrap(), group["to"].as_str().unwrap(),
                );
                let of_name = match (by, group["key"].as_str()) {
                    ("agent", Some(name)) => format!("&filter[agent_name]={}", name.replace(' ', "+")),
                    ("queue", Some(name)) => format!("&filter[queue]={}", name.replace(' ', "+")),
                    _ => String::new(),
                };
                let listed = |more: &str| total(&admin, &format!("{period}{of_name}{more}"));
                // A filter that is given twice counts once.
                if group["key"].is_string() && !(by == "queue" && filter.contains("queue")) {
                    prop_assert_eq!(&group["total"], &listed(""), "{}", group);
                    prop_assert_eq!(&group["answered"], &listed("&filter[answered]=1"), "{}", group);
                    prop_assert_eq!(&group["missed"], &listed("&filter[direction]=inbound&filter[status]=missed"), "{}", group);
                }
                if by == "day" {
                    let day = format!("filter[started_at][on]={}&{filter}", group["key"].as_str().unwrap());
                    prop_assert_eq!(&group["total"], &total(&admin, &day), "{}", group);
                }
            }
            let all = admin.get("/phone-calls?per_page=500").ok();
            let chosen = admin.get(&format!("/phone-calls?per_page=500&filter[started_at][gte]={from}&filter[started_at][lte]={to}&{filter}")).ok();
            let sum = summary(&admin, &format!("from={from}&to={to}&{filter}"));
            prop_assert_eq!(&sum["not_called_back"], &json!(not_called_back(&all, &chosen)));
            let chosen = chosen["data"].as_array().unwrap();
            for (name, field) in [("by_direction", "direction"), ("by_status", "status")] {
                for (word, counted) in sum[name].as_object().unwrap() {
                    let of_word = chosen.iter().filter(|call| call[field] == **word).count();
                    prop_assert_eq!(counted, &json!(of_word), "{} {}", name, word);
                }
            }
            let answered = chosen.iter().filter(|call| call["answered"] == true);
            let durations: Vec<u64> = answered.filter_map(|call| call["duration_s"].as_u64()).collect();
            let mean = (!durations.is_empty()).then(|| durations.iter().sum::<u64>() as f64 / durations.len() as f64);
            prop_assert_eq!(&sum["mean_duration_s"], &json!(mean));
        }
    }
}

fn number_name(caller: usize) -> Option<String> {
    (caller > 0).then(|| format!("Agent {caller}"))
}

/// Counts callers by the last digits of their numbers. A caller counts if `all` has no answered call after the caller's
/// newest missed call in `chosen`.
fn not_called_back(all: &Value, chosen: &Value) -> usize {
    let rows = |list: &Value| list["data"].as_array().unwrap().clone();
    let party = |call: &Value| {
        let number = if call["direction"] == "inbound" { &call["number_from"] } else { &call["number_to"] };
        let digits: String = number.as_str()?.chars().filter(char::is_ascii_digit).collect();
        Some(digits[digits.len() - 9..].to_owned())
    };
    let mut missed: HashMap<String, String> = HashMap::new();
    for call in rows(chosen).iter().filter(|call| call["direction"] == "inbound" && call["status"] == "missed") {
        let started = call["started_at"].as_str().unwrap().to_owned();
        let Some(number) = party(call) else { continue };
        let newest = missed.entry(number).or_default();
        *newest = started.max(newest.clone());
    }
    let is_back = |(number, newest): &(&String, &String)| {
        let later = |call: &Value| call["answered"] == true && call["started_at"].as_str() > Some(newest.as_str());
        rows(all).iter().any(|call| later(call) && party(call).as_ref() == Some(*number))
    };
    missed.iter().filter(|pair| !is_back(pair)).count()
}

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZoneDatabase;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::super::oracle::{OracleQueue, a_moment, rows};
use crate::tests::{RoutingClient, TestServer};

/// In the first zone the clock changes by an hour, in the second by half an hour, in the third at midnight. The fourth has
/// no changes.
const ZONES: [&str; 4] = ["Europe/Paris", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"];

/// What a look-up, a segment and a state have in common.
fn decision(found: &Value) -> Value {
    json!([found["reason"], found["matched"], found["destination"], found["destination_type"], found["open"]])
}

/// Where the calls go, and whether the queue is open: what a change changes.
fn place(decision: &Value) -> Value {
    json!([decision[2], decision[3], decision[4]])
}

fn civil(text: &Value) -> DateTime {
    text.as_str().unwrap().parse().unwrap()
}

/// At any time, the segment of the week and the state say what the look-up says, and the state ends when the look-up
/// says something else.
#[test]
fn the_week_and_the_states_say_what_the_look_up_says() {
    let server = TestServer::new();
    let queue = OracleQueue::new(&server);
    let get = |path: &str| queue.routing.get(&format!("/call-queues{path}")).ok();
    let look = |at: Timestamp| decision(&get(&format!("/lookup?code=Q1&at={at}")));
    let case = (rows(), select(ZONES.to_vec()), prop::collection::vec(a_moment(), 6), 0..7_i64, 1..100_i64);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
    let ran = runner.run(&case, |(rows, zone, moments, days, percent)| {
        server.admin().put("/settings", json!({"timezone": zone})).created();
        queue.write(&rows);
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        for (_, seconds) in moments {
            let at = Timestamp::from_second(seconds).unwrap();
            let (clock, now) = (zone.to_datetime(at), look(at));
            let from = clock.date().checked_sub(days.days()).unwrap();
            let week = get(&format!("/queues/1/week?from={from}"));
            let segments = week["segments"].as_array().unwrap();
            let covers = |segment: &&Value| civil(&segment["from"]) <= clock && clock < civil(&segment["to"]);
            let covering: Vec<Value> = segments.iter().filter(covers).map(decision).collect();
            prop_assert_eq!(covering, vec![now.clone()], "{} {}", at, week);
            let ends = segments.iter().map(|segment| &segment["to"]);
            prop_assert!(ends.zip(segments.iter().skip(1)).all(|(end, next)| *end == next["from"]));
            prop_assert!(segments.windows(2).all(|pair| decision(&pair[0]) != decision(&pair[1])));
            prop_assert_eq!(civil(&segments[0]["from"]), from.at(0, 0, 0, 0));
            prop_assert_eq!(civil(&segments.last().unwrap()["to"]).date(), from.checked_add(7.days()).unwrap());

            let states = get(&format!("/queues/states?at={at}&filter[name]=Q"));
            let Some(state) = states["data"].get(0) else {
                prop_assert_eq!(&now[0], "inactive");
                continue;
            };
            prop_assert_eq!(decision(state), now.clone(), "{}", at);
            let until = state["until"].as_str().map(|until| until.parse::<Timestamp>().unwrap());
            let end = until.unwrap_or_else(|| at.checked_add(168.hours()).unwrap());
            // A time in between, and the last second.
            let between = at.as_second() + (end.as_second() - at.as_second()) * percent / 100;
            for second in [between.min(end.as_second() - 1), end.as_second() - 1] {
                let then = look(Timestamp::from_second(second).unwrap());
                prop_assert_eq!(place(&then), place(&now), "{} until {}", at, end);
            }
            if let Some(until) = until {
                prop_assert!(place(&look(until)) != place(&now), "{} until {}", at, until);
            }
        }
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn a_week_is_that_of_the_queue_or_of_the_group_alone() {
    let server = TestServer::new();
    let routing = RoutingClient::new(&server);
    routing.create("/call-queues/groups", json!({"name": "G"}));
    routing.create("/call-queues/queues", json!({"name": "Q", "number": "801", "call_queue_group_id": 1}));
    let span = |kind: &str, body: Value| {
        routing.create(&format!("/call-queues/time-spans?time_spanable_id=1&time_spanable_type={kind}"), body)
    };
    span(
        "call_queue_group",
        json!({"day_of_week": 1, "start_time": "08:00", "end_time": "12:00", "destination": "810"}),
    );
    span("call_queue", json!({"day_of_week": 1, "start_time": "22:00", "end_time": "02:00"}));
    let shown = |path: &str| -> Vec<Value> {
        let week = routing.get(&format!("/call-queues/{path}/week?from=2027-03-29")).ok();
        assert_eq!(
            (&week["from"], &week["to"], &week["timezone"]),
            (&json!("2027-03-29"), &json!("2027-04-05"), &json!("Europe/Paris"))
        );
        let segments = week["segments"].as_array().unwrap().iter();
        segments
            .filter(|one| one["open"] == true)
            .map(|one| json!([one["from"], one["to"], one["destination"]]))
            .collect()
    };
    let morning = json!(["2027-03-29T08:00:00", "2027-03-29T12:00:00", "810"]);
    let night = json!(["2027-03-29T22:00:00", "2027-03-30T02:00:00", "801"]);
    assert_eq!(shown("queues/1"), [morning.clone(), night]);
    assert_eq!(shown("groups/1"), [morning]);
    let this_week = routing.get("/call-queues/queues/1/week").ok();
    let monday: Date = this_week["from"].as_str().unwrap().parse().unwrap();
    assert_eq!(monday.weekday(), jiff::civil::Weekday::Monday);
    for bad in ["2027-02-30", "monday"] {
        let wrong = ["The from must be a valid date, like 2027-05-01."];
        routing.get(&format!("/call-queues/queues/1/week?from={bad}")).invalid(&wrong);
    }
    routing.get("/call-queues/queues/1/week?from=9999-12-31").invalid(&["The from must be a valid date."]);
    routing.get("/call-queues/queues/2/week").rejected(404, "not_found");
}

#[test]
fn states_are_of_one_customer_or_of_all_and_of_active_queues() {
    let server = TestServer::new();
    let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
    routing.create("/call-queues/queues", json!({"name": "A", "default_destination": "899"}));
    routing.create("/call-queues/queues", json!({"name": "B", "active": false}));
    other.create("/call-queues/queues", json!({"name": "C"}));
    let names = |states: &Value| -> Vec<String> {
        states["data"].as_array().unwrap().iter().map(|state| state["queue"]["name"].as_str().unwrap().into()).collect()
    };
    let of_all = server.admin().get("/smart-routings/call-queues/queues/states").ok();
    assert_eq!(names(&of_all), ["A", "C"]);
    let state = &of_all["data"][0];
    let told = (&state["open"], &state["reason"], &state["destination"], &state["until"]);
    assert_eq!(told, (&json!(false), &json!("default"), &json!("899"), &Value::Null));
    assert_eq!(names(&routing.get("/call-queues/queues/states").ok()), ["A"]);
    assert_eq!(names(&other.get("/call-queues/queues/states?per_page=1").ok()), ["C"]);
    let bound = server.key(&["routing.view"], Some(other.customer));
    assert_eq!(names(&bound.get("/smart-routings/call-queues/queues/states").ok()), ["C"]);
    server
        .admin()
        .get("/smart-routings/call-queues/queues/states?customer_account=none")
        .rejected(404, "customer_not_found");
    routing
        .get("/call-queues/queues/states?at=noon")
        .invalid(&["The at must be a valid date and time, like 2024-01-20T12:00:00Z."]);
}

#[test]
fn a_state_ends_when_the_clock_shows_so_also_on_a_day_on_which_it_changes() {
    let server = TestServer::new();
    let routing = RoutingClient::new(&server);
    routing.create("/call-queues/queues", json!({"name": "Q", "number": "801"}));
    let of = "time_spanable_id=1&time_spanable_type=call_queue";
    let sunday = json!({"day_of_week": 0, "start_time": "02:30", "end_time": "12:00"});
    routing.create(&format!("/call-queues/time-spans?{of}"), sunday);
    let state = |at: &str| {
        let state = routing.get(&format!("/call-queues/queues/states?at={at}")).ok()["data"][0].take();
        (state["open"].as_bool().unwrap(), state["until"].as_str().unwrap().to_owned())
    };
    for (at, open, until) in [
        // 02:00 to 03:00 comes twice: at 00:00 and at 01:00 UTC.
        ("2024-10-27T00:10:00Z", false, "2024-10-27T00:30:00Z"),
        ("2024-10-27T00:40:00Z", true, "2024-10-27T01:00:00Z"),
        ("2024-10-27T01:10:00Z", false, "2024-10-27T01:30:00Z"),
        ("2024-10-27T01:40:00Z", true, "2024-10-27T11:00:00Z"),
        // 02:00 to 03:00 is skipped at 01:00 UTC.
        ("2024-03-31T00:50:00Z", false, "2024-03-31T01:00:00Z"),
        ("2024-03-31T01:10:00Z", true, "2024-03-31T10:00:00Z"),
        ("2024-03-24T11:30:00Z", false, "2024-03-31T01:00:00Z"),
    ] {
        assert_eq!(state(at), (open, until.to_owned()), "{at}");
    }
}

#[test]
fn a_week_with_too_many_hours_is_refused() {
    let server = TestServer::new();
    let routing = RoutingClient::new(&server);
    routing.create("/call-queues/queues", json!({"name": "Q"}));
    let customer = routing.customer;
    server.in_file(move |db| {
        let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
            INSERT INTO time_spans (customer_id, time_spanable_id, time_spanable_type, day_of_week, start_time, end_time,
                start_second, end_second, created_at, updated_at)
            SELECT ?1, 1, 'call_queue', 1, '00:00', '24:00', i, 86400, 0, 0 FROM n";
        Ok(db.execute(sql, [customer])?)
    });
    let refused = ["A week may not have more than 5000 starts and ends of time spans."];
    routing.get("/call-queues/queues/1/week").invalid(&refused);
    // One queue does not spoil the states of the others.
    assert_eq!(routing.get("/call-queues/queues/states").ok()["total"], 1);
}

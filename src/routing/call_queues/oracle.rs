//! A slow reference implementation of the call queue look-up: it counts calendar days one by one and checks every row.
//! Tests compare the look-up with it.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::exceptions::RoutingException;
use super::time_spans::TimeSpan;
use crate::api::entity_rows;
use crate::tests::{RoutingClient, TestServer};

/// Converts dates to days since 1970 and back, month by month.
pub mod plain {
    fn days_in(year: i64, month: i64) -> i64 {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        match month {
            2 => 28 + i64::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    pub fn days(year: i64, month: i64, day: i64) -> i64 {
        let before: i64 = (1970..year).flat_map(|year| (1..=12).map(move |month| days_in(year, month))).sum();
        before + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1
    }

    pub fn date(mut days: i64) -> (i64, i64, i64) {
        let (mut year, mut month) = (1970, 1);
        while days >= days_in(year, month) {
            days -= days_in(year, month);
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        (year, month, days + 1)
    }

    /// 1970 began on a Thursday.
    pub fn day_of_week(days: i64) -> i64 {
        (days + 4) % 7
    }

    pub fn last_sunday(year: i64, month: i64) -> i64 {
        let last = days(year, month, days_in(year, month));
        last - day_of_week(last)
    }

    /// Local time in Paris, in seconds, for a UTC time in seconds.
    pub fn paris(utc: i64) -> i64 {
        let (year, _, _) = date(utc.div_euclid(86_400));
        let change = |month| last_sunday(year, month) * 86_400 + 3600;
        utc + if (change(3)..change(10)).contains(&utc) { 7200 } else { 3600 }
    }

    pub fn written(seconds: i64) -> String {
        let ((year, month, day), time) = (date(seconds.div_euclid(86_400)), seconds.rem_euclid(86_400));
        format!("{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
    }

    pub fn second(time: &str) -> i64 {
        time.split(':').zip([3600, 60, 1]).map(|(part, unit)| part.parse::<i64>().unwrap() * unit).sum()
    }
}

/// Possible parents of a row: the queue, its group, and others with the same ids that must not match.
const PARENTS: [(&str, i64); 4] =
    [("call_queue", 1), ("call_queue_group", 2), ("call_queue_group", 1), ("call_queue", 2)];

const DATES: [&str; 12] = [
    "2024-02-28",
    "2024-02-29",
    "2024-03-01",
    "2024-03-30",
    "2024-03-31",
    "2024-04-01",
    "2024-10-26",
    "2024-10-27",
    "2024-10-28",
    "2027-02-28",
    "2027-03-28",
    "2027-10-31",
];

/// A request body, with the index of its parent.
pub type OracleRow = (usize, Value);

/// A row with its id.
pub type WrittenRow = (i64, OracleRow);

fn destination() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(select(vec!["802", "803"]))
}

fn a_span() -> impl Strategy<Value = OracleRow> {
    let starts = select(vec!["00:00", "02:00", "02:30", "03:00:00", "23:00", "24:00"]);
    let ends = select(vec!["00:00", "00:00:01", "02:30:00", "03:00", "12:00", "23:59:59", "24:00"]);
    let times = (starts, ends).prop_filter("it has an end", |(start, end)| {
        plain::second(start) != plain::second(end) && (*start, *end) != ("24:00", "00:00")
    });
    let day = prop_oneof![
        (0..7_i64).prop_map(|day| ("day_of_week", json!(day))),
        select(DATES.to_vec()).prop_map(|date| ("date_full", json!(date)))
    ];
    (0..PARENTS.len(), day, times, destination()).prop_map(|(parent, (field, day), (start, end), to)| {
        (parent, json!({field: day, "start_time": start, "end_time": end, "destination": to}))
    })
}

fn an_exception() -> impl Strategy<Value = OracleRow> {
    let every_year = select(DATES.to_vec()).prop_map(|date| format!("-{}", &date[4..]));
    let day = prop_oneof![select(DATES.to_vec()).prop_map(str::to_owned), every_year];
    (0..PARENTS.len(), day, destination())
        .prop_map(|(parent, day, to)| (parent, json!({"day": day, "destination": to})))
}

/// A requested time and the local time then, in seconds: around clock changes and midnights.
pub fn a_moment() -> impl Strategy<Value = (String, i64)> {
    let day = |(year, month, day)| plain::days(year, month, day) * 86_400;
    let centres =
        [(2024, 2, 29), (2024, 3, 1), (2024, 3, 31), (2024, 10, 27), (2027, 3, 28), (2027, 10, 31), (2027, 3, 1)];
    let near = (select(centres.map(day).to_vec()), -16..17_i64, -1..2_i64);
    (near.prop_map(|(day, quarters, seconds)| day + 3600 + quarters * 900 + seconds), any::<bool>()).prop_map(
        |(seconds, is_utc)| {
            if is_utc {
                return (format!("{}Z", plain::written(seconds)), plain::paris(seconds));
            }
            let (year, _, _) = plain::date(seconds.div_euclid(86_400));
            let skipped = plain::last_sunday(year, 3) * 86_400 + 7200;
            let later = if (skipped..skipped + 3600).contains(&seconds) { 3600 } else { 0 };
            (plain::written(seconds), seconds + later)
        },
    )
}

/// The expected response, found row by row: the reason, the id of the row, and the destination.
fn expected(is_active: bool, spans: &[WrittenRow], exceptions: &[WrittenRow], clock: i64) -> Value {
    let (days, time) = (clock.div_euclid(86_400), clock.rem_euclid(86_400));
    let date = plain::written(clock)[..10].to_owned();
    let by_default = |reason: &str, id: Option<i64>| json!([reason, id, "899", "voicemail"]);
    if !is_active {
        return by_default("inactive", None);
    }
    for parent in [0, 1] {
        for wanted in [date.clone(), format!("-{}", &date[4..])] {
            for (id, (of, row)) in exceptions {
                if *of == parent && row["day"] == wanted {
                    let to = &row["destination"];
                    return if to.is_null() {
                        by_default("exception", Some(*id))
                    } else {
                        json!(["exception", id, to, null])
                    };
                }
            }
        }
    }
    for parent in [0, 1] {
        for field in ["date_full", "day_of_week"] {
            // The seconds of the previous day and of this day that the span covers.
            let is_on = |row: &Value, days: i64| match field {
                "date_full" => row[field] == plain::written(days * 86_400)[..10],
                _ => row[field] == plain::day_of_week(days),
            };
            for (id, (of, row)) in spans {
                let second = |field: &str| plain::second(row[field].as_str().unwrap());
                let (start, end) = (second("start_time"), second("end_time"));
                let end = if end < start { end + 86_400 } else { end };
                let covers =
                    |days_ago: i64| is_on(row, days - days_ago) && (start..end).contains(&(time + days_ago * 86_400));
                if *of == parent && (covers(0) || covers(1)) {
                    let to = &row["destination"];
                    return if to.is_null() {
                        json!(["time_span", id, "801", "queue"])
                    } else {
                        json!(["time_span", id, to, null])
                    };
                }
            }
        }
    }
    by_default("default", None)
}

/// The queue `Q1` in the group 2, with rows of all parents.
pub struct OracleQueue<'s> {
    pub server: &'s TestServer,
    pub routing: RoutingClient<'s>,
}

impl<'s> OracleQueue<'s> {
    pub fn new(server: &'s TestServer) -> Self {
        let routing = RoutingClient::new(server);
        for name in ["1", "2"] {
            routing.create("/call-queues/groups", json!({"name": name}));
        }
        let queue = json!({
            "name": "Q", "code": "Q1", "number": "801", "call_queue_group_id": 2, "default_destination": "899",
            "default_destination_type": "voicemail",
        });
        routing.create("/call-queues/queues", queue);
        routing.create("/call-queues/queues", json!({"name": "R", "call_queue_group_id": 1}));
        Self { server, routing }
    }

    /// Replaces all rows. Returns the new ones with their ids.
    pub fn write(&self, rows: &OracleRows) -> (Vec<WrittenRow>, Vec<WrittenRow>) {
        let (recorder, customer) = (self.server.recorder(), self.routing.customer);
        let OracleRows { spans, exceptions, is_active } = rows.clone();
        self.server.in_file(move |db| {
            db.execute_batch("DELETE FROM time_spans; DELETE FROM routing_exceptions")?;
            db.execute("UPDATE call_queues SET active = ?1 WHERE id = 1", [is_active])?;
            let with_parent = |name: &str, (parent, row): &OracleRow| {
                let mut row = row.clone();
                let (kind, id) = PARENTS[*parent];
                (row[format!("{name}_id")], row[format!("{name}_type")]) = (json!(id), json!(kind));
                row
            };
            let (mut made, mut closed) = (Vec::new(), Vec::new());
            for span in &spans {
                let new: TimeSpan = serde_json::from_value(with_parent("time_spanable", span)).unwrap();
                let new = entity_rows::add(
                    db,
                    &recorder,
                    entity_rows::timed(TimeSpan { customer_id: customer, ..new }, recorder.at),
                )?;
                made.push((new.id, span.clone()));
            }
            for exception in &exceptions {
                let new: RoutingException = serde_json::from_value(with_parent("exceptionable", exception)).unwrap();
                let new = RoutingException { customer_id: customer, ..new };
                let new = entity_rows::add(db, &recorder, entity_rows::timed(new, recorder.at))?;
                closed.push((new.id, exception.clone()));
            }
            Ok((made, closed))
        })
    }
}

/// The time spans and exceptions of a case.
#[derive(Debug, Clone)]
pub struct OracleRows {
    spans: Vec<OracleRow>,
    exceptions: Vec<OracleRow>,
    is_active: bool,
}

pub fn rows() -> impl Strategy<Value = OracleRows> {
    let spans = prop::collection::vec(a_span(), 0..14);
    (spans, prop::collection::vec(an_exception(), 0..5), prop::bool::weighted(0.9))
        .prop_map(|(spans, exceptions, is_active)| OracleRows { spans, exceptions, is_active })
}

#[test]
fn at_any_moment_calls_go_where_a_slow_look_at_every_row_says() {
    let server = TestServer::new();
    let queue = OracleQueue::new(&server);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(128));
    let ran = runner.run(&(rows(), prop::collection::vec(a_moment(), 12)), |(rows, moments)| {
        let (spans, exceptions) = queue.write(&rows);
        for (moment, clock) in moments {
            let found = queue.routing.get(&format!("/call-queues/lookup?code=Q1&at={moment}")).ok();
            let of = |name: &str| found[name].clone();
            let told = json!([of("reason"), found["matched"]["id"], of("destination"), of("destination_type")]);
            prop_assert_eq!(told, expected(rows.is_active, &spans, &exceptions, clock), "{}", moment);
            prop_assert_eq!(of("open"), of("reason") == "time_span");
        }
        Ok(())
    });
    ran.unwrap();
}

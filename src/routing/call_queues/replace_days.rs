//! Replaces the time spans of days of the week in one request, all or none: new hours for several days, or a copy of one
//! day to others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parents::{self, OfParent, ParentType};
use super::time_spans::{SavedSpan, TimeSpan};
use crate::api::json_body::{self, ReadError, ValueReader};
use crate::api::{BodyKind, Ctx, Error, Input, Operation, Request, Result, Saved, crud, entity_rows};
use crate::routing::customer_param::CustomerParam;
use crate::values::{DayOfWeek, RowId, Text, TimeOfDay, UniqueList};

/// Maximum number of time spans that a request creates.
const MOST: usize = 1000;

/// Permissions that the request requires besides that of its route: it deletes and creates rows.
const PERMISSIONS: [&str; 2] = ["routing.delete", "routing.create"];

/// Days of the week, and their new hours: `time_spans`, or those of another day (`from_day`).
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("examples" = [
    {"time_spanable_id": 1, "time_spanable_type": "call_queue", "days": [2, 3, 4, 5], "from_day": 1}
]))]
pub struct ReplacedDays {
    /// Id of the queue or group.
    time_spanable_id: RowId,
    /// Type of that parent.
    #[serde(deserialize_with = "parents::by_any_name")]
    time_spanable_type: ParentType,
    /// Days of the week from 0 (Sunday) to 6 (Saturday). All their time spans are replaced. Time spans of dates stay.
    days: UniqueList<DayOfWeek>,
    /// Copy the time spans of this day of the week. Not allowed together with `time_spans`.
    from_day: Option<DayOfWeek>,
    /// New time spans of each day. An empty list closes the days. Other fields of an item are ignored, so it may be a
    /// time span as it was read.
    time_spans: Option<Vec<DaySpan>>,
}

/// A time span of any day.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["start_time", "end_time"]))]
pub struct DaySpan {
    /// Start of the period, in the workspace's time zone.
    start_time: TimeOfDay,
    /// End of the period, not included. `24:00` is the end of the day. A time before `start_time` is on the next day.
    end_time: TimeOfDay,
    /// Where calls go in this period. If null, they go to the queue's own number.
    destination: Option<Text<255>>,
    /// Free text, for example a reference in another system.
    reference: Option<Text<255>>,
}

/// Reads the body. The parent in the body takes precedence over that in the query.
impl Input for ReplacedDays {
    const BODY: BodyKind = BodyKind::Json;

    fn read(request: &Request) -> Result<Self> {
        let reading = ValueReader::of(request);
        let mut fields = json_body::parse(&request.body)?;
        parents::fill_in(&mut fields, request, TimeSpan::PARENT);
        let items = fields.remove("time_spans").unwrap_or_default();
        let named: Self = reading.new_value(&fields)?;
        let time_spans = day_spans(&reading, items)?;
        let wrong = match (named.from_day, &time_spans) {
            _ if named.days.is_empty() => "The days field is required.",
            (None, None) => "The from day field is required when time spans is not present.",
            (Some(_), Some(_)) => "The from day field is prohibited when time spans is present.",
            (Some(day), None) if named.days.contains(&day) => "The from day may not be one of the days.",
            _ => return Ok(Self { time_spans, ..named }),
        };
        Err(Error::invalid(wrong))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body::<Self>(&["days".to_owned()]);
    }
}

/// The items, each with what is wrong in it.
fn day_spans(reading: &ValueReader, items: Value) -> Result<Option<Vec<DaySpan>>> {
    let items = match items {
        Value::Null => return Ok(None),
        Value::Array(items) => items,
        _ => return Err(Error::invalid("The time spans must be a list.")),
    };
    if items.len() > MOST {
        return Err(too_many(MOST));
    }
    let (mut spans, mut wrong) = (Vec::new(), Vec::new());
    for (number, item) in (1..).zip(items) {
        let Value::Object(fields) = item else {
            wrong.push(format!("item {number}: The item must be an object."));
            continue;
        };
        match reading.new_value(&fields) {
            Ok(span) => spans.push(span),
            Err(ReadError::Fields(problems)) => {
                wrong.extend(problems.into_iter().map(|problem| format!("item {number}: {}", problem.sentence)));
            }
            Err(unknown @ ReadError::NeedsZone) => return Err(unknown.into()),
        }
    }
    if wrong.is_empty() { Ok(Some(spans)) } else { Err(Error::sentences(wrong)) }
}

fn too_many(most: usize) -> Error {
    Error::invalid(format!("The time spans may not be more than {most}."))
}

/// The days after the change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DaysAfter {
    /// Always `ok`.
    response: &'static str,
    /// Number of deleted time spans.
    deleted: usize,
    /// Number of created time spans.
    created: usize,
    /// The created time spans, by day in the order of the request.
    data: Vec<SavedSpan>,
}

pub fn replace(ctx: &mut Ctx<'_>, scope: CustomerParam, wanted: ReplacedDays) -> Result<Saved<DaysAfter>> {
    for name in PERMISSIONS {
        ctx.require_permission(name)?;
    }
    let customer = scope.id(ctx)?;
    let parent = TimeSpan {
        time_spanable_id: wanted.time_spanable_id,
        time_spanable_type: wanted.time_spanable_type,
        ..TimeSpan::default()
    };
    if let Some(wrong) = parents::problem(ctx.db, customer, &parent)? {
        return Err(Error::invalid(wrong));
    }
    let new: Vec<TimeSpan> = match wanted.from_day {
        Some(day) => TimeSpan::of_day(ctx.db, &parent, day)?,
        None => wanted.time_spans.into_iter().flatten().map(|span| span.of(&parent)).collect(),
    };
    if new.len() * wanted.days.len() > MOST {
        return Err(too_many(MOST / wanted.days.len()));
    }
    let recorder = ctx.recorder()?;
    let (mut deleted, mut made) = (0, Vec::new());
    for day in &*wanted.days {
        for old in TimeSpan::of_day(ctx.db, &parent, *day)? {
            entity_rows::delete(ctx.db, &recorder, &old)?;
            deleted += 1;
        }
        for (number, span) in (1..).zip(&new) {
            let row = TimeSpan { id: 0, day_of_week: Some(*day), ..span.clone() };
            let row = crud::create_for(ctx, Some(customer), row);
            made.push(row.map_err(|error| match error {
                Error::Invalid(_) => Error::sentences(
                    error.messages().into_iter().map(|said| format!("item {number}: {said}")).collect::<Vec<_>>(),
                ),
                other => other,
            })?);
        }
    }
    let data = SavedSpan::of_many(ctx.db, made)?;
    Ok(Saved(DaysAfter { response: "ok", deleted, created: data.len(), data }))
}

impl DaySpan {
    fn of(self, parent: &TimeSpan) -> TimeSpan {
        TimeSpan {
            start_time: self.start_time,
            end_time: self.end_time,
            destination: self.destination,
            reference: self.reference,
            ..parent.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};
    use proptest::test_runner::{Config, TestRunner};
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    const REPLACE: &str = "/call-queues/time-spans/replace";
    const SPANS: &str = "/call-queues/time-spans";

    fn of_queue(id: i64, mut body: Value) -> Value {
        (body["time_spanable_id"], body["time_spanable_type"]) = (json!(id), json!("call_queue"));
        body
    }

    fn desk(server: &TestServer) -> RoutingClient<'_> {
        let routing = RoutingClient::new(server);
        for name in ["Q", "R"] {
            routing.create("/call-queues/queues", json!({"name": name, "number": "801", "default_destination": "899"}));
        }
        routing.create("/call-queues/groups", json!({"name": "G"}));
        routing
    }

    #[test]
    fn a_day_is_copied_to_others_and_nothing_else_changes() {
        let server = TestServer::new();
        let routing = desk(&server);
        let span = |day: i64| json!({"day_of_week": day, "start_time": "09:00", "end_time": "12:00"});
        let monday = json!({"day_of_week": 1, "start_time": "22:00", "end_time": "02:00", "destination": "802", "reference": "R"});
        let date = json!({"date_full": "2027-03-02", "start_time": "09:00", "end_time": "12:00"});
        for new in [monday, span(2), span(2), span(6), date] {
            routing.create(SPANS, of_queue(1, new));
        }
        let others = routing.create(SPANS, of_queue(2, span(2)));
        let mut of_group = of_queue(1, span(2));
        of_group["time_spanable_type"] = json!("call_queue_group");
        let of_group = routing.create(SPANS, of_group);

        let made = routing.post(REPLACE, of_queue(1, json!({"days": [3, 2, 3], "from_day": 1}))).created();
        assert_eq!((&made["deleted"], &made["created"]), (&json!(2), &json!(2)));
        for (row, day) in made["data"].as_array().unwrap().iter().zip([3, 2]) {
            assert_eq!(row["day_of_week"], day);
            assert_eq!((&row["start_time"], &row["end_time"]), (&json!("22:00"), &json!("02:00")));
            assert_eq!((&row["destination"], &row["reference"]), (&json!("802"), &json!("R")));
        }
        let left = routing.ids(&format!("{SPANS}?per_page=500"));
        let copies = made["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap());
        let mut expected: Vec<i64> = [1, 4, 5, others, of_group].into_iter().chain(copies).collect();
        expected.sort_unstable();
        let sorted = |mut ids: Vec<i64>| {
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(left), expected);
        let entries = |action: &str| {
            let path = format!("/audit-log?filter[resource]=time-span&filter[action]={action}");
            routing.client.get(&path).ok()["total"].clone()
        };
        assert_eq!((entries("deleted"), entries("created")), (json!(2), json!(9)));

        // Rows may be sent as they were read. An empty list closes the days.
        let read = routing.get(&format!("{SPANS}/{}", expected[0])).ok();
        let made = routing.post(REPLACE, of_queue(1, json!({"days": [6], "time_spans": [read]}))).created();
        assert_eq!((&made["deleted"], &made["data"][0]["destination"]), (&json!(1), &json!("802")));
        let in_query = format!("{REPLACE}?time_spanable_id=1&time_spanable_type=call_queue");
        let closed = routing.post(&in_query, json!({"days": [6], "time_spans": []})).created();
        assert_eq!((&closed["deleted"], &closed["created"]), (&json!(1), &json!(0)));
    }

    #[test]
    fn a_wrong_request_changes_nothing() {
        let server = TestServer::new();
        let routing = desk(&server);
        routing.create(SPANS, of_queue(1, json!({"day_of_week": 2, "start_time": "09:00", "end_time": "12:00"})));
        let theirs = RoutingClient::new(&server).create("/call-queues/queues", json!({"name": "Q"}));
        let many = vec![json!({"start_time": "09:00", "end_time": "12:00"}); 501];
        let empty = json!({"start_time": "09:00", "end_time": "09:00"});
        for (id, body, says) in [
            (1, json!({"from_day": 1}), &["The days field is required."][..]),
            (1, json!({"days": [2]}), &["The from day field is required when time spans is not present."]),
            (
                1,
                json!({"days": [2], "from_day": 1, "time_spans": []}),
                &["The from day field is prohibited when time spans is present."],
            ),
            (1, json!({"days": [1, 2], "from_day": 1}), &["The from day may not be one of the days."]),
            (1, json!({"days": [7], "from_day": 1}), &["The days 0 must be between 0 and 6."]),
            (1, json!({"days": [2], "time_spans": {"a": 1}}), &["The time spans must be a list."]),
            (
                1,
                json!({"days": [2], "time_spans": [{"end_time": "25:00"}, 7]}),
                &[
                    "item 1: The end time must be a time of day, like 09:00 or 09:00:30.",
                    "item 1: The start time field is required.",
                    "item 2: The item must be an object.",
                ],
            ),
            (
                1,
                json!({"days": [2], "time_spans": [empty]}),
                &["item 1: The end time must differ from the start time."],
            ),
            (1, json!({"days": [2, 3], "time_spans": many}), &["The time spans may not be more than 500."]),
            (theirs, json!({"days": [2], "from_day": 1}), &["The selected time spanable id is invalid."]),
        ] {
            routing.post(REPLACE, of_queue(id, body)).invalid(says);
        }
        assert_eq!(routing.ids(SPANS), [1]);
        for lacking in ["routing.delete", "routing.create"] {
            let kept =
                ["routing.update", "routing.delete", "routing.create"].into_iter().filter(|name| *name != lacking);
            let agent = server.with_only(&kept.collect::<Vec<_>>());
            let refused = agent.post(&routing.path(REPLACE), of_queue(1, json!({"days": [2], "from_day": 1})));
            refused.rejected(403, "missing_permission");
        }
        assert_eq!(routing.ids(SPANS), [1]);
    }

    /// A time span with its day.
    fn a_span() -> impl Strategy<Value = (i64, Value)> {
        let starts = select(vec!["00:00", "02:00", "09:00:30", "22:00", "24:00"]);
        let ends = select(vec!["00:00", "01:00", "03:00", "12:00", "23:59:59", "24:00"]);
        let times = (starts, ends)
            .prop_filter("it has an end", |(start, end)| start != end && (*start, *end) != ("24:00", "00:00"));
        (0..7_i64, times, select(vec!["802", "803"])).prop_map(|(day, (start, end), to)| {
            (day, json!({"start_time": start, "end_time": end, "destination": to, "day_of_week": day}))
        })
    }

    /// The looked-up destination on a day of the week that begins on Monday, 8 March 2027.
    fn goes_to(routing: &RoutingClient<'_>, queue: i64, day: i64, time: &str) -> Value {
        let date = 8 + (day + 6) % 7;
        let path = format!("/call-queues/lookup?id={queue}&at=2027-03-{date:02}T{time}");
        let found = routing.get(&path).ok();
        json!([found["open"], found["destination"]])
    }

    #[test]
    fn a_copied_day_answers_as_the_day_from_which_it_was_copied() {
        const TIMES: [&str; 7] = ["00:00:00", "01:00:00", "02:30:00", "09:00:30", "12:00:00", "22:00:00", "23:59:59"];
        let spans = prop::collection::vec(a_span(), 0..8);
        let days = (0..7_i64).prop_flat_map(|from| {
            let others: Vec<i64> = (0..7).filter(|day| *day != from).collect();
            (Just(from), subsequence(others, 1..=6))
        });
        let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
        let tried = runner.run(&(spans, days), |(spans, (from, days))| {
            let server = TestServer::new();
            let routing = desk(&server);
            for (_, span) in &spans {
                routing.create(SPANS, of_queue(1, span.clone()));
            }
            routing.post(REPLACE, of_queue(1, json!({"days": days, "from_day": from}))).created();
            // The other queue gets the expected hours one by one. Copies are younger than the hours that stay.
            let stay = spans.iter().filter(|(day, _)| !days.contains(day)).map(|(day, span)| (*day, span));
            let of_source = || spans.iter().filter(|(day, _)| *day == from).map(|(_, span)| span);
            let copies = days.iter().flat_map(|day| of_source().map(|span| (*day, span)));
            for (day, span) in stay.chain(copies) {
                let mut span = of_queue(2, span.clone());
                span["day_of_week"] = json!(day);
                routing.create(SPANS, span);
            }
            // If hours overlap across midnight, the older ones win, and the source has the oldest.
            let time = |span: &Value, field: &str| span[field].as_str().unwrap().to_owned();
            let tails = of_source().filter(|span| time(span, "end_time") < time(span, "start_time"));
            let latest = tails.map(|span| time(span, "end_time")).max().unwrap_or_default();
            let overlap = of_source().any(|span| time(span, "start_time") < latest);
            for day in 0..7 {
                for time in TIMES {
                    let answer = goes_to(&routing, 1, day, time);
                    prop_assert_eq!(&answer, &goes_to(&routing, 2, day, time), "{} {}", day, time);
                    if days.len() == 6 && !overlap {
                        prop_assert_eq!(&answer, &goes_to(&routing, 1, from, time), "{} {}", day, time);
                    }
                }
            }
            Ok(())
        });
        tried.unwrap();
    }
}

//! Time spans: when a queue or a group of queues is open, on a day of the week or on one date, and where calls go then.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bulk::create_many;
use super::parents::{self, OfParent, ParentType, create};
use crate::api::list::{By, Filter, Listed, Listing, Sort};
use crate::api::{Changes, Created, Ctx, Error, Id, Needs, Result, Route, delete, get, post, put, run};
use crate::routing::rows::{self, Routed, list, remove, remove_many, routed, show};
use crate::routing::whose::Whose;
use crate::values::{DayOfWeek, FullDate, RowId, Text, TimeOfDay, Timestamp};

pub const ROUTES: &[Route] = &[
    get(
        "/smart-routings/call-queues/time-spans",
        &run(list::<TimeSpan>),
        Needs::Scoped("routing.view"),
        "List time spans",
    ),
    get(
        "/smart-routings/call-queues/time-spans/{id}",
        &run(show::<TimeSpan>),
        Needs::Scoped("routing.view"),
        "Show a time span",
    ),
    post(
        "/smart-routings/call-queues/time-spans",
        &run(create::<TimeSpan>),
        Needs::Scoped("routing.create"),
        "Create a time span",
    ),
    post(
        "/smart-routings/call-queues/time-spans/bulk",
        &run(create_many),
        Needs::Scoped("routing.create"),
        "Create time spans, all or none",
    )
    .named("createTimeSpans"),
    put(
        "/smart-routings/call-queues/time-spans/{id}",
        &run(update),
        Needs::Scoped("routing.update"),
        "Change a time span",
    ),
    delete(
        "/smart-routings/call-queues/time-spans/bulk",
        &run(remove_many::<TimeSpan>),
        Needs::Scoped("routing.delete"),
        "Delete time spans, all or none",
    ),
    delete(
        "/smart-routings/call-queues/time-spans/{id}",
        &run(remove::<TimeSpan>),
        Needs::Scoped("routing.delete"),
        "Delete a time span",
    ),
];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("examples" = [{"day_of_week": 1, "start_time": "09:00", "end_time": "18:00", "destination": "801"}]))]
pub struct TimeSpan {
    #[schemars(extend("readOnly" = true))]
    pub id: i64,
    #[schemars(extend("readOnly" = true))]
    pub customer_id: i64,
    /// The queue or the group that it is of, as said when it was made.
    pub time_spanable_id: RowId,
    /// Which of the two that is.
    #[serde(deserialize_with = "parents::by_any_name")]
    pub time_spanable_type: ParentType,
    pub reference: Option<Text<255>>,
    /// Where calls go; the queue itself, where there is none.
    #[schemars(example = &"801")]
    pub destination: Option<Text<255>>,
    /// From 0, a Sunday, to 6, a Saturday. There is either this or `date_full`.
    pub day_of_week: Option<DayOfWeek>,
    /// One date, which comes before the day of the week.
    pub date_full: Option<FullDate>,
    /// By the clocks of the workspace, as it was written.
    pub start_time: TimeOfDay,
    /// The first moment that is no more in the span. `24:00` is the end of the day.
    pub end_time: TimeOfDay,
    /// Seconds since midnight.
    #[serde(skip)]
    pub start_second: i64,
    #[serde(skip)]
    pub end_second: i64,
    #[schemars(extend("readOnly" = true))]
    pub created_at: Timestamp,
    #[schemars(extend("readOnly" = true))]
    pub updated_at: Timestamp,
}

/// A day that a change names takes the place of the other: clients leave out what is null, so they cannot clear that.
fn update(ctx: &mut Ctx<'_>, whose: Whose, Id(id): Id, changes: Changes<TimeSpan>) -> Result<Created<TimeSpan>> {
    let old = whose.its(ctx, TimeSpan::find(ctx.db, id)?)?;
    let changes = changes.without(&TimeSpan::PARENT);
    let named = changes.apply(&TimeSpan { day_of_week: None, date_full: None, ..old.clone() })?;
    let names_day = named.day_of_week.is_some() || named.date_full.is_some();
    let new = if names_day { named } else { changes.apply(&old)? };
    rows::change(ctx.db, &ctx.author()?, &old, new).map(Created)
}

routed!(TimeSpan in "time_spans", told of as "time-span" {
    time_spanable_id, time_spanable_type, reference, destination, day_of_week, date_full, start_time, end_time,
    start_second, end_second,
});

impl Routed for TimeSpan {
    fn check(&mut self, db: &Connection, old: Option<&Self>) -> Result<()> {
        (self.start_second, self.end_second) = (self.start_time.second(), self.end_time.second());
        let parent = if old.is_none() { parents::problem(db, self.customer_id, self)? } else { None };
        let days = match (self.day_of_week, &self.date_full) {
            (None, None) => Some("The day of week field is required when date full is not present."),
            (Some(_), Some(_)) => Some("The date full field is prohibited when day of week is present."),
            _ => None,
        };
        let times = (self.start_second >= self.end_second).then_some("The end time must be after the start time.");
        let wrong: Vec<String> =
            parent.into_iter().chain([days, times].into_iter().flatten().map(str::to_owned)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
    }
}

impl OfParent for TimeSpan {
    const PARENT: [&'static str; 2] = ["time_spanable_id", "time_spanable_type"];

    fn parent(&self) -> (i64, ParentType) {
        (self.time_spanable_id.get(), self.time_spanable_type)
    }
}

impl Listed for TimeSpan {
    const LISTING: Listing = Listing {
        table: "time_spans",
        columns: Self::COLUMNS,
        filters: &[
            Filter { name: "id", by: By::Integer("id") },
            Filter { name: "customer_id", by: By::Integer("customer_id") },
            Filter { name: "time_spanable_id", by: By::Integer("time_spanable_id") },
            Filter { name: "time_spanable_type", by: By::Choice("time_spanable_type", ParentType::WORDS) },
            Filter { name: "reference", by: By::Text("reference") },
            Filter { name: "destination", by: By::Text("destination") },
            Filter { name: "day_of_week", by: By::Integer("day_of_week") },
            Filter { name: "date_full", by: By::Text("date_full") },
            Filter { name: "start_time", by: By::Text("start_time") },
            Filter { name: "end_time", by: By::Text("end_time") },
            Filter { name: "created_at", by: By::Moment("created_at") },
            Filter { name: "updated_at", by: By::Moment("updated_at") },
            Filter { name: "term", by: By::Words(&["reference", "destination"]) },
        ],
        plain_filters: true,
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "day_of_week", column: "day_of_week" },
            Sort { name: "date_full", column: "date_full" },
            Sort { name: "start_time", column: "start_second" },
            Sort { name: "end_time", column: "end_second" },
            Sort { name: "created_at", column: "created_at" },
            Sort { name: "updated_at", column: "updated_at" },
        ],
        newest_first: false,
        counted_by_triggers: false,
        customer: Some("customer_id"),
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_row(row)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::routing::testing::Desk;
    use crate::testing::Bench;

    const OF_QUEUE: &str = "/call-queues/time-spans?time_spanable_id=1&time_spanable_type=call_queue";

    /// Somebody whose customer has a queue and a group, each with the id 1.
    fn desk(bench: &Bench) -> Desk<'_> {
        let desk = Desk::new(bench);
        desk.made("/call-queues/queues", json!({"name": "Q"}));
        desk.made("/call-queues/groups", json!({"name": "G"}));
        desk
    }

    fn morning() -> Value {
        json!({"day_of_week": 1, "start_time": "09:00", "end_time": "12:30:00"})
    }

    #[test]
    fn times_are_answered_as_they_were_written() {
        let bench = Bench::new();
        let desk = desk(&bench);
        let made = desk.post(OF_QUEUE, morning()).created();
        assert_eq!((&made["start_time"], &made["end_time"]), (&json!("09:00"), &json!("12:30:00")));
        assert_eq!(made.get("start_second"), None);
        assert_eq!(desk.get("/call-queues/time-spans/1").ok(), made);
        desk.post(OF_QUEUE, json!({"day_of_week": 0, "start_time": "00:00", "end_time": "24:00"})).created();
        let time = "must be a time of day, like 09:00 or 09:00:30.";
        desk.post(OF_QUEUE, json!({"day_of_week": 7, "start_time": "9:00", "end_time": "é4:00"})).invalid(&[
            "The day of week must be between 0 and 6.",
            &format!("The start time {time}"),
            &format!("The end time {time}"),
        ]);
        desk.post(OF_QUEUE, json!({"day_of_week": 1}))
            .invalid(&["The start time field is required.", "The end time field is required."]);
        let after = &["The end time must be after the start time."];
        for (start, end) in [("09:00", "09:00:00"), ("09:00:01", "09:00"), ("24:00", "24:00")] {
            desk.post(OF_QUEUE, json!({"day_of_week": 1, "start_time": start, "end_time": end})).invalid(after);
        }
        desk.put("/call-queues/time-spans/1", json!({"end_time": "08:00"})).invalid(after);
    }

    #[test]
    fn there_is_a_day_of_the_week_or_a_date_and_a_change_puts_one_in_the_place_of_the_other() {
        let bench = Bench::new();
        let desk = desk(&bench);
        let times = json!({"start_time": "09:00", "end_time": "12:00"});
        let with = |more: Value| {
            let mut body = times.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let neither = &["The day of week field is required when date full is not present."];
        let both = &["The date full field is prohibited when day of week is present."];
        let two = json!({"day_of_week": 1, "date_full": "2027-05-01"});
        desk.post(OF_QUEUE, with(json!({}))).invalid(neither);
        desk.post(OF_QUEUE, with(two.clone())).invalid(both);
        desk.post(OF_QUEUE, with(json!({"date_full": "2027-02-29"})))
            .invalid(&["The date full must be a valid date, like 2027-05-01."]);
        desk.made(OF_QUEUE, with(json!({"day_of_week": 0, "date_full": null})));
        let days = |change: Value| {
            let changed = desk.put("/call-queues/time-spans/1", change).created();
            (changed["day_of_week"].clone(), changed["date_full"].clone())
        };
        assert_eq!(days(json!({"date_full": "2027-05-01"})), (Value::Null, json!("2027-05-01")));
        assert_eq!(days(json!({"destination": "801"})), (Value::Null, json!("2027-05-01")));
        assert_eq!(days(json!({"day_of_week": null})), (Value::Null, json!("2027-05-01")));
        assert_eq!(days(json!({"day_of_week": 6})), (json!(6), Value::Null));
        assert_eq!(days(json!({"day_of_week": 5, "date_full": null})), (json!(5), Value::Null));
        desk.put("/call-queues/time-spans/1", two).invalid(both);
        desk.put("/call-queues/time-spans/1", json!({"day_of_week": null})).invalid(neither);
    }

    #[test]
    fn a_parent_is_named_in_the_query_and_is_the_customers() {
        let bench = Bench::new();
        let desk = desk(&bench);
        let other = Desk::new(&bench);
        let theirs = other.made("/call-queues/queues", json!({"name": "Q"}));
        let path = |query: &str| format!("/call-queues/time-spans?{query}");
        let (id, kind) = ("The selected time spanable id is invalid.", "The selected time spanable type is invalid.");
        for (query, says) in [
            ("", vec!["The time spanable id field is required.", "The time spanable type field is required."]),
            ("time_spanable_id=1", vec!["The time spanable type field is required."]),
            ("time_spanable_type=call_queue", vec!["The time spanable id field is required."]),
            ("time_spanable_id=x&time_spanable_type=call_queue", vec!["The time spanable id must be an integer."]),
            ("time_spanable_id=-1&time_spanable_type=call_queue", vec![id]),
            ("time_spanable_id=99&time_spanable_type=call_queue", vec![id]),
            (&format!("time_spanable_id={theirs}&time_spanable_type=call_queue"), vec![id]),
            (&format!("time_spanable_id={theirs}&time_spanable_type=call_queue_group"), vec![id]),
            ("time_spanable_id=1&time_spanable_type=user", vec![kind]),
            ("time_spanable_id=1&time_spanable_type=%C3%A9", vec![kind]),
            ("time_spanable_id=1&time_spanable_type=App%5CModels%5CUser", vec![kind]),
        ] {
            desk.post(&path(query), morning()).invalid(&says);
        }
        // With what else is wrong, at once.
        desk.post(&path("time_spanable_type=user"), json!({"start_time": "09:00"})).invalid(&[
            "The time spanable id field is required.",
            kind,
            "The end time field is required.",
        ]);
        for (named, is) in [
            ("call_queue", "call_queue"),
            ("App\\Models\\CallQueue", "call_queue"),
            ("App\\Models\\CallQueueGroup", "call_queue_group"),
            ("\\Modules\\Routing\\Entities\\CallQueueGroup", "call_queue_group"),
            ("callQueue", "call_queue"),
            ("CALL_QUEUE_GROUP", "call_queue_group"),
        ] {
            let named: String = form_urlencoded::byte_serialize(named.as_bytes()).collect();
            let made = desk.post(&path(&format!("time_spanable_id=1&time_spanable_type={named}")), morning()).created();
            assert_eq!((&made["time_spanable_id"], &made["time_spanable_type"]), (&json!(1), &json!(is)), "{named}");
        }
    }

    #[test]
    fn a_body_may_name_the_parent_where_the_query_does_not_and_nothing_moves_it_later() {
        let bench = Bench::new();
        let desk = desk(&bench);
        let mut body = morning();
        (body["time_spanable_id"], body["time_spanable_type"]) = (json!(99), json!("call_queue_group"));
        let made = desk.post(OF_QUEUE, body.clone()).created();
        assert_eq!((&made["time_spanable_id"], &made["time_spanable_type"]), (&json!(1), &json!("call_queue")));
        body["time_spanable_id"] = json!(1);
        let made = desk.post("/call-queues/time-spans", body.clone()).created();
        assert_eq!(made["time_spanable_type"], "call_queue_group");
        let elsewhere = "time_spanable_id=99&time_spanable_type=call_queue";
        let path = format!("/call-queues/time-spans/{}?{elsewhere}", made["id"]);
        let change = json!({"time_spanable_id": "x", "time_spanable_type": "call_queue", "reference": "R"});
        let changed = desk.put(&path, change).created();
        assert_eq!((&changed["time_spanable_id"], &changed["reference"]), (&json!(1), &json!("R")));
        assert_eq!(changed["time_spanable_type"], "call_queue_group");
    }

    #[test]
    fn time_spans_are_listed_by_each_of_their_fields() {
        let bench = Bench::new();
        let desk = desk(&bench);
        let weekly = json!({"reference": "Été", "destination": "801", "day_of_week": 1, "start_time": "09:00", "end_time": "12:00"});
        desk.made(OF_QUEUE, weekly);
        desk.made(
            "/call-queues/time-spans?time_spanable_id=1&time_spanable_type=call_queue_group",
            json!({"date_full": "2027-05-01", "start_time": "08:00", "end_time": "24:00"}),
        );
        for (query, ids) in [
            ("time_spanable_id=1", vec![1, 2]),
            ("time_spanable_type=call_queue", vec![1]),
            ("time_spanable_type=call_queue_group", vec![2]),
            ("reference=ete", vec![1]),
            ("destination=80", vec![1]),
            ("day_of_week=1", vec![1]),
            ("day_of_week=0", vec![]),
            ("date_full=2027-05-01", vec![2]),
            ("start_time=09:00", vec![1]),
            ("end_time=24:00", vec![2]),
            ("filter[term]=ete", vec![1]),
            ("sort=start_time", vec![2, 1]),
        ] {
            assert_eq!(desk.ids(&format!("/call-queues/time-spans?{query}")), ids, "{query}");
        }
    }
}

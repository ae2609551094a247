//! Time spans: when a queue or a group is open, on a day of the week or on a date, and where calls go then.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::civil::Date;
use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::create_many::create_many;
use super::parents::PARENTS;
use super::parents::{self, NewInParent, OfParent, ParentType};
use super::replace_days::replace;
use crate::api::crud::{self, list, remove, remove_many};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label, quick_filter};
use crate::api::{
    Changes, Ctx, Error, Id, Needs, Ok200, Result, Route, Saved, delete, entity_rows, get, post, put, run,
};
use crate::routing::customer_param::CustomerParam;
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::values::{DayOfWeek, FullDate, RowId, Text, TimeOfDay};

pub const RESOURCE: Resource =
    Resource::new("Time spans", "Opening hours of a queue or a group, by day of the week or by date.", ROUTES)
        .french("Horaires")
        .section(Section::Routing)
        .entity::<TimeSpan>()
        .more_fields(&[FIELDS])
        .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("overlaps", "Overlaps", "Chevauchements"),
    labelled("time_spans", "Time spans", "Plages horaires"),
    labelled("data", "Time spans", "Plages horaires"),
    labelled("days", "Days", "Jours"),
    labelled("from_day", "Day to copy", "Jour à copier"),
];

const VIEW: ResourceView = ResourceView {
    title: &["start_time", "end_time"],
    columns: &["day_of_week", "start_time", "end_time", "time_spanable_id", "destination", "date_full", "reference"],
    groups: &[
        group("Of", "Rattachement", &["time_spanable_type", "time_spanable_id", "customer_id"]),
        group("When", "Quand", &["day_of_week", "date_full", "start_time", "end_time"]),
        group("Where", "Où", &["destination", "reference"]),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("time_spanable_id", Widget::LinkBy("time_spanable_type", PARENTS)),
        ("date_full", Widget::Day),
        ("start_time", Widget::Clock),
        ("end_time", Widget::Clock),
        ("overlaps", Widget::Hidden),
    ],
    help: &[
        (
            "date_full",
            label(
                "For one day only. Leave the day of the week empty then.",
                "Pour un seul jour. Laissez alors vide le jour de la semaine.",
            ),
        ),
        (
            "end_time",
            label(
                "A time before the start is on the next day. 24:00 is midnight.",
                "Une heure avant le début est celle du lendemain. 24:00 est minuit.",
            ),
        ),
        (
            "destination",
            label(
                "Leave it empty for the number of the queue itself.",
                "Laissez vide pour le numéro de la file elle-même.",
            ),
        ),
    ],
    quick_filters: &[
        quick_filter("Monday", "Lundi", "filter[day_of_week]=1"),
        quick_filter("Tuesday", "Mardi", "filter[day_of_week]=2"),
        quick_filter("Wednesday", "Mercredi", "filter[day_of_week]=3"),
        quick_filter("Thursday", "Jeudi", "filter[day_of_week]=4"),
        quick_filter("Friday", "Vendredi", "filter[day_of_week]=5"),
        quick_filter("Saturday", "Samedi", "filter[day_of_week]=6"),
        quick_filter("Sunday", "Dimanche", "filter[day_of_week]=0"),
    ],
    purpose: label(
        "The hours in which a queue or a group is open.",
        "Les heures auxquelles une file ou un groupe est ouvert.",
    ),
    singular: label("time span", "une plage horaire"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/call-queues/time-spans",
        &run(list::<TimeSpan>),
        Needs::Scoped("routing.view"),
        "List time spans",
    ),
    get("/smart-routings/call-queues/time-spans/{id}", &run(show), Needs::Scoped("routing.view"), "Show a time span"),
    post("/smart-routings/call-queues/time-spans", &run(create), Needs::Scoped("routing.create"), "Create a time span"),
    post(
        "/smart-routings/call-queues/time-spans/bulk",
        &run(create_many),
        Needs::Scoped("routing.create"),
        "Create time spans, all or none",
    )
    .named("createTimeSpans"),
    post(
        "/smart-routings/call-queues/time-spans/replace",
        &run(replace),
        Needs::Scoped("routing.update"),
        "Replace the time spans of days of the week, or copy a day to others",
    )
    .named("replaceTimeSpans"),
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

entity! {
    /// A period in which a queue or a group is open.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    #[schemars(extend("examples" = [{"day_of_week": 1, "start_time": "09:00", "end_time": "18:00", "destination": "801"}]))]
    pub struct TimeSpan in "time_spans" {
        /// Id of the customer that owns the time span.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Id of the queue or group that the time span belongs to. It cannot be changed.
        pub time_spanable_id: RowId => integer, "Queue or group", "File ou groupe";
        /// Type of that parent. It cannot be changed.
        #[serde(deserialize_with = "parents::by_any_name")]
        pub time_spanable_type: ParentType => class(ParentType::WORDS), "Of", "Rattachement";
        /// Free text, for example a reference in another system.
        pub reference: Option<Text<255>> => text, "Reference", "Référence";
        /// Where calls go in this period. If null, they go to the queue's own number.
        #[schemars(example = &"801")]
        pub destination: Option<Text<255>> => text, "Destination", "Destination";
        /// Day of the week from 0 (Sunday) to 6 (Saturday). Either this or `date_full` is required.
        pub day_of_week: Option<DayOfWeek> => integer.sorted(), "Day of the week", "Jour de la semaine";
        /// A single date. It takes precedence over time spans by day of the week.
        pub date_full: Option<FullDate> => text.sorted(), "Date", "Date";
        /// Start of the period, in the workspace's time zone.
        pub start_time: TimeOfDay => text.sorted_by("start_second"), "Start", "Début";
        /// End of the period, not included. `24:00` is the end of the day. A time before `start_time` is on the next day.
        pub end_time: TimeOfDay => text.sorted_by("end_second"), "End", "Fin";
        /// Seconds since midnight.
        #[serde(skip)]
        pub start_second: i64 => stored;
        #[serde(skip)]
        pub end_second: i64 => stored;
    }
    recorded: &Recorded::announced("time-span", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["reference", "destination"])];
}

impl TimeSpan {
    /// The time spans on a day of the week that belong to the same parent as this one, oldest first.
    pub fn of_day(db: &Connection, sibling: &Self, day: DayOfWeek) -> Result<Vec<Self>> {
        let sql = format!(
            "SELECT {} FROM time_spans WHERE time_spanable_id = ?1 AND time_spanable_type = ?2 AND on_day = ?3 ORDER BY id",
            Self::COLUMNS
        );
        let bound = (sibling.time_spanable_id, sibling.time_spanable_type, format!("day {}", day.number()));
        let rows = db.prepare_cached(&sql)?.query_map(bound, Self::from_columns)?.collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }
}

/// A time span with the time spans that it overlaps.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SavedSpan {
    #[serde(flatten)]
    span: TimeSpan,
    /// Ids of the time spans of the same parent, on the same day of the week or date, that overlap this one; at most
    /// 100. The older one takes precedence. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overlaps: Vec<i64>,
}

impl SavedSpan {
    pub fn of(db: &Connection, span: TimeSpan) -> Result<Self> {
        let overlaps = Siblings::of(db, &span)?.overlaps(span.id);
        Ok(Self { span, overlaps })
    }

    pub fn of_many(db: &Connection, spans: Vec<TimeSpan>) -> Result<Vec<Self>> {
        let mut siblings: HashMap<(i64, bool, bool), Siblings> = HashMap::new();
        let mut saved = Vec::with_capacity(spans.len());
        for span in spans {
            let of =
                (span.time_spanable_id.get(), span.time_spanable_type == ParentType::GROUP, span.date_full.is_none());
            let siblings = match siblings.entry(of) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Siblings::of(db, &span)?),
            };
            let overlaps = siblings.overlaps(span.id);
            saved.push(Self { span, overlaps });
        }
        Ok(saved)
    }
}

fn show(ctx: &mut Ctx<'_>, scope: CustomerParam, Id(id): Id) -> Result<Ok200<SavedSpan>> {
    let span = crud::find::<TimeSpan>(ctx, &scope, id)?;
    SavedSpan::of(ctx.db, span).map(Ok200)
}

fn create(ctx: &mut Ctx<'_>, scope: CustomerParam, new: NewInParent<TimeSpan>) -> Result<Saved<SavedSpan>> {
    let Saved(span) = parents::create(ctx, scope, new)?;
    SavedSpan::of(ctx.db, span).map(Saved)
}

/// A new `day_of_week` or `date_full` replaces the other one. Clients omit null fields, so they could not clear it.
fn update(ctx: &mut Ctx<'_>, scope: CustomerParam, Id(id): Id, changes: Changes<TimeSpan>) -> Result<Saved<SavedSpan>> {
    let old = crud::find::<TimeSpan>(ctx, &scope, id)?;
    let changes = changes.ignoring(&TimeSpan::PARENT);
    let named = changes.apply(&TimeSpan { day_of_week: None, date_full: None, ..old.clone() })?;
    let names_day = named.day_of_week.is_some() || named.date_full.is_some();
    let new = if names_day { named } else { changes.apply(&old)? };
    let span = entity_rows::change(ctx.db, &ctx.recorder()?, &old, new)?;
    SavedSpan::of(ctx.db, span).map(Saved)
}

impl Entity for TimeSpan {
    fn check(&mut self, db: &Connection, old: Option<&Self>) -> Result<()> {
        (self.start_second, self.end_second) = (self.start_time.second(), self.end_time.second());
        let parent = if old.is_none() { parents::problem(db, self.customer_id, self)? } else { None };
        let days = match (self.day_of_week, &self.date_full) {
            (None, None) => Some("The day of week field is required when date full is not present."),
            (Some(_), Some(_)) => Some("The date full field is prohibited when day of week is present."),
            _ => None,
        };
        // 24:00 equals 00:00 of the next day.
        let is_empty = self.start_second == self.end_second || (self.start_second, self.end_second) == (DAY, 0);
        let times = is_empty.then_some("The end time must differ from the start time.");
        let wrong: Vec<String> =
            parent.into_iter().chain([days, times].into_iter().flatten().map(str::to_owned)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(Error::sentences(wrong)) }
    }
}

impl Editable for TimeSpan {}

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// Maximum number of overlaps in a response.
const MOST_OVERLAPS: usize = 100;

/// Time spans of one parent that can overlap: all by day of the week, or all by date. A date overlapping a day of the
/// week is intended: the date takes precedence.
struct Siblings {
    are_weekly: bool,
    /// Id, start and length of each span. The start is in seconds since the beginning of the week, or since year 1.
    spans: Vec<(i64, i64, i64)>,
}

impl Siblings {
    fn of(db: &Connection, span: &TimeSpan) -> Result<Self> {
        let sql = "SELECT id, day_of_week, date_full, start_second, end_second FROM time_spans
                   WHERE time_spanable_id = ?1 AND time_spanable_type = ?2 AND (date_full IS NULL) = ?3 ORDER BY id";
        let mut statement = db.prepare_cached(sql)?;
        let are_weekly = span.date_full.is_none();
        let read = |row: &Row<'_>| {
            let (day, date): (Option<DayOfWeek>, Option<FullDate>) = (row.get(1)?, row.get(2)?);
            let (start, end): (i64, i64) = (row.get(3)?, row.get(4)?);
            let length = if end > start { end - start } else { end - start + DAY };
            Ok((row.get(0)?, days(day, date.as_ref()) * DAY + start, length))
        };
        let spans = statement.query_map((span.time_spanable_id, span.time_spanable_type, are_weekly), read)?;
        Ok(Self { are_weekly, spans: spans.collect::<rusqlite::Result<_>>()? })
    }

    /// The ids of the other spans that overlap this one.
    fn overlaps(&self, id: i64) -> Vec<i64> {
        let Some((_, begin, length)) = self.spans.iter().find(|(known, ..)| *known == id) else { return Vec::new() };
        // Weeks repeat.
        let apart = |from: i64, to: i64| if self.are_weekly { (to - from).rem_euclid(WEEK) } else { to - from };
        let meets = |(_, other, other_length): &&(i64, i64, i64)| {
            (0..*length).contains(&apart(*begin, *other)) || (0..*other_length).contains(&apart(*other, *begin))
        };
        let others = self.spans.iter().filter(|(other, ..)| *other != id).filter(meets);
        others.map(|(id, ..)| *id).take(MOST_OVERLAPS).collect()
    }
}

/// Days since Sunday, or since year 1.
fn days(day: Option<DayOfWeek>, date: Option<&FullDate>) -> i64 {
    let since = |date: &FullDate| {
        let date: Date = date.parse().ok()?;
        Some(i64::from(date.since(Date::new(1, 1, 1).ok()?).ok()?.get_days()))
    };
    day.map(DayOfWeek::number).or_else(|| since(date?)).unwrap_or_default()
}

impl OfParent for TimeSpan {
    const PARENT: [&'static str; 2] = ["time_spanable_id", "time_spanable_type"];

    fn parent(&self) -> (i64, ParentType) {
        (self.time_spanable_id.get(), self.time_spanable_type)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    const OF_QUEUE: &str = "/call-queues/time-spans?time_spanable_id=1&time_spanable_type=call_queue";

    /// A desk whose customer has a queue and a group, each with the id 1.
    fn desk(server: &TestServer) -> RoutingClient<'_> {
        let routing = RoutingClient::new(server);
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        routing.create("/call-queues/groups", json!({"name": "G"}));
        routing
    }

    fn morning() -> Value {
        json!({"day_of_week": 1, "start_time": "09:00", "end_time": "12:30:00"})
    }

    #[test]
    fn times_are_answered_as_they_were_written() {
        let server = TestServer::new();
        let routing = desk(&server);
        let made = routing.post(OF_QUEUE, morning()).created();
        assert_eq!((&made["start_time"], &made["end_time"]), (&json!("09:00"), &json!("12:30:00")));
        assert_eq!(made.get("start_second"), None);
        assert_eq!(routing.get("/call-queues/time-spans/1").ok(), made);
        routing.post(OF_QUEUE, json!({"day_of_week": 0, "start_time": "00:00", "end_time": "24:00"})).created();
        let time = "must be a time of day, like 09:00 or 09:00:30.";
        routing.post(OF_QUEUE, json!({"day_of_week": 7, "start_time": "9:00", "end_time": "é4:00"})).invalid(&[
            "The day of week must be between 0 and 6.",
            &format!("The start time {time}"),
            &format!("The end time {time}"),
        ]);
        routing
            .post(OF_QUEUE, json!({"day_of_week": 1}))
            .invalid(&["The start time field is required.", "The end time field is required."]);
        let differ = &["The end time must differ from the start time."];
        for (start, end) in [("09:00", "09:00:00"), ("24:00", "24:00"), ("24:00", "00:00")] {
            routing.post(OF_QUEUE, json!({"day_of_week": 1, "start_time": start, "end_time": end})).invalid(differ);
        }
        routing.put("/call-queues/time-spans/1", json!({"end_time": "09:00"})).invalid(differ);
        routing.put("/call-queues/time-spans/1", json!({"end_time": "08:00"})).created();
    }

    #[test]
    fn spans_that_overlap_are_accepted_and_named() {
        let server = TestServer::new();
        let routing = desk(&server);
        let overlaps = |query: &str, body: Value| {
            let made = routing.post(query, body).created();
            assert_eq!(routing.get(&format!("/call-queues/time-spans/{}", made["id"])).ok(), made);
            made["overlaps"].clone()
        };
        let on = |day: i64, start: &str, end: &str| json!({"day_of_week": day, "start_time": start, "end_time": end});
        let date =
            |date: &str, start: &str, end: &str| json!({"date_full": date, "start_time": start, "end_time": end});
        assert_eq!(overlaps(OF_QUEUE, on(1, "09:00", "12:00")), Value::Null);
        assert_eq!(overlaps(OF_QUEUE, on(1, "12:00", "14:00")), Value::Null);
        assert_eq!(overlaps(OF_QUEUE, on(1, "11:59", "12:01")), json!([1, 2]));
        // From Saturday to Sunday, across the end of the week.
        assert_eq!(overlaps(OF_QUEUE, on(6, "22:00", "06:00")), Value::Null);
        assert_eq!(overlaps(OF_QUEUE, on(0, "05:00", "07:00")), json!([4]));
        assert_eq!(overlaps(OF_QUEUE, on(0, "06:00", "06:30")), json!([5]));
        // A date is meant to override a day of the week, and other parents do not overlap.
        assert_eq!(overlaps(OF_QUEUE, date("2027-05-03", "09:00", "12:00")), Value::Null);
        assert_eq!(overlaps(OF_QUEUE, date("2027-05-02", "23:00", "10:00")), json!([7]));
        let of_group = OF_QUEUE.replace("=call_queue", "=call_queue_group");
        assert_eq!(overlaps(&of_group, on(1, "00:00", "24:00")), Value::Null);
        assert_eq!(overlaps(&of_group, on(0, "23:00", "00:00:01")), json!([9]));
        let changed = routing.put("/call-queues/time-spans/2", json!({"start_time": "08:00"})).created();
        assert_eq!(changed["overlaps"], json!([1, 3]));
        let many = json!([on(3, "09:00", "10:00"), on(3, "09:30", "11:00")]);
        let made = routing.post(&OF_QUEUE.replace("time-spans?", "time-spans/bulk?"), many).created();
        assert_eq!((&made["data"][0]["overlaps"], &made["data"][1]["overlaps"]), (&json!([12]), &json!([11])));
    }

    #[test]
    fn there_is_a_day_of_the_week_or_a_date_and_a_change_puts_one_in_the_place_of_the_other() {
        let server = TestServer::new();
        let routing = desk(&server);
        let times = json!({"start_time": "09:00", "end_time": "12:00"});
        let with = |more: Value| {
            let mut body = times.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let neither = &["The day of week field is required when date full is not present."];
        let both = &["The date full field is prohibited when day of week is present."];
        let two = json!({"day_of_week": 1, "date_full": "2027-05-01"});
        routing.post(OF_QUEUE, with(json!({}))).invalid(neither);
        routing.post(OF_QUEUE, with(two.clone())).invalid(both);
        routing
            .post(OF_QUEUE, with(json!({"date_full": "2027-02-29"})))
            .invalid(&["The date full must be a valid date, like 2027-05-01."]);
        routing.create(OF_QUEUE, with(json!({"day_of_week": 0, "date_full": null})));
        let days = |change: Value| {
            let changed = routing.put("/call-queues/time-spans/1", change).created();
            (changed["day_of_week"].clone(), changed["date_full"].clone())
        };
        assert_eq!(days(json!({"date_full": "2027-05-01"})), (Value::Null, json!("2027-05-01")));
        assert_eq!(days(json!({"destination": "801"})), (Value::Null, json!("2027-05-01")));
        assert_eq!(days(json!({"day_of_week": null})), (Value::Null, json!("2027-05-01")));
        assert_eq!(days(json!({"day_of_week": 6})), (json!(6), Value::Null));
        assert_eq!(days(json!({"day_of_week": 5, "date_full": null})), (json!(5), Value::Null));
        routing.put("/call-queues/time-spans/1", two).invalid(both);
        routing.put("/call-queues/time-spans/1", json!({"day_of_week": null})).invalid(neither);
    }

    #[test]
    fn a_parent_is_named_in_the_query_and_is_the_customers() {
        let server = TestServer::new();
        let routing = desk(&server);
        let other = RoutingClient::new(&server);
        let theirs = other.create("/call-queues/queues", json!({"name": "Q"}));
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
            routing.post(&path(query), morning()).invalid(&says);
        }
        // The response lists this together with the other problems.
        routing.post(&path("time_spanable_type=user"), json!({"start_time": "09:00"})).invalid(&[
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
            let made =
                routing.post(&path(&format!("time_spanable_id=1&time_spanable_type={named}")), morning()).created();
            assert_eq!((&made["time_spanable_id"], &made["time_spanable_type"]), (&json!(1), &json!(is)), "{named}");
        }
    }

    #[test]
    fn a_body_may_name_the_parent_where_the_query_does_not_and_nothing_moves_it_later() {
        let server = TestServer::new();
        let routing = desk(&server);
        let mut body = morning();
        (body["time_spanable_id"], body["time_spanable_type"]) = (json!(99), json!("call_queue_group"));
        let made = routing.post(OF_QUEUE, body.clone()).created();
        assert_eq!((&made["time_spanable_id"], &made["time_spanable_type"]), (&json!(1), &json!("call_queue")));
        body["time_spanable_id"] = json!(1);
        let made = routing.post("/call-queues/time-spans", body.clone()).created();
        assert_eq!(made["time_spanable_type"], "call_queue_group");
        let elsewhere = "time_spanable_id=99&time_spanable_type=call_queue";
        let path = format!("/call-queues/time-spans/{}?{elsewhere}", made["id"]);
        let change = json!({"time_spanable_id": "x", "time_spanable_type": "call_queue", "reference": "R"});
        let changed = routing.put(&path, change).created();
        assert_eq!((&changed["time_spanable_id"], &changed["reference"]), (&json!(1), &json!("R")));
        assert_eq!(changed["time_spanable_type"], "call_queue_group");
    }

    #[test]
    fn time_spans_are_listed_by_each_of_their_fields() {
        let server = TestServer::new();
        let routing = desk(&server);
        let weekly = json!({"reference": "Été", "destination": "801", "day_of_week": 1, "start_time": "09:00", "end_time": "12:00"});
        routing.create(OF_QUEUE, weekly);
        routing.create(
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
            assert_eq!(routing.ids(&format!("/call-queues/time-spans?{query}")), ids, "{query}");
        }
    }
}

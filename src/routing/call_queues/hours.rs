//! The hours that apply: the week of a queue or of a group, and where the calls of all queues go at a time. Both follow
//! from the look-up, so they show what it answers.

use std::collections::{BTreeSet, HashMap};

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, ToSpan};
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decision::{Decider, Decision, Outcome, on_days};
use super::moment::{LocalTime, Moment};
use super::queue_groups::CallQueueGroup;
use super::queues::CallQueue;
use crate::api::crud;
use crate::api::field::{Field, labelled};
use crate::api::list::List;
use crate::api::{Ctx, Error, Id, Ok200, Page, Query, Result};
use crate::routing::customer_param::{CustomerParam, OptionalCustomer};
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::values::{FullDate, Text, Timestamp};

/// The labels of the fields of decisions and of these routes. The look-up has decisions too.
pub const FIELDS: &[Field] = &[
    labelled("at", "Time", "Date et heure"),
    labelled("from", "From", "Du"),
    labelled("to", "To", "Au"),
    labelled("timezone", "Time zone", "Fuseau horaire"),
    labelled("segments", "Hours", "Horaires"),
    labelled("queue", "Queue", "File d’attente"),
    labelled("open", "Open", "Ouverte"),
    labelled("reason", "Reason", "Raison"),
    labelled("destination", "Destination", "Destination"),
    labelled("destination_type", "Type of destination", "Type de destination"),
    labelled("matched", "Matching entry", "Règle appliquée"),
    labelled("until", "Until", "Jusqu’à"),
];

/// Days of a week. The next change is looked for within the same time.
const DAYS: i32 = 7;

/// Maximum starts and ends of time spans in a week.
const MOST_EDGES: usize = 5_000;

/// Maximum times that are looked at for the next change.
const MOST_TIMES: usize = 100;

/// The week to show.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WeekQuery {
    /// First day of the week. Defaults to the Monday of this week, in the workspace's time zone.
    from: Option<FullDate>,
}

/// Seven days, in periods that follow each other without a gap.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Week {
    /// First day.
    from: FullDate,
    /// Day after the last day.
    to: FullDate,
    /// Time zone of the workspace (IANA). All times of the week are in this zone.
    timezone: String,
    /// The periods. Each differs from the one before it.
    segments: Vec<Segment>,
}

/// A period in which all calls go to the same destination for the same reason. For a group, destinations are those of
/// its time spans and exceptions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Segment {
    /// Start, in local time.
    from: LocalTime,
    /// End, not included.
    to: LocalTime,
    #[serde(flatten)]
    decision: Decision,
}

/// The time of the states.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StatesQuery {
    /// Time to look up (RFC 3339). Without an offset it is in the workspace's time zone. Defaults to now.
    #[schemars(extend("format" = "date-time"))]
    at: Text<64>,
}

/// Where the calls of a queue go.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueueState {
    /// The queue.
    queue: CallQueue,
    #[serde(flatten)]
    decision: Decision,
    /// The next time at which the queue opens or closes, or its calls go elsewhere. Null if that is not within seven
    /// days, or more than 100 starts and ends of time spans lie before it.
    until: Option<Timestamp>,
}

pub fn states(
    ctx: &mut Ctx<'_>,
    scope: OptionalCustomer,
    Query(asked): Query<StatesQuery>,
    list: List<CallQueue>,
) -> Result<Ok200<Page<QueueState>>> {
    let zone = WorkspaceLocale::of(ctx.db)?.zone;
    let at = Moment::asked(&asked.at, ctx.now)?.instant(&zone).ok_or_else(Moment::invalid)?;
    let clock = zone.to_datetime(at);
    let queues = scope.narrow(ctx, list)?.restrict("active", 1).page(ctx)?;
    let state = |queue: CallQueue| {
        let decision = Decision::new(Some(&queue), Decider::queue(&queue).decide(ctx.db, clock)?);
        let until = next_change(ctx.db, &queue, &zone, at, &decision)?;
        Ok(QueueState { queue, decision, until })
    };
    queues.map(state).map(Ok200)
}

pub fn week_of_queue(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    Id(id): Id,
    Query(asked): Query<WeekQuery>,
) -> Result<Ok200<Week>> {
    let queue = crud::find::<CallQueue>(ctx, &scope, id)?;
    week(ctx, Decider::queue(&queue), Some(&queue), asked)
}

pub fn week_of_group(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    Id(id): Id,
    Query(asked): Query<WeekQuery>,
) -> Result<Ok200<Week>> {
    let group = crud::find::<CallQueueGroup>(ctx, &scope, id)?;
    week(ctx, Decider::group(group.id), None, asked)
}

fn week(ctx: &Ctx<'_>, decider: Decider, queue: Option<&CallQueue>, asked: WeekQuery) -> Result<Ok200<Week>> {
    let zone = WorkspaceLocale::of(ctx.db)?.zone;
    let invalid = || Error::invalid("The from must be a valid date.");
    let first: Date = match asked.from {
        Some(date) => date.date(),
        None => this_monday(ctx.now, &zone),
    };
    let end = first.checked_add(DAYS.days()).map_err(|_| invalid())?;
    let mut segments: Vec<(DateTime, Outcome)> = Vec::new();
    let edges = edges(ctx.db, decider, first, DAYS)?;
    if edges.len() > MOST_EDGES {
        let why = format!("A week may not have more than {MOST_EDGES} starts and ends of time spans.");
        return Err(Error::invalid(why));
    }
    for edge in edges {
        let decided = decider.decide(ctx.db, edge)?;
        if segments.last().is_none_or(|(_, before)| *before != decided) {
            segments.push((edge, decided));
        }
    }
    let ends: Vec<DateTime> = segments.iter().skip(1).map(|(start, _)| *start).chain([midnight(end)]).collect();
    let segments = segments.into_iter().zip(ends).map(|((from, decided), to)| Segment {
        from: LocalTime(from),
        to: LocalTime(to),
        decision: Decision::new(queue, decided),
    });
    Ok(Ok200(Week {
        from: FullDate::of(first),
        to: FullDate::of(end),
        timezone: zone.iana_name().unwrap_or("UTC").to_owned(),
        segments: segments.collect(),
    }))
}

fn this_monday(now: Timestamp, zone: &TimeZone) -> Date {
    monday_of(now.local(zone).date())
}

/// The first day of the week of a day.
pub fn monday_of(day: Date) -> Date {
    day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days())
}

/// The local times of some days at which the decision can change, in order: midnights, and the starts and ends of time
/// spans. The first one is the start of the first day.
fn edges(db: &Connection, decider: Decider, first: Date, days: i32) -> Result<BTreeSet<DateTime>> {
    let mut spans: HashMap<String, Vec<(i64, i64)>> = HashMap::new();
    // A span of the day before may end on the first day.
    let before = first.yesterday().unwrap_or(first);
    let last = first.checked_add(days.days()).unwrap_or(first);
    let sql = "SELECT on_day, start_second, end_second FROM time_spans
               WHERE time_spanable_id = ?1 AND time_spanable_type = ?2 AND (date_full IS NULL OR date_full BETWEEN ?3 AND ?4)";
    for (id, kind) in decider.parents() {
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query(params![id, kind, before.to_string(), last.to_string()])?;
        while let Some(row) = rows.next()? {
            spans.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
        }
    }
    let mut edges = BTreeSet::new();
    for date in before.series(1.day()).take_while(|date| *date < last) {
        let midnight = midnight(date);
        edges.insert(midnight);
        for (start, end) in on_days(date).iter().filter_map(|day| spans.get(day)).flatten() {
            let next_day = if end < start { 1 } else { 0 };
            let offsets = [Span::new().seconds(*start), Span::new().days(next_day).seconds(*end)];
            edges.extend(offsets.iter().filter_map(|offset| midnight.checked_add(*offset).ok()));
        }
    }
    edges.retain(|edge| first <= edge.date() && edge.date() < last);
    Ok(edges)
}

fn midnight(date: Date) -> DateTime {
    date.at(0, 0, 0, 0)
}

/// The first time after `at` at which the queue opens or closes, or its calls go elsewhere, within seven days. The clock
/// may go back, so every time at which it shows an edge counts, and every change of the clock.
fn next_change(
    db: &Connection,
    queue: &CallQueue,
    zone: &TimeZone,
    at: jiff::Timestamp,
    present: &Decision,
) -> Result<Option<Timestamp>> {
    let decider = Decider::queue(queue);
    let edges = edges(db, decider, zone.to_datetime(at).date(), DAYS + 1)?;
    let Some(last) = edges.last().and_then(|last| zone.to_timestamp(*last).ok()) else { return Ok(None) };
    let mut times: BTreeSet<jiff::Timestamp> = edges.iter().flat_map(|edge| times_of(*edge, zone)).collect();
    times.extend(zone.following(at).map(|change| change.timestamp()).take_while(|change| *change <= last));
    for time in times.into_iter().filter(|time| at < *time).take(MOST_TIMES) {
        let then = Decision::new(Some(queue), decider.decide(db, zone.to_datetime(time))?);
        if !then.is_same_place(present) {
            return Ok(Some(Timestamp::from_seconds(time.as_second())));
        }
    }
    Ok(None)
}

/// The times at which the clock shows a local time: two if it goes back over it, none if it skips it. `next_change` also
/// looks at the moment of the skip.
fn times_of(local: DateTime, zone: &TimeZone) -> Vec<jiff::Timestamp> {
    let offsets = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![offset],
        AmbiguousOffset::Fold { before, after } => vec![before, after],
        AmbiguousOffset::Gap { .. } => vec![],
    };
    offsets.into_iter().filter_map(|offset| offset.to_timestamp(local).ok()).collect()
}

#[cfg(test)]
mod tests;

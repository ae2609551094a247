//! Where the calls of a queue, or of a group, go at a local time of the workspace.
//!
//! Exceptions come before time spans. Of each kind, the queue's come before those of its group.

use jiff::civil::{Date, DateTime};
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::exceptions::RoutingException;
use super::parents::ParentType;
use super::queues::{CallQueue, DestinationType};
use super::time_spans::TimeSpan;
use crate::api::Result;
use crate::routing::step::Step;
use crate::storage::Stored;
use crate::values::choice;

choice! {
    /// The reason for a destination.
    Reason { EXCEPTION = "exception", TIME_SPAN = "time_span", DEFAULT = "default", INACTIVE = "inactive" }
}

choice! {
    /// What the look-up tries. `active`: whether the queue is active. Then the exceptions and the time spans of the queue and
    /// of its group. `default`: the default destination.
    QueueAttempt {
        ACTIVE = "active", QUEUE_EXCEPTION = "queue_exception", GROUP_EXCEPTION = "group_exception",
        QUEUE_TIME_SPAN = "queue_time_span", GROUP_TIME_SPAN = "group_time_span", DEFAULT = "default",
    }
}

/// Finds what applies to calls of a parent at a local time.
type Find = fn(&Connection, (i64, ParentType), DateTime) -> Result<Option<Matched>>;

/// The attempts in their order. Each reads the rows of one type of parent.
const ATTEMPTS: [(QueueAttempt, ParentType, Find); 4] = [
    (QueueAttempt::QUEUE_EXCEPTION, ParentType::QUEUE, exception),
    (QueueAttempt::GROUP_EXCEPTION, ParentType::GROUP, exception),
    (QueueAttempt::QUEUE_TIME_SPAN, ParentType::QUEUE, time_span),
    (QueueAttempt::GROUP_TIME_SPAN, ParentType::GROUP, time_span),
];

/// The exception or time span that applies.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Matched {
    Exception(RoutingException),
    TimeSpan(TimeSpan),
}

/// One attempt of the look-up.
pub type QueueStep = Step<QueueAttempt, Matched>;

/// What decides: a queue with its group, or a group alone.
#[derive(Debug, Clone, Copy)]
pub struct Decider {
    is_active: bool,
    queue: Option<i64>,
    group: Option<i64>,
}

/// The destination of calls at one time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Decision {
    /// True if a time span applies.
    pub open: bool,
    /// Why calls go there. `exception` or `time_span`: one of the queue applies, or else one of its group. `default`:
    /// none applies. `inactive`: the queue is not active.
    pub reason: Reason,
    /// Destination of the exception or time span. If it has none: the queue's own number if open, otherwise the default
    /// destination.
    pub destination: Option<String>,
    /// Type of the destination. Null if it comes from an exception or a time span.
    pub destination_type: Option<DestinationType>,
    /// The exception or time span that applies. Null if there is none.
    pub matched: Option<Matched>,
}

impl Decider {
    pub fn queue(queue: &CallQueue) -> Self {
        Self { is_active: queue.active, queue: Some(queue.id), group: queue.call_queue_group_id }
    }

    pub fn group(id: i64) -> Self {
        Self { is_active: true, queue: None, group: Some(id) }
    }

    /// The queue and its group, as parents of exceptions and time spans.
    pub fn parents(self) -> impl Iterator<Item = (i64, ParentType)> {
        let queue = self.queue.map(|id| (id, ParentType::QUEUE));
        queue.into_iter().chain(self.group.map(|id| (id, ParentType::GROUP)))
    }

    /// All attempts, up to the one that decides.
    pub fn steps(self, db: &Connection, clock: DateTime) -> Result<Vec<QueueStep>> {
        if !self.is_active {
            return Ok(vec![Step { tried: QueueAttempt::ACTIVE, found: None, decided: true }]);
        }
        let mut steps = Vec::with_capacity(ATTEMPTS.len() + 1);
        for (tried, kind, find) in ATTEMPTS {
            let Some(id) = (if kind == ParentType::QUEUE { self.queue } else { self.group }) else { continue };
            let step = Step::of(tried, find(db, (id, kind), clock)?);
            let decided = step.decided;
            steps.push(step);
            if decided {
                return Ok(steps);
            }
        }
        steps.push(Step { tried: QueueAttempt::DEFAULT, found: None, decided: true });
        Ok(steps)
    }

    /// Why calls go where they go, and the exception or time span that applies.
    pub fn decide(self, db: &Connection, clock: DateTime) -> Result<Outcome> {
        Ok(outcome(&self.steps(db, clock)?))
    }
}

/// Why calls go where they go, and the exception or time span that applies.
pub type Outcome = (Reason, Option<Matched>);

/// The outcome of the last step.
pub fn outcome(steps: &[QueueStep]) -> Outcome {
    let last = steps.last();
    let found = last.and_then(|last| last.found.clone());
    let reason = match &found {
        Some(Matched::Exception(_)) => Reason::EXCEPTION,
        Some(Matched::TimeSpan(_)) => Reason::TIME_SPAN,
        None if last.is_some_and(|last| last.tried == QueueAttempt::ACTIVE) => Reason::INACTIVE,
        None => Reason::DEFAULT,
    };
    (reason, found)
}

impl Decision {
    /// The destination of a queue's calls. Without a queue, of a group's: it has no number and no default destination.
    pub fn new(queue: Option<&CallQueue>, (reason, matched): Outcome) -> Self {
        let (open, own) = match &matched {
            Some(Matched::Exception(exception)) => (false, exception.destination.clone()),
            Some(Matched::TimeSpan(span)) => (true, span.destination.clone()),
            None => (false, None),
        };
        let own = own.filter(|own| !own.trim().is_empty()).map(|own| own.to_string());
        let (destination, destination_type) = match (own, queue) {
            (Some(own), _) => (Some(own), None),
            (None, None) => (None, None),
            (None, Some(queue)) if open => {
                (queue.number.as_ref().map(ToString::to_string), Some(DestinationType::QUEUE))
            }
            (None, Some(queue)) => {
                (queue.default_destination.as_ref().map(ToString::to_string), queue.default_destination_type)
            }
        };
        Self { open, reason, destination, destination_type, matched }
    }

    /// Whether the calls go to the same place, and the queue is open in both or in none.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let place = |of: &Self| (of.open, of.destination.clone(), of.destination_type);
        place(self) == place(other)
    }
}

/// The exception of the day. A date comes before a day of every year, because digits sort after dashes.
pub(super) const EXCEPTION: &str =
    "exceptionable_id = ?1 AND exceptionable_type = ?2 AND day IN (?3, ?4) ORDER BY day DESC, id LIMIT 1";

fn exception(db: &Connection, (id, kind): (i64, ParentType), clock: DateTime) -> Result<Option<Matched>> {
    let date = clock.date();
    let every_year = format!("--{:02}-{:02}", date.month(), date.day());
    let sql = format!("SELECT {} FROM routing_exceptions WHERE {EXCEPTION}", RoutingException::COLUMNS);
    let bound = params![id, kind, date.to_string(), every_year];
    let found = db.prepare_cached(&sql)?.query_row(bound, RoutingException::from_columns).optional()?;
    Ok(found.map(Matched::Exception))
}

/// The time span that covers the time. A date comes before a day of the week, then the older span. A span of the
/// previous day (?5, ?6) covers this day if it ends before it starts.
pub(super) const TIME_SPAN: &str = "time_spanable_id = ?1 AND time_spanable_type = ?2 AND on_day IN (?3, ?4, ?5, ?6)
    AND iif(on_day IN (?3, ?4),
        start_second <= ?7 AND (?7 < end_second OR end_second < start_second),
        ?7 < end_second AND end_second < start_second)
    ORDER BY date_full IS NULL, id LIMIT 1";

fn time_span(db: &Connection, (id, kind): (i64, ParentType), clock: DateTime) -> Result<Option<Matched>> {
    let (date, time) = (clock.date(), clock.time());
    let ([date, day], before) = (on_days(date), date.yesterday().map(on_days));
    // The first day of the calendar has no previous day.
    let [date_before, day_before] = before.unwrap_or_default();
    let second = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    let sql = format!("SELECT {} FROM time_spans WHERE {TIME_SPAN}", TimeSpan::COLUMNS);
    let bound = params![id, kind, date, day, date_before, day_before, second];
    let found = db.prepare_cached(&sql)?.query_row(bound, TimeSpan::from_columns).optional()?;
    Ok(found.map(Matched::TimeSpan))
}

/// The days of time spans that apply on a date: the date itself, and its day of the week.
pub fn on_days(date: Date) -> [String; 2] {
    [date.to_string(), format!("day {}", date.weekday().to_sunday_zero_offset())]
}

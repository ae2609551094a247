//! Summaries of calls: counts of a period, in total and by hour, day, agent or queue.
//!
//! One pass over the calls of the period counts everything but the callers who were not called back. It reads an index
//! that has all columns, so its cost follows from the number of calls in the period.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, Row, params_from_iter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, PhoneCall, Status};
use crate::api::{Ctx, Error, Filters, Ok200, Query, Result, period_bound};
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::values::{Text, Timestamp, choice};

/// Maximum hours or days of a summary.
const MOST_PERIODS: usize = 400;

/// Maximum agents or queues of a summary.
const MOST_NAMES: usize = 100;

/// Maximum calls that are read to find the smallest id of a period.
const MOST_BOUNDED: i64 = 50_000;

/// SQL for the index field of the other party's number: of the caller, or of the number that was called.
macro_rules! party {
    ($table:literal) => {
        concat!("iif(", $table, ".direction = 'inbound', 'number_from', 'number_to')")
    };
}

/// SQL for whether a later call with the other party of a call was answered. Null if the call has no number. For a call of
/// a customer, only calls of that customer count, because its caller may see no others. The newest calls with the number
/// are looked at first. A condition may limit them.
macro_rules! called_back {
    ($condition:literal) => {
        concat!(
            "(SELECT EXISTS (SELECT 1 FROM (
                SELECT 1 FROM phone_numbers AS other CROSS JOIN phone_calls AS later ON later.id = other.resource_id
                WHERE other.resource = 'phone_calls' AND other.reversed = own.reversed AND other.field = ",
            party!("later"),
            " AND later.answered AND later.started_at > phone_calls.started_at
                AND (phone_calls.customer_id IS NULL OR later.customer_id IS phone_calls.customer_id)",
            $condition,
            " ORDER BY other.resource_id DESC LIMIT 1))
            FROM phone_numbers AS own
            WHERE own.resource = 'phone_calls' AND own.resource_id = phone_calls.id AND own.field = ",
            party!("phone_calls"),
            ")"
        )
    };
}

/// SQL for the filter `called_back`.
pub const CALLED_BACK: &str = called_back!("");

choice! {
    /// What the groups of a summary are.
    Grouping { HOUR = "hour", DAY = "day", AGENT = "agent", QUEUE = "queue" }
}

/// The period of a summary, and its groups. Both ends of the period are included.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SummaryQuery {
    /// Start of the period: a time, or a day or time in the workspace's time zone, for example `2024-01-20T12:00:00Z`,
    /// `2024-01-20` or `2024-01-20 13:00`. Defaults to the start of today.
    from: Text<40>,
    /// End of the period, in the same formats. A day counts to its end. Defaults to now.
    to: Text<40>,
    /// Adds groups: for each hour or day of the period (at most 400), or for each agent or queue (the 100 with the most
    /// calls).
    by: Option<Grouping>,
}

/// Counts of the calls of a period. Filters of the list of calls apply; its paging and order have no effect.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallSummary {
    /// Start of the period (UTC).
    from: Timestamp,
    /// End of the period (UTC). This second is included.
    to: Timestamp,
    #[serde(flatten)]
    sum: CallCounts,
    /// Number of calls in each direction.
    by_direction: BTreeMap<&'static str, u64>,
    /// Number of calls with each outcome.
    by_status: BTreeMap<&'static str, u64>,
    /// Callers of missed calls who were not called back: numbers, in any format, with which no call was answered after
    /// the newest missed one, in either direction and also after the period. Calls without a number do not count. For a
    /// call of a customer, only calls of that customer count. Absent with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    not_called_back: Option<i64>,
    /// Mean duration of the answered calls in seconds. Null if no answered call has a duration.
    mean_duration_s: Option<f64>,
    /// The groups, if the request has `by`: hours and days in order, also without calls; agents and queues by number of
    /// calls, most first.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<CallGroup>>,
}

/// Counts of the calls of one hour, day, agent or queue.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallGroup {
    /// The local start of the hour with its offset (`2027-03-29T14:00+02:00`), the local day (`2027-03-29`), or the name
    /// of the agent or queue. Null for calls without an agent or queue.
    key: Option<String>,
    /// Start of the group (UTC). The first hour or day begins with the period.
    from: Timestamp,
    /// End of the group (UTC). This second is included. The last hour or day ends with the period.
    to: Timestamp,
    #[serde(flatten)]
    sum: CallCounts,
}

/// Counts of some calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct CallCounts {
    /// Number of calls.
    total: u64,
    /// Number of answered calls.
    answered: u64,
    /// Number of inbound calls that nobody took.
    missed: u64,
}

/// An hour or a day: the first and the last second, within the period.
struct Slice {
    key: String,
    first: i64,
    last: i64,
}

pub fn show(
    ctx: &mut Ctx<'_>,
    filters: Filters<PhoneCall>,
    Query(query): Query<SummaryQuery>,
) -> Result<Ok200<CallSummary>> {
    let zone = WorkspaceLocale::of(ctx.db)?.zone;
    let (from, to) = query.period(ctx.now, &zone)?;
    let (mut conditions, mut bound) = (vec!["started_at BETWEEN ? AND ?".to_owned()], vec![from.into(), to.into()]);
    let (filtered, values) = filters.conditions(ctx)?;
    conditions.extend(filtered);
    bound.extend(values);
    let condition = conditions.join(" AND ");
    let slices = match query.by {
        Some(Grouping::HOUR) => slices(from, to, |second| hour(&zone, second))?,
        Some(Grouping::DAY) => slices(from, to, |second| day(&zone, second))?,
        _ => Vec::new(),
    };
    let mut pass = Pass::new(slices);
    pass.run(ctx.db, query.by, &condition, &bound)?;
    // A chart has no room for it, and it takes longer than all else.
    let not_called_back = match (query.by, pass.sum.missed) {
        (Some(_), _) => None,
        (None, 0) => Some(0),
        (None, _) => Some(not_called_back(ctx.db, from, &condition, bound)?),
    };
    Ok(Ok200(CallSummary {
        from: Timestamp::from_seconds(from),
        to: Timestamp::from_seconds(to),
        sum: pass.sum,
        not_called_back,
        mean_duration_s: (pass.measured > 0).then(|| pass.seconds as f64 / pass.measured as f64),
        groups: query.by.map(|_| pass.groups(from, to)),
        by_direction: Direction::WORDS.iter().copied().zip(pass.directions).collect(),
        by_status: Status::WORDS.iter().copied().zip(pass.statuses).collect(),
    }))
}

impl SummaryQuery {
    /// The first and the last second of the period.
    fn period(&self, now: Timestamp, zone: &TimeZone) -> Result<(i64, i64)> {
        let (from, to) = (period_bound("from", &self.from, zone)?, period_bound("to", &self.to, zone)?);
        let today = || {
            let today = now.local(zone).date().to_string();
            Timestamp::first_and_last(&today, zone).map_or(now, |(first, _)| first)
        };
        let (from, to) = (from.map_or_else(today, |(first, _)| first), to.map_or(now, |(_, last)| last));
        if to < from {
            return Err(Error::invalid("The to may not be before the from."));
        }
        Ok((from.seconds(), to.seconds()))
    }
}

/// Cuts a period. `part_of` returns the key and the last second of the part of a second.
fn slices(from: i64, to: i64, part_of: impl Fn(i64) -> (String, i64)) -> Result<Vec<Slice>> {
    let mut slices = Vec::new();
    let mut first = from;
    while first <= to {
        if slices.len() == MOST_PERIODS {
            let why = format!("The period has more than {MOST_PERIODS} groups. Choose a shorter period, or days.");
            return Err(Error::rejected("too_many_groups", why));
        }
        let (key, last) = part_of(first);
        let last = last.clamp(first, to);
        slices.push(Slice { key, first, last });
        first = last + 1;
    }
    Ok(slices)
}

/// The hour of a second on the local clock. Where the clock goes back, the same hour follows with another offset.
fn hour(zone: &TimeZone, second: i64) -> (String, i64) {
    let offset = zone.to_offset(jiff::Timestamp::from_second(second).unwrap_or_default());
    let start = second - (second + i64::from(offset.seconds())).rem_euclid(3600);
    let written = Timestamp::from_seconds(start).local(&TimeZone::fixed(offset)).strftime("%Y-%m-%dT%H:%M");
    let (sign, minutes) = (if offset.seconds() < 0 { '-' } else { '+' }, offset.seconds().abs() / 60);
    (format!("{written}{sign}{:02}:{:02}", minutes / 60, minutes % 60), start + 3599)
}

/// The local day of a second. It ends where the next day begins, also if the clock changes.
fn day(zone: &TimeZone, second: i64) -> (String, i64) {
    let mut day = Timestamp::from_seconds(second).local(zone).date();
    // Where the clock goes back over midnight, the next day can have begun already.
    while let Ok(next) = day.tomorrow() {
        let begins = zone.to_timestamp(next.at(0, 0, 0, 0)).map_or(i64::MAX, jiff::Timestamp::as_second);
        if begins > second {
            return (day.to_string(), begins - 1);
        }
        day = next;
    }
    (day.to_string(), i64::MAX)
}

/// The counts of a summary while its calls are read.
struct Pass {
    slices: Vec<Slice>,
    of_slices: Vec<CallCounts>,
    /// By agent or queue, in UTF-8. The empty name stands for none.
    of_names: HashMap<Vec<u8>, CallCounts>,
    sum: CallCounts,
    /// In the order of the words.
    directions: [u64; Direction::WORDS.len()],
    statuses: [u64; Status::WORDS.len()],
    /// The answered calls that have a duration, and the sum of their durations.
    measured: u64,
    seconds: u64,
}

impl Pass {
    fn new(slices: Vec<Slice>) -> Self {
        Self {
            of_slices: vec![CallCounts::default(); slices.len()],
            slices,
            of_names: HashMap::new(),
            sum: CallCounts::default(),
            directions: Default::default(),
            statuses: Default::default(),
            measured: 0,
            seconds: 0,
        }
    }

    /// Texts are read as bytes: SQLite copies a text for each read, because its callers expect a NUL behind it.
    fn run(&mut self, db: &Connection, by: Option<Grouping>, condition: &str, bound: &[Sql]) -> Result<()> {
        let name = match by {
            Some(Grouping::AGENT) => ", CAST(agent_name AS BLOB)",
            Some(Grouping::QUEUE) => ", CAST(queue AS BLOB)",
            _ => "",
        };
        let sql = format!(
            "SELECT started_at, CAST(direction AS BLOB), CAST(status AS BLOB), answered, duration_s {name}
             FROM phone_calls INDEXED BY phone_calls_period WHERE {condition}"
        );
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(bound))?;
        let mut slice = 0;
        while let Some(row) = rows.next()? {
            let direction = word_at(row, 1, Direction::WORDS)?;
            let status = word_at(row, 2, Status::WORDS)?;
            let (answered, seconds): (bool, Option<u32>) = (row.get(3)?, row.get(4)?);
            let missed =
                Direction::WORDS[direction] == Direction::INBOUND.0 && Status::WORDS[status] == Status::MISSED.0;
            self.directions[direction] += 1;
            self.statuses[status] += 1;
            if let (true, Some(seconds)) = (answered, seconds) {
                self.measured += 1;
                self.seconds += u64::from(seconds);
            }
            self.sum.count(answered, missed);
            if !self.slices.is_empty() {
                let started: i64 = row.get(0)?;
                // The index has the order of time, so the next call is mostly in the same slice.
                if !self.slices.get(slice).is_some_and(|slice| slice.first <= started && started <= slice.last) {
                    slice = self.slices.partition_point(|slice| slice.last < started);
                }
                if let Some(counts) = self.of_slices.get_mut(slice) {
                    counts.count(answered, missed);
                }
            }
            if !name.is_empty() {
                let name = row.get_ref(5)?.as_bytes_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
                match self.of_names.get_mut(name) {
                    Some(counts) => counts.count(answered, missed),
                    None => self.of_names.entry(name.to_owned()).or_default().count(answered, missed),
                }
            }
        }
        Ok(())
    }

    /// The groups of the summary. Agents and queues have the whole period.
    fn groups(&mut self, from: i64, to: i64) -> Vec<CallGroup> {
        let group = |key, first, last, sum| {
            let (from, to) = (Timestamp::from_seconds(first), Timestamp::from_seconds(last));
            CallGroup { key, from, to, sum }
        };
        let text = |(name, counts): (Vec<u8>, _)| (String::from_utf8_lossy(&name).into_owned(), counts);
        let mut names: Vec<(String, CallCounts)> = self.of_names.drain().map(text).collect();
        names.sort_by(|(name, counts), (other, others)| others.total.cmp(&counts.total).then_with(|| name.cmp(other)));
        let names = names.into_iter().take(MOST_NAMES);
        let names = names.map(|(name, sum)| group(Some(name).filter(|name| !name.is_empty()), from, to, sum));
        let slices = self.slices.drain(..).zip(&self.of_slices);
        slices.map(|(slice, sum)| group(Some(slice.key), slice.first, slice.last, *sum)).chain(names).collect()
    }
}

/// The place of a word in the list of its words.
fn word_at(row: &Row<'_>, column: usize, words: &[&str]) -> Result<usize> {
    let word = row.get_ref(column)?.as_bytes().map_err(rusqlite::Error::from)?;
    let at = words.iter().position(|known| known.as_bytes() == word);
    at.ok_or_else(|| Error::Internal(format!("a call has the unknown word {:?}", String::from_utf8_lossy(word))))
}

impl CallCounts {
    fn count(&mut self, answered: bool, missed: bool) {
        self.total += 1;
        self.answered += u64::from(answered);
        self.missed += u64::from(missed);
    }
}

/// The number of callers who were missed and not called back. `condition` selects the calls.
fn not_called_back(db: &Connection, from: i64, condition: &str, mut bound: Vec<Sql>) -> Result<i64> {
    // A later call has an id above this one. Ids grow with time, so few calls of a number have to be looked at. If too
    // many calls follow the start of the period, the bound would cost more than it saves.
    let sql = "SELECT iif(count(*) = ?2, 0, min(id))
               FROM (SELECT id FROM phone_calls INDEXED BY phone_calls_period WHERE started_at >= ?1 LIMIT ?2)";
    let first: Option<i64> = db.prepare_cached(sql)?.query_row((from, MOST_BOUNDED), |row| row.get(0))?;
    bound.push(first.into());
    let sql = format!(
        "SELECT count(DISTINCT (SELECT reversed FROM phone_numbers
                                WHERE resource = 'phone_calls' AND resource_id = phone_calls.id AND field = 'number_from'))
         FROM phone_calls INDEXED BY phone_calls_period
         WHERE {condition} AND direction = 'inbound' AND status = 'missed' AND {} = 0",
        called_back!(" AND other.resource_id >= ?")
    );
    Ok(db.prepare_cached(&sql)?.query_row(params_from_iter(bound), |row| row.get(0))?)
}

#[cfg(test)]
mod tests;

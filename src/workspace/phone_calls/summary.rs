//! Summaries of calls: counts of a period, in total and by hour, day, agent or queue.
//!
//! One pass over the calls of the period counts everything. It reads an index that has all columns, so its cost follows from
//! the number of calls in the period. The callers who were not called back also need the calls after the period, and those
//! that a filter leaves out: a second pass reads these.

mod called_back;

use std::collections::{BTreeMap, HashMap};
use std::mem;

use jiff::tz::TimeZone;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::called_back::CALLED_BACK;
use self::called_back::{CALL, WaitingCallers};
use super::{Direction, PhoneCall, Status};
use crate::api::{Ctx, Error, Filters, Ok200, Query, Result, period_bound};
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::values::{Text, Timestamp, choice};

/// Maximum hours or days of a summary.
const MOST_PERIODS: usize = 400;

/// Maximum agents or queues of a summary.
const MOST_NAMES: usize = 100;

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
    not_called_back: Option<usize>,
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
    let is_filtered = !filtered.is_empty();
    conditions.extend(filtered);
    bound.extend(values);
    let condition = conditions.join(" AND ");
    let slices = match query.by {
        Some(Grouping::HOUR) => slices(from, to, |second| hour(&zone, second))?,
        Some(Grouping::DAY) => slices(from, to, |second| day(&zone, second))?,
        _ => Vec::new(),
    };
    let mut pass = Pass::new(slices, is_filtered);
    pass.run(ctx.db, query.by, &condition, &bound)?;
    // A chart has no room for it.
    let not_called_back = match query.by {
        Some(_) => None,
        // Calls that the filter leaves out also answer.
        None => Some(mem::take(&mut pass.waiting).count_after(if is_filtered { from - 1 } else { to }, ctx.db)?),
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
    /// By agent or queue, in UTF-8.
    of_names: HashMap<Vec<u8>, CallCounts>,
    /// Without agent or queue. It is not in the map: comparing the dangling pointers of empty keys took a third of the time.
    of_nobody: CallCounts,
    sum: CallCounts,
    /// In the order of the words.
    directions: [u64; Direction::WORDS.len()],
    statuses: [u64; Status::WORDS.len()],
    /// The answered calls that have a duration, and the sum of their durations.
    measured: u64,
    seconds: u64,
    /// The callers of missed calls, for a summary without groups.
    waiting: WaitingCallers,
    is_filtered: bool,
}

impl Pass {
    fn new(slices: Vec<Slice>, is_filtered: bool) -> Self {
        Self {
            of_slices: vec![CallCounts::default(); slices.len()],
            slices,
            of_names: HashMap::new(),
            of_nobody: CallCounts::default(),
            sum: CallCounts::default(),
            directions: Default::default(),
            statuses: Default::default(),
            measured: 0,
            seconds: 0,
            waiting: WaitingCallers::default(),
            is_filtered,
        }
    }

    /// Texts are read as bytes: SQLite copies a text for each read, because its callers expect a NUL behind it.
    fn run(&mut self, db: &Connection, by: Option<Grouping>, condition: &str, bound: &[Sql]) -> Result<()> {
        let columns = match by {
            None => CALL,
            Some(Grouping::AGENT) => "counted, CAST(agent_name AS BLOB)",
            Some(Grouping::QUEUE) => "counted, CAST(queue AS BLOB)",
            Some(_) => "counted, started_at",
        };
        let sql = format!(
            "SELECT {columns} FROM phone_calls INDEXED BY phone_calls_period WHERE {condition} ORDER BY started_at"
        );
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(bound))?;
        let mut slice = 0;
        while let Some(row) = rows.next()? {
            let call = CountedCall::unpack(row.get(0)?)?;
            self.directions[call.direction] += 1;
            self.statuses[call.status] += 1;
            if let (true, Some(seconds)) = (call.answered, call.seconds) {
                self.measured += 1;
                self.seconds += seconds;
            }
            self.sum.count(&call);
            if !self.slices.is_empty() {
                let started: i64 = row.get(1)?;
                // The index has the order of time, so the next call is mostly in the same slice.
                if !self.slices.get(slice).is_some_and(|slice| slice.first <= started && started <= slice.last) {
                    slice = self.slices.partition_point(|slice| slice.last < started);
                }
                if let Some(counts) = self.of_slices.get_mut(slice) {
                    counts.count(&call);
                }
            } else if by.is_some() {
                let name = row.get_ref(1)?.as_bytes_or_null().map_err(rusqlite::Error::from)?;
                let Some(name) = name.filter(|name| !name.is_empty()) else {
                    self.of_nobody.count(&call);
                    continue;
                };
                match self.of_names.get_mut(name) {
                    Some(counts) => counts.count(&call),
                    None => self.of_names.entry(name.to_owned()).or_default().count(&call),
                }
            } else {
                if call.answered && !self.is_filtered {
                    self.waiting.remove_caller(row)?;
                }
                if call.is_missed() {
                    self.waiting.add_caller(row)?;
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
        let nobody = Some((String::new(), self.of_nobody)).filter(|(_, counts)| counts.total > 0);
        let mut names: Vec<(String, CallCounts)> = self.of_names.drain().map(text).chain(nobody).collect();
        names.sort_by(|(name, counts), (other, others)| others.total.cmp(&counts.total).then_with(|| name.cmp(other)));
        let names = names.into_iter().take(MOST_NAMES);
        let names = names.map(|(name, sum)| group(Some(name).filter(|name| !name.is_empty()), from, to, sum));
        let slices = self.slices.drain(..).zip(&self.of_slices);
        slices.map(|(slice, sum)| group(Some(slice.key), slice.first, slice.last, *sum)).chain(names).collect()
    }
}

/// What is counted of a call.
struct CountedCall {
    /// Places in the lists of words.
    direction: usize,
    status: usize,
    answered: bool,
    seconds: Option<u64>,
}

impl CountedCall {
    /// Reads the column `counted`. It is null if the table has a word that its migration did not know.
    fn unpack(counted: Option<i64>) -> Result<Self> {
        let counted = counted.ok_or_else(|| Error::Internal("a call has an unknown direction or status".into()))?;
        Ok(Self {
            direction: usize::from(counted & 1 != 0),
            status: (counted >> 1 & 7) as usize,
            answered: counted & 16 != 0,
            seconds: u64::try_from((counted >> 5) - 1).ok(),
        })
    }

    fn is_missed(&self) -> bool {
        Direction::WORDS[self.direction] == Direction::INBOUND.0 && Status::WORDS[self.status] == Status::MISSED.0
    }
}

impl CallCounts {
    fn count(&mut self, call: &CountedCall) {
        self.total += 1;
        self.answered += u64::from(call.answered);
        self.missed += u64::from(call.is_missed());
    }
}

#[cfg(test)]
mod tests;

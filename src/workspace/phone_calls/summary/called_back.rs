//! Whether the caller of a missed call was called back: as a filter of the list, and as a count of a period.

use std::collections::{BTreeMap, HashMap};

use rusqlite::types::Value as Sql;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params_from_iter};

use crate::api::Result;

/// Answered calls that a count reads into memory: so many for each missed call, at least and at most. A call takes about 50 bytes.
const READ_AHEAD: usize = 64;
const LEAST_READ: usize = 20_000;
const MOST_READ: usize = 200_000;

/// SQL for the index field of the other party's number: of the caller, or of the number that was called.
macro_rules! party {
    ($table:literal) => {
        concat!("iif(", $table, ".direction = 'inbound', 'number_from', 'number_to')")
    };
}

/// SQL for the filter `called_back`: whether a later call with the other party of a call was answered. Null if the call has
/// no number. For a call of a customer, only calls of that customer count, because its caller may see no others. The
/// newest calls with the number are looked at first.
pub const CALLED_BACK: &str = concat!(
    "(SELECT EXISTS (SELECT 1 FROM (
        SELECT 1 FROM phone_numbers AS other CROSS JOIN phone_calls AS later ON later.id = other.resource_id
        WHERE other.resource = 'phone_calls' AND other.reversed = own.reversed AND other.field = ",
    party!("later"),
    " AND later.answered AND later.started_at > phone_calls.started_at
        AND (phone_calls.customer_id IS NULL OR later.customer_id IS phone_calls.customer_id)
        ORDER BY other.resource_id DESC LIMIT 1))
    FROM phone_numbers AS own
    WHERE own.resource = 'phone_calls' AND own.resource_id = phone_calls.id AND own.field = ",
    party!("phone_calls"),
    ")"
);

/// An answered call. Its number is that of the other party in one of two fields.
struct AnsweredCall {
    started_at: i64,
    is_inbound: bool,
    customer_id: Option<i64>,
}

/// Finds answered calls by id. Most calls of a period have few calls after them: they are read at once, in the order of an
/// index, because each look-up in the table costs a page.
enum AnsweredCalls<'c> {
    Read(HashMap<i64, AnsweredCall>),
    InTable(CachedStatement<'c>),
}

impl<'c> AnsweredCalls<'c> {
    /// The answered calls after a time. `most` are read.
    fn after(db: &'c Connection, time: i64, most: usize) -> Result<Self> {
        let sql =
            "SELECT started_at, direction = 'inbound', customer_id, id FROM phone_calls INDEXED BY phone_calls_period
                   WHERE started_at > ?1 AND answered";
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query([time])?;
        let mut calls = HashMap::new();
        while let Some(row) = rows.next()? {
            if calls.len() == most {
                let sql =
                    "SELECT started_at, direction = 'inbound', customer_id FROM phone_calls WHERE id = ?1 AND answered";
                return Ok(Self::InTable(db.prepare_cached(sql)?));
            }
            calls.insert(row.get(3)?, AnsweredCall::from_row(row)?);
        }
        Ok(Self::Read(calls))
    }

    /// Whether the call with an id answers a missed call: it is later, with its number, and of its customer if it has one.
    fn answers(&mut self, id: i64, field: &[u8], missed_at: i64, customer_id: Option<i64>) -> Result<bool> {
        let fits = |call: &AnsweredCall| {
            let party: &[u8] = if call.is_inbound { b"number_from" } else { b"number_to" };
            call.started_at > missed_at && field == party && (customer_id.is_none() || call.customer_id == customer_id)
        };
        Ok(match self {
            Self::Read(calls) => calls.get(&id).is_some_and(fits),
            Self::InTable(statement) => {
                statement.query_row([id], AnsweredCall::from_row).optional()?.as_ref().is_some_and(fits)
            }
        })
    }
}

impl AnsweredCall {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { started_at: row.get(0)?, is_inbound: row.get(1)?, customer_id: row.get(2)? })
    }
}

/// A missed call: its id, its start and its customer.
type MissedCall = (i64, i64, Option<i64>);

/// Counts the numbers with a missed call that no later call answers. `condition` selects the calls.
pub fn count_waiting(db: &Connection, condition: &str, bound: &[Sql]) -> Result<usize> {
    let missed = missed_calls(db, condition, bound)?;
    let most = (missed.len() * READ_AHEAD).clamp(LEAST_READ, MOST_READ);
    count(db, missed, most)
}

fn missed_calls(db: &Connection, condition: &str, bound: &[Sql]) -> Result<Vec<MissedCall>> {
    let sql = format!(
        "SELECT id, started_at, customer_id FROM phone_calls INDEXED BY phone_calls_period
         WHERE {condition} AND direction = 'inbound' AND status = 'missed'"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let missed = statement.query_map(params_from_iter(bound), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(missed.collect::<rusqlite::Result<_>>()?)
}

/// Reads at most `most` answered calls into memory.
fn count(db: &Connection, missed: Vec<MissedCall>, most: usize) -> Result<usize> {
    let first = missed.iter().map(|(_, started_at, _)| *started_at).min().unwrap_or(i64::MAX);
    let mut answered = AnsweredCalls::after(db, first, most)?;
    // The newest calls with a number are the first that can answer.
    let sql = "SELECT resource_id, field FROM phone_numbers WHERE resource = 'phone_calls' AND reversed = ?1
               ORDER BY resource_id DESC";
    let mut with_number = db.prepare_cached(sql)?;
    let (mut waiting, mut last_waiting) = (0, None);
    for ((number, customer_id), missed_at) in &newest_of_numbers(db, missed)? {
        if last_waiting == Some(number) {
            continue;
        }
        let mut rows = with_number.query([number])?;
        let mut is_answered = false;
        while let (false, Some(row)) = (is_answered, rows.next()?) {
            let field = row.get_ref(1)?.as_bytes().map_err(rusqlite::Error::from)?;
            is_answered = answered.answers(row.get(0)?, field, *missed_at, *customer_id)?;
        }
        if !is_answered {
            waiting += 1;
            last_waiting = Some(number);
        }
    }
    Ok(waiting)
}

/// The start of the newest missed call by number and customer. Calls are looked up in the order of ids, and later numbers in
/// the order of their index: then the pages of one look-up serve the next.
fn newest_of_numbers(db: &Connection, mut missed: Vec<MissedCall>) -> Result<BTreeMap<(String, Option<i64>), i64>> {
    missed.sort_unstable();
    let sql = "SELECT reversed FROM phone_numbers
               WHERE resource = 'phone_calls' AND resource_id = ?1 AND field = 'number_from'";
    let mut number_of = db.prepare_cached(sql)?;
    let mut newest = BTreeMap::new();
    for (id, started_at, customer_id) in missed {
        let Some(number) = number_of.query_row([id], |row| row.get(0)).optional()? else { continue };
        let known = newest.entry((number, customer_id)).or_insert(started_at);
        *known = started_at.max(*known);
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::tests::TestServer;
    use crate::values::Timestamp;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

        /// The count equals that of the filter `called_back`, whatever is read into memory. Calls have customers, numbers,
        /// directions, outcomes and times from a few, so that most have others with the same.
        #[test]
        fn the_count_equals_that_of_the_filter(
            calls in prop::collection::vec((0..3_usize, 0..4_usize, any::<bool>(), 0..3_usize, 0..12_i64), 1..60),
        ) {
            let server = TestServer::new();
            let admin = server.admin();
            let ids = [0, 1].map(|_| admin.post("/customers", json!({"name": "C"})).created()["id"].clone());
            let customers = [ids[0].clone(), ids[1].clone(), json!(null)];
            let numbers = [json!("0612345670"), json!("0612345671"), json!("+33612345670"), json!(null)];
            let rows = calls.iter().map(|(customer, number, is_inbound, status, second)| {
                let (party, own) = if *is_inbound { ("number_from", "number_to") } else { ("number_to", "number_from") };
                json!({
                    "direction": if *is_inbound { "inbound" } else { "outbound" }, "customer_id": customers[*customer],
                    party: numbers[*number], own: "0612345671", "status": (["missed", "missed", "completed"][*status]),
                    "started_at": Timestamp::from_seconds(1_806_015_600 + second),
                })
            });
            admin.post("/phone-calls/import", rows.collect()).created();
            let counts = server.in_file(|db| {
                let period = "started_at BETWEEN 1806015601 AND 1806015608";
                let sql = format!(
                    "SELECT count(DISTINCT (SELECT reversed FROM phone_numbers AS n WHERE n.resource = 'phone_calls'
                                            AND n.resource_id = phone_calls.id AND n.field = 'number_from'))
                     FROM phone_calls WHERE {period} AND direction = 'inbound' AND status = 'missed' AND {CALLED_BACK} = 0"
                );
                let expected: i64 = db.query_row(&sql, [], |row| row.get(0))?;
                let counted = [0, 2, 1000].map(|most| count(db, missed_calls(db, period, &[])?, most));
                Ok((expected, counted.into_iter().collect::<Result<Vec<_>>>()?))
            });
            prop_assert_eq!(counts.1, [counts.0 as usize; 3]);
        }
    }
}

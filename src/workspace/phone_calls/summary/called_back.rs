//! Whether the caller of a missed call was called back: as a filter of the list, and as a count of a period.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use crate::api::Result;

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

/// The callers of missed calls, until a later call with them is answered.
#[derive(Default)]
pub struct WaitingCallers {
    by_party: HashMap<Box<[u8]>, Vec<NewestMissed>>,
}

/// The columns of a call that these callers are found by.
pub const CALL: &str = "counted, party, customer_id, started_at";

/// The newest missed call of a caller and a customer.
struct NewestMissed {
    customer_id: Option<i64>,
    started_at: i64,
}

impl WaitingCallers {
    /// Adds the caller of a missed call, which is a row of `CALL`.
    pub fn add_caller(&mut self, row: &Row<'_>) -> Result<()> {
        let Some(party) = party(row)? else { return Ok(()) };
        let (customer_id, started_at): (Option<i64>, i64) = (row.get(2)?, row.get(3)?);
        let missed = self.by_party.entry(party.into()).or_default();
        match missed.iter_mut().find(|newest| newest.customer_id == customer_id) {
            Some(newest) => newest.started_at = started_at.max(newest.started_at),
            None => missed.push(NewestMissed { customer_id, started_at }),
        }
        Ok(())
    }

    /// Removes the caller of an answered call, which is a row of `CALL`, if the call is later than the missed ones. For a missed
    /// call of a customer, only a call of that customer counts.
    pub fn remove_caller(&mut self, row: &Row<'_>) -> Result<()> {
        let Some(party) = party(row)? else { return Ok(()) };
        let Some(missed) = self.by_party.get_mut(party) else { return Ok(()) };
        let (customer_id, started_at): (Option<i64>, i64) = (row.get(2)?, row.get(3)?);
        missed.retain(|newest| {
            newest.started_at >= started_at || newest.customer_id.is_some() && newest.customer_id != customer_id
        });
        if missed.is_empty() {
            self.by_party.remove(party);
        }
        Ok(())
    }

    /// Counts the callers who wait after all calls that are later than a time.
    pub fn count_after(mut self, time: i64, db: &Connection) -> Result<usize> {
        if self.by_party.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "SELECT {CALL} FROM phone_calls INDEXED BY phone_calls_period WHERE started_at > ?1 AND counted & 16"
        );
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query([time])?;
        while let Some(row) = rows.next()? {
            self.remove_caller(row)?;
        }
        Ok(self.by_party.len())
    }
}

/// The number of the other party in a row of `CALL`.
fn party<'r>(row: &'r Row<'_>) -> Result<Option<&'r [u8]>> {
    Ok(row.get_ref(1)?.as_blob_or_null().map_err(rusqlite::Error::from)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{TestClient, TestServer};
    use crate::values::Timestamp;

    /// A number of a call, from a few: the same one in several formats, another one, an extension, two in one text, and none.
    fn number(which: usize) -> Value {
        let numbers = [json!("0612345670"), json!("+33612345670"), json!("0612345671"), json!("204")];
        let more = [json!("0612345671 / 0612345670"), json!("49000000000000"), json!("anonymous"), Value::Null];
        numbers[..].iter().chain(&more).nth(which).cloned().unwrap_or_default()
    }

    /// Counts the calls for which the column `party` and the index of numbers differ.
    const DIFFERING: &str = "SELECT count(*) FROM phone_calls WHERE party IS NOT (
        SELECT CAST(reversed AS BLOB) FROM phone_numbers WHERE resource = 'phone_calls' AND resource_id = phone_calls.id
            AND field = iif(phone_calls.direction = 'inbound', 'number_from', 'number_to'))";

    fn count(server: &TestServer, sql: &str) -> i64 {
        let sql = sql.to_owned();
        server.in_file(move |db| Ok(db.query_row(&sql, [], |row| row.get(0))?))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

        /// The count equals that of the filter `called_back`. Calls have customers, numbers, directions, outcomes and times
        /// from a few, so that most have others with the same.
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
            let waiting = |first: i64, filter: &str| {
                let [from, to] = [first, 1_806_015_608].map(Timestamp::from_seconds);
                admin.get(&format!("/phone-calls/summary?from={from}&to={to}{filter}")).ok()["not_called_back"].clone()
            };
            for first in [1_806_015_601, 1_806_015_607] {
                let expected = |more: &str| count(&server, &format!(
                    "SELECT count(DISTINCT (SELECT reversed FROM phone_numbers AS n WHERE n.resource = 'phone_calls'
                                            AND n.resource_id = phone_calls.id AND n.field = 'number_from'))
                     FROM phone_calls WHERE started_at BETWEEN {first} AND 1806015608
                         AND direction = 'inbound' AND status = 'missed' AND {CALLED_BACK} = 0 {more}"
                ));
                prop_assert_eq!(waiting(first, ""), expected(""));
                // A filter chooses the missed calls, and not those that answer them.
                let (filter, condition) = (format!("&filter[customer_id]={}", ids[0]), format!("AND customer_id = {}", ids[0]));
                prop_assert_eq!(waiting(first, &filter), expected(&condition));
                prop_assert_eq!(waiting(first, "&filter[called_back]=1"), 0);
            }
        }

        /// The column `party` follows all that changes a number or its meaning.
        #[test]
        fn the_party_is_the_indexed_number_of_the_other_party(
            calls in prop::collection::vec((any::<bool>(), 0..8_usize, 0..8_usize), 1..12),
            changes in prop::collection::vec((0..6_usize, 0..12_usize, 0..8_usize, any::<bool>()), 1..12),
        ) {
            let server = TestServer::new();
            let admin = server.admin();
            let direction = |is_inbound: bool| if is_inbound { "inbound" } else { "outbound" };
            let rows = calls.iter().map(|(is_inbound, from, to)| {
                json!({"direction": direction(*is_inbound), "number_from": number(*from), "number_to": number(*to)})
            });
            admin.post("/phone-calls/import", rows.collect()).created();
            prop_assert_eq!(count(&server, DIFFERING), 0);
            for (change, which, other, is_inbound) in changes {
                let id = which % calls.len() + 1;
                let put = |client: &TestClient<'_>, body: Value| { client.put(&format!("/phone-calls/{id}"), body); };
                match change {
                    0 => put(&admin, json!({"direction": direction(is_inbound)})),
                    1 => put(&admin, json!({"number_from": number(other)})),
                    2 => put(&admin, json!({"direction": direction(is_inbound), "number_to": number(other)})),
                    3 => {
                        let row = json!([{"id": id, "direction": direction(is_inbound), "number_from": number(other)}]);
                        admin.post("/phone-calls/import?mode=upsert", row);
                    }
                    4 => {
                        let country = ["FR", "DE", "US"][other % 3];
                        admin.put("/settings", json!({"default_country": country})).created();
                    }
                    _ => {
                        let call = json!({"call_type": "Inbound", "number": number(other), "did": number(which % 8), "external_id": "1"});
                        server.key(&["crm.lookup"], None).post("/crm/lookup/phone-calls", call);
                    }
                }
                prop_assert_eq!(count(&server, DIFFERING), 0, "{} {}", change, id);
            }
        }
    }

    /// The numbers of a call are national ones, so that the country decides what they mean.
    #[test]
    fn a_new_default_country_and_a_change_of_direction_give_a_call_another_party() {
        let server = TestServer::new();
        let admin = server.admin();
        let call = json!({"direction": "inbound", "number_from": "0612345670", "number_to": "0142000000"});
        admin.post("/phone-calls", call).created();
        let party = || {
            let sql = "SELECT CAST(party AS TEXT) FROM phone_calls";
            server.in_file(|db| Ok(db.query_row(sql, [], |row| row.get::<_, Option<String>>(0))?))
        };
        assert_eq!(party().as_deref(), Some("07654321633"));
        admin.put("/phone-calls/1", json!({"direction": "outbound"})).created();
        assert_eq!(party().as_deref(), Some("00000024133"));
        admin.put("/settings", json!({"default_country": "BE"})).created();
        assert_eq!(party().as_deref(), Some("00000024123"));
        admin.put("/phone-calls/1", json!({"number_to": null})).created();
        assert_eq!(party(), None);
    }
}

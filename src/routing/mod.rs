//! Smart routing: where calls of a workspace's customers go. The data, and the look-ups for call flows. One file per
//! resource.

pub mod call_queues;
pub mod cfd_tokens;
pub mod ctis;
mod customer_param;
pub mod fields;
pub mod geo;
pub mod options;
pub mod routing_contacts;
mod routing_tokens;
mod step;
pub mod survey_records;
pub mod surveys;

use rusqlite::Connection;

use crate::api::{Ctx, Error, Resource, Result, entity_rows};
use crate::tenancy::ChangeRecorder;
use call_queues::{
    exceptions::RoutingException, queue_groups::CallQueueGroup, queues::CallQueue, time_spans::TimeSpan,
};
use cfd_tokens::CfdToken;
use ctis::{Cti, cti_destinations::CtiDestination};
use fields::RoutingField;
use geo::{geo_destinations::GeoDestination, geo_lists::GeoList};
use options::RoutingOption;
use routing_contacts::RoutingContact;
use survey_records::SurveyRecord;
use surveys::Survey;

/// The resources of this module.
pub const RESOURCES: &[Resource] = &[
    routing_contacts::RESOURCE,
    fields::RESOURCE,
    options::RESOURCE,
    call_queues::queues::RESOURCE,
    call_queues::queue_groups::RESOURCE,
    call_queues::time_spans::RESOURCE,
    call_queues::exceptions::RESOURCE,
    call_queues::holidays::RESOURCE,
    call_queues::queue_lookup::RESOURCE,
    ctis::RESOURCE,
    ctis::cti_destinations::RESOURCE,
    geo::models::RESOURCE,
    geo::geo_lists::RESOURCE,
    geo::geo_destinations::RESOURCE,
    cfd_tokens::RESOURCE,
    surveys::RESOURCE,
    survey_records::RESOURCE,
];

/// Tables of rows that belong directly to a customer. Nested rows are not listed.
const TABLES: &[&str] =
    &["routing_contacts", "routing_fields", "call_queues", "call_queue_groups", "ctis", "geo_lists", "surveys"];

/// Whether a customer has any call routing.
pub fn has_rows(db: &Connection, customer: i64) -> rusqlite::Result<bool> {
    let any = TABLES.iter().map(|table| format!("EXISTS (SELECT 1 FROM {table} WHERE customer_id = ?1)"));
    let sql = format!("SELECT {}", any.collect::<Vec<_>>().join(" OR "));
    db.prepare_cached(&sql)?.query_row([customer], |row| row.get(0))
}

/// Deletes all call routing of a customer. Nested rows are deleted with their parents.
pub fn delete_all(db: &Connection, recorder: &ChangeRecorder, customer: i64) -> Result<()> {
    entity_rows::delete_each::<RoutingContact>(db, recorder, "customer_id", customer)?;
    entity_rows::delete_each::<RoutingField>(db, recorder, "customer_id", customer)?;
    entity_rows::delete_each::<CallQueue>(db, recorder, "customer_id", customer)?;
    entity_rows::delete_each::<CallQueueGroup>(db, recorder, "customer_id", customer)?;
    entity_rows::delete_each::<Cti>(db, recorder, "customer_id", customer)?;
    entity_rows::delete_each::<GeoList>(db, recorder, "customer_id", customer)?;
    entity_rows::delete_each::<Survey>(db, recorder, "customer_id", customer)
}

/// Deletes the tokens of a customer. They are deleted with the customer even if the other rows move to another
/// customer.
pub fn delete_tokens(db: &Connection, recorder: &ChangeRecorder, customer: i64) -> Result<()> {
    entity_rows::delete_each::<CfdToken>(db, recorder, "customer_id", customer)
}

/// Moves the call-flow tokens of one customer to another.
pub fn move_tokens(ctx: &Ctx<'_>, from: i64, to: i64) -> Result<()> {
    cfd_tokens::check_may_move(ctx, from)?;
    entity_rows::move_each::<CfdToken>(ctx.db, &ctx.recorder()?, from, to).map(|_| ())
}

/// Call queues with the same number in a field, in any format.
macro_rules! same_number {
    ($field:literal) => {
        concat!(
            "call_queues a
             JOIN phone_numbers own ON own.resource = 'call_queues' AND own.resource_id = a.id AND own.field = '",
            $field,
            "'
             JOIN phone_numbers other ON other.resource = own.resource AND other.reversed = own.reversed
                 AND other.field = own.field
             JOIN call_queues b ON b.id = other.resource_id"
        )
    };
}

/// Values that are unique within a customer: the name of the row and of the field, and the pairs of rows with the same
/// value.
const UNIQUE: &[(&str, &str, &str)] = &[
    ("routing contact", "id_code", "routing_contacts a JOIN routing_contacts b ON b.id_code = a.id_code"),
    ("geo list", "list_id", "geo_lists a JOIN geo_lists b ON b.list_id = a.list_id"),
    ("call queue", "code", "call_queues a JOIN call_queues b ON b.code = a.code"),
    ("call queue", "number", same_number!("number")),
    ("call queue", "did_number", same_number!("did_number")),
];

/// Values that the rejection of a merge names.
const MOST_NAMED: usize = 20;

/// Checks that two customers have no value that is unique within one: codes, and the numbers of call queues.
pub fn check_may_merge(db: &Connection, from: i64, to: i64) -> Result<()> {
    let mut conflicts = Vec::new();
    for (row, field, rows) in UNIQUE {
        let sql = format!(
            "SELECT DISTINCT a.{field} FROM {rows} WHERE a.customer_id = ?1 AND b.customer_id = ?2 AND a.{field} <> ''
             ORDER BY 1 LIMIT {MOST_NAMED}"
        );
        let mut statement = db.prepare_cached(&sql)?;
        let values = statement.query_map((from, to), |row| row.get::<_, String>(0))?;
        for value in values {
            let sentence =
                format!("Both customers have a {row} with the same {}: {}.", field.replace('_', " "), value?);
            conflicts.push((format!("{field}_taken"), sentence));
        }
    }
    let Some((code, message)) = conflicts.first().cloned() else { return Ok(()) };
    let hint = conflicts.into_iter().map(|(_, sentence)| sentence).take(MOST_NAMED).collect();
    Err(Error::Rejected { code: code.into(), message, hint })
}

/// Moves all call routing of one customer to another, for which `check_may_merge` has no objection. Returns the number of
/// rows.
pub fn move_all(db: &Connection, recorder: &ChangeRecorder, from: i64, to: i64) -> Result<usize> {
    let moves: [Move; 13] = [
        entity_rows::move_each::<RoutingContact>,
        entity_rows::move_each::<RoutingField>,
        entity_rows::move_each::<RoutingOption>,
        entity_rows::move_each::<CallQueue>,
        entity_rows::move_each::<CallQueueGroup>,
        entity_rows::move_each::<TimeSpan>,
        entity_rows::move_each::<RoutingException>,
        entity_rows::move_each::<Cti>,
        entity_rows::move_each::<CtiDestination>,
        entity_rows::move_each::<GeoList>,
        entity_rows::move_each::<GeoDestination>,
        entity_rows::move_each::<Survey>,
        entity_rows::move_each::<SurveyRecord>,
    ];
    moves.iter().map(|move_each| move_each(db, recorder, from, to)).sum()
}

/// Moves the rows of one kind.
type Move = fn(&Connection, &ChangeRecorder, i64, i64) -> Result<usize>;

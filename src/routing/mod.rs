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

use crate::api::{Ctx, Resource, Result, entity_rows};
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
    entity_rows::move_each::<CfdToken>(ctx.db, &ctx.recorder()?, from, to)
}

/// Moves all call routing of one customer to another. The target must not have rows with the same codes.
pub fn move_all(db: &Connection, recorder: &ChangeRecorder, from: i64, to: i64) -> Result<()> {
    entity_rows::move_each::<RoutingContact>(db, recorder, from, to)?;
    entity_rows::move_each::<RoutingField>(db, recorder, from, to)?;
    entity_rows::move_each::<RoutingOption>(db, recorder, from, to)?;
    entity_rows::move_each::<CallQueue>(db, recorder, from, to)?;
    entity_rows::move_each::<CallQueueGroup>(db, recorder, from, to)?;
    entity_rows::move_each::<TimeSpan>(db, recorder, from, to)?;
    entity_rows::move_each::<RoutingException>(db, recorder, from, to)?;
    entity_rows::move_each::<Cti>(db, recorder, from, to)?;
    entity_rows::move_each::<CtiDestination>(db, recorder, from, to)?;
    entity_rows::move_each::<GeoList>(db, recorder, from, to)?;
    entity_rows::move_each::<GeoDestination>(db, recorder, from, to)?;
    entity_rows::move_each::<Survey>(db, recorder, from, to)?;
    entity_rows::move_each::<SurveyRecord>(db, recorder, from, to)
}

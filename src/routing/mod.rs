//! Smart routing: where calls of a workspace's customers go. The data, and the look-ups for call flows. One file per
//! resource.

pub mod call_queues;
pub mod cfd_tokens;
pub mod contacts;
pub mod ctis;
mod customer_param;
#[cfg(test)]
pub mod endpoints;
pub mod fields;
pub mod geo;
pub mod options;
pub mod survey_records;
pub mod surveys;
#[cfg(test)]
pub mod testing;
mod tokens;

use rusqlite::Connection;

use crate::api::{Ctx, Resource, Result, entity_rows};
use crate::tenancy::Author;
use call_queues::{exceptions::RoutingException, groups::Group, queues::Queue, time_spans::TimeSpan};
use cfd_tokens::CfdToken;
use contacts::Contact;
use ctis::{Cti, destinations::Destination};
use fields::Field;
use geo::{destinations::GeoDestination, lists::GeoList};
use options::FieldOption;
use survey_records::SurveyRecord;
use surveys::Survey;

/// The resources of this module.
pub const RESOURCES: &[Resource] = &[
    contacts::RESOURCE,
    fields::RESOURCE,
    options::RESOURCE,
    call_queues::queues::RESOURCE,
    call_queues::groups::RESOURCE,
    call_queues::time_spans::RESOURCE,
    call_queues::exceptions::RESOURCE,
    call_queues::holidays::RESOURCE,
    call_queues::lookup::RESOURCE,
    ctis::RESOURCE,
    ctis::destinations::RESOURCE,
    geo::models::RESOURCE,
    geo::lists::RESOURCE,
    geo::destinations::RESOURCE,
    cfd_tokens::RESOURCE,
    surveys::RESOURCE,
    survey_records::RESOURCE,
];

/// Tables of rows that belong directly to a customer. Nested rows are not listed.
const TABLES: &[&str] =
    &["routing_contacts", "routing_fields", "call_queues", "call_queue_groups", "ctis", "geo_lists", "surveys"];

/// Whether a customer has any call routing.
pub fn is_used_by(db: &Connection, customer: i64) -> rusqlite::Result<bool> {
    let any = TABLES.iter().map(|table| format!("EXISTS (SELECT 1 FROM {table} WHERE customer_id = ?1)"));
    let sql = format!("SELECT {}", any.collect::<Vec<_>>().join(" OR "));
    db.prepare_cached(&sql)?.query_row([customer], |row| row.get(0))
}

/// Deletes all call routing of a customer. Nested rows are deleted with their parents.
pub fn delete_all(db: &Connection, author: &Author, customer: i64) -> Result<()> {
    entity_rows::delete_each::<Contact>(db, author, "customer_id", customer)?;
    entity_rows::delete_each::<Field>(db, author, "customer_id", customer)?;
    entity_rows::delete_each::<Queue>(db, author, "customer_id", customer)?;
    entity_rows::delete_each::<Group>(db, author, "customer_id", customer)?;
    entity_rows::delete_each::<Cti>(db, author, "customer_id", customer)?;
    entity_rows::delete_each::<GeoList>(db, author, "customer_id", customer)?;
    entity_rows::delete_each::<Survey>(db, author, "customer_id", customer)
}

/// Deletes the tokens of a customer. They are deleted with the customer even if the other rows move to another
/// customer.
pub fn delete_tokens(db: &Connection, author: &Author, customer: i64) -> Result<()> {
    entity_rows::delete_each::<CfdToken>(db, author, "customer_id", customer)
}

/// Moves the call-flow tokens of one customer to another.
pub fn move_tokens(ctx: &Ctx<'_>, from: i64, to: i64) -> Result<()> {
    cfd_tokens::check_may_move(ctx, from)?;
    entity_rows::move_each::<CfdToken>(ctx.db, &ctx.author()?, from, to)
}

/// Moves all call routing of one customer to another. The target must not have rows with the same codes.
pub fn move_all(db: &Connection, author: &Author, from: i64, to: i64) -> Result<()> {
    entity_rows::move_each::<Contact>(db, author, from, to)?;
    entity_rows::move_each::<Field>(db, author, from, to)?;
    entity_rows::move_each::<FieldOption>(db, author, from, to)?;
    entity_rows::move_each::<Queue>(db, author, from, to)?;
    entity_rows::move_each::<Group>(db, author, from, to)?;
    entity_rows::move_each::<TimeSpan>(db, author, from, to)?;
    entity_rows::move_each::<RoutingException>(db, author, from, to)?;
    entity_rows::move_each::<Cti>(db, author, from, to)?;
    entity_rows::move_each::<Destination>(db, author, from, to)?;
    entity_rows::move_each::<GeoList>(db, author, from, to)?;
    entity_rows::move_each::<GeoDestination>(db, author, from, to)?;
    entity_rows::move_each::<Survey>(db, author, from, to)?;
    entity_rows::move_each::<SurveyRecord>(db, author, from, to)
}

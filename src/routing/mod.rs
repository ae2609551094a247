//! Smart routing: where calls of a workspace's customers go. Its data, and the answers that a call flow asks for, one file
//! a resource.

pub mod call_queues;
pub mod cfd_tokens;
pub mod contacts;
pub mod ctis;
#[cfg(test)]
pub mod endpoints;
pub mod fields;
pub mod geo;
pub mod options;
pub mod rows;
pub mod survey_records;
pub mod surveys;
#[cfg(test)]
pub mod testing;
mod tokens;
mod whose;

use rusqlite::Connection;

use crate::api::{Resource, Result};
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

/// Every table of the room.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Routing contacts", contacts::ROUTES),
    Resource::new("Routing fields", fields::ROUTES),
    Resource::new("Routing options", options::ROUTES),
    Resource::new("Call queues", call_queues::queues::ROUTES),
    Resource::new("Call queue groups", call_queues::groups::ROUTES),
    Resource::new("Time spans", call_queues::time_spans::ROUTES),
    Resource::new("Routing exceptions", call_queues::exceptions::ROUTES),
    Resource::new("Holidays", call_queues::holidays::ROUTES),
    Resource::new("Call queue look-up", call_queues::lookup::ROUTES),
    Resource::new("CTIs", ctis::ROUTES),
    Resource::new("CTI destinations", ctis::destinations::ROUTES),
    Resource::new("Geo models", geo::models::ROUTES),
    Resource::new("Geo lists", geo::lists::ROUTES),
    Resource::new("Geo destinations", geo::destinations::ROUTES),
    Resource::new("CFD tokens", cfd_tokens::ROUTES),
    Resource::new("Surveys", surveys::ROUTES),
    Resource::new("Survey records", survey_records::ROUTES),
];

/// Tables whose rows are a customer's own; what is inside them is not named.
const TABLES: &[&str] =
    &["routing_contacts", "routing_fields", "call_queues", "call_queue_groups", "ctis", "geo_lists", "surveys"];

/// Whether a customer has anything of this.
pub fn is_used_by(db: &Connection, customer: i64) -> rusqlite::Result<bool> {
    let any = TABLES.iter().map(|table| format!("EXISTS (SELECT 1 FROM {table} WHERE customer_id = ?1)"));
    let sql = format!("SELECT {}", any.collect::<Vec<_>>().join(" OR "));
    db.prepare_cached(&sql)?.query_row([customer], |row| row.get(0))
}

/// Deletes all of a customer's; what is inside a row goes with it.
pub fn delete_all(db: &Connection, author: &Author, customer: i64) -> Result<()> {
    rows::delete_each::<Contact>(db, author, "customer_id", customer)?;
    rows::delete_each::<Field>(db, author, "customer_id", customer)?;
    rows::delete_each::<Queue>(db, author, "customer_id", customer)?;
    rows::delete_each::<Group>(db, author, "customer_id", customer)?;
    rows::delete_each::<Cti>(db, author, "customer_id", customer)?;
    rows::delete_each::<GeoList>(db, author, "customer_id", customer)?;
    rows::delete_each::<Survey>(db, author, "customer_id", customer)
}

/// Deletes what lets somebody see a customer: it goes with the customer, also where the rest moves to another.
pub fn delete_tokens(db: &Connection, author: &Author, customer: i64) -> Result<()> {
    rows::delete_each::<CfdToken>(db, author, "customer_id", customer)
}

/// Lets all of a customer's be another's, who must have nothing of the same code.
pub fn move_all(db: &Connection, author: &Author, from: i64, to: i64) -> Result<()> {
    rows::move_each::<Contact>(db, author, from, to)?;
    rows::move_each::<Field>(db, author, from, to)?;
    rows::move_each::<FieldOption>(db, author, from, to)?;
    rows::move_each::<Queue>(db, author, from, to)?;
    rows::move_each::<Group>(db, author, from, to)?;
    rows::move_each::<TimeSpan>(db, author, from, to)?;
    rows::move_each::<RoutingException>(db, author, from, to)?;
    rows::move_each::<Cti>(db, author, from, to)?;
    rows::move_each::<Destination>(db, author, from, to)?;
    rows::move_each::<GeoList>(db, author, from, to)?;
    rows::move_each::<GeoDestination>(db, author, from, to)?;
    rows::move_each::<Survey>(db, author, from, to)?;
    rows::move_each::<SurveyRecord>(db, author, from, to)
}

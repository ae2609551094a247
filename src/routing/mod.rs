//! Smart routing: where calls of a workspace's customers go. The data, and the look-ups for call flows. One file per
//! resource.

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

use crate::api::{Ctx, Resource, Result};
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
    Resource::new(
        "Routing contacts",
        "People whose calls and mails have a destination of their own.",
        contacts::ROUTES,
    ),
    Resource::new(
        "Routing fields",
        "Names and allowed values for the selections of a customer's routing contacts.",
        fields::ROUTES,
    ),
    Resource::new("Routing options", "Allowed values of a routing field.", options::ROUTES),
    Resource::new(
        "Call queues",
        "Call queues with their numbers and default destinations.",
        call_queues::queues::ROUTES,
    ),
    Resource::new(
        "Call queue groups",
        "Groups of call queues that share time spans and exceptions.",
        call_queues::groups::ROUTES,
    ),
    Resource::new(
        "Time spans",
        "Opening hours of a queue or a group, by day of the week or by date.",
        call_queues::time_spans::ROUTES,
    ),
    Resource::new(
        "Routing exceptions",
        "Days on which a queue or a group is closed. They take precedence over time spans.",
        call_queues::exceptions::ROUTES,
    ),
    Resource::new(
        "Holidays",
        "Exceptions for public holidays, one by one or for a whole year.",
        call_queues::holidays::ROUTES,
    ),
    Resource::new(
        "Call queue look-up",
        "Find the destination of a queue's calls at a given time.",
        call_queues::lookup::ROUTES,
    ),
    Resource::new("CTIs", "Telephony programs (CTIs) of a customer, with destinations by caller.", ctis::ROUTES),
    Resource::new("CTI destinations", "Destinations of a CTI's calls, by caller.", ctis::destinations::ROUTES),
    Resource::new(
        "Geo models",
        "Rules that match a postcode or a number to a zone. They are built in.",
        geo::models::ROUTES,
    ),
    Resource::new("Geo lists", "Destinations for the zones of a geo model.", geo::lists::ROUTES),
    Resource::new("Geo destinations", "Destinations of a geo list, by zone.", geo::destinations::ROUTES),
    Resource::new(
        "CFD tokens",
        "Tokens for call flows of a PBX (3CX CFD). They can only look up destinations.",
        cfd_tokens::ROUTES,
    ),
    Resource::new("Surveys", "Surveys of callers after a call, with a summary of the responses.", surveys::ROUTES),
    Resource::new("Survey records", "Responses of one caller after one call.", survey_records::ROUTES),
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
    rows::delete_each::<Contact>(db, author, "customer_id", customer)?;
    rows::delete_each::<Field>(db, author, "customer_id", customer)?;
    rows::delete_each::<Queue>(db, author, "customer_id", customer)?;
    rows::delete_each::<Group>(db, author, "customer_id", customer)?;
    rows::delete_each::<Cti>(db, author, "customer_id", customer)?;
    rows::delete_each::<GeoList>(db, author, "customer_id", customer)?;
    rows::delete_each::<Survey>(db, author, "customer_id", customer)
}

/// Deletes the tokens of a customer. They are deleted with the customer even if the other rows move to another
/// customer.
pub fn delete_tokens(db: &Connection, author: &Author, customer: i64) -> Result<()> {
    rows::delete_each::<CfdToken>(db, author, "customer_id", customer)
}

/// Moves the call-flow tokens of one customer to another.
pub fn move_tokens(ctx: &Ctx<'_>, from: i64, to: i64) -> Result<()> {
    cfd_tokens::check_may_move(ctx, from)?;
    rows::move_each::<CfdToken>(ctx.db, &ctx.author()?, from, to)
}

/// Moves all call routing of one customer to another. The target must not have rows with the same codes.
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

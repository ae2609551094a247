//! Smart routing: where calls of a workspace's customers go. Its data, and the answers that a call flow asks for, one file
//! a resource.

pub mod contacts;
#[cfg(test)]
pub mod endpoints;
pub mod fields;
pub mod options;
mod rows;
#[cfg(test)]
pub mod testing;
mod whose;

use rusqlite::Connection;

use crate::api::{Resource, Result};
use crate::tenancy::Author;
use contacts::Contact;
use fields::Field;
use options::FieldOption;

/// Every table of the room.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Routing contacts", contacts::ROUTES),
    Resource::new("Routing fields", fields::ROUTES),
    Resource::new("Routing options", options::ROUTES),
];

/// Tables whose rows are a customer's own; what is inside them is not named.
const TABLES: &[&str] = &["routing_contacts", "routing_fields"];

/// Whether a customer has anything of this.
pub fn is_used_by(db: &Connection, customer: i64) -> rusqlite::Result<bool> {
    let any = TABLES.iter().map(|table| format!("EXISTS (SELECT 1 FROM {table} WHERE customer_id = ?1)"));
    let sql = format!("SELECT {}", any.collect::<Vec<_>>().join(" OR "));
    db.prepare_cached(&sql)?.query_row([customer], |row| row.get(0))
}

/// Deletes all of a customer's; what is inside a row goes with it.
pub fn delete_all(db: &Connection, author: &Author, customer: i64) -> Result<()> {
    rows::delete_each::<Contact>(db, author, "customer_id", customer)?;
    rows::delete_each::<Field>(db, author, "customer_id", customer)
}

/// Lets all of a customer's be another's, who must have nothing of the same code.
pub fn move_all(db: &Connection, author: &Author, from: i64, to: i64) -> Result<()> {
    rows::move_each::<Contact>(db, author, from, to)?;
    rows::move_each::<Field>(db, author, from, to)?;
    rows::move_each::<FieldOption>(db, author, from, to)
}

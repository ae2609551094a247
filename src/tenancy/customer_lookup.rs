//! Look-ups of customers that several modules need.

use rusqlite::{Connection, OptionalExtension};

/// Whether a customer with this id exists.
pub fn exists(db: &Connection, id: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM customers WHERE id = ?1")?.exists([id])
}

/// Returns the id of the customer with this `customer_account`.
pub fn with_account(db: &Connection, account: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM customers WHERE customer_account = ?1")?
        .query_row([account], |row| row.get(0))
        .optional()
}

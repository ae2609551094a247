//! Whose a row of a workspace may be: its customers, as far as every room must know them.

use rusqlite::{Connection, OptionalExtension};

/// Whether there is a customer with this id.
pub fn exists(db: &Connection, id: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM customers WHERE id = ?1")?.exists([id])
}

/// The id of the customer that has an account.
pub fn with_account(db: &Connection, account: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM customers WHERE customer_account = ?1")?
        .query_row([account], |row| row.get(0))
        .optional()
}

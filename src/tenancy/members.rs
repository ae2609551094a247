//! What a workspace's file knows of accounts: each user has copies of its account's name and address.

use rusqlite::Connection;

use crate::values::Timestamp;

/// Brings the copies of an account's name and address up to date; answers whether the account is a user here at all.
pub fn refresh(db: &Connection, account_id: i64, name: &str, email: &str, now: Timestamp) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "UPDATE users SET name = ?2, email = ?3, updated_at = ?4
         WHERE account_id = ?1 AND (name, email) IS NOT (?2, ?3)",
    )?
    .execute((account_id, name, email, now))?;
    db.prepare_cached("SELECT 1 FROM users WHERE account_id = ?1")?.exists([account_id])
}

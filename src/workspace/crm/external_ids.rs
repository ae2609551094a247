//! What a PBX calls the rows that it has journalled: by that a repeat is known, and updates.

use rusqlite::{Connection, OptionalExtension};

/// The row that the PBX of a customer, or of the whole workspace, has given a name.
pub fn find(
    db: &Connection,
    resource: &str,
    customer: Option<i64>,
    external_id: Option<&str>,
) -> rusqlite::Result<Option<i64>> {
    let Some(external_id) = external_id else { return Ok(None) };
    db.prepare_cached(
        "SELECT resource_id FROM external_ids WHERE resource = ?1 AND customer_id = ?2 AND external_id = ?3",
    )?
    .query_row((resource, customer.unwrap_or(0), external_id), |row| row.get(0))
    .optional()
}

/// Gives a row its name, in the place of another that had it.
pub fn save(
    db: &Connection,
    resource: &str,
    customer: Option<i64>,
    external_id: Option<&str>,
    id: i64,
) -> rusqlite::Result<()> {
    let Some(external_id) = external_id else { return Ok(()) };
    db.prepare_cached(
        "INSERT OR REPLACE INTO external_ids (resource, customer_id, external_id, resource_id) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((resource, customer.unwrap_or(0), external_id, id))?;
    Ok(())
}

//! External ids: the ids that PBXs give to journalled rows. A known id marks a repeat, which updates the row.

use rusqlite::{Connection, OptionalExtension};

/// The row with this external id, of a customer's PBX or of a PBX of the whole workspace.
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

/// Moves the external ids of one customer's PBX to another customer's. If both have an id, the other's row keeps it.
pub fn move_all(db: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE OR IGNORE external_ids SET customer_id = ?2 WHERE customer_id = ?1")?
        .execute((from, to))?;
    db.prepare_cached("DELETE FROM external_ids WHERE customer_id = ?1")?.execute([from])?;
    Ok(())
}

/// Saves the external id of a row. Another row with that id loses it.
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

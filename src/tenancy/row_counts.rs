//! The numbers of rows of the large tables, so that a list need not count all rows.
//!
//! A write counts nothing. `row_counts` has the number of rows up to an id. Who reads a count adds the rows above that id,
//! and the jobs keep them few. A trigger subtracts a deleted row. So a count is exact in every transaction, and after a
//! crash.

use rusqlite::Connection;

/// The tables whose rows are counted.
pub const COUNTED: [&str; 4] = ["customers", "contacts", "phone_calls", "audit_log"];

/// So many rows are counted in microseconds whenever somebody reads the count.
const FEW: i64 = 100;

/// SQL for the number of rows of a counted table.
pub fn count_of(table: &str) -> String {
    format!("SELECT rows + (SELECT count(*) FROM {table} WHERE id > last_id) FROM row_counts WHERE name = '{table}'")
}

/// Counts a new row that has brought its id, if later rows are counted already.
pub fn count_with_id(db: &Connection, table: &str, id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE row_counts SET rows = rows + 1 WHERE name = ?1 AND last_id >= ?2")?
        .execute((table, id))
        .map(|_| ())
}

/// Whether more than a few rows of a table are not counted yet.
pub fn are_many_new(db: &Connection) -> rusqlite::Result<bool> {
    for table in COUNTED {
        let sql =
            format!("SELECT (SELECT max(id) FROM {table}) > last_id + {FEW} FROM row_counts WHERE name = '{table}'");
        let are_many: Option<bool> = db.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
        if are_many == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds at most `most` new rows of each table to its count.
pub fn count_new(db: &Connection, most: usize) -> rusqlite::Result<()> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    for table in COUNTED {
        let sql = format!(
            "SELECT count(*), max(id) FROM (SELECT id FROM {table}
             WHERE id > (SELECT last_id FROM row_counts WHERE name = '{table}') ORDER BY id LIMIT ?1)"
        );
        let (rows, last): (i64, Option<i64>) =
            db.prepare_cached(&sql)?.query_row([most], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if let Some(last) = last {
            db.prepare_cached("UPDATE row_counts SET rows = rows + ?2, last_id = ?3 WHERE name = ?1")?
                .execute((table, rows, last))?;
        }
    }
    Ok(())
}

/// Whether the stored count of a table is right. A file of an earlier version may have neither the table nor `last_id`.
pub fn is_right(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    if !db.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?.exists([table])? {
        return Ok(true);
    }
    let is_partial = db.prepare("SELECT 1 FROM pragma_table_info('row_counts') WHERE name = 'last_id'")?.exists([])?;
    let counted = if is_partial { " WHERE id <= last_id" } else { "" };
    let sql = format!("SELECT rows = (SELECT count(*) FROM {table}{counted}) FROM row_counts WHERE name = ?1");
    db.query_row(&sql, [table], |row| row.get(0))
}

/// Counts all rows of a table again.
pub fn recount(db: &Connection, table: &'static str) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE row_counts SET (rows, last_id) = (SELECT count(*), coalesce(max(id), 0) FROM {table}) WHERE name = ?1"
    );
    db.execute(&sql, [table]).map(|_| ())
}

//! The full-text indexes of a workspace lag behind its rows. A write indexes no text. The jobs index new and changed rows
//! later, many in one transaction. A search first indexes the rows that were written before it.

use rusqlite::Connection;

/// Rows that are not indexed yet.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Tables with new rows, and the last id of each.
    new: Vec<(String, i64)>,
    /// The last position in `changed_texts`. 0 if no row has changed.
    changed: i64,
}

/// The rows that are not indexed now. `None` if there are none.
pub fn missing(db: &Connection) -> rusqlite::Result<Option<Missing>> {
    let mut new = Vec::new();
    for (table, indexed) in tables(db)? {
        let sql = format!("SELECT max(id) FROM {table}");
        let last: Option<i64> = db.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
        new.extend(last.filter(|last| *last > indexed).map(|last| (table, last)));
    }
    let changed = "SELECT coalesce(max(position), 0) FROM changed_texts";
    let changed = db.prepare_cached(changed)?.query_row([], |row| row.get(0))?;
    Ok((!new.is_empty() || changed > 0).then_some(Missing { new, changed }))
}

/// Notes a new row that has brought its id, if later rows are indexed already.
pub fn note_with_id(db: &Connection, table: &str, id: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO changed_texts (resource, resource_id)
               SELECT resource, ?2 FROM text_indexes WHERE resource = ?1 AND last_id >= ?2";
    db.prepare_cached(sql)?.execute((table, id)).map(|_| ())
}

/// The tables with a text index, and the last indexed id of each.
fn tables(db: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    db.prepare_cached("SELECT resource, last_id FROM text_indexes")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The statement that indexes the rows of a table with ids above `?1` and up to `?2`. May be repeated.
pub type IndexStatement = fn(table: &str) -> Option<&'static str>;

impl Missing {
    /// Indexes at most `most` of these rows. Returns whether there may be more.
    pub fn index(&self, db: &Connection, most: usize, statement: IndexStatement) -> rusqlite::Result<bool> {
        let index = |table: &str, after: i64, last: i64| match statement(table) {
            Some(sql) => db.prepare_cached(sql)?.execute((after, last)).map(|_| ()),
            None => Ok(()),
        };
        let mut left = i64::try_from(most).unwrap_or(i64::MAX);
        for (table, last) in &self.new {
            let indexed = "SELECT last_id FROM text_indexes WHERE resource = ?1";
            let after: i64 = db.prepare_cached(indexed)?.query_row([table], |row| row.get(0))?;
            let next = format!(
                "SELECT count(*), max(id) FROM (SELECT id FROM {table} WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)"
            );
            let (count, next): (i64, Option<i64>) =
                db.prepare_cached(&next)?.query_row((after, last, left), |row| Ok((row.get(0)?, row.get(1)?)))?;
            if let Some(next) = next {
                index(table, after, next)?;
                let indexed = "UPDATE text_indexes SET last_id = ?2 WHERE resource = ?1";
                db.prepare_cached(indexed)?.execute((table, next))?;
            }
            left -= count;
        }
        let changed = "SELECT position, resource, resource_id FROM changed_texts WHERE position <= ?1
                       ORDER BY position LIMIT ?2";
        let changed: Vec<(i64, String, i64)> = db
            .prepare_cached(changed)?
            .query_map((self.changed, left), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (_, table, id) in &changed {
            index(table, id - 1, *id)?;
        }
        if let Some((position, ..)) = changed.last() {
            db.prepare_cached("DELETE FROM changed_texts WHERE position <= ?1")?.execute([position])?;
        }
        left -= i64::try_from(changed.len()).unwrap_or(i64::MAX);
        Ok(left <= 0)
    }
}

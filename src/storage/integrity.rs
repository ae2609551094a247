//! The integrity of a whole file: damage, dangling references, and its schema.

use rusqlite::Connection;

/// Checks a file for damage and for dangling references, as far as SQLite can detect them.
pub fn integrity_problems(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        problems.push(said);
    }
    if db.prepare("PRAGMA foreign_key_check")?.exists([])? {
        problems.push("a row refers to a row that does not exist".into());
    }
    Ok(problems)
}

/// The SQL of each table, index, view and trigger. It is equal in two files of the same version.
pub fn schema(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', type, name, tbl_name, sql) FROM sqlite_schema ORDER BY type, name";
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

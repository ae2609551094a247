//! Tokens of programs that route calls: shown once, and kept as a digest beside the row that they are of.

use rusqlite::{Connection, OptionalExtension};

use crate::api::{Error, Result};
use crate::auth::secret;
use crate::values::Text;

/// How a token ends, for people who have several.
pub type LastFour = Text<4>;

/// A new token that begins so, and its end.
pub fn make(prefix: &str) -> Result<(String, LastFour)> {
    let token = format!("{prefix}{}", secret::make()?);
    let last_four = Text::parse(token[token.len() - 4..].to_owned()).map_err(Error::Internal)?;
    Ok((token, last_four))
}

/// Makes a token the one that a row of this table is known by; one before it is known no longer.
pub fn keep(db: &Connection, table: &'static str, id: i64, token: &str) -> rusqlite::Result<()> {
    let sql = format!("UPDATE {table} SET digest = ?2 WHERE id = ?1");
    db.prepare_cached(&sql)?.execute((id, secret::digest(token)))?;
    Ok(())
}

/// The row of this table that has a token.
pub fn owner(db: &Connection, table: &'static str, token: &str) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT id FROM {table} WHERE digest = ?1");
    db.prepare_cached(&sql)?.query_row([secret::digest(token)], |row| row.get(0)).optional()
}

//! Tokens of programs that route calls. A token is shown once. Its row stores only a digest.

use rusqlite::{Connection, OptionalExtension};

use crate::api::{Error, Result};
use crate::auth::secret;
use crate::values::Text;

/// The last four characters of a token, to tell tokens apart.
pub type LastFour = Text<4>;

/// Creates a token with this prefix. Returns the token and its last four characters.
pub fn generate(prefix: &str) -> Result<(String, LastFour)> {
    let token = format!("{prefix}{}", secret::random()?);
    let last_four = Text::parse(token[token.len() - 4..].to_owned()).map_err(Error::Internal)?;
    Ok((token, last_four))
}

/// Stores the digest of a token in a row. The previous token of that row stops working.
pub fn save(db: &Connection, table: &'static str, id: i64, token: &str) -> rusqlite::Result<()> {
    let sql = format!("UPDATE {table} SET digest = ?2 WHERE id = ?1");
    db.prepare_cached(&sql)?.execute((id, secret::digest(token)))?;
    Ok(())
}

/// The id of the row with this token.
pub fn owner(db: &Connection, table: &'static str, token: &str) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT id FROM {table} WHERE digest = ?1");
    db.prepare_cached(&sql)?.query_row([secret::digest(token)], |row| row.get(0)).optional()
}

//! The index of phone numbers in a workspace's file: found in any format they may be typed in.

use phonenumber::country::Id;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use crate::values::{Text, phone};

/// A number as it is typed, in a field of a resource.
pub type Typed = Option<Text<40>>;

/// The country whose numbers need no prefix in this workspace.
pub fn default_country(db: &Connection) -> rusqlite::Result<Id> {
    let code: Option<String> = db
        .prepare_cached("SELECT value FROM settings WHERE name = 'default_country'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(code.and_then(|code| phone::country(&code)).unwrap_or(Id::FR))
}

/// Writes the numbers of a resource in the place of those it had.
pub fn save(db: &Connection, resource: &str, id: i64, fields: &[(&str, &Typed)]) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM phone_numbers WHERE resource = ?1 AND resource_id = ?2")?.execute((resource, id))?;
    insert(db, resource, id, fields)
}

/// Writes the numbers of a resource that had none.
pub fn insert(db: &Connection, resource: &str, id: i64, fields: &[(&str, &Typed)]) -> rusqlite::Result<()> {
    let typed = || fields.iter().filter_map(|(field, typed)| typed.as_ref().map(|typed| (field, typed)));
    if typed().next().is_none() {
        return Ok(());
    }
    let country = default_country(db)?;
    for (field, typed) in typed() {
        let reversed = reversed(typed, country);
        if !reversed.is_empty() {
            db.prepare_cached(
                "INSERT INTO phone_numbers (resource, resource_id, field, reversed) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((resource, id, field, reversed))?;
        }
    }
    Ok(())
}

/// The digits that a number is found by: of its E.164 form, or of the text where it has none; from the last to the first.
fn reversed(text: &str, country: Id) -> String {
    phone::reversed_digits(phone::e164(text, country).as_deref().unwrap_or(text))
}

/// The condition in SQL that a row of `resource` has a number, and the values bound in it: the same number in E.164,
/// or, where the text is too short to be a number, one that ends with its digits.
pub fn condition(resource: &'static str, text: &str, db: &Connection) -> rusqlite::Result<(String, Vec<Value>)> {
    let found =
        |by: &str| format!("id IN (SELECT resource_id FROM phone_numbers WHERE resource = '{resource}' AND {by})");
    let country = default_country(db)?;
    let digits = reversed(text, country);
    if digits.is_empty() {
        return Ok(("0".into(), Vec::new()));
    }
    if phone::e164(text, country).is_some() {
        return Ok((found("reversed = ?"), vec![digits.into()]));
    }
    // Texts that begin with the digits lie between them and them followed by the character after `9`.
    let end = format!("{digits}:");
    Ok((found("reversed >= ? AND reversed < ?"), vec![digits.into(), end.into()]))
}

//! The index of phone numbers in a workspace file. It finds a number in any format in which people write it.
//!
//! Numbers without a prefix belong to the workspace's default country. When that country or the parsing rules change,
//! `indexing.rs` rewrites the index.

use std::borrow::Cow;

use phonenumber::country::Id;
use rusqlite::types::FromSqlError;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};

pub use super::locale_settings::default_country;
use crate::values::phone::Dialled;
use crate::values::{Text, phone};

/// A phone number as written, in a field of a resource.
pub type PhoneText = Option<Text<40>>;

/// A table whose numbers are indexed.
#[derive(Debug, Clone, Copy)]
pub struct PhoneColumns {
    pub table: &'static str,
    /// Columns with one text of numbers.
    pub columns: &'static [&'static str],
    /// Columns with a JSON list of numbers. Each number is indexed as the field `column[0]`, `column[1]`…
    pub lists: &'static [&'static str],
}

/// The field name of a number in a list, in the index.
pub fn list_field(column: &str, place: usize) -> String {
    format!("{column}[{place}]")
}

/// Replaces the indexed numbers of a resource.
pub fn save(
    db: &Connection,
    resource: &str,
    id: i64,
    fields: &[(impl AsRef<str>, &PhoneText)],
) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM phone_numbers WHERE resource = ?1 AND resource_id = ?2")?.execute((resource, id))?;
    insert(db, resource, id, fields)
}

/// Adds the numbers of a resource that has none in the index.
pub fn insert(
    db: &Connection,
    resource: &str,
    id: i64,
    fields: &[(impl AsRef<str>, &PhoneText)],
) -> rusqlite::Result<()> {
    let typed = || fields.iter().filter_map(|(field, typed)| typed.as_ref().map(|typed| (field.as_ref(), typed)));
    if typed().next().is_none() {
        return Ok(());
    }
    let country = default_country(db)?;
    for (field, typed) in typed() {
        for (place, key) in keys(typed, country).into_iter().enumerate() {
            write(db, resource, id, &field_of(field, place), &key)?;
        }
    }
    Ok(())
}

/// The field name of one of several numbers in a text, in the index: `fax`, `fax/2`, up to `fax/4`.
fn field_of(field: &str, place: usize) -> Cow<'_, str> {
    if place == 0 { field.into() } else { format!("{field}/{}", place + 1).into() }
}

/// The index keys of the numbers in a text.
pub fn keys(text: &str, country: Id) -> Vec<String> {
    phone::read(text, country).iter().map(Dialled::key).collect()
}

/// The index key of the first number in a text. Empty if there is none.
pub fn reversed(text: &str, country: Id) -> String {
    phone::first_key(text, country).unwrap_or_default()
}

/// Minimum digits for a search by last digits.
const FEWEST_LAST: usize = 4;

/// How the index finds a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberKeys {
    /// The key of the same E.164 number, or of the same extension.
    pub same: String,
    /// The first key, and the key after the last one, of all numbers that end with the digits. `None` if the text has a
    /// country code or too few digits.
    pub ending: Option<(String, String)>,
}

impl NumberKeys {
    /// The keys of the first number in a text. `None` if there is none.
    pub fn of(text: &str, country: Id) -> Option<Self> {
        let dialled = phone::read(text, country).into_iter().next()?;
        // Use the digits as written: the E.164 form is longer than the last digits.
        let last = phone::reversed_digits(&phone::uri_user(text));
        let is_last =
            !matches!(dialled, Dialled::Impossible(_)) && !text.contains('+') && dialled.as_str().len() >= last.len();
        // Keys with this prefix sort before the prefix followed by `:`, the character after `9`.
        let ending = (is_last && last.len() >= FEWEST_LAST).then(|| (last.clone(), format!("{last}:")));
        Some(Self { same: dialled.key(), ending })
    }
}

/// Builds the SQL condition that a row of `resource` has a number, in one field or in any, and its bound values. The
/// same E.164 number or the same extension matches. Digits without a country code also match numbers that end with
/// them.
pub fn condition(
    resource: &'static str,
    field: Option<&'static str>,
    text: &str,
    db: &Connection,
) -> rusqlite::Result<(String, Vec<Value>)> {
    let inside = field.map(|field| format!(" AND field IN ('{field}', '{field}/2', '{field}/3', '{field}/4')"));
    let Some(keys) = NumberKeys::of(text, default_country(db)?) else { return Ok(("0".into(), Vec::new())) };
    let (mut by, mut bound) = ("reversed = ?", vec![keys.same.into()]);
    if let Some((from, end)) = keys.ending {
        by = "(reversed = ? OR reversed >= ? AND reversed < ?)";
        bound.extend([from.into(), end.into()]);
    }
    let inside = inside.unwrap_or_default();
    let found = format!("id IN (SELECT resource_id FROM phone_numbers WHERE resource = '{resource}' AND {by}{inside})");
    Ok((found, bound))
}

/// Reindexes the numbers of the rows with ids above `after` and up to `last`.
pub fn reindex(db: &Connection, numbered: &PhoneColumns, after: i64, last: i64) -> rusqlite::Result<()> {
    let table = numbered.table;
    let country = default_country(db)?;
    let sql = format!("SELECT id, {} FROM {table} WHERE id > ?1 AND id <= ?2", numbered.selected());
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query((after, last))?;
    let mut indexed = db.prepare_cached(
        "SELECT field, reversed FROM phone_numbers WHERE resource = ?1 AND resource_id = ?2 ORDER BY field",
    )?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let mut found: Vec<(String, String)> = Vec::new();
        for (field, typed) in numbered.typed(row)? {
            let keys = keys(&typed, country).into_iter().enumerate();
            found.extend(keys.map(|(place, key)| (field_of(&field, place).into_owned(), key)));
        }
        found.sort();
        let before = indexed.query_map((table, id), |row| Ok((row.get(0)?, row.get(1)?)))?;
        // Skip rows whose keys did not change.
        if before.collect::<rusqlite::Result<Vec<(String, String)>>>()? != found {
            db.prepare_cached("DELETE FROM phone_numbers WHERE resource = ?1 AND resource_id = ?2")?
                .execute((table, id))?;
            for (field, key) in found {
                write(db, table, id, &field, &key)?;
            }
        }
    }
    Ok(())
}

/// Counts the numbers that mean another number in another country, in the next `many` rows after an id. Also returns the
/// id of the last of these rows, if there is any.
pub fn count_differing(
    db: &Connection,
    numbered: &PhoneColumns,
    after: i64,
    many: usize,
    countries: (Id, Id),
) -> rusqlite::Result<(usize, Option<i64>)> {
    let (table, columns) = (numbered.table, numbered.selected());
    let sql = format!("SELECT id, {columns} FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query((after, i64::try_from(many).unwrap_or(i64::MAX)))?;
    let (mut count, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        last = Some(row.get(0)?);
        count += numbered.typed(row)?.iter().map(|(_, typed)| differing(typed, countries)).sum::<usize>();
    }
    Ok((count, last))
}

/// The number of numbers in a text that mean another number in another country.
fn differing(typed: &str, (one, other): (Id, Id)) -> usize {
    // Most texts that programs write are in E.164, and need not be read.
    let is_e164 = typed.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    if is_e164 {
        return 0;
    }
    let (one, other) = (keys(typed, one), keys(typed, other));
    let without = |some: &[String], others: &[String]| some.iter().filter(|key| !others.contains(key)).count();
    without(&one, &other).max(without(&other, &one))
}

impl PhoneColumns {
    /// The columns with numbers, for a query that selects the id before them.
    fn selected(&self) -> String {
        [self.columns, self.lists].concat().join(", ")
    }

    /// The texts in a row of that query, each with the name of its field in the index.
    fn typed(&self, row: &Row<'_>) -> rusqlite::Result<Vec<(Cow<'static, str>, String)>> {
        let mut found = Vec::new();
        for (place, field) in self.columns.iter().enumerate() {
            let typed: Option<String> = row.get(place + 1)?;
            found.extend(typed.map(|typed| (Cow::Borrowed(*field), typed)));
        }
        for (place, field) in self.lists.iter().enumerate() {
            let list = row.get_ref(self.columns.len() + place + 1)?.as_str()?;
            let list: Vec<String> = serde_json::from_str(list).map_err(|e| FromSqlError::Other(e.into()))?;
            found.extend(list.into_iter().enumerate().map(|(place, typed)| (list_field(field, place).into(), typed)));
        }
        Ok(found)
    }
}

fn write(db: &Connection, resource: &str, id: i64, field: &str, key: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO phone_numbers (resource, resource_id, field, reversed) VALUES (?1, ?2, ?3, ?4)")?
        .execute((resource, id, field, key))?;
    Ok(())
}

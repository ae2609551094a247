//! Cursors page through a list by the keys of its rows, not by page number. Every page costs the same, and a row that
//! is added or deleted meanwhile never makes another row appear twice or be missed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::types::Value as Sql;
use rusqlite::{Row, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{List, ListSpec, Listable, TextHits, usable_order};
use crate::api::error::{Error, Result};
use crate::api::handler::Ctx;
use crate::api::pagination::{self, CursorPage};
use crate::tenancy::row_counts;

/// A position between two rows of a list, and a direction. Encoded as base64url of JSON, which is opaque to clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cursor {
    /// The sort order of the list, as in the query.
    sort: String,
    /// The sort keys of the row at the position. The row itself may be gone.
    keys: Vec<Value>,
    /// Whether the page has the rows before the position instead of those after it.
    back: bool,
    /// Whether the page includes the row at the position.
    including: bool,
}

/// A sort key of a list: a column, or an expression of one. The last key is `id`, which is never null and breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    pub column: &'static str,
    /// The expression instead of the column, while the texts of the file are not all indexed.
    pub unindexed: Option<&'static str>,
    pub down: bool,
}

/// A consecutive part of an ordered list: its conditions, and the values that are bound in them.
#[derive(Debug, Default)]
pub struct KeyRange {
    conditions: Vec<String>,
    bound: Vec<Sql>,
}

impl Cursor {
    /// Reads a cursor of a list that is sorted by `sort` and has this number of keys.
    pub fn read(text: &str, sort: &str, keys: usize) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let cursor: Self = serde_json::from_slice(&json).ok()?;
        let is_key = |key: &Value| !matches!(key, Value::Bool(_) | Value::Array(_) | Value::Object(_));
        let is_good = cursor.sort == sort && cursor.keys.len() == keys && cursor.keys.iter().all(is_key);
        is_good.then_some(cursor)
    }

    fn text(&self) -> Result<String> {
        let json = serde_json::to_vec(self).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    /// The same position in the other direction.
    fn reversed(&self) -> Self {
        Self { back: !self.back, including: !self.including, ..self.clone() }
    }
}

impl<T: Listable> List<T> {
    /// Reads the page at a cursor, or the first page without one.
    pub(super) fn page_at_cursor(&self, ctx: &Ctx<'_>, from: Option<&Cursor>) -> Result<CursorPage<T>> {
        let back = from.is_some_and(|cursor| cursor.back);
        let order = usable_order(self.order(back), ctx.db)?;
        let wanted = usize::try_from(self.per_page).unwrap_or(usize::MAX);
        let hits = self.text_hits(&order);
        let (asked, bound) = self.conditions_without(ctx, hits.as_ref().map(|hits| hits.place))?;

        // Reads one row more than the page has, to know whether there is a next page.
        let mut rows: Vec<(T, Vec<Value>)> = Vec::new();
        for range in from.map_or_else(|| vec![KeyRange::default()], |cursor| ranges(&order, cursor)) {
            let missing = wanted + 1 - rows.len();
            if missing == 0 {
                break;
            }
            let mut statement = ctx.db.prepare_cached(&select::<T>(hits.as_ref(), &asked, &range, &order))?;
            let bound = match &hits {
                None => [&bound[..], &range.bound].concat(),
                Some(hits) => [&[Sql::Text(hits.words.clone())], &range.bound[..], &bound].concat(),
            };
            let bound = bound.into_iter().chain([Sql::Integer(missing as i64)]);
            let first_key = statement.column_count() - order.len();
            let mut found = statement.query(params_from_iter(bound))?;
            while let Some(row) = found.next()? {
                rows.push((T::from_row(row)?, keys_of(row, first_key, order.len())?));
            }
        }
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        if back {
            rows.reverse();
        }

        // If the page has no row to start from, the cursor is the requested one, reversed.
        let at = |row: Option<&(T, Vec<Value>)>, back: bool| {
            let row = row.map(|(_, keys)| Cursor { sort: self.sort(), keys: keys.clone(), back, including: false });
            row.or_else(|| from.map(Cursor::reversed)).map(|cursor| cursor.text()).transpose()
        };
        let (is_first, is_last) = if back { (!more, false) } else { (from.is_none(), !more) };
        let before = if is_first { None } else { at(rows.first(), true)? };
        let behind = if is_last { None } else { at(rows.last(), false)? };
        let (path, query) = (ctx.request.address.url(), &ctx.request.query);
        Ok(CursorPage {
            next_page_url: behind.as_ref().map(|cursor| pagination::url(&path, query, "cursor", cursor)),
            data: rows.into_iter().map(|(row, _)| row).collect(),
            per_page: self.per_page,
            count: self.count_to.map(|most| self.count(ctx, most)).transpose()?,
            next_cursor: behind,
            prev_cursor: before,
        })
    }

    /// The number of rows on all pages, counted up to this number. Without conditions it is exact, if the file
    /// keeps it.
    pub(super) fn count(&self, ctx: &Ctx<'_>, most: i64) -> Result<i64> {
        let hits = self.text_filter();
        let (asked, mut bound) = self.conditions_without(ctx, hits.as_ref().map(|hits| hits.place))?;
        let sql = match hits {
            None if asked.is_empty() && T::LISTING.has_row_count => row_counts::count_of(T::LISTING.table),
            hits => {
                bound.push(most.into());
                if let Some(hits) = &hits {
                    bound.insert(0, hits.words.clone().into());
                }
                format!("SELECT count(*) FROM ({})", counted::<T>(hits.as_ref(), &asked))
            }
        };
        Ok(ctx.db.prepare_cached(&sql)?.query_row(params_from_iter(bound), |row| row.get(0))?)
    }
}

/// SQL for the rows to count. Hits of a full-text index that have no other condition are counted in the index alone.
fn counted<T: Listable>(hits: Option<&TextHits>, asked: &[String]) -> String {
    let (table, name) = (T::LISTING.table, T::LISTING.table_name());
    let filtered = if asked.is_empty() { String::new() } else { format!(" WHERE {}", asked.join(" AND ")) };
    let source = match hits {
        None => table.to_owned(),
        Some(TextHits { index, .. }) if asked.is_empty() => format!("{index} WHERE {index} MATCH ?"),
        Some(TextHits { index, .. }) => format!(
            "(SELECT rowid AS hit FROM {index} WHERE {index} MATCH ?) AS hits
             CROSS JOIN {table} AS {name} ON {name}.id = hits.hit"
        ),
    };
    format!("SELECT 1 FROM {source}{filtered} LIMIT ?")
}

/// SQL for the rows of a range, with their sort keys after their columns. Hits of a full-text index are read one by one
/// in order, so the cost depends on the page size and not on the number of hits.
pub fn select<T: Listable>(hits: Option<&TextHits>, asked: &[String], range: &KeyRange, order: &[SortKey]) -> String {
    let ListSpec { table, columns, .. } = T::LISTING;
    let name = T::LISTING.table_name();
    let keys = order.iter().map(|key| key.column).collect::<Vec<_>>().join(", ");
    if let Some(TextHits { index, .. }) = hits {
        let direction = if order.iter().any(|key| key.down) { " DESC" } else { "" };
        let behind: String = range.conditions.iter().map(|condition| format!(" AND row{condition}")).collect();
        let filtered = if asked.is_empty() { String::new() } else { format!(" WHERE {}", asked.join(" AND ")) };
        return format!(
            "SELECT {columns}, {keys} FROM
             (SELECT rowid AS hit FROM {index} WHERE {index} MATCH ?{behind} ORDER BY rowid{direction}) AS hits
             CROSS JOIN {table} AS {name} ON {name}.id = hits.hit{filtered} ORDER BY hits.hit{direction} LIMIT ?"
        );
    }
    let conditions = [asked, &range.conditions].concat().join(" AND ");
    let filtered = if conditions.is_empty() { conditions } else { format!(" WHERE {conditions}") };
    format!("SELECT {columns}, {keys} FROM {table}{filtered} ORDER BY {} LIMIT ?", order_by(order))
}

/// An order as SQL.
pub fn order_by(order: &[SortKey]) -> String {
    let keys = order.iter().map(|key| format!("{}{}", key.column, if key.down { " DESC" } else { "" }));
    keys.collect::<Vec<_>>().join(", ")
}

/// The rows after a cursor's position, as consecutive ranges. The first ranges differ from the cursor's row only in the
/// last key, the last ones in the first key. Each range is a conjunction, and an index on the order finds it with a
/// seek. A single condition for all would make SQLite read every row before the position.
fn ranges(order: &[SortKey], cursor: &Cursor) -> Vec<KeyRange> {
    let mut ranges = Vec::new();
    for differs in (0..order.len()).rev() {
        let mut tied = KeyRange::default();
        for (key, value) in order.iter().zip(&cursor.keys).take(differs) {
            tied.require(key.column, if value.is_null() { "IS" } else { "=" }, value);
        }
        let including = cursor.including && differs + 1 == order.len();
        for (operator, value) in comparisons_after(order[differs], &cursor.keys[differs], including) {
            let mut range = KeyRange { conditions: tied.conditions.clone(), bound: tied.bound.clone() };
            range.require(order[differs].column, operator, value);
            ranges.push(range);
        }
    }
    ranges
}

/// Conditions on a column for rows after one that has this value. SQLite sorts nulls first.
fn comparisons_after(key: SortKey, value: &Value, including: bool) -> Vec<(&'static str, &Value)> {
    match (value, key.down) {
        (Value::Null, true) => vec![],
        (Value::Null, false) => vec![("IS NOT", &Value::Null)],
        (value, false) => vec![(if including { ">=" } else { ">" }, value)],
        (value, true) if key.column == "id" => vec![(if including { "<=" } else { "<" }, value)],
        (value, true) => vec![("<", value), ("IS", &Value::Null)],
    }
}

impl KeyRange {
    fn require(&mut self, column: &str, operator: &str, value: &Value) {
        let value = match value {
            // SQLite does not see that `IS ?` keeps the remaining keys in order, so the null is written out.
            Value::Null => return self.conditions.push(format!("{column} {operator} NULL")),
            Value::String(text) => Sql::Text(text.clone()),
            number => number.as_i64().map_or_else(|| Sql::Real(number.as_f64().unwrap_or_default()), Sql::Integer),
        };
        self.conditions.push(format!("{column} {operator} ?"));
        self.bound.push(value);
    }
}

fn keys_of(row: &Row<'_>, first: usize, many: usize) -> Result<Vec<Value>> {
    let key = |column| match row.get(column) {
        Ok(Sql::Null) => Ok(Value::Null),
        Ok(Sql::Integer(number)) => Ok(number.into()),
        Ok(Sql::Real(number)) => Ok(number.into()),
        Ok(Sql::Text(text)) => Ok(text.into()),
        Ok(Sql::Blob(_)) => Err(Error::Internal("a list is sorted by a blob, which a cursor cannot hold".into())),
        Err(error) => Err(error.into()),
    };
    (first..first + many).map(key).collect()
}

#[cfg(test)]
mod tests;

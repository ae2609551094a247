//! Writes the rows of an import one by one: finds the row that exists, and creates it or changes it.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use super::customer_scope::{Given, Scope};
use super::entity::{Editable, ImportKey, ServerFields};
use super::entity_rows;
use super::error::{Error, Result};
use super::import::{ImportCounts, ImportFollower, ImportMode, Importer, update_permission};
use super::import_file::{FileRow, ImportRow, ImportRows};
use super::json_body::{self, ValueReader};
use super::list::ListSpec;
use crate::storage;
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::values::{Timestamp, integer};

/// Largest id that a row may bring. The next generated id follows the largest one ever used, so many ids must be left,
/// and clients that keep numbers as floats must be able to read them.
pub(super) const LARGEST_ID: i64 = 1 << 52;

enum WrittenRow {
    Created,
    Changed,
    Unchanged,
}

/// Writes rows in one transaction.
pub(super) struct RowWriter<'a> {
    importer: &'a Importer,
    db: &'a Connection,
    rows: &'a ImportRows,
    existing: ExistingRows,
    reading: ValueReader,
    /// The time of change of the rows, unless the file has one.
    at: Timestamp,
}

impl<'a> RowWriter<'a> {
    pub fn new<T: Editable>(
        importer: &'a Importer,
        db: &'a Connection,
        rows: &'a ImportRows,
        at: Timestamp,
    ) -> Result<Self> {
        let reading = ValueReader::of_import(T::Scope::NAMES_CUSTOMER, WorkspaceLocale::of(db)?.zone);
        Ok(Self { importer, db, rows, existing: ExistingRows::of::<T>(importer)?, reading, at })
    }

    /// Writes and counts a row. Returns the error of a refused row. After any other error the transaction must not go on.
    pub fn write<T: Editable>(
        &self,
        row: &FileRow<'_>,
        counts: &mut ImportCounts,
        follower: &mut dyn ImportFollower,
    ) -> Result<Option<Error>> {
        follower.row(row.number);
        let fields = row.fields.clone().map(|fields| self.rows.without_nulls(fields));
        let write = || self.write_fields::<T>(fields.map_err(Error::invalid)?);
        match if self.importer.leaves_out { storage::apart(self.db, is_of_row, write) } else { write() } {
            Ok(WrittenRow::Created) => counts.created += 1,
            Ok(WrittenRow::Changed) => counts.changed += 1,
            Ok(WrittenRow::Unchanged) => counts.unchanged += 1,
            Err(error) if is_of_row(&error) => {
                counts.refused += 1;
                follower.refused(self.rows, row, &error)?;
                return Ok(Some(error));
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    fn write_fields<T: Editable>(&self, mut row: ImportRow) -> Result<WrittenRow> {
        let Self { importer, db, existing, .. } = self;
        row.retain(|name, value| !value.is_null() || !json_body::KEPT_BY_SERVER.contains(&name.as_str()));
        read_id(&mut row)?;
        let old: Option<T> = match importer.mode {
            ImportMode::Create => None,
            ImportMode::Upsert => existing.find(db, &row)?,
        };
        if old.is_none() && importer.is_bound && existing.brings_unseen_id::<T>(db, &row)? {
            return Err(Error::invalid("The selected id is invalid."));
        }
        match old {
            None => {
                row.retain(|_, value| !value.is_null());
                self.create::<T>(&row).map(|()| WrittenRow::Created)
            }
            Some(_) if !importer.may_change => Err(Error::MissingPermission(update_permission::<T>().into())),
            Some(old) => self.update(old, row),
        }
    }

    fn given<'n>(&self, names: &'n dyn Fn(&str) -> bool) -> Given<'n> {
        Given { customer: self.importer.bound_to, names, is_import: true }
    }

    fn create<T: Editable>(&self, row: &ImportRow) -> Result<()> {
        let mut new: T = self.reading.new_with_all(row)?;
        let ServerFields { created_at, updated_at, .. } = new.server_fields();
        for (field, moment) in [("created_at", created_at), ("updated_at", updated_at)] {
            if !row.contains_key(field) {
                *moment = self.at;
            }
        }
        new.prepare(self.db, None, &self.given(&|field| row.contains_key(field)))?;
        entity_rows::add(self.db, &self.importer.recorder, new).map(|_| ())
    }

    /// Leaves a row alone that equals the file's. If the file has another `updated_at` than the row, the change gets
    /// the file's. If it has the same one, the file is an edited export, and the change gets the
    /// time of the import.
    fn update<T: Editable>(&self, mut old: T, mut row: ImportRow) -> Result<WrittenRow> {
        row.remove("id");
        let mut new: T = self.reading.merge_all(&old, &row)?;
        new.prepare(self.db, Some(&old), &self.given(&|field| row.contains_key(field)))?;
        if new == old {
            return Ok(WrittenRow::Unchanged);
        }
        let updated_at = new.server_fields().updated_at;
        if *updated_at == *old.server_fields().updated_at {
            *updated_at = self.at;
        }
        entity_rows::rewrite(self.db, &self.importer.recorder, &old, new).map(|_| WrittenRow::Changed)
    }
}

/// Whether an error is about the row alone.
fn is_of_row(error: &Error) -> bool {
    matches!(error, Error::Invalid(_) | Error::Rejected { .. })
}

/// Reads the id of a row, which may be text, and checks its range. An id that is not an integer is rejected with the rest
/// of the row.
fn read_id(row: &mut ImportRow) -> Result<()> {
    let id = match row.get("id") {
        Some(Value::String(text)) => integer::read(text.as_str()),
        Some(Value::Number(number)) if number.is_f64() => number.as_f64().and_then(integer::whole),
        Some(Value::Number(number)) => Some(number.as_i64().unwrap_or(i64::MAX)),
        _ => None,
    };
    match id {
        Some(id) if (1..=LARGEST_ID).contains(&id) => {
            row.insert("id".into(), id.into());
            Ok(())
        }
        Some(_) => Err(Error::invalid(format!("The id must be between 1 and {LARGEST_ID}."))),
        None => Ok(()),
    }
}

/// Finds existing rows that the caller sees.
struct ExistingRows {
    by_id: String,
    /// Whether rows are found by their id.
    finds_by_id: bool,
    by_key: Option<(ImportKey, String)>,
    bound_to: Option<i64>,
}

impl ExistingRows {
    fn of<T: Editable>(Importer { bound_to, key: only, .. }: &Importer) -> Result<Self> {
        let bound_to = *bound_to;
        let is_wanted = |field: &str| only.as_ref().is_none_or(|only| only == field);
        let ListSpec { table, columns, customer, .. } = T::LISTING;
        let seen = match (bound_to, customer) {
            (None, _) => String::new(),
            (Some(_), Some(customer)) => format!(" AND {customer} = ?2"),
            (Some(_), None) => return Err(Error::bound_to_customer()),
        };
        // Two rows are enough to know that the match is not unique.
        let sql = |column: &str| format!("SELECT {columns} FROM {table} WHERE {column} = ?1{seen} LIMIT 2");
        Ok(Self {
            by_id: sql("id"),
            finds_by_id: is_wanted("id"),
            by_key: T::KEY.filter(|key| is_wanted(key.field)).map(|key| {
                let sql = sql(key.column);
                (key, sql)
            }),
            bound_to,
        })
    }

    /// By the id if such a row exists, else by the key.
    fn find<T: Editable>(&self, db: &Connection, row: &ImportRow) -> Result<Option<T>> {
        if self.finds_by_id
            && let Some(id) = row.get("id").and_then(Value::as_i64)
            && let Some(found) = self.rows(db, &self.by_id, id.into())?.pop()
        {
            return Ok(Some(found));
        }
        let Some((key, sql)) = &self.by_key else { return Ok(None) };
        let Some(named) = row.get(key.field).and_then(Value::as_str).filter(|named| !named.trim().is_empty()) else {
            return Ok(None);
        };
        let mut found = self.rows(db, sql, named.to_owned().into())?;
        if found.len() > 1 {
            let (field, table) = (key.field.replace('_', " "), T::PLURAL.replace('_', " "));
            return Err(Error::invalid(format!("The {field} matches several {table}: use an id.")));
        }
        Ok(found.pop())
    }

    /// Whether a row brings an id that matches no row visible to the caller. The id may be another customer's or
    /// unused.
    fn brings_unseen_id<T: Editable>(&self, db: &Connection, row: &ImportRow) -> Result<bool> {
        match row.get("id").and_then(Value::as_i64) {
            Some(id) => Ok(self.rows::<T>(db, &self.by_id, id.into())?.is_empty()),
            None => Ok(false),
        }
    }

    fn rows<T: Editable>(&self, db: &Connection, sql: &str, wanted: Sql) -> Result<Vec<T>> {
        let bound = [wanted].into_iter().chain(self.bound_to.map(Sql::from));
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map(params_from_iter(bound), T::from_columns)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

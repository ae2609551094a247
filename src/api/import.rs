//! Imports: reads rows of a resource from a JSON or CSV file, and writes all of them or none.
//!
//! All rows are written in one turn, because a bad row may be the last one. Meanwhile other writers of the same
//! workspace wait; readers do not.

use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::customer_scope::{Given, Scope};
use super::entity::{Editable, ImportKey, ServerFields};
use super::entity_rows;
use super::error::{Error, Result};
use super::handler::BlockingCtx;
use super::import_file::{FileRow, ImportRow, ImportRows};
use super::input::{Input, Query, pairs, required};
use super::json_body::{self, ValueReader};
use super::list::ListSpec;
use super::media_type::{BodyKind, Format, MediaType};
use super::openapi::Operation;
use super::request::Request;
use super::response::{ApiResponse, IntoResponse, json as json_response};
use crate::storage::{self, Fault, File};
use crate::tenancy::ChangeRecorder;
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::values::{Flag, integer};

/// Maximum rows per request. Writing that many takes some ten seconds, in which the workspace has no other writes.
pub const MOST_ROWS: usize = 250_000;

/// Time limit of an import, for a slow and busy machine.
pub const LONGEST: Duration = Duration::from_secs(300);

/// Maximum bad rows that an error lists.
const MOST_HINTS: usize = 100;

/// Largest id that a row may bring. The next generated id follows the largest one ever used, so many ids must be left,
/// and clients that keep numbers as floats must be able to read them.
const LARGEST_ID: i64 = 1 << 52;

/// What an import does with rows that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Every row is new. A row that exists is bad.
    Create,
    /// A row that exists, by its id or its key, is changed. The others are new.
    Upsert,
}

impl FromStr for ImportMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "create" => Ok(Self::Create),
            "upsert" => Ok(Self::Upsert),
            _ => Err("The selected mode is invalid; it may be create, upsert.".into()),
        }
    }
}

/// An uploaded file of `T` that is not parsed yet.
pub struct ImportBody<T> {
    text: Bytes,
    format: Format,
    /// The mode in the query. Without one, the body may have it.
    mode: Option<ImportMode>,
    dry_run: bool,
    of: PhantomData<fn() -> T>,
}

impl<T: Editable> ImportBody<T> {
    /// Writes the rows for the caller, and for one customer only if one is given.
    pub fn import(self, ctx: &BlockingCtx<'_>, customer: Option<i64>) -> Result<ImportCounts> {
        let mode = match self.mode {
            Some(mode) => mode,
            None => mode_in(&self.text, self.format)?,
        };
        let rows = ImportRows::find::<T>(self.text, self.format, T::PLURAL)?;
        check_count(rows.count())?;
        let principal = ctx.principal()?;
        let importer = Importer {
            recorder: ctx.recorder()?,
            mode,
            dry_run: self.dry_run,
            leaves_out: false,
            key: None,
            bound_to: customer,
            is_bound: principal.customer_id.is_some(),
            may_change: principal.has_permission(&update_permission::<T>()),
        };
        importer.import::<T>(ctx.request.workspace()?.file(), rows, LONGEST, Box::new(|_| {}))
    }
}

/// Checks that a file has no more rows than a request may write.
pub fn check_count(rows: usize) -> Result<()> {
    if rows > MOST_ROWS {
        return Err(Error::invalid(format!("The file may not have more than {MOST_ROWS} rows. Send it in parts.")));
    }
    Ok(())
}

/// The mode in a JSON object that contains rows.
fn mode_in(text: &[u8], format: Format) -> Result<ImportMode> {
    #[derive(serde::Deserialize)]
    struct ImportModeQuery {
        mode: Option<String>,
    }
    if format == Format::Csv || !text.trim_ascii_start().starts_with(b"{") {
        return Ok(ImportMode::Create);
    }
    // Other errors in the text are found when its rows are read.
    let said = serde_json::from_slice::<ImportModeQuery>(text).ok().and_then(|query| query.mode);
    let mode = said.filter(|mode| !mode.is_empty()).map_or(Ok(ImportMode::Create), |mode| mode.parse());
    mode.map_err(|said: String| Error::invalid(said))
}

/// The parameters of an import.
#[derive(Debug, Clone)]
pub struct Importer {
    pub recorder: ChangeRecorder,
    pub mode: ImportMode,
    /// Only report what the import would do.
    pub dry_run: bool,
    /// Whether refused rows are left out. Otherwise one refused row rejects the whole file.
    pub leaves_out: bool,
    /// The only field by which an existing row is found. By default its id, else the key of the resource.
    pub key: Option<String>,
    /// The only customer whose rows are seen and written, if any.
    pub bound_to: Option<i64>,
    /// Whether the caller sees only that customer, and may not learn which other ids exist.
    pub is_bound: bool,
    /// Whether rows that exist may be changed.
    pub may_change: bool,
}

/// Follows an import. Every method but `finished` runs in a dry run too.
pub trait ImportFollower: Send {
    /// The import begins. It may begin again, after all its changes were rolled back.
    fn begins(&mut self) -> Result<()> {
        Ok(())
    }

    /// The row with this number is imported.
    fn row(&mut self, number: usize);

    /// A row was refused.
    fn refused(&mut self, _rows: &ImportRows, _row: &FileRow<'_>, _why: &Error) -> Result<()> {
        Ok(())
    }

    /// All rows were written, in a transaction that is not committed yet.
    fn finished(&mut self, _db: &Connection, _counts: &ImportCounts) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(usize) + Send> ImportFollower for F {
    fn row(&mut self, number: usize) {
        self(number);
    }
}

/// Numbers of rows that were created, changed, unchanged and refused. In a dry run, the numbers that would be.
#[derive(Debug, Clone, Default)]
pub struct ImportCounts {
    pub created: usize,
    pub changed: usize,
    /// Existing rows that equal the file's.
    pub unchanged: usize,
    /// Rows that were left out.
    pub refused: usize,
    /// The encoding of a CSV file.
    pub encoding: Option<&'static str>,
    /// Columns or fields that were ignored.
    pub ignored_columns: Vec<String>,
    dry_run: bool,
}

/// The reason why an import was rolled back.
enum ImportFailure {
    DryRun(ImportCounts),
    Failed(Error),
}

impl From<Fault> for ImportFailure {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.into())
    }
}

enum WrittenRow {
    Created,
    Changed,
    Unchanged,
}

impl Importer {
    /// Writes all rows or none, apart from those that are left out, in a turn of limited time.
    pub fn import<T: Editable>(
        self,
        file: &Arc<File>,
        rows: ImportRows,
        longest: Duration,
        mut follower: Box<dyn ImportFollower>,
    ) -> Result<ImportCounts> {
        let (encoding, ignored_columns) = (rows.encoding().map(|encoding| encoding.0), rows.ignored_columns.clone());
        let written = file.write_within(longest, move |db| match self.write::<T>(db, &rows, &mut *follower) {
            Ok(counts) if self.dry_run => Err(ImportFailure::DryRun(counts)),
            Ok(counts) => Ok(counts),
            Err(error) => Err(ImportFailure::Failed(error)),
        });
        match written {
            Ok(counts) | Err(ImportFailure::DryRun(counts)) => Ok(ImportCounts { encoding, ignored_columns, ..counts }),
            Err(ImportFailure::Failed(error)) => Err(error),
        }
    }

    fn write<T: Editable>(
        &self,
        db: &Connection,
        rows: &ImportRows,
        follower: &mut dyn ImportFollower,
    ) -> Result<ImportCounts> {
        follower.begins()?;
        let there = ExistingRows::of::<T>(self)?;
        let reading = ValueReader::of_import(T::Scope::NAMES_CUSTOMER, WorkspaceLocale::of(db)?.zone);
        let mut counts = ImportCounts { dry_run: self.dry_run, ..ImportCounts::default() };
        let mut hint = Vec::new();
        rows.for_each(|row| {
            follower.row(row.number);
            let fields = row.fields.clone().map(|fields| rows.without_nulls(fields));
            let write = || self.write_row::<T>(db, &there, &reading, fields.map_err(Error::invalid)?);
            match if self.leaves_out { storage::apart(db, is_of_row, write) } else { write() } {
                Ok(WrittenRow::Created) => counts.created += 1,
                Ok(WrittenRow::Changed) => counts.changed += 1,
                Ok(WrittenRow::Unchanged) => counts.unchanged += 1,
                // The row is bad. The remaining rows are checked too, so that all problems are reported at once.
                Err(error) if is_of_row(&error) => {
                    counts.refused += 1;
                    if hint.len() < MOST_HINTS {
                        hint.push(format!("row {}: {}", row.number, error.messages().join(" ")));
                    }
                    follower.refused(rows, &row, &error)?;
                }
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        if counts.refused > 0 && !self.leaves_out {
            return Err(Error::InvalidRows { hint, count: counts.refused });
        }
        if !self.dry_run {
            follower.finished(db, &counts)?;
        }
        Ok(counts)
    }

    fn write_row<T: Editable>(
        &self,
        db: &Connection,
        there: &ExistingRows,
        reading: &ValueReader,
        mut row: ImportRow,
    ) -> Result<WrittenRow> {
        row.retain(|name, value| !value.is_null() || !json_body::KEPT_BY_SERVER.contains(&name.as_str()));
        read_id(&mut row)?;
        let old: Option<T> = match self.mode {
            ImportMode::Create => None,
            ImportMode::Upsert => there.find(db, &row)?,
        };
        if old.is_none() && self.is_bound && there.brings_unseen_id::<T>(db, &row)? {
            return Err(Error::invalid("The selected id is invalid."));
        }
        match old {
            None => {
                row.retain(|_, value| !value.is_null());
                self.create::<T>(db, reading, &row).map(|()| WrittenRow::Created)
            }
            Some(_) if !self.may_change => Err(Error::MissingPermission(update_permission::<T>().into())),
            Some(old) => self.update(db, reading, old, row),
        }
    }

    fn given<'a>(&self, names: &'a dyn Fn(&str) -> bool) -> Given<'a> {
        Given { customer: self.bound_to, names, is_import: true }
    }

    fn create<T: Editable>(&self, db: &Connection, reading: &ValueReader, row: &ImportRow) -> Result<()> {
        let mut new: T = reading.merge_all(&T::default(), row)?;
        let ServerFields { created_at, updated_at, .. } = new.server_fields();
        for (field, moment) in [("created_at", created_at), ("updated_at", updated_at)] {
            if !row.contains_key(field) {
                *moment = self.recorder.at;
            }
        }
        new.prepare(db, None, &self.given(&|field| row.contains_key(field)))?;
        entity_rows::add(db, &self.recorder, new).map(|_| ())
    }

    /// Leaves a row alone that equals the file's. If the file has another `updated_at` than the row, the change gets
    /// the file's. If it has the same one, the file is an edited export, and the change gets the current time.
    fn update<T: Editable>(
        &self,
        db: &Connection,
        reading: &ValueReader,
        mut old: T,
        mut row: ImportRow,
    ) -> Result<WrittenRow> {
        row.remove("id");
        let mut new: T = reading.merge_all(&old, &row)?;
        new.prepare(db, Some(&old), &self.given(&|field| row.contains_key(field)))?;
        if new == old {
            return Ok(WrittenRow::Unchanged);
        }
        let updated_at = new.server_fields().updated_at;
        if *updated_at == *old.server_fields().updated_at {
            *updated_at = self.recorder.at;
        }
        entity_rows::rewrite(db, &self.recorder, &old, new).map(|_| WrittenRow::Changed)
    }
}

/// Whether an error is about the row alone.
fn is_of_row(error: &Error) -> bool {
    matches!(error, Error::Invalid(_) | Error::Rejected { .. })
}

fn update_permission<T: Editable>() -> String {
    format!("{}.update", T::PERMISSIONS)
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

impl<T: Editable> Input for ImportBody<T> {
    const BODY: BodyKind = BodyKind::Rows;

    fn read(request: &Request) -> Result<Self> {
        let Query(DryRunQuery { dry_run }) = Query::read(request)?;
        let mode = pairs(&request.query).find(|(name, _)| name == "mode").map(|(_, mode)| mode);
        Ok(Self {
            text: request.body.clone(),
            format: if request.sent_as == Some(MediaType::Csv) { Format::Csv } else { Format::Json },
            mode: match mode.as_deref() {
                None | Some("") => None,
                Some(mode) => Some(mode.parse().map_err(|said: String| Error::invalid(said))?),
            },
            dry_run: dry_run.0,
            of: PhantomData,
        })
    }

    fn describe(operation: &mut Operation<'_>) {
        let moment = json!({
            "type": ["string", "null"], "format": "date-time", "examples": ["2024-01-20T12:00:00Z"],
            "description": "Default: the time of the import.",
        });
        let kept = json!({
            "id": {
                "type": ["integer", "null"], "format": "int64", "minimum": 1, "maximum": LARGEST_ID,
                "description": "Default: generated.",
            },
            "created_at": moment, "updated_at": moment,
        });
        operation.rows::<T>(&required::<T>(), T::PLURAL, kept.as_object().expect("an object"));
        let known = T::KEY.map(|key| format!(" or {}", key.field)).unwrap_or_default();
        let text = format!(
            "`create`: every row is new. `upsert`: a row that exists, by its id{known}, is changed. \
             Default: `mode` in the body, else `create`."
        );
        operation.query("mode", &text, json!({"type": "string", "enum": ["create", "upsert"]}));
        operation.parameters::<DryRunQuery>(super::openapi::ParameterIn::Query, &[]);
    }
}

#[derive(Debug, Default, Serialize, serde::Deserialize, JsonSchema)]
#[serde(default)]
struct DryRunQuery {
    /// Checks all rows and reports the result without changing anything.
    dry_run: Flag,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Imported")]
struct ImportCountsSchema {
    /// Always `ok`.
    response: &'static str,
    /// Number of rows created. In a dry run, the number that would be created.
    created: usize,
    /// Number of existing rows that now match the file.
    updated: usize,
    /// Encoding of a CSV file: `UTF-8`, `UTF-16` or `Windows-1252`. Absent for JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "&'static str", example = "UTF-8")]
    encoding: Option<&'static str>,
    /// Columns of a CSV file that match no field and were ignored, at most 100. For JSON, ignored fields of rows;
    /// absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = ["Ville"])]
    ignored_columns: Option<Vec<String>>,
}

/// 201 `{"response":"ok","created":n,"updated":n}`, or 200 after a dry run, which changes nothing.
impl IntoResponse for ImportCounts {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let status = if self.dry_run { StatusCode::OK } else { StatusCode::CREATED };
        let Self { created, changed, unchanged, encoding, ignored_columns, .. } = self;
        let updated = changed + unchanged;
        let ignored_columns = Some(ignored_columns).filter(|ignored| encoding.is_some() || !ignored.is_empty());
        json_response(status, &ImportCountsSchema { response: "ok", created, updated, encoding, ignored_columns })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<ImportCountsSchema>(StatusCode::CREATED);
        operation.response::<ImportCountsSchema>(StatusCode::OK);
    }
}

#[cfg(test)]
mod tests;

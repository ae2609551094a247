//! Imports: reads rows of a resource from a JSON or CSV file, and writes all of them or none.
//!
//! All rows are written in one turn, because a bad row may be the last one. Meanwhile other writers of the same
//! workspace wait; readers do not. `import_in_parts.rs` writes them in many short turns.

use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::entity::Editable;
use super::error::{Error, Result};
use super::handler::BlockingCtx;
use super::import_file::{FileRow, ImportRows};
use super::input::{Input, Query, pairs, required};
use super::media_type::{BodyKind, Format, MediaType};
use super::openapi::Operation;
use super::request::Request;
use super::response::{ApiResponse, IntoResponse, json as json_response};
use super::row_writer::{LARGEST_ID, RowWriter};
use crate::storage::{Fault, File};
use crate::tenancy::ChangeRecorder;
use crate::values::Flag;

/// Maximum rows per request. Writing that many in one turn takes some ten seconds, in which the workspace has no other writes.
pub const MOST_ROWS: usize = 250_000;

/// Time limit of an import, for a slow and busy machine.
pub const LONGEST: Duration = Duration::from_secs(300);

/// Maximum bad rows that an error lists.
const MOST_HINTS: usize = 100;

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

/// Follows an import.
pub trait ImportFollower: Send {
    /// The import begins. It may begin again, after all its changes were rolled back.
    fn begins(&mut self) -> Result<()> {
        Ok(())
    }

    /// The row with this number is imported.
    fn row(&mut self, number: usize);

    /// A row was refused. Its transaction is not committed yet.
    fn refused(&mut self, _rows: &ImportRows, _row: &FileRow<'_>, _why: &Error) -> Result<()> {
        Ok(())
    }

    /// A part of the rows begins. The counts are those of the parts before. A part may begin again, after all its changes
    /// were rolled back.
    fn begins_part(&mut self, _counts: &ImportCounts) -> Result<()> {
        Ok(())
    }

    /// A part was written that is not the last one, in a transaction that is not committed yet.
    fn part_written(&mut self, _db: &Connection, _counts: &ImportCounts) -> Result<()> {
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

impl ImportCounts {
    /// The counts of the rows that an import wrote before it was interrupted.
    pub fn of(created: usize, changed: usize, unchanged: usize, refused: usize) -> Self {
        Self { created, changed, unchanged, refused, ..Self::default() }
    }

    /// The number of rows that were counted.
    pub const fn sum(&self) -> usize {
        self.created + self.changed + self.unchanged + self.refused
    }
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
        let writer = RowWriter::new::<T>(self, db, rows, self.recorder.at)?;
        let mut counts = ImportCounts { dry_run: self.dry_run, ..ImportCounts::default() };
        let mut hint = Vec::new();
        // After a bad row the remaining rows are checked too, so that all problems are reported at once.
        rows.for_each(|row| {
            let refused = writer.write::<T>(&row, &mut counts, follower)?;
            if let Some(error) = refused.filter(|_| hint.len() < MOST_HINTS) {
                hint.push(format!("row {}: {}", row.number, error.messages().join(" ")));
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
}

pub(super) fn update_permission<T: Editable>() -> String {
    format!("{}.update", T::PERMISSIONS)
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

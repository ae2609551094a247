//! Exports: every row that the filters of a list select, as a JSON array or as CSV.
//!
//! Rows are read by key, some hundreds per turn, each turn in its own transaction. A row that is added or deleted
//! meanwhile may be included or not. Every other row is included once.

use std::marker::PhantomData;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::csv_cell;
use super::error::{Error, Result};
use super::handler::Ctx;
use super::input::{Input, pairs};
use super::list::{List, ListSpec, Listable};
use super::media_type::{Format, MediaType};
use super::openapi::Operation;
use super::request::Request;
use super::response::{ApiResponse, ByteStream, Content, IntoResponse};
use crate::values::json;

/// Rows per turn. One turn takes some milliseconds, which is the longest that other requests of the workspace wait.
const ROWS_IN_A_TURN: i64 = 500;

impl Input for Format {
    fn read(request: &Request) -> Result<Self> {
        match pairs(&request.query).find(|(name, _)| name == "format").map(|(_, value)| value).as_deref() {
            None | Some("") => Ok(if accepts_csv(&request.headers) { Self::Csv } else { Self::Json }),
            Some(format) => format.parse().map_err(|said: String| Error::invalid(said)),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.query(
            "format",
            "Format of the export. Takes precedence over the Accept header.",
            json!({"type": "string", "enum": ["json", "csv"]}),
        );
    }
}

/// Whether the client accepts CSV and does not name JSON.
fn accepts_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let names = |wanted: &str| {
        accepted.split(',').any(|kind| kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case(wanted)))
    };
    names(MediaType::Csv.name()) && !names(MediaType::Json.name())
}

/// 200 with all rows.
pub struct Export<T> {
    format: Format,
    first: Bytes,
    rest: ExportRows<T>,
}

/// Exports every row, or every row of a customer, outside a request.
pub fn export_all<T: Listable + Default + 'static>(
    format: Format,
    customer: Option<i64>,
) -> Result<Box<dyn ByteStream>> {
    let Some(customer) = customer else { return Ok(Box::new(ExportRows::<T>::of(format, "", Vec::new()))) };
    let condition = format!("{} = ? AND ", T::LISTING.customer.ok_or_else(Error::bound_to_customer)?);
    Ok(Box::new(ExportRows::<T>::of(format, &condition, vec![customer.into()])))
}

/// The rows that remain to be read.
struct ExportRows<T> {
    format: Format,
    /// Ends with the condition `id > ?` and a limit.
    sql: String,
    bound: Vec<Sql>,
    /// The id of the last row that was read.
    after: i64,
    is_over: bool,
    of: PhantomData<fn() -> T>,
}

impl<T: Listable + Default + 'static> List<T> {
    /// Exports every row that the list's filters select, ordered by id. Reads the first rows at once.
    pub fn export(&self, ctx: &Ctx<'_>, format: Format) -> Result<Export<T>> {
        let (conditions, bound) = self.conditions(ctx)?;
        let conditions: String = conditions.iter().map(|condition| format!("{condition} AND ")).collect();
        let mut rest = ExportRows::of(format, &conditions, bound);
        let first = rest.next(ctx.db)?.unwrap_or_default();
        Ok(Export { format, first, rest })
    }
}

impl<T: Listable> ExportRows<T> {
    /// Rows that meet the conditions. Each condition is followed by `AND`.
    fn of(format: Format, conditions: &str, bound: Vec<Sql>) -> Self {
        let ListSpec { table, columns, .. } = T::LISTING;
        let sql = format!("SELECT {columns} FROM {table} WHERE {conditions}id > ? ORDER BY id LIMIT {ROWS_IN_A_TURN}");
        Self { format, sql, bound, after: i64::MIN, is_over: false, of: PhantomData }
    }
}

impl<T: Listable + Default> ByteStream for ExportRows<T> {
    fn next(&mut self, db: &Connection) -> Result<Option<Bytes>> {
        if self.is_over {
            return Ok(None);
        }
        let is_first = self.after == i64::MIN;
        let mut statement = db.prepare_cached(&self.sql)?;
        let bound = self.bound.iter().cloned().chain([Sql::from(self.after)]);
        let mut rows = statement.query(params_from_iter(bound))?;
        let mut piece = ExportChunk::begin(self.format);
        if is_first {
            piece.head::<T>()?;
        }
        let mut read = 0;
        while let Some(row) = rows.next()? {
            self.after = row.get(0)?;
            piece.row(&T::from_row(row)?, is_first && read == 0)?;
            read += 1;
        }
        self.is_over = read < ROWS_IN_A_TURN;
        piece.end(self.is_over).map(Some)
    }
}

/// A part of an export while it is written.
enum ExportChunk {
    Json(Vec<u8>),
    Csv(Box<csv::Writer<Vec<u8>>>),
}

impl ExportChunk {
    fn begin(format: Format) -> Self {
        match format {
            Format::Json => Self::Json(Vec::new()),
            Format::Csv => {
                Self::Csv(Box::new(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new())))
            }
        }
    }

    fn head<T: Serialize + Default>(&mut self) -> Result<()> {
        match self {
            Self::Json(text) => text.push(b'['),
            Self::Csv(writer) => {
                writer.write_record(fields(&T::default())?.iter().map(|(name, _)| name)).map_err(internal_error)?
            }
        }
        Ok(())
    }

    fn row<T: Serialize>(&mut self, row: &T, is_first: bool) -> Result<()> {
        match self {
            Self::Json(text) => {
                if !is_first {
                    text.extend_from_slice(b",\n");
                }
                json::write(text, row).map_err(internal_error)
            }
            Self::Csv(writer) => writer
                .write_record(fields(row)?.into_iter().map(|(_, value)| csv_cell::write(value)))
                .map_err(internal_error),
        }
    }

    fn end(self, is_last: bool) -> Result<Bytes> {
        match self {
            Self::Json(mut text) => {
                if is_last {
                    text.extend_from_slice(b"]\n");
                }
                Ok(text.into())
            }
            Self::Csv(writer) => Ok(writer.into_inner().map_err(internal_error)?.into()),
        }
    }
}

/// The fields of a row.
pub fn fields(row: &impl Serialize) -> Result<serde_json::Map<String, Value>> {
    match serde_json::to_value(row).map_err(internal_error)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Error::Internal("a row of a list is an object".into())),
    }
}

fn internal_error(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

impl<T: Listable + Default + 'static> IntoResponse for Export<T> {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let content = match self.rest.is_over {
            true => Content::Full(self.first),
            false => Content::Stream(self.first, Box::new(self.rest)),
        };
        let mut answer = ApiResponse::new(content);
        let (kind, ending) = match self.format {
            Format::Json => ("application/json", "json"),
            Format::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        };
        let name = format!("attachment; filename=\"{}.{ending}\"", T::LISTING.table.replace('_', "-"));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::try_from(name).map_err(internal_error)?);
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.export::<ExportSchema<T>>(StatusCode::OK);
    }
}

/// The schema of a JSON export.
#[derive(JsonSchema)]
#[schemars(transparent, inline)]
struct ExportSchema<T>(#[allow(dead_code, reason = "a description, never a value")] Vec<T>);

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::tests::TestServer;

    /// Enough for three turns. The last of them is not full.
    const MANY: i64 = 2 * ROWS_IN_A_TURN + 3;

    fn fill(server: &TestServer, many: i64) {
        server.in_file(move |db| {
            db.execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 INSERT INTO contacts (last_name, company, custom_fields, created_at, updated_at)
                 SELECT 'Name ' || i, iif(i % 2, 'Odd', 'Even'), '{}', 0, 0 FROM n",
                [many],
            )?;
            Ok(())
        });
    }

    fn csv(text: &str) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn every_row_is_in_it_once_however_many_turns_it_takes() {
        let server = TestServer::new();
        fill(&server, MANY);
        let rows = server.admin().get("/contacts/export").ok();
        let ids: Vec<i64> = rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, (1..=MANY).collect::<Vec<_>>());
        assert_eq!(rows[0], server.admin().get("/contacts/1").ok());

        let lines = csv(&server.admin().get("/contacts/export?format=csv").text);
        assert_eq!(lines.len() as i64, MANY + 1);
        assert_eq!((lines[0][0].as_str(), lines[1][0].as_str()), ("id", "1"));
        for full in [ROWS_IN_A_TURN, 2 * ROWS_IN_A_TURN] {
            server.in_file(move |db| Ok(db.execute("DELETE FROM contacts WHERE id > ?1", [full])?));
            assert_eq!(
                server.admin().get("/contacts/export").ok().as_array().unwrap().len() as i64,
                full.min(ROWS_IN_A_TURN)
            );
        }
    }

    #[test]
    fn it_has_the_rows_that_the_list_has() {
        let server = TestServer::new();
        fill(&server, MANY);
        let of = |query: &str| server.admin().get(&format!("/contacts/export?{query}")).ok().as_array().unwrap().len();
        assert_eq!(of("filter[company]=even"), usize::try_from(MANY / 2).unwrap());
        assert_eq!((of("filter[term]=name%2017"), of("filter[last_name]=nobody")), (11, 0));
        assert_eq!(server.admin().get("/contacts/export?filter[password]=x").status, 400);
        let unknown = server.admin().get("/contacts/export?format=xml");
        unknown.invalid(&["The selected format is invalid; it may be json, csv."]);
        server.with_only(&["customer.view"]).get("/contacts/export").rejected(403, "missing_permission");
    }

    #[test]
    fn nothing_is_an_empty_list_and_a_line_of_names() {
        let server = TestServer::new();
        assert_eq!(server.admin().get("/customers/export").ok(), json!([]));
        let lines = csv(&server.admin().get("/customers/export?format=csv").text);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0][..4], ["id", "customer_account", "name", "type"]);
    }

    #[test]
    fn a_cell_holds_what_the_field_held() {
        let server = TestServer::new();
        let sent = json!({
            "name": "=HYPERLINK(\"x\")", "phone": "+33 1 42 00 00 00", "comment": "a \"quote\", a comma\r\nand a line",
            "vip": true, "custom_fields": {"tier": "gold"},
        });
        server.admin().post("/customers", sent).created();
        let answer = server.admin().send(Method::GET, "/customers/export?format=csv", None);
        assert!(answer.text.contains("\r\n"), "{}", answer.text);
        let lines = csv(&answer.text);
        let cell = |name: &str| lines[1][lines[0].iter().position(|known| known == name).unwrap()].clone();
        assert_eq!(cell("name"), "'=HYPERLINK(\"x\")");
        assert_eq!(cell("phone"), "'+33 1 42 00 00 00");
        assert_eq!(cell("comment"), "a \"quote\", a comma\r\nand a line");
        assert_eq!(
            (cell("vip"), cell("fax"), cell("custom_fields")),
            ("true".into(), String::new(), "{\"tier\":\"gold\"}".into())
        );
    }
}

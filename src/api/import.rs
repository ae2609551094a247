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

use super::body::{self, Reading};
use super::call::Call;
use super::customer_scope::{Given, Scope};
use super::entity::{Editable, Key, ServerFields};
use super::entity_rows;
use super::error::{Error, Result};
use super::handler::Steps;
use super::input::{Input, Query, pairs, required};
use super::list::Listing;
use super::media_type::{Body, Format, MediaType};
use super::openapi::Operation;
use super::reply::{Answer, Reply, json as json_response};
use super::rows::{Row, Rows};
use crate::storage::{Fault, File};
use crate::tenancy::Author;
use crate::tenancy::settings::Home;
use crate::values::Flag;

/// Maximum rows per request. Writing that many takes some ten seconds, in which the workspace has no other writes.
const MOST_ROWS: usize = 250_000;

/// Time limit of an import, for a slow and busy machine.
const LONGEST: Duration = Duration::from_secs(300);

/// Maximum bad rows that an error lists.
const MOST_HINTS: usize = 100;

/// Largest id that a row may bring. The next generated id follows the largest one ever used, so many ids must be left,
/// and clients that keep numbers as floats must be able to read them.
const LARGEST_ID: i64 = 1 << 52;

/// What an import does with rows that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every row is new. A row that exists is bad.
    Create,
    /// A row that exists, by its id or its key, is changed. The others are new.
    Upsert,
}

impl FromStr for Mode {
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
pub struct Sheet<T> {
    text: Bytes,
    format: Format,
    /// The mode in the query. Without one, the body may have it.
    mode: Option<Mode>,
    dry_run: bool,
    of: PhantomData<fn() -> T>,
}

impl<T: Editable> Sheet<T> {
    /// Writes the rows for the caller, and for one customer only if one is given.
    pub fn import(self, steps: &Steps<'_>, customer: Option<i64>) -> Result<Counts> {
        let mode = match self.mode {
            Some(mode) => mode,
            None => mode_in(&self.text, self.format)?,
        };
        let rows = Rows::find::<T>(self.text, self.format, T::PLURAL)?;
        if rows.count() > MOST_ROWS {
            return Err(Error::invalid(format!("The file may not have more than {MOST_ROWS} rows. Send it in parts.")));
        }
        let insider = steps.insider()?;
        let importer = Importer {
            author: steps.author()?,
            mode,
            dry_run: self.dry_run,
            bound_to: customer,
            is_bound: insider.customer_id.is_some(),
            may_change: insider.may(&update_permission::<T>()),
        };
        importer.import::<T>(steps.call.workspace()?.file(), rows, LONGEST, |_| {})
    }
}

/// The mode in a JSON object that contains rows.
fn mode_in(text: &[u8], format: Format) -> Result<Mode> {
    #[derive(serde::Deserialize)]
    struct Beside {
        mode: Option<String>,
    }
    if format == Format::Csv || !text.trim_ascii_start().starts_with(b"{") {
        return Ok(Mode::Create);
    }
    // Other errors in the text are found when its rows are read.
    let said = serde_json::from_slice::<Beside>(text).ok().and_then(|beside| beside.mode);
    let mode = said.filter(|mode| !mode.is_empty()).map_or(Ok(Mode::Create), |mode| mode.parse());
    mode.map_err(|said: String| Error::invalid(said))
}

/// The parameters of an import.
#[derive(Debug, Clone)]
pub struct Importer {
    pub author: Author,
    pub mode: Mode,
    /// Only report what the import would do.
    pub dry_run: bool,
    /// The only customer whose rows are seen and written, if any.
    pub bound_to: Option<i64>,
    /// Whether the caller sees only that customer, and may not learn which other ids exist.
    pub is_bound: bool,
    /// Whether rows that exist may be changed.
    pub may_change: bool,
}

/// Numbers of rows that were created and changed. In a dry run, the numbers that would be.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub created: usize,
    pub updated: usize,
    /// The encoding of a CSV file.
    pub encoding: Option<&'static str>,
    /// Columns or fields that were ignored.
    pub ignored_columns: Vec<String>,
    dry_run: bool,
}

/// The reason why an import was rolled back.
enum Undone {
    DryRun(Counts),
    Failed(Error),
}

impl From<Fault> for Undone {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.into())
    }
}

enum Written {
    Created,
    Updated,
}

impl Importer {
    /// Writes all rows or none, in a turn of limited time. Calls `progress` with the number of each row.
    pub fn import<T: Editable>(
        self,
        file: &Arc<File>,
        rows: Rows,
        longest: Duration,
        mut progress: impl FnMut(usize) + Send + 'static,
    ) -> Result<Counts> {
        let (encoding, ignored_columns) = (rows.encoding.map(|encoding| encoding.0), rows.ignored_columns.clone());
        let written = file.write_within(longest, move |db| match self.write::<T>(db, &rows, &mut progress) {
            Ok(counts) if self.dry_run => Err(Undone::DryRun(counts)),
            Ok(counts) => Ok(counts),
            Err(error) => Err(Undone::Failed(error)),
        });
        match written {
            Ok(counts) | Err(Undone::DryRun(counts)) => Ok(Counts { encoding, ignored_columns, ..counts }),
            Err(Undone::Failed(error)) => Err(error),
        }
    }

    fn write<T: Editable>(&self, db: &Connection, rows: &Rows, progress: &mut dyn FnMut(usize)) -> Result<Counts> {
        let there = There::of::<T>(self.bound_to)?;
        let reading = Reading::of_import(T::Scope::NAMES_CUSTOMER, Home::of(db)?.zone);
        let mut counts = Counts { dry_run: self.dry_run, ..Counts::default() };
        let (mut number, mut bad, mut hint) = (0, 0, Vec::new());
        rows.each(|row| {
            number += 1;
            progress(number);
            match row
                .map_err(Error::invalid)
                .and_then(|row| self.write_row::<T>(db, &there, &reading, rows.without_nulls(row)))
            {
                Ok(Written::Created) => counts.created += 1,
                Ok(Written::Updated) => counts.updated += 1,
                // The row is bad. The remaining rows are checked too, so that all problems are reported at once.
                Err(error @ (Error::Invalid(_) | Error::Refused { .. })) => {
                    bad += 1;
                    if hint.len() < MOST_HINTS {
                        hint.push(format!("row {number}: {}", error.sentences().join(" ")));
                    }
                }
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        if bad == 0 { Ok(counts) } else { Err(Error::BadRows { hint, count: bad }) }
    }

    fn write_row<T: Editable>(
        &self,
        db: &Connection,
        there: &There,
        reading: &Reading,
        mut row: Row,
    ) -> Result<Written> {
        row.retain(|name, value| !value.is_null() || !body::KEPT_BY_SERVER.contains(&name.as_str()));
        check_id(&row)?;
        let old: Option<T> = match self.mode {
            Mode::Create => None,
            Mode::Upsert => there.find(db, &row)?,
        };
        if old.is_none() && self.is_bound && there.brings_unseen_id::<T>(db, &row)? {
            return Err(Error::invalid("The selected id is invalid."));
        }
        match old {
            None => {
                row.retain(|_, value| !value.is_null());
                self.create::<T>(db, reading, &row).map(|()| Written::Created)
            }
            Some(_) if !self.may_change => Err(Error::MissingPermission(update_permission::<T>().into())),
            Some(old) => self.update(db, reading, old, row).map(|()| Written::Updated),
        }
    }

    fn given<'a>(&self, names: &'a dyn Fn(&str) -> bool) -> Given<'a> {
        Given { customer: self.bound_to, names, is_import: true }
    }

    fn create<T: Editable>(&self, db: &Connection, reading: &Reading, row: &Row) -> Result<()> {
        let mut new: T = reading.lay_whole_over(&T::default(), row)?;
        let ServerFields { created_at, updated_at, .. } = new.server_fields();
        for (field, moment) in [("created_at", created_at), ("updated_at", updated_at)] {
            if !row.contains_key(field) {
                *moment = self.author.at;
            }
        }
        new.prepare(db, None, &self.given(&|field| row.contains_key(field)))?;
        entity_rows::add(db, &self.author, new).map(|_| ())
    }

    /// Leaves a row alone that equals the file's. If the file has another `updated_at` than the row, the change gets
    /// the file's. If it has the same one, the file is an edited export, and the change gets the current time.
    fn update<T: Editable>(&self, db: &Connection, reading: &Reading, mut old: T, mut row: Row) -> Result<()> {
        row.remove("id");
        let mut new: T = reading.lay_whole_over(&old, &row)?;
        new.prepare(db, Some(&old), &self.given(&|field| row.contains_key(field)))?;
        if new == old {
            return Ok(());
        }
        let updated_at = new.server_fields().updated_at;
        if *updated_at == *old.server_fields().updated_at {
            *updated_at = self.author.at;
        }
        entity_rows::rewrite(db, &self.author, &old, new).map(|_| ())
    }
}

fn update_permission<T: Editable>() -> String {
    format!("{}.update", T::PERMISSIONS)
}

/// Checks the range of an id. An id that is not an integer is rejected with the rest of its row.
fn check_id(row: &Row) -> Result<()> {
    match row.get("id") {
        Some(Value::Number(id)) if !id.is_f64() && !id.as_i64().is_some_and(|id| (1..=LARGEST_ID).contains(&id)) => {
            Err(Error::invalid(format!("The id must be between 1 and {LARGEST_ID}.")))
        }
        _ => Ok(()),
    }
}

/// Finds rows that exist, as far as the caller sees them.
struct There {
    by_id: String,
    by_key: Option<(Key, String)>,
    bound_to: Option<i64>,
}

impl There {
    fn of<T: Editable>(bound_to: Option<i64>) -> Result<Self> {
        let Listing { table, columns, customer, .. } = T::LISTING;
        let seen = match (bound_to, customer) {
            (None, _) => String::new(),
            (Some(_), Some(customer)) => format!(" AND {customer} = ?2"),
            (Some(_), None) => return Err(Error::bound()),
        };
        // Two rows are enough to know that the match is not unique.
        let sql = |column: &str| format!("SELECT {columns} FROM {table} WHERE {column} = ?1{seen} LIMIT 2");
        Ok(Self {
            by_id: sql("id"),
            by_key: T::KEY.map(|key| {
                let sql = sql(key.column);
                (key, sql)
            }),
            bound_to,
        })
    }

    /// By the id if such a row exists, else by the key.
    fn find<T: Editable>(&self, db: &Connection, row: &Row) -> Result<Option<T>> {
        if let Some(id) = row.get("id").and_then(Value::as_i64)
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
    fn brings_unseen_id<T: Editable>(&self, db: &Connection, row: &Row) -> Result<bool> {
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

impl<T: Editable> Input for Sheet<T> {
    const BODY: Body = Body::Rows;

    fn read(call: &Call) -> Result<Self> {
        let Query(Dry { dry_run }) = Query::read(call)?;
        let mode = pairs(&call.query).find(|(name, _)| name == "mode").map(|(_, mode)| mode);
        Ok(Self {
            text: call.body.clone(),
            format: if call.sent_as == Some(MediaType::Csv) { Format::Csv } else { Format::Json },
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
        operation.parameters::<Dry>(super::openapi::Place::Query, &[]);
    }
}

#[derive(Debug, Default, Serialize, serde::Deserialize, JsonSchema)]
#[serde(default)]
struct Dry {
    /// Checks all rows and reports the result without changing anything.
    dry_run: Flag,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Imported")]
struct CountsBody {
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
impl Reply for Counts {
    fn into_response(self, _: &Call) -> Result<Answer> {
        let status = if self.dry_run { StatusCode::OK } else { StatusCode::CREATED };
        let Self { created, updated, encoding, ignored_columns, .. } = self;
        let ignored_columns = Some(ignored_columns).filter(|ignored| encoding.is_some() || !ignored.is_empty());
        json_response(status, &CountsBody { response: "ok", created, updated, encoding, ignored_columns })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<CountsBody>(StatusCode::CREATED);
        operation.answer::<CountsBody>(StatusCode::OK);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{LARGEST_ID, MOST_HINTS, MOST_ROWS};
    use crate::testing::{Bench, Client};

    fn contacts(client: &Client<'_>) -> Vec<Value> {
        client.get("/contacts/export").ok().as_array().unwrap().clone()
    }

    /// Rows by the fields that a test needs.
    fn picked(rows: &[Value], fields: &[&str]) -> Value {
        rows.iter().map(|row| fields.iter().map(|field| row[field].clone()).collect::<Value>()).collect()
    }

    #[test]
    fn rows_are_made_of_json_and_of_csv_and_told_how_many() {
        let bench = Bench::new();
        let rows = json!([{"last_name": "Ada", "email": "ada@example.com"}, {"last_name": "Bo", "id": null, "created_at": null, "unknown": 1}]);
        let made = bench.admin().post("/contacts/import", rows.clone()).created();
        assert_eq!(made, json!({"response": "ok", "created": 2, "updated": 0, "ignored_columns": ["unknown"]}));
        let second = bench.admin().get("/contacts/2").ok();
        assert_eq!((&second["last_name"], &second["updated_at"]), (&json!("Bo"), &second["created_at"]));
        assert!(second["created_at"].as_str() > Some("2020"), "{second}");
        bench.admin().post("/contacts/import", json!({"contacts": rows})).created();
        let text = "last_name;phone_mobile_1;custom_fields;unknown\r\n\"Zoé; \"\"L\"\"\";'+33 6 12 34 56 78;\"{\"\"tier\"\":\"\"gold\"\"}\";x\r\n";
        assert_eq!(bench.admin().post_csv("/contacts/import", text).created()["created"], 1);
        let last = bench.admin().get("/contacts/5").ok();
        assert_eq!((&last["last_name"], &last["phone_mobile_1"]), (&json!("Zoé; \"L\""), &json!("+33 6 12 34 56 78")));
        assert_eq!((&last["custom_fields"], &last["email"]), (&json!({"tier": "gold"}), &Value::Null));
        assert_eq!(bench.admin().get("/contacts?filter[phone]=0612345678").ok()["total"], 1);
        assert_eq!(bench.admin().get("/contacts?filter[term]=zoe").ok()["total"], 1);
        assert_eq!(bench.admin().post("/contacts/import", json!([])).created()["created"], 0);
    }

    #[test]
    fn with_a_bad_row_nothing_is_kept_and_every_bad_row_is_named() {
        let bench = Bench::new();
        let rows = json!([
            {"last_name": "Ada"}, {"last_name": " ", "email": "ada"}, 7, {"last_name": "Bo", "customer_id": 9},
            {"last_name": "Cy", "id": 1}, {"last_name": "Di", "id": LARGEST_ID + 1}, {"last_name": "Ed", "id": 0},
            {"last_name": "Fi", "id": "x", "created_at": "soon"}, {"last_name": "Gu", "id": 1.5},
        ]);
        let answer = bench.admin().post("/contacts/import", rows);
        answer.invalid(&[
            "row 2: The last name field is required. The email must be a valid email address.",
            "row 3: The row must be an object.",
            "row 4: The selected customer id is invalid.",
            "row 5: The id has already been taken.",
            "row 6: The id must be between 1 and 4503599627370496.",
            "row 7: The id must be between 1 and 4503599627370496.",
            "row 8: The id must be an integer. The created at must be a valid date and time, like 2024-01-20T12:00:00Z.",
            "row 9: The id must be an integer.",
        ]);
        assert_eq!(answer.json()["count"], 8);
        let csv = bench.admin().post_csv("/contacts/import", "last_name,customer_id\nAda,\n,one\nBo,,x\n");
        csv.invalid(&[
            "row 2: The customer id must be an integer. The last name field is required.",
            "row 3: The row has 3 cells, but there are 2 columns.",
        ]);
        assert!(contacts(&bench.admin()).is_empty());
        assert_eq!(bench.admin().get("/audit-log?filter[resource]=contact").ok()["total"], 0);
        // No id is used up either.
        assert_eq!(bench.admin().post("/contacts", json!({"last_name": "Ada"})).created()["id"], 1);
    }

    #[test]
    fn of_many_bad_rows_the_first_are_named_and_all_are_counted() {
        let bench = Bench::new();
        let rows: Vec<Value> = (0..MOST_HINTS + 2).map(|_| json!({})).collect();
        let answer = bench.admin().post("/contacts/import", json!(rows)).json();
        assert_eq!(answer["hint"].as_array().map(Vec::len), Some(MOST_HINTS));
        assert_eq!(
            (&answer["count"], &answer["hint"][0]),
            (&json!(MOST_HINTS + 2), &json!("row 1: The last name field is required."))
        );
    }

    #[test]
    fn a_file_that_is_none_is_refused_as_a_whole() {
        let bench = Bench::new();
        bench
            .admin()
            .post("/contacts/import", json!({"rows": []}))
            .invalid(&["The body must be a list of rows, or an object with one under data or contacts."]);
        bench.admin().send(http::Method::POST, "/contacts/import", None).refused(400, "malformed_json");
        let known = bench.admin().post_csv("/contacts/import", "Nom,Prénom\nAda,Bo\n");
        assert!(known.text.contains("they may be id, customer_id, civility,"), "{known:?}");
        bench
            .admin()
            .post_csv("/contacts/import", *b"\xFF\xFEx")
            .invalid(&["The file begins as UTF-16 but is not valid UTF-16."]);
        let many = format!("last_name\n{}", "x\n".repeat(MOST_ROWS + 1));
        bench
            .admin()
            .post_csv("/contacts/import", many)
            .invalid(&["The file may not have more than 250000 rows. Send it in parts."]);
        bench.admin().post_csv("/contacts", "last_name\nAda").refused(415, "unsupported_media_type");
        let form = bench.admin().submit("/contacts/import", &[("last_name", "Ada")]);
        form.refused(415, "unsupported_media_type");
        assert!(form.text.contains("text/csv"), "{form:?}");
        for (query, says) in [
            ("mode=replace", "The selected mode is invalid; it may be create, upsert."),
            ("dry_run=perhaps", "The dry run must be true or false."),
        ] {
            bench.admin().post(&format!("/contacts/import?{query}"), json!([{"last_name": "Ada"}])).invalid(&[says]);
        }
        assert!(contacts(&bench.admin()).is_empty());
    }

    #[test]
    fn a_dry_run_says_what_would_be_and_does_nothing() {
        let bench = Bench::new();
        bench.admin().post("/contacts", json!({"last_name": "Ada"})).created();
        let before = contacts(&bench.admin());
        let rows = json!([{"id": 1, "last_name": "Bo"}, {"last_name": "Cy"}, {"last_name": "Di"}]);
        let told = bench.admin().post("/contacts/import?mode=upsert&dry_run=1", rows.clone()).ok();
        assert_eq!(told, json!({"response": "ok", "created": 2, "updated": 1}));
        bench
            .admin()
            .post("/contacts/import?dry_run=1", rows.clone())
            .invalid(&["row 1: The id has already been taken."]);
        assert_eq!(contacts(&bench.admin()), before);
        assert_eq!(bench.admin().post("/contacts/import?mode=upsert&dry_run=0", rows).created(), told);
    }

    #[test]
    fn an_upsert_changes_what_it_names_of_the_rows_that_are_there() {
        let bench = Bench::new();
        for (name, email) in
            [("Ada", "Ada@Example.com"), ("Bo", "bo@example.com"), ("Twin", "t@example.com"), ("Twin", "T@example.com")]
        {
            let contact = json!({"last_name": name, "email": email, "company": "Acme", "phone_home_1": "0142000000"});
            bench.admin().post("/contacts", contact).created();
        }
        let rows = json!([
            {"email": "ada@example.COM", "first_name": "Zoé"},
            {"id": 2, "email": "ada@example.com", "company": null},
            {"id": 2, "last_name": "Bob"},
            {"id": 9, "email": "ada@example.com", "role": "CEO"},
            {"email": "new@example.com", "last_name": "New"},
            {"email": "NEW@example.com", "role": "CTO"},
            {"email": null, "last_name": "Blank"},
            {"email": 7, "last_name": "Number"},
        ]);
        let refused = bench.admin().post("/contacts/import?mode=upsert", rows.clone());
        // By then the second row has Ada's address.
        refused
            .invalid(&["row 4: The email matches several contacts: use an id.", "row 8: The email must be a string."]);
        let mut rows = rows.as_array().unwrap().clone();
        rows.truncate(6);
        rows[1]["email"] = json!("bob@example.com");
        let done = bench.admin().post("/contacts/import?mode=upsert", json!(rows)).created();
        assert_eq!(done, json!({"response": "ok", "created": 1, "updated": 5}));
        let now = contacts(&bench.admin());
        let fields = ["id", "last_name", "first_name", "email", "company", "role"];
        assert_eq!(
            picked(&now, &fields),
            json!([
                [1, "Ada", "Zoé", "ada@example.com", "Acme", "CEO"],
                [2, "Bob", null, "bob@example.com", "Acme", null],
                [3, "Twin", null, "t@example.com", "Acme", null],
                [4, "Twin", null, "T@example.com", "Acme", null],
                [5, "New", null, "NEW@example.com", null, "CTO"],
            ])
        );
        assert_eq!(bench.admin().get("/contacts?filter[phone]=0142000000").ok()["total"], 4);
        let twins = bench.admin().post("/contacts/import?mode=upsert", json!([{"email": "t@example.com"}]));
        twins.invalid(&["row 1: The email matches several contacts: use an id."]);
    }

    #[test]
    fn a_change_is_dated_and_what_is_as_the_file_has_it_is_no_change() {
        let bench = Bench::new();
        let old = "2020-01-01T00:00:00Z";
        let row = json!({"id": 7, "last_name": "Ada", "created_at": old, "updated_at": old});
        bench.admin().post("/contacts/import", json!([row])).created();
        let kept = bench.admin().get("/contacts/7").ok();
        assert_eq!((&kept["created_at"], &kept["updated_at"]), (&json!(old), &json!(old)));
        let upsert = |row: Value| {
            assert_eq!(bench.admin().post("/contacts/import?mode=upsert", json!([row])).created()["updated"], 1);
            bench.admin().get("/contacts/7").ok()
        };
        assert_eq!(upsert(json!({"id": 7, "last_name": "Ada"})), kept);
        assert_eq!(bench.admin().get("/audit-log?filter[action]=contact.updated").ok()["total"], 0);
        // An export in which a name was edited.
        let renamed = upsert(json!({"id": 7, "last_name": "Bo", "created_at": old, "updated_at": old}));
        assert!(renamed["updated_at"].as_str() > Some(old) && renamed["created_at"] == old, "{renamed}");
        // A file that is older or newer than the row.
        assert_eq!(upsert(kept.clone()), kept);
        assert_eq!(bench.admin().get("/audit-log?filter[action]=contact.updated").ok()["total"], 2);
    }

    #[test]
    fn whoever_may_not_change_rows_makes_new_ones() {
        let bench = Bench::new();
        let creator = bench.with_only(&["contact.create"]);
        let rows = json!([{"email": "ada@example.com", "last_name": "Ada"}]);
        assert_eq!(creator.post("/contacts/import?mode=upsert", rows.clone()).created()["created"], 1);
        let refused = creator.post("/contacts/import?mode=upsert", rows.clone());
        refused.refused(403, "missing_permission");
        assert!(refused.text.contains("contact.update"), "{refused:?}");
        assert_eq!(bench.with_role("agent").post("/contacts/import?mode=upsert", rows).created()["updated"], 1);
        assert_eq!(contacts(&bench.admin()).len(), 1);
    }

    /// A caller who is bound to a customer neither sees nor changes rows of other customers.
    #[test]
    fn a_customers_key_imports_into_that_customer_alone() {
        let bench = Bench::new();
        for name in ["Own", "Other"] {
            bench.admin().post("/customers", json!({"name": name})).created();
        }
        let theirs = json!({"last_name": "Theirs", "email": "x@example.com", "customer_id": 2});
        let theirs = bench.admin().post("/contacts", theirs).created();
        let key = bench.key(&["contact.*", "phone-call.*"], Some(1));
        let upsert = |rows: Value| key.post("/contacts/import?mode=upsert", rows);
        assert_eq!(upsert(json!([{"last_name": "Ours", "email": "X@example.com"}])).created()["created"], 1);
        assert_eq!(upsert(json!([{"role": "CEO", "email": "x@example.com"}])).created()["updated"], 1);
        // An error for another customer's row equals the error for a row that does not exist.
        for mode in ["upsert", "create"] {
            for id in [1, 99] {
                let rows = json!([{"id": id, "last_name": "Ours"}]);
                let answer = key.post(&format!("/contacts/import?mode={mode}"), rows);
                answer.invalid(&["row 1: The selected id is invalid."]);
            }
        }
        upsert(json!([{"last_name": "Ours", "customer_id": 2}])).refused(403, "forbidden");
        let call = json!([{"direction": "inbound", "contact_id": 1}]);
        key.post("/phone-calls/import", call).invalid(&["row 1: The selected contact id is invalid."]);
        let call = json!([{"direction": "inbound", "contact_id": 2}, {"direction": "inbound"}]);
        key.post("/phone-calls/import", call).created();
        assert_eq!(bench.admin().get("/phone-calls?filter[customer_id]=1").ok()["total"], 2);
        let all = contacts(&bench.admin());
        assert_eq!(all[0], theirs);
        assert_eq!(picked(&all[1..], &["id", "customer_id", "role"]), json!([[2, 1, "CEO"]]));
        bench.key(&["*"], Some(1)).post("/customers/import", json!([{"name": "Mine"}])).refused(403, "forbidden");
    }

    #[test]
    fn every_row_is_accounted_for() {
        let bench = Bench::new();
        bench.admin().post("/contacts/import", json!([{"last_name": "Ada"}, {"last_name": "Bo"}])).created();
        bench.admin().post("/contacts/import?mode=upsert", json!([{"id": 2, "last_name": "Bob"}])).created();
        let log = bench.admin().get("/audit-log?filter[resource]=contact&sort=id").ok();
        let rows = log["data"].as_array().unwrap();
        assert_eq!(
            picked(rows, &["action", "resource_id"]),
            json!([["contact.created", 1], ["contact.created", 2], ["contact.updated", 2]])
        );
        assert_eq!(rows[2]["changes"]["last_name"], json!(["Bo", "Bob"]));
        assert_eq!(rows[0]["actor"]["type"], "user");
    }

    /// Texts of people and programs that CSV, JSON and spreadsheets treat specially.
    fn text() -> impl Strategy<Value = Value> {
        let odd = prop::sample::select(vec![
            "", "'", "''=x", "=1+1", "+33 1", "-", "@", "\t", "\r\n", "\"", ";", ",", "#", "é", "\u{feff}", " ",
            "null", "0", "a",
        ]);
        let texts = prop::collection::vec(odd, 0..4).prop_map(|parts| json!(parts.concat()));
        prop_oneof![1 => Just(Value::Null), 4 => texts]
    }

    fn custom_fields() -> impl Strategy<Value = Value> {
        let values = prop_oneof![text(), any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)];
        prop::collection::btree_map("[a-z='\"]{1,3}", values, 0..3).prop_map(|fields| json!(fields))
    }

    /// A customer, one contact and one call of the contact.
    fn rows() -> impl Strategy<Value = [Value; 3]> {
        (text(), text(), text(), custom_fields(), any::<bool>()).prop_map(|(a, b, c, fields, flag)| {
            let name = format!("Name{}", a.as_str().unwrap_or_default());
            [
                json!({"name": name, "comment": b, "fax": c, "vip": flag, "custom_fields": fields}),
                json!({"last_name": name, "company": b, "role": c, "comment": a, "custom_fields": fields}),
                json!({"direction": "inbound", "answered": flag, "subject": a, "summary": b, "number_from": c}),
            ]
        })
    }

    const RESOURCES: [&str; 3] = ["/customers", "/contacts", "/phone-calls"];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn what_an_export_writes_the_import_reads_back_to_the_same_rows(all in prop::collection::vec(rows(), 1..4)) {
            let bench = Bench::new();
            for (number, rows) in all.into_iter().enumerate() {
                for (path, mut row) in RESOURCES.iter().zip(rows) {
                    if *path == "/contacts" { row["customer_id"] = json!(number + 1); }
                    if *path == "/phone-calls" { row["contact_id"] = json!(number + 1); }
                    bench.admin().post(path, row).created();
                }
            }
            // A moved contact leaves its calls behind. A deleted row leaves a gap.
            bench.admin().put("/contacts/1", json!({"customer_id": null})).created();
            bench.admin().post("/contacts", json!({"last_name": "Gone"})).created();
            let exports = |client: &Client<'_>, format: &str| RESOURCES.map(|path| client.get(&format!("{path}/export?format={format}")).text);
            let (json, csv) = (exports(&bench.admin(), "json"), exports(&bench.admin(), "csv"));
            for format in ["json", "csv"] {
                let empty = Bench::new();
                for (path, (json, csv)) in RESOURCES.iter().zip(json.iter().zip(&csv)) {
                    let path = format!("{path}/import");
                    let answer = match format {
                        "json" => empty.admin().post(&path, serde_json::from_str(json).unwrap()),
                        _ => empty.admin().post_csv(&path, csv.as_str()),
                    };
                    answer.created();
                }
                prop_assert_eq!(exports(&empty.admin(), "json"), json.clone());
                prop_assert_eq!(exports(&empty.admin(), "csv"), csv.clone());
            }
        }
    }
}

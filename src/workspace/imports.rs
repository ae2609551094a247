//! Imports in steps: a file is uploaded, its columns get fields, a check says what an import would do, and the import runs.
//! Check and import run outside their request, by the code of the import routes of each resource.
//!
//! Each import belongs to the user or program that uploaded the file. File and content are kept for a day.

mod columns;
mod run;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::field::{Field, labelled};
use crate::api::request::Request;
use crate::api::resource::{Files, Resource};
use crate::api::{
    Accepted, BlockingCtx, Changes, Ctx, Done, Error, FileResponse, Format, Id, Json, Needs, Ok200, Query, Result,
    Route, RowsFile, Saved, blocking, check_count, delete, get, long_running, post, put, run as in_turn,
};
use crate::auth::{Identity, Principal};
use crate::tenancy::kept_uploads;
use crate::values::{Text, Timestamp, choice};
use columns::{ImportColumn, check_fields, propose};
use run::{RefusedRecord, Step};

pub const RESOURCE: Resource =
    Resource::new("Imports", "Import a file in steps: upload it, choose the field of each column, check, run.", ROUTES)
        .french("Imports")
        .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("file", "File", "Fichier"),
    labelled("resource", "Records", "Enregistrements"),
    labelled("customer_account", "Customer", "Client"),
    labelled("customer_id", "Customer", "Client"),
    labelled("format", "Format", "Format"),
    labelled("bytes", "Size", "Taille"),
    labelled("encoding", "Encoding", "Encodage"),
    labelled("delimiter", "Delimiter", "Séparateur"),
    labelled("records", "Records", "Enregistrements"),
    labelled("columns", "Columns", "Colonnes"),
    labelled("sample", "First records", "Premiers enregistrements"),
    labelled("targets", "Possible fields", "Champs possibles"),
    labelled("keys", "Possible keys", "Clés possibles"),
    labelled("fields", "Fields", "Champs"),
    labelled("mode", "Mode", "Mode"),
    labelled("key", "Found by", "Trouvé par"),
    labelled("state", "State", "État"),
    labelled("progress", "Progress", "Avancement"),
    labelled("counts", "Counts", "Résultat"),
    labelled("refused", "Refused", "Refusés"),
    labelled("leave_out_refused", "Leave the refused rows out", "Laisser de côté les lignes refusées"),
    labelled("refused_left_out", "Refused rows were left out", "Lignes refusées laissées de côté"),
    labelled("problem", "Problem", "Problème"),
    labelled("created_at", "Uploaded", "Envoyé"),
    labelled("expires_at", "Kept until", "Conservé jusqu’au"),
    labelled("ran_at", "Imported", "Importé"),
];

const ROUTES: &[Route] = &[
    get("/imports", &in_turn(list), Needs::Own, "List your imports of the last 24 hours"),
    post("/imports", &long_running(upload), Needs::Own, "Upload a file to import in steps"),
    get("/imports/{id}", &in_turn(show), Needs::Own, "Show an import with its columns, progress and result"),
    put("/imports/{id}", &in_turn(update), Needs::Own, "Choose the fields of the columns, the mode and the key"),
    post("/imports/{id}/check", &blocking(check), Needs::Own, "Check what an import would do, without a change")
        .named("checkImport"),
    post("/imports/{id}/run", &blocking(run), Needs::Own, "Run an import that was checked").named("runImport"),
    get("/imports/{id}/refused.csv", &blocking(refused), Needs::Own, "Download the refused rows, each with its reason")
        .named("exportRefusedRows"),
    delete("/imports/{id}", &blocking(remove), Needs::Own, "Delete an import and its file"),
];

/// Maximum kept imports of a caller and of a workspace, and the bytes of their files.
const MOST_OF_OWNER: (i64, i64) = (50, 256 * MIB);
const MOST_OF_WORKSPACE: (i64, i64) = (200, 1024 * MIB);
const MIB: i64 = 1024 * 1024;

/// Rows of the file that a response shows.
const SAMPLE: usize = 5;

choice! {
    /// What an import does with rows that exist.
    #[derive(Default)]
    Mode { CREATE = "create", UPSERT = "upsert" }
}

choice! {
    /// The state of an import.
    State {
        UPLOADED = "uploaded", CHECKING = "checking", CHECKED = "checked", RUNNING = "running", DONE = "done",
        FAILED = "failed", INTERRUPTED = "interrupted", EXPIRED = "expired",
    }
}

/// A file to upload.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct UploadQuery {
    /// Name of the resource to import: `customers`, `contacts`, `phone-calls`, `routing-contacts` or `ctis`.
    #[schemars(example = &"contacts")]
    resource: Text<64>,
    /// Account of the customer that the rows belong to. Required for call routing.
    #[schemars(example = &"CL000001")]
    customer_account: Text<64>,
    /// Name of the file, if the body is the file itself.
    #[schemars(example = &"clients.csv")]
    file: Text<255>,
}

/// How the columns of a file are read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct ImportPlan {
    /// The field of each column, in the order of the columns. Null: the column is not used.
    #[schemars(example = &["last_name"])]
    fields: Vec<Option<Text<64>>>,
    /// `create`: every row is new. `upsert`: a row that exists is changed, and the others are new.
    mode: Mode,
    /// The only field by which `upsert` finds existing rows, one of `keys`. By default the id, else the other key.
    key: Option<Text<64>>,
}

/// Options of a run.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct RunOptions {
    /// Imports all rows but the refused ones. By default all rows are tried first, and one refused row means that nothing is
    /// imported. A run that continues after an interruption keeps the choice of its begin.
    leave_out_refused: bool,
}

/// An import.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImportDetails {
    /// Id of the import.
    id: i64,
    /// Name of the imported resource.
    #[schemars(example = &"contacts")]
    resource: String,
    /// Id of the customer that the rows belong to, if all belong to one.
    customer_id: Option<i64>,
    /// Account of that customer.
    customer_account: Option<String>,
    /// Name of the file, if it was sent.
    file: Option<String>,
    /// Format of the file: `csv` or `json`.
    format: String,
    /// Size of the file in bytes.
    bytes: i64,
    /// Encoding of a CSV file: `UTF-8`, `UTF-16` or `Windows-1252`.
    encoding: Option<String>,
    /// Character between the cells of a CSV file.
    delimiter: Option<String>,
    /// Number of records in the file.
    records: i64,
    /// The columns of the file; in JSON, the fields of its rows.
    columns: Vec<ImportColumn>,
    /// The first records, with a text for each column.
    sample: Vec<Vec<String>>,
    /// The fields that a column may have.
    targets: Vec<String>,
    /// The fields by which `upsert` can find existing rows.
    keys: Vec<String>,
    /// `create`: every row is new. `upsert`: a row that exists is changed.
    mode: Mode,
    /// The only field by which `upsert` finds existing rows. Null: the id, else the other key.
    key: Option<String>,
    /// `uploaded`: the fields can be chosen. `checking`, `running`: see `progress`. `checked`: `counts` says what a run
    /// would do. `done`: `counts` says what was done. `failed`: nothing was imported, and `problem` says why.
    /// `interrupted`: the server was restarted, or `problem` says why. With `counts` a run was interrupted: `progress` says how
    /// many records are done, and a run continues with the next one. Without `counts` a check was, and nothing was imported.
    state: State,
    /// Records that were read by the check or the run. A run that leaves none out reads all records first, to try them.
    progress: ImportProgress,
    /// The result of the last check or run. The counts add up to `records`. While a run writes, and after it was interrupted,
    /// they are those of the records that are done.
    counts: Option<ImportResult>,
    /// The first refused records, at most 100. The refused rows can be downloaded.
    refused: Vec<RefusedRecord>,
    /// Whether the run left refused records out.
    refused_left_out: bool,
    /// Reason of a failure.
    problem: Option<String>,
    /// Time of the upload (UTC).
    created_at: Timestamp,
    /// Time at which the import and its file are deleted (UTC).
    expires_at: Timestamp,
    /// Time at which the run began (UTC). It is the time of change of the imported rows, unless the file has one.
    ran_at: Option<Timestamp>,
}

/// Progress of a check or a run.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct ImportProgress {
    /// Number of records that were read.
    done: i64,
    /// Number of records in the file.
    of: i64,
}

/// Numbers of records.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
struct ImportResult {
    /// New records.
    created: i64,
    /// Existing records that differ from the file.
    changed: i64,
    /// Existing records that equal the file.
    unchanged: i64,
    /// Records that were refused.
    refused: i64,
}

impl ImportResult {
    const fn sum(&self) -> i64 {
        self.created + self.changed + self.unchanged + self.refused
    }
}

/// An import in the list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImportSummary {
    /// Id of the import.
    id: i64,
    /// Name of the imported resource.
    #[schemars(example = &"contacts")]
    resource: String,
    /// Account of the customer that the rows belong to, if all belong to one.
    customer_account: Option<String>,
    /// Name of the file, if it was sent.
    file: Option<String>,
    /// Number of records in the file.
    records: i64,
    /// State of the import.
    state: State,
    /// Time of the upload (UTC).
    created_at: Timestamp,
}

/// A row of the table.
#[derive(Debug, Clone)]
struct StoredImport {
    id: i64,
    resource: String,
    customer_id: Option<i64>,
    /// The name of the file in the data directory.
    file: String,
    name: Option<String>,
    format: Format,
    bytes: i64,
    encoding: Option<String>,
    delimiter: Option<String>,
    records: i64,
    columns: Vec<ImportColumn>,
    sample: Vec<Vec<String>>,
    mode: Mode,
    key: Option<String>,
    state: State,
    /// The process that has begun the last check or run.
    process: Option<String>,
    counts: Option<ImportResult>,
    refused: Vec<RefusedRecord>,
    /// Whether the run leaves refused records out. Once it is done: whether there were any.
    refused_left_out: bool,
    problem: Option<String>,
    created_at: Timestamp,
    ran_at: Option<Timestamp>,
}

fn list(ctx: &mut Ctx<'_>) -> Result<Ok200<Vec<ImportSummary>>> {
    let own = StoredImport::all(ctx.db, ctx.principal()?, ctx.now)?;
    let listed = own.into_iter().map(|import| {
        Ok(ImportSummary {
            id: import.id,
            state: import.state_now(ctx.request)?.0,
            customer_account: account(ctx.db, import.customer_id)?,
            resource: import.resource,
            file: import.name,
            records: import.records,
            created_at: import.created_at,
        })
    });
    listed.collect::<Result<_>>().map(Ok200)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<ImportDetails>> {
    StoredImport::find(ctx, id)?.shown(ctx).map(Ok200)
}

fn upload(ctx: &BlockingCtx<'_>, Query(query): Query<UploadQuery>, file: RowsFile) -> Result<Saved<ImportDetails>> {
    let (resource, files) = importable(&query.resource)?;
    let principal = ctx.principal()?;
    check_permission(principal, files, Mode::CREATE)?;
    let customer_id = files.customer(ctx)?;
    let name = file.name.or_else(|| Some(query.file.to_string())).filter(|name| !name.is_empty());
    let name = name.map(|name| name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned());
    let bytes = i64::try_from(file.text.len()).unwrap_or(i64::MAX);
    let (owner, now) = (owner(principal)?, ctx.now);
    let wanted = (owner.clone(), files.name());
    let last = ctx.read(move |ctx| {
        check_room(ctx.db, &wanted.0, bytes, now)?;
        last_columns(ctx.db, &wanted.0, &wanted.1)
    })?;
    let text = files.text(file.text.clone(), file.format, &|name| columns::is_known(resource, files, name))?;
    check_count(text.count())?;
    let (columns, sample) = propose(resource, files, &text, &last)?;
    let mode = Mode::CREATE;
    let new = StoredImport {
        id: 0,
        resource: files.name(),
        customer_id,
        file: Uuid::now_v7().to_string(),
        name,
        format: file.format,
        bytes,
        encoding: text.encoding.map(|encoding| encoding.0.to_owned()),
        delimiter: text.delimiter().map(String::from),
        records: i64::try_from(text.count()).unwrap_or(i64::MAX),
        columns,
        sample: sample.into_iter().take(SAMPLE).collect(),
        mode,
        key: None,
        state: State::UPLOADED,
        process: None,
        counts: None,
        refused: Vec::new(),
        refused_left_out: false,
        problem: None,
        created_at: now,
        ran_at: None,
    };
    let path = new.path(ctx)?;
    kept_uploads::keep(&path, &file.text)?;
    let (row, owner_of_row) = (new.clone(), owner);
    let added = ctx.request.file().write(move |db| {
        // Another upload may have come first.
        check_room(db, &owner_of_row, bytes, now)?;
        row.insert(db, &owner_of_row)
    });
    match added {
        Ok(id) => ctx.read(move |ctx| StoredImport::find(ctx, id)?.shown(ctx)).map(Saved),
        Err(error) => {
            kept_uploads::delete(&path)?;
            Err(error)
        }
    }
}

fn update(ctx: &mut Ctx<'_>, Id(id): Id, changes: Changes<ImportPlan>) -> Result<Saved<ImportDetails>> {
    let import = StoredImport::find(ctx, id)?;
    import.require_idle(ctx.request)?;
    import.require_unwritten()?;
    let old = import.plan();
    let plan = changes.apply(&old)?;
    let (_, files) = importable(&import.resource)?;
    check_permission(ctx.principal()?, files, plan.mode)?;
    let fields: Vec<Option<String>> = plan
        .fields
        .iter()
        .map(|field| field.as_ref().map(|field| field.to_string()).filter(|f| !f.is_empty()))
        .collect();
    check_fields(files, &import.columns, &fields)?;
    let key = plan.key.map(|key| key.to_string()).filter(|key| !key.is_empty());
    if let Some(key) = &key {
        let keys = files.keys();
        if !keys.contains(&key.as_str()) {
            return Err(Error::invalid(format!("The selected key is invalid; it may be {}.", keys.join(", "))));
        }
        if plan.mode == Mode::UPSERT && !fields.iter().flatten().any(|field| field == key) {
            return Err(Error::invalid(format!("The key {} must be the field of a column.", key.replace('_', " "))));
        }
    }
    let columns = import.columns.iter().zip(fields).map(|(column, field)| column.chosen(field)).collect();
    let changed = StoredImport { columns, mode: plan.mode, key, ..import };
    changed.save_plan(ctx.db)?;
    StoredImport::find(ctx, id)?.shown(ctx).map(Saved)
}

fn check(ctx: &BlockingCtx<'_>, Id(id): Id) -> Result<Accepted<ImportDetails>> {
    start(ctx, id, Step::Check)
}

fn run(ctx: &BlockingCtx<'_>, Id(id): Id, Json(options): Json<RunOptions>) -> Result<Accepted<ImportDetails>> {
    start(ctx, id, Step::Run { leaves_out: options.leave_out_refused })
}

fn start(ctx: &BlockingCtx<'_>, id: i64, step: Step) -> Result<Accepted<ImportDetails>> {
    // To others the import does not exist, also while it runs.
    ctx.read(move |ctx| StoredImport::find(ctx, id))?;
    run::begin(ctx, id, step)?;
    ctx.read(move |ctx| StoredImport::find(ctx, id)?.shown(ctx)).map(Accepted)
}

fn refused(ctx: &BlockingCtx<'_>, Id(id): Id) -> Result<FileResponse> {
    let import = ctx.read(move |ctx| StoredImport::find(ctx, id))?;
    import.require_idle(ctx.request)?;
    let file = std::fs::File::open(import.refused_path(ctx)?).map_err(|_| Error::not_found())?;
    Ok(FileResponse { file, kind: "text/csv; charset=utf-8", name: format!("refused-{id}.csv") })
}

fn remove(ctx: &BlockingCtx<'_>, Id(id): Id) -> Result<Done> {
    let import = ctx.read(move |ctx| StoredImport::find(ctx, id))?;
    let (found, request) = (import.clone(), Arc::clone(ctx.request));
    ctx.request.file().write(move |db| {
        // A run that begins now finds no import.
        found.require_idle(&request)?;
        db.prepare_cached("DELETE FROM imports WHERE id = ?1")?.execute([id])?;
        Ok::<_, Error>(())
    })?;
    kept_uploads::delete(&import.path(ctx)?)?;
    kept_uploads::delete(&import.refused_path(ctx)?)?;
    Ok(Done)
}

/// Moves the imports of one customer to another.
pub fn move_all(db: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE imports SET customer_id = ?2 WHERE customer_id = ?1")?.execute((from, to))?;
    Ok(())
}

fn import_running() -> Error {
    Error::rejected("import_running", "The import is running. Wait until it has ended.")
}

fn import_done() -> Error {
    Error::rejected("import_done", "This import is done. Upload the file again to import it again.")
}

fn import_begun() -> Error {
    let said = "A part of the records is imported. Run the import to continue with the others.";
    Error::rejected("import_begun", said)
}

/// The resource with this name, which people can import.
fn importable(name: &str) -> Result<(&'static Resource, &'static dyn Files)> {
    let all = || super::resources().filter_map(|resource| Some((resource, resource.files?)));
    all().find(|(_, files)| files.name() == name).ok_or_else(|| match name {
        "" => Error::invalid("The resource field is required."),
        _ => {
            let names: Vec<String> = all().map(|(_, files)| files.name()).collect();
            Error::invalid(format!("The selected resource is invalid; it may be {}.", names.join(", ")))
        }
    })
}

fn check_permission(principal: &Principal, files: &dyn Files, mode: Mode) -> Result<()> {
    let actions: &[&str] = if mode == Mode::UPSERT { &["create", "update"] } else { &["create"] };
    for action in actions {
        let needed = format!("{}.{action}", files.permissions());
        if !principal.has_permission(&needed) {
            return Err(Error::MissingPermission(needed.into()));
        }
    }
    Ok(())
}

/// The name of a caller in the table.
fn owner(principal: &Principal) -> Result<String> {
    Ok(match &principal.actor {
        Identity::User { id, .. } => format!("user {id}"),
        Identity::Key { id, .. } => format!("key {id}"),
        Identity::Client { id, user_id: Some(user), .. } => format!("client {id} user {user}"),
        Identity::Client { id, user_id: None, .. } => format!("client {id}"),
        Identity::CallFlow { .. } => return Err(Error::lookup_only()),
    })
}

/// Checks that one more file may be kept.
fn check_room(db: &Connection, owner: &str, bytes: i64, now: Timestamp) -> Result<()> {
    let kept = |condition: &str, owner: &str| -> Result<(i64, i64)> {
        let sql =
            format!("SELECT count(*), coalesce(sum(bytes), 0) FROM imports WHERE created_at > ?1 AND {condition}");
        Ok(db.prepare_cached(&sql)?.query_row(params![first_kept(now), owner], |row| Ok((row.get(0)?, row.get(1)?)))?)
    };
    let is_full = |(count, sum): (i64, i64), (most, largest): (i64, i64)| count >= most || sum + bytes > largest;
    if is_full(kept("owner = ?2", owner)?, MOST_OF_OWNER) {
        let (most, largest) = (MOST_OF_OWNER.0, MOST_OF_OWNER.1 / MIB);
        let said = format!("You may keep {most} imports of {largest} MiB. Delete one that you no longer need.");
        return Err(Error::rejected("too_many_imports", said));
    }
    if is_full(kept("owner IS NOT NULL AND ?2 IS NOT NULL", owner)?, MOST_OF_WORKSPACE) {
        let (most, largest) = (MOST_OF_WORKSPACE.0, MOST_OF_WORKSPACE.1 / MIB);
        let said = format!("The workspace may keep {most} imports of {largest} MiB. They are deleted after 24 hours.");
        return Err(Error::rejected("too_many_imports", said));
    }
    Ok(())
}

/// The newest time of an upload that is no longer kept.
fn first_kept(now: Timestamp) -> Timestamp {
    now.plus(-kept_uploads::KEPT)
}

/// The columns of the last import of a resource, as their owner chose their fields.
fn last_columns(db: &Connection, owner: &str, resource: &str) -> Result<Vec<ImportColumn>> {
    let sql = "SELECT columns FROM imports WHERE owner = ?1 AND resource = ?2 AND state <> 'uploaded' ORDER BY id DESC";
    let found = db.prepare_cached(sql)?.query_row([owner, resource], |row| from_json(row, 0)).optional()?;
    Ok(found.unwrap_or_default())
}

/// Forgets what expired imports say about their files, and all of them but the newest of each owner. Returns the number of
/// rows.
pub fn forget(db: &Connection, now: Timestamp, most: usize) -> rusqlite::Result<usize> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let deleted = db
        .prepare_cached(
            "DELETE FROM imports WHERE id IN (
                 SELECT id FROM imports WHERE created_at <= ?1 AND id NOT IN (
                     SELECT max(id) FROM imports WHERE state <> 'uploaded' GROUP BY owner, resource) LIMIT ?2)",
        )?
        .execute(params![first_kept(now), most])?;
    let emptied = db
        .prepare_cached(
            "UPDATE imports SET state = 'expired', name = NULL, sample = '[]', refused_records = '[]', problem = NULL,
                 columns = (SELECT json_group_array(json_object('name', value ->> 'name', 'field', value ->> 'field'))
                            FROM json_each(columns))
             WHERE id IN (SELECT id FROM imports WHERE created_at <= ?1 AND state <> 'expired' LIMIT ?2)",
        )?
        .execute(params![first_kept(now), most])?;
    Ok(deleted + emptied)
}

fn account(db: &Connection, customer: Option<i64>) -> Result<Option<String>> {
    let Some(customer) = customer else { return Ok(None) };
    let sql = "SELECT customer_account FROM customers WHERE id = ?1";
    Ok(db.prepare_cached(sql)?.query_row([customer], |row| row.get(0)).optional()?)
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into()))
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))
}

const COLUMNS: &str = "id, resource, customer_id, file, name, format, bytes, encoding, delimiter, records, columns, sample,
    mode, key, state, created, changed, unchanged, refused, refused_records, refused_left_out, problem, created_at, ran_at, process";

impl StoredImport {
    /// The import with this id, if the caller has uploaded it in the last day.
    fn find(ctx: &Ctx<'_>, id: i64) -> Result<Self> {
        Self::find_own(ctx.db, ctx.principal()?, ctx.now, id)
    }

    fn find_own(db: &Connection, principal: &Principal, now: Timestamp, id: i64) -> Result<Self> {
        let own = Self::select(db, principal, now, "id = ?3", id)?;
        own.into_iter().next().ok_or_else(Error::not_found)
    }

    /// Checks that a step may begin now.
    fn check_step(&self, principal: &Principal, step: Step) -> Result<()> {
        let (_, files) = importable(&self.resource)?;
        check_permission(principal, files, self.mode)?;
        if step != Step::Check && self.unfinished_run().is_some() {
            return Ok(());
        }
        self.require_unwritten()?;
        let fields: Vec<Option<String>> = self.columns.iter().map(|column| column.field.clone()).collect();
        check_fields(files, &self.columns, &fields)?;
        if let Step::Run { leaves_out } = step {
            let counts = self.counts.filter(|_| self.state == State::CHECKED);
            let counts = counts.ok_or_else(|| Error::rejected("import_not_checked", "Check the import first."))?;
            if counts.refused > 0 && !leaves_out {
                let said = "Records were refused. Correct them, or leave them out. Nothing was imported.";
                return Err(Error::rejected("records_refused", said));
            }
        }
        Ok(())
    }

    /// The counts of a run that is not done: it writes, or was interrupted.
    fn unfinished_run(&self) -> Option<ImportResult> {
        self.counts.filter(|_| [State::RUNNING, State::INTERRUPTED].contains(&self.state))
    }

    /// Checks that no record was imported.
    fn require_unwritten(&self) -> Result<()> {
        match self.unfinished_run() {
            _ if self.state == State::DONE => Err(import_done()),
            Some(counts) if counts.sum() > 0 => Err(import_begun()),
            _ => Ok(()),
        }
    }

    /// The imports of a caller, the newest first.
    fn all(db: &Connection, principal: &Principal, now: Timestamp) -> Result<Vec<Self>> {
        Self::select(db, principal, now, "id > ?3", 0)
    }

    fn select(db: &Connection, principal: &Principal, now: Timestamp, condition: &str, id: i64) -> Result<Vec<Self>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM imports
             WHERE owner = ?1 AND created_at > ?2 AND state <> 'expired' AND {condition} ORDER BY id DESC"
        );
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![owner(principal)?, first_kept(now), id], Self::from_row)?;
        let mut rows = rows.collect::<rusqlite::Result<Vec<Self>>>()?;
        // The caller may have been bound to another customer since then.
        rows.retain(|row| principal.customer_id.is_none() || row.customer_id == principal.customer_id);
        Ok(rows)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let counts: Option<i64> = row.get(15)?;
        let counts = match counts {
            Some(created) => {
                Some(ImportResult { created, changed: row.get(16)?, unchanged: row.get(17)?, refused: row.get(18)? })
            }
            None => None,
        };
        let format = row.get_ref(5)?.as_str()?.parse().unwrap_or(Format::Json);
        Ok(Self {
            id: row.get(0)?,
            resource: row.get(1)?,
            customer_id: row.get(2)?,
            file: row.get(3)?,
            name: row.get(4)?,
            format,
            bytes: row.get(6)?,
            encoding: row.get(7)?,
            delimiter: row.get(8)?,
            records: row.get(9)?,
            columns: from_json(row, 10)?,
            sample: from_json(row, 11)?,
            mode: row.get(12)?,
            key: row.get(13)?,
            state: row.get(14)?,
            counts,
            refused: from_json(row, 19)?,
            refused_left_out: row.get(20)?,
            problem: row.get(21)?,
            created_at: row.get(22)?,
            ran_at: row.get(23)?,
            process: row.get(24)?,
        })
    }

    fn insert(&self, db: &Connection, owner: &str) -> Result<i64> {
        let sql = "INSERT INTO imports (owner, resource, customer_id, file, name, format, bytes, encoding, delimiter, records,
                columns, sample, mode, state, refused_records, refused_left_out, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, '[]', 0, ?15)";
        let values = params![
            owner,
            self.resource,
            self.customer_id,
            self.file,
            self.name,
            self.format.name(),
            self.bytes,
            self.encoding,
            self.delimiter,
            self.records,
            to_json(&self.columns)?,
            to_json(&self.sample)?,
            self.mode,
            self.state,
            self.created_at,
        ];
        Ok(db.prepare_cached(sql)?.insert(values)?)
    }

    /// Saves the fields of the columns. The last check no longer counts.
    fn save_plan(&self, db: &Connection) -> Result<()> {
        let sql = "UPDATE imports SET columns = ?2, mode = ?3, key = ?4 WHERE id = ?1";
        db.prepare_cached(sql)?.execute(params![self.id, to_json(&self.columns)?, self.mode, self.key])?;
        self.save_state(db, State::UPLOADED)
    }

    /// Saves that this process begins a check.
    fn save_check(&self, db: &Connection, process: Uuid) -> Result<()> {
        self.save_state(db, State::CHECKING)?;
        self.save_process(db, process)
    }

    /// Saves that this process begins a run, or continues one.
    fn save_run(&self, db: &Connection, process: Uuid, leaves_out: bool, now: Timestamp) -> Result<()> {
        if self.unfinished_run().is_some() {
            let sql = "UPDATE imports SET state = ?2, problem = NULL WHERE id = ?1";
            db.prepare_cached(sql)?.execute(params![self.id, State::RUNNING])?;
        } else {
            self.save_state(db, State::RUNNING)?;
            let sql = "UPDATE imports SET created = 0, changed = 0, unchanged = 0, refused = 0, refused_left_out = ?2,
                           ran_at = ?3
                       WHERE id = ?1";
            db.prepare_cached(sql)?.execute(params![self.id, leaves_out, now])?;
        }
        self.save_process(db, process)
    }

    fn save_process(&self, db: &Connection, process: Uuid) -> Result<()> {
        let sql = "UPDATE imports SET process = ?2 WHERE id = ?1";
        db.prepare_cached(sql)?.execute(params![self.id, process.to_string()])?;
        Ok(())
    }

    /// Saves a state without a result.
    fn save_state(&self, db: &Connection, state: State) -> Result<()> {
        let sql = "UPDATE imports SET state = ?2, created = NULL, changed = NULL, unchanged = NULL, refused = NULL,
                       refused_records = '[]', refused_left_out = 0, problem = NULL, ran_at = NULL
                   WHERE id = ?1";
        db.prepare_cached(sql)?.execute(params![self.id, state])?;
        Ok(())
    }

    fn plan(&self) -> ImportPlan {
        let text = |text: &String| Text::parse(text.clone()).ok();
        ImportPlan {
            fields: self.columns.iter().map(|column| column.field.as_ref().and_then(text)).collect(),
            mode: self.mode,
            key: self.key.as_ref().and_then(text),
        }
    }

    /// The state, and the row that a check or a run is at. A row that says that it runs, in a process that has ended, was
    /// interrupted.
    fn state_now(&self, request: &Request) -> Result<(State, Option<usize>)> {
        let node = &request.instance.node;
        let running = node.running_imports.lock();
        let at = running.get(&(request.workspace()?.id(), self.id)).map(|at| at.load(Ordering::Relaxed));
        let says_so = [State::CHECKING, State::RUNNING].contains(&self.state);
        let is_of_this_process = self.process.as_ref().is_some_and(|process| *process == node.process.to_string());
        Ok(match at {
            None if says_so && !is_of_this_process => (State::INTERRUPTED, None),
            // The result is saved just before the work ends, and the state just after the work began.
            Some(at) if !says_so => {
                let is_run = [State::DONE, State::INTERRUPTED].contains(&self.state);
                (if is_run { State::RUNNING } else { State::CHECKING }, Some(at))
            }
            // The work may have ended after the row was read.
            at => (self.state, at),
        })
    }

    fn require_idle(&self, request: &Request) -> Result<()> {
        match self.state_now(request)?.1 {
            Some(_) => Err(import_running()),
            None => Ok(()),
        }
    }

    fn path(&self, ctx: &BlockingCtx<'_>) -> Result<PathBuf> {
        Ok(kept_uploads::path(&ctx.instance.config.data_dir, ctx.request.workspace()?.id(), &self.file))
    }

    /// The path of the file with the refused rows.
    fn refused_path(&self, ctx: &BlockingCtx<'_>) -> Result<PathBuf> {
        Ok(self.path(ctx)?.with_extension("refused.csv"))
    }

    fn shown(self, ctx: &Ctx<'_>) -> Result<ImportDetails> {
        let (state, at) = self.state_now(ctx.request)?;
        let (_, files) = importable(&self.resource)?;
        let done = match (at, state) {
            (Some(at), _) => i64::try_from(at).unwrap_or(self.records),
            (None, State::CHECKED | State::DONE | State::FAILED) => self.records,
            (None, _) => self.unfinished_run().map_or(0, |counts| counts.sum()),
        };
        Ok(ImportDetails {
            id: self.id,
            customer_account: account(ctx.db, self.customer_id)?,
            resource: self.resource,
            customer_id: self.customer_id,
            file: self.name,
            format: self.format.name().to_owned(),
            bytes: self.bytes,
            encoding: self.encoding,
            delimiter: self.delimiter,
            records: self.records,
            columns: self.columns,
            sample: self.sample,
            targets: files.fields().into_iter().map(|field| field.name).collect(),
            keys: files.keys().into_iter().map(str::to_owned).collect(),
            mode: self.mode,
            key: self.key,
            state,
            progress: ImportProgress { done, of: self.records },
            counts: self.counts,
            refused: self.refused,
            refused_left_out: self.refused_left_out && self.counts.is_some_and(|counts| counts.refused > 0),
            problem: self.problem,
            created_at: self.created_at,
            expires_at: self.created_at.plus(kept_uploads::KEPT),
            ran_at: self.ran_at,
        })
    }
}

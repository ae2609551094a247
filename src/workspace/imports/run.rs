//! The work of an import: to check it, or to run it. Both run on the threads for long-running work, after the response to
//! the request that began them.
//!
//! The rows and the state `done` are written in one transaction. So an import that a restart interrupts has written
//! nothing, whether refused rows are left out or not.

use std::fs::File as Handle;
use std::io::{BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ImportColumn, ImportResult, Mode, State, StoredImport, import_running, importable, to_json};
use crate::api::{
    BlockingCtx, Error, FileRow, ImportCounts, ImportFollower, ImportMode, ImportRows, Importer, LONGEST, Result,
    rewrite_cell,
};
use crate::executors::Executor;
use crate::instance::Instance;
use crate::storage::{Fault, File};
use crate::tenancy::{InstanceTempDir, Lease, kept_uploads};
use crate::values::Timestamp;

/// Maximum refused records that a response lists.
const MOST_LISTED: usize = 100;

/// Maximum characters of a value in that list.
const LONGEST_VALUE: usize = 200;

/// Maximum bytes of a file that is copied for a check.
const LARGEST_COPY: u64 = 1024 * 1024 * 1024;

/// The name of the column with the reasons in the file of refused rows.
pub const REASON: &str = "refused_because";

/// What is done with an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Check,
    Run { leaves_out: bool },
}

/// A refused record.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RefusedRecord {
    /// Line in which the record begins. In JSON, the number of the record.
    line: usize,
    /// The rules that the record breaks.
    problems: Vec<RefusedValue>,
}

/// A rule that a record breaks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct RefusedValue {
    /// The field, if the rule is about one that a column has.
    field: Option<String>,
    /// Name of the column.
    column: Option<String>,
    /// The value in the file.
    value: Option<String>,
    /// The rule as a sentence.
    #[schemars(example = &"The email must be a valid email address.")]
    sentence: String,
}

/// Begins a check or a run. It goes on after the request.
pub fn begin(ctx: &BlockingCtx<'_>, id: i64, step: Step) -> Result<()> {
    let instance = ctx.instance;
    let (executor, lease) = (Executor::LongRunning, ctx.request.workspace()?.clone());
    let threads = executor.threads(&instance.executors);
    let threads = threads.ok_or_else(|| Error::Internal("imports have no threads".into()))?;
    let share = lease.group().and_then(|group| executor.share(&group).cloned());
    if threads.waiting_within(share.as_ref()) >= instance.config.max_waiting {
        return Err(Error::Overloaded);
    }
    // From now on nobody changes the import. A change that came before is seen in the next turn.
    let running = RunningImport::begin(instance, lease.id(), id)?;
    let (principal, now) = (ctx.principal()?, ctx.now);
    let state = if step == Step::Check { State::CHECKING } else { State::RUNNING };
    let (caller, process) = (principal.clone(), instance.node.process);
    let import = ctx.request.file().write(move |db| {
        let import = StoredImport::find_own(db, &caller, now, id)?;
        import.check_step(&caller, step)?;
        import.save_begin(db, state, process)?;
        Ok::<_, Error>(import)
    })?;
    let work = ImportWork {
        path: import.path(ctx)?,
        report: Arc::new(Mutex::new(Report::new(import.refused_path(ctx)?))),
        importer: Importer {
            recorder: ctx.recorder()?,
            mode: if import.mode == Mode::UPSERT { ImportMode::Upsert } else { ImportMode::Create },
            dry_run: step == Step::Check,
            leaves_out: step != Step::Run { leaves_out: false },
            key: import.key.clone(),
            bound_to: import.customer_id,
            is_bound: principal.customer_id.is_some(),
            // Checked when the import was begun.
            may_change: import.mode == Mode::UPSERT,
        },
        import,
        lease,
        step,
        running,
        now,
    };
    threads.run_within(share.as_ref(), move || work.run());
    Ok(())
}

/// Marks an import as running. Dropped when the work has ended, however it ends.
struct RunningImport {
    instance: Arc<Instance>,
    key: (Uuid, i64),
    at: Arc<AtomicUsize>,
}

impl RunningImport {
    fn begin(instance: &Arc<Instance>, workspace: Uuid, id: i64) -> Result<Self> {
        let (key, at) = ((workspace, id), Arc::new(AtomicUsize::new(0)));
        let mut running = instance.node.running_imports.lock();
        if running.contains_key(&key) {
            return Err(import_running());
        }
        running.insert(key, Arc::clone(&at));
        Ok(Self { instance: Arc::clone(instance), key, at })
    }
}

impl Drop for RunningImport {
    fn drop(&mut self) {
        self.instance.node.running_imports.lock().remove(&self.key);
    }
}

struct ImportWork {
    import: StoredImport,
    path: PathBuf,
    importer: Importer,
    lease: Lease,
    step: Step,
    now: Timestamp,
    report: Arc<Mutex<Report>>,
    /// Dropped after the result is saved.
    running: RunningImport,
}

impl ImportWork {
    fn run(self) {
        let done = catch_unwind(AssertUnwindSafe(|| self.import_file()));
        let done = done.unwrap_or_else(|panic| Err(Fault::panicked(&*panic).into()));
        if let Err(error) = self.save(done) {
            tracing::error!(%error, import = self.import.id, "the result of an import was not saved");
        }
        let report = self.report.lock();
        if report.listed.is_empty()
            && let Err(error) = kept_uploads::delete(&report.path)
        {
            tracing::warn!(%error, import = self.import.id, "an empty file was not deleted");
        }
    }

    fn import_file(&self) -> Result<ImportCounts> {
        let import = &self.import;
        let gone =
            |_| Error::rejected("import_expired", "The file of this import is no longer there. Upload it again.");
        let text = std::fs::read(&self.path).map_err(gone)?;
        let (_, files) = importable(&import.resource)?;
        let named = |name: &str| import.columns.iter().any(|column| column.name == name);
        let text = files.text(text.into(), import.format, &named)?;
        let known = files.fields();
        let field =
            |column: &ImportColumn| known.iter().find(|field| Some(&field.name) == column.field.as_ref()).cloned();
        let rows = text.into_rows(import.columns.iter().map(field).collect());
        let follower = Follower {
            import: import.clone(),
            now: self.now,
            at: Arc::clone(&self.running.at),
            report: Arc::clone(&self.report),
        };
        let copy = if self.step == Step::Check { self.copy() } else { None };
        let file = copy.as_ref().map_or(self.lease.file(), |(file, _)| file);
        let counts = files.import(self.importer.clone(), file, rows, LONGEST, Box::new(follower))?;
        self.report.lock().finish()?;
        Ok(counts)
    }

    /// A copy of the workspace's file, in which a check keeps nobody from writing. `None` if the file is very large, or if
    /// it cannot be copied: then the check takes the write lane of the file.
    fn copy(&self) -> Option<(Arc<File>, InstanceTempDir)> {
        let (instance, file) = (&self.running.instance, self.lease.file());
        let (data, log) = file.sizes();
        if data + log > LARGEST_COPY {
            return None;
        }
        instance
            .copy_workspace(self.lease.id())
            .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "a check of an import has no copy"))
            .ok()
    }

    /// Saves the result. A run has saved its own together with its rows, and needs its file no more.
    fn save(&self, done: Result<ImportCounts>) -> Result<()> {
        let (import, listed) = (self.import.clone(), self.report.lock().listed.clone());
        match done {
            Ok(_) if self.step != Step::Check => Ok(kept_uploads::delete(&self.path)?),
            Ok(counts) => {
                let save = move |db: &Connection| save_result(db, &import, State::CHECKED, &counts, &listed, None);
                self.lease.file().write(save)
            }
            Err(error) => {
                if error.status().is_server_error() {
                    tracing::error!(%error, import = import.id, "an import failed");
                }
                let problem = match &error {
                    Error::InvalidRows { count, .. } => format!("{count} records were refused. Nothing was imported."),
                    error => error.messages().join(" "),
                };
                self.lease.file().write(move |db| save_failure(db, &import, &listed, &problem))
            }
        }
    }
}

fn save_result(
    db: &Connection,
    import: &StoredImport,
    state: State,
    counts: &ImportCounts,
    refused: &[RefusedRecord],
    ran_at: Option<Timestamp>,
) -> Result<()> {
    let ImportResult { created, changed, unchanged, refused: count } = counts.into();
    let sql = "UPDATE imports SET state = ?2, created = ?3, changed = ?4, unchanged = ?5, refused = ?6,
                   refused_records = ?7, ran_at = ?8, refused_left_out = ?9, problem = NULL
               WHERE id = ?1";
    let left_out = ran_at.is_some() && count > 0;
    let values = params![import.id, state, created, changed, unchanged, count, to_json(&refused)?, ran_at, left_out];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn save_failure(db: &Connection, import: &StoredImport, refused: &[RefusedRecord], problem: &str) -> Result<()> {
    import.save_state(db, State::FAILED)?;
    let sql = "UPDATE imports SET refused_records = ?2, problem = ?3 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![import.id, to_json(&refused)?, problem])?;
    Ok(())
}

impl From<&ImportCounts> for ImportResult {
    fn from(counts: &ImportCounts) -> Self {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            created: number(counts.created),
            changed: number(counts.changed),
            unchanged: number(counts.unchanged),
            refused: number(counts.refused),
        }
    }
}

/// Follows the import: its progress, and the refused rows.
struct Follower {
    import: StoredImport,
    now: Timestamp,
    at: Arc<AtomicUsize>,
    report: Arc<Mutex<Report>>,
}

impl ImportFollower for Follower {
    fn begins(&mut self) -> Result<()> {
        self.at.store(0, Ordering::Relaxed);
        self.report.lock().begin()
    }

    fn row(&mut self, number: usize) {
        self.at.store(number, Ordering::Relaxed);
    }

    fn refused(&mut self, rows: &ImportRows, row: &FileRow<'_>, why: &Error) -> Result<()> {
        self.report.lock().add(rows, row, why)
    }

    fn finished(&mut self, db: &Connection, counts: &ImportCounts) -> Result<()> {
        save_result(db, &self.import, State::DONE, counts, &self.report.lock().listed, Some(self.now))
    }
}

/// The refused rows: the first ones for the response, and all of them in a file.
struct Report {
    path: PathBuf,
    file: Option<csv::Writer<BufWriter<Handle>>>,
    /// Whether each column is in the file. A file of refused rows that is refused again keeps one column of reasons.
    is_kept: Vec<bool>,
    listed: Vec<RefusedRecord>,
}

impl Report {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, is_kept: Vec::new(), listed: Vec::new() }
    }

    fn begin(&mut self) -> Result<()> {
        self.file = None;
        self.listed.clear();
        Ok(kept_uploads::delete(&self.path)?)
    }

    fn add(&mut self, rows: &ImportRows, row: &FileRow<'_>, why: &Error) -> Result<()> {
        if self.listed.len() < MOST_LISTED {
            self.listed.push(refused_record(rows, row, why));
        }
        let mut cells = row.source.cells(rows.columns());
        cells.resize(cells.len().max(rows.columns().len()), String::new());
        // Cells beyond the last column stand behind the reason.
        let more = cells.split_off(rows.columns().len());
        let reason = rewrite_cell(&why.messages().join(" "));
        self.open(rows)?;
        let Self { file: Some(file), is_kept, .. } = self else { return Ok(()) };
        let cells = cells.into_iter().zip(is_kept).filter(|(_, is)| **is).map(|(cell, _)| cell);
        file.write_record(cells.chain([reason]).chain(more)).map_err(unwritable)
    }

    /// Creates the file with its first line, if it is not there yet.
    fn open(&mut self, rows: &ImportRows) -> Result<()> {
        if self.file.is_none() {
            let mut text = BufWriter::new(Handle::create(&self.path).map_err(unwritable)?);
            // Spreadsheets read the file as UTF-8 only if it begins with the mark.
            text.write_all("\u{feff}".as_bytes()).map_err(unwritable)?;
            let delimiter = rows.delimiter().and_then(|delimiter| u8::try_from(delimiter).ok()).unwrap_or(b',');
            let mut builder = csv::WriterBuilder::new();
            builder.delimiter(delimiter).flexible(true).terminator(csv::Terminator::CRLF);
            let mut file = builder.from_writer(text);
            self.is_kept = rows.columns().iter().map(|column| column.name != REASON).collect();
            let names = rows.columns().iter().zip(&self.is_kept).filter(|(_, is)| **is);
            let names = names.map(|(column, _)| rewrite_cell(&column.name)).chain([REASON.to_owned()]);
            file.write_record(names).map_err(unwritable)?;
            self.file = Some(file);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush().map_err(unwritable))
    }
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::StorageFull(error.to_string())
}

fn refused_record(rows: &ImportRows, row: &FileRow<'_>, why: &Error) -> RefusedRecord {
    let sentences: Vec<(Option<String>, String)> = match why {
        Error::Invalid(problems) => {
            problems.iter().map(|problem| (problem.field.clone(), problem.sentence.clone())).collect()
        }
        error => error.messages().into_iter().map(|sentence| (None, sentence)).collect(),
    };
    let problem = |(field, sentence): (Option<String>, String)| {
        let field = field.and_then(|path| path.split('.').next().map(str::to_owned));
        let field =
            field.or_else(|| field_in(rows, &sentence)).filter(|field| rows.fields().any(|known| known == field));
        let cell = field.as_ref().and_then(|field| rows.cell(row.source, field));
        let (column, value) = cell.unzip();
        let value = value.map(|value| value.chars().take(LONGEST_VALUE).collect());
        RefusedValue { field, column: column.map(str::to_owned), value, sentence }
    };
    RefusedRecord { line: row.line, problems: sentences.into_iter().map(problem).collect() }
}

/// The field that a sentence names. The longest name counts.
fn field_in(rows: &ImportRows, sentence: &str) -> Option<String> {
    let sentence = format!("{} ", sentence.trim_end_matches('.'));
    let is_named = |field: &&str| sentence.contains(&format!(" {} ", field.replace('_', " ")));
    rows.fields().filter(is_named).max_by_key(|field| field.len()).map(str::to_owned)
}

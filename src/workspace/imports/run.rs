//! The work of an import: to check it, or to run it. Both run on the threads for long-running work, after the response to
//! the request that began them.
//!
//! A run writes its rows in parts, so that others write in between. Each part saves its counts in the transaction of its
//! rows. Every record is in one of the counts, so their sum says with which record an interrupted run continues.

use std::fs::File as Handle;
use std::io::{BufReader, BufWriter, Read, Write};
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
    BlockingCtx, Error, FileRow, ImportCounts, ImportFollower, ImportMode, ImportRows, ImportStart, Importer, LONGEST,
    Result, rewrite_cell,
};
use crate::durable_fs;
use crate::executors::Executor;
use crate::instance::Instance;
use crate::storage::{Fault, File};
use crate::tenancy::{InstanceTempDir, Lease, kept_uploads};

/// Maximum refused records that a response lists.
const MOST_LISTED: usize = 100;

/// Maximum characters of a value in that list.
const LONGEST_VALUE: usize = 200;

/// Maximum bytes of a file that is copied for a check or a run.
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
    let (caller, process) = (principal.clone(), instance.node.process);
    let import = ctx.request.file().write(move |db| {
        let import = StoredImport::find_own(db, &caller, now, id)?;
        import.check_step(&caller, step)?;
        match step {
            Step::Check => import.save_check(db, process)?,
            Step::Run { leaves_out } => import.save_run(db, process, leaves_out, now)?,
        }
        StoredImport::find_own(db, &caller, now, id)
    })?;
    let done = import.unfinished_run().map_or(0, |counts| counts.sum());
    running.at.store(usize::try_from(done).unwrap_or_default(), Ordering::Relaxed);
    let work = ImportWork {
        path: import.path(ctx)?,
        report: Arc::new(Mutex::new(Report::new(import.refused_path(ctx)?, import.refused.clone()))),
        importer: Importer {
            recorder: ctx.recorder()?,
            mode: if import.mode == Mode::UPSERT { ImportMode::Upsert } else { ImportMode::Create },
            dry_run: true,
            leaves_out: step == Step::Check || import.refused_left_out,
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
    /// For a check, or for the try before a run.
    importer: Importer,
    lease: Lease,
    step: Step,
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
        let follower = || {
            let (at, report) = (Arc::clone(&self.running.at), Arc::clone(&self.report));
            Box::new(Follower { import: import.clone(), at, report })
        };
        let tries = |file: &Arc<File>| {
            let counts = files.import(self.importer.clone(), file, rows.clone(), LONGEST, follower())?;
            self.report.lock().finish()?;
            Ok::<_, Error>(counts)
        };
        if self.step == Step::Check {
            return match self.copy() {
                Some((copy, _folder)) => tries(&copy),
                None => tries(self.lease.file()),
            };
        }
        let ImportResult { created, changed, unchanged, refused } = import.unfinished_run().unwrap_or_default();
        let [created, changed, unchanged, refused] =
            [created, changed, unchanged, refused].map(|count| usize::try_from(count).unwrap_or_default());
        let start = ImportStart {
            counts: ImportCounts::of(created, changed, unchanged, refused),
            at: import.ran_at.unwrap_or(self.importer.recorder.at),
        };
        // Without a copy the run relies on the check: another try would keep others from writing.
        if start.counts.sum() == 0
            && !self.importer.leaves_out
            && let Some((copy, _folder)) = self.copy()
        {
            tries(&copy)?;
        }
        let importer = Importer { dry_run: false, ..self.importer.clone() };
        files.import_in_parts(importer, self.lease.file(), rows, start, follower())
    }

    /// A copy of the workspace's file, in which a check or a try keeps nobody from writing. `None` if the file is very large,
    /// or if it cannot be copied: then a check takes the write lane of the file, and a run has no try.
    fn copy(&self) -> Option<(Arc<File>, InstanceTempDir)> {
        let (instance, file) = (&self.running.instance, self.lease.file());
        let (data, log) = file.sizes();
        if data + log > LARGEST_COPY {
            return None;
        }
        instance
            .copy_workspace(self.lease.id())
            .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "an import has no copy of the file"))
            .ok()
    }

    /// Saves the result. A run has saved its own together with its rows, and needs its file no more.
    fn save(&self, done: Result<ImportCounts>) -> Result<()> {
        let (import, listed) = (self.import.clone(), self.report.lock().listed.clone());
        match done {
            Ok(_) if self.step != Step::Check => Ok(kept_uploads::delete(&self.path)?),
            Ok(counts) => self.lease.file().write(move |db| save_result(db, &import, State::CHECKED, &counts, &listed)),
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
) -> Result<()> {
    let ImportResult { created, changed, unchanged, refused: count } = counts.into();
    let sql = "UPDATE imports SET state = ?2, created = ?3, changed = ?4, unchanged = ?5, refused = ?6,
                   refused_records = ?7, refused_left_out = ?8, problem = NULL
               WHERE id = ?1";
    let left_out = match state {
        State::CHECKED => false,
        State::DONE => count > 0,
        _ => import.refused_left_out,
    };
    let values = params![import.id, state, created, changed, unchanged, count, to_json(&refused)?, left_out];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Saves that a check or a run has failed, or that a run was interrupted after its first part.
fn save_failure(db: &Connection, import: &StoredImport, refused: &[RefusedRecord], problem: &str) -> Result<()> {
    let sql = "UPDATE imports SET state = ?2, problem = ?3
               WHERE id = ?1 AND state = ?4 AND created + changed + unchanged + refused > 0";
    let values = params![import.id, State::INTERRUPTED, problem, State::RUNNING];
    if db.prepare_cached(sql)?.execute(values)? == 0 {
        import.save_state(db, State::FAILED)?;
        let sql = "UPDATE imports SET refused_records = ?2, problem = ?3 WHERE id = ?1";
        db.prepare_cached(sql)?.execute(params![import.id, to_json(&refused)?, problem])?;
    }
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

    fn begins_part(&mut self, counts: &ImportCounts) -> Result<()> {
        self.report.lock().keep_first(counts.refused)
    }

    fn part_written(&mut self, db: &Connection, counts: &ImportCounts) -> Result<()> {
        self.save(db, State::RUNNING, counts)
    }

    fn finished(&mut self, db: &Connection, counts: &ImportCounts) -> Result<()> {
        self.save(db, State::DONE, counts)
    }
}

impl Follower {
    fn save(&self, db: &Connection, state: State, counts: &ImportCounts) -> Result<()> {
        let mut report = self.report.lock();
        // The file is on disk before the transaction that counts its rows.
        report.finish()?;
        save_result(db, &self.import, state, counts, &report.listed)
    }
}

/// The refused rows: the first ones for the response, and all of them in a file.
struct Report {
    path: PathBuf,
    file: Option<csv::Writer<BufWriter<Handle>>>,
    /// Number of rows in the file. `None` if an earlier process has written it.
    rows: Option<usize>,
    /// Whether each column is in the file. A file of refused rows that is refused again keeps one column of reasons.
    is_kept: Vec<bool>,
    listed: Vec<RefusedRecord>,
}

impl Report {
    fn new(path: PathBuf, listed: Vec<RefusedRecord>) -> Self {
        Self { path, file: None, rows: None, is_kept: Vec::new(), listed }
    }

    fn begin(&mut self) -> Result<()> {
        self.file = None;
        self.rows = Some(0);
        self.listed.clear();
        Ok(kept_uploads::delete(&self.path)?)
    }

    /// Removes rows behind the first ones. They were added in a transaction that was not committed.
    fn keep_first(&mut self, rows: usize) -> Result<()> {
        if rows == 0 {
            return self.begin();
        }
        if self.rows != Some(rows) {
            self.file = None;
            let file = Handle::options().read(true).write(true).open(&self.path).map_err(unwritable)?;
            file.set_len(end_of_record(&file, rows)?).map_err(unwritable)?;
            self.listed.truncate(rows);
            self.rows = Some(rows);
        }
        Ok(())
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
        file.write_record(cells.chain([reason]).chain(more)).map_err(unwritable)?;
        self.rows = self.rows.map(|rows| rows + 1);
        Ok(())
    }

    /// Opens the file behind its last row. A new file gets its first line.
    fn open(&mut self, rows: &ImportRows) -> Result<()> {
        if self.file.is_none() {
            let is_new = self.rows == Some(0);
            let file = match is_new {
                true => Handle::create(&self.path),
                false => Handle::options().append(true).open(&self.path),
            };
            let mut text = BufWriter::new(file.map_err(unwritable)?);
            if is_new {
                durable_fs::sync(durable_fs::folder_of(&self.path)?)?;
                // Spreadsheets read the file as UTF-8 only if it begins with the mark.
                text.write_all("\u{feff}".as_bytes()).map_err(unwritable)?;
            }
            let delimiter = rows.delimiter().and_then(|delimiter| u8::try_from(delimiter).ok()).unwrap_or(b',');
            let mut builder = csv::WriterBuilder::new();
            builder.delimiter(delimiter).flexible(true).terminator(csv::Terminator::CRLF);
            let mut file = builder.from_writer(text);
            self.is_kept = rows.columns().iter().map(|column| column.name != REASON).collect();
            if is_new {
                let names = rows.columns().iter().zip(&self.is_kept).filter(|(_, is)| **is);
                let names = names.map(|(column, _)| rewrite_cell(&column.name)).chain([REASON.to_owned()]);
                file.write_record(names).map_err(unwritable)?;
            }
            self.file = Some(file);
        }
        Ok(())
    }

    /// Writes the file to the disk.
    fn finish(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush().map_err(unwritable)?;
        file.get_ref().get_ref().sync_data().map_err(unwritable)
    }
}

/// The length of a file of refused rows up to the record with this number. Quotes decide where a record ends, whatever
/// the delimiter is.
fn end_of_record(file: &Handle, number: usize) -> Result<u64> {
    let (mut length, mut ends, mut is_quoted) = (0, 0, false);
    for byte in BufReader::new(file).bytes() {
        let byte = byte.map_err(unwritable)?;
        length += 1;
        is_quoted ^= byte == b'"';
        if byte == b'\n' && !is_quoted {
            ends += 1;
            // The first line has the names of the columns.
            if ends > number {
                return Ok(length);
            }
        }
    }
    Err(Error::Internal(format!("the file of refused rows has fewer than {number} rows")))
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

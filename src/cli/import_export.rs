//! `cx-engine workspace import` and `export`: the imports and exports of the API, without its limits.

use std::ffi::OsStr;
use std::fs::{self, File as Handle};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::workspace::find;
use crate::api::resource::Files;
use crate::api::{ByteStream, Error, Format, ImportMode, Importer};
use crate::cli::output::{self, outln};
use crate::instance::Instance;
use crate::storage::File;
use crate::tenancy::customer_lookup;
use crate::values::Timestamp;
use crate::workspace;

/// Time limit of an import. The user can interrupt it at any time.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[derive(clap::Args)]
pub struct ImportArgs {
    /// Subdomain or id of the workspace
    workspace: String,
    /// What to import
    #[arg(value_parser = resources())]
    resource: &'static dyn Files,
    /// The file to import; - reads from stdin
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Account number of the customer that the rows belong to; required for call routing
    #[arg(long, value_name = "ACCOUNT")]
    customer: Option<String>,
    /// create adds rows; upsert also updates rows found by id, account, code, email or name
    #[arg(long, default_value = "create", value_parser = modes())]
    mode: ImportMode,
    /// Check all rows and print the result without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Format of the file [default: by its extension]
    #[arg(long, value_parser = formats())]
    format: Option<Format>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct ExportArgs {
    /// Subdomain or id of the workspace
    workspace: String,
    /// What to export
    #[arg(value_parser = resources())]
    resource: &'static dyn Files,
    /// Export only the rows of the customer with this account number
    #[arg(long, value_name = "ACCOUNT")]
    customer: Option<String>,
    /// Format of the file [default: by its extension, or json]
    #[arg(long, value_parser = formats())]
    format: Option<Format>,
    /// The file to write; it appears once it is complete [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The resources whose rows can be imported and exported, by the name that people type.
fn resources() -> impl TypedValueParser<Value = &'static dyn Files> {
    let all = || workspace::resources().filter_map(|resource| resource.files);
    PossibleValuesParser::new(all().map(|files| files.name()))
        .map(move |name| all().find(|files| files.name() == name).expect("a listed name"))
}

/// Listed here so that shells can complete them.
fn modes() -> impl TypedValueParser<Value = ImportMode> {
    PossibleValuesParser::new(["create", "upsert"]).try_map(|text| text.parse::<ImportMode>())
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["json", "csv"]).try_map(|text| text.parse::<Format>())
}

/// The customer with this account number, if one is given.
fn named(file: &Arc<File>, account: Option<&str>) -> anyhow::Result<Option<i64>> {
    let Some(account) = account else { return Ok(None) };
    let wanted = account.to_owned();
    let found = file.read(move |db| Ok::<_, Error>(customer_lookup::with_account(db, &wanted)?))?;
    found.map(Some).with_context(|| format!("no customer has the account {account}"))
}

impl ImportArgs {
    pub fn run(&self, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
        let found = find(instance, &self.workspace, |status| status != "trashed")?;
        if self.resource.need_customer() && self.customer.is_none() {
            bail!("--customer is required: the account of the customer that the rows belong to");
        }
        let Some(format) = self.format.or_else(|| by_ending(&self.file)) else {
            bail!("the format of {} is unknown: add --format json or --format csv", self.file.display());
        };
        let text = self.read().with_context(|| format!("cannot read {}", self.file.display()))?;
        let rows = self.resource.rows(text.into(), format)?;
        let lease = instance.registry.lease(found.id);
        let importer = Importer {
            recorder: instance.system_recorder(found.id, now),
            mode: self.mode,
            dry_run: self.dry_run,
            leaves_out: false,
            key: None,
            bound_to: named(lease.file(), self.customer.as_deref())?,
            is_bound: false,
            may_change: true,
        };
        let bar = ProgressBar::new(rows.count() as u64)
            .with_style(ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} rows")?);
        let shown = bar.clone();
        let progress = move |number: usize| shown.set_position(number as u64);
        let done = self.resource.import(importer, lease.file(), rows, LONGEST, Box::new(progress));
        bar.finish_and_clear();
        let counts = done.context("nothing was imported")?;
        let (created, updated) = (counts.created, counts.changed + counts.unchanged);
        match (self.json, self.dry_run) {
            (true, _) => {
                let mut done = json!({"response": "ok", "created": created, "updated": updated});
                if !counts.ignored_columns.is_empty() {
                    done["ignored_columns"] = json!(counts.ignored_columns);
                }
                outln!("{done}");
            }
            (false, false) => outln!("{created} created, {updated} updated"),
            (false, true) => outln!("{created} would be created, {updated} updated; nothing was changed"),
        }
        if !(self.json || counts.ignored_columns.is_empty()) {
            outln!("ignored columns: {}", counts.ignored_columns.join(", "));
        }
        Ok(())
    }

    fn read(&self) -> std::io::Result<Vec<u8>> {
        if self.file.as_os_str() != "-" {
            return fs::read(&self.file);
        }
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text)?;
        Ok(text)
    }
}

impl ExportArgs {
    pub fn run(&self, instance: &Arc<Instance>) -> anyhow::Result<()> {
        let found = find(instance, &self.workspace, |status| status != "trashed")?;
        let format = self.format.or_else(|| by_ending(self.output.as_deref()?)).unwrap_or(Format::Json);
        let lease = instance.registry.lease(found.id);
        let customer = named(lease.file(), self.customer.as_deref())?;
        let rows = self.resource.export(format, customer)?;
        let Some(path) = &self.output else {
            return output::stream(|stdout| write(lease.file(), rows, stdout));
        };
        let mut partial = path.clone().into_os_string();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let written = write_file(lease.file(), rows, &partial).and_then(|()| Ok(fs::rename(&partial, path)?));
        if written.is_err() {
            // Removes the incomplete file, if it was created.
            let _ = fs::remove_file(&partial);
        }
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

fn write_file(file: &Arc<File>, rows: Box<dyn ByteStream>, path: &Path) -> anyhow::Result<()> {
    let handle = Handle::create(path)?;
    write(file, rows, &handle)?;
    Ok(handle.sync_all()?)
}

/// Writes piece by piece, each read in its own turn, so that a running server is not blocked.
fn write(file: &Arc<File>, rows: Box<dyn ByteStream>, mut output: impl Write) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {bytes}")?);
    let mut rest = Some(rows);
    loop {
        let (rows, piece) = file.read(move |db| {
            let mut rows = rest.take().ok_or_else(|| Error::Internal("a piece was asked for twice".into()))?;
            let piece = rows.next(db)?;
            Ok::<_, Error>((rows, piece))
        })?;
        let Some(piece) = piece else { break };
        output.write_all(&piece)?;
        bar.inc(piece.len() as u64);
        rest = Some(rows);
    }
    bar.finish_and_clear();
    Ok(output.flush()?)
}

fn by_ending(path: &Path) -> Option<Format> {
    path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase().parse().ok()
}

//! `cx-engine upgrade`: the versions of the files and of this program, and the way back after an update.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use indicatif::HumanBytes;
use serde::Serialize;

use super::backup::counted;
use super::doctor::FOUND;
use crate::cli::output::outln;
use crate::config::Config;
use crate::durable_fs;
use crate::instance;
use crate::storage::{self, FileKind, UpdateCopies, UpdateCopy};
use crate::tenancy::lifecycle;
use crate::values::Timestamp;

#[derive(clap::Subcommand)]
pub enum UpgradeCommand {
    /// Compare the versions of the files with this program; changes nothing, and works while any server runs
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put back the files as they were before their last update, for the previous program; no server may run. What was
    /// written since is kept in set-aside/
    Revert,
}

/// The versions, as `--json` prints them.
#[derive(Serialize)]
struct Versions {
    program: ProgramVersions,
    central: Option<i64>,
    /// The number of workspaces of each version, the oldest first.
    workspaces: Vec<WorkspaceVersions>,
    /// Files of which the version cannot be read.
    unreadable: Vec<UnreadableFile>,
    /// The size of the files that an update copies first.
    bytes_to_copy: u64,
    bytes_free: u64,
    /// Why this program cannot serve all files.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct ProgramVersions {
    version: &'static str,
    central: i64,
    workspaces: i64,
}

#[derive(Serialize)]
struct WorkspaceVersions {
    version: i64,
    workspaces: usize,
}

#[derive(Serialize)]
struct UnreadableFile {
    path: PathBuf,
    problem: String,
}

pub fn run(command: &UpgradeCommand, config: &Config, now: Timestamp) -> anyhow::Result<ExitCode> {
    match command {
        UpgradeCommand::Check { json } => check(config, *json),
        UpgradeCommand::Revert => revert(&config.data_dir, now),
    }
}

fn check(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    instance::require_instance(&config.data_dir)?;
    let versions = Versions::read(&config.data_dir)?;
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&versions)?);
    } else {
        versions.print(&config.data_dir);
    }
    Ok(if versions.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

impl Versions {
    fn read(data: &Path) -> anyhow::Result<Self> {
        let (mut counts, mut unreadable, mut bytes_to_copy) = (BTreeMap::new(), Vec::new(), 0);
        let are_copied = !is_kept_in_store(data);
        let mut version = |path: &Path, kind: FileKind| match storage::read_version(path) {
            Ok(version) => {
                if version < kind.version() && are_copied {
                    bytes_to_copy += fs::metadata(path).map_or(0, |found| found.len());
                }
                Some(version)
            }
            Err(error) => {
                unreadable.push(UnreadableFile { path: path.to_owned(), problem: format!("{error:#}") });
                None
            }
        };
        let central = version(&data.join("central.sqlite"), FileKind::Central);
        for path in lifecycle::live_files(data)? {
            if let Some(version) = version(&path, FileKind::Workspace) {
                *counts.entry(version).or_insert(0) += 1;
            }
        }
        let disk = rustix::fs::statvfs(data).with_context(|| format!("cannot read the disk of {}", data.display()))?;
        let workspaces = counts.into_iter().map(|(version, workspaces)| WorkspaceVersions { version, workspaces });
        let mut versions = Self {
            program: ProgramVersions {
                version: env!("CARGO_PKG_VERSION"),
                central: FileKind::Central.version(),
                workspaces: FileKind::Workspace.version(),
            },
            central,
            workspaces: workspaces.collect(),
            unreadable,
            bytes_to_copy,
            bytes_free: disk.f_bavail * disk.f_frsize,
            problems: Vec::new(),
        };
        versions.problems = versions.problems();
        Ok(versions)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(version) = self.central.filter(|version| *version > self.program.central) {
            problems.push(format!("the central file has version {version}: a newer program has updated it"));
        }
        let newer: usize = self.newer().map(|found| found.workspaces).sum();
        if newer > 0 {
            problems.push(format!("a newer program has updated {}", counted(newer, "workspace")));
        }
        for UnreadableFile { path, problem } in &self.unreadable {
            problems.push(format!("{} cannot be read: {problem}", path.display()));
        }
        if self.bytes_to_copy > self.bytes_free {
            problems.push("there is not enough space for the copies of the files".to_owned());
        }
        problems
    }

    fn newer(&self) -> impl Iterator<Item = &WorkspaceVersions> {
        self.workspaces.iter().filter(|found| found.version > self.program.workspaces)
    }

    fn print(&self, data: &Path) {
        let Self { program, bytes_to_copy, bytes_free, .. } = self;
        let supported = format!("central file {}, workspaces {}", program.central, program.workspaces);
        outln!("{:<16}  {supported}", format!("cx-engine {}", program.version));
        if let Some(version) = self.central {
            outln!("{:<16}  version {version}", "central file");
        }
        for WorkspaceVersions { version, workspaces } in &self.workspaces {
            outln!("{:<16}  version {version}", counted(*workspaces, "workspace"));
        }
        let has_older = self.central.is_some_and(|version| version < program.central)
            || self.workspaces.iter().any(|found| found.version < program.workspaces);
        if has_older {
            outln!("\nThe server updates the older files when it starts, and in the background.");
        }
        if *bytes_to_copy > 0 {
            outln!(
                "It first copies each to {}: {} of {} that are free.",
                UpdateCopies::of_data_dir(data).folder().display(),
                HumanBytes(*bytes_to_copy),
                HumanBytes(*bytes_free)
            );
        }
        if !has_older && self.problems.is_empty() {
            outln!("\nNo file needs an update.");
        }
        for problem in &self.problems {
            outln!("{:<16}  {problem}", "problem");
        }
        if self.newer().next().is_some() || self.central.is_some_and(|version| version > program.central) {
            outln!("Run the newer program, or put back the files with `cx-engine upgrade revert`.");
        }
    }
}

/// Each step can be repeated, the central file comes last, and nothing is deleted.
fn revert(data: &Path, now: Timestamp) -> anyhow::Result<ExitCode> {
    ensure!(
        !is_kept_in_store(data),
        "an object store has all states of this instance: use `cx-engine cluster restore --at` with a moment before the \
         update"
    );
    let copies = UpdateCopies::of_data_dir(data).list()?;
    // Where there are copies but no central file, an earlier run of this command was cut off.
    if copies.is_empty() {
        instance::require_instance(data)?;
        bail!("no file was updated in the last 30 days, so nothing can be put back");
    }
    let _lock = instance::lock_data_dir(data)?;
    let mut reverted = BTreeMap::<String, (PathBuf, UpdateCopy)>::new();
    // The copies of the newest versions come first.
    for copy in copies {
        let Some(path) = place_of(data, &copy.file) else { continue };
        let version = if path.exists() { storage::read_version(&path)? } else { i64::MAX };
        if copy.version < version {
            reverted.entry(copy.file.clone()).or_insert((path, copy));
        }
    }
    ensure!(!reverted.is_empty(), "all files are as before their last update, or older");
    // False sorts first.
    let mut ordered: Vec<_> = reverted.values().collect();
    ordered.sort_by_key(|(_, copy)| copy.file == CENTRAL);
    for (path, copy) in ordered {
        let aside = data.join("set-aside").join(format!("{}-{}.sqlite", copy.file, now.seconds()));
        lifecycle::move_file(path, &aside)?;
        durable_fs::rename(&copy.path, path)?;
    }
    let workspaces = reverted.keys().filter(|file| *file != CENTRAL).count();
    outln!("{} as before the update", counted(workspaces, "workspace"));
    if let Some((_, central)) = reverted.get(CENTRAL) {
        outln!("central file as before the update: version {}", central.version);
    }
    outln!("What was written since the update is in {}.", data.join("set-aside").display());
    outln!("Start the program that you had before. This one would update the files again.");
    Ok(ExitCode::SUCCESS)
}

const CENTRAL: &str = "central";

/// Whether an object store keeps the files. Then they are not copied.
fn is_kept_in_store(data: &Path) -> bool {
    storage::is_stored(&data.join("central.sqlite"))
}

/// The path of a file of the data directory, in service or in the trash. `None` for a name that no file has.
fn place_of(data: &Path, file: &str) -> Option<PathBuf> {
    if file == CENTRAL {
        return Some(data.join("central.sqlite"));
    }
    let id = file.parse().ok()?;
    let (live, trashed) = (lifecycle::live_path(data, id), lifecycle::trash_path(data, id));
    Some(if trashed.exists() && !live.exists() { trashed } else { live })
}

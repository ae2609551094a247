//! `cx-engine cluster`: the object store that keeps the data of an instance.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use indicatif::HumanBytes;
use jiff::tz::TimeZone;
use serde::Serialize;
use uuid::Uuid;

use super::BadSettings;
use super::backup::{bar, counted};
use super::owner;
use super::table::aligned;
use crate::auth::NodeKey;
use crate::cli::output::{errln, out, outln};
use crate::cluster::{self, DataDirStatus, FileLog, NodeNotifier, NodeStatus, Placement, StoreStatus, StoredFile};
use crate::config::Config;
use crate::durable_fs;
use crate::instance;
use crate::object_store::{ObjectStore, ProbeStep};
use crate::values::Timestamp;

/// Files that `status` lists as text.
const LISTED: usize = 20;

/// The nodes have so long to hand over shards.
const LONGEST_MOVE: Duration = Duration::from_secs(60);

#[derive(clap::Subcommand)]
pub enum ClusterCommand {
    /// Check that the object store can be used: write, change, list and delete objects below probe/ in it
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the object store has: last commit, snapshot and size of each file, and what it does not have yet
    Status {
        /// Print JSON, with all files
        #[arg(long)]
        json: bool,
    },
    /// Restore everything from the object store into a new data directory, or one workspace into a file
    Restore {
        /// Folder to restore into; a data directory must be new or empty
        #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
        into: PathBuf,
        /// Restore the state at this moment, or at the end of this day (UTC) [default: the newest state]
        #[arg(long, value_name = "WHEN")]
        at: Option<String>,
        /// Restore only the workspace with this id, as FOLDER/ID.sqlite, for `workspace restore-file`
        #[arg(long, value_name = "ID")]
        workspace: Option<Uuid>,
    },
    /// Let another node serve the workspaces of a shard
    Move {
        /// The shard: the last two digits of the ids of its workspaces, or the id of one of them
        shard: String,
        /// Name of the node
        node: String,
    },
    /// Let the other nodes serve everything that a node serves, and wait until they do; then it can be stopped
    Drain {
        /// Name of the node [default: this one]
        node: Option<String>,
    },
    /// Make the data directory independent of the object store; no server may run on it
    Leave,
}

/// The store and the data directory, as `--json` prints them.
#[derive(Serialize)]
struct StatusReport {
    url: String,
    #[serde(flatten)]
    store: StoreStatus,
    /// The bytes of all objects of all files.
    bytes: u64,
    /// Null if there is no data directory, or if it cannot be read.
    data_dir: Option<DataDirStatus>,
    data_dir_problem: Option<String>,
}

/// A step, as `--json` prints it.
#[derive(Serialize)]
struct StepLine {
    step: &'static str,
    milliseconds: u64,
    ok: bool,
    problem: Option<String>,
}

pub fn run(command: &ClusterCommand, config: &Config, now: Timestamp) -> anyhow::Result<ExitCode> {
    match command {
        ClusterCommand::Check { json } => check(config, *json),
        ClusterCommand::Status { json } => status(config, *json),
        ClusterCommand::Restore { into, at, workspace } => {
            let store = open(config)?;
            owner::check(into)?;
            let at = at.as_deref().map(|at| Timestamp::first_and_last(at, &TimeZone::UTC)).transpose();
            let at = at.map_err(|said| anyhow!("--at {said}"))?.map(|(_, last)| last);
            match workspace {
                Some(id) => restore_workspace(&store, into, *id, at)?,
                None => return restore_all(&store, into, at),
            }
            Ok(ExitCode::SUCCESS)
        }
        ClusterCommand::Move { shard, node } => move_shard(config, shard, node, now),
        ClusterCommand::Drain { node } => drain(config, node.as_deref().unwrap_or(&config.node_name), now),
        ClusterCommand::Leave => leave(config),
    }
}

fn check(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let store = open(config)?;
    let mut lines = Vec::new();
    let probed = store.probe(&config.node_name, &mut |step| {
        let line = StepLine::of(step);
        if !as_json {
            outln!("{:>6} ms  {:<6}  {}", line.milliseconds, if line.ok { "ok" } else { "failed" }, line.step);
        }
        lines.push(line);
    });
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&lines)?);
    }
    match probed {
        Ok(()) => {
            if !as_json {
                outln!("the object store can be used");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            errln!("cx-engine: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn status(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let store = open(config)?;
    let mut status = cluster::store_status(&store)?;
    let (data_dir, data_dir_problem) = match data_dir_status(&config.data_dir, &status) {
        Ok(found) => (found, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    if let Some(data_dir) = &data_dir {
        status.add_subdomains(data_dir);
    }
    let report = StatusReport {
        url: config.store.as_ref().map(|settings| settings.url.to_string()).unwrap_or_default(),
        bytes: status.files.iter().map(|file| file.bytes).sum(),
        store: status,
        data_dir,
        data_dir_problem,
    };
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print(&config.data_dir);
    }
    let broken: Vec<_> = report.store.files.iter().filter(|file| file.problem.is_some()).collect();
    for file in &broken {
        errln!("cx-engine: {}: {}", file.file, file.problem.as_deref().unwrap_or_default());
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `None` if there is no data directory.
fn data_dir_status(data: &Path, store: &StoreStatus) -> anyhow::Result<Option<DataDirStatus>> {
    if !data.join("central.sqlite").exists() {
        return Ok(None);
    }
    owner::check(data)?;
    DataDirStatus::read(data, &store.files.iter().map(|file| file.file.as_str()).collect()).map(Some)
}

impl StatusReport {
    fn print(&self, data: &Path) {
        let Self { url, store, bytes, data_dir, data_dir_problem } = self;
        outln!("{url}");
        match store.instance {
            Some(id) => {
                let segments: usize = store.files.iter().map(|file| file.segments_behind).sum();
                let (files, segments) = (counted(store.files.len(), "file"), counted(segments, "segment"));
                outln!("  instance {id}: {files}, {}, {segments} behind the last snapshots", HumanBytes(*bytes));
            }
            None => outln!("  the store is empty; a server with this store_url writes to it when it starts"),
        }
        if !store.nodes.is_empty() {
            out!("{}", node_table(&store.nodes));
        }
        if !store.files.is_empty() {
            out!("{}", table(&store.files));
        }
        if let Some(left) = store.files.len().checked_sub(LISTED + 1) {
            outln!("  and {} that changed earlier; --json lists all", counted(left + 1, "file"));
        }
        if let Some(problem) = data_dir_problem {
            outln!("the data directory {} cannot be read: {problem}", data.display());
        }
        let Some(data_dir) = data_dir else { return };
        if store.instance.is_some() && data_dir.instance != store.instance {
            return outln!("the data directory {} is another instance", data.display());
        }
        let not_stored = &data_dir.not_stored;
        if !not_stored.is_empty() {
            outln!("not in the store, of {}: {}", data.display(), counted(not_stored.len(), "file"));
        }
        for file in not_stored.iter().take(LISTED) {
            let name = file.subdomain.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            outln!("  {}{name}: {}", file.file, file.problem);
        }
    }
}

fn node_table(nodes: &[NodeStatus]) -> String {
    let row = |node: &NodeStatus| {
        let state = match (node.has_left, node.is_draining) {
            (true, _) => "has left",
            (false, true) => "draining",
            (false, false) => "",
        };
        let central = if node.is_central { "yes" } else { "-" };
        [&node.name, &node.url, &node.version, &node.shards.to_string(), central, state].map(str::to_owned).to_vec()
    };
    aligned(&["NODE", "URL", "VERSION", "SHARDS", "CENTRAL", "STATE"], &nodes.iter().map(row).collect::<Vec<_>>())
}

/// The files that changed last.
fn table(files: &[StoredFile]) -> String {
    let mut files: Vec<&StoredFile> = files.iter().collect();
    files.sort_by_key(|file| Reverse(file.last_commit_at));
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".into(), |at| at.to_string());
    let row = |file: &&StoredFile| {
        vec![
            file.file.clone(),
            file.subdomain.clone().unwrap_or_else(|| "-".into()),
            file.segment.map_or_else(|| "-".into(), |number| number.to_string()),
            time(file.last_commit_at),
            time(file.snapshot_at),
            file.snapshot_bytes.map_or_else(|| "-".into(), |bytes| HumanBytes(bytes).to_string()),
            file.segments_behind.to_string(),
            HumanBytes(file.bytes).to_string(),
        ]
    };
    let headings = ["FILE", "SUBDOMAIN", "SEGMENT", "LAST COMMIT", "SNAPSHOT", "SIZE", "BEHIND", "ALL OBJECTS"];
    aligned(&headings, &files.iter().take(LISTED).map(row).collect::<Vec<_>>())
}

fn restore_all(store: &ObjectStore, into: &Path, at: Option<Timestamp>) -> anyhow::Result<ExitCode> {
    let is_free = !into.exists() || fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(is_free, "{} is not empty: restore into a new folder", into.display());
    ensure!(cluster::stored_instance(store)?.is_some(), "the store is empty");
    let bar = bar(0)?;
    let (mut files, mut missing, mut problems, mut last) = (0, Vec::new(), Vec::new(), None);
    let restored = cluster::restore(store, into, at, &mut |restored| {
        bar.set_length(restored.of as u64);
        bar.set_position(restored.done as u64);
        match (&restored.problem, restored.at) {
            (Some(problem), _) => problems.push(format!("{}: {problem}", restored.file)),
            (None, Some(_)) => files += 1,
            (None, None) => missing.push(restored.file.clone()),
        }
        last = last.max(restored.at);
    });
    bar.finish_and_clear();
    restored
        .with_context(|| format!("cannot restore into {}; delete that folder before the next try", into.display()))?;
    let last = last.map(|last| format!("; the last commit is from {last}")).unwrap_or_default();
    outln!("restored {} and the keys into {}{last}", counted(files, "file"), into.display());
    for file in missing {
        outln!("  the store has no file of the workspace {file} from that time");
    }
    outln!("  it is not tied to the store: serve it without store_url, or with another bucket or prefix");
    outln!("  to take one workspace back: cx-engine cluster restore --workspace ID --at WHEN --into FOLDER");
    for problem in &problems {
        errln!("cx-engine: {problem}");
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    errln!("cx-engine: the restore is incomplete: {} missing", counted(problems.len(), "workspace"));
    Ok(ExitCode::FAILURE)
}

fn restore_workspace(store: &ObjectStore, into: &Path, id: Uuid, at: Option<Timestamp>) -> anyhow::Result<()> {
    let (file, path) = (id.to_string(), into.join(format!("{id}.sqlite")));
    ensure!(!path.exists(), "{} exists already", path.display());
    if !into.exists() {
        durable_fs::create_private_folder(into)?;
    }
    let Some(rebuilt) = FileLog::of(store, &file)?.rebuild(&path, at)? else {
        match at {
            Some(at) => bail!("the store has nothing of the workspace {id} from {at} or before"),
            None => bail!("the store has no workspace {id}; `cx-engine cluster status --json` lists them"),
        }
    };
    outln!("restored {}; its last commit is from {}", path.display(), rebuilt.at);
    outln!("  put it into service: cx-engine workspace restore-file {id} {}", path.display());
    Ok(())
}

fn move_shard(config: &Config, shard: &str, node: &str, now: Timestamp) -> anyhow::Result<ExitCode> {
    let store = open(config)?;
    let number = parse_shard(shard).with_context(|| {
        format!("{shard} is no shard: it has two digits from 0 to f, such as 0c; or name a workspace's id")
    })?;
    cluster::change_placement(&store, |placement| placement.mark_for(number, node))?;
    tell_nodes(config, &store, now)?;
    wait_for(&store, |placement| placement.shard(number).owner == node)?;
    outln!("{node} serves the shard {number:02x}");
    Ok(ExitCode::SUCCESS)
}

fn parse_shard(text: &str) -> Option<u8> {
    match text.parse() {
        Ok(id) => Some(cluster::shard_of(id)),
        Err(_) => (text.len() == 2).then(|| u8::from_str_radix(text, 16).ok()).flatten(),
    }
}

fn drain(config: &Config, node: &str, now: Timestamp) -> anyhow::Result<ExitCode> {
    let store = open(config)?;
    cluster::change_placement(&store, |placement| placement.start_draining(node))?;
    tell_nodes(config, &store, now)?;
    wait_for(&store, |placement| placement.owned_by(node).next().is_none() && placement.central != node)?;
    outln!("{node} serves no workspace any more; it can be stopped");
    Ok(ExitCode::SUCCESS)
}

/// Tells the nodes that the placement has changed. One that is not told finds out in its next round.
fn tell_nodes(config: &Config, store: &ObjectStore, now: Timestamp) -> anyhow::Result<()> {
    let Some(settings) = &config.node else { return Ok(()) };
    let key = NodeKey::open(&settings.secret_file)?;
    let notifier = NodeNotifier::new(key, config.node_name.clone(), settings.root.clone());
    for (node, _) in cluster::read_nodes(store)?.into_values().filter(|(node, _)| !node.has_left) {
        let _ = notifier.notify(&node.url, now);
    }
    Ok(())
}

/// Waits until the placement is as it should be.
fn wait_for(store: &ObjectStore, is_done: impl Fn(&Placement) -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let (placement, _) = cluster::read_placement(store)?.context("no nodes serve this instance together")?;
        if is_done(&placement) {
            return Ok(());
        }
        ensure!(
            began.elapsed() < LONGEST_MOVE,
            "the nodes have not done this within {} s; they may still do it: see `cx-engine cluster status`",
            LONGEST_MOVE.as_secs()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn leave(config: &Config) -> anyhow::Result<ExitCode> {
    let data = &config.data_dir;
    owner::check(data)?;
    instance::require_instance(data)?;
    let _lock = instance::lock_data_dir(data)?;
    match cluster::leave(data)? {
        0 => outln!("no file of {} is kept in a store", data.display()),
        left => {
            outln!("{} is independent of the store: {}", data.display(), counted(left, "file"));
            outln!("  the store keeps what it has; remove store_url from the settings before the next start");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The object store of the settings. Without one, or with unusable key files, the settings are wrong.
fn open(config: &Config) -> anyhow::Result<ObjectStore> {
    let Some(settings) = &config.store else {
        let missing = "no object store is configured: set store_url, store_key_file and store_secret_file";
        return Err(BadSettings(missing.to_owned()).into());
    };
    ObjectStore::open(settings).map_err(BadSettings::from)
}

impl StepLine {
    fn of(step: ProbeStep) -> Self {
        Self {
            step: step.name,
            milliseconds: u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
            ok: step.failure.is_none(),
            problem: step.failure,
        }
    }
}

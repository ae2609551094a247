//! What a store has of an instance, and what a data directory has beyond that. Nothing here writes to either.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use uuid::Uuid;

use super::nodes::{StoredNode, read_nodes, read_placement};
use super::rebuild::{FileLog, at_once};
use super::restore_instance::files_of;
use super::segment::read_segment_header;
use super::store_log::name_of;
use super::stored_instance;
use crate::object_store::ObjectStore;
use crate::storage::{self, StoredState, uuid_column};
use crate::tenancy::InstanceRecord;
use crate::values::Timestamp;

/// What a store has.
#[derive(Debug, Serialize)]
pub struct StoreStatus {
    /// The instance of the store. Null for an empty store.
    pub instance: Option<Uuid>,
    /// The nodes that serve together, in the order of their names. Empty if one server serves alone.
    pub nodes: Vec<NodeStatus>,
    /// In the order of their names.
    pub files: Vec<StoredFile>,
}

/// A node.
#[derive(Debug, Serialize)]
pub struct NodeStatus {
    pub name: String,
    pub url: String,
    pub version: String,
    /// Number of the shards that it serves, of 256.
    pub shards: usize,
    /// Whether it prefers the requests of the central host, and sends mail.
    pub is_central: bool,
    pub is_draining: bool,
    pub has_left: bool,
}

/// What a store has of one file.
#[derive(Debug, Serialize)]
pub struct StoredFile {
    /// `central`, or the id of a workspace.
    pub file: String,
    /// The subdomain of the workspace, if the data directory knows it.
    pub subdomain: Option<String>,
    /// Number of the last segment.
    pub segment: Option<u64>,
    /// The time of the last commits.
    pub last_commit_at: Option<Timestamp>,
    /// The time of the last snapshot, and the bytes of its object.
    pub snapshot_at: Option<Timestamp>,
    pub snapshot_bytes: Option<u64>,
    /// Segments behind the last snapshot.
    pub segments_behind: usize,
    /// The bytes of all objects of the file.
    pub bytes: u64,
    /// Why the log of the file cannot be read.
    pub problem: Option<String>,
}

/// A data directory in relation to a store.
#[derive(Debug, Serialize)]
pub struct DataDirStatus {
    pub instance: Option<Uuid>,
    /// Files whose state is not in the store. What the WAL of a file has beyond the store is known to the server alone.
    pub not_stored: Vec<LocalFile>,
    /// Subdomains of workspaces, by id.
    #[serde(skip)]
    subdomains: HashMap<String, String>,
}

/// A file of a data directory.
#[derive(Debug, Serialize)]
pub struct LocalFile {
    pub file: String,
    pub subdomain: Option<String>,
    pub path: PathBuf,
    pub problem: &'static str,
}

/// Reads what a store has of each file.
pub fn store_status(store: &ObjectStore) -> anyhow::Result<StoreStatus> {
    let instance = stored_instance(store)?;
    let names = store.list_folders("files/").context("cannot list the store")?;
    let files = at_once(&names, |name| StoredFile::read(store, name));
    Ok(StoreStatus { instance, nodes: node_statuses(store)?, files })
}

fn node_statuses(store: &ObjectStore) -> anyhow::Result<Vec<NodeStatus>> {
    let placement = read_placement(store)?.filter(|(placement, _)| !placement.is_over);
    let Some((placement, _)) = placement else { return Ok(Vec::new()) };
    let status = |(name, (node, _)): (String, (StoredNode, _))| NodeStatus {
        shards: placement.owned_by(&name).count(),
        is_central: placement.central == name,
        is_draining: placement.draining.contains(&name),
        has_left: node.has_left,
        url: node.url,
        version: node.version,
        name,
    };
    Ok(read_nodes(store)?.into_iter().map(status).collect())
}

impl StoreStatus {
    /// Adds the subdomains that the data directory knows, if it is the same instance.
    pub fn add_subdomains(&mut self, data: &DataDirStatus) {
        if data.instance.is_some() && data.instance == self.instance {
            for file in &mut self.files {
                file.subdomain = data.subdomains.get(&file.file).cloned();
            }
        }
    }
}

impl StoredFile {
    fn read(store: &ObjectStore, name: &str) -> Self {
        let mut file = Self {
            file: name.to_owned(),
            subdomain: None,
            segment: None,
            last_commit_at: None,
            snapshot_at: None,
            snapshot_bytes: None,
            segments_behind: 0,
            bytes: 0,
            problem: None,
        };
        if let Err(error) = file.fill(store) {
            file.problem = Some(format!("{error:#}"));
        }
        file
    }

    fn fill(&mut self, store: &ObjectStore) -> anyhow::Result<()> {
        let name = self.file.clone();
        let log = FileLog::of(store, &name)?;
        let segments = log.segments(0)?;
        self.bytes =
            segments.values().sum::<u64>() + log.snapshots().iter().map(|snapshot| snapshot.bytes).sum::<u64>();
        let last = log.snapshots().last();
        (self.snapshot_at, self.snapshot_bytes) = (last.map(|last| last.at), last.map(|last| last.bytes));
        let behind = last.map_or(0, |last| last.segment + 1);
        self.segments_behind = segments.range(behind..).count();
        self.segment = segments.keys().next_back().copied();
        if let Some(number) = self.segment {
            let header = read_segment_header(&log.segment(number)?).with_context(|| format!("segment {number}"))?;
            self.last_commit_at = Some(header.at);
        }
        Ok(())
    }
}

impl DataDirStatus {
    /// Compares a data directory with the names of the files that its store has.
    pub fn read(data: &Path, stored: &BTreeSet<&str>) -> anyhow::Result<Self> {
        let central = data.join("central.sqlite");
        let record = InstanceRecord::of_data_dir(data).context("cannot read the central file")?;
        let subdomains = subdomains(&central).context("cannot read the central file")?;
        let mut not_stored = Vec::new();
        for path in files_of(data)? {
            let file = name_of(&path);
            // Workspaces are created from a template, which is of no workspace.
            if path != central && file.parse::<Uuid>().is_err() {
                continue;
            }
            let problem = match StoredState::read(&path)? {
                None => "it was not opened by a server with this store yet",
                Some(StoredState::Newer) => "it is newer than all that the store has of it",
                Some(StoredState::At(_)) if !stored.contains(file.as_str()) => "the store has nothing of it",
                Some(StoredState::At(_)) => continue,
            };
            not_stored.push(LocalFile { subdomain: subdomains.get(&file).cloned(), file, path, problem });
        }
        Ok(Self { instance: record.map(|record| record.id), not_stored, subdomains })
    }
}

fn subdomains(central: &Path) -> anyhow::Result<HashMap<String, String>> {
    let db = storage::open_reader(central)?;
    let mut rows = db.prepare("SELECT id, subdomain FROM workspaces")?;
    let rows = rows.query_map([], |row| Ok((uuid_column(row, 0)?.to_string(), row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

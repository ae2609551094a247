//! The status of the running server, for `cx-engine status`. The server writes it into a file of the data directory a second
//! after its start, and then once a minute. A command reads it without a token, and also while the server does not respond.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::instance_figures;
use crate::certificates::{CertificateStore, CertificateSummary};
use crate::durable_fs;
use crate::instance::Instance;
use crate::metrics::resident_memory;
use crate::values::Timestamp;

/// The file, in the data directory.
const FILE: &str = "status.json";

/// What a server reports.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Time of the report.
    pub at: Timestamp,
    /// Version of the server, which may be older than that of the command.
    pub version: String,
    pub started_at: Timestamp,
    /// The URL of the central host.
    pub url: String,
    pub open_workspaces: usize,
    pub resident_bytes: Option<u64>,
    /// The figures of the last hour. Null in the first minute.
    pub last_hour: Option<HourFigures>,
    /// Threads that ended and should run.
    pub ended_threads: Vec<String>,
    /// The object store. Null without one.
    pub store: Option<StoreReport>,
    /// Whether the server gets certificates by ACME. The setting may be a flag of the server.
    #[serde(default)]
    pub uses_acme: bool,
}

/// The figures of the minutes since the start, at most an hour.
#[derive(Debug, Serialize, Deserialize)]
pub struct HourFigures {
    pub minutes: usize,
    /// Null while the setting `metrics` is off, like the others.
    pub requests: Option<u64>,
    pub server_errors: Option<u64>,
    /// Mean wait of a request for its turn, in milliseconds. Null if no request waited.
    pub mean_wait_ms: Option<f64>,
    /// Mean wait in the minute with the longest.
    pub longest_mean_wait_ms: Option<f64>,
}

/// The state of the object store.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoreReport {
    /// Number of files with commits that are not stored yet.
    pub waiting_files: usize,
    /// The reason why commits cannot be stored at the moment.
    pub trouble: Option<String>,
}

impl ServerStatus {
    fn of(instance: &Instance, now: Timestamp) -> Self {
        Self {
            at: now,
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: instance.started_at,
            url: instance.public_url().central(),
            open_workspaces: instance.registry.count(),
            resident_bytes: resident_memory(),
            last_hour: instance_figures::last_hour(instance),
            ended_threads: instance.supervisor.missing_threads(),
            store: instance
                .store_log
                .as_ref()
                .map(|log| StoreReport { waiting_files: log.waiting_files(), trouble: log.trouble() }),
            uses_acme: instance.certificates().is_some(),
        }
    }

    /// The last report of a server on a data directory.
    pub fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(FILE);
        let status = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(anyhow::Error::from).and_then(|text| Ok(serde_json::from_slice(&text)?)),
        };
        status.map(Some).with_context(|| format!("{} cannot be read", path.display()))
    }
}

/// The state of the certificates by ACME, of this server or of the one that runs. `None` without ACME.
pub fn certificates(instance: &Instance, now: Timestamp) -> anyhow::Result<Option<CertificateSummary>> {
    if let Some(store) = instance.certificates() {
        return Ok(Some(store.summary(now)));
    }
    let data = &instance.config.data_dir;
    let is_used_by = |server: Option<ServerStatus>| server.is_some_and(|server| server.uses_acme);
    let is_used = instance.config.acme.is_some() || instance.is_running() && is_used_by(ServerStatus::read(data)?);
    if is_used { CertificateStore::read_summary(data, now) } else { Ok(None) }
}

/// Writes the report. If that fails, the age of the last one tells.
pub fn report(instance: &Instance, now: Timestamp) {
    let path = instance.config.data_dir.join(FILE);
    let text = serde_json::to_vec(&ServerStatus::of(instance, now)).map_err(anyhow::Error::from);
    if let Err(error) = text.and_then(|text| durable_fs::write_private_file(&path, &text)) {
        tracing::debug!(error = format!("{error:#}"), "the status was not written");
    }
}

//! Information about the instance, for its operators.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::resource::Resource;
use crate::api::{Error, Needs, Ok200, Result, Route, Steps, get, steps};
use crate::storage::Kind;
use crate::values::Timestamp;

pub const RESOURCE: Resource = Resource::new("Instance", "Information about the server, for its operators.", ROUTES);

const ROUTES: &[Route] =
    &[get("/instance", &steps(show), Needs::Operator, "Show counts, versions and disk use (operators only)")
        .named("getInstance")];

#[derive(Debug, Serialize, JsonSchema)]
pub struct Instance {
    /// Version of cx-engine.
    version: &'static str,
    /// Version of SQLite.
    sqlite_version: &'static str,
    /// Schema version of the central database.
    central_schema_version: i64,
    /// Schema version of workspace databases.
    workspace_schema_version: i64,
    /// Start time of the server.
    started_at: Timestamp,
    /// Number of accounts.
    accounts: i64,
    /// Number of active and suspended workspaces.
    workspaces: i64,
    /// Number of deleted workspaces in the trash.
    workspaces_in_trash: i64,
    /// Number of workspaces whose files are open.
    open_workspaces: usize,
    /// Size of the data directory, in bytes.
    disk_bytes: u64,
}

fn show(steps: &Steps<'_>) -> Result<Ok200<Instance>> {
    let engine = steps.engine;
    let (accounts, workspaces, workspaces_in_trash) = engine.central.read(|db| {
        let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok::<_, Error>((
            count("SELECT count(*) FROM accounts")?,
            count("SELECT count(*) FROM workspaces WHERE status IN ('active', 'suspended')")?,
            count("SELECT count(*) FROM workspaces WHERE status = 'trashed'")?,
        ))
    })?;
    Ok(Ok200(Instance {
        version: env!("CARGO_PKG_VERSION"),
        sqlite_version: rusqlite::version(),
        central_schema_version: Kind::Central.version(),
        workspace_schema_version: Kind::Workspace.version(),
        started_at: engine.started_at,
        accounts,
        workspaces,
        workspaces_in_trash,
        open_workspaces: engine.registry.count(),
        disk_bytes: size(&engine.config.data_dir),
    }))
}

/// The size of the files in a folder, in bytes. A file that disappears meanwhile is not counted.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

//! The instance itself, for its operators.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{Error, Needs, Ok200, Result, Route, Steps, get, steps};
use crate::storage::Kind;
use crate::values::Timestamp;

pub const ROUTES: &[Route] =
    &[get("/instance", &steps(show), Needs::Operator, "Show counts, versions and disk use, for operators")
        .named("getInstance")];

#[derive(Debug, Serialize, JsonSchema)]
pub struct Instance {
    /// Of the program.
    version: &'static str,
    /// Of SQLite.
    sqlite_version: &'static str,
    central_schema_version: i64,
    workspace_schema_version: i64,
    started_at: Timestamp,
    accounts: i64,
    workspaces: i64,
    workspaces_in_trash: i64,
    /// Workspaces whose files are open just now.
    open_workspaces: usize,
    /// Of the data directory, in bytes.
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

/// The files below a folder, in bytes; one that goes away meanwhile is not counted.
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

//! Information about the instance, for its operators.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{BlockingCtx, Error, Needs, Ok200, Result, Route, blocking, get};
use crate::storage::FileKind;
use crate::tls_certificate;
use crate::values::Timestamp;

pub const RESOURCE: Resource =
    Resource::new("Instance", "Information about the server, for its operators.", ROUTES).fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("version", "Version", "Version"),
    labelled("sqlite_version", "Version of SQLite", "Version de SQLite"),
    labelled("central_schema_version", "Schema of the central file", "Schéma du fichier central"),
    labelled("workspace_schema_version", "Schema of workspaces", "Schéma des espaces de travail"),
    labelled("started_at", "Running since", "En marche depuis"),
    labelled("accounts", "Accounts", "Comptes"),
    labelled("workspaces", "Workspaces", "Espaces de travail"),
    labelled("workspaces_in_trash", "Workspaces in the trash", "Espaces de travail à la corbeille"),
    labelled("open_workspaces", "Open workspaces", "Espaces de travail ouverts"),
    labelled("disk_bytes", "Size on disk", "Taille sur le disque"),
    labelled("certificate_expires_at", "Certificate expires", "Fin du certificat"),
    labelled("certificates", "Valid certificates", "Certificats valides"),
    labelled("certificates_failed", "Hosts without a new certificate", "Hôtes sans nouveau certificat"),
    labelled(
        "certificate_orders_left",
        "New certificates left this week",
        "Nouveaux certificats possibles cette semaine",
    ),
];

const ROUTES: &[Route] =
    &[get("/instance", &blocking(show), Needs::Operator, "Show counts, versions and disk use (operators only)")
        .named("getInstance")];

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Instance")]
pub struct InstanceInfo {
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
    /// End of the TLS certificate (UTC); of several, the first end. Null if the server has none, or if its file cannot be
    /// read.
    certificate_expires_at: Option<Timestamp>,
    /// Number of valid certificates that the server got by ACME. Null without `acme_email`.
    certificates: Option<usize>,
    /// Number of hosts that got no certificate by their last order. Null without `acme_email`.
    certificates_failed: Option<usize>,
    /// Number of hosts that can still get their first certificate this week. Null without `acme_email`.
    certificate_orders_left: Option<usize>,
}

fn show(ctx: &BlockingCtx<'_>) -> Result<Ok200<InstanceInfo>> {
    let instance = ctx.instance;
    let (accounts, workspaces, workspaces_in_trash) = instance.central.read(|db| {
        let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok::<_, Error>((
            count("SELECT count(*) FROM accounts")?,
            count("SELECT count(*) FROM workspaces WHERE status IN ('active', 'suspended')")?,
            count("SELECT count(*) FROM workspaces WHERE status = 'trashed'")?,
        ))
    })?;
    let certificates = instance.certificates().map(|store| store.summary(ctx.now));
    Ok(Ok200(InstanceInfo {
        version: env!("CARGO_PKG_VERSION"),
        sqlite_version: rusqlite::version(),
        central_schema_version: FileKind::Central.version(),
        workspace_schema_version: FileKind::Workspace.version(),
        started_at: instance.started_at,
        accounts,
        workspaces,
        workspaces_in_trash,
        open_workspaces: instance.registry.count(),
        disk_bytes: size(&instance.config.data_dir),
        certificate_expires_at: match &certificates {
            Some(summary) => summary.expires_at,
            None => tls_certificate::expires_at(instance.config.tls.as_ref()),
        },
        certificates: certificates.as_ref().map(|summary| summary.valid),
        certificates_failed: certificates.as_ref().map(|summary| summary.failed),
        certificate_orders_left: certificates.as_ref().map(|summary| summary.orders_left),
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

//! cx-engine: a customer-experience platform's API as one program. The rooms, in the order to read them:

/// Small types with rules: e-mail addresses, phone numbers, subdomains, moments.
pub mod values;

/// Files and folders that a power loss cannot take back.
pub mod durable_fs;

/// One SQLite file: lanes, batched writes, migrations. The only room that opens a connection.
pub mod storage;

/// Workspaces as tenants: hosts, the directory of names and tokens, the registry of open files, a file's life.
pub mod tenancy;

/// Who is asking: passwords, tokens and their keys, permissions.
pub mod auth;

/// What was typed, and what it means.
pub mod config;

/// What is counted as it happens, for `/metrics`.
pub mod meter;

/// Where handlers run.
pub mod executors;

/// State that is only in memory.
pub mod node_state;

/// One instance: a data directory, opened.
pub mod engine;

/// The language that endpoints are written in: routes, inputs, replies, errors, lists, OpenAPI.
pub mod api;

/// The central API, one file a resource.
pub mod central;

/// The workspace API, one file a resource.
pub mod workspace;

/// The smart-routing API, one file a resource.
pub mod routing;

/// What people see: the description of the API, also for programs, and the pages that mails lead to.
pub mod pages;

/// What runs without a request.
pub mod jobs;

/// Backups of an instance or of one workspace: made, looked over, put back.
pub mod backups;

/// The async front: the only room that knows hyper and tokio.
pub mod server;

/// The command line, one file a command.
pub mod cli;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod walk;

/// The table of every route, both layers.
pub fn router() -> anyhow::Result<api::Router> {
    let central = [central::RESOURCES, pages::RESOURCES, &[pages::STYLE], pages::MAILED].concat();
    let workspace =
        [workspace::RESOURCES, routing::RESOURCES, pages::RESOURCES, &[pages::STYLE], pages::SIGNED_IN].concat();
    api::Router::new(&central, &workspace)
}

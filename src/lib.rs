//! cx-engine: the API of a customer-experience platform as one program. The modules, in reading order:

/// Small types with rules: email addresses, phone numbers, subdomains, timestamps.
pub mod values;

/// Files and folders that a power loss cannot take back.
pub mod durable_fs;

/// HTTP clients, and programs of the operator.
pub mod outgoing;

/// A client of the S3 API, with conditional requests.
pub mod object_store;

/// Destinations outside this machine for encrypted backups.
pub mod offsite;

/// Single sign-on with OpenID Connect: the providers, and what they say about a person.
pub mod openid;

/// One SQLite file: lanes, batched writes, migrations. Only this module opens connections.
pub mod storage;

/// Workspaces as tenants: hosts, the directory of names and tokens, the registry of open files, the lifecycle of a
/// file.
pub mod tenancy;

/// Authentication and authorization: passwords, tokens and their keys, permissions.
pub mod auth;

/// The settings, as written and as parsed.
pub mod config;

/// The log of all files in an object store.
pub mod cluster;

/// The TLS certificate of the settings.
pub mod tls_certificate;

/// Certificates by ACME: when each is ordered, and their files.
pub mod certificates;

/// Metrics for `/metrics` that are counted when they happen.
pub mod metrics;

/// Where handlers run.
pub mod executors;

/// State that is only in memory.
pub mod node_state;

/// An instance: an open data directory.
pub mod instance;

/// The framework of endpoints: routes, inputs, responses, errors, lists, OpenAPI.
pub mod api;

/// The central API, one file per resource.
pub mod central;

/// The workspace API, one file per resource.
pub mod workspace;

/// The smart-routing API, one file per resource.
pub mod routing;

/// Finds and fixes the problems of an instance: damaged files, interrupted operations.
pub mod findings;

/// Pages for people: the API reference, which programs can read too, and the pages to which mails link.
pub mod pages;

/// Background jobs, which run without a request.
pub mod jobs;

/// Backups of an instance or of one workspace: take, verify, restore.
pub mod backups;

/// The async front end. Only this module uses hyper and tokio.
pub mod server;

/// The command line, one file per command.
pub mod cli;

#[cfg(test)]
mod tests;

/// The resources of the central API.
pub fn central_resources() -> impl Iterator<Item = &'static api::Resource> {
    [central::RESOURCES, backups::RESOURCES, findings::RESOURCES].into_iter().flatten()
}

/// The table of every route, of both layers.
pub fn router() -> anyhow::Result<api::Router> {
    // The pages of each layer follow from its OpenAPI document. Both are made at once: this is most of the start.
    let (console_of_workspace, console_of_central) = std::thread::scope(|scope| {
        let central = scope.spawn(pages::console_of_central);
        (pages::console_of_workspace(), central.join())
    });
    let console_of_central = console_of_central.map_err(|_| anyhow::anyhow!("the central console cannot be made"))?;
    let of_central: Vec<_> = central_resources().copied().collect();
    let central =
        [&of_central, pages::RESOURCES, &[pages::STYLE], pages::MAILED, pages::CENTRAL_SIGN_IN, &console_of_central]
            .concat();
    let workspace = [
        workspace::RESOURCES,
        routing::RESOURCES,
        pages::RESOURCES,
        &[pages::STYLE],
        pages::SIGNED_IN,
        &console_of_workspace,
    ]
    .concat();
    api::Router::new(&central, &workspace)?.with_root(&[pages::FRONT_DOOR, server::OPERATIONS])
}

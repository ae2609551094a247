//! `cx-engine serve`

use std::sync::Arc;
use std::time::Instant;

use super::{demo, output};
use crate::backups::RemoteRepository;
use crate::cluster::{self, Claim, ClaimWaiter, StoreLog};
use crate::config::Config;
use crate::instance::{self, Instance};
use crate::jobs::backup_alerts;
use crate::object_store::{ObjectStore, StoreError};
use crate::server::{self, ConfigSource, Front, Listening};
use crate::values::Timestamp;

pub fn run(config: Config, source: ConfigSource, now: Timestamp) -> anyhow::Result<()> {
    let _log = server::start_log(&config);
    if let Some(offsite) = config.offsite()? {
        RemoteRepository::open(&offsite)?;
    }
    backup_alerts::check(&config)?;
    let front = Front::open(&config)?;
    let lock = instance::lock_data_dir(&config.data_dir)?;
    let log = match cluster::open_store(&config)? {
        Some(store) => Some(start_log(&config, store, &front)?),
        None => None,
    };
    let instance = Instance::open_to_serve(config, log, now)?;
    if let Some(log) = &instance.store_log {
        cluster::claim(log.store(), instance.record.id)?;
    }
    demo::check_password(&instance)?;
    server::run(instance, front, lock, source, crate::router()?, announce)
}

/// Starts the log once this server may serve. Until then it stands by.
fn start_log(config: &Config, store: Arc<ObjectStore>, front: &Front) -> anyhow::Result<Arc<StoreLog>> {
    let claim = match ClaimWaiter::new(config, &store)? {
        None => Claim::Alone(0),
        Some(mut waiter) => match waiter.attempt(Instant::now())? {
            Ok(claim) => claim,
            Err(node) => {
                tracing::info!(node, "another server serves; this one stands by");
                notify_systemd("standing by\n");
                let claim = front.stand_by(waiter.interval(), || match waiter.attempt(Instant::now()) {
                    Ok(claim) => Ok(claim.ok()),
                    Err(error) if error.is::<StoreError>() => {
                        tracing::warn!(error = format!("{error:#}"), "the lease was not read");
                        Ok(None)
                    }
                    Err(error) => Err(error),
                })?;
                tracing::info!("this server takes over");
                claim
            }
        },
    };
    cluster::start(config, store, claim, Timestamp::now)
}

/// Prints the line that signals that the server is ready.
pub fn announce(listening: Listening) {
    notify_systemd(&format!("listening on {listening}\n"));
}

/// Prints a line at the start of a server. An error is only logged.
pub fn notify_systemd(text: &str) {
    if let Err(error) = output::try_print(format_args!("{text}")) {
        tracing::warn!(%error, "cannot write to stdout");
    }
}

//! `cx-engine serve`

use super::{demo, output};
use crate::cluster::{self, Restored};
use crate::config::Config;
use crate::instance::{self, Instance};
use crate::server::{self, ConfigSource, Front, Listening};
use crate::values::Timestamp;

pub fn run(config: Config, source: ConfigSource, now: Timestamp) -> anyhow::Result<()> {
    let _log = server::start_log(&config);
    let front = Front::open(&config)?;
    let lock = instance::lock_data_dir(&config.data_dir)?;
    let log = cluster::start(&config, Timestamp::now, report_restored)?;
    let instance = Instance::open_to_serve(config, log, now)?;
    if let Some(log) = &instance.store_log {
        cluster::claim(log.store(), instance.record.id)?;
    }
    demo::check_password(&instance)?;
    server::run(instance, front, lock, source, crate::router()?, announce)
}

fn report_restored(restored: &Restored) {
    let Restored { file, done, of, problem, .. } = restored;
    match problem {
        None => tracing::info!(file, "restored {done} of {of} files"),
        Some(problem) => tracing::error!(file, problem, "not restored; the other files are served"),
    }
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

//! `cx-engine serve`

use super::{demo, output};
use crate::config::Config;
use crate::instance::Instance;
use crate::server::{self, ConfigSource, Front, Listening};
use crate::values::Timestamp;

pub fn run(config: Config, source: ConfigSource, now: Timestamp) -> anyhow::Result<()> {
    let _log = server::start_log(&config);
    let front = Front::open(&config)?;
    let instance = Instance::open_or_create(config, now)?;
    demo::check_password(&instance)?;
    server::run(instance, front, source, crate::router()?, announce)
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

//! `cx-engine serve`

use super::{demo, output};
use crate::config::Config;
use crate::engine::Engine;
use crate::server::{self, Front, Listening, Source};
use crate::values::Timestamp;

pub fn run(config: Config, source: Source, now: Timestamp) -> anyhow::Result<()> {
    let _log = server::start_log(&config);
    let front = Front::open(&config)?;
    let engine = Engine::open_or_create(config, now)?;
    demo::check_password(&engine)?;
    server::run(engine, front, source, crate::router()?, announce)
}

/// Prints the line that signals that the server is ready.
pub fn announce(listening: Listening) {
    tell(&format!("listening on {listening}\n"));
}

/// Prints a line at the start of a server. An error is only logged.
pub fn tell(text: &str) {
    if let Err(error) = output::try_print(format_args!("{text}")) {
        tracing::warn!(%error, "cannot write to stdout");
    }
}

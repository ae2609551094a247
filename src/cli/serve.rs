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

/// The one line that whoever started the server waits for.
pub fn announce(listening: Listening) {
    tell(&format!("listening on {listening}\n"));
}

/// Prints what a server says at its start. It serves also where nobody can read that.
pub fn tell(text: &str) {
    if let Err(error) = output::try_print(format_args!("{text}")) {
        tracing::warn!(%error, "stdout cannot be written to");
    }
}

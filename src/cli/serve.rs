//! `cx-engine serve`

use std::io::Write;

use crate::config::Config;
use crate::engine::Engine;
use crate::server::{self, Listening};
use crate::values::Timestamp;

pub fn run(config: Config, now: Timestamp) -> anyhow::Result<()> {
    server::start_log(&config);
    server::run(Engine::open(config, now)?, crate::router()?, announce)
}

/// The one line that whoever started the server waits for.
pub fn announce(listening: Listening) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on {listening}")?;
    stdout.flush()?;
    Ok(())
}

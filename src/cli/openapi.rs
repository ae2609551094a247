//! `cx-engine openapi`

use crate::api::{Layer, openapi};
use crate::cli::output::outln;
use crate::config::Config;

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Which {
    Central,
    Workspace,
}

pub fn run(which: Which, config: &Config) -> anyhow::Result<()> {
    let layer = match which {
        Which::Central => Layer::Central,
        Which::Workspace => Layer::Workspace,
    };
    let document = openapi::document(&crate::router()?, layer, &config.public_url(config.listen));
    outln!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}

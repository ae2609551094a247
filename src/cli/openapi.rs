//! `cx-engine openapi`

use crate::api::{Layer, openapi};
use crate::cli::output::outln;

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Which {
    Central,
    Workspace,
}

pub fn run(which: Which) -> anyhow::Result<()> {
    let layer = match which {
        Which::Central => Layer::Central,
        Which::Workspace => Layer::Workspace,
    };
    outln!("{}", serde_json::to_string_pretty(&openapi::document(&crate::router()?, layer))?);
    Ok(())
}

//! `cx-engine openapi`

use crate::api::{Layer, openapi};
use crate::cli::output::outln;
use crate::config::Config;

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum DescriptionLayer {
    Central,
    Workspace,
}

pub fn run(which: DescriptionLayer, config: &Config) -> anyhow::Result<()> {
    let layer = match which {
        DescriptionLayer::Central => Layer::Central,
        DescriptionLayer::Workspace => Layer::Workspace,
    };
    let document = openapi::document(&crate::router()?, layer, &config.public_url(config.listen));
    outln!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}

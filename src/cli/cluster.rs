//! `cx-engine cluster`: the object store that machines share.

use std::process::ExitCode;

use serde::Serialize;

use super::BadSettings;
use crate::cli::output::{errln, outln};
use crate::config::Config;
use crate::object_store::{ObjectStore, ProbeStep};

#[derive(clap::Subcommand)]
pub enum ClusterCommand {
    /// Check that the object store can be used: write, change, list and delete objects below probe/ in it
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A step, as `--json` prints it.
#[derive(Serialize)]
struct StepLine {
    step: &'static str,
    milliseconds: u64,
    ok: bool,
    problem: Option<String>,
}

pub fn run(command: &ClusterCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        ClusterCommand::Check { json } => check(config, *json),
    }
}

fn check(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let store = open(config)?;
    let mut lines = Vec::new();
    let probed = store.probe(&config.node_name, &mut |step| {
        let line = StepLine::of(step);
        if !as_json {
            outln!("{:>6} ms  {:<6}  {}", line.milliseconds, if line.ok { "ok" } else { "failed" }, line.step);
        }
        lines.push(line);
    });
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&lines)?);
    }
    match probed {
        Ok(()) => {
            if !as_json {
                outln!("the object store can be used");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            errln!("cx-engine: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The object store of the settings. Without one, or with unusable key files, the settings are wrong.
fn open(config: &Config) -> anyhow::Result<ObjectStore> {
    let Some(settings) = &config.store else {
        let missing = "no object store is configured: set store_url, store_key_file and store_secret_file";
        return Err(BadSettings(missing.to_owned()).into());
    };
    ObjectStore::open(settings).map_err(BadSettings::from)
}

impl StepLine {
    fn of(step: ProbeStep) -> Self {
        Self {
            step: step.name,
            milliseconds: u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
            ok: step.failure.is_none(),
            problem: step.failure,
        }
    }
}

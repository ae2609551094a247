//! `cx-engine doctor`: finds damaged files, operations that a crash interrupted, mail that could not be sent and a
//! certificate that ends.

use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::output::{errln, outln};
use crate::findings::{Check, Finding, FindingKind, Remedy};
use crate::instance::Instance;
use crate::values::Timestamp;

/// The exit code if problems were found.
pub const FOUND: u8 = 3;

/// A finding, as `--json` prints it.
#[derive(Serialize)]
struct FindingLine<'a> {
    what: &'a str,
    kind: FindingKind,
    problem: &'a str,
    remedy: Remedy,
    fixed: bool,
}

pub fn run(instance: &Arc<Instance>, fix: bool, as_json: bool, now: Timestamp) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} workspaces")?);
    let mut check = Check::run(instance, now, |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if fix {
        check.findings.iter_mut().try_for_each(|finding| finding.fix(instance, now))?;
    }
    // The disk may be full, which is no reason to say nothing.
    if let Err(error) = check.save(&instance.config.data_dir) {
        errln!("The result was not saved for the page of the findings: {error:#}");
    }
    if as_json {
        let is_running = instance.is_running();
        let lines: Vec<FindingLine<'_>> =
            check.findings.iter().map(|finding| FindingLine::of(finding, is_running)).collect();
        outln!("{}", serde_json::to_string_pretty(&lines)?);
    } else if check.findings.is_empty() {
        outln!("{} workspaces and the central file checked, no problems found", check.workspaces);
    } else {
        for finding in &check.findings {
            let fixed = if finding.fixed { " (fixed)" } else { "" };
            outln!("{}: {}{fixed}", finding.what, finding.problem);
        }
    }
    let sound = check.findings.iter().all(|finding| finding.fixed);
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

impl<'a> FindingLine<'a> {
    fn of(finding: &'a Finding, is_running: bool) -> Self {
        Self {
            what: &finding.what,
            kind: finding.kind,
            problem: &finding.problem,
            remedy: finding.remedy(is_running),
            fixed: finding.fixed,
        }
    }
}

//! `cx-engine status`: how the instance and its server are, on one screen, and what needs attention.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::HumanBytes;
use serde::Serialize;

use super::backup::{counted, own_repository};
use super::doctor::FOUND;
use crate::central::backup_status::BackupStatus;
use crate::central::server_status::{self, ServerStatus};
use crate::certificates::CertificateSummary;
use crate::cli::output::{out, outln};
use crate::config::Config;
use crate::findings::Check;
use crate::instance::Instance;
use crate::tls_certificate::Validity;
use crate::values::Timestamp;

/// A server reports once a minute. After this many seconds without a report it hangs.
const SILENT_AFTER: i64 = 180;

/// Hosts with a problem of their certificate that are named.
const NAMED_HOSTS: usize = 3;

/// Seconds after which the last backup is too old: two days, since the timer of the package takes one a day.
const BACKUP_TOO_OLD: i64 = 2 * 86_400;

/// The status, as `--json` prints it.
#[derive(Serialize)]
struct InstanceStatus {
    /// Version of this program.
    version: &'static str,
    is_running: bool,
    /// The last report of the server that runs. Null without one.
    server: Option<ServerStatus>,
    workspaces: WorkspaceCounts,
    /// The newest backup. Null without one.
    backup: Option<LastBackup>,
    /// Of several certificates, the first end.
    certificate_expires_at: Option<Timestamp>,
    /// The certificates by ACME. Null without ACME.
    certificates: Option<CertificateSummary>,
    mail: MailCounts,
    /// The last check by `doctor` or an operator. Null before the first.
    check: Option<LastCheck>,
    store_url: Option<String>,
    /// The place outside this machine for backups. Null without one.
    backup_to: Option<String>,
    /// The outcome of the last backups of everything.
    backup_status: BackupStatus,
    /// What needs attention.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct WorkspaceCounts {
    active: usize,
    suspended: usize,
    in_trash: usize,
}

#[derive(Serialize)]
struct LastBackup {
    name: String,
    taken_at: Timestamp,
    /// Number of workspaces that could not be read.
    failures: usize,
}

#[derive(Serialize)]
struct MailCounts {
    queued: i64,
    retried: i64,
    /// They wait for `doctor --fix`.
    dead: i64,
}

#[derive(Serialize)]
struct LastCheck {
    at: Timestamp,
    findings: usize,
}

pub fn run(instance: &Arc<Instance>, as_json: bool, now: Timestamp) -> anyhow::Result<ExitCode> {
    let status = InstanceStatus::read(instance, now)?;
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        out!("{}", status.screen(&instance.config, now));
    }
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

impl InstanceStatus {
    fn read(instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<Self> {
        let config: &Config = &instance.config;
        let mut problems = Vec::new();
        let is_running = instance.is_running();
        let server = if is_running { ServerStatus::read(&config.data_dir)? } else { None };
        problems.extend(problems_of_server(is_running, server.as_ref(), now));
        let backup = last_backup(config).unwrap_or_else(|error| {
            problems.push(format!("the backups cannot be read: {error:#}"));
            None
        });
        problems.extend(problem_of_backup(backup.as_ref(), config.store.is_some(), now));
        let outcome = instance.central.backup_status()?;
        problems.extend(outcome.trouble(config.backup_expect, now));
        let certificate = config.tls.as_ref().map(Validity::read).transpose().unwrap_or_else(|error| {
            problems.push(format!("the certificate cannot be used: {error:#}"));
            None
        });
        if let Some(certificate) = certificate.filter(|certificate| certificate.is_ending(now)) {
            problems.push(format!("the certificate must be renewed before {}", certificate.expires_at));
        }
        let certificates = server_status::certificates(instance, now).unwrap_or_else(|error| {
            problems.push(format!("the certificates cannot be read: {error:#}"));
            None
        });
        problems.extend(certificates.iter().flat_map(problems_of_certificates));
        let [queued, retried, dead] = instance.central.count_mails()?;
        if dead > 0 {
            let count = counted(usize::try_from(dead)?, "mail");
            problems.push(format!("{count} could not be sent: `cx-engine doctor --fix` tries again"));
        }
        let check = Check::last(&config.data_dir)?;
        let check = check.map(|check| LastCheck { at: check.at, findings: check.findings.len() });
        if let Some(check) = check.as_ref().filter(|check| check.findings > 0) {
            problems
                .push(format!("the last check found {}: see `cx-engine doctor`", counted(check.findings, "problem")));
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            is_running,
            server,
            workspaces: WorkspaceCounts::read(instance)?,
            backup,
            certificate_expires_at: match &certificates {
                Some(certificates) => certificates.expires_at,
                None => certificate.map(|certificate| certificate.expires_at),
            },
            certificates,
            mail: MailCounts { queued, retried, dead },
            check,
            store_url: config.store.as_ref().map(|settings| settings.url.to_string()),
            backup_to: config.backup_to.as_ref().map(ToString::to_string),
            backup_status: outcome,
            problems,
        })
    }

    fn screen(&self, config: &Config, now: Timestamp) -> String {
        let mut screen = String::new();
        let mut line = |label: &str, text: String| {
            let _ = writeln!(screen, "{label:<12} {text}");
        };
        line("version", self.version.into());
        line("data", config.data_dir.display().to_string());
        match &self.server {
            Some(server) => {
                let version = if server.version == self.version {
                    String::new()
                } else {
                    format!(", version {}", server.version)
                };
                let since = ago(server.started_at, now);
                line(
                    "server",
                    format!(
                        "running since {} ({since}){version}, reported {} ago",
                        server.started_at,
                        ago(server.at, now)
                    ),
                );
                line("address", server.url.clone());
                line("requests", server.requests());
                if let Some(bytes) = server.resident_bytes {
                    line("memory", HumanBytes(bytes).to_string());
                }
            }
            None => line("server", if self.is_running { "starting or standing by" } else { "not running" }.into()),
        }
        let WorkspaceCounts { active, suspended, in_trash } = self.workspaces;
        let open = self.server.as_ref().map(|server| format!(", {} open", server.open_workspaces)).unwrap_or_default();
        line("workspaces", format!("{active} active{open}, {suspended} suspended, {in_trash} in the trash"));
        line(
            "backup",
            match &self.backup {
                Some(backup) => format!("{}, {} ago", backup.taken_at, ago(backup.taken_at, now)),
                None => "none".into(),
            },
        );
        if let Some(place) = &self.backup_to {
            let copied = self.backup_status.taken_at.filter(|_| self.backup_status.place.is_some());
            let last = copied.map_or_else(|| "none".into(), |at| format!("{at}, {} ago", ago(at, now)));
            line("off-site", format!("{place}: {last}"));
        }
        let until = self.certificate_expires_at.map(|expires_at| format!("until {expires_at}"));
        match (&self.certificates, until) {
            (Some(CertificateSummary { valid, failed, orders_left, .. }), until) => {
                let until = until.map(|until| format!(", the first {until}")).unwrap_or_default();
                line(
                    "certificates",
                    format!("{valid} valid{until}; {failed} failed; {orders_left} new ones left this week"),
                );
            }
            (None, Some(until)) => line("certificate", until),
            (None, None) => {}
        }
        let MailCounts { queued, retried, dead } = self.mail;
        line("mail", format!("{queued} queued, {retried} retried, {dead} dead"));
        line(
            "findings",
            match &self.check {
                Some(check) => format!("{} in the check of {}", check.findings, check.at),
                None => "never checked: `cx-engine doctor` does".into(),
            },
        );
        if let Some(url) = &self.store_url {
            let waiting = self.server.as_ref().and_then(|server| server.store.as_ref());
            let waiting = waiting.map(|store| format!(", {} waiting", counted(store.waiting_files, "file")));
            line("store", format!("{url}{}", waiting.unwrap_or_default()));
        }
        for problem in &self.problems {
            line("attention", problem.clone());
        }
        screen
    }
}

impl ServerStatus {
    /// The requests of the last hour, and their waits.
    fn requests(&self) -> String {
        let Some(hour) = &self.last_hour else { return "not counted yet".into() };
        let (Some(requests), Some(errors)) = (hour.requests, hour.server_errors) else {
            return "not counted: the setting `metrics` is off".into();
        };
        let ms = |wait: Option<f64>| wait.unwrap_or_default();
        let (mean, longest) = (ms(hour.mean_wait_ms), ms(hour.longest_mean_wait_ms));
        format!(
            "{requests} in {}, {errors} server errors; mean wait {mean:.2} ms, {longest:.2} ms in the slowest minute",
            counted(hour.minutes, "minute")
        )
    }
}

impl WorkspaceCounts {
    fn read(instance: &Instance) -> anyhow::Result<Self> {
        let statuses = instance.central.workspace_statuses()?;
        let count = |wanted: &str| statuses.iter().filter(|(_, status)| status == wanted).count();
        Ok(Self { active: count("active"), suspended: count("suspended"), in_trash: count("trashed") })
    }
}

fn problems_of_server(is_running: bool, server: Option<&ServerStatus>, now: Timestamp) -> Vec<String> {
    if !is_running {
        return vec!["no server runs on the data directory".into()];
    }
    let Some(server) = server else { return Vec::new() };
    let mut problems = Vec::new();
    if now.seconds() - server.at.seconds() > SILENT_AFTER {
        problems.push(format!("the server has not reported for {}", ago(server.at, now)));
    }
    if !server.ended_threads.is_empty() {
        problems.push(format!("threads of the server have ended: {}", server.ended_threads.join(", ")));
    }
    if let Some(trouble) = server.store.as_ref().and_then(|store| store.trouble.as_ref()) {
        problems.push(format!("commits cannot be stored: {trouble}"));
    }
    problems
}

/// Hosts without a certificate, and certificates that end. The first are named.
fn problems_of_certificates(certificates: &CertificateSummary) -> Vec<String> {
    let problems = &certificates.problems;
    let named = problems.iter().take(NAMED_HOSTS).map(|found| format!("{}: {}", found.what, found.problem));
    let more = problems.len().saturating_sub(NAMED_HOSTS);
    named.chain((more > 0).then(|| format!("certificates of {more} more: see `cx-engine doctor`"))).collect()
}

fn last_backup(config: &Config) -> anyhow::Result<Option<LastBackup>> {
    let last = own_repository(config)?.list()?.own.pop();
    Ok(last.map(|backup| LastBackup {
        taken_at: backup.manifest.taken_at,
        failures: backup.manifest.failures.len(),
        name: backup.name,
    }))
}

/// An object store has all commits, so backups are optional with it.
fn problem_of_backup(backup: Option<&LastBackup>, has_store: bool, now: Timestamp) -> Option<String> {
    let Some(backup) = backup else { return (!has_store).then(|| "there is no backup".into()) };
    if backup.failures > 0 {
        return Some(format!("the last backup lacks {}", counted(backup.failures, "workspace")));
    }
    let is_old = now.seconds() - backup.taken_at.seconds() > BACKUP_TOO_OLD;
    (is_old && !has_store).then(|| format!("the last backup is {} old", ago(backup.taken_at, now)))
}

/// The time since a moment, in its largest unit.
fn ago(moment: Timestamp, now: Timestamp) -> String {
    let seconds = usize::try_from(now.seconds() - moment.seconds()).unwrap_or(0);
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    match units.into_iter().find(|(length, _)| seconds >= *length) {
        Some((length, unit)) => counted(seconds / length, unit),
        None => counted(seconds, "second"),
    }
}

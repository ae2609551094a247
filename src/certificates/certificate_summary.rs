//! How the certificates are, in a few figures: for `/metrics`, `status`, `doctor` and the console.

use serde::Serialize;

use super::order_schedule::{HostState, OrderSchedule, Retry};
use crate::values::Timestamp;

/// Problems that a summary names. The rest is counted.
const MOST_PROBLEMS: usize = 100;

/// Seconds before its end from which a certificate is a problem: two weeks.
const ENDING: i64 = 14 * 86_400;

#[derive(Debug, Clone, Serialize)]
pub struct CertificateSummary {
    /// Number of certificates that have not expired.
    pub valid: usize,
    /// Number of hosts that need a certificate which could not be got yet.
    pub failed: usize,
    /// When the first of the certificates expires.
    pub expires_at: Option<Timestamp>,
    /// Number of hosts without a certificate that can still get one this week.
    pub orders_left: usize,
    #[serde(skip)]
    pub problems: Vec<CertificateProblem>,
}

#[derive(Debug, Clone)]
pub struct CertificateProblem {
    /// The host, or the directory of the authority.
    pub what: String,
    /// A sentence about it.
    pub problem: String,
    /// Whether a certificate will expire soon. Else the host has none.
    pub is_ending: bool,
}

impl CertificateSummary {
    pub(super) fn of(schedule: &OrderSchedule, now: Timestamp) -> Self {
        let certificates = || schedule.hosts().filter_map(|(_, host)| host.certificate);
        let mut problems: Vec<_> =
            schedule.hosts().filter_map(|(name, host)| problem_of_host(name, host, now)).collect();
        let failed = schedule.hosts().filter(|(_, host)| host.retry.failures > 0).count();
        let authority = schedule.authority();
        if authority.failures > 0 {
            let problem = format!("the authority issues no certificates: {}", last_error(authority));
            problems.insert(0, CertificateProblem { what: schedule.directory.clone(), problem, is_ending: false });
        }
        // A wildcard needs no more certificates.
        let has_wildcard = schedule.hosts().any(|(name, host)| name.starts_with("*.") && host.certificate.is_some());
        if let Some(next_at) = schedule.next_order_at(now).filter(|_| !has_wildcard) {
            let problem = format!("the weekly limit is reached: the next host gets its first certificate at {next_at}");
            problems.insert(0, CertificateProblem { what: schedule.directory.clone(), problem, is_ending: false });
        }
        problems.truncate(MOST_PROBLEMS);
        Self {
            valid: certificates().filter(|certificate| certificate.expires_at > now).count(),
            failed,
            expires_at: certificates().map(|certificate| certificate.expires_at).min(),
            orders_left: schedule.orders_left(now),
            problems,
        }
    }
}

/// A certificate is renewed after two thirds of its time. It is a problem half of the rest before its end, or two weeks.
fn problem_of_host(name: &str, host: &HostState, now: Timestamp) -> Option<CertificateProblem> {
    let ending = host.certificate.filter(|certificate| {
        let all = certificate.expires_at.seconds() - certificate.begins_at.seconds();
        certificate.expires_at.seconds() - now.seconds() < ENDING.min(all / 6)
    });
    let has_failed = host.retry.failures > 0;
    let problem = match ending {
        Some(certificate) => {
            let verb = if certificate.expires_at > now { "expires" } else { "expired" };
            let error = if has_failed { format!(": {}", last_error(&host.retry)) } else { String::new() };
            format!("the TLS certificate {verb} at {} and was not renewed{error}", certificate.expires_at)
        }
        None if has_failed => format!("the last order of a certificate failed: {}", last_error(&host.retry)),
        None => return None,
    };
    Some(CertificateProblem { what: name.to_owned(), problem, is_ending: ending.is_some() })
}

fn last_error(retry: &Retry) -> String {
    let error = retry.error.as_deref().unwrap_or("unknown");
    format!("{error}; the next try is at {}", retry.next_at)
}

//! When certificates are ordered: one after the other, within a weekly budget, later after each failure. Time is a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tls_certificate::Validity;
use crate::values::Timestamp;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// The wait after the first failure for a host. It doubles with each further one, so that the first hour has at most five:
/// Let's Encrypt allows no more.
const HOST_WAIT: i64 = 2 * MINUTE;
const LONGEST_HOST_WAIT: i64 = DAY;

/// The wait after the first failure of the authority itself. Meanwhile nothing is ordered.
const AUTHORITY_WAIT: i64 = MINUTE;
const LONGEST_AUTHORITY_WAIT: i64 = 60 * MINUTE;

/// The shortest time between two certificates for a host. A clock that is wrong must not order one after the other.
const SHORTEST_RENEWAL: i64 = 10 * MINUTE;

/// The state of all certificates and orders, as it is kept on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderSchedule {
    /// The directory of the authority that the certificates are from.
    pub directory: String,
    pub weekly_limit: usize,
    hosts: BTreeMap<String, HostState>,
    authority: Retry,
    /// Times of the last week at which a certificate was ordered for a host without one.
    first_orders: Vec<Timestamp>,
}

/// The state of a host, or of the wildcard.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostState {
    pub certificate: Option<Lifetime>,
    pub retry: Retry,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Lifetime {
    pub begins_at: Timestamp,
    pub expires_at: Timestamp,
    pub renew_at: Timestamp,
}

/// Failures since the last success.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    pub failures: u32,
    pub next_at: Timestamp,
    pub error: Option<String>,
}

/// Why a certificate may not be ordered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedOrder {
    /// The authority failed, or limits orders.
    Authority,
    /// The last order for this host failed.
    Host,
    /// The orders of this week are used up.
    WeeklyLimit,
}

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFailure {
    pub problem: String,
    /// Whether the cause is the authority, or the way to it: then nothing else is ordered either.
    pub is_of_authority: bool,
    /// Seconds that the authority asks to wait.
    pub wait: Option<i64>,
}

impl OrderFailure {
    pub fn of_host(problem: String) -> Self {
        Self { problem, is_of_authority: false, wait: None }
    }

    pub fn of_authority(problem: String) -> Self {
        Self { problem, is_of_authority: true, wait: None }
    }
}

impl OrderSchedule {
    /// An authority other than the last one issues all certificates again. The old ones are served until then.
    pub fn use_authority(&mut self, directory: &str, weekly_limit: usize) {
        self.weekly_limit = weekly_limit;
        if self.directory == directory {
            return;
        }
        let has_changed = !self.directory.is_empty();
        self.directory = directory.to_owned();
        if has_changed {
            self.authority = Retry::default();
            self.first_orders.clear();
            for host in self.hosts.values_mut() {
                host.retry = Retry::default();
                if let Some(certificate) = &mut host.certificate {
                    certificate.renew_at = Timestamp::default();
                }
            }
        }
    }

    /// Adds a certificate that is on disk. It may have been the first for its host.
    pub fn add(&mut self, name: &str, validity: Validity) {
        let renew_at = validity.begins_at.plus(two_thirds(validity.begins_at, validity.expires_at));
        self.hosts.entry(name.to_owned()).or_default().certificate = Some(lifetime(validity, renew_at));
        self.first_orders.push(validity.begins_at);
    }

    pub fn remove(&mut self, name: &str) {
        self.hosts.remove(name);
    }

    /// Notes that the file of a certificate is gone.
    pub fn lose(&mut self, name: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.certificate = None;
        }
    }

    pub fn hosts(&self) -> impl Iterator<Item = (&str, &HostState)> {
        self.hosts.iter().map(|(name, host)| (name.as_str(), host))
    }

    pub fn certificate(&self, name: &str) -> Option<Lifetime> {
        self.hosts.get(name)?.certificate
    }

    /// Failed orders of a host since its last certificate.
    pub fn failures(&self, name: &str) -> u32 {
        self.hosts.get(name).map_or(0, |host| host.retry.failures)
    }

    pub fn authority(&self) -> &Retry {
        &self.authority
    }

    /// Whether a certificate for a host may be ordered now.
    pub fn check(&self, name: &str, now: Timestamp) -> Result<(), RefusedOrder> {
        // A longer wait means that the clock was set back.
        let must_wait = |retry: &Retry| retry.next_at > now && retry.next_at.seconds() - now.seconds() <= WEEK;
        if must_wait(&self.authority) {
            return Err(RefusedOrder::Authority);
        }
        if self.hosts.get(name).is_some_and(|host| must_wait(&host.retry)) {
            return Err(RefusedOrder::Host);
        }
        if self.is_first(name) && self.orders_left(now) == 0 {
            return Err(RefusedOrder::WeeklyLimit);
        }
        Ok(())
    }

    /// Chooses the host to renew now. Its certificate ends first.
    pub fn due(&self, now: Timestamp, is_used: impl Fn(&str) -> bool) -> Option<&str> {
        let due = self.hosts.iter().filter_map(|(name, host)| {
            let certificate = host.certificate.filter(|certificate| certificate.renew_at <= now)?;
            (is_used(name) && self.check(name, now).is_ok()).then_some((certificate.expires_at, name.as_str()))
        });
        due.min().map(|(_, name)| name)
    }

    /// How many more first certificates may be ordered this week.
    pub fn orders_left(&self, now: Timestamp) -> usize {
        self.weekly_limit.saturating_sub(self.of_last_week(now).count())
    }

    /// When the next host can get its first certificate, if the limit of the week is reached.
    pub fn next_order_at(&self, now: Timestamp) -> Option<Timestamp> {
        let oldest = self.of_last_week(now).min().filter(|_| self.orders_left(now) == 0);
        oldest.map(|at| at.plus(WEEK))
    }

    /// Counts an order, before the authority is asked for the certificate. Authorities count certificates that they
    /// issue, and not failed proofs.
    pub fn count_order(&mut self, name: &str, now: Timestamp) {
        if self.is_first(name) {
            self.first_orders = self.of_last_week(now).collect();
            self.first_orders.push(now);
        }
    }

    pub fn issued(&mut self, name: &str, validity: Validity, now: Timestamp) {
        // By this clock. If it is ahead, the certificate would be due at once, again and again.
        let begins_at = validity.begins_at.max(now);
        let renew_at = begins_at.plus(two_thirds(begins_at, validity.expires_at).max(SHORTEST_RENEWAL));
        let host = HostState { certificate: Some(lifetime(validity, renew_at)), retry: Retry::default() };
        self.hosts.insert(name.to_owned(), host);
        self.authority = Retry::default();
    }

    pub fn failed(&mut self, name: &str, failure: &OrderFailure, now: Timestamp) {
        let wait = failure.wait.unwrap_or(0).clamp(0, WEEK);
        if failure.is_of_authority {
            self.authority.failed(&failure.problem, now, wait, AUTHORITY_WAIT, LONGEST_AUTHORITY_WAIT);
        } else {
            let host = self.hosts.entry(name.to_owned()).or_default();
            host.retry.failed(&failure.problem, now, wait, HOST_WAIT, LONGEST_HOST_WAIT);
            // A limit may be one of all hosts. The others try one after the other, a minute apart.
            let next_at = if wait > 0 { now.plus(AUTHORITY_WAIT) } else { Timestamp::default() };
            self.authority = Retry { next_at, ..Retry::default() };
        }
    }

    /// Whether an order is for a host that has no certificate of this authority.
    fn is_first(&self, name: &str) -> bool {
        self.certificate(name).is_none_or(|certificate| certificate.renew_at == Timestamp::default())
    }

    /// A time in the future does not count: the clock was set back.
    fn of_last_week(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.first_orders.iter().copied().filter(move |at| *at <= now && now.seconds() - at.seconds() < WEEK)
    }
}

impl Retry {
    fn failed(&mut self, problem: &str, now: Timestamp, wait: i64, first: i64, longest: i64) {
        let doubled = first.saturating_mul(1 << self.failures.min(20)).min(longest);
        self.failures += 1;
        self.next_at = now.plus(doubled.max(wait));
        self.error = Some(problem.to_owned());
    }
}

fn lifetime(validity: Validity, renew_at: Timestamp) -> Lifetime {
    Lifetime { begins_at: validity.begins_at, expires_at: validity.expires_at, renew_at }
}

fn two_thirds(from: Timestamp, to: Timestamp) -> i64 {
    (to.seconds() - from.seconds()) / 3 * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "https://ca.example.com/directory";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn schedule(weekly_limit: usize) -> OrderSchedule {
        let mut schedule = OrderSchedule::default();
        schedule.use_authority(CA, weekly_limit);
        schedule
    }

    fn days(from: i64, days: i64) -> Validity {
        Validity { begins_at: at(from), expires_at: at(from + days * DAY) }
    }

    fn order(schedule: &mut OrderSchedule, name: &str, now: i64, days_valid: i64) {
        schedule.count_order(name, at(now));
        schedule.issued(name, days(now, days_valid), at(now));
    }

    fn limited(wait: Option<i64>) -> OrderFailure {
        OrderFailure { wait, ..OrderFailure::of_host("too many".into()) }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_time_and_the_most_urgent_first() {
        let mut schedule = schedule(40);
        order(&mut schedule, "a.example.com", 0, 90);
        order(&mut schedule, "b.example.com", 0, 89);
        let due = |schedule: &OrderSchedule, day: i64| schedule.due(at(day * DAY), |_| true).map(str::to_owned);
        assert_eq!(due(&schedule, 59), None);
        assert_eq!(due(&schedule, 61).as_deref(), Some("b.example.com"));
        schedule.issued("b.example.com", days(61 * DAY, 90), at(61 * DAY));
        assert_eq!(due(&schedule, 61).as_deref(), Some("a.example.com"));
        assert_eq!(schedule.due(at(61 * DAY), |name| name != "a.example.com"), None);
        assert_eq!(schedule.orders_left(at(61 * DAY)), 40, "renewals do not count");
    }

    #[test]
    fn a_clock_that_is_ahead_does_not_order_again_and_again() {
        let mut schedule = schedule(40);
        schedule.issued("a.example.com", days(0, 1), at(DAY - 60));
        assert_eq!(schedule.due(at(DAY - 30), |_| true), None);
    }

    #[test]
    fn each_failure_of_a_host_doubles_its_wait_up_to_a_day() {
        let mut schedule = schedule(40);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..12 {
            schedule.failed("a.example.com", &limited(None), at(now));
            let wait = (1..).find(|wait| schedule.check("a.example.com", at(now + wait * MINUTE)).is_ok()).unwrap();
            assert_eq!(schedule.check("a.example.com", at(now + wait * MINUTE - 1)), Err(RefusedOrder::Host));
            assert_eq!(schedule.check("b.example.com", at(now)), Ok(()), "another host does not wait");
            waits.push(wait);
            now += wait * MINUTE;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440]);
        assert!(waits.iter().scan(0, |sum, wait| Some(std::mem::replace(sum, *sum + wait))).nth(5) > Some(60));
        schedule.issued("a.example.com", days(now, 90), at(now));
        schedule.failed("a.example.com", &limited(None), at(now));
        assert!(schedule.check("a.example.com", at(now + 2 * MINUTE)).is_ok(), "a success ends the doubling");
    }

    #[test]
    fn the_wait_that_an_authority_asks_for_is_kept() {
        let mut schedule = schedule(40);
        schedule.failed("a.example.com", &limited(Some(3 * DAY)), at(0));
        assert_eq!(schedule.check("a.example.com", at(3 * DAY - 1)), Err(RefusedOrder::Host));
        assert!(schedule.check("a.example.com", at(3 * DAY)).is_ok());
        assert_eq!(schedule.check("b.example.com", at(59)), Err(RefusedOrder::Authority));
        assert!(schedule.check("b.example.com", at(60)).is_ok());
        // The clock was set back by a month.
        assert!(schedule.check("a.example.com", at(-30 * DAY)).is_ok());
    }

    #[test]
    fn an_authority_that_fails_is_asked_for_nothing_for_a_while() {
        let mut schedule = schedule(40);
        order(&mut schedule, "a.example.com", 0, 90);
        schedule.failed("b.example.com", &OrderFailure::of_authority("no response".into()), at(0));
        assert_eq!(schedule.check("c.example.com", at(59)), Err(RefusedOrder::Authority));
        assert!(schedule.check("b.example.com", at(60)).is_ok(), "the host itself did not fail");
        let mut now = 60;
        for _ in 0..10 {
            schedule.failed("b.example.com", &OrderFailure::of_authority("no response".into()), at(now));
            now += LONGEST_AUTHORITY_WAIT;
            assert!(schedule.check("b.example.com", at(now)).is_ok(), "it is asked once an hour");
        }
    }

    #[test]
    fn the_first_certificates_of_a_week_are_limited() {
        let mut schedule = schedule(2);
        order(&mut schedule, "a.example.com", 0, 90);
        order(&mut schedule, "b.example.com", DAY, 90);
        assert_eq!(schedule.check("c.example.com", at(WEEK - 1)), Err(RefusedOrder::WeeklyLimit));
        assert!(schedule.check("a.example.com", at(WEEK - 1)).is_ok(), "a renewal");
        assert!(schedule.check("c.example.com", at(WEEK)).is_ok());
        assert_eq!((schedule.next_order_at(at(DAY)), schedule.next_order_at(at(WEEK))), (Some(at(WEEK)), None));
        let stored: OrderSchedule = serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap();
        assert_eq!((stored.orders_left(at(DAY)), stored.orders_left(at(WEEK))), (0, 1), "also after a restart");
        assert_eq!(stored.orders_left(at(-DAY)), 2, "the clock was set back");
    }

    #[test]
    fn another_authority_issues_all_certificates_again() {
        let mut schedule = schedule(2);
        order(&mut schedule, "a.example.com", 0, 90);
        schedule.use_authority(CA, 2);
        assert_eq!(schedule.due(at(DAY), |_| true), None);
        schedule.use_authority("https://other.example.com/directory", 2);
        assert_eq!(schedule.due(at(DAY), |_| true), Some("a.example.com"));
        order(&mut schedule, "a.example.com", DAY, 90);
        assert_eq!((schedule.due(at(DAY), |_| true), schedule.orders_left(at(DAY))), (None, 1));
    }
}

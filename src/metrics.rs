//! Metrics that are counted when they happen: requests, connections, mails and webhook messages. Current values, such
//! as sizes, are read on each scrape (`server/metrics_page.rs`). Files have their own metrics. Requests are not counted
//! while metrics are disabled, because all requests contend for the same few counters.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub struct Metrics {
    is_read: bool,
    totals: Totals,
    requests: Family<OutcomeLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    waits: Family<LaneLabels, Histogram>,
    rejections: Family<RefusalLabels, Counter>,
    running: Gauge,
    connections: Gauge,
    connections_accepted: Counter,
    connections_rejected: Counter,
    mails: Family<MailLabels, Counter>,
    webhook_messages: Family<MailLabels, Counter>,
    forwarded: Counter,
}

/// What was counted over all routes and lanes since the start.
#[derive(Default)]
struct Totals {
    requests: Counter,
    server_errors: Counter,
    waits: Counter,
    waited_micros: Counter,
}

/// The totals at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricTotals {
    pub requests: u64,
    /// Requests with a status of 500 or more.
    pub server_errors: u64,
    /// Waits for a turn in a lane, or for a thread outside the lanes.
    pub waits: u64,
    /// The time of all waits together, in microseconds.
    pub waited_micros: u64,
}

/// The route of a request. All values come from the route table, none from the client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// Empty, like the route, if no route matches the request.
    pub layer: &'static str,
    pub method: &'static str,
    pub route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    #[prometheus(flatten)]
    asked: RouteLabels,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabels {
    pub lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MailLabels {
    outcome: &'static str,
}

/// Counts a running request or an open connection until it is dropped.
pub struct RunningGuard<'m>(Option<&'m Gauge>);

impl Metrics {
    /// `is_read` tells whether metrics are enabled.
    pub fn new(is_read: bool) -> Self {
        // From half a millisecond to four seconds.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_5, 2.0, 14));
        Self {
            is_read,
            totals: Totals::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            waits: Family::new_with_constructor(seconds),
            rejections: Family::default(),
            running: Gauge::default(),
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            connections_rejected: Counter::default(),
            mails: Family::default(),
            webhook_messages: Family::default(),
            forwarded: Counter::default(),
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests by response status", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's headers until the response's headers are sent",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("http_requests_running", "Requests in progress", self.running.clone());
        registry.register("http_errors", "Rejected and failed requests, by error", self.rejections.clone());
        registry.register_with_unit(
            "wait",
            "Time that requests waited for a turn in a lane, or for a thread outside the lanes",
            Unit::Seconds,
            self.waits.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register("connections_accepted", "Accepted connections", self.connections_accepted.clone());
        registry.register(
            "connections_refused",
            "Connections closed at once because too many were open",
            self.connections_rejected.clone(),
        );
        registry.register("mails", "Attempts to send a mail, by outcome", self.mails.clone());
        registry.register(
            "webhook_messages",
            "Attempts to send a webhook message, by outcome",
            self.webhook_messages.clone(),
        );
        registry.register("forwarded_requests", "Requests sent to other nodes, with repeats", self.forwarded.clone());
    }

    pub fn request_began(&self) -> RunningGuard<'_> {
        RunningGuard::new(self.is_read.then_some(&self.running))
    }

    pub fn request_ended(&self, asked: RouteLabels, status: StatusCode, took: Duration) {
        if !self.is_read {
            return;
        }
        self.totals.requests.inc();
        if status.is_server_error() {
            self.totals.server_errors.inc();
        }
        self.durations.get_or_create(&asked).observe(took.as_secs_f64());
        self.requests.get_or_create(&OutcomeLabels { asked, status: status.as_u16() }).inc();
    }

    pub fn request_rejected(&self, error: &str) {
        if !self.is_read {
            return;
        }
        self.rejections.get_or_create(&RefusalLabels { error: error.to_owned() }).inc();
    }

    pub fn request_waited(&self, lane: &'static str, time: Duration) {
        if !self.is_read {
            return;
        }
        self.totals.waits.inc();
        self.totals.waited_micros.inc_by(u64::try_from(time.as_micros()).unwrap_or_default());
        self.waits.get_or_create(&LaneLabels { lane }).observe(time.as_secs_f64());
    }

    /// The totals since the start. `None` while metrics are disabled.
    pub fn totals(&self) -> Option<MetricTotals> {
        let Totals { requests, server_errors, waits, waited_micros } = &self.totals;
        self.is_read.then(|| MetricTotals {
            requests: requests.get(),
            server_errors: server_errors.get(),
            waits: waits.get(),
            waited_micros: waited_micros.get(),
        })
    }

    pub fn connection_opened(&self) -> RunningGuard<'_> {
        self.connections_accepted.inc();
        RunningGuard::new(Some(&self.connections))
    }

    pub fn connection_rejected(&self) {
        self.connections_rejected.inc();
    }

    /// Counts a request that is sent to another node.
    pub fn request_forwarded(&self) {
        self.forwarded.inc();
    }

    /// Counts an attempt to send a mail.
    pub fn mailed(&self, outcome: &'static str) {
        self.mails.get_or_create(&MailLabels { outcome }).inc();
    }

    /// Counts an attempt to send a webhook message.
    pub fn posted(&self, outcome: &'static str) {
        self.webhook_messages.get_or_create(&MailLabels { outcome }).inc();
    }
}

/// The resident memory of this process, in bytes. `None` where `/proc` does not tell it (proc(5)).
pub fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.trim().parse::<u64>().ok()? * 1024)
}

impl<'m> RunningGuard<'m> {
    fn new(among: Option<&'m Gauge>) -> Self {
        if let Some(gauge) = among {
            gauge.inc();
        }
        Self(among)
    }
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        if let Some(gauge) = self.0 {
            gauge.dec();
        }
    }
}

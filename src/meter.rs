//! What is counted as it happens, as metrics: requests and connections, mails and webhooks' messages. Where nobody is told, requests
//! are not counted: each would take turns at the same few counters with all others. What is known at any moment, such
//! as sizes, is looked up when somebody asks (`server/metrics.rs`); files have a meter of their own.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub struct Meter {
    is_read: bool,
    requests: Family<Outcome, Counter>,
    durations: Family<Asked, Histogram>,
    waits: Family<Lane, Histogram>,
    refusals: Family<Refusal, Counter>,
    running: Gauge,
    connections: Gauge,
    connections_accepted: Counter,
    connections_refused: Counter,
    mails: Family<Sent, Counter>,
    webhook_messages: Family<Sent, Counter>,
}

/// What was asked: a row of the table, and nothing that a client makes up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// Empty, like the route, where there is none for the request.
    pub layer: &'static str,
    pub method: &'static str,
    pub route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    #[prometheus(flatten)]
    asked: Asked,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Lane {
    pub lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    outcome: &'static str,
}

/// A request or a connection, counted for as long as this is there.
pub struct Present<'m>(Option<&'m Gauge>);

impl Meter {
    /// One that counts, if it is read.
    pub fn new(is_read: bool) -> Self {
        // From half a millisecond to four seconds.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_5, 2.0, 14));
        Self {
            is_read,
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            waits: Family::new_with_constructor(seconds),
            refusals: Family::default(),
            running: Gauge::default(),
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            connections_refused: Counter::default(),
            mails: Family::default(),
            webhook_messages: Family::default(),
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests by what they were answered", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From a request's head until its answer's head is sent",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("http_requests_running", "Requests that are being answered just now", self.running.clone());
        registry.register("http_errors", "Requests that were refused or failed, by their error", self.refusals.clone());
        registry.register_with_unit(
            "wait",
            "How long requests waited for a turn in a lane, or for a thread beside the lanes",
            Unit::Seconds,
            self.waits.clone(),
        );
        registry.register("connections", "Connections that are open just now", self.connections.clone());
        registry.register("connections_accepted", "Connections that were let in", self.connections_accepted.clone());
        registry.register(
            "connections_refused",
            "Connections that were closed at once, since too many were open",
            self.connections_refused.clone(),
        );
        registry.register("mails", "Tries to send a mail, by what came of them", self.mails.clone());
        registry.register(
            "webhook_messages",
            "Tries to tell a webhook, by what came of them",
            self.webhook_messages.clone(),
        );
    }

    pub fn request_began(&self) -> Present<'_> {
        Present::new(self.is_read.then_some(&self.running))
    }

    pub fn request_ended(&self, asked: Asked, status: StatusCode, took: Duration) {
        if !self.is_read {
            return;
        }
        self.durations.get_or_create(&asked).observe(took.as_secs_f64());
        self.requests.get_or_create(&Outcome { asked, status: status.as_u16() }).inc();
    }

    pub fn refused(&self, error: &str) {
        if !self.is_read {
            return;
        }
        self.refusals.get_or_create(&Refusal { error: error.to_owned() }).inc();
    }

    pub fn waited(&self, lane: &'static str, time: Duration) {
        if !self.is_read {
            return;
        }
        self.waits.get_or_create(&Lane { lane }).observe(time.as_secs_f64());
    }

    pub fn connection_opened(&self) -> Present<'_> {
        self.connections_accepted.inc();
        Present::new(Some(&self.connections))
    }

    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// One try at a mail.
    pub fn mailed(&self, outcome: &'static str) {
        self.mails.get_or_create(&Sent { outcome }).inc();
    }

    /// One try at a webhook's message.
    pub fn posted(&self, outcome: &'static str) {
        self.webhook_messages.get_or_create(&Sent { outcome }).inc();
    }
}

impl<'m> Present<'m> {
    fn new(among: Option<&'m Gauge>) -> Self {
        if let Some(gauge) = among {
            gauge.inc();
        }
        Self(among)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        if let Some(gauge) = self.0 {
            gauge.dec();
        }
    }
}

//! The log: one structured line per request, to stderr; text on a terminal, otherwise JSON. It contains no secrets and
//! no personal data: no query, no body, no token.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Response};
use hyper::body::Body;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use super::log_format::{JsonLines, ShortLines};
use super::log_writer::{LogGuard, LogWriter};
use super::response_body::Outgoing;
use crate::api::{Error, Layer, Route};
use crate::auth::TokenInUse;
use crate::config::{Config, LogFormat};
use crate::metrics::{Metrics, RouteLabels};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// Replaces the filter of the process's log. Unset while there is no log.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Changes the log filter.
pub fn set_filter(filter: &str) {
    if let Some(set) = SET_FILTER.get() {
        set(EnvFilter::new(filter));
    }
}

/// Starts the process's log. Lines are written until the guard is dropped.
pub fn start(config: &Config) -> LogGuard {
    let is_terminal = std::io::stderr().is_terminal();
    let text = match config.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => is_terminal,
    };
    // Without stderr or a thread there is no log, but the server still serves.
    let Ok(writer) = LogWriter::start() else { return LogGuard::new(None) };
    let queue = writer.clone();
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log))
        .with_writer(move || queue.clone())
        // Internal errors would be printed to stderr, which can block.
        .log_internal_errors(false)
        .with_target(false);
    // A second log in one process happens only in tests; the first stays.
    let set_filter: SetFilter = match (text, is_terminal) {
        // Respects NO_COLOR.
        (true, true) => {
            let log = log.event_format(ShortLines).with_filter_reloading();
            let handle = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
        // In a file, color codes are noise, and every field may be useful.
        (true, false) => {
            let log = log.with_ansi(false).with_filter_reloading();
            let handle = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
        (false, _) => {
            let log = log.event_format(JsonLines).with_filter_reloading();
            let handle = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
    };
    let _ = SET_FILTER.set(set_filter);
    // The default hook would also print to stderr.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let at = panic.location().map(tracing::field::display);
        let said = panic.payload_as_str().unwrap_or_default();
        tracing::error!(thread = thread.name(), at, said, "a thread panicked");
    }));
    LogGuard::new(Some(writer))
}

/// Limits repeated messages: the first is logged at once, later ones at most once per `WHILE`.
#[derive(Debug, Default)]
pub struct LogLimiter {
    last_logged: Option<Instant>,
    times: u64,
}

/// Minimum time between two logged messages.
const WHILE: Duration = Duration::from_secs(10);

impl LogLimiter {
    /// If it is time to log, the number of occurrences since the last logged message.
    pub fn times(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.last_logged.is_some_and(|said| now.duration_since(said) < WHILE) {
            return None;
        }
        self.last_logged = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

/// The data for the log line of one request.
pub struct RequestLog {
    id: Uuid,
    began: Instant,
    method: http::Method,
    /// `HEAD` over HTTP/2.
    has_no_content: bool,
    peer: IpAddr,
    labels: RouteLabels,
    uri: http::Uri,
    workspace: Option<Uuid>,
    subdomain: Option<String>,
    account: Option<i64>,
    waited: Duration,
    worked: Duration,
    /// The error detail, for the log only.
    fault: Option<String>,
    /// The name of the node that has handled the request, if it is another one.
    node: Option<String>,
}

impl RequestLog {
    pub fn new(head: &http::request::Parts, peer: IpAddr) -> Self {
        let method = &head.method;
        Self {
            has_no_content: *method == http::Method::HEAD && head.version == http::Version::HTTP_2,
            id: Uuid::now_v7(),
            began: Instant::now(),
            method: method.clone(),
            peer,
            labels: RouteLabels { layer: "", method: known_method(method), route: "" },
            uri: head.uri.clone(),
            workspace: None,
            subdomain: None,
            account: None,
            waited: Duration::ZERO,
            worked: Duration::ZERO,
            fault: None,
            node: None,
        }
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Takes over the id that another node has given to the request.
    pub fn continue_as(&mut self, id: Uuid) {
        self.id = id;
    }

    /// Sets the name of the node that the request is forwarded to.
    pub fn forwarded_to(&mut self, node: &str) {
        self.node = Some(node.to_owned());
    }

    /// This node handles the request itself.
    pub fn is_handled_here(&mut self) {
        self.node = None;
    }

    pub fn routed(&mut self, layer: Layer, route: &Route) {
        (self.labels.layer, self.labels.route) = (layer.name(), route.path);
    }

    pub fn in_workspace(&mut self, id: Uuid) {
        self.workspace = Some(id);
    }

    /// Sets the subdomain of the request's workspace.
    pub fn named(&mut self, subdomain: &str) {
        self.subdomain = Some(subdomain.to_owned());
    }

    pub fn by_account(&mut self, token: &TokenInUse) {
        self.account = Some(token.account_id);
    }

    pub fn timed(&mut self, waited: Duration, worked: Duration) {
        (self.waited, self.worked) = (waited, worked);
    }

    /// Sets the path of a route that is the same on every host.
    pub fn at_root(&mut self, path: &'static str) {
        self.labels.route = path;
    }

    pub fn error(&mut self, error: &Error) {
        self.fault = error.detail().map(str::to_owned);
    }

    /// Adds the request id to the response, counts the request and writes the line. Returns whether to omit the
    /// content.
    pub fn finish(self, response: &mut Response<Outgoing>, metrics: &Metrics) -> bool {
        let took = self.began.elapsed();
        let mut id = Uuid::encode_buffer();
        let id: &str = self.id.simple().encode_lower(&mut id);
        if let Ok(value) = HeaderValue::from_str(id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let mut workspace = Uuid::encode_buffer();
        let workspace = self.workspace.as_ref().map(|id| &*id.hyphenated().encode_lower(&mut workspace));
        if let Some(fault) = &self.fault {
            tracing::error!(request_id = id, route = self.labels.route, workspace, fault, "a request failed");
        }
        tracing::info!(
            request_id = id,
            method = self.method.as_str(),
            route = self.labels.route,
            path = self.labels.route.is_empty().then(|| shown_path(self.uri.path())),
            layer = self.labels.layer,
            workspace,
            subdomain = self.subdomain,
            account = self.account,
            node = self.node,
            peer = %self.peer,
            status = response.status().as_u16(),
            bytes = response.body().size_hint().lower(),
            waited_us = self.waited.as_micros() as u64,
            worked_us = self.worked.as_micros() as u64,
            took_us = took.as_micros() as u64,
            "request"
        );
        metrics.request_ended(self.labels, response.status(), took);
        self.has_no_content
    }
}

/// How the log shows an unknown path. A mistyped path may contain a code, a number or an address, so only segments that
/// look like words are shown.
fn shown_path(path: &str) -> String {
    const LONGEST: usize = 24;
    const MOST: usize = 8;
    let is_word = |text: &str| {
        let is_plain = |c: char| c.is_ascii_lowercase() || matches!(c, '-' | '_' | '.');
        text.len() <= LONGEST && text.chars().all(is_plain)
    };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let shown = segments.iter().take(MOST).map(|segment| if is_word(segment) { segment } else { "…" });
    let rest = if segments.len() > MOST { "/…" } else { "" };
    format!("/{}{rest}", shown.collect::<Vec<_>>().join("/"))
}

/// The name of a supported method. Other names are merged, because clients could invent any number of them.
fn known_method(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_that_leads_nowhere_only_words_are_shown() {
        for (path, shown) in [
            ("/api/costumers", "/api/costumers"),
            ("/", "/"),
            ("/wp-login.php", "/wp-login.php"),
            ("/api/custumers/17", "/api/custumers/…"),
            ("/api/user-invite/code/cxi_Zm9vYmFy", "/api/user-invite/code/…"),
            ("/crm/+33612345678/ada@example.com/%41da", "/crm/…/…/…"),
            ("/averyveryveryveryverylongword/a", "/…/a"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/…"),
        ] {
            assert_eq!(shown_path(path), shown);
        }
    }

    #[test]
    fn what_happens_over_and_over_is_said_once_in_a_while() {
        let (mut seldom, start) = (LogLimiter::default(), Instant::now());
        assert_eq!(seldom.times(start), Some(1));
        for second in 1..10 {
            assert_eq!(seldom.times(start + Duration::from_secs(second)), None);
        }
        assert_eq!(seldom.times(start + WHILE), Some(10));
    }
}

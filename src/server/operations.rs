//! Operation of the server: health, readiness, metrics, and the domains for which a proxy may get certificates. These
//! routes are answered on any host, even if there is no workspace. They run outside the limits of other requests.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, Response, header};
use tokio::sync::Mutex;

use super::address;
use super::body::{self, Outgoing};
use super::metrics;
use super::turn;
use crate::api::{
    Answer, Call, Content, Error, Needs, Operation, Reply, Resource, Result, Route, Steps, get, here, perform, steps,
};
use crate::executors::Place;
use crate::tenancy::Host;

pub const OPERATIONS: Resource = Resource::operations("Operation", ROUTES);

/// The path of the metrics. It exists only if they are enabled.
pub const METRICS: &str = "/metrics";

const ROUTES: &[Route] = &[
    get("/healthz", &here(live), Needs::Anyone, "Show that the server runs"),
    get("/readyz", &here(ready), Needs::Anyone, "Verify that the server can read its data and that every thread runs"),
    get(METRICS, &steps(scrape), Needs::Anyone, "Get metrics in the OpenMetrics format"),
    get(
        "/internal/tls-ask",
        &here(serves_domain),
        Needs::Anyone,
        "Verify that a domain is served here, before a proxy gets a certificate for it",
    ),
];

/// 200 with text.
struct Plain {
    kind: Option<&'static str>,
    text: Cow<'static, str>,
}

const OK: Plain = Plain { kind: None, text: Cow::Borrowed("ok\n") };

impl Reply for Plain {
    fn into_response(self, _: &Call) -> Result<Answer> {
        let mut answer = Response::new(Content::Whole(self.text.into_owned().into()));
        let kind = self.kind.map(HeaderValue::from_static);
        answer.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page();
    }
}

/// Runs an operation: at once, or on a thread. Those on a thread run one at a time, because they read from the disk and
/// take turns of the central file.
pub async fn answer(call: Arc<Call>, running: &Mutex<()>) -> Result<Response<Outgoing>> {
    let inside = Arc::clone(&call);
    let work = move || perform::beside(&inside, inside.route.handler.read(&inside));
    let answer = match call.route.handler.place() {
        Place::Here => work(),
        _ => {
            let _alone = running.lock().await;
            let answer = turn::beside(&call.engine.executors.steps, work).await;
            answer.unwrap_or_else(|| Err(Error::Internal("an operation of the server failed".into())))
        }
    };
    answer.map(|answer| body::answer(answer, &call)).map_err(Error::of_server)
}

fn live(_: &Steps<'_>) -> Result<Plain> {
    Ok(OK)
}

/// Ready if the central file can be read and no thread is missing.
fn ready(steps: &Steps<'_>) -> Result<Plain> {
    steps.engine.directory.check()?;
    let missing = steps.engine.supervisor.missing();
    if missing.is_empty() { Ok(OK) } else { Err(Error::NotReady(missing)) }
}

/// Tells a proxy whether it may get a certificate for a domain (Caddy's on-demand TLS, `ask`): only for hosts that are
/// served here, suspended or not. A request to the host itself would reveal the same.
fn serves_domain(steps: &Steps<'_>) -> Result<Plain> {
    let (engine, config) = (steps.engine, &steps.engine.config);
    let mut domains = form_urlencoded::parse(steps.call.query.as_bytes()).filter(|(name, _)| name == "domain");
    let (Some((_, domain)), None) = (domains.next(), domains.next()) else {
        return Err(Error::BadRequest("The query must name one domain: ?domain=acme.example.com."));
    };
    if address::is_address(&domain) {
        return Err(address::unknown_host(config));
    }
    if let Host::Workspace(label) = address::tenant(config, &domain)? {
        let named = engine.directory.current(&engine.keys)?.named(&label)?;
        named.ok_or_else(|| address::unknown_host(config))?;
    }
    Ok(OK)
}

fn scrape(steps: &Steps<'_>) -> Result<Plain> {
    Ok(Plain { kind: Some(metrics::TYPE), text: metrics::page(steps.engine).into() })
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::Full;

    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_server_is_not_ready_without_one_of_its_threads_and_names_it() {
        let bench = Bench::new();
        let ready = || {
            bench.send(
                Request::builder().uri("/readyz").header(header::HOST, "localhost").body(Full::default()).unwrap(),
            )
        };
        assert_eq!(ready().status, 200);
        bench.engine.supervisor.spawn("mail".into(), || {}).unwrap();
        while bench.engine.supervisor.missing().is_empty() {
            std::thread::yield_now();
        }
        let said = ready();
        said.refused(503, "not_ready");
        assert!(said.text.contains("mail"), "{}", said.text);
    }
}

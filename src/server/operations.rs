//! Operation of the server: health, readiness, metrics, and the domains for which a proxy may get certificates. These
//! routes are available on any host, even if there is no workspace. They run outside the limits of other requests.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use tokio::sync::Mutex;

use super::address;
use super::dispatch;
use super::event_streams::EventStreams;
use super::metrics_page;
use super::response_body::{self, Outgoing};
use crate::api::execute::{self, RoutedRequest};
use crate::api::{
    ApiResponse, BlockingCtx, Content, Error, IntoResponse, Needs, Operation, Request, Resource, Result, Route,
    blocking, get, inline, post,
};
use crate::auth::NOTIFY_PATH;
use crate::config::Config;
use crate::executors::Executor;
use crate::instance::Instance;
use crate::tenancy::Host;

pub const OPERATIONS: Resource = Resource::operations("Operation", ROUTES);

/// The path of the metrics. It exists only if they are enabled.
pub const METRICS: &str = "/metrics";

const ROUTES: &[Route] = &[
    get("/healthz", &inline(live), Needs::Anyone, "Show that the server runs"),
    get(
        "/readyz",
        &inline(ready),
        Needs::Anyone,
        "Verify that the server can read its data and that every thread runs",
    ),
    get(METRICS, &blocking(scrape), Needs::Anyone, "Get metrics in the OpenMetrics format"),
    get(
        "/internal/tls-ask",
        &inline(serves_domain),
        Needs::Anyone,
        "Verify that a domain is served here, before a proxy gets a certificate for it",
    ),
    post(NOTIFY_PATH, &blocking(notify), Needs::Anyone, "Accept the news that another node has stored something"),
];

/// Whether only other nodes may use an operation.
pub fn is_for_nodes(route: &Route) -> bool {
    route.path == NOTIFY_PATH
}

/// 204.
struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let mut answer = Response::new(Content::Full(bytes::Bytes::new()));
        *answer.status_mut() = StatusCode::NO_CONTENT;
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page_response();
    }
}

/// 200 with text.
struct Plain {
    kind: Option<&'static str>,
    text: Cow<'static, str>,
}

const OK: Plain = Plain { kind: None, text: Cow::Borrowed("ok\n") };

impl IntoResponse for Plain {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let mut answer = Response::new(Content::Full(self.text.into_owned().into()));
        let kind = self.kind.map(HeaderValue::from_static);
        answer.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page_response();
    }
}

/// Runs an operation: at once, or on a thread. Those on a thread run one at a time, because they read from the disk and
/// take turns of the central file.
pub async fn answer(
    routed: RoutedRequest,
    running: &Mutex<()>,
    streams: &Arc<EventStreams>,
) -> Result<Response<Outgoing>> {
    let RoutedRequest { request, route } = routed.clone();
    let work = move || execute::outside_transaction(&routed, route.handler.read(&routed.request));
    let answer = match route.handler.executor() {
        Executor::Inline => work(),
        _ => {
            let _alone = running.lock().await;
            let answer = dispatch::run_on(&request.instance.executors.blocking, work).await;
            answer.unwrap_or_else(|| Err(Error::Internal("an operation of the server failed".into())))
        }
    };
    answer.and_then(|answer| response_body::answer(answer, &request, route, streams)).map_err(Error::on_central)
}

fn live(_: &BlockingCtx<'_>) -> Result<Plain> {
    Ok(OK)
}

/// Ready if the central file can be read and no thread is missing. A caller on this machine learns everything that is not
/// ready; to others an error of the central file is an error like any.
fn ready(ctx: &BlockingCtx<'_>) -> Result<Plain> {
    if !ctx.instance.may_serve() {
        return Err(Error::Standby);
    }
    let mut problems = Vec::new();
    match ctx.instance.directory.check() {
        Err(error) if is_on_this_machine(ctx.request) => {
            problems.push(format!("The central file cannot be read: {error}."));
        }
        read => read?,
    }
    let missing = ctx.instance.supervisor.missing_threads();
    if !missing.is_empty() {
        problems.push(format!("Threads of this server have ended: {}.", missing.join(", ")));
    }
    if problems.is_empty() { Ok(OK) } else { Err(Error::NotReady(problems)) }
}

/// Whether the caller is a program on this machine, and not a proxy that the settings do not name.
fn is_on_this_machine(request: &Request) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded", "via"];
    request.client.to_canonical().is_loopback() && !forwarded.iter().any(|name| request.headers.contains_key(*name))
}

/// Tells a proxy whether it may get a certificate for a domain (Caddy's on-demand TLS, `ask`): only for hosts that are
/// served here, suspended or not. A request to the host itself would reveal the same.
fn serves_domain(ctx: &BlockingCtx<'_>) -> Result<Plain> {
    let mut domains = form_urlencoded::parse(ctx.request.query.as_bytes()).filter(|(name, _)| name == "domain");
    let (Some((_, domain)), None) = (domains.next(), domains.next()) else {
        return Err(Error::BadRequest("The query must name one domain: ?domain=acme.example.com."));
    };
    require_served(ctx.instance, &domain)?;
    Ok(OK)
}

/// Fails for a domain that is not served here.
fn require_served(instance: &Instance, domain: &str) -> Result<()> {
    let config = &instance.config;
    if address::is_address(domain) {
        return Err(address::unknown_host(config));
    }
    if let Host::Workspace(label) = address::tenant(config, domain)? {
        let named = instance.directory.current(&instance.keys)?.by_subdomain(&label)?;
        named.ok_or_else(|| address::unknown_host(config))?;
    }
    Ok(())
}

/// Whether the server itself gets a certificate for a host, by the same rule. Where paths name the workspaces, only the
/// central host has a name in DNS.
pub fn needs_certificate(instance: &Instance, host: &str) -> bool {
    let has_name = !instance.config.workspace_by_path || host == instance.config.central_domain;
    has_name && require_served(instance, host).is_ok()
}

/// Like `needs_certificate`, with all subdomains of workspaces.
pub fn is_among(config: &Config, host: &str, subdomains: &HashSet<String>) -> bool {
    match address::tenant(config, host) {
        Ok(Host::Central) => true,
        Ok(Host::Workspace(label)) => !config.workspace_by_path && subdomains.contains(&label),
        Err(_) => false,
    }
}

/// The server lets only other nodes call this. After 503, the other node waits until this one knows it or answers nothing.
fn notify(ctx: &BlockingCtx<'_>) -> Result<NoContent> {
    let Some(nodes) = ctx.instance.node_directory() else { return Ok(NoContent) };
    nodes.notify().map_err(|error| {
        tracing::warn!(error = format!("{error:#}"), "the central file was not followed");
        Error::Overloaded
    })?;
    Ok(NoContent)
}

fn scrape(ctx: &BlockingCtx<'_>) -> Result<Plain> {
    Ok(Plain { kind: Some(metrics_page::TYPE), text: metrics_page::page(ctx.instance, ctx.now).into() })
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::tests::TestServer;

    #[test]
    fn a_server_is_not_ready_without_one_of_its_threads_and_names_it() {
        let server = TestServer::new();
        let ready = || {
            server.send(
                http::Request::builder()
                    .uri("/readyz")
                    .header(header::HOST, "localhost")
                    .body(Full::default())
                    .unwrap(),
            )
        };
        assert_eq!(ready().status, 200);
        server.instance.supervisor.spawn("mail".into(), || {}).unwrap();
        while server.instance.supervisor.missing_threads().is_empty() {
            std::thread::yield_now();
        }
        let said = ready();
        said.rejected(503, "not_ready");
        assert!(said.text.contains("mail"), "{}", said.text);
    }

    #[test]
    fn a_caller_on_this_machine_learns_why_the_central_file_cannot_be_read() {
        let server = TestServer::new();
        server.instance.central.write(|db| Ok::<_, Error>(db.execute_batch("DROP TABLE revisions")?)).unwrap();
        let ready = |forwarded: Option<&str>| {
            let mut request = http::Request::builder().uri("/readyz").header(header::HOST, "localhost");
            if let Some(client) = forwarded {
                request = request.header("x-forwarded-for", client);
            }
            server.send(request.body(Full::default()).unwrap())
        };
        let said = ready(None);
        said.rejected(503, "not_ready");
        assert!(said.text.contains("The central file cannot be read: no such table: revisions"), "{}", said.text);
        // A proxy that the settings do not name passes on anybody's request.
        let said = ready(Some("203.0.113.7"));
        assert!(said.status.is_server_error() && !said.text.contains("revisions"), "{}", said.text);
    }
}

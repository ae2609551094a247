//! The pipeline of a request: head, tenant, route, credential, workspace, body, execution, response.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::admission::{Admission, Admitted};
use super::dispatch::{self, DispatchResult};
use super::event_streams::EventStreams;
use super::forwarded::Forwarded;
use super::forwarding::{self, ForwardedBody, OtherNodes, RelayedResponse, Subject};
use super::log::RequestLog;
use super::response_body::{self, Outgoing};
use super::{address, cors, multipart, node_requests, operations};
use crate::api::execute::RoutedRequest;
use crate::api::{Address, BodyKind, Error, MediaType, Request, Result, Route, Router, require_active};
use crate::auth::NodeKey;
use crate::cluster::NodeDirectory;
use crate::instance::Instance;
use crate::pages::{self, ErrorPage};
use crate::tenancy::{LargeBody, workspace_in};
use crate::values::Timestamp;

/// Maximum number of larger-than-usual bodies in memory at once, from arrival to response. Sized for a small machine.
const LARGE_BODIES: usize = 8;

/// Limits for draining a rejected body, in bytes and in time: see [`Service::drain_in_background`].
const MOST_LINGERED: usize = 64 * 1024 * 1024;
const LONGEST_LINGER: Duration = Duration::from_secs(10);

/// Time limit for the DNS look-up of a token's allowed hosts.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(3);

/// Handles requests from every connection.
pub struct Service {
    pub(super) instance: Arc<Instance>,
    pub(super) router: Arc<Router>,
    large_bodies: Arc<Semaphore>,
    scraping: tokio::sync::Mutex<()>,
    streams: Arc<EventStreams>,
    stopping: watch::Sender<bool>,
    /// The other nodes, if several serve.
    pub(super) nodes: Option<OtherNodes>,
}

/// Permission to hold one large body, returned on drop.
struct BodyPermit {
    _of_group: Option<LargeBody>,
    _of_all: OwnedSemaphorePermit,
}

impl Service {
    pub fn new(instance: Arc<Instance>, router: Arc<Router>) -> Self {
        let stopping = watch::Sender::new(false);
        Self {
            streams: Arc::new(EventStreams::new(Arc::clone(&instance), stopping.subscribe())),
            instance,
            router,
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            scraping: tokio::sync::Mutex::default(),
            stopping,
            nodes: None,
        }
    }

    /// Forwards requests to the nodes that serve their workspaces.
    pub fn among_nodes(self, key: NodeKey, directory: Arc<dyn NodeDirectory>) -> Self {
        self.instance.set_node_directory(Arc::clone(&directory));
        let nodes = OtherNodes::new(Arc::clone(&self.instance), key, directory);
        Self { nodes: Some(nodes), ..self }
    }

    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    #[cfg(test)]
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Rejects every request from now on, and notifies the connections.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub async fn answer<B>(&self, request: http::Request<B>, peer: IpAddr) -> Response<Outgoing>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let (mut head, body) = request.into_parts();
        let waits = expects_continue(&head);
        let config = &self.instance.config;
        let (forwarded, id) = self.forwarded(&mut head, peer);
        let client = address::client(&forwarded, peer);
        let origin = cors::allowed_origin(config, &head.headers).cloned();
        let mut page = self.error_page(&head);
        let _running = self.instance.metrics.request_began();
        let mut line = RequestLog::new(&head, client);
        if let Some(id) = id {
            line.continue_as(id);
        }
        let is_secure = self.is_secure(&forwarded);
        let mut body = Some(body);
        let is_by_node = forwarded.as_ref().is_ok_and(|forwarded| forwarded.is_by_node);
        let answered = match forwarded {
            Ok(forwarded) => self.answer_parts(head, &mut body, forwarded, client, &mut page, &mut line).await,
            Err(error) => Err(error),
        };
        if let Some(rest) = body.filter(|_| !waits) {
            self.drain_in_background(rest);
        }
        let error = answered.as_ref().err().filter(|_| is_by_node).cloned();
        let mut response = self.finish(line, is_secure, page, answered);
        forwarding::mark_elsewhere(error.as_ref(), &mut response);
        if response.extensions().get::<RelayedResponse>().is_none() {
            cors::allow_origin(config, origin, response.headers_mut());
        }
        response
    }

    /// What a trusted proxy or another node tells about the request. The other node also tells its id.
    fn forwarded(&self, head: &mut Parts, peer: IpAddr) -> (Result<Forwarded>, Option<Uuid>) {
        let origin = self.nodes.as_ref().map_or(Ok(None), |nodes| nodes.client.take_origin(head, now()));
        match origin {
            Ok(None) => (address::forwarded(&self.instance.config, &head.headers, peer), None),
            Ok(Some(origin)) => (node_requests::forwarded_by_node(&origin).ok_or(Error::UnknownNode), Some(origin.id)),
            Err(node_requests::UnknownNode) => (Err(Error::UnknownNode), None),
        }
    }

    /// Rejects a request that violates HTTP.
    pub fn reject<B>(&self, request: http::Request<B>, peer: IpAddr, why: &'static str) -> Response<Outgoing> {
        let (head, _) = request.into_parts();
        let forwarded = address::forwarded(&self.instance.config, &head.headers, peer);
        let line = RequestLog::new(&head, address::client(&forwarded, peer));
        self.finish(line, self.is_secure(&forwarded), self.error_page(&head), Err(Error::BadRequest(why)))
    }

    /// Redirects a plain HTTP request to the same URL with HTTPS, with any path. The 308 keeps method and body (RFC
    /// 9110, 15.4.9).
    pub fn redirect_to_tls<B>(&self, request: http::Request<B>, peer: IpAddr, port: u16) -> Response<Outgoing>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let (head, body) = request.into_parts();
        if !expects_continue(&head) {
            self.drain_in_background(body);
        }
        let line = RequestLog::new(&head, peer);
        let place = address::place_with_tls(&self.instance.config, &head, peer, port);
        self.finish(line, false, None, place.map(redirect))
    }

    /// Answers an authority that asks over plain HTTP whether a host is ours (RFC 8555, section 8.3).
    pub fn prove_host<B>(&self, request: http::Request<B>, peer: IpAddr, proof: String) -> Response<Outgoing> {
        let (head, _) = request.into_parts();
        let mut response = Response::new(response_body::full(proof.into()));
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        self.finish(RequestLog::new(&head, peer), false, None, Ok(response))
    }

    /// Drains the rest of an unwanted body, within limits, while the response is sent. A client that writes everything
    /// before it reads would otherwise get a connection reset instead of the response (RFC 9112, 9.6).
    fn drain_in_background<B>(&self, body: B)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let mut stopping = self.stopping();
        if body.is_end_stream() || *stopping.borrow() {
            return;
        }
        tokio::spawn(async move {
            tokio::select! {
                () = drain(body) => {}
                () = tokio::time::sleep(LONGEST_LINGER) => {}
                _ = stopping.changed() => {}
            }
        });
    }

    /// The page for errors, if a browser requests a page.
    fn error_page(&self, head: &Parts) -> Option<ErrorPage> {
        let path = head.uri.path();
        let named = self.instance.config.workspace_by_path.then(|| workspace_in(path)).flatten();
        let rest = named.as_ref().map_or(path, |(_, _, rest)| rest);
        let prefix = path.strip_suffix(rest).unwrap_or_default();
        ErrorPage::of(address::api_path(rest).0, prefix, &head.uri, &head.headers)
    }

    /// True if the client is known to use HTTPS.
    fn is_secure(&self, forwarded: &Result<Forwarded>) -> bool {
        let said = forwarded.as_ref().ok().and_then(|forwarded| forwarded.scheme);
        said.unwrap_or(self.instance.config.scheme()) == "https"
    }

    /// Builds the response, or the response to an error; adds the common headers, counts it and logs it.
    fn finish(
        &self,
        mut log: RequestLog,
        is_secure: bool,
        page: Option<ErrorPage>,
        answered: Result<Response<Outgoing>>,
    ) -> Response<Outgoing> {
        let mut response = answered.unwrap_or_else(|error| {
            log.error(&error);
            self.instance.metrics.request_rejected(error.code());
            let response = match page {
                Some(page) => page.response(error),
                None => error.into_response(),
            };
            response.map(response_body::full)
        });
        if response.extensions().get::<RelayedResponse>().is_none() {
            secure(response.headers_mut(), if is_secure { self.instance.config.hsts_max_age } else { 0 });
        }
        let has_no_content = log.finish(&mut response, &self.instance.metrics);
        if has_no_content { without_content(response) } else { response }
    }

    async fn answer_parts<B>(
        &self,
        head: Parts,
        body: &mut Option<B>,
        forwarded: Forwarded,
        client: IpAddr,
        page: &mut Option<ErrorPage>,
        log: &mut RequestLog,
    ) -> Result<Response<Outgoing>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let is_by_node = forwarded.is_by_node;
        if *self.stopping.borrow() {
            return Err(Error::ShuttingDown);
        }
        address::check_head(&head)?;
        let now = Timestamp::now();
        if let Some(admitted) = self.operation(&head, log)? {
            // The route needs no host, so the host is not checked.
            let scheme = forwarded.scheme.unwrap_or(self.instance.config.scheme());
            let (authority, prefix, path) = (String::new(), String::new(), head.uri.path().to_owned());
            let route = admitted.route;
            if operations::is_for_nodes(route) && !is_by_node {
                return Err(Error::UnknownNode);
            }
            let request =
                self.build_request(head, admitted, Address { scheme, authority, prefix, path }, client, log.id(), now);
            let routed = RoutedRequest { request: Arc::new(request), route };
            return operations::answer(routed, &self.scraping, &self.streams).await;
        }
        if !self.instance.may_serve() {
            return Err(Error::Standby);
        }
        let mut address = address::address(&self.instance.config, &head, forwarded)?;
        let tenant = address::addressed(&self.instance.config, &head.headers, &mut address)?;
        let admission = self.admit(&head, tenant, &address, is_by_node, now, log).map_err(Error::on_central)?;
        let route = match &admission {
            Admission::Request(admitted) => admitted.route,
            Admission::Elsewhere(route, _) => route,
            Admission::Preflight => return Ok(cors::preflight(&head)),
            Admission::SignIn => return Ok(pages::to_sign_in(&address, head.uri.query())?.map(response_body::full)),
        };
        let kind = route.handler.body();
        // Compressed bodies are rejected: a small one could expand without limit.
        let mut encodings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        let is_packed = encodings.any(|encoding| !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
        if kind != BodyKind::None && is_packed {
            return Err(Error::UnsupportedEncoding);
        }
        let nodes = self.nodes.as_ref().filter(|_| !is_by_node);
        let forwarded = nodes.map(|nodes| (nodes, nodes.client.request(&head, &address, client, log.id())));
        let admitted = match admission {
            Admission::Request(admitted) => admitted,
            Admission::Elsewhere(route, id) => {
                let is_accepted = sent_as(&head, route).is_some() || kind == BodyKind::OAuthForm;
                let body = self.body_to_forward(body, kind, is_accepted).await?;
                let response = match &forwarded {
                    Some((nodes, request)) => {
                        self.forward(nodes, request, (Subject::Workspace(id), route), body, log).await?
                    }
                    None => None,
                };
                // Without a response, this node serves the workspace since a moment ago.
                return response.ok_or(Error::Elsewhere(id));
            }
            Admission::Preflight | Admission::SignIn => return Err(Error::Internal("it has a response".into())),
        };
        let id = admitted.workspace.as_ref().map(|workspace| workspace.id());
        let mut request = Arc::new(self.build_request(head, admitted, address, client, log.id(), now));
        let (received, _room) = match kind {
            BodyKind::None => (Bytes::new(), None),
            kind => self.read_body(body, kind, &request).await?,
        };
        // Cloning the bytes copies nothing.
        let sent = received.clone();
        if let (Some((nodes, request)), None) = (&forwarded, id) {
            let sent = ForwardedBody::Whole(sent.clone());
            if let Some(response) = self.forward(nodes, request, (Subject::Central, route), sent, log).await? {
                return Ok(response);
            }
            log.is_handled_here();
        }
        let alone = Arc::get_mut(&mut request);
        let alone = alone.ok_or_else(|| Error::Internal("a request without its body is already shared".into()))?;
        match alone.sent_as {
            Some(MediaType::Multipart) => alone.form = Some(multipart::parse(&alone.headers, received).await?),
            _ => alone.body = received,
        }
        pages::check_form(&request)?;
        let mut answered = dispatch::run(RoutedRequest { request: Arc::clone(&request), route }).await;
        if let Err(Error::UnknownHosts(names)) = &answered.result {
            self.resolve_hosts(names, now).await;
            answered = dispatch::run(RoutedRequest { request: Arc::clone(&request), route }).await;
        }
        if let Err(Error::NeedsTimeZone) = &answered.result {
            dispatch::load_time_zone(&request).await?;
            answered = dispatch::run(RoutedRequest { request: Arc::clone(&request), route }).await;
        }
        if let Err(Error::NeedsTexts(missing)) = &answered.result {
            dispatch::index_texts(&request, missing.clone()).await?;
            answered = dispatch::run(RoutedRequest { request: Arc::clone(&request), route }).await;
        }
        if let (Err(Error::Elsewhere(id)), Some((nodes, request))) = (&answered.result, &forwarded) {
            nodes.refresh_unless_elsewhere(*id).await;
            let subject = Subject::Workspace(*id);
            let sent = ForwardedBody::Whole(sent);
            return self.forward(nodes, request, (subject, route), sent, log).await?.ok_or(Error::Elsewhere(*id));
        }
        if let Some(page) = page {
            page.speak_as(&request);
        }
        let DispatchResult { result, waited, worked } = answered;
        log.timed(waited, worked);
        if let Some(lane) = dispatch::lane_name(route) {
            self.instance.metrics.request_waited(lane, waited);
        }
        let result = result.and_then(|answer| response_body::answer(answer, &request, route, &self.streams));
        match (result, id) {
            (Err(error), None) => Err(error.on_central()),
            // The workspace was probably deleted between its look-up and its turn. Then it is not damaged, but gone.
            (Err(Error::Damaged(detail)), Some(id)) => {
                require_active(self.instance.directory.current(&self.instance.keys)?.by_id(id)?)?;
                Err(Error::Damaged(detail))
            }
            (result, _) => result,
        }
    }

    /// Resolves host names in a task, so that no thread with a file waits for the network. A name that is not resolved
    /// in time has no addresses.
    async fn resolve_hosts(&self, names: &[String], now: Timestamp) {
        let until = Instant::now() + LONGEST_LOOK_UP;
        for name in names {
            let found = tokio::time::timeout_at(until, tokio::net::lookup_host((name.as_str(), 0))).await;
            let addresses = found.ok().and_then(Result::ok).into_iter().flatten();
            let addresses = addresses.map(|address| address.ip().to_canonical()).collect();
            self.instance.node.host_names.remember(name.clone(), addresses, now);
        }
    }

    /// The request without its body.
    fn build_request(
        &self,
        head: Parts,
        admitted: Admitted,
        address: Address,
        client: IpAddr,
        id: Uuid,
        now: Timestamp,
    ) -> Request {
        let Admitted { layer, audience, route, path_values, credential, workspace } = admitted;
        let sent_as = sent_as(&head, route);
        Request {
            instance: Arc::clone(&self.instance),
            router: Arc::clone(&self.router),
            method: route.method.clone(),
            route_path: route.path,
            needs: route.needs,
            accepts: route.handler.body(),
            has_form_key: route.has_form_key,
            audience,
            layer,
            path_values,
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: Bytes::new(),
            form: None,
            sent_as,
            headers: head.headers,
            credential,
            workspace,
            address,
            time_zone: OnceLock::new(),
            workspace_language: OnceLock::new(),
            texts_indexed: OnceLock::new(),
            client,
            id,
            now,
        }
    }

    /// Reads a body completely. A larger-than-usual body is read only after authorization and while memory is
    /// available. The unread rest is left for [`Service::drain_in_background`].
    async fn read_body<B>(
        &self,
        body: &mut Option<B>,
        kind: BodyKind,
        request: &Arc<Request>,
    ) -> Result<(Bytes, Option<BodyPermit>)>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(incoming) = body else { return Ok((Bytes::new(), None)) };
        let largest = kind.max_bytes();
        let is_refused = request.sent_as.is_none() && kind != BodyKind::OAuthForm;
        check_announced(incoming.size_hint().lower(), kind, !is_refused)?;
        let until = Instant::now() + self.instance.config.body_timeout;
        let (mut pieces, mut length, mut room) = (Vec::new(), 0, None);
        while let Some(piece) = next_piece(body, until).await? {
            length += piece.len();
            if length > largest {
                return Err(Error::TooLarge(largest));
            }
            if length > BodyKind::USUAL && room.is_none() {
                room = Some(self.reserve_body(request).await?);
            }
            pieces.push(piece);
        }
        if length > 0 && is_refused {
            return Err(Error::UnsupportedMediaType(kind));
        }
        let whole = if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() };
        Ok((whole, room))
    }

    /// Authorizes the request and reserves memory for a large body, if there is any left in total and for the
    /// workspace's owner.
    async fn reserve_body(&self, request: &Arc<Request>) -> Result<BodyPermit> {
        dispatch::authorize(request).await?;
        let group = request.workspace.as_ref().and_then(|workspace| workspace.group());
        let _of_group = group.map(|group| group.large_body().ok_or(Error::Overloaded)).transpose()?;
        let _of_all = Arc::clone(&self.large_bodies).try_acquire_owned().map_err(|_| Error::Overloaded)?;
        Ok(BodyPermit { _of_group, _of_all })
    }
}

/// Checks the announced length of a body before any of it is read.
pub fn check_announced(announced: u64, kind: BodyKind, is_accepted: bool) -> Result<()> {
    match announced {
        0 => Ok(()),
        _ if announced > kind.max_bytes() as u64 => Err(Error::TooLarge(kind.max_bytes())),
        _ if !is_accepted => Err(Error::UnsupportedMediaType(kind)),
        _ => Ok(()),
    }
}

/// The next piece of a body. `None` at its end. The body is taken away at its end, and when it cannot be read.
pub async fn next_piece<B>(body: &mut Option<B>, until: Instant) -> Result<Option<Bytes>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let Some(incoming) = body else { return Ok(None) };
    let piece = match tokio::time::timeout_at(until, incoming.frame()).await {
        Ok(Some(Ok(frame))) => return Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) => Err(Error::BadRequest("The body could not be read.")),
        Err(_) => Err(Error::BodyTimeout),
    };
    *body = None;
    piece
}

/// The time at which a request arrives or is forwarded.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The media type of the body, if the route accepts it.
fn sent_as(head: &Parts, route: &Route) -> Option<MediaType> {
    let types = route.handler.body().types();
    types.iter().copied().find(|known| has_type(&head.headers, known.name()))
}

/// True if the client waits for `100 Continue` before it sends its body. Reading the body would send that.
fn expects_continue(head: &Parts) -> bool {
    head.headers.contains_key(header::EXPECT)
}

async fn drain<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = MOST_LINGERED;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// Security headers: no sniffing of types (Fetch, 3.6), no caching unless the response allows it, no referrer, and
/// HTTPS only (RFC 6797).
fn secure(headers: &mut HeaderMap, hsts_max_age: u32) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    if hsts_max_age > 0
        && let Ok(kept) = HeaderValue::try_from(format!("max-age={hsts_max_age}"))
    {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, kept);
    }
}

/// Removes the content of a response to `HEAD`. hyper does that for HTTP/1, but not for HTTP/2.
fn without_content(response: Response<Outgoing>) -> Response<Outgoing> {
    let (mut head, content) = response.into_parts();
    if let Some(length) = content.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    Response::from_parts(head, response_body::full(Bytes::new()))
}

fn redirect(place: HeaderValue) -> Response<Outgoing> {
    let mut response = Response::new(response_body::full(Bytes::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, place);
    response
}

/// True if the body has this media type. Parameters are ignored: JSON is always UTF-8 (RFC 8259, 8.1).
fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{PASSWORD, TestServer};

    #[test]
    fn every_answer_says_how_a_browser_is_to_take_it() {
        let server = TestServer::with(&[("trusted_proxies", "127.0.0.1")]);
        let contact = server.admin().post("/contacts", serde_json::json!({"last_name": "Ada"}));
        let answers = [
            contact,
            server.admin().get("/contacts/1"),
            server.admin().get("/contacts"),
            server.admin().get("/contacts/export"),
            server.admin().get("/contacts/99"),
            server.anonymous().get("/nowhere"),
            server.anonymous().post("/login", serde_json::json!({"email": "owner@example.com", "password": PASSWORD})),
            server.anonymous().at("acme.localhost").get("/ui/sign-in"),
        ];
        for answer in answers {
            let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{answer:?}");
            assert_eq!(header("cache-control"), Some("no-store"), "{answer:?}");
            assert_eq!(header("referrer-policy"), Some("no-referrer"), "{answer:?}");
            assert_eq!(header("strict-transport-security"), None, "{answer:?}");
        }
        let by_https = |server: &TestServer| {
            let answer = server.anonymous().with_header("x-forwarded-proto", "https").get("/nowhere");
            answer.headers.get(header::STRICT_TRANSPORT_SECURITY).cloned()
        };
        assert_eq!(by_https(&server).unwrap(), "max-age=15552000");
        let off = TestServer::with(&[("trusted_proxies", "127.0.0.1"), ("hsts_max_age", "0")]);
        assert_eq!(by_https(&off), None);
    }
}

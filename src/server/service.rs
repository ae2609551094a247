//! The pipeline of a request: head, tenant, route, credential, workspace, body, execution, response.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Duration, Instant};

use super::body::{self, Outgoing};
use super::forwarded::Forwarded;
use super::log::Line;
use super::metrics;
use super::turn::{self, Answered};
use crate::api::{
    self, Address, Body as BodyKind, Call, Error, Layer, MediaType, Needs, Result, Route, Router, in_service,
};
use crate::auth::{CALL_FLOW_PREFIX, Credential, KEY_PREFIX, TokenFault, secret};
use crate::engine::Engine;
use crate::pages;
use crate::tenancy::settings::Home;
use crate::tenancy::{Bearer, Current, Host, LargeBody, Lease, Listed, host, workspace_in};
use crate::values::Timestamp;

/// Maximum number of larger-than-usual bodies in memory at once, from arrival to response. Sized for a small machine.
const LARGE_BODIES: usize = 8;

/// Limits for draining a rejected body, in bytes and in time: see [`Service::linger`].
const MOST_LINGERED: usize = 64 * 1024 * 1024;
const LONGEST_LINGER: Duration = Duration::from_secs(10);

/// Time limit for the DNS look-up of a token's allowed hosts.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(3);

/// Names the workspace in a request to the central host.
const WORKSPACE: HeaderName = HeaderName::from_static("x-workspace");

/// Handles requests from every connection.
pub struct Service {
    engine: Arc<Engine>,
    router: Arc<Router>,
    large_bodies: Arc<Semaphore>,
    scraping: tokio::sync::Mutex<()>,
    stopping: watch::Sender<bool>,
}

/// Permission to hold one large body, returned on drop.
struct Room {
    _of_group: Option<LargeBody>,
    _of_all: OwnedSemaphorePermit,
}

/// The result of routing and authentication.
struct Addressed {
    layer: Layer,
    route: &'static Route,
    path_values: Vec<String>,
    credential: Credential,
    workspace: Option<Lease>,
}

impl Service {
    pub fn new(engine: Arc<Engine>, router: Arc<Router>) -> Self {
        Self {
            engine,
            router,
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            scraping: tokio::sync::Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Rejects every request from now on, and notifies the connections.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Outgoing>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let (head, body) = request.into_parts();
        let waits = waits(&head);
        let forwarded = self.forwarded(&head.headers, peer);
        let client = client(&forwarded, peer);
        let origin = self.allowed_origin(&head.headers).cloned();
        let _running = self.engine.meter.request_began();
        let mut line = Line::new(&head, client);
        let is_secure = self.is_secure(&forwarded);
        let mut body = Some(body);
        let answered = match forwarded {
            Ok(forwarded) => self.answer_parts(head, &mut body, forwarded, client, &mut line).await,
            Err(error) => Err(error),
        };
        if let Some(rest) = body.filter(|_| !waits) {
            self.linger(rest);
        }
        let mut response = self.finish(line, is_secure, answered);
        self.allow_origin(origin, response.headers_mut());
        response
    }

    /// Rejects a request that violates HTTP.
    pub fn refuse<B>(&self, request: Request<B>, peer: IpAddr, why: &'static str) -> Response<Outgoing> {
        let (head, _) = request.into_parts();
        let forwarded = self.forwarded(&head.headers, peer);
        let line = Line::new(&head, client(&forwarded, peer));
        self.finish(line, self.is_secure(&forwarded), Err(Error::BadRequest(why)))
    }

    /// Redirects a plain HTTP request to the same URL with HTTPS, with any path. The 308 keeps method and body (RFC
    /// 9110, 15.4.9).
    pub fn send_on<B>(&self, request: Request<B>, peer: IpAddr, port: u16) -> Response<Outgoing>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let (head, body) = request.into_parts();
        if !waits(&head) {
            self.linger(body);
        }
        let line = Line::new(&head, peer);
        self.finish(line, false, self.place_with_tls(&head, peer, port).map(moved))
    }

    /// Drains the rest of an unwanted body, within limits, while the response is sent. A client that writes everything
    /// before it reads would otherwise get a connection reset instead of the response (RFC 9112, 9.6).
    fn linger<B>(&self, body: B)
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

    /// True if the client is known to use HTTPS.
    fn is_secure(&self, forwarded: &Result<Forwarded>) -> bool {
        let said = forwarded.as_ref().ok().and_then(|forwarded| forwarded.scheme);
        said.unwrap_or(self.engine.config.scheme()) == "https"
    }

    /// The HTTPS URL of the request. Fails for unknown hosts, so that nobody is redirected to a foreign host.
    fn place_with_tls(&self, head: &Parts, peer: IpAddr, port: u16) -> Result<HeaderValue> {
        check_head(head)?;
        let authority = self.address(head, self.forwarded(&head.headers, peer)?)?.authority;
        self.tenant(&authority)?;
        let name = authority.rsplit_once(':').map_or(authority.as_str(), |(name, _)| name);
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        HeaderValue::try_from(format!("https://{name}{port}{path}")).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Builds the response, or the response to an error; adds the common headers, counts it and logs it.
    fn finish(&self, mut line: Line, is_secure: bool, answered: Result<Response<Outgoing>>) -> Response<Outgoing> {
        let mut response = answered.unwrap_or_else(|error| {
            line.error(&error);
            self.engine.meter.refused(error.code());
            error.into_response().map(body::whole)
        });
        secure(response.headers_mut(), if is_secure { self.engine.config.hsts_max_age } else { 0 });
        let has_no_content = line.finish(&mut response, &self.engine.meter);
        if has_no_content { without_content(response) } else { response }
    }

    async fn answer_parts<B>(
        &self,
        head: Parts,
        body: &mut Option<B>,
        forwarded: Forwarded,
        client: IpAddr,
        line: &mut Line,
    ) -> Result<Response<Outgoing>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if *self.stopping.borrow() {
            return Err(Error::ShuttingDown);
        }
        check_head(&head)?;
        if let Some(answer) = self.answer_beside(&head, line).await {
            return answer;
        }
        let mut address = self.address(&head, forwarded)?;
        let tenant = self.addressed(&head.headers, &mut address)?;
        let now = Timestamp::now();
        let Addressed { layer, route, path_values, credential, workspace } =
            match self.find(&head, tenant, &address.path, now, line).map_err(Error::of_server)? {
                Some(addressed) => addressed,
                None => return Ok(preflight(&head)),
            };
        let id = workspace.as_ref().map(|workspace| workspace.id());
        let kind = route.handler.body();
        let sent_as = kind.types().iter().copied().find(|known| has_type(&head.headers, known.name()));
        // Compressed bodies are rejected: a small one could expand without limit.
        let mut encodings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        let is_packed = encodings.any(|encoding| !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
        if kind != BodyKind::None && is_packed {
            return Err(Error::UnsupportedEncoding);
        }
        let mut call = Arc::new(Call {
            engine: Arc::clone(&self.engine),
            router: Arc::clone(&self.router),
            route,
            layer,
            path_values,
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: Bytes::new(),
            sent_as,
            headers: head.headers,
            credential,
            workspace,
            address,
            zone: OnceLock::new(),
            client,
            now,
        });
        let (received, _room) = match kind {
            BodyKind::None => (Bytes::new(), None),
            kind => self.read_body(body, kind, sent_as, &call).await?,
        };
        let alone = Arc::get_mut(&mut call);
        alone.ok_or_else(|| Error::Internal("a request without its body is already shared".into()))?.body = received;
        let mut answered = turn::run(Arc::clone(&call)).await;
        if let Err(Error::UnknownHosts(names)) = &answered.result {
            self.learn_addresses(names, now).await;
            answered = turn::run(Arc::clone(&call)).await;
        }
        if let Err(Error::NeedsZone) = &answered.result {
            self.learn_zone(&call).await?;
            answered = turn::run(call).await;
        }
        let Answered { result, waited, worked } = answered;
        line.timed(waited, worked);
        if let Some(lane) = turn::lane(route) {
            self.engine.meter.waited(lane, waited);
        }
        match (result, id) {
            (Err(error), None) => Err(error.of_server()),
            // The workspace was probably deleted between its look-up and its turn. Then it is not damaged, but gone.
            (Err(Error::Damaged(detail)), Some(id)) => {
                in_service(self.engine.directory.current(&self.engine.keys)?.identified(id)?)?;
                Err(Error::Damaged(detail))
            }
            (result, _) => result,
        }
    }

    /// Handles the paths outside the table of routes, on any host.
    async fn answer_beside(&self, head: &Parts, line: &mut Line) -> Option<Result<Response<Outgoing>>> {
        let path = match head.uri.path() {
            "/healthz" => "/healthz",
            "/readyz" => "/readyz",
            "/internal/tls-ask" => "/internal/tls-ask",
            "/metrics" if self.engine.config.metrics => "/metrics",
            _ => return None,
        };
        line.beside(path);
        if ![Method::GET, Method::HEAD].contains(&head.method) {
            return Some(Err(Error::MethodNotAllowed("GET, HEAD".into())));
        }
        Some(match path {
            "/healthz" => Ok(ok()),
            "/readyz" => self.is_ready().map(|()| ok()),
            "/internal/tls-ask" => self.answers_for(head.uri.query().unwrap_or_default()),
            _ => self.metrics().await,
        })
    }

    /// Ready if the central file can be read and no thread is missing.
    fn is_ready(&self) -> Result<()> {
        self.engine.directory.check().map_err(of_central)?;
        let missing = self.engine.supervisor.missing();
        if missing.is_empty() { Ok(()) } else { Err(Error::NotReady(missing)) }
    }

    /// Tells a proxy whether it may get a certificate for a domain (Caddy's on-demand TLS, `ask`): only for hosts that
    /// are served here, suspended or not. A request to the host itself would reveal the same.
    fn answers_for(&self, query: &str) -> Result<Response<Outgoing>> {
        let mut domains = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "domain");
        let (Some((_, domain)), None) = (domains.next(), domains.next()) else {
            return Err(Error::BadRequest("The query must name one domain: ?domain=acme.example.com."));
        };
        if is_address(&domain) {
            return Err(self.unknown_host());
        }
        if let Host::Workspace(label) = self.tenant(&domain)? {
            let named = self.engine.directory.current(&self.engine.keys).and_then(|mut now| now.named(&label));
            named.map_err(of_central)?.ok_or_else(|| self.unknown_host())?;
        }
        Ok(ok())
    }

    /// One at a time and outside the lanes, because it reads from the disk and takes a turn of the central file.
    async fn metrics(&self) -> Result<Response<Outgoing>> {
        let _alone = self.scraping.lock().await;
        let engine = Arc::clone(&self.engine);
        let text = turn::beside(&self.engine.executors.steps, move || metrics::page(&engine)).await;
        let text = text.ok_or_else(|| Error::Internal("collecting the metrics failed".into()))?;
        let mut response = Response::new(body::whole(text.into()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::TYPE));
        Ok(response)
    }

    /// Resolves host names in a task, so that no thread with a file waits for the network. A name that is not resolved
    /// in time has no addresses.
    async fn learn_addresses(&self, names: &[String], now: Timestamp) {
        let until = Instant::now() + LONGEST_LOOK_UP;
        for name in names {
            let found = tokio::time::timeout_at(until, tokio::net::lookup_host((name.as_str(), 0))).await;
            let addresses = found.ok().and_then(Result::ok).into_iter().flatten();
            let addresses = addresses.map(|address| address.ip().to_canonical()).collect();
            self.engine.node.host_names.learn(name.clone(), addresses, now);
        }
    }

    /// Reads the workspace's time zone. Needed only by the few requests that contain a time without a zone.
    async fn learn_zone(&self, call: &Arc<Call>) -> Result<()> {
        let reader = Arc::clone(call);
        let read = turn::beside(&self.engine.executors.steps, move || {
            let home = reader.file().read(|db| Ok::<_, Error>(Home::of(db)?))?;
            let _ = reader.zone.set(home.zone);
            Ok(())
        });
        read.await.unwrap_or(Err(Error::Overloaded))
    }

    /// Finds host, route, credential and workspace. `None` for a CORS preflight.
    fn find(
        &self,
        head: &Parts,
        tenant: Host,
        path: &str,
        now: Timestamp,
        line: &mut Line,
    ) -> Result<Option<Addressed>> {
        let mut directory = self.engine.directory.current(&self.engine.keys)?;
        let named = match &tenant {
            Host::Central => None,
            Host::Workspace(label) => Some(served(directory.named(label)?)?),
        };
        if let Some(listed) = &named {
            line.in_workspace(listed.id);
            line.named(&listed.subdomain);
        }
        let layer = if named.is_some() { Layer::Workspace } else { Layer::Central };

        let (path, is_api) = api_path(path);
        if path == "/" && !is_api {
            return Ok(Some(Addressed::open(layer, &pages::FRONT_DOOR)));
        }
        let (mut layer, matched) = match self.router.find(layer, path) {
            Some(matched) => (layer, matched),
            // A workspace's token reaches from the central host what only a workspace has.
            None => (Layer::Workspace, self.router.find(Layer::Workspace, path).ok_or_else(route_not_found)?),
        };
        if self.is_preflight(head) {
            return Ok(None);
        }
        let mut route = matched.route(&head.method)?;
        line.routed(layer, route);
        let path_values = matched.values.iter().map(|value| api::decode(value)).collect();
        let mut from_central = layer == Layer::Workspace && named.is_none();
        if from_central && route.needs == Needs::Anyone {
            return Err(route_not_found());
        }

        let credential = match route.needs {
            Needs::Anyone => Credential::None,
            _ => self.credential(bearer(&head.headers)?, &mut directory, now, line)?,
        };
        if route.follows_token && named.is_none() && credential.is_of_workspace() {
            let own = self.router.find(Layer::Workspace, path).ok_or_else(route_not_found)?;
            (layer, route, from_central) = (Layer::Workspace, own.route(&head.method)?, true);
        }
        let workspace = match (&named, &credential) {
            (Some(listed), _) => Some(listed.id),
            (None, Credential::Token(token)) if from_central => token.scope.workspace(),
            (None, Credential::Client(token)) if from_central => Some(token.workspace),
            (None, _) => None,
        };
        route.admits(layer, &credential, workspace).map_err(Error::Token)?;
        let listed = match (named, workspace) {
            (None, Some(id)) => {
                line.in_workspace(id);
                let listed = served(directory.identified(id)?)?;
                line.named(&listed.subdomain);
                Some(listed)
            }
            (named, _) => named,
        };
        let workspace = listed.map(|listed| self.engine.registry.lease_of(listed.id, listed.owner));
        Ok(Some(Addressed { layer, route, path_values, credential, workspace }))
    }

    /// Parses a bearer credential: a valid token, or the digest of a key, which is looked up later in the workspace's
    /// file.
    fn credential(
        &self,
        text: &str,
        directory: &mut Current<'_>,
        now: Timestamp,
        line: &mut Line,
    ) -> Result<Credential> {
        if text.starts_with(KEY_PREFIX) {
            return Ok(Credential::Key(secret::digest(text)));
        }
        if text.starts_with(CALL_FLOW_PREFIX) {
            return Ok(Credential::CallFlow(secret::digest(text)));
        }
        match directory.bearer(text, now)?.map_err(Error::Token)? {
            Bearer::Person(token) => {
                line.asked_by(&token);
                Ok(Credential::Token(token))
            }
            Bearer::Client(token) => Ok(Credential::Client(token)),
        }
    }

    /// Host, scheme and path as the caller used them; a trusted proxy may report the host.
    fn address(&self, head: &Parts, forwarded: Forwarded) -> Result<Address> {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let asked = head.uri.authority().map(Authority::as_str).or(host);
        let called = forwarded.host.as_deref();
        let authority = called.or(asked).ok_or(Error::BadRequest("The request needs a Host header."))?;
        // The Host header was checked with the head, and the request target must name the same host.
        if called.is_some() || host.is_none() {
            check_authority(authority)?;
        }
        Ok(Address {
            scheme: forwarded.scheme.unwrap_or(self.engine.config.scheme()),
            authority: authority.to_owned(),
            prefix: String::new(),
            path: head.uri.path().to_owned(),
        })
    }

    fn forwarded(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Forwarded> {
        let config = &self.engine.config;
        Forwarded::read(headers, peer, &config.trusted_proxies, config.forwarded_fields)
    }

    /// Reads a body completely. A larger-than-usual body is read only after authorization and while memory is
    /// available. The unread rest is left for [`Service::linger`].
    async fn read_body<B>(
        &self,
        body: &mut Option<B>,
        kind: BodyKind,
        sent_as: Option<MediaType>,
        call: &Arc<Call>,
    ) -> Result<(Bytes, Option<Room>)>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(incoming) = body else { return Ok((Bytes::new(), None)) };
        let (announced, largest) = (incoming.size_hint().lower(), kind.largest());
        if announced > largest as u64 {
            return Err(Error::TooLarge(largest));
        }
        let is_refused = sent_as.is_none() && kind != BodyKind::OAuthForm;
        if announced > 0 && is_refused {
            return Err(Error::UnsupportedMediaType(kind));
        }
        let until = Instant::now() + self.engine.config.body_timeout;
        let (mut pieces, mut length, mut room) = (Vec::new(), 0, None);
        loop {
            let piece = match tokio::time::timeout_at(until, incoming.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(_))) => {
                    *body = None;
                    return Err(Error::BadRequest("The body could not be read."));
                }
                Err(_) => {
                    *body = None;
                    return Err(Error::BodyTimeout);
                }
            };
            length += piece.len();
            if length > largest {
                return Err(Error::TooLarge(largest));
            }
            if length > BodyKind::USUAL && room.is_none() {
                room = Some(self.room(call).await?);
            }
            pieces.push(piece);
        }
        *body = None;
        if length > 0 && is_refused {
            return Err(Error::UnsupportedMediaType(kind));
        }
        let whole = if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() };
        Ok((whole, room))
    }

    /// Authorizes the request and reserves memory for a large body, if there is any left in total and for the
    /// workspace's owner.
    async fn room(&self, call: &Arc<Call>) -> Result<Room> {
        turn::authorize(call).await?;
        let group = call.workspace.as_ref().and_then(|workspace| workspace.group());
        let _of_group = group.map(|group| group.large_body().ok_or(Error::Overloaded)).transpose()?;
        let _of_all = Arc::clone(&self.large_bodies).try_acquire_owned().map_err(|_| Error::Overloaded)?;
        Ok(Room { _of_group, _of_all })
    }

    /// Resolves a host to the central API or a workspace.
    fn tenant(&self, authority: &str) -> Result<Host> {
        let config = &self.engine.config;
        // An IP address has no subdomains, so the path names the workspace.
        if config.workspace_by_path && is_address(authority) {
            return Ok(Host::Central);
        }
        host(authority, &config.central_domain).ok_or_else(|| self.unknown_host())
    }

    /// Resolves the host of a request. With `workspace_by_path`, a request to the central host may name a workspace by
    /// path or header; the path then becomes the one on the workspace's own host.
    fn addressed(&self, headers: &HeaderMap, address: &mut Address) -> Result<Host> {
        let tenant = self.tenant(&address.authority)?;
        if tenant != Host::Central || !self.engine.config.workspace_by_path {
            return Ok(tenant);
        }
        let mut named = headers.get_all(WORKSPACE).iter();
        let in_header = named.next().map(|label| label.as_bytes().trim_ascii().to_ascii_lowercase());
        let in_path = workspace_in(&address.path);
        let is_one = match (&in_path, &in_header) {
            (Some((label, ..)), Some(header)) => label.as_bytes() == header,
            _ => true,
        };
        if !is_one || named.next().is_some() {
            return Err(Error::BadRequest("The request names two workspaces."));
        }
        Ok(match (in_path, in_header) {
            (Some((label, prefix, path)), _) => {
                (address.prefix, address.path) = (prefix, path);
                Host::Workspace(label)
            }
            (None, Some(label)) => Host::Workspace(String::from_utf8_lossy(&label).into_owned()),
            (None, None) => Host::Central,
        })
    }

    fn unknown_host(&self) -> Error {
        let domain = &self.engine.config.central_domain;
        Error::NotFound {
            code: "unknown_host",
            message: format!("This server serves {domain} and workspaces one label below it."),
        }
    }

    fn is_preflight(&self, head: &Parts) -> bool {
        head.method == Method::OPTIONS
            && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && self.allowed_origin(&head.headers).is_some()
    }

    fn allowed_origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.engine.config.cors_origins.iter().any(|allowed| origin == allowed.as_str()).then_some(origin)
    }

    /// Lets pages of a configured origin read the response (Fetch, CORS protocol).
    fn allow_origin(&self, origin: Option<HeaderValue>, answered: &mut HeaderMap) {
        if self.engine.config.cors_origins.is_empty() {
            return;
        }
        answered.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            answered.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answered.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("ETag, Idempotency-Replayed, X-Request-Id, Retry-After"),
            );
        }
    }
}

impl Addressed {
    /// A public route, without a credential.
    fn open(layer: Layer, route: &'static Route) -> Self {
        Self { layer, route, path_values: Vec::new(), credential: Credential::None, workspace: None }
    }
}

/// The workspace, if it exists and is in service.
fn served(found: Option<Listed>) -> Result<Listed> {
    let listed = found.ok_or_else(Error::workspace_not_found)?;
    in_service(Some(listed.clone()))?;
    Ok(listed)
}

/// True if the client waits for `100 Continue` before it sends its body. Reading the body would send that.
fn waits(head: &Parts) -> bool {
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
    Response::from_parts(head, body::whole(Bytes::new()))
}

/// The client's address: the peer, or the address that a trusted proxy reported.
fn client(forwarded: &Result<Forwarded>, peer: IpAddr) -> IpAddr {
    forwarded.as_ref().ok().and_then(|forwarded| forwarded.client).unwrap_or(peer)
}

/// Rejects heads that violate HTTP or that a proxy before us may have read differently.
fn check_head(head: &Parts) -> Result<()> {
    let bad = |why| Err(Error::BadRequest(why));
    if head.method == Method::CONNECT || head.uri.path().is_empty() {
        return bad("This server is not a proxy.");
    }
    // hyper treats a body as chunked even if other encodings are listed.
    let mut encodings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return bad("The only supported transfer encoding is chunked.");
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return bad("The request must have only one Host header.");
    }
    if let Some(host) = host {
        check_authority(host.to_str().unwrap_or_default())?;
    } else if head.version == Version::HTTP_11 {
        return bad("The request needs a Host header.");
    }
    match (head.uri.authority(), host) {
        (Some(target), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()) => {
            bad("The Host header and the request target name different hosts.")
        }
        _ => Ok(()),
    }
}

/// Accepts only a host, optionally with a port.
fn check_authority(text: &str) -> Result<()> {
    let is_one = !text.contains(['@', ',']) && Authority::try_from(text).is_ok();
    if is_one { Ok(()) } else { Err(Error::BadRequest("The Host header must be a host, optionally with a port.")) }
}

/// True if a host, optionally with a port, is an IP address.
fn is_address(authority: &str) -> bool {
    let bare = authority.strip_prefix('[').and_then(|rest| rest.split(']').next());
    bare.map_or_else(
        || authority.split(':').next().is_some_and(|name| name.parse::<Ipv4Addr>().is_ok()),
        |bare| bare.parse::<Ipv6Addr>().is_ok(),
    )
}

fn ok() -> Response<Outgoing> {
    Response::new(body::whole(Bytes::from_static(b"ok\n")))
}

fn moved(place: HeaderValue) -> Response<Outgoing> {
    let mut response = Response::new(body::whole(Bytes::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, place);
    response
}

fn preflight(head: &Parts) -> Response<Outgoing> {
    let mut response = Response::new(body::whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if let Some(asked) = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

/// For errors while reading the central file.
fn of_central(error: rusqlite::Error) -> Error {
    Error::from(error).of_server()
}

fn route_not_found() -> Error {
    Error::NotFound { code: "route_not_found", message: "No such path. /docs lists all paths.".into() }
}

/// The path as in the table, and whether it had the prefix `/api`. One slash at the end is ignored.
fn api_path(path: &str) -> (&str, bool) {
    let (path, is_api) = match path.strip_prefix("/api") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (rest, true),
        _ => (path, false),
    };
    match path.strip_suffix('/').unwrap_or(path) {
        "" => ("/", is_api),
        path => (path, is_api),
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750, 2.1). Two headers are rejected, since others may have read
/// the other one.
fn bearer(headers: &HeaderMap) -> Result<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::Token(TokenFault::Missing))?;
    if values.next().is_some() {
        return Err(Error::Token(TokenFault::Invalid));
    }
    let text = value.to_str().map_err(|_| Error::Token(TokenFault::Invalid))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Error::Token(TokenFault::Invalid)),
    }
}

/// True if the body has this media type. Parameters are ignored: JSON is always UTF-8 (RFC 8259, 8.1).
fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::testing::{Bench, PASSWORD};

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

    #[test]
    fn every_answer_says_how_a_browser_is_to_take_it() {
        let bench = Bench::with(&[("trusted_proxies", "127.0.0.1")]);
        let contact = bench.admin().post("/contacts", serde_json::json!({"last_name": "Ada"}));
        let answers = [
            contact,
            bench.admin().get("/contacts/1"),
            bench.admin().get("/contacts"),
            bench.admin().get("/contacts/export"),
            bench.admin().get("/contacts/99"),
            bench.nobody().get("/nowhere"),
            bench.nobody().post("/login", serde_json::json!({"email": "owner@example.com", "password": PASSWORD})),
            bench.nobody().at("acme.localhost").get("/ui/sign-in"),
        ];
        for answer in answers {
            let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{answer:?}");
            assert_eq!(header("cache-control"), Some("no-store"), "{answer:?}");
            assert_eq!(header("referrer-policy"), Some("no-referrer"), "{answer:?}");
            assert_eq!(header("strict-transport-security"), None, "{answer:?}");
        }
        let by_https = |bench: &Bench| {
            let answer = bench.nobody().with_header("x-forwarded-proto", "https").get("/nowhere");
            answer.headers.get(header::STRICT_TRANSPORT_SECURITY).cloned()
        };
        assert_eq!(by_https(&bench).unwrap(), "max-age=15552000");
        let off = Bench::with(&[("trusted_proxies", "127.0.0.1"), ("hsts_max_age", "0")]);
        assert_eq!(by_https(&off), None);
    }
}

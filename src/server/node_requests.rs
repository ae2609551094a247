//! HTTP between nodes: a client with connections that stay open, and the signed header that tells where a request comes
//! from.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use uuid::Uuid;

use super::forwarded::Forwarded;
use super::log::LogLimiter;
use super::response_body::StreamAborted;
use crate::api::Address;
use crate::auth::{NODE_HEADER, NodeKey, RequestOrigin};
use crate::cluster::UNTRUSTED_NODE;
use crate::outgoing::root_certificates;
use crate::values::Timestamp;

/// Time limit for a connection, with TLS.
const CONNECT: Duration = Duration::from_secs(2);

/// After a connection was not made in time, further ones are not tried for so long.
const PAUSE: Duration = Duration::from_secs(3);

/// A connection is given up when the other machine has confirmed nothing for so long. It is asked while nothing is sent, so
/// that a stream ends as well.
const UNCONFIRMED: Duration = Duration::from_secs(5);
const ASKED_AFTER: Duration = Duration::from_secs(2);
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Connections that no request uses, for each node, and how long they stay open. The other node closes them later, so
/// that it seldom closes one on which a request is sent at that moment.
const MOST_IDLE: usize = 64;
const LONGEST_IDLE: Duration = Duration::from_secs(5);

/// Headers of one connection (RFC 9110, 7.6.1), besides those that `Connection` names, and `Expect`, which this node
/// answers.
const OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

const NODE: HeaderName = HeaderName::from_static(NODE_HEADER);

/// The body of a request to another node.
pub type NodeRequestBody = UnsyncBoxBody<Bytes, StreamAborted>;

/// Why there is no response.
pub enum SendError {
    /// Nothing was sent. Contains the body.
    Unreachable(NodeRequestBody),
    /// The request was sent, at least in part.
    NoResponse,
}

/// Sends requests to other nodes.
pub struct NodeClient {
    key: NodeKey,
    /// The name of this node.
    name: String,
    idle: Arc<Mutex<HashMap<String, Vec<IdleConnection>>>>,
    /// Nodes to which a connection was not made in time, and since when.
    silent: Mutex<HashMap<String, Instant>>,
    /// The file `node_root`.
    root: Option<PathBuf>,
    tls: OnceLock<TlsConnector>,
    untrusted_log: Mutex<LogLimiter>,
}

struct IdleConnection {
    sender: SendRequest<NodeRequestBody>,
    since: Instant,
}

/// The head of a request, as another node gets it. It is signed when it is sent.
pub struct NodeRequest {
    pub method: Method,
    path_and_query: String,
    headers: HeaderMap,
    origin: RequestOrigin,
}

impl NodeClient {
    pub fn new(key: NodeKey, name: String, root: Option<PathBuf>) -> Self {
        Self {
            key,
            name,
            idle: Arc::default(),
            silent: Mutex::default(),
            root,
            tls: OnceLock::new(),
            untrusted_log: Mutex::default(),
        }
    }

    /// A request that another node gets from this one, with what this node knows about the client.
    pub fn request(&self, head: &Parts, address: &Address, client: IpAddr, id: Uuid) -> NodeRequest {
        let mut headers = head.headers.clone();
        remove_connection_headers(&mut headers);
        // It is set again for what is sent.
        headers.remove(header::CONTENT_LENGTH);
        // HTTP/2 has the host in the request target.
        if let Some(host) = head.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            headers.insert(header::HOST, host);
        }
        NodeRequest {
            method: head.method.clone(),
            path_and_query: path_and_query(head).to_owned(),
            headers,
            origin: RequestOrigin {
                node: self.name.clone(),
                id,
                client,
                scheme: address.scheme.to_owned(),
                host: address.authority.clone(),
            },
        }
    }

    /// Takes the signed header out of a request. `None` if there is none, an error if it is not valid.
    pub fn take_origin(&self, head: &mut Parts, now: Timestamp) -> Result<Option<RequestOrigin>, UnknownNode> {
        let mut signed = head.headers.get_all(NODE).iter();
        let Some(first) = signed.next() else { return Ok(None) };
        let first = first.to_str().ok().filter(|_| signed.next().is_none());
        let verify = |signed| self.key.verify(signed, head.method.as_str(), path_and_query(head), now);
        let origin = first.and_then(verify).ok_or(UnknownNode)?;
        head.headers.remove(NODE);
        Ok(Some(origin))
    }

    /// Sends a request and waits for the head of the response. A dropped future or body ends the request.
    pub async fn send(
        &self,
        url: &str,
        head: &NodeRequest,
        body: NodeRequestBody,
        now: Timestamp,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = match self.signed(head, now) {
            Ok(request) => request.map(|()| body),
            Err(_) => return Err(SendError::Unreachable(body)),
        };
        loop {
            let idle = self.take_idle(url);
            let is_new = idle.is_none();
            let mut sender = match idle {
                Some(sender) => sender,
                None => match self.connect(url).await {
                    Ok(sender) => sender,
                    Err(error) => {
                        tracing::debug!(url, %error, "another node cannot be reached");
                        return Err(SendError::Unreachable(request.into_body()));
                    }
                },
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(url, sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    // The other node has closed a connection that was idle.
                    Some(unsent) if !is_new => request = unsent,
                    Some(unsent) => return Err(SendError::Unreachable(unsent.into_body())),
                    None => {
                        tracing::debug!(url, error = %error.error(), "another node has not responded");
                        return Err(SendError::NoResponse);
                    }
                },
            }
        }
    }

    fn signed(&self, head: &NodeRequest, now: Timestamp) -> http::Result<Request<()>> {
        let signed = self.key.sign(&head.origin, head.method.as_str(), &head.path_and_query, now);
        let mut request = Request::builder().method(&head.method).uri(&head.path_and_query).body(())?;
        *request.headers_mut() = head.headers.clone();
        request.headers_mut().insert(NODE, HeaderValue::try_from(signed)?);
        Ok(request)
    }

    fn take_idle(&self, url: &str) -> Option<SendRequest<NodeRequestBody>> {
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(url)?;
        connections.retain(|idle| idle.since.elapsed() < LONGEST_IDLE && idle.sender.is_ready());
        connections.pop().map(|idle| idle.sender)
    }

    /// Keeps a connection for later requests as soon as the client has read the whole response. If the client leaves before,
    /// hyper closes the connection.
    fn keep(&self, url: &str, mut sender: SendRequest<NodeRequestBody>) {
        let (idle, url) = (Arc::clone(&self.idle), url.to_owned());
        tokio::spawn(async move {
            if sender.ready().await.is_err() {
                return;
            }
            let mut idle = idle.lock();
            let connections = idle.entry(url).or_default();
            if connections.len() < MOST_IDLE {
                connections.push(IdleConnection { sender, since: Instant::now() });
            }
        });
    }

    async fn connect(&self, url: &str) -> io::Result<SendRequest<NodeRequestBody>> {
        if self.silent.lock().get(url).is_some_and(|since| since.elapsed() < PAUSE) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match tokio::time::timeout(CONNECT, self.connect_without_limit(url)).await {
            Ok(connected) => {
                self.silent.lock().remove(url);
                connected
            }
            Err(_) => {
                self.silent.lock().insert(url.to_owned(), Instant::now());
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    async fn connect_without_limit(&self, url: &str) -> io::Result<SendRequest<NodeRequestBody>> {
        let uri: Uri = url.parse().map_err(io::Error::other)?;
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        notice_silence(&stream)?;
        if !is_tls {
            return handshake(stream).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let secured = self.tls()?.connect(name, stream).await.inspect_err(|error| {
            let is_untrusted = error.to_string().contains("invalid peer certificate");
            if is_untrusted && let Some(times) = self.untrusted_log.lock().times(Instant::now()) {
                tracing::warn!(url, %error, times, "{UNTRUSTED_NODE}");
            }
        });
        handshake(secured?).await
    }

    /// Created with the first connection, so that nodes without TLS need not read the system's certificates.
    fn tls(&self) -> io::Result<&TlsConnector> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let mut roots = RootCertStore::empty();
        let read = root_certificates("node_root", self.root.as_deref()).map_err(io::Error::other)?;
        roots.add_parsable_certificates(read);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| TlsConnector::from(Arc::new(config))))
    }
}

/// The request has the header of a node, and it is not valid.
pub struct UnknownNode;

/// Makes a connection fail on which the other machine confirms nothing any more, because it is off or the network is cut.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, ASKED_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASKED_EVERY)?;
    // Other systems notice it only while nothing is sent.
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, UNCONFIRMED.as_millis() as u32)?;
    Ok(())
}

async fn handshake<S>(stream: S) -> io::Result<SendRequest<NodeRequestBody>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Its error is also that of the request.
    tokio::spawn(async move { connection.await.is_ok() });
    Ok(sender)
}

/// What another node tells about a request. `None` if its scheme is not known.
pub fn forwarded_by_node(origin: &RequestOrigin) -> Option<Forwarded> {
    let scheme = ["http", "https"].into_iter().find(|known| *known == origin.scheme)?;
    Some(Forwarded {
        client: Some(origin.client),
        host: Some(origin.host.clone()),
        scheme: Some(scheme),
        is_by_node: true,
    })
}

/// Removes what belongs to one connection (RFC 9110, 7.6.1).
pub fn remove_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTION.into_iter().chain([KEEP_ALIVE]).chain(named) {
        headers.remove(name);
    }
}

fn path_and_query(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("/", |path| path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_are_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("x-kept", "3"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        remove_connection_headers(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}

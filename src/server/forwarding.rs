//! Forwards a request to the node that serves its workspace, or to the node that serves central requests.
//!
//! A forwarded request is not forwarded again: a node that does not serve it answers 503 with the header
//! `X-Cx-Elsewhere`, and the first node finds out who does.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::watch;
use uuid::Uuid;

use super::dispatch;
use super::log::RequestLog;
use super::node_requests::{NodeClient, NodeRequest, NodeRequestBody, SendError, remove_connection_headers};
use super::response_body::{self, Outgoing, StreamAborted, Unending};
use super::service::{Service, check_announced, next_piece, now};
use crate::api::{BodyKind, Error, Result, Route};
use crate::auth::NodeKey;
use crate::cluster::{NodeDirectory, Owner};
use crate::executors::Executor;
use crate::instance::Instance;

/// Names the workspace that another node serves, in a response to a node. Empty if the node serves nothing.
const ELSEWHERE: HeaderName = HeaderName::from_static("x-cx-elsewhere");

/// How much longer the first node waits for the head of a response than the other node takes.
const GRACE: Duration = Duration::from_secs(5);

/// Time limit for requests that may take long: imports, exports, backups.
const LONGEST: Duration = Duration::from_secs(900);

/// Times that a request is sent at most.
const MOST_ATTEMPTS: usize = 4;

/// The other nodes.
pub struct OtherNodes {
    pub client: NodeClient,
    directory: Arc<dyn NodeDirectory>,
    instance: Arc<Instance>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Central,
    Workspace(Uuid),
}

/// The body of a request that is forwarded.
pub enum ForwardedBody {
    /// It can be sent again.
    Whole(Bytes),
    /// It is larger, and sent while it arrives. `None` once it is sent.
    Streamed(Option<NodeRequestBody>),
}

/// An extension of a response that another node has made. It has all headers.
#[derive(Clone)]
pub struct RelayedResponse;

impl OtherNodes {
    pub fn new(instance: Arc<Instance>, key: NodeKey, directory: Arc<dyn NodeDirectory>) -> Self {
        let root = instance.config.node.as_ref().and_then(|node| node.root.clone());
        let client = NodeClient::new(key, instance.config.node_name.clone(), root);
        Self { client, directory, instance }
    }

    pub fn owner(&self, subject: Subject) -> Owner {
        match subject {
            Subject::Central => self.directory.central_node(),
            Subject::Workspace(id) => self.directory.owner_of_workspace(id),
        }
    }

    pub async fn refresh(&self) {
        let directory = Arc::clone(&self.directory);
        dispatch::run_on(&self.instance.executors.blocking, move || directory.refresh()).await;
    }

    /// Refreshes the placement unless it already tells that another node serves the workspace.
    pub async fn refresh_unless_elsewhere(&self, id: Uuid) {
        if self.owner(Subject::Workspace(id)) == Owner::ThisNode {
            self.refresh().await;
        }
    }

    /// The error if nobody serves the subject. `None` if this node is to handle the request itself.
    fn unserved(subject: Subject, error: Error) -> Result<Option<Response<Outgoing>>> {
        if subject == Subject::Central { Ok(None) } else { Err(error) }
    }
}

impl Service {
    /// Whether this node serves a workspace. A request that another node has forwarded is not forwarded again.
    pub fn serves(&self, id: Uuid, is_by_node: bool) -> Result<bool> {
        let Some(nodes) = &self.nodes else { return Ok(true) };
        match nodes.owner(Subject::Workspace(id)) {
            Owner::ThisNode => Ok(true),
            _ if is_by_node => Err(Error::Elsewhere(id)),
            _ => Ok(false),
        }
    }

    /// Forwards a request and waits for the head of the response. `None` if this node is to handle it.
    pub async fn forward(
        &self,
        nodes: &OtherNodes,
        request: &NodeRequest,
        (mut subject, route): (Subject, &Route),
        mut body: ForwardedBody,
        log: &mut RequestLog,
    ) -> Result<Option<Response<Outgoing>>> {
        let is_read = [Method::GET, Method::HEAD].contains(&request.method);
        let limit = self.time_limit(route, &body);
        let elsewhere = |subject| match subject {
            Subject::Workspace(id) => Error::Elsewhere(id),
            Subject::Central => Error::NodeUnreachable,
        };
        let (mut refused, mut has_failed) = (None, false);
        for _ in 0..MOST_ATTEMPTS {
            let (name, url) = match nodes.owner(subject) {
                Owner::ThisNode => return Ok(None),
                Owner::Node { name, url } if refused.as_ref() != Some(&(subject, url.clone())) => (name, url),
                Owner::Nobody if subject != Subject::Central && !has_failed => {
                    has_failed = true;
                    nodes.refresh().await;
                    continue;
                }
                _ => return OtherNodes::unserved(subject, elsewhere(subject)),
            };
            let Some(unsent) = body.take() else { return Err(elsewhere(subject)) };
            log.forwarded_to(&name);
            self.instance.metrics.request_forwarded();
            let sent = tokio::time::timeout(limit, nodes.client.send(&url, request, unsent, now())).await;
            match sent {
                Ok(Ok(response)) => {
                    let Some(served) = response.headers().get(ELSEWHERE) else {
                        return Ok(Some(relay(response, self.stopping())));
                    };
                    let other = served.to_str().ok().and_then(|id| id.parse().ok()).map(Subject::Workspace);
                    refused = Some((subject, url));
                    match other.filter(|other| *other != subject) {
                        Some(other) => subject = other,
                        None => nodes.refresh().await,
                    }
                }
                Ok(Err(SendError::Unreachable(unsent))) => {
                    body.restore(unsent);
                    if has_failed || subject == Subject::Central {
                        return OtherNodes::unserved(subject, Error::NodeUnreachable);
                    }
                    has_failed = true;
                    nodes.refresh().await;
                    // The same node could not be reached either.
                    refused = Some((subject, url));
                }
                Ok(Err(SendError::NoResponse)) | Err(_) if !is_read => return Err(Error::OutcomeUnknown),
                Ok(Err(SendError::NoResponse)) | Err(_) => {
                    if has_failed || subject == Subject::Central {
                        return OtherNodes::unserved(subject, Error::NodeUnreachable);
                    }
                    has_failed = true;
                    nodes.refresh().await;
                }
            }
        }
        OtherNodes::unserved(subject, elsewhere(subject))
    }

    /// Reads the body of a request that is forwarded if it is of the usual size. A larger one is streamed: only the node
    /// that serves the workspace can tell whether its sender is authorized, and limits it.
    pub async fn body_to_forward<B>(
        &self,
        body: &mut Option<B>,
        kind: BodyKind,
        is_accepted: bool,
    ) -> Result<ForwardedBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let Some(incoming) = body.as_mut().filter(|_| kind != BodyKind::None) else {
            return Ok(ForwardedBody::Whole(Bytes::new()));
        };
        let announced = incoming.size_hint().lower();
        check_announced(announced, kind, is_accepted)?;
        let until = tokio::time::Instant::now() + self.instance.config.body_timeout;
        let (mut pieces, mut length) = (VecDeque::new(), 0);
        while announced <= BodyKind::USUAL as u64 && length <= BodyKind::USUAL {
            let Some(piece) = next_piece(body, until).await? else {
                return match length > 0 && !is_accepted {
                    true => Err(Error::UnsupportedMediaType(kind)),
                    false => Ok(ForwardedBody::Whole(Bytes::from(Vec::from(pieces).concat()))),
                };
            };
            length += piece.len();
            if length > kind.max_bytes() {
                return Err(Error::TooLarge(kind.max_bytes()));
            }
            pieces.push_back(piece);
        }
        let streamed = body.take().map(|rest| PartlyReadBody { read: pieces, rest }.boxed_unsync());
        Ok(ForwardedBody::Streamed(streamed))
    }

    /// How long to wait for the head of a response.
    fn time_limit(&self, route: &Route, body: &ForwardedBody) -> Duration {
        let config = &self.instance.config;
        let arrives = match body {
            ForwardedBody::Whole(_) => Duration::ZERO,
            ForwardedBody::Streamed(_) => config.body_timeout,
        };
        let takes = match route.handler.executor() {
            Executor::Transaction | Executor::Inline | Executor::Hashing => config.statement_timeout,
            Executor::Blocking | Executor::LongRunning | Executor::Provider => LONGEST,
        };
        arrives + config.turn_timeout + takes + GRACE
    }
}

/// Tells another node that this one does not serve its request.
pub fn mark_elsewhere(error: Option<&Error>, response: &mut Response<Outgoing>) {
    let served = match error {
        Some(Error::Elsewhere(id)) => HeaderValue::try_from(id.to_string()).ok(),
        Some(Error::Standby | Error::ShuttingDown) => Some(HeaderValue::from_static("")),
        _ => None,
    };
    if let Some(served) = served {
        response.headers_mut().insert(ELSEWHERE, served);
    }
}

impl ForwardedBody {
    /// The body to send, if it was not sent before or can be sent again.
    fn take(&mut self) -> Option<NodeRequestBody> {
        match self {
            Self::Whole(bytes) => Some(Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()),
            Self::Streamed(body) => body.take(),
        }
    }

    /// Takes back a body that was not sent.
    fn restore(&mut self, unsent: NodeRequestBody) {
        if let Self::Streamed(body) = self {
            *body = Some(unsent);
        }
    }
}

/// A body of which the first pieces are read already.
struct PartlyReadBody<B> {
    read: VecDeque<Bytes>,
    rest: B,
}

impl<B: Body<Data = Bytes> + Unpin> Body for PartlyReadBody<B> {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamAborted>>> {
        match self.read.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Pin::new(&mut self.rest).poll_frame(cx).map_err(|_| StreamAborted),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    /// The length is announced if the client has announced it.
    fn size_hint(&self) -> SizeHint {
        let read: usize = self.read.iter().map(Bytes::len).sum();
        self.rest.size_hint().exact().map_or_else(SizeHint::new, |rest| SizeHint::with_exact(rest + read as u64))
    }
}

/// The response of another node, as the client gets it.
fn relay(response: Response<Incoming>, stopping: watch::Receiver<bool>) -> Response<Outgoing> {
    let (mut head, content) = response.into_parts();
    remove_connection_headers(&mut head.headers);
    head.extensions.insert(RelayedResponse);
    let is_unending = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    let mut stopped = None;
    if is_unending {
        head.extensions.insert(Unending::new().0);
        stopped = Some(Box::pin(has_stopped(stopping)) as Pin<Box<dyn Future<Output = ()> + Send>>);
    }
    Response::from_parts(head, response_body::relayed(RelayedBody { content, stopped }))
}

async fn has_stopped(mut stopping: watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// The body of another node's response.
pub struct RelayedBody {
    content: Incoming,
    /// For a body without an end: resolves when the server stops, which ends the body.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Body for RelayedBody {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamAborted>>> {
        if self.stopped.as_mut().is_some_and(|stopped| stopped.as_mut().poll(cx).is_ready()) {
            self.stopped = None;
            return Poll::Ready(None);
        }
        Pin::new(&mut self.content).poll_frame(cx).map_err(|_| StreamAborted)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

//! Response bodies: whole, or streamed piece by piece.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use rusqlite::Connection;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::event_streams::EventStreams;
use super::forwarding::RelayedBody;
use crate::api::{
    ApiResponse, Audience, ByteStream, Content, ContentCoding, Error, Layer, Needs, Packer, Request, Result, Route,
    require_active,
};
use crate::instance::Instance;
use crate::storage::{Fault, File, Job, Verdict};

/// The body type that hyper gets: whole, in pieces, or the body of another node's response.
pub type Outgoing = Either<Full<Bytes>, Either<Channel<Bytes, StreamAborted>, RelayedBody>>;

/// The rest of a body could not be read. The connection ends early, so that the client notices.
#[derive(Debug, thiserror::Error)]
#[error("the response could not be finished")]
pub struct StreamAborted;

/// An extension of a response whose body has no end. Its request runs as long as the body is sent. The connection drops
/// it with the body, which ends the work for the body at once.
#[derive(Clone)]
pub struct Unending(#[expect(dead_code, reason = "its drop is the signal")] Arc<oneshot::Sender<()>>);

impl Unending {
    /// The extension, and a receiver that resolves when the extension is dropped.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, dropped) = oneshot::channel();
        (Self(Arc::new(sender)), dropped)
    }
}

/// Retries of a piece when its file is overloaded, and the pause between two.
const PATIENCE: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

pub fn full(bytes: Bytes) -> Outgoing {
    Either::Left(Full::new(bytes))
}

/// A body in pieces.
pub fn streamed(channel: Channel<Bytes, StreamAborted>) -> Outgoing {
    Either::Right(Either::Left(channel))
}

/// The body of another node's response.
pub fn relayed(body: RelayedBody) -> Outgoing {
    Either::Right(Either::Right(body))
}

/// Shorter lists are not compressed.
const SHORT: usize = 4 * 1024;

/// Builds the HTTP response. Compresses long lists and exports if the client accepts that. Never compresses single
/// resources, pages, and responses to anonymous callers: the length of a compressed body could reveal a secret that
/// stands next to text that the client chose (BREACH).
pub fn answer(
    answer: ApiResponse,
    request: &Request,
    route: &Route,
    streams: &Arc<EventStreams>,
) -> Result<Response<Outgoing>> {
    let is_read = request.method == Method::GET && request.needs != Needs::Anyone;
    let is_list = is_read && request.audience == Audience::Programs;
    let may_be_packed = is_list && route.handler.resource().is_none() && request.layer == Layer::Workspace;
    let is_long = match answer.body() {
        Content::Full(bytes) => bytes.len() >= SHORT,
        Content::Stream(..) => true,
        Content::File(_) | Content::Events(_) => false,
    };
    let (mut head, mut content) = answer.into_parts();
    let mut packer = None;
    if may_be_packed && is_long {
        head.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if ContentCoding::accepted_coding(&request.headers, &[ContentCoding::Gzip]).is_some() {
            match content {
                Content::Full(bytes) => match ContentCoding::Gzip.compress(&bytes) {
                    Ok(packed) => {
                        head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                        content = Content::Full(packed);
                    }
                    Err(_) => content = Content::Full(bytes),
                },
                pieces => {
                    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                    packer = Some(Packer::gzip());
                    content = pieces;
                }
            }
        }
    }
    let body = match content {
        Content::Full(bytes) => full(bytes),
        Content::Events(position) => {
            let (unending, dropped) = Unending::new();
            head.extensions.insert(unending);
            streams.open(request, position, dropped)?
        }
        Content::File(file) => {
            let (sender, channel) = Channel::new(1);
            tokio::spawn(send_file(sender, file, Arc::clone(&request.instance)));
            streamed(channel)
        }
        Content::Stream(first, rest) => {
            let (sender, channel) = Channel::new(1);
            let workspace = request.workspace.as_ref().map(|lease| lease.id());
            let source = PieceSource { instance: Arc::clone(&request.instance), workspace };
            tokio::spawn(send(sender, first, rest, packer, source));
            streamed(channel)
        }
    };
    Ok(Response::from_parts(head, body))
}

/// The place that pieces are read from. It holds no lease, so a slow reader does not prevent closing or deleting the
/// workspace.
struct PieceSource {
    instance: Arc<Instance>,
    workspace: Option<Uuid>,
}

impl PieceSource {
    async fn next(&self, pieces: Box<dyn ByteStream>) -> Option<ReadPiece> {
        let Some(id) = self.workspace else { return next_piece(self.instance.central.file(), pieces).await };
        require_active(self.instance.directory.current(&self.instance.keys).ok()?.by_id(id).ok()?).ok()?;
        let lease = self.instance.registry.lease(id);
        next_piece(lease.file(), pieces).await
    }
}

/// Reads each piece only after the client has taken the one before.
async fn send(
    mut sender: Sender<Bytes, StreamAborted>,
    first: Bytes,
    mut rest: Box<dyn ByteStream>,
    mut packer: Option<Packer>,
    source: PieceSource,
) {
    let mut piece = first;
    let mut refused = 0;
    loop {
        let Ok(sent) = packer.as_mut().map_or_else(|| Ok(piece.clone()), |packer| packer.add(&piece)) else {
            return sender.abort(StreamAborted);
        };
        if sender.send_data(sent).await.is_err() {
            return;
        }
        piece = loop {
            let Some((back, next)) = source.next(rest).await else { return sender.abort(StreamAborted) };
            rest = back;
            match next {
                Ok(Some(piece)) => break piece,
                Ok(None) => return finish(sender, packer).await,
                Err(Error::Overloaded | Error::TooSlow) if refused < PATIENCE => {
                    refused += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%error, "a long response could not be finished");
                    return sender.abort(StreamAborted);
                }
            }
        };
    }
}

/// Sends the end of a compressed body.
async fn finish(mut sender: Sender<Bytes, StreamAborted>, packer: Option<Packer>) {
    match packer.map(Packer::end) {
        None => {}
        Some(Ok(end)) => {
            let _ = sender.send_data(end).await;
        }
        Some(Err(_)) => sender.abort(StreamAborted),
    }
}

/// Bytes of a file to read at once.
const PIECE_OF_FILE: usize = 256 * 1024;

/// Reads each piece only after the client has taken the one before, on a thread that may block.
async fn send_file(mut sender: Sender<Bytes, StreamAborted>, file: std::fs::File, instance: Arc<Instance>) {
    let file = Arc::new(file);
    loop {
        let (result_sender, read) = oneshot::channel();
        let inside = Arc::clone(&file);
        instance.executors.blocking.run(move || {
            let mut piece = Vec::with_capacity(PIECE_OF_FILE);
            let done = (&*inside).take(PIECE_OF_FILE as u64).read_to_end(&mut piece);
            let _ = result_sender.send(done.map(|_| Bytes::from(piece)));
        });
        match read.await {
            Ok(Ok(piece)) if piece.is_empty() => return,
            Ok(Ok(piece)) => {
                if sender.send_data(piece).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot read a file that is being sent");
                return sender.abort(StreamAborted);
            }
            Err(_) => return sender.abort(StreamAborted),
        }
    }
}

/// The reader of pieces, handed back, and the piece that it read.
type ReadPiece = (Box<dyn ByteStream>, Result<Option<Bytes>>);

/// Reads the next piece in its own turn and hands the reader back. `None` if the file was closed.
async fn next_piece(file: &Arc<File>, pieces: Box<dyn ByteStream>) -> Option<ReadPiece> {
    let (result_sender, answer) = oneshot::channel();
    file.submit_read(Box::new(PieceJob { pieces, read: Ok(None), result_sender }));
    answer.await.ok()
}

/// The job that reads one piece.
struct PieceJob {
    pieces: Box<dyn ByteStream>,
    read: Result<Option<Bytes>>,
    result_sender: oneshot::Sender<ReadPiece>,
}

impl Job for PieceJob {
    fn begin(&mut self) -> bool {
        !self.result_sender.is_closed()
    }

    fn work(&mut self, db: &Connection) -> Verdict {
        self.read = self.pieces.next(db);
        Verdict::Rollback
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Self { pieces, read, result_sender } = *self;
        let _ = result_sender.send((pieces, outcome.map_err(Error::from).and(read)));
    }
}

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

use crate::api::{Answer, Audience, Call, Coding, Content, Error, Layer, Needs, Packer, Pieces, Result, in_service};
use crate::engine::Engine;
use crate::storage::{Fault, File, Job, Verdict};

/// The body type that hyper gets.
pub type Outgoing = Either<Full<Bytes>, Channel<Bytes, Broken>>;

/// The rest of a body could not be read. The connection ends early, so that the client notices.
#[derive(Debug, thiserror::Error)]
#[error("the response could not be finished")]
pub struct Broken;

/// Retries of a piece when its file is overloaded, and the pause between two.
const PATIENCE: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

pub fn whole(bytes: Bytes) -> Outgoing {
    Either::Left(Full::new(bytes))
}

/// Shorter lists are not compressed.
const SHORT: usize = 4 * 1024;

/// Builds the HTTP response. Compresses long lists and exports if the client accepts that. Single resources and
/// pages are never compressed, nor responses to anonymous callers: the length of a compressed body could reveal a secret that
/// stands next to text that the client chose (BREACH).
pub fn answer(answer: Answer, call: &Call) -> Response<Outgoing> {
    let is_read = call.route.method == Method::GET && call.route.needs != Needs::Anyone;
    let is_list = is_read && call.audience == Audience::Programs;
    let may_be_packed = is_list && call.route.handler.resource().is_none() && call.layer == Layer::Workspace;
    let is_long = match answer.body() {
        Content::Whole(bytes) => bytes.len() >= SHORT,
        Content::Pieces(..) => true,
        Content::File(_) => false,
    };
    let (mut head, mut content) = answer.into_parts();
    let mut packer = None;
    if may_be_packed && is_long {
        head.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if Coding::taken(&call.headers, &[Coding::Gzip]).is_some() {
            match content {
                Content::Whole(bytes) => match Coding::Gzip.pack(&bytes) {
                    Ok(packed) => {
                        head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                        content = Content::Whole(packed);
                    }
                    Err(_) => content = Content::Whole(bytes),
                },
                pieces => {
                    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                    packer = Some(Packer::gzip());
                    content = pieces;
                }
            }
        }
    }
    Response::from_parts(head, outgoing(content, packer, call))
}

fn outgoing(content: Content, packer: Option<Packer>, call: &Call) -> Outgoing {
    match content {
        Content::Whole(bytes) => whole(bytes),
        Content::File(file) => {
            let (sender, channel) = Channel::new(1);
            tokio::spawn(send_file(sender, file, Arc::clone(&call.engine)));
            Either::Right(channel)
        }
        Content::Pieces(first, rest) => {
            let (sender, channel) = Channel::new(1);
            let workspace = call.workspace.as_ref().map(|lease| lease.id());
            let source = Source { engine: Arc::clone(&call.engine), workspace };
            tokio::spawn(send(sender, first, rest, packer, source));
            Either::Right(channel)
        }
    }
}

/// The place that pieces are read from. It holds no lease, so a slow reader does not prevent closing or deleting the
/// workspace.
struct Source {
    engine: Arc<Engine>,
    workspace: Option<Uuid>,
}

impl Source {
    async fn next(&self, pieces: Box<dyn Pieces>) -> Option<ReadPiece> {
        let Some(id) = self.workspace else { return next_piece(self.engine.central.file(), pieces).await };
        in_service(self.engine.directory.current(&self.engine.keys).ok()?.identified(id).ok()?).ok()?;
        let lease = self.engine.registry.lease(id);
        next_piece(lease.file(), pieces).await
    }
}

/// Reads each piece only after the client has taken the one before.
async fn send(
    mut sender: Sender<Bytes, Broken>,
    first: Bytes,
    mut rest: Box<dyn Pieces>,
    mut packer: Option<Packer>,
    source: Source,
) {
    let mut piece = first;
    let mut refused = 0;
    loop {
        let Ok(sent) = packer.as_mut().map_or_else(|| Ok(piece.clone()), |packer| packer.add(&piece)) else {
            return sender.abort(Broken);
        };
        if sender.send_data(sent).await.is_err() {
            return;
        }
        piece = loop {
            let Some((back, next)) = source.next(rest).await else { return sender.abort(Broken) };
            rest = back;
            match next {
                Ok(Some(piece)) => break piece,
                Ok(None) => return finish(sender, packer).await,
                Err(Error::Overloaded) if refused < PATIENCE => {
                    refused += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%error, "a long response could not be finished");
                    return sender.abort(Broken);
                }
            }
        };
    }
}

/// Sends the end of a compressed body.
async fn finish(mut sender: Sender<Bytes, Broken>, packer: Option<Packer>) {
    match packer.map(Packer::end) {
        None => {}
        Some(Ok(end)) => {
            let _ = sender.send_data(end).await;
        }
        Some(Err(_)) => sender.abort(Broken),
    }
}

/// Bytes of a file to read at once.
const PIECE_OF_FILE: usize = 256 * 1024;

/// Reads each piece only after the client has taken the one before, on a thread that may block.
async fn send_file(mut sender: Sender<Bytes, Broken>, file: std::fs::File, engine: Arc<Engine>) {
    let file = Arc::new(file);
    loop {
        let (told, read) = oneshot::channel();
        let inside = Arc::clone(&file);
        engine.executors.steps.run(move || {
            let mut piece = Vec::with_capacity(PIECE_OF_FILE);
            let done = (&*inside).take(PIECE_OF_FILE as u64).read_to_end(&mut piece);
            let _ = told.send(done.map(|_| Bytes::from(piece)));
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
                return sender.abort(Broken);
            }
            Err(_) => return sender.abort(Broken),
        }
    }
}

/// The reader of pieces, handed back, and the piece that it read.
type ReadPiece = (Box<dyn Pieces>, Result<Option<Bytes>>);

/// Reads the next piece in its own turn and hands the reader back. `None` if the file was closed.
async fn next_piece(file: &Arc<File>, pieces: Box<dyn Pieces>) -> Option<ReadPiece> {
    let (told, answer) = oneshot::channel();
    file.submit_read(Box::new(PieceJob { pieces, read: Ok(None), told }));
    answer.await.ok()
}

/// The job that reads one piece.
struct PieceJob {
    pieces: Box<dyn Pieces>,
    read: Result<Option<Bytes>>,
    told: oneshot::Sender<ReadPiece>,
}

impl Job for PieceJob {
    fn begin(&mut self) -> bool {
        !self.told.is_closed()
    }

    fn work(&mut self, db: &Connection) -> Verdict {
        self.read = self.pieces.next(db);
        Verdict::Undo
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Self { pieces, read, told } = *self;
        let _ = told.send((pieces, outcome.map_err(Error::from).and(read)));
    }
}

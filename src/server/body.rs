//! The bodies of answers: whole, or a piece after the other as somebody reads them.

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

use crate::api::{Answer, Call, Coding, Content, Error, Layer, Needs, Packer, Pieces, Result, in_service};
use crate::engine::Engine;
use crate::storage::{Fault, File, Job, Verdict};

/// What hyper is handed.
pub type Outgoing = Either<Full<Bytes>, Channel<Bytes, Broken>>;

/// The rest of a body could not be read: the client is to notice, and sees a connection that ends too early.
#[derive(Debug, thiserror::Error)]
#[error("the answer could not be finished")]
pub struct Broken;

/// How often, and after how long, a piece is asked for again whose file has too much to do.
const PATIENCE: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

pub fn whole(bytes: Bytes) -> Outgoing {
    Either::Left(Full::new(bytes))
}

/// A list that is shorter is not worth packing.
const SHORT: usize = 4 * 1024;

/// An answer to a call, with its body: packed, if it is a long list or an export, and the client takes that. What is one
/// resource, or was asked for by anybody, is sent as it is: nothing that holds a secret is packed together with what a
/// client chose, for the length would tell of it.
pub fn answer(answer: Answer, call: &Call) -> Response<Outgoing> {
    let is_list = call.route.method == Method::GET && call.route.needs != Needs::Anyone;
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

/// Where pieces are read. It keeps no workspace open: whoever reads slowly may do so while one is closed or deleted.
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

/// Reads a piece when the one before it is taken, and no sooner.
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
                    tracing::error!(%error, "a long answer could not be finished");
                    return sender.abort(Broken);
                }
            }
        };
    }
}

/// Sends what ends a packed answer.
async fn finish(mut sender: Sender<Bytes, Broken>, packer: Option<Packer>) {
    match packer.map(Packer::end) {
        None => {}
        Some(Ok(end)) => {
            let _ = sender.send_data(end).await;
        }
        Some(Err(_)) => sender.abort(Broken),
    }
}

/// Bytes of a file that are read at once.
const PIECE_OF_FILE: usize = 256 * 1024;

/// Reads a piece of a file when the one before it is taken, on a thread that may wait for a disk.
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
                tracing::error!(%error, "a file could not be sent whole");
                return sender.abort(Broken);
            }
            Err(_) => return sender.abort(Broken),
        }
    }
}

/// What reads pieces, given back, and what it has read.
type ReadPiece = (Box<dyn Pieces>, Result<Option<Bytes>>);

/// Reads the next piece of a long answer, in a turn of its own, and gives back what reads them. Nothing where the file
/// was closed.
async fn next_piece(file: &Arc<File>, pieces: Box<dyn Pieces>) -> Option<ReadPiece> {
    let (told, answer) = oneshot::channel();
    file.submit_read(Box::new(PieceJob { pieces, read: Ok(None), told }));
    answer.await.ok()
}

/// One piece on its way to a thread.
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

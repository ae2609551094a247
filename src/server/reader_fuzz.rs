//! Fuzzes bytes on the wire. We must read the same requests as a strict reader, for any bytes around them and any split
//! of the bytes. So no strict proxy sees other requests than we do (RFC 9112, 11.2).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::counted_stream::{CountedStream, Traffic};
use super::strict_http1::Next;
use crate::tests::fuzz::each;

/// Method, target and body. A chunked body is not compared, because no request follows it.
type ReadRequest = (String, Option<Vec<u8>>);

/// A client that sends its pieces, reads nothing, and hangs up.
struct Script(VecDeque<Vec<u8>>);

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buffer.remaining()));
            buffer.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The requests that we read from these pieces.
async fn taken(pieces: VecDeque<Vec<u8>>) -> Vec<ReadRequest> {
    let (traffic, taken) = (Arc::new(Traffic::default()), Arc::new(Mutex::new(Vec::new())));
    let (seen, into) = (Arc::clone(&traffic), Arc::clone(&taken));
    let answer = service_fn(move |request: http::Request<Incoming>| {
        let next = seen.take_head(&request);
        let into = Arc::clone(&into);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            if let (Ok(next), Ok(body)) = (next, request.into_body().collect().await) {
                let body = (next == Next::Follows).then(|| body.to_bytes().to_vec());
                into.lock().push((line, body));
            }
            let mut response = Response::new(Full::<Bytes>::default());
            if next != Ok(Next::Follows) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = auto::Builder::new(TokioExecutor::new());
    // The client hangs up after its last byte. What it sent before must still be read.
    http.http1().half_close(true);
    // An error at the end is expected from such a client.
    let _ = http.serve_connection(TokioIo::new(CountedStream::new(Script(pieces), traffic)), answer).await;
    let taken = taken.lock();
    taken.clone()
}

/// The requests that a strict reader reads from these bytes, until it would stop.
fn strictly(mut bytes: &[u8]) -> Vec<ReadRequest> {
    let mut read = Vec::new();
    loop {
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return read };
        let (head, rest) = (String::from_utf8_lossy(&bytes[..end]).into_owned(), &bytes[end + 4..]);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let line = [words.next(), words.next()].map(Option::unwrap_or_default).join(" ");
        let fields: Vec<(String, &str)> = lines
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
            .collect();
        let said = |name: &str| fields.iter().filter(|(field, _)| field == name).map(|(_, value)| *value).collect();
        let (lengths, codings): (Vec<&str>, Vec<&str>) = (said("content-length"), said("transfer-encoding"));
        let is_strict = fields.iter().all(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']));
        if !is_strict || head.replace("\r\n", "").contains(['\r', '\n']) {
            return read;
        }
        let length = match (&*lengths, &*codings) {
            ([], []) => 0,
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse().unwrap_or(usize::MAX),
            ([], [_]) => {
                read.push((line, None));
                return read;
            }
            _ => return read,
        };
        if rest.len() < length {
            return read;
        }
        read.push((line, Some(rest[..length].to_vec())));
        bytes = &rest[length..];
    }
}

const PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "POST /b HTTP/1.0\r\n",
    "GET /c\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "Host: a\r\n",
    "Content-Length: 5\r\n",
    "content-length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length:\t5 \r\n",
    "Content-Length : 5\r\n",
    "Content-Length: 5\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "transfer-encoding:\r\n chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\nUpgrade: h2c\r\n",
    "X: a\rb\r\n",
    "X: \0\r\n",
    ": a\r\n",
    " a\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "hello",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
];

/// The parts of the bytes, with separators between them, and the positions of the splits.
type Said = (Vec<String>, Vec<u16>);

#[test]
fn what_is_taken_for_a_request_is_one_to_a_strict_reader_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let part = prop_oneof![20 => select(PARTS).prop_map(str::to_owned), 1 => any::<String>()];
    each("wire", (vec(part, 0..16), vec(any::<u16>(), 0..4)), |(parts, cuts): &Said| {
        let bytes = parts.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let pieces = cuts.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec()).collect();
        let (taken, strictly) = (runtime.block_on(taken(pieces)), strictly(&bytes));
        let is_beginning = taken.len() <= strictly.len() && taken == strictly[..taken.len()];
        assert!(is_beginning, "{:?}: {taken:?}, strictly {strictly:?}", String::from_utf8_lossy(&bytes));
    });
    let two = [PARTS[0], "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"].concat().into_bytes();
    assert_eq!(runtime.block_on(taken([two.clone()].into())), strictly(&two), "what is good is taken");
    assert_eq!(strictly(&two).len(), 2);
}

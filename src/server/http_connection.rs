//! One connection: HTTP/1.1 with keep-alive and pipelining, or HTTP/2 (by ALPN, or by prior knowledge without TLS).
//! Limits how long a client can keep us waiting and how much it can make us buffer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Service;
use super::counted_stream::{CountedStream, Traffic};
use super::listener::Accepted;
use super::response_body::{Outgoing, Unending};
use super::strict_http1::Next;
use super::tls::Tls;

/// Maximum size of a request's head.
const LONGEST_HEAD: usize = 32 * 1024;

/// Maximum number of headers of a request.
const MOST_FIELDS: usize = 100;

/// Maximum concurrent requests of an HTTP/2 connection.
const STREAMS: u32 = 128;

/// A client that reads at all takes at least this many bytes per round. HTTP/2 sends less than that when idle.
const LEAST_WRITTEN: u64 = 1024;

/// Serves a connection in its own task, which holds the connection's permit and `open` until the end.
pub fn serve(entrant: Accepted, service: &Arc<Service>, tls: Option<&Arc<Tls>>, open: Option<mpsc::Sender<()>>) {
    let (service, tls) = (Arc::clone(service), tls.map(Arc::clone));
    tokio::spawn(async move {
        let Accepted { stream, peer, permit: place, tls_port: sent_on } = entrant;
        let _counted = service.instance().metrics.connection_opened();
        let answering = RequestHandler { service: Arc::clone(&service), peer, sent_on, tls };
        if let Err(error) = serve_connection(stream, answering).await {
            tracing::debug!(%peer, error = %error, "a connection ended with an error");
        }
        drop((place, open));
    });
}

/// Shared by all requests of a connection.
struct RequestHandler {
    service: Arc<Service>,
    peer: IpAddr,
    /// If set, requests are only redirected, to this port.
    sent_on: Option<u16>,
    tls: Option<Arc<Tls>>,
}

type ConnectionResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Does the TLS handshake first, if TLS is on. The client has as much time for it as for a request's head.
async fn serve_connection(stream: TcpStream, answering: RequestHandler) -> ConnectionResult {
    stream.set_nodelay(true)?;
    // Each future is boxed: an idle connection has the size of what it does, not of the largest that it could do.
    let Some(tls) = answering.tls.clone().filter(|_| answering.sent_on.is_none()) else {
        return Box::pin(converse(stream, answering)).await;
    };
    let mut stopping = answering.service.stopping();
    let patience = answering.service.instance().config.header_timeout;
    let shaken = tokio::select! {
        shaken = Box::pin(tls.accept(stream, patience)) => shaken?,
        _ = stopping.changed() => return Ok(()),
    };
    match shaken {
        Some(shaken) => Box::pin(converse(shaken, answering)).await,
        None => Ok(()),
    }
}

async fn converse<S>(stream: S, answering: RequestHandler) -> ConnectionResult
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let RequestHandler { service, peer, sent_on, tls } = answering;
    let config = &service.instance().config;
    let (header_timeout, write_timeout) = (config.header_timeout, config.write_timeout);
    let mut stopping = service.stopping();
    let mut http = auto::Builder::new(TokioExecutor::new());
    // The header timeout also limits the wait for the next request.
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_FIELDS)
        // Some clients compare header names case-sensitively.
        .title_case_headers(true)
        .half_close(false);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LONGEST_HEAD as u32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));

    let (traffic, pulse) = (Arc::new(Traffic::default()), Arc::new(RequestCounter::default()));
    let (seen, felt) = (Arc::clone(&traffic), Arc::clone(&pulse));
    let answer = service_fn(move |request: http::Request<Incoming>| {
        let running = felt.begin();
        let next = seen.take_head(&request);
        let service = Arc::clone(&service);
        let proof = sent_on.and_then(|_| tls.as_ref()?.http_proof(request.uri().path()));
        async move {
            let mut response = match next {
                Ok(_) if let Some(proof) = proof => service.prove_host(request, peer, proof),
                Ok(_) if let Some(port) = sent_on => service.redirect_to_tls(request, peer, port),
                // hyper keeps the memory of this future until the connection ends. The work of a request is boxed, so that
                // its memory is free when the response begins.
                Ok(_) => Box::pin(service.answer(request, peer)).await,
                Err(why) => service.reject(request, peer, why),
            };
            if next == Ok(Next::Never) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let unending = response.extensions_mut().remove::<Unending>().map(|unending| (unending, running));
            Ok::<_, Infallible>(response.map(|content| SentBody { content, _unending: unending }))
        }
    });
    let connection = http.serve_connection(TokioIo::new(CountedStream::new(stream, Arc::clone(&traffic))), answer);
    tokio::pin!(connection);
    // hyper's header timeout starts once the HTTP version is known. This timer covers clients that send less than that.
    let silence = tokio::time::sleep(header_timeout);
    tokio::pin!(silence);
    // A client that reads nothing is noticed after one or two rounds and has one more round before it is disconnected.
    let mut rounds = tokio::time::interval(write_timeout / 2);
    rounds.reset();
    let (mut listening, mut let_go, mut last) = (true, false, (0, 0));
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
            () = &mut silence, if listening => {
                if pulse.begun() == 0 {
                    return Ok(());
                }
                listening = false;
            }
            _ = rounds.tick() => {
                let now = (pulse.begun(), traffic.written());
                let is_quiet = pulse.is_idle() && now.0 == last.0 && now.1 - last.1 < LEAST_WRITTEN;
                last = now;
                if is_quiet && let_go {
                    return Ok(());
                }
                if is_quiet {
                    connection.as_mut().graceful_shutdown();
                    let_go = true;
                }
            }
        }
    }
}

/// The body of a response. A request with an unending response runs until the body is dropped, which tells the sender of
/// the response that the client is gone.
struct SentBody {
    content: Outgoing,
    _unending: Option<(Unending, RequestInProgress)>,
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = <Outgoing as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.content).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

/// Counts a connection's requests: started and running. A request that has its response no longer runs, read or not,
/// unless the response has no end.
#[derive(Default)]
struct RequestCounter {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// Counts a request as running until it is dropped.
struct RequestInProgress(Arc<RequestCounter>);

impl RequestCounter {
    fn begin(self: &Arc<Self>) -> RequestInProgress {
        self.begun.fetch_add(1, Ordering::Relaxed);
        RequestInProgress(Arc::clone(self))
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.begun() == self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

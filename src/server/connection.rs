//! One connection: HTTP/1.1 with keep-alive and pipelining, or HTTP/2 by prior knowledge, with bounds on what a client
//! may make us wait for and hold.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Service;

/// The head of a request, at most.
const LONGEST_HEAD: usize = 32 * 1024;

/// Requests that one HTTP/2 connection may have open at once.
const STREAMS: u32 = 128;

/// Serves an accepted connection on a task of its own; `open` is held for as long as it lasts.
pub fn serve(accepted: io::Result<(TcpStream, SocketAddr)>, service: &Arc<Service>, open: Option<mpsc::Sender<()>>) {
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            // Out of descriptors, mostly: the next accept may do better.
            tracing::warn!(%error, "a connection could not be accepted");
            return;
        }
    };
    let service = Arc::clone(service);
    tokio::spawn(async move {
        if let Err(error) = converse(stream, peer, service).await {
            tracing::debug!(%peer, error = %error, "a connection ended early");
        }
        drop(open);
    });
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let header_timeout = service.engine().config.header_timeout;
    let mut stopping = service.stopping();
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(LONGEST_HEAD)
        .half_close(false);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LONGEST_HEAD as u32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));

    let spoke = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&spoke);
    let answer = service_fn(move |request| {
        heard.store(true, Ordering::Relaxed);
        let service = Arc::clone(&service);
        async move { Ok::<_, std::convert::Infallible>(service.answer(request, peer.ip()).await) }
    });
    let connection = http.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    // The header timeout of HTTP/1 begins once the version is known; a client that never says as much has no more time.
    let silence = tokio::time::sleep(header_timeout);
    tokio::pin!(silence);
    let mut listening = true;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
            () = &mut silence, if listening => {
                if !spoke.load(Ordering::Relaxed) {
                    return Ok(());
                }
                listening = false;
            }
        }
    }
}

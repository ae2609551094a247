//! A server that stands by: it listens and rejects every request, until it takes over.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::tls::Tls;

/// Time limit for a connection to a server that stands by.
const LONGEST: Duration = Duration::from_secs(10);

/// Connections at once. The others wait.
const MOST: usize = 256;

/// Accepts connections until it is dropped. Only `/healthz` is answered with 200.
pub async fn reject_all(listener: std::net::TcpListener, tls: Option<Arc<Tls>>) -> std::io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MOST {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let tls = tls.clone();
        connections.spawn(tokio::time::timeout(LONGEST, async move {
            match tls {
                Some(tls) => {
                    if let Ok(Some(stream)) = tls.accept(stream, LONGEST).await {
                        converse(stream).await;
                    }
                }
                None => converse(stream).await,
            }
        }));
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).keep_alive(false);
    let answer =
        service_fn(
            |request: http::Request<Incoming>| async move { Ok::<_, Infallible>(respond(request.uri().path())) },
        );
    // A connection that breaks off is the client's matter.
    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
}

fn respond(path: &str) -> Response<Full<Bytes>> {
    if path == "/healthz" {
        return Response::new(Full::from("ok\n"));
    }
    const BODY: &str = r#"{"message":"This server stands by: another one serves.","error":"standby"}"#;
    let mut response = Response::new(Full::from(BODY));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

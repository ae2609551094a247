//! Cross-origin requests (Fetch, CORS protocol): pages of the configured origins may use the API.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::response_body::{self, Outgoing};
use crate::config::Config;

/// Whether a request is a preflight: a browser checks whether it may send a cross-origin request.
pub fn is_preflight(config: &Config, head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && allowed_origin(config, &head.headers).is_some()
}

/// The origin of the request, if it is configured.
pub fn allowed_origin<'h>(config: &Config, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    config.cors_origins.iter().any(|allowed| origin == allowed.as_str()).then_some(origin)
}

/// Lets pages of a configured origin read the response.
pub fn allow_origin(config: &Config, origin: Option<HeaderValue>, answered: &mut HeaderMap) {
    if config.cors_origins.is_empty() {
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

/// The response to a preflight.
pub fn preflight(head: &Parts) -> Response<Outgoing> {
    let mut response = Response::new(response_body::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if let Some(asked) = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

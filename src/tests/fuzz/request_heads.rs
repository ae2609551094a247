//! Fuzzes request headers, hosts and targets.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{WatchedServer, each, odd_inputs};
use crate::tenancy::{Host, host};

const HEADERS: &[&str] = &[
    "host",
    "authorization",
    "content-type",
    "content-encoding",
    "accept",
    "accept-language",
    "cookie",
    "if-match",
    "if-none-match",
    "idempotency-key",
    "origin",
    "access-control-request-method",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-for",
    "forwarded",
    "transfer-encoding",
    "content-length",
    "range",
    "te",
    "expect",
];

/// A header value, composed of parts.
fn header() -> impl Strategy<Value = String> {
    let parts = vec![
        "Bearer ",
        "Basic ",
        "bearer",
        "localhost",
        "acme.localhost",
        ":80",
        "*",
        "W/\"a\"",
        "\"",
        "a=b; ",
        "cx_session=",
        "fr;q=0.5",
        "q=",
        ",",
        "application/json",
        "; charset=latin-1",
        "gzip",
        "127.0.0.1",
        "::1",
        "POST",
        "chunked",
        "100-continue",
        "é",
        "\t",
    ];
    prop_oneof![vec(select(parts), 0..4).prop_map(|parts| parts.concat()), odd_inputs::text()]
}

fn authority() -> impl Strategy<Value = String> {
    let parts = vec![
        "localhost",
        "acme",
        "other",
        ".",
        "..",
        ":",
        "80",
        "99999",
        "%2e",
        "é",
        "xn--",
        "-",
        "_",
        "@",
        "[::1]",
        " ",
        "\0",
        "A",
        "/",
    ];
    vec(select(parts), 0..6).prop_map(|parts| parts.concat())
}

fn target() -> impl Strategy<Value = String> {
    let parts = vec![
        "/",
        "/api",
        "/customers",
        "/1",
        "/whoami",
        "//",
        "/..",
        "/%2e%2e",
        "/%00",
        "?",
        "#",
        "=",
        "&",
        "filter[name]=",
        "http://localhost",
        "acme.localhost",
        ":80",
        "*",
        "/ui/sign-in",
        "/oauth/authorize",
        "/healthz",
        "/docs",
        "é",
        "%",
        ";",
        "\\",
    ];
    prop_oneof![4 => vec(select(parts), 0..6).prop_map(|parts| parts.concat()), 1 => odd_inputs::text()]
}

#[test]
fn a_host_is_the_central_one_or_one_label_before_it() {
    each("hosts", authority(), |authority: &String| {
        for domain in ["localhost", "cx.example.com"] {
            let named = authority.replace("localhost", domain);
            match host(&named, domain) {
                None => {}
                // A loopback address is the central host of localhost.
                Some(Host::Central) if domain == "localhost" && named.starts_with([':', '[', '0', '1']) => {}
                Some(Host::Central) => assert!(named.to_ascii_lowercase().starts_with(domain), "{named:?}"),
                Some(Host::Workspace(label)) => {
                    assert!(!label.is_empty() && !label.contains('.'), "{named:?}");
                    assert!(named.to_ascii_lowercase().starts_with(&format!("{label}.{domain}")), "{named:?}");
                }
            }
        }
    });
}

#[test]
fn a_head_is_answered_whatever_is_in_it_and_opens_nothing() {
    let world = WatchedServer::new();
    let methods = vec!["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "get"];
    let inputs = (select(methods).prop_map(str::to_owned), target(), vec((0..HEADERS.len(), header()), 0..6));
    each("heads", inputs, |(method, target, headers): &(String, String, Vec<(usize, String)>)| {
        let Ok(uri) = Uri::try_from(target) else { return };
        let Ok(mut request) = Request::builder().method(method.as_str()).uri(uri).body(Full::<Bytes>::default()) else {
            return;
        };
        request.headers_mut().insert("host", HeaderValue::from_static("acme.localhost"));
        for (name, value) in headers {
            let Ok(value) = HeaderValue::from_str(value) else { continue };
            request.headers_mut().append(HeaderName::from_static(HEADERS[*name]), value);
        }
        let path = request.uri().path().to_owned();
        let answer = world.holds(|| world.server.send(request));
        let is_private = path.contains("/customers") || path.contains("/whoami");
        let is_read = [Method::OPTIONS, Method::CONNECT].iter().all(|other| other != method.as_str());
        assert!(!(is_private && is_read && answer.status.is_success()), "{answer:?}");
    });
}

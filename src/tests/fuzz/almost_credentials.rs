//! Fuzzes credentials of every kind: no corrupted credential is accepted.

use http::Method;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http_body_util::Full;
use proptest::collection::vec;
use proptest::prelude::*;

use super::each;
use super::odd_inputs::{self, Slip};
use crate::tests::{TestResponse, TestServer};

/// A central token, a workspace token, a key, an OAuth token and a call flow's token.
fn handed_out(server: &TestServer) -> Vec<(&'static str, &'static str, String)> {
    use serde_json::json;

    use crate::auth::TokenScope;
    use crate::tests::RoutingClient;
    let flow = RoutingClient::new(server).post("/cfd-tokens", json!({"name": "Night"})).created();
    let own = |client: crate::tests::TestClient<'_>| client.token().expect("the client has a token").to_owned();
    vec![
        ("localhost", "/whoami", server.token("owner@example.com", TokenScope::Central)),
        ("acme.localhost", "/customers", server.token("owner@example.com", TokenScope::Workspace(server.acme.id))),
        ("acme.localhost", "/customers", own(server.key(&["customer.view"], None))),
        ("acme.localhost", "/customers", own(server.oauth(&["customer.view"], None))),
        ("acme.localhost", "/whoami", flow["token"].as_str().expect("the response contains the token").to_owned()),
    ]
}

fn ask(server: &TestServer, host: &str, path: &str, authorization: &[u8]) -> Option<TestResponse> {
    let value = HeaderValue::from_bytes(authorization).ok()?;
    let request = http::Request::builder().method(Method::GET).uri(path).header(HOST, host);
    Some(server.send(request.header(AUTHORIZATION, value).body(Full::default()).unwrap()))
}

#[test]
fn what_is_almost_a_credential_is_none() {
    let server = TestServer::new();
    let handed_out = handed_out(&server);
    for (host, path, text) in &handed_out {
        let answer = ask(&server, host, path, format!("Bearer {text}").as_bytes()).unwrap();
        assert!(answer.status == 200 || answer.status == 403, "{answer:?}");
    }
    let inputs = (0..handed_out.len(), vec(odd_inputs::slip(), 1..4), any::<bool>());
    each("credentials", inputs, |(which, slips, whole): &(usize, Vec<Slip>, bool)| {
        let (host, path, text) = &handed_out[*which];
        // Corrupt the credential, or the whole header.
        let (good, sent) = match whole {
            false => (text.clone(), [b"Bearer ", &*odd_inputs::slipped(text, slips)].concat()),
            true => (format!("Bearer {text}"), odd_inputs::slipped(&format!("Bearer {text}"), slips)),
        };
        let is_the_same = || {
            let sent = String::from_utf8_lossy(&sent);
            let (scheme, token) = sent.split_once(' ').unwrap_or_default();
            scheme.eq_ignore_ascii_case("bearer") && token.trim() == good.trim_start_matches("Bearer ")
        };
        if is_the_same() {
            return;
        }
        let Some(answer) = ask(&server, host, path, &sent) else { return };
        assert_eq!(answer.status, 401, "{}: {answer:?}", String::from_utf8_lossy(&sent));
    });
}

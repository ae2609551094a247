//! Two nodes on one data directory: the first gets the requests, the second serves what the placement says.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use http::{HeaderValue, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{PASSWORD, TestClient, TestResponse, TestServer};
use crate::api::{BlockingCtx, Done, Error, Needs, Resource, Result, Route, Router, blocking, post};
use crate::auth::{NODE_HEADER, NOTIFY_PATH, NodeKey, RequestOrigin};
use crate::cluster::{NodeDirectory, NodeNotifier, Owner};
use crate::server::{self, Service};
use crate::values::Timestamp;

/// A placement that a test sets.
struct FixedPlacement {
    workspaces: Mutex<Owner>,
    central: Mutex<Owner>,
    /// What a refresh finds out about workspaces.
    news: Mutex<Option<Owner>>,
    refreshed: AtomicUsize,
    notified: AtomicUsize,
}

impl FixedPlacement {
    fn new(workspaces: Owner, central: Owner) -> Arc<Self> {
        Arc::new(Self {
            workspaces: Mutex::new(workspaces),
            central: Mutex::new(central),
            news: Mutex::default(),
            refreshed: AtomicUsize::default(),
            notified: AtomicUsize::default(),
        })
    }
}

impl NodeDirectory for FixedPlacement {
    fn owner_of_workspace(&self, _: Uuid) -> Owner {
        self.workspaces.lock().clone()
    }

    fn central_node(&self) -> Owner {
        self.central.lock().clone()
    }

    fn refresh(&self) {
        self.refreshed.fetch_add(1, Ordering::Relaxed);
        if let Some(owner) = self.news.lock().take() {
            *self.workspaces.lock() = owner;
        }
    }

    fn notify(&self) -> anyhow::Result<()> {
        self.notified.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Two nodes. The second serves all workspaces and central requests.
struct TwoNodes {
    first: TestServer,
    second: TestServer,
    /// What the first and the second node know.
    placement: Arc<FixedPlacement>,
    of_second: Arc<FixedPlacement>,
    /// The second node.
    node: Owner,
    address: SocketAddr,
    _serving: Runtime,
}

fn key(letter: &str) -> NodeKey {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), letter.repeat(32)).unwrap();
    NodeKey::open(file.path()).unwrap()
}

fn node_at(address: SocketAddr) -> Owner {
    Owner::Node { name: "two".into(), url: format!("http://{address}") }
}

/// The address of a port on which nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(server: &TestServer, placement: &Arc<FixedPlacement>) -> (SocketAddr, Runtime) {
    let service = Service::new(Arc::clone(&server.instance), Arc::clone(server.service.router()));
    let service = Arc::new(service.among_nodes(key("s"), Arc::clone(placement) as _));
    server::serve_for_test(&service, &server.instance.config).unwrap()
}

impl TwoNodes {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        Self::of(TestServer::with(settings), settings)
    }

    fn of(first: TestServer, settings: &[(&str, &str)]) -> Self {
        let two = [settings, &[("node_name", "two"), ("listen", "127.0.0.1:0"), ("trusted_proxies", "")]].concat();
        let second = first.beside(&two);
        let of_second = FixedPlacement::new(Owner::ThisNode, Owner::ThisNode);
        let (address, _serving) = serve(&second, &of_second);
        let node = node_at(address);
        let placement = FixedPlacement::new(node.clone(), node.clone());
        let first = first.among_nodes(key("s"), Arc::clone(&placement) as _);
        Self { first, second, placement, of_second, node, address, _serving }
    }

    /// The same client of the second node.
    fn at_second<'a>(&'a self, client: &TestClient<'_>) -> TestClient<'a> {
        let same = self.second.anonymous().at("acme.localhost");
        client.token().map_or(same.clone(), |token| same.with_token(token.to_owned()))
    }

    fn first_has_opened_nothing(&self) {
        assert!(self.first.instance.registry.files().is_empty(), "the first node has opened a workspace");
    }
}

fn origin() -> RequestOrigin {
    RequestOrigin {
        node: "one".into(),
        id: Uuid::from_u128(7),
        client: "192.0.2.1".parse().unwrap(),
        scheme: "http".into(),
        host: "localhost".into(),
    }
}

#[test]
fn reads_and_writes_of_a_workspace_run_at_the_node_that_serves_it() {
    let nodes = TwoNodes::new();
    let admin = nodes.first.admin();
    let made = admin.post("/customers", json!({"name": "Renault"})).created();
    assert_eq!(made["name"], "Renault");
    let (here, there) = (admin.get("/customers/1"), nodes.at_second(&admin).get("/customers/1"));
    assert_eq!(here.ok(), there.ok());
    let headers = |response: &TestResponse| {
        let mut headers = response.headers.clone();
        for own in ["x-request-id", "date", "content-length"] {
            headers.remove(own);
        }
        headers
    };
    assert_eq!(headers(&here), headers(&there), "each header is sent once");
    nodes.first_has_opened_nothing();
}

#[test]
fn a_file_to_import_is_streamed_and_an_export_as_well() {
    let nodes = TwoNodes::new();
    let admin = nodes.first.admin();
    let comment = "x".repeat(1000);
    let rows: String = (0..3000).map(|n| format!("Name {n},{comment}\n")).collect();
    let csv = format!("last_name,comment\n{rows}");
    assert!(csv.len() > 2 * 1024 * 1024);
    admin.post_csv("/contacts/import", csv).created();
    let exported = admin.get("/contacts/export");
    assert_eq!(exported.status, 200);
    assert_eq!(exported.text.matches(&comment).count(), 3000);
    nodes.first_has_opened_nothing();
}

#[test]
fn a_large_body_of_a_stranger_is_refused_by_the_node_that_serves_the_workspace() {
    let nodes = TwoNodes::new();
    let stranger = nodes.first.anonymous().at("acme.localhost").with_token("cxk_made-up".into());
    let csv = format!("last_name\n{}", "Ada\n".repeat(500_000));
    let answer = stranger.post_csv("/contacts/import", csv);
    assert_eq!(answer.status, 401, "{}", answer.text);
}

#[test]
fn errors_are_those_of_the_node_that_serves_the_workspace() {
    let nodes = TwoNodes::new();
    let (admin, nobody) = (nodes.first.admin(), nodes.first.anonymous().at("acme.localhost"));
    let limited = nodes.first.with_role("agent");
    for (client, path, body) in [
        (&admin, "/customers/99", None),
        (&admin, "/customers", Some(json!({"name": 7}))),
        (&admin, "/nowhere", None),
        (&nobody, "/customers", None),
        (&limited, "/roles", Some(json!({"name": "a", "permissions": []}))),
    ] {
        let ask = |client: &TestClient<'_>| match &body {
            Some(body) => client.post(path, body.clone()),
            None => client.get(path),
        };
        let (here, there) = (ask(client), ask(&nodes.at_second(client)));
        assert!(here.status.is_client_error(), "{here:?}");
        assert_eq!((here.status, here.text), (there.status, there.text));
    }
}

#[test]
fn a_stream_of_events_goes_on_resumes_and_ends_when_the_client_leaves() {
    let nodes = TwoNodes::new();
    let admin = nodes.first.admin();
    let mut stream = admin.stream();
    admin.post("/customers", json!({"name": "Renault"})).created();
    let (name, id, _) = stream.next_event().unwrap();
    assert_eq!(name, "changed");
    drop(stream);
    admin.post("/customers", json!({"name": "Peugeot"})).created();
    let resumed = admin.with_header("last-event-id", &id.unwrap().to_string());
    assert_eq!(resumed.stream().changes(1), ["customer.created 2"]);
    // A credential may have four streams. Those that were dropped end at the other node too.
    for _ in 0..3 {
        let mut open = Vec::new();
        while open.len() < 4 {
            open.extend(admin.try_stream());
        }
        assert!(admin.try_stream().is_none());
    }
    nodes.first_has_opened_nothing();
}

#[test]
fn pages_forms_cookies_and_redirects_work_across_nodes() {
    let nodes = TwoNodes::new();
    let uri = "https://program.example.com/back";
    let client = json!({
        "name": "a program", "redirect_uris": [uri], "grants": ["authorization_code"], "scopes": ["contact.view"],
    });
    let client = nodes.first.admin().post("/oauth-clients", client).created();
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", client["client_id"].as_str().unwrap()),
            ("redirect_uri", uri),
            ("scope", "contact.view"),
            ("state", "s"),
        ])
        .finish();
    assert!(!nodes.first.approve("owner@example.com", &format!("/oauth/authorize?{query}")).is_empty());
    nodes.first_has_opened_nothing();
}

#[test]
fn the_client_is_the_one_that_the_first_node_knows() {
    let nodes = TwoNodes::with(&[("trusted_proxies", "127.0.0.1")]);
    let client =
        nodes.first.admin().with_header("x-forwarded-for", "198.51.100.7").with_header("x-forwarded-proto", "https");
    let made = client.post("/customers", json!({"name": "Renault"}));
    made.created();
    assert!(made.headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    let log = nodes.first.admin().get("/audit-log").text;
    assert!(log.contains("198.51.100.7") && !log.contains("127.0.0.1"), "{log}");
}

#[test]
fn rate_limits_of_central_requests_are_counted_at_one_node() {
    let nodes = TwoNodes::with(&[("throttle_attempts", "2")]);
    let wrong = json!({"email": "owner@example.com", "password": "not the password"});
    for _ in 0..2 {
        nodes.first.anonymous().post("/login", wrong.clone()).rejected(401, "invalid_credentials");
    }
    assert_eq!(nodes.first.anonymous().post("/login", wrong.clone()).status, 429);
    // The limit is of the client, whichever node it asks.
    let direct = nodes.second.anonymous().post("/login", wrong);
    assert_eq!(direct.status, 429);
}

#[test]
fn central_requests_run_here_while_their_node_cannot_be_reached() {
    let nodes = TwoNodes::new();
    *nodes.placement.central.lock() = node_at(closed_port());
    let login = json!({"email": "owner@example.com", "password": PASSWORD});
    nodes.first.anonymous().post("/login", login.clone()).ok();
    nodes.first.central().get("/workspaces").ok();
    *nodes.placement.central.lock() = Owner::Nobody;
    nodes.first.anonymous().post("/login", login).ok();
}

#[test]
fn a_header_that_no_node_has_signed_is_refused() {
    let nodes = TwoNodes::new();
    // The second node of these tests is asked without a socket, so it needs its own place among the nodes.
    let TwoNodes { first, second, of_second, .. } = nodes;
    let second = second.among_nodes(key("s"), of_second as _);
    let (key, other) = (key("s"), self::key("t"));
    let now = Timestamp::now();
    let ask = |signed: &str, path: &str| second.anonymous().with_header(NODE_HEADER, signed).get(path);
    let path = "/api/workspaces";
    let good = key.sign(&origin(), "GET", path, now);
    ask(&good, "/workspaces").rejected(401, "token_missing");
    for forged in [
        "junk".to_owned(),
        other.sign(&origin(), "GET", path, now),
        key.sign(&origin(), "GET", "/api/accounts", now),
        key.sign(&origin(), "POST", path, now),
        key.sign(&origin(), "GET", path, Timestamp::from_seconds(now.seconds() - 100)),
        key.sign(&RequestOrigin { scheme: "gopher".into(), ..origin() }, "GET", path, now),
    ] {
        ask(&forged, "/workspaces").rejected(401, "unknown_node");
        first.anonymous().with_header(NODE_HEADER, &forged).get("/workspaces").rejected(401, "unknown_node");
    }
    let twice = second.anonymous().with_header(NODE_HEADER, &good).with_header(NODE_HEADER, &good);
    twice.get("/workspaces").rejected(401, "unknown_node");
    // A server that is no node ignores the header.
    TestServer::new().admin().with_header(NODE_HEADER, "junk").get("/customers").ok();
}

#[test]
fn nodes_that_take_each_other_for_the_owner_forward_once() {
    let nodes = TwoNodes::new();
    *nodes.of_second.workspaces.lock() = nodes.node.clone();
    let admin = nodes.first.admin();
    for answer in [admin.get("/customers"), admin.post("/customers", json!({"name": "Renault"}))] {
        answer.rejected(503, "elsewhere");
        assert_eq!(answer.headers[header::RETRY_AFTER], HeaderValue::from_static("1"));
    }
    assert_eq!(nodes.placement.refreshed.load(Ordering::Relaxed), 2);
    assert_eq!(nodes.of_second.refreshed.load(Ordering::Relaxed), 0);
}

#[test]
fn a_workspace_that_has_moved_is_found_at_its_new_node() {
    let nodes = TwoNodes::new();
    let third = nodes.first.beside(&[("node_name", "three"), ("listen", "127.0.0.1:0")]);
    let placement = FixedPlacement::new(Owner::ThisNode, Owner::ThisNode);
    let (address, _serving) = serve(&third, &placement);
    *nodes.of_second.workspaces.lock() = node_at(address);
    *nodes.placement.news.lock() = Some(node_at(address));
    let made = nodes.first.admin().post("/customers", json!({"name": "Renault"}));
    made.created();
    assert_eq!(nodes.placement.refreshed.load(Ordering::Relaxed), 1);
}

#[test]
fn an_unreachable_node_has_done_nothing() {
    let nodes = TwoNodes::new();
    *nodes.placement.workspaces.lock() = node_at(closed_port());
    let admin = nodes.first.admin();
    admin.get("/customers").rejected(503, "elsewhere");
    admin.post("/customers", json!({"name": "Renault"})).rejected(503, "elsewhere");
    *nodes.placement.workspaces.lock() = Owner::Nobody;
    admin.get("/customers").rejected(503, "elsewhere");
    *nodes.placement.news.lock() = Some(nodes.node.clone());
    admin.get("/customers").ok();
}

#[test]
fn the_outcome_of_a_write_is_unknown_if_the_node_breaks_off() {
    let nodes = TwoNodes::new();
    let broken = TcpListener::bind("127.0.0.1:0").unwrap();
    *nodes.placement.workspaces.lock() = node_at(broken.local_addr().unwrap());
    let asked = thread::spawn(move || {
        for asked in 0.. {
            let mut bytes = [0; 4096];
            let (mut stream, _) = broken.accept().unwrap();
            let read = stream.read(&mut bytes).unwrap();
            if bytes[..read].starts_with(b"DELETE") {
                return asked;
            }
        }
        unreachable!()
    });
    let admin = nodes.first.admin();
    admin.post("/customers", json!({"name": "Renault"})).rejected(504, "outcome_unknown");
    admin.get("/customers").rejected(503, "elsewhere");
    admin.delete("/customers/1").rejected(504, "outcome_unknown");
    assert_eq!(asked.join().unwrap(), 3, "a write is sent once, a read twice");
}

fn changes_a_workspace(ctx: &BlockingCtx<'_>) -> Result<Done> {
    match ctx.instance.config.node_name.as_str() {
        "two" => Ok(Done),
        _ => Err(Error::Elsewhere(Uuid::from_u128(7))),
    }
}

const ROUTES: &[Route] = &[post("/change", &blocking(changes_a_workspace), Needs::Anyone, "changes a workspace")];

#[test]
fn a_central_request_that_changes_a_workspace_runs_at_the_node_that_serves_it() {
    let router = || Router::new(&[Resource::new("Tests", "", ROUTES)], &[]).unwrap();
    let nodes = TwoNodes::of(TestServer::with_router(router()), &[]);
    *nodes.placement.central.lock() = Owner::ThisNode;
    nodes.first.anonymous().post("/change", json!({})).ok();
    // The node of central requests cannot run it either, and names the workspace.
    let third = nodes.first.beside(&[("node_name", "three"), ("listen", "127.0.0.1:0")]);
    let (address, _serving) = serve(&third, &FixedPlacement::new(nodes.node.clone(), Owner::ThisNode));
    *nodes.placement.central.lock() = node_at(address);
    nodes.first.anonymous().post("/change", json!({})).ok();
    // Nobody serves it.
    *nodes.placement.workspaces.lock() = Owner::Nobody;
    nodes.first.anonymous().post("/change", json!({})).rejected(503, "elsewhere");
}

#[test]
fn a_node_is_notified_by_other_nodes_only() {
    let nodes = TwoNodes::new();
    let (url, now) = (format!("http://{}", nodes.address), Timestamp::now());
    NodeNotifier::new(key("s"), "one".into(), None).notify(&url, now).unwrap();
    let notified = || nodes.of_second.notified.load(Ordering::Relaxed);
    assert_eq!(notified(), 1);
    let said = NodeNotifier::new(key("t"), "one".into(), None).notify(&url, now).unwrap_err();
    assert!(said.to_string().contains("401"), "{said}");
    assert!(NodeNotifier::new(key("s"), "one".into(), None).notify(&format!("http://{}", closed_port()), now).is_err());
    let unsigned = http::Request::post(NOTIFY_PATH).header(header::HOST, "localhost").body(Full::default()).unwrap();
    nodes.second.send(unsigned).rejected(401, "unknown_node");
    assert_eq!(notified(), 1);
}

#[test]
fn operations_are_never_forwarded() {
    let nodes = TwoNodes::new();
    *nodes.placement.central.lock() = node_at(closed_port());
    let ready = http::Request::get("/readyz").header(header::HOST, "acme.localhost").body(Full::default()).unwrap();
    assert_eq!(nodes.first.send(ready).status, 200);
    assert_eq!(nodes.placement.refreshed.load(Ordering::Relaxed), 0);
}

#[test]
fn clients_of_both_versions_of_http_are_forwarded() {
    let nodes = TwoNodes::new();
    let entry = nodes.first.beside(&[("node_name", "zero"), ("listen", "127.0.0.1:0")]);
    let (address, _serving) = serve(&entry, &nodes.placement);
    let token = nodes.first.admin().token().unwrap().to_owned();
    let runtime = Runtime::new().unwrap();
    let ask = |is_second: bool, method: &str| {
        let uri = if is_second { "http://acme.localhost/api/customers" } else { "/api/customers" };
        let mut request = http::Request::builder().method(method).uri(uri);
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        if !is_second {
            request = request.header(header::HOST, "acme.localhost");
        }
        let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
        runtime.block_on(async {
            let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
            let response = if is_second {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            } else {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            };
            let length = response.headers().get(header::CONTENT_LENGTH).cloned();
            (response.status().as_u16(), length, response.into_body().collect().await.unwrap().to_bytes())
        })
    };
    let (one, two) = (ask(false, "GET"), ask(true, "GET"));
    assert_eq!((one.0, &one), (200, &two));
    let (one, two) = (ask(false, "HEAD"), ask(true, "HEAD"));
    assert!(one.2.is_empty() && one.1.is_some());
    assert_eq!((one.0, &one), (200, &two));
}

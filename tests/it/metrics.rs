//! `/metrics`: counters and gauges in the format of Prometheus.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Answer, Request};
use crate::process::{document, not_run, run};
use crate::receiver::Receiver;
use crate::test_server::{TestServer, central, eventually};

/// Samples of the page by name and labels.
pub type Figures = BTreeMap<String, f64>;

const METRICS: Request<'_> =
    Request { method: "GET", path: "/metrics", host: "10.0.0.1", token: None, headers: &[], body: None };

pub fn page(server: &TestServer) -> Answer {
    let answer = server.ask(&METRICS);
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    answer
}

pub fn figures(server: &TestServer) -> Figures {
    let page = page(server).text;
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, figure)| (name.into(), figure.parse().unwrap()))
        .collect()
}

/// One of our metrics. Zero if it has no sample yet.
pub fn figure(figures: &Figures, name: &str) -> f64 {
    figures.get(&format!("cx_engine_{name}")).copied().unwrap_or_default()
}

#[test]
fn nobody_is_told_where_that_is_not_wanted() {
    let quiet = TestServer::new();
    quiet.ask(&METRICS).refused(404, "unknown_host");
    quiet.ask(&Request { host: &central().host, ..METRICS }).refused(404, "route_not_found");
}

#[test]
fn requests_are_counted_by_what_was_asked_and_what_came_of_it() {
    let server = TestServer::with(&["--metrics", "true"]);
    let acme = server.team("acme").inside;
    server.customer(&acme, "Renault");
    let before = figures(&server);
    for path in ["/customers/1", "/customers/1", "/customers/99"] {
        server.get(&acme, path);
    }
    server.post(&acme, "/customers", json!({"name": ""})).invalid(&["The name field is required."]);
    server.get(&central(), "/made-up/by-a-client").refused(404, "route_not_found");
    server.ask(&Request { method: "BREW", path: "/pot", host: &central().host, ..Request::default() });
    let now = figures(&server);
    let more = |name: &str| figure(&now, name) - figure(&before, name);
    let requests = |labels: &str| more(&format!("http_requests_total{{{labels}}}"));
    let show = r#"layer="workspace",method="GET",route="/customers/{id}""#;
    assert_eq!(requests(&format!(r#"{show},status="200""#)), 2.0);
    assert_eq!(requests(&format!(r#"{show},status="404""#)), 1.0);
    assert_eq!(requests(r#"layer="workspace",method="POST",route="/customers",status="400""#), 1.0);
    assert_eq!(requests(r#"layer="",method="GET",route="",status="404""#), 1.0);
    assert_eq!(requests(r#"layer="",method="other",route="",status="404""#), 1.0);
    assert_eq!(requests(r#"layer="",method="GET",route="/metrics",status="200""#), 1.0);
    assert_eq!(more(&format!("http_request_duration_seconds_count{{{show}}}")), 3.0);
    assert!(more(&format!("http_request_duration_seconds_sum{{{show}}}")) > 0.0);
    assert_eq!(more(r#"http_errors_total{error="not_found"}"#), 1.0);
    assert_eq!(more(r#"http_errors_total{error="route_not_found"}"#), 2.0);
    assert!(!now.keys().any(|name| name.contains("made-up") || name.contains("BREW")), "{now:?}");
    // The request for the metrics itself.
    assert_eq!(figure(&now, "http_requests_running"), 1.0);
    assert_eq!(figure(&now, r#"waiting{lane="write"}"#), 0.0);
    assert_eq!(more(r#"wait_seconds_count{lane="read"}"#), 3.0);
    assert_eq!(more(r#"wait_seconds_count{lane="write"}"#), 1.0);
}

#[test]
fn connections_are_counted_while_they_are_open_and_when_they_are_too_many() {
    let server = TestServer::with(&["--metrics", "true", "--max-connections-per-address", "3"]);
    let open = |held: &Figures| figure(held, "connections");
    let mut held = [server.connect(), server.connect()];
    for connection in &mut held {
        connection.ask(&METRICS).unwrap();
    }
    let before = figures(&server);
    assert_eq!(open(&before), 3.0);
    let mut third = None;
    eventually("the one that asked has gone, and another is let in", || {
        let mut one = server.connect();
        third = one.ask(&METRICS).is_ok().then_some(one);
        third.is_some()
    });
    assert!(server.connect().ask(&METRICS).is_err(), "one too many");
    drop((third, held));
    eventually("one is left, which asks", || {
        let answer = server.connect().ask(&METRICS);
        answer.is_ok_and(|answer| answer.text.contains("\ncx_engine_connections 1\n"))
    });
    let now = figures(&server);
    assert!(figure(&now, "connections_refused_total") > figure(&before, "connections_refused_total"));
    assert!(figure(&now, "connections_accepted_total") >= figure(&before, "connections_accepted_total") + 3.0);
}

#[test]
fn writes_are_counted_in_their_groups_and_files_by_what_they_take() {
    let server = TestServer::with(&["--metrics", "true"]);
    let team = server.team("acme");
    server.customer(&team.inside, "The one who makes it known");
    let before = figures(&server);
    for n in 0..5 {
        server.customer(&team.inside, &format!("Customer {n}"));
    }
    let now = figures(&server);
    let more = |name: &str| figure(&now, name) - figure(&before, name);
    assert!(more("write_group_size_sum") >= 5.0 && more("write_group_size_count") >= 5.0, "one after the other");
    assert!(more("write_group_duration_seconds_sum") > 0.0);
    assert_eq!(figure(&now, "open_workspaces"), 1.0);
    assert!(figure(&now, "files_opened_total") >= 2.0);
    let size = |file: &str, part: &str| figure(&now, &format!(r#"sqlite_bytes{{file="{file}",part="{part}"}}"#));
    let file = std::fs::metadata(server.file(&team.workspace)).unwrap().len();
    assert_eq!(size("open_workspaces", "data"), file as f64);
    assert!(size("central", "data") > 0.0 && size("open_workspaces", "log") > 0.0);
    let lookups =
        |cache: &str, result: &str| more(&format!(r#"cache_lookups_total{{cache="{cache}",result="{result}"}}"#));
    for cache in ["workspaces", "tokens", "open_workspaces"] {
        assert!(lookups(cache, "hit") >= 5.0, "{cache}");
        assert_eq!(lookups(cache, "miss"), 0.0, "{cache}");
    }
}

#[test]
fn mails_and_messages_to_webhooks_are_counted_as_they_go_or_fail() {
    // Port 1 has no listener.
    let flags = ["--metrics", "true", "--private-webhooks", "true", "--smtp-url", "smtp://127.0.0.1:1"];
    let server = TestServer::with(&flags);
    let acme = server.team("acme").inside;
    let invited = json!({"email": "grace@example.com", "role_id": 3});
    server.post(&acme, "/user-invites", invited).created();
    let receiver = Receiver::start();
    receiver.answers("500 Internal Server Error", "");
    let webhook = json!({"url": receiver.url(), "events": ["customer.created"]});
    server.post(&acme, "/webhooks", webhook).created();
    server.customer(&acme, "Renault");
    eventually("one mail has failed, and one message", || {
        let now = figures(&server);
        figure(&now, r#"mails_total{outcome="failed"}"#) >= 1.0
            && figure(&now, r#"outbox_mails{state="retried"}"#) == 1.0
            && figure(&now, r#"webhook_messages_total{outcome="failed"}"#) == 1.0
    });
    assert_eq!(figure(&figures(&server), r#"outbox_mails{state="dead"}"#), 0.0);
}

#[test]
fn the_figures_of_the_process_are_those_of_the_system() {
    let server = TestServer::with(&["--metrics", "true"]);
    let now = figures(&server);
    assert_eq!(now["process_max_fds"].to_string(), server.descriptor_limits().0);
    assert!(now["process_open_fds"] >= 10.0 && now["process_cpu_seconds_total"] >= 0.0);
    let resident = now["process_resident_memory_bytes"] / f64::from(1024 * 1024);
    assert!((resident - server.resident_mib() as f64).abs() < 8.0, "{resident}");
    let name = format!(r#"cx_engine_build_info{{version="{}","#, env!("CARGO_PKG_VERSION"));
    assert!(now.keys().any(|key| key.starts_with(&name)), "{now:?}");
}

/// Checks the page with the parser of Prometheus' own client for Python, which is strict about the format.
#[test]
fn prometheus_reads_all_of_it_and_the_documentation_has_each() {
    let server = TestServer::with(&["--metrics", "true"]);
    let acme = server.team("acme").inside;
    server.customer(&acme, "Renault");
    server.post(&acme, "/user-invites", json!({"email": "grace@example.com", "role_id": 3})).created();
    server.get(&acme, "/nothing").refused(404, "route_not_found");
    let page = page(&server).text;

    let families: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(families.len() > 20, "{families:?}");
    let chapter = document("docs/metrics.md");
    for family in &families {
        let name = family.strip_prefix("cx_engine_").unwrap_or("process_");
        assert!(chapter.contains(&format!("`{name}")), "docs/metrics.md does not say what {family} is");
    }

    const PARSE: &str = "import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(json.dumps([[family.name, family.type, len(family.documentation)] for family in parse(sys.stdin.read())]))";
    if run(Command::new("python3").args(["-c", "import prometheus_client"]), "").code != Some(0) {
        not_run("Python has no prometheus_client here, which reads the page");
        return;
    }
    let read: Vec<Value> = serde_json::from_str(&run(Command::new("python3").args(["-c", PARSE]), &page).ok()).unwrap();
    let names: Vec<&str> = read.iter().map(|family| family[0].as_str().unwrap()).collect();
    assert_eq!(names, families);
    assert!(read.iter().all(|family| family[1] != "unknown" && family[2].as_u64() > Some(5)), "{read:?}");
}

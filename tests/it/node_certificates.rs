//! Nodes that reach each other at `https://` URLs, with certificates of a private authority.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faults::nodes::Cluster;
use crate::process::{Process, Typed, curl, free_ports};
use crate::s3_stub::S3Stub;
use crate::test_server::{PASSWORD, TestServer, eventually, text};

/// The files of an authority, and of a certificate that it has issued for all nodes and hosts of the test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let mut root = CertificateParams::new([]).unwrap();
        root.distinguished_name.push(DnType::CommonName, "a private authority");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate().unwrap();
        fs::write(files.path("root.pem"), root.self_signed(&root_key).unwrap().pem()).unwrap();
        let hosts = ["127.0.0.1", "localhost", "acme.localhost"].map(str::to_owned);
        let (params, key) = (CertificateParams::new(hosts).unwrap(), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        fs::write(files.path("certificate.pem"), certificate.pem()).unwrap();
        fs::write(files.path("key.pem"), key.serialize_pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Three nodes. Those with a number below `trusting` have the root of the authority.
    fn cluster(&self, trusting: usize) -> Cluster {
        let [root, certificate, key] =
            ["root.pem", "certificate.pem", "key.pem"].map(|name| self.path(name).to_str().unwrap().to_owned());
        let addresses = free_ports::<3>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let flags = ["--tls-certificate", &certificate, "--tls-key", &key];
        Cluster::of(S3Stub::start(), &flags, "https", &addresses, |node, flags| {
            let trust = ["--node-root", &root];
            let trust = if node < trusting { &trust[..] } else { &[] };
            TestServer::with(&[flags, trust].concat())
        })
    }

    fn curl(&self, arguments: &[&str]) -> Typed {
        curl(&self.path("root.pem"), arguments)
    }

    /// Creates an account with the workspace acme at a node. Returns its id, and the header of a token for it.
    fn team(&self, node: &TestServer) -> (String, String) {
        let ada = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "workspace_name": "Acme"});
        let made = self.post(&url(node, "localhost", "/register"), &[], &ada);
        let login = json!({"email": "ada@example.com", "password": PASSWORD});
        let token = text(&self.post(&url(node, "acme.localhost", "/login"), &[], &login)["token"]);
        (text(&made["workspace"]["id"]), format!("Authorization: Bearer {token}"))
    }

    fn post(&self, url: &str, arguments: &[&str], body: &Value) -> Value {
        let body = body.to_string();
        let said = self.curl(&[&[url, "-H", "Content-Type: application/json", "-d", &body], arguments].concat()).ok();
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
    }
}

fn url(node: &TestServer, host: &str, path: &str) -> String {
    format!("https://{host}:{}/api{path}", node.address().port())
}

#[test]
fn requests_uploads_streams_and_notifications_go_over_tls() {
    let files = Files::new();
    let cluster = files.cluster(3);
    let [first, second, _] = &cluster.nodes[..] else { unreachable!("there are three") };
    let (workspace, token) = files.team(first);
    let moved = cluster.command(&["cluster", "move", &workspace, "node-1"]).ok();
    assert!(moved.contains("node-1 serves the shard"), "{moved}");
    let at = |path: &str| url(first, "acme.localhost", path);

    let mut stream = Command::new("curl");
    stream.args(["--silent", "--no-buffer", "--cacert"]).arg(files.path("root.pem"));
    stream.args([&at("/events"), "-H", &token]).stdout(Stdio::piped());
    let mut stream = Process(stream.spawn().unwrap());
    let mut events = BufReader::new(stream.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(events.any(|line| line.starts_with("retry")));
    let made = files.post(&at("/customers"), &["-H", &token], &json!({"name": "Renault"}));
    assert_eq!(made["name"], "Renault");
    assert!(events.any(|line| line.contains("customer.created")));

    let comment = "x".repeat(1000);
    let rows: String = (0..1500).map(|n| format!("Name {n},{comment}\n")).collect();
    let csv = files.path("contacts.csv");
    fs::write(&csv, format!("last_name,comment\n{rows}")).unwrap();
    let body = format!("@{}", csv.display());
    let csv = ["-H", "Content-Type: text/csv", "--data-binary", &body];
    let imported = files.curl(&[&[&at("/contacts/import") as &str, "-H", &token], &csv[..]].concat()).ok();
    assert!(imported.contains("1500"), "{imported}");

    // The others are told of a log-in.
    assert!(first.log().contains("\"node\":\"node-1\""), "requests are forwarded");
    assert!(second.log().contains("/internal/cluster/notify"));
    for node in &cluster.nodes {
        assert!(!node.log().contains("was not told") && !node.log().contains("node_root"), "{}", node.log());
    }
}

#[test]
fn a_node_that_does_not_trust_the_authority_says_which_setting_to_correct() {
    let files = Files::new();
    let cluster = files.cluster(2);
    let (workspace, token) = files.team(&cluster.nodes[0]);
    cluster.command(&["cluster", "move", &workspace, "node-1"]).ok();
    let untrusting = &cluster.nodes[2];
    let refused = files.curl(&[&url(untrusting, "acme.localhost", "/customers"), "-H", &token]).ok();
    assert!(refused.contains("elsewhere"), "{refused}");
    eventually("the log says it", || {
        let log = untrusting.log();
        let says =
            |line: &str| line.contains("UnknownIssuer") && line.contains("set node_root to the root certificate");
        log.lines().filter(|line| says(line)).count() >= 2
    });
}

#[test]
fn a_root_that_is_no_certificate_is_named_at_the_start() {
    let files = Files::new();
    let cluster = files.cluster(3);
    let key = files.path("key.pem").to_str().unwrap().to_owned();
    let flags = cluster.store.flags_of("other");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--node-url", "https://127.0.0.1:1", "--node-root", &key];
    let said = cluster.nodes[0].cli(&[&serve[..], &flags].concat()).failed();
    assert!(said.contains("node_root: no certificate in"), "{said}");
}

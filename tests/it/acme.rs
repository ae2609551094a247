//! Certificates by ACME from a real authority, Caddy's `acme_server`, which proves hosts on the ports 443 and 80. Each server
//! of these tests listens at a loopback address of its own. Caddy finds it by a hosts file in a mount namespace of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::faults::clock::Clock;
use crate::process::{Process, Typed, curl, free_ports, not_run, program, run};
use crate::test_server::{PASSWORD, TestServer, eventually};

const CENTRAL: &str = "cx.test";
const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// A certificate authority, stopped when dropped.
struct Authority {
    process: Process,
    folder: TempDir,
    port: u16,
    /// The address of the server whose hosts it can reach.
    hosts_at: Ipv4Addr,
}

/// A server with certificates of an authority.
struct Site {
    server: TestServer,
    root: PathBuf,
}

impl Authority {
    /// Starts Caddy with options of `acme_server`. `None`, with a message, if this machine has not what that needs.
    fn start(options: &str) -> Option<Self> {
        static STARTED: AtomicU8 = AtomicU8::new(1);
        let [high, low, ..] = std::process::id().to_be_bytes()[2..] else { unreachable!() };
        let hosts_at = Ipv4Addr::new(127, 100 + STARTED.fetch_add(1, Ordering::Relaxed), high, low);
        if let Err(error) = TcpListener::bind((hosts_at, 443)) {
            not_run(&format!("this user may not listen on port 443, where an authority proves hosts ({error})"));
            return None;
        }
        if !Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|done| done.status.success()) {
            not_run("this machine lets this user mount nothing, so an authority finds no host of a test");
            return None;
        }
        if let Err(error) = Command::new("caddy").arg("version").output() {
            not_run(&format!("there is no caddy here ({error})"));
            return None;
        }
        let (folder, [port]) = (tempfile::tempdir().unwrap(), free_ports());
        let names = ["", "acme.", "beta.", "refused."].map(|label| format!("{label}{CENTRAL}")).join(" ");
        fs::write(folder.path().join("hosts"), format!("127.0.0.1 localhost\n{hosts_at} {names}\n")).unwrap();
        // Its own certificate must not expire for a server whose clock is ahead.
        let config = format!(
            "{{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n\tpki {{\n\t\tca local {{\n\
             \t\t\tintermediate_lifetime 3000d\n\t\t}}\n\t}}\n}}\nhttps://localhost:{port} {{\n\tbind 127.0.0.1\n\
             \ttls {{\n\t\tissuer internal {{\n\t\t\tlifetime 2000d\n\t\t}}\n\t}}\n\tacme_server {{\n{options}\n\t}}\n}}\n"
        );
        fs::write(folder.path().join("Caddyfile"), config).unwrap();
        let authority = Self { process: caddy(folder.path()), folder, port, hosts_at };
        authority.answers();
        Some(authority)
    }

    fn answers(&self) {
        eventually("the authority answers", || {
            self.root().exists() && curl(&self.root(), &[&self.directory()]).out.contains("newOrder")
        });
    }

    fn stop(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = caddy(self.folder.path());
        self.answers();
    }

    fn directory(&self) -> String {
        format!("https://localhost:{}/acme/local/directory", self.port)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("caddy/pki/authorities/local/root.crt")
    }

    /// The flags of a server that gets its certificates here.
    fn flags(&self) -> Vec<String> {
        let at = |port| format!("{}:{port}", self.hosts_at);
        let root = self.root().to_str().unwrap().to_owned();
        let listen = ["--listen".into(), at(443), "--redirect-listen".into(), at(80)];
        let acme = ["--acme-directory".into(), self.directory(), "--acme-root".into(), root];
        let more = ["--acme-email", "ada@example.com", "--central-domain", CENTRAL, "--metrics", "true"];
        listen.into_iter().chain(acme).chain(more.map(str::to_owned)).collect()
    }

    fn serve(&self, clock: Option<&Clock>, more: &[&str]) -> Site {
        let environment = clock.map(Clock::environment);
        let environment: Vec<_> = environment.iter().flatten().map(|(name, value)| (*name, value.as_str())).collect();
        let mut flags = self.flags();
        if more.contains(&"--listen") {
            flags.drain(..2);
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Site { server: TestServer::within(&environment, &flags), root: self.root() }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "the authority's log:\n{}",
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
        }
    }
}

fn caddy(folder: &Path) -> Process {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind hosts /etc/hosts && exec caddy run --config Caddyfile"]);
    command.current_dir(folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

impl Site {
    fn curl(&self, host: &str, path: &str, more: &[&str]) -> Typed {
        let address = self.server.address();
        let (connect, url) = (format!("::{address}"), format!("https://{host}{path}"));
        curl(&self.root, &[&["--connect-to", &connect, &url], more].concat())
    }

    /// Whether a host has a certificate that a client accepts.
    fn answers(&self, host: &str) -> bool {
        self.curl(host, "/healthz", &[]).out == "ok\n"
    }

    /// The serial number of the certificate that a host serves.
    fn serial(&self, host: &str) -> String {
        let shown = self.curl(host, "/healthz", &["-w", "%{certs}"]).ok();
        shown.lines().find_map(|line| line.strip_prefix("Serial Number:")).unwrap().to_owned()
    }

    fn metric(&self, name: &str) -> String {
        let metrics = self.curl(CENTRAL, "/metrics", &[]).ok();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("cx_engine_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).to_owned()
    }

    /// Creates a workspace by a command.
    fn workspace(&self, subdomain: &str) {
        let owner = format!("{subdomain}@example.com");
        self.server.cli_with(&["account", "create", "--name", "Ada", "--email", &owner], PASSWORD).ok();
        self.server.cli(&["workspace", "create", "--name", "Acme", "--subdomain", subdomain, "--owner", &owner]).ok();
    }

    /// The files of the certificates, with the state of each.
    fn files(&self) -> Vec<String> {
        let folder = self.server.data().join("acme/certificates");
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.server.cli(&["status", "--json"]).out).unwrap()
    }
}

#[test]
fn each_host_that_is_served_gets_a_certificate_when_it_is_first_called() {
    let Some(clock) = Clock::ahead_by(0) else { return };
    let Some(authority) = Authority::start("") else { return };
    let mut site = authority.serve(Some(&clock), &[]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
    // Nothing is ordered for other names, also not for a workspace that does not exist yet.
    for stranger in ["acme.cx.test", "a.b.cx.test", "evil.example", "xcx.test"] {
        let refused = site.curl(stranger, "/healthz", &[]);
        assert_eq!(refused.code, Some(35), "{stranger}: {refused:?}");
    }
    assert_eq!(site.files(), ["cx.test.pem"]);
    site.workspace("acme");
    assert!(site.answers("acme.cx.test") && site.answers("ACME.cx.test"), "{}", site.server.log());
    assert_eq!(site.files(), ["acme.cx.test.pem", "cx.test.pem"]);
    let private = |path: &str, mode: u32| {
        let found = site.server.data().join(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}: {found:o}");
    };
    private("acme", 0o700);
    private("acme/certificates", 0o700);
    for file in ["account.json", "state.json", "certificates/cx.test.pem"] {
        private(&format!("acme/{file}"), 0o600);
    }
    let metric = |name: &str| site.metric(name);
    assert_eq!(
        (metric("certificates{state=\"valid\"}"), metric("certificates{state=\"failed\"}")),
        ("2".into(), "0".into())
    );
    assert_eq!(metric("certificate_orders_total{outcome=\"issued\"}"), "2");
    assert_eq!(metric("certificate_orders_left"), "38");
    assert!(metric("certificate_expires_seconds").parse::<i64>().unwrap() > 1_700_000_000);
    // The command has no flag of ACME. The server has told it after a second.
    eventually("the status has the certificates", || !site.status()["certificates"].is_null());
    let status = site.status();
    assert_eq!((&status["certificates"]["valid"], &status["certificates"]["failed"]), (&2.into(), &0.into()));
    let shown = site.server.cli(&["status"]).out;
    assert!(shown.contains("certificates 2 valid, the first until 20"), "{shown}");
    site.server.is_sound();
    // Plain HTTP leads to HTTPS, and reveals no proof.
    let address = site.server.address().ip();
    for path in ["/api", "/.well-known/acme-challenge/unknown"] {
        let (connect, url) = (format!("::{address}:80"), format!("http://acme.cx.test{path}"));
        let said = curl(&site.root, &["--connect-to", &connect, "-w", "%{http_code} %{redirect_url}", &url]).ok();
        assert_eq!(said, format!("308 https://acme.cx.test{path}"));
    }

    // A restart orders nothing.
    let serial = site.serial("acme.cx.test");
    site.server.restart();
    assert_eq!(site.serial("acme.cx.test"), serial);
    assert_eq!(site.metric("certificate_orders_total{outcome=\"issued\"}"), "0");

    // A workspace that is deleted takes its certificate with it.
    site.server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    clock.set(2 * MINUTE);
    eventually("the certificate is deleted", || site.files() == ["cx.test.pem"]);
    assert!(!site.answers("acme.cx.test") && site.answers(CENTRAL));
}

#[test]
fn callers_that_come_at_once_wait_for_one_order_and_a_damaged_file_is_replaced() {
    let Some(authority) = Authority::start("") else { return };
    let mut site = authority.serve(None, &[]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
    site.workspace("acme");
    thread::scope(|scope| {
        let callers: Vec<_> = (0..16).map(|_| scope.spawn(|| site.answers("acme.cx.test"))).collect();
        assert!(callers.into_iter().all(|caller| caller.join().unwrap()), "{}", site.server.log());
    });
    assert_eq!(site.metric("certificate_orders_total{outcome=\"issued\"}"), "2");
    let serial = site.serial("acme.cx.test");
    fs::write(site.server.data().join("acme/certificates/acme.cx.test.pem"), "nonsense").unwrap();
    assert_eq!(site.serial("acme.cx.test"), serial, "it is in memory");
    site.server.restart();
    assert!(site.answers("acme.cx.test"));
    assert_ne!(site.serial("acme.cx.test"), serial);
    assert!(site.server.log().contains("a certificate cannot be used; it is ordered again"), "{}", site.server.log());
}

#[test]
fn a_certificate_is_renewed_in_time_and_the_old_one_serves_while_that_fails() {
    let Some(clock) = Clock::ahead_by(0) else { return };
    let Some(mut authority) = Authority::start("lifetime 12h") else { return };
    let site = authority.serve(Some(&clock), &[]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
    let first = site.serial(CENTRAL);
    clock.set(9 * HOUR);
    eventually("it is renewed after eight hours", || site.serial(CENTRAL) != first);
    let second = site.serial(CENTRAL);

    // From now on the server is eleven hours ahead: the certificate ends in an hour.
    authority.stop();
    clock.set(11 * HOUR + 45 * MINUTE);
    let failed = "certificate_orders_total{outcome=\"failed\"}";
    eventually("the renewal fails", || site.metric(failed) != "0");
    assert_eq!(site.serial(CENTRAL), second);
    let found = site.server.cli(&["doctor"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    assert!(found.out.contains("the authority issues no certificates: no response from the authority"), "{found:?}");
    let problems = site.status()["problems"].to_string();
    assert!(problems.contains("the authority issues no certificates"), "{problems}");
    authority.start_again();
    // Another minute later it tries again.
    clock.set(11 * HOUR + 47 * MINUTE);
    eventually("it is renewed", || site.serial(CENTRAL) != second);
    site.server.is_sound();
}

#[test]
fn a_host_that_the_authority_refuses_is_tried_again_later_and_the_others_are_served() {
    let Some(clock) = Clock::ahead_by(0) else { return };
    let Some(authority) = Authority::start("\t\tdeny {\n\t\t\tdomains refused.cx.test\n\t\t}") else { return };
    let site = authority.serve(Some(&clock), &[]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
    for subdomain in ["refused", "acme"] {
        site.workspace(subdomain);
    }
    let failed = "certificate_orders_total{outcome=\"failed\"}";
    for _ in 0..3 {
        assert!(!site.answers("refused.cx.test") && site.answers("acme.cx.test"));
    }
    assert_eq!(site.metric(failed), "1", "the second call orders nothing");
    let found = site.server.cli(&["doctor"]);
    assert!(found.code == Some(3) && found.out.contains("refused.cx.test"), "{found:?}");
    assert!(found.out.contains("the last order of a certificate failed"), "{found:?}");
    clock.set(3 * MINUTE);
    eventually("it is tried again", || !site.answers("refused.cx.test") && site.metric(failed) == "2");
}

#[test]
fn a_week_has_a_limit_of_new_certificates_that_a_restart_does_not_reset() {
    let Some(clock) = Clock::ahead_by(0) else { return };
    let Some(authority) = Authority::start("lifetime 600h") else { return };
    let mut site = authority.serve(Some(&clock), &["--acme-weekly-limit", "2"]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
    for subdomain in ["acme", "beta"] {
        site.workspace(subdomain);
    }
    assert!(site.answers("acme.cx.test") && !site.answers("beta.cx.test"));
    site.server.restart();
    assert!(site.answers("acme.cx.test") && !site.answers("beta.cx.test"));
    assert_eq!(site.metric("certificate_orders_left"), "0");
    eventually("doctor knows that the server uses ACME", || site.server.cli(&["doctor"]).code == Some(3));
    let said = site.server.cli(&["doctor"]).out;
    assert!(said.contains("the weekly limit is reached: the next host gets its first certificate at"), "{said}");
    clock.set(8 * DAY);
    assert!(site.answers("beta.cx.test"), "{}", site.server.log());
}

#[test]
fn an_authority_may_prove_hosts_over_plain_http() {
    let Some(authority) = Authority::start("\t\tchallenges http-01") else { return };
    let site = authority.serve(None, &[]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
}

#[test]
fn a_host_that_an_authority_cannot_reach_over_tls_is_proven_over_plain_http() {
    let Some(clock) = Clock::ahead_by(0) else { return };
    let Some(authority) = Authority::start("") else { return };
    let elsewhere = format!("{}:0", authority.hosts_at);
    let site = authority.serve(Some(&clock), &["--listen", &elsewhere]);
    let failed = "certificate_orders_total{outcome=\"failed\"} 1";
    eventually("the first order fails", || unchecked(&site.server, "/metrics").ok().contains(failed));
    clock.set(3 * MINUTE);
    eventually("the second order proves the host in another way", || site.answers(CENTRAL));
}

/// The hook of a test writes the records into a folder, from which a name server answers.
#[test]
fn one_wildcard_certificate_serves_all_hosts_if_a_hook_sets_dns_records() {
    let records = tempfile::tempdir().unwrap();
    let hook = records.path().join("hook");
    let script = format!(
        "#!/bin/sh\ncd {}\necho \"$@\" >>calls\ncase $1 in set) echo \"$3\" >\"value-$3\";; remove) rm \"value-$3\";; esac\n",
        records.path().display()
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let names = NameServer::start(records.path());
    let options = format!("\t\tchallenges dns-01\n\t\tresolvers {}", names.0);
    let Some(authority) = Authority::start(&options) else { return };
    let site = authority.serve(None, &["--acme-dns-hook", hook.to_str().unwrap()]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
    site.workspace("acme");
    assert!(site.answers("acme.cx.test"), "{}", site.server.log());
    assert_eq!(site.serial("acme.cx.test"), site.serial(CENTRAL));
    assert_eq!(site.files(), ["_.cx.test.pem"]);
    let refused = site.curl("a.b.cx.test", "/healthz", &[]);
    assert_eq!(refused.code, Some(35), "{refused:?}");
    let calls = fs::read_to_string(records.path().join("calls")).unwrap();
    let of = |action: &str| {
        calls.lines().filter(|call| call.starts_with(&format!("{action} _acme-challenge.cx.test "))).count()
    };
    assert_eq!((of("set"), of("remove")), (2, 2), "{calls}");
}

/// Answers every question with the TXT records of a folder.
struct NameServer(SocketAddr);

impl NameServer {
    fn start(records: &Path) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let records = records.to_owned();
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut question) {
                let values = fs::read_dir(&records).map(|entries| {
                    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                    names.filter_map(|name| name.strip_prefix("value-").map(str::to_owned)).collect::<Vec<_>>()
                });
                let _ = socket.send_to(&txt_response(&question[..length], &values.unwrap_or_default()), client);
            }
        });
        Self(address)
    }
}

/// A response to a question (RFC 1035, section 4.1): the header, the question, and one answer for each text.
fn txt_response(question: &[u8], texts: &[String]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let count = u8::try_from(texts.len()).unwrap();
    let mut response = vec![question[0], question[1], 0x84, 0, 0, 1, 0, count, 0, 0, 0, 0];
    response.extend(&question[12..end]);
    for text in texts {
        let length = u8::try_from(text.len()).unwrap();
        response.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, length + 1, length]);
        response.extend(text.as_bytes());
    }
    response
}

/// An authority of the test itself, over plain HTTP: it has an account for everybody, and limits every order.
struct LimitingAuthority(SocketAddr);

impl LimitingAuthority {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.incoming().for_each(|stream| respond(stream.unwrap(), address).unwrap()));
        Self(address)
    }

    fn directory(&self) -> String {
        format!("http://{}/directory", self.0)
    }
}

fn respond(stream: TcpStream, address: SocketAddr) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        if field.trim().is_empty() {
            break;
        }
        if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    std::io::copy(&mut std::io::Read::take(&mut reader, length), &mut std::io::sink())?;
    let (status, fields, body) = match line.split(' ').nth(1).unwrap() {
        "/directory" => {
            let url = |path: &str| format!("http://{address}{path}");
            let urls = serde_json::json!({"newNonce": url("/nonce"), "newAccount": url("/account"),
                "newOrder": url("/order"), "revokeCert": url("/revoke"), "keyChange": url("/key")});
            ("200 OK", String::new(), urls.to_string())
        }
        "/nonce" => ("200 OK", String::new(), String::new()),
        "/account" => {
            ("201 Created", format!("Location: http://{address}/account/1\r\n"), "{\"status\":\"valid\"}".into())
        }
        _ => {
            let problem = "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many certificates\"}";
            ("429 Too Many Requests", "Retry-After: 7200\r\n".into(), problem.into())
        }
    };
    let head = format!("HTTP/1.1 {status}\r\nReplay-Nonce: abc\r\nConnection: close\r\n{fields}");
    write!(reader.into_inner(), "{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A server of an authority that issues nothing. It needs no port of its own.
fn without_certificates(directory: &str, environment: &[(&str, &str)]) -> TestServer {
    let flags = ["--central-domain", CENTRAL, "--acme-email", "ada@example.com", "--acme-directory", directory];
    TestServer::within(environment, &[&flags[..], &["--redirect-listen", "", "--metrics", "true"]].concat())
}

/// The response of a server to a client that names no host and checks no certificate, as monitors do.
fn unchecked(server: &TestServer, path: &str) -> Typed {
    let mut command = Command::new("curl");
    run(command.args(["--silent", "--show-error", "--insecure", &format!("https://{}{path}", server.address())]), "")
}

fn failed_orders(server: &TestServer) -> u32 {
    let metrics = unchecked(server, "/metrics").ok();
    let name = "cx_engine_certificate_orders_total{outcome=\"failed\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[test]
fn a_server_waits_as_long_as_an_authority_asks_for() {
    let Some(clock) = Clock::ahead_by(0) else { return };
    let [(preload, shim), (ahead_by, ahead)] = &clock.environment();
    let authority = LimitingAuthority::start();
    let mut server = without_certificates(&authority.directory(), &[(preload, shim), (ahead_by, ahead)]);
    eventually("the order is refused", || failed_orders(&server) == 1);
    clock.set(HOUR);
    server.restart();
    let state = fs::read_to_string(server.data().join("acme/state.json")).unwrap();
    assert!(state.contains("too many certificates (rateLimited)"), "{state}");
    assert_eq!(failed_orders(&server), 0, "it waits for two hours, also after a restart");
    clock.set(2 * HOUR + MINUTE);
    eventually("it tries again", || failed_orders(&server) == 1);
}

#[test]
fn a_server_without_its_authority_starts_and_says_what_is_wrong() {
    let [closed] = free_ports();
    let server = without_certificates(&format!("http://127.0.0.1:{closed}/directory"), &[]);
    eventually("the order fails", || failed_orders(&server) == 1);
    assert_eq!(unchecked(&server, "/readyz").ok(), "ok\n");
    eventually("doctor knows that the server uses ACME", || server.cli(&["doctor"]).code == Some(3));
    let said = server.cli(&["doctor"]).out;
    assert!(said.contains("no response from the authority") && said.contains("the next try is at"), "{said}");
    let settings = format!(
        "listen = \"{}\"\ncentral_domain = \"{CENTRAL}\"\nacme_email = \"ada@example.com\"\nacme_directory = \"https://ca.test/\"\n",
        server.address()
    );
    fs::write(server.data().with_file_name("cx-engine.toml"), settings).unwrap();
    server.cli(&["health"]).ok();
}

#[test]
fn an_authority_that_never_answers_stops_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = format!("http://{}/directory", silent.local_addr().unwrap());
    let mut server = without_certificates(&directory, &[]);
    let (_held, _) = silent.accept().unwrap();
    assert_eq!(unchecked(&server, "/readyz").ok(), "ok\n");
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    let (email, domain) = (["--acme-email", "ada@example.com"], ["--central-domain", "cx.example.com"]);
    let private = ["--acme-directory", "https://localhost:1/"];
    for (flags, expected) in [
        (vec![email], "acme_email needs a public domain"),
        (vec![email, ["--central-domain", "cx.internal"]], "acme_email needs a public domain"),
        (vec![["--acme-email", "ada"]], "it must be an email address"),
        (vec![email, domain, ["--tls-certificate", "a"], ["--tls-key", "b"]], "exclude each other"),
        (vec![private], "with acme_email"),
        (vec![email, domain, ["--acme-directory", "http://ca.example.com/"]], "an https:// URL"),
        (vec![email, domain, ["--acme-directory", "ca.example.com"]], "an https:// URL"),
        (vec![["--acme-root", "root.pem"]], "with acme_email"),
        (vec![email, private, ["--acme-root", "nowhere.pem"]], "nowhere.pem cannot be read"),
        (vec![email, private, ["--acme-root", "empty.pem"]], "no certificate in empty.pem"),
        (vec![email, domain, ["--acme-dns-hook", "nowhere"]], "cannot read nowhere"),
        (vec![email, domain, ["--acme-dns-hook", "empty.pem"]], "not an executable file"),
        (vec![email, domain, ["--acme-weekly-limit", "0"]], "a number from 1 to 1000000"),
    ] {
        let said = run(program(folder.path()).args(["serve", "--listen", "127.0.0.1:0"]).args(flags.concat()), "");
        assert!(matches!(said.code, Some(1 | 2)) && said.err.contains(expected), "{expected}: {said:?}");
        assert!(!folder.path().join("data").exists(), "{expected}");
    }
    // Several servers need the hook. The ports of HTTPS are the default.
    let node = ["--node-url", "http://10.0.0.2:8080", "--node-secret-file", "a", "--store-url", "s3://cx-data"];
    let keys = ["--store-key-file", "a", "--store-secret-file", "b"];
    let shown = |more: &[&str]| {
        let flags = [&email[..], &domain, more, &["--print-config"]].concat();
        run(program(folder.path()).arg("serve").args(flags), "")
    };
    let said = shown(&[&node[..], &keys].concat());
    assert!(said.code == Some(2) && said.err.contains("needs acme_dns_hook"), "{said:?}");
    let shown = shown(&[]).ok();
    for line in ["listen = \"[::]:443\"", "redirect_listen = \"[::]:80\"", "acme_weekly_limit = 40"] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
}

#[test]
fn a_path_names_workspaces_so_only_the_central_host_gets_a_certificate() {
    let Some(authority) = Authority::start("") else { return };
    let site = authority.serve(None, &["--workspace-by-path", "true"]);
    eventually("the central host has its certificate", || site.answers(CENTRAL));
    site.workspace("acme");
    assert!(!site.answers("acme.cx.test"));
    assert_eq!(site.curl(CENTRAL, "/w/acme/healthz", &[]).code, Some(0));
    assert_eq!(site.files(), ["cx.test.pem"]);
}

//! The real Caddy and nginx in front of the server, as `packaging/` configures them.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, Typed, curl, free_ports, not_run, packaged, run};
use crate::test_server::{Team, TestServer, eventually};
use crate::tls::Files;

/// A proxy, stopped when dropped.
struct Proxy {
    _process: Process,
    port: u16,
    plain: u16,
    /// The root certificate to trust.
    root: PathBuf,
    folder: TempDir,
}

impl Proxy {
    /// Starts a proxy with a command that gets the folder and two ports, the second for plain HTTP. `None`, with a
    /// message, without that program.
    fn start(
        program: &str,
        root: PathBuf,
        folder: TempDir,
        [port, plain]: [u16; 2],
        command: &mut Command,
    ) -> Option<Self> {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn() {
            Ok(process) => Some(Self { _process: Process(process), port, plain, root, folder }),
            Err(error) => {
                not_run(&format!("there is no {program} here ({error})"));
                None
            }
        }
    }

    fn curl(&self, host: &str, path: &str, arguments: &[&str]) -> Typed {
        let url = format!("https://{host}:{}{path}", self.port);
        curl(&self.root, &[arguments, &[&url]].concat())
    }

    fn answers(&self, host: &str) -> bool {
        self.curl(host, "/healthz", &[]).out == "ok\n"
    }

    /// Checks the rules that apply behind each proxy.
    fn serves(&self, team: &Team) {
        eventually("the proxy answers", || self.answers("localhost"));
        let bearer = format!("Authorization: Bearer {}", team.inside.token.as_ref().unwrap());
        let json = |said: Typed| -> Value { serde_json::from_str(&said.ok()).unwrap() };
        // Headers of the client about its address and host do not count.
        let lies = [
            "-H",
            "X-Forwarded-For: 192.0.2.9",
            "-H",
            "X-Forwarded-Host: other.localhost",
            "-H",
            "X-Forwarded-Proto: http",
        ];
        let with = |more: &[&'static str]| {
            let typed = [&["-H", bearer.as_str()], more, &lies].concat();
            move |path: &str| {
                json(self.curl("acme.localhost", path, &typed.iter().map(|text| &**text).collect::<Vec<_>>()))
            }
        };
        let made = with(&["-H", "Content-Type: application/json", "-d", r#"{"name":"Renault"}"#])("/api/customers");
        assert_eq!(made["name"], "Renault");
        let listed = with(&[])("/api/customers");
        assert_eq!(listed["path"], format!("https://acme.localhost:{}/api/customers", self.port));
        let noted = with(&[])("/api/audit-log?filter[resource]=customer");
        assert_eq!(noted["data"][0]["address"], "127.0.0.1", "{noted}");

        // An import may be larger than other bodies. Routes for this machine are not reachable.
        let rows: Vec<Value> =
            (0..60_000).map(|n| json!({"name": format!("Customer {n}"), "comment": "-".repeat(40)})).collect();
        let file = self.folder.path().join("rows.json");
        fs::write(&file, json!(rows).to_string()).unwrap();
        assert!(file.metadata().unwrap().len() > 4 * 1024 * 1024);
        let file = format!("@{}", file.display());
        let typed = ["-H", &bearer, "-H", "Content-Type: application/json", "--data-binary", &file];
        let imported = json(self.curl("acme.localhost", "/api/customers/import?dry_run=1", &typed));
        assert_eq!(imported["created"], 60_000, "{imported}");
        for inside in ["/metrics", "/internal/tls-ask?domain=acme.localhost"] {
            let said = self.curl("localhost", inside, &["-w", "%{http_code}"]).ok();
            assert!(said.ends_with("404") && !said.contains("error\""), "{inside}: {said}");
        }
        // Events arrive while the response goes on.
        let typed = ["--no-buffer", "--max-time", "2", "-H", &bearer, "-H", "Last-Event-ID: 0"];
        let streamed = self.curl("acme.localhost", "/api/events", &typed);
        assert!(streamed.out.contains("event: changed\nid: "), "{streamed:?}");
        let mut plain = Command::new("curl");
        plain.args(["--silent", "-w", "%{http_code} %{redirect_url}"]);
        let plain = run(plain.arg(format!("http://acme.localhost:{}/api", self.plain)), "").ok();
        assert!(plain.contains("308 https://acme.localhost"), "{plain}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the proxy's log:\n{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

fn server() -> (TestServer, Team, SocketAddr) {
    let bench = TestServer::with(&["--trusted-proxies", "127.0.0.1", "--metrics", "true"]);
    let team = bench.team("acme");
    let address = bench.address();
    (bench, team, address)
}

/// The packaged configuration, with a local certificate authority and free ports.
fn caddy(server: SocketAddr) -> Option<Proxy> {
    let (folder, ports) = (tempfile::tempdir().unwrap(), free_ports());
    let [port, plain] = ports;
    let here =
        format!("{{\n\tlocal_certs\n\tskip_install_trust\n\tadmin off\n\thttp_port {plain}\n\thttps_port {port}\n");
    let config = fs::read_to_string(packaged("Caddyfile")).unwrap().replacen("{\n", &here, 1);
    fs::write(folder.path().join("Caddyfile"), config).unwrap();
    let root = folder.path().join("caddy/pki/authorities/local/root.crt");
    let mut command = Command::new("caddy");
    command.args(["run", "--config", "Caddyfile"]).current_dir(folder.path());
    command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
    command.env("CX_DOMAIN", "localhost").env("CX_SERVER", server.to_string());
    Proxy::start("caddy", root, folder, ports, &mut command)
}

/// The packaged configuration, with another certificate, domain and ports.
fn nginx(server: SocketAddr, files: &Files) -> Option<Proxy> {
    let (folder, ports) = (tempfile::tempdir().unwrap(), free_ports());
    let [port, plain] = ports;
    let mut config = String::new();
    let packaged = fs::read_to_string(packaged("nginx.conf")).unwrap();
    for line in packaged.lines().filter(|line| !line.contains("[::]")) {
        let line = line.replace("listen 443", &format!("listen 127.0.0.1:{port}"));
        let line = line.replace("listen 80", &format!("listen 127.0.0.1:{plain}"));
        let line =
            line.replace("/etc/letsencrypt/live/cx.example.com/fullchain.pem", files.certificate().to_str().unwrap());
        let line = line.replace("/etc/letsencrypt/live/cx.example.com/privkey.pem", files.key().to_str().unwrap());
        let line = line.replace("127.0.0.1:8080", &server.to_string());
        config += &(line.replace("cx.example.com", "localhost") + "\n");
    }
    fs::write(folder.path().join("cx-engine.conf"), config).unwrap();
    let main = "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\n\
                http {\n access_log off;\n client_body_temp_path body;\n proxy_temp_path proxy;\n include cx-engine.conf;\n}\n";
    fs::write(folder.path().join("nginx.conf"), main).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf"]);
    Proxy::start("nginx", files.certificate(), folder, ports, &mut command)
}

#[test]
fn caddy_serves_each_workspace_with_a_certificate_of_its_own_and_no_other_name() {
    let (bench, team, address) = server();
    let Some(caddy) = caddy(address) else { return };
    caddy.serves(&team);
    // The server does not confirm this host, so Caddy gets no certificate and the handshake fails.
    let stranger = caddy.curl("nobody.localhost", "/healthz", &[]);
    assert!(stranger.code == Some(35), "{stranger:?}");
    // A new workspace is served at once.
    bench.workspace(&team.owner, "later");
    assert!(caddy.answers("later.localhost"));
}

#[test]
fn nginx_serves_central_host_and_workspaces() {
    let (_bench, team, address) = server();
    let files = Files::new();
    let Some(nginx) = nginx(address, &files) else { return };
    nginx.serves(&team);
}

//! The measured processes, each stopped when its value is dropped, and a workspace for the measurements.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, PipeReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::client::{ANSWER_LIMIT, Connection};
use crate::s3_stub::{Fault, S3Stub};

/// The line on stdout of a server that is ready. Its address follows.
const READY: &str = "listening on http://";
const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The folder for databases: next to the build, not in /tmp. /tmp is often in memory, where a sync costs nothing.
pub const DATA_DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

/// The program to measure, and the log level of the server.
pub struct Measured {
    pub program: PathBuf,
    pub log: String,
    pub store: Option<Store>,
}

/// An object store in this process. Each data directory has a prefix of its own.
pub struct Store {
    stub: S3Stub,
    keys: (PathBuf, PathBuf),
    _folder: TempDir,
}

impl Store {
    /// A store that responds after so many milliseconds.
    pub fn start(delay: u64) -> Result<Self> {
        let (stub, folder) = (S3Stub::start(), tempfile::tempdir()?);
        stub.fault(Fault::Delay(delay));
        Ok(Self { keys: stub.key_files(folder.path()), stub, _folder: folder })
    }

    fn set_for(&self, command: &mut Command, data: &TempDir) {
        let prefix = data.path().file_name().unwrap_or_default().to_string_lossy();
        let (key, secret) = &self.keys;
        command.arg("--store-url").arg(format!("{}/{prefix}", self.stub.url()));
        command.arg("--store-key-file").arg(key).arg("--store-secret-file").arg(secret);
    }
}

static MEASURED: OnceLock<Measured> = OnceLock::new();

/// Sets what all engines of this run are. Called once, before the first.
pub fn measure_program(measured: Measured) {
    assert!(MEASURED.set(measured).is_ok(), "set once");
}

fn measured() -> &'static Measured {
    MEASURED.get().expect("set before the first engine")
}

pub fn log_level() -> &'static str {
    &measured().log
}

/// The measured server on its own data directory.
pub struct Engine {
    // Before the directory: fields are dropped in this order, and the process writes to the directory until it stops.
    process: Process,
    data: TempDir,
    /// The end of the log pipe that nobody reads.
    _unread: Option<PipeReader>,
}

impl Engine {
    pub fn start() -> Result<Self> {
        Self::start_on(scratch_directory()?, &[])
    }

    /// Like `start`, with every request logged to a pipe that nobody reads.
    pub fn start_with_unread_log() -> Result<Self> {
        let (unread, log) = std::io::pipe().context("making a pipe")?;
        let data = scratch_directory()?;
        let mut command = Self::command(&data, "info", &[]);
        Ok(Self { process: Process::start_with_log(&mut command, log.into())?, data, _unread: Some(unread) })
    }

    pub fn start_on(data: TempDir, flags: &[&str]) -> Result<Self> {
        let mut command = Self::command(&data, log_level(), flags);
        Ok(Self { process: Process::start(&mut command)?, data, _unread: None })
    }

    fn command(data: &TempDir, log: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(&measured().program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--metrics", "true", "--log", log, "--data-dir"])
            .arg(data.path())
            .args(flags)
            // The settings of the user or the machine would change the results.
            .args(["--config", "/dev/null"])
            .env_clear();
        if let Some(store) = &measured().store {
            store.set_for(&mut command, data);
        }
        command
    }

    /// Stops the server. Returns its data for another server.
    pub fn stopped(self) -> TempDir {
        let Self { process, data, .. } = self;
        drop(process);
        data
    }

    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// The current resources of the process.
    pub fn held(&self) -> Held {
        self.process.held()
    }

    /// A metric from `/metrics`.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let mut connection = Connection::open(self.address()).await?;
        let answer = connection.exchange(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        ensure!(answer.is_good(), "GET /metrics: {answer}");
        let text = std::str::from_utf8(answer.body).context("reading the metrics")?;
        let figure = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        figure.and_then(|figure| figure.parse().ok()).with_context(|| format!("no {name} among the metrics"))
    }
}

/// The resources of a process. Empty without /proc.
#[derive(Clone, Copy, Default)]
pub struct Held {
    /// The resident memory.
    pub resident_mib: Option<f64>,
    pub open_files: Option<usize>,
    /// The processor time since the start, in user and kernel mode.
    pub processor: Option<Duration>,
}

pub fn scratch_directory() -> Result<TempDir> {
    tempfile::tempdir_in(DATA_DIRECTORY).with_context(|| format!("making a directory in {DATA_DIRECTORY}"))
}

/// A server's start, up to its first response.
pub struct Start {
    pub milliseconds: f64,
    pub resident_mib: Option<f64>,
}

/// Starts a server on an empty data directory. Measures from the spawn to the first response.
pub async fn measure_start() -> Result<Start> {
    measure_start_of(Engine::start).await.map(|(start, _)| start)
}

/// Measures from the spawn to the first response.
pub async fn measure_start_of(start: impl FnOnce() -> Result<Engine>) -> Result<(Start, Engine)> {
    let begun = Instant::now();
    let engine = start()?;
    let mut connection = Connection::open(engine.address()).await?;
    let answer = connection.exchange(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
    ensure!(answer.status == 200, "GET /healthz: {answer}");
    Ok((Start { milliseconds, resident_mib: engine.held().resident_mib }, engine))
}

/// A running server that printed [`READY`].
pub struct Process {
    child: Stopped,
    pub address: SocketAddr,
}

impl Process {
    /// Starts this program again as [`serve_bare_hyper`].
    pub fn start_bare_hyper(answer_bytes: usize) -> Result<Self> {
        let this_program = std::env::current_exe().context("finding the path of this program")?;
        Self::start(Command::new(this_program).args(["--bare-hyper", &answer_bytes.to_string()]))
    }

    fn start(command: &mut Command) -> Result<Self> {
        Self::start_with_log(command, Stdio::null())
    }

    /// Starts another program, and waits until it accepts connections.
    pub fn start_at(command: &mut Command, address: SocketAddr) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = Stopped(command.spawn().with_context(|| format!("starting {command:?}"))?);
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            ensure!(begun.elapsed() < READY_LIMIT, "{command:?} does not listen on {address}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { child, address })
    }

    fn start_with_log(command: &mut Command, log: Stdio) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = Stopped(command.spawn().with_context(|| format!("starting {command:?}"))?);
        let stdout = child.0.stdout.take().context("the server has no stdout")?;
        let address = wait_until_ready(stdout)
            .with_context(|| format!("{command:?} did not start to listen; run it by hand to see why"))?;
        Ok(Self { child, address })
    }

    pub fn held(&self) -> Held {
        let process = format!("/proc/{}", self.child.0.id());
        let open_files = std::fs::read_dir(format!("{process}/fd")).ok().map(Iterator::count);
        Held { resident_mib: resident_mib(&process), open_files, processor: processor_time(&process) }
    }
}

fn resident_mib(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// From fields 14 and 15 of `/proc/<pid>/stat`, in ticks of ten milliseconds. The name of the program, which may have
/// blanks, is field 2 in parentheses.
fn processor_time(process: &str) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok());
    Some(Duration::from_millis(10 * ticks.sum::<Option<u64>>()?))
}

fn wait_until_ready(stdout: ChildStdout) -> Result<SocketAddr> {
    let (found, address) = mpsc::channel();
    // The thread continues to read after the address: a server with a closed stdout might fail at its next line.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix(READY) {
                // The receiver is gone after the first address or the time limit.
                let _ = found.send(address.trim().to_owned());
            }
        }
    });
    let address = address.recv_timeout(READY_LIMIT).context("no address on its stdout")?;
    address.parse().with_context(|| format!("{address} is not an address"))
}

/// Stops its process when dropped: sends SIGTERM, then kills it if necessary.
struct Stopped(Child);

impl Stopped {
    fn ask_to_stop(&mut self) -> Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().context("running kill")?;
        ensure!(sent.success(), "kill: {sent}");
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT {
            if self.0.try_wait().context("waiting for the server's end")?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("still running {} s after SIGTERM", STOP_LIMIT.as_secs())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(error) = self.ask_to_stop() {
            eprintln!("killing process {}: {error:#}", self.0.id());
            // Fails only if the process has exited meanwhile.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// The base of all ratios: bare hyper, which responds to every request with JSON of this size.
pub fn serve_bare_hyper(answer_bytes: usize) -> Result<()> {
    let frame = r#"{"text":""}"#;
    let text = "x".repeat(answer_bytes.saturating_sub(frame.len()));
    let answer = Bytes::from(format!(r#"{{"text":"{text}"}}"#));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening on 127.0.0.1")?;
        println!("{READY}{}", listener.local_addr().context("reading the port")?);
        loop {
            let (stream, _) = listener.accept().await.context("accepting a connection")?;
            tokio::spawn(serve_connection(stream, answer.clone()));
        }
    })
}

async fn serve_connection(stream: TcpStream, answer: Bytes) {
    let service = service_fn(move |_: Request<Incoming>| {
        let mut response = Response::new(Full::new(answer.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        async { Ok::<_, Infallible>(response) }
    });
    // Errors are expected: every scenario ends with closed connections.
    let _ = stream.set_nodelay(true);
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "a passphrase for the bench 7431";

/// A workspace and its administrator, created through the API.
#[derive(Clone)]
pub struct Workspace {
    pub address: SocketAddr,
    /// The `Host` and `Authorization` headers of every request.
    headers: Arc<str>,
}

impl Workspace {
    pub async fn create(address: SocketAddr) -> Result<Self> {
        Setup::register(address).await?.workspace("bench").await
    }

    /// A client of another server.
    pub fn with_headers(address: SocketAddr, headers: &str) -> Self {
        Self { address, headers: headers.into() }
    }

    /// The same workspace after a restart of the server on the same data.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, headers: Arc::clone(&self.headers) }
    }

    /// A login of the administrator on the workspace's host.
    pub fn login(&self) -> Vec<u8> {
        let body = json!({"email": EMAIL, "password": PASSWORD}).to_string();
        format!("POST /api/login HTTP/1.1\r\nHost: bench.localhost\r\n{}{body}", json_headers(&body)).into()
    }

    /// The administrator at a browser, signed in to the console.
    pub async fn signed_in(&self) -> Result<Self> {
        let mut connection = Connection::open(self.address).await?;
        let host = "Host: bench.localhost\r\n";
        let page = connection.exchange(format!("GET /ui/sign-in HTTP/1.1\r\n{host}\r\n").as_bytes()).await?;
        let text = String::from_utf8_lossy(page.body).into_owned();
        let key = text.split_once("name=\"form_key\" value=\"").context("no form key")?.1;
        let key = key.split('"').next().unwrap_or_default();
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("form_key", key), ("email", EMAIL), ("password", PASSWORD)])
            .finish();
        let visit = cookies(page.head);
        let length = form.len();
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let request = format!(
            "POST /ui/sign-in HTTP/1.1\r\n{host}Cookie: {visit}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        let answer = connection.exchange(request.as_bytes()).await?;
        ensure!(answer.status == 303, "signing in: {answer}");
        let session = cookies(answer.head);
        Ok(Self { address: self.address, headers: format!("{host}Cookie: {session}; {visit}\r\n").into() })
    }

    /// The id of the model of French departments, which call routing ships.
    pub async fn departements(&self) -> Result<u64> {
        let mut request = Vec::new();
        let path = "/api/smart-routings/geo/models?customer_account=CL000001&per_page=500";
        self.write_get(&mut request, format_args!("{path}"));
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.exchange(&request).await?;
        let models: Value = serde_json::from_slice(answer.body).context("reading the models")?;
        let mut models = models["data"].as_array().context("no models")?.iter();
        let is_wanted = |model: &&Value| model["name"].as_str().is_some_and(|name| name.contains("departments"));
        models.find(is_wanted).and_then(|model| model["id"].as_u64()).context("no model of departments")
    }

    /// The size of the response to a request for this path.
    pub async fn answer_bytes(&self, path: std::fmt::Arguments<'_>) -> Result<usize> {
        let mut request = Vec::new();
        self.write_get(&mut request, path);
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.exchange(&request).await?;
        ensure!(answer.is_good(), "GET {path}: {answer}");
        Ok(answer.body.len())
    }

    pub fn write_get(&self, request: &mut Vec<u8>, path: std::fmt::Arguments<'_>) {
        let headers = &self.headers;
        append(request, format_args!("GET {path} HTTP/1.1\r\n{headers}\r\n"));
    }

    pub fn write_post(&self, request: &mut Vec<u8>, path: &str, body: &str) {
        append(request, format_args!("POST {path} HTTP/1.1\r\n{}{}{body}", self.headers, json_headers(body)));
    }

    pub fn write_put(&self, request: &mut Vec<u8>, path: &str, body: &str) {
        append(request, format_args!("PUT {path} HTTP/1.1\r\n{}{}{body}", self.headers, json_headers(body)));
    }
}

/// The cookies that a response sets, as a request sends them.
fn cookies(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let set = head.lines().filter_map(|line| line.split_once(": "));
    let set = set.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    set.filter_map(|(_, value)| value.split(';').next()).collect::<Vec<_>>().join("; ")
}

/// A client of the central API that creates workspaces.
pub struct Setup {
    address: SocketAddr,
    connection: Connection,
    token: String,
}

impl Setup {
    /// Registers the administrator of all workspaces.
    pub async fn register(address: SocketAddr) -> Result<Self> {
        Self::register_as(address, EMAIL).await
    }

    /// Registers another account.
    pub async fn register_as(address: SocketAddr, email: &str) -> Result<Self> {
        let account = json!({"name": "Bench Mark", "email": email, "password": PASSWORD});
        let mut new = Self { address, connection: Connection::open(address).await?, token: String::new() };
        new.token = text(&new.post("/api/register", &account).await?, "token")?;
        Ok(new)
    }

    /// The same client on its own connection.
    pub async fn another(&self) -> Result<Self> {
        let connection = Connection::open(self.address).await?;
        Ok(Self { address: self.address, connection, token: self.token.clone() })
    }

    pub async fn workspace(&mut self, subdomain: &str) -> Result<Workspace> {
        let workspace = json!({ "name": subdomain, "subdomain": subdomain });
        let id = text(&self.post("/api/workspaces", &workspace).await?, "id")?;
        let switched = self.post("/api/switch-to", &json!({ "workspace_id": id })).await?;
        let token = text(&switched, "token")?;
        let headers = format!("Host: {subdomain}.localhost\r\nAuthorization: Bearer {token}\r\n");
        Ok(Workspace { address: self.address, headers: headers.into() })
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let mut request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n");
        if !self.token.is_empty() {
            write!(request, "Authorization: Bearer {}\r\n", self.token)?;
        }
        request += &json_headers(&body);
        request += &body;
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.connection.exchange(request.as_bytes()))
            .await
            .with_context(|| format!("POST {path} was not answered"))??;
        ensure!(answer.is_good(), "POST {path}: {answer}");
        serde_json::from_slice(answer.body).with_context(|| format!("reading the answer of POST {path}"))
    }
}

fn json_headers(body: &str) -> String {
    format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len())
}

fn text(answer: &Value, field: &str) -> Result<String> {
    let value = answer[field].as_str().with_context(|| format!("no `{field}` in {answer}"))?;
    Ok(value.to_owned())
}

fn append(request: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    std::io::Write::write_fmt(request, text).expect("a write to memory does not fail");
}

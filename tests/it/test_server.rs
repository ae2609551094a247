//! The test server: a real server on its own data directory, and requests and commands in one line.
//!
//! `let bench = TestServer::new(); let acme = bench.team("acme"); bench.post(&acme.inside, "/customers",
//! json!({…})).created()`

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use cx_engine::values::normalize::normalize;
use rusqlite::Connection as Sqlite;
use rusqlite::functions::{Context as Arguments, FunctionFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, Connection, PATIENCE, Request};
use crate::process::{LOG, Server, Typed, program, run, within};

pub const PASSWORD: &str = "a long enough one";

pub struct TestServer {
    // Field order matters: the server is dropped before its folder.
    server: Server,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    /// The network namespace; `None` for that of the test.
    namespace: Option<String>,
    folder: TempDir,
}

/// A client: a host and an optional token.
#[derive(Debug, Clone)]
pub struct Who {
    pub host: String,
    pub token: Option<String>,
}

/// An account and the workspace that it owns.
pub struct Team {
    /// The account on the central host.
    pub owner: Who,
    /// The account in the workspace.
    pub inside: Who,
    pub workspace: String,
}

impl TestServer {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With flags for `serve`.
    pub fn with(flags: &[&str]) -> Self {
        Self::within(&[], flags)
    }

    /// With environment variables, and flags for `serve`.
    pub fn within(environment: &[(&str, &str)], flags: &[&str]) -> Self {
        Self::inside(tempfile::tempdir().unwrap(), environment, flags, None)
    }

    /// In a network namespace. `flags` have an address to listen on.
    pub fn in_namespace(namespace: &str, flags: &[&str]) -> Self {
        Self::inside(tempfile::tempdir().unwrap(), &[], flags, Some(namespace.to_owned()))
    }

    /// On a data directory elsewhere, for example on another disk.
    pub fn on(data: &Path, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(data, folder.path().join("data")).unwrap();
        Self::inside(folder, &[], flags, None)
    }

    fn inside(folder: TempDir, environment: &[(&str, &str)], flags: &[&str], namespace: Option<String>) -> Self {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let server = serve(folder.path(), &environment, &flags, namespace.as_deref());
        Self { server, flags, environment, namespace, folder }
    }

    /// The process id of the server.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Sends SIGTERM; does not wait.
    pub fn terminate(&self) {
        self.server.signal("TERM");
    }

    /// Sends SIGHUP, to reload the settings.
    pub fn hang_up(&self) {
        self.server.signal("HUP");
    }

    /// Waits until the server has exited. A server that does not exit is killed, which its status shows.
    pub fn ended(&mut self) -> ExitStatus {
        self.server.ended()
    }

    pub fn stop(&mut self) -> ExitStatus {
        self.server.stop()
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&self) {
        self.server.signal("KILL");
    }

    /// Starts the server again on the same data directory, with the same flags and another port, after the last one has
    /// exited.
    pub fn start(&mut self) {
        self.ended();
        self.server = serve(self.folder.path(), &self.environment, &self.flags, self.namespace.as_deref());
    }

    pub fn restart(&mut self) {
        assert!(self.stop().success(), "{}", self.log());
        self.start();
    }

    /// Runs a command on the same data directory.
    pub fn cli(&self, arguments: &[&str]) -> Typed {
        self.cli_with(arguments, "")
    }

    /// Like `cli`, with input on stdin.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Typed {
        run(program(self.folder.path()).args(arguments), input)
    }

    /// The stderr output of all servers started here.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap()
    }

    /// Like `log`, once all lines are written. The log is written in the background, so this waits for the line of one
    /// more request, which is left out.
    pub fn whole_log(&self) -> String {
        let request = Request { method: "GET", path: "/healthz", host: "localhost", ..Request::default() };
        let asked = self.ask(&request);
        let id = asked.header("x-request-id").unwrap();
        eventually("the log is written", || self.log().contains(id));
        self.log().lines().filter(|line| !line.contains(id)).map(|line| format!("{line}\n")).collect()
    }

    /// The number of files with this name ending that the server has open.
    pub fn open_files(&self, ending: &str) -> usize {
        self.descriptors().values().filter(|path| path.to_string_lossy().ends_with(ending)).count()
    }

    /// The number of open sockets: the listener and the connections.
    pub fn open_sockets(&self) -> usize {
        self.descriptors().values().filter(|path| path.to_string_lossy().starts_with("socket:")).count()
    }

    /// The open files of the server, by descriptor.
    fn descriptors(&self) -> BTreeMap<usize, PathBuf> {
        let all = fs::read_dir(format!("/proc/{}/fd", self.process())).unwrap().map(|entry| entry.unwrap());
        // A descriptor that was closed meanwhile has no target.
        all.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, fs::read_link(entry.path()).ok()?)))
            .collect()
    }

    /// The resident memory of the server, in MiB.
    pub fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Lets the server open only so many more files and sockets. New descriptors take the lowest free numbers.
    pub fn limit_descriptors(&self, more: usize) {
        let taken = self.descriptors();
        let most = (0..).filter(|number| !taken.contains_key(number)).nth(more).unwrap();
        self.allow_descriptors(&most.to_string());
    }

    /// Raises the limit of open files to its maximum.
    pub fn lift_descriptor_limit(&self) {
        self.allow_descriptors(&self.descriptor_limits().1);
    }

    /// The soft and the hard limit of open files.
    pub fn descriptor_limits(&self) -> (String, String) {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.process())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut limits = line.split_whitespace().map(str::to_owned);
        (limits.next().unwrap(), limits.next().unwrap())
    }

    fn allow_descriptors(&self, most: &str) {
        let process = self.process().to_string();
        run(Command::new("prlimit").args(["--pid", &process, &format!("--nofile={most}:")]), "").ok();
    }

    pub fn get(&self, who: &Who, path: &str) -> Answer {
        self.send(who, "GET", path, None)
    }

    /// The text of a file, however it is sent.
    pub fn download(&self, who: &Who, path: &str) -> String {
        let mut connection = self.connect();
        let path = format!("/api{path}");
        let token = who.token.as_deref();
        connection
            .send(Request { method: "GET", path: &path, host: &who.host, token, ..Request::default() }.text())
            .unwrap();
        let head = connection.receive_head().unwrap().unwrap();
        assert_eq!(head.status, 200, "{head:?}");
        match head.header("content-length") {
            Some(_) => String::from_utf8(connection.receive_body(&head).unwrap()).unwrap(),
            None => connection.receive_chunks().unwrap(),
        }
    }

    pub fn post(&self, who: &Who, path: &str, body: Value) -> Answer {
        self.send(who, "POST", path, Some(body))
    }

    pub fn put(&self, who: &Who, path: &str, body: Value) -> Answer {
        self.send(who, "PUT", path, Some(body))
    }

    pub fn delete(&self, who: &Who, path: &str) -> Answer {
        self.send(who, "DELETE", path, None)
    }

    /// Sends one request on a new connection.
    pub fn send(&self, who: &Who, method: &str, path: &str, body: Option<Value>) -> Answer {
        let host = format!("{}:{}", who.host, self.address().port());
        let body = body.map(|body| body.to_string());
        let path = format!("/api{path}");
        self.ask(&Request {
            method,
            path: &path,
            host: &host,
            token: who.token.as_deref(),
            body: body.as_deref(),
            ..Request::default()
        })
    }

    /// Like `post`, of a server that may be gone.
    pub fn try_post(&self, who: &Who, path: &str, body: &Value) -> io::Result<Answer> {
        let (host, path, body) =
            (format!("{}:{}", who.host, self.address().port()), format!("/api{path}"), body.to_string());
        let token = who.token.as_deref();
        let request = Request { method: "POST", path: &path, host: &host, token, headers: &[], body: Some(&body) };
        Connection::open(self.address())?.ask(&request)
    }

    /// Creates a customer with its name as the `Idempotency-Key`.
    pub fn keyed_customer(&self, who: &Who, name: &str) -> Answer {
        let body = json!({"name": name}).to_string();
        let key = [("Idempotency-Key", name)];
        let token = who.token.as_deref();
        let (host, body) = (&who.host, Some(body.as_str()));
        self.ask(&Request { method: "POST", path: "/api/customers", host, token, headers: &key, body })
    }

    /// Sends a request unchanged, on a new connection.
    pub fn ask(&self, request: &Request<'_>) -> Answer {
        self.connect().ask(request).unwrap_or_else(|error| panic!("{error}: {request:?}"))
    }

    /// Starts to create a customer: the server has the head and waits for the body, which `100 Continue` confirms.
    pub fn begin(&self, who: &Who, body: &str) -> Connection {
        let length = body.len().to_string();
        let request = Request {
            method: "POST",
            path: "/api/customers",
            host: &who.host,
            token: who.token.as_deref(),
            headers: &[("Content-Type", "application/json"), ("Content-Length", &length), ("Expect", "100-continue")],
            body: None,
        };
        let mut connection = self.connect();
        connection.send(request.text()).unwrap();
        assert_eq!(connection.receive_head().unwrap().unwrap().status, 100);
        connection
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).unwrap()
    }

    /// Registers `{name}@example.com` on the central host. The first account is an operator.
    pub fn register(&self, name: &str) -> Who {
        let body = json!({"name": name, "email": email(name), "password": PASSWORD});
        let answer = self.post(&central(), "/register", body).created();
        central().with(&answer["token"])
    }

    /// Creates `{name}@example.com` by a command: its address is verified, and it gets no mail.
    pub fn verified(&self, name: &str) -> Who {
        self.cli_with(&["account", "create", "--name", name, "--email", &email(name)], PASSWORD).ok();
        self.log_in(name)
    }

    /// Logs `{name}@example.com` in again, with a new token.
    pub fn log_in(&self, name: &str) -> Who {
        let answer = self.post(&central(), "/login", json!({"email": email(name), "password": PASSWORD})).ok();
        central().with(&answer["token"])
    }

    /// Creates a workspace; returns its id.
    pub fn workspace(&self, owner: &Who, subdomain: &str) -> String {
        let body = json!({"name": subdomain, "subdomain": subdomain});
        text(&self.post(owner, "/workspaces", body).created()["id"])
    }

    /// The same account in a workspace, on the workspace's host.
    pub fn enter(&self, who: &Who, workspace: &str) -> Who {
        let answer = self.post(who, "/switch-to", json!({"workspace_id": workspace})).ok();
        at(&text(&answer["workspace"]["subdomain"])).with(&answer["token"])
    }

    /// Creates an account and a workspace with this name.
    pub fn team(&self, name: &str) -> Team {
        let owner = self.register(name);
        let workspace = self.workspace(&owner, name);
        Team { inside: self.enter(&owner, &workspace), owner, workspace }
    }

    /// Creates a customer; returns its id.
    pub fn customer(&self, who: &Who, name: &str) -> i64 {
        self.post(who, "/customers", json!({"name": name})).created()["id"].as_i64().unwrap()
    }

    /// The names of all customers, by id.
    pub fn customers(&self, who: &Who) -> Vec<String> {
        let mut names = Vec::new();
        for page in 1.. {
            let list = self.get(who, &format!("/customers?per_page=500&page={page}")).ok();
            names.extend(list["data"].as_array().unwrap().iter().map(|customer| text(&customer["name"])));
            if list["next_page_url"].is_null() {
                break;
            }
        }
        names
    }

    /// Runs the doctor; returns its output and exit code.
    pub fn doctor(&self) -> (String, Option<i32>) {
        let said = self.cli(&["doctor"]);
        (said.out + &said.err, said.code)
    }

    /// Checks that there is no damage.
    #[track_caller]
    pub fn is_sound(&self) {
        let (said, code) = self.doctor();
        assert_eq!(code, Some(0), "{said}");
    }

    /// The error of a `serve` that does not start.
    #[track_caller]
    pub fn refused_start(&self) -> String {
        self.cli(&["serve", "--listen", "127.0.0.1:0"]).failed()
    }

    /// The instance as an operator sees it.
    pub fn instance(&self, operator: &Who) -> Value {
        self.get(operator, "/instance").ok()
    }

    /// The path of a workspace's file.
    pub fn file(&self, workspace: &str) -> PathBuf {
        let folder = &workspace[workspace.len() - 2..];
        self.data().join("workspaces").join(folder).join(format!("{workspace}.sqlite"))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

impl Who {
    /// The same client with a token from a response.
    pub fn with(self, token: &Value) -> Self {
        Self { token: Some(text(token)), ..self }
    }

    /// The same client on another host.
    pub fn on(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }
}

/// An anonymous client on the central host.
pub fn central() -> Who {
    Who { host: "localhost".into(), token: None }
}

/// An anonymous client on the host of a workspace.
pub fn at(subdomain: &str) -> Who {
    Who { host: format!("{subdomain}.localhost"), token: None }
}

pub fn email(name: &str) -> String {
    format!("{name}@example.com")
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Opens a database file like another program would.
#[expect(clippy::disallowed_methods, reason = "another program does not go through storage/")]
pub fn sqlite(path: &Path) -> Sqlite {
    let file = Sqlite::open(path).unwrap();
    // Triggers use this function to fold searched text.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let folded = |arguments: &Arguments<'_>| Ok(arguments.get::<Option<String>>(0)?.as_deref().map(normalize));
    file.create_scalar_function("fold", 1, flags, folded).unwrap();
    file
}

/// Polls until a condition holds, or fails.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let last = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < last, "still not so: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn serve(folder: &Path, environment: &[(String, String)], flags: &[String], namespace: Option<&str>) -> Server {
    let mut command = program(folder);
    command.envs(environment.iter().cloned()).arg("serve").args(flags);
    if !flags.iter().any(|flag| flag == "--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    if let Some(namespace) = namespace {
        command = within(namespace, &command);
    }
    Server::start(command, folder)
}

//! The speed of the real server, as a ratio to bare hyper on the same machine in the same run: `cargo bench --bench
//! load`. Compare the ratios of two machines, not the figures. `-- --help` lists the options.

mod client;
mod hostile;
mod lists;
mod many;
mod mixed;
mod pages;
mod peers;
mod report;
mod routing;
#[path = "../../tests/it/s3_stub.rs"]
mod s3_stub;
mod server;

use std::fmt::Arguments;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use fastrand::Rng;
use rusqlite::{Transaction, TransactionBehavior, params};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use client::{ANSWER_LIMIT, Connection, Tally, Times, Window, load, load_at_rate};
use many::Many;
use report::{Conditions, Measurement, Name, Report, Starts};
use server::{Engine, Held, Measured, Process, Store, Workspace};

/// Few, because the client shares the cores with the server.
const CLIENT_WORKERS: usize = 2;
const STARTS: usize = 5;
const LOGINS_PER_SECOND: u32 = 50;

/// Measures the server under load and prints every figure beside bare hyper's.
#[derive(Parser)]
#[command(name = "load")]
struct Options {
    /// Seconds measured per scenario
    #[arg(long, default_value = "5", value_parser = positive_seconds)]
    seconds: Duration,

    /// Seconds of load before the measurement of each scenario
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,

    /// Half a second per scenario: shows that all of it works, the form for CI
    #[arg(long, conflicts_with_all = ["seconds", "warmup"])]
    short: bool,

    /// Connections that ask at the same time; creating is measured at 1, 16, this many and four times as many
    #[arg(long, default_value = "64")]
    connections: NonZeroUsize,

    /// Customers in the workspace before the measurements, and contacts where callers are looked up
    #[arg(long, default_value = "10000")]
    rows: NonZeroUsize,

    /// Workspaces on disk where many are measured; in the short form a fiftieth
    #[arg(long, default_value = "10000")]
    workspaces: NonZeroUsize,

    /// Measures this scenario only, and bare hyper; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Scenario>,

    /// Measures other servers beside ours, where they are installed: PocketBase
    #[arg(long, conflicts_with = "only")]
    peers: bool,

    /// Prints JSON instead of the table
    #[arg(long)]
    json: bool,

    /// Measures this program instead of the one that was built, for a comparison on one machine
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,

    /// Keeps all files in an object store that responds after so many milliseconds
    #[arg(long, value_name = "MS")]
    store: Option<u64>,

    /// The log of the server; `info` has a line for each request
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,

    /// Be the bare server, with answers of this many bytes: how this program starts itself
    #[arg(long, hide = true, value_name = "BYTES")]
    bare_hyper: Option<usize>,

    /// Given by cargo to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Time and memory of a fresh server
    Start,
    /// One customer by its id
    Get,
    /// Who calls: a contact by its number, in some format
    Lookup,
    /// Where a call goes: by contact, origin, zone and queue
    Route,
    /// The first page of customers, with the total
    List,
    /// Pages of all customers in every way, one request after the other; meant for `--rows 1000000`
    Lists,
    /// A new customer, durable when answered
    Create,
    /// One customer by its id while logins arrive at a steady rate
    Logins,
    /// Many workspaces on disk: the start, the first request of each, and requests to some far more often than to others
    Many,
    /// One customer by its id, while nobody else asks and beside a hostile tenant; ten minutes by `--seconds 600`
    Hostile,
    /// Reads, writes, logins, imports and exports together, ten times as long as other scenarios
    Mixed,
    /// Pages of the console, next to the same requests of the API
    Pages,
    /// For comparison: rows written straight into SQLite, each in its own transaction
    Transactions,
}

fn seconds(text: &str) -> Result<Duration> {
    let duration = Duration::try_from_secs_f64(text.parse().context("not a number")?)?;
    ensure!(duration <= Duration::from_secs(3600), "more than an hour");
    Ok(duration)
}

fn positive_seconds(text: &str) -> Result<Duration> {
    let duration = seconds(text)?;
    ensure!(!duration.is_zero(), "nothing can be measured in no time");
    Ok(duration)
}

impl Options {
    fn times(&self) -> Times {
        if self.short {
            Times { warmup: Duration::from_millis(100), measured: Duration::from_millis(500) }
        } else {
            Times { warmup: self.warmup, measured: self.seconds }
        }
    }

    fn wants(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario)
    }

    fn wants_load(&self) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|&scenario| ![Scenario::Start, Scenario::Many, Scenario::Hostile].contains(&scenario))
    }

    fn workspaces(&self) -> usize {
        if self.short { self.workspaces.get() / 50 } else { self.workspaces.get() }
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(answer_bytes) = options.bare_hyper {
        server::serve_bare_hyper(answer_bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = options.program.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_cx-engine").into());
    let store = options.store.map(Store::start).transpose()?;
    server::measure_program(Measured { program, log: options.log.clone(), store });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CLIENT_WORKERS)
        .enable_all()
        .build()
        .context("starting tokio")?;
    if options.peers {
        runtime.block_on(unless_interrupted(peers::measure(options.times(), options.rows.get())))?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = runtime.block_on(unless_interrupted(measure(&options)))?;
    if options.json {
        println!("{:#}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(if report.errors() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Both branches end here, so that started processes are stopped.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        interrupted = interruption() => interrupted,
    }
}

async fn interruption<T>() -> Result<T> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}

async fn measure(options: &Options) -> Result<Report> {
    let mut report = Report::new(Conditions { times: options.times(), rows: options.rows.get() });
    if options.wants(Scenario::Start) {
        report.starts.push(measure_starts().await?);
    }
    if options.wants_load() {
        measure_load(options, &mut report).await?;
    }
    if options.wants(Scenario::Many) {
        measure_many(options, &mut report).await?;
    }
    if options.wants(Scenario::Hostile) {
        let rows = if options.short { 500 } else { options.rows.get() };
        report.measurements.extend(hostile::measure(options.times(), rows).await?);
    }
    Ok(report)
}

async fn measure_starts() -> Result<Starts> {
    eprintln!("starting {STARTS} times …");
    let mut each = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        each.push(server::measure_start().await?);
    }
    Ok(Starts { workspaces: 0, each })
}

async fn measure_many(options: &Options, report: &mut Report) -> Result<()> {
    let mut many = Many::create(options.times(), options.workspaces(), options.connections.get()).await?;
    report.starts.push(many.starts().await?);
    report.measurements.extend(many.measure(options.connections.get()).await?);
    Ok(())
}

async fn measure_load(options: &Options, report: &mut Report) -> Result<()> {
    let many = options.connections.get();
    let engine = Engine::start()?;
    let workspace = Workspace::create(engine.address()).await?;
    eprintln!("creating {} customers …", options.rows);
    let rows = options.rows.get();
    let ids = fill(&workspace, |number| ("/api/customers".into(), customer(number)), rows, many).await?;
    let bench = Bench { times: options.times(), engine, workspace, ids };

    report.measurements.push(bench.bare_hyper(many).await?);
    if options.wants(Scenario::Get) {
        report.measurements.push(bench.get(many).await?);
    }
    if options.wants(Scenario::Lookup) {
        eprintln!("creating {rows} contacts …");
        fill(&bench.workspace, |number| ("/api/contacts".into(), contact(number)), rows, many).await?;
        report.measurements.push(bench.lookup(rows, many).await?);
    }
    if options.wants(Scenario::Route) {
        report.measurements.extend(bench.routes(rows, many).await?);
    }
    if options.wants(Scenario::Logins) {
        report.measurements.extend(bench.get_during_logins(many).await?);
    }
    if options.wants(Scenario::List) {
        report.measurements.push(bench.list(many).await?);
    }
    if options.wants(Scenario::Pages) {
        report.measurements.extend(bench.pages(many).await?);
    }
    if options.wants(Scenario::Lists) {
        report.measurements.extend(bench.lists(rows).await?);
    }
    if options.wants(Scenario::Create) {
        let mut steps = vec![1, 16, many, 4 * many];
        steps.sort_unstable();
        steps.dedup();
        for connections in steps {
            report.measurements.push(bench.create(connections).await?);
        }
    }
    if options.wants(Scenario::Mixed) {
        report.measurements.extend(bench.mixed(many).await?);
    }
    if options.wants(Scenario::Transactions) {
        report.measurements.push(measure_transactions(bench.times)?);
    }
    report.measurements.push(bench.bare_hyper(many).await?);
    Ok(())
}

const BARE_HYPER: Name = Name { key: report::BASE, label: "bare hyper, same requests as GET" };
const GET: Name = Name { key: "get", label: "GET customer by id" };
const LOOKUP: Name = Name { key: "lookup", label: "look up a caller by number" };
const GET_DURING_LOGINS: Name = Name { key: "get-during-logins", label: "the same while 50 logins a second arrive" };
const LOGINS: Name = Name { key: "logins", label: "logins meanwhile, argon2id 19 MiB" };
const LIST: Name = Name { key: "list", label: "list of 20 customers, with total" };
const CREATE: Name = Name { key: "create", label: "create customer, durable" };
const TRANSACTIONS: Name = Name { key: "transactions", label: "rows into SQLite, one transaction each" };

/// A server with a filled workspace, and one method per scenario.
struct Bench {
    times: Times,
    engine: Engine,
    workspace: Workspace,
    ids: Arc<[String]>,
}

impl Bench {
    /// The same requests as `get`, to a server that does nothing and responds with as many bytes.
    async fn bare_hyper(&self, connections: usize) -> Result<Measurement> {
        announce(&BARE_HYPER, connections);
        let server = Process::start_bare_hyper(self.answer_bytes().await?)?;
        let tally = self.ask_for_customers(server.address, connections).await?;
        Ok(Measurement::new(BARE_HYPER, connections, self.times, tally, server.held()))
    }

    async fn get(&self, connections: usize) -> Result<Measurement> {
        self.load(GET, connections, |seed| self.customer_requests(seed)).await
    }

    async fn lookup(&self, contacts: usize, connections: usize) -> Result<Measurement> {
        self.ask(LOOKUP, connections, move |random, write| {
            let number = national_number(random.usize(0..contacts));
            let path = "/api/crm/lookup/contacts/search?phone=";
            match random.u8(0..4) {
                0 => write(format_args!("{path}0{number}")),
                1 => write(format_args!("{path}%2B33{number}")),
                2 => write(format_args!("{path}0033{number}")),
                _ => write(format_args!("{path}{number}")),
            }
        })
        .await
    }

    /// The same requests as `get`, and logins at the same time.
    async fn get_during_logins(&self, connections: usize) -> Result<[Measurement; 2]> {
        announce(&GET_DURING_LOGINS, connections);
        let address = self.engine.address();
        let logins = load_at_rate(address, LOGINS_PER_SECOND, self.times, self.workspace.login());
        let (asked, logins) = tokio::join!(self.ask_for_customers(address, connections), logins);
        let (logins, login_connections) = logins?;
        let meanwhile = self.measured(LOGINS, login_connections, logins);
        Ok([self.measured(GET_DURING_LOGINS, connections, asked?), meanwhile])
    }

    /// Requests paths from a function, with other random numbers on each connection.
    async fn ask(
        &self,
        name: Name,
        connections: usize,
        asked: impl Fn(&mut Rng, &mut dyn FnMut(Arguments<'_>)) + Clone + Send + 'static,
    ) -> Result<Measurement> {
        self.ask_as(&self.workspace, name, connections, asked).await
    }

    /// The same, as somebody else.
    async fn ask_as(
        &self,
        who: &Workspace,
        name: Name,
        connections: usize,
        asked: impl Fn(&mut Rng, &mut dyn FnMut(Arguments<'_>)) + Clone + Send + 'static,
    ) -> Result<Measurement> {
        self.load(name, connections, |seed| {
            let (workspace, asked) = (who.clone(), asked.clone());
            let mut random = Rng::with_seed(seed);
            move |request: &mut Vec<u8>| asked(&mut random, &mut |path| workspace.write_get(request, path))
        })
        .await
    }

    /// Measures these requests, with the processor time of the server.
    async fn load<Next>(&self, name: Name, connections: usize, requests: impl Fn(u64) -> Next) -> Result<Measurement>
    where
        Next: FnMut(&mut Vec<u8>) + Send + 'static,
    {
        announce(&name, connections);
        let before = self.engine.held();
        let tally = load(self.engine.address(), connections, self.times, requests).await?;
        Ok(self.measured(name, connections, tally).since(before))
    }

    async fn list(&self, connections: usize) -> Result<Measurement> {
        self.ask(LIST, connections, |_, write| write(format_args!("/api/customers"))).await
    }

    async fn create(&self, connections: usize) -> Result<Measurement> {
        let before = self.groups().await?;
        let measured = self.load(CREATE, connections, |seed| {
            let workspace = self.workspace.clone();
            let mut random = Rng::with_seed(seed);
            move |request: &mut Vec<u8>| {
                let customer = customer(random.usize(0..1_000_000));
                workspace.write_post(request, "/api/customers", &customer);
            }
        });
        let measured = measured.await?;
        let after = self.groups().await?;
        Ok(measured.in_groups_of((after.0 - before.0) / (after.1 - before.1)))
    }

    /// Number of committed writes, and of their batches.
    async fn groups(&self) -> Result<(f64, f64)> {
        let (writes, groups) = ("cx_engine_write_group_size_sum", "cx_engine_write_group_size_count");
        Ok((self.engine.metric(writes).await?, self.engine.metric(groups).await?))
    }

    async fn ask_for_customers(&self, server: SocketAddr, connections: usize) -> Result<Tally> {
        load(server, connections, self.times, |seed| self.customer_requests(seed)).await
    }

    fn customer_requests(&self, seed: u64) -> impl FnMut(&mut Vec<u8>) + Send + use<> {
        let (workspace, ids) = (self.workspace.clone(), Arc::clone(&self.ids));
        let mut random = Rng::with_seed(seed);
        move |request| {
            let id = &ids[random.usize(0..ids.len())];
            workspace.write_get(request, format_args!("/api/customers/{id}"));
        }
    }

    async fn answer_bytes(&self) -> Result<usize> {
        self.workspace.answer_bytes(format_args!("/api/customers/{}", self.ids[0])).await
    }

    fn measured(&self, name: Name, connections: usize, tally: Tally) -> Measurement {
        Measurement::new(name, connections, self.times, tally, self.engine.held())
    }
}

fn announce(name: &Name, connections: usize) {
    eprintln!("{}, connections: {connections} …", name.label);
}

/// The path to post a row to, and its body.
type Row = (String, String);

/// Creates the rows that the scenarios read. Returns their ids.
async fn fill(
    workspace: &Workspace,
    row: impl Fn(usize) -> Row + Copy + Send + 'static,
    rows: usize,
    connections: usize,
) -> Result<Arc<[String]>> {
    let mut tasks = JoinSet::new();
    for first in 0..connections {
        tasks.spawn(create_each(workspace.clone(), row, (first..rows).step_by(connections)));
    }
    let mut ids = Vec::with_capacity(rows);
    while let Some(created) = tasks.join_next().await {
        ids.extend(created.context("creating rows")??);
    }
    Ok(ids.into())
}

async fn create_each(
    workspace: Workspace,
    row: impl Fn(usize) -> Row,
    numbers: impl Iterator<Item = usize>,
) -> Result<Vec<String>> {
    let mut connection = Connection::open(workspace.address).await?;
    let mut request = Vec::new();
    let mut ids = Vec::new();
    for number in numbers {
        request.clear();
        let (path, body) = row(number);
        workspace.write_post(&mut request, &path, &body);
        let answer =
            timeout(ANSWER_LIMIT, connection.exchange(&request)).await.context("creating a row took 30 s")??;
        ensure!(answer.is_good(), "POST {path}: {answer}");
        let created: serde_json::Value = serde_json::from_slice(answer.body).context("reading a created row")?;
        // Some servers have numbers as ids, others texts.
        let id = created["id"].as_str().map_or_else(|| created["id"].to_string(), str::to_owned);
        ids.push(id);
    }
    Ok(ids)
}

const FIRST_NAMES: [&str; 8] = ["Ada", "Bérénice", "Camille", "Driss", "Élodie", "Fatou", "Guillaume", "Hélène"];
const LAST_NAMES: [&str; 7] = ["Martin", "Lefèvre", "Moreau", "Nguyen", "Benali", "Dubois", "Rousseau"];
const CITIES: [&str; 5] = ["Paris", "Lyon", "Saint-Étienne", "Marseille", "Clermont-Ferrand"];

/// The body of a create request. Numbers below a million differ in name, email and phone.
fn customer(number: usize) -> String {
    let first_name = FIRST_NAMES[number % FIRST_NAMES.len()];
    let last_name = LAST_NAMES[number % LAST_NAMES.len()];
    let city = CITIES[number % CITIES.len()];
    let phone = customer_phone(number);
    // Not serialized with serde_json, which would take processor time from the server.
    let mut body = String::with_capacity(256);
    body += &format!(r#"{{"name":"Atelier {last_name} {number}","email_address":"contact{number}@example.com","#);
    body += &format!(r#""phone":"{phone}","main_address_city":"{city}","#);
    body += &format!(r#""main_contact_first_name":"{first_name}","main_contact_last_name":"{last_name}"}}"#);
    body
}

fn customer_phone(number: usize) -> String {
    let (pair_1, pair_2, pair_3) = (number / 10_000 % 100, number / 100 % 100, number % 100);
    format!("+33 1 42 {pair_1:02} {pair_2:02} {pair_3:02}")
}

/// The body to create a contact. Numbers below ten million differ in phone.
fn contact(number: usize) -> String {
    let first_name = FIRST_NAMES[number % FIRST_NAMES.len()];
    let last_name = LAST_NAMES[number % LAST_NAMES.len()];
    let phone = national_number(number);
    format!(r#"{{"first_name":"{first_name}","last_name":"{last_name} {number}","phone_mobile_1":"+33{phone}"}}"#)
}

/// A French number without a prefix.
fn national_number(number: usize) -> String {
    format!("61{number:07}")
}

/// The speed of SQLite with one thread, one transaction per row, and no HTTP.
#[allow(clippy::disallowed_methods, reason = "a scratch file of the benchmark, not one of the server's")]
fn measure_transactions(times: Times) -> Result<Measurement> {
    announce(&TRANSACTIONS, 1);
    let directory = server::scratch_directory()?;
    let mut db =
        rusqlite::Connection::open(directory.path().join("scratch.sqlite")).context("opening a scratch file")?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         CREATE TABLE customers (
             id INTEGER PRIMARY KEY, customer_account TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
             created_at TEXT NOT NULL, updated_at TEXT NOT NULL
         );",
    )
    .context("preparing the scratch file")?;
    let window = Window::starting_now(times);
    let mut tally = Tally::default();
    let mut number = 0;
    while !window.is_over() {
        number += 1;
        let asked = Instant::now();
        insert_alone(&mut db, number).context("writing a row")?;
        tally.record(&window, asked);
    }
    Ok(Measurement::new(TRANSACTIONS, 1, times, tally, Held::default()))
}

fn insert_alone(db: &mut rusqlite::Connection, number: usize) -> rusqlite::Result<()> {
    let transaction = Transaction::new(db, TransactionBehavior::Immediate)?;
    transaction
        .prepare_cached(
            "INSERT INTO customers (customer_account, body, created_at, updated_at)
             VALUES (?1, ?2, '2024-01-20T12:00:00Z', '2024-01-20T12:00:00Z')",
        )?
        .execute(params![format!("CL{number:06}"), customer(number)])?;
    transaction.commit()
}

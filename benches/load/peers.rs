//! The same operations, one after the other, on our server and on others that are installed: `--peers`. Each has the same
//! rows, a token on every request, and its log of requests. Only rates of one run can be compared.
//!
//! Our server commits each write to disk before it responds (`synchronous=FULL`). PocketBase does not (`NORMAL`).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Connection, Tally, Times, load};
use crate::report::{Measurement, Name, grouped};
use crate::server::{Engine, Held, Process, Workspace, scratch_directory};
use crate::{customer, customer_phone, fill};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get,
    ListWithTotal,
    ListWithoutTotal,
    Lookup,
    Create,
    Mixed,
}

/// The rows of the table: operations with numbers of connections.
const ROWS: [(Operation, usize); 10] = [
    (Operation::Get, 64),
    (Operation::Get, 1),
    (Operation::ListWithTotal, 64),
    (Operation::ListWithoutTotal, 64),
    (Operation::Lookup, 64),
    (Operation::Create, 64),
    (Operation::Create, 32),
    (Operation::Create, 1),
    (Operation::Mixed, 64),
    (Operation::Mixed, 1),
];

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Get => "GET by id",
            Self::ListWithTotal => "list of 20, with total",
            Self::ListWithoutTotal => "list of 20, without total",
            Self::Lookup => "look-up by phone",
            Self::Create => "create",
            Self::Mixed => "mixed 90/10",
        })
    }
}

/// A server with its rows.
struct Peer {
    name: &'static str,
    kind: Kind,
    server: Server,
    /// Sends requests with the token of a user.
    client: Workspace,
    ids: Arc<[String]>,
}

enum Server {
    Ours(Engine),
    Other(Process, #[expect(dead_code, reason = "deleted when dropped, after the process")] TempDir),
}

#[derive(Clone, Copy)]
enum Kind {
    CxEngine,
    PocketBase,
}

impl Kind {
    fn resource(self) -> &'static str {
        match self {
            Self::CxEngine => "/api/customers",
            Self::PocketBase => "/api/collections/customers/records",
        }
    }

    fn write(self, operation: Operation, client: &Workspace, ids: &[String], random: &mut Rng, request: &mut Vec<u8>) {
        let path = self.resource();
        match (operation, self) {
            (Operation::Get, _) => {
                let id = &ids[random.usize(0..ids.len())];
                client.write_get(request, format_args!("{path}/{id}"));
            }
            (Operation::ListWithTotal, Self::CxEngine) => client.write_get(request, format_args!("{path}")),
            (Operation::ListWithoutTotal, Self::CxEngine) => client.write_get(request, format_args!("{path}?cursor=")),
            (Operation::ListWithTotal, Self::PocketBase) => {
                client.write_get(request, format_args!("{path}?perPage=20"));
            }
            (Operation::ListWithoutTotal, Self::PocketBase) => {
                client.write_get(request, format_args!("{path}?perPage=20&skipTotal=1"));
            }
            (Operation::Lookup, _) => {
                let phone = customer_phone(random.usize(0..ids.len())).replace('+', "%2B").replace(' ', "%20");
                match self {
                    Self::CxEngine => {
                        client.write_get(request, format_args!("{path}?cursor=&per_page=1&filter[phone]={phone}"));
                    }
                    Self::PocketBase => {
                        let filter = format!("perPage=1&skipTotal=1&filter=(phone='{phone}')");
                        client.write_get(request, format_args!("{path}?{filter}"));
                    }
                }
            }
            (Operation::Create, _) => client.write_post(request, path, &customer(random.usize(0..1_000_000))),
            (Operation::Mixed, _) => {
                let operation = if random.u8(0..10) == 0 { Operation::Create } else { Operation::Get };
                self.write(operation, client, ids, random, request);
            }
        }
    }
}

/// Starts each installed server, measures it, and prints the table.
pub async fn measure(times: Times, rows: usize) -> Result<()> {
    let mut columns = vec![Peer::ours(rows).await?.measured(times).await?];
    if is_installed("pocketbase") {
        columns.push(Peer::pocketbase(rows).await?.measured(times).await?);
    } else {
        eprintln!("pocketbase is not installed: skipped");
    }
    print(&columns);
    Ok(())
}

fn is_installed(program: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// The results of a server, in the order of [`ROWS`].
struct Column {
    name: &'static str,
    cells: Vec<Measurement>,
}

fn print(columns: &[Column]) {
    let ours = &columns[0];
    print!("{:26} {:>11}", "", "connections");
    for column in columns {
        print!("  {:>30}", format!("{}: a second, p99, CPU", column.name));
    }
    println!("  {:>8}", "ratio");
    for (place, (operation, connections)) in ROWS.iter().enumerate() {
        print!("{operation:26} {connections:>11}");
        for column in columns {
            let Measurement { per_second, p99_ms, processor_us, .. } = &column.cells[place];
            let processor_us = processor_us.unwrap_or(f64::NAN);
            print!("  {:>30}", format!("{}, {p99_ms:.1} ms, {processor_us:.0} µs", grouped(*per_second)));
        }
        for other in &columns[1..] {
            print!("  {:>8.2}", ours.cells[place].per_second / other.cells[place].per_second);
        }
        println!();
    }
}

impl Peer {
    async fn ours(rows: usize) -> Result<Self> {
        let engine = Engine::start()?;
        let client = Workspace::create(engine.address()).await?;
        Self::filled("cx-engine", Kind::CxEngine, Server::Ours(engine), client, rows).await
    }

    /// A collection with the fields of our customers, an index on the phone number, and rules for users.
    async fn pocketbase(rows: usize) -> Result<Self> {
        const ADMIN: &str = "admin@example.com";
        const USER: &str = "user@example.com";
        const PASSWORD: &str = "a passphrase for the bench 7431";
        let data = scratch_directory()?;
        // PocketBase writes migrations beside this folder, and would run them in the next measurement.
        let folder = format!("--dir={}", data.path().join("pb_data").display());
        let made = Command::new("pocketbase")
            .args(["superuser", "upsert", ADMIN, PASSWORD, &folder])
            .stdout(Stdio::null())
            .status()
            .context("creating the superuser of PocketBase")?;
        ensure!(made.success(), "pocketbase superuser upsert: {made}");
        let address = free_address()?;
        let process = Process::start_at(
            Command::new("pocketbase").args(["serve", &format!("--http={address}"), &folder]),
            address,
        )?;
        let visitor = Workspace::with_headers(address, "Host: localhost\r\n");
        let login = |email: &str| json!({"identity": email, "password": PASSWORD}).to_string();
        let token_of = |answer: Value| answer["token"].as_str().map(str::to_owned).context("no token");
        let signed_in =
            |token: String| Workspace::with_headers(address, &format!("Host: localhost\r\nAuthorization: {token}\r\n"));
        let path = "/api/collections/_superusers/auth-with-password";
        let admin = signed_in(token_of(post(&visitor, path, &login(ADMIN)).await?)?);
        let fields = ["name", "email_address", "phone", "main_address_city", "main_contact_first_name"];
        let fields = fields.iter().chain(&["main_contact_last_name"]).map(|name| json!({"name": name, "type": "text"}));
        let signed = "@request.auth.id != ''";
        let collection = json!({
            "name": "customers", "type": "base", "fields": fields.collect::<Vec<_>>(),
            "indexes": ["CREATE INDEX customers_phone ON customers (phone)"],
            "listRule": signed, "viewRule": signed, "createRule": signed,
        });
        post(&admin, "/api/collections", &collection.to_string()).await?;
        let user = json!({"email": USER, "password": PASSWORD, "passwordConfirm": PASSWORD});
        post(&admin, "/api/collections/users/records", &user.to_string()).await?;
        let path = "/api/collections/users/auth-with-password";
        let user = signed_in(token_of(post(&visitor, path, &login(USER)).await?)?);
        Self::filled("PocketBase", Kind::PocketBase, Server::Other(process, data), user, rows).await
    }

    async fn filled(name: &'static str, kind: Kind, server: Server, client: Workspace, rows: usize) -> Result<Self> {
        eprintln!("{name}: creating {rows} rows …");
        let ids = fill(&client, move |number| (kind.resource().into(), customer(number)), rows, 64).await?;
        Ok(Self { name, kind, server, client, ids })
    }

    async fn measured(self, times: Times) -> Result<Column> {
        let mut cells = Vec::new();
        for (operation, connections) in ROWS {
            eprintln!("{}: {operation}, connections: {connections} …", self.name);
            let before = self.held();
            let tally = self.load(operation, connections, times).await?;
            if let Some(error) = &tally.first_error {
                bail!("{operation}: {error}");
            }
            let name = Name { key: "peer", label: self.name };
            cells.push(Measurement::new(name, connections, times, tally, self.held()).since(before));
        }
        Ok(Column { name: self.name, cells })
    }

    async fn load(&self, operation: Operation, connections: usize, times: Times) -> Result<Tally> {
        load(self.client.address, connections, times, |seed| {
            let (kind, client, ids) = (self.kind, self.client.clone(), Arc::clone(&self.ids));
            let mut random = Rng::with_seed(seed);
            move |request: &mut Vec<u8>| kind.write(operation, &client, &ids, &mut random, request)
        })
        .await
    }

    fn held(&self) -> Held {
        match &self.server {
            Server::Ours(engine) => engine.held(),
            Server::Other(process, _) => process.held(),
        }
    }
}

async fn post(client: &Workspace, path: &str, body: &str) -> Result<Value> {
    let mut request = Vec::new();
    client.write_post(&mut request, path, body);
    let mut connection = Connection::open(client.address).await?;
    let answer = connection.exchange(&request).await?;
    ensure!(answer.is_good(), "POST {path}: {answer}");
    serde_json::from_slice(answer.body).with_context(|| format!("reading the answer of POST {path}"))
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    listener.local_addr().context("reading the port")
}

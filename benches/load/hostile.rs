//! A hostile tenant and a normal one: the latency of the normal tenant's requests, compared with a run without the
//! hostile tenant. The server's log is a pipe that nobody reads. `--only hostile --seconds 600` runs it for ten
//! minutes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{Connection, Tally, Times, load};
use crate::report::{Measurement, Name};
use crate::server::{Engine, Setup, Workspace};
use crate::{announce, customer, fill};

const QUIET: Name = Name { key: "hostile-quiet", label: "GET customer, nobody else asks" };
const BESIDE: Name = Name { key: "hostile", label: "the same beside a hostile tenant" };

/// Connections of the measured tenant. More would add load.
const CONNECTIONS: usize = 4;

const LONGEST_QUIET: Duration = Duration::from_secs(60);

/// Customers of each workspace: enough to make a list of all of them slow.
const ROWS: usize = 20_000;
const ROWS_OF_AN_IMPORT: usize = 5_000;

/// Connections of the hostile tenant for each kind of request.
const AT_ONCE: usize = 4;

/// Connections that announce a large body and send one byte of it.
const ANNOUNCED: usize = 16;

pub async fn measure(times: Times, rows: usize) -> Result<[Measurement; 2]> {
    let engine = Engine::start_with_unread_log()?;
    let address = engine.address();
    // The first account is an operator, who is exempt from quotas.
    Setup::register(address).await?;
    let mut victim = Setup::register_as(address, "victim@example.com").await?;
    let mut hostile = Setup::register_as(address, "hostile@example.com").await?;
    let rows = rows.min(ROWS);
    let own = victim.workspace("victim").await?;
    let ids = fill(&own, |number| ("/api/customers".into(), customer(number)), rows.min(1000), AT_ONCE).await?;
    let workspaces = [hostile.workspace("hostile").await?, hostile.workspace("accomplice").await?];
    eprintln!("creating twice {rows} customers …");
    for workspace in &workspaces {
        fill(workspace, |number| ("/api/customers".into(), customer(number)), rows, 16).await?;
    }

    announce(&QUIET, CONNECTIONS);
    // The comparison needs no long run.
    let calm = Times { measured: times.measured.min(LONGEST_QUIET), ..times };
    let quiet = ask(&own, &ids, calm).await?;
    let quiet = Measurement::new(QUIET, CONNECTIONS, calm, quiet, engine.held());
    announce(&BESIDE, CONNECTIONS);
    let mut attack = JoinSet::new();
    for workspace in &workspaces {
        attack_from(workspace, &mut attack);
    }
    let beside = ask(&own, &ids, times).await?;
    attack.shutdown().await;
    Ok([quiet, Measurement::new(BESIDE, CONNECTIONS, times, beside, engine.held())])
}

async fn ask(own: &Workspace, ids: &Arc<[String]>, times: Times) -> Result<Tally> {
    load(own.address, CONNECTIONS, times, |seed| {
        let (own, ids, mut random) = (own.clone(), Arc::clone(ids), Rng::with_seed(seed));
        move |request: &mut Vec<u8>| {
            let id = &ids[random.usize(0..ids.len())];
            own.write_get(request, format_args!("/api/customers/{id}"));
        }
    })
    .await
}

/// Starts all attacks of a workspace. They run until `attack` is shut down.
fn attack_from(workspace: &Workspace, attack: &mut JoinSet<()>) {
    for n in 0..AT_ONCE {
        attack.spawn(again(workspace.clone(), n, expensive_lists));
        attack.spawn(again(workspace.clone(), n, too_many_words));
        attack.spawn(again(workspace.clone(), n, invitations));
        attack.spawn(again(workspace.clone(), n, webhooks));
        attack.spawn(again(workspace.clone(), n, mails));
    }
    for n in 0..2 {
        attack.spawn(again(workspace.clone(), n, imports));
    }
    for _ in 0..ANNOUNCED {
        attack.spawn(announced_bodies(workspace.clone()));
    }
}

/// Sends requests from `write` again and again and ignores the responses. Reconnects when the connection is closed.
async fn again(workspace: Workspace, number: usize, write: fn(&Workspace, usize, &mut Vec<u8>)) {
    let mut request = Vec::new();
    for round in 0.. {
        let Ok(mut connection) = Connection::open(workspace.address).await else { continue };
        for step in 0..1000 {
            request.clear();
            write(&workspace, (number * 1_000_000) + round * 1000 + step, &mut request);
            if connection.exchange(&request).await.is_err() {
                break;
            }
        }
    }
}

/// Lists that read every row.
fn expensive_lists(workspace: &Workspace, number: usize, request: &mut Vec<u8>) {
    let words = ["a", "e", "at", "pa", "mar"];
    let word = words[number % words.len()];
    let filters = format!("filter[customer_account]={word}&filter[name]=e&filter[term]={word}+{word}+ate");
    workspace.write_get(request, format_args!("/api/customers?{filters}&sort=-name,main_address_city&per_page=500"));
}

fn too_many_words(workspace: &Workspace, _: usize, request: &mut Vec<u8>) {
    let words = vec!["a"; 3000].join("+");
    workspace.write_get(request, format_args!("/api/customers?filter[term]={words}"));
}

fn imports(workspace: &Workspace, _: usize, request: &mut Vec<u8>) {
    let mut rows = String::from("[");
    for number in 0..ROWS_OF_AN_IMPORT {
        let comma = if number == 0 { "" } else { "," };
        write!(rows, "{comma}{}", customer(number)).expect("a text takes all");
    }
    workspace.write_post(request, "/api/customers/import", &(rows + "]"));
}

fn invitations(workspace: &Workspace, number: usize, request: &mut Vec<u8>) {
    let body = format!(r#"{{"email":"stranger{number}@example.com","role_id":3}}"#);
    workspace.write_post(request, "/api/user-invites", &body);
}

fn webhooks(workspace: &Workspace, number: usize, request: &mut Vec<u8>) {
    let body = format!(r#"{{"url":"https://example.invalid/{number}","events":["*"]}}"#);
    workspace.write_post(request, "/api/webhooks", &body);
}

fn mails(_: &Workspace, number: usize, request: &mut Vec<u8>) {
    let body = format!(r#"{{"email":"stranger{}@example.com"}}"#, number % 50);
    let length = body.len();
    let head = "POST /api/password/forgot HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    request.extend_from_slice(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
}

/// An unknown key, and a body of 33 MB of which only one byte is sent.
async fn announced_bodies(workspace: Workspace) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(workspace.address).await {
            let head =
                "POST /api/customers/import HTTP/1.1\r\nHost: hostile.localhost\r\nAuthorization: Bearer cxk_nobody";
            let body = "Content-Type: application/json\r\nContent-Length: 33000000\r\n\r\n[";
            let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
}

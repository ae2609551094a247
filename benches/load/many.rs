//! Many workspaces on disk. A few get many requests, most get few (Zipf's law). Measures the start, the first request
//! to a workspace, and a server that cannot keep all workspaces open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use tokio::task::JoinSet;

use crate::client::{Connection, Tally, Times, load};
use crate::report::{Measurement, Name, Starts};
use crate::server::{self, Engine, Process, Setup, Workspace};
use crate::{BARE_HYPER, STARTS, announce, customer};

const COLD: Name = Name { key: "many-cold", label: "first GET of a workspace that is closed" };
const COLD_FULL: Name = Name { key: "many-cold-full", label: "the same where another is closed for it" };
const PASS: Name = Name { key: "many-pass", label: "GET of each workspace in turn" };
const HOT: Name = Name { key: "many-hot", label: "GET, Zipf over as many as stay open" };
const ALL: Name = Name { key: "many", label: "GET, Zipf over all workspaces" };
const WRITES: Name = Name { key: "many-writes", label: "create, Zipf over all workspaces" };

/// Number of workspaces whose first request is measured.
const FIRST_REQUESTS: usize = 1000;

/// Share of the workspaces that stay open: a fifth, at most 2,000.
const STAY_OPEN: usize = 5;
const MOST_OPEN: usize = 2000;

const CUSTOMER: &str = "/api/customers/1";

/// A server on a data directory with many workspaces, each with one customer.
pub struct Many {
    times: Times,
    engine: Option<Engine>,
    workspaces: Arc<[Workspace]>,
}

impl Many {
    pub async fn create(times: Times, count: usize, connections: usize) -> Result<Self> {
        eprintln!("creating {count} workspaces …");
        let engine = Engine::start()?;
        let owner = Setup::register(engine.address()).await?;
        let mut tasks = JoinSet::new();
        for first in 0..connections {
            let setup = owner.another().await?;
            tasks.spawn(create_each(setup, (first..count).step_by(connections)));
        }
        let mut workspaces = Vec::with_capacity(count);
        while let Some(created) = tasks.join_next().await {
            workspaces.extend(created.context("creating workspaces")??);
        }
        Ok(Self { times, engine: Some(engine), workspaces: workspaces.into() })
    }

    /// Starts the server several times.
    pub async fn starts(&mut self) -> Result<Starts> {
        let mut each = Vec::with_capacity(STARTS);
        for _ in 0..STARTS {
            each.push(self.restart().await?);
        }
        Ok(Starts { workspaces: self.workspaces.len(), each })
    }

    /// Limits the open workspaces to this number.
    async fn restart(&mut self) -> Result<server::Start> {
        let engine = self.engine.take().context("there is a server")?;
        let most = self.stay_open().to_string();
        let data = engine.stopped();
        let anew = || Engine::start_on(data, &["--max-open-workspaces", &most]);
        let (start, engine) = server::measure_start_of(anew).await?;
        self.workspaces = self.workspaces.iter().map(|workspace| workspace.at(engine.address())).collect();
        self.engine = Some(engine);
        Ok(start)
    }

    fn stay_open(&self) -> usize {
        (self.workspaces.len() / STAY_OPEN).clamp(1, MOST_OPEN)
    }

    /// On a server that was just started.
    pub async fn measure(&mut self, connections: usize) -> Result<Vec<Measurement>> {
        let (open, all) = (self.stay_open(), self.workspaces.len());
        let base = self.bare_hyper(connections).await?;
        let firsts = FIRST_REQUESTS.min(open / 2);
        let cold = self.first_requests(COLD, 0..firsts).await?;
        // From here on the maximum number of workspaces is open.
        self.first_requests(COLD, firsts..open).await?;
        let hot = self.get(HOT, open, connections).await?;
        let cold_full = self.first_requests(COLD_FULL, open..(open + firsts)).await?;
        let pass = self.first_requests(PASS, 0..all).await?;
        let of_all = self.get(ALL, all, connections).await?;
        let writes = self.writes(all, connections).await?;
        Ok(vec![base, cold, cold_full, hot, pass, of_all, writes])
    }

    /// The requests of [`ALL`], to a server that does nothing and responds with as many bytes.
    async fn bare_hyper(&self, connections: usize) -> Result<Measurement> {
        let answer_bytes = self.workspaces[0].answer_bytes(format_args!("{CUSTOMER}")).await?;
        let server = Process::start_bare_hyper(answer_bytes)?;
        let tally = self.tally(server.address, self.workspaces.len(), connections, ask_for_customer).await?;
        Ok(Measurement::new(BARE_HYPER, connections, self.times, tally, server.held()))
    }

    async fn first_requests(&self, name: Name, which: std::ops::Range<usize>) -> Result<Measurement> {
        announce(&name, 1);
        let mut connection = Connection::open(self.engine()?.address()).await?;
        let mut took = Vec::new();
        let mut request = Vec::new();
        for workspace in &self.workspaces[which] {
            request.clear();
            workspace.write_get(&mut request, format_args!("{CUSTOMER}"));
            let asked = Instant::now();
            let answer = connection.exchange(&request).await?;
            ensure!(answer.is_good(), "GET {CUSTOMER}: {answer}");
            took.push(asked.elapsed());
        }
        Ok(Measurement::one_by_one(name, &took, self.engine()?.held()))
    }

    async fn get(&self, name: Name, among: usize, connections: usize) -> Result<Measurement> {
        self.zipf(name, among, connections, ask_for_customer).await
    }

    async fn writes(&self, among: usize, connections: usize) -> Result<Measurement> {
        self.zipf(WRITES, among, connections, |random, workspace, request| {
            workspace.write_post(request, "/api/customers", &customer(random.usize(0..1_000_000)));
        })
        .await
    }

    /// Requests to this number of workspaces, distributed by Zipf's law.
    async fn zipf(
        &self,
        name: Name,
        among: usize,
        connections: usize,
        ask: impl Fn(&mut Rng, &Workspace, &mut Vec<u8>) + Copy + Send + 'static,
    ) -> Result<Measurement> {
        announce(&name, connections);
        let tally = self.tally(self.engine()?.address(), among, connections, ask).await?;
        Ok(Measurement::new(name, connections, self.times, tally, self.engine()?.held()))
    }

    async fn tally(
        &self,
        server: SocketAddr,
        among: usize,
        connections: usize,
        ask: impl Fn(&mut Rng, &Workspace, &mut Vec<u8>) + Copy + Send + 'static,
    ) -> Result<Tally> {
        let shares = Arc::new(zipf_shares(among));
        load(server, connections, self.times, |seed| {
            let (workspaces, shares) = (Arc::clone(&self.workspaces), Arc::clone(&shares));
            let mut random = Rng::with_seed(seed);
            move |request: &mut Vec<u8>| {
                let share = random.f64();
                let rank = shares.partition_point(|&upto| upto <= share).min(among - 1);
                ask(&mut random, &workspaces[rank], request);
            }
        })
        .await
    }

    fn engine(&self) -> Result<&Engine> {
        self.engine.as_ref().context("there is a server")
    }
}

fn ask_for_customer(_: &mut Rng, workspace: &Workspace, request: &mut Vec<u8>) {
    workspace.write_get(request, format_args!("{CUSTOMER}"));
}

/// For each rank, the share of the requests to it and all earlier ranks. The n-th workspace gets 1/n as many requests
/// as the first.
fn zipf_shares(count: usize) -> Vec<f64> {
    let total: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
    let mut upto = 0.0;
    let share = |rank: usize| {
        upto += 1.0 / rank as f64 / total;
        upto
    };
    (1..=count).map(share).collect()
}

async fn create_each(mut setup: Setup, numbers: impl Iterator<Item = usize>) -> Result<Vec<Workspace>> {
    let mut made = Vec::new();
    for number in numbers {
        let workspace = setup.workspace(&format!("bench-{number}")).await?;
        let mut request = Vec::new();
        workspace.write_post(&mut request, "/api/customers", &customer(number));
        let mut connection = Connection::open(workspace.address).await?;
        let answer = connection.exchange(&request).await?;
        ensure!(answer.is_good(), "POST /api/customers: {answer}");
        made.push(workspace);
    }
    Ok(made)
}

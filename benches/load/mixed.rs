//! A short working day: mostly reads, some writes, logins at a steady rate, imports and exports, in ten equal parts.
//! The last part should equal the first in latency and memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use tokio::time::timeout;

use crate::client::{Connection, Tally, Times, Window, load, load_at_rate};
use crate::report::{Measurement, Name};
use crate::server::Workspace;
use crate::{Bench, announce, customer};

const PARTS: [Name; 10] = [
    Name { key: "mixed-1", label: "9 reads, 1 write, part 1 of 10" },
    Name { key: "mixed-2", label: "part 2" },
    Name { key: "mixed-3", label: "part 3" },
    Name { key: "mixed-4", label: "part 4" },
    Name { key: "mixed-5", label: "part 5" },
    Name { key: "mixed-6", label: "part 6" },
    Name { key: "mixed-7", label: "part 7" },
    Name { key: "mixed-8", label: "part 8" },
    Name { key: "mixed-9", label: "part 9" },
    Name { key: "mixed-10", label: "part 10" },
];
const LOGINS: Name = Name { key: "mixed-logins", label: "logins beside it" };
const IMPORTS: Name = Name { key: "mixed-imports", label: "imports of 1,000 customers beside it" };
const EXPORTS: Name = Name { key: "mixed-exports", label: "exports of all customers beside it" };

const LOGINS_PER_SECOND: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);
const ROWS_OF_AN_IMPORT: usize = 1000;

/// An import or export that takes longer counts as failed.
const LONG: Duration = Duration::from_secs(120);

impl Bench {
    pub async fn mixed(&self, connections: usize) -> Result<Vec<Measurement>> {
        let address = self.engine.address();
        let whole = Times { warmup: Duration::ZERO, measured: self.times.measured * PARTS.len() as u32 };
        let logins = load_at_rate(address, LOGINS_PER_SECOND, whole, self.workspace.login());
        let imports = self.again_and_again(whole, |workspace, random, request| {
            let rows: Vec<String> = (0..ROWS_OF_AN_IMPORT).map(|_| customer(random.usize(0..1_000_000))).collect();
            workspace.write_post(request, "/api/customers/import", &format!("[{}]", rows.join(",")));
        });
        let exports = self.again_and_again(whole, |workspace, _, request| {
            workspace.write_get(request, format_args!("/api/customers/export?format=csv"));
        });
        let (parts, logins, imports, exports) = tokio::join!(self.parts(connections), logins, imports, exports);
        let (mut measured, (logins, login_connections)) = (parts?, logins?);
        let held = self.engine.held();
        measured.push(Measurement::new(LOGINS, login_connections, whole, logins, held));
        measured.push(Measurement::new(IMPORTS, 1, whole, imports?, held));
        measured.push(Measurement::new(EXPORTS, 1, whole, exports?, held));
        Ok(measured)
    }

    async fn parts(&self, connections: usize) -> Result<Vec<Measurement>> {
        let times = Times { warmup: Duration::ZERO, ..self.times };
        let mut measured = Vec::new();
        for name in PARTS {
            announce(&name, connections);
            let tally = load(self.engine.address(), connections, times, |seed| {
                let (workspace, ids) = (self.workspace.clone(), Arc::clone(&self.ids));
                let mut random = Rng::with_seed(seed);
                move |request: &mut Vec<u8>| write_any(&workspace, &ids, &mut random, request)
            })
            .await?;
            measured.push(Measurement::new(name, connections, times, tally, self.engine.held()));
        }
        Ok(measured)
    }

    /// Sends one request at a time, with pauses, until the time is over.
    async fn again_and_again(
        &self,
        times: Times,
        mut write: impl FnMut(&Workspace, &mut Rng, &mut Vec<u8>),
    ) -> Result<Tally> {
        let window = Window::starting_now(times);
        let (mut tally, mut random) = (Tally::default(), Rng::with_seed(7));
        let mut request = Vec::new();
        while !window.is_over() {
            request.clear();
            write(&self.workspace, &mut random, &mut request);
            let asked = Instant::now();
            let mut connection = Connection::open(self.engine.address()).await?;
            let answer = timeout(LONG, connection.exchange(&request)).await??;
            ensure!(answer.is_good(), "{answer}");
            tally.record(&window, asked);
            tokio::time::sleep(PAUSE.min(times.measured / 10)).await;
        }
        Ok(tally)
    }
}

/// Nine of ten requests read: a customer, a page of customers, or a caller look-up. One writes: mostly a change, rarely
/// a new customer.
fn write_any(workspace: &Workspace, ids: &[String], random: &mut Rng, request: &mut Vec<u8>) {
    let id = &ids[random.usize(0..ids.len())];
    match random.u8(0..100) {
        0 => workspace.write_post(request, "/api/customers", &customer(random.usize(0..1_000_000))),
        1..10 => {
            let body = format!(r#"{{"comment":"Called {} times"}}"#, random.u16(..));
            workspace.write_put(request, &format!("/api/customers/{id}"), &body);
        }
        10..20 => workspace.write_get(request, format_args!("/api/customers?page={}", random.u8(1..20))),
        20..30 => {
            let path = "/api/crm/lookup/contacts/search?phone=0142";
            workspace.write_get(request, format_args!("{path}{:06}", random.u32(0..1_000_000)));
        }
        _ => workspace.write_get(request, format_args!("/api/customers/{id}")),
    }
}

//! Posts pending webhook deliveries to their receivers (Standard Webhooks 1.0).
//!
//! Delivery is at least once: a message is settled when the receiver has responded 2xx and that is saved. After a crash
//! in between, it is posted again with the same `webhook-id`, so that the receiver can recognize it. The messages of
//! one webhook are posted in sequence, those of different webhooks concurrently.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use parking_lot::{Mutex, MutexGuard};
use ureq::{Agent, http};
use uuid::Uuid;

use crate::api::{Error, Result, require_active};
use crate::instance::Instance;
use crate::outgoing::{agent_config, guarded_agent, system_roots};
use crate::storage::Threads;
use crate::values::{Timestamp, web_url};
use crate::workspace::webhook_deliveries::{self, DeliveryOutcome, Due};
use crate::workspace::webhooks;

/// Maximum concurrent messages.
const THREADS: usize = 16;
/// Maximum concurrent messages per owner, so that slow receivers of one owner leave room for others.
const OF_ONE_OWNER: usize = 4;

/// Messages that a webhook may send before others get their turn.
const IN_A_TURN: usize = 10;

/// Seconds until a workspace is checked again if there was no room for it.
const NO_ROOM: i64 = 1;

/// Total time limit for a receiver.
const PATIENCE: Duration = Duration::from_secs(15);

/// Seconds to pause a webhook after its receiver could not be reached.
const PAUSE: i64 = 15;

/// Bytes to keep of a receiver's response, if it is text.
const KEPT_OF_ANSWER: usize = 500;

/// The receiver wants no more messages (Standard Webhooks 1.0, "Operational considerations").
const GONE: u16 = 410;

/// The state of webhook delivery between two rounds.
pub struct WebhookSender {
    instance: Arc<Instance>,
    /// A message is signed with the time at which it is posted.
    clock: fn() -> Timestamp,
    threads: Threads,
    agent: OnceLock<Agent>,
    state: Mutex<SenderState>,
}

#[derive(Default)]
struct SenderState {
    has_begun: bool,
    /// The version of the placement when all workspaces were visited.
    placement: u64,
    /// The latest time to check each workspace.
    due: BTreeMap<Uuid, Timestamp>,
    /// Webhooks with messages in transit or waiting for a thread, with the owner of the workspace.
    busy: HashMap<(Uuid, i64), i64>,
    /// Paused webhooks and the end of the pause.
    resting: HashMap<(Uuid, i64), Timestamp>,
}

impl WebhookSender {
    pub fn start(instance: Arc<Instance>, clock: fn() -> Timestamp) -> io::Result<Arc<Self>> {
        let threads = Threads::start("webhooks", THREADS, &instance.supervisor)?;
        Ok(Arc::new(Self { instance, clock, threads, agent: OnceLock::new(), state: Mutex::default() }))
    }

    /// One round: finds due deliveries and hands them to the threads.
    pub fn round(self: &Arc<Self>, now: Timestamp) -> Result<()> {
        for (workspace, dropped) in self.instance.node.pending.take_dropped() {
            tracing::warn!(%workspace, dropped, "too many pending deliveries; dropped the oldest");
        }
        for workspace in self.due_workspaces(now)? {
            if let Err(error) = self.visit(workspace, now) {
                self.revisit_at(workspace, now.plus(PAUSE));
                tracing::warn!(%workspace, %error, "checking a workspace's webhooks failed; it is retried");
            }
        }
        Ok(())
    }

    /// The workspaces that may have due deliveries. At the start and with a new placement, all that have webhooks.
    fn due_workspaces(&self, now: Timestamp) -> Result<HashSet<Uuid>> {
        let mut visit = self.instance.node.pending.take();
        let placement = self.instance.placement_version();
        let has_begun = {
            let mut state = self.state();
            let before = (state.has_begun, state.placement);
            (state.has_begun, state.placement) = (true, placement);
            before == (true, placement)
        };
        let central = &self.instance.central;
        let announced = if has_begun { central.announced_deliveries() } else { central.webhook_workspaces() };
        let announced = match announced {
            Ok(announced) => announced,
            Err(error) => {
                self.state().has_begun = has_begun;
                visit.iter().for_each(|workspace| self.instance.node.pending.add(*workspace));
                return Err(error);
            }
        };
        // Other nodes visit theirs.
        let announced: Vec<Uuid> = announced.into_iter().filter(|id| self.instance.serves(*id)).collect();
        visit.extend(&announced);
        let mut state = self.state();
        // A due time beyond the longest back-off means that the clock was set back.
        let is_due = |at: Timestamp| at <= now || at > now.plus(webhook_deliveries::LONGEST_WAIT);
        visit.extend(state.due.iter().filter(|(_, at)| is_due(**at)).map(|(workspace, _)| *workspace));
        state.due.retain(|workspace, _| !visit.contains(workspace));
        state.resting.retain(|_, until| *until > now && *until <= now.plus(PAUSE));
        drop(state);
        if !announced.is_empty() {
            central.take_announced(announced)?;
        }
        Ok(visit)
    }

    /// Checks a workspace in a write turn, because that comes after the commit that announced it (see
    /// `PendingDeliveries`). Nothing is written, so nothing is synced.
    fn visit(self: &Arc<Self>, workspace: Uuid, now: Timestamp) -> Result<()> {
        if !self.instance.serves(workspace) {
            return Ok(());
        }
        if require_active(self.instance.directory.current(&self.instance.keys)?.by_id(workspace)?).is_err() {
            return Ok(());
        }
        let lease = self.instance.registry.lease(workspace);
        let (webhooks, next) =
            lease.file().write(move |db| Ok::<_, Error>(webhook_deliveries::due_webhooks(db, now)?))?;
        drop(lease);
        if let Some(next) = next {
            self.revisit_at(workspace, next);
        }
        if webhooks.is_empty() {
            return Ok(());
        }
        let owner = self.instance.central.workspace_owner(workspace)?;
        for webhook in webhooks {
            self.start_delivery(workspace, owner, webhook, now);
        }
        Ok(())
    }

    fn start_delivery(self: &Arc<Self>, workspace: Uuid, owner: i64, webhook: i64, now: Timestamp) {
        let mut state = self.state();
        if let Some(until) = state.resting.get(&(workspace, webhook)).copied() {
            drop(state);
            return self.revisit_at(workspace, until);
        }
        // A busy webhook is checked again when it is done.
        if state.busy.contains_key(&(workspace, webhook)) {
            return;
        }
        if state.busy.values().filter(|busy| **busy == owner).count() >= OF_ONE_OWNER {
            drop(state);
            return self.revisit_at(workspace, now.plus(NO_ROOM));
        }
        state.busy.insert((workspace, webhook), owner);
        drop(state);
        let inside = Arc::clone(self);
        self.threads.run(move || {
            let done = inside.instance.supervisor.run("webhooks", || inside.deliver(workspace, webhook, now));
            let failed = !matches!(done, Ok(Ok(true)));
            if let Ok(Err(error)) = &done {
                tracing::warn!(%workspace, webhook, %error, "posting to a webhook failed; it is retried");
            }
            let mut state = inside.state();
            state.busy.remove(&(workspace, webhook));
            if failed {
                state.resting.insert((workspace, webhook), (inside.clock)().plus(PAUSE));
            }
            drop(state);
            inside.instance.node.pending.add(workspace);
        });
    }

    /// Posts the due messages of a webhook, oldest first, up to `IN_A_TURN`, so that others get the thread. Returns
    /// whether the receiver was reached.
    fn deliver(&self, workspace: Uuid, webhook: i64, now: Timestamp) -> Result<bool> {
        for _ in 0..IN_A_TURN {
            let lease = self.instance.registry.lease(workspace);
            let due = lease.file().read(move |db| Ok::<_, Error>(webhook_deliveries::next_due(db, webhook, now)?))?;
            drop(lease);
            let Some(due) = due else { return Ok(true) };
            let at = (self.clock)();
            let outcome = self.post(&due, at);
            self.instance.metrics.posted(if outcome.error.is_none() { "delivered" } else { "failed" });
            tracing::debug!(%workspace, webhook, delivery = due.id, status = outcome.status, "posted to a webhook");
            let reached = outcome.status.is_some();
            let recorder = self.instance.system_recorder(workspace, at);
            let lease = self.instance.registry.lease(workspace);
            lease.file().write(move |db| {
                webhook_deliveries::record_outcome(db, due.id, &outcome, at)?;
                if outcome.status == Some(GONE) {
                    webhooks::deactivate(db, &recorder, webhook)?;
                    webhook_deliveries::give_up(db, webhook, "the webhook was switched off")?;
                }
                Ok::<_, Error>(())
            })?;
            if !reached {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn post(&self, due: &Due, at: Timestamp) -> DeliveryOutcome {
        match self.try_post(due, at) {
            Ok((status, body)) => {
                let error = (!(200..300).contains(&status)).then(|| format!("the receiver responded {status}"));
                DeliveryOutcome { status: Some(status), body: Some(body), error }
            }
            Err(error) => DeliveryOutcome { error: Some(format!("{error:#}")), ..DeliveryOutcome::default() },
        }
    }

    fn try_post(&self, due: &Due, at: Timestamp) -> anyhow::Result<(u16, String)> {
        let seconds = at.seconds();
        let request = self
            .agent()
            .post(web_url::request_form(&due.url).context("a request cannot be sent to this address")?)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &due.message_id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", due.secret.sign(&due.message_id, seconds, &due.body)?);
        let mut answer = request.send(&due.body)?;
        let mut begins = Vec::new();
        let read = io::Read::take(answer.body_mut().as_reader(), KEPT_OF_ANSWER as u64);
        // A partial body is enough: the status already says whether the message was accepted.
        let _ = io::Read::read_to_end(&mut { read }, &mut begins);
        Ok((answer.status().as_u16(), text(&begins).unwrap_or_default().to_owned()))
    }

    /// Created with the first message, so that a server without webhooks need not read the system's certificates.
    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| agent(self.instance.config.private_webhooks))
    }

    fn revisit_at(&self, workspace: Uuid, at: Timestamp) {
        let mut state = self.state();
        state.due.entry(workspace).and_modify(|due| *due = (*due).min(at)).or_insert(at);
    }

    fn state(&self) -> MutexGuard<'_, SenderState> {
        self.state.lock()
    }
}

/// A client that posts messages. `private` allows addresses inside the server's own network.
pub(super) fn agent(private: bool) -> Agent {
    // Redirects are reported to the webhook's owner instead of followed.
    guarded_agent(agent_config(system_roots()).timeout_global(Some(PATIENCE)), private)
}

/// The start of a response, if it is text; other content is not shown. A character that was cut off is omitted.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(cut) if cut.error_len().is_none() => str::from_utf8(&bytes[..cut.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_text = |letter: char| !letter.is_control() || letter.is_ascii_whitespace();
    text.chars().all(is_text).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::channel;
    use std::thread;

    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{TestClient, TestServer};

    /// A receiver that accepts every connection and passes it on.
    fn receiver(taken: impl Fn(TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || listener.incoming().flatten().for_each(taken));
        url
    }

    /// Creates a workspace with its owner, and a client for it.
    fn workspace<'b>(server: &'b TestServer, owner: &TestClient<'_>, subdomain: &str) -> TestClient<'b> {
        let made = owner.post("/workspaces", json!({"name": subdomain, "subdomain": subdomain})).created();
        let entered: Value = owner.post("/switch-to", json!({"workspace_id": made["id"]})).ok();
        server.anonymous().signed_in(&entered).at(&format!("{subdomain}.localhost"))
    }

    #[test]
    fn receivers_of_one_owner_that_never_answer_leave_room_to_those_of_others() {
        let server = TestServer::with(&[("private_webhooks", "true")]);
        let (held, holds) = channel();
        let silent = receiver(move |stream| drop(held.send(stream)));
        let webhook = |client: &TestClient<'_>, url: &str| {
            client.post("/webhooks", json!({"url": url, "events": ["customer.created"]})).created();
        };
        let hostile: Vec<TestClient<'_>> =
            (0..5).map(|n| workspace(&server, &server.central(), &format!("hostile-{n}"))).collect();
        for client in &hostile {
            (0..4).for_each(|_| webhook(client, &silent));
            client.post("/customers", json!({"name": "Flood"})).created();
        }
        let courier = WebhookSender::start(Arc::clone(&server.instance), Timestamp::now).unwrap();
        courier.round(Timestamp::now()).unwrap();
        let first: Vec<TcpStream> = holds.iter().take(OF_ONE_OWNER).collect();

        let (read_bodies, received) = channel();
        let answers = receiver(move |mut stream| {
            let mut head = [0; 1024];
            let read = stream.read(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            let _ = read_bodies.send(read);
        });
        let quiet = workspace(&server, &server.stranger(), "quiet");
        webhook(&quiet, &answers);
        quiet.post("/customers", json!({"name": "Ada"})).created();
        courier.round(Timestamp::now()).unwrap();
        assert!(received.recv_timeout(PATIENCE).is_ok(), "the other owner's message waits behind the silent ones");
        assert!(holds.try_recv().is_err(), "more than {OF_ONE_OWNER} messages of one owner are on their way");
        drop(first);
    }

    #[test]
    fn of_an_answer_text_alone_is_kept() {
        assert_eq!(text("Été\n{}".as_bytes()), Some("Été\n{}"));
        assert_eq!(text(&"Été".as_bytes()[..4]), Some("Ét"));
        for other in [&b"\x89PNG\r\n\x1a\n"[..], b"a\0b", b"\x1b[31m", b"caf\xe9 noir"] {
            assert_eq!(text(other), None, "{other:?}");
        }
    }
}

//! Streams of Server-Sent Events. One task for each workspace with streams, its feed, reads new entries of the audit log
//! and new ringing calls, and hands them to all streams of the workspace. A stream sends what its caller may see.
//!
//! A stream holds no turn, thread or lease. Its memory is bounded: 64 events wait for a slow reader.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use parking_lot::Mutex;
use rusqlite::Connection;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use uuid::Uuid;

use super::dispatch;
use super::response_body::{self, Outgoing, StreamAborted};
use crate::api::request::principal_of;
use crate::api::{Error, EventPosition, Request, Result, require_active};
use crate::auth::Credential;
use crate::instance::Instance;
use crate::storage::File;
use crate::tenancy::RingingCall;
use crate::values::{Timestamp, json};
use crate::workspace::events::{self, ChangeEvent, StreamAudience};

/// Maximum open streams: of a credential, of a workspace, and in total.
const MOST_OF_CREDENTIAL: usize = 4;
const MOST_OF_WORKSPACE: usize = 256;
const MOST: usize = 4096;

/// Seconds after which a refused client may try again.
const TRY_AGAIN: i64 = 30;

/// Events that wait for a slow reader. Beyond them it gets `reset`.
const MOST_WAITING: usize = 64;

/// A feed looks for changes at least this often, because commands and other processes change workspaces too.
const POLL: Duration = Duration::from_secs(2);

/// Pause after a signal, so that many commits are read at once.
const GATHER: Duration = Duration::from_millis(50);

/// Interval in which a stream sends a comment and its credential is checked.
const CHECK: Duration = Duration::from_secs(10);

/// A reader that takes nothing for so long is disconnected.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// A stream ends after this time. The client connects again and resumes.
const LONGEST: Duration = Duration::from_secs(3600);

/// A new stream gets the calls of the last seconds.
const RECENT_CALLS: i64 = 30;

/// The first line: a client whose stream ends waits this many milliseconds before it connects again.
const RETRY: &str = "retry: 3000\n\n";

const COMMENT: &str = ":\n\n";

pub struct EventStreams {
    instance: Arc<Instance>,
    stopping: watch::Receiver<bool>,
    open: Mutex<OpenStreams>,
}

#[derive(Default)]
struct OpenStreams {
    total: usize,
    workspaces: HashMap<Uuid, WorkspaceStreams>,
}

struct WorkspaceStreams {
    feed: broadcast::Sender<Event>,
    /// Open streams by credential.
    credentials: HashMap<CredentialId, usize>,
}

/// Identifies a credential among those of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CredentialId {
    Token(i64),
    Grant(i64),
    Key([u8; 32]),
}

/// An event, as a feed hands it to all streams.
#[derive(Clone)]
enum Event {
    Change(Arc<ChangeEvent>),
    Ring(Arc<RingingCall>),
    /// More changes at once than a stream sends. Contains the id of the newest.
    TooMany(i64),
}

/// Permission for one open stream, returned on drop.
struct StreamPermit {
    streams: Arc<EventStreams>,
    workspace: Uuid,
    credential: CredentialId,
}

impl EventStreams {
    pub fn new(instance: Arc<Instance>, stopping: watch::Receiver<bool>) -> Self {
        Self { instance, stopping, open: Mutex::default() }
    }

    /// Opens a stream for the caller of the request. It ends when `dropped` resolves: then the client is gone.
    pub fn open(
        self: &Arc<Self>,
        request: &Request,
        position: EventPosition,
        dropped: oneshot::Receiver<()>,
    ) -> Result<Outgoing> {
        let workspace = request.workspace()?.id();
        let credential = request.credential.clone();
        let id = credential_id(&credential)?;
        let events = self.subscribe(workspace, id, position.newest)?;
        let permit = StreamPermit { streams: Arc::clone(self), workspace, credential: id };
        let (sender, channel) = Channel::new(1);
        let stream = Stream {
            permit,
            credential,
            events,
            stopping: self.stopping.clone(),
            last: position.after,
            last_ring: 0,
            sender,
        };
        tokio::spawn(stream.run(position, dropped));
        Ok(response_body::streamed(channel))
    }

    /// Counts a new stream and subscribes it to the workspace's feed. The first stream starts the feed.
    fn subscribe(
        self: &Arc<Self>,
        workspace: Uuid,
        credential: CredentialId,
        newest: i64,
    ) -> Result<broadcast::Receiver<Event>> {
        let open = &mut *self.open.lock();
        let known = open.workspaces.get(&workspace);
        let of_workspace = known.map_or(0, |known| known.credentials.values().sum());
        let of_credential = known.and_then(|known| known.credentials.get(&credential)).copied().unwrap_or_default();
        if open.total >= MOST || of_workspace >= MOST_OF_WORKSPACE || of_credential >= MOST_OF_CREDENTIAL {
            return Err(Error::TooManyStreams(TRY_AGAIN));
        }
        open.total += 1;
        let streams = open.workspaces.entry(workspace).or_insert_with(|| {
            let feed = broadcast::Sender::new(MOST_WAITING);
            tokio::spawn(Feed::start(self, workspace, feed.clone(), newest).run());
            WorkspaceStreams { feed, credentials: HashMap::new() }
        });
        *streams.credentials.entry(credential).or_default() += 1;
        Ok(streams.feed.subscribe())
    }

    /// Ends the feed of a workspace without streams. Returns whether it has ended.
    fn ends(&self, workspace: Uuid) -> bool {
        let mut open = self.open.lock();
        let is_unused = open.workspaces.get(&workspace).is_none_or(|streams| streams.credentials.is_empty());
        if is_unused {
            open.workspaces.remove(&workspace);
            self.instance.node.stream_signals.forget(workspace);
        }
        is_unused
    }

    /// Reads in a turn of a workspace in service. Holds its lease only until then.
    async fn read<T: Send + 'static>(
        &self,
        workspace: Uuid,
        work: impl FnMut(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let instance = &self.instance;
        require_active(instance.directory.current(&instance.keys)?.by_id(workspace)?)?;
        let lease = instance.registry.lease(workspace);
        dispatch::turn(lease.file(), instance.config.turn_timeout, File::submit_read, work).await
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let open = &mut *self.streams.open.lock();
        open.total -= 1;
        let Some(streams) = open.workspaces.get_mut(&self.workspace) else { return };
        let left = streams.credentials.get_mut(&self.credential).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            streams.credentials.remove(&self.credential);
        }
    }
}

fn credential_id(credential: &Credential) -> Result<CredentialId> {
    match credential {
        Credential::Token(token) | Credential::Session(token) => Ok(CredentialId::Token(token.id)),
        Credential::Client(token) => Ok(CredentialId::Grant(token.grant_id)),
        Credential::Key(digest) => Ok(CredentialId::Key(*digest)),
        Credential::CallFlow(_) | Credential::None => Err(Error::lookup_only()),
    }
}

/// Reads the news of a workspace as long as it has streams.
struct Feed {
    streams: Arc<EventStreams>,
    workspace: Uuid,
    events: broadcast::Sender<Event>,
    news: Arc<Notify>,
    last: i64,
    last_ring: u64,
}

impl Feed {
    /// A feed of what comes after an entry of the audit log.
    fn start(streams: &Arc<EventStreams>, workspace: Uuid, events: broadcast::Sender<Event>, last: i64) -> Self {
        let (news, node) = (Arc::new(Notify::new()), &streams.instance.node);
        let signal = Arc::clone(&news);
        node.stream_signals.watch(workspace, move || signal.notify_one());
        let last_ring = node.ringing_calls.last_id();
        Self { streams: Arc::clone(streams), workspace, events, news, last, last_ring }
    }

    async fn run(mut self) {
        let mut stopping = self.streams.stopping.clone();
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                _ = stopping.changed() => return,
            }
            if self.streams.ends(self.workspace) {
                return;
            }
            self.send_ringing_calls();
            self.send_changes().await;
            tokio::time::sleep(GATHER).await;
        }
    }

    fn send_ringing_calls(&mut self) {
        for call in self.streams.instance.node.ringing_calls.after(self.workspace, self.last_ring) {
            self.last_ring = call.id;
            // Fails only if the last stream has just ended.
            let _ = self.events.send(Event::Ring(Arc::new(call)));
        }
    }

    /// A workspace that cannot be read now is read again after the next signal.
    async fn send_changes(&mut self) {
        let last = self.last;
        let Ok(changes) = self.streams.read(self.workspace, move |db| events::changes_after(db, last)).await else {
            return;
        };
        if changes.len() > usize::from(events::MOST_MISSED) {
            let Ok(newest) = self.streams.read(self.workspace, events::newest_entry).await else { return };
            self.last = newest;
            let _ = self.events.send(Event::TooMany(newest));
            return;
        }
        for change in changes {
            self.last = change.id;
            let _ = self.events.send(Event::Change(Arc::new(change)));
        }
    }
}

/// One stream.
struct Stream {
    permit: StreamPermit,
    credential: Credential,
    events: broadcast::Receiver<Event>,
    stopping: watch::Receiver<bool>,
    /// The last entry of the audit log that was sent, or that the caller may not see.
    last: i64,
    last_ring: u64,
    sender: Sender<Bytes, StreamAborted>,
}

/// The client is gone, or takes nothing.
struct ReaderGone;

impl Stream {
    /// Runs until the session or the stream ends, or `dropped` resolves.
    async fn run(mut self, position: EventPosition, dropped: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.send_all(position) => {}
            _ = dropped => {}
        }
    }

    async fn send_all(&mut self, position: EventPosition) {
        // What lives only before the stream runs is boxed.
        let ended = match Box::pin(self.begin(position)).await {
            Ok(audience) => self.follow(audience).await,
            Err(ended) => Err(ended),
        };
        // A client that is not told connects again.
        if let Ok(()) = ended {
            let _ = self.send(event("bye", None, &serde_json::json!({}))).await;
        }
    }

    /// Sends what was missed, and the calls that ring. Changes that the feed reads meanwhile wait, and are not sent twice.
    async fn begin(&mut self, position: EventPosition) -> Result<StreamAudience, ReaderGone> {
        self.send(RETRY.to_owned()).await?;
        let Ok(audience) = self.audience().await else { return Err(ReaderGone) };
        let after = position.after;
        let streams = Arc::clone(&self.permit.streams);
        let missed = match after > position.newest {
            // The client saw entries of a file that was replaced since.
            true => None,
            false => {
                let missed = streams.read(self.permit.workspace, move |db| events::changes_after(db, after)).await;
                Some(missed.map_err(|_| ReaderGone)?).filter(|missed| missed.len() <= usize::from(events::MOST_MISSED))
            }
        };
        match missed {
            Some(missed) => {
                for change in missed {
                    self.send_change(&audience, &change).await?;
                }
            }
            None => self.reset(position.newest).await?,
        }
        let now = Timestamp::now();
        for call in streams.instance.node.ringing_calls.recent(self.permit.workspace, RECENT_CALLS, now) {
            self.send_ring(&audience, &call).await?;
        }
        Ok(audience)
    }

    /// Sends events until the session ends, which is `Ok`, or the stream.
    async fn follow(&mut self, mut audience: StreamAudience) -> Result<(), ReaderGone> {
        let mut checks = checks();
        let end = tokio::time::sleep(LONGEST);
        tokio::pin!(end);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(Event::Change(change)) => self.send_change(&audience, &change).await?,
                    Ok(Event::Ring(call)) => self.send_ring(&audience, &call).await?,
                    Ok(Event::TooMany(newest)) if newest > self.last => self.reset(newest).await?,
                    Ok(Event::TooMany(_)) => {}
                    Err(RecvError::Lagged(_)) => self.reset(self.last).await?,
                    Err(RecvError::Closed) => return Err(ReaderGone),
                },
                _ = checks.tick() => {
                    match self.audience().await {
                        Ok(present) => audience = present,
                        // Nothing is known of the caller now. The next check will know.
                        Err(Error::Overloaded | Error::TooSlow) => {}
                        // Another node serves the workspace, or soon will. The client connects again.
                        Err(Error::Elsewhere(_) | Error::Standby) => return Err(ReaderGone),
                        Err(_) => return Ok(()),
                    }
                    self.send(COMMENT.to_owned()).await?;
                }
                _ = self.stopping.changed() => return Err(ReaderGone),
                () = &mut end => return Err(ReaderGone),
            }
        }
    }

    /// The caller as of now. Fails if the credential is no longer valid.
    async fn audience(&mut self) -> Result<StreamAudience> {
        let (instance, now) = (&self.permit.streams.instance, Timestamp::now());
        if !instance.may_serve() {
            return Err(Error::Standby);
        }
        if let Credential::Token(token) | Credential::Session(token) = &mut self.credential {
            let present = instance.directory.current(&instance.keys)?.still_valid(token, now)?;
            *token = Arc::new(present.ok_or(Error::Token(crate::auth::TokenFault::Revoked))?);
        }
        let credential = self.credential.clone();
        let read = move |db: &Connection| StreamAudience::of(db, &principal_of(&credential, db, now)?);
        self.permit.streams.read(self.permit.workspace, read).await
    }

    async fn send_change(&mut self, audience: &StreamAudience, change: &ChangeEvent) -> Result<(), ReaderGone> {
        if change.id <= self.last {
            return Ok(());
        }
        self.last = change.id;
        if audience.sees(change) { self.send(event("changed", Some(change.id), change)).await } else { Ok(()) }
    }

    async fn send_ring(&mut self, audience: &StreamAudience, call: &RingingCall) -> Result<(), ReaderGone> {
        if call.id <= self.last_ring {
            return Ok(());
        }
        self.last_ring = call.id;
        match audience.ring(call) {
            Some(ring) => self.send(event("ring", None, &ring)).await,
            None => Ok(()),
        }
    }

    async fn reset(&mut self, newest: i64) -> Result<(), ReaderGone> {
        self.last = newest;
        self.send(event("reset", Some(newest), &serde_json::json!({}))).await
    }

    async fn send(&mut self, text: String) -> Result<(), ReaderGone> {
        match tokio::time::timeout(READER_PATIENCE, self.sender.send_data(Bytes::from(text))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(ReaderGone),
        }
    }
}

fn checks() -> Interval {
    let mut checks = tokio::time::interval_at(Instant::now() + CHECK, CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks
}

/// An event in the format of a stream.
fn event(name: &str, id: Option<i64>, data: &impl Serialize) -> String {
    let data = json::to_string(data).unwrap_or_default();
    match id {
        Some(id) => format!("event: {name}\nid: {id}\ndata: {data}\n\n"),
        None => format!("event: {name}\ndata: {data}\n\n"),
    }
}

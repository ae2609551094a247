//! The async front end: accepts connections, reads requests, waits for turns, shuts down. Only this module uses hyper
//! and tokio. The modules below it define how requests are handled.

mod acme_client;
mod acme_proofs;
mod address;
mod admission;
mod certificate_orders;
mod cors;
mod counted_stream;
mod dispatch;
mod dns_hook;
mod event_streams;
mod file_certificate;
mod forwarded;
mod forwarding;
mod host_certificates;
mod http_connection;
mod listener;
mod log;
mod log_format;
mod log_writer;
mod metrics_page;
mod multipart;
mod node_requests;
mod node_server;
mod operations;
#[cfg(test)]
mod reader_fuzz;
mod response_body;
mod service;
mod standby;
mod strict_http1;
mod tls;

use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::api::Router;
use crate::auth::NodeKey;
use crate::cluster::{NodeNotifier, NodeServer};
use crate::config::{Config, RawSettings, Registration, Reloaded};
use crate::instance::Instance;
use crate::jobs::{self, Jobs};
use crate::outgoing::root_certificates;
use crate::storage::STACK;
use crate::tenancy::temp_dir;
use listener::{BoundSockets, Listener};
pub use log::start as start_log;
use node_server::InstanceNode;
pub use operations::OPERATIONS;
pub use service::Service;
use tls::Tls;

/// The main listener.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    pub scheme: &'static str,
    pub address: SocketAddr,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)
    }
}

/// The sockets and the certificate of a server. They are opened before the data directory, so that a taken port or an
/// unreadable certificate leaves no new data directory behind.
pub struct Front {
    listeners: BoundSockets,
    tls: Option<Arc<Tls>>,
    runtime: Runtime,
    /// The secret of the nodes, if several serve.
    node_key: Option<NodeKey>,
    /// Registered early, so that SIGHUP never ends the server.
    hangup: Signal,
}

/// The source of the settings, read at the start and at each SIGHUP.
pub struct ConfigSource {
    /// The values in force.
    pub typed: RawSettings,
    /// Reads all settings again.
    pub read: Box<dyn Fn() -> anyhow::Result<RawSettings> + Send + Sync>,
}

impl Front {
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let tls = Tls::open(config).context("cannot set up TLS")?;
        let node_key = config.node.as_ref().map(|node| NodeKey::open(&node.secret_file)).transpose()?;
        if let Some(root) = config.node.as_ref().and_then(|node| node.root.as_deref()) {
            root_certificates("node_root", Some(root))?;
        }
        let listeners = BoundSockets::open(config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build()?;
        let hangup = {
            let _within = runtime.enter();
            signal(SignalKind::hangup())?
        };
        Ok(Self { listeners, tls, runtime, node_key, hangup })
    }

    /// Rejects every request until `ready` returns something, asked in intervals.
    pub fn stand_by<T>(
        &self,
        interval: Duration,
        mut ready: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let rejecting = self.runtime.spawn(standby::reject_all(self.listeners.main()?, self.tls.clone()));
        tell_systemd(&[NotifyState::Ready, NotifyState::Status("standing by")]);
        loop {
            std::thread::sleep(interval);
            if let Some(ready) = ready()? {
                rejecting.abort();
                return Ok(ready);
            }
        }
    }
}

/// Serves until a signal to stop, then lets running requests finish and closes everything. Calls `ready` once
/// connections are accepted. `_lock` is the lock of the data directory.
pub fn run(
    instance: Arc<Instance>,
    front: Front,
    _lock: File,
    source: ConfigSource,
    router: Router,
    ready: impl FnOnce(Listening),
) -> anyhow::Result<()> {
    temp_dir::delete_abandoned(&instance.config.data_dir)?;
    allow_for_files(&instance)?;
    let Front { listeners, tls, runtime, node_key, hangup } = front;
    let _node = node_key.clone().map(|key| node_server(&instance, key)).transpose()?.flatten();
    let jobs = Jobs::start(Arc::clone(&instance))?;
    let mut service = Service::new(Arc::clone(&instance), Arc::new(router));
    if let (Some(key), Some(log)) = (node_key, &instance.store_log) {
        service = service.among_nodes(key, Arc::clone(log) as _);
    }
    let service = Arc::new(service);
    let reload = Reload { instance: Arc::clone(&instance), tls: tls.clone(), source: Arc::new(Mutex::new(source)) };
    let told_to_stop = runtime.block_on(listen(service, listeners, tls, (hangup, reload), ready))?;
    // Running requests have had `shutdown_timeout` to finish.
    runtime.shutdown_timeout(Duration::from_millis(100));
    close(&instance, jobs, instance.config.shutdown_timeout.saturating_sub(told_to_stop.elapsed()))
}

/// The part of the server that works with other nodes, if several serve the instance.
fn node_server(instance: &Arc<Instance>, key: NodeKey) -> anyhow::Result<Option<Arc<dyn NodeServer>>> {
    let Some(log) = &instance.store_log else { return Ok(None) };
    let Some(nodes) = log.nodes() else { return Ok(None) };
    let root = instance.config.node.as_ref().and_then(|node| node.root.clone());
    let notifier = NodeNotifier::new(key, instance.config.node_name.clone(), root);
    let server = InstanceNode { instance: Arc::clone(instance), notifier, failed_log: Mutex::default() };
    let server: Arc<dyn NodeServer> = Arc::new(server);
    nodes.serve(Arc::downgrade(&server));
    log.announce()?;
    Ok(Some(server))
}

/// Descriptors of an open workspace: the database, its WAL, the WAL index, and usually one reader's two.
const FILES_OF_A_WORKSPACE: u64 = 5;

/// Raises the limit of open files as far as the operating system allows. Workspaces may use three quarters of the
/// limit; the rest is for connections.
fn allow_for_files(instance: &Instance) -> anyhow::Result<()> {
    let allowed = raise_open_files().context("cannot raise the limit of open files")?;
    tracing::debug!(allowed, "limit of open files");
    let room = usize::try_from(allowed / 4 * 3 / FILES_OF_A_WORKSPACE).unwrap_or(usize::MAX);
    if room < instance.config.max_open_workspaces {
        tracing::warn!(
            allowed,
            "keeping at most {room} workspaces open: raise the limit of open files (LimitNOFILE, ulimit -n)"
        );
        instance.registry.set_max_open(room);
    }
    Ok(())
}

/// Raises the limit of open files to the highest that the operating system allows, and returns that limit.
fn raise_open_files() -> std::io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Accepts connections until a signal, then lets the open ones finish. Returns the time of the signal.
async fn listen(
    service: Arc<Service>,
    listeners: BoundSockets,
    tls: Option<Arc<Tls>>,
    (mut hangup, reload): (Signal, Reload),
    ready: impl FnOnce(Listening),
) -> anyhow::Result<Instant> {
    let instance = service.instance();
    let config = &instance.config;
    let mut door = Listener::new(listeners, config, &instance.metrics)?;
    let address = door.address()?;
    instance.listens_on(address);
    if !address.ip().is_loopback() && config.registration == Registration::Open {
        tracing::warn!(%address, "registration is open to anyone who can reach this address; see --registration");
    }
    let serve = |entrant, open| http_connection::serve(entrant, &service, tls.as_ref(), open);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    if let Some(tls) = &tls {
        tls.start(instance)?;
    }
    let listening = Listening { scheme: config.scheme(), address };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data = %config.data_dir.display(),
        settings = config.settings_file.as_ref().map_or_else(|| "none".into(), |path| path.display().to_string()),
        %listening,
        central = config.central_domain,
        workspaces = format!("*.{}", config.central_domain),
        "cx-engine started"
    );
    ready(listening);
    tell_systemd(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {listening}"))]);

    // Each connection holds a sender, so the channel closes with the last connection.
    let (open, mut all_gone) = mpsc::channel::<()>(1);
    loop {
        tokio::select! {
            entrant = door.next() => serve(entrant, Some(open.clone())),
            _ = hangup.recv() => reload.begin(),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let told_to_stop = Instant::now();
    tracing::info!("stopping: running requests finish, new ones are rejected");
    tell_systemd(&[NotifyState::Stopping, NotifyState::Status("running requests finish, new ones are rejected")]);
    service.stop();
    drop(open);
    let last = tokio::time::sleep(config.shutdown_timeout);
    tokio::pin!(last);
    loop {
        tokio::select! {
            entrant = door.next() => serve(entrant, None),
            _ = all_gone.recv() => break,
            () = &mut last => {
                tracing::warn!("some requests did not finish in time");
                break;
            }
        }
    }
    Ok(told_to_stop)
}

/// Serves on a free port, for tests, as long as the runtime lives.
#[cfg(test)]
pub fn serve_for_test(service: &Arc<Service>, config: &Config) -> anyhow::Result<(SocketAddr, Runtime)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let within = runtime.enter();
    let mut door = Listener::new(BoundSockets::open(config)?, config, &service.instance().metrics)?;
    let address = door.address()?;
    drop(within);
    let service = Arc::clone(service);
    runtime.spawn(async move {
        loop {
            http_connection::serve(door.next().await, &service, None, None);
        }
    });
    Ok((address, runtime))
}

/// Handles SIGHUP: reads the settings and the certificate again, and logs the result.
#[derive(Clone)]
struct Reload {
    instance: Arc<Instance>,
    tls: Option<Arc<Tls>>,
    source: Arc<Mutex<ConfigSource>>,
}

impl Reload {
    /// Runs on another thread, because it reads files.
    fn begin(&self) {
        let reload = self.clone();
        self.instance.executors.blocking.run(move || reload.run());
    }

    fn run(&self) {
        if let Some(tls) = &self.tls {
            tls.reload();
        }
        let mut source = self.source.lock();
        let reloaded = (source.read)().and_then(|new| Reloaded::new(&source.typed, &new));
        match reloaded {
            Ok(Reloaded { config, typed, applied, need_restart }) => {
                source.typed = typed;
                if !applied.is_empty() {
                    log::set_filter(&config.log);
                    self.instance.replace_config(config);
                }
                let (applied, need_restart) = (listed(&applied), listed(&need_restart));
                tracing::warn!(applied, need_restart, "the settings were reloaded");
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the settings cannot be reloaded; the old ones stay in force"
                );
            }
        }
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Notifies systemd of the service's state (`Type=notify`).
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

fn close(instance: &Instance, jobs: Jobs, left: Duration) -> anyhow::Result<()> {
    if let Some(log) = instance.store_log.as_ref().filter(|log| log.trouble().is_some()) {
        // Jobs wait for the store, which does not respond. What they wrote is stored at the next start.
        log.stop(Duration::ZERO);
    }
    jobs.stop();
    if let Err(error) = jobs::write_uses(instance) {
        tracing::warn!(%error, "cannot save the last uses of tokens");
    }
    if let Some(log) = &instance.store_log {
        log.stop(left);
    }
    if let Err(error) = instance.registry.close_all(left) {
        tracing::warn!(%error, "a workspace was not closed; its WAL is recovered at the next start");
    }
    if let Err(error) = instance.central.file().checkpoint() {
        tracing::warn!(%error, "the WAL of the central file was not checkpointed; it is recovered at the next start");
    }
    tracing::info!("stopped");
    Ok(())
}

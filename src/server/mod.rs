//! The async front: accepts connections, reads requests, waits for turns, shuts down. The only room that knows hyper
//! and tokio; what a request means is said elsewhere.

mod body;
mod connection;
mod door;
mod forwarded;
#[cfg(test)]
mod fuzz;
mod heads;
mod log;
mod log_format;
mod log_writer;
mod metrics;
mod service;
mod tls;
mod turn;
mod wire;

use std::fmt;
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
use crate::config::{Config, Registration, Reloaded, Typed};
use crate::engine::Engine;
use crate::jobs::{self, Jobs};
use crate::storage::STACK;
use crate::tenancy::scratch;
use door::{Door, Listeners};
pub use log::start as start_log;
pub use service::Service;
use tls::Tls;

/// Where connections are accepted.
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

/// The sockets and the certificate of a server. They come before its data directory: where a port is taken, or a certificate
/// cannot be read, no new data directory is left behind.
pub struct Front {
    listeners: Listeners,
    tls: Option<Arc<Tls>>,
    runtime: Runtime,
    /// Caught from here on: SIGHUP never ends the server.
    hangup: Signal,
}

/// Where settings are read from: once at the start, and again at each SIGHUP.
pub struct Source {
    /// The values in force.
    pub typed: Typed,
    /// Reads all of them again.
    pub read: Box<dyn Fn() -> anyhow::Result<Typed> + Send + Sync>,
}

impl Front {
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let tls = config.tls.as_ref().map(Tls::new).transpose().context("TLS cannot be spoken")?.map(Arc::new);
        let listeners = Listeners::open(config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build()?;
        let hangup = {
            let _within = runtime.enter();
            signal(SignalKind::hangup())?
        };
        Ok(Self { listeners, tls, runtime, hangup })
    }
}

/// Serves until it is told to stop; what was begun is then ended, and all that is open closed.
/// `ready` is told where, once connections are accepted.
pub fn run(
    engine: Arc<Engine>,
    front: Front,
    source: Source,
    router: Router,
    ready: impl FnOnce(Listening),
) -> anyhow::Result<()> {
    let _claim = engine.claim()?;
    scratch::clear(&engine.config.data_dir)?;
    allow_for_files(&engine)?;
    let jobs = Jobs::start(Arc::clone(&engine))?;
    let service = Arc::new(Service::new(Arc::clone(&engine), Arc::new(router)));
    let Front { listeners, tls, runtime, hangup } = front;
    let reload = Reload { engine: Arc::clone(&engine), tls: tls.clone(), source: Arc::new(Mutex::new(source)) };
    let told_to_stop = runtime.block_on(listen(service, listeners, tls, (hangup, reload), ready))?;
    // Whoever has not ended by now has had the time there was.
    runtime.shutdown_timeout(Duration::from_millis(100));
    close(&engine, jobs, engine.config.shutdown_timeout.saturating_sub(told_to_stop.elapsed()))
}

/// Files that an open workspace takes: its own, the log, the log's index, and as a rule no more than one reader's two.
const FILES_OF_A_WORKSPACE: u64 = 5;

/// Asks for as many open files as the operating system allows, and keeps no more workspaces open than three quarters of
/// them are enough for: the rest is for connections.
fn allow_for_files(engine: &Engine) -> anyhow::Result<()> {
    let allowed = raise_open_files().context("cannot ask how many files may be open")?;
    tracing::debug!(allowed, "files that may be open");
    let room = usize::try_from(allowed / 4 * 3 / FILES_OF_A_WORKSPACE).unwrap_or(usize::MAX);
    if room < engine.config.max_open_workspaces {
        tracing::warn!(
            allowed,
            "only {room} workspaces stay open: raise the limit of open files (LimitNOFILE, ulimit -n)"
        );
        engine.registry.keep_at_most(room);
    }
    Ok(())
}

/// Raises the limit of open files to the highest that the operating system allows, and answers it.
fn raise_open_files() -> std::io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Accepts connections until a signal, then sees the open ones out. Answers when the signal came.
async fn listen(
    service: Arc<Service>,
    listeners: Listeners,
    tls: Option<Arc<Tls>>,
    (mut hangup, reload): (Signal, Reload),
    ready: impl FnOnce(Listening),
) -> anyhow::Result<Instant> {
    let engine = service.engine();
    let config = &engine.config;
    let mut door = Door::new(listeners, config, &engine.meter)?;
    let address = door.address()?;
    engine.listens_on(address);
    if !address.ip().is_loopback() && config.registration == Registration::Open {
        tracing::warn!(%address, "registration is open to everybody who can reach this address; see --registration");
    }
    let serve = |entrant, open| connection::serve(entrant, &service, tls.as_ref(), open);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    if let Some(tls) = &tls {
        tls.keep_current(engine);
    }
    let listening = Listening { scheme: config.scheme(), address };
    // The one line that a start leaves in the log.
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

    // Each connection holds a sender; when the last has gone, so has the last connection.
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
    tracing::info!("told to stop: running requests end, new ones are refused");
    tell_systemd(&[NotifyState::Stopping, NotifyState::Status("running requests end, new ones are refused")]);
    service.stop();
    drop(open);
    let last = tokio::time::sleep(config.shutdown_timeout);
    tokio::pin!(last);
    loop {
        tokio::select! {
            entrant = door.next() => serve(entrant, None),
            _ = all_gone.recv() => break,
            () = &mut last => {
                tracing::warn!("some requests did not end in time");
                break;
            }
        }
    }
    Ok(told_to_stop)
}

/// What SIGHUP does: reads the settings and the certificate again, and says in the log what came of it.
#[derive(Clone)]
struct Reload {
    engine: Arc<Engine>,
    tls: Option<Arc<Tls>>,
    source: Arc<Mutex<Source>>,
}

impl Reload {
    /// On another thread, since it reads files.
    fn begin(&self) {
        let reload = self.clone();
        self.engine.executors.steps.run(move || reload.run());
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
                    self.engine.replace_config(config);
                }
                let (applied, need_restart) = (listed(&applied), listed(&need_restart));
                tracing::warn!(applied, need_restart, "the settings were read again");
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the settings cannot be used, and stay as they were");
            }
        }
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Tells systemd how the service is, where it wants to know (`Type=notify`).
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

fn close(engine: &Engine, jobs: Jobs, left: Duration) -> anyhow::Result<()> {
    jobs.stop();
    if let Err(error) = jobs::write_uses(engine) {
        tracing::warn!(%error, "the last uses of tokens were not written");
    }
    if let Err(error) = engine.registry.close_all(left) {
        tracing::warn!(%error, "a workspace was left open; its log is read at the next start");
    }
    if let Err(error) = engine.central.file().rest() {
        tracing::warn!(%error, "the central file's log was left beside it; it is read at the next start");
    }
    tracing::info!("stopped");
    Ok(())
}

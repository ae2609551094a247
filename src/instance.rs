//! An instance: an open data directory, with the state and threads that serve it. The server and each command have one.
//! Only the server also listens.

use std::fs::{self, File as Handle, TryLockError};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, bail, ensure};
use uuid::Uuid;

use crate::api::Error;
use crate::auth::{Keys, Passwords};
use crate::certificates::CertificateStore;
use crate::cluster::{self, CommandLog, NodeDirectory, StoreLog};
use crate::config::{Config, LiveConfig};
use crate::durable_fs;
use crate::executors::Executors;
use crate::metrics::Metrics;
use crate::node_state::NodeState;
use crate::storage::{self, CommitLog, File, FileKind, Limits, Storage, Supervisor, UpdateCopies};
use crate::tenancy::lifecycle::{self, Template};
use crate::tenancy::{self, Central, ChangeRecorder, Directory, InstanceRecord, InstanceTempDir, Pools, journal};
use crate::values::{Password, PublicUrl, Timestamp};

/// Threads for work on two files. Such work waits for turns in both files, so it must not run on the database threads.
const STEP_THREADS: usize = 4;

pub struct Instance {
    pub config: LiveConfig,
    /// The id, and whether the instance is a demo.
    pub record: InstanceRecord,
    /// Supervises every thread that lives as long as the process.
    pub supervisor: Arc<Supervisor>,
    storage: Arc<Storage>,
    pub central: Central,
    pub directory: Directory,
    pub registry: tenancy::Registry,
    pub template: Template,
    pub keys: Keys,
    pub passwords: Passwords,
    pub node: NodeState,
    pub metrics: Arc<Metrics>,
    pub executors: Executors,
    pub started_at: Timestamp,
    /// Keeps the commits of all files in a store, if one is set.
    pub store_log: Option<Arc<StoreLog>>,
    /// Which node serves what, if several serve. Set by the server.
    node_directory: OnceLock<Arc<dyn NodeDirectory>>,
    /// The certificates by ACME. Set by the server.
    certificates: OnceLock<Arc<CertificateStore>>,
    /// The address of the listener. The system may have chosen the port.
    listens: OnceLock<SocketAddr>,
}

impl Instance {
    /// Opens the instance in a data directory, or creates one.
    pub fn open_or_create(config: Config, now: Timestamp) -> anyhow::Result<Arc<Self>> {
        require_unshared(&config.data_dir)?;
        Self::open_with(config, false, None, now)
    }

    /// Opens or creates the instance of a server. The log keeps its commits in a store.
    pub fn open_to_serve(config: Config, log: Option<Arc<StoreLog>>, now: Timestamp) -> anyhow::Result<Arc<Self>> {
        Self::open_with(config, false, log, now)
    }

    /// Opens the instance in a data directory. If there is none, this fails and creates nothing: a mistyped path must
    /// not look like an empty instance.
    pub fn open(config: Config, now: Timestamp) -> anyhow::Result<Arc<Self>> {
        require_instance(&config.data_dir)?;
        require_unshared(&config.data_dir)?;
        Self::open_with(config, false, None, now)
    }

    /// Opens the instance in a data directory, for a command that only reads. Several nodes may serve it.
    pub fn open_to_read(config: Config, now: Timestamp) -> anyhow::Result<Arc<Self>> {
        require_instance(&config.data_dir)?;
        Self::open_with(config, false, None, now)
    }

    /// Opens or creates a demo. Rejects any other instance, because a demo's account has a published password.
    pub fn open_or_create_demo(config: Config, now: Timestamp) -> anyhow::Result<Arc<Self>> {
        let data = &config.data_dir;
        if data.join("central.sqlite").exists() {
            let record = InstanceRecord::of_data_dir(data);
            let record = record.with_context(|| format!("cannot read the central file in {}", data.display()))?;
            ensure!(
                record.is_some_and(|record| record.is_demo),
                "{} is an instance, but not a demo. A demo has an account with a published password, so it requires a \
                 data directory of its own: name a new one with --data-dir",
                data.display()
            );
        }
        Self::open_with(config, true, None, now)
    }

    fn open_with(
        config: Config,
        is_demo: bool,
        log: Option<Arc<StoreLog>>,
        now: Timestamp,
    ) -> anyhow::Result<Arc<Self>> {
        let data = &config.data_dir;
        durable_fs::create_folder(data)?;
        lifecycle::make_private(data)?;
        check_writable(data)?;
        for folder in ["workspaces", "trash", "copies", "imports"] {
            durable_fs::create_folder(&data.join(folder))?;
        }
        let path = data.join("central.sqlite");
        let keys = data.join("keys");
        // A new key could not decrypt existing tokens and stored idempotent responses.
        let keys = if path.exists() { Keys::reopen(&keys)? } else { Keys::open(&keys, now)? };
        let supervisor = log.as_ref().map(|log| Arc::clone(log.supervisor())).unwrap_or_default();
        let commit_log: Option<Arc<dyn CommitLog>> = match &log {
            Some(log) => Some(Arc::clone(log) as _),
            // A command leaves the store to the server.
            None if storage::is_stored(&path) => Some(Arc::new(CommandLog::new(data.clone()))),
            None => None,
        };
        let storage = Storage::start(
            config.database_threads,
            Limits {
                read_turns: config.read_turns,
                longest_lane: config.max_waiting,
                statement: config.statement_timeout,
            },
            &supervisor,
            commit_log,
            UpdateCopies::of_data_dir(data),
        )?;
        let pools = Pools {
            database: config.database_threads,
            blocking: STEP_THREADS,
            // Half as many as database threads, so that the other half stays free.
            long_running: config.database_threads / 2,
        };
        if !path.exists() {
            check_new(data)?;
            create_central(&path, is_demo)?;
        }
        let central = File::in_service(&storage, path.clone(), FileKind::Central);
        central.open()?;
        let record = central.read(|db| Ok::<_, Error>(InstanceRecord::read(db)?))?;
        let record = record.with_context(|| format!("{} does not name its instance", path.display()))?;
        Ok(Arc::new(Self {
            record,
            directory: Directory::open(&path).with_context(|| format!("cannot read {}", path.display()))?,
            registry: tenancy::Registry::new(data.clone(), Arc::clone(&storage), pools, config.max_open_workspaces),
            template: Template::new(data.join("workspaces")),
            passwords: Passwords::new(config.password_cost)?,
            node: NodeState::new(&config),
            metrics: Arc::new(Metrics::new(config.metrics)),
            executors: Executors::start(pools, config.hashing_threads, &supervisor)?,
            supervisor,
            started_at: now,
            node_directory: OnceLock::new(),
            certificates: OnceLock::new(),
            listens: OnceLock::new(),
            store_log: log,
            storage,
            central: Central::new(central),
            keys,
            config: LiveConfig::new(config),
        }))
    }

    /// Hashes a new password, unless it resembles the name or address of its owner.
    pub fn hash_password(&self, password: &Password, email: &str, name: &str) -> Result<String, Error> {
        let checked = password.check_not_about(email, name, &self.config.central_domain);
        checked.map_err(|said| Error::invalid(format!("The password {said}")))?;
        Ok(self.passwords.hash(password.reveal())?)
    }

    /// The public address of the server, for permanent links.
    pub fn public_url(&self) -> PublicUrl {
        self.config.public_url(*self.listens.get().unwrap_or(&self.config.listen))
    }

    /// Sets the listener's address, once.
    pub fn listens_on(&self, address: SocketAddr) {
        let _ = self.listens.set(address);
    }

    /// Tells which node serves what. `None` if only this one serves.
    pub fn node_directory(&self) -> Option<&Arc<dyn NodeDirectory>> {
        self.node_directory.get()
    }

    /// Sets who tells which node serves what, once.
    pub fn set_node_directory(&self, directory: Arc<dyn NodeDirectory>) {
        let _ = self.node_directory.set(directory);
    }

    /// The certificates that the server gets by ACME. `None` for a command.
    pub fn certificates(&self) -> Option<&Arc<CertificateStore>> {
        self.certificates.get()
    }

    /// Sets the certificates by ACME, once.
    pub fn set_certificates(&self, certificates: Arc<CertificateStore>) {
        let _ = self.certificates.set(certificates);
    }

    /// Applies other settings. The data directory stays.
    pub fn replace_config(&self, config: Config) {
        self.config.replace(Config { data_dir: self.config.data_dir.clone(), ..config });
    }

    /// The metrics of all files together.
    pub fn files_metrics(&self) -> &storage::StorageMetrics {
        &self.storage.metrics
    }

    /// The change recorder for changes by a command or by the server itself.
    pub fn system_recorder(&self, workspace: Uuid, now: Timestamp) -> ChangeRecorder {
        let pending = Arc::clone(&self.node.pending);
        ChangeRecorder { workspace, actor: journal::Actor::System, address: None, at: now, pending }
    }

    /// Whether a server uses the data directory. If so, it must do all work that requires a closed file.
    pub fn is_running(&self) -> bool {
        Handle::open(lock_path(&self.config.data_dir))
            .is_ok_and(|handle| matches!(handle.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Whether this server may serve: with a store, only while it has the lease.
    pub fn may_serve(&self) -> bool {
        self.store_log.as_ref().is_none_or(|log| log.may_serve())
    }

    /// Whether this server serves a workspace: the only one, or the node that owns it.
    pub fn serves(&self, id: Uuid) -> bool {
        self.node_directory().is_none_or(|nodes| nodes.owner_of_workspace(id) == cluster::Owner::ThisNode)
    }

    /// Fails if another node serves a workspace.
    pub fn require_served(&self, id: Uuid) -> Result<(), Error> {
        if self.serves(id) { Ok(()) } else { Err(Error::Elsewhere(id)) }
    }

    /// Whether this server does the work that only one node should do.
    pub fn is_central_node(&self) -> bool {
        self.node_directory().is_none_or(|nodes| nodes.central_node() == cluster::Owner::ThisNode)
    }

    /// The version of the placement of the workspaces on nodes. 0 if this is the only server.
    pub fn placement_version(&self) -> u64 {
        self.store_log.as_ref().and_then(|log| log.nodes()).map_or(0, |nodes| nodes.placement_version())
    }

    /// Stores a new file of a workspace, if the files are kept in a store.
    pub fn store_workspace(&self, id: Uuid) -> anyhow::Result<()> {
        if self.store_log.is_some() { self.registry.lease(id).file().open() } else { Ok(()) }
    }

    /// A copy of a workspace's file, as it is at one moment, in a folder that is deleted when it is dropped.
    pub fn copy_workspace(&self, id: Uuid) -> anyhow::Result<(Arc<File>, InstanceTempDir)> {
        let folder = self.temp_dir()?;
        let path = folder.file("workspace.sqlite");
        storage::copy(&self.registry.path(id), &path)?;
        Ok((File::new(&self.storage, path, FileKind::Workspace), folder))
    }

    /// The path of a workspace file in the trash.
    pub fn trash_path(&self, id: Uuid) -> PathBuf {
        lifecycle::trash_path(&self.config.data_dir, id)
    }

    /// The copies of files as they were before their last update.
    pub fn update_copies(&self) -> UpdateCopies {
        UpdateCopies::of_data_dir(&self.config.data_dir)
    }

    /// Creates a temporary folder for files that are being copied.
    pub fn temp_dir(&self) -> anyhow::Result<InstanceTempDir> {
        InstanceTempDir::new(&self.config.data_dir)
    }
}

/// Locks a data directory for a server. While the lock is held, no other server can start.
pub fn lock_data_dir(data: &Path) -> anyhow::Result<Handle> {
    durable_fs::create_folder(data)?;
    let path = lock_path(data);
    let handle = Handle::create(&path).with_context(|| format!("{} cannot be written to", data.display()))?;
    match handle.try_lock() {
        Ok(()) => Ok(handle),
        Err(TryLockError::WouldBlock) => bail!("another server is running on {}", data.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn lock_path(data: &Path) -> PathBuf {
    data.join("server.lock")
}

/// Fails if the data directory has no instance.
pub fn require_instance(data: &Path) -> anyhow::Result<()> {
    if data.join("central.sqlite").exists() {
        return Ok(());
    }
    if data.join("workspaces").is_dir() {
        check_new(data)?;
    }
    let cause = if data.exists() { "it has no central.sqlite" } else { "there is no such folder" };
    bail!(
        "no data directory at {}: {cause}. Name another with --data-dir; `serve` and `account create` create a new one",
        data.display()
    )
}

/// Fails if several nodes serve the instance: the files may be old, and what a command writes would be lost.
fn require_unshared(data: &Path) -> anyhow::Result<()> {
    ensure!(
        !cluster::is_shared(data),
        "several nodes serve this instance, so no command may open its files: use the API or the console, or make the \
         data directory independent with `cx-engine cluster leave`"
    );
    Ok(())
}

/// Fails early with one clear message if the data directory is not writable.
fn check_writable(data: &Path) -> anyhow::Result<()> {
    let probe = data.join(format!("writable.{}", std::process::id()));
    let written = Handle::create(&probe).and_then(|_| fs::remove_file(&probe));
    written.with_context(|| format!("{} cannot be written to", data.display()))
}

/// Fails if there are workspaces without a central file. A new central file would not know their owners.
fn check_new(data: &Path) -> anyhow::Result<()> {
    for folder in fs::read_dir(data.join("workspaces"))? {
        let folder = folder?.path();
        if folder.is_dir() && fs::read_dir(&folder)?.next().is_some() {
            bail!(
                "there are workspaces in {} but no central.sqlite, which lists their owners: restore it from a backup \
                 (`cx-engine restore --into` a new folder)",
                data.display()
            );
        }
    }
    Ok(())
}

/// Creates the central file completely or not at all, because an incomplete file would be rejected. If another process
/// creates one at the same time, its file is used.
fn create_central(path: &Path, is_demo: bool) -> anyhow::Result<()> {
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    lifecycle::delete_file(&unfinished)?;
    let made = storage::create(&unfinished, FileKind::Central)
        .and_then(|()| if is_demo { InstanceRecord::mark_as_demo(&unfinished) } else { Ok(()) })
        .and_then(|()| match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
            _ => Ok(()),
        });
    lifecycle::delete_file(&unfinished)?;
    made.with_context(|| format!("cannot create {}", path.display()))
}

//! Background work. One round per second saves the last uses of tokens and keys, finishes deletions, empties the trash,
//! closes invitations, deletes old tokens and old entries of the audit logs, and checkpoints WALs. Separate threads
//! send mail, webhooks and alerts, because other servers are slow, and update and reindex the files after an update of
//! the program.
//!
//! A round takes the time as a value. Running it again at any moment is safe.

pub mod backup_alerts;
mod file_updates;
pub mod index_maintenance;
pub mod mail_sender;
pub mod webhook_sender;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use crate::api::{Error, Result};
use crate::central::{
    account_admin, departures, instance_figures, password_recovery, server_status, workspace_lifecycle,
};
use crate::cluster::{self, StoreLog};
use crate::instance::Instance;
use crate::storage::{self, File, Supervisor};
use crate::tenancy::{journal, kept_uploads, lifecycle};
use crate::values::Timestamp;
use crate::workspace::oauth::grants;
use crate::workspace::{imports, integration_keys, settings::Settings, webhook_deliveries};
use backup_alerts::BackupAlerts;
use file_updates::Updater;
use index_maintenance::Indexer;
use webhook_sender::WebhookSender;

const EVERY: Duration = Duration::from_secs(1);

/// Interval for webhooks and reindexing, so that a delivery starts within a second of the change.
const OFTEN: Duration = Duration::from_millis(200);

/// Interval, in rounds, of the work that scans whole tables.
const ROUNDS_PER_MINUTE: u64 = 60;

/// Interval, in rounds, of the work that lists the whole store, or the copies of all files.
const ROUNDS_PER_DAY: u64 = 86_400;

/// Retention of expired tokens, so that their bearers get `token_expired`.
const EXPIRED_TOKENS_ARE_KEPT: i64 = 30 * 86_400;

/// Longest wait for a mail in transit when the server stops. If it is not accepted by then, it is sent at the next
/// start.
const MAIL_SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

/// Longest wait for the update of a file when the server stops.
const UPDATE_SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

/// Longest wait for an alert in transit when the server stops. It is posted again at the next start.
const ALERT_SHUTDOWN_WAIT: Duration = Duration::from_secs(1);

/// The background threads.
pub struct Jobs {
    maintenance: JobThread,
    mail: JobThread,
    webhooks: JobThread,
    indexes: JobThread,
    updates: JobThread,
    alerts: JobThread,
}

/// A thread that repeats a round.
struct JobThread {
    stop: Sender<()>,
    /// Disconnects when the thread ends.
    end: Receiver<()>,
}

impl Jobs {
    pub fn start(instance: Arc<Instance>) -> std::io::Result<Self> {
        let for_mail = Arc::clone(&instance);
        let mut indexer = Indexer::new(Arc::clone(&instance));
        let mut updater = Updater::new(Arc::clone(&instance));
        let alerts = BackupAlerts::new(Arc::clone(&instance));
        let courier = WebhookSender::start(Arc::clone(&instance), Timestamp::now)?;
        let supervised = Arc::clone(&instance.supervisor);
        let supervisor = || Arc::clone(&supervised);
        Ok(Self {
            maintenance: JobThread::start("jobs", EVERY, supervisor(), move |n| {
                let now = Timestamp::now();
                if n % ROUNDS_PER_DAY == 0 {
                    tidy_store(&instance);
                }
                round(&instance, now, n % ROUNDS_PER_MINUTE == 0)?;
                if n % ROUNDS_PER_DAY == 0 {
                    instance.update_copies().delete_expired(now)?;
                }
                // After the figures of the minute. By the second round the server listens.
                if n % ROUNDS_PER_MINUTE == 1 {
                    server_status::report(&instance, now);
                }
                if n % ROUNDS_PER_MINUTE == ROUNDS_PER_MINUTE / 2 { maintain_idle(&instance, now) } else { Ok(()) }
            })?,
            mail: JobThread::start("mail", EVERY, supervisor(), move |_| {
                if for_mail.is_central_node() { mail_sender::round(&for_mail, Timestamp::now()) } else { Ok(()) }
            })?,
            // By the second round the server listens.
            alerts: JobThread::start("alerts", EVERY, supervisor(), move |n| {
                if n > 0 { alerts.round(Timestamp::now()) } else { Ok(()) }
            })?,
            indexes: JobThread::start("indexes", OFTEN, supervisor(), move |n| indexer.round(n))?,
            updates: JobThread::start("updates", OFTEN, supervisor(), move |_| updater.round())?,
            webhooks: JobThread::start("webhooks", OFTEN, supervisor(), move |_| courier.round(Timestamp::now()))?,
        })
    }

    /// Lets running rounds finish. Waits a few seconds for a mail in transit.
    pub fn stop(self) {
        let (house, mail) = (self.maintenance.request_stop(), self.mail.request_stop());
        let (webhooks, indexes) = (self.webhooks.request_stop(), self.indexes.request_stop());
        let (alerts, updates) = (self.alerts.request_stop(), self.updates.request_stop());
        let _ = (house.recv(), webhooks.recv(), indexes.recv());
        let _ = (mail.recv_timeout(MAIL_SHUTDOWN_WAIT), alerts.recv_timeout(ALERT_SHUTDOWN_WAIT));
        // An update that is cut off is undone by SQLite, and begins again at the next start.
        let _ = updates.recv_timeout(UPDATE_SHUTDOWN_WAIT);
    }
}

impl JobThread {
    fn start(
        name: &'static str,
        every: Duration,
        supervisor: Arc<Supervisor>,
        round: impl FnMut(u64) -> Result<()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let (ended, end) = channel();
        let panics = Arc::clone(&supervisor);
        supervisor.spawn(name.into(), move || {
            // Dropped in reverse order: `round` and what it holds first, then the sender that signals the end.
            let _ended: Sender<()> = ended;
            let mut round = round;
            let mut trouble = None;
            for n in 0.. {
                let done = panics.run(name, || round(n)).unwrap_or_else(|fault| Err(fault.into()));
                trouble = log_change(name, trouble, done.err());
                if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stop, end })
    }

    /// Signals stop. The receiver disconnects when the running round has ended.
    fn request_stop(self) -> Receiver<()> {
        drop(self.stop);
        self.end
    }
}

/// Logs a failure once for as long as the reason stays the same, and the recovery: a full disk stays full for many
/// rounds. Returns the reason.
fn log_change(name: &str, before: Option<String>, failed: Option<Error>) -> Option<String> {
    let now = failed.map(|error| error.to_string());
    match (&before, &now) {
        (before, Some(error)) if before.as_ref() != Some(error) => {
            tracing::error!(error, "a round of {name} failed; it is retried");
        }
        (Some(_), None) => tracing::info!("the rounds of {name} work again"),
        _ => {}
    }
    now
}

/// One round; `whole` includes the less frequent work.
pub fn round(instance: &Arc<Instance>, now: Timestamp, whole: bool) -> Result<()> {
    write_token_uses(instance)?;
    finish_deletions(instance)?;
    let is_central_node = instance.is_central_node();
    if is_central_node {
        instance.central.expire_invitations(now)?;
        account_admin::forget_failures(instance, now)?;
    }
    // A workspace that cannot be written must not block the rest of the round.
    let ended = password_recovery::end_grants(instance, now).and(departures::remove_all(instance, now));
    if whole {
        instance_figures::read(instance, now);
        write_key_uses(instance)?;
        if is_central_node {
            empty_trash(instance, now)?;
            workspace_lifecycle::undo_abandoned_reservations(instance, now)?;
            forget_tokens(instance, now)?;
            forget_audit(instance, now)?;
        }
        tidy_shared_trash(instance)?;
        kept_uploads::delete_expired(&instance.config.data_dir, now)?;
        maintain_open(instance, now);
        instance.central.file().checkpoint()?;
    }
    ended
}

/// Maintains every open file and continues after errors. Disk errors that affect all files are logged once.
fn maintain_open(instance: &Instance, now: Timestamp) {
    let mut failed = 0;
    for file in instance.registry.files() {
        if let Err(error) = maintain(&file, now) {
            failed += 1;
            if !(failed > 1 && matches!(error, Error::StorageFull(_) | Error::ReadOnly(_))) {
                tracing::error!(file = %file.path().display(), %error, "maintenance of a workspace's file failed");
            }
        }
    }
    if failed > 1 {
        tracing::error!(failed, "maintenance failed for several files");
    }
}

/// Saves the uses that are only in memory.
pub fn write_uses(instance: &Instance) -> Result<()> {
    write_token_uses(instance)?;
    write_key_uses(instance)
}

fn write_token_uses(instance: &Instance) -> Result<()> {
    let uses = instance.directory.take_uses();
    if uses.is_empty() {
        return Ok(());
    }
    instance.central.write_token_uses(uses)
}

/// Continues with other workspaces if one cannot be written.
fn write_key_uses(instance: &Instance) -> Result<()> {
    let mut result = Ok(());
    for (workspace, uses) in instance.node.key_uses.take() {
        let listed = instance.directory.current(&instance.keys)?.by_id(workspace)?;
        if listed.is_some() && instance.serves(workspace) {
            let lease = instance.registry.lease(workspace);
            let written = lease.file().write(move |db| Ok::<_, Error>(integration_keys::write_uses(db, &uses)?));
            result = result.and(written);
        }
    }
    result
}

/// Moves the files of workspaces that were deleted by another process or before a crash.
fn finish_deletions(instance: &Arc<Instance>) -> Result<()> {
    for id in instance.central.workspaces_trashed_before(i64::MAX)? {
        if instance.registry.path(id).exists() || instance.registry.is_open(id) {
            workspace_lifecycle::move_to_trash(instance, id)?;
        }
    }
    Ok(())
}

fn empty_trash(instance: &Arc<Instance>, now: Timestamp) -> Result<()> {
    for id in instance.central.workspaces_trashed_before(now.plus(-instance.config.trash_days * 86_400).seconds())? {
        instance.update_copies().delete_of(&id.to_string())?;
        instance.central.delete_trashed_workspace(id, instance.trash_path(id))?;
    }
    Ok(())
}

/// Deletes what other nodes have taken out of the trash. The store has it.
fn tidy_shared_trash(instance: &Instance) -> Result<()> {
    let data = &instance.config.data_dir;
    if !cluster::is_shared(data) {
        return Ok(());
    }
    let known: HashSet<Uuid> = instance.central.workspaces_trashed_before(i64::MAX)?.into_iter().collect();
    for path in lifecycle::trashed_files(data)? {
        let id: Option<Uuid> = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
        if let Some(id) = id.filter(|id| !known.contains(id)) {
            instance.update_copies().delete_of(&id.to_string())?;
            lifecycle::delete_file(&path)?;
        }
    }
    Ok(())
}

/// Rows to delete per turn.
const ROWS_IN_A_TURN: usize = 500;

/// Maintains one workspace per minute, open or not, so that each gets its turn.
fn maintain_idle(instance: &Instance, now: Timestamp) -> Result<()> {
    let minute = now.seconds() / 60;
    let sleeper = instance.central.active_workspace(minute)?.filter(|id| instance.serves(*id));
    sleeper.map_or(Ok(()), |id| maintain(instance.registry.lease(id).file(), now))
}

/// Brings the store up to date in the background, if there is one.
fn tidy_store(instance: &Arc<Instance>) {
    let Some(log) = instance.store_log.clone() else { return };
    let inside = Arc::clone(instance);
    instance.executors.background.run(move || {
        if let Err(error) = store_workspaces(&inside, &log) {
            tracing::warn!(%error, "workspaces are stored when they are used");
        }
    });
}

/// Stores the workspaces that the store does not have yet, or that had commits when the server was killed. Fetches those
/// that only the store has. A deleted one is then moved to the trash like one whose deletion was interrupted.
fn store_workspaces(instance: &Instance, log: &StoreLog) -> Result<()> {
    let workspaces = instance.central.workspace_statuses()?;
    let known = workspaces.iter().map(|(id, _)| *id).collect();
    for (id, status) in workspaces {
        let (live, trashed) = (instance.registry.path(id), instance.trash_path(id));
        let path = if trashed.exists() { trashed } else { live };
        let is_complete = storage::is_checkpointed(&path) && storage::is_stored(&path);
        if status == "creating" || is_complete || !instance.serves(id) {
            continue;
        }
        if let Err(error) = log.bring_up_to_date(&path) {
            tracing::warn!(workspace = %id, error = format!("{error:#}"), "a workspace is not stored");
        }
    }
    if instance.is_central_node() { Ok(log.delete_logs_except(&known)?) } else { Ok(()) }
}

/// Deletes expired audit entries, deliveries and OAuth grants of a workspace in short turns, and checkpoints its WAL.
fn maintain(file: &Arc<File>, now: Timestamp) -> Result<()> {
    let retention = file.read(|db| Ok::<_, Error>(Settings::find(db)?.audit_retention_days))?;
    let first_kept = retention.map(|days| now.plus(-days.seconds()));
    let forget = move |db: &Connection| -> Result<usize> {
        let entries = first_kept.map_or(Ok(0), |moment| journal::forget(db, moment, ROWS_IN_A_TURN))?;
        let deliveries = webhook_deliveries::forget(db, now.plus(-webhook_deliveries::KEPT), ROWS_IN_A_TURN)?;
        let imports = imports::forget(db, now, ROWS_IN_A_TURN)?;
        Ok(entries + deliveries + imports + grants::delete_expired(db, now, ROWS_IN_A_TURN)?)
    };
    while file.write(forget)? >= ROWS_IN_A_TURN {}
    Ok(file.checkpoint()?)
}

fn forget_audit(instance: &Instance, now: Timestamp) -> Result<()> {
    let first_kept = now.plus(-instance.config.audit_days * 86_400);
    while instance.central.forget_audit_log(first_kept, ROWS_IN_A_TURN)? >= ROWS_IN_A_TURN {}
    Ok(())
}

fn forget_tokens(instance: &Instance, now: Timestamp) -> Result<()> {
    let last = now.plus(-EXPIRED_TOKENS_ARE_KEPT);
    instance.central.delete_ended_tokens(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::tests::TestServer;

    fn entries(server: &TestServer) -> i64 {
        server.admin().get("/audit-log").ok()["total"].as_i64().unwrap()
    }

    #[test]
    fn a_journal_is_kept_as_long_as_the_workspace_says() {
        let server = TestServer::new();
        server.admin().post("/customers", json!({"name": "Ada"})).created();
        server.admin().put("/settings", json!({"audit_retention_days": null})).created();
        let later = |days: i64| Timestamp::now().plus(days * 86_400);
        round(&server.instance, later(3650), true).unwrap();
        assert_eq!(entries(&server), 2);
        server.admin().put("/settings", json!({"audit_retention_days": 30})).created();
        round(&server.instance, later(29), true).unwrap();
        assert_eq!(entries(&server), 3);
        round(&server.instance, later(31), true).unwrap();
        assert_eq!(entries(&server), 0);
    }

    #[test]
    fn rounds_that_fail_for_one_reason_say_so_once() {
        let full = || Some(Error::StorageFull("database or disk is full".into()));
        let mut said = Vec::new();
        let mut trouble = None;
        for failed in [None, full(), full(), full(), Some(Error::Overloaded), full(), None, None] {
            let before = trouble.clone();
            trouble = log_change("tests", trouble, failed);
            said.push(before != trouble);
        }
        assert_eq!(said, [false, true, false, false, true, true, true, false]);
    }

    #[test]
    fn a_reservation_that_nobody_works_on_any_more_is_taken_back() {
        let server = TestServer::new();
        let (now, id) = (Timestamp::now(), Uuid::now_v7());
        let new = workspace_lifecycle::NewWorkspace { subdomain: "half-made".parse().ok(), ..Default::default() };
        server.instance.central.write(move |db| workspace_lifecycle::reserve(db, id, &new, 1, now)).unwrap();
        let unfinished = server.instance.registry.path(id).with_extension("new");
        std::fs::create_dir_all(unfinished.parent().unwrap()).unwrap();
        std::fs::write(&unfinished, "half").unwrap();
        let make = || server.central().post("/workspaces", json!({"name": "New", "subdomain": "half-made"}));
        round(&server.instance, now.plus(60), true).unwrap();
        make().rejected(422, "subdomain_taken");
        assert!(unfinished.exists());
        round(&server.instance, now.plus(3_601), true).unwrap();
        assert!(!unfinished.exists());
        make().created();
    }

    #[test]
    fn a_workspace_in_which_nobody_works_has_its_turn() {
        let server = TestServer::new();
        server.admin().post("/customers", json!({"name": "Ada"})).created();
        let after_a_year = Timestamp::now().plus(366 * 86_400);
        // Two workspaces: one minute for each.
        for minute in 0..2 {
            server.instance.registry.close_all(Duration::from_secs(5)).unwrap();
            maintain_idle(&server.instance, after_a_year.plus(minute * 60)).unwrap();
        }
        assert_eq!(entries(&server), 0);
    }
}

//! Background work. One round per second saves the last uses of tokens and keys, finishes deletions, empties the trash,
//! closes invitations, deletes old tokens and old entries of the audit logs, and checkpoints WALs. Separate threads
//! send mail and webhooks, because other servers are slow, and reindex after an update.
//!
//! A round takes the time as a value. Running it again at any moment is safe.

pub mod indexes;
pub mod mail;
pub mod webhooks;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rusqlite::Connection;

use crate::api::{Error, Result};
use crate::central::{account_admin, password, workspaces};
use crate::engine::Engine;
use crate::storage::{File, Supervisor};
use crate::tenancy::journal;
use crate::values::Timestamp;
use crate::workspace::oauth::grants;
use crate::workspace::{integration_keys, settings::Settings, webhook_deliveries};
use indexes::Indexer;
use webhooks::Courier;

const EVERY: Duration = Duration::from_secs(1);

/// Interval for webhooks and reindexing, so that a delivery starts within a second of the change.
const OFTEN: Duration = Duration::from_millis(200);

/// Every so many rounds, a round includes the work that scans whole tables.
const SELDOM: u64 = 60;

/// Retention of expired tokens, so that their bearers get `token_expired`.
const EXPIRED_TOKENS_ARE_KEPT: i64 = 30 * 86_400;

/// Longest wait for a mail in transit when the server stops. If it is not accepted by then, it is sent at the next
/// start.
const FAREWELL: Duration = Duration::from_secs(3);

/// The background threads.
pub struct Jobs {
    house: Rounds,
    mail: Rounds,
    webhooks: Rounds,
    indexes: Rounds,
}

/// A thread that repeats a round.
struct Rounds {
    stop: Sender<()>,
    /// Disconnects when the thread ends.
    end: Receiver<()>,
}

impl Jobs {
    pub fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let beside = Arc::clone(&engine);
        let mut indexer = Indexer::new(Arc::clone(&engine));
        let courier = Courier::start(Arc::clone(&engine), Timestamp::now)?;
        let supervised = Arc::clone(&engine.supervisor);
        let supervisor = || Arc::clone(&supervised);
        Ok(Self {
            house: Rounds::start("jobs", EVERY, supervisor(), move |n| {
                let now = Timestamp::now();
                round(&engine, now, n % SELDOM == 0)?;
                if n % SELDOM == SELDOM / 2 { tend_sleeper(&engine, now) } else { Ok(()) }
            })?,
            mail: Rounds::start("mail", EVERY, supervisor(), move |_| mail::round(&beside, Timestamp::now()))?,
            indexes: Rounds::start("indexes", OFTEN, supervisor(), move |n| indexer.round(n))?,
            webhooks: Rounds::start("webhooks", OFTEN, supervisor(), move |_| courier.round(Timestamp::now()))?,
        })
    }

    /// Lets running rounds finish. Waits a few seconds for a mail in transit.
    pub fn stop(self) {
        let (house, mail) = (self.house.told_to_stop(), self.mail.told_to_stop());
        let (webhooks, indexes) = (self.webhooks.told_to_stop(), self.indexes.told_to_stop());
        let _ = (house.recv(), webhooks.recv(), indexes.recv());
        let _ = mail.recv_timeout(FAREWELL);
    }
}

impl Rounds {
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
                trouble = told_once(name, trouble, done.err());
                if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stop, end })
    }

    /// Signals stop. The receiver disconnects when the running round has ended.
    fn told_to_stop(self) -> Receiver<()> {
        drop(self.stop);
        self.end
    }
}

/// Logs a failure once for as long as the reason stays the same, and the recovery: a full disk stays full for many
/// rounds. Returns the reason.
fn told_once(name: &str, before: Option<String>, failed: Option<Error>) -> Option<String> {
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
pub fn round(engine: &Arc<Engine>, now: Timestamp, whole: bool) -> Result<()> {
    write_token_uses(engine)?;
    finish_deletions(engine)?;
    engine.central.expire_invitations(now)?;
    account_admin::forget_failures(engine, now)?;
    // A workspace that cannot be written must not block the rest of the round.
    let ended = password::end_grants(engine, now);
    if whole {
        write_key_uses(engine)?;
        empty_trash(engine, now)?;
        workspaces::forget_unfinished(engine, now)?;
        forget_tokens(engine, now)?;
        forget_audit(engine, now)?;
        tend_open(engine, now);
        engine.central.file().rest()?;
    }
    ended
}

/// Maintains every open file and continues after errors. Disk errors that affect all files are logged once.
fn tend_open(engine: &Engine, now: Timestamp) {
    let mut failed = 0;
    for file in engine.registry.files() {
        if let Err(error) = tend(&file, now) {
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
pub fn write_uses(engine: &Engine) -> Result<()> {
    write_token_uses(engine)?;
    write_key_uses(engine)
}

fn write_token_uses(engine: &Engine) -> Result<()> {
    let uses = engine.directory.take_uses();
    if uses.is_empty() {
        return Ok(());
    }
    engine.central.write_token_uses(uses)
}

/// Continues with other workspaces if one cannot be written.
fn write_key_uses(engine: &Engine) -> Result<()> {
    let mut result = Ok(());
    for (workspace, uses) in engine.node.key_uses.take() {
        let listed = engine.directory.current(&engine.keys)?.identified(workspace)?;
        if listed.is_some() {
            let lease = engine.registry.lease(workspace);
            let written = lease.file().write(move |db| Ok::<_, Error>(integration_keys::write_uses(db, &uses)?));
            result = result.and(written);
        }
    }
    result
}

/// Moves the files of workspaces that were deleted by another process or before a crash.
fn finish_deletions(engine: &Arc<Engine>) -> Result<()> {
    for id in engine.central.workspaces_trashed_before(i64::MAX)? {
        if engine.registry.path(id).exists() || engine.registry.is_open(id) {
            workspaces::move_to_trash(engine, id)?;
        }
    }
    Ok(())
}

fn empty_trash(engine: &Arc<Engine>, now: Timestamp) -> Result<()> {
    for id in engine.central.workspaces_trashed_before(now.plus(-engine.config.trash_days * 86_400).seconds())? {
        engine.central.delete_trashed_workspace(id, engine.trash_path(id))?;
    }
    Ok(())
}

/// Rows to delete per turn.
const ROWS_IN_A_TURN: usize = 500;

/// Maintains one workspace per minute, open or not, so that each gets its turn.
fn tend_sleeper(engine: &Engine, now: Timestamp) -> Result<()> {
    let minute = now.seconds() / 60;
    let sleeper = engine.central.active_workspace(minute)?;
    sleeper.map_or(Ok(()), |id| tend(engine.registry.lease(id).file(), now))
}

/// Deletes expired audit entries, deliveries and OAuth grants of a workspace in short turns, and checkpoints its WAL.
fn tend(file: &Arc<File>, now: Timestamp) -> Result<()> {
    let retention = file.read(|db| Ok::<_, Error>(Settings::find(db)?.audit_retention_days))?;
    let first_kept = retention.map(|days| now.plus(-days.seconds()));
    let forget = move |db: &Connection| -> Result<usize> {
        let entries = first_kept.map_or(Ok(0), |moment| journal::forget(db, moment, ROWS_IN_A_TURN))?;
        let deliveries = webhook_deliveries::forget(db, now.plus(-webhook_deliveries::KEPT), ROWS_IN_A_TURN)?;
        Ok(entries + deliveries + grants::forget(db, now, ROWS_IN_A_TURN)?)
    };
    while file.write(forget)? >= ROWS_IN_A_TURN {}
    Ok(file.rest()?)
}

fn forget_audit(engine: &Engine, now: Timestamp) -> Result<()> {
    let first_kept = now.plus(-engine.config.audit_days * 86_400);
    while engine.central.forget_audit_log(first_kept, ROWS_IN_A_TURN)? >= ROWS_IN_A_TURN {}
    Ok(())
}

fn forget_tokens(engine: &Engine, now: Timestamp) -> Result<()> {
    let last = now.plus(-EXPIRED_TOKENS_ARE_KEPT);
    engine.central.delete_ended_tokens(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::testing::Bench;

    fn entries(bench: &Bench) -> i64 {
        bench.admin().get("/audit-log").ok()["total"].as_i64().unwrap()
    }

    #[test]
    fn a_journal_is_kept_as_long_as_the_workspace_says() {
        let bench = Bench::new();
        bench.admin().post("/customers", json!({"name": "Ada"})).created();
        bench.admin().put("/settings", json!({"audit_retention_days": null})).created();
        let later = |days: i64| Timestamp::now().plus(days * 86_400);
        round(&bench.engine, later(3650), true).unwrap();
        assert_eq!(entries(&bench), 2);
        bench.admin().put("/settings", json!({"audit_retention_days": 30})).created();
        round(&bench.engine, later(29), true).unwrap();
        assert_eq!(entries(&bench), 3);
        round(&bench.engine, later(31), true).unwrap();
        assert_eq!(entries(&bench), 0);
    }

    #[test]
    fn rounds_that_fail_for_one_reason_say_so_once() {
        let full = || Some(Error::StorageFull("database or disk is full".into()));
        let mut said = Vec::new();
        let mut trouble = None;
        for failed in [None, full(), full(), full(), Some(Error::Overloaded), full(), None, None] {
            let before = trouble.clone();
            trouble = told_once("tests", trouble, failed);
            said.push(before != trouble);
        }
        assert_eq!(said, [false, true, false, false, true, true, true, false]);
    }

    #[test]
    fn a_reservation_that_nobody_works_on_any_more_is_taken_back() {
        let bench = Bench::new();
        let (now, id) = (Timestamp::now(), Uuid::now_v7());
        let new = workspaces::NewWorkspace { subdomain: "half-made".parse().ok(), ..Default::default() };
        bench.engine.central.write(move |db| workspaces::reserve(db, id, &new, 1, now)).unwrap();
        let unfinished = bench.engine.registry.path(id).with_extension("new");
        std::fs::create_dir_all(unfinished.parent().unwrap()).unwrap();
        std::fs::write(&unfinished, "half").unwrap();
        let make = || bench.central().post("/workspaces", json!({"name": "New", "subdomain": "half-made"}));
        round(&bench.engine, now.plus(60), true).unwrap();
        make().refused(422, "subdomain_taken");
        assert!(unfinished.exists());
        round(&bench.engine, now.plus(3_601), true).unwrap();
        assert!(!unfinished.exists());
        make().created();
    }

    #[test]
    fn a_workspace_in_which_nobody_works_has_its_turn() {
        let bench = Bench::new();
        bench.admin().post("/customers", json!({"name": "Ada"})).created();
        let after_a_year = Timestamp::now().plus(366 * 86_400);
        // Two workspaces: one minute for each.
        for minute in 0..2 {
            bench.engine.registry.close_all(Duration::from_secs(5)).unwrap();
            tend_sleeper(&bench.engine, after_a_year.plus(minute * 60)).unwrap();
        }
        assert_eq!(entries(&bench), 0);
    }
}

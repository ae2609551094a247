//! What runs without a request, a round a second: the times of tokens' and keys' last uses are written, deleted
//! workspaces moved to the trash and in the end out of it, invitations closed, old tokens deleted, logs brought into their
//! files, old entries of journals deleted; beside that, on threads of their own since others' servers are slow, mail is sent and webhooks
//! are told, and indexes brought up to date after an update.
//!
//! A round takes the time as a value and may be run again at any moment: what it did, it does not do twice.

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
use crate::workspace::{integration_keys, settings, webhook_deliveries};
use indexes::Indexer;
use webhooks::Courier;

const EVERY: Duration = Duration::from_secs(1);

/// How often webhooks, and indexes to bring up to date, are looked for: the first message is to be on its way within a second of the change.
const OFTEN: Duration = Duration::from_millis(200);

/// Rounds between two of the work that looks at whole tables.
const SELDOM: u64 = 60;

/// How long a token that has expired is kept, so that its bearer is told so.
const EXPIRED_TOKENS_ARE_KEPT: i64 = 30 * 86_400;

/// How long a mail on its way is waited for at the end. One that is then not yet taken is sent at the next start.
const FAREWELL: Duration = Duration::from_secs(3);

/// The threads of the jobs.
pub struct Jobs {
    house: Rounds,
    mail: Rounds,
    webhooks: Rounds,
    indexes: Rounds,
}

/// A thread that does the same again and again.
struct Rounds {
    stop: Sender<()>,
    /// Disconnects with the end of the thread.
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

    /// Lets the rounds that run end; a mail that is on its way is waited for a few seconds.
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
            // Dropped in the reverse order: at the end, what the round holds has been let go.
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

    /// What disconnects when the round that runs has ended.
    fn told_to_stop(self) -> Receiver<()> {
        drop(self.stop);
        self.end
    }
}

/// Says that rounds fail, and why, once for as long as they fail for the same reason, and when they no longer do: a disk
/// that is full is full for many rounds. Answers the reason.
fn told_once(name: &str, before: Option<String>, failed: Option<Error>) -> Option<String> {
    let now = failed.map(|error| error.to_string());
    match (&before, &now) {
        (before, Some(error)) if before.as_ref() != Some(error) => {
            tracing::error!(error, "a round of {name} failed; it is tried again until it does not");
        }
        (Some(_), None) => tracing::info!("the rounds of {name} go on"),
        _ => {}
    }
    now
}

/// One round; `whole` adds what is done seldom.
pub fn round(engine: &Arc<Engine>, now: Timestamp, whole: bool) -> Result<()> {
    write_token_uses(engine)?;
    finish_deletions(engine)?;
    engine.central.expire_invitations(now)?;
    account_admin::forget_failures(engine, now)?;
    // A workspace that cannot be written does not keep the rest of the round waiting.
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

/// Tends every file that is open. One that cannot be read or written does not keep the others waiting; where it is the
/// disk's fault, it is that of all of them, and said once.
fn tend_open(engine: &Engine, now: Timestamp) {
    let mut failed = 0;
    for file in engine.registry.files() {
        if let Err(error) = tend(&file, now) {
            failed += 1;
            if !(failed > 1 && matches!(error, Error::StorageFull(_) | Error::ReadOnly(_))) {
                tracing::error!(file = %file.path().display(), %error, "a workspace's file could not be tended");
            }
        }
    }
    if failed > 1 {
        tracing::error!(failed, "so many files could not be tended");
    }
}

/// What is known of uses and not written yet.
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

/// A workspace that cannot be written does not keep the others' keys from having a last use.
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

/// Moves the files of workspaces that were deleted by another process, or by one that did not live to do it.
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

/// Rows of a journal that are deleted in one turn.
const ROWS_IN_A_TURN: usize = 500;

/// Tends a workspace in which perhaps nobody works: another one each minute, so that all have their turn.
fn tend_sleeper(engine: &Engine, now: Timestamp) -> Result<()> {
    let minute = now.seconds() / 60;
    let sleeper = engine.central.active_workspace(minute)?;
    sleeper.map_or(Ok(()), |id| tend(engine.registry.lease(id).file(), now))
}

/// Deletes what a workspace keeps no longer of its journal and of what OAuth clients were granted, in turns of some milliseconds, and brings its log into its file.
fn tend(file: &Arc<File>, now: Timestamp) -> Result<()> {
    let retention = file.read(settings::audit_retention)?;
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

//! What runs without a request, a round a second: the times of tokens' and keys' last uses are written, deleted
//! workspaces moved to the trash and in the end out of it, invitations closed, old tokens deleted, logs brought into their
//! files; beside that, on a thread of its own since mail servers are slow, mail is sent.
//!
//! A round takes the time as a value and may be run again at any moment: what it did, it does not do twice.

pub mod mail;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use uuid::Uuid;

use crate::api::{Error, Result};
use crate::central::{invitations, tokens, workspaces};
use crate::engine::Engine;
use crate::storage::STACK;
use crate::tenancy::life;
use crate::values::Timestamp;
use crate::workspace::integration_keys;

const EVERY: Duration = Duration::from_secs(1);

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
}

/// A thread that does the same every second.
struct Rounds {
    stop: Sender<()>,
    /// Disconnects with the end of the thread.
    end: Receiver<()>,
}

impl Jobs {
    pub fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let beside = Arc::clone(&engine);
        Ok(Self {
            house: Rounds::start("jobs", move |n| round(&engine, Timestamp::now(), n % SELDOM == 0))?,
            mail: Rounds::start("mail", move |_| mail::round(&beside, Timestamp::now()))?,
        })
    }

    /// Lets the rounds that run end; a mail that is on its way is waited for a few seconds.
    pub fn stop(self) {
        let (house, mail) = (self.house.told_to_stop(), self.mail.told_to_stop());
        let _ = house.recv();
        let _ = mail.recv_timeout(FAREWELL);
    }
}

impl Rounds {
    fn start(name: &'static str, round: impl FnMut(u64) -> Result<()> + Send + 'static) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let (ended, end) = channel();
        std::thread::Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
            // Dropped in the reverse order: at the end, what the round holds has been let go.
            let _ended: Sender<()> = ended;
            let mut round = round;
            for n in 0.. {
                if let Err(error) = round(n) {
                    tracing::error!(%error, "a round of {name} failed; it is tried again");
                }
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
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

/// One round; `whole` adds what is done seldom.
pub fn round(engine: &Arc<Engine>, now: Timestamp, whole: bool) -> Result<()> {
    write_token_uses(engine)?;
    finish_deletions(engine)?;
    expire_invitations(engine, now)?;
    if whole {
        write_key_uses(engine)?;
        empty_trash(engine, now)?;
        forget_tokens(engine, now)?;
        for file in engine.registry.files() {
            file.checkpoint()?;
        }
        engine.central.checkpoint()?;
    }
    Ok(())
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
    engine.central.write(move |db| Ok(tokens::write_uses(db, &uses)?))
}

/// A workspace that cannot be written does not keep the others' keys from having a last use.
fn write_key_uses(engine: &Engine) -> Result<()> {
    let mut result = Ok(());
    for (workspace, uses) in engine.key_uses.take() {
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
    for id in trashed_before(engine, i64::MAX)? {
        if engine.registry.path(id).exists() || engine.registry.is_open(id) {
            workspaces::move_to_trash(engine, id)?;
        }
    }
    Ok(())
}

/// A round that finds nothing to close does not write.
fn expire_invitations(engine: &Engine, now: Timestamp) -> Result<()> {
    if engine.central.read(move |db| Ok::<_, Error>(invitations::some_are_over(db, now)?))? {
        engine.central.write(move |db| Ok::<_, Error>(invitations::expire(db, now)?))?;
    }
    Ok(())
}

fn empty_trash(engine: &Arc<Engine>, now: Timestamp) -> Result<()> {
    for id in trashed_before(engine, now.plus(-engine.config.trash_days * 86_400).seconds())? {
        let inside = Arc::clone(engine);
        engine.central.write(move |db| {
            let gone = db.execute("DELETE FROM workspaces WHERE id = ?1 AND status = 'trashed'", [id.to_string()])?;
            if gone > 0 {
                life::delete_file(&inside.trash_path(id))?;
            }
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

fn trashed_before(engine: &Engine, moment: i64) -> Result<Vec<Uuid>> {
    engine.central.read(move |db| {
        let mut statement =
            db.prepare_cached("SELECT id FROM workspaces WHERE status = 'trashed' AND trashed_at <= ?1")?;
        let ids = statement.query_map([moment], |row| row.get::<_, String>(0))?;
        Ok(ids.collect::<rusqlite::Result<Vec<_>>>()?.iter().filter_map(|id| id.parse().ok()).collect())
    })
}

fn forget_tokens(engine: &Engine, now: Timestamp) -> Result<()> {
    let last = now.plus(-EXPIRED_TOKENS_ARE_KEPT);
    engine.central.write(move |db| {
        db.prepare_cached("DELETE FROM tokens WHERE expires_at < ?1 OR revoked_at < ?1")?.execute([last])?;
        Ok(())
    })
}

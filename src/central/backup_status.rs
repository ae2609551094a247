//! The outcome of backups of everything, and the alerts that follow from it: a mail to each operator and a message to
//! the webhook of the settings, once when backups begin to fail or do not come, and once when one comes again.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::mail_templates::BackupAlert;
use super::outbox;
use crate::api::{Error, Result};
use crate::storage;
use crate::tenancy::Central;
use crate::values::{Timestamp, choice};

choice! {
    /// The state of the backups: one came in time, the last one failed, or none came.
    BackupState { GOOD = "good", FAILED = "failed", MISSING = "missing" }
}

/// Maximum characters of a reason that are stored.
const LONGEST_PROBLEM: usize = 500;

/// Seconds before each retry of a message. After the last one it is given up.
const WAITS: [i64; 4] = [10, 60, 15 * 60, LONGEST_WAIT];
const LONGEST_WAIT: i64 = 2 * 3600;

/// The outcome of a backup of everything.
#[derive(Debug, Clone)]
pub enum BackupOutcome {
    /// It has everything, and each place has it.
    Complete {
        name: String,
        taken_at: Timestamp,
        /// The place outside this machine. `None` if there is none.
        place: Option<String>,
    },
    Failed {
        problem: String,
    },
}

/// The outcome of the last backups.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BackupStatus {
    /// Name of the newest complete backup. Null if there was none since the upgrade to this version.
    pub name: Option<String>,
    /// Time of the newest complete backup (UTC).
    pub taken_at: Option<Timestamp>,
    /// Place outside this machine that has the newest complete backup. Null if it is only on this machine.
    pub place: Option<String>,
    /// Time of the first failure after the newest complete backup (UTC). Null if the last backup succeeded.
    pub failing_since: Option<Timestamp>,
    /// Reason of the last failure, in English.
    pub problem: Option<String>,
    #[serde(skip)]
    expected_since: Option<Timestamp>,
    #[serde(skip)]
    told: BackupState,
}

/// The settings that alerts depend on.
#[derive(Debug, Clone)]
pub struct BackupWatch {
    /// Seconds after which a backup is missing. `None` if none is expected.
    pub expect: Option<i64>,
    /// The URL of the central host, which names the server.
    pub server: String,
    /// Whether a webhook gets messages.
    pub has_webhook: bool,
}

/// A message to the webhook that is due.
#[derive(Debug, Clone)]
pub struct DueMessage {
    /// The same for every attempt.
    pub id: String,
    pub body: String,
    /// Number of failed attempts.
    tries: u32,
}

impl BackupStatus {
    fn read(db: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT name, taken_at, place, failing_since, problem, expected_since, told FROM backup_status";
        db.prepare_cached(sql)?.query_row([], Self::from_row)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            taken_at: row.get(1)?,
            place: row.get(2)?,
            failing_since: row.get(3)?,
            problem: row.get(4)?,
            expected_since: row.get(5)?,
            told: row.get(6)?,
        })
    }

    /// The state, if a backup is expected in each period of `expect` seconds.
    pub fn state(&self, expect: Option<i64>, now: Timestamp) -> BackupState {
        if self.failing_since.is_some() {
            return BackupState::FAILED;
        }
        let since = self.taken_at.max(self.expected_since);
        let is_late = expect.zip(since).is_some_and(|(expect, since)| since.plus(expect) < now);
        if is_late { BackupState::MISSING } else { BackupState::GOOD }
    }

    /// A sentence about what is wrong. `None` if nothing is.
    pub fn trouble(&self, expect: Option<i64>, now: Timestamp) -> Option<String> {
        let last = || match self.taken_at {
            Some(taken_at) => format!("the last complete backup is of {taken_at}"),
            None => "there was none so far".into(),
        };
        match self.state(expect, now) {
            BackupState::FAILED => {
                let problem = self.problem.as_deref().unwrap_or("for an unknown reason");
                Some(format!("the last backup failed: {problem}"))
            }
            BackupState::MISSING => {
                Some(format!("no complete backup came within {}: {}", period(expect.unwrap_or_default()), last()))
            }
            _ => None,
        }
    }

    /// Whether the operators know less than this state, or no moment is set from which a backup is expected.
    fn is_news(&self, expect: Option<i64>, now: Timestamp) -> bool {
        let is_good = |state: BackupState| state == BackupState::GOOD;
        is_good(self.told) != is_good(self.state(expect, now)) || expect.is_some() && self.expected_since.is_none()
    }
}

/// A period in its largest whole unit.
fn period(seconds: i64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds % length == 0).unwrap_or((1, "second"));
    match seconds / length {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

fn record(db: &Connection, outcome: &BackupOutcome, now: Timestamp) -> rusqlite::Result<()> {
    match outcome {
        BackupOutcome::Complete { name, taken_at, place } => db
            .prepare_cached(
                "UPDATE backup_status SET name = ?1, taken_at = ?2, place = ?3, failing_since = NULL, problem = NULL",
            )?
            .execute((name, taken_at, place))?,
        BackupOutcome::Failed { problem } => db
            .prepare_cached("UPDATE backup_status SET failing_since = coalesce(failing_since, ?1), problem = ?2")?
            .execute((now, problem.chars().take(LONGEST_PROBLEM).collect::<String>()))?,
    };
    Ok(())
}

/// Records the outcome in a central file that this process has not opened as an instance. Does nothing if the file is of
/// an earlier version.
pub fn record_by_command(central: &Path, outcome: &BackupOutcome, now: Timestamp) -> anyhow::Result<()> {
    let mut db = storage::open_writer(central)?;
    storage::transaction(&mut db, |db| {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'backup_status'";
        if db.prepare(sql)?.exists([])? { record(db, outcome, now) } else { Ok(()) }
    })?;
    Ok(())
}

impl Central {
    pub fn backup_status(&self) -> Result<BackupStatus> {
        self.read(|db| Ok(BackupStatus::read(db)?))
    }

    /// Records the outcome of a backup of everything.
    pub fn record_backup(&self, outcome: BackupOutcome, now: Timestamp) -> Result<()> {
        self.write(move |db| Ok(record(db, &outcome, now)?))
    }

    /// Alerts the operators if backups fail or do not come, and tells them when one comes again.
    pub fn watch_backups(&self, watch: BackupWatch, now: Timestamp) -> Result<()> {
        if self.backup_status()?.is_news(watch.expect, now) {
            self.write(move |db| alert(db, &watch, now))?;
        }
        Ok(())
    }

    /// The message to the webhook, if one is due. A due time beyond the longest wait means that the clock was set back.
    pub fn due_backup_message(&self, now: Timestamp) -> Result<Option<DueMessage>> {
        self.read(move |db| {
            let sql = "SELECT message_id, message, message_tries FROM backup_status
                       WHERE message_due_at <= ?1 OR message_due_at > ?2";
            let message = |row: &Row<'_>| Ok(DueMessage { id: row.get(0)?, body: row.get(1)?, tries: row.get(2)? });
            Ok(db.prepare_cached(sql)?.query_row((now, now.plus(LONGEST_WAIT)), message).optional()?)
        })
    }

    /// Forgets a message that was delivered, unless another one has replaced it.
    pub fn note_backup_message_delivered(&self, message: &DueMessage) -> Result<()> {
        let id = message.id.clone();
        self.write(move |db| {
            let sql = "UPDATE backup_status SET message_due_at = NULL, message = NULL WHERE message_id = ?1";
            Ok(db.execute(sql, [&id]).map(drop)?)
        })
    }

    /// Schedules the next attempt. Returns false if there is none.
    pub fn note_backup_message_failed(&self, message: &DueMessage, now: Timestamp) -> Result<bool> {
        let (id, tries) = (message.id.clone(), message.tries + 1);
        let due_at = WAITS.get(message.tries as usize).map(|wait| now.plus(*wait));
        self.write(move |db| {
            let sql = "UPDATE backup_status SET message_tries = ?2, message_due_at = ?3 WHERE message_id = ?1";
            Ok::<_, Error>(db.execute(sql, (&id, tries, due_at)).map(drop)?)
        })?;
        Ok(due_at.is_some())
    }
}

fn alert(db: &Connection, watch: &BackupWatch, now: Timestamp) -> Result<()> {
    let status = BackupStatus::read(db)?;
    if watch.expect.is_some() && status.expected_since.is_none() {
        db.execute("UPDATE backup_status SET expected_since = ?1", [now])?;
    }
    let state = status.state(watch.expect, now);
    let (was_good, is_good) = (status.told == BackupState::GOOD, state == BackupState::GOOD);
    if was_good == is_good {
        return Ok(());
    }
    db.execute("UPDATE backup_status SET told = ?1", [state])?;
    // Nothing came again if none is expected any more.
    if is_good && status.told == BackupState::MISSING && watch.expect.is_none() {
        return Ok(());
    }
    tell(db, &status, state, watch, now)
}

/// Queues the mails and the message.
fn tell(db: &Connection, status: &BackupStatus, state: BackupState, watch: &BackupWatch, now: Timestamp) -> Result<()> {
    let (event, subject) = match state {
        BackupState::FAILED => ("backup.failed", "The backup failed"),
        BackupState::MISSING => ("backup.missing", "No backup came"),
        _ => ("backup.recovered", "Backups work again"),
    };
    let trouble = status.trouble(watch.expect, now);
    let sentence = match (&trouble, &status.name) {
        (Some(trouble), _) => format!("On this server, {trouble}."),
        (None, Some(name)) => format!("The backup {name} is complete."),
        (None, None) => "There is a complete backup.".into(),
    };
    let operators: Vec<(String, String)> = db
        .prepare_cached("SELECT name, email FROM accounts WHERE operator AND disabled_at IS NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (name, email) in operators {
        let mail = BackupAlert {
            name,
            subject: subject.to_owned(),
            sentence: sentence.clone(),
            server: watch.server.clone(),
            last: status.taken_at,
            place: status.place.clone(),
            is_trouble: trouble.is_some(),
        };
        outbox::queue(db, &mail.mail(email.parse().map_err(Error::Internal)?)?, now)?;
    }
    if watch.has_webhook {
        let body = json!({"type": event, "timestamp": now, "data": {
            "server": watch.server, "problem": trouble, "last_backup": status.name, "last_backup_at": status.taken_at,
            "place": status.place,
        }});
        let sql = "UPDATE backup_status SET message_id = ?1, message = ?2, message_tries = 0, message_due_at = ?3";
        db.execute(sql, (format!("msg_{}", Uuid::now_v7().simple()), body.to_string(), now))?;
    }
    Ok(())
}

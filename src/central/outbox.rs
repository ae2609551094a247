//! The outbox: mails to be sent, written in the transaction that causes them. `jobs/mail_sender.rs` sends them.

use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::quotas::Quotas;
use crate::api::Result;
use crate::tenancy::Central;
use crate::values::{Email, Timestamp};

/// Seconds before each retry. After the last one failed, the mail is a dead letter.
const WAITS: [i64; 4] = [2, 60, 15 * 60, LONGEST_WAIT];
const LONGEST_WAIT: i64 = 2 * 3600;

/// Maximum characters of a mail server's error message that are stored.
const LONGEST_ERROR: usize = 500;

/// A mail to one recipient, as text and as HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub to: Email,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// A mail that is due.
#[derive(Debug)]
pub struct Queued {
    pub id: i64,
    /// The same for every attempt.
    pub message_id: String,
    pub mail: Mail,
    pub created_at: Timestamp,
    /// Number of failed attempts.
    pub tries: u32,
}

/// A mail that is not retried automatically.
#[derive(Debug)]
pub struct DeadLetter {
    pub id: i64,
    pub recipient: String,
    pub subject: String,
    pub tries: u32,
    pub last_error: String,
    pub last_tried_at: Timestamp,
}

/// Queues a mail that the server sends on its own behalf.
pub fn queue(db: &Connection, mail: &Mail, now: Timestamp) -> rusqlite::Result<()> {
    insert(db, mail, None, now)
}

/// Queues a mail that an account causes, if the account's hourly quota allows it.
pub fn queue_for(db: &Connection, quotas: Quotas, cause_id: i64, mail: &Mail, now: Timestamp) -> Result<()> {
    quotas.count_mail(db, cause_id, now)?;
    Ok(insert(db, mail, Some(cause_id), now)?)
}

fn insert(db: &Connection, mail: &Mail, cause_id: Option<i64>, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO outbox (message_id, recipient, subject, text, html, cause_id, created_at, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
    )?
    .execute((Uuid::now_v7().to_string(), &mail.to, &mail.subject, &mail.text, &mail.html, cause_id, now))?;
    Ok(())
}

impl Central {
    /// Returns mails that are due, in rounds: the oldest of each cause, then the second of each. So the many mails of
    /// one account do not delay those of others. The cause of a mail that the server sends on its own behalf is its
    /// recipient. A due time beyond the longest back-off means that the clock was set back; such a mail is due at once.
    pub fn mails_due(&self, now: Timestamp, most: u32, of_one_cause: u32) -> Result<Vec<Queued>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "WITH due AS (
                     SELECT id, due_at,
                            row_number() OVER (PARTITION BY coalesce(cause_id, recipient) ORDER BY due_at, id) AS turn
                     FROM outbox WHERE due_at <= ?1 OR due_at > ?2)
                 SELECT o.id, message_id, recipient, subject, text, html, created_at, tries
                 FROM due JOIN outbox o ON o.id = due.id WHERE turn <= ?4 ORDER BY turn, due.due_at, due.id LIMIT ?3",
            )?;
            let mails = statement.query_map((now, now.plus(LONGEST_WAIT), most, of_one_cause), from_row)?;
            Ok(mails.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Records an attempt before the mail is sent. If this write fails, the mail is not sent, because it could not be
    /// removed after sending either.
    pub fn note_mail_tried(&self, id: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE outbox SET last_tried_at = ?2 WHERE id = ?1")?.execute((id, now))?;
            Ok(())
        })
    }

    /// Removes a mail that was sent.
    pub fn forget_mail(&self, id: i64) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            Ok(())
        })
    }

    /// Records a failed attempt. Returns the time of the next attempt, if any.
    pub fn note_mail_failed(&self, queued: &Queued, error: &str, now: Timestamp) -> Result<Option<Timestamp>> {
        let (id, due_at) = (queued.id, WAITS.get(queued.tries as usize).map(|wait| now.plus(*wait)));
        let error: String = error.chars().take(LONGEST_ERROR).collect();
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE outbox SET tries = tries + 1, due_at = ?2, last_error = ?3, last_tried_at = ?4 WHERE id = ?1",
            )?
            .execute((id, due_at, &error, now))?;
            Ok(due_at)
        })
    }

    /// The numbers of mails that wait for the first attempt, that wait for a retry, and that are dead letters.
    pub fn count_mails(&self) -> Result<[i64; 3]> {
        self.read(|db| {
            let sql = "SELECT count(*) FILTER (WHERE due_at IS NOT NULL AND tries = 0),
                              count(*) FILTER (WHERE due_at IS NOT NULL AND tries > 0),
                              count(*) FILTER (WHERE due_at IS NULL) FROM outbox";
            let count = |row: &Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
            Ok(db.prepare_cached(sql)?.query_row([], count)?)
        })
    }

    /// The dead letters, oldest first.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        self.read(|db| {
            let mut statement = db.prepare(
                "SELECT id, recipient, subject, tries, last_error, last_tried_at FROM outbox
                 WHERE due_at IS NULL ORDER BY id",
            )?;
            let letters = statement.query_map([], |row| {
                Ok(DeadLetter {
                    id: row.get(0)?,
                    recipient: row.get(1)?,
                    subject: row.get(2)?,
                    tries: row.get(3)?,
                    last_error: row.get(4)?,
                    last_tried_at: row.get(5)?,
                })
            })?;
            Ok(letters.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Queues a dead letter again: see [`queue_again`].
    pub fn queue_mail_again(&self, id: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| Ok(queue_again(db, id, now)?))
    }
}

/// Queues a dead letter again. All attempts are available again.
pub fn queue_again(db: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    db.execute("UPDATE outbox SET due_at = ?2, tries = 0 WHERE id = ?1 AND due_at IS NULL", (id, now))?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Queued> {
    Ok(Queued {
        id: row.get(0)?,
        message_id: row.get(1)?,
        mail: Mail { to: row.get(2)?, subject: row.get(3)?, text: row.get(4)?, html: row.get(5)? },
        created_at: row.get(6)?,
        tries: row.get(7)?,
    })
}

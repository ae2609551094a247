//! The outbox: mails to be sent, written in the transaction that causes them. `jobs/mail.rs` sends them.

use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::quotas::Quotas;
use crate::api::Result;
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
pub fn put(db: &Connection, mail: &Mail, now: Timestamp) -> rusqlite::Result<()> {
    insert(db, mail, None, now)
}

/// Queues a mail that an account causes, if the account's hourly quota allows it.
pub fn put_for(db: &Connection, quotas: Quotas, cause_id: i64, mail: &Mail, now: Timestamp) -> Result<()> {
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

/// Returns mails that are due, in rounds: the oldest of each cause, then the second of each, so an account that causes
/// many mails delays nobody else's. The cause of a mail that the server sends on its own behalf is its recipient. A due
/// time beyond the longest back-off means that the clock was set back; such a mail is due at once.
pub fn due(db: &Connection, now: Timestamp, most: u32, of_one_cause: u32) -> rusqlite::Result<Vec<Queued>> {
    db.prepare_cached(
        "WITH due AS (
             SELECT id, due_at, row_number() OVER (PARTITION BY coalesce(cause_id, recipient) ORDER BY due_at, id) AS turn
             FROM outbox WHERE due_at <= ?1 OR due_at > ?2)
         SELECT o.id, message_id, recipient, subject, text, html, created_at, tries
         FROM due JOIN outbox o ON o.id = due.id WHERE turn <= ?4 ORDER BY turn, due.due_at, due.id LIMIT ?3",
    )?
    .query_map((now, now.plus(LONGEST_WAIT), most, of_one_cause), from_row)?
    .collect()
}

/// Records an attempt before the mail is sent. If this write fails, the mail could not be removed after sending either,
/// so it is not sent.
pub fn tried(db: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE outbox SET last_tried_at = ?2 WHERE id = ?1")?.execute((id, now))?;
    Ok(())
}

/// Removes a mail that was sent.
pub fn sent(db: &Connection, id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Records a failed attempt. Returns the time of the next attempt, if any.
pub fn failed(db: &Connection, queued: &Queued, error: &str, now: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
    let due_at = WAITS.get(queued.tries as usize).map(|wait| now.plus(*wait));
    let error: String = error.chars().take(LONGEST_ERROR).collect();
    db.prepare_cached(
        "UPDATE outbox SET tries = tries + 1, due_at = ?2, last_error = ?3, last_tried_at = ?4 WHERE id = ?1",
    )?
    .execute((queued.id, due_at, error, now))?;
    Ok(due_at)
}

/// The numbers of mails that wait for the first attempt, that wait for a retry, and that are dead letters.
pub fn count(db: &Connection) -> rusqlite::Result<[i64; 3]> {
    let sql = "SELECT count(*) FILTER (WHERE due_at IS NOT NULL AND tries = 0),
                      count(*) FILTER (WHERE due_at IS NOT NULL AND tries > 0),
                      count(*) FILTER (WHERE due_at IS NULL) FROM outbox";
    db.prepare_cached(sql)?.query_row([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
}

/// The dead letters, oldest first.
pub fn dead_letters(db: &Connection) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut statement = db.prepare(
        "SELECT id, recipient, subject, tries, last_error, last_tried_at FROM outbox WHERE due_at IS NULL ORDER BY id",
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
    letters.collect()
}

/// Queues a dead letter again, with all its attempts.
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

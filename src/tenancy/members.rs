//! The users of a workspace file. Each is an account, with copies of the account's name and address.

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use super::journal::Recorded;
use super::journal::{Actor, ChangeRecorder};
use crate::values::Timestamp;

/// A user, as the journal records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub mobile_phone: Option<String>,
    pub extension: Option<String>,
    pub pops: String,
    pub role: MemberRole,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberRole {
    pub id: i64,
    pub name: String,
}

pub const RECORDED: &Recorded = &Recorded::announced("user", "user.view");

pub fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Member>> {
    one(db, "id", id)
}

/// The user of an account in this workspace.
pub fn of_account(db: &Connection, account_id: i64) -> rusqlite::Result<Option<Member>> {
    one(db, "account_id", account_id)
}

/// The account of a user, if a user with this id exists.
pub fn account_of(db: &Connection, id: i64) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT account_id FROM users WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

/// All users, by id.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<Member>> {
    db.prepare(&format!("{SELECT} ORDER BY u.id"))?.query_map([], from_row)?.collect()
}

fn one(db: &Connection, column: &'static str, value: i64) -> rusqlite::Result<Option<Member>> {
    db.prepare_cached(&format!("{SELECT} WHERE u.{column} = ?1"))?.query_row([value], from_row).optional()
}

const SELECT: &str = "SELECT u.id, u.name, u.email, u.phone, u.mobile_phone, r.id, r.name, u.extension, u.pops
                      FROM users u JOIN roles r ON r.id = u.role_id";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        phone: row.get(3)?,
        mobile_phone: row.get(4)?,
        role: MemberRole { id: row.get(5)?, name: row.get(6)? },
        extension: row.get(7)?,
        pops: row.get(8)?,
    })
}

impl Member {
    /// The user as the actor of a change.
    pub fn actor(self) -> Actor {
        Actor::User { id: self.id, name: self.name }
    }
}

/// Updates the copies of an account's name and address. Returns the name of the user's role, or `None` if the account
/// is no user here. A name that was set in the workspace stays until the account's own name changes.
pub fn refresh_copies(
    db: &Connection,
    account_id: i64,
    name: &str,
    email: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(
        "UPDATE users SET name = iif(account_name = ?2, name, ?2), account_name = ?2, email = ?3, updated_at = ?4
         WHERE account_id = ?1 AND (account_name, email) IS NOT (?2, ?3)",
    )?
    .execute((account_id, name, email, now))?;
    db.prepare_cached("SELECT r.name FROM users u JOIN roles r ON r.id = u.role_id WHERE u.account_id = ?1")?
        .query_row([account_id], |row| row.get(0))
        .optional()
}

pub fn role(db: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT name FROM roles WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

pub fn role_named(db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM roles WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// Adds an account as a user. Returns false if it was one already; that user keeps its role.
pub fn add(
    db: &Connection,
    recorder: &ChangeRecorder,
    account_id: i64,
    name: &str,
    email: &str,
    role_id: i64,
) -> rusqlite::Result<bool> {
    let added = db
        .prepare_cached(
            "INSERT INTO users (account_id, name, account_name, email, role_id, created_at, updated_at)
             VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (account_id) DO NOTHING",
        )?
        .execute((account_id, name, email, role_id, recorder.at))?;
    if added == 0 {
        return Ok(false);
    }
    if let Some(member) = of_account(db, account_id)? {
        recorder.created(db, RECORDED, &member)?;
    }
    Ok(true)
}

/// Gives a user this role. Returns the user's account, or `None` if there is no such user.
pub fn promote(db: &Connection, recorder: &ChangeRecorder, user_id: i64, role: &str) -> rusqlite::Result<Option<i64>> {
    let Some(old) = find(db, user_id)? else { return Ok(None) };
    let account_id = db
        .prepare_cached(
            "UPDATE users SET role_id = (SELECT id FROM roles WHERE name = ?2), updated_at = ?3 WHERE id = ?1
             RETURNING account_id",
        )?
        .query_row((user_id, role, recorder.at), |row| row.get(0))?;
    if let Some(new) = find(db, user_id)? {
        recorder.updated(db, RECORDED, &old, &new)?;
    }
    Ok(Some(account_id))
}

/// Removes the user of an account. Returns whether there was one.
pub fn remove(db: &Connection, recorder: &ChangeRecorder, account_id: i64) -> rusqlite::Result<bool> {
    let Some(member) = of_account(db, account_id)? else { return Ok(false) };
    db.prepare_cached("DELETE FROM users WHERE account_id = ?1")?.execute([account_id])?;
    recorder.deleted(db, RECORDED, &member)?;
    Ok(true)
}

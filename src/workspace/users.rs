//! Users: the accounts that are members of this workspace, each with a role and phones of its own here.

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::Serialize;

use crate::values::Timestamp;

/// A user of a workspace; its id is this workspace's own.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WorkspaceUser")]
pub struct User {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub mobile_phone: Option<String>,
    pub role: UserRole,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct UserRole {
    pub id: i64,
    pub name: String,
}

/// The user that an account is in this workspace.
pub fn of_account(db: &Connection, account_id: i64) -> rusqlite::Result<Option<User>> {
    db.prepare_cached(
        "SELECT u.id, u.name, u.email, u.phone, u.mobile_phone, r.id, r.name, u.created_at, u.updated_at
         FROM users u JOIN roles r ON r.id = u.role_id WHERE u.account_id = ?1",
    )?
    .query_row([account_id], |row| {
        Ok(User {
            id: row.get(0)?,
            name: row.get(1)?,
            email: row.get(2)?,
            phone: row.get(3)?,
            mobile_phone: row.get(4)?,
            role: UserRole { id: row.get(5)?, name: row.get(6)? },
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
        })
    })
    .optional()
}

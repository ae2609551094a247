//! Memberships: which accounts belong to which workspaces. A workspace's file has the same as its users; here it stands
//! for lists that must not open every file, with a copy of the role's name.

use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::tokens;
use crate::api::{Error, Result};
use crate::tenancy::adoption::Joining;
use crate::values::Timestamp;

/// Makes an account a member; one that is a member already has this role from now on.
pub fn save(db: &Connection, account_id: i64, workspace: Uuid, role: &str, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO memberships (account_id, workspace_id, role, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET role = excluded.role WHERE role <> excluded.role",
    )?
    .execute((account_id, workspace.to_string(), role, now))?;
    Ok(())
}

/// Gives a member's role its present name. Who is no member any more does not become one by it.
pub fn set_role(db: &Connection, account_id: i64, workspace: Uuid, role: &str) -> Result<()> {
    db.prepare_cached("UPDATE memberships SET role = ?3 WHERE account_id = ?1 AND workspace_id = ?2")?.execute((
        account_id,
        workspace.to_string(),
        role,
    ))?;
    Ok(())
}

/// Ends a membership, and with it the account's tokens for the workspace. Done again, it does nothing.
pub fn end(db: &Connection, account_id: i64, workspace: Uuid, now: Timestamp) -> Result<()> {
    let owns = db
        .prepare_cached("SELECT 1 FROM workspaces WHERE id = ?1 AND owner_id = ?2")?
        .exists((workspace.to_string(), account_id))?;
    if owns {
        return Err(Error::refused("is_owner", "The owner of the workspace stays: transfer the workspace first."));
    }
    db.prepare_cached("DELETE FROM memberships WHERE account_id = ?1 AND workspace_id = ?2")?
        .execute((account_id, workspace.to_string()))?;
    tokens::revoke_member(db, account_id, workspace, now)?;
    Ok(())
}

/// Who belongs to a workspace, with the name of the role that each has.
pub fn of_workspace(db: &Connection, workspace: Uuid) -> rusqlite::Result<Vec<Joining>> {
    let sql = "SELECT a.id, a.name, a.email, m.role FROM memberships m JOIN accounts a ON a.id = m.account_id
               WHERE m.workspace_id = ?1 ORDER BY a.id";
    let joining = |row: &Row<'_>| {
        Ok(Joining { account_id: row.get(0)?, name: row.get(1)?, email: row.get(2)?, role: row.get(3)? })
    };
    db.prepare_cached(sql)?.query_map([workspace.to_string()], joining)?.collect()
}

pub fn rename_role(db: &Connection, workspace: Uuid, old: &str, new: &str) -> Result<()> {
    db.prepare_cached("UPDATE memberships SET role = ?3 WHERE workspace_id = ?1 AND role = ?2")?.execute((
        workspace.to_string(),
        old,
        new,
    ))?;
    Ok(())
}

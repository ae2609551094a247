//! Which workspaces have webhooks, as the central file remembers it. The webhooks themselves are in the workspaces.

use rusqlite::Connection;
use uuid::Uuid;

/// Remembers a workspace that has one, or soon will.
pub fn add(db: &Connection, workspace: Uuid) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO webhook_workspaces (workspace_id) VALUES (?1)")?
        .execute([workspace.to_string()])?;
    Ok(())
}

/// Lets the server know that deliveries wait in a workspace: what a command does that made some.
pub fn announce(db: &Connection, workspace: Uuid) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE webhook_workspaces SET has_news = 1 WHERE workspace_id = ?1")?
        .execute([workspace.to_string()])?;
    Ok(())
}

/// All of them: where the server looks at its start.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<Uuid>> {
    ids(db, "SELECT workspace_id FROM webhook_workspaces")
}

/// Those that a command has announced.
pub fn announced(db: &Connection) -> rusqlite::Result<Vec<Uuid>> {
    ids(db, "SELECT workspace_id FROM webhook_workspaces WHERE has_news")
}

/// Takes back what commands have announced, of these.
pub fn taken(db: &Connection, workspaces: &[Uuid]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("UPDATE webhook_workspaces SET has_news = 0 WHERE workspace_id = ?1")?;
    workspaces.iter().try_for_each(|id| statement.execute([id.to_string()]).map(|_| ()))
}

fn ids(db: &Connection, sql: &'static str) -> rusqlite::Result<Vec<Uuid>> {
    db.prepare_cached(sql)?.query_map([], |row| crate::storage::uuid_column(row, 0))?.collect()
}

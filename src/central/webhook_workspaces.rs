//! Which workspaces have webhooks, as the central file remembers it. The webhooks themselves are in the workspaces.

use rusqlite::Connection;
use uuid::Uuid;

use crate::api::Result;
use crate::tenancy::Central;

/// Remembers a workspace that has one, or soon will.
pub fn add(db: &Connection, workspace: Uuid) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO webhook_workspaces (workspace_id) VALUES (?1)")?
        .execute([workspace.to_string()])?;
    Ok(())
}

impl Central {
    /// Remembers a workspace that has a webhook, or soon will.
    pub fn add_webhook_workspace(&self, workspace: Uuid) -> Result<()> {
        self.write(move |db| Ok(add(db, workspace)?))
    }

    /// Lets the server know that deliveries wait in a workspace: what a command does that made some.
    pub fn announce_deliveries(&self, workspace: Uuid) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE webhook_workspaces SET has_news = 1 WHERE workspace_id = ?1")?
                .execute([workspace.to_string()])?;
            Ok(())
        })
    }

    /// All workspaces that have webhooks: where the server looks at its start.
    pub fn webhook_workspaces(&self) -> Result<Vec<Uuid>> {
        self.read(|db| Ok(ids(db, "SELECT workspace_id FROM webhook_workspaces")?))
    }

    /// Those that a command has announced.
    pub fn announced_deliveries(&self) -> Result<Vec<Uuid>> {
        self.read(|db| Ok(ids(db, "SELECT workspace_id FROM webhook_workspaces WHERE has_news")?))
    }

    /// Takes back what commands have announced, of these.
    pub fn take_announced(&self, workspaces: Vec<Uuid>) -> Result<()> {
        self.write(move |db| {
            let sql = "UPDATE webhook_workspaces SET has_news = 0 WHERE workspace_id = ?1";
            let mut statement = db.prepare_cached(sql)?;
            Ok(workspaces.iter().try_for_each(|id| statement.execute([id.to_string()]).map(|_| ()))?)
        })
    }
}

fn ids(db: &Connection, sql: &'static str) -> rusqlite::Result<Vec<Uuid>> {
    db.prepare_cached(sql)?.query_map([], |row| crate::storage::uuid_column(row, 0))?.collect()
}

//! The list of workspaces with webhooks, in the central file. The webhooks themselves are in the workspaces' files.

use rusqlite::Connection;
use uuid::Uuid;

use crate::api::Result;
use crate::tenancy::Central;

/// Adds a workspace that has a webhook or is about to have one.
pub fn add(db: &Connection, workspace: Uuid) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO webhook_workspaces (workspace_id) VALUES (?1)")?
        .execute([workspace.to_string()])?;
    Ok(())
}

impl Central {
    /// Adds a workspace that has a webhook or is about to have one.
    pub fn add_webhook_workspace(&self, workspace: Uuid) -> Result<()> {
        self.write(move |db| Ok(add(db, workspace)?))
    }

    /// Marks a workspace with pending deliveries. Commands use this to notify the server.
    pub fn announce_deliveries(&self, workspace: Uuid) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("UPDATE webhook_workspaces SET has_news = 1 WHERE workspace_id = ?1")?
                .execute([workspace.to_string()])?;
            Ok(())
        })
    }

    /// All workspaces with webhooks. The server checks them when it starts.
    pub fn webhook_workspaces(&self) -> Result<Vec<Uuid>> {
        self.read(|db| Ok(ids(db, "SELECT workspace_id FROM webhook_workspaces")?))
    }

    /// The workspaces that commands have marked.
    pub fn announced_deliveries(&self) -> Result<Vec<Uuid>> {
        self.read(|db| Ok(ids(db, "SELECT workspace_id FROM webhook_workspaces WHERE has_news")?))
    }

    /// Clears the marks of these workspaces.
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

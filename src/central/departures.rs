//! Users of deleted accounts that are still in workspaces. The rows are written with the deletion of the account. The server
//! that serves the workspace removes the user, at once or in a round of its jobs.

use rusqlite::Connection;
use uuid::Uuid;

use crate::api::{Error, Result};
use crate::instance::Instance;
use crate::storage::uuid_column;
use crate::tenancy::{ChangeRecorder, members};
use crate::values::Timestamp;

/// A user to remove.
struct Departure {
    id: i64,
    account_id: i64,
    workspace: Uuid,
}

/// Notes that the users of an account are to be removed, in the transaction that deletes the account.
pub fn note(db: &Connection, account_id: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO departures (account_id, workspace_id)
         SELECT account_id, workspace_id FROM memberships WHERE account_id = ?1",
    )?
    .execute([account_id])?;
    Ok(())
}

/// Removes the users of a deleted account from the workspaces that this server serves. The deletion stands even if this
/// fails; the jobs repeat it.
pub fn remove_now(instance: &Instance, account_id: i64, recorder: impl Fn(Uuid) -> ChangeRecorder) {
    let removed = departures(instance, Some(account_id)).and_then(|left| remove_users(instance, left, recorder));
    if let Err(error) = removed {
        tracing::warn!(%error, "could not remove some users of a deleted account; they are removed later");
    }
}

/// Removes the users of all deleted accounts. If a workspace is in the trash or cannot be written, a later round repeats it.
pub fn remove_all(instance: &Instance, now: Timestamp) -> Result<()> {
    remove_users(instance, departures(instance, None)?, |workspace| instance.system_recorder(workspace, now))
}

fn remove_users(instance: &Instance, left: Vec<Departure>, recorder: impl Fn(Uuid) -> ChangeRecorder) -> Result<()> {
    let mut result = Ok(());
    for Departure { id, account_id, workspace } in left {
        if !instance.serves(workspace) {
            continue;
        }
        let (lease, recorder) = (instance.registry.lease(workspace), recorder(workspace));
        let removed = lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &recorder, account_id)?));
        let noted = removed.and_then(|_| {
            instance.central.write(move |db| {
                db.prepare_cached("DELETE FROM departures WHERE id = ?1")?.execute([id])?;
                Ok(())
            })
        });
        result = result.and(noted);
    }
    result
}

/// The users to remove from workspaces in service, of one account or of all.
fn departures(instance: &Instance, account_id: Option<i64>) -> Result<Vec<Departure>> {
    instance.central.read(move |db| {
        let mut statement = db.prepare_cached(
            "SELECT departures.id, account_id, workspace_id
             FROM departures JOIN workspaces ON workspaces.id = workspace_id
             WHERE status IN ('active', 'suspended') AND (?1 IS NULL OR account_id = ?1)",
        )?;
        let rows = statement.query_map([account_id], |row| {
            Ok(Departure { id: row.get(0)?, account_id: row.get(1)?, workspace: uuid_column(row, 2)? })
        })?;
        Ok::<_, Error>(rows.collect::<rusqlite::Result<_>>()?)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::Error;
    use crate::jobs;
    use crate::tests::{PASSWORD, TestServer};
    use crate::values::Timestamp;

    #[test]
    fn the_user_of_a_deleted_account_is_removed_from_a_workspace_that_was_in_the_trash() {
        let server = TestServer::new();
        server.join_acme("ada@example.com", "admin");
        let users = |server: &TestServer| server.admin().get("/users").ok()["total"].clone();
        assert_eq!(users(&server), 2);
        let path = format!("/workspaces/{}", server.acme.id);
        server.central().delete_with(&path, json!({"subdomain": "acme"})).ok();
        let login = json!({"email": "ada@example.com", "password": PASSWORD});
        let ada = server.anonymous().signed_in(&server.anonymous().post("/login", login).ok());
        ada.delete_with("/account", json!({"current_password": PASSWORD})).ok();
        server.central().post(&format!("/instance{path}/restore"), json!({})).created();
        jobs::round(&server.instance, Timestamp::now(), false).unwrap();
        assert_eq!(users(&server), 1);
        let count = "SELECT count(*) FROM departures";
        let left = server.instance.central.read(move |db| Ok::<i64, Error>(db.query_row(count, [], |row| row.get(0))?));
        assert_eq!(left.unwrap(), 0);
    }
}

//! Imports a workspace file from elsewhere: verifies and migrates it, and turns its users into accounts of this server.
//! Its content is not trusted before its schema equals that of our own files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, ensure};
use rusqlite::Connection;
use uuid::Uuid;

use super::ChangeRecorder;
use super::lifecycle::{OWNERS_ROLE, Owner};
use super::members::{self, Member};
use crate::storage::{self, FileKind, uuid_column};

/// A verified copy of the file, open.
pub struct Candidate {
    db: Connection,
    /// The workspace id that the file states.
    pub id: Uuid,
    /// The name of its first organisation.
    pub name: String,
    pub users: Vec<Member>,
}

/// An account to add as a user, and the name of its role.
#[derive(Debug, Clone)]
pub struct JoiningUser {
    pub account_id: i64,
    pub name: String,
    pub email: String,
    pub role: String,
}

/// The result of restoring a file to its own workspace.
#[derive(Debug, Default)]
pub struct Rejoined {
    /// Users of the file who are no longer members. They were removed.
    pub left: Vec<Member>,
    /// Addresses of members who were added because the file did not have them.
    pub joined: Vec<String>,
}

/// The result of importing a file: its users and webhooks.
#[derive(Debug, Default)]
pub struct ImportedUsers {
    /// Users with an account here: the account and the name of the role.
    pub members: Vec<(i64, String)>,
    /// Users without an account.
    pub guests: Vec<Member>,
    /// The number of webhooks that were disabled, because the original server may still deliver for them.
    pub webhooks: usize,
}

impl Candidate {
    /// Verifies the schema of a copy against its version, then opens and migrates it. No one else may use the copy.
    pub fn open(path: &Path, template: &Path) -> anyhow::Result<Self> {
        let no_workspace = "the file is not a cx-engine workspace";
        let folder = path.parent().context(no_workspace)?;
        match storage::verify_schema(path, FileKind::Workspace, folder) {
            // A newer version is the complete explanation.
            Err(newer) if newer.is::<storage::NewerVersion>() => return Err(newer),
            verified => verified.context(no_workspace)?,
        }
        let mut db = storage::open_verified(path).context(no_workspace)?;
        let id = db.query_row("SELECT id FROM workspace", [], |row| uuid_column(row, 0)).context(no_workspace)?;
        storage::migrate(&mut db, FileKind::Workspace)?;
        ensure!(storage::schema(&db)? == storage::schema(&storage::open_reader(template)?)?, no_workspace);
        let problems = storage::integrity_problems(&db).context("the file is damaged")?;
        ensure!(problems.is_empty(), "the file is damaged: {}", problems.join("; "));
        let name = db.query_row("SELECT name FROM organisations ORDER BY id LIMIT 1", [], |row| row.get(0))?;
        let users = members::all(&db)?;
        Ok(Self { db, id, name, users })
    }

    /// Makes the copy the file of the workspace of `recorder`. Users with an account on this server stay, and get the
    /// account's id. The others are removed. The owner is added as a user. When this returns, the file is closed and
    /// complete without a WAL.
    pub fn import(
        mut self,
        recorder: &ChangeRecorder,
        owner: &Owner,
        accounts: &HashMap<String, i64>,
    ) -> anyhow::Result<ImportedUsers> {
        let adopted = storage::transaction(&mut self.db, |db| {
            db.execute("UPDATE workspace SET id = ?1", [recorder.workspace.to_string()])?;
            let webhooks = disable_webhooks(db)?;
            let joining = JoiningUser {
                account_id: owner.account_id,
                name: owner.name.clone(),
                email: owner.email.clone(),
                role: OWNERS_ROLE.into(),
            };
            let (members, guests) = match_users(db, recorder, &self.users, &[joining], accounts)?;
            Ok::<_, rusqlite::Error>(ImportedUsers { members, guests, webhooks })
        })?;
        self.db.close().map_err(|(_, error)| error)?;
        Ok(adopted)
    }

    /// Makes the copy the file of its own workspace again, with the current members in their current roles. When this
    /// returns, the file is closed and complete without a WAL.
    pub fn restore_users(mut self, recorder: &ChangeRecorder, members: &[JoiningUser]) -> anyhow::Result<Rejoined> {
        let accounts = members.iter().map(|member| (member.email.to_lowercase(), member.account_id)).collect();
        let rejoined = storage::transaction(&mut self.db, |db| {
            let (_, left) = match_users(db, recorder, &self.users, members, &accounts)?;
            let mut joined = Vec::new();
            for member in members {
                if !self.users.iter().any(|user| user.email.eq_ignore_ascii_case(&member.email)) {
                    joined.push(member.email.clone());
                }
                // If the file does not have the member's role, the user keeps the role in the file.
                let user = members::of_account(db, member.account_id)?.filter(|user| user.role.name != member.role);
                if let Some(user) = user
                    && members::role_named(db, &member.role)?.is_some()
                {
                    members::promote(db, recorder, user.id, &member.role)?;
                }
            }
            Ok::<_, rusqlite::Error>(Rejoined { left, joined })
        })?;
        self.db.close().map_err(|(_, error)| error)?;
        Ok(rejoined)
    }
}

/// Disables everything that would contact others on behalf of the original server, and deletes data that only that
/// server can decrypt.
fn disable_webhooks(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE webhook_deliveries SET status = 'failed', due_at = NULL,
         error = 'the workspace was moved to another server' WHERE due_at IS NOT NULL",
        [],
    )?;
    // Stored idempotent responses are encrypted with keys that this server does not have.
    db.execute("DELETE FROM idempotency_keys", [])?;
    db.execute("UPDATE webhooks SET active = 0 WHERE active", [])
}

/// The role of a member whose own role is missing in the file.
const LEAST_ROLE: &str = "agent";

type MatchedUsers = (Vec<(i64, String)>, Vec<Member>);

fn match_users(
    db: &Connection,
    recorder: &ChangeRecorder,
    users: &[Member],
    joining: &[JoiningUser],
    accounts: &HashMap<String, i64>,
) -> rusqlite::Result<MatchedUsers> {
    // First move the account ids of the original server out of the way, so that none is taken for an account of ours.
    db.execute("UPDATE users SET account_id = -id", [])?;
    let (mut settled, mut guests) = (Vec::new(), Vec::new());
    for user in users {
        let account = accounts.get(&user.email.to_lowercase()).copied();
        match account.filter(|account| !settled.iter().any(|(settled, _)| settled == account)) {
            Some(account) => {
                db.execute("UPDATE users SET account_id = ?2 WHERE id = ?1", (user.id, account))?;
                settled.push((account, user.role.name.clone()));
            }
            None => {
                members::remove(db, recorder, -user.id)?;
                guests.push(user.clone());
            }
        }
    }
    for JoiningUser { account_id, name, email, role } in joining {
        if !settled.iter().any(|(settled, _)| settled == account_id) {
            let (role, id) = match members::role_named(db, role)? {
                Some(id) => (role.as_str(), id),
                None => (LEAST_ROLE, members::role_named(db, LEAST_ROLE)?.unwrap_or_default()),
            };
            members::add(db, recorder, *account_id, name, email, id)?;
            settled.push((*account_id, role.to_owned()));
        }
    }
    Ok((settled, guests))
}

//! A workspace's file that comes from elsewhere: looked over, brought to this version, and its users made accounts of this
//! server. Nothing of it is believed before its schema is found to be the one that our own files have.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, ensure};
use rusqlite::Connection;
use uuid::Uuid;

use super::Author;
use super::life::{OWNERS_ROLE, Owner};
use super::members::{self, Member};
use crate::storage::{self, Kind, uuid_column};

/// A copy of the file, open and found good.
pub struct Candidate {
    db: Connection,
    /// The workspace that it says it is.
    pub id: Uuid,
    /// What its first organisation is called.
    pub name: String,
    pub users: Vec<Member>,
}

/// An account that is to be a user, in the role of this name.
#[derive(Debug, Clone)]
pub struct Joining {
    pub account_id: i64,
    pub name: String,
    pub email: String,
    pub role: String,
}

/// What became of the users of a file that its own workspace has again.
#[derive(Debug, Default)]
pub struct Rejoined {
    /// Those who are no members any more, and no users either now.
    pub left: Vec<Member>,
    /// The addresses of members who were none when the file was written.
    pub joined: Vec<String>,
}

/// What became of its users, and of its webhooks.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Those who have an account here, by the account, with the names of their roles.
    pub members: Vec<(i64, String)>,
    /// Those who have none.
    pub guests: Vec<Member>,
    /// How many were switched off: the server that it comes from may still tell them.
    pub webhooks: usize,
}

impl Candidate {
    /// Opens a copy that nobody else has, once its schema is known to be that of its version, and migrates it.
    pub fn open(path: &Path, template: &Path) -> anyhow::Result<Self> {
        let no_workspace = "the file is not one of a cx-engine workspace";
        let folder = path.parent().context(no_workspace)?;
        match storage::verify_schema(path, Kind::Workspace, folder) {
            // That one is of a later program is all there is to say.
            Err(newer) if newer.is::<storage::NewerVersion>() => return Err(newer),
            verified => verified.context(no_workspace)?,
        }
        let mut db = storage::open_verified(path).context(no_workspace)?;
        let id = db.query_row("SELECT id FROM workspace", [], |row| uuid_column(row, 0)).context(no_workspace)?;
        storage::migrate(&mut db, Kind::Workspace)?;
        ensure!(storage::schema(&db)? == storage::schema(&storage::open_reader(template)?)?, no_workspace);
        let problems = storage::problems(&db).context("the file is damaged")?;
        ensure!(problems.is_empty(), "the file is damaged: {}", problems.join("; "));
        let name = db.query_row("SELECT name FROM organisations ORDER BY id LIMIT 1", [], |row| row.get(0))?;
        let users = members::all(&db)?;
        Ok(Self { db, id, name, users })
    }

    /// Makes the copy the file of the workspace `author` writes in: its users are the accounts that have their addresses,
    /// its owner is one of them. It is closed when this returns, and all of it is in the one file.
    pub fn adopt(mut self, author: &Author, owner: &Owner, accounts: &HashMap<String, i64>) -> anyhow::Result<Adopted> {
        let adopted = storage::transaction(&mut self.db, |db| {
            db.execute("UPDATE workspace SET id = ?1", [author.workspace.to_string()])?;
            let webhooks = silence(db)?;
            let joining = Joining {
                account_id: owner.account_id,
                name: owner.name.clone(),
                email: owner.email.clone(),
                role: OWNERS_ROLE.into(),
            };
            let (members, guests) = settle(db, author, &self.users, &[joining], accounts)?;
            Ok::<_, rusqlite::Error>(Adopted { members, guests, webhooks })
        })?;
        self.db.close().map_err(|(_, error)| error)?;
        Ok(adopted)
    }

    /// Makes the copy the file of the workspace that it was written for, again: its users are the members that there are
    /// now, in the roles that they have now. It is closed when this returns, and all of it is in the one file.
    pub fn rejoin(mut self, author: &Author, members: &[Joining]) -> anyhow::Result<Rejoined> {
        let accounts = members.iter().map(|member| (member.email.to_lowercase(), member.account_id)).collect();
        let rejoined = storage::transaction(&mut self.db, |db| {
            let (_, left) = settle(db, author, &self.users, members, &accounts)?;
            let mut joined = Vec::new();
            for member in members {
                if !self.users.iter().any(|user| user.email.eq_ignore_ascii_case(&member.email)) {
                    joined.push(member.email.clone());
                }
                // One whose role the file does not know keeps the one that it had.
                let user = members::of_account(db, member.account_id)?.filter(|user| user.role.name != member.role);
                if let Some(user) = user
                    && members::role_named(db, &member.role)?.is_some()
                {
                    members::promote(db, author, user.id, &member.role)?;
                }
            }
            Ok::<_, rusqlite::Error>(Rejoined { left, joined })
        })?;
        self.db.close().map_err(|(_, error)| error)?;
        Ok(rejoined)
    }
}

/// Switches off what would speak to others for the server that the file comes from, and leaves out what only it can read.
fn silence(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE webhook_deliveries SET status = 'failed', due_at = NULL, error = 'the workspace came to another server'
         WHERE due_at IS NOT NULL",
        [],
    )?;
    // Answers that were kept to be given again; they are sealed with keys that this server does not have.
    db.execute("DELETE FROM idempotency_keys", [])?;
    db.execute("UPDATE webhooks SET active = 0 WHERE active", [])
}

/// The role of whoever had one that the file does not know.
const LEAST_ROLE: &str = "agent";

type Settled = (Vec<(i64, String)>, Vec<Member>);

fn settle(
    db: &Connection,
    author: &Author,
    users: &[Member],
    joining: &[Joining],
    accounts: &HashMap<String, i64>,
) -> rusqlite::Result<Settled> {
    // The numbers of that server's accounts first, so that none of them is taken for one of ours.
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
                members::remove(db, author, -user.id)?;
                guests.push(user.clone());
            }
        }
    }
    for Joining { account_id, name, email, role } in joining {
        if !settled.iter().any(|(settled, _)| settled == account_id) {
            let (role, id) = match members::role_named(db, role)? {
                Some(id) => (role.as_str(), id),
                None => (LEAST_ROLE, members::role_named(db, LEAST_ROLE)?.unwrap_or_default()),
            };
            members::add(db, author, *account_id, name, email, id)?;
            settled.push((*account_id, role.to_owned()));
        }
    }
    Ok((settled, guests))
}

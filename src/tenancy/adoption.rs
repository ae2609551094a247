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
    /// Opens a copy that nobody else has, and migrates it.
    pub fn open(path: &Path, template: &Path) -> anyhow::Result<Self> {
        let no_workspace = "the file is not one of a cx-engine workspace";
        let mut db = storage::open_writer(path).context(no_workspace)?;
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
            let (members, guests) = settle(db, author, &self.users, owner, accounts)?;
            Ok::<_, rusqlite::Error>(Adopted { members, guests, webhooks })
        })?;
        self.db.close().map_err(|(_, error)| error)?;
        Ok(adopted)
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

type Settled = (Vec<(i64, String)>, Vec<Member>);

fn settle(
    db: &Connection,
    author: &Author,
    users: &[Member],
    owner: &Owner,
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
    if !settled.iter().any(|(account, _)| *account == owner.account_id) {
        let role = members::role_named(db, OWNERS_ROLE)?.unwrap_or_default();
        members::add(db, author, owner.account_id, &owner.name, &owner.email, role)?;
        settled.push((owner.account_id, OWNERS_ROLE.into()));
    }
    Ok((settled, guests))
}

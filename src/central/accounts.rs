//! Accounts: people, wherever they work. One account may be a member of many workspaces.

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session;
use super::tokens;
use super::workspaces;
use crate::api::{Changes, Created, Done, Error, Json, Needs, Result, Route, Steps, Tries, delete, hashing, put};
use crate::auth::Purpose;
use crate::engine::Engine;
use crate::tenancy::journal::Actor;
use crate::tenancy::members;
use crate::values::{Email, Name, Password, Text, Timestamp};

pub const ROUTES: &[Route] = &[
    put("/account", &hashing(update), Needs::SignedIn, "Change your name, email or password"),
    delete("/account", &hashing(remove), Needs::SignedIn, "Delete your account"),
];

/// An account as the API shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub struct Account {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(skip)]
    pub operator: bool,
}

/// What may change. Email and password need the current password.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AccountChanges {
    name: Name<255>,
    email: Email,
    /// Revokes every other token of the account.
    password: Option<Password>,
    current_password: Option<Text<1000>>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Farewell {
    current_password: Name<1000>,
}

fn update(steps: &Steps<'_>, tries: Tries, changes: Changes<AccountChanges>) -> Result<Created<Account>> {
    let id = steps.token()?.account_id;
    let (account, kept) = steps.engine.central.read(move |db| find_with_password(db, id))?;
    let blank = AccountChanges {
        name: Name::parse(account.name.clone()).map_err(Error::invalid)?,
        email: account.email.parse().map_err(Error::Internal)?,
        ..AccountChanges::default()
    };
    let wanted = changes.apply(&blank)?;
    if wanted.password.is_some() || *wanted.email != *account.email {
        let given = wanted.current_password.as_deref();
        let given = given.ok_or_else(|| Error::invalid("The current password field is required."))?;
        session::compare(steps.engine, &tries.of(Purpose::Password, &account.email), given, Some(&kept))?;
    }
    let hash = wanted.password.as_ref();
    let hash = hash.map(|new| steps.engine.hash_password(new, &wanted.email, &wanted.name)).transpose()?;
    let (keep, now) = (steps.token()?.id, steps.now);
    let account = steps.engine.central.write(move |db| {
        db.execute(
            "UPDATE accounts SET name = ?2, email = ?3, updated_at = ?4 WHERE id = ?1",
            (id, &wanted.name, &wanted.email, now),
        )?;
        if let Some(hash) = &hash {
            set_password_hash(db, id, hash, now)?;
            tokens::revoke_all(db, id, Some(keep), now)?;
        }
        find(db, id)
    })?;
    Ok(Created(account))
}

fn remove(steps: &Steps<'_>, tries: Tries, Json(farewell): Json<Farewell>) -> Result<Done> {
    let id = steps.token()?.account_id;
    let (account, kept) = steps.engine.central.read(move |db| find_with_password(db, id))?;
    session::compare(
        steps.engine,
        &tries.of(Purpose::Password, &account.email),
        &farewell.current_password,
        Some(&kept),
    )?;
    let left = steps.engine.central.write(move |db| {
        let left = workspaces::of_account(db, id)?;
        delete_account(db, id)?;
        Ok::<_, Error>(left)
    })?;
    for workspace in left {
        let lease = steps.engine.registry.lease(workspace.id);
        // The account is gone by now, and nobody gets in with it; `doctor` finds a user that stayed behind.
        let author = steps.call.author_in(workspace.id, Actor::Oneself);
        if let Err(error) = lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &author, id)?)) {
            tracing::warn!(workspace = %workspace.id, %error, "the user of a deleted account stayed behind");
        }
    }
    Ok(Done)
}

/// An account without a token: what the command line makes.
pub fn create(
    engine: &Engine,
    name: Name<255>,
    email: Email,
    password: &Password,
    operator: bool,
    now: Timestamp,
) -> Result<Account> {
    let hash = engine.hash_password(password, &email, &name)?;
    engine.central.write(move |db| {
        let operator = operator || !any(db)?;
        let id = insert(db, &name, &email, &hash, operator, now)?;
        find(db, id)
    })
}

/// Whether there is any account; the first becomes an operator.
pub fn any(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM accounts)", [], |row| row.get(0))
}

pub fn all(db: &Connection) -> rusqlite::Result<Vec<Account>> {
    let mut statement =
        db.prepare("SELECT id, name, email, created_at, updated_at, operator FROM accounts ORDER BY id")?;
    statement.query_map([], from_row)?.collect()
}

pub fn find(db: &Connection, id: i64) -> Result<Account> {
    Ok(find_with_password(db, id)?.0)
}

/// The account and the form in which its password is kept.
pub fn find_with_password(db: &Connection, id: i64) -> Result<(Account, String)> {
    let sql = "SELECT id, name, email, created_at, updated_at, operator, password_hash FROM accounts WHERE id = ?1";
    let found = db.prepare_cached(sql)?.query_row([id], |row| Ok((from_row(row)?, row.get(6)?))).optional()?;
    found.ok_or_else(Error::not_found)
}

/// The account with this address, in any case, and the form in which its password is kept.
pub fn find_by_email(db: &Connection, email: &str) -> rusqlite::Result<Option<(Account, String)>> {
    let sql = "SELECT id, name, email, created_at, updated_at, operator, password_hash FROM accounts WHERE email = ?1";
    db.prepare_cached(sql)?.query_row([email], |row| Ok((from_row(row)?, row.get(6)?))).optional()
}

pub fn set_password_hash(db: &Connection, id: i64, hash: &str, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE accounts SET password_hash = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute((id, hash, now))?;
    Ok(())
}

pub fn insert(
    db: &Connection,
    name: &str,
    email: &str,
    hash: &str,
    operator: bool,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO accounts (name, email, password_hash, operator, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?
    .insert((name, email, hash, operator, now))
}

/// Refused while the account owns a workspace, one in the trash included: that could be restored to nobody.
pub fn delete_account(db: &Connection, id: i64) -> Result<()> {
    db.execute("DELETE FROM workspaces WHERE owner_id = ?1 AND status = 'creating'", [id])?;
    let owns: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM workspaces WHERE owner_id = ?1)", [id], |row| row.get(0))?;
    if owns {
        return Err(Error::refused("owns_workspaces", "You own a workspace: transfer or delete it first."));
    }
    db.execute("DELETE FROM accounts WHERE id = ?1", [id])?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
        operator: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Bench, PASSWORD};

    fn registering(email: &str) -> Value {
        json!({"name": "Zoé", "email": email, "password": "quite-a-long-one"})
    }

    #[test]
    fn email_and_password_change_only_with_the_current_password() {
        let bench = Bench::new();
        let me = bench.central();
        assert_eq!(me.put("/account", json!({"name": "New"})).created()["name"], "New");
        me.put("/account", json!({"email": "new@example.com"})).invalid(&["The current password field is required."]);
        let wrong = json!({"password": "another-long-one", "current_password": "wrong-password"});
        me.put("/account", wrong).refused(401, "invalid_credentials");

        let other = bench.central();
        let right = json!({"email": "new@example.com", "password": "another-long-one", "current_password": PASSWORD});
        assert_eq!(me.put("/account", right).created()["email"], "new@example.com");
        assert_eq!(me.get("/whoami").ok()["user"]["name"], "New");
        other.get("/whoami").refused(401, "token_revoked");
        let login =
            |email: &str, password: &str| bench.nobody().post("/login", json!({"email": email, "password": password}));
        login("owner@example.com", PASSWORD).refused(401, "invalid_credentials");
        login("new@example.com", "another-long-one").ok();
    }

    #[test]
    fn guesses_at_the_current_password_are_throttled() {
        let bench = Bench::with(&[("throttle_attempts", "2")]);
        let me = bench.central();
        let change = |password: &str| json!({"email": "new@example.com", "current_password": password});
        me.put("/account", change("wrong-password")).refused(401, "invalid_credentials");
        me.delete_with("/account", json!({"current_password": "wrong"})).refused(401, "invalid_credentials");
        me.put("/account", change(PASSWORD)).refused(429, "too_many_requests");
        me.delete_with("/account", json!({"current_password": PASSWORD})).refused(429, "too_many_requests");
        me.put("/account", json!({"name": "New"})).created();
    }

    #[test]
    fn an_owner_stays_and_anybody_else_may_go() {
        let bench = Bench::new();
        bench.central().delete_with("/account", json!({"current_password": PASSWORD})).refused(422, "owns_workspaces");
        let made = bench.nobody().post("/register", registering("zoe@example.com")).created();
        let zoe = bench.nobody().signed_in(&made);
        zoe.delete_with("/account", json!({"current_password": "wrong"})).refused(401, "invalid_credentials");
        zoe.delete_with("/account", json!({"current_password": "quite-a-long-one"})).ok();
        zoe.get("/whoami").refused(401, "token_revoked");
    }
}

//! Changes to accounts by commands of an operator: rename, disable, unlock, delete.

use std::net::IpAddr;

use rusqlite::Connection;
use serde_json::json;

use super::accounts::{self, Account};
use super::audit_log::{self, Event};
use super::notices::{self, About};
use super::{credentials, password, workspaces};
use crate::api::{Error, Result};
use crate::auth::{Key, Origin, Purpose};
use crate::engine::Engine;
use crate::tenancy::{Central, members};
use crate::values::{Email, Name, Timestamp};

/// Changes an account's name, address, or both. The operator vouches for the address, so it counts as verified. The old
/// address is notified.
fn rename(
    db: &Connection,
    account: &Account,
    name: Option<&Name<255>>,
    email: Option<&Email>,
    origin: &Origin,
) -> Result<Account> {
    let id = account.id;
    if let Some(name) = name.filter(|name| ***name != *account.name) {
        db.execute("UPDATE accounts SET name = ?2, updated_at = ?3 WHERE id = ?1", (id, name, origin.at))?;
        let event = Event::new("account.updated").about(id).with(json!({"name": [account.name, name]}));
        audit_log::record(db, origin, event)?;
    }
    if let Some(email) = email.filter(|email| ***email != *account.email) {
        let other = accounts::find_by_email(db, email)?.filter(|(other, _)| other.id != id);
        if other.is_some() {
            return Err(Error::refused("email_taken", format!("The email {email} has already been taken.")));
        }
        db.execute(
            "UPDATE accounts SET email = ?2, email_verified = 1, pending_email = NULL, updated_at = ?3 WHERE id = ?1",
            (id, email, origin.at),
        )?;
        db.execute("DELETE FROM email_codes WHERE account_id = ?1", [id])?;
        audit_log::record(db, origin, Event::new("email.changed").about(id).with(json!({"email": email})))?;
        notices::put_to(db, account, &account.email, &About::EmailChanged { email }, origin)?;
    }
    accounts::find(db, id)
}

/// Ends every session of an account and blocks its login. Returns the number of revoked tokens.
/// [`password::end_grants`] ends its OAuth grants. Integration keys belong to their workspace and stay valid.
fn disable(db: &Connection, account: &Account, origin: &Origin) -> Result<usize> {
    if account.operator && !accounts::has_other_operator(db, account.id)? {
        return Err(Error::refused("last_operator", "This is the only enabled operator."));
    }
    db.execute("UPDATE accounts SET disabled_at = ?2 WHERE id = ?1", (account.id, origin.at))?;
    password::outdate_grants(db, account.id)?;
    audit_log::record(
        db,
        origin,
        Event::new("account.updated").about(account.id).with(json!({"disabled": [false, true]})),
    )?;
    Ok(credentials::revoke_all(db, account.id, None, origin.at)?)
}

/// Lets a disabled account, or one with too many failed attempts, log in again. A running server applies the latter
/// within a second. Returns whether the account was disabled.
fn unlock(db: &Connection, account: &Account, origin: &Origin) -> Result<bool> {
    let was_disabled = accounts::is_disabled(db, account.id)?;
    if was_disabled {
        db.execute("UPDATE accounts SET disabled_at = NULL WHERE id = ?1", [account.id])?;
        let event = Event::new("account.updated").about(account.id).with(json!({"disabled": [true, false]}));
        audit_log::record(db, origin, event)?;
    }
    db.execute("INSERT INTO unlocked_accounts (account_id) VALUES (?1) ON CONFLICT DO NOTHING", [account.id])?;
    Ok(was_disabled)
}

impl Central {
    /// Gives the account with this address another name, another address, or both.
    pub fn rename_account(
        &self,
        email: &str,
        name: Option<Name<255>>,
        new_email: Option<Email>,
        origin: Origin,
    ) -> Result<Account> {
        let email = email.to_owned();
        self.write(move |db| rename(db, &accounts::named(db, &email)?, name.as_ref(), new_email.as_ref(), &origin))
    }

    /// Ends every session of the account with this address and lets it log in no more; answers how many tokens were revoked.
    pub fn disable_account(&self, email: &str, origin: Origin) -> Result<usize> {
        let email = email.to_owned();
        self.write(move |db| disable(db, &accounts::named(db, &email)?, &origin))
    }

    /// Lets the account with this address log in again; answers whether it was disabled.
    pub fn unlock_account(&self, email: &str, origin: Origin) -> Result<bool> {
        let email = email.to_owned();
        self.write(move |db| unlock(db, &accounts::named(db, &email)?, &origin))
    }
}

/// Deletes an account and its users in all workspaces.
pub fn delete(engine: &Engine, account: &Account, origin: &Origin) -> Result<()> {
    let (id, is_operator) = (account.id, account.operator);
    let at = origin.clone();
    let left = engine.central.write(move |db| {
        if is_operator && !accounts::has_other_operator(db, id)? {
            return Err(Error::refused("last_operator", "This is the only enabled operator."));
        }
        let left = workspaces::of_account(db, id)?;
        audit_log::record(db, &at, Event::new("account.deleted").about(id))?;
        accounts::delete_account(db, id)?;
        Ok(left)
    })?;
    for workspace in left {
        let (lease, author) = (engine.registry.lease(workspace.id), engine.system(workspace.id, origin.at));
        lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &author, id)?))?;
    }
    Ok(())
}

/// Forgets the failed attempts of accounts that a command has unlocked, and those of the addresses from which they
/// failed.
pub fn forget_failures(engine: &Engine, now: Timestamp) -> Result<()> {
    let unlocked = engine.central.read(|db| {
        let sql = "SELECT u.account_id, a.email FROM unlocked_accounts u JOIN accounts a ON a.id = u.account_id";
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok::<_, Error>(rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()?)
    })?;
    for (id, email) in unlocked {
        let since = now.plus(-engine.config.throttle_window);
        let addresses = engine.central.read(move |db| {
            let sql = "SELECT DISTINCT address FROM audit_log
                       WHERE account_id = ?1 AND at >= ?2 AND action = 'login.failed' AND address IS NOT NULL";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map((id, since), |row| row.get::<_, String>(0))?;
            Ok::<_, Error>(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        for purpose in [Purpose::Password, Purpose::SecondFactor, Purpose::Code, Purpose::Mail] {
            engine.node.throttle.forgive(&Key::email(purpose, &email));
            engine.node.throttle.forgive(&Key::Account(purpose, id));
            for address in addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()) {
                engine.node.throttle.forgive(&Key::address(purpose, address));
            }
        }
        engine.central.write(move |db| {
            db.prepare_cached("DELETE FROM unlocked_accounts WHERE account_id = ?1")?.execute([id])?;
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

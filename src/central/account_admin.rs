//! Changes to accounts by commands of an operator: rename, disable, unlock, delete.

use std::net::IpAddr;

use rusqlite::Connection;
use serde_json::json;

use super::accounts::{self, Account};
use super::central_audit_log::{self, CentralAuditEvent};
use super::notices::{self, NoticeKind};
use super::{credentials, departures, password_recovery};
use crate::api::{Error, Result};
use crate::auth::{Origin, Purpose, ThrottleKey};
use crate::instance::Instance;
use crate::tenancy::Central;
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
        let event = CentralAuditEvent::new("account.updated").about(id).with(json!({"name": [account.name, name]}));
        central_audit_log::record(db, origin, event)?;
    }
    if let Some(email) = email.filter(|email| ***email != *account.email) {
        let other = accounts::find_by_email(db, email)?.filter(|(other, _)| other.id != id);
        if other.is_some() {
            return Err(Error::rejected("email_taken", format!("The email {email} has already been taken.")));
        }
        db.execute(
            "UPDATE accounts SET email = ?2, email_verified = 1, pending_email = NULL, updated_at = ?3 WHERE id = ?1",
            (id, email, origin.at),
        )?;
        db.execute("DELETE FROM email_codes WHERE account_id = ?1", [id])?;
        central_audit_log::record(
            db,
            origin,
            CentralAuditEvent::new("email.changed").about(id).with(json!({"email": email})),
        )?;
        notices::queue_to(db, account, &account.email, &NoticeKind::EmailChanged { email }, origin)?;
    }
    accounts::find(db, id)
}

/// Ends every session of an account and blocks its login. Returns the number of revoked tokens.
/// [`password_recovery::end_grants`] ends its OAuth grants. Integration keys belong to their workspace and stay valid.
fn disable(db: &Connection, account: &Account, origin: &Origin) -> Result<usize> {
    if account.operator && !accounts::has_other_operator(db, account.id)? {
        return Err(Error::rejected("last_operator", "This is the only enabled operator."));
    }
    db.execute("UPDATE accounts SET disabled_at = ?2 WHERE id = ?1", (account.id, origin.at))?;
    password_recovery::mark_grants_for_end(db, account.id)?;
    central_audit_log::record(
        db,
        origin,
        CentralAuditEvent::new("account.updated").about(account.id).with(json!({"disabled": [false, true]})),
    )?;
    Ok(credentials::revoke_all(db, account.id, None, origin.at)?)
}

/// Lets a disabled account, or one with too many failed attempts, log in again. A running server forgets the failed
/// attempts within a second. Returns whether the account was disabled.
fn unlock(db: &Connection, account: &Account, origin: &Origin) -> Result<bool> {
    let was_disabled = accounts::is_disabled(db, account.id)?;
    if was_disabled {
        db.execute("UPDATE accounts SET disabled_at = NULL WHERE id = ?1", [account.id])?;
        let event =
            CentralAuditEvent::new("account.updated").about(account.id).with(json!({"disabled": [true, false]}));
        central_audit_log::record(db, origin, event)?;
    }
    db.execute("INSERT INTO unlocked_accounts (account_id) VALUES (?1) ON CONFLICT DO NOTHING", [account.id])?;
    Ok(was_disabled)
}

impl Central {
    /// Changes the name, the address, or both, of the account with this address.
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

    /// Disables the account with this address and ends its sessions. Returns the number of revoked tokens.
    pub fn disable_account(&self, email: &str, origin: Origin) -> Result<usize> {
        let email = email.to_owned();
        self.write(move |db| disable(db, &accounts::named(db, &email)?, &origin))
    }

    /// Unlocks the account with this address. Returns whether it was disabled.
    pub fn unlock_account(&self, email: &str, origin: Origin) -> Result<bool> {
        let email = email.to_owned();
        self.write(move |db| unlock(db, &accounts::named(db, &email)?, &origin))
    }
}

/// Deletes an account and its users in all workspaces.
pub fn delete(instance: &Instance, account: &Account, origin: &Origin) -> Result<()> {
    let (id, is_operator) = (account.id, account.operator);
    let at = origin.clone();
    instance.central.write(move |db| {
        if is_operator && !accounts::has_other_operator(db, id)? {
            return Err(Error::rejected("last_operator", "This is the only enabled operator."));
        }
        central_audit_log::record(db, &at, CentralAuditEvent::new("account.deleted").about(id))?;
        accounts::delete_account(db, id)
    })?;
    departures::remove_now(instance, id, |workspace| instance.system_recorder(workspace, origin.at));
    Ok(())
}

/// Forgets the failed attempts of accounts that a command has unlocked, and those of the addresses from which they
/// failed.
pub fn forget_failures(instance: &Instance, now: Timestamp) -> Result<()> {
    let unlocked = instance.central.read(|db| {
        let sql = "SELECT u.account_id, a.email FROM unlocked_accounts u JOIN accounts a ON a.id = u.account_id";
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok::<_, Error>(rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()?)
    })?;
    for (id, email) in unlocked {
        let since = now.plus(-instance.config.throttle_window);
        let addresses = instance.central.read(move |db| {
            let sql = "SELECT DISTINCT address FROM audit_log
                       WHERE account_id = ?1 AND at >= ?2 AND action = 'login.failed' AND address IS NOT NULL";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map((id, since), |row| row.get::<_, String>(0))?;
            Ok::<_, Error>(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        for purpose in [Purpose::Password, Purpose::SecondFactor, Purpose::Code, Purpose::Mail] {
            instance.node.throttle.reset(&ThrottleKey::email(purpose, &email));
            instance.node.throttle.reset(&ThrottleKey::Account(purpose, id));
            for address in addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()) {
                instance.node.throttle.reset(&ThrottleKey::address(purpose, address));
            }
        }
        instance.central.write(move |db| {
            db.prepare_cached("DELETE FROM unlocked_accounts WHERE account_id = ?1")?.execute([id])?;
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

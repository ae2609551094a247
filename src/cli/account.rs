//! `cx-engine account`

use std::sync::Arc;

use anyhow::{anyhow, bail};
use serde_json::{Value, json};

use super::ask_new_password;
use super::table::aligned;
use crate::auth::Origin;
use crate::central::{account_admin, accounts, password_recovery};
use crate::cli::output::{out, outln};
use crate::instance::Instance;
use crate::values::{Email, Name, Password, Timestamp};

#[derive(clap::Subcommand)]
pub enum AccountCommand {
    /// Create an account; asks for the password, or reads it from stdin
    Create {
        /// The person's name
        #[arg(long)]
        name: String,
        /// The email address to log in with; it counts as verified
        #[arg(long)]
        email: String,
        /// Make the account an operator, who manages the whole instance; the first account always is one
        #[arg(long)]
        operator: bool,
    },
    /// List accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a new password, asked for or read from stdin, and revoke all tokens of the account
    SetPassword {
        /// The account's email address
        email: String,
    },
    /// Change the name or email address of an account; the new address counts as verified
    Rename {
        /// The account's email address
        email: String,
        /// The new name
        #[arg(long, value_name = "NAME", required_unless_present = "new_email")]
        name: Option<String>,
        /// The new email address; a notice is sent to the old one
        #[arg(long = "email", value_name = "EMAIL")]
        new_email: Option<String>,
    },
    /// Log an account out everywhere and prevent logins until `account unlock`
    Disable {
        /// The account's email address
        email: String,
    },
    /// Unlock an account that is disabled or has too many failed logins
    Unlock {
        /// The account's email address
        email: String,
    },
    /// Delete an account that owns no workspace, and all its memberships
    Delete {
        /// The account's email address
        email: String,
        /// The email address again, to confirm
        #[arg(long, value_name = "EMAIL")]
        confirm: String,
    },
    /// Remove the second factor of an account whose owner has lost it
    ResetSecondFactor {
        /// The account's email address
        email: String,
    },
}

/// A validated new account. Validation comes first, so that a command that fails creates no instance.
pub struct NewAccount {
    name: Name<255>,
    email: Email,
    password: Password,
    operator: bool,
}

impl NewAccount {
    pub fn ask(name: &str, email: &str, operator: bool) -> anyhow::Result<Self> {
        let name = Name::parse(name.to_owned()).map_err(|said| anyhow!("The name {said}"))?;
        let email = email.parse().map_err(|said| anyhow!("The email {said}"))?;
        Ok(Self { name, email, password: new_password()?, operator })
    }

    pub fn create(self, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
        let Self { name, email, password, operator } = self;
        let account = accounts::create(instance, name, email, &password, operator, &Origin::system(now))?;
        outln!("account {} created for {}", account.id, account.email);
        let url = instance.public_url().central();
        outln!("  sign in: POST {url}/api/login (described at {url}/docs)");
        Ok(())
    }
}

pub fn run(command: &AccountCommand, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        AccountCommand::Create { name, email, operator } => {
            NewAccount::ask(name, email, *operator)?.create(instance, now)?
        }
        AccountCommand::List { json } => list(instance, *json)?,
        AccountCommand::SetPassword { email } => {
            let account = instance.central.account_by_email(email)?;
            let hash = instance.hash_password(&new_password()?, &account.email, &account.name)?;
            let revoked = instance.central.set_password(account.id, hash, Origin::system(now))?;
            password_recovery::end_grants(instance, now)?;
            outln!("password of {} set; {revoked} tokens revoked", account.email);
        }
        AccountCommand::Rename { email, name, new_email } => {
            let name = name.clone().map(Name::parse).transpose().map_err(|said| anyhow!("The name {said}"))?;
            let new_email: Option<Email> =
                new_email.as_ref().map(|text| text.parse()).transpose().map_err(|said| anyhow!("The email {said}"))?;
            let renamed = instance.central.rename_account(email, name, new_email, Origin::system(now))?;
            outln!("account {} is now {} <{}>", renamed.id, renamed.name, renamed.email);
        }
        AccountCommand::Disable { email } => {
            let revoked = instance.central.disable_account(email, Origin::system(now))?;
            password_recovery::end_grants(instance, now)?;
            outln!("{email} is disabled; {revoked} tokens revoked");
        }
        AccountCommand::Unlock { email } => {
            let was_disabled = instance.central.unlock_account(email, Origin::system(now))?;
            let was = if was_disabled { "was disabled" } else { "was not disabled" };
            outln!("{email} can log in: it {was}, and its failed logins were reset");
        }
        AccountCommand::Delete { email, confirm } => {
            let account = instance.central.account_by_email(email)?;
            if *confirm != account.email {
                bail!("--confirm must be {}", account.email);
            }
            account_admin::delete(instance, &account, &Origin::system(now))?;
            outln!("{} is deleted", account.email);
        }
        AccountCommand::ResetSecondFactor { email } => {
            instance.central.reset_second_factor(email, Origin::system(now))?;
            outln!("{email} now logs in with only a password");
        }
    }
    Ok(())
}

fn list(instance: &Instance, as_json: bool) -> anyhow::Result<()> {
    let accounts = instance.central.all_accounts()?;
    if as_json {
        let rows: Vec<Value> = accounts
            .iter()
            .map(|a| {
                json!({"id": a.id, "name": a.name, "email": a.email, "email_verified": a.email_verified,
                       "operator": a.operator, "disabled": a.disabled, "created_at": a.created_at})
            })
            .collect();
        outln!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = accounts
        .iter()
        .map(|a| {
            let yes = |is: bool| if is { "yes" } else { "" }.to_owned();
            let (verified, operator) = (yes(a.email_verified), yes(a.operator));
            let state = if a.disabled { "disabled" } else { "" }.to_owned();
            vec![a.id.to_string(), a.email.clone(), verified, a.name.clone(), operator, state, a.created_at.to_string()]
        })
        .collect();
    out!("{}", aligned(&["ID", "EMAIL", "VERIFIED", "NAME", "OPERATOR", "STATE", "CREATED"], &rows));
    Ok(())
}

fn new_password() -> anyhow::Result<Password> {
    Password::parse(ask_new_password()?).map_err(|said| anyhow!("The password {said}"))
}

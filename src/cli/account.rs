//! `cx-engine account`

use std::sync::Arc;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::table::aligned;
use super::{account_by_email, ask_password};
use crate::api::{Error, Result};
use crate::auth::Origin;
use crate::central::audit_log::{self, Event};
use crate::central::notices::{self, About};
use crate::central::{accounts, password, second_factor, tokens};
use crate::cli::output::{out, outln};
use crate::engine::Engine;
use crate::values::{Email, Name, Password, Timestamp};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make an account; its password is asked for, or read from stdin
    Create {
        #[arg(long)]
        name: String,
        #[arg(long)]
        email: String,
        /// Lets it see the whole instance; the first account is one anyway
        #[arg(long)]
        operator: bool,
    },
    /// List accounts
    List {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Give an account a new password, asked for or read from stdin; its tokens are revoked
    SetPassword { email: String },
    /// Remove the second factor of an account whose owner has lost it
    ResetSecondFactor { email: String },
}

/// A new account whose name, address and password are valid. They are checked first: a command that fails creates no instance.
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

    pub fn create(self, engine: &Arc<Engine>, now: Timestamp) -> anyhow::Result<()> {
        let Self { name, email, password, operator } = self;
        let account = accounts::create(engine, name, email, &password, operator, &Origin::system(now))?;
        outln!("account {} created for {}", account.id, account.email);
        Ok(())
    }
}

pub fn run(command: &Command, engine: &Arc<Engine>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        Command::Create { name, email, operator } => NewAccount::ask(name, email, *operator)?.create(engine, now)?,
        Command::List { json } => list(engine, *json)?,
        Command::SetPassword { email } => {
            let email = email.clone();
            let account = engine.central.read(move |db| account_by_email(db, &email))?;
            let hash = engine.hash_password(&new_password()?, &account.email, &account.name)?;
            let origin = Origin::system(now);
            let revoked = engine.central.write(move |db| {
                accounts::set_password_hash(db, account.id, &hash, now)?;
                password::outdate_grants(db, account.id)?;
                audit_log::record(db, &origin, Event::new("password.changed").about(account.id))?;
                notices::put(db, account.id, &About::PasswordChanged, &origin)?;
                Ok::<_, Error>(tokens::revoke_all(db, account.id, None, now)?)
            })?;
            password::end_grants(engine, now)?;
            outln!("password of {} set; {revoked} tokens revoked", account.email);
        }
        Command::ResetSecondFactor { email } => {
            let (asked, origin) = (email.clone(), Origin::system(now));
            engine.central.write(move |db| {
                let account = account_by_email(db, &asked)?;
                second_factor::reset(db, account.id, &origin)
            })?;
            outln!("{email} logs in with a password alone");
        }
    }
    Ok(())
}

fn list(engine: &Engine, as_json: bool) -> anyhow::Result<()> {
    let accounts: Result<_> = engine.central.read(|db| Ok(accounts::all(db)?));
    let accounts = accounts?;
    if as_json {
        let rows: Vec<Value> = accounts
            .iter()
            .map(|a| {
                json!({"id": a.id, "name": a.name, "email": a.email, "email_verified": a.email_verified,
                       "operator": a.operator, "created_at": a.created_at})
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
            vec![a.id.to_string(), a.email.clone(), verified, a.name.clone(), operator, a.created_at.to_string()]
        })
        .collect();
    out!("{}", aligned(&["ID", "EMAIL", "VERIFIED", "NAME", "OPERATOR", "MADE"], &rows));
    Ok(())
}

fn new_password() -> anyhow::Result<Password> {
    Password::parse(ask_password("New password: ")?).map_err(|said| anyhow!("The password {said}"))
}

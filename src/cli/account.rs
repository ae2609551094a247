//! `cx-engine account`

use std::sync::Arc;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::table::aligned;
use super::{account_by_email, ask_password};
use crate::api::{Error, Result};
use crate::central::{accounts, tokens};
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
}

pub fn run(command: &Command, engine: &Arc<Engine>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        Command::Create { name, email, operator } => {
            let name = Name::parse(name.clone()).map_err(|said| anyhow!("The name {said}"))?;
            let email: Email = email.parse().map_err(|said| anyhow!("The email {said}"))?;
            let account = accounts::create(engine, name, email, &new_password()?, *operator, now)?;
            println!("account {} made for {}", account.id, account.email);
        }
        Command::List { json } => list(engine, *json)?,
        Command::SetPassword { email } => {
            let email = email.clone();
            let account = engine.central.read(move |db| account_by_email(db, &email))?;
            let hash = engine.hash_password(&new_password()?, &account.email, &account.name)?;
            let revoked = engine.central.write(move |db| {
                accounts::set_password_hash(db, account.id, &hash, now)?;
                Ok::<_, Error>(tokens::revoke_all(db, account.id, None, now)?)
            })?;
            println!("password of {} set; {revoked} tokens revoked", account.email);
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
            .map(|a| json!({"id": a.id, "name": a.name, "email": a.email, "operator": a.operator, "created_at": a.created_at}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = accounts
        .iter()
        .map(|a| {
            let operator = if a.operator { "yes" } else { "" };
            vec![a.id.to_string(), a.email.clone(), a.name.clone(), operator.into(), a.created_at.to_string()]
        })
        .collect();
    print!("{}", aligned(&["ID", "EMAIL", "NAME", "OPERATOR", "MADE"], &rows));
    Ok(())
}

fn new_password() -> anyhow::Result<Password> {
    Password::parse(ask_password("New password: ")?).map_err(|said| anyhow!("The password {said}"))
}

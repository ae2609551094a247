//! `cx-engine token`

use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, ensure};
use serde_json::json;

use super::account_by_email;
use super::table::aligned;
use crate::api::Error;
use crate::auth::{Keys, Origin};
use crate::central::audit_log::{self, Event};
use crate::central::{second_factor, tokens};
use crate::cli::output::{out, outln};
use crate::engine::Engine;
use crate::values::Timestamp;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List the tokens of an account
    List {
        /// The account's email address
        email: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token, or all tokens of an account, with effect on the next request
    Revoke {
        /// The token's id, from `token list`
        #[arg(required_unless_present = "account")]
        id: Option<i64>,
        /// Revoke all tokens of this account
        #[arg(long, value_name = "EMAIL", conflicts_with = "id")]
        account: Option<String>,
    },
    /// Create a new key that encrypts tokens from now on; existing tokens stay valid
    RotateKeys {
        /// Delete the older keys too: existing tokens become invalid, and everybody logs in again
        #[arg(long)]
        retire: bool,
        /// Create a first key again, if the keys are lost and there is no backup of them; everybody logs in again
        #[arg(long, conflicts_with = "retire")]
        lost: bool,
    },
}

pub fn run(command: &Command, engine: &Arc<Engine>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        Command::List { email, json } => list(engine, email, *json)?,
        Command::Revoke { id: Some(id), .. } => {
            let id = *id;
            let revoked = engine.central.write(move |db| {
                let event = Event::new("token.revoked").with(json!({"token_id": id}));
                let revoked = tokens::revoke_one(db, id, now)?;
                if revoked {
                    audit_log::record(db, &Origin::system(now), event)?;
                }
                Ok::<_, Error>(revoked)
            })?;
            if !revoked {
                bail!("there is no token {id} that could be revoked");
            }
            outln!("token {id} revoked");
        }
        Command::Revoke { account, .. } => {
            let email = account.clone().unwrap_or_default();
            let revoked = engine.central.write(move |db| {
                let account = account_by_email(db, &email)?;
                audit_log::record(db, &Origin::system(now), Event::new("token.revoked").about(account.id))?;
                Ok::<_, Error>(tokens::revoke_all(db, account.id, None, now)?)
            })?;
            outln!("{revoked} tokens revoked");
        }
        // Made before the data directory was opened, which needs one.
        Command::RotateKeys { lost: true, .. } => {
            announce_keys(engine, now)?;
            outln!("a key in the place of those that were lost; what they sealed is good no more");
        }
        Command::RotateKeys { retire, .. } => {
            let name = engine.keys.make(now)?;
            // What the older keys have sealed and is to last.
            second_factor::reseal(engine)?;
            let retired = if *retire { engine.keys.retire()? } else { 0 };
            announce_keys(engine, now)?;
            outln!("new key {name}; {retired} older keys deleted");
        }
    }
    Ok(())
}

/// Makes the key that [`Command::RotateKeys`] is to put in the place of those that were lost.
pub fn replace_lost(folder: &Path, now: Timestamp) -> anyhow::Result<()> {
    ensure!(Keys::reopen(folder).is_err(), "{} has a key: nothing is lost", folder.display());
    Keys::open(folder, now).map(drop)
}

/// A running server reads its keys again when it sees this.
fn announce_keys(engine: &Engine, now: Timestamp) -> anyhow::Result<()> {
    engine.central.write(move |db| {
        db.execute("UPDATE revisions SET revision = revision + 1 WHERE name = 'keys'", [])?;
        audit_log::record(db, &Origin::system(now), Event::new("keys.rotated"))?;
        Ok::<_, Error>(())
    })?;
    Ok(())
}

fn list(engine: &Engine, email: &str, as_json: bool) -> anyhow::Result<()> {
    let email = email.to_owned();
    let tokens = engine.central.read(move |db| {
        let account = account_by_email(db, &email)?;
        Ok::<_, Error>(tokens::all(db, account.id)?)
    })?;
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&tokens)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            let workspace = token.workspace.as_ref().map_or("central", |workspace| &workspace.subdomain);
            let used = token.last_used_at.map_or_else(|| "never".into(), |at| at.to_string());
            vec![token.id.to_string(), workspace.into(), token.label.clone(), used, token.expires_at.to_string()]
        })
        .collect();
    out!("{}", aligned(&["ID", "FOR", "LABEL", "LAST USED", "EXPIRES"], &rows));
    Ok(())
}

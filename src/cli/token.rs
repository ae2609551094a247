//! `cx-engine token`

use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, ensure};

use super::table::aligned;
use crate::auth::{Keys, Origin};
use crate::central::second_factor;
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
            if !engine.central.revoke_any_token(*id, Origin::system(now))? {
                bail!("there is no token {id} that could be revoked");
            }
            outln!("token {id} revoked");
        }
        Command::Revoke { account, .. } => {
            let email = account.as_deref().unwrap_or_default();
            let revoked = engine.central.revoke_tokens_of(email, Origin::system(now))?;
            outln!("{revoked} tokens revoked");
        }
        // Made before the data directory was opened, which needs one.
        Command::RotateKeys { lost: true, .. } => {
            engine.central.announce_keys(Origin::system(now))?;
            outln!("a key in the place of those that were lost; what they sealed is good no more");
        }
        Command::RotateKeys { retire, .. } => {
            let name = engine.keys.make(now)?;
            // What the older keys have sealed and is to last.
            second_factor::reseal(engine)?;
            let retired = if *retire { engine.keys.retire()? } else { 0 };
            engine.central.announce_keys(Origin::system(now))?;
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

fn list(engine: &Engine, email: &str, as_json: bool) -> anyhow::Result<()> {
    let tokens = engine.central.tokens_of(email)?;
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

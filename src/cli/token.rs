//! `cx-engine token`

use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, ensure};

use super::table::aligned;
use crate::auth::{Keys, Origin};
use crate::central::{second_factor, workspace_provider};
use crate::cli::output::{out, outln};
use crate::instance::Instance;
use crate::values::Timestamp;

#[derive(clap::Subcommand)]
pub enum TokenCommand {
    /// List the tokens of an account
    List {
        /// The account's email address
        email: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token, or all tokens of an account, effective with the next request
    Revoke {
        /// The token's id, from `token list`
        #[arg(required_unless_present = "account")]
        id: Option<i64>,
        /// Revoke all tokens of this account
        #[arg(long, value_name = "EMAIL", conflicts_with = "id")]
        account: Option<String>,
    },
    /// Create a new key to encrypt tokens from now on; existing tokens stay valid
    RotateKeys {
        /// Delete the older keys too: existing tokens become invalid, and everyone must log in again
        #[arg(long)]
        retire: bool,
        /// Replace lost keys that no backup contains; everyone must log in again
        #[arg(long, conflicts_with = "retire")]
        lost: bool,
    },
}

pub fn run(command: &TokenCommand, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        TokenCommand::List { email, json } => list(instance, email, *json)?,
        TokenCommand::Revoke { id: Some(id), .. } => {
            if !instance.central.revoke_any_token(*id, Origin::system(now))? {
                bail!("no token {id}, or it is already revoked");
            }
            outln!("token {id} revoked");
        }
        TokenCommand::Revoke { account, .. } => {
            let email = account.as_deref().unwrap_or_default();
            let revoked = instance.central.revoke_tokens_of(email, Origin::system(now))?;
            outln!("{revoked} tokens revoked");
        }
        // The key was created before the data directory was opened, because opening requires one.
        TokenCommand::RotateKeys { lost: true, .. } => {
            instance.central.announce_keys(Origin::system(now))?;
            outln!("new key created; everything that the lost keys encrypted is invalid");
        }
        TokenCommand::RotateKeys { retire, .. } => {
            let name = instance.keys.create(now)?;
            // Re-encrypts lasting secrets that the older keys encrypted.
            second_factor::reseal(instance)?;
            workspace_provider::reseal(instance)?;
            let retired = if *retire { instance.keys.delete_old()? } else { 0 };
            instance.central.announce_keys(Origin::system(now))?;
            outln!("new key {name}; {retired} older keys deleted");
        }
    }
    Ok(())
}

/// Creates the key that replaces lost ones, for [`TokenCommand::RotateKeys`].
pub fn replace_lost(folder: &Path, now: Timestamp) -> anyhow::Result<()> {
    ensure!(Keys::reopen(folder).is_err(), "{} contains a key, so no keys are lost", folder.display());
    Keys::open(folder, now).map(drop)
}

fn list(instance: &Instance, email: &str, as_json: bool) -> anyhow::Result<()> {
    let tokens = instance.central.tokens_of(email)?;
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

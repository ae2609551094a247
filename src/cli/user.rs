//! `cx-engine user`

use std::sync::Arc;

use anyhow::{Context, bail};

use super::table::aligned;
use super::workspace;
use crate::api::Error;
use crate::cli::output::{out, outln};
use crate::instance::Instance;
use crate::tenancy::{Lease, members};
use crate::values::Timestamp;
use crate::workspace::{roles, users};

#[derive(clap::Subcommand)]
pub enum UserCommand {
    /// Add an account to a workspace as a user, without an invitation
    Add {
        /// The account's email address; create accounts with `account create`
        email: String,
        /// The workspace's subdomain or id
        #[arg(long)]
        workspace: String,
        /// The name of a role in the workspace
        #[arg(long, default_value = "agent")]
        role: String,
    },
    /// Change the role of a user in a workspace
    SetRole {
        /// The account's email address
        email: String,
        /// The workspace's subdomain or id
        #[arg(long)]
        workspace: String,
        /// The name of a role in the workspace
        #[arg(long)]
        role: String,
    },
    /// List the users of a workspace
    List {
        /// The workspace's subdomain or id
        #[arg(long)]
        workspace: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a user from a workspace, effective with the next request; the account remains
    Remove {
        /// The account's email address
        email: String,
        /// The workspace's subdomain or id
        #[arg(long)]
        workspace: String,
    },
}

pub fn run(command: &UserCommand, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { email, workspace, role } => add(instance, email, workspace, role, now)?,
        UserCommand::SetRole { email, workspace, role } => set_role(instance, email, workspace, role, now)?,
        UserCommand::List { workspace, json } => list(&open(instance, workspace)?, *json)?,
        UserCommand::Remove { email, workspace } => {
            let lease = open(instance, workspace)?;
            let (asked, account_id) = (email.clone(), account_id(instance, email)?);
            let user = lease.file().read(move |db| Ok::<_, Error>(users::of_account(db, account_id)?))?;
            let user = user.with_context(|| format!("{asked} is not a user of {workspace}"))?;
            users::remove_member(instance, &lease, user.id, &instance.system_recorder(lease.id(), now))?;
            outln!("{email} is no longer a user of {workspace}");
        }
    }
    Ok(())
}

/// Writes the workspace's file first, as when an invitation is accepted. A repeat completes what a crash interrupted.
fn add(instance: &Instance, email: &str, workspace: &str, role: &str, now: Timestamp) -> anyhow::Result<()> {
    let lease = open(instance, workspace)?;
    let account = instance.central.account_by_email(email)?;
    let (account_id, id, wanted) = (account.id, lease.id(), role.to_owned());
    let role_id = lease.file().read(move |db| Ok::<_, Error>(members::role_named(db, &wanted)?))?;
    let role_id = role_id.with_context(|| format!("{workspace} has no role {role}"))?;
    let recorder = instance.system_recorder(id, now);
    let added = lease.file().write(move |db| {
        let added = members::add(db, &recorder, account_id, &account.name, &account.email, role_id)?;
        Ok::<_, Error>((added, members::refresh_copies(db, account_id, &account.name, &account.email, now)?))
    })?;
    let (is_new, has) = added;
    let has = has.context("the new user was removed meanwhile")?;
    let was_member = instance.central.save_membership(account_id, id, &has, now)?;
    if !is_new && was_member {
        bail!("{email} is already a user of {workspace}, as {has}: change the role with `user set-role`");
    }
    outln!("{email} is now a user of {workspace}, as {has}");
    Ok(())
}

fn set_role(instance: &Instance, email: &str, workspace: &str, role: &str, now: Timestamp) -> anyhow::Result<()> {
    let (lease, account_id) = (open(instance, workspace)?, account_id(instance, email)?);
    let recorder = instance.system_recorder(lease.id(), now);
    let wanted = role.to_owned();
    let user = lease.file().write(move |db| {
        if members::role_named(db, &wanted)?.is_none() {
            return Err(Error::NotFound { code: "not_found", message: format!("There is no role {wanted}.") });
        }
        let Some(user) = users::of_account(db, account_id)? else { return Ok(None) };
        members::promote(db, &recorder, user.id, &wanted)?;
        roles::require_admin(db)?;
        Ok(Some(user))
    })?;
    let user = user.with_context(|| format!("{email} is not a user of {workspace}: add them with `user add`"))?;
    instance.central.set_member_role(account_id, lease.id(), role)?;
    outln!("{email} is now {role} in {workspace}, and was {}", user.role.name);
    Ok(())
}

fn list(lease: &Lease, as_json: bool) -> anyhow::Result<()> {
    let users = lease.file().read(|db| Ok::<_, Error>(users::all(db)?))?;
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&users)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|u| {
            vec![u.id.to_string(), u.email.clone(), u.name.to_string(), u.role.name.clone(), u.created_at.to_string()]
        })
        .collect();
    out!("{}", aligned(&["ID", "EMAIL", "NAME", "ROLE", "SINCE"], &rows));
    Ok(())
}

fn open(instance: &Instance, which: &str) -> anyhow::Result<Lease> {
    let found = workspace::find(instance, which, |status| status != "trashed")?;
    Ok(instance.registry.lease(found.id))
}

fn account_id(instance: &Instance, email: &str) -> anyhow::Result<i64> {
    Ok(instance.central.account_by_email(email)?.id)
}

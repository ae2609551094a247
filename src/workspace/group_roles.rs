//! Roles by the groups of a person at an OpenID provider. They are given at each sign-in.

use std::collections::BTreeMap;

use super::roles;
use crate::api::{BlockingCtx, Error, Result};
use crate::central::accounts::Account;
use crate::openid::{GroupRole, Provider};
use crate::tenancy::journal::Actor;
use crate::tenancy::{Status, members};

/// A group that stands for everybody.
const EVERYBODY: &str = "*";

/// Gives a person the roles of their groups. A workspace where that fails stays as it is, and the sign-in goes on.
pub fn apply(ctx: &BlockingCtx<'_>, account: &Account, provider: &Provider, groups: Option<&[String]>) {
    if provider.roles.is_empty() {
        return;
    }
    let Some(groups) = groups else {
        tracing::warn!(
            provider = provider.id,
            "the provider does not tell the groups of a person; roles stay as they are"
        );
        return;
    };
    for (workspace, role) in of_groups(&provider.roles, groups) {
        if let Err(error) = give(ctx, account, workspace, role) {
            tracing::warn!(provider = provider.id, workspace, role, %error, "cannot give a person the role of their group");
        }
    }
}

/// For each workspace, the first role of the list whose group the person is in.
fn of_groups<'a>(roles: &'a [GroupRole], groups: &[String]) -> BTreeMap<&'a str, &'a str> {
    let mut given = BTreeMap::new();
    for GroupRole { group, workspace, role } in roles {
        if group == EVERYBODY || groups.contains(group) {
            given.entry(workspace.as_str()).or_insert(role.as_str());
        }
    }
    given
}

/// Makes the account a user with this role. The workspace's file is written first: if a crash follows, the next sign-in
/// completes it.
fn give(ctx: &BlockingCtx<'_>, account: &Account, subdomain: &str, role: &str) -> Result<()> {
    let (instance, account_id) = (ctx.instance, account.id);
    let found = instance.directory.current(&instance.keys)?.by_subdomain(subdomain)?;
    let workspace = found.filter(|found| found.status == Status::Active).ok_or_else(Error::workspace_not_found)?.id;
    instance.require_served(workspace)?;
    let (name, email, role_name) = (account.name.clone(), account.email.clone(), role.to_owned());
    let recorder = ctx.request.recorder_for(workspace, Actor::Oneself);
    instance.registry.lease(workspace).file().write(move |db| {
        let role_id = members::role_named(db, &role_name)?.ok_or_else(Error::not_found)?;
        match members::of_account(db, account_id)? {
            Some(member) if member.role.id == role_id => {}
            Some(member) => {
                members::promote(db, &recorder, member.id, &role_name)?;
                roles::require_admin(db)?;
            }
            None => {
                members::add(db, &recorder, account_id, &name, &email, role_id)?;
            }
        }
        Ok::<_, Error>(())
    })?;
    instance.central.save_membership(account_id, workspace, role, ctx.now).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_group_of_each_workspace_decides() {
        let role = |group: &str, workspace: &str, role: &str| GroupRole {
            group: group.into(),
            workspace: workspace.into(),
            role: role.into(),
        };
        let roles = [
            role("leads", "acme", "admin"),
            role("support", "acme", "agent"),
            role("*", "handbook", "agent"),
            role("leads", "handbook", "admin"),
        ];
        let given = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            of_groups(&roles, &groups)
                .into_iter()
                .map(|(at, role)| format!("{at}:{role}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(given(&["support", "leads"]), "acme:admin handbook:agent");
        assert_eq!(given(&["support"]), "acme:agent handbook:agent");
        assert_eq!(given(&[]), "handbook:agent");
    }
}

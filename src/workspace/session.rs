//! Signing in and out on a workspace's own host.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::users::{self, User};
use crate::api::{Done, Error, Json, Needs, Ok200, Result, Route, Steps, Tries, get, hashing, post, steps};
use crate::auth::Scope;
use crate::auth::permissions;
use crate::central::session::{Credentials, TokenShown, as_member, switch_to, verify};
use crate::central::tokens::{self, Issued};
use crate::central::workspaces::Workspace;
use crate::tenancy::members;

pub const ROUTES: &[Route] = &[
    post("/login", &hashing(login), Needs::Anyone, "Log in to this workspace"),
    post("/logout", &steps(logout), Needs::SignedIn, "Log out: revoke the token of this call"),
    get("/whoami", &steps(whoami), Needs::SignedIn, "Who you are here, and what you may do"),
    post("/switch-to", &steps(switch_to), Needs::SignedIn, "Get a token for a workspace, or for the central API"),
];

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LoggedIntoWorkspace")]
pub struct LoggedIn {
    #[serde(flatten)]
    issued: Issued,
    user: User,
    workspace: Workspace,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WhoamiInWorkspace")]
pub struct Whoami {
    user: User,
    /// Always `workspace`.
    scope: &'static str,
    workspace: Workspace,
    /// The role's name.
    role: String,
    /// As the role has them: `customer.view`, `customer.*`, `*`.
    permissions: Vec<String>,
    token: TokenShown,
}

fn login(steps: &Steps<'_>, tries: Tries, Json(given): Json<Credentials>) -> Result<Ok200<LoggedIn>> {
    let account = verify(steps, tries, &given)?;
    let (account_id, now) = (account.id, steps.now);
    let lease = steps.call.workspace()?;
    let id = lease.id();
    let workspace = as_member(steps, account_id, id)?;
    let user = lease.file().write(move |db| {
        members::refresh(db, account_id, &account.name, &account.email, now)?;
        Ok::<_, Error>(users::of_account(db, account_id)?)
    })?;
    let user = user.ok_or_else(Error::not_a_member)?;
    let inside = Arc::clone(steps.engine);
    let issued = steps.engine.central.write(move |db| {
        tokens::issue(db, &inside, account_id, Scope::Workspace(id), "login", inside.config.token_ttl, now)
    })?;
    Ok(Ok200(LoggedIn { issued, user, workspace }))
}

fn logout(steps: &Steps<'_>) -> Result<Done> {
    let (id, now) = (steps.token()?.id, steps.now);
    steps.engine.central.write(move |db| Ok::<_, Error>(tokens::revoke_one(db, id, now)?))?;
    Ok(Done)
}

fn whoami(steps: &Steps<'_>) -> Result<Ok200<Whoami>> {
    let token = steps.token()?;
    let account_id = token.account_id;
    let lease = steps.call.workspace()?;
    let id = lease.id();
    let workspace = as_member(steps, account_id, id)?;
    let found = lease.file().read(move |db| {
        let member = permissions::member(db, account_id)?;
        Ok::<_, Error>(member.zip(users::of_account(db, account_id)?))
    })?;
    let (member, user) = found.ok_or_else(Error::not_a_member)?;
    Ok(Ok200(Whoami {
        user,
        scope: "workspace",
        workspace,
        role: member.role,
        permissions: member.permissions,
        token: TokenShown::of(token),
    }))
}

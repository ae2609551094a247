//! Signing in and out on a workspace's own host.

use schemars::JsonSchema;
use serde::Serialize;

use super::integration_keys;
use super::users::{self, User};
use crate::api::{Done, Error, Json, Needs, Ok200, Result, Route, Steps, Tries, get, hashing, post, steps};
use crate::auth::{Actor, Permissions, Scope};
use crate::central::audit_log::EVERYBODY;
use crate::central::credentials::Issued;
use crate::central::second_factor;
use crate::central::session::{Credentials, TokenShown, as_member, begin_session, enter, switch_to, verify};
use crate::central::workspaces::Workspace;

pub const ROUTES: &[Route] = &[
    post("/login", &hashing(login), Needs::Anyone, "Log in to this workspace").named("login"),
    post(
        "/login/second-factor",
        &steps(login_with_code),
        Needs::Anyone,
        "Finish a login with the code of a second factor",
    )
    .named("loginWithSecondFactor"),
    post("/logout", &steps(logout), Needs::SignedIn, "Log out: revoke the token of this call").named("logout"),
    get("/whoami", &steps(whoami), Needs::Insider, "Show who you are here and what you may do").named("whoami"),
    post("/switch-to", &steps(switch_to), Needs::SignedIn, "Get a token for a workspace, or for the central API")
        .named("switchTo"),
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
    /// Null where a key asks.
    user: Option<User>,
    /// Always `workspace`.
    scope: &'static str,
    workspace: Workspace,
    /// The role's name; null where a key asks.
    role: Option<String>,
    /// As the role or the key has them: `customer.view`, `customer.*`, `*`.
    permissions: Permissions,
    /// The only customer that the caller sees, if it is bound to one.
    customer_id: Option<i64>,
    token: TokenShown,
}

fn login(steps: &Steps<'_>, tries: Tries, Json(given): Json<Credentials>) -> Result<Ok200<LoggedIn>> {
    let account_id = verify(steps, &tries, &given)?.id;
    second_factor::challenge(steps, account_id, Some(steps.call.workspace()?.id()))?;
    logged_in(steps, account_id)
}

fn login_with_code(
    steps: &Steps<'_>,
    tries: Tries,
    second_factor::Attempt(given): second_factor::Attempt,
) -> Result<Ok200<LoggedIn>> {
    let workspace = steps.call.workspace()?.id();
    let done = second_factor::answer(steps, &tries, &given, Some(workspace))?;
    logged_in(steps, done.account_id)
}

/// The answer to a login that has succeeded.
fn logged_in(steps: &Steps<'_>, account_id: i64) -> Result<Ok200<LoggedIn>> {
    let lease = steps.call.workspace()?;
    let id = lease.id();
    let workspace = enter(steps, account_id, id)?;
    let user = lease.file().read(move |db| Ok::<_, Error>(users::of_account(db, account_id)?))?;
    let user = user.ok_or_else(Error::not_a_member)?;
    let issued = begin_session(steps, account_id, Scope::Workspace(id), "login", steps.engine.config.token_ttl)?;
    Ok(Ok200(LoggedIn { issued, user, workspace }))
}

fn logout(steps: &Steps<'_>) -> Result<Done> {
    let (id, now) = (steps.token()?.id, steps.now);
    steps.engine.central.revoke_token(id, now)?;
    Ok(Done)
}

fn whoami(steps: &Steps<'_>) -> Result<Ok200<Whoami>> {
    let insider = steps.insider()?;
    let lease = steps.call.workspace()?;
    let (user, role, token, account_id) = match insider.actor.clone() {
        Actor::User { id, role } => {
            let token = steps.token()?;
            let user = lease.file().read(move |db| users::find(db, id))?;
            (Some(user), Some(role), TokenShown::of(token), token.account_id)
        }
        Actor::Client { user_id, token, .. } => {
            let user = match user_id {
                Some(id) => Some(lease.file().read(move |db| users::find(db, id))?),
                None => None,
            };
            let account_id = user.as_ref().map_or(EVERYBODY, |user| user.account_id);
            let shown =
                TokenShown { id: token.grant_id, label: insider.name.clone(), expires_at: Some(token.expires_at) };
            (user, None, shown, account_id)
        }
        Actor::Key { id, .. } => {
            let key = lease.file().read(move |db| integration_keys::find(db, id))?;
            (None, None, key.into(), EVERYBODY)
        }
        Actor::CallFlow { .. } => return Err(Error::only_looks_up()),
    };
    Ok(Ok200(Whoami {
        user,
        scope: "workspace",
        workspace: as_member(steps, account_id, lease.id())?,
        role,
        permissions: insider.permissions.clone(),
        customer_id: insider.customer_id,
        token,
    }))
}

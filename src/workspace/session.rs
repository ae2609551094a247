//! Log in and log out on a workspace's own host.

use schemars::JsonSchema;
use serde::Serialize;

use super::integration_keys;
use super::users::{self, User};
use crate::api::resource::Resource;
use crate::api::{Done, Error, Json, Needs, Ok200, Result, Route, Steps, Tries, get, hashing, post, steps};
use crate::auth::{Actor, Permissions, Scope};
use crate::central::audit_log::EVERYBODY;
use crate::central::credentials::Issued;
use crate::central::second_factor;
use crate::central::session::{Credentials, TokenShown, as_member, begin_session, enter, switch_to, verify};
use crate::central::workspaces::Workspace;

pub const RESOURCE: Resource = Resource::new("Session", "Log in to this workspace and log out.", ROUTES);

const ROUTES: &[Route] = &[
    post("/login", &hashing(login), Needs::Anyone, "Log in to this workspace").named("login"),
    post("/login/second-factor", &steps(login_with_code), Needs::Anyone, "Complete a login with a second-factor code")
        .named("loginWithSecondFactor"),
    post("/logout", &steps(logout), Needs::SignedIn, "Log out and revoke the token of the request").named("logout"),
    get("/whoami", &steps(whoami), Needs::Insider, "Show the caller and its permissions").named("whoami"),
    post("/switch-to", &steps(switch_to), Needs::SignedIn, "Get a token for a workspace, or for the central API")
        .named("switchTo"),
];

/// A new token with its user and workspace.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LoggedIntoWorkspace")]
pub struct LoggedIn {
    #[serde(flatten)]
    issued: Issued,
    /// The user of the workspace.
    user: User,
    /// The workspace of the token.
    workspace: Workspace,
}

/// The caller, its workspace and its permissions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WhoamiInWorkspace")]
pub struct Whoami {
    /// The user. Null for an integration key.
    user: Option<User>,
    /// Always `workspace`.
    scope: &'static str,
    /// The workspace of the request.
    workspace: Workspace,
    /// Name of the user's role. Null for an integration key.
    role: Option<String>,
    /// Permissions as granted to the role or key: `customer.view`, `customer.*` or `*`.
    permissions: Permissions,
    /// Id of the only customer that the caller can access. Null: all customers.
    customer_id: Option<i64>,
    /// The token or key of the request.
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

/// The response to a successful login.
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

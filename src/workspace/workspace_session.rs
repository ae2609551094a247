//! Log in and log out on a workspace's own host.

use schemars::JsonSchema;
use serde::Serialize;

use super::integration_keys;
use super::settings::Settings;
use super::users::{self, WorkspaceUser};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{
    BlockingCtx, Done, Error, Json, Needs, Ok200, RateLimit, Result, Route, blocking, get, hashing, post,
};
use crate::auth::{Identity, Permissions, SignInMethod, TokenScope};
use crate::central::account_session::{
    FIELDS, Login, LoginToken, TokenShown, as_member, begin_session, open_session, switch_to, verify,
};
use crate::central::central_audit_log::EVERYBODY;
use crate::central::credentials::Issued;
use crate::central::login_challenges;
use crate::central::workspace_rows::Workspace;
use crate::values::{Country, Locale, TimeZone};

pub const RESOURCE: Resource = Resource::new("Session", "Log in to this workspace and log out.", ROUTES)
    .fields(FIELDS)
    .more_fields(&[OF_WORKSPACE]);

/// The fields that sessions of the central host do not have, with their labels.
const OF_WORKSPACE: &[Field] = &[
    labelled("role", "Role", "Rôle"),
    labelled("permissions", "Permissions", "Droits"),
    labelled("customer_id", "Customer", "Client"),
];

const ROUTES: &[Route] = &[
    post("/login", &hashing(login), Needs::Anyone, "Log in to this workspace").named("login"),
    post(
        "/login/second-factor",
        &blocking(login_with_code),
        Needs::Anyone,
        "Complete a login with a second-factor code",
    )
    .named("loginWithSecondFactor"),
    post("/logout", &blocking(logout), Needs::SignedIn, "Log out and revoke the token of the request").named("logout"),
    get("/whoami", &blocking(whoami), Needs::Principal, "Show the caller and its permissions").named("whoami"),
    post("/switch-to", &blocking(switch_to), Needs::SignedIn, "Get a token for a workspace, or for the central API")
        .named("switchTo"),
];

/// A new token with its user and workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LoggedIntoWorkspace {
    #[serde(flatten)]
    issued: Issued,
    /// The user of the workspace.
    user: WorkspaceUser,
    /// The workspace of the token.
    workspace: Workspace,
}

/// The caller, its workspace and its permissions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WhoamiInWorkspace {
    /// The user. Null for an integration key.
    user: Option<WorkspaceUser>,
    /// Always `workspace`.
    scope: &'static str,
    /// The workspace of the request.
    workspace: WorkspaceInUse,
    /// Name of the user's role. Null for an integration key.
    role: Option<String>,
    /// Permissions as granted to the role or key: `customer.view`, `customer.*` or `*`.
    permissions: Permissions,
    /// Id of the only customer that the caller can access. Null: all customers.
    customer_id: Option<i64>,
    /// The token or key of the request.
    token: TokenShown,
}

/// A workspace with the settings that every client needs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WorkspaceInUse {
    #[serde(flatten)]
    workspace: Workspace,
    /// IANA time zone of the workspace, for example `Europe/Paris`.
    timezone: TimeZone,
    /// Language of the workspace, optionally with a country: `fr`, `fr-FR`.
    locale: Locale,
    /// Country (ISO 3166-1) of phone numbers without a prefix.
    default_country: Country,
}

fn login(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, Json(given): Json<Login>) -> Result<Ok200<LoggedIntoWorkspace>> {
    let account_id = verify(ctx, &rate_limit, &given)?.id;
    login_challenges::challenge(ctx, account_id, Some(ctx.request.workspace()?.id()), &SignInMethod::default())?;
    logged_in(ctx, account_id, SignInMethod::default())
}

fn login_with_code(
    ctx: &BlockingCtx<'_>,
    rate_limit: RateLimit,
    login_challenges::SecondFactorAttempt(given): login_challenges::SecondFactorAttempt,
) -> Result<Ok200<LoggedIntoWorkspace>> {
    let workspace = ctx.request.workspace()?.id();
    let done = login_challenges::answer(ctx, &rate_limit, &given, Some(workspace))?;
    logged_in(ctx, done.account_id, done.method)
}

/// The response to a successful login.
fn logged_in(ctx: &BlockingCtx<'_>, account_id: i64, method: SignInMethod) -> Result<Ok200<LoggedIntoWorkspace>> {
    let lease = ctx.request.workspace()?;
    let id = lease.id();
    let workspace = open_session(ctx, account_id, id, &method)?;
    let user = lease.file().read(move |db| Ok::<_, Error>(users::of_account(db, account_id)?))?;
    let user = user.ok_or_else(Error::not_a_member)?;
    let login = LoginToken::of_program(ctx.instance);
    let issued = begin_session(ctx, account_id, TokenScope::Workspace(id), login, method)?;
    Ok(Ok200(LoggedIntoWorkspace { issued, user, workspace }))
}

fn logout(ctx: &BlockingCtx<'_>) -> Result<Done> {
    let (id, now) = (ctx.token()?.id, ctx.now);
    ctx.instance.central.revoke_token(id, now)?;
    Ok(Done)
}

fn whoami(ctx: &BlockingCtx<'_>) -> Result<Ok200<WhoamiInWorkspace>> {
    let principal = ctx.principal()?;
    let lease = ctx.request.workspace()?;
    let (user, role, token, account_id) = match principal.actor.clone() {
        Identity::User { id, role } => {
            let token = ctx.token()?;
            let user = lease.file().read(move |db| users::find(db, id))?;
            (Some(user), Some(role), TokenShown::of(token), token.account_id)
        }
        Identity::Client { user_id, token, .. } => {
            let user = match user_id {
                Some(id) => Some(lease.file().read(move |db| users::find(db, id))?),
                None => None,
            };
            let account_id = user.as_ref().map_or(EVERYBODY, |user| user.account_id);
            let shown =
                TokenShown { id: token.grant_id, label: principal.name.clone(), expires_at: Some(token.expires_at) };
            (user, None, shown, account_id)
        }
        Identity::Key { id, .. } => {
            let key = lease.file().read(move |db| integration_keys::find(db, id))?;
            (None, None, key.into(), EVERYBODY)
        }
        Identity::CallFlow { .. } => return Err(Error::lookup_only()),
    };
    let settings = lease.file().read(Settings::find)?;
    let workspace = WorkspaceInUse {
        workspace: as_member(ctx, account_id, lease.id())?,
        timezone: settings.timezone,
        locale: settings.locale,
        default_country: settings.default_country,
    };
    Ok(Ok200(WhoamiInWorkspace {
        user,
        scope: "workspace",
        workspace,
        role,
        permissions: principal.permissions.clone(),
        customer_id: principal.customer_id,
        token,
    }))
}

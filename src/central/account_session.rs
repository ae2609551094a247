//! Login, logout, and switching between the central API and workspaces.

use std::sync::Arc;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::accounts::{self, Account};
use super::central_audit_log::{self, CentralAuditEvent};
use super::credentials::{self, Issued, TokenSpec};
use super::login_challenges::{self, Challenge};
use super::notices;
use super::workspace_rows::{self, Workspace};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{
    BlockingCtx, Ctx, Done, Error, Json, Needs, Ok200, RateLimit, Result, Route, blocking, get, hashing, post, run,
};
use crate::auth::{Origin, Purpose, SignInMethod, TokenScope, Verified, identity};
use crate::instance::Instance;
use crate::tenancy::{Status, members};
use crate::values::{Email, Name, Timestamp, email};

pub const RESOURCE: Resource =
    Resource::new("Session", "Log in and out, and move between the central API and workspaces.", ROUTES).fields(FIELDS);

/// The fields, with their labels. Sessions of workspaces have them too.
pub const FIELDS: &[Field] = &[
    labelled("email", "Email", "Adresse e-mail"),
    labelled("password", "Password", "Mot de passe"),
    labelled("challenge", "Login in progress", "Connexion en cours"),
    labelled("code", "Code", "Code"),
    labelled("workspace_id", "Workspace", "Espace de travail"),
    labelled("token", "Token", "Jeton"),
    labelled("token_type", "Type of the token", "Type du jeton"),
    labelled("expires_in", "Lifetime", "Durée de validité"),
    labelled("user", "User", "Utilisateur"),
    labelled("workspaces", "Workspaces", "Espaces de travail"),
    labelled("scope", "Valid for", "Portée"),
    labelled("workspace", "Workspace", "Espace de travail"),
];

const ROUTES: &[Route] = &[
    post("/login", &hashing(login), Needs::Anyone, "Log in").named("login"),
    post(
        "/login/second-factor",
        &blocking(login_with_code),
        Needs::Anyone,
        "Complete a login with a second-factor code",
    )
    .named("loginWithSecondFactor"),
    post("/logout", &run(logout), Needs::SignedIn, "Log out and revoke the token of this request")
        .named("logout")
        .following_token(),
    get("/whoami", &run(whoami), Needs::SignedIn, "Show the current account and its workspaces")
        .named("whoami")
        .following_token(),
    post("/switch-to", &blocking(switch_to), Needs::AnyToken, "Get a token for a workspace or for the central API")
        .named("switchTo"),
];

/// The token that a login issues.
#[derive(Debug, Clone, Copy)]
pub struct LoginToken {
    pub label: &'static str,
    /// Lifetime in seconds.
    pub ttl: i64,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Login {
    /// Email address of the account.
    #[serde(deserialize_with = "email::of_account")]
    pub email: Email,
    /// Password of the account.
    #[schemars(example = &"a-long-password")]
    pub password: Name<1000>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct LoggedIn {
    #[serde(flatten)]
    issued: Issued,
    /// The account.
    user: Account,
    /// The workspaces of which the account is a member.
    workspaces: Vec<Workspace>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Whoami {
    /// The account of the token.
    user: Account,
    /// Always `central`.
    scope: &'static str,
    /// Always null.
    workspace: Option<Workspace>,
    /// The workspaces of which the account is a member.
    workspaces: Vec<Workspace>,
    /// The token of the request.
    token: TokenShown,
}

/// The token or integration key of a request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenShown {
    /// Id of the token or key.
    pub id: i64,
    /// Label of the token or key.
    pub label: String,
    /// Time of expiry; null for a key that does not expire.
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Switch")]
#[serde(default)]
pub struct WorkspaceSwitch {
    /// Id of the workspace. Null or absent for the central API.
    #[schemars(example = &"0198c1f0-6a3b-7c55-9d2e-2f4b8a1c0d11")]
    workspace_id: Option<Uuid>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Switched {
    #[serde(flatten)]
    issued: Issued,
    /// `central` or `workspace`.
    scope: &'static str,
    /// The workspace; null for the central API.
    workspace: Option<Workspace>,
}

fn login(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, Json(given): Json<Login>) -> Result<Ok200<LoggedIn>> {
    let user = verify(ctx, &rate_limit, &given)?;
    login_challenges::challenge(ctx, user.id, None, &SignInMethod::default())?;
    logged_in(ctx, user, SignInMethod::default())
}

fn login_with_code(
    ctx: &BlockingCtx<'_>,
    rate_limit: RateLimit,
    login_challenges::SecondFactorAttempt(given): login_challenges::SecondFactorAttempt,
) -> Result<Ok200<LoggedIn>> {
    let Challenge { account_id, method } = login_challenges::answer(ctx, &rate_limit, &given, None)?;
    let user = ctx.instance.central.account(account_id)?;
    logged_in(ctx, user, method)
}

/// The response to a successful login.
fn logged_in(ctx: &BlockingCtx<'_>, user: Account, method: SignInMethod) -> Result<Ok200<LoggedIn>> {
    let login = LoginToken::of_program(ctx.instance);
    let issued = begin_session(ctx, user.id, TokenScope::Central, login, method)?;
    let mut workspaces = ctx.instance.central.workspaces_of(user.id)?;
    workspaces.iter_mut().for_each(|workspace| workspace.set_url(ctx.instance));
    Ok(Ok200(LoggedIn { issued, user, workspaces }))
}

/// Issues the token of a login.
pub fn begin_session(
    ctx: &BlockingCtx<'_>,
    account_id: i64,
    scope: TokenScope,
    login: LoginToken,
    method: SignInMethod,
) -> Result<Issued> {
    let (inside, origin) = (Arc::clone(ctx.instance), ctx.request.origin().by(account_id));
    ctx.instance.central.write(move |db| {
        let method = method.clone();
        let spec = TokenSpec { method, ..TokenSpec::is_session(account_id, scope, login.label, login.ttl) };
        issue_for_login(db, &inside, &spec, &origin)
    })
}

/// Issues the token of a login, records it in the audit log, and notifies the user of a login from a new network.
pub fn issue_for_login(db: &Connection, instance: &Instance, spec: &TokenSpec<'_>, origin: &Origin) -> Result<Issued> {
    let issued = credentials::issue(db, instance, spec, origin)?;
    let mut event = CentralAuditEvent::new("login.succeeded").about(spec.account_id);
    event.workspace = spec.scope.workspace();
    if let Some(provider) = &spec.method.provider {
        event = event.with(json!({"provider": provider}));
    }
    central_audit_log::record(db, origin, event)?;
    notices::record_login(db, spec.account_id, origin)?;
    Ok(issued)
}

pub fn logout(ctx: &mut Ctx<'_>) -> Result<Done> {
    credentials::revoke_one(ctx.db, ctx.request.token()?.id, ctx.now)?;
    Ok(Done)
}

fn whoami(ctx: &mut Ctx<'_>) -> Result<Ok200<Whoami>> {
    let token = ctx.request.token()?;
    let mut workspaces = workspace_rows::of_account(ctx.db, token.account_id)?;
    workspaces.iter_mut().for_each(|workspace| workspace.set_url(&ctx.request.instance));
    Ok(Ok200(Whoami {
        user: accounts::find(ctx.db, token.account_id)?,
        scope: "central",
        workspace: None,
        workspaces,
        token: TokenShown::of(token),
    }))
}

pub fn switch_to(ctx: &BlockingCtx<'_>, Json(to): Json<WorkspaceSwitch>) -> Result<Ok200<Switched>> {
    let parent = Arc::clone(ctx.token()?);
    let enter = |id| open_session(ctx, parent.account_id, id, &parent.method);
    let workspace = to.workspace_id.map(enter).transpose()?;
    let scope = TokenScope::from(to.workspace_id);
    let (inside, origin) = (Arc::clone(ctx.instance), ctx.request.origin());
    let issued = ctx.instance.central.write(move |db| {
        credentials::issue(db, &inside, &TokenSpec::switched(&parent, scope, inside.config.token_ttl), &origin)
    })?;
    let scope = if workspace.is_some() { "workspace" } else { "central" };
    Ok(Ok200(Switched { issued, scope, workspace }))
}

/// Checks an email and a password, and returns the account. An unknown email takes as long as a wrong password.
pub fn verify(ctx: &BlockingCtx<'_>, rate_limit: &RateLimit, given: &Login) -> Result<Account> {
    if ctx.instance.config.require_single_sign_on {
        return Err(Error::single_sign_on_required());
    }
    let (email, origin) = (given.email.clone(), ctx.request.origin());
    let (found, is_at_home) = ctx.instance.central.read(move |db| {
        let found = accounts::find_by_email(db, &email)?;
        let is_at_home = match &found {
            Some((account, _)) => notices::knows_network(db, account.id, &origin)?,
            None => false,
        };
        Ok::<_, Error>((found, is_at_home))
    })?;
    let (account, kept) = found.unzip();
    // A stranger who guesses from elsewhere cannot lock out a user who logs in from a known network.
    let tries = match is_at_home {
        true => rate_limit.for_address(Purpose::Password),
        false => rate_limit.for_email(Purpose::Password, &given.email),
    };
    let verified = credentials::compare(ctx.instance, &tries, &given.password, kept.as_deref());
    if matches!(verified, Err(Error::InvalidCredentials)) {
        let event = CentralAuditEvent::new("login.failed").of_address(&given.email).with(json!({"reason": "password"}));
        let event = CentralAuditEvent { account_id: account.as_ref().map(|account| account.id), ..event };
        ctx.instance.central.record_or_log(ctx.request.origin(), event);
    }
    let verified = verified?;
    let account = account.ok_or(Error::InvalidCredentials)?;
    if let Verified::Rehash(hash) = verified {
        let (id, now) = (account.id, ctx.now);
        ctx.instance.central.write(move |db| Ok::<_, Error>(accounts::set_password_hash(db, id, &hash, now)?))?;
    }
    Ok(account)
}

/// Enters a workspace, if the account may. Copies the account's name and address to the workspace's file.
pub fn open_session(ctx: &BlockingCtx<'_>, account_id: i64, id: Uuid, method: &SignInMethod) -> Result<Workspace> {
    let workspace = admit(ctx, account_id, id, method)?;
    if lacks_second_factor(ctx, account_id, id, method)? {
        return Err(Error::second_factor_missing());
    }
    Ok(workspace)
}

/// Whether a workspace requires a second factor that the account does not have.
pub fn lacks_second_factor(ctx: &BlockingCtx<'_>, account_id: i64, id: Uuid, method: &SignInMethod) -> Result<bool> {
    if method.second_factor {
        return Ok(false);
    }
    let lease = ctx.instance.registry.lease(id);
    if !lease.file().read(|db| Ok::<_, Error>(identity::requires_second_factor(db)?))? {
        return Ok(false);
    }
    Ok(!ctx.instance.central.second_factor(account_id)?.enabled)
}

/// Like [`open_session`], without the check of the second factor.
pub fn admit(ctx: &BlockingCtx<'_>, account_id: i64, id: Uuid, method: &SignInMethod) -> Result<Workspace> {
    let listed = ctx.instance.directory.current(&ctx.instance.keys)?.by_id(id)?;
    let listed = listed.ok_or_else(Error::workspace_not_found)?;
    let account = ctx.instance.central.account(account_id)?;
    let mut workspace = as_member(ctx, account_id, id)?;
    if listed.status == Status::Suspended {
        return Err(Error::workspace_suspended());
    }
    let now = ctx.now;
    let file = ctx.instance.registry.lease(id);
    let has_password_only = method.provider.is_none();
    let role = file.file().write(move |db| {
        if has_password_only && identity::requires_single_sign_on(db)? {
            return Err(Error::single_sign_on_required());
        }
        Ok::<_, Error>(members::refresh_copies(db, account_id, &account.name, &account.email, now)?)
    })?;
    let role = role.ok_or_else(Error::not_a_member)?;
    if workspace.role.as_deref() != Some(&role) {
        workspace.role = Some(role.clone());
        // The central role is a copy, and a crash between the two writes left it outdated.
        ctx.instance.central.set_member_role(account_id, id, &role)?;
    }
    Ok(workspace)
}

/// The workspace as this account sees it, if it is a member.
pub fn as_member(ctx: &BlockingCtx<'_>, account_id: i64, id: Uuid) -> Result<Workspace> {
    let found = ctx.instance.central.workspace_of_member(account_id, id)?;
    let mut workspace = found.ok_or_else(Error::not_a_member)?;
    workspace.set_url(ctx.instance);
    Ok(workspace)
}

impl LoginToken {
    /// The token of a program that logs in with a password.
    pub fn of_program(instance: &Instance) -> Self {
        Self { label: "login", ttl: instance.config.token_ttl }
    }
}

impl TokenShown {
    pub fn of(token: &crate::auth::TokenInUse) -> Self {
        Self { id: token.id, label: token.label.clone(), expires_at: Some(token.expires_at) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::api::Error;
    use crate::tests::{PASSWORD, TestServer};

    #[test]
    fn a_login_answers_a_token_and_where_it_leads() {
        let server = TestServer::new();
        let said = server.anonymous().post("/login", json!({"email": "Owner@Example.com", "password": PASSWORD})).ok();
        assert_eq!((&said["token_type"], &said["expires_in"]), (&json!("Bearer"), &json!(2_592_000)));
        let acme = &said["workspaces"][0];
        assert_eq!(
            (&acme["subdomain"], &acme["role"], &acme["url"]),
            (&json!("acme"), &json!("admin"), &json!("http://acme.localhost"))
        );
        assert_eq!(server.anonymous().signed_in(&said).get("/whoami").ok()["user"], said["user"]);
    }

    #[test]
    fn wrong_and_unknown_are_refused_alike() {
        let server = TestServer::new();
        for email in ["owner@example.com", "nobody@example.com"] {
            let answer = server.anonymous().post("/login", json!({"email": email, "password": "wrong-password"}));
            answer.rejected(401, "invalid_credentials");
        }
        let answer = server.anonymous().post("/login", json!({}));
        answer.invalid(&["The email field is required.", "The password field is required."]);
    }

    /// A damaged hash is an error for every login that reads it.
    #[test]
    fn who_is_throttled_is_refused_before_anything_is_hashed() {
        for (attempts, status, error) in [("0", 500, "internal_error"), ("1", 429, "too_many_requests")] {
            let server = TestServer::with(&[("throttle_attempts", attempts)]);
            let login = |password: &str| {
                server.anonymous().post("/login", json!({"email": "owner@example.com", "password": password}))
            };
            login("wrong-password").rejected(401, "invalid_credentials");
            let damage = "UPDATE accounts SET password_hash = 'damaged'";
            server.instance.central.write(move |db| Ok::<_, Error>(db.execute(damage, [])?)).unwrap();
            login(PASSWORD).rejected(status, error);
        }
    }

    #[test]
    fn a_login_on_a_workspaces_host_leads_into_it() {
        let server = TestServer::new();
        let acme = || server.anonymous().at("acme.localhost");
        let said = acme().post("/login", json!({"email": "owner@example.com", "password": PASSWORD})).ok();
        assert_eq!((&said["user"]["id"], &said["user"]["role"]["name"]), (&json!(1), &json!("admin")));
        let me = acme().signed_in(&said).get("/whoami").ok();
        let mut workspace = said["workspace"].clone();
        (workspace["timezone"], workspace["locale"]) = (json!("Europe/Paris"), json!("fr-FR"));
        workspace["default_country"] = json!("FR");
        assert_eq!(
            (&me["scope"], &me["permissions"], &me["workspace"]),
            (&json!("workspace"), &json!(["*"]), &workspace)
        );
        acme().signed_in(&said).post("/logout", json!({})).ok();
        acme().signed_in(&said).get("/whoami").rejected(401, "token_revoked");

        let stranger = json!({"name": "Zoé", "email": "zoe@example.com", "password": "quite-a-long-one"});
        server.anonymous().post("/register", stranger).created();
        let answer = acme().post("/login", json!({"email": "zoe@example.com", "password": "quite-a-long-one"}));
        answer.rejected(403, "not_a_member");
    }

    #[test]
    fn one_moves_both_ways_and_the_old_token_stays_good() {
        let server = TestServer::new();
        let into = server.central().post("/switch-to", json!({"workspace_id": server.acme.id})).ok();
        assert_eq!((&into["scope"], &into["workspace"]["subdomain"]), (&json!("workspace"), &json!("acme")));
        let inside = server.anonymous().signed_in(&into).at("acme.localhost");
        let across = inside.post("/switch-to", json!({"workspace_id": server.other.id})).ok();
        server.anonymous().signed_in(&across).at("other.localhost").get("/customers").ok();
        let back = inside.post("/switch-to", json!({})).ok();
        assert_eq!((&back["scope"], &back["workspace"]), (&json!("central"), &Value::Null));
        server.anonymous().signed_in(&back).get("/whoami").ok();
        inside.get("/whoami").ok();
    }

    #[test]
    fn nobody_goes_where_nothing_is_or_where_they_do_not_belong() {
        let server = TestServer::new();
        let to = |id: Value| server.central().post("/switch-to", json!({"workspace_id": id}));
        to(json!("01a20b2c-00a2-73dc-a1d6-997badde1f7c")).rejected(404, "workspace_not_found");
        to(json!("acme")).invalid(&["The selected workspace id is invalid."]);
        let agent = server.with_role("agent");
        agent.post("/switch-to", json!({"workspace_id": server.other.id})).rejected(403, "not_a_member");
    }

    #[test]
    fn a_workspaces_token_is_known_and_ends_on_the_central_host_too() {
        let server = TestServer::new();
        let there = server.admin();
        let here = server.admin().at("localhost");
        assert_eq!(here.get("/whoami").ok()["user"], there.get("/whoami").ok()["user"]);
        here.get("/workspaces").rejected(401, "wrong_token_scope");
        here.get("/tokens").rejected(401, "wrong_token_scope");
        here.post("/logout", json!({})).ok();
        here.get("/whoami").rejected(401, "token_revoked");
        assert!(server.central().get("/whoami").ok()["workspaces"].is_array());
    }

    #[test]
    fn what_the_file_knows_of_a_user_is_made_current() {
        let server = TestServer::new();
        server.central().put("/account", json!({"name": "Renamed"})).created();
        assert_eq!(server.admin().get("/whoami").ok()["user"]["name"], "Somebody");
        server.central().post("/switch-to", json!({"workspace_id": server.acme.id})).ok();
        assert_eq!(server.admin().get("/whoami").ok()["user"]["name"], "Renamed");
    }
}

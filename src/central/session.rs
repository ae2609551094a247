//! Login, logout, and switching between the central API and workspaces.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::accounts::{self, Account};
use super::audit_log::{self, Event};
use super::credentials::{self, Issued, NewIssue};
use super::notices;
use super::second_factor::{self, Challenge};
use super::workspaces::{self, Workspace};
use crate::api::resource::Resource;
use crate::api::{Ctx, Done, Error, Json, Needs, Ok200, Result, Route, Steps, Tries, get, hashing, post, run, steps};
use crate::auth::{Purpose, Scope, Verified, callers};
use crate::tenancy::{Status, members};
use crate::values::{Email, Name, Timestamp, email};

pub const RESOURCE: Resource =
    Resource::new("Session", "Log in and out, and move between the central API and workspaces.", ROUTES);

const ROUTES: &[Route] = &[
    post("/login", &hashing(login), Needs::Anyone, "Log in").named("login"),
    post("/login/second-factor", &steps(login_with_code), Needs::Anyone, "Complete a login with a second-factor code")
        .named("loginWithSecondFactor"),
    post("/logout", &run(logout), Needs::SignedIn, "Log out and revoke the token of this request")
        .named("logout")
        .following_token(),
    get("/whoami", &run(whoami), Needs::SignedIn, "Show the current account and its workspaces")
        .named("whoami")
        .following_token(),
    post("/switch-to", &steps(switch_to), Needs::AnyToken, "Get a token for a workspace or for the central API")
        .named("switchTo"),
];

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Login")]
#[serde(default)]
pub struct Credentials {
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
pub struct Destination {
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

fn login(steps: &Steps<'_>, tries: Tries, Json(given): Json<Credentials>) -> Result<Ok200<LoggedIn>> {
    let user = verify(steps, &tries, &given)?;
    second_factor::challenge(steps, user.id, None)?;
    logged_in(steps, user)
}

fn login_with_code(
    steps: &Steps<'_>,
    tries: Tries,
    second_factor::Attempt(given): second_factor::Attempt,
) -> Result<Ok200<LoggedIn>> {
    let Challenge { account_id, .. } = second_factor::answer(steps, &tries, &given, None)?;
    let user = steps.engine.central.account(account_id)?;
    logged_in(steps, user)
}

/// The response to a successful login.
fn logged_in(steps: &Steps<'_>, user: Account) -> Result<Ok200<LoggedIn>> {
    let issued = begin_session(steps, user.id, Scope::Central, "login", steps.engine.config.token_ttl)?;
    let mut workspaces = steps.engine.central.workspaces_of(user.id)?;
    workspaces.iter_mut().for_each(|workspace| workspace.set_url(steps.engine));
    Ok(Ok200(LoggedIn { issued, user, workspaces }))
}

/// Issues the token of a login, records it in the audit log, and notifies the user of a login from a new network.
pub fn begin_session(
    steps: &Steps<'_>,
    account_id: i64,
    scope: Scope,
    label: &'static str,
    ttl: i64,
) -> Result<Issued> {
    let (inside, origin) = (Arc::clone(steps.engine), steps.call.origin().by(account_id));
    steps.engine.central.write(move |db| {
        let issued = credentials::issue(db, &inside, &NewIssue::session(account_id, scope, label, ttl), &origin)?;
        let event = Event { workspace: scope.workspace(), ..Event::new("login.succeeded").about(account_id) };
        audit_log::record(db, &origin, event)?;
        notices::note_login(db, account_id, &origin)?;
        Ok(issued)
    })
}

pub fn logout(ctx: &mut Ctx<'_>) -> Result<Done> {
    credentials::revoke_one(ctx.db, ctx.call.token()?.id, ctx.now)?;
    Ok(Done)
}

fn whoami(ctx: &mut Ctx<'_>) -> Result<Ok200<Whoami>> {
    let token = ctx.call.token()?;
    let mut workspaces = workspaces::of_account(ctx.db, token.account_id)?;
    workspaces.iter_mut().for_each(|workspace| workspace.set_url(&ctx.call.engine));
    Ok(Ok200(Whoami {
        user: accounts::find(ctx.db, token.account_id)?,
        scope: "central",
        workspace: None,
        workspaces,
        token: TokenShown::of(token),
    }))
}

pub fn switch_to(steps: &Steps<'_>, Json(to): Json<Destination>) -> Result<Ok200<Switched>> {
    let parent = Arc::clone(steps.token()?);
    let workspace = to.workspace_id.map(|id| enter(steps, parent.account_id, id)).transpose()?;
    let scope = Scope::from(to.workspace_id);
    let (inside, origin) = (Arc::clone(steps.engine), steps.call.origin());
    let issued = steps.engine.central.write(move |db| {
        credentials::issue(db, &inside, &NewIssue::switched(&parent, scope, inside.config.token_ttl), &origin)
    })?;
    let scope = if workspace.is_some() { "workspace" } else { "central" };
    Ok(Ok200(Switched { issued, scope, workspace }))
}

/// The account with an email and a password. An unknown email takes as long as a wrong password.
pub fn verify(steps: &Steps<'_>, tries: &Tries, given: &Credentials) -> Result<Account> {
    let (email, origin) = (given.email.clone(), steps.call.origin());
    let (found, is_at_home) = steps.engine.central.read(move |db| {
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
        true => tries.at(Purpose::Password),
        false => tries.of(Purpose::Password, &given.email),
    };
    let verified = credentials::compare(steps.engine, &tries, &given.password, kept.as_deref());
    if matches!(verified, Err(Error::InvalidCredentials)) {
        let event = Event::new("login.failed").of_address(&given.email).with(json!({"reason": "password"}));
        let event = Event { account_id: account.as_ref().map(|account| account.id), ..event };
        let noted = steps.engine.central.record_event(steps.call.origin(), event);
        // The password is wrong even if the audit entry cannot be written.
        if let Err(error) = noted {
            tracing::warn!(%error, "could not record a failed login in the audit log");
        }
    }
    let verified = verified?;
    let account = account.ok_or(Error::InvalidCredentials)?;
    if let Verified::Rehash(hash) = verified {
        let (id, now) = (account.id, steps.now);
        steps.engine.central.write(move |db| Ok::<_, Error>(accounts::set_password_hash(db, id, &hash, now)?))?;
    }
    Ok(account)
}

/// Enters a workspace, if the account may. Copies the account's name and address to the workspace's file.
pub fn enter(steps: &Steps<'_>, account_id: i64, id: Uuid) -> Result<Workspace> {
    let workspace = admit(steps, account_id, id)?;
    if lacks_second_factor(steps, account_id, id)? {
        return Err(Error::second_factor_missing());
    }
    Ok(workspace)
}

/// Whether a workspace requires a second factor that the account does not have.
pub fn lacks_second_factor(steps: &Steps<'_>, account_id: i64, id: Uuid) -> Result<bool> {
    let lease = steps.engine.registry.lease(id);
    if !lease.file().read(|db| Ok::<_, Error>(callers::requires_second_factor(db)?))? {
        return Ok(false);
    }
    Ok(!steps.engine.central.second_factor(account_id)?.enabled)
}

/// The same without the check of the second factor.
pub fn admit(steps: &Steps<'_>, account_id: i64, id: Uuid) -> Result<Workspace> {
    let listed = steps.engine.directory.current(&steps.engine.keys)?.identified(id)?;
    let listed = listed.ok_or_else(Error::workspace_not_found)?;
    let account = steps.engine.central.account(account_id)?;
    let mut workspace = as_member(steps, account_id, id)?;
    if listed.status == Status::Suspended {
        return Err(Error::workspace_suspended());
    }
    let now = steps.now;
    let file = steps.engine.registry.lease(id);
    let role = file
        .file()
        .write(move |db| Ok::<_, Error>(members::refresh(db, account_id, &account.name, &account.email, now)?))?;
    let role = role.ok_or_else(Error::not_a_member)?;
    if workspace.role.as_deref() != Some(&role) {
        workspace.role = Some(role.clone());
        // The central role is a copy, and a crash between the two writes left it outdated.
        steps.engine.central.set_member_role(account_id, id, &role)?;
    }
    Ok(workspace)
}

/// The workspace as this account sees it, if it is a member.
pub fn as_member(steps: &Steps<'_>, account_id: i64, id: Uuid) -> Result<Workspace> {
    let found = steps.engine.central.workspace_of_member(account_id, id)?;
    let mut workspace = found.ok_or_else(Error::not_a_member)?;
    workspace.set_url(steps.engine);
    Ok(workspace)
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
    use crate::testing::{Bench, PASSWORD};

    #[test]
    fn a_login_answers_a_token_and_where_it_leads() {
        let bench = Bench::new();
        let said = bench.nobody().post("/login", json!({"email": "Owner@Example.com", "password": PASSWORD})).ok();
        assert_eq!((&said["token_type"], &said["expires_in"]), (&json!("Bearer"), &json!(2_592_000)));
        let acme = &said["workspaces"][0];
        assert_eq!(
            (&acme["subdomain"], &acme["role"], &acme["url"]),
            (&json!("acme"), &json!("admin"), &json!("http://acme.localhost"))
        );
        assert_eq!(bench.nobody().signed_in(&said).get("/whoami").ok()["user"], said["user"]);
    }

    #[test]
    fn wrong_and_unknown_are_refused_alike() {
        let bench = Bench::new();
        for email in ["owner@example.com", "nobody@example.com"] {
            let answer = bench.nobody().post("/login", json!({"email": email, "password": "wrong-password"}));
            answer.refused(401, "invalid_credentials");
        }
        let answer = bench.nobody().post("/login", json!({}));
        answer.invalid(&["The email field is required.", "The password field is required."]);
    }

    /// A damaged hash is an error for every login that reads it.
    #[test]
    fn who_is_throttled_is_refused_before_anything_is_hashed() {
        for (attempts, status, error) in [("0", 500, "internal_error"), ("1", 429, "too_many_requests")] {
            let bench = Bench::with(&[("throttle_attempts", attempts)]);
            let login = |password: &str| {
                bench.nobody().post("/login", json!({"email": "owner@example.com", "password": password}))
            };
            login("wrong-password").refused(401, "invalid_credentials");
            let damage = "UPDATE accounts SET password_hash = 'damaged'";
            bench.engine.central.write(move |db| Ok::<_, Error>(db.execute(damage, [])?)).unwrap();
            login(PASSWORD).refused(status, error);
        }
    }

    #[test]
    fn a_login_on_a_workspaces_host_leads_into_it() {
        let bench = Bench::new();
        let acme = || bench.nobody().at("acme.localhost");
        let said = acme().post("/login", json!({"email": "owner@example.com", "password": PASSWORD})).ok();
        assert_eq!((&said["user"]["id"], &said["user"]["role"]["name"]), (&json!(1), &json!("admin")));
        let me = acme().signed_in(&said).get("/whoami").ok();
        assert_eq!(
            (&me["scope"], &me["permissions"], &me["workspace"]),
            (&json!("workspace"), &json!(["*"]), &said["workspace"])
        );
        acme().signed_in(&said).post("/logout", json!({})).ok();
        acme().signed_in(&said).get("/whoami").refused(401, "token_revoked");

        let stranger = json!({"name": "Zoé", "email": "zoe@example.com", "password": "quite-a-long-one"});
        bench.nobody().post("/register", stranger).created();
        let answer = acme().post("/login", json!({"email": "zoe@example.com", "password": "quite-a-long-one"}));
        answer.refused(403, "not_a_member");
    }

    #[test]
    fn one_moves_both_ways_and_the_old_token_stays_good() {
        let bench = Bench::new();
        let into = bench.central().post("/switch-to", json!({"workspace_id": bench.acme.id})).ok();
        assert_eq!((&into["scope"], &into["workspace"]["subdomain"]), (&json!("workspace"), &json!("acme")));
        let inside = bench.nobody().signed_in(&into).at("acme.localhost");
        let across = inside.post("/switch-to", json!({"workspace_id": bench.other.id})).ok();
        bench.nobody().signed_in(&across).at("other.localhost").get("/customers").ok();
        let back = inside.post("/switch-to", json!({})).ok();
        assert_eq!((&back["scope"], &back["workspace"]), (&json!("central"), &Value::Null));
        bench.nobody().signed_in(&back).get("/whoami").ok();
        inside.get("/whoami").ok();
    }

    #[test]
    fn nobody_goes_where_nothing_is_or_where_they_do_not_belong() {
        let bench = Bench::new();
        let to = |id: Value| bench.central().post("/switch-to", json!({"workspace_id": id}));
        to(json!("01a20b2c-00a2-73dc-a1d6-997badde1f7c")).refused(404, "workspace_not_found");
        to(json!("acme")).invalid(&["The selected workspace id is invalid."]);
        let agent = bench.with_role("agent");
        agent.post("/switch-to", json!({"workspace_id": bench.other.id})).refused(403, "not_a_member");
    }

    #[test]
    fn a_workspaces_token_is_known_and_ends_on_the_central_host_too() {
        let bench = Bench::new();
        let there = bench.admin();
        let here = bench.admin().at("localhost");
        assert_eq!(here.get("/whoami").ok()["user"], there.get("/whoami").ok()["user"]);
        here.get("/workspaces").refused(401, "wrong_token_scope");
        here.get("/tokens").refused(401, "wrong_token_scope");
        here.post("/logout", json!({})).ok();
        here.get("/whoami").refused(401, "token_revoked");
        assert!(bench.central().get("/whoami").ok()["workspaces"].is_array());
    }

    #[test]
    fn what_the_file_knows_of_a_user_is_made_current() {
        let bench = Bench::new();
        bench.central().put("/account", json!({"name": "Renamed"})).created();
        assert_eq!(bench.admin().get("/whoami").ok()["user"]["name"], "Somebody");
        bench.central().post("/switch-to", json!({"workspace_id": bench.acme.id})).ok();
        assert_eq!(bench.admin().get("/whoami").ok()["user"]["name"], "Renamed");
    }
}

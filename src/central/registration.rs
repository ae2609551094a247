//! Registration of an account, optionally with a first workspace or an invitation.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account_session::LoginToken;
use super::accounts::{self, Account};
use super::credentials::{self, Issued, TokenSpec};
use super::email_verification::CodeMailer;
use super::invitations::{self, UserInvite};
use super::notices;
use super::workspace_lifecycle::{self, NewWorkspace};
use super::workspace_rows::Workspace;
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{BlockingCtx, Error, Json, Needs, RateLimit, RateLimitedAttempt, Result, Route, Saved, hashing, post};
use crate::auth::{Purpose, TokenScope};
use crate::config::{Config, Registration};
use crate::tenancy::lifecycle::Owner;
use crate::values::{Email, Name, Password, Subdomain, Text};

pub const RESOURCE: Resource =
    Resource::new("Registration", "Register an account, optionally with a first workspace or an invitation.", ROUTES)
        .french("Inscription")
        .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Your name", "Votre nom"),
    labelled("email", "Email", "Adresse e-mail"),
    labelled("password", "Password", "Mot de passe"),
    labelled("password_confirmation", "Password again", "Mot de passe, à nouveau"),
    labelled("workspace_name", "Name of the workspace", "Nom de l’espace de travail"),
    labelled("subdomain", "Subdomain", "Sous-domaine"),
    labelled("invite", "Invitation code", "Code d’invitation"),
    labelled("user", "User", "Utilisateur"),
    labelled("token", "Token", "Jeton"),
    labelled("token_type", "Type of the token", "Type du jeton"),
    labelled("expires_in", "Lifetime", "Durée de validité"),
    labelled("workspace", "Workspace", "Espace de travail"),
];

const ROUTES: &[Route] =
    &[post("/register", &hashing(register), Needs::Anyone, "Register an account, optionally with a first workspace")
        .named("register")];

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Registration")]
#[serde(default)]
pub struct NewRegistration {
    /// Full name.
    #[schemars(example = &"Ada Lovelace")]
    pub name: Name<255>,
    /// Email address, which becomes the login name. A code to verify it is mailed.
    pub email: Email,
    /// Password. Not one of the 10,000 most common passwords, and not the name or email address of the account.
    pub password: Password,
    /// The password again. If present, it must match.
    pub password_confirmation: Option<Text<200>>,
    /// Name of a first workspace to create.
    #[schemars(example = &"Acme")]
    pub workspace_name: Option<Name<255>>,
    /// Subdomain of the first workspace. Default: derived from its name.
    pub subdomain: Option<Subdomain>,
    /// Code of an invitation to this address. Accepts the invitation.
    pub invite: Option<Text<200>>,
}

/// The registered account, with a token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Registered {
    /// The new account.
    pub user: Account,
    #[serde(flatten)]
    pub issued: Issued,
    /// The first workspace if one was requested, else the workspace of the invitation, else null.
    pub workspace: Option<Workspace>,
}

fn register(
    ctx: &BlockingCtx<'_>,
    rate_limit: RateLimit,
    Json(new): Json<NewRegistration>,
) -> Result<Saved<Registered>> {
    register_with(ctx, &rate_limit, new, LoginToken::of_program(ctx.instance)).map(Saved)
}

/// Registers an account, and issues a token for it.
pub fn register_with(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    new: NewRegistration,
    login: LoginToken,
) -> Result<Registered> {
    check(&ctx.instance.config, new.invite.is_some())?;
    if new.password_confirmation.as_ref().is_some_and(|again| **again != *new.password.reveal()) {
        return Err(Error::invalid("The password confirmation does not match."));
    }
    let invite = new.invite.as_ref().map(|code| invite(ctx, code, &new.email)).transpose()?;
    let (account, issued, mut workspace) =
        create_signed_in(ctx, &rate_limit.for_address(Purpose::Account), new, invite.as_ref(), login)?;
    if let Some(invite) = invite {
        match join(ctx, &account, &invite) {
            Ok(joined) => _ = workspace.get_or_insert(joined),
            Err(error) => tracing::info!(%error, "could not add a new account to the workspace of its invitation"),
        }
    }
    if let Some(workspace) = &mut workspace {
        workspace.set_url(ctx.instance);
    }
    Ok(Registered { user: account, issued, workspace })
}

/// Checks whether registration is allowed, with or without an invitation.
pub fn check(config: &Config, invited: bool) -> Result<()> {
    if config.require_single_sign_on {
        return Err(Error::single_sign_on_required());
    }
    let message = match config.registration {
        Registration::Closed => "Registration is closed here.",
        Registration::Invite if !invited => "Registration here is by invitation only.",
        Registration::Open | Registration::Invite => return Ok(()),
    };
    Err(Error::forbidden("registration_closed", message))
}

/// The invitation of a code, if it was mailed to this address and is still open.
fn invite(ctx: &BlockingCtx<'_>, code: &str, email: &Email) -> Result<UserInvite> {
    let (code, now) = (code.to_owned(), ctx.now);
    let found = ctx.instance.central.read(move |db| Ok::<_, Error>(invitations::with_code(db, &code)?))?;
    let invite = found.filter(|invite| invite.email.eq_ignore_ascii_case(email));
    let invite = invite.ok_or_else(|| Error::invalid("The selected invite is invalid."))?;
    invite.check_open(now)?;
    invitations::check_workspace(ctx.instance, invite.workspace.id)?;
    Ok(invite)
}

/// Adds a new account to the workspace of its invitation.
fn join(ctx: &BlockingCtx<'_>, account: &Account, invite: &UserInvite) -> Result<Workspace> {
    invitations::join(ctx, account, invite)?;
    let found = ctx.instance.central.workspace_of_member(account.id, invite.workspace.id)?;
    found.ok_or_else(Error::workspace_not_found)
}

/// Creates the account, its token and the requested workspace: all of them or none. The address counts as verified if
/// an invitation was mailed to it. Otherwise a code is mailed.
fn create_signed_in(
    ctx: &BlockingCtx<'_>,
    tries: &RateLimitedAttempt,
    new: NewRegistration,
    invite: Option<&UserInvite>,
    login: LoginToken,
) -> Result<(Account, Issued, Option<Workspace>)> {
    let (instance, now) = (ctx.instance, ctx.now);
    // Each attempt costs a hash or reveals whether an address has an account, whatever the result.
    tries.check()?;
    tries.count();
    let first = match (new.workspace_name, new.subdomain) {
        (None, None) => None,
        (name, subdomain) => {
            let name =
                name.map_or_else(|| subdomain.as_deref().unwrap_or_default().to_owned(), |name| name.to_string());
            let first = NewWorkspace { name: Name::parse(name).map_err(Error::invalid)?, subdomain };
            // One node serves it and the workspace of the invitation.
            Some((ctx.request.new_workspace_id(invite.map(|invite| invite.workspace.id))?, first))
        }
    };
    // Checked before the password is hashed, because hashing is expensive. The unique index has the last word.
    if instance.central.password_by_email(&new.email)?.is_some() {
        return Err(Error::taken("email"));
    }
    let hash = instance.hash_password(&new.password, &new.email, &new.name)?;
    let is_invited = invite.is_some();
    let (inside, origin, mailer) = (Arc::clone(instance), ctx.request.origin(), CodeMailer::of(ctx.request));
    let (account, issued, workspace) = instance.central.write(move |db| {
        let operator = !accounts::any_exists(db)?;
        let id = accounts::insert(db, &new.name, &new.email, &hash, operator, &origin)?;
        if is_invited {
            accounts::set_verified(db, id)?;
        } else {
            mailer.send(db, &accounts::find(db, id)?, &new.email, now)?;
        }
        let session = TokenSpec::is_session(id, TokenScope::Central, login.label, login.ttl);
        let issued = credentials::issue(db, &inside, &session, &origin)?;
        notices::record_login(db, id, &origin)?;
        let workspace =
            first.as_ref().map(|(new, first)| workspace_lifecycle::reserve(db, *new, first, id, now)).transpose()?;
        Ok::<_, Error>((accounts::find(db, id)?, issued, workspace))
    })?;
    let made_by = ctx.request.origin().by(account.id);
    let Some(workspace) = workspace else {
        return Ok((account, issued, None));
    };
    let owner = Owner { account_id: account.id, name: account.name.clone(), email: account.email.clone() };
    match workspace_lifecycle::create_file(instance, workspace, owner, &made_by) {
        Ok(workspace) => Ok((account, issued, Some(workspace))),
        Err(error) => {
            let id = account.id;
            instance.central.write(move |db| accounts::delete_account(db, id))?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::TestServer;

    fn registering(email: &str) -> Value {
        json!({"name": "Zoé", "email": email, "password": "quite-a-long-one"})
    }

    #[test]
    fn who_registers_is_signed_in() {
        let server = TestServer::new();
        let made = server.anonymous().post("/register", registering("zoe@example.com")).created();
        assert_eq!((&made["token_type"], &made["workspace"]), (&json!("Bearer"), &Value::Null));
        assert_eq!((&made["user"]["email"], &made["user"]["password"]), (&json!("zoe@example.com"), &Value::Null));
        let me = server.anonymous().signed_in(&made).get("/whoami").ok();
        assert_eq!((&me["user"], &me["scope"], &me["workspaces"]), (&made["user"], &json!("central"), &json!([])));
    }

    #[test]
    fn a_first_workspace_may_be_made_at_once() {
        let server = TestServer::new();
        let mut body = registering("zoe@example.com");
        body["workspace_name"] = json!("Zoé & Cie");
        let made = server.anonymous().post("/register", body).created();
        assert_eq!((&made["workspace"]["subdomain"], &made["workspace"]["owner"]), (&json!("zoe-cie"), &json!(true)));
        let switched = server
            .anonymous()
            .signed_in(&made)
            .post("/switch-to", json!({"workspace_id": made["workspace"]["id"]}))
            .ok();
        let inside = server.anonymous().signed_in(&switched).at("zoe-cie.localhost");
        assert_eq!(inside.get("/whoami").ok()["role"], "admin");
    }

    #[test]
    fn a_registration_that_is_refused_leaves_nothing() {
        let server = TestServer::new();
        let refused = |changed: Value| {
            let mut body = registering("zoe@example.com");
            body.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
            server.anonymous().post("/register", body)
        };
        refused(json!({"email": "OWNER@example.com"})).rejected(422, "email_taken");
        refused(json!({"subdomain": "acme"})).rejected(422, "subdomain_taken");
        refused(json!({"subdomain": "www"})).invalid(&["The subdomain is reserved."]);
        refused(json!({"password": "short"})).invalid(&["The password must be at least 8 characters."]);
        refused(json!({"password": "password1"}))
            .invalid(&["The password is too common: choose one that is harder to guess."]);
        refused(json!({"password_confirmation": "x"})).invalid(&["The password confirmation does not match."]);
        refused(json!({"invite": "x"})).invalid(&["The selected invite is invalid."]);
        refused(json!({"name": null, "email": "zoe"}))
            .invalid(&["The name field is required.", "The email must be a valid email address."]);
        server.anonymous().post("/register", registering("zoe@example.com")).created();
    }

    #[test]
    fn an_address_registers_so_many_accounts_and_then_waits() {
        let server = TestServer::with(&[("throttle_attempts", "3")]);
        let register = |email: &str| server.anonymous().post("/register", registering(email));
        register("zoe@example.com").created();
        register("zoe@example.com").rejected(422, "email_taken");
        register("ada@example.com").created();
        register("grace@example.com").rejected(429, "too_many_requests");
    }
}

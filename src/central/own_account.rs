//! The caller's own account: change it, delete it. Operators list all accounts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::{self, Account};
use super::audit_log::{self, Event};
use super::email_verification::{self, CodeMailer};
use super::notices::{self, About};
use super::{credentials, password, workspaces};
use crate::api::resource::Resource;
use crate::api::{
    Changes, Created, Done, Error, Json, Needs, Result, Route, Steps, Tries, delete, get, hashing, put, run,
};
use crate::auth::Purpose;
use crate::tenancy::journal::Actor;
use crate::tenancy::members;
use crate::values::{Email, Name, Password, Text};

pub const RESOURCE: Resource =
    Resource::new("Account", "Accounts of people. One account may be a member of many workspaces.", ROUTES)
        .french("Compte");

const ROUTES: &[Route] = &[
    get("/accounts", &run(accounts::list), Needs::Operator, "List all accounts (operators only)").named("listAccounts"),
    put("/account", &hashing(update), Needs::SignedIn, "Change your name, email or password").named("updateAccount"),
    delete("/account", &hashing(remove), Needs::SignedIn, "Delete your account").named("deleteAccount"),
];

/// Changes to an account. A new email or password requires the current password.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Account")]
#[serde(default)]
#[schemars(extend("examples" = [{"name": "Ada Lovelace"}]))]
pub struct AccountChanges {
    /// Full name.
    #[schemars(example = &"Ada Lovelace")]
    name: Name<255>,
    /// A new address takes effect once the code mailed to it is submitted.
    email: Email,
    /// New password. Not one of the 10,000 most common passwords, and not the name or email address of the account.
    /// Revokes every other token of the account.
    password: Option<Password>,
    /// Required if `email` or `password` changes.
    current_password: Option<Text<1000>>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AccountDeletion")]
#[serde(default)]
pub struct Farewell {
    /// The password of the account.
    #[schemars(example = &"a-long-password")]
    current_password: Name<1000>,
}

fn update(steps: &Steps<'_>, tries: Tries, changes: Changes<AccountChanges>) -> Result<Created<Account>> {
    let (id, token_id) = (steps.token()?.account_id, steps.token()?.id);
    let (account, kept) = steps.engine.central.account_with_password(id)?;
    let blank = AccountChanges {
        name: Name::parse(account.name.clone()).map_err(Error::invalid)?,
        email: account.email.parse().map_err(Error::Internal)?,
        ..AccountChanges::default()
    };
    let wanted = changes.apply(&blank)?;
    let new_email = (*wanted.email != *account.email).then(|| wanted.email.clone());
    if wanted.password.is_some() || new_email.is_some() {
        let given = wanted.current_password.as_deref();
        let given = given.ok_or_else(|| Error::invalid("The current password field is required."))?;
        credentials::compare(steps.engine, &tries.of_session(Purpose::Password, token_id), given, Some(&kept))?;
    }
    if new_email.is_some() {
        // Each request reveals whether an address has an account.
        let asked = tries.at(Purpose::Account);
        asked.check()?;
        asked.count();
    }
    let hash = wanted.password.as_ref();
    let hash = hash.map(|new| steps.engine.hash_password(new, &wanted.email, &wanted.name)).transpose()?;
    let is_new_password = hash.is_some();
    let (mailer, origin) = (CodeMailer::of(steps.call), steps.call.origin());
    let account = steps.engine.central.write(move |db| {
        let now = origin.at;
        if *wanted.name != *account.name {
            db.execute("UPDATE accounts SET name = ?2, updated_at = ?3 WHERE id = ?1", (id, &wanted.name, now))?;
            let event = Event::new("account.updated").about(id);
            audit_log::record(db, &origin, event.with(json!({"name": [account.name, wanted.name]})))?;
        }
        if let Some(email) = &new_email {
            email_verification::request_change(db, id, email, &mailer, &origin)?;
        }
        if let Some(hash) = &hash {
            accounts::set_password_hash(db, id, hash, now)?;
            credentials::revoke_all(db, id, Some(token_id), now)?;
            password::outdate_grants(db, id)?;
            audit_log::record(db, &origin, Event::new("password.changed").about(id))?;
            notices::put(db, id, &About::PasswordChanged, &origin)?;
        }
        accounts::find(db, id)
    })?;
    if is_new_password {
        password::end_grants_now(steps.engine, steps.now);
    }
    Ok(Created(account))
}

fn remove(steps: &Steps<'_>, tries: Tries, Json(farewell): Json<Farewell>) -> Result<Done> {
    let id = steps.token()?.account_id;
    let (_, kept) = steps.engine.central.account_with_password(id)?;
    let tries = tries.of_session(Purpose::Password, steps.token()?.id);
    credentials::compare(steps.engine, &tries, &farewell.current_password, Some(&kept))?;
    let origin = steps.call.origin();
    let left = steps.engine.central.write(move |db| {
        let left = workspaces::of_account(db, id)?;
        audit_log::record(db, &origin, Event::new("account.deleted").about(id))?;
        accounts::delete_account(db, id)?;
        Ok::<_, Error>(left)
    })?;
    for workspace in left {
        let lease = steps.engine.registry.lease(workspace.id);
        // The account is gone by now, so its user has no access. `doctor` finds a user that stayed behind.
        let author = steps.call.author_in(workspace.id, Actor::Oneself);
        if let Err(error) = lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &author, id)?)) {
            tracing::warn!(workspace = %workspace.id, %error, "could not remove the user of a deleted account");
        }
    }
    Ok(Done)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Bench, PASSWORD};

    fn registering(email: &str) -> Value {
        json!({"name": "Zoé", "email": email, "password": "quite-a-long-one"})
    }

    #[test]
    fn email_and_password_change_only_with_the_current_password() {
        let bench = Bench::new();
        let me = bench.central();
        assert_eq!(me.put("/account", json!({"name": "New"})).created()["name"], "New");
        me.put("/account", json!({"email": "new@example.com"})).invalid(&["The current password field is required."]);
        let wrong = json!({"password": "another-long-one", "current_password": "wrong-password"});
        me.put("/account", wrong).refused(401, "invalid_credentials");

        let other = bench.central();
        let right = json!({"email": "new@example.com", "password": "another-long-one", "current_password": PASSWORD});
        let changed = me.put("/account", right).created();
        assert_eq!(
            (&changed["email"], &changed["pending_email"]),
            (&json!("owner@example.com"), &json!("new@example.com"))
        );
        assert_eq!(me.get("/whoami").ok()["user"]["name"], "New");
        other.get("/whoami").refused(401, "token_revoked");
        let login =
            |email: &str, password: &str| bench.nobody().post("/login", json!({"email": email, "password": password}));
        login("owner@example.com", PASSWORD).refused(401, "invalid_credentials");
        login("new@example.com", "another-long-one").refused(401, "invalid_credentials");
        login("owner@example.com", "another-long-one").ok();
    }

    #[test]
    fn guesses_at_the_current_password_are_throttled() {
        let bench = Bench::with(&[("throttle_attempts", "2")]);
        let me = bench.central();
        let change = |password: &str| json!({"email": "new@example.com", "current_password": password});
        me.put("/account", change("wrong-password")).refused(401, "invalid_credentials");
        me.delete_with("/account", json!({"current_password": "wrong"})).refused(401, "invalid_credentials");
        me.put("/account", change(PASSWORD)).refused(429, "too_many_requests");
        me.delete_with("/account", json!({"current_password": PASSWORD})).refused(429, "too_many_requests");
        me.put("/account", json!({"name": "New"})).created();
    }

    #[test]
    fn addresses_that_have_an_account_are_told_so_often_as_by_registration() {
        let bench = Bench::with(&[("throttle_attempts", "2")]);
        let (me, stranger) = (bench.central(), bench.stranger());
        stranger.get("/whoami").ok();
        let change = |email: &str| json!({"email": email, "current_password": PASSWORD});
        me.put("/account", change("stranger@example.com")).refused(422, "email_taken");
        me.put("/account", change("STRANGER@example.com")).refused(422, "email_taken");
        me.put("/account", change("free@example.com")).refused(429, "too_many_requests");
        assert_eq!(me.get("/whoami").ok()["user"].get("pending_email"), None);
    }

    #[test]
    fn operators_see_which_addresses_are_verified() {
        let bench = Bench::new();
        bench.nobody().post("/register", registering("zoe@example.com")).created();
        let found = |query: &str| bench.central().get(&format!("/accounts?{query}")).ok()["data"].clone();
        let zoe = &found("filter[email_verified]=0")[0];
        assert_eq!((&zoe["email"], &zoe["operator"]), (&json!("zoe@example.com"), &json!(false)));
        assert_eq!(found("filter[operator]=1")[0]["email"], "owner@example.com");
        bench.stranger().get("/accounts").refused(403, "forbidden");
        let members = format!("/workspaces/{}/members", bench.acme.id);
        assert_eq!(bench.central().get(&members).ok()["data"][0]["email_verified"], true);
    }

    #[test]
    fn an_owner_stays_and_anybody_else_may_go() {
        let bench = Bench::new();
        bench.central().delete_with("/account", json!({"current_password": PASSWORD})).refused(422, "owns_workspaces");
        let made = bench.nobody().post("/register", registering("zoe@example.com")).created();
        let zoe = bench.nobody().signed_in(&made);
        zoe.delete_with("/account", json!({"current_password": "wrong"})).refused(401, "invalid_credentials");
        zoe.delete_with("/account", json!({"current_password": "quite-a-long-one"})).ok();
        zoe.get("/whoami").refused(401, "token_revoked");
    }
}

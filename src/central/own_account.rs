//! The caller's own account: change it, delete it. Operators list all accounts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::{self, Account};
use super::central_audit_log::{self, CentralAuditEvent};
use super::email_verification::{self, CodeMailer};
use super::notices::{self, NoticeKind};
use super::{credentials, departures, password_recovery};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{
    BlockingCtx, Changes, Done, Error, Json, Needs, RateLimit, Result, Route, Saved, delete, hashing, put,
};
use crate::auth::Purpose;
use crate::tenancy::journal::Actor;
use crate::values::{Email, Name, Password, Text};

pub const RESOURCE: Resource = Resource::new("Account", "Your account. It may be a member of many workspaces.", ROUTES)
    .french("Compte")
    .fields(FIELDS)
    .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("email", "Email", "Adresse e-mail"),
    labelled("password", "New password", "Nouveau mot de passe"),
    labelled("current_password", "Current password", "Mot de passe actuel"),
    labelled("email_verified", "Address confirmed", "Adresse confirmée"),
    labelled("pending_email", "Address to confirm", "Adresse à confirmer"),
];

const VIEW: ResourceView = ResourceView {
    groups: &[
        group("Account", "Compte", &["name", "email"]),
        group("Security", "Sécurité", &["password", "current_password"]),
    ],
    widgets: &[("email", Widget::Email), ("password", Widget::Secret), ("current_password", Widget::Secret)],
    singular: label("account", "un compte"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
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
#[serde(default)]
pub struct AccountDeletion {
    /// The password of the account.
    #[schemars(example = &"a-long-password")]
    current_password: Name<1000>,
}

fn update(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, changes: Changes<AccountChanges>) -> Result<Saved<Account>> {
    let (id, token_id) = (ctx.token()?.account_id, ctx.token()?.id);
    let (account, kept) = ctx.instance.central.account_with_password(id)?;
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
        credentials::compare(ctx.instance, &rate_limit.for_session(Purpose::Password, token_id), given, Some(&kept))?;
    }
    if new_email.is_some() {
        // Each request reveals whether an address has an account.
        let asked = rate_limit.for_address(Purpose::Account);
        asked.check()?;
        asked.count();
    }
    let hash = wanted.password.as_ref();
    let hash = hash.map(|new| ctx.instance.hash_password(new, &wanted.email, &wanted.name)).transpose()?;
    let is_new_password = hash.is_some();
    let (mailer, origin) = (CodeMailer::of(ctx.request), ctx.request.origin());
    let account = ctx.instance.central.write(move |db| {
        let now = origin.at;
        if *wanted.name != *account.name {
            db.execute("UPDATE accounts SET name = ?2, updated_at = ?3 WHERE id = ?1", (id, &wanted.name, now))?;
            let event = CentralAuditEvent::new("account.updated").about(id);
            central_audit_log::record(db, &origin, event.with(json!({"name": [account.name, wanted.name]})))?;
        }
        if let Some(email) = &new_email {
            email_verification::request_change(db, id, email, &mailer, &origin)?;
        }
        if let Some(hash) = &hash {
            accounts::set_password_hash(db, id, hash, now)?;
            credentials::revoke_all(db, id, Some(token_id), now)?;
            password_recovery::mark_grants_for_end(db, id)?;
            central_audit_log::record(db, &origin, CentralAuditEvent::new("password.changed").about(id))?;
            notices::queue(db, id, &NoticeKind::PasswordChanged, &origin)?;
        }
        accounts::find(db, id)
    })?;
    if is_new_password {
        password_recovery::end_grants_now(ctx.instance, ctx.now);
    }
    Ok(Saved(account))
}

fn remove(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, Json(farewell): Json<AccountDeletion>) -> Result<Done> {
    let id = ctx.token()?.account_id;
    let (_, kept) = ctx.instance.central.account_with_password(id)?;
    let tries = rate_limit.for_session(Purpose::Password, ctx.token()?.id);
    credentials::compare(ctx.instance, &tries, &farewell.current_password, Some(&kept))?;
    let origin = ctx.request.origin();
    ctx.instance.central.write(move |db| {
        central_audit_log::record(db, &origin, CentralAuditEvent::new("account.deleted").about(id))?;
        accounts::delete_account(db, id)
    })?;
    departures::remove_now(ctx.instance, id, |workspace| ctx.request.recorder_for(workspace, Actor::Oneself));
    Ok(Done)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{PASSWORD, TestServer};

    fn registering(email: &str) -> Value {
        json!({"name": "Zoé", "email": email, "password": "quite-a-long-one"})
    }

    #[test]
    fn email_and_password_change_only_with_the_current_password() {
        let server = TestServer::new();
        let me = server.central();
        assert_eq!(me.put("/account", json!({"name": "New"})).created()["name"], "New");
        me.put("/account", json!({"email": "new@example.com"})).invalid(&["The current password field is required."]);
        let wrong = json!({"password": "another-long-one", "current_password": "wrong-password"});
        me.put("/account", wrong).rejected(401, "invalid_credentials");

        let other = server.central();
        let right = json!({"email": "new@example.com", "password": "another-long-one", "current_password": PASSWORD});
        let changed = me.put("/account", right).created();
        assert_eq!(
            (&changed["email"], &changed["pending_email"]),
            (&json!("owner@example.com"), &json!("new@example.com"))
        );
        assert_eq!(me.get("/whoami").ok()["user"]["name"], "New");
        other.get("/whoami").rejected(401, "token_revoked");
        let login = |email: &str, password: &str| {
            server.anonymous().post("/login", json!({"email": email, "password": password}))
        };
        login("owner@example.com", PASSWORD).rejected(401, "invalid_credentials");
        login("new@example.com", "another-long-one").rejected(401, "invalid_credentials");
        login("owner@example.com", "another-long-one").ok();
    }

    #[test]
    fn guesses_at_the_current_password_are_throttled() {
        let server = TestServer::with(&[("throttle_attempts", "2")]);
        let me = server.central();
        let change = |password: &str| json!({"email": "new@example.com", "current_password": password});
        me.put("/account", change("wrong-password")).rejected(401, "invalid_credentials");
        me.delete_with("/account", json!({"current_password": "wrong"})).rejected(401, "invalid_credentials");
        me.put("/account", change(PASSWORD)).rejected(429, "too_many_requests");
        me.delete_with("/account", json!({"current_password": PASSWORD})).rejected(429, "too_many_requests");
        me.put("/account", json!({"name": "New"})).created();
    }

    #[test]
    fn addresses_that_have_an_account_are_told_so_often_as_by_registration() {
        let server = TestServer::with(&[("throttle_attempts", "2")]);
        let (me, stranger) = (server.central(), server.stranger());
        stranger.get("/whoami").ok();
        let change = |email: &str| json!({"email": email, "current_password": PASSWORD});
        me.put("/account", change("stranger@example.com")).rejected(422, "email_taken");
        me.put("/account", change("STRANGER@example.com")).rejected(422, "email_taken");
        me.put("/account", change("free@example.com")).rejected(429, "too_many_requests");
        assert_eq!(me.get("/whoami").ok()["user"].get("pending_email"), None);
    }

    #[test]
    fn operators_see_which_addresses_are_verified() {
        let server = TestServer::new();
        server.anonymous().post("/register", registering("zoe@example.com")).created();
        let found = |query: &str| server.central().get(&format!("/accounts?{query}")).ok()["data"].clone();
        let zoe = &found("filter[email_verified]=0")[0];
        assert_eq!((&zoe["email"], &zoe["operator"]), (&json!("zoe@example.com"), &json!(false)));
        assert_eq!(found("filter[operator]=1")[0]["email"], "owner@example.com");
        server.stranger().get("/accounts").rejected(403, "forbidden");
        let members = format!("/workspaces/{}/members", server.acme.id);
        assert_eq!(server.central().get(&members).ok()["data"][0]["email_verified"], true);
    }

    #[test]
    fn an_owner_stays_and_anybody_else_may_go() {
        let server = TestServer::new();
        server
            .central()
            .delete_with("/account", json!({"current_password": PASSWORD}))
            .rejected(422, "owns_workspaces");
        let made = server.anonymous().post("/register", registering("zoe@example.com")).created();
        let zoe = server.anonymous().signed_in(&made);
        zoe.delete_with("/account", json!({"current_password": "wrong"})).rejected(401, "invalid_credentials");
        zoe.delete_with("/account", json!({"current_password": "quite-a-long-one"})).ok();
        zoe.get("/whoami").rejected(401, "token_revoked");
    }
}

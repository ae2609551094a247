//! Invitations to this workspace, for those who invite. The invited person responds through the central API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{roles, users};
use crate::api::list::List;
use crate::api::resource::{Resource, Section};
use crate::api::{Created, Done, Id, Json, Needs, Page, Result, Route, Steps, delete, get, may_touch, post, steps};
use crate::auth::{Credential, Insider};
use crate::central::invitations::{self, Guest, InviteRole, Inviter, Mailing, UserInvite};
use crate::central::quotas::Quotas;
use crate::values::{Email, Name, RowId};

pub const RESOURCE: Resource =
    Resource::new("Invitations", "Invite people to this workspace by mail.", ROUTES).section(Section::Team);

const ROUTES: &[Route] = &[
    get("/user-invites", &steps(list), Needs::Permission("user.invite"), "List invitations to this workspace"),
    post("/user-invites", &steps(create), Needs::Permission("user.invite"), "Invite a person by mail")
        .named("createInvitation"),
    post(
        "/user-invites/{id}/resend",
        &steps(resend),
        Needs::Permission("user.invite"),
        "Resend an invitation with a new code",
    )
    .named("resendInvitation"),
    delete("/user-invites/{id}", &steps(cancel), Needs::Permission("user.invite"), "Cancel an invitation")
        .named("cancelInvitation"),
];

/// An invitation to create.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewUserInvite {
    /// Email address to invite.
    email: Email,
    /// Id of the new user's role. The caller must have every permission of that role.
    role_id: RowId,
    /// Name of the person, for the greeting of the mail.
    #[schemars(example = &"Grace Hopper")]
    name: Option<Name<255>>,
}

fn list(steps: &Steps<'_>, list: List<UserInvite>) -> Result<Page<UserInvite>> {
    let list = list.only("workspace_id", steps.call.workspace()?.id().to_string());
    steps.read_central(move |ctx| list.page(ctx))
}

fn create(steps: &Steps<'_>, quotas: Quotas, Json(new): Json<NewUserInvite>) -> Result<Created<UserInvite>> {
    let (insider, lease) = (steps.insider()?.clone(), steps.call.workspace()?);
    let workspace = lease.id();
    let guest = lease.file().read(move |db| {
        let role = roles::named(db, new.role_id.get())?;
        may_touch(&insider, [&role.permissions])?;
        if users::has_email(db, &new.email)? {
            return Err(invitations::already_member());
        }
        Ok(Guest {
            workspace,
            email: new.email.clone(),
            name: new.name.clone(),
            role: InviteRole { id: role.id, name: role.name.to_string() },
            inviter: inviter(&insider),
        })
    })?;
    steps.engine.central.invite(guest, mailing(steps, quotas)).map(Created)
}

fn resend(steps: &Steps<'_>, quotas: Quotas, Id(id): Id) -> Result<Created<UserInvite>> {
    check_touch(steps, id)?;
    let workspace = steps.call.workspace()?.id();
    steps.engine.central.renew_invitation(workspace, id, mailing(steps, quotas)).map(Created)
}

fn cancel(steps: &Steps<'_>, Id(id): Id) -> Result<Done> {
    check_touch(steps, id)?;
    steps.engine.central.cancel_invitation(steps.call.workspace()?.id(), id, steps.now)?;
    Ok(Done)
}

/// Checks that the caller could assign the role of the invitation. A deleted role grants nothing.
fn check_touch(steps: &Steps<'_>, id: i64) -> Result<()> {
    let (insider, lease) = (steps.insider()?.clone(), steps.call.workspace()?);
    let role = steps.engine.central.invited_role(lease.id(), id)?;
    lease.file().read(move |db| may_touch(&insider, roles::find(db, role)?.iter().map(|role| &role.permissions)))
}

fn inviter(insider: &Insider) -> Inviter {
    Inviter { id: insider.user_id(), name: insider.name.clone() }
}

/// How the caller's invitation is mailed.
fn mailing(steps: &Steps<'_>, quotas: Quotas) -> Mailing {
    let cause_id = match &steps.call.credential {
        Credential::Token(token) => Some(token.account_id),
        _ => None,
    };
    Mailing { central_url: steps.engine.public_url().central(), cause_id, quotas, now: steps.now }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::jobs;
    use crate::testing::Bench;
    use crate::values::Timestamp;

    fn guest(email: &str) -> Value {
        json!({"email": email, "role_id": 3, "name": "Grace"})
    }

    /// The code in the link of the newest mail, and its recipient.
    fn mailed(bench: &Bench) -> (String, String) {
        let mail = bench.mails().pop().expect("a mail");
        let (_, rest) = mail.text.split_once("http://localhost/ui/invitations/").unwrap_or_else(|| panic!("{mail:?}"));
        (rest[..43].to_owned(), mail.to.to_string())
    }

    #[test]
    fn an_invitation_is_mailed_and_listed_and_its_code_is_nowhere_else() {
        let bench = Bench::new();
        let made = bench.admin().post("/user-invites", guest("grace@example.com")).created();
        let (code, to) = mailed(&bench);
        assert_eq!((to.as_str(), &made["name"]), ("grace@example.com", &json!("Grace")));
        assert_eq!((&made["status"], &made["role"]), (&json!("pending"), &json!({"id": 3, "name": "agent"})));
        assert_eq!(
            (&made["workspace"]["subdomain"], &made["invited_by"]),
            (&json!("acme"), &json!({"id": 1, "name": "Somebody"}))
        );
        let listed = bench.admin().get("/user-invites?filter[status]=pending").ok();
        assert_eq!(listed["data"], json!([made]));
        assert!(!listed.to_string().contains(&code));
        assert_eq!(bench.admin().get("/user-invites?filter[status]=declined").ok()["total"], 0);
        let wrong = bench.admin().get("/user-invites?filter[status]=lost");
        wrong.invalid(&["The selected status is invalid; it may be pending, accepted, declined, cancelled, expired."]);
        assert_eq!(bench.admin_of_other().get("/user-invites").ok()["total"], 0);
    }

    #[test]
    fn who_is_here_or_invited_already_is_not_invited_again() {
        let bench = Bench::new();
        let invite = |email: &str| bench.admin().post("/user-invites", guest(email));
        invite("OWNER@example.com").refused(422, "already_member");
        invite("grace@example.com").created();
        invite("Grace@Example.com").refused(422, "already_invited");
        bench
            .admin()
            .post("/user-invites", json!({"email": "grace", "role_id": 99}))
            .invalid(&["The email must be a valid email address."]);
        let unknown = json!({"email": "a@example.com", "role_id": 99});
        bench.admin().post("/user-invites", unknown).invalid(&["The selected role id is invalid."]);
        bench
            .admin()
            .post("/user-invites", json!({"email": "a@example.com"}))
            .invalid(&["The role id field is required."]);
        assert_eq!(bench.mails().len(), 1);

        let week = Timestamp::now().plus(8 * 86_400);
        jobs::round(&bench.engine, week, false).unwrap();
        assert_eq!(bench.admin().get("/user-invites").ok()["data"][0]["status"], "expired");
        invite("grace@example.com").created();
    }

    #[test]
    fn nobody_invites_into_a_role_that_may_more_than_they() {
        let bench = Bench::new();
        let manager = bench.with_role("manager");
        let admin = json!({"email": "grace@example.com", "role_id": 1});
        manager.post("/user-invites", admin).refused(403, "missing_permission");
        manager.post("/user-invites", json!({"email": "grace@example.com", "role_id": 2})).created();
    }

    #[test]
    fn a_resent_invitation_has_a_new_code_and_the_old_one_is_dead() {
        let bench = Bench::new();
        let path =
            format!("/user-invites/{}", bench.admin().post("/user-invites", guest("g@example.com")).created()["id"]);
        let (old, _) = mailed(&bench);
        bench.admin_of_other().post(&format!("{path}/resend"), json!({})).refused(404, "not_found");
        jobs::round(&bench.engine, Timestamp::now().plus(8 * 86_400), false).unwrap();
        assert_eq!(bench.admin().post(&format!("{path}/resend"), json!({})).created()["status"], "pending");
        let (new, _) = mailed(&bench);
        bench.nobody().get(&format!("/user-invites/code/{old}")).refused(404, "not_found");
        bench.nobody().get(&format!("/user-invites/code/{new}")).ok();

        bench.admin().delete(&path).ok();
        bench.admin().post(&format!("{path}/resend"), json!({})).refused(422, "invite_cancelled");
        bench.admin().delete(&path).refused(422, "invite_cancelled");
        assert_eq!(bench.nobody().get(&format!("/user-invites/code/{new}")).ok()["status"], "cancelled");
    }
}

//! Invitations to this workspace, for those who invite. The invited person responds through the central API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{roles, users};
use crate::api::field::{Field, labelled};
use crate::api::list::List;
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, button, group, label, quick_filter};
use crate::api::{
    BlockingCtx, Done, Id, Json, Needs, Page, Result, Route, Saved, blocking, delete, get, post, require_grantable,
};
use crate::auth::{Credential, Principal};
use crate::central::invitations::{self, Guest, InviteRole, Inviter, Mailing, UserInvite};
use crate::central::quotas::Quotas;
use crate::values::{Email, Name, RowId};

pub const RESOURCE: Resource = Resource::new("Invitations", "Invite people to this workspace by mail.", ROUTES)
    .section(Section::Team)
    .fields(FIELDS)
    .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("email", "Email", "E-mail"),
    labelled("name", "Name", "Nom"),
    labelled("role_id", "Role", "Rôle"),
    labelled("role", "Role", "Rôle"),
    labelled("workspace", "Workspace", "Espace de travail"),
    labelled("invited_by", "Invited by", "Invité par"),
    labelled("status", "State", "État"),
    labelled("expires_at", "Expiry", "Expiration"),
];

const VIEW: ResourceView = ResourceView {
    title: &["email"],
    columns: &["email", "name", "role", "status", "invited_by", "expires_at"],
    groups: &[group(
        "Invitation",
        "Invitation",
        &["email", "name", "role_id", "role", "status", "invited_by", "expires_at"],
    )],
    widgets: &[("email", Widget::Email), ("role_id", Widget::Link("/roles")), ("workspace", Widget::Hidden)],
    help: &[("name", label("Used in the greeting of the mail.", "Utilisé pour saluer la personne dans le message."))],
    quick_filters: &[
        quick_filter("Pending", "En attente", "filter[status]=pending"),
        quick_filter("Expired", "Expirées", "filter[status]=expired"),
    ],
    buttons: &[button(
        "resend",
        label("Send again", "Renvoyer"),
        label(
            "A new mail is sent. The link in the old mail stops working.",
            "Un nouveau message est envoyé. Le lien de l’ancien ne fonctionne plus.",
        ),
    )],
    purpose: label(
        "People whom you invited by mail, until they accept.",
        "Les personnes que vous avez invitées par e-mail, jusqu’à leur réponse.",
    ),
    singular: label("invitation", "une invitation"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/user-invites", &blocking(list), Needs::Permission("user.invite"), "List invitations to this workspace"),
    post("/user-invites", &blocking(create), Needs::Permission("user.invite"), "Invite a person by mail")
        .named("createInvitation"),
    post(
        "/user-invites/{id}/resend",
        &blocking(resend),
        Needs::Permission("user.invite"),
        "Resend an invitation with a new code",
    )
    .named("resendInvitation"),
    delete("/user-invites/{id}", &blocking(cancel), Needs::Permission("user.invite"), "Cancel an invitation")
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

fn list(ctx: &BlockingCtx<'_>, list: List<UserInvite>) -> Result<Page<UserInvite>> {
    let list = list.restrict("workspace_id", ctx.request.workspace()?.id().to_string());
    ctx.read_central(move |ctx| list.page(ctx))
}

fn create(ctx: &BlockingCtx<'_>, quotas: Quotas, Json(new): Json<NewUserInvite>) -> Result<Saved<UserInvite>> {
    let (principal, lease) = (ctx.principal()?.clone(), ctx.request.workspace()?);
    let workspace = lease.id();
    let guest = lease.file().read(move |db| {
        let role = roles::named(db, new.role_id.get())?;
        require_grantable(&principal, [&role.permissions])?;
        if users::has_email(db, &new.email)? {
            return Err(invitations::already_member());
        }
        Ok(Guest {
            workspace,
            email: new.email.clone(),
            name: new.name.clone(),
            role: InviteRole { id: role.id, name: role.name.to_string() },
            inviter: inviter(&principal),
        })
    })?;
    ctx.instance.central.invite(guest, mailing(ctx, quotas)).map(Saved)
}

fn resend(ctx: &BlockingCtx<'_>, quotas: Quotas, Id(id): Id) -> Result<Saved<UserInvite>> {
    check_touch(ctx, id)?;
    let workspace = ctx.request.workspace()?.id();
    ctx.instance.central.renew_invitation(workspace, id, mailing(ctx, quotas)).map(Saved)
}

fn cancel(ctx: &BlockingCtx<'_>, Id(id): Id) -> Result<Done> {
    check_touch(ctx, id)?;
    ctx.instance.central.cancel_invitation(ctx.request.workspace()?.id(), id, ctx.now)?;
    Ok(Done)
}

/// Checks that the caller could assign the role of the invitation. A deleted role grants nothing.
fn check_touch(ctx: &BlockingCtx<'_>, id: i64) -> Result<()> {
    let (principal, lease) = (ctx.principal()?.clone(), ctx.request.workspace()?);
    let role = ctx.instance.central.invited_role(lease.id(), id)?;
    lease
        .file()
        .read(move |db| require_grantable(&principal, roles::find(db, role)?.iter().map(|role| &role.permissions)))
}

fn inviter(principal: &Principal) -> Inviter {
    Inviter { id: principal.user_id(), name: principal.name.clone() }
}

/// How the caller's invitation is mailed.
fn mailing(ctx: &BlockingCtx<'_>, quotas: Quotas) -> Mailing {
    let cause_id = match &ctx.request.credential {
        Credential::Token(token) => Some(token.account_id),
        _ => None,
    };
    Mailing { central_url: ctx.instance.public_url().central(), cause_id, quotas, now: ctx.now }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::jobs;
    use crate::tests::TestServer;
    use crate::values::Timestamp;

    fn guest(email: &str) -> Value {
        json!({"email": email, "role_id": 3, "name": "Grace"})
    }

    /// The code in the link of the newest mail, and its recipient.
    fn write_and_mail(server: &TestServer) -> (String, String) {
        let mail = server.mails().pop().expect("a mail");
        let (_, rest) = mail.text.split_once("http://localhost/ui/invitations/").unwrap_or_else(|| panic!("{mail:?}"));
        (rest[..43].to_owned(), mail.to.to_string())
    }

    #[test]
    fn an_invitation_is_mailed_and_listed_and_its_code_is_nowhere_else() {
        let server = TestServer::new();
        let made = server.admin().post("/user-invites", guest("grace@example.com")).created();
        let (code, to) = write_and_mail(&server);
        assert_eq!((to.as_str(), &made["name"]), ("grace@example.com", &json!("Grace")));
        assert_eq!((&made["status"], &made["role"]), (&json!("pending"), &json!({"id": 3, "name": "agent"})));
        assert_eq!(
            (&made["workspace"]["subdomain"], &made["invited_by"]),
            (&json!("acme"), &json!({"id": 1, "name": "Somebody"}))
        );
        let listed = server.admin().get("/user-invites?filter[status]=pending").ok();
        assert_eq!(listed["data"], json!([made]));
        assert!(!listed.to_string().contains(&code));
        assert_eq!(server.admin().get("/user-invites?filter[status]=declined").ok()["total"], 0);
        let wrong = server.admin().get("/user-invites?filter[status]=lost");
        wrong.invalid(&["The selected status is invalid; it may be pending, accepted, declined, cancelled, expired."]);
        assert_eq!(server.admin_of_other().get("/user-invites").ok()["total"], 0);
    }

    #[test]
    fn who_is_here_or_invited_already_is_not_invited_again() {
        let server = TestServer::new();
        let invite = |email: &str| server.admin().post("/user-invites", guest(email));
        invite("OWNER@example.com").rejected(422, "already_member");
        invite("grace@example.com").created();
        invite("Grace@Example.com").rejected(422, "already_invited");
        server
            .admin()
            .post("/user-invites", json!({"email": "grace", "role_id": 99}))
            .invalid(&["The email must be a valid email address."]);
        let unknown = json!({"email": "a@example.com", "role_id": 99});
        server.admin().post("/user-invites", unknown).invalid(&["The selected role id is invalid."]);
        server
            .admin()
            .post("/user-invites", json!({"email": "a@example.com"}))
            .invalid(&["The role id field is required."]);
        assert_eq!(server.mails().len(), 1);

        let week = Timestamp::now().plus(8 * 86_400);
        jobs::round(&server.instance, week, false).unwrap();
        assert_eq!(server.admin().get("/user-invites").ok()["data"][0]["status"], "expired");
        invite("grace@example.com").created();
    }

    #[test]
    fn nobody_invites_into_a_role_that_may_more_than_they() {
        let server = TestServer::new();
        let manager = server.with_role("manager");
        let admin = json!({"email": "grace@example.com", "role_id": 1});
        manager.post("/user-invites", admin).rejected(403, "missing_permission");
        manager.post("/user-invites", json!({"email": "grace@example.com", "role_id": 2})).created();
    }

    #[test]
    fn a_resent_invitation_has_a_new_code_and_the_old_one_is_dead() {
        let server = TestServer::new();
        let path =
            format!("/user-invites/{}", server.admin().post("/user-invites", guest("g@example.com")).created()["id"]);
        let (old, _) = write_and_mail(&server);
        server.admin_of_other().post(&format!("{path}/resend"), json!({})).rejected(404, "not_found");
        jobs::round(&server.instance, Timestamp::now().plus(8 * 86_400), false).unwrap();
        assert_eq!(server.admin().post(&format!("{path}/resend"), json!({})).created()["status"], "pending");
        let (new, _) = write_and_mail(&server);
        server.anonymous().get(&format!("/user-invites/code/{old}")).rejected(404, "not_found");
        server.anonymous().get(&format!("/user-invites/code/{new}")).ok();

        server.admin().delete(&path).ok();
        server.admin().post(&format!("{path}/resend"), json!({})).rejected(422, "invite_cancelled");
        server.admin().delete(&path).rejected(422, "invite_cancelled");
        assert_eq!(server.anonymous().get(&format!("/user-invites/code/{new}")).ok()["status"], "cancelled");
    }
}

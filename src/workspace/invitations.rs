//! Invitations into this workspace, as those who invite see them. Who is invited answers in the central API.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{integration_keys, roles, users};
use crate::api::list::List;
use crate::api::{Created, Done, Error, Id, Json, Needs, Page, Result, Route, Steps, delete, get, post, steps};
use crate::auth::Actor;
use crate::central::invitations::{self, Guest, InviteRole, Inviter, UserInvite};
use crate::central::outbox;
use crate::pages::mails;
use crate::values::{Email, Name, RowId};

pub const ROUTES: &[Route] = &[
    get("/user-invites", &steps(list), Needs::Permission("user.invite"), "List the invitations into this workspace"),
    post("/user-invites", &steps(create), Needs::Permission("user.invite"), "Invite somebody by mail"),
    post(
        "/user-invites/{id}/resend",
        &steps(resend),
        Needs::Permission("user.invite"),
        "Send an invitation again, with another code",
    ),
    delete("/user-invites/{id}", &steps(cancel), Needs::Permission("user.invite"), "Withdraw an invitation"),
];

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewUserInvite {
    /// Where the mail goes.
    email: Email,
    /// The role of the new user; the caller must have every permission of it.
    role_id: RowId,
    /// How the mail addresses them.
    name: Option<Name<255>>,
}

fn list(steps: &Steps<'_>, list: List<UserInvite>) -> Result<Page<UserInvite>> {
    let list = list.only("workspace_id", steps.call.workspace()?.id().to_string());
    steps.read_central(move |ctx| list.page(ctx))
}

fn create(steps: &Steps<'_>, Json(new): Json<NewUserInvite>) -> Result<Created<UserInvite>> {
    let (insider, lease, now) = (steps.insider()?.clone(), steps.call.workspace()?, steps.now);
    let workspace = lease.id();
    let guest = lease.file().read(move |db| {
        let role = roles::named(db, new.role_id.get())?;
        roles::may_give(&insider, &role.permissions)?;
        if users::has_email(db, &new.email)? {
            return Err(invitations::already_member());
        }
        Ok(Guest {
            workspace,
            email: new.email.clone(),
            name: new.name.clone(),
            role: InviteRole { id: role.id, name: role.name.to_string() },
            inviter: inviter(db, &insider.actor)?,
        })
    })?;
    mailed(steps, move |db| invitations::create(db, &guest, now))
}

fn resend(steps: &Steps<'_>, Id(id): Id) -> Result<Created<UserInvite>> {
    let (workspace, now) = (steps.call.workspace()?.id(), steps.now);
    mailed(steps, move |db| invitations::renew(db, workspace, id, now))
}

fn cancel(steps: &Steps<'_>, Id(id): Id) -> Result<Done> {
    let (workspace, now) = (steps.call.workspace()?.id(), steps.now);
    steps.engine.central.write(move |db| invitations::cancel(db, workspace, id, now))?;
    Ok(Done)
}

fn inviter(db: &Connection, actor: &Actor) -> Result<Inviter> {
    Ok(match actor {
        Actor::User { id, .. } => Inviter { id: Some(*id), name: users::find(db, *id)?.name.to_string() },
        Actor::Key { id, .. } => Inviter { id: None, name: integration_keys::find(db, *id)?.name.to_string() },
    })
}

/// Writes an invitation and, in the same transaction, the mail that brings its code.
fn mailed(
    steps: &Steps<'_>,
    mut write: impl FnMut(&Connection) -> Result<(UserInvite, String)> + Send + 'static,
) -> Result<Created<UserInvite>> {
    let now = steps.now;
    let central_url = steps.call.address.central_url(&steps.engine.config.central_domain);
    let invite = steps.engine.central.write(move |db| {
        let (invite, code) = write(db)?;
        let mail = mails::Invitation {
            workspace: invite.workspace.name.clone(),
            inviter: invite.invited_by.name.clone(),
            role: invite.role.name.clone(),
            name: invite.name.as_ref().map(ToString::to_string),
            url: format!("{central_url}/ui/invitations/{code}"),
            expires_at: invite.expires_at,
        };
        outbox::put(db, &mail.mail(invite.email.clone())?, now)?;
        Ok::<_, Error>(invite)
    })?;
    Ok(Created(invite))
}

//! Invitations into workspaces, as their recipients see them. Inviters use the workspace API.
//!
//! A person with the mailed code has read the mail. The code therefore permits registration even if registration is by
//! invitation only. An account whose verified address matches the invitation needs no code.

use rusqlite::{Connection, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::{self, Account};
use super::email_verification;
use super::quotas::Quotas;
use super::{mail_templates, memberships, outbox, workspace_rows};
use crate::api::field::{Field, choice, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable, find_row};
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, button, group, label};
use crate::api::{
    BlockingCtx, Ctx, Error, Id, Json, Needs, Ok200, Page, PathCode, Result, Route, Saved, blocking, get, post,
    require_active, run,
};
use crate::auth::{Origin, secret};
use crate::instance::Instance;
use crate::storage::uuid_column;
use crate::tenancy::journal::Actor;
use crate::tenancy::{Central, members};
use crate::values::{Email, Name, Text, Timestamp, email};

pub const RESOURCE: Resource =
    Resource::new("Invitations", "Invitations that are addressed to you.", ROUTES).fields(FIELDS).view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("email", "Email", "Adresse e-mail"),
    labelled("name", "Name", "Nom"),
    labelled("role", "Role", "Rôle"),
    labelled("workspace", "Workspace", "Espace de travail"),
    labelled("invited_by", "Invited by", "Invité par"),
    labelled("status", "State", "État"),
    labelled("expires_at", "Expiry", "Expiration"),
    labelled("account_exists", "Has an account", "A un compte"),
    labelled("code", "Code from the mail", "Code du message"),
];

const VIEW: ResourceView = ResourceView {
    title: &["workspace"],
    columns: &["workspace", "role", "invited_by", "status", "expires_at"],
    groups: &[group(
        "Invitation",
        "Invitation",
        &["workspace", "role", "invited_by", "status", "expires_at", "email", "name"],
    )],
    widgets: &[("email", Widget::Email), ("account_exists", Widget::Hidden), ("code", Widget::Hidden)],
    buttons: &[
        button(
            "accept",
            label("Accept", "Accepter"),
            label("You become a member of the workspace.", "Vous devenez membre de l’espace de travail."),
        ),
        button(
            "decline",
            label("Decline", "Refuser"),
            label(
                "The invitation ends. You can be invited again.",
                "L’invitation prend fin. On peut vous inviter à nouveau.",
            ),
        ),
    ],
    purpose: label("Invitations to workspaces of others.", "Les invitations à rejoindre d’autres espaces de travail."),
    singular: label("invitation", "une invitation"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/user-invites", &run(list), Needs::SignedIn, "List pending invitations addressed to you"),
    post("/user-invites/{id}/accept", &blocking(accept), Needs::SignedIn, "Accept an invitation")
        .named("acceptInvitation"),
    post("/user-invites/{id}/decline", &run(decline), Needs::SignedIn, "Decline an invitation")
        .named("declineInvitation"),
    get("/user-invites/code/{code}", &run(by_code), Needs::Anyone, "Show the invitation of a mailed code")
        .named("getInvitationByCode"),
];

/// Lifetime of an invitation: seven days, in seconds.
const GOOD_FOR: i64 = 7 * 86_400;

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserInvite {
    /// Id of the invitation.
    pub id: i64,
    /// Address to which the invitation was mailed.
    pub email: Email,
    /// Name of the invitee, if the inviter gave one.
    pub name: Option<Name<255>>,
    /// Role of the new user.
    pub role: InviteRole,
    /// The workspace that the invitation is for.
    pub workspace: InviteWorkspace,
    /// The inviter.
    pub invited_by: Inviter,
    /// `pending`, `accepted`, `declined`, `cancelled` or `expired`.
    pub status: String,
    /// End of validity: seven days after the last mail.
    pub expires_at: Timestamp,
    /// Time of the invitation.
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct InviteRole {
    /// Id of the role.
    pub id: i64,
    /// Name of the role.
    pub name: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct InviteWorkspace {
    /// Id of the workspace.
    pub id: Uuid,
    /// Name of the workspace.
    pub name: String,
    /// Subdomain of the workspace.
    pub subdomain: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Inviter {
    /// Id of the inviting user in the workspace; null if an integration key invited.
    pub id: Option<i64>,
    /// Name of the inviter.
    pub name: String,
}

/// An invitation, with the data that the accept page needs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InviteByCode {
    #[serde(flatten)]
    pub invite: UserInvite,
    /// Whether the address has an account. Such a person logs in to accept; others register.
    pub account_exists: bool,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "InvitationCode")]
#[serde(default)]
pub struct InviteAnswer {
    /// The code from the mail. Required if the address of the account is not verified. The code verifies it.
    #[schemars(example = &"K3F9-7QXM-2B8D")]
    code: Option<Text<200>>,
}

/// A person to be invited.
#[derive(Debug, Clone)]
pub struct Guest {
    pub workspace: Uuid,
    pub email: Email,
    pub name: Option<Name<255>>,
    pub role: InviteRole,
    pub inviter: Inviter,
}

/// How an invitation is mailed.
#[derive(Debug, Clone)]
pub struct Mailing {
    /// The URL of the central host.
    pub central_url: String,
    /// The account that causes the mail. None if a program does.
    pub cause_id: Option<i64>,
    pub quotas: Quotas,
    pub now: Timestamp,
}

fn list(ctx: &mut Ctx<'_>, list: List<UserInvite>) -> Result<Page<UserInvite>> {
    list.restrict("account_id", ctx.request.token()?.account_id).restrict("status", "pending".to_owned()).page(ctx)
}

fn accept(ctx: &BlockingCtx<'_>, Id(id): Id, Json(answer): Json<InviteAnswer>) -> Result<Saved<UserInvite>> {
    let (account_id, origin) = (ctx.token()?.account_id, ctx.request.origin());
    let (account, invite) = ctx.instance.central.write(move |db| {
        let invite = find_by_email(db, account_id, id, answer.code.as_deref(), &origin)?;
        invite.check_open(origin.at)?;
        Ok::<_, Error>((accounts::find(db, account_id)?, invite))
    })?;
    join(ctx, &account, &invite).map(Saved)
}

fn decline(ctx: &mut Ctx<'_>, Id(id): Id, Json(answer): Json<InviteAnswer>) -> Result<Saved<UserInvite>> {
    let account_id = ctx.request.token()?.account_id;
    find_by_email(ctx.db, account_id, id, answer.code.as_deref(), &ctx.request.origin())?.check_open(ctx.now)?;
    record_answer(ctx.db, id, "declined", ctx.now)?;
    find(ctx.db, id).map(Saved)
}

fn by_code(ctx: &mut Ctx<'_>, PathCode(code): PathCode) -> Result<Ok200<InviteByCode>> {
    shown_by_code(ctx.db, &code)?.map(Ok200).ok_or_else(Error::not_found)
}

impl UserInvite {
    /// Checks that the invitation can still be accepted or declined.
    pub fn check_open(&self, now: Timestamp) -> Result<()> {
        self.check_pending()?;
        if self.status == "expired" || self.expires_at <= now {
            return Err(Error::rejected("invite_expired", "The invitation has expired. Ask for a new one."));
        }
        Ok(())
    }

    fn check_pending(&self) -> Result<()> {
        let (code, message) = match self.status.as_str() {
            "cancelled" => ("invite_cancelled", "The invitation was withdrawn."),
            "accepted" => ("invite_accepted", "The invitation has already been accepted."),
            "declined" => ("invite_declined", "The invitation has been declined."),
            _ => return Ok(()),
        };
        Err(Error::rejected(code, message))
    }
}

/// Makes an account a user of the workspace of an invitation.
///
/// The workspace's file is written first. If a crash follows, the user has no access yet, and a repeat continues from
/// there.
pub fn join(ctx: &BlockingCtx<'_>, account: &Account, invite: &UserInvite) -> Result<UserInvite> {
    let (instance, now) = (ctx.instance, ctx.now);
    let (id, workspace, role_id, account_id) = (invite.id, invite.workspace.id, invite.role.id, account.id);
    check_workspace(instance, workspace)?;
    let lease = instance.registry.lease(workspace);
    let (name, email) = (account.name.clone(), account.email.clone());
    let recorder = ctx.request.recorder_for(workspace, Actor::Oneself);
    let again = recorder.clone();
    let (role, added) = lease.file().write(move |db| {
        let role = members::role(db, role_id)?;
        let gone =
            || Error::rejected("invite_cancelled", "The role of the invitation was deleted. Ask for a new invitation.");
        Ok::<_, Error>((role.ok_or_else(gone)?, members::add(db, &recorder, account_id, &name, &email, role_id)?))
    })?;
    let joined = instance.central.write(move |db| {
        find(db, id)?.check_open(now)?;
        memberships::save(db, account_id, workspace, &role, now)?;
        record_answer(db, id, "accepted", now)?;
        find(db, id)
    });
    if joined.is_err() && added {
        // The invitation was cancelled meanwhile.
        lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &again, account_id)?))?;
    }
    joined
}

/// Checks that the workspace is active and that this server serves it, so that a user can join it.
pub fn check_workspace(instance: &Instance, id: Uuid) -> Result<()> {
    instance.require_served(id)?;
    require_active(instance.directory.current(&instance.keys)?.by_id(id)?).map(|_| ())
}

/// Creates an invitation. Returns it with the code to mail.
pub fn create(db: &Connection, guest: &Guest, quotas: Quotas, now: Timestamp) -> Result<(UserInvite, String)> {
    let workspace = guest.workspace.to_string();
    let [typed, ascii, unicode] = &email::spellings(&guest.email);
    let is_member = db
        .prepare_cached(
            "SELECT 1 FROM memberships m JOIN accounts a ON a.id = m.account_id
             WHERE m.workspace_id = ?1 AND a.email IN (?2, ?3, ?4)",
        )?
        .exists((&workspace, typed, ascii, unicode))?;
    if is_member {
        return Err(already_member());
    }
    // An expired invitation does not block a new one, even if the jobs have not closed it yet.
    expire(db, now)?;
    let is_invited = db
        .prepare_cached(
            "SELECT 1 FROM user_invites WHERE workspace_id = ?1 AND email IN (?2, ?3, ?4) AND status = 'pending'",
        )?
        .exists((&workspace, typed, ascii, unicode))?;
    if is_invited {
        return Err(Error::rejected("already_invited", "This address is already invited. Resend the invitation."));
    }
    quotas.check_invitations(db, guest.workspace, now)?;
    let code = secret::random()?;
    let id = db
        .prepare_cached(
            "INSERT INTO user_invites (workspace_id, email, name, role_id, role, inviter_id, inviter, code_digest,
                                       status, expires_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'pending', ?9, ?10, ?10)",
        )?
        .insert(params![
            workspace,
            guest.email,
            guest.name,
            guest.role.id,
            guest.role.name,
            guest.inviter.id,
            guest.inviter.name,
            secret::digest(&code),
            now.plus(GOOD_FOR),
            now
        ])?;
    Ok((find(db, id)?, code))
}

pub fn already_member() -> Error {
    Error::rejected("already_member", "A user of the workspace already has this address.")
}

/// Gives an invitation a new code and seven more days. The old code becomes invalid. An expired invitation is pending
/// again.
fn renew(db: &Connection, workspace: Uuid, id: i64, quotas: Quotas, now: Timestamp) -> Result<(UserInvite, String)> {
    of_workspace(db, workspace, id)?.check_pending()?;
    let resent_at = "SELECT resent_at FROM user_invites WHERE id = ?1";
    quotas.check_resend(db.prepare_cached(resent_at)?.query_row([id], |row| row.get(0))?, now)?;
    let code = secret::random()?;
    db.prepare_cached(
        "UPDATE user_invites SET code_digest = ?2, status = 'pending', expires_at = ?3, updated_at = ?4, resent_at = ?4
         WHERE id = ?1",
    )?
    .execute((id, secret::digest(&code), now.plus(GOOD_FOR), now))?;
    Ok((find(db, id)?, code))
}

/// The invitation of a code, whatever its status.
pub fn with_code(db: &Connection, code: &str) -> rusqlite::Result<Option<UserInvite>> {
    find_row(db, "code_digest = ?1", [secret::digest(code)])
}

/// Whether an invitation to this address is open.
pub fn is_pending_for(db: &Connection, address: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let [typed, ascii, unicode] = &email::spellings(address);
    db.prepare_cached(
        "SELECT 1 FROM user_invites WHERE email IN (?1, ?2, ?3) AND status = 'pending' AND expires_at > ?4",
    )?
    .exists((typed, ascii, unicode, now))
}

/// The invitation of a code, with the data that the accept page needs.
fn shown_by_code(db: &Connection, code: &str) -> Result<Option<InviteByCode>> {
    let Some(invite) = with_code(db, code)? else { return Ok(None) };
    let account_exists = accounts::find_by_email(db, &invite.email)?.is_some();
    Ok(Some(InviteByCode { invite, account_exists }))
}

/// Closes expired invitations.
fn expire(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE user_invites SET status = 'expired', updated_at = ?1 WHERE status = 'pending' AND expires_at <= ?1",
    )?
    .execute([now])?;
    Ok(())
}

impl Central {
    /// Writes an invitation and the mail with its code in one transaction. A mail that a program causes counts against
    /// the workspace's owner.
    fn mail_invitation(
        &self,
        mailing: Mailing,
        write: impl Fn(&Connection) -> Result<(UserInvite, String)> + Send + 'static,
    ) -> Result<UserInvite> {
        self.write(move |db| {
            let (invite, code) = write(db)?;
            let mail = mail_templates::Invitation {
                workspace: invite.workspace.name.clone(),
                inviter: invite.invited_by.name.clone(),
                role: invite.role.name.clone(),
                name: invite.name.as_ref().map(ToString::to_string),
                url: format!("{}/ui/invitations/{code}", mailing.central_url),
                expires_at: invite.expires_at,
            };
            let cause = mailing.cause_id.map_or_else(|| workspace_rows::owner(db, invite.workspace.id), Ok)?;
            outbox::queue_for(db, mailing.quotas, cause, &mail.mail(invite.email.clone())?, mailing.now)?;
            Ok(invite)
        })
    }

    /// Creates an invitation and mails its code.
    pub fn invite(&self, guest: Guest, mailing: Mailing) -> Result<UserInvite> {
        let (quotas, now) = (mailing.quotas, mailing.now);
        self.mail_invitation(mailing, move |db| create(db, &guest, quotas, now))
    }

    /// Gives an invitation a new code and seven more days, and mails the code.
    pub fn renew_invitation(&self, workspace: Uuid, id: i64, mailing: Mailing) -> Result<UserInvite> {
        let (quotas, now) = (mailing.quotas, mailing.now);
        self.mail_invitation(mailing, move |db| renew(db, workspace, id, quotas, now))
    }

    /// Cancels a pending invitation.
    pub fn cancel_invitation(&self, workspace: Uuid, id: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            of_workspace(db, workspace, id)?.check_pending()?;
            record_answer(db, id, "cancelled", now)
        })
    }

    /// The id of the role in an invitation of this workspace.
    pub fn invited_role(&self, workspace: Uuid, id: i64) -> Result<i64> {
        self.read(move |db| Ok(of_workspace(db, workspace, id)?.role.id))
    }

    /// Whether a pending invitation names this role.
    pub fn has_invitation_to_role(&self, workspace: Uuid, role_id: i64, now: Timestamp) -> Result<bool> {
        self.read(move |db| {
            let sql = "SELECT 1 FROM user_invites
                       WHERE workspace_id = ?1 AND role_id = ?2 AND status = 'pending' AND expires_at > ?3";
            Ok(db.prepare_cached(sql)?.exists((workspace.to_string(), role_id, now))?)
        })
    }

    /// The invitation of a code, with the data that the accept page needs.
    pub fn invitation_by_code(&self, code: &str) -> Result<Option<InviteByCode>> {
        let code = code.to_owned();
        self.read(move |db| shown_by_code(db, &code))
    }

    /// Closes expired invitations. Writes only if there is one to close.
    pub fn expire_invitations(&self, now: Timestamp) -> Result<()> {
        let some_are_over = self.read(move |db| {
            let sql = "SELECT 1 FROM user_invites WHERE status = 'pending' AND expires_at <= ?1";
            Ok::<_, Error>(db.prepare_cached(sql)?.exists([now])?)
        })?;
        if some_are_over { self.write(move |db| Ok(expire(db, now)?)) } else { Ok(()) }
    }
}

fn record_answer(db: &Connection, id: i64, status: &str, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE user_invites SET status = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute((id, status, now))?;
    Ok(())
}

/// An invitation that an account may accept or decline: its verified address matches, or it has the code. The code
/// verifies the address.
fn find_by_email(db: &Connection, account_id: i64, id: i64, code: Option<&str>, origin: &Origin) -> Result<UserInvite> {
    let Some(code) = code else {
        return find_row(db, "id = ?1 AND account_id = ?2", (id, account_id))?.ok_or_else(Error::not_found);
    };
    let invite = with_code(db, code)?.filter(|invite| invite.id == id).ok_or_else(Error::not_found)?;
    let account = accounts::find(db, account_id)?;
    match email_verification::confirm_if_own(db, &account, &invite.email, origin)? {
        true => Ok(invite),
        false => Err(Error::not_found()),
    }
}

fn of_workspace(db: &Connection, workspace: Uuid, id: i64) -> Result<UserInvite> {
    find_row(db, "id = ?1 AND workspace_id = ?2", (id, workspace.to_string()))?.ok_or_else(Error::not_found)
}

fn find(db: &Connection, id: i64) -> Result<UserInvite> {
    find_row(db, "id = ?1", [id])?.ok_or_else(Error::not_found)
}

impl Listable for UserInvite {
    const LISTING: ListSpec = ListSpec {
        // The account that has this verified address now.
        table: "(SELECT i.*, w.name AS workspace_name, w.subdomain, a.id AS account_id
                 FROM user_invites i JOIN workspaces w ON w.id = i.workspace_id
                 LEFT JOIN accounts a ON a.email = i.email AND a.email_verified WHERE w.status IN ('active', 'suspended'))",
        columns: "id, email, name, role_id, role, workspace_id, workspace_name, subdomain, inviter_id, inviter, status,
                  expires_at, created_at",
        fields: &[
            integer("id").only_sorted(),
            text("email").sorted(),
            text("name"),
            choice("status", &["pending", "accepted", "declined", "cancelled", "expired"]),
            moment("created_at").sorted(),
            moment("expires_at").only_sorted(),
        ],
        plain_filters: false,
        newest_first: true,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            email: row.get(1)?,
            name: row.get(2)?,
            role: InviteRole { id: row.get(3)?, name: row.get(4)? },
            workspace: InviteWorkspace { id: uuid_column(row, 5)?, name: row.get(6)?, subdomain: row.get(7)? },
            invited_by: Inviter { id: row.get(8)?, name: row.get(9)? },
            status: row.get(10)?,
            expires_at: row.get(11)?,
            created_at: row.get(12)?,
        })
    }
}

#[cfg(test)]
mod tests;

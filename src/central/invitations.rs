//! Invitations into workspaces, as their recipients see them. Inviters use the workspace API.
//!
//! A person with the mailed code has read the mail. The code therefore permits registration even if registration is by
//! invitation only. An account whose verified address matches the invitation needs no code.

use rusqlite::{Connection, OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::{self, Account};
use super::email_verification;
use super::quotas::Quotas;
use super::{mails, memberships, outbox, workspaces};
use crate::api::field::{choice, integer, moment, text};
use crate::api::list::{List, Listed, Listing};
use crate::api::resource::Resource;
use crate::api::{
    Code, Created, Ctx, Error, Id, Json, Needs, Ok200, Page, Result, Route, Steps, get, in_service, post, run, steps,
};
use crate::auth::{Origin, secret};
use crate::engine::Engine;
use crate::storage::uuid_column;
use crate::tenancy::journal::Actor;
use crate::tenancy::{Central, members};
use crate::values::{Email, Name, Text, Timestamp, email};

pub const RESOURCE: Resource = Resource::new("Invitations", "Invitations that are addressed to you.", ROUTES);

const ROUTES: &[Route] = &[
    get("/user-invites", &run(list), Needs::SignedIn, "List pending invitations addressed to you"),
    post("/user-invites/{id}/accept", &steps(accept), Needs::SignedIn, "Accept an invitation")
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
    list.only("account_id", ctx.call.token()?.account_id).only("status", "pending".to_owned()).page(ctx)
}

fn accept(steps: &Steps<'_>, Id(id): Id, Json(answer): Json<InviteAnswer>) -> Result<Created<UserInvite>> {
    let (account_id, origin) = (steps.token()?.account_id, steps.call.origin());
    let (account, invite) = steps.engine.central.write(move |db| {
        let invite = addressed_to(db, account_id, id, answer.code.as_deref(), &origin)?;
        invite.check_open(origin.at)?;
        Ok::<_, Error>((accounts::find(db, account_id)?, invite))
    })?;
    join(steps, &account, &invite).map(Created)
}

fn decline(ctx: &mut Ctx<'_>, Id(id): Id, Json(answer): Json<InviteAnswer>) -> Result<Created<UserInvite>> {
    let account_id = ctx.call.token()?.account_id;
    addressed_to(ctx.db, account_id, id, answer.code.as_deref(), &ctx.call.origin())?.check_open(ctx.now)?;
    settle(ctx.db, id, "declined", ctx.now)?;
    find(ctx.db, id).map(Created)
}

fn by_code(ctx: &mut Ctx<'_>, Code(code): Code) -> Result<Ok200<InviteByCode>> {
    shown_by_code(ctx.db, &code)?.map(Ok200).ok_or_else(Error::not_found)
}

impl UserInvite {
    /// Checks that the invitation can still be accepted or declined.
    pub fn check_open(&self, now: Timestamp) -> Result<()> {
        self.check_unanswered()?;
        if self.status == "expired" || self.expires_at <= now {
            return Err(Error::refused("invite_expired", "The invitation has expired. Ask for a new one."));
        }
        Ok(())
    }

    fn check_unanswered(&self) -> Result<()> {
        let (code, message) = match self.status.as_str() {
            "cancelled" => ("invite_cancelled", "The invitation was withdrawn."),
            "accepted" => ("invite_accepted", "The invitation has already been accepted."),
            "declined" => ("invite_declined", "The invitation has been declined."),
            _ => return Ok(()),
        };
        Err(Error::refused(code, message))
    }
}

/// Makes an account a user of the workspace of an invitation.
///
/// The workspace's file is written first. If a crash follows, the user has no access yet, and a repeat continues from
/// there.
pub fn join(steps: &Steps<'_>, account: &Account, invite: &UserInvite) -> Result<UserInvite> {
    let (engine, now) = (steps.engine, steps.now);
    let (id, workspace, role_id, account_id) = (invite.id, invite.workspace.id, invite.role.id, account.id);
    check_workspace(engine, workspace)?;
    let lease = engine.registry.lease(workspace);
    let (name, email) = (account.name.clone(), account.email.clone());
    let author = steps.call.author_in(workspace, Actor::Oneself);
    let again = author.clone();
    let (role, added) = lease.file().write(move |db| {
        let role = members::role(db, role_id)?;
        let gone =
            || Error::refused("invite_cancelled", "The role of the invitation was deleted. Ask for a new invitation.");
        Ok::<_, Error>((role.ok_or_else(gone)?, members::add(db, &author, account_id, &name, &email, role_id)?))
    })?;
    let joined = engine.central.write(move |db| {
        find(db, id)?.check_open(now)?;
        memberships::save(db, account_id, workspace, &role, now)?;
        settle(db, id, "accepted", now)?;
        find(db, id)
    });
    if joined.is_err() && added {
        // The invitation was cancelled meanwhile.
        lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &again, account_id)?))?;
    }
    joined
}

/// Checks that the workspace is active, so that a user can join it.
pub fn check_workspace(engine: &Engine, id: Uuid) -> Result<()> {
    in_service(engine.directory.current(&engine.keys)?.identified(id)?).map(|_| ())
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
        return Err(Error::refused("already_invited", "This address is already invited. Resend the invitation."));
    }
    quotas.check_invitations(db, guest.workspace, now)?;
    let code = secret::make()?;
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
    Error::refused("already_member", "A user of the workspace already has this address.")
}

/// Gives an invitation a new code and seven more days. The old code becomes invalid. An expired invitation is pending
/// again.
fn renew(db: &Connection, workspace: Uuid, id: i64, quotas: Quotas, now: Timestamp) -> Result<(UserInvite, String)> {
    of_workspace(db, workspace, id)?.check_unanswered()?;
    let resent_at = "SELECT resent_at FROM user_invites WHERE id = ?1";
    quotas.check_resend(db.prepare_cached(resent_at)?.query_row([id], |row| row.get(0))?, now)?;
    let code = secret::make()?;
    db.prepare_cached(
        "UPDATE user_invites SET code_digest = ?2, status = 'pending', expires_at = ?3, updated_at = ?4, resent_at = ?4
         WHERE id = ?1",
    )?
    .execute((id, secret::digest(&code), now.plus(GOOD_FOR), now))?;
    Ok((find(db, id)?, code))
}

/// The invitation of a code, whatever its status.
pub fn with_code(db: &Connection, code: &str) -> rusqlite::Result<Option<UserInvite>> {
    one(db, "code_digest = ?1", [secret::digest(code)])
}

/// The same, with the data that the accept page needs.
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
    /// Writes an invitation, and the mail with its code in the same transaction. Mails caused by a program count against the
    /// workspace's owner.
    fn mail_invitation(
        &self,
        mailing: Mailing,
        write: impl Fn(&Connection) -> Result<(UserInvite, String)> + Send + 'static,
    ) -> Result<UserInvite> {
        self.write(move |db| {
            let (invite, code) = write(db)?;
            let mail = mails::Invitation {
                workspace: invite.workspace.name.clone(),
                inviter: invite.invited_by.name.clone(),
                role: invite.role.name.clone(),
                name: invite.name.as_ref().map(ToString::to_string),
                url: format!("{}/ui/invitations/{code}", mailing.central_url),
                expires_at: invite.expires_at,
            };
            let cause = mailing.cause_id.map_or_else(|| workspaces::owner(db, invite.workspace.id), Ok)?;
            outbox::put_for(db, mailing.quotas, cause, &mail.mail(invite.email.clone())?, mailing.now)?;
            Ok(invite)
        })
    }

    /// Invites somebody, and mails the code.
    pub fn invite(&self, guest: Guest, mailing: Mailing) -> Result<UserInvite> {
        let (quotas, now) = (mailing.quotas, mailing.now);
        self.mail_invitation(mailing, move |db| create(db, &guest, quotas, now))
    }

    /// Gives an invitation another code, which is mailed, and seven days more.
    pub fn renew_invitation(&self, workspace: Uuid, id: i64, mailing: Mailing) -> Result<UserInvite> {
        let (quotas, now) = (mailing.quotas, mailing.now);
        self.mail_invitation(mailing, move |db| renew(db, workspace, id, quotas, now))
    }

    /// Cancels a pending invitation.
    pub fn cancel_invitation(&self, workspace: Uuid, id: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            of_workspace(db, workspace, id)?.check_unanswered()?;
            settle(db, id, "cancelled", now)
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

    /// The invitation that a code was mailed for, with what a page needs beside it.
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

fn settle(db: &Connection, id: i64, status: &str, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE user_invites SET status = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute((id, status, now))?;
    Ok(())
}

/// An invitation that an account may answer: its verified address matches, or it has the code. The code verifies the
/// address.
fn addressed_to(db: &Connection, account_id: i64, id: i64, code: Option<&str>, origin: &Origin) -> Result<UserInvite> {
    let Some(code) = code else {
        return one(db, "id = ?1 AND account_id = ?2", (id, account_id))?.ok_or_else(Error::not_found);
    };
    let invite = with_code(db, code)?.filter(|invite| invite.id == id).ok_or_else(Error::not_found)?;
    let account = accounts::find(db, account_id)?;
    match email_verification::confirm_if_own(db, &account, &invite.email, origin)? {
        true => Ok(invite),
        false => Err(Error::not_found()),
    }
}

fn of_workspace(db: &Connection, workspace: Uuid, id: i64) -> Result<UserInvite> {
    one(db, "id = ?1 AND workspace_id = ?2", (id, workspace.to_string()))?.ok_or_else(Error::not_found)
}

fn find(db: &Connection, id: i64) -> Result<UserInvite> {
    one(db, "id = ?1", [id])?.ok_or_else(Error::not_found)
}

fn one(
    db: &Connection,
    condition: &'static str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Option<UserInvite>> {
    let Listing { table, columns, .. } = UserInvite::LISTING;
    db.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE {condition}"))?
        .query_row(values, UserInvite::from_row)
        .optional()
}

impl Listed for UserInvite {
    const LISTING: Listing = Listing {
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
        counted_by_triggers: false,
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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Bench, Client, PASSWORD};

    /// Invites into `acme` as an agent. Returns the path of the invitation and its code.
    fn invited(bench: &Bench, email: &str) -> (String, String) {
        let made = bench.admin().post("/user-invites", json!({"email": email, "role_id": 3})).created();
        let text = bench.mails().pop().unwrap().text;
        let (_, rest) = text.split_once("/ui/invitations/").unwrap();
        (format!("/user-invites/{}", made["id"]), rest[..43].to_owned())
    }

    fn registering(email: &str, code: &str) -> Value {
        json!({"name": "Grace", "email": email, "password": PASSWORD, "invite": code})
    }

    fn enter<'b>(bench: &'b Bench, client: &Client<'_>) -> Client<'b> {
        let switched = client.post("/switch-to", json!({"workspace_id": bench.acme.id})).ok();
        bench.nobody().signed_in(&switched).at("acme.localhost")
    }

    #[test]
    fn who_has_an_account_accepts_and_is_in() {
        let bench = Bench::new();
        let guest = bench.stranger();
        let (path, code) = invited(&bench, "Stranger@Example.com");
        assert_eq!(bench.nobody().get(&format!("/user-invites/code/{code}")).ok()["account_exists"], true);
        assert_eq!(guest.get("/user-invites").ok()["data"][0]["workspace"]["name"], "acme");
        assert_eq!(bench.central().get("/user-invites").ok()["total"], 0);
        bench.central().post(&format!("{path}/accept"), json!({})).refused(404, "not_found");

        assert_eq!(guest.post(&format!("{path}/accept"), json!({})).created()["status"], "accepted");
        let inside = enter(&bench, &guest);
        let me = inside.get("/whoami").ok();
        assert_eq!((&me["role"], &me["user"]["email"]), (&json!("agent"), &json!("stranger@example.com")));
        assert_eq!(guest.get("/user-invites").ok()["total"], 0);
        guest.post(&format!("{path}/accept"), json!({})).refused(422, "invite_accepted");
    }

    /// Any account may enter any address. Reading its mail is what counts.
    #[test]
    fn an_address_that_is_not_verified_opens_no_invitation() {
        let bench = Bench::new();
        let mallory = json!({"name": "Mallory", "email": "mallory@example.com", "password": PASSWORD});
        let mallory = bench.nobody().signed_in(&bench.nobody().post("/register", mallory).created());
        let change = json!({"email": "ceo@acme.test", "current_password": PASSWORD});
        assert_eq!(mallory.put("/account", change).created()["email"], "mallory@example.com");
        let squatter = json!({"name": "S", "email": "squatted@acme.test", "password": PASSWORD});
        let squatter = bench.nobody().signed_in(&bench.nobody().post("/register", squatter).created());
        for (thief, email) in [(&mallory, "ceo@acme.test"), (&squatter, "squatted@acme.test")] {
            let (path, code) = invited(&bench, email);
            assert_eq!(thief.get("/user-invites").ok()["total"], 0);
            for answer in ["accept", "decline"] {
                thief.post(&format!("{path}/{answer}"), json!({})).refused(404, "not_found");
                thief.post(&format!("{path}/{answer}"), json!({"code": "guessed"})).refused(404, "not_found");
                bench.stranger().post(&format!("{path}/{answer}"), json!({"code": code})).refused(404, "not_found");
            }
        }
        assert_eq!(bench.admin().get("/users").ok()["total"], 1);
    }

    #[test]
    fn the_code_of_an_invitation_verifies_the_address_that_it_went_to() {
        let bench = Bench::new();
        let register = |email: &str| {
            let body = json!({"name": "Grace", "email": email, "password": PASSWORD});
            bench.nobody().signed_in(&bench.nobody().post("/register", body).created())
        };
        let (grace, ada) = (register("grace@example.com"), register("ada@example.com"));
        let (path, code) = invited(&bench, "Grace@example.com");
        grace.post(&format!("{path}/accept"), json!({"code": code})).created();
        assert_eq!(grace.get("/whoami").ok()["user"]["email_verified"], true);
        enter(&bench, &grace).get("/customers").ok();

        // The code also completes a pending change of address.
        ada.put("/account", json!({"email": "ada@acme.test", "current_password": PASSWORD})).created();
        let (path, code) = invited(&bench, "ada@acme.test");
        ada.post(&format!("{path}/decline"), json!({"code": code})).created();
        let me = ada.get("/whoami").ok()["user"].clone();
        assert_eq!((&me["email"], &me["email_verified"]), (&json!("ada@acme.test"), &json!(true)));
        assert_eq!(me.get("pending_email"), None);
    }

    #[test]
    fn who_has_none_registers_with_the_code_and_is_in() {
        let bench = Bench::with(&[("registration", "invite")]);
        let (_, code) = invited(&bench, "grace@example.com");
        let shown = bench.nobody().get(&format!("/user-invites/code/{code}")).ok();
        assert_eq!((&shown["account_exists"], &shown["email"]), (&json!(false), &json!("grace@example.com")));
        let register = |body: Value| bench.nobody().post("/register", body);
        let without = json!({"name": "Grace", "email": "grace@example.com", "password": PASSWORD});
        register(without).refused(403, "registration_closed");
        register(registering("grace@example.com", "x")).invalid(&["The selected invite is invalid."]);
        register(registering("eve@example.com", &code)).invalid(&["The selected invite is invalid."]);

        let made = register(registering("grace@example.com", &code)).created();
        assert_eq!((&made["workspace"]["subdomain"], &made["workspace"]["role"]), (&json!("acme"), &json!("agent")));
        let inside = enter(&bench, &bench.nobody().signed_in(&made));
        assert_eq!(inside.get("/whoami").ok()["user"]["name"], "Grace");
        register(registering("other@example.com", &code)).invalid(&["The selected invite is invalid."]);
    }

    #[test]
    fn a_closed_server_takes_nobody_with_a_code_either() {
        let bench = Bench::with(&[("registration", "closed")]);
        let (_, code) = invited(&bench, "grace@example.com");
        bench.nobody().post("/register", registering("grace@example.com", &code)).refused(403, "registration_closed");
    }

    #[test]
    fn what_is_declined_withdrawn_or_over_is_not_accepted() {
        let bench = Bench::new();
        let guest = bench.stranger();
        let (declined, _) = invited(&bench, "stranger@example.com");
        assert_eq!(guest.post(&format!("{declined}/decline"), json!({})).created()["status"], "declined");
        guest.post(&format!("{declined}/accept"), json!({})).refused(422, "invite_declined");

        let (withdrawn, code) = invited(&bench, "stranger@example.com");
        bench.admin().delete(&withdrawn).ok();
        guest.post(&format!("{withdrawn}/accept"), json!({})).refused(422, "invite_cancelled");
        guest.post(&format!("{withdrawn}/decline"), json!({})).refused(422, "invite_cancelled");
        bench.nobody().post("/register", registering("stranger@example.com", &code)).refused(422, "invite_cancelled");

        let (over, _) = invited(&bench, "stranger@example.com");
        bench
            .engine
            .central
            .write(|db| Ok::<_, Error>(db.execute("UPDATE user_invites SET expires_at = 1", [])?))
            .unwrap();
        guest.post(&format!("{over}/accept"), json!({})).refused(422, "invite_expired");
        guest.post(&format!("{over}/decline"), json!({})).refused(422, "invite_expired");
        assert_eq!(bench.admin().get("/users").ok()["total"], 1);
    }

    /// The workspace's file has the user, but the central file was not written before the crash.
    #[test]
    fn an_acceptance_that_a_crash_interrupted_is_repeated() {
        let bench = Bench::new();
        let guest = bench.stranger();
        let (path, _) = invited(&bench, "stranger@example.com");
        let account_id = guest.get("/whoami").ok()["user"]["id"].as_i64().unwrap();
        let author = bench.author();
        bench.in_file(move |db| Ok(members::add(db, &author, account_id, "S", "stranger@example.com", 3)?));
        guest.post("/switch-to", json!({"workspace_id": bench.acme.id})).refused(403, "not_a_member");
        guest.post(&format!("{path}/accept"), json!({})).created();
        enter(&bench, &guest).get("/customers").ok();
    }

    #[test]
    fn nobody_joins_a_workspace_that_is_suspended_or_gone() {
        let bench = Bench::new();
        let guest = bench.stranger();
        let (path, _) = invited(&bench, "stranger@example.com");
        let (id, origin) = (bench.acme.id, Origin::system(Timestamp::now()));
        let write = |status: &'static str| {
            let origin = origin.clone();
            let set = move |db: &Connection| Ok::<_, Error>(workspaces::set_status(db, id, status, &origin)?);
            let done = bench.engine.central.write(set);
            assert!(done.unwrap());
        };
        write("suspended");
        guest.post(&format!("{path}/accept"), json!({})).refused(403, "workspace_suspended");
        write("active");
        bench.engine.central.write(move |db| workspaces::trash(db, id, &origin)).unwrap();
        guest.post(&format!("{path}/accept"), json!({})).refused(404, "not_found");
        assert_eq!(guest.get("/user-invites").ok()["total"], 0);
    }

    #[test]
    fn a_deleted_account_leaves_no_user_behind() {
        let bench = Bench::new();
        let guest = bench.stranger();
        let (path, _) = invited(&bench, "stranger@example.com");
        guest.post(&format!("{path}/accept"), json!({})).created();
        assert_eq!(bench.admin().get("/users").ok()["total"], 2);
        guest.delete_with("/account", json!({"current_password": PASSWORD})).ok();
        assert_eq!(bench.admin().get("/users").ok()["total"], 1);
    }
}

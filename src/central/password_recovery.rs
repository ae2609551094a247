//! Password reset: a code is mailed on request, and allows choosing a new password once.
//!
//! The response does not reveal whether an address has an account. The request is only stored, and the mail job handles
//! it later. The response and its duration are therefore always the same.

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::central_audit_log::{self, CentralAuditEvent};
use super::mail_templates::PasswordReset;
use super::notices::{self, NoticeKind};
use super::{accounts, credentials, email_verification, outbox, second_factor};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{BlockingCtx, Done, Error, Json, Needs, RateLimit, Result, Route, blocking, hashing, post};
use crate::auth::{Origin, Purpose, secret};
use crate::instance::Instance;
use crate::storage::uuid_column;
use crate::tenancy::{Central, grant_revocation};

use crate::values::{Email, Name, Password, Timestamp};

pub const RESOURCE: Resource = Resource::new("Password", "Reset a forgotten password with a mailed code.", ROUTES)
    .french("Mot de passe")
    .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("email", "Email", "Adresse e-mail"),
    labelled("code", "Code from the mail", "Code du message"),
    labelled("password", "New password", "Nouveau mot de passe"),
];

const ROUTES: &[Route] = &[
    post("/password/forgot", &blocking(forgot), Needs::Anyone, "Request a password reset code by mail")
        .named("forgotPassword"),
    post("/password/reset", &hashing(reset), Needs::Anyone, "Set a new password with a mailed code")
        .named("resetPassword"),
];

/// Lifetime of a code, in seconds.
const CODE_TTL: i64 = 3600;

/// Maximum requests per round.
const MOST: u32 = 100;

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ForgottenPassword {
    /// Email address of the account.
    email: Email,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PasswordReset")]
#[serde(default)]
pub struct NewPassword {
    /// Email address of the account.
    email: Email,
    /// The code from the mail. Valid for one hour.
    #[schemars(example = &"K3F9-7QXM-2B8D")]
    code: Name<200>,
    /// The new password. Not one of the 10,000 most common passwords, and not the name or email address of the account.
    /// Revokes all tokens of the account.
    password: Password,
}

/// A reset request. The address may have no account.
struct ResetRequest {
    id: i64,
    email: Email,
    /// The public URL of the central host at the time of the request.
    url: String,
}

fn forgot(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, Json(forgotten): Json<ForgottenPassword>) -> Result<Done> {
    let tries = rate_limit.for_email(Purpose::Mail, &forgotten.email);
    tries.check()?;
    // Each request may send a mail that its recipient did not request.
    tries.count();
    let url = ctx.instance.public_url().central();
    let now = ctx.now;
    ctx.instance.central.write(move |db| {
        db.prepare_cached("INSERT INTO password_requests (email, url, created_at) VALUES (?1, ?2, ?3)")?.execute((
            &forgotten.email,
            &url,
            now,
        ))?;
        Ok::<_, Error>(())
    })?;
    Ok(Done)
}

fn reset(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, Json(resetting): Json<NewPassword>) -> Result<Done> {
    choose(ctx, rate_limit, resetting).map(|()| Done)
}

/// Sets a new password for the account of a code.
pub fn choose(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, resetting: NewPassword) -> Result<()> {
    let (email, digest, now) = (resetting.email, secret::digest(&resetting.code), ctx.now);
    let (asked, tries) = (email.clone(), rate_limit.for_email(Purpose::Code, &email));
    tries.check()?;
    // The code is checked before the password is hashed, because hashing is expensive. The write checks the code again.
    let account = ctx.instance.central.read(move |db| match is_valid_code(db, &digest, &asked, now)? {
        Some(account_id) => accounts::find(db, account_id).map(Some),
        None => Ok(None),
    })?;
    let Some(account) = account else {
        tries.count();
        return Err(wrong_code());
    };
    let hash = ctx.instance.hash_password(&resetting.password, &account.email, &account.name)?;
    let origin = ctx.request.origin();
    ctx.instance.central.write(move |db| {
        let account_id = is_valid_code(db, &digest, &email, now)?.ok_or_else(wrong_code)?;
        let is_proven = accounts::find(db, account_id)?.email_verified;
        if !is_proven {
            // The person who added the factor never verified the address, so the factor may be an attacker's.
            second_factor::delete_factor(db, account_id)?;
        }
        // The new hash deletes all codes of the account by a trigger, including this one.
        accounts::set_password_hash(db, account_id, &hash, now)?;
        credentials::revoke_all(db, account_id, None, now)?;
        mark_grants_for_end(db, account_id)?;
        email_verification::verify_by_reset(db, account_id)?;
        central_audit_log::record(db, &origin, CentralAuditEvent::new("password.reset").about(account_id))?;
        notices::queue(db, account_id, &NoticeKind::PasswordChanged, &origin)
    })?;
    tries.reset();
    end_grants_now(ctx.instance, ctx.now);
    Ok(())
}

impl Central {
    /// Sets the password of an account and revokes its tokens. Returns their number. For operators.
    pub fn set_password(&self, account_id: i64, hash: String, origin: Origin) -> Result<usize> {
        self.write(move |db| {
            accounts::set_password_hash(db, account_id, &hash, origin.at)?;
            mark_grants_for_end(db, account_id)?;
            central_audit_log::record(db, &origin, CentralAuditEvent::new("password.changed").about(account_id))?;
            notices::queue(db, account_id, &NoticeKind::PasswordChanged, &origin)?;
            Ok(credentials::revoke_all(db, account_id, None, origin.at)?)
        })
    }

    /// Sets the password of a demo's account and revokes its tokens, without audit entry and notice.
    pub fn set_demo_password(&self, account_id: i64, hash: String, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            accounts::set_password_hash(db, account_id, &hash, now)?;
            credentials::revoke_all(db, account_id, None, now)?;
            Ok(())
        })
    }
}

/// Marks all OAuth grants of an account to be ended, in the transaction that changes its password: an attacker with the
/// old password may have approved them. [`end_grants`] follows.
pub fn mark_grants_for_end(db: &Connection, account_id: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO grants_to_end (account_id, workspace_id)
         SELECT account_id, workspace_id FROM memberships WHERE account_id = ?1",
    )?
    .execute([account_id])?;
    Ok(())
}

/// Ends the marked grants, one workspace at a time. If a workspace is in the trash or cannot be written, a later round
/// of the jobs retries it.
pub fn end_grants(instance: &Instance, now: Timestamp) -> Result<()> {
    let outdated: Vec<(i64, i64, Uuid)> = instance.central.read(|db| {
        let mut statement = db.prepare_cached(
            "SELECT grants_to_end.id, account_id, workspace_id
             FROM grants_to_end JOIN workspaces ON workspaces.id = workspace_id
             WHERE status IN ('active', 'suspended')",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, uuid_column(row, 2)?)))?;
        Ok::<_, Error>(rows.collect::<rusqlite::Result<_>>()?)
    })?;
    let mut result = Ok(());
    for (id, account_id, workspace) in outdated.into_iter().filter(|(_, _, id)| instance.serves(*id)) {
        let (lease, recorder) = (instance.registry.lease(workspace), instance.system_recorder(workspace, now));
        let ended =
            lease.file().write(move |db| Ok::<_, Error>(grant_revocation::end_all_of(db, &recorder, account_id)?));
        let noted = ended.and_then(|()| {
            instance.central.write(move |db| {
                db.prepare_cached("DELETE FROM grants_to_end WHERE id = ?1")?.execute([id])?;
                Ok(())
            })
        });
        result = result.and(noted);
    }
    result
}

/// Ends the marked grants at once. The change of password stands even if this fails.
pub fn end_grants_now(instance: &Instance, now: Timestamp) {
    if let Err(error) = end_grants(instance, now) {
        tracing::warn!(%error, "could not end some OAuth grants after a password change; they are ended later");
    }
}

/// Mails a code for each request whose address has an account. Deletes the other requests.
pub fn answer_requests(instance: &Instance, now: Timestamp) -> Result<()> {
    let requests = instance.central.read(|db| Ok::<_, Error>(requests(db)?))?;
    if requests.is_empty() {
        return Ok(());
    }
    instance.central.write(move |db| {
        db.prepare_cached("DELETE FROM password_codes WHERE expires_at <= ?1")?.execute([now])?;
        for request in &requests {
            if let Some((account, _)) = accounts::find_by_email(db, &request.email)? {
                let code = make_code(db, account.id, now)?;
                let reset =
                    PasswordReset { name: account.name, url: link(request, &code), expires_at: now.plus(CODE_TTL) };
                // Sent to the address of the account, which may differ in case from the requested one.
                outbox::queue(db, &reset.mail(account.email.parse().map_err(Error::Internal)?)?, now)?;
            }
            db.prepare_cached("DELETE FROM password_requests WHERE id = ?1")?.execute([request.id])?;
        }
        Ok(())
    })
}

/// Creates a code for an account and stores its digest.
fn make_code(db: &Connection, account_id: i64, now: Timestamp) -> Result<String> {
    let code = secret::random()?;
    db.prepare_cached("INSERT INTO password_codes (digest, account_id, expires_at) VALUES (?1, ?2, ?3)")?.execute((
        secret::digest(&code),
        account_id,
        now.plus(CODE_TTL),
    ))?;
    Ok(code)
}

/// The account of a valid code, if the account has this address.
fn is_valid_code(db: &Connection, digest: &[u8; 32], email: &str, now: Timestamp) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(
        "SELECT a.id FROM password_codes c JOIN accounts a ON a.id = c.account_id
         WHERE c.digest = ?1 AND a.email = ?2 AND c.expires_at > ?3",
    )?
    .query_row((digest, email, now), |row| row.get(0))
    .optional()
}

fn requests(db: &Connection) -> rusqlite::Result<Vec<ResetRequest>> {
    db.prepare_cached("SELECT id, email, url FROM password_requests ORDER BY id LIMIT ?1")?
        .query_map([MOST], |row| Ok(ResetRequest { id: row.get(0)?, email: row.get(1)?, url: row.get(2)? }))?
        .collect()
}

/// The URL of the page to choose a new password.
fn link(request: &ResetRequest, code: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("email", &request.email)
        .append_pair("code", code)
        .finish();
    format!("{}/ui/password-reset?{query}", request.url)
}

/// The same error for an unknown address and for a code that is unknown, used or expired.
fn wrong_code() -> Error {
    Error::invalid("The selected code is invalid.")
}

#[cfg(test)]
mod tests;

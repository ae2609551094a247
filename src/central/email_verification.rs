//! Verification of an account's address by a mailed code.
//!
//! A changed address takes effect only after verification. The old address can undo the change for seven days.
//!
//! A code alone is not enough: the caller must be signed in as the account or enter its password. Otherwise an attacker
//! could register a stranger's address, and the stranger would verify it by following the link.

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::{self, Account};
use super::central_audit_log::{self, CentralAuditEvent};
use super::mail_templates::{EmailChange, EmailCode};
use super::notices::{self, NoticeKind};
use super::quotas::Quotas;
use super::{credentials, outbox};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{Ctx, Done, Error, Json, Needs, Request, Result, Route, Saved, post, run};
use crate::auth::{Origin, secret};
use crate::tenancy::Central;
use crate::values::{Email, Name, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Email verification", "Verify the email address of an account with a mailed code.", ROUTES)
        .french("Vérification de l’e-mail")
        .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("code", "Code", "Code"),
    labelled("name", "Name", "Nom"),
    labelled("email", "Email", "Adresse e-mail"),
    labelled("email_verified", "Address confirmed", "Adresse confirmée"),
    labelled("pending_email", "Address to confirm", "Adresse à confirmer"),
];

const ROUTES: &[Route] = &[
    post("/account/email/verify", &run(verify), Needs::SignedIn, "Verify your email address with the mailed code")
        .named("verifyEmail"),
    post("/account/email/resend", &run(resend), Needs::SignedIn, "Resend the code that verifies your email address")
        .named("resendEmailCode"),
    post(
        "/account/email/undo",
        &run(undo),
        Needs::Anyone,
        "Undo a change of email address with the code mailed to the old address",
    )
    .named("undoEmailChange"),
];

/// Lifetime of a code, in seconds.
const CODE_TTL: i64 = 30 * 60;

/// Minimum seconds between two codes.
const RESEND_AFTER: i64 = 5 * 60;

/// Seconds for which the old address can undo a change.
const UNDO_TTL: i64 = 7 * 86_400;

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MailedCode {
    /// The code from the mail.
    #[schemars(example = &"K3F9-7QXM-2B8D")]
    code: Name<200>,
}

fn verify(ctx: &mut Ctx<'_>, Json(given): Json<MailedCode>) -> Result<Saved<Account>> {
    let id = ctx.request.token()?.account_id;
    let named = with_code(ctx.db, &given.code, ctx.now)?.filter(|named| named.account_id == id);
    confirm(ctx.db, &named.ok_or_else(wrong_code)?, &ctx.request.origin()).map(Saved)
}

fn resend(ctx: &mut Ctx<'_>, quotas: Quotas) -> Result<Done> {
    let account = accounts::find(ctx.db, ctx.request.token()?.account_id)?;
    let email = match &account.pending_email {
        Some(pending) => pending,
        None if account.email_verified => {
            return Err(Error::rejected("email_verified", "The address of this account is already verified."));
        }
        None => &account.email,
    };
    let sent_at: Option<Timestamp> = ctx
        .db
        .prepare_cached("SELECT sent_at FROM email_codes WHERE account_id = ?1")?
        .query_row([account.id], |row| row.get(0))
        .optional()?;
    let wait = sent_at.map_or(0, |sent| sent.seconds() + RESEND_AFTER - ctx.now.seconds());
    // A longer wait means that the clock was set back.
    if (1..=RESEND_AFTER).contains(&wait) {
        return Err(Error::TooManyRequests(wait));
    }
    let mailer = CodeMailer { quotas, ..CodeMailer::of(ctx.request) };
    mailer.send(ctx.db, &account, email, ctx.now)?;
    Ok(Done)
}

fn undo(ctx: &mut Ctx<'_>, Json(given): Json<MailedCode>) -> Result<Done> {
    restore_former(ctx.db, &given.code, &ctx.request.origin())?;
    Ok(Done)
}

/// An address that a code verifies.
#[derive(Debug, Clone)]
pub struct PendingVerification {
    pub account_id: i64,
    pub email: String,
    /// The current login address of the account.
    pub login: String,
}

/// The address that a valid code verifies.
fn with_code(db: &Connection, code: &str, now: Timestamp) -> rusqlite::Result<Option<PendingVerification>> {
    db.prepare_cached(
        "SELECT a.id, c.email, a.email FROM email_codes c JOIN accounts a ON a.id = c.account_id
         WHERE c.digest = ?1 AND c.expires_at > ?2",
    )?
    .query_row((secret::digest(code), now), |row| {
        Ok(PendingVerification { account_id: row.get(0)?, email: row.get(1)?, login: row.get(2)? })
    })
    .optional()
}

/// Verifies the address of a code.
fn confirm(db: &Connection, named: &PendingVerification, origin: &Origin) -> Result<Account> {
    db.prepare_cached("DELETE FROM email_codes WHERE account_id = ?1")?.execute([named.account_id])?;
    set_email(db, named.account_id, &named.email, origin)?;
    accounts::find(db, named.account_id)
}

/// Verifies an address by other proof, if it is the account's current or pending address. Returns whether it is.
pub fn confirm_if_own(db: &Connection, account: &Account, email: &str, origin: &Origin) -> Result<bool> {
    let is = |own: &str| own.eq_ignore_ascii_case(email);
    if is(&account.email) && account.email_verified {
        return Ok(true);
    }
    if !is(&account.email) && !account.pending_email.as_deref().is_some_and(is) {
        return Ok(false);
    }
    set_email(db, account.id, email, origin)?;
    Ok(true)
}

/// Verifies the address to which a password reset code was mailed. Drops a pending change of address, because an
/// attacker may have requested it.
pub fn verify_by_reset(db: &Connection, account_id: i64) -> Result<()> {
    db.prepare_cached("UPDATE accounts SET email_verified = 1, pending_email = NULL WHERE id = ?1")?
        .execute([account_id])?;
    db.prepare_cached("DELETE FROM email_codes WHERE account_id = ?1")?.execute([account_id])?;
    Ok(())
}

/// Makes the address the account's verified address.
fn set_email(db: &Connection, account_id: i64, email: &str, origin: &Origin) -> Result<()> {
    let old = accounts::find(db, account_id)?;
    db.prepare_cached(
        "UPDATE accounts SET email = ?2, email_verified = 1, pending_email = NULLIF(pending_email, ?2), updated_at = ?3
         WHERE id = ?1",
    )?
    .execute((account_id, email, origin.at))?;
    let event = CentralAuditEvent::new(if old.email == email { "email.verified" } else { "email.changed" });
    central_audit_log::record(db, origin, event.about(account_id).with(json!({"email": email})))?;
    if old.email != email {
        notices::queue_to(db, &old, &old.email, &NoticeKind::EmailChanged { email }, origin)?;
    }
    Ok(())
}

/// Records a pending address, mails a code to it, and notifies the old address.
pub fn request_change(db: &Connection, id: i64, email: &Email, mailer: &CodeMailer, origin: &Origin) -> Result<()> {
    if accounts::find_by_email(db, email)?.is_some_and(|(other, _)| other.id != id) {
        return Err(Error::taken("email"));
    }
    db.prepare_cached("UPDATE accounts SET pending_email = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute((id, email, origin.at))?;
    let account = accounts::find(db, id)?;
    mailer.send(db, &account, email, origin.at)?;
    let (code, expires_at) = (secret::random()?, origin.at.plus(UNDO_TTL));
    db.prepare_cached("DELETE FROM email_undo_codes WHERE expires_at <= ?1")?.execute([origin.at])?;
    db.prepare_cached(
        "INSERT INTO email_undo_codes (digest, account_id, email, email_verified, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((secret::digest(&code), id, &account.email, account.email_verified, expires_at))?;
    let change = EmailChange {
        name: account.name,
        email: email.to_string(),
        url: format!("{}/ui/undo-email-change?code={code}", mailer.url),
        expires_at,
    };
    outbox::queue(db, &change.mail(account.email.parse().map_err(Error::Internal)?)?, origin.at)?;
    let event = CentralAuditEvent::new("email.change_requested").about(id).with(json!({"email": email}));
    Ok(central_audit_log::record(db, origin, event)?)
}

/// The settings for mailing codes to unverified addresses.
#[derive(Debug, Clone)]
pub struct CodeMailer {
    /// The public URL of the central host.
    url: String,
    quotas: Quotas,
}

impl CodeMailer {
    pub fn of(request: &Request) -> Self {
        let url = request.instance.public_url().central();
        Self { url, quotas: request.instance.config.quotas }
    }

    /// Mails a new code, if the account's quota allows another mail. The old code becomes invalid.
    pub fn send(&self, db: &Connection, account: &Account, email: &str, now: Timestamp) -> Result<()> {
        let (code, expires_at) = (secret::random()?, now.plus(CODE_TTL));
        db.prepare_cached(
            "INSERT OR REPLACE INTO email_codes (account_id, digest, email, sent_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((account.id, secret::digest(&code), email, now, expires_at))?;
        let url = format!("{}/ui/verify-email?code={code}", self.url);
        let mail = EmailCode { name: account.name.clone(), url, code, expires_at };
        let mail = mail.mail(email.parse().map_err(Error::Internal)?)?;
        outbox::queue_for(db, self.quotas, account.id, &mail, now)
    }
}

/// Restores the address to which an undo code was mailed. Ends all sessions of the account, because an attacker may be
/// in one.
fn restore_former(db: &Connection, code: &str, origin: &Origin) -> Result<()> {
    let found: Option<(i64, String, bool, Timestamp)> = db
        .prepare_cached(
            "SELECT account_id, email, email_verified, expires_at FROM email_undo_codes
             WHERE digest = ?1 AND expires_at > ?2",
        )?
        .query_row((secret::digest(code), origin.at), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let (id, email, verified, expires_at) = found.ok_or_else(wrong_code)?;
    let is_others = accounts::find_by_email(db, &email)?.is_some_and(|(other, _)| other.id != id);
    if is_others {
        return Err(Error::taken("email"));
    }
    db.prepare_cached(
        "UPDATE accounts SET email = ?2, email_verified = ?3, pending_email = NULL, updated_at = ?4 WHERE id = ?1",
    )?
    .execute((id, &email, verified, origin.at))?;
    // Undo codes of later changes were mailed to addresses that this undo removes.
    db.prepare_cached("DELETE FROM email_undo_codes WHERE account_id = ?1 AND expires_at >= ?2")?
        .execute((id, expires_at))?;
    db.prepare_cached("DELETE FROM email_codes WHERE account_id = ?1")?.execute([id])?;
    credentials::revoke_all(db, id, None, origin.at)?;
    Ok(central_audit_log::record(
        db,
        origin,
        CentralAuditEvent::new("email.change_undone").about(id).with(json!({"email": email})),
    )?)
}

impl Central {
    /// The address that a valid code verifies.
    pub fn email_by_code(&self, code: &str, now: Timestamp) -> Result<Option<PendingVerification>> {
        let code = code.to_owned();
        self.read(move |db| Ok(with_code(db, &code, now)?))
    }

    /// Verifies the address of a submitted code.
    pub fn confirm_email(&self, named: PendingVerification, origin: Origin) -> Result<Account> {
        self.write(move |db| confirm(db, &named, &origin))
    }

    /// Verifies an address by other proof, if it is the account's current or pending address. Returns the account.
    pub fn confirm_own_email(&self, account: Account, email: &str, origin: Origin) -> Result<Account> {
        let email = email.to_owned();
        self.write(move |db| {
            confirm_if_own(db, &account, &email, &origin)?;
            accounts::find(db, account.id)
        })
    }

    /// The address that a valid undo code restores.
    pub fn former_email(&self, code: &str, now: Timestamp) -> Result<Option<String>> {
        let digest = secret::digest(code);
        self.read(move |db| {
            let sql = "SELECT email FROM email_undo_codes WHERE digest = ?1 AND expires_at > ?2";
            Ok(db.prepare_cached(sql)?.query_row((digest, now), |row| row.get(0)).optional()?)
        })
    }

    /// Restores the address to which an undo code was mailed.
    pub fn undo_email_change(&self, code: &str, origin: Origin) -> Result<()> {
        let code = code.to_owned();
        self.write(move |db| restore_former(db, &code, &origin))
    }
}

/// The same error for a code that is unknown, used, expired, or another account's.
pub fn wrong_code() -> Error {
    Error::invalid("The selected code is invalid.")
}

#[cfg(test)]
mod tests;

//! Verification of an account's address by a mailed code.
//!
//! A changed address takes effect only after verification. The old address can undo the change for seven days.
//!
//! A code alone is not enough: the caller must be signed in as the account or enter its password. Otherwise somebody
//! could register a stranger's address, and the stranger would verify it by following the link.

use http::StatusCode;
use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::{self, Account};
use super::audit_log::{self, Event};
use super::mails::{EmailChange, EmailCode};
use super::notices::{self, About};
use super::quotas::Quotas;
use super::{credentials, outbox};
use crate::api::resource::Resource;
use crate::api::{Call, Created, Ctx, Done, Error, Input, Json, Needs, Operation, Result, Route, post, run};
use crate::auth::{Origin, secret};
use crate::tenancy::Central;
use crate::values::{Email, Name, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Email verification", "Verify the email address of an account with a mailed code.", ROUTES)
        .french("Vérification de l’e-mail");

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
#[schemars(rename = "MailedCode")]
#[serde(default)]
pub struct MailedCode {
    /// The code from the mail.
    #[schemars(example = &"K3F9-7QXM-2B8D")]
    code: Name<200>,
}

fn verify(ctx: &mut Ctx<'_>, Json(given): Json<MailedCode>) -> Result<Created<Account>> {
    let id = ctx.call.token()?.account_id;
    let named = with_code(ctx.db, &given.code, ctx.now)?.filter(|named| named.account_id == id);
    confirm(ctx.db, &named.ok_or_else(wrong_code)?, &ctx.call.origin()).map(Created)
}

fn resend(ctx: &mut Ctx<'_>, mailer: CodeMailer) -> Result<Done> {
    let account = accounts::find(ctx.db, ctx.call.token()?.account_id)?;
    let email = match &account.pending_email {
        Some(pending) => pending,
        None if account.email_verified => {
            return Err(Error::refused("email_verified", "The address of this account is already verified."));
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
    mailer.send(ctx.db, &account, email, ctx.now)?;
    Ok(Done)
}

fn undo(ctx: &mut Ctx<'_>, Json(given): Json<MailedCode>) -> Result<Done> {
    bring_back(ctx.db, &given.code, &ctx.call.origin())?;
    Ok(Done)
}

/// An address that a code verifies.
#[derive(Debug, Clone)]
pub struct Named {
    pub account_id: i64,
    pub email: String,
    /// The current login address of the account.
    pub login: String,
}

/// The address that a valid code verifies.
fn with_code(db: &Connection, code: &str, now: Timestamp) -> rusqlite::Result<Option<Named>> {
    db.prepare_cached(
        "SELECT a.id, c.email, a.email FROM email_codes c JOIN accounts a ON a.id = c.account_id
         WHERE c.digest = ?1 AND c.expires_at > ?2",
    )?
    .query_row((secret::digest(code), now), |row| {
        Ok(Named { account_id: row.get(0)?, email: row.get(1)?, login: row.get(2)? })
    })
    .optional()
}

/// Verifies the address of a code.
fn confirm(db: &Connection, named: &Named, origin: &Origin) -> Result<Account> {
    db.prepare_cached("DELETE FROM email_codes WHERE account_id = ?1")?.execute([named.account_id])?;
    take(db, named.account_id, &named.email, origin)?;
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
    take(db, account.id, email, origin)?;
    Ok(true)
}

/// Verifies the address to which a password reset code was mailed. Drops a pending change of address, because an
/// attacker may have requested it.
pub fn prove_by_reset(db: &Connection, account_id: i64) -> Result<()> {
    db.prepare_cached("UPDATE accounts SET email_verified = 1, pending_email = NULL WHERE id = ?1")?
        .execute([account_id])?;
    db.prepare_cached("DELETE FROM email_codes WHERE account_id = ?1")?.execute([account_id])?;
    Ok(())
}

/// Makes the address the account's verified address.
fn take(db: &Connection, account_id: i64, email: &str, origin: &Origin) -> Result<()> {
    let old = accounts::find(db, account_id)?;
    db.prepare_cached(
        "UPDATE accounts SET email = ?2, email_verified = 1, pending_email = NULLIF(pending_email, ?2), updated_at = ?3
         WHERE id = ?1",
    )?
    .execute((account_id, email, origin.at))?;
    let event = Event::new(if old.email == email { "email.verified" } else { "email.changed" });
    audit_log::record(db, origin, event.about(account_id).with(json!({"email": email})))?;
    if old.email != email {
        notices::put_to(db, &old, &old.email, &About::EmailChanged { email }, origin)?;
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
    let (code, expires_at) = (secret::make()?, origin.at.plus(UNDO_TTL));
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
    outbox::put(db, &change.mail(account.email.parse().map_err(Error::Internal)?)?, origin.at)?;
    let event = Event::new("email.change_requested").about(id).with(json!({"email": email}));
    Ok(audit_log::record(db, origin, event)?)
}

/// The settings for mailing codes to unverified addresses.
#[derive(Debug, Clone)]
pub struct CodeMailer {
    /// The public URL of the central host.
    url: String,
    quotas: Quotas,
}

impl CodeMailer {
    pub fn of(call: &Call) -> Self {
        let url = call.engine.public_url().central();
        Self { url, quotas: call.engine.config.quotas }
    }

    /// Mails a new code, if the account's quota allows another mail. The old code becomes invalid.
    pub fn send(&self, db: &Connection, account: &Account, email: &str, now: Timestamp) -> Result<()> {
        let (code, expires_at) = (secret::make()?, now.plus(CODE_TTL));
        db.prepare_cached(
            "INSERT OR REPLACE INTO email_codes (account_id, digest, email, sent_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((account.id, secret::digest(&code), email, now, expires_at))?;
        let url = format!("{}/ui/verify-email?code={code}", self.url);
        let mail = EmailCode { name: account.name.clone(), url, code, expires_at };
        let mail = mail.mail(email.parse().map_err(Error::Internal)?)?;
        outbox::put_for(db, self.quotas, account.id, &mail, now)
    }
}

/// A handler with this input is subject to the mail quota, so its description includes 429.
impl Input for CodeMailer {
    fn read(call: &Call) -> Result<Self> {
        Ok(Self::of(call))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.refusal(StatusCode::TOO_MANY_REQUESTS);
    }
}

/// Restores the address to which an undo code was mailed. Ends all sessions of the account, because an attacker may be
/// in one.
fn bring_back(db: &Connection, code: &str, origin: &Origin) -> Result<()> {
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
    Ok(audit_log::record(db, origin, Event::new("email.change_undone").about(id).with(json!({"email": email})))?)
}

impl Central {
    /// What a code that was mailed and is good at this moment verifies.
    pub fn email_by_code(&self, code: &str, now: Timestamp) -> Result<Option<Named>> {
        let code = code.to_owned();
        self.read(move |db| Ok(with_code(db, &code, now)?))
    }

    /// Verifies an address of which the account has shown the code.
    pub fn confirm_email(&self, named: Named, origin: Origin) -> Result<Account> {
        self.write(move |db| confirm(db, &named, &origin))
    }

    /// Verifies an address that somebody has shown to read the mail of, if it is the account's, or is to be; answers the
    /// account.
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

    /// Gives an account the address back that a code was mailed to.
    pub fn undo_email_change(&self, code: &str, origin: Origin) -> Result<()> {
        let code = code.to_owned();
        self.write(move |db| bring_back(db, &code, &origin))
    }
}

/// The same error for a code that is unknown, used, expired, or another account's.
pub fn wrong_code() -> Error {
    Error::invalid("The selected code is invalid.")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::api::Error;
    use crate::testing::{Bench, Client, PASSWORD};

    fn registered<'b>(bench: &'b Bench, email: &str) -> Client<'b> {
        let body = json!({"name": "Zoé", "email": email, "password": PASSWORD});
        bench.nobody().signed_in(&bench.nobody().post("/register", body).created())
    }

    fn me(client: &Client<'_>) -> Value {
        client.get("/whoami").ok()["user"].clone()
    }

    fn code(bench: &Bench) -> String {
        bench.mailed("/ui/verify-email?code=")
    }

    /// Lets some seconds pass for the mailed codes.
    fn later(bench: &Bench, seconds: i64) {
        let sql = format!(
            "UPDATE email_codes SET sent_at = sent_at - {seconds}, expires_at = expires_at - {seconds};
             UPDATE email_undo_codes SET expires_at = expires_at - {seconds};"
        );
        bench.engine.central.write(move |db| Ok::<_, Error>(db.execute_batch(&sql)?)).unwrap();
    }

    #[test]
    fn who_registers_is_mailed_a_code_and_verifies_the_address_once() {
        let bench = Bench::new();
        let zoe = registered(&bench, "zoe@example.com");
        assert_eq!(me(&zoe)["email_verified"], false);
        let code = code(&bench);
        let verify = |client: &Client<'_>, code: &str| client.post("/account/email/verify", json!({"code": code}));
        // The code belongs to one account, whoever else has it.
        verify(&bench.stranger(), &code).invalid(&["The selected code is invalid."]);
        verify(&zoe, "guessed").invalid(&["The selected code is invalid."]);
        assert_eq!(verify(&zoe, &code).created()["email_verified"], true);
        verify(&zoe, &code).invalid(&["The selected code is invalid."]);
        zoe.post("/account/email/resend", json!({})).refused(422, "email_verified");
    }

    #[test]
    fn a_code_is_good_for_half_an_hour_and_sent_again_after_five_minutes() {
        let bench = Bench::new();
        let zoe = registered(&bench, "zoe@example.com");
        let old = code(&bench);
        let soon = zoe.post("/account/email/resend", json!({}));
        soon.refused(429, "too_many_requests");
        let wait: i64 = soon.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((290..=300).contains(&wait), "{wait}");
        later(&bench, 301);
        zoe.post("/account/email/resend", json!({})).ok();
        let verify = |code: &str| zoe.post("/account/email/verify", json!({"code": code}));
        verify(&old).invalid(&["The selected code is invalid."]);
        later(&bench, 1801);
        verify(&code(&bench)).invalid(&["The selected code is invalid."]);
        zoe.post("/account/email/resend", json!({})).ok();
        verify(&code(&bench)).created();
    }

    #[test]
    fn a_new_address_takes_effect_with_its_code_and_the_former_one_is_told() {
        let bench = Bench::new();
        let owner = bench.central();
        let change = json!({"email": "new@example.com", "current_password": PASSWORD});
        owner.put("/account", change).created();
        let told = bench.mails();
        let recipients: Vec<String> = told.iter().rev().take(2).map(|mail| mail.to.to_string()).collect();
        assert_eq!(recipients, ["owner@example.com", "new@example.com"]);
        assert_eq!(me(&owner)["email"], "owner@example.com");

        let verified = bench.verify_email(&owner);
        assert_eq!((&verified["email"], &verified["email_verified"]), (&json!("new@example.com"), &json!(true)));
        assert_eq!(verified.get("pending_email"), None);
        let login = |email: &str| bench.nobody().post("/login", json!({"email": email, "password": PASSWORD}));
        login("owner@example.com").refused(401, "invalid_credentials");
        login("new@example.com").ok();
    }

    #[test]
    fn the_former_address_undoes_a_change_for_seven_days_also_once_it_took_effect() {
        for takes_effect in [false, true] {
            let bench = Bench::new();
            let thief = bench.central();
            let change = |email: &str| json!({"email": email, "current_password": PASSWORD});
            thief.put("/account", change("thief@example.com")).created();
            let undo = bench.mailed("/ui/undo-email-change?code=");
            if takes_effect {
                bench.verify_email(&thief);
                // Another change does not help the attacker: its undo code goes to the attacker's address.
                later(&bench, 60);
                thief.put("/account", change("thief2@example.com")).created();
            }
            let theirs = bench.mailed("/ui/undo-email-change?code=");
            let bring_back = |code: &str| bench.nobody().post("/account/email/undo", json!({"code": code}));
            bring_back("guessed").invalid(&["The selected code is invalid."]);
            bring_back(&undo).ok();
            thief.get("/whoami").refused(401, "token_revoked");
            let owner = bench.nobody().post("/login", change("")).status;
            assert!(owner.is_client_error());
            let login = json!({"email": "owner@example.com", "password": PASSWORD});
            let user = bench.nobody().post("/login", login).ok()["user"].clone();
            assert_eq!((&user["email_verified"], user.get("pending_email")), (&json!(true), None));
            bring_back(&theirs).invalid(&["The selected code is invalid."]);
            bring_back(&undo).invalid(&["The selected code is invalid."]);
        }
        let bench = Bench::new();
        let change = json!({"email": "new@example.com", "current_password": PASSWORD});
        bench.central().put("/account", change).created();
        later(&bench, 7 * 86_400 + 1);
        let undo = json!({"code": bench.mailed("/ui/undo-email-change?code=")});
        bench.nobody().post("/account/email/undo", undo).invalid(&["The selected code is invalid."]);
    }

    #[test]
    fn an_account_mails_no_more_strangers_than_its_quota_says() {
        let bench = Bench::with(&[("mails_per_hour", "3")]);
        let zoe = registered(&bench, "zoe@example.com");
        let change = |n: usize| {
            zoe.put("/account", json!({"email": format!("victim{n}@example.com"), "current_password": PASSWORD}))
        };
        change(1).created();
        change(2).created();
        change(3).refused(429, "too_many_requests");
        assert_eq!(me(&zoe)["pending_email"], "victim2@example.com");
    }

    #[test]
    fn the_page_verifies_with_the_password_of_the_account_alone() {
        let bench = Bench::new();
        let zoe = registered(&bench, "zoe@example.com");
        let path = format!("/ui/verify-email?code={}", code(&bench));
        let page = bench.nobody().get(&path);
        assert!(page.status == 200 && page.text.contains("zoe@example.com"), "{page:?}");
        let submit = |password: &str| bench.nobody().submit(&path, &[("code", &code(&bench)), ("password", password)]);
        let wrong = submit("somebody-elses");
        assert!(wrong.status == 401 && wrong.text.contains("The email or the password is wrong."), "{wrong:?}");
        assert_eq!(me(&zoe)["email_verified"], false);
        assert!(submit(PASSWORD).text.contains("The address is confirmed"));
        assert_eq!(me(&zoe)["email_verified"], true);
        assert_eq!(bench.nobody().get(&path).status, 404);
        let french = bench.nobody().with_header("accept-language", "fr").get(&path);
        assert!(french.text.contains("Ce lien ne fonctionne plus"), "{french:?}");
    }
}

//! The second factor of an account: time-based one-time passwords (RFC 6238), and recovery codes for a lost device.
//!
//! A login with the right password gets a challenge. The challenge and a code give the token. Existing tokens, and
//! tokens of programs and OAuth clients, need no code.

use std::sync::Arc;

use qrcode::QrCode;
use qrcode::render::svg;
use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Secret, Totp};

use super::accounts::{self, Account};
use super::central_audit_log::{self, CentralAuditEvent};
use super::credentials;
use super::notices::{self, NoticeKind};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{
    BlockingCtx, Ctx, Done, Error, Id, Json, Needs, Ok200, RateLimit, Result, Route, Saved, blocking, delete, get,
    hashing, post, run,
};
use crate::auth::{Keys, Origin, Purpose, TokenInUse, encryption, secret};
use crate::instance::Instance;
use crate::tenancy::Central;
use crate::values::{Name, Text, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Second factor", "One-time passwords (RFC 6238) and recovery codes, required at login.", ROUTES)
        .french("Second facteur")
        .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("current_password", "Current password", "Mot de passe actuel"),
    labelled("code", "Code", "Code"),
    labelled("enabled", "Switched on", "Activé"),
    labelled("enabled_at", "Since", "Depuis"),
    labelled("recovery_codes_left", "Recovery codes left", "Codes de secours restants"),
    labelled("secret", "Secret", "Secret"),
    labelled("otpauth_url", "Address for the app", "Adresse pour l’application"),
    labelled("qr_code", "QR code", "Code QR"),
    labelled("recovery_codes", "Recovery codes", "Codes de secours"),
];

const ROUTES: &[Route] = &[
    get("/account/second-factor", &run(show), Needs::SignedIn, "Show whether login requires a second factor")
        .named("getSecondFactor"),
    post(
        "/account/second-factor",
        &hashing(enroll),
        Needs::SignedIn,
        "Add a second factor, in two steps: send your password, then a code",
    )
    .named("addSecondFactor"),
    delete("/account/second-factor", &hashing(disable), Needs::SignedIn, "Remove your second factor")
        .named("removeSecondFactor"),
    post(
        "/account/second-factor/recovery-codes",
        &blocking(renew_recovery_codes),
        Needs::SignedIn,
        "Replace your recovery codes with new ones",
    )
    .named("createRecoveryCodes"),
    delete(
        "/accounts/{id}/second-factor",
        &run(reset_by_operator),
        Needs::Operator,
        "Remove the second factor of an account (operators only)",
    )
    .named("resetSecondFactor"),
];

/// Maximum seconds between the two steps of an enrollment.
const ENROLLMENT_TTL: i64 = 30 * 60;

const RECOVERY_CODES: usize = 10;

/// Bytes of a recovery code: 80 bits.
const RECOVERY_CODE_SIZE: usize = 10;

#[derive(Debug, Serialize, JsonSchema)]
pub struct SecondFactor {
    /// Whether login requires a code.
    pub enabled: bool,
    /// Time at which the second factor was added.
    pub enabled_at: Option<Timestamp>,
    /// Number of unused recovery codes.
    pub recovery_codes_left: i64,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecondFactor")]
#[serde(default)]
pub struct EnrollmentChanges {
    /// The password of the account. Starts an enrollment.
    #[schemars(example = &"a-long-password")]
    pub current_password: Option<Text<1000>>,
    /// A code from the authenticator app. Completes an enrollment that was started in the last 30 minutes.
    pub code: Option<Name<20>>,
}

/// The response to each of the two steps.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Enrollment {
    #[serde(flatten)]
    pub state: SecondFactor,
    /// The shared secret in base32 (RFC 4648, 6), after the first step.
    pub secret: Option<String>,
    /// The same as a URL for an authenticator app, after the first step.
    pub otpauth_url: Option<String>,
    /// The URL as a QR code (an SVG document), after the first step.
    pub qr_code: Option<String>,
    /// Recovery codes, after the second step. Each allows one login without the app. They are shown only once.
    pub recovery_codes: Option<Vec<String>>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecondFactorRemoval {
    /// The password of the account.
    #[schemars(example = &"a-long-password")]
    pub current_password: Name<1000>,
    /// A code from the app, or a recovery code.
    #[schemars(example = &"123456")]
    pub code: Name<40>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecondFactorProof {
    /// A code from the app, or a recovery code.
    #[schemars(example = &"123456")]
    code: Name<40>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecoveryCodeList")]
pub struct RecoveryCodes {
    /// New recovery codes. Each allows one login without the app. They are shown only once.
    recovery_codes: Vec<String>,
}

fn show(ctx: &mut Ctx<'_>) -> Result<Ok200<SecondFactor>> {
    Ok(Ok200(find(ctx.db, ctx.request.token()?.account_id)?))
}

fn enroll(
    ctx: &BlockingCtx<'_>,
    rate_limit: RateLimit,
    Json(given): Json<EnrollmentChanges>,
) -> Result<Saved<Enrollment>> {
    let token = ctx.token()?;
    match (given.code, given.current_password) {
        (Some(code), _) => finish_enrollment(ctx, &rate_limit, token.account_id, &code).map(Saved),
        (None, Some(password)) => begin_enrollment(ctx, &rate_limit, token, &password).map(Saved),
        (None, None) => Err(Error::invalid("The current password field is required.")),
    }
}

/// The first step: checks the password and creates a secret. The secret takes effect once a code for it is submitted.
pub fn begin_enrollment(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    token: &TokenInUse,
    password: &str,
) -> Result<Enrollment> {
    let (account_id, token_id) = (token.account_id, token.id);
    let (account, kept) = ctx.instance.central.account_with_password(account_id)?;
    credentials::compare(ctx.instance, &rate_limit.for_session(Purpose::Password, token_id), password, Some(&kept))?;
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(anyhow::Error::from)?;
    let secret = Secret::from(bytes.to_vec());
    let sealed = encryption::encrypt_text(&secret.to_base32(), &context(account_id), &ctx.instance.keys)?;
    let now = ctx.now;
    let state = ctx.instance.central.write(move |db| {
        if find(db, account_id)?.enabled {
            return Err(Error::rejected(
                "second_factor_enabled",
                "The account already has a second factor. Remove it first.",
            ));
        }
        db.prepare_cached(
            "INSERT OR REPLACE INTO second_factors (account_id, secret, created_at) VALUES (?1, ?2, ?3)",
        )?
        .execute((account_id, &sealed, now))?;
        find(db, account_id)
    })?;
    enrollment(ctx.instance, state, &account, secret)
}

/// An enrollment that waits for its first code.
fn enrollment(instance: &Instance, state: SecondFactor, account: &Account, secret: Secret) -> Result<Enrollment> {
    let shown = secret.to_base32();
    let issuer = format!("cx-engine {}", instance.config.central_domain);
    let totp =
        Builder::new().with_secret(secret).with_account_name(account.email.replace(':', "")).with_issuer(Some(issuer));
    let unusable = |error: String| Error::Internal(error);
    let url = totp.build().and_then(|totp| totp.to_url()).map_err(|error| unusable(error.to_string()))?;
    let code = QrCode::new(&url).map_err(|error| unusable(error.to_string()))?;
    let drawn = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    // Without the XML declaration, the SVG can be embedded in a page.
    let drawn = drawn.split_once("?>").map_or(drawn.as_str(), |(_, svg)| svg).to_owned();
    Ok(Enrollment { state, secret: Some(shown), otpauth_url: Some(url), qr_code: Some(drawn), recovery_codes: None })
}

/// The started enrollment of an account, to show it again.
pub fn begun_enrollment(ctx: &BlockingCtx<'_>, account_id: i64) -> Result<Option<Enrollment>> {
    let (instance, now) = (Arc::clone(ctx.instance), ctx.now);
    let found = ctx.instance.central.read(move |db| {
        let secret = unconfirmed(db, &instance.keys, account_id, now)?;
        Ok::<_, Error>((find(db, account_id)?, accounts::find(db, account_id)?, secret))
    })?;
    let (state, account, Some(secret)) = found else { return Ok(None) };
    enrollment(ctx.instance, state, &account, secret).map(Some)
}

/// The second step: checks a code.
pub fn finish_enrollment(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    account_id: i64,
    code: &str,
) -> Result<Enrollment> {
    let tries = rate_limit.for_account(Purpose::SecondFactor, account_id);
    tries.check()?;
    let (instance, origin, code) = (Arc::clone(ctx.instance), ctx.request.origin().by(account_id), code.to_owned());
    let done = ctx.instance.central.write(move |db| {
        let Some(secret) = unconfirmed(db, &instance.keys, account_id, origin.at)? else {
            return Err(Error::rejected("no_enrollment", "No enrollment was started. Start with your password."));
        };
        let Some(step) = totp(secret)?.check(&digits(&code), seconds(origin.at)) else { return Ok(None) };
        db.prepare_cached("UPDATE second_factors SET confirmed_at = ?2, last_step = ?3 WHERE account_id = ?1")?
            .execute((account_id, origin.at, step.cast_signed()))?;
        let codes = make_recovery_codes(db, account_id)?;
        central_audit_log::record(db, &origin, CentralAuditEvent::new("second_factor.enabled").about(account_id))?;
        notices::queue(db, account_id, &NoticeKind::SecondFactorEnabled, &origin)?;
        Ok(Some((find(db, account_id)?, codes)))
    })?;
    let Some((state, codes)) = done else {
        tries.count();
        return Err(Error::invalid("The selected code is invalid."));
    };
    tries.reset();
    Ok(Enrollment { state, secret: None, otpauth_url: None, qr_code: None, recovery_codes: Some(codes) })
}

fn disable(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, Json(given): Json<SecondFactorRemoval>) -> Result<Done> {
    remove(ctx, &rate_limit, ctx.token()?, &given).map(|()| Done)
}

/// Removes the second factor of the token's owner.
pub fn remove(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    token: &TokenInUse,
    given: &SecondFactorRemoval,
) -> Result<()> {
    let (account_id, token_id) = (token.account_id, token.id);
    let (_, kept) = ctx.instance.central.account_with_password(account_id)?;
    let password = rate_limit.for_session(Purpose::Password, token_id);
    credentials::compare(ctx.instance, &password, &given.current_password, Some(&kept))?;
    with_code(ctx, rate_limit, account_id, &given.code, move |db, origin| {
        delete_factor(db, account_id)?;
        central_audit_log::record(db, origin, CentralAuditEvent::new("second_factor.disabled").about(account_id))?;
        notices::queue(db, account_id, &NoticeKind::SecondFactorDisabled, origin)
    })
}

fn renew_recovery_codes(
    ctx: &BlockingCtx<'_>,
    rate_limit: RateLimit,
    Json(given): Json<SecondFactorProof>,
) -> Result<Saved<RecoveryCodes>> {
    let recovery_codes = renew(ctx, &rate_limit, ctx.token()?.account_id, &given.code)?;
    Ok(Saved(RecoveryCodes { recovery_codes }))
}

/// Replaces the recovery codes of an account. Requires a code.
pub fn renew(ctx: &BlockingCtx<'_>, rate_limit: &RateLimit, account_id: i64, code: &str) -> Result<Vec<String>> {
    with_code(ctx, rate_limit, account_id, code, move |db, origin| {
        let codes = make_recovery_codes(db, account_id)?;
        central_audit_log::record(db, origin, CentralAuditEvent::new("recovery_codes.created").about(account_id))?;
        notices::queue(db, account_id, &NoticeKind::RecoveryCodesCreated, origin)?;
        Ok(codes)
    })
}

fn reset_by_operator(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    accounts::find(ctx.db, id)?;
    reset(ctx.db, id, &ctx.request.origin())?;
    Ok(Done)
}

/// Removes the second factor of a person who has lost it.
fn reset(db: &Connection, account_id: i64, origin: &Origin) -> Result<()> {
    if !find(db, account_id)?.enabled {
        return Err(no_factor());
    }
    delete_factor(db, account_id)?;
    central_audit_log::record(db, origin, CentralAuditEvent::new("second_factor.reset").about(account_id))?;
    notices::queue(db, account_id, &NoticeKind::SecondFactorReset, origin)
}

/// Runs an action that requires a code of the caller. The code is used up.
fn with_code<T: Send + 'static>(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    account_id: i64,
    code: &str,
    mut work: impl FnMut(&Connection, &Origin) -> Result<T> + Send + 'static,
) -> Result<T> {
    let tries = rate_limit.for_account(Purpose::SecondFactor, account_id);
    tries.check()?;
    let (instance, origin, code) = (Arc::clone(ctx.instance), ctx.request.origin().by(account_id), code.to_owned());
    let done = ctx.instance.central.write(move |db| {
        if !find(db, account_id)?.enabled {
            return Err(no_factor());
        }
        if !use_code(db, &instance.keys, account_id, &code, origin.at)? {
            return Ok(None);
        }
        work(db, &origin).map(Some)
    })?;
    let Some(done) = done else {
        tries.count();
        return Err(Error::WrongCode);
    };
    tries.reset();
    Ok(done)
}

/// Uses up a code from the app or a recovery code. Returns whether the code was valid.
pub fn use_code(db: &Connection, keys: &Keys, account_id: i64, code: &str, now: Timestamp) -> Result<bool> {
    let found: Option<(String, i64)> = db
        .prepare_cached(
            "SELECT secret, last_step FROM second_factors WHERE account_id = ?1 AND confirmed_at IS NOT NULL",
        )?
        .query_row([account_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((sealed, last_step)) = found else { return Ok(false) };
    // If the encryption keys are lost, only recovery codes work.
    if let Some(secret) = opened(&sealed, keys, account_id)
        && let Some(step) = totp(secret)?.check(&digits(code), seconds(now))
        && step.cast_signed() > last_step
    {
        db.prepare_cached("UPDATE second_factors SET last_step = ?2 WHERE account_id = ?1")?
            .execute((account_id, step.cast_signed()))?;
        return Ok(true);
    }
    let used = db
        .prepare_cached("DELETE FROM recovery_codes WHERE account_id = ?1 AND digest = ?2")?
        .execute((account_id, recovery_digest(code)))?;
    Ok(used > 0)
}

/// Replaces the recovery codes of an account.
fn make_recovery_codes(db: &Connection, account_id: i64) -> Result<Vec<String>> {
    db.prepare_cached("DELETE FROM recovery_codes WHERE account_id = ?1")?.execute([account_id])?;
    let mut insert = db.prepare_cached("INSERT INTO recovery_codes (account_id, digest) VALUES (?1, ?2)")?;
    let mut codes = Vec::new();
    for _ in 0..RECOVERY_CODES {
        let mut bytes = [0; RECOVERY_CODE_SIZE];
        getrandom::fill(&mut bytes).map_err(anyhow::Error::from)?;
        let text = Secret::from(bytes.to_vec()).to_base32().to_lowercase();
        let code = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-");
        insert.execute((account_id, recovery_digest(&code)))?;
        codes.push(code);
    }
    Ok(codes)
}

/// The digest of a recovery code, independent of case and separators.
fn recovery_digest(code: &str) -> [u8; 32] {
    let typed: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    secret::digest(&typed.to_lowercase())
}

/// A code from the app without the blanks that apps display.
fn digits(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace()).collect()
}

/// The second factor of an account, enabled or not.
pub fn find(db: &Connection, account_id: i64) -> Result<SecondFactor> {
    let sql = "SELECT f.confirmed_at, (SELECT count(*) FROM recovery_codes r WHERE r.account_id = f.account_id)
               FROM second_factors f WHERE f.account_id = ?1 AND f.confirmed_at IS NOT NULL";
    let found = db.prepare_cached(sql)?.query_row([account_id], |row| {
        Ok(SecondFactor { enabled: true, enabled_at: row.get(0)?, recovery_codes_left: row.get(1)? })
    });
    let none = SecondFactor { enabled: false, enabled_at: None, recovery_codes_left: 0 };
    Ok(found.optional()?.unwrap_or(none))
}

impl Central {
    /// The second factor of an account, enabled or not.
    pub fn second_factor(&self, account_id: i64) -> Result<SecondFactor> {
        self.read(move |db| find(db, account_id))
    }

    /// Removes the second factor of the account with this address, for an owner who has lost it.
    pub fn reset_second_factor(&self, email: &str, origin: Origin) -> Result<()> {
        let email = email.to_owned();
        self.write(move |db| reset(db, accounts::named(db, &email)?.id, &origin))
    }
}

/// Deletes the second factor of an account, and its pending logins.
pub fn delete_factor(db: &Connection, account_id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM second_factors WHERE account_id = ?1")?.execute([account_id])?;
    db.prepare_cached("DELETE FROM login_challenges WHERE account_id = ?1")?.execute([account_id])?;
    Ok(())
}

/// Encrypts every secret again with the newest key, before the older keys are deleted.
pub fn reseal(instance: &Arc<Instance>) -> Result<()> {
    let inside = Arc::clone(instance);
    instance.central.write(move |db| {
        let mut statement = db.prepare("SELECT account_id, secret FROM second_factors")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (account_id, sealed) in rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()? {
            let Some(text) = encryption::decrypt_text(&sealed, &context(account_id), &inside.keys) else { continue };
            let sealed = encryption::encrypt_text(&text, &context(account_id), &inside.keys)?;
            db.execute("UPDATE second_factors SET secret = ?2 WHERE account_id = ?1", (account_id, sealed))?;
        }
        Ok(())
    })
}

/// The secret of an enrollment that waits for its first code.
fn unconfirmed(db: &Connection, keys: &Keys, account_id: i64, now: Timestamp) -> rusqlite::Result<Option<Secret>> {
    let sql = "SELECT secret FROM second_factors WHERE account_id = ?1 AND confirmed_at IS NULL AND created_at > ?2";
    let sealed: Option<String> =
        db.prepare_cached(sql)?.query_row((account_id, now.plus(-ENROLLMENT_TTL)), |row| row.get(0)).optional()?;
    Ok(sealed.and_then(|sealed| opened(&sealed, keys, account_id)))
}

fn opened(sealed: &str, keys: &Keys, account_id: i64) -> Option<Secret> {
    Secret::try_from_base32(encryption::decrypt_text(sealed, &context(account_id), keys)?).ok()
}

/// The encryption context. It binds a secret to its account.
fn context(account_id: i64) -> Vec<u8> {
    format!("second factor {account_id}").into_bytes()
}

/// Six digits per 30 seconds; one step before and after is accepted. All authenticator apps use these parameters.
fn totp(secret: Secret) -> Result<Totp> {
    Builder::new().with_secret(secret).build().map_err(|error| Error::Internal(error.to_string()))
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.seconds()).unwrap_or_default()
}

fn no_factor() -> Error {
    Error::rejected("no_second_factor", "The account has no second factor.")
}

#[cfg(test)]
mod tests;

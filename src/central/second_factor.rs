//! The second factor of an account: time-based one-time passwords (RFC 6238), and recovery codes for a lost device.
//!
//! A login with the right password gets a challenge. The challenge and a code give the token. Existing tokens, and
//! tokens of programs and OAuth clients, need no code.

use std::sync::Arc;

use http::StatusCode;
use qrcode::QrCode;
use qrcode::render::svg;
use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};
use uuid::Uuid;

use super::accounts::{self, Account};
use super::audit_log::{self, Event};
use super::credentials;
use super::notices::{self, About};
use crate::api::resource::Resource;
use crate::api::{
    Body, Call, Created, Ctx, Done, Error, Id, Input, Json, Needs, Ok200, Operation, Result, Route, Steps, Tries,
    delete, get, hashing, post, run, steps,
};
use crate::auth::{Keys, Origin, Purpose, TokenInUse, seal, secret};
use crate::engine::Engine;
use crate::tenancy::Central;
use crate::values::{Name, Text, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Second factor", "One-time passwords (RFC 6238) and recovery codes, required at login.", ROUTES)
        .french("Second facteur");

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
        &steps(renew_recovery_codes),
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

/// Lifetime of a challenge in seconds, and the number of codes that may be tried with it.
const CHALLENGE_TTL: i64 = 5 * 60;
const CHALLENGE_ATTEMPTS: i64 = 5;

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
pub struct Enrolling {
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
#[schemars(rename = "SecondFactorRemoval")]
#[serde(default)]
pub struct Disabling {
    /// The password of the account.
    #[schemars(example = &"a-long-password")]
    pub current_password: Name<1000>,
    /// A code from the app, or a recovery code.
    #[schemars(example = &"123456")]
    pub code: Name<40>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecondFactorProof")]
#[serde(default)]
pub struct Proof {
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

/// The second step of a login.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SecondFactorLogin")]
#[serde(default)]
pub struct Answer {
    /// The challenge from the first step. Valid for 5 minutes and 5 attempts.
    #[schemars(example = &"k3f97qxm2b8d")]
    pub challenge: Name<100>,
    /// A code from the app, or a recovery code.
    #[schemars(example = &"123456")]
    pub code: Name<40>,
}

/// The same as an input. OpenAPI documents its 401, for an expired challenge or a wrong code.
pub struct Attempt(pub Answer);

impl Input for Attempt {
    const BODY: Body = Json::<Answer>::BODY;

    fn read(call: &Call) -> Result<Self> {
        Json::read(call).map(|Json(answer)| Self(answer))
    }

    fn describe(operation: &mut Operation<'_>) {
        Json::<Answer>::describe(operation);
        operation.refusal(StatusCode::UNAUTHORIZED);
    }
}

/// A completed login.
pub struct Challenge {
    pub account_id: i64,
}

fn show(ctx: &mut Ctx<'_>) -> Result<Ok200<SecondFactor>> {
    Ok(Ok200(find(ctx.db, ctx.call.token()?.account_id)?))
}

fn enroll(steps: &Steps<'_>, tries: Tries, Json(given): Json<Enrolling>) -> Result<Created<Enrollment>> {
    let token = steps.token()?;
    match (given.code, given.current_password) {
        (Some(code), _) => finish_enrollment(steps, &tries, token.account_id, &code).map(Created),
        (None, Some(password)) => begin_enrollment(steps, &tries, token, &password).map(Created),
        (None, None) => Err(Error::invalid("The current password field is required.")),
    }
}

/// The first step: checks the password and creates a secret. The secret takes effect once a code for it is submitted.
pub fn begin_enrollment(steps: &Steps<'_>, tries: &Tries, token: &TokenInUse, password: &str) -> Result<Enrollment> {
    let (account_id, token_id) = (token.account_id, token.id);
    let (account, kept) = steps.engine.central.account_with_password(account_id)?;
    credentials::compare(steps.engine, &tries.of_session(Purpose::Password, token_id), password, Some(&kept))?;
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(anyhow::Error::from)?;
    let secret = Secret::from(bytes.to_vec());
    let sealed = seal::seal_text(&secret.to_base32(), &context(account_id), &steps.engine.keys)?;
    let now = steps.now;
    let state = steps.engine.central.write(move |db| {
        if find(db, account_id)?.enabled {
            return Err(Error::refused(
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
    enrollment(steps.engine, state, &account, secret)
}

/// An enrollment that waits for its first code.
fn enrollment(engine: &Engine, state: SecondFactor, account: &Account, secret: Secret) -> Result<Enrollment> {
    let shown = secret.to_base32();
    let issuer = format!("cx-engine {}", engine.config.central_domain);
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
pub fn begun_enrollment(steps: &Steps<'_>, account_id: i64) -> Result<Option<Enrollment>> {
    let (engine, now) = (Arc::clone(steps.engine), steps.now);
    let found = steps.engine.central.read(move |db| {
        let secret = unconfirmed(db, &engine.keys, account_id, now)?;
        Ok::<_, Error>((find(db, account_id)?, accounts::find(db, account_id)?, secret))
    })?;
    let (state, account, Some(secret)) = found else { return Ok(None) };
    enrollment(steps.engine, state, &account, secret).map(Some)
}

/// The second step: checks a code.
pub fn finish_enrollment(steps: &Steps<'_>, tries: &Tries, account_id: i64, code: &str) -> Result<Enrollment> {
    let tries = tries.of_account(Purpose::SecondFactor, account_id);
    tries.check()?;
    let (engine, origin, code) = (Arc::clone(steps.engine), steps.call.origin().by(account_id), code.to_owned());
    let done = steps.engine.central.write(move |db| {
        let Some(secret) = unconfirmed(db, &engine.keys, account_id, origin.at)? else {
            return Err(Error::refused("no_enrollment", "No enrollment was started. Start with your password."));
        };
        let Some(step) = totp(secret)?.check(&digits(&code), seconds(origin.at)) else { return Ok(None) };
        db.prepare_cached("UPDATE second_factors SET confirmed_at = ?2, last_step = ?3 WHERE account_id = ?1")?
            .execute((account_id, origin.at, step.cast_signed()))?;
        let codes = make_recovery_codes(db, account_id)?;
        audit_log::record(db, &origin, Event::new("second_factor.enabled").about(account_id))?;
        notices::put(db, account_id, &About::SecondFactorEnabled, &origin)?;
        Ok(Some((find(db, account_id)?, codes)))
    })?;
    let Some((state, codes)) = done else {
        tries.count();
        return Err(Error::invalid("The selected code is invalid."));
    };
    tries.forgive();
    Ok(Enrollment { state, secret: None, otpauth_url: None, qr_code: None, recovery_codes: Some(codes) })
}

fn disable(steps: &Steps<'_>, tries: Tries, Json(given): Json<Disabling>) -> Result<Done> {
    remove(steps, &tries, steps.token()?, &given).map(|()| Done)
}

/// Removes the second factor of the token's owner.
pub fn remove(steps: &Steps<'_>, tries: &Tries, token: &TokenInUse, given: &Disabling) -> Result<()> {
    let (account_id, token_id) = (token.account_id, token.id);
    let (_, kept) = steps.engine.central.account_with_password(account_id)?;
    let password = tries.of_session(Purpose::Password, token_id);
    credentials::compare(steps.engine, &password, &given.current_password, Some(&kept))?;
    with_code(steps, tries, account_id, &given.code, move |db, origin| {
        delete_factor(db, account_id)?;
        audit_log::record(db, origin, Event::new("second_factor.disabled").about(account_id))?;
        notices::put(db, account_id, &About::SecondFactorDisabled, origin)
    })
}

fn renew_recovery_codes(steps: &Steps<'_>, tries: Tries, Json(given): Json<Proof>) -> Result<Created<RecoveryCodes>> {
    let recovery_codes = renew(steps, &tries, steps.token()?.account_id, &given.code)?;
    Ok(Created(RecoveryCodes { recovery_codes }))
}

/// Replaces the recovery codes of an account. Requires a code.
pub fn renew(steps: &Steps<'_>, tries: &Tries, account_id: i64, code: &str) -> Result<Vec<String>> {
    with_code(steps, tries, account_id, code, move |db, origin| {
        let codes = make_recovery_codes(db, account_id)?;
        audit_log::record(db, origin, Event::new("recovery_codes.created").about(account_id))?;
        notices::put(db, account_id, &About::RecoveryCodesCreated, origin)?;
        Ok(codes)
    })
}

fn reset_by_operator(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    accounts::find(ctx.db, id)?;
    reset(ctx.db, id, &ctx.call.origin())?;
    Ok(Done)
}

/// Removes the second factor of a person who has lost it.
fn reset(db: &Connection, account_id: i64, origin: &Origin) -> Result<()> {
    if !find(db, account_id)?.enabled {
        return Err(no_factor());
    }
    delete_factor(db, account_id)?;
    audit_log::record(db, origin, Event::new("second_factor.reset").about(account_id))?;
    notices::put(db, account_id, &About::SecondFactorReset, origin)
}

/// Runs an action that requires a code of the caller. The code is used up.
fn with_code<T: Send + 'static>(
    steps: &Steps<'_>,
    tries: &Tries,
    account_id: i64,
    code: &str,
    mut work: impl FnMut(&Connection, &Origin) -> Result<T> + Send + 'static,
) -> Result<T> {
    let tries = tries.of_account(Purpose::SecondFactor, account_id);
    tries.check()?;
    let (engine, origin, code) = (Arc::clone(steps.engine), steps.call.origin().by(account_id), code.to_owned());
    let done = steps.engine.central.write(move |db| {
        if !find(db, account_id)?.enabled {
            return Err(no_factor());
        }
        if !use_code(db, &engine.keys, account_id, &code, origin.at)? {
            return Ok(None);
        }
        work(db, &origin).map(Some)
    })?;
    let Some(done) = done else {
        tries.count();
        return Err(Error::WrongCode);
    };
    tries.forgive();
    Ok(done)
}

/// Rejects a login with a challenge, if the account has a second factor.
pub fn challenge(steps: &Steps<'_>, account_id: i64, workspace: Option<Uuid>) -> Result<()> {
    if !steps.engine.central.second_factor(account_id)?.enabled {
        return Ok(());
    }
    let (challenge, now) = (secret::make()?, steps.now);
    let digest = secret::digest(&challenge);
    steps.engine.central.write(move |db| {
        db.prepare_cached("DELETE FROM login_challenges WHERE expires_at <= ?1")?.execute([now])?;
        db.prepare_cached(
            "INSERT INTO login_challenges (digest, account_id, workspace_id, expires_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((digest, account_id, workspace.map(|id| id.to_string()), now.plus(CHALLENGE_TTL)))?;
        Ok::<_, Error>(())
    })?;
    Err(Error::SecondFactorRequired(challenge))
}

/// The result of a code.
enum Tried {
    Right,
    Wrong,
    /// The challenge has expired or has no attempts left.
    Over,
}

/// Checks a code for a challenge that was issued on the same workspace host, or on the central host.
pub fn answer(steps: &Steps<'_>, tries: &Tries, given: &Answer, workspace: Option<Uuid>) -> Result<Challenge> {
    let (digest, now) = (secret::digest(&given.challenge), steps.now);
    let account_id: Option<i64> = steps.engine.central.read(move |db| {
        let sql =
            "SELECT account_id FROM login_challenges WHERE digest = ?1 AND workspace_id IS ?2 AND expires_at > ?3";
        let workspace = workspace.map(|id| id.to_string());
        Ok::<_, Error>(db.prepare_cached(sql)?.query_row((digest, workspace, now), |row| row.get(0)).optional()?)
    })?;
    let account_id = account_id.ok_or(Error::WrongChallenge)?;
    let tries = tries.of_account(Purpose::SecondFactor, account_id);
    tries.check()?;
    let (engine, origin, code) = (Arc::clone(steps.engine), steps.call.origin(), given.code.clone());
    let tried = steps.engine.central.write(move |db| {
        let attempts: Option<i64> = db
            .prepare_cached("UPDATE login_challenges SET attempts = attempts + 1 WHERE digest = ?1 RETURNING attempts")?
            .query_row([digest], |row| row.get(0))
            .optional()?;
        let end = || db.prepare_cached("DELETE FROM login_challenges WHERE digest = ?1")?.execute([digest]);
        // Another attempt completed the challenge first.
        let Some(attempts) = attempts else { return Ok::<_, Error>(Tried::Over) };
        if use_code(db, &engine.keys, account_id, &code, origin.at)? {
            end()?;
            return Ok(Tried::Right);
        }
        let event = Event::new("login.failed").about(account_id).with(json!({"reason": "second_factor"}));
        audit_log::record(db, &origin, event)?;
        if attempts >= CHALLENGE_ATTEMPTS {
            end()?;
        }
        Ok(Tried::Wrong)
    })?;
    match tried {
        Tried::Right => {
            tries.forgive();
            Ok(Challenge { account_id })
        }
        Tried::Wrong => {
            tries.count();
            Err(Error::WrongCode)
        }
        Tried::Over => Err(Error::WrongChallenge),
    }
}

/// Uses up a code from the app or a recovery code. Returns whether the code was valid.
fn use_code(db: &Connection, keys: &Keys, account_id: i64, code: &str, now: Timestamp) -> Result<bool> {
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
    /// The second factor of an account, or that there is none.
    pub fn second_factor(&self, account_id: i64) -> Result<SecondFactor> {
        self.read(move |db| find(db, account_id))
    }

    /// Removes the second factor of the account with this address, whose owner has lost it.
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
pub fn reseal(engine: &Arc<Engine>) -> Result<()> {
    let inside = Arc::clone(engine);
    engine.central.write(move |db| {
        let mut statement = db.prepare("SELECT account_id, secret FROM second_factors")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (account_id, sealed) in rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()? {
            let Some(text) = seal::open_text(&sealed, &context(account_id), &inside.keys) else { continue };
            let sealed = seal::seal_text(&text, &context(account_id), &inside.keys)?;
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
    Secret::try_from_base32(seal::open_text(sealed, &context(account_id), keys)?).ok()
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
    Error::refused("no_second_factor", "The account has no second factor.")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::api::Error;
    use crate::auth::Scope;
    use crate::testing::{Answer, App, Bench, Client, PASSWORD};

    fn login(bench: &Bench, host: &str) -> Answer {
        let body = json!({"email": "owner@example.com", "password": PASSWORD});
        bench.nobody().at(host).post("/login", body)
    }

    fn challenge(bench: &Bench, host: &str) -> Value {
        let answer = login(bench, host);
        answer.refused(401, "second_factor_required");
        answer.json()["challenge"].clone()
    }

    fn answer(bench: &Bench, host: &str, challenge: &Value, code: &str) -> Answer {
        bench.nobody().at(host).post("/login/second-factor", json!({"challenge": challenge, "code": code}))
    }

    #[test]
    fn a_login_takes_two_steps_on_both_layers_and_tokens_that_exist_go_on() {
        let bench = Bench::new();
        let (me, key) = (bench.central(), bench.key(&["customer.view"], None));
        let app = App::enroll(&me);
        assert_eq!(app.recovery_codes.len(), 10);
        let said = answer(&bench, "localhost", &challenge(&bench, "localhost"), &app.code()).ok();
        assert_eq!((&said["token_type"], &said["user"]["email"]), (&json!("Bearer"), &json!("owner@example.com")));
        bench.nobody().signed_in(&said).get("/whoami").ok();
        let inside = answer(&bench, "acme.localhost", &challenge(&bench, "acme.localhost"), &app.code()).ok();
        bench.nobody().at("acme.localhost").signed_in(&inside).get("/customers").ok();
        me.get("/whoami").ok();
        key.get("/customers").ok();
        bench.oauth(&["customer.view"], None).get("/customers").ok();
        // A challenge is valid only on the host that issued it.
        let elsewhere = challenge(&bench, "acme.localhost");
        for host in ["localhost", "other.localhost"] {
            answer(&bench, host, &elsewhere, &app.recovery_codes[0]).refused(401, "invalid_challenge");
        }
    }

    #[test]
    fn no_code_is_good_twice() {
        let bench = Bench::new();
        let app = App::enroll(&bench.central());
        let (code, recovery) = (app.code(), app.recovery_codes[0].replace('-', " ").to_uppercase());
        for code in [&code, &recovery] {
            let spaced = format!(" {} {}", &code[..3], &code[3..]);
            answer(&bench, "localhost", &challenge(&bench, "localhost"), &spaced).ok();
            answer(&bench, "localhost", &challenge(&bench, "localhost"), code).refused(401, "invalid_code");
        }
        assert_eq!(bench.central().get("/account/second-factor").ok()["recovery_codes_left"], 9);
    }

    #[test]
    fn a_challenge_is_good_for_five_codes_and_five_minutes_and_once() {
        let bench = Bench::new();
        let app = App::enroll(&bench.central());
        let given = challenge(&bench, "localhost");
        for wrong in ["000000", "x", "000001", "a b", "12345"] {
            answer(&bench, "localhost", &given, wrong).refused(401, "invalid_code");
        }
        answer(&bench, "localhost", &given, &app.recovery_codes[0]).refused(401, "invalid_challenge");
        let old = challenge(&bench, "localhost");
        let sql = "UPDATE login_challenges SET expires_at = expires_at - 301";
        bench.engine.central.write(move |db| Ok::<_, Error>(db.execute(sql, [])?)).unwrap();
        answer(&bench, "localhost", &old, &app.recovery_codes[0]).refused(401, "invalid_challenge");
        let good = challenge(&bench, "localhost");
        answer(&bench, "localhost", &good, &app.recovery_codes[0]).ok();
        answer(&bench, "localhost", &good, &app.recovery_codes[1]).refused(401, "invalid_challenge");
        answer(&bench, "localhost", &json!("made-up"), &app.recovery_codes[1]).refused(401, "invalid_challenge");
    }

    #[test]
    fn guesses_at_codes_are_throttled_over_all_challenges() {
        let bench = Bench::with(&[("throttle_attempts", "3")]);
        let app = App::enroll(&bench.central());
        for wrong in ["000000", "000001", "000002"] {
            answer(&bench, "localhost", &challenge(&bench, "localhost"), wrong).refused(401, "invalid_code");
        }
        let given = challenge(&bench, "localhost");
        answer(&bench, "localhost", &given, &app.recovery_codes[0]).refused(429, "too_many_requests");
    }

    #[test]
    fn it_is_added_with_the_password_and_a_code_and_removed_with_both() {
        let bench = Bench::new();
        let me = bench.central();
        let enroll = |body: Value| me.post("/account/second-factor", body);
        enroll(json!({})).invalid(&["The current password field is required."]);
        enroll(json!({"current_password": "wrong"})).refused(401, "invalid_credentials");
        enroll(json!({"code": "123456"})).refused(422, "no_enrollment");
        let begun = enroll(json!({"current_password": PASSWORD})).created();
        let url = begun["otpauth_url"].as_str().unwrap();
        assert!(url.starts_with("otpauth://totp/") && url.contains(begun["secret"].as_str().unwrap()), "{url}");
        assert!(begun["qr_code"].as_str().unwrap().starts_with("<svg "), "{begun}");
        enroll(json!({"code": "000000"})).invalid(&["The selected code is invalid."]);
        login(&bench, "localhost").ok();

        let app = App::enroll(&me);
        enroll(json!({"current_password": PASSWORD})).refused(422, "second_factor_enabled");
        let remove = |password: &str, code: &str| {
            me.delete_with("/account/second-factor", json!({"current_password": password, "code": code}))
        };
        remove("wrong", &app.recovery_codes[0]).refused(401, "invalid_credentials");
        remove(PASSWORD, "000000").refused(401, "invalid_code");
        let renewed = me.post("/account/second-factor/recovery-codes", json!({"code": app.code()})).created();
        remove(PASSWORD, &app.recovery_codes[0]).refused(401, "invalid_code");
        remove(PASSWORD, renewed["recovery_codes"][0].as_str().unwrap()).ok();
        assert_eq!(me.get("/account/second-factor").ok()["enabled"], false);
        login(&bench, "localhost").ok();
        remove(PASSWORD, "000000").refused(422, "no_second_factor");
        let subjects: Vec<String> = bench.mails().into_iter().map(|mail| mail.subject).collect();
        for told in ["was added", "recovery codes", "was removed"] {
            assert!(subjects.iter().any(|subject| subject.contains(told)), "{told}: {subjects:?}");
        }
    }

    #[test]
    fn a_workspace_may_require_it_of_its_members() {
        let bench = Bench::new();
        let (agent, key) = (bench.with_role("agent"), bench.key(&["*"], None));
        let central = bench.nobody().with_token(bench.token("agent@example.com", Scope::Central));
        let program = central.post("/tokens", json!({"label": "nightly", "workspace_id": bench.acme.id})).created();
        let app = App::enroll(&bench.central());
        let admin = bench.admin();
        admin.put("/settings", json!({"require_second_factor": true})).created();
        agent.get("/customers").refused(403, "second_factor_required");
        agent.get("/whoami").refused(403, "second_factor_required");
        let enter = |client: &Client<'_>| client.post("/switch-to", json!({"workspace_id": bench.acme.id}));
        enter(&central).refused(403, "second_factor_required");
        let made = json!({"label": "n", "workspace_id": bench.acme.id});
        central.post("/tokens", made).refused(403, "second_factor_required");
        let body = json!({"email": "agent@example.com", "password": PASSWORD});
        bench.nobody().at("acme.localhost").post("/login", body).refused(403, "second_factor_required");
        // Other members are not affected, and neither is the agent in other workspaces or with a second factor.
        admin.get("/customers").ok();
        key.get("/customers").ok();
        bench.nobody().at("acme.localhost").signed_in(&program).get("/customers").ok();
        agent.post("/switch-to", json!({})).ok();
        App::enroll(&central);
        agent.get("/customers").ok();
        enter(&central).ok();
        drop(app);
    }

    #[test]
    fn a_server_may_require_it_of_its_operators() {
        let bench = Bench::with(&[("operator_second_factor", "true")]);
        let me = bench.central();
        for path in ["/instance", "/accounts", "/workspaces?scope=all"] {
            me.get(path).refused(403, "second_factor_required");
        }
        me.get("/workspaces").ok();
        App::enroll(&me);
        for path in ["/instance", "/accounts", "/workspaces?scope=all"] {
            me.get(path).ok();
        }
    }

    #[test]
    fn an_operator_resets_what_somebody_has_lost_and_the_log_says_so() {
        let bench = Bench::new();
        let stranger = bench.stranger();
        App::enroll(&stranger);
        let id = stranger.get("/whoami").ok()["user"]["id"].clone();
        let path = format!("/accounts/{id}/second-factor");
        stranger.delete(&path).refused(403, "forbidden");
        bench.central().delete(&path).ok();
        bench.central().delete(&path).refused(422, "no_second_factor");
        bench.central().delete("/accounts/999/second-factor").refused(404, "not_found");
        let log = stranger.get("/audit-log?filter[action]=second_factor.reset").ok();
        let entry = &log["data"][0];
        assert_eq!((&entry["actor"]["email"], &entry["account"]["id"]), (&json!("owner@example.com"), &id));
        assert_eq!(bench.mails().pop().unwrap().to.to_string(), "stranger@example.com");
    }

    #[test]
    fn it_outlives_the_keys_that_sealed_it() {
        let bench = Bench::new();
        let app = App::enroll(&bench.central());
        bench.engine.keys.make(crate::values::Timestamp::now()).unwrap();
        super::reseal(&bench.engine).unwrap();
        bench.engine.keys.retire().unwrap();
        answer(&bench, "localhost", &challenge(&bench, "localhost"), &app.code()).ok();
    }
}

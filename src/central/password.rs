//! Password reset: a code is mailed on request, and allows choosing a new password once.
//!
//! The response does not reveal whether an address has an account. The request is only stored, and the mail job handles
//! it later. The response and its duration are therefore always the same.

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::audit_log::{self, Event};
use super::mails::PasswordReset;
use super::notices::{self, About};
use super::{accounts, credentials, email_verification, outbox, second_factor};
use crate::api::resource::Resource;
use crate::api::{Done, Error, Json, Needs, Result, Route, Steps, Tries, hashing, post, steps};
use crate::auth::{Origin, Purpose, secret};
use crate::engine::Engine;
use crate::storage::uuid_column;
use crate::tenancy::{Central, grants};

use crate::values::{Email, Name, Password, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Password", "Reset a forgotten password with a mailed code.", ROUTES).french("Mot de passe");

const ROUTES: &[Route] = &[
    post("/password/forgot", &steps(forgot), Needs::Anyone, "Request a password reset code by mail")
        .named("forgotPassword"),
    post("/password/reset", &hashing(reset), Needs::Anyone, "Set a new password with a mailed code")
        .named("resetPassword"),
];

/// Lifetime of a code, in seconds.
const CODE_TTL: i64 = 3600;

/// Maximum requests per round.
const MOST: u32 = 100;

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ForgottenPassword")]
#[serde(default)]
pub struct Forgotten {
    /// Email address of the account.
    email: Email,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PasswordReset")]
#[serde(default)]
pub struct Resetting {
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
struct Request {
    id: i64,
    email: Email,
    /// The public URL of the central host at the time of the request.
    url: String,
}

fn forgot(steps: &Steps<'_>, tries: Tries, Json(forgotten): Json<Forgotten>) -> Result<Done> {
    let tries = tries.of(Purpose::Mail, &forgotten.email);
    tries.check()?;
    // Each request may send a mail to a person who did not ask for it.
    tries.count();
    let url = steps.engine.public_url().central();
    let now = steps.now;
    steps.engine.central.write(move |db| {
        db.prepare_cached("INSERT INTO password_requests (email, url, created_at) VALUES (?1, ?2, ?3)")?.execute((
            &forgotten.email,
            &url,
            now,
        ))?;
        Ok::<_, Error>(())
    })?;
    Ok(Done)
}

fn reset(steps: &Steps<'_>, tries: Tries, Json(resetting): Json<Resetting>) -> Result<Done> {
    choose(steps, tries, resetting).map(|()| Done)
}

/// Sets a new password for the account of a code.
pub fn choose(steps: &Steps<'_>, tries: Tries, resetting: Resetting) -> Result<()> {
    let (email, digest, now) = (resetting.email, secret::digest(&resetting.code), steps.now);
    let (asked, tries) = (email.clone(), tries.of(Purpose::Code, &email));
    tries.check()?;
    // The code is checked before the password is hashed, because hashing is expensive. The write checks the code again.
    let account = steps.engine.central.read(move |db| match opens(db, &digest, &asked, now)? {
        Some(account_id) => accounts::find(db, account_id).map(Some),
        None => Ok(None),
    })?;
    let Some(account) = account else {
        tries.count();
        return Err(wrong_code());
    };
    let hash = steps.engine.hash_password(&resetting.password, &account.email, &account.name)?;
    let origin = steps.call.origin();
    steps.engine.central.write(move |db| {
        let account_id = opens(db, &digest, &email, now)?.ok_or_else(wrong_code)?;
        let is_proven = accounts::find(db, account_id)?.email_verified;
        if !is_proven {
            // The person who added the factor never verified the address, so the factor may be an attacker's.
            second_factor::delete_factor(db, account_id)?;
        }
        // The new hash deletes all codes of the account by a trigger, including this one.
        accounts::set_password_hash(db, account_id, &hash, now)?;
        credentials::revoke_all(db, account_id, None, now)?;
        outdate_grants(db, account_id)?;
        email_verification::prove_by_reset(db, account_id)?;
        audit_log::record(db, &origin, Event::new("password.reset").about(account_id))?;
        notices::put(db, account_id, &About::PasswordChanged, &origin)
    })?;
    tries.forgive();
    end_grants_now(steps.engine, steps.now);
    Ok(())
}

impl Central {
    /// Gives an account another password and revokes its tokens; answers how many. For an operator.
    pub fn set_password(&self, account_id: i64, hash: String, origin: Origin) -> Result<usize> {
        self.write(move |db| {
            accounts::set_password_hash(db, account_id, &hash, origin.at)?;
            outdate_grants(db, account_id)?;
            audit_log::record(db, &origin, Event::new("password.changed").about(account_id))?;
            notices::put(db, account_id, &About::PasswordChanged, &origin)?;
            Ok(credentials::revoke_all(db, account_id, None, origin.at)?)
        })
    }

    /// The same for the account of a demo, of which nobody is told.
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
pub fn outdate_grants(db: &Connection, account_id: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO grants_to_end (account_id, workspace_id)
         SELECT account_id, workspace_id FROM memberships WHERE account_id = ?1",
    )?
    .execute([account_id])?;
    Ok(())
}

/// Ends the marked grants, one workspace at a time. If a workspace is in the trash or cannot be written, a later round
/// of the jobs retries it.
pub fn end_grants(engine: &Engine, now: Timestamp) -> Result<()> {
    let outdated: Vec<(i64, i64, Uuid)> = engine.central.read(|db| {
        let mut statement = db.prepare_cached(
            "SELECT grants_to_end.id, account_id, workspace_id
             FROM grants_to_end JOIN workspaces ON workspaces.id = workspace_id
             WHERE status IN ('active', 'suspended')",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, uuid_column(row, 2)?)))?;
        Ok::<_, Error>(rows.collect::<rusqlite::Result<_>>()?)
    })?;
    let mut result = Ok(());
    for (id, account_id, workspace) in outdated {
        let (lease, author) = (engine.registry.lease(workspace), engine.system(workspace, now));
        let ended = lease.file().write(move |db| Ok::<_, Error>(grants::end_all_of(db, &author, account_id)?));
        let noted = ended.and_then(|()| {
            engine.central.write(move |db| {
                db.prepare_cached("DELETE FROM grants_to_end WHERE id = ?1")?.execute([id])?;
                Ok(())
            })
        });
        result = result.and(noted);
    }
    result
}

/// Ends the marked grants at once. The change of password stands even if this fails.
pub fn end_grants_now(engine: &Engine, now: Timestamp) {
    if let Err(error) = end_grants(engine, now) {
        tracing::warn!(%error, "could not end some OAuth grants after a password change; they are ended later");
    }
}

/// Mails a code for each request whose address has an account. Deletes the other requests.
pub fn answer_requests(engine: &Engine, now: Timestamp) -> Result<()> {
    let requests = engine.central.read(|db| Ok::<_, Error>(requests(db)?))?;
    if requests.is_empty() {
        return Ok(());
    }
    engine.central.write(move |db| {
        db.prepare_cached("DELETE FROM password_codes WHERE expires_at <= ?1")?.execute([now])?;
        for request in &requests {
            if let Some((account, _)) = accounts::find_by_email(db, &request.email)? {
                let code = make_code(db, account.id, now)?;
                let reset =
                    PasswordReset { name: account.name, url: link(request, &code), expires_at: now.plus(CODE_TTL) };
                // Sent to the address of the account, which may differ in case from the requested one.
                outbox::put(db, &reset.mail(account.email.parse().map_err(Error::Internal)?)?, now)?;
            }
            db.prepare_cached("DELETE FROM password_requests WHERE id = ?1")?.execute([request.id])?;
        }
        Ok(())
    })
}

/// Creates a code for an account and stores its digest.
fn make_code(db: &Connection, account_id: i64, now: Timestamp) -> Result<String> {
    let code = secret::make()?;
    db.prepare_cached("INSERT INTO password_codes (digest, account_id, expires_at) VALUES (?1, ?2, ?3)")?.execute((
        secret::digest(&code),
        account_id,
        now.plus(CODE_TTL),
    ))?;
    Ok(code)
}

/// The account of a valid code, if the account has this address.
fn opens(db: &Connection, digest: &[u8; 32], email: &str, now: Timestamp) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(
        "SELECT a.id FROM password_codes c JOIN accounts a ON a.id = c.account_id
         WHERE c.digest = ?1 AND a.email = ?2 AND c.expires_at > ?3",
    )?
    .query_row((digest, email, now), |row| row.get(0))
    .optional()
}

fn requests(db: &Connection) -> rusqlite::Result<Vec<Request>> {
    db.prepare_cached("SELECT id, email, url FROM password_requests ORDER BY id LIMIT ?1")?
        .query_map([MOST], |row| Ok(Request { id: row.get(0)?, email: row.get(1)?, url: row.get(2)? }))?
        .collect()
}

/// The URL of the page to choose a new password.
fn link(request: &Request, code: &str) -> String {
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
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::answer_requests;
    use crate::auth::{Origin, Scope};
    use crate::central::workspaces;
    use crate::jobs::{self, mail};
    use crate::testing::{Answer, App, Bench, Client, PASSWORD};
    use crate::values::Timestamp;

    const NEW: &str = "quite-another-one";

    /// The mailed codes, oldest first.
    fn mailed(bench: &Bench) -> Vec<String> {
        let code = |text: &str| {
            text.split_once("&code=").and_then(|(_, code)| code.split_whitespace().next()).map(str::to_owned)
        };
        bench.mails().iter().filter_map(|mail| code(&mail.text)).collect()
    }

    fn forgot(bench: &Bench, email: &str) -> Value {
        bench.nobody().post("/password/forgot", json!({"email": email})).ok()
    }

    fn reset(bench: &Bench, email: &str, code: &str) -> Answer {
        bench.nobody().post("/password/reset", json!({"email": email, "code": code, "password": NEW}))
    }

    fn login(bench: &Bench, password: &str) -> Answer {
        bench.nobody().post("/login", json!({"email": "owner@example.com", "password": password}))
    }

    #[test]
    fn a_code_that_was_mailed_sets_a_new_password_once_and_ends_every_token() {
        let bench = Bench::new();
        let old = bench.central();
        forgot(&bench, "OWNER@example.com");
        let code = mailed(&bench).pop().unwrap();
        reset(&bench, "owner@example.com", &code).ok();
        old.get("/whoami").refused(401, "token_revoked");
        login(&bench, PASSWORD).refused(401, "invalid_credentials");
        login(&bench, NEW).ok();
        reset(&bench, "owner@example.com", &code).invalid(&["The selected code is invalid."]);
    }

    /// A stranger registered with another person's address. That person takes the account over by mail.
    #[test]
    fn a_code_that_comes_back_verifies_the_address_and_drops_what_was_set_up_before() {
        let bench = Bench::new();
        let squatter = json!({"name": "S", "email": "ceo@acme.test", "password": PASSWORD});
        let squatter = bench.nobody().signed_in(&bench.nobody().post("/register", squatter).created());
        App::enroll(&squatter);
        squatter.put("/account", json!({"email": "mine@example.com", "current_password": PASSWORD})).created();
        forgot(&bench, "ceo@acme.test");
        let code = mailed(&bench).pop().unwrap();
        reset(&bench, "ceo@acme.test", &code).ok();
        squatter.get("/whoami").refused(401, "token_revoked");
        let login = bench.nobody().post("/login", json!({"email": "ceo@acme.test", "password": NEW})).ok();
        assert_eq!(login["user"]["email_verified"], true);
        assert_eq!(login["user"].get("pending_email"), None);
    }

    /// A program that a member of Acme approved.
    fn approved<'bench>(bench: &'bench Bench, email: &str) -> Client<'bench> {
        let body = json!({
            "name": "P", "redirect_uris": ["https://example.com/"], "grants": ["authorization_code"],
            "scopes": ["customer.view"],
        });
        let client = bench.admin().post("/oauth-clients", body).created();
        let id = client["client_id"].as_str().unwrap();
        let query = format!("client_id={id}&redirect_uri=https%3A%2F%2Fexample.com%2F&response_type=code");
        let code = bench.approve(email, &format!("/oauth/authorize?{query}"));
        let exchange = json!({
            "grant_type": "authorization_code", "code": code, "redirect_uri": "https://example.com/",
            "client_id": id, "client_secret": client["client_secret"],
        });
        let program = bench.nobody().at("acme.localhost");
        let token = program.post("/oauth/token", exchange).ok()["access_token"].as_str().unwrap().to_owned();
        program.with_token(token)
    }

    fn change(bench: &Bench, email: &str) {
        let account = bench.nobody().with_token(bench.token(email, Scope::Central));
        account.put("/account", json!({"password": NEW, "current_password": PASSWORD})).created();
    }

    /// An attacker with the old password may have approved a program.
    #[test]
    fn another_password_ends_what_was_approved_with_the_old_one() {
        let bench = Bench::new();
        bench.with_role("agent");
        let (theirs, mine) = (approved(&bench, "agent@example.com"), approved(&bench, "owner@example.com"));
        mine.get("/customers").ok();
        forgot(&bench, "owner@example.com");
        reset(&bench, "owner@example.com", &mailed(&bench).pop().unwrap()).ok();
        mine.get("/customers").refused(401, "token_revoked");
        theirs.get("/customers").ok();
        change(&bench, "agent@example.com");
        theirs.get("/customers").refused(401, "token_revoked");
    }

    #[test]
    fn another_password_reaches_a_workspace_when_it_comes_out_of_the_trash() {
        let bench = Bench::new();
        let (engine, id, now) = (&bench.engine, bench.acme.id, Timestamp::now());
        bench.with_role("agent");
        let program = approved(&bench, "agent@example.com");
        bench.central().delete_with(&format!("/workspaces/{id}"), json!({"subdomain": "acme"})).ok();
        change(&bench, "agent@example.com");
        jobs::round(engine, now, true).unwrap();
        workspaces::restore(engine, id, None, &Origin::system(now)).unwrap();
        jobs::round(engine, now, false).unwrap();
        program.get("/customers").refused(401, "token_revoked");
    }

    /// For a damaged file, the grants end after the repair. Meanwhile the trash is emptied.
    #[test]
    fn a_workspace_that_cannot_be_written_holds_up_no_other_work() {
        let bench = Bench::new();
        let (engine, now) = (&bench.engine, Timestamp::now());
        bench.with_role("agent");
        let other = bench.other.id;
        bench.central().delete_with(&format!("/workspaces/{other}"), json!({"subdomain": "other"})).ok();
        let path = engine.registry.path(bench.acme.id);
        engine.registry.close(bench.acme.id, Duration::from_secs(5)).unwrap();
        std::fs::write(&path, [0x55; 8192]).unwrap();
        change(&bench, "agent@example.com");
        let error = jobs::round(engine, now.plus(31 * 86_400), true).unwrap_err();
        assert_eq!(error.status(), 503);
        assert!(!engine.trash_path(other).exists());
    }

    #[test]
    fn a_second_factor_of_a_verified_account_outlives_a_forgotten_password() {
        let bench = Bench::new();
        let app = App::enroll(&bench.central());
        forgot(&bench, "owner@example.com");
        reset(&bench, "owner@example.com", &mailed(&bench).pop().unwrap()).ok();
        let answer = login(&bench, NEW);
        answer.refused(401, "second_factor_required");
        let challenge = answer.json()["challenge"].clone();
        bench.nobody().post("/login/second-factor", json!({"challenge": challenge, "code": app.code()})).ok();
    }

    #[test]
    fn the_link_leads_to_the_public_url_whatever_port_was_asked() {
        let bench = Bench::new();
        bench.nobody().at("localhost:8080").post("/password/forgot", json!({"email": "owner@example.com"})).ok();
        let text = &bench.mails()[0].text;
        assert!(text.contains("http://localhost/ui/password-reset?email=owner%40example.com&code="), "{text}");
    }

    #[test]
    fn who_is_unknown_is_answered_alike_and_mailed_nothing() {
        let bench = Bench::new();
        assert_eq!(forgot(&bench, "nobody@example.com"), forgot(&bench, "owner@example.com"));
        assert_eq!(mailed(&bench).len(), 1);
        mail::round(&bench.engine, Timestamp::now()).unwrap();
        assert_eq!(mailed(&bench).len(), 0, "what was answered is not answered again");
    }

    #[test]
    fn whatever_is_wrong_with_a_code_is_said_alike() {
        let bench = Bench::new();
        bench.with_role("agent");
        forgot(&bench, "owner@example.com");
        let code = mailed(&bench).pop().unwrap();
        for (email, code) in [
            ("nobody@example.com", code.as_str()),
            ("agent@example.com", &code),
            ("owner@example.com", "wrong"),
            ("owner@example.com", &code.to_lowercase()),
        ] {
            reset(&bench, email, code).invalid(&["The selected code is invalid."]);
        }
        let weak = json!({"email": "owner@example.com", "code": code, "password": "password1"});
        let answer = bench.nobody().post("/password/reset", weak);
        answer.invalid(&["The password is too common: choose one that is harder to guess."]);
        reset(&bench, "owner@example.com", &code).ok();
    }

    #[test]
    fn a_code_is_good_for_an_hour() {
        let bench = Bench::new();
        let made_at = |moment: Timestamp| {
            forgot(&bench, "owner@example.com");
            answer_requests(&bench.engine, moment).unwrap();
            mailed(&bench).pop().unwrap()
        };
        let now = Timestamp::now();
        let old = made_at(now.plus(-3601));
        reset(&bench, "owner@example.com", &old).invalid(&["The selected code is invalid."]);
        let young = made_at(now.plus(-3500));
        reset(&bench, "owner@example.com", &young).ok();
    }

    #[test]
    fn guesses_at_a_code_are_throttled() {
        let bench = Bench::with(&[("throttle_attempts", "3")]);
        forgot(&bench, "owner@example.com");
        let code = mailed(&bench).pop().unwrap();
        for wrong in ["one", "two", "three"] {
            reset(&bench, "owner@example.com", wrong).invalid(&["The selected code is invalid."]);
        }
        reset(&bench, "owner@example.com", &code).refused(429, "too_many_requests");
    }

    #[test]
    fn nobody_is_mailed_without_end() {
        let bench = Bench::with(&[("throttle_attempts", "2")]);
        let ask = |email: &str| bench.nobody().post("/password/forgot", json!({"email": email}));
        ask("owner@example.com").ok();
        ask("nobody@example.com").ok();
        ask("owner@example.com").refused(429, "too_many_requests");
        assert_eq!(mailed(&bench).len(), 1);
    }

    #[test]
    fn another_password_or_address_ends_the_codes_of_before() {
        let bench = Bench::new();
        forgot(&bench, "owner@example.com");
        forgot(&bench, "owner@example.com");
        let codes = mailed(&bench);
        reset(&bench, "owner@example.com", &codes[0]).ok();
        reset(&bench, "owner@example.com", &codes[1]).invalid(&["The selected code is invalid."]);

        forgot(&bench, "owner@example.com");
        let code = mailed(&bench).pop().unwrap();
        let moved = json!({"email": "new@example.com", "current_password": NEW});
        bench.central().put("/account", moved).created();
        bench.verify_email(&bench.central());
        reset(&bench, "new@example.com", &code).invalid(&["The selected code is invalid."]);
    }
}

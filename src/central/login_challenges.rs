//! The second step of a login: a challenge, which a code of the second factor completes.

use std::sync::Arc;

use http::StatusCode;
use rusqlite::OptionalExtension;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::central_audit_log::{self, CentralAuditEvent};
use super::second_factor;
use crate::api::{BlockingCtx, BodyKind, Error, Input, Json, Operation, RateLimit, Request, Result};
use crate::auth::{Purpose, SignInMethod, secret};
use crate::values::Name;

/// Lifetime of a challenge in seconds, and the number of codes that may be tried with it.
const CHALLENGE_TTL: i64 = 5 * 60;
const CHALLENGE_ATTEMPTS: i64 = 5;

/// The second step of a login.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecondFactorLogin {
    /// The challenge from the first step. Valid for 5 minutes and 5 attempts.
    #[schemars(example = &"k3f97qxm2b8d")]
    pub challenge: Name<100>,
    /// A code from the app, or a recovery code.
    #[schemars(example = &"123456")]
    pub code: Name<40>,
}

/// [`SecondFactorLogin`] as an input. OpenAPI documents its 401, for an expired challenge or a wrong code.
pub struct SecondFactorAttempt(pub SecondFactorLogin);

impl Input for SecondFactorAttempt {
    const BODY: BodyKind = Json::<SecondFactorLogin>::BODY;

    fn read(request: &Request) -> Result<Self> {
        Json::read(request).map(|Json(answer)| Self(answer))
    }

    fn describe(operation: &mut Operation<'_>) {
        Json::<SecondFactorLogin>::describe(operation);
        operation.error_response(StatusCode::UNAUTHORIZED);
    }
}

/// A completed login.
pub struct Challenge {
    pub account_id: i64,
    pub method: SignInMethod,
}

/// Rejects a login with a challenge, if the account has a second factor and the provider checked none.
pub fn challenge(ctx: &BlockingCtx<'_>, account_id: i64, workspace: Option<Uuid>, method: &SignInMethod) -> Result<()> {
    if method.second_factor || !ctx.instance.central.second_factor(account_id)?.enabled {
        return Ok(());
    }
    let (challenge, now) = (secret::random()?, ctx.now);
    let (digest, provider) = (secret::digest(&challenge), method.provider.clone());
    ctx.instance.central.write(move |db| {
        db.prepare_cached("DELETE FROM login_challenges WHERE expires_at <= ?1")?.execute([now])?;
        db.prepare_cached(
            "INSERT INTO login_challenges (digest, account_id, workspace_id, expires_at, provider)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            digest,
            account_id,
            workspace.map(|id| id.to_string()),
            now.plus(CHALLENGE_TTL),
            &provider,
        ))?;
        Ok::<_, Error>(())
    })?;
    Err(Error::SecondFactorRequired(challenge))
}

/// The result of a code.
enum CodeCheck {
    Right,
    Wrong,
    /// The challenge has expired or has no attempts left.
    Over,
}

/// Checks a code for a challenge that was issued on the same workspace host, or on the central host.
pub fn answer(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    given: &SecondFactorLogin,
    workspace: Option<Uuid>,
) -> Result<Challenge> {
    let (digest, now) = (secret::digest(&given.challenge), ctx.now);
    let found: Option<(i64, Option<String>)> = ctx.instance.central.read(move |db| {
        let sql = "SELECT account_id, provider FROM login_challenges
                   WHERE digest = ?1 AND workspace_id IS ?2 AND expires_at > ?3";
        let values = (digest, workspace.map(|id| id.to_string()), now);
        Ok::<_, Error>(db.prepare_cached(sql)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    })?;
    let (account_id, provider) = found.ok_or(Error::WrongChallenge)?;
    let tries = rate_limit.for_account(Purpose::SecondFactor, account_id);
    tries.check()?;
    let (instance, origin, code) = (Arc::clone(ctx.instance), ctx.request.origin(), given.code.clone());
    let tried = ctx.instance.central.write(move |db| {
        let attempts: Option<i64> = db
            .prepare_cached("UPDATE login_challenges SET attempts = attempts + 1 WHERE digest = ?1 RETURNING attempts")?
            .query_row([digest], |row| row.get(0))
            .optional()?;
        let end = || db.prepare_cached("DELETE FROM login_challenges WHERE digest = ?1")?.execute([digest]);
        // Another attempt completed the challenge first.
        let Some(attempts) = attempts else { return Ok::<_, Error>(CodeCheck::Over) };
        if second_factor::use_code(db, &instance.keys, account_id, &code, origin.at)? {
            end()?;
            return Ok(CodeCheck::Right);
        }
        let event = CentralAuditEvent::new("login.failed").about(account_id).with(json!({"reason": "second_factor"}));
        central_audit_log::record(db, &origin, event)?;
        if attempts >= CHALLENGE_ATTEMPTS {
            end()?;
        }
        Ok(CodeCheck::Wrong)
    })?;
    match tried {
        CodeCheck::Right => {
            tries.reset();
            Ok(Challenge { account_id, method: SignInMethod { provider, second_factor: false } })
        }
        CodeCheck::Wrong => {
            tries.count();
            Err(Error::WrongCode)
        }
        CodeCheck::Over => Err(Error::WrongChallenge),
    }
}

//! The hand-over of a browser from the central host to a workspace: a code that the central host issues and that the
//! workspace exchanges for a session.
//!
//! The code is bound to the central session, to the workspace and to the browser's visit of the workspace. A stolen
//! code is useless in another browser. The new session is switched from the central one: it ends with that one, and no
//! later.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::account_session::{self, LoginToken};
use super::credentials::{Issued, TokenSpec};
use crate::api::{BlockingCtx, Error, Result, require_active};
use crate::auth::{SignInMethod, TokenScope, secret};
use crate::values::Timestamp;

/// Lifetime of a code, in seconds.
const CODE_TTL: i64 = 60;

/// A session in a workspace that a code began.
pub struct Entered {
    pub issued: Issued,
    pub account_id: i64,
    pub method: SignInMethod,
}

/// A valid code.
struct EntryCode {
    token_id: i64,
    account_id: i64,
    /// The end of the central session.
    expires_at: Timestamp,
    method: SignInMethod,
}

/// Issues a code for the session of the request, whose account is a member of the workspace.
pub fn issue_code(ctx: &BlockingCtx<'_>, workspace: Uuid, visit: String) -> Result<String> {
    require_active(ctx.instance.directory.current(&ctx.instance.keys)?.by_id(workspace)?)?;
    let (code, now, token_id) = (secret::random()?, ctx.now, ctx.token()?.id);
    let digest = secret::digest(&code);
    ctx.instance.central.write(move |db| {
        db.prepare_cached("DELETE FROM entry_codes WHERE expires_at <= ?1")?.execute([now])?;
        db.prepare_cached(
            "INSERT INTO entry_codes (digest, token_id, workspace_id, visit, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((digest, token_id, workspace.to_string(), &visit, now.plus(CODE_TTL)))?;
        Ok::<_, Error>(())
    })?;
    Ok(code)
}

/// Exchanges a code for a session in the workspace. Returns `None` if the code is not valid here.
pub fn enter(
    ctx: &BlockingCtx<'_>,
    code: &str,
    workspace: Uuid,
    visit: &str,
    login: LoginToken,
) -> Result<Option<Entered>> {
    let (digest, now, visit) = (secret::digest(code), ctx.now, visit.to_owned());
    let asked = visit.clone();
    let found = ctx.instance.central.read(move |db| Ok::<_, Error>(find(db, &digest, workspace, &asked, now)?))?;
    let Some(EntryCode { account_id, method, .. }) = found else { return Ok(None) };
    account_session::admit(ctx, account_id, workspace, &method)?;
    let (inside, origin) = (Arc::clone(ctx.instance), ctx.request.origin().by(account_id));
    ctx.instance.central.write(move |db| {
        // The code may have been used, or the central session revoked, since the first look.
        let Some(code) = find(db, &digest, workspace, &visit, now)? else { return Ok(None) };
        db.prepare_cached("DELETE FROM entry_codes WHERE digest = ?1")?.execute([digest])?;
        let scope = TokenScope::Workspace(workspace);
        let spec = TokenSpec {
            parent_id: Some(code.token_id),
            latest: Some(code.expires_at),
            method: code.method.clone(),
            ..TokenSpec::is_session(code.account_id, scope, login.label, login.ttl)
        };
        let issued = account_session::issue_for_login(db, &inside, &spec, &origin)?;
        Ok::<_, Error>(Some(Entered { issued, account_id: code.account_id, method: code.method }))
    })
}

/// The code, if it is valid for this visit of the workspace and its session still exists.
fn find(
    db: &Connection,
    digest: &[u8; 32],
    workspace: Uuid,
    visit: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<EntryCode>> {
    db.prepare_cached(
        "SELECT t.id, t.account_id, t.expires_at, t.provider, t.provider_second_factor FROM entry_codes c JOIN tokens t ON t.id = c.token_id
         WHERE c.digest = ?1 AND c.workspace_id = ?2 AND c.visit = ?3 AND c.expires_at > ?4
           AND t.revoked_at IS NULL AND t.expires_at > ?4",
    )?
    .query_row((digest, workspace.to_string(), visit, now), |row| {
        let method = SignInMethod { provider: row.get(3)?, second_factor: row.get(4)? };
        Ok(EntryCode { token_id: row.get(0)?, account_id: row.get(1)?, expires_at: row.get(2)?, method })
    })
    .optional()
}

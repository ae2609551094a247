//! Executes a request on a thread: identifies the caller, checks preconditions, replays a stored response or runs the
//! handler, and tags the response.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use rusqlite::Connection;

use super::call::Call;
use super::conditions::{self, Tag};
use super::disclosure;
use super::error::{Error, Result};
use super::handler::Inputs;
use super::idempotency::Attempt;
use super::reply::{Answer, Content};
use super::route::Needs;
use crate::auth::Who;

/// Executes a request in a turn of the layer's file. Everything is in one transaction, so a response is stored exactly
/// if its change is.
pub fn in_turn(call: &Arc<Call>, inputs: Inputs, db: &Connection) -> Result<Answer> {
    let who = call.identify(db)?;
    check_unchanged(call, &who, db)?;
    let attempt = Attempt::of(call, &who)?;
    if let Some(attempt) = attempt
        && let Some(first) = attempt.replay(call, db)?
    {
        return Ok(first);
    }
    let answer = answered(call, inputs, &who, Some(db))?;
    if let Some(attempt) = attempt
        && let Some(kept) = attempt.kept(&answer)
    {
        attempt.keep(call, &kept, db)?;
    }
    tagged(call, &who, answer)
}

/// Executes a request outside the lanes. The caller and the precondition are checked in a turn of their own before the
/// handler runs, so a change between that turn and the handler goes unnoticed.
pub fn beside(call: &Arc<Call>, inputs: Inputs) -> Result<Answer> {
    let who = match call.route.needs {
        Needs::Anyone => Who::Outsider,
        _ => {
            let inside = Arc::clone(call);
            call.file().read(move |db| {
                let who = inside.identify(db)?;
                check_unchanged(&inside, &who, db)?;
                Ok::<_, Error>(who)
            })?
        }
    };
    let answer = match Attempt::of(call, &who)? {
        Some(attempt) => once(call, inputs, &who, attempt)?,
        None => answered(call, inputs, &who, None)?,
    };
    tagged(call, &who, answer)
}

/// Runs the handler outside the lanes, unless a response is stored. The response is stored in a turn of its own
/// afterwards. No other request with the same key runs meanwhile, so the work is not done twice.
fn once(call: &Arc<Call>, inputs: Inputs, who: &Who, attempt: Attempt) -> Result<Answer> {
    let _running = attempt.begin(&call.engine)?;
    let inside = Arc::clone(call);
    if let Some(first) = call.file().read(move |db| attempt.replay(&inside, db))? {
        return Ok(first);
    }
    let answer = answered(call, inputs, who, None)?;
    if let Some(kept) = attempt.kept(&answer) {
        let inside = Arc::clone(call);
        // The work is done, so the response is sent even if it could not be stored.
        if let Err(error) = call.file().write(move |db| attempt.keep(&inside, &kept, db)) {
            tracing::warn!(%error, "could not store a response: a repeat of this request will run again");
        }
    }
    Ok(answer)
}

/// Checks `If-Match` and `If-None-Match` against the tag of the resource that `GET` of the same path shows (RFC 9110,
/// 13.2.2).
fn check_unchanged(call: &Arc<Call>, who: &Who, db: &Connection) -> Result<()> {
    if !conditions::are_set(&call.headers) || ![Method::PUT, Method::DELETE].contains(&call.route.method) {
        return Ok(());
    }
    let Some(shows) = call.router.shows(call.layer, call.route) else { return Ok(()) };
    let shown = shows.handler.answer(call, shows.handler.read(call), who, Some(db))?;
    let Content::Whole(body) = shown.body() else { return Ok(()) };
    let tag = Tag::of(body);
    match (conditions::match_for(&call.headers, &tag)?, conditions::know(&call.headers, &tag)?) {
        (false, _) => Err(Error::Stale),
        (true, true) => Err(Error::NotAbsent),
        (true, false) => Ok(()),
    }
}

/// The handler's response, limited to what the caller may see.
fn answered(call: &Arc<Call>, inputs: Inputs, who: &Who, db: Option<&Connection>) -> Result<Answer> {
    disclosure::limited(call, who, call.route.handler.answer(call, inputs, who, db)?)
}

/// Adds the tag if the response equals that of `GET` of the path. Removes the body if the caller has it already.
fn tagged(call: &Call, who: &Who, mut answer: Answer) -> Result<Answer> {
    let resource = call.route.handler.resource();
    let is_shown = match call.route.method {
        Method::GET => resource.is_some(),
        Method::PUT => {
            let shows = call.router.shows(call.layer, call.route);
            let is_same = shows.is_some_and(|shows| shows.handler.resource() == resource);
            resource.is_some() && is_same && disclosure::is_whole(call, who)
        }
        _ => false,
    };
    let tag = match answer.body() {
        Content::Whole(body) if is_shown => Tag::of(body),
        _ => return Ok(answer),
    };
    answer.headers_mut().insert(header::ETAG, tag.header()?);
    if call.route.method != Method::GET {
        return Ok(answer);
    }
    if !conditions::match_for(&call.headers, &tag)? {
        return Err(Error::Stale);
    }
    if conditions::know(&call.headers, &tag)? {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().remove(header::CONTENT_TYPE);
        *answer.body_mut() = Content::Whole(Bytes::new());
    }
    Ok(answer)
}

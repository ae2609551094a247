//! A call performed on a thread: who calls, whether what the caller has seen is still so, whether the same was done
//! before, the handler, and the tag by which its answer is known.

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

/// In a turn of the layer's file: all of it in one transaction, so an answer is kept if what it tells of is, and only then.
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

/// Beside the lanes. Who calls is read in a turn before the handler takes its own, and so is whether the resource is as
/// the caller has seen it: what somebody else changes between the two is not noticed.
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

/// Beside the lanes, unless it was done before. An answer is kept in a turn of its own, once the work is done; since no
/// other attempt is worked on meanwhile, none can come between the look for an answer and the work.
fn once(call: &Arc<Call>, inputs: Inputs, who: &Who, attempt: Attempt) -> Result<Answer> {
    let _running = attempt.begin(&call.engine)?;
    let inside = Arc::clone(call);
    if let Some(first) = call.file().read(move |db| attempt.replay(&inside, db))? {
        return Ok(first);
    }
    let answer = answered(call, inputs, who, None)?;
    if let Some(kept) = attempt.kept(&answer) {
        let inside = Arc::clone(call);
        // What is done is answered as done, be it that it could not be kept.
        if let Err(error) = call.file().write(move |db| attempt.keep(&inside, &kept, db)) {
            tracing::warn!(%error, "an answer was not kept: the same request is done again if it is sent again");
        }
    }
    Ok(answer)
}

/// Whether the resource is in a state that the caller's conditions allow: by the tag of what the route beside this one would
/// show (RFC 9110, 13.2.2).
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

/// The handler's answer, as far as the caller may see it.
fn answered(call: &Arc<Call>, inputs: Inputs, who: &Who, db: Option<&Connection>) -> Result<Answer> {
    disclosure::limited(call, who, call.route.handler.answer(call, inputs, who, db)?)
}

/// The answer with its tag, where it is what `GET` of the path answers now; and nothing of it, where the caller knows it.
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

//! Executes a request on a thread: identifies the caller, checks preconditions, replays a stored response or runs the
//! handler, and tags the response.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use rusqlite::Connection;

use super::access::Needs;
use super::conditions::{self, ETag};
use super::disclosure;
use super::error::{Error, Result};
use super::handler::Inputs;
use super::idempotency::IdempotentRequest;
use super::request::Request;
use super::response::{ApiResponse, Content};
use super::route::Route;
use crate::auth::Caller;
use crate::executors::Executor;

/// A request with its row of the route table.
#[derive(Clone)]
pub struct RoutedRequest {
    pub request: Arc<Request>,
    pub route: &'static Route,
}

/// Executes a request in a turn of the layer's file. Everything is in one transaction, so a response is stored exactly
/// if its change is.
pub fn in_transaction(routed: &RoutedRequest, inputs: Inputs, db: &Connection) -> Result<ApiResponse> {
    let request = &routed.request;
    request.read_workspace_language(db)?;
    let caller = request.identify(db)?;
    let attempt = IdempotentRequest::of(request, &caller)?;
    if let Some(attempt) = attempt
        && let Some(first) = attempt.replay(request, db)?
    {
        return Ok(first);
    }
    // After the replay: the first request has changed the state that the repeat names.
    check_unchanged(routed, &caller, db)?;
    let answer = respond(routed, inputs, &caller, Some(db))?;
    if let Some(attempt) = attempt
        && let Some(kept) = attempt.stored_response(&answer)
    {
        attempt.store(request, &kept, db)?;
    }
    with_etag(routed, &caller, answer)
}

/// Executes a request outside the lanes. The caller and the precondition are checked in a separate turn before the
/// handler runs, so a change between that turn and the handler goes unnoticed.
pub fn outside_transaction(routed: &RoutedRequest, inputs: Inputs) -> Result<ApiResponse> {
    let request = &routed.request;
    let caller = match request.needs {
        Needs::Anyone => {
            // An inline page waits for no file.
            if request.needs_workspace_language() && routed.route.handler.executor() != Executor::Inline {
                let inside = Arc::clone(request);
                request.file().read(move |db| inside.read_workspace_language(db))?;
            }
            Caller::Anonymous
        }
        _ => {
            let inside = routed.clone();
            request.file().read(move |db| {
                inside.request.read_workspace_language(db)?;
                let caller = inside.request.identify(db)?;
                check_unchanged(&inside, &caller, db)?;
                Ok::<_, Error>(caller)
            })?
        }
    };
    let answer = match IdempotentRequest::of(request, &caller)? {
        Some(attempt) => respond_once(routed, inputs, &caller, attempt)?,
        None => respond(routed, inputs, &caller, None)?,
    };
    with_etag(routed, &caller, answer)
}

/// Runs the handler outside the lanes, unless a response is stored. The response is stored in a separate turn
/// afterwards. No other request with the same key runs meanwhile, so the work is not done twice.
fn respond_once(
    routed: &RoutedRequest,
    inputs: Inputs,
    caller: &Caller,
    attempt: IdempotentRequest,
) -> Result<ApiResponse> {
    let request = &routed.request;
    let _running = attempt.begin(&request.instance)?;
    let inside = Arc::clone(request);
    if let Some(first) = request.file().read(move |db| attempt.replay(&inside, db))? {
        return Ok(first);
    }
    let answer = respond(routed, inputs, caller, None)?;
    if let Some(kept) = attempt.stored_response(&answer) {
        let inside = Arc::clone(request);
        // The work is done, so the response is sent even if it could not be stored.
        if let Err(error) = request.file().write(move |db| attempt.store(&inside, &kept, db)) {
            tracing::warn!(%error, "could not store a response: a repeat of this request will run again");
        }
    }
    Ok(answer)
}

/// Checks `If-Match` and `If-None-Match` against the tag of the resource that the route changes, as `GET` shows it (RFC
/// 9110, 13.2.2).
fn check_unchanged(routed: &RoutedRequest, caller: &Caller, db: &Connection) -> Result<()> {
    let RoutedRequest { request, route } = routed;
    if !conditions::has_conditions(&request.headers) || !route.has_preconditions() {
        return Ok(());
    }
    let Some(shows) = request.router.show_route(request.layer, route) else { return Ok(()) };
    let shown = shows.handler.respond(request, shows.handler.read(request), caller, Some(db))?;
    let Content::Full(body) = shown.body() else { return Ok(()) };
    let tag = ETag::of(body);
    match (conditions::matches(&request.headers, &tag)?, conditions::matches_none(&request.headers, &tag)?) {
        (false, _) => Err(Error::PreconditionFailed),
        (true, true) => Err(Error::AlreadyExists),
        (true, false) => Ok(()),
    }
}

/// The handler's response, limited to what the caller may see.
fn respond(routed: &RoutedRequest, inputs: Inputs, caller: &Caller, db: Option<&Connection>) -> Result<ApiResponse> {
    let RoutedRequest { request, route } = routed;
    let response = route.handler.respond(request, inputs, caller, db)?;
    if disclosure::is_complete(route, request, caller) {
        return Ok(response);
    }
    disclosure::redact(request, response)
}

/// Adds the tag if the response equals that of `GET` of the path. Removes the body if the caller has it already.
fn with_etag(routed: &RoutedRequest, caller: &Caller, mut answer: ApiResponse) -> Result<ApiResponse> {
    let RoutedRequest { request, route } = routed;
    let resource = route.handler.resource();
    let is_shown = match request.method {
        Method::GET => resource.is_some(),
        Method::PUT => {
            let shows = request.router.show_route(request.layer, route);
            // The response to a dry run, with 200, is not the resource.
            let is_saved = answer.status() == StatusCode::CREATED;
            let is_same = shows.is_some_and(|shows| shows.handler.resource() == resource);
            resource.is_some() && is_saved && is_same && disclosure::is_complete(route, request, caller)
        }
        _ => false,
    };
    let tag = match answer.body() {
        Content::Full(body) if is_shown => ETag::of(body),
        _ => return Ok(answer),
    };
    answer.headers_mut().insert(header::ETAG, tag.header()?);
    if request.method != Method::GET {
        return Ok(answer);
    }
    if !conditions::matches(&request.headers, &tag)? {
        return Err(Error::PreconditionFailed);
    }
    if conditions::matches_none(&request.headers, &tag)? {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().remove(header::CONTENT_TYPE);
        *answer.body_mut() = Content::Full(Bytes::new());
    }
    Ok(answer)
}

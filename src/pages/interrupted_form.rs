//! A form that is sent after its session ended. The sign-in page carries what was typed, and after the sign-in the form
//! appears again, filled in. Nothing is sent before the person presses its button again.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, header};

use super::session::{BrowserSession, is_from_here};
use super::sign_in;
use super::translations::Translations;
use crate::api::execute::{self, RoutedRequest};
use crate::api::{
    ApiResponse, Audience, BlockingCtx, BodyKind, Input, Layer, MediaType, Needs, Operation, PageOrRedirect, Redirect,
    Relayed, Request, Result, Route, Router, blocking, form_field, form_pairs, post,
};
use crate::auth::{Credential, TokenScope};
use crate::values::Text;

/// The route that a form without a session reaches in place of its own.
pub const PATH: &str = "/ui/sign-in/again";

pub const ROUTES: &[Route] =
    &[post(PATH, &blocking(ask), Needs::Anyone, "Sign in again in the middle of a form, which is kept")];

/// The longest form that is carried, encoded.
pub const LONGEST: usize = 256 * 1024;

/// The field with which a page is asked for the form as it was typed, instead of sending it.
const IS_SHOWN: &str = "shown_again";

/// A form as the sign-in page carries it.
#[derive(Debug, Clone, Default)]
pub struct CarriedForm {
    /// Path and query to which the form was sent.
    pub target: Text<8000>,
    /// The fields, encoded.
    pub fields: Text<LONGEST>,
}

impl CarriedForm {
    /// The form in the fields of the sign-in page.
    pub fn read(request: &Request) -> Result<Self> {
        let text = |name| form_field(request, name);
        let fields = Text::parse(text("carried")?).unwrap_or_default();
        Ok(Self { target: Text::parse(text("carried_to")?).unwrap_or_default(), fields })
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// Whether a request without a session is a form that can be shown again. A form of another site is not: its text is
/// not the person's.
pub fn is_interrupted(head: &Parts, route: &Route) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = kind.split(';').next().is_some_and(|kind| kind.trim() == MediaType::Form.name());
    route.method == Method::POST && is_form && route.handler.secret_fields().is_some() && is_from_here(&head.headers)
}

/// Whether the page is asked for the form as it was typed.
pub fn is_shown_again(request: &Request) -> Result<bool> {
    Ok(form_field(request, IS_SHOWN)? == "1")
}

/// The fields of any form.
struct SentFields(Vec<(String, String)>);

impl Input for SentFields {
    const BODY: BodyKind = BodyKind::FormOrJson;

    fn read(request: &Request) -> Result<Self> {
        form_pairs(request).map(Self)
    }

    fn describe(_: &mut Operation<'_>) {}
}

/// The page route of a path, and the values in the path.
fn page_of(router: &Router, layer: Layer, path: &str) -> Option<(&'static Route, Vec<String>)> {
    let path = path.strip_prefix("/api").unwrap_or(path);
    let found = router.find(layer, path).filter(|found| found.audience == Audience::People)?;
    let values = found.values.iter().map(|value| crate::api::decode(value)).collect();
    Some((found.route(&Method::POST).ok()?, values))
}

/// The sign-in page that carries the form.
fn ask(ctx: &BlockingCtx<'_>, browser: BrowserSession, SentFields(sent): SentFields) -> Result<PageOrRedirect> {
    let request = ctx.request;
    let path = &request.address.path;
    let page = page_of(&request.router, request.layer, path);
    let Some(secrets) = page.and_then(|(route, _)| route.handler.secret_fields()) else {
        return Ok(PageOrRedirect::Redirect(Redirect::to(sign_in::path(""))));
    };
    let is_kept = |name: &str| name != "form_key" && !secrets.iter().any(|secret| secret == name);
    let kept = sent.iter().filter(|(name, _)| is_kept(name));
    let fields = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    let target = match request.query.as_str() {
        "" => path.clone(),
        query => format!("{path}?{query}"),
    };
    let (carried, problem) = match (Text::parse(target.clone()), Text::parse(fields)) {
        (Ok(target), Ok(fields)) => (CarriedForm { target, fields }, None),
        _ => (CarriedForm::default(), Some(Translations::of(request).session_ended_form_too_long())),
    };
    let to = Text::parse(target).unwrap_or_default();
    sign_in::again(ctx, &browser, to, &carried, problem).map(PageOrRedirect::Page)
}

/// The page with the form as it was typed, for the session that has just begun. `None` if the person may not use it.
pub fn shown_again(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    scope: TokenScope,
    token: &str,
    carried: &CarriedForm,
) -> Result<Option<Relayed>> {
    let outer = ctx.request;
    let (path, query) = carried.target.split_once('?').unwrap_or((&carried.target, ""));
    let Some((route, path_values)) = page_of(&outer.router, outer.layer, path) else { return Ok(None) };
    if route.handler.secret_fields().is_none() {
        return Ok(None);
    }
    let cookie = browser.signed_in(token.to_owned());
    let mut headers = outer.headers.clone();
    let others = outer.headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let own = cookie.stripped().to_string();
    let all = [own.as_str()].into_iter().chain(others).collect::<Vec<_>>().join("; ");
    headers.insert(header::COOKIE, header_value(&all)?);
    let mut address = outer.address.clone();
    address.path = path.to_owned();
    let mut directory = ctx.instance.directory.current(&ctx.instance.keys)?;
    let credential = super::session(&headers, &address, scope, &mut directory, ctx.now)?;
    drop(directory);
    if matches!(credential, Credential::None) {
        return Ok(None);
    }
    let fields = form_urlencoded::parse(carried.fields.as_bytes());
    let fields: Vec<(String, String)> = fields.into_owned().filter(|(name, _)| name != IS_SHOWN).collect();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).append_pair(IS_SHOWN, "1").finish();
    let request = Arc::new(Request {
        instance: Arc::clone(&outer.instance),
        router: Arc::clone(&outer.router),
        method: Method::POST,
        route_path: route.path,
        needs: route.needs,
        accepts: route.handler.body(),
        has_form_key: route.has_form_key,
        audience: Audience::People,
        layer: outer.layer,
        path_values,
        query: [query, "done=signed_in_again"].join("&"),
        body: Bytes::from(body),
        form: None,
        sent_as: Some(MediaType::Form),
        headers,
        credential,
        workspace: outer.workspace.clone(),
        address,
        time_zone: OnceLock::new(),
        workspace_language: OnceLock::new(),
        texts_indexed: OnceLock::new(),
        client: outer.client,
        id: outer.id,
        now: outer.now,
    });
    let inputs = route.handler.read(&request);
    match execute::outside_transaction(&RoutedRequest { request, route }, inputs) {
        Ok(response) => with_cookie(response, &cookie.to_string()).map(Some),
        Err(error) if error.status().is_client_error() => Ok(None),
        Err(error) => Err(error),
    }
}

fn with_cookie(mut response: ApiResponse, cookie: &str) -> Result<Relayed> {
    response.headers_mut().append(header::SET_COOKIE, header_value(cookie)?);
    // The page is the response to a password.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Relayed(response))
}

fn header_value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| crate::api::Error::Internal(error.to_string()))
}

#[cfg(test)]
mod tests;

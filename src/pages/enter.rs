//! From a workspace's sign-in page to the central host and back: a person who is signed in there enters the workspace
//! without a password.
//!
//! The workspace sends the browser to the central host with a name of its visit. The central host checks the
//! membership and sends the browser back with a code. The workspace accepts the code from that visit alone. Each step
//! is a link, so `form-action` of the content security policy blocks none of them.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::session::{BROWSER, BrowserSession};
use super::translations::Translations;
use super::{Message, provider_page, sign_in};
use crate::api::{self, BlockingCtx, Needs, PageOrRedirect, Query, Redirect, Result, Route, blocking, get};
use crate::central::workspace_entry::{self, Entered};
use crate::central::workspace_provider;
use crate::values::Text;

pub const ROUTES: &[Route] =
    &[get("/ui/enter", &blocking(enter), Needs::Anyone, "Sign in with the account of the central host")];

pub const CENTRAL_ROUTES: &[Route] =
    &[get("/ui/enter/{id}", &blocking(hand_over), Needs::Member, "Redirect a member into a workspace")];

/// The parameters of a link into the workspace.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Entrance {
    /// The code that the central host issued. Absent at the start.
    code: Text<100>,
    /// Path on this host to continue to.
    to: Text<8000>,
    /// Name of an identity provider to sign in with.
    provider: Text<36>,
}

/// The parameters of the link to the central host.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Departure {
    /// The name of the browser's visit of the workspace.
    visit: Text<100>,
    /// Path on the workspace's host to continue to.
    to: Text<8000>,
}

/// The URL of this page on a workspace, with a path to continue to.
pub fn path(to: &str) -> String {
    sign_in::path_with_return("/ui/enter", to)
}

/// The same, by way of an identity provider.
pub fn path_by_provider(provider: &str, to: &str) -> String {
    format!("{}&provider={provider}", path(to))
}

fn enter(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(entrance): Query<Entrance>) -> Result<PageOrRedirect> {
    let workspace = ctx.request.workspace()?.id();
    let (visit, cookie) = browser.visit()?;
    if !entrance.code.is_empty() {
        return arrive(ctx, &browser, &entrance, &visit);
    }
    if browser.session.is_some() {
        return Ok(PageOrRedirect::Redirect(Redirect::to(sign_in::on_this_host(&entrance.to))));
    }
    let start = format!("/ui/enter/{workspace}?");
    let length = start.len();
    let mut path = form_urlencoded::Serializer::for_suffix(start, length);
    let path = path.append_pair("visit", &visit).append_pair("to", &entrance.to).finish();
    let path = match workspace_provider::provider(ctx.instance, &entrance.provider)? {
        Some(provider) => provider_page::path(&provider.id, &path),
        None => path,
    };
    let url = format!("{}{path}", ctx.instance.public_url().central());
    Ok(PageOrRedirect::Redirect(Redirect::to(url).with_cookie(cookie)))
}

/// Starts a session with a code.
fn arrive(ctx: &BlockingCtx<'_>, browser: &BrowserSession, entrance: &Entrance, visit: &str) -> Result<PageOrRedirect> {
    let workspace = ctx.request.workspace()?.id();
    if let Some(entered) = workspace_entry::enter(ctx, &entrance.code, workspace, visit, BROWSER)? {
        let Entered { issued, account_id, method } = entered;
        let onward = sign_in::signed_in(ctx, browser, account_id, &method, issued.token, &entrance.to)?;
        return Ok(PageOrRedirect::Redirect(onward));
    }
    let words = Translations::of(ctx.request);
    let (again, label) = (sign_in::path(&entrance.to), words.sign_in());
    let (title, text) = (words.link_is_over(), words.sign_in_again());
    let page = Message { link: Some((&again, &label)), ..Message::about(words, &title, &text) };
    page.page(StatusCode::FORBIDDEN).map(PageOrRedirect::Page)
}

/// Issues a code for a member and redirects to the workspace.
fn hand_over(ctx: &BlockingCtx<'_>, api::Uuid(id): api::Uuid, Query(departure): Query<Departure>) -> Result<Redirect> {
    let workspace = crate::central::account_session::as_member(ctx, ctx.token()?.account_id, id)?;
    let code = workspace_entry::issue_code(ctx, id, departure.visit.to_string())?;
    let start = format!("{}/ui/enter?", workspace.url);
    let length = start.len();
    let mut url = form_urlencoded::Serializer::for_suffix(start, length);
    url.append_pair("code", &code).append_pair("to", &departure.to);
    Ok(Redirect::to(url.finish()))
}

/// The origin of the workspace to which a path on the central host leads. A form whose response redirects there must
/// allow that origin.
pub fn destination(ctx: &BlockingCtx<'_>, to: &str) -> Result<Option<String>> {
    let path = to.strip_prefix("/api").unwrap_or(to);
    let id = path.strip_prefix("/ui/enter/").and_then(|rest| rest.split('?').next()?.parse().ok());
    let Some(id) = id.filter(|_| ctx.request.workspace.is_none()) else { return Ok(None) };
    let found = ctx.instance.directory.current(&ctx.instance.keys)?.by_id(id)?;
    let url = found.map(|found| ctx.instance.public_url().workspace(&found.subdomain));
    Ok(url.and_then(|url| Some(Url::parse(&url).ok()?.origin().ascii_serialization())))
}

#[cfg(test)]
mod tests;

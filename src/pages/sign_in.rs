//! The page to sign in to a workspace, before continuing to another page.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session::{BrowserSession, SESSION_LASTS};
use super::shown;
use super::translations::Translations;
use crate::api::{
    Address, BlockingCtx, Error, Form, Html, Needs, PageOrRedirect, Query, RateLimit, Redirect, Result, Route,
    blocking, get, hashing, post, render,
};
use crate::auth::TokenScope;
use crate::central::account_session::{self, Login};
use crate::central::login_challenges;
use crate::values::{Email, Name, Text};

pub const ROUTES: &[Route] = &[
    get("/ui/sign-in", &blocking(show), Needs::Anyone, "Show the sign-in page"),
    post("/ui/sign-in", &hashing(sign_in), Needs::Anyone, "Sign in with a password").with_form_key(),
    post(
        "/ui/sign-in/code",
        &blocking(sign_in_with_code),
        Needs::Anyone,
        "Complete a sign-in with a second-factor code",
    )
    .with_form_key(),
    post("/ui/sign-out", &blocking(sign_out), Needs::Anyone, "Sign out and continue to the sign-in page"),
];

/// The label of a session's token in the list of tokens.
const LABEL: &str = "browser";

/// The path to continue to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReturnTo {
    /// Path on this host.
    to: Text<8000>,
}

/// The sign-in form. Email and password are checked together, so that the page does not reveal which of them is wrong.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SigningIn {
    /// Email address of the account.
    email: Text<254>,
    /// Password of the account.
    password: Text<1000>,
    /// Path on this host to continue to.
    to: Text<8000>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SigningOut {
    /// Path on this host to continue to after the next sign-in.
    to: Text<8000>,
}

/// The second step, for accounts with a second factor.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SigningInWithCode {
    /// The challenge from the first step.
    challenge: Text<100>,
    /// A code from the app, or a recovery code.
    code: Text<40>,
    /// Path on this host to continue to.
    to: Text<8000>,
}

#[derive(Template)]
#[template(path = "page_sign_in_code.html")]
struct CodePage<'a> {
    words: Translations,
    challenge: &'a str,
    to: &'a str,
    form_key: &'a str,
    problems: &'a [String],
}

#[derive(Template)]
#[template(path = "page_sign_in.html")]
struct SignInPage<'a> {
    words: Translations,
    workspace: &'a str,
    email: &'a str,
    to: &'a str,
    form_key: &'a str,
    problems: &'a [String],
}

/// The URL of the sign-in page, with a path on this host to continue to.
pub fn path(to: &str) -> String {
    let start = "/ui/sign-in?";
    form_urlencoded::Serializer::for_suffix(start.to_owned(), start.len()).append_pair("to", to).finish()
}

/// Redirects the request for a page to the sign-in page, which continues to the same path and query.
pub fn to_sign_in(address: &Address, query: Option<&str>) -> Result<Response<Bytes>> {
    let page = match query {
        Some(query) => format!("{}?{query}", address.path),
        None => address.path.clone(),
    };
    Redirect::to(path(&page)).response(&address.prefix)
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(way): Query<ReturnTo>) -> Result<Html> {
    let filled = SigningIn { to: way.to, ..SigningIn::default() };
    page(ctx, &browser, StatusCode::OK, &filled, &[])
}

fn sign_in(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    rate_limit: RateLimit,
    Form(filled): Form<SigningIn>,
) -> Result<PageOrRedirect> {
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => return refused(ctx, &browser, error, &SigningIn::default()),
    };
    match check_password(ctx, &rate_limit, &filled) {
        Ok(account_id) => begin_session(ctx, &browser, account_id, &filled),
        Err(Error::SecondFactorRequired(challenge)) => {
            code_page(ctx, &browser, StatusCode::OK, &challenge, &filled.to, &[]).map(PageOrRedirect::Page)
        }
        Err(error) => refused(ctx, &browser, error, &filled),
    }
}

fn sign_in_with_code(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    rate_limit: RateLimit,
    Form(filled): Form<SigningInWithCode>,
) -> Result<PageOrRedirect> {
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => return refused(ctx, &browser, error, &SigningIn::default()),
    };
    let back = SigningIn { to: filled.to.clone(), ..SigningIn::default() };
    match check_code(ctx, &rate_limit, &filled) {
        Ok(account_id) => begin_session(ctx, &browser, account_id, &back),
        Err(error @ Error::WrongCode) => shown(Translations::of(ctx.request), error, |status, problems| {
            code_page(ctx, &browser, status, &filled.challenge, &filled.to, problems)
        })
        .map(PageOrRedirect::Page),
        Err(error) => refused(ctx, &browser, error, &back),
    }
}

/// Shows the page again with its errors.
fn refused(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    error: Error,
    filled: &SigningIn,
) -> Result<PageOrRedirect> {
    let page = |status, problems: &[String]| page(ctx, browser, status, filled, problems);
    shown(Translations::of(ctx.request), error, page).map(PageOrRedirect::Page)
}

/// The account with this email and password. If the account has a second factor, the error is a challenge.
fn check_password(ctx: &BlockingCtx<'_>, rate_limit: &RateLimit, filled: &SigningIn) -> Result<i64> {
    let email = Email::of_account(filled.email.trim()).map_err(|_| Error::InvalidCredentials)?;
    let password = Name::parse(filled.password.to_string()).map_err(|_| Error::InvalidCredentials)?;
    let account_id = account_session::verify(ctx, rate_limit, &Login { email, password })?.id;
    login_challenges::challenge(ctx, account_id, Some(ctx.request.workspace()?.id()))?;
    Ok(account_id)
}

fn check_code(ctx: &BlockingCtx<'_>, rate_limit: &RateLimit, filled: &SigningInWithCode) -> Result<i64> {
    let challenge = Name::parse(filled.challenge.to_string()).map_err(|_| Error::WrongChallenge)?;
    let code = Name::parse(filled.code.to_string()).map_err(|_| Error::WrongCode)?;
    let workspace = ctx.request.workspace()?.id();
    let answer = login_challenges::SecondFactorLogin { challenge, code };
    Ok(login_challenges::answer(ctx, rate_limit, &answer, Some(workspace))?.account_id)
}

/// Starts a session and redirects. If the workspace requires a second factor that the account lacks, the second-factor
/// page comes first.
fn begin_session(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    account_id: i64,
    filled: &SigningIn,
) -> Result<PageOrRedirect> {
    let workspace = ctx.request.workspace()?.id();
    if let Err(error) = account_session::admit(ctx, account_id, workspace) {
        return refused(ctx, browser, error, filled);
    }
    let to = match account_session::lacks_second_factor(ctx, account_id, workspace)? {
        true => super::second_factor_page::path(on_this_host(&filled.to)),
        false => on_this_host(&filled.to).to_owned(),
    };
    let scope = TokenScope::Workspace(workspace);
    let issued = account_session::begin_session(ctx, account_id, scope, LABEL, SESSION_LASTS)?;
    Ok(PageOrRedirect::Redirect(Redirect::to(to).with_cookie(browser.signed_in(issued.token))))
}

fn sign_out(ctx: &BlockingCtx<'_>, browser: BrowserSession, Form(filled): Form<SigningOut>) -> Result<PageOrRedirect> {
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => return refused(ctx, &browser, error, &SigningIn::default()),
    };
    let onward = Redirect::to(path(&filled.to));
    // A form of another site arrives without the session and must not end it, so the cookie stays.
    let Some(session) = &browser.session else { return Ok(PageOrRedirect::Redirect(onward)) };
    let (id, now) = (session.id, ctx.now);
    ctx.instance.central.revoke_token(id, now)?;
    Ok(PageOrRedirect::Redirect(onward.with_cookie(browser.signed_out())))
}

/// The path if it is a path on this host, else `/docs`. Browsers treat `//` and `/\` as the start of a URL on another
/// host.
pub fn on_this_host(to: &str) -> &str {
    let is_path = to.starts_with('/') && !to[1..].starts_with(['/', '\\']);
    if is_path && to.bytes().all(|byte| byte.is_ascii_graphic()) { to } else { "/docs" }
}

fn code_page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    challenge: &str,
    to: &str,
    problems: &[String],
) -> Result<Html> {
    let (form_key, cookie) = browser.form_key()?;
    let words = Translations::of(ctx.request);
    let text = render(&CodePage { words, challenge, to, form_key: &form_key, problems })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

fn page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    filled: &SigningIn,
    problems: &[String],
) -> Result<Html> {
    let id = ctx.request.workspace()?.id();
    let workspace = ctx.instance.central.workspace_name(id)?;
    let (form_key, cookie) = browser.form_key()?;
    let words = Translations::of(ctx.request);
    let text = render(&SignInPage {
        words,
        workspace: &workspace,
        email: &filled.email,
        to: &filled.to,
        form_key: &form_key,
        problems,
    })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_host_is_gone_on_to() {
        for good in ["/", "/docs", "/oauth/authorize?client_id=a&redirect_uri=https%3A%2F%2Fb"] {
            assert_eq!(on_this_host(good), good);
        }
        for bad in
            ["", "docs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/a b", "/é", "\\/x"]
        {
            assert_eq!(on_this_host(bad), "/docs", "{bad}");
        }
        assert_eq!(path("/a?b=c&d"), "/ui/sign-in?to=%2Fa%3Fb%3Dc%26d");
    }
}

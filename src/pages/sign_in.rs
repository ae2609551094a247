//! The page to sign in to a workspace or to the central host, before continuing to another page.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interrupted_form::{self, CarriedForm};
use super::session::{BROWSER, BrowserSession};
use super::translations::Translations;
use super::{enter, provider_page, registration_page, shown};
use crate::api::{
    Address, BlockingCtx, Error, Form, Html, Needs, PageOrRedirect, Query, RateLimit, Redirect, Result, Route,
    blocking, get, hashing, post, render,
};
use crate::auth::{SignInMethod, TokenScope};
use crate::central::account_session::{self, Login};
use crate::central::login_challenges::{self, Challenge};
use crate::central::workspace_provider;
use crate::config::Registration;
use crate::instance::Instance;
use crate::openid::Provider;
use crate::tenancy::demo_account;
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
    get("/ui/signed-out", &blocking(signed_out), Needs::Anyone, "Show the link that signs out of an identity provider"),
];

/// The longest path that the central host carries along while a person signs in. Each step on the way encodes it again.
pub const LONGEST_CARRIED: usize = 2000;

/// The path to continue to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReturnTo {
    /// Path on this host.
    pub to: Text<8000>,
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
    pub to: Text<8000>,
    /// The fields of a form to show again, encoded.
    carried: Text<{ interrupted_form::LONGEST }>,
    /// Path and query to which that form was sent.
    carried_to: Text<8000>,
}

impl SigningIn {
    /// A blank form, with a path to continue to.
    pub fn to(to: &str) -> Self {
        Self { to: Text::parse(to.to_owned()).unwrap_or_default(), ..Self::default() }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SigningOut {
    /// Path on this host to continue to after the next sign-in.
    to: Text<8000>,
}

/// The parameters of the page after a sign-out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SignedOut {
    /// Name of the identity provider of the session.
    provider: Text<36>,
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
    /// The fields of a form to show again, encoded.
    carried: Text<{ interrupted_form::LONGEST }>,
    /// Path and query to which that form was sent.
    carried_to: Text<8000>,
}

#[derive(Template)]
#[template(path = "page_signed_out.html")]
struct SignedOutPage<'a> {
    words: Translations,
    provider: &'a str,
    url: &'a str,
    sign_in: &'a str,
}

#[derive(Template)]
#[template(path = "page_sign_in_code.html")]
struct CodePage<'a> {
    words: Translations,
    challenge: &'a str,
    to: &'a str,
    /// A form to show again after the sign-in.
    carried: &'a CarriedForm,
    form_key: &'a str,
    problems: &'a [String],
}

/// The button of an identity provider.
pub struct ProviderButton {
    pub name: String,
    pub path: String,
}

#[derive(Template)]
#[template(path = "page_sign_in.html")]
struct SignInPage<'a> {
    words: Translations,
    /// The name of the workspace, or the central host.
    place: &'a str,
    /// On a workspace: the central host, and the path that leads there to sign in.
    central: Option<(&'a str, &'a str)>,
    providers: &'a [ProviderButton],
    /// Whether a password may be entered.
    has_passwords: bool,
    password_forgotten: &'a str,
    register: Option<&'a str>,
    /// The name of the demo's account.
    demo: Option<&'a str>,
    email: &'a str,
    to: &'a str,
    /// A form to show again after the sign-in.
    carried: &'a CarriedForm,
    form_key: &'a str,
    problems: &'a [String],
}

/// The URL of the sign-in page, with a path on this host to continue to.
pub fn path(to: &str) -> String {
    path_with_return("/ui/sign-in", to)
}

/// The URL of a page, with a path on the host of that page to continue to.
pub fn path_with_return(page: &str, to: &str) -> String {
    let start = format!("{page}?");
    let length = start.len();
    form_urlencoded::Serializer::for_suffix(start, length).append_pair("to", to).finish()
}

/// Redirects the request for a page to the sign-in page, which continues to the same path and query.
pub fn to_sign_in(address: &Address, query: Option<&str>) -> Result<Response<Bytes>> {
    let page = match query {
        Some(query) => format!("{}?{query}", address.path),
        None => address.path.clone(),
    };
    Redirect::to(path(&page)).response(&address.prefix)
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(way): Query<ReturnTo>) -> Result<PageOrRedirect> {
    if scope(ctx) == TokenScope::Central && browser.session.is_some() {
        return Ok(PageOrRedirect::Redirect(Redirect::to(on_this_host(&way.to))));
    }
    let has_passwords = !ctx.instance.config.require_single_sign_on;
    if scope(ctx) == TokenScope::Central && has_passwords && !ctx.instance.central.has_accounts()? {
        return Ok(PageOrRedirect::Redirect(Redirect::to(registration_page::PATH)));
    }
    let filled = SigningIn { to: way.to, ..SigningIn::default() };
    page(ctx, &browser, StatusCode::OK, &filled, &CarriedForm::default(), &[]).map(PageOrRedirect::Page)
}

/// The page for a person whose session ended in the middle of a form.
pub fn again(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    to: Text<8000>,
    carried: &CarriedForm,
    problem: Option<String>,
) -> Result<Html> {
    let filled = SigningIn { to, ..SigningIn::default() };
    page(ctx, browser, StatusCode::UNAUTHORIZED, &filled, carried, problem.as_slice())
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
        Ok(account_id) => begin_session(ctx, &browser, account_id, SignInMethod::default(), &filled),
        Err(Error::SecondFactorRequired(challenge)) => {
            let carried = CarriedForm::read(ctx.request)?;
            code_page(ctx, &browser, StatusCode::OK, &challenge, &filled.to, &carried, &[]).map(PageOrRedirect::Page)
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
        Ok(Challenge { account_id, method }) => begin_session(ctx, &browser, account_id, method, &back),
        Err(error @ Error::WrongCode) => shown(Translations::of(ctx.request), error, |status, problems| {
            let carried = CarriedForm::read(ctx.request)?;
            code_page(ctx, &browser, status, &filled.challenge, &filled.to, &carried, problems)
        })
        .map(PageOrRedirect::Page),
        Err(error) => refused(ctx, &browser, error, &back),
    }
}

/// Shows the page again with its errors.
pub fn refused(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    error: Error,
    filled: &SigningIn,
) -> Result<PageOrRedirect> {
    let carried = CarriedForm::read(ctx.request)?;
    let page = |status, problems: &[String]| page(ctx, browser, status, filled, &carried, problems);
    shown(Translations::of(ctx.request), error, page).map(PageOrRedirect::Page)
}

/// The page that asks for a code, for a person who comes from a provider.
pub fn ask_code(ctx: &BlockingCtx<'_>, browser: &BrowserSession, challenge: &str, to: &str) -> Result<PageOrRedirect> {
    code_page(ctx, browser, StatusCode::OK, challenge, to, &CarriedForm::default(), &[]).map(PageOrRedirect::Page)
}

/// The buttons of the providers: those of the instance, and on a workspace's host that of the workspace.
pub fn provider_buttons(ctx: &BlockingCtx<'_>, link: impl Fn(&str) -> String) -> Result<Vec<ProviderButton>> {
    let own = match scope(ctx) {
        TokenScope::Central => None,
        TokenScope::Workspace(id) => workspace_provider::of_workspace(ctx.instance, id)?,
    };
    let button = |provider: &Provider| ProviderButton { name: provider.name.clone(), path: link(&provider.id) };
    Ok(own.iter().chain(&ctx.instance.config.providers).map(button).collect())
}

/// The page with problems that are not about its form.
pub fn page_with(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    problems: &[String],
) -> Result<Html> {
    page(ctx, browser, status, &SigningIn::default(), &CarriedForm::default(), problems)
}

/// The scope of sessions on this host.
fn scope(ctx: &BlockingCtx<'_>) -> TokenScope {
    TokenScope::from(ctx.request.workspace.as_ref().map(|workspace| workspace.id()))
}

/// The account with this email and password. If the account has a second factor, the error is a challenge.
fn check_password(ctx: &BlockingCtx<'_>, rate_limit: &RateLimit, filled: &SigningIn) -> Result<i64> {
    let email = Email::of_account(filled.email.trim()).map_err(|_| Error::InvalidCredentials)?;
    let password = Name::parse(filled.password.to_string()).map_err(|_| Error::InvalidCredentials)?;
    let account_id = account_session::verify(ctx, rate_limit, &Login { email, password })?.id;
    login_challenges::challenge(ctx, account_id, scope(ctx).workspace(), &SignInMethod::default())?;
    Ok(account_id)
}

fn check_code(ctx: &BlockingCtx<'_>, rate_limit: &RateLimit, filled: &SigningInWithCode) -> Result<Challenge> {
    let challenge = Name::parse(filled.challenge.to_string()).map_err(|_| Error::WrongChallenge)?;
    let code = Name::parse(filled.code.to_string()).map_err(|_| Error::WrongCode)?;
    let answer = login_challenges::SecondFactorLogin { challenge, code };
    login_challenges::answer(ctx, rate_limit, &answer, scope(ctx).workspace())
}

/// Starts a session and redirects.
fn begin_session(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    account_id: i64,
    method: SignInMethod,
    filled: &SigningIn,
) -> Result<PageOrRedirect> {
    let begun = match scope(ctx) {
        TokenScope::Central => Ok(()),
        TokenScope::Workspace(workspace) => account_session::admit(ctx, account_id, workspace, &method).map(|_| ()),
    };
    let begin = |()| account_session::begin_session(ctx, account_id, scope(ctx), BROWSER, method.clone());
    let begun = begun.and_then(begin);
    match begun {
        Ok(issued) => {
            let carried = CarriedForm::read(ctx.request)?;
            if !carried.is_empty()
                && let Some(form) = interrupted_form::shown_again(ctx, browser, scope(ctx), &issued.token, &carried)?
            {
                return Ok(PageOrRedirect::Relayed(form));
            }
            signed_in(ctx, browser, account_id, &method, issued.token, &filled.to).map(PageOrRedirect::Redirect)
        }
        Err(error) => refused(ctx, browser, error, filled),
    }
}

/// Redirects a person whose session has just begun. If the workspace requires a second factor that the account lacks,
/// the second-factor page comes first.
pub fn signed_in(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    account_id: i64,
    method: &SignInMethod,
    token: String,
    to: &str,
) -> Result<Redirect> {
    let lacks_second_factor = match scope(ctx) {
        TokenScope::Central => false,
        TokenScope::Workspace(workspace) => account_session::lacks_second_factor(ctx, account_id, workspace, method)?,
    };
    let to = match lacks_second_factor {
        true => super::second_factor_page::path(on_this_host(to)),
        false => on_this_host(to).to_owned(),
    };
    Ok(Redirect::to(to).with_cookie(Some(browser.signed_in(token))))
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
    let onward = match &session.method.provider {
        Some(provider) => Redirect::to(signed_out_path(provider, &filled.to)),
        None => onward,
    };
    Ok(PageOrRedirect::Redirect(onward.with_cookie(Some(browser.signed_out())).clearing_cache()))
}

fn signed_out_path(provider: &str, to: &str) -> String {
    format!("{}&provider={provider}", path_with_return("/ui/signed-out", to))
}

/// The page for a person whose session at the provider goes on. Without a page there, this redirects.
fn signed_out(ctx: &BlockingCtx<'_>, Query(query): Query<SignedOut>) -> Result<PageOrRedirect> {
    let sign_in = path(&query.to);
    let provider = workspace_provider::provider(ctx.instance, &query.provider)?;
    let return_url = format!("{}/ui/sign-in", ctx.instance.public_url().central());
    let end = |provider: &Provider| ctx.instance.node.providers.end_session_url(provider, &return_url);
    let url = provider.as_ref().and_then(end);
    let Some((provider, url)) = provider.zip(url) else { return Ok(PageOrRedirect::Redirect(Redirect::to(sign_in))) };
    let words = Translations::of(ctx.request);
    let text = render(&SignedOutPage { words, provider: &provider.name, url: url.as_str(), sign_in: &sign_in })?;
    Ok(PageOrRedirect::Page(Html::new(StatusCode::OK, words.0, text)))
}

/// The path if it is a path on this host, else `/ui`. Browsers treat `//` and `/\` as the start of a URL on another
/// host.
pub fn on_this_host(to: &str) -> &str {
    let is_path = to.starts_with('/') && !to[1..].starts_with(['/', '\\']);
    if is_path && to.bytes().all(|byte| byte.is_ascii_graphic()) { to } else { "/ui" }
}

fn code_page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    challenge: &str,
    to: &str,
    carried: &CarriedForm,
    problems: &[String],
) -> Result<Html> {
    let (form_key, cookie) = browser.form_key()?;
    let words = Translations::of(ctx.request);
    let text = render(&CodePage { words, challenge, to, carried, form_key: &form_key, problems })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie).leading_to(enter::destination(ctx, to)?))
}

fn page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    filled: &SigningIn,
    carried: &CarriedForm,
    problems: &[String],
) -> Result<Html> {
    let central_url = ctx.instance.public_url().central();
    let central_host = host_of(&central_url);
    let (place, base) = match scope(ctx) {
        TokenScope::Central => (central_host.to_owned(), ""),
        TokenScope::Workspace(id) => (ctx.instance.central.workspace_name(id)?, central_url.as_str()),
    };
    let is_central = scope(ctx) == TokenScope::Central;
    let entrance = enter::path(on_this_host(&filled.to));
    // A link carries no form.
    let is_offered = !is_central && filled.to.len() <= LONGEST_CARRIED && carried.is_empty();
    let to = on_this_host(&filled.to);
    let providers = provider_buttons(ctx, |provider| match is_central {
        true => provider_page::path(provider, to),
        false => enter::path_by_provider(provider, to),
    })?;
    let register =
        path_with_return(&format!("{base}{}", registration_page::PATH), if is_central { &filled.to } else { "" });
    let is_open = ctx.instance.config.registration == Registration::Open;
    let (form_key, cookie) = browser.form_key()?;
    let words = Translations::of(ctx.request);
    let text = render(&SignInPage {
        words,
        place: &place,
        central: is_offered.then_some((central_host, &entrance)),
        providers: if is_central || is_offered { &providers } else { &[] },
        has_passwords: !ctx.instance.config.require_single_sign_on,
        password_forgotten: &format!("{base}/ui/password-forgot"),
        register: is_open.then_some(&register),
        demo: demo(ctx.instance)?.as_deref(),
        email: &filled.email,
        to: &filled.to,
        carried,
        form_key: &form_key,
        problems,
    })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie).leading_to(enter::destination(ctx, &filled.to)?))
}

/// The host of a URL, with its port.
pub fn host_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

/// The name of the account of a demo, as long as only this machine can reach the server. Its password is published.
fn demo(instance: &Instance) -> Result<Option<String>> {
    if !instance.record.is_demo || !instance.config.listen.ip().is_loopback() {
        return Ok(None);
    }
    let found = instance.central.password_by_email(demo_account::EMAIL)?;
    Ok(found.map(|(account, _)| account.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{PASSWORD, TestBrowser, TestServer};

    /// An account with the demo's address makes no demo.
    #[test]
    fn only_a_demo_shows_the_button_that_signs_in() {
        let server = TestServer::new();
        server.join_acme(demo_account::EMAIL, "agent");
        for host in ["localhost", "acme.localhost"] {
            let page = server.anonymous().at(host).get("/ui/sign-in");
            let shows_it = page.text.contains(demo_account::PASSWORD) || page.text.contains("id=\"demo\"");
            assert!(page.status == 200 && !shows_it, "{page:?}");
        }
    }

    #[test]
    fn the_front_door_leads_to_the_console_and_whoever_is_signed_in_passes_the_sign_in() {
        let server = TestServer::new();
        let mut browser = TestBrowser::new(&server);
        browser.go("http://localhost/");
        assert_eq!(browser.url, "http://localhost/ui/sign-in?to=%2Fui");
        browser.submit("/ui/sign-in", &[("email", "owner@example.com"), ("password", PASSWORD)]);
        assert_eq!(browser.url, "http://localhost/ui");
        browser.go("/ui/sign-in?to=%2Fui%2Faccount");
        assert_eq!(browser.url, "http://localhost/ui/account");
        browser.go("http://acme.localhost/");
        assert_eq!(browser.url, "http://acme.localhost/ui/sign-in?to=%2Fui");
        let empty = TestServer::new();
        let all = "DELETE FROM memberships; DELETE FROM workspaces; DELETE FROM accounts";
        empty.instance.central.write(move |db| Ok::<_, Error>(db.execute_batch(all)?)).unwrap();
        let mut first = TestBrowser::new(&empty);
        first.go("http://localhost/");
        assert_eq!(first.url, "http://localhost/ui/register");
        assert!(first.page.text.contains("Make the first account"), "{first:?}");
    }

    #[test]
    fn only_a_path_of_this_host_is_gone_on_to() {
        for good in ["/", "/docs", "/oauth/authorize?client_id=a&redirect_uri=https%3A%2F%2Fb"] {
            assert_eq!(on_this_host(good), good);
        }
        for bad in
            ["", "docs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/a b", "/é", "\\/x"]
        {
            assert_eq!(on_this_host(bad), "/ui", "{bad}");
        }
        assert_eq!(path("/a?b=c&d"), "/ui/sign-in?to=%2Fa%3Fb%3Dc%26d");
    }
}

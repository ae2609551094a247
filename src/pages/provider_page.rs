//! Sign-in with an OpenID provider: to the provider, and back.
//!
//! The central host sends the browser to the provider, with a cookie that holds the attempt, encrypted. The provider
//! sends the browser back with a code. A return without the cookie of its attempt is rejected: it was begun in another
//! browser.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::enter;
use super::session::{BROWSER, BrowserSession, provider_cookie};
use super::sign_in::{self, SigningIn};
use super::translations::Translations;
use crate::api::{
    BlockingCtx, Error, Input, Needs, Operation, PageOrRedirect, Query, RateLimit, Redirect, Request, Result, Route,
    get, with_provider,
};
use crate::auth::encryption::{decrypt_text, encrypt_text};
use crate::auth::{Purpose, SignInMethod, TokenScope};
use crate::central::invitations::UserInvite;
use crate::central::{account_session, login_challenges, provider_sign_in, workspace_provider};
use crate::openid::{Attempt, Provider, ProviderError, ProviderIdentity, Return};
use crate::values::{Text, Timestamp};
use crate::workspace::group_roles;

pub const ROUTES: &[Route] = &[
    get("/ui/sign-in/with/{provider}", &with_provider(begin), Needs::Anyone, "Redirect to an identity provider"),
    get(
        "/ui/sign-in/with/{provider}/callback",
        &with_provider(come_back),
        Needs::Anyone,
        "Sign in with the response of an identity provider",
    ),
];

/// Seconds for which a person may stay at the provider.
const ATTEMPT_TTL: i64 = 600;

/// The purpose of the encrypted attempt.
const CONTEXT: &[u8] = b"attempt to sign in with a provider";

/// The name of the provider in the path.
pub struct ProviderName(String);

impl Input for ProviderName {
    fn read(request: &Request) -> Result<Self> {
        request.path_values.first().cloned().map(Self).ok_or_else(Error::not_found)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_value(0, "The name of the provider.", serde_json::json!({"type": "string"}));
    }
}

/// The parameters of a link to a provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProviderLink {
    /// Path on this host to continue to.
    to: Text<8000>,
    /// Code of an invitation to accept.
    invitation: Text<200>,
    /// Key of the session, to connect the identity to the account that is signed in.
    connect: Text<100>,
}

/// The parameters with which a provider sends the browser back (RFC 6749, 4.1.2; RFC 9207).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProviderReturn {
    /// The authorization code.
    code: Text<8000>,
    /// The state of the attempt.
    state: Text<500>,
    /// URL of the provider.
    iss: Option<Text<2000>>,
    /// Error code, if the person was not signed in.
    error: Text<500>,
}

/// The cookie of an attempt.
#[derive(Serialize, Deserialize)]
struct BegunSignIn {
    provider: String,
    #[serde(flatten)]
    attempt: Attempt,
    to: String,
    goal: Goal,
    expires_at: Timestamp,
}

/// What the person wants.
#[derive(Serialize, Deserialize)]
enum Goal {
    SignIn,
    AcceptInvitation(String),
    /// To connect the identity to this account.
    Connect(i64),
}

/// The path of a link to a provider, with a path on the central host to continue to.
pub fn path(provider: &str, to: &str) -> String {
    sign_in::path_with_return(&format!("/ui/sign-in/with/{provider}"), to)
}

/// The path of a link that accepts an invitation.
pub fn invitation_path(provider: &str, code: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("invitation", code).finish();
    format!("/ui/sign-in/with/{provider}?{query}")
}

/// The path of a link that connects an identity to the account of this session.
pub fn connect_path(provider: &str, browser: &BrowserSession) -> Option<String> {
    browser.connect_key().map(|key| format!("/ui/sign-in/with/{provider}?connect={key}"))
}

fn begin(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    ProviderName(name): ProviderName,
    Query(link): Query<ProviderLink>,
) -> Result<PageOrRedirect> {
    let provider = &workspace_provider::provider(ctx.instance, &name)?.ok_or_else(Error::not_found)?;
    let goal = match (&*link.connect, &*link.invitation) {
        ("", "") => Goal::SignIn,
        ("", code) => Goal::AcceptInvitation(code.to_owned()),
        (key, _) => match &browser.session {
            // Otherwise, a page of another site could connect its visitor's account to an identity of the attacker.
            Some(session) if browser.connect_key().as_deref() == Some(key) => Goal::Connect(session.account_id),
            _ => return begun_elsewhere(ctx, &browser),
        },
    };
    let (url, attempt) = match ctx.instance.node.providers.begin(provider, &callback_url(ctx, provider), ctx.now) {
        Ok(begun) => begun,
        Err(error) => return failed(ctx, &browser, provider, &error),
    };
    let to = if link.to.len() <= sign_in::LONGEST_CARRIED { sign_in::on_this_host(&link.to) } else { "/ui" };
    let (to, expires_at) = (to.to_owned(), ctx.now.plus(ATTEMPT_TTL));
    let begun = BegunSignIn { provider: provider.id.clone(), attempt, to, goal, expires_at };
    let text = serde_json::to_string(&begun).map_err(|error| Error::Internal(error.to_string()))?;
    let cookie = browser.provider_attempt(encrypt_text(&text, CONTEXT, &ctx.instance.keys)?, ATTEMPT_TTL);
    Ok(PageOrRedirect::Redirect(Redirect::to(url).with_cookie(Some(cookie))))
}

fn come_back(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    ProviderName(name): ProviderName,
    rate_limit: RateLimit,
    Query(returned): Query<ProviderReturn>,
) -> Result<PageOrRedirect> {
    let provider = &workspace_provider::provider(ctx.instance, &name)?.ok_or_else(Error::not_found)?;
    let Some(begun) = begun(ctx, provider, &returned) else { return begun_elsewhere(ctx, &browser) };
    if !returned.error.is_empty() {
        return rejected_by_provider(ctx, &browser, provider, &returned.error);
    }
    let tries = rate_limit.for_address(Purpose::Provider);
    if let Err(throttled) = tries.check() {
        return sign_in::refused(ctx, &browser, throttled.into(), &SigningIn::to(&begun.to));
    }
    let sent = Return { code: &returned.code, issuer: returned.iss.as_deref() };
    let identity =
        ctx.instance.node.providers.finish(provider, &callback_url(ctx, provider), begun.attempt, sent, ctx.now);
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            // Nobody is to blame if the provider does not respond.
            if matches!(error, ProviderError::Invalid(_)) {
                tries.count();
            }
            return failed(ctx, &browser, provider, &error);
        }
    };
    match begun.goal {
        Goal::Connect(account_id) => connect(ctx, &browser, account_id, provider, identity),
        Goal::SignIn => sign_in_as(ctx, &browser, &rate_limit, provider, &identity, None, &begun.to),
        Goal::AcceptInvitation(code) => {
            sign_in_as(ctx, &browser, &rate_limit, provider, &identity, Some(&code), &begun.to)
        }
    }
}

/// The attempt that this return belongs to, if it was begun in this browser and has not expired.
fn begun(ctx: &BlockingCtx<'_>, provider: &Provider, returned: &ProviderReturn) -> Option<BegunSignIn> {
    let text = decrypt_text(&provider_cookie(ctx.request)?, CONTEXT, &ctx.instance.keys)?;
    let begun: BegunSignIn = serde_json::from_str(&text).ok()?;
    let is_of_attempt = begun.provider == provider.id && begun.attempt.state == *returned.state;
    (is_of_attempt && begun.expires_at > ctx.now).then_some(begun)
}

fn sign_in_as(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    rate_limit: &RateLimit,
    provider: &Provider,
    identity: &ProviderIdentity,
    invitation: Option<&str>,
    to: &str,
) -> Result<PageOrRedirect> {
    let back = SigningIn::to(to);
    let person = match provider_sign_in::sign_in(ctx, rate_limit, provider, identity, invitation) {
        Ok(person) => person,
        Err(error) => return sign_in::refused(ctx, browser, error, &back),
    };
    let account = person.account;
    group_roles::apply(ctx, &account, provider, identity.groups.as_deref());
    let method = SignInMethod { provider: Some(provider.id.clone()), second_factor: provider.second_factor };
    match login_challenges::challenge(ctx, account.id, None, &method) {
        Ok(()) => {}
        Err(Error::SecondFactorRequired(challenge)) => return sign_in::ask_code(ctx, browser, &challenge, to),
        Err(error) => return sign_in::refused(ctx, browser, error, &back),
    }
    let begun = account_session::begin_session(ctx, account.id, TokenScope::Central, BROWSER, method);
    match begun {
        Ok(issued) => {
            let to = match person.joined {
                Some(UserInvite { workspace, .. }) => {
                    format!("{}{}", ctx.instance.public_url().workspace(&workspace.subdomain), enter::path("/ui"))
                }
                None => sign_in::on_this_host(to).to_owned(),
            };
            let onward = Redirect::to(to).with_cookie(Some(browser.signed_in(issued.token)));
            Ok(PageOrRedirect::Redirect(onward.with_cookie(Some(browser.no_provider_attempt()))))
        }
        Err(error) => sign_in::refused(ctx, browser, error, &back),
    }
}

/// Connects the identity, if the person is still signed in as the account that began.
fn connect(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    account_id: i64,
    provider: &Provider,
    identity: ProviderIdentity,
) -> Result<PageOrRedirect> {
    if browser.session.as_ref().is_none_or(|session| session.account_id != account_id) {
        return begun_elsewhere(ctx, browser);
    }
    match provider_sign_in::connect(ctx, account_id, provider, identity) {
        Ok(()) => {
            let onward = Redirect::to("/ui/account").with_cookie(Some(browser.no_provider_attempt()));
            Ok(PageOrRedirect::Redirect(onward))
        }
        Err(error) => problem(ctx, browser, error.status(), Translations::of(ctx.request).problems(&error)),
    }
}

fn callback_url(ctx: &BlockingCtx<'_>, provider: &Provider) -> String {
    Provider::callback_url(&ctx.instance.public_url().central(), &provider.id)
}

fn begun_elsewhere(ctx: &BlockingCtx<'_>, browser: &BrowserSession) -> Result<PageOrRedirect> {
    problem(ctx, browser, StatusCode::FORBIDDEN, vec![Translations::of(ctx.request).provider_begun_elsewhere()])
}

/// The provider did not sign the person in (RFC 6749, 4.1.2.1).
fn rejected_by_provider(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    provider: &Provider,
    code: &str,
) -> Result<PageOrRedirect> {
    let words = Translations::of(ctx.request);
    let text = match code {
        "access_denied" => words.provider_cancelled(&provider.name),
        code => {
            tracing::warn!(provider = provider.id, error = code, "the provider rejected a sign-in");
            words.provider_rejected(&provider.name, code)
        }
    };
    problem(ctx, browser, StatusCode::FORBIDDEN, vec![text])
}

fn failed(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    provider: &Provider,
    error: &ProviderError,
) -> Result<PageOrRedirect> {
    let words = Translations::of(ctx.request);
    tracing::warn!(provider = provider.id, %error, "single sign-on failed");
    let (status, text) = match error {
        ProviderError::Unreachable(_) => (StatusCode::SERVICE_UNAVAILABLE, words.provider_unreachable(&provider.name)),
        ProviderError::Unusable(_) => (StatusCode::SERVICE_UNAVAILABLE, words.provider_unusable(&provider.name)),
        ProviderError::Invalid(_) => (StatusCode::FORBIDDEN, words.provider_invalid(&provider.name)),
    };
    problem(ctx, browser, status, vec![text])
}

/// The sign-in page, with what went wrong.
fn problem(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    problems: Vec<String>,
) -> Result<PageOrRedirect> {
    sign_in::page_with(ctx, browser, status, &problems).map(PageOrRedirect::Page)
}

#[cfg(test)]
mod tests;

//! The pages that mails about an account's email address link to: one verifies the address, the other undoes a change.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session::BrowserSession;
use super::translations::Translations;
use super::{Message, shown};
use crate::api::{
    BlockingCtx, Error, Form, Html, Needs, Query, RateLimit, Result, Route, blocking, get, hashing, post, render,
};
use crate::central::account_session::{self, Login};
use crate::central::email_verification::PendingVerification;
use crate::values::{Name, Text};

pub const ROUTES: &[Route] = &[
    get("/ui/verify-email", &blocking(show), Needs::Anyone, "Show the page to verify an email address"),
    post("/ui/verify-email", &hashing(verify), Needs::Anyone, "Verify an email address"),
    get(
        "/ui/undo-email-change",
        &blocking(show_undo),
        Needs::Anyone,
        "Show the page to undo a change of email address",
    ),
    post("/ui/undo-email-change", &blocking(undo), Needs::Anyone, "Undo a change of email address"),
];

/// The parameters of the mailed link.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VerificationLink {
    /// The code from the mail.
    code: Text<200>,
}

/// The password of the account is required. Otherwise a person who follows a link could verify an account that a
/// stranger created.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VerificationForm {
    /// The code from the mail.
    code: Text<200>,
    /// Password of the account.
    password: Name<1000>,
}

#[derive(Template)]
#[template(path = "page_verify_email.html")]
struct VerifyPage<'a> {
    words: Translations,
    email: &'a str,
    login: &'a str,
    code: &'a str,
    form_key: &'a str,
    problems: &'a [String],
}

#[derive(Template)]
#[template(path = "page_undo_email_change.html")]
struct UndoPage<'a> {
    words: Translations,
    email: &'a str,
    code: &'a str,
    form_key: &'a str,
    problems: &'a [String],
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(mailed): Query<VerificationLink>) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let Some(named) = named(ctx, &mailed.code)? else { return no_such_link(words) };
    page(words, &browser, StatusCode::OK, &named, &mailed.code, &[])
}

fn verify(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    rate_limit: RateLimit,
    Query(mailed): Query<VerificationLink>,
    Form(filled): Form<VerificationForm>,
) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let code = filled.as_ref().map_or(&mailed.code, |filled| &filled.code).clone();
    let Some(named) = named(ctx, &code)? else { return no_such_link(words) };
    let confirmed = filled.and_then(|filled| {
        let email = named.login.parse().map_err(Error::Internal)?;
        let account = account_session::verify(ctx, &rate_limit, &Login { email, password: filled.password })?;
        ctx.instance.central.confirm_email(named.clone(), ctx.request.origin().by(account.id))
    });
    match confirmed {
        Ok(account) => {
            Message::about(words, &words.address_confirmed(), &words.log_in_as(&account.email)).page(StatusCode::OK)
        }
        Err(error) => shown(words, error, |status, problems| page(words, &browser, status, &named, &code, problems)),
    }
}

fn show_undo(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(mailed): Query<VerificationLink>) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let Some(email) = former(ctx, &mailed.code)? else { return no_such_link(words) };
    undo_page(words, &browser, StatusCode::OK, &email, &mailed.code, &[])
}

fn undo(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    Query(mailed): Query<VerificationLink>,
    Form(filled): Form<VerificationLink>,
) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let code = filled.as_ref().map_or(&mailed.code, |filled| &filled.code).clone();
    let Some(email) = former(ctx, &code)? else { return no_such_link(words) };
    let undone = filled.and_then(|_| ctx.instance.central.undo_email_change(&code, ctx.request.origin()));
    match undone {
        Ok(()) => {
            Message::about(words, &words.change_undone(), &words.choose_password_next(&email)).page(StatusCode::OK)
        }
        Err(error) => {
            shown(words, error, |status, problems| undo_page(words, &browser, status, &email, &code, problems))
        }
    }
}

fn named(ctx: &BlockingCtx<'_>, code: &str) -> Result<Option<PendingVerification>> {
    ctx.instance.central.email_by_code(code, ctx.now)
}

fn former(ctx: &BlockingCtx<'_>, code: &str) -> Result<Option<String>> {
    ctx.instance.central.former_email(code, ctx.now)
}

fn page(
    words: Translations,
    browser: &BrowserSession,
    status: StatusCode,
    named: &PendingVerification,
    code: &str,
    problems: &[String],
) -> Result<Html> {
    let (form_key, cookie) = browser.form_key()?;
    let (email, login) = (&*named.email, &*named.login);
    let text = render(&VerifyPage { words, email, login, code, form_key: &form_key, problems })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

fn undo_page(
    words: Translations,
    browser: &BrowserSession,
    status: StatusCode,
    email: &str,
    code: &str,
    problems: &[String],
) -> Result<Html> {
    let (form_key, cookie) = browser.form_key()?;
    let text = render(&UndoPage { words, email, code, form_key: &form_key, problems })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

fn no_such_link(words: Translations) -> Result<Html> {
    Message::about(words, &words.link_is_over(), &words.link_was_used()).page(StatusCode::NOT_FOUND)
}

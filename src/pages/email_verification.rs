//! The pages that mails about an account's email address link to: one verifies the address, the other undoes a change.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::Words;
use super::{Message, shown};
use crate::api::{Error, Form, Html, Needs, Query, Result, Route, Steps, Tries, get, hashing, post, rendered, steps};
use crate::central::email_verification::Named;
use crate::central::session::{self, Credentials};
use crate::values::{Name, Text};

pub const ROUTES: &[Route] = &[
    get("/ui/verify-email", &steps(show), Needs::Anyone, "Show the page to verify an email address"),
    post("/ui/verify-email", &hashing(verify), Needs::Anyone, "Verify an email address"),
    get("/ui/undo-email-change", &steps(show_undo), Needs::Anyone, "Show the page to undo a change of email address"),
    post("/ui/undo-email-change", &steps(undo), Needs::Anyone, "Undo a change of email address"),
];

/// The parameters of the mailed link.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mailed {
    /// The code from the mail.
    code: Text<200>,
}

/// The password of the account is required. Otherwise a person who follows a link could verify an account that a
/// stranger created.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Verifying {
    /// The code from the mail.
    code: Text<200>,
    /// Password of the account.
    password: Name<1000>,
}

#[derive(Template)]
#[template(path = "page_verify_email.html")]
struct VerifyPage<'a> {
    words: Words,
    email: &'a str,
    login: &'a str,
    code: &'a str,
    problems: &'a [String],
}

#[derive(Template)]
#[template(path = "page_undo_email_change.html")]
struct UndoPage<'a> {
    words: Words,
    email: &'a str,
    code: &'a str,
    problems: &'a [String],
}

fn show(steps: &Steps<'_>, Query(mailed): Query<Mailed>) -> Result<Html> {
    let words = Words::of(steps.call);
    let Some(named) = named(steps, &mailed.code)? else { return no_such_link(words) };
    page(words, StatusCode::OK, &named, &mailed.code, &[])
}

fn verify(
    steps: &Steps<'_>,
    tries: Tries,
    Query(mailed): Query<Mailed>,
    Form(filled): Form<Verifying>,
) -> Result<Html> {
    let words = Words::of(steps.call);
    let code = filled.as_ref().map_or(&mailed.code, |filled| &filled.code).clone();
    let Some(named) = named(steps, &code)? else { return no_such_link(words) };
    let confirmed = filled.and_then(|filled| {
        let email = named.login.parse().map_err(Error::Internal)?;
        let account = session::verify(steps, &tries, &Credentials { email, password: filled.password })?;
        steps.engine.central.confirm_email(named.clone(), steps.call.origin().by(account.id))
    });
    match confirmed {
        Ok(account) => {
            Message::about(words, &words.address_confirmed(), &words.log_in_as(&account.email)).page(StatusCode::OK)
        }
        Err(error) => shown(words, error, |status, problems| page(words, status, &named, &code, problems)),
    }
}

fn show_undo(steps: &Steps<'_>, Query(mailed): Query<Mailed>) -> Result<Html> {
    let words = Words::of(steps.call);
    let Some(email) = former(steps, &mailed.code)? else { return no_such_link(words) };
    undo_page(words, StatusCode::OK, &email, &mailed.code, &[])
}

fn undo(steps: &Steps<'_>, Query(mailed): Query<Mailed>, Form(filled): Form<Mailed>) -> Result<Html> {
    let words = Words::of(steps.call);
    let code = filled.as_ref().map_or(&mailed.code, |filled| &filled.code).clone();
    let Some(email) = former(steps, &code)? else { return no_such_link(words) };
    let undone = filled.and_then(|_| steps.engine.central.undo_email_change(&code, steps.call.origin()));
    match undone {
        Ok(()) => {
            Message::about(words, &words.change_undone(), &words.choose_password_next(&email)).page(StatusCode::OK)
        }
        Err(error) => shown(words, error, |status, problems| undo_page(words, status, &email, &code, problems)),
    }
}

fn named(steps: &Steps<'_>, code: &str) -> Result<Option<Named>> {
    steps.engine.central.email_by_code(code, steps.now)
}

fn former(steps: &Steps<'_>, code: &str) -> Result<Option<String>> {
    steps.engine.central.former_email(code, steps.now)
}

fn page(words: Words, status: StatusCode, named: &Named, code: &str, problems: &[String]) -> Result<Html> {
    let text = rendered(&VerifyPage { words, email: &named.email, login: &named.login, code, problems })?;
    Ok(Html::new(status, words.0, text))
}

fn undo_page(words: Words, status: StatusCode, email: &str, code: &str, problems: &[String]) -> Result<Html> {
    Ok(Html::new(status, words.0, rendered(&UndoPage { words, email, code, problems })?))
}

fn no_such_link(words: Words) -> Result<Html> {
    Message::about(words, &words.link_is_over(), &words.link_was_used()).page(StatusCode::NOT_FOUND)
}

//! The page that a password reset mail links to.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session::BrowserSession;
use super::translations::Translations;
use super::{Message, shown};
use crate::api::{BlockingCtx, Form, Html, Needs, Query, RateLimit, Result, Route, get, hashing, inline, post, render};
use crate::central::password_recovery::{self, NewPassword};
use crate::values::Text;

pub const ROUTES: &[Route] = &[
    get("/ui/password-reset", &inline(show), Needs::Anyone, "Show the page to choose a new password"),
    post("/ui/password-reset", &hashing(reset), Needs::Anyone, "Choose a new password"),
];

/// The parameters of the mailed link.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResetLink {
    /// Email address of the account.
    email: Text<254>,
    /// The code from the mail.
    code: Text<200>,
}

#[derive(Template)]
#[template(path = "page_password_reset.html")]
struct PasswordResetPage<'a> {
    words: Translations,
    email: &'a str,
    code: &'a str,
    form_key: &'a str,
    problems: &'a [String],
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(mailed): Query<ResetLink>) -> Result<Html> {
    let words = Translations::of(ctx.request);
    page(words, &browser, StatusCode::OK, &mailed, &[])
}

fn reset(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    rate_limit: RateLimit,
    Query(mailed): Query<ResetLink>,
    Form(filled): Form<NewPassword>,
) -> Result<Html> {
    let words = Translations::of(ctx.request);
    match filled.and_then(|resetting| password_recovery::choose(ctx, rate_limit, resetting)) {
        Ok(()) => Message::about(words, &words.password_is_set(), &words.log_in_with_it()).page(StatusCode::OK),
        Err(error) => shown(words, error, |status, problems| page(words, &browser, status, &mailed, problems)),
    }
}

fn page(
    words: Translations,
    browser: &BrowserSession,
    status: StatusCode,
    mailed: &ResetLink,
    problems: &[String],
) -> Result<Html> {
    let (form_key, cookie) = browser.form_key()?;
    let (email, code) = (&*mailed.email, &*mailed.code);
    let text = render(&PasswordResetPage { words, email, code, form_key: &form_key, problems })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::tests::TestServer;

    const NEW: &str = "quite-another-one";

    #[test]
    fn the_link_in_the_mail_leads_to_a_page_that_sets_the_password_once() {
        let server = TestServer::new();
        server.anonymous().post("/password/forgot", json!({"email": "owner@example.com"})).ok();
        let text = server.mails().pop().unwrap().text;
        let (_, rest) = text.split_once("http://localhost/ui/").unwrap();
        let path = format!("/ui/{}", rest.split_whitespace().next().unwrap());
        let code = path.split_once("code=").unwrap().1;
        let page = server.anonymous().send(Method::GET, &path, None);
        assert!(page.status == 200 && page.text.contains(&format!("value=\"{code}\"")), "{page:?}");

        let submit = |password: &str| {
            let form = [("email", "owner@example.com"), ("code", code), ("password", password)];
            server.anonymous().submit(&path, &form)
        };
        let short = submit("short");
        assert!(short.status == 400 && short.text.contains("at least 8 characters"), "{short:?}");
        assert!(short.text.contains(&format!("value=\"{code}\"")), "{short:?}");
        assert!(submit(NEW).text.contains("The password is set"));
        assert!(submit(NEW).text.contains("The selected code is invalid."));
        server.anonymous().post("/login", json!({"email": "owner@example.com", "password": NEW})).ok();
    }
}

//! The page of a person who has forgotten the password. Its response does not reveal whether an address has an account.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::problems::Problems;
use super::session::BrowserSession;
use super::translations::Translations;
use super::{Message, refused_status, sign_in};
use crate::api::{BlockingCtx, Form, Html, InnerRequest, Needs, Result, Route, blocking, get, post, render};
use crate::values::Text;

pub const PATH: &str = "/ui/password-forgot";

pub const ROUTES: &[Route] = &[
    get(PATH, &blocking(show), Needs::Anyone, "Show the page to request a password reset"),
    post(PATH, &blocking(request), Needs::Anyone, "Request a password reset by mail").with_form_key(),
];

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ForgottenForm {
    /// Email address of the account.
    email: Text<1000>,
}

#[derive(Template)]
#[template(path = "page_password_forgotten.html")]
struct ForgottenPage<'a> {
    words: Translations,
    email: &'a str,
    form_key: &'a str,
    problems: &'a Problems,
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession) -> Result<Html> {
    page(ctx, &browser, StatusCode::OK, "", &Problems::default())
}

fn request(ctx: &BlockingCtx<'_>, browser: BrowserSession, Form(filled): Form<ForgottenForm>) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let email = filled.as_ref().map(|filled| filled.email.trim().to_owned()).unwrap_or_default();
    let sent = filled.and_then(|_| ctx.send(InnerRequest::post("/password/forgot", json!({"email": email}))));
    match sent {
        Ok(_) => {
            let (title, text) = (words.look_into_your_mail(), words.reset_was_mailed(&email));
            let (back, label) = (sign_in::path(""), words.sign_in());
            Message { link: Some((&back, &label)), ..Message::about(words, &title, &text) }.page(StatusCode::OK)
        }
        Err(error) => {
            let (status, problems) = (refused_status(&error), Problems::of(words, error, &["email"])?);
            page(ctx, &browser, status, &email, &problems)
        }
    }
}

fn page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    email: &str,
    problems: &Problems,
) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let (form_key, cookie) = browser.form_key()?;
    let text = render(&ForgottenPage { words, email, form_key: &form_key, problems })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

#[cfg(test)]
mod tests {
    use crate::tests::{TestBrowser, TestServer};

    #[test]
    fn a_forgotten_password_gets_the_same_response_for_every_address() {
        let server = TestServer::with(&[("throttle_attempts", "3")]);
        let mut browser = TestBrowser::new(&server);
        let mut request = |email: &str| {
            browser.go("/ui/password-forgot").submit("/ui/password-forgot", &[("email", email)]);
            (browser.page.status.as_u16(), browser.page.text.replace(email, "it"))
        };
        let known = request("owner@example.com");
        assert!(known.0 == 200 && known.1.contains("a mail with a link is on its way"), "{known:?}");
        assert_eq!(request("nobody@example.com"), known);
        let (status, page) = request("nobody");
        assert!(status == 422 && page.contains("id=\"email-problem\">The email must be a valid email"), "{page}");
        request("third@example.com");
        let (status, page) = request("fourth@example.com");
        assert!(status == 429 && page.contains(" seconds."), "{page}");
        let mails = server.mails();
        assert!(mails.len() == 1 && mails[0].text.contains("/ui/password-reset?"), "{mails:?}");
    }
}

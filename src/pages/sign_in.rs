//! The page to sign in to a workspace, before continuing to another page.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shown;
use super::visitor::{SESSION_LASTS, Visitor};
use super::words::Words;
use crate::api::{
    Address, Error, Form, Html, Needs, Query, Redirect, Result, Route, Steps, Tries, Visited, get, hashing, post,
    rendered, steps,
};
use crate::auth::Scope;
use crate::central::login_challenges;
use crate::central::session::{self, Credentials};
use crate::values::{Email, Name, Text};

pub const ROUTES: &[Route] = &[
    get("/ui/sign-in", &steps(show), Needs::Anyone, "Show the sign-in page"),
    post("/ui/sign-in", &hashing(sign_in), Needs::Anyone, "Sign in with a password").with_form_key(),
    post("/ui/sign-in/code", &steps(sign_in_with_code), Needs::Anyone, "Complete a sign-in with a second-factor code")
        .with_form_key(),
    post("/ui/sign-out", &steps(sign_out), Needs::Anyone, "Sign out and continue to the sign-in page"),
];

/// The label of a session's token in the list of tokens.
const LABEL: &str = "browser";

/// The path to continue to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Way {
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
    words: Words,
    challenge: &'a str,
    to: &'a str,
    form_key: &'a str,
    problems: &'a [String],
}

#[derive(Template)]
#[template(path = "page_sign_in.html")]
struct Page<'a> {
    words: Words,
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

fn show(steps: &Steps<'_>, visitor: Visitor, Query(way): Query<Way>) -> Result<Html> {
    let filled = SigningIn { to: way.to, ..SigningIn::default() };
    page(steps, &visitor, StatusCode::OK, &filled, &[])
}

fn sign_in(steps: &Steps<'_>, visitor: Visitor, tries: Tries, Form(filled): Form<SigningIn>) -> Result<Visited> {
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => return refused(steps, &visitor, error, &SigningIn::default()),
    };
    match check_password(steps, &tries, &filled) {
        Ok(account_id) => begin_session(steps, &visitor, account_id, &filled),
        Err(Error::SecondFactorRequired(challenge)) => {
            code_page(steps, &visitor, StatusCode::OK, &challenge, &filled.to, &[]).map(Visited::Page)
        }
        Err(error) => refused(steps, &visitor, error, &filled),
    }
}

fn sign_in_with_code(
    steps: &Steps<'_>,
    visitor: Visitor,
    tries: Tries,
    Form(filled): Form<SigningInWithCode>,
) -> Result<Visited> {
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => return refused(steps, &visitor, error, &SigningIn::default()),
    };
    let back = SigningIn { to: filled.to.clone(), ..SigningIn::default() };
    match check_code(steps, &tries, &filled) {
        Ok(account_id) => begin_session(steps, &visitor, account_id, &back),
        Err(error @ Error::WrongCode) => shown(Words::of(steps.call), error, |status, problems| {
            code_page(steps, &visitor, status, &filled.challenge, &filled.to, problems)
        })
        .map(Visited::Page),
        Err(error) => refused(steps, &visitor, error, &back),
    }
}

/// Shows the page again with its errors.
fn refused(steps: &Steps<'_>, visitor: &Visitor, error: Error, filled: &SigningIn) -> Result<Visited> {
    let page = |status, problems: &[String]| page(steps, visitor, status, filled, problems);
    shown(Words::of(steps.call), error, page).map(Visited::Page)
}

/// The account with this email and password. If the account has a second factor, the error is a challenge.
fn check_password(steps: &Steps<'_>, tries: &Tries, filled: &SigningIn) -> Result<i64> {
    let email = Email::of_account(filled.email.trim()).map_err(|_| Error::InvalidCredentials)?;
    let password = Name::parse(filled.password.to_string()).map_err(|_| Error::InvalidCredentials)?;
    let account_id = session::verify(steps, tries, &Credentials { email, password })?.id;
    login_challenges::challenge(steps, account_id, Some(steps.call.workspace()?.id()))?;
    Ok(account_id)
}

fn check_code(steps: &Steps<'_>, tries: &Tries, filled: &SigningInWithCode) -> Result<i64> {
    let challenge = Name::parse(filled.challenge.to_string()).map_err(|_| Error::WrongChallenge)?;
    let code = Name::parse(filled.code.to_string()).map_err(|_| Error::WrongCode)?;
    let workspace = steps.call.workspace()?.id();
    let answer = login_challenges::Answer { challenge, code };
    Ok(login_challenges::answer(steps, tries, &answer, Some(workspace))?.account_id)
}

/// Starts a session and redirects. If the workspace requires a second factor that the account lacks, the second-factor
/// page comes first.
fn begin_session(steps: &Steps<'_>, visitor: &Visitor, account_id: i64, filled: &SigningIn) -> Result<Visited> {
    let workspace = steps.call.workspace()?.id();
    if let Err(error) = session::admit(steps, account_id, workspace) {
        return refused(steps, visitor, error, filled);
    }
    let to = match session::lacks_second_factor(steps, account_id, workspace)? {
        true => super::second_factor::path(on_this_host(&filled.to)),
        false => on_this_host(&filled.to).to_owned(),
    };
    let scope = Scope::Workspace(workspace);
    let issued = session::begin_session(steps, account_id, scope, LABEL, SESSION_LASTS)?;
    Ok(Visited::Onward(Redirect::to(to).with_cookie(visitor.signed_in(issued.token))))
}

fn sign_out(steps: &Steps<'_>, visitor: Visitor, Form(filled): Form<SigningOut>) -> Result<Visited> {
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => return refused(steps, &visitor, error, &SigningIn::default()),
    };
    let onward = Redirect::to(path(&filled.to));
    // A form of another site arrives without the session and must not end it, so the cookie stays.
    let Some(session) = &visitor.session else { return Ok(Visited::Onward(onward)) };
    let (id, now) = (session.id, steps.now);
    steps.engine.central.revoke_token(id, now)?;
    Ok(Visited::Onward(onward.with_cookie(visitor.signed_out())))
}

/// The path if it is a path on this host, else `/docs`. Browsers treat `//` and `/\` as the start of a URL on another
/// host.
pub fn on_this_host(to: &str) -> &str {
    let is_path = to.starts_with('/') && !to[1..].starts_with(['/', '\\']);
    if is_path && to.bytes().all(|byte| byte.is_ascii_graphic()) { to } else { "/docs" }
}

fn code_page(
    steps: &Steps<'_>,
    visitor: &Visitor,
    status: StatusCode,
    challenge: &str,
    to: &str,
    problems: &[String],
) -> Result<Html> {
    let (form_key, cookie) = visitor.form_key()?;
    let words = Words::of(steps.call);
    let text = rendered(&CodePage { words, challenge, to, form_key: &form_key, problems })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

fn page(
    steps: &Steps<'_>,
    visitor: &Visitor,
    status: StatusCode,
    filled: &SigningIn,
    problems: &[String],
) -> Result<Html> {
    let id = steps.call.workspace()?.id();
    let workspace = steps.engine.central.workspace_name(id)?;
    let (form_key, cookie) = visitor.form_key()?;
    let words = Words::of(steps.call);
    let text = rendered(&Page {
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

//! The page to add or remove a second factor.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session::BrowserSession;
use super::translations::Translations;
use super::{shown, sign_in};
use crate::api::{
    BlockingCtx, Error, Form, Html, Needs, Query, RateLimit, Result, Route, blocking, get, hashing, post, render,
};
use crate::auth::TokenInUse;
use crate::central::second_factor::{self, Enrollment, SecondFactorRemoval};
use crate::values::{Name, Text};

pub const ROUTES: &[Route] = &[
    get("/ui/second-factor", &blocking(show), Needs::SignedIn, "Show the second-factor page"),
    post("/ui/second-factor", &hashing(change), Needs::SignedIn, "Add or remove a second factor"),
];

/// The path to continue to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReturnQuery {
    /// Path on this host.
    to: Text<8000>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecondFactorForm {
    /// `begin`, `confirm`, `renew` or `remove`.
    action: Text<20>,
    /// Password of the account, for `begin` and `remove`.
    current_password: Text<1000>,
    /// A code from the app; for `renew` and `remove` also a recovery code.
    code: Text<40>,
    /// Path on this host to continue to.
    to: Text<8000>,
}

#[derive(Template)]
#[template(path = "page_second_factor.html")]
struct SecondFactorPage<'a> {
    words: Translations,
    enabled: bool,
    /// Number of unused recovery codes.
    left: &'a str,
    /// The started enrollment.
    enrollment: Option<&'a Enrollment>,
    /// New recovery codes.
    codes: &'a [String],
    to: &'a str,
    form_key: &'a str,
    problems: &'a [String],
}

/// The URL of this page, with the path to continue to.
pub fn path(to: &str) -> String {
    sign_in::path_with_return("/ui/second-factor", to)
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(onward): Query<ReturnQuery>) -> Result<Html> {
    page(ctx, &browser, StatusCode::OK, &onward.to, &[], &[])
}

fn change(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    rate_limit: RateLimit,
    Form(filled): Form<SecondFactorForm>,
) -> Result<Html> {
    let to = filled.as_ref().map(|filled| filled.to.clone()).unwrap_or_default();
    match filled.and_then(|filled| apply(ctx, &rate_limit, ctx.token()?, &filled)) {
        Ok(codes) => page(ctx, &browser, StatusCode::OK, &to, &codes, &[]),
        Err(error) => shown(Translations::of(ctx.request), error, |status, problems| {
            page(ctx, &browser, status, &to, &[], problems)
        }),
    }
}

/// Applies the action of a button. Returns new recovery codes, if any were created.
fn apply(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    session: &TokenInUse,
    filled: &SecondFactorForm,
) -> Result<Vec<String>> {
    let account_id = session.account_id;
    match &*filled.action {
        "begin" => {
            second_factor::begin_enrollment(ctx, rate_limit, session, &filled.current_password)?;
            Ok(Vec::new())
        }
        "confirm" => {
            let done = second_factor::finish_enrollment(ctx, rate_limit, account_id, &filled.code)?;
            Ok(done.recovery_codes.unwrap_or_default())
        }
        "renew" => second_factor::renew(ctx, rate_limit, account_id, &filled.code),
        "remove" => {
            let current_password = Name::parse(filled.current_password.to_string());
            let given = SecondFactorRemoval {
                current_password: current_password.map_err(|_| Error::InvalidCredentials)?,
                code: Name::parse(filled.code.to_string()).map_err(|_| Error::WrongCode)?,
            };
            second_factor::remove(ctx, rate_limit, session, &given)?;
            Ok(Vec::new())
        }
        _ => Err(Error::invalid("The selected action is invalid.")),
    }
}

fn page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    to: &str,
    codes: &[String],
    problems: &[String],
) -> Result<Html> {
    let account_id = ctx.token()?.account_id;
    let state = ctx.instance.central.second_factor(account_id)?;
    let enrollment = match state.enabled {
        true => None,
        false => second_factor::begun_enrollment(ctx, account_id)?,
    };
    let (form_key, cookie) = browser.form_key()?;
    let words = Translations::of(ctx.request);
    let text = render(&SecondFactorPage {
        words,
        enabled: state.enabled,
        left: &state.recovery_codes_left.to_string(),
        enrollment: enrollment.as_ref(),
        codes,
        to: sign_in::on_this_host(to),
        form_key: &form_key,
        problems,
    })?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

#[cfg(test)]
mod tests {
    use http::header;
    use serde_json::json;

    use crate::auth::TokenScope;
    use crate::tests::{AuthenticatorApp, PASSWORD, TestClient, TestResponse, TestServer};

    fn hidden(page: &TestResponse, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = page.text.split_once(&start).unwrap_or_else(|| panic!("no {name} in {}", page.text));
        rest.split('"').next().unwrap().to_owned()
    }

    fn visitor(server: &TestServer) -> TestClient<'_> {
        server.anonymous().at("acme.localhost").with_header("accept-language", "en")
    }

    fn with_cookie<'b>(server: &'b TestServer, answer: &TestResponse) -> TestClient<'b> {
        let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
        visitor(server).with_header("cookie", set.split(';').next().unwrap())
    }

    fn location(answer: &TestResponse) -> &str {
        assert_eq!(answer.status, 303, "{}", answer.text);
        answer.headers[header::LOCATION].to_str().unwrap()
    }

    /// Sends the password on the sign-in page. Returns the response and the browser that sent it.
    fn give_password<'b>(server: &'b TestServer, email: &str) -> (TestClient<'b>, TestResponse) {
        let page = visitor(server).get("/ui/sign-in?to=/docs");
        let browser = with_cookie(server, &page);
        let form_key = hidden(&page, "form_key");
        let form = [("email", email), ("password", PASSWORD), ("to", "/docs"), ("form_key", &form_key)];
        let answer = browser.submit("/ui/sign-in", &form);
        (browser, answer)
    }

    #[test]
    fn a_person_signs_in_with_a_code() {
        let server = TestServer::new();
        let app = AuthenticatorApp::enroll(&server.central());
        let (browser, page) = give_password(&server, "owner@example.com");
        assert!(page.status == 200 && page.headers.get(header::SET_COOKIE).is_none(), "{page:?}");
        let (form_key, challenge) = (hidden(&page, "form_key"), hidden(&page, "challenge"));
        let submit = |browser: &TestClient<'_>, code: &str| {
            let form = [("challenge", &*challenge), ("code", code), ("to", "/docs"), ("form_key", &form_key)];
            browser.submit("/ui/sign-in/code", &form)
        };
        let wrong = submit(&browser, "000000");
        assert!(wrong.status == 401 && wrong.text.contains("The code is wrong"), "{wrong:?}");
        let other_site = submit(&browser.with_header("sec-fetch-site", "cross-site"), &app.code());
        assert_eq!(other_site.status, 403);
        let done = submit(&browser, &app.code());
        assert_eq!(location(&done), "/docs");
        let page = with_cookie(&server, &done).get("/ui/second-factor");
        assert!(page.status == 200 && page.text.contains("Recovery codes left: 10."), "{page:?}");
        let again = submit(&browser, &app.recovery_codes[0]);
        assert!(again.status == 401 && again.text.contains("The login has expired"), "{again:?}");
    }

    #[test]
    fn a_member_who_must_have_one_adds_it_on_the_way_and_removes_it_again() {
        let server = TestServer::new();
        server.join_acme("zoe@example.com", "agent");
        AuthenticatorApp::enroll(&server.central());
        server.admin().put("/settings", json!({"require_second_factor": true})).created();
        server.admin().post("/contacts", json!({"last_name": "Lefèvre"})).created();
        let (_, done) = give_password(&server, "zoe@example.com");
        assert_eq!(location(&done), "/ui/second-factor?to=%2Fdocs");
        let browser = with_cookie(&server, &done);
        assert_eq!(browser.get("/ui/contacts/1").status, 403, "not before");
        let page = browser.get(location(&done));
        let form_key = hidden(&page, "form_key");
        let submit = |more: &[(&str, &str)]| {
            let form = [("form_key", form_key.as_str()), ("to", "/docs")];
            browser.submit("/ui/second-factor", &[&form, more].concat())
        };
        let wrong = submit(&[("action", "begin"), ("current_password", "wrong")]);
        assert!(wrong.status == 401 && !wrong.text.contains("<svg"), "{wrong:?}");
        let begun = submit(&[("action", "begin"), ("current_password", PASSWORD)]);
        assert!(begun.status == 200 && begun.text.contains("<svg"), "{begun:?}");
        let (_, rest) = begun.text.split_once("Key: <code>").unwrap();
        let mut app = AuthenticatorApp::with_secret(rest.split('<').next().unwrap());
        let wrong = submit(&[("action", "confirm"), ("code", "000000")]);
        assert!(wrong.status == 400 && wrong.text.contains("<svg"), "{wrong:?}");
        let done = submit(&[("action", "confirm"), ("code", &app.code())]);
        app.recovery_codes = done.text.split("<li><code>").skip(1).map(|code| code[..19].to_owned()).collect();
        assert!(done.status == 200 && app.recovery_codes.len() == 10, "{done:?}");
        assert_eq!(browser.get("/ui/contacts/1").status, 200);

        let renewed = submit(&[("action", "renew"), ("code", &app.recovery_codes[0])]);
        assert!(renewed.text.contains("<li><code>") && !renewed.text.contains(&app.recovery_codes[1]), "{renewed:?}");
        let removed = submit(&[("action", "remove"), ("current_password", PASSWORD), ("code", &app.code())]);
        assert!(removed.status == 200 && removed.text.contains("Add a second factor"), "{removed:?}");
        assert_eq!(submit(&[("action", "explode")]).status, 400);
        let central = server.anonymous().with_token(server.token("zoe@example.com", TokenScope::Central));
        assert_eq!(central.get("/account/second-factor").ok()["enabled"], false);
        let nobody = server.anonymous().at("acme.localhost");
        assert_eq!(
            location(&nobody.get("/ui/second-factor?to=")),
            "/ui/sign-in?to=%2Fapi%2Fui%2Fsecond-factor%3Fto%3D"
        );
        assert_eq!(location(&nobody.submit("/ui/second-factor", &[])), "/ui/sign-in?to=%2Fapi%2Fui%2Fsecond-factor");
    }
}

//! The page to create an account, optionally with a first workspace.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::problems::Problems;
use super::session::{BROWSER, BrowserSession};
use super::sign_in::{self, ProviderButton, ReturnTo, host_of};
use super::translations::Translations;
use super::{Message, provider_page, refused_status};
use crate::api::json_body::ValueReader;
use crate::api::{
    BlockingCtx, Form, Html, Needs, PageOrRedirect, Query, RateLimit, Redirect, Result, Route, blocking, get, hashing,
    post, render,
};
use crate::central::registration::{self, NewRegistration};
use crate::config::Registration;
use crate::values::Text;

pub const PATH: &str = "/ui/register";

pub const ROUTES: &[Route] = &[
    get(PATH, &blocking(show), Needs::Anyone, "Show the registration page"),
    post(PATH, &hashing(register), Needs::Anyone, "Create an account").with_form_key(),
];

/// The command that creates an account where registration is not open.
const COMMAND: &str = "cx-engine account create";

const FIELDS: &[&str] = &["name", "email", "password", "workspace_name"];

/// The form, as typed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RegistrationForm {
    /// Full name.
    name: Text<1000>,
    /// Email address of the new account.
    email: Text<1000>,
    /// Password of the new account.
    password: Text<1000>,
    /// Name of a first workspace to create. May be blank.
    workspace_name: Text<1000>,
    /// Path on this host to continue to.
    to: Text<8000>,
}

#[derive(Template)]
#[template(path = "page_register.html")]
struct RegistrationPage<'a> {
    words: Translations,
    /// Whether the account becomes the first of the instance.
    is_first: bool,
    filled: &'a RegistrationForm,
    sign_in: &'a str,
    providers: &'a [ProviderButton],
    host: &'a str,
    form_key: &'a str,
    problems: &'a Problems,
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession, Query(way): Query<ReturnTo>) -> Result<PageOrRedirect> {
    if ctx.instance.config.require_single_sign_on {
        return Ok(PageOrRedirect::Redirect(Redirect::to(sign_in::path(&way.to))));
    }
    let words = Translations::of(ctx.request);
    let is_first = !ctx.instance.central.has_accounts()?;
    let closed = match ctx.instance.config.registration {
        Registration::Open => {
            let filled = RegistrationForm { to: way.to, ..RegistrationForm::default() };
            let page = page(ctx, &browser, StatusCode::OK, is_first, &filled, &Problems::default());
            return page.map(PageOrRedirect::Page);
        }
        _ if is_first => words.first_account_by_command(COMMAND),
        Registration::Invite => words.registration_by_invitation(),
        Registration::Closed => words.registration_closed(),
    };
    let title = if is_first { words.create_first_account() } else { words.create_account() };
    let (sign_in, label) = (sign_in::path(&way.to), words.sign_in());
    let link = (!is_first).then_some((sign_in.as_str(), label.as_str()));
    Message { link, ..Message::about(words, &title, &closed) }.page(StatusCode::OK).map(PageOrRedirect::Page)
}

fn register(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    rate_limit: RateLimit,
    Form(filled): Form<RegistrationForm>,
) -> Result<PageOrRedirect> {
    let words = Translations::of(ctx.request);
    let is_first = !ctx.instance.central.has_accounts()?;
    let typed = filled.as_ref().map_or_else(|_| RegistrationForm::default(), Clone::clone);
    let registered = filled.and_then(|filled| {
        let new = ValueReader::of(ctx.request).new_value::<NewRegistration>(&filled.fields())?;
        registration::register_with(ctx, &rate_limit, new, BROWSER)
    });
    match registered {
        Ok(registered) => {
            let onward = Redirect::to(sign_in::on_this_host(&typed.to));
            Ok(PageOrRedirect::Redirect(onward.with_cookie(Some(browser.signed_in(registered.issued.token)))))
        }
        Err(error) => {
            let (status, problems) = (refused_status(&error), Problems::of(words, error, FIELDS)?);
            page(ctx, &browser, status, is_first, &typed, &problems).map(PageOrRedirect::Page)
        }
    }
}

impl RegistrationForm {
    /// The fields of the API, without blank ones.
    fn fields(&self) -> Map<String, Value> {
        let all = [
            ("name", self.name.trim()),
            ("email", self.email.trim()),
            ("password", &*self.password),
            ("workspace_name", self.workspace_name.trim()),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into(), json!(value)))
            .collect()
    }
}

fn page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    status: StatusCode,
    is_first: bool,
    filled: &RegistrationForm,
    problems: &Problems,
) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let (form_key, cookie) = browser.form_key()?;
    let url = ctx.instance.public_url().central();
    let to = sign_in::on_this_host(&filled.to);
    let text = render(&RegistrationPage {
        words,
        is_first,
        filled,
        sign_in: &sign_in::path(&filled.to),
        providers: &sign_in::provider_buttons(ctx, |provider| provider_page::path(provider, to))?,
        host: host_of(&url),
        form_key: &form_key,
        problems,
    })?;
    let destination = super::enter::destination(ctx, &filled.to)?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie).leading_to(destination))
}

#[cfg(test)]
mod tests {
    use crate::api::Error;
    use crate::tests::{PASSWORD, TestBrowser, TestServer};

    const ZOE: [(&str, &str); 3] = [("name", "Zoé"), ("email", "zoe@example.com"), ("password", "quite-a-long-one")];

    #[test]
    fn whoever_registers_is_signed_in_with_a_first_workspace() {
        let server = TestServer::new();
        let mut browser = TestBrowser::new(&server);
        browser.go("/ui/sign-in?to=%2Fui%2Fsecond-factor");
        assert!(browser.page.text.contains("href=\"/ui/register?to=%2Fui%2Fsecond-factor\""), "{:?}", browser.page);
        browser.go("/ui/register?to=%2Fui%2Fsecond-factor");
        browser.submit("/ui/register", &[&ZOE[..], &[("workspace_name", "Zoé & Cie")]].concat());
        assert_eq!((browser.page.status.as_u16(), browser.url.as_str()), (200, "http://localhost/ui/second-factor"));
        browser.go("http://zoe-cie.localhost/ui/enter?to=%2Fui%2Fsecond-factor");
        assert_eq!(browser.url, "http://zoe-cie.localhost/ui/second-factor");
    }

    #[test]
    fn a_refused_registration_shows_the_form_as_typed_with_a_sentence_at_each_field() {
        let server = TestServer::new();
        for (browser, at_name, at_password) in [
            (TestBrowser::new(&server), "The name field is required.", "must be at least 8 characters."),
            (TestBrowser::new(&server).in_french(), "Le nom est obligatoire.", "doit avoir au moins 8 caractères."),
        ] {
            let mut browser = browser;
            browser.go("/ui/register");
            let typed =
                [("name", " "), ("email", "zoe@example.com"), ("password", "short"), ("workspace_name", "A \"B\"")];
            browser.submit("/ui/register", &typed);
            let page = &browser.page;
            assert_eq!(page.status, 422, "{page:?}");
            assert!(page.text.contains(&format!("id=\"name-problem\">{at_name}")), "{page:?}");
            assert!(page.text.contains("id=\"password-problem\">") && page.text.contains(at_password), "{page:?}");
            assert!(page.text.contains("A &#34;B&#34;") && page.text.contains("zoe@example.com"), "{page:?}");
            assert!(!page.text.contains("short"), "a password is never shown: {page:?}");
        }
        let mut browser = TestBrowser::new(&server);
        browser.go("/ui/register").submit("/ui/register", &[&ZOE[..], &[("email", "OWNER@example.com")]].concat());
        assert!(browser.page.text.contains("id=\"email-problem\">The email has already been taken."), "{browser:?}");
    }

    #[test]
    fn too_many_attempts_say_how_long_to_wait() {
        let server = TestServer::with(&[("throttle_attempts", "1")]);
        let mut browser = TestBrowser::new(&server);
        let taken = [&ZOE[..], &[("email", "owner@example.com")]].concat();
        browser.go("/ui/register").submit("/ui/register", &taken).submit("/ui/register", &taken);
        let page = &browser.page;
        assert!(
            page.status == 429 && page.text.contains("Try again in ") && page.text.contains(" seconds."),
            "{page:?}"
        );
        browser.go("/ui/sign-in");
        for status in [401, 429] {
            browser.submit("/ui/sign-in", &[("email", "owner@example.com"), ("password", "wrong")]);
            assert_eq!(browser.page.status, status, "{browser:?}");
        }
        assert!(browser.page.text.contains(" seconds."), "{browser:?}");
    }

    /// Deletes everything, as if the instance were new.
    fn empty(server: &TestServer) {
        let delete = "DELETE FROM workspaces; DELETE FROM accounts;";
        server.instance.central.write(move |db| Ok::<_, Error>(db.execute_batch(delete)?)).unwrap();
    }

    #[test]
    fn an_empty_instance_leads_to_its_first_account() {
        let server = TestServer::new();
        empty(&server);
        let mut browser = TestBrowser::new(&server);
        browser.go("http://localhost/ui/second-factor");
        assert_eq!(browser.url, "http://localhost/ui/register");
        assert!(browser.page.text.contains("<h1>Make the first account</h1>"), "{browser:?}");
        browser.submit("/ui/register", &ZOE);
        assert!(browser.has_session("localhost"), "{browser:?}");
        let zoe = server.anonymous().with_token(server.token("zoe@example.com", crate::auth::TokenScope::Central));
        zoe.get("/instance").ok();
    }

    #[test]
    fn where_registration_is_not_open_the_page_says_what_to_do() {
        for (setting, said) in [("invite", "by invitation only"), ("closed", "An operator of the server can create")] {
            let server = TestServer::with(&[("registration", setting)]);
            let mut browser = TestBrowser::new(&server);
            browser.go("/ui/sign-in");
            assert!(!browser.page.text.contains("/ui/register"), "{browser:?}");
            let fields = browser.fields("/ui/sign-in");
            browser.go("/ui/register");
            assert!(browser.page.text.contains(said) && !browser.page.text.contains("<form"), "{browser:?}");
            // A form that was loaded while registration was open.
            let form_key = fields.into_iter().find(|(name, _)| name == "form_key").unwrap().1;
            browser.page.text = "<form action=\"/ui/register\"></form>".into();
            browser.submit("/ui/register", &[&ZOE[..], &[("form_key", &form_key)]].concat());
            assert_eq!(browser.page.status, 422, "{browser:?}");
            empty(&server);
            browser.go("/ui/sign-in");
            assert!(browser.page.text.contains("cx-engine account create"), "{browser:?}");
        }
    }

    #[test]
    fn a_person_signs_in_to_the_central_host_with_a_second_factor() {
        let server = TestServer::new();
        let app = crate::tests::AuthenticatorApp::enroll(&server.central());
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        assert!(browser.page.text.contains("action=\"/ui/sign-in/code\""), "{browser:?}");
        browser.submit("/ui/sign-in/code", &[("code", "000000")]);
        assert_eq!(browser.page.status, 401, "{browser:?}");
        browser.submit("/ui/sign-in/code", &[("code", &app.code())]);
        assert!(browser.has_session("localhost"), "{browser:?}");
        browser.go("/ui/second-factor");
        assert!(browser.page.text.contains("Recovery codes left: 10."), "{browser:?}");
        browser.submit(
            "/ui/second-factor",
            &[("action", "remove"), ("current_password", PASSWORD), ("code", &app.code())],
        );
        assert!(browser.page.text.contains("Add a second factor"), "{browser:?}");
    }
}

//! The page that an invitation mail links to. A person with an account logs in and joins; others register.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session::BrowserSession;
use super::sign_in::{self, ProviderButton};
use super::translations::Translations;
use super::{Message, provider_page, shown};
use crate::api::{
    BlockingCtx, Error, Form, Html, Needs, PathCode, RateLimit, Result, Route, blocking, get, hashing, post, render,
};
use crate::central::account_session::{self, Login};
use crate::central::invitations::{self, InviteByCode};
use crate::central::{accounts, registration};
use crate::values::{Name, Password};

pub const ROUTES: &[Route] = &[
    get("/ui/invitations/{code}", &blocking(show), Needs::Anyone, "Show the page of an invitation"),
    post("/ui/invitations/{code}", &hashing(accept), Needs::Anyone, "Accept an invitation"),
];

/// The form to accept an invitation.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Accepting {
    /// Name for a new account.
    name: Option<Name<255>>,
    /// Password of the account, or for the new one.
    password: Name<1000>,
}

#[derive(Template)]
#[template(path = "page_invitation.html")]
struct InvitationPage<'a> {
    words: Translations,
    is: ShownInvitation<'a>,
    providers: &'a [ProviderButton],
    /// Whether a password may be entered.
    has_passwords: bool,
    form_key: &'a str,
    problems: &'a [String],
}

struct ShownInvitation<'a> {
    workspace: &'a str,
    inviter: &'a str,
    role: &'a str,
    email: &'a str,
    /// The name as entered, else as the inviter gave it.
    name: &'a str,
    account_exists: bool,
}

fn show(ctx: &BlockingCtx<'_>, browser: BrowserSession, PathCode(code): PathCode) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let Some(found) = ctx.instance.central.invitation_by_code(&code)? else { return no_invitation(words) };
    match found.invite.check_open(ctx.now) {
        Ok(()) => page(ctx, &browser, &code, StatusCode::OK, &found, None, &[]),
        Err(closed) => {
            let why = words.problems(&closed).join(" ");
            Message::about(words, &words.invitation_closed(), &why).page(closed.status())
        }
    }
}

fn accept(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    PathCode(code): PathCode,
    rate_limit: RateLimit,
    Form(filled): Form<Accepting>,
) -> Result<Html> {
    let words = Translations::of(ctx.request);
    let Some(found) = ctx.instance.central.invitation_by_code(&code)? else { return no_invitation(words) };
    let typed = filled.as_ref().ok().and_then(|filled| filled.name.clone());
    match filled.and_then(|filled| join(ctx, rate_limit, &found, filled)) {
        Ok(()) => {
            let workspace = &found.invite.workspace;
            let url = ctx.instance.public_url().workspace(&workspace.subdomain);
            let text = words.you_are_a_member(&workspace.name, &found.invite.email);
            Message { link: Some((&url, &url)), ..Message::about(words, &words.welcome(), &text) }.page(StatusCode::OK)
        }
        Err(error) => shown(words, error, |status, problems| {
            page(ctx, &browser, &code, status, &found, typed.as_deref(), problems)
        }),
    }
}

fn join(ctx: &BlockingCtx<'_>, rate_limit: RateLimit, found: &InviteByCode, filled: Accepting) -> Result<()> {
    let (instance, now, email) = (ctx.instance, ctx.now, found.invite.email.clone());
    found.invite.check_open(now)?;
    let account = if found.account_exists {
        let account = account_session::verify(ctx, &rate_limit, &Login { email, password: filled.password })?;
        let origin = ctx.request.origin().by(account.id);
        // The mailed code verifies the address of the invitation.
        instance.central.confirm_own_email(account, &found.invite.email, origin)?
    } else {
        registration::check(&instance.config, true)?;
        let name = filled.name.ok_or_else(|| Error::invalid("The name field is required."))?;
        let password = Password::parse(filled.password.to_string());
        let password = password.map_err(|said| Error::invalid(format!("The password {said}")))?;
        invitations::check_workspace(instance, found.invite.workspace.id)?;
        accounts::create(instance, name, email, &password, false, &ctx.request.origin())?
    };
    invitations::join(ctx, &account, &found.invite).map(|_| ())
}

fn page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    code: &str,
    status: StatusCode,
    found: &InviteByCode,
    name: Option<&str>,
    problems: &[String],
) -> Result<Html> {
    let invite = &found.invite;
    let is = ShownInvitation {
        workspace: &invite.workspace.name,
        inviter: &invite.invited_by.name,
        role: &invite.role.name,
        email: &invite.email,
        name: name.or(invite.name.as_deref()).unwrap_or_default(),
        account_exists: found.account_exists,
    };
    let config = &ctx.instance.config;
    let providers = sign_in::provider_buttons(ctx, |provider| provider_page::invitation_path(provider, code))?;
    let (form_key, cookie) = browser.form_key()?;
    let words = Translations::of(ctx.request);
    let has_passwords = !config.require_single_sign_on;
    let page = InvitationPage { words, is, providers: &providers, has_passwords, form_key: &form_key, problems };
    let text = render(&page)?;
    Ok(Html::new(status, words.0, text).with_cookie(cookie))
}

fn no_invitation(words: Translations) -> Result<Html> {
    Message::about(words, &words.no_such_invitation(), &words.which_link_works()).page(StatusCode::NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::tests::{PASSWORD, TestResponse, TestServer};

    fn invited(server: &TestServer, email: &str) -> String {
        let body = json!({"email": email, "role_id": 3, "name": "Grace <b>"});
        server.admin().post("/user-invites", body).created();
        let text = server.mails().pop().unwrap().text;
        let (_, rest) = text.split_once("http://localhost/ui/").unwrap();
        format!("/ui/{}", rest.split_whitespace().next().unwrap())
    }

    fn filled(server: &TestServer, path: &str, form: &[(&str, &str)]) -> TestResponse {
        server.anonymous().submit(path, form)
    }

    #[test]
    fn somebody_without_an_account_makes_one_and_is_in() {
        let server = TestServer::with(&[("registration", "invite")]);
        let path = invited(&server, "grace@example.com");
        let page = server.anonymous().send(Method::GET, &path, None);
        assert_eq!(page.status, 200);
        for said in ["Join acme", "value=\"grace@example.com\"", "Grace &#60;b&#62;", "Create an account and join"] {
            assert!(page.text.contains(said), "{said} is not in {}", page.text);
        }
        let short = filled(&server, &path, &[("name", "Gr\"ace"), ("password", "short")]);
        assert_eq!(short.status, 400);
        assert!(
            short.text.contains("must be at least 8 characters.") && short.text.contains("Gr&#34;ace"),
            "{short:?}"
        );
        let nameless = filled(&server, &path, &[("name", ""), ("password", PASSWORD)]);
        assert!(nameless.text.contains("The name field is required."), "{nameless:?}");

        let done = filled(&server, &path, &[("name", "Grace"), ("password", PASSWORD)]);
        assert!(done.status == 200 && done.text.contains("http://acme.localhost"), "{done:?}");
        let login = json!({"email": "grace@example.com", "password": PASSWORD});
        let inside = server.anonymous().at("acme.localhost").post("/login", login).ok();
        assert_eq!((&inside["user"]["name"], &inside["user"]["role"]["name"]), (&json!("Grace"), &json!("agent")));
        let again = server.anonymous().send(Method::GET, &path, None);
        assert!(again.status == 422 && again.text.contains("already been accepted"), "{again:?}");
    }

    #[test]
    fn somebody_with_an_account_gives_its_password() {
        let server = TestServer::new();
        server.stranger();
        let path = invited(&server, "stranger@example.com");
        assert!(server.anonymous().send(Method::GET, &path, None).text.contains("Log in and join"));
        let wrong = filled(&server, &path, &[("password", "wrong-password")]);
        assert!(wrong.status == 401 && wrong.text.contains("The email or the password is wrong."), "{wrong:?}");
        assert_eq!(server.admin().get("/users").ok()["total"], 1);
        assert_eq!(filled(&server, &path, &[("password", PASSWORD)]).status, 200);
        assert_eq!(server.admin().get("/users").ok()["total"], 2);
    }

    #[test]
    fn a_link_that_leads_nowhere_says_so() {
        let server = TestServer::new();
        for answer in [
            server.anonymous().send(Method::GET, "/ui/invitations/nothing", None),
            filled(&server, "/ui/invitations/nothing", &[("password", PASSWORD)]),
        ] {
            assert!(answer.status == 404 && answer.text.contains("There is no such invitation"), "{answer:?}");
        }
    }
}

//! The page that an invitation mail links to. A person with an account logs in and joins; others register.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::Words;
use super::{Message, shown};
use crate::api::{Code, Error, Form, Html, Needs, Result, Route, Steps, Tries, get, hashing, post, rendered, steps};
use crate::central::invitations::{self, InviteByCode};
use crate::central::session::{self, Credentials};
use crate::central::{accounts, registration};
use crate::values::{Name, Password};

pub const ROUTES: &[Route] = &[
    get("/ui/invitations/{code}", &steps(show), Needs::Anyone, "Show the page of an invitation"),
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
struct Page<'a> {
    words: Words,
    is: Asked<'a>,
    problems: &'a [String],
}

struct Asked<'a> {
    workspace: &'a str,
    inviter: &'a str,
    role: &'a str,
    email: &'a str,
    /// The name as entered, else as the inviter gave it.
    name: &'a str,
    account_exists: bool,
}

fn show(steps: &Steps<'_>, Code(code): Code) -> Result<Html> {
    let words = Words::of(steps.call);
    let Some(found) = steps.engine.central.invitation_by_code(&code)? else { return no_invitation(words) };
    match found.invite.check_open(steps.now) {
        Ok(()) => page(words, StatusCode::OK, &found, None, &[]),
        Err(closed) => {
            let why = words.problems(&closed).join(" ");
            Message::about(words, &words.invitation_closed(), &why).page(closed.status())
        }
    }
}

fn accept(steps: &Steps<'_>, Code(code): Code, tries: Tries, Form(filled): Form<Accepting>) -> Result<Html> {
    let words = Words::of(steps.call);
    let Some(found) = steps.engine.central.invitation_by_code(&code)? else { return no_invitation(words) };
    let typed = filled.as_ref().ok().and_then(|filled| filled.name.clone());
    match filled.and_then(|filled| join(steps, tries, &found, filled)) {
        Ok(()) => {
            let workspace = &found.invite.workspace;
            let url = steps.engine.public_url().workspace(&workspace.subdomain);
            let text = words.you_are_a_member(&workspace.name, &found.invite.email);
            Message { link: Some((&url, &url)), ..Message::about(words, &words.welcome(), &text) }.page(StatusCode::OK)
        }
        Err(error) => shown(words, error, |status, problems| page(words, status, &found, typed.as_deref(), problems)),
    }
}

fn join(steps: &Steps<'_>, tries: Tries, found: &InviteByCode, filled: Accepting) -> Result<()> {
    let (engine, now, email) = (steps.engine, steps.now, found.invite.email.clone());
    found.invite.check_open(now)?;
    let account = if found.account_exists {
        let account = session::verify(steps, &tries, &Credentials { email, password: filled.password })?;
        let origin = steps.call.origin().by(account.id);
        // The mailed code verifies the address of the invitation.
        engine.central.confirm_own_email(account, &found.invite.email, origin)?
    } else {
        registration::check(&engine.config, true)?;
        let name = filled.name.ok_or_else(|| Error::invalid("The name field is required."))?;
        let password = Password::parse(filled.password.to_string());
        let password = password.map_err(|said| Error::invalid(format!("The password {said}")))?;
        invitations::check_workspace(engine, found.invite.workspace.id)?;
        accounts::create(engine, name, email, &password, false, &steps.call.origin())?
    };
    invitations::join(steps, &account, &found.invite).map(|_| ())
}

fn page(
    words: Words,
    status: StatusCode,
    found: &InviteByCode,
    name: Option<&str>,
    problems: &[String],
) -> Result<Html> {
    let invite = &found.invite;
    let is = Asked {
        workspace: &invite.workspace.name,
        inviter: &invite.invited_by.name,
        role: &invite.role.name,
        email: &invite.email,
        name: name.or(invite.name.as_deref()).unwrap_or_default(),
        account_exists: found.account_exists,
    };
    Ok(Html::new(status, words.0, rendered(&Page { words, is, problems })?))
}

fn no_invitation(words: Words) -> Result<Html> {
    Message::about(words, &words.no_such_invitation(), &words.which_link_works()).page(StatusCode::NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::testing::{Answer, Bench, PASSWORD};

    fn invited(bench: &Bench, email: &str) -> String {
        let body = json!({"email": email, "role_id": 3, "name": "Grace <b>"});
        bench.admin().post("/user-invites", body).created();
        let text = bench.mails().pop().unwrap().text;
        let (_, rest) = text.split_once("http://localhost/ui/").unwrap();
        format!("/ui/{}", rest.split_whitespace().next().unwrap())
    }

    fn filled(bench: &Bench, path: &str, form: &[(&str, &str)]) -> Answer {
        bench.nobody().submit(path, form)
    }

    #[test]
    fn somebody_without_an_account_makes_one_and_is_in() {
        let bench = Bench::with(&[("registration", "invite")]);
        let path = invited(&bench, "grace@example.com");
        let page = bench.nobody().send(Method::GET, &path, None);
        assert_eq!(page.status, 200);
        for said in ["Join acme", "value=\"grace@example.com\"", "Grace &#60;b&#62;", "Create an account and join"] {
            assert!(page.text.contains(said), "{said} is not in {}", page.text);
        }
        let short = filled(&bench, &path, &[("name", "Gr\"ace"), ("password", "short")]);
        assert_eq!(short.status, 400);
        assert!(
            short.text.contains("must be at least 8 characters.") && short.text.contains("Gr&#34;ace"),
            "{short:?}"
        );
        let nameless = filled(&bench, &path, &[("name", ""), ("password", PASSWORD)]);
        assert!(nameless.text.contains("The name field is required."), "{nameless:?}");

        let done = filled(&bench, &path, &[("name", "Grace"), ("password", PASSWORD)]);
        assert!(done.status == 200 && done.text.contains("http://acme.localhost"), "{done:?}");
        let login = json!({"email": "grace@example.com", "password": PASSWORD});
        let inside = bench.nobody().at("acme.localhost").post("/login", login).ok();
        assert_eq!((&inside["user"]["name"], &inside["user"]["role"]["name"]), (&json!("Grace"), &json!("agent")));
        let again = bench.nobody().send(Method::GET, &path, None);
        assert!(again.status == 422 && again.text.contains("already been accepted"), "{again:?}");
    }

    #[test]
    fn somebody_with_an_account_gives_its_password() {
        let bench = Bench::new();
        bench.stranger();
        let path = invited(&bench, "stranger@example.com");
        assert!(bench.nobody().send(Method::GET, &path, None).text.contains("Log in and join"));
        let wrong = filled(&bench, &path, &[("password", "wrong-password")]);
        assert!(wrong.status == 401 && wrong.text.contains("The email or the password is wrong."), "{wrong:?}");
        assert_eq!(bench.admin().get("/users").ok()["total"], 1);
        assert_eq!(filled(&bench, &path, &[("password", PASSWORD)]).status, 200);
        assert_eq!(bench.admin().get("/users").ok()["total"], 2);
    }

    #[test]
    fn a_link_that_leads_nowhere_says_so() {
        let bench = Bench::new();
        for answer in [
            bench.nobody().send(Method::GET, "/ui/invitations/nothing", None),
            filled(&bench, "/ui/invitations/nothing", &[("password", PASSWORD)]),
        ] {
            assert!(answer.status == 404 && answer.text.contains("There is no such invitation"), "{answer:?}");
        }
    }
}

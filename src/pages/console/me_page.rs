//! The page of a person about themselves in a workspace: name, phones, the calls that pop up, language, and keys.

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affected_records::AffectedRecords;
use super::catalog::{Collection, collection};
use super::console_page::ConsolePage;
use super::detail_page;
use super::form::{self, FormState, InputGroup, InputKind};
use super::form_page::{self, form_of, is_of_form, problems_of, sent_form};
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use super::schema::FieldSpec;
use crate::api::request::cookie_value;
use crate::api::{ApiResponse, BlockingCtx, Error, Form, Layer, Needs, Redirect, Result, Route, get, inline, post};
use crate::auth::Caller;
use crate::executors::Executor;
use crate::pages::interrupted_form;
use crate::pages::session::choice_cookie;
use crate::pages::translations::Translations;
use crate::values::Text;

const PAGE: &str = "/ui/me";

pub const ROUTES: &[Route] = &[
    get(PAGE, &MePage { sends: false }, Needs::Principal, "Show your own page in the workspace"),
    post(PAGE, &MePage { sends: true }, Needs::Principal, "Change your own name and phones from a form"),
    post("/ui/me/keys", &inline(choose_keys), Needs::Principal, "Set whether the console has shortcut keys"),
];

/// The fields that everybody changes about themselves.
const FIELDS: [&str; 5] = ["name", "phone", "mobile_phone", "extension", "pops"];

/// The cookie with which the script leaves keys alone.
const KEYS_COOKIE: &str = "cx_keys";

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KeysChoice {
    /// `on` or `off`.
    keys: Text<8>,
}

#[derive(Template)]
#[template(path = "console/me.html")]
struct MeForm<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    about: Option<String>,
    action: &'static str,
    button: String,
    is_danger: bool,
    cancel: &'static str,
    groups: Vec<InputGroup>,
    hidden: Vec<(&'static str, String)>,
    problems: Vec<(Option<String>, String)>,
    affected: Vec<AffectedRecords>,
    has_keys: bool,
    /// The page of the account on the central host.
    account: String,
}

/// The page, or its form when it is sent.
struct MePage {
    sends: bool,
}

fn users() -> Result<&'static Collection> {
    collection(Layer::Workspace, "/users").ok_or_else(Error::not_found)
}

fn fields(users: &Collection) -> Vec<FieldSpec> {
    let named = FIELDS.iter().filter_map(|name| users.change.iter().find(|field| field.name == *name));
    named.cloned().collect()
}

/// The user of the person.
fn place(page: &PageCtx<'_>) -> Result<Place> {
    let Caller::Principal(principal) = page.caller else { return Err(Error::not_found()) };
    let id = principal.user_id().ok_or_else(Error::not_found)?;
    Ok(Place { id: Some(id.to_string()), ..Place::default() })
}

fn show(page: &PageCtx<'_>) -> Result<ApiResponse> {
    let (users, place) = (users()?, place(page)?);
    let read = detail_page::read(page, users, &place)?;
    let form = form_of(page, users, &place, &read.body, read.etag)?;
    respond(page, &form, StatusCode::OK)
}

fn send(page: &PageCtx<'_>) -> Result<ApiResponse> {
    let (users, place) = (users()?, place(page)?);
    let fields = fields(users);
    let mut form = sent_form(page, &fields)?;
    if interrupted_form::is_shown_again(page.request)? {
        return respond(page, &form, StatusCode::OK);
    }
    let changed = form.changed(&fields, &page.zone()?, &super::links::Names::default());
    if changed.is_empty() {
        return form_page::redirect(page, PAGE, "unchanged");
    }
    let body = match form.body(page, &changed, None)? {
        Ok(body) => body,
        Err(problems) => {
            form.problems = problems;
            return respond(page, &form, StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    // The person's values replace those in the record, also if somebody else changed them meanwhile: no `If-Match`.
    match form_page::save(page, users, &place, &body, None) {
        Ok(_) => form_page::redirect(page, PAGE, "changed"),
        Err(error) if is_of_form(&error) => {
            form.problems = problems_of(page, users, &error);
            respond(page, &form, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(error) => Err(error),
    }
}

fn respond(page: &PageCtx<'_>, form: &FormState, status: StatusCode) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let fields = fields(users()?);
    let mut inputs = form::inputs(page, &fields, form)?;
    for input in &mut inputs {
        input.autocomplete = match (input.name.as_str(), input.kind) {
            ("name", _) => Some("name"),
            (_, InputKind::Tel) => Some("tel"),
            _ => Some("off"),
        };
    }
    let problems = form.problems_at(inputs.iter());
    let rendered = MeForm {
        words,
        title: words.about_me(),
        about: Some(words.about_me_here(&frame.place)),
        action: PAGE,
        button: words.save(),
        is_danger: false,
        cancel: "/ui",
        groups: vec![InputGroup { label: None, inputs }],
        hidden: vec![("once", form.once.clone()), ("base", form.base.to_string())],
        problems,
        affected: Vec::new(),
        has_keys: cookie_value(&page.request.headers, KEYS_COOKIE).as_deref() != Some("off"),
        account: format!("{}/account", frame.places),
        frame: &frame,
    };
    frame.respond(page, status, &rendered)
}

fn choose_keys(ctx: &BlockingCtx<'_>, Form(chosen): Form<KeysChoice>) -> Result<Redirect> {
    let word = if &*chosen?.keys == "off" { "off" } else { "on" };
    // The script reads the cookie.
    let cookie = choice_cookie(ctx.request, KEYS_COOKIE, word);
    Ok(Redirect::to(format!("{PAGE}?done=changed")).with_cookie(Some(cookie)))
}

impl ConsolePage for MePage {
    fn executor(&self) -> Executor {
        if self.sends { Executor::Blocking } else { Executor::Transaction }
    }

    fn is_sent(&self) -> bool {
        self.sends
    }

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        if self.sends { send(page) } else { show(page) }
    }

    fn secret_fields(&self) -> Option<Vec<String>> {
        self.sends.then(Vec::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{TestBrowser, TestServer};

    #[test]
    fn everybody_changes_their_own_phones_and_switches_keys_off() {
        let server = TestServer::new();
        server.join_acme("zoe@example.com", "agent");
        let mut zoe = TestBrowser::signed_in(&server, "zoe@example.com").in_french();
        zoe.go("http://acme.localhost/ui/enter?to=%2Fui%2Fme");
        assert!(zoe.page.text.contains("<a href=\"/ui/me\">"), "{zoe:?}");
        assert!(zoe.page.text.contains("autocomplete=\"tel\"") && zoe.page.text.contains("Mes appels"), "{zoe:?}");
        zoe.submit("/ui/me", &[("pops", "mine"), ("extension", "204"), ("phone", "01 42 00 00 00")]);
        assert_eq!(zoe.url, "http://acme.localhost/ui/me?done=changed", "{zoe:?}");
        let users = server.admin().get("/users?filter[email]=zoe@example.com").ok();
        assert_eq!(
            (&users["data"][0]["extension"], &users["data"][0]["phone"]),
            (&json!("204"), &json!("01 42 00 00 00"))
        );
        zoe.submit("/ui/me", &[("pops", "mine"), ("extension", &"2".repeat(30))]);
        assert!(zoe.page.status == 422 && zoe.page.text.contains(&"2".repeat(30)), "{zoe:?}");
        zoe.go("/ui/me").submit("/ui/me/keys", &[("keys", "off")]);
        assert!(zoe.page.text.contains("name=\"keys\" value=\"on\""), "{zoe:?}");
        zoe.submit("/ui/me/keys", &[("keys", "on")]);
        assert!(zoe.page.text.contains("name=\"keys\" value=\"off\""), "{zoe:?}");
    }
}

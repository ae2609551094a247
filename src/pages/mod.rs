//! What people see: what this server is, the description of its API as a page, and the pages that mails, programs and
//! look-ups lead to.

mod authorize;
mod contact;
mod docs;
mod email_verification;
mod invitation;
mod password_reset;
mod second_factor;
mod sign_in;
mod style;
mod visitor;
mod words;

use std::sync::{Arc, OnceLock};

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{
    Call, Document, Error, Html, Json200, Kept, Layer, Needs, Ok200, Redirect, Reply, Resource, Result, Route, Steps,
    get, here, openapi, rendered, steps,
};
use crate::values::Language;
use words::Words;

/// The same on both layers.
pub const RESOURCE: Resource = Resource::new("Server", "What this server is, and this description.", ROUTES);

/// What pages are made of besides themselves, the same on both layers.
pub const STYLE: Resource = Resource::pages("Style", style::ROUTES);

/// Where links in mails lead, on the central host.
pub const MAILED: &[Resource] = &[
    Resource::pages("Invitation page", invitation::ROUTES),
    Resource::pages("Password page", password_reset::ROUTES),
    Resource::pages("Address pages", email_verification::ROUTES),
];

/// Where people sign in to a workspace, approve that a program acts for them, and see who calls.
pub const SIGNED_IN: &[Resource] = &[
    Resource::pages("Sign-in page", sign_in::ROUTES),
    Resource::pages("Second factor page", second_factor::ROUTES),
    Resource::pages("Approval page", authorize::ROUTES),
    Resource::pages("Contact page", contact::ROUTES),
];

const ROUTES: &[Route] = &[
    get("/", &here(about), Needs::Anyone, "What this server is").named("getServer"),
    get("/openapi.json", &steps(description), Needs::Anyone, "This description, as OpenAPI 3.1").named("getOpenApi"),
    get("/docs", &steps(documentation), Needs::Anyone, "This description, as a page").named("getDocs"),
];

/// What a browser asks for at the root of a host, where there is no `/api`.
pub static FRONT_DOOR: Route = get("/", &here(front_door), Needs::Anyone, "Where a browser is sent").named("getServer");

#[derive(Debug, Serialize, JsonSchema)]
pub struct About {
    name: &'static str,
    version: &'static str,
    /// `central` or `workspace`.
    layer: &'static str,
}

fn about(steps: &Steps<'_>) -> Result<Ok200<About>> {
    Ok(Ok200(About { name: "cx-engine", version: env!("CARGO_PKG_VERSION"), layer: steps.call.layer.name() }))
}

/// The description of each layer, for programs and for people: it takes long to make, and anybody may ask for it.
static DESCRIBED: [OnceLock<Described>; 2] = [OnceLock::new(), OnceLock::new()];

struct Described {
    openapi: Arc<Document>,
    page: Arc<Document>,
}

fn described(call: &Call) -> Result<&'static Described> {
    let layer = call.layer;
    let kept = &DESCRIBED[usize::from(layer == Layer::Workspace)];
    if let Some(described) = kept.get() {
        return Ok(described);
    }
    let document = openapi::document(&call.router, layer, &call.engine.public_url());
    let page = Html::ok(Language::English, docs::page(&document, layer)?).with_own_style();
    let described = Described {
        openapi: Arc::new(Document::of(Json200(document).into_response(call)?)?),
        page: Arc::new(Document::of(page.into_response(call)?)?),
    };
    Ok(kept.get_or_init(|| described))
}

fn description(steps: &Steps<'_>) -> Result<Kept<Json200>> {
    Ok(Kept::new(Arc::clone(&described(steps.call)?.openapi)))
}

fn documentation(steps: &Steps<'_>) -> Result<Kept<Html>> {
    Ok(Kept::new(Arc::clone(&described(steps.call)?.page)))
}

fn front_door(_: &Steps<'_>) -> Result<Redirect> {
    Ok(Redirect::to("/docs"))
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "page_message.html")]
struct Message<'a> {
    words: Words,
    title: &'a str,
    text: &'a str,
    /// A URL, and what it is called.
    link: Option<(&'a str, &'a str)>,
}

impl<'a> Message<'a> {
    fn about(words: Words, title: &'a str, text: &'a str) -> Self {
        Self { words, title, text, link: None }
    }

    fn page(&self, status: StatusCode) -> Result<Html> {
        rendered(self).map(|text| Html::new(status, self.words.0, text))
    }
}

/// A form's page again, with what was wrong; what is not the visitor's to mend is answered as the API does.
fn shown(words: Words, error: Error, page: impl FnOnce(&[String]) -> Result<String>) -> Result<Html> {
    let status = error.status();
    if status.is_server_error() {
        return Err(error);
    }
    page(&words.problems(&error)).map(|text| Html::new(status, words.0, text))
}

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

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{Error, Html, Needs, Ok200, Redirect, Resource, Result, Route, Steps, get, here, rendered};
use words::Words;

/// The same on both layers.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Server", "What this server is.", ROUTES),
    Resource::new("OpenAPI", "This description, for programs.", docs::OPENAPI),
    Resource::pages("API reference", docs::PAGES),
];

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

const ROUTES: &[Route] = &[get("/", &here(about), Needs::Anyone, "Show what this server is").named("getServer")];

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

//! Pages for people: information about the server, the API reference, and the pages that mails, programs and look-ups
//! link to.

mod authorize;
mod contact;
mod docs;
mod email_verification;
mod error_page;
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
pub use error_page::ErrorPage;
pub use sign_in::to_sign_in;
#[cfg(test)]
pub use visitor::form_key_of;
pub use visitor::{check_form, session};
use words::Words;

/// The resources of both layers.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Server", "Name and version of this server.", ROUTES),
    Resource::new("OpenAPI", "The OpenAPI description of this API.", docs::OPENAPI),
    Resource::pages("API reference", docs::PAGES),
];

/// The stylesheets of pages, on both layers.
pub const STYLE: Resource = Resource::pages("Style", style::ROUTES);

/// The pages that mails link to, on the central host.
pub const MAILED: &[Resource] = &[
    Resource::pages("Invitation page", invitation::ROUTES),
    Resource::pages("Password page", password_reset::ROUTES),
    Resource::pages("Address pages", email_verification::ROUTES),
];

/// The pages of a workspace: sign-in, second factor, approval of programs, and contacts.
pub const SIGNED_IN: &[Resource] = &[
    Resource::pages("Sign-in page", sign_in::ROUTES),
    Resource::pages("Second factor page", second_factor::ROUTES),
    Resource::pages("Approval page", authorize::ROUTES),
    Resource::pages("Contact page", contact::ROUTES),
];

const ROUTES: &[Route] =
    &[get("/", &here(about), Needs::Anyone, "Show the name and version of the server").named("getServer")];

/// The page at the root of a host, without `/api`.
pub const FRONT_DOOR: Resource = Resource::pages("Front door", FRONT_DOOR_ROUTES);

const FRONT_DOOR_ROUTES: &[Route] = &[get("/", &here(front_door), Needs::Anyone, "Redirect to the API reference")];

#[derive(Debug, Serialize, JsonSchema)]
pub struct About {
    /// Always `cx-engine`.
    name: &'static str,
    /// Version of the server.
    version: &'static str,
    /// Layer of the API: `central` or `workspace`.
    layer: &'static str,
}

fn about(steps: &Steps<'_>) -> Result<Ok200<About>> {
    Ok(Ok200(About { name: "cx-engine", version: env!("CARGO_PKG_VERSION"), layer: steps.call.layer.name() }))
}

fn front_door(_: &Steps<'_>) -> Result<Redirect> {
    Ok(Redirect::to("/docs"))
}

/// A page with a single message.
#[derive(Template)]
#[template(path = "page_message.html")]
struct Message<'a> {
    words: Words,
    title: &'a str,
    text: &'a str,
    /// A URL and its label.
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

/// Shows a form again with its errors. A server error is shown on a page of its own.
fn shown(words: Words, error: Error, page: impl FnOnce(StatusCode, &[String]) -> Result<Html>) -> Result<Html> {
    let status = error.status();
    if status.is_server_error() {
        return Err(error);
    }
    page(status, &words.problems(&error))
}

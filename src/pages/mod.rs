//! Pages for people: information about the server, the API reference, and the pages that mails, programs and look-ups
//! link to.

mod authorize;
mod choice_labels;
mod contact_page;
mod docs;
mod email_verification_page;
mod error_page;
mod invitation;
mod password_reset_page;
mod second_factor_page;
mod session;
mod sign_in;
mod style;
mod translations;

use askama::Template;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{BlockingCtx, Error, Html, Needs, Ok200, Redirect, Resource, Result, Route, get, inline, render};
pub use error_page::ErrorPage;
#[cfg(test)]
pub use session::form_key_of;
pub use session::{check_form, session};
pub use sign_in::to_sign_in;
pub use translations::Translations;

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
    Resource::pages("Password page", password_reset_page::ROUTES),
    Resource::pages("Address pages", email_verification_page::ROUTES),
];

/// The pages of a workspace: sign-in, second factor, approval of programs, and contacts.
pub const SIGNED_IN: &[Resource] = &[
    Resource::pages("Sign-in page", sign_in::ROUTES),
    Resource::pages("Second factor page", second_factor_page::ROUTES),
    Resource::pages("Approval page", authorize::ROUTES),
    Resource::pages("Contact page", contact_page::ROUTES),
];

const ROUTES: &[Route] =
    &[get("/", &inline(about), Needs::Anyone, "Show the name and version of the server").named("getServer")];

/// The page at the root of a host, without `/api`.
pub const FRONT_DOOR: Resource = Resource::pages("Front door", FRONT_DOOR_ROUTES);

const FRONT_DOOR_ROUTES: &[Route] = &[get("/", &inline(front_door), Needs::Anyone, "Redirect to the API reference")];

#[derive(Debug, Serialize, JsonSchema)]
pub struct About {
    /// Always `cx-engine`.
    name: &'static str,
    /// Version of the server.
    version: &'static str,
    /// Layer of the API: `central` or `workspace`.
    layer: &'static str,
}

fn about(ctx: &BlockingCtx<'_>) -> Result<Ok200<About>> {
    Ok(Ok200(About { name: "cx-engine", version: env!("CARGO_PKG_VERSION"), layer: ctx.request.layer.name() }))
}

fn front_door(_: &BlockingCtx<'_>) -> Result<Redirect> {
    Ok(Redirect::to("/docs"))
}

/// A page with a single message.
#[derive(Template)]
#[template(path = "page_message.html")]
struct Message<'a> {
    words: Translations,
    title: &'a str,
    text: &'a str,
    /// A URL and its label.
    link: Option<(&'a str, &'a str)>,
}

impl<'a> Message<'a> {
    fn about(words: Translations, title: &'a str, text: &'a str) -> Self {
        Self { words, title, text, link: None }
    }

    fn page(&self, status: StatusCode) -> Result<Html> {
        render(self).map(|text| Html::new(status, self.words.0, text))
    }
}

/// Shows a form again with its errors. A server error has a separate page.
fn shown(words: Translations, error: Error, page: impl FnOnce(StatusCode, &[String]) -> Result<Html>) -> Result<Html> {
    let status = error.status();
    if status.is_server_error() {
        return Err(error);
    }
    page(status, &words.problems(&error))
}

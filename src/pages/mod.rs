//! Pages for people: information about the server, the API reference, and the pages that mails, programs and look-ups
//! link to.

mod authorize;
mod choice_labels;
mod console;
mod docs;
mod email_verification_page;
mod enter;
mod error_page;
pub mod interrupted_form;
mod invitation;
mod password_forgotten_page;
mod password_reset_page;
mod problem_rules;
mod problems;
mod provider_page;
mod registration_page;
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
#[cfg(test)]
pub use translations::check_has_french_form;

pub use console::central_resources as console_of_central;
pub use console::workspace_resources as console_of_workspace;
#[cfg(test)]
pub use console::{WITHOUT_PAGE, reasons_without_page, run_by_pages};

/// The resources of both layers.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Server", "Name and version of this server.", ROUTES),
    Resource::new("OpenAPI", "The OpenAPI description of this API.", docs::OPENAPI),
    Resource::pages("API reference", docs::PAGES),
];

/// The stylesheets of pages, on both layers.
pub const STYLE: Resource = Resource::pages("Style", style::ROUTES);

/// The pages of the central host to sign in, to register, and to enter a workspace.
pub const CENTRAL_SIGN_IN: &[Resource] = &[
    Resource::pages("Sign-in page", sign_in::ROUTES),
    Resource::pages("Identity providers", provider_page::ROUTES),
    Resource::pages("Interrupted forms", interrupted_form::ROUTES),
    Resource::pages("Second factor page", second_factor_page::ROUTES),
    Resource::pages("Registration page", registration_page::ROUTES),
    Resource::pages("Forgotten password page", password_forgotten_page::ROUTES),
    Resource::pages("Entrance to workspaces", enter::CENTRAL_ROUTES),
];

/// The pages that mails link to, on the central host.
pub const MAILED: &[Resource] = &[
    Resource::pages("Invitation page", invitation::ROUTES),
    Resource::pages("Password page", password_reset_page::ROUTES),
    Resource::pages("Address pages", email_verification_page::ROUTES),
];

/// The pages of a workspace before and around the console: sign-in, second factor and approval of programs.
pub const SIGNED_IN: &[Resource] = &[
    Resource::pages("Sign-in page", sign_in::ROUTES),
    Resource::pages("Interrupted forms", interrupted_form::ROUTES),
    Resource::pages("Entrance from the central host", enter::ROUTES),
    Resource::pages("Second factor page", second_factor_page::ROUTES),
    Resource::pages("Approval page", authorize::ROUTES),
];

const ROUTES: &[Route] =
    &[get("/", &inline(about), Needs::Anyone, "Show the name and version of the server").named("getServer")];

/// The page at the root of a host, without `/api`.
pub const FRONT_DOOR: Resource = Resource::pages("Front door", FRONT_DOOR_ROUTES);

const FRONT_DOOR_ROUTES: &[Route] = &[get("/", &inline(front_door), Needs::Anyone, "Redirect to the console")];

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
    Ok(Redirect::to("/ui"))
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

/// The status of a form that is shown again with its errors. Programs and browsers know 429 and its `Retry-After`.
fn refused_status(error: &Error) -> StatusCode {
    match error {
        Error::TooManyRequests(_) | Error::TooManyStreams(_) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
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

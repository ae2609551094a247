//! A secret that is shown once. The page is the response to the form, without a redirect: to load it again sends the form
//! again, and the API returns the same secret for a day.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::catalog::Collection;
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use crate::api::{ApiResponse, IntoResponse, Result};
use crate::pages::translations::Translations;

/// Fields that are secrets, unless the view names another.
const SECRETS: [&str; 4] = ["key", "client_secret", "secret", "token"];

#[derive(Template)]
#[template(path = "console/secret.html")]
struct SecretPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    secret: &'a str,
    facts: Vec<(String, String)>,
    /// A request that the secret authorizes.
    curl: Option<String>,
    next: String,
}

/// The secret in a response.
pub fn of(collection: &Collection, made: &Value) -> Option<String> {
    let names = collection.resource.view.secret.map_or(SECRETS.to_vec(), |name| vec![name]);
    names.iter().find_map(|name| made[*name].as_str()).map(str::to_owned)
}

/// The page with the secret.
pub fn page(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    made: &Value,
    secret: &str,
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let id = super::display::plain(&made["id"]);
    let at = Place { id: (!id.is_empty() && collection.show.is_some()).then_some(id), ..place.clone() };
    let facts = ["client_id"].iter().filter_map(|name| {
        let label = collection.label_of(name).map_or_else(|| (*name).to_owned(), |label| words.label(label));
        made[*name].as_str().map(|value| (label, value.to_owned()))
    });
    let address = &page.request.address;
    let host = match made["workspace"]["subdomain"].as_str() {
        Some(subdomain) => page.request.instance.public_url().workspace(subdomain),
        None => format!("{}://{}{}", address.scheme, address.authority, address.prefix),
    };
    let rendered = SecretPage {
        words,
        title: collection.title(made),
        secret,
        facts: facts.collect(),
        curl: collection
            .resource
            .view
            .is_bearer
            .then(|| format!("curl {host}/api/whoami -H \"Authorization: Bearer {secret}\"")),
        next: at.page(collection),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)?.never_stored().into_response(page.request)
}

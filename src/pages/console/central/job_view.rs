//! What the server does in the background, and how the instance is, as pages for operators show it.

use serde_json::Value;

use super::super::display;
use super::super::page::PageCtx;
use super::super::route_form::RouteForm;
use crate::api::{ApiResponse, InnerRequest, IntoResponse, Redirect, Result};
use crate::pages::translations::Translations;

/// The age in seconds from which a backup or a check is too old: a day, and two hours for the work itself.
pub const TOO_OLD: i64 = 26 * 3600;

/// A sentence about a part of the instance.
pub struct InstanceState {
    pub sentence: String,
    pub is_problem: bool,
}

/// Work in the background.
pub struct JobView {
    pub is_running: bool,
    pub is_problem: bool,
    pub sentence: String,
    pub done: i64,
    pub of: i64,
    pub progress: String,
}

impl InstanceState {
    /// What a route answers, in a sentence. An error that the route states is a sentence too.
    pub fn of(page: &PageCtx<'_>, path: &'static str, state_of: impl FnOnce(&Value) -> Self) -> Result<Self> {
        match page.send(InnerRequest::get(path)) {
            Ok(found) => Ok(state_of(&found.body)),
            Err(error) if error.status().is_client_error() => {
                Ok(Self { sentence: page.words().problems(&error).join(" "), is_problem: true })
            }
            Err(error) => Err(error),
        }
    }
}

impl JobView {
    /// `progress` says how many parts of how many are done.
    pub fn of(
        words: Translations,
        job: &Value,
        sentence: String,
        progress: fn(Translations, &str, &str) -> String,
    ) -> Self {
        let number = |name: &str| job[name].as_i64().unwrap_or_default();
        let (done, of) = (number("done"), number("of"));
        Self {
            is_running: job["state"] == "running",
            is_problem: job["state"] == "failed",
            progress: progress(words, &display::count(words, done), &display::count(words, of)),
            // An element without a maximum has no value.
            of: of.max(1),
            sentence,
            done,
        }
    }
}

/// Leads back to the page that shows the progress.
pub fn begun(page: &PageCtx<'_>, form: &RouteForm, _: &Value) -> Result<ApiResponse> {
    Redirect::to(form.back.to_owned()).into_response(page.request)
}

//! The language of the pages: the person's choice is a cookie.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::BlockingCtx;
use crate::api::request::LANGUAGE_COOKIE;
use crate::api::{Error, Form, Needs, Redirect, Result, Route, inline, post};
use crate::pages::session::choice_cookie;
use crate::values::Text;

pub const ROUTES: &[Route] =
    &[post("/ui/language", &inline(choose), Needs::Anyone, "Choose the language of the pages").with_form_key()];

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LanguageChoice {
    /// Tag of the language: `en` or `fr`.
    language: Text<8>,
    /// Path on this host to continue to.
    to: Text<8000>,
}

fn choose(ctx: &BlockingCtx<'_>, Form(chosen): Form<LanguageChoice>) -> Result<Redirect> {
    let chosen = chosen?;
    let tag = ["en", "fr"].into_iter().find(|tag| *tag == &*chosen.language);
    let tag = tag.ok_or_else(|| Error::invalid("The selected language is invalid; it may be en, fr."))?;
    let mut cookie = choice_cookie(ctx.request, LANGUAGE_COOKIE, tag);
    cookie.set_http_only(true);
    let is_page = chosen.to.starts_with("/ui") && !chosen.to.contains('\\');
    Ok(Redirect::to(if is_page { &*chosen.to } else { "/ui" }).with_cookie(Some(cookie)))
}

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::auth::TokenScope;
    use crate::pages::form_key_of;
    use crate::tests::{TestResponse, TestServer};

    fn speaks(page: &TestResponse) -> &str {
        page.text.split("<html lang=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("none")
    }

    #[test]
    fn a_visitor_who_prefers_no_language_of_the_pages_has_that_of_the_workspace() {
        let server = TestServer::new();
        let acme = server.anonymous().at("acme.localhost");
        let session = server.token("owner@example.com", TokenScope::Workspace(server.acme.id));
        let owner = acme.with_header("cookie", &format!("cx_session={session}"));
        let form = [("form_key", form_key_of(&session)), ("name", String::new()), ("once", "1".into())];
        let form = form.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
        for (locale, expected) in [("fr-FR", "fr"), ("en", "en"), ("fr", "fr"), ("de-CH", "en")] {
            server.admin().put("/settings", json!({"locale": locale})).created();
            for accepted in [None, Some("de, *;q=0.5")] {
                let asking = |client: &crate::tests::TestClient<'_>, path: &str| match accepted {
                    Some(accepted) => client.with_header("accept-language", accepted).get(path),
                    None => client.get(path),
                };
                // Before the sign-in; in a turn; outside the turns; an error of a page.
                assert_eq!(speaks(&asking(&acme, "/ui/sign-in")), expected, "{locale}");
                assert_eq!(speaks(&asking(&owner, "/ui/contacts")), expected, "{locale}");
                assert_eq!(speaks(&asking(&owner, "/ui/customers/99")), expected, "{locale}");
            }
            let refused = owner.submit("/ui/customers/new", &form);
            assert_eq!((refused.status.as_u16(), speaks(&refused)), (422, expected), "{refused:?}");
            // A language that the visitor chose or prefers comes first.
            assert_eq!(speaks(&owner.with_header("accept-language", "en;q=0.1, de").get("/ui")), "en");
            assert_eq!(speaks(&owner.with_header("accept-language", "fr").get("/ui")), "fr");
            let chosen = acme.with_header("cookie", &format!("cx_session={session}; cx_language=en"));
            assert_eq!(speaks(&chosen.with_header("accept-language", "fr").get("/ui")), "en");
            assert_eq!(speaks(&server.anonymous().at("localhost").get("/ui/sign-in")), "en");
        }
    }
}

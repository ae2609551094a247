//! The form of the settings. Before a new default country is saved, a second step states how many phone numbers are read
//! again.

use askama::Template;
use http::{StatusCode, header};

use super::catalog::{Collection, collection};
use super::conflict_page::inputs;
use super::console_page::ConsolePage;
use super::display::{self, plain};
use super::form::{FormState, Typed};
use super::form_page::{self, sent_form};
use super::links::Names;
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use crate::api::{ApiResponse, Error, InnerRequest, Layer, Needs, Result, Route, form_field, get, post};
use crate::executors::Executor;
use crate::pages::interrupted_form;
use crate::pages::translations::Translations;
use crate::workspace::settings::MOST_REREAD_NUMBERS;

const PAGE: &str = "/ui/settings/edit";

pub const ROUTES: &[Route] = &[
    get(PAGE, &SettingsPage { sends: false }, Needs::Permission("workspace.manage"), "Show the form of the settings"),
    post(PAGE, &SettingsPage { sends: true }, Needs::Permission("workspace.manage"), "Change the settings from a form"),
];

/// The person must confirm a change of this setting.
const COUNTRY: &str = "default_country";

/// The field with the country that the person confirmed.
const CONFIRMED: &str = "confirmed_country";

/// The step between the form and the change.
#[derive(Template)]
#[template(path = "console/settings_confirm.html")]
struct ConfirmPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    about: String,
    action: &'static str,
    cancel: &'static str,
    hidden: Vec<(String, String)>,
}

/// The form, or the form when it is sent.
struct SettingsPage {
    sends: bool,
}

fn settings() -> Result<&'static Collection> {
    collection(Layer::Workspace, "/settings").ok_or_else(Error::not_found)
}

fn send(page: &PageCtx<'_>) -> Result<ApiResponse> {
    let (settings, place) = (settings()?, Place::default());
    if interrupted_form::is_shown_again(page.request)? {
        return form_page::update_again(page, settings, &place);
    }
    let form = sent_form(page, &settings.change)?;
    if let Some(Typed::One(country)) = form.typed.get(COUNTRY)
        && form_field(page.request, CONFIRMED)? != *country
        && let Some(asking) = confirmation(page, settings, &form, country)?
    {
        return Ok(asking);
    }
    form_page::update(page, settings, &place)
}

/// The page that states how many numbers are read again. `None` if there are none, or if the form is rejected.
fn confirmation(
    page: &PageCtx<'_>,
    settings: &Collection,
    form: &FormState,
    country: &str,
) -> Result<Option<ApiResponse>> {
    let changed = form.changed(&settings.change, &page.zone()?, &Names::default());
    if !changed.iter().any(|field| field.name == COUNTRY) {
        return Ok(None);
    }
    let Ok(body) = form.body(page, &changed, None)? else { return Ok(None) };
    let route = settings.update.ok_or_else(Error::not_found)?;
    let mut trial = InnerRequest::to(route).with_query("dry_run=1".into()).with_body(body);
    if let Some(state) = &form.state {
        trial = trial.with_header(header::IF_MATCH, state);
    }
    let effect = match page.send(trial) {
        Ok(response) => response.body,
        Err(error) if error.status().is_client_error() => return Ok(None),
        Err(error) => return Err(error),
    };
    let count = effect["reread_phone_numbers"].as_i64().unwrap_or_default();
    if count == 0 {
        return Ok(None);
    }
    let frame = Frame::of(page)?;
    let words = frame.words;
    let number = display::count_to(words, count, MOST_REREAD_NUMBERS as i64);
    let mut hidden = vec![
        ("once".to_owned(), form.once.clone()),
        ("base".to_owned(), form.base.to_string()),
        ("state".to_owned(), form.state.clone().unwrap_or_default()),
        (CONFIRMED.to_owned(), country.to_owned()),
    ];
    let typed = settings.change.iter().filter_map(|field| Some((&field.name, form.typed.get(&field.name)?)));
    hidden.extend(typed.flat_map(|(name, typed)| inputs(name, typed)));
    let rendered = ConfirmPage {
        words,
        title: words.numbers_read_again(),
        about: words.numbers_read_again_about(&number, &plain(&effect["settings"][COUNTRY])),
        action: PAGE,
        cancel: settings.page,
        hidden,
        frame: &frame,
    };
    frame.respond(page, StatusCode::OK, &rendered).map(Some)
}

impl ConsolePage for SettingsPage {
    fn executor(&self) -> Executor {
        if self.sends { Executor::Blocking } else { Executor::Transaction }
    }

    fn is_sent(&self) -> bool {
        self.sends
    }

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        if self.sends { send(page) } else { form_page::edit(page, settings()?, &Place::default()) }
    }

    fn secret_fields(&self) -> Option<Vec<String>> {
        self.sends.then(Vec::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{TestBrowser, TestServer};

    const PAGE: &str = "/ui/settings/edit";

    fn owner(server: &TestServer) -> TestBrowser<'_> {
        let mut browser = TestBrowser::signed_in(server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter").go(PAGE);
        browser
    }

    fn country(server: &TestServer) -> serde_json::Value {
        server.admin().get("/settings").ok()["default_country"].clone()
    }

    #[test]
    fn a_new_default_country_is_confirmed_with_the_number_of_phone_numbers() {
        let server = TestServer::new();
        for number in ["030 123456", "01 42 00 00 00", "+33142000001", "204"] {
            server.admin().post("/contacts", json!({"last_name": "A", "fax": number})).created();
        }
        let mut browser = owner(&server);
        browser.submit(PAGE, &[("default_country", "DE"), ("timezone", "Europe/Berlin"), ("audit_retention_days", "")]);
        assert_eq!((browser.page.status.as_u16(), country(&server)), (200, json!("FR")), "{browser:?}");
        let said = "Phone numbers that are read again as numbers of the country DE: 2.";
        assert!(browser.page.text.contains(said), "{browser:?}");
        browser.submit(PAGE, &[]);
        assert_eq!(browser.url, "http://acme.localhost/ui/settings?done=changed", "{browser:?}");
        // The rest of the form is saved with it.
        let saved = server.admin().get("/settings").ok();
        assert_eq!(
            (&saved["default_country"], &saved["timezone"], &saved["audit_retention_days"]),
            (&json!("DE"), &json!("Europe/Berlin"), &json!(null))
        );
        assert_eq!(server.admin().get("/contacts?filter[phone]=%2B4930123456").ok()["total"], 1);

        // A confirmation is for one country.
        let mut french = owner(&server).in_french();
        french.go(PAGE).submit(PAGE, &[("default_country", "FR"), ("confirmed_country", "BE")]);
        let said = "Numéros de téléphone relus comme numéros du pays FR\u{a0}: 2.";
        assert!(french.page.text.contains(said) && country(&server) == "DE", "{french:?}");
    }

    #[test]
    fn nothing_is_asked_if_no_number_is_read_again_or_the_form_is_rejected() {
        let server = TestServer::new();
        server.admin().post("/contacts", json!({"last_name": "A", "fax": "+33142000001"})).created();
        let mut browser = owner(&server);
        browser.submit(PAGE, &[("default_country", "DE")]);
        assert_eq!(browser.url, "http://acme.localhost/ui/settings?done=changed", "{browser:?}");
        assert_eq!(country(&server), "DE");

        server.admin().post("/contacts", json!({"last_name": "A", "fax": "030 123456"})).created();
        browser.go(PAGE).submit(PAGE, &[("timezone", "Europe/Berlin")]);
        assert_eq!(browser.url, "http://acme.localhost/ui/settings?done=changed", "{browser:?}");
        browser.go(PAGE).submit(PAGE, &[("default_country", "Germany")]);
        assert_eq!(browser.page.status, 422, "{browser:?}");
        browser.go(PAGE).submit(PAGE, &[("default_country", "FR"), ("timezone", "Mars")]);
        assert!(browser.page.status == 422 && browser.page.text.contains("value=\"FR\""), "{browser:?}");
        assert_eq!(country(&server), "DE");
    }

    #[test]
    fn a_confirmed_country_that_somebody_else_changed_meanwhile_is_a_conflict() {
        let server = TestServer::new();
        server.admin().post("/contacts", json!({"last_name": "A", "fax": "030 123456"})).created();
        let mut browser = owner(&server);
        browser.submit(PAGE, &[("default_country", "DE")]);
        server.admin().put("/settings", json!({"default_country": "BE"})).created();
        browser.submit(PAGE, &[]);
        assert_eq!((browser.page.status.as_u16(), country(&server)), (409, json!("BE")), "{browser:?}");
        // The number is that of the country of now.
        browser.submit(PAGE, &[("keep:default_country", "mine")]);
        assert!(browser.page.text.contains("as numbers of the country DE: 1."), "{browser:?}");
        browser.submit(PAGE, &[]);
        assert_eq!(country(&server), "DE");
    }
}

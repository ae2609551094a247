//! The page of a contact. A CRM look-up links to it during a call, unless the workspace has a URL template for another
//! system.

use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::translations::Translations;
use crate::api::{CallerScope, Ctx, Html, Id, Needs, Ok200, Result, Route, crud, get, render, run};
use crate::workspace::contacts::Contact;

pub const ROUTES: &[Route] =
    &[get("/ui/contacts/{id}", &run(show), Needs::Scoped("contact.view"), "Show the page of a contact")];

/// The fields of the page, in the order in which a person on the phone needs them.
#[derive(Template)]
#[template(path = "page_contact.html")]
struct ContactPage<'a> {
    words: Translations,
    name: &'a str,
    /// Role, service and company.
    place: &'a str,
    /// As entered.
    numbers: &'a [String],
    email: Option<&'a str>,
    /// The address as a `mailto:` link.
    mailto: String,
    comment: Option<&'a str>,
}

fn show(ctx: &mut Ctx<'_>, scope: CallerScope, id: Id) -> Result<Html> {
    let Ok200(contact) = crud::show::<Contact>(ctx, scope, id)?;
    page(Translations::of(ctx.request), &contact)
}

/// A number for a `tel:` link (RFC 3966), without separators.
pub fn tel_number(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || matches!(c, '+' | '*' | '#')).collect()
}

/// A `mailto:` link. A `?` in the address is escaped, so it cannot start a header of the mail (RFC 6068, 2).
fn mail_link(address: &str) -> String {
    format!("mailto:{}", utf8_percent_encode(address, ADDRESS))
}

/// Characters that are not escaped in such a link.
const ADDRESS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'+');

fn page(words: Translations, contact: &Contact) -> Result<Html> {
    let joined = |texts: &[Option<&str>], between: &str| -> String {
        let said: Vec<&str> = texts.iter().flatten().copied().filter(|text| !text.trim().is_empty()).collect();
        said.join(between)
    };
    let first = contact.first_name.as_deref();
    let name = joined(&[contact.civility.as_deref(), first, Some(&contact.last_name)], " ");
    let place = [contact.role.as_deref(), contact.service.as_deref(), contact.company.as_deref()];
    let numbers = [
        &contact.phone_mobile_1,
        &contact.phone_mobile_2,
        &contact.phone_business_1,
        &contact.phone_business_2,
        &contact.phone_home_1,
    ];
    let numbers: Vec<String> = numbers.into_iter().flatten().map(ToString::to_string).collect();
    let text = render(&ContactPage {
        words,
        name: &name,
        place: &joined(&place, ", "),
        numbers: &numbers,
        email: contact.email.as_deref(),
        mailto: contact.email.as_deref().map(mail_link).unwrap_or_default(),
        comment: contact.comment.as_deref(),
    })?;
    Ok(Html::ok(words.0, text))
}

#[cfg(test)]
mod tests {
    use http::header;
    use serde_json::json;

    use crate::tests::TestServer;

    #[test]
    fn whoever_signs_in_sees_who_calls() {
        let server = TestServer::new();
        let contact = json!({
            "civility": "Mme", "first_name": "Zoé", "last_name": "<Lefèvre>", "company": "Acme", "role": "Achats",
            "phone_mobile_1": "06 12 34 56 78", "phone_home_1": "01 42 00 00 00", "email": "zoe@example.com",
            "comment": "rappeler\nle matin",
        });
        server.admin().post("/contacts", contact).created();
        let looked_up = server.admin().get("/crm/lookup/contacts/search?phone=0612345678").ok();
        let url = looked_up["contacts"][0]["entity_url"].as_str().unwrap().to_owned();
        let path = url.strip_prefix("http://acme.localhost").unwrap();
        let nobody = server.anonymous().at("acme.localhost").get(path);
        // The redirect names the page as it was requested, with the test server's `/api` in front.
        assert_eq!(nobody.headers[header::LOCATION], "/ui/sign-in?to=%2Fapi%2Fui%2Fcontacts%2F1");

        let page = server.browser("owner@example.com").get(path);
        assert_eq!(page.status, 200);
        for shown in
            ["Mme Zoé &#60;Lefèvre&#62;", "Achats, Acme", "tel:0612345678", "06 12 34 56 78", "mailto:zoe@example.com"]
        {
            assert!(page.text.contains(shown), "{shown}: {}", page.text);
        }
        let french = server.browser("owner@example.com").with_header("accept-language", "fr").get("/ui/contacts/9");
        assert!(french.status == 404 && french.text.contains("introuvable"), "{french:?}");
    }

    #[test]
    fn a_link_to_write_to_a_contact_adds_nobody() {
        assert_eq!(super::mail_link("zoe+a@example.com"), "mailto:zoe+a@example.com");
        assert_eq!(super::mail_link("zoe?bcc=all&x@example.com"), "mailto:zoe%3Fbcc%3Dall%26x@example.com");
    }

    #[test]
    fn a_cookie_of_another_program_that_cannot_be_read_hides_no_session() {
        let server = TestServer::new();
        server.admin().post("/contacts", json!({"last_name": "Lefèvre"})).created();
        let session = server.token("owner@example.com", crate::auth::TokenScope::Workspace(server.acme.id));
        for others in ["lang=français; cx_session=", "; =; no value; a=b=c;cx_session=", "a=%FF%; cx_session="] {
            let browser =
                server.anonymous().at("acme.localhost").with_header("cookie", &format!("{others}{session}; z=é"));
            assert_eq!(browser.get("/ui/contacts/1").status, 200, "{others}");
        }
    }

    #[test]
    fn whoever_may_not_see_contacts_is_not_told_which_there_are() {
        let server = TestServer::new();
        server.admin().post("/contacts", json!({"last_name": "Lefèvre"})).created();
        server.admin().post("/roles", json!({"name": "nobody", "permissions": ["customer.view"]})).created();
        server.join_acme("zoe@example.com", "nobody");
        let browser = server.browser("zoe@example.com");
        let (there, not_there) = (browser.get("/ui/contacts/1"), browser.get("/ui/contacts/2"));
        assert_eq!((there.status.as_u16(), there.text), (404, not_there.text));
        assert_eq!(server.browser("owner@example.com").at("other.localhost").get("/ui/contacts/1").status, 303);
    }
}

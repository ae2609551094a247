//! Every kind of page for everybody: axe-core, a narrow window, a visible focus, little to load.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Hands, Office, Person};
use crate::chromium::{Chromium, Scheme, is_ci};
use crate::process::not_run;

/// A page of each kind.
fn pages(office: &Office) -> Vec<String> {
    let (contact, call) = (office.contact, office.call);
    let routing = format!("/ui/routing/{}", office.account);
    let queues = format!("{routing}/call-queues/queues");
    let fixed = [
        "/ui",
        "/ui/contacts",
        "/ui/contacts?filter%5Bfirst_name%5D=nobody",
        "/ui/contacts/new",
        "/ui/contacts/duplicates",
        "/ui/contacts/import",
        "/ui/customers",
        "/ui/phone-calls",
        "/ui/search?q=lefevre",
        "/ui/search?q=nobody",
        "/ui/routing",
        "/ui/users",
        "/ui/user-invites/new",
        "/ui/roles",
        "/ui/roles/1",
        "/ui/roles/new",
        "/ui/integration-keys",
        "/ui/integration-keys/new",
        "/ui/oauth-clients/new",
        "/ui/webhooks/new",
        "/ui/audit-log",
        "/ui/settings",
        "/ui/settings/edit",
        "/ui/organisations",
        "/ui/pbx",
    ];
    let records = [
        format!("/ui/contacts/{contact}"),
        format!("/ui/contacts/{contact}/edit"),
        format!("/ui/contacts/{contact}/delete"),
        format!("/ui/contacts/bulk?ids={contact}"),
        format!("/ui/contacts/{contact}/merge"),
        format!("/ui/contacts/{contact}/merge?with={}", contact + 1),
        format!("/ui/customers/{}", office.customer),
        format!("/ui/customers/{}/merge", office.customer),
        format!("/ui/phone-calls/{call}"),
        format!("{queues}/1"),
        format!("{routing}/call-queues/time-spans/new"),
        format!("{queues}/1/week"),
        format!("{queues}/1/week?from=2027-03-29&day=2027-03-31"),
        format!("{queues}/1/week/day?day=1"),
        format!("{queues}/1/holidays?year=2027"),
        routing,
        queues,
    ];
    let central = ["/ui", "/ui/account", "/ui/workspaces/new", "/ui/accounts", "/ui/audit-log", "/ui/instance"];
    let own = format!("/ui/workspaces/{}", office.acme.workspace);
    let central = central.into_iter().map(str::to_owned).chain([own]);
    let workspace = fixed.into_iter().map(str::to_owned).chain(records);
    workspace.map(|page| office.url(&page)).chain(central.map(|page| office.central_url(&page))).collect()
}

/// The pages of visitors without a session.
fn visitor_pages(office: &Office) -> [String; 5] {
    [
        office.url("/ui/sign-in"),
        office.central_url("/ui/sign-in"),
        office.central_url("/ui/register"),
        office.central_url("/ui/password-forgot"),
        office.url("/ui/no-such-page"),
    ]
}

/// A person who is signed in to the workspace and to the central host.
fn insider(office: &Office, language: &str) -> Option<Person> {
    let mut person = Person::at(office, Hands::Mouse, language)?;
    person.browser.go(&office.central_url("/ui/sign-in"));
    office.sign_in(&mut person.browser);
    Some(person)
}

/// What axe-core finds on the page.
fn findings(person: &mut Person, axe: &str) -> Vec<String> {
    person.browser.look(&format!("{axe}; 1"));
    let run = "axe.run({rules: {'target-size': {enabled: true}}, resultTypes: ['violations']}).then(found => \
               found.violations.map(one => one.id + ': ' + one.nodes.map(node => node.html.slice(0, 160)).join(' | ')))";
    let found = person.browser.look_later(run);
    found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// The text of axe-core, if it is installed.
fn axe() -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(path).ok();
    if axe.is_none() {
        assert!(!is_ci(), "axe-core is not installed: npm install --prefix target/axe axe-core");
        not_run("axe-core is not installed: npm install --prefix target/axe axe-core");
    }
    axe
}

#[test]
fn axe_finds_nothing_on_any_page_in_either_color_scheme() {
    let Some(axe) = axe() else { return };
    let office = Office::new();
    let Some(visitor) = Chromium::start("en") else { return };
    let mut visitor = Person { browser: visitor, hands: Hands::Mouse };
    let mut person = insider(&office, "en").unwrap();
    let mut wrong = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        for (who, pages) in [(&mut visitor, visitor_pages(&office).to_vec()), (&mut person, pages(&office))] {
            who.browser.show(1280, scheme);
            for page in pages {
                who.browser.go(&page);
                wrong.extend(findings(who, &axe).into_iter().map(|found| format!("{page} {scheme:?} {found}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    person.had_no_error();
}

#[test]
fn axe_finds_nothing_in_the_week_and_in_the_year_of_a_queue_at_any_width() {
    let Some(axe) = axe() else { return };
    let office = Office::new();
    office.open_on_monday();
    office.open_on_monday();
    office.close_on("2027-03-31");
    let Some(mut person) = insider(&office, "fr") else { return };
    let queue = format!("/ui/routing/{}/call-queues/queues/1", office.account);
    let pages = ["week?from=2027-03-29", "week?from=2027-03-29&day=2027-03-31", "holidays?year=2027"];
    let mut wrong = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        for width in [1280, 390] {
            person.browser.show(width, scheme);
            for page in pages {
                person.browser.go(&office.url(&format!("{queue}/{page}")));
                let found = findings(&mut person, &axe).into_iter();
                wrong.extend(found.map(|found| format!("{page} {width} {scheme:?} {found}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    person.had_no_error();
}

#[test]
fn no_page_scrolls_sideways_at_320_pixels_and_every_focus_is_visible() {
    let office = Office::new();
    let Some(mut person) = insider(&office, "fr") else { return };
    let mut wrong = Vec::new();
    for page in pages(&office) {
        person.browser.show(320, Scheme::Light);
        person.browser.go(&page);
        let too_wide = person.browser.look(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth && \
             [...document.querySelectorAll('main *')].filter(it => it.getBoundingClientRect().right > innerWidth + 1 \
             && !it.closest('.scroll')).slice(0, 3).map(it => it.outerHTML.slice(0, 100)).join()",
        );
        if too_wide != false {
            wrong.push(format!("{page} is wider than 320 pixels: {too_wide}"));
        }
        person.browser.show(1280, Scheme::Light);
        for _ in 0..12 {
            person.browser.tab();
            let hidden = person.browser.look(
                "(() => { const at = document.activeElement, style = getComputedStyle(at); \
                 return at !== document.body && (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) \
                 && at.outerHTML.slice(0, 120); })()",
            );
            if hidden != false {
                wrong.push(format!("{page}: the focus is not visible on {hidden}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    person.had_no_error();
}

#[test]
fn a_page_is_one_document_one_stylesheet_and_one_script() {
    let office = Office::new();
    let Some(mut person) = insider(&office, "en") else { return };
    for page in pages(&office) {
        person.browser.requests();
        person.browser.go(&page);
        let mut requests = person.browser.requests();
        // The stream of events begins when the page is there.
        requests.retain(|request| !request.contains("/ui/events"));
        assert!(requests.len() <= 3, "{page}: {requests:?}");
        assert!(requests.iter().all(|request| request.contains("localhost")), "{page}: {requests:?}");
        let bytes = person.browser.look("document.documentElement.outerHTML.length");
        assert!(bytes.as_u64().is_some_and(|bytes| bytes < 60_000), "{page}: {bytes}");
    }
}

#[test]
fn a_page_can_be_read_at_four_hundred_percent_and_with_forced_colors() {
    let office = Office::new();
    let Some(mut person) = insider(&office, "en") else { return };
    // 1280 pixels at 400 % are 320; text of 200 % is twice the size of the root.
    person.browser.show(640, Scheme::Light);
    for page in pages(&office) {
        person.browser.go(&page);
        person.browser.look("document.documentElement.style.fontSize = '200%'");
        let fits = person.browser.look("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
        assert_eq!(fits, Value::Bool(true), "{page}");
    }
}

//! The keys of the console, with scripts.

use serde_json::json;

use super::{Hands, Office, Person};

#[test]
fn keys_lead_to_search_pages_rows_and_forms() {
    let office = Office::new();
    let Some(mut agent) = Person::at(&office, Hands::Mouse, "en") else { return };
    let browser = &mut agent.browser;
    browser.key("/");
    assert_eq!(browser.focused(), "q");
    browser.type_text("lefevre");
    browser.enter();
    assert!(browser.url().contains("/ui/search?q=lefevre"), "{}", browser.url());
    for (keys, page) in [
        (["g", "k"], "/ui/contacts"),
        (["g", "c"], "/ui/phone-calls"),
        (["g", "u"], "/ui/customers"),
        (["g", "q"], "/ui/routing"),
        (["g", "a"], "/ui/audit-log"),
        (["g", "h"], "/ui"),
    ] {
        browser.keys_to_page(&keys);
        assert!(browser.url().ends_with(page), "{keys:?}: {}", browser.url());
    }
    // Letters in a field are text.
    browser.key("/");
    browser.key("g");
    browser.key("k");
    assert_eq!(browser.look("document.querySelector('#q').value"), "gk");
    assert!(browser.url().ends_with("/ui"));
}

#[test]
fn a_row_is_chosen_edited_and_saved_by_keys() {
    let office = Office::new();
    let Some(mut agent) = Person::at(&office, Hands::Mouse, "en") else { return };
    let browser = &mut agent.browser;
    browser.go(&office.url("/ui/contacts?sort=id"));
    browser.key("j");
    browser.key("x");
    assert_eq!(browser.look("document.querySelectorAll('tbody :checked').length"), 1);
    assert_eq!(browser.look("document.querySelector('[data-bulk]').textContent"), "Delete ticked (1)");
    browser.enter();
    assert!(browser.url().contains(&format!("/ui/contacts/{}", office.contact)), "{}", browser.url());
    browser.keys_to_page(&["e"]);
    browser.fill_by_keys("[name=service]", "Keys");
    browser.save_by_keys();
    agent.sees("Saved.");
    let contact = office.record(&format!("/contacts/{}", office.contact));
    assert_eq!(contact["service"], json!("Keys"));
    agent.browser.key("?");
    agent.sees("Ctrl Enter");
    agent.browser.key("Escape");
    agent.had_no_error();
}

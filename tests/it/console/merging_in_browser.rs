//! Duplicates of contacts: from the list to the merged record, with scripts and without, and at the width of a phone.

use serde_json::json;

use super::{Hands, Office, Person, field};
use crate::chromium::Scheme;

#[test]
fn a_person_finds_two_contacts_that_are_the_same_and_merges_them() {
    let office = Office::new();
    for (number, hands) in [(1, Hands::Mouse), (2, Hands::MouseWithoutScripts)] {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        if number == 2 {
            lead.browser.show(390, Scheme::Light);
        }
        let phone = format!("01 43 00 00 0{number}");
        for (company, email) in [("Acme", ""), ("Acme SA", "twice@example.com")] {
            lead.browser.go(&office.url("/ui/contacts/new"));
            lead.write("[name=last_name]", &format!("Twice{number}"));
            lead.write("[name=company]", company);
            lead.write("[name=phone_business_1]", &phone);
            if !email.is_empty() {
                lead.write("[name=email]", &format!("{number}{email}"));
            }
            lead.choose(".send button");
            lead.sees("Created.");
        }
        lead.browser.go(&office.url("/ui/contacts"));
        lead.choose("a[href='/ui/contacts/duplicates']");
        lead.sees(&format!("Twice{number}"));
        lead.choose(".card .button");
        lead.sees("Same in both");
        lead.browser.press("[name='choice:company'][value=other]");
        lead.choose(".send button");
        lead.sees("Merged.");
        let merged = office.contact_named(&format!("Twice{number}"));
        assert_eq!(field(&merged, "company"), "Acme SA", "{hands:?}");
        assert_eq!(field(&merged, "email"), format!("{number}twice@example.com"), "{hands:?}");
        lead.browser.go(&office.url("/ui/contacts/duplicates"));
        lead.sees("None found.");
        assert_eq!(lead.browser.look("document.documentElement.scrollWidth > innerWidth"), json!(false));
        lead.had_no_error();
    }
}

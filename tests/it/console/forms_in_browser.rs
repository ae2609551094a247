//! Forms under bad conditions: two presses, two people, problems, drafts, and Back.

use serde_json::json;

use super::{Hands, Office, Person, field};

#[test]
fn a_double_click_creates_one_record() {
    let office = Office::new();
    for hands in [Hands::Mouse, Hands::MouseWithoutScripts] {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        let before = office.count("/contacts");
        agent.browser.go(&office.url("/ui/contacts/new"));
        agent.write("[name=last_name]", &format!("Twice{hands:?}"));
        agent.browser.double_click(".send button");
        agent.sees(&format!("Twice{hands:?}"));
        assert_eq!(office.count("/contacts"), before + 1, "{hands:?}");
        agent.had_no_error();
    }
}

#[test]
fn a_form_that_was_sent_and_is_sent_again_with_other_values_makes_no_second_record() {
    let office = Office::new();
    let Some(mut agent) = Person::at(&office, Hands::MouseWithoutScripts, "en") else { return };
    let before = office.count("/contacts");
    agent.browser.go(&office.url("/ui/contacts/new"));
    agent.write("[name=last_name]", "Before");
    agent.choose(".send button");
    agent.browser.back();
    agent.write("[name=last_name]", "After");
    agent.choose(".send button");
    agent.sees("This form was sent already");
    assert_eq!(agent.browser.look("document.querySelector('[name=last_name]').value"), "After");
    assert_eq!(office.count("/contacts"), before + 1);
}

#[test]
fn two_people_who_edit_one_record_choose_field_by_field() {
    let office = Office::new();
    for hands in [Hands::Mouse, Hands::MouseWithoutScripts] {
        let Some(mut first) = Person::at(&office, hands, "en") else { return };
        let mut second = Person::at(&office, hands, "en").unwrap();
        let edit = office.url(&format!("/ui/contacts/{}/edit", office.contact));
        let read = || office.record(&format!("/contacts/{}", office.contact));

        // Different fields: both changes are kept.
        first.browser.go(&edit);
        second.browser.go(&edit);
        first.write("[name=service]", &format!("First {hands:?}"));
        first.choose(".send button");
        second.write("[name=role]", &format!("Second {hands:?}"));
        second.choose(".send button");
        second.sees("Saved, together with a change");
        assert_eq!(field(&read(), "service"), format!("First {hands:?}"));
        assert_eq!(field(&read(), "role"), format!("Second {hands:?}"));

        // The same field: the person chooses.
        first.browser.go(&edit);
        second.browser.go(&edit);
        first.write("[name=service]", "Theirs");
        first.choose(".send button");
        second.write("[name=service]", "Mine");
        second.write("[name=company]", &format!("Company {hands:?}"));
        second.choose(".send button");
        second.sees("Theirs");
        second.sees("acme");
        assert_eq!(field(&read(), "service"), "Theirs", "nothing is saved before the choice");
        second.browser.press("input[type=radio][value=mine]");
        second.choose(".send button");
        assert_eq!(field(&read(), "service"), "Mine");
        assert_eq!(field(&read(), "company"), format!("Company {hands:?}"));
        second.had_no_error();
    }
}

#[test]
fn a_refused_form_keeps_everything_and_names_the_field() {
    let office = Office::new();
    for (language, said) in [("en", "must be a valid email"), ("fr", "adresse e-mail")] {
        let Some(mut agent) = Person::at(&office, Hands::Mouse, language) else { return };
        agent.browser.go(&office.url("/ui/contacts/new"));
        agent.write("[name=last_name]", "Æble \"quoted\" <b>");
        agent.write("[name=comment]", "one\ntwo");
        agent.browser.look("document.querySelector('form.record').noValidate = true");
        agent.write("[name=email]", "no address");
        agent.choose(".send button");
        agent.sees(said);
        let value = |name: &str| format!("document.querySelector('[name={name}]').value");
        assert_eq!(agent.browser.look(&value("last_name")), json!("Æble \"quoted\" <b>"));
        assert_eq!(agent.browser.look(&value("comment")), json!("one\ntwo"));
        assert_eq!(agent.browser.look(&value("email")), json!("no address"));
        assert_eq!(
            agent.browser.look("document.querySelector('[name=email]').getAttribute('aria-invalid')"),
            json!("true")
        );
        assert_eq!(agent.browser.look("document.activeElement.className"), json!("wrong"));
        agent.had_no_error();
    }
}

#[test]
fn a_form_that_was_left_is_offered_again() {
    let office = Office::new();
    let Some(mut agent) = Person::at(&office, Hands::Mouse, "en") else { return };
    agent.browser.go(&office.url("/ui/contacts/new"));
    agent.write("[name=last_name]", "Draft");
    agent.browser.go(&office.url("/ui/contacts"));
    agent.browser.go(&office.url("/ui/contacts/new"));
    agent.sees("You left this form with changes.");
    agent.browser.press(".draft button");
    assert_eq!(agent.browser.look("document.querySelector('[name=last_name]').value"), json!("Draft"));
    agent.had_no_error();
}

#[test]
fn filters_stay_after_a_record_and_after_back() {
    let office = Office::new();
    for hands in [Hands::Mouse, Hands::MouseWithoutScripts] {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        agent.browser.go(&office.url("/ui/contacts?filter%5Bfirst_name%5D=Ada&sort=-last_name"));
        let list = agent.browser.url();
        agent.choose("tbody a.open");
        agent.choose(".crumb a");
        assert_eq!(agent.browser.url(), list);
        agent.browser.back();
        agent.browser.back();
        assert_eq!(agent.browser.url(), list);
        agent.sees("Thomas");
        assert!(!agent.text().contains("Lefèvre"));
    }
}

#[test]
fn a_customer_is_found_while_typing() {
    let office = Office::new();
    let Some(mut agent) = Person::at(&office, Hands::Mouse, "en") else { return };
    agent.browser.go(&office.url("/ui/contacts/new"));
    agent.write("[name=last_name]", "Combo");
    agent.write("[name=customer_id]", "boul");
    agent.browser.wait_until("!document.querySelector('.options').hidden");
    agent.browser.key("ArrowDown");
    agent.browser.key_enter();
    assert_eq!(
        agent.browser.look("document.querySelector('[name=customer_id]').value"),
        json!(format!("Boulangerie Leroy #{}", office.customer))
    );
    agent.browser.save_by_keys();
    assert_eq!(office.contact_named("Combo")["customer_id"], office.customer);
    agent.had_no_error();
}

#[test]
fn a_session_that_ends_in_mid_form_loses_nothing() {
    let office = Office::new();
    for hands in [Hands::Mouse, Hands::MouseWithoutScripts] {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        agent.browser.go(&office.url(&format!("/ui/contacts/{}/edit", office.contact)));
        let typed = format!("typed for\nan hour, {hands:?}");
        agent.write("[name=comment]", &typed);
        // The person ends all other sessions elsewhere.
        office.server.delete(&office.acme.owner, "/tokens?others=1");
        agent.choose(".send button");
        agent.sees("Sign in to acme");
        assert_ne!(office.record_again()["comment"], json!(typed));
        office.fill_in(&mut agent.browser);
        agent.sees("Your text is still here");
        assert_eq!(agent.browser.look("document.querySelector('[name=comment]').value"), json!(typed));
        agent.choose(".send button");
        agent.sees("Saved.");
        assert_eq!(office.record_again()["comment"], json!(typed));
    }
}

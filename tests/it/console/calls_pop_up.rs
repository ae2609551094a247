//! Live updates in a real browser: the card of a caller, and records that others change.

use serde_json::json;

use super::{HANDS, Hands, Office, Person, field};

impl Office {
    /// Looks a number up, as a PBX does while a phone rings.
    fn ring(&self, query: &str) {
        self.server.get(&self.pbx(), &format!("/crm/lookup/contacts/search?{query}")).ok();
    }
}

const CARD: &str = ".pop:not([hidden])";

fn shows(selector: &str, text: &str) -> String {
    format!("document.querySelector(\"{selector}\")?.textContent.includes(\"{text}\") === true")
}

#[test]
fn an_agent_sees_who_calls_opens_the_contact_and_takes_a_note() {
    let office = Office::new();
    let me = office.record("/whoami")["user"]["id"].clone();
    office.server.put(&office.acme.inside, &format!("/users/{me}"), json!({"extension": "204"})).created();
    for hands in [Hands::Mouse, Hands::Keys] {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        office.ring("phone=0612345678&agent_extension=999");
        office.ring(&format!("phone=0612345678&agent_extension=204&queue={hands:?}"));
        agent.browser.wait_until(&shows(CARD, "Zoé Lefèvre"));
        assert_eq!(agent.clicks(), 0);
        agent.sees("Boulangerie Leroy");
        assert_eq!(agent.browser.look("document.activeElement === document.body"), true, "the card takes no focus");
        agent.choose(&format!("{CARD} .actions a.button"));
        assert_eq!(agent.clicks(), 1);
        assert!(agent.browser.url().ends_with(&format!("/ui/contacts/{}", office.contact)));

        // An unknown caller becomes a contact of the customer with that number.
        office.ring(&format!("phone=0142000{}&agent_extension=204", if hands == Hands::Keys { "101" } else { "102" }));
        agent.browser.wait_until(&shows(CARD, "Unknown caller"));
        agent.choose(&format!("{CARD} .actions a[href^='/ui/contacts/new']"));
        agent.write("[name=last_name]", &format!("Nouveau{hands:?}"));
        agent.choose(".send button");
        assert_eq!(agent.clicks(), 2);
        let made = office.contact_named(&format!("Nouveau{hands:?}"));
        assert!(field(&made, "phone_mobile_1").starts_with("0142000"), "{made}");

        agent.browser.go(&office.url("/ui/phone-calls/card?number=0612345678"));
        agent.choose("#caller .actions a.second");
        agent.write("[name=body]", &format!("Asks for an offer ({hands:?})."));
        agent.choose(".send button");
        assert_eq!(agent.clicks(), 2);
        let noted = office.record("/phone-calls?sort=-id&per_page=1")["data"][0].clone();
        assert_eq!(field(&noted, "body"), format!("Asks for an offer ({hands:?})."));
        assert_eq!((&noted["contact_id"], &noted["direction"]), (&json!(office.contact), &json!("inbound")));
        agent.had_no_error();
    }
}

#[test]
fn the_calls_that_ring_are_a_page_too() {
    let office = Office::new();
    office.ring("phone=0612345678&queue=Accueil");
    for hands in HANDS {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        agent.browser.go(&office.url("/ui/phone-calls/now"));
        for seen in ["Calls now", "Zoé Lefèvre", "Accueil", "0612345678"] {
            agent.sees(seen);
        }
        agent.choose("#ringing .actions a.button");
        assert!(agent.browser.url().ends_with(&format!("/ui/contacts/{}", office.contact)));
        agent.had_no_error();
    }
    // With the script, a new call appears by itself.
    let Some(mut agent) = Person::at(&office, Hands::Mouse, "fr") else { return };
    agent.browser.go(&office.url("/ui/phone-calls/now"));
    office.ring("phone=0142000103");
    agent.browser.wait_until(&shows("#ringing", "Appelant inconnu"));
    agent.had_no_error();
}

#[test]
fn a_record_that_another_person_changes_says_so_and_ones_own_change_does_not() {
    let office = Office::new();
    let Some(mut agent) = Person::at(&office, Hands::Mouse, "en") else { return };
    let contact = format!("/contacts/{}", office.contact);
    agent.browser.go(&office.url(&format!("/ui{contact}/edit")));
    agent.browser.fill("[name=service]", "Sales");
    agent.choose(".send button");
    agent.sees("Saved.");
    // The stream has told of the own change when it tells of a later one.
    let told = "document.querySelector('[data-changed]') !== null";
    assert_eq!(agent.browser.look(told), false);
    let mut service = 0;
    while agent.browser.look(told) == false {
        service += 1;
        let change = json!({"service": format!("Support {service}")});
        office.server.put(&office.acme.inside, &contact, change).created();
    }
    agent.sees("This was changed just now.");
    agent.sees("Sales");
    agent.choose("[data-changed] a");
    agent.sees("Support");
    agent.had_no_error();
}

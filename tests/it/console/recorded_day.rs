//! A day in minutes: a PBX looks callers up and records calls, two agents answer in their browsers, and a lead watches the
//! first page. Nothing is lost, and no browser reports an error.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Hands, Office, Person, field};
use crate::chromium::{Chromium, Scheme};
use crate::test_server::{PASSWORD, Who, email};

/// Calls of the short form. The long form goes on for ten minutes.
const CALLS: usize = 12;

#[test]
fn nothing_is_lost_in_a_day_of_calls() {
    day(|calls| calls < CALLS);
}

#[test]
#[ignore = "it takes ten minutes"]
fn nothing_is_lost_in_a_long_day_of_calls() {
    let end = Instant::now() + Duration::from_secs(600);
    day(|_| Instant::now() < end);
}

/// An agent with an extension, at a browser.
fn agent(office: &Office, name: &str, extension: &str) -> Option<Person> {
    let server = &office.server;
    let account = server.register(name);
    server.cli(&["user", "add", &email(name), "--workspace", "acme"]).ok();
    let me = server.enter(&account, &office.acme.workspace);
    let id = server.get(&me, "/whoami").ok()["user"]["id"].clone();
    server.put(&me, &format!("/users/{id}"), json!({"extension": extension})).created();
    let mut browser = Chromium::start("en")?;
    browser.show(1280, Scheme::Light);
    browser.go(&office.url("/ui/sign-in"));
    browser.fill("#email", &email(name));
    browser.fill("#password", PASSWORD);
    browser.click("form:has(#password) button");
    Some(Person { browser, hands: Hands::Mouse })
}

fn day(goes_on: impl Fn(usize) -> bool) {
    let office = Office::new();
    let Some(mut lead) = Person::at(&office, Hands::Mouse, "en") else { return };
    let mut agents = Vec::new();
    for (name, extension) in [("ida", "201"), ("max", "202")] {
        agents.push((extension, agent(&office, name, extension).expect("a browser, as before")));
    }
    let pbx = office.pbx();
    let before = office.count("/phone-calls");
    let (mut recorded, mut created) = (0, 0);
    for call in (0..).take_while(|call| goes_on(*call)) {
        let (extension, agent) = &mut agents[call % 2];
        // Every third caller is known.
        let is_known = call % 3 == 0;
        let number = if is_known { "0612345678".to_owned() } else { format!("01430{call:05}") };
        take_call(&office, &pbx, agent, &number, extension, call, is_known);
        created += u64::from(!is_known);
        let outcome = if call % 4 == 3 { "Missed" } else { "Inbound" };
        let journal = json!({
            "call_type": outcome, "number": number, "agent_extension": extension, "duration_s": 30,
            "external_id": format!("call-{call}"),
        });
        // A PBX that got no answer sends the record again.
        for _ in 0..2 {
            office.server.post(&pbx, "/crm/lookup/phone-calls", journal.clone()).created();
        }
        recorded += 1;
        if call % 4 == 3 {
            lead.browser.go(&office.url("/ui"));
            lead.sees("Missed and not called back");
        }
    }
    assert_eq!(office.count("/phone-calls"), before + recorded, "each call is recorded once");
    assert_eq!(office.count("/contacts?filter[last_name]=Caller"), created);
    let changes = office.count("/audit-log?filter[action]=phone-call.created");
    assert_eq!(changes, before + recorded, "each call has its entry in the audit log");
    lead.had_no_error();
    for (_, mut agent) in agents {
        agent.had_no_error();
    }
}

/// A phone rings, the card appears, and the agent opens the contact or creates one.
fn take_call(
    office: &Office,
    pbx: &Who,
    agent: &mut Person,
    number: &str,
    extension: &str,
    call: usize,
    is_known: bool,
) {
    // Each call is another one, also from the same number.
    let asked = format!("/crm/lookup/contacts/search?phone={number}&agent_extension={extension}&queue=Q{call}");
    let found = office.server.get(pbx, &asked).ok();
    assert_eq!(found["contacts"][0]["id"] != "0", is_known, "{found}");
    agent
        .browser
        .wait_until(&format!("document.querySelector('.pop:not([hidden])')?.textContent.includes('{number}')"));
    if is_known {
        agent.choose(".pop .actions a.button");
        agent.sees("Zoé");
    } else {
        agent.choose(".pop .actions a[href^='/ui/contacts/new']");
        agent.write("[name=last_name]", &format!("Caller {call}"));
        agent.choose(".send button");
        agent.sees("Created.");
        let made = office.contact_named(&format!("Caller%20{call}"));
        assert_eq!(field(&made, "phone_mobile_1"), number);
    }
}

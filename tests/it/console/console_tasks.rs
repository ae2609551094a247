//! The daily tasks of people, each with the mouse, without scripts, and with the keyboard alone. Clicks are counted.

use super::{HANDS, Hands, Office, Person, field};
use crate::chromium::Scheme;

#[test]
fn a_person_finds_somebody_by_name_number_address_or_account() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        let wanted = [
            ("lefevre", "Zoé Lefèvre"),
            ("06.12.34.56.78", "Zoé Lefèvre"),
            ("0033612345678", "Zoé Lefèvre"),
            ("zoe@example.com", "Zoé Lefèvre"),
            (office.account.as_str(), "Boulangerie Leroy"),
            ("accueil", "Accueil"),
        ];
        for (typed, found) in wanted {
            agent.write("#q", typed);
            agent.enter();
            agent.sees(found);
            assert_eq!(agent.clicks(), 0, "{typed}");
        }
        agent.write("#q", "zoe@example.com");
        agent.enter();
        agent.choose("main .hits a");
        assert_eq!(agent.clicks(), 1);
        assert!(agent.browser.url().ends_with(&format!("/ui/contacts/{}", office.contact)));
        agent.sees("+33 6 12 34 56 78");
        agent.browser.back();
        agent.sees("Search: zoe@example.com");
        agent.had_no_error();
    }
}

#[test]
fn a_person_notes_what_a_call_was_about() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        agent.browser.go(&office.url(&format!("/ui/phone-calls/{}", office.call)));
        let note = format!("Asks for an offer.\nCall back ({hands:?}).");
        agent.choose("a[data-edit]");
        agent.write("[name=body]", &note);
        agent.choose(".send button");
        assert_eq!(agent.clicks(), 2);
        agent.sees("Saved.");
        agent.sees("Asks for an offer.");
        let call = office.record(&format!("/phone-calls/{}", office.call));
        assert_eq!(field(&call, "body"), note);
        agent.had_no_error();
    }
}

#[test]
fn a_person_creates_a_contact_for_an_unknown_caller() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut agent) = Person::at(&office, hands, "en") else { return };
        agent.browser.go(&office.url(&format!("/ui/phone-calls/{}", office.call)));
        agent.choose(".actions a[href^='/ui/contacts/new']");
        agent.write("[name=last_name]", &format!("Nouveau{hands:?}"));
        agent.choose(".send button");
        assert_eq!(agent.clicks(), 2);
        agent.sees("Created.");
        let made = office.contact_named(&format!("Nouveau{hands:?}"));
        assert_eq!(field(&made, "phone_mobile_1"), "+33 1 42 00 00 07");
        assert_eq!(made["customer_id"], office.customer);
        agent.had_no_error();
    }
}

#[test]
fn a_person_sees_who_was_missed_and_calls_back() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        lead.sees("Missed and not called back");
        assert_eq!(lead.clicks(), 0);
        // One click calls: the browser gives the number to a phone.
        let number = "main a[href='tel:+33142000007']";
        let on_top = "(link => { const box = link.getBoundingClientRect(); \
                      return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === link; })";
        let reached = lead.browser.look(&format!("{on_top}(document.querySelector(\"{number}\"))"));
        assert_eq!(reached, true);
        if hands == Hands::Keys {
            lead.browser.tab_to(number);
        }
        lead.choose(".plot li a");
        assert_eq!(lead.clicks(), 1);
        lead.sees("+33 1 42 00 00 07");
        lead.browser.back();
        lead.choose("main table a.open");
        assert_eq!(lead.clicks(), 1);
        assert!(lead.browser.url().ends_with(&format!("/ui/phone-calls/{}", office.call)));
        lead.had_no_error();
    }
}

#[test]
fn a_person_sees_the_queues_of_a_customer() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        lead.choose("nav a[href='/ui/routing']");
        let routing = format!("/ui/routing/{}", office.account);
        lead.choose(&format!("main a[href='{routing}']"));
        lead.choose(&format!("main a[href='{routing}/call-queues/queues']"));
        assert_eq!(lead.clicks(), 3);
        lead.sees("Accueil");
        lead.choose("main a.open");
        lead.sees("Voicemail");
        lead.sees("899");
        lead.had_no_error();
    }
}

#[test]
fn a_person_changes_the_hours_of_monday_and_copies_them_to_the_weekdays() {
    let office = Office::new();
    office.open_on_monday();
    for (hands, (start, end)) in HANDS.into_iter().zip([("08:30", "17:00"), ("08:45", "17:15"), ("09:15", "17:30")]) {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        lead.choose("main a[href$='/queues/1/week']");
        lead.choose("main a[href$='/week/day?day=1']");
        assert_eq!(lead.clicks(), 2);
        lead.write("[name=start_time_1]", start);
        lead.write("[name=end_time_1]", end);
        lead.choose(".send button");
        lead.sees("Replace these hours?");
        lead.choose(".send button");
        assert_eq!(lead.clicks(), 2);
        lead.sees("Saved.");
        let spans = office.routing("/call-queues/time-spans?per_page=500");
        let spans = spans["data"].as_array().unwrap();
        assert_eq!(spans.len(), 5);
        assert!(spans.iter().all(|span| span["start_time"] == start && span["end_time"] == end), "{spans:?}");
        lead.had_no_error();
    }
}

#[test]
fn a_person_closes_a_queue_earlier_today_and_for_a_whole_day() {
    let office = Office::new();
    for (number, hands) in (1..).zip(HANDS) {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        lead.choose("main a[href$='/queues/1/week']");
        // The week of today is shown, and today is marked.
        lead.choose("main tr.at a[href*='date_full']");
        lead.write("[name=start_time]", "16:00");
        lead.choose(".send button");
        assert_eq!(lead.clicks(), 3);
        lead.sees("Created.");
        let spans = office.routing("/call-queues/time-spans");
        assert_eq!(spans["total"], number);
        let span = &spans["data"][0];
        assert_eq!((field(span, "end_time"), field(span, "destination")), ("24:00".into(), "899".into()));

        lead.choose("nav a[href='/ui']");
        lead.clicks();
        lead.choose("main a[href$='/queues/1/week']");
        lead.choose("main tr.at a[href*='/exceptions/new']");
        lead.choose(".send button");
        assert_eq!(lead.clicks(), 3);
        lead.sees("Created.");
        assert_eq!(office.routing("/call-queues/exceptions")["total"], number);
        lead.had_no_error();
    }
}

#[test]
fn a_person_with_a_phone_goes_through_the_week_day_by_day() {
    let office = Office::new();
    office.open_on_monday();
    let week = format!("/ui/routing/{}/call-queues/queues/1/week?from=2027-03-29", office.account);
    let pictures = "[...document.querySelectorAll('main svg')].filter(it => it.getClientRects().length).length";
    let days = "[...document.querySelectorAll('main tbody tr')].filter(it => it.getClientRects().length)\
                .map(it => it.querySelector('th').textContent).join()";
    for hands in HANDS {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        lead.browser.show(390, Scheme::Light);
        lead.browser.go(&office.url(&week));
        lead.sees("09:00–18:00");
        for (link, shown) in
            [("last-child", "Tue 30 Mar"), ("first-child", "Mon 29 Mar"), ("first-child", "Sun 28 Mar")]
        {
            lead.choose(&format!(".one-day a:{link}"));
            assert_eq!(lead.browser.look(days), shown);
            assert_eq!(lead.browser.look(pictures), 1);
        }
        lead.browser.show(1280, Scheme::Light);
        let all = "Mon 22 Mar,Tue 23 Mar,Wed 24 Mar,Thu 25 Mar,Fri 26 Mar,Sat 27 Mar,Sun 28 Mar";
        assert_eq!(lead.browser.look(days), all);
        assert_eq!(lead.browser.look(pictures), 1);
        lead.had_no_error();
    }
}

#[test]
fn a_closed_day_is_in_the_calendar_of_a_wide_screen_and_in_the_list_of_a_phone() {
    let office = Office::new();
    office.close_on("--12-24");
    let year = format!("/ui/routing/{}/call-queues/queues/1/holidays?year=2027", office.account);
    for hands in HANDS {
        let Some(mut lead) = Person::at(&office, hands, "fr") else { return };
        lead.browser.go(&office.url(&year));
        for said in ["Janvier", "Août", "ven. 24 déc.", "chaque année"] {
            lead.sees(said);
        }
        lead.choose(".months a");
        assert!(lead.browser.url().ends_with("/exceptions/1"), "{}", lead.browser.url());
        lead.browser.show(390, Scheme::Light);
        lead.browser.go(&office.url(&year));
        lead.sees("ven. 24 déc.");
        assert!(!lead.text().contains("Août"), "{}", lead.text());
        lead.choose(".cards .card a");
        assert!(lead.browser.url().ends_with("/exceptions/1"), "{}", lead.browser.url());
        lead.had_no_error();
    }
}

#[test]
fn a_person_creates_the_holidays_of_a_country() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        lead.choose("main a[href$='/queues/1/week']");
        lead.choose("main a[href*='/holidays?year=']");
        // The country of the workspace is chosen.
        lead.sees("Armistice 1918");
        lead.choose(".send button");
        assert_eq!(lead.clicks(), 3);
        lead.sees("Created.");
        lead.sees("All there already.");
        let made = office.routing("/call-queues/exceptions?per_page=500");
        let ids: Vec<String> = made["data"].as_array().unwrap().iter().map(|row| row["id"].to_string()).collect();
        assert_eq!(ids.len(), 11);
        let (bulk, account) = ("/smart-routings/call-queues/exceptions/bulk", &office.account);
        office
            .server
            .delete(&office.acme.inside, &format!("{bulk}?customer_account={account}&ids={}", ids.join(",")))
            .ok();
        lead.had_no_error();
    }
}

#[test]
fn a_person_invites_a_colleague_corrects_a_contact_and_looks_up_who_changed_it() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut admin) = Person::at(&office, hands, "en") else { return };
        admin.choose("nav a[href='/ui/user-invites']");
        admin.choose("a[data-new]");
        admin.write("[name=email]", &format!("{hands:?}@example.com"));
        admin.write("[name=name]", "Ida");
        admin.browser.look("document.querySelector('[name=role_id]').selectedIndex = 2");
        admin.choose(".send button");
        assert_eq!(admin.clicks(), 3);
        admin.sees(&format!("{hands:?}@example.com"));

        admin.choose("nav a[href='/ui']");
        admin.clicks();
        admin.write("#q", "lefevre");
        admin.enter();
        admin.choose("main .hits a");
        admin.choose("a[data-edit]");
        admin.write("[name=service]", &format!("Sales {hands:?}"));
        admin.choose(".send button");
        assert_eq!(admin.clicks(), 3);
        let contact = office.record(&format!("/contacts/{}", office.contact));
        assert_eq!(field(&contact, "service"), format!("Sales {hands:?}"));

        admin.choose("nav a[href='/ui']");
        admin.clicks();
        admin.choose("nav a[href='/ui/audit-log']");
        admin.browser.look("document.querySelector('.entries details').open = true");
        admin.sees("Changed: Contact");
        admin.sees(&format!("Sales {hands:?}"));
        admin.sees("acme");
        assert_eq!(admin.clicks(), 1);
        admin.had_no_error();
    }
}

#[test]
fn a_person_sees_which_queues_are_open_and_learns_why_a_call_went_where_it_went() {
    let office = Office::new();
    for hands in HANDS {
        let Some(mut lead) = Person::at(&office, hands, "en") else { return };
        for seen in ["Queues now", "Accueil", "899"] {
            lead.sees(seen);
        }
        assert_eq!(lead.clicks(), 0);
        lead.choose("main a[href$='/week']");
        lead.choose(".actions a[href*='/test?']");
        assert_eq!(lead.clicks(), 2);
        lead.write("#time", "9h30");
        lead.choose("form:has(#queue) button");
        assert_eq!(lead.clicks(), 1);
        lead.sees("899");
        lead.sees("Exceptions of the queue");
        lead.had_no_error();
    }
}

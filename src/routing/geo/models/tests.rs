use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tests::{RoutingClient, TestServer};

fn of<'m>(model: &'m GeoModel, value: &str, home: Country) -> Option<&'m GeoZone> {
    model.zone_of(value, || Ok::<_, ()>(home)).unwrap()
}

fn code<'m>(model: i64, value: &str, home: Country) -> Option<&'m str> {
    of(find(model).unwrap(), value, home).map(|zone| zone.code.as_str())
}

#[test]
fn whatever_is_said_to_lead_to_a_zone_leads_there_and_nowhere_else() {
    let ids: Vec<i64> = MODELS.iter().map(|model| model.id).collect();
    assert_eq!(ids, ZONES.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    assert_eq!(ids, (1..=9).collect::<Vec<i64>>());
    for model in &*MODELS {
        let GeoModel { name, source, year, zones, max_length, .. } = model;
        assert!(!name.is_empty() && !source.is_empty() && *year > 2000 && !zones.is_empty(), "{name}");
        let (mut codes, mut matches) = (HashSet::new(), HashSet::new());
        for zone in zones {
            assert!(codes.insert(&zone.code) && (1..=16).contains(&zone.code.len()), "{name}: {zone:?}");
            assert!(!zone.label.trim().is_empty(), "{name}: {zone:?}");
            for with in &zone.matches {
                assert!(matches.insert(with), "{name}: {with} twice");
                let parts: Vec<&str> = match model.match_method {
                    MatchMethod::Range => with.split('-').collect(),
                    _ => vec![with],
                };
                if model.match_method == MatchMethod::Range {
                    assert!(parts.len() == 2 && parts[0] <= parts[1], "{name}: {with}");
                    assert!(parts.iter().all(|end| end.len() == *max_length), "{name}: {with}");
                }
                for part in parts {
                    assert!(part.len() <= *max_length && part.chars().all(char::is_alphanumeric), "{name}: {with}");
                    let found = model.zone_by(part).map(|zone| &zone.code);
                    assert_eq!(found, Some(&zone.code), "{name}: {part}");
                }
            }
        }
    }
}

#[test]
fn every_number_of_belgium_and_every_ending_is_in_one_range() {
    for (model, most) in [(4, 4), (9, 2)] {
        let model = find(model).unwrap();
        for number in 0..10_u32.pow(most) {
            let text = format!("{number:0width$}", width = most as usize);
            let ranges = model.zones.iter().flat_map(|zone| &zone.matches);
            let held = ranges.filter(|range| {
                let (first, last) = range.split_once('-').unwrap();
                (first.parse().unwrap()..=last.parse().unwrap()).contains(&number)
            });
            let is_in_one = model.name.starts_with("Last") || number >= 1000;
            assert_eq!(held.count(), usize::from(is_in_one), "{text}");
        }
    }
}

#[test]
fn a_postcode_leads_to_its_zone_however_it_is_written() {
    for (model, value, zone) in [
        (1, "75011", Some("75")),
        (1, " 75 011 ", Some("75")),
        (1, "75-011", Some("75")),
        (1, "75", Some("75")),
        (1, "7", None),
        (1, "20000", Some("2A")),
        (1, "20137", Some("2A")),
        (1, "20200", Some("2B")),
        (1, "20600", Some("2B")),
        (1, "2a", None),
        (1, "97411", Some("974")),
        (1, "97611", Some("976")),
        (1, "98000", Some("980")),
        (1, "F-75008", Some("75")),
        (1, "FR 75008", Some("75")),
        (1, "D-10115", None),
        (1, "1000", Some("01")),
        (1, "F-1000", Some("01")),
        (1, "0100", Some("01")),
        (1, "971", Some("971")),
        (1, "97150", Some("978")),
        (1, "97133", Some("977")),
        (1, "97110", Some("971")),
        (1, "97500", Some("975")),
        (1, "97700", Some("977")),
        (1, "97800", Some("978")),
        (1, "98600", Some("986")),
        (1, "98714", Some("987")),
        (1, "98800", Some("988")),
        (1, "98500", None),
        (1, "", None),
        (1, "７５０１１", Some("75")),
        (1, "７5é\u{301}🇫🇷", Some("75")),
        (3, "75011", Some("11")),
        (3, "97150", Some("978")),
        (3, "97500", Some("975")),
        (3, "98800", Some("988")),
        (3, "1000", Some("84")),
        (3, "20200", Some("94")),
        (3, "69001", Some("84")),
        (3, "97200", Some("02")),
        (4, "1000", Some("BRU")),
        (4, "B-1299", Some("BRU")),
        (6, "D-10115", Some("10")),
        (6, "1067", Some("01")),
        (6, "DE 1067", Some("01")),
        (5, "CH-8001", Some("8")),
        (4, "1300", Some("WBR")),
        (4, "3499", Some("VBR")),
        (4, "3500", Some("VLI")),
        (4, "6599", Some("WHT")),
        (4, "6600", Some("WLX")),
        (4, "7000", Some("WHT")),
        (4, "999", None),
        (4, "10A0", None),
        (5, "8001", Some("8")),
        (5, "0123", None),
        (6, "80331", Some("80")),
        (6, "01067", Some("01")),
        (6, "05000", None),
        (6, "43000", None),
        (6, "62000", None),
    ] {
        assert_eq!(code(model, value, Country::US), zone, "{model}: {value}");
    }
}

#[test]
fn a_number_leads_to_its_zone_in_any_format() {
    for (model, value, zone) in [
        (2, "+33 1 42 00 00 00", Some("01")),
        (2, "0033142000000", Some("01")),
        (2, "01.42.00.00.00", Some("01")),
        // An unencoded plus arrives as a space.
        (2, " 33142000000", Some("01")),
        (2, "05 56 00 00 00", Some("05")),
        (2, "+262 262 12 34 56", Some("02")),
        (2, "+596 596 12 34 56", Some("05")),
        (2, "06 12 34 56 78", None),
        (2, "+49 30 123456", None),
        (2, "204", None),
        (2, "anonymous", None),
        (7, "+33142000000", Some("FR")),
        (7, "0049 30 123456", Some("DE")),
        (7, "+1 212 555 0100", Some("US")),
        (7, "+1 416 555 0100", Some("CA")),
        (7, "+1 876 555 0100", Some("JM")),
        (7, "+7 495 123 45 67", Some("RU")),
        (7, "+7 727 123 45 67", Some("KZ")),
        (7, "+44 20 7946 0000", Some("GB")),
        (7, "+44 1481 256789", Some("GG")),
        (7, "+44 1534 456789", Some("JE")),
        (7, "+44 1624 756789", Some("IM")),
        (7, "+39 02 1234567", Some("IT")),
        (7, "+39 06 698 12345", Some("VA")),
        (7, "+47 79 12 34 56", Some("SJ")),
        (7, "+358 18 12345", Some("AX")),
        (7, "+61 8 9162 1234", Some("CC")),
        (7, "+61 8 9164 1234", Some("CX")),
        (7, "+212 528 81 23 45", Some("EH")),
        (7, "+262 269 61 23 45", Some("YT")),
        (7, "+262 262 12 34 56", Some("RE")),
        (7, "+599 715 1234", Some("BQ")),
        (7, "+383 28 012345", Some("XK")),
        (7, "022 730 51 11", Some("CH")),
        (7, "204", None),
        (7, "+800 1234 5678", None),
        (8, "+33 1 42 00 00 07", Some("7")),
        (8, "204", Some("4")),
        (8, "anonymous", None),
        (9, "01 42 00 00 24", Some("00-24")),
        (9, "01 42 00 00 2 5", Some("25-49")),
        (9, "9", None),
    ] {
        assert_eq!(code(model, value, Country::CH), zone, "{model}: {value}");
    }
}

#[test]
fn models_are_listed_like_all_else_and_are_the_same_for_every_customer() {
    let server = TestServer::new();
    let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
    assert_eq!(routing.ids("/geo/models"), (1..=9).collect::<Vec<i64>>());
    assert_eq!(other.get("/geo/models").ok()["data"], routing.get("/geo/models").ok()["data"]);
    for (query, ids) in [
        ("id=4", vec![4]),
        ("name=BELGIAN", vec![4]),
        ("filter[name]=postcode", vec![1, 3, 4]),
        ("match_method=range", vec![4, 9]),
        ("filter[match_method]=range&filter[match_position]=end", vec![9]),
        ("max_length=8", vec![7]),
        ("source=arcep", vec![2]),
        ("year=2018", vec![2]),
        ("term=french%20insee", vec![1, 3]),
        ("sort=-id&match_position=end", vec![9, 8]),
    ] {
        assert_eq!(routing.ids(&format!("/geo/models?{query}")), ids, "{query}");
    }
    routing
        .get("/geo/models?match_method=near")
        .invalid(&["The selected match_method is invalid; it may be exact, prefix, range."]);
    let page = routing.get("/geo/models?page=2&per_page=4").ok();
    assert_eq!((&page["total"], &page["last_page"], &page["from"]), (&json!(9), &json!(3), &json!(5)));
    assert!(page["next_page_url"].as_str().unwrap().contains("per_page=4&"), "{page}");
    let first = routing.get("/geo/models?cursor=&per_page=8").ok();
    let behind = first["next_cursor"].as_str().unwrap();
    assert_eq!(routing.ids(&format!("/geo/models?per_page=8&cursor={behind}")), [9]);

    let model = routing.get("/geo/models/4").ok();
    assert_eq!(model, routing.get("/geo/models?id=4").ok()["data"][0]);
    assert_eq!(model["zones"][0], json!({"code": "BRU", "label": "Bruxelles / Brussel"}));
    let names = ["id", "name", "max_length", "match_method", "match_position", "zones", "source", "year"];
    assert_eq!(model.as_object().unwrap().keys().collect::<Vec<_>>(), names);
    routing.get("/geo/models/10").rejected(404, "not_found");
    for path in ["/smart-routings/geo/models", "/smart-routings/geo/models/4", "/smart-routings/geo/models/10"] {
        server.admin().get(path).invalid(&["The customer account field is required."]);
        let bound = server.key(&["routing.view"], Some(routing.customer));
        bound.get(&format!("{path}?customer_account={}", other.account)).rejected(403, "forbidden");
    }
    let bound = server.key(&["routing.view"], Some(routing.customer));
    assert_eq!(bound.get("/smart-routings/geo/models").ok()["total"], 9);
}

/// Models with overlapping zones, of texts whose characters have one to four bytes.
fn models() -> impl Strategy<Value = GeoModel> {
    let method = prop::sample::select(vec![MatchMethod::Exact, MatchMethod::Prefix, MatchMethod::Range]);
    let position = prop::sample::select(vec![MatchPosition::Start, MatchPosition::End]);
    (method, position, 1..4_usize).prop_flat_map(|(match_method, match_position, max_length)| {
        let with = match match_method {
            MatchMethod::Range => {
                let ends = (0..10_u32.pow(max_length as u32), 0..10_u32.pow(max_length as u32));
                ends.prop_map(move |(first, last)| format!("{first:0max_length$}-{last:0max_length$}")).boxed()
            }
            _ => "[É𝔸]{1,3}".boxed(),
        };
        let made = move |all: Vec<String>| GeoModel {
            id: 1,
            name: String::new(),
            max_length,
            match_method,
            match_position,
            reads: Reads::Text,
            zones: (0..).zip(all).map(|(n, with)| zone(n, with)).collect(),
            led_to: HashMap::new(),
            source: String::new(),
            year: 2026,
        };
        prop::collection::vec(with, 1..8).prop_map(move |all| made(all).indexed())
    })
}

fn zone(number: i64, with: String) -> GeoZone {
    GeoZone { code: number.to_string(), label: String::new(), matches: vec![with] }
}

/// How well a text, prefix or range matches, computed character by character and number by number.
fn fits(model: &GeoModel, with: &str, left: &[char]) -> Option<usize> {
    let with: Vec<char> = with.chars().collect();
    let number = |digits: &[char]| digits.iter().collect::<String>().parse::<u32>().ok();
    let does = match model.match_method {
        MatchMethod::Exact => with == left,
        MatchMethod::Prefix => with.len() <= left.len() && with[..] == left[..with.len()],
        MatchMethod::Range => {
            let (first, last) = (&with[..model.max_length], &with[model.max_length + 1..]);
            left.len() == model.max_length
                && number(left).is_some_and(|n| number(first).unwrap() <= n && n <= number(last).unwrap())
        }
    };
    does.then_some(with.len())
}

proptest! {
    /// The zone that is found is a best match. No zone is found only if none matches.
    #[test]
    fn a_value_is_in_the_zone_that_fits_it_best(model in models(), value in "[é𝔸]{1,4}|[0 \\-aéÉ𝔸🇫]{0,6}|[0-9]{0,5}") {
        let mut left = Vec::new();
        for letter in value.chars() {
            match letter {
                ' ' | '-' | '🇫' => {}
                'a' => left.push('A'),
                'é' => left.push('É'),
                other => left.push(other),
            }
        }
        while left.len() > model.max_length {
            match model.match_position {
                MatchPosition::Start => drop(left.pop()),
                MatchPosition::End => drop(left.remove(0)),
            }
        }
        let fit = |zone: &GeoZone| fits(&model, &zone.matches[0], &left);
        let best = model.zones.iter().filter_map(fit).max();
        let found = of(&model, &value, Country::FR);
        prop_assert_eq!(found.and_then(fit), best);
        prop_assert_eq!(found.is_some(), best.is_some());
    }

    #[test]
    fn no_value_is_too_odd_to_be_asked_for(value in "\\PC{0,40}|[+0-9 ().-]{0,30}") {
        for model in &*MODELS {
            of(model, &value, Country::FR);
        }
    }
}

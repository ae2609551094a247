//! Tests over every form of the console: a form that is sent back unchanged changes nothing, a changed field changes
//! itself alone, a rejected form keeps what was typed, and a form that is sent twice acts once.

use std::collections::BTreeSet;

use http::{Method, header};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use crate::api::{Layer, Route};
use crate::tests::console_pages::{Addresses, Person, content, elements};
use crate::tests::every_route::{console_routes, sample};
use crate::tests::{TestResponse, TestServer};

/// The names and values that a form sends.
type Fields = Vec<(String, String)>;

/// A form of a page.
struct Form {
    address: String,
    fields: Fields,
    /// The names of the fields that a person types text into, with their maximum length.
    typed: Vec<(String, Option<usize>)>,
}

/// The form of a page that is sent to the page itself, as a browser sends it.
fn form(page: &TestResponse, address: &str) -> Option<Form> {
    let all = elements(&page.text);
    let is_own = |action: &String| action == address.split('?').next().unwrap();
    let start = all.iter().position(|element| element["<"] == "form" && element.get("action").is_some_and(is_own))?;
    let (mut fields, mut typed, mut select) = (Fields::new(), Vec::new(), None::<(String, Option<String>)>);
    for element in all[start..].iter().take_while(|element| element["<"] != "/form") {
        let text = |name: &str| element.get(name).cloned().unwrap_or_default();
        let length = || element.get("maxlength").and_then(|most| most.parse().ok());
        match (element["<"].as_str(), text("type").as_str()) {
            ("input", "checkbox") if !element.contains_key("checked") || element.contains_key("disabled") => {}
            ("input", kind) if element.contains_key("name") => {
                fields.push((text("name"), text("value")));
                if ["", "tel"].contains(&kind) && element.get("name").is_some_and(|name| !name.contains('[')) {
                    typed.push((text("name"), length()));
                }
            }
            ("textarea", _) => {
                let value = text(">");
                let value = value.strip_prefix('\n').unwrap_or(&value).replace('\n', "\r\n");
                fields.push((text("name"), value));
                typed.push((text("name"), length()));
            }
            ("select", _) => select = Some((text("name"), None)),
            ("option", _) => {
                if let Some((_, chosen)) = &mut select
                    && (chosen.is_none() || element.contains_key("selected"))
                {
                    *chosen = Some(text("value"));
                }
            }
            ("/select", _) => {
                let (name, chosen) = select.take().unwrap();
                fields.push((name, chosen.unwrap_or_default()));
            }
            _ => {}
        }
    }
    Some(Form { address: address.to_owned(), fields, typed })
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    match fields.iter_mut().rev().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => fields.push((name.to_owned(), value.to_owned())),
    }
}

/// The pages of the workspace with this end that are forms, with their addresses.
fn forms(addresses: &mut Addresses<'_>, end: &str) -> Vec<(&'static Route, String)> {
    let pages =
        console_routes(Layer::Workspace).filter(|route| route.method == Method::POST && route.path.ends_with(end));
    pages.map(|route| (route, addresses.of(Layer::Workspace, route))).collect()
}

fn led_to(answer: &TestResponse) -> &str {
    answer.headers.get(header::LOCATION).map_or("", |to| to.to_str().unwrap())
}

#[test]
fn a_form_that_is_sent_back_unchanged_changes_nothing() {
    let server = TestServer::new();
    let mut addresses = Addresses::on(&server);
    let pages = forms(&mut addresses, "/edit");
    assert!(pages.len() > 15, "{}", pages.len());
    let owner = Person::owner(&server, Layer::Workspace);
    let before = content(&server);
    let mut wrong = BTreeSet::new();
    for (route, address) in &pages {
        let page = owner.get(address);
        let Some(form) = form(&page, address) else {
            wrong.insert(format!("{}: no form: {}", route.path, page.status));
            continue;
        };
        let answer = owner.post(address, &form.fields);
        if answer.status != 303 || !led_to(&answer).ends_with("done=unchanged") {
            wrong.insert(format!("{}: {} {}", route.path, answer.status, led_to(&answer)));
        }
    }
    let after = content(&server);
    let changed = after.lines().filter(|line| !before.contains(line)).map(|line| line.chars().take(300).collect());
    let changed: Vec<String> = changed.collect();
    assert!(wrong.is_empty() && after == before, "{wrong:#?} {changed:#?}");
}

/// Text that forms and templates may spoil.
fn odd_text() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "a", "Zoé", " ", "\n", "\"", "'", "<b>", "&amp;", "{x}", "%41", "+", "漢", "\u{202e}", "\\", "0", ":", "#7",
        "=", "é",
    ]);
    prop::collection::vec(parts, 1..8).prop_map(|parts| parts.concat())
}

/// A changed field changes itself alone, and a rejected form shows what was typed.
#[test]
fn one_changed_field_changes_itself_alone_or_the_form_shows_it_again() {
    let server = TestServer::new();
    let mut addresses = Addresses::on(&server);
    let owner = Person::owner(&server, Layer::Workspace);
    let pages = forms(&mut addresses, "/edit");
    let read = |address: &str| {
        let page = owner.get(address);
        form(&page, address)
            .unwrap()
            .fields
            .into_iter()
            .filter(|(name, _)| !["form_key", "once", "state", "base"].contains(&name.as_str()))
            .collect::<Fields>()
    };
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let inputs = (any::<Index>(), any::<Index>(), odd_text());
    runner
        .run(&inputs, |(page, field, text)| {
            let (_, address) = page.get(&pages);
            let form = form(&owner.get(address), address).unwrap();
            prop_assume!(!form.typed.is_empty());
            let (name, _) = field.get(&form.typed);
            let is_text_area = form.fields.iter().any(|(known, _)| known == name) && {
                let all = elements(&owner.get(address).text);
                all.iter().any(|element| element["<"] == "textarea" && element.get("name") == Some(name))
            };
            let text = if is_text_area { text } else { text.replace('\n', " ") };
            let before = read(address);
            let stored = content(&server);
            let mut sent = form.fields.clone();
            set(&mut sent, name, &text.replace('\n', "\r\n"));
            let answer = owner.post(address, &sent);
            prop_assert!(
                answer.status == 303 || answer.status.is_client_error(),
                "{address} {name} {text:?}: {answer:?}"
            );
            if answer.status == 303 {
                for ((known, old), (_, new)) in before.iter().zip(read(address)) {
                    prop_assert!(known == name || *old == new, "{address}: {name} changed {known}: {old:?} {new:?}");
                }
            } else {
                prop_assert_eq!(content(&server), stored, "{} {}", address, name);
                let again = self::form(&answer, address);
                let shown = again.as_ref().and_then(|form| form.fields.iter().rev().find(|(known, _)| known == name));
                let typed = text.replace('\n', "\r\n");
                prop_assert!(shown.is_some_and(|(_, shown)| *shown == typed), "{address} {name} {typed:?} {shown:?}");
            }
            Ok(())
        })
        .unwrap();
}

/// The sample of the API as the fields of a form.
fn fill(fields: &mut Fields, body: &Value) {
    for (name, value) in body.as_object().into_iter().flatten() {
        match value {
            Value::Array(items) => {
                let texts: Vec<String> = items.iter().map(plain).collect();
                let boxes = format!("{name}[]");
                if fields.iter().any(|(known, _)| *known == format!("{name}[none]")) {
                    fields.retain(|(known, _)| *known != boxes);
                    fields.extend(texts.into_iter().map(|text| (boxes.clone(), text)));
                } else {
                    set(fields, name, &texts.join("\r\n"));
                }
            }
            Value::Object(_) | Value::Null => {}
            value => set(fields, name, &plain(value)),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn a_form_that_is_sent_twice_creates_one_record() {
    let server = TestServer::new();
    let mut addresses = Addresses::on(&server);
    let owner = Person::owner(&server, Layer::Workspace);
    let mut wrong = BTreeSet::new();
    let pages = forms(&mut addresses, "/new");
    assert!(pages.len() > 15, "{}", pages.len());
    for (route, _) in &pages {
        let Some((api, address)) = addresses.creation(Layer::Workspace, route) else { continue };
        let sample = sample(&server, Layer::Workspace, api);
        let account = sample.path.split("customer_account=").nth(1).map(|rest| rest.split('&').next().unwrap());
        let address = match account {
            Some(account) if address.starts_with("/ui/routing/") => {
                let rest = address.trim_start_matches("/ui/routing/").split_once('/').unwrap().1.to_owned();
                // A record inside another one is that of the sample.
                if api.path.contains('{') { continue } else { format!("/ui/routing/{account}/{rest}") }
            }
            _ => address,
        };
        let Some(mut form) = form(&owner.get(&address), &address) else {
            wrong.insert(format!("{}: no form", route.path));
            continue;
        };
        let mut body = sample.body.unwrap_or_default();
        for (name, value) in
            form_urlencoded::parse(sample.path.split_once('?').map_or("", |(_, query)| query).as_bytes())
        {
            if name != "customer_account" {
                body[&*name] = Value::from(value.into_owned());
            }
        }
        fill(&mut form.fields, &body);
        let before = content(&server);
        let first = owner.post(&form.address, &form.fields);
        let once = content(&server);
        let second = owner.post(&form.address, &form.fields);
        let is_good = |answer: &TestResponse| answer.status == 303 || answer.status == 200;
        if !is_good(&first) || !is_good(&second) {
            let problems: Vec<_> =
                first.text.split("data-problems").nth(1).unwrap_or_default().chars().take(400).collect();
            wrong.insert(format!(
                "{}: {} {}: {}",
                route.path,
                first.status,
                second.status,
                problems.iter().collect::<String>()
            ));
        } else if before == once {
            wrong.insert(format!("{}: created nothing", route.path));
        } else if content(&server) != once {
            wrong.insert(format!("{}: sent twice, created twice", route.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whatever is sent: no form fails with a server error.
#[test]
fn no_form_and_no_query_of_a_page_fails_inside_the_server() {
    let server = TestServer::new();
    let mut addresses = Addresses::on(&server);
    let owner = Person::owner(&server, Layer::Workspace);
    let pages: Vec<(&Route, String)> = console_routes(Layer::Workspace)
        .filter(|route| !route.path.ends_with("/delete") && !route.path.ends_with("/bulk"))
        .map(|route| (route, addresses.of(Layer::Workspace, route)))
        .collect();
    let names = vec![
        "name",
        "last_name",
        "ids",
        "base",
        "state",
        "once",
        "filter[term]",
        "filter[started_at][on]",
        "filter[id]",
        "sort",
        "cursor",
        "cols",
        "back",
        "part",
        "q",
        "permissions[]",
        "custom_fields[name]",
        "custom_fields[value]",
        "ids[]",
        "per_page",
        "count_to",
        "total",
        "done",
        "all",
        "number",
        "page",
        "customer_id",
        "filter[customer_id]",
        "features.call_logging",
    ];
    let pair = (
        prop::sample::select(names),
        prop_oneof![odd_text(), Just("{}".into()), Just("[]".into()), Just("\0".into()), Just("7".into())],
    );
    let inputs = (any::<Index>(), prop::collection::vec(pair, 0..5));
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner
        .run(&inputs, |(page, pairs)| {
            let (route, address) = page.get(&pages);
            let mut pairs: Fields = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let answer = if route.method == Method::GET {
                let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
                owner.get(&format!("{}?{query}", address.split('?').next().unwrap()))
            } else {
                pairs.push(("form_key".into(), owner.form_key()));
                owner.post(address, &pairs)
            };
            prop_assert!(!answer.status.is_server_error(), "{} {address} {pairs:?}: {answer:?}", route.method);
            Ok(())
        })
        .unwrap();
}

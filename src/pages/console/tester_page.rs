//! "Where would this call go?" A person asks a look-up as a PBX would, and sees what was tried.

use askama::Template;
use http::StatusCode;
use jiff::ToSpan;
use serde_json::Value;

use super::display::plain;
use super::form::clock;
use super::links::{customer_query, record_page};
use super::page::{Frame, PageCtx};
use super::query;
use super::texts::choice_label;
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[get(
    "/ui/routing/{account}/test",
    &run(page),
    Needs::Permission("routing.view"),
    "Show where a call would go, and why",
)];

const QUEUES: &str = "/smart-routings/call-queues/queues";
const TIME_SPANS: &str = "/smart-routings/call-queues/time-spans";
const EXCEPTIONS: &str = "/smart-routings/call-queues/exceptions";
const CONTACTS: &str = "/smart-routings/contacts";
const CTIS: &str = "/smart-routings/ctis";
const LISTS: &str = "/smart-routings/geo/lists";

/// Maximum options of a choice. For others, a person types the id into the address of the page.
const OPTIONS: &str = "500";

#[derive(Template)]
#[template(path = "console/tester.html")]
struct TesterPage<'a> {
    frame: &'a Frame,
    words: Translations,
    back: String,
    queues: Vec<Choice>,
    ctis: Vec<Choice>,
    lists: Vec<Choice>,
    asked: Asked,
    answer: Option<Answer>,
    problems: Vec<String>,
}

/// An option: its value, its name, and whether it is chosen.
struct Choice {
    value: String,
    name: String,
    is_chosen: bool,
}

/// What the person asks. `kind` is the form that was sent.
struct Asked {
    kind: String,
    value: String,
    day: String,
    time: String,
}

struct Answer {
    sentence: String,
    steps: Vec<ShownStep>,
    /// The same question later: when, and the answer.
    later: Vec<(String, String)>,
    /// The request as a program sends it.
    curl: String,
}

struct ShownStep {
    tried: String,
    found: String,
    href: Option<String>,
    decided: bool,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = &PageCtx::of_turn(ctx);
    let [account] = page.request.path_values.as_slice() else { return Err(Error::not_found()) };
    let field = |name: &str| page.query(name).unwrap_or_default().trim().to_owned();
    let asked = Asked { kind: field("kind"), value: field("value"), day: field("day"), time: field("time") };
    let frame = Frame::of(page)?;
    let words = frame.words;
    let tester = Tester { page, account, words };
    let (answer, problems) = match tester.answer(&asked) {
        Ok(answer) => (answer, Vec::new()),
        Err(error @ Error::Invalid(_)) => (None, words.problems(&error)),
        Err(error) if error.status() == StatusCode::NOT_FOUND => (None, vec![words.no_destination()]),
        Err(error) => return Err(error),
    };
    let choices = |path, name| tester.choices(path, &field(name));
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let rendered = TesterPage {
        words,
        back: format!("/ui/routing/{}", super::encode(account)),
        queues: choices(QUEUES, "queue")?,
        ctis: choices(CTIS, "cti")?,
        lists: tester.lists(&field("list"))?,
        asked,
        answer,
        problems,
        frame: &frame,
    };
    frame.html(status, &rendered)
}

struct Tester<'a> {
    page: &'a PageCtx<'a>,
    account: &'a str,
    words: Translations,
}

impl Tester<'_> {
    /// The records of a list, by name.
    fn records(&self, path: &'static str) -> Result<Vec<Value>> {
        let collection = self.page.collection(path)?;
        let list = collection.list.ok_or_else(Error::not_found)?;
        let all = [customer_query(collection, Some(self.account)), query(&[("per_page", OPTIONS)])].join("&");
        let found = self.page.send(InnerRequest::to(list).with_query(all))?.body;
        Ok(found["data"].as_array().cloned().unwrap_or_default())
    }

    fn choices(&self, path: &'static str, chosen: &str) -> Result<Vec<Choice>> {
        let collection = self.page.collection(path)?;
        let choice = |record: &Value| {
            let value = plain(&record["id"]);
            Choice { is_chosen: value == chosen, name: collection.title(record), value }
        };
        Ok(self.records(path)?.iter().map(choice).collect())
    }

    /// Geo lists are named by the code of the customer.
    fn lists(&self, chosen: &str) -> Result<Vec<Choice>> {
        let choice = |list: &Value| {
            let value = plain(&list["list_id"]);
            Choice { is_chosen: value == chosen, name: format!("{} ({value})", plain(&list["list_name"])), value }
        };
        Ok(self.records(LISTS)?.iter().map(choice).collect())
    }

    /// Asks the look-up of the form that was sent. `None` if none was.
    fn answer(&self, asked: &Asked) -> Result<Option<Answer>> {
        let text = |name: &str| self.page.query(name).unwrap_or_default();
        let (path, mut parameters) = match asked.kind.as_str() {
            "queue" => {
                let path = "/smart-routings/call-queues/lookup";
                (path, vec![("id", text("queue")), ("at", at(asked))])
            }
            "contact" => {
                let names = ["id_code", "telecom", "email"];
                ("/smart-routings/contacts/lookup", names.map(|name| (name, asked.value.clone())).to_vec())
            }
            "cti" => ("/smart-routings/ctis/lookup", vec![("cti_id", text("cti")), ("origin", asked.value.clone())]),
            "geo" => {
                let path = "/smart-routings/geo/destinations/lookup";
                (path, vec![("list_id", text("list")), ("value", asked.value.clone())])
            }
            _ => return Ok(None),
        };
        parameters.retain(|(_, value)| !value.is_empty());
        parameters.push(("customer_account", self.account.to_owned()));
        let look = |parameters: &[(&'static str, String)]| {
            let explained = [parameters, &[("explain", "1".to_owned())]].concat();
            Ok::<_, Error>(self.page.send(InnerRequest::get(path).with_query(query(&explained)))?.body)
        };
        let found = look(&parameters)?;
        let later = if asked.kind == "queue" { self.later(asked, &parameters, look)? } else { Vec::new() };
        let steps = found["steps"].as_array().into_iter().flatten();
        let workspace = self.page.request.workspace_url()?;
        Ok(Some(Answer {
            sentence: self.sentence(&found),
            steps: steps.map(|step| self.step(step)).collect::<Result<_>>()?,
            later,
            curl: format!("curl -H \"Authorization: Bearer $TOKEN\" '{workspace}/api{path}?{}'", query(&parameters)),
        }))
    }

    /// The same question an hour, a day and a week later.
    fn later(
        &self,
        asked: &Asked,
        parameters: &[(&'static str, String)],
        look: impl Fn(&[(&'static str, String)]) -> Result<Value>,
    ) -> Result<Vec<(String, String)>> {
        let now = self.page.now()?;
        let start = at(asked).parse().unwrap_or(now);
        let words = self.words;
        let spans = [(words.in_an_hour(), 1.hour()), (words.in_a_day(), 1.day()), (words.in_a_week(), 7.days())];
        let mut later = Vec::new();
        for (when, span) in spans {
            let Ok(then) = start.checked_add(span) else { continue };
            let mut parameters: Vec<_> = parameters.iter().filter(|(name, _)| *name != "at").cloned().collect();
            parameters.push(("at", then.strftime("%Y-%m-%dT%H:%M:%S").to_string()));
            later.push((when, self.sentence(&look(&parameters)?)));
        }
        Ok(later)
    }

    fn sentence(&self, found: &Value) -> String {
        let destination = plain(&found["destination"]);
        match (destination.is_empty(), found["reason"].as_str()) {
            (true, _) => self.words.no_destination(),
            (false, Some(reason)) => self.words.goes_to_because(&destination, &self.words.decided_by(reason)),
            (false, None) => self.words.goes_to(&destination),
        }
    }

    /// What was tried, and a link to what was found.
    fn step(&self, step: &Value) -> Result<ShownStep> {
        let tried = plain(&step["tried"]);
        let found = &step["found"];
        let of_record = match tried.as_str() {
            "queue_exception" | "group_exception" => Some(EXCEPTIONS),
            "queue_time_span" | "group_time_span" => Some(TIME_SPANS),
            "id_code" | "telecom" | "email" => Some(CONTACTS),
            _ => None,
        };
        let (mut text, mut href) = (plain(found), None);
        if let Some(path) = of_record.filter(|_| !found.is_null()) {
            let collection = self.page.collection(path)?;
            let id = if found.is_object() { plain(&found["id"]) } else { text };
            text = if found.is_object() { collection.title(found) } else { format!("#{id}") };
            href = Some(record_page(collection, Some(self.account), &[], &id));
        }
        let decided = step["decided"] == true;
        if text.is_empty() && !decided {
            text = self.words.found_nothing();
        }
        Ok(ShownStep { tried: choice_label(self.words, "tried", &tried), found: text, href, decided })
    }
}

/// The time that was asked for, as the look-up takes it. Without a day it is now; without a time it is noon.
fn at(asked: &Asked) -> String {
    match (asked.day.as_str(), asked.time.as_str()) {
        ("", _) => String::new(),
        (day, "") => format!("{day}T12:00"),
        (day, time) => format!("{day}T{}", clock(time)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{RoutingClient, TestBrowser, TestServer};

    #[test]
    fn a_person_learns_where_a_call_would_go_and_why() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/groups", json!({"name": "G"}));
        let queue = json!({"name": "Support", "number": "801", "call_queue_group_id": 1, "default_destination": "899"});
        routing.create("/call-queues/queues", queue);
        let closed = json!({"day": "--07-14", "label": "Fête nationale", "destination": "898"});
        let of = "exceptionable_id=1&exceptionable_type=call_queue_group";
        routing.create(&format!("/call-queues/exceptions?{of}"), closed);
        routing.create(
            "/contacts",
            json!({"id_code": "C1", "telecoms": ["01 42 00 00 00"], "telecom_destination": "810"}),
        );
        routing.create("/ctis", json!({"name": "Flow"}));
        routing.create("/ctis/1/destinations", json!({"origin": "+331*", "destination": "820"}));
        routing.create(
            "/geo/lists",
            json!({"list_id": "A", "list_name": "North", "geo_routing_model_id": 1, "fallback_destination_1": "830"}),
        );
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter");
        let mut shown = |asked: &str, status: u16, expected: &[&str]| {
            browser.go(&format!("http://acme.localhost/ui/routing/{}/test?{asked}", routing.account));
            assert_eq!(browser.page.status, status, "{asked}: {browser:?}");
            for text in expected {
                assert!(browser.page.text.contains(text), "{asked}: {text}: {browser:?}");
            }
        };
        shown("", 200, &["Where would this call go?", "Support", "Flow", "North (A)"]);
        let on_holiday = "kind=queue&queue=1&day=2027-07-14&time=9h30";
        let because =
            ["898 (Exception)", "Exceptions of the queue", "nothing", "Exceptions of the group", "Fête nationale"];
        shown(on_holiday, 200, &because);
        shown(
            on_holiday,
            200,
            &["899 (Closed)", "/call-queues/exceptions/1", "In a day", "lookup?id=1&#38;at=2027-07-14T09%3A30"],
        );
        shown("kind=queue&queue=1", 200, &["Hours of the group", "Default destination"]);
        shown("kind=contact&value=%2B33142000000", 200, &["Calls go to 810.", "Code", "Number", "#1"]);
        shown("kind=cti&cti=1&value=0142000000", 200, &["Calls go to 820.", "The longest prefix", "+331*"]);
        shown("kind=geo&list=A&value=75008", 200, &["Calls go to 830.", "75 Paris", "Fallbacks of the list"]);
        shown("kind=contact&value=0999999999", 422, &["No destination"]);
        shown("kind=queue&queue=1&day=2027-02-30", 422, &["valid date"]);
        shown("kind=queue", 422, &["required"]);
    }
}

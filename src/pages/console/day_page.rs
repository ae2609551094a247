//! The hours of a day of the week: a form with all its time spans, and boxes for the days that get the same hours. Before
//! anything is replaced, a second step shows the hours of each day before and after.

use askama::Template;
use http::StatusCode;
use serde_json::{Value, json};

use super::console_page::ConsolePage;
use super::display::plain;
use super::form;
use super::form_page::{self, is_of_form, problems_of};
use super::hours_owner::{GROUP, HoursOwner, OwnerKind, QUEUE};
use super::page::{Frame, PageCtx};
use crate::api::{ApiResponse, Error, InnerRequest, Needs, Result, Route, form_field, form_pairs, get, post};
use crate::executors::Executor;
use crate::pages::interrupted_form;
use crate::pages::translations::Translations;
use crate::values::TimeOfDay;

pub const ROUTES: &[Route] = &[
    get(
        "/ui/routing/{account}/call-queues/queues/{id}/week/day",
        &DayPage { kind: QUEUE, sends: false },
        Needs::Permission("routing.update"),
        "Show the form for the hours of a day of a call queue",
    ),
    post(
        "/ui/routing/{account}/call-queues/queues/{id}/week/day",
        &DayPage { kind: QUEUE, sends: true },
        Needs::Permission("routing.update"),
        "Replace the hours of days of a call queue from a form",
    ),
    get(
        "/ui/routing/{account}/call-queues/groups/{id}/week/day",
        &DayPage { kind: GROUP, sends: false },
        Needs::Permission("routing.update"),
        "Show the form for the hours of a day of a call queue group",
    ),
    post(
        "/ui/routing/{account}/call-queues/groups/{id}/week/day",
        &DayPage { kind: GROUP, sends: true },
        Needs::Permission("routing.update"),
        "Replace the hours of days of a call queue group from a form",
    ),
];

const REPLACE: &str = "/smart-routings/call-queues/time-spans/replace";

/// Days of the week in the order of the page: Monday first.
const DAYS: [i64; 7] = [1, 2, 3, 4, 5, 6, 0];

/// Time spans that the form may have.
const MOST: usize = 50;

/// A time span in the form, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SpanText {
    start: String,
    end: String,
    destination: String,
    reference: String,
}

#[derive(Template)]
#[template(path = "console/day.html")]
struct DayForm<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    week: String,
    action: String,
    day: i64,
    day_name: String,
    /// The labels of the fields of a time span.
    labels: [String; 3],
    spans: Vec<SpanText>,
    /// The other days: number, name, and whether the box is ticked.
    others: Vec<(i64, String, bool)>,
    problems: Vec<(Option<String>, String)>,
}

/// The step between the form and the change.
#[derive(Template)]
#[template(path = "console/day_confirm.html")]
struct DayConfirm<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    week: String,
    action: String,
    /// The days that change: name, hours before and after.
    changes: Vec<(String, Vec<String>, Vec<String>)>,
    /// The names of the chosen days that have these hours already.
    same: Vec<String>,
    hidden: Vec<(String, String)>,
}

/// The form, or the form when it is sent.
struct DayPage {
    kind: OwnerKind,
    sends: bool,
}

impl SpanText {
    fn of(row: &Value) -> Self {
        Self {
            start: plain(&row["start_time"]),
            end: plain(&row["end_time"]),
            destination: plain(&row["destination"]),
            reference: plain(&row["reference"]),
        }
    }

    fn is_empty(&self) -> bool {
        self.start.is_empty() && self.end.is_empty()
    }

    fn body(&self) -> Value {
        json!({
            "start_time": self.start, "end_time": self.end, "destination": self.destination, "reference": self.reference,
        })
    }

    /// The time span in words: `09:00–18:00 → 801`.
    fn shown(&self) -> String {
        match self.destination.as_str() {
            "" => format!("{}–{}", self.start, self.end),
            destination => format!("{}–{} → {destination}", self.start, self.end),
        }
    }

    fn inputs(&self, number: usize) -> [(String, String); 4] {
        [
            (format!("start_time_{number}"), self.start.clone()),
            (format!("end_time_{number}"), self.end.clone()),
            (format!("destination_{number}"), self.destination.clone()),
            (format!("reference_{number}"), self.reference.clone()),
        ]
    }
}

/// What the form says.
struct Sent {
    day: i64,
    others: Vec<i64>,
    spans: Vec<SpanText>,
}

impl Sent {
    fn read(page: &PageCtx<'_>) -> Result<Self> {
        let sent = form_pairs(page.request)?;
        let text = |name: &str| {
            let value = sent.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim().to_owned());
            value.unwrap_or_default()
        };
        let span = |number: usize| SpanText {
            start: form::clock(&text(&format!("start_time_{number}"))),
            end: form::clock(&text(&format!("end_time_{number}"))),
            destination: text(&format!("destination_{number}")),
            reference: text(&format!("reference_{number}")),
        };
        let day = day_of(&text("day"));
        let ticked = sent.iter().filter(|(name, _)| name == "days").filter_map(|(_, day)| day.parse().ok());
        let ticked: Vec<i64> = ticked.collect();
        Ok(Self {
            day,
            others: DAYS.into_iter().filter(|other| *other != day && ticked.contains(other)).collect(),
            spans: (1..=MOST).map(span).filter(|span| !span.is_empty()).collect(),
        })
    }

    /// The problems of the times, each with the id of its input.
    fn problems(&self, page: &PageCtx<'_>, owner: &HoursOwner<'_>) -> Vec<(Option<String>, String)> {
        let mut problems = Vec::new();
        for (number, span) in (1..).zip(&self.spans) {
            for (field, text) in [("start_time", &span.start), ("end_time", &span.end)] {
                if let Err(said) = text.parse::<TimeOfDay>() {
                    let error = Error::invalid(format!("The {} {said}", field.replace('_', " ")));
                    let said = problems_of(page, owner.spans, &error).into_iter().map(|(_, sentence)| sentence);
                    problems.extend(said.map(|sentence| (Some(format!("{field}_{number}")), sentence)));
                }
            }
        }
        problems
    }
}

/// A day of the week by its number. Monday without one.
fn day_of(text: &str) -> i64 {
    text.parse().ok().filter(|day| DAYS.contains(day)).unwrap_or(1)
}

fn is_weekday(day: i64) -> bool {
    (1..=5).contains(&day)
}

fn name_of(words: Translations, day: i64) -> String {
    words.choice("day_of_week", &day.to_string()).unwrap_or_default()
}

fn show(page: &PageCtx<'_>, kind: OwnerKind) -> Result<ApiResponse> {
    let owner = HoursOwner::read(page, kind)?;
    let day = day_of(&page.query("day").unwrap_or_default());
    let spans: Vec<SpanText> = owner.spans_on(day)?.iter().map(SpanText::of).collect();
    let is_like = |other: &i64| *other != day && is_weekday(*other) == is_weekday(day);
    let sent = Sent { day, others: DAYS.into_iter().filter(is_like).collect(), spans };
    respond(page, &owner, &sent, Vec::new(), StatusCode::OK)
}

fn send(page: &PageCtx<'_>, kind: OwnerKind) -> Result<ApiResponse> {
    let owner = HoursOwner::read(page, kind)?;
    let sent = Sent::read(page)?;
    if interrupted_form::is_shown_again(page.request)? {
        return respond(page, &owner, &sent, Vec::new(), StatusCode::OK);
    }
    let refuse = |problems| respond(page, &owner, &sent, problems, StatusCode::UNPROCESSABLE_ENTITY);
    let problems = sent.problems(page, &owner);
    if !problems.is_empty() {
        return refuse(problems);
    }
    let (mut changed, mut same, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for day in DAYS.into_iter().filter(|day| *day == sent.day || sent.others.contains(day)) {
        let old = owner.spans_on(day)?;
        let spans: Vec<SpanText> = old.iter().map(SpanText::of).collect();
        match spans == sent.spans {
            true => same.push(day),
            false => {
                seen.extend(old.iter().map(|row| format!("{} {}", plain(&row["id"]), plain(&row["updated_at"]))));
                changed.push((day, spans));
            }
        }
    }
    let week = format!("{}/week", owner.address);
    if changed.is_empty() {
        return form_page::redirect(page, &week, "unchanged");
    }
    // The person has seen what is replaced, as it is now.
    let seen = format!("{} {}", changed.len(), seen.join(","));
    if form_field(page.request, "seen")? != seen {
        return confirm(page, &owner, &sent, &changed, &same, seen);
    }
    let days: Vec<i64> = changed.iter().map(|(day, _)| *day).collect();
    let spans: Vec<Value> = sent.spans.iter().map(SpanText::body).collect();
    let body = json!({
        "time_spanable_id": owner.id, "time_spanable_type": kind.word, "days": days, "time_spans": spans,
    });
    match owner.send(InnerRequest::post(REPLACE, body)) {
        Ok(_) => form_page::redirect(page, &week, "changed"),
        Err(error) if is_of_form(&error) => refuse(problems_of(page, owner.spans, &error)),
        Err(error) => Err(error),
    }
}

fn respond(
    page: &PageCtx<'_>,
    owner: &HoursOwner<'_>,
    sent: &Sent,
    problems: Vec<(Option<String>, String)>,
    status: StatusCode,
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let label = |name: &str| owner.spans.label_of(name).map(|label| words.label(label)).unwrap_or_default();
    let mut spans = sent.spans.clone();
    spans.push(SpanText::default());
    let others = DAYS.into_iter().filter(|day| *day != sent.day);
    let rendered = DayForm {
        words,
        name: owner.name.clone(),
        week: format!("{}/week", owner.address),
        action: format!("{}/week/day", owner.address),
        day: sent.day,
        day_name: name_of(words, sent.day),
        labels: ["start_time", "end_time", "destination"].map(label),
        spans,
        others: others.map(|day| (day, name_of(words, day), sent.others.contains(&day))).collect(),
        problems,
        frame: &frame,
    };
    frame.respond(page, status, &rendered)
}

fn confirm(
    page: &PageCtx<'_>,
    owner: &HoursOwner<'_>,
    sent: &Sent,
    changed: &[(i64, Vec<SpanText>)],
    same: &[i64],
    seen: String,
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let in_words = |spans: &[SpanText]| -> Vec<String> { spans.iter().map(SpanText::shown).collect() };
    let mut hidden = vec![("day".to_owned(), sent.day.to_string()), ("seen".to_owned(), seen)];
    hidden.extend(sent.others.iter().map(|day| ("days".to_owned(), day.to_string())));
    hidden.extend((1..).zip(&sent.spans).flat_map(|(number, span)| span.inputs(number)));
    let rendered = DayConfirm {
        words,
        name: owner.name.clone(),
        week: format!("{}/week", owner.address),
        action: format!("{}/week/day", owner.address),
        changes: changed
            .iter()
            .map(|(day, old)| (name_of(words, *day), in_words(old), in_words(&sent.spans)))
            .collect(),
        same: same.iter().map(|day| name_of(words, *day)).collect(),
        hidden,
        frame: &frame,
    };
    frame.respond(page, StatusCode::OK, &rendered)
}

impl ConsolePage for DayPage {
    fn executor(&self) -> Executor {
        if self.sends { Executor::Blocking } else { Executor::Transaction }
    }

    fn is_sent(&self) -> bool {
        self.sends
    }

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        if self.sends { send(page, self.kind) } else { show(page, self.kind) }
    }

    fn secret_fields(&self) -> Option<Vec<String>> {
        self.sends.then(Vec::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestBrowser, TestServer};

    const OF_QUEUE: &str = "/call-queues/time-spans?time_spanable_id=1&time_spanable_type=call_queue";

    fn hours(routing: &RoutingClient<'_>, day: i64) -> Vec<Value> {
        let listed = routing.get(&format!("/call-queues/time-spans?filter[day_of_week]={day}&sort=start_time")).ok();
        let rows = listed["data"].as_array().unwrap().iter();
        rows.map(|row| json!([row["start_time"], row["end_time"], row["destination"], row["reference"]])).collect()
    }

    #[test]
    fn a_person_changes_a_day_and_copies_it_after_seeing_what_is_replaced() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Support"}));
        for (day, start, end) in [(1, "09:00", "12:00"), (1, "22:00", "02:00"), (2, "10:00", "11:00")] {
            let span =
                json!({"day_of_week": day, "start_time": start, "end_time": end, "destination": "8", "reference": "R"});
            routing.create(OF_QUEUE, span);
        }
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        let queue = format!("/ui/routing/{}/call-queues/queues/1", routing.account);
        let form = format!("{queue}/week/day");
        browser.go("http://acme.localhost/ui/enter");
        browser.go(&format!("{queue}/week"));
        assert!(browser.page.text.contains(&format!("{form}?day=1")), "{browser:?}");
        browser.go(&format!("{form}?day=1"));
        let ticked = browser.fields(&form).into_iter().filter(|(name, _)| name == "days").map(|(_, day)| day);
        assert_eq!(ticked.collect::<Vec<_>>(), ["2", "3", "4", "5"]);

        browser.submit(&form, &[("start_time_1", "25"), ("end_time_3", "3")]);
        assert_eq!(browser.page.status, 422);
        for shown in ["href=\"#start_time_1\"", "href=\"#start_time_3\"", "value=\"25:00\"", "value=\"03:00\""] {
            assert!(browser.page.text.contains(shown), "{shown}: {browser:?}");
        }
        let kept = json!(["22:00", "02:00", "8", "R"]);
        let change = [("start_time_1", "8h30"), ("end_time_1", "12"), ("end_time_3", "")];
        browser.submit(&form, &change);
        for shown in ["<del>10:00–11:00 → 8</del>", "<ins>08:30–12:00 → 8</ins>", "<ins>22:00–02:00 → 8</ins>"]
        {
            assert!(browser.page.text.contains(shown), "{shown}: {browser:?}");
        }
        assert_eq!(hours(&routing, 2).len(), 1, "nothing is replaced before the second step");

        // Somebody else changes a day meanwhile: the person is asked again.
        routing.create(OF_QUEUE, json!({"day_of_week": 3, "start_time": "13:00", "end_time": "14:00"}));
        browser.submit(&form, &[]);
        assert!(browser.page.text.contains("<del>13:00–14:00</del>"), "{browser:?}");
        browser.submit(&form, &[]);
        assert_eq!(browser.url, format!("http://acme.localhost{queue}/week?done=changed"));
        for day in 1..=5 {
            assert_eq!(hours(&routing, day), [json!(["08:30", "12:00", "8", "R"]), kept.clone()], "{day}");
        }
        assert!(hours(&routing, 6).is_empty() && hours(&routing, 0).is_empty());
        browser.go(&format!("{form}?day=1")).submit(&form, &[]);
        assert!(browser.url.ends_with("/week?done=unchanged"), "{browser:?}");
        browser.go(&format!("{form}?day=6")).submit(&form, &[("start_time_1", "9"), ("end_time_1", "9")]);
        browser.submit(&form, &[]);
        assert!(browser.page.status == 422 && browser.page.text.contains("must differ"), "{browser:?}");
        assert!(hours(&routing, 6).is_empty());
    }
}

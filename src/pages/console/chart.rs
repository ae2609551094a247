//! Charts of calls by hour or day: answered and missed ones, as a picture that the server draws.
//!
//! The picture is one thing for a screen reader, so it contains no links. The words of its axis are the links, and each
//! reaches over its bar. Shapes have classes and attributes only, because the CSP of pages forbids styles.

use std::fmt::Write as _;

use jiff::civil::Date;
use serde_json::Value;

use super::display;
use super::page::PageCtx;
use super::query;
use crate::api::{InnerRequest, Result};
use crate::pages::translations::Translations;

/// Bars of a chart by day. If the period has more days, a bar has several.
const MOST_BARS: usize = 31;

/// The size of the picture for one bar, in its own units.
const SLOT: usize = 24;
const HEIGHT: i64 = 120;

/// The height of the largest bar.
pub const LARGEST: i64 = 116;

/// Hours that a chart by hour always has: others may be cut off at its ends if they are empty.
const OFFICE_HOURS: [&str; 2] = ["08:00", "17:00"];

/// What a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Hour,
    Day,
}

/// The counts of calls in the hours or days of a period.
pub struct Series {
    unit: Unit,
    total: i64,
    missed: i64,
    parts: Vec<Part>,
}

/// An hour, or one or several days.
#[derive(Clone, Default)]
struct Part {
    /// The local hour or day at which the part begins, and the one at which it ends.
    first: String,
    last: String,
    from: String,
    to: String,
    total: i64,
    answered: i64,
    missed: i64,
}

/// A chart as its template shows it.
pub struct Chart {
    pub title: String,
    /// What the picture says, in words.
    pub sentence: String,
    pub bars: Vec<Bar>,
    pub width: usize,
    /// The value of the largest bar.
    pub largest: String,
    /// The shapes of each series.
    pub answered: String,
    pub missed: String,
    pub before: String,
    /// The name of the series that is compared.
    pub compared: Option<String>,
    /// The name of an hour or a day.
    pub unit: String,
}

/// A bar, its word on the axis, and its row in the table.
pub struct Bar {
    pub word: String,
    /// A second line of the axis.
    pub under: String,
    pub name: String,
    /// The calls of the bar. `None` if there are none.
    pub href: Option<String>,
    /// The name of the link.
    pub about: String,
    pub total: String,
    pub answered: String,
    pub missed: String,
    pub before: String,
}

impl Series {
    /// Reads a summary from the API. `None` if it does not accept the query.
    pub fn read(
        page: &PageCtx<'_>,
        summary: &'static str,
        unit: Unit,
        mut sent: Vec<(String, String)>,
    ) -> Result<Option<Self>> {
        let by = if unit == Unit::Hour { "hour" } else { "day" };
        sent.push(("by".into(), by.into()));
        let body = match page.send(InnerRequest::get(summary).with_query(query(&sent))) {
            Ok(response) => response.body,
            Err(error) if error.status().is_client_error() => return Ok(None),
            Err(error) => return Err(error),
        };
        let parts: Vec<Part> = body["groups"].as_array().into_iter().flatten().map(Part::of).collect();
        let days = parts.len().div_ceil(MOST_BARS).max(1);
        let parts = match unit {
            Unit::Hour => parts,
            Unit::Day => parts.chunks(days).map(Part::joined).collect(),
        };
        Ok(Some(Self { unit, total: number(&body["total"]), missed: number(&body["missed"]), parts }))
    }

    /// Draws the series, and the same hours of another day beside it. `address` makes the link of a bar from its filter.
    /// `None` if there is nothing to draw.
    pub fn chart(
        &self,
        words: Translations,
        title: String,
        moment: &str,
        other: Option<(String, Self)>,
        address: impl Fn(Vec<(String, String)>) -> String,
    ) -> Option<Chart> {
        let before = |part: &Part| {
            let same = |other: &&Part| other.hour() == part.hour();
            other.as_ref().and_then(|(_, other)| other.parts.iter().find(same)).map_or(0, Part::drawn)
        };
        let largest = self.parts.iter().map(|part| part.drawn().max(before(part))).max().unwrap_or_default();
        let busiest = self.parts.iter().rev().max_by_key(|part| part.total).filter(|part| part.total > 0);
        if busiest.is_none() && largest == 0 {
            return None;
        }
        let largest = largest.max(1);
        let (mut answered, mut missed, mut earlier) = (String::new(), String::new(), String::new());
        let (left, width) = if other.is_some() { (11, 9) } else { (4, 16) };
        let parts = self.shown(|part| part.total > 0 || before(part) > 0);
        for (place, part) in parts.iter().enumerate() {
            let at = place * SLOT;
            let height = |count: i64| (count * LARGEST / largest).max(i64::from(count > 0));
            draw(&mut earlier, at + 2, 9, 0, height(before(part)));
            draw(&mut answered, at + left, width, 0, height(part.answered));
            draw(&mut missed, at + left, width, height(part.answered), height(part.missed));
        }
        let count = |number: i64| display::count(words, number);
        let mut month = String::new();
        let bars = parts.iter().map(|part| {
            let name = part.name(words, self.unit);
            let (word, under) = part.word(words, self.unit, &mut month);
            let is_day = self.unit == Unit::Day && part.first == part.last;
            let filter = match is_day {
                true => vec![(format!("filter[{moment}][on]"), part.first.clone())],
                false => vec![
                    (format!("filter[{moment}][gte]"), part.from.clone()),
                    (format!("filter[{moment}][lte]"), part.to.clone()),
                ],
            };
            Bar {
                href: (part.total > 0).then(|| address(filter)),
                about: words.bar(&name, &calls(words, part.total), &missed_calls(words, part.missed)),
                total: count(part.total),
                answered: count(part.answered),
                missed: count(part.missed),
                before: count(before(part)),
                word,
                under,
                name,
            }
        });
        Some(Chart {
            title,
            sentence: busiest.map_or_else(
                || words.no_calls_yet(),
                |busiest| {
                    let (all, missed) = (calls(words, self.total), missed_calls(words, self.missed));
                    let name = busiest.name(words, self.unit);
                    match self.unit {
                        Unit::Hour => words.most_at_hour(&all, &missed, &name),
                        Unit::Day => words.most_on_day(&all, &missed, &name),
                    }
                },
            ),
            bars: bars.collect(),
            width: parts.len() * SLOT,
            largest: count(largest),
            answered,
            missed,
            before: earlier,
            unit: if self.unit == Unit::Hour { words.hour() } else { words.day() },
            compared: other.map(|(name, _)| name),
        })
    }

    /// The parts between the first and the last that are not empty, and the usual hours of work.
    fn shown(&self, is_busy: impl Fn(&Part) -> bool) -> &[Part] {
        let is_shown = |part: &Part| self.unit == Unit::Day || OFFICE_HOURS.contains(&part.hour()) || is_busy(part);
        let first = self.parts.iter().position(is_shown).unwrap_or_default();
        let last = self.parts.iter().rposition(is_shown).map_or(self.parts.len(), |last| last + 1);
        self.parts.get(first..last).unwrap_or_default()
    }

    pub fn is_single(&self) -> bool {
        self.parts.len() < 2
    }
}

impl Part {
    fn of(group: &Value) -> Self {
        let text = |name: &str| display::plain(&group[name]);
        Self {
            first: text("key"),
            last: text("key"),
            from: text("from"),
            to: text("to"),
            total: number(&group["total"]),
            answered: number(&group["answered"]),
            missed: number(&group["missed"]),
        }
    }

    fn joined(parts: &[Self]) -> Self {
        let sum = |of: fn(&Self) -> i64| parts.iter().map(of).sum();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Self::default() };
        Self {
            first: first.first.clone(),
            from: first.from.clone(),
            last: last.last.clone(),
            to: last.to.clone(),
            total: sum(|part| part.total),
            answered: sum(|part| part.answered),
            missed: sum(|part| part.missed),
        }
    }

    /// The calls that the bar shows.
    fn drawn(&self) -> i64 {
        self.answered + self.missed
    }

    /// The local hour of an hour: `10:00` of `2027-03-29T10:00+02:00`.
    fn hour(&self) -> &str {
        self.first.get(11..16).unwrap_or_default()
    }

    fn name(&self, words: Translations, unit: Unit) -> String {
        let day = |text: &str| text.parse::<Date>().map_or_else(|_| text.to_owned(), |day| display::day(words, day));
        match unit {
            Unit::Hour => self.hour().to_owned(),
            Unit::Day if self.first == self.last => day(&self.first),
            Unit::Day => words.days_between(&day(&self.first), &day(&self.last)),
        }
    }

    /// The word on the axis, and the month below it where another month begins.
    fn word(&self, words: Translations, unit: Unit, month: &mut String) -> (String, String) {
        match (unit, self.first.parse::<Date>()) {
            (Unit::Day, Ok(day)) => {
                let name = display::month(words, day);
                let under = if *month == name { String::new() } else { name.to_owned() };
                name.clone_into(month);
                (day.day().to_string(), under)
            }
            _ => {
                let hour = self.hour().trim_end_matches(":00");
                (hour.strip_prefix('0').unwrap_or(hour).to_owned(), String::new())
            }
        }
    }
}

/// Adds a bar to the shapes of a series, above another one.
pub fn draw(shapes: &mut String, x: usize, width: usize, above: i64, height: i64) {
    if height > 0 {
        let _ = write!(shapes, "M{x} {}v-{height}h{width}v{height}z", HEIGHT - above);
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// A number of calls in words.
fn calls(words: Translations, number: i64) -> String {
    if number == 1 { words.one_call() } else { words.number_of_calls(&display::count(words, number)) }
}

/// A number of missed calls in words.
fn missed_calls(words: Translations, number: i64) -> String {
    let written = display::count(words, number);
    if number < 2 { words.one_missed(&written) } else { words.number_of_missed(&written) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{TestBrowser, TestServer};

    fn owner(server: &TestServer) -> TestBrowser<'_> {
        let mut browser = TestBrowser::signed_in(server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter");
        browser
    }

    /// The text between two marks.
    fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
        let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {text}"));
        rest.split_once(end).unwrap().0
    }

    /// The address and the name of each link of the chart.
    fn bars(page: &str) -> Vec<(String, String)> {
        let links = between(page, "</svg>\n<ol>", "</ol>").split("<a href=\"").skip(1);
        let unescaped = |text: &str| crate::tests::unescaped(text);
        links
            .map(|link| (unescaped(link.split('"').next().unwrap()), unescaped(between(link, "aria-label=\"", "\""))))
            .collect()
    }

    /// An answered and a missed inbound call, and an outbound one, in each hour of some days.
    fn busy_days(days: std::ops::Range<u32>) -> Value {
        let calls = days.flat_map(|day| (0..24).map(move |hour| format!("2027-05-{day:02}T{hour:02}:15:00Z")));
        let calls = calls.flat_map(|at| {
            [("inbound", "completed"), ("inbound", "missed"), ("outbound", "busy")]
                .map(|(direction, status)| json!({"direction": direction, "status": status, "started_at": at}))
        });
        Value::Array(calls.collect())
    }

    #[test]
    fn each_bar_leads_to_its_calls_and_the_picture_is_small() {
        let server = TestServer::new();
        server.admin().post("/phone-calls/import", busy_days(1..32)).created();
        let mut browser = owner(&server);
        for (query, number, about) in [
            ("filter[started_at][on]=2027-05-05", 24, "00:00: 3 calls, 1 missed"),
            ("filter[started_at][on]=2027-05-05&filter[direction]=inbound&sort=-id", 24, "00:00: 2 calls, 1 missed"),
            (
                "filter[started_at][gte]=2027-05-02&filter[started_at][lte]=2027-05-31",
                30,
                "2 May 2027: 72 calls, 24 missed",
            ),
            (
                "filter[started_at][gte]=2027-03-03&filter[started_at][lte]=2027-06-02",
                12,
                "29 Apr 2027 to 1 May 2027: 66 calls, 22 missed",
            ),
        ] {
            browser.go(&format!("/ui/phone-calls?{query}"));
            let page = browser.page.text.clone();
            let picture = between(&page, "<svg", "</svg>");
            assert!(picture.len() < 4_000 && picture.contains("role=\"img\""), "{} bytes", picture.len());
            assert!(!page.contains("style="), "{page}");
            let bars = bars(&page);
            assert_eq!((bars.len(), bars[0].1.as_str()), (number, about), "{query}");
            for (href, about) in bars.iter().step_by(7) {
                browser.go(&format!("/ui/phone-calls{href}"));
                let count = between(&browser.page.text, "<span class=\"count\">", "<");
                let said = between(about, ": ", " calls");
                assert_eq!(count, said, "{href} {about}");
            }
        }
        // No more than a quarter, and neither one bar nor a wrong filter.
        for query in [
            "filter[started_at][gte]=2027-01-01",
            "filter[started_at][lte]=2027-05-31",
            "filter[started_at][gte]=2027-05-05T10:00:00Z&filter[started_at][lte]=2027-05-05T10:59:59Z",
            "filter[started_at][on]=yesterday",
            "filter[term]=nothing",
        ] {
            browser.go(&format!("/ui/phone-calls?{query}"));
            assert!(!browser.page.text.contains("<svg"), "{query}");
        }
    }

    #[test]
    fn the_first_page_shows_the_calls_of_today_and_who_was_missed() {
        let server = TestServer::new();
        let mut browser = owner(&server);
        browser.go("/ui");
        assert!(!browser.page.text.contains("<svg") && !browser.page.text.contains("not called back"), "{browser:?}");

        let missed = json!({"direction": "inbound", "status": "missed", "number_from": "06 12 34 56 78"});
        let id = server.admin().post("/phone-calls", missed).created()["id"].clone();
        let other = json!({"direction": "inbound", "status": "missed", "number_from": "0699999999"});
        let mut old = other.clone();
        old["started_at"] = json!("2024-01-01T10:00:00Z");
        server.admin().post("/phone-calls", old).created();
        server.admin().post("/phone-calls", other).created();
        browser.go("/ui");
        let page = &browser.page.text;
        let (first, second) =
            (page.find("href=\"tel:0612345678\"").unwrap(), page.find("href=\"tel:0699999999\"").unwrap());
        assert!(first < second && page.matches("href=\"tel:").count() == 2, "{page}");
        assert!(page.contains(&format!("href=\"/ui/phone-calls/{id}\"")), "{page}");
        assert!(page.contains("2 calls, 2 missed, most at ") && page.contains("Same day last week"), "{page}");
        let (href, about) = bars(page)[0].clone();
        assert!(about.contains("2 calls, 2 missed"), "{about}");
        browser.go(&href);
        assert_eq!(between(&browser.page.text, "<span class=\"count\">", "<"), "2");

        for number in ["+33612345678", "+33699999999"] {
            let at = crate::values::Timestamp::now().plus(60);
            let back = json!({"direction": "outbound", "number_to": number, "started_at": at});
            server.admin().post("/phone-calls", back).created();
        }
        browser.go("/ui");
        assert!(browser.page.text.contains("was called back.") && !browser.page.text.contains("tel:"), "{browser:?}");

        // Neither is shown to a person who may not see calls.
        let token = server.with_only(&["contact.view"]).token().unwrap().to_owned();
        browser.sign_in_with("acme.localhost", &token);
        browser.go("/ui");
        assert!(!browser.page.text.contains("<svg") && !browser.page.text.contains("called back"), "{browser:?}");
    }

    #[test]
    fn a_day_without_calls_is_compared_with_last_week() {
        let server = TestServer::new();
        server.admin().put("/settings", json!({"timezone": "UTC"})).created();
        let last_week = crate::values::Timestamp::now().plus(-7 * 86_400);
        let call = json!({"direction": "inbound", "started_at": last_week});
        server.admin().post("/phone-calls", call).created();
        let mut browser = owner(&server);
        browser.go("/ui");
        let page = &browser.page.text;
        assert!(page.contains("<p>No calls yet.</p>") && page.contains("class=\"before\" d=\"M"), "{page}");
        assert_eq!(bars(page), []);
    }
}

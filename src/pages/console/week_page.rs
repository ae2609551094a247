//! The week of a queue or of a group: where its calls go, drawn as the look-up answers, and the same as a table. Hours
//! that something else covers are outlined. Narrow screens show one day.

use std::slice;

use askama::Template;
use http::StatusCode;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::catalog::Collection;
use super::display::{self, plain};
use super::hours_owner::{GROUP, HoursOwner, OwnerKind, QUEUE};
use super::links::record_page;
use super::page::{Frame, PageCtx};
use super::{encode, query};
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;
use crate::values::TimeOfDay;

pub const ROUTES: &[Route] = &[
    get(
        "/ui/routing/{account}/call-queues/queues/{id}/week",
        &run(of_queue),
        Needs::Permission("routing.view"),
        "Show the week of a call queue as a page",
    ),
    get(
        "/ui/routing/{account}/call-queues/groups/{id}/week",
        &run(of_group),
        Needs::Permission("routing.view"),
        "Show the week of a call queue group as a page",
    ),
];

/// The pictures, in their own units: the height of an hour, and the room for words above.
const HOUR: i64 = 20;
const TOP: i64 = 22;

/// The least height of a shape with words in it.
const LABEL: i64 = 28;

#[derive(Template)]
#[template(path = "console/week.html")]
struct WeekPage<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    owner: String,
    previous: String,
    this_week: String,
    next: String,
    /// The page of the exceptions and holidays of the year.
    holidays: String,
    /// The tester, with the queue. None for a group, which has no number.
    tester: Option<String>,
    clock_changes: Vec<String>,
    days: Vec<Day>,
    hours: Vec<(i64, String)>,
    is_covered: bool,
    /// The place of the day that narrow screens show, and the links to the days around it: label and address.
    shown: usize,
    around: [(String, String); 2],
}

impl WeekPage<'_> {
    fn shown_day(&self) -> &[Day] {
        self.days.get(self.shown).map_or(&[], slice::from_ref)
    }
}

struct Day {
    name: String,
    /// The present time, from the top of the picture. None if the day is not today.
    now: Option<i64>,
    bars: Vec<Bar>,
    links: Vec<(String, String)>,
}

/// A part of a day in which calls go to one destination, or in which a time span is covered.
struct Bar {
    kind: &'static str,
    time: String,
    what: String,
    href: Option<String>,
    top: i64,
    height: i64,
    /// How many covered bars before this one are at the same time.
    depth: i64,
    is_labelled: bool,
}

impl Bar {
    /// Where the shape begins in a day of this width. A covered bar leaves room for the bar that covers it.
    fn left(&self, width: &i64) -> i64 {
        if self.kind == "covered" { width / 4 + self.depth.min(5) * 8 } else { 1 }
    }

    fn width(&self, width: &i64) -> i64 {
        let right = if self.kind == "covered" { 4 } else { 1 };
        width - self.left(width) - right
    }

    /// As much of the words as fits into the shape.
    fn short(&self, width: &i64) -> String {
        display::beginning(&self.what, usize::try_from((self.width(width) - 4) * 2 / 13).unwrap_or_default())
    }
}

/// A period in local time, and the segment or the time span that it is a part of.
struct Period<'a> {
    from: DateTime,
    to: DateTime,
    of: &'a Value,
}

fn of_queue(ctx: &mut Ctx<'_>) -> Result<Html> {
    page(&PageCtx::of_turn(ctx), QUEUE)
}

fn of_group(ctx: &mut Ctx<'_>) -> Result<Html> {
    page(&PageCtx::of_turn(ctx), GROUP)
}

fn page(page: &PageCtx<'_>, kind: OwnerKind) -> Result<Html> {
    let owner = HoursOwner::read(page, kind)?;
    let mut asked = vec![("customer_account", owner.account.to_owned())];
    asked.extend(page.query("from").map(|from| ("from", from)));
    let week = page.send(InnerRequest::get(kind.week).at(owner.id).with_query(query(&asked)))?.body;
    let first: Date = plain(&week["from"]).parse().map_err(|_| Error::Internal("a week without a day".into()))?;

    let frame = Frame::of(page)?;
    let (words, zone) = (frame.words, page.zone()?);
    let now = page.now()?;
    let dates: Vec<Date> = first.series(1.day()).take(7).collect();
    let segments = segments(&week);
    let spans = owner.all_spans()?;
    let covered = covered(&segments, &spans, first);
    let days = dates.iter().map(|date| Day {
        name: display::week_day(words, *date),
        now: (*date == now.date()).then(|| TOP + second(now, *date) * HOUR / 3600),
        bars: bars(words, &segments, &covered, *date, &owner),
        links: links(words, &owner, *date, now.date()),
    });
    let address = format!("{}/week", owner.address);
    let at = |days: i64, day: &str| match first.checked_add(days.days()) {
        Ok(from) => format!("{address}?from={from}{day}"),
        Err(_) => address.clone(),
    };
    let place = |day: Date| dates.iter().position(|date| *date == day);
    let asked = page.query("day").and_then(|day| day.parse().ok());
    let shown = asked.and_then(place).or_else(|| place(now.date())).unwrap_or_default();
    let beside = |days: i64| {
        let day = first.checked_add((i64::try_from(shown).unwrap_or_default() + days).days()).unwrap_or(first);
        let weeks = if dates.contains(&day) { 0 } else { days * 7 };
        (display::week_day(words, day), at(weeks, &format!("&day={day}#day")))
    };
    let rendered = WeekPage {
        words,
        previous: at(-7, ""),
        this_week: address.clone(),
        next: at(7, ""),
        clock_changes: dates.iter().filter_map(|date| clock_change(words, *date, &zone)).collect(),
        days: days.collect(),
        hours: (0..=24).step_by(3).map(|hour| (TOP + hour * HOUR, format!("{hour:02}:00"))).collect(),
        is_covered: !covered.is_empty(),
        shown,
        around: [beside(-1), beside(1)],
        tester: (kind.week == QUEUE.week).then(|| {
            let asked = query(&[("kind", "queue"), ("queue", owner.id)]);
            format!("/ui/routing/{}/test?{asked}", encode(owner.account))
        }),
        holidays: format!("{}/holidays?year={}", owner.address, first.year()),
        name: owner.name.clone(),
        owner: owner.address.clone(),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

/// The form of the row that applies; its page, if the person may not change it.
fn row_link(owner: &HoursOwner<'_>, of: &'static Collection, id: &Value) -> String {
    let page = record_page(of, Some(owner.account), &[], &plain(id));
    match of.update.is_some_and(|route| owner.page.may(route)) {
        true => format!("{page}/edit"),
        false => page,
    }
}

fn day_of_week(date: Date) -> String {
    date.weekday().to_sunday_zero_offset().to_string()
}

/// What the person may do with a day: label and address.
fn links(words: Translations, owner: &HoursOwner<'_>, date: Date, today: Date) -> Vec<(String, String)> {
    let spans = owner.spans;
    let mut links = Vec::new();
    links.extend(owner.new_row(spans, &[("day_of_week", day_of_week(date))]).map(|href| (words.add(), href)));
    if owner.may_all([spans.create, spans.update, spans.remove]) {
        links.push((words.copy_day(), format!("{}/week/day?day={}", owner.address, day_of_week(date))));
    }
    // The past stays as it was.
    if date >= today {
        let until_midnight = [
            ("date_full", date.to_string()),
            ("end_time", "24:00".to_owned()),
            ("destination", owner.default_destination.clone()),
        ];
        let earlier = Some(&until_midnight).filter(|_| !owner.default_destination.is_empty());
        let earlier = earlier.and_then(|filled| owner.new_row(spans, filled));
        links.extend(earlier.map(|href| (words.close_earlier(), href)));
        links.extend(
            owner.new_row(owner.exceptions, &[("day", date.to_string())]).map(|href| (words.close_day(), href)),
        );
    }
    links
}

/// The segments of the week.
fn segments<'a>(week: &'a Value) -> Vec<Period<'a>> {
    let segments = week["segments"].as_array().into_iter().flatten();
    let period = |of: &'a Value| {
        let civil = |name: &str| plain(&of[name]).parse::<DateTime>().ok();
        Some(Period { from: civil("from")?, to: civil("to")?, of })
    };
    segments.filter_map(period).collect()
}

/// The parts of time spans that do not apply: something else decides there. The segments have no gaps, so the parts of a
/// span that apply and these are the whole span.
fn covered<'a>(segments: &[Period<'_>], spans: &'a [Value], first: Date) -> Vec<Period<'a>> {
    let mut parts: Vec<Period<'a>> = Vec::new();
    // A span of the day before may end on the first day.
    let dates = first.yesterday().unwrap_or(first).series(1.day()).take(8);
    for (date, span) in dates.flat_map(|date| spans.iter().map(move |span| (date, span))) {
        let Some((start, end)) = times_on(span, date) else { continue };
        for segment in segments {
            let applies = segment.of["reason"] == "time_span" && segment.of["matched"]["id"] == span["id"];
            let (from, to) = (segment.from.max(start), segment.to.min(end));
            if applies || from >= to {
                continue;
            }
            match parts.last_mut() {
                Some(last) if last.to == from && last.of["id"] == span["id"] => last.to = to,
                _ => parts.push(Period { from, to, of: span }),
            }
        }
    }
    parts
}

/// When a time span that is on a date starts and ends. An end before the start is on the next day.
fn times_on(span: &Value, date: Date) -> Option<(DateTime, DateTime)> {
    if plain(&span["date_full"]) != date.to_string() && plain(&span["day_of_week"]) != day_of_week(date) {
        return None;
    }
    let second = |name: &str| Some(plain(&span[name]).parse::<TimeOfDay>().ok()?.second());
    let (start, end) = (second("start_time")?, second("end_time")?);
    let midnight = date.at(0, 0, 0, 0);
    let last = midnight.checked_add(i64::from(end < start).days()).ok()?;
    Some((midnight.checked_add(start.seconds()).ok()?, last.checked_add(end.seconds()).ok()?))
}

/// The seconds from the beginning of a date.
fn second(at: DateTime, date: Date) -> i64 {
    at.duration_since(date.at(0, 0, 0, 0)).as_secs()
}

/// What is on a day: the bars that apply, then the covered ones.
fn bars(
    words: Translations,
    segments: &[Period<'_>],
    covered: &[Period<'_>],
    date: Date,
    owner: &HoursOwner<'_>,
) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    let mut labelled: Vec<i64> = Vec::new();
    let of_segments = segments.iter().map(|segment| (segment, false));
    for (period, is_covered) in of_segments.chain(covered.iter().map(|part| (part, true))) {
        let (from, to) = (second(period.from, date).max(0), second(period.to, date).min(86_400));
        if from >= to {
            continue;
        }
        let (top, height) = (TOP + from * HOUR / 3600, ((to - from) * HOUR / 3600).max(1));
        let (kind, what, href) = match is_covered {
            true => covered_span(words, period.of, owner),
            false => applied(words, period.of, [clock(from), clock(to)], date, owner),
        };
        let meets = |bar: &&Bar| bar.kind == kind && bar.top < top + height && top < bar.top + bar.height;
        let depth = if is_covered { bars.iter().filter(meets).count() } else { 0 };
        let is_labelled =
            kind != "closed" && height >= LABEL && labelled.iter().all(|other| (top - other).abs() >= LABEL);
        labelled.extend(is_labelled.then_some(top));
        bars.push(Bar {
            kind,
            time: format!("{}–{}", clock(from), clock(to)),
            what,
            href,
            top,
            height,
            depth: i64::try_from(depth).unwrap_or_default(),
            is_labelled,
        });
    }
    bars
}

/// How a segment is drawn, its words, and where it leads.
fn applied(
    words: Translations,
    segment: &Value,
    [from, to]: [String; 2],
    date: Date,
    owner: &HoursOwner<'_>,
) -> (&'static str, String, Option<String>) {
    let matched = &segment["matched"];
    let (kind, href) = match segment["reason"].as_str() {
        Some("time_span") => ("open", Some(row_link(owner, owner.spans, &matched["id"]))),
        Some("exception") => ("exception", Some(row_link(owner, owner.exceptions, &matched["id"]))),
        Some("inactive") => ("closed", None),
        _ => {
            let filled = [("day_of_week", day_of_week(date)), ("start_time", from), ("end_time", to)];
            ("closed", owner.new_row(owner.spans, &filled))
        }
    };
    let label = match kind {
        "exception" => Some(plain(&matched["label"])).filter(|label| !label.is_empty()),
        _ => None,
    };
    let state = label.unwrap_or_else(|| words.decided_by(&plain(&segment["reason"])));
    (kind, leads_to(state, &plain(&segment["destination"])), href)
}

/// The same of a time span that is covered.
fn covered_span(words: Translations, span: &Value, owner: &HoursOwner<'_>) -> (&'static str, String, Option<String>) {
    let own = plain(&span["destination"]);
    let destination = if own.trim().is_empty() { &owner.number } else { &own };
    ("covered", leads_to(words.open(), destination), Some(row_link(owner, owner.spans, &span["id"])))
}

fn leads_to(state: String, destination: &str) -> String {
    if destination.is_empty() { state } else { format!("{state} → {destination}") }
}

/// A time of day: `09:00`, `24:00`, with seconds only if there are any.
fn clock(second: i64) -> String {
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    if seconds == 0 { format!("{hours:02}:{minutes:02}") } else { format!("{hours:02}:{minutes:02}:{seconds:02}") }
}

/// What the clock does on a day on which it changes.
fn clock_change(words: Translations, date: Date, zone: &TimeZone) -> Option<String> {
    let start = zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?.checked_sub(1.second()).ok()?;
    let change = zone.following(start).next()?.timestamp();
    let before = zone.to_datetime(change.checked_sub(1.second()).ok()?).checked_add(1.second()).ok()?;
    let after = zone.to_datetime(change);
    let (from, to) = (before.min(after), before.max(after));
    if from.date() != date || from == to {
        return None;
    }
    let (day, from, to) = (display::week_day(words, date), from.strftime("%H:%M"), to.strftime("%H:%M"));
    Some(match before < after {
        true => words.clock_skips(&day, &from.to_string(), &to.to_string()),
        false => words.clock_repeats(&day, &from.to_string(), &to.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::TestRunner;
    use serde_json::json;

    use super::*;
    use crate::routing::call_queues::oracle::{OracleQueue, WrittenRow, plain as oracle, rows};
    use crate::tests::{RoutingClient, TestBrowser, TestServer};
    use crate::values::Language;

    #[test]
    fn a_day_on_which_the_clock_changes_says_so() {
        let said = |zone: &str, day: &str| {
            let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
            clock_change(Translations(Language::English), day.parse().unwrap(), &zone)
        };
        let skips = "Sun 28 Mar: the clock goes forward from 02:00 to 03:00.";
        assert_eq!(said("Europe/Paris", "2027-03-28").as_deref(), Some(skips));
        let repeats = "Sun 31 Oct: the hours from 02:00 to 03:00 come twice.";
        assert_eq!(said("Europe/Paris", "2027-10-31").as_deref(), Some(repeats));
        // At midnight, and by half an hour.
        assert!(said("America/Santiago", "2027-09-05").unwrap().contains("from 00:00 to 01:00"));
        assert!(said("Australia/Lord_Howe", "2027-04-04").unwrap().contains("from 01:30 to 02:00"));
        for (zone, day) in [("Europe/Paris", "2027-03-27"), ("Europe/Paris", "2027-03-29"), ("UTC", "2027-03-28")] {
            assert_eq!(said(zone, day), None, "{zone} {day}");
        }
    }

    #[test]
    fn the_week_shows_what_applies_and_leads_to_it() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let queue = json!({"name": "Support", "number": "801", "default_destination": "899"});
        routing.create("/call-queues/queues", queue);
        let of = "time_spanable_id=1&time_spanable_type=call_queue";
        let night = json!({"day_of_week": 1, "start_time": "22:00", "end_time": "02:00"});
        routing.create(&format!("/call-queues/time-spans?{of}"), night);
        let closed = json!({"day": "2027-03-31", "label": "Stocktaking", "destination": "898"});
        let of = "exceptionable_id=1&exceptionable_type=call_queue";
        routing.create(&format!("/call-queues/exceptions?{of}"), closed);
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        let base = format!("http://acme.localhost/ui/routing/{}/call-queues", routing.account);
        browser.go("http://acme.localhost/ui/enter");
        browser.go(&format!("{base}/queues/1/week?from=2027-03-29"));
        let shown = &browser.page.text;
        for expected in [
            "<h1>Week of Support",
            "Mon 29 Mar",
            "22:00–24:00",
            "00:00–02:00",
            "Open → 801",
            "Stocktaking → 898",
            "Closed → 899",
            "/call-queues/time-spans/1/edit",
            "/call-queues/exceptions/1/edit",
            "/queues/1/week/day?day=1",
            "/queues/1/holidays?year=2027",
            "exceptions/new?exceptionable_id=1&amp;exceptionable_type=call_queue&amp;day=2027-04-02",
            "date_full=2027-04-02&amp;end_time=24%3A00&amp;destination=899",
            "week?from=2027-03-22",
            "week?from=2027-04-05",
            "day_of_week=2&amp;start_time=02%3A00&amp;end_time=24%3A00",
        ] {
            assert!(
                shown.contains(expected) || shown.contains(&expected.replace("&amp;", "&#38;")),
                "{expected}: {shown}"
            );
        }
        browser.go(&format!("{base}/queues/1/week?from=never"));
        assert_eq!(browser.page.status, 400);
        browser.go(&format!("{base}/queues/2/week"));
        assert_eq!(browser.page.status, 404);
    }

    /// A shape of a time span in the picture of the week, in seconds since the beginning of the week.
    #[derive(Debug)]
    struct Shape {
        href: String,
        title: String,
        from: i64,
        to: i64,
        is_covered: bool,
    }

    fn shapes(page: &str) -> Vec<Shape> {
        let picture = page.split_once("<svg").unwrap_or_else(|| panic!("{page}")).1.split("</svg>").next().unwrap();
        let days = picture.split("<g transform").skip(1);
        let links =
            (0..).zip(days).flat_map(|(day, drawn)| drawn.split("<a href=\"").skip(1).map(move |link| (day, link)));
        let spans = links.filter(|(_, link)| link.split('"').next().unwrap().contains("/time-spans/"));
        let spans = spans.filter(|(_, link)| !link.contains("/new?"));
        let shape = |(day, link): (i64, &str)| {
            let title = link.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
            let time = title.trim_start_matches("Covered: ").split(' ').next().unwrap();
            let second = |time: &str| day * 86_400 + time.parse::<TimeOfDay>().unwrap().second();
            let (from, to) = time.split_once('–').unwrap();
            Shape {
                href: link.split('"').next().unwrap().to_owned(),
                title: title.to_owned(),
                from: second(from),
                to: second(to),
                is_covered: link.contains("stroke-dasharray"),
            }
        };
        spans.map(shape).collect()
    }

    /// The seconds of the week in which a time span is, without any other.
    fn whole((_, (_, row)): &WrittenRow, first: Date) -> Vec<bool> {
        let mut seconds = vec![false; 7 * 86_400];
        let second = |name: &str| oracle::second(row[name].as_str().unwrap());
        let (start, end) = (second("start_time"), second("end_time"));
        let end = if end < start { end + 86_400 } else { end };
        for day in -1..7 {
            let date = first.checked_add(day.days()).unwrap();
            if row["date_full"] == date.to_string() || row["day_of_week"] == date.weekday().to_sunday_zero_offset() {
                for second in
                    (day * 86_400 + start..day * 86_400 + end).filter_map(|second| usize::try_from(second).ok())
                {
                    seconds.get_mut(second).into_iter().for_each(|is_in| *is_in = true);
                }
            }
        }
        seconds
    }

    /// Also across midnight and the edges of the week: each second of a time span is in one shape, and the shape is
    /// outlined if the look-up answers with something else then.
    #[test]
    fn filled_and_outlined_shapes_of_a_time_span_are_the_whole_span() {
        let server = TestServer::new();
        let queue = OracleQueue::new(&server);
        server.admin().put("/settings", json!({"timezone": "UTC"})).created();
        let browser = server.browser("owner@example.com").with_header("accept-language", "en");
        let base = format!("/ui/routing/{}/call-queues", queue.routing.account);
        let firsts = select(vec!["2024-02-26", "2024-02-29", "2024-03-25", "2024-03-31", "2024-10-28", "2027-03-22"]);
        let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
        let ran = runner.run(&(rows(), firsts), |(rows, from)| {
            let (spans, _) = queue.write(&rows);
            let first: Date = from.parse().unwrap();
            // The hours of its group count for the queue too.
            for (parents, owner) in [(0..=1, "queues/1"), (1..=1, "groups/2")] {
                let page = browser.get(&format!("{base}/{owner}/week?from={from}")).text;
                let shapes = shapes(&page);
                for span in spans.iter().filter(|(_, (of, _))| parents.contains(of)) {
                    let mut left = whole(span, first);
                    for shape in
                        shapes.iter().filter(|shape| shape.href.ends_with(&format!("/time-spans/{}/edit", span.0)))
                    {
                        for second in shape.from..shape.to {
                            let is_in = &mut left[usize::try_from(second).unwrap()];
                            prop_assert!(*is_in, "{:?} of {:?}", shape, span);
                            *is_in = false;
                        }
                    }
                    prop_assert!(left.iter().all(|is_in| !is_in), "{:?} is not in {:?}", span, shapes);
                }
                let table = page.split("<table>").nth(1).unwrap();
                prop_assert_eq!(
                    table.matches("Covered:").count(),
                    shapes.iter().filter(|shape| shape.is_covered).count()
                );
                for shape in shapes.iter().filter(|_| owner == "queues/1") {
                    let (words, text) = shape.title.split_at(shape.title.find(|c: char| c.is_ascii_digit()).unwrap());
                    let line = format!("{words}<a href=\"{}\">{text}</a>", shape.href);
                    prop_assert!(table.contains(&line), "{:?}", shape);
                    let at =
                        first.at(0, 0, 0, 0).checked_add((shape.from + (shape.to - shape.from) / 2).seconds()).unwrap();
                    let found = queue.routing.get(&format!("/call-queues/lookup?code=Q1&at={at}")).ok();
                    let id = &found["matched"]["id"];
                    let decides =
                        found["reason"] == "time_span" && shape.href.ends_with(&format!("/time-spans/{id}/edit"));
                    prop_assert_eq!(decides, !shape.is_covered, "{:?} at {}: {}", shape, at, found);
                }
            }
            Ok(())
        });
        ran.unwrap();
    }

    #[test]
    fn a_covered_time_span_leads_to_its_form_or_to_its_page() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Support", "number": "801"}));
        let of = "time_spanable_id=1&time_spanable_type=call_queue";
        for (start, end, destination) in [("09:00", "12:00", ""), ("10:00", "14:00", ""), ("11:00", "13:00", "805")] {
            let span = json!({"day_of_week": 1, "start_time": start, "end_time": end, "destination": destination});
            routing.create(&format!("/call-queues/time-spans?{of}"), span);
        }
        let spans = format!("/ui/routing/{}/call-queues/time-spans", routing.account);
        let week = format!("/ui/routing/{}/call-queues/queues/1/week?from=2027-03-29", routing.account);
        server.with_role("agent");
        for (email, form) in [("owner@example.com", "/edit"), ("agent@example.com", "")] {
            for (language, covered, open) in [("en", "Covered:", "Open"), ("fr", "Recouvert\u{a0}:", "Ouvert")] {
                let page = server.browser(email).with_header("accept-language", language).get(&week).text;
                for (time, id, destination) in [("10:00–12:00", 2, "801"), ("11:00–13:00", 3, "805")] {
                    let row = format!("{covered} <a href=\"{spans}/{id}{form}\">{time} {open} → {destination}</a>");
                    assert!(page.contains(&row), "{row}: {page}");
                }
            }
        }
    }

    #[test]
    fn a_night_is_covered_on_its_day_and_on_the_next() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/groups", json!({"name": "All"}));
        let of = "time_spanable_id=1&time_spanable_type=call_queue_group";
        let night = json!({"day_of_week": 0, "start_time": "22:00", "end_time": "02:00"});
        routing.create(&format!("/call-queues/time-spans?{of}"), night);
        let of = "exceptionable_id=1&exceptionable_type=call_queue_group";
        for day in ["2027-03-29", "2027-04-04"] {
            routing.create(&format!("/call-queues/exceptions?{of}"), json!({"day": day}));
        }
        let browser = server.browser("owner@example.com").with_header("accept-language", "en");
        let week = |from: &str| {
            let page = browser.get(&format!("/ui/routing/{}/call-queues/groups/1/week?from={from}", routing.account));
            shapes(&page.text)
                .iter()
                .map(|shape| (shape.from / 3600, shape.to / 3600, shape.is_covered))
                .collect::<Vec<_>>()
        };
        // The night before the week ends in it, and the last night of the week ends after it.
        assert_eq!(week("2027-03-29"), [(0, 2, true), (166, 168, true)]);
        assert_eq!(week("2027-04-05"), [(0, 2, false), (166, 168, false)]);
        assert_eq!(week("2027-03-28"), [(22, 24, false), (24, 26, true)]);
    }

    #[test]
    fn narrow_screens_show_one_day_with_links_to_the_days_around_it() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Support"}));
        let week = format!("/ui/routing/{}/call-queues/queues/1/week", routing.account);
        let browser = server.browser("owner@example.com").with_header("accept-language", "en");
        for (asked, shown, before, after) in [
            (
                "2027-03-29&day=2027-03-31",
                "Wed 31 Mar",
                "2027-03-29&#38;day=2027-03-30",
                "2027-03-29&#38;day=2027-04-01",
            ),
            (
                "2027-03-29&day=2027-04-04",
                "Sun 4 Apr",
                "2027-03-29&#38;day=2027-04-03",
                "2027-04-05&#38;day=2027-04-05",
            ),
            ("2027-03-29", "Mon 29 Mar", "2027-03-22&#38;day=2027-03-28", "2027-03-29&#38;day=2027-03-30"),
            // A day of another week is not shown.
            (
                "2027-03-29&day=2027-04-05",
                "Mon 29 Mar",
                "2027-03-22&#38;day=2027-03-28",
                "2027-03-29&#38;day=2027-03-30",
            ),
            ("2027-03-29&day=never", "Mon 29 Mar", "2027-03-22&#38;day=2027-03-28", "2027-03-29&#38;day=2027-03-30"),
        ] {
            let page = browser.get(&format!("{week}?from={asked}")).text;
            let (_, rest) = page.split_once("id=\"day\"").unwrap();
            let (day, rest) = rest.split_once("</svg>").unwrap();
            for expected in [&format!(">{shown}</text>"), &format!("from={before}#day"), &format!("from={after}#day")] {
                assert!(day.contains(expected), "{asked}: {expected}: {day}");
            }
            assert_eq!(day.matches("<g transform").count(), 1, "{day}");
            // The table keeps the other days for wide screens.
            assert_eq!(rest.matches("class=\"other\"").count(), 6, "{rest}");
            assert!(rest.contains(&format!("<tr><th scope=\"row\">{shown}</th>")), "{rest}");
        }
        let this_week = browser.get(&week).text;
        assert!(this_week.contains("<tr class=\"at\">"), "today is shown: {this_week}");
    }
}

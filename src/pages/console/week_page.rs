//! The week of a queue or of a group: where its calls go, drawn as the look-up answers, and the same as a table.

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

/// The picture, in its own units: the width of a day, the height of an hour, and the room for words.
const DAY: i64 = 100;
const HOUR: i64 = 20;
const LEFT: i64 = 42;
const TOP: i64 = 22;

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
    /// The present time: its place from the left and from the top.
    now: Option<(i64, i64)>,
}

struct Day {
    name: String,
    is_today: bool,
    left: i64,
    bars: Vec<Bar>,
    links: Vec<(String, String)>,
}

/// A part of a day in which calls go to one destination.
struct Bar {
    kind: &'static str,
    time: String,
    what: String,
    href: Option<String>,
    top: i64,
    height: i64,
}

impl Bar {
    /// As much of the words as fits into the width of a day.
    fn short(&self) -> String {
        display::beginning(&self.what, 15)
    }
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
    let days = (0..).zip(&dates).map(|(place, date)| Day {
        name: display::week_day(words, *date),
        is_today: *date == now.date(),
        left: LEFT + place * DAY,
        bars: bars(words, &week, *date, &owner),
        links: links(words, &owner, *date, now.date()),
    });
    let address = format!("{}/week", owner.address);
    let at = |days: i64| match first.checked_add(days.days()) {
        Ok(day) => format!("{address}?from={day}"),
        Err(_) => address.clone(),
    };
    let rendered = WeekPage {
        words,
        previous: at(-7),
        this_week: address.clone(),
        next: at(7),
        clock_changes: dates.iter().filter_map(|date| clock_change(words, *date, &zone)).collect(),
        days: days.collect(),
        hours: (0..=24).step_by(3).map(|hour| (TOP + hour * HOUR, format!("{hour:02}:00"))).collect(),
        now: dates.iter().position(|date| *date == now.date()).map(|place| {
            let minutes = i64::from(now.hour()) * 60 + i64::from(now.minute());
            (LEFT + i64::try_from(place).unwrap_or_default() * DAY, TOP + minutes * HOUR / 60)
        }),
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

/// The parts of the segments of a week that are on a day.
fn bars(words: Translations, week: &Value, date: Date, owner: &HoursOwner<'_>) -> Vec<Bar> {
    let (start, end) = (date.at(0, 0, 0, 0), date.tomorrow().map_or(DateTime::MAX, |next| next.at(0, 0, 0, 0)));
    let second = |at: DateTime| at.duration_since(start).as_secs();
    let segments = week["segments"].as_array().into_iter().flatten();
    let on_day = segments.filter_map(|segment| {
        let civil = |name: &str| plain(&segment[name]).parse::<DateTime>().ok();
        let (from, to) = (civil("from")?.max(start), civil("to")?.min(end));
        (from < to).then_some((segment, second(from), second(to)))
    });
    let bar = |(segment, from, to): (&Value, i64, i64)| {
        let (from_text, to_text) = (clock(from), clock(to));
        let matched = &segment["matched"];
        let (kind, href) = match segment["reason"].as_str() {
            Some("time_span") => ("open", Some(row_link(owner, owner.spans, &matched["id"]))),
            Some("exception") => ("exception", Some(row_link(owner, owner.exceptions, &matched["id"]))),
            Some("inactive") => ("closed", None),
            _ => {
                let day = ("day_of_week", day_of_week(date));
                let filled = [day, ("start_time", from_text.clone()), ("end_time", to_text.clone())];
                ("closed", owner.new_row(owner.spans, &filled))
            }
        };
        let destination = plain(&segment["destination"]);
        let label = match kind {
            "exception" => Some(plain(&matched["label"])).filter(|label| !label.is_empty()),
            _ => None,
        };
        let state = label.unwrap_or_else(|| words.decided_by(&plain(&segment["reason"])));
        Bar {
            kind,
            time: format!("{from_text}–{to_text}"),
            what: if destination.is_empty() { state } else { format!("{state} → {destination}") },
            href,
            top: TOP + from * HOUR / 3600,
            height: ((to - from) * HOUR / 3600).max(1),
        }
    };
    on_day.map(bar).collect()
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
    use serde_json::json;

    use super::*;
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
}

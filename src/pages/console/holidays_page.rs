//! The days of a year on which a queue or a group is closed. The public holidays of a country are shown before they are
//! created, each with a box.

use std::collections::BTreeSet;
use std::iter;

use askama::Template;
use http::StatusCode;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::catalog::Collection;
use super::console_page::ConsolePage;
use super::display::{self, plain};
use super::form_page::{self, is_of_form, problems_of};
use super::hours_owner::{GROUP, HoursOwner, OwnerKind, QUEUE};
use super::links::record_page;
use super::page::{Frame, PageCtx};
use super::query;
use super::schema::FieldType;
use crate::api::{ApiResponse, InnerRequest, Needs, Result, Route, form_pairs, get, post};
use crate::executors::Executor;
use crate::pages::interrupted_form;
use crate::pages::translations::Translations;
use crate::routing::call_queues::holidays::YEARS;
use crate::routing::call_queues::hours::monday_of;

pub const ROUTES: &[Route] = &[
    get(
        "/ui/routing/{account}/call-queues/queues/{id}/holidays",
        &HolidaysPage { kind: QUEUE, sends: false },
        Needs::Permission("routing.view"),
        "Show the exceptions and holidays of a call queue in a year as a page",
    ),
    post(
        "/ui/routing/{account}/call-queues/queues/{id}/holidays",
        &HolidaysPage { kind: QUEUE, sends: true },
        Needs::Permission("routing.create"),
        "Create public holidays of a call queue from a form",
    ),
    get(
        "/ui/routing/{account}/call-queues/groups/{id}/holidays",
        &HolidaysPage { kind: GROUP, sends: false },
        Needs::Permission("routing.view"),
        "Show the exceptions and holidays of a call queue group in a year as a page",
    ),
    post(
        "/ui/routing/{account}/call-queues/groups/{id}/holidays",
        &HolidaysPage { kind: GROUP, sends: true },
        Needs::Permission("routing.create"),
        "Create public holidays of a call queue group from a form",
    ),
];

const HOLIDAYS: &str = "/smart-routings/call-queues/exceptions/holidays";
const CALENDAR: &str = "/smart-routings/call-queues/exceptions/holidays/calendar";

#[derive(Template)]
#[template(path = "console/holidays.html")]
struct YearPage<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    owner: String,
    year: String,
    /// The years before and after, with their addresses.
    around: [(String, String); 2],
    /// The page that asks before the holidays of the year are deleted.
    remove: Option<String>,
    weekdays: Vec<&'static str>,
    months: Vec<Month>,
    /// The form for one more day.
    new: Option<String>,
    picker: Option<Picker>,
    problems: Vec<String>,
}

impl YearPage<'_> {
    fn has_days_off(&self) -> bool {
        self.months.iter().any(|month| !month.days_off.is_empty())
    }
}

/// A month as a calendar, and its closed days.
struct Month {
    name: &'static str,
    /// From Monday. Days of the months around it are empty.
    weeks: Vec<Vec<Option<CalendarDay>>>,
    days_off: Vec<DayOff>,
}

/// A day in a calendar. If it is closed: the page of the exception and its label.
struct CalendarDay {
    number: i8,
    closed: Option<(String, String)>,
}

/// A day on which the queue or group is closed.
struct DayOff {
    date: Date,
    id: Option<i64>,
    day: String,
    label: String,
    destination: String,
    is_every_year: bool,
    href: String,
}

/// The choice of public holidays.
struct Picker {
    action: String,
    /// Label, address, and whether it is the current one.
    countries: Vec<(String, String, bool)>,
    regions: Vec<(String, String, bool)>,
    /// Wanted days of the year before that the calendar does not have.
    others: Vec<String>,
    /// The holidays of the chosen country. `None` without a choice.
    chosen: Option<Chosen>,
}

struct Chosen {
    country: String,
    region: String,
    days: Vec<Offered>,
    destination: String,
    destination_label: String,
}

impl Chosen {
    fn has_new(&self) -> bool {
        self.days.iter().any(|day| !day.is_there)
    }
}

/// A public holiday that may be created.
struct Offered {
    value: String,
    day: String,
    label: String,
    is_there: bool,
    is_ticked: bool,
}

/// What the person chose.
#[derive(Default)]
struct Choice {
    country: String,
    region: String,
    /// The ticked days. None: all.
    days: Option<Vec<String>>,
    destination: String,
    /// Whether the holidays of the year before are wanted again.
    is_again: bool,
}

struct HolidaysPage {
    kind: OwnerKind,
    sends: bool,
}

/// The countries with known public holidays.
fn countries(page: &PageCtx<'_>) -> Result<&'static [String]> {
    let field = page.collection(HOLIDAYS)?.creation.iter().find(|field| field.name == "country");
    Ok(match field.map(|field| &field.kind) {
        Some(FieldType::Choice(countries)) => countries,
        _ => &[],
    })
}

/// The country of the workspace, if its public holidays are known.
fn own_country(page: &PageCtx<'_>) -> Result<String> {
    let me = page.send(InnerRequest::get("/whoami"))?.body;
    let country = plain(&me["workspace"]["default_country"]);
    Ok(if countries(page)?.contains(&country) { country } else { String::new() })
}

/// The year in a text, or else the present one.
fn year_of(page: &PageCtx<'_>, text: &str) -> Result<i16> {
    let now = page.now()?.year();
    Ok(text.parse().ok().filter(|year| YEARS.contains(year)).unwrap_or(now))
}

fn show(page: &PageCtx<'_>, kind: OwnerKind) -> Result<ApiResponse> {
    let owner = HoursOwner::read(page, kind)?;
    let asked = |name: &str| page.query(name).unwrap_or_default();
    let is_again = asked("again") == "1";
    let country = match asked("country") {
        none if none.is_empty() && !is_again => own_country(page)?,
        country => country,
    };
    let choice = Choice { country, region: asked("region"), is_again, ..Choice::default() };
    respond(page, &owner, year_of(page, &asked("year"))?, choice, Vec::new(), StatusCode::OK)
}

fn send(page: &PageCtx<'_>, kind: OwnerKind) -> Result<ApiResponse> {
    let owner = HoursOwner::read(page, kind)?;
    let sent = form_pairs(page.request)?;
    let all = |name: &str| -> Vec<String> {
        sent.iter().filter(|(known, _)| known == name).map(|(_, value)| value.trim().to_owned()).collect()
    };
    let text = |name: &str| all(name).pop().unwrap_or_default();
    let year = year_of(page, &text("year"))?;
    let days = all("days");
    let choice = Choice {
        country: text("country"),
        region: text("region"),
        days: Some(days.clone()),
        destination: text("destination"),
        is_again: false,
    };
    if interrupted_form::is_shown_again(page.request)? {
        return respond(page, &owner, year, choice, Vec::new(), StatusCode::OK);
    }
    let refuse = |problems| respond(page, &owner, year, choice, problems, StatusCode::UNPROCESSABLE_ENTITY);
    if days.is_empty() {
        return refuse(vec![page.words().nothing_ticked()]);
    }
    let body = json!({
        "exceptionable_id": owner.id, "exceptionable_type": kind.word, "country": text("country"),
        "region": text("region"), "year": year, "days": days, "destination": text("destination"),
    });
    match owner.send(InnerRequest::post(HOLIDAYS, body)) {
        Ok(_) => form_page::redirect(page, &format!("{}/holidays?year={year}", owner.address), "created"),
        Err(error) if is_of_form(&error) => {
            let problems = problems_of(page, page.collection(HOLIDAYS)?, &error);
            refuse(problems.into_iter().map(|(_, sentence)| sentence).collect())
        }
        Err(error) => Err(error),
    }
}

fn respond(
    page: &PageCtx<'_>,
    owner: &HoursOwner<'_>,
    year: i16,
    choice: Choice,
    mut problems: Vec<String>,
    mut status: StatusCode,
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let address = format!("{}/holidays", owner.address);
    let dated = owner.exceptions_on(&format!("{year:04}-"))?;
    let every_year = owner.exceptions_on("--")?;
    let mut days = Vec::new();
    for row in dated.iter().chain(&every_year) {
        // A day of every year, such as 29 February, may not be in this one.
        let text = plain(&row["day"]);
        let date = text.replacen("--", &format!("{year:04}-"), 1).parse::<Date>();
        days.extend(date.ok().map(|date| day_off(owner, words, date, row)));
    }
    // Of several on one day, the first one decides, as in the look-up.
    days.sort_by_key(|day: &DayOff| (day.date, day.is_every_year, day.id));
    let picker = match owner.exceptions.create.filter(|route| page.may(route)) {
        Some(_) => match picker(owner, words, year, &dated, choice) {
            Ok(picker) => Some(picker),
            Err(error) if error.status().is_client_error() => {
                let said = problems_of(page, page.collection(HOLIDAYS)?, &error);
                problems.extend(said.into_iter().map(|(_, sentence)| sentence));
                status = StatusCode::UNPROCESSABLE_ENTITY;
                Some(picker(owner, words, year, &dated, Choice::default())?)
            }
            Err(error) => return Err(error),
        },
        None => None,
    };
    let at = |year: i16| (year.to_string(), format!("{address}?year={year}"));
    let rendered = YearPage {
        words,
        name: owner.name.clone(),
        owner: owner.address.clone(),
        year: year.to_string(),
        around: [at((year - 1).max(*YEARS.start())), at((year + 1).min(*YEARS.end()))],
        remove: remove(owner, &dated, &at(year).1),
        weekdays: week_from(monday_of(page.now()?.date())).map(|day| display::day_name(words, day)).collect(),
        months: months(words, year, days),
        new: owner.new_row(owner.exceptions, &[]),
        picker,
        problems,
        frame: &frame,
    };
    frame.respond(page, status, &rendered)
}

/// The twelve months of a year, with its closed days.
fn months(words: Translations, year: i16, days: Vec<DayOff>) -> Vec<Month> {
    let mut days = days.into_iter().peekable();
    let firsts = (1..=12).filter_map(|month| Date::new(year, month, 1).ok());
    let month = |first: Date| {
        let days_off: Vec<DayOff> = iter::from_fn(|| days.next_if(|day| day.date.month() == first.month())).collect();
        let calendar_day = |date: Date| {
            let day_off = days_off.iter().find(|day| day.date == date);
            let closed = day_off.map(|day| (day.href.clone(), day.label.clone()));
            (date.month() == first.month()).then(|| CalendarDay { number: date.day(), closed })
        };
        let mondays = monday_of(first).series(1.week()).take_while(|monday| *monday <= first.last_of_month());
        Month {
            name: display::month_name(words, first),
            weeks: mondays.map(|monday| week_from(monday).map(calendar_day).collect()).collect(),
            days_off,
        }
    };
    firsts.map(month).collect()
}

fn week_from(monday: Date) -> impl Iterator<Item = Date> {
    monday.series(1.day()).take(7)
}

fn day_off(owner: &HoursOwner<'_>, words: Translations, date: Date, row: &Value) -> DayOff {
    let label = plain(&row["label"]);
    DayOff {
        date,
        id: row["id"].as_i64(),
        day: display::week_day(words, date),
        label: if label.is_empty() { words.closed() } else { label },
        destination: plain(&row["destination"]),
        is_every_year: plain(&row["day"]).starts_with('-'),
        href: record_page(owner.exceptions, Some(owner.account), &[], &plain(&row["id"])),
    }
}

/// The page that asks before the holidays of the year are deleted. `None` if there are none.
fn remove(owner: &HoursOwner<'_>, dated: &[Value], back: &str) -> Option<String> {
    let exceptions: &Collection = owner.exceptions;
    exceptions.remove.filter(|route| owner.page.may(route))?;
    let ids: Vec<String> = holidays(dated).map(|row| plain(&row["id"])).collect();
    let asked = query(&[("ids", ids.join(",").as_str()), ("back", back)]);
    (!ids.is_empty()).then(|| format!("{}/bulk?{asked}", owner.list_of(exceptions)))
}

fn holidays(rows: &[Value]) -> impl Iterator<Item = &Value> {
    rows.iter().filter(|row| row["holiday"] == true)
}

fn picker(
    owner: &HoursOwner<'_>,
    words: Translations,
    year: i16,
    dated: &[Value],
    mut choice: Choice,
) -> Result<Picker> {
    let last_year = owner.exceptions_on(&format!("{:04}-", year - 1))?;
    let before: Vec<&Value> = holidays(&last_year).collect();
    if choice.is_again {
        (choice.country, choice.region) = calendar_of(owner, year - 1, &before)?;
        choice.destination = before.first().map(|row| plain(&row["destination"])).unwrap_or_default();
    }
    let address = format!("{}/holidays", owner.address);
    let link = |pairs: &[(&str, &str)]| format!("{address}?year={year}&{}", query(pairs));
    let mut countries: Vec<(String, String, bool)> = countries(owner.page)?
        .iter()
        .map(|code| {
            let name = words.choice("country", code).unwrap_or_else(|| code.clone());
            (name, link(&[("country", code)]), *code == choice.country && !choice.is_again)
        })
        .collect();
    if !before.is_empty() {
        countries.push((words.those_again(&(year - 1).to_string()), link(&[("again", "1")]), choice.is_again));
    }
    let titles = |rows: &[&Value]| rows.iter().map(|row| owner.exceptions.title(row)).collect::<Vec<_>>();
    if choice.country.is_empty() {
        let others = if choice.is_again { titles(&before) } else { Vec::new() };
        return Ok(Picker { action: address, countries, regions: Vec::new(), others, chosen: None });
    }
    let calendar = calendar(owner, &choice.country, &choice.region, year)?;
    let (country, region) = (plain(&calendar["country"]), plain(&calendar["region"]));
    let mut regions: Vec<(String, String, bool)> = calendar["regions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(plain)
        .map(|code| {
            let name = words.choice("region", &code).unwrap_or_else(|| code.clone());
            (name, link(&[("country", &country), ("region", &code)]), code == region)
        })
        .collect();
    regions.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    if !regions.is_empty() {
        regions.insert(0, (words.whole_country(), link(&[("country", &country)]), region.is_empty()));
    }
    let there: BTreeSet<String> = dated.iter().map(|row| plain(&row["day"])).collect();
    let labels: BTreeSet<String> = before.iter().map(|row| plain(&row["label"])).collect();
    let mut days = Vec::new();
    for row in calendar["holidays"].as_array().into_iter().flatten() {
        let (value, label) = (plain(&row["day"]), plain(&row["label"]));
        let is_wanted = match &choice.days {
            Some(days) => days.contains(&value),
            None => !choice.is_again || labels.contains(&label),
        };
        days.push(Offered {
            day: value.parse().map_or_else(|_| value.clone(), |date| display::week_day(words, date)),
            is_there: there.contains(&value),
            is_ticked: is_wanted,
            value,
            label,
        });
    }
    let is_other = |row: &&Value| choice.is_again && days.iter().all(|day| day.label != plain(&row["label"]));
    let others: Vec<&Value> = before.iter().copied().filter(is_other).collect();
    let destination_label = owner.exceptions.label_of("destination").map(|label| words.label(label));
    Ok(Picker {
        action: address,
        countries,
        regions,
        others: titles(&others),
        chosen: Some(Chosen {
            country,
            region,
            days,
            destination: choice.destination,
            destination_label: destination_label.unwrap_or_default(),
        }),
    })
}

fn calendar(owner: &HoursOwner<'_>, country: &str, region: &str, year: i16) -> Result<Value> {
    let year = year.to_string();
    let asked =
        [("customer_account", owner.account), ("country", country), ("region", region), ("year", year.as_str())];
    Ok(owner.page.send(InnerRequest::get(CALENDAR).with_query(query(&asked)))?.body)
}

/// Finds the calendar that contains most of these rows. Returns its country and region, or empty texts if no calendar
/// contains one of them.
fn calendar_of(owner: &HoursOwner<'_>, year: i16, rows: &[&Value]) -> Result<(String, String)> {
    let of_rows: BTreeSet<(String, String)> =
        rows.iter().map(|row| (plain(&row["day"]), plain(&row["label"]))).collect();
    let matches = |calendar: &Value| {
        let days = calendar["holidays"].as_array().into_iter().flatten();
        days.filter(|day| of_rows.contains(&(plain(&day["day"]), plain(&day["label"])))).count()
    };
    let (mut best, mut found, mut regions) = (0, (String::new(), String::new()), Vec::new());
    for country in countries(owner.page)? {
        let calendar = calendar(owner, country, "", year)?;
        let count = matches(&calendar);
        if count > best {
            best = count;
            found = (country.clone(), String::new());
            regions = calendar["regions"].as_array().cloned().unwrap_or_default();
        }
    }
    for region in regions.iter().map(plain) {
        let count = matches(&calendar(owner, &found.0, &region, year)?);
        if count > best {
            best = count;
            found.1 = region;
        }
    }
    Ok(found)
}

impl ConsolePage for HolidaysPage {
    /// The page asks `GET /whoami`, which does not run in a turn.
    fn executor(&self) -> Executor {
        Executor::Blocking
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
    use super::*;
    use crate::tests::{RoutingClient, TestBrowser, TestServer};
    use crate::values::Language;

    #[test]
    fn a_person_sees_the_holidays_of_a_country_before_they_are_made_has_them_again_and_removes_them() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/groups", json!({"name": "All"}));
        let of = "exceptionable_id=1&exceptionable_type=call_queue_group";
        let exceptions = format!("/call-queues/exceptions?{of}");
        routing.create(&exceptions, json!({"day": "--02-29", "label": "Leap"}));
        routing.create(&exceptions, json!({"day": "2027-05-01", "label": "Ours"}));
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        let page = format!("/ui/routing/{}/call-queues/groups/1/holidays", routing.account);
        browser.go("http://acme.localhost/ui/enter");
        let shows = |browser: &TestBrowser<'_>, texts: &[&str]| {
            for text in texts {
                assert!(browser.page.text.contains(text), "{text}: {browser:?}");
            }
        };
        browser.go(&format!("{page}?year=2028"));
        shows(&browser, &["Leap", "February", "every year"]);
        browser.go(&format!("{page}?year=2027"));
        assert!(!browser.page.text.contains("Leap"), "{browser:?}");
        browser.go(&format!("{page}?year=2027&country=FR&region=FR-57"));
        shows(&browser, &["Ours", "Vendredi saint", "Whole country", "Already there"]);
        let count = || routing.get("/call-queues/exceptions?filter[holiday]=true").ok()["total"].as_i64().unwrap();
        assert_eq!(count(), 0);
        let offered: Vec<String> =
            browser.fields(&page).into_iter().filter(|(name, _)| name == "days").map(|(_, day)| day).collect();
        assert_eq!(offered.len(), 12, "{offered:?}");
        browser.submit(&page, &[("destination", "898")]);
        assert!(browser.url.ends_with("/holidays?year=2027&done=created"), "{browser:?}");
        assert_eq!(count(), 12);
        shows(&browser, &["Vendredi saint", "898", "March"]);
        browser.go(&format!("{page}?year=2027&country=FR"));
        shows(&browser, &["All there already"]);

        routing
            .post(
                "/call-queues/exceptions/holidays",
                json!({"exceptionable_id": 1,
            "exceptionable_type": "call_queue_group", "day": "2027-08-16", "label": "Bridge"}),
            )
            .created();
        browser.go(&format!("{page}?year=2028&again=1"));
        shows(&browser, &["value=\"FR-57\"", "value=\"898\"", "2028-04-14", "Bridge"]);
        browser.submit(&page, &[]);
        assert_eq!(count(), 25);

        browser.go(&format!("{page}?year=2028"));
        let bulk = browser.page.text.split("href=\"").map(|rest| rest.split('"').next().unwrap());
        let bulk = bulk.into_iter().find(|href| href.contains("/bulk?ids=")).unwrap().replace("&#38;", "&");
        browser.go(&bulk);
        let action = bulk.split('?').next().unwrap().to_owned();
        browser.submit(&action, &[]);
        assert!(browser.url.ends_with(&format!("{page}?year=2028&done=deleted_many")), "{browser:?}");
        assert_eq!(count(), 13);
        shows(&browser, &["Leap"]);

        for (asked, status) in [("?year=2027&country=XX", 422), ("?year=x", 200), ("?year=1600", 200)] {
            browser.go(&format!("{page}{asked}"));
            assert_eq!(browser.page.status.as_u16(), status, "{asked}: {browser:?}");
        }
    }

    /// The calendar of a month on the page: its rows of seven cells.
    fn weeks(page: &str, month: &str) -> Vec<Vec<String>> {
        let (_, table) = page.split_once(&format!("<caption><b>{month}</b></caption>")).unwrap();
        let (table, _) = table.split_once("</table>").unwrap();
        let cells =
            |row: &str| row.split("<td>").skip(1).map(|cell| cell.split("</td>").next().unwrap().into()).collect();
        table.split("<tr>").skip(2).map(cells).collect()
    }

    #[test]
    fn the_year_is_twelve_months_in_which_closed_days_lead_to_their_exception() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Support"}));
        let of = "exceptionable_id=1&exceptionable_type=call_queue";
        for (day, label) in [
            ("--12-25", "Always"),
            ("--02-29", "Leap"),
            ("2027-12-25", "Once"),
            ("2027-12-25", "Too late"),
            ("2028-12-26", ""),
        ] {
            routing.create(
                &format!("/call-queues/exceptions?{of}"),
                json!({"day": day, "label": label, "destination": "898"}),
            );
        }
        let browser = server.browser("owner@example.com");
        let base = format!("/ui/routing/{}/call-queues", routing.account);
        let year = |language: &str, year: i16| {
            browser.with_header("accept-language", language).get(&format!("{base}/queues/1/holidays?year={year}")).text
        };
        let closed = |id: i64, number: i64, label: &str| {
            format!(
                "<a class=\"care\" href=\"{base}/exceptions/{id}\" title=\"{label}\">{number}<span class=\"hide\"> {label}</span></a>"
            )
        };
        let page = year("en", 2027);
        assert_eq!(page.matches("<caption>").count(), 12);
        let headings =
            ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map(|day| format!("<th scope=\"col\">{day}</th>"));
        assert_eq!(page.matches(&headings.concat()).count(), 12, "{page}");
        // February 2027 begins on a Monday and fills four weeks; May begins on a Saturday and needs six.
        let february: Vec<String> = (1..=28).map(|day| day.to_string()).collect();
        assert_eq!(weeks(&page, "February").concat(), february);
        let may = weeks(&page, "May");
        assert_eq!(
            (may.len(), &may[0][4..], &may[5][..2]),
            (6, &["", "1", "2"].map(String::from)[..], &["31", ""].map(String::from)[..])
        );
        // A date decides before a day of every year, and the older of two dates.
        assert_eq!(weeks(&page, "December")[3][5], closed(3, 25, "Once"));
        let english = Translations(Language::English);
        for (number, days) in (1..=12).zip([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            let name = display::month_name(english, Date::constant(2027, number, 1));
            let weeks = weeks(&page, name);
            assert!(weeks.iter().all(|week| week.len() == 7), "{weeks:?}");
            assert_eq!(weeks.concat().iter().filter(|day| !day.is_empty()).count(), days, "{name}");
        }

        let leap = year("fr", 2028);
        assert!(leap.contains("<th scope=\"col\">lun.</th><th scope=\"col\">mar.</th>"), "{leap}");
        assert_eq!(weeks(&leap, "Février")[4][1], closed(2, 29, "Leap"));
        assert_eq!(weeks(&leap, "Décembre")[4][..2], [closed(1, 25, "Always"), closed(5, 26, "Fermé")]);
        let empty = year("en", 2029);
        assert!(!empty.contains("29<span"), "{empty}");
        assert_eq!(weeks(&empty, "February").concat().iter().filter(|day| !day.is_empty()).count(), 28);
    }

    #[test]
    fn every_region_has_a_name() {
        let server = TestServer::new();
        for country in ["BE", "CH", "DE", "FR", "LU"] {
            let calendar = server.admin().get(&format!("{CALENDAR}?country={country}&year=2027")).ok();
            for region in calendar["regions"].as_array().unwrap().iter().map(plain) {
                assert!(Translations(Language::French).choice("region", &region).is_some(), "{region}");
            }
        }
    }
}

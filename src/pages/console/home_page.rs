//! The first page of a workspace: search, and what there is. An empty workspace states what to do next.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::catalog::{Collection, collection, collections};
use super::chart::{Chart, Series, Unit};
use super::display::{self, Shown, plain};
use super::list_page::{self, Table};
use super::page::{Frame, PageCtx};
use super::queues_now::{self, QueueNow};
use super::resource_page::Place;
use super::{query, survey_page};
use crate::api::resource::Section;
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[get("/ui", &run(page), Needs::Principal, "Show the first page of the workspace")];

/// The path of the list of calls.
const CALLS: &str = "/phone-calls";

/// The page lists missed calls of this many days.
const MISSED_DAYS: i64 = 7;

/// The page counts so many missed calls at most, because each has to be looked up among the calls with its number.
const MISSED_COUNTED_TO: i64 = 101;

/// Maximum missed calls on the page.
const MISSED_SHOWN: &str = "8";

/// Means of surveys are of these numbers of days.
const SURVEY_DAYS: [i64; 2] = [7, 30];

/// Maximum surveys on the page.
const SURVEYS_SHOWN: &str = "10";

/// The columns of the missed calls.
const MISSED_COLUMNS: [&str; 4] = ["started_at", "number_from", "contact_id", "queue"];

#[derive(Template)]
#[template(path = "console/home.html")]
struct HomePage<'a> {
    frame: &'a Frame,
    words: Translations,
    cards: Vec<Card>,
    steps: Vec<Step>,
    queues: Vec<QueueNow>,
    /// Queues that the page does not show.
    more_queues: i64,
    missed: Option<Missed>,
    chart: Option<Chart>,
    surveys: Vec<SurveyMeans>,
    /// The numbers of days of the means.
    survey_days: [String; 2],
}

/// A survey with answers, and the means of its first score.
struct SurveyMeans {
    name: String,
    means: [String; 2],
    counts: [String; 2],
}

/// The calls that nobody took and nobody called back, oldest first.
struct Missed {
    days: String,
    count: String,
    table: Table,
    /// The list of all of them, if the page shows only the first.
    all: Option<String>,
}

struct Card {
    label: String,
    href: String,
    count: String,
    purpose: String,
    new: Option<(String, String)>,
}

/// What a new workspace needs.
struct Step {
    title: String,
    about: String,
    href: String,
    button: String,
    is_done: bool,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let (mut cards, mut numbers) = (Vec::new(), Vec::new());
    for collection in collections(page.request.layer) {
        let is_card = matches!(collection.resource.section, Section::Data) && !collection.path.contains('{');
        let Some(list) = collection.list.filter(|route| is_card && page.may(route)) else { continue };
        if list.handler.executor() != crate::executors::Executor::Transaction {
            continue;
        }
        let (number, count) = list_page::count(&page, collection, &Place::default(), &[])?;
        numbers.push((collection.path, number));
        let create = collection.create.filter(|route| page.may(route));
        cards.push(Card {
            label: collection.plural(words),
            href: collection.page.to_owned(),
            count,
            purpose: words.label(collection.resource.view.purpose),
            new: create.map(|_| (words.new_record(&collection.singular(words)), format!("{}/new", collection.page))),
        });
    }
    let steps = steps(&page, words, &numbers)?;
    let calls =
        collection(page.request.layer, CALLS).filter(|_| numbers.iter().any(|known| known.0 == CALLS && known.1 > 0));
    let (missed, chart) = match calls {
        Some(calls) => (Some(missed(&page, calls)?), calls_today(&page, calls)?),
        None => (None, None),
    };
    let (queues, all_queues) = queues_now::read(&page)?;
    let more_queues = all_queues - i64::try_from(queues.len()).unwrap_or(all_queues);
    let rendered = HomePage {
        words,
        cards,
        steps,
        queues,
        more_queues,
        missed,
        chart,
        surveys: surveys(&page)?,
        survey_days: SURVEY_DAYS.map(|days| days.to_string()),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

fn missed(page: &PageCtx<'_>, calls: &'static Collection) -> Result<Missed> {
    let words = page.words();
    let first = page.days_ago(MISSED_DAYS - 1)?;
    let filter = [
        ("filter[direction]", "inbound"),
        ("filter[status]", "missed"),
        ("filter[called_back]", "0"),
        ("filter[started_at][gte]", &first),
        ("sort", "started_at"),
    ];
    let mut sent: Vec<(String, String)> =
        filter.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sent.push(("per_page".into(), MISSED_SHOWN.into()));
    let place = Place::default();
    let records = list_page::read_counted_to(page, calls, &place, &sent, MISSED_COUNTED_TO)?;
    Ok(Missed {
        days: MISSED_DAYS.to_string(),
        count: records.count_in_words(words).unwrap_or_default(),
        all: records.next.is_some().then(|| format!("{}?{}", calls.page, query(&filter))),
        table: list_page::plain_table(page, calls, &place, &MISSED_COLUMNS, words.not_called_back(), &records.rows)?,
    })
}

/// The surveys that somebody answered in the longest time. None, if the person may not see them.
fn surveys(page: &PageCtx<'_>) -> Result<Vec<SurveyMeans>> {
    let words = page.words();
    let read = |days: i64| -> Result<Vec<Value>> {
        let asked = [("from", page.days_ago(days - 1)?), ("per_page", SURVEYS_SHOWN.into()), ("sort", "name".into())];
        match page.send(InnerRequest::get("/smart-routings/surveys/summaries").with_query(query(&asked))) {
            Ok(found) => Ok(found.body["data"].as_array().cloned().unwrap_or_default()),
            Err(Error::MissingPermission(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    };
    let [recent, longest] = SURVEY_DAYS.map(read);
    let answered = recent?.into_iter().zip(longest?).filter(|(_, longest)| longest["count"].as_i64() > Some(0));
    Ok(answered
        .map(|(recent, longest)| SurveyMeans {
            name: plain(&longest["survey"]["name"]),
            means: [&recent, &longest].map(|sum| survey_page::mean(words, &sum["score_1"]["mean"])),
            counts: [&recent, &longest].map(|sum| display::count(words, sum["count"].as_i64().unwrap_or_default())),
        })
        .collect())
}

/// The calls of today by hour, beside those of the same day of last week.
fn calls_today(page: &PageCtx<'_>, calls: &'static Collection) -> Result<Option<Chart>> {
    let Some(view) = calls.resource.view.chart else { return Ok(None) };
    let words = page.words();
    let read = |weeks: i64| {
        let day = page.days_ago(7 * weeks)?;
        Series::read(page, view.summary, Unit::Hour, vec![("from".into(), day.clone()), ("to".into(), day)])
    };
    let (Some(today), before) = (read(0)?, read(1)?) else { return Ok(None) };
    let before = before.map(|before| (words.same_day_last_week(), before));
    let address = |filter: Vec<(String, String)>| format!("{}?{}", calls.page, query(&filter));
    Ok(today.chart(words, words.calls_today(), view.moment, before, address))
}

/// The first steps, as long as one of them is left. `numbers` has the numbers of records that are known by path.
fn steps(page: &PageCtx<'_>, words: Translations, numbers: &[(&str, i64)]) -> Result<Vec<Step>> {
    let usable = |path: &str, needed: fn(&Collection) -> Option<&'static Route>| {
        collection(page.request.layer, path)
            .filter(|collection| needed(collection).is_some_and(|route| page.may(route)))
    };
    let has_some = |collection: &'static Collection, more_than: i64| -> Result<bool> {
        let number = match numbers.iter().find(|(path, _)| *path == collection.path) {
            Some((_, number)) => *number,
            None if collection.list.is_some_and(|route| page.may(route)) => {
                list_page::count(page, collection, &Place::default(), &[])?.0
            }
            None => 0,
        };
        Ok(number > more_than)
    };
    let mut steps = Vec::new();
    if let Some(contacts) = usable("/contacts", |collection| collection.create) {
        steps.push(Step {
            title: words.step_contacts(),
            about: words.step_contacts_about(),
            href: "/ui/contacts/new".into(),
            button: words.new_record(&contacts.singular(words)),
            is_done: has_some(contacts, 0)?,
        });
    }
    if let (Some(calls), Some(_)) =
        (usable("/phone-calls", |collection| collection.list), usable("/oauth-clients", |collection| collection.create))
    {
        steps.push(Step {
            title: words.step_pbx(),
            about: words.step_pbx_about(),
            href: "/ui/pbx".into(),
            button: words.connect(),
            is_done: has_some(calls, 0)?,
        });
    }
    if let Some(users) = usable("/users", |collection| collection.list)
        && usable("/user-invites", |collection| collection.create).is_some()
    {
        steps.push(Step {
            title: words.step_team(),
            about: words.step_team_about(),
            href: "/ui/user-invites/new".into(),
            button: words.invite(),
            is_done: has_some(users, 1)?,
        });
    }
    let is_finished = steps.iter().all(|step| step.is_done);
    Ok(if is_finished { Vec::new() } else { steps })
}

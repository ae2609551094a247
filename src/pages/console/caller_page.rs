//! Who calls: the card of a caller, and the calls that ring just now.
//!
//! The script shows the card in the corner of any page when a phone rings. Both pages work without it.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::display::{self, Shown, plain};
use super::links::{new_record, record_page};
use super::list_page::{self, Table};
use super::page::{Frame, PageCtx};
use super::query;
use super::resource_page::Place;
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;
use crate::values::Timestamp;
use crate::workspace::events;

const SEES_CALLERS: Needs = Needs::Permission("contact.view");

pub const ROUTES: &[Route] = &[
    get("/ui/phone-calls/now", &run(now), SEES_CALLERS, "Show the calls that ring as a page"),
    get("/ui/phone-calls/card", &run(card), SEES_CALLERS, "Show who calls from a number"),
    get("/ui/events", &run(events::open), Needs::Principal, "Stream changes and ringing calls to a page"),
];

const CALLS: &str = "/phone-calls";

/// Contacts on a card.
const MOST_CONTACTS: &str = "3";

/// Calls on a card.
const MOST_CALLS: &str = "3";

const CALL_COLUMNS: [&str; 4] = ["started_at", "direction", "status", "subject"];

/// A note belongs to a call that began at most this many seconds ago. An older call is another one.
const SAME_CALL: i64 = 600;

#[derive(Template)]
#[template(path = "console/caller.html")]
struct CallerPage<'a> {
    frame: &'a Frame,
    words: Translations,
    card: CallerCard,
}

#[derive(Template)]
#[template(path = "console/ringing.html")]
struct RingingPage<'a> {
    frame: &'a Frame,
    words: Translations,
    /// The list of all calls, if the person may see them.
    all: Option<&'static str>,
    calls: Vec<RingingRow>,
    /// Whether the page loads itself again without the script.
    reloads: bool,
}

/// A call that rings.
struct RingingRow {
    at: Shown,
    queue: String,
    agent: String,
    card: CallerCard,
}

/// What is known of a caller.
struct CallerCard {
    number: String,
    contacts: Vec<CallerContact>,
    /// The customer with this number, if no contact has it.
    customer: Option<CallerCustomer>,
    /// The last calls of the number.
    calls: Option<Table>,
    /// The form for a note on this call.
    note: Option<String>,
    /// The form for a new contact with this number, if it has none.
    new: Option<String>,
}

struct CallerContact {
    name: String,
    href: String,
    company: String,
    comment: String,
    customer: Option<CallerCustomer>,
}

struct CallerCustomer {
    name: String,
    href: String,
    is_vip: bool,
}

fn now(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = &PageCtx::of_turn(ctx);
    let frame = Frame::of(page)?;
    let found = page.send(InnerRequest::get("/ringing-calls"))?.body;
    let mut calls: Vec<RingingRow> = Vec::new();
    for call in found["calls"].as_array().into_iter().flatten() {
        let number = plain(&call["number"]);
        // The phones of a queue ring at once.
        if calls.iter().any(|known| known.card.number == number) {
            continue;
        }
        calls.push(RingingRow {
            at: display::moment(frame.words, &page.zone()?, &plain(&call["at"])),
            queue: plain(&call["queue"]),
            agent: plain(&call["agent_extension"]),
            card: CallerCard::of(page, &number)?,
        });
    }
    let reloads = page.query("stop").is_none();
    let journal = page.collection(CALLS)?;
    let all = journal.list.filter(|route| page.may(route)).map(|_| journal.page);
    let rendered = RingingPage { words: frame.words, all, calls, reloads, frame: &frame };
    frame.html(StatusCode::OK, &rendered)
}

fn card(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = &PageCtx::of_turn(ctx);
    let number = page.query("number").unwrap_or_default().trim().to_owned();
    let card = CallerCard::of(page, &number)?;
    let frame = Frame::of(page)?;
    frame.html(StatusCode::OK, &CallerPage { words: frame.words, card, frame: &frame })
}

impl CallerCard {
    /// What the person may see of the caller.
    fn of(page: &PageCtx<'_>, number: &str) -> Result<Self> {
        let by_number = |per_page: &str| query(&[("filter[phone]", number), ("per_page", per_page)]);
        let rows = |path: &'static str, most: &str| -> Result<Vec<Value>> {
            if number.is_empty() {
                return Ok(Vec::new());
            }
            match page.send(InnerRequest::get(path).with_query(by_number(most))) {
                Ok(found) => Ok(found.body["data"].as_array().cloned().unwrap_or_default()),
                // A number that no filter understands is nobody's.
                Err(Error::MissingPermission(_) | Error::Invalid(_)) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        };
        let found = rows("/contacts", MOST_CONTACTS)?;
        let contacts = found.iter().map(|contact| CallerContact::of(page, contact)).collect::<Result<Vec<_>>>()?;
        let customer = if contacts.is_empty() { rows("/customers", "1")?.first().cloned() } else { None };
        let calls = rows(CALLS, MOST_CALLS)?;
        let contact_id = found.first().map(|contact| plain(&contact["id"])).unwrap_or_default();
        Ok(Self {
            note: note(page, number, &contact_id, calls.first())?,
            calls: (!calls.is_empty()).then(|| table(page, &calls)).transpose()?,
            new: new_contact(page, number, customer.as_ref())?.filter(|_| contacts.is_empty()),
            customer: customer.as_ref().map(|customer| CallerCustomer::of(page, customer)).transpose()?,
            contacts,
            number: number.to_owned(),
        })
    }
}

impl CallerContact {
    fn of(page: &PageCtx<'_>, contact: &Value) -> Result<Self> {
        let contacts = page.collection("/contacts")?;
        let customer = match contact["customer_id"].as_i64() {
            Some(id) => match page.send(InnerRequest::get("/customers/{id}").at(id)) {
                Ok(customer) => Some(CallerCustomer::of(page, &customer.body)?),
                Err(Error::MissingPermission(_)) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        Ok(Self {
            name: contacts.title(contact),
            href: record_page(contacts, None, &[], &plain(&contact["id"])),
            // Often the company is the customer.
            company: Some(plain(&contact["company"]))
                .filter(|company| customer.as_ref().is_none_or(|customer| customer.name != *company))
                .unwrap_or_default(),
            comment: plain(&contact["comment"]),
            customer,
        })
    }
}

impl CallerCustomer {
    fn of(page: &PageCtx<'_>, customer: &Value) -> Result<Self> {
        let customers = page.collection("/customers")?;
        Ok(Self {
            name: customers.title(customer),
            href: record_page(customers, None, &[], &plain(&customer["id"])),
            is_vip: customer["vip"] == true,
        })
    }
}

/// The form of the call that has just begun, or for a new call.
fn note(page: &PageCtx<'_>, number: &str, contact_id: &str, last: Option<&Value>) -> Result<Option<String>> {
    let calls = page.collection(CALLS)?;
    let is_this_call = |call: &&Value| {
        let began: Option<Timestamp> = call["started_at"].as_str().and_then(|text| text.parse().ok());
        began.is_some_and(|began| page.request.now.seconds() - began.seconds() <= SAME_CALL)
    };
    if let Some(call) = last.filter(is_this_call) {
        let may = calls.update.is_some_and(|route| page.may(route));
        return Ok(may.then(|| format!("{}/edit", record_page(calls, None, &[], &plain(&call["id"])))));
    }
    let filled = [("direction", "inbound"), ("number_from", number), ("contact_id", contact_id)];
    Ok(new_record(page, calls, None, &filled.map(|(name, value)| (name, value.to_owned()))))
}

/// The form for a contact with this number, of the customer who has it.
fn new_contact(page: &PageCtx<'_>, number: &str, customer: Option<&Value>) -> Result<Option<String>> {
    let contacts = page.collection("/contacts")?;
    let customer = customer.map(|customer| plain(&customer["id"])).unwrap_or_default();
    let filled = [("phone_mobile_1", number.to_owned()), ("customer_id", customer)];
    Ok(new_record(page, contacts, None, &filled))
}

fn table(page: &PageCtx<'_>, records: &[Value]) -> Result<Table> {
    list_page::plain_table(
        page,
        page.collection(CALLS)?,
        &Place::default(),
        &CALL_COLUMNS,
        page.words().last_calls(),
        records,
    )
}

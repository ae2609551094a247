//! The page of one record: its fields, what belongs to it, and its history.

use askama::Template;
use http::StatusCode;
use serde_json::Value;
use similar::ChangeTag;

use super::audit_page::{self, Entry};
use super::catalog::{Collection, collection};
use super::display::{self, Shown};
use super::links::{Names, customer_query, new_record, record_links};
use super::list_page::{self, Table};
use super::page::{Frame, PageCtx, back};
use super::resource_page::Place;
use super::schema::FieldSpec;
use super::{pairs_of, query};
use crate::api::resource_view::{Related, Widget};
use crate::api::{ApiResponse, Error, InnerRequest, InnerResponse, Result};
use crate::pages::translations::Translations;

/// Rows of a related list.
const RELATED: &str = "10";

#[derive(Template)]
#[template(path = "console/detail.html")]
struct DetailPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    back: String,
    back_label: String,
    groups: Vec<FieldRows>,
    /// Id and times of the record.
    facts: Vec<(String, Shown)>,
    edit: Option<String>,
    delete: Option<String>,
    buttons: Vec<ActionLink>,
    related: Vec<RelatedTable>,
    history: Vec<Entry>,
    history_link: Option<String>,
}

struct FieldRows {
    label: Option<String>,
    rows: Vec<(String, Shown)>,
}

struct ActionLink {
    label: String,
    href: String,
}

struct RelatedTable {
    label: String,
    all: String,
    new: Option<String>,
    table: Table,
}

/// The record of a page, through the API.
pub fn read(page: &PageCtx<'_>, collection: &Collection, place: &Place) -> Result<InnerResponse> {
    if let Some(show) = collection.show {
        return page.send(
            place.address(InnerRequest::to(show)).with_query(customer_query(collection, place.account.as_deref())),
        );
    }
    // A list without a route for one record: the record is looked for by its id.
    Err(Error::not_found())
}

pub fn page(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let record = read(page, collection, place)?.body;
    let frame = Frame::of(page)?.following_record(collection, &record);
    let words = frame.words;
    let base = place.page(collection);
    let list_page = collection.page_of(&place.values());
    let may = |route: Option<&'static crate::api::Route>| route.is_some_and(|route| page.may(route));
    let actions = collection
        .actions
        .iter()
        .filter(|action| action.is_of_record && page.may(action.route) && display::has_values(&record, action.only_if));
    let actions =
        actions.map(|action| ActionLink { label: words.label(action.label), href: format!("{base}/{}", action.verb) });
    let copy = (may(collection.create) && collection.resource.view.is_copied).then(|| ActionLink {
        label: words.make_a_copy(),
        href: format!("{list_page}/new?{}", query(&[("from", place.id.as_deref().unwrap_or_default())])),
    });
    let links = record_links(words, collection, place, &record);
    let links = links.map(|(label, href)| ActionLink { label, href });
    let is_fixed = collection.is_fixed(&record);
    let rendered = DetailPage {
        words,
        title: if collection.is_single() { collection.plural(words) } else { collection.title(&record) },
        back: back(page).unwrap_or_else(|| list_page.clone()),
        back_label: collection.plural(words),
        groups: groups(page, collection, place, &record)?,
        facts: facts(page, collection, &record)?,
        edit: (may(collection.update) && !is_fixed).then(|| format!("{base}/edit")),
        delete: (may(collection.remove) && !is_fixed).then(|| format!("{base}/delete")),
        buttons: links.chain(shortcuts(page, collection, &record)).chain(actions).chain(copy).collect(),
        related: related(page, collection, place)?,
        history: audit_page::history(page, collection, place)?,
        history_link: audit_page::history_link(page, collection, place),
        frame: &frame,
    };
    frame.respond(page, StatusCode::OK, &rendered)
}

/// The forms for new records of other resources that start from this record.
fn shortcuts(page: &PageCtx<'_>, owner: &Collection, record: &Value) -> impl Iterator<Item = ActionLink> {
    let text = |field: &str| display::plain(display::at(record, field));
    owner.resource.view.shortcuts.iter().filter_map(move |shortcut| {
        let target = collection(page.request.layer, shortcut.path)?;
        if !display::has_values(record, shortcut.only_if) {
            return None;
        }
        let filled: Vec<_> = shortcut.fields.iter().map(|(name, field)| (*name, text(field))).collect();
        let href = new_record(page, target, None, &filled)?;
        Some(ActionLink { label: page.words().label(shortcut.label), href })
    })
}

/// Fields that every record may have. They stand below the groups.
const FACTS: [&str; 3] = ["id", "created_at", "updated_at"];

fn facts(page: &PageCtx<'_>, collection: &Collection, record: &Value) -> Result<Vec<(String, Shown)>> {
    let (words, zone, names) = (page.words(), page.zone()?, Names::default());
    let fields = FACTS.iter().filter_map(|name| collection.field(name));
    let rows = fields.map(|field| (words.label(field.label), display::shown(page, &zone, field, record, &names)));
    Ok(rows.filter(|(_, shown)| !matches!(shown, Shown::Nothing)).collect())
}

/// The fields in the groups of the view. Empty fields are left out.
fn groups(page: &PageCtx<'_>, collection: &Collection, place: &Place, record: &Value) -> Result<Vec<FieldRows>> {
    let (words, zone) = (page.words(), page.zone()?);
    let all: Vec<&FieldSpec> = collection
        .record
        .iter()
        .filter(|field| field.widget != Some(Widget::Hidden) && !FACTS.contains(&field.name.as_str()))
        .collect();
    let names = Names::of(page, &all, std::slice::from_ref(record), place.account.as_deref())?;
    let row = |field: &FieldSpec| (words.label(field.label), display::shown(page, &zone, field, record, &names));
    let is_kept = |(_, shown): &(String, Shown)| !matches!(shown, Shown::Nothing);
    let mut rest = all;
    let mut groups = Vec::new();
    for group in collection.resource.view.groups {
        let fields = group.fields.iter().filter_map(|name| collection.field(name));
        let rows: Vec<_> = fields.map(row).filter(is_kept).collect();
        rest.retain(|field| !group.fields.contains(&field.name.as_str()));
        if !rows.is_empty() {
            groups.push(FieldRows { label: Some(words.label(group.label)), rows });
        }
    }
    let rows: Vec<_> = rest.into_iter().map(row).filter(is_kept).collect();
    if !rows.is_empty() {
        groups.push(FieldRows { label: (!groups.is_empty()).then(|| words.more_fields()), rows });
    }
    Ok(groups)
}

/// The lists of what belongs to the record.
fn related(page: &PageCtx<'_>, owner: &'static Collection, place: &Place) -> Result<Vec<RelatedTable>> {
    let mut tables = Vec::new();
    for related in owner.resource.view.related {
        let Some((target, inner_place, filter)) = target(page, owner, related, place) else { continue };
        let Some(list) = target.list.filter(|route| page.may(route)) else { continue };
        if page.is_in_turn() && list.handler.executor() != crate::executors::Executor::Transaction {
            continue;
        }
        let words = page.words();
        let mut given = filter.clone();
        given.push(("per_page".into(), RELATED.into()));
        let records = list_page::read(page, target, &inner_place, &given)?;
        let linked = |field: &&FieldSpec| !filter.iter().any(|(name, _)| *name == format!("filter[{}]", field.name));
        let columns: Vec<&FieldSpec> = target.columns().into_iter().filter(linked).collect();
        let rows = list_page::rows(page, target, &inner_place, &columns, &records.rows, None)?;
        let base = target.page_of(&inner_place.values());
        let with_filter =
            |address: String| if filter.is_empty() { address } else { format!("{address}?{}", query(&filter)) };
        let prefilled = |address: String| {
            let fields = filter.iter().filter_map(|(name, value)| {
                Some((name.strip_prefix("filter[")?.strip_suffix(']')?.to_owned(), value.clone()))
            });
            let fields: Vec<_> = fields.collect();
            if fields.is_empty() { address } else { format!("{address}?{}", query(&fields)) }
        };
        tables.push(RelatedTable {
            label: words.label(related.label),
            all: with_filter(base.clone()),
            new: target.create.filter(|route| page.may(route)).map(|_| prefilled(format!("{base}/new"))),
            table: Table {
                caption: words.label(related.label),
                columns: list_page::heads(words, &columns),
                rows,
                bulk: None,
                previous: None,
                next: records.next.map(|_| with_filter(base)),
                all: None,
            },
        });
    }
    Ok(tables)
}

/// A list, its place, and its filters.
pub type RelatedList = (&'static Collection, Place, Vec<(String, String)>);

/// The list that a related entry names, and how it is filtered.
pub fn target(page: &PageCtx<'_>, owner: &Collection, related: &Related, place: &Place) -> Option<RelatedList> {
    let target = collection(page.request.layer, related.path)?;
    let id = place.id.clone().unwrap_or_default();
    let mut inner = Place { account: place.account.clone(), parents: Vec::new(), id: None };
    if target.names_customer && inner.account.is_none() {
        inner.account = account_of(page, owner, place);
        inner.account.as_ref()?;
    }
    let mut filters = pairs_of(related.fixed_query);
    match related.filter {
        "" => inner.parents = place.parents.iter().cloned().chain([id]).collect(),
        // The place has the account already.
        "customer_account" => {}
        filter => filters.push((format!("filter[{filter}]"), id)),
    }
    Some((target, inner, filters))
}

/// The account of the customer that this page shows.
fn account_of(page: &PageCtx<'_>, owner: &Collection, place: &Place) -> Option<String> {
    let record = read(page, owner, place).ok()?.body;
    record["customer_account"].as_str().map(str::to_owned)
}

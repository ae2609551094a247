//! The list of a collection: filters in the address, a table, and pages by cursor.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::catalog::{Collection, FilterInput};
use super::chart::Chart;
use super::display::{self, Shown};
use super::links::{Names, customer_query, record_links, record_page};
use super::list_chart;
use super::page::{Frame, PageCtx, accepts_part};
use super::resource_page::Place;
use super::schema::{FieldSpec, FieldType};
use super::texts::choice_label;
use super::{pairs_of, query, within_sentence};
use crate::api::resource_view::Widget;
use crate::api::{ApiResponse, Error, InnerRequest, Result};
use crate::pages::translations::Translations;

/// Records of a page.
const PER_PAGE: &str = "25";

/// Records are counted up to here. More are "more than 1,000".
const COUNTED_TO: i64 = 1001;

/// Parameters of the page that the API does not know.
const OF_THE_PAGE: [&str; 5] = ["cols", "back", "done", "part", "per_page"];

#[derive(Template)]
#[template(path = "console/list.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    context: Option<(String, String)>,
    count: Option<String>,
    purpose: Option<String>,
    chart: Option<Chart>,
    table: Table,
    search: Option<SearchBox>,
    hidden: Vec<(String, String)>,
    chips: Vec<Chip>,
    filters: Vec<FilterField>,
    is_filtered: bool,
    filters_open: bool,
    clear: String,
    problems: Vec<String>,
    new: Option<String>,
    new_label: String,
    exports: Vec<(&'static str, String)>,
    buttons: Vec<(String, String)>,
}

/// Rows with their columns.
pub struct Table {
    pub caption: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// Where ticked rows are sent. `None` if rows cannot be ticked.
    pub bulk: Option<String>,
    pub previous: Option<String>,
    pub next: Option<String>,
    /// The link to delete all rows of the filter, and its text.
    pub all: Option<(String, String)>,
}

/// Columns that a narrow page shows. The others are a second line in the first of them.
const NARROW: usize = 3;

impl Row {
    pub fn rest(&self) -> impl Iterator<Item = &Shown> {
        self.cells.iter().skip(NARROW).filter(|cell| !matches!(cell, Shown::Nothing))
    }
}

impl Table {
    pub fn has_actions(&self) -> bool {
        self.rows.iter().any(|row| !row.actions.is_empty())
    }
}

pub struct Column {
    pub label: String,
    /// The address that sorts by the column.
    pub sort: Option<String>,
    /// The value of `aria-sort`.
    pub sorted: Option<&'static str>,
    pub is_number: bool,
}

pub struct Row {
    pub id: String,
    pub href: Option<String>,
    pub title: String,
    pub cells: Vec<Shown>,
    /// Whether the row may be deleted.
    pub is_deletable: bool,
    /// What can be done with a record that has no page: label and address.
    pub actions: Vec<(String, String)>,
}

struct SearchBox {
    name: String,
    value: String,
    label: String,
}

struct Chip {
    label: String,
    href: String,
    is_on: bool,
    /// The filters that the chip sets.
    names: Vec<String>,
}

struct FilterField {
    id: String,
    name: String,
    label: String,
    value: String,
    /// The end of a range of days.
    until: String,
    /// Whether the ends of the range are times.
    has_times: bool,
    kind: &'static str,
    options: Vec<(String, String, bool)>,
}

/// A page of the list.
pub fn page(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let is_for_script = accepts_part(page, "options");
    let reads = if is_for_script { read } else { read_counted };
    let read = reads(page, collection, place, &pairs_of(&page.request.query));
    let (records, problems) = match read {
        Ok(records) => (records, Vec::new()),
        Err(error @ Error::Invalid(_)) => (Records::default(), page.words().problems(&error)),
        Err(error) => return Err(error),
    };
    if is_for_script {
        return options(page, collection, &records);
    }
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = Frame::of(page)?.following_list(page, collection);
    let words = frame.words;
    let given = pairs_of(&page.request.query);
    let chart = if records.rows.is_empty() { None } else { list_chart::chart(page, collection, &given)? };
    let table = table(page, collection, place, &records)?;
    let is_filtered = given.iter().any(|(name, value)| name.starts_with("filter[") && !value.is_empty());
    let chips = chips(page, collection, &given)?;
    let of_chips = |name: &str| chips.iter().any(|chip| chip.is_on && chip.names.iter().any(|known| known == name));
    let search = collection.search().map(|filter| SearchBox {
        name: filter.parameter.clone(),
        value: value_of(&given, &filter.parameter),
        label: words.search_in(&within_sentence(&collection.plural(words))),
    });
    let in_search = |name: &str| search.as_ref().is_some_and(|search| search.name == name);
    let filters_open = given
        .iter()
        .any(|(name, value)| name.starts_with("filter[") && !value.is_empty() && !in_search(name) && !of_chips(name));
    let create = collection.create.filter(|route| page.may(route));
    let base = collection.page_of(&place.values());
    let exports = collection.export.filter(|route| page.may(route)).map(|_| {
        let address = |format: &str| {
            let mut kept = filters_of(&given);
            kept.push(("format".into(), format.into()));
            format!("{base}/export?{}", query(&kept))
        };
        vec![("CSV", address("csv")), ("JSON", address("json"))]
    });
    let actions = collection.actions.iter().filter(|action| !action.is_of_record && page.may(action.route));
    let of_list = actions.map(|action| (words.label(action.label), format!("{base}/{}", action.verb)));
    let for_many = collection
        .actions
        .iter()
        .filter(|action| action.is_for_many && page.may(action.route) && !records.rows.is_empty());
    let for_many = for_many.map(|action| {
        let address = format!("{base}/bulk/{}?{}", action.verb, query(&filters_of(&given)));
        (words.action_for_all(&words.label(action.label)), address)
    });
    let links = collection.resource.view.list_links.iter().filter(|link| page.has_permission(link.permission));
    let links = links.map(|link| (words.label(link.label), link.page.to_owned()));
    let import = collection.import.filter(|route| page.may(route));
    let import = import.map(|_| (words.import(), format!("{base}/import")));
    let buttons = links.chain(import).chain(of_list).chain(for_many).collect();
    let purpose = words.label(collection.resource.view.purpose);
    let filters = filters(words, collection, &given);
    let rendered = ListPage {
        words,
        title: collection.plural(words),
        context: place.context(page, collection)?,
        count: records.count_in_words(words),
        purpose: (!purpose.is_empty()).then_some(purpose),
        chart,
        table,
        search,
        hidden: given.iter().filter(|(name, _)| name == "sort").cloned().collect(),
        chips,
        filters,
        is_filtered,
        filters_open,
        clear: base.clone(),
        problems,
        new: create.map(|_| format!("{base}/new")),
        new_label: words.new_record(&collection.singular(words)),
        exports: exports.unwrap_or_default(),
        buttons,
        frame: &frame,
    };
    frame.respond(page, status, &rendered)
}

/// The records of a list, and what is known about their number.
#[derive(Default)]
pub struct Records {
    pub rows: Vec<Value>,
    pub next: Option<String>,
    pub previous: Option<String>,
    /// `counted_to` means at least that many. A list with pages has a count only if it was asked for.
    pub count: Option<i64>,
    counted_to: i64,
}

impl Records {
    pub fn count_in_words(&self, words: Translations) -> Option<String> {
        self.count.map(|count| display::count_to(words, count, self.counted_to))
    }
}

/// Reads a page of the list through the API, and counts the records.
pub fn read_counted(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    given: &[(String, String)],
) -> Result<Records> {
    read_counted_to(page, collection, place, given, COUNTED_TO)
}

/// The same, but counts to another limit.
pub fn read_counted_to(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    given: &[(String, String)],
    limit: i64,
) -> Result<Records> {
    let mut given = given.to_vec();
    if collection.has_pages {
        given.push(("count_to".into(), limit.to_string()));
    }
    Ok(Records { counted_to: limit, ..read(page, collection, place, &given)? })
}

/// Reads a page of the list through the API.
pub fn read(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    given: &[(String, String)],
) -> Result<Records> {
    let list = collection.list.ok_or_else(Error::not_found)?;
    let mut sent: Vec<(String, String)> =
        given.iter().filter(|(name, _)| !OF_THE_PAGE.contains(&name.as_str())).cloned().collect();
    let asked = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    if collection.has_pages {
        if asked("cursor").is_none() {
            sent.push(("cursor".into(), String::new()));
        }
        sent.push(("per_page".into(), asked("per_page").unwrap_or_else(|| PER_PAGE.into())));
    }
    if let Some(account) = place.account.as_ref().filter(|_| collection.names_customer) {
        sent.push(("customer_account".into(), account.clone()));
    }
    let mut inner = InnerRequest::to(list).with_query(query(&sent));
    for parent in &place.parents {
        inner = inner.at(parent);
    }
    let body = page.send(inner)?.body;
    if let Value::Array(rows) = body {
        let count = i64::try_from(rows.len()).ok();
        return Ok(Records { rows, count, counted_to: COUNTED_TO, ..Records::default() });
    }
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    Ok(Records {
        rows: body["data"].as_array().cloned().unwrap_or_default(),
        next: text("next_cursor"),
        previous: text("prev_cursor"),
        count: body["count"].as_i64(),
        counted_to: COUNTED_TO,
    })
}

/// The table of these records.
fn table(page: &PageCtx<'_>, collection: &'static Collection, place: &Place, records: &Records) -> Result<Table> {
    let words = page.words();
    let given = pairs_of(&page.request.query);
    let mut columns = collection.columns();
    if let Some(chosen) = given.iter().find(|(name, _)| name == "cols") {
        let chosen: Vec<&FieldSpec> = chosen.1.split(',').filter_map(|name| collection.field(name)).collect();
        if !chosen.is_empty() {
            columns = chosen;
        }
    }
    let sort = value_of(&given, "sort");
    let base = collection.page_of(&place.values());
    let with = |changes: &[(&str, Option<&str>)]| {
        let mut kept: Vec<(String, String)> = given
            .iter()
            .filter(|(name, _)| name != "done" && !changes.iter().any(|(changed, _)| changed == name))
            .cloned()
            .collect();
        kept.extend(changes.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned()))));
        if kept.is_empty() { base.clone() } else { format!("{base}?{}", query(&kept)) }
    };
    let heads = columns.iter().map(|field| {
        let down = format!("-{}", field.name);
        let sorted = (sort == field.name).then_some("ascending").or((sort == down).then_some("descending"));
        let next = if sorted == Some("ascending") { down } else { field.name.clone() };
        Column {
            label: words.label(field.label),
            sort: collection.sorts.contains(&field.name).then(|| with(&[("sort", Some(&next)), ("cursor", None)])),
            sorted,
            is_number: is_number(field),
        }
    });
    let heads = heads.collect();
    // Rows that do not say whether they may be deleted are deleted one by one.
    let says_so = |flag| records.rows.iter().all(|row| row.get(flag).is_some());
    let can_delete =
        collection.remove.is_some_and(|route| page.may(route)) && collection.resource.view.fixed_if.is_none_or(says_so);
    let total = records.count.unwrap_or_default();
    let more = records.next.is_some() || records.previous.is_some();
    let all = (can_delete && more && total > 0).then(|| {
        let mut kept = filters_of(&given);
        kept.push(("all".into(), "1".into()));
        let number = records.count_in_words(words).unwrap_or_else(|| display::count(words, total));
        (format!("{base}/bulk?{}", query(&kept)), words.all_of_this_filter(&number))
    });
    let rows = rows(page, collection, place, &columns, &records.rows, Some(&page.request.query))?;
    Ok(Table {
        caption: collection.plural(words),
        columns: heads,
        rows,
        bulk: can_delete.then(|| format!("{base}/bulk")),
        previous: records.previous.as_deref().map(|cursor| with(&[("cursor", Some(cursor))])),
        next: records.next.as_deref().map(|cursor| with(&[("cursor", Some(cursor))])),
        all,
    })
}

/// A table of some records that stands on another page: no sorting, no selection, no other pages.
pub fn plain_table(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    columns: &[&str],
    caption: String,
    records: &[Value],
) -> Result<Table> {
    let columns: Vec<&FieldSpec> = columns.iter().filter_map(|name| collection.field(name)).collect();
    Ok(Table {
        caption,
        columns: heads(page.words(), &columns),
        rows: rows(page, collection, place, &columns, records, None)?,
        bulk: None,
        previous: None,
        next: None,
        all: None,
    })
}

/// The heads of columns that do not sort.
pub fn heads(words: Translations, columns: &[&FieldSpec]) -> Vec<Column> {
    let head = |field: &&FieldSpec| Column {
        label: words.label(field.label),
        sort: None,
        sorted: None,
        is_number: is_number(field),
    };
    columns.iter().map(head).collect()
}

fn is_number(field: &FieldSpec) -> bool {
    matches!(field.kind, FieldType::Integer | FieldType::Number) && !field.widget.is_some_and(Widget::is_link)
}

/// The rows of a table. Each links to its record, which leads back here.
pub fn rows(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    columns: &[&FieldSpec],
    records: &[Value],
    back: Option<&str>,
) -> Result<Vec<Row>> {
    let zone = page.zone()?;
    let names = Names::of(page, columns, records, place.account.as_deref())?;
    let words = page.words();
    let has_page = collection.show.is_some_and(|route| page.may(route));
    let actions: Vec<(String, &str)> = if collection.show.is_some() {
        Vec::new()
    } else {
        let own = collection.actions.iter().filter(|action| action.is_of_record && page.may(action.route));
        let own = own.map(|action| (words.label(action.label), action.verb));
        own.chain(collection.remove.filter(|route| page.may(route)).map(|_| (words.delete(), "delete"))).collect()
    };
    let back = back.map(|query| {
        let path = collection.page_of(&place.values());
        if query.is_empty() { path } else { format!("{path}?{query}") }
    });
    let rows = records.iter().map(|record| {
        let id = display::plain(&record["id"]);
        let address = record_page(collection, place.account.as_deref(), &place.parents, &id);
        let href = has_page.then(|| match &back {
            Some(back) if back.contains('?') => format!("{address}?{}", query(&[("back", back)])),
            _ => address.clone(),
        });
        Row {
            href,
            title: collection.title(record),
            cells: columns.iter().map(|field| display::shown(page, &zone, field, record, &names)).collect(),
            is_deletable: !collection.is_fixed(record),
            actions: {
                let own = actions.iter().map(|(label, verb)| (label.clone(), format!("{address}/{verb}")));
                let at = Place { id: Some(id.clone()), ..place.clone() };
                own.chain(record_links(words, collection, &at, record)).collect()
            },
            id,
        }
    });
    Ok(rows.collect())
}

/// The records as options of a text box, for the script.
fn options(page: &PageCtx<'_>, collection: &Collection, records: &Records) -> Result<ApiResponse> {
    let options = records.rows.iter().map(|record| {
        let (id, name) = (display::plain(&record["id"]), collection.title(record));
        serde_json::json!({"id": id, "name": name})
    });
    crate::api::IntoResponse::into_response(crate::api::Json200(options.collect()), page.request)
}

/// The filters of one click.
fn chips(page: &PageCtx<'_>, collection: &Collection, given: &[(String, String)]) -> Result<Vec<Chip>> {
    let words = page.words();
    let mut chips = Vec::new();
    for filter in collection.resource.view.quick_filters {
        let wanted = filter.query.replace("{today}", &page.days_ago(0)?);
        let wanted = pairs_of(&wanted);
        let is_on = wanted.iter().all(|pair| given.contains(pair));
        let names: Vec<&String> = wanted.iter().map(|(name, _)| name).collect();
        let mut kept: Vec<(String, String)> = given
            .iter()
            .filter(|(name, _)| !names.contains(&name) && !["cursor", "done"].contains(&name.as_str()))
            .cloned()
            .collect();
        if !is_on {
            kept.extend(wanted.iter().cloned());
        }
        let href = format!("?{}", query(&kept));
        let names = names.into_iter().cloned().collect();
        chips.push(Chip { label: words.label(filter.label), href, is_on, names });
    }
    Ok(chips)
}

fn filters(words: Translations, collection: &Collection, given: &[(String, String)]) -> Vec<FilterField> {
    let searched = collection.search().map(|filter| filter.parameter.clone());
    let shown = collection.filters.iter().filter(|filter| Some(&filter.parameter) != searched.as_ref());
    let fields = shown.enumerate().map(|(place, filter)| {
        let value = value_of(given, &filter.parameter);
        let option = |(stored, label): (String, String)| {
            let is_chosen = stored == value;
            (stored, label, is_chosen)
        };
        let (kind, options) = match &filter.kind {
            FilterInput::Text => ("text", Vec::new()),
            FilterInput::Number => ("number", Vec::new()),
            FilterInput::Days => ("days", Vec::new()),
            FilterInput::Flag => {
                let both = [("1".to_owned(), words.yes()), ("0".to_owned(), words.no())];
                ("choice", both.into_iter().map(option).collect())
            }
            FilterInput::Choice(choices) => {
                let all = choices.iter().map(|value| (value.clone(), choice_label(words, &filter.field, value)));
                ("choice", all.map(option).collect())
            }
        };
        let is_range = filter.kind == FilterInput::Days;
        let bound = |operator: &str| value_of(given, &format!("{}[{operator}]", filter.parameter));
        let on = bound("on");
        let value = if is_range { if on.is_empty() { bound("gte") } else { on.clone() } } else { value };
        let until = if is_range { if on.is_empty() { bound("lte") } else { on } } else { String::new() };
        FilterField {
            id: format!("f{place}"),
            name: filter.parameter.clone(),
            label: words.label(filter.label),
            has_times: value.len().max(until.len()) > "2027-03-29".len(),
            value,
            until,
            kind,
            options,
        }
    });
    fields.collect()
}

/// The parameters that choose records.
pub fn filters_of(given: &[(String, String)]) -> Vec<(String, String)> {
    let chooses = |name: &str| name.starts_with("filter[") || name == "sort";
    given.iter().filter(|(name, value)| chooses(name) && !value.is_empty()).cloned().collect()
}

pub fn value_of(given: &[(String, String)], name: &str) -> String {
    given.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// The number of records that a query finds, in words.
pub fn count(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    filter: &[(String, String)],
) -> Result<(i64, String)> {
    let mut given = filter.to_vec();
    given.push(("per_page".into(), "1".into()));
    let records = read_counted(page, collection, place, &given)?;
    let count = records.count.unwrap_or_default();
    Ok((count, records.count_in_words(page.words()).unwrap_or_default()))
}

/// A file with the records that the filters choose.
pub fn export(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let export = collection.export.ok_or_else(Error::not_found)?;
    let mut sent = filters_of(&pairs_of(&page.request.query));
    sent.push(("format".into(), page.query("format").unwrap_or_else(|| "csv".into())));
    let account = customer_query(collection, place.account.as_deref());
    sent.extend(pairs_of(&account));
    page.send_for_stream(InnerRequest::to(export).with_query(query(&sent)))
}

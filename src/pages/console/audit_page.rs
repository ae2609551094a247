//! The audit log: when, who, which record, and for each field the old and the new value.

use askama::Template;
use http::StatusCode;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::catalog::{Collection, collection, collections};
use super::display::{self, Shown, plain};
use super::links::record_page;
use super::list_page;
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use super::schema::FieldType;
use super::texts::{choice_label, verb_label};
use super::{pairs_of, query};
use crate::api::resource_view::Widget;
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::{Translations, common_label};

pub const ROUTES: &[Route] =
    &[get("/ui/audit-log", &run(page), Needs::Permission("audit.view"), "Show the audit log as a page")];

/// Entries on the page of a record.
const RECENT: &str = "5";

/// A change on a page.
pub struct Entry {
    pub at: Shown,
    pub who: String,
    pub what: String,
    pub record: Option<(String, String)>,
    pub address: String,
    pub changes: Vec<Change>,
}

/// A field before and after.
pub struct Change {
    pub label: String,
    pub before: String,
    pub after: String,
}

/// From this length on, the words of a text are compared.
const LONG: usize = 60;

/// Characters of a value on the page. More words would also take long to compare.
const MOST: usize = 1_000;

/// A part of a text that was changed.
pub struct DiffPart {
    pub tag: ChangeTag,
    pub text: String,
}

impl Change {
    /// The words that were added, removed and kept, if both texts are long.
    pub fn words(&self) -> Vec<DiffPart> {
        if self.before.len() < LONG || self.after.len() < LONG {
            return Vec::new();
        }
        let diff = TextDiff::from_unicode_words(&self.before, &self.after);
        let parts = diff.iter_all_changes();
        parts.map(|part| DiffPart { tag: part.tag(), text: part.value().to_owned() }).collect()
    }
}

#[derive(Template)]
#[template(path = "console/audit.html")]
struct AuditPage<'a> {
    frame: &'a Frame,
    words: Translations,
    entries: Vec<Entry>,
    count: Option<String>,
    chips: Vec<(String, String, bool)>,
    resources: Vec<(String, String, bool)>,
    actor: String,
    from: String,
    until: String,
    is_filtered: bool,
    hidden: Vec<(String, String)>,
    previous: Option<String>,
    next: Option<String>,
    problems: Vec<String>,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let audit = log(&page)?;
    let given = pairs_of(&page.request.query);
    let place = Place::default();
    let (records, problems) = match list_page::read_counted(&page, audit, &place, &given) {
        Ok(records) => (records, Vec::new()),
        Err(error @ Error::Invalid(_)) => (list_page::Records::default(), page.words().problems(&error)),
        Err(error) => return Err(error),
    };
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let with = |changes: &[(&str, Option<String>)]| {
        let mut kept: Vec<(String, String)> =
            given.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name)).cloned().collect();
        kept.extend(changes.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))));
        format!("/ui/audit-log?{}", query(&kept))
    };
    let value = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let today = page.days_ago(0)?;
    let chip = |label: String, name: &str, wanted: String| {
        let is_on = value(name).as_deref() == Some(&wanted);
        (label, with(&[(name, (!is_on).then_some(wanted)), ("cursor", None)]), is_on)
    };
    let mut chips = vec![chip(words.today(), "filter[at][on]", today)];
    if let crate::auth::Caller::Principal(principal) = page.caller
        && let Some(me) = principal.user_id()
    {
        chips.push(chip(words.by_me(), "filter[actor_id]", me.to_string()));
    }
    chips.push(chip(words.deletions(), "filter[action]", "deleted".into()));
    let chosen = value("filter[resource]").unwrap_or_default();
    let resources = crate::workspace::RECORDED_NAMES
        .iter()
        .map(|name| (choice_label(words, "resource", name), (*name).to_owned(), *name == chosen));
    let mut resources: Vec<_> = resources.collect();
    resources.sort();
    let entries = records.rows.iter().map(|row| entry(&page, row)).collect::<Result<_>>()?;
    let cursor = |cursor: &Option<String>| cursor.clone().map(|cursor| with(&[("cursor", Some(cursor))]));
    let rendered = AuditPage {
        words,
        entries,
        count: records.count.map(|count| display::count(words, count)),
        chips,
        resources,
        actor: value("filter[actor_name]").unwrap_or_default(),
        from: value("filter[at][gte]").unwrap_or_default(),
        until: value("filter[at][lte]").unwrap_or_default(),
        is_filtered: given.iter().any(|(name, value)| name.starts_with("filter[") && !value.is_empty()),
        hidden: given.iter().filter(|(name, _)| name == "filter[resource_id]" || name == "sort").cloned().collect(),
        previous: cursor(&records.previous),
        next: cursor(&records.next),
        problems,
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

fn log(page: &PageCtx<'_>) -> Result<&'static Collection> {
    collection(page.request.layer, "/audit-log").ok_or_else(Error::not_found)
}

/// An entry of the log. Values have the labels of their fields.
fn entry(page: &PageCtx<'_>, row: &Value) -> Result<Entry> {
    let (words, zone) = (page.words(), page.zone()?);
    let resource = plain(&row["resource"]);
    let owner = owner_of(page, &resource);
    let id = plain(&row["resource_id"]);
    let action = plain(&row["action"]);
    let verb = action.rsplit('.').next().unwrap_or_default();
    let name = |name: &str| owner.and_then(|owner| owner.label_of(name)).map(|label| words.label(label));
    let value = |field: &str, value: &Value| {
        let kind = owner.and_then(|owner| owner.field(field)).map(|field| &field.kind);
        match (kind, value) {
            (_, Value::Null) => String::new(),
            (Some(FieldType::Flag), _) | (_, Value::Bool(_)) => {
                if *value == true || *value == 1 {
                    words.yes()
                } else {
                    words.no()
                }
            }
            (Some(FieldType::Choice(_) | FieldType::NumberChoice(_)), _) => choice_label(words, field, &plain(value)),
            (Some(FieldType::Moment), Value::String(text)) => match display::moment(words, &zone, text) {
                Shown::Time { text, .. } => text,
                _ => text.clone(),
            },
            _ => {
                let is_link = owner
                    .and_then(|owner| owner.field(field))
                    .is_some_and(|field| field.widget.is_some_and(Widget::is_link));
                if is_link { format!("#{value}") } else { plain(value) }
            }
        }
    };
    let changes = row["changes"].as_object().into_iter().flatten().map(|(field, both)| Change {
        label: name(field).or_else(|| common_label(field, words)).unwrap_or_else(|| field.replace('_', " ")),
        before: shortened(value(field, &both[0])),
        after: shortened(value(field, &both[1])),
    });
    let linked = owner.filter(|owner| owner.show.is_some() && !owner.names_customer && owner.parents() == 0);
    let label = choice_label(words, "resource", &resource);
    let text = if id.is_empty() { label } else { format!("{label} #{id}") };
    let record = match linked {
        Some(owner) if !id.is_empty() && verb != "deleted" => (record_page(owner, None, &[], &id), text),
        _ => (String::new(), text),
    };
    Ok(Entry {
        at: display::moment(words, &zone, &plain(&row["at"])),
        who: plain(&row["actor"]),
        what: verb_label(words, verb),
        record: Some(record),
        address: plain(&row["address"]),
        changes: changes.collect(),
    })
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The collection of the records that the audit log calls by this name.
fn owner_of(page: &PageCtx<'_>, resource: &str) -> Option<&'static Collection> {
    collections(page.request.layer)
        .iter()
        .find(|collection| collection.resource.recorded.iter().any(|recorded| recorded.name == resource))
}

/// The last changes of a record, if the person may see them.
pub fn history(page: &PageCtx<'_>, owner: &Collection, place: &Place) -> Result<Vec<Entry>> {
    let Some(filter) = filter_of(page, owner, place) else { return Ok(Vec::new()) };
    let list = log(page)?.list.ok_or_else(Error::not_found)?;
    let mut sent = filter;
    sent.extend([("cursor".into(), String::new()), ("per_page".into(), RECENT.into())]);
    let found = page.send(InnerRequest::to(list).with_query(query(&sent)))?.body;
    found["data"].as_array().into_iter().flatten().map(|row| entry(page, row)).collect()
}

/// The address of all changes of a record.
pub fn history_link(page: &PageCtx<'_>, owner: &Collection, place: &Place) -> Option<String> {
    filter_of(page, owner, place).map(|filter| format!("/ui/audit-log?{}", query(&filter)))
}

/// Who changed a record last, and when, in words.
pub fn last_change(page: &PageCtx<'_>, owner: &Collection, place: &Place) -> Result<Option<String>> {
    let history = history(page, owner, place)?;
    Ok(history.into_iter().next().map(|entry| match entry.at {
        Shown::Time { text, .. } => page.words().changed_by(&entry.who, &text),
        _ => entry.who,
    }))
}

fn filter_of(page: &PageCtx<'_>, owner: &Collection, place: &Place) -> Option<Vec<(String, String)>> {
    if page.request.layer != crate::api::Layer::Workspace {
        return None;
    }
    log(page).ok()?.list.filter(|route| page.may(route))?;
    let name = owner.resource.recorded.first()?.name;
    let mut filter = vec![("filter[resource]".to_owned(), name.to_owned())];
    match &place.id {
        Some(id) => filter.push(("filter[resource_id]".into(), id.clone())),
        None if owner.is_single() => {}
        None => return None,
    }
    Some(filter)
}

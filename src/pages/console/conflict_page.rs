//! Two people changed the same record. Fields that only one of them changed are saved. For the others, the person
//! chooses.

use askama::Template;
use http::StatusCode;
use serde_json::{Map, Value};

use super::audit_page;
use super::catalog::Collection;
use super::detail_page;
use super::display::plain;
use super::form::{FormState, Typed, typed_of, value_in};
use super::form_page::{self, done, names, save};
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use crate::api::{ApiResponse, Error, Result};
use crate::pages::translations::Translations;

/// Begins the name of an input that chooses between two values of a field: `theirs` or `mine`. The name of the field
/// follows.
pub const KEPT: &str = "keep:";

/// How often a change is sent again, if the record changes all the time.
const MOST_TRIES: usize = 3;

#[derive(Template)]
#[template(path = "console/conflict.html")]
struct ConflictPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    by: Option<String>,
    action: String,
    cancel: String,
    hidden: Vec<(String, String)>,
    choices: Vec<Choice>,
}

/// A field that both changed.
struct Choice {
    label: String,
    old: String,
    theirs: String,
    mine: String,
    /// The name of the input.
    name: String,
}

/// Saves what is in no conflict with the record as it is now, or asks.
pub fn resolve(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    form: FormState,
    body: &Value,
) -> Result<ApiResponse> {
    let mut form = form;
    for _ in 0..MOST_TRIES {
        let now = detail_page::read(page, collection, place)?;
        let changed = body.as_object().cloned().unwrap_or_default();
        let conflicts: Vec<&String> = changed
            .iter()
            .filter(|(name, mine)| is_conflict(collection, &form.base, &now.body, name, mine))
            .map(|(name, _)| name)
            .collect();
        if !conflicts.is_empty() {
            return ask(page, collection, place, &form, &now.body, now.etag, &conflicts);
        }
        let differs = |(name, mine): &(String, Value)| value_in(&now.body, name) != mine;
        let rest: Map<String, Value> = changed.into_iter().filter(differs).collect();
        if rest.is_empty() {
            return done(page, collection, place, &now.body, "changed");
        }
        match save(page, collection, place, &Value::Object(rest), now.etag.as_deref()) {
            Ok(made) => return done(page, collection, place, &made, "merged"),
            Err(Error::PreconditionFailed) => form.state = now.etag,
            Err(error) => return Err(error),
        }
    }
    Err(Error::PreconditionFailed)
}

/// Whether somebody else changed the field to another value.
fn is_conflict(collection: &Collection, base: &Value, now: &Value, name: &str, mine: &Value) -> bool {
    let (old, now) = (value_in(base, name), value_in(now, name));
    let differs = |old: &Value, now: &Value, mine: &Value| old != now && now != mine;
    let is_nested = collection.change.iter().any(|field| field.name.split_once('.').is_some_and(|(of, _)| of == name));
    match mine {
        Value::Object(mine) if is_nested => mine.iter().any(|(inner, mine)| differs(&old[inner], &now[inner], mine)),
        _ => differs(old, now, mine),
    }
}

/// The page with one choice for each field. The form behind it has the present state of the record.
fn ask(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    form: &FormState,
    now: &Value,
    etag: Option<String>,
    conflicts: &[&String],
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let zone = page.zone()?;
    let present = form_page::form_of(page, collection, place, now, etag)?;
    let old_names = names(page, &collection.change, &form.base, place)?;
    let mut hidden = vec![
        ("once".to_owned(), present.once.clone()),
        ("base".to_owned(), present.base.to_string()),
        ("state".to_owned(), present.state.clone().unwrap_or_default()),
    ];
    let mut choices = Vec::new();
    for field in &collection.change {
        let Some(mine) = form.typed.get(&field.name) else { continue };
        let theirs = present.typed.get(&field.name).cloned().unwrap_or(Typed::One(String::new()));
        let old = typed_of(field, &form.base, &zone, &old_names);
        let top = field.name.split('.').next().unwrap_or_default();
        if conflicts.iter().any(|name| *name == top) && *mine != old && *mine != theirs {
            choices.push(Choice {
                label: words.label(field.label),
                old: text_of(&old),
                theirs: text_of(&theirs),
                mine: text_of(mine),
                name: format!("{KEPT}{}", field.name),
            });
            hidden.extend(inputs(&field.name, mine));
        } else {
            // Of the other fields, the change of this person stays.
            hidden.extend(inputs(&field.name, if *mine == old { &theirs } else { mine }));
        }
    }
    let record = place.page(collection);
    let rendered = ConflictPage {
        words,
        title: collection.title(now),
        by: audit_page::last_change(page, collection, place)?,
        action: format!("{record}/edit"),
        cancel: record,
        hidden,
        choices,
        frame: &frame,
    };
    frame.respond(page, StatusCode::CONFLICT, &rendered)
}

/// A value of a form as one text.
pub fn text_of(typed: &Typed) -> String {
    match typed {
        Typed::One(text) => text.clone(),
        Typed::Many(items) => items.join(", "),
        Typed::Pairs(pairs) => {
            pairs.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
        }
    }
}

/// A field as the inputs of a form send it.
pub fn inputs(name: &str, typed: &Typed) -> Vec<(String, String)> {
    match typed {
        Typed::One(text) => vec![(name.to_owned(), text.clone())],
        Typed::Many(items) => {
            let none = (format!("{name}[none]"), "1".to_owned());
            let lines = (name.to_owned(), items.join("\n"));
            [none, lines]
                .into_iter()
                .chain(items.iter().map(|item| (format!("{name}[]"), plain(&Value::from(item.as_str())))))
                .collect()
        }
        // The last pair is empty: it states that the form has the field, also without pairs.
        Typed::Pairs(pairs) => pairs
            .iter()
            .chain([&(String::new(), String::new())])
            .flat_map(|(key, value)| {
                [(format!("{name}[name]"), key.clone()), (format!("{name}[value]"), value.clone())]
            })
            .collect(),
    }
}

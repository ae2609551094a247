//! Pages to create and to change a record.

use std::collections::HashMap;

use askama::Template;
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::affected_records::AffectedRecords;
use super::catalog::Collection;
use super::conflict_page;
use super::detail_page;
use super::form::{self, FormState, InputGroup, InputKind, Problem, Typed, value_in};
use super::links::{Names, customer_query, query_with};
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use super::schema::{FieldSpec, FieldType};
use super::secret_page;
use super::{pairs_of, query};
use crate::api::{ApiResponse, Error, InnerRequest, IntoResponse, Redirect, Result, form_pairs};
use crate::pages::translations::Translations;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Template)]
#[template(path = "console/form.html")]
pub struct FormPage<'a> {
    pub frame: &'a Frame,
    pub words: Translations,
    pub title: String,
    pub about: Option<String>,
    pub action: String,
    pub button: String,
    pub is_danger: bool,
    pub cancel: String,
    pub groups: Vec<InputGroup>,
    /// The hidden fields of the form.
    pub hidden: Vec<(&'static str, String)>,
    /// Each with the id of its input, if the form has it.
    pub problems: Vec<(Option<String>, String)>,
    /// The records that the form changes besides its own.
    pub affected: Vec<AffectedRecords>,
}

/// An empty form. The query fills fields in.
pub fn new(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let base = blank(collection);
    let zone = page.zone()?;
    let mut record = base.clone();
    if let Some(from) = page.query("from") {
        let from = Place { id: Some(from), ..place.clone() };
        let copied = detail_page::read(page, collection, &from)?.body;
        for field in &collection.creation {
            record[field.name.as_str()] = value_in(&copied, &field.name).clone();
        }
    }
    for (name, value) in pairs_of(&page.request.query) {
        if let Some(field) = collection.creation.iter().find(|field| field.name == name) {
            record[field.name.as_str()] = match field.kind {
                FieldType::Integer => value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number)),
                FieldType::List(_) => {
                    let known = record[field.name.as_str()].as_array().cloned().unwrap_or_default();
                    let items = value.split(',').filter(|item| !item.is_empty()).map(Value::from);
                    known.into_iter().chain(items).collect()
                }
                _ => json!(value),
            };
        }
    }
    let names = names(page, &collection.creation, &record, place)?;
    let typed =
        collection.creation.iter().map(|field| (field.name.clone(), form::typed_of(field, &record, &zone, &names)));
    let typed = typed.collect();
    let form = FormState::opened(typed, base, None)?;
    show_new(page, collection, place, &form, StatusCode::OK)
}

fn show_new(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    form: &FormState,
    status: StatusCode,
) -> Result<ApiResponse> {
    let words = page.words();
    let list = collection.page_of(&place.values());
    let singular = collection.singular(words);
    let title = words.new_record(&singular);
    let facts = FormFacts {
        title,
        action: format!("{list}/new"),
        button: words.create(),
        cancel: list,
        ..FormFacts::default()
    };
    show(page, collection, &collection.creation, place, form, status, facts)
}

/// The texts and addresses of a form.
#[derive(Default)]
pub struct FormFacts {
    pub title: String,
    pub about: Option<String>,
    pub action: String,
    pub button: String,
    pub cancel: String,
    pub affected: Vec<AffectedRecords>,
}

/// The page of a form.
pub fn show(
    page: &PageCtx<'_>,
    collection: &Collection,
    fields: &[FieldSpec],
    place: &Place,
    form: &FormState,
    status: StatusCode,
    facts: FormFacts,
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let groups = form::groups(page, collection, fields, form, place.account.as_deref())?;
    let mut hidden = vec![("once", form.once.clone()), ("base", form.base.to_string())];
    hidden.extend(form.state.clone().map(|state| ("state", state)));
    let rendered = FormPage {
        words: frame.words,
        title: facts.title,
        about: facts.about,
        action: facts.action,
        button: facts.button,
        is_danger: false,
        cancel: facts.cancel,
        affected: facts.affected,
        problems: form.problems_at(groups.iter().flat_map(|group| &group.inputs)),
        hidden,
        groups,
        frame: &frame,
    };
    frame.respond(page, status, &rendered)
}

/// The form that was sent.
pub fn sent_form(page: &PageCtx<'_>, fields: &[FieldSpec]) -> Result<FormState> {
    let sent = form_pairs(page.request)?;
    let text = |name: &str| sent.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let keeps = |name: &str| text(&format!("{}{name}", conflict_page::KEPT)).is_some_and(|kept| kept == "theirs");
    let mut typed = form::read(fields, &sent);
    typed.retain(|name, _| !keeps(name));
    let base = text("base").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_else(|| json!({}));
    Ok(FormState {
        typed,
        base,
        state: text("state").filter(|state| !state.is_empty()),
        once: text("once").unwrap_or_default(),
        problems: Vec::new(),
    })
}

/// Creates a record from the form.
pub fn create(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let route = collection.create.ok_or_else(Error::not_found)?;
    let mut form = sent_form(page, &collection.creation)?;
    form.base = blank(collection);
    let (zone, names) = (page.zone()?, Names::default());
    let changed = form.changed(&collection.creation, &zone, &names);
    let body = match form.body(page, &changed, place.account.as_deref())? {
        Ok(body) => body,
        Err(problems) => return refused(page, collection, place, form, problems, show_new),
    };
    let (body, options) = form::split(&collection.creation, body);
    let inner = place
        .address(InnerRequest::to(route))
        .with_query(query_with(collection, place.account.as_deref(), options))
        .with_body(body)
        .with_header(IDEMPOTENCY_KEY, &form.once);
    match page.send(inner) {
        Ok(made) => done(page, collection, place, &made.body, "created"),
        Err(error) if is_of_form(&error) => {
            let problems = problems_of(page, collection, &error);
            refused(page, collection, place, form, problems, show_new)
        }
        Err(error) => Err(error),
    }
}

/// Shows the form of a new record as it was typed.
pub fn create_again(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let form = FormState { base: blank(collection), ..sent_form(page, &collection.creation)? };
    show_new(page, collection, place, &form, StatusCode::OK)
}

/// Shows the form of a record as it was typed.
pub fn update_again(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    show_edit(page, collection, place, &sent_form(page, &collection.change)?, StatusCode::OK)
}

/// Shows a form again, with its problems and everything that was typed.
fn refused(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    mut form: FormState,
    problems: Vec<Problem>,
    again: fn(&PageCtx<'_>, &'static Collection, &Place, &FormState, StatusCode) -> Result<ApiResponse>,
) -> Result<ApiResponse> {
    form.problems = problems;
    again(page, collection, place, &form, StatusCode::UNPROCESSABLE_ENTITY)
}

/// Whether the person can correct the error in the form.
pub fn is_of_form(error: &Error) -> bool {
    let status = error.status();
    status.is_client_error() && status != StatusCode::UNAUTHORIZED && status != StatusCode::NOT_FOUND
}

/// The problems of an error in the language of the page.
pub fn problems_of(page: &PageCtx<'_>, collection: &Collection, error: &Error) -> Vec<Problem> {
    let words = page.words();
    match error.code() {
        "idempotency_key_reused" => vec![(None, words.sent_already())],
        "idempotency_key_in_use" => vec![(None, words.still_saving())],
        _ => form::problems(words, collection, error),
    }
}

/// The response after a change: the record, or the secret that is shown once.
pub fn done(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    made: &Value,
    done: &str,
) -> Result<ApiResponse> {
    if let Some(secret) = secret_page::of(collection, made) {
        return secret_page::page(page, collection, place, made, &secret);
    }
    let id = super::display::plain(&made["id"]);
    let at = Place { id: (!id.is_empty() && !collection.is_single()).then_some(id), ..place.clone() };
    let may_show = collection.show.is_some_and(|route| page.may(route));
    let address = if may_show { at.page(collection) } else { collection.page_of(&place.values()) };
    redirect(page, &address, done)
}

/// Leads to a page that states what was done.
pub fn redirect(page: &PageCtx<'_>, address: &str, done: &str) -> Result<ApiResponse> {
    let between = if address.contains('?') { '&' } else { '?' };
    Redirect::to(format!("{address}{between}{}", query(&[("done", done)]))).into_response(page.request)
}

/// The form of a record.
pub fn edit(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let read = detail_page::read(page, collection, place)?;
    let form = form_of(page, collection, place, &read.body, read.etag)?;
    show_edit(page, collection, place, &form, StatusCode::OK)
}

/// A form with the values of a record.
pub fn form_of(
    page: &PageCtx<'_>,
    collection: &Collection,
    place: &Place,
    record: &Value,
    etag: Option<String>,
) -> Result<FormState> {
    let zone = page.zone()?;
    let names = names(page, &collection.change, record, place)?;
    let typed: HashMap<String, Typed> = collection
        .change
        .iter()
        .map(|field| (field.name.clone(), form::typed_of(field, record, &zone, &names)))
        .collect();
    let base = base_of(collection, record);
    FormState::opened(typed, base, etag)
}

/// The values of a record that the form can change.
fn base_of(collection: &Collection, record: &Value) -> Value {
    let mut base = json!({});
    for field in &collection.change {
        let parts: Vec<&str> = field.name.split('.').collect();
        match parts[..] {
            [name] => base[name] = value_in(record, name).clone(),
            [object, name] => base[object][name] = record[object][name].clone(),
            _ => {}
        }
    }
    base
}

fn show_edit(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    form: &FormState,
    status: StatusCode,
) -> Result<ApiResponse> {
    let words = page.words();
    let record = place.page(collection);
    let title = match collection.is_single() {
        true => collection.plural(words),
        false => words.change_record(&title(collection, form)),
    };
    let facts = FormFacts {
        title,
        action: format!("{record}/edit"),
        button: words.save(),
        cancel: record,
        ..FormFacts::default()
    };
    show(page, collection, &collection.change, place, form, status, facts)
}

/// The name of the record in a form.
pub fn title(collection: &Collection, form: &FormState) -> String {
    let title = collection.title(&form.base);
    if title.is_empty() { String::new() } else { title }
}

/// Changes a record by the form.
pub fn update(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let form = sent_form(page, &collection.change)?;
    let zone = page.zone()?;
    let names = names(page, &collection.change, &form.base, place)?;
    let changed = form.changed(&collection.change, &zone, &names);
    let record = place.page(collection);
    if changed.is_empty() {
        return redirect(page, &record, "unchanged");
    }
    let body = match form.body(page, &changed, place.account.as_deref())? {
        Ok(body) => body,
        Err(problems) => return refused(page, collection, place, form, problems, show_edit),
    };
    match save(page, collection, place, &body, form.state.as_deref()) {
        Ok(made) => done(page, collection, place, &made, "changed"),
        Err(Error::PreconditionFailed) => conflict_page::resolve(page, collection, place, form, &body),
        Err(error) if is_of_form(&error) => {
            let problems = problems_of(page, collection, &error);
            refused(page, collection, place, form, problems, show_edit)
        }
        Err(error) => Err(error),
    }
}

/// Sends the change of a record.
pub fn save(
    page: &PageCtx<'_>,
    collection: &Collection,
    place: &Place,
    body: &Value,
    state: Option<&str>,
) -> Result<Value> {
    let route = collection.update.ok_or_else(Error::not_found)?;
    let mut inner = place
        .address(InnerRequest::to(route))
        .with_query(customer_query(collection, place.account.as_deref()))
        .with_body(body.clone());
    if let Some(state) = state {
        inner = inner.with_header(header::IF_MATCH, state);
    }
    Ok(page.send(inner)?.body)
}

/// The names of the records to which the fields link.
pub fn names(page: &PageCtx<'_>, fields: &[FieldSpec], record: &Value, place: &Place) -> Result<Names> {
    let mut flat = record.clone();
    if let Value::Object(flat) = &mut flat {
        for field in fields {
            if !field.name.contains('.') {
                flat.insert(field.name.clone(), value_in(record, &field.name).clone());
            }
        }
    }
    let fields: Vec<&FieldSpec> = fields.iter().collect();
    Names::of(page, &fields, &[flat], place.account.as_deref())
}

/// A new record before anything is typed.
fn blank(collection: &Collection) -> Value {
    collection.create.and_then(|route| route.handler.blank()).unwrap_or_else(|| json!({}))
}

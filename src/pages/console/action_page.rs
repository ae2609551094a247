//! A route that does something else than to create, change or delete a record: its page asks for the fields of the
//! request, or for confirmation.

use std::collections::HashMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::affected_records;
use super::catalog::{Action, Collection};
use super::detail_page;
use super::display;
use super::form::{self, FormState, typed_of};
use super::form_page::{self, FormFacts, IDEMPOTENCY_KEY, is_of_form, names, problems_of, sent_form};
use super::links::query_with;
use super::list_page;
use super::page::PageCtx;
use super::resource_page::Place;
use super::{pairs_of, query, within_sentence};
use crate::api::{ApiResponse, InnerRequest, Result};

/// The page before the action.
pub fn ask(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &'static Action,
) -> Result<ApiResponse> {
    let blank = blank(action);
    let (zone, names) = (page.zone()?, names(page, &action.fields, &blank, place)?);
    let typed = action.fields.iter().map(|field| (field.name.clone(), typed_of(field, &blank, &zone, &names)));
    let typed = typed.collect();
    let form = FormState::opened(typed, blank, None)?;
    show(page, collection, place, action, &form, StatusCode::OK)
}

fn show(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &Action,
    form: &FormState,
    status: StatusCode,
) -> Result<ApiResponse> {
    let words = page.words();
    let label = words.label(action.label);
    let owner = if action.is_of_record { place.page(collection) } else { collection.page_of(&place.values()) };
    let title = match (action.is_of_record, collection.show) {
        (true, Some(_)) => {
            words.action_on(&label, &collection.title(&detail_page::read(page, collection, place)?.body))
        }
        _ => label.clone(),
    };
    let about = words.label(action.about);
    let facts = FormFacts {
        title,
        about: (!about.is_empty()).then_some(about),
        action: format!("{owner}/{}", action.verb),
        button: label,
        cancel: back(collection, place, action),
        affected: affected_records::count(page, collection, place, action.affected)?,
    };
    form_page::show(page, collection, &action.fields, place, form, status, facts)
}

/// Shows the form of the action as it was typed.
pub fn act_again(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &'static Action,
) -> Result<ApiResponse> {
    let form = FormState { base: blank(action), ..sent_form(page, &action.fields)? };
    show(page, collection, place, action, &form, StatusCode::OK)
}

/// Runs the action.
pub fn act(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &'static Action,
) -> Result<ApiResponse> {
    let mut form = sent_form(page, &action.fields)?;
    form.base = blank(action);
    let (zone, names) = (page.zone()?, super::links::Names::default());
    let changed = form.changed(&action.fields, &zone, &names);
    let refused = |mut form: FormState, problems| {
        form.problems = problems;
        show(page, collection, place, action, &form, StatusCode::UNPROCESSABLE_ENTITY)
    };
    let body = match form.body(page, &changed, place.account.as_deref())? {
        Ok(body) => body,
        Err(problems) => return refused(form, problems),
    };
    let (body, options) = form::split(&action.fields, body);
    let inner = place
        .address(InnerRequest::to(action.route))
        .with_query(query_with(collection, place.account.as_deref(), options))
        .with_body(body)
        .with_header(IDEMPOTENCY_KEY, &form.once);
    match page.send(inner) {
        Ok(made) => done(page, collection, place, action, &made.body),
        Err(error) if is_of_form(&error) => {
            let problems = problems_of(page, collection, &error);
            refused(form, problems)
        }
        Err(error) => Err(error),
    }
}

/// Records of one such action.
const MOST: &str = "100";

/// The page before an action on all records of a filter.
pub fn ask_many(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &'static Action,
) -> Result<ApiResponse> {
    let form = FormState::opened(HashMap::new(), json!({}), None)?;
    show_many(page, collection, place, action, &form)
}

fn show_many(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &Action,
    form: &FormState,
) -> Result<ApiResponse> {
    let words = page.words();
    let (list, filters) = filtered(page, collection, place);
    let records = list_page::read(page, collection, place, &filters)?;
    let number = display::count(words, i64::try_from(records.rows.len()).unwrap_or_default());
    let label = words.label(action.label);
    let plural = within_sentence(&collection.plural(words));
    let about = words.label(action.about);
    let more = if records.next.is_some() { words.only_the_first(MOST) } else { String::new() };
    let facts = FormFacts {
        title: words.action_for(&label, &number, &plural),
        about: Some(format!("{about} {more}")),
        action: format!("{}/bulk/{}?{}", collection.page_of(&place.values()), action.verb, query(&filters)),
        button: label,
        cancel: list,
        ..FormFacts::default()
    };
    let status = if form.problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    form_page::show(page, collection, &[], place, form, status, facts)
}

/// The list with its filters, and the query of its first records.
fn filtered(page: &PageCtx<'_>, collection: &Collection, place: &Place) -> (String, Vec<(String, String)>) {
    let mut filters = list_page::filters_of(&pairs_of(&page.request.query));
    let list = format!("{}?{}", collection.page_of(&place.values()), query(&filters));
    filters.push(("per_page".into(), MOST.into()));
    (list, filters)
}

/// Runs an action for the first records of a filter.
pub fn act_many(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &'static Action,
) -> Result<ApiResponse> {
    let mut form = sent_form(page, &[])?;
    let (list, filters) = filtered(page, collection, place);
    let records = list_page::read(page, collection, place, &filters)?;
    let each = records.rows.iter().map(|record| {
        let id = display::plain(&record["id"]);
        let once = format!("{}-{id}", form.once);
        let one = Place { id: Some(id), ..place.clone() };
        one.address(InnerRequest::to(action.route))
            .with_query(query_with(collection, place.account.as_deref(), Vec::new()))
            .with_body(json!({}))
            .with_header(IDEMPOTENCY_KEY, &once)
    });
    match page.send_all(each.collect()) {
        Ok(()) => form_page::redirect(page, &list, "done"),
        Err(error) if is_of_form(&error) => {
            form.problems = problems_of(page, collection, &error);
            show_many(page, collection, place, action, &form)
        }
        Err(error) => Err(error),
    }
}

/// Leads back to the record or the list, or shows the secret.
fn done(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    action: &Action,
    made: &Value,
) -> Result<ApiResponse> {
    if let Some(found) = super::secret_page::of(collection, made) {
        return super::secret_page::page(page, collection, place, made, &found);
    }
    form_page::redirect(page, &after(page, collection, place, action)?, "done")
}

/// The page to which an action leads: the record, or the list if the record is gone or has no page.
fn after(page: &PageCtx<'_>, collection: &'static Collection, place: &Place, action: &Action) -> Result<String> {
    if action.is_of_record && collection.show.is_some() {
        match detail_page::read(page, collection, place) {
            Ok(_) => return Ok(place.page(collection)),
            Err(error) if error.status().is_client_error() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(collection.page_of(&place.values()))
}

/// The page of the record, or the list if a record has no page.
fn back(collection: &Collection, place: &Place, action: &Action) -> String {
    match collection.show {
        Some(_) if action.is_of_record => place.page(collection),
        _ => collection.page_of(&place.values()),
    }
}

fn blank(action: &Action) -> Value {
    action.route.handler.blank().unwrap_or_else(|| json!({}))
}

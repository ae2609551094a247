//! A route that does something else than to create, change or delete a record: its page asks for the fields of the
//! request, or for confirmation.

use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use super::catalog::{Action, Collection};
use super::detail_page;
use super::form::{FormState, typed_of};
use super::form_page::{self, FormFacts, is_of_form, names, problems_of, sent_form};
use super::links::customer_query;
use super::page::PageCtx;
use super::resource_page::Place;
use crate::api::{ApiResponse, InnerRequest, Result};
use crate::auth::secret;

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
    let form = FormState { typed, base: blank, state: None, once: secret::random()?, problems: Vec::new() };
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
        (true, Some(_)) => format!("{label}: {}", collection.title(&detail_page::read(page, collection, place)?.body)),
        _ => label.clone(),
    };
    let about = words.label(action.about);
    let facts = FormFacts {
        title,
        about: (!about.is_empty()).then_some(about),
        action: format!("{owner}/{}", action.verb),
        button: label,
        cancel: back(collection, place, action),
    };
    form_page::show(page, collection, &action.fields, place, form, status, facts)
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
    let inner = place
        .address(InnerRequest::to(action.route))
        .with_query(customer_query(collection, place.account.as_deref()))
        .with_body(body)
        .with_header(HeaderName::from_static("idempotency-key"), &form.once);
    match page.send(inner) {
        Ok(made) => done(page, collection, place, action, &made.body),
        Err(error) if is_of_form(&error) => {
            let problems = problems_of(page, collection, &error);
            refused(form, problems)
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
    form_page::redirect(page, &back(collection, place, action), "done")
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

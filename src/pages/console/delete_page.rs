//! Deletion: a page counts what goes with the records and asks once.

use std::collections::HashMap;

use askama::Template;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::affected_records::{self, AffectedRecords};
use super::catalog::Collection;
use super::detail_page;
use super::display::{self, plain};
use super::form::{self, FormInput, FormState, InputKind};
use super::form_page::{self, is_of_form, problems_of, sent_form};
use super::links::{Names, query_with};
use super::list_page;
use super::page::{self, Frame, PageCtx};
use super::resource_page::Place;
use super::{pairs_of, query};
use crate::api::{ApiResponse, Error, InnerRequest, Result, form_pairs};
use crate::pages::interrupted_form;
use crate::pages::translations::Translations;

/// Records that one deletion may name.
const MOST: usize = 10_000;

/// From this number on, the person types the number.
const TYPED_FROM: usize = 100;

/// Titles that the page lists.
const NAMED: usize = 10;

#[derive(Template)]
#[template(path = "console/delete.html")]
struct DeletePage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    names: Vec<String>,
    /// How many more there are.
    others: Option<String>,
    affected: Vec<AffectedRecords>,
    action: String,
    button: String,
    cancel: String,
    hidden: Vec<(&'static str, String)>,
    /// The number that the person types.
    number: Option<String>,
    /// The options of the deletion.
    options: Vec<FormInput>,
    problems: Vec<String>,
}

/// Asks before a record is deleted.
pub fn ask(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    ask_again(page, collection, place, &blank(), Vec::new())
}

/// Options before anybody chose them.
fn blank() -> FormState {
    FormState { typed: HashMap::new(), base: json!({}), state: None, once: String::new(), problems: Vec::new() }
}

/// The options of the deletion as inputs.
fn inputs(page: &PageCtx<'_>, collection: &Collection, place: &Place, chosen: &FormState) -> Result<Vec<FormInput>> {
    let groups = form::groups(page, collection, &collection.deletion, chosen, place.account.as_deref())?;
    Ok(groups.into_iter().flat_map(|group| group.inputs).collect())
}

/// The query of the deletion, with the options that were chosen.
fn chosen_query(page: &PageCtx<'_>, collection: &Collection, place: &Place, chosen: &FormState) -> Result<String> {
    let changed = chosen.changed(&collection.deletion, &page.zone()?, &Names::default());
    let account = place.account.as_deref();
    let body = chosen.body(page, &changed, account)?.unwrap_or_default();
    let (_, options) = form::split(&collection.deletion, body);
    Ok(query_with(collection, account, options))
}

fn ask_again(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    chosen: &FormState,
    problems: Vec<String>,
) -> Result<ApiResponse> {
    let (record, state) = match collection.show {
        Some(_) => detail_page::read(page, collection, place).map(|read| (read.body, read.etag))?,
        None => (json!({"id": place.id}), None),
    };
    let frame = Frame::of(page)?;
    let words = frame.words;
    let base = place.page(collection);
    let cancel = if collection.show.is_some() { base.clone() } else { collection.page_of(&place.values()) };
    let title = collection.title(&record);
    let rendered = DeletePage {
        words,
        title: words.delete_record(&title),
        names: Vec::new(),
        others: None,
        affected: affected_records::count(page, collection, place, collection.resource.view.affected_by_delete)?,
        action: format!("{base}/delete"),
        button: words.delete(),
        cancel,
        hidden: state.map(|state| ("state", state)).into_iter().collect(),
        number: None,
        options: inputs(page, collection, place, chosen)?,
        problems: problems.clone(),
        frame: &frame,
    };
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.respond(page, status, &rendered)
}

/// Deletes a record, as it was when the person was asked.
pub fn delete(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let route = collection.remove.ok_or_else(Error::not_found)?;
    let chosen = sent_form(page, &collection.deletion)?;
    let query = chosen_query(page, collection, place, &chosen)?;
    let mut inner = place.address(InnerRequest::to(route)).with_query(query);
    if let Some(state) = &chosen.state {
        inner = inner.with_header(header::IF_MATCH, state);
    }
    let list = collection.page_of(&place.values());
    match page.send(inner) {
        Ok(_) => form_page::redirect(page, &list, "deleted"),
        Err(Error::PreconditionFailed) => {
            ask_again(page, collection, place, &chosen, vec![page.words().changed_meanwhile()])
        }
        Err(error) if is_of_form(&error) => {
            let problems = problems_of(page, collection, &error).into_iter().map(|(_, sentence)| sentence).collect();
            ask_again(page, collection, place, &chosen, problems)
        }
        Err(error) => Err(error),
    }
}

/// Asks before the ticked records, or all records of a filter, are deleted.
pub fn ask_many(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let given = pairs_of(&page.request.query);
    let is_all = given.iter().any(|(name, value)| name == "all" && value == "1");
    let ids = if is_all { all_ids(page, collection, place, &given)? } else { ids_of(&given) };
    let list = collection.page_of(&place.values());
    let back = page::back(page).unwrap_or_else(|| match list_page::filters_of(&given) {
        filters if filters.is_empty() => list,
        filters => format!("{list}?{}", query(&filters)),
    });
    ask_for_many(page, collection, place, &ids, &back, &blank(), Vec::new())
}

fn ask_for_many(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    ids: &[String],
    back: &str,
    chosen: &FormState,
    problems: Vec<String>,
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let base = collection.page_of(&place.values());
    let mut problems = problems;
    if ids.is_empty() {
        problems.push(words.nothing_ticked());
    }
    let mut names = Vec::new();
    for id in ids.iter().take(NAMED) {
        let one = Place { id: Some(id.clone()), ..place.clone() };
        names.push(match detail_page::read(page, collection, &one) {
            Ok(read) => collection.title(&read.body),
            Err(error) if error.status().is_client_error() => format!("#{id}"),
            Err(error) => return Err(error),
        });
    }
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let number = display::count(words, count);
    let others = count - i64::try_from(names.len()).unwrap_or(0);
    let rendered = DeletePage {
        words,
        title: words.delete_many(&number, &super::within_sentence(&collection.plural(words))),
        others: (others > 0).then(|| words.and_others(&display::count(words, others))),
        names,
        affected: Vec::new(),
        action: format!("{base}/bulk"),
        button: words.delete(),
        cancel: back.to_owned(),
        hidden: vec![("ids", ids.join(",")), ("back", back.to_owned())],
        number: (ids.len() > TYPED_FROM).then(|| ids.len().to_string()),
        options: inputs(page, collection, place, chosen)?,
        problems: problems.clone(),
        frame: &frame,
    };
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.respond(page, status, &rendered)
}

/// Deletes several records, all or none.
pub fn delete_many(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let sent = form_pairs(page.request)?;
    let text = |name: &str| sent.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let ids = ids_of(&sent);
    let back = text("back").filter(|path| path.starts_with("/ui")).unwrap_or(collection.page).to_owned();
    let chosen = sent_form(page, &collection.deletion)?;
    let refuse = |problems: Vec<String>| ask_for_many(page, collection, place, &ids, &back, &chosen, problems);
    if interrupted_form::is_shown_again(page.request)? {
        return refuse(Vec::new());
    }
    let typed: String = text("number").unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    if ids.is_empty() || (ids.len() > TYPED_FROM && typed != ids.len().to_string()) {
        return refuse(if ids.is_empty() { Vec::new() } else { vec![page.words().type_the_number()] });
    }
    let query = chosen_query(page, collection, place, &chosen)?;
    let result = match collection.remove_many {
        Some(route) => {
            let ids: Vec<Value> =
                ids.iter().map(|id| id.parse::<i64>().map_or_else(|_| json!(id), |id| json!(id))).collect();
            page.send(InnerRequest::to(route).with_query(query).with_body(json!({"ids": ids}))).map(|_| ())
        }
        None => {
            let route = collection.remove.ok_or_else(Error::not_found)?;
            let one = |id: &String| {
                let at = Place { id: Some(id.clone()), ..place.clone() };
                at.address(InnerRequest::to(route)).with_query(query.clone())
            };
            if route.handler.executor() == crate::executors::Executor::Transaction {
                page.send_all(ids.iter().map(one).collect())
            } else {
                ids.iter().try_for_each(|id| page.send(one(id)).map(|_| ()))
            }
        }
    };
    match result {
        Ok(()) => form_page::redirect(page, &back, "deleted_many"),
        Err(error) if error.status().is_client_error() => {
            refuse(problems_of(page, collection, &error).into_iter().map(|(_, sentence)| sentence).collect())
        }
        Err(error) => Err(error),
    }
}

fn ids_of(given: &[(String, String)]) -> Vec<String> {
    let named = given.iter().filter(|(name, _)| name == "ids" || name == "ids[]");
    named.flat_map(|(_, value)| value.split(',')).filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// The ids of all records that the filters choose.
fn all_ids(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    given: &[(String, String)],
) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut filters: Vec<(String, String)> =
            list_page::filters_of(given).into_iter().filter(|(name, _)| name != "sort").collect();
        filters.extend([("cursor".into(), cursor), ("per_page".into(), "500".into())]);
        let records = list_page::read(page, collection, place, &filters)?;
        ids.extend(records.rows.iter().map(|record| plain(&record["id"])));
        match records.next {
            Some(next) if ids.len() < MOST => cursor = next,
            Some(_) => return Err(Error::invalid(page.words().too_many_to_delete(&MOST.to_string()))),
            None => return Ok(ids),
        }
    }
}

//! Fields that hold the id of another record, shown by its name.

use std::collections::HashMap;

use serde_json::Value;

use super::catalog::{Collection, collection, fill};
use super::display::{Shown, at, has_values, plain};
use super::page::PageCtx;
use super::resource_page::Place;
use super::schema::FieldSpec;
use crate::api::resource_view::Widget;
use crate::api::{InnerRequest, Result};
use crate::pages::translations::Translations;

/// The names of linked records: by the path of their list and their id.
#[derive(Default)]
pub struct Names {
    known: HashMap<(&'static str, i64), String>,
    /// The account of the customer in the path of the page.
    account: Option<String>,
}

/// The path of the list to which a field of a record links.
pub fn target(field: &FieldSpec, record: &Value) -> Option<&'static str> {
    match field.widget? {
        Widget::Link(path) => Some(path),
        Widget::LinkBy(kind, paths) => {
            let kind = plain(at(record, kind));
            paths.iter().find(|(name, _)| *name == kind).map(|(_, path)| *path)
        }
        _ => None,
    }
}

impl Names {
    /// Reads the names that the fields of these records need, each record once.
    pub fn of(page: &PageCtx<'_>, fields: &[&FieldSpec], records: &[Value], account: Option<&str>) -> Result<Self> {
        let mut names = Self { known: HashMap::new(), account: account.map(str::to_owned) };
        for record in records {
            for field in fields {
                let (Some(path), Some(id)) = (target(field, record), at(record, &field.name).as_i64()) else {
                    continue;
                };
                if names.known.contains_key(&(path, id)) {
                    continue;
                }
                if let Some(name) = name_of(page, path, id, account)? {
                    names.known.insert((path, id), name);
                }
            }
        }
        Ok(names)
    }

    pub fn name(&self, path: &'static str, id: i64) -> Option<&str> {
        self.known.get(&(path, id)).map(String::as_str)
    }

    /// The link to the record. Its id alone, if the person may not see it or it is gone.
    pub fn shown(&self, page: &PageCtx<'_>, field: &FieldSpec, record: &Value) -> Shown {
        let Some(id) = at(record, &field.name).as_i64() else { return Shown::Nothing };
        let linked = target(field, record).and_then(|path| Some((collection(page.request.layer, path)?, path)));
        match linked.and_then(|(collection, path)| Some((collection, self.name(path, id)?))) {
            Some((collection, name)) => Shown::Link {
                href: record_page(collection, self.account.as_deref(), &[], &id.to_string()),
                text: name.to_owned(),
                is_external: false,
            },
            None => Shown::Text(format!("#{id}")),
        }
    }
}

/// The form for a new record with these values, if the person may create one. Empty values are left out.
pub fn new_record(
    page: &PageCtx<'_>,
    collection: &Collection,
    account: Option<&str>,
    values: &[(&str, String)],
) -> Option<String> {
    collection.create.filter(|route| page.may(route))?;
    let account: Vec<String> = account.map(str::to_owned).into_iter().collect();
    let values: Vec<_> = values.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    Some(format!("{}/new?{}", collection.page_of(&account), super::query(&values)))
}

/// The address of a record.
pub fn record_page(collection: &Collection, account: Option<&str>, parents: &[String], id: &str) -> String {
    let mut values: Vec<String> =
        account.filter(|_| collection.names_customer).map(str::to_owned).into_iter().collect();
    values.extend_from_slice(parents);
    format!("{}/{}", collection.page_of(&values), super::encode(id))
}

/// The links of a record to pages that are written by hand: label and address.
pub fn record_links<'r>(
    words: Translations,
    collection: &'static Collection,
    place: &'r Place,
    record: &'r Value,
) -> impl Iterator<Item = (String, String)> + 'r {
    let links = collection.resource.view.record_links.iter();
    let links = links.filter(move |link| has_values(record, link.only_if));
    links.map(move |link| {
        let values: Vec<String> = place.values().into_iter().chain(place.id.clone()).collect();
        (words.label(link.label), fill(link.page, &values))
    })
}

/// The name of a record. `None` if the person may not see it, or there is no such record.
pub fn name_of(page: &PageCtx<'_>, path: &'static str, id: i64, account: Option<&str>) -> Result<Option<String>> {
    let Some(collection) = collection(page.request.layer, path) else { return Ok(None) };
    let Some(show) = collection.show.filter(|route| page.may(route)) else { return Ok(None) };
    let inner = InnerRequest::to(show).at(id).with_query(customer_query(collection, account));
    match page.send(inner) {
        Ok(response) => Ok(Some(collection.title(&response.body))),
        Err(error) if error.status().is_client_error() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The query that names the customer, for routes that need it.
pub fn customer_query(collection: &Collection, account: Option<&str>) -> String {
    query_with(collection, account, Vec::new())
}

/// The same, with options of the route.
pub fn query_with(collection: &Collection, account: Option<&str>, mut options: Vec<(String, String)>) -> String {
    if let Some(account) = account.filter(|_| collection.names_customer) {
        options.push(("customer_account".into(), account.to_owned()));
    }
    super::query(&options)
}

//! A page shows the hours of a queue or a group: this is their owner, with its time spans and exceptions.

use serde_json::Value;

use super::catalog::Collection;
use super::display::plain;
use super::links::{customer_query, new_record};
use super::page::PageCtx;
use super::resource_page::Place;
use super::{detail_page, query};
use crate::api::{Error, InnerRequest, InnerResponse, Result, Route};

/// The kinds of owners, as time spans and exceptions name them, with the path of their list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerKind {
    pub word: &'static str,
    path: &'static str,
    pub week: &'static str,
}

pub const QUEUE: OwnerKind = OwnerKind {
    word: "call_queue",
    path: "/smart-routings/call-queues/queues",
    week: "/smart-routings/call-queues/queues/{id}/week",
};
pub const GROUP: OwnerKind = OwnerKind {
    word: "call_queue_group",
    path: "/smart-routings/call-queues/groups",
    week: "/smart-routings/call-queues/groups/{id}/week",
};

const TIME_SPANS: &str = "/smart-routings/call-queues/time-spans";
const EXCEPTIONS: &str = "/smart-routings/call-queues/exceptions";

/// The fields that name the owner of a time span, and of an exception.
const OF_SPAN: [&str; 2] = ["time_spanable_id", "time_spanable_type"];
const OF_EXCEPTION: [&str; 2] = ["exceptionable_id", "exceptionable_type"];

/// Rows that one request reads.
const PER_PAGE: &str = "500";

pub struct HoursOwner<'a> {
    pub page: &'a PageCtx<'a>,
    pub kind: OwnerKind,
    pub account: &'a str,
    pub id: &'a str,
    /// The id of the queue's group. The hours of the group apply to the queue too.
    group: Option<String>,
    pub name: String,
    /// Where calls go in the hours, unless a time span says otherwise. Groups have no number.
    pub number: String,
    /// Where calls go outside of the hours. Groups have no such destination.
    pub default_destination: String,
    /// The page of the queue or group.
    pub address: String,
    pub spans: &'static Collection,
    pub exceptions: &'static Collection,
}

impl<'a> HoursOwner<'a> {
    pub fn read(page: &'a PageCtx<'a>, kind: OwnerKind) -> Result<Self> {
        let [account, id] = page.request.path_values.as_slice() else { return Err(Error::not_found()) };
        let owners = page.collection(kind.path)?;
        let place = Place::of(owners, page.request);
        let record = detail_page::read(page, owners, &place)?.body;
        Ok(Self {
            page,
            kind,
            account,
            id,
            group: record["call_queue_group_id"].as_i64().map(|id| id.to_string()),
            name: owners.title(&record),
            number: plain(&record["number"]),
            default_destination: plain(&record["default_destination"]),
            address: place.page(owners),
            spans: page.collection(TIME_SPANS)?,
            exceptions: page.collection(EXCEPTIONS)?,
        })
    }

    /// Runs a route for the customer.
    pub fn send(&self, inner: InnerRequest) -> Result<InnerResponse> {
        self.page.send(inner.with_query(customer_query(self.spans, Some(self.account))))
    }

    /// All time spans, by their start; then those of the group of a queue.
    pub fn all_spans(&self) -> Result<Vec<Value>> {
        let by_start = [("sort", "start_time")];
        let mut spans = self.rows(self.spans, OF_SPAN, &by_start)?;
        if let Some(group) = &self.group {
            spans.extend(self.rows_of(group, GROUP, self.spans, OF_SPAN, &by_start)?);
        }
        Ok(spans)
    }

    /// The time spans on a day of the week, oldest first.
    pub fn spans_on(&self, day: i64) -> Result<Vec<Value>> {
        let mut rows = self.rows(self.spans, OF_SPAN, &[("filter[day_of_week]", &day.to_string())])?;
        rows.sort_by_key(|row| row["id"].as_i64());
        Ok(rows)
    }

    /// The exceptions whose day contains this text, in order.
    pub fn exceptions_on(&self, day: &str) -> Result<Vec<Value>> {
        self.rows(self.exceptions, OF_EXCEPTION, &[("filter[day]", day), ("sort", "day")])
    }

    fn rows(&self, of: &Collection, names: [&str; 2], more: &[(&str, &str)]) -> Result<Vec<Value>> {
        self.rows_of(self.id, self.kind, of, names, more)
    }

    /// The rows of an owner, which two fields name.
    fn rows_of(
        &self,
        owner: &str,
        owner_kind: OwnerKind,
        of: &Collection,
        [id, kind]: [&str; 2],
        more: &[(&str, &str)],
    ) -> Result<Vec<Value>> {
        let Some(list) = of.list else { return Ok(Vec::new()) };
        let (id, kind) = (format!("filter[{id}]"), format!("filter[{kind}]"));
        let filters = [("customer_account", self.account), (&id, owner), (&kind, owner_kind.word)];
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = [("per_page", PER_PAGE), ("cursor", cursor.as_str())];
            let asked = query(&[&filters, more, &page].concat());
            let mut found = self.page.send(InnerRequest::to(list).with_query(asked))?.body;
            if let Value::Array(data) = found["data"].take() {
                rows.extend(data);
            }
            match found["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return Ok(rows),
            }
        }
    }

    /// The address of the list of time spans or exceptions.
    pub fn list_of(&self, rows: &Collection) -> String {
        rows.page_of(&[self.account.to_owned()])
    }

    /// The form for a new time span or exception, if the person may create one.
    pub fn new_row(&self, rows: &Collection, filled: &[(&str, String)]) -> Option<String> {
        let [id, kind] = if rows.path == self.spans.path { OF_SPAN } else { OF_EXCEPTION };
        let mut fields = vec![(id, self.id.to_owned()), (kind, self.kind.word.to_owned())];
        fields.extend_from_slice(filled);
        new_record(self.page, rows, Some(self.account), &fields)
    }

    /// Whether the person may use all of these routes.
    pub fn may_all(&self, routes: [Option<&'static Route>; 3]) -> bool {
        routes.into_iter().all(|route| route.is_some_and(|route| self.page.may(route)))
    }
}

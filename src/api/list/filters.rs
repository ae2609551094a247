//! The filters of a list, for routes that count its rows.

use rusqlite::types::Value as Sql;
use serde_json::json;

use super::{List, Listable};
use crate::api::error::Result;
use crate::api::field::{FilterKind, moment_schema};
use crate::api::handler::Ctx;
use crate::api::input::Input;
use crate::api::openapi::Operation;
use crate::api::request::Request;

/// The filters of a list query. Its paging and its order have no effect.
pub struct Filters<T>(List<T>);

impl<T: Listable> Input for Filters<T> {
    fn read(request: &Request) -> Result<Self> {
        List::read(request).map(Self)
    }

    fn describe(operation: &mut Operation<'_>) {
        describe::<T>(operation);
    }
}

impl<T: Listable> Filters<T> {
    /// The SQL conditions, and the values that are bound in them: the caller's filters and the caller's customer.
    pub fn conditions(&self, ctx: &Ctx<'_>) -> Result<(Vec<String>, Vec<Sql>)> {
        self.0.conditions(ctx)
    }
}

/// Describes the filters of a list.
pub(super) fn describe<T: Listable>(operation: &mut Operation<'_>) {
    let listing = T::LISTING;
    for (field, filter) in listing.filters() {
        let (text, schema) = filter.described();
        let member = if filter == FilterKind::Member { ".tier" } else { "" };
        if listing.plain_filters {
            operation.query(field.name, text, schema.clone());
        }
        operation.query(&format!("filter[{}{member}]", field.name), text, schema);
        if filter == FilterKind::Moment {
            operation.query(
                &format!("filter[{}][gte]", field.name),
                "At this time or later. A date counts from its start.",
                moment_schema(),
            );
            operation.query(
                &format!("filter[{}][lte]", field.name),
                "At this time or earlier. A date counts to its end.",
                moment_schema(),
            );
            let day = json!({"type": "string", "format": "date", "examples": ["2027-03-29"]});
            operation.query(&format!("filter[{}][on]", field.name), "On this day, in the workspace's time zone.", day);
        }
    }
}

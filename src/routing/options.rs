//! Options of a routing field: the values that it allows.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::Field;
use super::rows::{self, Inside, Routed, create_in, list_in, remove_in, routed, show_in, update_in};
use crate::api::list::{By, Filter, Listed, Listing, Sort};
use crate::api::{Needs, Result, Route, delete, get, post, put, run};
use crate::tenancy::Author;
use crate::values::{Name, Text, Timestamp};

pub const ROUTES: &[Route] = &[
    get(
        "/smart-routings/fields/{id}/options",
        &run(list_in::<FieldOption>),
        Needs::Scoped("routing.view"),
        "List a routing field's options",
    ),
    get(
        "/smart-routings/fields/{id}/options/{option_id}",
        &run(show_in::<FieldOption>),
        Needs::Scoped("routing.view"),
        "Show an option",
    ),
    post(
        "/smart-routings/fields/{id}/options",
        &run(create_in::<FieldOption>),
        Needs::Scoped("routing.create"),
        "Create an option",
    ),
    put(
        "/smart-routings/fields/{id}/options/{option_id}",
        &run(update_in::<FieldOption>),
        Needs::Scoped("routing.update"),
        "Change an option",
    ),
    delete(
        "/smart-routings/fields/{id}/options/{option_id}",
        &run(remove_in::<FieldOption>),
        Needs::Scoped("routing.delete"),
        "Delete an option",
    ),
];

/// An option is one of the values that a routing field allows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "RoutingOption")]
pub struct FieldOption {
    /// Id of the option.
    #[schemars(extend("readOnly" = true))]
    pub id: i64,
    /// Id of the customer that owns the option.
    #[schemars(extend("readOnly" = true))]
    pub customer_id: i64,
    /// Id of the field in the path. A value in the body is ignored.
    pub routing_field_id: i64,
    /// Display name of the option.
    #[schemars(example = &"Gold")]
    pub name: Name<255>,
    /// Value that contacts store. If null, contacts store the name.
    #[schemars(example = &"gold")]
    pub value: Option<Text<255>>,
    /// Time of creation (UTC).
    #[schemars(extend("readOnly" = true))]
    pub created_at: Timestamp,
    /// Time of the last change (UTC).
    #[schemars(extend("readOnly" = true))]
    pub updated_at: Timestamp,
}

pub const FIELD: &str = "routing_field_id";

routed!(FieldOption in "routing_options", told of as "routing-option" { routing_field_id, name, value });

impl Routed for FieldOption {
    fn empty(&self, db: &Connection, author: &Author) -> Result<()> {
        let field = Field::find(db, self.routing_field_id)?;
        match field.filter(|field| field.default_option_id == Some(self.id)) {
            Some(old) => rows::change(db, author, &old, Field { default_option_id: None, ..old.clone() }).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Inside for FieldOption {
    type Parent = Field;

    const PARENT: &'static str = FIELD;

    fn parent(&mut self) -> &mut i64 {
        &mut self.routing_field_id
    }
}

impl Listed for FieldOption {
    const LISTING: Listing = Listing {
        table: "routing_options",
        columns: Self::COLUMNS,
        filters: &[
            Filter { name: "id", by: By::Integer("id") },
            Filter { name: "customer_id", by: By::Integer("customer_id") },
            Filter { name: "routing_field_id", by: By::Integer(FIELD) },
            Filter { name: "name", by: By::Text("name") },
            Filter { name: "value", by: By::Text("value") },
            Filter { name: "created_at", by: By::Moment("created_at") },
            Filter { name: "updated_at", by: By::Moment("updated_at") },
            Filter { name: "term", by: By::Words(&["name", "value"]) },
        ],
        plain_filters: true,
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "name", column: "fold(name)" },
            Sort { name: "value", column: "fold(value)" },
            Sort { name: "created_at", column: "created_at" },
            Sort { name: "updated_at", column: "updated_at" },
        ],
        newest_first: false,
        counted_by_triggers: false,
        customer: Some("customer_id"),
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_row(row)
    }
}

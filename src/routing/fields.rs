//! Routing fields: names and allowed values for the selections of a customer's routing contacts.
//!
//! The first field of a customer, by id, describes `field_select_1`, the second `field_select_2`, up to the fourth.

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::options::{self, RoutingOption};
use crate::api::crud::{create, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label, related};
use crate::api::{Error, Needs, Result, Route, delete, entity_rows, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::storage::Stored;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::values::{Name, Text};

pub const RESOURCE: Resource = Resource::new(
    "Routing fields",
    "Names and allowed values for the selections of a customer's routing contacts.",
    ROUTES,
)
.french("Champs de routage")
.section(Section::Routing)
.entity::<RoutingField>()
.view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "default_value", "default_option_id"],
    groups: &[group("Field", "Champ", &["name", "default_value", "default_option_id", "customer_id"])],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("default_option_id", Widget::Link("/smart-routings/fields/{id}/options")),
    ],
    related: &[related("Options", "Options", "/smart-routings/fields/{id}/options", "")],
    affected_by_delete: &[related(
        "options are deleted",
        "options sont supprimées",
        "/smart-routings/fields/{id}/options",
        "",
    )],
    purpose: label(
        "Names and allowed values for the selections of routing contacts.",
        "Les noms et les valeurs possibles des sélections des contacts de routage.",
    ),
    singular: label("routing field", "un champ de routage"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/smart-routings/fields", &run(list::<RoutingField>), Needs::Scoped("routing.view"), "List routing fields"),
    get(
        "/smart-routings/fields/{id}",
        &run(show::<RoutingField>),
        Needs::Scoped("routing.view"),
        "Show a routing field",
    ),
    post(
        "/smart-routings/fields",
        &run(create::<RoutingField>),
        Needs::Scoped("routing.create"),
        "Create a routing field",
    ),
    put(
        "/smart-routings/fields/{id}",
        &run(update::<RoutingField>),
        Needs::Scoped("routing.update"),
        "Change a routing field",
    ),
    delete(
        "/smart-routings/fields/{id}",
        &run(remove::<RoutingField>),
        Needs::Scoped("routing.delete"),
        "Delete a routing field and its options",
    ),
];

entity! {
    /// A field describes one selection of the customer's routing contacts: the first field by id describes
    /// `field_select_1`, the fourth `field_select_4`.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct RoutingField in "routing_fields" {
        /// Id of the customer that owns the routing field.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Display name of the selection.
        #[schemars(example = &"Loyalty")]
        pub name: Name<255> => text.sorted_by("fold(name)"), "Name", "Nom";
        /// Value of contacts that have no selection.
        #[schemars(example = &"silver")]
        pub default_value: Option<Text<255>> => text, "Default value", "Valeur par défaut";
        /// Id of the option of this field whose value is the default. It takes precedence over `default_value`. `0` or
        /// null: none.
        #[serde(deserialize_with = "crate::values::nullable_id")]
        pub default_option_id: Option<i64> => integer, "Default option", "Option par défaut";
    }
    recorded: &Recorded::announced("routing-field", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["name", "default_value"])];
}

impl Entity for RoutingField {
    fn check(&mut self, db: &Connection, _: Option<&Self>) -> Result<()> {
        let Some(option) = self.default_option_id else { return Ok(()) };
        let own = RoutingOption::find(db, option)?.filter(|option| self.id != 0 && option.routing_field_id == self.id);
        own.map(|_| ()).ok_or_else(|| Error::invalid("The selected default option id is invalid."))
    }

    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        entity_rows::delete_each::<RoutingOption>(db, recorder, options::FIELD, self.id)
    }
}

impl Editable for RoutingField {}

/// Whether the customer's field at this position (from 0) allows a value: one of its options, or anything if it has
/// none.
pub fn allows(db: &Connection, customer: i64, place: i64, value: &str) -> Result<bool> {
    let sql = "SELECT count(*) = 0 OR max(coalesce(value, name) = ?3) FROM routing_options
               WHERE routing_field_id = (SELECT id FROM routing_fields WHERE customer_id = ?1 ORDER BY id LIMIT 1 OFFSET ?2)";
    Ok(db.prepare_cached(sql)?.query_row((customer, place, value), |row| row.get(0))?)
}

/// A routing field with its value for one contact.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Chosen {
    /// Display name of the field.
    name: String,
    /// The contact's selection, or the field's default. Null if there is neither.
    value: Option<String>,
    /// Name of the option with this value. Null if no option has it.
    label: Option<String>,
}

/// The first four fields of a customer, each with the selection or its default.
pub fn selected_options(db: &Connection, customer: i64, selections: &[Option<&str>; 4]) -> Result<Vec<Chosen>> {
    let sql = "SELECT f.id, f.name, coalesce((SELECT coalesce(o.value, o.name) FROM routing_options o
                   WHERE o.id = f.default_option_id), f.default_value)
               FROM routing_fields f WHERE f.customer_id = ?1 ORDER BY f.id LIMIT 4";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([customer])?;
    let mut label = db.prepare_cached(
        "SELECT name FROM routing_options WHERE routing_field_id = ?1 AND coalesce(value, name) = ?2 ORDER BY id LIMIT 1",
    )?;
    let mut chosen = Vec::new();
    while let Some(row) = rows.next()? {
        let field: i64 = row.get(0)?;
        let selected = selections[chosen.len()].map(str::to_owned);
        let value = selected.map_or_else(|| row.get::<_, Option<String>>(2), |value| Ok(Some(value)))?;
        let label = value.as_ref().map(|value| label.query_row((field, value), |row| row.get(0)).optional());
        chosen.push(Chosen { name: row.get(1)?, label: label.transpose()?.flatten(), value });
    }
    Ok(chosen)
}

//! Options of a routing field: the values that it allows.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::RoutingField;
use crate::api::crud::{create_nested, list_nested, remove_nested, show_nested, update_nested};
use crate::api::entity::{Editable, Entity, Nested, entity};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{Needs, Result, Route, delete, entity_rows, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::storage::Stored;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::values::{Name, Text};

pub const RESOURCE: Resource = Resource::new("Routing options", "Allowed values of a routing field.", ROUTES)
    .french("Options de routage")
    .section(Section::Routing)
    .entity::<RoutingOption>()
    .view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "value"],
    groups: &[group("Option", "Option", &["name", "value"])],
    widgets: &[("customer_id", Widget::Hidden), ("routing_field_id", Widget::Hidden)],
    help: &[(
        "value",
        label(
            "Contacts store this value. Leave it empty to store the name.",
            "Valeur enregistrée dans les contacts. Laissez vide pour enregistrer le nom.",
        ),
    )],
    purpose: label("The values that a field allows.", "Les valeurs possibles d’un champ."),
    singular: label("option", "une option"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/fields/{id}/options",
        &run(list_nested::<RoutingOption>),
        Needs::Scoped("routing.view"),
        "List a routing field's options",
    ),
    get(
        "/smart-routings/fields/{id}/options/{option_id}",
        &run(show_nested::<RoutingOption>),
        Needs::Scoped("routing.view"),
        "Show an option",
    ),
    post(
        "/smart-routings/fields/{id}/options",
        &run(create_nested::<RoutingOption>),
        Needs::Scoped("routing.create"),
        "Create an option",
    ),
    put(
        "/smart-routings/fields/{id}/options/{option_id}",
        &run(update_nested::<RoutingOption>),
        Needs::Scoped("routing.update"),
        "Change an option",
    ),
    delete(
        "/smart-routings/fields/{id}/options/{option_id}",
        &run(remove_nested::<RoutingOption>),
        Needs::Scoped("routing.delete"),
        "Delete an option",
    ),
];

entity! {
    /// An option is one of the values that a routing field allows.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct RoutingOption in "routing_options" {
        /// Id of the customer that owns the option.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Id of the field in the path. A value in the body is ignored.
        pub routing_field_id: i64 => integer, "Field", "Champ";
        /// Display name of the option.
        #[schemars(example = &"Gold")]
        pub name: Name<255> => text.sorted_by("fold(name)"), "Name", "Nom";
        /// Value that contacts store. If null, contacts store the name.
        #[schemars(example = &"gold")]
        pub value: Option<Text<255>> => text.sorted_by("fold(value)"), "Value", "Valeur";
    }
    recorded: &Recorded::announced("routing-option", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["name", "value"])];
}

pub const FIELD: &str = "routing_field_id";

impl Entity for RoutingOption {
    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        let field = RoutingField::find(db, self.routing_field_id)?;
        match field.filter(|field| field.default_option_id == Some(self.id)) {
            Some(old) => {
                entity_rows::change(db, recorder, &old, RoutingField { default_option_id: None, ..old.clone() })
                    .map(|_| ())
            }
            None => Ok(()),
        }
    }
}

impl Editable for RoutingOption {}

impl Nested for RoutingOption {
    type Parent = RoutingField;

    const PARENT: &'static str = FIELD;

    fn parent(&mut self) -> &mut i64 {
        &mut self.routing_field_id
    }
}

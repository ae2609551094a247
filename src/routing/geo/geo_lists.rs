//! Geo lists: destinations for the zones of a geo model, under a code of the customer.

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::geo_destinations::{self, GeoDestination};
use super::models::{self, GeoModel};
use crate::api::crud::{create, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{RecordLink, ResourceView, Widget, group, label, related};
use crate::api::{Error, Needs, Result, Route, delete, entity_rows, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::storage::Stored;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::values::{Name, RowId, Text};

pub const RESOURCE: Resource = Resource::new("Geo lists", "Destinations for the zones of a geo model.", ROUTES)
    .french("Listes géographiques")
    .section(Section::Routing)
    .entity::<GeoList>()
    .more_fields(&[FIELDS])
    .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("free", "Free", "Libres"),
    labelled("taken", "Taken", "Attribuées"),
    labelled("zones", "Zones", "Zones"),
    labelled("destination_id", "Destination", "Destination"),
    labelled("nickname", "Name", "Nom"),
    labelled("destination", "Destination", "Destination"),
    labelled("code", "Code", "Code"),
    labelled("label", "Label", "Libellé"),
];

const VIEW: ResourceView = ResourceView {
    title: &["list_name", "list_id"],
    columns: &["list_name", "list_id", "geo_routing_model_id", "fallback_destination_1", "updated_at"],
    groups: &[
        group("List", "Liste", &["list_name", "list_id", "geo_routing_model_id", "customer_id"]),
        group(
            "Fallbacks",
            "Replis",
            &["fallback_destination_1", "fallback_destination_2", "fallback_destination_3", "fallback_destination_4"],
        ),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("geo_routing_model_id", Widget::Link("/smart-routings/geo/models")),
    ],
    help: &[(
        "fallback_destination_1",
        label(
            "Where calls go if their zone has no destination.",
            "Où vont les appels dont la zone n’a pas de destination.",
        ),
    )],
    related: &[related("Destinations", "Destinations", "/smart-routings/geo/lists/{id}/destinations", "")],
    affected_by_delete: &[related(
        "destinations are deleted",
        "destinations sont supprimées",
        "/smart-routings/geo/lists/{id}/destinations",
        "",
    )],
    purpose: label(
        "A list says where calls go, by postcode or number.",
        "Une liste dit où vont les appels, selon le code postal ou le numéro.",
    ),
    singular: label("geo list", "une liste géographique"),
    record_links: &[RecordLink {
        label: label("Zones", "Zones"),
        page: "/ui/routing/{account}/geo/lists/{id}/zones",
        only_if: &[],
    }],
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/smart-routings/geo/lists", &run(list::<GeoList>), Needs::Scoped("routing.view"), "List geo lists"),
    get(
        "/smart-routings/geo/lists/{id}/zones",
        &run(geo_destinations::zones),
        Needs::Scoped("routing.view"),
        "List the zones of a geo list's model, each with its destination",
    )
    .named("listGeoListZones"),
    get("/smart-routings/geo/lists/{id}", &run(show::<GeoList>), Needs::Scoped("routing.view"), "Show a geo list"),
    post("/smart-routings/geo/lists", &run(create::<GeoList>), Needs::Scoped("routing.create"), "Create a geo list"),
    put(
        "/smart-routings/geo/lists/{id}",
        &run(update::<GeoList>),
        Needs::Scoped("routing.update"),
        "Change a geo list",
    ),
    delete(
        "/smart-routings/geo/lists/{id}",
        &run(remove::<GeoList>),
        Needs::Scoped("routing.delete"),
        "Delete a geo list and its destinations",
    ),
];

entity! {
    /// A list of destinations for the zones of one geo model.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct GeoList in "geo_lists" {
        /// Id of the customer that owns the geo list.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Code of the list in the customer's own system. Unique within the customer.
        #[schemars(example = &"north")]
        pub list_id: Name<64> => text.sorted(), "Code", "Code";
        /// Display name of the list.
        #[schemars(example = &"Northern branches")]
        pub list_name: Option<Text<255>> => text.sorted_by("fold(list_name)"), "Name", "Nom";
        /// Destination for values whose zone has none. Call flows try the other fallbacks in order.
        #[schemars(example = &"800")]
        pub fallback_destination_1: Option<Text<255>> => text, "Fallback 1", "Repli 1";
        /// Second fallback.
        pub fallback_destination_2: Option<Text<255>> => text, "Fallback 2", "Repli 2";
        /// Third fallback.
        pub fallback_destination_3: Option<Text<255>> => text, "Fallback 3", "Repli 3";
        /// Fourth fallback.
        pub fallback_destination_4: Option<Text<255>> => text, "Fallback 4", "Repli 4";
        /// Id of the geo model that defines the zones.
        pub geo_routing_model_id: RowId => integer, "Model", "Modèle";
    }
    recorded: &Recorded::announced("geo-list", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["list_id", "list_name"])];
}

/// Selects the id of a customer's list by its code.
pub const BY_CODE: &str = "SELECT id FROM geo_lists WHERE customer_id = ?1 AND list_id = ?2";

impl Entity for GeoList {
    fn check(&mut self, db: &Connection, old: Option<&Self>) -> Result<()> {
        let model = self.model().ok_or_else(|| Error::invalid("The selected geo routing model id is invalid."))?;
        if old.is_none_or(|old| old.geo_routing_model_id == self.geo_routing_model_id) {
            return Ok(());
        }
        let mut statement =
            db.prepare_cached("SELECT zone FROM geo_destination_zones WHERE geo_routing_list_id = ?1")?;
        let mut zones = statement.query([self.id])?;
        while let Some(zone) = zones.next()? {
            if model.zone(zone.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?).is_none() {
                let said = "The destinations of this list have zones that the other model does not have.";
                return Err(Error::rejected("zones_of_another_model", said));
            }
        }
        Ok(())
    }

    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        entity_rows::delete_each::<GeoDestination>(db, recorder, geo_destinations::LIST, self.id)
    }
}

impl Editable for GeoList {}

impl GeoList {
    /// The customer's list with this code.
    pub fn with_code(db: &Connection, customer: i64, code: &str) -> rusqlite::Result<Option<Self>> {
        let sql = format!("SELECT {} FROM geo_lists WHERE id = ({BY_CODE})", Self::COLUMNS);
        db.prepare_cached(&sql)?.query_row((customer, code), Self::from_columns).optional()
    }

    pub fn model(&self) -> Option<&'static GeoModel> {
        models::find(self.geo_routing_model_id.get())
    }

    pub fn fallbacks(&self) -> [&Option<Text<255>>; 4] {
        [
            &self.fallback_destination_1,
            &self.fallback_destination_2,
            &self.fallback_destination_3,
            &self.fallback_destination_4,
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn a_list_has_a_code_of_its_own_and_a_model_that_there_is() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let id = routing.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 1}));
        other.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 1}));
        routing.post("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 2})).rejected(422, "list_id_taken");
        let mut required = routing.post("/geo/lists", json!({"list_name": "L"})).json()["hint"].clone();
        required.as_array_mut().unwrap().sort_by_key(Value::to_string);
        assert_eq!(required, json!(["The geo routing model id field is required.", "The list id field is required."]));
        let no_model = &["The selected geo routing model id is invalid."];
        routing.post("/geo/lists", json!({"list_id": "B", "geo_routing_model_id": 10})).invalid(no_model);
        routing.put(&format!("/geo/lists/{id}"), json!({"geo_routing_model_id": 10})).invalid(no_model);
        assert_eq!(routing.ids("/geo/lists"), [id]);
    }

    #[test]
    fn the_model_changes_only_where_all_zones_are_of_the_other_too() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let id = routing.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 1}));
        let (path, inside) = (format!("/geo/lists/{id}"), format!("/geo/lists/{id}/destinations"));
        routing.create(&inside, json!({"zones": ["01"]}));
        let corsica = routing.create(&inside, json!({"zones": ["02", "2A"]}));
        let other = json!({"geo_routing_model_id": 2, "list_name": "Renamed"});
        routing.put(&path, other.clone()).rejected(422, "zones_of_another_model");
        let kept = routing.get(&path).ok();
        assert_eq!((&kept["geo_routing_model_id"], &kept["list_name"]), (&json!(1), &Value::Null));
        routing.put(&path, json!({"list_name": "Same model"})).created();
        routing.put(&format!("{inside}/{corsica}"), json!({"zones": ["02"]})).created();
        routing.put(&path, other).created();
        routing
            .put(&format!("{inside}/{corsica}"), json!({"zones": ["2A"]}))
            .invalid(&["The selected zones 0 is invalid."]);
    }

    #[test]
    fn a_list_goes_with_its_destinations_and_each_is_accounted_for() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let (kept, gone) = (
            routing.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 1})),
            routing.create("/geo/lists", json!({"list_id": "B", "geo_routing_model_id": 1})),
        );
        for list in [kept, gone] {
            routing.create(&format!("/geo/lists/{list}/destinations"), json!({"zones": ["01"], "destination_1": "1"}));
        }
        routing.delete(&format!("/geo/lists/{gone}")).ok();
        assert_eq!(routing.ids("/geo/lists"), [kept]);
        assert_eq!(routing.ids(&format!("/geo/lists/{kept}/destinations")), [1]);
        let told = server.admin().get("/audit-log?sort=-id&per_page=2").ok();
        let told: Vec<&Value> = told["data"].as_array().unwrap().iter().map(|row| &row["action"]).collect();
        assert_eq!(told, ["geo-list.deleted", "geo-destination.deleted"]);
        let zones = server.in_file(|db| {
            let sql = "SELECT group_concat(destination_id) FROM geo_destination_zones";
            Ok(db.query_row(sql, [], |row| row.get::<_, String>(0))?)
        });
        assert_eq!(zones, "1");
    }

    #[test]
    fn lists_go_where_their_customer_goes() {
        let server = TestServer::new();
        let (routing, into) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let list = routing.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 1}));
        let inside = format!("/geo/lists/{list}/destinations");
        let destination = routing.create(&inside, json!({"zones": ["75"], "destination_1": "801"}));
        let path = format!("/customers/{}/merge", routing.customer);
        let same = into.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 1}));
        server.admin().post(&path, json!({"into": into.customer})).rejected(422, "list_id_taken");
        into.delete(&format!("/geo/lists/{same}")).ok();
        server.admin().post(&path, json!({"into": into.customer})).created();
        assert_eq!(into.get(&inside).ok()["data"][0]["customer_id"], into.customer);
        let found = into.get("/geo/destinations/lookup?list_id=A&value=75011").ok();
        assert_eq!((&found["list"]["id"], &found["destination"]), (&json!(list), &json!("801")));
        into.delete(&format!("{inside}/{destination}")).ok();
    }

    #[test]
    fn lists_are_listed_by_each_of_their_fields() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let all = json!({
            "list_id": "A1", "list_name": "Élus", "fallback_destination_1": "f1", "fallback_destination_2": "f2",
            "fallback_destination_3": "f3", "fallback_destination_4": "f4", "geo_routing_model_id": 4,
        });
        let made = routing.post("/geo/lists", all.clone()).created();
        routing.create("/geo/lists", json!({"list_id": "B2", "geo_routing_model_id": 1}));
        for (field, value) in all.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            for query in [format!("{field}={value}"), format!("filter[{field}]={value}")] {
                assert_eq!(routing.ids(&format!("/geo/lists?{query}")), [1], "{query}");
            }
        }
        for query in ["id=1", "term=elu%20a1", "filter[created_at][gte]=2000-01-01&list_id=A"] {
            assert_eq!(routing.ids(&format!("/geo/lists?{query}")), [1], "{query}");
        }
        assert_eq!(routing.ids("/geo/lists?sort=-list_id"), [2, 1]);
    }
}

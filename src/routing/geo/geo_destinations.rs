//! Destinations of a geo list by zone, and the look-up that a call flow requests.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::geo_lists::GeoList;
use super::models::GeoZone;
use crate::api::crud::{self, create_nested, list_nested, remove_nested, show_nested, update_nested};
use crate::api::entity::{Editable, Entity, Nested, entity};
use crate::api::field::{Field, labelled};
use crate::api::list::for_each_row;
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{Ctx, Error, Id, Needs, Ok200, Query, Result, Route, delete, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::routing::step::Step;
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones;
use crate::values::{Flag, Name, Text, UniqueList, choice};

pub const RESOURCE: Resource = Resource::new("Geo destinations", "Destinations of a geo list, by zone.", ROUTES)
    .french("Destinations géographiques")
    .section(Section::Routing)
    .entity::<GeoDestination>()
    .more_fields(&[FIELDS])
    .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("list", "List", "Liste"),
    labelled("zone", "Zone", "Zone"),
    labelled("destination", "Destination", "Destination"),
    labelled("destinations", "Destinations", "Destinations"),
    labelled("fallback", "Fallback", "Repli"),
    labelled("list_id", "List", "Liste"),
    labelled("value", "Postcode or number", "Code postal ou numéro"),
    labelled("number", "Number", "Numéro"),
    labelled("postcode", "Postcode", "Code postal"),
];

const VIEW: ResourceView = ResourceView {
    title: &["nickname", "zones"],
    columns: &["nickname", "zones", "destination_1", "destination_2"],
    groups: &[
        group("Zones", "Zones", &["nickname", "zones"]),
        group("Destinations", "Destinations", &["destination_1", "destination_2", "destination_3", "destination_4"]),
    ],
    widgets: &[("customer_id", Widget::Hidden), ("geo_routing_list_id", Widget::Hidden), ("zones", Widget::List)],
    help: &[("zones", label("One code per line, for example 75.", "Un code par ligne, par exemple 75."))],
    purpose: label("Where calls go, by zone.", "Où vont les appels, selon la zone."),
    singular: label("destination", "une destination"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/geo/destinations/lookup",
        &run(lookup),
        Needs::Lookup("routing.view"),
        "Look up the destination of a postcode or number",
    )
    .named("lookUpGeoDestination"),
    get(
        "/smart-routings/geo/lists/{id}/destinations",
        &run(list_nested::<GeoDestination>),
        Needs::Scoped("routing.view"),
        "List a geo list's destinations",
    ),
    get(
        "/smart-routings/geo/lists/{id}/destinations/{destination_id}",
        &run(show_nested::<GeoDestination>),
        Needs::Scoped("routing.view"),
        "Show a geo destination",
    ),
    post(
        "/smart-routings/geo/lists/{id}/destinations",
        &run(create_nested::<GeoDestination>),
        Needs::Scoped("routing.create"),
        "Create a geo destination",
    ),
    put(
        "/smart-routings/geo/lists/{id}/destinations/{destination_id}",
        &run(update_nested::<GeoDestination>),
        Needs::Scoped("routing.update"),
        "Change a geo destination",
    ),
    delete(
        "/smart-routings/geo/lists/{id}/destinations/{destination_id}",
        &run(remove_nested::<GeoDestination>),
        Needs::Scoped("routing.delete"),
        "Delete a geo destination",
    ),
];

entity! {
    /// The destinations of one or more zones of a geo list.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct GeoDestination in "geo_destinations" {
        /// Id of the customer that owns the destination.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Id of the list in the path. A value in the body is ignored.
        pub geo_routing_list_id: i64 => integer, "List", "Liste";
        /// Zone codes of the list's geo model, for example `["75", "2A"]`. A zone may be in one destination of the list
        /// only.
        pub zones: UniqueList<Name<16>> => text, "Zones", "Zones";
        /// Display name of the destination.
        #[schemars(example = &"Paris")]
        pub nickname: Option<Text<255>> => text.sorted_by("fold(nickname)"), "Name", "Nom";
        /// Destination for values in these zones. Call flows try the other destinations in order.
        #[schemars(example = &"801")]
        pub destination_1: Option<Text<255>> => text, "Destination 1", "Destination 1";
        /// Second destination.
        pub destination_2: Option<Text<255>> => text, "Destination 2", "Destination 2";
        /// Third destination.
        pub destination_3: Option<Text<255>> => text, "Destination 3", "Destination 3";
        /// Fourth destination.
        pub destination_4: Option<Text<255>> => text, "Destination 4", "Destination 4";
    }
    recorded: &Recorded::announced("geo-destination", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["nickname", "zones"])];
}

/// The value to route, and the list to use.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GeoLookupQuery {
    /// The list's `list_id`.
    #[schemars(example = &"north")]
    list_id: Name<64>,
    /// A postcode or a phone number in any format, as the list's geo model expects. One of `value`, `number`,
    /// `postcode` and `zone` is required.
    #[schemars(example = &"75008")]
    value: Text<255>,
    /// Same as `value`.
    number: Text<255>,
    /// Same as `value`.
    postcode: Text<255>,
    /// Code of a zone of the list's geo model. Any other text is read like `value`.
    zone: Text<255>,
    /// Whether the answer says what was tried.
    explain: Flag,
}

choice! {
    /// What the look-up tries: the zone of the value, the destination of the zone, the fallbacks of the list.
    ZoneAttempt { ZONE = "zone", DESTINATION = "destination", FALLBACK = "fallback" }
}

/// The destinations of a value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GeoRoute {
    /// The list that was asked for.
    list: GeoList,
    /// Zone of the value in the list's geo model. Null if no zone matches.
    zone: Option<&'static GeoZone>,
    /// First of `destinations`. Null if there are none.
    destination: Option<Text<255>>,
    /// All destinations that are set, in order.
    destinations: Vec<Text<255>>,
    /// True if these are the fallback destinations of the list, because the value has no zone or the zone has no
    /// destination.
    fallback: bool,
    /// Only with `explain=1`: what was tried, with the name of what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Step<ZoneAttempt, String>>")]
    steps: Option<Vec<Step<ZoneAttempt, String>>>,
}

impl GeoLookupQuery {
    /// The first value that is not blank.
    fn value(&self) -> Result<&str> {
        let values = [&self.value, &self.number, &self.postcode, &self.zone];
        let said = values.into_iter().find(|value| !value.trim().is_empty());
        said.map(|value| &**value).ok_or_else(|| Error::invalid("The value field is required."))
    }
}

fn lookup(ctx: &mut Ctx<'_>, scope: CustomerParam, Query(asked): Query<GeoLookupQuery>) -> Result<Ok200<GeoRoute>> {
    let (db, customer) = (ctx.db, scope.id(ctx)?);
    let value = asked.value()?;
    let list = GeoList::with_code(db, customer, &asked.list_id)?.ok_or_else(Error::not_found)?;
    let named = list.model().and_then(|model| model.zone(asked.zone.trim()));
    let read = || list.model().map_or(Ok(None), |model| model.zone_of(value, || phones::default_country(db)));
    let zone = named.map_or_else(read, |zone| Ok(Some(zone)))?;
    let row = zone.map_or(Ok(None), |zone| GeoDestination::of_zone(db, list.id, &zone.code))?;
    let all = row.as_ref().map_or_else(|| list.fallbacks(), GeoDestination::destinations);
    let given = all.into_iter().flatten().filter(|destination| !destination.trim().is_empty());
    let destinations: Vec<Text<255>> = given.cloned().collect();
    let destination = destinations.first().cloned();
    let fallback = row.is_none();
    let steps = asked.explain.0.then(|| steps(zone, row.as_ref(), destination.as_ref()));
    Ok(Ok200(GeoRoute { list, zone, destination, destinations, fallback, steps }))
}

/// A zone of a geo list's model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ZoneUse {
    #[serde(flatten)]
    zone: &'static GeoZone,
    /// Id of the destination that has the zone. Null if the zone is free.
    destination_id: Option<i64>,
    /// Display name of that destination.
    nickname: Option<Text<255>>,
    /// First destination that is set.
    destination: Option<Text<255>>,
}

/// The zones of a geo list's model, in its order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ZoneUses {
    /// Zones without a destination.
    free: usize,
    /// Zones with a destination.
    taken: usize,
    /// All zones.
    zones: Vec<ZoneUse>,
}

pub fn zones(ctx: &mut Ctx<'_>, scope: CustomerParam, Id(id): Id) -> Result<Ok200<ZoneUses>> {
    let list = crud::find::<GeoList>(ctx, &scope, id)?;
    let mut owners: HashMap<String, GeoDestination> = HashMap::new();
    for_each_row(ctx.db, LIST, id, |row: GeoDestination| {
        owners.extend(row.zones.iter().map(|zone| (zone.to_string(), row.clone())));
        Ok(())
    })?;
    let all = list.model().map_or(&[][..], |model| &model.zones);
    let zones: Vec<ZoneUse> = all
        .iter()
        .map(|zone| {
            let owner = owners.get(&zone.code);
            let set = |to: &&Option<Text<255>>| to.as_ref().is_some_and(|to| !to.trim().is_empty());
            ZoneUse {
                zone,
                destination_id: owner.map(|owner| owner.id),
                nickname: owner.and_then(|owner| owner.nickname.clone()),
                destination: owner.and_then(|owner| owner.destinations().into_iter().find(set).cloned().flatten()),
            }
        })
        .collect();
    let taken = zones.iter().filter(|zone| zone.destination_id.is_some()).count();
    Ok(Ok200(ZoneUses { free: zones.len() - taken, taken, zones }))
}

fn steps(
    zone: Option<&GeoZone>,
    row: Option<&GeoDestination>,
    destination: Option<&Text<255>>,
) -> Vec<Step<ZoneAttempt, String>> {
    let name = |row: &GeoDestination| row.nickname.as_ref().map_or_else(|| row.id.to_string(), ToString::to_string);
    let found_zone = zone.map(|zone| format!("{} {}", zone.code, zone.label));
    let mut steps = vec![Step { tried: ZoneAttempt::ZONE, found: found_zone, decided: false }];
    if zone.is_some() {
        steps.push(Step::of(ZoneAttempt::DESTINATION, row.map(name)));
    }
    if row.is_none() {
        let found = destination.map(ToString::to_string);
        steps.push(Step { tried: ZoneAttempt::FALLBACK, found, decided: true });
    }
    steps
}

const BY_ZONE: &str = "SELECT destination_id FROM geo_destination_zones WHERE geo_routing_list_id = ?1 AND zone = ?2";

pub const LIST: &str = "geo_routing_list_id";

impl Entity for GeoDestination {
    fn check(&mut self, db: &Connection, _: Option<&Self>) -> Result<()> {
        let model = GeoList::find(db, self.geo_routing_list_id)?.and_then(|list| list.model());
        let is_one = |code: &str| model.is_some_and(|model| model.zone(code).is_some());
        let wrong = self.zones.iter().enumerate().filter(|(_, code)| !is_one(code));
        let wrong: Vec<String> = wrong.map(|(place, _)| format!("The selected zones {place} is invalid.")).collect();
        if wrong.is_empty() { Ok(()) } else { Err(Error::sentences(wrong)) }
    }

    fn index(&self, db: &Connection, old: Option<&Self>) -> Result<()> {
        if old.is_some_and(|old| old.zones == self.zones) {
            return Ok(());
        }
        if old.is_some() {
            db.prepare_cached("DELETE FROM geo_destination_zones WHERE destination_id = ?1")?.execute([self.id])?;
        }
        db.prepare_cached(
            "INSERT INTO geo_destination_zones (geo_routing_list_id, zone, destination_id)
             SELECT ?1, value, ?2 FROM json_each(?3)",
        )?
        .execute((self.geo_routing_list_id, self.id, &self.zones))?;
        Ok(())
    }
}

impl Editable for GeoDestination {}

impl GeoDestination {
    /// The destination of a zone in a list.
    fn of_zone(db: &Connection, list: i64, code: &str) -> rusqlite::Result<Option<Self>> {
        let sql = format!("SELECT {} FROM geo_destinations WHERE id = ({BY_ZONE})", Self::COLUMNS);
        db.prepare_cached(&sql)?.query_row((list, code), Self::from_columns).optional()
    }

    fn destinations(&self) -> [&Option<Text<255>>; 4] {
        [&self.destination_1, &self.destination_2, &self.destination_3, &self.destination_4]
    }
}

impl Nested for GeoDestination {
    type Parent = GeoList;

    const PARENT: &'static str = LIST;

    fn parent(&mut self) -> &mut i64 {
        &mut self.geo_routing_list_id
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::BY_ZONE;
    use crate::routing::geo::geo_lists::BY_CODE;
    use crate::tests::{RoutingClient, TestServer};

    /// Creates a list `A` of departments with fallbacks. Returns the path of its destinations.
    fn departments(routing: &RoutingClient<'_>) -> String {
        let list = json!({
            "list_id": "A", "fallback_destination_2": "902", "fallback_destination_3": " ", "fallback_destination_4": "904",
            "geo_routing_model_id": 1,
        });
        format!("/geo/lists/{}/destinations", routing.create("/geo/lists", list))
    }

    #[test]
    fn a_value_goes_to_its_zones_destination_else_to_the_fallbacks() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let destinations = departments(&routing);
        other.create(&departments(&other), json!({"zones": ["75"], "destination_1": "another's"}));
        let paris =
            json!({"zones": ["75", "2A"], "destination_1": "", "destination_2": "802", "destination_4": "+33 1"});
        let paris = routing.create(&destinations, paris);
        let empty = routing.create(&destinations, json!({"zones": ["13"]}));
        let look = |value: &str| routing.get(&format!("/geo/destinations/lookup?list_id=A&value={value}")).ok();
        let zone = |code: &str, label: &str| json!({"code": code, "label": label});
        let fallbacks = json!(["902", "904"]);
        for (value, zone, destination, destinations, fallback) in [
            ("75011", zone("75", "Paris"), json!("802"), json!(["802", "+33 1"]), false),
            ("%20750%2011", zone("75", "Paris"), json!("802"), json!(["802", "+33 1"]), false),
            ("20137", zone("2A", "Corse-du-Sud"), json!("802"), json!(["802", "+33 1"]), false),
            ("20200", zone("2B", "Haute-Corse"), json!("902"), fallbacks.clone(), true),
            ("13001", zone("13", "Bouches-du-Rhône"), Value::Null, json!([]), false),
            ("98500", Value::Null, json!("902"), fallbacks.clone(), true),
            ("%F0%9F%87%AB", Value::Null, json!("902"), fallbacks, true),
        ] {
            let found = look(value);
            assert_eq!(found["list"]["list_id"], "A", "{value}");
            let answered = (&found["zone"], &found["destination"], &found["destinations"], &found["fallback"]);
            assert_eq!(answered, (&zone, &destination, &destinations, &json!(fallback)), "{value}");
        }
        // A changed or deleted destination no longer matches.
        routing.put(&format!("{destinations}/{paris}"), json!({"zones": ["2A"]})).created();
        assert_eq!(look("75011")["fallback"], true);
        routing
            .put(&format!("{destinations}/{empty}"), json!({"zones": ["13", "75"], "destination_3": "813"}))
            .created();
        assert_eq!(look("75011")["destination"], "813");
        routing.delete(&format!("{destinations}/{empty}")).ok();
        assert_eq!(look("75011")["fallback"], true);
    }

    #[test]
    fn a_number_without_a_prefix_is_of_the_workspaces_country() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 7}));
        let zone = |value: &str| {
            routing.get(&format!("/geo/destinations/lookup?list_id=A&value={value}")).ok()["zone"]["code"].clone()
        };
        assert_eq!(
            (zone("0223456789"), zone("0041223456789"), zone("+41223456789")),
            (json!("FR"), json!("CH"), json!("CH"))
        );
        server.admin().put("/settings", json!({"default_country": "CH"})).created();
        assert_eq!((zone("0223456789"), zone("0033142000000")), (json!("CH"), json!("FR")));
    }

    #[test]
    fn a_lookup_says_what_it_is_about() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        departments(&other);
        routing.get("/geo/destinations/lookup?value=%20").invalid(&["The list id field is required."]);
        for nothing in ["", "&value=%20", "&number=&zone=&postcode="] {
            let asked = format!("/geo/destinations/lookup?list_id=A{nothing}");
            routing.get(&asked).invalid(&["The value field is required."])
        }
        let zone = |value: &str| {
            other.get(&format!("/geo/destinations/lookup?list_id=A&{value}")).ok()["zone"]["code"].clone()
        };
        for value in ["value=75011", "postcode=F-75011", "number=75011", "zone=75", "zone=75011"] {
            assert_eq!(zone(value), "75", "{value}");
        }
        // `2A` is the zone of Ajaccio, but no postcode begins with it.
        assert_eq!(zone("zone=2A"), "2A");
        routing.get("/geo/destinations/lookup?list_id=A&value=75011").rejected(404, "not_found");
        other.get("/geo/destinations/lookup?list_id=a&value=75011").rejected(404, "not_found");
        routing.create("/geo/lists", json!({"list_id": "A", "geo_routing_model_id": 1}));
        let found = routing.get("/geo/destinations/lookup?list_id=A&value=75011").ok();
        let answered = (&found["destination"], &found["destinations"], &found["fallback"]);
        assert_eq!(answered, (&Value::Null, &json!([]), &json!(true)));
    }

    #[test]
    fn a_zone_is_of_the_lists_model_and_in_one_of_its_destinations() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let destinations = departments(&routing);
        let wrong = json!({"zones": ["75", "ZZ", "2a", "13"]});
        routing
            .post(&destinations, wrong)
            .invalid(&["The selected zones 1 is invalid.", "The selected zones 2 is invalid."]);
        let first = routing.create(&destinations, json!({"zones": ["75", "13", "75"]}));
        routing.post(&destinations, json!({"zones": ["06", "13"]})).rejected(422, "zone_taken");
        let second = routing.create(&destinations, json!({"zones": ["06"]}));
        routing.put(&format!("{destinations}/{second}"), json!({"zones": ["06", "75"]})).rejected(422, "zone_taken");
        assert_eq!(routing.ids(&destinations), [first, second]);
        assert_eq!(routing.get(&format!("{destinations}/{second}")).ok()["zones"], json!(["06"]));
        routing.put(&format!("{destinations}/{first}"), json!({"zones": ["13", "75"], "nickname": "N"})).created();
        routing.put(&format!("{destinations}/{first}"), json!({"zones": ["13"]})).created();
        routing.put(&format!("{destinations}/{second}"), json!({"zones": ["06", "75"]})).created();
        // Zones are unique within a list, not across lists.
        let another = routing.create("/geo/lists", json!({"list_id": "B", "geo_routing_model_id": 1}));
        routing.create(&format!("/geo/lists/{another}/destinations"), json!({"zones": ["06", "13", "75"]}));
    }

    #[test]
    fn destinations_are_listed_by_each_of_their_fields() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let path = departments(&routing);
        let all = json!({
            "zones": ["2A"], "nickname": "Île", "destination_1": "d1", "destination_2": "d2", "destination_3": "d3",
            "destination_4": "d4",
        });
        let made = routing.post(&path, all.clone()).created();
        routing.create(&path, json!({"zones": ["75"]}));
        for (field, value) in all.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
            let value = value[0].as_str().or(value.as_str()).unwrap();
            for query in [format!("{field}={value}"), format!("filter[{field}]={value}")] {
                assert_eq!(routing.ids(&format!("{path}?{query}")), [1], "{query}");
            }
        }
        for (query, ids) in [("id=1", vec![1]), ("term=ile", vec![1]), ("geo_routing_list_id=1&sort=-id", vec![2, 1])] {
            assert_eq!(routing.ids(&format!("{path}?{query}")), ids, "{query}");
        }
    }

    #[test]
    fn a_lookup_finds_its_rows_by_all_that_it_knows_of_them() {
        let server = TestServer::new();
        for (sql, by) in [(BY_CODE, "(customer_id=? AND list_id=?)"), (BY_ZONE, "(geo_routing_list_id=? AND zone=?)")] {
            let plan = server.in_file(move |db| {
                let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let steps = statement.query_map((1, "A"), |row| row.get::<_, String>("detail"))?;
                Ok(steps.collect::<rusqlite::Result<Vec<_>>>()?)
            });
            assert!(plan.len() == 1 && plan[0].contains(by), "{plan:?}");
        }
    }
}

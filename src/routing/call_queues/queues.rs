//! Call queues, each with its code, its numbers and its default destination.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::children;
use super::hours;
use super::parents::ParentType;
use super::queue_groups::CallQueueGroup;
use crate::api::crud::{create, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{RecordLink, ResourceView, Widget, group, label, quick_filter, related};
use crate::api::{Error, Needs, Result, Route, delete, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::storage::Stored;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::{self, PhoneText};
use crate::values::{Name, Text, Timestamp, choice};

pub const RESOURCE: Resource =
    Resource::new("Call queues", "Call queues with their numbers and default destinations.", ROUTES)
        .french("Files d’attente")
        .section(Section::Routing)
        .entity::<CallQueue>()
        .more_fields(&[hours::FIELDS])
        .folded(reindex_texts)
        .view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "code", "number", "did_number", "default_destination", "call_queue_group_id", "active"],
    groups: &[
        group("Queue", "File d’attente", &["name", "code", "active", "call_queue_group_id", "customer_id"]),
        group("Phone system", "Standard", &["number", "did_number", "host_name", "type"]),
        group("Default", "Par défaut", &["default_destination_type", "default_destination"]),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("call_queue_group_id", Widget::Link("/smart-routings/call-queues/groups")),
        ("number", Widget::Phone),
        ("did_number", Widget::Phone),
    ],
    help: &[
        (
            "active",
            label(
                "Calls of an inactive queue always go to the default destination.",
                "Les appels d’une file inactive vont toujours à la destination par défaut.",
            ),
        ),
        (
            "call_queue_group_id",
            label(
                "The queue also has the hours of its group. Its own hours come first.",
                "La file a aussi les horaires de son groupe. Ses propres horaires passent avant.",
            ),
        ),
        (
            "default_destination",
            label("Where calls go outside of the hours.", "Où vont les appels en dehors des horaires."),
        ),
    ],
    quick_filters: &[
        quick_filter("Active", "Actives", "filter[active]=true"),
        quick_filter("Inactive", "Inactives", "filter[active]=false"),
    ],
    related: &[
        related("Hours", "Plages horaires", "/smart-routings/call-queues/time-spans", "time_spanable_id")
            .only("filter[time_spanable_type]=call_queue"),
        related("Exceptions", "Exceptions", "/smart-routings/call-queues/exceptions", "exceptionable_id")
            .only("filter[exceptionable_type]=call_queue"),
    ],
    affected_by_delete: &[
        related(
            "time spans are deleted",
            "plages horaires sont supprimées",
            "/smart-routings/call-queues/time-spans",
            "time_spanable_id",
        )
        .only("filter[time_spanable_type]=call_queue"),
        related(
            "exceptions are deleted",
            "exceptions sont supprimées",
            "/smart-routings/call-queues/exceptions",
            "exceptionable_id",
        )
        .only("filter[exceptionable_type]=call_queue"),
    ],
    purpose: label(
        "A queue says where calls go, by day and time.",
        "Une file d’attente dit où vont les appels, selon le jour et l’heure.",
    ),
    singular: label("call queue", "une file d’attente"),
    record_links: &[
        RecordLink {
            label: label("Week", "Semaine"),
            page: "/ui/routing/{account}/call-queues/queues/{id}/week",
            only_if: &[],
        },
        RecordLink {
            label: label("Closed days", "Jours fermés"),
            page: "/ui/routing/{account}/call-queues/queues/{id}/holidays",
            only_if: &[],
        },
    ],
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/call-queues/queues",
        &run(list::<CallQueue>),
        Needs::Scoped("routing.view"),
        "List call queues",
    ),
    get(
        "/smart-routings/call-queues/queues/states",
        &run(hours::states),
        Needs::Scoped("routing.view"),
        "List where the calls of each active queue go at a time, and until when",
    )
    .named("listCallQueueStates"),
    get(
        "/smart-routings/call-queues/queues/{id}/week",
        &run(hours::week_of_queue),
        Needs::Scoped("routing.view"),
        "Show where the calls of a queue go in a week",
    )
    .named("showCallQueueWeek"),
    get(
        "/smart-routings/call-queues/queues/{id}",
        &run(show::<CallQueue>),
        Needs::Scoped("routing.view"),
        "Show a call queue",
    ),
    post(
        "/smart-routings/call-queues/queues",
        &run(create::<CallQueue>),
        Needs::Scoped("routing.create"),
        "Create a call queue",
    ),
    put(
        "/smart-routings/call-queues/queues/{id}",
        &run(update::<CallQueue>),
        Needs::Scoped("routing.update"),
        "Change a call queue",
    ),
    delete(
        "/smart-routings/call-queues/queues/{id}",
        &run(remove::<CallQueue>),
        Needs::Scoped("routing.delete"),
        "Delete a call queue and its time spans and exceptions",
    ),
];

choice! {
    /// The type of a destination.
    DestinationType {
        EXTENSION = "extension", QUEUE = "queue", NUMBER = "number", VOICEMAIL = "voicemail", HANGUP = "hangup",
    }
}

entity! {
    /// A call queue of a customer.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct CallQueue in "call_queues" {
        /// Id of the customer that owns the call queue.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Whether time spans and exceptions apply. Calls of an inactive queue go to the default destination.
        pub active: bool => flag, "Active", "Actif";
        /// Display name of the queue.
        #[schemars(example = &"Support")]
        pub name: Name<255> => text.sorted_by("fold(name)"), "Name", "Nom";
        /// Code of the queue in the customer's own system. Unique within the customer.
        #[schemars(example = &"SUP")]
        pub code: Option<Text<64>> => text.sorted_by("fold(code)"), "Code", "Code";
        /// Number of the queue in the PBX, stored as typed. Matched in any format.
        #[schemars(example = &"01 42 00 00 00")]
        pub number: PhoneText => phone_number("call_queues"), "Number", "Numéro";
        /// Number dialled from outside (DID), stored as typed. Matched in any format.
        pub did_number: PhoneText => phone_number("call_queues"), "Direct number", "Numéro direct";
        /// Host name of the PBX that has the queue.
        pub host_name: Option<Text<255>> => text, "Host", "Hôte";
        /// Type of the queue in the PBX, for example `ring-all`. Free text.
        #[serde(rename = "type")]
        pub kind: Option<Text<64>> => text.named("type"), "Type", "Type";
        /// Id of a group of the same customer. The queue's own time spans and exceptions take precedence over those of the
        /// group. `0` or null: none.
        #[serde(deserialize_with = "crate::values::nullable_id")]
        pub call_queue_group_id: Option<i64> => integer, "Group", "Groupe";
        /// Type of the default destination.
        pub default_destination_type: Option<DestinationType> => choice(DestinationType::WORDS), "Default destination type", "Type de destination par défaut";
        /// Destination of calls when neither an exception nor a time span applies.
        #[schemars(example = &"899")]
        pub default_destination: Option<Text<255>> => text, "Default destination", "Destination par défaut";
    }
    recorded: &Recorded::announced("call-queue", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    phones: [number, did_number];
    also: [words(&["name", "code", "number", "did_number", "host_name", "kind", "default_destination"])];
}

impl Default for CallQueue {
    fn default() -> Self {
        Self {
            id: 0,
            customer_id: 0,
            active: true,
            name: Name::default(),
            code: None,
            number: None,
            did_number: None,
            host_name: None,
            kind: None,
            call_queue_group_id: None,
            default_destination_type: None,
            default_destination: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }
}

const TABLE: &str = "call_queues";

pub const GROUP: &str = "call_queue_group_id";

impl Entity for CallQueue {
    fn check(&mut self, db: &Connection, _: Option<&Self>) -> Result<()> {
        let Some(group) = self.call_queue_group_id else { return Ok(()) };
        let own = CallQueueGroup::find(db, group)?.filter(|group| group.customer_id == self.customer_id);
        own.map(|_| ()).ok_or_else(|| Error::invalid("The selected call queue group id is invalid."))
    }

    fn index(&self, db: &Connection, old: Option<&Self>) -> Result<()> {
        let numbers = [("number", &self.number), ("did_number", &self.did_number)];
        match old {
            None => phones::insert(db, TABLE, self.id, &numbers)?,
            Some(old) if (&old.number, &old.did_number) == (&self.number, &self.did_number) => {}
            Some(_) => phones::save(db, TABLE, self.id, &numbers)?,
        }
        Ok(())
    }

    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        children::delete_all(db, recorder, ParentType::QUEUE, self.id)
    }
}

impl Editable for CallQueue {}

/// Folds the texts of the rows with ids above `after` and up to `last`.
fn reindex_texts(db: &Connection, after: i64, last: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO call_queues_fts (rowid, name, code)
         SELECT id, fold(name), fold(code) FROM call_queues WHERE id > ?1 AND id <= ?2",
    )?
    .execute((after, last))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn a_queue_is_active_and_of_no_group_where_nothing_else_is_said() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let made = routing.post("/call-queues/queues", json!({"name": "Sales"})).created();
        assert_eq!((&made["active"], &made["call_queue_group_id"]), (&json!(true), &Value::Null));
        routing.post("/call-queues/queues", json!({})).invalid(&["The name field is required."]);
        routing
            .post("/call-queues/queues", json!({"name": "S", "default_destination_type": "fax", "active": "yes"}))
            .invalid(&["The selected default destination type is invalid.", "The active must be true or false."]);
    }

    #[test]
    fn a_code_is_one_queues_of_a_customer() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        routing.create("/call-queues/queues", json!({"name": "A", "code": "Q1"}));
        other.create("/call-queues/queues", json!({"name": "A", "code": "Q1"}));
        routing.post("/call-queues/queues", json!({"name": "B", "code": "Q1"})).rejected(422, "code_taken");
        let none = routing.create("/call-queues/queues", json!({"name": "B"}));
        routing.create("/call-queues/queues", json!({"name": "B"}));
        routing.put(&format!("/call-queues/queues/{none}"), json!({"code": "Q1"})).rejected(422, "code_taken");
    }

    #[test]
    fn a_group_is_one_of_the_same_customer() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let theirs = other.create("/call-queues/groups", json!({"name": "G"}));
        let own = routing.create("/call-queues/groups", json!({"name": "G"}));
        let invalid = &["The selected call queue group id is invalid."];
        for group in [theirs, -1, 99] {
            routing.post("/call-queues/queues", json!({"name": "A", "call_queue_group_id": group})).invalid(invalid);
        }
        let queue = routing.create("/call-queues/queues", json!({"name": "A", "call_queue_group_id": own}));
        let path = format!("/call-queues/queues/{queue}");
        routing.put(&path, json!({"call_queue_group_id": theirs})).invalid(invalid);
        assert_eq!(
            routing.put(&path, json!({"call_queue_group_id": null})).created()["call_queue_group_id"],
            Value::Null
        );
    }

    #[test]
    fn queues_are_listed_by_each_of_their_fields() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let group = routing.create("/call-queues/groups", json!({"name": "G"}));
        let all = json!({
            "active": true, "name": "Vente Été", "code": "Q1", "number": "801", "did_number": "01 42 00 00 00",
            "host_name": "pbx.example.com", "type": "ring-all", "call_queue_group_id": group,
            "default_destination_type": "hangup", "default_destination": "999",
        });
        let made = routing.post("/call-queues/queues", all.clone()).created();
        for (field, value) in all.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        // This queue has the numbers of the first one, swapped.
        let turned = json!({"name": "B", "active": false, "number": "0142000000", "did_number": "801"});
        routing.create("/call-queues/queues", turned);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let by = all.as_object().unwrap().iter().map(|(field, value)| (field.clone(), text(value)));
        let more = [("term", "ete 801"), ("name", "ete"), ("did_number", "+33142000000")];
        for (field, value) in by.chain(more.map(|(field, value)| (field.to_owned(), value.to_owned()))) {
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            for query in [format!("{field}={value}"), format!("filter[{field}]={value}")] {
                assert_eq!(routing.ids(&format!("/call-queues/queues?{query}")), [1], "{query}");
            }
        }
        routing.put("/call-queues/queues/1", json!({"did_number": "0143000000"})).created();
        assert!(routing.ids("/call-queues/queues?did_number=0142000000").is_empty());
    }

    #[test]
    fn what_is_of_a_queue_goes_with_it_and_what_is_of_a_group_of_the_same_number_stays() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let (queue, group) = (
            routing.create("/call-queues/queues", json!({"name": "Q"})),
            routing.create("/call-queues/groups", json!({"name": "G"})),
        );
        assert_eq!(queue, group);
        for kind in ["call_queue", "call_queue_group"] {
            let span = json!({"day_of_week": 1, "start_time": "09:00", "end_time": "18:00"});
            routing.create(&format!("/call-queues/time-spans?time_spanable_id=1&time_spanable_type={kind}"), span);
            let path = format!("/call-queues/exceptions?exceptionable_id=1&exceptionable_type={kind}");
            routing.create(&path, json!({"day": "--05-01"}));
        }
        routing.delete("/call-queues/queues/1").ok();
        assert_eq!(routing.ids("/call-queues/time-spans"), [2]);
        assert_eq!(routing.ids("/call-queues/exceptions"), [2]);
        let told = server.admin().get("/audit-log?sort=id&per_page=100").ok();
        let told: Vec<&str> =
            told["data"].as_array().unwrap().iter().filter_map(|row| row["action"].as_str()).collect();
        let end = ["time-span.deleted", "routing-exception.deleted", "call-queue.deleted"];
        assert!(told.ends_with(&end), "{told:?}");
    }
}

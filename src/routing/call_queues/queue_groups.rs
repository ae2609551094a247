//! Groups of call queues that share time spans and exceptions.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::children;
use super::hours;
use super::parents::ParentType;
use super::queues::{self, CallQueue};
use crate::api::crud::{create, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::list::for_each_row;
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{RecordLink, ResourceView, Widget, group, label, related};
use crate::api::{Needs, Result, Route, delete, entity_rows, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::values::Name;

pub const RESOURCE: Resource =
    Resource::new("Call queue groups", "Groups of call queues that share time spans and exceptions.", ROUTES)
        .french("Groupes de files")
        .section(Section::Routing)
        .entity::<CallQueueGroup>()
        .more_fields(&[hours::FIELDS])
        .view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "created_at"],
    groups: &[group("Group", "Groupe", &["name", "customer_id"])],
    widgets: &[("customer_id", Widget::Link("/customers"))],
    related: &[
        related("Queues", "Files d’attente", "/smart-routings/call-queues/queues", "call_queue_group_id"),
        related("Hours", "Plages horaires", "/smart-routings/call-queues/time-spans", "time_spanable_id")
            .only("filter[time_spanable_type]=call_queue_group"),
        related("Exceptions", "Exceptions", "/smart-routings/call-queues/exceptions", "exceptionable_id")
            .only("filter[exceptionable_type]=call_queue_group"),
    ],
    affected_by_delete: &[
        related(
            "queues leave the group",
            "files d’attente quittent le groupe",
            "/smart-routings/call-queues/queues",
            "call_queue_group_id",
        ),
        related(
            "time spans are deleted",
            "plages horaires sont supprimées",
            "/smart-routings/call-queues/time-spans",
            "time_spanable_id",
        )
        .only("filter[time_spanable_type]=call_queue_group"),
        related(
            "exceptions are deleted",
            "exceptions sont supprimées",
            "/smart-routings/call-queues/exceptions",
            "exceptionable_id",
        )
        .only("filter[exceptionable_type]=call_queue_group"),
    ],
    purpose: label(
        "Queues of a group share their hours and exceptions.",
        "Les files d’un groupe partagent leurs horaires et leurs exceptions.",
    ),
    singular: label("queue group", "un groupe de files"),
    record_links: &[
        RecordLink {
            label: label("Week", "Semaine"),
            page: "/ui/routing/{account}/call-queues/groups/{id}/week",
            only_if: &[],
        },
        RecordLink {
            label: label("Closed days", "Jours fermés"),
            page: "/ui/routing/{account}/call-queues/groups/{id}/holidays",
            only_if: &[],
        },
    ],
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/call-queues/groups",
        &run(list::<CallQueueGroup>),
        Needs::Scoped("routing.view"),
        "List call queue groups",
    ),
    get(
        "/smart-routings/call-queues/groups/{id}/week",
        &run(hours::week_of_group),
        Needs::Scoped("routing.view"),
        "Show which hours and exceptions of a group apply in a week",
    )
    .named("showCallQueueGroupWeek"),
    get(
        "/smart-routings/call-queues/groups/{id}",
        &run(show::<CallQueueGroup>),
        Needs::Scoped("routing.view"),
        "Show a call queue group",
    ),
    post(
        "/smart-routings/call-queues/groups",
        &run(create::<CallQueueGroup>),
        Needs::Scoped("routing.create"),
        "Create a call queue group",
    ),
    put(
        "/smart-routings/call-queues/groups/{id}",
        &run(update::<CallQueueGroup>),
        Needs::Scoped("routing.update"),
        "Change a call queue group",
    ),
    delete(
        "/smart-routings/call-queues/groups/{id}",
        &run(remove::<CallQueueGroup>),
        Needs::Scoped("routing.delete"),
        "Delete a call queue group and its time spans and exceptions; its queues stay",
    ),
];

entity! {
    /// A group of call queues that share time spans and exceptions.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct CallQueueGroup in "call_queue_groups" {
        /// Id of the customer that owns the group.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Display name of the group.
        #[schemars(example = &"Support")]
        pub name: Name<255> => text.sorted_by("fold(name)"), "Name", "Nom";
    }
    recorded: &Recorded::announced("call-queue-group", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["name"])];
}

impl Entity for CallQueueGroup {
    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        children::delete_all(db, recorder, ParentType::GROUP, self.id)?;
        for_each_row(db, queues::GROUP, self.id, |old: CallQueue| {
            entity_rows::change(db, recorder, &old, CallQueue { call_queue_group_id: None, ..old.clone() }).map(|_| ())
        })
    }
}

impl Editable for CallQueueGroup {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn what_is_of_a_group_goes_with_it_and_its_queues_are_of_none_then() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let (group, other) = (
            routing.create("/call-queues/groups", json!({"name": "G"})),
            routing.create("/call-queues/groups", json!({"name": "H"})),
        );
        for group in [group, group, other] {
            routing.create("/call-queues/queues", json!({"name": "Q", "call_queue_group_id": group}));
        }
        for (id, kind) in [(group, "call_queue_group"), (group, "call_queue"), (other, "call_queue_group")] {
            let span = json!({"day_of_week": 1, "start_time": "09:00", "end_time": "18:00"});
            routing.create(&format!("/call-queues/time-spans?time_spanable_id={id}&time_spanable_type={kind}"), span);
            let path = format!("/call-queues/exceptions?exceptionable_id={id}&exceptionable_type={kind}");
            routing.create(&path, json!({"day": "--05-01"}));
        }
        routing.delete(&format!("/call-queues/groups/{group}")).ok();
        assert_eq!(
            (routing.ids("/call-queues/time-spans"), routing.ids("/call-queues/exceptions")),
            (vec![2, 3], vec![2, 3])
        );
        let queues = routing.get("/call-queues/queues").ok();
        let groups: Vec<&Value> =
            queues["data"].as_array().unwrap().iter().map(|row| &row["call_queue_group_id"]).collect();
        assert_eq!(groups, [&Value::Null, &Value::Null, &json!(other)]);
        let told = server.admin().get("/audit-log?sort=id&per_page=100").ok();
        let told: Vec<&str> =
            told["data"].as_array().unwrap().iter().filter_map(|row| row["action"].as_str()).collect();
        let end = [
            "time-span.deleted",
            "routing-exception.deleted",
            "call-queue.updated",
            "call-queue.updated",
            "call-queue-group.deleted",
        ];
        assert!(told.ends_with(&end), "{told:?}");
    }

    #[test]
    fn groups_are_listed_by_their_names() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.post("/call-queues/groups", json!({"name": " "})).invalid(&["The name field is required."]);
        for name in ["Été", "Support"] {
            routing.create("/call-queues/groups", json!({"name": name}));
        }
        for query in ["name=ete", "term=ETE", "id=1", "sort=-name&per_page=1&page=1&name=e"] {
            assert_eq!(routing.ids(&format!("/call-queues/groups?{query}")), [1], "{query}");
        }
    }
}

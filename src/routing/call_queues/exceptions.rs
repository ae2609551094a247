//! Exceptions: days on which a queue or a group is closed, and where calls go then. They take precedence over time
//! spans.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parents::PARENTS;
use super::parents::{self, OfParent, ParentType, create};
use crate::api::crud::{self, list, remove, remove_many, show};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label, quick_filter};
use crate::api::{Changes, Ctx, Error, Id, Needs, Result, Route, Saved, delete, entity_rows, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::tenancy::journal::Recorded;
use crate::values::{Day, RowId, Text};

pub const RESOURCE: Resource = Resource::new(
    "Routing exceptions",
    "Days on which a queue or a group is closed. They take precedence over time spans.",
    ROUTES,
)
.french("Exceptions")
.section(Section::Routing)
.entity::<RoutingException>()
.view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["day", "label"],
    columns: &["day", "label", "exceptionable_id", "destination", "holiday", "reference"],
    groups: &[
        group("Of", "Rattachement", &["exceptionable_type", "exceptionable_id", "customer_id"]),
        group("When", "Quand", &["day", "label", "holiday"]),
        group("Where", "Où", &["destination", "reference"]),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("exceptionable_id", Widget::LinkBy("exceptionable_type", PARENTS)),
    ],
    help: &[
        (
            "day",
            label(
                "A date such as 2027-05-01, or a day of every year such as --05-01.",
                "Une date comme 2027-05-01, ou un jour de chaque année comme --05-01.",
            ),
        ),
        (
            "destination",
            label(
                "Leave it empty for the default destination of the queue.",
                "Laissez vide pour la destination par défaut de la file.",
            ),
        ),
    ],
    quick_filters: &[
        quick_filter("Holidays", "Jours fériés", "filter[holiday]=true"),
        quick_filter("Other days", "Autres jours", "filter[holiday]=false"),
    ],
    purpose: label(
        "Days on which a queue or a group is closed. They come before the hours.",
        "Les jours où une file ou un groupe est fermé. Ils passent avant les horaires.",
    ),
    singular: label("exception", "une exception"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/call-queues/exceptions",
        &run(list::<RoutingException>),
        Needs::Scoped("routing.view"),
        "List exceptions, including holidays",
    ),
    get(
        "/smart-routings/call-queues/exceptions/{id}",
        &run(show::<RoutingException>),
        Needs::Scoped("routing.view"),
        "Show an exception",
    ),
    post(
        "/smart-routings/call-queues/exceptions",
        &run(create::<RoutingException>),
        Needs::Scoped("routing.create"),
        "Create an exception",
    ),
    put(
        "/smart-routings/call-queues/exceptions/{id}",
        &run(update),
        Needs::Scoped("routing.update"),
        "Change an exception",
    ),
    delete(
        "/smart-routings/call-queues/exceptions/bulk",
        &run(remove_many::<RoutingException>),
        Needs::Scoped("routing.delete"),
        "Delete exceptions, all or none",
    ),
    delete(
        "/smart-routings/call-queues/exceptions/{id}",
        &run(remove::<RoutingException>),
        Needs::Scoped("routing.delete"),
        "Delete an exception",
    ),
];

entity! {
    /// A day on which a queue or a group is closed.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct RoutingException in "routing_exceptions" {
        /// Id of the customer that owns the exception.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Id of the queue or group that the exception belongs to. It cannot be changed.
        pub exceptionable_id: RowId => integer, "Queue or group", "File ou groupe";
        /// Type of that parent. It cannot be changed.
        #[serde(deserialize_with = "parents::by_any_name")]
        pub exceptionable_type: ParentType => class(ParentType::WORDS), "Of", "Rattachement";
        /// Free text, for example a reference in another system.
        pub reference: Option<Text<255>> => text, "Reference", "Référence";
        /// Display name of the day.
        #[schemars(example = &"Company outing")]
        pub label: Option<Text<255>> => text.sorted_by("fold(label)"), "Label", "Libellé";
        /// Where calls go on this day. If null, they go to the queue's default destination.
        #[schemars(example = &"898")]
        pub destination: Option<Text<255>> => text, "Destination", "Destination";
        /// A date (`2027-05-01`), or a day of every year (`--05-01`).
        pub day: Day => text.sorted(), "Day", "Jour";
        /// Whether the exception was created as a holiday.
        #[serde(skip_deserializing)]
        #[schemars(extend("readOnly" = true))]
        pub holiday: bool => flag, "Holiday", "Jour férié";
    }
    recorded: &Recorded::announced("routing-exception", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["reference", "label", "destination"])];
}

fn update(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    Id(id): Id,
    changes: Changes<RoutingException>,
) -> Result<Saved<RoutingException>> {
    let old = crud::find::<RoutingException>(ctx, &scope, id)?;
    let new = changes.ignoring(&RoutingException::PARENT).apply(&old)?;
    entity_rows::change(ctx.db, &ctx.recorder()?, &old, RoutingException { holiday: old.holiday, ..new }).map(Saved)
}

impl Entity for RoutingException {
    fn check(&mut self, db: &Connection, old: Option<&Self>) -> Result<()> {
        let wrong = if old.is_none() { parents::problem(db, self.customer_id, self)? } else { None };
        wrong.map_or(Ok(()), |sentence| Err(Error::invalid(sentence)))
    }
}

impl Editable for RoutingException {}

impl OfParent for RoutingException {
    const PARENT: [&'static str; 2] = ["exceptionable_id", "exceptionable_type"];

    fn parent(&self) -> (i64, ParentType) {
        (self.exceptionable_id.get(), self.exceptionable_type)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    const OF_QUEUE: &str = "/call-queues/exceptions?exceptionable_id=1&exceptionable_type=call_queue";

    fn desk(server: &TestServer) -> RoutingClient<'_> {
        let routing = RoutingClient::new(server);
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        routing.create("/call-queues/groups", json!({"name": "G"}));
        routing
    }

    #[test]
    fn a_day_is_one_of_the_calendar_once_or_every_year() {
        let server = TestServer::new();
        let routing = desk(&server);
        for day in ["2024-02-29", "--02-29", "--12-31"] {
            assert_eq!(routing.post(OF_QUEUE, json!({"day": day})).created()["day"], day);
        }
        let must = &["The day must be a valid date, like 2027-05-01 or --05-01."];
        for day in ["2027-02-29", "--02-30", "05-01", "2027-05-01T00:00:00Z", "--é5-01"] {
            routing.post(OF_QUEUE, json!({"day": day})).invalid(must);
        }
        routing.post(OF_QUEUE, json!({"label": "x"})).invalid(&["The day field is required."]);
        routing.put("/call-queues/exceptions/1", json!({"day": null})).invalid(&["The day field is required."]);
    }

    #[test]
    fn a_parent_is_named_in_the_query_and_stays() {
        let server = TestServer::new();
        let routing = desk(&server);
        let theirs = RoutingClient::new(&server).create("/call-queues/queues", json!({"name": "Q"}));
        let day = json!({"day": "--05-01"});
        routing
            .post("/call-queues/exceptions", day.clone())
            .invalid(&["The exceptionable id field is required.", "The exceptionable type field is required."]);
        let foreign = format!("/call-queues/exceptions?exceptionable_id={theirs}&exceptionable_type=call_queue");
        routing.post(&foreign, day).invalid(&["The selected exceptionable id is invalid."]);
        let body = json!({"day": "--05-01", "exceptionable_id": 99, "exceptionable_type": "nothing", "holiday": true});
        let made = routing.post(OF_QUEUE, body.clone()).created();
        assert_eq!((&made["exceptionable_id"], &made["exceptionable_type"]), (&json!(1), &json!("call_queue")));
        assert_eq!(made["holiday"], false);
        let changed = routing.put("/call-queues/exceptions/1", body).created();
        assert_eq!((&changed["exceptionable_id"], &changed["holiday"]), (&json!(1), &json!(false)));
    }

    #[test]
    fn exceptions_are_listed_by_each_of_their_fields() {
        let server = TestServer::new();
        let routing = desk(&server);
        let all = json!({"reference": "R1", "label": "Été", "destination": "801", "day": "2027-08-15"});
        routing.create(OF_QUEUE, all);
        routing.create(
            "/call-queues/exceptions/holidays",
            json!({"exceptionable_id": 1, "exceptionable_type": "call_queue_group", "day": "--05-01"}),
        );
        for (query, ids) in [
            ("exceptionable_id=1", vec![1, 2]),
            ("exceptionable_type=call_queue", vec![1]),
            ("exceptionable_type=call_queue_group", vec![2]),
            ("reference=r1", vec![1]),
            ("label=ete", vec![1]),
            ("destination=801", vec![1]),
            ("day=2027-08-15", vec![1]),
            ("day=--05-01", vec![2]),
            ("holiday=1", vec![2]),
            ("holiday=0", vec![1]),
            ("term=ete", vec![1]),
            ("sort=day", vec![2, 1]),
        ] {
            assert_eq!(routing.ids(&format!("/call-queues/exceptions?{query}")), ids, "{query}");
        }
        assert_eq!(routing.ids("/call-queues/exceptions/holidays"), [2]);
        assert_eq!(routing.ids("/call-queues/exceptions/holidays?exceptionable_type=call_queue"), Vec::<i64>::new());
        assert_eq!(
            routing.put("/call-queues/exceptions/2", json!({"label": "May"})).created()["holiday"],
            Value::Bool(true)
        );
    }
}

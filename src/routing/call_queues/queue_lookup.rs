//! The call queue look-up: a call flow requests the destination of a queue's calls at a given time.

use phonenumber::country::Id as Country;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::decision::{Decider, Decision, QueueStep, outcome};
use super::hours;
use super::moment::Moment;
use super::queues::CallQueue;
use crate::api::field::{Field, labelled};
use crate::api::json_body::ValueReader;
use crate::api::resource::{Resource, Section};
use crate::api::{Ctx, Error, Input, Needs, Ok200, Operation, Query, Request, Result, Route, get, pairs, run};
use crate::routing::customer_param::CustomerParam;
use crate::storage::Stored;
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::tenancy::phones;
use crate::values::{Flag, RowId, Text, id_in_query, phone};

pub const RESOURCE: Resource =
    Resource::new("Call queue look-up", "Find the destination of a queue's calls at a given time.", ROUTES)
        .french("Recherche de file")
        .section(Section::Routing)
        .fields(FIELDS)
        .more_fields(&[hours::FIELDS]);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("id", "Queue", "File d’attente"),
    labelled("code", "Code", "Code"),
    labelled("number", "Number", "Numéro"),
    labelled("did_number", "Direct number", "Numéro direct"),
];

const ROUTES: &[Route] = &[get(
    "/smart-routings/call-queues/lookup",
    &run(lookup),
    Needs::Lookup("routing.view"),
    "Look up the destination of a queue's calls",
)
.named("lookUpCallQueue")];

/// The queue and the time to look up. If several parameters name the queue, all must match.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QueueLookupQuery {
    /// Id of the queue.
    #[serde(deserialize_with = "id_in_query")]
    #[schemars(with = "Option<RowId>")]
    id: Option<i64>,
    /// Code of the queue, exactly as stored.
    code: Text<64>,
    /// Number of the queue in the PBX, in any format.
    #[schemars(example = "+33142000000")]
    number: Text<255>,
    /// Number dialled from outside (DID), in any format.
    did_number: Text<255>,
    /// Time to look up (RFC 3339). Without an offset it is in the workspace's time zone. Defaults to now.
    #[schemars(extend("format" = "date-time"))]
    at: Text<64>,
    /// Whether the answer says what was tried.
    explain: Flag,
}

/// A valid look-up request.
#[derive(Debug)]
pub struct QueueLookup {
    asked: QueueLookupQuery,
    at: Option<Moment>,
}

impl Input for QueueLookup {
    fn read(request: &Request) -> Result<Self> {
        // `Query` skips `id`, which a body may only repeat. Here it is a parameter.
        let fields: Map<String, Value> = pairs(&request.query).map(|(name, value)| (name, value.into())).collect();
        let asked: QueueLookupQuery =
            ValueReader::of_query(request).merge_all(&QueueLookupQuery::default(), &fields)?;
        let at = Some(asked.at.trim()).filter(|at| !at.is_empty()).map(str::parse::<Moment>).transpose();
        let says = |text: &str| !text.trim().is_empty();
        let names_one = asked.id.is_some() || says(&asked.code) || says(&asked.number) || says(&asked.did_number);
        let needed = "The number field is required when did number, code and id are not present.";
        match (at, names_one) {
            (Ok(at), true) => Ok(Self { asked, at }),
            (Ok(_), false) => Err(Error::invalid(needed)),
            (Err(said), true) => Err(Error::invalid(format!("The at {said}"))),
            (Err(said), false) => Err(Error::sentences(vec![needed.into(), format!("The at {said}")])),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        Query::<QueueLookupQuery>::describe(operation);
    }
}

/// Where the calls of a queue go.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallQueueRoute {
    /// The queue that matched.
    queue: CallQueue,
    #[serde(flatten)]
    decision: Decision,
    /// Only with `explain=1`: what was tried, up to the attempt that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<QueueStep>")]
    steps: Option<Vec<QueueStep>>,
}

fn lookup(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    QueueLookup { asked, at }: QueueLookup,
) -> Result<Ok200<CallQueueRoute>> {
    let customer = scope.id(ctx)?;
    let WorkspaceLocale { country, zone } = WorkspaceLocale::of(ctx.db)?;
    let queue = asked.queue(ctx.db, customer, country)?.ok_or_else(Error::no_route)?;
    let at = at.map_or_else(|| Moment::asked("", ctx.now), Ok)?;
    let clock = at.local_time(&zone).ok_or_else(Moment::invalid)?;
    let steps = Decider::queue(&queue).steps(ctx.db, clock)?;
    let decision = Decision::new(Some(&queue), outcome(&steps));
    Ok(Ok200(CallQueueRoute { queue, decision, steps: asked.explain.0.then_some(steps) }))
}

impl QueueLookupQuery {
    /// The matching queue. Active queues come first, then the lowest id. The number index leads to few queues.
    fn queue(&self, db: &Connection, customer: i64, home: Country) -> Result<Option<CallQueue>> {
        let (mut from, mut conditions, mut bound) = ("call_queues", Vec::new(), Vec::new());
        let mut hold = |condition: &'static str, value: Sql| {
            conditions.push(condition);
            bound.push(value);
        };
        for (number, first, other) in [(&self.number, WITH_NUMBER, ALSO_NUMBER), (&self.did_number, WITH_DID, ALSO_DID)]
        {
            if !number.trim().is_empty() {
                let digits = phones::reversed(&phone::restore_plus(number), home);
                hold(if from == BY_NUMBER { other } else { first }, digits.into());
                from = BY_NUMBER;
            }
        }
        if let Some(id) = self.id {
            hold("id = ?", id.into());
        }
        if !self.code.trim().is_empty() {
            hold("code = ?", self.code.trim().to_owned().into());
        }
        // With a code, one index covers both columns. Otherwise `+` keeps SQLite from using the index on the customer,
        // which has far more queues than an id or a number matches.
        hold(if self.code.trim().is_empty() { "+customer_id = ?" } else { "customer_id = ?" }, customer.into());
        let (columns, conditions) = (CallQueue::COLUMNS, conditions.join(" AND "));
        let sql = format!("SELECT {columns} FROM {from} WHERE {conditions} ORDER BY active DESC, id LIMIT 1");
        Ok(db.prepare_cached(&sql)?.query_row(params_from_iter(bound), CallQueue::from_columns).optional()?)
    }
}

const BY_NUMBER: &str = "phone_numbers CROSS JOIN call_queues ON id = resource_id";
const WITH_NUMBER: &str =
    "resource = 'call_queues' AND field IN ('number', 'number/2', 'number/3', 'number/4') AND reversed = ?";
const WITH_DID: &str = "resource = 'call_queues' AND field IN ('did_number', 'did_number/2', 'did_number/3', 'did_number/4') AND reversed = ?";
const ALSO_NUMBER: &str = "EXISTS (SELECT 1 FROM phone_numbers AS also
    WHERE also.resource = 'call_queues' AND also.resource_id = id AND also.field IN ('number', 'number/2', 'number/3', 'number/4')
        AND also.reversed = ?)";
const ALSO_DID: &str = "EXISTS (SELECT 1 FROM phone_numbers AS also
    WHERE also.resource = 'call_queues' AND also.resource_id = id AND also.field IN ('did_number', 'did_number/2', 'did_number/3', 'did_number/4')
        AND also.reversed = ?)";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::decision::{EXCEPTION, TIME_SPAN};
    use super::*;
    use crate::tests::{RoutingClient, TestServer};

    /// A desk whose customer has a queue in a group, both with the id 1.
    fn desk(server: &TestServer) -> RoutingClient<'_> {
        let routing = RoutingClient::new(server);
        routing.create("/call-queues/groups", json!({"name": "G"}));
        let queue = json!({
            "name": "Q", "code": "Q1", "number": "801", "did_number": "01 42 00 00 00", "call_queue_group_id": 1,
            "default_destination_type": "voicemail", "default_destination": "899",
        });
        routing.create("/call-queues/queues", queue);
        routing
    }

    fn span(routing: &RoutingClient<'_>, kind: &str, body: Value) -> i64 {
        routing.create(&format!("/call-queues/time-spans?time_spanable_id=1&time_spanable_type={kind}"), body)
    }

    fn exception(routing: &RoutingClient<'_>, kind: &str, body: Value) -> i64 {
        routing.create(&format!("/call-queues/exceptions?exceptionable_id=1&exceptionable_type={kind}"), body)
    }

    fn at(routing: &RoutingClient<'_>, moment: &str) -> Value {
        routing.get(&format!("/call-queues/lookup?code=Q1&at={moment}")).ok()
    }

    /// The reason and the id of the matched row.
    fn why(routing: &RoutingClient<'_>, moment: &str) -> (String, Option<i64>) {
        let found = at(routing, moment);
        assert_eq!(found["open"], found["reason"] == "time_span");
        (found["reason"].as_str().unwrap().to_owned(), found["matched"]["id"].as_i64())
    }

    fn is_open(routing: &RoutingClient<'_>, moment: &str) -> bool {
        why(routing, moment).0 == "time_span"
    }

    #[test]
    fn a_queue_is_found_by_any_of_its_names_and_by_several_that_all_hold() {
        let server = TestServer::new();
        let routing = desk(&server);
        let other = RoutingClient::new(&server);
        other.create("/call-queues/queues", json!({"name": "Theirs", "code": "Q1", "number": "801"}));
        for asked in [
            "id=1",
            "code=Q1",
            "number=801",
            "did_number=0142000000",
            "did_number=%2B33142000000",
            "did_number=+33142000000",
            "did_number=0033142000000",
            "id=1&code=Q1&number=801&did_number=0142000000",
            "code=%20Q1%20&number=&id=",
        ] {
            let found = routing.get(&format!("/call-queues/lookup?{asked}")).ok();
            assert_eq!(found["queue"], routing.get("/call-queues/queues/1").ok(), "{asked}");
        }
        for asked in [
            "id=2",
            "code=q1",
            "number=0142000000",
            "did_number=801",
            "number=80",
            "number=anonymous",
            "code=Q1&number=802",
            "id=2&code=Q1",
            "number=%C3%A9",
        ] {
            routing.get(&format!("/call-queues/lookup?{asked}")).rejected(404, "no_route");
        }
        let needed = "The number field is required when did number, code and id are not present.";
        let moment = "The at must be a valid date and time, like 2024-01-20T12:00:00Z.";
        routing.get("/call-queues/lookup?number=%20&code=").invalid(&[needed]);
        routing.get("/call-queues/lookup?id=x").invalid(&["The id must be an integer."]);
        routing.get("/call-queues/lookup?at=2024-01-20").invalid(&[needed, moment]);
        for bad in ["2024-01-20", "soon", "%C3%A9", "2024-01-20T12:00:00%2B1", "-009999-01-01T00:00:00"] {
            routing.get(&format!("/call-queues/lookup?id=1&at={bad}")).invalid(&[moment]);
        }
        routing.get("/call-queues/lookup?id=1&at=%20").ok();
    }

    #[test]
    fn of_several_queues_an_active_one_is_meant_and_then_the_first() {
        let server = TestServer::new();
        let routing = desk(&server);
        let second = routing.create("/call-queues/queues", json!({"name": "R", "number": "801"}));
        let third = routing.create("/call-queues/queues", json!({"name": "S", "number": "801"}));
        let found = || routing.get("/call-queues/lookup?number=801").ok()["queue"]["id"].as_i64().unwrap();
        assert_eq!(found(), 1);
        routing.put("/call-queues/queues/1", json!({"active": false})).created();
        assert_eq!(found(), second);
        routing.put(&format!("/call-queues/queues/{second}"), json!({"active": false})).created();
        assert_eq!(found(), third);
        routing.put(&format!("/call-queues/queues/{third}"), json!({"active": false})).created();
        assert_eq!(found(), 1);
    }

    #[test]
    fn a_destination_is_that_of_what_matched_or_the_queues_own() {
        let server = TestServer::new();
        let routing = desk(&server);
        let told = |moment: &str| {
            let found = at(&routing, moment);
            let of = |name: &str| found[name].clone();
            json!([of("reason"), of("open"), of("destination"), of("destination_type"), of("matched")])
        };
        let monday = "2027-05-03T10:00:00Z";
        assert_eq!(told(monday), json!(["default", false, "899", "voicemail", null]));

        let hours = json!({"day_of_week": 1, "start_time": "09:00", "end_time": "18:00"});
        let id = span(&routing, "call_queue", hours);
        let path = format!("/call-queues/time-spans/{id}");
        assert_eq!(told(monday), json!(["time_span", true, "801", "queue", routing.get(&path).ok()]));
        routing.put(&path, json!({"destination": "802"})).created();
        assert_eq!(told(monday), json!(["time_span", true, "802", null, routing.get(&path).ok()]));

        let id = exception(&routing, "call_queue", json!({"day": "2027-05-03", "label": "Closed"}));
        let path = format!("/call-queues/exceptions/{id}");
        assert_eq!(told(monday), json!(["exception", false, "899", "voicemail", routing.get(&path).ok()]));
        routing.put(&path, json!({"destination": "803"})).created();
        assert_eq!(told(monday), json!(["exception", false, "803", null, routing.get(&path).ok()]));

        routing.put("/call-queues/queues/1", json!({"active": false})).created();
        assert_eq!(told(monday), json!(["inactive", false, "899", "voicemail", null]));
        let bare =
            json!({"active": true, "default_destination": null, "default_destination_type": null, "number": null});
        routing.put("/call-queues/queues/1", bare).created();
        assert_eq!(told("2027-05-04T10:00:00Z"), json!(["default", false, null, null, null]));
        routing.delete(&path).ok();
        routing.put("/call-queues/time-spans/1", json!({"destination": " "})).created();
        let told = told(monday);
        assert_eq!((&told[2], &told[3]), (&Value::Null, &json!("queue")));
    }

    #[test]
    fn however_many_rows_there_are_each_is_looked_for_in_an_index() {
        let server = TestServer::new();
        let plan = |sql: String| {
            server.in_file(move |db| {
                let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN SELECT * FROM {sql}"))?;
                let nothing = vec![0; plan.parameter_count()];
                let steps = plan.query_map(params_from_iter(nothing), |row| row.get::<_, String>(3))?;
                Ok(steps.collect::<rusqlite::Result<Vec<_>>>()?)
            })
        };
        for (sql, by) in [
            (
                format!("routing_exceptions WHERE {EXCEPTION}"),
                "(exceptionable_id=? AND exceptionable_type=? AND day=?)",
            ),
            (format!("time_spans WHERE {TIME_SPAN}"), "(time_spanable_id=? AND time_spanable_type=? AND on_day=?)"),
            (format!("{BY_NUMBER} WHERE {WITH_NUMBER}"), "(resource=? AND reversed=?)"),
            (
                format!("{BY_NUMBER} WHERE {WITH_DID} AND {ALSO_NUMBER}"),
                "(resource=? AND reversed=? AND resource_id=? AND field=?)",
            ),
            ("call_queues WHERE code = ? AND customer_id = ?".into(), "(customer_id=? AND code=?)"),
        ] {
            let steps = plan(sql.clone());
            assert!(steps.iter().any(|step| step.ends_with(by)), "{sql}: {steps:#?}");
            assert!(
                !steps.iter().any(|step| step.starts_with("SCAN") && !step.contains("CONSTANT")),
                "{sql}: {steps:#?}"
            );
        }
    }

    #[test]
    fn exceptions_come_before_time_spans_and_the_queue_before_its_group() {
        let server = TestServer::new();
        let routing = desk(&server);
        let monday = "2027-05-03T10:00:00";
        let hours = json!({"day_of_week": 1, "start_time": "09:00", "end_time": "18:00"});
        let said = |reason: &str, id: i64| (reason.to_owned(), Some(id));
        let of_group = span(&routing, "call_queue_group", hours.clone());
        assert_eq!(why(&routing, monday), said("time_span", of_group));
        let of_queue = span(&routing, "call_queue", hours.clone());
        span(&routing, "call_queue", hours);
        assert_eq!(why(&routing, monday), said("time_span", of_queue));
        let dated = json!({"date_full": "2027-05-03", "start_time": "10:00", "end_time": "10:00:01"});
        let dated = span(&routing, "call_queue", dated);
        assert_eq!(why(&routing, monday), said("time_span", dated));
        assert_eq!(why(&routing, "2027-05-03T10:00:01"), said("time_span", of_queue));

        let of_group = exception(&routing, "call_queue_group", json!({"day": "2027-05-03"}));
        assert_eq!(why(&routing, monday), said("exception", of_group));
        let every_year = exception(&routing, "call_queue", json!({"day": "--05-03"}));
        assert_eq!(why(&routing, monday), said("exception", every_year));
        let of_that_day = exception(&routing, "call_queue", json!({"day": "2027-05-03"}));
        exception(&routing, "call_queue", json!({"day": "2027-05-03"}));
        assert_eq!(why(&routing, monday), said("exception", of_that_day));
        assert_eq!(why(&routing, "2028-05-03T10:00:00"), said("exception", every_year));
        assert_eq!(why(&routing, "2027-05-04T10:00:00"), ("default".to_owned(), None));
    }

    #[test]
    fn a_day_ends_at_24_and_the_29th_of_february_is_one_of_every_leap_year() {
        let server = TestServer::new();
        let routing = desk(&server);
        span(&routing, "call_queue", json!({"day_of_week": 3, "start_time": "18:00", "end_time": "24:00"}));
        // A Wednesday. Paris is one hour ahead of UTC.
        for (moment, open) in [
            ("2027-01-06T17:59:59", false),
            ("2027-01-06T18:00:00", true),
            ("2027-01-06T23:59:59.999", true),
            ("2027-01-06T22:59:59Z", true),
            ("2027-01-06T23:00:00Z", false),
            ("2027-01-07T00:00:00", false),
            ("2027-01-07T18:00:00", false),
        ] {
            assert_eq!(is_open(&routing, moment), open, "{moment}");
        }
        exception(&routing, "call_queue", json!({"day": "--02-29"}));
        for (moment, reason) in [
            ("2024-02-29T12:00:00", "exception"),
            ("2028-02-28T23:00:00Z", "exception"),
            ("2028-02-29T23:00:00Z", "default"),
            ("2027-02-28T12:00:00", "default"),
            ("2027-03-01T12:00:00", "default"),
        ] {
            assert_eq!(why(&routing, moment).0, reason, "{moment}");
        }
    }

    #[test]
    fn when_clocks_are_put_forward_or_back_what_they_show_counts() {
        let server = TestServer::new();
        let routing = desk(&server);
        for date in ["2024-03-31", "2024-10-27"] {
            span(&routing, "call_queue", json!({"date_full": date, "start_time": "01:30", "end_time": "02:30"}));
        }
        for (moment, open) in [
            ("2024-03-31T00:29:59Z", false),
            ("2024-03-31T00:30:00Z", true),
            ("2024-03-31T00:59:59Z", true),
            // One second later local time jumps to 03:00.
            ("2024-03-31T01:00:00Z", false),
            ("2024-03-31T02:15:00", false),
            ("2024-10-27T00:29:59Z", true),
            ("2024-10-27T00:30:00Z", false),
            // Local time is 02:00 for the second time.
            ("2024-10-27T01:00:00Z", true),
            ("2024-10-27T01:29:59Z", true),
            ("2024-10-27T01:30:00Z", false),
            ("2024-10-27T02:15:00", true),
            ("2024-10-27T02:15:00%2B01:00", true),
            ("2024-10-27T02:15:00+01:00", true),
        ] {
            assert_eq!(is_open(&routing, moment), open, "{moment}");
        }
        // The skipped hour is read as the next hour.
        span(&routing, "call_queue", json!({"date_full": "2024-03-31", "start_time": "03:00", "end_time": "04:00"}));
        assert!(is_open(&routing, "2024-03-31T02:15:00") && is_open(&routing, "2024-03-31T01:15:00Z"));
    }

    #[test]
    fn the_clocks_are_those_of_the_workspace() {
        let server = TestServer::new();
        let routing = desk(&server);
        span(&routing, "call_queue", json!({"day_of_week": 1, "start_time": "09:00", "end_time": "10:00"}));
        assert!(is_open(&routing, "2027-05-03T07:00:00Z") && is_open(&routing, "2027-05-03T09:00:00"));
        server.admin().put("/settings", json!({"timezone": "America/New_York"})).created();
        assert!(!is_open(&routing, "2027-05-03T07:00:00Z") && is_open(&routing, "2027-05-03T13:00:00Z"));
        assert!(is_open(&routing, "2027-05-03T09:00:00"));
    }
}

//! Creates many time spans in one request, all or none.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::parents::{self, OfParent};
use super::time_spans::{SavedSpan, TimeSpan};
use crate::api::crud;
use crate::api::json_body::{self, ReadError, ValueReader};
use crate::api::{BodyKind, Ctx, Error, Input, Operation, Request, Result, Saved};
use crate::routing::customer_param::CustomerParam;

/// Maximum number of rows in a request.
const MOST: usize = 1000;

/// Maximum number of problems in a response.
const MOST_HINTS: usize = 100;

/// The rows of a request, each valid or with its problems. The body is a list, or an object with the list under `data`
/// or `time_spans`. A row's parent is taken from the row, else from that object, else from the query.
#[derive(Debug)]
pub struct ManyItems(Vec<Result<TimeSpan, Vec<String>>>);

impl Input for ManyItems {
    const BODY: BodyKind = BodyKind::Json;

    fn read(request: &Request) -> Result<Self> {
        let mut parent = parents::in_query(request, TimeSpan::PARENT);
        let items = items(&request.body, &mut parent)?;
        match items.len() {
            0 => Err(Error::invalid("The data field is required.")),
            1..=MOST => {
                let reading = ValueReader::of(request);
                let rows: Result<_> = items.into_iter().map(|item| row(&reading, item, &parent)).collect();
                rows.map(Self)
            }
            _ => Err(Error::invalid(format!("The data may not be more than {MOST}."))),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        let about = "The time spans. An object with this list under `data` or `time_spans` is accepted too. A parent in that \
                     object applies to every item that has none.";
        operation.list_of::<TimeSpan>(&parents::required::<TimeSpan>(), MOST, about);
        let item = operation.input::<TimeSpan>();
        for name in TimeSpan::PARENT {
            let mut schema = item["properties"][name].clone();
            if schema.get("examples").is_none() {
                schema["examples"] = json!([schema["enum"][0]]);
            }
            operation.query(name, "Default for items, if the body does not set it.", schema);
        }
    }
}

/// The items of the list in a body. A parent in the object takes precedence over the parent in the query.
fn items(text: &[u8], parent: &mut Map<String, Value>) -> Result<Vec<Value>> {
    let mut fields = match serde_json::from_slice(text) {
        Ok(Value::Array(items)) => return Ok(items),
        Ok(Value::Object(parts)) if !parts.is_empty() && json_body::list_with_gaps(&parts).is_some() => {
            return Ok(parts.into_iter().map(|(_, item)| item).collect());
        }
        _ => json_body::parse(text)?,
    };
    parent.extend(parent_in_body(&fields));
    match (fields.remove("data").unwrap_or_default(), fields.remove("time_spans").unwrap_or_default()) {
        (Value::Array(items), Value::Null) | (Value::Null, Value::Array(items)) => Ok(items),
        (Value::Null, Value::Null) => Ok(Vec::new()),
        (Value::Null, _) => Err(Error::invalid("The time spans must be a list.")),
        (_, Value::Null) => Err(Error::invalid("The data must be a list.")),
        _ => Err(Error::invalid("The time spans field is prohibited when data is present.")),
    }
}

fn parent_in_body(fields: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let said = |name: &&str| fields.get(*name).filter(|value| !value.is_null());
    TimeSpan::PARENT.into_iter().filter_map(move |name| Some((name.to_owned(), said(&name)?.clone())))
}

fn row(reading: &ValueReader, item: Value, parent: &Map<String, Value>) -> Result<Result<TimeSpan, Vec<String>>> {
    let Value::Object(mut fields) = item else { return Ok(Err(vec!["The item must be an object.".into()])) };
    if fields.get("customer_id").is_some_and(|customer| !customer.is_null()) {
        return Ok(Err(CustomerParam::prohibited().messages()));
    }
    fields.values_mut().for_each(json_body::normalize_integers);
    let own: Map<String, Value> = parent_in_body(&fields).collect();
    fields.extend(parent.clone());
    fields.extend(own);
    match reading.new_value(&fields) {
        Ok(row) => Ok(Ok(row)),
        Err(ReadError::Fields(problems)) => Ok(Err(problems.into_iter().map(|problem| problem.sentence).collect())),
        Err(unknown @ ReadError::NeedsZone) => Err(unknown.into()),
    }
}

/// The rows that were created.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Made{T}s")]
pub struct CreatedMany<T> {
    /// Always `ok`.
    response: &'static str,
    /// Number of created rows.
    created: usize,
    /// The created rows, in the order of the request.
    data: Vec<T>,
}

impl<T> From<Vec<T>> for CreatedMany<T> {
    fn from(data: Vec<T>) -> Self {
        Self { response: "ok", created: data.len(), data }
    }
}

pub fn create_many(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    ManyItems(items): ManyItems,
) -> Result<Saved<CreatedMany<SavedSpan>>> {
    let customer = Some(scope.id(ctx)?);
    let (mut made, mut hint) = (Vec::new(), Vec::new());
    for (number, item) in (1..).zip(items) {
        let added = item.map_err(Error::sentences);
        match added.and_then(|new| crud::create_for(ctx, customer, new)) {
            Ok(row) => made.push(row),
            // The item is invalid. The others are still checked, so that the response lists every problem.
            Err(error @ Error::Invalid(_)) => {
                hint.extend(error.messages().into_iter().map(|sentence| format!("item {number}: {sentence}")));
            }
            Err(error) => return Err(error),
        }
    }
    hint.truncate(MOST_HINTS);
    if !hint.is_empty() {
        return Err(Error::sentences(hint));
    }
    // After all rows exist: rows of one request can overlap each other.
    Ok(Saved(SavedSpan::of_many(ctx.db, made)?.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{RoutingClient, TestServer};

    const BULK: &str = "/call-queues/time-spans/bulk";

    fn desk(server: &TestServer) -> RoutingClient<'_> {
        let routing = RoutingClient::new(server);
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        routing.create("/call-queues/queues", json!({"name": "R"}));
        routing.create("/call-queues/groups", json!({"name": "G"}));
        routing
    }

    fn span(day: i64) -> Value {
        json!({"day_of_week": day, "start_time": "09:00", "end_time": "12:00"})
    }

    fn of(mut span: Value, id: i64, kind: &str) -> Value {
        (span["time_spanable_id"], span["time_spanable_type"]) = (json!(id), json!(kind));
        span
    }

    #[test]
    fn a_list_is_bare_or_under_a_name_and_the_nearest_word_on_the_parent_counts() {
        let server = TestServer::new();
        let routing = desk(&server);
        let by_query = format!("{BULK}?time_spanable_id=2&time_spanable_type=App%5CModels%5CCallQueue");
        let own = of(span(2), 1, "App\\Models\\CallQueueGroup");
        for (path, body, of) in [
            (by_query.as_str(), json!([span(1)]), vec![(2, "call_queue")]),
            (&by_query, json!([span(1), own]), vec![(2, "call_queue"), (1, "call_queue_group")]),
            (&by_query, json!({"data": [span(1)]}), vec![(2, "call_queue")]),
            (BULK, json!([own]), vec![(1, "call_queue_group")]),
            (BULK, json!({"time_spans": [own]}), vec![(1, "call_queue_group")]),
            (
                &by_query,
                json!({"time_spanable_id": 1, "time_spans": [span(1), own]}),
                vec![(1, "call_queue"), (1, "call_queue_group")],
            ),
            (BULK, of(json!({"data": [span(1)], "time_spans": null}), 2, "call_queue"), vec![(2, "call_queue")]),
        ] {
            let made = routing.post(path, body.clone()).created();
            let parents: Vec<(i64, &str)> = made["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| (row["time_spanable_id"].as_i64().unwrap(), row["time_spanable_type"].as_str().unwrap()))
                .collect();
            assert_eq!(
                (parents, &made["response"], &made["created"]),
                (of.clone(), &json!("ok"), &json!(of.len())),
                "{body}"
            );
            assert_eq!(
                routing.get(&format!("/call-queues/time-spans/{}", made["data"][0]["id"])).ok(),
                made["data"][0]
            );
        }
    }

    #[test]
    fn one_bad_item_and_none_is_made_and_all_that_is_wrong_is_said() {
        let server = TestServer::new();
        let routing = desk(&server);
        let other = RoutingClient::new(&server);
        let theirs = other.create("/call-queues/queues", json!({"name": "Q"}));
        let items = json!([
            of(span(1), 1, "call_queue"),
            {"time_spanable_id": 1, "time_spanable_type": "user", "day_of_week": 1, "end_time": "12:00"},
            7,
            of(span(1), theirs, "call_queue"),
            {"customer_id": routing.customer},
            {"time_spanable_id": 1, "time_spanable_type": "call_queue", "start_time": "12:00", "end_time": "12:00"},
        ]);
        routing.post(BULK, items).invalid(&[
            "item 2: The selected time spanable type is invalid.",
            "item 2: The start time field is required.",
            "item 3: The item must be an object.",
            "item 4: The selected time spanable id is invalid.",
            "item 5: The customer id field is prohibited.",
            "item 6: The day of week field is required when date full is not present.",
            "item 6: The end time must differ from the start time.",
        ]);
        assert!(routing.ids("/call-queues/time-spans").is_empty());
        let prohibited = json!({"customer_id": routing.customer, "data": [of(span(1), 1, "call_queue")]});
        routing.post(BULK, prohibited).invalid(&["The customer id field is prohibited."]);
    }

    #[test]
    fn there_are_some_and_not_too_many_of_them() {
        let server = TestServer::new();
        let routing = desk(&server);
        for (body, says) in [
            (json!([]), "The data field is required."),
            (json!({}), "The data field is required."),
            (json!({"data": []}), "The data field is required."),
            (json!({"data": {}}), "The data must be a list."),
            (json!({"time_spans": 1}), "The time spans must be a list."),
            (json!({"data": [], "time_spans": []}), "The time spans field is prohibited when data is present."),
            (json!(1), "The body must be an object."),
            (json!(vec![span(1); MOST + 1]), "The data may not be more than 1000."),
        ] {
            routing.post(BULK, body).invalid(&[says]);
        }
        let path = routing.path(BULK);
        routing.client.ask(http::Method::POST, &path, "application/json", "[{").rejected(400, "malformed_json");
        routing.client.ask(http::Method::POST, &path, "application/json", "").invalid(&["The data field is required."]);
        let hints = routing.post(BULK, json!(vec![json!({}); MOST])).json()["hint"].as_array().unwrap().len();
        assert_eq!(hints, MOST_HINTS);
        let path = format!("{BULK}?time_spanable_id=1&time_spanable_type=call_queue");
        assert_eq!(routing.post(&path, json!(vec![span(1); MOST])).created()["created"], MOST);
    }
}

//! Test table of endpoints: for each endpoint one successful request and the expected parts of its response, as a
//! program written for the published API sends them.

use serde_json::{Map, Value, json};

use super::RoutingClient;

pub struct Endpoint {
    pub method: &'static str,
    /// Path after `/smart-routings`, as in the route table.
    pub path: &'static str,
    /// Names of the [`World`] ids that fill the path parameters, in order.
    ids: &'static [&'static str],
    /// Query without the customer. `{name}` stands for an id of the world, here and in the body.
    query: &'static str,
    body: Option<Value>,
    pub status: u16,
    /// Parts that the response must contain.
    pub reads: Value,
}

/// Rows that exist before each request: one of each kind, created through the API.
const WORLD: &[(&str, &str, &str)] = &[
    ("field", "/fields", r#"{"name": "Walked", "default_value": "silver"}"#),
    ("option", "/fields/{field}/options", r#"{"name": "Walked", "value": "gold"}"#),
    (
        "contact",
        "/contacts",
        r#"{"id_code": "W1", "last_name": "Walked", "telecoms": ["01 42 00 00 00"], "telecom_destination": "801",
            "field_select_1": "gold"}"#,
    ),
    ("cti", "/ctis", r#"{"name": "Walked"}"#),
    ("origin", "/ctis/{cti}/destinations", r#"{"origin": "+33 1*", "destination": "Walked"}"#),
    ("cfd", "/cfd-tokens", r#"{"name": "Walked", "user_id": 1, "hosts": ["192.0.2.1"]}"#),
    ("survey", "/surveys", r#"{"name": "Walked"}"#),
    (
        "record",
        "/survey-records",
        r#"{"survey_id": "{survey}", "caller": "Walked", "score_1": 5, "datetime": "2024-01-20T12:00:00Z"}"#,
    ),
    (
        "list",
        "/geo/lists",
        r#"{"list_id": "W1", "list_name": "Walked", "fallback_destination_1": "800", "geo_routing_model_id": 1}"#,
    ),
    (
        "destination",
        "/geo/lists/{list}/destinations",
        r#"{"zones": ["75", "2A"], "nickname": "Walked", "destination_1": "801", "destination_2": "802"}"#,
    ),
    ("group", "/call-queues/groups", r#"{"name": "Walked"}"#),
    (
        "queue",
        "/call-queues/queues",
        r#"{"name": "Walked", "code": "Q1", "number": "801", "did_number": "01 42 00 00 01",
            "call_queue_group_id": "{group}", "default_destination_type": "voicemail", "default_destination": "899"}"#,
    ),
    (
        "span",
        "/call-queues/time-spans?time_spanable_id={queue}&time_spanable_type=call_queue",
        r#"{"reference": "Walked", "destination": "802", "day_of_week": 1, "start_time": "09:00", "end_time": "18:00"}"#,
    ),
    (
        "exception",
        "/call-queues/exceptions/holidays",
        r#"{"exceptionable_id": "{queue}", "exceptionable_type": "call_queue", "label": "Walked", "day": "2027-05-01"}"#,
    ),
];

/// Ids by kind of row.
pub struct CreatedRows(Map<String, Value>);

impl CreatedRows {
    pub fn make(routing: &RoutingClient<'_>) -> Self {
        // Geo models are built in.
        let mut world = Self(Map::from_iter([("model".to_owned(), json!(1))]));
        for (name, path, body) in WORLD {
            let id = routing.create(&world.filled(path), world.value(&serde_json::from_str(body).unwrap()));
            world.0.insert((*name).to_owned(), json!(id));
        }
        world
    }

    /// Replaces names in braces with ids.
    fn filled(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), &id.to_string()))
    }

    /// Replaces names in every text of a value. A text that is only a name becomes a number.
    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let named = text.strip_prefix('{').and_then(|name| self.0.get(name.strip_suffix('}')?));
                named.cloned().unwrap_or_else(|| self.filled(text).into())
            }
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), self.value(value))).collect(),
            other => other.clone(),
        }
    }
}

impl Endpoint {
    /// The path with ids and query, without the customer.
    pub fn path(&self, world: &CreatedRows) -> String {
        let mut ids = self.ids.iter();
        let segments = self.path.split('/').map(|segment| match segment.starts_with('{') {
            true => world.0[*ids.next().expect("an id for each")].to_string(),
            false => segment.to_owned(),
        });
        let path = segments.collect::<Vec<_>>().join("/");
        if self.query.is_empty() { path } else { format!("{path}?{}", world.filled(self.query)) }
    }

    pub fn body(&self, world: &CreatedRows) -> Option<Value> {
        self.body.as_ref().map(|body| world.value(body))
    }
}

pub fn all() -> Vec<Endpoint> {
    let on = |method, path, ids, query, status, reads| Endpoint { method, path, ids, query, body: None, status, reads };
    let get = |path, ids, query, reads| on("GET", path, ids, query, 200, reads);
    let delete = |path, ids| on("DELETE", path, ids, "", 200, json!({"response": "ok"}));
    let with = |endpoint: Endpoint, body: Value| Endpoint { body: Some(body), ..endpoint };
    let bulk = |path, named: &str| {
        let answer = json!({"response": "ok", "deleted": 1});
        with(on("DELETE", path, &[], "", 200, answer), json!({"ids": [named]}))
    };
    let post = |path, ids, query, body, reads| with(on("POST", path, ids, query, 201, reads), body);
    let put = |path, ids, body: Value| with(on("PUT", path, ids, "", 201, body.clone()), body);
    let page = |named: Value| json!({"data": [named], "current_page": 1, "total": 1, "next_page_url": null});
    vec![
        // Contacts
        get("/contacts", &[], "company=&last_name=walk&field_boolean_1=0", page(json!({"id_code": "W1"}))),
        get("/contacts/{id}", &["contact"], "", json!({"id": "{contact}", "telecoms": ["01 42 00 00 00"]})),
        post("/contacts", &[], "", contact(), contact()),
        put("/contacts/{id}", &["contact"], json!({"first_name": "Zoé", "emails": ["zoe@example.com"]})),
        delete("/contacts/{id}", &["contact"]),
        bulk("/contacts/bulk", "{contact}"),
        post(
            "/contacts/import",
            &[],
            "",
            json!({"contacts": [contact()]}),
            json!({"response": "ok", "created": 1, "updated": 0}),
        ),
        get("/contacts/export", &[], "id_code=W1", json!([{"id": "{contact}", "last_name": "Walked"}])),
        get(
            "/contacts/lookup",
            &[],
            "telecom=%2B33142000000",
            json!({"contact": {"id": "{contact}"}, "destination": "801"}),
        ),
        // Fields and their options
        get("/fields", &[], "name=Walked", page(json!({"id": "{field}"}))),
        get("/fields/{id}", &["field"], "", json!({"id": "{field}", "name": "Walked", "default_value": "silver"})),
        post("/fields", &[], "", json!({"name": "Tier", "default_value": "x"}), json!({"default_option_id": null})),
        put("/fields/{id}", &["field"], json!({"name": "Tier", "default_option_id": "{option}"})),
        delete("/fields/{id}", &["field"]),
        get("/fields/{id}/options", &["field"], "value=gold", page(json!({"id": "{option}"}))),
        get("/fields/{id}/options/{option_id}", &["field", "option"], "", json!({"routing_field_id": "{field}"})),
        post(
            "/fields/{id}/options",
            &["field"],
            "",
            json!({"name": "Silver", "value": "s", "routing_field_id": "{field}"}),
            json!({"name": "Silver", "value": "s", "routing_field_id": "{field}"}),
        ),
        put("/fields/{id}/options/{option_id}", &["field", "option"], json!({"name": "Golden", "value": "g"})),
        delete("/fields/{id}/options/{option_id}", &["field", "option"]),
        // CTIs and their destinations
        get("/ctis", &[], "name=walk", page(json!({"id": "{cti}"}))),
        get("/ctis/{id}", &["cti"], "", json!({"id": "{cti}", "name": "Walked"})),
        post("/ctis", &[], "", json!({"name": "PBX"}), json!({"name": "PBX"})),
        put("/ctis/{id}", &["cti"], json!({"name": "PBX"})),
        delete("/ctis/{id}", &["cti"]),
        bulk("/ctis/bulk", "{cti}"),
        post("/ctis/import", &[], "", json!([{"name": "PBX"}]), json!({"response": "ok", "created": 1, "updated": 0})),
        get("/ctis/export", &[], "", json!([{"id": "{cti}", "name": "Walked"}])),
        post("/ctis/{id}/regenerate-token", &["cti"], "", json!([]), json!({"id": "{cti}", "name": "Walked"})),
        get("/ctis/{id}/destinations", &["cti"], "origin=33", page(json!({"id": "{origin}"}))),
        get(
            "/ctis/{id}/destinations/{destination_id}",
            &["cti", "origin"],
            "",
            json!({"id": "{origin}", "cti_id": "{cti}", "origin": "+33 1*", "destination": "Walked"}),
        ),
        post(
            "/ctis/{id}/destinations",
            &["cti"],
            "",
            json!({"origin": "204", "destination": "801", "cti_id": "{cti}"}),
            json!({"origin": "204", "destination": "801", "cti_id": "{cti}"}),
        ),
        put("/ctis/{id}/destinations/{destination_id}", &["cti", "origin"], json!({"destination": "802"})),
        delete("/ctis/{id}/destinations/{destination_id}", &["cti", "origin"]),
        get(
            "/ctis/lookup",
            &[],
            "cti_id={cti}&origin=0142000000",
            json!({"cti": {"id": "{cti}"}, "origin": "+33 1*", "destination": "Walked"}),
        ),
        // Call-flow tokens
        get("/cfd-tokens", &[], "user_id=1", page(json!({"id": "{cfd}", "hosts": ["192.0.2.1"]}))),
        get("/cfd-tokens/{id}", &["cfd"], "", json!({"id": "{cfd}", "name": "Walked", "user_id": 1})),
        post("/cfd-tokens", &[], "", cfd_token(), cfd_token()),
        put("/cfd-tokens/{id}", &["cfd"], json!({"hosts": ["pbx.example.com", "10.0.0.0/8"]})),
        delete("/cfd-tokens/{id}", &["cfd"]),
        // Surveys and their records
        get("/surveys", &[], "term=walk", page(json!({"id": "{survey}"}))),
        get("/surveys/{id}", &["survey"], "", json!({"id": "{survey}", "name": "Walked"})),
        post("/surveys", &[], "", json!({"name": "After the call"}), json!({"name": "After the call"})),
        put("/surveys/{id}", &["survey"], json!({"name": "After the call"})),
        delete("/surveys/{id}", &["survey"]),
        get(
            "/surveys/{id}/summary",
            &["survey"],
            "from=2024-01-01&to=2024-12-31",
            json!({"survey": {"id": "{survey}"}, "count": 1, "score_1": {"mean": 5.0, "distribution": {"5": 1}}}),
        ),
        get(
            "/surveys/summaries",
            &[],
            "from=2024-01-01&to=2024-12-31",
            page(json!({"survey": {"id": "{survey}"}, "count": 1, "score_1": {"mean": 5.0}})),
        ),
        get("/survey-records", &[], "survey_id={survey}&datetime[gte]=2024-01-20", page(json!({"id": "{record}"}))),
        get("/survey-records/{id}", &["record"], "", json!({"survey_id": "{survey}", "score_1": "5"})),
        post("/survey-records", &[], "", survey_record(), survey_record()),
        put("/survey-records/{id}", &["record"], json!({"score_2": "3"})),
        delete("/survey-records/{id}", &["record"]),
        get("/survey-records/export", &[], "", json!([{"id": "{record}", "caller": "Walked"}])),
        // Geo models, lists and their destinations
        get(
            "/geo/models",
            &[],
            "name=departments&match_method=prefix&match_position=start",
            page(json!({"id": "{model}", "max_length": 5})),
        ),
        get("/geo/models/{id}", &["model"], "", json!({"match_method": "prefix", "match_position": "start"})),
        get("/geo/lists", &[], "list_name=walked&geo_routing_model_id=1", page(json!({"id": "{list}"}))),
        get("/geo/lists/{id}", &["list"], "", json!({"list_id": "W1", "geo_routing_model_id": "{model}"})),
        post("/geo/lists", &[], "", geo_list(), geo_list()),
        put("/geo/lists/{id}", &["list"], json!({"list_name": "By region", "fallback_destination_4": "804"})),
        delete("/geo/lists/{id}", &["list"]),
        get("/geo/lists/{id}/destinations", &["list"], "nickname=walked", page(json!({"id": "{destination}"}))),
        get(
            "/geo/lists/{id}/destinations/{destination_id}",
            &["list", "destination"],
            "",
            json!({"geo_routing_list_id": "{list}", "zones": ["75", "2A"]}),
        ),
        post("/geo/lists/{id}/destinations", &["list"], "", geo_destination(), geo_destination()),
        put(
            "/geo/lists/{id}/destinations/{destination_id}",
            &["list", "destination"],
            json!({"zones": ["2B", "75"], "nickname": "North"}),
        ),
        delete("/geo/lists/{id}/destinations/{destination_id}", &["list", "destination"]),
        get(
            "/geo/destinations/lookup",
            &[],
            "list_id=W1&value=75011",
            json!({
                "list": {"id": "{list}", "list_id": "W1", "list_name": "Walked"}, "zone": {"code": "75", "label": "Paris"},
                "destination": "801", "destinations": ["801", "802"], "fallback": false,
            }),
        ),
        get("/geo/lists/{id}/zones", &["list"], "", json!({"taken": 2, "free": 107})),
        // Call queue groups
        get("/call-queues/groups", &[], "name=Walked", page(json!({"id": "{group}"}))),
        get("/call-queues/groups/{id}", &["group"], "", json!({"id": "{group}", "name": "Walked"})),
        post("/call-queues/groups", &[], "", json!({"name": "Sales"}), json!({"name": "Sales"})),
        put("/call-queues/groups/{id}", &["group"], json!({"name": "Support"})),
        delete("/call-queues/groups/{id}", &["group"]),
        // Call queues
        get("/call-queues/queues", &[], "code=Q1&active=1", page(json!({"id": "{queue}"}))),
        get("/call-queues/queues/{id}", &["queue"], "", json!({"id": "{queue}", "did_number": "01 42 00 00 01"})),
        post("/call-queues/queues", &[], "", queue(), queue()),
        put("/call-queues/queues/{id}", &["queue"], json!({"active": false, "type": "ring-all"})),
        delete("/call-queues/queues/{id}", &["queue"]),
        get(
            "/call-queues/lookup",
            &[],
            "did_number=%2B33142000001&at=2027-05-03T09:00:00",
            json!({"queue": {"id": "{queue}"}, "open": true, "reason": "time_span", "destination": "802",
                   "destination_type": null, "matched": {"id": "{span}"}}),
        ),
        get(
            "/call-queues/queues/states",
            &[],
            "at=2027-05-03T09:00:00",
            page(json!({"queue": {"id": "{queue}"}, "open": true, "destination": "802"})),
        ),
        get(
            "/call-queues/queues/{id}/week",
            &["queue"],
            "from=2027-05-03",
            json!({"from": "2027-05-03", "to": "2027-05-10", "timezone": "Europe/Paris"}),
        ),
        get(
            "/call-queues/groups/{id}/week",
            &["group"],
            "from=2027-05-03",
            json!({"from": "2027-05-03", "to": "2027-05-10", "timezone": "Europe/Paris"}),
        ),
        // Time spans
        get(
            "/call-queues/time-spans",
            &[],
            "time_spanable_id={queue}&time_spanable_type=call_queue&day_of_week=1",
            page(json!({"id": "{span}"})),
        ),
        get("/call-queues/time-spans/{id}", &["span"], "", json!({"time_spanable_id": "{queue}", "end_time": "18:00"})),
        post(
            "/call-queues/time-spans",
            &[],
            "time_spanable_id={group}&time_spanable_type=App%5CModels%5CCallQueueGroup",
            json!({"reference": "R", "date_full": "2027-05-03", "start_time": "09:00:30", "end_time": "24:00"}),
            json!({"time_spanable_id": "{group}", "time_spanable_type": "call_queue_group", "reference": "R",
                   "day_of_week": null, "date_full": "2027-05-03", "start_time": "09:00:30", "end_time": "24:00"}),
        ),
        put("/call-queues/time-spans/{id}", &["span"], json!({"date_full": "2027-05-03", "destination": "803"})),
        delete("/call-queues/time-spans/{id}", &["span"]),
        post(
            "/call-queues/time-spans/bulk",
            &[],
            "time_spanable_id={queue}&time_spanable_type=call_queue",
            json!([{"day_of_week": 2, "start_time": "09:00", "end_time": "12:00"}]),
            json!({"response": "ok", "created": 1, "data": [{"time_spanable_id": "{queue}", "day_of_week": 2}]}),
        ),
        post(
            "/call-queues/time-spans/replace",
            &[],
            "",
            json!({"time_spanable_id": "{queue}", "time_spanable_type": "call_queue", "days": [2, 3], "from_day": 1}),
            json!({"response": "ok", "deleted": 0, "created": 2, "data": [{"day_of_week": 2}, {"day_of_week": 3}]}),
        ),
        bulk("/call-queues/time-spans/bulk", "{span}"),
        // Exceptions and holidays
        get("/call-queues/exceptions", &[], "day=2027-05-01&holiday=1", page(json!({"id": "{exception}"}))),
        get("/call-queues/exceptions/{id}", &["exception"], "", json!({"label": "Walked", "holiday": true})),
        post(
            "/call-queues/exceptions",
            &[],
            "exceptionable_id={queue}&exceptionable_type=call_queue",
            json!({"reference": "R", "label": "Inventory", "destination": "804", "day": "--12-31"}),
            json!({"exceptionable_id": "{queue}", "exceptionable_type": "call_queue", "reference": "R",
                   "label": "Inventory", "destination": "804", "day": "--12-31", "holiday": false}),
        ),
        put("/call-queues/exceptions/{id}", &["exception"], json!({"day": "--05-01", "label": "May Day"})),
        bulk("/call-queues/exceptions/bulk", "{exception}"),
        delete("/call-queues/exceptions/{id}", &["exception"]),
        get(
            "/call-queues/exceptions/holidays/calendar",
            &[],
            "country=FR&year=2027",
            json!({"country": "FR", "region": null, "year": 2027}),
        ),
        get("/call-queues/exceptions/holidays", &[], "", page(json!({"id": "{exception}", "holiday": true}))),
        post(
            "/call-queues/exceptions/holidays",
            &[],
            "",
            json!({"exceptionable_id": "{group}", "exceptionable_type": "call_queue_group", "day": "2027-07-14"}),
            json!({"exceptionable_id": "{group}", "day": "2027-07-14", "holiday": true}),
        ),
    ]
}

fn geo_list() -> Value {
    json!({
        "list_id": "A1", "list_name": "By country", "fallback_destination_1": "1", "fallback_destination_2": "2",
        "fallback_destination_3": "3", "fallback_destination_4": "4", "geo_routing_model_id": 7,
    })
}

fn geo_destination() -> Value {
    json!({
        "geo_routing_list_id": "{list}", "zones": ["971", "2B"], "nickname": "Islands", "destination_1": "1",
        "destination_2": "2", "destination_3": "3", "destination_4": "4",
    })
}

fn queue() -> Value {
    json!({
        "active": true, "name": "Sales", "code": "Q2", "number": "805", "did_number": "+33 1 42 00 00 02",
        "host_name": "pbx.example.com", "type": "ring-all", "call_queue_group_id": "{group}",
        "default_destination_type": "extension", "default_destination": "806",
    })
}

fn contact() -> Value {
    json!({
        "id_code": "A1", "language_code": "fr", "company": "Acme", "first_name": "Ada", "last_name": "Lovelace",
        "emails": ["ada@example.com"], "telecoms": ["+33 1 43 00 00 00"], "email_destination": "ada",
        "telecom_destination": "802", "field_select_1": "gold", "field_select_2": "b", "field_select_3": "c",
        "field_select_4": "d", "field_boolean_1": true, "field_boolean_2": false, "field_boolean_3": true,
        "field_boolean_4": false,
    })
}

fn cfd_token() -> Value {
    json!({"name": "Night", "user_id": 1, "hosts": ["pbx.example.com"], "expires_at": "2034-01-20T12:00:00Z"})
}

fn survey_record() -> Value {
    json!({
        "survey_id": "{survey}", "caller": "+33 1 42 00 00 00", "score_1": "5", "score_2": "4", "score_3": "n/a",
        "agent_extension": "204", "agent_name": "Ada", "datetime": "2024-01-20T12:00:00Z",
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tests::TestServer;

    /// Whether the response contains everything that is expected.
    fn has(answer: &Value, reads: &Value) -> bool {
        match (answer, reads) {
            (Value::Object(answer), Value::Object(reads)) => {
                reads.iter().all(|(name, value)| answer.get(name).is_some_and(|answered| has(answered, value)))
            }
            (Value::Array(answer), Value::Array(reads)) => {
                answer.len() == reads.len() && answer.iter().zip(reads).all(|(answer, read)| has(answer, read))
            }
            (answer, read) => answer == read,
        }
    }

    #[test]
    fn every_endpoint_answers_as_programs_expect() {
        for endpoint in all() {
            let server = TestServer::new();
            let routing = RoutingClient::new(&server);
            let world = CreatedRows::make(&routing);
            let path = endpoint.path(&world);
            let answer =
                routing.client.send(endpoint.method.parse().unwrap(), &routing.path(&path), endpoint.body(&world));
            let reads = world.value(&endpoint.reads);
            assert_eq!(answer.status, endpoint.status, "{} {path}: {answer:?}", endpoint.method);
            assert!(has(&answer.json(), &reads), "{} {path} lacks {reads} in {}", endpoint.method, answer.text);
            let is_shipped = endpoint.path.starts_with("/geo/models");
            if answer.json().get("id").is_some() && !is_shipped {
                assert!(answer.json()["id"].is_i64() && answer.json()["customer_id"] == routing.customer, "{answer:?}");
            }
        }
    }

    #[test]
    fn the_table_has_every_route_once() {
        let routes = crate::routing::RESOURCES.iter().flat_map(|resource| resource.routes);
        let routes: HashSet<(String, String)> =
            routes.map(|route| (route.method.to_string(), route.path.to_owned())).collect();
        let rows = all();
        let in_table: HashSet<(String, String)> =
            rows.iter().map(|row| (row.method.to_owned(), format!("/smart-routings{}", row.path))).collect();
        assert_eq!(routes, in_table);
        assert_eq!(rows.len(), in_table.len());
    }
}

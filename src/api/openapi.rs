//! OpenAPI 3.1 from the table of routes: what each row's inputs and replies say of themselves.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::conditions;
use super::disclosure;
use super::error::Error;
use super::handler::Place as HandlerPlace;
use super::idempotency;
use super::input::MediaType;
use super::route::{Audience, Layer, Needs, Route};
use super::router::Router;

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// One operation while it is being described.
pub struct Operation<'g> {
    /// Shapes that are sent by clients, written out where they stand.
    inputs: &'g mut SchemaGenerator,
    /// Shapes that are answered, named and collected.
    answers: &'g mut SchemaGenerator,
    /// The names of the values in the path.
    path_values: Vec<&'static str>,
    parameters: Vec<Value>,
    body: Option<Value>,
    replies: Map<String, Value>,
    /// Errors that it may answer besides those of its row.
    refusals: Vec<StatusCode>,
}

impl Operation<'_> {
    /// The value in the path that comes after so many others.
    pub fn path_value(&mut self, place: usize, schema: Value) {
        let name = self.path_values[place];
        self.parameters.push(json!({"name": name, "in": Place::Path.name(), "required": true, "schema": schema}));
    }

    pub fn query(&mut self, name: &str, description: &str, schema: Value) {
        self.parameters.push(
            json!({"name": name, "in": Place::Query.name(), "required": false, "description": description, "schema": schema}),
        );
    }

    /// The same, without which the request is none.
    pub fn required_query(&mut self, name: &str, description: &str, schema: Value) {
        self.query(name, description, schema);
        if let Some(parameter) = self.parameters.last_mut() {
            parameter["required"] = true.into();
        }
    }

    /// Each field of `T` as a parameter.
    pub fn parameters<T: JsonSchema>(&mut self, place: Place, required: Vec<String>) {
        let schema = self.input::<T>();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            self.parameters.push(json!({
                "name": name, "in": place.name(), "required": required.contains(name), "schema": schema,
                "description": schema["description"],
            }));
        }
    }

    /// The body is a `T` with these fields required.
    pub fn body<T: JsonSchema>(&mut self, required: Vec<String>) {
        let mut schema = self.input::<T>();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        self.body_of(schema);
    }

    /// The body has this shape; where nothing in it is required, there need be none, and `[]` stands for none too.
    pub fn body_of(&mut self, mut schema: Value) {
        let required = schema.get("required").is_some();
        if !required {
            schema = json!({"anyOf": [schema, {"type": "array", "maxItems": 0, "description": "As an empty object."}]});
        }
        self.body = Some(json!({"required": required, "content": {"application/json": {"schema": schema}}}));
    }

    /// There must be a body, and it has this shape.
    pub fn needed_body_of(&mut self, schema: Value) {
        self.body = Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}));
    }

    /// The body is many rows, in JSON or in CSV: each as [`Operation::body`] would have it, and with what the server keeps.
    pub fn rows<T: JsonSchema>(&mut self, required: Vec<String>, name: &str, kept: &Map<String, Value>) {
        let mut row = self.input::<T>();
        row["required"] = json!(required);
        if let Some(properties) = row.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(kept.clone());
        }
        let list = json!({"type": "array", "items": row});
        let described = format!("The same under `data`, or under `{name}`.");
        let inside = json!({
            "type": "object", "required": ["data"], "properties": {"data": list}, "description": described,
        });
        self.body = Some(json!({"required": true, "content": {
            MediaType::Json.name(): {"schema": {"anyOf": [list, inside]}},
            MediaType::Csv.name(): {"schema": {"type": "string"}},
        }}));
    }

    /// The answer with this status is a `T`.
    pub fn answer<T: JsonSchema>(&mut self, status: StatusCode) {
        let schema = self.answers.subschema_for::<T>().to_value();
        self.replies.insert(
            status.as_str().into(),
            json!({"description": status.canonical_reason(), "content": {"application/json": {"schema": schema}}}),
        );
    }

    /// The answer with this status is many rows: a `T` in JSON, or CSV.
    pub fn export<T: JsonSchema>(&mut self, status: StatusCode) {
        self.answer::<T>(status);
        self.replies[status.as_str()]["content"]["text/csv"] = json!({"schema": {"type": "string"}});
    }

    /// The answer with this status is some JSON object.
    pub fn any(&mut self, status: StatusCode) {
        self.replies.insert(
            status.as_str().into(),
            json!({"description": status.canonical_reason(), "content": {"application/json": {"schema": {"type": "object"}}}}),
        );
    }

    /// The answer with this status is a file.
    pub fn file(&mut self, status: StatusCode) {
        let content = json!({"application/octet-stream": {}});
        self.replies.insert(status.as_str().into(), json!({"description": "A file.", "content": content}));
    }

    /// The answer with this status is an XML document.
    pub fn xml(&mut self, status: StatusCode) {
        let content = json!({"application/xml": {"schema": {"type": "string"}}});
        self.replies.insert(status.as_str().into(), json!({"description": "An XML document.", "content": content}));
    }

    /// The answer is a page for people.
    pub fn page(&mut self) {
        self.replies.insert("200".into(), json!({"description": "A page for people.", "content": {"text/html": {}}}));
    }

    /// The answer may be an error with this status.
    pub fn refusal(&mut self, status: StatusCode) {
        self.refusals.push(status);
    }

    /// What a row obeys that shows a resource, or that changes or deletes one which another row shows.
    fn conditions(&mut self, route: &Route, shows: Option<&Route>) {
        let tags = json!({"anyOf": [{"const": "*"}, {"type": "string", "pattern": conditions::TAGS}]});
        let resource = route.handler.resource();
        if route.method == Method::GET && resource.is_some() {
            self.header("If-None-Match", "The ETag of an answer that you have: if it would be the same, 304.", tags);
            let known = json!({"description": StatusCode::NOT_MODIFIED.canonical_reason()});
            self.replies.insert(StatusCode::NOT_MODIFIED.as_str().into(), known);
            self.tagged(StatusCode::OK);
            self.tagged(StatusCode::NOT_MODIFIED);
        } else if let (Method::PUT | Method::DELETE, Some(shows)) = (route.method.clone(), shows) {
            let about = "The ETag that GET of this path answered: if it has changed since, 412, and nothing is done.";
            self.header("If-Match", about, tags);
            self.refusal(StatusCode::PRECONDITION_FAILED);
            if route.method == Method::PUT && resource == shows.handler.resource() {
                self.tagged(StatusCode::CREATED);
            }
        }
    }

    /// What a row obeys that does something which is not to be done twice.
    fn idempotency(&mut self, route: &Route) {
        if !idempotency::counts_for(route) {
            return;
        }
        let about = "A text of your choice, new for each thing that you want done. Sent again within 24 hours by the same \
                     token or key, with the same path, query and body, it does nothing and gets the first answer. What was \
                     refused may be sent again with the same.";
        let key = json!({"type": "string", "minLength": 1, "maxLength": idempotency::LONGEST, "pattern": "^[!-~]+$"});
        self.header("Idempotency-Key", about, key);
        for (_, reply) in &mut self.replies {
            reply["headers"]["Idempotency-Replayed"] =
                json!({"description": "Where it is the answer to an earlier request.", "schema": {"const": "true"}});
        }
    }

    fn header(&mut self, name: &str, description: &str, schema: Value) {
        self.parameters.push(json!({
            "name": name, "in": Place::Header.name(), "required": false, "description": description, "schema": schema,
        }));
    }

    fn tagged(&mut self, status: StatusCode) {
        self.replies[status.as_str()]["headers"]["ETag"] =
            json!({"description": "Of this state of the resource.", "schema": {"type": "string"}});
    }

    /// What clients may send of a `T`: without the fields that the server keeps.
    pub fn input<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.inputs.subschema_for::<T>().to_value();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|_, schema| schema.get("readOnly") != Some(&Value::Bool(true)));
        }
        schema
    }
}

/// Describes what a caller without the permission to view is answered, beside the whole.
fn limit(replies: &mut Map<String, Value>, needed: &str) {
    for reply in replies.values_mut().filter(|reply| reply["content"]["application/json"]["schema"].is_object()) {
        let schema = reply["content"]["application/json"]["schema"].take();
        let about = format!("Without the permission `{needed}`: the id, and the fields that were sent.");
        let limited = json!({"type": "object", "description": about, "properties": {"id": {"type": "integer"}}});
        reply["content"]["application/json"]["schema"] = json!({"anyOf": [schema, limited]});
    }
}

/// The description of one layer.
pub fn document(router: &Router, layer: Layer) -> Value {
    let mut inputs = SchemaSettings::draft2020_12()
        .for_deserialize()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut answers = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();

    let mut paths = Map::new();
    for resource in router.resources(layer).iter().filter(|resource| resource.audience == Audience::Programs) {
        for route in resource.routes {
            let mut operation = describe(router, layer, route, &mut inputs, &mut answers);
            operation["tags"] = json!([resource.name]);
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method.as_str().to_ascii_lowercase()] = operation;
        }
    }
    let mut schemas = answers.take_definitions(true);
    schemas.insert("Error".into(), error_schema());
    schemas.insert("Invalid".into(), invalid_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("cx-engine, {} API", layer.name()),
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "PASETO v4.local"}},
        },
    })
}

fn describe(
    router: &Router,
    layer: Layer,
    route: &Route,
    inputs: &mut SchemaGenerator,
    answers: &mut SchemaGenerator,
) -> Value {
    let segments = || route.path.split('/').filter(|segment| !segment.is_empty());
    let path_values = segments().filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect();
    let mut operation = Operation {
        inputs,
        answers,
        path_values,
        parameters: Vec::new(),
        body: None,
        replies: Map::new(),
        refusals: Vec::new(),
    };
    route.handler.describe(&mut operation);
    operation.conditions(route, router.shows(layer, route));
    operation.idempotency(route);
    let Operation { parameters, body, mut replies, refusals: mut statuses, .. } = operation;
    if let Some(needed) = disclosure::needed_to_view(router, layer, route) {
        limit(&mut replies, needed);
    }
    statuses.extend(refusals(route, layer, body.is_some()));
    statuses.sort();
    for status in statuses {
        replies.insert(status.as_str().into(), refusal(status));
    }
    let name: Vec<&str> = segments().map(|segment| segment.trim_matches(['{', '}'])).collect();
    let mut described = json!({
        "operationId": format!("{}-{}", route.method.as_str().to_ascii_lowercase(), name.join("-")),
        "summary": route.summary,
        "parameters": parameters,
        "responses": replies,
    });
    if let Some(body) = body {
        described["requestBody"] = body;
    }
    if route.needs != Needs::Anyone {
        described["security"] = json!([{"bearer": []}]);
    }
    let needs = match route.needs {
        Needs::Permission(name) => Some(format!("Needs the permission `{name}`.")),
        Needs::Oneself(name) => Some(format!("Needs the permission `{name}`, or is about the caller themselves.")),
        Needs::Own(name) => Some(format!("Needs the permission `{name}`, or is about the caller's own.")),
        Needs::Scoped(name) => {
            Some(format!("Needs the permission `{name}`. Who is bound to a customer reaches that customer's rows."))
        }
        Needs::LookUp(name) => Some(format!(
            "Needs the permission `{name}`, or the token of a call flow. Who is bound to a customer reaches that \
             customer's rows."
        )),
        Needs::Operator | Needs::Member | Needs::Owner => Some(format!("For {} only.", route.needs)),
        Needs::Insider => Some("For users and integration keys of the workspace.".to_owned()),
        Needs::Anyone | Needs::SignedIn | Needs::AnyToken => None,
    };
    if let Some(needs) = needs {
        described["description"] = json!(needs);
    }
    described
}

/// The errors that a row may answer besides what its handler says.
fn refusals(route: &Route, layer: Layer, has_body: bool) -> Vec<StatusCode> {
    // 404: an unknown host or workspace, besides a resource that is not there. 400: a request that is no good HTTP.
    let mut statuses = vec![
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
        // Also where nothing is changed: a file that is opened wants room beside it.
        StatusCode::INSUFFICIENT_STORAGE,
    ];
    if route.needs != Needs::Anyone || route.handler.place() == HandlerPlace::Hashing {
        statuses.push(StatusCode::UNAUTHORIZED);
    }
    if route.needs != Needs::Anyone || layer == Layer::Workspace || route.handler.place() == HandlerPlace::Hashing {
        statuses.push(StatusCode::FORBIDDEN);
    }
    if route.method != Method::GET {
        statuses.push(StatusCode::UNPROCESSABLE_ENTITY);
    }
    if has_body {
        statuses.extend([
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ]);
    }
    statuses
}

fn refusal(status: StatusCode) -> Value {
    let error = json!({"$ref": "#/components/schemas/Error"});
    let schema = if status == StatusCode::BAD_REQUEST {
        json!({"anyOf": [{"$ref": "#/components/schemas/Invalid"}, error]})
    } else {
        error
    };
    json!({"description": status.canonical_reason(), "content": {"application/json": {"schema": schema}}})
}

fn error_schema() -> Value {
    json!({
        "type": "object", "required": ["message", "error"],
        "description": "What went wrong.",
        "properties": {
            "message": {"type": "string", "description": "For people.", "examples": [Error::not_found().to_string()]},
            "error": {"type": "string", "description": "For programs.", "examples": ["not_found"]},
            "hint": {"type": "array", "items": {"type": "string"}, "description": "Where a field is to blame."},
        },
    })
}

fn invalid_schema() -> Value {
    json!({
        "type": "object", "required": ["response", "hint"],
        "description": "Parameters that break their rules.",
        "properties": {
            "response": {"type": "string"},
            "hint": {"type": "array", "items": {"type": "string"}, "description": "One sentence a problem.",
                     "examples": [["The name field is required."]]},
            "count": {"type": "integer", "description": "In an import: how many rows are bad. The first 100 have a hint."},
        },
    })
}

//! Describes one operation. Its inputs and replies add their parameters, body and responses.

use http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::document::object;
use super::schemas::{Schemas, input_name};
use crate::api::media_type::MediaType;

/// The location of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterIn {
    Path,
    Query,
    Header,
}

impl ParameterIn {
    fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

pub struct Operation<'s> {
    schemas: &'s mut Schemas,
    /// Names of the values in the path.
    path_values: Vec<&'static str>,
    /// Media types that the handler accepts. The first is the default.
    media_types: &'static [MediaType],
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) responses: Map<String, Value>,
    /// Error statuses of this operation in addition to those of every similar route.
    pub(super) refusals: Vec<StatusCode>,
}

impl<'s> Operation<'s> {
    /// An operation without inputs and responses, at this path.
    pub(super) fn new(path: &'static str, media_types: &'static [MediaType], schemas: &'s mut Schemas) -> Self {
        let segments = path.split('/');
        let path_values = segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect();
        Self {
            schemas,
            path_values,
            media_types,
            parameters: Vec::new(),
            body: None,
            responses: Map::new(),
            refusals: Vec::new(),
        }
    }

    /// Describes the value at this position in the path.
    pub fn path_value(&mut self, place: usize, description: &str, schema: Value) {
        self.parameter(ParameterIn::Path, self.path_values[place], description, true, schema);
    }

    pub fn query(&mut self, name: &str, description: &str, schema: Value) {
        self.parameter(ParameterIn::Query, name, description, false, schema);
    }

    pub fn required_query(&mut self, name: &str, description: &str, schema: Value) {
        self.parameter(ParameterIn::Query, name, description, true, schema);
    }

    /// Each field of `T` as a parameter. These fields are required, and those that the schema of `T` requires.
    pub fn parameters<T: JsonSchema>(&mut self, place: ParameterIn, required: &[String]) {
        let schema = self.schemas.input::<T>();
        let of_schema: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, mut schema) in schema["properties"].as_object().cloned().into_iter().flatten() {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let description = description.as_ref().and_then(Value::as_str).unwrap_or_default();
            let is_required = required.contains(&name) || of_schema.contains(&name.as_str());
            self.parameter(place, &name, description, is_required, schema);
        }
    }

    pub fn parameter(&mut self, place: ParameterIn, name: &str, description: &str, required: bool, schema: Value) {
        let mut parameter = json!({"name": name, "in": place.name(), "required": required});
        if !description.is_empty() {
            parameter["description"] = json!(description);
        }
        parameter["schema"] = schema;
        self.parameters.push(parameter);
    }

    /// The body is a new `T`. These fields are required.
    pub fn body<T: JsonSchema>(&mut self, required: &[String]) {
        let schema = self.schemas.new_input::<T>(required);
        let name = input_name::<T>("Input");
        self.body_of(&name, schema);
    }

    /// The body contains the fields of a `T` to change: all, some or none.
    pub fn changes<T: JsonSchema>(&mut self) {
        let schema = self.schemas.input::<T>();
        let name = input_name::<T>("Update");
        self.body_of(&name, schema);
    }

    /// The body has this schema under this name.
    pub fn body_of(&mut self, name: &str, schema: Value) {
        let required = schema.get("required").is_some();
        let example = super::example::of(&schema);
        let schema = self.schemas.named(name, schema);
        self.set_body(required, schema, example);
    }

    /// The body is a list of new `T`s. These fields are required in each.
    pub fn list_of<T: JsonSchema>(&mut self, required: &[String], most: usize, description: &str) {
        let item = self.schemas.new_input::<T>(required);
        let example = super::example::of(&item).map(|example| json!([example]));
        let item = self.schemas.named(&input_name::<T>("Input"), item);
        let list = json!({"type": "array", "items": item, "minItems": 1, "maxItems": most, "description": description});
        self.set_body(true, list, example);
    }

    /// The body contains many rows, in JSON or CSV: each as in [`Operation::body`], plus the fields that the server
    /// sets.
    pub fn rows<T: JsonSchema>(&mut self, required: &[String], name: &str, kept: &Map<String, Value>) {
        let mut row = self.schemas.new_input::<T>(required);
        let example = super::example::of(&row);
        if let Some(properties) = row.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(kept.clone());
        }
        let row = self.schemas.named(&input_name::<T>("Row"), row);
        // An object, because some generators fail on a list if there is another media type.
        let import = json!({
            "type": "object", "required": ["data"],
            "description": format!("The rows. The list alone, or under `{name}`, is accepted too."),
            "properties": {"data": {"type": "array", "items": row, "description": "Each row is created or changed."}},
        });
        let mut json = json!({"schema": self.schemas.named(&input_name::<T>("Import"), import)});
        if let Some(example) = example {
            json["example"] = json!({"data": [example]});
        }
        self.body = Some(json!({"required": true, "content": {
            MediaType::Json.name(): json,
            MediaType::Csv.name(): {"schema": {
                "type": "string", "format": "binary",
                "description": "A line with field names, then one line per row.",
            }},
        }}));
    }

    /// The body is a file with rows, alone or as `file` of a form.
    pub fn rows_file(&mut self) {
        let file = json!({"type": "string", "format": "binary", "description": "A CSV or JSON file."});
        let form = json!({"type": "object", "required": ["file"], "properties": {"file": file}});
        let rows = json!({"description": "A list of rows, or an object with one under `data`."});
        self.body = Some(json!({"required": true, "content": {
            MediaType::Csv.name(): {"schema": file},
            MediaType::Json.name(): {"schema": rows, "example": [{"last_name": "Martin"}]},
            MediaType::Multipart.name(): {"schema": form},
        }}));
    }

    /// Sets the body for each media type that the handler accepts.
    fn set_body(&mut self, required: bool, schema: Value, example: Option<Value>) {
        let mut content = Map::new();
        for media_type in self.media_types {
            let mut described = json!({"schema": schema});
            if let Some(example) = &example {
                described["example"] = example.clone();
            }
            content.insert(media_type.name().into(), described);
        }
        self.body = Some(object([("required", json!(required)), ("content", content.into())]));
    }

    /// The response with this status is a `T`.
    pub fn response<T: JsonSchema>(&mut self, status: StatusCode) {
        let schema = self.schemas.output::<T>();
        let content = object([("application/json", object([("schema", schema)]))]);
        self.add_response(status, status.canonical_reason().unwrap_or_default(), content);
    }

    /// The response with this status contains many rows: a `T` in JSON, or CSV.
    pub fn export<T: JsonSchema>(&mut self, status: StatusCode) {
        let schema = self.schemas.output::<T>();
        let content = json!({"application/json": {"schema": schema}, "text/csv": {"schema": {"type": "string"}}});
        self.add_response(status, "The rows.", content);
    }

    /// The response with this status is a JSON object of any shape.
    pub fn any_json_response(&mut self, status: StatusCode) {
        self.add_response(status, "A JSON object.", json!({"application/json": {"schema": {"type": "object"}}}));
    }

    /// The response with this status is a file.
    pub fn file_response(&mut self, status: StatusCode) {
        let schema = json!({"type": "string", "format": "binary"});
        self.add_response(status, "A file.", json!({"application/octet-stream": {"schema": schema}}));
    }

    /// The response with this status is a text.
    pub fn text(&mut self, status: StatusCode) {
        self.add_response(status, "A text.", json!({"text/plain": {"schema": {"type": "string"}}}));
    }

    /// The response with this status is a stream of Server-Sent Events.
    pub fn events(&mut self, status: StatusCode) {
        let content = json!({"text/event-stream": {"schema": {"type": "string"}}});
        self.add_response(status, "Server-Sent Events, without an end.", content);
    }

    /// The response with this status is an XML document.
    pub fn xml(&mut self, status: StatusCode) {
        self.add_response(status, "An XML document.", json!({"application/xml": {"schema": {"type": "string"}}}));
    }

    /// The response is an HTML page.
    pub fn page_response(&mut self) {
        self.add_response(StatusCode::OK, "An HTML page.", json!({"text/html": {"schema": {"type": "string"}}}));
    }

    fn add_response(&mut self, status: StatusCode, description: &str, content: Value) {
        let response = object([("description", json!(description)), ("content", content)]);
        self.responses.insert(status.as_str().into(), response);
    }

    /// The operation may return an error with this status.
    pub fn error_response(&mut self, status: StatusCode) {
        self.refusals.push(status);
    }

    pub(super) fn with_etag(&mut self, status: StatusCode) {
        self.responses[status.as_str()]["headers"]["ETag"] = json!({"$ref": "#/components/headers/ETag"});
    }

    /// The schema of a `T` in a request, without the fields that the server sets.
    pub fn input<T: JsonSchema>(&mut self) -> Value {
        self.schemas.input::<T>()
    }
}

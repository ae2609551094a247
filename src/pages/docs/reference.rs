//! The content of a reference page, read from the OpenAPI description.

use std::collections::BTreeSet;

use serde_json::Value;

use super::curl;
use crate::api::Layer;
use crate::api::openapi::resolve;
use crate::values::normalize::normalize;

/// One layer of the API.
pub struct SectionDoc {
    pub title: &'static str,
    pub about: Prose,
    /// Base URL.
    pub url: String,
    pub resources: Vec<ResourceDoc>,
}

pub struct ResourceDoc {
    pub name: String,
    pub about: String,
    pub path: String,
    pub operations: Vec<OperationDoc>,
    /// Every named schema to which the operations refer.
    pub schemas: Vec<SchemaDoc>,
}

pub struct OperationDoc {
    pub id: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    pub about: Prose,
    pub curl: String,
    pub parameters: Vec<FieldDoc>,
    /// Parameters that filter a list.
    pub filters: Vec<FieldDoc>,
    pub body: Option<BodyDoc>,
    pub responses: Vec<ResponseDoc>,
    pub errors: Vec<ResponseDoc>,
    /// The normalized text that the search compares.
    pub searched: String,
}

pub struct BodyDoc {
    /// `application/json or text/csv`
    pub media_types: String,
    pub required: bool,
    /// Whether the body is a list. The fields are then those of its items.
    pub list: bool,
    pub about: Prose,
    pub fields: Vec<FieldDoc>,
}

pub struct ResponseDoc {
    pub status: String,
    pub about: Prose,
    pub types: Vec<TypeDoc>,
}

pub struct SchemaDoc {
    pub name: String,
    pub about: Prose,
    pub fields: Vec<FieldDoc>,
}

pub struct FieldDoc {
    pub name: String,
    pub types: Vec<TypeDoc>,
    pub required: bool,
    pub about: Prose,
    /// Limits, choices, default and example, one short sentence each.
    pub notes: Vec<Prose>,
}

/// A type in words. A named schema is a link.
pub struct TypeDoc {
    pub words: String,
    pub named: Option<String>,
}

/// Text in pieces. Every second piece was between backticks and is code.
pub type Prose = Vec<String>;

impl SectionDoc {
    pub fn of(document: &Value, layer: Layer) -> Self {
        let tags = document["tags"].as_array().into_iter().flatten();
        let url = text(&document["servers"][0]["url"])
            .replace("{workspace}", text(&document["servers"][0]["variables"]["workspace"]["default"]));
        Self {
            title: match layer {
                Layer::Central => "Central API",
                Layer::Workspace => "Workspace API",
            },
            about: prose(&document["info"]["description"]),
            url,
            resources: tags.map(|tag| ResourceDoc::of(document, layer, tag)).collect(),
        }
    }
}

impl ResourceDoc {
    fn of(document: &Value, layer: Layer, tag: &Value) -> Self {
        let name = text(&tag["name"]);
        let mut operations = Vec::new();
        let mut referred = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag["name"] {
                    operations.push(OperationDoc::of(document, &method.to_ascii_uppercase(), path, operation));
                    refer(document, &operation["responses"], &mut referred);
                    refer(document, &operation["requestBody"], &mut referred);
                }
            }
        }
        let schemas = referred.iter().filter(|name| !is_a_body(name));
        Self {
            path: format!("/docs/{}/{}", layer.name(), name.to_lowercase().replace(' ', "-")),
            name: name.to_owned(),
            about: text(&tag["description"]).to_owned(),
            operations,
            schemas: schemas.map(|name| SchemaDoc::of(document, name)).collect(),
        }
    }
}

/// Bodies are shown with their operation, and errors are the same everywhere.
fn is_a_body(schema: &str) -> bool {
    ["Input", "Update", "Row", "Import", "ApiError", "InvalidRequest", "IdList"]
        .iter()
        .any(|ending| schema.ends_with(ending))
}

/// Collects the names of the schemas to which a part refers, directly or indirectly.
fn refer(document: &Value, part: &Value, names: &mut BTreeSet<String>) {
    match part {
        Value::Object(parts) => {
            let path = parts.get("$ref").and_then(Value::as_str);
            if let Some(name) = path.and_then(|path| path.strip_prefix("#/components/schemas/"))
                && names.insert(name.to_owned())
            {
                refer(document, resolve(document, part), names);
            }
            parts.values().for_each(|part| refer(document, part, names));
        }
        Value::Array(parts) => parts.iter().for_each(|part| refer(document, part, names)),
        _ => {}
    }
}

impl OperationDoc {
    fn of(document: &Value, method: &str, path: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.map(|parameter| resolve(document, parameter));
        let (filters, parameters): (Vec<FieldDoc>, Vec<FieldDoc>) =
            parameters.map(FieldDoc::of_parameter).partition(|field| field.name.starts_with("filter["));
        // A list of call routing also accepts the plain name of each filter.
        let is_filter =
            |field: &FieldDoc| filters.iter().any(|filter| filter.name == format!("filter[{}]", field.name));
        let (plain, parameters): (Vec<FieldDoc>, Vec<FieldDoc>) = parameters.into_iter().partition(is_filter);
        let responses = operation["responses"].as_object().into_iter().flatten();
        let (errors, responses): (Vec<ResponseDoc>, Vec<ResponseDoc>) = responses
            .map(|(status, response)| ResponseDoc::of(status, resolve(document, response)))
            .partition(|response| response.status.starts_with(['4', '5']));
        let body = operation.get("requestBody").map(|body| BodyDoc::of(document, body));
        let fields = || body.iter().flat_map(|body| &body.fields).chain(&parameters).chain(&filters);
        let words: Vec<&str> = fields().map(|field| field.name.as_str()).collect();
        let id = text(&operation["operationId"]).to_owned();
        let summary = text(&operation["summary"]).to_owned();
        Self {
            searched: normalize(&format!(
                "{id} {method} {path} {summary} {} {}",
                text(&operation["description"]),
                words.join(" ")
            )),
            id,
            method: method.to_owned(),
            path: path.to_owned(),
            summary,
            about: prose(&operation["description"]),
            curl: curl::command(document, method, path, operation),
            parameters,
            filters: filters.into_iter().chain(plain).collect(),
            body,
            responses,
            errors,
        }
    }
}

impl BodyDoc {
    fn of(document: &Value, body: &Value) -> Self {
        let content = body["content"].as_object();
        let media_types: Vec<&str> = content.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let outer = content.into_iter().flatten().map(|(_, content)| resolve(document, &content["schema"])).next();
        let outer = outer.unwrap_or(&Value::Null);
        // The list itself, or the list inside an import's object.
        let rows = [outer, &outer["properties"]["data"]].into_iter().find_map(|list| list.get("items"));
        let (list, schema) = (rows.is_some(), rows.map_or(outer, |row| resolve(document, row)));
        Self {
            media_types: media_types.join(" or "),
            required: body["required"] == true,
            list,
            about: prose(&outer["description"]),
            fields: fields(schema),
        }
    }
}

impl ResponseDoc {
    fn of(status: &str, response: &Value) -> Self {
        let schema = response["content"].as_object().and_then(|content| content.values().next());
        let types = schema.map_or_else(Vec::new, |content| types(&content["schema"]));
        Self { status: status.to_owned(), about: prose(&response["description"]), types }
    }
}

impl SchemaDoc {
    fn of(document: &Value, name: &str) -> Self {
        let schema = &document["components"]["schemas"][name];
        // A field of a response is present unless its description says otherwise.
        let fields = fields(schema).into_iter().map(|field| FieldDoc { required: false, ..field });
        Self { name: name.to_owned(), about: prose(&schema["description"]), fields: fields.collect() }
    }
}

impl FieldDoc {
    fn of_parameter(parameter: &Value) -> Self {
        let about = &parameter["description"];
        Self::of(text(&parameter["name"]), &parameter["schema"], parameter["required"] == true, about)
    }

    fn of(name: &str, schema: &Value, required: bool, about: &Value) -> Self {
        Self { name: name.to_owned(), types: types(schema), required, about: prose(about), notes: notes(schema) }
    }
}

fn fields(schema: &Value) -> Vec<FieldDoc> {
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(name, field)| FieldDoc::of(name, field, required(name), &field["description"])).collect()
}

fn types(schema: &Value) -> Vec<TypeDoc> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return vec![TypeDoc { words: name.to_owned(), named: Some(name.to_owned()) }];
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().flat_map(types).collect();
    }
    let several = match &schema["type"] {
        Value::Array(names) => names.iter().map(text).collect(),
        name => vec![text(name)],
    };
    let one = |name: &str| match name {
        "array" => {
            let mut items = types(&schema["items"]);
            let words = items.iter().map(|item| item.words.as_str()).collect::<Vec<_>>().join(" or ");
            let named = items.pop().and_then(|item| item.named);
            TypeDoc { words: format!("list of {}", if words.is_empty() { "any" } else { &words }), named }
        }
        "string" => {
            let format = schema["format"].as_str().map(|format| format!(" ({format})")).unwrap_or_default();
            TypeDoc { words: format!("string{format}"), named: None }
        }
        "" => TypeDoc { words: "any".into(), named: None },
        name => TypeDoc { words: name.to_owned(), named: None },
    };
    several.into_iter().map(one).collect()
}

fn notes(schema: &Value) -> Vec<Prose> {
    let mut notes: Vec<String> = Vec::new();
    let choices = schema["enum"].as_array().or_else(|| schema["items"]["enum"].as_array()).into_iter().flatten();
    let choices: Vec<String> = choices.filter(|choice| !choice.is_null()).map(code).collect();
    if !choices.is_empty() {
        notes.push(format!("One of {}.", choices.join(", ")));
    }
    match (schema["minLength"].as_u64(), schema["maxLength"].as_u64()) {
        (Some(least), Some(most)) if least > 1 => notes.push(format!("{least} to {most} characters.")),
        (_, Some(most)) => notes.push(format!("At most {most} characters.")),
        _ => {}
    }
    match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(least), Some(most)) if most < i64::MAX => notes.push(format!("{least} to {most}.")),
        (Some(least), _) => notes.push(format!("At least {least}.")),
        (None, Some(most)) => notes.push(format!("At most {most}.")),
        _ => {}
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        notes.push(format!("At most {most} items."));
    }
    if let Some(default) = schema.get("default") {
        notes.push(format!("Default: {}.", code(default)));
    }
    if let Some(example) = schema["examples"].get(0) {
        notes.push(format!("Example: {}.", code(example)));
    }
    notes.iter().map(|note| pieces(note)).collect()
}

fn code(value: &Value) -> String {
    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn prose(value: &Value) -> Prose {
    pieces(text(value))
}

fn pieces(text: &str) -> Prose {
    text.split('`').map(str::to_owned).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

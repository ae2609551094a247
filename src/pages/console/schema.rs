//! The fields of a resource, as the schemas of its routes state them.

use serde_json::{Value, json};

use crate::api::field::Label;
use crate::api::openapi::resolve;
use crate::api::resource::Resource;
use crate::api::resource_view::Widget;
use crate::pages::translations::Translations;
use crate::values::Language;

/// A field of a record or of a form.
#[derive(Debug, Clone)]
pub struct FieldSpec {
    /// The name in JSON. A field of a nested object has both names, with a dot.
    pub name: String,
    pub label: Label,
    pub help: Option<Label>,
    pub kind: FieldType,
    pub is_required: bool,
    pub is_nullable: bool,
    pub is_read_only: bool,
    pub max_length: Option<u64>,
    pub widget: Option<Widget>,
    /// Whether a request has it in its query, not in its body.
    pub is_query: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FieldType {
    Text,
    Integer,
    Number,
    Flag,
    Choice(Vec<String>),
    /// One of a few numbers that have names: a day of the week.
    NumberChoice(Vec<String>),
    Moment,
    Day,
    /// A list of texts or numbers, perhaps of these.
    List(Vec<String>),
    /// An object with any names, or a list of objects.
    Object,
    /// A record of another resource, with its id and name.
    Record,
}

/// The fields of an object, labelled by the resource.
pub fn fields(document: &Value, schema: &Value, resource: &Resource) -> Vec<FieldSpec> {
    let mut found = Vec::new();
    add_fields(document, schema, resource, "", &mut found);
    found
}

/// The parameters in the query of a route, without the one that names the customer.
pub fn query_fields(document: &Value, operation: &Value, resource: &Resource) -> Vec<FieldSpec> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| resolve(document, parameter));
    let is_option = |parameter: &&Value| parameter["in"] == "query" && parameter["name"] != "customer_account";
    let mut schema = json!({"properties": {}, "required": []});
    for parameter in parameters.filter(is_option) {
        schema["properties"][parameter["name"].as_str().unwrap_or_default()] = parameter["schema"].clone();
        if parameter["required"] == true
            && let Value::Array(required) = &mut schema["required"]
        {
            required.push(parameter["name"].clone());
        }
    }
    let options = fields(document, &schema, resource).into_iter();
    options.map(|field| FieldSpec { is_query: true, ..field }).collect()
}

fn add_fields(document: &Value, schema: &Value, resource: &Resource, prefix: &str, found: &mut Vec<FieldSpec>) {
    let schema = resolve(document, schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        add_fields(document, part, resource, prefix, found);
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let full_name = format!("{prefix}{name}");
        let (kind_schema, is_nullable) = without_null(document, property);
        let is_object = kind_schema["properties"].is_object();
        if is_object && kind_schema["properties"]["id"].is_null() && kind_schema["properties"]["name"].is_null() {
            add_fields(document, kind_schema, resource, &format!("{full_name}."), found);
            continue;
        }
        found.push(FieldSpec {
            kind: named_numbers(&full_name, kind_schema).unwrap_or_else(|| field_type(document, kind_schema)),
            label: label(resource, &full_name),
            help: resource.view.help.iter().find(|(known, _)| *known == full_name).map(|(_, help)| *help),
            is_required: required.contains(&name.as_str()),
            is_nullable,
            is_read_only: property["readOnly"] == true,
            max_length: kind_schema["maxLength"].as_u64(),
            is_query: false,
            widget: resource.view.widgets.iter().find(|(known, _)| *known == full_name).map(|(_, widget)| *widget),
            name: full_name,
        });
    }
}

/// The schema without the alternative of null, and whether there was one.
fn without_null<'d>(document: &'d Value, schema: &'d Value) -> (&'d Value, bool) {
    let schema = resolve(document, schema);
    let is_null = |schema: &Value| schema["type"] == "null";
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        let Some(all) = schema[alternatives].as_array() else { continue };
        let mut real = all.iter().filter(|schema| !is_null(schema));
        if let (Some(one), None) = (real.next(), real.next()) {
            let (inner, nullable) = without_null(document, one);
            return (inner, nullable || all.len() > 1);
        }
    }
    let is_nullable = schema["type"].as_array().is_some_and(|types| types.iter().any(|name| name == "null"));
    (schema, is_nullable)
}

/// The numbers of a short range, if each has a name.
fn named_numbers(field: &str, schema: &Value) -> Option<FieldType> {
    let (first, last) = (schema["minimum"].as_i64()?, schema["maximum"].as_i64()?);
    if last - first > 12 {
        return None;
    }
    let numbers: Vec<String> = (first..=last).map(|number| number.to_string()).collect();
    let words = Translations(Language::English);
    numbers.iter().all(|number| words.choice(field, number).is_some()).then_some(FieldType::NumberChoice(numbers))
}

fn field_type(document: &Value, schema: &Value) -> FieldType {
    let choices = choices(schema);
    if !choices.is_empty() {
        return FieldType::Choice(choices);
    }
    let name = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str(),
    };
    match (name, schema["format"].as_str()) {
        (Some("boolean"), _) => FieldType::Flag,
        (Some("integer"), _) => FieldType::Integer,
        (Some("number"), _) => FieldType::Number,
        (Some("string"), Some("date-time")) => FieldType::Moment,
        (Some("string"), Some("date")) => FieldType::Day,
        (Some("array"), _) => {
            let (items, _) = without_null(document, &schema["items"]);
            if items["properties"].is_object() { FieldType::Object } else { FieldType::List(self::choices(items)) }
        }
        (Some("object"), _) if schema["properties"].is_object() => FieldType::Record,
        (Some("object"), _) => FieldType::Object,
        _ => FieldType::Text,
    }
}

/// The values of a choice.
pub fn choices(schema: &Value) -> Vec<String> {
    let texts = |values: &[Value]| values.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let constants = schema["oneOf"].as_array().map(|all| {
        all.iter().flat_map(|one| match &one["enum"] {
            Value::Array(values) => texts(values),
            _ => one["const"].as_str().map(str::to_owned).into_iter().collect(),
        })
    });
    match &schema["enum"] {
        Value::Array(values) => texts(values),
        _ => constants.into_iter().flatten().collect(),
    }
}

/// The label of a field. A field without one is called by its name.
pub fn label(resource: &Resource, name: &str) -> Label {
    let inner = name.rsplit('.').next().unwrap_or(name);
    resource.label_of(name).or_else(|| resource.label_of(inner)).unwrap_or_else(|| {
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        Label { english: name, french: name }
    })
}

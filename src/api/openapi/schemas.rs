//! The named schemas of an OpenAPI document, cleaned up for code generators.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

pub(super) struct Schemas {
    /// Generates schemas of requests. They are named here, by their purpose.
    inputs: SchemaGenerator,
    /// Generates schemas of responses, and collects the named ones.
    outputs: SchemaGenerator,
    named: Map<String, Value>,
}

impl Schemas {
    pub fn new() -> Self {
        let inputs = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let outputs = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self { inputs: inputs.into_generator(), outputs: outputs.into_generator(), named: Map::new() }
    }

    /// The schema of a `T` in a request, without the fields that the server sets and without defaults. A generated
    /// client would send a default, and so reset a field that its user did not set.
    pub fn input<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.writable::<T>();
        clean(&mut schema);
        schema
    }

    /// The schema of a new `T`. These fields are required. The descriptions of the other fields contain their defaults.
    pub fn new_input<T: JsonSchema>(&mut self, required: &[String]) -> Value {
        let mut schema = self.writable::<T>();
        for (name, field) in schema["properties"].as_object_mut().into_iter().flatten() {
            let said = match &field["default"] {
                Value::Bool(_) | Value::Number(_) => field["default"].to_string(),
                Value::String(text) if !text.is_empty() => text.clone(),
                _ => continue,
            };
            if !required.contains(name) {
                let about = field["description"].as_str().map(|about| format!("{about} ")).unwrap_or_default();
                field["description"] = json!(format!("{about}Default: `{said}`."));
            }
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        clean(&mut schema);
        schema
    }

    fn writable<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.inputs.subschema_for::<T>().to_value();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|_, schema| schema.get("readOnly") != Some(&Value::Bool(true)));
        }
        schema
    }

    /// The schema of a `T` in a response. A reference if the type has a name.
    pub fn output<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.outputs.subschema_for::<T>().to_value();
        clean(&mut schema);
        schema
    }

    /// Names a schema and returns a reference to it.
    pub fn named(&mut self, name: &str, schema: Value) -> Value {
        let schema = without_example(schema);
        let known = self.named.entry(name).or_insert_with(|| schema.clone());
        assert!(*known == schema, "two schemas are named {name}");
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// All named schemas, by name.
    pub fn take(&mut self) -> Map<String, Value> {
        let mut all = self.outputs.take_definitions(true);
        for schema in all.values_mut() {
            clean(schema);
            *schema = without_example(schema.take());
        }
        for (name, schema) in std::mem::take(&mut self.named) {
            assert!(all.insert(name.clone(), schema).is_none(), "an input and an output are named {name}");
        }
        all.sort_keys();
        all
    }
}

/// Removes an object's own example. It belongs to the body that creates the object.
fn without_example(mut schema: Value) -> Value {
    if let Some(parts) = schema.as_object_mut().filter(|parts| parts.contains_key("properties")) {
        parts.remove("examples");
    }
    schema
}

/// The name of a request schema: `CustomerInput`, `CustomerUpdate`, `CustomerImport`.
pub(super) fn input_name<T: JsonSchema>(kind: &str) -> String {
    let name = T::schema_name();
    format!("{}{kind}", name.strip_prefix("New").unwrap_or(&name))
}

/// Rewrites valid JSON Schema on which code generators fail: a schema that is `true`, a blank alternative of a choice
/// (the server reads it as "not given"), a default.
fn clean(schema: &mut Value) {
    let Value::Object(parts) = schema else { return };
    parts.remove("default");
    words_as_enum(parts);
    one_of(parts);
    if let Some(Value::Array(words)) = parts.get_mut("enum") {
        words.retain(|word| word != "");
        if words.iter().all(Value::is_string) && !parts.contains_key("type") {
            parts.insert("type".into(), json!("string"));
        }
    }
    for (name, part) in parts.iter_mut() {
        match (name.as_str(), part) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(open),
            ("items" | "additionalProperties", part) => open(part),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(parts)) => parts.iter_mut().for_each(open),
            _ => {}
        }
    }
}

/// Turns several described words into an enum whose description covers them all.
fn words_as_enum(parts: &mut Map<String, Value>) {
    let Some(choices) = parts.get("oneOf").and_then(Value::as_array) else { return };
    let word = |choice: &Value| choice["const"].as_str().map(str::to_owned);
    let Some(words) = choices.iter().map(word).collect::<Option<Vec<String>>>() else { return };
    let described = choices
        .iter()
        .zip(&words)
        .map(|(choice, word)| format!("`{word}`: {}", choice["description"].as_str().unwrap_or_default()));
    let first = parts.get("description").and_then(Value::as_str).map(str::to_owned);
    let about: Vec<String> = first.into_iter().chain(described).collect();
    parts.remove("oneOf");
    parts.insert("type".into(), json!("string"));
    parts.insert("enum".into(), json!(words));
    parts.insert("description".into(), json!(about.join(" ")));
}

/// Turns `anyOf` of named schemas into `oneOf`, because exactly one fits. The two kinds of page are an exception: some
/// generators tell those apart only by trying.
fn one_of(parts: &mut Map<String, Value>) {
    let is_named = |choice: &Value| choice["$ref"].as_str().is_some_and(|name| !name.ends_with("Page"));
    if parts.get("anyOf").and_then(Value::as_array).is_some_and(|choices| choices.iter().all(is_named)) {
        let choices = parts.remove("anyOf").unwrap_or_default();
        parts.insert("oneOf".into(), choices);
    }
}

/// Like [`clean`], for a part of a schema, where `true` means any value.
fn open(schema: &mut Value) {
    if *schema == Value::Bool(true) {
        *schema = json!({});
    }
    clean(schema);
}

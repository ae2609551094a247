//! Builds a `curl` command for each operation from the examples in its description. `$CX` is the base URL of the layer.

use serde_json::Value;

use crate::api::openapi::resolve;

pub fn command(document: &Value, method: &str, path: &str, operation: &Value) -> String {
    let mut command = String::from("curl ");
    if method != "GET" && !(method == "POST" && operation["requestBody"].is_object()) {
        command += &format!("-X {method} ");
    }
    command += &format!("\"$CX{}\"", target(document, path, operation));
    let security = operation.get("security");
    if security.is_some_and(|ways| ways[0].get("basic").is_some()) {
        command += " \\\n  -u \"$CLIENT_ID:$CLIENT_SECRET\"";
    } else if security != Some(&serde_json::json!([])) {
        command += " \\\n  -H \"Authorization: Bearer $TOKEN\"";
    }
    let content = &operation["requestBody"]["content"];
    if let Some(form) = content["application/x-www-form-urlencoded"]["example"].as_object() {
        for (name, value) in form {
            let value = value.as_str().unwrap_or_default();
            command += &format!(" \\\n  --data-urlencode {}", quoted(&format!("{name}={value}")));
        }
    } else if content["application/json"].is_object() {
        let example = content["application/json"].get("example");
        let text = example.map_or_else(|| "{}".into(), |example| format!("{example:#}"));
        command += &format!(" \\\n  --json {}", quoted(&text));
    }
    command
}

/// The path with example values, and the query parameters that are required or have an example.
fn target(document: &Value, path: &str, operation: &Value) -> String {
    let mut target = path.to_owned();
    let mut query = form_urlencoded::Serializer::new(String::new());
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    for parameter in parameters.map(|parameter| resolve(document, parameter)) {
        let name = parameter["name"].as_str().unwrap_or_default();
        let schema = &parameter["schema"];
        match parameter["in"].as_str() {
            Some("path") => target = target.replace(&format!("{{{name}}}"), &example(schema)),
            Some("query") if parameter["required"] == true || schema["examples"].is_array() => {
                query.append_pair(name, &example(schema));
            }
            _ => {}
        }
    }
    let query = query.finish();
    if query.is_empty() { target } else { format!("{target}?{query}") }
}

fn example(schema: &Value) -> String {
    let value = schema["examples"].get(0).or_else(|| schema["enum"].get(0)).or_else(|| schema.get("minimum"));
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None if schema["type"] == "integer" => "1".into(),
        None => "EXAMPLE".into(),
    }
}

/// Quotes a word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

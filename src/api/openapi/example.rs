//! Examples of bodies, built from the examples of their fields.

use serde_json::{Map, Value};

/// The schema's own example, else an object with every required field and every field that has an example. `None` if a
/// required field has no example.
pub(super) fn of(schema: &Value) -> Option<Value> {
    if let Some(example) = schema["examples"].get(0) {
        return Some(example.clone());
    }
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
    let mut example = Map::new();
    for (name, field) in schema["properties"].as_object()? {
        match (field["examples"].get(0), required(name)) {
            (Some(value), _) => {
                example.insert(name.clone(), value.clone());
            }
            (None, true) => {
                example.insert(name.clone(), field["enum"].get(0).or_else(|| field.get("const"))?.clone());
            }
            (None, false) => {}
        }
    }
    Some(Value::Object(example))
}

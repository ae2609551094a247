//! A JSON object laid over a value of its type: how bodies are read, and every problem in them found at once.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::values::integer;

/// Fields that the server keeps: a body may repeat them, as a client does that sends back what it read.
pub const KEPT_BY_SERVER: [&str; 3] = ["id", "created_at", "updated_at"];

/// The object in a body; an empty body and `[]` are an empty object.
pub fn parse(body: &[u8]) -> Result<Map<String, Value>, super::Error> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut fields)) => {
            fields.values_mut().for_each(whole_numbers);
            Ok(fields)
        }
        Ok(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
        Ok(_) => Err(super::Error::invalid("The body must be an object.")),
        Err(error) => Err(super::Error::MalformedJson(error.to_string())),
    }
}

/// `1.0` is an integer (JSON Schema 2020-12, 4.2.3): for a field, and for the items of a list. What is inside an object
/// stays as it was sent.
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().filter(|item| item.is_f64()).for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = number.as_f64().and_then(integer::whole) {
                *value = Value::from(whole);
            }
        }
        _ => {}
    }
}

/// `base` with the fields of `over` in the place of its own, if that is a `T`; else every field that is not, with the
/// sentence that says why. A blank `base` makes a field required whose blank is no accepted value.
pub fn lay_over<T: Serialize + DeserializeOwned>(
    base: &T,
    over: &Map<String, Value>,
) -> Result<T, Vec<(String, String)>> {
    fit(laid(base, over.iter().filter(|(name, _)| !KEPT_BY_SERVER.contains(&name.as_str()))))
}

/// The same with what the server keeps: a row that is imported has its id and its times from where it was before.
pub fn lay_whole_over<T: Serialize + DeserializeOwned>(base: &T, over: &Map<String, Value>) -> Result<T, super::Error> {
    fit(laid(base, over.iter())).map_err(super::Error::problems)
}

fn laid<'v>(base: &impl Serialize, over: impl Iterator<Item = (&'v String, &'v Value)>) -> Value {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(base) else {
        unreachable!("inputs are structs");
    };
    fields.extend(over.map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(fields)
}

/// Reads a `T`; a field that does not fit is noted, left out, and the rest read again.
fn fit<T: DeserializeOwned>(mut value: Value) -> Result<T, Vec<(String, String)>> {
    let mut problems = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(good) if problems.is_empty() => return Ok(good),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let path = error.path().to_string();
        let field = path.split(['.', '[']).next().unwrap_or_default().to_owned();
        let said = sentence(&path, &error.inner().to_string());
        problems.push((field.clone(), said));
        if value.as_object_mut().and_then(|fields| fields.remove(&field)).is_none() {
            return Err(problems);
        }
    }
}

/// serde's words in those of the API: "invalid type: integer `1`, expected a string" becomes "The name must be a
/// string." What our own types say begins after "The {field} ".
fn sentence(path: &str, error: &str) -> String {
    let field = path.replace(['_', '[', '.'], " ").replace(']', "");
    if error.starts_with("invalid type: null") {
        return format!("The {field} field is required.");
    }
    let Some((_, expected)) = error.split_once("expected ") else {
        // Ours are sentences; a library's are not.
        let ours = error.ends_with('.');
        return if ours { format!("The {field} {error}") } else { format!("The selected {field} is invalid.") };
    };
    let expected = match expected {
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        number if number.starts_with(['i', 'u']) && number[1..].parse::<u8>().is_ok() => "an integer",
        other => other,
    };
    if error.starts_with("invalid type") || expected == "an integer" {
        format!("The {field} must be {expected}.")
    } else {
        format!("The selected {field} is invalid.")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::values::{Email, Name, Text};

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Form {
        name: Name<5>,
        email: Email,
        note: Option<Text<3>>,
        active: bool,
        ids: Vec<i64>,
    }

    fn problems(body: Value) -> Vec<String> {
        let problems = lay_over(&Form::default(), body.as_object().unwrap()).unwrap_err();
        problems.into_iter().map(|(_, sentence)| sentence).collect()
    }

    #[test]
    fn every_problem_at_once() {
        let body = json!({"name": 1, "note": "long", "active": "perhaps", "ids": [1, "x"]});
        let mut said = problems(body);
        said.sort();
        assert_eq!(
            said,
            [
                "The active must be true or false.",
                "The email field is required.",
                "The ids 1 must be an integer.",
                "The name must be a string.",
                "The note may not be greater than 3 characters.",
            ]
        );
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer() {
        let fields = parse(br#"{"ids": [1.0, 2e0], "name": {"kept": 1.0}}"#).unwrap();
        assert_eq!(serde_json::to_string(&fields).unwrap(), r#"{"ids":[1,2],"name":{"kept":1.0}}"#);
        assert_eq!(parse(br#"{"id": 1.5}"#).unwrap()["id"], json!(1.5));
    }

    #[test]
    fn blank_and_null_are_missing_where_a_value_is_required() {
        assert_eq!(problems(json!({"name": null, "email": "a@b.c"})), ["The name field is required."]);
        assert_eq!(problems(json!({"name": " ", "email": "a@b.c"})), ["The name field is required."]);
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_null_clears() {
        let base =
            Form { name: Name::parse("Ada".into()).unwrap(), note: Text::parse("x".into()).ok(), ..Form::default() };
        let over = json!({"email": "a@b.c", "note": null, "id": "ignored", "unknown": 1});
        let changed = lay_over(&base, over.as_object().unwrap()).unwrap();
        assert_eq!((&*changed.name, changed.note), ("Ada", None));
    }
}

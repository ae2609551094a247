//! Reads a JSON object over a base value of a type, and finds every problem in the object at once.
//!
//! If a type rejects a value, the value is read once more the way real clients mean it (`ValueReader::mend`): text for a
//! number, `""` for null, a list with gaps. No type and no resource needs code for such clients.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::error::{Error, Problem};
use super::request::Request;
use crate::values::{civil, integer};

/// Fields that the server sets. A body may repeat them, because clients send back what they read; they are ignored.
pub const KEPT_BY_SERVER: [&str; 3] = ["id", "created_at", "updated_at"];

/// Parses a body as an object. An empty body and `[]` are an empty object.
pub fn parse(body: &[u8]) -> Result<Map<String, Value>, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut fields)) => {
            fields.values_mut().for_each(normalize_integers);
            Ok(fields)
        }
        Ok(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
        Ok(_) => Err(Error::invalid("The body must be an object.")),
        Err(error) => Err(Error::MalformedJson(error.to_string())),
    }
}

/// Turns `1.0` into an integer (JSON Schema 2020-12, 4.2.3), for fields and for the items of a list. Values inside an
/// object stay as they were sent.
pub fn normalize_integers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().filter(|item| item.is_f64()).for_each(normalize_integers),
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = number.as_f64().and_then(integer::whole) {
                *value = Value::from(whole);
            }
        }
        _ => {}
    }
}

/// Rules for reading the values of a request.
#[derive(Debug, Clone, Default)]
pub struct ValueReader {
    /// In smart routing clients never send null: a blank text means null, and a number may stand for a text.
    is_loose: bool,
    /// The time zone of times without one. `None` until the workspace's settings were read.
    zone: Option<TimeZone>,
}

/// Why an object is not a `T`.
#[derive(Debug)]
pub enum ReadError {
    /// Fields that do not fit.
    Fields(Vec<Problem>),
    /// A time has no zone, and the workspace's time zone is not known yet.
    NeedsZone,
}

impl From<ReadError> for Error {
    fn from(unfit: ReadError) -> Self {
        match unfit {
            ReadError::Fields(problems) => Self::Invalid(problems),
            ReadError::NeedsZone => Self::NeedsTimeZone,
        }
    }
}

impl ValueReader {
    pub fn of(request: &Request) -> Self {
        Self { is_loose: request.route_path.starts_with("/smart-routings/"), zone: request.time_zone().cloned() }
    }

    /// For a query. A blank text in a query does not mean null.
    pub fn of_query(request: &Request) -> Self {
        Self { is_loose: false, ..Self::of(request) }
    }

    /// For an import into a workspace with this time zone.
    pub fn of_import(is_loose: bool, zone: TimeZone) -> Self {
        Self { is_loose, zone: Some(zone) }
    }

    /// Replaces fields of `base` by those of `over`. If the result is not a `T`, returns a sentence for each field that
    /// does not fit. A field is required if `base` is blank and the field's type rejects the blank.
    pub fn merge<T: Serialize + DeserializeOwned>(&self, base: &T, over: &Map<String, Value>) -> Result<T, ReadError> {
        self.merge_fields(&fields_of(base), over, false)
    }

    /// Reads a new `T`. Null means that a field is not given.
    pub fn new_value<T: Default + Serialize + DeserializeOwned + 'static>(
        &self,
        fields: &Map<String, Value>,
    ) -> Result<T, ReadError> {
        self.merge_fields(blank_fields::<T>(), fields, true)
    }

    fn merge_fields<T: DeserializeOwned>(
        &self,
        base: &Map<String, Value>,
        over: &Map<String, Value>,
        is_new: bool,
    ) -> Result<T, ReadError> {
        // Clients of smart routing repeat `customer_id`, which the query already names, as null.
        let is_kept = |name: &str, value: &Value| {
            KEPT_BY_SERVER.contains(&name) || (self.is_loose && name == "customer_id" && value.is_null())
        };
        let mut given: Vec<(&String, &Value)> = over.iter().filter(|(name, value)| !is_kept(name, value)).collect();
        if is_new && !self.is_loose {
            given.retain(|(_, value)| !value.is_null());
        }
        if !self.is_loose
            && let Some(good) = deserialize_at_once(base, &given)
        {
            return Ok(good);
        }
        let fields = given.into_iter().map(|(name, value)| (name, self.blank_as_null(value)));
        if !is_new {
            return self.deserialize(merged(base.clone(), fields), &|_| Value::Null);
        }
        // A blank in the base does not count as a value, so the field is required.
        let of_base =
            |field: &str| base.get(field).filter(|value| value.as_str() != Some("")).cloned().unwrap_or_default();
        self.deserialize(merged(base.clone(), fields.filter(|(_, value)| !value.is_null())), &of_base)
    }

    /// Like `merge`, but also sets the fields of the server: an imported row keeps its id and times.
    pub fn merge_all<T: Serialize + DeserializeOwned>(&self, base: &T, over: &Map<String, Value>) -> Result<T, Error> {
        self.merge_all_fields(&fields_of(base), over)
    }

    /// Reads a new `T` with the fields of the server.
    pub fn new_with_all<T: Default + Serialize + DeserializeOwned + 'static>(
        &self,
        fields: &Map<String, Value>,
    ) -> Result<T, Error> {
        self.merge_all_fields(blank_fields::<T>(), fields)
    }

    fn merge_all_fields<T: DeserializeOwned>(
        &self,
        base: &Map<String, Value>,
        over: &Map<String, Value>,
    ) -> Result<T, Error> {
        if !self.is_loose
            && let Some(good) = deserialize_at_once(base, &over.iter().collect::<Vec<_>>())
        {
            return Ok(good);
        }
        let fields = over.iter().map(|(name, value)| (name, self.blank_as_null(value)));
        self.deserialize(merged(base.clone(), fields), &|_| Value::Null).map_err(Error::from)
    }

    fn blank_as_null(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if self.is_loose && text.trim().is_empty() => Value::Null,
            value => value.clone(),
        }
    }

    /// Reads a `T`. A field that does not fit is mended, or reported and left out, and the rest is read again. A blank
    /// field gets the value of `blank`.
    fn deserialize<T: DeserializeOwned>(
        &self,
        mut value: Value,
        blank: &dyn Fn(&str) -> Value,
    ) -> Result<T, ReadError> {
        let (mut problems, mut mended) = (Vec::new(), HashMap::new());
        loop {
            let error = match serde_path_to_error::deserialize(&value) {
                Ok(good) if problems.is_empty() => return Ok(good),
                Ok(_) => return Err(ReadError::Fields(problems)),
                Err(error) => error,
            };
            let path = error.path().to_string();
            let refused = error.inner().to_string();
            if !mended.contains_key(&path)
                && let Some(part) = value_at(&mut value, error.path())
            {
                let is_blank = part.as_str().is_some_and(|text| text.trim().is_empty());
                let better = if is_blank { Some(blank(&path)) } else { self.coerce(part, &refused)? };
                if let Some(better) = better {
                    // If the mended value is rejected too, the first sentence is reported. A blank value is reported as
                    // missing.
                    mended.insert(path, (!is_blank).then_some(refused));
                    *part = better;
                    continue;
                }
            }
            let field = path.split(['.', '[']).next().unwrap_or_default().to_owned();
            let first = mended.remove(&path).flatten();
            let said = problem_sentence(&path, &first.unwrap_or(refused));
            problems.push(Problem { field: Some(path), sentence: said });
            if value.as_object_mut().and_then(|fields| fields.remove(&field)).is_none() {
                return Err(ReadError::Fields(problems));
            }
        }
    }

    /// Returns the meaning of a value that its type rejected with this message, or `None` if there is no other reading.
    fn coerce(&self, value: &Value, refused: &str) -> Result<Option<Value>, ReadError> {
        let expected = refused.strip_prefix("invalid type: ").and_then(|words| words.split_once("expected "));
        Ok(match (value, expected.map_or("", |(_, expected)| expected)) {
            (Value::Number(number), "a boolean") => match number.as_i64() {
                Some(bit @ 0..=1) => Some(Value::Bool(bit == 1)),
                _ => None,
            },
            (Value::String(text), "a boolean") => match text.trim().to_ascii_lowercase().as_str() {
                "1" | "true" => Some(Value::Bool(true)),
                "0" | "false" => Some(Value::Bool(false)),
                _ => None,
            },
            (Value::String(text), expected) if is_integer(expected) => integer::read(text.trim()).map(Value::from),
            (Value::Number(number), "a string") if self.is_loose => Some(Value::String(number.to_string())),
            (Value::Object(parts), "a sequence") => list_with_gaps(parts),
            (Value::String(text), _) => self.timestamp(text)?.map(Value::String),
            _ => None,
        })
    }

    /// Converts a date, or a time without a zone, to a time in UTC.
    fn timestamp(&self, text: &str) -> Result<Option<String>, ReadError> {
        let Some(civil) = civil(text) else { return Ok(None) };
        let zone = self.zone.clone().ok_or(ReadError::NeedsZone)?;
        Ok(zone.to_timestamp(civil).ok().map(|moment| moment.to_string()))
    }
}

/// The values of an object whose names are all integers. PHP encodes a list this way after items were removed from it.
pub fn list_with_gaps(parts: &Map<String, Value>) -> Option<Value> {
    parts.keys().all(|name| is_index(name)).then(|| parts.values().cloned().collect())
}

/// Whether a name is the index of an item in such a list.
pub fn is_index(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The part of a value at a path.
fn value_at<'v>(value: &'v mut Value, path: &Path) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Map { key } => value.get_mut(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// Reads a `T` from the fields of `over`, and from those of `base` that `over` does not have. `None` if a value does not
/// fit: `deserialize` finds out which and why, for more time.
fn deserialize_at_once<T: DeserializeOwned>(base: &Map<String, Value>, over: &[(&String, &Value)]) -> Option<T> {
    let is_given = |name: &String| over.iter().any(|(other, _)| *other == name);
    let kept = base.iter().filter(|(name, _)| !is_given(name));
    let fields = over.iter().copied().chain(kept).map(|(name, value)| (name.as_str(), value));
    T::deserialize(MapDeserializer::<_, serde_json::Error>::new(fields)).ok()
}

fn merged<'v>(mut fields: Map<String, Value>, over: impl Iterator<Item = (&'v String, Value)>) -> Value {
    fields.extend(over.map(|(name, value)| (name.clone(), value)));
    Value::Object(fields)
}

/// The fields of a blank `T`. They are computed once for each type and kept.
fn blank_fields<T: Default + Serialize + 'static>() -> &'static Map<String, Value> {
    static KEPT: RwLock<BTreeMap<TypeId, &'static Map<String, Value>>> = RwLock::new(BTreeMap::new());
    let kept = KEPT.read().get(&TypeId::of::<T>()).copied();
    kept.unwrap_or_else(|| {
        let fields = Box::leak(Box::new(fields_of(&T::default())));
        KEPT.write().entry(TypeId::of::<T>()).or_insert(fields)
    })
}

fn fields_of(base: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(fields)) = serde_json::to_value(base) else { unreachable!("inputs are structs") };
    fields
}

fn is_integer(expected: &str) -> bool {
    expected.starts_with(['i', 'u']) && expected[1..].parse::<u8>().is_ok()
}

/// Turns serde's message into a sentence of the API: "invalid type: integer `1`, expected a string" becomes "The name
/// must be a string." Messages of our own types continue "The {field} ".
fn problem_sentence(path: &str, error: &str) -> String {
    let field = path.replace(['_', '[', '.'], " ").replace(']', "");
    if error.starts_with("invalid type: null") {
        return format!("The {field} field is required.");
    }
    let Some((_, expected)) = error.split_once("expected ") else {
        // Messages of our own types are sentences. Messages of libraries are not.
        let ours = error.ends_with('.');
        return if ours { format!("The {field} {error}") } else { format!("The selected {field} is invalid.") };
    };
    let expected = match expected {
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        number if is_integer(number) => "an integer",
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
    struct FormSchema {
        name: Name<5>,
        email: Email,
        note: Option<Text<3>>,
        active: bool,
        ids: Vec<i64>,
    }

    fn problems(body: Value) -> Vec<String> {
        let read = ValueReader::default().merge(&FormSchema::default(), body.as_object().unwrap());
        let Err(ReadError::Fields(problems)) = read else { panic!("{read:?}") };
        problems.into_iter().map(|problem| problem.sentence).collect()
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
        let base = FormSchema {
            name: Name::parse("Ada".into()).unwrap(),
            note: Text::parse("x".into()).ok(),
            ..FormSchema::default()
        };
        let over = json!({"email": "a@b.c", "note": null, "id": "ignored", "unknown": 1});
        let changed = ValueReader::default().merge(&base, over.as_object().unwrap()).unwrap();
        assert_eq!((&*changed.name, changed.note), ("Ada", None));
    }
}

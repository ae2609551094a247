//! Fields that a workspace adds to a resource: a JSON object of limited size.

use std::borrow::Cow;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

const LARGEST_BYTES: usize = 16 * 1024;
const DEEPEST: usize = 5;

/// A JSON object of at most 16 KiB as text, nested at most 5 levels deep.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CustomFields(Map<String, Value>);

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl<'de> Deserialize<'de> for CustomFields {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = match Value::deserialize(input)? {
            Value::Object(fields) => Value::Object(fields),
            // Some languages write an empty object as an empty list.
            Value::Array(items) if items.is_empty() => Value::Object(Map::new()),
            _ => return Err(de::Error::custom("must be an object.")),
        };
        if depth(&value) > DEEPEST {
            return Err(de::Error::custom(format!("may not be nested more than {DEEPEST} deep.")));
        }
        if value.to_string().len() > LARGEST_BYTES {
            return Err(de::Error::custom(format!("may not be greater than {LARGEST_BYTES} bytes.")));
        }
        let Value::Object(fields) = value else { unreachable!("other values were rejected above") };
        Ok(Self(fields))
    }
}

impl ToSql for CustomFields {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        Ok(ToSqlOutput::from(text))
    }
}

impl FromSql for CustomFields {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(|e| FromSqlError::Other(e.into()))
    }
}

impl JsonSchema for CustomFields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CustomFields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object", "additionalProperties": true, "examples": [{"tier": "gold"}],
            "description": "At most 16 KiB as text, nested at most 5 levels deep."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_size_and_depth() {
        assert!(serde_json::from_str::<CustomFields>(r#"{"a":{"b":[1]}}"#).is_ok());
        assert!(serde_json::from_str::<CustomFields>("[]").is_ok());
        assert!(serde_json::from_str::<CustomFields>("[1]").is_err());
        assert!(serde_json::from_str::<CustomFields>(r#"{"a":{"b":{"c":{"d":{"e":{}}}}}}"#).is_err());
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(LARGEST_BYTES));
        assert!(serde_json::from_str::<CustomFields>(&large).is_err());
    }
}

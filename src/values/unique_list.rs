//! A list without duplicates.

use std::borrow::Cow;
use std::ops::Deref;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

const MOST: usize = 1000;

/// At most 1,000 values in the order of the request, without duplicates. A column stores them as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UniqueList<T>(Vec<T>);

impl<T> Default for UniqueList<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for UniqueList<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de> + PartialEq> Deserialize<'de> for UniqueList<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let values: Vec<T> = Vec::deserialize(input)?;
        if values.len() > MOST {
            return Err(de::Error::custom(format!("may not be more than {MOST}.")));
        }
        Ok(Self(super::unique(values)))
    }
}

impl<T: Serialize> ToSql for UniqueList<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0);
        text.map(Into::into).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

/// Reads stored values without checking the rules, because an earlier version may have had other rules.
impl<T: FromSql> FromSql for UniqueList<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let texts: Vec<String> =
            serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(error.into()))?;
        let values = texts.iter().map(|text| T::column_result(ValueRef::Text(text.as_bytes())));
        values.collect::<FromSqlResult<_>>().map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for UniqueList<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Several{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({"type": "array", "items": one, "maxItems": MOST})
    }
}

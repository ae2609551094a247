//! The id of a row, required in a request.

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::integer;

/// An integer from 1, as SQLite numbers rows. The row need not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RowId(i64);

impl RowId {
    pub fn get(self) -> i64 {
        self.0
    }
}

impl From<i64> for RowId {
    fn from(id: i64) -> Self {
        Self(id)
    }
}

super::stored_as_integer!(RowId);

impl<'de> Deserialize<'de> for RowId {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match i64::deserialize(input)? {
            0 => Err(de::Error::custom("field is required.")),
            id if id < 0 => Err(de::Error::custom("no row has a negative id")),
            id => Ok(Self(id)),
        }
    }
}

/// Reads an id that may be null. `0` counts as null, for clients that cannot send null.
pub fn nullable_id<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<i64>::deserialize(input)?.filter(|id| *id != 0))
}

/// Reads an id in a query, where every value is text. A blank value is `None`.
pub fn id_in_query<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<String>::deserialize(input)?.unwrap_or_default();
    match text.trim() {
        "" => Ok(None),
        id => integer::read(id).map(Some).ok_or_else(|| de::Error::custom("must be an integer.")),
    }
}

super::described!(RowId, json_schema!({"type": "integer", "format": "int64", "minimum": 1, "examples": [1]}));

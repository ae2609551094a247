//! A boolean in a query, where every value is text.

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// `1`, `true`, `0` or `false`. Blank is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flag(pub bool);

impl Serialize for Flag {
    fn serialize<S: serde::Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(if self.0 { "1" } else { "0" })
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match String::deserialize(input)?.as_str() {
            "1" | "true" => Ok(Self(true)),
            "0" | "false" | "" => Ok(Self(false)),
            _ => Err(de::Error::custom("must be true or false.")),
        }
    }
}

super::described!(Flag, json_schema!({"type": "boolean"}));

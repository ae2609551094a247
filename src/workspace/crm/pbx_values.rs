//! Values as a PBX sends them: every field of its form, empty if unknown, and often as text.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::values::{Seconds, Timestamp, described, read_from_text};

/// An optional value. Missing, null, blank, and a variable that the PBX could not fill (`[Agent]`) all mean none.
#[derive(Debug, Clone, Serialize)]
pub struct OrBlank<T>(Option<T>);

/// The id of a row, as a number or as the text that a look-up returned. 0 means none.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PbxId(i64);

/// A time: RFC 3339, or without a zone, which means UTC. The default format of .NET is accepted too.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PbxTime(Timestamp);

/// A duration: seconds, or `hours:minutes:seconds`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PbxDuration(Seconds);

/// Formats of times without a zone.
const WITHOUT_ZONE: [&str; 3] = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M:%S"];

impl<T> OrBlank<T> {
    pub fn value(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// The value, else the previous one.
    pub fn or(self, before: Option<T>) -> Option<T> {
        self.0.or(before)
    }
}

impl PbxId {
    pub fn id(self) -> Option<i64> {
        (self.0 != 0).then_some(self.0)
    }
}

impl PbxTime {
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl PbxDuration {
    pub fn seconds(self) -> Seconds {
        self.0
    }
}

/// Whether a text is only the name of a variable. 3CX sends a variable that it cannot fill exactly as the template has
/// it.
pub fn is_variable(text: &str) -> bool {
    let name = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()) && is_name(name))
}

impl<T> Default for OrBlank<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OrBlank<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match Value::deserialize(input)? {
            Value::Null => Ok(Self(None)),
            Value::String(text) if text.trim().is_empty() || is_variable(&text) => Ok(Self(None)),
            value => T::deserialize(value).map(|said| Self(Some(said))).map_err(de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for PbxId {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let id = match Value::deserialize(input)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        id.filter(|id| *id >= 0).map(Self).ok_or_else(|| de::Error::custom("must be an integer."))
    }
}

impl FromStr for PbxTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let civil = WITHOUT_ZONE.iter().find_map(|format| DateTime::strptime(format, text).ok());
        match civil.and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok()) {
            Some(moment) => Ok(Self(Timestamp::from_seconds(moment.as_second()))),
            None => text.parse().map(Self),
        }
    }
}

read_from_text!(PbxTime);

impl<'de> Deserialize<'de> for PbxDuration {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let seconds = match Value::deserialize(input)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => seconds(text.trim()),
            _ => None,
        };
        let seconds = seconds.ok_or("must be seconds, or hours, minutes and seconds, like 00:01:35.".to_owned());
        seconds.and_then(Seconds::new).map(Self).map_err(de::Error::custom)
    }
}

/// `95`, `1:35`, `00:01:35`
fn seconds(text: &str) -> Option<i64> {
    if text.matches(':').count() > 2 {
        return None;
    }
    text.split(':').try_fold(0_i64, |sum, part| {
        let part = u32::from_str(part).ok()?;
        sum.checked_mul(60)?.checked_add(part.into())
    })
}

impl<T: JsonSchema> JsonSchema for OrBlank<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OrBlank{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Option<T>>()
    }
}

described!(PbxId, json_schema!({"type": "integer", "format": "int64", "minimum": 0, "examples": [7]}));

described!(PbxTime, json_schema!({"type": "string", "format": "date-time", "examples": ["2024-01-20T12:00:00Z"]}));

described!(PbxDuration, Seconds::json_schema(&mut SchemaGenerator::default()));

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::values::Email;

    #[test]
    fn blank_is_nothing_and_all_else_is_read() {
        let read = |value: Value| serde_json::from_value::<OrBlank<Email>>(value).map(|said| said.0);
        for blank in [json!(null), json!(""), json!(" \t"), json!("[Agent]"), json!(" [Number_1] ")] {
            assert_eq!(read(blank).unwrap(), None);
        }
        assert_eq!(&*read(json!("a@example.com")).unwrap().unwrap(), "a@example.com");
        for variable in ["[]", "[7]", "[Ada L]", "[A][B]", "Ada [B]"] {
            assert!(!is_variable(variable), "{variable}");
        }
        assert_eq!(read(json!("a")).unwrap_err().to_string(), "must be a valid email address.");
    }

    #[test]
    fn a_moment_is_read_as_a_pbx_writes_it() {
        for text in [
            "2024-01-20T12:00:00Z",
            "2024-01-20T13:00:00+01:00",
            "2024-01-20T12:00:00",
            "2024-01-20 12:00:00",
            "01/20/2024 12:00:00",
        ] {
            assert_eq!(text.parse::<PbxTime>().unwrap().0.to_string(), "2024-01-20T12:00:00Z", "{text}");
        }
        for bad in ["", "soon", "20/01/2024 12:00:00", "2024-01-20"] {
            assert!(bad.parse::<PbxTime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_duration_is_seconds_or_a_clock() {
        let read = |value: Value| serde_json::from_value::<PbxDuration>(value).map(|took| took.0.get()).ok();
        for value in [json!(95), json!("95"), json!("1:35"), json!("00:01:35")] {
            assert_eq!(read(value.clone()), Some(95), "{value}");
        }
        for bad in
            [json!(-1), json!("-1"), json!(1.5), json!("1:-5"), json!("0:0:0:1"), json!("a"), json!("99999999:00:00")]
        {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }
}

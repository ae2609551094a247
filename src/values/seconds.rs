//! A duration in whole seconds.

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// 68 years. The sum of many such values does not overflow.
const LONGEST: i64 = i32::MAX as i64;

/// 0 or more seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seconds(i64);

impl Seconds {
    /// Checks the seconds. The error is the sentence for the client.
    pub fn new(seconds: i64) -> Result<Self, String> {
        match seconds {
            ..0 => Err("must be at least 0.".into()),
            0..=LONGEST => Ok(Self(seconds)),
            _ => Err(format!("may not be greater than {LONGEST}.")),
        }
    }

    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(input)?).map_err(de::Error::custom)
    }
}

super::stored_as_integer!(Seconds);

super::described!(
    Seconds,
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": LONGEST, "examples": [95]})
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_negative_and_not_without_end() {
        assert!(Seconds::new(0).is_ok() && Seconds::new(LONGEST).is_ok());
        assert_eq!(Seconds::new(-1), Err("must be at least 0.".into()));
        assert!(Seconds::new(LONGEST + 1).is_err());
    }
}

//! A retention time in days.

use std::str::FromStr;

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Ten years. For a longer time, keep the data forever.
const LONGEST: i64 = 3650;

/// 1 to 3650 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Days(i64);

impl Days {
    /// Checks the days. The error is the sentence for the client.
    pub fn new(days: i64) -> Result<Self, String> {
        if (1..=LONGEST).contains(&days) { Ok(Self(days)) } else { Err(format!("must be between 1 and {LONGEST}.")) }
    }

    pub fn seconds(self) -> i64 {
        self.0 * 86_400
    }
}

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be an integer.".to_owned()).and_then(Self::new)
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(input)?).map_err(de::Error::custom)
    }
}

impl std::fmt::Display for Days {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

super::described!(
    Days,
    json_schema!({"type": "integer", "format": "int64", "minimum": 1, "maximum": LONGEST, "examples": [365]})
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one_and_at_most_ten_years() {
        assert!(Days::new(1).is_ok() && Days::new(LONGEST).is_ok());
        assert!(Days::new(0).is_err() && Days::new(LONGEST + 1).is_err());
        assert_eq!("30".parse(), Days::new(30));
    }
}

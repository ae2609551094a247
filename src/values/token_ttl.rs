//! The lifetime of an access token in seconds: a minute to a year.

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

const SHORTEST: i64 = 60;
/// One year, the documented maximum.
const LONGEST: i64 = 31_536_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenTtl(i64);

impl TokenTtl {
    /// Checks the seconds. The error is the sentence for the client.
    pub fn new(seconds: i64) -> Result<Self, String> {
        match seconds {
            SHORTEST..=LONGEST => Ok(Self(seconds)),
            _ => Err(format!("must be between {SHORTEST} and {LONGEST}.")),
        }
    }

    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for TokenTtl {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(input)?).map_err(de::Error::custom)
    }
}

super::stored_as_integer!(TokenTtl);

super::described!(
    TokenTtl,
    json_schema!({"type": "integer", "format": "int64", "minimum": SHORTEST, "maximum": LONGEST, "examples": [3600]})
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_to_a_year() {
        assert!(TokenTtl::new(60).is_ok() && TokenTtl::new(31_536_000).is_ok());
        assert!(TokenTtl::new(59).is_err() && TokenTtl::new(31_536_001).is_err());
    }
}

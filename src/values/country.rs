//! A country, by its ISO 3166 code of two letters.

use std::str::FromStr;

use schemars::json_schema;
use serde::Serialize;

use super::phone;

/// A country with a known numbering plan, in capitals: `FR`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Country(String);

super::stored_as_text!(Country);

impl FromStr for Country {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let capitals = text.len() == 2 && text.bytes().all(|letter| letter.is_ascii_uppercase());
        let known = capitals && phone::country(text).is_some();
        known.then(|| Self(text.into())).ok_or_else(|| "must be an ISO 3166 code of two letters, like FR.".into())
    }
}

super::read_from_text!(Country);
super::described!(Country, json_schema!({"type": "string", "pattern": "^[A-Z]{2}$", "examples": ["FR"]}));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_countries_are_taken() {
        for good in ["FR", "DE", "GB", "US", "RE"] {
            assert!(good.parse::<Country>().is_ok(), "{good}");
        }
        for bad in ["", "F", "fr", "FRA", "ZZ", "UK", "33", "FR ", "É"] {
            assert!(bad.parse::<Country>().is_err(), "{bad}");
        }
    }
}

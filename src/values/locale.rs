//! A language, perhaps with a country: `fr`, `fr-FR`.

use std::str::FromStr;

use schemars::json_schema;
use serde::Serialize;

/// An ISO 639 language in two or three small letters, perhaps followed by an ISO 3166 country in two capitals.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Locale(String);

super::stored_as_text!(Locale);

impl FromStr for Locale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (language, country) = text.split_once('-').map_or((text, None), |(first, rest)| (first, Some(rest)));
        let spoken = (2..=3).contains(&language.len()) && language.bytes().all(|letter| letter.is_ascii_lowercase());
        let placed = country
            .is_none_or(|country| country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase()));
        (spoken && placed).then(|| Self(text.into())).ok_or_else(|| "must be a locale, like fr or fr-FR.".into())
    }
}

super::read_from_text!(Locale);

super::described!(
    Locale,
    json_schema!({"type": "string", "pattern": "^[a-z]{2,3}(-[A-Z]{2})?$", "examples": ["fr-FR", "en"]})
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_and_perhaps_a_country() {
        for good in ["fr", "fr-FR", "en-GB", "gsw-CH"] {
            assert!(good.parse::<Locale>().is_ok(), "{good}");
        }
        for bad in ["", "f", "FR", "fr_FR", "fr-fr", "fr-", "-FR", "fr-FR-x", "french", "fr-FRA", "é"] {
            assert!(bad.parse::<Locale>().is_err(), "{bad}");
        }
    }
}

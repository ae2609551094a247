//! A time zone, by its name in the IANA database.

use std::str::FromStr;

use jiff::tz::TimeZoneDatabase;
use schemars::json_schema;
use serde::Serialize;

/// A zone in the bundled database, so it is the same on every machine: `Europe/Paris`. Case does not matter and is
/// corrected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TimeZone(String);

super::stored_as_text!(TimeZone);

impl FromStr for TimeZone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let zone = TimeZoneDatabase::bundled().get(text).ok().filter(|zone| !zone.is_unknown());
        let name = zone.and_then(|zone| zone.iana_name().map(str::to_owned));
        name.map(Self).ok_or_else(|| "must be a time zone of the IANA database, like Europe/Paris.".into())
    }
}

super::read_from_text!(TimeZone);

super::described!(
    TimeZone,
    json_schema!({
        "type": "string", "pattern": "^[A-Za-z0-9_+/-]{1,64}$", "examples": ["Europe/Paris"],
        "description": "A name of the IANA time zone database."
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_database_are_taken() {
        for (typed, name) in [("Europe/Paris", "Europe/Paris"), ("europe/PARIS", "Europe/Paris"), ("UTC", "UTC")] {
            assert_eq!(typed.parse::<TimeZone>().unwrap().to_string(), name);
        }
        for bad in
            ["", "Paris", "Europe/Nowhere", "+01:00", "CET-1CEST", "Etc/Unknown", "../etc/passwd", "Europe/Paris "]
        {
            assert!(bad.parse::<TimeZone>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_name_of_the_database_fits_the_pattern() {
        for name in TimeZoneDatabase::bundled().available() {
            let name = name.as_str();
            assert!(
                name.len() <= 64 && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_+/-".contains(&c)),
                "{name}"
            );
        }
    }
}

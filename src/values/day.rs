//! Days: of the week, of the calendar, of every year.

use std::str::FromStr;

use jiff::civil::Date;
use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// 0 (Sunday) to 6 (Saturday).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DayOfWeek(i64);

/// A date that exists, as written: `2027-05-01`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FullDate(String);

/// A date, or the same day of every year: `2027-05-01`, `--05-01`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Day(String);

super::stored_as_integer!(DayOfWeek);
super::stored_as_text!(FullDate);
super::stored_as_text!(Day);

impl DayOfWeek {
    pub fn number(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for DayOfWeek {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match i64::deserialize(input)? {
            day @ 0..=6 => Ok(Self(day)),
            _ => Err(de::Error::custom("must be between 0 and 6.")),
        }
    }
}

/// Whether a text is a full date (RFC 3339, 5.6) that exists in the calendar.
fn is_date(text: &str) -> bool {
    let is_written = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_written && text.parse::<Date>().is_ok()
}

impl FullDate {
    /// A date of the years 0 to 9999, which all dates of the calendar are that people write.
    pub fn of(date: Date) -> Self {
        Self(date.to_string())
    }

    pub fn date(&self) -> Date {
        self.0.parse().expect("the text was read as a date")
    }
}

impl FromStr for FullDate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_date(text) { Ok(Self(text.into())) } else { Err("must be a valid date, like 2027-05-01.".into()) }
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("field is required.".into());
        }
        // A day of every year must exist in a leap year.
        let is_day = text.strip_prefix("--").map_or_else(|| is_date(text), |day| is_date(&format!("2024-{day}")));
        if is_day { Ok(Self(text.into())) } else { Err("must be a valid date, like 2027-05-01 or --05-01.".into()) }
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Self(date.to_string())
    }
}

super::read_from_text!(FullDate);
super::read_from_text!(Day);

super::described!(
    DayOfWeek,
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 6, "examples": [1]})
);

super::described!(FullDate, json_schema!({"type": "string", "format": "date", "examples": ["2027-05-01"]}));

/// Dates that do not exist, such as 2027-02-29, match the pattern but are rejected.
const PATTERN: &str = "^([0-9]{4}|-)-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))$";

super::described!(Day, json_schema!({"type": "string", "pattern": PATTERN, "examples": ["2027-05-01", "--05-01"]}));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_there_are() {
        for good in ["2027-05-01", "2024-02-29", "--02-29", "--12-31"] {
            assert_eq!(&*good.parse::<Day>().unwrap(), good);
        }
        for bad in [
            "2027-02-29",
            "--02-30",
            "--13-01",
            "--5-1",
            "2027-5-1",
            "20270501",
            "2027-05-01T00:00",
            "-05-01",
            "--",
            "+027-05-01",
            "2027-05-0é",
            "--05-é",
            "é",
        ] {
            assert!(bad.parse::<Day>().is_err() && bad.parse::<FullDate>().is_err(), "{bad}");
        }
        assert!("--05-01".parse::<FullDate>().is_err());
        assert_eq!("".parse::<Day>(), Err("field is required.".into()));
    }

    #[test]
    fn a_week_has_seven_days() {
        assert!((0..7).all(|day| serde_json::from_value::<DayOfWeek>(day.into()).is_ok()));
        assert!([-1, 7].iter().all(|day| serde_json::from_value::<DayOfWeek>((*day).into()).is_err()));
    }
}

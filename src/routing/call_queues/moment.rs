//! A time in a look-up request, and the local time of the workspace then.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::api::{Error, Result};

/// A time as requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With an offset from UTC.
    Certain(Timestamp),
    /// Local time of the workspace. A time that occurs twice means the first one. A skipped time is moved forward by
    /// the gap.
    Local(DateTime),
}

/// Error message for an invalid time.
pub const NO_MOMENT: &str = "must be a valid date and time, like 2024-01-20T12:00:00Z.";

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let text = with_plus(text.trim());
        if let Ok(certain) = text.parse() {
            return Ok(Self::Certain(certain));
        }
        // jiff would ignore text after a local time, such as an invalid offset or a zone. So only digits and separators
        // are accepted.
        let is_local = text.split_once(['T', 't', ' ']).is_some_and(|(_, time)| {
            time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b','))
        });
        let local = if is_local { text.parse().ok() } else { None };
        local.map(Self::Local).ok_or_else(|| NO_MOMENT.into())
    }
}

/// An unencoded `+` of an offset arrives as a space.
fn with_plus(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((before, offset)) if before.contains(':') => format!("{before}+{offset}"),
        _ => text.to_owned(),
    }
}

impl Moment {
    /// Reads the parameter `at`. Blank is now.
    pub fn asked(at: &str, now: crate::values::Timestamp) -> Result<Self> {
        match at.trim() {
            "" => Timestamp::from_second(now.seconds()).map(Self::Certain).map_err(|_| Self::invalid()),
            at => at.parse().map_err(|_| Self::invalid()),
        }
    }

    /// The error for an invalid parameter `at`.
    pub fn invalid() -> Error {
        Error::invalid(format!("The at {NO_MOMENT}"))
    }

    /// The time in a zone. None if it is outside the calendar.
    pub fn instant(self, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Certain(moment) => Some(moment),
            Self::Local(shown) => zone.to_ambiguous_timestamp(shown).compatible().ok(),
        }
    }

    /// The local time in a zone. None if it is outside the calendar.
    pub fn local_time(self, zone: &TimeZone) -> Option<DateTime> {
        self.instant(zone).map(|moment| zone.to_datetime(moment))
    }
}

/// A time in the workspace's time zone, without an offset: `2027-03-29T09:00:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime(pub DateTime);

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, output: S) -> std::result::Result<S::Ok, S::Error> {
        output.collect_str(&self.0)
    }
}

crate::values::described!(LocalTime, schemars::json_schema!({"type": "string", "examples": ["2027-03-29T09:00:00"]}));

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    use super::*;

    fn shown(text: &str) -> String {
        let paris = TimeZoneDatabase::bundled().get("Europe/Paris").unwrap();
        text.parse::<Moment>().unwrap().local_time(&paris).unwrap().to_string()
    }

    #[test]
    fn an_offset_counts_and_without_one_the_clock_does() {
        for (text, clock) in [
            ("2024-01-20T12:00:00Z", "2024-01-20T13:00:00"),
            ("2024-01-20t12:00:00.5z", "2024-01-20T13:00:00.5"),
            ("2024-07-20T12:00:00-02:30", "2024-07-20T16:30:00"),
            ("2024-07-20T12:00:00+02:00", "2024-07-20T12:00:00"),
            ("2024-07-20T12:00:00 02:00", "2024-07-20T12:00:00"),
            ("2024-07-20 12:00:00 02:00", "2024-07-20T12:00:00"),
            ("2024-07-20 12:00:00", "2024-07-20T12:00:00"),
            ("2024-07-20T12:00", "2024-07-20T12:00:00"),
            // The skipped hour, and the hour that occurs twice.
            ("2024-03-31T01:59:59", "2024-03-31T01:59:59"),
            ("2024-03-31T02:00:00", "2024-03-31T03:00:00"),
            ("2024-03-31T02:30:00", "2024-03-31T03:30:00"),
            ("2024-10-27T02:30:00", "2024-10-27T02:30:00"),
            ("2024-10-27T00:30:00Z", "2024-10-27T02:30:00"),
            ("2024-10-27T01:30:00Z", "2024-10-27T02:30:00"),
        ] {
            assert_eq!(shown(text), clock, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for bad in [
            "",
            "2024-01-20",
            "12:00",
            "now",
            "2024-01-20T",
            "2024-02-30T12:00:00Z",
            "2024-01-20T25:00:00",
            "2024-01-20T12:00:00+99:99",
            "2024-01-20T12:00:00[Europe/London]",
            "2024-01-20T12:00:00 é",
            "é",
            "2024-01-20T12:00:00 Europe/Paris",
            "9999-12-31T23:59:59-12:00",
        ] {
            assert_eq!(bad.parse::<Moment>(), Err(NO_MOMENT.into()), "{bad}");
        }
    }

    #[test]
    fn at_the_ends_of_the_calendar_no_clock_shows_anything() {
        let paris = TimeZoneDatabase::bundled().get("Europe/Paris").unwrap();
        let first: Moment = "-009999-01-01T00:00:00".parse().unwrap();
        assert_eq!(first.local_time(&paris), None);
    }
}

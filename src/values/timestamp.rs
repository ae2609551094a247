//! A moment in UTC, to the second, written `2024-01-20T12:00:00Z` (RFC 3339).

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use schemars::json_schema;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z. A column stores this integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Reads the clock. Only the edge of the server and the command line call this; all other code gets `now` as a
    /// parameter.
    #[expect(clippy::disallowed_methods, reason = "the one place where the clock is read")]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_second())
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The first and the last second of a text in a time zone. For a moment they are equal; a day (`2024-01-20`)
    /// usually has 86,400 seconds.
    pub fn first_and_last(text: &str, zone: &TimeZone) -> Result<(Self, Self), String> {
        let Some(civil) = civil(text) else { return text.parse().map(|moment| (moment, moment)) };
        let moment = |civil: DateTime| {
            let moment = zone.to_timestamp(civil).map_err(|_| "must be a valid date.");
            moment.map(|moment| Self(moment.as_second()))
        };
        if text.trim().len() > "2024-01-20".len() {
            return Ok(moment(civil).map(|moment| (moment, moment))?);
        }
        // The last day of the calendar has no next day.
        let last = civil.checked_add(1.day()).map(|next| moment(next).map(|next| next.0 - 1));
        let last = last.unwrap_or_else(|_| moment(civil).map(|first| first.0 + 86_399))?;
        Ok((moment(civil)?, Self(last)))
    }

    /// The local time in a time zone.
    pub fn local(self, zone: &TimeZone) -> DateTime {
        zone.to_datetime(jiff::Timestamp::from_second(self.0).unwrap_or_default())
    }

    /// The day in UTC.
    pub fn date(self) -> Date {
        self.local(&TimeZone::UTC).date()
    }

    pub fn seconds(self) -> i64 {
        self.0
    }

    /// The text, if the year has four digits. A page of a list has many of them, and the printer of jiff takes several times as
    /// long: it can print any year and any fraction of a second.
    fn text(self) -> Option<[u8; 20]> {
        let time = TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(self.0).ok()?);
        let year = time.year();
        let [month, day, hour, minute, second] =
            [time.month(), time.day(), time.hour(), time.minute(), time.second()].map(i16::from);
        let pairs = [(0, year / 100), (2, year % 100), (5, month), (8, day), (11, hour), (14, minute), (17, second)];
        let mut text = *b"0000-00-00T00:00:00Z";
        for (at, pair) in pairs {
            let pair = u8::try_from(pair).ok().filter(|pair| *pair < 100)?;
            text[at] += pair / 10;
            text[at + 1] += pair % 10;
        }
        Some(text)
    }

    /// Adds seconds. The result is limited to the years -9999 to 9999, which can be written.
    pub fn plus(self, seconds: i64) -> Self {
        let ends = (jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
        Self(self.0.saturating_add(seconds).clamp(ends.0, ends.1))
    }
}

/// Parses a date, perhaps with a time, without a zone: `2027-01-31`, `2027-01-31 10:00:00`, `2027-01-31T10:00`.
pub fn civil(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let is_one = text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-:. Tt".contains(&byte));
    if !is_one {
        return None;
    }
    text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(|day| day.at(0, 0, 0, 0)))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?),
            None => write!(f, "{}", jiff::Timestamp::from_second(self.0).map_err(|_| fmt::Error)?),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|moment| Self(moment.as_second()))
            .map_err(|_| "must be a valid date and time, like 2024-01-20T12:00:00Z.".into())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => output.serialize_str(str::from_utf8(&text).map_err(S::Error::custom)?),
            None => output.collect_str(self),
        }
    }
}

super::read_from_text!(Timestamp);

super::stored_as_integer!(Timestamp);

super::described!(
    Timestamp,
    json_schema!({"type": "string", "format": "date-time", "examples": ["2024-01-20T12:00:00Z"]})
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_moment_is_written_as_jiff_writes_it(
            seconds in jiff::Timestamp::MIN.as_second()..=jiff::Timestamp::MAX.as_second()
        ) {
            let written = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(Timestamp(seconds).to_string(), &written[..]);
            prop_assert_eq!(serde_json::to_value(Timestamp(seconds)).unwrap(), written);
        }
    }

    #[test]
    fn written_in_utc_to_the_second() {
        let moment: Timestamp = "2024-01-20T13:00:00.7+01:00".parse().unwrap();
        assert_eq!(moment.to_string(), "2024-01-20T12:00:00Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_sum_is_a_moment_that_can_be_written() {
        for seconds in [i64::MIN, i64::MAX] {
            assert!(Timestamp::default().plus(seconds).to_string().contains("9999-"));
        }
    }
}

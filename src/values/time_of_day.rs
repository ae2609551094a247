//! A local time of day.

use std::str::FromStr;

use schemars::json_schema;
use serde::Serialize;

/// `09:00` or `09:00:30`, stored as written. The end of the day is `24:00`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TimeOfDay(String);

super::stored_as_text!(TimeOfDay);

impl TimeOfDay {
    /// Seconds since midnight, 0 to 86,400.
    pub fn second(&self) -> i64 {
        second(&self.0).unwrap_or_default()
    }
}

/// Parses a time of day into seconds since midnight.
fn second(text: &str) -> Option<i64> {
    let two = |place: usize| text.get(place..place + 2).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let colon = |place: usize| text.get(place..=place) == Some(":");
    let (hour, minute) = (two(0)?, two(3)?);
    let second = match text.len() {
        5 => "00",
        8 if colon(5) => two(6)?,
        _ => return None,
    };
    let number = |part: &str| part.parse::<i64>().ok();
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    let is_time = colon(2) && minute < 60 && second < 60 && (hour < 24 || (hour, minute, second) == (24, 0, 0));
    is_time.then_some(hour * 3600 + minute * 60 + second)
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("field is required.".into());
        }
        let is_time = second(text).is_some();
        if is_time { Ok(Self(text.into())) } else { Err("must be a time of day, like 09:00 or 09:00:30.".into()) }
    }
}

super::read_from_text!(TimeOfDay);

super::described!(
    TimeOfDay,
    json_schema!({
        "type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?|24:00(:00)?)$", "examples": ["09:00"],
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_minutes_perhaps_seconds_up_to_the_end_of_the_day() {
        for (text, second) in
            [("00:00", 0), ("09:30", 34_200), ("23:59:59", 86_399), ("24:00", 86_400), ("24:00:00", 86_400)]
        {
            let time: TimeOfDay = text.parse().unwrap();
            assert_eq!((time.second(), &*time), (second, text));
        }
        for bad in [
            "9:00", "09", "09:0", "09:60", "09:00:60", "24:01", "24:00:01", "25:00", "09:00:", "09-00", "+9:00",
            " 09:00", "09:00 ", "é9:00", "09é00", "0é:00", "09:00:é",
        ] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
        assert_eq!("".parse::<TimeOfDay>(), Err("field is required.".into()));
    }
}

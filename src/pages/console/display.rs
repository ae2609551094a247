//! Values as people read them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::choice_matrix;
use super::page::PageCtx;
use super::schema::{FieldSpec, FieldType};
use super::texts::choice_label;
use crate::api::resource_view::Widget;
use crate::pages::translations::Translations;
use crate::values::Language;

/// A value on a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Nothing,
    Text(String),
    Lines(String),
    Link { href: String, text: String, is_external: bool },
    Time { instant: String, text: String },
    Flag(bool),
    State { word: String, tone: &'static str },
    Tags(Vec<String>),
    Pairs(Vec<(String, String)>),
    Code(String),
}

impl Shown {
    /// The value as text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Lines(text) | Self::Code(text) => text,
            Self::Link { text, .. } | Self::Time { text, .. } => text,
            Self::State { word, .. } => word,
            _ => "",
        }
    }
}

/// A value in a record. The name may have a dot.
pub fn at<'v>(record: &'v Value, name: &str) -> &'v Value {
    name.split('.').fold(record, |value, part| &value[part])
}

/// Whether fields of a record have these values, as text.
pub fn has_values(record: &Value, values: &[(&str, &str)]) -> bool {
    values.iter().all(|(field, value)| plain(at(record, field)) == *value)
}

/// A value as plain text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(object) => match object.get("name").or(object.get("email")).and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => value.to_string(),
        },
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A field of a record, as the page shows it.
pub fn shown(
    page: &PageCtx<'_>,
    zone: &TimeZone,
    field: &FieldSpec,
    record: &Value,
    links: &super::links::Names,
) -> Shown {
    let value = at(record, &field.name);
    let words = page.words();
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if is_empty {
        return Shown::Nothing;
    }
    let text = || plain(value);
    let link = |href: String, is_external| Shown::Link { href, text: text(), is_external };
    match (field.widget, &field.kind) {
        (Some(Widget::Events), FieldType::Text) => Shown::Text(choice_label(words, &field.name, &text())),
        (Some(Widget::Permissions | Widget::Scopes | Widget::Events), _) => {
            let names: Vec<String> = value.as_array().into_iter().flatten().map(plain).collect();
            Shown::Pairs(choice_matrix::in_words(words, field, &names))
        }
        (_, FieldType::List(_)) => {
            let items = value.as_array().into_iter().flatten();
            Shown::Tags(items.map(|item| choice_label(words, &field.name, &plain(item))).collect())
        }
        (Some(Widget::Phone), _) => link(format!("tel:{}", tel_number(&text())), false),
        (Some(Widget::Email), _) => link(format!("mailto:{}", mail_address(&text())), false),
        (Some(Widget::Url), _) if text().starts_with("https://") || text().starts_with("http://") => link(text(), true),
        (Some(Widget::Lines), _) => Shown::Lines(text()),
        (Some(Widget::Secret), _) => Shown::Nothing,
        (Some(Widget::Seconds), _) => Shown::Text(seconds(value.as_i64().unwrap_or_default())),
        (Some(Widget::Link(_) | Widget::LinkBy(..)), _) => links.shown(page, field, record),
        (_, FieldType::Flag) => Shown::Flag(value == true),
        (_, FieldType::Moment) => moment(words, zone, &text()),
        (_, FieldType::Day) => Shown::Text(text()),
        (_, FieldType::Choice(_) | FieldType::NumberChoice(_)) => state(words, field, &text()),
        // An author that is no account: the system, or nobody.
        (_, FieldType::Record) if value["name"].is_null() && value["email"].is_null() && value["type"].is_string() => {
            Shown::Text(choice_label(words, "actor_type", &plain(&value["type"])))
        }
        (_, FieldType::Object) => match value {
            Value::Object(object) => {
                Shown::Pairs(object.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
            }
            _ => Shown::Code(serde_json::to_string_pretty(value).unwrap_or_default()),
        },
        _ => Shown::Text(text()),
    }
}

/// A choice in words. A state that asks for attention has a tone.
fn state(words: Translations, field: &FieldSpec, value: &str) -> Shown {
    let word = choice_label(words, &field.name, value);
    let tone = match (field.name.as_str(), value) {
        ("status", "missed" | "failed" | "no_answer" | "dead" | "expired" | "rejected") => "wrong",
        ("status", "completed" | "delivered" | "accepted" | "active") => "good",
        ("status", "pending" | "voicemail" | "busy" | "suspended") => "care",
        _ => return Shown::Text(word),
    };
    Shown::State { word, tone }
}

/// A time in the zone of the page.
pub fn moment(words: Translations, zone: &TimeZone, text: &str) -> Shown {
    match text.parse::<Timestamp>() {
        Ok(instant) => Shown::Time { instant: text.to_owned(), text: written(words, zone.to_datetime(instant)) },
        Err(_) => Shown::Text(text.to_owned()),
    }
}

/// A local time for people: "29 Mar 2027, 14:05", "29 mars 2027, 14:05".
fn written(words: Translations, at: DateTime) -> String {
    format!("{}, {:02}:{:02}", day(words, at.date()), at.hour(), at.minute())
}

/// A day for people: "29 Mar 2027", "29 mars 2027".
pub fn day(words: Translations, day: Date) -> String {
    format!("{} {} {}", day.day(), month(words, day), day.year())
}

/// A day of a week for people: "Mon 29 Mar", "lun. 29 mars".
pub fn week_day(words: Translations, date: Date) -> String {
    format!("{} {} {}", day_name(words, date), date.day(), month(words, date))
}

/// The short name of the day of the week.
pub fn day_name(words: Translations, date: Date) -> &'static str {
    const ENGLISH: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const FRENCH: [&str; 7] = ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."];
    let place = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
    match words.0 {
        Language::English => ENGLISH[place],
        Language::French => FRENCH[place],
    }
}

/// The short name of the month of a day.
pub fn month(words: Translations, day: Date) -> &'static str {
    const ENGLISH: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const FRENCH: [&str; 12] =
        ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."];
    let month = usize::from(day.month().unsigned_abs()).saturating_sub(1);
    match words.0 {
        Language::English => ENGLISH[month],
        Language::French => FRENCH[month],
    }
}

/// The full name of the month of a day, as a heading.
pub fn month_name(words: Translations, day: Date) -> &'static str {
    const ENGLISH: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const FRENCH: [&str; 12] = [
        "Janvier",
        "Février",
        "Mars",
        "Avril",
        "Mai",
        "Juin",
        "Juillet",
        "Août",
        "Septembre",
        "Octobre",
        "Novembre",
        "Décembre",
    ];
    let month = usize::from(day.month().unsigned_abs()).saturating_sub(1);
    match words.0 {
        Language::English => ENGLISH[month],
        Language::French => FRENCH[month],
    }
}

/// A time as a form has it: `2027-03-29 14:05`, with seconds only if there are any.
pub fn moment_input(zone: &TimeZone, text: &str) -> String {
    let Ok(instant) = text.parse::<Timestamp>() else { return text.to_owned() };
    let local = zone.to_datetime(instant);
    let format = if local.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    local.strftime(format).to_string()
}

/// The length of a call: `3:05`, `1:02:03`.
pub fn seconds(all: i64) -> String {
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A number of seconds as an age: `less than an hour`, `5 hours`, `3 days`.
pub fn age(words: Translations, seconds: i64) -> String {
    match seconds.max(0) / 3600 {
        0 => words.under_an_hour(),
        1 => words.one_hour(),
        hours if hours < 48 => words.number_of_hours(&count(words, hours)),
        hours => words.days(&count(words, hours / 24)),
    }
}

/// A count with separators: `1,240`, `1 240`.
pub fn count(words: Translations, number: i64) -> String {
    let digits = number.to_string();
    let separator = match words.0 {
        Language::English => ",",
        Language::French => "\u{202f}",
    };
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(separator)
}

/// A count that stopped at a limit, if it reached it: `more than 1,000` for a limit of 1,001.
pub fn count_to(words: Translations, number: i64, limit: i64) -> String {
    if number < limit { count(words, number) } else { words.more_than(&count(words, limit - 1)) }
}

/// The beginning of a text that has more characters than this, with an ellipsis.
pub fn beginning(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        // One character gives way to the ellipsis.
        Some(_) => format!("{}…", text.chars().take(most - 1).collect::<String>().trim_end()),
    }
}

/// A number for a `tel:` link (RFC 3966), without separators.
fn tel_number(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || matches!(c, '+' | '*' | '#')).collect()
}

/// An address for a `mailto:` link. A `?` in the address is escaped, so it cannot start a header of the mail (RFC 6068,
/// 2).
fn mail_address(address: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'+');
    utf8_percent_encode(address, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_write_to_a_contact_adds_nobody() {
        assert_eq!(mail_address("zoe+a@example.com"), "zoe+a@example.com");
        assert_eq!(mail_address("zoe?bcc=all&x@example.com"), "zoe%3Fbcc%3Dall%26x@example.com");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!((beginning("Zoé", 3), beginning("Zoé & Cie", 5)), ("Zoé".into(), "Zoé…".into()));
        assert_eq!(beginning("漢漢漢漢", 3), "漢漢…");
    }

    #[test]
    fn counts_and_lengths_are_grouped_as_people_write_them() {
        let (english, french) = (Translations(Language::English), Translations(Language::French));
        assert_eq!((count(english, 1_234_567), count(french, 1240)), ("1,234,567".into(), "1\u{202f}240".into()));
        assert_eq!((seconds(5), seconds(65), seconds(3723)), ("0:05".into(), "1:05".into(), "1:02:03".into()));
    }
}

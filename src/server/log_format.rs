//! The lines of the log. On a terminal, a line is short: `12:00:01 GET /customers/{id} 200 acme 1.2 ms` is a request. For
//! programs, a line is a JSON object. Each request writes one, so it is written in one pass, without values in between.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::values::Timestamp;

/// The message of the event that ends each request.
pub const REQUEST: &str = "request";

pub struct ShortLines;

impl<S, N> FormatEvent<S, N> for ShortLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        write_time(&mut Writer::new(&mut time))?;
        // The time of `2027-03-29T12:00:01.123456Z`, without the date.
        let time = time.get(11..19).unwrap_or(&time);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (level, has_color) = (*event.metadata().level(), to.has_ansi_escapes());
        write!(to, "{}", painted(time, DIM, has_color))?;
        if level != Level::INFO {
            write!(to, " {}", painted(level.as_str(), color_of(level), has_color))?;
        }
        if fields.message == REQUEST { fields.write_request(&mut to, has_color) } else { fields.write(&mut to) }?;
        writeln!(to)
    }
}

/// One JSON object per line: the time, the level, and the fields of the event.
pub struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        to.write_str(r#"{"timestamp":""#)?;
        write_time(&mut to)?;
        write_all(&mut to, ["\",\"level\":\"", event.metadata().level().as_str(), "\""])?;
        let mut fields = JsonFields { to: &mut to, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        to.write_str("}\n")
    }
}

/// Writes the time in UTC to the microsecond, as `2027-03-29T12:00:01.123456Z` (RFC 3339). Each thread keeps the text of the
/// second: most lines are of the same second as the line before.
#[expect(clippy::disallowed_methods, reason = "each line has the time at which it is written")]
fn write_time(to: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        static SECOND: RefCell<(Timestamp, String)> = RefCell::new((Timestamp::default(), Timestamp::default().to_string()));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = Timestamp::default().plus(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second {
            (*known, *text) = (second, second.to_string());
        }
        to.write_str(text.trim_end_matches('Z'))
    })?;
    // With a leading 1, so that it always has seven digits.
    let mut micros = itoa::Buffer::new();
    let micros = micros.format(1_000_000 + now.subsec_micros());
    write_all(to, [".", &micros[1..], "Z"])
}

/// Writes each field of an event as a member of an object.
struct JsonFields<'a, 'w> {
    to: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl JsonFields<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = write_all(self.to, [",\"", field.name(), "\":"]).and_then(|()| value(self.to));
        }
    }
}

impl Visit for JsonFields<'_, '_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |to| to.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |to| to.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, |to| to.write_str(if value { "true" } else { "false" }));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |to| {
            to.write_char('"')?;
            write_escaped(to, value)?;
            to.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, |to| {
            to.write_char('"')?;
            write!(Escaped(to), "{value:?}")?;
            to.write_char('"')
        });
    }
}

/// Escapes all that is written as a part of a JSON text.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_escaped(self.0, text)
    }
}

/// Writes texts one after the other. `write!` takes several times as long.
fn write_all<const N: usize>(to: &mut Writer<'_>, texts: [&str; N]) -> fmt::Result {
    texts.into_iter().try_for_each(|text| to.write_str(text))
}

fn write_escaped(to: &mut Writer<'_>, text: &str) -> fmt::Result {
    let is_plain = |byte: u8| byte >= b' ' && !matches!(byte, b'"' | b'\\');
    if text.bytes().all(is_plain) {
        return to.write_str(text);
    }
    let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
    to.write_str(&quoted[1..quoted.len() - 1])
}

const DIM: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
const GREEN: &str = "32";

fn color_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => RED,
        Level::WARN => YELLOW,
        _ => DIM,
    }
}

fn painted(text: &str, color: &str, has_color: bool) -> String {
    if has_color { format!("\u{1b}[{color}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// The message and fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn get(&self, name: &str) -> &str {
        self.others.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    fn write(&self, to: &mut Writer<'_>) -> fmt::Result {
        write!(to, " {}", self.message)?;
        self.others.iter().try_for_each(|(name, value)| write!(to, " {name}={value}"))
    }

    /// Writes method, route (or else path), status, workspace and duration.
    fn write_request(&self, to: &mut Writer<'_>, has_color: bool) -> fmt::Result {
        let route = if self.get("route").is_empty() { self.get("path") } else { self.get("route") };
        let status = self.get("status");
        let color = match status.as_bytes().first() {
            Some(b'5') => RED,
            Some(b'4') => YELLOW,
            _ => GREEN,
        };
        write!(to, " {} {route} {}", self.get("method"), painted(status, color, has_color))?;
        for workspace in [self.get("subdomain")].iter().filter(|name| !name.is_empty()) {
            write!(to, " {workspace}")?;
        }
        let took: f64 = self.get("took_us").parse().unwrap_or(0.0);
        write!(to, " {:.1} ms", took / 1000.0)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A value that cannot be formatted is omitted.
        let _ = write!(text, "{value:?}");
        self.keep(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.to_owned());
    }
}

impl Fields {
    fn keep(&mut self, field: &Field, value: String) {
        // One event is one line, whatever it contains.
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

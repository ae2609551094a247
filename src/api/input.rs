//! Inputs: the sources of a handler's values.

use bytes::Bytes;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::{Error, Result};
use super::json_body::{self, ReadError, ValueReader};
use super::media_type::{BodyKind, Format, MediaType};
use super::openapi::{Operation, ParameterIn};
use super::request::{Request, UploadedFile};
use crate::values::{Email, Timestamp};

/// A value that a handler receives, read from the request.
pub trait Input: Sized {
    /// The kind of body that the value is read from, if any.
    const BODY: BodyKind = BodyKind::None;

    fn read(request: &Request) -> Result<Self>;
    fn describe(operation: &mut Operation<'_>);

    /// The value of an empty body, if the value is read from the body.
    fn blank() -> Option<Value> {
        None
    }
}

/// The id in the path. A value that is not an integer gives 404.
#[derive(Debug, Clone, Copy)]
pub struct Id(pub i64);

impl Input for Id {
    fn read(request: &Request) -> Result<Self> {
        let id = request.path_values.first().and_then(|value| value.parse().ok());
        id.map(Self).ok_or_else(Error::not_found)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_value(0, "The id of the resource.", id_schema());
    }
}

/// The second id in the path, of a resource nested in the first.
#[derive(Debug, Clone, Copy)]
pub struct InnerId(pub i64);

impl Input for InnerId {
    fn read(request: &Request) -> Result<Self> {
        let id = request.path_values.get(1).and_then(|value| value.parse().ok());
        id.map(Self).ok_or_else(Error::not_found)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_value(1, "The id of the nested resource.", id_schema());
    }
}

fn id_schema() -> Value {
    serde_json::json!({"type": "integer", "format": "int64", "minimum": 1})
}

/// The UUID in the path.
#[derive(Debug, Clone, Copy)]
pub struct Uuid(pub uuid::Uuid);

impl Input for Uuid {
    fn read(request: &Request) -> Result<Self> {
        let id = request.path_values.first().and_then(|value| value.parse().ok());
        id.map(Self).ok_or_else(Error::not_found)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_value(0, "The id of the resource.", serde_json::json!({"type": "string", "format": "uuid"}));
    }
}

/// The code in the path, as it was issued.
#[derive(Debug, Clone)]
pub struct PathCode(pub String);

impl Input for PathCode {
    fn read(request: &Request) -> Result<Self> {
        request.path_values.first().cloned().map(Self).ok_or_else(Error::not_found)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_value(0, "The code from the mail.", serde_json::json!({"type": "string"}));
    }
}

/// The body as a complete value. Missing fields are blank.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Default + Serialize + DeserializeOwned + JsonSchema + 'static> Input for Json<T> {
    const BODY: BodyKind = BodyKind::Json;

    fn read(request: &Request) -> Result<Self> {
        let fields = json_body::parse(&request.body)?;
        Ok(Self(ValueReader::of(request).new_value(&fields)?))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body::<T>(&required::<T>());
    }

    fn blank() -> Option<Value> {
        serde_json::to_value(T::default()).ok()
    }
}

/// The body as a change to an existing value. Missing fields keep their value.
#[derive(Debug)]
pub struct Changes<T> {
    fields: Map<String, Value>,
    reading: ValueReader,
    to: std::marker::PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Changes<T> {
    /// Returns the changed value.
    pub fn apply(&self, to: &T) -> Result<T> {
        Ok(self.reading.merge(to, &self.fields)?)
    }

    /// The change without some fields. They keep their value.
    #[must_use]
    pub fn ignoring(mut self, fields: &[&str]) -> Self {
        self.fields.retain(|name, _| !fields.contains(&name.as_str()));
        self
    }

    /// Whether the change contains a field, even with its current value.
    pub fn mentions(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }
}

impl<T: Serialize + DeserializeOwned + JsonSchema> Input for Changes<T> {
    const BODY: BodyKind = BodyKind::Json;

    fn read(request: &Request) -> Result<Self> {
        Ok(Self {
            fields: json_body::parse(&request.body)?,
            reading: ValueReader::of(request),
            to: std::marker::PhantomData,
        })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.changes::<T>();
    }
}

/// The fields of a page's form, or the reason why they are not a `T`. The page is then shown again with the error.
#[derive(Debug)]
pub struct Form<T>(pub Result<T>);

impl<T: Default + Serialize + DeserializeOwned + JsonSchema + 'static> Input for Form<T> {
    const BODY: BodyKind = BodyKind::FormOrJson;

    fn read(request: &Request) -> Result<Self> {
        let fields = form_or_json(request);
        if let Err(Error::BadRequest(why)) = fields {
            return Err(Error::BadRequest(why));
        }
        Ok(Self(fields.and_then(|fields| Ok(ValueReader::of(request).merge(&T::default(), &fields)?))))
    }

    fn describe(operation: &mut Operation<'_>) {
        Json::<T>::describe(operation);
    }
}

/// The body of an OAuth client, or the reason why it is not a `T`. The handler responds with an error of RFC 6749, 5.2.
/// A parameter without a value counts as absent (RFC 6749, 3.2).
#[derive(Debug)]
pub struct OAuthForm<T>(pub Result<T>);

impl<T: Default + Serialize + DeserializeOwned + JsonSchema + 'static> Input for OAuthForm<T> {
    const BODY: BodyKind = BodyKind::OAuthForm;

    fn read(request: &Request) -> Result<Self> {
        let fields = form_or_json(request).map(|mut fields| {
            fields.retain(|_, value| value.as_str() != Some(""));
            fields
        });
        Ok(Self(fields.and_then(|fields| Ok(ValueReader::of(request).merge(&T::default(), &fields)?))))
    }

    fn describe(operation: &mut Operation<'_>) {
        Json::<T>::describe(operation);
    }
}

/// One field of a form, or of JSON in its place. Blank if the form does not contain it once.
pub fn form_field(request: &Request, name: &str) -> Result<String> {
    let mut values = form_pairs(request)?.into_iter().filter(|(known, _)| known == name);
    Ok(match (values.next(), values.next()) {
        (Some((_, value)), None) => value,
        _ => String::new(),
    })
}

/// The names and values of a form, in order, or of JSON in its place. A name may be repeated.
pub fn form_pairs(request: &Request) -> Result<Vec<(String, String)>> {
    if let Some(form) = &request.form {
        return Ok(form.fields.clone());
    }
    if request.sent_as == Some(MediaType::Form) {
        return Ok(parse_form(form_text(request)?).collect());
    }
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = form_or_json(request)?.into_iter().flat_map(|(name, value)| match value {
        Value::Array(values) => values.into_iter().map(|value| (name.clone(), text(value))).collect(),
        value => vec![(name, text(value))],
    });
    Ok(pairs.collect())
}

fn form_text(request: &Request) -> Result<&str> {
    std::str::from_utf8(&request.body).map_err(|_| Error::BadRequest("The form is not UTF-8."))
}

/// A file with rows: the body, or the file of a form.
#[derive(Debug)]
pub struct RowsFile {
    pub text: Bytes,
    pub format: Format,
    /// The name of the file, if the form has it.
    pub name: Option<String>,
}

impl RowsFile {
    /// The file of a request.
    pub fn of(request: &Request) -> Result<Self> {
        let (text, format, name) = match (&request.form, request.sent_as) {
            (Some(form), _) => {
                let file = form.file.as_ref().filter(|file| file.field == "file").ok_or_else(Self::missing)?;
                (file.content.clone(), Self::format_of(file), Some(file.name.clone()))
            }
            (None, Some(MediaType::Csv)) => (request.body.clone(), Format::Csv, None),
            (None, _) => (request.body.clone(), Format::Json, None),
        };
        if text.is_empty() {
            return Err(Self::missing());
        }
        // Office documents are ZIP archives, and no text has a null character.
        let is_utf_16 = text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF");
        if !is_utf_16 && (text.starts_with(b"PK\x03\x04") || text.contains(&0)) {
            return Err(Error::UnsupportedMediaType(BodyKind::File));
        }
        Ok(Self { text, format, name })
    }

    fn missing() -> Error {
        Error::invalid("The file field is required.")
    }

    /// By the type and the name of the file, else by its first character.
    fn format_of(file: &UploadedFile) -> Format {
        let is_of = |ending: &str| file.name.to_ascii_lowercase().ends_with(ending);
        let first = file.content.trim_ascii_start().first();
        match file.media_type.as_deref() {
            Some("application/json") => Format::Json,
            Some("text/csv") => Format::Csv,
            _ if is_of(".json") || (!is_of(".csv") && matches!(first, Some(b'[' | b'{'))) => Format::Json,
            _ => Format::Csv,
        }
    }
}

impl Input for RowsFile {
    const BODY: BodyKind = BodyKind::File;

    fn read(request: &Request) -> Result<Self> {
        Self::of(request)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.rows_file();
    }
}

/// The fields of a form, or of JSON in its place.
fn form_or_json(request: &Request) -> Result<Map<String, Value>> {
    match request.sent_as {
        Some(MediaType::Form) => fields_of(parse_form(form_text(request)?)),
        None if !request.body.is_empty() => Err(Error::UnsupportedMediaType(BodyKind::OAuthForm)),
        _ => json_body::parse(&request.body),
    }
}

/// The query of a link to a page, or the reason why it is not a `T`. The page shows the error.
#[derive(Debug)]
pub struct LinkQuery<T>(pub Result<T>);

impl<T: Default + Serialize + DeserializeOwned + JsonSchema> Input for LinkQuery<T> {
    fn read(request: &Request) -> Result<Self> {
        let fields = fields_of(pairs(&request.query));
        Ok(Self(fields.and_then(|fields| Ok(ValueReader::of_query(request).merge(&T::default(), &fields)?))))
    }

    fn describe(operation: &mut Operation<'_>) {
        Query::<T>::describe(operation);
    }
}

/// The fields of a form. A repeated field is ambiguous and must be rejected (RFC 6749, 3.1).
fn fields_of(pairs: impl Iterator<Item = (String, String)>) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    for (name, value) in pairs {
        if let Some((name, _)) = fields.get_key_value(&name) {
            return Err(Error::invalid(format!("The {} field is repeated.", name.replace('_', " "))));
        }
        fields.insert(name, Value::String(value));
    }
    Ok(fields)
}

/// The query, with text values. Missing fields are blank.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: Default + Serialize + DeserializeOwned + JsonSchema> Input for Query<T> {
    fn read(request: &Request) -> Result<Self> {
        let fields = pairs(&request.query).map(|(name, value)| (name, Value::String(value))).collect();
        Ok(Self(ValueReader::of_query(request).merge(&T::default(), &fields)?))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.parameters::<T>(ParameterIn::Query, &required::<T>());
    }
}

/// The first and the last second of a parameter that bounds a period. `None` if it is blank.
pub fn period_bound(name: &str, text: &str, zone: &TimeZone) -> Result<Option<(Timestamp, Timestamp)>> {
    let text = Some(text.trim()).filter(|text| !text.is_empty());
    let read = text.map(|text| Timestamp::first_and_last(text, zone)).transpose();
    read.map_err(|said| Error::invalid(format!("The {name} {said}")))
}

/// The required fields of a `T`.
pub fn required<T: Default + Serialize + DeserializeOwned>() -> Vec<String> {
    match ValueReader::default().merge(&T::default(), &Map::new()) {
        Err(ReadError::Fields(problems)) => problems.into_iter().filter_map(|problem| problem.field).collect(),
        _ => Vec::new(),
    }
}

/// The names and values of a query, decoded, in order. A `+` is a blank, except in a timestamp, an e-mail address or a
/// phone number: many clients do not encode it there.
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).flat_map(|pair| {
        let plus = pair.split_once('=').and_then(|(name, value)| keeps_plus(name, value));
        parse_form(pair).map(move |(name, value)| (name, plus.clone().unwrap_or(value)))
    })
}

/// The names and values of a form, decoded, in order.
fn parse_form(form: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(form.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// The value with a literal `+`, if it is one of these.
fn keeps_plus(name: &str, value: &str) -> Option<String> {
    let last = value.rfind('+')?;
    // Full-text search treats a `+` as a blank.
    if name.contains("term") {
        return None;
    }
    // The separator between date and time is a blank. The one before an offset is a `+`.
    let moment = format!("{}%2B{}", &value[..last], &value[last + 1..]);
    let decoded = |text: &str| decode(&text.replace('+', " "));
    let is_moment = |text: &str| text.contains(':') && text.parse::<Timestamp>().is_ok();
    let moment = Some(decoded(&moment)).filter(|text| is_moment(text) || is_moment(&text.replacen(' ', "T", 1)));
    let all = || decode(value);
    let begins_number = |text: &str| {
        text.strip_prefix('+').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.len() > 4)
    };
    let is_number =
        |text: &String| begins_number(text) || text.find([':', '<']).is_some_and(|at| begins_number(&text[at + 1..]));
    let is_address = |text: &String| text.parse::<Email>().is_ok();
    moment.or_else(|| Some(all()).filter(is_address)).or_else(|| {
        // Only the leading `+`. The others are blanks between digits.
        let first = value.find('+')?;
        let begins = ["", ":", "<", "%3A", "%3a", "%3C", "%3c"];
        if !begins.iter().any(|sign| value[..first].ends_with(sign) && (first == 0 || !sign.is_empty())) {
            return None;
        }
        let number = format!("{}%2B{}", &value[..first], &value[first + 1..]);
        Some(decoded(&number)).filter(is_number)
    })
}

/// Percent-decodes a path value (RFC 3986, 2.1).
pub fn decode(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

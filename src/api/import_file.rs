//! Rows of an import file: a JSON list, or lines of CSV below a line of names. The text is in memory once, and only one
//! row at a time is parsed.

use std::borrow::Cow;
use std::marker::PhantomData;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::charset::{self, Encoding};
use super::csv_cell::CsvField;
use super::csv_text::{CsvRow, CsvText, is_blank};
use super::error::{Error, Result};
use super::json_body;
use super::media_type::Format;

/// The fields of a row.
pub type ImportRow = Map<String, Value>;

/// The rows in a text that is known to be a valid file. The rows themselves are not validated.
#[derive(Debug, Clone)]
pub struct ImportRows {
    text: Bytes,
    layout: Layout,
    count: usize,
    /// The encoding, if it can differ between files.
    pub encoding: Option<Encoding>,
    /// Ignored columns; in JSON, ignored fields.
    pub ignored_columns: Vec<String>,
}

/// The layout of the rows in the text.
#[derive(Debug, Clone)]
enum Layout {
    /// A list, or an object with a list under `data` or this name.
    Json(&'static str),
    Csv {
        delimiter: char,
        /// The line number of the column names. A `sep=` line may precede it.
        first: usize,
        /// The field of each column, if the column matches one.
        columns: Vec<Option<CsvField>>,
    },
}

/// The UTF-8 byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Characters that may separate cells.
const DELIMITERS: [char; 3] = [',', ';', '\t'];

/// Maximum ignored columns that a response lists.
const MOST_IGNORED: usize = 100;

impl ImportRows {
    /// Finds the rows of `T` in a text, or returns what is wrong with the whole text. In JSON the rows may be under
    /// `name`.
    pub fn find<T: JsonSchema>(text: Bytes, format: Format, name: &'static str) -> Result<Self> {
        match format {
            Format::Json => Self::find_json::<T>(text, name),
            Format::Csv => Self::find_csv::<T>(text),
        }
    }

    fn find_json<T: JsonSchema>(text: Bytes, name: &'static str) -> Result<Self> {
        let text = if text.starts_with(MARK) { text.slice(MARK.len()..) } else { text };
        if std::str::from_utf8(&text).is_err() {
            return Err(Error::invalid("The file must be text in UTF-8."));
        }
        let known: Vec<String> = CsvField::all::<T>().into_iter().map(|field| field.name).collect();
        let (mut count, mut ignored_columns) = (0, Vec::<String>::new());
        json_items(&text, name, &mut |ColumnNames(names)| {
            count += 1;
            for name in names {
                let is_read = known.contains(&name) || json_body::KEPT_BY_SERVER.contains(&name.as_str());
                if !is_read && ignored_columns.len() < MOST_IGNORED && !ignored_columns.contains(&name) {
                    ignored_columns.push(name);
                }
            }
            Ok(())
        })?;
        Ok(Self { text, layout: Layout::Json(name), count, encoding: None, ignored_columns })
    }

    fn find_csv<T: JsonSchema>(text: Bytes) -> Result<Self> {
        let (text, encoding) = charset::decode_to_utf8(text)?;
        // DOS ended files with this mark, and some programs still do.
        let end = text.trim_ascii_end().strip_suffix(b"\x1A").map_or(text.len(), <[u8]>::len);
        let mut text = text.slice(..end);
        let said = declared_delimiter(utf_8(&text)?);
        if let Some((_, length)) = said {
            text = text.slice(length..);
        }
        let first = if said.is_some() { 2 } else { 1 };
        let delimiters = said.map_or(DELIMITERS.to_vec(), |(delimiter, _)| vec![delimiter]);
        let header = CsvHeader::find(utf_8(&text)?, &delimiters, first, &CsvField::all::<T>())?;
        let layout = Layout::Csv { delimiter: header.delimiter, first, columns: header.columns };
        let mut rows = Self { text, layout, count: 0, encoding: Some(encoding), ignored_columns: Vec::new() };
        let (mut count, mut filled) = (0, vec![false; header.names.len()]);
        for row in rows.csv_rows()? {
            count += 1;
            match row {
                CsvRow::Unclosed(line) => {
                    let said = format!("The row that begins in line {line} has a quote that is not closed.");
                    return Err(Error::invalid(said));
                }
                CsvRow::Cells(cells) => {
                    let is_filled = cells.iter().map(|cell| !cell.chars().all(is_blank));
                    filled.iter_mut().zip(is_filled).for_each(|(filled, is)| *filled |= is);
                }
                CsvRow::Misquoted => {}
            }
        }
        rows.count = count;
        // A column without a name is reported only if it has content: spreadsheets write empty ones.
        let ignored = header.names.into_iter().zip(header.is_known).zip(filled).enumerate();
        let ignored =
            ignored.filter(|(_, ((name, is_known), is_filled))| !is_known && (*is_filled || !name.is_empty()));
        let named = |(place, ((name, _), _)): (usize, ((String, bool), bool))| {
            if name.is_empty() { format!("column {}", place + 1) } else { name }
        };
        rows.ignored_columns = ignored.map(named).take(MOST_IGNORED).collect();
        Ok(rows)
    }

    /// Removes fields that are not given. In JSON, null means that. In CSV, an empty cell clears the field.
    pub fn without_nulls(&self, mut row: ImportRow) -> ImportRow {
        if let Layout::Json(_) = self.layout {
            row.retain(|_, value| !value.is_null());
        }
        row
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Calls `work` with each row, or with the sentence that says why it is not a row.
    pub fn for_each(&self, mut work: impl FnMut(Result<ImportRow, String>) -> Result<()>) -> Result<()> {
        match &self.layout {
            Layout::Json(name) => json_items(&self.text, name, &mut |item| {
                work(match item {
                    Value::Object(mut row) => {
                        row.values_mut().for_each(json_body::normalize_integers);
                        Ok(row)
                    }
                    _ => Err("The row must be an object.".to_owned()),
                })
            }),
            Layout::Csv { columns, .. } => self.csv_rows()?.try_for_each(|row| work(read(row, columns))),
        }
    }

    /// The rows below the column names.
    fn csv_rows(&self) -> Result<CsvText<'_>> {
        let Layout::Csv { delimiter, first, .. } = &self.layout else {
            return Err(Error::Internal("rows of JSON were read as CSV".into()));
        };
        let mut rows = CsvText::new(utf_8(&self.text)?, *delimiter, *first);
        rows.next();
        Ok(rows)
    }
}

/// The text is known to be UTF-8.
fn utf_8(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|error| Error::Internal(error.to_string()))
}

/// The delimiter in a first line `sep=;`, which Excel reads and writes, and the length of that line in bytes.
fn declared_delimiter(text: &str) -> Option<(char, usize)> {
    let line = text.split_inclusive(['\n', '\r']).next()?;
    let said = line.trim_end_matches(['\n', '\r']).trim_matches('"');
    let is_said = said.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("sep="));
    let mut delimiter = said.get(4..).filter(|_| is_said)?.chars();
    let only = delimiter.next().filter(|c| !matches!(c, '"'))?;
    // The line feed of a CRLF is not part of `line`.
    let length = if text[line.len()..].starts_with('\n') && line.ends_with('\r') { line.len() + 1 } else { line.len() };
    delimiter.next().is_none().then_some((only, length))
}

/// The line with the column names.
struct CsvHeader {
    delimiter: char,
    names: Vec<String>,
    columns: Vec<Option<CsvField>>,
    is_known: Vec<bool>,
}

impl CsvHeader {
    /// Parses the first line. Uses the delimiter that finds the most fields.
    fn find(text: &str, delimiters: &[char], line: usize, fields: &[CsvField]) -> Result<Self> {
        let mut best: Option<Self> = None;
        for delimiter in delimiters {
            let names: Vec<String> = match CsvText::new(text, *delimiter, line).next() {
                Some(CsvRow::Cells(cells)) => cells.iter().map(|cell| cell.trim_matches(is_blank).to_owned()).collect(),
                _ => continue,
            };
            let field = |name: &String| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).cloned();
            let columns: Vec<Option<CsvField>> = names.iter().map(field).collect();
            let is_known: Vec<bool> = columns.iter().map(Option::is_some).collect();
            let header = Self { delimiter: *delimiter, names, columns, is_known };
            if best.as_ref().is_none_or(|best| header.known() > best.known()) {
                best = Some(header);
            }
        }
        let Some(header) = best.filter(|header| header.known() > 0) else {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            return Err(Error::invalid(format!(
                "The first line must contain column names; they may be {}.",
                names.join(", ")
            )));
        };
        let is_doubled =
            |field: &&CsvField| header.columns.iter().flatten().filter(|column| column.name == field.name).count() > 1;
        match fields.iter().find(is_doubled) {
            Some(field) => Err(Error::invalid(format!("The column {} is repeated.", field.name))),
            None => Ok(header),
        }
    }

    fn known(&self) -> usize {
        self.is_known.iter().filter(|is| **is).count()
    }
}

/// The fields of a CSV row.
fn read(row: CsvRow<'_>, columns: &[Option<CsvField>]) -> Result<ImportRow, String> {
    let CsvRow::Cells(cells) = row else {
        return Err("The row has a misplaced quote. A value with quotes must be quoted, and its quotes doubled.".into());
    };
    if cells.iter().skip(columns.len()).any(|cell| !cell.chars().all(is_blank)) {
        return Err(format!("The row has {} cells, but there are {} columns.", cells.len(), columns.len()));
    }
    let cells = cells.iter().zip(columns).filter_map(|(cell, field)| Some((field.as_ref()?, cell)));
    Ok(cells.filter_map(|(field, cell)| Some((field.name.clone(), field.read(cell)?))).collect())
}

/// The field names of a row. Empty if the row is not an object.
struct ColumnNames(Vec<String>);

impl<'de> Deserialize<'de> for ColumnNames {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = ColumnNames;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<ColumnNames, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = object.next_key::<String>()? {
            object.next_value::<IgnoredAny>()?;
            names.push(name);
        }
        Ok(ColumnNames(names))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ColumnNames, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(ColumnNames(Vec::new()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<ColumnNames, E> {
        Ok(ColumnNames(Vec::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<ColumnNames, E> {
        Ok(ColumnNames(Vec::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<ColumnNames, E> {
        Ok(ColumnNames(Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<ColumnNames, E> {
        Ok(ColumnNames(Vec::new()))
    }

    fn visit_str<E>(self, _: &str) -> Result<ColumnNames, E> {
        Ok(ColumnNames(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<ColumnNames, E> {
        Ok(ColumnNames(Vec::new()))
    }
}

/// Calls `work` with each item of a list: the document itself, or its value under `data` or `name`.
fn json_items<V>(text: &[u8], name: &str, work: &mut dyn FnMut(V) -> Result<()>) -> Result<()>
where
    V: for<'de> Deserialize<'de>,
{
    let mut stopped = None;
    let mut document = serde_json::Deserializer::from_slice(text);
    let items = RowItems { name: Some(name), work, stopped: &mut stopped, of: PhantomData };
    let read = items.deserialize(&mut document).and_then(|()| document.end());
    match (stopped, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_data() => {
            Err(Error::invalid(format!("The body must be a list of rows, or an object with one under data or {name}.")))
        }
        (None, Err(error)) => Err(Error::MalformedJson(error.to_string())),
    }
}

/// Reads a list item by item without keeping the items.
struct RowItems<'w, V> {
    /// The name that the list may have besides `data`. `None` for the list itself.
    name: Option<&'w str>,
    work: &'w mut dyn FnMut(V) -> Result<()>,
    /// The error that stopped the work.
    stopped: &'w mut Option<Error>,
    of: PhantomData<V>,
}

impl<'de, V: Deserialize<'de>> DeserializeSeed<'de> for RowItems<'_, V> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, V: Deserialize<'de>> Visitor<'de> for RowItems<'_, V> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element()? {
            if let Err(error) = (self.work)(item) {
                *self.stopped = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let (name, mut lists, mut places) = (self.name, 0, 0);
        while let Some(field) = object.next_key::<Cow<'_, str>>()? {
            if json_body::is_index(&field) && lists == 0 {
                // A list with gaps, as PHP encodes it.
                places += 1;
                let item = object.next_value()?;
                if let Err(error) = (self.work)(item) {
                    *self.stopped = Some(error);
                    return Err(A::Error::custom("stopped"));
                }
            } else if name.is_some_and(|name| field == "data" || field == name) {
                let (work, stopped) = (&mut *self.work, &mut *self.stopped);
                object.next_value_seed(RowItems { name: None, work, stopped, of: PhantomData })?;
                lists += 1;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        if lists + usize::from(places > 0) == 1 { Ok(()) } else { Err(A::Error::custom("none or several lists")) }
    }
}

#[cfg(test)]
mod tests;

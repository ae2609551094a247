//! Rows of an import file: a JSON list, or lines of CSV below a line of names. The text is in memory once, and only one
//! row at a time is parsed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::marker::PhantomData;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::charset::{self, Encoding};
use super::csv_cell::{self, CsvField};
use super::csv_text::{CsvRow, CsvText, is_blank};
use super::error::{Error, Result};
use super::json_body;
use super::media_type::Format;

/// The fields of a row.
pub type ImportRow = Map<String, Value>;

/// A text that is known to be a valid file, with its columns. Its rows are not validated.
#[derive(Debug, Clone)]
pub struct ImportText {
    text: Bytes,
    layout: Layout,
    count: usize,
    /// The encoding, if it can differ between files.
    pub encoding: Option<Encoding>,
    /// In JSON, the names of the fields of all rows.
    pub columns: Vec<FileColumn>,
}

/// A column of a file.
#[derive(Debug, Clone)]
pub struct FileColumn {
    /// The name in the file. A CSV column may have none.
    pub name: String,
    /// Whether a row has a value in the column.
    is_filled: bool,
}

/// The layout of the rows in the text.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// A list, or an object with a list under `data` or this name.
    Json(&'static str),
    Csv {
        delimiter: char,
        /// The line number of the column names. A `sep=` line may precede it.
        first: usize,
    },
}

/// The rows of a text, with the fields of its columns.
#[derive(Debug, Clone)]
pub struct ImportRows {
    text: ImportText,
    /// The field of each column, if it has one.
    fields: Vec<Option<CsvField>>,
    /// Whether the names of the fields in JSON differ from those in the rows.
    is_renamed: bool,
    /// Ignored columns; in JSON, ignored fields.
    pub ignored_columns: Vec<String>,
}

/// A row of a file.
pub struct FileRow<'f> {
    /// The number of the row, from 1.
    pub number: usize,
    /// The line in which the row begins. In JSON, the number of the row.
    pub line: usize,
    pub source: RowSource<'f>,
    /// The fields, or the sentence that says why it is not a row.
    pub fields: Result<ImportRow, String>,
}

/// A row as it is in the file.
#[derive(Clone, Copy)]
pub enum RowSource<'f> {
    Cells(&'f [Cow<'f, str>]),
    /// A row of CSV with a misplaced quote: no cell boundaries are known.
    Line(&'f str),
    Json(&'f Value),
}

/// A row that outlives the reading of its file.
pub struct KeptRow {
    number: usize,
    line: usize,
    source: KeptSource,
    fields: Result<ImportRow, String>,
}

enum KeptSource {
    Cells(Vec<Cow<'static, str>>),
    Line(String),
    Json(Value),
}

/// The UTF-8 byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Characters that may separate cells.
const DELIMITERS: [char; 3] = [',', ';', '\t'];

/// Maximum ignored columns that a response lists.
const MOST_IGNORED: usize = 100;

/// Maximum field names that are collected from JSON. Further names are ignored.
const MOST_NAMES: usize = 1000;

impl ImportText {
    /// Finds rows and columns of a text, or returns what is wrong with the whole text. The column names decide which
    /// delimiter CSV has: the one with the most names that `is_known` accepts. In JSON the rows may be under `name`.
    pub fn read(text: Bytes, format: Format, name: &'static str, is_known: &dyn Fn(&str) -> bool) -> Result<Self> {
        match format {
            Format::Json => Self::read_json(text, name),
            Format::Csv => Self::read_csv(text, is_known),
        }
    }

    fn read_json(text: Bytes, name: &'static str) -> Result<Self> {
        let text = if text.starts_with(MARK) { text.slice(MARK.len()..) } else { text };
        if std::str::from_utf8(&text).is_err() {
            return Err(Error::invalid("The file must be text in UTF-8."));
        }
        let (mut count, mut columns, mut seen) = (0, Vec::new(), HashSet::new());
        json_items(&text, name, &mut |ColumnNames(names)| {
            count += 1;
            for name in names {
                if seen.len() < MOST_NAMES && seen.insert(name.clone()) {
                    columns.push(FileColumn { name, is_filled: true });
                }
            }
            Ok(())
        })?;
        Ok(Self { text, layout: Layout::Json(name), count, encoding: None, columns })
    }

    fn read_csv(text: Bytes, is_known: &dyn Fn(&str) -> bool) -> Result<Self> {
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
        let (delimiter, names) = csv_header(utf_8(&text)?, &delimiters, first, is_known);
        let columns = names.into_iter().map(|name| FileColumn { name, is_filled: false }).collect();
        let layout = Layout::Csv { delimiter, first };
        let mut read = Self { text, layout, count: 0, encoding: Some(encoding), columns };
        let (mut count, mut filled) = (0, vec![false; read.columns.len()]);
        for row in read.csv_rows(delimiter, first)? {
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
        read.count = count;
        read.columns.iter_mut().zip(filled).for_each(|(column, is)| column.is_filled = is);
        Ok(read)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The character between the cells of a CSV file.
    pub fn delimiter(&self) -> Option<char> {
        match self.layout {
            Layout::Csv { delimiter, .. } => Some(delimiter),
            Layout::Json(_) => None,
        }
    }

    /// The first rows, with a text for each column.
    pub fn sample(&self, most: usize) -> Result<Vec<Vec<String>>> {
        let mut sample = Vec::new();
        match self.layout {
            Layout::Csv { delimiter, first } => {
                let mut rows = self.csv_rows(delimiter, first)?;
                while sample.len() < most
                    && let Some(row) = rows.next()
                {
                    sample.push(RowSource::of(&row, &rows).texts(&self.columns));
                }
            }
            Layout::Json(name) => {
                // The text is valid. The error only ends the reading.
                let _ = json_items(&self.text, name, &mut |item: Value| {
                    sample.push(RowSource::Json(&item).texts(&self.columns));
                    if sample.len() < most { Ok(()) } else { Err(Error::not_found()) }
                });
            }
        }
        Ok(sample)
    }

    /// The rows, with these fields in the order of the columns.
    pub fn into_rows(self, fields: Vec<Option<CsvField>>) -> ImportRows {
        ImportRows { text: self, fields, is_renamed: true, ignored_columns: Vec::new() }
    }

    /// The rows below the column names.
    fn csv_rows(&self, delimiter: char, first: usize) -> Result<CsvText<'_>> {
        let mut rows = CsvText::new(utf_8(&self.text)?, delimiter, first);
        rows.next();
        Ok(rows)
    }
}

impl ImportRows {
    /// Finds the rows of `T` in a text. A column has the name of the field that it contains.
    pub fn find<T: JsonSchema>(text: Bytes, format: Format, name: &'static str) -> Result<Self> {
        let known = CsvField::all::<T>();
        let named = |name: &str| known.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        let text = ImportText::read(text, format, name, &|name| named(name).is_some())?;
        let fields: Vec<Option<CsvField>> = match format {
            Format::Csv => text.columns.iter().map(|column| named(&column.name).cloned()).collect(),
            Format::Json => {
                let exact = |name: &String| known.iter().find(|field| field.name == *name).cloned();
                text.columns.iter().map(|column| exact(&column.name)).collect()
            }
        };
        if format == Format::Csv {
            if fields.iter().all(Option::is_none) {
                let names: Vec<&str> = known.iter().map(|field| field.name.as_str()).collect();
                let said = format!("The first line must contain column names; they may be {}.", names.join(", "));
                return Err(Error::invalid(said));
            }
            let is_doubled =
                |field: &&CsvField| fields.iter().flatten().filter(|column| column.name == field.name).count() > 1;
            if let Some(field) = known.iter().find(is_doubled) {
                return Err(Error::invalid(format!("The column {} is repeated.", field.name)));
            }
        }
        // A column without a name is reported only if it has content: spreadsheets write empty ones.
        let ignored = text.columns.iter().zip(&fields).enumerate().filter(|(_, (column, field))| {
            let is_kept = format == Format::Json && json_body::KEPT_BY_SERVER.contains(&column.name.as_str());
            field.is_none() && !is_kept && (column.is_filled || !column.name.is_empty())
        });
        let named = |(place, (column, _)): (usize, (&FileColumn, _))| match column.name.as_str() {
            "" => format!("column {}", place + 1),
            name => name.to_owned(),
        };
        let ignored_columns = ignored.map(named).take(MOST_IGNORED).collect();
        Ok(Self { text, fields, is_renamed: false, ignored_columns })
    }

    /// Removes fields that are not given. In JSON, null means that. In CSV, an empty cell clears the field.
    pub fn without_nulls(&self, mut row: ImportRow) -> ImportRow {
        if let Layout::Json(_) = self.text.layout {
            row.retain(|_, value| !value.is_null());
        }
        row
    }

    pub fn count(&self) -> usize {
        self.text.count
    }

    pub fn encoding(&self) -> Option<Encoding> {
        self.text.encoding
    }

    /// Calls `work` with each row.
    pub fn for_each(&self, mut work: impl FnMut(FileRow<'_>) -> Result<()>) -> Result<()> {
        let mut number = 0;
        match self.text.layout {
            Layout::Json(name) => json_items(&self.text.text, name, &mut |item| {
                number += 1;
                let fields = self.json_fields(&item);
                work(FileRow { number, line: number, source: RowSource::Json(&item), fields })
            }),
            Layout::Csv { delimiter, first } => {
                let mut rows = self.text.csv_rows(delimiter, first)?;
                while let Some(row) = rows.next() {
                    number += 1;
                    let (source, fields) = (RowSource::of(&row, &rows), read(&row, &self.fields));
                    work(FileRow { number, line: rows.row_line(), source, fields })?;
                }
                Ok(())
            }
        }
    }

    fn json_fields(&self, item: &Value) -> Result<ImportRow, String> {
        let Value::Object(row) = item else { return Err("The row must be an object.".to_owned()) };
        let mut fields: ImportRow = match self.is_renamed {
            false => row.clone(),
            true => {
                let columns = self.text.columns.iter().zip(&self.fields);
                let named = columns
                    .filter_map(|(column, field)| Some((field.as_ref()?.name.clone(), row.get(&column.name)?.clone())));
                named.collect()
            }
        };
        fields.values_mut().for_each(json_body::normalize_integers);
        Ok(fields)
    }

    /// The column of a field, and its text in a row.
    pub fn cell(&self, source: RowSource<'_>, field: &str) -> Option<(&str, String)> {
        let is_field = |known: &Option<CsvField>| known.as_ref().is_some_and(|known| known.name == field);
        let at = self.fields.iter().position(is_field)?;
        let column = self.text.columns.get(at)?;
        let text = match source {
            RowSource::Cells(cells) => cells.get(at).map_or_else(String::new, |cell| cell.to_string()),
            RowSource::Line(line) => line.to_owned(),
            RowSource::Json(row) => json_text(&row[column.name.as_str()]),
        };
        Some((&column.name, text))
    }

    /// The names of the fields that columns have.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().flatten().map(|field| field.name.as_str())
    }

    pub fn columns(&self) -> &[FileColumn] {
        &self.text.columns
    }

    pub fn delimiter(&self) -> Option<char> {
        self.text.delimiter()
    }
}

impl FileRow<'_> {
    pub fn keep(self) -> KeptRow {
        let Self { number, line, source, fields } = self;
        let source = match source {
            RowSource::Cells(cells) => {
                KeptSource::Cells(cells.iter().map(|cell| Cow::Owned(cell.to_string())).collect())
            }
            RowSource::Line(line) => KeptSource::Line(line.to_owned()),
            RowSource::Json(row) => KeptSource::Json(row.clone()),
        };
        KeptRow { number, line, source, fields }
    }
}

impl KeptRow {
    pub fn row(&self) -> FileRow<'_> {
        let source = match &self.source {
            KeptSource::Cells(cells) => RowSource::Cells(cells),
            KeptSource::Line(line) => RowSource::Line(line),
            KeptSource::Json(row) => RowSource::Json(row),
        };
        FileRow { number: self.number, line: self.line, source, fields: self.fields.clone() }
    }
}

impl<'f> RowSource<'f> {
    /// The last row of a CSV text.
    fn of(row: &'f CsvRow<'f>, text: &CsvText<'f>) -> Self {
        match row {
            CsvRow::Cells(cells) => Self::Cells(cells),
            CsvRow::Misquoted | CsvRow::Unclosed(_) => Self::Line(text.row_text()),
        }
    }

    /// A text for each column.
    fn texts(self, columns: &[FileColumn]) -> Vec<String> {
        match self {
            Self::Cells(cells) => {
                (0..columns.len()).map(|at| cells.get(at).map_or_else(String::new, |cell| cell.to_string())).collect()
            }
            Self::Line(line) => vec![line.to_owned()],
            Self::Json(row) => columns.iter().map(|column| json_text(&row[column.name.as_str()])).collect(),
        }
    }

    /// Cells of a CSV file that is read as the row is, and in which a spreadsheet runs nothing. There are more cells than
    /// columns if the row has more.
    pub fn cells(self, columns: &[FileColumn]) -> Vec<String> {
        match self {
            Self::Cells(cells) => cells.iter().map(|cell| csv_cell::rewrite(cell)).collect(),
            Self::Line(line) => vec![csv_cell::write(line.into())],
            Self::Json(Value::Object(row)) => {
                let value = |column: &FileColumn| row.get(&column.name).cloned().unwrap_or_default();
                columns.iter().map(|column| csv_cell::write(value(column))).collect()
            }
            Self::Json(item) => vec![csv_cell::write(item.clone())],
        }
    }
}

/// A JSON value as people read it.
fn json_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
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

/// The column names in the first line. The delimiter is the one that finds the most known names, and then the most names.
fn csv_header(text: &str, delimiters: &[char], line: usize, is_known: &dyn Fn(&str) -> bool) -> (char, Vec<String>) {
    let mut best = ((0, 0), delimiters.first().copied().unwrap_or(','), Vec::new());
    for delimiter in delimiters {
        let names: Vec<String> = match CsvText::new(text, *delimiter, line).next() {
            Some(CsvRow::Cells(cells)) => cells.iter().map(|cell| cell.trim_matches(is_blank).to_owned()).collect(),
            _ => continue,
        };
        let found = (names.iter().filter(|name| is_known(name)).count(), names.len());
        if found > best.0 {
            best = (found, *delimiter, names);
        }
    }
    (best.1, best.2)
}

/// The fields of a CSV row.
fn read(row: &CsvRow<'_>, columns: &[Option<CsvField>]) -> Result<ImportRow, String> {
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

//! Rows of a file: a JSON list, or lines of CSV under a line of names. They are read one by one out of the text, which is
//! in memory once: of the rows there is never more than one.

use std::borrow::Cow;
use std::io::Read;
use std::marker::PhantomData;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::body;
use super::cell::Field;
use super::error::{Error, Result};
use super::export::Format;

/// What a row says of its fields.
pub type Row = Map<String, Value>;

/// The rows in a text that was found to be a file of them. Whether they are good is for others to say.
#[derive(Debug, Clone)]
pub struct Rows {
    text: Bytes,
    layout: Layout,
    count: usize,
}

/// How rows lie in the text.
#[derive(Debug, Clone)]
enum Layout {
    /// A list, or an object that has one under `data` or this name.
    Json(&'static str),
    Csv {
        delimiter: u8,
        /// The field that each column is of, where it is of one.
        columns: Vec<Option<Field>>,
    },
}

/// The byte-order mark that some programs begin UTF-8 with.
const MARK: &[u8] = b"\xEF\xBB\xBF";

impl Rows {
    /// The rows of `T` in a text, or what is wrong with it as a whole. In JSON they may be under the name.
    pub fn find<T: JsonSchema>(text: Bytes, format: Format, name: &'static str) -> Result<Self> {
        let text = if text.starts_with(MARK) { text.slice(MARK.len()..) } else { text };
        if std::str::from_utf8(&text).is_err() {
            return Err(Error::invalid("The file must be text in UTF-8."));
        }
        let layout = match format {
            Format::Json => Layout::Json(name),
            Format::Csv => columns(&text, &Field::all::<T>())?,
        };
        let mut rows = Self { text, layout, count: 0 };
        rows.count = rows.check()?;
        Ok(rows)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Does something with each row; or with the sentence that says why it is none.
    pub fn each(&self, mut work: impl FnMut(Result<Row, String>) -> Result<()>) -> Result<()> {
        match &self.layout {
            Layout::Json(name) => json_items(&self.text, name, &mut |item| {
                work(match item {
                    Value::Object(mut row) => {
                        row.values_mut().for_each(body::whole_numbers);
                        Ok(row)
                    }
                    _ => Err("The row must be an object.".to_owned()),
                })
            }),
            Layout::Csv { delimiter, columns } => {
                let mut reader = csv_reader(&*self.text, *delimiter);
                let mut record = csv::StringRecord::new();
                reader.read_record(&mut record).map_err(unreadable)?;
                while reader.read_record(&mut record).map_err(unreadable)? {
                    work(if record.len() > columns.len() {
                        Err(format!("The row has {} cells, and there are {} columns.", record.len(), columns.len()))
                    } else {
                        Ok(row(&record, columns))
                    })?;
                }
                Ok(())
            }
        }
    }

    /// A quick pass in which nothing is kept: whether all of it can be read, and how many rows there are.
    fn check(&self) -> Result<usize> {
        let mut count = 0;
        match &self.layout {
            Layout::Json(name) => json_items(&self.text, name, &mut |_: IgnoredAny| {
                count += 1;
                Ok(())
            })?,
            Layout::Csv { delimiter, .. } => {
                // One more row behind the end: a quote that is not closed swallows it.
                let mut reader = csv_reader((&*self.text).chain(&b"\n#"[..]), *delimiter);
                let (mut record, mut line, mut is_behind) = (csv::ByteRecord::new(), 0, false);
                while reader.read_byte_record(&mut record).map_err(unreadable)? {
                    line = record.position().map_or(line, csv::Position::line);
                    is_behind = record == [&b"#"[..]][..];
                    count += 1;
                }
                if !is_behind {
                    let said = format!("The row that begins in line {line} has a quote that is not closed.");
                    return Err(Error::invalid(said));
                }
                // Neither the names nor the row behind the end.
                count -= 2;
            }
        }
        Ok(count)
    }
}

/// The columns that the first line names, by the delimiter with which it names more of the fields.
fn columns(text: &[u8], fields: &[Field]) -> Result<Layout> {
    let named = |delimiter| -> Result<Vec<Option<Field>>> {
        let mut names = csv::StringRecord::new();
        csv_reader(text, delimiter).read_record(&mut names).map_err(unreadable)?;
        let field = |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name.trim())).cloned();
        Ok(names.iter().map(field).collect())
    };
    let known = |columns: &[Option<Field>]| columns.iter().flatten().count();
    let (commas, semicolons) = (named(b',')?, named(b';')?);
    let (delimiter, columns) = if known(&semicolons) > known(&commas) { (b';', semicolons) } else { (b',', commas) };
    if known(&columns) == 0 {
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        return Err(Error::invalid(format!("The first line must name columns; they may be {}.", names.join(", "))));
    }
    let is_doubled = |field: &&Field| columns.iter().flatten().filter(|column| column.name == field.name).count() > 1;
    match fields.iter().find(is_doubled) {
        Some(field) => Err(Error::invalid(format!("The column {} is there more than once.", field.name))),
        None => Ok(Layout::Csv { delimiter, columns }),
    }
}

fn row(record: &csv::StringRecord, columns: &[Option<Field>]) -> Row {
    let cells = record.iter().zip(columns).filter_map(|(cell, field)| Some((field.as_ref()?, cell)));
    cells.filter_map(|(field, cell)| Some((field.name.clone(), field.read(cell)?))).collect()
}

fn csv_reader<R: Read>(text: R, delimiter: u8) -> csv::Reader<R> {
    csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text)
}

/// The text is in memory and in UTF-8, and rows may have any number of cells: there is nothing else to complain of.
fn unreadable(error: csv::Error) -> Error {
    Error::Internal(error.to_string())
}

/// Hands over each item of the list that a document is, or has under `data` or a name.
fn json_items<V>(text: &[u8], name: &str, work: &mut dyn FnMut(V) -> Result<()>) -> Result<()>
where
    V: for<'de> Deserialize<'de>,
{
    let mut stopped = None;
    let mut document = serde_json::Deserializer::from_slice(text);
    let items = Items { name: Some(name), work, stopped: &mut stopped, of: PhantomData };
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

/// Reads a list and keeps nothing of it.
struct Items<'w, V> {
    /// What the list may be under besides `data`; nothing where this is what is under it.
    name: Option<&'w str>,
    work: &'w mut dyn FnMut(V) -> Result<()>,
    /// Why the work does not want to go on.
    stopped: &'w mut Option<Error>,
    of: PhantomData<V>,
}

impl<'de, V: Deserialize<'de>> DeserializeSeed<'de> for Items<'_, V> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, V: Deserialize<'de>> Visitor<'de> for Items<'_, V> {
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
        let Some(name) = self.name else { return Err(A::Error::custom("an object where the list should be")) };
        let mut lists = 0;
        while let Some(field) = object.next_key::<Cow<'_, str>>()? {
            if field == "data" || field == name {
                let (work, stopped) = (&mut *self.work, &mut *self.stopped);
                object.next_value_seed(Items { name: None, work, stopped, of: PhantomData })?;
                lists += 1;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        if lists == 1 { Ok(()) } else { Err(A::Error::custom("none or several lists")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "a description, never a value")]
    struct Person {
        last_name: String,
        note: Option<String>,
    }

    fn find(text: &[u8], format: Format) -> Result<Rows> {
        Rows::find::<Person>(Bytes::copy_from_slice(text), format, "people")
    }

    fn rows(text: &[u8], format: Format) -> Vec<Value> {
        let rows = find(text, format).unwrap();
        let mut read = Vec::new();
        let each = rows.each(|row| {
            read.push(row.map_or_else(Value::String, Value::Object));
            Ok(())
        });
        each.unwrap();
        assert_eq!(rows.count(), read.len());
        read
    }

    fn refused(text: &[u8], format: Format) -> String {
        find(text, format).unwrap_err().sentences().join(" ")
    }

    #[test]
    fn json_is_a_list_or_has_one() {
        let ada = [json!({"last_name": "Ada"})];
        for text in [
            r#"[{"last_name":"Ada"}]"#,
            "\u{feff} [ {\"last_name\":\"Ada\"} ] ",
            r#"{"data":[{"last_name":"Ada"}],"total":1}"#,
            r#"{"path":"x","people":[{"last_name":"Ada"}]}"#,
        ] {
            assert_eq!(rows(text.as_bytes(), Format::Json), ada, "{text}");
        }
        assert!(rows(b"[]", Format::Json).is_empty());
        let odd = [json!("The row must be an object."), json!({"id": 1})];
        assert_eq!(rows(br#"[1,{"id":1.0}]"#, Format::Json), odd);
    }

    #[test]
    fn json_without_a_list_or_with_two_is_refused_and_so_is_what_is_no_json() {
        for text in ["{}", r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"data":[],"people":[]}"#, "1", "null", "\"x\""] {
            let said = refused(text.as_bytes(), Format::Json);
            assert_eq!(said, "The body must be a list of rows, or an object with one under data or people.", "{text}");
        }
        for text in ["", "[{]", "[] []", "[{\"last_name\":\"A\"},", r#"{"data":[}"#] {
            assert!(refused(text.as_bytes(), Format::Json).contains("not valid JSON"), "{text}");
        }
    }

    #[test]
    fn csv_has_a_line_of_names_in_any_order_and_commas_or_semicolons() {
        let two = [json!({"last_name": "Ada", "note": "a, b;\r\nc"}), json!({"last_name": "Bo", "note": null})];
        for text in [
            "last_name,note\r\nAda,\"a, b;\r\nc\"\r\nBo,\r\n",
            "\u{feff}note;last_name\n\"a, b;\r\nc\";Ada\n;Bo",
            "other,note, Last_Name \nx,\"a, b;\r\nc\",Ada\n\nx,,Bo\n",
        ] {
            assert_eq!(rows(text.as_bytes(), Format::Csv), two, "{text}");
        }
        let uneven = [json!({"last_name": "Ada"}), json!("The row has 3 cells, and there are 2 columns.")];
        assert_eq!(rows(b"last_name,note\nAda\nBo,x,y", Format::Csv), uneven);
        assert!(rows(b"last_name\n", Format::Csv).is_empty());
    }

    #[test]
    fn csv_that_cannot_be_meant_is_refused_as_a_whole() {
        let names = "The first line must name columns; they may be last_name, note.";
        for (text, says) in [
            (&b""[..], names),
            (b"Ada,Bo\n1,2", names),
            (b"last_name,note,Note\n", "The column note is there more than once."),
            (b"last_name\nAda\n\"Bo\n#\n", "The row that begins in line 3 has a quote that is not closed."),
            (b"last_name\nZo\xE9\n", "The file must be text in UTF-8."),
            (b"\xFF\xFEl\0a\0", "The file must be text in UTF-8."),
        ] {
            assert_eq!(refused(text, Format::Csv), says, "{text:?}");
        }
    }
}

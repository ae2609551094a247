//! CSV cells: writes a field's value as text that a spreadsheet shows and does not run, and reads it back.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::csv_text::is_blank;
use crate::values::normalize::normalize;

/// Writes a value as a cell. Null is empty; objects and lists are JSON.
pub fn write(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => mark_text(&text),
        Value::Array(_) | Value::Object(_) => escaped(&value.to_string()),
        other => other.to_string(),
    }
}

/// Writes a cell of another file. It is read as before, and a spreadsheet does not run it.
pub fn rewrite(cell: &str) -> String {
    let runs = |piece: &str| piece.trim_start_matches([' ', '\u{a0}', '"']).starts_with(begins_formula);
    if !runs(cell) && !cell.split(splits_cells).any(runs) {
        return cell.to_owned();
    }
    match serde_json::from_str(cell) {
        Ok(json @ (Value::Array(_) | Value::Object(_))) => write(json),
        _ if cell.chars().all(is_blank) => String::new(),
        _ => mark_text(&unmark_text(cell)),
    }
}

/// Writes text as a cell. Readers trim blanks at the ends of a cell, so blanks that belong to the text get a `'` next
/// to them.
fn mark_text(text: &str) -> String {
    let mut cell = escape_formula(text);
    let inside = cell.trim_start_matches('\'');
    // `armed` already marks a leading tab or return, because it may begin a formula.
    if inside.starts_with(|c| is_blank(c) && !matches!(c, '\t' | '\r')) {
        cell.insert(0, '\'');
    }
    if cell.trim_end_matches('\'').ends_with(is_blank) {
        cell.push('\'');
    }
    cell
}

/// Reads text from a cell, with or without marks.
fn unmark_text(cell: &str) -> String {
    let mut cell = cell.trim_matches(is_blank);
    let inside = cell.trim_start_matches('\'');
    if inside.len() < cell.len() && inside.starts_with(|c| is_blank(c) && !matches!(c, '\t' | '\r')) {
        cell = &cell[1..];
    }
    let inside = cell.trim_end_matches('\'');
    if inside.len() < cell.len() && inside.ends_with(is_blank) {
        cell = &cell[..cell.len() - 1];
    }
    unescape_formula(cell)
}

/// Puts a `'` before everything that a spreadsheet would run as a formula: at the beginning, and after each character
/// at which a spreadsheet may split cells. Empty text gets a mark too, because an empty cell is null. Text that has
/// marks already gets one more, so removing one always restores the text.
fn escape_formula(text: &str) -> String {
    normalize_mark(text, |marks| marks + 1)
}

/// Removes these marks. A mark before a number is removed too: spreadsheets use it to keep a number as text.
fn unescape_formula(cell: &str) -> String {
    normalize_mark(cell, |marks| marks.saturating_sub(1))
}

/// Rewrites the number of marks at each place that may need one.
fn normalize_mark(text: &str, count: impl Fn(usize) -> usize) -> String {
    let mut written = String::with_capacity(text.len() + 1);
    let mut rest = text;
    loop {
        // Characters that a spreadsheet may drop before a formula.
        let begin = rest.find(|c| !matches!(c, ' ' | '\u{a0}' | '"')).unwrap_or(rest.len());
        written.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let unmarked = rest.trim_start_matches('\'');
        let marks = rest.len() - unmarked.len();
        let is_empty = unmarked.is_empty() && written.is_empty();
        let is_number = marks > 0 && written.is_empty() && unmarked.starts_with(|c: char| c.is_ascii_digit());
        let runs = is_empty || is_number || unmarked.starts_with(begins_formula);
        written.push_str(&"'".repeat(if runs { count(marks) } else { marks }));
        // A leading tab or return both begins a formula and splits cells.
        let end = unmarked.find(splits_cells).map_or(unmarked.len(), |at| at + 1);
        written.push_str(&unmarked[..end]);
        rest = &unmarked[end..];
        if end == 0 || !written.ends_with(splits_cells) {
            return written;
        }
    }
}

/// Escapes each character in the texts of a JSON value that would begin a formula (RFC 8259, 7).
fn escaped(json: &str) -> String {
    let mut written = String::with_capacity(json.len());
    let (mut in_text, mut begins) = (false, false);
    let mut characters = json.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                (in_text, begins) = (!in_text, true);
                written.push(c);
            }
            '\\' => {
                written.push(c);
                let escape = characters.next();
                written.extend(escape);
                // A formula may follow the characters that `\t`, `\n` and `\"` stand for.
                begins = matches!(escape, Some('t' | 'n' | 'r' | '"'));
            }
            _ if in_text && begins && begins_formula(c) => {
                written.push_str(&format!("\\u{:04x}", u32::from(c)));
                begins = false;
            }
            _ => {
                begins = splits_cells(c) || (begins && matches!(c, ' ' | '\u{a0}' | '\''));
                written.push(c);
            }
        }
    }
    written
}

fn begins_formula(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
}

/// Whether a spreadsheet may begin a new cell at this character. The delimiter depends on its country.
fn splits_cells(c: char) -> bool {
    matches!(c, ';' | ',' | '\t' | '\n' | '\r')
}

/// A field of a resource, taken from its schema. It decides how cells of its column are read.
#[derive(Debug, Clone)]
pub struct CsvField {
    pub name: String,
    may_be_null: bool,
    kind: CsvFieldKind,
}

/// The type of the values in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CsvFieldKind {
    Text,
    Integer,
    Boolean,
    /// An object, as JSON.
    Parts,
    /// A list, as JSON or as plain items separated by commas or semicolons.
    List,
}

impl CsvField {
    /// The fields of a resource, in order.
    pub fn all<T: JsonSchema>() -> Vec<Self> {
        let settings = SchemaSettings::draft2020_12().for_deserialize().with(|all| all.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties.map(|(name, schema)| Self::from_schema(name, schema)).collect()
    }

    fn from_schema(name: &str, schema: &Value) -> Self {
        let alternatives = schema["anyOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice);
        let types: Vec<&str> = alternatives.iter().flat_map(|schema| type_names(&schema["type"])).collect();
        let kind = match () {
            () if types.contains(&"object") => CsvFieldKind::Parts,
            () if types.contains(&"array") => CsvFieldKind::List,
            () if types.contains(&"boolean") => CsvFieldKind::Boolean,
            () if types.contains(&"integer") => CsvFieldKind::Integer,
            () => CsvFieldKind::Text,
        };
        Self { name: name.to_owned(), may_be_null: types.contains(&"null"), kind }
    }

    /// Reads a cell. Returns `None` if the cell is empty and the field cannot be null. A cell that cannot be read stays
    /// text, and validation of the field rejects it.
    pub fn read(&self, cell: &str) -> Option<Value> {
        let written = cell.trim_matches(is_blank);
        if written.is_empty() {
            return self.may_be_null.then_some(Value::Null);
        }
        let read = match self.kind {
            CsvFieldKind::Text => None,
            CsvFieldKind::Integer => integer(written).map(Value::from),
            CsvFieldKind::Boolean => boolean(written).map(Value::Bool),
            CsvFieldKind::Parts => serde_json::from_str(written).ok(),
            CsvFieldKind::List if written.starts_with('[') => serde_json::from_str(written).ok(),
            CsvFieldKind::List => {
                let written = unmark_text(written);
                let items = written.split([',', ';']).map(str::trim).filter(|item| !item.is_empty());
                Some(items.map(Value::from).collect())
            }
        };
        Some(read.unwrap_or_else(|| Value::String(unmark_text(cell))))
    }
}

/// Reads an integer. Programs write a column of numbers with gaps as `1.0`, in some countries as `1,0`.
fn integer(cell: &str) -> Option<i64> {
    let number = cell.strip_prefix('\'').unwrap_or(cell);
    let whole =
        number.split_once(['.', ',']).filter(|(_, zeros)| !zeros.is_empty() && zeros.bytes().all(|c| c == b'0'));
    whole.map_or(number, |(whole, _)| whole).parse().ok()
}

/// Reads true or false in English, French and German.
fn boolean(cell: &str) -> Option<bool> {
    match normalize(cell).as_str() {
        "true" | "yes" | "vrai" | "oui" | "wahr" | "ja" => Some(true),
        "false" | "no" | "faux" | "non" | "falsch" | "nein" => Some(false),
        number => match integer(number) {
            Some(1) => Some(true),
            Some(0) => Some(false),
            _ => None,
        },
    }
}

/// A schema's `type`: one word, or several.
fn type_names(types: &Value) -> impl Iterator<Item = &str> {
    let list = types.as_array().map_or(std::slice::from_ref(types), Vec::as_slice);
    list.iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::values::CustomFields;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "a description, never a value")]
    struct CellRow {
        name: String,
        note: Option<String>,
        seats: Option<i64>,
        active: bool,
        fields: CustomFields,
    }

    fn read(field: &str, cell: &str) -> Option<Value> {
        CsvField::all::<CellRow>().iter().find(|known| known.name == field).unwrap().read(cell)
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text_and_comes_back_as_it_was() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+33 1 42", "'+33 1 42"),
            ("-5", "'-5"),
            ("@x", "'@x"),
            ("'=1", "''=1"),
            ("\t=1", "'\t'=1"),
            ("'quoted'", "'quoted'"),
            ("plain - text", "plain - text"),
            ("", "'"),
            ("''", "'''"),
            ("Zz;=1+cmd|' /C calc'!A0", "Zz;'=1+cmd|' /C calc'!A0"),
            ("a,\"=1", "a,\"'=1"),
            ("a\n-1\t@x; +2", "a\n'-1\t'@x; '+2"),
            ("a;'=1", "a;''=1"),
            (" =1", "' '=1"),
            (" x ", "' x '"),
            ("' x", "'' x"),
            ("x '", "x ''"),
            (" ", "' '"),
            ("'0142", "''0142"),
            ("0142", "0142"),
            ("a;b, c", "a;b, c"),
        ] {
            assert_eq!(write(text.into()), cell);
            assert_eq!(read("note", cell), Some(text.into()), "{text}");
        }
    }

    #[test]
    fn json_in_a_cell_begins_no_formula_and_is_the_same_json() {
        let value = json!({"a": "x;=cmd", "b": ["=1", "-2", "plain"], "c": "\t+1 \"=2", "n": -5});
        let cell = write(value.clone());
        assert_eq!(read("fields", &cell), Some(value));
        for formula in [";=", "\"=", "\"-", "t+"] {
            assert!(!cell.contains(formula), "{cell}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_comes_back_and_runs_nowhere(text in "([=+@'; ,\\-\\t\\n\\r\"\u{a0}]|[a-c0-1]|\\PC){0,12}") {
            let cell = write(text.clone().into());
            proptest::prop_assert_eq!(read("note", &cell), Some(text.clone().into()), "{}", cell);
            let again = rewrite(&cell);
            proptest::prop_assert_eq!(read("note", &again), read("note", &cell));
            for piece in cell.split(splits_cells).chain(again.split(splits_cells)) {
                let begins = piece.trim_start_matches([' ', '\u{a0}', '"']);
                proptest::prop_assert!(!begins.starts_with(begins_formula), "{:?} of {:?}", cell, text);
            }
            let parts = json!({"a": text, "b": [text]});
            let cell = write(parts.clone());
            proptest::prop_assert_eq!(read("fields", &cell), Some(parts), "{}", cell);
        }
    }

    #[test]
    fn a_cell_is_what_its_field_takes() {
        for (field, cell, value) in [
            ("note", " x\u{a0}", Some(json!("x"))),
            ("note", "'0142000201", Some(json!("0142000201"))),
            ("note", "'+33142", Some(json!("+33142"))),
            ("note", "'x", Some(json!("'x"))),
            ("note", "12", Some(json!("12"))),
            ("note", "", Some(Value::Null)),
            ("name", "", None),
            ("seats", " 12 ", Some(json!(12))),
            ("seats", " ", Some(Value::Null)),
            ("seats", "many", Some(json!("many"))),
            ("active", "TRUE", Some(json!(true))),
            ("active", "0", Some(json!(false))),
            ("seats", "12.0", Some(json!(12))),
            ("seats", "'12", Some(json!(12))),
            ("seats", "12.5", Some(json!("12.5"))),
            ("active", "yes", Some(json!(true))),
            ("active", "VRAI", Some(json!(true))),
            ("active", "Faux", Some(json!(false))),
            ("active", "WAHR", Some(json!(true))),
            ("active", "falsch", Some(json!(false))),
            ("active", "oui", Some(json!(true))),
            ("active", "1.0", Some(json!(true))),
            ("active", "maybe", Some(json!("maybe"))),
            ("active", "", None),
            ("fields", "{\"tier\": \"gold\"}", Some(json!({"tier": "gold"}))),
            ("fields", "{", Some(json!("{"))),
            ("fields", "", None),
        ] {
            assert_eq!(read(field, cell), value, "{field}: {cell}");
        }
    }
}

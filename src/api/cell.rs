//! Cells of CSV: a field's value as a text that spreadsheets show and do not run, and back.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// A value as a cell: nothing for null, JSON for what has parts.
pub fn write(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => marked(text),
        other => other.to_string(),
    }
}

/// Text with a `'` before it, by which spreadsheets know text, where they would run it as a formula; and where it is
/// empty, since a cell with nothing in it is null. Where there are such marks already there is one more: so taking one
/// away always gives the text back.
fn marked(text: String) -> String {
    if needs_mark(&text) { format!("'{text}") } else { text }
}

/// The text that was marked, or that somebody wrote without a mark.
fn unmarked(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| needs_mark(text)).unwrap_or(cell)
}

fn needs_mark(text: &str) -> bool {
    let rest = text.trim_start_matches('\'');
    rest.is_empty() || rest.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A field of a resource, as its schema describes it to clients: by that its cells are read.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    may_be_null: bool,
    kind: Kind,
}

/// What the cells of a field hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Boolean,
    /// An object, as JSON.
    Parts,
    /// A list, as JSON; or its items as they are, with commas or semicolons between.
    List,
}

impl Field {
    /// The fields of a resource, in order.
    pub fn all<T: JsonSchema>() -> Vec<Self> {
        let settings = SchemaSettings::draft2020_12().for_deserialize().with(|all| all.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties.map(|(name, schema)| Self::described(name, schema)).collect()
    }

    fn described(name: &str, schema: &Value) -> Self {
        let alternatives = schema["anyOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice);
        let types: Vec<&str> = alternatives.iter().flat_map(|schema| words(&schema["type"])).collect();
        let kind = match () {
            () if types.contains(&"object") => Kind::Parts,
            () if types.contains(&"array") => Kind::List,
            () if types.contains(&"boolean") => Kind::Boolean,
            () if types.contains(&"integer") => Kind::Integer,
            () => Kind::Text,
        };
        Self { name: name.to_owned(), may_be_null: types.contains(&"null"), kind }
    }

    /// What a cell says; nothing where it is empty and the field cannot be null. What cannot be read stays text, and is
    /// refused as such where the field is judged.
    pub fn read(&self, cell: &str) -> Option<Value> {
        let written = if self.kind == Kind::Text { cell } else { cell.trim() };
        if written.is_empty() {
            return self.may_be_null.then_some(Value::Null);
        }
        let read = match self.kind {
            Kind::Text => None,
            Kind::Integer => written.parse::<i64>().ok().map(Value::from),
            Kind::Boolean => match written.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(Value::Bool(true)),
                "false" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::Parts => serde_json::from_str(written).ok(),
            Kind::List if written.starts_with('[') => serde_json::from_str(written).ok(),
            Kind::List => {
                let items = unmarked(written).split([',', ';']).map(str::trim).filter(|item| !item.is_empty());
                Some(items.map(Value::from).collect())
            }
        };
        Some(read.unwrap_or_else(|| Value::String(unmarked(cell).to_owned())))
    }
}

/// A schema's `type`: one word, or several.
fn words(types: &Value) -> impl Iterator<Item = &str> {
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
    struct Row {
        name: String,
        note: Option<String>,
        seats: Option<i64>,
        active: bool,
        fields: CustomFields,
    }

    fn read(field: &str, cell: &str) -> Option<Value> {
        Field::all::<Row>().iter().find(|known| known.name == field).unwrap().read(cell)
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text_and_comes_back_as_it_was() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+33 1 42", "'+33 1 42"),
            ("-5", "'-5"),
            ("@x", "'@x"),
            ("'=1", "''=1"),
            ("\t=1", "'\t=1"),
            ("'quoted'", "'quoted'"),
            ("plain - text", "plain - text"),
            ("", "'"),
            ("''", "'''"),
        ] {
            assert_eq!(write(text.into()), cell);
            assert_eq!(read("note", cell), Some(text.into()), "{text}");
        }
    }

    #[test]
    fn a_cell_is_what_its_field_takes() {
        for (field, cell, value) in [
            ("note", " x ", Some(json!(" x "))),
            ("note", "'x", Some(json!("'x"))),
            ("note", "12", Some(json!("12"))),
            ("note", "", Some(Value::Null)),
            ("name", "", None),
            ("seats", " 12 ", Some(json!(12))),
            ("seats", " ", Some(Value::Null)),
            ("seats", "many", Some(json!("many"))),
            ("active", "TRUE", Some(json!(true))),
            ("active", "0", Some(json!(false))),
            ("active", "yes", Some(json!("yes"))),
            ("active", "", None),
            ("fields", "{\"tier\": \"gold\"}", Some(json!({"tier": "gold"}))),
            ("fields", "{", Some(json!("{"))),
            ("fields", "", None),
        ] {
            assert_eq!(read(field, cell), value, "{field}: {cell}");
        }
    }
}

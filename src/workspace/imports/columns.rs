//! The columns of an uploaded file, and how each finds its field.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::resource::{Files, Resource};
use crate::api::{Error, ImportText, Result};
use crate::values::choice;
use crate::values::normalize::normalize;

/// Maximum columns of a file that is imported in steps.
const MOST_COLUMNS: usize = 200;

/// Rows in which an example of a column is looked for.
const ROWS_WITH_EXAMPLES: usize = 100;

/// Maximum characters of an example.
const LONGEST_EXAMPLE: usize = 200;

choice! {
    /// How a column got its field.
    MatchedBy { NAME = "name", LABEL = "label", LAST_TIME = "last_time", CHOICE = "choice" }
}

/// A column of the file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ImportColumn {
    /// Name in the file. Empty if the column has none.
    #[schemars(example = &"Nom")]
    pub name: String,
    /// The first value of the column in the first 100 rows.
    #[serde(default)]
    pub example: Option<String>,
    /// The field that the column is imported as. Null: it is not used.
    #[schemars(example = &"last_name")]
    pub field: Option<String>,
    /// How the column got its field: `name`, `label` (in English or French), `last_time` or `choice`. Null if it has none.
    #[serde(default)]
    pub matched_by: Option<MatchedBy>,
}

impl ImportColumn {
    /// The column with the field that the caller has chosen.
    pub fn chosen(&self, field: Option<String>) -> Self {
        let matched_by = match &field {
            None => None,
            same if *same == self.field => self.matched_by,
            Some(_) => Some(MatchedBy::CHOICE),
        };
        Self { field, matched_by, ..self.clone() }
    }
}

/// Names are compared without case, accents and punctuation.
fn plain(name: &str) -> String {
    normalize(name).chars().filter(|c| c.is_alphanumeric()).collect()
}

/// The field that a column name means.
fn matched(resource: &Resource, files: &dyn Files, name: &str) -> Option<(String, MatchedBy)> {
    let fields = files.fields();
    if let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
        return Some((field.name.clone(), MatchedBy::NAME));
    }
    let wanted = plain(name);
    let has_label = |field: &str| {
        let label = resource.label_of(field);
        label.is_some_and(|label| [label.english, label.french].iter().any(|label| plain(label) == wanted))
    };
    let is_like = |field: &str| plain(field) == wanted || has_label(field);
    let field = fields.into_iter().find(|field| !wanted.is_empty() && is_like(&field.name))?;
    Some((field.name, MatchedBy::LABEL))
}

/// Whether a column name means a field.
pub fn is_known(resource: &Resource, files: &dyn Files, name: &str) -> bool {
    matched(resource, files, name).is_some()
}

/// The columns of a file, each with the field that its name means or that it had last time, and the first rows. A field is
/// given to one column.
pub fn propose(
    resource: &Resource,
    files: &dyn Files,
    text: &ImportText,
    last: &[ImportColumn],
) -> Result<(Vec<ImportColumn>, Vec<Vec<String>>)> {
    if text.columns.len() > MOST_COLUMNS {
        return Err(Error::invalid(format!("The file may not have more than {MOST_COLUMNS} columns.")));
    }
    let rows = text.sample(ROWS_WITH_EXAMPLES)?;
    let known = files.fields();
    let mut columns: Vec<ImportColumn> = Vec::new();
    for (at, column) in text.columns.iter().enumerate() {
        let example = rows.iter().filter_map(|row| row.get(at)).find(|value| !value.trim().is_empty());
        let by_name = matched(resource, files, &column.name);
        let exact = by_name.clone().filter(|(_, by)| *by == MatchedBy::NAME);
        let before = last.iter().find(|before| before.name == column.name && !column.name.is_empty());
        let field = match (exact, before) {
            (Some(exact), _) => Some(exact),
            // A column that was not used last time is not used again.
            (None, Some(before)) => before.field.clone().map(|field| (field, MatchedBy::LAST_TIME)),
            (None, None) => by_name,
        };
        let is_free = |(field, by): &(String, MatchedBy)| {
            let is_named = text.columns.iter().any(|column| column.name.eq_ignore_ascii_case(field));
            known.iter().any(|known| known.name == *field)
                && !columns.iter().any(|column| column.field.as_ref() == Some(field))
                && (*by == MatchedBy::NAME || !is_named)
        };
        let (field, matched_by) = field.filter(is_free).unzip();
        let example = example.map(|value| value.chars().take(LONGEST_EXAMPLE).collect());
        columns.push(ImportColumn { name: column.name.clone(), example, field, matched_by });
    }
    Ok((columns, rows))
}

/// Checks that each column has a field of the resource or none, and that no two have the same.
pub fn check_fields(files: &dyn Files, columns: &[ImportColumn], fields: &[Option<String>]) -> Result<()> {
    if fields.len() != columns.len() {
        return Err(Error::invalid(format!("The fields must be as many as the {} columns.", columns.len())));
    }
    let known = files.fields();
    let named = |at: usize| match columns[at].name.as_str() {
        "" => format!("column {}", at + 1),
        name => name.to_owned(),
    };
    let mut problems = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let Some(field) = field else { continue };
        if !known.iter().any(|known| known.name == *field) {
            let names: Vec<&str> = known.iter().map(|field| field.name.as_str()).collect();
            problems.push(format!("The selected field {field} is invalid; it may be {}.", names.join(", ")));
        }
        if let Some(first) = fields[..at].iter().position(|other| other.as_ref() == Some(field)) {
            let field = field.replace('_', " ");
            problems.push(format!("The columns {} and {} have the same field: {field}.", named(first), named(at)));
        }
    }
    if fields.iter().all(Option::is_none) {
        problems.push("At least one column must have a field.".to_owned());
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::sentences(problems)) }
}

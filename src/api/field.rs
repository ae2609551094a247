//! Fields: how a list filters and sorts by them, and what people call them.
//!
//! A list has a table of fields. `filter[name]=…` compares a field, `sort=name` sorts by it. Text in the table becomes SQL
//! as it stands, so all of it is constant.

use jiff::tz::TimeZone;
use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::json;

use super::error::{Error, Result};
use crate::tenancy::phones;
use crate::values::normalize::normalize;
use crate::values::{Timestamp, integer};

/// A field of a list.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The name in filters and sorts.
    pub name: &'static str,
    /// The column, or an SQL expression.
    pub column: &'static str,
    /// None for a field that is stored and not filtered by.
    pub filter: Option<FilterKind>,
    /// The SQL expression to sort by. None for a field that lists do not sort by.
    pub sort: Option<&'static str>,
    /// Another expression to sort by until all texts of the file are indexed, if there is one.
    pub sort_unindexed: Option<&'static str>,
    /// Whether the full-text index has the field.
    pub is_searched: bool,
    /// English and French.
    pub label: Label,
}

/// Fields that mean the same in every resource.
pub const COMMON: &[Field] = &[
    labelled("id", "Identifier", "Identifiant"),
    labelled("created_at", "Created", "Création"),
    labelled("updated_at", "Changed", "Modification"),
    labelled("customer_account", "Customer account", "Compte du client"),
    labelled("ids", "Records", "Fiches"),
    labelled("mode", "Existing records", "Fiches existantes"),
    labelled("created", "Created", "Créées"),
    labelled("updated", "Changed", "Modifiées"),
    labelled("deleted", "Deleted", "Supprimées"),
    labelled("encoding", "Encoding", "Encodage"),
    labelled("ignored_columns", "Columns that are not used", "Colonnes non utilisées"),
    labelled("dry_run", "Only a trial", "Essai seulement"),
    labelled("format", "Format", "Format"),
    labelled("sort", "Order", "Tri"),
    labelled("term", "Search", "Recherche"),
    labelled("explain", "Say what was tried", "Dire ce qui a été essayé"),
    labelled("steps", "What was tried", "Ce qui a été essayé"),
];

/// The fields of work in the background.
pub const OF_JOBS: &[Field] = &[
    labelled("job", "Current work", "Travail en cours"),
    labelled("state", "State", "État"),
    labelled("done", "Finished", "Terminé"),
    labelled("of", "Of", "Sur"),
    labelled("began_at", "Begun", "Début"),
    labelled("problem", "Problem", "Problème"),
];

/// What people call something, in each language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    pub english: &'static str,
    pub french: &'static str,
}

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    /// The field contains the text. Case and accents do not count.
    Text,
    /// The field is the integer.
    Integer,
    /// The field is 0 or 1.
    Flag,
    /// The field is one of these texts.
    Choice(&'static [&'static str]),
    /// Like `Choice`. Clients may send the name of a class instead of the text: see [`named`].
    Class(&'static [&'static str]),
    /// The field is the time, or within the day (also by `[on]`). With `[gte]` and `[lte]` it is in a range. Days and times
    /// without a zone are read in the time zone of the workspace.
    Moment,
    /// A phone number of this resource is the number, in any format, or ends with its digits.
    AnyPhone(&'static str),
    /// Like `AnyPhone`, for the number in this field alone.
    Phone(&'static str),
    /// Every word begins a word of this full-text index.
    Term(&'static str),
    /// Every word is in one of these columns. Case and accents do not count. For tables too small for an index.
    Words(&'static [&'static str]),
    /// The field is a JSON object. The member that the caller names is the text: `filter[custom_fields.tier]=gold`.
    Member,
}

/// The value of a filter, read.
pub enum FilterValue {
    Text(String),
    Member(String, String),
    Integer(i64),
    Between(i64, i64),
}

const fn field(name: &'static str, filter: Option<FilterKind>) -> Field {
    let label = Label { english: "", french: "" };
    Field { name, column: name, filter, sort: None, sort_unindexed: None, is_searched: false, label }
}

/// A field that is neither filtered nor sorted by.
pub const fn stored(name: &'static str) -> Field {
    field(name, None)
}

/// A field of requests and responses that lists neither filter nor sort by, with its label.
pub const fn labelled(name: &'static str, english: &'static str, french: &'static str) -> Field {
    stored(name).label(english, french)
}

pub const fn text(name: &'static str) -> Field {
    field(name, Some(FilterKind::Text))
}

pub const fn integer(name: &'static str) -> Field {
    field(name, Some(FilterKind::Integer))
}

pub const fn flag(name: &'static str) -> Field {
    field(name, Some(FilterKind::Flag))
}

pub const fn choice(name: &'static str, words: &'static [&'static str]) -> Field {
    field(name, Some(FilterKind::Choice(words)))
}

/// A choice for which clients may send the name of a class.
pub const fn class(name: &'static str, words: &'static [&'static str]) -> Field {
    field(name, Some(FilterKind::Class(words)))
}

pub const fn moment(name: &'static str) -> Field {
    field(name, Some(FilterKind::Moment))
}

/// A JSON object whose members callers may filter by.
pub const fn object(name: &'static str) -> Field {
    field(name, Some(FilterKind::Member))
}

/// A phone number, filtered by as text.
pub const fn phone(name: &'static str) -> Field {
    text(name)
}

/// A phone number in the index, filtered by as a number. `resource` is the name of the resource in the index.
pub const fn phone_number(name: &'static str, resource: &'static str) -> Field {
    field(name, Some(FilterKind::Phone(resource)))
}

/// A list of phone numbers in the index, filtered by as numbers.
pub const fn phone_numbers(name: &'static str, resource: &'static str) -> Field {
    any_phone(name, resource)
}

/// Not a field: the filter that compares every phone number of the resource.
pub const fn any_phone(name: &'static str, resource: &'static str) -> Field {
    field(name, Some(FilterKind::AnyPhone(resource))).label("Phone number", "Numéro de téléphone")
}

/// Not a field: the filter `term`, which searches a full-text index.
pub const fn term(index: &'static str) -> Field {
    field("term", Some(FilterKind::Term(index)))
}

/// Not a field: the filter `term`, which searches columns without an index.
pub const fn words(columns: &'static [&'static str]) -> Field {
    field("term", Some(FilterKind::Words(columns)))
}

impl Field {
    /// Sorts by the column.
    #[must_use]
    pub const fn sorted(self) -> Self {
        Self { sort: Some(self.column), ..self }
    }

    /// Sorts by an SQL expression.
    #[must_use]
    pub const fn sorted_by(self, expression: &'static str) -> Self {
        Self { sort: Some(expression), ..self }
    }

    /// Sorts by a column that holds folded text. Not every row has it until the texts of the file are indexed.
    #[must_use]
    pub const fn sorted_by_folded(self, column: &'static str, expression: &'static str) -> Self {
        Self { sort: Some(column), sort_unindexed: Some(expression), ..self }
    }

    /// Sorts by the field, and does not filter by it.
    #[must_use]
    pub const fn only_sorted(self) -> Self {
        Self { filter: None, ..self.sorted() }
    }

    /// The full-text index has the field.
    #[must_use]
    pub const fn searched(self) -> Self {
        Self { is_searched: true, ..self }
    }

    /// Has another name in the API than in the table.
    #[must_use]
    pub const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    #[must_use]
    pub const fn label(self, english: &'static str, french: &'static str) -> Self {
        Self { label: Label { english, french }, ..self }
    }

    /// The condition in SQL, and the values bound in it.
    pub fn condition(&self, wanted: &FilterValue, db: &Connection) -> Result<(String, Vec<Sql>)> {
        let column = self.column;
        Ok(match (self.filter, wanted) {
            (Some(FilterKind::Text), FilterValue::Text(text)) => {
                (format!("instr(fold({column}), ?) > 0"), vec![normalize(text).into()])
            }
            (Some(FilterKind::Member), FilterValue::Member(member, text)) => (
                format!(
                    "EXISTS (SELECT 1 FROM json_each({column}) AS field WHERE field.key = ? AND
                     fold(iif(field.type IN ('true', 'false'), field.type, CAST(field.value AS TEXT))) = ?)"
                ),
                vec![member.clone().into(), text.clone().into()],
            ),
            (Some(FilterKind::Choice(_) | FilterKind::Class(_)), FilterValue::Text(text)) => {
                (format!("{column} = ?"), vec![text.clone().into()])
            }
            (Some(FilterKind::AnyPhone(resource)), FilterValue::Text(text)) => {
                phones::condition(resource, None, text, db)?
            }
            (Some(FilterKind::Phone(resource)), FilterValue::Text(text)) => {
                phones::condition(resource, Some(column), text, db)?
            }
            (Some(FilterKind::Term(index)), FilterValue::Text(text)) => match search_words(text) {
                Some(words) => (format!("id IN (SELECT rowid FROM {index} WHERE {index} MATCH ?)"), vec![words.into()]),
                None => ("0".into(), Vec::new()),
            },
            (Some(FilterKind::Words(columns)), FilterValue::Text(text)) => {
                let words: Vec<String> = text.split_whitespace().map(normalize).collect();
                let has_one = columns.iter().map(|column| format!("instr(fold({column}), ?) > 0"));
                let has_one = format!("({})", has_one.collect::<Vec<_>>().join(" OR "));
                let bound = words.iter().flat_map(|word| columns.iter().map(|_| word.clone().into()));
                (vec![has_one; words.len()].join(" AND "), bound.collect())
            }
            (Some(FilterKind::Integer | FilterKind::Flag), FilterValue::Integer(value)) => {
                (format!("{column} = ?"), vec![(*value).into()])
            }
            (Some(FilterKind::Moment), FilterValue::Between(from, to)) => {
                (format!("{column} BETWEEN ? AND ?"), vec![(*from).into(), (*to).into()])
            }
            _ => return Err(Error::Internal("a filter was read as one kind and used as another".into())),
        })
    }
}

impl FilterKind {
    /// The description and the schema of the filter, for OpenAPI.
    pub fn described(self) -> (&'static str, serde_json::Value) {
        match self {
            Self::Text => ("Contains this text, ignoring case and accents.", json!({"type": "string"})),
            Self::Integer => ("Equals this number.", json!({"type": "integer", "format": "int64"})),
            Self::Flag => ("Is true or false.", json!({"type": "boolean"})),
            Self::Choice(choices) | Self::Class(choices) => {
                ("Equals this value.", json!({"type": "string", "enum": choices}))
            }
            Self::Moment => ("At this time. A date, like 2027-03-29, means that day.", moment_schema()),
            Self::AnyPhone(_) => (
                "Has this number, in any format, or a number that ends with these digits (at least 4).",
                json!({"type": "string"}),
            ),
            Self::Phone(_) => (
                "Equals this number, in any format, or ends with these digits (at least 4).",
                json!({"type": "string"}),
            ),
            Self::Member => (
                "The named field, here `tier`, equals this text, ignoring case and accents.",
                json!({"type": "string"}),
            ),
            Self::Term(_) => ("Full-text search: every word begins a word of the resource.", json!({"type": "string"})),
            Self::Words(_) => (
                "Full-text search: every word occurs in a text of the resource, ignoring case and accents.",
                json!({"type": "string"}),
            ),
        }
    }

    /// Reads the value of a filter, or says why it is invalid.
    pub fn read(self, name: &str, operator: Option<&str>, value: &str, zone: &TimeZone) -> Result<FilterValue, String> {
        match (self, operator) {
            (Self::Moment, operator) => timestamp_range(name, operator, value, zone),
            (_, Some(_)) => Err(format!("The filter {name} takes one value, without an operator.")),
            (Self::Text | Self::AnyPhone(_) | Self::Phone(_) | Self::Term(_) | Self::Words(_), None) => {
                Ok(FilterValue::Text(value.to_owned()))
            }
            (Self::Member, None) => match name.split_once('.') {
                Some((_, member)) if !member.is_empty() => Ok(FilterValue::Member(member.to_owned(), normalize(value))),
                _ => Err(format!("The filter {name} needs a field name after a dot, like {name}.tier.")),
            },
            (Self::Integer, None) => {
                integer::read(value).map(FilterValue::Integer).ok_or_else(|| format!("The {name} must be an integer."))
            }
            (Self::Flag, None) => match value {
                "1" | "true" => Ok(FilterValue::Integer(1)),
                "0" | "false" => Ok(FilterValue::Integer(0)),
                _ => Err(format!("The {name} must be true or false.")),
            },
            (Self::Choice(choices), None) if choices.contains(&value) => Ok(FilterValue::Text(value.to_owned())),
            (Self::Class(choices), None) if named(choices, value).is_some() => {
                Ok(FilterValue::Text(named(choices, value).unwrap_or_default().to_owned()))
            }
            (Self::Choice(choices) | Self::Class(choices), None) => {
                Err(format!("The selected {name} is invalid; it may be {}.", choices.join(", ")))
            }
        }
    }
}

pub fn moment_schema() -> serde_json::Value {
    json!({"type": "string", "format": "date-time"})
}

/// Finds a word by its own name or by the name of its class: `App\\Models\\CallQueueGroup` is `call_queue_group`.
pub fn named(words: &[&'static str], text: &str) -> Option<&'static str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let class = text.rsplit(['\\', '/', '.', ':']).next().unwrap_or(text).trim();
    words.iter().find(|word| plain(word) == plain(class)).copied()
}

/// The range of times for a time or a day, and an operator.
fn timestamp_range(name: &str, operator: Option<&str>, value: &str, zone: &TimeZone) -> Result<FilterValue, String> {
    let (first, last) = Timestamp::first_and_last(value, zone).map_err(|problem| format!("The {name} {problem}"))?;
    let (first, last) = (first.seconds(), last.seconds());
    match operator {
        None | Some("on") => Ok(FilterValue::Between(first, last)),
        Some("gte") => Ok(FilterValue::Between(first, i64::MAX)),
        Some("lte") => Ok(FilterValue::Between(i64::MIN, last)),
        Some(other) => Err(format!("The filter {name} has no operator {other}; it has gte, lte and on.")),
    }
}

pub fn word_count(text: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).count()
}

/// A text as an FTS5 query: each word becomes a quoted prefix, and all of them must match. Quotes leave no operator in the
/// text. The index has folded texts.
pub fn search_words(text: &str) -> Option<String> {
    let words: Vec<String> = normalize(text)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| format!("\"{word}\"*"))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

//! The fields of two records that are merged: one choice for each field.
//!
//! Without a choice, nothing is lost: the kept record's value stays, an empty field takes the other's value, numbers are
//! added, notes are joined, and own fields are united.

use std::collections::BTreeMap;

use phonenumber::country::Id as Country;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::api::entity::Editable;
use crate::api::json_body::{KEPT_BY_SERVER, ValueReader};
use crate::api::{Error, Problem, Result, fields};
use crate::tenancy::phones::{self, default_country};
use crate::values::choice;

choice! {
    /// Whose value a field gets. `kept`: that of the record that stays. `other`: that of the record that is deleted. `both`:
    /// the two values together, for phone numbers, notes and own fields.
    FieldChoice { KEPT = "kept", OTHER = "other", BOTH = "both" }
}

/// The choice for each field that has one.
pub type FieldChoices = BTreeMap<String, FieldChoice>;

/// The field whose texts are joined.
const NOTES: &str = "comment";

/// The kept record with the values of both records. Fails if a choice is not possible, or if a number or the notes do not
/// fit and no choice was made about them.
pub fn merged<T: Editable>(db: &Connection, kept: &T, other: &T, choices: &FieldChoices) -> Result<T> {
    let (old, new) = (fields(kept)?, fields(other)?);
    check_choices::<T>(&old, choices)?;
    let numbers = T::NUMBERED.columns;
    let mut over = Map::new();
    for (name, value) in &old {
        if KEPT_BY_SERVER.contains(&name.as_str()) || numbers.contains(&name.as_str()) {
            continue;
        }
        let merged = match choices.get(name) {
            Some(&FieldChoice::KEPT) => value.clone(),
            Some(&FieldChoice::OTHER) => new[name].clone(),
            _ => together(name, value, &new[name]),
        };
        over.insert(name.clone(), merged);
    }
    let numbers = Numbers { country: default_country(db)?, fields: numbers, kept: &old, other: &new, choices };
    over.extend(numbers.merged()?);
    Ok(ValueReader::default().merge(kept, &over)?)
}

fn check_choices<T: Editable>(fields: &Map<String, Value>, choices: &FieldChoices) -> Result<()> {
    let mut problems = Vec::new();
    for (name, choice) in choices {
        let field = fields.get(name).filter(|_| !KEPT_BY_SERVER.contains(&name.as_str()));
        let is_united = name == NOTES || T::NUMBERED.columns.contains(&name.as_str());
        let sentence = match field {
            None => format!("The selected fields {name} is invalid."),
            Some(value) if *choice == FieldChoice::BOTH && !is_united && !value.is_object() => {
                format!("The {} cannot be both values.", name.replace('_', " "))
            }
            Some(_) => continue,
        };
        problems.push(Problem { field: Some(name.clone()), sentence });
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
}

/// Both values, as far as a field can have both. Otherwise the kept one, unless it is empty.
fn together(name: &str, kept: &Value, other: &Value) -> Value {
    match (kept, other) {
        (Value::Object(kept), Value::Object(other)) => {
            let mut all = kept.clone();
            for (name, value) in other {
                let known = all.entry(name).or_insert(Value::Null);
                if known.is_null() {
                    known.clone_from(value);
                }
            }
            Value::Object(all)
        }
        (Value::String(kept), Value::String(other)) if name == NOTES => json!(joined(kept, other)),
        _ if is_empty(kept) => other.clone(),
        _ => kept.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// Two notes with a blank line in between. A note that the other contains is there once.
fn joined(kept: &str, other: &str) -> String {
    match (kept.trim(), other.trim()) {
        (one, two) if one.contains(two) => kept.to_owned(),
        (one, two) if two.contains(one) => other.to_owned(),
        _ => format!("{}\n\n{}", kept.trim_end(), other.trim_start()),
    }
}

/// The phone numbers of two records.
struct Numbers<'r> {
    country: Country,
    fields: &'static [&'static str],
    kept: &'r Map<String, Value>,
    other: &'r Map<String, Value>,
    choices: &'r FieldChoices,
}

/// The number in each field, and whether it is the kept record's.
type Placed<'r> = BTreeMap<&'static str, (&'r str, bool)>;

impl Numbers<'_> {
    /// The number in each field. A number that both records have is kept once. A record may have a number twice, as phone
    /// and as fax.
    fn merged(&self) -> Result<Map<String, Value>> {
        let mut result = Placed::new();
        let (chosen, others): (Vec<_>, Vec<_>) = self.fields.iter().copied().partition(|field| self.is_chosen(field));
        for field in chosen {
            let is_kept = self.choices.get(field) == Some(&FieldChoice::KEPT);
            self.place(&mut result, field, is_kept);
        }
        for field in &others {
            self.place(&mut result, field, true);
        }
        let mut rest = Vec::new();
        for field in &others {
            match result.contains_key(field) {
                false => self.place(&mut result, field, false),
                true => rest.push(*field),
            }
        }
        let mut problems = Vec::new();
        for field in rest {
            let Some(number) = text(self.other, field) else { continue };
            if self.has(result.values().map(|(known, _)| *known), number) {
                continue;
            }
            match self.free_field(&result, field) {
                Some(free) => _ = result.insert(free, (number, false)),
                None => problems.push(Problem {
                    field: Some(field.to_owned()),
                    sentence: format!(
                        "The {} fits in no free field: {number}. Choose one of the two numbers.",
                        field.replace('_', " ")
                    ),
                }),
            }
        }
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        let number = |field: &str| result.get(field).map(|(number, _)| *number);
        Ok(self.fields.iter().map(|field| ((*field).to_owned(), json!(number(field)))).collect())
    }

    /// Puts a record's number into its field, unless the result has it from the other record.
    fn place<'r>(&'r self, result: &mut Placed<'r>, field: &'static str, is_kept: bool) {
        let Some(number) = text(if is_kept { self.kept } else { self.other }, field) else { return };
        let of_other = result.values().filter(|(_, of_kept)| *of_kept != is_kept).map(|(known, _)| *known);
        if !self.has(of_other, number) {
            result.insert(field, (number, is_kept));
        }
    }

    /// Whether a field gets the number of one record alone.
    fn is_chosen(&self, field: &str) -> bool {
        matches!(self.choices.get(field), Some(&FieldChoice::KEPT | &FieldChoice::OTHER))
    }

    /// Whether the known texts have all numbers of a text.
    fn has<'t>(&self, mut known: impl Iterator<Item = &'t str>, number: &str) -> bool {
        let keys = |text: &str| phones::keys(text, self.country);
        let wanted = keys(number);
        if wanted.is_empty() {
            return known.any(|known| known.trim() == number.trim());
        }
        let known: Vec<String> = known.flat_map(keys).collect();
        wanted.iter().all(|key| known.contains(key))
    }

    /// An empty field for a number of another field: one of the same kind, else any. A fax number goes to no phone.
    fn free_field(&self, result: &Placed<'_>, of: &str) -> Option<&'static str> {
        let kind = |field: &str| field.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        let is_fax = |field: &str| field.contains("fax");
        let is_free = |field: &&&'static str| {
            !result.contains_key(**field) && !self.is_chosen(field) && is_fax(field) == is_fax(of)
        };
        let mut free = self.fields.iter().filter(is_free);
        free.clone().find(|field| kind(field) == kind(of)).or_else(|| free.next()).copied()
    }
}

fn text<'r>(record: &'r Map<String, Value>, field: &str) -> Option<&'r str> {
    record[field].as_str().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests;

//! The errors of a form: each at its field, and all of them in a summary above the form.

use super::problem_rules::field_words;
use super::translations::Translations;
use crate::api::{Error, Result};

/// The sentences about a form that was refused.
#[derive(Debug, Default)]
pub struct Problems {
    /// Each sentence, with the field that it is about if the form has that field.
    pub all: Vec<(Option<&'static str>, String)>,
}

impl Problems {
    /// The sentences of an error, for a form with these fields. A server error has a page of its own.
    pub fn of(words: Translations, error: Error, fields: &[&'static str]) -> Result<Self> {
        if error.status().is_server_error() {
            return Err(error);
        }
        let messages = error.messages();
        let named = messages.iter().map(|sentence| {
            let named = field_words(sentence)?.replace(' ', "_");
            // The longest name wins: a sentence about the password confirmation is not about the password.
            let about = |field: &&'static str| named == **field || named.starts_with(&format!("{field}_"));
            fields.iter().copied().filter(about).max_by_key(|field| field.len())
        });
        let all = named.collect::<Vec<_>>().into_iter().zip(words.problems(&error)).collect();
        Ok(Self { all })
    }

    /// The sentences about a field.
    pub fn at<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a str> {
        self.all.iter().filter(move |(about, _)| *about == Some(field)).map(|(_, sentence)| sentence.as_str())
    }

    pub fn has(&self, field: &str) -> bool {
        self.at(field).next().is_some()
    }
}

//! The search of the reference: finds operations that contain all words in their path, sentences or fields.

use super::reference::{Operation, Resource, Section};
use crate::values::fold::fold;

pub struct Found<'a> {
    pub resource: &'a Resource,
    pub operation: &'a Operation,
}

/// The operations that contain all words. Operations with all words in the summary or path come first.
pub fn search<'a>(sections: &'a [Section], asked: &str) -> Vec<Found<'a>> {
    let words: Vec<String> = fold(asked).split_whitespace().map(str::to_owned).collect();
    let has_all = |text: &str| words.iter().all(|word| text.contains(word.as_str()));
    let resources = sections.iter().flat_map(|section| &section.resources);
    let operations =
        resources.flat_map(|resource| resource.operations.iter().map(move |operation| Found { resource, operation }));
    let mut found: Vec<(bool, Found<'a>)> = operations
        .filter(|found| has_all(&found.operation.searched))
        .map(|found| (has_all(&fold(&format!("{} {}", found.operation.summary, found.operation.path))), found))
        .collect();
    found.sort_by_key(|(in_title, _)| !in_title);
    found.into_iter().map(|(_, found)| found).collect()
}

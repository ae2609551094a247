//! The search of the reference: finds operations that contain all words in their path, sentences or fields.

use super::reference::{OperationDoc, ResourceDoc, SectionDoc};
use crate::values::normalize::normalize;

pub struct SearchHit<'a> {
    pub resource: &'a ResourceDoc,
    pub operation: &'a OperationDoc,
}

/// The operations that contain all words. Operations with all words in the summary or path come first.
pub fn search<'a>(sections: &'a [SectionDoc], asked: &str) -> Vec<SearchHit<'a>> {
    let words: Vec<String> = normalize(asked).split_whitespace().map(str::to_owned).collect();
    let has_all = |text: &str| words.iter().all(|word| text.contains(word.as_str()));
    let resources = sections.iter().flat_map(|section| &section.resources);
    let operations = resources
        .flat_map(|resource| resource.operations.iter().map(move |operation| SearchHit { resource, operation }));
    let mut found: Vec<(bool, SearchHit<'a>)> = operations
        .filter(|found| has_all(&found.operation.searched))
        .map(|found| (has_all(&normalize(&format!("{} {}", found.operation.summary, found.operation.path))), found))
        .collect();
    found.sort_by_key(|(in_title, _)| !in_title);
    found.into_iter().map(|(_, found)| found).collect()
}

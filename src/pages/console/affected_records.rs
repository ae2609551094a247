//! The records that a deletion or another action takes along or changes, counted before it runs.

use super::catalog::Collection;
use super::page::PageCtx;
use super::resource_page::Place;
use super::{detail_page, list_page};
use crate::api::Result;
use crate::api::resource_view::Related;

/// Records of one kind, and what happens to them.
pub struct AffectedRecords {
    pub number: String,
    pub label: String,
}

/// Counts the records. Kinds without records, and kinds that the person may not see, are left out.
pub fn count(
    page: &PageCtx<'_>,
    owner: &Collection,
    place: &Place,
    affected: &[Related],
) -> Result<Vec<AffectedRecords>> {
    let mut counted = Vec::new();
    for related in affected {
        let Some((target, inner, filter)) = detail_page::target(page, owner, related, place) else { continue };
        if target.list.is_none_or(|route| !page.may(route)) {
            continue;
        }
        let (count, number) = list_page::count(page, target, &inner, &filter)?;
        if count > 0 {
            counted.push(AffectedRecords { number, label: page.words().label(related.label) });
        }
    }
    Ok(counted)
}

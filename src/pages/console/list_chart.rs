//! The chart above a list: how many records there are in the hours of a day, or in days.

use super::catalog::Collection;
use super::chart::{Chart, Series, Unit};
use super::list_page::{filters_of, value_of};
use super::page::PageCtx;
use super::query;
use crate::api::Result;
use crate::values::Timestamp;

/// Days of a chart if the filter has none, and at most.
const CHARTED_DAYS: i64 = 14;
const MOST_CHARTED_DAYS: i64 = 92;

/// The chart above the list, with the same filters: the hours of a day, or days.
pub fn chart(page: &PageCtx<'_>, collection: &'static Collection, given: &[(String, String)]) -> Result<Option<Chart>> {
    let Some(view) = collection.resource.view.chart else { return Ok(None) };
    let (words, zone) = (page.words(), page.zone()?);
    let begin = format!("filter[{}]", view.moment);
    let bound = |operator: &str| value_of(given, &format!("{begin}[{operator}]"));
    let (on, gte, lte) = (bound("on"), bound("gte"), bound("lte"));
    let today = page.days_ago(0)?;
    let (from, to) = match (on.is_empty(), gte.is_empty(), lte.is_empty()) {
        (false, ..) => (on.clone(), on.clone()),
        (true, false, _) => (gte.clone(), if lte.is_empty() { today } else { lte }),
        (true, true, true) => (page.days_ago(CHARTED_DAYS - 1)?, today),
        // Without a first day, the chart could have any number of them.
        (true, true, false) => return Ok(None),
    };
    let ends = [&from, &to].map(|text| Timestamp::first_and_last(text, &zone).ok());
    let [Some((first, _)), Some((_, last))] = ends else { return Ok(None) };
    if last.seconds() - first.seconds() > MOST_CHARTED_DAYS * 86_400 {
        return Ok(None);
    }
    let unit = if from == to { Unit::Hour } else { Unit::Day };
    let title = match unit {
        Unit::Hour => words.calls_by_hour(),
        Unit::Day if gte.is_empty() => words.last_days(&CHARTED_DAYS.to_string()),
        Unit::Day => words.calls_by_day(),
    };
    let kept: Vec<(String, String)> =
        filters_of(given).into_iter().filter(|(name, _)| name != "sort" && !name.starts_with(&begin)).collect();
    let mut sent = kept.clone();
    sent.extend([("from".to_owned(), from), ("to".to_owned(), to)]);
    let series = Series::read(page, view.summary, unit, sent)?.filter(|series| !series.is_single());
    Ok(series.and_then(|series| {
        series.chart(words, title, view.moment, None, |filter| format!("?{}", query(&[kept.clone(), filter].concat())))
    }))
}

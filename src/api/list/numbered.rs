//! Pages by number, with a total and links to other pages.

use rusqlite::{Params, params_from_iter};

use super::cursor::{KeyRange, SortKey, order_by, select};
use super::{List, ListSpec, Listable, MOST_COUNTED, usable_order};
use crate::api::error::Result;
use crate::api::handler::Ctx;
use crate::api::pagination::{self, NumberedPage};
use crate::api::request::Request;
use crate::tenancy::row_counts;

/// What is known about the rows of all pages.
struct Total {
    rows: i64,
    /// Whether there are more rows than were counted.
    is_minimum: bool,
    /// Whether there are rows after the page.
    has_next: bool,
}

impl<T: Listable> List<T> {
    pub(super) fn numbered_page(&self, ctx: &Ctx<'_>) -> Result<NumberedPage<T>> {
        let ListSpec { table, columns, has_row_count, .. } = T::LISTING;
        let (conditions, mut bound) = self.conditions(ctx)?;
        let has_count = conditions.is_empty() && has_row_count;
        if self.estimates && !has_count {
            return self.estimated_page(ctx);
        }
        let mut filtered =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };

        let count =
            if has_count { row_counts::count_of(table) } else { format!("SELECT count(*) FROM {table}{filtered}") };
        let total: i64 = ctx.db.prepare_cached(&count)?.query_row(params_from_iter(&bound), |row| row.get(0))?;

        let offset = self.offset();
        let many = self.per_page.min(total.saturating_sub(offset)).max(0);
        // A page in the second half is read from the end, because skipping rows costs as much as reading them.
        let from_the_end = offset > total / 2;
        let mut skip = if from_the_end { total - offset - many } else { offset };
        let order = usable_order(self.order(from_the_end), ctx.db)?;
        let mut data = Vec::new();
        if many > 0 {
            if has_count
                && skip > 0
                && let Some((condition, id)) = id_at::<T>(ctx, &order, skip, total)?
            {
                filtered = format!(" WHERE {condition}");
                bound.push(id.into());
                skip = 0;
            }
            let order = order_by(&order);
            let sql = format!("SELECT {columns} FROM {table}{filtered} ORDER BY {order} LIMIT ? OFFSET ?");
            bound.extend([many.into(), skip.into()]);
            data = read_rows(ctx, &sql, params_from_iter(&bound))?;
            if from_the_end {
                data.reverse();
            }
        }
        let total = Total { rows: total, is_minimum: false, has_next: total.saturating_sub(offset) > self.per_page };
        Ok(self.with_page_links(data, &total, ctx.request))
    }

    /// Reads the page first, and one row more, to know whether there is a next page. Counts only if the page does not
    /// show how many rows there are, and no more than `MOST_COUNTED`.
    fn estimated_page(&self, ctx: &Ctx<'_>) -> Result<NumberedPage<T>> {
        let order = usable_order(self.order(false), ctx.db)?;
        let hits = self.text_hits(&order);
        let (asked, mut bound) = self.conditions_without(ctx, hits.as_ref().map(|hits| hits.place))?;
        let sql = format!("{} OFFSET ?", select::<T>(hits.as_ref(), &asked, &KeyRange::default(), &order));
        if let Some(hits) = hits {
            bound.insert(0, hits.words.into());
        }
        bound.extend([(self.per_page + 1).into(), self.offset().into()]);
        let mut data = read_rows::<T>(ctx, &sql, params_from_iter(&bound))?;

        let found = number_of(&data);
        let has_next = found > self.per_page;
        let seen = if data.is_empty() { 0 } else { self.offset() + found };
        let shows_end = !has_next && (seen > 0 || self.page == 1);
        data.truncate(usize::try_from(self.per_page).unwrap_or(usize::MAX));
        let is_known = shows_end || seen > MOST_COUNTED;
        let rows = if is_known { seen } else { self.count(ctx, MOST_COUNTED + 1)? };
        let total = Total { rows: rows.min(MOST_COUNTED), is_minimum: rows > MOST_COUNTED, has_next };
        Ok(self.with_page_links(data, &total, ctx.request))
    }

    /// The number of rows before the page.
    fn offset(&self) -> i64 {
        (self.page - 1).saturating_mul(self.per_page)
    }

    fn with_page_links(&self, data: Vec<T>, total: &Total, request: &Request) -> NumberedPage<T> {
        let counted = ((total.rows + self.per_page - 1) / self.per_page).max(1);
        let last_page = if total.is_minimum { counted.max(self.page) } else { counted };
        let (offset, rows) = (self.offset(), number_of(&data));
        let path = request.address.url();
        let url = |page: i64| pagination::url(&path, &request.query, "page", &page.to_string());
        NumberedPage {
            current_page: self.page,
            last_page,
            per_page: self.per_page,
            total: total.rows,
            total_is_minimum: total.is_minimum,
            from: (rows > 0).then(|| offset + 1),
            to: (rows > 0).then(|| offset + rows),
            first_page_url: url(1),
            last_page_url: url(last_page),
            next_page_url: total.has_next.then(|| url(self.page + 1)),
            prev_page_url: (self.page > 1).then(|| url((self.page - 1).min(last_page))),
            data,
            path,
        }
    }
}

/// The id after `skip` rows of an unfiltered list that is sorted by id, and the condition that finds it. Known only if the
/// ids of all rows are consecutive: no row was deleted, except at the ends.
fn id_at<T: Listable>(ctx: &Ctx<'_>, order: &[SortKey], skip: i64, total: i64) -> Result<Option<(&'static str, i64)>> {
    let [SortKey { column: "id", down, .. }] = order else { return Ok(None) };
    let table = T::LISTING.table;
    let ends = format!("SELECT (SELECT min(id) FROM {table}), (SELECT max(id) FROM {table})");
    let ends = ctx.db.prepare_cached(&ends)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)): (Option<i64>, Option<i64>) = ends else { return Ok(None) };
    let found = if *down { ("id <= ?", last - skip) } else { ("id >= ?", first + skip) };
    Ok((last - first == total - 1).then_some(found))
}

fn read_rows<T: Listable>(ctx: &Ctx<'_>, sql: &str, bound: impl Params) -> Result<Vec<T>> {
    let mut statement = ctx.db.prepare_cached(sql)?;
    let rows = statement.query_map(bound, T::from_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn number_of<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

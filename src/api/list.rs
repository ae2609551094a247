//! Lists: filters and sorting, the same for every resource that declares its filters and sort keys. Pages by number are
//! in `list/numbered.rs`, pages by cursor in `list/cursor.rs`, filters without a page in `list/filters.rs`.

mod cursor;
mod filters;
mod numbered;

use jiff::tz::TimeZone;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::error::{Error, Result};
use super::field::{Field, FilterKind, FilterValue, search_words, word_count};
use super::handler::Ctx;
use super::input::{Input, pairs};
use super::openapi::Operation;
use super::pagination::Page;
use super::request::Request;
use crate::tenancy::indexing::texts_are_current;
use crate::values::{civil, integer};
use cursor::{Cursor, SortKey};
pub use filters::Filters;

/// Default rows per page.
const PER_PAGE: i64 = 20;
const MOST_PER_PAGE: i64 = 500;

/// Maximum filters per request, far below SQLite's limit.
const MOST_FILTERS: usize = 50;

/// Maximum rows that a page by cursor counts, or a page by number with `total=estimate`.
const MOST_COUNTED: i64 = 10_000;

/// The parameters of every list, without its filters.
const OWN_PARAMETERS: [&str; 6] = ["page", "per_page", "total", "cursor", "count_to", "sort"];

/// The values of `total`.
const TOTALS: [&str; 2] = ["exact", "estimate"];

/// Maximum words, and characters, in all full-text filters of a request. Each word is a search.
const MOST_WORDS: usize = 20;
const MOST_SEARCHED: usize = 100;

/// Maximum sort keys per request.
const MOST_SORTS: usize = 10;

/// Maximum bytes of a query.
const LONGEST_QUERY: usize = 4096;

/// A resource that can be listed.
pub trait Listable: Serialize + JsonSchema {
    const LISTING: ListSpec;

    /// Reads a row of `LISTING.columns`.
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self>
    where
        Self: Sized;
}

/// The table of a list, and its fields. Every text here becomes SQL unchanged.
#[derive(Clone, Copy)]
pub struct ListSpec {
    pub table: &'static str,
    pub columns: &'static str,
    pub fields: &'static [Field],
    /// Whether filters are also accepted by their plain name: `name=…`
    pub plain_filters: bool,
    /// The default order: by `id`, ascending or descending.
    pub newest_first: bool,
    /// Whether the file keeps the number of rows of the unfiltered list. Otherwise a query counts them all.
    pub has_row_count: bool,
    /// The column with the customer of a row, if callers who are bound to a customer may see the list.
    pub customer: Option<&'static str>,
}

impl ListSpec {
    /// A list of whole rows, oldest first, for callers who see the whole workspace.
    pub const fn of(table: &'static str, columns: &'static str, fields: &'static [Field]) -> Self {
        let (plain_filters, newest_first, has_row_count) = (false, false, false);
        Self { table, columns, fields, plain_filters, newest_first, has_row_count, customer: None }
    }

    /// The name by which conditions know the table: its own, or `listed` for a query.
    fn table_name(&self) -> &'static str {
        if self.table.starts_with('(') { "listed" } else { self.table }
    }

    /// The fields that callers may filter by.
    fn filters(&self) -> impl Iterator<Item = (&'static Field, FilterKind)> {
        self.fields.iter().filter_map(|field| field.filter.map(|filter| (field, filter)))
    }

    /// The names that callers may sort by.
    fn sorts(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter(|field| field.sort.is_some()).map(|field| field.name)
    }
}

/// A parsed and valid list query.
pub struct List<T> {
    page: i64,
    pub(super) per_page: i64,
    /// The position, if the query has a cursor. The inner `None` is the first page.
    cursor: Option<Option<Cursor>>,
    /// The rows up to which a page by cursor counts, if it counts.
    pub(super) count_to: Option<i64>,
    /// Whether a page by number counts no more than `MOST_COUNTED` rows.
    estimates: bool,
    filters: Vec<(&'static Field, FilterValue)>,
    /// Conditions that always apply.
    fixed: Vec<(&'static str, Sql)>,
    sorts: Vec<(&'static Field, Direction)>,
    of: std::marker::PhantomData<T>,
}

/// Matches of a full-text index.
pub(super) struct TextHits {
    /// The position of the filter that they belong to.
    pub place: usize,
    pub index: &'static str,
    pub words: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

impl<T: Listable> Input for List<T> {
    fn read(request: &Request) -> Result<Self> {
        let has_no_zone = || pairs(&request.query).any(|(_, value)| civil(&value).is_some());
        let zone = match request.time_zone() {
            Some(zone) => zone.clone(),
            None if has_no_zone() => return Err(Error::NeedsTimeZone),
            None => TimeZone::UTC,
        };
        Self::parse(&request.query, &zone).map_err(Error::sentences)
    }

    fn describe(operation: &mut Operation<'_>) {
        let listing = T::LISTING;
        operation.query(
            "page",
            "Number of the page, from 1.",
            json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX, "default": 1}),
        );
        operation.query(
            "cursor",
            "Pages by key instead of by number, for large lists. Empty for the first page, then `next_cursor` of the \
             previous page. `page` and `total` are ignored, and the rows are counted only with `count_to`.",
            json!({"type": "string"}),
        );
        operation.query(
            "count_to",
            "Counts the rows of all pages, up to this number: `count` of a page by `cursor`. If `count` equals \
             `count_to`, there may be more.",
            json!({"type": "integer", "minimum": 1, "maximum": MOST_COUNTED}),
        );
        operation.query(
            "total",
            &format!(
                "`estimate` counts at most {MOST_COUNTED} rows, so that pages of long lists cost less. If there are \
                 more, `total` is {MOST_COUNTED} and the page has `total_is_minimum`. Ignored with `cursor`."
            ),
            json!({"type": "string", "enum": TOTALS, "default": "exact"}),
        );
        operation.query(
            "per_page",
            "Rows per page.",
            json!({"type": "integer", "minimum": 1, "maximum": MOST_PER_PAGE, "default": PER_PAGE}),
        );
        let sorts: Vec<&str> = listing.sorts().collect();
        let name = format!("-?({})", sorts.join("|"));
        operation.query(
            "sort",
            &format!("One or more of {}, separated by commas. A leading minus reverses the order.", sorts.join(", ")),
            json!({"type": "string", "pattern": format!("^({name}(,{name}){{0,{}}})?$", MOST_SORTS - 1)}),
        );
        filters::describe::<T>(operation);
    }
}

impl<T: Listable> List<T> {
    /// Parses a list query, or returns all problems.
    pub(super) fn parse(query: &str, zone: &TimeZone) -> Result<Self, Vec<String>> {
        let mut list = Self {
            page: 1,
            per_page: PER_PAGE,
            cursor: None,
            count_to: None,
            estimates: false,
            filters: Vec::new(),
            fixed: Vec::new(),
            sorts: Vec::new(),
            of: std::marker::PhantomData,
        };
        if query.len() > LONGEST_QUERY {
            return Err(vec![format!("The query may not be longer than {LONGEST_QUERY} bytes.")]);
        }
        let mut problems = Vec::new();
        let mut cursor = None;
        for (name, value) in pairs(query) {
            if name == "cursor" {
                cursor = Some(value);
            } else if let Err(problem) = list.read_parameter(&name, value.trim(), zone)
                && problems.last() != Some(&problem)
            {
                problems.push(problem);
            }
        }
        problems.extend(list.searches_too_much());
        // Checked last, because the cursor depends on the sort, which may follow it.
        if let (Some(text), []) = (cursor, problems.as_slice()) {
            match list.read_cursor(&text) {
                Ok(place) => list.cursor = Some(place),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(list) } else { Err(problems) }
    }

    /// Each word of a full-text filter is a search, so words are counted over all filters.
    fn searches_too_much(&self) -> Option<String> {
        let searched = self.filters.iter().filter_map(|(field, wanted)| match (field.filter, wanted) {
            (Some(FilterKind::Term(_) | FilterKind::Words(_)), FilterValue::Text(text)) => Some(text),
            _ => None,
        });
        let count = |text: &String| (text.split_whitespace().count().max(word_count(text)), text.chars().count());
        let (words, letters) = searched.map(count).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        (words > MOST_WORDS || letters > MOST_SEARCHED).then(|| {
            format!("The term filters may not have more than {MOST_WORDS} words and {MOST_SEARCHED} characters in all.")
        })
    }

    fn read_cursor(&self, text: &str) -> Result<Option<Cursor>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let cursor = Cursor::read(text, &self.sort(), self.order(false).len());
        cursor.map(Some).ok_or_else(|| "The cursor does not belong to this list.".into())
    }

    /// Takes one parameter of the query. A parameter that no list knows is ignored.
    fn read_parameter(&mut self, name: &str, value: &str, zone: &TimeZone) -> Result<(), String> {
        match name {
            "page" => {
                self.page = integer::read(value)
                    .filter(|page| *page >= 1)
                    .ok_or("The page must be an integer of at least 1.")?;
            }
            "per_page" => {
                let bounds = format!("The per page must be between 1 and {MOST_PER_PAGE}.");
                self.per_page = integer::read(value).filter(|n| (1..=MOST_PER_PAGE).contains(n)).ok_or(bounds)?;
            }
            "count_to" => {
                let bounds = format!("The count to must be between 1 and {MOST_COUNTED}.");
                self.count_to = Some(integer::read(value).filter(|n| (1..=MOST_COUNTED).contains(n)).ok_or(bounds)?);
            }
            "total" => {
                if !TOTALS.contains(&value) {
                    return Err(format!("The total must be {}.", TOTALS.join(" or ")));
                }
                self.estimates = value == "estimate";
            }
            "sort" => {
                if value.split(',').count() > MOST_SORTS {
                    return Err(format!("The sort may not have more than {MOST_SORTS} keys."));
                }
                for key in value.split(',').filter(|_| !value.is_empty()) {
                    let (field, direction) = Self::parse_sort(key)?;
                    // A repeated key has no effect: the rows that it could sort are equal in it.
                    if !self.sorts.iter().any(|(known, _)| known.name == field.name) {
                        self.sorts.push((field, direction));
                    }
                }
            }
            _ => {
                if let Some(inside) = name.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']')) {
                    self.filter(inside, value, zone)?;
                } else if let Some(inside) = Self::plain_filter(name) {
                    self.filter(&inside, value, zone)?;
                } else if Self::is_reserved(name.split('[').next().unwrap_or(name)) {
                    return Err(format!("The parameter {name} is unknown; it may be {}.", Self::allowed_parameters()));
                }
            }
        }
        Ok(())
    }

    fn is_reserved(name: &str) -> bool {
        name == "filter" || OWN_PARAMETERS.contains(&name)
    }

    /// The parameters that the list accepts.
    fn allowed_parameters() -> String {
        let filters = T::LISTING.filters().map(|(field, _)| format!("filter[{}]", field.name));
        let own = OWN_PARAMETERS.map(str::to_owned);
        own.into_iter().chain(filters).collect::<Vec<_>>().join(", ")
    }

    /// Converts a plain filter, `name` or `name[gte]`, to its form inside `filter[…]`.
    fn plain_filter(name: &str) -> Option<String> {
        let own = name.split('[').next().unwrap_or(name);
        let is_one = T::LISTING.plain_filters && T::LISTING.filters().any(|(field, _)| field.name == own);
        is_one.then(|| name.strip_suffix(']').unwrap_or(name).replacen('[', "][", 1))
    }

    fn parse_sort(key: &str) -> Result<(&'static Field, Direction), String> {
        let (name, direction) = match key.strip_prefix('-') {
            Some(name) => (name, Direction::Descending),
            None => (key, Direction::Ascending),
        };
        let field = T::LISTING.fields.iter().find(|field| field.name == name && field.sort.is_some());
        field.map(|field| (field, direction)).ok_or_else(|| {
            let allowed: Vec<&str> = T::LISTING.sorts().collect();
            format!("The selected sort {name} is invalid; it may be {}.", allowed.join(", "))
        })
    }

    fn filter(&mut self, inside: &str, value: &str, zone: &TimeZone) -> Result<(), String> {
        let (name, operator) = match inside.split_once("][") {
            Some((name, operator)) => (name, Some(operator)),
            None => (inside, None),
        };
        let object = name.split_once('.').map(|(object, _)| object);
        let is_named = |(field, filter): &(&'static Field, FilterKind)| match filter {
            FilterKind::Member => field.name == object.unwrap_or(name),
            _ => field.name == name,
        };
        let (field, filter) = T::LISTING.filters().find(is_named).ok_or_else(|| {
            let allowed: Vec<&str> = T::LISTING.filters().map(|(field, _)| field.name).collect();
            format!("The selected filter {name} is invalid; it may be {}.", allowed.join(", "))
        })?;
        if !value.is_empty() {
            if self.filters.len() == MOST_FILTERS {
                return Err(format!("There may not be more than {MOST_FILTERS} filters."));
            }
            self.filters.push((field, filter.read(name, operator, value, zone)?));
        }
        Ok(())
    }

    /// Limits the list to rows with this value in the column, for a list nested in a resource.
    #[must_use]
    pub fn restrict(mut self, column: &'static str, value: impl Into<Sql>) -> Self {
        self.fixed.push((column, value.into()));
        self
    }

    /// Reads the page.
    pub fn page(&self, ctx: &Ctx<'_>) -> Result<Page<T>> {
        match &self.cursor {
            Some(place) => self.page_at_cursor(ctx, place.as_ref()).map(Page::Cursor),
            None => self.numbered_page(ctx).map(Page::Numbered),
        }
    }

    /// The SQL conditions, and the values that are bound in them: the caller's filters and the caller's customer.
    pub(super) fn conditions(&self, ctx: &Ctx<'_>) -> Result<(Vec<String>, Vec<Sql>)> {
        self.conditions_without(ctx, None)
    }

    /// The full-text filter, if the list is sorted by id: the index returns its hits in that order.
    pub(super) fn text_hits(&self, order: &[SortKey]) -> Option<TextHits> {
        let [SortKey { column: "id", .. }] = order else { return None };
        self.text_filter()
    }

    /// The first full-text filter.
    pub(super) fn text_filter(&self) -> Option<TextHits> {
        self.filters.iter().enumerate().find_map(|(place, (field, wanted))| match (field.filter, wanted) {
            (Some(FilterKind::Term(index)), FilterValue::Text(text)) => {
                search_words(text).map(|words| TextHits { place, index, words })
            }
            _ => None,
        })
    }

    /// The same without the filter at this position.
    pub(super) fn conditions_without(&self, ctx: &Ctx<'_>, left_out: Option<usize>) -> Result<(Vec<String>, Vec<Sql>)> {
        let mut conditions = Vec::new();
        let mut bound = Vec::new();
        if let Some(own) = ctx.bound_to() {
            conditions.push(format!("{} = ?", T::LISTING.customer.ok_or_else(Error::bound_to_customer)?));
            bound.push(own.into());
        }
        for (column, value) in &self.fixed {
            conditions.push(format!("{column} = ?"));
            bound.push(value.clone());
        }
        if self.filters.iter().any(|(field, _)| matches!(field.filter, Some(FilterKind::Term(_)))) {
            ctx.request.require_texts(ctx.db)?;
        }
        for (_, (field, wanted)) in self.filters.iter().enumerate().filter(|(place, _)| Some(*place) != left_out) {
            let (condition, values) = field.condition(wanted, ctx.db)?;
            conditions.push(condition);
            bound.extend(values);
        }
        Ok((conditions, bound))
    }

    /// The sort order, as a query states it.
    pub(super) fn sort(&self) -> String {
        let sorts = self.sorts.iter();
        let names =
            sorts.map(|(field, way)| format!("{}{}", if *way == Direction::Descending { "-" } else { "" }, field.name));
        names.collect::<Vec<_>>().join(",")
    }

    /// The complete order. `id` breaks ties, in the direction of the last sort key, as indexes have it.
    pub(super) fn order(&self, turned: bool) -> Vec<SortKey> {
        let mut down = T::LISTING.newest_first;
        let mut order = Vec::new();
        for (field, direction) in &self.sorts {
            down = *direction == Direction::Descending;
            let column = field.sort.unwrap_or(field.column);
            order.push(SortKey { column, unindexed: field.sort_unindexed, down: down != turned });
            if column == "id" {
                return order;
            }
        }
        order.push(SortKey { column: "id", unindexed: None, down: down != turned });
        order
    }
}

/// An order that holds whether or not the texts of the file are all indexed.
pub(super) fn usable_order(order: Vec<SortKey>, db: &Connection) -> rusqlite::Result<Vec<SortKey>> {
    if order.iter().all(|key| key.unindexed.is_none()) || texts_are_current(db)? {
        return Ok(order);
    }
    Ok(order.into_iter().map(|key| SortKey { column: key.unindexed.unwrap_or(key.column), ..key }).collect())
}

/// The row of a list for which a condition is true, if there is one.
pub fn find_row<T: Listable>(
    db: &Connection,
    condition: &'static str,
    values: impl Params,
) -> rusqlite::Result<Option<T>> {
    let ListSpec { table, columns, .. } = T::LISTING;
    let sql = format!("SELECT {columns} FROM {table} WHERE {condition}");
    db.prepare_cached(&sql)?.query_row(values, T::from_row).optional()
}

/// Rows that are in memory at once.
const ROWS_AT_ONCE: i64 = 500;

/// Runs `work` on every row with this value in the column. It may change or delete the row.
pub fn for_each_row<T: Listable>(
    db: &Connection,
    column: &'static str,
    value: i64,
    mut work: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let ListSpec { table, columns, .. } = T::LISTING;
    let sql = format!("SELECT {columns} FROM {table} WHERE {column} = ?1 AND id > ?2 ORDER BY id LIMIT {ROWS_AT_ONCE}");
    let mut after = i64::MIN;
    loop {
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map((value, after), |row| Ok((row.get(0)?, T::from_row(row)?)))?;
        let rows: Vec<(i64, T)> = rows.collect::<rusqlite::Result<_>>()?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        rows.into_iter().try_for_each(|(_, row)| work(row))?;
    }
}

#[cfg(test)]
mod tests;

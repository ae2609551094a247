//! Lists: pages, filters and sorting, the same for every resource that says what it may be filtered and sorted by.

use jiff::civil::Date;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, Row, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::call::Call;
use super::error::{Error, Result};
use super::handler::Ctx;
use super::input::{Input, pairs};
use super::openapi::Operation;
use super::reply::{Answer, Reply, json as json_response};
use crate::tenancy::phones;
use crate::values::Timestamp;
use crate::values::fold::fold;

/// Rows on a page where the caller does not say.
const PER_PAGE: i64 = 20;
const MOST_PER_PAGE: i64 = 500;

/// A resource that can be listed.
pub trait Listed: Serialize + JsonSchema {
    const LISTING: Listing;

    /// From a row of `LISTING.columns`.
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self>
    where
        Self: Sized;
}

/// What a list is of, and by what it may be asked for. Every text in here becomes SQL as it stands.
pub struct Listing {
    pub table: &'static str,
    pub columns: &'static str,
    pub filters: &'static [Filter],
    pub sorts: &'static [Sort],
    /// The order where the caller does not say: by `id`, or by `id` from the last.
    pub newest_first: bool,
    /// Rows when nothing is filtered: kept by triggers, or counted.
    pub counted_by_triggers: bool,
    /// The column that says whose a row is, where callers who are bound to a customer see the list.
    pub customer: Option<&'static str>,
}

/// `filter[name]=…`
pub struct Filter {
    pub name: &'static str,
    pub by: By,
}

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The column contains the text, whatever its case and accents.
    Text(&'static str),
    /// The column is the integer.
    Integer(&'static str),
    /// The column is 0 or 1.
    Flag(&'static str),
    /// The column is one of these texts.
    Choice(&'static str, &'static [&'static str]),
    /// The column is the moment, or within the day; or, by `[gte]` and `[lte]`, in a range.
    Moment(&'static str),
    /// One of the resource's numbers is the number, in any format; or ends with its digits, where those are too few.
    Phone(&'static str),
    /// Every word begins a word of the full-text index.
    Term(&'static str),
    /// The column is a JSON object, and one of its fields, which the caller names, is the text, whatever its case and
    /// accents: `filter[custom_fields.tier]=gold`.
    Field(&'static str),
}

/// `sort=name`, `sort=-name`
pub struct Sort {
    pub name: &'static str,
    pub column: &'static str,
}

/// What a caller asks of a list: the query, read and found good.
pub struct List<T> {
    page: i64,
    per_page: i64,
    wanted: Vec<(By, Wanted)>,
    /// What a column must be, whatever the caller asks.
    fixed: Vec<(&'static str, Sql)>,
    sorts: Vec<(&'static Sort, Direction)>,
    of: std::marker::PhantomData<T>,
}

enum Wanted {
    Text(String),
    Field(String, String),
    Integer(i64),
    Between(i64, i64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// One page of a list, and the way to its neighbours.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    pub data: Vec<T>,
    /// From 1.
    pub current_page: i64,
    /// At least 1.
    pub last_page: i64,
    pub per_page: i64,
    /// Rows on all pages.
    pub total: i64,
    /// Number of the first row on this page, from 1; null on an empty page.
    pub from: Option<i64>,
    /// Number of the last row on this page; null on an empty page.
    pub to: Option<i64>,
    /// The URL of the list without its query.
    pub path: String,
    pub first_page_url: String,
    pub last_page_url: String,
    /// Null on the last page; keeps the query of the request.
    pub next_page_url: Option<String>,
    /// Null on the first page.
    pub prev_page_url: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something else, made of its rows one by one.
    pub fn map<U>(self, mut make: impl FnMut(T) -> Result<U>) -> Result<Page<U>> {
        Ok(Page {
            data: self.data.into_iter().map(&mut make).collect::<Result<_>>()?,
            current_page: self.current_page,
            last_page: self.last_page,
            per_page: self.per_page,
            total: self.total,
            from: self.from,
            to: self.to,
            path: self.path,
            first_page_url: self.first_page_url,
            last_page_url: self.last_page_url,
            next_page_url: self.next_page_url,
            prev_page_url: self.prev_page_url,
        })
    }
}

impl<T: Serialize + JsonSchema> Reply for Page<T> {
    fn into_response(self, _: &Call) -> Result<Answer> {
        json_response(http::StatusCode::OK, &self)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<Self>(http::StatusCode::OK);
    }
}

impl<T: Listed> Input for List<T> {
    fn read(call: &Call) -> Result<Self> {
        let mut list = Self {
            page: 1,
            per_page: PER_PAGE,
            wanted: Vec::new(),
            fixed: Vec::new(),
            sorts: Vec::new(),
            of: std::marker::PhantomData,
        };
        let mut problems = Vec::new();
        for (name, value) in pairs(&call.query) {
            if let Err(problem) = list.take(&name, value.trim()) {
                problems.push(problem);
            }
        }
        if problems.is_empty() { Ok(list) } else { Err(Error::Invalid(problems)) }
    }

    fn describe(operation: &mut Operation<'_>) {
        let listing = T::LISTING;
        operation.query(
            "page",
            "Which page, from 1.",
            json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX, "default": 1}),
        );
        operation.query(
            "per_page",
            "Rows on a page.",
            json!({"type": "integer", "minimum": 1, "maximum": MOST_PER_PAGE, "default": PER_PAGE}),
        );
        let sorts: Vec<&str> = listing.sorts.iter().map(|sort| sort.name).collect();
        let name = format!("-?({})", sorts.join("|"));
        operation.query(
            "sort",
            &format!("One or several of {}, with commas; a minus turns the order around.", sorts.join(", ")),
            json!({"type": "string", "pattern": format!("^({name}(,{name})*)?$")}),
        );
        for filter in listing.filters {
            let (text, schema) = filter.by.described();
            let name = if let By::Field(_) = filter.by { ".tier" } else { "" };
            operation.query(&format!("filter[{}{name}]", filter.name), text, schema);
            if let By::Moment(_) = filter.by {
                operation.query(&format!("filter[{}][gte]", filter.name), "Not before this moment.", moment());
                operation.query(&format!("filter[{}][lte]", filter.name), "Not after this moment.", moment());
            }
        }
    }
}

impl By {
    fn described(self) -> (&'static str, serde_json::Value) {
        match self {
            Self::Text(_) => ("Contains this text, whatever its case and accents.", json!({"type": "string"})),
            Self::Integer(_) => {
                ("Is this number.", json!({"anyOf": [{"type": "integer", "format": "int64"}, blank()]}))
            }
            Self::Flag(_) => ("1 or 0.", json!({"enum": ["0", "1", "true", "false", ""]})),
            Self::Choice(_, choices) => ("Is this.", json!({"anyOf": [{"enum": choices}, blank()]})),
            Self::Moment(_) => ("At this moment, or on this day.", moment()),
            Self::Phone(_) => ("Has this number, in any format.", json!({"type": "string"})),
            Self::Field(_) => (
                "Any field by its name, as here tier: is this text, whatever its case and accents.",
                json!({"type": "string"}),
            ),
            Self::Term(_) => ("Full-text search: every word begins a word of the resource.", json!({"type": "string"})),
        }
    }

    fn read(self, name: &str, operator: Option<&str>, value: &str) -> Result<Wanted, String> {
        match (self, operator) {
            (Self::Moment(_), operator) => moments(name, operator, value),
            (_, Some(_)) => Err(format!("The filter {name} takes one value, without an operator.")),
            (Self::Text(_) | Self::Phone(_) | Self::Term(_), None) => Ok(Wanted::Text(value.to_owned())),
            (Self::Field(_), None) => match name.split_once('.') {
                Some((_, field)) if !field.is_empty() => Ok(Wanted::Field(field.to_owned(), fold(value))),
                _ => Err(format!("The filter {name} takes the name of a field behind a point, like {name}.tier.")),
            },
            (Self::Integer(_), None) => {
                value.parse().map(Wanted::Integer).map_err(|_| format!("The {name} must be an integer."))
            }
            (Self::Flag(_), None) => match value {
                "1" | "true" => Ok(Wanted::Integer(1)),
                "0" | "false" => Ok(Wanted::Integer(0)),
                _ => Err(format!("The {name} must be true or false.")),
            },
            (Self::Choice(_, choices), None) if choices.contains(&value) => Ok(Wanted::Text(value.to_owned())),
            (Self::Choice(_, choices), None) => {
                Err(format!("The selected {name} is invalid; it may be {}.", choices.join(", ")))
            }
        }
    }

    /// The condition in SQL, and the values bound in it.
    fn condition(self, wanted: &Wanted, db: &Connection) -> Result<(String, Vec<Sql>)> {
        Ok(match (self, wanted) {
            (Self::Text(column), Wanted::Text(text)) => {
                (format!("instr(fold({column}), ?) > 0"), vec![fold(text).into()])
            }
            (Self::Field(column), Wanted::Field(field, text)) => (
                format!(
                    "EXISTS (SELECT 1 FROM json_each({column}) AS field WHERE field.key = ? AND
                     fold(iif(field.type IN ('true', 'false'), field.type, CAST(field.value AS TEXT))) = ?)"
                ),
                vec![field.clone().into(), text.clone().into()],
            ),
            (Self::Choice(column, _), Wanted::Text(text)) => (format!("{column} = ?"), vec![text.clone().into()]),
            (Self::Phone(resource), Wanted::Text(text)) => phones::condition(resource, text, db)?,
            (Self::Term(index), Wanted::Text(text)) => match words(text) {
                Some(words) => (format!("id IN (SELECT rowid FROM {index} WHERE {index} MATCH ?)"), vec![words.into()]),
                None => ("0".into(), Vec::new()),
            },
            (Self::Integer(column) | Self::Flag(column), Wanted::Integer(value)) => {
                (format!("{column} = ?"), vec![(*value).into()])
            }
            (Self::Moment(column), Wanted::Between(from, to)) => {
                (format!("{column} BETWEEN ? AND ?"), vec![(*from).into(), (*to).into()])
            }
            _ => return Err(Error::Internal("a filter was read as one kind and used as another".into())),
        })
    }
}

/// A filter that is left blank is none.
fn blank() -> serde_json::Value {
    json!({"type": "string", "maxLength": 0})
}

fn moment() -> serde_json::Value {
    json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}, blank()]})
}

/// A moment, or a day, as the range of seconds that it stands for.
fn moments(name: &str, operator: Option<&str>, value: &str) -> Result<Wanted, String> {
    let (first, last) = match value.parse::<Date>() {
        Ok(day) if !value.contains(['T', 't', ' ']) => {
            let midnight = day.in_tz("UTC").map_err(|_| format!("The {name} must be a valid date."))?;
            let first = midnight.timestamp().as_second();
            (first, first + 86_399)
        }
        _ => {
            let moment: Timestamp = value.parse().map_err(|said| format!("The {name} {said}"))?;
            (moment.seconds(), moment.seconds())
        }
    };
    match operator {
        None => Ok(Wanted::Between(first, last)),
        Some("gte") => Ok(Wanted::Between(first, i64::MAX)),
        Some("lte") => Ok(Wanted::Between(i64::MIN, last)),
        Some(other) => Err(format!("The filter {name} has no operator {other}; it has gte and lte.")),
    }
}

/// A text as an FTS5 query: each word a quoted prefix, all of them wanted. Nothing in it is left to be an operator.
fn words(text: &str) -> Option<String> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| format!("\"{word}\"*"))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

impl<T: Listed> List<T> {
    /// Takes one name and value of the query; a name that no list knows is left alone.
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "page" => {
                self.page =
                    value.parse().ok().filter(|page| *page >= 1).ok_or("The page must be an integer of at least 1.")?;
            }
            "per_page" => {
                let bounds = format!("The per page must be between 1 and {MOST_PER_PAGE}.");
                self.per_page = value.parse().ok().filter(|n| (1..=MOST_PER_PAGE).contains(n)).ok_or(bounds)?;
            }
            "sort" => {
                for key in value.split(',').filter(|_| !value.is_empty()) {
                    self.sorts.push(Self::sort(key)?);
                }
            }
            _ => {
                if let Some(inside) = name.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']')) {
                    self.filter(inside, value)?;
                }
            }
        }
        Ok(())
    }

    fn sort(key: &str) -> Result<(&'static Sort, Direction), String> {
        let (name, direction) = match key.strip_prefix('-') {
            Some(name) => (name, Direction::Down),
            None => (key, Direction::Up),
        };
        let sorts = const { T::LISTING }.sorts;
        sorts.iter().find(|sort| sort.name == name).map(|sort| (sort, direction)).ok_or_else(|| {
            let allowed: Vec<&str> = sorts.iter().map(|sort| sort.name).collect();
            format!("The selected sort {name} is invalid; it may be {}.", allowed.join(", "))
        })
    }

    fn filter(&mut self, inside: &str, value: &str) -> Result<(), String> {
        let (name, operator) = match inside.split_once("][") {
            Some((name, operator)) => (name, Some(operator)),
            None => (inside, None),
        };
        let filters = const { T::LISTING }.filters;
        let object = name.split_once('.').map(|(object, _)| object);
        let is_named = |filter: &&Filter| match filter.by {
            By::Field(_) => filter.name == object.unwrap_or(name),
            _ => filter.name == name,
        };
        let filter = filters.iter().find(is_named).ok_or_else(|| {
            let allowed: Vec<&str> = filters.iter().map(|filter| filter.name).collect();
            format!("The selected filter {name} is invalid; it may be {}.", allowed.join(", "))
        })?;
        if !value.is_empty() {
            self.wanted.push((filter.by, filter.by.read(name, operator, value)?));
        }
        Ok(())
    }

    /// Only rows whose column is this: a list inside another resource.
    #[must_use]
    pub fn only(mut self, column: &'static str, value: impl Into<Sql>) -> Self {
        self.fixed.push((column, value.into()));
        self
    }

    /// Reads the page.
    pub fn page(&self, ctx: &Ctx<'_>) -> Result<Page<T>> {
        let Listing { table, columns, counted_by_triggers, .. } = T::LISTING;
        let (conditions, mut bound) = self.conditions(ctx)?;
        let filtered =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };

        let count = if filtered.is_empty() && counted_by_triggers {
            format!("SELECT rows FROM row_counts WHERE name = '{table}'")
        } else {
            format!("SELECT count(*) FROM {table}{filtered}")
        };
        let total: i64 = ctx.db.prepare_cached(&count)?.query_row(params_from_iter(&bound), |row| row.get(0))?;

        let offset = (self.page - 1).saturating_mul(self.per_page);
        let many = self.per_page.min(total.saturating_sub(offset)).max(0);
        // A page in the second half is read from the end: to skip rows costs as much as to read them.
        let from_the_end = offset > total / 2;
        let skip = if from_the_end { total - offset - many } else { offset };
        let order = self.order(from_the_end);
        let mut data = Vec::new();
        if many > 0 {
            let sql = format!("SELECT {columns} FROM {table}{filtered} ORDER BY {order} LIMIT ? OFFSET ?");
            bound.extend([many.into(), skip.into()]);
            let mut statement = ctx.db.prepare_cached(&sql)?;
            data = statement.query_map(params_from_iter(&bound), T::from_row)?.collect::<rusqlite::Result<_>>()?;
            if from_the_end {
                data.reverse();
            }
        }
        Ok(self.with_neighbours(data, total, offset, ctx.call))
    }

    /// What rows must be, each in SQL, and the values bound in all of it: what the caller asks, and what it may see.
    pub(super) fn conditions(&self, ctx: &Ctx<'_>) -> Result<(Vec<String>, Vec<Sql>)> {
        let mut conditions = Vec::new();
        let mut bound = Vec::new();
        if let Some(own) = ctx.bound_to() {
            conditions.push(format!("{} = ?", T::LISTING.customer.ok_or_else(Error::bound)?));
            bound.push(own.into());
        }
        for (column, value) in &self.fixed {
            conditions.push(format!("{column} = ?"));
            bound.push(value.clone());
        }
        for (by, wanted) in &self.wanted {
            let (condition, values) = by.condition(wanted, ctx.db)?;
            conditions.push(condition);
            bound.extend(values);
        }
        Ok((conditions, bound))
    }

    /// The order, always total: ties are broken by `id`.
    fn order(&self, turned: bool) -> String {
        let mut keys = Vec::new();
        for (sort, direction) in &self.sorts {
            let down = (*direction == Direction::Down) != turned;
            keys.push(format!("{}{}", sort.column, if down { " DESC" } else { "" }));
        }
        if !self.sorts.iter().any(|(sort, _)| sort.column == "id") {
            let down = (self.sorts.is_empty() && T::LISTING.newest_first) != turned;
            keys.push(if down { "id DESC".into() } else { "id".into() });
        }
        keys.join(", ")
    }

    fn with_neighbours(&self, data: Vec<T>, total: i64, offset: i64, call: &Call) -> Page<T> {
        let last_page = ((total + self.per_page - 1) / self.per_page).max(1);
        let rows = i64::try_from(data.len()).unwrap_or(i64::MAX);
        let path = call.address.url();
        let url = |page: i64| page_url(&path, &call.query, page);
        Page {
            current_page: self.page,
            last_page,
            per_page: self.per_page,
            total,
            from: (rows > 0).then(|| offset + 1),
            to: (rows > 0).then(|| offset + rows),
            first_page_url: url(1),
            last_page_url: url(last_page),
            next_page_url: (self.page < last_page).then(|| url(self.page + 1)),
            prev_page_url: (self.page > 1).then(|| url((self.page - 1).min(last_page))),
            data,
            path,
        }
    }
}

/// Rows that are in memory at once where all of them are changed.
const ROWS_AT_ONCE: i64 = 500;

/// Does something with every row whose column is this, one after the other; the row may be changed or deleted by it.
pub fn each_of<T: Listed>(
    db: &Connection,
    column: &'static str,
    value: i64,
    mut work: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let Listing { table, columns, .. } = T::LISTING;
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

fn page_url(path: &str, query: &str, page: i64) -> String {
    let start = format!("{path}?");
    let length = start.len();
    let mut url = form_urlencoded::Serializer::for_suffix(start, length);
    url.extend_pairs(pairs(query).filter(|(name, _)| name != "page"));
    url.append_pair("page", &page.to_string());
    url.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_keep_the_query() {
        let url = page_url("http://acme.localhost/api/customers", "page=2&filter[name]=a%20b&per_page=5", 3);
        assert_eq!(url, "http://acme.localhost/api/customers?filter%5Bname%5D=a+b&per_page=5&page=3");
    }

    #[test]
    fn nothing_in_a_term_is_an_operator() {
        assert_eq!(words("Zoé OR (x* \"y\")").as_deref(), Some("\"Zoé\"* \"OR\"* \"x\"* \"y\"*"));
        assert_eq!(words(" *-\" "), None);
    }
}

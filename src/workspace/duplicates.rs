//! Duplicates: pairs of records that have the same number, the same address, or the same name. A person says of a pair
//! that it is not the same; it is then not listed again.
//!
//! A page reads an index in its order and stops when it is full or has read enough, so its cost does not grow with the
//! number of records. A value that many records share, as the number of a switchboard, gives only a few pairs at a time.

use std::cmp::Reverse;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::entity::Entity;
use crate::api::field::{Field, labelled};
use crate::api::{CallerScope, Ctx, Done, Error, Json, Ok200, Query, Result};
use crate::auth::encryption::{decrypt_text, encrypt_text};
use crate::tenancy::journal::Recorded;
use crate::values::{Flag, RowId, Text, choice};

choice! {
    /// The value that the records of a pair share. `phone`: a phone number in E.164. `email`: an email address. `name`: the
    /// name, of contacts also the company, without regard to case and accents.
    Reason { PHONE = "phone", EMAIL = "email", NAME = "name" }
}

/// The labels of fields of pairs and of their merge.
pub const FIELDS: &[Field] = &[
    labelled("of", "Duplicates of", "Doublons de"),
    labelled("limit", "Maximum pairs", "Paires au plus"),
    labelled("dismissed", "Dismissed pairs", "Paires écartées"),
    labelled("pairs", "Pairs", "Paires"),
    labelled("fields", "Choices", "Choix"),
    labelled("moved", "Moved", "Transférés"),
    labelled("merged_into", "Merged into", "Fusionné dans"),
    labelled("merged_from", "Merged from", "Fusionné depuis"),
];

/// A value by which records are compared, in an index.
pub struct Criterion {
    reason: Reason,
    table: &'static str,
    id: &'static str,
    /// The value, and its collation.
    key: &'static str,
    collation: &'static str,
    /// The resource, in a table of several.
    resource: Option<&'static str>,
}

impl Criterion {
    /// The same number in any field of the resource.
    pub const fn phone(resource: &'static str) -> Self {
        Self {
            reason: Reason::PHONE,
            table: "phone_numbers",
            id: "resource_id",
            key: "reversed",
            collation: "",
            resource: Some(resource),
        }
    }

    pub const fn email(table: &'static str, key: &'static str) -> Self {
        Self { reason: Reason::EMAIL, table, id: "id", key, collation: "COLLATE NOCASE", resource: None }
    }

    pub const fn name(table: &'static str, key: &'static str) -> Self {
        Self { reason: Reason::NAME, table, id: "id", key, collation: "", resource: None }
    }

    /// The condition on the rows of the table, or of an alias of it. Extensions and impossible numbers do not count.
    fn only(&self, table: &str) -> String {
        let Self { key, resource, .. } = self;
        match resource {
            Some(name) => format!("{table}.resource = '{name}' AND {table}.{key} < '?' AND length({table}.{key}) > 8"),
            None => format!("{table}.{key} IS NOT NULL"),
        }
    }

    /// Reads the values after `?1` in their order, each with its records.
    fn in_order(&self) -> String {
        let Self { table, id, key, collation, .. } = self;
        let only = self.only(table);
        format!(
            "SELECT {key}, {id} FROM {table} WHERE {only} AND {key} {collation} > ?1 ORDER BY {key} {collation}, {id}"
        )
    }

    /// Reads `?2` records that have a value of the record `?1`, and are not that record.
    fn others(&self) -> String {
        let Self { id, .. } = self;
        let same = self.same_value();
        format!("SELECT DISTINCT other.{id} {same} AND other.{id} <> ?1 ORDER BY other.{id} LIMIT ?2")
    }

    /// Reads the values that the records `?1` and `?2` share.
    fn shared(&self) -> String {
        let Self { id, key, .. } = self;
        format!("SELECT DISTINCT own.{key} {} AND other.{id} = ?2", self.same_value())
    }

    /// The rows of the record `?1`, each with the rows that have its value.
    fn same_value(&self) -> String {
        let Self { table, id, key, collation, .. } = self;
        let (own, other) = (self.only("own"), self.only("other"));
        format!(
            "FROM {table} own CROSS JOIN {table} other ON other.{key} = own.{key} {collation}
             WHERE own.{id} = ?1 AND {own} AND {other}"
        )
    }

    /// Counts the records with the value `?1`, up to `?2`.
    fn count(&self) -> String {
        let Self { table, id, key, collation, .. } = self;
        let only = self.only(table);
        format!(
            "SELECT count(*) FROM (SELECT DISTINCT {id} FROM {table} WHERE {only} AND {key} = ?1 {collation} LIMIT ?2)"
        )
    }
}

/// A resource whose records are compared.
pub trait Duplicated: Entity<Scope = CallerScope> {
    /// The surest comes first.
    const CRITERIA: &'static [Criterion; 3];

    /// The table of the pairs that were dismissed.
    const DISMISSED: &'static str;

    const DISMISSAL: &'static Recorded;
}

/// Pairs after which a page ends.
const MOST_PAIRS: i64 = 100;
const PAIRS: i64 = 20;

/// Records with the same value that are compared with each other.
const MOST_RECORDS: usize = 50;
const MOST_OTHERS: i64 = 49;

/// Pairs of records with the same value that a page lists.
const MOST_OF_ONE_VALUE: usize = 10;

/// All pairs of at most so many records with the same value are listed.
const FEW_RECORDS: i64 = 5;

/// Maximum index entries that a page reads. A record that is read counts as ten.
const MOST_READ: usize = 50_000;
const READ_OF_RECORD: usize = 10;

/// Parameters of the list of duplicates.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DuplicatesQuery {
    /// Only the pairs of the record with this id.
    of: Option<RowId>,
    /// Number of pairs after which a page ends. Pairs with the same value stay together, so a page may have up to 9 more.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    cursor: Option<Text<1000>>,
    /// List the dismissed pairs instead.
    dismissed: Flag,
}

/// A page of duplicates. At most 10 pairs with one value are listed at a time, among the first 50 records with that value.
/// Others follow when these are merged or dismissed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Duplicates")]
pub struct Duplicates<T> {
    /// Pairs of records, the surest first: by number, then by address, then by name.
    pairs: Vec<DuplicatePair<T>>,
    /// Value of `cursor` for the next page. Null on the last page. A page reads a limited part of the records, so it may
    /// have few pairs or none, and still a next page.
    next_cursor: Option<String>,
}

/// Two records that may be the same.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}DuplicatePair")]
pub struct DuplicatePair<T> {
    /// The older record.
    a: T,
    /// The newer record.
    b: T,
    /// Reasons why the records may be the same, the surest first. Empty in the list of dismissed pairs.
    reasons: Vec<Reason>,
    /// Number of records that have the value in common, up to 50.
    #[schemars(range(min = 2, max = 50))]
    shared_by: usize,
}

/// A pair of records. The order does not matter.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("examples" = [{"a": 1, "b": 2}]))]
pub struct PairOfRecords {
    /// Id of one record.
    a: RowId,
    /// Id of the other record.
    b: RowId,
}

/// Lists pairs of records that may be the same.
pub fn list<T: Duplicated>(ctx: &mut Ctx<'_>, Query(query): Query<DuplicatesQuery>) -> Result<Ok200<Duplicates<T>>> {
    let limit = query.limit.unwrap_or(PAIRS);
    if !(1..=MOST_PAIRS).contains(&limit) {
        return Err(Error::invalid(format!("The limit must be between 1 and {MOST_PAIRS}.")));
    }
    let limit = usize::try_from(limit).unwrap_or_default();
    let search = Search::<T>::new(ctx);
    let found = match query.of {
        Some(id) => search.of_record(id.get(), limit, query.dismissed.0)?,
        None => {
            let position = query.cursor.as_deref().filter(|text| !text.is_empty());
            let position = position.map(|text| Position::read::<T>(ctx, text)).transpose()?.unwrap_or_default();
            match query.dismissed.0 {
                true => search.dismissed_after(&position, limit)?,
                false => search.after(position, limit)?,
            }
        }
    };
    let next_cursor = found.next.map(|position| position.write::<T>(ctx)).transpose()?;
    Ok(Ok200(Duplicates { pairs: found.pairs, next_cursor }))
}

/// Remembers that two records are not the same.
pub fn dismiss<T: Duplicated>(ctx: &mut Ctx<'_>, Json(pair): Json<PairOfRecords>) -> Result<Done> {
    let pair = pair.checked::<T>(ctx)?;
    let sql = format!("INSERT OR IGNORE INTO {} (a, b) VALUES (?1, ?2)", T::DISMISSED);
    if ctx.db.prepare_cached(&sql)?.execute((pair.a.get(), pair.b.get()))? > 0 {
        ctx.recorder()?.created(ctx.db, T::DISMISSAL, &pair)?;
    }
    Ok(Done)
}

/// Forgets that two records are not the same.
pub fn restore<T: Duplicated>(ctx: &mut Ctx<'_>, Json(pair): Json<PairOfRecords>) -> Result<Done> {
    let pair = pair.checked::<T>(ctx)?;
    let sql = format!("DELETE FROM {} WHERE a = ?1 AND b = ?2", T::DISMISSED);
    if ctx.db.prepare_cached(&sql)?.execute((pair.a.get(), pair.b.get()))? > 0 {
        ctx.recorder()?.deleted(ctx.db, T::DISMISSAL, &pair)?;
    }
    Ok(Done)
}

/// Moves the dismissals of a record that is merged into another: whoever is not the same as the one is not the same as
/// the other.
pub fn move_dismissals<T: Duplicated>(db: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    let table = T::DISMISSED;
    let sql = format!(
        "INSERT OR IGNORE INTO {table} (a, b)
         SELECT min(other, ?2), max(other, ?2)
         FROM (SELECT b AS other FROM {table} WHERE a = ?1 UNION SELECT a FROM {table} WHERE b = ?1) WHERE other <> ?2"
    );
    db.prepare_cached(&sql)?.execute((from, to))?;
    let sql = format!("DELETE FROM {table} WHERE a = ?1 OR b = ?1");
    db.prepare_cached(&sql)?.execute([from])?;
    Ok(())
}

impl PairOfRecords {
    /// The pair in order. Both records must exist and be visible to the caller.
    fn checked<T: Duplicated>(&self, ctx: &Ctx<'_>) -> Result<Self> {
        let mut problems = Vec::new();
        for (name, id) in [("a", self.a), ("b", self.b)] {
            let found = T::find(ctx.db, id.get())?.filter(|record| record.is_visible_to(ctx.bound_to()));
            if found.is_none() {
                problems.push(format!("The selected {name} is invalid."));
            }
        }
        if problems.is_empty() && self.a == self.b {
            problems.push("The a and b must be different.".into());
        }
        match problems.is_empty() {
            true => Ok(Self { a: self.a.get().min(self.b.get()).into(), b: self.a.get().max(self.b.get()).into() }),
            false => Err(Error::sentences(problems)),
        }
    }
}

/// Where a page begins: after a value of a criterion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    criterion: usize,
    after: String,
}

impl Position {
    /// A cursor is encrypted: its value may be of a record that the caller must not see.
    fn write<T: Duplicated>(&self, ctx: &Ctx<'_>) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|error| Error::Internal(error.to_string()))?;
        let sealed = encrypt_text(&text, T::DISMISSED.as_bytes(), &ctx.request.instance.keys);
        sealed.map_err(|error| Error::Internal(error.to_string()))
    }

    fn read<T: Duplicated>(ctx: &Ctx<'_>, cursor: &str) -> Result<Self> {
        let text = decrypt_text(cursor, T::DISMISSED.as_bytes(), &ctx.request.instance.keys);
        let position = text.and_then(|text| serde_json::from_str(&text).ok());
        position.ok_or_else(|| Error::invalid("The cursor does not belong to this list."))
    }
}

/// The pairs of a page, and where the next one begins.
struct Found<T> {
    pairs: Vec<DuplicatePair<T>>,
    next: Option<Position>,
}

/// A search for the duplicates that a caller sees.
struct Search<'c, T> {
    db: &'c Connection,
    bound_to: Option<i64>,
    of: std::marker::PhantomData<T>,
}

impl<'c, T: Duplicated> Search<'c, T> {
    fn new(ctx: &Ctx<'c>) -> Self {
        Self { db: ctx.db, bound_to: ctx.bound_to(), of: std::marker::PhantomData }
    }

    /// A record that the caller sees.
    fn record(&self, id: i64) -> Result<Option<T>> {
        Ok(T::find(self.db, id)?.filter(|record| record.is_visible_to(self.bound_to)))
    }

    /// The pairs after a position.
    fn after(&self, position: Position, limit: usize) -> Result<Found<T>> {
        let (mut pairs, mut left, mut next) = (Vec::new(), MOST_READ, None);
        let Position { criterion: first, mut after } = position;
        for place in first..T::CRITERIA.len() {
            self.each_value(&T::CRITERIA[place], &after, |value, ids| {
                left = left.saturating_sub(ids.len());
                if ids.len() > 1 {
                    left = left.saturating_sub(ids.len() * READ_OF_RECORD);
                    self.pairs_of_value(place, value, ids, &mut pairs)?;
                }
                let is_full = pairs.len() >= limit || left == 0;
                next = is_full.then(|| Position { criterion: place, after: value.to_owned() });
                Ok(!is_full)
            })?;
            if next.is_some() {
                break;
            }
            after = String::new();
        }
        pairs.sort_by_key(|pair: &DuplicatePair<T>| Reverse(pair.reasons.len()));
        Ok(Found { pairs, next })
    }

    /// Calls `work` with each value after `after` and its first records, until it returns false.
    fn each_value(
        &self,
        criterion: &Criterion,
        after: &str,
        mut work: impl FnMut(&str, &[i64]) -> Result<bool>,
    ) -> Result<()> {
        let mut statement = self.db.prepare_cached(&criterion.in_order())?;
        let (mut value, mut ids) = (after.to_owned(), Vec::new());
        loop {
            let mut rows = statement.query([&value])?;
            // A value with more records is left: the next query begins after it.
            while ids.len() < MOST_RECORDS {
                let row = rows.next()?;
                let next = row.map(|row| row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)).transpose()?;
                if !ids.is_empty() && next.is_none_or(|next| !next.eq_ignore_ascii_case(&value)) {
                    if !work(&value, &ids)? {
                        return Ok(());
                    }
                    ids.clear();
                }
                let (Some(row), Some(next)) = (row, next) else { return Ok(()) };
                if ids.is_empty() {
                    next.clone_into(&mut value);
                }
                let id = row.get(1)?;
                if ids.last() != Some(&id) {
                    ids.push(id);
                }
            }
            if !work(&value, &ids)? {
                return Ok(());
            }
            ids.clear();
        }
    }

    /// Adds the pairs of records with the same value of a criterion.
    fn pairs_of_value(&self, place: usize, value: &str, ids: &[i64], pairs: &mut Vec<DuplicatePair<T>>) -> Result<()> {
        let seen = self.records(ids)?;
        let all = seen.iter().enumerate().flat_map(|(place, a)| seen[place + 1..].iter().map(move |b| (a, b)));
        let mut added = 0;
        for (a, b) in all {
            if self.is_dismissed(a.id(), b.id())? || self.is_listed_before(place, value, a.id(), b.id())? {
                continue;
            }
            let reasons = self.reasons(a.id(), b.id())?;
            pairs.push(DuplicatePair { a: a.clone(), b: b.clone(), reasons, shared_by: seen.len() });
            added += 1;
            if added == MOST_OF_ONE_VALUE {
                break;
            }
        }
        Ok(())
    }

    /// The records among these that the caller sees.
    fn records(&self, ids: &[i64]) -> Result<Vec<T>> {
        let found = ids.iter().map(|id| self.record(*id)).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Whether the pair is listed already: it shares an earlier value, or one of a surer criterion, which few records have.
    fn is_listed_before(&self, place: usize, value: &str, a: i64, b: i64) -> Result<bool> {
        for (surer, criterion) in T::CRITERIA[..=place].iter().enumerate() {
            for shared in self.shared(criterion, a, b)? {
                // As the collation compares: without regard to case.
                let is_earlier = surer < place || shared.to_ascii_lowercase() < value.to_ascii_lowercase();
                if !is_earlier {
                    continue;
                }
                let count: i64 = self
                    .db
                    .prepare_cached(&criterion.count())?
                    .query_row((&shared, FEW_RECORDS + 1), |row| row.get(0))?;
                if (2..=FEW_RECORDS).contains(&count) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The values of a criterion that two records share.
    fn shared(&self, criterion: &Criterion, a: i64, b: i64) -> Result<Vec<String>> {
        let mut statement = self.db.prepare_cached(&criterion.shared())?;
        Ok(statement.query_map((a, b), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }

    fn reasons(&self, a: i64, b: i64) -> Result<Vec<Reason>> {
        let mut reasons = Vec::new();
        for criterion in T::CRITERIA {
            if !self.shared(criterion, a, b)?.is_empty() {
                reasons.push(criterion.reason);
            }
        }
        Ok(reasons)
    }

    fn is_dismissed(&self, a: i64, b: i64) -> rusqlite::Result<bool> {
        let sql = format!("SELECT 1 FROM {} WHERE a = ?1 AND b = ?2", T::DISMISSED);
        self.db.prepare_cached(&sql)?.exists((a.min(b), a.max(b)))
    }

    /// The pairs of one record.
    fn of_record(&self, id: i64, limit: usize, dismissed: bool) -> Result<Found<T>> {
        let record = self.record(id)?.ok_or_else(|| Error::invalid("The selected of is invalid."))?;
        let mut pairs: Vec<DuplicatePair<T>> = Vec::new();
        for criterion in T::CRITERIA {
            let mut statement = self.db.prepare_cached(&criterion.others())?;
            let ids = statement.query_map((id, MOST_OTHERS), |row| row.get(0))?;
            let others = self.records(&ids.collect::<rusqlite::Result<Vec<i64>>>()?)?;
            let shared_by = others.len() + 1;
            for other in others {
                let is_known = pairs.iter().any(|pair| [pair.a.id(), pair.b.id()].contains(&other.id()));
                if is_known || self.is_dismissed(id, other.id())? != dismissed {
                    continue;
                }
                let reasons = self.reasons(id, other.id())?;
                let (a, b) = if id < other.id() { (record.clone(), other) } else { (other, record.clone()) };
                pairs.push(DuplicatePair { a, b, reasons, shared_by });
            }
        }
        pairs.sort_by_key(|pair| Reverse(pair.reasons.len()));
        pairs.truncate(limit);
        Ok(Found { pairs, next: None })
    }

    /// The dismissed pairs after a position.
    fn dismissed_after(&self, position: &Position, limit: usize) -> Result<Found<T>> {
        let after = position.after.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (a, b): (i64, i64) = after.unwrap_or_default();
        let sql = format!("SELECT a, b FROM {} WHERE (a, b) > (?1, ?2) ORDER BY a, b LIMIT ?3", T::DISMISSED);
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map((a, b, i64::try_from(limit).unwrap_or(MOST_PAIRS)), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        let ids = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let last = ids.last().filter(|_| ids.len() == limit);
        let next = last.map(|(a, b)| Position { criterion: 0, after: format!("{a} {b}") });
        let mut pairs = Vec::new();
        for (a, b) in ids {
            if let (Some(a), Some(b)) = (self.record(a)?, self.record(b)?) {
                pairs.push(DuplicatePair { a, b, reasons: Vec::new(), shared_by: 2 });
            }
        }
        Ok(Found { pairs, next })
    }
}

#[cfg(test)]
mod tests;

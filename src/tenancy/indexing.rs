//! Indexes of a workspace file that depend on rules: the search indexes of phone numbers and texts.
//!
//! The rules change with the program and with the workspace's default country. A setting in the file names the rules by
//! which each index was written. If they are outdated, a pass rewrites the index in many short turns, so that others
//! can read and write in between. Meanwhile the setting holds the state of the pass. So the next pass continues from
//! there after a crash or a restore.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::locale_settings::{default_country, setting};
use super::phones::{self, PhoneColumns};

/// Version of the rules for phone numbers (`values/phone.rs`) and texts (`values/normalize.rs`). Increase it with each
/// change of those rules: every file is then reindexed.
const RULES: u32 = 2;

/// An index over several tables.
#[derive(Debug)]
pub struct Index {
    /// The setting that names the rules.
    setting: &'static str,
    /// Returns the current rules.
    rules: fn(&Connection) -> rusqlite::Result<String>,
    steps: LazyLock<Vec<Step>>,
}

/// The part of an index that covers one table.
#[derive(Debug)]
pub struct Step {
    pub table: &'static str,
    pub work: Reindexing,
}

#[derive(Debug)]
pub enum Reindexing {
    /// Also runs repeatable statements like those below.
    Numbers(&'static PhoneColumns, Vec<String>),
    /// Repeatable statements, for the ids above `?1` and up to `?2`.
    Statements(Vec<String>),
    Function(fn(&Connection, i64, i64) -> rusqlite::Result<()>),
}

impl Index {
    pub const fn of_numbers(steps: fn() -> Vec<Step>) -> Self {
        Self { setting: "phones_indexed_for", rules: number_rules, steps: LazyLock::new(steps) }
    }

    pub const fn of_texts(steps: fn() -> Vec<Step>) -> Self {
        Self { setting: TEXTS, rules: |_| Ok(text_rules()), steps: LazyLock::new(steps) }
    }

    /// Whether the whole index follows the current rules.
    pub fn is_current(&self, db: &Connection) -> rusqlite::Result<bool> {
        Ok(setting(db, self.setting)? == Some((self.rules)(db)?))
    }
}

const TEXTS: &str = "texts_indexed_by";

/// The rules for phone numbers depend on the default country too.
fn number_rules(db: &Connection) -> rusqlite::Result<String> {
    Ok(number_rules_for(default_country(db)?.as_ref()))
}

/// The name of the current rules for phone numbers, with this default country.
pub fn number_rules_for(country: &str) -> String {
    format!("{country} {RULES}")
}

/// The name of the current rules for texts.
pub fn text_rules() -> String {
    RULES.to_string()
}

/// Whether every row has its current sort and search texts.
pub fn texts_are_current(db: &Connection) -> rusqlite::Result<bool> {
    Ok(setting(db, TEXTS)? == Some(text_rules()))
}

/// A pass over all rows of an index. If a later pass begins, this one stops.
#[derive(Debug, Clone)]
pub struct Pass {
    index: &'static Index,
    name: String,
    rules: String,
}

/// The progress of a pass.
struct IndexProgress {
    name: String,
    /// The table of the current step.
    table: String,
    /// The id of the last finished row in the table of this step.
    after: i64,
    rules: String,
}

impl Pass {
    /// Begins a pass if the index does not follow the current rules, or continues an unfinished pass.
    pub fn begin(db: &Connection, index: &'static Index) -> rusqlite::Result<Option<Self>> {
        let (found, rules) = (setting(db, index.setting)?, (index.rules)(db)?);
        if found.as_ref() == Some(&rules) {
            return Ok(None);
        }
        // An unfinished pass by other rules starts again.
        let before = found.as_deref().and_then(IndexProgress::read).filter(|state| state.rules == rules);
        let pass = Self { index, name: Uuid::now_v7().to_string(), rules };
        match (before.filter(|state| pass.position(&state.table).is_some()), index.steps.first()) {
            (Some(state), _) => pass.save(db, &state.table, state.after)?,
            (None, Some(first)) => pass.save(db, first.table, 0)?,
            (None, None) => pass.write(db, &pass.rules)?,
        }
        Ok(Some(pass))
    }

    /// Reindexes the next `many` rows. Returns whether there are more.
    pub fn index_next(&self, db: &Connection, many: usize) -> rusqlite::Result<bool> {
        let found = setting(db, self.index.setting)?;
        let state = found.as_deref().and_then(IndexProgress::read).filter(|state| state.name == self.name);
        let Some(IndexProgress { table, after, .. }) = state else { return Ok(false) };
        let Some(position) = self.position(&table) else { return Ok(false) };
        let (step, next) = (&self.index.steps[position], self.index.steps.get(position + 1));
        match (last_of(db, step.table, after, many)?, next) {
            (Some(last), _) => {
                step.run(db, after, last)?;
                self.save(db, step.table, last)?;
            }
            (None, Some(next)) => self.save(db, next.table, 0)?,
            (None, None) => {
                self.write(db, &self.rules)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn position(&self, table: &str) -> Option<usize> {
        self.index.steps.iter().position(|step| step.table == table)
    }

    fn save(&self, db: &Connection, table: &str, after: i64) -> rusqlite::Result<()> {
        self.write(db, &format!("pass {} {table} {after} {}", self.name, self.rules))
    }

    fn write(&self, db: &Connection, value: &str) -> rusqlite::Result<()> {
        db.prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)")?
            .execute((self.index.setting, value))?;
        Ok(())
    }
}

impl IndexProgress {
    /// Returns `None` if the setting names rules. The same holds for a pass in the format of an earlier version: that
    /// pass starts again.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("pass ")?.splitn(4, ' ');
        Some(Self {
            name: words.next()?.to_owned(),
            table: words.next()?.to_owned(),
            after: words.next()?.parse().ok()?,
            rules: words.next()?.to_owned(),
        })
    }
}

impl Step {
    fn run(&self, db: &Connection, after: i64, last: i64) -> rusqlite::Result<()> {
        match &self.work {
            Reindexing::Numbers(numbered, statements) => {
                phones::reindex(db, numbered, after, last)?;
                run_all(db, statements, after, last)
            }
            Reindexing::Statements(statements) => run_all(db, statements, after, last),
            Reindexing::Function(function) => function(db, after, last),
        }
    }
}

fn run_all(db: &Connection, statements: &[String], after: i64, last: i64) -> rusqlite::Result<()> {
    statements.iter().try_for_each(|sql| db.prepare_cached(sql)?.execute((after, last)).map(|_| ()))
}

/// The id of the last of the next `many` rows of a table.
fn last_of(db: &Connection, table: &str, after: i64, many: usize) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT max(id) FROM (SELECT id FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2)");
    let many = i64::try_from(many).unwrap_or(i64::MAX);
    db.prepare_cached(&sql)?.query_row((after, many), |row| row.get(0)).optional().map(Option::flatten)
}

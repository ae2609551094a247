//! Indexes of a workspace's file that follow from rules: what numbers and texts are found by.
//!
//! The rules change with the program, and with the workspace's default country. The file says by which rules each index
//! was written. Where those are not the rules of now, a pass writes the index anew, in many short turns, so that others
//! read and write between them. The setting that names the rules holds the state of the pass meanwhile: after a crash, or
//! in a copy that was restored, the next pass goes on from there.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::phones::{self, Numbered};
use super::settings::{default_country, setting};

/// Which rules for numbers (`values/phone.rs`) and for texts (`values/fold.rs`) this program has. Whoever changes what
/// either makes of a text raises this, and every file is indexed anew.
const RULES: u32 = 2;

/// An index, which is of several tables.
#[derive(Debug)]
pub struct Index {
    /// The setting that names the rules.
    setting: &'static str,
    /// The rules of now.
    rules: fn(&Connection) -> rusqlite::Result<String>,
    steps: &'static [Step],
}

/// One table's part of an index.
#[derive(Debug)]
pub enum Step {
    Numbers(&'static Numbered),
    /// Statements that do the same however often they run, for the ids above `?1` and up to `?2`.
    Texts {
        table: &'static str,
        statements: &'static [&'static str],
    },
    Rows {
        table: &'static str,
        work: fn(&Connection, i64, i64) -> rusqlite::Result<()>,
    },
}

impl Index {
    pub const fn of_numbers(steps: &'static [Step]) -> Self {
        Self { setting: "phones_indexed_for", rules: number_rules, steps }
    }

    pub const fn of_texts(steps: &'static [Step]) -> Self {
        Self { setting: TEXTS, rules: |_| Ok(text_rules()), steps }
    }

    /// Whether the whole index follows the rules of now.
    pub fn is_current(&self, db: &Connection) -> rusqlite::Result<bool> {
        Ok(setting(db, self.setting)? == Some((self.rules)(db)?))
    }
}

const TEXTS: &str = "texts_indexed_by";

/// Numbers are read by a country too.
fn number_rules(db: &Connection) -> rusqlite::Result<String> {
    Ok(number_rules_for(default_country(db)?.as_ref()))
}

/// How a file that is indexed by the rules of now names them, with this default country.
pub fn number_rules_for(country: &str) -> String {
    format!("{country} {RULES}")
}

/// How a file that is indexed by the rules of now names those for texts.
pub fn text_rules() -> String {
    RULES.to_string()
}

/// Whether what is sorted and searched by is there of every row.
pub fn texts_are_current(db: &Connection) -> rusqlite::Result<bool> {
    Ok(setting(db, TEXTS)? == Some(text_rules()))
}

/// A pass over all rows of an index. One that begins later overtakes it: then it does no more.
#[derive(Debug, Clone)]
pub struct Pass {
    index: &'static Index,
    name: String,
    rules: String,
}

/// How far a pass is.
struct State {
    name: String,
    step: usize,
    /// The id of the last row that it has done of the step's table.
    after: i64,
    rules: String,
}

impl Pass {
    /// Begins one where the index follows other rules than those of now, or goes on with one that was not finished.
    pub fn begin(db: &Connection, index: &'static Index) -> rusqlite::Result<Option<Self>> {
        let (found, rules) = (setting(db, index.setting)?, (index.rules)(db)?);
        if found.as_ref() == Some(&rules) {
            return Ok(None);
        }
        // What another pass has done by other rules is done again.
        let before = found.as_deref().and_then(State::read).filter(|state| state.rules == rules);
        let (step, after) = before.map_or((0, 0), |state| (state.step, state.after));
        let pass = Self { index, name: Uuid::now_v7().to_string(), rules };
        pass.save(db, step, after)?;
        Ok(Some(pass))
    }

    /// Indexes the next `many` rows anew; answers whether there are more.
    pub fn turn(&self, db: &Connection, many: usize) -> rusqlite::Result<bool> {
        let found = setting(db, self.index.setting)?;
        let state = found.as_deref().and_then(State::read).filter(|state| state.name == self.name);
        let Some(State { step, after, .. }) = state else { return Ok(false) };
        let Some(now) = self.index.steps.get(step) else {
            self.write(db, &self.rules)?;
            return Ok(false);
        };
        match last_of(db, now.table(), after, many)? {
            Some(last) => {
                now.work(db, after, last)?;
                self.save(db, step, last)?;
            }
            None => self.save(db, step + 1, 0)?,
        }
        Ok(true)
    }

    fn save(&self, db: &Connection, step: usize, after: i64) -> rusqlite::Result<()> {
        self.write(db, &format!("pass {} {step} {after} {}", self.name, self.rules))
    }

    fn write(&self, db: &Connection, value: &str) -> rusqlite::Result<()> {
        db.prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)")?
            .execute((self.index.setting, value))?;
        Ok(())
    }
}

impl State {
    /// Nothing where the setting names rules, or is of an earlier version, which began again.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("pass ")?.splitn(4, ' ');
        Some(Self {
            name: words.next()?.to_owned(),
            step: words.next()?.parse().ok()?,
            after: words.next()?.parse().ok()?,
            rules: words.next()?.to_owned(),
        })
    }
}

impl Step {
    fn table(&self) -> &'static str {
        match self {
            Self::Numbers(Numbered { table, .. }) | Self::Texts { table, .. } | Self::Rows { table, .. } => table,
        }
    }

    fn work(&self, db: &Connection, after: i64, last: i64) -> rusqlite::Result<()> {
        match self {
            Self::Numbers(numbered) => phones::index_anew(db, numbered, after, last),
            Self::Texts { statements, .. } => statements.iter().try_for_each(|sql| {
                db.prepare_cached(sql)?.execute((after, last))?;
                Ok(())
            }),
            Self::Rows { work, .. } => work(db, after, last),
        }
    }
}

/// The id of the last of the next `many` rows of a table.
fn last_of(db: &Connection, table: &str, after: i64, many: usize) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT max(id) FROM (SELECT id FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2)");
    let many = i64::try_from(many).unwrap_or(i64::MAX);
    db.prepare_cached(&sql)?.query_row((after, many), |row| row.get(0)).optional().map(Option::flatten)
}

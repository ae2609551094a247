//! Overwrites pages of a file in service with the pages that another machine wrote.

use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;

use super::sqlite_connection::open_page_writer;
use super::wal::{FilePages, Wal, WalPosition};

/// Overwrites pages in one transaction, and returns its end in the WAL. `choose` returns the pages, or `None` to change
/// nothing. Nobody else writes from its call until the commit.
pub fn overwrite_pages(
    path: &Path,
    choose: impl FnOnce() -> anyhow::Result<Option<FilePages>>,
) -> anyhow::Result<Option<WalPosition>> {
    let db = open_page_writer(path).with_context(|| format!("cannot open {}", path.display()))?;
    db.execute_batch("BEGIN IMMEDIATE")?;
    let Some(chosen) = choose()? else { return Ok(None) };
    let before = Wal::open(path)?.map(|mut wal| wal.end(wal.start())).transpose()?;
    overwrite(&db, &chosen).with_context(|| format!("cannot write {}", path.display()))?;
    let mut wal = Wal::open(path)?.context("a commit left no WAL")?;
    // A WAL that was copied into the file begins again.
    let from = match before {
        Some(before) if wal.contains(&before)? => before,
        _ => wal.start(),
    };
    Ok(Some(wal.end_of_first(from)?.context("a commit is not in the WAL")?))
}

fn overwrite(db: &Connection, chosen: &FilePages) -> rusqlite::Result<()> {
    let mut insert = db.prepare("INSERT INTO sqlite_dbpage (pgno, data) VALUES (?1, ?2)")?;
    for (number, page) in chosen.pages.iter().filter(|(number, _)| **number != 1) {
        insert.execute((number, page))?;
    }
    drop(insert);
    // A row without data cuts off all pages from its number on. It shares a statement with page 1: after a change of page 1
    // the next statement would read the schema, through a b-tree that does not know its new pages.
    let cut = (chosen.pages_in_file + 1, None::<&[u8]>);
    match chosen.pages.get(&1) {
        Some(first) => {
            let sql = "INSERT INTO sqlite_dbpage (pgno, data) VALUES (1, ?1), (?2, ?3)";
            db.execute(sql, (first, cut.0, cut.1))?;
        }
        None => drop(db.execute("INSERT INTO sqlite_dbpage (pgno, data) VALUES (?1, ?2)", cut)?),
    }
    db.execute_batch("COMMIT")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::storage::wal::pages_at;
    use crate::storage::{FileKind, companion_path, copy_wal, create, integrity_problems, open_reader, open_writer};

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16),
        Delete,
        Vacuum,
        Checkpoint,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1_u16..9_000).prop_map(Step::Insert),
            1 => Just(Step::Delete),
            1 => Just(Step::Vacuum),
            1 => Just(Step::Checkpoint),
        ]
    }

    fn run(db: &Connection, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Insert(size) => {
                    db.execute("INSERT INTO some (text) VALUES (?1)", ["x".repeat((*size).into())]).unwrap();
                }
                Step::Delete => drop(db.execute("DELETE FROM some WHERE id % 2 = 0", []).unwrap()),
                Step::Vacuum => db.execute_batch("VACUUM").unwrap(),
                Step::Checkpoint => drop(copy_wal(db).unwrap()),
            }
        }
    }

    fn rows(db: &Connection) -> Vec<(i64, i64)> {
        let mut rows = db.prepare_cached("SELECT id, length(text) FROM some ORDER BY id").unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

        /// Commits are undone, and the commits of another machine take their place, while a writer and a reader stay
        /// open.
        #[test]
        fn the_commits_of_another_machine_replace_the_own_ones(
            common in prop::collection::vec(step(), 1..12),
            own in prop::collection::vec((1_u16..9_000).prop_map(Step::Insert), 0..6),
            others in prop::collection::vec(step(), 1..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (path, other) = (folder.path().join("one.sqlite"), folder.path().join("two.sqlite"));
            create(&path, FileKind::Workspace).unwrap();
            let db = open_writer(&path).unwrap();
            db.execute_batch("CREATE TABLE some (id INTEGER PRIMARY KEY, text TEXT NOT NULL)").unwrap();
            run(&db, &common);
            fs::copy(&path, &other).unwrap();
            fs::copy(companion_path(&path, "-wal"), companion_path(&other, "-wal")).unwrap();
            let reader = open_reader(&path).unwrap();
            rows(&reader);
            let stored = Wal::open(&path).unwrap().map(|mut wal| wal.end(wal.start()).unwrap());
            run(&db, &own);

            let others_db = open_writer(&other).unwrap();
            let all_pages = || {
                copy_wal(&others_db).unwrap();
                let page_size = others_db.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0)).unwrap();
                fs::read(&other).unwrap().chunks(page_size as usize).map(<[u8]>::to_vec).collect::<Vec<_>>()
            };
            let before = all_pages();
            run(&others_db, &others);
            let after = all_pages();
            let changed = (1..).zip(&after).enumerate().filter(|(n, (_, page))| before.get(*n) != Some(*page));
            let theirs: BTreeMap<u32, Vec<u8>> = changed.map(|(_, (number, page))| (number, page.clone())).collect();

            let mut wal = Wal::open(&path).unwrap();
            let from = stored.filter(|stored| wal.as_mut().is_some_and(|wal| wal.contains(stored).unwrap()));
            let end = overwrite_pages(&path, || {
                let undone: BTreeSet<u32> = match (&mut wal, own.len()) {
                    (Some(wal), 1..) => {
                        let from = from.unwrap_or(wal.start());
                        wal.read(from, None)?.map(|read| read.pages.into_keys().collect()).unwrap_or_default()
                    }
                    _ => BTreeSet::new(),
                };
                let mut chosen = pages_at(&path, from.as_ref(), &undone)?;
                chosen.pages_in_file = u32::try_from(after.len()).unwrap();
                chosen.pages.split_off(&(chosen.pages_in_file + 1));
                chosen.pages.extend(theirs.clone());
                Ok(Some(chosen))
            }).unwrap().unwrap();
            let mut wal = Wal::open(&path).unwrap().unwrap();
            prop_assert_eq!(wal.end(wal.start()).unwrap(), end);
            for known in [&reader, &db, &open_reader(&path).unwrap()] {
                prop_assert_eq!(rows(known), rows(&others_db));
            }
            prop_assert_eq!(integrity_problems(&db).unwrap(), Vec::<String>::new());
            run(&db, &[Step::Insert(10), Step::Vacuum]);
            prop_assert_eq!(integrity_problems(&db).unwrap(), Vec::<String>::new());
        }
    }
}

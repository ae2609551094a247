//! Tests of batches, lanes and files, with any kind of job.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::batch::FinishedJob;
use super::*;
use crate::api::Error;

struct TestFile {
    file: Arc<File>,
    storage: Arc<Storage>,
    _folder: TempDir,
}

impl TestFile {
    fn new(longest_lane: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.sqlite");
        create(&path, FileKind::Workspace).unwrap();
        let limits = Limits { read_turns: 2, longest_lane, statement: Duration::from_millis(300) };
        let storage =
            Storage::start(3, limits, &Arc::default(), None, UpdateCopies::of_data_dir(folder.path())).unwrap();
        Self { file: File::new(&storage, path, FileKind::Workspace), storage, _folder: folder }
    }

    fn settings(&self) -> Vec<String> {
        let names = self.file.read(|db| {
            let mut statement = db.prepare("SELECT name FROM settings ORDER BY name")?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok::<_, Error>(names.collect::<rusqlite::Result<_>>()?)
        });
        names.unwrap()
    }

    /// Holds the write lane until the sender is used or dropped. Jobs submitted meanwhile form one batch.
    fn hold_writer(&self) -> Sender<()> {
        let (release, held) = channel::<()>();
        let (began, begun) = channel();
        self.submit("a-hold", move |_| {
            let _ = began.send(());
            let _ = held.recv();
            Verdict::Rollback
        });
        begun.recv().unwrap();
        release
    }

    fn submit(&self, name: &'static str, work: impl FnMut(&Connection) -> Verdict + Send + 'static) -> Answers {
        self.submit_within(None, name, work)
    }

    fn submit_within(
        &self,
        limit: Option<Duration>,
        name: &'static str,
        work: impl FnMut(&Connection) -> Verdict + Send + 'static,
    ) -> Answers {
        let (told, answers) = channel();
        self.file.submit_write(Box::new(Scripted { name, limit, work, told }));
        answers
    }
}

type Answers = Receiver<(&'static str, Option<Fault>)>;

/// A job that runs the script of a test.
struct Scripted<W> {
    name: &'static str,
    limit: Option<Duration>,
    work: W,
    told: Sender<(&'static str, Option<Fault>)>,
}

impl<W: FnMut(&Connection) -> Verdict + Send> Job for Scripted<W> {
    fn begin(&mut self) -> bool {
        true
    }

    fn limit(&self) -> Option<Duration> {
        self.limit
    }

    fn work(&mut self, db: &Connection) -> Verdict {
        (self.work)(db)
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let _ = self.told.send((self.name, outcome.err()));
    }
}

/// A job that panics when it sends its response.
struct Faulty;

impl Job for Faulty {
    fn begin(&mut self) -> bool {
        true
    }

    fn work(&mut self, _: &Connection) -> Verdict {
        Verdict::Rollback
    }

    fn answer(self: Box<Self>, _: Result<(), Fault>) {
        panic!("on purpose");
    }
}

#[test]
fn a_panic_outside_the_work_takes_no_turn_from_its_lane() {
    let server = TestFile::new(100);
    // More jobs than there are turns or threads.
    for _ in 0..10 {
        server.file.submit_read(Box::new(Faulty));
        server.file.submit_write(Box::new(Faulty));
    }
    server.submit("written", |db| {
        add(db, "written");
        Verdict::Commit
    });
    let (name, fault) = server.submit("after", |_| Verdict::Rollback).recv().unwrap();
    assert!(name == "after" && fault.is_none());
    assert_eq!(server.settings(), ["written"]);
}

/// Starts a read and keeps it running until the sender is dropped.
fn hold_reader(file: &Arc<File>) -> Sender<()> {
    let (release, held) = channel::<()>();
    let (began, begun) = channel();
    let reading = Arc::clone(file);
    std::thread::spawn(move || {
        let mut held = Some(held);
        reading.read(move |_| {
            let _ = began.send(());
            let _ = held.take().map(|held| held.recv());
            Ok::<_, Error>(())
        })
    });
    begun.recv().unwrap();
    release
}

#[test]
fn files_of_one_share_never_have_all_threads() {
    let mine = TestFile::new(100);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        create(&path, FileKind::Workspace).unwrap();
        File::new(&mine.storage, path, FileKind::Workspace)
    };
    let (second, others) = (file("second.sqlite"), file("others.sqlite"));
    let share = Share::of(3);
    mine.file.set_share(&share);
    second.set_share(&share);
    // A read of one file and the write lane of the other take two of three threads.
    let (reading, writing) = (hold_reader(&second), mine.hold_writer());
    let (told, more) = channel();
    second.submit_read(Box::new(Scripted {
        name: "more",
        limit: None,
        work: |_: &Connection| Verdict::Rollback,
        told,
    }));
    // The third thread works in order. If the share could use it, it would have run the earlier read first.
    others.read(|_| Ok::<_, Error>(())).unwrap();
    others.write(|_| Ok::<_, Error>(())).unwrap();
    assert!(more.try_recv().is_err(), "the share may use only two threads");
    drop((reading, writing));
    assert!(more.recv().unwrap().1.is_none());
}

fn add(db: &Connection, name: &str) {
    db.execute("INSERT INTO settings (name, value) VALUES (?1, '')", [name]).unwrap();
}

/// Runs without end, until interrupted.
fn spin(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "INSERT INTO settings SELECT 'spin' || n, '' FROM
         (WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n < 0)",
    )
}

/// Runs many short statements, longer in total than the time limit of the tests.
fn outstay(db: &Connection) -> rusqlite::Result<()> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(400) {
        let count =
            "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20000) SELECT count(*) FROM c";
        db.query_row(count, [], |_| Ok(()))?;
    }
    Ok(())
}

#[test]
fn who_fails_in_a_batch_is_undone_alone() {
    let server = TestFile::new(100);
    let release = server.hold_writer();
    let good = server.submit("good", |db| {
        add(db, "good");
        Verdict::Commit
    });
    let refused = server.submit("refused", |db| {
        add(db, "refused");
        Verdict::Rollback
    });
    let panicked = server.submit("panicked", |db| {
        add(db, "panicked");
        panic!("on purpose");
    });
    let last = server.submit("last", |db| {
        add(db, "last");
        Verdict::Commit
    });
    drop(release);

    assert!(good.recv().unwrap().1.is_none());
    assert!(refused.recv().unwrap().1.is_none());
    assert!(matches!(panicked.recv().unwrap().1, Some(Fault::Panicked(said)) if said == "on purpose"));
    assert!(last.recv().unwrap().1.is_none());
    assert_eq!(server.settings(), ["good", "last"]);
}

/// What a job does in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Keep,
    Undo,
    Look,
    Panic,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Jobs come while the batch is at work. However they come, what is kept is what the jobs want to keep.
    #[test]
    fn jobs_that_join_a_batch_keep_and_undo_only_their_own_changes(
        groups in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![4 => Just(Act::Keep), 1 => Just(Act::Undo), 2 => Just(Act::Look), 1 => Just(Act::Panic)],
                1..3,
            ),
            1..5,
        ),
    ) {
        let server = TestFile::new(100);
        let db = open_writer(server.file.path()).unwrap();
        let (told, answers) = channel();
        let acts: Vec<Act> = groups.concat();
        let mut number = 0;
        let mut groups = groups.into_iter().map(|group| {
            let job = |act| {
                number += 1;
                let (name, told) = (format!("job-{:03}", number - 1), told.clone());
                let work = move |db: &Connection| {
                    if act != Act::Look {
                        add(db, &name);
                    }
                    assert!(act != Act::Panic, "on purpose");
                    if act == Act::Keep { Verdict::Commit } else { Verdict::Rollback }
                };
                Box::new(Scripted { name: "job", limit: None, work, told }) as Box<dyn Job>
            };
            group.into_iter().map(job).collect::<Vec<_>>()
        }).collect::<Vec<_>>().into_iter();
        let first = groups.next().unwrap();
        let mut finished = batch::write(&db, first, Duration::from_secs(20), |_| groups.next().unwrap_or_default());
        // A batch of one job that undoes its changes takes no other.
        for late in groups {
            finished.extend(batch::write(&db, late, Duration::from_secs(20), |_| Vec::new()));
        }
        finished.into_iter().for_each(FinishedJob::answer);
        drop(told);
        let panicked = answers.iter().map(|(_, fault)| fault.is_some()).collect::<Vec<_>>();
        prop_assert_eq!(panicked, acts.iter().map(|act| *act == Act::Panic).collect::<Vec<_>>());
        let kept = acts.iter().enumerate().filter(|(_, act)| **act == Act::Keep);
        prop_assert_eq!(server.settings(), kept.map(|(n, _)| format!("job-{n:03}")).collect::<Vec<_>>());
    }
}

#[test]
fn no_job_joins_a_job_whose_changes_are_still_to_be_undone() {
    let server = TestFile::new(100);
    let db = open_writer(server.file.path()).unwrap();
    let job = |name: &'static str, verdict: Verdict| {
        let work = move |db: &Connection| {
            add(db, name);
            verdict
        };
        Box::new(Scripted { name, limit: None, work, told: channel().0 }) as Box<dyn Job>
    };
    let mut next = Some(job("kept", Verdict::Commit));
    let first = vec![job("undone", Verdict::Rollback)];
    batch::write(&db, first, Duration::from_secs(20), |_| next.take().into_iter().collect());
    assert!(server.settings().is_empty());
    assert!(next.is_some(), "it waits for its own batch");
    batch::write(&db, next.into_iter().collect(), Duration::from_secs(20), |_| Vec::new());
    assert_eq!(server.settings(), ["kept"]);
}

#[test]
fn a_write_past_its_time_takes_nobody_with_it() {
    let server = TestFile::new(100);
    let release = server.hold_writer();
    let before = server.submit("before", |db| {
        add(db, "before");
        Verdict::Commit
    });
    // SQLite ends the whole transaction when it interrupts a write.
    let endless = server.submit("endless", |db| match spin(db) {
        Ok(()) => Verdict::Commit,
        Err(_) => Verdict::Rollback,
    });
    let after = server.submit("after", |db| {
        add(db, "after");
        Verdict::Commit
    });
    drop(release);

    assert!(before.recv().unwrap().1.is_none());
    assert!(endless.recv().unwrap().1.is_none(), "the job itself reports why nothing of it is kept");
    assert!(after.recv().unwrap().1.is_none());
    assert_eq!(server.settings(), ["after", "before"]);
}

/// SQLite ends the whole transaction, as on a full disk.
#[test]
fn a_write_for_which_there_is_no_room_says_so_and_takes_nobody_with_it() {
    let server = TestFile::new(100);
    let bound = |pages: i64| {
        let bound = move |db: &Connection| Ok::<_, Error>(db.pragma_update(None, "max_page_count", pages)?);
        server.file.write(bound).unwrap();
    };
    let long = |db: &Connection| {
        let insert = "INSERT INTO settings SELECT 'long', group_concat(s.sql) FROM sqlite_schema s, sqlite_schema";
        db.execute(insert, []).map_err(Error::from)
    };
    let pages = server.file.read(|db| Ok::<i64, Error>(db.query_row("PRAGMA page_count", [], |row| row.get(0))?));
    bound(pages.unwrap() + 8);
    assert!(matches!(server.file.write(long), Err(Error::StorageFull(_))));

    let release = server.hold_writer();
    let keep = |name: &'static str| {
        server.submit(name, move |db| {
            add(db, name);
            Verdict::Commit
        })
    };
    let before = keep("before");
    let refused = server.submit("refused", move |db| match long(db) {
        Err(Error::StorageFull(_)) => Verdict::Rollback,
        came => panic!("{came:?}"),
    });
    let after = keep("after");
    drop(release);
    for answers in [before, refused, after] {
        assert!(answers.recv().unwrap().1.is_none());
    }
    assert_eq!(server.settings(), ["after", "before"]);
    bound(1 << 30);
    server.file.write(long).unwrap();
}

#[test]
fn a_lane_that_is_full_refuses_at_once() {
    let server = TestFile::new(1);
    let release = server.hold_writer();
    let waits = server.submit("waits", |db| {
        add(db, "waits");
        Verdict::Commit
    });
    let refused = server.submit("refused", |db| {
        add(db, "refused");
        Verdict::Commit
    });
    assert!(matches!(refused.recv().unwrap().1, Some(Fault::Full)));
    drop(release);
    assert!(waits.recv().unwrap().1.is_none());
    assert_eq!(server.settings(), ["waits"]);
}

#[test]
fn a_reader_cannot_write_and_does_not_wait_for_the_writer() {
    let server = TestFile::new(100);
    assert!(server.settings().is_empty());
    let release = server.hold_writer();
    assert!(server.settings().is_empty());
    drop(release);
    let written = server.file.read(|db| Ok::<_, Error>(db.execute("INSERT INTO settings VALUES ('a', '')", [])?));
    assert!(written.is_err());
}

#[test]
fn a_read_that_writes_is_refused_also_by_the_connection_that_may() {
    let server = TestFile::new(100);
    let written = server.file.read(|db| Ok::<_, Error>(db.execute("INSERT INTO settings VALUES ('a', '')", [])?));
    assert!(matches!(&written, Err(Error::Internal(said)) if said.contains("a read has written")), "{written:?}");
    assert!(server.settings().is_empty());
}

#[test]
fn a_file_from_a_newer_version_is_refused_by_name() {
    let server = TestFile::new(100);
    open_writer(server.file.path()).unwrap().pragma_update(None, "user_version", 9_999).unwrap();
    let error = server.file.read(|_| Ok::<_, Error>(())).unwrap_err().to_string();
    assert!(error.contains("version 9999") && error.contains("file.sqlite"), "{error}");
}

/// A program that replicates files keeps a read open in each of them.
#[test]
fn a_rest_does_not_wait_for_whoever_reads() {
    let server = TestFile::new(100);
    let add_one = |db: &Connection| {
        add(db, "kept");
        Ok::<_, Error>(())
    };
    server.file.open().unwrap();
    let reader = open_reader(server.file.path()).unwrap();
    let reading = reader.unchecked_transaction().unwrap();
    reading.query_row("SELECT count(*) FROM settings", [], |_| Ok(())).unwrap();
    server.file.write(add_one).unwrap();
    let begun = Instant::now();
    server.file.checkpoint().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "SQLite would wait for five seconds");
    drop(reading);
    server.file.checkpoint().unwrap();
    assert_eq!(std::fs::metadata(companion_path(server.file.path(), "-wal")).unwrap().len(), 0);
}

/// The bytes of a file, including its version.
fn contents(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("earlier.sqlite");
    migrate::create_of_version(&path, FileKind::Workspace, 7).unwrap();
    let mut db = open_writer(&path).unwrap();
    db.execute("CREATE TABLE routing_contacts (obstacle)", []).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let (before, before_schema) = (contents(&path), schema(&db).unwrap());
    let said = format!("{:#}", migrate(&mut db, FileKind::Workspace).unwrap_err());
    assert!(said.contains("a migration failed; the file is unchanged") && said.contains("routing_contacts"), "{said}");
    assert_eq!(schema(&db).unwrap(), before_schema);
    assert_eq!(check_version(&db, FileKind::Workspace).unwrap(), 7);
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    assert!(contents(&path) == before, "no byte has changed");

    db.execute("DROP TABLE routing_contacts", []).unwrap();
    migrate(&mut db, FileKind::Workspace).unwrap();
    assert_eq!(check_version(&db, FileKind::Workspace).unwrap(), FileKind::Workspace.version());
}

#[test]
fn a_file_without_a_version_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.sqlite");
    std::fs::write(&path, "").unwrap();
    let mut db = open_writer(&path).unwrap();
    let said = migrate(&mut db, FileKind::Workspace).unwrap_err().to_string();
    assert!(said.contains("empty"), "{said}");
    assert!(schema(&db).unwrap().is_empty());
}

#[test]
fn a_file_that_is_no_database_any_more_keeps_no_thread_waiting() {
    let server = TestFile::new(100);
    let add_one = |db: &Connection| {
        add(db, "kept");
        Ok::<_, Error>(())
    };
    server.file.write(add_one).unwrap();
    server.file.checkpoint().unwrap();
    std::fs::write(server.file.path(), [b'x'; 4096]).unwrap();
    let began = Instant::now();
    let read =
        server.file.read(|db| Ok::<i64, Error>(db.query_row("SELECT count(*) FROM settings", [], |row| row.get(0))?));
    assert!(matches!(&read, Err(Error::Damaged(_))), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_file_that_is_missing_is_not_made_by_opening_it() {
    let server = TestFile::new(100);
    let path = server.file.path().with_file_name("missing.sqlite");
    let file = File::new(&server.storage, path.clone(), FileKind::Workspace);
    assert!(file.read(|_| Ok::<_, Error>(())).is_err());
    assert!(!path.exists());
}

#[test]
fn a_closed_file_is_one_file() {
    let TestFile { file, storage, _folder } = TestFile::new(100);
    file.write(|db| {
        add(db, "kept");
        Ok::<_, Error>(())
    })
    .unwrap();
    let log = file.path().with_file_name("file.sqlite-wal");
    assert!(log.exists());
    let end = file.closed();
    storage.close(file);
    assert!(end.recv().is_err(), "nothing is sent: the disconnection is the signal");
    assert!(!log.exists());
}

#[test]
fn a_long_write_has_the_time_that_it_asks_for_and_holds_up_nobody_who_came_with_it() {
    let server = TestFile::new(100);
    let release = server.hold_writer();
    let (told, order) = channel();
    let (first, second) = (told.clone(), told);
    let long = server.submit_within(Some(Duration::from_secs(60)), "long", move |db| {
        let _ = first.send("long");
        add(db, "long");
        outstay(db).unwrap();
        Verdict::Commit
    });
    let short = server.submit("short", move |db| {
        let _ = second.send("short");
        outstay(db).unwrap_err();
        Verdict::Rollback
    });
    drop(release);
    assert!(short.recv().unwrap().1.is_none());
    assert!(long.recv().unwrap().1.is_none());
    assert_eq!(order.iter().collect::<Vec<_>>(), ["short", "long"]);
    assert_eq!(server.settings(), ["long"]);
}

//! Connections: how each is opened and set up, and the pool of those that read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use scheduled_thread_pool::ScheduledThreadPool;

use crate::values::fold::fold;

/// Read connections of one file. Opened when reads meet or are long, closed when they have had nothing to do for a while.
pub type Readers = r2d2::Pool<SqliteConnectionManager>;

/// No file is made by opening it: a path that is wrong must not become an empty workspace.
const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_URI);

/// How long a connection waits for another process (the command line) that writes.
const BUSY: Duration = Duration::from_secs(5);

/// How long a read connection stays open that nobody needs.
const IDLE: Duration = Duration::from_secs(60);

/// Distinct statements a connection keeps prepared: more than one resource's worth costs memory in every workspace.
const STATEMENTS: usize = 64;

pub(super) fn readers(path: &Path, most: u32, openers: Arc<ScheduledThreadPool>) -> Readers {
    let manager = SqliteConnectionManager::file(path).with_flags(FLAGS).with_init(|db| {
        set_up(db)?;
        db.pragma_update(None, "query_only", true)
    });
    // By default a pool starts three threads, opens ten connections, and asks each for a sign of life at check-out.
    r2d2::Pool::builder()
        .max_size(most)
        .min_idle(Some(0))
        .test_on_check_out(false)
        .max_lifetime(None)
        .idle_timeout(Some(IDLE))
        .connection_timeout(BUSY)
        .thread_pool(openers)
        .error_handler(Box::new(r2d2::NopErrorHandler))
        .build_unchecked(manager)
}

/// A connection that writes, on a file that exists.
#[expect(clippy::disallowed_methods, reason = "the room where connections are opened")]
pub fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let mut db = Connection::open_with_flags(path, FLAGS)?;
    set_up(&mut db)?;
    // What writes touches the upper pages of every index again and again.
    db.pragma_update(None, "cache_size", -4096)?;
    Ok(db)
}

/// A connection that only reads, on a file that exists.
pub fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let db = open_writer(path)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// A connection that reads a file of a stranger, and runs nothing that is in it. The file is nobody else's meanwhile: it is
/// read without locks, and without a log.
#[expect(clippy::disallowed_methods, reason = "the room where connections are opened")]
pub(super) fn open_foreign(path: &Path) -> anyhow::Result<Connection> {
    let mut url = url::Url::from_file_path(std::path::absolute(path)?).map_err(|()| anyhow::anyhow!("no such path"))?;
    url.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(url.as_str(), flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0")?;
    Ok(db)
}

/// A connection on a file that need not exist yet.
#[expect(clippy::disallowed_methods, reason = "the room where connections are opened")]
pub(super) fn create(path: &Path) -> rusqlite::Result<Connection> {
    let mut db = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_CREATE)?;
    set_up(&mut db)?;
    Ok(db)
}

/// A connection on a file that is yet to be written, by copying another into it. Until that is whole it is of no use, so
/// nothing is done to keep it from harm.
#[expect(clippy::disallowed_methods, reason = "the room where connections are opened")]
pub(super) fn blank(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_CREATE)?;
    db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    Ok(db)
}

/// One transaction on a connection of one's own, for work beside the lanes: a file that is not in service yet.
pub fn transaction<T, E: From<rusqlite::Error>>(
    db: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Brings the log into the file and empties it, as far as nobody needs it: it is not waited for whoever reads it, since
/// nobody could write meanwhile, and a program that replicates the file never ends.
pub(super) fn empty_log(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::ZERO)?;
    let emptied = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    db.busy_timeout(BUSY)?;
    emptied
}

fn set_up(db: &mut Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Thousands of files are open at once: half a megabyte of pages each, the rest is the operating system's to cache.
    // Checkpoints are made between two batches, not inside a commit that somebody waits for.
    db.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cache_size = -512;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    db.create_scalar_function("fold", 1, pure, |arguments| Ok(arguments.get_raw(0).as_str_or_null()?.map(fold)))
}

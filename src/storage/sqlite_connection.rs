//! Connections: how they are opened and set up, and the pool of read connections.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use scheduled_thread_pool::ScheduledThreadPool;

use super::stored_state::is_stored;
use crate::values::normalize::normalize;
use crate::values::phone;

/// Read connections of one file. The pool opens them when reads overlap or are long, and closes them when idle.
pub type Readers = r2d2::Pool<SqliteConnectionManager>;

/// Opening never creates a file: a wrong path must not become an empty workspace.
const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_URI);

/// How long a connection waits while another process, such as a command, writes.
const BUSY: Duration = Duration::from_secs(5);

/// How long an idle read connection stays open.
const IDLE: Duration = Duration::from_secs(60);

/// Prepared statements cached per connection. A larger cache costs memory in every open workspace.
const STATEMENTS: usize = 64;

pub(super) fn readers(path: &Path, most: u32, openers: Arc<ScheduledThreadPool>) -> Readers {
    let stored = path.to_owned();
    let manager = SqliteConnectionManager::file(path).with_flags(FLAGS).with_init(move |db| {
        set_up(db, &stored)?;
        db.pragma_update(None, "query_only", true)
    });
    // By default a pool starts three threads, opens ten connections, and tests each connection at check-out.
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

/// Opens a write connection to an existing file.
#[expect(clippy::disallowed_methods, reason = "only this module opens connections")]
pub fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let mut db = Connection::open_with_flags(path, FLAGS)?;
    set_up(&mut db, path)?;
    // Writes touch the upper pages of every index repeatedly, so this connection has a larger cache.
    db.pragma_update(None, "cache_size", -4096)?;
    db.wal_hook(Some(|_, pages| {
        PAGES_IN_LOG.set(pages.into());
        Ok(())
    }));
    Ok(db)
}

thread_local! {
    static PAGES_IN_LOG: Cell<i64> = const { Cell::new(0) };
}

/// The length of the WAL after the last commit of this thread. 0 if it has committed nothing since the last call.
pub(super) fn take_pages_in_log() -> i64 {
    PAGES_IN_LOG.take()
}

/// Opens a read-only connection to an existing file.
pub fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let db = open_writer(path)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// Opens a read-only connection to an untrusted file and executes nothing that is stored in it. No one else may use the
/// file meanwhile: it is read without locks and without a WAL.
#[expect(clippy::disallowed_methods, reason = "only this module opens connections")]
pub(super) fn open_foreign(path: &Path) -> anyhow::Result<Connection> {
    let mut url =
        url::Url::from_file_path(std::path::absolute(path)?).map_err(|()| anyhow::anyhow!("the path is invalid"))?;
    url.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(url.as_str(), flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0")?;
    Ok(db)
}

/// Opens a connection, and creates the file if it does not exist.
#[expect(clippy::disallowed_methods, reason = "only this module opens connections")]
pub(super) fn create(path: &Path) -> rusqlite::Result<Connection> {
    let mut db = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_CREATE)?;
    set_up(&mut db, path)?;
    Ok(db)
}

/// Opens a connection to a new file that will be overwritten with a copy of another. An incomplete copy is useless, so
/// this connection has no journal and does not sync.
#[expect(clippy::disallowed_methods, reason = "only this module opens connections")]
pub(super) fn create_empty(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, FLAGS | OpenFlags::SQLITE_OPEN_CREATE)?;
    db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    Ok(db)
}

/// Opens a connection that overwrites pages, and does nothing else: its cache does not follow what it overwrites.
#[expect(clippy::disallowed_methods, reason = "only this module opens connections")]
pub(super) fn open_page_writer(path: &Path) -> rusqlite::Result<Connection> {
    let mut db = Connection::open_with_flags(path, FLAGS)?;
    set_up(&mut db, path)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    Ok(db)
}

/// Runs one transaction on a connection outside the lanes, for a file that is not in service yet.
pub fn transaction<T, E: From<rusqlite::Error>>(
    db: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Runs a part of a transaction. If it fails with an error that `is_undone` accepts, nothing of the part remains and the
/// transaction may go on. After any other error it may not.
pub fn apart<T, E: From<rusqlite::Error>>(
    db: &Connection,
    is_undone: impl FnOnce(&E) -> bool,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let execute = |sql: &str| db.prepare_cached(sql)?.execute([]).map(|_| ());
    execute("SAVEPOINT part")?;
    let done = work();
    match &done {
        Ok(_) => execute("RELEASE part")?,
        Err(error) if is_undone(error) => {
            execute("ROLLBACK TO part")?;
            execute("RELEASE part")?;
        }
        Err(_) => {}
    }
    done
}

/// Checkpoints and truncates the WAL without waiting for readers. Waiting would block writers, and a program that
/// replicates the file reads forever.
pub fn truncate_wal(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::ZERO)?;
    let emptied = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    db.busy_timeout(BUSY)?;
    emptied
}

/// Copies as much of the WAL into the file as no reader still needs. Returns the length of the WAL and the copied part, in
/// pages.
pub fn copy_wal(db: &Connection) -> rusqlite::Result<(i64, i64)> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}

fn set_up(db: &mut Connection, path: &Path) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    // The store may not have all of the WAL yet.
    if is_stored(path) {
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Plans do not depend on bound values. Otherwise SQLite prepares a statement with `LIMIT ?` again each time it runs.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Thousands of files are open at once, so each connection caches only half a megabyte of pages. The operating
    // system caches the rest.
    // Checkpoints run between two batches, not inside a commit that a client waits for.
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
    db.create_scalar_function("fold", 1, pure, |arguments| Ok(arguments.get_raw(0).as_str_or_null()?.map(normalize)))?;
    // The key of the first number in a text, as bytes. The second argument is the setting of the default country.
    db.create_scalar_function("phone_key", 2, pure, |arguments| {
        let country = phone::default_country(arguments.get_raw(1).as_str_or_null()?);
        let text = arguments.get_raw(0).as_str_or_null()?;
        Ok(text.and_then(|text| phone::first_key(text, country)).map(String::into_bytes))
    })
}

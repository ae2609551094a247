//! An exact in-memory cache of the central file: workspaces by name and id, and valid tokens.
//!
//! The index of the central file's WAL shows in less than a microsecond whether any process has committed since the
//! last look. If so, the revision counters in the file tell which entries to drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use quick_cache::unsync::Cache;
use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::auth::encryption::{self, Claims, DecryptedToken};
use crate::auth::{AccessToken, Keys, Nonce, SignInMethod, TokenFault, TokenInUse, TokenScope};
use crate::storage::{self, ChangeDetector, uuid_column};
use crate::values::Timestamp;

/// Maximum entries per cache. The least recently used entry is evicted.
const REMEMBERED: usize = 20_000;

/// Maximum memberships of an account that are read for one list.
const MOST_MEMBERSHIPS: i64 = 100;

/// Minimum seconds between two writes of a token's last use.
const USE_IS_WRITTEN_EVERY: i64 = 60;

/// A workspace, as the central file lists it.
#[derive(Debug, Clone)]
pub struct WorkspaceEntry {
    pub id: Uuid,
    pub subdomain: String,
    pub name: String,
    pub status: Status,
    /// The account that owns the workspace.
    pub owner: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    Suspended,
}

pub struct Directory {
    state: Mutex<DirectoryState>,
}

/// The up-to-date directory, locked for one request.
pub struct Current<'d> {
    state: MutexGuard<'d, DirectoryState>,
    keys: &'d Keys,
}

/// The holder of a Bearer token, as far as the central file knows.
#[derive(Debug, Clone)]
pub enum Bearer {
    Person(Arc<TokenInUse>),
    Client(Arc<AccessToken>),
}

struct DirectoryState {
    db: Connection,
    watch: ChangeDetector,
    revisions: Revisions,
    by_name: Cache<String, WorkspaceEntry>,
    by_id: Cache<Uuid, WorkspaceEntry>,
    /// By their text. A cryptographic digest would take longer than all other work of a look-up where the processor has no
    /// instructions for it, and the memory of the process has the keys of all tokens anyway.
    tokens: Cache<String, Bearer>,
    /// Token uses that were not written yet, with their times.
    used: Vec<(i64, Timestamp)>,
}

#[derive(Default, PartialEq, Eq)]
struct Revisions {
    tokens: i64,
    workspaces: i64,
    keys: i64,
}

impl Directory {
    /// Opens the directory on a migrated central file.
    pub fn open(central: &std::path::Path) -> anyhow::Result<Self> {
        let db = storage::open_reader(central)?;
        let revisions = read_revisions(&db)?;
        let watch = ChangeDetector::new(central)?;
        Ok(Self {
            state: Mutex::new(DirectoryState {
                db,
                watch,
                revisions,
                by_name: Cache::new(REMEMBERED),
                by_id: Cache::new(REMEMBERED),
                tokens: Cache::new(REMEMBERED),
                used: Vec::new(),
            }),
        })
    }

    /// Takes the unwritten token uses. The caller must write them.
    pub fn take_uses(&self) -> Vec<(i64, Timestamp)> {
        std::mem::take(&mut self.lock().used)
    }

    /// Drops everything that is remembered of the central file.
    pub fn forget(&self) {
        let state = &mut *self.lock();
        state.tokens.clear();
        state.by_name.clear();
        state.by_id.clear();
    }

    /// Checks that the central file is readable, for `/readyz`.
    pub fn check(&self) -> rusqlite::Result<()> {
        self.lock().db.query_row("SELECT 1 FROM revisions LIMIT 1", [], |_| Ok(()))
    }

    /// Cache hits and misses: of workspaces, then of tokens.
    pub fn hits_and_misses(&self) -> [(u64, u64); 2] {
        let DirectoryState { by_name, by_id, tokens, .. } = &*self.lock();
        let workspaces = (by_name.hits() + by_id.hits(), by_name.misses() + by_id.misses());
        [workspaces, (tokens.hits(), tokens.misses())]
    }

    /// Returns the cache after dropping all entries that others have changed.
    ///
    /// The result holds the lock, and the file is read under the lock. Otherwise an outdated entry could be stored
    /// after the caches were cleared. Use it for the look-ups of one request only.
    pub fn current<'d>(&'d self, keys: &'d Keys) -> rusqlite::Result<Current<'d>> {
        let mut state = self.lock();
        let look = state.watch.read_header();
        if state.watch.has_changed(look) {
            let revisions = read_revisions(&state.db)?;
            if revisions.tokens != state.revisions.tokens {
                state.tokens.clear();
            }
            if revisions.workspaces != state.revisions.workspaces {
                state.by_name.clear();
                state.by_id.clear();
            }
            if revisions.keys != state.revisions.keys {
                state.tokens.clear();
                keys.reload();
            }
            state.revisions = revisions;
            state.watch.note(look);
        }
        Ok(Current { state, keys })
    }

    fn lock(&self) -> MutexGuard<'_, DirectoryState> {
        self.state.lock()
    }
}

impl Current<'_> {
    /// Finds the active or suspended workspace with this name.
    pub fn by_subdomain(&mut self, subdomain: &str) -> rusqlite::Result<Option<WorkspaceEntry>> {
        let state = &mut *self.state;
        if let Some(known) = state.by_name.get(subdomain) {
            return Ok(Some(known.clone()));
        }
        let found = find_workspace(&state.db, "subdomain", subdomain)?;
        if let Some(found) = &found {
            state.by_name.insert(subdomain.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// Finds the active or suspended workspace with this id.
    pub fn by_id(&mut self, id: Uuid) -> rusqlite::Result<Option<WorkspaceEntry>> {
        let state = &mut *self.state;
        if let Some(known) = state.by_id.get(&id) {
            return Ok(Some(known.clone()));
        }
        let found = find_workspace(&state.db, "id", &id.to_string())?;
        if let Some(found) = &found {
            state.by_id.insert(id, found.clone());
        }
        Ok(found)
    }

    /// The active workspaces of which the account is a member, by name. Reads at most `MOST_MEMBERSHIPS` of them.
    pub fn of_member(&mut self, account_id: i64) -> rusqlite::Result<Vec<WorkspaceEntry>> {
        // The limit comes before the order, so that no account makes others wait for the lock.
        let sql = "SELECT w.id, w.subdomain, w.status, w.owner_id, w.name
                   FROM (SELECT workspace_id FROM memberships WHERE account_id = ?1 ORDER BY workspace_id LIMIT ?2) m
                   CROSS JOIN workspaces w ON w.id = m.workspace_id
                   WHERE w.status = 'active' ORDER BY fold(w.name), w.id";
        let mut statement = self.state.db.prepare_cached(sql)?;
        statement.query_map((account_id, MOST_MEMBERSHIPS), WorkspaceEntry::from_row)?.collect()
    }

    /// Finds the token of a Bearer text, if the token is valid at this moment.
    pub fn bearer(&mut self, text: &str, now: Timestamp) -> rusqlite::Result<Result<Bearer, TokenFault>> {
        let state = &mut *self.state;
        let bearer = match state.tokens.get(text).cloned() {
            Some(bearer) => bearer,
            None => match find_bearer(&state.db, text, self.keys)? {
                Ok(bearer) => {
                    state.tokens.insert(text.to_owned(), bearer.clone());
                    bearer
                }
                Err(fault) => return Ok(Err(fault)),
            },
        };
        let Bearer::Person(token) = &bearer else { return Ok(Ok(bearer)) };
        if token.expires_at <= now {
            return Ok(Err(TokenFault::Expired));
        }
        let last = token.last_used.load(Ordering::Relaxed);
        // A last use in the future means that the clock was set back.
        if !(0..USE_IS_WRITTEN_EVERY).contains(&(now.seconds() - last)) {
            token.last_used.store(now.seconds(), Ordering::Relaxed);
            state.used.push((token.id, now));
        }
        Ok(Ok(bearer))
    }

    /// Reads a token again. `None` if it has expired, was revoked, or its account is gone.
    pub fn still_valid(&mut self, token: &TokenInUse, now: Timestamp) -> rusqlite::Result<Option<TokenInUse>> {
        let found = read_token(&self.state.db, token.id)?;
        let is_valid = |found: &StoredToken| {
            !found.is_revoked && found.token.account_id == token.account_id && found.token.expires_at > now
        };
        Ok(found.filter(is_valid).map(|found| found.token))
    }
}

fn read_revisions(db: &Connection) -> rusqlite::Result<Revisions> {
    let mut revisions = Revisions::default();
    let mut statement = db.prepare_cached("SELECT name, revision FROM revisions")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let revision = row.get(1)?;
        match row.get_ref(0)?.as_str()? {
            "tokens" => revisions.tokens = revision,
            "workspaces" => revisions.workspaces = revision,
            "keys" => revisions.keys = revision,
            _ => {}
        }
    }
    Ok(revisions)
}

fn find_workspace(db: &Connection, column: &'static str, value: &str) -> rusqlite::Result<Option<WorkspaceEntry>> {
    let sql = format!(
        "SELECT id, subdomain, status, owner_id, name FROM workspaces WHERE {column} = ?1 AND status IN ('active', 'suspended')"
    );
    db.prepare_cached(&sql)?.query_row([value], WorkspaceEntry::from_row).optional()
}

impl WorkspaceEntry {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let active = row.get_ref(2)?.as_str()? == "active";
        let status = if active { Status::Active } else { Status::Suspended };
        Ok(Self { id: uuid_column(row, 0)?, subdomain: row.get(1)?, status, owner: row.get(3)?, name: row.get(4)? })
    }
}

fn find_bearer(db: &Connection, text: &str, keys: &Keys) -> rusqlite::Result<Result<Bearer, TokenFault>> {
    match encryption::decrypt_token(text, keys) {
        Ok(DecryptedToken::Person(claims)) => Ok(find_token(db, claims)?.map(|token| Bearer::Person(Arc::new(token)))),
        Ok(DecryptedToken::Client(token)) => Ok(Ok(Bearer::Client(Arc::new(token)))),
        Err(fault) => Ok(Err(fault)),
    }
}

/// A row of the tokens.
struct StoredToken {
    token: TokenInUse,
    is_revoked: bool,
    nonce: Option<Nonce>,
}

fn find_token(db: &Connection, claims: Claims) -> rusqlite::Result<Result<TokenInUse, TokenFault>> {
    Ok(match read_token(db, claims.token_id)? {
        // After a restore, a newer token may have the same id. The nonce tells them apart.
        Some(found) if found.is_revoked || found.nonce != claims.nonce => Err(TokenFault::Revoked),
        Some(StoredToken { token, .. }) if token.account_id == claims.account_id && token.scope == claims.scope => {
            Ok(token)
        }
        Some(_) => Err(TokenFault::Invalid),
        // A row is deleted with its account or long after it expired. In both cases the token was valid once.
        None => Err(TokenFault::Revoked),
    })
}

fn read_token(db: &Connection, id: i64) -> rusqlite::Result<Option<StoredToken>> {
    db.prepare_cached(
        "SELECT t.id, t.account_id, t.workspace_id, t.label, t.expires_at, t.last_used_at, a.operator, t.revoked_at,
                t.kind, t.nonce, f.confirmed_at IS NOT NULL, t.provider, t.provider_second_factor
         FROM tokens t JOIN accounts a ON a.id = t.account_id
         LEFT JOIN second_factors f ON f.account_id = a.id WHERE t.id = ?1",
    )?
    .query_row([id], |row| {
        let scope = row.get::<_, Option<String>>(2)?.map(|_| uuid_column(row, 2)).transpose()?;
        let method = SignInMethod { provider: row.get(11)?, second_factor: row.get(12)? };
        let token = TokenInUse {
            id: row.get(0)?,
            account_id: row.get(1)?,
            scope: TokenScope::from(scope),
            kind: row.get(8)?,
            label: row.get(3)?,
            expires_at: row.get(4)?,
            last_used: AtomicI64::new(row.get::<_, Option<i64>>(5)?.unwrap_or(0)),
            operator: row.get(6)?,
            second_factor: method.second_factor || row.get(10)?,
            method,
        };
        Ok(StoredToken { token, is_revoked: row.get::<_, Option<i64>>(7)?.is_some(), nonce: row.get(9)? })
    })
    .optional()
}

//! What the server remembers of the central file: which name means which workspace, and which tokens are good.
//!
//! What is remembered is exact. The index of the central file's log tells in less than a microsecond whether anybody, in this
//! process or another, has committed to it since; if so, the file's own count of revisions tells what to forget.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use quick_cache::unsync::Cache;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::auth::seal::{self, Claims, Opened};
use crate::auth::{AccessToken, Keys, Nonce, Scope, TokenFault, TokenInUse, secret};
use crate::storage::{self, Watch, uuid_column};
use crate::values::Timestamp;

/// Names and tokens that are remembered; one more, and the one that was used longest ago is forgotten.
const REMEMBERED: usize = 20_000;

/// How often the time of a token's last use is worth a write.
const USE_IS_WRITTEN_EVERY: i64 = 60;

/// A workspace as the central file lists it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: Uuid,
    pub subdomain: String,
    pub status: Status,
    /// The account that owns it.
    pub owner: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    Suspended,
}

pub struct Directory {
    state: Mutex<State>,
}

/// The directory at one moment.
pub struct Current<'d> {
    state: MutexGuard<'d, State>,
    keys: &'d Keys,
}

/// Who a Bearer text is: as far as the central file knows, and the text itself.
#[derive(Debug, Clone)]
pub enum Bearer {
    Person(Arc<TokenInUse>),
    Client(Arc<AccessToken>),
}

struct State {
    db: Connection,
    watch: Watch,
    revisions: Revisions,
    by_name: Cache<String, Listed>,
    by_id: Cache<Uuid, Listed>,
    tokens: Cache<[u8; 32], Bearer>,
    /// Tokens used since this was last written, and when.
    used: Vec<(i64, Timestamp)>,
}

#[derive(Default, PartialEq, Eq)]
struct Revisions {
    tokens: i64,
    workspaces: i64,
    keys: i64,
}

impl Directory {
    /// On a central file that has been migrated.
    pub fn open(central: &std::path::Path) -> anyhow::Result<Self> {
        let db = storage::open_reader(central)?;
        let revisions = read_revisions(&db)?;
        let watch = Watch::new(central)?;
        Ok(Self {
            state: Mutex::new(State {
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

    /// The uses of tokens that have not been written yet; whoever takes them writes them.
    pub fn take_uses(&self) -> Vec<(i64, Timestamp)> {
        std::mem::take(&mut self.lock().used)
    }

    /// Whether the central file can be read: what `/readyz` asks.
    pub fn check(&self) -> rusqlite::Result<()> {
        self.lock().db.query_row("SELECT 1 FROM revisions LIMIT 1", [], |_| Ok(()))
    }

    /// How often what was asked for was remembered, and how often not: workspaces, then tokens.
    pub fn hits_and_misses(&self) -> [(u64, u64); 2] {
        let State { by_name, by_id, tokens, .. } = &*self.lock();
        let workspaces = (by_name.hits() + by_id.hits(), by_name.misses() + by_id.misses());
        [workspaces, (tokens.hits(), tokens.misses())]
    }

    /// What is remembered, after all that others changed has been forgotten.
    ///
    /// The answer holds the lock: the file is read under it, so that nothing old is remembered after it was to be
    /// forgotten. It is for one request's look-ups, and for no longer.
    pub fn current<'d>(&'d self, keys: &'d Keys) -> rusqlite::Result<Current<'d>> {
        let mut state = self.lock();
        let look = state.watch.look();
        if state.watch.is_news(look) {
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
                keys.forget();
            }
            state.revisions = revisions;
            state.watch.note(look);
        }
        Ok(Current { state, keys })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Current<'_> {
    /// The workspace of this name that is active or suspended.
    pub fn named(&mut self, subdomain: &str) -> rusqlite::Result<Option<Listed>> {
        let state = &mut *self.state;
        if let Some(known) = state.by_name.get(subdomain) {
            return Ok(Some(known.clone()));
        }
        let found = listed(&state.db, "subdomain", subdomain)?;
        if let Some(found) = &found {
            state.by_name.insert(subdomain.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// The workspace with this id that is active or suspended.
    pub fn identified(&mut self, id: Uuid) -> rusqlite::Result<Option<Listed>> {
        let state = &mut *self.state;
        if let Some(known) = state.by_id.get(&id) {
            return Ok(Some(known.clone()));
        }
        let found = listed(&state.db, "id", &id.to_string())?;
        if let Some(found) = &found {
            state.by_id.insert(id, found.clone());
        }
        Ok(found)
    }

    /// The token behind a Bearer text, if it is good at this moment.
    pub fn bearer(&mut self, text: &str, now: Timestamp) -> rusqlite::Result<Result<Bearer, TokenFault>> {
        let state = &mut *self.state;
        let digest = secret::digest(text);
        let bearer = match state.tokens.get(&digest).cloned() {
            Some(bearer) => bearer,
            None => match find_bearer(&state.db, text, self.keys)? {
                Ok(bearer) => {
                    state.tokens.insert(digest, bearer.clone());
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
        // A last use of later than now is of before the clock was put back.
        if !(0..USE_IS_WRITTEN_EVERY).contains(&(now.seconds() - last)) {
            token.last_used.store(now.seconds(), Ordering::Relaxed);
            state.used.push((token.id, now));
        }
        Ok(Ok(bearer))
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

fn listed(db: &Connection, column: &'static str, value: &str) -> rusqlite::Result<Option<Listed>> {
    let sql = format!(
        "SELECT id, subdomain, status, owner_id FROM workspaces WHERE {column} = ?1 AND status IN ('active', 'suspended')"
    );
    db.prepare_cached(&sql)?
        .query_row([value], |row| {
            let active = row.get_ref(2)?.as_str()? == "active";
            let status = if active { Status::Active } else { Status::Suspended };
            Ok(Listed { id: uuid_column(row, 0)?, subdomain: row.get(1)?, status, owner: row.get(3)? })
        })
        .optional()
}

fn find_bearer(db: &Connection, text: &str, keys: &Keys) -> rusqlite::Result<Result<Bearer, TokenFault>> {
    match seal::open(text, keys) {
        Ok(Opened::Person(claims)) => Ok(find_token(db, claims)?.map(|token| Bearer::Person(Arc::new(token)))),
        Ok(Opened::Client(token)) => Ok(Ok(Bearer::Client(Arc::new(token)))),
        Err(fault) => Ok(Err(fault)),
    }
}

fn find_token(db: &Connection, claims: Claims) -> rusqlite::Result<Result<TokenInUse, TokenFault>> {
    let found = db
        .prepare_cached(
            "SELECT t.id, t.account_id, t.workspace_id, t.label, t.expires_at, t.last_used_at, a.operator, t.revoked_at,
                    t.kind, t.nonce, f.confirmed_at IS NOT NULL
             FROM tokens t JOIN accounts a ON a.id = t.account_id
             LEFT JOIN second_factors f ON f.account_id = a.id WHERE t.id = ?1",
        )?
        .query_row([claims.token_id], |row| {
            let revoked: Option<i64> = row.get(7)?;
            let scope = row.get::<_, Option<String>>(2)?.map(|_| uuid_column(row, 2)).transpose()?;
            let token = TokenInUse {
                id: row.get(0)?,
                account_id: row.get(1)?,
                scope: Scope::from(scope),
                kind: row.get(8)?,
                label: row.get(3)?,
                expires_at: row.get(4)?,
                last_used: AtomicI64::new(row.get::<_, Option<i64>>(5)?.unwrap_or(0)),
                operator: row.get(6)?,
                second_factor: row.get(10)?,
            };
            // After a restore the id may be that of a token issued since.
            let is_another = row.get::<_, Option<Nonce>>(9)? != claims.nonce;
            Ok((token, revoked.is_some() || is_another))
        })
        .optional()?;
    Ok(match found {
        Some((token, false)) if token.account_id == claims.account_id && token.scope == claims.scope => Ok(token),
        Some((_, false)) => Err(TokenFault::Invalid),
        // A row is deleted with its account, or long after it expired: either way it was good once.
        Some((_, true)) | None => Err(TokenFault::Revoked),
    })
}

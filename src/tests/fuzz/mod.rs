//! Fuzzing: every parser gets input that no one would send. Nothing may panic or respond with 5xx, no rejected request
//! may change data, and no input may grant access.
//!
//! A target is a property with a generator of inputs. It first tries its corpus, `tests/corpus/*.jsonl`, with one input
//! per line, then new inputs. `PROPTEST_CASES=100000 cargo test --release --lib fuzz` tries more, and takes long. An
//! input that breaks a property is minimized and printed as a line for the corpus.

mod almost_credentials;
mod bodies;
mod imports;
mod list_queries;
mod oauth;
mod odd_inputs;
mod paths;
mod request_heads;
mod server_fields;

use std::cell::Cell;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestError, TestRunner};
use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::storage;
use crate::tests::{TestResponse, TestServer};

/// Cases per target by default. If `PROPTEST_CASES` is not set, proptest reports its own default, `PROPTESTS`.
const USUAL: u32 = 500;
const PROPTESTS: u32 = 256;

/// Checks a property with the target's corpus and with new inputs.
pub fn each<T: Debug + Serialize + DeserializeOwned>(
    target: &str,
    inputs: impl Strategy<Value = T>,
    holds: impl Fn(&T),
) {
    let path = format!("{}/tests/corpus/{target}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let corpus = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    for line in corpus.lines() {
        let input = serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}: {line}"));
        holds(&input);
    }
    let asked = Config::default();
    let cases = if asked.cases == PROPTESTS { USUAL } else { asked.cases };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 500, ..asked };
    let tried = TestRunner::new(config).run(&inputs, |input| {
        holds(&input);
        Ok(())
    });
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => {
            panic!("{why}\na line for tests/corpus/{target}.jsonl:\n{}", serde_json::to_string(&input).unwrap())
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// A digest of every row of every table, except the audit log and SQLite's sequence numbers.
fn digest(db: &Connection) -> u64 {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('audit_log', 'sqlite_sequence')";
    let tables: Vec<String> =
        db.prepare(tables).unwrap().query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let mut hasher = DefaultHasher::new();
    for table in tables {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            (0..columns).for_each(|column| format!("{table} {:?}", row.get_ref(column).unwrap()).hash(&mut hasher));
        }
    }
    hasher.finish()
}

/// A test server, with a check whether anything was written to its files.
struct WatchedServer {
    server: TestServer,
    files: [Connection; 2],
    /// The last seen data version of the central file, and its digest then.
    central: Cell<(i64, u64)>,
}

impl WatchedServer {
    fn new() -> Self {
        let server = TestServer::new();
        let central = server.instance.config.data_dir.join("central.sqlite");
        let acme = server.instance.registry.path(server.acme.id);
        let files = [central, acme].map(|path| storage::open_reader(&path).unwrap());
        Self { server, files, central: Cell::new((-1, 0)) }
    }

    /// Values that change when another connection writes: a digest of the central file, and SQLite's data version of
    /// the workspace file. The digest leaves out the audit log, which also records rejected logins.
    fn versions(&self) -> (u64, i64) {
        let version = |db: &Connection| db.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap();
        let [central, acme] = &self.files;
        let now = version(central);
        if self.central.get().0 != now {
            self.central.set((now, digest(central)));
        }
        (self.central.get().1, version(acme))
    }

    /// Sends a request and checks the response: no 5xx, and no write if the request was rejected.
    fn holds(&self, ask: impl FnOnce() -> TestResponse) -> TestResponse {
        let before = self.versions();
        let answer = ask();
        // An import goes on after its request.
        while !self.server.instance.node.running_imports.lock().is_empty() {
            std::thread::yield_now();
        }
        assert!(answer.status.as_u16() < 500, "{answer:?}");
        // The first step of a login with a second factor is 401, and stores its challenge.
        let is_challenge = answer.text.contains("second_factor_required");
        if answer.status.is_client_error() && !is_challenge {
            assert_eq!(self.versions(), before, "a rejected request has written: {answer:?}");
            let explained = answer.text.is_empty() || answer.text.starts_with('{') || answer.text.starts_with("<!");
            assert!(explained, "{answer:?}");
        }
        answer
    }
}

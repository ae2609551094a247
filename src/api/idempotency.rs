//! Requests with an `Idempotency-Key`: a repeated request is not executed again and gets the first response.
//!
//! The response is stored in the file of the request's layer, in the same transaction as the change if there is one. A
//! rejected request has changed nothing and is not stored.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use parking_lot::MutexGuard;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::access::Needs;
use super::error::{Error, Result};
use super::request::Request;
use super::response::{ApiResponse, Content};
use crate::auth::{Caller, Credential, Identity, Principal, encryption};
use crate::instance::Instance;

/// The request header with the key.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The response header that marks a replayed response.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The maximum length of a key.
pub const LONGEST: usize = 255;

/// Lifetime of a stored response, in seconds.
const KEPT_FOR: i64 = 86_400;

/// Expired rows that each insert deletes. Each insert deletes more than one, so the backlog shrinks.
const FORGOTTEN_AT_ONCE: i64 = 4;

/// A request with a key. It may have been sent before.
#[derive(Clone, Copy)]
pub struct IdempotentRequest {
    /// Digest of the sender, the path and the key.
    digest: [u8; 32],
    /// Digest of the query and the body.
    request: [u8; 32],
}

/// A request that is running outside the lanes, for as long as this guard exists.
pub struct RunningRequest<'e> {
    instance: &'e Instance,
    digest: [u8; 32],
}

/// The stored form of a response.
#[derive(Serialize, Deserialize)]
pub struct StoredResponse {
    /// Digest of the request. It is encrypted, because the digest of a short request reveals the request.
    request: String,
    status: u16,
    kind: String,
    body: String,
}

/// Whether the route supports keys: it changes something and identifies its caller.
pub fn counts_for(method: &Method, needs: Needs) -> bool {
    *method == Method::POST && needs != Needs::Anyone
}

impl IdempotentRequest {
    /// The request as an attempt, if it has a key and the route supports keys.
    pub fn of(request: &Request, caller: &Caller) -> Result<Option<Self>> {
        let keys: Vec<&HeaderValue> = request.headers.get_all(KEY).iter().collect();
        if keys.is_empty() || !counts_for(&request.method, request.needs) {
            return Ok(None);
        }
        let key = match keys[..] {
            [key] if (1..=LONGEST).contains(&key.len()) => key.as_bytes(),
            _ => &[],
        };
        if key.is_empty() || !key.iter().all(u8::is_ascii_graphic) {
            return Err(Error::BadRequest("The Idempotency-Key header must be 1 to 255 visible ASCII characters."));
        }
        let sender = match (&request.credential, caller) {
            (Credential::Token(token), _) => ("token", token.id),
            (Credential::Client(token), _) => ("grant", token.grant_id),
            (Credential::Key(_), Caller::Principal(Principal { actor: Identity::Key { id, .. }, .. })) => ("key", *id),
            _ => return Ok(None),
        };
        let workspace = request.workspace.as_ref().map(|lease| lease.id());
        let parts = serde_json::to_vec(&(workspace, sender, request.route_path, &request.path_values, key));
        let digest = Sha256::digest(parts.map_err(|error| Error::Internal(error.to_string()))?).into();
        let length = (request.query.len() as u64).to_le_bytes();
        let request =
            [&length, request.query.as_bytes(), &request.body].iter().fold(Sha256::new(), Sha256::chain_update);
        Ok(Some(Self { digest, request: request.finalize().into() }))
    }

    /// Rejects the request while another one with the same key is running, because its response is not known yet.
    pub fn begin<'e>(&self, instance: &'e Instance) -> Result<RunningRequest<'e>> {
        if running(instance).insert(self.digest) {
            Ok(RunningRequest { instance, digest: self.digest })
        } else {
            let message = "A request with this Idempotency-Key is still running. Try again shortly.";
            Err(Error::rejected("idempotency_key_in_use", message))
        }
    }

    /// The stored response, if the same request was sent before.
    pub fn replay(&self, request: &Request, db: &Connection) -> Result<Option<ApiResponse>> {
        let sealed: Option<String> = db
            .prepare_cached("SELECT answer FROM idempotency_keys WHERE digest = ?1 AND created_at > ?2")?
            .query_row((self.digest, request.now.plus(-KEPT_FOR)), |row| row.get(0))
            .optional()?;
        // A response that was encrypted by another server, or with a retired key, is ignored.
        let opened = sealed.and_then(|sealed| encryption::decrypt_text(&sealed, &self.digest, &request.instance.keys));
        let Some(kept) = opened.and_then(|text| serde_json::from_str::<StoredResponse>(&text).ok()) else {
            return Ok(None);
        };
        if kept.request != URL_SAFE_NO_PAD.encode(self.request) {
            let message = "This Idempotency-Key was used for a different request. Use a new key.";
            return Err(Error::rejected("idempotency_key_reused", message));
        }
        kept.answer().map(Some)
    }

    /// Stores the response for the next attempt.
    pub fn store(&self, request: &Request, kept: &StoredResponse, db: &Connection) -> Result<()> {
        let text = serde_json::to_string(kept).map_err(|error| Error::Internal(error.to_string()))?;
        let sealed = encryption::encrypt_text(&text, &self.digest, &request.instance.keys)?;
        db.prepare_cached(
            "DELETE FROM idempotency_keys WHERE rowid IN
             (SELECT rowid FROM idempotency_keys WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)",
        )?
        .execute((request.now.plus(-KEPT_FOR), FORGOTTEN_AT_ONCE))?;
        db.prepare_cached("INSERT OR REPLACE INTO idempotency_keys (digest, answer, created_at) VALUES (?1, ?2, ?3)")?
            .execute((self.digest, sealed, request.now))?;
        Ok(())
    }

    /// The stored form of a response, if the request succeeded.
    pub fn stored_response(&self, answer: &ApiResponse) -> Option<StoredResponse> {
        let Content::Full(body) = answer.body() else { return None };
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        answer.status().is_success().then_some(StoredResponse {
            request: URL_SAFE_NO_PAD.encode(self.request),
            status: answer.status().as_u16(),
            kind: kind.unwrap_or_default().to_owned(),
            body: String::from_utf8(body.to_vec()).ok()?,
        })
    }
}

impl Drop for RunningRequest<'_> {
    fn drop(&mut self) {
        running(self.instance).remove(&self.digest);
    }
}

fn running(instance: &Instance) -> MutexGuard<'_, HashSet<[u8; 32]>> {
    instance.node.running_keys.lock()
}

impl StoredResponse {
    fn answer(self) -> Result<ApiResponse> {
        let ours = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
        let mut answer = ApiResponse::new(Content::Full(Bytes::from(self.body)));
        *answer.status_mut() = StatusCode::from_u16(self.status).map_err(|error| ours(&error))?;
        let kind = HeaderValue::try_from(self.kind).map_err(|error| ours(&error))?;
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::thread;

    use serde_json::{Value, json};

    use super::*;
    use crate::api::{BlockingCtx, Resource, Route, Router, Saved, blocking, post};
    use crate::tests::{TestClient, TestResponse, TestServer};
    use crate::values::Timestamp;

    fn with_key<'b>(who: &TestClient<'b>, key: &str) -> TestClient<'b> {
        who.with_header("Idempotency-Key", key)
    }

    /// Asserts that a response is the first one, replayed.
    #[track_caller]
    fn replays(first: &TestResponse, again: &TestResponse) {
        let seen =
            |answer: &TestResponse| (answer.status, answer.text.clone(), answer.headers[header::CONTENT_TYPE].clone());
        assert_eq!(seen(first), seen(again));
        assert_eq!((first.headers.get(REPLAYED), &again.headers[REPLAYED]), (None, &HeaderValue::from_static("true")));
    }

    fn total(who: &TestClient<'_>, list: &str) -> Value {
        who.get(list).ok()["total"].clone()
    }

    #[test]
    fn what_is_sent_again_is_done_once_and_answered_alike() {
        let server = TestServer::new();
        let (me, ada) = (server.admin(), json!({"name": "Ada"}));
        let keyed = with_key(&me, "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"");
        let first = keyed.post("/customers", ada.clone());
        first.created();
        me.put("/customers/1", json!({"name": "Changed since"})).created();
        replays(&first, &keyed.post("/customers", ada.clone()));
        assert_eq!(total(&me, "/customers"), 1);
        with_key(&me, "another").post("/customers", ada.clone()).created();
        me.post("/customers", ada).created();
        assert_eq!(total(&me, "/customers"), 3);
    }

    #[test]
    fn a_key_is_not_taken_for_another_request() {
        let server = TestServer::new();
        let keyed = with_key(&server.admin(), "k");
        keyed.post("/customers", json!({"name": "Ada"})).created();
        for (path, body) in [
            ("/customers", json!({"name": "Bob"})),
            ("/customers", json!({"name": 1})),
            ("/customers", json!({})),
            ("/customers?a=1", json!({"name": "Ada"})),
        ] {
            keyed.post(path, body).rejected(422, "idempotency_key_reused");
        }
        assert_eq!(total(&keyed, "/customers"), 1);
    }

    #[test]
    fn each_token_and_key_and_path_has_keys_of_its_own() {
        let server = TestServer::new();
        let ada = json!({"name": "Ada"});
        for who in [
            server.admin(),
            server.admin(),
            server.with_role("manager"),
            server.key(&["*"], None),
            server.key(&["*"], None),
        ] {
            let answer = with_key(&who, "k").post("/customers", ada.clone());
            assert_eq!((answer.created()["name"].clone(), answer.headers.get(REPLAYED)), (json!("Ada"), None));
        }
        server.admin_of_other().with_header("Idempotency-Key", "k").post("/customers", ada).created();
        // With the same body, which both routes accept.
        let keyed = with_key(&server.admin(), "k");
        keyed.post("/customers", json!({"name": "Ada", "last_name": "Ada"})).created();
        let contact = keyed.post("/contacts", json!({"name": "Ada", "last_name": "Ada"}));
        assert_eq!((&contact.created()["last_name"], contact.headers.get(REPLAYED)), (&json!("Ada"), None));
        for merged in [1, 2] {
            let answer = keyed.post(&format!("/customers/{merged}/merge"), json!({"into": 5}));
            assert_eq!((answer.status.as_u16(), answer.headers.get(REPLAYED)), (201, None), "{answer:?}");
        }
        assert_eq!(total(&keyed, "/customers"), 4);
    }

    #[test]
    fn what_was_refused_may_be_sent_again() {
        let server = TestServer::new();
        let (me, taken) = (server.admin(), json!({"name": "Ada", "customer_account": "A-1"}));
        me.post("/customers", taken.clone()).created();
        let keyed = with_key(&me, "k");
        keyed.post("/customers", json!({"name": ""})).invalid(&["The name field is required."]);
        keyed.post("/customers", taken.clone()).rejected(422, "customer_account_taken");
        me.delete("/customers/1").ok();
        let first = keyed.post("/customers", taken.clone());
        assert_eq!(first.created()["id"], 2);
        replays(&first, &keyed.post("/customers", taken));
    }

    #[test]
    fn after_a_day_a_key_is_new_and_old_ones_are_deleted() {
        let server = TestServer::new();
        let (me, ada) = (server.admin(), json!({"name": "Ada"}));
        let first = with_key(&me, "k").post("/customers", ada.clone());
        let older_by = |seconds: i64| {
            let sql = "UPDATE idempotency_keys SET created_at = created_at - ?1";
            server.in_file(move |db| Ok(db.execute(sql, [seconds])?));
        };
        let kept = || {
            server.in_file(|db| {
                Ok(db.query_row("SELECT count(*) FROM idempotency_keys", [], |row| row.get::<_, i64>(0))?)
            })
        };
        older_by(KEPT_FOR - 60);
        replays(&first, &with_key(&me, "k").post("/customers", ada.clone()));
        older_by(60);
        assert_eq!(with_key(&me, "k").post("/customers", ada.clone()).created()["id"], 2);
        for n in 0..FORGOTTEN_AT_ONCE {
            with_key(&me, &format!("k{n}")).post("/customers", ada.clone()).created();
        }
        assert_eq!(kept(), FORGOTTEN_AT_ONCE + 1);
        older_by(KEPT_FOR);
        with_key(&me, "new").post("/customers", ada.clone()).created();
        assert_eq!(kept(), 2);
        with_key(&me, "newer").post("/customers", ada).created();
        assert_eq!(kept(), 2);
    }

    #[test]
    fn who_may_no_longer_do_it_is_not_told_what_came_of_it() {
        let server = TestServer::new();
        let me = with_key(&server.with_role("manager"), "k");
        me.post("/customers", json!({"name": "Ada"})).created();
        server.in_file(|db| {
            Ok(db.execute("UPDATE users SET role_id = (SELECT id FROM roles WHERE name = 'agent') WHERE id > 1", [])?)
        });
        me.post("/customers", json!({"name": "Ada"})).rejected(403, "missing_permission");

        let token = with_key(&server.central(), "k");
        token.post("/logout", json!({})).ok();
        token.post("/logout", json!({})).rejected(401, "token_revoked");
    }

    #[test]
    fn a_secret_that_is_shown_once_is_shown_again_and_lies_in_no_file() {
        let server = TestServer::new();
        let me = with_key(&server.admin(), "k");
        let new = json!({"name": "importer", "permissions": ["contact.view"]});
        let first = me.post("/integration-keys", new.clone());
        replays(&first, &me.post("/integration-keys", new));
        let secret = first.created()["key"].as_str().unwrap().to_owned();
        server.anonymous().at("acme.localhost").with_token(secret.clone()).get("/contacts").ok();
        let central = with_key(&server.central(), "k");
        let first = central.post("/tokens", json!({"label": "nightly"}));
        replays(&first, &central.post("/tokens", json!({"label": "nightly"})));
        let token = first.created()["token"].as_str().unwrap().to_owned();
        for path in [server.instance.registry.path(server.acme.id), server.instance.central.file().path().to_owned()] {
            for path in [path.with_extension("sqlite-wal"), path] {
                let bytes = std::fs::read(&path).unwrap();
                for text in [&secret, &token] {
                    assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{}", path.display());
                }
            }
        }
    }

    /// As after a move to another server: a response that cannot be decrypted is ignored.
    #[test]
    fn what_other_keys_have_sealed_is_not_replayed() {
        let server = TestServer::new();
        let (program, ada) = (with_key(&server.key(&["*"], None), "k"), json!({"name": "Ada"}));
        let first = program.post("/customers", ada.clone());
        server.instance.keys.create(Timestamp::now()).unwrap();
        replays(&first, &program.post("/customers", ada.clone()));
        server.instance.keys.delete_old().unwrap();
        let again = program.post("/customers", ada.clone());
        assert_eq!(again.created()["id"], 2);
        replays(&again, &program.post("/customers", ada));
    }

    #[test]
    fn a_key_is_visible_ascii_and_one_at_a_time() {
        let server = TestServer::new();
        let me = server.admin();
        let ada = json!({"name": "Ada"});
        let bad = ["".to_owned(), "a b".into(), "\u{e9}".into(), "x".repeat(LONGEST + 1)];
        for keyed in bad.iter().map(|key| with_key(&me, key)).chain([with_key(&with_key(&me, "a"), "b")]) {
            keyed.post("/customers", ada.clone()).rejected(400, "bad_request");
        }
        with_key(&me, &"x".repeat(LONGEST)).post("/customers", ada.clone()).created();
        // A key has no owner on routes without a caller, and no use on routes that create nothing.
        let login = json!({"email": "owner@example.com", "password": crate::tests::PASSWORD});
        with_key(&server.anonymous(), "a b").post("/login", login).ok();
        with_key(&me, "a b").put("/customers/1", ada).created();
        with_key(&me, "a b").get("/customers/1").ok();
    }

    #[test]
    fn beside_the_lanes_too_it_is_done_once() {
        let server = TestServer::new();
        let me = with_key(&server.central(), "k");
        let first = me.post("/workspaces", json!({"name": "New"}));
        first.created();
        replays(&first, &me.post("/workspaces", json!({"name": "New"})));
        me.post("/workspaces", json!({"name": "Newer"})).rejected(422, "idempotency_key_reused");
        assert_eq!(total(&me, "/workspaces"), 3);
        with_key(&server.central(), "k").post("/workspaces", json!({"name": "New"})).created();
    }

    /// Both ends of [`slowly`]: it has begun, and it may end.
    static MEETING: Barrier = Barrier::new(2);
    static TIMES: AtomicI64 = AtomicI64::new(0);

    /// Returns how often it was called. The first call takes as long as the test wants.
    fn slowly(_: &BlockingCtx<'_>) -> Result<Saved<i64>> {
        let times = TIMES.fetch_add(1, Ordering::SeqCst) + 1;
        if times == 1 {
            MEETING.wait();
            MEETING.wait();
        }
        Ok(Saved(times))
    }

    #[test]
    fn while_it_is_being_done_the_same_is_refused() {
        const ROUTES: &[Route] = &[post("/slowly", &blocking(slowly), Needs::SignedIn, "waits")];
        let server = &TestServer::with_router(Router::new(&[], &[Resource::new("Tests", "", ROUTES)]).unwrap());
        let me = &with_key(&server.admin(), "k");
        let (first, same, other) = thread::scope(|scope| {
            let first = scope.spawn(|| me.post("/slowly", json!({})));
            MEETING.wait();
            let same = me.post("/slowly", json!({}));
            let other = with_key(&server.admin(), "k").post("/slowly", json!({}));
            MEETING.wait();
            (first.join().unwrap(), same, other)
        });
        same.rejected(422, "idempotency_key_in_use");
        assert_eq!((first.created(), other.created()), (json!(1), json!(2)));
        replays(&first, &me.post("/slowly", json!({})));
    }
}

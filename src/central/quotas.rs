//! Quotas limit how much one account or workspace may have, or do per time. 0 disables a quota. Operators are exempt.
//!
//! Each quota is counted in the transaction of the write that it limits.

use http::StatusCode;
use rusqlite::Connection;
use uuid::Uuid;

use crate::api::{Error, Input, Operation, Request, Result};
use crate::auth::Credential;
pub use crate::config::Quotas;
use crate::values::Timestamp;

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

impl Quotas {
    /// The quotas that apply to this caller in a workspace.
    pub fn of(request: &Request) -> Self {
        match &request.credential {
            Credential::Token(token) if token.operator => Self::default(),
            _ => request.instance.config.quotas,
        }
    }

    /// Checks whether an account may own one more workspace.
    pub fn check_workspaces(self, db: &Connection, account_id: i64) -> Result<()> {
        if is_operator(db, account_id)? {
            return Ok(());
        }
        let sql = "SELECT count(*) FROM workspaces WHERE owner_id = ?1 AND status <> 'trashed'";
        let owned = || db.prepare_cached(sql)?.query_row([account_id], |row| row.get(0));
        check("max_workspaces_per_account", self.max_workspaces_per_account, owned)
    }

    /// Checks whether an account may have one more valid token.
    pub fn check_tokens(self, db: &Connection, account_id: i64, now: Timestamp) -> Result<()> {
        if is_operator(db, account_id)? {
            return Ok(());
        }
        let sql = "SELECT count(*) FROM tokens WHERE account_id = ?1 AND revoked_at IS NULL AND expires_at > ?2";
        let had = || db.prepare_cached(sql)?.query_row((account_id, now), |row| row.get(0));
        check("max_tokens_per_account", self.max_tokens_per_account, had)
    }

    /// Checks whether a workspace may send one more invitation today.
    pub fn check_invitations(self, db: &Connection, workspace: Uuid, now: Timestamp) -> Result<()> {
        let sql = "SELECT created_at FROM user_invites WHERE workspace_id = ?1 AND created_at > ?2
                   ORDER BY created_at DESC LIMIT 1 OFFSET ?3";
        check_rate(self.invitations_per_day, DAY, now, |since, before| {
            db.prepare_cached(sql)?.query_row((workspace.to_string(), since, before), |row| row.get(0))
        })
    }

    /// Checks whether an invitation may be resent now.
    pub fn check_resend(self, resent_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
        let since = resent_at.map_or(i64::MAX, |at| now.seconds().saturating_sub(at.seconds()));
        // A negative time means that the clock was set back.
        match self.invitation_resend_interval - since {
            wait @ 1.. if since >= 0 => Err(Error::TooManyRequests(wait)),
            _ => Ok(()),
        }
    }

    /// Checks whether a workspace may have one more webhook.
    pub fn check_webhooks(self, db: &Connection) -> Result<()> {
        let had = || db.prepare_cached("SELECT count(*) FROM webhooks")?.query_row([], |row| row.get(0));
        check("max_webhooks", self.max_webhooks, had)
    }

    /// Counts a mail that an account causes, if its hourly quota allows it. Operators are exempt.
    pub fn count_mail(self, db: &Connection, account_id: i64, now: Timestamp) -> Result<()> {
        db.prepare_cached("DELETE FROM caused_mails WHERE at <= ?1")?.execute([now.plus(-HOUR)])?;
        if !is_operator(db, account_id)? {
            let sql =
                "SELECT at FROM caused_mails WHERE account_id = ?1 AND at > ?2 ORDER BY at DESC LIMIT 1 OFFSET ?3";
            check_rate(self.mails_per_hour, HOUR, now, |since, before| {
                db.prepare_cached(sql)?.query_row((account_id, since, before), |row| row.get(0))
            })?;
        }
        db.prepare_cached("INSERT INTO caused_mails (account_id, at) VALUES (?1, ?2)")?.execute((account_id, now))?;
        Ok(())
    }
}

/// A handler with this input is subject to a quota per time, so its description includes 429.
impl Input for Quotas {
    fn read(request: &Request) -> Result<Self> {
        Ok(Self::of(request))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.error_response(StatusCode::TOO_MANY_REQUESTS);
    }
}

fn is_operator(db: &Connection, account_id: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM accounts WHERE id = ?1 AND operator")?.exists([account_id])
}

fn check(quota: &'static str, allowed: i64, had: impl FnOnce() -> rusqlite::Result<i64>) -> Result<()> {
    if allowed == 0 || had()? < allowed {
        return Ok(());
    }
    Err(Error::rejected("quota_reached", format!("The quota {quota} is reached. {allowed} are allowed.")))
}

/// `nth(start, n)` returns the time of the event that has `n` newer ones, among the events since `start`. The rate is
/// exceeded if there is such an event.
fn check_rate(
    allowed: i64,
    time: i64,
    now: Timestamp,
    nth: impl FnOnce(Timestamp, i64) -> rusqlite::Result<Timestamp>,
) -> Result<()> {
    if allowed == 0 {
        return Ok(());
    }
    match nth(now.plus(-time), allowed - 1) {
        Ok(at) => Err(Error::TooManyRequests((at.seconds() + time - now.seconds()).clamp(1, time))),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{TestClient, TestResponse, TestServer};

    #[track_caller]
    fn waits(answer: &TestResponse, longest: i64) {
        answer.rejected(429, "too_many_requests");
        let wait: i64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((longest - 60..=longest).contains(&wait), "{wait}");
    }

    /// A workspace of an account that is not an operator, and its owner there.
    fn strangers(server: &TestServer) -> TestClient<'_> {
        let made = server.stranger().post("/workspaces", json!({"name": "Theirs", "subdomain": "theirs"})).created();
        let entered = server.stranger().post("/switch-to", json!({"workspace_id": made["id"]})).ok();
        server.anonymous().signed_in(&entered).at("theirs.localhost")
    }

    #[test]
    fn an_account_owns_so_many_workspaces_and_is_given_no_more() {
        let server = TestServer::with(&[("max_workspaces_per_account", "2")]);
        let make = |client: &TestClient<'_>| client.post("/workspaces", json!({"name": "One more"}));
        let stranger = server.stranger();
        let first = make(&stranger).created();
        make(&stranger).created();
        let refused = make(&stranger);
        refused.rejected(422, "quota_reached");
        assert!(refused.text.contains("max_workspaces_per_account") && refused.text.contains("2 are allowed"));
        // Operators are exempt. An operator cannot transfer a workspace beyond the new owner's quota.
        for _ in 0..3 {
            make(&server.central()).created();
        }
        let user = server.join_acme("stranger@example.com", "agent");
        let transfer =
            || server.central().post(&format!("/workspaces/{}/transfer", server.acme.id), json!({"user_id": user}));
        transfer().rejected(422, "quota_reached");
        assert_eq!(server.admin().get(&format!("/users/{user}")).ok()["role"]["name"], "agent");
        let path = format!("/workspaces/{}", first["id"].as_str().unwrap());
        stranger.delete_with(&path, json!({"subdomain": first["subdomain"]})).ok();
        transfer().created();
        make(&stranger).rejected(422, "quota_reached");
    }

    #[test]
    fn an_account_has_so_many_tokens_that_work() {
        let server = TestServer::with(&[("max_tokens_per_account", "3")]);
        let stranger = server.stranger();
        let make = || stranger.post("/tokens", json!({"label": "program"}));
        let first = make().created();
        make().created();
        make().rejected(422, "quota_reached");
        stranger.delete(&format!("/tokens/{}", first["id"])).ok();
        make().created();
        for _ in 0..5 {
            server.central().post("/tokens", json!({"label": "operator"})).created();
        }
    }

    #[test]
    fn a_workspace_invites_so_many_a_day_and_each_again_after_a_time() {
        let server = TestServer::with(&[("invitations_per_day", "2")]);
        let owner = strangers(&server);
        let invite = |client: &TestClient<'_>, n: usize| {
            client.post("/user-invites", json!({"email": format!("g{n}@example.com"), "role_id": 3}))
        };
        let path = format!("/user-invites/{}", invite(&owner, 1).created()["id"]);
        owner.post(&format!("{path}/resend"), json!({})).created();
        waits(&owner.post(&format!("{path}/resend"), json!({})), 600);
        // A cancelled invitation was mailed too.
        owner.delete(&path).ok();
        invite(&owner, 2).created();
        let mails = server.mails().len();
        waits(&invite(&owner, 3), 86_400);
        assert_eq!(server.mails().len(), mails);
        (0..3).for_each(|n| {
            invite(&server.admin(), n).created();
        });
    }

    #[test]
    fn an_account_causes_so_many_mails_an_hour_in_whichever_workspace() {
        let server = TestServer::with(&[("mails_per_hour", "2")]);
        let owner = strangers(&server);
        server.join_acme("stranger@example.com", "admin");
        let inside = server
            .anonymous()
            .at("acme.localhost")
            .with_token(server.token("stranger@example.com", crate::auth::TokenScope::Workspace(server.acme.id)));
        let invite = |client: &TestClient<'_>, n: usize| {
            client.post("/user-invites", json!({"email": format!("g{n}@example.com"), "role_id": 3}))
        };
        invite(&owner, 1).created();
        invite(&inside, 2).created();
        waits(&invite(&owner, 3), 3600);
        waits(&invite(&inside, 3), 3600);
        // A mail that a key causes counts for the owner of the workspace.
        let key = owner.post("/integration-keys", json!({"name": "k", "permissions": ["*"]})).created();
        let key = server.anonymous().at("theirs.localhost").with_token(key["key"].as_str().unwrap().into());
        waits(&invite(&key, 4), 3600);
        invite(&server.admin(), 5).created();
        let invited = server.mails().into_iter().filter(|mail| mail.subject.contains("invites you"));
        assert_eq!(invited.count(), 3);
    }

    #[test]
    fn a_workspace_has_so_many_webhooks() {
        let server = TestServer::with(&[("max_webhooks", "1")]);
        let owner = strangers(&server);
        let webhook = json!({"url": "https://example.com/", "events": ["*"]});
        owner.post("/webhooks", webhook.clone()).created();
        owner.post("/webhooks", webhook.clone()).rejected(422, "quota_reached");
        server.admin().post("/webhooks", webhook.clone()).created();
        server.admin().post("/webhooks", webhook).created();
    }

    #[test]
    fn a_quota_of_nothing_is_none() {
        let server =
            TestServer::with(&[("max_webhooks", "0"), ("mails_per_hour", "0"), ("invitation_resend_interval", "0")]);
        let owner = strangers(&server);
        let invite = owner.post("/user-invites", json!({"email": "g@example.com", "role_id": 3})).created();
        for _ in 0..3 {
            owner.post("/webhooks", json!({"url": "https://example.com/", "events": ["*"]})).created();
            owner.post(&format!("/user-invites/{}/resend", invite["id"]), json!({})).created();
        }
    }
}

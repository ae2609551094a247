//! Tokens. Each has a row, so that it can be listed and revoked.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;
use uuid::Uuid;

use super::audit_log::{self, Event};
use super::notices::{self, About};
use super::{account_admin, session};
use crate::api::field::{integer, moment};
use crate::api::list::{List, Listed, Listing};
use crate::api::resource::Resource;
use crate::api::{
    Created, Ctx, Deleted, Done, Error, Id, Json, Needs, Page, Query, Result, Route, Steps, delete, get, post, run,
    steps,
};
use crate::auth::seal::{self, Claims};
use crate::auth::{Nonce, Origin, Scope, TokenInUse, TokenKind, network_of};
use crate::engine::Engine;
use crate::values::{Flag, Name, Timestamp};

pub const RESOURCE: Resource = Resource::new(
    "Tokens",
    "Sessions of people and tokens of programs. Each is valid for the central API or one workspace.",
    ROUTES,
)
.french("Jetons");

const ROUTES: &[Route] = &[
    get("/tokens", &run(list), Needs::SignedIn, "List your sessions and tokens, newest first"),
    post("/tokens", &steps(create), Needs::SignedIn, "Create a token for a program; the response shows it once"),
    delete("/tokens", &run(revoke_others), Needs::SignedIn, "Revoke all your other tokens").named("revokeOtherTokens"),
    delete("/tokens/{id}", &run(revoke), Needs::SignedIn, "Revoke a token and the tokens that were switched from it")
        .named("revokeToken"),
];

/// A new token. Its text is not stored.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Issued {
    /// The token. Send it as `Authorization: Bearer {token}`.
    pub token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Lifetime in seconds.
    pub expires_in: i64,
    #[serde(skip)]
    id: i64,
}

/// A token as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Token {
    /// Id of the token.
    pub id: i64,
    /// Label of the token.
    pub label: String,
    /// `central` or `workspace`.
    pub scope: &'static str,
    /// The workspace of the token; null for a central token.
    pub workspace: Option<TokenWorkspace>,
    /// `session` after a login or a switch, `program` after `POST /tokens`.
    pub kind: TokenKind,
    /// Id of the token from which this one was switched.
    pub parent_id: Option<i64>,
    /// IP address of the client when the token was created.
    pub address: Option<String>,
    /// Network of that address: /24 for IPv4, /48 for IPv6.
    pub network: Option<String>,
    /// `User-Agent` of the client when the token was created.
    pub user_agent: Option<String>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of last use, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Time of expiry.
    pub expires_at: Timestamp,
    /// Whether this is the token of the request.
    pub current: bool,
    #[serde(skip)]
    account_id: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenWorkspace {
    /// Id of the workspace.
    pub id: Uuid,
    /// Name of the workspace.
    pub name: String,
    /// Subdomain of the workspace.
    pub subdomain: String,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewToken {
    /// Label that says what the token is for.
    #[schemars(example = &"Nightly report")]
    label: Name<255>,
    /// Id of the workspace. Absent for the central API.
    workspace_id: Option<Uuid>,
    /// Lifetime in seconds, from 60 to 315360000 (ten years). Default: the lifetime of a login. A token of a program
    /// cannot create a token that expires later than itself.
    #[schemars(range(min = 60, max = 315_360_000))]
    #[schemars(example = 86400)]
    expires_in: Option<i64>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Others {
    /// Must be `1`, as a confirmation.
    #[serde(deserialize_with = "set")]
    #[schemars(extend("enum" = [true]))]
    #[schemars(example = true)]
    others: Flag,
}

fn set<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<Flag, D::Error> {
    let flag = Flag::deserialize(input)?;
    if flag.0 { Ok(flag) } else { Err(de::Error::custom("must be 1. The request revokes all tokens except its own.")) }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct NewTokenShown {
    #[serde(flatten)]
    issued: Issued,
    #[serde(flatten)]
    token: Token,
}

fn list(ctx: &mut Ctx<'_>, list: List<Token>) -> Result<Page<Token>> {
    let token = ctx.call.token()?;
    let mut page = list.only("account_id", token.account_id).page(ctx)?;
    for listed in page.rows_mut() {
        listed.current = listed.id == token.id;
    }
    Ok(page)
}

fn create(steps: &Steps<'_>, Json(new): Json<NewToken>) -> Result<Created<NewTokenShown>> {
    let ttl = new.expires_in.unwrap_or(steps.engine.config.token_ttl);
    if !(60..=315_360_000).contains(&ttl) {
        return Err(Error::invalid("The expires in must be between 60 and 315360000."));
    }
    let scope = Scope::from(new.workspace_id);
    if let Some(id) = new.workspace_id {
        session::enter(steps, steps.token()?.account_id, id)?;
    }
    let (inside, maker, origin) = (Arc::clone(steps.engine), steps.token()?, steps.call.origin());
    let account_id = maker.account_id;
    let latest = (maker.kind == TokenKind::PROGRAM).then_some(maker.expires_at);
    let shown = steps.engine.central.write(move |db| {
        inside.config.quotas.check_tokens(db, account_id, origin.at)?;
        let token =
            NewIssue { kind: TokenKind::PROGRAM, latest, ..NewIssue::session(account_id, scope, &new.label, ttl) };
        let issued = issue(db, &inside, &token, &origin)?;
        let event = Event { workspace: scope.workspace(), ..Event::new("token.created").about(account_id) };
        audit_log::record(db, &origin, event.with(json!({"token_id": issued.id, "label": new.label})))?;
        notices::put(db, account_id, &About::TokenCreated { label: &new.label }, &origin)?;
        let token = find(db, issued.id)?.ok_or_else(Error::not_found)?;
        Ok::<_, Error>(NewTokenShown { issued, token })
    })?;
    Ok(Created(shown))
}

fn revoke(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let account_id = ctx.call.token()?.account_id;
    let found = find(ctx.db, id)?.filter(|token| token.account_id == account_id).ok_or_else(Error::not_found)?;
    revoke_one(ctx.db, id, ctx.now)?;
    let event = Event::new("token.revoked").about(account_id).with(json!({"token_id": id, "label": found.label}));
    audit_log::record(ctx.db, &ctx.call.origin(), event)?;
    Ok(Done)
}

fn revoke_others(ctx: &mut Ctx<'_>, Query(_): Query<Others>) -> Result<Deleted> {
    let token = ctx.call.token()?;
    let revoked = revoke_all(ctx.db, token.account_id, Some(token.id), ctx.now)?;
    let event = Event::new("token.revoked").about(token.account_id).with(json!({"others": revoked}));
    audit_log::record(ctx.db, &ctx.call.origin(), event)?;
    Ok(Deleted(revoked))
}

/// A token to be issued.
pub struct NewIssue<'a> {
    pub account_id: i64,
    pub scope: Scope,
    pub label: &'a str,
    pub kind: TokenKind,
    /// Lifetime in seconds.
    pub ttl: i64,
    /// The token from which it is switched. Revoking that token revokes this one.
    pub parent_id: Option<i64>,
    /// The latest time of expiry.
    pub latest: Option<Timestamp>,
}

impl<'a> NewIssue<'a> {
    /// The token of a login.
    pub fn session(account_id: i64, scope: Scope, label: &'a str, ttl: i64) -> Self {
        Self { account_id, scope, label, kind: TokenKind::SESSION, ttl, parent_id: None, latest: None }
    }

    /// A token switched from another one. It expires with that one at the latest.
    pub fn switched(from: &TokenInUse, scope: Scope, ttl: i64) -> Self {
        Self {
            kind: from.kind,
            parent_id: Some(from.id),
            latest: Some(from.expires_at),
            ..Self::session(from.account_id, scope, "switch", ttl)
        }
    }
}

/// Inserts a token's row and encrypts the token. Rejects a disabled account. Every login needs a token, so this check
/// suffices.
pub fn issue(db: &Connection, engine: &Engine, new: &NewIssue<'_>, origin: &Origin) -> Result<Issued> {
    let NewIssue { account_id, scope, .. } = *new;
    if account_admin::is_disabled(db, account_id)? {
        return Err(Error::forbidden("account_disabled", "This account is disabled. Ask an operator of the server."));
    }
    let expires_at = new.latest.map_or(origin.at.plus(new.ttl), |latest| latest.min(origin.at.plus(new.ttl)));
    let nonce = Nonce::make()?;
    let id = db
        .prepare_cached(
            "INSERT INTO tokens (account_id, workspace_id, label, created_at, expires_at, nonce, kind, parent_id, address,
                                 user_agent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .insert((
            account_id,
            scope.workspace().map(|id| id.to_string()),
            new.label,
            origin.at,
            expires_at,
            nonce,
            new.kind,
            new.parent_id,
            origin.address.map(|address| address.to_string()),
            &origin.user_agent,
        ))?;
    let token = seal::seal(Claims { token_id: id, account_id, scope, expires_at, nonce: Some(nonce) }, &engine.keys)?;
    let expires_in = expires_at.seconds() - origin.at.seconds();
    Ok(Issued { token, token_type: "Bearer", expires_in, id })
}

/// Revokes a token and the tokens that were switched from it. Returns whether any was revoked.
pub fn revoke_one(db: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<bool> {
    Ok(revoke_with_children(db, "id = ?2", &[&now, &id])? > 0)
}

/// Revokes the tokens that meet a condition, and all tokens switched from them, directly or indirectly. The first value
/// is the time.
fn revoke_with_children(db: &Connection, condition: &'static str, values: &[&dyn ToSql]) -> rusqlite::Result<usize> {
    db.prepare_cached(&format!(
        "WITH RECURSIVE ended (id) AS (
             SELECT id FROM tokens WHERE {condition} AND revoked_at IS NULL
             UNION SELECT t.id FROM tokens t JOIN ended ON t.parent_id = ended.id
         )
         UPDATE tokens SET revoked_at = ?1 WHERE id IN ended AND revoked_at IS NULL"
    ))?
    .execute(values)
}

/// Revokes every token of an account, except one if given. Returns the number revoked.
pub fn revoke_all(db: &Connection, account_id: i64, except: Option<i64>, now: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE tokens SET revoked_at = ?3 WHERE account_id = ?1 AND id IS NOT ?2 AND revoked_at IS NULL",
    )?
    .execute((account_id, except, now))
}

/// Revokes the tokens of an account for a workspace, and the tokens that were switched from them.
pub fn revoke_member(db: &Connection, account_id: i64, workspace: Uuid, now: Timestamp) -> rusqlite::Result<()> {
    let workspace = workspace.to_string();
    revoke_with_children(db, "account_id = ?2 AND workspace_id = ?3", &[&now, &account_id, &workspace])?;
    Ok(())
}

/// Revokes every token for a workspace, and the tokens that were switched from them.
pub fn revoke_workspace(db: &Connection, workspace: Uuid, now: Timestamp) -> rusqlite::Result<usize> {
    revoke_with_children(db, "workspace_id = ?2", &[&now, &workspace.to_string()])
}

/// Writes the times of last use.
pub fn write_uses(db: &Connection, uses: &[(i64, Timestamp)]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("UPDATE tokens SET last_used_at = ?2 WHERE id = ?1")?;
    uses.iter().try_for_each(|used| statement.execute(*used).map(|_| ()))
}

/// The tokens of an account that are not revoked.
pub fn all(db: &Connection, account_id: i64) -> rusqlite::Result<Vec<Token>> {
    let Listing { table, columns, .. } = Token::LISTING;
    let mut statement = db.prepare(&format!("SELECT {columns} FROM {table} WHERE account_id = ?1 ORDER BY id DESC"))?;
    statement.query_map([account_id], Token::from_row)?.collect()
}

fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Token>> {
    let Listing { table, columns, .. } = Token::LISTING;
    db.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE id = ?1"))?
        .query_row([id], Token::from_row)
        .optional()
}

impl Listed for Token {
    const LISTING: Listing = Listing {
        table: "(SELECT t.*, w.name AS workspace_name, w.subdomain FROM tokens t
                 LEFT JOIN workspaces w ON w.id = t.workspace_id WHERE t.revoked_at IS NULL)",
        columns: "id, label, workspace_id, workspace_name, subdomain, created_at, last_used_at, expires_at, kind,
                  parent_id, address, user_agent, account_id",
        fields: &[integer("id").only_sorted(), moment("created_at").only_sorted()],
        plain_filters: false,
        newest_first: true,
        counted_by_triggers: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id: Option<String> = row.get(2)?;
        let address: Option<String> = row.get(10)?;
        let workspace = match id.and_then(|id| id.parse().ok()) {
            Some(id) => Some(TokenWorkspace { id, name: row.get(3)?, subdomain: row.get(4)? }),
            None => None,
        };
        Ok(Self {
            id: row.get(0)?,
            label: row.get(1)?,
            scope: if workspace.is_some() { "workspace" } else { "central" },
            workspace,
            created_at: row.get(5)?,
            last_used_at: row.get(6)?,
            expires_at: row.get(7)?,
            kind: row.get(8)?,
            parent_id: row.get(9)?,
            network: address.as_ref().and_then(|address| address.parse().ok()).map(network_of),
            address,
            user_agent: row.get(11)?,
            account_id: row.get(12)?,
            current: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::jobs;
    use crate::testing::Bench;
    use crate::values::Timestamp;

    #[test]
    fn a_token_for_a_program_is_shown_once_listed_and_revoked() {
        let bench = Bench::new();
        let me = bench.central();
        let made =
            me.post("/tokens", json!({"label": "nightly", "workspace_id": bench.acme.id, "expires_in": 60})).created();
        assert_eq!(
            (&made["scope"], &made["workspace"]["subdomain"], &made["expires_in"]),
            (&json!("workspace"), &json!("acme"), &json!(60))
        );
        let program = bench.nobody().signed_in(&made).at("acme.localhost");
        program.get("/customers").ok();

        let listed = me.get("/tokens").ok();
        assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["token"]), (&made["id"], &Value::Null));
        let current: Vec<&Value> =
            listed["data"].as_array().unwrap().iter().filter(|row| row["current"] == true).collect();
        assert_eq!(current.len(), 1);
        me.delete(&format!("/tokens/{}", made["id"])).ok();
        program.get("/customers").refused(401, "token_revoked");
        me.delete(&format!("/tokens/{}", made["id"])).refused(404, "not_found");
    }

    #[test]
    fn a_token_that_was_switched_from_another_ends_with_it() {
        let bench = Bench::new();
        let short = bench.central().post("/tokens", json!({"label": "short", "expires_in": 60})).created();
        let short_client = bench.nobody().signed_in(&short);
        let child = short_client.post("/switch-to", json!({"workspace_id": bench.acme.id})).ok();
        assert!(child["expires_in"].as_i64().unwrap() <= 60, "{child}");
        let inside = bench.nobody().signed_in(&child).at("acme.localhost");
        let grandchild = inside.post("/switch-to", json!({"workspace_id": bench.other.id})).ok();
        assert!(grandchild["expires_in"].as_i64().unwrap() <= 60, "{grandchild}");
        let beyond = bench.nobody().signed_in(&grandchild).at("other.localhost");
        beyond.get("/customers").ok();
        let longer = short_client.post("/tokens", json!({"label": "longer", "expires_in": 3600})).created();
        assert!(longer["expires_in"].as_i64().unwrap() <= 60, "{longer}");

        short_client.post("/logout", json!({})).ok();
        inside.get("/customers").refused(401, "token_revoked");
        beyond.get("/customers").refused(401, "token_revoked");
    }

    #[test]
    fn a_persons_other_sessions_are_shown_and_ended_together() {
        let bench = Bench::new();
        let (me, other) = (bench.central(), bench.stranger());
        let login = json!({"email": "owner@example.com", "password": crate::testing::PASSWORD});
        let elsewhere = bench.nobody().with_header("user-agent", "curl/8").post("/login", login).ok();
        let listed = me.get("/tokens").ok();
        let shown = &listed["data"][0];
        assert_eq!(
            (&shown["user_agent"], &shown["address"], &shown["network"], &shown["kind"]),
            (&json!("curl/8"), &json!("127.0.0.1"), &json!("127.0.0.0/24"), &json!("session"))
        );
        me.delete("/tokens").invalid(&["The others must be 1. The request revokes all tokens except its own."]);
        let ended = me.delete("/tokens?others=1").ok()["deleted"].as_u64().unwrap();
        assert_eq!(
            (ended + 1, me.get("/tokens").ok()["total"].as_u64().unwrap()),
            (listed["total"].as_u64().unwrap(), 1)
        );
        bench.nobody().signed_in(&elsewhere).get("/whoami").refused(401, "token_revoked");
        other.get("/whoami").ok();
    }

    /// As after a restore: ids that were used since are used again.
    #[test]
    fn a_token_whose_id_was_used_again_opens_nothing() {
        let bench = Bench::new();
        let old = bench.stranger();
        old.get("/whoami").ok();
        bench
            .engine
            .central
            .write(|db| {
                db.execute("DELETE FROM accounts WHERE email = 'stranger@example.com'", [])?;
                db.execute("UPDATE sqlite_sequence SET seq = seq - 1 WHERE name IN ('accounts', 'tokens')", [])?;
                Ok::<_, crate::api::Error>(())
            })
            .unwrap();
        let body = json!({"name": "New", "email": "new@example.com", "password": crate::testing::PASSWORD});
        let new = bench.nobody().signed_in(&bench.nobody().post("/register", body).created());
        let ids = bench.engine.central.read(|db| {
            let sql = "SELECT a.id, t.id FROM accounts a JOIN tokens t ON t.account_id = a.id WHERE email = 'new@example.com'";
            Ok::<(i64, i64), crate::api::Error>(db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        });
        assert_eq!(ids.unwrap(), (2, 1), "both ids are those of before");
        old.get("/whoami").refused(401, "token_revoked");
        assert_eq!(new.get("/whoami").ok()["user"]["name"], "New");
    }

    #[test]
    fn bounds_of_a_token() {
        let bench = Bench::new();
        let me = bench.central();
        me.post("/tokens", json!({})).invalid(&["The label field is required."]);
        let too_short = me.post("/tokens", json!({"label": "a", "expires_in": 59}));
        too_short.invalid(&["The expires in must be between 60 and 315360000."]);
        let nowhere = json!({"label": "a", "workspace_id": "01a20b2c-00a2-73dc-a1d6-997badde1f7c"});
        me.post("/tokens", nowhere).refused(404, "workspace_not_found");
    }

    #[test]
    fn somebody_elses_token_is_not_there() {
        let bench = Bench::new();
        let theirs = bench.with_role("agent").get("/whoami").ok()["token"]["id"].clone();
        bench.central().delete(&format!("/tokens/{theirs}")).refused(404, "not_found");
    }

    #[test]
    fn an_expired_token_is_told_so_and_later_forgotten() {
        let bench = Bench::new();
        let old = bench.token_until("owner@example.com", Timestamp::from_seconds(1));
        let client = bench.nobody().with_token(old);
        client.get("/whoami").refused(401, "token_expired");
        jobs::round(&bench.engine, Timestamp::now(), true).unwrap();
        client.get("/whoami").refused(401, "token_revoked");
    }

    #[test]
    fn the_last_use_is_written_by_the_jobs() {
        let bench = Bench::new();
        let me = bench.central();
        assert_eq!(me.get("/tokens").ok()["data"][0]["last_used_at"], Value::Null);
        jobs::round(&bench.engine, Timestamp::now(), false).unwrap();
        assert!(me.get("/tokens").ok()["data"][0]["last_used_at"].is_string());
    }
}

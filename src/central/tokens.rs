//! Tokens: who may act, where, until when. Each has a row, so that it can be seen and revoked.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::session;
use crate::api::list::{List, Listed, Listing, Sort};
use crate::api::{
    Created, Ctx, Done, Error, Id, Json, Needs, Page, Result, Route, Steps, delete, get, post, run, steps,
};
use crate::auth::Scope;
use crate::auth::seal::{self, Claims};
use crate::engine::Engine;
use crate::values::{Name, Timestamp};

pub const ROUTES: &[Route] = &[
    get("/tokens", &run(list), Needs::SignedIn, "List your tokens, newest first"),
    post("/tokens", &steps(create), Needs::SignedIn, "Make a token for a program; it is shown this once"),
    delete("/tokens/{id}", &run(revoke), Needs::SignedIn, "Revoke a token"),
];

/// A token that was just made; its text is not kept.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Issued {
    /// To be sent as `Authorization: Bearer {token}`.
    pub token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    #[serde(skip)]
    id: i64,
}

/// A token as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Token {
    pub id: i64,
    pub label: String,
    /// `central` or `workspace`.
    pub scope: &'static str,
    /// The workspace that it is for.
    pub workspace: Option<TokenWorkspace>,
    pub created_at: Timestamp,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenWorkspace {
    pub id: Uuid,
    pub name: String,
    pub subdomain: String,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewToken {
    /// What it is for.
    label: Name<255>,
    /// The workspace that it is for; absent for the central API.
    workspace_id: Option<Uuid>,
    /// Seconds, from 60 to 315360000 (ten years); as long as a login's where it is absent.
    #[schemars(range(min = 60, max = 315_360_000))]
    expires_in: Option<i64>,
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
    let (inside, account_id, now) = (Arc::clone(steps.engine), steps.token()?.account_id, steps.now);
    let shown = steps.engine.central.write(move |db| {
        inside.config.quotas.check_tokens(db, account_id, now)?;
        let issued = issue(db, &inside, account_id, scope, &new.label, ttl, now)?;
        let token = find(db, issued.id)?.ok_or_else(Error::not_found)?;
        Ok::<_, Error>(NewTokenShown { issued, token })
    })?;
    Ok(Created(shown))
}

fn revoke(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let changed = ctx
        .db
        .prepare_cached("UPDATE tokens SET revoked_at = ?3 WHERE id = ?1 AND account_id = ?2 AND revoked_at IS NULL")?
        .execute((id, ctx.call.token()?.account_id, ctx.now))?;
    if changed == 0 { Err(Error::not_found()) } else { Ok(Done) }
}

/// Makes a token's row, and the token.
pub fn issue(
    db: &Connection,
    engine: &Engine,
    account_id: i64,
    scope: Scope,
    label: &str,
    ttl: i64,
    now: Timestamp,
) -> Result<Issued> {
    let expires_at = now.plus(ttl);
    let id = db
        .prepare_cached(
            "INSERT INTO tokens (account_id, workspace_id, label, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert((account_id, scope.workspace().map(|id| id.to_string()), label, now, expires_at))?;
    let token = seal::seal(Claims { token_id: id, account_id, scope, expires_at }, &engine.keys)?;
    Ok(Issued { token, token_type: "Bearer", expires_in: ttl, id })
}

/// Revokes one token; answers whether there was one to revoke.
pub fn revoke_one(db: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<bool> {
    let changed = db
        .prepare_cached("UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute((id, now))?;
    Ok(changed > 0)
}

/// Revokes every token of an account, but one where it is named; answers how many.
pub fn revoke_all(db: &Connection, account_id: i64, except: Option<i64>, now: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE tokens SET revoked_at = ?3 WHERE account_id = ?1 AND id IS NOT ?2 AND revoked_at IS NULL",
    )?
    .execute((account_id, except, now))
}

/// Revokes the tokens of an account for a workspace.
pub fn revoke_member(db: &Connection, account_id: i64, workspace: Uuid, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE tokens SET revoked_at = ?3 WHERE account_id = ?1 AND workspace_id = ?2 AND revoked_at IS NULL",
    )?
    .execute((account_id, workspace.to_string(), now))?;
    Ok(())
}

/// Revokes every token for a workspace.
pub fn revoke_workspace(db: &Connection, workspace: Uuid, now: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached("UPDATE tokens SET revoked_at = ?2 WHERE workspace_id = ?1 AND revoked_at IS NULL")?
        .execute((workspace.to_string(), now))
}

/// Brings the times of last use to the rows that show them.
pub fn write_uses(db: &Connection, uses: &[(i64, Timestamp)]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("UPDATE tokens SET last_used_at = ?2 WHERE id = ?1")?;
    uses.iter().try_for_each(|used| statement.execute(*used).map(|_| ()))
}

/// The tokens of an account that have not been revoked.
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
        columns: "id, label, workspace_id, workspace_name, subdomain, created_at, last_used_at, expires_at",
        filters: &[],
        plain_filters: false,
        sorts: &[Sort { name: "id", column: "id" }, Sort { name: "created_at", column: "created_at" }],
        newest_first: true,
        counted_by_triggers: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id: Option<String> = row.get(2)?;
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

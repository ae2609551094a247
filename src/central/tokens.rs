//! Tokens. Each has a row, so that it can be listed and revoked.

use std::sync::Arc;

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;
use uuid::Uuid;

use super::central_audit_log::{self, CentralAuditEvent};
use super::credentials::{Issued, TokenSpec, issue, revoke_all, revoke_one};
use super::notices::{self, NoticeKind};
use super::{account_session, accounts};
use crate::api::field::{Field, integer, labelled, moment};
use crate::api::list::{List, ListSpec, Listable, find_row};
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{
    BlockingCtx, Ctx, Deleted, Done, Error, Id, Json, Needs, Page, Query, Result, Route, Saved, blocking, delete, get,
    post, run,
};
use crate::auth::{Origin, TokenKind, TokenScope, network_of};
use crate::tenancy::Central;
use crate::values::{Flag, Name, Timestamp};

pub const RESOURCE: Resource = Resource::new(
    "Tokens",
    "Sessions of people and tokens of programs. Each is valid for the central API or one workspace.",
    ROUTES,
)
.french("Jetons")
.fields(FIELDS)
.view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("label", "Label", "Libellé"),
    labelled("workspace_id", "Workspace", "Espace de travail"),
    labelled("workspace", "Workspace", "Espace de travail"),
    labelled("expires_in", "Lifetime", "Durée de validité"),
    labelled("scope", "Valid for", "Portée"),
    labelled("kind", "Kind", "Type"),
    labelled("parent_id", "Switched from", "Issu du jeton"),
    labelled("address", "IP address", "Adresse IP"),
    labelled("network", "Network", "Réseau"),
    labelled("user_agent", "Browser or program", "Navigateur ou programme"),
    labelled("last_used_at", "Last used", "Dernière utilisation"),
    labelled("expires_at", "Expiry", "Expiration"),
    labelled("current", "This session", "Cette session"),
    labelled("token", "Token", "Jeton"),
    labelled("token_type", "Type of the token", "Type du jeton"),
    labelled("others", "All but this one", "Tous sauf celui-ci"),
];

const VIEW: ResourceView = ResourceView {
    is_bearer: true,
    title: &["label"],
    columns: &["label", "kind", "workspace", "created_at", "last_used_at", "expires_at", "current"],
    groups: &[
        group("Token", "Jeton", &["label", "workspace_id", "workspace", "expires_in", "kind", "current", "expires_at"]),
        group("Use", "Utilisation", &["last_used_at", "address", "network", "user_agent"]),
    ],
    widgets: &[
        ("workspace_id", Widget::Link("/workspaces")),
        ("expires_in", Widget::Seconds),
        ("scope", Widget::Hidden),
        ("parent_id", Widget::Hidden),
    ],
    help: &[
        ("label", label("What the token is for.", "À quoi sert le jeton.")),
        (
            "workspace_id",
            label(
                "The token is valid there. Leave it empty for a token for your account.",
                "Le jeton y est valable. Laissez vide pour un jeton de votre compte.",
            ),
        ),
        (
            "expires_in",
            label("Leave it empty for the lifetime of a login.", "Laissez vide pour la durée d’une connexion."),
        ),
    ],
    purpose: label(
        "Your sessions, and tokens for programs that act for you.",
        "Vos sessions, et les jetons des programmes qui agissent pour vous.",
    ),
    singular: label("token", "un jeton"),
    secret: Some("token"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/tokens", &run(list), Needs::SignedIn, "List your sessions and tokens, newest first"),
    post("/tokens", &blocking(create), Needs::SignedIn, "Create a token for a program; the response shows it once"),
    delete("/tokens", &run(revoke_others), Needs::SignedIn, "Revoke all your other tokens").named("revokeOtherTokens"),
    delete("/tokens/{id}", &run(revoke), Needs::SignedIn, "Revoke a token and the tokens that were switched from it")
        .named("revokeToken"),
];

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
pub struct OthersQuery {
    /// Must be `1`, as a confirmation.
    #[serde(deserialize_with = "set")]
    #[schemars(extend("enum" = [true]))]
    #[schemars(example = true)]
    others: Flag,
}

fn set<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<Flag, D::Error> {
    let flag = Flag::deserialize(input)?;
    if flag.0 { Ok(flag) } else { Err(de::Error::custom("must be 1: the request revokes all tokens except its own.")) }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct NewTokenShown {
    #[serde(flatten)]
    issued: Issued,
    #[serde(flatten)]
    token: Token,
}

fn list(ctx: &mut Ctx<'_>, list: List<Token>) -> Result<Page<Token>> {
    let token = ctx.request.token()?;
    let mut page = list.restrict("account_id", token.account_id).page(ctx)?;
    for listed in page.rows_mut() {
        listed.current = listed.id == token.id;
    }
    Ok(page)
}

fn create(ctx: &BlockingCtx<'_>, Json(new): Json<NewToken>) -> Result<Saved<NewTokenShown>> {
    let ttl = new.expires_in.unwrap_or(ctx.instance.config.token_ttl);
    if !(60..=315_360_000).contains(&ttl) {
        return Err(Error::invalid("The expires in must be between 60 and 315360000."));
    }
    let scope = TokenScope::from(new.workspace_id);
    if let Some(id) = new.workspace_id {
        account_session::open_session(ctx, ctx.token()?.account_id, id, &ctx.token()?.method)?;
    }
    let (inside, maker, origin) = (Arc::clone(ctx.instance), ctx.token()?, ctx.request.origin());
    let account_id = maker.account_id;
    let latest = (maker.kind == TokenKind::PROGRAM).then_some(maker.expires_at);
    let shown = ctx.instance.central.write(move |db| {
        inside.config.quotas.check_tokens(db, account_id, origin.at)?;
        let token =
            TokenSpec { kind: TokenKind::PROGRAM, latest, ..TokenSpec::is_session(account_id, scope, &new.label, ttl) };
        let issued = issue(db, &inside, &token, &origin)?;
        let event = CentralAuditEvent {
            workspace: scope.workspace(),
            ..CentralAuditEvent::new("token.created").about(account_id)
        };
        central_audit_log::record(db, &origin, event.with(json!({"token_id": issued.id, "label": new.label})))?;
        notices::queue(db, account_id, &NoticeKind::TokenCreated { label: &new.label }, &origin)?;
        let token = find(db, issued.id)?.ok_or_else(Error::not_found)?;
        Ok::<_, Error>(NewTokenShown { issued, token })
    })?;
    Ok(Saved(shown))
}

fn revoke(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let account_id = ctx.request.token()?.account_id;
    let found = find(ctx.db, id)?.filter(|token| token.account_id == account_id).ok_or_else(Error::not_found)?;
    revoke_one(ctx.db, id, ctx.now)?;
    let event =
        CentralAuditEvent::new("token.revoked").about(account_id).with(json!({"token_id": id, "label": found.label}));
    central_audit_log::record(ctx.db, &ctx.request.origin(), event)?;
    Ok(Done)
}

fn revoke_others(ctx: &mut Ctx<'_>, Query(_): Query<OthersQuery>) -> Result<Deleted> {
    let token = ctx.request.token()?;
    let revoked = revoke_all(ctx.db, token.account_id, Some(token.id), ctx.now)?;
    let event = CentralAuditEvent::new("token.revoked").about(token.account_id).with(json!({"others": revoked}));
    central_audit_log::record(ctx.db, &ctx.request.origin(), event)?;
    Ok(Deleted(revoked))
}

impl Central {
    /// Revokes a token for an operator and records that in the audit log. Returns whether a token was revoked.
    pub fn revoke_any_token(&self, id: i64, origin: Origin) -> Result<bool> {
        self.write(move |db| {
            let revoked = revoke_one(db, id, origin.at)?;
            if revoked {
                central_audit_log::record(
                    db,
                    &origin,
                    CentralAuditEvent::new("token.revoked").with(json!({"token_id": id})),
                )?;
            }
            Ok(revoked)
        })
    }

    /// Revokes every token of the account with this address. Returns the number revoked.
    pub fn revoke_tokens_of(&self, email: &str, origin: Origin) -> Result<usize> {
        let email = email.to_owned();
        self.write(move |db| {
            let account = accounts::named(db, &email)?;
            central_audit_log::record(db, &origin, CentralAuditEvent::new("token.revoked").about(account.id))?;
            Ok(revoke_all(db, account.id, None, origin.at)?)
        })
    }

    /// The tokens of the account with this email address that are not revoked.
    pub fn tokens_of(&self, email: &str) -> Result<Vec<Token>> {
        let email = email.to_owned();
        self.read(move |db| {
            let ListSpec { table, columns, .. } = Token::LISTING;
            let sql = format!("SELECT {columns} FROM {table} WHERE account_id = ?1 ORDER BY id DESC");
            let account_id = accounts::named(db, &email)?.id;
            let mut statement = db.prepare(&sql)?;
            Ok(statement.query_map([account_id], Token::from_row)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Makes a running server reload its keys.
    pub fn announce_keys(&self, origin: Origin) -> Result<()> {
        self.write(move |db| {
            db.execute("UPDATE revisions SET revision = revision + 1 WHERE name = 'keys'", [])?;
            Ok(central_audit_log::record(db, &origin, CentralAuditEvent::new("keys.rotated"))?)
        })
    }
}

fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Token>> {
    find_row(db, "id = ?1", [id])
}

impl Listable for Token {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT t.*, w.name AS workspace_name, w.subdomain FROM tokens t
                 LEFT JOIN workspaces w ON w.id = t.workspace_id WHERE t.revoked_at IS NULL)",
        columns: "id, label, workspace_id, workspace_name, subdomain, created_at, last_used_at, expires_at, kind,
                  parent_id, address, user_agent, account_id",
        fields: &[integer("id").only_sorted(), moment("created_at").only_sorted()],
        plain_filters: false,
        newest_first: true,
        has_row_count: false,
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
    use crate::tests::TestServer;
    use crate::values::Timestamp;

    #[test]
    fn a_token_for_a_program_is_shown_once_listed_and_revoked() {
        let server = TestServer::new();
        let me = server.central();
        let made =
            me.post("/tokens", json!({"label": "nightly", "workspace_id": server.acme.id, "expires_in": 60})).created();
        assert_eq!(
            (&made["scope"], &made["workspace"]["subdomain"], &made["expires_in"]),
            (&json!("workspace"), &json!("acme"), &json!(60))
        );
        let program = server.anonymous().signed_in(&made).at("acme.localhost");
        program.get("/customers").ok();

        let listed = me.get("/tokens").ok();
        assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["token"]), (&made["id"], &Value::Null));
        let current: Vec<&Value> =
            listed["data"].as_array().unwrap().iter().filter(|row| row["current"] == true).collect();
        assert_eq!(current.len(), 1);
        me.delete(&format!("/tokens/{}", made["id"])).ok();
        program.get("/customers").rejected(401, "token_revoked");
        me.delete(&format!("/tokens/{}", made["id"])).rejected(404, "not_found");
    }

    #[test]
    fn a_token_that_was_switched_from_another_ends_with_it() {
        let server = TestServer::new();
        let short = server.central().post("/tokens", json!({"label": "short", "expires_in": 60})).created();
        let short_client = server.anonymous().signed_in(&short);
        let child = short_client.post("/switch-to", json!({"workspace_id": server.acme.id})).ok();
        assert!(child["expires_in"].as_i64().unwrap() <= 60, "{child}");
        let inside = server.anonymous().signed_in(&child).at("acme.localhost");
        let grandchild = inside.post("/switch-to", json!({"workspace_id": server.other.id})).ok();
        assert!(grandchild["expires_in"].as_i64().unwrap() <= 60, "{grandchild}");
        let beyond = server.anonymous().signed_in(&grandchild).at("other.localhost");
        beyond.get("/customers").ok();
        let longer = short_client.post("/tokens", json!({"label": "longer", "expires_in": 3600})).created();
        assert!(longer["expires_in"].as_i64().unwrap() <= 60, "{longer}");

        short_client.post("/logout", json!({})).ok();
        inside.get("/customers").rejected(401, "token_revoked");
        beyond.get("/customers").rejected(401, "token_revoked");
    }

    #[test]
    fn a_persons_other_sessions_are_shown_and_ended_together() {
        let server = TestServer::new();
        let (me, other) = (server.central(), server.stranger());
        let login = json!({"email": "owner@example.com", "password": crate::tests::PASSWORD});
        let elsewhere = server.anonymous().with_header("user-agent", "curl/8").post("/login", login).ok();
        let listed = me.get("/tokens").ok();
        let shown = &listed["data"][0];
        assert_eq!(
            (&shown["user_agent"], &shown["address"], &shown["network"], &shown["kind"]),
            (&json!("curl/8"), &json!("127.0.0.1"), &json!("127.0.0.0/24"), &json!("session"))
        );
        me.delete("/tokens").invalid(&["The others must be 1: the request revokes all tokens except its own."]);
        let ended = me.delete("/tokens?others=1").ok()["deleted"].as_u64().unwrap();
        assert_eq!(
            (ended + 1, me.get("/tokens").ok()["total"].as_u64().unwrap()),
            (listed["total"].as_u64().unwrap(), 1)
        );
        server.anonymous().signed_in(&elsewhere).get("/whoami").rejected(401, "token_revoked");
        other.get("/whoami").ok();
    }

    /// After a restore, ids that were used since the backup are used again.
    #[test]
    fn a_token_whose_id_was_used_again_opens_nothing() {
        let server = TestServer::new();
        let old = server.stranger();
        old.get("/whoami").ok();
        server
            .instance
            .central
            .write(|db| {
                db.execute("DELETE FROM accounts WHERE email = 'stranger@example.com'", [])?;
                db.execute("UPDATE sqlite_sequence SET seq = seq - 1 WHERE name IN ('accounts', 'tokens')", [])?;
                Ok::<_, crate::api::Error>(())
            })
            .unwrap();
        let body = json!({"name": "New", "email": "new@example.com", "password": crate::tests::PASSWORD});
        let new = server.anonymous().signed_in(&server.anonymous().post("/register", body).created());
        let ids = server.instance.central.read(|db| {
            let sql = "SELECT a.id, t.id FROM accounts a JOIN tokens t ON t.account_id = a.id WHERE email = 'new@example.com'";
            Ok::<(i64, i64), crate::api::Error>(db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        });
        assert_eq!(ids.unwrap(), (2, 1), "both ids are those of before");
        old.get("/whoami").rejected(401, "token_revoked");
        assert_eq!(new.get("/whoami").ok()["user"]["name"], "New");
    }

    #[test]
    fn bounds_of_a_token() {
        let server = TestServer::new();
        let me = server.central();
        me.post("/tokens", json!({})).invalid(&["The label field is required."]);
        let too_short = me.post("/tokens", json!({"label": "a", "expires_in": 59}));
        too_short.invalid(&["The expires in must be between 60 and 315360000."]);
        let nowhere = json!({"label": "a", "workspace_id": "01a20b2c-00a2-73dc-a1d6-997badde1f7c"});
        me.post("/tokens", nowhere).rejected(404, "workspace_not_found");
    }

    #[test]
    fn somebody_elses_token_is_not_there() {
        let server = TestServer::new();
        let theirs = server.with_role("agent").get("/whoami").ok()["token"]["id"].clone();
        server.central().delete(&format!("/tokens/{theirs}")).rejected(404, "not_found");
    }

    #[test]
    fn an_expired_token_is_told_so_and_later_forgotten() {
        let server = TestServer::new();
        let old = server.token_until("owner@example.com", Timestamp::from_seconds(1));
        let client = server.anonymous().with_token(old);
        client.get("/whoami").rejected(401, "token_expired");
        jobs::round(&server.instance, Timestamp::now(), true).unwrap();
        client.get("/whoami").rejected(401, "token_revoked");
    }

    #[test]
    fn the_last_use_is_written_by_the_jobs() {
        let server = TestServer::new();
        let me = server.central();
        assert_eq!(me.get("/tokens").ok()["data"][0]["last_used_at"], Value::Null);
        jobs::round(&server.instance, Timestamp::now(), false).unwrap();
        assert!(me.get("/tokens").ok()["data"][0]["last_used_at"].is_string());
    }
}

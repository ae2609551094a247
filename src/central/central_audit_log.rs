//! The central audit log of accounts, logins, tokens, workspaces, backups and the instance. Each workspace has its own
//! audit log for its data.

use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::field::{Field, choice, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable};
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, group, label, quick_filter};
use crate::api::{Ctx, Needs, Page, Result, Route, get, run};
use crate::auth::{Origin, OriginActor};
use crate::storage::{self, uuid_column};
use crate::tenancy::Central;
use crate::values::{Timestamp, choice};

pub const RESOURCE: Resource =
    Resource::new("Audit log", "Events of accounts, tokens and workspaces, with time, actor and address.", ROUTES)
        .french("Journal d’audit")
        .fields(FIELDS)
        .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("at", "Time", "Date et heure"),
    labelled("actor", "By", "Auteur"),
    labelled("actor_type", "Kind of author", "Type d’auteur"),
    labelled("actor_id", "Identifier of the author", "Identifiant de l’auteur"),
    labelled("actor_email", "Author", "Auteur"),
    labelled("action", "Event", "Événement"),
    labelled("account", "Account", "Compte"),
    labelled("account_id", "Identifier of the account", "Identifiant du compte"),
    labelled("account_email", "Account", "Compte"),
    labelled("workspace_id", "Workspace", "Espace de travail"),
    labelled("address", "IP address", "Adresse IP"),
    labelled("user_agent", "Browser or program", "Navigateur ou programme"),
    labelled("details", "Details", "Détails"),
];

const VIEW: ResourceView = ResourceView {
    title: &["action"],
    columns: &["at", "actor", "action", "account", "address"],
    groups: &[
        group("Event", "Événement", &["at", "actor", "action", "account", "workspace_id", "address", "user_agent"]),
        group("Details", "Détails", &["details"]),
    ],
    widgets: &[("workspace_id", Widget::Link("/workspaces")), ("details", Widget::Pairs)],
    quick_filters: &[
        quick_filter("Today", "Aujourd’hui", "filter[at][on]={today}"),
        quick_filter("Failed logins", "Connexions refusées", "filter[action]=login.failed"),
        quick_filter("Logins", "Connexions", "filter[action]=login.succeeded"),
    ],
    purpose: label(
        "What happened to your account and what you did.",
        "Ce qui est arrivé à votre compte et ce que vous avez fait.",
    ),
    singular: label("event", "un événement"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[get(
    "/audit-log",
    &run(list),
    Needs::SignedIn,
    "List audit entries about your account and your actions, newest first (operators see all)",
)
.named("listAuditLog")];

choice! {
    /// The kind of actor: `account`; `anonymous`, a request without a token; or `system`, a command or the server
    /// itself.
    CentralActor { ACCOUNT = "account", ANONYMOUS = "anonymous", SYSTEM = "system" }
}

/// Every action, as `resource.event`.
pub const ACTIONS: &[&str] = &[
    "account.created",
    "account.updated",
    "account.deleted",
    "email.change_requested",
    "email.changed",
    "email.change_undone",
    "email.verified",
    "password.changed",
    "password.reset",
    "login.succeeded",
    "login.failed",
    "token.created",
    "token.revoked",
    "second_factor.enabled",
    "second_factor.disabled",
    "second_factor.reset",
    "recovery_codes.created",
    "identity.connected",
    "identity.disconnected",
    "identity_domains.updated",
    "identity_provider.updated",
    "identity_provider.deleted",
    "workspace.created",
    "workspace.updated",
    "workspace.suspended",
    "workspace.resumed",
    "workspace.transferred",
    "workspace.exported",
    "workspace.imported",
    "workspace.deleted",
    "workspace.restored",
    "backup.created",
    "backup.copied",
    "backup.verified",
    "finding.fixed",
    "backup.restored",
    "keys.rotated",
];

/// Pseudo-account whose lists contain everything, for operators. Real account ids start at 1.
pub const EVERYBODY: i64 = 0;

/// An entry of the central audit log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CentralAuditEntry {
    /// Id of the entry.
    id: i64,
    /// Time of the event.
    at: Timestamp,
    /// The actor.
    actor: CentralAuditActor,
    /// The resource and the event, for example `login.failed`.
    #[schemars(extend("enum" = ACTIONS))]
    action: String,
    /// The account that the event concerns, with its address at that time.
    account: Option<CentralAuditAccount>,
    /// Id of the workspace that the event concerns.
    workspace_id: Option<Uuid>,
    /// IP address of the client; null for a command.
    address: Option<String>,
    /// `User-Agent` of the client.
    user_agent: Option<String>,
    /// Further details by name.
    details: Map<String, Value>,
}

/// The actor, with the address at that time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CentralAuditActor {
    /// Kind of actor.
    #[serde(rename = "type")]
    kind: CentralActor,
    /// Id of the account; null unless the actor is an account.
    id: Option<i64>,
    /// Email address of the account at that time.
    email: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct CentralAuditAccount {
    /// Id of the account; null if no account has the address.
    id: Option<i64>,
    /// Email address at that time.
    email: Option<String>,
}

fn list(ctx: &mut Ctx<'_>, list: List<CentralAuditEntry>) -> Result<Page<CentralAuditEntry>> {
    let token = ctx.request.token()?;
    let sees_all = token.operator && !ctx.request.lacks_second_factor(token);
    let viewer = if sees_all { EVERYBODY } else { token.account_id };
    list.restrict("viewer", viewer).page(ctx)
}

/// An event for the audit log.
#[derive(Debug, Clone)]
pub struct CentralAuditEvent {
    pub action: &'static str,
    pub account_id: Option<i64>,
    /// An address that was entered in a request, if there is no account.
    pub email: Option<String>,
    pub workspace: Option<Uuid>,
    pub details: Value,
}

impl CentralAuditEvent {
    /// `action` is one of [`ACTIONS`].
    pub fn new(action: &'static str) -> Self {
        debug_assert!(ACTIONS.contains(&action), "{action} is not in the list of actions");
        Self { action, account_id: None, email: None, workspace: None, details: Value::Object(Map::new()) }
    }

    #[must_use]
    pub fn about(self, account_id: i64) -> Self {
        Self { account_id: Some(account_id), ..self }
    }

    #[must_use]
    pub fn of_address(self, email: &str) -> Self {
        Self { email: Some(email.to_owned()), ..self }
    }

    #[must_use]
    pub fn of_workspace(self, workspace: Uuid) -> Self {
        Self { workspace: Some(workspace), ..self }
    }

    /// `details` is a JSON object without secrets.
    #[must_use]
    pub fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
}

/// Writes an entry, in the transaction of the event.
pub fn record(db: &Connection, origin: &Origin, event: CentralAuditEvent) -> rusqlite::Result<()> {
    let (kind, actor_id) = match origin.actor {
        OriginActor::Account(id) => (CentralActor::ACCOUNT, Some(id)),
        OriginActor::Anonymous => (CentralActor::ANONYMOUS, None),
        OriginActor::System => (CentralActor::SYSTEM, None),
    };
    db.prepare_cached(
        "INSERT INTO audit_log (at, actor_type, actor_id, actor_email, action, account_id, account_email, workspace_id,
                                address, user_agent, details)
         VALUES (?1, ?2, ?3, (SELECT email FROM accounts WHERE id = ?3), ?4, ?5,
                 coalesce((SELECT email FROM accounts WHERE id = ?5), ?6), ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        origin.at,
        kind,
        actor_id,
        event.action,
        event.account_id,
        event.email,
        event.workspace.map(|id| id.to_string()),
        origin.address.map(|address| address.to_string()),
        origin.user_agent,
        event.details.to_string(),
    ])?;
    Ok(())
}

/// Writes an entry into a central file that this process has not opened as an instance. Does nothing if the file is
/// older than the audit log.
pub fn record_by_command(central: &Path, origin: &Origin, event: CentralAuditEvent) -> anyhow::Result<()> {
    let mut db = storage::open_writer(central)?;
    storage::transaction(&mut db, |db| {
        let has_log =
            db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'audit_log'")?.exists([])?;
        if has_log { record(db, origin, event) } else { Ok(()) }
    })?;
    Ok(())
}

impl Central {
    /// Writes an entry in a separate transaction, after the event.
    pub fn record_event(&self, origin: Origin, event: CentralAuditEvent) -> Result<()> {
        self.write(move |db| Ok(record(db, &origin, event.clone())?))
    }

    /// Writes an entry about work that is done, or about a login that was rejected. If that fails, the log of the server
    /// says so.
    pub fn record_or_log(&self, origin: Origin, event: CentralAuditEvent) {
        let action = event.action;
        if let Err(error) = self.record_event(origin, event) {
            tracing::error!(%error, action, "an event was not recorded in the audit log");
        }
    }

    /// Deletes up to `most` entries older than `before`. Returns the number deleted.
    pub fn forget_audit_log(&self, before: Timestamp, most: usize) -> Result<usize> {
        self.write(move |db| {
            let sql = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < ?1 ORDER BY at LIMIT ?2)";
            Ok(db.prepare_cached(sql)?.execute((before, i64::try_from(most).unwrap_or(i64::MAX)))?)
        })
    }
}

impl Listable for CentralAuditEntry {
    const LISTING: ListSpec = ListSpec {
        // An entry is visible to its actor, to the account that it concerns, and to operators.
        table: "(SELECT *, account_id AS viewer FROM audit_log
                 UNION ALL SELECT *, actor_id FROM audit_log WHERE actor_id IS NOT account_id
                 UNION ALL SELECT *, 0 FROM audit_log)",
        columns: "id, at, actor_type, actor_id, actor_email, action, account_id, account_email, workspace_id, address,
                  user_agent, details",
        fields: &[
            integer("id").only_sorted(),
            moment("at").sorted(),
            choice("actor_type", CentralActor::WORDS),
            integer("actor_id"),
            text("actor_email"),
            choice("action", ACTIONS),
            integer("account_id"),
            text("account_email"),
            text("address"),
        ],
        plain_filters: false,
        newest_first: true,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let details = serde_json::from_str(row.get_ref(11)?.as_str()?)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(11, Type::Text, error.into()))?;
        let (id, email): (Option<i64>, Option<String>) = (row.get(6)?, row.get(7)?);
        let has_account = id.is_some() || email.is_some();
        Ok(Self {
            id: row.get(0)?,
            at: row.get(1)?,
            actor: CentralAuditActor { kind: row.get(2)?, id: row.get(3)?, email: row.get(4)? },
            action: row.get(5)?,
            account: has_account.then_some(CentralAuditAccount { id, email }),
            workspace_id: row.get::<_, Option<String>>(8)?.map(|_| uuid_column(row, 8)).transpose()?,
            address: row.get(9)?,
            user_agent: row.get(10)?,
            details,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Error;
    use crate::jobs;
    use crate::tests::{AuthenticatorApp, PASSWORD, TestClient, TestServer};

    /// The actions that a caller sees, oldest first.
    fn actions(client: &TestClient<'_>, query: &str) -> Vec<String> {
        let listed = client.get(&format!("/audit-log?sort=id&per_page=500&{query}")).ok();
        let entries = listed["data"].as_array().unwrap().iter();
        entries.map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    }

    fn zoe(server: &TestServer) -> TestClient<'_> {
        let body = json!({"name": "Zoé", "email": "zoe@example.com", "password": PASSWORD});
        server.anonymous().signed_in(&server.anonymous().post("/register", body).created())
    }

    #[test]
    fn an_account_sees_what_happened_to_it_and_an_operator_sees_all() {
        let server = TestServer::new();
        let zoe = zoe(&server);
        let login = |email: &str, password: &str| {
            let agent = server.anonymous().with_header("user-agent", "curl/8");
            agent.post("/login", json!({"email": email, "password": password}))
        };
        login("zoe@example.com", "wrong").rejected(401, "invalid_credentials");
        login("nobody@example.com", "wrong").rejected(401, "invalid_credentials");
        login("zoe@example.com", PASSWORD).ok();
        server.verify_email(&zoe);
        let made = zoe.post("/tokens", json!({"label": "nightly"})).created();
        zoe.delete(&format!("/tokens/{}", made["id"])).ok();
        let expected =
            ["account.created", "login.failed", "login.succeeded", "email.verified", "token.created", "token.revoked"];
        assert_eq!(actions(&zoe, ""), expected);
        let failed = zoe.get("/audit-log?filter[action]=login.failed").ok()["data"][0].clone();
        assert_eq!((&failed["actor"]["type"], &failed["address"]), (&json!("anonymous"), &json!("127.0.0.1")));
        assert_eq!((&failed["user_agent"], &failed["account"]["email"]), (&json!("curl/8"), &json!("zoe@example.com")));
        assert_eq!(actions(&server.stranger(), ""), ["account.created"]);
        let unknown = server.central().get("/audit-log?filter[account_email]=nobody").ok()["data"].clone();
        assert_eq!((unknown[0]["account"]["id"].clone(), unknown.as_array().unwrap().len()), (Value::Null, 1));
        assert_eq!(actions(&server.central(), "filter[account_email]=zoe"), expected);
    }

    #[test]
    fn what_happens_to_workspaces_and_second_factors_is_there() {
        let server = TestServer::new();
        let me = server.central();
        let id = me.post("/workspaces", json!({"name": "New", "subdomain": "new"})).created()["id"].clone();
        let path = format!("/workspaces/{}", id.as_str().unwrap());
        me.put(&path, json!({"name": "Newer"})).created();
        assert_eq!(me.get(&format!("{path}/export")).status, 200);
        me.delete_with(&path, json!({"subdomain": "new"})).ok();
        let app = AuthenticatorApp::enroll(&me);
        let body = json!({"current_password": PASSWORD, "code": app.code()});
        me.delete_with("/account/second-factor", body).ok();
        let all = actions(&me, "");
        for action in [
            "workspace.created",
            "workspace.updated",
            "workspace.exported",
            "workspace.deleted",
            "second_factor.enabled",
            "second_factor.disabled",
        ] {
            assert!(all.iter().any(|seen| seen == action), "{action} is not in {all:?}");
        }
        let entry = me.get("/audit-log?filter[action]=workspace.updated").ok()["data"][0].clone();
        assert_eq!((&entry["workspace_id"], &entry["details"]["name"]), (&id, &json!("Newer")));
    }

    #[test]
    fn entries_are_kept_as_long_as_the_server_says() {
        let server = TestServer::with(&[("audit_days", "30")]);
        zoe(&server);
        let now = Timestamp::now();
        let count = || {
            let count = "SELECT count(*) FROM audit_log WHERE account_email = 'zoe@example.com'";
            server
                .instance
                .central
                .read(move |db| Ok::<i64, Error>(db.query_row(count, [], |row| row.get(0))?))
                .unwrap()
        };
        jobs::round(&server.instance, now.plus(29 * 86_400), true).unwrap();
        assert_eq!(count(), 1);
        jobs::round(&server.instance, now.plus(31 * 86_400), true).unwrap();
        assert_eq!(count(), 0);
    }
}

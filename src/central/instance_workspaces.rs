//! All workspaces of the instance, for its operators: suspended, resumed, and restored from the trash.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::workspace_lifecycle;
use super::workspace_provider;
use super::workspace_rows;
use crate::api::field::{Field, choice, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable, find_row};
use crate::api::resource::Resource;
use crate::api::resource_view::{RecordLink, ResourceView, Widget, button, group, label, quick_filter};
use crate::api::{
    self, BlockingCtx, Ctx, Error, Json, Needs, Ok200, Page, Result, Route, Saved, blocking, get, post, put, run,
};
use crate::storage::uuid_column;
use crate::values::{EmailDomain, Subdomain, Timestamp, UniqueList, choice};

pub const RESOURCE: Resource =
    Resource::new("All workspaces", "Every workspace of the instance, also in the trash, for operators.", ROUTES)
        .french("Tous les espaces de travail")
        .fields(FIELDS)
        .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("subdomain", "Subdomain", "Sous-domaine"),
    labelled("status", "State", "État"),
    labelled("owner_id", "Owner", "Propriétaire"),
    labelled("owner_email", "Address of the owner", "Adresse du propriétaire"),
    labelled("trashed_at", "In the trash since", "À la corbeille depuis"),
    labelled("identity_domains", "Domains of the identity provider", "Domaines du fournisseur d’identité"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "subdomain", "status", "owner_email", "created_at", "trashed_at"],
    groups: &[group(
        "Workspace",
        "Espace de travail",
        &["name", "subdomain", "status", "owner_email", "trashed_at", "identity_domains"],
    )],
    widgets: &[("owner_email", Widget::Email), ("owner_id", Widget::Hidden)],
    quick_filters: &[
        quick_filter("Suspended", "Suspendus", "filter[status]=suspended"),
        quick_filter("In the trash", "À la corbeille", "filter[status]=trashed"),
    ],
    buttons: &[
        button(
            "suspend",
            label("Suspend", "Suspendre"),
            label(
                "Every request to the workspace is refused until it is resumed. Nothing is deleted.",
                "Toute requête à l’espace de travail est refusée jusqu’à sa reprise. Rien n’est supprimé.",
            ),
        )
        .only_if(&[("status", "active")]),
        button(
            "resume",
            label("Resume", "Reprendre"),
            label("The workspace is served again.", "L’espace de travail est de nouveau servi."),
        )
        .only_if(&[("status", "suspended")]),
        button(
            "restore",
            label("Restore", "Restaurer"),
            label(
                "The workspace comes back from the trash with all its data. Its tokens stay revoked. Enter another \
                 subdomain if the old one is taken.",
                "L’espace de travail revient de la corbeille avec toutes ses données. Ses jetons restent révoqués. \
                 Indiquez un autre sous-domaine si l’ancien est pris.",
            ),
        )
        .only_if(&[("status", "trashed")]),
    ],
    record_links: &[RecordLink {
        label: label("Allow an identity provider", "Autoriser un fournisseur d’identité"),
        page: "/ui/instance/workspaces/{id}/identity-domains",
        only_if: &[("status", "active")],
    }],
    purpose: label(
        "Every workspace of this server, in service, suspended or in the trash.",
        "Tous les espaces de travail de ce serveur, en service, suspendus ou à la corbeille.",
    ),
    singular: label("workspace", "un espace de travail"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/instance/workspaces", &run(list), Needs::Operator, "List all workspaces, also in the trash (operators only)")
        .named("listAllWorkspaces"),
    get("/instance/workspaces/{id}", &run(show), Needs::Operator, "Show any workspace (operators only)")
        .named("getAnyWorkspace"),
    post("/instance/workspaces/{id}/suspend", &run(suspend), Needs::Operator, "Suspend a workspace (operators only)")
        .named("suspendWorkspace"),
    post("/instance/workspaces/{id}/resume", &run(resume), Needs::Operator, "Resume a workspace (operators only)")
        .named("resumeWorkspace"),
    post(
        "/instance/workspaces/{id}/restore",
        &blocking(restore),
        Needs::Operator,
        "Restore a workspace from the trash (operators only)",
    )
    .named("restoreWorkspace"),
    put(
        "/instance/workspaces/{id}/identity-domains",
        &run(set_domains),
        Needs::Operator,
        "Set the domains for which a workspace may have an identity provider (operators only)",
    )
    .named("setIdentityDomains"),
];

choice! {
    /// The status of a workspace.
    InstanceWorkspaceStatus { ACTIVE = "active", SUSPENDED = "suspended", TRASHED = "trashed" }
}

/// A workspace as an operator sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstanceWorkspace {
    /// Id of the workspace.
    id: Uuid,
    /// Name of the workspace.
    name: String,
    /// Subdomain of the workspace. One in the trash may have the subdomain of another workspace.
    subdomain: String,
    /// `active`, `suspended` or `trashed`.
    status: InstanceWorkspaceStatus,
    /// Id of the account that owns the workspace.
    owner_id: i64,
    /// Email address of that account.
    owner_email: String,
    /// Time of creation (UTC).
    created_at: Timestamp,
    /// Time of the last change to name, subdomain, status or owner (UTC).
    updated_at: Timestamp,
    /// Domains of email addresses. The identity provider of the workspace proves addresses of these domains only.
    /// Empty: no provider is allowed.
    identity_domains: UniqueList<EmailDomain>,
    /// Time of the deletion (UTC). The server deletes the workspace `trash_days` later. Null if it is not in the trash.
    trashed_at: Option<Timestamp>,
}

/// How to restore a workspace.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkspaceRestore {
    /// Another subdomain. Default: the old one.
    #[schemars(example = &"acme-2")]
    subdomain: Option<Subdomain>,
}

/// The domains of a workspace.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IdentityDomains {
    /// Domains of email addresses. Make sure that they belong to the workspace. Empty: no provider is allowed.
    identity_domains: UniqueList<EmailDomain>,
}

fn list(ctx: &mut Ctx<'_>, list: List<InstanceWorkspace>) -> Result<Page<InstanceWorkspace>> {
    list.page(ctx)
}

fn show(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Ok200<InstanceWorkspace>> {
    find(ctx.db, id).map(Ok200)
}

fn suspend(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Saved<InstanceWorkspace>> {
    change(ctx, id, InstanceWorkspaceStatus::ACTIVE, "suspended")
}

fn resume(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Saved<InstanceWorkspace>> {
    change(ctx, id, InstanceWorkspaceStatus::SUSPENDED, "active")
}

fn change(
    ctx: &Ctx<'_>,
    id: Uuid,
    from: InstanceWorkspaceStatus,
    to: &'static str,
) -> Result<Saved<InstanceWorkspace>> {
    find(ctx.db, id)?.require(from)?;
    workspace_rows::set_status(ctx.db, id, to, &ctx.request.origin())?;
    find(ctx.db, id).map(Saved)
}

fn set_domains(
    ctx: &mut Ctx<'_>,
    api::Uuid(id): api::Uuid,
    Json(given): Json<IdentityDomains>,
) -> Result<Saved<InstanceWorkspace>> {
    find(ctx.db, id)?.require(InstanceWorkspaceStatus::ACTIVE)?;
    workspace_provider::set_domains(ctx.db, id, &given.identity_domains, &ctx.request.origin())?;
    find(ctx.db, id).map(Saved)
}

fn restore(
    ctx: &BlockingCtx<'_>,
    api::Uuid(id): api::Uuid,
    Json(how): Json<WorkspaceRestore>,
) -> Result<Saved<InstanceWorkspace>> {
    ctx.instance.central.read(move |db| find(db, id)?.require(InstanceWorkspaceStatus::TRASHED))?;
    workspace_lifecycle::restore(ctx.instance, id, how.subdomain, &ctx.request.origin())?;
    ctx.instance.central.read(move |db| find(db, id)).map(Saved)
}

fn find(db: &Connection, id: Uuid) -> Result<InstanceWorkspace> {
    find_row(db, "id = ?1", [id.to_string()])?.ok_or_else(Error::workspace_not_found)
}

impl InstanceWorkspace {
    fn require(&self, status: InstanceWorkspaceStatus) -> Result<()> {
        if self.status == status {
            return Ok(());
        }
        let message = format!("The workspace is {} and not {status}.", self.status);
        Err(Error::rejected("wrong_status", message))
    }
}

impl Listable for InstanceWorkspace {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT w.id, w.name, w.subdomain, w.status, w.owner_id, a.email AS owner_email, w.created_at,
                        w.updated_at, w.trashed_at, coalesce(p.domains, '[]') AS identity_domains
                 FROM workspaces w JOIN accounts a ON a.id = w.owner_id
                 LEFT JOIN workspace_providers p ON p.workspace_id = w.id WHERE w.status <> 'creating')",
        columns: "id, name, subdomain, status, owner_id, owner_email, created_at, updated_at, trashed_at, identity_domains",
        fields: &[
            text("name").sorted_by("fold(name)"),
            text("subdomain").sorted(),
            choice("status", InstanceWorkspaceStatus::WORDS),
            integer("owner_id"),
            text("owner_email"),
            moment("created_at").sorted(),
            moment("trashed_at").sorted(),
        ],
        plain_filters: false,
        newest_first: false,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: uuid_column(row, 0)?,
            name: row.get(1)?,
            subdomain: row.get(2)?,
            status: row.get(3)?,
            owner_id: row.get(4)?,
            owner_email: row.get(5)?,
            created_at: row.get(6)?,
            updated_at: row.get(7)?,
            trashed_at: row.get(8)?,
            identity_domains: row.get(9)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::TestServer;

    #[test]
    fn an_operator_suspends_resumes_and_restores_any_workspace() {
        let server = TestServer::new();
        let operator = server.central();
        let acme = format!("/instance/workspaces/{}", server.acme.id);
        let status = || operator.get(&acme).ok()["status"].clone();
        assert_eq!(operator.get("/instance/workspaces?filter[status]=active").ok()["total"], 2);
        let admin = server.admin();
        operator.post(&format!("{acme}/resume"), json!({})).rejected(422, "wrong_status");
        assert_eq!(operator.post(&format!("{acme}/suspend"), json!({})).created()["status"], "suspended");
        admin.get("/customers").rejected(403, "workspace_suspended");
        operator.post(&format!("{acme}/suspend"), json!({})).rejected(422, "wrong_status");
        operator.post(&format!("{acme}/resume"), json!({})).created();
        admin.post("/customers", json!({"name": "Ada"})).created();

        operator.post(&format!("{acme}/restore"), json!({})).rejected(422, "wrong_status");
        operator.delete_with(&format!("/workspaces/{}", server.acme.id), json!({"subdomain": "acme"})).ok();
        assert_eq!(status(), "trashed");
        // Another workspace took the subdomain.
        operator.post("/workspaces", json!({"name": "Other", "subdomain": "acme"})).created();
        let restore = |how| operator.post(&format!("{acme}/restore"), how);
        restore(json!({})).rejected(422, "subdomain_taken");
        restore(json!({"subdomain": "x_"})).status.is_client_error();
        assert_eq!(status(), "trashed", "nothing was changed");
        let restored = restore(json!({"subdomain": "acme-2"})).created();
        assert_eq!((&restored["subdomain"], &restored["trashed_at"]), (&json!("acme-2"), &json!(null)));
        let back = server.admin().at("acme-2.localhost").get("/customers").ok();
        assert_eq!(back["data"][0]["name"], "Ada");
        let actions = operator.get("/audit-log?per_page=100").ok();
        for action in ["workspace.suspended", "workspace.resumed", "workspace.restored"] {
            assert!(actions["data"].as_array().unwrap().iter().any(|entry| entry["action"] == action), "{actions}");
        }
    }

    #[test]
    fn only_operators_see_all_workspaces() {
        let server = TestServer::new();
        server.join_acme("zoe@example.com", "admin");
        let zoe = server.token("zoe@example.com", crate::auth::TokenScope::Central);
        let zoe = server.anonymous().with_token(zoe);
        let acme = format!("/instance/workspaces/{}", server.acme.id);
        zoe.get("/instance/workspaces").rejected(403, "forbidden");
        zoe.post(&format!("{acme}/suspend"), json!({})).rejected(403, "forbidden");
        server
            .central()
            .get("/instance/workspaces/00000000-0000-0000-0000-000000000000")
            .rejected(404, "workspace_not_found");
    }
}

//! The workspaces of an account: list, create, rename, transfer and delete them.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::central_audit_log::{self, CentralAuditEvent, EVERYBODY};
use super::memberships;
use super::workspace_lifecycle::{self, NewWorkspace};
use super::workspace_rows::{self, Workspace};
use crate::api::field::{Field, labelled};
use crate::api::list::List;
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, button, group, label};
use crate::api::{
    self, BlockingCtx, Changes, Ctx, Done, Error, Json, Needs, Ok200, Page, Query, Result, Route, Saved, blocking,
    delete, get, post, put, run,
};
use crate::tenancy::journal::Actor;
use crate::tenancy::lifecycle::OWNERS_ROLE;
use crate::tenancy::members;
use crate::values::{Name, RowId, Subdomain};

pub const RESOURCE: Resource = Resource::new(
    "Workspaces",
    "Create, rename, transfer and delete workspaces. Each has its own subdomain and database.",
    ROUTES,
)
.french("Espaces de travail")
.fields(FIELDS)
.view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("subdomain", "Subdomain", "Sous-domaine"),
    labelled("url", "Address", "Adresse"),
    labelled("role", "Your role", "Votre rôle"),
    labelled("owner", "You are the owner", "Vous êtes propriétaire"),
    labelled("status", "State", "État"),
    labelled("user_id", "New owner", "Nouveau propriétaire"),
    labelled("account_id", "New owner", "Nouveau propriétaire"),
    labelled("scope", "Show", "Afficher"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "subdomain", "role", "owner", "status", "created_at"],
    groups: &[group("Workspace", "Espace de travail", &["name", "subdomain", "url", "role", "owner", "status"])],
    widgets: &[("url", Widget::Url)],
    help: &[(
        "subdomain",
        label(
            "The first part of the address. After a change, the old address stops working at once.",
            "Le début de l’adresse. Après un changement, l’ancienne adresse ne fonctionne plus aussitôt.",
        ),
    )],
    buttons: &[button(
        "transfer",
        label("Hand over", "Céder"),
        label(
            "Another member becomes the owner. You stay a member.",
            "Un autre membre devient propriétaire. Vous restez membre.",
        ),
    )],
    purpose: label(
        "A workspace has its own users, data and address.",
        "Un espace de travail a ses propres utilisateurs, données et adresse.",
    ),
    singular: label("workspace", "un espace de travail"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/workspaces", &run(list), Needs::SignedIn, "List your workspaces (operators may list all)"),
    post("/workspaces", &blocking(create), Needs::SignedIn, "Create a workspace"),
    get("/workspaces/{id}", &run(show), Needs::Member, "Show a workspace"),
    put("/workspaces/{id}", &run(update), Needs::Owner, "Rename a workspace or change its subdomain"),
    delete("/workspaces/{id}", &blocking(remove), Needs::Owner, "Move a workspace to the trash"),
    post("/workspaces/{id}/transfer", &blocking(transfer), Needs::Owner, "Transfer a workspace to another member")
        .named("transferWorkspace"),
];

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Workspace")]
#[serde(default)]
pub struct WorkspaceChanges {
    /// Name of the workspace.
    #[schemars(example = &"Acme Support")]
    name: Name<255>,
    /// Subdomain. The old one answers 404 at once.
    subdomain: Subdomain,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkspaceDeletion {
    /// The subdomain of the workspace, as a confirmation.
    #[schemars(example = &"acme")]
    subdomain: Name<63>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WorkspaceTransfer")]
#[serde(default)]
pub struct NewOwner {
    /// Id of the new owner's user in the workspace. The user becomes an `admin`.
    user_id: Option<RowId>,
    /// Id of the new owner's account, instead of `user_id`.
    account_id: Option<RowId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhichScope {
    Own,
    All,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkspaceListQuery {
    /// `all` lists every workspace of the instance (operators only). Default: `own`.
    #[schemars(with = "WhichScope")]
    scope: Option<WhichScope>,
}

fn list(ctx: &mut Ctx<'_>, list: List<Workspace>, Query(which): Query<WorkspaceListQuery>) -> Result<Page<Workspace>> {
    let token = ctx.request.token()?;
    let member = match which.scope {
        None | Some(WhichScope::Own) => token.account_id,
        Some(WhichScope::All) if token.operator && ctx.request.lacks_second_factor(token) => {
            return Err(Error::second_factor_missing());
        }
        Some(WhichScope::All) if token.operator => EVERYBODY,
        Some(WhichScope::All) => {
            return Err(Error::forbidden("forbidden", "Only an operator may list all workspaces."));
        }
    };
    let mut page = list.restrict("account_id", member).page(ctx)?;
    page.rows_mut().iter_mut().for_each(|workspace| workspace.set_url(&ctx.request.instance));
    Ok(page)
}

fn create(ctx: &BlockingCtx<'_>, Json(new): Json<NewWorkspace>) -> Result<Saved<Workspace>> {
    let account_id = ctx.token()?.account_id;
    let quotas = ctx.instance.config.quotas;
    let id = ctx.request.new_workspace_id(None)?;
    let mut workspace =
        workspace_lifecycle::create_workspace(ctx.instance, id, new, account_id, quotas, &ctx.request.origin())?;
    workspace.set_url(ctx.instance);
    Ok(Saved(workspace))
}

fn show(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Ok200<Workspace>> {
    let found = workspace_rows::find_for(ctx.db, ctx.request.token()?.account_id, id)?;
    let mut workspace = found.ok_or_else(Error::workspace_not_found)?;
    workspace.set_url(&ctx.request.instance);
    Ok(Ok200(workspace))
}

fn update(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid, changes: Changes<WorkspaceChanges>) -> Result<Saved<Workspace>> {
    let account_id = ctx.request.token()?.account_id;
    let workspace = workspace_rows::find_for(ctx.db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
    let wanted = changes.apply(&WorkspaceChanges {
        name: Name::parse(workspace.name).map_err(Error::Internal)?,
        subdomain: workspace.subdomain.parse().map_err(Error::Internal)?,
    })?;
    workspace_rows::rename(ctx.db, id, &wanted.name, &wanted.subdomain, &ctx.request.origin())?;
    let mut workspace = workspace_rows::find_for(ctx.db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
    workspace.set_url(&ctx.request.instance);
    Ok(Saved(workspace))
}

fn remove(ctx: &BlockingCtx<'_>, api::Uuid(id): api::Uuid, Json(confirmed): Json<WorkspaceDeletion>) -> Result<Done> {
    let (account_id, origin) = (ctx.token()?.account_id, ctx.request.origin());
    ctx.instance.central.write(move |db| {
        let workspace = workspace_rows::find_for(db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
        if *workspace.subdomain != *confirmed.subdomain {
            return Err(Error::invalid("The subdomain must be that of the workspace, as a confirmation."));
        }
        workspace_lifecycle::trash(db, id, &origin)
    })?;
    // The workspace is deleted by now. If its file cannot be moved yet, the jobs move it later.
    if let Err(error) = workspace_lifecycle::move_to_trash(ctx.instance, id) {
        tracing::warn!(workspace = %id, %error, "could not move a deleted workspace's file to the trash yet");
    }
    Ok(Done)
}

/// The workspace's file is written first. An admin who is not the owner yet is harmless, and a repeat continues from
/// there.
fn transfer(ctx: &BlockingCtx<'_>, api::Uuid(id): api::Uuid, Json(heir): Json<NewOwner>) -> Result<Saved<Workspace>> {
    let (account_id, origin) = (ctx.token()?.account_id, ctx.request.origin());
    let lease = ctx.instance.registry.lease(id);
    let mut recorder = ctx.request.recorder_for(id, Actor::System);
    let quotas = ctx.instance.config.quotas;
    let user_id = match (heir.user_id, heir.account_id) {
        (Some(user), None) => user.get(),
        (None, Some(account)) => {
            let user = lease.file().read(move |db| Ok::<_, Error>(members::of_account(db, account.get())?))?;
            user.ok_or_else(|| Error::invalid("The selected account id is invalid."))?.id
        }
        (None, None) => return Err(Error::invalid("The user id field is required.")),
        (Some(_), Some(_)) => return Err(Error::invalid("Send the user id or the account id, not both.")),
    };
    let check = move |db: &Connection, heir: i64| match heir == account_id {
        true => Ok(()),
        false => quotas.check_workspaces(db, heir),
    };
    if let Some(heir) = lease.file().read(move |db| Ok::<_, Error>(members::account_of(db, user_id)?))? {
        ctx.instance.central.read(move |db| check(db, heir))?;
    }
    let heir = lease.file().write(move |db| {
        if let Some(owner) = members::of_account(db, account_id)? {
            recorder.actor = owner.actor();
        }
        let heir = members::promote(db, &recorder, user_id, OWNERS_ROLE)?;
        heir.ok_or_else(|| Error::invalid("The selected user id is invalid."))
    })?;
    let mut workspace = ctx.instance.central.write(move |db| {
        if workspace_rows::find_for(db, heir, id)?.is_none() {
            return Err(Error::rejected("not_a_member", "This user is leaving the workspace."));
        }
        check(db, heir)?;
        memberships::save(db, heir, id, OWNERS_ROLE, origin.at)?;
        // Setting the status to itself notifies the directory of the new owner.
        let owned = "UPDATE workspaces SET owner_id = ?2, status = status, updated_at = ?3 WHERE id = ?1";
        db.execute(owned, (id.to_string(), heir, origin.at))?;
        central_audit_log::record(
            db,
            &origin,
            CentralAuditEvent::new("workspace.transferred").about(heir).of_workspace(id),
        )?;
        workspace_rows::find_for(db, account_id, id)?.ok_or_else(Error::workspace_not_found)
    })?;
    workspace.set_url(ctx.instance);
    Ok(Saved(workspace))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::Origin;
    use crate::jobs;
    use crate::tests::TestServer;
    use crate::values::Timestamp;

    #[test]
    fn a_subdomain_is_made_from_the_name_and_numbered_when_taken() {
        let server = TestServer::new();
        let made =
            |name: &str| server.central().post("/workspaces", json!({"name": name})).created()["subdomain"].clone();
        assert_eq!(
            (made("Zoé & Cie"), made("Zoé & Cie"), made("acme")),
            (json!("zoe-cie"), json!("zoe-cie-2"), json!("acme-2"))
        );
    }

    #[test]
    fn a_subdomain_that_is_asked_for_must_be_free_and_fit() {
        let server = TestServer::new();
        let made = |subdomain: &str| server.central().post("/workspaces", json!({"name": "N", "subdomain": subdomain}));
        made("acme").rejected(422, "subdomain_taken");
        made("ACME").rejected(422, "subdomain_taken");
        made("admin").invalid(&["The subdomain is reserved."]);
        made("a").invalid(&["The subdomain must be at least 3 characters."]);
        made("-abc").invalid(&["The subdomain may only contain letters, digits and single hyphens between them."]);
        assert_eq!(server.central().get("/workspaces").ok()["total"], 2);
    }

    #[test]
    fn a_renamed_workspace_answers_under_its_new_name_alone() {
        let server = TestServer::new();
        let (path, admin) = (format!("/workspaces/{}", server.acme.id), server.admin());
        admin.get("/customers").ok();
        let changed = server.central().put(&path, json!({"subdomain": "renamed"})).created();
        assert_eq!((&changed["subdomain"], &changed["name"]), (&json!("renamed"), &json!("acme")));
        admin.get("/customers").rejected(404, "workspace_not_found");
        admin.at("renamed.localhost").get("/customers").ok();
        server.central().put(&path, json!({"subdomain": "other"})).rejected(422, "subdomain_taken");
    }

    #[test]
    fn only_its_owner_renames_or_deletes_a_workspace_and_strangers_do_not_see_it() {
        let server = TestServer::new();
        let agent = server.with_role("agent");
        let agent = server.anonymous().signed_in(&agent.post("/switch-to", json!({})).ok());
        let (acme, other) = (format!("/workspaces/{}", server.acme.id), format!("/workspaces/{}", server.other.id));
        assert_eq!(agent.get(&acme).ok()["role"], "agent");
        agent.put(&acme, json!({"name": "Mine"})).rejected(403, "forbidden");
        agent.delete_with(&acme, json!({"subdomain": "acme"})).rejected(403, "forbidden");
        agent.get(&other).rejected(404, "workspace_not_found");
        assert_eq!(agent.get("/workspaces").ok()["total"], 1);
        agent.get("/workspaces?scope=all").rejected(403, "forbidden");
        agent.get("/instance").rejected(403, "forbidden");
        assert_eq!(server.central().get("/workspaces?scope=all&sort=-name").ok()["data"][0]["role"], Value::Null);
        assert_eq!(server.central().get("/instance").ok()["workspaces"], 2);
    }

    #[test]
    fn a_deleted_workspace_comes_back_whole_and_is_gone_in_the_end() {
        let server = TestServer::new();
        let (instance, id) = (&server.instance, server.acme.id);
        server.admin().post("/customers", json!({"name": "Kept"})).created();
        let path = format!("/workspaces/{id}");
        let wrong = server.central().delete_with(&path, json!({"subdomain": "other"}));
        wrong.invalid(&["The subdomain must be that of the workspace, as a confirmation."]);
        let admin = server.admin();
        server.central().delete_with(&path, json!({"subdomain": "acme"})).ok();
        admin.get("/customers").rejected(404, "workspace_not_found");
        assert!(instance.trash_path(id).exists() && !instance.registry.path(id).exists());

        workspace_lifecycle::restore(instance, id, None, &Origin::system(Timestamp::now())).unwrap();
        admin.get("/customers").rejected(401, "token_revoked");
        assert_eq!(server.admin().get("/customers").ok()["data"][0]["name"], "Kept");

        server.central().delete_with(&path, json!({"subdomain": "acme"})).ok();
        server.central().post("/workspaces", json!({"name": "New", "subdomain": "acme"})).created();
        assert_eq!(
            workspace_lifecycle::restore(instance, id, None, &Origin::system(Timestamp::now())).unwrap_err().status(),
            422
        );
        assert!(instance.trash_path(id).exists());

        jobs::round(instance, Timestamp::now().plus(29 * 86_400), true).unwrap();
        assert!(instance.trash_path(id).exists());
        jobs::round(instance, Timestamp::now().plus(31 * 86_400), true).unwrap();
        assert!(!instance.trash_path(id).exists());
    }

    #[test]
    fn what_another_process_deleted_is_moved_by_the_jobs() {
        let server = TestServer::new();
        let (instance, id) = (&server.instance, server.acme.id);
        server.admin().get("/customers").ok();
        instance
            .central
            .write(move |db| workspace_lifecycle::trash(db, id, &Origin::system(Timestamp::now())))
            .unwrap();
        jobs::round(instance, Timestamp::now(), false).unwrap();
        assert!(instance.trash_path(id).exists() && !instance.registry.path(id).exists());
    }
}

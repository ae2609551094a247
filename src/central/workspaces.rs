//! The workspaces of an account: list, create, rename, transfer and delete them.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit_log::{self, EVERYBODY, Event};
use super::memberships;
use super::workspace_lifecycle::{self, NewWorkspace};
use super::workspace_rows::{self, Workspace};
use crate::api::list::List;
use crate::api::resource::Resource;
use crate::api::{
    self, Changes, Created, Ctx, Done, Error, Json, Needs, Ok200, Page, Query, Result, Route, Steps, delete, get, post,
    put, run, steps,
};
use crate::tenancy::journal::Actor;
use crate::tenancy::life::OWNERS_ROLE;
use crate::tenancy::members;
use crate::values::{Name, RowId, Subdomain};

pub const RESOURCE: Resource = Resource::new(
    "Workspaces",
    "Create, rename, transfer and delete workspaces. Each has its own subdomain and database.",
    ROUTES,
)
.french("Espaces de travail");

const ROUTES: &[Route] = &[
    get("/workspaces", &run(list), Needs::SignedIn, "List your workspaces (operators may list all)"),
    post("/workspaces", &steps(create), Needs::SignedIn, "Create a workspace"),
    get("/workspaces/{id}", &run(show), Needs::Member, "Show a workspace"),
    put("/workspaces/{id}", &run(update), Needs::Owner, "Rename a workspace or change its subdomain"),
    delete("/workspaces/{id}", &steps(remove), Needs::Owner, "Move a workspace to the trash"),
    post("/workspaces/{id}/transfer", &steps(transfer), Needs::Owner, "Transfer a workspace to another member")
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
#[schemars(rename = "WorkspaceDeletion")]
#[serde(default)]
pub struct Confirmation {
    /// The subdomain of the workspace, as a confirmation.
    #[schemars(example = &"acme")]
    subdomain: Name<63>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WorkspaceTransfer")]
#[serde(default)]
pub struct Heir {
    /// Id of the new owner's user in the workspace. The user becomes an `admin`.
    user_id: RowId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhichScope {
    Own,
    All,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Which {
    /// `all` lists every workspace of the instance (operators only). Default: `own`.
    #[schemars(with = "WhichScope")]
    scope: Option<WhichScope>,
}

fn list(ctx: &mut Ctx<'_>, list: List<Workspace>, Query(which): Query<Which>) -> Result<Page<Workspace>> {
    let token = ctx.call.token()?;
    let member = match which.scope {
        None | Some(WhichScope::Own) => token.account_id,
        Some(WhichScope::All) if token.operator && ctx.call.lacks_second_factor(token) => {
            return Err(Error::second_factor_missing());
        }
        Some(WhichScope::All) if token.operator => EVERYBODY,
        Some(WhichScope::All) => {
            return Err(Error::forbidden("forbidden", "Only an operator may list all workspaces."));
        }
    };
    let mut page = list.only("account_id", member).page(ctx)?;
    page.rows_mut().iter_mut().for_each(|workspace| workspace.set_url(&ctx.call.engine));
    Ok(page)
}

fn create(steps: &Steps<'_>, Json(new): Json<NewWorkspace>) -> Result<Created<Workspace>> {
    let account_id = steps.token()?.account_id;
    let quotas = steps.engine.config.quotas;
    let mut workspace = workspace_lifecycle::make(steps.engine, new, account_id, quotas, &steps.call.origin())?;
    workspace.set_url(steps.engine);
    Ok(Created(workspace))
}

fn show(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Ok200<Workspace>> {
    let found = workspace_rows::find_for(ctx.db, ctx.call.token()?.account_id, id)?;
    let mut workspace = found.ok_or_else(Error::workspace_not_found)?;
    workspace.set_url(&ctx.call.engine);
    Ok(Ok200(workspace))
}

fn update(
    ctx: &mut Ctx<'_>,
    api::Uuid(id): api::Uuid,
    changes: Changes<WorkspaceChanges>,
) -> Result<Created<Workspace>> {
    let account_id = ctx.call.token()?.account_id;
    let workspace = workspace_rows::find_for(ctx.db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
    let wanted = changes.apply(&WorkspaceChanges {
        name: Name::parse(workspace.name).map_err(Error::Internal)?,
        subdomain: workspace.subdomain.parse().map_err(Error::Internal)?,
    })?;
    workspace_rows::rename(ctx.db, id, &wanted.name, &wanted.subdomain, &ctx.call.origin())?;
    let mut workspace = workspace_rows::find_for(ctx.db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
    workspace.set_url(&ctx.call.engine);
    Ok(Created(workspace))
}

fn remove(steps: &Steps<'_>, api::Uuid(id): api::Uuid, Json(confirmed): Json<Confirmation>) -> Result<Done> {
    let (account_id, origin) = (steps.token()?.account_id, steps.call.origin());
    steps.engine.central.write(move |db| {
        let workspace = workspace_rows::find_for(db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
        if *workspace.subdomain != *confirmed.subdomain {
            return Err(Error::invalid("The subdomain must be that of the workspace, as a confirmation."));
        }
        workspace_lifecycle::trash(db, id, &origin)
    })?;
    // The workspace is deleted by now. If its file cannot be moved yet, the jobs move it later.
    if let Err(error) = workspace_lifecycle::move_to_trash(steps.engine, id) {
        tracing::warn!(workspace = %id, %error, "could not move a deleted workspace's file to the trash yet");
    }
    Ok(Done)
}

/// The workspace's file is written first. An admin who is not the owner yet is harmless, and a repeat continues from
/// there.
fn transfer(steps: &Steps<'_>, api::Uuid(id): api::Uuid, Json(heir): Json<Heir>) -> Result<Created<Workspace>> {
    let (account_id, origin) = (steps.token()?.account_id, steps.call.origin());
    let lease = steps.engine.registry.lease(id);
    let mut author = steps.call.author_in(id, Actor::System);
    let (quotas, user_id) = (steps.engine.config.quotas, heir.user_id.get());
    let check = move |db: &Connection, heir: i64| match heir == account_id {
        true => Ok(()),
        false => quotas.check_workspaces(db, heir),
    };
    if let Some(heir) = lease.file().read(move |db| Ok::<_, Error>(members::account_of(db, user_id)?))? {
        steps.engine.central.read(move |db| check(db, heir))?;
    }
    let heir = lease.file().write(move |db| {
        if let Some(owner) = members::of_account(db, account_id)? {
            author.actor = owner.actor();
        }
        let heir = members::promote(db, &author, heir.user_id.get(), OWNERS_ROLE)?;
        heir.ok_or_else(|| Error::invalid("The selected user id is invalid."))
    })?;
    let mut workspace = steps.engine.central.write(move |db| {
        if workspace_rows::find_for(db, heir, id)?.is_none() {
            return Err(Error::refused("not_a_member", "This user is leaving the workspace."));
        }
        check(db, heir)?;
        memberships::save(db, heir, id, OWNERS_ROLE, origin.at)?;
        // Setting the status to itself notifies the directory of the new owner.
        let owned = "UPDATE workspaces SET owner_id = ?2, status = status, updated_at = ?3 WHERE id = ?1";
        db.execute(owned, (id.to_string(), heir, origin.at))?;
        audit_log::record(db, &origin, Event::new("workspace.transferred").about(heir).of_workspace(id))?;
        workspace_rows::find_for(db, account_id, id)?.ok_or_else(Error::workspace_not_found)
    })?;
    workspace.set_url(steps.engine);
    Ok(Created(workspace))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::Origin;
    use crate::jobs;
    use crate::testing::Bench;
    use crate::values::Timestamp;

    #[test]
    fn a_subdomain_is_made_from_the_name_and_numbered_when_taken() {
        let bench = Bench::new();
        let made =
            |name: &str| bench.central().post("/workspaces", json!({"name": name})).created()["subdomain"].clone();
        assert_eq!(
            (made("Zoé & Cie"), made("Zoé & Cie"), made("acme")),
            (json!("zoe-cie"), json!("zoe-cie-2"), json!("acme-2"))
        );
    }

    #[test]
    fn a_subdomain_that_is_asked_for_must_be_free_and_fit() {
        let bench = Bench::new();
        let made = |subdomain: &str| bench.central().post("/workspaces", json!({"name": "N", "subdomain": subdomain}));
        made("acme").refused(422, "subdomain_taken");
        made("ACME").refused(422, "subdomain_taken");
        made("admin").invalid(&["The subdomain is reserved."]);
        made("a").invalid(&["The subdomain must be at least 3 characters."]);
        made("-abc").invalid(&["The subdomain may only contain letters, digits and single hyphens between them."]);
        assert_eq!(bench.central().get("/workspaces").ok()["total"], 2);
    }

    #[test]
    fn a_renamed_workspace_answers_under_its_new_name_alone() {
        let bench = Bench::new();
        let (path, admin) = (format!("/workspaces/{}", bench.acme.id), bench.admin());
        admin.get("/customers").ok();
        let changed = bench.central().put(&path, json!({"subdomain": "renamed"})).created();
        assert_eq!((&changed["subdomain"], &changed["name"]), (&json!("renamed"), &json!("acme")));
        admin.get("/customers").refused(404, "workspace_not_found");
        admin.at("renamed.localhost").get("/customers").ok();
        bench.central().put(&path, json!({"subdomain": "other"})).refused(422, "subdomain_taken");
    }

    #[test]
    fn only_its_owner_renames_or_deletes_a_workspace_and_strangers_do_not_see_it() {
        let bench = Bench::new();
        let agent = bench.with_role("agent");
        let agent = bench.nobody().signed_in(&agent.post("/switch-to", json!({})).ok());
        let (acme, other) = (format!("/workspaces/{}", bench.acme.id), format!("/workspaces/{}", bench.other.id));
        assert_eq!(agent.get(&acme).ok()["role"], "agent");
        agent.put(&acme, json!({"name": "Mine"})).refused(403, "forbidden");
        agent.delete_with(&acme, json!({"subdomain": "acme"})).refused(403, "forbidden");
        agent.get(&other).refused(404, "workspace_not_found");
        assert_eq!(agent.get("/workspaces").ok()["total"], 1);
        agent.get("/workspaces?scope=all").refused(403, "forbidden");
        agent.get("/instance").refused(403, "forbidden");
        assert_eq!(bench.central().get("/workspaces?scope=all&sort=-name").ok()["data"][0]["role"], Value::Null);
        assert_eq!(bench.central().get("/instance").ok()["workspaces"], 2);
    }

    #[test]
    fn a_deleted_workspace_comes_back_whole_and_is_gone_in_the_end() {
        let bench = Bench::new();
        let (engine, id) = (&bench.engine, bench.acme.id);
        bench.admin().post("/customers", json!({"name": "Kept"})).created();
        let path = format!("/workspaces/{id}");
        let wrong = bench.central().delete_with(&path, json!({"subdomain": "other"}));
        wrong.invalid(&["The subdomain must be that of the workspace, as a confirmation."]);
        let admin = bench.admin();
        bench.central().delete_with(&path, json!({"subdomain": "acme"})).ok();
        admin.get("/customers").refused(404, "workspace_not_found");
        assert!(engine.trash_path(id).exists() && !engine.registry.path(id).exists());

        workspace_lifecycle::restore(engine, id, None, &Origin::system(Timestamp::now())).unwrap();
        admin.get("/customers").refused(401, "token_revoked");
        assert_eq!(bench.admin().get("/customers").ok()["data"][0]["name"], "Kept");

        bench.central().delete_with(&path, json!({"subdomain": "acme"})).ok();
        bench.central().post("/workspaces", json!({"name": "New", "subdomain": "acme"})).created();
        assert_eq!(
            workspace_lifecycle::restore(engine, id, None, &Origin::system(Timestamp::now())).unwrap_err().status(),
            422
        );
        assert!(engine.trash_path(id).exists());

        jobs::round(engine, Timestamp::now().plus(29 * 86_400), true).unwrap();
        assert!(engine.trash_path(id).exists());
        jobs::round(engine, Timestamp::now().plus(31 * 86_400), true).unwrap();
        assert!(!engine.trash_path(id).exists());
    }

    #[test]
    fn what_another_process_deleted_is_moved_by_the_jobs() {
        let bench = Bench::new();
        let (engine, id) = (&bench.engine, bench.acme.id);
        bench.admin().get("/customers").ok();
        engine.central.write(move |db| workspace_lifecycle::trash(db, id, &Origin::system(Timestamp::now()))).unwrap();
        jobs::round(engine, Timestamp::now(), false).unwrap();
        assert!(engine.trash_path(id).exists() && !engine.registry.path(id).exists());
    }
}

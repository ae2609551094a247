//! Workspaces in the central API: owner, name, subdomain and status.
//!
//! A workspace is a row here and its own file. The row is written first: it reserves the subdomain, and its status is
//! `creating` until the file exists.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::audit_log::{self, EVERYBODY, Event};
use super::quotas::Quotas;
use super::{credentials, memberships};
use crate::api::field::{moment, text};
use crate::api::list::{List, Listed, Listing};
use crate::api::resource::Resource;
use crate::api::{
    self, Changes, Created, Ctx, Done, Error, Json, Needs, Ok200, Page, Query, Result, Route, Steps, delete, get, post,
    put, run, steps,
};
use crate::auth::Origin;
use crate::engine::Engine;
use crate::storage::uuid_column;
use crate::tenancy::journal::Actor;
use crate::tenancy::life::{self, Beginning, OWNERS_ROLE, Owner};
use crate::tenancy::{Central, members};
use crate::values::{Name, RowId, Subdomain, Timestamp};

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

/// A workspace as one of its members sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Workspace {
    /// Id of the workspace.
    pub id: Uuid,
    /// Name of the workspace.
    pub name: String,
    /// Subdomain of the workspace.
    pub subdomain: String,
    /// Base URL of the workspace, without `/api`.
    pub url: String,
    /// Name of the caller's role; null in an operator's list of all workspaces.
    pub role: Option<String>,
    /// Whether the caller owns the workspace.
    pub owner: bool,
    /// `active` or `suspended`.
    pub status: String,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change to the workspace's name, subdomain, status or owner.
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewWorkspace {
    /// Name of the workspace.
    #[schemars(example = &"Acme")]
    pub name: Name<255>,
    /// Subdomain. Default: derived from the name.
    pub subdomain: Option<Subdomain>,
}

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
    let mut workspace = make(steps.engine, new, account_id, quotas, &steps.call.origin())?;
    workspace.set_url(steps.engine);
    Ok(Created(workspace))
}

fn show(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Ok200<Workspace>> {
    let found = find_for(ctx.db, ctx.call.token()?.account_id, id)?;
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
    let workspace = find_for(ctx.db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
    let wanted = changes.apply(&WorkspaceChanges {
        name: Name::parse(workspace.name).map_err(Error::Internal)?,
        subdomain: workspace.subdomain.parse().map_err(Error::Internal)?,
    })?;
    rename(ctx.db, id, &wanted.name, &wanted.subdomain, &ctx.call.origin())?;
    let mut workspace = find_for(ctx.db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
    workspace.set_url(&ctx.call.engine);
    Ok(Created(workspace))
}

fn remove(steps: &Steps<'_>, api::Uuid(id): api::Uuid, Json(confirmed): Json<Confirmation>) -> Result<Done> {
    let (account_id, origin) = (steps.token()?.account_id, steps.call.origin());
    steps.engine.central.write(move |db| {
        let workspace = find_for(db, account_id, id)?.ok_or_else(Error::workspace_not_found)?;
        if *workspace.subdomain != *confirmed.subdomain {
            return Err(Error::invalid("The subdomain must be that of the workspace, as a confirmation."));
        }
        trash(db, id, &origin)
    })?;
    // The workspace is deleted by now. If its file cannot be moved yet, the jobs move it later.
    if let Err(error) = move_to_trash(steps.engine, id) {
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
        if find_for(db, heir, id)?.is_none() {
            return Err(Error::refused("not_a_member", "This user is leaving the workspace."));
        }
        check(db, heir)?;
        memberships::save(db, heir, id, OWNERS_ROLE, origin.at)?;
        // Setting the status to itself notifies the directory of the new owner.
        let owned = "UPDATE workspaces SET owner_id = ?2, status = status, updated_at = ?3 WHERE id = ?1";
        db.execute(owned, (id.to_string(), heir, origin.at))?;
        audit_log::record(db, &origin, Event::new("workspace.transferred").about(heir).of_workspace(id))?;
        find_for(db, account_id, id)?.ok_or_else(Error::workspace_not_found)
    })?;
    workspace.set_url(steps.engine);
    Ok(Created(workspace))
}

impl Workspace {
    pub fn set_url(&mut self, engine: &Engine) {
        self.url = engine.public_url().workspace(&self.subdomain);
    }
}

/// Creates a workspace with its row and file, for an account whose quota allows it.
pub fn make(
    engine: &Arc<Engine>,
    new: NewWorkspace,
    account_id: i64,
    quotas: Quotas,
    origin: &Origin,
) -> Result<Workspace> {
    let now = origin.at;
    let (owner, workspace) = engine.central.write(move |db| {
        quotas.check_workspaces(db, account_id)?;
        let account = super::accounts::find(db, account_id)?;
        let workspace = reserve(db, Uuid::now_v7(), &new, account_id, now)?;
        Ok::<_, Error>((Owner { account_id, name: account.name, email: account.email }, workspace))
    })?;
    open_for_business(engine, workspace, owner, origin)
}

/// Writes the row of a workspace whose file does not exist yet, and its owner's membership.
pub fn reserve(db: &Connection, id: Uuid, new: &NewWorkspace, owner_id: i64, now: Timestamp) -> Result<Workspace> {
    let subdomain = match &new.subdomain {
        Some(subdomain) => subdomain.clone(),
        None => free_subdomain(db, &new.name)?,
    };
    db.execute(
        "INSERT INTO workspaces (id, name, subdomain, status, owner_id, created_at, updated_at)
         VALUES (?1, ?2, ?3, 'creating', ?4, ?5, ?5)",
        (id.to_string(), &new.name, &subdomain, owner_id, now),
    )?;
    memberships::save(db, owner_id, id, OWNERS_ROLE, now)?;
    Ok(Workspace {
        id,
        name: new.name.to_string(),
        subdomain: subdomain.to_string(),
        url: String::new(),
        role: Some(OWNERS_ROLE.into()),
        owner: true,
        status: "active".into(),
        created_at: now,
        updated_at: now,
    })
}

/// Creates the file of a reserved workspace and activates the workspace. If that fails, the row is deleted.
pub fn open_for_business(
    engine: &Arc<Engine>,
    workspace: Workspace,
    owner: Owner,
    origin: &Origin,
) -> Result<Workspace> {
    let (id, account_id) = (workspace.id, owner.account_id);
    let beginning = Beginning {
        id,
        name: workspace.name.clone(),
        owner,
        default_country: engine.config.default_country.clone(),
        timezone: engine.config.timezone.clone(),
        now: origin.at,
    };
    let origin = origin.clone();
    let event = Event::new("workspace.created").about(account_id).of_workspace(id);
    let event = event.with(json!({"name": workspace.name, "subdomain": workspace.subdomain}));
    let open = move |db: &Connection| {
        activate(db, id)?;
        Ok::<_, Error>(audit_log::record(db, &origin, event.clone())?)
    };
    let made = engine.template.make(&engine.registry.path(id), &beginning).map_err(Error::from);
    match made.and_then(|()| engine.central.write(open)) {
        Ok(()) => Ok(workspace),
        Err(error) => {
            give_up(engine, id)?;
            Err(error)
        }
    }
}

/// The account that owns a workspace.
pub fn owner(db: &Connection, id: Uuid) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT owner_id FROM workspaces WHERE id = ?1")?.query_row([id.to_string()], |row| row.get(0))
}

/// The name of a workspace.
pub fn name(db: &Connection, id: Uuid) -> rusqlite::Result<String> {
    db.prepare_cached("SELECT name FROM workspaces WHERE id = ?1")?.query_row([id.to_string()], |row| row.get(0))
}

impl Central {
    pub fn workspace_owner(&self, id: Uuid) -> Result<i64> {
        self.read(move |db| Ok(owner(db, id)?))
    }

    pub fn workspace_name(&self, id: Uuid) -> Result<String> {
        self.read(move |db| Ok(name(db, id)?))
    }

    /// The workspace, if the account is a member of it.
    pub fn workspace_of_member(&self, account_id: i64, id: Uuid) -> Result<Option<Workspace>> {
        self.read(move |db| Ok(find_for(db, account_id, id)?))
    }

    /// The workspaces that an account is a member of.
    pub fn workspaces_of(&self, account_id: i64) -> Result<Vec<Workspace>> {
        self.read(move |db| Ok(of_account(db, account_id)?))
    }

    /// Every workspace but those in the making, with its owner's address.
    pub fn all_workspaces(&self) -> Result<Vec<(Workspace, String)>> {
        self.read(|db| Ok(all(db)?))
    }

    /// The status of every workspace, by id.
    pub fn workspace_statuses(&self) -> Result<Vec<(Uuid, String)>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT id, status FROM workspaces ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((uuid_column(row, 0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The active workspace at a place in the order of ids, which begins anew behind the last of them.
    pub fn active_workspace(&self, place: i64) -> Result<Option<Uuid>> {
        self.read(move |db| {
            let sql = "SELECT id FROM workspaces WHERE status = 'active' ORDER BY id
                       LIMIT 1 OFFSET ?1 % max(1, (SELECT count(*) FROM workspaces WHERE status = 'active'))";
            Ok(db.prepare_cached(sql)?.query_row([place], |row| uuid_column(row, 0)).optional()?)
        })
    }

    /// The active workspace whose id follows another one.
    pub fn active_workspace_after(&self, last: Uuid) -> Result<Option<Uuid>> {
        self.read(move |db| {
            let sql = "SELECT id FROM workspaces WHERE status = 'active' AND id > ?1 ORDER BY id LIMIT 1";
            Ok(db.prepare_cached(sql)?.query_row([last.to_string()], |row| uuid_column(row, 0)).optional()?)
        })
    }

    pub fn rename_workspace(&self, id: Uuid, name: Name<255>, subdomain: Subdomain, origin: Origin) -> Result<()> {
        self.write(move |db| rename(db, id, &name, &subdomain, &origin))
    }

    /// `active` or `suspended`; answers whether the workspace was there to be told.
    pub fn set_workspace_status(&self, id: Uuid, status: &'static str, origin: Origin) -> Result<bool> {
        self.write(move |db| Ok(set_status(db, id, status, &origin)?))
    }

    /// The row's half of a deletion.
    pub fn trash_workspace(&self, id: Uuid, origin: Origin) -> Result<()> {
        self.write(move |db| trash(db, id, &origin))
    }

    pub fn workspaces_trashed_before(&self, moment: i64) -> Result<Vec<Uuid>> {
        self.read(move |db| {
            let sql = "SELECT id FROM workspaces WHERE status = 'trashed' AND trashed_at <= ?1";
            let mut statement = db.prepare_cached(sql)?;
            let ids = statement.query_map([moment], |row| uuid_column(row, 0))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Deletes a workspace that is in the trash, and its file there.
    pub fn delete_trashed_workspace(&self, id: Uuid, file: PathBuf) -> Result<()> {
        self.write(move |db| {
            let gone = db.execute("DELETE FROM workspaces WHERE id = ?1 AND status = 'trashed'", [id.to_string()])?;
            if gone > 0 {
                life::delete_file(&file)?;
            }
            Ok(())
        })
    }
}

/// Activates a reserved workspace after its file was created.
pub fn activate(db: &Connection, id: Uuid) -> rusqlite::Result<()> {
    db.execute("UPDATE workspaces SET status = 'active' WHERE id = ?1 AND status = 'creating'", [id.to_string()])?;
    Ok(())
}

/// Deletes a reservation and its partial file. The file is deleted first, because deleting the row may need its disk
/// space.
pub fn give_up(engine: &Engine, id: Uuid) -> Result<()> {
    let is_reserved = engine.central.read(move |db| {
        let sql = "SELECT 1 FROM workspaces WHERE id = ?1 AND status = 'creating'";
        Ok::<_, Error>(db.prepare_cached(sql)?.exists([id.to_string()])?)
    })?;
    if !is_reserved {
        return Ok(());
    }
    let path = engine.registry.path(id);
    life::delete_file(&path)?;
    life::delete_file(&path.with_extension("new"))?;
    engine.central.write(move |db| {
        db.execute("DELETE FROM workspaces WHERE id = ?1 AND status = 'creating'", [id.to_string()])?;
        Ok(())
    })
}

/// Seconds after which an unfinished creation counts as aborted.
const LONGEST_MAKING: i64 = 3600;

/// Deletes aborted reservations, left by a crash or by a disk that was too full to delete them at once.
pub fn forget_unfinished(engine: &Engine, now: Timestamp) -> Result<()> {
    let unfinished: Vec<Uuid> = engine.central.read(move |db| {
        let sql = "SELECT id FROM workspaces WHERE status = 'creating' AND created_at <= ?1";
        let mut statement = db.prepare_cached(sql)?;
        let ids = statement.query_map([now.plus(-LONGEST_MAKING)], |row| uuid_column(row, 0))?;
        Ok::<_, Error>(ids.collect::<rusqlite::Result<_>>()?)
    })?;
    unfinished.into_iter().try_for_each(|id| give_up(engine, id))
}

/// The first free subdomain of `name`, `name-2`, `name-3`, …
fn free_subdomain(db: &Connection, name: &str) -> Result<Subdomain> {
    let first = Subdomain::from_name(name);
    let mut taken = db.prepare_cached("SELECT 1 FROM workspaces WHERE subdomain = ?1 AND status <> 'trashed'")?;
    let mut candidate = first.clone();
    for n in 2.. {
        if !taken.exists([&candidate])? {
            break;
        }
        candidate = first.numbered(n);
    }
    Ok(candidate)
}

pub fn rename(db: &Connection, id: Uuid, name: &str, subdomain: &str, origin: &Origin) -> Result<()> {
    db.execute(
        "UPDATE workspaces SET name = ?2, subdomain = ?3, updated_at = ?4 WHERE id = ?1",
        (id.to_string(), name, subdomain, origin.at),
    )?;
    let event = Event::new("workspace.updated").of_workspace(id).with(json!({"name": name, "subdomain": subdomain}));
    Ok(audit_log::record(db, origin, event)?)
}

/// Sets the status to `active` or `suspended`. Returns whether the workspace exists and is not deleted.
pub fn set_status(db: &Connection, id: Uuid, status: &str, origin: &Origin) -> rusqlite::Result<bool> {
    let changed = db.execute(
        "UPDATE workspaces SET status = ?2, updated_at = ?3 WHERE id = ?1 AND status IN ('active', 'suspended')",
        (id.to_string(), status, origin.at),
    )?;
    let action = if status == "suspended" { "workspace.suspended" } else { "workspace.resumed" };
    audit_log::record(db, origin, Event::new(action).of_workspace(id))?;
    Ok(changed > 0)
}

/// The first half of a deletion: from now on, requests are rejected. [`move_to_trash`] then moves the file.
pub fn trash(db: &Connection, id: Uuid, origin: &Origin) -> Result<()> {
    let now = origin.at;
    credentials::revoke_workspace(db, id, now)?;
    db.execute(
        "UPDATE workspaces SET status = 'trashed', trashed_at = ?2, updated_at = ?2 WHERE id = ?1",
        (id.to_string(), now),
    )?;
    Ok(audit_log::record(db, origin, Event::new("workspace.deleted").of_workspace(id))?)
}

/// Takes a workspace out of service like a deletion, but keeps its tokens. Its trash date is in the future, so that the
/// trash cannot be emptied meanwhile.
pub fn set_aside(db: &Connection, id: Uuid, now: Timestamp) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE workspaces SET status = 'trashed', trashed_at = ?2, updated_at = ?3 WHERE id = ?1",
        (id.to_string(), now.plus(86_400), now),
    )?;
    Ok(())
}

/// The second half of a deletion, once the last request has finished. Idempotent.
///
/// The file is moved inside a write to the central file, so that no restore in any process can interfere.
pub fn move_to_trash(engine: &Arc<Engine>, id: Uuid) -> Result<()> {
    engine.registry.close(id, engine.config.statement_timeout)?;
    let inside = Arc::clone(engine);
    engine.central.write(move |db| {
        let trashed: bool = db.query_row(
            "SELECT EXISTS (SELECT 1 FROM workspaces WHERE id = ?1 AND status = 'trashed')",
            [id.to_string()],
            |row| row.get(0),
        )?;
        if trashed {
            life::move_file(&inside.registry.path(id), &inside.trash_path(id))?;
        }
        Ok(())
    })
}

/// Restores a workspace from the trash, under its old subdomain or another one.
pub fn restore(engine: &Arc<Engine>, id: Uuid, subdomain: Option<Subdomain>, origin: &Origin) -> Result<()> {
    let (inside, origin) = (Arc::clone(engine), origin.clone());
    engine.central.write(move |db| {
        let old: Option<String> = db
            .query_row(
                "SELECT subdomain FROM workspaces WHERE id = ?1 AND status = 'trashed'",
                [id.to_string()],
                |row| row.get(0),
            )
            .optional()?;
        let old = old.ok_or_else(Error::workspace_not_found)?;
        db.execute(
            "UPDATE workspaces SET status = 'active', trashed_at = NULL, subdomain = ?2, updated_at = ?3 WHERE id = ?1",
            (id.to_string(), subdomain.as_deref().unwrap_or(&old), origin.at),
        )?;
        audit_log::record(db, &origin, Event::new("workspace.restored").of_workspace(id))?;
        life::move_file(&inside.trash_path(id), &inside.registry.path(id))?;
        Ok(())
    })
}

/// Every workspace except those with status `creating`, with the owner's address. For the command line.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<(Workspace, String)>> {
    let mut statement = db.prepare(
        "SELECT w.id, w.name, w.subdomain, NULL, 0, w.status, w.created_at, w.updated_at, a.email
         FROM workspaces w JOIN accounts a ON a.id = w.owner_id WHERE w.status <> 'creating' ORDER BY w.created_at, w.id",
    )?;
    statement.query_map([], |row| Ok((Workspace::from_row(row)?, row.get(8)?)))?.collect()
}

/// The workspace with this subdomain or id. Several workspaces in the trash may have had the same subdomain. A
/// workspace in service takes precedence, then the one that was deleted last.
pub fn named(all: Vec<(Workspace, String)>, which: &str) -> Option<(Workspace, String)> {
    let id = which.parse::<Uuid>().ok();
    let is_meant = |workspace: &Workspace| Some(workspace.id) == id || workspace.subdomain == which;
    all.into_iter()
        .filter(|(workspace, _)| is_meant(workspace))
        .max_by_key(|(workspace, _)| (workspace.status != "trashed", workspace.updated_at))
}

/// The workspaces of which the account is a member.
pub fn of_account(db: &Connection, account_id: i64) -> rusqlite::Result<Vec<Workspace>> {
    let Listing { table, columns, .. } = Workspace::LISTING;
    db.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE account_id = ?1 ORDER BY id"))?
        .query_map([account_id], Workspace::from_row)?
        .collect()
}

/// The workspace, if the account is a member of it.
pub fn find_for(db: &Connection, account_id: i64, id: Uuid) -> rusqlite::Result<Option<Workspace>> {
    let Listing { table, columns, .. } = Workspace::LISTING;
    db.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE account_id = ?1 AND id = ?2"))?
        .query_row((account_id, id.to_string()), Workspace::from_row)
        .optional()
}

impl Listed for Workspace {
    const LISTING: Listing = Listing {
        table: "(SELECT w.id, w.name, w.subdomain, m.role, w.owner_id = m.account_id AS owner, w.status, w.created_at,
                        w.updated_at, m.account_id
                 FROM workspaces w JOIN memberships m ON m.workspace_id = w.id
                 WHERE w.status IN ('active', 'suspended')
                 UNION ALL
                 SELECT id, name, subdomain, NULL, 0, status, created_at, updated_at, 0 FROM workspaces
                 WHERE status IN ('active', 'suspended'))",
        columns: "id, name, subdomain, role, owner, status, created_at, updated_at",
        fields: &[text("name").sorted_by("fold(name)"), text("subdomain").sorted(), moment("created_at").sorted()],
        plain_filters: false,
        newest_first: false,
        counted_by_triggers: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: uuid_column(row, 0)?,
            name: row.get(1)?,
            subdomain: row.get(2)?,
            url: String::new(),
            role: row.get(3)?,
            owner: row.get(4)?,
            status: row.get(5)?,
            created_at: row.get(6)?,
            updated_at: row.get(7)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jobs;
    use crate::testing::Bench;

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

        restore(engine, id, None, &Origin::system(Timestamp::now())).unwrap();
        admin.get("/customers").refused(401, "token_revoked");
        assert_eq!(bench.admin().get("/customers").ok()["data"][0]["name"], "Kept");

        bench.central().delete_with(&path, json!({"subdomain": "acme"})).ok();
        bench.central().post("/workspaces", json!({"name": "New", "subdomain": "acme"})).created();
        assert_eq!(restore(engine, id, None, &Origin::system(Timestamp::now())).unwrap_err().status(), 422);
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
        engine.central.write(move |db| trash(db, id, &Origin::system(Timestamp::now()))).unwrap();
        jobs::round(engine, Timestamp::now(), false).unwrap();
        assert!(engine.trash_path(id).exists() && !engine.registry.path(id).exists());
    }
}

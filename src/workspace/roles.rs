//! Roles: sets of permissions for the users of a workspace. Three are built in, and a workspace can add its own.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::permission_catalog;
use crate::api::field::{Field, labelled};
use crate::api::resource::{PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, Widget, group, label, related};
use crate::api::{
    BlockingCtx, Changes, Ctx, Done, Error, Id, Json, Needs, Ok200, Result, Route, Saved, blocking, delete, get, post,
    put, require_grantable, run,
};
use crate::auth::Permissions;
use crate::tenancy::journal::Recorded;
use crate::values::{Name, normalize::normalize};

pub const RESOURCE: Resource = Resource::new(
    "Roles",
    "Sets of permissions for users. Three roles are built in, and a workspace can add its own.",
    ROUTES,
)
.french("Rôles")
.section(Section::Team)
.permissions(&PERMISSIONS)
.recorded(&[RECORDED])
.fields(FIELDS)
.view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("permissions", "Permissions", "Droits"),
    labelled("permissions_count", "Number of permissions", "Nombre de droits"),
    labelled("built_in", "Built in", "Prédéfini"),
    labelled("description", "Description", "Libellé"),
    labelled("resource", "Resource", "Ressource"),
    labelled("action", "Action", "Opération"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "permissions_count"],
    groups: &[group("Role", "Rôle", &["name", "permissions", "permissions_count", "built_in"])],
    widgets: &[("permissions", Widget::Permissions)],
    help: &[(
        "permissions",
        label(
            "You can only grant what you may do yourself.",
            "Vous ne pouvez accorder que les droits que vous avez vous-même.",
        ),
    )],
    purpose: label(
        "A role says what the people who have it may see and do.",
        "Un rôle dit ce que les personnes qui l’ont peuvent voir et faire.",
    ),
    singular: label("role", "un rôle"),
    is_copied: true,
    fixed_if: Some("built_in"),
    related: &[related("Users with this role", "Utilisateurs qui ont ce rôle", "/users", "role_id")],
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "role",
    actions: &[action("manage", "create, change and delete roles", "créer, modifier et supprimer des rôles", &[])],
};

const ROUTES: &[Route] = &[
    get("/roles", &run(list), Needs::Principal, "List roles"),
    get("/roles/{id}", &run(show), Needs::Principal, "Show a role with its permissions"),
    post("/roles", &run(create), Needs::Permission("role.manage"), "Create a role"),
    put(
        "/roles/{id}",
        &blocking(update),
        Needs::Permission("role.manage"),
        "Change a role, effective from the next request",
    ),
    delete("/roles/{id}", &blocking(remove), Needs::Permission("role.manage"), "Delete a role that no user has"),
    get("/permissions", &run(permissions), Needs::Principal, "List all permissions").named("listPermissions"),
];

/// A role, without its permissions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RoleListed")]
pub struct RoleSummary {
    /// Id of the role.
    id: i64,
    /// Name of the role.
    name: Name<64>,
    /// Number of permissions that the role grants. Wildcards are expanded.
    permissions_count: usize,
}

/// A role with its permissions.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Role {
    /// Id of the role.
    pub id: i64,
    /// Name of the role.
    pub name: Name<64>,
    /// Number of permissions that the role grants. Wildcards are expanded.
    permissions_count: usize,
    /// Permissions as granted: `customer.view`, `customer.*` or `*`.
    pub permissions: Permissions,
    /// Whether the role is built in. Built-in roles cannot be changed.
    built_in: bool,
}

/// A role to create or change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewRole {
    /// Name of the role. Unique in the workspace, ignoring case.
    #[schemars(example = &"Desk")]
    name: Name<64>,
    /// Permissions to grant. `customer.*` is every permission of a resource, `*` is every permission. The caller must
    /// have all of them, and all that the role had before.
    permissions: Permissions,
}

/// A permission that a role can grant.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Permission {
    /// Name of the permission: `{resource}.{action}`.
    name: String,
    /// Description of the permission, in English.
    description: String,
    /// Resource of the permission.
    resource: &'static str,
    /// Action of the permission.
    action: &'static str,
}

fn list(ctx: &mut Ctx<'_>) -> Result<Ok200<Vec<RoleSummary>>> {
    let mut statement = ctx.db.prepare_cached("SELECT id, name, permissions, built_in FROM roles ORDER BY id")?;
    let roles = statement.query_map([], from_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let listed = |role: Role| RoleSummary { id: role.id, name: role.name, permissions_count: role.permissions_count };
    Ok(Ok200(roles.into_iter().map(listed).collect()))
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<Role>> {
    find(ctx.db, id)?.map(Ok200).ok_or_else(Error::not_found)
}

fn create(ctx: &mut Ctx<'_>, Json(new): Json<NewRole>) -> Result<Saved<Role>> {
    require_grantable(ctx.principal()?, [&new.permissions])?;
    check_name(ctx.db, &new.name, 0)?;
    let id = ctx
        .db
        .prepare_cached("INSERT INTO roles (name, permissions) VALUES (?1, ?2)")?
        .insert((&new.name, &new.permissions))?;
    let role = find(ctx.db, id)?.ok_or_else(Error::not_found)?;
    ctx.recorder()?.created(ctx.db, RECORDED, &role)?;
    Ok(Saved(role))
}

/// Names are unique without regard to case and accents.
fn check_name(db: &Connection, name: &str, id: i64) -> Result<()> {
    let same = "SELECT 1 FROM roles WHERE fold(name) = ?1 AND id <> ?2";
    if db.prepare_cached(same)?.exists((normalize(name), id))? { Err(Error::taken("name")) } else { Ok(()) }
}

fn update(ctx: &BlockingCtx<'_>, Id(id): Id, changes: Changes<NewRole>) -> Result<Saved<Role>> {
    let (principal, recorder, lease) = (ctx.principal()?.clone(), ctx.recorder()?, ctx.request.workspace()?);
    let (old, role) = lease.file().write(move |db| {
        let old = find_changeable(db, id)?;
        let new = changes.apply(&NewRole { name: old.name.clone(), permissions: old.permissions.clone() })?;
        require_grantable(&principal, [&old.permissions, &new.permissions])?;
        if new.name != old.name {
            check_name(db, &new.name, id)?;
        }
        db.execute("UPDATE roles SET name = ?2, permissions = ?3 WHERE id = ?1", (id, &new.name, &new.permissions))?;
        if new.permissions != old.permissions {
            require_admin(db)?;
        }
        let new = find(db, id)?.ok_or_else(Error::not_found)?;
        recorder.updated(db, RECORDED, &old, &new)?;
        Ok::<_, Error>((old, new))
    })?;
    if old.name != role.name {
        ctx.instance.central.rename_role(lease.id(), &old.name, &role.name)?;
    }
    Ok(Saved(role))
}

fn remove(ctx: &BlockingCtx<'_>, Id(id): Id) -> Result<Done> {
    let lease = ctx.request.workspace()?;
    let (workspace, recorder, now) = (lease.id(), ctx.recorder()?, ctx.now);
    let file = Arc::clone(lease.file());
    let principal = ctx.principal()?.clone();
    let role = file.read(move |db| {
        let role = find_changeable(db, id)?;
        require_grantable(&principal, [&role.permissions])?;
        Ok::<_, Error>(role)
    })?;
    // Checked first: accepting an invitation assigns the role that it names.
    if ctx.instance.central.has_invitation_to_role(workspace, role.id, now)? {
        return Err(Error::rejected("role_in_use", "A pending invitation has this role."));
    }
    file.write(move |db| {
        let role = find_changeable(db, id)?;
        if db.prepare_cached("SELECT 1 FROM users WHERE role_id = ?1")?.exists([id])? {
            return Err(Error::rejected("role_in_use", "Users have this role. Assign them another role first."));
        }
        db.execute("DELETE FROM roles WHERE id = ?1", [id])?;
        recorder.deleted(db, RECORDED, &role)?;
        Ok(())
    })?;
    Ok(Done)
}

pub const RECORDED: &Recorded = &Recorded::new("role", None);

fn permissions(_: &mut Ctx<'_>) -> Result<Ok200<Vec<Permission>>> {
    let mut all = Vec::new();
    for group in permission_catalog::groups() {
        for action in group.actions {
            let (name, description) =
                (format!("{}.{}", group.resource, action.name), format!("Can {}.", action.can.english));
            all.push(Permission { name, description, resource: group.resource, action: action.name });
        }
    }
    Ok(Ok200(all))
}

/// Rejects a change that would leave no user with every permission.
pub fn require_admin(db: &Connection) -> Result<()> {
    if has_admin(db, None)? { Ok(()) } else { Err(last_admin()) }
}

pub fn last_admin() -> Error {
    Error::rejected("last_admin", "The workspace must have at least one admin.")
}

/// Whether a user other than `without` has a role with every permission.
pub fn has_admin(db: &Connection, without: Option<i64>) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM users u JOIN roles r ON r.id = u.role_id
         WHERE u.id IS NOT ?1 AND EXISTS (SELECT 1 FROM json_each(r.permissions) WHERE value = '*')",
    )?
    .exists([without])
}

pub fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Role>> {
    db.prepare_cached("SELECT id, name, permissions, built_in FROM roles WHERE id = ?1")?
        .query_row([id], from_row)
        .optional()
}

/// The role that a request names. It must exist.
pub fn named(db: &Connection, id: i64) -> Result<Role> {
    find(db, id)?.ok_or_else(|| Error::invalid("The selected role id is invalid."))
}

fn find_changeable(db: &Connection, id: i64) -> Result<Role> {
    let role = find(db, id)?.ok_or_else(Error::not_found)?;
    if role.built_in {
        return Err(Error::rejected("role_is_built_in", "A built-in role cannot be changed."));
    }
    Ok(role)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Role> {
    let permissions: Permissions = row.get(2)?;
    Ok(Role {
        id: row.get(0)?,
        name: row.get(1)?,
        permissions_count: permissions.count(),
        permissions,
        built_in: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::TestServer;
    use crate::workspace::permission_catalog;

    #[test]
    fn the_built_in_roles_are_there_and_do_not_change() {
        let server = TestServer::new();
        let roles = server.admin().get("/roles").ok();
        let names: Vec<&str> = roles.as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["admin", "manager", "agent"]);
        let all = server.admin().get("/permissions").ok().as_array().unwrap().len();
        assert_eq!(roles[0], json!({"id": 1, "name": "admin", "permissions_count": all}));
        assert_eq!(server.admin().get("/roles/1").ok()["permissions"], json!(["*"]));
        server.admin().put("/roles/2", json!({"name": "boss"})).rejected(422, "role_is_built_in");
        server.admin().delete("/roles/3").rejected(422, "role_is_built_in");
    }

    /// A user who can invite can then assign every lower built-in role.
    #[test]
    fn each_built_in_role_may_all_that_the_next_may() {
        let server = TestServer::new();
        for (upper, lower) in [("admin", "manager"), ("manager", "agent")] {
            for permission in permission_catalog::names().filter(|name| server.may(lower, name)) {
                assert!(server.may(upper, &permission), "{upper} lacks {permission}");
            }
        }
        for kept_from in ["role.manage", "user.delete", "workspace.manage", "oauth-client.create"] {
            assert!(!server.may("manager", kept_from), "{kept_from}");
        }
        let guest = json!({"email": "guest@example.com", "role_id": 3});
        server.with_role("manager").post("/user-invites", guest).created();
    }

    #[test]
    fn a_role_holds_wildcards_and_counts_what_they_stand_for() {
        let server = TestServer::new();
        let new = json!({"name": "Desk", "permissions": ["contact.*", "customer.view", "customer.view"]});
        let made = server.admin().post("/roles", new).created();
        assert_eq!(made["permissions"], json!(["contact.*", "customer.view"]));
        assert_eq!((&made["permissions_count"], &made["built_in"]), (&json!(5), &json!(false)));
        assert_eq!(server.admin().get(&format!("/roles/{}", made["id"])).ok(), made);
    }

    #[test]
    fn a_name_or_a_permission_that_cannot_be_is_refused() {
        let server = TestServer::new();
        let made = |name: &str, permissions: Value| {
            server.admin().post("/roles", json!({"name": name, "permissions": permissions}))
        };
        made("Desk", json!(["customer.fly"])).invalid(&["The selected permissions 0 is invalid."]);
        made("", json!("*")).invalid(&["The name field is required.", "The permissions must be a list."]);
        made("ADMIN", json!([])).rejected(422, "name_taken");
    }

    #[test]
    fn what_a_role_may_do_changes_with_the_next_request() {
        let server = TestServer::new();
        let role = server.admin().post("/roles", json!({"name": "Desk", "permissions": ["customer.view"]})).created();
        let path = format!("/roles/{}", role["id"]);
        let caller = server.with_role("Desk");
        caller.get("/customers").ok();
        caller.post("/customers", json!({"name": "A"})).rejected(403, "missing_permission");
        server.admin().put(&path, json!({"permissions": ["customer.create"]})).created();
        caller.get("/customers").rejected(403, "missing_permission");
        caller.post("/customers", json!({"name": "A"})).created();
        assert_eq!(caller.get("/whoami").ok()["permissions"], json!(["customer.create"]));
    }

    #[test]
    fn nobody_gives_away_what_they_do_not_have() {
        let server = TestServer::new();
        let keeper = server.with_only(&["role.manage", "customer.*"]);
        keeper.post("/roles", json!({"name": "A", "permissions": ["*"]})).rejected(403, "missing_permission");
        let made = keeper.post("/roles", json!({"name": "A", "permissions": ["customer.view"]})).created();
        let path = format!("/roles/{}", made["id"]);
        keeper.put(&path, json!({"permissions": ["contact.view"]})).rejected(403, "missing_permission");
        keeper.put(&path, json!({"name": "B", "permissions": ["customer.*"]})).created();
        assert_eq!(server.admin().get(&path).ok()["permissions"], json!(["customer.*"]));
    }

    #[test]
    fn a_role_that_somebody_has_or_is_offered_stays() {
        let server = TestServer::new();
        let role = |name: &str| server.admin().post("/roles", json!({"name": name})).created()["id"].clone();
        let (held, offered, free) = (role("Held"), role("Offered"), role("Free"));
        server.with_role("Held");
        let guest = json!({"email": "guest@example.com", "role_id": offered});
        let invite = server.admin().post("/user-invites", guest).created();
        for taken in [&held, &offered] {
            server.admin().delete(&format!("/roles/{taken}")).rejected(422, "role_in_use");
        }
        server.admin().delete(&format!("/roles/{free}")).ok();
        server.admin().delete(&format!("/user-invites/{}", invite["id"])).ok();
        server.admin().delete(&format!("/roles/{offered}")).ok();
        server.admin().get(&format!("/roles/{offered}")).rejected(404, "not_found");
    }

    #[test]
    fn a_renamed_role_is_called_so_on_the_central_host_too() {
        let server = TestServer::new();
        let role = server.admin().post("/roles", json!({"name": "Desk"})).created()["id"].clone();
        let member = server.with_role("Desk");
        server.admin().put(&format!("/roles/{role}"), json!({"name": "Front desk"})).created();
        let central = server.anonymous().signed_in(&member.post("/switch-to", json!({})).ok());
        assert_eq!(central.get("/workspaces").ok()["data"][0]["role"], "Front desk");
    }
}

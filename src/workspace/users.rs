//! Users: the accounts that are members of this workspace, each with a role, and with its own name and phone numbers
//! here.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::roles;
use crate::api::field::{Field, any_phone, integer, labelled, moment, term, text};
use crate::api::list::{List, ListSpec, Listable, find_row};
use crate::api::resource::{EntityTable, MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, Widget, group, label, related};
use crate::api::{
    BlockingCtx, Changes, Ctx, Done, Error, Id, Needs, Ok200, Page, Result, Route, Saved, blocking, delete, get, put,
    require_grantable, run,
};
use crate::instance::Instance;
use crate::tenancy::Lease;
use crate::tenancy::phones::{self, PhoneColumns, PhoneText};
use crate::tenancy::{ChangeRecorder, members};
use crate::values::{Name, RowId, Text, Timestamp, choice, email};

pub const RESOURCE: Resource =
    Resource::new("Users", "The accounts that are members of this workspace, each with a role.", ROUTES)
        .french("Utilisateurs")
        .section(Section::Team)
        .permissions(&PERMISSIONS)
        .recorded(&[members::RECORDED])
        .table(EntityTable {
            name: TABLE,
            fields: WorkspaceUser::LISTING.fields,
            numbers: NUMBERED,
            computed: &[],
            fold: None,
        })
        .more_fields(&[FIELDS])
        .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("phone", "Phone", "Téléphone"),
    labelled("mobile_phone", "Mobile", "Mobile"),
    labelled("role", "Role", "Rôle"),
    labelled("extension", "Extension", "Poste"),
    labelled("pops", "Calls that pop up", "Appels qui s’affichent"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "email", "role", "phone", "mobile_phone", "created_at"],
    groups: &[
        group("Person", "Identité", &["name", "email", "role", "role_id"]),
        group("Phone numbers", "Téléphones", &["phone", "mobile_phone", "extension", "pops"]),
    ],
    widgets: &[
        ("email", Widget::Email),
        ("phone", Widget::Phone),
        ("mobile_phone", Widget::Phone),
        ("role_id", Widget::Link("/roles")),
    ],
    related: &[
        related("Calls", "Appels", "/phone-calls", "user_id"),
        related(
            "Programs that act for the person",
            "Applications qui agissent pour la personne",
            "/oauth-grants",
            "user_id",
        ),
    ],
    affected_by_delete: &[
        related("programs lose their access", "applications perdent leur accès", "/oauth-grants", "user_id"),
        related("calls lose their user", "appels perdent leur utilisateur", "/phone-calls", "user_id"),
        related("chats lose their user", "discussions perdent leur utilisateur", "/crm/lookup/chats", "user_id"),
    ],
    purpose: label(
        "The people who work in this workspace. Invite them by mail.",
        "Les personnes qui travaillent dans cet espace de travail. Invitez-les par e-mail.",
    ),
    singular: label("user", "un utilisateur"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "user",
    actions: &[
        action("view", "see users", "voir les utilisateurs", MANAGER_AND_AGENT),
        action(
            "invite",
            "invite users, and see and cancel invitations",
            "inviter des utilisateurs, voir et annuler les invitations",
            MANAGER,
        ),
        action("update", "change users and their roles", "modifier les utilisateurs et leurs rôles", MANAGER),
        action("delete", "remove users", "retirer des utilisateurs", &[]),
    ],
};

const ROUTES: &[Route] = &[
    get("/users", &run(list), Needs::Permission("user.view"), "List users"),
    get("/users/{id}", &run(show), Needs::Self_("*"), "Show a user"),
    put("/users/{id}", &blocking(update), Needs::Self_("user.update"), "Change the name, phones or role of a user"),
    delete("/users/{id}", &blocking(remove), Needs::Permission("user.delete"), "Remove a user from the workspace"),
];

/// A user of a workspace. The id is specific to the workspace.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WorkspaceUser {
    /// Id of the user in this workspace.
    pub id: i64,
    /// Name of the user in this workspace.
    pub name: Name<255>,
    /// Email address of the account.
    pub email: String,
    /// Phone number, stored as typed. Filters match it in any format.
    pub phone: PhoneText,
    /// Mobile phone number.
    pub mobile_phone: PhoneText,
    /// Extension of the user's phone. Calls that ring there are the user's calls.
    pub extension: Option<Text<20>>,
    /// Calls that pop up in the console.
    pub pops: CallPops,
    /// Role of the user.
    pub role: UserRole,
    /// Time at which the user joined (UTC).
    pub created_at: Timestamp,
    /// Time of the last change (UTC).
    pub updated_at: Timestamp,
    #[serde(skip)]
    pub account_id: i64,
}

choice! {
    /// The calls that pop up for a user: none, those that ring the user's phone, or all.
    CallPops { NONE = "none", MINE = "mine", ALL = "all" }
}

impl Default for CallPops {
    fn default() -> Self {
        Self::MINE
    }
}

/// The role of a user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserRole {
    /// Id of the role.
    pub id: i64,
    /// Name of the role.
    pub name: String,
}

/// The fields of a user that can change. Every user can change their own, except the role.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WorkspaceUser")]
#[serde(default)]
pub struct UserChanges {
    /// Name in this workspace. A later change of the account's name replaces it.
    #[schemars(example = &"Grace Hopper")]
    name: Name<255>,
    /// Phone number, stored as typed. Filters match it in any format.
    phone: PhoneText,
    /// Mobile phone number.
    mobile_phone: PhoneText,
    /// Extension of the user's phone. Calls that ring there are the user's calls.
    #[schemars(example = &"204")]
    extension: Option<Text<20>>,
    /// Calls that pop up in the console: `none`, `mine` (those that ring the user's phone), or `all`.
    pops: CallPops,
    /// Id of the role. A change requires `user.update`. To change another user, the caller must have every permission
    /// of that user's role, before and after the change.
    role_id: RowId,
}

fn list(ctx: &mut Ctx<'_>, list: List<WorkspaceUser>) -> Result<Page<WorkspaceUser>> {
    list.page(ctx)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<WorkspaceUser>> {
    find(ctx.db, id).map(Ok200)
}

fn update(ctx: &BlockingCtx<'_>, Id(id): Id, changes: Changes<UserChanges>) -> Result<Saved<WorkspaceUser>> {
    let (principal, recorder, lease) = (ctx.principal()?.clone(), ctx.recorder()?, ctx.request.workspace()?);
    let (old, user) = lease.file().write(move |db| {
        let (old, before) = (find(db, id)?, members::find(db, id)?);
        let new = changes.apply(&UserChanges {
            name: old.name.clone(),
            phone: old.phone.clone(),
            mobile_phone: old.mobile_phone.clone(),
            extension: old.extension.clone(),
            pops: old.pops,
            role_id: old.role.id.into(),
        })?;
        let other_role = new.role_id.get() != old.role.id;
        if other_role && !principal.has_permission("user.update") {
            return Err(Error::MissingPermission("user.update".into()));
        }
        let roles = [roles::named(db, old.role.id)?, roles::named(db, new.role_id.get())?];
        require_grantable(&principal, roles.iter().map(|role| &role.permissions))?;
        db.prepare_cached(
            "UPDATE users SET name = ?2, phone = ?3, mobile_phone = ?4, role_id = ?5, updated_at = ?6, extension = ?7,
                 pops = ?8
             WHERE id = ?1",
        )?
        .execute((
            id,
            &new.name,
            &new.phone,
            &new.mobile_phone,
            new.role_id,
            recorder.at,
            &new.extension,
            new.pops,
        ))?;
        phones::save(db, TABLE, id, &[("phone", &new.phone), ("mobile_phone", &new.mobile_phone)])?;
        if other_role {
            roles::require_admin(db)?;
        }
        recorder.updated(db, members::RECORDED, &before, &members::find(db, id)?)?;
        Ok((old, find(db, id)?))
    })?;
    if user.role.id != old.role.id {
        ctx.instance.central.set_member_role(user.account_id, lease.id(), &user.role.name)?;
    }
    Ok(Saved(user))
}

fn remove(ctx: &BlockingCtx<'_>, Id(id): Id) -> Result<Done> {
    let principal = ctx.principal()?.clone();
    ctx.request.workspace()?.file().read(move |db| {
        let role = roles::named(db, find(db, id)?.role.id)?;
        require_grantable(&principal, [&role.permissions])
    })?;
    remove_member(ctx.instance, ctx.request.workspace()?, id, &ctx.recorder()?).map(|()| Done)
}

/// Ends a user's membership and revokes the account's tokens for the workspace.
///
/// The central file comes first: from then on the account has no access. If a crash leaves the user here, a repeat
/// removes it.
pub fn remove_member(instance: &Instance, workspace: &Lease, id: i64, recorder: &ChangeRecorder) -> Result<()> {
    let file = workspace.file();
    let (user, others_administer) =
        file.read(move |db| Ok::<_, Error>((find(db, id)?, roles::has_admin(db, Some(id))?)))?;
    let (account_id, workspace, now) = (user.account_id, workspace.id(), recorder.at);
    let recorder = recorder.clone();
    if !others_administer {
        instance.central.check_not_owner(account_id, workspace)?;
        return Err(roles::last_admin());
    }
    instance.central.end_membership(account_id, workspace, now)?;
    let removed = file.write(move |db| {
        members::remove(db, &recorder, account_id)?;
        roles::require_admin(db)
    });
    if removed.is_err() {
        // The other admin was removed meanwhile.
        instance.central.save_membership(account_id, workspace, &user.role.name, now)?;
    }
    removed
}

const TABLE: &str = "users";

/// The columns with indexed phone numbers.
pub const NUMBERED: PhoneColumns = PhoneColumns { table: TABLE, columns: &["phone", "mobile_phone"], lists: &[] };

pub fn find(db: &Connection, id: i64) -> Result<WorkspaceUser> {
    find_row(db, "id = ?1", [id])?.ok_or_else(Error::not_found)
}

/// All users by id, for the command line.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<WorkspaceUser>> {
    let ListSpec { table, columns, .. } = WorkspaceUser::LISTING;
    let mut statement = db.prepare(&format!("SELECT {columns} FROM {table} ORDER BY id"))?;
    statement.query_map([], WorkspaceUser::from_row)?.collect()
}

/// The user of an account in this workspace.
pub fn of_account(db: &Connection, account_id: i64) -> rusqlite::Result<Option<WorkspaceUser>> {
    find_row(db, "account_id = ?1", [account_id])
}

/// Whether a user with this address exists.
pub fn has_email(db: &Connection, email: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM users WHERE email IN (?1, ?2, ?3)")?.exists(email::spellings(email))
}

impl Listable for WorkspaceUser {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT u.*, r.name AS role_name FROM users u JOIN roles r ON r.id = u.role_id)",
        columns: "id, name, email, phone, mobile_phone, role_id, role_name, created_at, updated_at, account_id,
                  extension, pops",
        fields: &[
            integer("id").only_sorted(),
            text("name").sorted_by("fold(name)").searched().label("Name", "Nom"),
            text("email").sorted_by("fold(email)").searched().label("Email", "E-mail"),
            integer("role_id").label("Role", "Rôle"),
            any_phone("phone", TABLE),
            term("users_fts"),
            moment("created_at").only_sorted().label("Created", "Création"),
            moment("updated_at").only_sorted().label("Changed", "Modification"),
        ],
        plain_filters: false,
        newest_first: false,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            email: row.get(2)?,
            phone: row.get(3)?,
            mobile_phone: row.get(4)?,
            role: UserRole { id: row.get(5)?, name: row.get(6)? },
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
            account_id: row.get(9)?,
            extension: row.get(10)?,
            pops: row.get(11)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::auth::TokenScope;
    use crate::tests::{PASSWORD, TestClient, TestServer};

    fn id(client: &TestClient<'_>) -> Value {
        client.get("/whoami").ok()["user"]["id"].clone()
    }

    fn at(client: &TestClient<'_>) -> String {
        format!("/users/{}", id(client))
    }

    #[test]
    fn users_are_found_by_name_email_words_and_phone_in_any_format() {
        let server = TestServer::new();
        let user = server.join_acme("zoe.lefevre@example.com", "agent");
        let changes = json!({"name": "Zoé Lefèvre", "phone": "01 42 00 00 00", "mobile_phone": "+33 6 12 34 56 78"});
        let changed = server.admin().put(&format!("/users/{user}"), changes).created();
        assert_eq!(changed["role"], json!({"id": 3, "name": "agent"}));
        let found = |query: &str| server.admin().get(&format!("/users?{query}")).ok()["data"].clone();
        for query in [
            "filter[name]=lefevre",
            "filter[email]=ZOE.",
            "filter[term]=zoe%20lef",
            "filter[phone]=%2B33142000000",
            "filter[phone]=0612345678",
        ] {
            assert_eq!(found(query), json!([changed]), "{query}");
        }
        assert_eq!(found("sort=-id")[0]["id"], user);
        let answer = server.admin().get("/users?sort=phone");
        answer.invalid(&["The selected sort phone is invalid; it may be id, name, email, created_at, updated_at."]);
    }

    #[test]
    fn only_an_admin_sees_a_user_whole_and_everybody_themselves() {
        let server = TestServer::new();
        let (manager, agent) = (server.with_role("manager"), server.with_role("agent"));
        server.admin().get(&at(&agent)).ok();
        manager.get(&at(&agent)).rejected(403, "missing_permission");
        assert_eq!(agent.get(&at(&agent)).ok()["email"], "agent@example.com");
        agent.get(&at(&manager)).rejected(403, "missing_permission");
        server.admin().get("/users/99").rejected(404, "not_found");
    }

    #[test]
    fn everybody_changes_their_own_name_and_phones_and_not_their_role() {
        let server = TestServer::new();
        let agent = server.with_role("agent");
        assert_eq!(agent.put(&at(&agent), json!({"name": "Zoé", "phone": "204"})).created()["name"], "Zoé");
        assert_eq!(agent.put(&at(&agent), json!({"phone": null})).created()["phone"], Value::Null);
        agent.put(&at(&agent), json!({"role_id": 1})).rejected(403, "missing_permission");
        agent.put("/users/1", json!({"name": "Mine"})).rejected(403, "missing_permission");
        agent.put(&at(&agent), json!({"name": ""})).invalid(&["The name field is required."]);
        server.admin().put(&at(&agent), json!({"role_id": 99})).invalid(&["The selected role id is invalid."]);
        server.admin().put(&at(&agent), json!({"role_id": null})).invalid(&["The role id field is required."]);
        assert_eq!(agent.get("/whoami").ok()["role"], "agent");
    }

    #[test]
    fn everybody_sets_their_own_extension_and_the_calls_that_pop_up() {
        let server = TestServer::new();
        let agent = server.with_role("agent");
        let me = server.admin().get(&at(&agent)).ok();
        assert_eq!((&me["extension"], &me["pops"]), (&Value::Null, &json!("mine")));
        let changed = agent.put(&at(&agent), json!({"extension": "204", "pops": "all"})).created();
        assert_eq!((&changed["extension"], &changed["pops"]), (&json!("204"), &json!("all")));
        let listed = server.admin().get("/users?sort=-id").ok()["data"][0].clone();
        assert_eq!((&listed["extension"], &listed["pops"]), (&json!("204"), &json!("all")));
        agent.put(&at(&agent), json!({"pops": "some"})).invalid(&["The selected pops is invalid."]);
        agent
            .put(&at(&agent), json!({"extension": "1".repeat(21)}))
            .invalid(&["The extension may not be greater than 20 characters."]);
        agent.put("/users/1", json!({"extension": "1"})).rejected(403, "missing_permission");
        let entry = &server.admin().get("/audit-log?filter[resource]=user&sort=-id").ok()["data"][0];
        assert_eq!(entry["changes"], json!({"extension": [null, "204"], "pops": ["mine", "all"]}));
    }

    #[test]
    fn a_name_given_here_stays_until_the_account_takes_another() {
        let server = TestServer::new();
        server.admin().put("/users/1", json!({"name": "Front desk"})).created();
        let enter = || server.central().post("/switch-to", json!({"workspace_id": server.acme.id})).ok();
        enter();
        assert_eq!(server.admin().get("/users/1").ok()["name"], "Front desk");
        let moved = json!({"email": "moved@example.com", "current_password": PASSWORD});
        server.central().put("/account", moved).created();
        server.verify_email(&server.central());
        let central = server.anonymous().with_token(server.token("moved@example.com", TokenScope::Central));
        let enter = || central.post("/switch-to", json!({"workspace_id": server.acme.id})).ok();
        let inside = server.anonymous().signed_in(&enter()).at("acme.localhost");
        let me = inside.get("/users/1").ok();
        assert_eq!((&me["name"], &me["email"]), (&json!("Front desk"), &json!("moved@example.com")));
        central.put("/account", json!({"name": "Ada"})).created();
        enter();
        assert_eq!(inside.get("/users/1").ok()["name"], "Ada");
    }

    #[test]
    fn a_role_is_given_and_taken_by_those_who_have_as_much() {
        let server = TestServer::new();
        let (manager, agent) = (server.with_role("manager"), server.with_role("agent"));
        manager.put(&at(&agent), json!({"role_id": 1})).rejected(403, "missing_permission");
        server.join_acme("second@example.com", "admin");
        manager.put("/users/1", json!({"role_id": 3})).rejected(403, "missing_permission");
        manager.put(&at(&agent), json!({"role_id": 2})).created();
        manager.put(&at(&agent), json!({"role_id": 3})).created();
        manager.put(&at(&manager), json!({"role_id": 1})).rejected(403, "missing_permission");
        server.admin().put(&at(&agent), json!({"role_id": 2})).created();
        assert_eq!(agent.get("/whoami").ok()["role"], "manager");
        let central = server.anonymous().signed_in(&agent.post("/switch-to", json!({})).ok());
        assert_eq!(central.get("/workspaces").ok()["data"][0]["role"], "manager");
    }

    #[test]
    fn the_workspace_keeps_an_admin() {
        let server = TestServer::new();
        server.admin().put("/users/1", json!({"role_id": 3})).rejected(422, "last_admin");
        let second = server.join_acme("second@example.com", "admin");
        server.admin().put("/users/1", json!({"role_id": 3})).created();
        let keeper = server.with_role("admin");
        keeper.delete(&format!("/users/{second}")).ok();
        let last = at(&keeper);
        keeper.delete(&last).rejected(422, "last_admin");
        keeper.put(&last, json!({"role_id": 2})).rejected(422, "last_admin");
        keeper.get(&last).ok();
    }

    /// For example after the only admin deleted their account: other changes still work.
    #[test]
    fn a_workspace_without_an_admin_goes_on() {
        let server = TestServer::new();
        let agent = server.with_role("agent");
        server.in_file(|db| Ok(db.execute("UPDATE users SET role_id = 2 WHERE id = 1", [])?));
        agent.put(&at(&agent), json!({"name": "Zoé"})).created();
        let own = json!({"user_id": 1});
        server.central().post(&format!("/workspaces/{}/transfer", server.acme.id), own).created();
        assert_eq!(server.admin().get("/whoami").ok()["role"], "admin");
    }

    #[test]
    fn who_is_removed_is_out_at_once_and_may_be_invited_again() {
        let server = TestServer::new();
        let agent = server.with_role("agent");
        let central = server.anonymous().with_token(server.token("agent@example.com", TokenScope::Central));
        let path = at(&agent);
        server.admin().put(&path, json!({"phone": "01 42 00 00 00"})).created();
        server.with_role("manager").delete(&path).rejected(403, "missing_permission");
        server.admin().delete(&path).ok();
        agent.get("/customers").rejected(401, "token_revoked");
        central.get("/whoami").ok();
        assert_eq!(central.get("/workspaces").ok()["total"], 0);
        central.post("/switch-to", json!({"workspace_id": server.acme.id})).rejected(403, "not_a_member");
        assert_eq!(server.admin().get("/users?filter[phone]=0142000000").ok()["total"], 0);
        server.admin().delete(&path).rejected(404, "not_found");
        server.admin().post("/user-invites", json!({"email": "agent@example.com", "role_id": 3})).created();
    }

    #[test]
    fn the_owner_stays_until_the_workspace_is_transferred() {
        let server = TestServer::new();
        let heir = server.with_role("manager");
        let path = format!("/workspaces/{}/transfer", server.acme.id);
        server.with_role("admin").delete("/users/1").rejected(422, "is_owner");
        server.central().post(&path, json!({"user_id": 99})).invalid(&["The selected user id is invalid."]);
        server.central().post(&path, json!({})).invalid(&["The user id field is required."]);

        let given = server.central().post(&path, json!({"user_id": id(&heir)})).created();
        assert_eq!((&given["owner"], &given["role"]), (&json!(false), &json!("admin")));
        assert_eq!(heir.get("/whoami").ok()["role"], "admin");
        let owner = server.anonymous().signed_in(&heir.post("/switch-to", json!({})).ok());
        assert_eq!(owner.get("/workspaces").ok()["data"][0]["owner"], true);
        server.central().post(&path, json!({"user_id": 1})).rejected(403, "forbidden");
        heir.delete("/users/1").ok();
        heir.delete(&at(&heir)).rejected(422, "is_owner");
    }
}

//! Users: the accounts that are members of this workspace, each with a role, a name and phones of its own here.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::roles;
use crate::api::list::{By, Filter, List, Listed, Listing, Sort};
use crate::api::{
    Changes, Created, Ctx, Done, Error, Id, Needs, Ok200, Page, Result, Route, Steps, delete, get, put, run, steps,
};
use crate::central::memberships;
use crate::tenancy::phones::{self, Typed};
use crate::values::{Name, RowId, Timestamp};

pub const ROUTES: &[Route] = &[
    get("/users", &run(list), Needs::Permission("user.view"), "List users"),
    get("/users/{id}", &run(show), Needs::Oneself("*"), "Show a user"),
    put("/users/{id}", &steps(update), Needs::Oneself("user.update"), "Change a user's name, phones or role"),
    delete("/users/{id}", &steps(remove), Needs::Permission("user.delete"), "Remove a user from the workspace"),
];

/// A user of a workspace; its id is this workspace's own.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "WorkspaceUser")]
pub struct User {
    pub id: i64,
    pub name: Name<255>,
    /// The account's.
    pub email: String,
    /// As typed; found in any format.
    pub phone: Typed,
    pub mobile_phone: Typed,
    pub role: UserRole,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(skip)]
    pub account_id: i64,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserRole {
    pub id: i64,
    pub name: String,
}

/// What may change. Everybody may change their own name and phones.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UserChanges {
    /// In this workspace; a new name of the account takes its place.
    name: Name<255>,
    phone: Typed,
    mobile_phone: Typed,
    /// Needs `user.update`, and every permission of the role that is taken and of the one that is given.
    role_id: RowId,
}

fn list(ctx: &mut Ctx<'_>, list: List<User>) -> Result<Page<User>> {
    list.page(ctx)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<User>> {
    find(ctx.db, id).map(Ok200)
}

fn update(steps: &Steps<'_>, Id(id): Id, changes: Changes<UserChanges>) -> Result<Created<User>> {
    let (insider, now, lease) = (steps.insider()?.clone(), steps.now, steps.call.workspace()?);
    let (old, user) = lease.file().write(move |db| {
        let old = find(db, id)?;
        let new = changes.apply(&UserChanges {
            name: old.name.clone(),
            phone: old.phone.clone(),
            mobile_phone: old.mobile_phone.clone(),
            role_id: old.role.id.into(),
        })?;
        if new.role_id.get() != old.role.id {
            if !insider.may("user.update") {
                return Err(Error::MissingPermission("user.update".into()));
            }
            roles::may_give(&insider, &roles::named(db, new.role_id.get())?.permissions)?;
            roles::may_give(&insider, &roles::named(db, old.role.id)?.permissions)?;
        }
        db.prepare_cached(
            "UPDATE users SET name = ?2, phone = ?3, mobile_phone = ?4, role_id = ?5, updated_at = ?6 WHERE id = ?1",
        )?
        .execute((id, &new.name, &new.phone, &new.mobile_phone, new.role_id, now))?;
        phones::save(db, TABLE, id, &[("phone", &new.phone), ("mobile_phone", &new.mobile_phone)])?;
        keep_an_admin(db)?;
        Ok((old, find(db, id)?))
    })?;
    if user.role.id != old.role.id {
        let (workspace, account_id, role) = (lease.id(), user.account_id, user.role.name.clone());
        steps.engine.central.write(move |db| memberships::save(db, account_id, workspace, &role, now))?;
    }
    Ok(Created(user))
}

/// The central file first: from then on the account gets in no more, and what a crash leaves here, a repeat removes.
fn remove(steps: &Steps<'_>, Id(id): Id) -> Result<Done> {
    let (now, lease) = (steps.now, steps.call.workspace()?);
    let (workspace, file) = (lease.id(), Arc::clone(lease.file()));
    let (user, others_administer) = file.read(move |db| Ok::<_, Error>((find(db, id)?, has_admin(db, Some(id))?)))?;
    let account_id = user.account_id;
    steps.engine.central.write(move |db| {
        memberships::end(db, account_id, workspace, now)?;
        if others_administer { Ok(()) } else { Err(last_admin()) }
    })?;
    let removed = file.write(move |db| {
        db.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([id])?;
        keep_an_admin(db)
    });
    if removed.is_err() {
        // The other admin has gone meanwhile.
        let role = user.role.name;
        steps.engine.central.write(move |db| memberships::save(db, account_id, workspace, &role, now))?;
    }
    removed.map(|()| Done)
}

const TABLE: &str = "users";

/// Refuses a change after which nobody could do everything.
pub fn keep_an_admin(db: &Connection) -> Result<()> {
    if has_admin(db, None)? { Ok(()) } else { Err(last_admin()) }
}

fn last_admin() -> Error {
    Error::refused("last_admin", "The workspace needs an admin, and this would leave none.")
}

/// Whether a user, another than this one, has a role with every permission.
fn has_admin(db: &Connection, without: Option<i64>) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM users u JOIN roles r ON r.id = u.role_id
         WHERE u.id IS NOT ?1 AND EXISTS (SELECT 1 FROM json_each(r.permissions) WHERE value = '*')",
    )?
    .exists([without])
}

pub fn find(db: &Connection, id: i64) -> Result<User> {
    one(db, "id", id)?.ok_or_else(Error::not_found)
}

/// The user that an account is in this workspace.
pub fn of_account(db: &Connection, account_id: i64) -> rusqlite::Result<Option<User>> {
    one(db, "account_id", account_id)
}

/// Whether somebody with this address is a user already.
pub fn has_email(db: &Connection, email: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM users WHERE email = ?1")?.exists([email])
}

fn one(db: &Connection, column: &'static str, value: i64) -> rusqlite::Result<Option<User>> {
    let Listing { table, columns, .. } = User::LISTING;
    db.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE {column} = ?1"))?
        .query_row([value], User::from_row)
        .optional()
}

impl Listed for User {
    const LISTING: Listing = Listing {
        table: "(SELECT u.*, r.name AS role_name FROM users u JOIN roles r ON r.id = u.role_id)",
        columns: "id, name, email, phone, mobile_phone, role_id, role_name, created_at, updated_at, account_id",
        filters: &[
            Filter { name: "name", by: By::Text("name") },
            Filter { name: "email", by: By::Text("email") },
            Filter { name: "phone", by: By::Phone(TABLE) },
            Filter { name: "term", by: By::Term("users_fts") },
        ],
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "name", column: "name COLLATE NOCASE" },
            Sort { name: "email", column: "email COLLATE NOCASE" },
            Sort { name: "created_at", column: "created_at" },
            Sort { name: "updated_at", column: "updated_at" },
        ],
        newest_first: false,
        counted_by_triggers: false,
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
        })
    }
}

//! Memberships: the accounts of each workspace. The workspace's file has the same people as users. This copy, with the
//! role's name, serves lists that must not open every file.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::credentials;
use crate::api::field::{Field, flag, integer, labelled, text};
use crate::api::list::{List, ListSpec, Listable};
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, group, label, quick_filter};
use crate::api::{self, Ctx, Error, Needs, Page, Result, Route, get, run};
use crate::tenancy::Central;
use crate::tenancy::workspace_import::JoiningUser;
use crate::values::Timestamp;

pub const RESOURCE: Resource = Resource::new("Members", "The accounts that belong to a workspace.", ROUTES)
    .french("Membres")
    .fields(FIELDS)
    .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("email", "Email", "Adresse e-mail"),
    labelled("email_verified", "Address confirmed", "Adresse confirmée"),
    labelled("second_factor", "Second factor", "Second facteur"),
    labelled("role", "Role", "Rôle"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "email", "role", "second_factor", "created_at"],
    groups: &[group("Member", "Membre", &["name", "email", "email_verified", "role", "second_factor"])],
    widgets: &[("email", Widget::Email)],
    quick_filters: &[quick_filter("Without a second factor", "Sans second facteur", "filter[second_factor]=false")],
    purpose: label("The people who belong to the workspace.", "Les personnes qui appartiennent à l’espace de travail."),
    singular: label("member", "un membre"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] =
    &[get("/workspaces/{id}/members", &run(list), Needs::Owner, "List the members of a workspace")
        .named("listMembers")];

/// A member, as the owner of the workspace sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Membership {
    /// Id of the account.
    id: i64,
    /// Full name.
    name: String,
    /// Email address.
    email: String,
    /// Whether the account has verified its email address.
    email_verified: bool,
    /// Whether login requires a second factor.
    second_factor: bool,
    /// Name of the role in the workspace.
    role: String,
    /// Time at which the account joined.
    created_at: Timestamp,
}

fn list(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid, list: List<Membership>) -> Result<Page<Membership>> {
    list.restrict("workspace_id", id.to_string()).page(ctx)
}

impl Listable for Membership {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT a.id, a.name, a.email, a.email_verified, f.confirmed_at IS NOT NULL AS second_factor, m.role,
                        m.created_at, m.workspace_id
                 FROM memberships m JOIN accounts a ON a.id = m.account_id
                 LEFT JOIN second_factors f ON f.account_id = a.id)",
        columns: "id, name, email, email_verified, second_factor, role, created_at",
        fields: &[
            integer("id").only_sorted(),
            text("name").sorted_by("fold(name)"),
            text("email"),
            flag("email_verified"),
            flag("second_factor"),
            text("role"),
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
            email_verified: row.get(3)?,
            second_factor: row.get(4)?,
            role: row.get(5)?,
            created_at: row.get(6)?,
        })
    }
}

/// Makes an account a member, or updates the role of a member.
pub fn save(db: &Connection, account_id: i64, workspace: Uuid, role: &str, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO memberships (account_id, workspace_id, role, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET role = excluded.role WHERE role <> excluded.role",
    )?
    .execute((account_id, workspace.to_string(), role, now))?;
    Ok(())
}

/// Updates the role of a member. Does not create a membership.
pub fn set_role(db: &Connection, account_id: i64, workspace: Uuid, role: &str) -> Result<()> {
    db.prepare_cached("UPDATE memberships SET role = ?3 WHERE account_id = ?1 AND workspace_id = ?2")?.execute((
        account_id,
        workspace.to_string(),
        role,
    ))?;
    Ok(())
}

/// Ends a membership and revokes the account's tokens for the workspace. Idempotent.
pub fn delete(db: &Connection, account_id: i64, workspace: Uuid, now: Timestamp) -> Result<()> {
    check_not_owner(db, account_id, workspace)?;
    db.prepare_cached("DELETE FROM memberships WHERE account_id = ?1 AND workspace_id = ?2")?
        .execute((account_id, workspace.to_string()))?;
    credentials::revoke_member(db, account_id, workspace, now)?;
    Ok(())
}

/// The members of a workspace, with the names of their roles.
pub fn of_workspace(db: &Connection, workspace: Uuid) -> rusqlite::Result<Vec<JoiningUser>> {
    let sql = "SELECT a.id, a.name, a.email, m.role FROM memberships m JOIN accounts a ON a.id = m.account_id
               WHERE m.workspace_id = ?1 ORDER BY a.id";
    let joining = |row: &Row<'_>| {
        Ok(JoiningUser { account_id: row.get(0)?, name: row.get(1)?, email: row.get(2)?, role: row.get(3)? })
    };
    db.prepare_cached(sql)?.query_map([workspace.to_string()], joining)?.collect()
}

fn check_not_owner(db: &Connection, account_id: i64, workspace: Uuid) -> Result<()> {
    let owns = db
        .prepare_cached("SELECT 1 FROM workspaces WHERE id = ?1 AND owner_id = ?2")?
        .exists((workspace.to_string(), account_id))?;
    if owns {
        return Err(Error::rejected("is_owner", "The owner cannot leave the workspace. Transfer the workspace first."));
    }
    Ok(())
}

impl Central {
    /// Fails if the account owns the workspace: an owner stays a member.
    pub fn check_not_owner(&self, account_id: i64, workspace: Uuid) -> Result<()> {
        self.read(move |db| check_not_owner(db, account_id, workspace))
    }

    /// The accounts that are members of a workspace.
    pub fn member_ids(&self, workspace: Uuid) -> Result<BTreeSet<i64>> {
        self.read(move |db| {
            let mut statement = db.prepare("SELECT account_id FROM memberships WHERE workspace_id = ?1")?;
            let ids = statement.query_map([workspace.to_string()], |row| row.get(0))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Makes an account a member, or updates the role of a member. Returns whether it was a member before.
    pub fn save_membership(&self, account_id: i64, workspace: Uuid, role: &str, now: Timestamp) -> Result<bool> {
        let role = role.to_owned();
        self.write(move |db| {
            let sql = "SELECT 1 FROM memberships WHERE account_id = ?1 AND workspace_id = ?2";
            let was_member = db.prepare_cached(sql)?.exists((account_id, workspace.to_string()))?;
            save(db, account_id, workspace, &role, now)?;
            Ok(was_member)
        })
    }

    /// Updates the role of a member. Does not create a membership.
    pub fn set_member_role(&self, account_id: i64, workspace: Uuid, role: &str) -> Result<()> {
        let role = role.to_owned();
        self.write(move |db| set_role(db, account_id, workspace, &role))
    }

    /// Ends a membership and revokes the account's tokens for the workspace.
    pub fn end_membership(&self, account_id: i64, workspace: Uuid, now: Timestamp) -> Result<()> {
        self.write(move |db| delete(db, account_id, workspace, now))
    }

    /// Renames a role in the memberships of a workspace.
    pub fn rename_role(&self, workspace: Uuid, old: &str, new: &str) -> Result<()> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.write(move |db| {
            let sql = "UPDATE memberships SET role = ?3 WHERE workspace_id = ?1 AND role = ?2";
            db.prepare_cached(sql)?.execute((workspace.to_string(), &old, &new))?;
            Ok(())
        })
    }
}

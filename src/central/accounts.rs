//! Accounts of people. One account may be a member of many workspaces.

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::central_audit_log::{self, CentralAuditEvent};
use super::departures;
use crate::api::field::{Field, flag, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable};
use crate::api::resource::Resource;
use crate::api::resource_view::{RecordLink, ResourceView, Widget, label, quick_filter};
use crate::api::{Ctx, Error, Needs, Page, Result, Route, get, run};
use crate::auth::Origin;
use crate::instance::Instance;
use crate::tenancy::Central;
use crate::values::{Email, Name, Password, Timestamp, email};

pub const RESOURCE: Resource = Resource::new("Accounts", "The accounts of people, for operators.", ROUTES)
    .french("Comptes")
    .fields(FIELDS)
    .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("email", "Email", "Adresse e-mail"),
    labelled("email_verified", "Address confirmed", "Adresse confirmée"),
    labelled("pending_email", "Address to confirm", "Adresse à confirmer"),
    labelled("operator", "Operator", "Opérateur"),
    labelled("second_factor", "Second factor", "Second facteur"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "email", "email_verified", "operator", "second_factor", "created_at"],
    widgets: &[("email", Widget::Email), ("pending_email", Widget::Email)],
    quick_filters: &[
        quick_filter("Operators", "Opérateurs", "filter[operator]=true"),
        quick_filter("Without a second factor", "Sans second facteur", "filter[second_factor]=false"),
    ],
    record_links: &[RecordLink {
        label: label("Remove the second factor", "Retirer le second facteur"),
        page: "/ui/accounts/{id}/second-factor",
        only_if: &[("second_factor", "true")],
    }],
    purpose: label("The people who can log in here.", "Les personnes qui peuvent se connecter ici."),
    singular: label("account", "un compte"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] =
    &[get("/accounts", &run(list), Needs::Operator, "List all accounts (operators only)").named("listAccounts")];

/// An account in the API.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub struct Account {
    /// Id of the account.
    pub id: i64,
    /// Full name.
    pub name: String,
    /// Email address, which is the login name.
    pub email: String,
    /// Whether the account has verified its email address.
    pub email_verified: bool,
    /// The new address until its mailed code is submitted. Absent if none is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_email: Option<String>,
    /// Time of registration.
    pub created_at: Timestamp,
    /// Time of the last change to the account.
    pub updated_at: Timestamp,
    #[serde(skip)]
    pub operator: bool,
    /// Whether an operator disabled the account.
    #[serde(skip)]
    pub disabled: bool,
}

/// An account in an operator's list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedAccount {
    #[serde(flatten)]
    account: Account,
    /// Whether the account is an operator of the server.
    operator: bool,
    /// Whether login requires a second factor.
    second_factor: bool,
}

fn list(ctx: &mut Ctx<'_>, list: List<ListedAccount>) -> Result<Page<ListedAccount>> {
    list.page(ctx)
}

/// Creates an account without a token. Its address counts as verified, because an operator typed it or an invitation
/// was mailed to it.
pub fn create(
    instance: &Instance,
    name: Name<255>,
    email: Email,
    password: &Password,
    operator: bool,
    origin: &Origin,
) -> Result<Account> {
    let hash = instance.hash_password(password, &email, &name)?;
    let origin = origin.clone();
    instance.central.write(move |db| {
        let operator = operator || !any_exists(db)?;
        let id = insert(db, &name, &email, &hash, operator, &origin)?;
        set_verified(db, id)?;
        find(db, id)
    })
}

/// Whether any account exists. The first account becomes an operator.
pub fn any_exists(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM accounts)", [], |row| row.get(0))
}

/// Whether another enabled operator exists.
pub fn has_other_operator(db: &Connection, id: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM accounts WHERE operator AND disabled_at IS NULL AND id <> ?1)";
    db.query_row(sql, [id], |row| row.get(0))
}

pub fn find(db: &Connection, id: i64) -> Result<Account> {
    Ok(find_with_password(db, id)?.0)
}

/// The account and its password hash.
fn find_with_password(db: &Connection, id: i64) -> Result<(Account, String)> {
    one(db, "id = ?1", id)?.ok_or_else(Error::not_found)
}

/// The account with this address, ignoring case, and its password hash.
pub fn find_by_email(db: &Connection, email: &str) -> rusqlite::Result<Option<(Account, String)>> {
    first(db, "email = ?1", email)
}

/// The account with this address. Fails if there is none.
pub fn named(db: &Connection, email: &str) -> Result<Account> {
    let missing = || Error::NotFound { code: "not_found", message: format!("There is no account {email}.") };
    find_by_email(db, email)?.map(|(account, _)| account).ok_or_else(missing)
}

impl Central {
    /// Whether the instance has any account.
    pub fn has_accounts(&self) -> Result<bool> {
        self.read(|db| Ok(any_exists(db)?))
    }

    pub fn account(&self, id: i64) -> Result<Account> {
        self.read(move |db| find(db, id))
    }

    /// The account and its password hash.
    pub fn account_with_password(&self, id: i64) -> Result<(Account, String)> {
        self.read(move |db| find_with_password(db, id))
    }

    /// The account with this address. Fails if there is none.
    pub fn account_by_email(&self, email: &str) -> Result<Account> {
        let email = email.to_owned();
        self.read(move |db| named(db, &email))
    }

    /// The account with this address and its password hash.
    pub fn password_by_email(&self, email: &str) -> Result<Option<(Account, String)>> {
        let email = email.to_owned();
        self.read(move |db| Ok(find_by_email(db, &email)?))
    }

    pub fn all_accounts(&self) -> Result<Vec<Account>> {
        self.read(|db| {
            let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM accounts ORDER BY id"))?;
            Ok(statement.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// The account that has verified this address.
pub fn find_by_verified_email(db: &Connection, email: &str) -> rusqlite::Result<Option<Account>> {
    Ok(first(db, "email = ?1 AND email_verified", email)?.map(|(account, _)| account))
}

/// The account with an address in one of its spellings.
fn first(db: &Connection, condition: &'static str, email: &str) -> rusqlite::Result<Option<(Account, String)>> {
    for spelling in email::spellings(email) {
        if let Some(found) = one(db, condition, spelling)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn one(
    db: &Connection,
    condition: &'static str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<Option<(Account, String)>> {
    db.prepare_cached(&format!("SELECT {COLUMNS}, password_hash FROM accounts WHERE {condition}"))?
        .query_row([value], |row| Ok((from_row(row)?, row.get(9)?)))
        .optional()
}

pub fn is_disabled(db: &Connection, account_id: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM accounts WHERE id = ?1 AND disabled_at IS NOT NULL";
    db.prepare_cached(sql)?.exists([account_id])
}

/// Marks the account's address as verified.
pub fn set_verified(db: &Connection, id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE accounts SET email_verified = 1 WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub fn set_password_hash(db: &Connection, id: i64, hash: &str, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE accounts SET password_hash = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute((id, hash, now))?;
    Ok(())
}

pub fn insert(
    db: &Connection,
    name: &str,
    email: &str,
    hash: &str,
    operator: bool,
    origin: &Origin,
) -> rusqlite::Result<i64> {
    let id = db
        .prepare_cached(
            "INSERT INTO accounts (name, email, password_hash, operator, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        )?
        .insert((name, email, hash, operator, origin.at))?;
    central_audit_log::record(
        db,
        origin,
        CentralAuditEvent::new("account.created").about(id).with(json!({"operator": operator})),
    )?;
    Ok(id)
}

/// Deletes an account, and notes that its users are to be removed. Rejected while it owns a workspace, even one in the trash,
/// because a restored workspace needs an owner.
pub fn delete_account(db: &Connection, id: i64) -> Result<()> {
    db.execute("DELETE FROM workspaces WHERE owner_id = ?1 AND status = 'creating'", [id])?;
    let owns: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM workspaces WHERE owner_id = ?1)", [id], |row| row.get(0))?;
    if owns {
        return Err(Error::rejected("owns_workspaces", "You own a workspace. Transfer or delete it first."));
    }
    departures::note(db, id)?;
    db.execute("DELETE FROM accounts WHERE id = ?1", [id])?;
    Ok(())
}

const COLUMNS: &str = "id, name, email, created_at, updated_at, operator, email_verified, pending_email, disabled_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
        operator: row.get(5)?,
        email_verified: row.get(6)?,
        pending_email: row.get(7)?,
        disabled: row.get::<_, Option<i64>>(8)?.is_some(),
    })
}

impl Listable for ListedAccount {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT a.*, f.confirmed_at IS NOT NULL AS second_factor
                 FROM accounts a LEFT JOIN second_factors f ON f.account_id = a.id)",
        columns: "id, name, email, created_at, updated_at, operator, email_verified, pending_email, disabled_at, second_factor",
        fields: &[
            integer("id").only_sorted(),
            text("name").sorted_by("fold(name)"),
            text("email").sorted(),
            flag("email_verified"),
            flag("operator"),
            flag("second_factor"),
            moment("created_at").sorted(),
        ],
        plain_filters: false,
        newest_first: false,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let account = from_row(row)?;
        Ok(Self { operator: account.operator, account, second_factor: row.get(9)? })
    }
}

//! The identities at OpenID providers by which an account signs in. One account may have several.

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::central_audit_log::{self, CentralAuditEvent};
use super::notices::{self, NoticeKind};
use crate::api::field::{Field, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable, find_row};
use crate::api::resource::Resource;
use crate::api::{Ctx, Done, Error, Id, Needs, Page, Result, Route, delete, get, run};
use crate::auth::Origin;
use crate::openid::{Provider, ProviderIdentity};
use crate::values::Timestamp;

pub const RESOURCE: Resource =
    Resource::new("Single sign-on", "The identities at providers by which you sign in.", ROUTES)
        .french("Authentification unique")
        .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("provider", "Provider", "Fournisseur"),
    labelled("issuer", "Issuer", "Émetteur"),
    labelled("email", "Email", "Adresse e-mail"),
    labelled("last_used_at", "Last used", "Dernière utilisation"),
];

const ROUTES: &[Route] = &[
    get("/account/identities", &run(list), Needs::SignedIn, "List the identities by which you sign in")
        .named("listIdentities"),
    delete("/account/identities/{id}", &run(disconnect), Needs::SignedIn, "Remove an identity from your account")
        .named("removeIdentity"),
];

/// An identity at a provider.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LinkedIdentity {
    /// Id of the identity.
    pub id: i64,
    /// Name of the provider.
    pub provider: String,
    /// URL of the provider (OpenID Connect Core 1.0, 2, `iss`).
    pub issuer: String,
    /// Email address at the provider, as of the last sign-in.
    pub email: Option<String>,
    /// Time at which the identity was connected.
    pub created_at: Timestamp,
    /// Time of the last sign-in with it.
    pub last_used_at: Option<Timestamp>,
}

fn list(ctx: &mut Ctx<'_>, list: List<LinkedIdentity>) -> Result<Page<LinkedIdentity>> {
    list.restrict("account_id", ctx.request.token()?.account_id).page(ctx)
}

fn disconnect(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let account_id = ctx.request.token()?.account_id;
    let found: Option<LinkedIdentity> = find_row(ctx.db, "id = ?1 AND account_id = ?2", (id, account_id))?;
    let found = found.ok_or_else(Error::not_found)?;
    ctx.db.prepare_cached("DELETE FROM linked_identities WHERE id = ?1")?.execute([id])?;
    let event = CentralAuditEvent::new("identity.disconnected").about(account_id);
    central_audit_log::record(ctx.db, &ctx.request.origin(), event.with(json!({"provider": found.provider})))?;
    Ok(Done)
}

/// The account that signs in with this identity.
pub fn account_of(db: &Connection, issuer: &str, subject: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT account_id FROM linked_identities WHERE issuer = ?1 AND subject = ?2")?
        .query_row((issuer, subject), |row| row.get(0))
        .optional()
}

/// Connects an identity to an account, and tells the account's owner.
pub fn connect(
    db: &Connection,
    account_id: i64,
    provider: &Provider,
    identity: &ProviderIdentity,
    origin: &Origin,
) -> Result<()> {
    match account_of(db, &provider.issuer, &identity.subject)? {
        Some(owner) if owner == account_id => return Ok(()),
        Some(_) => {
            return Err(Error::rejected("identity_taken", "Another account signs in with this identity already."));
        }
        None => {}
    }
    db.prepare_cached(
        "INSERT INTO linked_identities (account_id, issuer, subject, provider, email, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((account_id, &provider.issuer, &identity.subject, &provider.name, &identity.email, origin.at))?;
    let event = CentralAuditEvent::new("identity.connected").about(account_id);
    central_audit_log::record(db, origin, event.with(json!({"provider": provider.name, "email": identity.email})))?;
    notices::queue(db, account_id, &NoticeKind::IdentityConnected { provider: &provider.name }, origin)
}

/// Records a sign-in with an identity.
pub fn record_use(
    db: &Connection,
    provider: &Provider,
    identity: &ProviderIdentity,
    now: Timestamp,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE linked_identities SET provider = ?3, email = ?4, last_used_at = ?5 WHERE issuer = ?1 AND subject = ?2",
    )?
    .execute((&provider.issuer, &identity.subject, &provider.name, &identity.email, now))?;
    Ok(())
}

impl Listable for LinkedIdentity {
    const LISTING: ListSpec = ListSpec {
        table: "linked_identities",
        columns: "id, provider, issuer, email, created_at, last_used_at",
        fields: &[
            integer("id").only_sorted(),
            text("provider").sorted(),
            text("email"),
            moment("created_at").sorted(),
            moment("last_used_at").only_sorted(),
        ],
        plain_filters: false,
        newest_first: false,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            provider: row.get(1)?,
            issuer: row.get(2)?,
            email: row.get(3)?,
            created_at: row.get(4)?,
            last_used_at: row.get(5)?,
        })
    }
}

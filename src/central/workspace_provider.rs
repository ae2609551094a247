//! The identity provider of a workspace. Its owner describes it. An operator allows it by naming the workspace's domains
//! of email addresses. The provider proves addresses of these domains and no others. That gives no new power: the mail
//! server of a domain receives the mails that reset the passwords of its addresses.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::central_audit_log::{self, CentralAuditEvent};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{self, Changes, Ctx, Done, Error, Needs, Ok200, Result, Route, Saved, delete, get, put, run};
use crate::auth::Origin;
use crate::auth::encryption::{decrypt_text, encrypt_text};
use crate::instance::Instance;
use crate::openid::{ClientSecret, Provider, check_issuer};
use crate::values::{EmailDomain, Name, Text, UniqueList};

pub const RESOURCE: Resource =
    Resource::new("Identity provider", "The provider by which the people of a workspace sign in.", ROUTES)
        .french("Fournisseur d’identité")
        .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("domains", "Domains of email addresses", "Domaines des adresses e-mail"),
    labelled("name", "Name on the button", "Nom sur le bouton"),
    labelled("issuer", "Issuer", "Émetteur"),
    labelled("client_id", "Client", "Client"),
    labelled("client_secret", "Secret of the client", "Secret du client"),
    labelled("has_client_secret", "Has a secret", "A un secret"),
    labelled("callback_url", "Redirect URL to register", "URL de redirection à enregistrer"),
];

const ROUTES: &[Route] = &[
    get("/workspaces/{id}/identity-provider", &run(show), Needs::Owner, "Show the identity provider of a workspace")
        .named("getIdentityProvider"),
    put("/workspaces/{id}/identity-provider", &run(save), Needs::Owner, "Set the identity provider of a workspace")
        .named("setIdentityProvider"),
    delete(
        "/workspaces/{id}/identity-provider",
        &run(remove),
        Needs::Owner,
        "Remove the identity provider of a workspace",
    )
    .named("removeIdentityProvider"),
];

/// The identity provider of a workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WorkspaceProvider {
    /// Domains of email addresses. The provider proves addresses of these domains only. An operator sets them. Empty: no
    /// provider is allowed.
    domains: UniqueList<EmailDomain>,
    /// Name on the button. Null if no provider is set.
    name: Option<String>,
    /// URL of the provider (OpenID Connect Discovery 1.0, 3).
    issuer: Option<String>,
    /// Id of this server at the provider.
    client_id: Option<String>,
    /// Whether a secret of the client is stored.
    has_client_secret: bool,
    /// Redirect URL to register at the provider.
    callback_url: String,
}

/// The fields of the identity provider. The first request must have the first three.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProviderChanges {
    /// Name on the button.
    #[schemars(example = &"Example Ltd")]
    name: Name<60>,
    /// URL of the provider. It must be `https`.
    #[schemars(example = &"https://login.example.com/realms/staff")]
    issuer: Name<500>,
    /// Id of this server at the provider.
    #[schemars(example = &"cx-engine")]
    client_id: Name<200>,
    /// Secret of the client. Null: the stored secret stays.
    client_secret: Option<Text<500>>,
}

/// A row of the table. The default is a workspace without one.
#[derive(Default)]
struct StoredProvider {
    domains: UniqueList<EmailDomain>,
    name: Option<String>,
    issuer: Option<String>,
    client_id: Option<String>,
    /// Encrypted.
    client_secret: Option<String>,
}

fn show(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Ok200<WorkspaceProvider>> {
    shown(ctx, id).map(Ok200)
}

fn save(
    ctx: &mut Ctx<'_>,
    api::Uuid(id): api::Uuid,
    changes: Changes<ProviderChanges>,
) -> Result<Saved<WorkspaceProvider>> {
    let stored = find(ctx.db, id)?.filter(|stored| !stored.domains.is_empty());
    let stored = stored.ok_or_else(|| {
        let message = "An operator of the server must first name the domains of the workspace's email addresses.";
        Error::rejected("identity_provider_not_allowed", message)
    })?;
    let new = changes.apply(&ProviderChanges {
        name: kept(stored.name),
        issuer: kept(stored.issuer),
        client_id: kept(stored.client_id),
        client_secret: None,
    })?;
    if !new.issuer.starts_with("https://") && !ctx.request.instance.config.private_webhooks {
        return Err(Error::invalid("The issuer must be an https URL."));
    }
    check_issuer(&new.issuer).map_err(|_| Error::invalid("The issuer must be an https URL without query."))?;
    let secret = match new.client_secret.as_deref() {
        None | Some("") => stored.client_secret,
        Some(secret) => Some(encrypt_text(secret, &context(id), &ctx.request.instance.keys)?),
    };
    ctx.db
        .prepare_cached(
            "UPDATE workspace_providers SET name = ?2, issuer = ?3, client_id = ?4, client_secret = ?5
             WHERE workspace_id = ?1",
        )?
        .execute((id.to_string(), &new.name, &new.issuer, &new.client_id, secret))?;
    let details = json!({"issuer": new.issuer, "client_id": new.client_id});
    record(ctx.db, &ctx.request.origin(), "identity_provider.updated", id, &details)?;
    shown(ctx, id).map(Saved)
}

/// A stored text. Blank if nothing is stored.
fn kept<const MAX: usize>(stored: Option<String>) -> Name<MAX> {
    stored.and_then(|text| Name::parse(text).ok()).unwrap_or_default()
}

fn remove(ctx: &mut Ctx<'_>, api::Uuid(id): api::Uuid) -> Result<Done> {
    let sql = "UPDATE workspace_providers SET name = NULL, issuer = NULL, client_id = NULL, client_secret = NULL
               WHERE workspace_id = ?1 AND issuer IS NOT NULL";
    if ctx.db.prepare_cached(sql)?.execute([id.to_string()])? == 0 {
        return Err(Error::not_found());
    }
    record(ctx.db, &ctx.request.origin(), "identity_provider.deleted", id, &json!({}))?;
    Ok(Done)
}

/// Sets the domains of a workspace. Its provider proves addresses of these domains only.
pub fn set_domains(db: &Connection, id: Uuid, domains: &UniqueList<EmailDomain>, origin: &Origin) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO workspace_providers (workspace_id, domains) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET domains = excluded.domains",
    )?
    .execute((id.to_string(), domains))?;
    record(db, origin, "identity_domains.updated", id, &json!({"domains": domains}))
}

fn record(db: &Connection, origin: &Origin, action: &'static str, id: Uuid, details: &Value) -> Result<()> {
    let event = CentralAuditEvent { workspace: Some(id), ..CentralAuditEvent::new(action) };
    Ok(central_audit_log::record(db, origin, event.with(details.clone()))?)
}

fn shown(ctx: &Ctx<'_>, id: Uuid) -> Result<WorkspaceProvider> {
    let StoredProvider { domains, name, issuer, client_id, client_secret } = find(ctx.db, id)?.unwrap_or_default();
    let callback_url = Provider::callback_url(&ctx.request.instance.public_url().central(), &id.to_string());
    let has_client_secret = client_secret.is_some();
    Ok(WorkspaceProvider { domains, name, issuer, client_id, has_client_secret, callback_url })
}

fn find(db: &Connection, id: Uuid) -> rusqlite::Result<Option<StoredProvider>> {
    db.prepare_cached(
        "SELECT p.domains, p.name, p.issuer, p.client_id, p.client_secret
         FROM workspace_providers p JOIN workspaces w ON w.id = p.workspace_id
         WHERE p.workspace_id = ?1 AND w.status = 'active'",
    )?
    .query_row([id.to_string()], |row| {
        Ok(StoredProvider {
            domains: row.get(0)?,
            name: row.get(1)?,
            issuer: row.get(2)?,
            client_id: row.get(3)?,
            client_secret: row.get(4)?,
        })
    })
    .optional()
}

/// The purpose of an encrypted secret: it is of no use in another workspace.
fn context(id: Uuid) -> Vec<u8> {
    format!("client secret of workspace {id}").into_bytes()
}

/// The provider with this name: one of the instance, or that of a workspace, which has its id as the name.
pub fn provider(instance: &Instance, name: &str) -> Result<Option<Provider>> {
    if let Some(provider) = instance.config.provider(name) {
        return Ok(Some(provider.clone()));
    }
    match name.parse() {
        Ok(id) => of_workspace(instance, id),
        Err(_) => Ok(None),
    }
}

/// The provider of a workspace, if it has one and an operator allows it.
pub fn of_workspace(instance: &Instance, id: Uuid) -> Result<Option<Provider>> {
    let stored = instance.central.read(move |db| Ok::<_, Error>(find(db, id)?))?;
    let Some(StoredProvider {
        domains,
        name: Some(name),
        issuer: Some(issuer),
        client_id: Some(client_id),
        client_secret,
    }) = stored
    else {
        return Ok(None);
    };
    if domains.is_empty() {
        return Ok(None);
    }
    let client_secret = match client_secret {
        Some(sealed) => match decrypt_text(&sealed, &context(id), &instance.keys) {
            Some(secret) => ClientSecret::Text(secret),
            None => return Err(Error::Internal("the secret of an identity provider cannot be decrypted".into())),
        },
        None => ClientSecret::None,
    };
    Ok(Some(Provider::of_workspace(id, name, issuer, client_id, client_secret, domains.to_vec())))
}

/// Encrypts the secrets of all providers with the newest key.
pub fn reseal(instance: &Arc<Instance>) -> Result<()> {
    let inside = Arc::clone(instance);
    instance.central.write(move |db| {
        let mut statement =
            db.prepare("SELECT workspace_id, client_secret FROM workspace_providers WHERE client_secret IS NOT NULL")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        for row in rows.collect::<rusqlite::Result<Vec<_>>>()? {
            let (id, sealed) = row;
            let context = context(id.parse().map_err(anyhow::Error::from)?);
            let Some(secret) = decrypt_text(&sealed, &context, &inside.keys) else { continue };
            let sealed = encrypt_text(&secret, &context, &inside.keys)?;
            db.execute("UPDATE workspace_providers SET client_secret = ?2 WHERE workspace_id = ?1", (&id, sealed))?;
        }
        Ok(())
    })
}

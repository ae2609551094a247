//! The CRM look-up for PBXs: look up a caller while a phone rings, and journal the call or chat afterwards.
//!
//! A PBX has only the permission `crm.lookup`. It allows caller look-ups, new callers and the journals of calls and
//! chats, but no other access to contacts or phone calls. Its key is usually bound to a customer. A key that is not can
//! name a customer by `customer_account`.

mod caller_lookup;
mod caller_name;
mod calls;
pub mod chats;
pub mod external_ids;
mod pbx_values;
mod template;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::phone_calls::PhoneCall;
use super::settings::Settings;
use crate::api::field::{Field, labelled};
use crate::api::list::{List, Listable};
use crate::api::resource::{MANAGER_AND_AGENT, PermissionGroup, Resource, action};
use crate::api::{Ctx, Error, Needs, Page, Query, Result, Route, get, post, put, run};
use crate::values::{Text, email};
use pbx_values::OrBlank;

const NEEDS: Needs = Needs::Scoped("crm.lookup");

pub const RESOURCE: Resource = Resource::new(
    "CRM look-up",
    "Look up a caller while a phone rings, and journal the call afterwards. For PBXs.",
    ROUTES,
)
.french("Recherche CRM")
.permissions(&PERMISSIONS)
.fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("last_name", "Last name", "Nom"),
    labelled("first_name", "First name", "Prénom"),
    labelled("civility", "Title", "Civilité"),
    labelled("phone", "Phone", "Téléphone"),
    labelled("phone_business", "Business phone", "Téléphone professionnel"),
    labelled("phone_mobile", "Mobile", "Mobile"),
    labelled("custom_value", "Note", "Note"),
    labelled("call_direction", "Direction", "Sens"),
    labelled("call_type", "Kind of call", "Type d’appel"),
    labelled("direction", "Direction", "Sens"),
    labelled("did", "Dialled number", "Numéro composé"),
    labelled("agent_email", "Agent’s email", "E-mail de l’agent"),
    labelled("entity_id", "Contact of the look-up", "Contact de la recherche"),
    labelled("duration_s", "Length", "Durée"),
    labelled("recording_url", "Recording", "Enregistrement"),
    labelled("external_id", "Identifier in the phone system", "Identifiant dans le standard"),
    labelled("status", "Outcome", "Résultat"),
    labelled("answered", "Answered", "Répondu"),
    labelled("called_back", "Called back", "Rappelé"),
    labelled("number_from", "Caller", "Appelant"),
    labelled("number_to", "Called number", "Numéro appelé"),
    labelled("transcription", "Transcription", "Transcription"),
    labelled("summary", "Summary", "Résumé"),
    labelled("contacts", "Contacts", "Contacts"),
    labelled("contact", "Contact", "Contact"),
    labelled("phone_call", "Call", "Appel"),
    labelled("display_name", "Displayed name", "Nom affiché"),
    labelled("pbx", "Phone system", "Standard"),
    labelled("customer_id", "Customer", "Client"),
    labelled("user_id", "User", "Utilisateur"),
    labelled("number", "Number", "Numéro"),
    labelled("name", "Name", "Nom"),
    labelled("agent_extension", "Extension", "Poste"),
    labelled("agent_name", "Agent", "Agent"),
    labelled("queue", "Queue", "File d’attente"),
    labelled("contact_id", "Contact", "Contact"),
    labelled("subject", "Subject", "Objet"),
    labelled("body", "Text", "Texte"),
    labelled("started_at", "Start", "Début"),
    labelled("ended_at", "End", "Fin"),
    labelled("email", "Email", "E-mail"),
];

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "crm",
    actions: &[
        action(
            "lookup",
            "look up callers and journal calls, as a PBX does",
            "identifier les appelants et journaliser les appels, comme un standard",
            MANAGER_AND_AGENT,
        ),
        action(
            "caller-name",
            "look up the name of a caller, and nothing else",
            "trouver le nom d’un appelant, et rien d’autre",
            MANAGER_AND_AGENT,
        ),
    ],
};

const ROUTES: &[Route] = &[
    get("/crm/lookup/contacts/search", &run(caller_lookup::search), NEEDS, "Look up a caller, best match first")
        .named("searchCallers"),
    post("/crm/lookup/contacts", &run(caller_lookup::create), NEEDS, "Create a contact for a caller")
        .named("createCaller"),
    get(
        "/crm/lookup/caller-name",
        &run(caller_name::by_header),
        Needs::Scoped(caller_name::PERMISSION),
        "Look up the name of a caller, as plain text",
    )
    .named("getCallerName"),
    get(
        "/crm/lookup/caller-name/{key}",
        &run(caller_name::by_path),
        Needs::Anyone,
        "Look up the name of a caller with a key in the path, which can do nothing else",
    )
    .named("getCallerNameByKey"),
    get("/crm/lookup/phone-calls", &run(list::<PhoneCall>), NEEDS, "List journalled phone calls, newest first")
        .named("listJournalledCalls"),
    post("/crm/lookup/phone-calls", &run(calls::journal), NEEDS, "Journal a phone call; a repeat updates it")
        .named("journalCall"),
    put("/crm/lookup/phone-calls/{id}", &run(calls::update), NEEDS, "Change a phone call")
        .named("updateJournalledCall"),
    get(
        "/crm/template",
        &run(template::download),
        Needs::Permission("workspace.manage"),
        "Download the CRM template of a PBX",
    )
    .named("getCrmTemplate"),
];

/// The customer of the request.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CustomerFilter {
    /// Account of the customer to restrict the request to. Not required for callers that are bound to one customer.
    customer_account: OrBlank<Text<64>>,
}

impl CustomerFilter {
    /// The only customer of the request. None: all customers.
    fn customer(&self, ctx: &Ctx<'_>) -> Result<Option<i64>> {
        match self.customer_account.value() {
            Some(account) => ctx.customer_with(account).map(Some),
            None => Ok(ctx.bound_to()),
        }
    }
}

/// Lists the journalled calls or chats of the customer.
fn list<T: Listable>(ctx: &mut Ctx<'_>, list: List<T>, Query(whose): Query<CustomerFilter>) -> Result<Page<T>> {
    match whose.customer(ctx)? {
        Some(customer) => list.restrict("customer_id", customer).page(ctx),
        None => list.page(ctx),
    }
}

/// Rejects journal entries if the workspace has disabled them. A success response would claim that the entry was
/// stored.
fn check_logging(db: &Connection) -> Result<()> {
    if Settings::find(db)?.features.call_logging {
        return Ok(());
    }
    Err(Error::rejected(
        "call_logging_off",
        "Call logging is disabled in this workspace (setting features.call_logging).",
    ))
}

/// The contact of a call or chat: by `contact_id`; else by `entity_id`, if that contact still exists; else the best
/// match for the number or address.
fn contact_of(
    db: &Connection,
    customer: Option<i64>,
    named: Option<i64>,
    entity: Option<&str>,
    by: &caller_lookup::CallerCriteria<'_>,
) -> Result<Option<i64>> {
    if let Some(id) = named {
        let seen = is_seen(db, customer, id)?;
        return if seen { Ok(Some(id)) } else { Err(Error::invalid("The selected contact id is invalid.")) };
    }
    if let Some(id) = entity.and_then(|id| id.parse().ok())
        && is_seen(db, customer, id)?
    {
        return Ok(Some(id));
    }
    caller_lookup::best_match(db, customer, by)
}

fn is_seen(db: &Connection, customer: Option<i64>, contact: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM contacts WHERE id = ?1 AND (?2 IS NULL OR customer_id = ?2)";
    Ok(db.prepare_cached(sql)?.exists((contact, customer))?)
}

/// The customer of an existing contact.
fn customer_of(db: &Connection, contact: i64) -> Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT customer_id FROM contacts WHERE id = ?1")?;
    Ok(statement.query_row([contact], |row| row.get(0))?)
}

/// The user with this email address.
fn user_of(db: &Connection, email: Option<&str>) -> Result<Option<i64>> {
    let sql = "SELECT id FROM users WHERE email IN (?1, ?2, ?3) ORDER BY id LIMIT 1";
    let Some(email) = email else { return Ok(None) };
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(email::spellings(email))?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
}

//! Live updates: a stream of the changes in a workspace and of the calls that ring, as Server-Sent Events (HTML Living
//! Standard, 9.2).
//!
//! The source of changes is the audit log, so a stream can resume after any entry. Ringing calls are in memory and are
//! not repeated, except those of the last seconds to a new stream. `server/event_streams.rs` sends the events.

use http::HeaderName;
use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::recorded;
use super::users::CallPops;
use crate::api::field::{Field, labelled};
use crate::api::{
    Ctx, Error, EventPosition, EventStream, Input, Needs, Ok200, Operation, ParameterIn, Request, Resource, Result,
    Route, get, run,
};
use crate::auth::{Identity, Permissions, Principal};
use crate::tenancy::RingingCall;
use crate::tenancy::ringing_calls::REMEMBERED;
use crate::values::Timestamp;

pub const RESOURCE: Resource =
    Resource::new("Events", "Changes in the workspace and ringing calls, as they happen.", ROUTES)
        .french("Événements")
        .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("calls", "Calls", "Appels"),
    labelled("ring", "Number of the call", "Numéro de l’appel"),
    labelled("at", "Time", "Date et heure"),
    labelled("number", "Caller", "Appelant"),
    labelled("contact_id", "Contact", "Contact"),
    labelled("agent_extension", "Extension", "Poste"),
    labelled("queue", "Queue", "File d’attente"),
    labelled("did", "Dialled number", "Numéro composé"),
];

const ROUTES: &[Route] = &[
    get("/events", &run(open), Needs::Principal, "Stream changes and ringing calls as Server-Sent Events")
        .named("streamEvents"),
    get(
        "/ringing-calls",
        &run(ringing_calls),
        Needs::Permission(SEES_CALLERS),
        "List the calls that a PBX looked up in the last five minutes, newest first",
    )
    .named("listRingingCalls"),
];

/// The permission to see who calls.
const SEES_CALLERS: &str = "contact.view";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Maximum number of missed entries that a stream sends.
pub const MOST_MISSED: u16 = 500;

/// The calls that rang in the last five minutes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RingingCalls {
    /// The calls, newest first.
    calls: Vec<RingEvent>,
}

/// A call that rings.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RingingCall")]
pub struct RingEvent {
    /// Number of the call. It grows with time and starts again with the server.
    ring: u64,
    /// Time of the look-up (UTC).
    at: Timestamp,
    /// Number of the caller, as the PBX sent it.
    number: String,
    /// Id of the contact that matches best. Null if there is none.
    contact_id: Option<i64>,
    /// Extension of the agent whose phone rings. Null if the PBX did not send it.
    agent_extension: Option<String>,
    /// Name or number of the call queue. Null if the PBX did not send it.
    queue: Option<String>,
    /// Number that was called. Null if the PBX did not send it.
    did: Option<String>,
}

/// A ringing call, as a stream sends it.
#[derive(Debug, Serialize)]
pub struct RingForCaller {
    #[serde(flatten)]
    call: RingEvent,
    /// Whether the call pops up for the caller. Always true for a program.
    pops: bool,
}

/// A change, without any value.
#[derive(Debug, Serialize)]
pub struct ChangeEvent {
    #[serde(skip)]
    pub id: i64,
    at: Timestamp,
    resource: String,
    resource_id: Option<i64>,
    action: String,
}

/// The entry of the audit log after which the stream begins.
pub struct LastEventId(Option<i64>);

impl Input for LastEventId {
    fn read(request: &Request) -> Result<Self> {
        let Some(value) = request.headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else {
            return Ok(Self(None));
        };
        let id = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|id| *id >= 0);
        id.map(|id| Self(Some(id))).ok_or_else(|| Error::invalid("The last event id must be an integer."))
    }

    fn describe(operation: &mut Operation<'_>) {
        let about = "Id of the last event that was received. The stream resumes after it, with at most 500 missed \
                     changes; if more were missed, with the event `reset`.";
        operation.parameter(ParameterIn::Header, "Last-Event-ID", about, false, json!({"type": "integer"}));
    }
}

pub fn open(ctx: &mut Ctx<'_>, LastEventId(after): LastEventId) -> Result<EventStream> {
    let newest = newest_entry(ctx.db)?;
    Ok(EventStream(EventPosition { after: after.unwrap_or(newest), newest }))
}

fn ringing_calls(ctx: &mut Ctx<'_>) -> Result<Ok200<RingingCalls>> {
    let workspace = ctx.request.workspace()?.id();
    let calls = ctx.request.instance.node.ringing_calls.recent(workspace, REMEMBERED, ctx.now);
    Ok(Ok200(RingingCalls { calls: calls.iter().rev().map(RingEvent::of).collect() }))
}

/// The id of the newest entry of the audit log; 0 if there is none.
pub fn newest_entry(db: &Connection) -> Result<i64> {
    let sql = "SELECT coalesce(max(id), 0) FROM audit_log";
    Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// The first entries after this one, oldest first: one more than a stream sends, if there are more.
pub fn changes_after(db: &Connection, id: i64) -> Result<Vec<ChangeEvent>> {
    let sql = "SELECT id, at, resource, resource_id, action FROM audit_log WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let changes = statement.query_map((id, MOST_MISSED + 1), |row| {
        Ok(ChangeEvent {
            id: row.get(0)?,
            at: row.get(1)?,
            resource: row.get(2)?,
            resource_id: row.get(3)?,
            action: row.get(4)?,
        })
    })?;
    Ok(changes.collect::<rusqlite::Result<_>>()?)
}

impl RingEvent {
    pub fn of(call: &RingingCall) -> Self {
        let RingingCall { id, at, number, customer_id: _, contact_id, target } = call.clone();
        Self {
            ring: id,
            at,
            number,
            contact_id,
            agent_extension: target.agent_extension,
            queue: target.queue,
            did: target.did,
        }
    }
}

/// The caller of a stream: the events that it may see.
pub struct StreamAudience {
    permissions: Permissions,
    /// The only customer whose calls the caller hears of. An entry of the audit log names no customer, so such a caller
    /// sees no change.
    customer_id: Option<i64>,
    /// `None` for a program, which sees every call.
    person: Option<CallsOfPerson>,
}

/// The calls that pop up for a person.
struct CallsOfPerson {
    email: String,
    extension: Option<String>,
    pops: CallPops,
}

impl StreamAudience {
    pub fn of(db: &Connection, principal: &Principal) -> Result<Self> {
        let person = match principal.actor {
            Identity::User { id, .. } => db
                .prepare_cached("SELECT email, extension, pops FROM users WHERE id = ?1")?
                .query_row([id], |row| {
                    Ok(CallsOfPerson { email: row.get(0)?, extension: row.get(1)?, pops: row.get(2)? })
                })
                .optional()?,
            _ => None,
        };
        Ok(Self { permissions: principal.permissions.clone(), customer_id: principal.customer_id, person })
    }

    pub fn sees(&self, change: &ChangeEvent) -> bool {
        if self.customer_id.is_some() {
            return false;
        }
        match recorded().find(|recorded| recorded.name == change.resource) {
            Some(recorded) => recorded.view.is_none_or(|needed| self.permissions.grants(needed)),
            // Recorded by a later version: only for callers who may do everything.
            None => self.permissions.grants("*"),
        }
    }

    /// The call as the caller may see it. `None`, if the caller may not see who calls.
    pub fn ring(&self, call: &RingingCall) -> Option<RingForCaller> {
        let is_of_customer = self.customer_id.is_none() || self.customer_id == call.customer_id;
        let is_seen = is_of_customer && self.permissions.grants(SEES_CALLERS);
        is_seen.then(|| RingForCaller { call: RingEvent::of(call), pops: self.pops(call) })
    }

    /// A call that rings at one agent's phone pops up for that agent alone. Other calls pop up for everybody who wants all
    /// calls.
    fn pops(&self, call: &RingingCall) -> bool {
        let Some(person) = &self.person else { return true };
        let is_mine = match (&call.target.agent_extension, &call.target.agent_email) {
            (None, None) => None,
            (extension, email) => Some(
                (extension.is_some() && *extension == person.extension)
                    || email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(&person.email)),
            ),
        };
        match person.pops {
            CallPops::NONE => false,
            CallPops::ALL => is_mine != Some(false),
            _ => is_mine == Some(true),
        }
    }
}

#[cfg(test)]
mod tests;

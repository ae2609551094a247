//! Phone calls: the journal of calls, written by telephone systems and by users.
//!
//! A call belongs to the customer of its contact at the time of the call. It stays when the contact, customer or user
//! is deleted. If the contact moves to another customer, its calls do not move.
//!
//! Summaries of calls are in `phone_calls/summary.rs`.

mod summary;

use rusqlite::{Connection, OptionalExtension};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::api::crud::{create, export, import, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, action};
use crate::api::resource_view::{ChartView, ResourceView, Shortcut, Widget, group, label, list_link, quick_filter};
use crate::api::{CallerScope, Error, Given, Needs, Result, Route, delete, get, long_running, placed, post, put, run};
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::PhoneText;
use crate::values::{Seconds, Text, Timestamp, WebUrl, choice};

pub const RESOURCE: Resource = Resource::new("Phone calls", "The journal of phone calls.", ROUTES)
    .french("Appels")
    .permissions(&PERMISSIONS)
    .entity::<PhoneCall>()
    .files::<PhoneCall>()
    .more_fields(&[FIELDS])
    .samples(r#"{"direction": "outbound"}"#, r#"{"status": "missed"}"#)
    .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("by", "By", "Par"),
    labelled("by_direction", "By direction", "Par sens"),
    labelled("by_status", "By outcome", "Par résultat"),
    labelled("missed", "Missed", "Manqués"),
    labelled("not_called_back", "Not called back", "Non rappelés"),
    labelled("mean_duration_s", "Mean duration (s)", "Durée moyenne (s)"),
    labelled("groups", "Groups", "Groupes"),
];

const VIEW: ResourceView = ResourceView {
    title: &["subject", "number_from"],
    columns: &["started_at", "contact_id", "status", "direction", "number_from", "number_to", "agent_name"],
    groups: &[
        group(
            "Call",
            "Appel",
            &["direction", "status", "answered", "number_from", "number_to", "started_at", "ended_at", "duration_s"],
        ),
        group(
            "Who",
            "Interlocuteurs",
            &["contact_id", "customer_id", "user_id", "agent_name", "agent_extension", "queue"],
        ),
        group("Notes", "Notes", &["subject", "body"]),
        group("Recording", "Enregistrement", &["recording_url", "summary", "transcription"]),
    ],
    widgets: &[
        ("number_from", Widget::Phone),
        ("number_to", Widget::Phone),
        ("contact_id", Widget::Link("/contacts")),
        ("customer_id", Widget::Link("/customers")),
        ("user_id", Widget::Link("/users")),
        ("duration_s", Widget::Seconds),
        ("body", Widget::Lines),
        ("recording_url", Widget::Url),
        ("summary", Widget::Lines),
        ("transcription", Widget::Lines),
    ],
    help: &[(
        "customer_id",
        label(
            "With a contact, the customer is that of the contact.",
            "Avec un contact, le client est celui du contact.",
        ),
    )],
    quick_filters: &[
        quick_filter("Today", "Aujourd’hui", "filter[started_at][on]={today}"),
        quick_filter("Missed", "Manqués", "filter[status]=missed"),
        quick_filter(
            "Not called back",
            "Non rappelés",
            "filter[direction]=inbound&filter[status]=missed&filter[called_back]=0",
        ),
        quick_filter("Inbound", "Entrants", "filter[direction]=inbound"),
        quick_filter("Outbound", "Sortants", "filter[direction]=outbound"),
        quick_filter("Voicemail", "Messages vocaux", "filter[status]=voicemail"),
    ],
    chart: Some(ChartView { summary: "/phone-calls/summary", moment: "started_at" }),
    shortcuts: &[
        Shortcut {
            label: label("Create contact", "Créer un contact"),
            path: "/contacts",
            fields: &[("phone_mobile_1", "number_from"), ("customer_id", "customer_id")],
            only_if: &[("direction", "inbound"), ("contact_id", "")],
        },
        Shortcut {
            label: label("Create contact", "Créer un contact"),
            path: "/contacts",
            fields: &[("phone_mobile_1", "number_to"), ("customer_id", "customer_id")],
            only_if: &[("direction", "outbound"), ("contact_id", "")],
        },
    ],
    list_links: &[list_link("Calls now", "Appels en cours", "/ui/phone-calls/now", "contact.view")],
    purpose: label(
        "The journal of calls. Your phone system fills it when it is connected.",
        "Le journal des appels. Votre standard le remplit dès qu’il est connecté.",
    ),
    singular: label("call", "un appel"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "phone-call",
    actions: &[
        action("view", "see phone calls", "voir les appels", MANAGER_AND_AGENT),
        action("create", "record phone calls", "enregistrer des appels", MANAGER_AND_AGENT),
        action("update", "change phone calls", "modifier les appels", MANAGER_AND_AGENT),
        action("delete", "delete phone calls", "supprimer des appels", MANAGER),
    ],
};

const ROUTES: &[Route] = &[
    get("/phone-calls", &run(list::<PhoneCall>), Needs::Scoped("phone-call.view"), "List phone calls, newest first"),
    get(
        "/phone-calls/export",
        &run(export::<PhoneCall>),
        Needs::Scoped("phone-call.view"),
        "Export phone calls as JSON or CSV",
    ),
    get(
        "/phone-calls/summary",
        &run(summary::show),
        Needs::Scoped("phone-call.view"),
        "Summarize phone calls of a period, in total and by hour, day, agent or queue",
    )
    .named("summarizePhoneCalls"),
    get("/phone-calls/{id}", &run(show::<PhoneCall>), Needs::Scoped("phone-call.view"), "Show a phone call"),
    post("/phone-calls", &run(create::<PhoneCall>), Needs::Scoped("phone-call.create"), "Record a phone call"),
    post(
        "/phone-calls/import",
        &long_running(import::<PhoneCall>),
        Needs::Scoped("phone-call.create"),
        "Import phone calls from JSON or CSV",
    ),
    put("/phone-calls/{id}", &run(update::<PhoneCall>), Needs::Scoped("phone-call.update"), "Change a phone call"),
    delete("/phone-calls/{id}", &run(remove::<PhoneCall>), Needs::Scoped("phone-call.delete"), "Delete a phone call"),
];

choice! {
    /// The direction of a call.
    #[derive(Default)]
    Direction { INBOUND = "inbound", OUTBOUND = "outbound" }
}

choice! {
    /// The outcome of a call.
    Status {
        COMPLETED = "completed", MISSED = "missed", NO_ANSWER = "no_answer", BUSY = "busy", REJECTED = "rejected",
        VOICEMAIL = "voicemail", FAILED = "failed",
    }
}

entity! {
    /// A phone call in the journal.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct PhoneCall in "phone_calls" {
        /// Direction of the call, as seen from the workspace.
        pub direction: Direction => choice(Direction::WORDS), "Direction", "Sens";
        /// Outcome. `completed`: answered. `missed`: an inbound call that nobody took. `no_answer`: an outbound call that
        /// nobody took. `busy`, `rejected`: the called side was busy or rejected the call. `voicemail`: a message was left.
        /// `failed`: the call was not connected.
        pub status: Status => choice(Status::WORDS), "Outcome", "Résultat";
        /// Whether the call was answered. While it is not set, it is true if the status is `completed`.
        #[schemars(schema_with = "answered_schema")]
        pub answered: Option<bool> => flag, "Answered", "Répondu";
        /// Number of the caller, stored as typed. Filters match it in any format.
        #[schemars(example = &"+33612345678")]
        pub number_from: PhoneText => phone, "Caller", "Appelant";
        /// Number that was called, stored as typed.
        pub number_to: PhoneText => phone, "Called number", "Numéro appelé";
        /// Extension of the agent.
        #[schemars(example = &"101")]
        pub agent_extension: Option<Text<32>> => text, "Extension", "Poste";
        /// Name of the agent.
        pub agent_name: Option<Text<255>> => text.searched(), "Agent", "Agent";
        /// Name of the call queue.
        pub queue: Option<Text<255>> => text.searched(), "Queue", "File d’attente";
        /// Id of the contact. Null if unknown, or if the contact was deleted.
        #[serde(deserialize_with = "crate::values::nullable_id")]
        pub contact_id: Option<i64> => integer, "Contact", "Contact";
        /// Id of the customer. With a contact it is the contact's customer at that time, whatever the request says. Without
        /// a contact it can be set.
        #[serde(deserialize_with = "crate::values::nullable_id")]
        pub customer_id: Option<i64> => integer, "Customer", "Client";
        /// Id of the user who took or placed the call.
        #[serde(deserialize_with = "crate::values::nullable_id")]
        pub user_id: Option<i64> => integer, "User", "Utilisateur";
        /// Subject of the call.
        #[schemars(example = &"Delivery")]
        pub subject: Option<Text<255>> => text.searched(), "Subject", "Objet";
        /// Notes on the call. At most 10,000 characters.
        pub body: Option<Text<10000>> => text.searched(), "Text", "Texte";
        /// Start of the call (UTC). Defaults to `ended_at - duration_s`, else to the time of recording.
        #[schemars(schema_with = "started_schema")]
        pub started_at: Option<Timestamp> => moment.sorted(), "Start", "Début";
        /// End of the call (UTC). Not before `started_at`.
        pub ended_at: Option<Timestamp> => moment.sorted(), "End", "Fin";
        /// Duration in seconds. While it is not set, it is `ended_at - started_at`.
        pub duration_s: Option<Seconds> => integer.sorted(), "Duration (s)", "Durée (s)";
        /// URL of the recording.
        pub recording_url: Option<WebUrl> => text, "Recording", "Enregistrement";
        /// Transcription of the call. At most 100,000 characters.
        pub transcription: Option<Text<100000>> => text.searched(), "Transcription", "Transcription";
        /// Summary of the call. At most 10,000 characters.
        pub summary: Option<Text<10000>> => text.searched(), "Summary", "Résumé";
    }
    recorded: &Recorded::announced("phone-call", "phone-call.view"), permissions: "phone-call", scope: CallerScope;
    customer: customer_id;
    phones: [number_from, number_to];
    list: { newest_first: true, has_row_count: true };
    also: [
        flag(summary::CALLED_BACK).named("called_back").label("Called back", "Rappelé"),
        any_phone("phone", "phone_calls"),
        term("phone_calls_fts"),
    ];
    computed: party = "phone_key(
        iif(:direction = 'inbound', :number_from, :number_to),
        (SELECT value FROM settings WHERE name = 'default_country')
    )";
}

/// The customer of a contact. A caller bound to a customer must be able to see the contact.
fn customer_of(db: &Connection, contact_id: i64, bound_to: Option<i64>) -> Result<Option<i64>> {
    let customer: Option<Option<i64>> = db
        .prepare_cached("SELECT customer_id FROM contacts WHERE id = ?1")?
        .query_row([contact_id], |row| row.get(0))
        .optional()?;
    let seen = |customer: &Option<i64>| bound_to.is_none() || *customer == bound_to;
    customer.filter(seen).ok_or_else(|| Error::invalid("The selected contact id is invalid."))
}

impl Entity for PhoneCall {
    /// The call of a contact belongs to the contact's customer, as of the time at which the contact was set. A file may name
    /// another one: the contact may have moved since.
    fn prepare(&mut self, db: &Connection, old: Option<&Self>, given: &Given<'_>) -> Result<()> {
        let unchanged = old.filter(|old| self.contact_id.is_some() && self.contact_id == old.contact_id);
        let is_named = given.is_import && (given.names)("customer_id");
        self.customer_id = match (unchanged, self.contact_id) {
            (Some(old), _) if !given.is_import => old.customer_id,
            (None, Some(contact)) => {
                let of_contact = customer_of(db, contact, given.customer)?;
                if is_named { placed(self.customer_id, given.customer)? } else { of_contact }
            }
            _ => placed(self.customer_id, given.customer)?,
        };
        match old {
            Some(old) => self.follow(old, given.names),
            None => Ok(()),
        }
    }

    fn check(&mut self, db: &Connection, _: Option<&Self>) -> Result<()> {
        self.complete()?;
        self.check_references(db)
    }
}

impl Editable for PhoneCall {}

impl PhoneCall {
    fn was_completed(&self) -> bool {
        self.status == Status::COMPLETED
    }

    /// The time from start to end, if both are known.
    fn elapsed(&self) -> Result<Option<Seconds>> {
        let (Some(started), Some(ended)) = (self.started_at, self.ended_at) else { return Ok(None) };
        if ended < started {
            return Err(Error::invalid("The ended at may not be before the started at."));
        }
        let seconds = Seconds::new(ended.seconds() - started.seconds());
        seconds.map(Some).map_err(|said| Error::invalid(format!("The duration s {said}")))
    }

    /// Applies a change to an old call. Values that were derived from other fields are derived again. Values that were
    /// set stay.
    fn follow(&mut self, old: &Self, names: &dyn Fn(&str) -> bool) -> Result<()> {
        self.started_at = self.started_at.or(old.started_at);
        if !names("answered") && old.answered == Some(old.was_completed()) {
            self.answered = None;
        }
        if !names("duration_s") && old.duration_s == old.elapsed()? {
            self.duration_s = None;
        }
        Ok(())
    }

    /// Sets the missing fields that can be derived from the others.
    fn complete(&mut self) -> Result<()> {
        let recorded = self.created_at;
        let before_its_end = |ended: Timestamp| ended.plus(-self.duration_s.map_or(0, Seconds::get));
        let ended = self.ended_at.filter(|ended| *ended < recorded);
        self.started_at = self.started_at.or(Some(ended.map_or(recorded, before_its_end)));
        self.answered = self.answered.or(Some(self.was_completed()));
        let measured = self.elapsed()?;
        self.duration_s = self.duration_s.or(measured);
        Ok(())
    }

    fn check_references(&self, db: &Connection) -> Result<()> {
        let mut unknown = Vec::new();
        for (id, sql, sentence) in [
            (self.customer_id, "SELECT 1 FROM customers WHERE id = ?1", "The selected customer id is invalid."),
            (self.user_id, "SELECT 1 FROM users WHERE id = ?1", "The selected user id is invalid."),
        ] {
            if id.is_some() && !db.prepare_cached(sql)?.exists([id])? {
                unknown.push(sentence.to_owned());
            }
        }
        if unknown.is_empty() { Ok(()) } else { Err(Error::sentences(unknown)) }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::COMPLETED
    }
}

fn answered_schema(generator: &mut SchemaGenerator) -> Schema {
    told_schema::<bool>(generator)
}

fn started_schema(generator: &mut SchemaGenerator) -> Schema {
    told_schema::<Timestamp>(generator)
}

/// The schema of a field that is optional in requests and always present in responses.
fn told_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    if generator.contract().is_deserialize() {
        generator.subschema_for::<Option<T>>()
    } else {
        generator.subschema_for::<T>()
    }
}

#[cfg(test)]
mod tests;

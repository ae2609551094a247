//! Phone calls: the journal of calls, written by telephone systems and by users.
//!
//! A call belongs to the customer of its contact at the time of the call. It stays when the contact, customer or user
//! is deleted. If the contact moves to another customer, its calls do not move.

use rusqlite::{Connection, OptionalExtension};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::api::crud::{create, export, import, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, action};
use crate::api::{CallerScope, Error, Given, Needs, Result, Route, bulk, delete, get, placed, post, put, run};
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::Typed;
use crate::values::{Seconds, Text, Timestamp, WebUrl, choice};

pub const RESOURCE: Resource = Resource::new("Phone calls", "The journal of phone calls.", ROUTES)
    .french("Appels")
    .permissions(&PERMISSIONS)
    .entity::<PhoneCall>()
    .files::<PhoneCall>()
    .samples(r#"{"direction": "outbound"}"#, r#"{"status": "missed"}"#);

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
    get("/phone-calls/{id}", &run(show::<PhoneCall>), Needs::Scoped("phone-call.view"), "Show a phone call"),
    post("/phone-calls", &run(create::<PhoneCall>), Needs::Scoped("phone-call.create"), "Record a phone call"),
    post(
        "/phone-calls/import",
        &bulk(import::<PhoneCall>),
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
        pub number_from: Typed => phone, "Caller", "Appelant";
        /// Number that was called, stored as typed.
        pub number_to: Typed => phone, "Called number", "Numéro appelé";
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
    list: { newest_first: true, counted_by_triggers: true };
    also: [any_phone("phone", "phone_calls"), term("phone_calls_fts")];
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
    fn measured(&self) -> Result<Option<Seconds>> {
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
        if !names("duration_s") && old.duration_s == old.measured()? {
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
        let measured = self.measured()?;
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
        if unknown.is_empty() { Ok(()) } else { Err(Error::Invalid(unknown)) }
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
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Answer, Bench, Client};

    /// Creates a customer and a contact of it.
    fn customer_and_contact(bench: &Bench) -> (i64, i64) {
        let customer = bench.admin().post("/customers", json!({"name": "Ada"})).created()["id"].as_i64().unwrap();
        let contact = json!({"last_name": "B", "customer_id": customer});
        (customer, bench.admin().post("/contacts", contact).created()["id"].as_i64().unwrap())
    }

    fn record(client: &Client<'_>, body: Value) -> Answer {
        let mut call = json!({"direction": "inbound"});
        call.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        client.post("/phone-calls", call)
    }

    fn ids(answer: &Answer) -> Vec<i64> {
        answer.ok()["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }

    #[test]
    fn a_call_is_answered_whole_and_kept_as_it_was_sent() {
        let bench = Bench::new();
        let (customer, contact) = customer_and_contact(&bench);
        let sent = json!({
            "direction": "outbound", "status": "voicemail", "answered": true, "number_from": "01 42 00 00 00",
            "number_to": "+49 30 123456", "agent_extension": "204", "agent_name": "Zoé Lefèvre", "queue": "Support",
            "contact_id": contact, "customer_id": customer, "user_id": 1, "subject": "Devis", "body": "Rappeler",
            "started_at": "2024-01-19T09:00:00Z", "ended_at": "2024-01-19T09:02:00Z", "duration_s": 95,
            "recording_url": "https://pbx.example.com/7.wav", "transcription": "Bonjour", "summary": "Un devis",
        });
        let made = bench.admin().post("/phone-calls", sent.clone()).created();
        for (field, value) in sent.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        // All sent fields, and the three that the server sets.
        assert_eq!(made.as_object().unwrap().len(), sent.as_object().unwrap().len() + 3);
        assert_eq!(bench.admin().get("/phone-calls/1").ok(), made);
        assert_eq!(bench.admin().get("/phone-calls").ok()["data"][0], made);

        let changed = bench.admin().put("/phone-calls/1", json!({"subject": "Facture", "queue": null})).created();
        assert_eq!((&changed["subject"], &changed["queue"]), (&json!("Facture"), &Value::Null));
        assert_eq!((&changed["duration_s"], &changed["answered"]), (&json!(95), &json!(true)));
        assert_eq!(bench.admin().get("/phone-calls/1").ok(), changed);
        assert_eq!(bench.admin().delete("/phone-calls/1").ok(), json!({"response": "ok"}));
        bench.admin().get("/phone-calls/1").refused(404, "not_found");
    }

    #[test]
    fn only_the_direction_must_be_said() {
        let bench = Bench::new();
        bench.admin().post("/phone-calls", json!({})).invalid(&["The direction field is required."]);
        let made = record(&bench.admin(), json!({})).created();
        assert_eq!((&made["status"], &made["answered"]), (&json!("completed"), &json!(true)));
        assert_eq!(made["started_at"], made["created_at"]);
        for (field, value) in made.as_object().unwrap() {
            let said = ["id", "direction", "status", "answered", "started_at", "created_at", "updated_at"];
            assert!(said.contains(&field.as_str()) || value.is_null(), "{field}");
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let bench = Bench::new();
        let too_long = i64::from(i32::MAX) + 1;
        for (body, says) in [
            (json!({"direction": "sideways"}), "The selected direction is invalid."),
            (json!({"direction": null}), "The direction field is required."),
            (json!({"direction": ""}), "The direction field is required."),
            (json!({"status": "ringing"}), "The selected status is invalid."),
            (json!({"status": 1}), "The status must be a string."),
            (json!({"answered": "yes"}), "The answered must be true or false."),
            (json!({"number_from": 33142000000_i64}), "The number from must be a string."),
            (json!({"contact_id": 7}), "The selected contact id is invalid."),
            (json!({"customer_id": 7}), "The selected customer id is invalid."),
            (json!({"user_id": 7}), "The selected user id is invalid."),
            (json!({"user_id": "me"}), "The user id must be an integer."),
            (json!({"started_at": "soon"}), "The started at must be a valid date and time, like 2024-01-20T12:00:00Z."),
            (
                json!({"started_at": "2024-01-19T09:00:00Z", "ended_at": "2024-01-19T08:59:59Z"}),
                "The ended at may not be before the started at.",
            ),
            (
                json!({"started_at": "1900-01-01T00:00:00Z", "ended_at": "2024-01-01T00:00:00Z"}),
                "The duration s may not be greater than 2147483647.",
            ),
            (json!({"duration_s": -1}), "The duration s must be at least 0."),
            (json!({"duration_s": too_long}), "The duration s may not be greater than 2147483647."),
            (json!({"duration_s": 1.5}), "The duration s must be an integer."),
            (json!({"recording_url": "ftp://pbx/7.wav"}), "The recording url must be an absolute http or https URL."),
            (
                json!({"recording_url": "javascript:alert(1)"}),
                "The recording url must be an absolute http or https URL.",
            ),
        ] {
            record(&bench.admin(), body.clone()).invalid(&[says]);
            record(&bench.admin(), json!({})).created();
            let made = bench.admin().get("/phone-calls").ok()["data"][0].clone();
            bench.admin().put(&format!("/phone-calls/{}", made["id"]), body).invalid(&[says]);
            assert_eq!(bench.admin().get(&format!("/phone-calls/{}", made["id"])).ok(), made);
        }
        record(&bench.admin(), json!({"customer_id": 7, "user_id": 7}))
            .invalid(&["The selected customer id is invalid.", "The selected user id is invalid."]);
    }

    #[test]
    fn what_a_call_says_of_its_times_tells_the_rest() {
        let bench = Bench::new();
        let times = |call: &Value| [call["started_at"].clone(), call["ended_at"].clone(), call["duration_s"].clone()];
        let (nine, two_past) = ("2024-01-19T09:00:00Z", "2024-01-19T09:02:00Z");
        let made = record(&bench.admin(), json!({"started_at": nine, "ended_at": two_past})).created();
        assert_eq!(times(&made), [json!(nine), json!(two_past), json!(120)]);
        let made = record(&bench.admin(), json!({"ended_at": two_past, "duration_s": 120})).created();
        assert_eq!(times(&made), [json!(nine), json!(two_past), json!(120)]);
        let made = record(&bench.admin(), json!({"ended_at": two_past})).created();
        assert_eq!(times(&made), [json!(two_past), json!(two_past), json!(0)]);
        let made = record(&bench.admin(), json!({"started_at": nine, "duration_s": 5})).created();
        assert_eq!(times(&made), [json!(nine), Value::Null, json!(5)]);
        // A call at the limit of the calendar is recorded too.
        record(&bench.admin(), json!({"ended_at": "-009999-01-03T00:00:00Z", "duration_s": 2_000_000_000})).created();
    }

    #[test]
    fn what_was_told_from_the_rest_follows_it_and_what_was_said_stays() {
        let bench = Bench::new();
        let change = |body: Value| bench.admin().put("/phone-calls/1", body).created();
        let begun = record(&bench.admin(), json!({"started_at": "2024-01-19T09:00:00Z"})).created();
        assert_eq!(begun["duration_s"], Value::Null);
        assert_eq!(change(json!({"ended_at": "2024-01-19T09:01:00Z"}))["duration_s"], 60);
        assert_eq!(change(json!({"started_at": "2024-01-19T09:00:30Z"}))["duration_s"], 30);
        assert_eq!(change(json!({"started_at": null}))["started_at"], "2024-01-19T09:00:30Z");
        assert_eq!(change(json!({"duration_s": 25}))["duration_s"], 25);
        assert_eq!(change(json!({"ended_at": "2024-01-19T09:02:00Z"}))["duration_s"], 25);
        assert_eq!(change(json!({"duration_s": null}))["duration_s"], 90);
        assert_eq!(change(json!({"ended_at": null}))["duration_s"], Value::Null);

        assert_eq!(change(json!({"status": "missed"}))["answered"], false);
        assert_eq!(change(json!({"status": "completed"}))["answered"], true);
        assert_eq!(change(json!({"status": "voicemail", "answered": true}))["answered"], true);
        assert_eq!(change(json!({"status": "busy"}))["answered"], true);
        assert_eq!(change(json!({"answered": null}))["answered"], false);
    }

    #[test]
    fn a_call_is_of_the_customer_its_contact_had_then() {
        let bench = Bench::new();
        let (first, contact) = customer_and_contact(&bench);
        let (second, other) = customer_and_contact(&bench);
        let made = record(&bench.admin(), json!({"contact_id": contact, "customer_id": second})).created();
        assert_eq!(made["customer_id"], first, "the contact's, whatever is sent");
        let change = |body: Value| bench.admin().put("/phone-calls/1", body).created()["customer_id"].clone();
        assert_eq!(change(json!({"customer_id": second})), first);

        bench.admin().put(&format!("/contacts/{contact}"), json!({"customer_id": second})).created();
        assert_eq!(bench.admin().get("/phone-calls/1").ok()["customer_id"], first);
        assert_eq!(change(json!({"subject": "s", "contact_id": contact})), first);
        assert_eq!(record(&bench.admin(), json!({"contact_id": contact})).created()["customer_id"], second);

        assert_eq!(change(json!({"contact_id": other})), second);
        assert_eq!(change(json!({"contact_id": null})), second);
        assert_eq!(change(json!({"customer_id": first})), first);
        assert_eq!(change(json!({"customer_id": null})), Value::Null);
        let nobodys = bench.admin().post("/contacts", json!({"last_name": "N"})).created()["id"].clone();
        let made = record(&bench.admin(), json!({"contact_id": nobodys, "customer_id": first})).created();
        assert_eq!(made["customer_id"], Value::Null);
    }

    #[test]
    fn the_journal_outlives_whom_it_is_about() {
        let bench = Bench::new();
        let (customer, contact) = customer_and_contact(&bench);
        let (kept, second) = customer_and_contact(&bench);
        let user = bench.join_acme("leaver@example.com", "agent");
        record(&bench.admin(), json!({"contact_id": contact, "user_id": user})).created();
        record(&bench.admin(), json!({"contact_id": second})).created();
        let of = |id: i64| {
            let call = bench.admin().get(&format!("/phone-calls/{id}")).ok();
            [call["contact_id"].as_i64(), call["customer_id"].as_i64(), call["user_id"].as_i64()]
        };
        bench.admin().delete(&format!("/users/{user}")).ok();
        assert_eq!(of(1), [Some(contact), Some(customer), None]);
        bench.admin().delete(&format!("/contacts/{second}")).ok();
        assert_eq!(of(2), [None, Some(kept), None]);

        bench.admin().delete(&format!("/customers/{customer}")).refused(422, "customer_has_contacts");
        let bound = bench.key(&["*"], Some(kept));
        bench.admin().delete(&format!("/customers/{customer}?cascade=1")).ok();
        assert_eq!(of(1), [None, None, None]);
        assert_eq!(ids(&bound.get("/phone-calls")), [2], "what has become nobody's is no other customer's");
        bound.get("/phone-calls/1").refused(404, "not_found");
        // Calls do not prevent the deletion of their customer.
        bench.admin().delete(&format!("/customers/{kept}")).ok();
        assert_eq!((of(2), ids(&bench.admin().get("/phone-calls"))), ([None, None, None], vec![2, 1]));
    }

    #[test]
    fn a_customers_key_sees_and_changes_that_customers_calls_alone() {
        let bench = Bench::new();
        let (own, contact) = customer_and_contact(&bench);
        let (others, foreign) = customer_and_contact(&bench);
        let nobodys = bench.admin().post("/contacts", json!({"last_name": "N"})).created()["id"].clone();
        record(&bench.admin(), json!({"contact_id": foreign})).created();
        record(&bench.admin(), json!({})).created();
        let key = bench.key(&["phone-call.*"], Some(own));
        assert_eq!(record(&key, json!({})).created()["customer_id"], own);
        assert_eq!(record(&key, json!({"contact_id": contact})).created()["customer_id"], own);
        record(&key, json!({"customer_id": others})).refused(403, "forbidden");
        for contact in [json!(foreign), nobodys, json!(99)] {
            record(&key, json!({"contact_id": contact})).invalid(&["The selected contact id is invalid."]);
            key.put("/phone-calls/3", json!({"contact_id": contact})).invalid(&["The selected contact id is invalid."]);
        }
        key.put("/phone-calls/3", json!({"customer_id": others})).refused(403, "forbidden");
        assert_eq!(key.put("/phone-calls/3", json!({"customer_id": null})).created()["customer_id"], own);
        assert_eq!(key.put("/phone-calls/4", json!({"contact_id": null})).created()["customer_id"], own);
        for id in [1, 2] {
            key.get(&format!("/phone-calls/{id}")).refused(404, "not_found");
            key.put(&format!("/phone-calls/{id}"), json!({"subject": "mine"})).refused(404, "not_found");
            key.delete(&format!("/phone-calls/{id}")).refused(404, "not_found");
        }
        assert_eq!(ids(&key.get("/phone-calls")), [4, 3]);
        assert_eq!(ids(&key.get(&format!("/phone-calls?filter[customer_id]={others}"))), [0_i64; 0]);
        key.delete("/phone-calls/3").ok();
        assert_eq!(
            (key.get("/phone-calls").ok()["total"].clone(), ids(&bench.admin().get("/phone-calls"))),
            (json!(1), vec![4, 2, 1])
        );
    }

    #[test]
    fn an_agent_records_and_changes_and_does_not_delete() {
        let bench = Bench::new();
        let agent = bench.with_role("agent");
        record(&agent, json!({})).created();
        agent.put("/phone-calls/1", json!({"subject": "s"})).created();
        agent.delete("/phone-calls/1").refused(403, "missing_permission");
        bench.with_role("manager").delete("/phone-calls/1").ok();
    }

    #[test]
    fn every_filter_selects_and_every_order_orders() {
        let bench = Bench::new();
        let (customer, contact) = customer_and_contact(&bench);
        let admin = bench.admin();
        record(&admin, json!({
            "number_from": "01 42 00 00 00", "number_to": "204", "contact_id": contact, "user_id": 1, "agent_extension": "204",
            "agent_name": "Zoé Lefèvre", "queue": "Ventes", "subject": "Devis", "body": "Rappeler demain",
            "started_at": "2024-01-18T09:00:00Z", "ended_at": "2024-01-18T09:10:00Z", "summary": "Prix",
            "recording_url": "https://pbx.example.com/1.wav", "transcription": "Bonjour",
        }))
        .created();
        record(
            &admin,
            json!({
                "direction": "outbound", "status": "no_answer", "number_to": "+49 30 123456",
                "started_at": "2024-01-16T09:00:00Z", "ended_at": "2024-01-19T09:00:00Z", "duration_s": 7,
            }),
        )
        .created();
        record(&admin, json!({"number_to": "+33142000000", "started_at": "2024-01-17T22:59:59Z"})).created();
        for (query, expected) in [
            ("", vec![3, 2, 1]),
            ("filter[direction]=outbound", vec![2]),
            ("filter[status]=completed", vec![3, 1]),
            ("filter[answered]=0", vec![2]),
            ("filter[answered]=true", vec![3, 1]),
            ("filter[phone]=0033142000000", vec![3, 1]),
            ("filter[phone]=01.42.00.00.00", vec![3, 1]),
            ("filter[phone]=030123456", vec![]),
            ("filter[phone]=004930123456", vec![2]),
            ("filter[phone]=204", vec![1]),
            ("filter[number_from]=42", vec![1]),
            ("filter[number_to]=%2B", vec![3, 2]),
            ("filter[agent_extension]=204", vec![1]),
            ("filter[agent_name]=lefevre", vec![1]),
            ("filter[queue]=VENTE", vec![1]),
            (&format!("filter[contact_id]={contact}"), vec![1]),
            (&format!("filter[customer_id]={customer}"), vec![1]),
            ("filter[user_id]=1", vec![1]),
            ("filter[subject]=devis", vec![1]),
            ("filter[body]=demain", vec![1]),
            ("filter[started_at]=2024-01-17", vec![3]),
            ("filter[started_at][gte]=2024-01-17&filter[started_at][lte]=2024-01-18", vec![3, 1]),
            ("filter[ended_at][gte]=2024-01-18T09:10:01Z", vec![2]),
            ("filter[duration_s]=600", vec![1]),
            ("filter[recording_url]=1.wav", vec![1]),
            ("filter[transcription]=bonjour", vec![1]),
            ("filter[summary]=prix", vec![1]),
            ("filter[created_at]=2001-01-01", vec![]),
            ("filter[updated_at][gte]=2024-01-20", vec![3, 2, 1]),
            ("filter[term]=zoe%20dev", vec![1]),
            ("filter[term]=bonj%20prix%20rappeler%20ventes", vec![1]),
            ("filter[term]=martin", vec![]),
            ("filter[direction]=inbound&filter[answered]=1&filter[phone]=0142000000", vec![3, 1]),
            ("sort=started_at", vec![2, 3, 1]),
            ("sort=-started_at", vec![1, 3, 2]),
            ("sort=-duration_s", vec![1, 2, 3]),
            ("sort=ended_at", vec![3, 1, 2]),
            ("sort=id", vec![1, 2, 3]),
            ("sort=created_at", vec![1, 2, 3]),
            ("sort=-updated_at,-id", vec![3, 2, 1]),
        ] {
            assert_eq!(ids(&admin.get(&format!("/phone-calls?{query}"))), expected, "{query}");
        }
        for query in ["filter[direction]=up", "filter[status]=ringing", "filter[contact_id]=x", "sort=subject"] {
            assert_eq!(admin.get(&format!("/phone-calls?{query}")).status, 400, "{query}");
        }
    }

    #[test]
    fn the_indexes_follow_what_is_changed_and_deleted() {
        let bench = Bench::new();
        let admin = bench.admin();
        record(&admin, json!({"number_from": "0142000000", "subject": "Devis"})).created();
        let found = |query: &str| admin.get(&format!("/phone-calls?{query}")).ok()["total"].clone();
        admin.put("/phone-calls/1", json!({"number_from": "0143000000", "subject": "Facture"})).created();
        for (query, many) in [
            ("filter[phone]=0142000000", 0),
            ("filter[phone]=0143000000", 1),
            ("filter[term]=devis", 0),
            ("filter[term]=fact", 1),
            ("", 1),
        ] {
            assert_eq!(found(query), many, "{query}");
        }
        admin.delete("/phone-calls/1").ok();
        for query in ["filter[phone]=0143000000", "filter[term]=fact", ""] {
            assert_eq!(found(query), 0, "{query}");
        }
        let left = "SELECT count(*) FROM phone_numbers";
        assert_eq!(bench.in_file(move |db| Ok(db.query_row(left, [], |row| row.get::<_, i64>(0))?)), 0);
    }

    /// With a million calls, the newest page and the calls of a time, contact, customer or user need no scan.
    #[test]
    fn what_people_look_for_is_found_by_an_index() {
        let bench = Bench::new();
        for (tail, index) in [
            ("ORDER BY id DESC LIMIT 20", "SCAN phone_calls"),
            ("ORDER BY started_at DESC, id DESC LIMIT 20", "phone_calls_started"),
            ("WHERE customer_id = 1 ORDER BY id DESC LIMIT 20", "phone_calls_customer"),
            ("WHERE contact_id = 1 ORDER BY id DESC LIMIT 20", "phone_calls_contact"),
            ("WHERE user_id = 1 ORDER BY id DESC LIMIT 20", "phone_calls_user"),
        ] {
            let plan = bench.in_file(move |db| {
                let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM phone_calls {tail}");
                let steps =
                    db.prepare(&sql)?.query_map([], |row| row.get::<_, String>(3))?.collect::<Result<Vec<_>, _>>()?;
                Ok(steps.join("; "))
            });
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{tail}: {plan}");
        }
    }
    #[test]
    fn an_imported_call_is_of_whom_the_file_says_else_of_its_contact() {
        let bench = Bench::new();
        let (own, contact) = customer_and_contact(&bench);
        let (other, _) = customer_and_contact(&bench);
        let call = |fields: Value| {
            let mut call = json!({"direction": "inbound", "contact_id": contact});
            call.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            call
        };
        let rows = json!([call(json!({})), call(json!({"customer_id": other})), call(json!({"customer_id": null}))]);
        bench.admin().post("/phone-calls/import", rows).created();
        let customers = || {
            let rows = bench.admin().get("/phone-calls/export").ok();
            rows.as_array().unwrap().iter().map(|row| row["customer_id"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(customers(), [json!(own), json!(other), json!(own)]);
        let bad = json!([call(json!({"customer_id": 9, "user_id": 9})), call(json!({"contact_id": 9}))]);
        bench.admin().post("/phone-calls/import", bad).invalid(&[
            "row 1: The selected customer id is invalid. The selected user id is invalid.",
            "row 2: The selected contact id is invalid.",
        ]);
        // Omitted fields keep their values, including those derived from an omitted contact.
        let upsert = json!([{"id": 2, "subject": "Devis"}, {"id": 3, "contact_id": contact}]);
        bench.admin().post("/phone-calls/import?mode=upsert", upsert).created();
        assert_eq!(customers(), [json!(own), json!(other), json!(own)]);
    }

    #[test]
    fn what_was_told_from_the_rest_follows_an_imported_change_too() {
        let bench = Bench::new();
        let (nine, two_past) = ("2024-01-19T09:00:00Z", "2024-01-19T09:02:00Z");
        record(&bench.admin(), json!({"started_at": nine, "ended_at": two_past})).created();
        let upsert = |row: Value| bench.admin().post("/phone-calls/import?mode=upsert", json!([row]));
        upsert(json!({"id": 1, "status": "missed", "ended_at": nine})).created();
        let changed = bench.admin().get("/phone-calls/1").ok();
        assert_eq!((&changed["answered"], &changed["duration_s"]), (&json!(false), &json!(0)));
        let backwards = upsert(json!({"id": 1, "started_at": two_past}));
        backwards.invalid(&["row 1: The ended at may not be before the started at."]);
    }
}

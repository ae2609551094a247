//! The call journal for PBXs: a call that a PBX reports is stored as a phone call like any other.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pbx_values::{OrBlank, PbxDuration, PbxId, PbxTime};
use super::{CustomerFilter, caller_lookup, check_logging, contact_of, external_ids, user_of};
use crate::api::{CallerScope, Changes, Ctx, CustomerOwned, Error, Id, Json, Query, Result, Saved, crud, entity_rows};
use crate::storage::Stored;
use crate::tenancy::phones::{self, PhoneText};
use crate::values::{Seconds, Text, Timestamp, WebUrl, choice, phone};
use crate::workspace::phone_calls::{Direction, PhoneCall, Status};

choice! {
    /// The direction and outcome of a call, in the words of a PBX.
    CallType { INBOUND = "Inbound", OUTBOUND = "Outbound", MISSED = "Missed", NOT_ANSWERED = "Notanswered" }
}

/// A phone call as a PBX reports it. Every field may be empty. A repeat does not clear fields: an empty one keeps the
/// stored value.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("examples" = [{"call_type": "Inbound", "number": "+33612345678", "agent_extension": "101", "duration_s": 95, "external_id": "call-4711"}]))]
pub struct JournalledCall {
    /// `Inbound` and `Outbound` were answered, `Missed` is an inbound and `Notanswered` an outbound call that was not.
    /// Either this or `direction` is required.
    call_type: OrBlank<CallType>,
    /// Direction of the call, as seen from the workspace.
    direction: OrBlank<Direction>,
    /// Number of the other party, in any format, or a SIP address. If a SIP address is too long, only its user part is
    /// stored.
    #[schemars(example = &"+33612345678")]
    number: OrBlank<Text<255>>,
    /// Own number that was called, or that the call was placed from.
    did: OrBlank<Text<255>>,
    /// Caller name that the PBX shows. It becomes the subject if `subject` is empty.
    name: OrBlank<Text<255>>,
    /// Extension of the agent.
    #[schemars(example = &"101")]
    agent_extension: OrBlank<Text<32>>,
    /// Name of the agent.
    agent_name: OrBlank<Text<255>>,
    /// Email address of the user who took or placed the call.
    agent_email: OrBlank<Text<255>>,
    /// Name of the call queue.
    queue: OrBlank<Text<255>>,
    /// Id of an existing contact. `0`: none.
    contact_id: OrBlank<PbxId>,
    /// Id of the contact as the look-up returned it. If neither this nor `contact_id` names a contact, the best match
    /// for the number is used.
    entity_id: OrBlank<Text<255>>,
    /// Start of the call. UTC if it has no time zone.
    started_at: OrBlank<PbxTime>,
    /// End of the call. UTC if it has no time zone.
    ended_at: OrBlank<PbxTime>,
    /// Duration: seconds (`95`) or a clock (`00:01:35`).
    duration_s: OrBlank<PbxDuration>,
    /// URL of the recording.
    recording_url: OrBlank<WebUrl>,
    /// Subject of the call.
    subject: OrBlank<Text<255>>,
    /// Notes on the call. At most 10,000 characters.
    body: OrBlank<Text<10000>>,
    /// Id of the call in the PBX. A request with a known id updates that call.
    #[schemars(example = &"call-4711")]
    external_id: OrBlank<Text<255>>,
}

/// The journalled phone call.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallJournalled {
    /// Always `ok`.
    response: &'static str,
    /// The phone call as stored.
    phone_call: PhoneCall,
}

pub fn journal(
    ctx: &mut Ctx<'_>,
    Json(said): Json<JournalledCall>,
    Query(whose): Query<CustomerFilter>,
) -> Result<Saved<CallJournalled>> {
    check_logging(ctx.db)?;
    let customer = whose.customer(ctx)?;
    let external_id = said.external_id.value().cloned();
    let old = find(ctx.db, customer, external_id.as_deref())?;
    let blank = PhoneCall { customer_id: customer, created_at: ctx.now, ..PhoneCall::default() };
    let new = said.apply_to(ctx, customer, old.clone().unwrap_or(blank))?;
    let phone_call = match old {
        Some(old) => entity_rows::rewrite(ctx.db, &ctx.recorder()?, &old, new)?,
        None => entity_rows::add(ctx.db, &ctx.recorder()?, new)?,
    };
    external_ids::save(ctx.db, TABLE, customer, external_id.as_deref(), phone_call.id)?;
    Ok(Saved(CallJournalled { response: "ok", phone_call }))
}

pub fn update(
    ctx: &mut Ctx<'_>,
    Id(id): Id,
    changes: Changes<PhoneCall>,
    Query(whose): Query<CustomerFilter>,
) -> Result<Saved<CallJournalled>> {
    let customer = whose.customer(ctx)?;
    PhoneCall::find(ctx.db, id)?.filter(|call| call.is_visible_to(customer)).ok_or_else(Error::not_found)?;
    let Saved(phone_call) = crud::update(ctx, CallerScope, Id(id), changes)?;
    Ok(Saved(CallJournalled { response: "ok", phone_call }))
}

const TABLE: &str = "phone_calls";

/// The call with this external id, if it still belongs to the customer of the PBX.
fn find(db: &Connection, customer: Option<i64>, external_id: Option<&str>) -> Result<Option<PhoneCall>> {
    let Some(id) = external_ids::find(db, TABLE, customer, external_id)? else { return Ok(None) };
    Ok(PhoneCall::find(db, id)?.filter(|call| call.is_visible_to(customer)))
}

impl JournalledCall {
    /// Applies the reported values to a stored or new call.
    fn apply_to(self, ctx: &Ctx<'_>, customer: Option<i64>, old: PhoneCall) -> Result<PhoneCall> {
        let is_new = old.id == 0;
        let (direction, status) = self.direction_and_status(&old, is_new)?;
        let contact_id = self.contact(ctx.db, customer, &old)?;
        let customer_id = match contact_id {
            Some(contact) if contact_id != old.contact_id => super::customer_of(ctx.db, contact)?,
            _ => old.customer_id,
        };
        let user_id = user_of(ctx.db, self.agent_email.value().map(|email| &**email))?.or(old.user_id);
        let (theirs, ours) = (journal_number("number", self.number)?, journal_number("did", self.did)?);
        let (from, to) = if direction == Direction::INBOUND { (theirs, ours) } else { (ours, theirs) };
        let said = |moment: &OrBlank<PbxTime>| moment.value().map(|moment| moment.timestamp());
        let times = (said(&self.started_at), said(&self.ended_at));
        let took = self.duration_s.value().map(|took| took.seconds());
        let started_at = times.0.or(old.started_at);
        let ended_at = times.1.or_else(|| end(started_at, took)).or(old.ended_at);
        // A derived duration follows the new times.
        let duration_s = if times == (None, None) { took.or(old.duration_s) } else { took };
        Ok(PhoneCall {
            direction,
            status,
            answered: None,
            number_from: from.or(old.number_from),
            number_to: to.or(old.number_to),
            agent_extension: self.agent_extension.or(old.agent_extension),
            agent_name: self.agent_name.or(old.agent_name),
            queue: self.queue.or(old.queue),
            contact_id,
            customer_id,
            user_id,
            subject: self.subject.or(old.subject).or(self.name.or(None)),
            body: self.body.or(old.body),
            started_at,
            ended_at,
            duration_s,
            recording_url: self.recording_url.or(old.recording_url),
            updated_at: ctx.now,
            ..old
        })
    }

    /// The direction and the outcome.
    fn direction_and_status(&self, old: &PhoneCall, is_new: bool) -> Result<(Direction, Status)> {
        let by_type = self.call_type.value().map(|call_type| match *call_type {
            CallType::OUTBOUND => (Direction::OUTBOUND, Status::COMPLETED),
            CallType::NOT_ANSWERED => (Direction::OUTBOUND, Status::NO_ANSWER),
            CallType::MISSED => (Direction::INBOUND, Status::MISSED),
            _ => (Direction::INBOUND, Status::COMPLETED),
        });
        match (by_type, self.direction.value().copied()) {
            (Some((by_type, _)), Some(direction)) if by_type != direction => {
                Err(Error::invalid("The call type and the direction contradict each other."))
            }
            (Some(course), _) => Ok(course),
            (None, Some(direction)) => Ok((direction, old.status)),
            (None, None) if is_new => {
                Err(Error::invalid("The direction field is required when call type is not present."))
            }
            (None, None) => Ok((old.direction, old.status)),
        }
    }

    fn contact(&self, db: &Connection, customer: Option<i64>, old: &PhoneCall) -> Result<Option<i64>> {
        let named = self.contact_id.value().and_then(|named| named.id());
        let entity = self.entity_id.value().map(|entity| &**entity);
        // A repeat does not look up the contact again: a user may have corrected it.
        let number = self.number.value().filter(|_| old.contact_id.is_none()).map(|number| &**number);
        let by = caller_lookup::CallerCriteria { phone: number, email: None, country: phones::default_country(db)? };
        Ok(contact_of(db, customer, named, entity, &by)?.or(old.contact_id))
    }
}

/// A number as stored: as sent, or without host and parameters if it is a long SIP address.
fn journal_number(field: &str, number: OrBlank<Text<255>>) -> Result<PhoneText> {
    let Some(number) = number.or(None) else { return Ok(None) };
    let short = Text::parse(number.to_string()).or_else(|_| Text::parse(phone::uri_user(&number)));
    short.map(Some).map_err(|says| Error::invalid(format!("The {field} {says}")))
}

fn end(started_at: Option<Timestamp>, took: Option<Seconds>) -> Option<Timestamp> {
    started_at.zip(took).map(|(started, took)| started.plus(took.get()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{TestClient, TestResponse, TestServer};

    fn pbx(server: &TestServer) -> TestClient<'_> {
        server.key(&["crm.lookup"], None)
    }

    fn journal(client: &TestClient<'_>, said: Value) -> TestResponse {
        client.post("/crm/lookup/phone-calls", said)
    }

    fn made(client: &TestClient<'_>, said: Value) -> Value {
        let answer = journal(client, said).created();
        assert_eq!(answer["response"], "ok");
        answer["phone_call"].clone()
    }

    /// Creates a customer with this account and a contact with this number. Returns both ids.
    fn customer(server: &TestServer, account: &str, number: &str) -> (i64, i64) {
        let body = json!({"name": account, "customer_account": account});
        let customer = server.admin().post("/customers", body).created()["id"].as_i64().unwrap();
        let contact = json!({"last_name": "B", "customer_id": customer, "phone_business_1": number});
        (customer, server.admin().post("/contacts", contact).created()["id"].as_i64().unwrap())
    }

    #[test]
    fn a_call_is_kept_with_all_that_is_said() {
        let server = TestServer::new();
        let (customer, contact) = customer(&server, "A", "01 42 00 00 00");
        let said = json!({
            "call_type": "Inbound", "direction": "inbound", "number": "+33142000000", "did": "01 43 00 00 00",
            "name": "Zoé", "agent_extension": "204", "agent_name": "Ada L", "agent_email": "OWNER@example.com",
            "contact_id": contact, "entity_id": "1", "queue": "800", "started_at": "2024-01-19T09:00:00Z",
            "ended_at": "2024-01-19T09:02:00Z", "duration_s": 95, "recording_url": "https://pbx.example.com/7.wav",
            "subject": "Devis", "body": "Rappeler", "external_id": "7",
        });
        let call = made(&pbx(&server), said);
        let kept = json!({
            "direction": "inbound", "status": "completed", "answered": true, "number_from": "+33142000000",
            "number_to": "01 43 00 00 00", "agent_extension": "204", "agent_name": "Ada L", "user_id": 1, "queue": "800",
            "contact_id": contact, "customer_id": customer, "started_at": "2024-01-19T09:00:00Z",
            "ended_at": "2024-01-19T09:02:00Z", "duration_s": 95, "recording_url": "https://pbx.example.com/7.wav",
            "subject": "Devis", "body": "Rappeler",
        });
        for (field, value) in kept.as_object().unwrap() {
            assert_eq!(&call[field], value, "{field}");
        }
        assert_eq!(server.admin().get("/phone-calls/1").ok(), call);
        assert_eq!(server.admin().get("/phone-calls?filter[phone]=0142000000").ok()["data"][0], call);
        assert_eq!(server.admin().get("/audit-log?filter[action]=phone-call.created").ok()["total"], 1);
    }

    #[test]
    fn a_type_says_which_way_a_call_went_and_what_came_of_it() {
        let server = TestServer::new();
        for (call_type, direction, status, answered) in [
            ("Inbound", "inbound", "completed", true),
            ("Outbound", "outbound", "completed", true),
            ("Missed", "inbound", "missed", false),
            ("Notanswered", "outbound", "no_answer", false),
        ] {
            let call =
                made(&pbx(&server), json!({"call_type": call_type, "number": "0142000000", "did": "0143000000"}));
            assert_eq!(
                (&call["direction"], &call["status"], &call["answered"]),
                (&json!(direction), &json!(status), &json!(answered))
            );
            let theirs = if direction == "inbound" { "number_from" } else { "number_to" };
            assert_eq!(call[theirs], "0142000000", "{call_type}");
        }
        assert_eq!(made(&pbx(&server), json!({"direction": "outbound"}))["status"], "completed");
    }

    #[test]
    fn what_is_no_call_is_refused_and_not_kept() {
        let server = TestServer::new();
        for (said, says) in [
            (json!({}), "The direction field is required when call type is not present."),
            (
                json!({"call_type": "", "direction": null}),
                "The direction field is required when call type is not present.",
            ),
            (json!({"call_type": "inbound"}), "The selected call type is invalid."),
            (
                json!({"call_type": "Missed", "direction": "outbound"}),
                "The call type and the direction contradict each other.",
            ),
            (json!({"call_type": "Missed", "contact_id": 9}), "The selected contact id is invalid."),
            (json!({"call_type": "Missed", "contact_id": "x"}), "The contact id must be an integer."),
            (
                json!({"call_type": "Missed", "started_at": "soon"}),
                "The started at must be a valid date and time, like 2024-01-20T12:00:00Z.",
            ),
            (
                json!({"call_type": "Missed", "duration_s": "long"}),
                "The duration s must be seconds, or hours, minutes and seconds, like 00:01:35.",
            ),
            (
                json!({"call_type": "Missed", "started_at": "2024-01-19T09:00:00Z", "ended_at": "2024-01-19T08:00:00Z"}),
                "The ended at may not be before the started at.",
            ),
        ] {
            journal(&pbx(&server), said).invalid(&[says]);
        }
        assert_eq!(server.admin().get("/phone-calls").ok()["total"], 0);
    }

    #[test]
    fn what_is_blank_is_not_said() {
        let server = TestServer::new();
        let blank = json!({"call_type": "Missed", "direction": "", "number": "", "did": "", "name": "", "agent_extension": "",
            "agent_name": " ", "agent_email": "", "contact_id": "", "entity_id": "", "queue": "", "started_at": "",
            "ended_at": "", "duration_s": "", "recording_url": "", "subject": "", "body": "", "external_id": ""});
        let call = made(&pbx(&server), blank);
        for field in
            ["number_from", "agent_name", "contact_id", "user_id", "queue", "ended_at", "recording_url", "subject"]
        {
            assert_eq!(call[field], Value::Null, "{field}");
        }
        assert_eq!(call["started_at"], call["created_at"]);
    }

    #[test]
    fn the_contact_is_the_one_that_is_named_else_who_has_the_number() {
        let server = TestServer::new();
        let (_, first) = customer(&server, "A", "0142000000");
        let (_, second) = customer(&server, "B", "0143000000");
        let contact = |said: Value| {
            let mut call = json!({"call_type": "Inbound", "number": "+33142000000"});
            call.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
            made(&pbx(&server), call)["contact_id"].as_i64()
        };
        assert_eq!(contact(json!({})), Some(first));
        assert_eq!(contact(json!({"contact_id": second})), Some(second));
        assert_eq!(contact(json!({"entity_id": second.to_string()})), Some(second));
        // A deleted contact, an id of another system, and the id of an unknown caller.
        for entity in ["99", "lead-7", "0"] {
            assert_eq!(contact(json!({"entity_id": entity, "contact_id": "0"})), Some(first), "{entity}");
        }
        assert_eq!(contact(json!({"number": "0149000000"})), None);
    }

    #[test]
    fn a_sip_address_is_of_the_number_in_it_and_of_no_other() {
        let server = TestServer::new();
        let (_, by_address) = customer(&server, "A", "01 92 16 81 20");
        let (_, by_number) = customer(&server, "B", "0142000017");
        let contact = |number: &str| {
            let call =
                made(&pbx(&server), json!({"call_type": "Inbound", "number": number, "agent_extension": "[Agent]"}));
            assert_eq!(call["agent_extension"], Value::Null);
            (call["contact_id"].as_i64(), call["number_from"].as_str().map(str::to_owned))
        };
        let kept = |number: &str| Some(number.to_owned());
        assert_eq!(contact("sip:anonymous@192.168.1.20"), (None, kept("sip:anonymous@192.168.1.20")));
        assert_eq!(contact("0192168120").0, Some(by_address));
        assert_eq!(contact("+33142000017@10.0.0.1").0, Some(by_number));
        let long = "\"Jean 75\" <sip:+33142000017@10.0.0.1;user=phone;transport=tls>";
        assert_eq!(contact(long), (Some(by_number), kept("+33142000017")));
        assert_eq!(contact("[Number]"), (None, None));
    }

    #[test]
    fn who_is_not_known_is_named_in_the_subject() {
        let server = TestServer::new();
        assert_eq!(made(&pbx(&server), json!({"call_type": "Missed", "name": "Ada"}))["subject"], "Ada");
    }

    #[test]
    fn times_are_read_as_a_pbx_writes_them_and_tell_the_rest() {
        let server = TestServer::new();
        let times = |said: Value| {
            let call = made(&pbx(&server), said);
            [call["started_at"].clone(), call["ended_at"].clone(), call["duration_s"].clone()]
        };
        let told = [json!("2024-01-19T09:00:00Z"), json!("2024-01-19T09:01:35Z"), json!(95)];
        for said in [
            json!({"call_type": "Inbound", "started_at": "01/19/2024 09:00:00", "duration_s": "00:01:35"}),
            json!({"call_type": "Inbound", "started_at": "2024-01-19T10:00:00+01:00", "ended_at": "2024-01-19 09:01:35"}),
        ] {
            assert_eq!(times(said), told);
        }
    }

    #[test]
    fn a_repeat_updates_and_never_doubles() {
        let server = TestServer::new();
        let pbx = pbx(&server);
        let first = made(
            &pbx,
            json!({"call_type": "Missed", "number": "0142000000", "external_id": "7", "agent_extension": "204",
                                      "started_at": "2024-01-19T09:00:00Z", "ended_at": "2024-01-19T09:00:10Z"}),
        );
        let again = made(
            &pbx,
            json!({"call_type": "Inbound", "external_id": "7", "ended_at": "2024-01-19T09:05:00Z", "body": "Talked"}),
        );
        assert_eq!((&again["id"], &again["created_at"]), (&first["id"], &first["created_at"]));
        assert_eq!(
            (&again["status"], &again["answered"], &again["duration_s"]),
            (&json!("completed"), &json!(true), &json!(300))
        );
        assert_eq!((&again["number_from"], &again["agent_extension"]), (&json!("0142000000"), &json!("204")));
        assert_eq!(made(&pbx, json!({"external_id": "7"}))["body"], "Talked");
        assert_ne!(made(&pbx, json!({"call_type": "Missed", "external_id": "8"}))["id"], first["id"]);
        assert_eq!(server.admin().get("/phone-calls").ok()["total"], 2);

        // External ids are per customer: the same id from another PBX is another call. The id of a deleted call is
        // forgotten.
        let (customer, _) = customer(&server, "A", "0143000000");
        let bound = server.key(&["crm.lookup"], Some(customer));
        let theirs = made(&bound, json!({"call_type": "Missed", "external_id": "7"}));
        assert_ne!(theirs["id"], first["id"]);
        assert_eq!(theirs["customer_id"].as_i64(), Some(customer));
        server.admin().delete(&format!("/phone-calls/{}", first["id"])).ok();
        let names: Vec<(i64, String)> = server.in_file(|db| {
            let mut names = db.prepare("SELECT customer_id, external_id FROM external_ids ORDER BY 1, 2")?;
            Ok(names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?)
        });
        assert_eq!(names, [(0, "8".to_owned()), (customer, "7".to_owned())]);
        journal(&pbx, json!({"external_id": "7"}))
            .invalid(&["The direction field is required when call type is not present."]);
    }

    #[test]
    fn a_repeat_leaves_a_contact_that_somebody_has_put_right() {
        let server = TestServer::new();
        let ((_, first), (customer, second)) =
            (customer(&server, "A", "0142000000"), customer(&server, "B", "0143000000"));
        let call = json!({"call_type": "Missed", "number": "0142000000", "external_id": "7"});
        assert_eq!(made(&pbx(&server), call.clone())["contact_id"].as_i64(), Some(first));
        server.admin().put("/phone-calls/1", json!({"contact_id": second})).created();
        let again = made(&pbx(&server), call);
        assert_eq!((again["contact_id"].as_i64(), again["customer_id"].as_i64()), (Some(second), Some(customer)));
    }

    #[test]
    fn a_call_that_was_given_to_another_customer_is_out_of_reach() {
        let server = TestServer::new();
        let ((own, _), (other, _)) = (customer(&server, "A", "0142000000"), customer(&server, "B", "0143000000"));
        let bound = server.key(&["crm.lookup"], Some(own));
        let call = made(&bound, json!({"call_type": "Missed", "external_id": "7"}));
        let path = format!("/phone-calls/{}", call["id"]);
        let moved = server.admin().put(&path, json!({"customer_id": other})).created();
        assert_ne!(made(&bound, json!({"call_type": "Inbound", "external_id": "7"}))["id"], call["id"]);
        assert_eq!(server.admin().get(&path).ok(), moved);
    }

    #[test]
    fn a_pbx_sees_and_changes_its_customers_calls_alone() {
        let server = TestServer::new();
        let ((own, mine), (_, theirs)) = (customer(&server, "A", "0142000000"), customer(&server, "B", "0142000000"));
        let bound = server.key(&["crm.lookup"], Some(own));
        let call = made(&bound, json!({"call_type": "Missed", "number": "0142000000"}));
        assert_eq!((call["customer_id"].as_i64(), call["contact_id"].as_i64()), (Some(own), Some(mine)));
        let foreign = journal(&bound, json!({"call_type": "Missed", "contact_id": theirs}));
        foreign.invalid(&["The selected contact id is invalid."]);
        let told = made(&bound, json!({"call_type": "Outbound", "entity_id": theirs.to_string()}));
        assert_eq!((told["customer_id"].as_i64(), &told["contact_id"]), (Some(own), &Value::Null));
        server.admin().delete(&format!("/phone-calls/{}", told["id"])).ok();
        let other = made(&pbx(&server), json!({"call_type": "Outbound", "contact_id": theirs}));
        let total = |client: &TestClient<'_>, query: &str| {
            client.get(&format!("/crm/lookup/phone-calls?{query}")).ok()["total"].clone()
        };
        for query in ["", "customer_account=A", "filter[phone]=%2B33142000000", "filter[direction]=inbound"] {
            assert_eq!(total(&bound, query), 1, "{query}");
        }
        assert_eq!((total(&pbx(&server), ""), total(&pbx(&server), "customer_account=B")), (json!(2), json!(1)));
        assert_eq!(pbx(&server).get("/crm/lookup/phone-calls").ok()["data"][0]["id"], other["id"]);

        let path = |call: &Value, query: &str| format!("/crm/lookup/phone-calls/{}{query}", call["id"]);
        let changed = bound.put(&path(&call, ""), json!({"subject": "Devis", "status": "voicemail"})).created();
        assert_eq!((&changed["response"], &changed["phone_call"]["status"]), (&json!("ok"), &json!("voicemail")));
        bound.put(&path(&other, ""), json!({"subject": "X"})).rejected(404, "not_found");
        pbx(&server).put(&path(&other, "?customer_account=A"), json!({"subject": "X"})).rejected(404, "not_found");
        pbx(&server).put(&path(&other, "?customer_account=B"), json!({"subject": "X"})).created();
        bound.get("/phone-calls").rejected(403, "missing_permission");
    }

    #[test]
    fn a_workspace_that_journals_nothing_says_so() {
        let server = TestServer::new();
        server.admin().put("/settings", json!({"features": {"call_logging": false}})).created();
        journal(&pbx(&server), json!({"call_type": "Missed"})).rejected(422, "call_logging_off");
        pbx(&server).post("/crm/lookup/chats", json!({})).rejected(422, "call_logging_off");
        assert_eq!(server.admin().get("/phone-calls").ok()["total"], 0);
    }
}

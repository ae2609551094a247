//! Chats: the chat journal for PBXs.
//!
//! Like a phone call, a chat belongs to the customer of its contact at the time, and stays when the contact is deleted.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pbx_values::{OrBlank, PbxDuration, PbxId, PbxTime};
use super::{CustomerFilter, NEEDS, caller_lookup, check_logging, contact_of, external_ids, list, user_of};
use crate::api::entity::{Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, group, label, quick_filter};
use crate::api::{
    CallerScope, Ctx, CustomerOwned, Error, Json, Query, Result, Route, Saved, entity_rows, get, post, run,
};
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones;
use crate::values::{Text, Timestamp};

pub const RESOURCE: Resource = Resource::new("Chats", "The journal of chats, written by PBXs.", ROUTES)
    .french("Discussions")
    .entity::<Chat>()
    .more_fields(&[FIELDS])
    .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("agent_email", "Agent’s email", "E-mail de l’agent"),
    labelled("entity_id", "Contact of the look-up", "Contact de la recherche"),
    labelled("duration_s", "Length", "Durée"),
    labelled("external_id", "Identifier in the phone system", "Identifiant dans le standard"),
    labelled("chat", "Chat", "Discussion"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name", "number"],
    columns: &["started_at", "name", "number", "contact_id", "agent_name", "queue", "subject"],
    groups: &[
        group("Chat", "Discussion", &["name", "number", "email", "started_at", "ended_at", "subject", "body"]),
        group(
            "Who",
            "Interlocuteurs",
            &["contact_id", "customer_id", "user_id", "agent_name", "agent_extension", "queue"],
        ),
    ],
    widgets: &[
        ("number", Widget::Phone),
        ("email", Widget::Email),
        ("contact_id", Widget::Link("/contacts")),
        ("customer_id", Widget::Link("/customers")),
        ("user_id", Widget::Link("/users")),
        ("body", Widget::Lines),
        ("agent_email", Widget::Hidden),
        ("entity_id", Widget::Hidden),
        ("duration_s", Widget::Hidden),
        ("external_id", Widget::Hidden),
    ],
    quick_filters: &[quick_filter("Today", "Aujourd’hui", "filter[started_at][on]={today}")],
    purpose: label("Chats that your phone system journals.", "Les discussions que votre standard journalise."),
    singular: label("chat", "une discussion"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/crm/lookup/chats", &run(list::<Chat>), NEEDS, "List journalled chats, newest first").named("listChats"),
    post("/crm/lookup/chats", &run(journal), NEEDS, "Journal a chat; a repeat updates it").named("journalChat"),
];

entity! {
    /// A chat in the journal.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
    pub struct Chat in "chats" {
        /// Number of the other party, as sent.
        pub number: Option<Text<255>> => text, "Number", "Numéro";
        /// Email address of the other party.
        pub email: Option<Text<255>> => text, "Email", "E-mail";
        /// Name of the other party that the PBX shows.
        pub name: Option<Text<255>> => text, "Name", "Nom";
        /// Extension of the agent.
        pub agent_extension: Option<Text<32>> => text, "Extension", "Poste";
        /// Name of the agent.
        pub agent_name: Option<Text<255>> => text, "Agent", "Agent";
        /// Name of the call queue.
        pub queue: Option<Text<255>> => text, "Queue", "File d’attente";
        /// Id of the contact. Null if unknown, or if the contact was deleted.
        pub contact_id: Option<i64> => integer, "Contact", "Contact";
        /// Id of the customer: that of the contact at that time, else that of the PBX. Null if there is none.
        pub customer_id: Option<i64> => integer, "Customer", "Client";
        /// Id of the user who responded.
        pub user_id: Option<i64> => integer, "User", "Utilisateur";
        /// Subject of the chat.
        pub subject: Option<Text<255>> => text, "Subject", "Objet";
        /// Text of the chat. At most 100,000 characters.
        pub body: Option<Text<100000>> => text, "Text", "Texte";
        /// Start of the chat (UTC).
        pub started_at: Timestamp => moment.sorted(), "Start", "Début";
        /// End of the chat (UTC).
        pub ended_at: Option<Timestamp> => stored, "End", "Fin";
    }
    recorded: &Recorded::new("chat", Some("contact.view")), permissions: "contact", scope: CallerScope;
    customer: customer_id;
    list: { newest_first: true };
}

impl Entity for Chat {}

/// A chat as a PBX reports it. Every field may be empty. A repeat does not clear fields: an empty one keeps the stored
/// value.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("examples" = [{"number": "+33612345678", "agent_extension": "101", "body": "Where is my parcel?", "external_id": "chat-4711"}]))]
pub struct JournalledChat {
    /// Number of the other party.
    #[schemars(example = &"+33612345678")]
    number: OrBlank<Text<255>>,
    /// Email address of the other party.
    email: OrBlank<Text<255>>,
    /// Name of the other party that the PBX shows.
    name: OrBlank<Text<255>>,
    /// Extension of the agent.
    #[schemars(example = &"101")]
    agent_extension: OrBlank<Text<32>>,
    /// Name of the agent.
    agent_name: OrBlank<Text<255>>,
    /// Email address of the user who responded.
    agent_email: OrBlank<Text<255>>,
    /// Name of the call queue.
    queue: OrBlank<Text<255>>,
    /// Id of an existing contact. `0`: none.
    contact_id: OrBlank<PbxId>,
    /// Id of the contact as the look-up returned it. If neither this nor `contact_id` names a contact, the best match
    /// for the number or email address is used.
    entity_id: OrBlank<Text<255>>,
    /// Subject of the chat.
    subject: OrBlank<Text<255>>,
    /// Text of the chat. At most 100,000 characters.
    body: OrBlank<Text<100000>>,
    /// Start of the chat. UTC if it has no time zone. Defaults to the time of the request.
    started_at: OrBlank<PbxTime>,
    /// End of the chat. UTC if it has no time zone.
    ended_at: OrBlank<PbxTime>,
    /// Duration: seconds (`95`) or a clock (`00:01:35`). It sets the end if `ended_at` is empty.
    duration_s: OrBlank<PbxDuration>,
    /// Id of the chat in the PBX. A request with a known id updates that chat.
    #[schemars(example = &"chat-4711")]
    external_id: OrBlank<Text<255>>,
}

/// The journalled chat.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChatJournalled {
    /// Always `ok`.
    response: &'static str,
    /// The chat as stored.
    chat: Chat,
}

fn journal(
    ctx: &mut Ctx<'_>,
    Json(said): Json<JournalledChat>,
    Query(whose): Query<CustomerFilter>,
) -> Result<Saved<ChatJournalled>> {
    check_logging(ctx.db)?;
    let customer = whose.customer(ctx)?;
    let external_id = said.external_id.value().cloned();
    let old = find(ctx.db, customer, external_id.as_deref())?;
    let blank = Chat { customer_id: customer, started_at: ctx.now, created_at: ctx.now, ..Chat::default() };
    let mut chat = said.apply_to(ctx, customer, old.clone().unwrap_or(blank))?;
    match old {
        Some(old) => {
            chat = entity_rows::rewrite(ctx.db, &ctx.recorder()?, &old, chat)?;
        }
        None => {
            chat = entity_rows::add(ctx.db, &ctx.recorder()?, chat)?;
        }
    }
    external_ids::save(ctx.db, TABLE, customer, external_id.as_deref(), chat.id)?;
    Ok(Saved(ChatJournalled { response: "ok", chat }))
}

const TABLE: &str = "chats";

/// The chat with this external id, if it still belongs to the customer of the PBX.
fn find(db: &Connection, customer: Option<i64>, external_id: Option<&str>) -> Result<Option<Chat>> {
    let Some(id) = external_ids::find(db, TABLE, customer, external_id)? else { return Ok(None) };
    Ok(Chat::find(db, id)?.filter(|chat| chat.is_visible_to(customer)))
}

impl JournalledChat {
    /// Applies the reported values to a stored or new chat.
    fn apply_to(self, ctx: &Ctx<'_>, customer: Option<i64>, old: Chat) -> Result<Chat> {
        let contact_id = self.contact(ctx.db, customer, &old)?;
        let customer_id = match contact_id {
            Some(contact) if contact_id != old.contact_id => super::customer_of(ctx.db, contact)?,
            _ => old.customer_id,
        };
        let said = |moment: &OrBlank<PbxTime>| moment.value().map(|moment| moment.timestamp());
        let started_at = said(&self.started_at).unwrap_or(old.started_at);
        let took = self.duration_s.value().map(|took| started_at.plus(took.seconds().get()));
        let ended_at = said(&self.ended_at).or(took).or(old.ended_at);
        if ended_at.is_some_and(|ended| ended < started_at) {
            return Err(Error::invalid("The ended at may not be before the started at."));
        }
        Ok(Chat {
            user_id: user_of(ctx.db, self.agent_email.value().map(|email| &**email))?.or(old.user_id),
            number: self.number.or(old.number),
            email: self.email.or(old.email),
            name: self.name.or(old.name),
            agent_extension: self.agent_extension.or(old.agent_extension),
            agent_name: self.agent_name.or(old.agent_name),
            queue: self.queue.or(old.queue),
            contact_id,
            customer_id,
            subject: self.subject.or(old.subject),
            body: self.body.or(old.body),
            started_at,
            ended_at,
            updated_at: ctx.now,
            ..old
        })
    }

    fn contact(&self, db: &Connection, customer: Option<i64>, old: &Chat) -> Result<Option<i64>> {
        let named = self.contact_id.value().and_then(|named| named.id());
        let entity = self.entity_id.value().map(|entity| &**entity);
        // A repeat does not look up the contact again: a user may have corrected it.
        let said =
            |text: &OrBlank<Text<255>>| text.value().filter(|_| old.contact_id.is_none()).map(ToString::to_string);
        let (phone, email) = (said(&self.number), said(&self.email));
        let by = caller_lookup::CallerCriteria {
            phone: phone.as_deref(),
            email: email.as_deref(),
            country: phones::default_country(db)?,
        };
        Ok(contact_of(db, customer, named, entity, &by)?.or(old.contact_id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{TestClient, TestServer};

    fn made(client: &TestClient<'_>, said: Value) -> Value {
        let answer = client.post("/crm/lookup/chats", said).created();
        assert_eq!(answer["response"], "ok");
        answer["chat"].clone()
    }

    #[test]
    fn a_chat_is_kept_with_all_that_is_said_and_read_again() {
        let server = TestServer::new();
        let customer =
            server.admin().post("/customers", json!({"name": "A", "customer_account": "A"})).created()["id"].clone();
        let contact = json!({"last_name": "B", "customer_id": customer, "email": "zoe@example.com"});
        let contact = server.admin().post("/contacts", contact).created()["id"].clone();
        let said = json!({
            "number": "sip:zoe@example.com", "email": "ZOE@example.com", "name": "Zoé", "agent_extension": "204",
            "agent_name": "Ada L", "agent_email": "owner@example.com", "queue": "800", "subject": "Devis",
            "body": "Bonjour 👋\nOui", "started_at": "2024-01-19T09:00:00Z", "duration_s": "00:01:35",
        });
        let chat = made(&server.key(&["crm.lookup"], None), said.clone());
        for field in
            ["number", "email", "name", "agent_extension", "agent_name", "queue", "subject", "body", "started_at"]
        {
            assert_eq!(chat[field], said[field], "{field}");
        }
        assert_eq!((&chat["contact_id"], &chat["customer_id"], &chat["user_id"]), (&contact, &customer, &json!(1)));
        assert_eq!(chat["ended_at"], "2024-01-19T09:01:35Z");
        let listed = |client: &TestClient<'_>, query: &str| {
            client.get(&format!("/crm/lookup/chats?{query}")).ok()["data"].clone()
        };
        let bound = server.key(&["crm.lookup"], customer.as_i64());
        for query in ["", "filter[email]=zoe", "customer_account=A", "filter[started_at]=2024-01-19"] {
            assert_eq!(listed(&bound, query), json!([chat]), "{query}");
        }
        let other = server.admin().post("/customers", json!({"name": "B"})).created()["id"].as_i64();
        assert_eq!(listed(&server.key(&["crm.lookup"], other), ""), json!([]));
        assert_eq!(server.admin().get("/audit-log?filter[action]=chat.created").ok()["total"], 1);
    }

    #[test]
    fn a_repeat_updates_and_never_doubles() {
        let server = TestServer::new();
        let pbx = server.key(&["crm.lookup"], None);
        let first = made(&pbx, json!({"external_id": "7", "name": "Zoé", "body": "Bonjour"}));
        let again = made(&pbx, json!({"external_id": "7", "body": "Bonjour\nMerci"}));
        assert_eq!(
            (&again["id"], &again["name"], &again["body"]),
            (&first["id"], &json!("Zoé"), &json!("Bonjour\nMerci"))
        );
        assert_ne!(made(&pbx, json!({"body": "Bonjour"}))["id"], first["id"]);
        assert_eq!(pbx.get("/crm/lookup/chats").ok()["total"], 2);
        // A call can have the same external id.
        let call = pbx.post("/crm/lookup/phone-calls", json!({"call_type": "Missed", "external_id": "7"})).created();
        assert_eq!(call["phone_call"]["id"], 1);
    }

    #[test]
    fn a_chat_does_not_end_before_it_begins() {
        let server = TestServer::new();
        let backwards = json!({"started_at": "2024-01-19T09:00:00Z", "ended_at": "2024-01-19T08:00:00Z"});
        let answer = server.key(&["crm.lookup"], None).post("/crm/lookup/chats", backwards);
        answer.invalid(&["The ended at may not be before the started at."]);
    }

    #[test]
    fn a_merged_customers_chats_are_the_others() {
        let server = TestServer::new();
        let customer = |name: &str| server.admin().post("/customers", json!({"name": name})).created()["id"].as_i64();
        let (goes, stays) = (customer("Doubled"), customer("Kept"));
        made(&server.key(&["crm.lookup"], goes), json!({"body": "Bonjour"}));
        server.admin().post(&format!("/customers/{}/merge", goes.unwrap()), json!({"into": stays})).created();
        let chats = server.key(&["crm.lookup"], stays).get("/crm/lookup/chats").ok();
        assert_eq!((&chats["total"], chats["data"][0]["customer_id"].as_i64()), (&json!(1), stays));
    }
}

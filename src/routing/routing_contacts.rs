//! Routing contacts: people with their own destination for calls and mails.

use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::customer_param::CustomerParam;
use super::fields::{self, Chosen};
use super::step::Step;
use crate::api::crud::{create, export, import, list, remove, remove_many, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{
    Ctx, Error, ImportKey, Needs, Ok200, Query, Result, Route, delete, get, long_running, post, put, run,
};
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::{self, PhoneText, list_field};
use crate::values::{Email, Flag, Name, Text, UniqueList, choice, email, phone};

pub const RESOURCE: Resource =
    Resource::new("Routing contacts", "People whose calls and mails have a destination of their own.", ROUTES)
        .french("Contacts de routage")
        .section(Section::Routing)
        .permissions(&PERMISSIONS)
        .entity::<RoutingContact>()
        .files::<RoutingContact>()
        .more_fields(&[FIELDS])
        .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("telecom", "Phone number", "Numéro de téléphone"),
    labelled("email", "Email", "E-mail"),
    labelled("contact", "Contact", "Contact"),
    labelled("destination", "Destination", "Destination"),
    labelled("fields", "Fields", "Champs"),
];

const VIEW: ResourceView = ResourceView {
    title: &["first_name", "last_name", "company"],
    columns: &["last_name", "first_name", "company", "id_code", "telecoms", "telecom_destination"],
    groups: &[
        group("Person", "Identité", &["first_name", "last_name", "company", "id_code", "language_code", "customer_id"]),
        group("Reach", "Coordonnées", &["telecoms", "emails"]),
        group("Destinations", "Destinations", &["telecom_destination", "email_destination"]),
        group("Selections", "Sélections", &["field_select_1", "field_select_2", "field_select_3", "field_select_4"]),
        group("Flags", "Indicateurs", &["field_boolean_1", "field_boolean_2", "field_boolean_3", "field_boolean_4"]),
    ],
    widgets: &[("customer_id", Widget::Link("/customers")), ("telecoms", Widget::List), ("emails", Widget::List)],
    help: &[
        ("telecoms", label("One number per line.", "Un numéro par ligne.")),
        ("emails", label("One address per line.", "Une adresse par ligne.")),
        ("telecom_destination", label("An extension or a number.", "Un poste ou un numéro.")),
    ],
    purpose: label(
        "People whose calls and mails go to a destination of their own.",
        "Les personnes dont les appels et les e-mails ont une destination particulière.",
    ),
    singular: label("routing contact", "un contact de routage"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "routing",
    actions: &[
        action("view", "see call routing", "voir le routage des appels", MANAGER_AND_AGENT),
        action("create", "create call routing", "créer des règles de routage des appels", MANAGER),
        action("update", "change call routing", "modifier le routage des appels", MANAGER),
        action("delete", "delete call routing", "supprimer des règles de routage des appels", MANAGER),
    ],
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/contacts",
        &run(list::<RoutingContact>),
        Needs::Scoped("routing.view"),
        "List routing contacts",
    ),
    get(
        "/smart-routings/contacts/export",
        &run(export::<RoutingContact>),
        Needs::Scoped("routing.view"),
        "Export routing contacts as JSON or CSV",
    ),
    get(
        "/smart-routings/contacts/lookup",
        &run(lookup),
        Needs::Lookup("routing.view"),
        "Look up the destination of a contact's calls or mails",
    )
    .named("lookUpRoutingContact"),
    get(
        "/smart-routings/contacts/{id}",
        &run(show::<RoutingContact>),
        Needs::Scoped("routing.view"),
        "Show a routing contact",
    ),
    post(
        "/smart-routings/contacts",
        &run(create::<RoutingContact>),
        Needs::Scoped("routing.create"),
        "Create a routing contact",
    ),
    post(
        "/smart-routings/contacts/import",
        &long_running(import::<RoutingContact>),
        Needs::Scoped("routing.create"),
        "Import routing contacts from JSON or CSV",
    ),
    put(
        "/smart-routings/contacts/{id}",
        &run(update::<RoutingContact>),
        Needs::Scoped("routing.update"),
        "Change a routing contact",
    ),
    delete(
        "/smart-routings/contacts/bulk",
        &run(remove_many::<RoutingContact>),
        Needs::Scoped("routing.delete"),
        "Delete routing contacts, all or none",
    ),
    delete(
        "/smart-routings/contacts/{id}",
        &run(remove::<RoutingContact>),
        Needs::Scoped("routing.delete"),
        "Delete a routing contact",
    ),
];

entity! {
    /// A person whose calls and mails are routed to a destination of their own.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct RoutingContact in "routing_contacts" {
        /// Id of the customer that owns the routing contact.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Code of the contact in the customer's own system. Unique within the customer.
        #[schemars(example = &"C-1001")]
        pub id_code: Option<Text<64>> => text.sorted().searched(), "Code", "Code";
        /// Language of the contact, for example `fr`.
        pub language_code: Option<Text<16>> => text, "Language", "Langue";
        /// Company of the contact.
        pub company: Option<Text<255>> => text.sorted_by("fold(company)").searched(), "Company", "Société";
        /// First name.
        pub first_name: Option<Text<255>> => text.sorted_by("fold(first_name)").searched(), "First name", "Prénom";
        /// Last name.
        #[schemars(example = &"Martin")]
        pub last_name: Option<Text<255>> => text.sorted_by("fold(last_name)").searched(), "Last name", "Nom";
        /// Email addresses of the contact.
        pub emails: UniqueList<Email> => text.searched(), "Emails", "E-mails";
        /// Phone numbers, stored as typed. A look-up matches them in any format.
        pub telecoms: UniqueList<Name<40>> => phone_numbers("routing_contacts").searched(), "Numbers", "Numéros";
        /// Destination for mails from this contact.
        pub email_destination: Option<Text<255>> => text, "Destination of mails", "Destination des e-mails";
        /// Destination for calls from this contact, for example an extension.
        #[schemars(example = &"801")]
        pub telecom_destination: Option<Text<255>> => text, "Destination of calls", "Destination des appels";
        /// Selected value of the customer's routing field 1 (fields are numbered by id). If that field has options, one of
        /// their values.
        pub field_select_1: Option<Text<255>> => text, "Selection 1", "Sélection 1";
        /// Selected value of the customer's routing field 2 (fields are numbered by id). If that field has options, one of
        /// their values.
        pub field_select_2: Option<Text<255>> => text, "Selection 2", "Sélection 2";
        /// Selected value of the customer's routing field 3 (fields are numbered by id). If that field has options, one of
        /// their values.
        pub field_select_3: Option<Text<255>> => text, "Selection 3", "Sélection 3";
        /// Selected value of the customer's routing field 4 (fields are numbered by id). If that field has options, one of
        /// their values.
        pub field_select_4: Option<Text<255>> => text, "Selection 4", "Sélection 4";
        /// Custom yes/no value 1.
        pub field_boolean_1: bool => flag, "Flag 1", "Indicateur 1";
        /// Custom yes/no value 2.
        pub field_boolean_2: bool => flag, "Flag 2", "Indicateur 2";
        /// Custom yes/no value 3.
        pub field_boolean_3: bool => flag, "Flag 3", "Indicateur 3";
        /// Custom yes/no value 4.
        pub field_boolean_4: bool => flag, "Flag 4", "Indicateur 4";
    }
    recorded: &Recorded::announced("routing-contact", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    phone_lists: [telecoms];
    also: [term("routing_contacts_fts")];
}

/// The contact to look up. At least one parameter is required. They are tried in this order: `id_code`, `telecom`,
/// `email`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RoutingContactQuery {
    /// The contact's `id_code`, exactly as stored.
    id_code: Text<64>,
    /// Phone number of the caller, in any format.
    #[schemars(example = "+33612345678")]
    telecom: Text<255>,
    /// Email address of the sender.
    email: Text<255>,
    /// Whether the answer says what was tried.
    explain: Flag,
}

choice! {
    /// What the look-up tries: the code, the number, the address.
    ContactAttempt { ID_CODE = "id_code", TELECOM = "telecom", EMAIL = "email" }
}

/// The matching routing contact and its destination.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RoutingContactMatch {
    /// The contact that matched.
    contact: RoutingContact,
    /// `email_destination` if the contact was found by its email address, otherwise `telecom_destination`.
    destination: Option<Text<255>>,
    /// The customer's routing fields, ordered by id, each with the contact's value.
    fields: Vec<Chosen>,
    /// Only with `explain=1`: what was tried, up to the attempt that found a contact, with the id of the contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Step<ContactAttempt, i64>>")]
    steps: Option<Vec<Step<ContactAttempt, i64>>>,
}

fn lookup(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    Query(asked): Query<RoutingContactQuery>,
) -> Result<Ok200<RoutingContactMatch>> {
    let customer = scope.id(ctx)?;
    if [&*asked.id_code, &*asked.telecom, &*asked.email].iter().all(|text| text.trim().is_empty()) {
        return Err(Error::invalid("The telecom field is required when email and id code are not present."));
    }
    let (db, number) = (ctx.db, phone::restore_plus(&asked.telecom));
    let by_number = || one(db, BY_NUMBER, customer, &phones::reversed(&number, phones::default_country(db)?));
    let by_email = || {
        let mut found = email::spellings(&asked.email).into_iter().map(|email| one(db, BY_EMAIL, customer, &email));
        found.find(|found| !matches!(found, Ok(None))).unwrap_or(Ok(None))
    };
    let find = |attempt: ContactAttempt| match attempt {
        ContactAttempt::ID_CODE => one(db, BY_CODE, customer, asked.id_code.trim()),
        ContactAttempt::TELECOM => by_number(),
        _ => by_email(),
    };
    let attempts = [
        (ContactAttempt::ID_CODE, &*asked.id_code),
        (ContactAttempt::TELECOM, &*asked.telecom),
        (ContactAttempt::EMAIL, &*asked.email),
    ];
    let (mut steps, mut contact) = (Vec::new(), None);
    for (tried, _) in attempts.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
        contact = find(tried)?;
        steps.push(Step::of(tried, contact.as_ref().map(|contact| contact.id)));
        if contact.is_some() {
            break;
        }
    }
    let contact = contact.ok_or_else(Error::no_route)?;
    let is_mail = steps.last().is_some_and(|last| last.tried == ContactAttempt::EMAIL);
    let destination = if is_mail { &contact.email_destination } else { &contact.telecom_destination }.clone();
    let fields = fields::selected_options(db, customer, &contact.selections().map(|(_, selected)| selected))?;
    let steps = asked.explain.0.then_some(steps);
    Ok(Ok200(RoutingContactMatch { contact, destination, fields, steps }))
}

/// The first contact that a query finds.
fn one(db: &Connection, found: &str, customer: i64, by: &str) -> Result<Option<RoutingContact>> {
    let sql = format!("SELECT {} FROM routing_contacts WHERE id = ({found})", RoutingContact::COLUMNS);
    Ok(db.prepare_cached(&sql)?.query_row(params![customer, by], RoutingContact::from_columns).optional()?)
}

const BY_CODE: &str = "SELECT id FROM routing_contacts WHERE customer_id = ?1 AND id_code = ?2";

const BY_NUMBER: &str = "SELECT c.id FROM phone_numbers n CROSS JOIN routing_contacts c ON c.id = n.resource_id
    WHERE n.resource = 'routing_contacts' AND n.reversed = ?2 AND c.customer_id = ?1 ORDER BY c.id LIMIT 1";

const BY_EMAIL: &str =
    "SELECT contact_id FROM routing_contact_emails WHERE customer_id = ?1 AND email = ?2 ORDER BY contact_id LIMIT 1";

const TABLE: &str = "routing_contacts";

impl Entity for RoutingContact {
    /// An unchanged selection stays valid, even if its option was deleted since.
    fn check(&mut self, db: &Connection, old: Option<&Self>) -> Result<()> {
        let mut wrong = Vec::new();
        let before = old.map(Self::selections);
        for (place, (name, selected)) in (0..).zip(self.selections()) {
            let stays = before.is_some_and(|before| before.contains(&(name, selected)));
            if let Some(value) = selected.filter(|_| !stays)
                && !fields::allows(db, self.customer_id, place, value)?
            {
                wrong.push(format!("The selected {name} is invalid."));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Error::sentences(wrong)) }
    }

    fn index(&self, db: &Connection, old: Option<&Self>) -> Result<()> {
        if old.is_some_and(|old| old.telecoms == self.telecoms) {
            return Ok(());
        }
        let typed = |number: &Name<40>| -> PhoneText { Text::parse(number.to_string()).ok() };
        let numbers: Vec<PhoneText> = self.telecoms.iter().map(typed).collect();
        let numbers: Vec<_> =
            numbers.iter().enumerate().map(|(n, number)| (list_field("telecoms", n), number)).collect();
        match old {
            None => phones::insert(db, TABLE, self.id, &numbers)?,
            Some(_) => phones::save(db, TABLE, self.id, &numbers)?,
        }
        Ok(())
    }
}

impl RoutingContact {
    /// The selections, with the field names that error messages use.
    fn selections(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("field select 1", self.field_select_1.as_deref()),
            ("field select 2", self.field_select_2.as_deref()),
            ("field select 3", self.field_select_3.as_deref()),
            ("field select 4", self.field_select_4.as_deref()),
        ]
    }
}

impl Editable for RoutingContact {
    const PLURAL: &'static str = "contacts";
    const KEY: Option<ImportKey> = Some(ImportKey { field: "id_code", column: "id_code" });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn a_contact_is_found_by_its_code_its_numbers_and_its_addresses_in_this_order() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let other = RoutingClient::new(&server);
        let numbered = json!({"id_code": "A1", "telecoms": ["01 42 00 00 00", "204"], "telecom_destination": "801"});
        let first = routing.post("/contacts", numbered.clone()).created();
        other.post("/contacts", numbered).created();
        let addressed =
            json!({"emails": ["Zoe@example.com"], "email_destination": "802", "telecom_destination": "803"});
        let second = routing.post("/contacts", addressed).created();
        for (asked, contact, destination) in [
            ("id_code=A1", &first, "801"),
            ("telecom=%2B33142000000", &first, "801"),
            ("telecom=+33142000000", &first, "801"),
            ("telecom=0033142000000", &first, "801"),
            ("telecom=204", &first, "801"),
            ("email=zoe@EXAMPLE.com", &second, "802"),
            ("telecom=0199999999&email=zoe@example.com", &second, "802"),
            ("id_code=A1&email=zoe@example.com", &first, "801"),
        ] {
            let found = routing.get(&format!("/contacts/lookup?{asked}")).ok();
            assert_eq!((&found["contact"], &found["destination"]), (contact, &json!(destination)), "{asked}");
        }
        for asked in ["id_code=a1", "telecom=0142000001", "telecom=anonymous", "email=zoe"] {
            routing.get(&format!("/contacts/lookup?{asked}")).rejected(404, "no_route");
        }
        let needed = "The telecom field is required when email and id code are not present.";
        routing.get("/contacts/lookup?telecom=%20").invalid(&[needed]);
        // The old number no longer finds the contact.
        routing.put("/contacts/1", json!({"telecoms": ["0143000000"]})).created();
        routing.put(&format!("/contacts/{}", second["id"]), json!({"emails": []})).created();
        routing.get("/contacts/lookup?telecom=0142000000").rejected(404, "no_route");
        routing.get("/contacts/lookup?email=zoe@example.com").rejected(404, "no_route");
        assert_eq!(routing.get("/contacts/lookup?telecom=0143000000").ok()["contact"]["id"], first["id"]);
        routing.delete("/contacts/1").ok();
        routing.get("/contacts/lookup?telecom=0143000000").rejected(404, "no_route");
    }

    #[test]
    fn a_call_flow_is_told_what_was_selected_or_counts_instead() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let language = routing.create("/fields", json!({"name": "Language"}));
        let tier = routing.create("/fields", json!({"name": "Tier", "default_value": "silver"}));
        let french = json!({"name": "Français", "value": "fr"});
        let french = routing.create(&format!("/fields/{language}/options"), french);
        routing.put(&format!("/fields/{language}"), json!({"default_option_id": french})).created();
        let options = format!("/fields/{tier}/options");
        routing.create(&options, json!({"name": "gold"}));
        routing.create("/contacts", json!({"id_code": "plain"}));
        routing.create("/contacts", json!({"id_code": "chosen", "field_select_2": "gold"}));
        let fields = |code: &str| routing.get(&format!("/contacts/lookup?id_code={code}")).ok()["fields"].clone();
        let french = json!({"name": "Language", "value": "fr", "label": "Français"});
        assert_eq!(fields("plain"), json!([french, {"name": "Tier", "value": "silver", "label": null}]));
        assert_eq!(fields("chosen"), json!([french, {"name": "Tier", "value": "gold", "label": "gold"}]));
    }

    #[test]
    fn a_selection_is_one_of_the_options_where_there_are_any() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        RoutingClient::new(&server).create("/fields", json!({"name": "Somebody else's"}));
        routing.create("/fields", json!({"name": "First"}));
        let second = routing.create("/fields", json!({"name": "Second"}));
        routing.create("/contacts", json!({"field_select_2": "anything"}));
        let option = routing.create(&format!("/fields/{second}/options"), json!({"name": "Gold", "value": "g"}));
        for bad in ["Gold", "G"] {
            routing
                .post("/contacts", json!({"field_select_2": bad}))
                .invalid(&["The selected field select 2 is invalid."]);
        }
        let good = json!({"field_select_1": "free", "field_select_2": "g", "field_select_3": "free"});
        let made = routing.create("/contacts", good);
        // The stored selection stays valid for this contact, but not for others.
        routing.put("/contacts/1", json!({"company": "Acme"})).created();
        routing
            .put(&format!("/contacts/{made}"), json!({"field_select_2": "x"}))
            .invalid(&["The selected field select 2 is invalid."]);
        let bad_row = json!([{"field_select_2": "g"}, {"field_select_2": "x"}]);
        routing.post("/contacts/import", bad_row).invalid(&["row 2: The selected field select 2 is invalid."]);
        // A field without options accepts any value again. The first field of a customer describes the first selection.
        routing.delete(&format!("/fields/{second}/options/{option}")).ok();
        routing.create("/contacts", json!({"field_select_2": "x"}));
    }

    #[test]
    fn a_code_is_one_contacts_of_a_customer() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        routing.create("/contacts", json!({"id_code": "A1"}));
        other.create("/contacts", json!({"id_code": "A1"}));
        routing.post("/contacts", json!({"id_code": "A1"})).rejected(422, "id_code_taken");
        routing.create("/contacts", json!({}));
        routing.create("/contacts", json!({}));
    }

    #[test]
    fn an_export_is_read_back_to_the_same_rows_and_is_the_customers_alone() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let rows = json!({"contacts": [
            {"id_code": "A1", "emails": ["a@example.com", "b@example.com"], "telecoms": ["+33 1 42 00 00 00"]},
            {"id_code": "B2", "field_boolean_2": true, "company": "=Acme"},
        ]});
        let counts = json!({"response": "ok", "created": 2, "updated": 0});
        assert_eq!(routing.post("/contacts/import", rows.clone()).created(), counts);
        assert_eq!(other.post("/contacts/import", rows).created(), counts);
        let exported = routing.get("/contacts/export").ok();
        assert_eq!(exported.as_array().unwrap().len(), 2);
        for format in ["json", "csv"] {
            let text = routing.get(&format!("/contacts/export?format={format}")).text;
            routing.delete("/contacts/1").ok();
            routing.put("/contacts/2", json!({"company": "Other"})).created();
            let path = routing.path("/contacts/import?mode=upsert");
            let kind = if format == "csv" { "text/csv" } else { "application/json" };
            let counts = routing.client.ask(http::Method::POST, &path, kind, text).created();
            assert_eq!((&counts["created"], &counts["updated"]), (&json!(1), &json!(1)), "{format}");
            assert_eq!(routing.get("/contacts/export").ok(), exported, "{format}");
        }
        // The exported file of one customer is rejected for another.
        let prohibited: Vec<String> =
            (1..=2).map(|n| format!("row {n}: The customer id field is prohibited.")).collect();
        let prohibited: Vec<&str> = prohibited.iter().map(String::as_str).collect();
        other.post("/contacts/import?mode=upsert", exported).invalid(&prohibited);
        let listed =
            routing.client.post_csv(&routing.path("/contacts/import"), "id_code,telecoms\nC3,0142000009; 204\n");
        assert_eq!(listed.created()["created"], 1);
        assert_eq!(routing.get("/contacts?id_code=C3").ok()["data"][0]["telecoms"], json!(["0142000009", "204"]));
    }

    #[test]
    fn contacts_are_listed_by_each_of_their_fields() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let all = json!({
            "id_code": "A1", "language_code": "fr", "company": "Acme", "first_name": "Zoé", "last_name": "Lefèvre",
            "emails": ["zoe@example.com"], "telecoms": ["01 42 00 00 00"], "email_destination": "e", "telecom_destination": "t",
            "field_select_1": "s1", "field_select_2": "s2", "field_select_3": "s3", "field_select_4": "s4",
            "field_boolean_1": true, "field_boolean_2": true, "field_boolean_3": true, "field_boolean_4": true,
        });
        let made = routing.post("/contacts", all.clone()).created();
        for (field, value) in all.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        routing.create("/contacts", json!({}));
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items[0].as_str().unwrap().to_owned(),
            other => other.to_string(),
        };
        let by = all.as_object().unwrap().iter().map(|(field, value)| (field.clone(), text(value)));
        let more = [("term", "zoe lef"), ("telecoms", "0033142000000"), ("field_boolean_1", "1")];
        for (field, value) in by.chain(more.map(|(field, value)| (field.to_owned(), value.to_owned()))) {
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            for query in [format!("{field}={value}"), format!("filter[{field}]={value}")] {
                assert_eq!(routing.ids(&format!("/contacts?{query}")), [1], "{query}");
            }
        }
        assert_eq!(routing.ids("/contacts?field_boolean_1=0"), [2]);
        assert_eq!(routing.ids("/contacts?sort=-id"), [2, 1]);
        routing.get("/contacts?field_boolean_1=x").invalid(&["The field_boolean_1 must be true or false."]);
    }
}

//! Customers: the companies and people that the workspace serves.

use http::StatusCode;
use rusqlite::Connection;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::contacts::Contact;
use super::crm::chats::Chat;
use super::integration_keys;
use super::oauth::clients;
use super::phone_calls::PhoneCall;
use crate::api::crud::{self, create, export, import, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::list::List;
use crate::api::openapi::Operation;
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, action};
use crate::api::{
    Answer, Call, CallerScope, Created, Ctx, Deleted, Done, Error, Given, Id, Ids, Json, Key, Needs, Ok200, Page,
    Query, Reply, Result, Route, bulk, delete, entity_rows, get, post, put, run,
};
use crate::routing;
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::Typed;
use crate::tenancy::{self, Author};
use crate::values::{CustomFields, Email, Flag, Name, RowId, Text, Timestamp, choice};

pub const RESOURCE: Resource =
    Resource::new("Customers", "The companies and people that the workspace serves.", ROUTES)
        .french("Clients")
        .permissions(&PERMISSIONS)
        .entity::<Customer>()
        .files::<Customer>()
        .samples(r#"{"name": "Ada"}"#, r#"{"vip": true}"#);

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "customer",
    actions: &[
        action("view", "see customers", "voir les clients", MANAGER_AND_AGENT),
        action("create", "create customers", "créer des clients", MANAGER),
        action("update", "change customers", "modifier les clients", MANAGER),
        action("delete", "delete customers", "supprimer des clients", MANAGER),
    ],
};

const ROUTES: &[Route] = &[
    get("/customers", &run(list), Needs::Scoped("customer.view"), "List customers"),
    get("/customers/resolve", &run(resolve), Needs::Scoped("customer.view"), "Resolve a customer account to an id")
        .named("resolveCustomer"),
    get(
        "/customers/export",
        &run(export::<Customer>),
        Needs::Scoped("customer.view"),
        "Export customers as JSON or CSV",
    ),
    get("/customers/{id}", &run(show::<Customer>), Needs::Scoped("customer.view"), "Show a customer"),
    get("/customers/{id}/contacts", &run(contacts), Needs::Scoped("contact.view"), "List a customer's contacts")
        .named("listCustomerContacts"),
    post("/customers", &run(create::<Customer>), Needs::Permission("customer.create"), "Create a customer"),
    post(
        "/customers/import",
        &bulk(import::<Customer>),
        Needs::Permission("customer.create"),
        "Import customers from JSON or CSV",
    ),
    put("/customers/{id}", &run(update::<Customer>), Needs::Scoped("customer.update"), "Change a customer"),
    post("/customers/{id}/merge", &run(merge), Needs::Permission("customer.update"), "Merge a customer into another")
        .named("mergeCustomers"),
    delete("/customers/bulk", &run(remove_many), Needs::Scoped("customer.delete"), "Delete customers, all or none"),
    delete("/customers/{id}", &run(remove), Needs::Scoped("customer.delete"), "Delete a customer"),
];

entity! {
    /// A company or person that the workspace serves.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    #[schemars(transform = describe_count)]
    pub struct Customer in "customers" {
        /// Account of the customer. Unique in the workspace. If absent, an account such as `CL000123` is created.
        #[serde(deserialize_with = "account")]
        #[schemars(schema_with = "account_schema")]
        pub customer_account: Text<64> => text.sorted().searched(), "Account", "Compte";
        /// Name of the customer.
        #[schemars(example = &"Zoé SARL")]
        pub name: Name<255> => text.sorted_by_folded("folded_name", "fold(name)").searched(), "Name", "Nom";
        /// Type of the customer. Free text.
        #[serde(rename = "type")]
        pub kind: Option<Text<64>> => stored, "Type", "Type";
        /// Registration number of the company.
        pub registration_number: Option<Text<64>> => stored, "Registration number", "Numéro d’immatriculation";
        /// VAT or tax number.
        pub tax_registration_number: Option<Text<64>> => stored, "VAT number", "Numéro de TVA";
        /// Code of the business activity, for example an NAF code.
        pub activity_code: Option<Text<64>> => stored, "Activity code", "Code d’activité";
        /// Email address.
        pub email_address: Option<Email> => text.searched(), "Email", "E-mail";
        /// Phone number, stored as typed. Filters match it in any format.
        #[schemars(example = &"01 42 00 00 00")]
        pub phone: Typed => phone_numbers("customers"), "Phone", "Téléphone";
        /// Mobile phone number.
        pub mobile_phone: Typed => stored, "Mobile", "Mobile";
        /// Fax number.
        pub fax: Typed => stored, "Fax", "Fax";
        /// Website. Free text.
        pub website: Option<Text<255>> => stored, "Website", "Site web";
        /// First name of the main contact.
        pub main_contact_first_name: Option<Text<255>> => stored.searched(), "Contact’s first name", "Prénom du contact";
        /// Last name of the main contact.
        pub main_contact_last_name: Option<Text<255>> => stored.searched(), "Contact’s last name", "Nom du contact";
        /// First line of the main address.
        pub main_address_line1: Option<Text<255>> => stored, "Address", "Adresse";
        /// Second line of the main address.
        pub main_address_line2: Option<Text<255>> => stored, "Address, line 2", "Adresse, ligne 2";
        /// Postcode of the main address.
        pub main_address_postal_code: Option<Text<32>> => stored, "Postal code", "Code postal";
        /// City of the main address.
        #[schemars(example = &"Paris")]
        pub main_address_city: Option<Text<255>> => text.named("city").searched(), "City", "Ville";
        /// Country of the main address.
        pub main_address_country: Option<Text<64>> => text.named("country"), "Country", "Pays";
        /// Notes. At most 10,000 characters.
        pub comment: Option<Text<10000>> => stored.searched(), "Notes", "Notes";
        /// Whether the customer is active. For information only.
        pub active: bool => flag, "Active", "Actif";
        /// Whether the customer is a VIP. For information only.
        pub vip: bool => flag, "VIP", "VIP";
        /// Additional fields as a JSON object. At most 16 KiB as text, nested at most 5 levels deep.
        pub custom_fields: CustomFields => object, "Custom fields", "Champs personnalisés";
    }
    recorded: &Recorded::announced("customer", "customer.view"), permissions: "customer", scope: CallerScope;
    customer: id;
    phones: [phone, mobile_phone, fax];
    list: { counted_by_triggers: true };
    also: [term("customers_fts")];
    computed: folded_name = "fold(:name)";
}

/// The account to resolve.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ByAccount {
    /// Account of the customer.
    #[schemars(example = &"CL000001")]
    customer_account: Name<64>,
}

/// The id of a customer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CustomerId")]
pub struct Resolved {
    /// Id of the customer.
    id: i64,
    /// Account of the customer.
    customer_account: String,
}

/// Options of a deletion.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Removal {
    /// Also delete the customer's contacts and call routing.
    cascade: Flag,
}

/// The customer to merge into.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CustomerMerge")]
#[serde(default)]
pub struct Merging {
    /// Id of the customer to keep. Its own fields do not change. It receives the contacts, calls and call routing of
    /// the other customer.
    into: RowId,
}

/// Options of a merge.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MovedKeys {
    /// Move the integration keys, OAuth clients and call-flow tokens to the customer that is kept. This requires the
    /// permissions to change them. Otherwise they are deleted.
    move_keys: Flag,
}

/// The customer that is kept, and the credentials that were deleted with the other customer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CustomerMerged")]
pub struct Merged {
    #[serde(flatten)]
    customer: Customer,
    /// The credentials that were deleted.
    ended: Ended,
}

/// Numbers of credentials that were bound to a customer and deleted with it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EndedCredentials")]
pub struct Ended {
    /// Number of deleted integration keys.
    #[schemars(range(min = 0))]
    integration_keys: i64,
    /// Number of deleted OAuth clients.
    #[schemars(range(min = 0))]
    oauth_clients: i64,
    /// Number of deleted call-flow tokens.
    #[schemars(range(min = 0))]
    cfd_tokens: i64,
}

impl Ended {
    /// Counts the credentials that are deleted together with a customer.
    fn with(db: &Connection, customer: i64) -> rusqlite::Result<Self> {
        db.prepare_cached(
            "SELECT (SELECT count(*) FROM integration_keys WHERE customer_id = ?1),
                    (SELECT count(*) FROM oauth_clients WHERE customer_id = ?1),
                    (SELECT count(*) FROM cfd_tokens WHERE customer_id = ?1)",
        )?
        .query_row([customer], |row| {
            Ok(Self { integration_keys: row.get(0)?, oauth_clients: row.get(1)?, cfd_tokens: row.get(2)? })
        })
    }
}

choice! {
    /// Fields that a list can add to its rows.
    Extra { CONTACTS_COUNT = "contacts_count" }
}

/// Extra fields of a list.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct With {
    /// `contacts_count` adds the number of contacts to each customer.
    #[serde(deserialize_with = "extra")]
    #[schemars(schema_with = "extra_schema")]
    with: Option<Extra>,
}

/// A page of customers, with or without the requested extra fields.
#[derive(Debug)]
pub enum Customers {
    Plain(Page<Customer>),
    Counted(Page<CustomerCounted>),
}

/// A customer with the number of its contacts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CustomerCounted {
    #[serde(flatten)]
    customer: Customer,
    /// Number of contacts of the customer.
    contacts_count: i64,
}

fn list(ctx: &mut Ctx<'_>, list: List<Customer>, Query(with): Query<With>) -> Result<Customers> {
    let page = list.page(ctx)?;
    if with.with.is_none() {
        return Ok(Customers::Plain(page));
    }
    let mut count = ctx.db.prepare_cached("SELECT count(*) FROM contacts WHERE customer_id = ?1")?;
    let counted = page.map(|customer| {
        Ok(CustomerCounted { contacts_count: count.query_row([customer.id], |row| row.get(0))?, customer })
    })?;
    Ok(Customers::Counted(counted))
}

fn resolve(ctx: &mut Ctx<'_>, Query(by): Query<ByAccount>) -> Result<Ok200<Resolved>> {
    let id = ctx.customer_with(&by.customer_account)?;
    Ok(Ok200(Resolved { id, customer_account: by.customer_account.to_string() }))
}

fn contacts(ctx: &mut Ctx<'_>, Id(id): Id, list: List<Contact>) -> Result<Page<Contact>> {
    crud::find::<Customer>(ctx, &CallerScope, id)?;
    list.only("customer_id", id).page(ctx)
}

/// Credentials bound to the merged customer are deleted with it unless the caller moves them: they were never granted
/// access to the rows of the other customer.
fn merge(
    ctx: &mut Ctx<'_>,
    Id(id): Id,
    Query(keys): Query<MovedKeys>,
    Json(merging): Json<Merging>,
) -> Result<Created<Merged>> {
    let goes = crud::find::<Customer>(ctx, &CallerScope, id)?;
    let author = ctx.author()?;
    let into = merging.into.get();
    let stays = Customer::find(ctx.db, into)?.filter(|customer| customer.id != id);
    let stays = stays.ok_or_else(|| Error::invalid("The selected into is invalid."))?;
    entity_rows::move_each::<Contact>(ctx.db, &author, id, into)?;
    entity_rows::move_each::<PhoneCall>(ctx.db, &author, id, into)?;
    entity_rows::move_each::<Chat>(ctx.db, &author, id, into)?;
    routing::move_all(ctx.db, &author, id, into)?;
    if keys.move_keys.0 {
        integration_keys::move_all(ctx, id, into)?;
        clients::move_all(ctx, id, into)?;
        routing::move_tokens(ctx, id, into)?;
    }
    let ended = Ended::with(ctx.db, id)?;
    entity_rows::delete(ctx.db, &author, &goes)?;
    Ok(Created(Merged { customer: stays, ended }))
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id, Query(removal): Query<Removal>) -> Result<Done> {
    let customer: Customer = crud::find(ctx, &CallerScope, id)?;
    delete_with(ctx.db, &ctx.author()?, &customer, &removal)?;
    Ok(Done)
}

fn remove_many(ctx: &mut Ctx<'_>, Query(removal): Query<Removal>, Ids(ids): Ids) -> Result<Deleted> {
    let author = ctx.author()?;
    for id in &ids {
        let customer: Customer = crud::find(ctx, &CallerScope, *id).map_err(|_| Ids::unknown())?;
        delete_with(ctx.db, &author, &customer, &removal)?;
    }
    Ok(Deleted(ids.len()))
}

fn delete_with(db: &Connection, author: &Author, customer: &Customer, removal: &Removal) -> Result<()> {
    if removal.cascade.0 {
        entity_rows::delete_each::<Contact>(db, author, "customer_id", customer.id)?;
        routing::delete_all(db, author, customer.id)?;
    }
    entity_rows::delete(db, author, customer)
}

impl Entity for Customer {
    /// A caller that is bound to the customer keeps its account: an account that is taken would show that another customer
    /// exists.
    fn prepare(&mut self, _: &Connection, old: Option<&Self>, given: &Given<'_>) -> Result<()> {
        let changes = old.is_some_and(|old| old.customer_account != self.customer_account);
        if changes && given.customer.is_some() && !given.is_import { Err(Error::bound()) } else { Ok(()) }
    }

    /// A blank account is replaced: by a new one, or by the stored one.
    fn check(&mut self, db: &Connection, old: Option<&Self>) -> Result<()> {
        if self.customer_account.trim().is_empty() {
            self.customer_account = match old {
                Some(old) => old.customer_account.clone(),
                None => next_account(db)?,
            };
        }
        Ok(())
    }

    fn release(&self, db: &Connection, author: &Author) -> Result<()> {
        if db.prepare_cached("SELECT 1 FROM contacts WHERE customer_id = ?1")?.exists([self.id])? {
            let message = "The customer has contacts. Delete them first, or add ?cascade=1.";
            return Err(Error::refused("customer_has_contacts", message));
        }
        if routing::is_used_by(db, self.id)? {
            let message = "The customer has call routing. Delete it first, or add ?cascade=1.";
            return Err(Error::refused("customer_has_routing", message));
        }
        integration_keys::delete_all(db, author, self.id)?;
        clients::delete_all(db, author, self.id)?;
        routing::delete_tokens(db, author, self.id)
    }
}

impl Editable for Customer {
    const KEY: Option<Key> = Some(Key { field: "customer_account", column: "customer_account" });
}

/// `CL` and the id of the next customer, or the first larger number whose account is free.
fn next_account(db: &Connection) -> Result<Text<64>> {
    let next: i64 = db
        .prepare_cached("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'customers'), 0) + 1")?
        .query_row([], |row| row.get(0))?;
    for number in next.. {
        let account = format!("CL{number:06}");
        if tenancy::customers::with_account(db, &account)?.is_none() {
            return Text::parse(account).map_err(Error::Internal);
        }
    }
    unreachable!("numbers have no end")
}

/// A missing or null account means: create one, or keep the stored one.
fn account<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Text<64>, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

impl Reply for Customers {
    fn into_response(self, call: &Call) -> Result<Answer> {
        match self {
            Self::Plain(page) => page.into_response(call),
            Self::Counted(page) => page.into_response(call),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.answer::<Page<Customer>>(StatusCode::OK);
    }
}

/// A blank value counts as absent.
fn extra<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Extra>, D::Error> {
    let word = Option::<String>::deserialize(input)?.filter(|word| !word.is_empty());
    word.map(|word| word.parse().map_err(serde::de::Error::custom)).transpose()
}

fn extra_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "string", "enum": ["contacts_count"]})
}

fn account_schema(generator: &mut SchemaGenerator) -> Schema {
    if generator.contract().is_deserialize() {
        generator.subschema_for::<Option<Text<64>>>()
    } else {
        generator.subschema_for::<Text<64>>()
    }
}

/// Adds the field of [`CustomerCounted`] to the schema of a customer, so that the rows of a list have one schema.
fn describe_count(schema: &mut Schema) {
    let about = "Number of contacts of the customer. Only in lists requested with `with=contacts_count`.";
    schema.pointer_mut("/properties").and_then(serde_json::Value::as_object_mut).map(|properties| {
        let count = serde_json::json!({"type": "integer", "description": about, "readOnly": true});
        properties.insert("contacts_count".into(), count)
    });
}

impl Default for Customer {
    fn default() -> Self {
        Self {
            active: true,
            id: 0,
            customer_account: Text::default(),
            name: Name::default(),
            kind: None,
            registration_number: None,
            tax_registration_number: None,
            activity_code: None,
            email_address: None,
            phone: None,
            mobile_phone: None,
            fax: None,
            website: None,
            main_contact_first_name: None,
            main_contact_last_name: None,
            main_address_line1: None,
            main_address_line2: None,
            main_address_postal_code: None,
            main_address_city: None,
            main_address_country: None,
            comment: None,
            vip: false,
            custom_fields: CustomFields::default(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::routing::endpoints::{self, World};
    use crate::routing::testing::Desk;
    use crate::testing::{Answer, Bench};

    fn ids(answer: &Answer) -> Vec<i64> {
        answer.ok()["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }

    #[test]
    fn whoever_is_bound_to_a_customer_learns_of_no_others_account() {
        let bench = Bench::new();
        let made = |name: &str| bench.admin().post("/customers", json!({"name": name})).created();
        let (own, other) = (made("Own"), made("Other"));
        let key = bench.key(&["customer.*"], own["id"].as_i64());
        let path = format!("/customers/{}", own["id"]);
        for account in [other["customer_account"].clone(), json!("nobodys")] {
            key.put(&path, json!({"customer_account": account})).refused(403, "forbidden");
        }
        key.put(&path, json!({"customer_account": own["customer_account"], "vip": true})).created();
    }

    #[test]
    fn a_customer_is_answered_whole_and_kept_as_it_was_sent() {
        let bench = Bench::new();
        let sent = json!({
            "customer_account": "A-1", "name": "Zoé & Cie", "type": "SARL", "registration_number": "123 456 789",
            "tax_registration_number": "FR40123456789", "activity_code": "62.01Z", "email_address": "zoe@example.com",
            "phone": "01 42 00 00 00", "mobile_phone": "+33 6 12 34 56 78", "fax": "0142000001",
            "website": "https://example.com", "main_contact_first_name": "Zoé", "main_contact_last_name": "Martin",
            "main_address_line1": "1 rue de la Paix", "main_address_line2": "Bât. B", "main_address_postal_code": "75002",
            "main_address_city": "Paris", "main_address_country": "France", "comment": "ligne 1\nligne 2",
            "active": false, "vip": true, "custom_fields": {"tier": "gold", "seats": [1, 2]},
        });
        let made = bench.admin().post("/customers", sent.clone()).created();
        for (field, value) in sent.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        assert_eq!(bench.admin().get(&format!("/customers/{}", made["id"])).ok(), made);
    }

    #[test]
    fn only_a_name_is_needed_and_an_account_is_made() {
        let bench = Bench::new();
        let made = bench.admin().post("/customers", json!({"name": "Ada"})).created();
        assert_eq!(
            (&made["customer_account"], &made["active"], &made["vip"]),
            (&json!("CL000001"), &json!(true), &json!(false))
        );
        bench.admin().post("/customers", json!({"name": "By hand", "customer_account": "CL000003"})).created();
        let next = bench.admin().post("/customers", json!({"name": "Bob", "customer_account": null})).created();
        assert_eq!(next["customer_account"], "CL000004");
    }

    #[test]
    fn every_problem_of_a_body_is_said_at_once_and_nothing_is_kept() {
        let bench = Bench::new();
        let body = json!({"name": " ", "email_address": "zoe", "phone": 33, "vip": "perhaps", "custom_fields": "x",
                          "customer_account": "x".repeat(65)});
        bench.admin().post("/customers", body).invalid(&[
            "The name field is required.",
            "The email address must be a valid email address.",
            "The phone must be a string.",
            "The vip must be true or false.",
            "The custom fields must be an object.",
            "The customer account may not be greater than 64 characters.",
        ]);
        assert_eq!(bench.admin().get("/customers").ok()["total"], 0);
    }

    #[test]
    fn an_account_belongs_to_one_customer() {
        let bench = Bench::new();
        bench.admin().post("/customers", json!({"name": "One", "customer_account": "A"})).created();
        let two = bench.admin().post("/customers", json!({"name": "Two"})).created();
        let taken = bench.admin().post("/customers", json!({"name": "Three", "customer_account": "A"}));
        taken.refused(422, "customer_account_taken");
        assert_eq!(taken.json()["hint"], json!(["The customer account has already been taken."]));
        let path = format!("/customers/{}", two["id"]);
        bench.admin().put(&path, json!({"customer_account": "A"})).refused(422, "customer_account_taken");
        assert_eq!(bench.admin().get(&path).ok(), two);
    }

    #[test]
    fn a_change_touches_only_what_it_names() {
        let bench = Bench::new();
        let made =
            bench.admin().post("/customers", json!({"name": "Ada", "phone": "0142000000", "vip": true})).created();
        let path = format!("/customers/{}", made["id"]);
        let changed =
            bench.admin().put(&path, json!({"phone": null, "id": 99, "created_at": "x", "unknown": 1})).created();
        assert_eq!((&changed["id"], &changed["name"], &changed["phone"]), (&made["id"], &json!("Ada"), &Value::Null));
        assert_eq!((&changed["vip"], &changed["created_at"]), (&json!(true), &made["created_at"]));
        bench.admin().put(&path, json!({"name": null})).invalid(&["The name field is required."]);
    }

    #[test]
    fn an_account_leads_to_an_id() {
        let bench = Bench::new();
        let made = bench.admin().post("/customers", json!({"name": "Ada", "customer_account": "A-7"})).created();
        let found = bench.admin().get("/customers/resolve?customer_account=A-7").ok();
        assert_eq!(found, json!({"id": made["id"], "customer_account": "A-7"}));
        bench.admin().get("/customers/resolve?customer_account=B").refused(404, "customer_not_found");
        bench.admin().get("/customers/resolve").invalid(&["The customer account field is required."]);
    }

    #[test]
    fn filters_find_what_they_say() {
        let bench = Bench::new();
        let cases = [
            json!({"name": "Électricité Lefèvre", "phone": "+33 1 42 00 00 00", "main_address_city": "Orléans"}),
            json!({"name": "Garage Petit", "mobile_phone": "06 12 34 56 78", "vip": true, "email_address": "g@petit.example"}),
            json!({"name": "Boulangerie Martin", "active": false, "main_address_country": "Belgique", "comment": "pains spéciaux"}),
        ];
        for case in cases {
            bench.admin().post("/customers", case).created();
        }
        for (query, expected) in [
            ("filter[name]=ELECTRIC", vec![1]),
            ("filter[name]=i%20l", vec![]),
            ("filter[city]=orleans", vec![1]),
            ("filter[country]=belg", vec![3]),
            ("filter[email_address]=PETIT", vec![2]),
            ("filter[customer_account]=cl00000", vec![1, 2, 3]),
            ("filter[active]=0", vec![3]),
            ("filter[active]=true&filter[vip]=1", vec![2]),
            ("filter[phone]=0142000000", vec![1]),
            ("filter[phone]=0033%201%2042%2000%2000%2000", vec![1]),
            ("filter[phone]=%2B33612345678", vec![2]),
            ("filter[phone]=5678", vec![2]),
            ("filter[phone]=none", vec![]),
            ("filter[term]=lefev", vec![1]),
            ("filter[term]=pains%20boul", vec![3]),
            ("filter[term]=%22*", vec![]),
            ("filter[name]=", vec![1, 2, 3]),
            ("filter[created_at][gte]=2020-01-01&filter[created_at][lte]=2999-12-31", vec![1, 2, 3]),
            ("filter[created_at]=2020-01-01", vec![]),
            ("sort=-name", vec![1, 2, 3].into_iter().rev().collect::<Vec<_>>()),
        ] {
            let answer = bench.admin().get(&format!("/customers?{query}"));
            let mut found = ids(&answer);
            if query.starts_with("sort") {
                let names =
                    answer.ok()["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect::<Vec<_>>();
                assert_eq!(names, ["Garage Petit", "Électricité Lefèvre", "Boulangerie Martin"], "{query}");
                found.sort_unstable();
                assert_eq!(found, [1, 2, 3]);
            } else {
                assert_eq!(found, expected, "{query}");
            }
        }
    }

    #[test]
    fn a_filter_or_sort_that_is_not_there_is_refused_with_those_that_are() {
        let bench = Bench::new();
        for (query, says) in [
            ("filter[nope]=1", "customer_account, name, email_address"),
            ("sort=zip", "id, customer_account, name"),
            ("per_page=501", "between 1 and 500"),
            ("per_page=0", "between 1 and 500"),
            ("page=0", "at least 1"),
            ("page=x", "at least 1"),
            ("filter[vip]=maybe", "true or false"),
            ("filter[created_at]=soon", "valid date"),
            ("filter[created_at][like]=2020-01-01", "gte, lte and on"),
            ("filter[name][gte]=a", "without an operator"),
        ] {
            let answer = bench.admin().get(&format!("/customers?{query}"));
            assert_eq!(answer.status, 400, "{query}");
            assert!(answer.json()["hint"][0].as_str().unwrap().contains(says), "{query}: {}", answer.text);
        }
    }

    #[test]
    fn pages_follow_each_other_and_none_is_lost() {
        let bench = Bench::new();
        for n in 0..23 {
            bench.admin().post("/customers", json!({"name": format!("N{}", n % 4)})).created();
        }
        let mut seen = Vec::new();
        let mut path = "/customers?sort=name&per_page=5&filter[active]=1".to_owned();
        loop {
            let page = bench.admin().get(&path).ok();
            assert_eq!((&page["total"], &page["last_page"], &page["per_page"]), (&json!(23), &json!(5), &json!(5)));
            let rows = page["data"].as_array().unwrap();
            assert_eq!(page["from"], seen.len() + 1);
            assert_eq!(page["to"], seen.len() + rows.len());
            seen.extend(rows.iter().map(|row| (row["name"].to_string(), row["id"].as_i64().unwrap())));
            let Some(next) = page["next_page_url"].as_str() else { break };
            path = next.strip_prefix("http://acme.localhost/api").unwrap().to_owned();
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((seen.len(), &seen), (23, &sorted));

        let beyond = bench.admin().get("/customers?page=99").ok();
        assert_eq!(
            (&beyond["data"], &beyond["from"], &beyond["next_page_url"]),
            (&json!([]), &Value::Null, &Value::Null)
        );
        let far = bench.admin().get("/customers?page=9223372036854775807&per_page=500").ok();
        assert_eq!(far["data"], json!([]));
    }

    #[test]
    fn who_has_contacts_is_deleted_only_with_them() {
        let bench = Bench::new();
        let customer = bench.admin().post("/customers", json!({"name": "Ada"})).created();
        let path = format!("/customers/{}", customer["id"]);
        bench.admin().post("/contacts", json!({"last_name": "B", "customer_id": customer["id"]})).created();
        bench.admin().delete(&path).refused(422, "customer_has_contacts");
        assert_eq!(ids(&bench.admin().get(&format!("{path}/contacts"))), [1]);
        bench.admin().delete(&format!("{path}?cascade=maybe")).invalid(&["The cascade must be true or false."]);
        assert_eq!(bench.admin().delete(&format!("{path}?cascade=1")).ok(), json!({"response": "ok"}));
        bench.admin().get(&path).refused(404, "not_found");
        assert_eq!(bench.admin().get("/contacts").ok()["total"], 0);
    }

    #[test]
    fn who_has_call_routing_is_deleted_only_with_it() {
        let bench = Bench::new();
        let desk = Desk::new(&bench);
        World::make(&desk);
        let path = format!("/customers/{}", desk.customer);
        bench.admin().delete(&path).refused(422, "customer_has_routing");
        bench.admin().delete(&format!("{path}?cascade=1")).ok();
        let left = bench.in_file(|db| {
            let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%customer_id INTEGER NOT NULL REFERENCES%'";
            let mut tables = db.prepare(tables)?;
            let tables = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            let count = |table: &String| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
            assert!(tables.len() > 2);
            Ok(tables.iter().map(count).sum::<rusqlite::Result<i64>>()?)
        });
        assert_eq!(left, 0);
        let numbers: i64 =
            bench.in_file(|db| Ok(db.query_row("SELECT count(*) FROM phone_numbers", [], |row| row.get(0))?));
        assert_eq!(numbers, 0);
    }

    #[test]
    fn call_routing_moves_with_its_customer_unless_a_code_is_the_others_too() {
        let bench = Bench::new();
        let (goes, stays) = (Desk::new(&bench), Desk::new(&bench));
        World::make(&goes);
        let theirs = stays.made("/contacts", json!({"id_code": "W1"}));
        let merge = format!("/customers/{}/merge", goes.customer);
        bench.admin().post(&merge, json!({"into": stays.customer})).refused(422, "id_code_taken");
        let rows = endpoints::all();
        let shown = |desk: &Desk<'_>| -> Vec<Value> {
            // The token is bound to the merged customer and ends with it.
            let lists = rows.iter().filter(|row| row.method == "GET" && !row.path.contains('{'));
            let lists = lists.filter(|row| row.path != "/cfd-tokens");
            lists.map(|row| desk.get(row.path).json()["data"].clone()).filter(|data| data.is_array()).collect()
        };
        let before = shown(&goes);
        assert!(before.iter().all(|data| data != &json!([])), "{before:?}");
        stays.delete(&format!("/contacts/{theirs}")).ok();
        bench.admin().post(&merge, json!({"into": stays.customer})).created();
        for (was, is) in before.iter().zip(shown(&stays)) {
            let (was, is) = (was.as_array().unwrap(), is.as_array().unwrap().clone());
            let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
            assert_eq!(ids(was), ids(&is));
            assert!(is.iter().all(|row| row.get("customer_id").is_none_or(|id| *id == stays.customer)));
        }
        assert_eq!(stays.get("/contacts/lookup?telecom=0142000000").ok()["destination"], "801");
    }

    #[test]
    fn many_are_deleted_all_or_none() {
        let bench = Bench::new();
        for name in ["A", "B", "C"] {
            bench.admin().post("/customers", json!({"name": name})).created();
        }
        bench.admin().delete_with("/customers/bulk", json!({"ids": [1, 2, 99]})).refused(422, "unknown_ids");
        bench.admin().delete_with("/customers/bulk", json!({})).invalid(&["The ids field is required."]);
        bench.admin().delete_with("/customers/bulk", json!({"ids": "1"})).invalid(&["The ids must be a list."]);
        assert_eq!(bench.admin().get("/customers").ok()["total"], 3);
        let deleted = bench.admin().delete_with("/customers/bulk", json!({"ids": [1, 2, 2]})).ok();
        assert_eq!(deleted, json!({"response": "ok", "deleted": 2}));
        assert_eq!(ids(&bench.admin().get("/customers")), [3]);
        bench.admin().delete("/customers/bulk?ids[0]=3&ids[1]=x").invalid(&["The ids must be a list of integers."]);
        assert_eq!(bench.admin().delete("/customers/bulk?ids[]=3").ok()["deleted"], 1);
    }

    #[test]
    fn an_id_is_not_given_twice() {
        let bench = Bench::new();
        bench.admin().post("/customers", json!({"name": "A"})).created();
        bench.admin().delete("/customers/1").ok();
        assert_eq!(bench.admin().post("/customers", json!({"name": "B"})).created()["id"], 2);
    }

    #[test]
    fn a_merged_customer_leaves_all_it_had_to_the_other() {
        let bench = Bench::new();
        let customer = |name: &str| bench.admin().post("/customers", json!({"name": name})).created()["id"].clone();
        let (goes, stays, apart) = (customer("Doubled"), customer("Kept"), customer("Apart"));
        let contact =
            |of: &Value| bench.admin().post("/contacts", json!({"last_name": "B", "customer_id": of})).created();
        let (moved, left) = (contact(&goes), contact(&apart));
        let call = json!({"direction": "inbound", "contact_id": moved["id"], "number_from": "01 42 00 00 00"});
        bench.admin().post("/phone-calls", call).created();
        let (key, other) = (bench.key(&["*"], goes.as_i64()), bench.key(&["*"], stays.as_i64()));
        let path = format!("/customers/{goes}/merge");
        for (into, says) in [
            (json!(99), "The selected into is invalid."),
            (goes.clone(), "The selected into is invalid."),
            (Value::Null, "The into field is required."),
        ] {
            bench.admin().post(&path, json!({"into": into})).invalid(&[says]);
        }
        let merged = bench.admin().post(&path, json!({"into": stays})).created();
        assert_eq!((&merged["id"], &merged["name"]), (&stays, &json!("Kept")));
        bench.admin().get(&format!("/customers/{goes}")).refused(404, "not_found");
        bench.admin().post(&path, json!({"into": stays})).refused(404, "not_found");
        assert_eq!(bench.admin().get(&format!("/contacts/{}", moved["id"])).ok()["customer_id"], stays);
        assert_eq!(bench.admin().get("/phone-calls?filter[phone]=0142000000").ok()["data"][0]["customer_id"], stays);
        assert_eq!(bench.admin().get(&format!("/contacts/{}", left["id"])).ok(), left);
        key.get("/contacts").refused(401, "token_invalid");
        assert_eq!(other.get("/contacts").ok()["total"], 1);
    }

    #[test]
    fn a_field_that_the_workspace_made_up_is_found_by_its_name() {
        let bench = Bench::new();
        for (name, fields) in [
            ("A", json!({"tier": "Gold", "seats": 12, "paid": true, "a.b": "x", "o'clock\"]": "now"})),
            ("B", json!({"tier": "golden", "seats": 1, "paid": false})),
            ("C", json!({"tier": null, "nested": {"tier": "gold"}})),
        ] {
            bench.admin().post("/customers", json!({"name": name, "custom_fields": fields})).created();
        }
        let found = |query: &str| ids(&bench.admin().get(&format!("/customers?{query}")));
        for (query, expected) in [
            ("filter[custom_fields.tier]=g%C3%B3ld", vec![1]),
            ("filter[custom_fields.tier]=gold&filter[name]=b", vec![]),
            ("filter[custom_fields.seats]=1", vec![2]),
            ("filter[custom_fields.paid]=true", vec![1]),
            ("filter[custom_fields.paid]=false", vec![2]),
            ("filter[custom_fields.a.b]=x", vec![1]),
            ("filter%5Bcustom_fields.o'clock%22%5D%5D=now", vec![1]),
            ("filter[custom_fields.none]=x", vec![]),
            ("filter[custom_fields.tier]=", vec![1, 2, 3]),
        ] {
            assert_eq!(found(query), expected, "{query}");
        }
        let nameless = bench.admin().get("/customers?filter[custom_fields]=x");
        nameless.invalid(&["The filter custom_fields needs a field name after a dot, like custom_fields.tier."]);
        let operator = bench.admin().get("/customers?filter[custom_fields.tier][gte]=x");
        operator.invalid(&["The filter custom_fields.tier takes one value, without an operator."]);
    }

    #[test]
    fn a_list_counts_contacts_where_it_is_asked_to() {
        let bench = Bench::new();
        for name in ["A", "B"] {
            bench.admin().post("/customers", json!({"name": name})).created();
        }
        for _ in 0..2 {
            bench.admin().post("/contacts", json!({"last_name": "C", "customer_id": 2})).created();
        }
        let counts = |query: &str| {
            let page = bench.admin().get(&format!("/customers?{query}")).ok();
            page["data"].as_array().unwrap().iter().map(|row| row["contacts_count"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(counts("with=contacts_count"), [json!(0), json!(2)]);
        assert_eq!(counts("with=contacts_count&per_page=1&sort=-id"), [json!(2)]);
        assert_eq!((counts(""), counts("with=")), (vec![Value::Null; 2], vec![Value::Null; 2]));
        assert!(bench.admin().get("/customers").ok()["data"][0].get("contacts_count").is_none());
        bench.admin().get("/customers?with=secrets").invalid(&["The selected with is invalid."]);
    }
    #[test]
    fn an_import_knows_a_customer_by_its_account() {
        let bench = Bench::new();
        bench
            .admin()
            .post("/customers", json!({"name": "Ada", "customer_account": "A-1", "phone": "0142000000"}))
            .created();
        let csv = "customer_account;name;vip\nA-1;Ada SARL;1\nA-2;Bo;\n;Cy;false\n";
        let taken = bench.admin().post_csv("/customers/import", csv);
        taken.invalid(&["row 1: The customer account has already been taken."]);
        let done = bench.admin().post_csv("/customers/import?mode=upsert", csv).created();
        assert_eq!((&done["created"], &done["updated"]), (&json!(2), &json!(1)));
        let rows = bench.admin().get("/customers/export").ok();
        let row = |n: usize| (rows[n]["customer_account"].clone(), rows[n]["name"].clone(), rows[n]["vip"].clone());
        assert_eq!(row(0), (json!("A-1"), json!("Ada SARL"), json!(true)));
        assert_eq!(row(1), (json!("A-2"), json!("Bo"), json!(false)));
        assert_eq!(row(2), (json!("CL000003"), json!("Cy"), json!(false)));
        assert_eq!(rows[0]["phone"], "0142000000");
        let swap = json!([{"id": 1, "customer_account": "A-2"}]);
        let answer = bench.admin().post("/customers/import?mode=upsert", swap);
        answer.invalid(&["row 1: The customer account has already been taken."]);
    }

    #[test]
    fn a_merge_tells_what_it_ended_or_moves_it() {
        let bench = Bench::new();
        let admin = bench.admin();
        for name in ["Ada", "Bob", "Eve"] {
            admin.post("/customers", json!({"name": name})).created();
        }
        let key = |customer: i64| {
            let new = json!({"name": "Phones", "permissions": ["contact.view"], "customer_id": customer});
            admin.post("/integration-keys", new).created()
        };
        let client = json!({
            "name": "PBX", "redirect_uris": ["https://pbx.example.com/"], "grants": ["authorization_code"],
            "scopes": ["client", "crm"], "customer_id": 1,
        });
        key(1);
        admin.post("/oauth-clients", client).created();
        admin.post("/smart-routings/cfd-tokens?customer_account=CL000001", json!({"name": "Flow"})).created();
        let merged = admin.post("/customers/1/merge", json!({"into": 3})).created();
        assert_eq!((&merged["id"], &merged["name"]), (&json!(3), &json!("Eve")));
        assert_eq!(merged["ended"], json!({"integration_keys": 1, "oauth_clients": 1, "cfd_tokens": 1}));

        key(2);
        admin.post("/smart-routings/cfd-tokens?customer_account=CL000002", json!({"name": "Flow"})).created();
        let weak = bench.with_only(&["customer.view", "customer.update", "routing.update"]);
        weak.post("/customers/2/merge?move_keys=1", json!({"into": 3})).refused(403, "missing_permission");
        let moved = admin.post("/customers/2/merge?move_keys=1", json!({"into": 3})).created();
        assert_eq!(moved["ended"], json!({"integration_keys": 0, "oauth_clients": 0, "cfd_tokens": 0}));
        assert_eq!(admin.get("/integration-keys").ok()["data"][0]["customer_id"], 3);
        let tokens = admin.get("/smart-routings/cfd-tokens?customer_account=CL000003").ok();
        assert_eq!((&tokens["total"], &tokens["data"][0]["customer_id"]), (&json!(1), &json!(3)));
    }
}

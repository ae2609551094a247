//! Customers: the companies and people that the workspace serves.

mod customer_merge;
mod customer_view;

use http::StatusCode;
use rusqlite::Connection;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::contacts::Contact;
use super::duplicates::{self, Criterion, Duplicated};
use super::integration_keys;
use super::oauth::clients;
use crate::api::crud::{self, create, export, import, show, update};
use crate::api::entity::{Declared, Editable, Entity, entity};
use crate::api::list::List;
use crate::api::openapi::Operation;
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, action};
use crate::api::{
    ApiResponse, CallerScope, Ctx, Deleted, Done, Error, Given, Id, Ids, ImportKey, IntoResponse, Needs, Ok200, Page,
    Query, Request, Result, Route, delete, entity_rows, get, long_running, post, put, run,
};
use crate::routing;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::PhoneText;
use crate::tenancy::{self, ChangeRecorder};
use crate::values::{CustomFields, Email, Flag, Name, Text, Timestamp, choice};

pub const RESOURCE: Resource =
    Resource::new("Customers", "The companies and people that the workspace serves.", ROUTES)
        .french("Clients")
        .permissions(&PERMISSIONS)
        .entity::<Customer>()
        .recorded(&[Customer::RECORDED, Customer::DISMISSAL])
        .files::<Customer>()
        .samples(r#"{"name": "Ada"}"#, r#"{"vip": true}"#)
        .more_fields(&[customer_view::FIELDS, duplicates::FIELDS])
        .view(customer_view::VIEW);

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
    get(
        "/customers/duplicates",
        &run(duplicates::list::<Customer>),
        Needs::Scoped("customer.view"),
        "List customers that may be the same, in pairs",
    )
    .named("listDuplicateCustomers"),
    post(
        "/customers/duplicates/dismiss",
        &run(duplicates::dismiss::<Customer>),
        Needs::Scoped("customer.update"),
        "Dismiss a pair of customers that are not the same",
    )
    .named("dismissDuplicateCustomers"),
    post(
        "/customers/duplicates/restore",
        &run(duplicates::restore::<Customer>),
        Needs::Scoped("customer.update"),
        "Restore a dismissed pair of customers",
    )
    .named("restoreDuplicateCustomers"),
    get("/customers/{id}", &run(show::<Customer>), Needs::Scoped("customer.view"), "Show a customer"),
    get("/customers/{id}/contacts", &run(contacts), Needs::Scoped("contact.view"), "List a customer's contacts")
        .named("listCustomerContacts"),
    post("/customers", &run(create::<Customer>), Needs::Permission("customer.create"), "Create a customer"),
    post(
        "/customers/import",
        &long_running(import::<Customer>),
        Needs::Permission("customer.create"),
        "Import customers from JSON or CSV",
    ),
    put("/customers/{id}", &run(update::<Customer>), Needs::Scoped("customer.update"), "Change a customer"),
    post(
        "/customers/{id}/merge",
        &run(customer_merge::merge),
        Needs::Permission("customer.update"),
        "Merge two customers into one",
    )
    .named("mergeCustomers")
    .changing("/customers/{id}"),
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
        pub kind: Option<Text<64>> => stored.named("type"), "Type", "Type";
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
        pub phone: PhoneText => phone_numbers("customers"), "Phone", "Téléphone";
        /// Mobile phone number.
        pub mobile_phone: PhoneText => stored, "Mobile", "Mobile";
        /// Fax number.
        pub fax: PhoneText => stored, "Fax", "Fax";
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
    list: { has_row_count: true };
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
pub struct CustomerId {
    /// Id of the customer.
    id: i64,
    /// Account of the customer.
    customer_account: String,
}

/// Options of a deletion.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CustomerRemovalQuery {
    /// Also delete the customer's contacts and call routing.
    cascade: Flag,
}

choice! {
    /// Fields that a list can add to its rows.
    Extra { CONTACTS_COUNT = "contacts_count" }
}

/// Extra fields of a list.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WithQuery {
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

fn list(ctx: &mut Ctx<'_>, list: List<Customer>, Query(with): Query<WithQuery>) -> Result<Customers> {
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

fn resolve(ctx: &mut Ctx<'_>, Query(by): Query<ByAccount>) -> Result<Ok200<CustomerId>> {
    let id = ctx.customer_with(&by.customer_account)?;
    Ok(Ok200(CustomerId { id, customer_account: by.customer_account.to_string() }))
}

fn contacts(ctx: &mut Ctx<'_>, Id(id): Id, list: List<Contact>) -> Result<Page<Contact>> {
    crud::find::<Customer>(ctx, &CallerScope, id)?;
    list.restrict("customer_id", id).page(ctx)
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id, Query(removal): Query<CustomerRemovalQuery>) -> Result<Done> {
    let customer: Customer = crud::find(ctx, &CallerScope, id)?;
    delete_with(ctx.db, &ctx.recorder()?, &customer, &removal)?;
    Ok(Done)
}

fn remove_many(ctx: &mut Ctx<'_>, Query(removal): Query<CustomerRemovalQuery>, Ids(ids): Ids) -> Result<Deleted> {
    let recorder = ctx.recorder()?;
    for id in &ids {
        let customer: Customer = crud::find(ctx, &CallerScope, *id).map_err(|_| Ids::unknown_id())?;
        delete_with(ctx.db, &recorder, &customer, &removal)?;
    }
    Ok(Deleted(ids.len()))
}

fn delete_with(
    db: &Connection,
    recorder: &ChangeRecorder,
    customer: &Customer,
    removal: &CustomerRemovalQuery,
) -> Result<()> {
    if removal.cascade.0 {
        entity_rows::delete_each::<Contact>(db, recorder, "customer_id", customer.id)?;
        routing::delete_all(db, recorder, customer.id)?;
    }
    entity_rows::delete(db, recorder, customer)
}

impl Duplicated for Customer {
    const CRITERIA: &'static [Criterion; 3] = &[
        Criterion::phone("customers"),
        Criterion::email("customers", "email_address"),
        Criterion::name("customers", "folded_name"),
    ];
    const DISMISSED: &'static str = "dismissed_customer_pairs";
    const DISMISSAL: &'static Recorded = &Recorded::new("customer-dismissal", Some("customer.view"));
}

impl Entity for Customer {
    /// A caller that is bound to the customer keeps its account: an account that is taken would show that another customer
    /// exists.
    fn prepare(&mut self, _: &Connection, old: Option<&Self>, given: &Given<'_>) -> Result<()> {
        let changes = old.is_some_and(|old| old.customer_account != self.customer_account);
        if changes && given.customer.is_some() && !given.is_import { Err(Error::bound_to_customer()) } else { Ok(()) }
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

    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        if db.prepare_cached("SELECT 1 FROM contacts WHERE customer_id = ?1")?.exists([self.id])? {
            let message = "The customer has contacts. Delete them first, or add ?cascade=1.";
            return Err(Error::rejected("customer_has_contacts", message));
        }
        if routing::has_rows(db, self.id)? {
            let message = "The customer has call routing. Delete it first, or add ?cascade=1.";
            return Err(Error::rejected("customer_has_routing", message));
        }
        integration_keys::delete_all(db, recorder, self.id)?;
        clients::delete_all(db, recorder, self.id)?;
        routing::delete_tokens(db, recorder, self.id)
    }
}

impl Editable for Customer {
    const KEY: Option<ImportKey> = Some(ImportKey { field: "customer_account", column: "customer_account" });
}

/// `CL` and the id of the next customer, or the first larger number whose account is free.
fn next_account(db: &Connection) -> Result<Text<64>> {
    let next: i64 = db
        .prepare_cached("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'customers'), 0) + 1")?
        .query_row([], |row| row.get(0))?;
    for number in next.. {
        let account = format!("CL{number:06}");
        if tenancy::customer_lookup::with_account(db, &account)?.is_none() {
            return Text::parse(account).map_err(Error::Internal);
        }
    }
    unreachable!("numbers have no end")
}

/// A missing or null account means: create one, or keep the stored one.
fn account<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Text<64>, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

impl IntoResponse for Customers {
    fn into_response(self, request: &Request) -> Result<ApiResponse> {
        match self {
            Self::Plain(page) => page.into_response(request),
            Self::Counted(page) => page.into_response(request),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<Page<Customer>>(StatusCode::OK);
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
mod tests;
